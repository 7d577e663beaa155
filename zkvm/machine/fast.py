"""
The interpreter, compiled. One source gives two kernels that do the same steps and differ in what they keep.

- `execute` runs on the whole memory, checks regions and limits, counts executions per instruction, and notes each
  doubleword at its first touch in a shard.
- `trace` runs one shard again on the doublewords its snapshot holds, and writes a row for every step into a log, which
  `sort_log` turns into the events of each family.

The meaning of a step is zkvm.machine.reference; the layout of events is zkvm.machine.events. Kernels know addresses
and counters only: what host calls mean, which limits apply and where shards end is said by their caller.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zkvm.isa.instructions import (
    ACCESS_BYTES,
    FAMILY_COUNT,
    FAMILY_OF_OPERATION,
    INSTRUCTIONS,
    Family,
    Format,
    Operation,
    memory_family,
    touched_registers,
)
from zkvm.kernels.policy import HAVE_NUMBA, kernel
from zkvm.machine import memory_map
from zkvm.machine.events import EVENT, MEMORY_SPACE, PRECOMPILE_READS, PRECOMPILE_WRITES
from zkvm.machine.fast_precompiles import (
    RESULT,
    arith256,
    arith256_mod,
    keccak_f,
    multiply_add,
    secp256k1_add,
    secp256k1_double,
    sha256_compress,
)
from zkvm.machine.syscalls import PRECOMPILE_FAMILY, Syscall

# --- what a kernel returns: why it stopped --------------------------------------------------------------------------
BUDGET_SPENT: Final = 0
"""The clk limit, a family's row limit or the limit of touched doublewords was reached, before a step."""
HOST_CALL: Final = 1
"""An ecall that only the caller acts on was executed: debug_write, region_begin, region_end. pc is past it."""
HALTED: Final = 2
"""exit was executed; pc is still at its ecall. a0 holds the code."""
UNSUPPORTED_INSTRUCTION: Final = 3
MISALIGNED_JUMP: Final = 4
MEMORY_FAULT: Final = 5
UNKNOWN_SYSCALL: Final = 6
MISALIGNED_POINTER: Final = 7
OVERLAPPING_OPERANDS: Final = 8
INVALID_OPERAND: Final = 9
MEMORY_LIMIT: Final = 10
SNAPSHOT_MISMATCH: Final = 11
"""`trace` only: the shard reached for a doubleword that its snapshot does not hold."""

_DONE: Final = -1
"""Of helpers: no reason to stop."""
_UNTOUCHED_OPERAND: Final = -2
"""Of `_call_precompile`: the doubleword in DETAIL is to be touched, and the call to be made again."""

# --- cells: every scalar that outlives a call, in one array of words. Each of these is a place in it. ------------------
# Registers come first: x0..x31, the sink, and what stands for a register that a step does not access. Those read 0 and
# forget what is written. There is one for each place, since a step that accesses neither rs1 nor rs2 does not access one
# register twice.
NO_RS1: Final = 33
NO_RS2: Final = 34
NO_RD: Final = 35
REGISTER_SLOTS: Final = 36

ACCESS: Final = 40
"""`trace` only, REGISTER_SLOTS words: the time of each register's last access as 32 bits; -1 before the first."""

FAMILY_SLOTS: Final = 24
LEFT: Final = 80
"""
FAMILY_SLOTS words: how many rows each family may still take; counted down. In `trace`, for precompile families only:
the word of `events` that the family's cursor never passes.
"""
CURSOR: Final = LEFT + FAMILY_SLOTS
"""`trace` only, FAMILY_SLOTS words: the word of `events` at which each precompile family's next row begins."""

PC: Final = CURSOR + FAMILY_SLOTS
CLK: Final = PC + 1
CLK_LIMIT: Final = PC + 2
"""No step begins at or after this time."""
DETAIL: Final = PC + 3
"""What belongs to the reason: a word, target, address or syscall number."""
# The others belong to `execute` only.
SHARD: Final = PC + 4
"""The number that marks a doubleword as touched; 1..65535."""
TOUCHED: Final = PC + 5
"""Doublewords touched first in this shard."""
TOUCHED_LIMIT: Final = PC + 6
"""A shard ends before a step that could bring TOUCHED above this."""
PAGES: Final = PC + 7
PAGE_LIMIT: Final = PC + 8
MISALIGNED: Final = PC + 9
"""Loads and stores whose address is not a multiple of their size."""
GRAIN: Final = PC + 10
"""Touching is noted per 2^GRAIN doublewords: 0 where shards are planned, else up to PAGE_GRAIN."""
HIGH: Final = PC + 11
"""`trace` only: the word of `log` at which the HIGH_WORDS of the next crossing step go."""
CELL_COUNT: Final = PC + 16

PAGE_GRAIN: Final = 9
"""log2 of the doublewords in a page; every region is whole pages."""

PRECOMPILE_TOUCH_LIMIT: Final = 40
"""More doublewords than any single step touches."""

NO_FAMILY: Final = FAMILY_COUNT
"""Of instructions that are not supported."""

UNTOUCHED: Final = 1
"""In `last_touch`: in the snapshot, not yet touched in this shard. 0 = not in the snapshot, else time + 2."""

_INSTRUCTION_WORDS: Final = 2


