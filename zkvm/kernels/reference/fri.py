"""
FRI folding as interpolation: the meaning of the fast one, and what the verifier computes for one query.
"""

from collections.abc import Sequence

from zkvm.field.extension import ZERO, Extension
from zkvm.field.koala_bear import PRIME, inverse, two_adic_generator
from zkvm.kernels.errors import KernelInputError


def fold(values: Sequence[Extension], challenge: Extension, log_arity: int, shift: int = 1) -> list[Extension]:
    """
    A word on shift * <omega_N> folded by m = 2^log_arity: result i is `fold_row` of values i, i + N / m, i + 2 N / m,
    ...

    Raises KernelInputError unless N is a power of two and 1 <= log_arity <= log2 N.
    """
    _require_foldable(values, log_arity)
    omega = two_adic_generator(len(values).bit_length() - 1)
    return [
        fold_row(row, challenge, shift * pow(omega, i, PRIME) % PRIME)
        for i, row in enumerate(fold_rows(values, log_arity))
    ]


def fold_rows(values: Sequence[Extension], log_arity: int) -> list[list[Extension]]:
    """Row i joins values i, i + N / m, i + 2 N / m, ..., m = 2^log_arity."""
    _require_foldable(values, log_arity)
    rows = len(values) >> log_arity
    return [list(values[i::rows]) for i in range(rows)]


def fold_row(row: Sequence[Extension], challenge: Extension, x: int) -> Extension:
    """
    The polynomial of degree below m through (x * zeta^j, row[j]), zeta = omega_m, taken at the challenge.

    row: m values, m a power of two. x: a non-zero base element.
    The polynomial's coefficient k is (1/m) x^-k sum_j row[j] zeta^(-jk).
    """
    count = len(row)
    zeta_inverse = inverse(two_adic_generator(count.bit_length() - 1))
    ratio = challenge * inverse(x)
    result, power = ZERO, Extension.from_base(inverse(count))
    for k in range(count):
        coefficient = sum((value * pow(zeta_inverse, j * k, PRIME) for j, value in enumerate(row)), ZERO)
        result = result + coefficient * power
        power = power * ratio
    return result


def _require_foldable(values: Sequence[Extension], log_arity: int) -> None:
    count = len(values)
    if count < 1 or count & (count - 1) or not 1 <= log_arity <= count.bit_length() - 1:
        raise KernelInputError(f"cannot fold {count} values by 2^{log_arity}")
