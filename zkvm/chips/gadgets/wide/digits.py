"""
Integers as digits with bounds, and sums of them, over any values that add and multiply: field expressions, or 0 to
get at bounds alone.

Nothing here declares a constraint. What is kept is, for every byte position m, an expression e_m and integers low_m <=
e_m <= high_m, given that every digit keeps its own bounds; the sum stands for the integer sum of 256^m e_m. `steps`
cuts the positions into steps whose totals cannot wrap modulo p, for `carries`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zkvm.chips.gadgets.ranges import LIMB_BITS
from zkvm.field.koala_bear import PRIME

BYTE_MAXIMUM: Final = 255
LIMB_MAXIMUM: Final = (1 << LIMB_BITS) - 1
LIMB_BYTES: Final = 2
MAXIMUM_STEP: Final = 3
"""More positions in one step never fit."""


@dataclass(frozen=True)
class Digits:
    """The integer sum of 256^(stride i) values[i]; every value lies in [low, high]."""

    values: Sequence[Any]
    low: int
    high: int
    stride: int

    def __sub__(self, other: "Digits") -> "Digits":
        """The difference, digit by digit; both have one stride."""
        if self.stride != other.stride:
            raise ValueError("digits at different positions")
        values = [x - y for x, y in zip(self.values, other.values, strict=True)]
        return Digits(values, self.low - other.high, self.high - other.low, self.stride)


def of_bytes(values: Sequence[Any]) -> Digits:
    """A number of bytes."""
    return Digits(values, 0, BYTE_MAXIMUM, 1)


def of_limbs(values: Sequence[Any]) -> Digits:
    """A number of 16-bit limbs."""
    return Digits(values, 0, LIMB_MAXIMUM, LIMB_BYTES)


def single(value: Any, low: int, high: int) -> Digits:
    """One digit in [low, high]."""
    return Digits([value], low, high, 1)


@dataclass(frozen=True)
class Step:
    """
    Positions start .. start + width - 1: their total with the carry in is 256^width times the carry out.

    The carry out lies in [-offset, 2^bits - offset). bits and offset are None in the last step, whose total is 0.
    """

    start: int
    width: int
    offset: int | None
    bits: int | None


class DigitSum:
    """A sum of numbers and products of numbers, by byte position."""

    def __init__(self, length: int) -> None:
        self.values: list[Any] = [0] * length
        self.low = [0] * length
        self.high = [0] * length

    def _add(self, position: int, value: Any, low: int, high: int, weight: int) -> None:
        self.values[position] = self.values[position] + (value if weight == 1 else weight * value)
        bounds = sorted((weight * low, weight * high))
        self.low[position] += bounds[0]
        self.high[position] += bounds[1]

    def add(self, number: Digits, weight: int = 1, position: int = 0) -> "DigitSum":
        """Adds weight 256^position number."""
        for i, value in enumerate(number.values):
            self._add(position + number.stride * i, value, number.low, number.high, weight)
        return self

    def add_product(self, a: Digits, b: Digits, weight: int = 1) -> "DigitSum":
        """Adds weight a b; both in digits at every byte position."""
        if a.stride != 1 or b.stride != 1:
            raise ValueError("products are taken of bytes")
        ends = [x * y for x in (a.low, a.high) for y in (b.low, b.high)]
        for m in range(len(a.values) + len(b.values) - 1):
            pairs = [(i, m - i) for i in range(len(a.values)) if 0 <= m - i < len(b.values)]
            products = sum((a.values[i] * b.values[j] for i, j in pairs), start=0)
            self._add(m, products, len(pairs) * min(ends), len(pairs) * max(ends), weight)
        return self

    def steps(self) -> tuple[Step, ...]:
        """
        The widest steps that are sound, from position 0 on.

        With T in [low, high] the total of a step, carry in included, B = 256^width, and the carry out c range-checked
        to [-offset, 2^bits - offset): T = B c modulo p is T = B c as an integer, since |T - B c| < p for all these T
        and c. Every integer T / B is in that range. Raises ValueError if not even a step of one position is sound.
        """
        found: list[Step] = []
        position, carry_low, carry_high = 0, 0, 0
        while True:
            rest = len(self.values) - position
            low, high = self._bounds(position, rest, carry_low, carry_high)
            if max(-low, high) < PRIME:
                return (*found, Step(position, rest, None, None))
            for width in range(min(MAXIMUM_STEP, rest - 1), 0, -1):
                base = 256**width
                low, high = self._bounds(position, width, carry_low, carry_high)
                first, last = -(-low // base), high // base
                bits = (last - first).bit_length()
                last = first + (1 << bits) - 1
                if bits <= LIMB_BITS and high - base * first < PRIME and base * last - low < PRIME:
                    break
            else:
                raise ValueError(f"the digit sum at position {position} is too large for one step")
            found.append(Step(position, width, -first, bits))
            position, carry_low, carry_high = position + width, first, last

    def _bounds(self, start: int, width: int, carry_low: int, carry_high: int) -> tuple[int, int]:
        low = carry_low + sum(256**i * self.low[start + i] for i in range(width))
        return low, carry_high + sum(256**i * self.high[start + i] for i in range(width))


def step_table(steps: Sequence[Step]) -> NDArray[np.int64]:
    """(n, 4) start, width, offset, bits of all steps but the last, for kernels."""
    return np.array([(s.start, s.width, s.offset, s.bits) for s in steps[:-1]], dtype=np.int64)