def pack_instructions(decoded: NDArray[np.void], words: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """
    The interpreter's form of a program.

    decoded: (n,) DECODED; words: (n,) the instruction words. Returns (2 n + 2,) uint64; of instruction i, word 2i holds
    bytes: operation (all loads but LD are LB, all stores but SD are SB; _ADD_IMMEDIATE), rs1, rs2, rd (NO_RS1 and so on
    where not accessed), family, the shift that leaves a load's or store's bytes at the top of a word, 1 where a load
    sign-extends; word 2i + 1 holds the immediate, or the unsupported word itself. The last two words are the mark of
    what lies outside.
    """
    packed = np.empty((len(decoded) + 1, _INSTRUCTION_WORDS), dtype=np.uint64)
    packed[:-1, 0] = _WORD_OF_MNEMONIC[decoded["mnemonic"]]
    # Registers that an instruction does not access are 0 in the decoded form.
    for name, position in (("rs1", _U8), ("rs2", _U16), ("rd", _U24)):
        packed[:-1, 0] |= decoded[name].astype(np.uint64) << position
    packed[:-1, 1] = np.where(decoded["operation"] == 0, words, decoded["immediate"])
    packed[-1] = _OUTSIDE, 0
    return packed.reshape(-1)


_U0 = np.uint64(0)
_U1 = np.uint64(1)
_U2 = np.uint64(2)
_U3 = np.uint64(3)
_U4 = np.uint64(4)
_U5 = np.uint64(5)
_U6 = np.uint64(6)
_U7 = np.uint64(7)
_U8 = np.uint64(8)
_U9 = np.uint64(9)
_U10 = np.uint64(10)
_U11 = np.uint64(11)
_U12 = np.uint64(12)
_U16 = np.uint64(16)
_U24 = np.uint64(24)
_U32 = np.uint64(32)
_U61 = np.uint64(61)
_U63 = np.uint64(63)
_U64 = np.uint64(64)
_BYTE = np.uint64(0xFF)
_LOW5 = np.uint64(31)
_LOW6 = np.uint64(63)
_LOW32 = np.uint64(0xFFFF_FFFF)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)

_DOUBLEWORD_COUNT = np.uint64(1 << (memory_map.ADDRESS_BITS - 3))
_PAGE_SHIFT = np.uint64(PAGE_GRAIN)
# DATA, INPUT and OUTPUT are neighbours: two ranges of doublewords are readable.
_LOWER_START = np.uint64(memory_map.DATA_START >> 3)
_LOWER_END = np.uint64(memory_map.OUTPUT_END >> 3)
_UPPER_START = np.uint64(memory_map.RAM_START >> 3)
_UPPER_END = np.uint64(memory_map.RAM_END >> 3)

# Operations and families as plain integers: the compiler takes enums, but types them anew at every use.
_ADD, _SUB, _ADDW, _SUBW = int(Operation.ADD), int(Operation.SUB), int(Operation.ADDW), int(Operation.SUBW)
_XOR, _OR, _AND = int(Operation.XOR), int(Operation.OR), int(Operation.AND)
_SLL, _SRL, _SRA = int(Operation.SLL), int(Operation.SRL), int(Operation.SRA)
_SLLW, _SRLW, _SRAW = int(Operation.SLLW), int(Operation.SRLW), int(Operation.SRAW)
_SLT, _SLTU = int(Operation.SLT), int(Operation.SLTU)
_BEQ, _BNE, _BLT = int(Operation.BEQ), int(Operation.BNE), int(Operation.BLT)
_BGE, _BLTU, _BGEU = int(Operation.BGE), int(Operation.BLTU), int(Operation.BGEU)
_JAL, _JALR = int(Operation.JAL), int(Operation.JALR)
_MUL, _MULH, _MULHSU = int(Operation.MUL), int(Operation.MULH), int(Operation.MULHSU)
_MULHU, _MULW = int(Operation.MULHU), int(Operation.MULW)
_DIV, _DIVU, _REM, _REMU = int(Operation.DIV), int(Operation.DIVU), int(Operation.REM), int(Operation.REMU)
_DIVW, _DIVUW, _REMW, _REMUW = int(Operation.DIVW), int(Operation.DIVUW), int(Operation.REMW), int(Operation.REMUW)
_LOAD, _STORE, _ECALL = int(Operation.LB), int(Operation.SB), int(Operation.ECALL)
_OUTSIDE: Final = 1 + max(Operation)
"""In packed code: stands behind the last instruction and for every pc outside of TEXT."""
_ADD_IMMEDIATE: Final = 2 + max(Operation)
"""In packed code: ADD with an immediate, of an rs1 and to an rd, LUI and AUIPC included: a quarter of all steps."""
_LOAD_DOUBLE, _STORE_DOUBLE = int(Operation.LD), int(Operation.SD)

_CROSSING = np.uint64(Family.MEMORY_CROSSING)
_ECALL_REGISTERS = np.uint64(1 << 10 | 1 << 11 | 1 << 17)

# Places in `cells` as words, to be added to registers and families.
_ACCESS, _LEFT, _CURSOR = np.uint64(ACCESS), np.uint64(LEFT), np.uint64(CURSOR)
_LEFT_ADD, _LEFT_BRANCH, _LEFT_JUMP = (np.uint64(LEFT + family) for family in (Family.ADD, Family.BRANCH, Family.JUMP))
_LEFT_LOAD_DOUBLE, _LEFT_STORE_DOUBLE = np.uint64(LEFT + Family.LOAD_DOUBLE), np.uint64(LEFT + Family.STORE_DOUBLE)
_LEFT_ECALL = np.uint64(LEFT + Family.ECALL)
_NO_RS1, _NO_RS2 = np.uint64(NO_RS1), np.uint64(NO_RS2)
# Bytes of a packed instruction; the first is its operation.
_RS1, _RS2, _RD, _FAMILY, _SHIFT, _IS_SIGNED = (np.uint64(byte) for byte in range(1, 7))

_EXIT, _DEBUG_WRITE = np.uint64(Syscall.EXIT), np.uint64(Syscall.DEBUG_WRITE)
_REGION_BEGIN, _REGION_END = np.uint64(Syscall.REGION_BEGIN), np.uint64(Syscall.REGION_END)
_FIRST_PRECOMPILE = np.uint64(min(PRECOMPILE_FAMILY))
_LAST_PRECOMPILE = np.uint64(max(PRECOMPILE_FAMILY))

# Per precompile, by number: family, words read at a0, words read at a1, words written at a0, words written at a1.
_PRECOMPILE_SHAPES = np.array(
    [
        (family, *PRECOMPILE_READS[family], *PRECOMPILE_WRITES[family])
        for _, family in sorted(PRECOMPILE_FAMILY.items())
    ],
    dtype=np.int64,
)


