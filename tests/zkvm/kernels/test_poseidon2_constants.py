"""
The published constants, derived again from their sources: Grain LFSR, round-number bounds, matrices.

Sources: Poseidon (eprint 2019/458) with its generate_params_poseidon.sage; Poseidon2 (eprint 2023/323); eprint 2023/537
for the last bound on round numbers; Plonky3 for the published values and the known answer.
"""

import hashlib
import itertools
import json
from math import ceil, comb, floor, log, log2
from pathlib import Path

import pytest

from zkvm.field.koala_bear import PRIME
from zkvm.kernels.constants import poseidon2 as constants
from zkvm.kernels.reference import poseidon2

# Plonky3 at 0056fa836d7fba9cb3fc77f3bbc47abd59c80ac0, koala-bear/src/poseidon2.rs: the input and output of
# `test_default_koalabear_poseidon2_width_24`, and the first and last constants of each table.
KNOWN_INPUT = [
    886409618, 1327899896, 1902407911, 591953491, 648428576, 1844789031, 1198336108, 355597330,
    1799586834, 59617783, 790334801, 1968791836, 559272107, 31054313, 1042221543, 474748436,
    135686258, 263665994, 1962340735, 1741539604, 2026927696, 449439011, 1131357108, 50869465,
]  # fmt: skip
KNOWN_OUTPUT = [
    382801106, 82839311, 1503190615, 1987418517, 854076995, 1862291425, 262755189, 1050814217,
    722724562, 741265943, 1026879332, 754316749, 1966025564, 1518878196, 502200188, 1368172258,
    845459257, 1711434837, 724453836, 171032289, 655223446, 1098636135, 407832555, 1707498914,
]  # fmt: skip

FULL, PARTIAL, WIDTH, ALPHA, BITS = 8, 23, 24, 3, 31


def grain_elements():
    """Field elements of the Grain LFSR in self-shrinking mode (Poseidon paper, appendix E)."""
    fields = [(1, 2), (0, 4), (BITS, 12), (WIDTH, 12), (FULL, 10), (PARTIAL, 10), (2**30 - 1, 30)]
    state = [int(bit) for value, length in fields for bit in format(value, f"0{length}b")]
    assert len(state) == 80

    def clock():
        bit = state[62] ^ state[51] ^ state[38] ^ state[23] ^ state[13] ^ state[0]
        state.append(bit)
        state.pop(0)
        return bit

    def shrunk_bits():
        while True:
            keep, bit = clock(), clock()
            if keep:
                yield bit

    for _ in range(160):
        clock()
    bits = shrunk_bits()
    while True:
        value = int("".join(str(next(bits)) for _ in range(BITS)), 2)
        if value < PRIME:
            yield value


