"""Operations on lists of extension elements, and from base-field matrices to them: the meaning of the fast ones."""

from collections.abc import Sequence

from zkvm.field import extension
from zkvm.field.extension import ZERO, Extension, batch_inverse, powers
from zkvm.field.koala_bear import GENERATOR, PRIME, two_adic_generator
from zkvm.kernels.errors import KernelInputError

__all__ = [
    "add",
    "batch_inverse",
    "combine_columns",
    "deep_quotient",
    "domain",
    "domain_inverses",
    "evaluate_columns",
    "multiply",
    "multiply_by_base",
    "powers",
    "running_sum",
    "scale",
    "subtract",
]


def add(a: Sequence[Extension], b: Sequence[Extension]) -> list[Extension]:
    """a[i] + b[i]."""
    return [x + y for x, y in zip(a, b, strict=True)]


def subtract(a: Sequence[Extension], b: Sequence[Extension]) -> list[Extension]:
    """a[i] - b[i]."""
    return [x - y for x, y in zip(a, b, strict=True)]


def multiply(a: Sequence[Extension], b: Sequence[Extension]) -> list[Extension]:
    """a[i] * b[i]."""
    return [x * y for x, y in zip(a, b, strict=True)]


def multiply_by_base(a: Sequence[Extension], factors: Sequence[int]) -> list[Extension]:
    """a[i] * factors[i], the factors in the base field."""
    return [x * y for x, y in zip(a, factors, strict=True)]


def scale(a: Sequence[Extension], factor: Extension) -> list[Extension]:
    """factor * a[i]."""
    return [factor * x for x in a]


def running_sum(a: Sequence[Extension]) -> list[Extension]:
    """The sum of a[0..i], for each i."""
    result = []
    total = ZERO
    for x in a:
        total = total + x
        result.append(total)
    return result


def domain(log_count: int, shift: int = GENERATOR) -> list[int]:
    """shift * omega^i for i < 2^log_count."""
    omega = two_adic_generator(log_count)
    return [shift * pow(omega, i, PRIME) % PRIME for i in range(1 << log_count)]


def domain_inverses(point: Extension, log_count: int, shift: int = GENERATOR) -> list[Extension]:
    """1 / (shift * omega^i - point) for i < 2^log_count. Raises KernelInputError if the point lies in that domain."""
    xs = domain(log_count, shift)
    if any(point == x for x in xs):
        raise KernelInputError("the point lies in the domain")
    return extension.batch_inverse([x - point for x in xs])


def evaluate_columns(
    matrix: Sequence[Sequence[int]], point: Extension, shift: int = GENERATOR, row_step: int = 1
) -> list[Extension]:
    """
    Each column's polynomial at the point, by Lagrange's formula on rows 0, row_step, ..., its values on shift *
    <omega_n>.

    Raises KernelInputError if the point lies in that domain.
    """
    rows = matrix[::row_step]
    xs = domain(len(rows).bit_length() - 1, shift)
    if any(point == x for x in xs):
        raise KernelInputError("the point lies in the domain")
    weights = []
    for x in xs:
        numerator, denominator = Extension.from_base(1), 1
        for other in xs:
            if other != x:
                numerator = numerator * (point - other)
                denominator = denominator * (x - other) % PRIME
        weights.append(numerator / denominator)
    return [sum((weight * row[j] for weight, row in zip(weights, rows)), ZERO) for j in range(len(matrix[0]))]


def combine_columns(
    matrix: Sequence[Sequence[int]], coefficients: Sequence[Extension], out: Sequence[Extension]
) -> list[Extension]:
    """out[i] + sum_j coefficients[j] * matrix[i][j]."""
    return [
        before + sum((c * element for c, element in zip(coefficients, row, strict=True)), ZERO)
        for before, row in zip(out, matrix, strict=True)
    ]


def deep_quotient(
    sums: Sequence[Extension], value: Extension, inverses: Sequence[Extension], out: Sequence[Extension]
) -> list[Extension]:
    """out[i] + (sums[i] - value) * inverses[i]."""
    return [before + (s - value) * i for before, s, i in zip(out, sums, inverses, strict=True)]
