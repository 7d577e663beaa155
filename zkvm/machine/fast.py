"""
The interpreter, compiled. One source gives two kernels that do the same steps and differ in what they keep.

- `execute` runs on the whole memory, checks regions and limits, counts executions per instruction, and notes each
  doubleword at its first touch in a shard.
- `trace` runs one shard again on the doublewords its snapshot holds, and writes every event.

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
from zkvm.machine.events import (
    CROSSING_EVENT,
    ECALL_EVENT,
    EVENT,
    MEMORY_EVENT,
    MEMORY_SPACE,
    PRECOMPILE_READS,
    PRECOMPILE_WRITES,
    STEP_EVENT,
)
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
FAMILY_SLOTS words: how many rows each family may still take; counted down. In `trace` it is left alone and holds the
word of `events` that each family's cursor never passes.
"""
CURSOR: Final = LEFT + FAMILY_SLOTS
"""`trace` only, FAMILY_SLOTS words: the word of `events` at which each family's next row begins."""

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
    bytes: operation (all loads LB, all stores SB), rs1, rs2, rd (NO_RS1 and so on where not accessed), family,
    the shift that leaves a load's or store's bytes at the top of a word, 1 where a load sign-extends; word 2i + 1 holds
    the immediate, or the unsupported word itself. The last two words are the mark of what lies outside.
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
_U40 = np.uint64(40)
_U48 = np.uint64(48)
_U63 = np.uint64(63)
_U64 = np.uint64(64)
_BYTE = np.uint64(0xFF)
_LOW5 = np.uint64(31)
_LOW6 = np.uint64(63)
_LOW32 = np.uint64(0xFFFF_FFFF)
_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_SIGN = np.uint64(1 << 63)

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

_CROSSING = np.uint64(Family.MEMORY_CROSSING)
_ECALL_REGISTERS = np.uint64(1 << 10 | 1 << 11 | 1 << 17)

# Places in `cells` as words, to be added to registers and families.
_ACCESS, _LEFT, _CURSOR = np.uint64(ACCESS), np.uint64(LEFT), np.uint64(CURSOR)
_LEFT_CROSSING, _CURSOR_CROSSING = np.uint64(LEFT + Family.MEMORY_CROSSING), np.uint64(CURSOR + Family.MEMORY_CROSSING)
_LEFT_ECALL, _CURSOR_ECALL = np.uint64(LEFT + Family.ECALL), np.uint64(CURSOR + Family.ECALL)
_LEFT_BRANCH, _CURSOR_BRANCH = np.uint64(LEFT + Family.BRANCH), np.uint64(CURSOR + Family.BRANCH)
_LEFT_JUMP, _CURSOR_JUMP = np.uint64(LEFT + Family.JUMP), np.uint64(CURSOR + Family.JUMP)

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
            operation = _STORE if line.format == Format.S else _LOAD
            # In all but crossing cases.
            family = int(memory_family(line.operation, 0))
        else:
            family = int(FAMILY_OF_OPERATION[line.operation])
        registers = 0
        for is_accessed, no_register, position in zip(
            touched_registers(line.format), (NO_RS1, NO_RS2, NO_RD), (8, 16, 24), strict=True
        ):
            registers |= 0 if is_accessed else no_register << position
        words[index] = operation | registers | family << 32 | shift << 40 | extension << 48
    return words


_WORD_OF_MNEMONIC = _words_of_mnemonics()

