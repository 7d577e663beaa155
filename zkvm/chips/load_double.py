"""
Load double: LD from a multiple of 8.

Given
-----
- the value of rs1 and of the doubleword are limbs, by the memory bus's invariant.

Proves
------
- rd := the doubleword at rs1 + immediate, whose lowest three bits are 0.

What is written was read, so its limbs need no check of their own.

Padding
-------
- a row with is_real = 0 touches no bus.

Source: The RISC-V Instruction Set Manual, Volume I, RV64I, "Load and Store Instructions".
"""

from typing import Any

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, group, limbs
from zkvm.chips.gadgets.access import Access, RegisterAccess, access, fill_access, read_register, write_register
from zkvm.chips.gadgets.address import Address, doubleword, fill_address, immediate
from zkvm.chips.gadgets.limbs import fill_limbs
from zkvm.chips.gadgets.step import Step, fill_step, instruction, step
from zkvm.isa.instructions import Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import MEMORY_SLOT, MEMORY_SPACE, RD_SLOT, RS1_SLOT, STEP_TICKS


class Row(Columns):
    is_real = bit("this row proves an LD")
    step = group(Step, "the frame")
    rs1 = group(RegisterAccess, "the read of the base")
    base = limbs("value of rs1")
    address = group(Address, "where it loads from")
    memory = group(Access, "the read of the doubleword")
    value = limbs("the doubleword")
    rd = group(RegisterAccess, "the write of the result")
    rd_old = limbs("value of rd before")


def constrain(air: Any, row: Any) -> None:
    real, clk = row.is_real, row.step.clk
    step(air, row.step, row.step.pc + 4, real)
    instruction(air, row.step, Operation.LD, real, rd=row.rd.register, rs1=row.rs1.register, immediate=immediate(row.address))
    read_register(air, "rs1", row.rs1, clk + RS1_SLOT, row.base, real)
    target = doubleword(air, row.address, row.base, 0, real)
    access(air, "memory", row.memory, MEMORY_SPACE, target, clk + MEMORY_SLOT, row.value, row.value, real)
    write_register(air, "rd", row.rd, clk + RD_SLOT, row.rd_old, row.value, real)


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
        fill_address(row.address, event.doubleword, line.immediate, counts)
        fill_access(row.memory, event.previous_memory, event.clk + MEMORY_SLOT, counts)
        fill_limbs(row.value, event.memory_old)
        row.rd.register = line.rd
        fill_access(row.rd, event.previous_rd, event.clk + RD_SLOT, counts)
        fill_limbs(row.rd_old, event.rd_old)


def reference(memory: int) -> int:
    """The value written to rd."""
    return memory


CHIP = Chip("load_double", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
