"""
Store double: SD to a multiple of 8.

Given
-----
- the values of rs1, rs2 and of the doubleword are limbs, by the memory bus's invariant.

Proves
------
- the doubleword at rs1 + immediate, whose lowest three bits are 0, := the value of rs2.

What is written was read, so its limbs need no check of their own.

Padding
-------
- a row with is_real = 0 touches no bus.

Source: The RISC-V Instruction Set Manual, Volume I, RV64I, "Load and Store Instructions".
"""

from typing import Any

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, group, limbs
from zkvm.chips.gadgets.access import Access, RegisterAccess, access, fill_access, read_register
from zkvm.chips.gadgets.address import Address, doubleword, fill_address, immediate
from zkvm.chips.gadgets.limbs import fill_limbs
from zkvm.chips.gadgets.step import Step, fill_step, instruction, step
from zkvm.isa.instructions import Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import MEMORY_SLOT, MEMORY_SPACE, RS1_SLOT, RS2_SLOT, STEP_TICKS


class Row(Columns):
    is_real = bit("this row proves an SD")
    step = group(Step, "the frame")
    rs1 = group(RegisterAccess, "the read of the base")
    base = limbs("value of rs1")
    rs2 = group(RegisterAccess, "the read of the value")
    value = limbs("value of rs2")
    address = group(Address, "where it stores to")
    memory = group(Access, "the write of the doubleword")
    old = limbs("the doubleword before")


def constrain(air: Any, row: Any) -> None:
    real, clk = row.is_real, row.step.clk
    step(air, row.step, row.step.pc + 4, real)
    instruction(air, row.step, Operation.SD, real, rs1=row.rs1.register, rs2=row.rs2.register, immediate=immediate(row.address))
    read_register(air, "rs1", row.rs1, clk + RS1_SLOT, row.base, real)
    read_register(air, "rs2", row.rs2, clk + RS2_SLOT, row.value, real)
    target = doubleword(air, row.address, row.base, 0, real)
    access(air, "memory", row.memory, MEMORY_SPACE, target, clk + MEMORY_SLOT, row.old, row.value, real)


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: (m,) isa.decoder.DECODED. events: (n,) machine.events.MEMORY_EVENT of this family. rows: (h,) records of Row, h >= n, all 0;
    rows past n stay padding. counts: chips.counts.Counts, added to.
    """
    for i in range(len(events)):
        event, row, line = events[i], rows[i], program[events[i].instruction]
        row.is_real = 1
        fill_step(row.step, event, counts)
        row.rs1.register = line.rs1
        fill_access(row.rs1, event.previous_rs1, event.clk + RS1_SLOT, counts)
        fill_limbs(row.base, event.a)
        row.rs2.register = line.rs2
        fill_access(row.rs2, event.previous_rs2, event.clk + RS2_SLOT, counts)
        fill_limbs(row.value, event.b)
        fill_address(row.address, event.doubleword, line.immediate, counts)
        fill_access(row.memory, event.previous_memory, event.clk + MEMORY_SLOT, counts)
        fill_limbs(row.old, event.memory_old)


def reference(value: int) -> int:
    """The doubleword afterwards."""
    return value


CHIP = Chip("store_double", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
