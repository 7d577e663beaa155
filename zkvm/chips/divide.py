"""
Divide: DIV, DIVU, REM, REMU and their 32-bit forms DIVW, DIVUW, REMW, REMUW.

Given
-----
- The frame (gadgets/registers.py): a is rs1, b is rs2; their limbs are below 2^16.

Proves
------
With A and B what the operation reads (64 or 32 bits, signed or not):
- |A| = |Q| |B| + |R| with |R| < |B|, if B is not 0; Q is negative if the signs of A and B differ, R if A is negative.
- If B = 0: Q = -1 (all ones, unsigned), R = A.
- result = Q or R, cut to the width; in word forms bit 31 is copied into the upper half. rd holds it after the step, its
  limbs below 2^16.
The overflow -2^(w-1) / -1 needs no case: |Q| = 2^(w-1) is a magnitude like any other, and its w bits are -2^(w-1).

How: the product of magnitudes as in multiply.py, |Q| in limbs and |B| in bytes. It does not pass 2^64, so only the
lower half is added up, and the upper half's sum of terms, none of which is negative, is 0.

Padding
-------
- All operation bits are 0: no message is sent.

Source: RISC-V Unprivileged ISA, M extension, the table of division by zero and overflow included.
"""

from typing import Any

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.buses import BYTE, ByteOperation
from zkvm.chips.counts import count_byte, count_range
from zkvm.chips.gadgets.limbs import ALL_ONES, byte, fill_checked_limbs, fill_limbs, limb, limbs_of_bytes, negate
from zkvm.chips.gadgets.ranges import LIMB, LIMB_BITS, check_limbs, check_range
from zkvm.chips.gadgets.registers import Frame, fill_frame, frame
from zkvm.chips.gadgets.sign import TOP_BIT
from zkvm.chips.multiply import CARRY_BITS, CUT_BITS, HIGH_BITS, fill_cut, partial_sum
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import STEP_TICKS

CARRY_OFFSET = 2
"""A limb of |A| is subtracted, and in a negative word one more: a carry may be -1."""


class Row(Columns):
    is_div = bit("this row proves DIV")
    is_divu = bit("this row proves DIVU")
    is_rem = bit("this row proves REM")
    is_remu = bit("this row proves REMU")
    is_divw = bit("this row proves DIVW")
    is_divuw = bit("this row proves DIVUW")
    is_remw = bit("this row proves REMW")
    is_remuw = bit("this row proves REMUW")
    frame = group(Frame, "the instruction around the operation")
    a = limbs("the dividend's register: rs1")
    b = limbs("the divisor's register: rs2")
    a_is_negative = bit("the dividend is negative and read as signed")
    a_rest = column("the limb with the dividend's sign, without its top bit; 0 if unsigned")
    b_is_negative = bit("the divisor is negative, 64 bits")
    b_is_negative_word = bit("the divisor is negative, 32 bits")
    b_rest = column("the limb with the divisor's sign, without its top bit; 0 if unsigned")
    divisor = column("bytes of the divisor's magnitude", 8)
    divisor_and = column("for each limb of divisor: its two bytes' AND, only because the byte table asks for it", 4)
    divisor_is_zero = bit("the divisor is 0")
    quotient = limbs("the quotient's magnitude")
    remainder = limbs("the remainder's magnitude")
    low = column("odd sums' lower 11 bits", 4)
    high = column("odd sums' upper 15 bits", 3)
    carry = column("carry out of the lower limbs of quotient * divisor + remainder - dividend", 3)
    differs_at = bit("marks the highest limb in which divisor and remainder differ", 4)
    difference = column("at that limb: divisor minus remainder")
    magnitude = limbs("the result's magnitude")
    result_is_negative = bit("the result is minus its magnitude, 64 bits")
    result_is_negative_word = bit("the result is minus its magnitude, 32 bits")
    word_sign = bit("bit 31 of a word form's result, else 0")
    result = limbs("what is written to rd")


