"""The decoder against the encoder, against itself vectorised, and against words that must be refused."""

import random

import numpy as np
import pytest

from zkvm.isa.assembler import AssemblyError, assemble, disassemble, encode, load_constant
from zkvm.isa.decoder import DECODED, UNSUPPORTED_MNEMONIC, decode, decode_words
from zkvm.isa.instructions import (
    BY_MNEMONIC,
    FAMILY_OF_OPERATION,
    IMMEDIATE_FLAG,
    INSTRUCTIONS,
    SINK,
    Family,
    Format,
    Operation,
    is_memory_operation,
    memory_family,
)

PC = 0x0020_0400


def random_words(seed: int, count: int) -> list[int]:
    source = random.Random(seed)
    words = []
    for _ in range(count):
        line, word = source.choice(INSTRUCTIONS), source.getrandbits(32)
        words.append(word if source.randrange(8) == 0 else word & ~line.mask & 0xFFFF_FFFF | line.match)
    return words


def test_no_word_is_two_instructions() -> None:
    for word in random_words(1, 20_000):
        assert sum(word & line.mask == line.match for line in INSTRUCTIONS) <= 1


def test_array_decoder_equals_plain_decoder() -> None:
    words = random_words(2, 20_000)
    rows = decode_words(np.array(words, dtype=np.uint32), PC)
    assert rows.dtype == DECODED
    for index, word in enumerate(words):
        row, one = rows[index], decode(word, PC + 4 * index)
        if one is None:
            assert row["operation"] == 0 and row["mnemonic"] == UNSUPPORTED_MNEMONIC
            continue
        fields = (row["operation"], row["rd"], row["rs1"], row["rs2"], row["immediate"])
        assert tuple(int(field) for field in fields) == (
            one.operation_id, one.rd, one.rs1, one.rs2, one.immediate,
        )  # fmt: skip
        assert INSTRUCTIONS[row["mnemonic"]] is one.instruction


@pytest.mark.parametrize(
    ("word", "why"),
    [
        (0x0010_0073, "ebreak"),
        (0x0000_100F, "fence.i"),
        (0xC000_2573, "csrrs"),
        (0x0000_0000, "all zeros"),
        (0xFFFF_FFFF, "all ones"),
        (0x0200_1013 | 1 << 26, "slli with a high bit"),
        (0x0200_101B, "slliw by 32"),
        (0x0000_0001, "a compressed nop"),
        (0x1000_202F, "lr.w"),
        (0x0000_3067, "jalr with funct3 3"),
    ],
)
def test_refused_words(word: int, why: str) -> None:
    assert decode(word, PC) is None
    assert disassemble(word, PC).startswith(".word")


def test_rows_of_the_program_table() -> None:
    """The examples of docs/specs/machine.md: LUI, AUIPC, FENCE, JAL, a branch, and x0 as destination."""
    top = 0xFFFF_FFFF_8000_0000
    cases = {
        encode("lui", rd=5, immediate=0x80000): (Operation.ADD + IMMEDIATE_FLAG, 5, 0, 0, top),
        encode("auipc", rd=5, immediate=1): (Operation.ADD + IMMEDIATE_FLAG, 5, 0, 0, PC + 4096),
        encode("fence") | 0x0FF0_0F80: (Operation.ADD + IMMEDIATE_FLAG, SINK, 0, 0, 0),
        encode("jal", rd=1, immediate=-8): (Operation.JAL, 1, 0, 0, PC - 8),
        encode("jalr", rd=0, rs1=1, immediate=-1): (Operation.JALR, SINK, 1, 0, 2**64 - 1),
        encode("bne", rs1=3, rs2=4, immediate=-4096): (Operation.BNE, 0, 3, 4, PC - 4096),
        encode("add", rd=0, rs1=3, rs2=4): (Operation.ADD, SINK, 3, 4, 0),
        encode("addi", rd=1, rs1=2, immediate=-1): (Operation.ADD + IMMEDIATE_FLAG, 1, 2, 0, 2**64 - 1),
        encode("srai", rd=1, rs1=2, immediate=63): (Operation.SRA + IMMEDIATE_FLAG, 1, 2, 0, 63),
        encode("sraiw", rd=1, rs1=2, immediate=31): (Operation.SRAW + IMMEDIATE_FLAG, 1, 2, 0, 31),
        encode("sd", rs1=2, rs2=8, immediate=-8): (Operation.SD, 0, 2, 8, 2**64 - 8),
        encode("ld", rd=8, rs1=2, immediate=8): (Operation.LD, 8, 2, 0, 8),
        encode("ecall"): (Operation.ECALL, 0, 0, 0, 0),
    }
    for word, expected in cases.items():
        one = decode(word, PC)
        assert one is not None
        assert (one.operation_id, one.rd, one.rs1, one.rs2, one.immediate) == expected


