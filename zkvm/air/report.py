"""What the row checker and the bus balance found: plain data that prints as sentences."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """A constraint that is not 0 on a row."""

    chip: str
    row: int
    constraint: str
    value: int
    guards: tuple[str, ...] = ()

    def __str__(self) -> str:
        guards = f" ({', '.join(self.guards)})" if self.guards else ""
        return f"{self.chip} row {self.row}: {self.constraint}{guards}: {self.value}, not 0"


@dataclass(frozen=True)
class Report:
    """
    Every failing (row, constraint), in order of constraints, then rows.

    failures:      up to the limit that was asked for.
    failure_count: all of them.
    """

    chip: str
    failures: tuple[Failure, ...]
    failure_count: int

    @property
    def is_valid(self) -> bool:
        """Whether every constraint holds on every row."""
        return self.failure_count == 0

    @property
    def constraints(self) -> tuple[str, ...]:
        """The names of the failing constraints, each once."""
        return tuple(dict.fromkeys(f.constraint for f in self.failures))

    def __bool__(self) -> bool:
        return self.is_valid

    def __str__(self) -> str:
        if self.is_valid:
            return f"{self.chip}: every constraint holds on every row"
        lines = [str(f) for f in self.failures]
        if self.failure_count > len(self.failures):
            lines.append(f"{self.chip}: and {self.failure_count - len(self.failures)} more")
        return "\n".join(lines)


@dataclass(frozen=True)
class Origin:
    """Where a tuple was sent or received. count is signed modulo p, in (-p/2, p/2): positive for a send."""

    chip: str
    row: int
    message: str
    count: int
    shard: int = 0

    def __str__(self) -> str:
        verb = "sent" if self.count > 0 else "received"
        return f"{self.chip} row {self.row} ({self.message}) {verb} it {abs(self.count)} times"


@dataclass(frozen=True)
class Imbalance:
    """
    A tuple whose counts do not add up to 0 mod p.

    surplus: sends minus receives, as a signed integer in (-p/2, p/2).
    origins: everyone who sent or received it, up to the limit asked for.
    shard:   the shard of a local bus; None for a global bus.
    """

    bus: str
    values: tuple[int, ...]
    surplus: int
    origins: tuple[Origin, ...]
    shard: int | None

    def __str__(self) -> str:
        kind = "sent but not received" if self.surplus > 0 else "received but not sent"
        where = "" if self.shard is None else f" in shard {self.shard}"
        head = f"bus {self.bus}{where}: {self.values} {kind}, {abs(self.surplus)} times too often"
        return "\n".join([head, *(f"    {origin}" for origin in self.origins)])


@dataclass(frozen=True)
class BusReport:
    """Every unbalanced tuple, by bus, then in order of first appearance; `imbalances` up to the limit asked for."""

    imbalances: tuple[Imbalance, ...]
    imbalance_count: int

    @property
    def is_balanced(self) -> bool:
        """Whether every tuple was sent as often as received."""
        return self.imbalance_count == 0

    @property
    def buses(self) -> tuple[str, ...]:
        """The names of the unbalanced buses, each once."""
        return tuple(dict.fromkeys(i.bus for i in self.imbalances))

    def __bool__(self) -> bool:
        return self.is_balanced

    def __str__(self) -> str:
        if self.is_balanced:
            return "every bus is balanced"
        lines = [str(i) for i in self.imbalances]
        if self.imbalance_count > len(self.imbalances):
            lines.append(f"and {self.imbalance_count - len(self.imbalances)} more tuples")
        return "\n".join(lines)
