"""
Merkle trees over matrices of mixed heights, and the check of an opening.

The tree
--------
Heights are powers of two; H is the tallest.

    leaf i    = leaf hash of row i of all matrices of height H, in the order given, joined
    parent i  = compress(child i, child i + half)
    and where some matrices have the height of this layer:
    parent i := compress(parent i, leaf hash of row i of those matrices, joined)

Index q opens row q mod height of every matrix. Node i and node i + half meet, rather than 2i and 2i + 1: a row order
that pairs x with -x (README) keeps, layer by layer, the order of folding.

What binds: heights and widths are the verifier's, never the prover's; they fix where each digest is a leaf, a node or
a joined row, so the two uses of compress cannot be confused. A collision anywhere is a collision of the hash.

The hash is an object, so Poseidon2 here, and byte hashes for proofs nobody compresses, share one verifier.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from zkvm.field.koala_bear import PRIME
from zkvm.kernels.errors import KernelInputError, MerkleRefusal
from zkvm.kernels.reference import poseidon2

MAXIMUM_LOG_HEIGHT = 24


@dataclass(frozen=True)
class MerkleHash:
    """What a tree needs of a hash."""

    name: str
    """Enters parameters and transcripts."""

    leaf: Callable[[Sequence[int]], Any]
    """Canonical elements of one joined row -> digest. Must bind their count."""

    compress: Callable[[Any, Any], Any]
    """Two digests -> one; must differ from `leaf` in domain."""

    is_digest: Callable[[Any], bool]
    """Whether a value received from elsewhere has the form of a digest, any value at all given."""


def _is_poseidon2_digest(value: Any) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) == poseidon2.DIGEST_LENGTH
        and all(type(element) is int and 0 <= element < PRIME for element in value)
    )


POSEIDON2 = MerkleHash(
    name="poseidon2-koala-bear-24",
    leaf=lambda elements: poseidon2.hash_elements(elements, poseidon2.LEAF),
    compress=poseidon2.compress,
    is_digest=_is_poseidon2_digest,
)


@dataclass(frozen=True)
class MerkleTree:
    """All digests of one commitment."""

    root: Any
    layers: list[list[Any]]
    """Leaves first, root last; layer d has tallest height / 2^d digests, matrices of that height joined in."""


def commit(matrices: Sequence[Sequence[Sequence[int]]], hash: MerkleHash = POSEIDON2) -> MerkleTree:
    """
    The tree over matrices given as lists of rows of canonical elements.

    Raises KernelInputError if there is none, or a height is no power of two up to 2^24.
    """
    heights = [len(matrix) for matrix in matrices]
    require_heights(heights)
    layer = [hash.leaf(row) for row in _joined_rows(matrices, max(heights))]
    layers = [layer]
    while len(layer) > 1:
        half = len(layer) // 2
        layer = [hash.compress(layer[i], layer[i + half]) for i in range(half)]
        if half in heights:
            layer = [hash.compress(node, hash.leaf(row)) for node, row in zip(layer, _joined_rows(matrices, half))]
        layers.append(layer)
    return MerkleTree(root=layer[0], layers=layers)


def open(tree: MerkleTree, index: int) -> list[Any]:
    """The siblings on the way from a leaf to the root, lowest first. Raises KernelInputError outside the leaves."""
    if not 0 <= index < len(tree.layers[0]):
        raise KernelInputError(f"there is no leaf {index} among {len(tree.layers[0])}")
    path = []
    for layer in tree.layers[:-1]:
        half = len(layer) // 2
        path.append(layer[(index + half) % len(layer)])
        index %= half
    return path


def open_many(tree: MerkleTree, indices: Sequence[int]) -> list[list[Any]]:
    """The path of each index."""
    return [open(tree, index) for index in indices]


def open_rows(matrices: Sequence[Sequence[Sequence[int]]], index: int) -> list[list[int]]:
    """Row index mod height of each matrix."""
    return [list(matrix[index % len(matrix)]) for matrix in matrices]


def root_from_opening(
    heights: Sequence[int],
    widths: Sequence[int],
    index: int,
    rows: Sequence[Sequence[int]],
    path: Sequence[Any],
    hash: MerkleHash = POSEIDON2,
) -> Any:
    """
    The root that an opening leads to. The form of rows and path is the caller's care: `verify_opening` checks it.

    heights, widths: of each matrix. rows: one per matrix. path: log2(tallest height) siblings, lowest first.
    """
    size = max(heights)
    node = hash.leaf(_joined(rows, heights, size))
    for sibling in path:
        size //= 2
        # The bit of the index that the next layer drops says on which side the node stands.
        node = hash.compress(sibling, node) if index & size else hash.compress(node, sibling)
        if size in heights:
            node = hash.compress(node, hash.leaf(_joined(rows, heights, size)))
    return node


def verify_opening(
    root: Any,
    heights: Sequence[int],
    widths: Sequence[int],
    index: int,
    rows: Any,
    path: Any,
    hash: MerkleHash = POSEIDON2,
) -> None:
    """
    Returns if rows and path are an opening of the root at the index.

    root, heights, widths, index: the verifier's own. rows, path: from the prover, any values at all; they are refused
    by form before anything is hashed, so time and memory are bounded by heights and widths.
    Raises MerkleRefusal if the opening is not one, KernelInputError if heights, widths or index are not possible.
    """
    require_heights(heights)
    if len(widths) != len(heights) or not 0 <= index < max(heights):
        raise KernelInputError("an opening needs one width for each height, and an index below the tallest height")
    if not isinstance(rows, (list, tuple)) or len(rows) != len(heights):
        raise MerkleRefusal(f"the opening does not have one row for each of {len(heights)} matrices")
    for row, width in zip(rows, widths):
        if not isinstance(row, (list, tuple)) or len(row) != width:
            raise MerkleRefusal(f"an opened row does not have {width} elements")
        if not all(type(element) is int and 0 <= element < PRIME for element in row):
            raise MerkleRefusal("an opened row holds something that is not a canonical element")
    depth = max(heights).bit_length() - 1
    if not isinstance(path, (list, tuple)) or len(path) != depth:
        raise MerkleRefusal(f"the path does not have {depth} siblings")
    if not all(hash.is_digest(sibling) for sibling in path):
        raise MerkleRefusal(f"the path holds something that is not a digest of {hash.name}")
    if root_from_opening(heights, widths, index, rows, path, hash) != root:
        raise MerkleRefusal("the opening does not lead to the root")


def require_heights(heights: Sequence[int]) -> None:
    """Raises KernelInputError unless there is a height and each is a power of two up to 2^24."""
    if not heights:
        raise KernelInputError("a tree needs at least one matrix")
    for height in heights:
        if height < 1 or height & (height - 1) or height > 2**MAXIMUM_LOG_HEIGHT:
            raise KernelInputError(
                f"a matrix has height {height}: it must be a power of two, at most 2^{MAXIMUM_LOG_HEIGHT}"
            )


def _joined_rows(matrices: Sequence[Sequence[Sequence[int]]], height: int) -> list[list[int]]:
    chosen = [matrix for matrix in matrices if len(matrix) == height]
    return [[element for matrix in chosen for element in matrix[i]] for i in range(height)]


def _joined(rows: Sequence[Sequence[int]], heights: Sequence[int], height: int) -> list[int]:
    return [element for row, of_height in zip(rows, heights) if of_height == height for element in row]
