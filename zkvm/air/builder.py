"""
The builder: what `constrain(air, row)` speaks to.

    air.zero("carry is a bit", carry * (carry - 1))
    air.when(row.is_add).equal("sum", row.a, row.b + row.c)
    air.on_transition().equal("clock moves on", row.next.clk, row.clk + 4)
    air.send(RANGE, 16, row.a, count=row.is_real)

Every constraint holds on every row, the last one followed by the first; guards multiply it. A guard multiplies the
count of a message as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from zkvm.air.bus import Bus
from zkvm.air.errors import DeclarationError
from zkvm.air.expression import Expression, Graph, Operand, Operation, Phase, reachable
from zkvm.field.koala_bear import PRIME

MAXIMUM_DEGREE: int = 3
"""Of every constraint: the quotient then has degree below 2n and the low-degree extension of rate 1/2 suffices."""


READ_OFF = "read off"
"""Says that a message's largest count follows from the chip's constraints."""


@dataclass(frozen=True)
class Constraint:
    """
    One named identity: `expression` is 0 on every row.

    guards: how the guards read, for reports; they are multiplied into the expression already.
    """

    name: str
    expression: Expression
    guards: tuple[str, ...] = ()

    @property
    def degree(self) -> int:
        """Guards included."""
        return self.expression.degree


@dataclass(frozen=True)
class Message:
    """
    One tuple per row, put on a bus `count` times.

    label:         unique in the chip; "send memory 2" unless given.
    sign:          +1 send, -1 receive.
    maximum_count: the largest value that the count takes by constraint; None for a table's multiplicity, which
                   nothing bounds and nothing has to: the counts on the other side are bounded.
    """

    label: str
    bus: Bus
    sign: int
    values: tuple[Expression, ...]
    count: Expression
    maximum_count: int | None

    @property
    def direction(self) -> str:
        """ "send" or "receive"."""
        return "send" if self.sign > 0 else "receive"

    @property
    def degree(self) -> int:
        """The largest degree of a value: that of the fingerprint."""
        return max(value.degree for value in self.values)


class Guarded:
    """
    A builder whose constraints hold where the product of its guards is not zero. `AirBuilder` is the one without
    guards.
    """

    def __init__(self, root: "AirBuilder", guard: Expression | None, texts: tuple[str, ...]) -> None:
        self._root = root
        self._guard = guard
        self._texts = texts

    def zero(self, name: str, expression: Operand) -> None:
        """
        The expression is 0 on every row (where the guards are not).

        Raises DeclarationError for a repeated or empty name, a constant expression, or a degree over the maximum.
        """
        lifted = self._root.graph.lift(expression)
        if self._guard is not None:
            lifted = self._guard * lifted
        self._root._add_constraint(Constraint(name, lifted, self._texts))

    def equal(self, name: str, left: Operand, right: Operand) -> None:
        """left = right."""
        graph = self._root.graph
        self.zero(name, graph.lift(left) - graph.lift(right))

    def bit(self, name: str, expression: Operand) -> None:
        """The expression is 0 or 1."""
        lifted = self._root.graph.lift(expression)
        self.zero(name, lifted * (lifted - 1))

    def when(self, condition: Operand) -> "Guarded":
        """A builder that multiplies by the condition: what it states holds where the condition is not 0."""
        return self._with(self._root.graph.lift(condition), "when a condition holds")

    def on_first_row(self) -> "Guarded":
        """Only on row 0."""
        return self._with(self._root.graph.selector("first"), "on the first row")

    def on_last_row(self) -> "Guarded":
        """Only on row n - 1."""
        return self._with(self._root.graph.selector("last"), "on the last row")

    def on_transition(self) -> "Guarded":
        """On all rows but the last: where `row.next` is not the wrapped first row."""
        return self._with(1 - self._root.graph.selector("last"), "on all rows but the last")

    def send(
        self,
        bus: Bus,
        *values: Operand,
        count: Operand,
        label: str | None = None,
        maximum_count: int | str | None = READ_OFF,
    ) -> None:
        """
        Puts (values) on the bus `count` times per row.

        count:         a boolean expression times a constant; a table's multiplicity is a plain column.
        label:         unique in the chip.
        maximum_count: bound on the count, or on p - count, that the chip's constraints give. Left out, it is read off
                       the expression: from constants, bit columns and whatever else the chip constrains to be a bit,
                       their sums, differences and products. None says that it is a table's multiplicity; so does, on
                       a receive, a plain column as count.

        Raises DeclarationError for a wrong number of values, a repeated label, a degree that cannot be proven, a
        count that is always 0 or whose bound cannot be read off, and for a global bus for anything but boundary, fixed
        and periodic columns, publics and constants.
        """
        self._message(bus, +1, values, count, label, maximum_count)

    def receive(
        self,
        bus: Bus,
        *values: Operand,
        count: Operand,
        label: str | None = None,
        maximum_count: int | str | None = READ_OFF,
    ) -> None:
        """Takes (values) off the bus `count` times per row; arguments and errors as `send`."""
        self._message(bus, -1, values, count, label, maximum_count)

    def public(self, name: str) -> Expression:
        """The shard's public value of that name."""
        return self._root._public(name)

    def constant(self, value: int) -> Expression:
        """A number as an expression."""
        return self._root.graph.constant(value)

    def _with(self, guard: Expression, text: str) -> "Guarded":
        combined = guard if self._guard is None else self._guard * guard
        return Guarded(self._root, combined, (*self._texts, text))

    def _message(
        self,
        bus: Bus,
        sign: int,
        values: tuple[Operand, ...],
        count: Operand,
        label: str | None,
        maximum_count: int | str | None,
    ) -> None:
        graph = self._root.graph
        lifted_count = graph.lift(count)
        if self._guard is not None:
            lifted_count = self._guard * lifted_count
        self._root._add_message(bus, sign, tuple(graph.lift(v) for v in values), lifted_count, label, maximum_count)


