"""
Tests that every chip gets for free: is each cell of a real row bound by something, and is each constraint and message
needed?

Judged by the row checker and the bus balance alone, never by digests or by comparing traces. The chip stands alone:
- neighbours are replaced by recorded traffic: what the valid trace put on a bus is what the world expects there;
- tables are replaced by their meaning: on a bus in `tables`, a tuple is accepted if and only if the predicate says
  so, as often as one likes. (Recorded look-ups would notice mutations that the real table accepts.)
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from zkvm.air.backends.interpret import ExtraMessage, Trace, bus_balance, report, traffic
from zkvm.air.chip import Chip
from zkvm.air.columns import column_names
from zkvm.air.expression import LEAVES, Expression, Operation, Phase, reachable
from zkvm.air.report import BusReport, Report
from zkvm.field.koala_bear import PRIME

Tables = Mapping[str, Callable[..., bool]]
"""Bus name -> whether the table holds the tuple; called with the tuple's elements as canonical integers."""

DELTAS: tuple[int, ...] = (1, -1, 1 << 16, 0x2B5A3C71)
"""What a mutation adds to a cell: neighbours, a carry of a limb, something arbitrary."""


@dataclass(frozen=True)
class Verdict:
    """What the judges said of traces, and of the buses between them and the rest of the world."""

    reports: tuple[Report, ...]
    buses: BusReport

    @property
    def accepted(self) -> bool:
        """Every constraint holds and every bus balances."""
        return self.buses.is_balanced and all(r.is_valid for r in self.reports)

    @property
    def constraints(self) -> tuple[str, ...]:
        """The names of the failing constraints, each once."""
        return tuple(dict.fromkeys(name for r in self.reports for name in r.constraints))

    def __str__(self) -> str:
        return "\n".join([*(str(r) for r in self.reports if not r.is_valid), str(self.buses)])


@dataclass(frozen=True)
class Mutation:
    """A changed cell."""

    chip: str
    phase: str
    column: str
    row: int
    old: int
    new: int

    def __str__(self) -> str:
        return f"{self.chip}.{self.column} row {self.row}: {self.old} -> {self.new} ({self.phase})"


def without(chip: Chip, name: str) -> Chip:
    """The chip without one constraint."""
    return chip.without_constraint(name)


def without_message(chip: Chip, message: str | int) -> Chip:
    """The chip without one message, by label or index."""
    return chip.without_message(message)


def recorded_traffic(trace: Trace, tables: Tables | None = None) -> list[ExtraMessage]:
    """What the rest of the world must have said for a trace's messages to balance; buses in `tables` left out."""
    result = []
    for index, _, tuples, counts in traffic(trace):
        bus = trace.chip.messages[index].bus
        if bus.name in (tables or {}):
            continue
        for values, count in zip(tuples.tolist(), counts.tolist()):
            result.append(ExtraMessage(bus, tuple(values), (-count) % PRIME, "neighbour", trace.shard))
    return result


def judge(traces: Iterable[Trace], extra: Iterable[ExtraMessage] = (), tables: Tables | None = None) -> Verdict:
    """
    What the proof system would say of these traces, were their neighbours to say `extra`.

    tables: buses whose table chip is not among the traces; a tuple that the predicate refuses stays unbalanced.
    """
    traces = [Trace(*t) for t in traces]
    said = list(extra)
    for trace in traces:
        for index, _, tuples, counts in traffic(trace):
            bus = trace.chip.messages[index].bus
            holds = (tables or {}).get(bus.name)
            if holds is None:
                continue
            for values, count in zip(tuples.tolist(), counts.tolist()):
                if holds(*values):
                    said.append(ExtraMessage(bus, tuple(values), -count, "table", trace.shard))
    return Verdict(
        tuple(report(t.chip, t.matrices, t.publics) for t in traces),
        bus_balance(traces, said),
    )


def assert_constraint_is_needed(
    chip: Chip,
    name: str,
    forged: Mapping[str, np.ndarray],
    publics: Mapping[str, int] | None = None,
    extra: Iterable[ExtraMessage] = (),
    tables: Tables | None = None,
) -> None:
    """
    The forged matrices, which state something false, are refused, and accepted once the constraint is removed: it
    alone stops them.

    extra: what the neighbours say; together with the forged trace it is the false statement. Raises AssertionError
           with the judges' words.
    """
    extra = list(extra)
    full = judge([Trace(chip, forged, publics or {})], extra, tables)
    if full.constraints != (name,) or not full.buses.is_balanced:
        raise AssertionError(f"{chip.name}: not refused by constraint {name!r} alone:\n{full}")
    weak = judge([Trace(without(chip, name), forged, publics or {})], extra, tables)
    if not weak.accepted:
        raise AssertionError(f"{chip.name}: refused even without constraint {name!r}:\n{weak}")


