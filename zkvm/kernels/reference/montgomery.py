"""Elementwise base-field operations on lists of canonical integers."""

from collections.abc import Sequence

from zkvm.field.koala_bear import PRIME, batch_inverse, powers

__all__ = ["batch_inverse", "from_montgomery", "powers", "scale", "to_montgomery"]

RADIX: int = 2**32
"""The Montgomery form of x is x * RADIX mod p."""


def to_montgomery(elements: Sequence[int]) -> list[int]:
    """x -> x * 2^32 mod p."""
    return [element * RADIX % PRIME for element in elements]


def from_montgomery(elements: Sequence[int]) -> list[int]:
    """x -> x / 2^32 mod p."""
    inverse = pow(RADIX, -1, PRIME)
    return [element * inverse % PRIME for element in elements]


def scale(elements: Sequence[int], factor: int) -> list[int]:
    """x -> factor * x."""
    return [element * factor % PRIME for element in elements]
