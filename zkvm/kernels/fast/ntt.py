"""
Number-theoretic transforms of all columns of a row-major matrix, and the low-degree extension.

Statement
---------
A transform is a tree of divisions: the polynomial modulo X^(2h) - t^2 is split into its remainders modulo X^h - t and
X^h + t. Block b of any layer uses t = root^(bit reversal of b), so that one bit-reversed table of twiddles serves
every layer of every size.
- `inverse_ntt` walks down that tree with root = 1/omega: natural order in, bit-reversed coefficients out
  (Cooley-Tukey).
- `ntt` walks back up with root = omega: bit-reversed coefficients in, natural order out (Gentleman-Sande).
So no bit reversal is ever carried out.

Two passes over memory: with n = R * S, the layers of distance at least S join rows i * S + j for fixed j, whatever j
and the column; the others stay within S neighbouring rows. Each pass copies a tile into scratch that fits the
second-level cache, does all its layers there two at a time (radix 4), and copies it back; without the copy, rows a
power of two apart would fall into the same cache sets.

Twins: zkvm.kernels.reference.ntt. Source: W. Gentleman and G. Sande, Fast Fourier transforms for fun and profit,
1966; D. Bailey, FFTs in external or hierarchical memory, 1990 (the two passes).
"""

import threading

import numpy as np

from zkvm.field import koala_bear
from zkvm.field.koala_bear import GENERATOR, PRIME
from zkvm.kernels.errors import KernelInputError
from zkvm.kernels.fast.montgomery import CHUNK, bit_reversed_powers, scale
from zkvm.kernels.fast.shapes import log_height, require_matrix, require_shift, to_montgomery_scalar
from zkvm.kernels.fast.simd import (
    LANES,
    add,
    load,
    multiply,
    multiply_scalar,
    splat,
    store,
    subtract,
)
from zkvm.kernels.fast.threads import run_chunks
from zkvm.kernels.policy import kernel

ONE_PASS_LOG_ROWS = 10
"""Up to 2^10 rows, one pass does the whole transform."""

SCRATCH_WORDS = 1 << 16
"""256 KiB of scratch per thread: half of a small second-level cache."""

MAXIMUM_RUN = 512
"""The longest run of words taken from one row into scratch."""


def low_degree_extension(
    values: np.ndarray,
    log_blowup: int = 1,
    input_shift: int = 1,
    output_shift: int = GENERATOR,
    out: np.ndarray | None = None,
    threads: int | None = None,
) -> np.ndarray:
    """
    Each column's polynomial of degree below n, evaluated on a larger coset.

    values: [n, w] uint32, Montgomery form; row i is the value at input_shift * omega_n^i. Not changed.
    out:    [n << log_blowup, w] uint32 or None; returned, row i the value at output_shift * omega^i. Must not overlap
            values.
    Extra memory: scratch, one table of n words, and the cached twiddles.
    Raises KernelInputError for other shapes, heights that are no power of two or beyond 2^24, shifts outside [1, p).
    """
    require_matrix("values", values)
    height, width = values.shape
    log_rows = log_height("values", height)
    if log_blowup < 0:
        raise KernelInputError(f"the blowup is 2^{log_blowup}: the exponent must not be negative")
    log_extended = log_height("the extension", height << log_blowup)
    require_shift("input_shift", input_shift)
    require_shift("output_shift", output_shift)
    out = np.empty((height << log_blowup, width), dtype=np.uint32) if out is None else out
    require_matrix("out", out, width)
    if out.shape[0] != height << log_blowup:
        raise KernelInputError(f"out has {out.shape[0]} rows, the extension {height << log_blowup}")
    if np.may_share_memory(values, out):
        raise KernelInputError("out must not overlap values")

    destination = out.reshape(-1)
    _inverse_transform(values.reshape(-1), destination, width, log_rows, threads)
    # n * coefficient k of f(input_shift * X) stands in row bitrev(k); f(output_shift * X) has (output_shift /
    # input_shift)^k times that.
    ratio = output_shift * koala_bear.inverse(input_shift) % PRIME
    scales = bit_reversed_powers(ratio, log_rows, first=koala_bear.inverse(height))
    _forward_transform(destination, width, log_extended, log_blowup, scales, threads)
    return out


