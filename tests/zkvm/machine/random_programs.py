"""
Random programs over the whole instruction set with edge operands, many to one ELF.

Each program works on a record of its own in DATA: its initial registers, room for its final registers, and a scratch
area for loads and stores. It loads the registers, runs a few random instructions and stores the registers again, so
the records after the run say what each program did.
"""

import random
from dataclasses import dataclass

from make_elf import make_elf

from zkvm.isa.assembler import encode, load_constant
from zkvm.isa.decoder import find
from zkvm.isa.instructions import ACCESS_BYTES, INSTRUCTIONS, Format
from zkvm.machine.memory_map import DATA_START, TEXT_START

REGISTERS_BYTES = 31 * 8
RESULT_AT = REGISTERS_BYTES
SCRATCH_AT = 2 * REGISTERS_BYTES
SCRATCH_BYTES = 256
RECORD_BYTES = SCRATCH_AT + SCRATCH_BYTES

EDGE_VALUES = (
    0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 1,
    2**32, 2**32 + 1, 2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1, 2**64 - 2, 2**64 - 2**31, 2**64 - 2**31 - 1,
    2**64 - 2**32, 0x5555_5555_5555_5555, 0xAAAA_AAAA_AAAA_AAAA, 0x8000_0000_8000_0000, 0x7FFF_FFFF_FFFF_FFFF,
)  # fmt: skip

_CHOICES = [line for line in INSTRUCTIONS if line.format not in (Format.SYSTEM, Format.J) and line.mnemonic != "jalr"]


def random_value(source: random.Random) -> int:
    """A 64-bit value, often at an edge."""
    kind = source.randrange(4)
    if kind == 0:
        return source.choice(EDGE_VALUES)
    if kind == 1:
        return source.getrandbits(source.randrange(1, 65))
    if kind == 2:
        return -source.getrandbits(source.randrange(1, 64)) % 2**64
    return source.getrandbits(64)


def _scratch_offset(source: random.Random, byte_count: int) -> int:
    return source.randrange(SCRATCH_AT, SCRATCH_AT + SCRATCH_BYTES - byte_count + 1)


def random_instruction(source: random.Random, base: int, only: str | None = None) -> list[int]:
    """
    The words of one random instruction, which reads any register and writes any but `base`.

    base: the register that holds the record's address. Branches and jumps go forward over at most one word, which is
    part of the answer. only: a mnemonic, to choose the rest at random.
    """
    line = next(line for line in INSTRUCTIONS if line.mnemonic == only) if only else None
    if line is None:
        # None stands for a jump.
        line = source.choice(_CHOICES) if source.randrange(20) else None
    rd = source.choice([register for register in range(32) if register != base])
    rs1, rs2 = source.randrange(32), source.randrange(32)
    skipped = encode("xori", rd=rd, rs1=rd, immediate=-1)
    if line is None or line.mnemonic in ("jal", "jalr"):
        if source.randrange(2) if line is None else line.mnemonic == "jal":
            return [encode("jal", rd=rd, immediate=8), skipped]
        target = source.choice([register for register in range(1, 32) if register != base])
        # The lowest bit of the target is cleared by the instruction.
        jump = encode("jalr", rd=rd, rs1=target, immediate=12 + source.randrange(2))
        return [encode("auipc", rd=target), jump, skipped]
    immediate = source.choice((0, 1, -1, 2047, -2048, source.randrange(-2048, 2048)))
    match line.format:
        case Format.R:
            return [encode(line.mnemonic, rd=rd, rs1=rs1, rs2=rs2)]
        case Format.I if line.operation in ACCESS_BYTES:
            offset = _scratch_offset(source, ACCESS_BYTES[line.operation])
            return [encode(line.mnemonic, rd=rd, rs1=base, immediate=offset)]
        case Format.I:
            return [encode(line.mnemonic, rd=rd, rs1=rs1, immediate=immediate)]
        case Format.SHIFT_6:
            return [encode(line.mnemonic, rd=rd, rs1=rs1, immediate=source.choice((0, 1, 31, 32, 63, immediate % 64)))]
        case Format.SHIFT_5:
            return [encode(line.mnemonic, rd=rd, rs1=rs1, immediate=source.choice((0, 1, 31, immediate % 32)))]
        case Format.S:
            offset = _scratch_offset(source, ACCESS_BYTES[line.operation])
            return [encode(line.mnemonic, rs1=base, rs2=rs2, immediate=offset)]
        case Format.B:
            return [encode(line.mnemonic, rs1=rs1, rs2=rs2, immediate=8), skipped]
        case Format.U:
            return [encode(line.mnemonic, rd=rd, immediate=source.choice((0, 1, 2**19, 2**20 - 1, rs2 << 12)))]
        case _:
            # Fields of FENCE are ignored.
            return [encode("fence") | source.getrandbits(17) << 15 | source.randrange(32) << 7]


@dataclass(frozen=True)
class Batch:
    """Random programs in one ELF. After the run, DATA holds `record_bytes` of records; program i has the i-th."""

    elf: bytes
    bodies: list[list[int]]
    record_bytes: int


def make_batch(seed: int, count: int, body_length: int = 6, *, write_records: bool = False) -> Batch:
    """
    `count` programs, the first ones starting with each instruction in turn so that all appear.

    write_records: end by writing all records to file descriptor 1, for an outside emulator.
    """
    source = random.Random(seed)
    words: list[int] = []
    records = bytearray()
    bodies = []
    # Loading and storing the registers is the same for every program with the same base register.
    loads = {
        base: [encode("ld", rd=index, rs1=base, immediate=8 * index - 8) for index in range(1, 32) if index != base]
        for base in range(1, 32)
    }
    stores = {
        base: [encode("sd", rs2=index, rs1=base, immediate=RESULT_AT + 8 * index - 8) for index in range(1, 32)]
        for base in range(1, 32)
    }
    for index in range(count):
        base = source.randrange(1, 32)
        body: list[int] = []
        for position in range(body_length):
            only = INSTRUCTIONS[index % (len(INSTRUCTIONS) - 1)].mnemonic if position == 0 else None
            body += random_instruction(source, base, only)
        bodies.append(body)
        words += load_constant(base, DATA_START + RECORD_BYTES * index)
        words += loads[base] + body + stores[base]
        values = [random_value(source) for _ in range(31)]
        records += b"".join(value.to_bytes(8, "little") for value in values) + bytes(REGISTERS_BYTES)
        records += source.randbytes(SCRATCH_BYTES)
    if write_records:
        words += load_constant(10, 1) + load_constant(11, DATA_START) + load_constant(12, len(records))
        words += load_constant(17, 64) + [encode("ecall")]
    words += load_constant(10, 0) + load_constant(17, 93) + [encode("ecall")]
    assert all(find(word) for word in words)
    return Batch(make_elf(words, bytes(records), start=TEXT_START), bodies, len(records))
