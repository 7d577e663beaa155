"""
The quintic extension of KoalaBear: F_p[x] / (x^5 + x^2 - 1), about 2^154.94 elements.

Statement
---------
An element a0 + a1 x + a2 x^2 + a3 x^3 + a4 x^4 is five canonical integers, lowest power first. Products are reduced by
x^5 = 1 - x^2. Challenges are drawn here: a base-field challenge would give only 31 bits.

Why this polynomial: a binomial x^5 - c is irreducible only if 5 divides p - 1 = 2^24 * 127, and it does not; x^5 +
x^2 - 1 is the sparse trinomial for which reduction costs additions alone. tests/zkvm/field checks that it is
irreducible.
Source: Plonky3, koala-bear quintic extension (the same polynomial).
"""

from collections.abc import Iterable, Sequence
from typing import Union

from zkvm.field.koala_bear import PRIME

DEGREE: int = 5
"""Dimension over the base field: five, since 4 * 31 = 124 bits would leave no room below 128-bit soundness."""

Scalar = Union["Extension", int]


class Extension:
    """
    One immutable element. `int` operands are taken as base-field elements, modulo p.

    coefficients: five integers, reduced modulo p here. Raises ValueError unless there are exactly five.
    """

    __slots__ = ("coefficients",)

    coefficients: tuple[int, int, int, int, int]
    """Canonical, lowest power first."""

    def __init__(self, coefficients: Iterable[int]) -> None:
        reduced = tuple(int(c) % PRIME for c in coefficients)
        if len(reduced) != DEGREE:
            raise ValueError(f"an extension element has {DEGREE} coefficients, not {len(reduced)}")
        object.__setattr__(self, "coefficients", reduced)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("extension elements are immutable")

    @classmethod
    def from_base(cls, element: int) -> "Extension":
        """The base-field element as an element of the extension."""
        return cls((element, 0, 0, 0, 0))

    @property
    def is_base(self) -> bool:
        """Whether the element lies in the base field."""
        return not any(self.coefficients[1:])

    def __add__(self, other: Scalar) -> "Extension":
        a0, a1, a2, a3, a4 = self.coefficients
        if isinstance(other, Extension):
            b0, b1, b2, b3, b4 = other.coefficients
            return _reduced(a0 + b0, a1 + b1, a2 + b2, a3 + b3, a4 + b4)
        if isinstance(other, int):
            return _reduced(a0 + other, a1, a2, a3, a4)
        return NotImplemented

    __radd__ = __add__

    def __neg__(self) -> "Extension":
        a0, a1, a2, a3, a4 = self.coefficients
        return _reduced(-a0, -a1, -a2, -a3, -a4)

    def __sub__(self, other: Scalar) -> "Extension":
        a0, a1, a2, a3, a4 = self.coefficients
        if isinstance(other, Extension):
            b0, b1, b2, b3, b4 = other.coefficients
            return _reduced(a0 - b0, a1 - b1, a2 - b2, a3 - b3, a4 - b4)
        if isinstance(other, int):
            return _reduced(a0 - other, a1, a2, a3, a4)
        return NotImplemented

    def __rsub__(self, other: int) -> "Extension":
        return -self + other

    def __mul__(self, other: Scalar) -> "Extension":
        a0, a1, a2, a3, a4 = self.coefficients
        if isinstance(other, Extension):
            b0, b1, b2, b3, b4 = other.coefficients
            # The product before reduction, c5 to c8 being the coefficients of x^5 to x^8.
            c5 = a1 * b4 + a2 * b3 + a3 * b2 + a4 * b1
            c6 = a2 * b4 + a3 * b3 + a4 * b2
            c7 = a3 * b4 + a4 * b3
            c8 = a4 * b4
            # x^5 = 1 - x^2, x^6 = x - x^3, x^7 = x^2 - x^4, x^8 = x^3 - x^5 = x^3 + x^2 - 1.
            return _reduced(
                a0 * b0 + c5 - c8,
                a0 * b1 + a1 * b0 + c6,
                a0 * b2 + a1 * b1 + a2 * b0 - c5 + c7 + c8,
                a0 * b3 + a1 * b2 + a2 * b1 + a3 * b0 - c6 + c8,
                a0 * b4 + a1 * b3 + a2 * b2 + a3 * b1 + a4 * b0 - c7,
            )
        if isinstance(other, int):
            return _reduced(a0 * other, a1 * other, a2 * other, a3 * other, a4 * other)
        return NotImplemented

    __rmul__ = __mul__

    def __pow__(self, exponent: int) -> "Extension":
        """Any integer exponent; x^0 = 1 also for x = 0. Raises ZeroDivisionError for a negative power of 0."""
        if exponent < 0:
            return self.inverse() ** -exponent
        result, square = ONE, self
        while exponent:
            if exponent & 1:
                result = result * square
            exponent >>= 1
            if exponent:
                square = square * square
        return result

    def frobenius(self, count: int = 1) -> "Extension":
        """The element to the power p^count: linear over the base field, so five additions of tabulated powers of x."""
        images = _FROBENIUS[count % DEGREE]
        return sum((image * c for image, c in zip(images, self.coefficients)), ZERO)

    def norm(self) -> int:
        """The product of the five conjugates: a base-field element, 0 only for 0."""
        return (self * self._other_conjugates()).coefficients[0]

    def inverse(self) -> "Extension":
        """
        The multiplicative inverse: the product of the other four conjugates divided by the norm.

        Raises ZeroDivisionError for 0. Source: T. Itoh and S. Tsujii, A fast algorithm for computing multiplicative
        inverses in GF(2^m) using normal bases, 1988, section 4 (for extensions of any field).
        """
        if not any(self.coefficients):
            raise ZeroDivisionError("0 has no inverse in the extension")
        others = self._other_conjugates()
        # The norm is fixed by Frobenius, hence in the base field: its coefficient of 1 is all of it.
        norm = (self * others).coefficients[0]
        return others * pow(norm, -1, PRIME)

    def _other_conjugates(self) -> "Extension":
        # a^(p + p^2 + p^3 + p^4) = b * b^(p^2) with b = a^(p + p^2).
        pair = self.frobenius(1) * self.frobenius(2)
        return pair * pair.frobenius(2)

    def __truediv__(self, other: Scalar) -> "Extension":
        if isinstance(other, Extension):
            return self * other.inverse()
        if isinstance(other, int):
            if other % PRIME == 0:
                raise ZeroDivisionError("division by 0 in the extension")
            return self * pow(other, -1, PRIME)
        return NotImplemented

    def __rtruediv__(self, other: int) -> "Extension":
        return self.inverse() * other

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Extension):
            return self.coefficients == other.coefficients
        if isinstance(other, int):
            return self.coefficients == (other % PRIME, 0, 0, 0, 0)
        return NotImplemented

    def __hash__(self) -> int:
        # Equal to the hash of the base-field element that it equals.
        return hash(self.coefficients[0]) if self.is_base else hash(self.coefficients)

    def __bool__(self) -> bool:
        return any(self.coefficients)

    def __repr__(self) -> str:
        return f"Extension({self.coefficients})"


