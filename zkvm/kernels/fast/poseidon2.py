"""
Poseidon2 over many independent inputs, LANES at a time.

Modes, domains and security: zkvm.kernels.reference.poseidon2, whose names these are.
Digests of a layer stand as [9, height]: element e of digest i at [e, i], so that LANES neighbours are one vector.
"""

from collections.abc import Sequence

import numpy as np

from zkvm.field.koala_bear import PRIME
from zkvm.kernels.constants.poseidon2 import WIDTH
from zkvm.kernels.errors import KernelInputError
from zkvm.kernels.fast.poseidon2_ir import permute_lanes
from zkvm.kernels.fast.shapes import log_height, require_matrix, to_montgomery_scalar
from zkvm.kernels.fast.simd import (
    LANES,
    add,
    gather,
    gather_address,
    load,
    multiply_scalar,
    scatter,
    splat,
    store,
)
from zkvm.kernels.fast.threads import run_chunks, thread_count
from zkvm.kernels.policy import kernel
from zkvm.kernels.reference.poseidon2 import (
    COMPRESS,
    DIGEST_LENGTH,
    GRIND,
    LEAF,
    MAXIMUM_ELEMENT_COUNT,
    MAXIMUM_GRIND_BIT_COUNT,
    RATE,
)

CHUNK = 1 << 11
"""Rows per piece of work: about half a millisecond of permutations."""

GRIND_CHUNK = 1 << 15
"""Nonces per piece of work."""


def permute(states: np.ndarray, threads: int | None = None) -> np.ndarray:
    """
    P of each row, in place; returns the array.

    states: [n, 24] uint32, Montgomery form. Raises KernelInputError for another shape, dtype or layout.
    """
    require_matrix("states", states, WIDTH)
    padded, count = _padded(states)
    flat = padded.reshape(-1)
    run_chunks(
        lambda a, b: _permute_chunk(flat, a * LANES, b * LANES), padded.shape[0] // LANES, CHUNK // LANES, threads
    )
    if padded is not states:
        # The last rows went through a copy.
        states[:] = padded[:count]
    return states


def hash_rows(matrices: Sequence[np.ndarray], threads: int | None = None) -> np.ndarray:
    """
    The leaf digest of row i of all matrices, joined in the order given: [9, height] uint32, Montgomery form.

    matrices: one or more [height, w_m] uint32, Montgomery form, equal heights (a power of two), widths from 0.
    Raises KernelInputError for unequal heights, no matrix, more than 2^24 columns in all, or another dtype or layout.
    """
    if not matrices:
        raise KernelInputError("there are no rows to hash")
    for matrix in matrices:
        require_matrix("a matrix to hash", matrix)
    height = matrices[0].shape[0]
    log_height("a matrix to hash", height)
    if any(matrix.shape[0] != height for matrix in matrices):
        raise KernelInputError("matrices hashed together must have equal heights")
    column_count = sum(matrix.shape[1] for matrix in matrices)
    if column_count > MAXIMUM_ELEMENT_COUNT:
        raise KernelInputError(f"{column_count} columns are more than one leaf takes")

    padded = [_padded(matrix)[0] for matrix in matrices]
    padded_height = padded[0].shape[0]
    addresses = np.array([matrix.ctypes.data for matrix in padded], dtype=np.int64)
    widths = np.array([matrix.shape[1] for matrix in padded], dtype=np.int64)
    start = np.array([to_montgomery_scalar(c) for c in (column_count, LEAF)], dtype=np.uint32)
    out = np.empty((DIGEST_LENGTH, padded_height), dtype=np.uint32)
    flat = out.reshape(-1)
    run_chunks(
        lambda a, b: _hash_rows_chunk(addresses, widths, start, flat, padded_height, a * LANES, b * LANES),
        padded_height // LANES,
        CHUNK // LANES,
        threads,
    )
    return out if padded_height == height else np.ascontiguousarray(out[:, :height])


