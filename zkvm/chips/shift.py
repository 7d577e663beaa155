"""
Shift: SLL, SRL, SRA and their 32-bit forms SLLW, SRLW, SRAW.

Given
-----
- The frame (gadgets/registers.py): a is rs1, b is rs2 or the amount; their limbs are below 2^16.

Proves
------
- result = a shifted by b mod 64: left, right with zeros, or right with copies of bit 63.
- Word forms: the same on the lower 32 bits by b mod 32, copies of bit 31 for SRAW; bit 31 of the result is copied into
  the upper 32 bits.
- rd holds the result after the step, its limbs below 2^16.

How: b = bits + 16 k + ..., bits below 16. Every limb of a is cut in two, a part that stays in its limb (`kept`,
16 - bits wide) and a part that moves to the neighbour (`moved`, bits wide): left, the upper bits move up; right, the
lower bits move down. `power` is 2^bits. Products are with `power` only: where 2^16 / power would be needed, the
equation is multiplied by it. Which limb goes where is one of 12 marks: direction, width and k.

Padding
-------
- All marks are 0: no message is sent.

Source: RISC-V Unprivileged ISA, RV64I, integer computational instructions.
"""

from typing import Any

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.limbs import ALL_ONES, fill_limbs, limb
from zkvm.chips.gadgets.ranges import LIMB, LIMB_BITS, check_range
from zkvm.chips.gadgets.registers import Frame, fill_frame, frame
from zkvm.chips.gadgets.sign import TOP_BIT, check_top_bit
from zkvm.isa.instructions import IMMEDIATE_FLAG, Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import STEP_TICKS

AMOUNT_BITS = 6
"""A 64-bit shift reads 6 bits of b. A word shift reads 5, and bit 5 is `ignored`."""


class Row(Columns):
    is_left = bit("64 bits to the left, by this many limbs and some bits", 4)
    is_right = bit("64 bits to the right, by this many limbs and some bits", 4)
    is_left_word = bit("32 bits to the left, by this many limbs and some bits", 2)
    is_right_word = bit("32 bits to the right, by this many limbs and some bits", 2)
    is_arithmetic = bit("to the right with copies of the sign: SRA, SRAW")
    is_immediate = bit("b is the immediate")
    frame = group(Frame, "the instruction around the operation")
    a = limbs("first operand: rs1")
    b = limbs("second operand: rs2 or the immediate")
    result = limbs("what is written to rd")
    bits = bit("the amount mod 16, in binary", 4)
    ignored = bit("bit 5 of b in a word shift, else 0")
    power = column("2^(amount mod 16)")
    kept = column("the part of each limb of a that stays, 16 - bits wide", 4)
    moved = column("the part of each limb of a that moves on, bits wide", 4)
    sign = bit("SRA, SRAW: top bit of the operand; SLLW, SRLW: bit 31 of the result; else 0")
    rest = column("the limb that sign was taken from, without its top bit; 0 if none")
    fill = column("the bit that enters from above in a right shift")


def constrain(air: Any, row: Any) -> None:
    left, right = sum_of(row.is_left), sum_of(row.is_right)
    left_word, right_word = sum_of(row.is_left_word), sum_of(row.is_right_word)
    is_word = left_word + right_word
    is_real = left + right + is_word
    air.bit("one mark at most", is_real)
    air.zero("only a right shift is arithmetic", row.is_arithmetic * (1 - right - right_word))
    air.zero("only a real row has an immediate", row.is_immediate * (1 - is_real))
    operation = (
        left * Operation.SLL + left_word * Operation.SLLW + right * Operation.SRL + right_word * Operation.SRLW
        + row.is_arithmetic * (Operation.SRA - Operation.SRL)
    )  # fmt: skip
    frame(air, row.frame, operation, is_real, row.is_immediate, row.a, row.b, row.result)

    # The amount. b's lower limb = bits + 16 k + 32 ignored + 64 (something below 2^10); a word shift has k < 2.
    bits = sum_of(row.bits[i] * 2**i for i in range(4))
    marks = (row.is_left, row.is_right, row.is_left_word, row.is_right_word)
    amount = bits + 16 * sum_of(k * mark for kind in marks for k, mark in enumerate(kind))
    air.zero("only a word shift ignores a bit", row.ignored * (1 - is_word))
    check_range(
        air,
        "the rest of b[0]",
        (row.b[0] - amount - 32 * row.ignored) / 2**AMOUNT_BITS,
        LIMB_BITS - AMOUNT_BITS,
        is_real,
    )
    # power = prod (2^(2^i) if bits[i] else 1); the lower two factors stand on the left side as their inverses.
    air.equal(
        "power = 2^bits",
        row.power * (1 - row.bits[0] / 2) * (1 - row.bits[1] * 3 / 4),
        is_real * (1 + 15 * row.bits[2]) * (1 + 255 * row.bits[3]),
    )

    # Cutting. Left: a = kept + moved 2^16 / power. Right: a = moved + kept power. Widths make both exact: in either
    # case the right side is below 2^16.
    for i in range(4):
        check_range(air, f"kept[{i}]", row.kept[i], LIMB_BITS - bits, is_real)
        check_range(air, f"moved[{i}]", row.moved[i], bits, is_real)
        air.when(left + left_word).equal(
            f"left: parts of limb {i}", row.a[i] * row.power, row.kept[i] * row.power + row.moved[i] * LIMB
        )
        air.when(right + right_word).equal(
            f"right: parts of limb {i}", row.a[i], row.moved[i] + row.kept[i] * row.power
        )

    # The sign.
    signed_limb = (
        row.is_arithmetic * (right * row.a[3] + right_word * row.a[1])
        + (left_word + (1 - row.is_arithmetic) * right_word) * row.result[1]
    )
    air.equal("sign and rest", signed_limb, TOP_BIT * row.sign + row.rest)
    check_top_bit(air, "rest", TOP_BIT * row.sign + row.rest, row.sign, is_real)
    air.equal("the bit that enters", row.fill, row.is_arithmetic * row.sign)

    # Putting together. A limb is below 2^16 by the widths of its two parts.
    for k in range(4):
        for i in range(4):
            place_left(air.when(row.is_left[k]), f"left by {k} limbs", row, i, k)
            place_right(air.when(row.is_right[k]), f"right by {k} limbs", row, i, k, top=3)
    for k in range(2):
        for i in range(2):
            place_left(air.when(row.is_left_word[k]), f"word left by {k} limbs", row, i, k)
            place_right(air.when(row.is_right_word[k]), f"word right by {k} limbs", row, i, k, top=1)
    for i in range(2, 4):
        air.when(is_word).equal(f"word: limb {i} copies the sign", row.result[i], ALL_ONES * row.sign)


