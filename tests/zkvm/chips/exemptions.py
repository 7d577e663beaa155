"""Cells that may change, and constraints that others imply: each with its proof."""

_NO_RS2 = "an immediate form does not read rs2: the cell is in no message that counts, and in no constraint"
_NO_RS1 = "JAL does not read rs1: the cell is in no message that counts, and in no constraint"

FREE_CELLS: dict[tuple[str, str], dict[str, str]] = {
    ("*", "immediate"): {"frame.rs2.previous_clk": _NO_RS2, "frame.rs2.gap_low": _NO_RS2},
    ("jump", "JAL"): {
        "rs1.previous_clk": _NO_RS1,
        "rs1.gap_low": _NO_RS1,
        "a[3]": "JAL's a is in no message, and 2^16 in its top limb is a carry out of the sum, which is dropped",
    },
}
"""(chip or *, form) -> cells of real rows that nothing binds, and why that is harmless."""

_TWO_FLAGS = (
    "the two operation bits' sum is 0 or 1 and the other one is a bit, so this one is 0, 1 or -1; -1 "
    "makes the sum 0, and then "
    "no message is sent"
)
_TOP_MARK = (
    "with the other marks bits and the sum of all 0 or 1, this one is 1, 0 or negative; negative, the "
    "factor 1 - (marks passed) "
    "is not 0 until the sum becomes 1, so limbs are equal down to the mark that makes it 1: the highest "
    "that differs, as it should be"
)

EXEMPT: dict[str, dict[str, str]] = {
    "add": {"is_add is a bit": _TWO_FLAGS, "is_sub is a bit": _TWO_FLAGS},
    "add_word": {"is_add is a bit": _TWO_FLAGS, "is_sub is a bit": _TWO_FLAGS},
    "bitwise": {
        "is_and is a bit": (
            "a sum of 0 or 1 with the others bits leaves -1 with both others 1: byte operation 1 + 2 - 0 = 3 is "
            "not in the table"
        ),
        "is_or is a bit": (
            "likewise -1 with both others 1: operation 7 + 5 - 6 = 6 and byte operation 0 + 2 - 1 = 1, which is "
            "a true OR"
        ),
        "is_xor is a bit": "likewise -1 with both others 1: byte operation 0 + 1 - 2 = -1 is not in the table",
    },
    "less_than": {
        "is_signed is a bit": _TWO_FLAGS,
        "is_unsigned is a bit": _TWO_FLAGS,
        "comparison.differs_at[3] is a bit": _TOP_MARK,
        "comparison: one mark at most": (
            "with two marks or more, 1 - (marks passed) is not 0 from the second mark on, so only the first "
            "mark's limb may differ, "
            "and is_less is 0; then the difference there, a - b, is at least 2: a is larger, as is claimed. "
            "(branch needs this "
            "constraint for its equality.)"
        ),
    },
    "branch": {"comparison.differs_at[3] is a bit": _TOP_MARK},
    "multiply": {
        "is_mulw is a bit": (
            "a sum of 0 or 1 with the others bits leaves 0, 1 or a negative number; product[1] is looked up with "
            "16 - is_mulw bits, "
            "and the table ends at 16. Without a look-up, at sum 0, nothing is sent"
        ),
        "high[6] in range": (
            "limb 7 says 8 high[6] = x, |x| < 2^18, since carry[6], carry[7], product[7] and the operands are "
            "bounded; so "
            "S_13 - low[6] = 2^11 high[6] = 2^8 x holds in integers, and limbs 6 and 7 take 2^8 low[6] + 2^16 x "
            "= 2^8 S_13 together"
        ),
    },
    "divide": {
        "a_is_negative is a bit": (
            "the sign of the result, a bit, is a_is_negative, or a_is_negative + b - 2 a_is_negative b with b 0 "
            "or 1: one of "
            "a_is_negative and 1 - a_is_negative"
        ),
        "b_is_negative is a bit": (
            "if it is neither 0 nor 1, both divisor = b and divisor = -b mod 2^64 are asked for: b is 0 or 2^63, "
            "and divisor = b is "
            "its magnitude in either reading; for quotients the sign of the result makes it a bit"
        ),
        "b_is_negative_word is a bit": (
            "likewise: the lower half of b is 0 or 2^31, and divisor is that, its magnitude in either reading; "
            "for quotients the sign "
            "of the result makes it a bit"
        ),
        "divisor_is_zero is a bit": (
            "if it is not 0, divisor = 0, and the number of marks is 1 - divisor_is_zero; with a mark the "
            "difference is -remainder - 1 "
            "or less, out of range; so there is no mark, and it is 1"
        ),
        "differs_at[3] is a bit": _TOP_MARK + "; with a divisor of 0 the remainder is |A| whatever the marks",
        "result_is_negative is a bit": (
            "it and result_is_negative_word are 0 where the width is the other one, and their sum is the sign "
            "rule's value, a bit"
        ),
        "result_is_negative_word is a bit": "as result_is_negative",
    },
}
"""Chip -> constraint or look-up that is implied by the others, and the proof."""