def constrain(air: Any, row: Any) -> None:
    signed, signed_word = row.is_div + row.is_rem, row.is_divw + row.is_remw
    is_quotient = row.is_div + row.is_divu + row.is_divw + row.is_divuw
    is_remainder = row.is_rem + row.is_remu + row.is_remw + row.is_remuw
    is_word = signed_word + row.is_divuw + row.is_remuw
    is_real = is_quotient + is_remainder
    air.bit("one operation at most", is_real)
    operation = (
        row.is_div * Operation.DIV + row.is_divu * Operation.DIVU + row.is_rem * Operation.REM
        + row.is_remu * Operation.REMU + row.is_divw * Operation.DIVW + row.is_divuw * Operation.DIVUW
        + row.is_remw * Operation.REMW + row.is_remuw * Operation.REMUW
    )  # fmt: skip
    frame(air, row.frame, operation, is_real, 0, row.a, row.b, row.result)

    # Signs: the top bits of limb 3 or, in a word, limb 1; 0 for what is not read as signed.
    a_sign, b_sign = row.a_is_negative, row.b_is_negative + row.b_is_negative_word
    signed_a = signed * row.a[3] + signed_word * row.a[1]
    signed_b = signed * row.b[3] + signed_word * row.b[1]
    air.equal("the dividend's sign", signed_a, TOP_BIT * a_sign + row.a_rest)
    air.equal("the divisor's sign", signed_b, TOP_BIT * b_sign + row.b_rest)
    check_range(air, "a_rest", row.a_rest, LIMB_BITS - 1, is_real)
    check_range(air, "b_rest", row.b_rest, LIMB_BITS - 1, is_real)
    air.zero(
        "the divisor is negative in its own width",
        row.b_is_negative * is_word + row.b_is_negative_word * (1 - is_word),
    )

    # The divisor's magnitude: b, or the number that makes 0 with it in the operation's width.
    for i in range(4):
        air.send(
            BYTE, ByteOperation.AND, row.divisor[2 * i], row.divisor[2 * i + 1], row.divisor_and[i],
            count=is_real, label=f"bytes of divisor[{i}]",
        )  # fmt: skip
    divisor = limbs_of_bytes(row.divisor)
    for i in range(4):
        read = row.b[i] if i < 2 else (1 - is_word) * row.b[i]
        air.when(1 - b_sign).equal(f"positive divisor: limb {i}", divisor[i], read)
    negate(air.when(row.b_is_negative), "negative divisor", divisor, row.b)
    negate(air.when(row.b_is_negative_word), "negative word divisor", divisor[:2], row.b[:2])
    # The sum of two limbs is 0 only if both are.
    air.zero("negative word divisor: upper half", row.b_is_negative_word * (divisor[2] + divisor[3]))

    # quotient * divisor + remainder = |A|. In limbs, with |A| = A or 2^w - A:
    # S_2n + 2^8 low_n + 8 high_(n-1) + carry_(n-1) + remainder_n -+ A_n - (1 out of a negative word) = 2^16 carry_n,
    # both sides in (-2^18, 2^28): equal as integers. Out of the last limb comes the 2^64 of a negative A.
    check_limbs(air, "quotient", row.quotient, is_real)
    check_limbs(air, "remainder", row.remainder, is_real)
    lower, upper = partial_sums(row.quotient, row.divisor)
    # Twelve products below 2^24: the sum is 0 only if all are.
    air.zero("quotient * divisor has no upper half", upper)
    for n in range(4):
        # The last odd sum is below 2^11, or the product would pass 2^64; so it is not cut.
        cut = row.low[n] + 2**CUT_BITS * row.high[n] if n < 3 else row.low[n]
        air.equal(f"sum {2 * n + 1} is cut", lower[2 * n + 1], cut)
        check_range(air, f"low[{n}]", row.low[n], CUT_BITS, is_real)
        if n < 3:
            check_range(air, f"high[{n}]", row.high[n], HIGH_BITS, is_real)
    for n in range(4):
        total = lower[2 * n] + 2**8 * row.low[n] + row.remainder[n]
        total = total + 2 ** (CUT_BITS - 8) * row.high[n - 1] + row.carry[n - 1] if n else total
        if n == 2:
            total = total - is_word * a_sign
        dividend = row.a[n] if n < 2 else (1 - is_word) * row.a[n]
        carry = row.carry[n] if n < 3 else (1 - is_word) * a_sign
        air.equal(f"limb {n} of the dividend", total - LIMB * carry, (1 - 2 * a_sign) * dividend)
        if n < 3:
            check_range(air, f"carry[{n}]", row.carry[n] + CARRY_OFFSET * is_real, CARRY_BITS, is_real)

    # remainder < divisor, unless the divisor is 0. If it is 0 and divisor_is_zero is not 1, no remainder is smaller.
    is_compared = is_real - row.divisor_is_zero
    air.zero("a divisor said to be 0 is 0", row.divisor_is_zero * (divisor[0] + divisor[1] + divisor[2] + divisor[3]))
    passed: Any = 0
    difference: Any = 0
    for i in reversed(range(4)):
        passed = passed + row.differs_at[i]
        difference = difference + row.differs_at[i] * (divisor[i] - row.remainder[i])
        if i:
            air.zero(
                f"remainder: limb {i} is equal above the mark", (is_compared - passed) * (divisor[i] - row.remainder[i])
            )
    air.equal("remainder: one mark", passed, is_compared)
    air.equal("remainder: the difference at the mark", row.difference, difference)
    check_range(air, "remainder: difference", row.difference - is_compared, LIMB_BITS, is_real)

    # By zero: the quotient is -1. Its magnitude is 1 where the sign rule makes it negative, else all ones.
    for i in range(4):
        minus_one = (1 - a_sign) * ALL_ONES + (a_sign if i == 0 else 0)
        air.when(row.divisor_is_zero).equal(f"quotient by zero: limb {i}", row.quotient[i], minus_one)

    # The result: plus or minus the quotient's or the remainder's magnitude.
    for i in range(4):
        air.equal(
            f"magnitude of the result: limb {i}",
            row.magnitude[i],
            is_quotient * row.quotient[i] + is_remainder * row.remainder[i],
        )
    result_sign = row.result_is_negative + row.result_is_negative_word
    air.equal(
        "sign of the result",
        result_sign,
        is_quotient * (a_sign + b_sign - 2 * a_sign * b_sign) + is_remainder * a_sign,
    )
    air.zero(
        "the result is negative in its own width",
        row.result_is_negative * is_word + row.result_is_negative_word * (1 - is_word),
    )
    for i in range(4):
        plain = air.when(1 - result_sign) if i < 2 else air.when(1 - result_sign).when(1 - is_word)
        plain.equal(f"positive result: limb {i}", row.result[i], row.magnitude[i])
    negate(air.when(row.result_is_negative), "negative result", row.result, row.magnitude)
    negate(air.when(row.result_is_negative_word), "negative word result", row.result[:2], row.magnitude[:2])
    air.zero("only a word form has a word sign", row.word_sign * (1 - is_word))
    for i in range(2, 4):
        air.when(is_word).equal(f"word: limb {i} copies the sign", row.result[i], ALL_ONES * row.word_sign)
    for i in range(4):
        if i == 1:
            check_range(air, "result[1]", row.result[1] - TOP_BIT * row.word_sign, LIMB_BITS - is_word, is_real)
        else:
            check_range(air, f"result[{i}]", row.result[i], LIMB_BITS, is_real)