def test_round_constants_come_from_grain():
    elements = grain_elements()
    rows = [tuple(itertools.islice(elements, WIDTH)) for _ in range(FULL // 2)]
    assert constants.INITIAL_ROUND_CONSTANTS == tuple(rows)
    assert constants.PARTIAL_ROUND_CONSTANTS == tuple(itertools.islice(elements, PARTIAL))
    rows = [tuple(itertools.islice(elements, WIDTH)) for _ in range(FULL // 2)]
    assert constants.FINAL_ROUND_CONSTANTS == tuple(rows)


def test_round_constants_begin_and_end_as_published():
    assert constants.INITIAL_ROUND_CONSTANTS[0][0] == 0x1D0939DC
    assert constants.INITIAL_ROUND_CONSTANTS[3][23] == 0x2933BDDE
    assert constants.PARTIAL_ROUND_CONSTANTS[0] == 0x1395D4CA
    assert constants.PARTIAL_ROUND_CONSTANTS[22] == 0x3DE4E739
    assert constants.FINAL_ROUND_CONSTANTS[0][0] == 0x7D232359
    assert constants.FINAL_ROUND_CONSTANTS[3][23] == 0x289B4E1E


def test_known_answer():
    assert poseidon2.permute(KNOWN_INPUT) == KNOWN_OUTPUT


def test_diagonal_as_published():
    def half(k):
        return pow(2, -k, PRIME)

    published = [-2, 1, 2, half(1), 3, 4, -half(1), -3, -4, half(8), *(half(k) for k in range(2, 7)), half(24)]
    published += [-half(8), -half(3), -half(4), -half(5), -half(6), -half(7), -half(9), -half(24)]
    assert constants.DIAGONAL_MINUS_ONE == tuple(value % PRIME for value in published)


def test_internal_matrix_leaves_no_subspace_invariant():
    """
    The minimal polynomials of M, M^2, ..., M^48 are irreducible of degree 24 (Poseidon2 paper, section 5.3).

    With f the characteristic polynomial of M irreducible and a its root, M^i has such a minimal polynomial exactly if
    a^i lies in no proper subfield of F_(p^24); the maximal ones are F_(p^12) and F_(p^8).
    """
    f = characteristic_polynomial(constants.DIAGONAL_MINUS_ONE)
    assert len(f) == 25 and f[24] == 1
    images = {0: [0, 1] + [0] * 22}
    for i in range(1, 25):
        images[i] = power_modulo(images[i - 1], PRIME, f)
    # Rabin's test of irreducibility.
    assert images[24] == images[0]
    for divisor in (12, 8):
        difference = [(a - b) % PRIME for a, b in zip(images[divisor], images[0])]
        assert greatest_common_divisor_degree(f, difference) == 0
    for divisor in (12, 8):
        a, b = images[0], images[divisor]
        a_power, b_power = a, b
        for _ in range(2 * WIDTH):
            assert a_power != b_power
            a_power, b_power = product_modulo(a_power, a, f), product_modulo(b_power, b, f)


def test_external_matrix_block_is_mds():
    """Every square part of circ(2, 3, 1, 1) is invertible."""
    block = [[2, 3, 1, 1], [1, 2, 3, 1], [1, 1, 2, 3], [3, 1, 1, 2]]
    for size in range(1, 5):
        for rows in itertools.combinations(range(4), size):
            for columns in itertools.combinations(range(4), size):
                assert determinant([[block[r][c] for c in columns] for r in rows]) % PRIME


@pytest.mark.parametrize("bits", [128, 140])
def test_round_numbers_are_the_cheapest_secure_ones(bits):
    """Also for 140 bits, the collision bound of nine capacity elements."""

    def secure(full, partial):
        log_alpha_2, p_bits = log(2, ALPHA), log2(PRIME)
        bounds = [
            6 if bits <= floor(p_bits - (ALPHA - 1) / 2) * (WIDTH + 1) else 10,  # statistical
            1 + ceil(log_alpha_2 * min(bits, BITS)) + ceil(log(WIDTH, ALPHA)) - partial,  # interpolation
            log_alpha_2 * min(bits, p_bits) - partial,  # Groebner bases, three ways
            WIDTH - 1 + log_alpha_2 * min(bits / (WIDTH + 1), p_bits / 2) - partial,
            (WIDTH - 2 + bits / (2 * log2(ALPHA)) - partial) / (WIDTH - 1),
        ]
        third = WIDTH // 3
        under = third * full // 2 + partial + ALPHA
        over = (full - 1) * WIDTH + partial + third + under
        return full >= max(ceil(bound) for bound in bounds) and 2 * log2(comb(over, under)) >= bits

    costs = {}
    for full in range(4, 40, 2):
        for partial in range(1, 200):
            if secure(full, partial):
                # The papers' margin: two full rounds and 7.5 % of the partial ones.
                with_margin = (full + 2, ceil(partial * 1.075))
                costs[with_margin] = WIDTH * with_margin[0] + with_margin[1]
    assert min(costs, key=lambda rounds: (costs[rounds], rounds[0])) == (
        constants.FULL_ROUND_COUNT,
        constants.PARTIAL_ROUND_COUNT,
    )


def test_damaged_constants_are_refused(tmp_path):
    path = Path(constants.__file__).with_name("poseidon2_koala_bear_24.json")
    content = json.loads(path.read_text())
    content["partial"][3] += 1
    damaged = tmp_path / "damaged.json"
    damaged.write_text(json.dumps(content))
    with pytest.raises(constants.ConstantsError, match="damaged.json does not match its digest"):
        constants._load(damaged)


def test_digest_is_over_the_numbers():
    parts = (constants.INITIAL_ROUND_CONSTANTS, (constants.PARTIAL_ROUND_CONSTANTS,), constants.FINAL_ROUND_CONSTANTS)
    numbers = [number for part in parts for row in part for number in row] + list(constants.DIAGONAL_MINUS_ONE)
    digest = hashlib.sha256(b"".join(number.to_bytes(4, "little") for number in numbers)).hexdigest()
    assert digest == "5cf2e87b6327ceb5e30343f9e06d74d38054c6fd23a9515e70421a284b97ffe6"


def characteristic_polynomial(diagonal):
    """det(x - D - J) = prod(x - d_i) - sum_i prod_(j != i)(x - d_j), J all ones; lowest power first."""
    result = product_of_linear(diagonal)
    for i in range(len(diagonal)):
        for k, c in enumerate(product_of_linear(diagonal[:i] + diagonal[i + 1 :])):
            result[k] = (result[k] - c) % PRIME
    return result


def product_of_linear(roots):
    result = [1]
    for root in roots:
        result = [(a - root * b) % PRIME for a, b in zip([0, *result], [*result, 0])]
    return result


def product_modulo(a, b, f):
    degree = len(f) - 1
    product = [0] * (2 * degree - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            product[i + j] += x * y
    for k in range(len(product) - 1, degree - 1, -1):
        factor = product[k] % PRIME
        if factor:
            for i in range(degree + 1):
                product[k - degree + i] -= factor * f[i]
    return [c % PRIME for c in product[:degree]]


def power_modulo(base, exponent, f):
    result = [1] + [0] * (len(f) - 2)
    for bit in bin(exponent)[2:]:
        result = product_modulo(result, result, f)
        if bit == "1":
            result = product_modulo(result, base, f)
    return result


def greatest_common_divisor_degree(a, b):
    def stripped(polynomial):
        polynomial = list(polynomial)
        while polynomial and polynomial[-1] == 0:
            polynomial.pop()
        return polynomial

    a, b = stripped(a), stripped(b)
    while b:
        while len(a) >= len(b):
            factor = a[-1] * pow(b[-1], -1, PRIME)
            shift = len(a) - len(b)
            a = [(c - factor * b[k - shift]) % PRIME if k >= shift else c for k, c in enumerate(a)][:-1]
        a, b = b, stripped(a)
    return len(a) - 1


def determinant(matrix):
    if not matrix:
        return 1
    return sum(
        (-1) ** column * matrix[0][column] * determinant([row[:column] + row[column + 1 :] for row in matrix[1:]])
        for column in range(len(matrix))
    )