_EVENT_WORDS = np.array([EVENT[family].itemsize // 8 for family in Family] + [0], dtype=np.uint64)
_STEP_WORDS = np.uint64(STEP_EVENT.itemsize // 8)
_MEMORY_WORDS = np.uint64(MEMORY_EVENT.itemsize // 8)
_CROSSING_WORDS = np.uint64(CROSSING_EVENT.itemsize // 8)
_ECALL_WORDS = np.uint64(ECALL_EVENT.itemsize // 8)


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
    from numba.core.cgutils import get_or_insert_function
    from numba.extending import intrinsic

    @intrinsic
    def expect_write(typing_context: Any, words: Any, position: Any) -> Any:
        """Tells the processor that words[position], a 1d array's uint64, will be written; it need not exist."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
            hint = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
            function = get_or_insert_function(builder.module, hint, "llvm.prefetch.p0")
            address = builder.bitcast(builder.gep(array.data, [arguments[1]]), byte)
            # For a write, to be kept near, data.
            builder.call(function, [address, flag(1), flag(3), flag(1)])
            return context.get_dummy_value()

        return types.void(words, types.uint64), generate

else:

    def expect_write(words: Any, position: Any) -> None:
        """Without numba there is nobody to tell."""


_EXPECTED_AHEAD = np.uint64(64)
"""Words between the event that is written and the one that is to be expected. Without it, writing waits for memory."""


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
def extend(top, shift, packed):
    """A load's result from the bytes it loads, which stand at the top of a word."""
    return np.uint64(np.int64(top) >> np.int64(shift)) if packed >> _U48 & _U1 else top >> shift


@kernel(inline=True)
def write_step(events, row, clk, pc, index, previous_rs1, previous_rs2, previous_rd, a, b, result, rd_old):
    """Writes the words that every step's event begins with (STEP_EVENT) at events[row]."""
    expect_write(events, row + _EXPECTED_AHEAD)
    events[row] = clk | pc << _U32
    events[row + _U1] = index | previous_rs1 << _U32
    events[row + _U2] = previous_rs2 | previous_rd << _U32
    events[row + _U3] = a
    events[row + _U4] = b
    events[row + _U5] = result
    events[row + _U6] = rd_old


@kernel(inline=True)
def write_memory(events, row, doubleword, time, old, new):
    """Writes the words that follow in a load's or store's event (MEMORY_EVENT). time: of `reach`."""
    expect_write(events, row + _EXPECTED_AHEAD + _U8)
    events[row + _U7] = doubleword | ((time - _U2) & _LOW32) << _U32
    events[row + _U8] = old
    events[row + _U9] = new


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
        code, text_start, cells, memory, io, flow, last_shard, page_is_touched, first_touch, last_touch, events
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
        while clk < clk_limit:
            packed = code[at]
            immediate = code[at + _U1]
            operation = np.int64(packed & _BYTE)
            rs1 = packed >> _U8 & _BYTE
            rs2 = packed >> _U16 & _BYTE
            rd = packed >> _U24 & _BYTE
            a = cells[rs1]
            register_b = cells[rs2]
            # Of the two, one is always 0: an unaccessed register reads 0, and register forms have no immediate.
            b = register_b + immediate
            rest = _COMPUTED
            result = _U0
            is_taken = False
            address = a + immediate
            doubleword = address >> _U3

            if operation == _ADD:
                result = a + b
            elif operation == _LOAD:
                shift = packed >> _U40 & _BYTE
                bit = (address & _U7) << _U3
                family = packed >> _U32 & _BYTE
                row = cells[_CURSOR + family] if is_tracing else _U0
                time = _U0
                is_ready = bit <= shift and doubleword < _DOUBLEWORD_COUNT and cells[_LEFT + family] != row
                if is_ready:
                    if is_tracing:
                        time = np.uint64(last_touch[doubleword])
                        is_ready = time != _U0
                    else:
                        is_ready = np.uint64(last_shard[doubleword >> grain]) == shard
                if not is_ready:
                    rest = _HELD
                else:
                    if is_tracing:
                        last_touch[doubleword] = clk + _U4
                    old = memory[doubleword]
                    result = extend(old >> bit << shift, shift, packed)
                    if is_tracing:
                        cells[_CURSOR + family] = row + _MEMORY_WORDS
                        previous_rs1 = access(cells, rs1, clk)
                        previous_rd = access(cells, rd, clk + _U3)
                        write_step(
                            events, row, clk, text_start + (at << _U1), at >> _U1,
                            previous_rs1, _U0, previous_rd, a, _U0, result, cells[rd],
                        )  # fmt: skip
                        write_memory(events, row, doubleword, time, old, old)
                    else:
                        cells[_LEFT + family] -= _U1
                        if bit & (_U63 - shift):
                            cells[MISALIGNED] += _U1
                    cells[rd] = result
                    at += _U2
                    clk += _U4
                    continue
            elif operation == _STORE:
                shift = packed >> _U40 & _BYTE
                bit = (address & _U7) << _U3
                family = packed >> _U32 & _BYTE
                row = cells[_CURSOR + family] if is_tracing else _U0
                time = _U0
                is_ready = bit <= shift and doubleword < _DOUBLEWORD_COUNT and cells[_LEFT + family] != row
                if is_ready:
                    if is_tracing:
                        time = np.uint64(last_touch[doubleword])
                        is_ready = time != _U0
                    else:
                        is_ready = np.uint64(last_shard[doubleword >> grain]) == shard
                if not is_ready:
                    rest = _HELD
                else:
                    if is_tracing:
                        last_touch[doubleword] = clk + _U4
                    mask = _ALL >> shift
                    old = memory[doubleword]
                    new = old & ~(mask << bit) | (register_b & mask) << bit
                    if is_tracing:
                        cells[_CURSOR + family] = row + _MEMORY_WORDS
                        previous_rs1 = access(cells, rs1, clk)
                        previous_rs2 = access(cells, rs2, clk + _U1)
                        write_step(
                            events, row, clk, text_start + (at << _U1), at >> _U1,
                            previous_rs1, previous_rs2, _U0, a, register_b, _U0, _U0,
                        )  # fmt: skip
                        write_memory(events, row, doubleword, time, old, new)
                    else:
                        cells[_LEFT + family] -= _U1
                        if bit & (_U63 - shift):
                            cells[MISALIGNED] += _U1
                    memory[doubleword] = new
                    at += _U2
                    clk += _U4
                    continue
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
                if cells[_LEFT_JUMP] == (cells[_CURSOR_JUMP] if is_tracing else _U0):
                    break
                # JAL reads no register: a = 0 and its immediate is the target, which is even.
                target = address & ~_U1
                if target & _U3:
                    cells[DETAIL] = target
                    reason = MISALIGNED_JUMP
                    break
                result = text_start + (at << _U1) + _U4
                if is_tracing:
                    row = cells[_CURSOR_JUMP]
                    cells[_CURSOR_JUMP] = row + _STEP_WORDS
                    previous_rs1 = access(cells, rs1, clk)
                    cells[ACCESS + NO_RS1] = _U0
                    previous_rd = access(cells, rd, clk + _U3)
                    write_step(
                        events, row, clk, text_start + (at << _U1), at >> _U1,
                        previous_rs1, _U0, previous_rd, a, target, result, cells[rd],
                    )  # fmt: skip
                else:
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
                if cells[_LEFT_ECALL] == (cells[_CURSOR_ECALL] if is_tracing else _U0):
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
                        doubleword = last = cells[DETAIL]
                        address = doubleword << _U3
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
                family = packed >> _U32 & _BYTE
                if is_tracing:
                    row = cells[_CURSOR + family]
                    if cells[_LEFT + family] == row:
                        break
                    cells[_CURSOR + family] = row + _STEP_WORDS
                    previous_rs1 = access(cells, rs1, clk)
                    previous_rs2 = access(cells, rs2, clk + _U1)
                    cells[ACCESS + NO_RS2] = _U0
                    previous_rd = access(cells, rd, clk + _U3)
                    write_step(
                        events, row, clk, text_start + (at << _U1), at >> _U1,
                        previous_rs1, previous_rs2, previous_rd, a, b, result, cells[rd],
                    )  # fmt: skip
                else:
                    if cells[_LEFT + family] == _U0:
                        break
                    cells[_LEFT + family] -= _U1
                cells[rd] = result
                at += _U2
                clk += _U4
            elif rest == _BRANCHED:
                if cells[_LEFT_BRANCH] == (cells[_CURSOR_BRANCH] if is_tracing else _U0):
                    break
                result = text_start + (at << _U1) + _U4
                if is_taken:
                    if immediate & _U3:
                        cells[DETAIL] = immediate
                        reason = MISALIGNED_JUMP
                        break
                    result = immediate
                if is_tracing:
                    row = cells[_CURSOR_BRANCH]
                    cells[_CURSOR_BRANCH] = row + _STEP_WORDS
                    previous_rs1 = access(cells, rs1, clk)
                    previous_rs2 = access(cells, rs2, clk + _U1)
                    write_step(
                        events, row, clk, text_start + (at << _U1), at >> _U1,
                        previous_rs1, previous_rs2, _U0, a, register_b, result, _U0,
                    )  # fmt: skip
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
                    row = cells[_CURSOR_ECALL]
                    cells[_CURSOR_ECALL] = row + _ECALL_WORDS
                    events[row] = clk | (text_start + (at << _U1)) << _U32
                    events[row + _U1] = at >> _U1 | cells[ACCESS + 17] << _U32
                    events[row + _U2] = cells[ACCESS + 10] | cells[ACCESS + 11] << _U32
                    events[row + _U3] = number
                    events[row + _U4] = a0
                    events[row + _U5] = a1
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
                if rest == _HELD:
                    shift = packed >> _U40 & _BYTE
                    bit = (address & _U7) << _U3
                    is_crossing = bit > shift
                    family = _CROSSING if is_crossing else packed >> _U32 & _BYTE
                    last = doubleword + np.uint64(is_crossing)
                    row = cells[_CURSOR + family] if is_tracing else _U0
                    if doubleword >= _DOUBLEWORD_COUNT:
                        cells[DETAIL] = address
                        reason = MEMORY_FAULT
                        break
                    if cells[_LEFT + family] == row:
                        break
                    if last >= _DOUBLEWORD_COUNT:
                        cells[DETAIL] = address
                        reason = MEMORY_FAULT
                        break
                    time, last_time = _U0, _U0
                    if is_tracing:
                        time, last_time = np.uint64(last_touch[doubleword]), np.uint64(last_touch[last])
                        if time == _U0 or last_time == _U0:
                            reason = SNAPSHOT_MISMATCH
                            break
                    elif (
                        np.uint64(last_shard[doubleword >> grain]) != shard
                        or np.uint64(last_shard[last >> grain]) != shard
                    ):
                        if cells[TOUCHED] + _U2 > cells[TOUCHED_LIMIT]:
                            break
                        rest = _UNTOUCHED
                if rest == _HELD:
                    low, high = memory[doubleword], memory[last]
                    new_low, new_high = low, high
                    is_load = operation == _LOAD
                    if is_load:
                        result = extend((low >> bit | high << (_U64 - bit)) << shift, shift, packed)
                    else:
                        mask = _ALL >> shift
                        new_low = low & ~(mask << bit) | (register_b & mask) << bit
                        new_high = high & ~(mask >> (_U64 - bit)) | (register_b & mask) >> (_U64 - bit)
                        memory[doubleword] = new_low
                        memory[last] = new_high
                    if is_tracing:
                        last_touch[doubleword] = clk + _U4
                        last_touch[last] = clk + _U4
                        cells[_CURSOR_CROSSING] = row + _CROSSING_WORDS
                        previous_rs1 = access(cells, rs1, clk)
                        previous_rs2 = access(cells, rs2, clk + _U1)
                        cells[ACCESS + NO_RS2] = _U0
                        previous_rd = access(cells, rd, clk + _U3)
                        cells[ACCESS + NO_RD] = _U0
                        write_step(
                            events, row, clk, text_start + (at << _U1), at >> _U1,
                            previous_rs1, previous_rs2, previous_rd, a, register_b, result, cells[rd],
                        )  # fmt: skip
                        write_memory(events, row, doubleword, time, low, new_low)
                        events[row + _U10] = high
                        events[row + _U11] = new_high
                        events[row + _U12] = (last_time - _U2) & _LOW32
                    else:
                        cells[_LEFT_CROSSING] -= _U1
                        cells[MISALIGNED] += _U1
                    if is_load:
                        cells[rd] = result
                    at += _U2
                    clk += _U4
                elif not is_tracing:
                    # Touches doubleword to last; then the instruction is tried again.
                    while doubleword <= last:
                        if np.uint64(last_shard[doubleword >> grain]) != shard:
                            page = doubleword >> _PAGE_SHIFT
                            is_lower = _LOWER_START <= doubleword < _LOWER_END
                            if not (is_lower or _UPPER_START <= doubleword < _UPPER_END):
                                reason = MEMORY_FAULT
                                break
                            if page_is_touched[page] == 0:
                                if cells[PAGES] >= cells[PAGE_LIMIT]:
                                    reason = MEMORY_LIMIT
                                    break
                                page_is_touched[page] = 1
                                cells[PAGES] += _U1
                            row = cells[TOUCHED] << _U1
                            first_touch[row] = doubleword | np.uint64(last_shard[doubleword >> grain]) << _U32
                            first_touch[row + _U1] = memory[doubleword]
                            cells[TOUCHED] += _U1
                            last_shard[doubleword >> grain] = shard
                        doubleword += _U1
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

code:            (2 n + 2,) uint64 of `pack_instructions`; text_start: uint64, the byte address of instruction 0.
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
As `execute`, writing events. Of flow to first_touch any arrays of those types will do.

last_touch: (2^29,) uint32, see UNTOUCHED.
events:     uint64, room for every family's rows from its CURSOR to its LEFT.
"""
