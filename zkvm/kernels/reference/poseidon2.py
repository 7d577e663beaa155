"""
Poseidon2 over KoalaBear at width 24, and the three ways in which it is used.

The permutation
---------------
P: 24 elements -> 24 elements. An external linear layer, 4 full rounds, 23 partial rounds, 4 full rounds.
- full round: add 24 constants, cube every element, external layer;
- partial round: add one constant to element 0, cube element 0, internal layer.
Source: Grassi, Khovratovich, Schofnegger, Poseidon2 (eprint 2023/323); constants and matrices as published by Plonky3.

`hash_elements(elements, domain)`: a sponge in overwrite mode
-------------------------------------------------------------
The state is 15 elements of rate, then 9 of capacity. The capacity starts as (element count, domain, 0, ..., 0). Each
block of up to 15 elements, the last filled up with zeros, replaces the rate; then P. No elements at all still cost
one P. The digest is the first 9 elements of the final state.

Security, P taken for a random permutation: the sponge is indifferentiable from a random function up to about
sqrt(p^9) = 2^139.4 queries (Bertoni et al., On the indifferentiability of the sponge construction, 2008; overwriting
is as good as adding: Duplexing the sponge, 2011, section 6.2). Messages of different count or domain start from
different capacities; for one count, filling up with zeros is injective. Nine digest elements are 278.9 bits, so
collisions cost 2^139.4 there too.

`compress(left, right)`: two digests to one
-------------------------------------------
x = left || right || (COMPRESS, 0, 0, 0, 0, 0); the result is the first 9 elements of P(x) + x. One permutation
instead of two.
Security, again for a random permutation, against fewer than 2^139 queries: every forward query gives nine elements
that look uniform, so collisions cost 2^139.4. A backward query is of use only if x then shows the six constant
elements, which it does with probability 2^-186. Adding x makes the function hard to invert even where that happens.
The two modes cannot meet: element 18 of a first sponge state is 0, and COMPRESS in a compression; a later sponge state
looks like a compression only if six elements of capacity come out right, 2^-186 each time. Whoever uses P in a third
way must keep to the same rule: element 18 zero in every state that is not the output of P.

`check_grind(digest, nonce, bit_count)`: proof of work
------------------------------------------------------
Element 0 of hash_elements(digest || nonce, GRIND) has bit_count low zero bits. p = 1 mod 2^24, hence the share of
elements with k <= 24 low zero bits is 2^-k up to a factor 1 + 2^(k-31).

All values are canonical integers. `permute`, `hash_elements` and `compress` neither compare elements nor branch on
them.
"""

from collections.abc import Sequence

from zkvm.field.koala_bear import PRIME
from zkvm.kernels.constants.poseidon2 import (
    DIAGONAL_MINUS_ONE,
    FINAL_ROUND_CONSTANTS,
    INITIAL_ROUND_CONSTANTS,
    PARTIAL_ROUND_CONSTANTS,
    WIDTH,
)
from zkvm.kernels.errors import KernelInputError

RATE: int = 15
CAPACITY: int = 9
"""Nine, because eight elements bound collisions at 2^124 only."""
DIGEST_LENGTH: int = 9

Digest = tuple[int, ...]
"""Nine canonical elements."""

LEAF: int = 1
"""Domain of a row of a committed matrix."""
COMPRESS: int = 2
"""Tag of a compression; kept apart from every sponge domain by its place in the state."""
LIST: int = 3
"""Domain of a list of elements outside trees: statements, shapes, identifiers."""
GRIND: int = 4
"""Domain of proof of work."""
FIRST_FREE_DOMAIN: int = 16
"""Protocols number their own domains from here."""

MAXIMUM_ELEMENT_COUNT: int = 2**24
MAXIMUM_GRIND_BIT_COUNT: int = 24


def permute(state: Sequence[int]) -> list[int]:
    """
    P of 24 canonical elements, as a new list.

    Raises KernelInputError unless there are 24.
    """
    if len(state) != WIDTH:
        raise KernelInputError(f"a Poseidon2 state has {WIDTH} elements, not {len(state)}")
    state = _external_layer(list(state))
    for constants in INITIAL_ROUND_CONSTANTS:
        state = _external_layer([_cube(element + constant) for element, constant in zip(state, constants)])
    for constant in PARTIAL_ROUND_CONSTANTS:
        state = _internal_layer([_cube(state[0] + constant), *state[1:]])
    for constants in FINAL_ROUND_CONSTANTS:
        state = _external_layer([_cube(element + constant) for element, constant in zip(state, constants)])
    return state