def batch_inverse(elements: Sequence[Extension]) -> list[Extension]:
    """The inverses of n elements with one inversion and 3n multiplications (Montgomery's trick). 0 gives 0."""
    products_before = []
    product = ONE
    for element in elements:
        products_before.append(product)
        if element:
            product = product * element

    inverse_of_product = product.inverse()
    inverses = [ZERO] * len(elements)
    for i in reversed(range(len(elements))):
        if elements[i]:
            inverses[i] = inverse_of_product * products_before[i]
            inverse_of_product = inverse_of_product * elements[i]
    return inverses


def powers(base: Extension, count: int) -> list[Extension]:
    """1, base, base^2, ..., base^(count - 1)."""
    result = []
    power = ONE
    for _ in range(count):
        result.append(power)
        power = power * base
    return result


def _reduced(c0: int, c1: int, c2: int, c3: int, c4: int) -> Extension:
    # Skips the checks of the constructor: every caller here hands over five integers.
    element = object.__new__(Extension)
    object.__setattr__(element, "coefficients", (c0 % PRIME, c1 % PRIME, c2 % PRIME, c3 % PRIME, c4 % PRIME))
    return element


ZERO = Extension((0, 0, 0, 0, 0))
ONE = Extension((1, 0, 0, 0, 0))
X = Extension((0, 1, 0, 0, 0))
"""The root of x^5 + x^2 - 1 that generates the extension."""


def _frobenius_images() -> tuple[tuple[Extension, ...], ...]:
    """images[k][i] = (x^i)^(p^k), k and i in 0..4."""
    images = []
    image_of_x = X
    for _ in range(DEGREE):
        images.append(tuple(powers(image_of_x, DEGREE)))
        image_of_x = image_of_x**PRIME
    return tuple(images)


_FROBENIUS = _frobenius_images()
