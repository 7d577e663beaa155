"""
Jump: JAL and JALR.

Given
-----
- The program table holds JAL's target as an absolute pc, and JALR's offset sign-extended to 64 bits, both in limbs.
- The limbs of registers are below 2^16. pc < 2^30: it is in the program table.

Proves
------
- JALR: a is the value of rs1 at clk, and the step goes on at (a + immediate) mod 2^64 with its lowest bit cleared.
  JAL: nothing is read, a's lower limbs are 0, so the same sum is the target.
- The next pc is a multiple of 4 below 2^30, with upper limbs 0: other targets trap and have no proof.
- rd holds pc + 4 after the step, in limbs below 2^16.

Padding
-------
- Both operation bits are 0: no message is sent.

Source: RISC-V Unprivileged ISA, RV64I, unconditional jumps.
"""

from typing import Any

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.access import RegisterAccess, read_register, write_register
from zkvm.chips.gadgets.limbs import add, fill_limbs, limb
from zkvm.chips.gadgets.ranges import LIMB, LIMB_BITS, check_range
from zkvm.chips.gadgets.registers import fill_register_access
from zkvm.chips.gadgets.step import Step, fill_step, instruction, step
from zkvm.isa.instructions import Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import RD_SLOT, RS1_SLOT, STEP_TICKS

PC_HIGH_BITS = 14
"""A pc below 2^30 is a limb and 14 bits. Below p as well, so a pc has one decomposition only."""


class Row(Columns):
    is_jal = bit("this row proves JAL")
    is_jalr = bit("this row proves JALR")
    step = group(Step, "where in the program and when")
    rs1 = group(RegisterAccess, "JALR's read of rs1")
    rd = group(RegisterAccess, "the write of rd")
    old = limbs("value of rd before the step")
    a = limbs("value of rs1; JAL: 0 in the lower two limbs, and a multiple of 2^64 in all")
    immediate = limbs("JAL: the target; JALR: the offset")
    lowest_bit = bit("bit 0 of a + immediate, which is cleared")
    target_words = column("the target's lower limb / 4")
    target_high = column("the target's second limb")
    link_low = column("lower limb of pc + 4")


def constrain(air: Any, row: Any) -> None:
    is_real = row.is_jal + row.is_jalr
    air.bit("one operation at most", is_real)
    operation = row.is_jal * Operation.JAL + row.is_jalr * Operation.JALR
    pc, clk = row.step.pc, row.step.clk

    # Limbs 2 and 3 of a could only add to carries out of the target, which are dropped: JAL need not clear them.
    for i in range(2):
        air.zero(f"JAL adds nothing to its target: limb {i}", row.is_jal * row.a[i])
    # The target's lower limb is lowest_bit + 4 target_words: bit 1 of it is 0 in every target that has a proof.
    total = (row.lowest_bit + 4 * row.target_words, row.target_high, 0, 0)
    add(air, "a + immediate = target", row.a, row.immediate, total)
    check_range(air, "target_words", row.target_words, LIMB_BITS - 2, is_real)
    check_range(air, "target_high", row.target_high, PC_HIGH_BITS, is_real)

    # pc + 4 = link_low + 2^16 link_high as integers: both sides are below p.
    link_high = (pc + STEP_TICKS - row.link_low) / LIMB
    check_range(air, "link_low", row.link_low, LIMB_BITS, is_real)
    check_range(air, "link_high", link_high, PC_HIGH_BITS, is_real)

    step(air, row.step, 4 * row.target_words + LIMB * row.target_high, is_real)
    instruction(
        air, row.step, operation, is_real,
        rd=row.rd.register, rs1=row.rs1.register, immediate=row.immediate,
    )  # fmt: skip
    read_register(air, "rs1", row.rs1, clk + RS1_SLOT, row.a, row.is_jalr)
    write_register(air, "rd", row.rd, clk + RD_SLOT, row.old, (row.link_low, link_high, 0, 0), is_real)


@kernel
def fill(program, events, rows, counts):
    """Writes row i from event i; arguments as in `add.fill`."""
    for i in range(len(events)):
        event = events[i]
        line = program[event.instruction]
        row = rows[i]
        is_jalr = line.operation == Operation.JALR.value
        row.is_jal = line.operation == Operation.JAL.value
        row.is_jalr = is_jalr
        fill_step(row.step, event, counts)
        if is_jalr:
            fill_register_access(row.rs1, line.rs1, event.previous_rs1, event.clk + RS1_SLOT, counts)
        fill_register_access(row.rd, line.rd, event.previous_rd, event.clk + RD_SLOT, counts)
        fill_limbs(row.old, event.rd_old)
        fill_limbs(row.a, event.a)
        fill_limbs(row.immediate, line.immediate)
        row.lowest_bit = (limb(event.a, 0) + limb(line.immediate, 0)) & 1
        target_words = limb(event.b, 0) >> 2
        row.target_words = target_words
        row.target_high = limb(event.b, 1)
        row.link_low = limb(event.result, 0)
        count_range(counts, LIMB_BITS - 2, target_words)
        count_range(counts, PC_HIGH_BITS, limb(event.b, 1))
        count_range(counts, LIMB_BITS, limb(event.result, 0))
        count_range(counts, PC_HIGH_BITS, limb(event.result, 1))


def reference(operation: Operation, pc: int, a: int, immediate: int) -> tuple[int, int]:
    """(next pc, link value); immediate is JAL's absolute target, and a is not used by JAL."""
    target = immediate if operation == Operation.JAL else (a + immediate) % 2**64 & ~1
    return target, pc + STEP_TICKS


CHIP = Chip("jump", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
