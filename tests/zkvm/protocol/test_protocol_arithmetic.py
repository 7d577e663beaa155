"""Plain and batched values agree with each other and with the prover's kernels, on random input."""

import numpy as np
import pytest

from zkvm.field.extension import Extension
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.fast import extension, fri, merkle, montgomery
from zkvm.kernels.reference import merkle as reference_merkle
from zkvm.protocol.arithmetic import Plain
from zkvm.protocol.batched import Batched, ExtensionLanes
from zkvm.protocol.commitment import root_of_opening
from zkvm.protocol.low_degree import fold_coset
from zkvm.protocol.opening import batching_coefficients

RANDOM = np.random.default_rng(2026)


def elements(*shape):
    return RANDOM.integers(0, PRIME, size=shape, dtype=np.uint32)


def extensions(count):
    return [Extension(row) for row in elements(count, 5).tolist()]


def plainly(value, lane):
    """Lane `lane` of a batched value, as a plain one."""
    if isinstance(value, ExtensionLanes):
        return extension.to_elements(value.array)[lane]
    return tuple(montgomery.from_montgomery(value.copy(), 1)[:, lane].tolist())


@pytest.mark.parametrize("query_count", [1, 7, 16])
def test_every_method_means_the_same(query_count):
    plain, batched = Plain(), Batched()
    indices = RANDOM.integers(0, 2**7, size=query_count).tolist()
    rows, paths, values = elements(query_count, 9), elements(query_count, 4, 9), elements(query_count, 8, 5)
    coefficients = extensions(9)
    ((lanes, lane_indices),) = batched.lanes(indices)
    row = batched.row(rows, lanes)
    path = batched.path(paths, lanes)
    many = {
        "leaf": batched.leaf(batched.split(row, [2, 7])),
        "compress": batched.compress(lane_indices, 3, path[0], path[1]),
        "join": batched.join(path[2], path[3]),
        "combine": batched.combine(row, coefficients),
        "point": batched.domain_point(5, lane_indices, 3),
        "inverse": batched.domain_point(5, lane_indices, 3, inverse=True),
        "choose": batched.choose(batched.extensions(values, lanes), lane_indices % 8),
        "divide": batched.divide(batched.extensions(values, lanes)[0], batched.extensions(values, lanes)[1]),
    }
    for lane, index in plain.lanes(indices):
        row = plain.row(rows, lane)
        path = plain.path(paths, lane)
        one = {
            "leaf": plain.leaf(plain.split(row, [2, 7])),
            "compress": plain.compress(index, 3, path[0], path[1]),
            "join": plain.join(path[2], path[3]),
            "combine": plain.combine(row, coefficients),
            "point": plain.domain_point(5, index, 3),
            "inverse": plain.domain_point(5, index, 3, inverse=True),
            "choose": plain.choose(plain.extensions(values, lane), index % 8),
            "divide": plain.divide(plain.extensions(values, lane)[0], plain.extensions(values, lane)[1]),
        }
        assert {name: plainly(value, lane) for name, value in many.items()} == one


def test_lanes_add_subtract_and_multiply_like_elements():
    left, right, scalar = extensions(8), extensions(8), extensions(1)[0]
    a, b = ExtensionLanes(extension.from_elements(left)), ExtensionLanes(extension.from_elements(right))
    for lanes, single in (
        (a + b, [x + y for x, y in zip(left, right)]),
        (a - b, [x - y for x, y in zip(left, right)]),
        (a * b, [x * y for x, y in zip(left, right)]),
        (a * scalar + scalar - 5, [x * scalar + scalar - 5 for x in left]),
    ):
        assert extension.to_elements(lanes.array) == single


def test_same_compares_every_lane():
    batched = Batched()
    values = elements(8, 5)
    other = values.copy()
    other[5, 2] = (other[5, 2] + 1) % PRIME
    assert batched.same(ExtensionLanes(values), ExtensionLanes(values.copy()))
    assert not batched.same(ExtensionLanes(values), ExtensionLanes(other))


@pytest.mark.parametrize("arithmetic", [Plain(), Batched()], ids=["plain", "batched"])
def test_an_opening_leads_to_the_root_of_the_tree(arithmetic):
    matrices = [elements(8, 3), elements(32, 2), elements(8, 1), elements(32, 20)]
    tree = merkle.commit([montgomery.to_montgomery(matrix.copy()) for matrix in matrices], 1)
    indices = [0, 31, 13, 77]
    rows = np.concatenate([matrix[np.array(indices) % matrix.shape[0]] for matrix in matrices], axis=1)
    paths = merkle.open_many(tree, [index % 32 for index in indices])
    for lane, index in arithmetic.lanes(indices):
        parts = arithmetic.split(arithmetic.row(rows, lane), [3, 2, 1, 20])
        root = root_of_opening(arithmetic, [3, 5, 3, 5], parts, index, arithmetic.path(paths, lane))
        assert arithmetic.same(root, arithmetic.digest(tree.root))
    # The reference verifier of trees agrees.
    for position, index in enumerate(indices):
        opened = [matrix[index % matrix.shape[0]].tolist() for matrix in matrices]
        path = [tuple(digest) for digest in paths[position].tolist()]
        reference_merkle.verify_opening(tree.root, [8, 32, 8, 32], [3, 2, 1, 20], index % 32, opened, path)


@pytest.mark.parametrize("log_arity", [1, 2, 3, 4])
def test_folding_a_coset_is_the_kernel_at_that_row(log_arity):
    word = extensions(64)
    (challenge,) = extensions(1)
    folded = extension.to_elements(fri.fold(extension.from_elements(word), challenge, log_arity))
    length = 64 >> log_arity
    for index in range(length):
        assert fold_coset(Plain(), word[index::length], 6, index, challenge) == folded[index]


@pytest.mark.parametrize("count", [1, 2, 3, 8, 21])
def test_coefficients_are_the_tensor_product(count):
    challenges = extensions((count - 1).bit_length())
    coefficients = batching_coefficients(challenges, count)
    assert len(coefficients) == count
    for number, coefficient in enumerate(coefficients):
        expected = Extension.from_base(1)
        for bit, challenge in enumerate(challenges):
            if number >> bit & 1:
                expected = expected * challenge
        assert coefficient == expected
