"""
Expressions: what constraints and messages are made of.

Statement
---------
An expression is a polynomial over KoalaBear in the cells of a row and the next row, periodic columns, publics and row
selectors. Equal expressions of one graph are the same object (hash-consing), operands exist before what uses them,
and constants are folded. So a graph is a list in topological order, the same list in every process.

    operation   value                               operands   degree
    CONSTANT    int in [0, p)                                  0
    PUBLIC      index of the public                            0
    COLUMN      (phase, column, offset 0 or 1)                 1
    PERIODIC    index of the pattern                           1
    SELECTOR    "first" or "last"                              1
    ADD, SUBTRACT                                   2          the larger one; -a is 0 - a
    MULTIPLY                                        2          the sum

Degree counts in units of n - 1, n the height of the chip: a column is a polynomial of degree below n.
"""

from collections.abc import Callable, Iterable
from enum import IntEnum, StrEnum
from typing import Any, TypeVar, Union

from zkvm.air.errors import DeclarationError
from zkvm.field.koala_bear import PRIME


class Phase(StrEnum):
    """When a column is committed: with the machine or program, before the global challenge, after it."""

    FIXED = "fixed"
    BOUNDARY = "boundary"
    MAIN = "main"


PHASES: tuple[Phase, ...] = (Phase.FIXED, Phase.BOUNDARY, Phase.MAIN)
"""In the order of commitment."""


class Operation(IntEnum):
    """The eight kinds of node; the numbers are part of the digest."""

    CONSTANT = 0
    PUBLIC = 1
    COLUMN = 2
    PERIODIC = 3
    SELECTOR = 4
    ADD = 5
    SUBTRACT = 6
    MULTIPLY = 7


LEAVES = frozenset((Operation.CONSTANT, Operation.PUBLIC, Operation.COLUMN, Operation.PERIODIC, Operation.SELECTOR))

Operand = Union["Expression", int]
Value = TypeVar("Value")


class Expression:
    """
    One node of a graph. Made by `Graph` and by + - * and division by an integer; never compared, never a truth value.
    """

    __slots__ = ("graph", "index", "operation", "operands", "value", "degree")

    def __init__(
        self,
        graph: "Graph",
        index: int,
        operation: Operation,
        operands: tuple["Expression", ...],
        value: Any,
        degree: int,
    ) -> None:
        self.graph = graph
        self.index = index
        self.operation = operation
        self.operands = operands
        self.value = value
        self.degree = degree

    @property
    def is_constant(self) -> bool:
        """Whether the expression is a known number, whatever the trace."""
        return self.operation is Operation.CONSTANT

    @property
    def is_negation(self) -> bool:
        """Whether the expression is 0 - x."""
        return self.operation is Operation.SUBTRACT and self.operands[0].is_constant and self.operands[0].value == 0

    def __add__(self, other: Operand) -> "Expression":
        return self.graph.add(self, self.graph.lift(other))

    __radd__ = __add__

    def __sub__(self, other: Operand) -> "Expression":
        return self.graph.subtract(self, self.graph.lift(other))

    def __rsub__(self, other: Operand) -> "Expression":
        return self.graph.subtract(self.graph.lift(other), self)

    def __mul__(self, other: Operand) -> "Expression":
        return self.graph.multiply(self, self.graph.lift(other))

    __rmul__ = __mul__

    def __neg__(self) -> "Expression":
        return self.graph.negate(self)

    def __pow__(self, exponent: int) -> "Expression":
        if not isinstance(exponent, int) or exponent < 0:
            raise DeclarationError(f"an expression is raised to a non-negative integer, not {exponent!r}")
        result = self.graph.constant(1)
        for _ in range(exponent):
            result = result * self
        return result

    def __truediv__(self, other: int) -> "Expression":
        if not isinstance(other, int) or isinstance(other, bool) or other % PRIME == 0:
            raise DeclarationError(f"an expression is divided by a non-zero integer constant, not {other!r}")
        return self * pow(other, -1, PRIME)

    def __bool__(self) -> bool:
        raise DeclarationError(
            "an expression has no truth value: its cells are not known while constraints are declared"
        )

    def _refuse_order(self, other: object) -> bool:
        raise DeclarationError("expressions have no order: compare with a range-checked difference")

    __lt__ = __le__ = __gt__ = __ge__ = _refuse_order

    def __repr__(self) -> str:
        return f"<expression {self.index}: {self.operation.name} degree {self.degree}>"


