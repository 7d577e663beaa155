"""Test programs: an ELF file around assembled words and initial data."""

import struct

from zkvm.isa.assembler import assemble
from zkvm.machine.memory_map import DATA_START, RAM_START, TEXT_START


def make_elf(
    words: list[int],
    data: bytes = b"",
    *,
    start: int = TEXT_START,
    entry: int | None = None,
    symbols: dict[str, int] | None = None,
    bss_bytes: int = 0,
    data_start: int = DATA_START,
    data_memory_bytes: int | None = None,
) -> bytes:
    """A static RV64 ELF: one TEXT segment of the words, then DATA and RAM segments where asked for."""
    code = b"".join(word.to_bytes(4, "little") for word in words)
    segments = [(5, start, code, len(code))]
    if data or data_memory_bytes:
        segments.append((6, data_start, data, len(data) if data_memory_bytes is None else data_memory_bytes))
    if bss_bytes:
        segments.append((6, RAM_START + 0x800_0000, b"", bss_bytes))
    body, offset = b"", 64 + 56 * len(segments)
    headers = b""
    for flags, address, content, memory_size in segments:
        # Linux maps whole pages: a segment's place in the file and in memory agree modulo the page.
        body += bytes((address - offset - len(body)) % 4096)
        headers += struct.pack(
            "<IIQQQQQQ", 1, flags, offset + len(body), address, address, len(content), memory_size, 4096
        )
        body += content
    section_offset, section_count = 0, 0
    if symbols:
        names, records = b"\0", bytes(24)
        for name, address in symbols.items():
            records += struct.pack("<IBBHQQ", len(names), 2, 0, 1, address, 0)
            names += name.encode() + b"\0"
        at = offset + len(body)
        body += records + names
        section_offset, section_count = offset + len(body), 3
        body += bytes(64)
        body += struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, at, len(records), 2, 0, 8, 24)
        body += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, at + len(records), len(names), 0, 0, 1, 0)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01" + bytes(9), 2, 243, 1, start if entry is None else entry, 64, section_offset, 0,
        64, 56, len(segments), 64, section_count, 0,
    )  # fmt: skip
    return header + headers + body


def elf_of(source: str, data: bytes = b"", **options: object) -> bytes:
    """An ELF of assembly source."""
    return make_elf(assemble(source), data, **options)  # type: ignore[arg-type]
