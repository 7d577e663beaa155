"""
What the shape of a shard determines: trees, the order of openings, folds, lengths, limits.

Statement
---------
`ShardPlan` is computed by prover and verifier alike from (machine, key heights, kind, heights, parameters). The proof
of a shard is then a list of fields of known lengths, `ShardPlan.schema`; nothing about its form is read from the proof
itself.

Trees of a shard, in transcript order: the fixed ones (machine, program), then one per phase: boundary, main,
auxiliary, quotient. A tree holds the matrices of the chips that have columns in its phase, in machine order. A fixed
tree holds all of its matrices, those of absent chips too: their rows are opened so that the path can be checked, but
take no part in the batch.

Openings, numbered in this order: tree by tree, chip by chip, all columns at z, then those columns that a constraint
reads on the next row at z * omega_n.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

from zkvm.field.extension import DEGREE, Extension
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.reference.poseidon2 import DIGEST_LENGTH, Digest
from zkvm.protocol.checks import Checks
from zkvm.protocol.constraints import ChipFacts, chip_facts
from zkvm.protocol.logup import Message
from zkvm.protocol.machine import MAXIMUM_SHARD_COUNT, Machine, ProgramKey, ShardHeader, ShardKind, Slot
from zkvm.protocol.parameters import MAXIMUM_LOG_HEIGHT, MINIMUM_LOG_HEIGHT, Fold, Parameters, fold_schedule
from zkvm.protocol.security import ShardFacts

FIXED_TREES = ("machine", "program")
QUOTIENT_CHUNK_COUNT: int = 2
"""The quotient of a degree-3 constraint has degree below 2n: two polynomials of degree below n, low and high
coefficients."""
QUOTIENT_WIDTH: int = QUOTIENT_CHUNK_COUNT * DEGREE


@dataclass(frozen=True)
class Entry:
    """One matrix in a tree."""

    chip: str
    log_height: int
    """Of the trace; its extension is 2^log_blowup times taller."""
    width: int
    next_columns: tuple[int, ...]
    """Opened at z * omega_n as well."""
    is_opened: bool
    """Whether the shard has this chip. Only fixed trees hold others."""


@dataclass(frozen=True)
class Tree:
    """One commitment of a shard."""

    name: str
    entries: tuple[Entry, ...]

    @property
    def log_height(self) -> int:
        """Of the tallest trace in it."""
        return max(entry.log_height for entry in self.entries)

    @property
    def width(self) -> int:
        return sum(entry.width for entry in self.entries)


@dataclass(frozen=True)
class Opening:
    """A run of consecutive openings: some columns of one matrix at one of its two points."""

    tree: int
    entry: int
    is_next: bool
    columns: tuple[int, ...]
    first: int
    """Number of the first of them."""


@dataclass(frozen=True)
class ShardPlan:
    """See the module docstring."""

    kind: ShardKind
    chips: tuple[tuple[ChipFacts, int], ...]
    """The chips present with log2 of their rows, in machine order."""
    trees: tuple[Tree, ...]
    parameters: Parameters
    program_root: Digest
    own_local_weight: int
    """Sum over the verifier's own messages on local buses of (fields + 1)."""

    @classmethod
    def of(cls, machine: Machine, key: ProgramKey, header: ShardHeader, parameters: Parameters) -> "ShardPlan":
        """The plan of a shard whose header `check_shape` has accepted."""
        kind = machine.kinds[header.kind]
        present = {chip.name: height for chip, height in zip(machine.chips, header.log_heights) if height}
        chips = tuple((chip_facts(chip), present[chip.name]) for chip in machine.chips if chip.name in present)

        fixed = (
            (machine.tables.chips, machine.tables.log_heights),
            (machine.program_tables, key.log_heights),
        )
        trees = []
        for name, (table_chips, table_heights) in zip(FIXED_TREES, fixed):
            if not any(chip in present for chip in table_chips):
                continue
            entries = []
            for chip_name, height in zip(table_chips, table_heights):
                facts = chip_facts(machine.chips[machine.chip_index[chip_name]])
                entries.append(Entry(chip_name, height, facts.fixed_width, facts.fixed_next, chip_name in present))
            trees.append(Tree(name, tuple(entries)))
        for name, width, next_columns in (
            ("boundary", lambda f: f.boundary_width, lambda f: f.boundary_next),
            ("main", lambda f: f.main_width, lambda f: f.main_next),
            ("auxiliary", lambda f: f.auxiliary_width, lambda f: f.auxiliary_next),
            ("quotient", lambda f: QUOTIENT_WIDTH, lambda f: ()),
        ):
            entries = [Entry(f.name, height, width(f), next_columns(f), True) for f, height in chips if width(f)]
            if entries:
                trees.append(Tree(name, tuple(entries)))
        own = machine.local_messages(kind, dict(zip(kind.publics, header.publics)))
        return cls(kind, chips, tuple(trees), parameters, key.root, messages_weight(own))

    @cached_property
    def tree_index(self) -> dict[str, int]:
        return {tree.name: i for i, tree in enumerate(self.trees)}

    @cached_property
    def openings(self) -> tuple[Opening, ...]:
        openings = []
        first = 0
        for tree_number, tree in enumerate(self.trees):
            for entry_number, entry in enumerate(tree.entries):
                if not entry.is_opened:
                    continue
                for is_next, columns in ((False, tuple(range(entry.width))), (True, entry.next_columns)):
                    if columns:
                        openings.append(Opening(tree_number, entry_number, is_next, columns, first))
                        first += len(columns)
        return tuple(openings)

    @cached_property
    def opened_count(self) -> int:
        last = self.openings[-1]
        return last.first + len(last.columns)

    @cached_property
    def batching_challenge_count(self) -> int:
        """ceil(log2 of the number of openings)."""
        return (self.opened_count - 1).bit_length()

    @cached_property
    def log_heights(self) -> tuple[int, ...]:
        """The different heights of the traces present, tallest first."""
        return tuple(sorted({height for _, height in self.chips}, reverse=True))

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        return fold_schedule((height + self.parameters.log_blowup for height in self.log_heights), self.parameters)

    @property
    def log_query_domain(self) -> int:
        """Bits of a query index: log2 of the tallest extension."""
        return self.log_heights[0] + self.parameters.log_blowup

    @cached_property
    def schema(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """The fields of the shard's proof in transcript order, each an array of canonical elements of this shape."""
        parameters, queries = self.parameters, self.parameters.query_count
        sums = sum(facts.has_local + facts.has_global for facts, _ in self.chips)
        schema: list[tuple[str, tuple[int, ...]]] = []
        if "main" in self.tree_index:
            schema.append(("main root", (DIGEST_LENGTH,)))
        schema.append(("local nonce", (1,)))
        if "auxiliary" in self.tree_index:
            schema.append(("auxiliary root", (DIGEST_LENGTH,)))
        schema.append(("sums", (sums, DEGREE)))
        schema.append(("quotient root", (DIGEST_LENGTH,)))
        schema.append(("openings", (self.opened_count, DEGREE)))
        schema.append(("layer roots", (len(self.folds), DIGEST_LENGTH)))
        schema.append(("final polynomial", (parameters.final_coefficient_count, DEGREE)))
        schema.append(("query nonce", (1,)))
        for tree in self.trees:
            depth = tree.log_height + parameters.log_blowup
            schema.append((f"{tree.name} rows", (queries, tree.width)))
            schema.append((f"{tree.name} paths", (queries, depth, DIGEST_LENGTH)))
        for i, fold in enumerate(self.folds):
            schema.append((f"layer {i} values", (queries, 2**fold.log_arity, DEGREE)))
            schema.append((f"layer {i} paths", (queries, fold.log_height - fold.log_arity, DIGEST_LENGTH)))
        return tuple(schema)

    @cached_property
    def element_count(self) -> int:
        """Elements of the shard's proof."""
        return sum(prod(shape) for _, shape in self.schema)

    def sums_by_chip(self, sums: Sequence[Extension]) -> dict[str, dict[str, Extension]]:
        """The field "sums" by chip and scope: per chip its local sum, then its global one, where it has them."""
        by_chip: dict[str, dict[str, Extension]] = {}
        remaining = iter(sums)
        for facts, _ in self.chips:
            scopes = [scope for scope, has in (("local", facts.has_local), ("global", facts.has_global)) if has]
            by_chip[facts.name] = {scope: next(remaining) for scope in scopes}
        return by_chip

    def opened_of(
        self, chip: str, opened: Sequence[Extension]
    ) -> tuple[dict[str, Sequence[Extension]], dict[str, Sequence[Extension]]]:
        """A chip's opened values at z and at z w, by phase; both fixed trees are the phase "fixed"."""
        at_point: dict[str, Sequence[Extension]] = {}
        at_next: dict[str, Sequence[Extension]] = {}
        for opening in self.openings:
            tree = self.trees[opening.tree]
            if tree.entries[opening.entry].chip == chip:
                phase = "fixed" if tree.name in FIXED_TREES else tree.name
                values = opened[opening.first : opening.first + len(opening.columns)]
                (at_next if opening.is_next else at_point)[phase] = values
        return at_point, at_next

    @cached_property
    def facts(self) -> ShardFacts:
        """For the calculator."""
        return ShardFacts(
            log_heights=self.log_heights,
            opened_count=self.opened_count,
            constraint_count=max(facts.constraint_count for facts, _ in self.chips),
            constraint_degree=max(facts.degree for facts, _ in self.chips),
            local_message_weight=sum(facts.local_message_weight << height for facts, height in self.chips)
            + self.own_local_weight,
            global_message_weight=sum(facts.global_message_weight << height for facts, height in self.chips),
        )


def check_shape(checks: Checks, machine: Machine, key: ProgramKey, header: ShardHeader) -> None:
    """
    The shape is one that the machine allows. Cheap; made for every shard before any of their proofs is looked at.

    header: with as many heights as the machine has chips.
    """
    where = f"shard {header.index}"
    kind = machine.kinds[header.kind]
    slots = {slot.chip: slot for slot in kind.slots}
    fixed_height = dict(zip(machine.tables.chips, machine.tables.log_heights))
    fixed_height.update(zip(machine.program_tables, key.log_heights))

    present: dict[str, int] = {}
    for chip, height in zip(machine.chips, header.log_heights, strict=True):
        slot = slots.get(chip.name)
        if height == 0:
            checks.holds("chips of the kind", slot is None or not slot.required, f"{where}: {chip.name} is missing")
            continue
        checks.holds("chips of the kind", slot is not None, f"{where}: {chip.name} in a {kind.name} shard")
        bounds = slot or Slot(chip.name)
        checks.holds("height in bounds", bounds.lowest <= height <= bounds.highest, f"{where}: {chip.name} 2^{height}")
        if chip.name in fixed_height:
            checks.holds("fixed table height", height == fixed_height[chip.name], f"{where}: {chip.name} 2^{height}")
        present[chip.name] = height
    checks.holds("chips of the kind", bool(present), f"{where}: no chip at all")
    machine.shape_rule(checks, kind, present)


def shapes_of(headers: Sequence[ShardHeader]) -> dict[tuple[int, tuple[int, ...]], tuple[ShardHeader, int]]:
    """(kind, heights) -> the first shard of that shape, and how many there are: thousands of shards have few shapes."""
    shapes: dict[tuple[int, tuple[int, ...]], tuple[ShardHeader, int]] = {}
    for header in headers:
        shape = (header.kind, header.log_heights)
        first, times = shapes.get(shape, (header, 0))
        shapes[shape] = (first, times + 1)
    return shapes


def messages_weight(messages: Sequence[Message]) -> int:
    """Sum of (fields + 1)."""
    return sum(message.bus.width + 1 for message in messages)


def check_counts(
    checks: Checks, machine: Machine, headers: Sequence[ShardHeader], global_messages: Sequence[Message]
) -> None:
    """
    On no bus can counts wrap around p: per local bus in each shard, per global bus over all shards, the sum of
    (rows x largest count) over all interactions whose count the constraints bound, the verifier's own included, stays
    below p.
    """
    over_all: dict[str, int] = {}
    for message in global_messages:
        over_all[message.bus.name] = over_all.get(message.bus.name, 0) + abs(message.count)
    for header, times in shapes_of(headers).values():
        kind = machine.kinds[header.kind]
        in_shard: dict[str, int] = {}
        for message in machine.local_messages(kind, dict(zip(kind.publics, header.publics))):
            in_shard[message.bus.name] = in_shard.get(message.bus.name, 0) + abs(message.count)
        for chip, height in zip(machine.chips, header.log_heights):
            if not height:
                continue
            for bus, scope, largest in chip_facts(chip).bounded_counts:
                totals, factor = (over_all, times) if scope == "global" else (in_shard, 1)
                totals[bus] = totals.get(bus, 0) + factor * (largest << height)
        for bus, total in in_shard.items():
            checks.holds("count cannot wrap", total < PRIME, f"shard {header.index}, bus {bus}: {total}")
    for bus, total in over_all.items():
        checks.holds("count cannot wrap", total < PRIME, f"bus {bus}, over all shards: {total}")


assert MINIMUM_LOG_HEIGHT <= MAXIMUM_LOG_HEIGHT and MAXIMUM_SHARD_COUNT < PRIME