def split_extension(values: np.ndarray, shift: int = GENERATOR, threads: int | None = None) -> np.ndarray:
    """
    Each column's polynomial Q = Q0 + x^n Q1 of degree below 2n, cut into its halves: [2n, w] -> [2n, 2w], the columns of
    Q0, then those of Q1.

    values: [2n, w] uint32, Montgomery form, n >= 1; row i of both is the value at shift * omega_2n^i. Not changed.
    Raises KernelInputError as `low_degree_extension`.
    """
    require_matrix("values", values)
    height, width = values.shape
    log_rows = log_height("values", height)
    require_shift("shift", shift)
    if height < 2:
        raise KernelInputError("a single row has no halves")
    out = np.empty((height, 2 * width), dtype=np.uint32)
    destination = out.reshape(-1)
    _inverse_transform(values.reshape(-1), destination, width, log_rows, threads)
    # Coefficient k of Q(shift * X) stands in row bitrev(k), so those of the halves stand side by side in twice as wide rows,
    # in the order that the forward transform takes. Q1's have shift^n too much.
    half = height // 2
    too_much = pow(shift, -half, PRIME)

    def work(start: int, stop: int) -> None:
        _scale_right_half(destination, width, to_montgomery_scalar(too_much), start, stop)

    run_chunks(work, half, CHUNK, threads)
    scales = bit_reversed_powers(1, log_rows - 1, first=koala_bear.inverse(height))
    _forward_transform(destination, 2 * width, log_rows, 1, scales, threads)
    return out


@kernel
def _scale_right_half(matrix, width, factor, start, stop):
    """Multiplies columns width .. 2 width - 1 of rows start .. stop - 1; matrix: flat [*, 2 width]."""
    for row in range(start, stop):
        for column in range(width, 2 * width):
            at = 2 * width * row + column
            matrix[at] = multiply_scalar(matrix[at], factor)


def inverse_ntt(matrix: np.ndarray, threads: int | None = None) -> np.ndarray:
    """
    Values on <omega_n> to coefficients, in place: row bitrev(k) becomes coefficient k. Returns the matrix.

    matrix: [n, w] uint32, Montgomery form. Raises KernelInputError as `low_degree_extension`.
    """
    require_matrix("matrix", matrix)
    flat, width, log_rows = matrix.reshape(-1), matrix.shape[1], log_height("matrix", matrix.shape[0])
    _inverse_transform(flat, flat, width, log_rows, threads)
    return scale(matrix, koala_bear.inverse(matrix.shape[0]), threads)


def ntt(matrix: np.ndarray, threads: int | None = None) -> np.ndarray:
    """
    Coefficients to values on <omega_n>, in place: row bitrev(k) is coefficient k before, row i the value at omega^i
    after.

    matrix: [n, w] uint32, Montgomery form. Raises KernelInputError as `low_degree_extension`.
    """
    require_matrix("matrix", matrix)
    log_rows = log_height("matrix", matrix.shape[0])
    _forward_transform(matrix.reshape(-1), matrix.shape[1], log_rows, 0, _NO_SCALES, threads)
    return matrix


_NO_SCALES = np.empty(0, dtype=np.uint32)
_twiddle_lock = threading.Lock()
_twiddle_tables: dict[bool, np.ndarray] = {}


def twiddles(log_rows: int, inverse: bool) -> np.ndarray:
    """
    root^(bit reversal of b) for b < 2^(log_rows - 1) at least, root = omega or 1 / omega of order 2^log_rows;
    Montgomery form.

    A longer table begins with every shorter one, so the longest asked for so far is kept: 2 bytes per row of the
    tallest matrix.
    """
    with _twiddle_lock:
        table = _twiddle_tables.get(inverse)
        if table is None or table.size < 1 << max(log_rows - 1, 0):
            root = koala_bear.two_adic_generator(log_rows)
            table = bit_reversed_powers(koala_bear.inverse(root) if inverse else root, max(log_rows - 1, 0))
            table.flags.writeable = False
            _twiddle_tables[inverse] = table
        return table


def _split(log_rows: int) -> tuple[int, int]:
    """(log R, log S): layers done across distant rows, and layers done within S neighbouring rows."""
    if log_rows <= ONE_PASS_LOG_ROWS:
        return 0, log_rows
    return log_rows // 2, log_rows - log_rows // 2


