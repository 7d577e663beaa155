"""
The top bit of a limb, and limbs read as signed.

Given
-----
- `sign` is a bit by declaration, `is_signed` and `count` are 0 or 1, limb < 2^16.

Proves, where count = 1
-----------------------
- `check_top_bit`: limb = 2^15 sign + (something below 2^15), and limb < 2^16.
- `signed_top`: sign is the limb's top bit if is_signed, else 0. Returns limb - 2^16 sign: the limb's value as a signed
  16-bit number, or as it stands.
"""

from typing import Any

import numpy as np

from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.ranges import LIMB, LIMB_BITS, check_range
from zkvm.kernels.policy import kernel

TOP_BIT = LIMB // 2


def check_top_bit(air: Any, label: str, limb: Any, sign: Any, count: Any) -> None:
    """sign is the top bit of a number below 2^16. Proves the bound as well."""
    check_range(air, label, limb - TOP_BIT * sign, LIMB_BITS - 1, count)


def signed_top(air: Any, label: str, limb: Any, sign: Any, is_signed: Any, count: Any) -> Any:
    """
    The value of a number's top limb, signed or not.

    limb - 2^16 sign + 2^15 is_signed must be a limb. Signed: sign = 0 asks limb < 2^15, sign = 1 asks limb >= 2^15.
    Unsigned: sign = 1 would be negative.
    """
    value = limb - LIMB * sign
    check_range(air, label, value + TOP_BIT * is_signed, LIMB_BITS, count)
    return value


@kernel(inline=True)
def fill_signed_top(limb, is_signed, counts):
    """The sign of `signed_top`, 0 or 1, its look-up counted."""
    sign = np.int64(1) if is_signed and limb >= TOP_BIT else np.int64(0)
    count_range(counts, LIMB_BITS, np.int64(limb) - LIMB * sign + (TOP_BIT if is_signed else 0))
    return sign
