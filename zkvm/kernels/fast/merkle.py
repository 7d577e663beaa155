"""
Merkle trees over matrices of mixed heights, with Poseidon2. What the tree is: zkvm.kernels.reference.merkle.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zkvm.kernels.errors import KernelInputError
from zkvm.kernels.fast.montgomery import from_montgomery
from zkvm.kernels.fast.poseidon2 import compress_layer, compress_to_parent, hash_rows
from zkvm.kernels.fast.shapes import from_montgomery_scalar, require_matrix
from zkvm.kernels.reference.merkle import require_heights


@dataclass(frozen=True)
class MerkleTree:
    """All digests of one commitment; the matrices are not kept."""

    root: tuple[int, ...]
    """9 canonical elements."""

    layers: list[np.ndarray]
    """[9, height / 2^d] uint32 each, Montgomery form; leaves first."""


def commit(matrices: Sequence[np.ndarray], threads: int | None = None) -> MerkleTree:
    """
    The tree over [height, width] uint32 matrices in Montgomery form.

    Memory: 72 bytes per row of the tallest height. Raises KernelInputError if there is no matrix, a height is no
    power of two up to 2^24, or a dtype or layout is another.
    """
    for matrix in matrices:
        require_matrix("a matrix to commit", matrix)
    heights = [matrix.shape[0] for matrix in matrices]
    require_heights(heights)
    layer = hash_rows([matrix for matrix in matrices if matrix.shape[0] == max(heights)], threads)
    layers = [layer]
    while layer.shape[1] > 1:
        layer = compress_to_parent(layer, threads)
        joining = [matrix for matrix in matrices if matrix.shape[0] == layer.shape[1]]
        if joining:
            layer = compress_layer(layer, hash_rows(joining, threads), threads)
        layers.append(layer)
    return MerkleTree(root=tuple(from_montgomery_scalar(element) for element in layer[:, 0]), layers=layers)


def open(tree: MerkleTree, index: int) -> list[tuple[int, ...]]:
    """The path of one leaf: siblings, lowest first, canonical. Raises KernelInputError outside the leaves."""
    return [tuple(int(element) for element in digest) for digest in open_many(tree, [index])[0]]


def open_many(tree: MerkleTree, indices: Sequence[int]) -> np.ndarray:
    """The paths of several leaves: [count, depth, 9] uint32, canonical. Raises KernelInputError outside the leaves."""
    height = tree.layers[0].shape[1]
    if any(not 0 <= index < height for index in indices):
        raise KernelInputError(f"an index lies outside the {height} leaves")
    at = np.array(indices, dtype=np.int64)
    paths = np.empty((at.size, len(tree.layers) - 1, 9), dtype=np.uint32)
    for depth, layer in enumerate(tree.layers[:-1]):
        half = layer.shape[1] // 2
        paths[:, depth] = layer[:, (at + half) % layer.shape[1]].T
        at %= half
    return from_montgomery(paths, 1)


def open_rows(matrices: Sequence[np.ndarray], index: int) -> list[list[int]]:
    """Row index mod height of each matrix, canonical."""
    return [[from_montgomery_scalar(element) for element in matrix[index % matrix.shape[0]]] for matrix in matrices]
