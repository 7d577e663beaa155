"""
Elementwise base-field kernels: into and out of Montgomery form, inverses, powers.

Twins: zkvm.kernels.reference.montgomery.
"""

import numpy as np

from zkvm.field.koala_bear import PRIME
from zkvm.kernels.errors import KernelInputError
from zkvm.kernels.fast.shapes import require_vector, to_montgomery_scalar
from zkvm.kernels.fast.simd import LANES, load, multiply, multiply_scalar, splat, store
from zkvm.kernels.fast.threads import run_chunks
from zkvm.kernels.policy import kernel

CHUNK = 1 << 18
"""Elements per piece of work: 1 MiB."""

_RADIX_SQUARED = 2**64 % PRIME
"""Times x in a Montgomery product gives x * 2^32, the Montgomery form of x."""


def to_montgomery(array: np.ndarray, threads: int | None = None) -> np.ndarray:
    """
    x -> x * 2^32 mod p, in place; returns the array.

    array: uint32, C-contiguous, any shape, entries in [0, p) (any 32-bit x gives the form of x mod p).
    Raises KernelInputError for another dtype or layout.
    """
    return _scaled_in_place(array, _RADIX_SQUARED, threads)


def from_montgomery(array: np.ndarray, threads: int | None = None) -> np.ndarray:
    """x -> x / 2^32 mod p, canonical, in place; returns the array. Takes and raises what `to_montgomery` does."""
    return _scaled_in_place(array, 1, threads)


def scale(array: np.ndarray, factor: int, threads: int | None = None) -> np.ndarray:
    """x -> factor * x in place, all in Montgomery form but the canonical factor; returns the array."""
    return _scaled_in_place(array, to_montgomery_scalar(factor), threads)


def batch_inverse(values: np.ndarray, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """
    The inverse of each element, 0 giving 0; both in Montgomery form.

    values, out: [n] uint32; out may be values itself. Returns out.
    Raised to p - 2 lane by lane (Fermat), which needs no scratch and no care for zeros.
    """
    require_vector("values", values)
    out = np.empty_like(values) if out is None else out
    require_vector("out", out)
    if out.shape != values.shape:
        raise KernelInputError(f"out has {out.size} elements, values have {values.size}")
    one = np.uint32(to_montgomery_scalar(1))
    run_chunks(lambda start, stop: _inverse_chunk(values, out, one, start, stop), values.size, CHUNK, threads)
    return out


def powers(base: int, count: int, first: int = 1) -> np.ndarray:
    """
    first * base^i for i < count, in Montgomery form: [count] uint32.

    base, first: canonical.
    """
    squares = []
    square = base % PRIME
    for _ in range(max(count - 1, 0).bit_length()):
        squares.append(to_montgomery_scalar(square))
        square = square * square % PRIME
    return _doubled_table(squares, count, first)


def bit_reversed_powers(base: int, log_count: int, first: int = 1) -> np.ndarray:
    """first * base^(bit reversal of i over log_count bits), in Montgomery form: [2^log_count] uint32."""
    squares = []
    square = base % PRIME
    for _ in range(log_count):
        squares.append(to_montgomery_scalar(square))
        square = square * square % PRIME
    # The lowest bit of the index is the highest of the exponent.
    return _doubled_table(squares[::-1], 1 << log_count, first)


def _doubled_table(factors: list[int], count: int, first: int) -> np.ndarray:
    """Entry i is first times factors[k] for each bit k of i; each factor doubles the part that is filled."""
    table = np.empty(count, dtype=np.uint32)
    if count:
        table[0] = to_montgomery_scalar(first % PRIME)
        _double_table(table, np.array(factors, dtype=np.uint32))
    return table


def _scaled_in_place(array: np.ndarray, factor: int, threads: int | None) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype != np.uint32 or not array.flags.c_contiguous:
        raise KernelInputError("conversion needs a C-contiguous uint32 array")
    flat = array.reshape(-1)
    run_chunks(lambda start, stop: _scale_chunk(flat, np.uint32(factor), start, stop), flat.size, CHUNK, threads)
    return array


@kernel
def _scale_chunk(flat, factor, start, stop):
    """flat[start:stop] *= factor / 2^32. flat: any 32-bit entries; factor: uint32 below p."""
    factors = splat(factor)
    index = start
    while index + LANES <= stop:
        store(flat, index, multiply(load(flat, index), factors))
        index += LANES
    while index < stop:
        flat[index] = multiply_scalar(flat[index], factor)
        index += 1


@kernel
def _double_table(table, factors):
    """Fills a table from its entry 0: for each k, entries 2^k .. 2^(k+1) - 1 are those before, times factors[k]."""
    filled = 1
    for k in range(factors.size):
        end = min(2 * filled, table.size)
        vector = splat(factors[k])
        index = filled
        if filled >= LANES:
            while index + LANES <= end:
                store(table, index, multiply(load(table, index - filled), vector))
                index += LANES
        while index < end:
            table[index] = multiply_scalar(table[index - filled], factors[k])
            index += 1
        filled = end


@kernel
def _inverse_chunk(values, out, one, start, stop):
    """out[i] = values[i]^(p - 2) for start <= i < stop. one: 2^32 mod p."""
    padded = np.zeros(LANES, dtype=np.uint32)
    for index in range(start, stop, LANES):
        whole = index + LANES <= stop
        if whole:
            x = load(values, index)
        else:
            for lane in range(stop - index):
                padded[lane] = values[index + lane]
            x = load(padded, 0)
        # p - 2 = 2^31 - 2^24 - 1: from the top six ones, a zero, then twenty-four ones.
        result = splat(one)
        for bit in range(31):
            result = multiply(result, result)
            if bit != 6:
                result = multiply(result, x)
        if whole:
            store(out, index, result)
        else:
            store(padded, 0, result)
            for lane in range(stop - index):
                out[index + lane] = padded[lane]