def hash_elements(elements: Sequence[int], domain: int) -> Digest:
    """
    The digest of up to 2^24 canonical elements in a domain.

    domain: 0 < domain < p; one of this module's, or a protocol's own from FIRST_FREE_DOMAIN on.
    Raises KernelInputError outside these ranges.
    """
    if len(elements) > MAXIMUM_ELEMENT_COUNT or not 0 < domain < PRIME:
        raise KernelInputError(f"cannot hash {len(elements)} elements in domain {domain}")
    state = [0] * RATE + [len(elements), domain] + [0] * (CAPACITY - 2)
    for start in range(0, max(len(elements), 1), RATE):
        block = list(elements[start : start + RATE])
        block += [0] * (RATE - len(block))
        state = permute(block + state[RATE:])
    return tuple(state[:DIGEST_LENGTH])


def compress(left: Sequence[int], right: Sequence[int]) -> Digest:
    """
    One digest from two; order matters.

    Raises KernelInputError unless both have 9 elements.
    """
    if len(left) != DIGEST_LENGTH or len(right) != DIGEST_LENGTH:
        raise KernelInputError(f"digests have {DIGEST_LENGTH} elements, not {len(left)} and {len(right)}")
    before = [*left, *right, COMPRESS] + [0] * (WIDTH - 2 * DIGEST_LENGTH - 1)
    after = permute(before)
    return tuple((after[i] + before[i]) % PRIME for i in range(DIGEST_LENGTH))


def compress_layer(left: Sequence[Digest], right: Sequence[Digest]) -> list[Digest]:
    """compress(left[i], right[i]) for every i."""
    return [compress(a, b) for a, b in zip(left, right, strict=True)]


def compress_to_parent(layer: Sequence[Digest]) -> list[Digest]:
    """The layer above: compress(layer[i], layer[i + half]) for i < half."""
    half = len(layer) // 2
    return compress_layer(layer[:half], layer[half:])


def hash_rows(matrices: Sequence[Sequence[Sequence[int]]]) -> list[Digest]:
    """For matrices of equal height: the leaf digest of row i of all of them, joined in the order given."""
    return [hash_elements([element for row in rows for element in row], LEAF) for rows in zip(*matrices, strict=True)]


def check_grind(digest: Sequence[int], nonce: int, bit_count: int) -> bool:
    """
    Whether the nonce proves bit_count bits of work over the digest.

    Raises KernelInputError unless 0 <= bit_count <= 24. A nonce outside [0, p) proves nothing.
    """
    if not 0 <= bit_count <= MAXIMUM_GRIND_BIT_COUNT:
        raise KernelInputError(f"cannot grind {bit_count} bits: 0 to {MAXIMUM_GRIND_BIT_COUNT}")
    if not 0 <= nonce < PRIME:
        return False
    return hash_elements([*digest, nonce], GRIND)[0] % 2**bit_count == 0


def grind(digest: Sequence[int], bit_count: int) -> int:
    """The smallest nonce that `check_grind` accepts; 2^bit_count tries on average."""
    nonce = 0
    while not check_grind(digest, nonce, bit_count):
        nonce += 1
    return nonce


def _cube(element: int) -> int:
    return element * element * element % PRIME


def _external_layer(state: list[int]) -> list[int]:
    # circ(2M, M, ..., M) with M = circ(2, 3, 1, 1) on groups of four: M on each group, then the sum over groups is
    # added.
    mixed = []
    for i in range(0, WIDTH, 4):
        a, b, c, d = state[i : i + 4]
        total = a + b + c + d
        mixed += [total + a + 2 * b, total + b + 2 * c, total + c + 2 * d, total + d + 2 * a]
    sums = [sum(mixed[k::4]) for k in range(4)]
    return [(mixed[i] + sums[i % 4]) % PRIME for i in range(WIDTH)]


def _internal_layer(state: list[int]) -> list[int]:
    total = sum(state)
    return [(total + factor * element) % PRIME for factor, element in zip(DIAGONAL_MINUS_ONE, state)]
