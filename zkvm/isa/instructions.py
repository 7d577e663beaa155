"""
The instruction table: every word the machine executes, once.

An *instruction* is what the manual names (ADDI, LUI). An *operation* is what a chip proves: several instructions share
one (LUI is ADD with an immediate). A *family* is the chip that proves the operation; loads and stores choose theirs
when they run, by the address. Decoder, assembler, disassembler, emulator and chips all read this table.

Source: The RISC-V Instruction Set Manual, Volume I, chapters RV64I, M and Zicclsm, and the RV32/64G listing.
"""

from dataclasses import dataclass
from enum import IntEnum, unique

SINK = 32
"""The register a decoded instruction writes instead of x0. Never read."""

REGISTER_COUNT = 33
"""x0..x31 and the sink."""

IMMEDIATE_FLAG = 64
"""Added to an operation id where the second operand is the immediate instead of a register."""


@unique
class Family(IntEnum):
    """A chip, by the kind of row it holds. The numbers index the emulator's counters and never change."""

    ADD = 0
    ADD_WORD = 1
    BITWISE = 2
    SHIFT = 3
    LESS_THAN = 4
    BRANCH = 5
    JUMP = 6
    MULTIPLY = 7
    DIVIDE = 8
    LOAD_DOUBLE = 9
    STORE_DOUBLE = 10
    LOAD_NARROW = 11
    STORE_NARROW = 12
    MEMORY_CROSSING = 13
    ECALL = 14
    KECCAK_F = 15
    SHA256_COMPRESS = 16
    SECP256K1_ADD = 17
    SECP256K1_DOUBLE = 18
    ARITH256 = 19
    ARITH256_MOD = 20

    @property
    def label(self) -> str:
        """The name in lower case, as chips and reports write it."""
        return self.name.lower()


FAMILY_COUNT = len(Family)


@unique
class Operation(IntEnum):
    """What one step does. The numbers stand in the program table and never change; 0 is no operation."""

    UNSUPPORTED = 0
    ADD = 1
    SUB = 2
    ADDW = 3
    SUBW = 4
    XOR = 5
    OR = 6
    AND = 7
    SLL = 8
    SRL = 9
    SRA = 10
    SLLW = 11
    SRLW = 12
    SRAW = 13
    SLT = 14
    SLTU = 15
    BEQ = 16
    BNE = 17
    BLT = 18
    BGE = 19
    BLTU = 20
    BGEU = 21
    JAL = 22
    JALR = 23
    MUL = 24
    MULH = 25
    MULHSU = 26
    MULHU = 27
    MULW = 28
    DIV = 29
    DIVU = 30
    REM = 31
    REMU = 32
    DIVW = 33
    DIVUW = 34
    REMW = 35
    REMUW = 36
    LB = 37
    LH = 38
    LW = 39
    LD = 40
    LBU = 41
    LHU = 42
    LWU = 43
    SB = 44
    SH = 45
    SW = 46
    SD = 47
    ECALL = 48


@unique
class Format(IntEnum):
    """How a word is laid out, and which registers the instruction touches."""

    R = 0
    """rd, rs1, rs2."""
    I = 1
    """rd, rs1, 12-bit signed immediate."""
    SHIFT_6 = 2
    """rd, rs1, 6-bit shift amount."""
    SHIFT_5 = 3
    """rd, rs1, 5-bit shift amount."""
    S = 4
    """rs1, rs2, 12-bit signed immediate."""
    B = 5
    """rs1, rs2, 13-bit signed pc-relative target, even."""
    U = 6
    """rd, upper 20 bits of a 32-bit signed immediate."""
    J = 7
    """rd, 21-bit signed pc-relative target, even."""
    FENCE = 8
    """No register; every field but opcode and funct3 is ignored."""
    SYSTEM = 9
    """No field; ecall reads a7, a0 and a1."""


@dataclass(frozen=True)
class Instruction:
    """One line of the manual: words w with w & mask == match are this instruction."""

    mnemonic: str
    format: Format
    mask: int
    match: int
    operation: Operation
    is_immediate: bool
    """Whether the operation's second operand is the immediate; the id then carries IMMEDIATE_FLAG."""

    @property
    def operation_id(self) -> int:
        """The number in the program table: the operation, plus IMMEDIATE_FLAG for an immediate second operand."""
        return self.operation + (IMMEDIATE_FLAG if self.is_immediate else 0)


_OPCODE = 0x0000_007F
_FUNCT3 = 0x0000_7000
_FUNCT6 = 0xFC00_0000
_FUNCT7 = 0xFE00_0000


def _register(mnemonic: str, opcode: int, funct3: int, funct7: int, operation: Operation) -> Instruction:
    match = opcode | funct3 << 12 | funct7 << 25
    return Instruction(mnemonic, Format.R, _OPCODE | _FUNCT3 | _FUNCT7, match, operation, False)


def _immediate(mnemonic: str, opcode: int, funct3: int, operation: Operation, *, alu: bool = True) -> Instruction:
    return Instruction(mnemonic, Format.I, _OPCODE | _FUNCT3, opcode | funct3 << 12, operation, alu)


