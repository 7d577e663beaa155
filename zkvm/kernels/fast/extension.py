"""
Kernels over arrays of extension elements, and those that take a base-field matrix to the extension.

An extension vector is [n, 5] uint32, row i the coefficients of 1, x, ..., x^4 of element i, Montgomery form. Scalars
are `Extension`. Every function returns a new array, or the `out` it was given. Twins: zkvm.kernels.reference.extension.
"""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from zkvm.field import koala_bear
from zkvm.field.extension import DEGREE, Extension
from zkvm.field.koala_bear import GENERATOR, PRIME
from zkvm.kernels.errors import KernelInputError
from zkvm.kernels.fast import montgomery
from zkvm.kernels.fast.extension_simd import (
    add_elements,
    gather_element,
    invert_elements,
    multiply_elements,
    one_where_zero,
    scatter_element,
    splat_element,
    subtract_elements,
    sum_lanes,
    zero_where_zero,
)
from zkvm.kernels.fast.extension_simd import multiply_by_base as multiply_elements_by_base
from zkvm.kernels.fast.shapes import log_height, require_matrix, require_shift, require_vector, to_montgomery_scalar
from zkvm.kernels.fast.simd import (
    LANES,
    add_scalar,
    load,
    multiply_scalar,
    splat,
    store,
)
from zkvm.kernels.fast.simd import add as add_vectors
from zkvm.kernels.fast.simd import multiply as multiply_vectors
from zkvm.kernels.fast.simd import subtract as subtract_vectors
from zkvm.kernels.fast.threads import run_chunks
from zkvm.kernels.policy import kernel

CHUNK = 1 << 14
"""Elements per piece of work, a multiple of LANES."""

ROW_BLOCK = 64
"""Rows whose weights are computed at once in `evaluate_columns`; a block of a usual matrix stays in cache."""


def from_elements(elements: Sequence[Extension]) -> np.ndarray:
    """[n, 5] uint32 in Montgomery form."""
    array = np.array([element.coefficients for element in elements], dtype=np.uint32).reshape(len(elements), DEGREE)
    return montgomery.to_montgomery(array, 1)


def to_elements(array: np.ndarray) -> list[Extension]:
    """The elements of an extension vector."""
    require_matrix("array", array, DEGREE)
    return [Extension(row) for row in montgomery.from_montgomery(array.copy(), 1).tolist()]


