"""What the loader accepts and what it refuses, each with its reason; damaged files never crash it."""

import random
import struct

import numpy as np
import pytest
from make_elf import make_elf

from zkvm.isa.assembler import assemble
from zkvm.machine.elf import ELF_BYTE_LIMIT, load_elf
from zkvm.machine.errors import ElfError
from zkvm.machine.memory_map import DATA_START, TEXT_START

WORDS = assemble("li a0, 0\nli a7, 93\necall")


def patched(offset: int, layout: str, value: int, elf: bytes | None = None) -> bytes:
    content = bytearray(elf or make_elf(WORDS, b"data"))
    struct.pack_into(layout, content, offset, value)
    return bytes(content)


def test_a_program_as_loaded() -> None:
    program = load_elf(make_elf(WORDS, b"123456789", symbols={"main": TEXT_START + 4, "_start": TEXT_START}))
    assert program.entry == program.text_start == TEXT_START
    assert program.words.tolist() == WORDS and len(program.decoded) == len(WORDS)
    assert program.data_start == DATA_START // 8
    assert program.data.tobytes() == b"123456789" + bytes(7)
    assert [(symbol.name, symbol.address) for symbol in program.symbols] == [
        ("_start", TEXT_START), ("main", TEXT_START + 4),
    ]  # fmt: skip
    assert program.function_at(TEXT_START + 8) == "main" and program.function_at(TEXT_START) == "_start"
    assert program.index_of(TEXT_START + 4) == 1 and program.pc_of(1) == TEXT_START + 4
    assert program.index_of(TEXT_START + 2) is None and program.index_of(TEXT_START + 4 * len(WORDS)) is None
    with pytest.raises(ValueError, match="read-only"):
        program.decoded["rd"] = 0


def test_data_that_does_not_start_at_a_doubleword() -> None:
    program = load_elf(make_elf(WORDS, b"abc", data_start=DATA_START + 13))
    assert program.data_start == DATA_START // 8 + 1
    assert program.data.tobytes() == bytes(5) + b"abc"


def test_a_program_without_data() -> None:
    assert load_elf(make_elf(WORDS)).data.tolist() == []


# Offsets: ELF header fields, then the first program header at 64 (type, flags, offset, address, ..).
FIRST, SECOND = 64, 64 + 56
REFUSED = {
    "empty": (b"", "not an ELF"),
    "text": (b"#!/bin/sh\n" * 20, "not an ELF"),
    "32-bit": (patched(4, "B", 1), "64-bit little-endian"),
    "big-endian": (patched(5, "B", 2), "64-bit little-endian"),
    "shared object": (patched(16, "<H", 3), "ET_EXEC"),
    "x86": (patched(18, "<H", 62), "RISC-V"),
    "compressed code": (patched(48, "<I", 1), "e_flags"),
    "hard float": (patched(48, "<I", 4), "e_flags"),
    "entry outside": (patched(24, "<Q", TEXT_START + 4 * len(WORDS)), "entry"),
    "entry misaligned": (patched(24, "<Q", TEXT_START + 2), "entry"),
    "entry in data": (patched(24, "<Q", DATA_START), "entry"),
    "no segments": (patched(56, "<H", 0), "no executable"),
    "many segments": (patched(56, "<H", 65535), "program headers"),
    "header size": (patched(54, "<H", 32), "program headers of"),
    "table past the end": (patched(32, "<Q", 1 << 40), "past the end"),
    "dynamic": (patched(FIRST, "<I", 2), "dynamic"),
    "interpreter": (patched(FIRST, "<I", 3), "dynamic"),
    "writable text": (patched(FIRST + 4, "<I", 7), "flags"),
    "readable text only": (patched(FIRST + 4, "<I", 4), "flags"),
    "text below": (patched(FIRST + 16, "<Q", TEXT_START - 4), "outside"),
    "text at 2^64": (patched(FIRST + 16, "<Q", 2**64 - 4), "outside"),
    "text misaligned": (patched(FIRST + 16, "<Q", TEXT_START + 2), "aligned"),
    "segment past the file": (patched(FIRST + 32, "<Q", 1 << 50, patched(FIRST + 40, "<Q", 1 << 50)), "past the end"),
    "more in file than memory": (patched(FIRST + 40, "<Q", 4), "more bytes"),
    "text with bss": (patched(FIRST + 40, "<Q", 64), "wholly in the file"),
    "executable data": (patched(SECOND + 4, "<I", 5), "flags"),
    "data in INPUT": (patched(SECOND + 16, "<Q", 0x1000_0000), "outside"),
    "data in RAM": (patched(SECOND + 16, "<Q", 0x3000_0000), "initial content"),
    "data across the end": (patched(SECOND + 16, "<Q", 0x0FFF_FFFE), "outside"),
    "overlap": (
        patched(SECOND + 16, "<Q", TEXT_START + 4, patched(SECOND + 4, "<I", 5)), "overlap"),
    "symbols past the end": (patched(40, "<Q", 1 << 40, make_elf(WORDS, symbols={"f": TEXT_START})), "past the end"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    content, reason = REFUSED[name]
    with pytest.raises(ElfError, match=reason):
        load_elf(content)


def test_too_large_a_file() -> None:
    with pytest.raises(ElfError, match="at most"):
        load_elf(bytes(ELF_BYTE_LIMIT + 1))


def test_far_segments_do_not_take_memory() -> None:
    """A small file with two distant segments would ask for their distance in memory."""
    far = patched(SECOND + 4, "<I", 5, patched(SECOND + 16, "<Q", 0x07F0_0000))
    with pytest.raises(ElfError, match="spans"):
        load_elf(far)


def test_damaged_files_are_refused_or_load() -> None:
    """Random damage in headers and tables: ElfError or a program, nothing else."""
    source = random.Random(1)
    good = make_elf(WORDS, b"data" * 10, symbols={"f": TEXT_START, "g": TEXT_START + 4})
    for _ in range(3000):
        content = bytearray(good)
        for _ in range(source.randrange(1, 4)):
            region = source.choice((range(176), range(len(good) - 400, len(good))))
            content[source.choice(region)] = source.choice((0, 1, 2, 127, 128, 255, source.randrange(256)))
        if source.randrange(4) == 0:
            content = content[: source.randrange(len(content))]
        try:
            program = load_elf(bytes(content))
        except ElfError:
            continue
        assert isinstance(program.words, np.ndarray)