def _shift(mnemonic: str, opcode: int, funct3: int, top: int, operation: Operation, layout: Format) -> Instruction:
    mask = _OPCODE | _FUNCT3 | (_FUNCT6 if layout == Format.SHIFT_6 else _FUNCT7)
    return Instruction(mnemonic, layout, mask, opcode | funct3 << 12 | top << 25, operation, True)


def _store_or_branch(mnemonic: str, opcode: int, funct3: int, operation: Operation, layout: Format) -> Instruction:
    return Instruction(mnemonic, layout, _OPCODE | _FUNCT3, opcode | funct3 << 12, operation, False)


_LOAD, _FENCE, _OP_IMM, _AUIPC, _OP_IMM_32 = 0x03, 0x0F, 0x13, 0x17, 0x1B
_STORE, _OP, _LUI, _OP_32, _BRANCH, _JALR, _JAL, _SYSTEM = 0x23, 0x33, 0x37, 0x3B, 0x63, 0x67, 0x6F, 0x73

INSTRUCTIONS: tuple[Instruction, ...] = (
    # Integer computation, register with immediate.
    _immediate("addi", _OP_IMM, 0, Operation.ADD),
    _immediate("slti", _OP_IMM, 2, Operation.SLT),
    _immediate("sltiu", _OP_IMM, 3, Operation.SLTU),
    _immediate("xori", _OP_IMM, 4, Operation.XOR),
    _immediate("ori", _OP_IMM, 6, Operation.OR),
    _immediate("andi", _OP_IMM, 7, Operation.AND),
    _shift("slli", _OP_IMM, 1, 0x00, Operation.SLL, Format.SHIFT_6),
    _shift("srli", _OP_IMM, 5, 0x00, Operation.SRL, Format.SHIFT_6),
    _shift("srai", _OP_IMM, 5, 0x20, Operation.SRA, Format.SHIFT_6),
    _immediate("addiw", _OP_IMM_32, 0, Operation.ADDW),
    _shift("slliw", _OP_IMM_32, 1, 0x00, Operation.SLLW, Format.SHIFT_5),
    _shift("srliw", _OP_IMM_32, 5, 0x00, Operation.SRLW, Format.SHIFT_5),
    _shift("sraiw", _OP_IMM_32, 5, 0x20, Operation.SRAW, Format.SHIFT_5),
    # A constant, and a constant added to pc: both are ADD of x0 and an immediate.
    Instruction("lui", Format.U, _OPCODE, _LUI, Operation.ADD, True),
    Instruction("auipc", Format.U, _OPCODE, _AUIPC, Operation.ADD, True),
    # Integer computation, register with register.
    _register("add", _OP, 0, 0x00, Operation.ADD),
    _register("sub", _OP, 0, 0x20, Operation.SUB),
    _register("sll", _OP, 1, 0x00, Operation.SLL),
    _register("slt", _OP, 2, 0x00, Operation.SLT),
    _register("sltu", _OP, 3, 0x00, Operation.SLTU),
    _register("xor", _OP, 4, 0x00, Operation.XOR),
    _register("srl", _OP, 5, 0x00, Operation.SRL),
    _register("sra", _OP, 5, 0x20, Operation.SRA),
    _register("or", _OP, 6, 0x00, Operation.OR),
    _register("and", _OP, 7, 0x00, Operation.AND),
    _register("addw", _OP_32, 0, 0x00, Operation.ADDW),
    _register("subw", _OP_32, 0, 0x20, Operation.SUBW),
    _register("sllw", _OP_32, 1, 0x00, Operation.SLLW),
    _register("srlw", _OP_32, 5, 0x00, Operation.SRLW),
    _register("sraw", _OP_32, 5, 0x20, Operation.SRAW),
    # Control transfer.
    _store_or_branch("beq", _BRANCH, 0, Operation.BEQ, Format.B),
    _store_or_branch("bne", _BRANCH, 1, Operation.BNE, Format.B),
    _store_or_branch("blt", _BRANCH, 4, Operation.BLT, Format.B),
    _store_or_branch("bge", _BRANCH, 5, Operation.BGE, Format.B),
    _store_or_branch("bltu", _BRANCH, 6, Operation.BLTU, Format.B),
    _store_or_branch("bgeu", _BRANCH, 7, Operation.BGEU, Format.B),
    Instruction("jal", Format.J, _OPCODE, _JAL, Operation.JAL, False),
    _immediate("jalr", _JALR, 0, Operation.JALR, alu=False),
    # Loads and stores.
    _immediate("lb", _LOAD, 0, Operation.LB, alu=False),
    _immediate("lh", _LOAD, 1, Operation.LH, alu=False),
    _immediate("lw", _LOAD, 2, Operation.LW, alu=False),
    _immediate("ld", _LOAD, 3, Operation.LD, alu=False),
    _immediate("lbu", _LOAD, 4, Operation.LBU, alu=False),
    _immediate("lhu", _LOAD, 5, Operation.LHU, alu=False),
    _immediate("lwu", _LOAD, 6, Operation.LWU, alu=False),
    _store_or_branch("sb", _STORE, 0, Operation.SB, Format.S),
    _store_or_branch("sh", _STORE, 1, Operation.SH, Format.S),
    _store_or_branch("sw", _STORE, 2, Operation.SW, Format.S),
    _store_or_branch("sd", _STORE, 3, Operation.SD, Format.S),
    # Multiplication and division.
    _register("mul", _OP, 0, 0x01, Operation.MUL),
    _register("mulh", _OP, 1, 0x01, Operation.MULH),
    _register("mulhsu", _OP, 2, 0x01, Operation.MULHSU),
    _register("mulhu", _OP, 3, 0x01, Operation.MULHU),
    _register("div", _OP, 4, 0x01, Operation.DIV),
    _register("divu", _OP, 5, 0x01, Operation.DIVU),
    _register("rem", _OP, 6, 0x01, Operation.REM),
    _register("remu", _OP, 7, 0x01, Operation.REMU),
    _register("mulw", _OP_32, 0, 0x01, Operation.MULW),
    _register("divw", _OP_32, 4, 0x01, Operation.DIVW),
    _register("divuw", _OP_32, 5, 0x01, Operation.DIVUW),
    _register("remw", _OP_32, 6, 0x01, Operation.REMW),
    _register("remuw", _OP_32, 7, 0x01, Operation.REMUW),
    # Order and environment. FENCE is ADD of x0 and 0 into the sink.
    Instruction("fence", Format.FENCE, _OPCODE | _FUNCT3, _FENCE, Operation.ADD, True),
    Instruction("ecall", Format.SYSTEM, 0xFFFF_FFFF, _SYSTEM, Operation.ECALL, False),
)