def compress_layer(left: np.ndarray, right: np.ndarray, threads: int | None = None) -> np.ndarray:
    """
    compress(left[:, i], right[:, i]) for each i: [9, n] uint32, Montgomery form.

    left, right: [9, n] uint32, n a power of two; columns may be views of a wider layer. Raises KernelInputError for
                 other shapes.
    """
    if (
        left.shape != right.shape
        or left.ndim != 2
        or left.shape[0] != DIGEST_LENGTH
        or left.dtype != np.uint32
        or right.dtype != np.uint32
    ):
        raise KernelInputError("layers to compress must be two uint32 arrays of one shape [9, n]")
    count = left.shape[1]
    log_height("a layer", count)
    stride = max(count, LANES)
    if count < LANES or not left.flags.c_contiguous or not right.flags.c_contiguous:
        left, right = _padded_layer(left, stride), _padded_layer(right, stride)
    out = _compress_halves(left.reshape(-1), 0, right.reshape(-1), 0, stride, stride, threads)
    return out if stride == count else np.ascontiguousarray(out[:, :count])


def compress_to_parent(layer: np.ndarray, threads: int | None = None) -> np.ndarray:
    """
    The layer above: compress(layer[:, i], layer[:, i + height / 2]) for i < height / 2.

    layer: [9, height] uint32, C-contiguous, height an even power of two.
    """
    require_matrix("layer", layer)
    height = layer.shape[1]
    if layer.shape[0] != DIGEST_LENGTH or height < 2:
        raise KernelInputError(f"a layer has shape [9, 2 or more], not {list(layer.shape)}")
    log_height("a layer", height)
    half = height // 2
    if half < LANES:
        return compress_layer(layer[:, :half], layer[:, half:], threads)
    flat = layer.reshape(-1)
    return _compress_halves(flat, 0, flat, half, height, half, threads)


def grind(digest: Sequence[int], bit_count: int, threads: int | None = None) -> int:
    """
    The smallest nonce for which element 0 of hash_elements(digest || nonce, GRIND) has bit_count low zero bits.

    digest: 9 canonical elements. 2^bit_count permutations on average.
    Raises KernelInputError for another digest or bit_count outside 0..24.
    """
    if len(digest) != DIGEST_LENGTH or not all(0 <= element < PRIME for element in digest):
        raise KernelInputError("grinding needs a digest of 9 canonical elements")
    if not 0 <= bit_count <= MAXIMUM_GRIND_BIT_COUNT:
        raise KernelInputError(f"cannot grind {bit_count} bits: 0 to {MAXIMUM_GRIND_BIT_COUNT}")
    state = [*digest] + [0] * (RATE - DIGEST_LENGTH) + [DIGEST_LENGTH + 1, GRIND]
    template = np.array([to_montgomery_scalar(c) for c in state + [0] * (WIDTH - len(state))], dtype=np.uint32)
    one = np.uint32(to_montgomery_scalar(1))
    mask = np.uint32((1 << bit_count) - 1)

    workers = thread_count(threads)
    # A wave is finished whole before its least nonce counts, so the answer does not depend on the number of threads.
    for wave in range(0, PRIME, workers * GRIND_CHUNK):
        found: list[int] = []

        def work(start: int, stop: int, wave: int = wave, found: list[int] = found) -> None:
            nonce = _grind_chunk(template, one, mask, wave + start, min(wave + stop, PRIME))
            if nonce >= 0:
                found.append(nonce)

        run_chunks(work, workers * GRIND_CHUNK, GRIND_CHUNK, workers)
        if found:
            return min(found)
    raise KernelInputError("no nonce below p does the work")


def _padded(matrix: np.ndarray) -> tuple[np.ndarray, int]:
    """The matrix itself if its height is a multiple of LANES, else a copy with rows of zeros below; and its height."""
    height = matrix.shape[0]
    missing = -height % LANES
    if not missing:
        return matrix, height
    return np.concatenate([matrix, np.zeros((missing, matrix.shape[1]), dtype=np.uint32)]), height


def _padded_layer(layer: np.ndarray, count: int) -> np.ndarray:
    padded = np.zeros((DIGEST_LENGTH, count), dtype=np.uint32)
    padded[:, : layer.shape[1]] = layer
    return padded


