"""KoalaBear: the claims of its docstring, from scratch."""

import random

import pytest

from zkvm.field import koala_bear
from zkvm.field.koala_bear import GENERATOR, PRIME, TWO_ADICITY

SEED = 20
PRIME_FACTORS_OF_ORDER = (2, 127)


def test_prime_is_prime_and_its_order_factors_as_stated():
    assert PRIME == 0x7F000001
    assert PRIME - 1 == 127 * 2**TWO_ADICITY
    # Trial division up to the square root, 46,160.
    assert all(PRIME % divisor for divisor in range(2, int(PRIME**0.5) + 1))


def test_generator_generates_the_whole_group():
    assert all(pow(GENERATOR, (PRIME - 1) // factor, PRIME) != 1 for factor in PRIME_FACTORS_OF_ORDER)


def test_cubing_is_a_bijection():
    assert (PRIME - 1) % 3 != 0


@pytest.mark.parametrize("log_order", range(TWO_ADICITY + 1))
def test_two_adic_generator_has_its_order_and_squares_to_the_next(log_order):
    root = koala_bear.two_adic_generator(log_order)
    assert pow(root, 2**log_order, PRIME) == 1
    if log_order:
        assert pow(root, 2 ** (log_order - 1), PRIME) == PRIME - 1
        assert root * root % PRIME == koala_bear.two_adic_generator(log_order - 1)


@pytest.mark.parametrize("log_order", [-1, TWO_ADICITY + 1])
def test_two_adic_generator_refuses_orders_that_do_not_exist(log_order):
    with pytest.raises(ValueError, match="has no subgroup of order"):
        koala_bear.two_adic_generator(log_order)


def test_inverse_and_batch_inverse():
    print("seed", SEED)
    generator = random.Random(SEED)
    elements = [1, PRIME - 1, 0, *(generator.randrange(PRIME) for _ in range(50)), 0]
    inverses = koala_bear.batch_inverse(elements)
    for element, inverse in zip(elements, inverses):
        assert inverse == (koala_bear.inverse(element) if element else 0)
        assert element * inverse % PRIME == (1 if element else 0)
    assert koala_bear.batch_inverse([]) == []
    assert koala_bear.batch_inverse([0]) == [0]


def test_inverse_of_zero_is_refused():
    for zero in (0, PRIME):
        with pytest.raises(ZeroDivisionError):
            koala_bear.inverse(zero)


def test_powers():
    assert koala_bear.powers(7, 0) == []
    assert koala_bear.powers(7, 20) == [pow(7, i, PRIME) for i in range(20)]
