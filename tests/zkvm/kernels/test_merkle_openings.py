"""The check of a Merkle opening: accepts what the tree opens, refuses all else by the right reason. No numba needed."""

import hashlib
import random

import pytest

from zkvm.field.koala_bear import PRIME
from zkvm.kernels.errors import KernelInputError, MerkleRefusal
from zkvm.kernels.reference import merkle, poseidon2
from zkvm.kernels.reference.merkle import POSEIDON2, MerkleHash

SEED = 41
SHAPES = [(16, 3), (4, 16), (16, 2), (1, 1), (4, 0)]
HEIGHTS = [height for height, _ in SHAPES]
WIDTHS = [width for _, width in SHAPES]

SHA256 = MerkleHash(
    name="sha256",
    leaf=lambda row: hashlib.sha256(b"leaf" + b"".join(e.to_bytes(4, "little") for e in row)).digest(),
    compress=lambda left, right: hashlib.sha256(b"node" + left + right).digest(),
    is_digest=lambda value: type(value) is bytes and len(value) == 32,
)


def matrices():
    print("seed", SEED)
    generator = random.Random(SEED)
    return [[[generator.randrange(PRIME) for _ in range(width)] for _ in range(height)] for height, width in SHAPES]


@pytest.fixture(params=[POSEIDON2, SHA256], ids=lambda hash: hash.name)
def opening(request):
    committed = matrices()
    tree = merkle.commit(committed, request.param)
    index = 13
    return tree.root, index, merkle.open_rows(committed, index), merkle.open(tree, index), request.param


def verify(root, index, rows, path, hash):
    merkle.verify_opening(root, HEIGHTS, WIDTHS, index, rows, path, hash)


def test_every_index_opens():
    committed = matrices()
    tree = merkle.commit(committed)
    for index in range(16):
        merkle.verify_opening(
            tree.root, HEIGHTS, WIDTHS, index, merkle.open_rows(committed, index), merkle.open(tree, index)
        )


def test_root_by_hand():
    """Given two matrices of heights 2 and 1. Then the root is what the definition says, written out."""
    tall, short = [[1, 2], [3, 4]], [[5]]
    leaves = [poseidon2.hash_elements(row, poseidon2.LEAF) for row in tall]
    node = poseidon2.compress(*leaves)
    assert merkle.commit([tall, short]).root == poseidon2.compress(node, poseidon2.hash_elements([5], poseidon2.LEAF))


def test_every_changed_element_is_refused(opening):
    root, index, rows, path, hash = opening
    verify(root, index, rows, path, hash)
    for i, row in enumerate(rows):
        for j in range(len(row)):
            changed = [list(other) for other in rows]
            changed[i][j] = (changed[i][j] + 1) % PRIME
            with pytest.raises(MerkleRefusal, match="does not lead to the root"):
                verify(root, index, changed, path, hash)


def test_every_changed_sibling_and_index_is_refused(opening):
    root, index, rows, path, hash = opening
    for depth in range(len(path)):
        changed = list(path)
        changed[depth] = path[depth - 1]
        with pytest.raises(MerkleRefusal, match="does not lead to the root"):
            verify(root, index, rows, changed, hash)
    for other in range(16):
        if other != index:
            with pytest.raises(MerkleRefusal, match="does not lead to the root"):
                verify(root, other, rows, path, hash)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda rows, path: (None, path), "one row for each of 5 matrices"),
        (lambda rows, path: (rows[:-1], path), "one row for each of 5 matrices"),
        (lambda rows, path: ([rows[0] + [0], *rows[1:]], path), "does not have 3 elements"),
        (lambda rows, path: ([{}, *rows[1:]], path), "does not have 3 elements"),
        (lambda rows, path: ([[rows[0][0] + PRIME, *rows[0][1:]], *rows[1:]], path), "not a canonical element"),
        (lambda rows, path: ([[-1, *rows[0][1:]], *rows[1:]], path), "not a canonical element"),
        (lambda rows, path: ([[True, *rows[0][1:]], *rows[1:]], path), "not a canonical element"),
        (lambda rows, path: ([["1", *rows[0][1:]], *rows[1:]], path), "not a canonical element"),
        (lambda rows, path: (rows, path[:-1]), "does not have 4 siblings"),
        (lambda rows, path: (rows, [*path, path[0]]), "does not have 4 siblings"),
        (lambda rows, path: (rows, 7), "does not have 4 siblings"),
        (lambda rows, path: (rows, [path[0][:-1], *path[1:]]), "not a digest"),
        (lambda rows, path: (rows, [None, *path[1:]]), "not a digest"),
    ],
)
def test_malformed_openings_are_refused_by_form(opening, spoil, message):
    root, index, rows, path, hash = opening
    with pytest.raises(MerkleRefusal, match=message):
        verify(root, index, *spoil(rows, path), hash)


def test_impossible_shapes_are_the_callers_mistake():
    for heights, widths, index in (
        ([], [], 0),
        ([3], [1], 0),
        ([4], [1, 1], 0),
        ([4], [1], 4),
        ([4], [1], -1),
        ([0], [1], 0),
    ):
        with pytest.raises(KernelInputError):
            merkle.verify_opening((0,) * 9, heights, widths, index, [], [])
    with pytest.raises(KernelInputError, match="there is no leaf 4 among 4"):
        merkle.open(merkle.commit([[[1]] * 4]), 4)


def test_modes_of_the_hash_are_apart():
    """Count, domain, order and mode each change the digest."""
    digests = {
        poseidon2.hash_elements([], poseidon2.LEAF),
        poseidon2.hash_elements([0], poseidon2.LEAF),
        poseidon2.hash_elements([0] * 15, poseidon2.LEAF),
        poseidon2.hash_elements([0] * 16, poseidon2.LEAF),
        poseidon2.hash_elements([0] * 18, poseidon2.LEAF),
        poseidon2.hash_elements([0] * 18, poseidon2.LIST),
        poseidon2.compress((0,) * 9, (0,) * 9),
        poseidon2.compress((1,) + (0,) * 8, (0,) * 9),
        poseidon2.compress((0,) * 9, (1,) + (0,) * 8),
    }
    assert len(digests) == 9


def test_hash_refusals():
    for attempt in (
        lambda: poseidon2.permute([0] * 23),
        lambda: poseidon2.hash_elements([1], 0),
        lambda: poseidon2.hash_elements([1], PRIME),
        lambda: poseidon2.compress((0,) * 8, (0,) * 9),
        lambda: poseidon2.check_grind((0,) * 9, 0, 25),
        lambda: poseidon2.check_grind((0,) * 9, 0, -1),
    ):
        with pytest.raises(KernelInputError):
            attempt()
    assert not poseidon2.check_grind((0,) * 9, PRIME, 0)
    assert not poseidon2.check_grind((0,) * 9, -1, 0)
