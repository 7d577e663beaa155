"""
What the protocol is told about a machine: data and a few functions, nothing about RISC-V.

Statement
---------
A `Machine` is chips, kinds of shards made of them, tables committed once, and the rules that only the verifier can
apply: the messages it sends itself, and how the public values of the shards fit together. The protocol proves: every
shard's chips satisfy their constraints, each shard's local messages cancel, the global messages of all shards cancel,
all together with the verifier's own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from zkvm.air.builder import MAXIMUM_DEGREE
from zkvm.air.bus import Bus
from zkvm.air.chip import Chip
from zkvm.air.expression import Phase
from zkvm.kernels.reference.poseidon2 import DIGEST_LENGTH, FIRST_FREE_DOMAIN, Digest, hash_elements
from zkvm.protocol.checks import Checks
from zkvm.protocol.errors import MachineError
from zkvm.protocol.logup import Message
from zkvm.protocol.parameters import MAXIMUM_LOG_HEIGHT, MINIMUM_LOG_HEIGHT

MACHINE_DOMAIN: int = FIRST_FREE_DOMAIN + 2
PROGRAM_DOMAIN: int = FIRST_FREE_DOMAIN + 3
STATEMENT_DOMAIN: int = FIRST_FREE_DOMAIN + 4
SHARD_LEAF_DOMAIN: int = FIRST_FREE_DOMAIN + 5

FIXED_LOG_BLOWUP: int = 1
"""The rate, 2^-1, at which machine tables and programs are committed: their roots are pinned, so a proof has no other."""

NO_DIGEST: Digest = (0,) * DIGEST_LENGTH
"""Stands where a tree would be if it had any column."""

MAXIMUM_OUTPUT_LENGTH: int = 256
"""Bytes of public output."""

MAXIMUM_SHARD_COUNT: int = 2**12
"""Bounds what a verifier reads before any arithmetic; and well below 2^16, by which tokens may move from shard to
shard."""


@dataclass(frozen=True)
class Slot:
    """A chip in a kind of shard. Heights are bounds on log2 of the rows; equal bounds fix it."""

    chip: str
    required: bool = False
    lowest: int = MINIMUM_LOG_HEIGHT
    highest: int = MAXIMUM_LOG_HEIGHT


@dataclass(frozen=True)
class ShardKind:
    """One kind of shard. publics: the names of its public values, in the order of the header."""

    name: str
    slots: tuple[Slot, ...]
    publics: tuple[str, ...]


@dataclass(frozen=True)
class MachineTables:
    """The fixed columns that belong to the machine: one tree, known to every verifier."""

    chips: tuple[str, ...]
    log_heights: tuple[int, ...]
    root: Digest


@dataclass(frozen=True)
class ShardHeader:
    """What a shard says before the global challenge."""

    index: int
    """From 1."""
    kind: int
    """Position in the machine's kinds."""
    log_heights: tuple[int, ...]
    """For each chip of the machine, in its order: log2 of the rows, or 0 where the chip is absent."""
    publics: tuple[int, ...]
    """Canonical elements, in the order of the kind's names."""
    boundary_root: Digest = NO_DIGEST

    def elements(self) -> list[int]:
        """What the leaf of the shard tree hashes; lengths follow from the machine."""
        return [self.index, self.kind, *self.log_heights, *self.publics, *self.boundary_root]


@dataclass(frozen=True)
class Statement:
    """What is claimed of the run."""

    output: bytes
    """At most 256 bytes."""
    last_shards: tuple[int, ...]
    """For each doubleword of OUTPUT: the last shard that touched it, 0 if none did."""
    shard_counts: tuple[int, ...]
    """Per kind, in the machine's order."""

    def elements(self) -> list[int]:
        """Length, 128 elements of two bytes each, last shards, counts."""
        padded = self.output.ljust(MAXIMUM_OUTPUT_LENGTH, b"\0")
        pairs = [padded[i] + 256 * padded[i + 1] for i in range(0, MAXIMUM_OUTPUT_LENGTH, 2)]
        return [len(self.output), *pairs, *self.last_shards, *self.shard_counts]

    def digest(self) -> Digest:
        """The fixed-size stand-in that every shard's transcript absorbs."""
        return hash_elements(self.elements(), STATEMENT_DOMAIN)


@dataclass(frozen=True)
class ProgramKey:
    """What the verifier needs of a program: computed from the ELF by the set-up, carried by the proof, bound by the
    program id."""

    root: Digest
    """Of the tree of the program's tables."""
    log_heights: tuple[int, ...]
    """Of those tables, in the machine's order."""
    entry: int
    """Where it starts; a canonical element."""

    def elements(self) -> list[int]:
        return [*self.root, *self.log_heights, self.entry]


