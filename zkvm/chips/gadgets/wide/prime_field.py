"""
The field of secp256k1, p = 2^256 - 2^32 - 977: canonical numbers, and multiples of p in a digit sum.

Given
-----
- limbs are below 2^16; count is 0 or 1.

Proves, where count = 1
-----------------------
- `canonical`: the number of these 16 limbs is below p. With n = 2^256 - 1 - number, in limbs n_i, that is n >= 2^32 +
  977, and one of three cases shows it:
  neither flag     one of n_3 .. n_15 is not 0: their sum, below 2^20, has an inverse.
  is_large         n_2 >= 1, and n_2 - 1 + n_1, below 2^17, has an inverse: n >= 2^33, or n >= 2^32 + 2^16.
  is_largest       n_2 = 1 and n_0 >= 977. (So it is no matter if both flags are set.)
- `quotient_limbs`: the 16 limbs are below 2^16.

Padding
-------
- No message; cells of 0 hold.

Source: SEC 2, version 2.0, section 2.4.1, for p.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from zkvm.air.columns import Columns, bit, column
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.limbs import ALL_ONES
from zkvm.chips.gadgets.ranges import LIMB_BITS, check_range
from zkvm.chips.gadgets.wide.digits import Digits, DigitSum
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.policy import kernel
from zkvm.machine.precompiles import SECP256K1_PRIME

LIMBS: Final = 16

BYTES: Final = 32
"""2^256 stands at this byte position."""

LOW_TERM: Final = 977
"""p = 2^256 - 2^32 - LOW_TERM."""

TERMS: Final = ((BYTES, 1), (4, -1), (1, -4), (0, 47))
"""
p is the sum of 256^position weight. 977 = 4 * 256 - 47 keeps the sums small: 977 limbs would not fit beside 31
products of bytes.
"""

if (
    sum(256**position * weight for position, weight in TERMS) != SECP256K1_PRIME
    or 2**256 - 2**32 - LOW_TERM != SECP256K1_PRIME
):
    raise ValueError("the terms are not those of the prime")


class Canonical(Columns):
    """Which case shows that a number is below p, and how."""

    is_large = bit("limbs 3 to 15 are all ones, and limbs 1 and 2 decide")
    is_largest = bit("limbs 1 to 15 are those of p, and limb 0 decides")
    inverse = column("of what is not 0 in the case")
    rest = column("of what is not negative in the case")


def canonical(air: Any, name: str, cells: Any, limbs: Sequence[Any], count: Any) -> None:
    """The number of 16 limbs is below p where count is 1. `name` labels the claims."""
    n = [ALL_ONES * count - limb for limb in limbs]
    is_large, is_largest = cells.is_large, cells.is_largest
    above = n[2] - count
    nonzero = (count - is_large - is_largest) * sum(n[3:]) + is_large * (above + n[1]) + is_largest
    air.equal(f"{name}: what is not 0 has an inverse", nonzero * cells.inverse, count)
    air.zero(f"{name}: limb 2 of the largest", is_largest * above)
    air.equal(f"{name}: what is not negative", cells.rest, is_large * above + is_largest * (n[0] - LOW_TERM * count))
    check_range(air, f"{name}: rest", cells.rest, LIMB_BITS, count)


@kernel
def fill_canonical(limbs, counts):
    """The cells (is_large, is_largest, inverse, rest) of (16,) int64 limbs, the look-up counted."""
    above = 0xFFFF - limbs[2] - 1
    total = np.int64(0)
    for i in range(3, LIMBS):
        total += 0xFFFF - limbs[i]
    is_large, is_largest, nonzero, rest = np.int64(0), np.int64(0), total, np.int64(0)
    if total == 0:
        if above == 0 and limbs[1] == 0xFFFF:
            is_largest, nonzero, rest = np.int64(1), np.int64(1), 0xFFFF - limbs[0] - LOW_TERM
        else:
            is_large, nonzero, rest = np.int64(1), above + 0xFFFF - limbs[1], above
    # A number that is not below p has a negative rest, which no table holds.
    count_range(counts, LIMB_BITS, rest & 0xFFFF)
    return is_large, is_largest, inverse_modulo_p(nonzero), rest % PRIME


@kernel
def inverse_modulo_p(value):
    """The inverse of value modulo the small field's prime, 0 for 0; int64, |value| < 2^31."""
    result, power, exponent = np.int64(1), value % PRIME, np.int64(PRIME - 2)
    while exponent > 0:
        if exponent & 1:
            result = result * power % PRIME
        power = power * power % PRIME
        exponent >>= 1
    return result


def add_multiple(total: DigitSum, number: Digits, weight: int, position: int = 0) -> DigitSum:
    """Adds weight 256^position number p."""
    for place, term in TERMS:
        total.add(number, weight * term, position + place)
    return total


_PLACES = np.array(TERMS, dtype=np.int64)


@kernel
def add_small_multiple(sums, number, position):
    """Adds 256^position number p to (length,) int64 sums by byte position."""
    for k in range(len(_PLACES)):
        sums[position + _PLACES[k, 0]] += _PLACES[k, 1] * number


_LOW_INVERSE = pow(LOW_TERM, -1, 1 << LIMB_BITS)


@kernel
def fill_quotient(sums, cells, counts):
    """
    Divides a digit sum by p, exactly: with N its integer, a multiple of p, and N / p = Q + 2^256 t with 0 <= Q <
    2^256, writes the 16 limbs of Q, counts their range checks, takes Q p off the sums, and returns t, |t| < 2^8.

    sums: (length,) int64 by byte position, length > 64. Q comes limb by limb from below, since -p = 977 modulo 2^16
    in each.
    """
    carry = np.int64(0)
    for k in range(LIMBS):
        total = carry + sums[2 * k] + 256 * sums[2 * k + 1]
        digit = (-total * _LOW_INVERSE) & 0xFFFF
        cells[k] = digit
        count_range(counts, LIMB_BITS, digit)
        add_small_multiple(sums, -digit, 2 * k)
        carry = (carry + sums[2 * k] + 256 * sums[2 * k + 1]) >> LIMB_BITS
    # The rest is t p, and p = 2^256 (1 - 2^-224): doubles are enough.
    rest = 0.0
    for m in range(len(sums) - 1, BYTES - 1, -1):
        rest = rest * 256.0 + float(sums[m])
    return np.int64(np.rint((rest + float(carry)) / 2.0**256))