def _inverse_transform(
    source: np.ndarray, destination: np.ndarray, width: int, log_rows: int, threads: int | None
) -> None:
    """n times the inverse transform, from source to the first n rows of destination (which may be source)."""
    table = twiddles(log_rows, inverse=True)
    log_far, log_near = _split(log_rows)
    if log_far:
        row_words = width << log_near
        _run_pass(source, destination, table, _NO_SCALES, 0, 1, row_words, log_far, 0, True, threads)
        source = destination
    _run_pass(source, destination, table, _NO_SCALES, 0, 1 << log_far, width, log_near, 0, True, threads)


def _forward_transform(
    flat: np.ndarray, width: int, log_rows: int, log_blowup: int, scales: np.ndarray, threads: int | None
) -> None:
    """
    The forward transform in place, from 2^(log_rows - log_blowup) rows of coefficients at the head of flat.

    Block q of the first pass, R rows, reads the R / blowup rows of coefficients from row q R / blowup on, and writes
    from row q R on. Done in ranges [k / blowup, k) from the last to the first, no range writes what it or a later
    range still has to read.
    """
    table = twiddles(log_rows, inverse=False)
    log_far, log_near = _split(log_rows)
    if log_blowup > log_near:
        # Blocks must hold whole groups of the rows that come from one coefficient row.
        log_far, log_near = log_rows - log_blowup, log_blowup
    stop = 1 << log_far
    while stop:
        start = -(-stop >> log_blowup) if log_blowup and stop > 1 else 0
        _run_pass(flat, flat, table, scales, start, stop, width, log_near, log_blowup, False, threads)
        stop = start
    if log_far:
        _run_pass(flat, flat, table, _NO_SCALES, 0, 1, width << log_near, log_far, 0, False, threads)


