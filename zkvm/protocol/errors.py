"""
What the protocol says when it says no.

Statement
---------
- A verifier answers with a `Refusal`: one of the reasons below, and a detail for people that names what failed.
- Every check of the verifier has a name, and the name fixes the reason: `CHECKS` is the whole list. A check that is not
  in it cannot be made (zkvm/protocol/checks.py), so the list is complete, and the tests that remove one check at a
  time run over it.
"""

from dataclasses import dataclass
from enum import Enum


class Reason(Enum):
    """Why a proof is refused."""

    MALFORMED = "malformed"
    """Not the encoding of a proof of this version: lengths, ranges, trailing bytes."""
    MACHINE = "other machine"
    """A proof about another machine than the verifier's."""
    PROGRAM = "other program"
    """Not the program that was asked for, or a key that contradicts itself."""
    SECURITY = "security too low"
    """The proof's parameters give fewer bits than the caller requires."""
    SHAPE = "shape not allowed"
    """A shard whose chips or heights the machine does not allow, or so large that counts could wrap."""
    CHAINING = "shards do not chain"
    """Shards swapped, dropped, repeated, or cut off; public values that contradict each other."""
    OUTPUT = "output not allowed"
    """An output that no run of this machine can have."""
    GRINDING = "proof of work missing"
    """A nonce without its low zero bits."""
    BUS = "bus not balanced"
    """Messages sent and received do not cancel."""
    CONSTRAINT = "constraint violated"
    """The constraints of a chip do not hold at the random point."""
    OPENING = "opening not committed"
    """A row that is not in the tree whose root was sent."""
    LOW_DEGREE = "not of low degree"
    """A word that is far from every polynomial of its degree."""


@dataclass(frozen=True)
class Refusal:
    """A verifier's no."""

    reason: Reason
    detail: str
    """Which check failed and where: shard, chip, bus, layer."""

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"


class RefusalError(Exception):
    """Carries a Refusal from the failed check to the verifier's caller."""

    def __init__(self, reason: Reason, detail: str) -> None:
        self.refusal = Refusal(reason, detail)
        super().__init__(str(self.refusal))


class ParametersError(ValueError):
    """Parameters outside the ranges that the protocol is defined for."""


class MachineError(ValueError):
    """A description of a machine that contradicts itself. Always the author's mistake."""


class ProverError(Exception):
    """The prover cannot go on: traces that break constraints, unbalanced buses, inconsistent sources."""


CHECKS: dict[str, Reason] = {
    # Form, before any arithmetic.
    "proof is well formed": Reason.MALFORMED,
    "machine digest": Reason.MACHINE,
    "security level": Reason.SECURITY,
    "rate of the fixed trees": Reason.SHAPE,
    "shard count": Reason.SHAPE,
    "kind exists": Reason.SHAPE,
    "chips of the kind": Reason.SHAPE,
    "height in bounds": Reason.SHAPE,
    "fixed table height": Reason.SHAPE,
    "count cannot wrap": Reason.SHAPE,
    "machine's own shape rule": Reason.SHAPE,
    # The statement.
    "program id": Reason.PROGRAM,
    "output length": Reason.OUTPUT,
    "output beyond its length": Reason.OUTPUT,
    "machine's own chaining rule": Reason.CHAINING,
    "shard order": Reason.CHAINING,
    # The global phase.
    "global nonce": Reason.GRINDING,
    "global sums": Reason.BUS,
    # Each shard, in transcript order.
    "local nonce": Reason.GRINDING,
    "local sums": Reason.BUS,
    "point outside the domain": Reason.CONSTRAINT,
    "constraints at the point": Reason.CONSTRAINT,
    "query nonce": Reason.GRINDING,
    "committed row": Reason.OPENING,
    "committed layer": Reason.OPENING,
    "layer value": Reason.LOW_DEGREE,
    "final polynomial": Reason.LOW_DEGREE,
}
"""Every check that the verifier makes, with the reason that its failure gives."""
