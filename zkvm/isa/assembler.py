"""
Encoding and disassembly: the decoder's inverse, for tests, tools and reports.

`encode` makes one word from fields. `assemble` is a small two-pass assembler over a list of lines, enough to write
test programs: labels, the mnemonics of the instruction table and a few pseudo-instructions.
"""

import re
from collections.abc import Iterable

from zkvm.isa.decoder import decode
from zkvm.isa.instructions import ACCESS_BYTES, BY_MNEMONIC, Format

REGISTER_NAMES: tuple[str, ...] = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
    "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
)  # fmt: skip
"""The ABI names of x0..x31."""

_REGISTERS = {
    **{name: index for index, name in enumerate(REGISTER_NAMES)},
    **{f"x{index}": index for index in range(32)},
    "fp": 8,
}


class AssemblyError(ValueError):
    """A line that cannot be assembled: the message holds the line and the reason."""


def encode(mnemonic: str, *, rd: int = 0, rs1: int = 0, rs2: int = 0, immediate: int = 0) -> int:
    """
    The 32-bit word of an instruction.

    rd, rs1, rs2: 0..31. immediate: as the manual's assembly writes it, except that branches and jumps take the byte
    offset from pc; U-format takes the upper 20 bits, 0..2^20-1 or the same signed. Raises AssemblyError out of range.
    """
    line = BY_MNEMONIC.get(mnemonic)
    if line is None:
        raise AssemblyError(f"unknown mnemonic {mnemonic!r}")
    for register in (rd, rs1, rs2):
        if not 0 <= register < 32:
            raise AssemblyError(f"{mnemonic}: register {register} out of range")
    i = immediate

    def need(condition: bool) -> None:
        if not condition:
            raise AssemblyError(f"{mnemonic}: immediate {immediate} out of range")

    registers = rs1 << 15 | rd << 7
    match line.format:
        case Format.R:
            return line.match | registers | rs2 << 20
        case Format.I:
            need(-2048 <= i < 2048)
            return line.match | registers | (i & 0xFFF) << 20
        case Format.SHIFT_6:
            need(0 <= i < 64)
            return line.match | registers | i << 20
        case Format.SHIFT_5:
            need(0 <= i < 32)
            return line.match | registers | i << 20
        case Format.S:
            need(-2048 <= i < 2048)
            return line.match | rs1 << 15 | rs2 << 20 | (i >> 5 & 0x7F) << 25 | (i & 0x1F) << 7
        case Format.B:
            need(-4096 <= i < 4096 and i % 2 == 0)
            scattered = (i >> 12 & 1) << 31 | (i >> 5 & 0x3F) << 25 | (i >> 1 & 0xF) << 8 | (i >> 11 & 1) << 7
            return line.match | rs1 << 15 | rs2 << 20 | scattered
        case Format.U:
            need(-(1 << 19) <= i < 1 << 20)
            return line.match | rd << 7 | (i & 0xFFFFF) << 12
        case Format.J:
            need(-(1 << 20) <= i < 1 << 20 and i % 2 == 0)
            scattered = (i >> 20 & 1) << 31 | (i >> 1 & 0x3FF) << 21 | (i >> 11 & 1) << 20 | (i >> 12 & 0xFF) << 12
            return line.match | rd << 7 | scattered
        case _:
            return line.match


def load_constant(rd: int, value: int) -> list[int]:
    """The words that put a constant, taken mod 2^64, into rd: lui and addiw, then shifts and addi; at most 8 words."""
    value &= (1 << 64) - 1
    signed = value - (1 << 64) if value >> 63 else value
    if -2048 <= signed < 2048:
        return [encode("addi", rd=rd, immediate=signed)]
    low = (signed & 0xFFF) - ((signed & 0x800) << 1)
    if -(1 << 31) <= signed < 1 << 31:
        words = [encode("lui", rd=rd, immediate=(signed - low) >> 12 & 0xFFFFF)]
        return [*words, encode("addiw", rd=rd, rs1=rd, immediate=low)] if low else words
    words = [*load_constant(rd, (signed - low) >> 12), encode("slli", rd=rd, rs1=rd, immediate=12)]
    return [*words, encode("addi", rd=rd, rs1=rd, immediate=low)] if low else words


