"""
KoalaBear: the prime field with p = 2^31 - 2^24 + 1 elements, on plain integers.

Statement
---------
An element is an `int` in [0, p), its canonical form. p - 1 = 127 * 2^24, so
- multiplicative subgroups of every order 2^k, k <= 24, exist;
- x -> x^3 is a bijection, since 3 does not divide p - 1: the S-box of Poseidon2 (kernels/reference/poseidon2.py).

Source: the prime is published with Plonky3 (crate p3-koala-bear); tests/zkvm/field re-derives every claim above.
"""

from collections.abc import Sequence

PRIME: int = 2**31 - 2**24 + 1
"""Number of elements. Below 2^31, so the sum of two elements fits 32 bits."""

TWO_ADICITY: int = 24
"""The largest k for which 2^k divides PRIME - 1; caps the height of every evaluation domain at 2^24."""

GENERATOR: int = 3
"""Generates the multiplicative group; being outside every 2^k-subgroup, it shifts a domain off the trace domain."""


def inverse(element: int) -> int:
    """
    The multiplicative inverse of a non-zero element.

    Raises ZeroDivisionError for 0 mod p.
    """
    if element % PRIME == 0:
        raise ZeroDivisionError("0 has no inverse in KoalaBear")
    return pow(element, -1, PRIME)


def batch_inverse(elements: Sequence[int]) -> list[int]:
    """
    The inverses of n elements with one inversion and 3n multiplications (Montgomery's trick). 0 gives 0.

    Source: P. Montgomery, Speeding the Pollard and elliptic curve methods of factorization, 1987, section 10.3.1.
    """
    products_before = []
    product = 1
    for element in elements:
        products_before.append(product)
        if element % PRIME:
            product = product * element % PRIME

    inverse_of_product = pow(product, -1, PRIME)
    inverses = [0] * len(elements)
    for i in reversed(range(len(elements))):
        if elements[i] % PRIME:
            inverses[i] = inverse_of_product * products_before[i] % PRIME
            inverse_of_product = inverse_of_product * elements[i] % PRIME
    return inverses


def two_adic_generator(log_order: int) -> int:
    """
    The chosen root of unity of order 2^log_order, 0 <= log_order <= 24. Squaring one gives the one of half the order.

    Raises ValueError for any other order: the field has no such subgroup.
    """
    if not 0 <= log_order <= TWO_ADICITY:
        raise ValueError(f"KoalaBear has no subgroup of order 2^{log_order}: the exponent must be 0 to {TWO_ADICITY}")
    return pow(GENERATOR, (PRIME - 1) >> log_order, PRIME)


def powers(base: int, count: int) -> list[int]:
    """1, base, base^2, ..., base^(count - 1)."""
    result = []
    power = 1
    for _ in range(count):
        result.append(power)
        power = power * base % PRIME
    return result
