"""
Columns: the row of a chip, declared once with names, kinds and a sentence each.

    class Row(Columns):
        is_real  = bit("this row proves an instruction")
        clk      = column("clock at the start of the step")
        a        = limbs("result", count=4)
        read     = group(ReadColumns, "the access of rs1")
        position = periodic([1, 0, 0, 0], "first row of a group")
        value    = fixed("table content")
        address  = boundary("address of the token")

The same declaration is
- what constraints read: `row.a[i]`, `row.next.clk`, `row.read.previous_clk`;
- the NumPy record type of each phase: `Row.dtype` (main), `Row.boundary_dtype`, `Row.fixed_dtype`, all cells uint32,
  canonical in [0, p). Records and
  matrix are the same memory: `rows.view(np.uint32).reshape(n, -1)`;
- the column map: `column_names(Row, Phase.MAIN)`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from zkvm.air.errors import DeclarationError
from zkvm.air.expression import PHASES, Expression, Graph, Phase
from zkvm.field.koala_bear import PRIME


@dataclass(frozen=True)
class Column:
    """
    One declared name: a cell, or an array of cells.

    kind:  "column", "bit", "limbs" as said in the declaration; a bit brings its own constraint.
    shape: () for one cell, else the array's shape.
    """

    phase: Phase
    kind: str
    description: str
    shape: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Number of cells."""
        return int(np.prod(self.shape, dtype=np.int64))


@dataclass(frozen=True)
class Periodic:
    """
    A column that repeats a pattern, known to the verifier and committed by nobody. len(pattern) is a power of two.
    """

    pattern: tuple[int, ...]
    description: str


@dataclass(frozen=True)
class Group:
    """The columns of another declaration under one name, `shape` times."""

    columns: type["Columns"]
    description: str
    shape: tuple[int, ...] = ()


Declaration = Column | Periodic | Group


def column(description: str, count: int | tuple[int, ...] | None = None) -> Any:
    """A main-phase column, or an array of them."""
    return _column(Phase.MAIN, "column", description, count)


def bit(description: str, count: int | tuple[int, ...] | None = None) -> Any:
    """A main-phase column that is 0 or 1: the constraint x (x - 1) = 0 comes with it."""
    return _column(Phase.MAIN, "bit", description, count)


def limbs(description: str, count: int | tuple[int, ...] = 4) -> Any:
    """
    Main-phase limbs of a larger number, least significant first. Their bound is the business of whoever writes them.
    """
    return _column(Phase.MAIN, "limbs", description, count)


def boundary(description: str, count: int | tuple[int, ...] | None = None) -> Any:
    """A column committed before the global challenge; the only unfixed kind that a global message may use."""
    return _column(Phase.BOUNDARY, "column", description, count)


def boundary_bit(description: str, count: int | tuple[int, ...] | None = None) -> Any:
    """A boundary-phase column that is 0 or 1, constraint included."""
    return _column(Phase.BOUNDARY, "bit", description, count)


def boundary_limbs(description: str, count: int | tuple[int, ...] = 4) -> Any:
    """Boundary-phase limbs, least significant first."""
    return _column(Phase.BOUNDARY, "limbs", description, count)


def fixed(description: str, count: int | tuple[int, ...] | None = None) -> Any:
    """
    A preprocessed column, committed once per machine or per program. Its content is trusted, so no kind needs a
    constraint.
    """
    return _column(Phase.FIXED, "column", description, count)


def periodic(pattern: Sequence[int], description: str) -> Any:
    """A repeating column. Raises DeclarationError unless the pattern's length is a power of two."""
    values = tuple(int(v) for v in pattern)
    if not values or len(values) & (len(values) - 1):
        raise DeclarationError(f"a periodic column needs a power of two of values, not {len(values)}")
    if not all(0 <= v < PRIME for v in values):
        raise DeclarationError("a periodic column holds canonical field elements")
    _sentence(description)
    return Periodic(values, description)


