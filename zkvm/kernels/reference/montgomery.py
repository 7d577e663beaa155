"""Elementwise base-field operations on lists of canonical integers."""

from collections.abc import Sequence

from zkvm.field.koala_bear import PRIME, batch_inverse, powers

__all__ = ["batch_inverse", "bit_reversed_powers", "from_montgomery", "powers", "scale", "to_montgomery"]

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


def bit_reversed_powers(base: int, log_count: int, first: int = 1) -> list[int]:
    """first * base^(bit reversal of i over log_count bits), for i < 2^log_count."""
    return [first * pow(base, bit_reversal(i, log_count), PRIME) % PRIME for i in range(1 << log_count)]


def bit_reversal(index: int, bit_count: int) -> int:
    """The index whose bits, of bit_count, stand in the opposite order."""
    reversed_index = 0
    for _ in range(bit_count):
        reversed_index = reversed_index << 1 | index & 1
        index >>= 1
    return reversed_index
