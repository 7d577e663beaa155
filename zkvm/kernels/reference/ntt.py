"""
Transforms and low-degree extension straight from their definition, in quadratic time: the meaning of the fast ones.

A matrix is a list of rows of canonical integers; each column is transformed by itself.
"""

from collections.abc import Sequence

from zkvm.field.koala_bear import GENERATOR, PRIME, inverse, two_adic_generator
from zkvm.kernels.errors import KernelInputError
from zkvm.kernels.reference.montgomery import bit_reversal

Matrix = list[list[int]]


def inverse_ntt(matrix: Sequence[Sequence[int]]) -> Matrix:
    """Values on <omega_n> to coefficients: row bitrev(k) of the result holds coefficient k of each column."""
    log_rows = _log_height(matrix)
    rows = len(matrix)
    omega_inverse = inverse(two_adic_generator(log_rows))
    scale = inverse(rows)
    result: Matrix = [[] for _ in range(rows)]
    for k in range(rows):
        weights = [scale * pow(omega_inverse, i * k, PRIME) % PRIME for i in range(rows)]
        result[bit_reversal(k, log_rows)] = _weighted_sum(weights, matrix)
    return result


def ntt(matrix: Sequence[Sequence[int]]) -> Matrix:
    """Coefficients, coefficient k in row bitrev(k), to values: row i of the result is the value at omega_n^i."""
    return _evaluate(matrix, _log_height(matrix), 1)


def low_degree_extension(
    values: Sequence[Sequence[int]], log_blowup: int = 1, input_shift: int = 1, output_shift: int = GENERATOR
) -> Matrix:
    """
    Each column's polynomial of degree below n, given at input_shift * omega_n^i, at output_shift * omega_N^i, N = n
    << log_blowup.

    Raises KernelInputError if n is no power of two.
    """
    # Coefficients of f(input_shift * X).
    coefficients = inverse_ntt(values)
    return _evaluate(coefficients, _log_height(values) + log_blowup, output_shift * inverse(input_shift) % PRIME)


def split_extension(values: Sequence[Sequence[int]], shift: int = GENERATOR) -> Matrix:
    """Each column's polynomial Q0 + x^n Q1 of degree below 2n, given at shift * omega_2n^i, as Q0 and Q1 there: twice as many columns."""
    # Coefficients of Q(shift * X).
    scaled = inverse_ntt(values)
    log_rows, half = _log_height(values), len(values) // 2
    parts = []
    for first in (0, half):
        natural = [scaled[bit_reversal(first + k, log_rows)] for k in range(half)]
        part = [[c * pow(shift, -first - k, PRIME) % PRIME for c in row] for k, row in enumerate(natural)]
        ordered = [part[bit_reversal(k, log_rows - 1)] for k in range(half)]
        parts.append(_evaluate(ordered, log_rows, shift))
    return [left + right for left, right in zip(*parts)]


def _evaluate(coefficients: Sequence[Sequence[int]], log_points: int, shift: int) -> Matrix:
    log_rows = _log_height(coefficients)
    omega = two_adic_generator(log_points)
    result = []
    for i in range(1 << log_points):
        x = shift * pow(omega, i, PRIME) % PRIME
        weights = [pow(x, bit_reversal(row, log_rows), PRIME) for row in range(len(coefficients))]
        result.append(_weighted_sum(weights, coefficients))
    return result


def _weighted_sum(weights: Sequence[int], rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(weight * element for weight, element in zip(weights, column)) % PRIME for column in zip(*rows)]


def _log_height(matrix: Sequence[Sequence[int]]) -> int:
    height = len(matrix)
    if height < 1 or height & (height - 1):
        raise KernelInputError(f"a matrix to transform has height {height}: it must be a power of two")
    return height.bit_length() - 1
