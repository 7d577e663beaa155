"""
The values that the verifier computes with, handed to it from outside.

Statement
---------
The verifier is one set of functions. What an element is, and how hashes and sums over columns are computed, is the
business of an `Arithmetic`: its methods below are all that the verifier uses besides + - * on the values it gets from
it.

- `Plain`: integers and `Extension`, one query at a time. Needs no compiler. The meaning.
- `zkvm.protocol.batched.Batched`: the same values for all queries at once, on compiled kernels.
- later: recorded values, from which a circuit is made.

A lane is one query. Values that depend on the query (rows, indices, digests of paths) are lane values: single ones
here, arrays there.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, Protocol

import numpy as np

from zkvm.field import koala_bear
from zkvm.field.extension import DEGREE, ZERO, Extension
from zkvm.kernels.reference import poseidon2
from zkvm.kernels.reference.poseidon2 import Digest


class Arithmetic(Protocol):
    """What the verifier asks for. See `Plain` for the meaning of each."""

    def permute(self, state: Sequence[int]) -> list[int]: ...
    def check_grind(self, seed: Sequence[int], nonce: int, bit_count: int) -> bool: ...
    def lanes(self, indices: Sequence[int]) -> Iterator[tuple[Any, Any]]: ...
    def row(self, rows: np.ndarray, lane: Any) -> Any: ...
    def split(self, row: Any, widths: Sequence[int]) -> list[Any]: ...
    def extensions(self, values: np.ndarray, lane: Any) -> Sequence[Any]: ...
    def path(self, paths: np.ndarray, lane: Any) -> Sequence[Any]: ...
    def digest(self, digest: Digest) -> Any: ...
    def leaf(self, rows: Sequence[Any]) -> Any: ...
    def compress(self, index: Any, level: int, node: Any, sibling: Any) -> Any: ...
    def join(self, node: Any, other: Any) -> Any: ...
    def domain_point(self, log_height: int, index: Any, shift: int, inverse: bool = False) -> Any: ...
    def combine(self, row: Any, coefficients: Sequence[Extension]) -> Any: ...
    def divide(self, numerator: Any, denominator: Any) -> Any: ...
    def choose(self, options: Sequence[Any], index: Any) -> Any: ...
    def same(self, left: Any, right: Any) -> bool: ...


class Plain:
    """Integers and `Extension`; a lane is the number of a query."""

    def permute(self, state: Sequence[int]) -> list[int]:
        """The permutation of the transcript's sponge."""
        return poseidon2.permute(state)

    def check_grind(self, seed: Sequence[int], nonce: int, bit_count: int) -> bool:
        """Whether a nonce proves its work."""
        return poseidon2.check_grind(seed, nonce, bit_count)

    def lanes(self, indices: Sequence[int]) -> Iterator[tuple[int, int]]:
        """(lane, index) of the queries to check, one after another; all of them as one where lanes are arrays."""
        yield from enumerate(indices)

    def row(self, rows: np.ndarray, lane: int) -> list[int]:
        """The lane's row of `rows` (queries, width)."""
        return rows[lane].tolist()

    def split(self, row: list[int], widths: Sequence[int]) -> list[list[int]]:
        """A joined row cut into rows of these widths."""
        ends = list(accumulate(widths))
        return [row[end - width : end] for end, width in zip(ends, widths)]

    def extensions(self, values: np.ndarray, lane: int) -> list[Extension]:
        """The lane's elements of `values` (queries, count, 5)."""
        return [Extension(value) for value in values[lane].tolist()]

    def path(self, paths: np.ndarray, lane: int) -> list[Digest]:
        """The lane's siblings of `paths` (queries, depth, 9), from the leaves up."""
        return [tuple(digest) for digest in paths[lane].tolist()]

    def digest(self, digest: Digest) -> Digest:
        """A digest known to every lane."""
        return digest

    def leaf(self, rows: Sequence[list[int]]) -> Digest:
        """The digest of rows, joined."""
        return poseidon2.hash_elements([cell for row in rows for cell in row], poseidon2.LEAF)

    def compress(self, index: int, level: int, node: Digest, sibling: Digest) -> Digest:
        """The parent of node and sibling; the node is the right child where bit `level` of the index is 1."""
        if index >> level & 1:
            return poseidon2.compress(sibling, node)
        return poseidon2.compress(node, sibling)

    def join(self, node: Digest, other: Digest) -> Digest:
        """The compression of two digests in this order."""
        return poseidon2.compress(node, other)

    def domain_point(self, log_height: int, index: int, shift: int, inverse: bool = False) -> Extension:
        """shift * omega^(index mod 2^log_height), or its inverse."""
        point = shift * pow(koala_bear.two_adic_generator(log_height), index % 2**log_height, koala_bear.PRIME)
        return Extension.from_base(koala_bear.inverse(point) if inverse else point)

    def combine(self, row: list[int], coefficients: Sequence[Extension]) -> Extension:
        """sum of coefficient * cell."""
        sums = [0] * DEGREE
        for cell, coefficient in zip(row, coefficients, strict=True):
            for i, part in enumerate(coefficient.coefficients):
                sums[i] += cell * part
        return Extension(sums)

    def divide(self, numerator: Extension, denominator: Extension) -> Extension:
        """The quotient; 0 where the denominator is 0, which the verifier has excluded."""
        return numerator * denominator.inverse() if denominator else ZERO

    def choose(self, options: Sequence[Extension], index: int) -> Extension:
        """options[index]."""
        return options[index]

    def same(self, left: Any, right: Any) -> bool:
        """Equality of two values, in every lane."""
        return bool(left == right)