class AirBuilder(Guarded):
    """
    Collects what one chip declares.

    patterns: the values of each periodic pattern.
    """

    def __init__(self, graph: Graph, chip_name: str, patterns: Sequence[tuple[int, ...]]) -> None:
        super().__init__(self, None, ())
        self.graph = graph
        self.chip_name = chip_name
        self.constraints: list[Constraint] = []
        self._pending: list[tuple[Message, int | str | None]] = []
        self.publics: list[str] = []
        self._patterns = patterns
        self._names: set[str] = set()
        self._labels: set[str] = set()
        self._buses: dict[str, Bus] = {}
        self._counters: dict[tuple[str, int], int] = {}

    def _refuse(self, reason: str) -> DeclarationError:
        return DeclarationError(f"chip {self.chip_name}: {reason}")

    def _add_constraint(self, constraint: Constraint) -> None:
        name = constraint.name
        if not isinstance(name, str) or not name.strip():
            raise self._refuse("a constraint has no name")
        if name in self._names:
            raise self._refuse(f"two constraints are named {name!r}")
        if constraint.expression.is_constant:
            state = "holds always" if constraint.expression.value == 0 else "can never hold"
            raise self._refuse(f"constraint {name!r} has no column in it and {state}")
        if constraint.degree > MAXIMUM_DEGREE:
            raise self._refuse(f"constraint {name!r} has degree {constraint.degree}; the maximum is {MAXIMUM_DEGREE}")
        self._names.add(name)
        self.constraints.append(constraint)

    def _add_message(
        self,
        bus: Bus,
        sign: int,
        values: tuple[Expression, ...],
        count: Expression,
        label: str | None,
        maximum_count: int | str | None,
    ) -> None:
        if not isinstance(bus, Bus):
            raise self._refuse(f"{bus!r} is not a bus")
        if self._buses.setdefault(bus.name, bus) != bus:
            raise self._refuse(f"two different buses are named {bus.name!r}")
        direction = "send" if sign > 0 else "receive"
        if label is None:
            number = self._counters.get((bus.name, sign), 0)
            self._counters[bus.name, sign] = number + 1
            label = f"{direction} {bus.name} {number}"
        if label in self._labels:
            raise self._refuse(f"two messages are labelled {label!r}")
        if len(values) != bus.width:
            raise self._refuse(
                f"message {label!r} has {len(values)} values; bus {bus.name} takes {bus.width}: {bus.fields}"
            )
        if count.is_constant and count.value == 0:
            raise self._refuse(f"message {label!r} is never on the bus: its count is 0")
        if bus.scope == "global":
            self._check_global(label, (*values, count))
        if maximum_count != READ_OFF and maximum_count is not None and not 0 < maximum_count < PRIME:
            raise self._refuse(f"message {label!r}: its largest count is a positive integer, not {maximum_count!r}")
        message = Message(label, bus, sign, values, count, None)
        # Alone in its auxiliary column the message costs c * d - m.
        degree = max(1 + message.degree, count.degree)
        if degree > MAXIMUM_DEGREE:
            raise self._refuse(
                f"message {label!r} has values of degree {message.degree} and a count of degree {count.degree}: "
                f"its constraint would have degree {degree}; the maximum is {MAXIMUM_DEGREE}"
            )
        self._labels.add(label)
        self._pending.append((message, maximum_count))

    def _check_global(self, label: str, expressions: tuple[Expression, ...]) -> None:
        for node in reachable(expressions):
            late = node.operation is Operation.COLUMN and node.value[0] is Phase.MAIN
            if late or node.operation is Operation.SELECTOR:
                what = "a main-phase column" if late else "a row selector"
                raise self._refuse(
                    f"global message {label!r} uses {what}: only boundary, fixed and periodic columns, publics and "
                    "constants are settled before the global challenge"
                )

    def messages(self) -> list[Message]:
        """The messages, with bounds read off now that all constraints are known."""
        bits = self._bits()
        return [replace(m, maximum_count=self._bound_of(m, bound, bits)) for m, bound in self._pending]

    def _bits(self) -> set[int]:
        """The expressions x for which x (x - 1) = 0 is a constraint without guard."""
        bits = set()
        for constraint in self.constraints:
            expression = constraint.expression
            if expression.operation is not Operation.MULTIPLY:
                continue
            for x, other in (expression.operands, expression.operands[::-1]):
                if x - 1 is other:
                    bits.add(x.index)
        return bits

    def _bound_of(self, message: Message, given: int | str | None, bits: set[int]) -> int | None:
        if given != READ_OFF:
            return given  # type: ignore[return-value]
        bound = self._largest(message.count, bits)
        if bound is None and not (message.sign < 0 and message.count.operation is Operation.COLUMN):
            raise self._refuse(
                f"message {message.label!r}: no bound of its count can be read off; constrain it to be a bit, or say "
                "maximum_count"
            )
        return bound

    def _largest(self, count: Expression, bits: set[int]) -> int | None:
        """The largest min(count, p - count) that the constraints allow; None if it cannot be read off."""
        if count.is_constant:
            return min(count.value, PRIME - count.value)
        if count.index in bits or count.operation is Operation.SELECTOR:
            return 1
        if count.operation is Operation.COLUMN and count.value[2]:
            # The next row's cell obeys the same constraints.
            return self._largest(self.graph.column(*count.value[:2], 0), bits)
        if count.operation is Operation.PERIODIC:
            return max(min(v, PRIME - v) for v in self._patterns[count.value])
        if len(count.operands) != 2:
            return None
        a, b = (self._largest(operand, bits) for operand in count.operands)
        if a is None or b is None:
            return None
        if count.operation is Operation.MULTIPLY:
            return a * b
        # a - b for a, b in [0, 1], the usual 1 - x included, stays within the larger one.
        one_sided = count.operation is Operation.SUBTRACT and all(
            (o.is_constant and o.value <= PRIME // 2) or o.operation is Operation.SELECTOR or o.index in bits
            for o in count.operands
        )
        return max(a, b) if one_sided else a + b

    def _public(self, name: str) -> Expression:
        if not isinstance(name, str) or not name.strip():
            raise self._refuse("a public value has no name")
        if name not in self.publics:
            self.publics.append(name)
        return self.graph.public(self.publics.index(name))
