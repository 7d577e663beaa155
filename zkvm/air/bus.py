"""Buses: the named channels on which chips send and receive tuples of field elements."""

from dataclasses import dataclass
from typing import Literal

from zkvm.air.errors import DeclarationError
from zkvm.field.koala_bear import PRIME


@dataclass(frozen=True)
class Bus:
    """
    A channel. What is sent on it, with counts, equals what is received: per shard if local, over all shards if global.

    identifier: in [1, p), unique in a machine; it leads every tuple, so tuples of different buses never cancel.
    fields:     the names of the tuple's elements; their number is the bus's width.
    scope:      "local": balanced within a shard, under the shard's own challenge. "global": balanced over all shards,
                under the global challenge, hence only from columns committed before it.

    Soundness is the caller's in one point: sums of counts must stay below p (the verifier bounds height x messages x
    largest count).
    """

    name: str
    identifier: int
    fields: tuple[str, ...]
    scope: Literal["local", "global"] = "local"

    def __post_init__(self) -> None:
        object.__setattr__(self, "fields", tuple(self.fields))
        if not self.name:
            raise DeclarationError("a bus has a name")
        if not 0 < self.identifier < PRIME:
            raise DeclarationError(f"bus {self.name}: the identifier lies in [1, p), not {self.identifier}")
        if not self.fields or len(set(self.fields)) != len(self.fields):
            raise DeclarationError(f"bus {self.name}: needs at least one field, all with different names")
        if self.scope not in ("local", "global"):
            raise DeclarationError(f"bus {self.name}: the scope is local or global, not {self.scope!r}")

    @property
    def width(self) -> int:
        """Number of elements of a tuple, the identifier not counted."""
        return len(self.fields)