def _run_pass(
    source, destination, table, scales, first_block, last_block, width, log_rows, log_blowup, inverse, threads
):
    if width == 0:
        return
    run = min(MAXIMUM_RUN, max(LANES, (SCRATCH_WORDS >> log_rows) // LANES * LANES), -(-width // LANES) * LANES)
    run_count = -(-width // run)
    block_count = last_block - first_block

    def work(start, stop):
        scratch = np.zeros(run << log_rows, dtype=np.uint32)
        first = first_block * run_count
        _pass(
            source,
            destination,
            scratch,
            table,
            scales,
            first + start,
            first + stop,
            run_count,
            width,
            run,
            log_rows,
            log_blowup,
            inverse,
        )

    # About 1 MiB per piece of work, so that threads share evenly.
    pieces = max(1, (1 << 18) // (run << log_rows))
    run_chunks(work, block_count * run_count, pieces, threads)


@kernel
def _pass(
    source, destination, scratch, table, scales, start, stop, run_count, width, run, log_rows, log_blowup, inverse
):
    """
    All layers of blocks of 2^log_rows rows, `width` words apart, on runs of at most `run` words of a row.

    Task t works on block t // run_count, run t % run_count. With log_blowup > 0 the source has only every
    2^log_blowup-th row, scaled by scales[row], and the layers that would meet zeros are done while loading.
    source, destination: flat uint32, equal or apart. scratch: run << log_rows words. run: a multiple of LANES.
    """
    rows = 1 << log_rows
    source_rows = rows >> log_blowup
    for task in range(start, stop):
        block = task // run_count
        column = (task % run_count) * run
        length = min(run, width - column)
        padded = (length + LANES - 1) // LANES * LANES
        whole = length // LANES * LANES

        # Load.
        for i in range(source_rows):
            at = (block * source_rows + i) * width + column
            to = (i << log_blowup) * padded
            # Lanes past the end of a row may hold anything, such as the beginning of the next.
            vectors = padded if at + padded <= source.size else whole
            for k in range(0, vectors, LANES):
                store(scratch, to + k, load(source, at + k))
            for k in range(vectors, length):
                scratch[to + k] = source[at + k]
            if scales.size:
                factor = splat(scales[block * source_rows + i])
                for k in range(0, padded, LANES):
                    store(scratch, to + k, multiply(load(scratch, to + k), factor))
            for m in range(log_blowup):
                # The pair (x, 0) becomes (x, x * twiddle).
                twiddle = splat(table[((block * rows) + (i << log_blowup)) >> (m + 1)])
                span = padded << m
                for k in range(0, span, LANES):
                    store(scratch, to + span + k, multiply(load(scratch, to + k), twiddle))

        if inverse:
            layer = 0
            if log_rows & 1:
                _split_layer(scratch, table, block, rows, padded, layer)
                layer = 1
            while layer < log_rows:
                _split_two_layers(scratch, table, block, rows, padded, layer)
                layer += 2
        else:
            layer = log_rows - log_blowup
            if layer & 1:
                layer -= 1
                _join_layer(scratch, table, block, rows, padded, layer)
            while layer > 0:
                layer -= 2
                _join_two_layers(scratch, table, block, rows, padded, layer)

        # Store. Where a task has whole rows, what goes past the end of one is overwritten by the next; not at the block's end.
        end = (block + 1) * rows * width if run_count == 1 else 0
        for i in range(rows):
            to = (block * rows + i) * width + column
            at = i * padded
            vectors = padded if to + padded <= end else whole
            for k in range(0, vectors, LANES):
                store(destination, to + k, load(scratch, at + k))
            for k in range(vectors, length):
                destination[to + k] = scratch[at + k]


@kernel
def _split_layer(scratch, table, block, rows, padded, layer):
    """One layer downwards: (x, y) -> (x + t y, x - t y) over 2^layer blocks of the tile."""
    half = (rows >> (layer + 1)) * padded
    for b in range(1 << layer):
        t = splat(table[(block << layer) + b])
        for k in range(2 * half * b, 2 * half * b + half, LANES):
            x, y = load(scratch, k), multiply(load(scratch, k + half), t)
            store(scratch, k, add(x, y))
            store(scratch, k + half, subtract(x, y))


@kernel
def _join_layer(scratch, table, block, rows, padded, layer):
    """One layer upwards: (x, y) -> (x + y, (x - y) t) over 2^layer blocks of the tile."""
    half = (rows >> (layer + 1)) * padded
    for b in range(1 << layer):
        t = splat(table[(block << layer) + b])
        for k in range(2 * half * b, 2 * half * b + half, LANES):
            x, y = load(scratch, k), load(scratch, k + half)
            store(scratch, k, add(x, y))
            store(scratch, k + half, multiply(subtract(x, y), t))


@kernel
def _split_two_layers(scratch, table, block, rows, padded, layer):
    """Layers `layer` and `layer + 1` downwards, on four quarters at once."""
    quarter = (rows >> (layer + 2)) * padded
    for b in range(1 << layer):
        above = (block << layer) + b
        t, t_low, t_high = splat(table[above]), splat(table[2 * above]), splat(table[2 * above + 1])
        for k in range(4 * quarter * b, 4 * quarter * b + quarter, LANES):
            x0, x1 = load(scratch, k), load(scratch, k + quarter)
            x2, x3 = multiply(load(scratch, k + 2 * quarter), t), multiply(load(scratch, k + 3 * quarter), t)
            y0, y2 = add(x0, x2), subtract(x0, x2)
            y1, y3 = multiply(add(x1, x3), t_low), multiply(subtract(x1, x3), t_high)
            store(scratch, k, add(y0, y1))
            store(scratch, k + quarter, subtract(y0, y1))
            store(scratch, k + 2 * quarter, add(y2, y3))
            store(scratch, k + 3 * quarter, subtract(y2, y3))


@kernel
def _join_two_layers(scratch, table, block, rows, padded, layer):
    """Layers `layer + 1` and `layer` upwards, on four quarters at once."""
    quarter = (rows >> (layer + 2)) * padded
    for b in range(1 << layer):
        above = (block << layer) + b
        t, t_low, t_high = splat(table[above]), splat(table[2 * above]), splat(table[2 * above + 1])
        for k in range(4 * quarter * b, 4 * quarter * b + quarter, LANES):
            x0, x1 = load(scratch, k), load(scratch, k + quarter)
            x2, x3 = load(scratch, k + 2 * quarter), load(scratch, k + 3 * quarter)
            y0, y1 = add(x0, x1), multiply(subtract(x0, x1), t_low)
            y2, y3 = add(x2, x3), multiply(subtract(x2, x3), t_high)
            store(scratch, k, add(y0, y2))
            store(scratch, k + quarter, add(y1, y3))
            store(scratch, k + 2 * quarter, multiply(subtract(y0, y2), t))
            store(scratch, k + 3 * quarter, multiply(subtract(y1, y3), t))