def add(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """a + b, element by element. a, b, out: uint32 of one shape, any shape, C-contiguous; out may be a or b."""
    return _flat_operation(_add_chunk, a, b, out, threads)


def subtract(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """a - b, element by element. a, b, out: uint32 of one shape, any shape, C-contiguous; out may be a or b."""
    return _flat_operation(_subtract_chunk, a, b, out, threads)


def multiply(a: np.ndarray, b: np.ndarray, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """a[i] * b[i]. a, b, out: [n, 5]; out may be a or b."""
    require_matrix("a", a, DEGREE)
    require_matrix("b", b, DEGREE)
    return _elementwise(_multiply_chunk, [a, b], out, threads)


def multiply_by_base(
    a: np.ndarray, factors: np.ndarray, out: np.ndarray | None = None, threads: int | None = None
) -> np.ndarray:
    """a[i] * factors[i]. a, out: [n, 5]; factors: [n] base elements; out may be a."""
    require_matrix("a", a, DEGREE)
    require_vector("factors", factors)
    return _elementwise(_multiply_by_base_chunk, [a, factors], out, threads)


def scale(a: np.ndarray, factor: Extension, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """factor * a[i]. a, out: [n, 5]; out may be a."""
    require_matrix("a", a, DEGREE)
    scalar = from_elements([factor]).reshape(-1)
    return _elementwise(lambda x, y, i, j: _scale_chunk(x, scalar, y, i, j), [a], out, threads)


def batch_inverse(a: np.ndarray, out: np.ndarray | None = None, threads: int | None = None) -> np.ndarray:
    """1 / a[i], 0 giving 0. a, out: [n, 5]; out may be a. Montgomery's trick, one chain per lane and piece."""
    require_matrix("a", a, DEGREE)
    if out is not None and np.may_share_memory(a, out):
        a = a.copy()
    return _elementwise(_inverse_chunk, [a], out, threads)


def powers(base: Extension, count: int) -> np.ndarray:
    """base^i for i < count: [count, 5]. Filled by doubling: log2(count) calls."""
    table = np.empty((count, DEGREE), dtype=np.uint32)
    if count:
        table[0] = from_elements([Extension.from_base(1)])[0]
    filled, factor = 1, base
    while filled < count:
        end = min(2 * filled, count)
        table[filled:end] = scale(table[: end - filled], factor, threads=1)
        filled, factor = end, factor * factor
    return table


def running_sum(a: np.ndarray) -> np.ndarray:
    """sum of a[0..i], for each i: [n, 5]. n up to 2^24, whose sums of 31-bit words fit 64 bits."""
    require_matrix("a", a, DEGREE)
    return (np.cumsum(a, axis=0, dtype=np.uint64) % PRIME).astype(np.uint32)


def domain(log_count: int, shift: int = GENERATOR) -> np.ndarray:
    """shift * omega^i for i < 2^log_count: [2^log_count] base elements."""
    return montgomery.powers(koala_bear.two_adic_generator(log_count), 1 << log_count, first=shift)


def domain_inverses(point: Extension, log_count: int, shift: int = GENERATOR, threads: int | None = None) -> np.ndarray:
    """
    1 / (shift * omega^i - point) for i < 2^log_count: [2^log_count, 5].

    Raises KernelInputError if the point lies in that domain.
    """
    require_shift("shift", shift)
    log_height("a domain", 1 << log_count)
    _require_outside(point, 1 << log_count, shift)
    xs = domain(log_count, shift)
    c = [to_montgomery_scalar(-coefficient) for coefficient in point.coefficients]
    differences = np.empty((xs.size, DEGREE), dtype=np.uint32)
    differences[:, 1:] = c[1:]
    # Both summands are below p < 2^31; the lesser of sum and sum - p is the canonical one.
    total = xs + np.uint32(c[0])
    differences[:, 0] = np.minimum(total, total - np.uint32(PRIME))
    return batch_inverse(differences, threads=threads)


def evaluate_columns(
    matrix: np.ndarray,
    point: Extension,
    shift: int = GENERATOR,
    row_step: int = 1,
    inverses: np.ndarray | None = None,
    threads: int | None = None,
    columns: range | None = None,
) -> list[Extension]:
    """
    Each column's polynomial at a point outside the domain, by the barycentric formula.

    matrix:   [rows, w] uint32, Montgomery form. Rows 0, row_step, 2 row_step, ... are the values on shift *
              <omega_n>, n = rows / row_step, of a polynomial of degree below n. From a trace: shift 1. From a
              low-degree extension: its shift, and row_step up to its blowup.
    inverses: `domain_inverses(point, log2 rows, shift)` if at hand, for all rows; else computed for the n that count.
    columns:  neighbours, those that are wanted; all w by default. Returns an element for each.

    With x_i the domain, f(z) = (z^n - s^n) / (n s^n) * sum_i f(x_i) x_i / (z - x_i).
    Source: J.-P. Berrut and L. Trefethen, Barycentric Lagrange interpolation, 2004, on a coset of roots of unity.
    Raises KernelInputError for a point in the domain, or a step that does not divide the rows.
    """
    require_matrix("matrix", matrix)
    rows, width = matrix.shape
    columns = _columns_of(matrix, columns)
    log_height("matrix", rows)
    require_shift("shift", shift)
    if not 1 <= row_step <= rows or row_step & (row_step - 1):
        raise KernelInputError(f"row_step must be a power of two up to {rows}, not {row_step}")
    count = rows // row_step
    _require_outside(point, count, shift)
    if inverses is None:
        inverses, inverse_step = domain_inverses(point, count.bit_length() - 1, shift, threads), 1
    else:
        require_matrix("inverses", inverses, DEGREE)
        if inverses.shape[0] != rows:
            raise KernelInputError(f"there are {inverses.shape[0]} inverses for {rows} rows")
        inverse_step = row_step

    xs = domain(count.bit_length() - 1, shift)
    padded = -(-len(columns) // LANES) * LANES
    sums = np.zeros((DEGREE, padded), dtype=np.uint64)
    lock = threading.Lock()

    def work(start: int, stop: int) -> None:
        partial = np.zeros((DEGREE, padded), dtype=np.uint32)
        _evaluate_chunk(
            matrix.reshape(-1),
            width,
            columns.start,
            row_step,
            inverses.reshape(-1),
            inverse_step,
            xs,
            partial.reshape(-1),
            padded,
            start,
            stop,
        )
        with lock:
            np.add(sums, partial, out=sums)

    if len(columns):
        run_chunks(work, count, max(ROW_BLOCK, (1 << 20) // padded // ROW_BLOCK * ROW_BLOCK), threads)
    sums = montgomery.from_montgomery((sums % PRIME).astype(np.uint32), 1)
    # The inverses are of x - z, hence the sign.
    factor = (Extension.from_base(pow(shift, count, PRIME)) - point**count) / (count * pow(shift, count, PRIME))
    return [factor * Extension(column) for column in sums[:, : len(columns)].T.tolist()]


def _columns_of(matrix: np.ndarray, columns: range | None) -> range:
    """The columns asked for. Raises KernelInputError unless they are neighbours within the matrix."""
    columns = range(matrix.shape[1]) if columns is None else columns
    if columns.step != 1 or columns.start < 0 or columns.stop > matrix.shape[1]:
        raise KernelInputError(f"{columns} are no neighbours among {matrix.shape[1]} columns")
    return columns


def combine_columns(
    matrix: np.ndarray,
    coefficients: np.ndarray,
    out: np.ndarray,
    threads: int | None = None,
    columns: range | None = None,
) -> np.ndarray:
    """
    out[i] += sum_j coefficients[j] * matrix[i, columns[j]]; returns out.

    matrix: [rows, w] base elements. columns: neighbours; all w by default. coefficients: [len(columns), 5]. out: [rows, 5],
    changed in place.
    Raises KernelInputError for other shapes.
    """
    require_matrix("matrix", matrix)
    rows, width = matrix.shape
    require_matrix("coefficients", coefficients, DEGREE)
    require_matrix("out", out, DEGREE)
    columns = _columns_of(matrix, columns)
    count = len(columns)
    if coefficients.shape[0] != count or out.shape[0] != rows:
        raise KernelInputError(
            f"{rows} rows of {count} columns do not fit {coefficients.shape[0]} coefficients and {out.shape[0]} sums"
        )
    padded = -(-count // LANES) * LANES
    table = np.zeros((DEGREE, padded), dtype=np.uint32)
    table[:, :count] = coefficients.T
    flat, sums = matrix.reshape(-1), out.reshape(-1)
    if count:
        run_chunks(
            lambda start, stop: _combine_chunk(flat, width, columns.start, table.reshape(-1), padded, sums, start, stop),
            rows,
            CHUNK,
            threads,
        )
    return out


def deep_quotient(
    sums: np.ndarray, value: Extension, inverses: np.ndarray, out: np.ndarray, threads: int | None = None
) -> np.ndarray:
    """
    out[i] += (sums[i] - value) * inverses[i]; returns out.

    sums, inverses, out: [n, 5]. With sums a combination of columns, value that combination of their values at z, and
    inverses 1 / (x_i - z): adds the quotient (S(x) - S(z)) / (x - z), a polynomial exactly if the claimed values are
    right.
    """
    for name, array in (("sums", sums), ("inverses", inverses), ("out", out)):
        require_matrix(name, array, DEGREE)
        if array.shape != sums.shape:
            raise KernelInputError(f"{name} has {array.shape[0]} elements, sums {sums.shape[0]}")
    scalar = from_elements([value]).reshape(-1)
    _elementwise(
        lambda s, i, o, start, stop: _deep_quotient_chunk(s, scalar, i, o, start, stop),
        [sums, inverses],
        out,
        threads,
        accumulate=True,
    )
    return out


def _require_outside(point: Extension, count: int, shift: int) -> None:
    if point**count == pow(shift, count, PRIME):
        raise KernelInputError("the point lies in the domain")


def _flat_operation(operation, a, b, out, threads):
    out = np.empty_like(a) if out is None else out
    for array in (a, b, out):
        if array.dtype != np.uint32 or not array.flags.c_contiguous or array.shape != a.shape:
            raise KernelInputError("elementwise operations need C-contiguous uint32 arrays of one shape")
    x, y, z = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    run_chunks(lambda start, stop: operation(x, y, z, start, stop), x.size, montgomery.CHUNK, threads)
    return out


def _elementwise(
    chunk: Callable, inputs: list[np.ndarray], out: np.ndarray | None, threads: int | None, accumulate: bool = False
) -> np.ndarray:
    """Runs a chunk kernel over whole vectors of LANES elements, and over a padded copy of the rest."""
    count = inputs[0].shape[0]
    out = np.empty((count, DEGREE), dtype=np.uint32) if out is None else out
    require_matrix("out", out, DEGREE)
    if any(array.shape[0] != count for array in (*inputs, out)):
        raise KernelInputError(f"arrays of different lengths: {[array.shape[0] for array in (*inputs, out)]}")
    whole = count // LANES * LANES
    flats = [array.reshape(-1) for array in inputs]
    flat_out = out.reshape(-1)
    run_chunks(lambda a, b: chunk(*flats, flat_out, a * LANES, b * LANES), whole // LANES, CHUNK // LANES, threads)
    if whole < count:
        rests = []
        for array in inputs:
            rest = np.zeros((LANES, *array.shape[1:]), dtype=np.uint32)
            rest[: count - whole] = array[whole:]
            rests.append(rest.reshape(-1))
        rest_out = np.zeros((LANES, DEGREE), dtype=np.uint32)
        if accumulate:
            rest_out[: count - whole] = out[whole:]
        chunk(*rests, rest_out.reshape(-1), 0, LANES)
        out[whole:] = rest_out[: count - whole]
    return out


@kernel
def _add_chunk(a, b, out, start, stop):
    """out[start:stop] = a + b on flat arrays."""
    index = start
    while index + LANES <= stop:
        store(out, index, add_vectors(load(a, index), load(b, index)))
        index += LANES
    while index < stop:
        out[index] = add_scalar(a[index], b[index])
        index += 1


@kernel
def _subtract_chunk(a, b, out, start, stop):
    """out[start:stop] = a - b on flat arrays."""
    padded = np.zeros(2 * LANES, dtype=np.uint32)
    index = start
    while index + LANES <= stop:
        store(out, index, subtract_vectors(load(a, index), load(b, index)))
        index += LANES
    rest = stop - index
    if rest:
        for k in range(rest):
            padded[k], padded[LANES + k] = a[index + k], b[index + k]
        store(padded, 0, subtract_vectors(load(padded, 0), load(padded, LANES)))
        for k in range(rest):
            out[index + k] = padded[k]


@kernel
def _multiply_chunk(a, b, out, start, stop):
    """out = a * b on elements start..stop, multiples of LANES, of flat [n, 5] arrays."""
    for i in range(start, stop, LANES):
        scatter_element(out, i, multiply_elements(gather_element(a, i), gather_element(b, i)))


@kernel
def _multiply_by_base_chunk(a, factors, out, start, stop):
    """out = a * factors; flat [n, 5], [n], [n, 5]."""
    for i in range(start, stop, LANES):
        scatter_element(out, i, multiply_elements_by_base(gather_element(a, i), load(factors, i)))


@kernel
def _scale_chunk(a, factor, out, start, stop):
    """out = factor * a; factor: flat [1, 5]."""
    b = splat_element(factor, 0)
    for i in range(start, stop, LANES):
        scatter_element(out, i, multiply_elements(gather_element(a, i), b))


@kernel
def _inverse_chunk(a, out, start, stop):
    """out = 1 / a, 0 giving 0. Each lane is a chain of its own; products so far wait in out."""
    if start == stop:
        return
    product = one_where_zero(gather_element(a, start))
    for i in range(start + LANES, stop, LANES):
        scatter_element(out, i, product)
        product = multiply_elements(product, one_where_zero(gather_element(a, i)))
    inverse = invert_elements(product)
    for i in range(stop - LANES, start, -LANES):
        element = gather_element(a, i)
        scatter_element(out, i, zero_where_zero(element, multiply_elements(inverse, gather_element(out, i))))
        inverse = multiply_elements(inverse, one_where_zero(element))
    scatter_element(out, start, zero_where_zero(gather_element(a, start), inverse))


@kernel
def _deep_quotient_chunk(sums, value, inverses, out, start, stop):
    """out += (sums - value) * inverses; value: flat [1, 5]."""
    v = splat_element(value, 0)
    for i in range(start, stop, LANES):
        quotient = multiply_elements(subtract_elements(gather_element(sums, i), v), gather_element(inverses, i))
        scatter_element(out, i, add_elements(gather_element(out, i), quotient))


@kernel
def _evaluate_chunk(matrix, width, first, row_step, inverses, inverse_step, xs, sums, padded, start, stop):
    """
    sums[k, j] += sum over i of weight(i)[k] * matrix[i * row_step, first + j] for i in [start, stop), weight(i) = xs[i] *
    inverses[i * inverse_step].

    matrix: flat [rows, width]. inverses: flat [*, 5]. sums: flat [5, padded]; padded: the columns rounded up to LANES.
    """
    weights = np.empty(5 * ROW_BLOCK, dtype=np.uint32)
    edge = np.zeros(LANES, dtype=np.uint32)
    for block in range(start, stop, ROW_BLOCK):
        count = min(ROW_BLOCK, stop - block)
        for i in range(count):
            for k in range(5):
                weights[5 * i + k] = multiply_scalar(inverses[5 * (block + i) * inverse_step + k], xs[block + i])
        for column in range(0, padded, LANES):
            s0, s1, s2 = load(sums, column), load(sums, padded + column), load(sums, 2 * padded + column)
            s3, s4 = load(sums, 3 * padded + column), load(sums, 4 * padded + column)
            for i in range(count):
                at = (block + i) * row_step * width + first + column
                if at + LANES <= matrix.size:
                    # Lanes beyond the row read the next one; their sums are never looked at.
                    x = load(matrix, at)
                else:
                    for k in range(matrix.size - at):
                        edge[k] = matrix[at + k]
                    x = load(edge, 0)
                s0 = add_vectors(s0, multiply_vectors(x, splat(weights[5 * i])))
                s1 = add_vectors(s1, multiply_vectors(x, splat(weights[5 * i + 1])))
                s2 = add_vectors(s2, multiply_vectors(x, splat(weights[5 * i + 2])))
                s3 = add_vectors(s3, multiply_vectors(x, splat(weights[5 * i + 3])))
                s4 = add_vectors(s4, multiply_vectors(x, splat(weights[5 * i + 4])))
            store(sums, column, s0)
            store(sums, padded + column, s1)
            store(sums, 2 * padded + column, s2)
            store(sums, 3 * padded + column, s3)
            store(sums, 4 * padded + column, s4)


@kernel
def _combine_chunk(matrix, width, first, coefficients, padded, sums, start, stop):
    """
    sums[i] += sum_j coefficients[:, j] * matrix[i, first + j] for i in [start, stop).

    matrix: flat [rows, width]. coefficients: flat [5, padded], zero beyond the columns, so lanes that read past them add
            nothing.
    """
    zero = splat(np.uint32(0))
    edge = np.zeros(LANES, dtype=np.uint32)
    for i in range(start, stop):
        s0, s1, s2, s3, s4 = zero, zero, zero, zero, zero
        for column in range(0, padded, LANES):
            at = i * width + first + column
            if at + LANES <= matrix.size:
                x = load(matrix, at)
            else:
                for k in range(matrix.size - at):
                    edge[k] = matrix[at + k]
                x = load(edge, 0)
            s0 = add_vectors(s0, multiply_vectors(x, load(coefficients, column)))
            s1 = add_vectors(s1, multiply_vectors(x, load(coefficients, padded + column)))
            s2 = add_vectors(s2, multiply_vectors(x, load(coefficients, 2 * padded + column)))
            s3 = add_vectors(s3, multiply_vectors(x, load(coefficients, 3 * padded + column)))
            s4 = add_vectors(s4, multiply_vectors(x, load(coefficients, 4 * padded + column)))
        at = 5 * i
        sums[at] = add_scalar(sums[at], sum_lanes(s0))
        sums[at + 1] = add_scalar(sums[at + 1], sum_lanes(s1))
        sums[at + 2] = add_scalar(sums[at + 2], sum_lanes(s2))
        sums[at + 3] = add_scalar(sums[at + 3], sum_lanes(s3))
        sums[at + 4] = add_scalar(sums[at + 4], sum_lanes(s4))