def partial_sums(quotient: Any, divisor: Any) -> tuple[list[Any], Any]:
    """S_0 .. S_7 of quotient in limbs times divisor in bytes, and the sum of all terms at positions 8 and above."""
    lower: list[Any] = [0] * 8
    upper: Any = 0
    for i in range(4):
        for j in range(8):
            term = quotient[i] * divisor[j]
            if 2 * i + j < 8:
                lower[2 * i + j] = lower[2 * i + j] + term
            else:
                upper = upper + term
    return lower, upper


@kernel
def fill(program, events, rows, counts):
    """Writes row i from event i; arguments as in `add.fill`."""
    for i in range(len(events)):
        event = events[i]
        line = program[event.instruction]
        row = rows[i]
        operation = line.operation
        fill_frame(row.frame, event, line, counts)
        row.is_div = operation == Operation.DIV.value
        row.is_divu = operation == Operation.DIVU.value
        row.is_rem = operation == Operation.REM.value
        row.is_remu = operation == Operation.REMU.value
        row.is_divw = operation == Operation.DIVW.value
        row.is_divuw = operation == Operation.DIVUW.value
        row.is_remw = operation == Operation.REMW.value
        row.is_remuw = operation == Operation.REMUW.value
        fill_limbs(row.a, event.a)
        fill_limbs(row.b, event.b)

        is_word = operation >= Operation.DIVW.value
        place = operation - (Operation.DIVW.value if is_word else Operation.DIV.value)
        # DIV, DIVU, REM, REMU, and the word forms in the same order.
        is_signed = place & 1 == 0
        is_quotient = place < 2

        # Signs and magnitudes.
        top = 1 if is_word else 3
        a_top = np.int64(limb(event.a, top)) if is_signed else np.int64(0)
        b_top = np.int64(limb(event.b, top)) if is_signed else np.int64(0)
        a_sign, b_sign = a_top >> 15, b_top >> 15
        row.a_is_negative = a_sign
        row.b_is_negative = 0 if is_word else b_sign
        row.b_is_negative_word = b_sign if is_word else 0
        row.a_rest = a_top & (TOP_BIT - 1)
        row.b_rest = b_top & (TOP_BIT - 1)
        count_range(counts, LIMB_BITS - 1, a_top & (TOP_BIT - 1))
        count_range(counts, LIMB_BITS - 1, b_top & (TOP_BIT - 1))
        mask = np.uint64(0xFFFF_FFFF) if is_word else ~np.uint64(0)
        dividend = (np.uint64(0) - event.a if a_sign else event.a) & mask
        divisor = (np.uint64(0) - event.b if b_sign else event.b) & mask
        if divisor != np.uint64(0):
            quotient, remainder = dividend // divisor, dividend % divisor
        else:
            quotient, remainder = (np.uint64(1) if a_sign else ~np.uint64(0)), dividend
        for j in range(8):
            row.divisor[j] = byte(divisor, j)
        for j in range(4):
            row.divisor_and[j] = byte(divisor, 2 * j) & byte(divisor, 2 * j + 1)
            count_byte(counts, ByteOperation.AND.value, byte(divisor, 2 * j), byte(divisor, 2 * j + 1))
        row.divisor_is_zero = divisor == np.uint64(0)
        fill_checked_limbs(row.quotient, quotient, counts)
        fill_checked_limbs(row.remainder, remainder, counts)

        # The product.
        carry = np.int64(0)
        for n in range(4):
            total = carry + np.int64(limb(remainder, n))
            if n > 0:
                total += np.int64(row.high[n - 1]) << (CUT_BITS - 8)
            if n < 3:
                total += fill_cut(row.low, row.high, n, quotient, divisor, counts)
                if n == 2 and is_word:
                    total -= a_sign
                if n < 2 or not is_word:
                    read = np.int64(limb(event.a, n))
                    total += read if a_sign else -read
                carry = total >> 16
                row.carry[n] = carry if carry >= 0 else carry + PRIME
                count_range(counts, CARRY_BITS, carry + CARRY_OFFSET)
            else:
                odd = partial_sum(quotient, divisor, 7)
                row.low[3] = odd
                count_range(counts, CUT_BITS, odd)

        # remainder < divisor.
        for j in range(4):
            row.differs_at[j] = 0
        row.difference = 0
        if divisor == np.uint64(0):
            count_range(counts, LIMB_BITS, 0)
        else:
            for j in range(3, -1, -1):
                difference = np.int64(limb(divisor, j)) - np.int64(limb(remainder, j))
                if difference != 0:
                    row.differs_at[j] = 1
                    row.difference = difference
                    count_range(counts, LIMB_BITS, difference - 1)
                    break

        # The result.
        fill_limbs(row.magnitude, quotient if is_quotient else remainder)
        result_sign = a_sign ^ b_sign if is_quotient else a_sign
        row.result_is_negative = 0 if is_word else result_sign
        row.result_is_negative_word = result_sign if is_word else 0
        row.word_sign = limb(event.result, 1) >= TOP_BIT if is_word else 0
        fill_limbs(row.result, event.result)
        for j in range(4):
            if j == 1 and is_word:
                count_range(counts, LIMB_BITS - 1, limb(event.result, 1) & np.uint32(TOP_BIT - 1))
            else:
                count_range(counts, LIMB_BITS, limb(event.result, j))


def reference(operation: Operation, a: int, b: int) -> int:
    """The result of a division of two 64-bit numbers."""
    is_word = operation >= Operation.DIVW
    is_signed = operation in (Operation.DIV, Operation.REM, Operation.DIVW, Operation.REMW)
    is_quotient = operation in (Operation.DIV, Operation.DIVU, Operation.DIVW, Operation.DIVUW)
    width = 32 if is_word else 64
    a, b = a % 2**width, b % 2**width
    if is_signed:
        a -= a >> (width - 1) << width
        b -= b >> (width - 1) << width
    if b == 0:
        quotient, remainder = -1, a
    else:
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        remainder = a - quotient * b
    result = (quotient if is_quotient else remainder) % 2**width
    return (result - (result >> 31 << 32)) % 2**64 if is_word else result


CHIP = Chip("divide", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