def _compress_halves(left, left_offset, right, right_offset, stride, count, threads):
    out = np.empty((DIGEST_LENGTH, count), dtype=np.uint32)
    flat = out.reshape(-1)
    tag = np.uint32(to_montgomery_scalar(COMPRESS))
    run_chunks(
        lambda a, b: _compress_chunk(
            left, left_offset, right, right_offset, stride, flat, count, tag, a * LANES, b * LANES
        ),
        count // LANES,
        CHUNK // LANES,
        threads,
    )
    return out


@kernel
def _permute_chunk(flat, start, stop):
    """P in place on rows start..stop of flat [n, 24]; both multiples of LANES."""
    state = np.empty(WIDTH * LANES, dtype=np.uint32)
    for row in range(start, stop, LANES):
        for e in range(WIDTH):
            store(state, e * LANES, gather(flat, row * WIDTH + e, WIDTH))
        permute_lanes(state, 0)
        for e in range(WIDTH):
            scatter(flat, row * WIDTH + e, WIDTH, load(state, e * LANES))


@kernel
def _hash_rows_chunk(addresses, widths, start_capacity, out, height, start, stop):
    """
    Leaf digests of rows start..stop, multiples of LANES, of matrices given by byte address and width.

    start_capacity: (column count, domain) in Montgomery form. out: flat [9, height].
    """
    zero = splat(np.uint32(0))
    state = np.empty(WIDTH * LANES, dtype=np.uint32)
    for row in range(start, stop, LANES):
        for e in range(WIDTH):
            store(state, e * LANES, zero)
        store(state, RATE * LANES, splat(start_capacity[0]))
        store(state, (RATE + 1) * LANES, splat(start_capacity[1]))
        filled = 0
        permuted = False
        for m in range(addresses.size):
            width = widths[m]
            address = addresses[m] + 4 * row * width
            for column in range(width):
                if filled == RATE:
                    permute_lanes(state, 0)
                    permuted = True
                    filled = 0
                store(state, filled * LANES, gather_address(address + 4 * column, 4 * width))
                filled += 1
        if filled or not permuted:
            for e in range(filled, RATE):
                store(state, e * LANES, zero)
            permute_lanes(state, 0)
        for e in range(DIGEST_LENGTH):
            store(out, e * height + row, load(state, e * LANES))


@kernel
def _compress_chunk(left, left_offset, right, right_offset, stride, out, out_stride, tag, start, stop):
    """
    Digests start..stop, multiples of LANES, of one layer from two.

    left, right: flat, element e of digest i at offset + e * stride + i. out: flat [9, out_stride]. tag: Montgomery
                 form.
    """
    zero = splat(np.uint32(0))
    state = np.empty(WIDTH * LANES, dtype=np.uint32)
    for i in range(start, stop, LANES):
        for e in range(DIGEST_LENGTH):
            store(state, e * LANES, load(left, left_offset + e * stride + i))
            store(state, (DIGEST_LENGTH + e) * LANES, load(right, right_offset + e * stride + i))
        store(state, 2 * DIGEST_LENGTH * LANES, splat(tag))
        for e in range(2 * DIGEST_LENGTH + 1, WIDTH):
            store(state, e * LANES, zero)
        permute_lanes(state, 0)
        for e in range(DIGEST_LENGTH):
            before = load(left, left_offset + e * stride + i)
            store(out, e * out_stride + i, add(load(state, e * LANES), before))


@kernel
def _grind_chunk(template, one, mask, start, stop):
    """The smallest nonce in [start, stop) that does the work, or -1. template: the state, with room for it at 9."""
    state = np.empty(WIDTH * LANES, dtype=np.uint32)
    for first in range(start, stop, LANES):
        for e in range(WIDTH):
            store(state, e * LANES, splat(template[e]))
        for lane in range(LANES):
            nonce = (np.uint64(first) + np.uint64(lane)) * np.uint64(one) % np.uint64(PRIME)
            state[DIGEST_LENGTH * LANES + lane] = np.uint32(nonce)
        permute_lanes(state, 0)
        for lane in range(LANES):
            if first + lane < stop and multiply_scalar(state[lane], np.uint32(1)) & mask == np.uint32(0):
                return first + lane
    return -1