def sum_of(terms: Any) -> Any:
    """The sum of expressions."""
    total: Any = 0
    for term in terms:
        total = total + term
    return total


def place_left(air: Any, claim: str, row: Any, i: int, k: int) -> None:
    """Limb i of the result of a left shift by k limbs and bits."""
    value: Any = row.kept[i - k] * row.power if i >= k else 0
    value = value + row.moved[i - k - 1] if i > k else value
    air.equal(f"{claim}: limb {i}", row.result[i], value)


def place_right(air: Any, claim: str, row: Any, i: int, k: int, top: int) -> None:
    """
    Limb i of the result of a right shift by k limbs and bits; `top` is the operand's highest limb.

    result = kept + moved 2^16 / power, times power. Above the top limb stand copies of `fill`: 2^bits - 1 times it
    moves down into the top limb.
    """
    if i + k > top:
        air.equal(f"{claim}: limb {i}", row.result[i], ALL_ONES * row.fill)
        return
    moved = row.moved[i + k + 1] if i + k < top else row.fill * (row.power - 1)
    air.equal(f"{claim}: limb {i}", row.result[i] * row.power, row.kept[i + k] * row.power + moved * LIMB)


@kernel
def fill(program, events, rows, counts):
    """Writes row i from event i; arguments as in `add.fill`."""
    for i in range(len(events)):
        event = events[i]
        line = program[event.instruction]
        row = rows[i]
        operation = line.operation & (IMMEDIATE_FLAG - 1)
        fill_frame(row.frame, event, line, counts)
        row.is_immediate = line.operation != operation
        fill_limbs(row.a, event.a)
        fill_limbs(row.b, event.b)
        fill_limbs(row.result, event.result)

        is_word = operation >= Operation.SLLW.value
        is_left = operation == Operation.SLL.value or operation == Operation.SLLW.value
        is_arithmetic = operation == Operation.SRA.value or operation == Operation.SRAW.value
        low = limb(event.b, 0)
        bits = np.int64(low & 15)
        k = np.int64(low >> 4) & (1 if is_word else 3)
        if is_word and is_left:
            row.is_left_word[k] = 1
        elif is_word:
            row.is_right_word[k] = 1
        elif is_left:
            row.is_left[k] = 1
        else:
            row.is_right[k] = 1
        row.is_arithmetic = is_arithmetic
        for j in range(4):
            row.bits[j] = (bits >> j) & 1
        row.ignored = (low >> 5) & 1 if is_word else 0
        count_range(counts, LIMB_BITS - AMOUNT_BITS, low >> AMOUNT_BITS)
        row.power = 1 << bits

        for j in range(4):
            value = np.int64(limb(event.a, j))
            if is_left:
                kept = value & ((1 << (LIMB_BITS - bits)) - 1)
                moved = value >> (LIMB_BITS - bits)
            else:
                kept = value >> bits
                moved = value & ((1 << bits) - 1)
            row.kept[j] = kept
            row.moved[j] = moved
            count_range(counts, LIMB_BITS - bits, kept)
            count_range(counts, bits, moved)

        signed_limb = np.int64(0)
        if is_arithmetic:
            signed_limb = np.int64(limb(event.a, 1 if is_word else 3))
        elif is_word:
            signed_limb = np.int64(limb(event.result, 1))
        row.sign = signed_limb >= TOP_BIT
        row.rest = signed_limb & (TOP_BIT - 1)
        row.fill = is_arithmetic and signed_limb >= TOP_BIT
        count_range(counts, LIMB_BITS - 1, signed_limb & (TOP_BIT - 1))


def reference(operation: Operation, a: int, b: int) -> int:
    """The result of a shift on two 64-bit numbers."""
    is_word = operation in (Operation.SLLW, Operation.SRLW, Operation.SRAW)
    width = 32 if is_word else 64
    a, b = a % 2**width, b % width
    if operation in (Operation.SRA, Operation.SRAW):
        a -= a >> (width - 1) << width
    shifted = (a << b if operation in (Operation.SLL, Operation.SLLW) else a >> b) % 2**width
    return (shifted - (shifted >> 31 << 32)) % 2**64 if is_word else shifted


CHIP = Chip("shift", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