def group(columns: type["Columns"], description: str, count: int | tuple[int, ...] | None = None) -> Any:
    """
    The columns of another declaration, under one name: for gadgets that several chips share.

    The group's columns may be of any phase; `count` makes an array of groups.
    """
    if not (isinstance(columns, type) and issubclass(columns, Columns)):
        raise DeclarationError("a group needs a subclass of Columns")
    _sentence(description)
    return Group(columns, description, _shape(count))


RESERVED_NAMES = frozenset(("next", "dtype", "boundary_dtype", "fixed_dtype", "dtypes", "declarations"))
"""Names that a row has already."""


class Columns:
    """
    Base of row declarations; see the module docstring. Names are unique by Python's own rules, and none is reserved.
    """

    declarations: ClassVar[dict[str, Declaration]] = {}
    """In the order of declaration."""

    dtypes: ClassVar[dict[Phase, np.dtype]] = {}
    """Per phase, the NumPy record of one row; all cells uint32. A phase without columns has an empty record."""

    dtype: ClassVar[np.dtype]
    """The main phase's record."""
    boundary_dtype: ClassVar[np.dtype]
    """The boundary phase's record."""
    fixed_dtype: ClassVar[np.dtype]
    """The fixed phase's record."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        inherited: dict[str, Declaration] = {}
        for base in reversed(cls.__mro__[1:]):
            inherited.update(base.__dict__.get("declarations", {}))
        own = {name: value for name, value in cls.__dict__.items() if isinstance(value, Declaration)}
        for name, value in cls.__dict__.items():
            if name in RESERVED_NAMES or name in inherited:
                raise DeclarationError(f"{cls.__name__}.{name}: the name is taken")
            if not name.startswith("_") and not isinstance(value, Declaration):
                raise DeclarationError(f"{cls.__name__}.{name}: {value!r} is not a column declaration")
        for name in own:
            if name.startswith("_"):
                raise DeclarationError(f"{cls.__name__}.{name}: a column name does not start with an underscore")
        cls.declarations = {**inherited, **own}
        cls.dtypes = {phase: _record(cls, phase) for phase in PHASES}
        cls.dtype = cls.dtypes[Phase.MAIN]
        cls.boundary_dtype = cls.dtypes[Phase.BOUNDARY]
        cls.fixed_dtype = cls.dtypes[Phase.FIXED]


@dataclass(frozen=True)
class Cell:
    """One column of a phase's matrix: its full name and the declaration that it comes from."""

    name: str
    column: Column


def cells(columns: type[Columns], phase: Phase) -> list[Cell]:
    """The cells of one phase, in matrix order."""
    return list(_cells(columns, Phase(phase), ""))


def column_names(columns: type[Columns], phase: Phase) -> list[str]:
    """The name of each cell of a phase, in matrix order: "clk", "a[0]", "read.previous_clk", "state[1][2]"."""
    return [cell.name for cell in cells(columns, phase)]


def width(columns: type[Columns], phase: Phase) -> int:
    """Number of cells of one row in one phase."""
    return columns.dtypes[Phase(phase)].itemsize // 4