def test_every_operation_has_a_family() -> None:
    for operation in Operation:
        if operation != Operation.UNSUPPORTED:
            assert is_memory_operation(operation) != (operation in FAMILY_OF_OPERATION)
    assert {line.operation for line in INSTRUCTIONS} == set(Operation) - {Operation.UNSUPPORTED}
    # Ids stay below 128, immediate flag included: 7 bits are enough for the program table.
    assert max(line.operation_id for line in INSTRUCTIONS) < 128 and max(Operation) < IMMEDIATE_FLAG


def test_family_of_a_load_depends_on_its_address() -> None:
    assert memory_family(Operation.LD, 16) == Family.LOAD_DOUBLE
    assert memory_family(Operation.LD, 17) == Family.MEMORY_CROSSING
    assert memory_family(Operation.SD, 16) == Family.STORE_DOUBLE
    assert memory_family(Operation.LW, 20) == Family.LOAD_NARROW
    assert memory_family(Operation.LW, 19) == Family.LOAD_NARROW
    assert memory_family(Operation.SW, 21) == Family.MEMORY_CROSSING
    assert memory_family(Operation.SB, 23) == Family.STORE_NARROW


def test_disassembly_assembles_to_the_same_word() -> None:
    """For every instruction with random fields; branch and jump targets are printed as addresses."""
    for word in random_words(3, 5000):
        one = decode(word, PC)
        if one is None or one.instruction.format == Format.FENCE:
            continue
        text = disassemble(word, PC)
        if one.instruction.format in (Format.B, Format.J):
            *rest, target = text.rsplit(" ", 1)
            text = " ".join([*rest, str(int(target, 0) - PC)])
        assert assemble(text) == [word], text


def test_load_constant_loads_the_constant() -> None:
    source = random.Random(4)
    values = [source.getrandbits(source.randrange(1, 65)) for _ in range(500)]
    for value in [*values, 0, 1, 2047, 2048, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 0x7FFF_FFFF_FFFF_F800]:
        register = 0
        for word in load_constant(10, value):
            one = decode(word, 0)
            assert one is not None
            name, immediate = one.instruction.mnemonic, one.immediate
            left = 0 if one.rs1 == 0 else register
            if name == "slli":
                register = left << immediate
            elif name == "addiw":
                total = left + immediate & 0xFFFF_FFFF
                register = total - (total >> 31 << 32)
            else:
                register = left + immediate
            register %= 2**64
        assert register == value


@pytest.mark.parametrize(
    "text",
    ["frobnicate x1, x2", "addi x1, x2, 2048", "add x1, x2", "add x1, x2, x32", "beq x1, x2, 3", "slli x1, x2, 64",
     "j nowhere"],
)  # fmt: skip
def test_bad_assembly_is_refused(text: str) -> None:
    with pytest.raises(AssemblyError):
        assemble(text)


def test_labels_and_pseudo_instructions() -> None:
    words = assemble("start: li a0, 0x12345\nj start\ncall start\nret\nnop\nmv a1, a0\n.word 7 # seven")
    assert words == [
        *load_constant(10, 0x12345),
        encode("jal", immediate=-8),
        encode("jal", rd=1, immediate=-12),
        encode("jalr", rs1=1),
        encode("addi"),
        encode("addi", rd=11, rs1=10),
        7,
    ]


def test_mnemonics_are_unique() -> None:
    assert len(BY_MNEMONIC) == len(INSTRUCTIONS) == 64
