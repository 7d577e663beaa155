"""The quintic extension: irreducibility, the laws of a field, and agreement with schoolbook polynomial arithmetic."""

import random

import pytest

from zkvm.field import extension
from zkvm.field.extension import DEGREE, ONE, ZERO, Extension, X
from zkvm.field.koala_bear import PRIME

SEED = 21
MODULUS = [PRIME - 1, 0, 1, 0, 0, 1]
"""x^5 + x^2 - 1, lowest power first."""


def random_elements(count):
    print("seed", SEED)
    generator = random.Random(SEED)
    return [Extension(generator.randrange(PRIME) for _ in range(DEGREE)) for _ in range(count)]


def polynomial_product(a, b):
    """a * b mod MODULUS by long division, knowing nothing of the trick in the code."""
    product = [0] * 9
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    for degree in range(8, 4, -1):
        factor = product[degree]
        for k, coefficient in enumerate(MODULUS):
            product[degree - 5 + k] -= factor * coefficient
    return [c % PRIME for c in product[:5]]


def polynomial_power(base, exponent):
    result = [1, 0, 0, 0, 0]
    while exponent:
        if exponent & 1:
            result = polynomial_product(result, base)
        base = polynomial_product(base, base)
        exponent >>= 1
    return result


def remainder(a, b):
    a = list(a)
    while len(a) >= len(b):
        factor = a[-1] * pow(b[-1], -1, PRIME)
        for k in range(len(b)):
            a[len(a) - len(b) + k] = (a[len(a) - len(b) + k] - factor * b[k]) % PRIME
        a.pop()
    while a and a[-1] == 0:
        a.pop()
    return a


def test_modulus_is_irreducible():
    """
    Rabin's test: x^(p^5) = x modulo f, and gcd(x^p - x, f) = 1. The degree being prime, no other subfield is to be
    excluded.
    """
    x = [0, 1, 0, 0, 0]
    image = x
    images = []
    for _ in range(DEGREE):
        image = polynomial_power(image, PRIME)
        images.append(image)
    assert images[-1] == x
    difference = [(a - b) % PRIME for a, b in zip(images[0], x)]
    a, b = MODULUS, remainder(difference, MODULUS)
    while b:
        a, b = b, remainder(a, b)
    assert len(a) == 1


def test_no_quintic_binomial_is_irreducible():
    # x^5 - c is irreducible only if 5 divides p - 1 (Lidl and Niederreiter, theorem 3.75).
    assert (PRIME - 1) % 5 != 0


def test_product_is_polynomial_product():
    elements = random_elements(40)
    for a, b in zip(elements[::2], elements[1::2]):
        assert list((a * b).coefficients) == polynomial_product(a.coefficients, b.coefficients)


def test_field_laws():
    a, b, c = random_elements(3)
    assert a + b == b + a and a * b == b * a
    assert a * (b + c) == a * b + a * c
    assert (a * b) * c == a * (b * c)
    assert a - a == ZERO and a + -a == 0
    assert a * ONE == a and a + 0 == a and 1 * a == a
    assert a / b * b == a and a * a.inverse() == 1
    assert (1 / a) * a == 1 and a / 7 * 7 == a
    assert 5 - a == -(a - 5)
    assert X**5 + X**2 == 1


def test_powers_and_group_order():
    (a,) = random_elements(1)
    assert a**0 == 1 and ZERO**0 == 1
    assert a**7 == a * a * a * a * a * a * a
    assert a**-3 == (a * a * a).inverse()
    assert a ** (PRIME**5 - 1) == 1
    assert extension.powers(a, 6) == [a**i for i in range(6)]
    assert extension.powers(a, 0) == []


def test_frobenius_and_norm():
    (a,) = random_elements(1)
    for count in range(6):
        assert a.frobenius(count) == a ** (PRIME**count)
    product = ONE
    for count in range(5):
        product = product * a.frobenius(count)
    assert product.is_base and product == a.norm()
    assert ZERO.norm() == 0


def test_batch_inverse():
    elements = [*random_elements(9), ZERO, ONE, Extension.from_base(PRIME - 1)]
    for element, inverse in zip(elements, extension.batch_inverse(elements)):
        assert element * inverse == (1 if element else 0)
    assert extension.batch_inverse([]) == []
    assert extension.batch_inverse([ZERO]) == [ZERO]


def test_equality_hash_and_truth():
    assert Extension.from_base(3) == 3 == Extension.from_base(3 + PRIME)
    assert hash(Extension.from_base(3)) == hash(3)
    assert X != 1 and X != "x"
    assert not ZERO and X
    assert len({X, Extension((0, 1, 0, 0, 0)), ONE}) == 2


def test_refusals():
    with pytest.raises(ValueError, match="an extension element has 5 coefficients, not 4"):
        Extension((1, 2, 3, 4))
    for attempt in (lambda: ZERO.inverse(), lambda: X / ZERO, lambda: X / PRIME, lambda: ZERO**-1):
        with pytest.raises(ZeroDivisionError):
            attempt()
    with pytest.raises(AttributeError, match="immutable"):
        X.coefficients = (0, 0, 0, 0, 0)
    with pytest.raises(TypeError):
        X * 1.5