def assert_message_is_needed(
    chip: Chip,
    label: str | int,
    forged: Mapping[str, np.ndarray],
    publics: Mapping[str, int] | None = None,
    extra: Iterable[ExtraMessage] = (),
    tables: Tables | None = None,
) -> None:
    """
    The same for a message: with it the buses do not balance though every constraint holds, without it everything is
    accepted.
    """
    extra = list(extra)
    full = judge([Trace(chip, forged, publics or {})], extra, tables)
    if full.constraints or full.buses.is_balanced:
        raise AssertionError(f"{chip.name}: not refused by the buses alone:\n{full}")
    weak = judge([Trace(without_message(chip, label), forged, publics or {})], extra, tables)
    if not weak.accepted:
        raise AssertionError(f"{chip.name}: refused even without message {label!r}:\n{weak}")


def assert_every_cell_matters(
    chip: Chip,
    matrices: Mapping[str, np.ndarray],
    publics: Mapping[str, int] | None = None,
    rows: Sequence[int] | None = None,
    tables: Tables | None = None,
    free: Mapping[str, str] | None = None,
    deltas: Sequence[int] = DELTAS,
) -> None:
    """
    Every mutation of a cell of the given rows is noticed, but for those exempted.

    free: column name (or shell pattern, "[" being itself) -> the written reason why its cells may change. An
          exemption that is never needed is an error.
    Raises AssertionError that lists what nobody noticed. Other arguments as `unnoticed_mutations`.
    """
    free = free or {}
    if not all(reason.strip() for reason in free.values()):
        raise AssertionError("an exemption has a reason")
    patterns = {name: name.replace("[", "[[]") for name in free}
    used: set[str] = set()
    unexplained = []
    for mutation in unnoticed_mutations(chip, matrices, publics, rows, tables, deltas):
        reasons = [name for name, pattern in patterns.items() if fnmatchcase(mutation.column, pattern)]
        used.update(reasons)
        if not reasons:
            unexplained.append(mutation)
    stale = [name for name in free if name not in used]
    if unexplained:
        listed = "\n".join(str(m) for m in unexplained[:40])
        raise AssertionError(f"{chip.name}: nobody notices {len(unexplained)} mutations:\n{listed}")
    if stale:
        raise AssertionError(f"{chip.name}: exemptions that nothing needs: {', '.join(stale)}")


def unnoticed_mutations(
    chip: Chip,
    matrices: Mapping[str, np.ndarray],
    publics: Mapping[str, int] | None = None,
    rows: Sequence[int] | None = None,
    tables: Tables | None = None,
    deltas: Sequence[int] = DELTAS,
) -> list[Mutation]:
    """
    Changes every boundary and main cell of the given rows, one at a time, and lists the changes that neither a
    constraint nor a bus notices.

    matrices: a valid trace. rows: which ones (default: all). deltas: what is added to a cell, modulo p.
    A change touches constraints and messages of its own row and, through `row.next`, of the row before; only
    expressions that depend on the changed column are evaluated anew, for all rows and deltas at once.
    Raises AssertionError if the trace is not valid to begin with.
    """
    publics, tables = publics or {}, tables or {}
    trace = Trace(chip, matrices, publics)
    start = judge([trace], recorded_traffic(trace, tables), tables)
    if not start.accepted:
        raise AssertionError(f"{chip.name}: the trace to be mutated is not valid:\n{start}")
    checked = chip.matrices(matrices)
    height = next(iter(checked.values())).shape[0]
    chosen = np.array(range(height) if rows is None else list(rows), dtype=np.int64)
    # One lane for each row and delta.
    lanes = np.repeat(chosen, len(deltas))
    added = np.tile(np.array([d % PRIME for d in deltas], dtype=np.uint64), len(chosen))
    here = _Evaluation(chip, checked, publics, lanes)
    before = _Evaluation(chip, checked, publics, (lanes - 1) % height)

    unnoticed = []
    for phase in (Phase.BOUNDARY, Phase.MAIN):
        for column, name in enumerate(column_names(chip.row, phase)):
            old = checked[phase][lanes, column].astype(np.uint64)
            new = (old + added) % np.uint64(PRIME)
            noticed = np.zeros(len(lanes), dtype=bool)
            changes: list[Counter] = [Counter() for _ in lanes]
            for evaluation, offset in ((here, 0), (before, 1)):
                evaluation.mutate((phase, column, offset), new, noticed, changes, tables)
            for lane in np.flatnonzero(~noticed).tolist():
                if not any(count % PRIME for count in changes[lane].values()):
                    unnoticed.append(
                        Mutation(chip.name, str(phase), name, int(lanes[lane]), int(old[lane]), int(new[lane]))
                    )
    return unnoticed