class Row:
    """The row as constraints see it: attributes are expressions, tuples of them (arrays), or rows (groups)."""

    def __init__(self, values: dict[str, Any], description: str) -> None:
        self.__dict__.update(values)
        self.__dict__["_description"] = description

    def __getattr__(self, name: str) -> Any:
        raise DeclarationError(f"{self._description} has no column {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise DeclarationError(f"{self._description}: cells are not assigned in constraints")


def symbolic_row(graph: Graph, columns: type[Columns]) -> tuple[Any, list[tuple[str, tuple[int, ...]]]]:
    """
    The symbolic row of a chip, with `.next`, and its periodic patterns as (name, values).

    A periodic column has two patterns: its own, and for `row.next` the same one rotated by one row.
    """
    patterns: list[tuple[str, tuple[int, ...]]] = []
    this = _symbolic(graph, columns, {phase: 0 for phase in PHASES}, 0, "", patterns, columns.__name__)
    following = _symbolic(graph, columns, {phase: 0 for phase in PHASES}, 1, "", patterns, f"{columns.__name__}.next")
    this.__dict__["next"] = following
    return this, patterns


def _symbolic(
    graph: Graph,
    columns: type[Columns],
    start: dict[Phase, int],
    offset: int,
    prefix: str,
    patterns: list[tuple[str, tuple[int, ...]]],
    description: str,
) -> Any:
    """One row's expressions; `start` is advanced past the cells used."""
    values: dict[str, Any] = {}
    for name, declared in columns.declarations.items():
        if isinstance(declared, Periodic):
            rotated = declared.pattern[offset:] + declared.pattern[:offset]
            values[name] = graph.periodic(len(patterns))
            patterns.append((f"{prefix}{name}" + (".next" if offset else ""), rotated))
        elif isinstance(declared, Column):
            first = start[declared.phase]
            start[declared.phase] += declared.width
            nodes = iter([graph.column(declared.phase, first + i, offset) for i in range(declared.width)])
            values[name] = _nested(declared.shape, lambda _, nodes=nodes: next(nodes), "")
        else:
            values[name] = _nested(
                declared.shape,
                lambda index, name=name, declared=declared: _symbolic(
                    graph,
                    declared.columns,
                    start,
                    offset,
                    f"{prefix}{name}{index}.",
                    patterns,
                    f"{description}.{name}{index}",
                ),
                "",
            )
    return Row(values, description)


def _nested(shape: tuple[int, ...], make: Any, index: str) -> Any:
    if not shape:
        return make(index)
    return tuple(_nested(shape[1:], make, f"{index}[{i}]") for i in range(shape[0]))


def _cells(columns: type[Columns], phase: Phase, prefix: str) -> Iterator[Cell]:
    for name, declared in columns.declarations.items():
        if isinstance(declared, Periodic):
            continue
        for index in np.ndindex(*declared.shape):
            full_name = f"{prefix}{name}" + "".join(f"[{i}]" for i in index)
            if isinstance(declared, Group):
                yield from _cells(declared.columns, phase, f"{full_name}.")
            elif declared.phase is phase:
                yield Cell(full_name, declared)


def _record(columns: type[Columns], phase: Phase) -> np.dtype:
    fields: list[tuple[Any, ...]] = []
    for name, declared in columns.declarations.items():
        if isinstance(declared, Column) and declared.phase is phase:
            fields.append((name, np.uint32, declared.shape) if declared.shape else (name, np.uint32))
        elif isinstance(declared, Group) and declared.columns.dtypes[phase].itemsize:
            record = declared.columns.dtypes[phase]
            fields.append((name, record, declared.shape) if declared.shape else (name, record))
    return np.dtype(fields)


def _column(phase: Phase, kind: str, description: str, count: int | tuple[int, ...] | None) -> Column:
    _sentence(description)
    return Column(phase, kind, description, _shape(count))


def _shape(count: int | tuple[int, ...] | None) -> tuple[int, ...]:
    shape = () if count is None else (count,) if isinstance(count, int) else tuple(count)
    if not all(isinstance(size, int) and size > 0 for size in shape):
        raise DeclarationError(f"a column array has a positive size, not {count!r}")
    return shape


def _sentence(description: str) -> None:
    if not isinstance(description, str) or not description.strip():
        raise DeclarationError("a column is declared with a sentence that says what it holds")


def flatten(value: Any) -> list[Expression]:
    """The expressions of a cell, a (nested) array of cells or a group, in matrix order within each phase."""
    if isinstance(value, tuple | list):
        return [cell for item in value for cell in flatten(item)]
    if isinstance(value, Row):
        return [
            cell
            for name, item in value.__dict__.items()
            if name not in ("next", "_description")
            for cell in flatten(item)
        ]
    return [value]