class Graph:
    """The expressions of one chip. `nodes` lists them, operands first."""

    def __init__(self) -> None:
        self.nodes: list[Expression] = []
        self._known: dict[tuple[Any, ...], Expression] = {}

    def lift(self, operand: Operand) -> Expression:
        """The operand as an expression of this graph. Raises DeclarationError for other types and other graphs."""
        if isinstance(operand, Expression):
            if operand.graph is not self:
                raise DeclarationError("an expression of one chip was used in another")
            return operand
        if isinstance(operand, int):
            return self.constant(int(operand))
        raise DeclarationError(f"{operand!r} is neither an expression nor an integer")

    def constant(self, value: int) -> Expression:
        """A number, modulo p."""
        return self._node(Operation.CONSTANT, (), value % PRIME, 0)

    def public(self, index: int) -> Expression:
        """Public value number `index` of the chip."""
        return self._node(Operation.PUBLIC, (), index, 0)

    def column(self, phase: Phase, index: int, offset: int) -> Expression:
        """The cell of column `index` on this row (offset 0) or the next one (offset 1, cyclic)."""
        return self._node(Operation.COLUMN, (), (phase, index, offset), 1)

    def periodic(self, index: int) -> Expression:
        """Periodic pattern number `index` of the chip."""
        return self._node(Operation.PERIODIC, (), index, 1)

    def selector(self, name: str) -> Expression:
        """1 on the "first" or on the "last" row, 0 on the others."""
        return self._node(Operation.SELECTOR, (), name, 1)

    def add(self, a: Expression, b: Expression) -> Expression:
        if a.is_constant and b.is_constant:
            return self.constant(a.value + b.value)
        if a.is_constant and a.value == 0:
            return b
        if b.is_constant and b.value == 0:
            return a
        # One order for a + b and b + a.
        return self._node(Operation.ADD, (a, b) if a.index <= b.index else (b, a), None, max(a.degree, b.degree))

    def subtract(self, a: Expression, b: Expression) -> Expression:
        if a is b:
            return self.constant(0)
        if a.is_constant and b.is_constant:
            return self.constant(a.value - b.value)
        if b.is_constant and b.value == 0:
            return a
        if a.is_constant and a.value == 0 and b.is_negation:
            return b.operands[1]
        return self._node(Operation.SUBTRACT, (a, b), None, max(a.degree, b.degree))

    def multiply(self, a: Expression, b: Expression) -> Expression:
        if a.is_constant and b.is_constant:
            return self.constant(a.value * b.value)
        if b.is_constant:
            a, b = b, a
        if a.is_constant:
            if a.value == 0:
                return a
            if a.value == 1:
                return b
            if a.value == PRIME - 1:
                return self.negate(b)
        return self._node(Operation.MULTIPLY, (a, b) if a.index <= b.index else (b, a), None, a.degree + b.degree)

    def negate(self, a: Expression) -> Expression:
        return self.subtract(self.constant(0), a)

    def _node(self, operation: Operation, operands: tuple[Expression, ...], value: Any, degree: int) -> Expression:
        key = (operation, tuple(o.index for o in operands), value)
        known = self._known.get(key)
        if known is None:
            known = Expression(self, len(self.nodes), operation, operands, value, degree)
            self.nodes.append(known)
            self._known[key] = known
        return known


def reachable(roots: Iterable[Expression]) -> list[Expression]:
    """The expressions that the roots are made of, themselves included, operands first, each once. All of one graph."""
    seen: dict[int, Expression] = {}
    pending = list(roots)
    while pending:
        node = pending.pop()
        if node.index not in seen:
            seen[node.index] = node
            pending.extend(node.operands)
    return [seen[index] for index in sorted(seen)]


def evaluate(
    roots: Iterable[Expression],
    leaf: Callable[[Expression], Value],
    reduce: Callable[[Value], Value] = lambda value: value,
) -> list[Value]:
    """
    The values of the roots, by + - * on whatever `leaf` returns.

    leaf:   the value of a node without operands.
    reduce: applied to the result of every operation, e.g. modulo p.
    """
    roots = list(roots)
    values: dict[int, Any] = {}
    for node in reachable(roots):
        operation = node.operation
        if operation in LEAVES:
            values[node.index] = leaf(node)
        elif operation is Operation.ADD:
            values[node.index] = reduce(values[node.operands[0].index] + values[node.operands[1].index])
        elif operation is Operation.SUBTRACT:
            values[node.index] = reduce(values[node.operands[0].index] - values[node.operands[1].index])
        else:
            values[node.index] = reduce(values[node.operands[0].index] * values[node.operands[1].index])
    return [values[root.index] for root in roots]
