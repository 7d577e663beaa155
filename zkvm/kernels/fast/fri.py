"""
FRI folding. Twins: zkvm.kernels.reference.fri.
"""

import numpy as np

from zkvm.field import koala_bear
from zkvm.field.extension import DEGREE, Extension
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.errors import KernelInputError
from zkvm.kernels.fast import montgomery
from zkvm.kernels.fast.extension import from_elements
from zkvm.kernels.fast.extension_simd import (
    add_elements,
    gather_element,
    multiply_by_base,
    multiply_elements,
    scatter_element,
    splat_element,
    subtract_elements,
)
from zkvm.kernels.fast.shapes import log_height, require_matrix, require_shift, to_montgomery_scalar
from zkvm.kernels.fast.simd import LANES, load, splat
from zkvm.kernels.fast.threads import run_chunks
from zkvm.kernels.policy import kernel

MAXIMUM_LOG_ARITY = 4

CHUNK = 1 << 14
"""Results per piece of work, a multiple of LANES."""


def fold(
    values: np.ndarray, challenge: Extension, log_arity: int, shift: int = 1, threads: int | None = None
) -> np.ndarray:
    """
    A word on shift * <omega_N> folded by 2^log_arity: [N >> log_arity, 5], a word on shift^(2^log_arity) * <omega_(N
    >> log_arity)>.

    values: [N, 5] uint32, Montgomery form, element i at x = shift * omega^i. Not changed.
    One fold by two takes f(x) = even(x^2) + x odd(x^2) to even + c odd; the next uses c^2, and so on, which makes the
    whole the interpolant through the 2^log_arity values that share x^(2^log_arity), taken at `challenge`.
    Source: E. Ben-Sasson et al., Fast Reed-Solomon interactive oracle proofs of proximity, 2018, section 2.
    Raises KernelInputError for another shape, log_arity outside 1..4 or beyond log2 N, shift outside [1, p).
    """
    _require_foldable(values, log_arity)
    require_shift("shift", shift)
    for _ in range(log_arity):
        values = _fold_by_two(values, challenge, shift, threads)
        challenge, shift = challenge * challenge, shift * shift % PRIME
    return values


def fold_rows(values: np.ndarray, log_arity: int) -> np.ndarray:
    """
    [N >> log_arity, 5 * 2^log_arity]: row i joins values i, i + N / m, i + 2 N / m, ..., m = 2^log_arity: what one
    query of `fold` opens.

    values: [N, 5] uint32. Raises KernelInputError as `fold`.
    """
    _require_foldable(values, log_arity)
    arity = 1 << log_arity
    rows = values.shape[0] >> log_arity
    return np.ascontiguousarray(values.reshape(arity, rows, DEGREE).transpose(1, 0, 2)).reshape(rows, arity * DEGREE)


def _require_foldable(values: np.ndarray, log_arity: int) -> None:
    require_matrix("values", values, DEGREE)
    log_count = log_height("values", values.shape[0])
    if not 1 <= log_arity <= min(MAXIMUM_LOG_ARITY, log_count):
        raise KernelInputError(
            f"cannot fold 2^{log_count} values by 2^{log_arity}: the exponent must be 1 to {min(4, log_count)}"
        )


def _fold_by_two(values: np.ndarray, challenge: Extension, shift: int, threads: int | None) -> np.ndarray:
    half = values.shape[0] // 2
    omega = koala_bear.two_adic_generator(half.bit_length())
    # 1 / (2 x): the odd part is (f(x) - f(-x)) / (2 x).
    factors = montgomery.powers(koala_bear.inverse(omega), half, first=koala_bear.inverse(2 * shift % PRIME))
    out = np.empty((half, DEGREE), dtype=np.uint32)
    scalar = from_elements([challenge]).reshape(-1)
    one_half = np.uint32(to_montgomery_scalar(koala_bear.inverse(2)))
    if half < LANES:
        # Fewer values than lanes: each half in its own padded copy.
        padded = np.zeros((2 * LANES, DEGREE), dtype=np.uint32)
        padded[:half], padded[LANES : LANES + half] = values[:half], values[half:]
        factors = np.concatenate([factors, np.zeros(LANES - half, dtype=np.uint32)])
        result = np.empty((LANES, DEGREE), dtype=np.uint32)
        _fold_chunk(padded.reshape(-1), LANES, scalar, one_half, factors, result.reshape(-1), 0, LANES)
        out[:] = result[:half]
        return out
    source, target = values.reshape(-1), out.reshape(-1)
    run_chunks(
        lambda a, b: _fold_chunk(source, half, scalar, one_half, factors, target, a * LANES, b * LANES),
        half // LANES,
        CHUNK // LANES,
        threads,
    )
    return out


@kernel
def _fold_chunk(values, half, challenge, one_half, factors, out, start, stop):
    """
    out[i] = (a + b) / 2 + challenge * (a - b) * factors[i], a = values[i], b = values[i + half], for i in [start,
    stop), multiples of LANES.

    values: flat [2 half, 5]. challenge: flat [1, 5]. one_half: Montgomery form of 1/2. factors: [half], 1 / (2 x_i).
    """
    c = splat_element(challenge, 0)
    h = splat(one_half)
    for i in range(start, stop, LANES):
        a, b = gather_element(values, i), gather_element(values, i + half)
        odd = multiply_by_base(subtract_elements(a, b), load(factors, i))
        even = multiply_by_base(add_elements(a, b), h)
        scatter_element(out, i, add_elements(even, multiply_elements(odd, c)))