def _words_of_mnemonics() -> NDArray[np.uint64]:
    """(256,) uint64 by index into INSTRUCTIONS: a packed instruction's first word, its accessed registers still 0."""
    words = np.full(256, NO_RS1 << 8 | NO_RS2 << 16 | NO_RD << 24 | NO_FAMILY << 32, dtype=np.uint64)
    for index, line in enumerate(INSTRUCTIONS):
        operation, family, shift, extension = int(line.operation), NO_FAMILY, 0, 0
        if line.operation in ACCESS_BYTES:
            shift = 64 - 8 * ACCESS_BYTES[line.operation]
            extension = int(line.operation in (Operation.LB, Operation.LH, Operation.LW))
            if line.operation not in (Operation.LD, Operation.SD):
                operation = _STORE if line.format == Format.S else _LOAD
            # In all but crossing cases.
            family = int(memory_family(line.operation, 0))
        else:
            family = int(FAMILY_OF_OPERATION[line.operation])
        registers = 0
        accessed = touched_registers(line.format)
        if line.operation == Operation.ADD and accessed == (True, False, True):
            operation = _ADD_IMMEDIATE
        for is_accessed, no_register, position in zip(accessed, (NO_RS1, NO_RS2, NO_RD), (8, 16, 24), strict=True):
            registers |= 0 if is_accessed else no_register << position
        words[index] = operation | registers | family << 32 | shift << 40 | extension << 48
    return words


_WORD_OF_MNEMONIC = _words_of_mnemonics()

