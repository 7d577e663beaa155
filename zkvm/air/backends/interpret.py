"""
The meaning of a chip: its constraints and messages evaluated on matrices of canonical integers.

`report` and `bus_balance` are the judges of the tests: together they accept exactly what the proof system proves (but
for the soundness error).
Plain NumPy over all rows at once; every value is an exact integer in [0, p).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from zkvm.air.bus import Bus
from zkvm.air.chip import Chip
from zkvm.air.errors import TraceError
from zkvm.air.expression import Expression, Operation, evaluate
from zkvm.air.report import BusReport, Failure, Imbalance, Origin, Report
from zkvm.field.koala_bear import PRIME


class Trace(NamedTuple):
    """A chip with its matrices (or records) by phase and the shard's public values. `shard` tells local buses apart."""

    chip: Chip
    matrices: Mapping[str, np.ndarray]
    publics: Mapping[str, int] = {}
    shard: int = 0


@dataclass(frozen=True)
class ExtraMessage:
    """
    What somebody without rows says: the verifier, or recorded traffic that stands for a neighbour. count is signed: a
    send is positive.
    """

    bus: Bus
    values: tuple[int, ...]
    count: int
    origin: str = "verifier"
    shard: int = 0


def evaluate_rows(
    chip: Chip, roots: Iterable[Expression], matrices: Mapping[str, np.ndarray], publics: Mapping[str, int]
) -> list[np.ndarray]:
    """
    The values of expressions on every row: uint64 arrays (height,), canonical.

    matrices: by phase, (height, width) uint32 or records, canonical. publics: by name.
    Raises TraceError for a wrong form and for a cell that is not below p.
    """
    checked = chip.matrices(matrices)
    height = next(iter(checked.values())).shape[0]
    for phase, matrix in checked.items():
        if matrix.size and int(matrix.max()) >= PRIME:
            row, column = (int(i) for i in np.argwhere(matrix >= PRIME)[0])
            raise TraceError(f"chip {chip.name}: {phase} cell ({row}, {column}) is {matrix[row, column]}, not below p")
    public_values = chip.public_values(publics)

    def leaf(node: Expression) -> np.ndarray:
        if node.operation is Operation.COLUMN:
            phase, index, offset = node.value
            return np.roll(checked[phase][:, index].astype(np.uint64), -offset)
        if node.operation is Operation.PERIODIC:
            pattern = np.array(chip.periodic[node.value][1], dtype=np.uint64)
            return np.tile(pattern, height // len(pattern))
        if node.operation is Operation.SELECTOR:
            values = np.zeros(height, dtype=np.uint64)
            values[0 if node.value == "first" else height - 1] = 1
            return values
        value = public_values[node.value] if node.operation is Operation.PUBLIC else node.value
        return np.full(height, value, dtype=np.uint64)

    return _evaluate_modulo_p(roots, leaf)


def report(
    chip: Chip, matrices: Mapping[str, np.ndarray], publics: Mapping[str, int] | None = None, limit: int = 1000
) -> Report:
    """
    Lists every failing (row, constraint), guards included in the meaning of each constraint.

    limit: how many failures to list; all are counted. Raises TraceError for a wrong form.
    """
    names = [c.name for c in chip.constraints]
    columns = evaluate_rows(chip, [c.expression for c in chip.constraints], matrices, publics or {})
    failures: list[Failure] = []
    count = 0
    for name, constraint, values in zip(names, chip.constraints, columns):
        rows = np.flatnonzero(values)
        count += len(rows)
        for row in rows[: max(0, limit - len(failures))]:
            failures.append(Failure(chip.name, int(row), name, int(values[row]), constraint.guards))
    return Report(chip.name, tuple(failures), count)


def traffic(trace: Trace) -> list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """
    What a chip puts on its buses: per message (index, rows, tuples, signed counts mod p), rows with count 0 left out.

    rows (k,) int64; tuples (k, width) uint64; counts (k,) uint64 in [1, p), sends positive and receives p - count.
    """
    chip = trace.chip
    roots = [e for m in chip.messages for e in (*m.values, m.count)]
    columns = iter(evaluate_rows(chip, roots, trace.matrices, trace.publics))
    result = []
    for index, message in enumerate(chip.messages):
        values = [next(columns) for _ in message.values]
        counts = next(columns)
        rows = np.flatnonzero(counts)
        signed = counts[rows] if message.sign > 0 else PRIME - counts[rows]
        result.append((index, rows, np.stack([v[rows] for v in values], axis=1), signed))
    return result


def bus_balance(
    traces: Iterable[Trace | tuple[Any, ...]],
    extra: Iterable[ExtraMessage] = (),
    limit: int = 100,
    origin_limit: int = 20,
) -> BusReport:
    """
    Lists every tuple whose counts do not cancel modulo p: local buses by shard, global buses over everything given.

    traces:       `Trace`, or (chip, matrices[, publics[, shard]]).
    extra:        messages of the verifier, or recorded traffic.
    limit:        how many tuples to list; all are counted. origin_limit: how many origins per tuple.
    Raises TraceError for wrong matrices, and for two different buses of one name or identifier.
    """
    entries = [Trace(*t) for t in traces]
    extra = list(extra)
    buses: dict[int, Bus] = {}
    for bus in [m.bus for t in entries for m in t.chip.messages] + [e.bus for e in extra]:
        if buses.setdefault(bus.identifier, bus) != bus:
            raise TraceError(f"buses {bus.name} and {buses[bus.identifier].name} share identifier {bus.identifier}")

    totals: dict[tuple[Any, ...], int] = defaultdict(int)
    gathered = []
    for trace in entries:
        messages = traffic(trace)
        gathered.append(messages)
        for index, _, tuples, counts in messages:
            bus = trace.chip.messages[index].bus
            shard = trace.shard if bus.scope == "local" else None
            for values, count in zip(tuples.tolist(), counts.tolist()):
                totals[bus.identifier, shard, tuple(values)] += count
    for message in extra:
        if len(message.values) != message.bus.width:
            raise TraceError(
                f"a message of {message.origin} has {len(message.values)} values; "
                f"bus {message.bus.name} takes {message.bus.width}"
            )
        shard = message.shard if message.bus.scope == "local" else None
        totals[message.bus.identifier, shard, tuple(int(v) % PRIME for v in message.values)] += message.count

    surplus = {key: total % PRIME for key, total in totals.items() if total % PRIME}
    listed = sorted(surplus, key=lambda key: key[0])[:limit]
    origins: dict[tuple[Any, ...], list[Origin]] = {key: [] for key in listed}

    def add_origin(key: tuple[Any, ...], origin: Origin) -> None:
        if key in origins and len(origins[key]) < origin_limit:
            origins[key].append(origin)

    if listed:
        for trace, messages in zip(entries, gathered):
            for index, rows, tuples, counts in messages:
                message = trace.chip.messages[index]
                shard = trace.shard if message.bus.scope == "local" else None
                for row, values, count in zip(rows.tolist(), tuples.tolist(), counts.tolist()):
                    origin = Origin(trace.chip.name, row, message.label, _signed(count), trace.shard)
                    add_origin((message.bus.identifier, shard, tuple(values)), origin)
        for said in extra:
            shard = said.shard if said.bus.scope == "local" else None
            key = (said.bus.identifier, shard, tuple(int(v) % PRIME for v in said.values))
            add_origin(key, Origin(said.origin, 0, "extra message", said.count, said.shard))

    return BusReport(
        tuple(
            Imbalance(buses[key[0]].name, key[2], _signed(surplus[key]), tuple(origins[key]), key[1]) for key in listed
        ),
        len(surplus),
    )


def _signed(value: int) -> int:
    return value if value <= PRIME // 2 else value - PRIME


def _evaluate_modulo_p(roots: Iterable[Expression], leaf: Callable[[Expression], np.ndarray]) -> list[np.ndarray]:
    """
    `evaluate` for unsigned arrays: a difference is taken as a + (p - b), so that nothing wraps. Products stay below
    2^62.
    """
    prime = np.uint64(PRIME)
    results = evaluate(roots, lambda node: _Residues(leaf(node)), lambda value: _Residues(value.array % prime))
    return [result.array for result in results]


class _Residues:
    """A uint64 array of canonical elements with the three operations of `evaluate`, before reduction."""

    __slots__ = ("array",)

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __add__(self, other: "_Residues") -> "_Residues":
        return _Residues(self.array + other.array)

    def __sub__(self, other: "_Residues") -> "_Residues":
        return _Residues(self.array + (np.uint64(PRIME) - other.array))

    def __mul__(self, other: "_Residues") -> "_Residues":
        return _Residues(self.array * other.array)
