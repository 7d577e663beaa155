"""
Branch: BEQ, BNE, BLT, BGE, BLTU, BGEU.

Given
-----
- The program table holds the target as an absolute pc below 2^30 in the lower two limbs of the immediate.
- The limbs of registers are below 2^16.

Proves
------
- a is the value of rs1 at clk, b that of rs2 at clk + 1.
- The step goes on at the target if the branch's condition on (a, b) holds, else at pc + 4.

A target that is no instruction has no line in the program table, so no step follows it.

Padding
-------
- All operation bits are 0: no message is sent.

Source: RISC-V Unprivileged ISA, RV64I, conditional branches.
"""

from typing import Any

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.gadgets.access import RegisterAccess, read_register
from zkvm.chips.gadgets.comparison import Comparison, compare, fill_comparison
from zkvm.chips.gadgets.limbs import fill_limbs, limb
from zkvm.chips.gadgets.ranges import LIMB
from zkvm.chips.gadgets.registers import fill_register_access
from zkvm.chips.gadgets.step import Step, fill_step, instruction, step
from zkvm.isa.instructions import Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import RS1_SLOT, RS2_SLOT, STEP_TICKS


class Row(Columns):
    is_beq = bit("this row proves BEQ")
    is_bne = bit("this row proves BNE")
    is_blt = bit("this row proves BLT")
    is_bge = bit("this row proves BGE")
    is_bltu = bit("this row proves BLTU")
    is_bgeu = bit("this row proves BGEU")
    step = group(Step, "where in the program and when")
    rs1 = group(RegisterAccess, "the read of rs1")
    rs2 = group(RegisterAccess, "the read of rs2")
    a = limbs("value of rs1")
    b = limbs("value of rs2")
    target = limbs("the immediate: the pc of a taken branch", 2)
    next_pc = column("pc of the next step")
    comparison = group(Comparison, "a against b")


def constrain(air: Any, row: Any) -> None:
    is_real = row.is_beq + row.is_bne + row.is_blt + row.is_bge + row.is_bltu + row.is_bgeu
    air.bit("one operation at most", is_real)
    operation = (
        row.is_beq * Operation.BEQ + row.is_bne * Operation.BNE + row.is_blt * Operation.BLT
        + row.is_bge * Operation.BGE + row.is_bltu * Operation.BLTU + row.is_bgeu * Operation.BGEU
    )  # fmt: skip
    pc, clk = row.step.pc, row.step.clk
    step(air, row.step, row.next_pc, is_real)
    instruction(
        air, row.step, operation, is_real,
        rs1=row.rs1.register, rs2=row.rs2.register, immediate=(*row.target, 0, 0),
    )  # fmt: skip
    read_register(air, "rs1", row.rs1, clk + RS1_SLOT, row.a, is_real)
    read_register(air, "rs2", row.rs2, clk + RS2_SLOT, row.b, is_real)

    is_less, is_equal = compare(air, row.comparison, row.a, row.b, row.is_blt + row.is_bge, is_real)
    is_taken = (
        row.is_beq * is_equal + row.is_bne * (1 - is_equal)
        + (row.is_blt + row.is_bltu) * is_less + (row.is_bge + row.is_bgeu) * (1 - is_less)
    )  # fmt: skip
    following = pc + STEP_TICKS * is_real
    target = row.target[0] + LIMB * row.target[1]
    air.equal("the next pc", row.next_pc, following + is_taken * (target - following))


@kernel
def fill(program, events, rows, counts):
    """Writes row i from event i; arguments as in `add.fill`."""
    for i in range(len(events)):
        event = events[i]
        line = program[event.instruction]
        row = rows[i]
        row.is_beq = line.operation == Operation.BEQ.value
        row.is_bne = line.operation == Operation.BNE.value
        row.is_blt = line.operation == Operation.BLT.value
        row.is_bge = line.operation == Operation.BGE.value
        row.is_bltu = line.operation == Operation.BLTU.value
        row.is_bgeu = line.operation == Operation.BGEU.value
        fill_step(row.step, event, counts)
        fill_register_access(row.rs1, line.rs1, event.previous_rs1, event.clk + RS1_SLOT, counts)
        fill_register_access(row.rs2, line.rs2, event.previous_rs2, event.clk + RS2_SLOT, counts)
        fill_limbs(row.a, event.a)
        fill_limbs(row.b, event.b)
        row.target[0] = limb(line.immediate, 0)
        row.target[1] = limb(line.immediate, 1)
        row.next_pc = event.result
        is_signed = line.operation == Operation.BLT.value or line.operation == Operation.BGE.value
        fill_comparison(row.comparison, event.a, event.b, is_signed, counts)


def reference(operation: Operation, a: int, b: int) -> bool:
    """Whether the branch is taken on two 64-bit numbers."""
    if operation in (Operation.BLT, Operation.BGE):
        a, b = a - (a >> 63 << 64), b - (b >> 63 << 64)
    match operation:
        case Operation.BEQ:
            return a == b
        case Operation.BNE:
            return a != b
        case Operation.BLT | Operation.BLTU:
            return a < b
        case _:
            return a >= b


CHIP = Chip("branch", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
