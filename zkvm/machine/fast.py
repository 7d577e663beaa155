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
from zkvm.kernels.policy import kernel
from zkvm.machine import memory_map
from zkvm.machine.events import (
    CROSSING_EVENT,
    EVENT,
    MEMORY_EVENT,
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

# --- the state array: scalars that outlive a call ---------------------------------------------------------------------
PC: Final = 0
CLK: Final = 1
CLK_LIMIT: Final = 2
"""No step begins at or after this time."""
DETAIL: Final = 3
"""What belongs to the reason: a word, target, address or syscall number."""
SHARD: Final = 4
"""`execute` only: the number that marks a doubleword as touched; 1..65535."""
TOUCHED: Final = 5
"""`execute` only: doublewords touched first in this shard."""
TOUCHED_LIMIT: Final = 6
"""`execute` only: a shard ends before a step that could bring TOUCHED above this."""
PAGES: Final = 7
PAGE_LIMIT: Final = 8
MISALIGNED: Final = 9
"""`execute` only: loads and stores whose address is not a multiple of their size."""
GRAIN: Final = 10
"""`execute` only: touching is noted per 2^GRAIN doublewords: 0 where shards are planned, else up to PAGE_GRAIN."""
STATE_WORDS: Final = 16

PAGE_GRAIN: Final = 9
"""log2 of the doublewords in a page; every region is whole pages."""

PRECOMPILE_TOUCH_LIMIT: Final = 40
"""More doublewords than any single step touches."""

NO_FAMILY: Final = FAMILY_COUNT
"""The counter of steps whose family is not known before they run; never spent."""
COUNTER_COUNT: Final = FAMILY_COUNT + 1

# Stand for a register that a step does not access: they read 0 and forget what is written. One for each place, since
# a step that accesses neither rs1 nor rs2 does not access one register twice.
NO_RS1: Final = 33
NO_RS2: Final = 34
NO_RD: Final = 35
REGISTER_SLOTS: Final = 36

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


def register_mask(code: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """(n,) uint64 of packed instructions: bit r of word i says whether instruction i accesses register r, 0..32."""
    first = code[:-_INSTRUCTION_WORDS:_INSTRUCTION_WORDS]
    mask = np.zeros(len(first), dtype=np.uint64)
    for position in (_U8, _U16, _U24):
        # Slots above 32 are no registers; whoever reads the mask looks at 33 bits.
        mask |= _U1 << (first >> position & _BYTE)
    mask[(first & _BYTE) == _ECALL] |= np.uint64(1 << 10 | 1 << 11 | 1 << 17)
    return mask


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

_CROSSING, _ECALL_FAMILY = int(Family.MEMORY_CROSSING), int(Family.ECALL)
_BRANCH, _JUMP = int(Family.BRANCH), int(Family.JUMP)

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
def _call_precompile(
    is_tracing, is_again, number, a0, a1, memory, state, left, io, last_shard, last_touch, events, cursor
):
    """
    One precompile call of `execute` or, if is_tracing, of `trace`: checks, result, events.

    Returns _DONE, a reason to stop or _UNTOUCHED_OPERAND. is_again: it returned that for this very call before.

    Unlike in the interpreter, is_tracing is no compile-time constant: numba does not find a kernel in its cache again
    that closes over another kernel, so there is one for both.
    """
    shape = _PRECOMPILE_SHAPES[number - _FIRST_PRECOMPILE]
    family = shape[0]
    read_0, read_1, write_0, write_1 = shape[1], shape[2], shape[3], shape[4]
    read_count, write_count = read_0 + read_1, write_0 + write_1
    uses_a1 = read_1 + write_1 > 0
    if left[family] == (np.int64(cursor[family]) if is_tracing else 0):
        return BUDGET_SPENT
    if a0 & _U7:
        state[DETAIL] = a0
        return MISALIGNED_POINTER
    if uses_a1 and a1 & _U7:
        state[DETAIL] = a1
        return MISALIGNED_POINTER
    if not (is_tracing or is_again) and state[TOUCHED] + np.uint64(PRECOMPILE_TOUCH_LIMIT) > state[TOUCHED_LIMIT]:
        return BUDGET_SPENT

    extent_0, extent_1 = max(read_0, write_0), max(read_1, write_1)
    for i in range(extent_0 + extent_1):
        start = a0 if i < extent_0 else a1
        doubleword = (start >> _U3) + np.uint64(i if i < extent_0 else i - extent_0)
        if doubleword >= _DOUBLEWORD_COUNT:
            state[DETAIL] = doubleword << _U3
            return MEMORY_FAULT
        if is_tracing:
            if last_touch[doubleword] == 0:
                return SNAPSHOT_MISMATCH
        elif np.uint64(last_shard[doubleword >> state[GRAIN]]) != state[SHARD]:
            state[DETAIL] = doubleword
            return _UNTOUCHED_OPERAND
    if read_1 > 0 and a1 - a0 + np.uint64(8 * read_1) - _U1 < np.uint64(8 * (read_0 + read_1)) - _U1:
        state[DETAIL] = a1
        return OVERLAPPING_OPERANDS

    first_0, first_1 = a0 >> _U3, a1 >> _U3
    for i in range(read_count):
        io[i] = memory[first_0 + np.uint64(i)] if i < read_0 else memory[first_1 + np.uint64(i - read_0)]
    if not _compute(np.int64(number - _FIRST_PRECOMPILE), io):
        state[DETAIL] = number
        return INVALID_OPERAND
    target = first_0 if write_0 > 0 else first_1

    if not is_tracing:
        left[family] -= 1
    else:
        clk = state[CLK]
        at = cursor[family]
        cursor[family] = at + _EVENT_WORDS[family]
        events[at] = clk | state[PC] << _U32
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


@kernel(inline=True)
def access_registers(last_access, rs1, rs2, rd, clk):
    """
    Moves the times of a step's three registers on and returns the times before: of rs1, rs2, rd.

    Where one register stands in two places, the later access sees the earlier one. The order of loads and stores does
    that without a branch, which the processor could not predict.
    """
    previous_rs1 = last_access[rs1]
    last_access[rs1] = clk
    previous_rs2 = last_access[rs2]
    last_access[rs2] = clk + _U1
    previous_rd = last_access[rd]
    last_access[rd] = clk + _U3
    last_access[NO_RS1] = _U0
    last_access[NO_RS2] = _U0
    last_access[NO_RD] = _U0
    return previous_rs1, previous_rs2, previous_rd


@kernel(inline=True)
def extend(top, shift, packed):
    """A load's result from the bytes it loads, which stand at the top of a word."""
    return np.uint64(np.int64(top) >> np.int64(shift)) if packed >> _U48 & _U1 else top >> shift


@kernel(inline=True)
def write_step(events, row, last_access, clk, pc, index, rs1, rs2, rd, a, b, result, rd_old):
    """Writes the words that every step's event begins with (STEP_EVENT) at events[row]."""
    previous_rs1, previous_rs2, previous_rd = access_registers(last_access, rs1, rs2, rd, clk)
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


def _make_interpreter(is_tracing: bool) -> Any:
    """`execute` or `trace`: the branches of the other fall away when compiled."""

    @kernel
    def interpret(
        code, text_start, memory, registers, state, left, io,
        flow, last_shard, page_is_touched, first_touch,
        last_access, last_touch, events, cursor,
    ):  # fmt: skip
        # `at`: where the instruction stands in `code`. Outside of TEXT that is `end`, and `stray` is the pc.
        end = np.uint64(code.size) - _U2
        stray = state[PC]
        at = min((stray - text_start) >> _U1, end)
        if at < end:
            stray = text_start + (end << _U1)
        clk, clk_limit = state[CLK], state[CLK_LIMIT]
        shard, grain = state[SHARD], state[GRAIN]
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
            a = registers[rs1]
            register_b = registers[rs2]
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
                row = cursor[family] if is_tracing else _U0
                time = _U0
                is_ready = bit <= shift and doubleword < _DOUBLEWORD_COUNT and left[family] != np.int64(row)
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
                        cursor[family] = row + _MEMORY_WORDS
                        write_step(
                            events, row, last_access, clk, text_start + (at << _U1), at >> _U1,
                            rs1, rs2, rd, a, _U0, result, registers[rd],
                        )  # fmt: skip
                        write_memory(events, row, doubleword, time, old, old)
                    else:
                        left[family] -= 1
                        if bit & (_U63 - shift):
                            state[MISALIGNED] += _U1
                    registers[rd] = result
                    at += _U2
                    clk += _U4
                    continue
            elif operation == _STORE:
                shift = packed >> _U40 & _BYTE
                bit = (address & _U7) << _U3
                family = packed >> _U32 & _BYTE
                row = cursor[family] if is_tracing else _U0
                time = _U0
                is_ready = bit <= shift and doubleword < _DOUBLEWORD_COUNT and left[family] != np.int64(row)
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
                        cursor[family] = row + _MEMORY_WORDS
                        write_step(
                            events, row, last_access, clk, text_start + (at << _U1), at >> _U1,
                            rs1, rs2, rd, a, register_b, _U0, _U0,
                        )  # fmt: skip
                        write_memory(events, row, doubleword, time, old, new)
                    else:
                        left[family] -= 1
                        if bit & (_U63 - shift):
                            state[MISALIGNED] += _U1
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
                if left[_JUMP] == (np.int64(cursor[_JUMP]) if is_tracing else 0):
                    break
                # JAL reads no register: a = 0 and its immediate is the target, which is even.
                target = address & ~_U1
                if target & _U3:
                    state[DETAIL] = target
                    reason = MISALIGNED_JUMP
                    break
                result = text_start + (at << _U1) + _U4
                if is_tracing:
                    row = cursor[_JUMP]
                    cursor[_JUMP] = row + _STEP_WORDS
                    write_step(
                        events, row, last_access, clk, text_start + (at << _U1), at >> _U1,
                        rs1, rs2, rd, a, target, result, registers[rd],
                    )  # fmt: skip
                else:
                    left[_JUMP] -= 1
                    flow[(at >> _U1) + _U1] -= _U1
                registers[rd] = result
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
                if left[_ECALL_FAMILY] == (np.int64(cursor[_ECALL_FAMILY]) if is_tracing else 0):
                    break
                number, a0, a1 = registers[17], registers[10], registers[11]
                stop = _DONE
                rest = _CALLED
                if _FIRST_PRECOMPILE <= number <= _LAST_PRECOMPILE:
                    state[PC], state[CLK] = text_start + (at << _U1), clk
                    stop = _call_precompile(
                        is_tracing, again_clk == clk, number, a0, a1, memory, state, left, io,
                        last_shard, last_touch, events, cursor,
                    )  # fmt: skip
                    if stop == _UNTOUCHED_OPERAND:
                        again_clk = clk
                        doubleword = last = state[DETAIL]
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
                    state[DETAIL] = number
                    reason = UNKNOWN_SYSCALL
                    break
            elif operation == _OUTSIDE:
                state[DETAIL] = stray
                reason = MEMORY_FAULT
                break
            else:
                state[DETAIL] = immediate
                reason = UNSUPPORTED_INSTRUCTION
                break

            if rest == _COMPUTED:
                family = packed >> _U32 & _BYTE
                if is_tracing:
                    row = cursor[family]
                    if left[family] == np.int64(row):
                        break
                    cursor[family] = row + _STEP_WORDS
                    write_step(
                        events, row, last_access, clk, text_start + (at << _U1), at >> _U1,
                        rs1, rs2, rd, a, b, result, registers[rd],
                    )  # fmt: skip
                else:
                    if left[family] == 0:
                        break
                    left[family] -= 1
                registers[rd] = result
                at += _U2
                clk += _U4
            elif rest == _BRANCHED:
                if left[_BRANCH] == (np.int64(cursor[_BRANCH]) if is_tracing else 0):
                    break
                result = text_start + (at << _U1) + _U4
                if is_taken:
                    if immediate & _U3:
                        state[DETAIL] = immediate
                        reason = MISALIGNED_JUMP
                        break
                    result = immediate
                if is_tracing:
                    row = cursor[_BRANCH]
                    cursor[_BRANCH] = row + _STEP_WORDS
                    write_step(
                        events, row, last_access, clk, text_start + (at << _U1), at >> _U1,
                        rs1, rs2, rd, a, register_b, result, _U0,
                    )  # fmt: skip
                else:
                    left[_BRANCH] -= 1
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
                    row = cursor[_ECALL_FAMILY]
                    cursor[_ECALL_FAMILY] = row + _EVENT_WORDS[_ECALL_FAMILY]
                    events[row] = clk | (text_start + (at << _U1)) << _U32
                    events[row + _U1] = at >> _U1 | last_access[17] << _U32
                    events[row + _U2] = last_access[10] | last_access[11] << _U32
                    events[row + _U3] = number
                    events[row + _U4] = a0
                    events[row + _U5] = a1
                    last_access[17] = clk
                    last_access[10] = clk + _U1
                    last_access[11] = clk + _U2
                else:
                    left[_ECALL_FAMILY] -= 1
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
                    family = np.uint64(_CROSSING) if is_crossing else packed >> _U32 & _BYTE
                    last = doubleword + np.uint64(is_crossing)
                    row = cursor[family] if is_tracing else _U0
                    if doubleword >= _DOUBLEWORD_COUNT:
                        state[DETAIL] = address
                        reason = MEMORY_FAULT
                        break
                    if left[family] == np.int64(row):
                        break
                    if last >= _DOUBLEWORD_COUNT:
                        state[DETAIL] = address
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
                        if state[TOUCHED] + _U2 > state[TOUCHED_LIMIT]:
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
                        cursor[_CROSSING] = row + _CROSSING_WORDS
                        write_step(
                            events, row, last_access, clk, text_start + (at << _U1), at >> _U1,
                            rs1, rs2, rd, a, register_b, result, registers[rd],
                        )  # fmt: skip
                        write_memory(events, row, doubleword, time, low, new_low)
                        events[row + _U10] = high
                        events[row + _U11] = new_high
                        events[row + _U12] = (last_time - _U2) & _LOW32
                    else:
                        left[_CROSSING] -= 1
                        state[MISALIGNED] += _U1
                    if is_load:
                        registers[rd] = result
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
                                if state[PAGES] >= state[PAGE_LIMIT]:
                                    reason = MEMORY_LIMIT
                                    break
                                page_is_touched[page] = 1
                                state[PAGES] += _U1
                            row = state[TOUCHED] << _U1
                            first_touch[row] = doubleword | np.uint64(last_shard[doubleword >> grain]) << _U32
                            first_touch[row + _U1] = memory[doubleword]
                            state[TOUCHED] += _U1
                            last_shard[doubleword >> grain] = shard
                        doubleword += _U1
                    if reason != BUDGET_SPENT:
                        state[DETAIL] = address
                        break

        if not is_tracing:
            flow[at >> _U1] -= _U1
        if reason == HALTED:
            at -= _U2
        state[PC] = text_start + (at << _U1) if at < end else stray
        state[CLK] = clk
        return reason

    return interpret


execute = _make_interpreter(is_tracing=False)
"""
Runs until a reason to stop; returns it. Integers are wrapped to 64 bits.

code:            (2 n + 2,) uint64 of `pack_instructions`; text_start: uint64, the byte address of instruction 0.
memory:          (2^29,) uint64, every doubleword by address.
registers:       (REGISTER_SLOTS,) uint64.
state:           (STATE_WORDS,) uint64, named above.
left:            (COUNTER_COUNT,) int64, rows each family may still take; counted down. NO_FAMILY never runs out.
                 `trace` leaves it alone: there it holds the word of `events` that each family's cursor never passes.
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
As `execute`, writing events. Of execute's own arguments any arrays of those types will do.

last_access:     (REGISTER_SLOTS,) uint64, time of each register's last access as 32 bits; -1 before the first.
last_touch:      (2^29,) uint32, see UNTOUCHED.
events:          uint64, room for `left` rows of each family from its cursor on.
cursor:          (COUNTER_COUNT,) uint64, the word of `events` at which each family's next row begins.
"""
