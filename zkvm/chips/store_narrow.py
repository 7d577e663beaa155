"""
Store narrow: SB, SH, SW within one doubleword, aligned or not.

Given
-----
- the values of rs1, rs2 and of the doubleword are limbs, by the memory bus's invariant.

Proves
------
- the 1, 2 or 4 bytes at rs1 + immediate := the lowest bytes of rs2, all in one doubleword; its other bytes stay.

What is written is made of bytes, so its limbs are limbs.

Padding
-------
- a row without a flag touches no bus.

Source: The RISC-V Instruction Set Manual, Volume I, RV64I, "Load and Store Instructions"; Zicclsm for the misaligned ones.
"""

from typing import Any, Final

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.gadgets.access import Access, RegisterAccess, access, fill_access, read_register
from zkvm.chips.gadgets.address import Address, doubleword, fill_address, immediate
from zkvm.chips.gadgets.limbs import fill_limbs, limbs_of_bytes
from zkvm.chips.gadgets.step import Step, fill_step, instruction, step
from zkvm.chips.gadgets.window import bytes_of, fill_bytes, replaced
from zkvm.chips.load_narrow import FIRST_WINDOW, WINDOWS
from zkvm.isa.instructions import Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import MEMORY_SLOT, MEMORY_SPACE, RS1_SLOT, RS2_SLOT, STEP_TICKS

OPERATIONS: Final = {1: Operation.SB, 2: Operation.SH, 4: Operation.SW}


class Row(Columns):
    window = bit("which bytes: one flag for each (width, offset)", len(WINDOWS))
    step = group(Step, "the frame")
    rs1 = group(RegisterAccess, "the read of the base")
    base = limbs("value of rs1")
    rs2 = group(RegisterAccess, "the read of the value")
    value = limbs("value of rs2")
    value_high_byte = column("upper byte of each of its two low limbs", 2)
    address = group(Address, "where it stores to")
    memory = group(Access, "the write of the doubleword")
    old = limbs("the doubleword before")
    old_high_byte = column("upper byte of each of its limbs", 4)


def constrain(air: Any, row: Any) -> None:
    clk = row.step.clk
    real = sum(row.window)
    air.bit("at most one window", real)

    operation = sum(flag * int(OPERATIONS[width]) for flag, (width, _) in zip(row.window, WINDOWS, strict=True))
    step(air, row.step, row.step.pc + 4, real)
    instruction(
        air, row.step, operation, real, rs1=row.rs1.register, rs2=row.rs2.register, immediate=immediate(row.address)
    )
    read_register(air, "rs1", row.rs1, clk + RS1_SLOT, row.base, real)
    read_register(air, "rs2", row.rs2, clk + RS2_SLOT, row.value, real)

    offset = sum(flag * offset for flag, (_, offset) in zip(row.window, WINDOWS, strict=True))
    target = doubleword(air, row.address, row.base, offset, real)
    data = bytes_of(air, "value", row.value[:2], row.value_high_byte, real)
    values = bytes_of(air, "old", row.old, row.old_high_byte, real)
    new = limbs_of_bytes(replaced(row.window, WINDOWS, values, data))
    access(air, "memory", row.memory, MEMORY_SPACE, target, clk + MEMORY_SLOT, row.old, new, real)


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: (m,) isa.decoder.DECODED. events: (n,) machine.events.MEMORY_EVENT of this family. rows: (h,) records of Row, h >= n, all 0;
    rows past n stay padding. counts: chips.counts.Counts, added to.
    """
    for i in range(len(events)):
        event, row, line = events[i], rows[i], program[events[i].instruction]
        width = 1 << (line.operation - Operation.SB.value)
        offset = (event.a + line.immediate) & 7
        row.window[FIRST_WINDOW[width] + offset] = 1
        fill_step(row.step, event, counts)
        row.rs1.register = line.rs1
        fill_access(row.rs1, event.previous_rs1, event.clk + RS1_SLOT, counts)
        fill_limbs(row.base, event.a)
        row.rs2.register = line.rs2
        fill_access(row.rs2, event.previous_rs2, event.clk + RS2_SLOT, counts)
        fill_limbs(row.value, event.b)
        fill_bytes(row.value_high_byte, event.b, 2, counts)
        fill_address(row.address, event.doubleword, line.immediate, counts)
        fill_access(row.memory, event.previous_memory, event.clk + MEMORY_SLOT, counts)
        fill_limbs(row.old, event.memory_old)
        fill_bytes(row.old_high_byte, event.memory_old, 4, counts)


def reference(operation: int, memory: int, offset: int, value: int) -> int:
    """The doubleword after a store of this operation of `value` to byte `offset`."""
    bits = 8 << (operation - Operation.SB)
    mask = ((1 << bits) - 1) << (8 * offset)
    return (memory & ~mask) | ((value << (8 * offset)) & mask)


CHIP = Chip("store_narrow", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
