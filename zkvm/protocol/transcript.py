"""
The transcript: a duplex sponge over Poseidon2 that turns what the prover sent into what the verifier asks.

Statement
---------
The state is 15 elements of rate, then 9 of capacity, at first (0, ..., 0 | 0, domain, 0, ..., 0).
- absorb: elements queue up. When 15 are waiting, or a challenge is asked for, the block of n waiting elements, filled
  up with zeros, replaces the rate; n is added to the first capacity element; then the permutation.
- draw: the rate after a permutation holds 15 elements to give out, in order; when they are used up, the permutation is
  applied again (n = 0 and the rate stays, so that asking for more never looks like absorbing). What is left of them is
  dropped at the next absorption.
- grind: nine drawn elements are the seed of a proof of work; its nonce is absorbed.

Every length that is absorbed follows from the shape, which is absorbed before it, so no lengths are framed.
Security: a duplex construction with capacity 9 x 30.99 bits: indifferentiable up to 2^139.4 permutations (Bertoni et
al., Duplexing the sponge, 2011). The domains 16.. keep it apart from the hashes of kernels/reference/poseidon2.py.

Every absorption and draw has a label. Labels are not hashed: the order is fixed by this version of the protocol, and
tests/soundness/transcript/inventory.txt lists it.
"""

from collections.abc import Sequence
from typing import Protocol

from zkvm.field.extension import DEGREE, Extension
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.reference.poseidon2 import CAPACITY, DIGEST_LENGTH, FIRST_FREE_DOMAIN, RATE

GLOBAL_TRANSCRIPT: int = FIRST_FREE_DOMAIN
"""Domain of the transcript that the global challenge comes from."""
SHARD_TRANSCRIPT: int = FIRST_FREE_DOMAIN + 1
"""Domain of a shard's transcript."""


class Permutation(Protocol):
    """The part of a hash that the transcript needs."""

    def permute(self, state: Sequence[int]) -> list[int]: ...


class Transcript:
    """
    One run of the protocol as the verifier hears it. Elements are canonical; a challenge is an `Extension`.

    hash: supplies `permute` on 24 elements.
    domain: which transcript this is.
    """

    def __init__(self, hash: Permutation, domain: int) -> None:
        self._hash = hash
        self._state = [0] * RATE + [0, domain] + [0] * (CAPACITY - 2)
        self._waiting: list[int] = []
        self._drawable: list[int] = []

    def absorb(self, label: str, elements: Sequence[int]) -> None:
        """Binds everything drawn later to these elements."""
        self._drawable = []
        waiting = [*self._waiting, *elements]
        full = len(waiting) - len(waiting) % RATE
        for start in range(0, full, RATE):
            self._absorb_block(waiting[start : start + RATE])
        self._waiting = waiting[full:]

    def absorb_extensions(self, label: str, elements: Sequence[Extension]) -> None:
        """Absorbs the five coefficients of each element in turn."""
        self.absorb(label, [coefficient for element in elements for coefficient in element.coefficients])

    def challenge(self, label: str) -> Extension:
        """A uniform element of the extension."""
        return Extension(self._draw(DEGREE))

    def indices(self, label: str, count: int, bit_count: int) -> list[int]:
        """
        Indices of bit_count <= 24 bits: the low bits of one drawn element each.

        p = 1 mod 2^24: index 0 comes out with probability 2^-bit_count + 2^-31 at most, which moves the query phase by
        less than 2^-20 bits.
        """
        return [element % 2**bit_count for element in self._draw(count)]

    def seed(self, label: str) -> tuple[int, ...]:
        """A digest of everything so far, for a proof of work; its nonce is to be absorbed next."""
        return tuple(self._draw(DIGEST_LENGTH))

    def _draw(self, count: int) -> list[int]:
        drawn: list[int] = []
        while len(drawn) < count:
            if not self._drawable:
                self._absorb_block(self._waiting)
                self._waiting = []
                self._drawable = self._state[:RATE]
            take = count - len(drawn)
            drawn += self._drawable[:take]
            self._drawable = self._drawable[take:]
        return drawn

    def _absorb_block(self, block: Sequence[int]) -> None:
        """At most 15 elements; none when more is drawn than one permutation gives."""
        rate = [*block, *[0] * (RATE - len(block))] if block else self._state[:RATE]
        length, *capacity = self._state[RATE:]
        self._state = self._hash.permute([*rate, (length + len(block)) % PRIME, *capacity])