class _Evaluation:
    """All expressions of a chip on one row per lane, and what changes with one column."""

    def __init__(
        self, chip: Chip, matrices: Mapping[str, np.ndarray], publics: Mapping[str, int], rows: np.ndarray
    ) -> None:
        self.chip = chip
        self.nodes = reachable(chip.roots)
        self.users: dict[int, list[int]] = {node.index: [] for node in self.nodes}
        self.by_index = {node.index: node for node in self.nodes}
        self.columns: dict[tuple, int] = {}
        self.values: dict[int, np.ndarray] = {}
        public_values = chip.public_values(publics)
        height = next(iter(matrices.values())).shape[0]
        for node in self.nodes:
            for operand in node.operands:
                self.users[operand.index].append(node.index)
            if node.operation is Operation.COLUMN:
                phase, column, offset = node.value
                self.columns[node.value] = node.index
                value = matrices[phase][(rows + offset) % height, column].astype(np.uint64)
            elif node.operation is Operation.PERIODIC:
                pattern = np.array(chip.periodic[node.value][1], dtype=np.uint64)
                value = pattern[rows % len(pattern)]
            elif node.operation is Operation.SELECTOR:
                value = (rows == (0 if node.value == "first" else height - 1)).astype(np.uint64)
            elif node.operation in LEAVES:
                number = public_values[node.value] if node.operation is Operation.PUBLIC else node.value
                value = np.full(len(rows), number, dtype=np.uint64)
            else:
                value = _combine(node, self.values)
            self.values[node.index] = value
        self.constraint_roots = [c.expression.index for c in chip.constraints]

    def mutate(self, cell: tuple, new: np.ndarray, noticed: np.ndarray, changes: list[Counter], tables: Tables) -> None:
        """
        Marks lanes where a constraint fails or a table refuses, and adds to `changes` what moves on the other buses.
        """
        if cell not in self.columns:
            return
        values = {self.columns[cell]: new}
        pending = set(self.users[self.columns[cell]])
        dependents = set(pending)
        while pending:
            for user in self.users[pending.pop()]:
                if user not in dependents:
                    dependents.add(user)
                    pending.add(user)
        overlay = _Overlay(self.values, values)
        for index in sorted(dependents):
            values[index] = _combine(self.by_index[index], overlay)
        for index in self.constraint_roots:
            if index in values:
                noticed |= values[index] != 0
        for message in self.chip.messages:
            roots = [v.index for v in message.values]
            if not any(i in values for i in (*roots, message.count.index)):
                continue
            old = [self.values[i].tolist() for i in roots], self.values[message.count.index].tolist()
            fresh = [overlay[i].tolist() for i in roots], overlay[message.count.index].tolist()
            holds = tables.get(message.bus.name)
            for lane in np.flatnonzero(~noticed).tolist():
                new_count = fresh[1][lane]
                new_tuple = tuple(v[lane] for v in fresh[0])
                if holds is not None:
                    if new_count and not holds(*new_tuple):
                        noticed[lane] = True
                    continue
                old_tuple = tuple(v[lane] for v in old[0])
                changes[lane][message.bus.name, new_tuple] += message.sign * new_count
                changes[lane][message.bus.name, old_tuple] -= message.sign * old[1][lane]


class _Overlay:
    """Changed values over unchanged ones."""

    def __init__(self, base: Mapping[int, np.ndarray], changed: Mapping[int, np.ndarray]) -> None:
        self._base, self._changed = base, changed

    def __getitem__(self, index: int) -> np.ndarray:
        return self._changed[index] if index in self._changed else self._base[index]


def _combine(node: Expression, values: "Mapping[int, np.ndarray] | _Overlay") -> np.ndarray:
    a, b = (values[o.index] for o in node.operands)
    if node.operation is Operation.ADD:
        return (a + b) % np.uint64(PRIME)
    if node.operation is Operation.SUBTRACT:
        return (a + (np.uint64(PRIME) - b)) % np.uint64(PRIME)
    return a * b % np.uint64(PRIME)
