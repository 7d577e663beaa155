"""
The verifier's values for all queries at once, on compiled kernels. What each method means: arithmetic.Plain.

A lane value is an array with one entry per query, Montgomery form: rows [queries, width], digests [9, queries],
extension elements an `ExtensionLanes`. Lanes are filled up to a power of two by repeating the last query, because
kernels want one.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Union

import numpy as np

from zkvm.field import koala_bear
from zkvm.field.extension import DEGREE, Extension
from zkvm.kernels.fast import extension, montgomery
from zkvm.kernels.fast import poseidon2 as fast_poseidon2
from zkvm.kernels.reference import poseidon2
from zkvm.kernels.reference.poseidon2 import Digest

Scalar = Union["ExtensionLanes", Extension, int]


class ExtensionLanes:
    """One extension element per query: [queries, 5] uint32, Montgomery form."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def _other(self, other: Scalar) -> np.ndarray:
        if isinstance(other, ExtensionLanes):
            return other.array
        if isinstance(other, int):
            other = Extension.from_base(other)
        return np.repeat(extension.from_elements([other]), self.array.shape[0], axis=0)

    def __add__(self, other: Scalar) -> "ExtensionLanes":
        return ExtensionLanes(extension.add(self.array, self._other(other), threads=1))

    def __sub__(self, other: Scalar) -> "ExtensionLanes":
        return ExtensionLanes(extension.subtract(self.array, self._other(other), threads=1))

    def __mul__(self, other: Scalar) -> "ExtensionLanes":
        if isinstance(other, ExtensionLanes):
            return ExtensionLanes(extension.multiply(self.array, other.array, threads=1))
        factor = other if isinstance(other, Extension) else Extension.from_base(other)
        return ExtensionLanes(extension.scale(self.array, factor, threads=1))


class Batched:
    """All queries in one lane; a lane is the array of query numbers."""

    def permute(self, state: Sequence[int]) -> list[int]:
        array = montgomery.to_montgomery(np.array([state], dtype=np.uint32), 1)
        return montgomery.from_montgomery(fast_poseidon2.permute(array, 1), 1)[0].tolist()

    def check_grind(self, seed: Sequence[int], nonce: int, bit_count: int) -> bool:
        return poseidon2.check_grind(seed, nonce, bit_count)

    def lanes(self, indices: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        count = len(indices)
        lane = np.minimum(np.arange(1 << (count - 1).bit_length()), count - 1)
        yield lane, np.array(indices, dtype=np.int64)[lane]

    def row(self, rows: np.ndarray, lane: np.ndarray) -> np.ndarray:
        return _montgomery(rows[lane])

    def split(self, row: np.ndarray, widths: Sequence[int]) -> list[np.ndarray]:
        ends = list(accumulate(widths))
        return [np.ascontiguousarray(row[:, end - width : end]) for end, width in zip(ends, widths)]

    def extensions(self, values: np.ndarray, lane: np.ndarray) -> list[ExtensionLanes]:
        chosen = _montgomery(values[lane])
        return [ExtensionLanes(np.ascontiguousarray(chosen[:, i])) for i in range(values.shape[1])]

    def path(self, paths: np.ndarray, lane: np.ndarray) -> list[np.ndarray]:
        chosen = _montgomery(np.ascontiguousarray(paths[lane].transpose(1, 2, 0)))
        return list(chosen)

    def digest(self, digest: Digest) -> np.ndarray:
        return montgomery.to_montgomery(np.array([digest], dtype=np.uint32).T.copy(), 1)

    def leaf(self, rows: Sequence[np.ndarray]) -> np.ndarray:
        return fast_poseidon2.hash_rows(rows, 1)

    def compress(self, index: np.ndarray, level: int, node: np.ndarray, sibling: np.ndarray) -> np.ndarray:
        is_right = (index >> level & 1).astype(bool)
        left, right = np.where(is_right, sibling, node), np.where(is_right, node, sibling)
        return fast_poseidon2.compress_layer(left, right, 1)

    def join(self, node: np.ndarray, other: np.ndarray) -> np.ndarray:
        return fast_poseidon2.compress_layer(node, other, 1)

    def domain_point(self, log_height: int, index: np.ndarray, shift: int, inverse: bool = False) -> ExtensionLanes:
        root = koala_bear.two_adic_generator(log_height)
        points = [shift * pow(root, i, koala_bear.PRIME) % koala_bear.PRIME for i in (index % 2**log_height).tolist()]
        if inverse:
            points = koala_bear.batch_inverse(points)
        array = np.zeros((len(points), DEGREE), dtype=np.uint32)
        array[:, 0] = points
        return ExtensionLanes(montgomery.to_montgomery(array, 1))

    def combine(self, row: np.ndarray, coefficients: Sequence[Extension]) -> ExtensionLanes:
        out = np.zeros((row.shape[0], DEGREE), dtype=np.uint32)
        return ExtensionLanes(extension.combine_columns(row, extension.from_elements(coefficients), out, 1))

    def divide(self, numerator: ExtensionLanes, denominator: ExtensionLanes) -> ExtensionLanes:
        return numerator * ExtensionLanes(extension.batch_inverse(denominator.array, threads=1))

    def choose(self, options: Sequence[ExtensionLanes], index: np.ndarray) -> ExtensionLanes:
        stacked = np.stack([option.array for option in options])
        return ExtensionLanes(stacked[index, np.arange(index.size)])

    def same(self, left: Any, right: Any) -> bool:
        if isinstance(left, ExtensionLanes):
            left = left.array
        if isinstance(right, ExtensionLanes):
            right = right.array
        # A digest known to every lane is one column; broadcasting compares it with all. Both sides are canonical
        # representatives.
        return bool(np.all(left == right))


def _montgomery(array: np.ndarray) -> np.ndarray:
    return montgomery.to_montgomery(np.array(array, dtype=np.uint32, order="C"), 1)
