"""
Decoding: instruction words to the rows of the program table, one by one (the meaning) and whole arrays at once.

Source: docs/specs/machine.md, "Decoded instruction".
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zkvm.isa.instructions import INSTRUCTIONS, SINK, Format, Instruction, touched_registers

DECODED: Final = np.dtype(
    [("operation", "u1"), ("rd", "u1"), ("rs1", "u1"), ("rs2", "u1"), ("mnemonic", "u1"), ("unused", "u1", (3,)),
     ("immediate", "<u8")]
)  # fmt: skip
"""
A decoded instruction (16 bytes).

operation: the operation id, IMMEDIATE_FLAG included; 0 where the word is not supported.
rd:        0..32 where the instruction writes one (32 for x0), else 0. rs1, rs2: 0..31; 0 if unused.
mnemonic:  index into INSTRUCTIONS, for reports; 255 where the word is not supported.
immediate: the 64-bit immediate the chip uses: a sign-extended constant, pc + constant for AUIPC, a shift amount, the
           absolute target of a branch or JAL (mod 2^64).
"""

UNSUPPORTED_MNEMONIC: Final = 255

_MASK64 = (1 << 64) - 1


@dataclass(frozen=True)
class Decoded:
    """One decoded instruction; the fields as in DECODED."""

    instruction: Instruction
    rd: int
    rs1: int
    rs2: int
    immediate: int

    @property
    def operation_id(self) -> int:
        """The number in the program table."""
        return self.instruction.operation_id


def find(word: int) -> Instruction | None:
    """The instruction that a 32-bit word is, or None if the machine does not support it."""
    return next((line for line in INSTRUCTIONS if word & line.mask == line.match), None)


def decode(word: int, pc: int) -> Decoded | None:
    """The decoded instruction of a 32-bit word at byte address pc, or None if the machine does not support it."""
    instruction = find(word)
    if instruction is None:
        return None
    reads_rs1, reads_rs2, writes_rd = touched_registers(instruction.format)
    has_rs1_field = instruction.format not in (Format.U, Format.FENCE)
    rd = word >> 7 & 31
    return Decoded(
        instruction,
        rd=((rd if instruction.format != Format.FENCE else 0) or SINK) if writes_rd else 0,
        rs1=word >> 15 & 31 if reads_rs1 and has_rs1_field else 0,
        rs2=word >> 20 & 31 if reads_rs2 else 0,
        immediate=_immediate(instruction, word, pc) & _MASK64,
    )


def _immediate(instruction: Instruction, word: int, pc: int) -> int:
    def field(high: int, low: int) -> int:
        return word >> low & (1 << (high - low + 1)) - 1

    sign = field(31, 31)
    match instruction.format:
        case Format.I:
            return field(30, 20) - (sign << 11)
        case Format.SHIFT_6:
            return field(25, 20)
        case Format.SHIFT_5:
            return field(24, 20)
        case Format.S:
            return (field(30, 25) << 5 | field(11, 7)) - (sign << 11)
        case Format.B:
            return pc + (field(7, 7) << 11 | field(30, 25) << 5 | field(11, 8) << 1) - (sign << 12)
        case Format.U:
            constant = (field(30, 12) << 12) - (sign << 31)
            return pc + constant if instruction.mnemonic == "auipc" else constant
        case Format.J:
            return pc + (field(19, 12) << 12 | field(20, 20) << 11 | field(30, 21) << 1) - (sign << 20)
        case _:
            return 0


def decode_words(words: NDArray[np.uint32], start: int) -> NDArray[np.void]:
    """
    Decodes consecutive words, the first of which stands at byte address `start`.

    words: (n,) uint32. Returns (n,) DECODED; words that are not supported have operation 0 and all other fields 0 but
    mnemonic. Equal to `decode` word by word.
    """
    words = np.ascontiguousarray(words, dtype=np.uint32)
    decoded = np.zeros(len(words), dtype=DECODED)
    decoded["mnemonic"] = UNSUPPORTED_MNEMONIC
    for index, line in enumerate(INSTRUCTIONS):
        rows = np.flatnonzero((words & np.uint32(line.mask)) == np.uint32(line.match))
        if rows.size:
            decoded[rows] = _decode_alike(line, index, words[rows], np.uint64(start) + rows.astype(np.uint64) * 4)
    return decoded


def _decode_alike(
    line: Instruction, index: int, words: NDArray[np.uint32], pcs: NDArray[np.uint64]
) -> NDArray[np.void]:
    """Decodes words that are all the same instruction."""

    def field(high: int, low: int) -> NDArray[np.int64]:
        return (words >> np.uint32(low) & np.uint32((1 << (high - low + 1)) - 1)).astype(np.int64)

    rows = np.zeros(len(words), dtype=DECODED)
    rows["operation"] = line.operation_id
    rows["mnemonic"] = index
    reads_rs1, reads_rs2, writes_rd = touched_registers(line.format)
    if writes_rd:
        rd = field(11, 7) if line.format != Format.FENCE else np.zeros(len(words), dtype=np.int64)
        rows["rd"] = np.where(rd == 0, SINK, rd)
    if reads_rs1 and line.format not in (Format.U, Format.FENCE):
        rows["rs1"] = field(19, 15)
    if reads_rs2:
        rows["rs2"] = field(24, 20)

    sign = field(31, 31)
    match line.format:
        case Format.I:
            immediate = field(30, 20) - (sign << 11)
        case Format.SHIFT_6:
            immediate = field(25, 20)
        case Format.SHIFT_5:
            immediate = field(24, 20)
        case Format.S:
            immediate = (field(30, 25) << 5 | field(11, 7)) - (sign << 11)
        case Format.B:
            immediate = (field(7, 7) << 11 | field(30, 25) << 5 | field(11, 8) << 1) - (sign << 12)
        case Format.U:
            immediate = (field(30, 12) << 12) - (sign << 31)
        case Format.J:
            immediate = (field(19, 12) << 12 | field(20, 20) << 11 | field(30, 21) << 1) - (sign << 20)
        case _:
            immediate = np.zeros(len(words), dtype=np.int64)
    is_relative = line.format in (Format.B, Format.J) or line.mnemonic == "auipc"
    rows["immediate"] = immediate.astype(np.uint64) + (pcs if is_relative else np.uint64(0))
    return rows