def assemble(source: str | Iterable[str], start: int = 0x0020_0000) -> list[int]:
    """
    Assembles lines into words, the first at byte address `start`.

    A line is `[label:] [mnemonic operands] [# comment]`. Branches and jal take a label or a byte offset; loads, stores
    and jalr take `immediate(register)`. Pseudo-instructions: nop, mv, li (a constant), j, call (jal ra), ret, .word.
    Raises AssemblyError.
    """
    lines = source.splitlines() if isinstance(source, str) else list(source)
    labels: dict[str, int] = {}
    statements: list[tuple[int, str]] = []
    pc = start
    for line in lines:
        text = line.split("#")[0].strip()
        while found := re.match(r"([A-Za-z_.][\w.]*):\s*", text):
            labels[found[1]] = pc
            text = text[found.end() :]
        if text:
            statements.append((pc, text))
            pc += 4 * _statement_length(text)
    return [word for at, text in statements for word in _statement(text, at, labels)]


def _statement_length(text: str) -> int:
    name, *operands = re.split(r"[\s,]+", text)
    return len(load_constant(_register(operands[0], text), int(operands[1], 0))) if name == "li" else 1


def _register(name: str, text: str) -> int:
    if name not in _REGISTERS:
        raise AssemblyError(f"{text!r}: unknown register {name!r}")
    return _REGISTERS[name]


def _statement(text: str, pc: int, labels: dict[str, int]) -> list[int]:
    name, *operands = [part for part in re.split(r"[\s,()]+", text) if part]

    def register(index: int) -> int:
        return _register(operands[index], text)

    def number(index: int) -> int:
        operand = operands[index]
        if operand in labels:
            return labels[operand] - pc
        try:
            return int(operand, 0)
        except ValueError:
            raise AssemblyError(f"{text!r}: {operand!r} is neither a label nor a number") from None

    try:
        match name:
            case ".word":
                return [number(0) & 0xFFFF_FFFF]
            case "nop":
                return [encode("addi")]
            case "mv":
                return [encode("addi", rd=register(0), rs1=register(1))]
            case "li":
                return load_constant(register(0), number(1))
            case "j":
                return [encode("jal", immediate=number(0))]
            case "call":
                return [encode("jal", rd=1, immediate=number(0))]
            case "ret":
                return [encode("jalr", rs1=1)]
        line = BY_MNEMONIC.get(name)
        if line is None:
            raise AssemblyError(f"{text!r}: unknown mnemonic")
        match line.format:
            case Format.R:
                return [encode(name, rd=register(0), rs1=register(1), rs2=register(2))]
            case Format.I if line.operation in ACCESS_BYTES or name == "jalr":
                return [encode(name, rd=register(0), immediate=number(1), rs1=register(2))]
            case Format.I | Format.SHIFT_5 | Format.SHIFT_6:
                return [encode(name, rd=register(0), rs1=register(1), immediate=number(2))]
            case Format.S:
                return [encode(name, rs2=register(0), immediate=number(1), rs1=register(2))]
            case Format.B:
                return [encode(name, rs1=register(0), rs2=register(1), immediate=number(2))]
            case Format.U | Format.J:
                return [encode(name, rd=register(0), immediate=number(1))]
            case _:
                return [encode(name)]
    except IndexError:
        raise AssemblyError(f"{text!r}: too few operands") from None


def disassemble(word: int, pc: int) -> str:
    """One line of assembly for a 32-bit word at pc, in lower case; `.word 0x...` where it is not supported."""
    decoded = decode(word, pc)
    if decoded is None:
        return f".word 0x{word:08x}"
    line = decoded.instruction
    rd, rs1, rs2 = (REGISTER_NAMES[index % 32] for index in (decoded.rd, decoded.rs1, decoded.rs2))
    immediate = decoded.immediate - (1 << 64) if decoded.immediate >> 63 else decoded.immediate
    match line.format:
        case Format.R:
            operands = f"{rd}, {rs1}, {rs2}"
        case Format.I if line.operation in ACCESS_BYTES or line.mnemonic == "jalr":
            operands = f"{rd}, {immediate}({rs1})"
        case Format.I | Format.SHIFT_5 | Format.SHIFT_6:
            operands = f"{rd}, {rs1}, {immediate}"
        case Format.S:
            operands = f"{rs2}, {immediate}({rs1})"
        case Format.B:
            operands = f"{rs1}, {rs2}, 0x{decoded.immediate:x}"
        case Format.U:
            operands = f"{rd}, 0x{word >> 12:x}"
        case Format.J:
            operands = f"{rd}, 0x{decoded.immediate:x}"
        case _:
            return line.mnemonic
    return f"{line.mnemonic} {operands}"
