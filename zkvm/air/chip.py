"""
A chip: one declaration, compiled to its graph; every use (reports, prover, verifier, pages, figures, digest) reads
this object.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from zkvm.air import logup
from zkvm.air.builder import AirBuilder, Constraint, Message
from zkvm.air.columns import Cell, Columns, cells, symbolic_row, width
from zkvm.air.errors import DeclarationError, TraceError
from zkvm.air.expression import PHASES, Expression, Graph, Operation, Phase, reachable
from zkvm.field.koala_bear import PRIME

FRACTIONS_PER_COLUMN: int = 2
"""How many LogUp fractions share an auxiliary column unless a chip says otherwise."""


@dataclass(frozen=True, eq=False)
class Air:
    """
    What a chip declared, as data.

    publics:  names of the public values, in order of first use; a PUBLIC node's value indexes them.
    periodic: (name, pattern) of each pattern; a PERIODIC node's value indexes them.
    """

    graph: Graph
    constraints: tuple[Constraint, ...]
    messages: tuple[Message, ...]
    publics: tuple[str, ...]
    periodic: tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, eq=False)
class Chip:
    """
    One kind of row.

    name:                 unique in the machine.
    row:                  the columns.
    constrain:            declares constraints and messages on (air, row); runs once, here.
    fill:                 kernel that writes the main and boundary rows; its arguments are the machine's business.
                          Only proving needs it.
    fixed_fill:           what writes the fixed rows (of a program, or nothing for a machine table); only setup needs
                          it.
    reference:            the plain meaning, for tests.
    clk_increment:        by how much clk grows per row at most; the verifier sums it over rows and refuses at p.
    fractions_per_column: LogUp fractions per auxiliary column.

    Raises DeclarationError for everything that the language does not allow.
    """

    name: str
    row: type[Columns]
    constrain: Callable[[Any, Any], None]
    fill: Callable[..., Any] | None = None
    fixed_fill: Callable[..., Any] | None = None
    reference: Callable[..., Any] | None = None
    clk_increment: int = 0
    fractions_per_column: int = FRACTIONS_PER_COLUMN
    air: Air = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise DeclarationError("a chip has a name")
        if not 0 <= self.clk_increment < PRIME:
            raise DeclarationError(f"chip {self.name}: the clk increment is a small non-negative integer")
        object.__setattr__(self, "air", _declare(self.name, self.row, self.constrain))
        self._check()

    def _check(self) -> None:
        if not any(self.widths.values()):
            raise DeclarationError(f"chip {self.name}: no columns")
        if not self.air.constraints and not self.air.messages:
            raise DeclarationError(f"chip {self.name}: neither constraints nor messages")
        _ = self.auxiliary

    # What was declared.

    @property
    def constraints(self) -> tuple[Constraint, ...]:
        """In order of declaration: those of bit columns first."""
        return self.air.constraints

    @property
    def messages(self) -> tuple[Message, ...]:
        """In order of declaration."""
        return self.air.messages

    @property
    def publics(self) -> tuple[str, ...]:
        """Names of the public values used, in order of first use."""
        return self.air.publics

    @property
    def periodic(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """(name, pattern) of every periodic column; for each one also the pattern seen on the next row."""
        return self.air.periodic

    @cached_property
    def widths(self) -> dict[Phase, int]:
        """Base columns per phase."""
        return {phase: width(self.row, phase) for phase in PHASES}

    def cells(self, phase: Phase) -> list[Cell]:
        """The columns of a phase, in matrix order."""
        return cells(self.row, phase)

    # What follows from it.

    @cached_property
    def auxiliary(self) -> logup.Layout:
        """The auxiliary columns."""
        return logup.layout(self.messages, self.fractions_per_column)

    @property
    def auxiliary_width(self) -> int:
        """Base columns of the auxiliary matrix."""
        return 5 * self.auxiliary.width

    @cached_property
    def constraint_count(self) -> int:
        """Declared and LogUp constraints: the number of powers of the folding challenge."""
        return len(self.constraints) + self.auxiliary.width

    @cached_property
    def degree(self) -> int:
        """The largest of all constraints, LogUp ones included."""
        return max([c.degree for c in self.constraints] + [g.degree for g in self.auxiliary.groups], default=0)

    @cached_property
    def minimum_height(self) -> int:
        """The longest periodic pattern: heights are powers of two and at least this."""
        return max((len(pattern) for _, pattern in self.periodic), default=1)

    @cached_property
    def roots(self) -> tuple[Expression, ...]:
        """Every declared expression: constraints, then values and count of each message."""
        return tuple(c.expression for c in self.constraints) + tuple(
            e for m in self.messages for e in (*m.values, m.count)
        )

    @cached_property
    def next_columns(self) -> dict[Phase, tuple[int, ...]]:
        """Per phase, the columns read on the next row, ascending: those that are also opened at z * w."""
        seen: dict[Phase, set[int]] = {phase: set() for phase in PHASES}
        for node in reachable(self.roots):
            if node.operation is Operation.COLUMN and node.value[2]:
                seen[node.value[0]].add(node.value[1])
        return {phase: tuple(sorted(columns)) for phase, columns in seen.items()}

    @cached_property
    def auxiliary_next_columns(self) -> tuple[int, ...]:
        """The base columns of the auxiliary matrix that are read on the next row."""
        return self.auxiliary.next_columns

    @property
    def digest(self) -> str:
        """The identity of the declared polynomials; see backends/digest.py."""
        from zkvm.air.backends.digest import digest

        return digest(self)

    # Rows.

    def empty(self, phase: Phase | str, height: int) -> np.ndarray:
        """`height` records of a phase, all 0."""
        return np.zeros(height, dtype=self.row.dtypes[Phase(phase)])

    def matrices(self, given: Mapping[str, np.ndarray]) -> dict[Phase, np.ndarray]:
        """
        The given matrices by phase, checked: each (height, width) uint32, views of the same memory; records are
        viewed as matrices.

        Missing phases are those without columns. Raises TraceError for a missing or unknown phase, a wrong shape or
        type, different heights, a height that is no power of two or below a periodic pattern's length. Cells are not
        read.
        """
        unknown = [phase for phase in given if phase not in tuple(PHASES)]
        if unknown:
            raise TraceError(f"chip {self.name}: there is no phase {unknown[0]!r}")
        matrices: dict[Phase, np.ndarray] = {}
        height: int | None = None
        for phase in PHASES:
            column_count = self.widths[phase]
            matrix = given.get(phase)
            if matrix is None:
                if column_count:
                    raise TraceError(f"chip {self.name}: the {phase} matrix is missing")
                continue
            matrix = as_matrix(matrix)
            if matrix.dtype != np.uint32 or matrix.ndim != 2 or matrix.shape[1] != column_count:
                raise TraceError(
                    f"chip {self.name}: the {phase} matrix is {matrix.dtype} {matrix.shape}, "
                    f"not uint32 (rows, {column_count})"
                )
            if height is None:
                height = matrix.shape[0]
            if matrix.shape[0] != height:
                raise TraceError(f"chip {self.name}: the {phase} matrix has {matrix.shape[0]} rows, another {height}")
            if column_count:
                matrices[phase] = matrix
        if height is None:
            raise TraceError(f"chip {self.name}: no matrices")
        if height < self.minimum_height or height & (height - 1):
            raise TraceError(
                f"chip {self.name}: height {height} is not a power of two of at least {self.minimum_height}"
            )
        return matrices

    def public_values(self, publics: Mapping[str, int]) -> list[int]:
        """
        The values of the publics that this chip uses, in its order. Raises TraceError for a missing or non-canonical
        one.
        """
        values = []
        for name in self.publics:
            if name not in publics:
                raise TraceError(f"chip {self.name}: public value {name!r} is missing")
            value = int(publics[name])
            if not 0 <= value < PRIME:
                raise TraceError(f"chip {self.name}: public value {name!r} is {value}, not a canonical element")
            values.append(value)
        return values

    # Chips with something removed: for the necessity tests.

    def without_constraint(self, name: str) -> "Chip":
        """The same chip without one constraint. Raises DeclarationError if there is none of that name."""
        kept = tuple(c for c in self.constraints if c.name != name)
        if len(kept) == len(self.constraints):
            raise DeclarationError(f"chip {self.name}: no constraint is named {name!r}")
        return self._with_air(replace(self.air, constraints=kept))

    def without_message(self, message: str | int) -> "Chip":
        """
        The same chip without one message, by label or by index. Raises DeclarationError if there is no such message.
        """
        kept = tuple(m for i, m in enumerate(self.messages) if message not in (i, m.label))
        if len(kept) == len(self.messages):
            raise DeclarationError(f"chip {self.name}: there is no message {message!r}")
        return self._with_air(replace(self.air, messages=kept))

    def _with_air(self, air: Air) -> "Chip":
        chip = object.__new__(Chip)
        for attribute in (
            "name",
            "row",
            "constrain",
            "fill",
            "fixed_fill",
            "reference",
            "clk_increment",
            "fractions_per_column",
        ):
            object.__setattr__(chip, attribute, getattr(self, attribute))
        object.__setattr__(chip, "air", air)
        return chip

    def __repr__(self) -> str:
        return f"<chip {self.name}>"


def as_matrix(rows: np.ndarray) -> np.ndarray:
    """Records (n,) as the matrix (n, width) of the same memory; a matrix as it is."""
    if rows.dtype.names is not None:
        return np.ascontiguousarray(rows).view(np.uint32).reshape(rows.shape[0], -1)
    return rows


def _declare(name: str, row_type: type[Columns], constrain: Callable[[Any, Any], None]) -> Air:
    if not (isinstance(row_type, type) and issubclass(row_type, Columns)):
        raise DeclarationError(f"chip {name}: the row is a subclass of Columns, not {row_type!r}")
    graph = Graph()
    row, patterns = symbolic_row(graph, row_type)
    air = AirBuilder(graph, name, [pattern for _, pattern in patterns])
    for phase in PHASES:
        for index, cell in enumerate(cells(row_type, phase)):
            if cell.column.kind == "bit":
                air.bit(f"{cell.name} is a bit", graph.column(phase, index, 0))
    constrain(air, row)
    return Air(graph, tuple(air.constraints), tuple(air.messages()), tuple(air.publics), tuple(patterns))
