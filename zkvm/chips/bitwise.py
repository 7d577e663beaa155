"""
Bitwise: AND, OR, XOR of 64-bit numbers, byte by byte.

Given
-----
- The frame (gadgets/registers.py): a is rs1, b is rs2 or the immediate.

Proves
------
- result = a AND b, a OR b, a XOR b, as the row's operation says, and rd holds it after the step.
- Every byte of a, b and the result is a byte: the byte table holds no other. So the result's limbs are below 2^16.

Padding
-------
- All operation bits are 0: no message is sent.

Source: RISC-V Unprivileged ISA, RV64I, integer computational instructions.
"""

from typing import Any

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group
from zkvm.chips.buses import BYTE, ByteOperation
from zkvm.chips.counts import count_byte
from zkvm.chips.gadgets.limbs import byte, limbs_of_bytes
from zkvm.chips.gadgets.registers import Frame, fill_frame, frame
from zkvm.isa.instructions import IMMEDIATE_FLAG, Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import STEP_TICKS


class Row(Columns):
    is_and = bit("this row proves AND")
    is_or = bit("this row proves OR")
    is_xor = bit("this row proves XOR")
    is_immediate = bit("b is the immediate")
    frame = group(Frame, "the instruction around the operation")
    a = column("bytes of the first operand: rs1", 8)
    b = column("bytes of the second operand: rs2 or the immediate", 8)
    result = column("bytes of what is written to rd", 8)


def constrain(air: Any, row: Any) -> None:
    is_real = row.is_and + row.is_or + row.is_xor
    air.bit("one operation at most", is_real)
    air.zero("only a real row has an immediate", row.is_immediate * (1 - is_real))
    operation = row.is_and * Operation.AND + row.is_or * Operation.OR + row.is_xor * Operation.XOR
    a, b, result = limbs_of_bytes(row.a), limbs_of_bytes(row.b), limbs_of_bytes(row.result)
    frame(air, row.frame, operation, is_real, row.is_immediate, a, b, result)

    table = row.is_and * ByteOperation.AND + row.is_or * ByteOperation.OR + row.is_xor * ByteOperation.XOR
    for i in range(8):
        air.send(BYTE, table, row.a[i], row.b[i], row.result[i], count=is_real, label=f"byte {i}")


@kernel
def fill(program, events, rows, counts):
    """Writes row i from event i; arguments as in `add.fill`."""
    for i in range(len(events)):
        event = events[i]
        line = program[event.instruction]
        row = rows[i]
        operation = line.operation & (IMMEDIATE_FLAG - 1)
        row.is_and = operation == Operation.AND.value
        row.is_or = operation == Operation.OR.value
        row.is_xor = operation == Operation.XOR.value
        row.is_immediate = line.operation != operation
        fill_frame(row.frame, event, line, counts)
        table = ByteOperation.XOR.value
        if operation == Operation.AND.value:
            table = ByteOperation.AND.value
        elif operation == Operation.OR.value:
            table = ByteOperation.OR.value
        for k in range(8):
            row.a[k] = byte(event.a, k)
            row.b[k] = byte(event.b, k)
            row.result[k] = byte(event.result, k)
            count_byte(counts, table, byte(event.a, k), byte(event.b, k))


def reference(operation: Operation, a: int, b: int) -> int:
    """The result of AND, OR or XOR on two 64-bit numbers."""
    if operation == Operation.AND:
        return a & b
    return a | b if operation == Operation.OR else a ^ b


CHIP = Chip("bitwise", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
