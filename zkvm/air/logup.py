"""
LogUp: from a chip's messages to auxiliary columns.

Statement
---------
A message of bus b with values v_0, ..., v_(k-1) on a row has the fingerprint d = alpha - (b + sum_i beta^(i+1) v_i)
and the numerator m = sign * count. Messages of one scope (local, global) are put into groups, in order of
declaration, each into the first group that still
has room: at most `fractions_per_column` members, and degree at most 3 of

    c * prod_j d_j = sum_j m_j * prod_(i != j) d_i .

Every group but the last of its scope has an auxiliary extension column c = sum_j m_j / d_j with that constraint. The
last group has none: the accumulator S of the scope takes its place, with

    (S.next - S - sum of the scope's other c + T / n) * prod_j d_j = sum_j m_j * prod_(i != j) d_i

on every row, the last followed by the first, n the height. Summed over the rows, S cancels and T = sum over rows and
messages of m / d: the chip's public sum of the scope. S is 0 on row 0 by the prover's choice; any constant may be
added to it.

Columns in order: local c's, local S, global c's, global S; each is five base columns. Constraints in the same order.

Source: U. Haboeck, Multivariate lookups based on logarithmic derivatives (eprint 2022/1530), section 3, in its
univariate form.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from zkvm.air.builder import MAXIMUM_DEGREE, Message
from zkvm.air.errors import DeclarationError

SCOPES: tuple[str, str] = ("local", "global")


@dataclass(frozen=True)
class FractionGroup:
    """
    Messages that share one constraint.

    messages: indices into the chip's messages.
    column:   the auxiliary extension column of c, or of S if is_last.
    degree:   of the constraint.
    """

    scope: str
    messages: tuple[int, ...]
    column: int
    is_last: bool
    degree: int


@dataclass(frozen=True)
class Layout:
    """The auxiliary columns of a chip."""

    groups: tuple[FractionGroup, ...]

    @property
    def width(self) -> int:
        """Number of extension columns; the matrix has five times as many base columns."""
        return len(self.groups)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that have messages."""
        return tuple(group.scope for group in self.groups if group.is_last)

    def accumulator(self, scope: str) -> int | None:
        """The extension column of S; None if the scope has no message."""
        return next((g.column for g in self.groups if g.is_last and g.scope == scope), None)

    def columns_of(self, scope: str) -> tuple[int, ...]:
        """The extension columns c of a scope, without S."""
        return tuple(g.column for g in self.groups if g.scope == scope and not g.is_last)

    @property
    def next_columns(self) -> tuple[int, ...]:
        """The base columns read on the next row: those of the accumulators."""
        return tuple(5 * g.column + i for g in self.groups if g.is_last for i in range(5))


def group_degree(messages: Sequence[Message]) -> int:
    """The degree of the constraint that the messages would share."""
    product = sum(m.degree for m in messages)
    numerators = max(m.count.degree + product - m.degree for m in messages)
    return max(1 + product, numerators)


def layout(messages: Sequence[Message], fractions_per_column: int) -> Layout:
    """
    The groups and columns; deterministic, first fit in order of declaration.

    Raises DeclarationError if fractions_per_column is less than 1.
    """
    if fractions_per_column < 1:
        raise DeclarationError(f"an auxiliary column holds at least one fraction, not {fractions_per_column}")
    groups: list[FractionGroup] = []
    for scope in SCOPES:
        members: list[list[int]] = []
        for index, message in enumerate(messages):
            if message.bus.scope != scope:
                continue
            for group in members:
                joined = [messages[i] for i in group] + [message]
                if len(joined) <= fractions_per_column and group_degree(joined) <= MAXIMUM_DEGREE:
                    group.append(index)
                    break
            else:
                members.append([index])
        for position, group in enumerate(members):
            groups.append(
                FractionGroup(
                    scope,
                    tuple(group),
                    len(groups),
                    position == len(members) - 1,
                    group_degree([messages[i] for i in group]),
                )
            )
    return Layout(tuple(groups))


def fingerprint(identifier: Any, values: Sequence[Any], alpha: Any, beta_powers: Sequence[Any]) -> Any:
    """
    alpha - (identifier + sum beta^(i+1) values_i), by + - *; beta_powers[i] is beta^(i+1). Everything is already of
    the value type.
    """
    total = identifier
    for power, value in zip(beta_powers, values):
        total = total + power * value
    return alpha - total


def constraint_values(
    layout: Layout,
    messages: Sequence[Message],
    fingerprints: Sequence[Any],
    counts: Sequence[Any],
    this: Sequence[Any],
    following: Callable[[int], Any],
    mean: Callable[[str], Any],
) -> list[Any]:
    """
    The left side minus the right side of every LogUp constraint at one point, by + - * on the values only.

    fingerprints, counts: per message; counts are unsigned.
    this:      the auxiliary extension columns on this row.
    following: an accumulator's extension column -> its value on the next row.
    mean:      scope -> T / n.
    """
    values = []
    for group in layout.groups:
        if group.is_last:
            column = following(group.column) - this[group.column]
            for other in layout.columns_of(group.scope):
                column = column - this[other]
            column = column + mean(group.scope)
        else:
            column = this[group.column]
        value = column
        for j in group.messages:
            value = value * fingerprints[j]
        for j in group.messages:
            term = counts[j]
            for i in group.messages:
                if i != j:
                    term = term * fingerprints[i]
            value = value - term if messages[j].sign > 0 else value + term
        values.append(value)
    return values


def constraint_names(layout: Layout, messages: Sequence[Message]) -> list[str]:
    """A name for each LogUp constraint, in order."""
    names = []
    for group in layout.groups:
        kind = "sum" if group.is_last else "fractions"
        names.append(f"{group.scope} {kind}: " + ", ".join(messages[j].label for j in group.messages))
    return names
