"""
Ecall: what a program asks of the machine. One row reads a7, a0 and a1, and ends the run, hands over to a precompile, or does nothing.

Given
-----
- register values are limbs, by the memory bus's invariant.

Proves
------
- a7 holds the number of one of the known calls.
- exit: a0 = 0, and the next pc is HALT_PC, which nothing else produces.
- a precompile: its pointers are multiples of 8 below 2^32, and one group of the precompile's rows has its number, this clk and these doubleword
  addresses. A pointer that the call does not use is sent as 0.
- debug_write, region_begin and region_end: nothing happens.
- no register changes, so none is written.

Padding
-------
- a row without a flag touches no bus.

Source: docs/specs/machine.md, "ecall".
"""

from typing import Any, Final

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.buses import SYSCALL
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.access import Access, access, fill_access
from zkvm.chips.gadgets.address import LOW_BITS
from zkvm.chips.gadgets.limbs import fill_limbs
from zkvm.chips.gadgets.ranges import check_range
from zkvm.chips.gadgets.step import Step, fill_step, instruction, step
from zkvm.isa.instructions import Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import (
    A0_SLOT,
    A1_SLOT,
    A7_SLOT,
    ECALL_TICKS,
    HALT_PC,
    PRECOMPILE_READS,
    PRECOMPILE_WRITES,
    REGISTER_SPACE,
)
from zkvm.machine.syscalls import PRECOMPILE_FAMILY, Syscall

A0: Final = 10
A1: Final = 11
A7: Final = 17

CALLS: Final = tuple(Syscall)
"""The order of the flags."""

PRECOMPILES: Final = tuple(PRECOMPILE_FAMILY)


def _uses_a1(call: Syscall) -> bool:
    family = PRECOMPILE_FAMILY[call]
    return PRECOMPILE_READS[family][1] + PRECOMPILE_WRITES[family][1] > 0


_TWO_POINTERS: Final = tuple(call for call in PRECOMPILES if _uses_a1(call))
_NUMBERS: Final = tuple(int(call) for call in CALLS)
_IS_PRECOMPILE: Final = tuple(call in PRECOMPILES for call in CALLS)
_HAS_TWO_POINTERS: Final = tuple(call in _TWO_POINTERS for call in CALLS)


class Row(Columns):
    call = bit("which call: one flag for each, in the order of CALLS", len(CALLS))
    step = group(Step, "the frame")
    a7 = group(Access, "the read of the number")
    a0 = group(Access, "the read of the first argument")
    a0_value = limbs("value of a0")
    a1 = group(Access, "the read of the second argument")
    a1_value = limbs("value of a1")
    a0_low = column("a precompile's first pointer / 8, low 13 bits")
    a1_low = column("a precompile's second pointer / 8, low 13 bits")


def constrain(air: Any, row: Any) -> None:
    flag = dict(zip(CALLS, row.call, strict=True))
    real = sum(row.call)
    air.bit("at most one call", real)
    clk = row.step.clk

    is_exit = flag[Syscall.EXIT]
    next_pc = is_exit * HALT_PC + (1 - is_exit) * (row.step.pc + 4)
    step(air, row.step, next_pc, real, ECALL_TICKS)
    instruction(air, row.step, Operation.ECALL, real)

    # Every number is below 2^16: the other limbs of a7 are 0.
    number = sum(cell * int(call) for call, cell in flag.items())
    access(air, "a7", row.a7, REGISTER_SPACE, A7, clk + A7_SLOT, (number, 0, 0, 0), (number, 0, 0, 0), real)
    access(air, "a0", row.a0, REGISTER_SPACE, A0, clk + A0_SLOT, row.a0_value, row.a0_value, real)
    access(air, "a1", row.a1, REGISTER_SPACE, A1, clk + A1_SLOT, row.a1_value, row.a1_value, real)

    for i, limb in enumerate(row.a0_value):
        air.when(is_exit).zero(f"the exit code is 0 in limb {i}", limb)

    is_precompile = sum(flag[call] for call in PRECOMPILES)
    has_two = sum(flag[call] for call in _TWO_POINTERS)
    a0 = _doubleword(air, "a0", row.a0_value, row.a0_low, is_precompile)
    a1 = _doubleword(air, "a1", row.a1_value, row.a1_low, has_two)
    air.send(SYSCALL, number, clk, a0, has_two * a1, count=is_precompile, label="precompile")


def _doubleword(air: Any, name: str, pointer: Any, low: Any, count: Any) -> Any:
    """pointer = 8 (low + 2^13 pointer[1]) where count is 1, all below 2^32."""
    check_range(air, f"{name}: low", low, LOW_BITS, count)
    guarded = air.when(count)
    guarded.equal(f"{name} is a multiple of 8", pointer[0], 8 * low)
    guarded.zero(f"{name} is below 2^48", pointer[3])
    guarded.zero(f"{name} is below 2^32", pointer[2])
    return low + (1 << LOW_BITS) * pointer[1]


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: not used (every filler has it). events: (n,) machine.events.ECALL_EVENT. rows: (h,) records of Row, h >= n, all 0; rows past n stay
    padding. counts: chips.counts.Counts, added to.
    """
    for i in range(len(events)):
        event, row = events[i], rows[i]
        fill_step(row.step, event, counts)
        fill_access(row.a7, event.previous_a7, event.clk + A7_SLOT, counts)
        fill_access(row.a0, event.previous_a0, event.clk + A0_SLOT, counts)
        fill_access(row.a1, event.previous_a1, event.clk + A1_SLOT, counts)
        fill_limbs(row.a0_value, event.a0)
        fill_limbs(row.a1_value, event.a1)
        for k in range(len(_NUMBERS)):
            if event.number == _NUMBERS[k]:
                row.call[k] = 1
                if _IS_PRECOMPILE[k]:
                    row.a0_low = (event.a0 & 0xFFFF) >> 3
                    count_range(counts, LOW_BITS, row.a0_low)
                if _HAS_TWO_POINTERS[k]:
                    row.a1_low = (event.a1 & 0xFFFF) >> 3
                    count_range(counts, LOW_BITS, row.a1_low)


CHIP = Chip("ecall", Row, constrain, fill=fill, clk_increment=ECALL_TICKS)