_EVENT_WORDS = np.array([EVENT[family].itemsize // 8 for family in Family] + [0], dtype=np.uint64)

LOG_WORDS: Final = 6
"""
Words of a log's row, which says what a step found and what it wrote. There is one for each 4 ticks, so its place says
its time; of an ecall's two only the first is written.

0: the instruction, + 2^31 if the step is a load or store of two doublewords; times 2^32, the time of the access to rs1
   before.
1: the times of the accesses before to rs2 and, times 2^32, to rd. A load has the doubleword in the place of rs2, a store
   in the place of rd: then it is the time + 2. Anything for a register that is not accessed.
2..5: a, b, result and rd_old of STEP_EVENT. A load has the doubleword before in the place of b; a store has the
   doubleword after and before in the places of result and rd_old.
An ecall: times of a7 in word 0, of a0 and a1 in word 1; a7, a0, a1 in words 2..4.
"""
HIGH_WORDS: Final = 3
"""Words on the higher of a step's two doublewords: the time of the access before + 2, its value before and after."""

_LOG_WORDS, _HIGH_WORDS = np.uint64(LOG_WORDS), np.uint64(HIGH_WORDS)
_CROSSING_MARK = np.uint64(1 << 31)
_INDEX = _CROSSING_MARK - _U1


@kernel(inline=True)
def _extend_32(value):
    """The low 32 bits, sign-extended."""
    return np.uint64(np.int64(np.int32(np.uint32(value & _LOW32))))


@kernel(inline=True)
def _magnitude(value):
    return _U0 - value if value >> _U63 else value


@kernel
def _divide(a, b):
    """DIV of RV64M: truncated, -1 for division by zero, no overflow trap."""
    if b == _U0:
        return _ALL
    quotient = _magnitude(a) // _magnitude(b)
    return _U0 - quotient if (a ^ b) >> _U63 else quotient


@kernel
def _remainder(a, b):
    """REM of RV64M: the sign of the dividend; the dividend itself for division by zero."""
    if b == _U0:
        return a
    remainder = _magnitude(a) % _magnitude(b)
    return _U0 - remainder if a >> _U63 else remainder


@kernel
def _compute(precompile, io):
    """Runs precompile 0..5 on the operands in io; False where they have no result."""
    if precompile == 0:
        keccak_f(io)
    elif precompile == 1:
        sha256_compress(io)
    elif precompile == 2:
        return secp256k1_add(io)
    elif precompile == 3:
        return secp256k1_double(io)
    elif precompile == 4:
        arith256(io)
    else:
        return arith256_mod(io)
    return True


@kernel
def _call_precompile(is_tracing, is_again, number, a0, a1, cells, memory, io, last_shard, last_touch, events):
    """
    One precompile call of `execute` or, if is_tracing, of `trace`: checks, result, events.

    Returns _DONE, a reason to stop or _UNTOUCHED_OPERAND. is_again: it returned that for this very call before.

    Unlike in the interpreter, is_tracing is no compile-time constant: numba does not find a kernel in its cache again
    that closes over another kernel, so there is one for both.
    """
    shape = _PRECOMPILE_SHAPES[number - _FIRST_PRECOMPILE]
    family = np.uint64(shape[0])
    read_0, read_1, write_0, write_1 = shape[1], shape[2], shape[3], shape[4]
    read_count, write_count = read_0 + read_1, write_0 + write_1
    uses_a1 = read_1 + write_1 > 0
    if cells[_LEFT + family] == (cells[_CURSOR + family] if is_tracing else _U0):
        return BUDGET_SPENT
    if a0 & _U7:
        cells[DETAIL] = a0
        return MISALIGNED_POINTER
    if uses_a1 and a1 & _U7:
        cells[DETAIL] = a1
        return MISALIGNED_POINTER
    if not (is_tracing or is_again) and cells[TOUCHED] + np.uint64(PRECOMPILE_TOUCH_LIMIT) > cells[TOUCHED_LIMIT]:
        return BUDGET_SPENT

    extent_0, extent_1 = max(read_0, write_0), max(read_1, write_1)
    for i in range(extent_0 + extent_1):
        start = a0 if i < extent_0 else a1
        doubleword = (start >> _U3) + np.uint64(i if i < extent_0 else i - extent_0)
        if doubleword >= _DOUBLEWORD_COUNT:
            cells[DETAIL] = doubleword << _U3
            return MEMORY_FAULT
        if is_tracing:
            if last_touch[doubleword] == 0:
                return SNAPSHOT_MISMATCH
        elif np.uint64(last_shard[doubleword >> cells[GRAIN]]) != cells[SHARD]:
            cells[DETAIL] = doubleword
            return _UNTOUCHED_OPERAND
    if read_1 > 0 and a1 - a0 + np.uint64(8 * read_1) - _U1 < np.uint64(8 * (read_0 + read_1)) - _U1:
        cells[DETAIL] = a1
        return OVERLAPPING_OPERANDS

    first_0, first_1 = a0 >> _U3, a1 >> _U3
    for i in range(read_count):
        io[i] = memory[first_0 + np.uint64(i)] if i < read_0 else memory[first_1 + np.uint64(i - read_0)]
    if not _compute(np.int64(number - _FIRST_PRECOMPILE), io):
        cells[DETAIL] = number
        return INVALID_OPERAND
    target = first_0 if write_0 > 0 else first_1

    if not is_tracing:
        cells[_LEFT + family] -= _U1
    else:
        clk = cells[CLK]
        at = cells[_CURSOR + family]
        cells[_CURSOR + family] = at + _EVENT_WORDS[family]
        events[at] = clk | cells[PC] << _U32
        events[at + _U1] = a0 | (a1 if uses_a1 else _U0) << _U32
        words = at + _U2
        times = words + np.uint64(read_count + 2 * write_count)
        # Times are packed two to a word, the event array being one of words.
        time_count = read_count + write_count
        for i in range((time_count + 1) // 2):
            events[times + np.uint64(i)] = _U0
        for i in range(read_count):
            doubleword = first_0 + np.uint64(i) if i < read_0 else first_1 + np.uint64(i - read_0)
            previous = (np.uint64(last_touch[doubleword]) - _U2) & _LOW32
            last_touch[doubleword] = clk + _U3 + _U2
            events[words + np.uint64(i)] = io[i]
            events[times + np.uint64(i // 2)] |= previous << np.uint64(32 * (i % 2))
        for i in range(write_count):
            doubleword = target + np.uint64(i)
            previous = (np.uint64(last_touch[doubleword]) - _U2) & _LOW32
            last_touch[doubleword] = clk + _U4 + _U2
            events[words + np.uint64(read_count + i)] = memory[doubleword]
            events[words + np.uint64(read_count + write_count + i)] = io[RESULT + i]
            j = read_count + i
            events[times + np.uint64(j // 2)] |= previous << np.uint64(32 * (j % 2))
    for i in range(write_count):
        memory[target + np.uint64(i)] = io[RESULT + i]
    return _DONE


if HAVE_NUMBA:
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def byte_of(typing_context: Any, words: Any, position: Any) -> Any:
        """Byte `position`, a uint64, of a 1d array of words, as uint64."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            start = builder.bitcast(array.data, ir.IntType(8).as_pointer())
            return builder.zext(builder.load(builder.gep(start, [arguments[1]])), ir.IntType(64))

        return types.uint64(words, types.uint64), generate

else:

    def byte_of(words: Any, position: Any) -> Any:
        """Byte `position`, a uint64, of a 1d array of words, as uint64."""
        return words[position >> _U3] >> ((position & _U7) << _U3) & _BYTE


@kernel(inline=True)
def access(cells, register, time):
    """
    Moves the time of a register's last access on and returns the one before.

    To be called in the order of the accesses: where one register stands in two places, the later access sees the
    earlier one. The order of loads and stores does that without a branch, which the processor could not predict.
    """
    previous = cells[_ACCESS + register]
    cells[_ACCESS + register] = time
    return previous


@kernel(inline=True)
def turn(address):
    """address / 8 for a multiple of 8; at least 2^61 for any other."""
    return address >> _U3 | address << _U61


@kernel(inline=True)
def extend(top, shift, is_signed):
    """A load's result from the bytes it loads, which stand at the top of a word."""
    return np.uint64(np.int64(top) >> np.int64(shift)) if is_signed else top >> shift


@kernel(inline=True)
def write_log(log, row, index, time_0, time_1, time_2, value_0, value_1, value_2, value_3):
    """Writes LOG_WORDS at log[row]; times below 2^32."""
    log[row] = index | time_0 << _U32
    log[row + _U1] = time_1 | time_2 << _U32
    log[row + _U2] = value_0
    log[row + _U3] = value_1
    log[row + _U4] = value_2
    log[row + _U5] = value_3


# What is left of a step once its operation is done.
_COMPUTED: Final = 0
"""A result goes to rd."""
_BRANCHED: Final = 1
_CALLED: Final = 2
"""An ecall has done its work."""
_HELD: Final = 3
"""A load or store that reaches into a second doubleword, is a first touch, or cannot be done, is still all to do."""
_UNTOUCHED: Final = 4
"""Memory is to be touched, and the instruction to be tried again."""


@kernel
def close_flow(code: NDArray[np.uint64], flow: NDArray[np.uint64], total: NDArray[np.uint64]) -> np.uint64:
    """
    Adds a shard's flow to total and clears it. Arrays as in `execute`.

    Returns the registers that what was executed accesses: bit r for register r, 0..32; bits above say nothing.
    """
    executions = _U0
    mask = _U0
    for i in range(flow.size):
        change = flow[i]
        if change != _U0:
            executions += change
            total[i] += change
            flow[i] = _U0
        if executions != _U0:
            packed = code[2 * i]
            for position in (_U8, _U16, _U24):
                mask |= _U1 << (packed >> position & _BYTE)
            if packed & _BYTE == _ECALL:
                mask |= _ECALL_REGISTERS
    return mask


@kernel
def sort_touches(keys, first_touch, address, first_value, previous_shard):
    """
    Spreads a shard's first touches over three arrays, in the order of the keys.

    keys: (m,) uint64, ascending, 2^32 times a doubleword plus its place in first_touch (of `execute`). address,
    first_value, previous_shard: (m,) uint32, uint64, uint32, written.
    """
    for i in range(keys.size):
        place = (keys[i] & _LOW32) << _U1
        address[i] = keys[i] >> _U32
        previous_shard[i] = first_touch[place] >> _U32
        first_value[i] = first_touch[place + _U1]


@kernel
def lay_out(address, first_value, memory, last_touch):
    """Makes memory what it is when a shard begins. address: (m,) uint32; first_value: (m,) uint64; others as in `trace`."""
    for i in range(address.size):
        memory[address[i]] = first_value[i]
        last_touch[address[i]] = UNTOUCHED


@kernel
def clear_away(address, first_value, previous_shard, memory, last_touch, rows):
    """
    Undoes `lay_out` when the shard has ended, and writes the rows of its boundary that belong to memory.

    previous_shard: (m,) uint32. rows: (m, 4) uint64, BOUNDARY. Returns how many doublewords the shard did not touch.
    """
    untouched = 0
    for i in range(address.size):
        doubleword = np.uint64(address[i])
        time = np.uint64(last_touch[doubleword])
        last_touch[doubleword] = 0
        untouched += time <= np.uint64(UNTOUCHED)
        rows[i, 0] = np.uint64(MEMORY_SPACE) | doubleword << _U32
        rows[i, 1] = np.uint64(previous_shard[i]) | (time - _U2) << _U32
        rows[i, 2] = first_value[i]
        rows[i, 3] = memory[doubleword]
    return untouched


@kernel
def fill_image(pages, memory, last_shard, data_start, data, input_start, private_input, output_start, output_end, rows):
    """
    Writes the memory image of some pages: a row for each doubleword that a shard touched or that lies in the program's
    data or in the output. Returns the number of rows.

    pages: (k,) int64. data, private_input: the initial words from a doubleword on. rows: (512 k, 4) uint64, IMAGE.
    """
    count = 0
    for page in pages:
        first = np.uint64(page) << _PAGE_SHIFT
        for i in range(1 << PAGE_GRAIN):
            doubleword = first + np.uint64(i)
            shard = np.uint64(last_shard[doubleword])
            in_data, in_input = doubleword - data_start, doubleword - input_start
            is_data = in_data < np.uint64(data.size)
            if shard != _U0 or is_data or output_start <= doubleword < output_end:
                initial = _U0
                if is_data:
                    initial = data[in_data]
                elif in_input < np.uint64(private_input.size):
                    initial = private_input[in_input]
                rows[count, 0] = np.uint64(MEMORY_SPACE) | doubleword << _U32
                rows[count, 1] = shard
                rows[count, 2] = initial
                rows[count, 3] = memory[doubleword]
                count += 1
    return count


def _make_interpreter(is_tracing: bool) -> Any:
    """`execute` or `trace`: the branches of the other fall away when compiled."""

    @kernel
    def interpret(
        code, text_start, cells, memory, io, flow, last_shard, page_is_touched, first_touch, last_touch, log, events
    ):
        # `at`: where the instruction stands in `code`. Outside of TEXT that is `end`, and `stray` is the pc.
        end = np.uint64(code.size) - _U2
        stray = cells[PC]
        at = min((stray - text_start) >> _U1, end)
        if at < end:
            stray = text_start + (end << _U1)
        clk, clk_limit = cells[CLK], cells[CLK_LIMIT]
        shard, grain = cells[SHARD], cells[GRAIN]
        if not is_tracing:
            flow[at >> _U1] += _U1
        reason = BUDGET_SPENT
        # When a precompile call was last found to have untouched operands.
        again_clk = _ALL
        # Where in `log` the step is written.
        row = _U0
        while clk < clk_limit:
            place = at << _U3
            operation = np.int64(byte_of(code, place))
            immediate = code[at + _U1]
            rs1 = byte_of(code, place + _RS1)
            a = cells[rs1]
            rest = _COMPUTED
            result = _U0
            is_taken = False

            # The most frequent operations come first, each complete: what follows is a jump through a table, which the
            # processor predicts worse than these branches.
            if operation == _ADD_IMMEDIATE:
                result = a + immediate
                rd = byte_of(code, place + _RD)
                if is_tracing:
                    previous_rs1 = access(cells, rs1, clk)
                    previous_rd = access(cells, rd, clk + _U3)
                    write_log(log, row, at >> _U1, previous_rs1, _U0, previous_rd, a, immediate, result, cells[rd])
                    row += _LOG_WORDS
                else:
                    if cells[_LEFT_ADD] == _U0:
                        break
                    cells[_LEFT_ADD] -= _U1
                cells[rd] = result
                at += _U2
                clk += _U4
                continue
            elif operation == _LOAD_DOUBLE:
                # An address that is no multiple of 8 is turned into one far above all memory.
                doubleword = turn(a + immediate)
                if doubleword < _DOUBLEWORD_COUNT:
                    if is_tracing:
                        time = np.uint64(last_touch[doubleword])
                        if time == _U0:
                            reason = SNAPSHOT_MISMATCH
                            break
                        last_touch[doubleword] = clk + _U4
                        old = memory[doubleword]
                        rd = byte_of(code, place + _RD)
                        previous_rs1 = access(cells, rs1, clk)
                        previous_rd = access(cells, rd, clk + _U3)
                        write_log(log, row, at >> _U1, previous_rs1, time, previous_rd, a, old, old, cells[rd])
                        row += _LOG_WORDS
                        cells[rd] = old
                        at += _U2
                        clk += _U4
                        continue
                    elif np.uint64(last_shard[doubleword >> grain]) == shard and cells[_LEFT_LOAD_DOUBLE] != _U0:
                        cells[_LEFT_LOAD_DOUBLE] -= _U1
                        cells[byte_of(code, place + _RD)] = memory[doubleword]
                        at += _U2
                        clk += _U4
                        continue

            rs2 = byte_of(code, place + _RS2)
            register_b = cells[rs2]
            # Of the two, one is always 0: an unaccessed register reads 0, and register forms have no immediate.
            b = register_b + immediate
            if operation == _STORE_DOUBLE:
                rest = _HELD
                doubleword = turn(a + immediate)
                if doubleword < _DOUBLEWORD_COUNT:
                    if is_tracing:
                        time = np.uint64(last_touch[doubleword])
                        if time == _U0:
                            reason = SNAPSHOT_MISMATCH
                            break
                        last_touch[doubleword] = clk + _U4
                        previous_rs1 = access(cells, rs1, clk)
                        previous_rs2 = access(cells, rs2, clk + _U1)
                        old = memory[doubleword]
                        write_log(log, row, at >> _U1, previous_rs1, previous_rs2, time, a, register_b, register_b, old)
                        row += _LOG_WORDS
                        memory[doubleword] = register_b
                        at += _U2
                        clk += _U4
                        continue
                    elif np.uint64(last_shard[doubleword >> grain]) == shard and cells[_LEFT_STORE_DOUBLE] != _U0:
                        cells[_LEFT_STORE_DOUBLE] -= _U1
                        memory[doubleword] = register_b
                        at += _U2
                        clk += _U4
                        continue
            elif operation == _LOAD or operation == _STORE or operation == _LOAD_DOUBLE:
                rest = _HELD
            elif operation == _BEQ:
                is_taken = a == register_b
                rest = _BRANCHED
            elif operation == _BNE:
                is_taken = a != register_b
                rest = _BRANCHED
            elif operation == _BLT:
                is_taken = np.int64(a) < np.int64(register_b)
                rest = _BRANCHED
            elif operation == _BGE:
                is_taken = np.int64(a) >= np.int64(register_b)
                rest = _BRANCHED
            elif operation == _BLTU:
                is_taken = a < register_b
                rest = _BRANCHED
            elif operation == _BGEU:
                is_taken = a >= register_b
                rest = _BRANCHED
            elif operation == _JAL or operation == _JALR:
                # JAL reads no register: a = 0 and its immediate is the target, which is even.
                target = (a + immediate) & ~_U1
                if target & _U3:
                    cells[DETAIL] = target
                    reason = MISALIGNED_JUMP
                    break
                result = text_start + (at << _U1) + _U4
                rd = byte_of(code, place + _RD)
                if is_tracing:
                    previous_rs1 = access(cells, rs1, clk)
                    previous_rd = access(cells, rd, clk + _U3)
                    write_log(log, row, at >> _U1, previous_rs1, _U0, previous_rd, a, target, result, cells[rd])
                    row += _LOG_WORDS
                else:
                    if cells[_LEFT_JUMP] == _U0:
                        break
                    cells[_LEFT_JUMP] -= _U1
                    flow[(at >> _U1) + _U1] -= _U1
                cells[rd] = result
                clk += _U4
                at = (target - text_start) >> _U1
                if at >= end:
                    at = end
                    stray = target
                if not is_tracing:
                    flow[at >> _U1] += _U1
                continue
            elif operation == _ADD:
                result = a + b
            elif operation == _SUB:
                result = a - b
            elif operation == _ADDW:
                result = _extend_32(a + b)
            elif operation == _SUBW:
                result = _extend_32(a - b)
            elif operation == _XOR:
                result = a ^ b
            elif operation == _OR:
                result = a | b
            elif operation == _AND:
                result = a & b
            elif operation == _SLL:
                result = a << (b & _LOW6)
            elif operation == _SRL:
                result = a >> (b & _LOW6)
            elif operation == _SRA:
                result = np.uint64(np.int64(a) >> np.int64(b & _LOW6))
            elif operation == _SLLW:
                result = _extend_32(a << (b & _LOW5))
            elif operation == _SRLW:
                result = _extend_32((a & _LOW32) >> (b & _LOW5))
            elif operation == _SRAW:
                result = np.uint64(np.int64(_extend_32(a)) >> np.int64(b & _LOW5))
            elif operation == _SLT:
                result = np.uint64(np.int64(a) < np.int64(b))
            elif operation == _SLTU:
                result = np.uint64(a < b)
            elif operation == _MUL:
                result = a * b
            elif operation == _MULHU:
                result = multiply_add(a, b, _U0, _U0)[0]
            elif operation == _MULH:
                # As signed numbers, a and b are 2^64 less where their top bit is set.
                result = multiply_add(a, b, _U0, _U0)[0] - (b if a >> _U63 else _U0) - (a if b >> _U63 else _U0)
            elif operation == _MULHSU:
                result = multiply_add(a, b, _U0, _U0)[0] - (b if a >> _U63 else _U0)
            elif operation == _MULW:
                result = _extend_32(a * b)
            elif operation == _DIV:
                result = _divide(a, b)
            elif operation == _DIVU:
                result = a // b if b != _U0 else _ALL
            elif operation == _REM:
                result = _remainder(a, b)
            elif operation == _REMU:
                result = a % b if b != _U0 else a
            elif operation == _DIVW:
                result = _extend_32(_divide(_extend_32(a), _extend_32(b)))
            elif operation == _DIVUW:
                divisor = b & _LOW32
                result = _extend_32((a & _LOW32) // divisor) if divisor != _U0 else _ALL
            elif operation == _REMW:
                result = _extend_32(_remainder(_extend_32(a), _extend_32(b)))
            elif operation == _REMUW:
                divisor = b & _LOW32
                result = _extend_32((a & _LOW32) % divisor if divisor != _U0 else a)
            elif operation == _ECALL:
                if not is_tracing and cells[_LEFT_ECALL] == _U0:
                    break
                number, a0, a1 = cells[17], cells[10], cells[11]
                stop = _DONE
                rest = _CALLED
                if _FIRST_PRECOMPILE <= number <= _LAST_PRECOMPILE:
                    cells[PC], cells[CLK] = text_start + (at << _U1), clk
                    stop = _call_precompile(
                        is_tracing, again_clk == clk, number, a0, a1, cells, memory, io, last_shard, last_touch, events
                    )
                    if stop == _UNTOUCHED_OPERAND:
                        again_clk = clk
                        rest = _UNTOUCHED
                    elif stop != _DONE:
                        reason = stop
                        break
                elif number == _EXIT:
                    stop = HALTED
                elif number == _DEBUG_WRITE or number == _REGION_BEGIN or number == _REGION_END:
                    # They change nothing, so a traced run has no need to stop for them.
                    if not is_tracing:
                        stop = HOST_CALL
                else:
                    cells[DETAIL] = number
                    reason = UNKNOWN_SYSCALL
                    break
            elif operation == _OUTSIDE:
                cells[DETAIL] = stray
                reason = MEMORY_FAULT
                break
            else:
                cells[DETAIL] = immediate
                reason = UNSUPPORTED_INSTRUCTION
                break

            if rest == _COMPUTED:
                rd = byte_of(code, place + _RD)
                if is_tracing:
                    previous_rs1 = access(cells, rs1, clk)
                    previous_rs2 = access(cells, rs2, clk + _U1)
                    previous_rd = access(cells, rd, clk + _U3)
                    write_log(log, row, at >> _U1, previous_rs1, previous_rs2, previous_rd, a, b, result, cells[rd])
                    row += _LOG_WORDS
                else:
                    family = byte_of(code, place + _FAMILY)
                    if cells[_LEFT + family] == _U0:
                        break
                    cells[_LEFT + family] -= _U1
                cells[rd] = result
                at += _U2
                clk += _U4
            elif rest == _BRANCHED:
                if not is_tracing and cells[_LEFT_BRANCH] == _U0:
                    break
                result = text_start + (at << _U1) + _U4
                if is_taken:
                    if immediate & _U3:
                        cells[DETAIL] = immediate
                        reason = MISALIGNED_JUMP
                        break
                    result = immediate
                if is_tracing:
                    previous_rs1 = access(cells, rs1, clk)
                    previous_rs2 = access(cells, rs2, clk + _U1)
                    write_log(log, row, at >> _U1, previous_rs1, previous_rs2, _U0, a, register_b, result, _U0)
                    row += _LOG_WORDS
                else:
                    cells[_LEFT_BRANCH] -= _U1
                at += _U2
                clk += _U4
                if is_taken:
                    if not is_tracing:
                        flow[at >> _U1] -= _U1
                    at = (immediate - text_start) >> _U1
                    if at >= end:
                        at = end
                        stray = immediate
                    if not is_tracing:
                        flow[at >> _U1] += _U1
            elif rest == _CALLED:
                if is_tracing:
                    write_log(
                        log, row, at >> _U1, cells[ACCESS + 17], cells[ACCESS + 10], cells[ACCESS + 11],
                        number, a0, a1, _U0,
                    )  # fmt: skip
                    # Eight ticks: two places in the log.
                    row += _LOG_WORDS + _LOG_WORDS
                    cells[ACCESS + 17] = clk
                    cells[ACCESS + 10] = clk + _U1
                    cells[ACCESS + 11] = clk + _U2
                else:
                    cells[_LEFT_ECALL] -= _U1
                clk += _U8
                at += _U2
                if stop != _DONE:
                    reason = stop
                    break
            else:
                first = last = cells[DETAIL]
                address = first << _U3
                if rest == _HELD:
                    address = a + immediate
                    first = address >> _U3
                    shift = byte_of(code, place + _SHIFT)
                    bit = (address & _U7) << _U3
                    is_crossing = bit > shift
                    family = _CROSSING if is_crossing else byte_of(code, place + _FAMILY)
                    last = first + np.uint64(is_crossing)
                    if first >= _DOUBLEWORD_COUNT:
                        cells[DETAIL] = address
                        reason = MEMORY_FAULT
                        break
                    if not is_tracing and cells[_LEFT + family] == _U0:
                        break
                    if last >= _DOUBLEWORD_COUNT:
                        cells[DETAIL] = address
                        reason = MEMORY_FAULT
                        break
                    time, last_time = _U0, _U0
                    if is_tracing:
                        time, last_time = np.uint64(last_touch[first]), np.uint64(last_touch[last])
                        if time == _U0 or last_time == _U0:
                            reason = SNAPSHOT_MISMATCH
                            break
                    elif np.uint64(last_shard[first >> grain]) != shard or np.uint64(last_shard[last >> grain]) != shard:
                        if cells[TOUCHED] + _U2 > cells[TOUCHED_LIMIT]:
                            break
                        rest = _UNTOUCHED
                if rest == _HELD:
                    is_load = operation == _LOAD or operation == _LOAD_DOUBLE
                    low, high = memory[first], _U0
                    new_low, new_high = low, high
                    mask = _ALL >> shift
                    if is_load:
                        top = low >> bit
                        if is_crossing:
                            high = new_high = memory[last]
                            top |= high << (_U64 - bit)
                        result = extend(top << shift, shift, byte_of(code, place + _IS_SIGNED))
                    else:
                        new_low = low & ~(mask << bit) | (register_b & mask) << bit
                        memory[first] = new_low
                        if is_crossing:
                            high = memory[last]
                            new_high = high & ~(mask >> (_U64 - bit)) | (register_b & mask) >> (_U64 - bit)
                            memory[last] = new_high
                    rd = byte_of(code, place + _RD)
                    if is_tracing:
                        last_touch[first] = clk + _U4
                        last_touch[last] = clk + _U4
                        previous_rs1 = access(cells, rs1, clk)
                        index = at >> _U1 | (_CROSSING_MARK if is_crossing else _U0)
                        if is_load:
                            previous_rd = access(cells, rd, clk + _U3)
                            write_log(log, row, index, previous_rs1, time, previous_rd, a, low, result, cells[rd])
                        else:
                            previous_rs2 = access(cells, rs2, clk + _U1)
                            write_log(log, row, index, previous_rs1, previous_rs2, time, a, register_b, new_low, low)
                        row += _LOG_WORDS
                        if is_crossing:
                            # What there is to say of the higher doubleword stands behind the log's rows.
                            high_row = cells[HIGH]
                            log[high_row] = last_time
                            log[high_row + _U1] = high
                            log[high_row + _U2] = new_high
                            cells[HIGH] = high_row + _HIGH_WORDS
                    else:
                        cells[_LEFT + family] -= _U1
                        if bit & (_U63 - shift):
                            cells[MISALIGNED] += _U1
                    if is_load:
                        cells[rd] = result
                    at += _U2
                    clk += _U4
                elif not is_tracing:
                    # Touches first to last; then the instruction is tried again.
                    while first <= last:
                        if np.uint64(last_shard[first >> grain]) != shard:
                            page = first >> _PAGE_SHIFT
                            is_lower = _LOWER_START <= first < _LOWER_END
                            if not (is_lower or _UPPER_START <= first < _UPPER_END):
                                reason = MEMORY_FAULT
                                break
                            if page_is_touched[page] == 0:
                                if cells[PAGES] >= cells[PAGE_LIMIT]:
                                    reason = MEMORY_LIMIT
                                    break
                                page_is_touched[page] = 1
                                cells[PAGES] += _U1
                            touched = cells[TOUCHED] << _U1
                            first_touch[touched] = first | np.uint64(last_shard[first >> grain]) << _U32
                            first_touch[touched + _U1] = memory[first]
                            cells[TOUCHED] += _U1
                            last_shard[first >> grain] = shard
                        first += _U1
                    if reason != BUDGET_SPENT:
                        cells[DETAIL] = address
                        break

        if not is_tracing:
            flow[at >> _U1] -= _U1
        if reason == HALTED:
            at -= _U2
        cells[PC] = text_start + (at << _U1) if at < end else stray
        cells[CLK] = clk
        return reason

    return interpret


execute = _make_interpreter(is_tracing=False)
"""
Runs until a reason to stop; returns it. Integers are wrapped to 64 bits.

code:            (2 n + 2,) uint64 of `pack_instructions`. text_start: uint64, the
                 byte address of instruction 0.
cells:           (CELL_COUNT,) uint64, named above.
memory:          (2^29,) uint64, every doubleword by address.
io:              (IO_WORDS,) uint64, scratch for precompiles.
flow:            (n + 1,) uint64, added to, mod 2^64: at i, how often control came to instruction i, less how often it
                 left the one before; where it goes on in sequence it does neither. The sum of flow[: i + 1] is how often
                 instruction i was executed.
last_shard:      (2^29 >> GRAIN,) uint16, the last shard that touched each grain of doublewords, 0 = none.
page_is_touched: (2^20,) uint8.
first_touch:     (at least 2 TOUCHED_LIMIT,) uint64: two words for each grain of doublewords at its first touch in this
                 shard: a doubleword and, 2^32 times, the shard that touched the grain before; its value before.
The remaining arguments belong to `trace`; any arrays of those types will do.
"""

trace = _make_interpreter(is_tracing=True)
"""
As `execute`, writing down every step. Of flow to first_touch any arrays of those types will do.

last_touch: (2^29,) uint32, see UNTOUCHED.
log:        uint64, from its start LOG_WORDS for every 4 ticks from CLK to CLK_LIMIT and once more; from HIGH on,
            HIGH_WORDS for each of these rows.
events:     uint64, room for every precompile family's rows from its CURSOR to its LEFT.
"""


@kernel
def sort_log(log, high, clk, end_clk, code, text_start, cursor, events):
    """
    Writes the events of the steps of a log, those of each family in their order.

    high: HIGH at the start of the log. clk, end_clk: the times at which its first step began and its last one ended.
    cursor: (FAMILY_COUNT,) uint64, the word of `events` at which each family's next row begins, moved on; there is room
    for as many as there are steps.
    """
    row = _U0
    while clk < end_clk:
        head, times = log[row], log[row + _U1]
        is_crossing = head & _CROSSING_MARK
        head ^= is_crossing
        at = (head & _INDEX) << _U1
        place = at << _U3
        operation = np.int64(byte_of(code, place))
        family = _CROSSING if is_crossing else byte_of(code, place + _FAMILY)
        out = cursor[family]
        cursor[family] = out + _EVENT_WORDS[family]
        events[out] = clk | (text_start + (at << _U1)) << _U32
        events[out + _U3] = log[row + _U2]
        clk += _U4
        if operation == _LOAD_DOUBLE or operation == _STORE_DOUBLE or operation == _LOAD or operation == _STORE:
            is_load = operation == _LOAD_DOUBLE or operation == _LOAD
            b, result, rd_old = log[row + _U3], log[row + _U4], log[row + _U5]
            time = times & _LOW32 if is_load else times >> _U32
            events[out + _U1] = head
            events[out + _U2] = times >> _U32 << _U32 if is_load else times & _LOW32
            events[out + _U4] = _U0 if is_load else b
            events[out + _U5] = result if is_load else _U0
            events[out + _U6] = rd_old if is_load else _U0
            events[out + _U7] = (log[row + _U2] + code[at + _U1]) >> _U3 | (time - _U2) << _U32
            events[out + _U8] = b if is_load else rd_old
            events[out + _U9] = b if is_load else result
            if is_crossing:
                events[out + _U10] = log[high + _U1]
                events[out + _U11] = log[high + _U2]
                events[out + _U12] = (log[high] - _U2) & _LOW32
                high += _HIGH_WORDS
        else:
            # 0 for the time of what is not accessed.
            if byte_of(code, place + _RS1) == _NO_RS1 and operation != _ECALL:
                head &= _LOW32
            if byte_of(code, place + _RS2) == _NO_RS2 and operation != _ECALL:
                times = times >> _U32 << _U32
            events[out + _U1] = head
            events[out + _U2] = times
            events[out + _U4] = log[row + _U3]
            events[out + _U5] = log[row + _U4]
            if operation == _ECALL:
                clk += _U4
                row += _LOG_WORDS
            else:
                events[out + _U6] = log[row + _U5]
        row += _LOG_WORDS