BY_MNEMONIC: dict[str, Instruction] = {instruction.mnemonic: instruction for instruction in INSTRUCTIONS}

_LOADS_AND_STORES = range(Operation.LB, Operation.SD + 1)

ACCESS_BYTES: dict[Operation, int] = {
    Operation.LB: 1, Operation.LBU: 1, Operation.SB: 1,
    Operation.LH: 2, Operation.LHU: 2, Operation.SH: 2,
    Operation.LW: 4, Operation.LWU: 4, Operation.SW: 4,
    Operation.LD: 8, Operation.SD: 8,
}  # fmt: skip
"""How many bytes each load and store moves."""

FAMILY_OF_OPERATION: dict[Operation, Family] = {
    **dict.fromkeys((Operation.ADD, Operation.SUB), Family.ADD),
    **dict.fromkeys((Operation.ADDW, Operation.SUBW), Family.ADD_WORD),
    **dict.fromkeys((Operation.XOR, Operation.OR, Operation.AND), Family.BITWISE),
    **dict.fromkeys(
        (Operation.SLL, Operation.SRL, Operation.SRA, Operation.SLLW, Operation.SRLW, Operation.SRAW), Family.SHIFT
    ),
    **dict.fromkeys((Operation.SLT, Operation.SLTU), Family.LESS_THAN),
    **dict.fromkeys(map(Operation, range(Operation.BEQ, Operation.BGEU + 1)), Family.BRANCH),
    **dict.fromkeys((Operation.JAL, Operation.JALR), Family.JUMP),
    **dict.fromkeys(map(Operation, range(Operation.MUL, Operation.MULW + 1)), Family.MULTIPLY),
    **dict.fromkeys(map(Operation, range(Operation.DIV, Operation.REMUW + 1)), Family.DIVIDE),
    Operation.ECALL: Family.ECALL,
}
"""The family of every operation but loads and stores, which `memory_family` decides by address."""


def memory_family(operation: Operation, address: int) -> Family:
    """The family that proves a load or store at a byte address (an unsigned integer of any size)."""
    offset, byte_count = address % 8, ACCESS_BYTES[operation]
    is_load = operation < Operation.SB
    if offset + byte_count > 8:
        return Family.MEMORY_CROSSING
    if byte_count == 8:
        return Family.LOAD_DOUBLE if is_load else Family.STORE_DOUBLE
    return Family.LOAD_NARROW if is_load else Family.STORE_NARROW


def is_memory_operation(operation: int) -> bool:
    """Whether an operation (without IMMEDIATE_FLAG) is a load or a store."""
    return operation in _LOADS_AND_STORES


def touched_registers(format: Format) -> tuple[bool, bool, bool]:
    """Which of rs1, rs2 and rd an instruction of this format accesses (ecall's a7, a0, a1 are not among them)."""
    reads_rs1 = format in (Format.R, Format.I, Format.SHIFT_6, Format.SHIFT_5, Format.S, Format.B)
    reads_rs2 = format in (Format.R, Format.S, Format.B)
    writes_rd = format in (Format.R, Format.I, Format.SHIFT_6, Format.SHIFT_5, Format.U, Format.J, Format.FENCE)
    # LUI, AUIPC and FENCE are ADD of x0 and an immediate, and an ADD reads its rs1.
    return reads_rs1 or format in (Format.U, Format.FENCE), reads_rs2, writes_rd