def _no_rule(*_: object) -> None:
    return None


def _no_messages(*_: object) -> tuple[Message, ...]:
    return ()


@dataclass(frozen=True)
class Machine:
    """
    Chips, shards, tables and the verifier's own part.

    Rules raise through the Checks they are given: `checks.holds("machine's own chaining rule", condition, "what")`.
    They, and the functions that make messages, get values that an opponent chose: canonical elements of the right
    number, nothing more. They must not raise otherwise.
    """

    name: str
    chips: tuple[Chip, ...]
    kinds: tuple[ShardKind, ...]
    tables: MachineTables
    program_tables: tuple[str, ...] = ()
    layout: tuple[int, ...] = ()
    """Canonical elements that describe the memory map; part of the program id."""
    output_words: int = 0
    """How many entries Statement.last_shards has."""
    shape_rule: Callable[[Checks, ShardKind, Mapping[str, int]], None] = _no_rule
    """(checks, kind, log heights of the chips present)."""
    chaining_rule: Callable[[Checks, ProgramKey, Statement, Sequence[ShardHeader]], None] = _no_rule
    """Everything that ties public values of shards to each other, to the key and to the statement."""
    local_messages: Callable[[ShardKind, Mapping[str, int]], Sequence[Message]] = _no_messages
    """(kind, publics by name): the verifier's messages on a shard's local buses; as many as the kind says, whatever
    the values."""
    global_messages: Callable[[ProgramKey, Statement], Sequence[Message]] = _no_messages
    """The verifier's messages on the global buses."""

    def __post_init__(self) -> None:
        """Raises MachineError for a description that contradicts itself."""
        names = [chip.name for chip in self.chips]
        if len(set(names)) != len(names):
            raise MachineError("two chips have one name")
        fixed = [*self.tables.chips, *self.program_tables]
        having = [chip.name for chip in self.chips if chip.widths[Phase.FIXED]]
        if sorted(fixed) != sorted(having):
            raise MachineError(f"fixed columns: tables list {fixed}, chips that have them are {having}")
        buses: dict[int, Bus] = {}
        for chip in self.chips:
            for message in chip.messages:
                if buses.setdefault(message.bus.identifier, message.bus) != message.bus:
                    raise MachineError(f"two buses have the identifier {message.bus.identifier}")
        for kind in self.kinds:
            for slot in kind.slots:
                if slot.chip not in names:
                    raise MachineError(f"kind {kind.name}: there is no chip {slot.chip}")
                chip = self.chips[names.index(slot.chip)]
                missing = set(chip.publics) - set(kind.publics)
                if missing:
                    raise MachineError(f"kind {kind.name} lacks publics of chip {slot.chip}: {sorted(missing)}")
                tall_enough = max(chip.minimum_height, 2**MINIMUM_LOG_HEIGHT) <= 2**slot.lowest
                if not tall_enough or slot.highest > MAXIMUM_LOG_HEIGHT:
                    raise MachineError(f"kind {kind.name}: the heights of chip {slot.chip}")
                if chip.degree > MAXIMUM_DEGREE:
                    raise MachineError(f"chip {slot.chip} has degree {chip.degree}")

    @cached_property
    def digest(self) -> Digest:
        """The machine's identity: chips with every constraint and message, kinds, tables, layout."""
        description = [self.name, *(f"{chip.name}={chip.digest}" for chip in self.chips)]
        for kind in self.kinds:
            slots = ",".join(f"{s.chip}:{int(s.required)}:{s.lowest}:{s.highest}" for s in kind.slots)
            description.append(f"kind {kind.name}({','.join(kind.publics)})[{slots}]")
        description.append(f"tables {self.tables.chips} {self.tables.log_heights} program {self.program_tables}")
        description.append(f"layout {self.layout} output {self.output_words}")
        text = "\n".join(description).encode()
        return hash_elements([len(text), *text, *self.tables.root], MACHINE_DOMAIN)

    @cached_property
    def chip_index(self) -> dict[str, int]:
        return {chip.name: i for i, chip in enumerate(self.chips)}

    def program_id(self, key: ProgramKey) -> Digest:
        """H(machine digest, program root, heights of its tables, entry, memory layout)."""
        return hash_elements([*self.digest, *key.elements(), *self.layout], PROGRAM_DOMAIN)
