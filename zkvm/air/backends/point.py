"""
The verifier's use of a chip: its constraints at one point, from opened values.

Generic over the type of the values: only + - * between them, never a comparison, a branch or an integer operation on
one. Integers enter through `lift`. So the same code computes with extension elements (verify), recorded values
(recursion) or counters (cost).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from zkvm.air import logup
from zkvm.air.chip import Chip
from zkvm.air.errors import TraceError
from zkvm.air.expression import Expression, Operation, Phase, evaluate
from zkvm.field import koala_bear
from zkvm.field.extension import DEGREE, Extension, X, powers

Value = TypeVar("Value")
Lift = Callable[[int], Any]
BASIS: tuple[Extension, ...] = tuple(powers(X, DEGREE))
"""1, X, ..., X^4: an extension column is the sum of its five base columns times these."""


@dataclass(frozen=True)
class Opened(Generic[Value]):
    """
    What is known about a chip at the point z, with w the generator of its trace domain.

    this:           per phase with columns, every column at z.
    following:      per phase, the columns `chip.next_columns[phase]` at z w, in that order; may lack phases without
                    any.
    auxiliary:      every base column of the auxiliary matrix at z; auxiliary_next: `chip.auxiliary_next_columns` at z
                    w.
    periodic:       every pattern of `chip.periodic` at z.
    first, last:    the selectors (Z_H(z) / n) / (z - 1) and (Z_H(z) w^-1 / n) / (z - w^-1).
    """

    this: Mapping[Phase, Sequence[Value]]
    following: Mapping[Phase, Sequence[Value]]
    auxiliary: Sequence[Value]
    auxiliary_next: Sequence[Value]
    periodic: Sequence[Value]
    first: Value
    last: Value


def constraint_values(
    chip: Chip,
    opened: Opened[Value],
    publics: Mapping[str, int] | Sequence[Value],
    challenges: Mapping[str, tuple[Value, Value]],
    sums: Mapping[str, Value],
    log_height: int,
    lift: Lift = Extension.from_base,
    basis: Sequence[Value] = BASIS,  # type: ignore[assignment]
) -> list[Value]:
    """
    The value of each constraint, declared ones first, then those of LogUp.

    publics:    by name, canonical integers; or values in the order of `chip.publics`.
    challenges: (alpha, beta) by scope. sums: T by scope; both for the scopes of `chip.auxiliary.scopes` at least.
    lift:       an integer constant as a value. basis: 1, X, ..., X^4 as values.
    Raises TraceError where the opened values are not as many as the chip has columns.
    """
    _check_counts(chip, opened, challenges, sums)
    public_values = [lift(v) for v in chip.public_values(publics)] if isinstance(publics, Mapping) else list(publics)
    if len(public_values) != len(chip.publics):
        raise TraceError(f"chip {chip.name}: {len(public_values)} public values, not {len(chip.publics)}")
    next_position = {phase: {c: i for i, c in enumerate(columns)} for phase, columns in chip.next_columns.items()}

    def leaf(node: Expression) -> Value:
        if node.operation is Operation.COLUMN:
            phase, column, offset = node.value
            return opened.following[phase][next_position[phase][column]] if offset else opened.this[phase][column]
        if node.operation is Operation.PERIODIC:
            return opened.periodic[node.value]
        if node.operation is Operation.SELECTOR:
            return opened.first if node.value == "first" else opened.last
        return public_values[node.value] if node.operation is Operation.PUBLIC else lift(node.value)

    results = evaluate(chip.roots, leaf)
    values, rest = results[: len(chip.constraints)], iter(results[len(chip.constraints) :])

    beta_powers = {scope: _beta_powers(chip, scope, challenges) for scope in chip.auxiliary.scopes}
    fingerprints, counts = [], []
    for message in chip.messages:
        scope = message.bus.scope
        message_values = [next(rest) for _ in message.values]
        counts.append(next(rest))
        fingerprints.append(
            logup.fingerprint(lift(message.bus.identifier), message_values, challenges[scope][0], beta_powers[scope])
        )

    inverse_of_height = lift(koala_bear.inverse(1 << log_height))
    accumulators = [g.column for g in chip.auxiliary.groups if g.is_last]
    values += logup.constraint_values(
        chip.auxiliary,
        chip.messages,
        fingerprints,
        counts,
        this=[_join(opened.auxiliary[5 * k : 5 * k + 5], basis) for k in range(chip.auxiliary.width)],
        following=lambda column: _join(opened.auxiliary_next[5 * accumulators.index(column) :][:5], basis),
        mean=lambda scope: sums[scope] * inverse_of_height,
    )
    return values


def folded_constraints(
    chip: Chip,
    opened: Opened[Value],
    publics: Mapping[str, int] | Sequence[Value],
    challenges: Mapping[str, tuple[Value, Value]],
    sums: Mapping[str, Value],
    log_height: int,
    folding: Value,
    lift: Lift = Extension.from_base,
    basis: Sequence[Value] = BASIS,  # type: ignore[assignment]
) -> Value:
    """
    sum_i folding^i C_i(z), which an honest prover's Z_H(z) Q(z) equals. Arguments and errors as `constraint_values`.
    """
    values = constraint_values(chip, opened, publics, challenges, sums, log_height, lift, basis)
    total = values[-1]
    for value in reversed(values[:-1]):
        total = total * folding + value
    return total


def periodic_values(chip: Chip, power: Callable[[int], Value], lift: Lift = Extension.from_base) -> list[Value]:
    """
    Every pattern of `chip.periodic` at z: the polynomial of degree below the period m through the pattern, at z^(n /
    m).

    power: log2 m -> z^(n / m).
    """
    values = []
    for _, pattern in chip.periodic:
        log_period = len(pattern).bit_length() - 1
        point = power(log_period)
        coefficients = interpolate_pattern(pattern)
        total = lift(coefficients[-1])
        for coefficient in reversed(coefficients[:-1]):
            total = total * point + lift(coefficient)
        values.append(total)
    return values


def selectors(z: Extension, log_height: int) -> tuple[Extension, Extension]:
    """
    (first, last) at z: polynomials of degree below n that are 1 on row 0, or on row n - 1, and 0 on the others.

    Raises ZeroDivisionError where z is one of these two points: the transcript draws z outside both domains.
    """
    height = 1 << log_height
    root = koala_bear.two_adic_generator(log_height)
    last_point = koala_bear.inverse(root)
    vanishing = (z**height - 1) * koala_bear.inverse(height)
    return vanishing / (z - 1), vanishing * last_point / (z - last_point)


def _join(columns: Sequence[Value], basis: Sequence[Value]) -> Value:
    total = columns[0]
    for column, power in zip(columns[1:], basis[1:]):
        total = total + column * power  # type: ignore[operator]
    return total


def _beta_powers(chip: Chip, scope: str, challenges: Mapping[str, tuple[Value, Value]]) -> list[Value]:
    width = max(m.bus.width for m in chip.messages if m.bus.scope == scope)
    beta = challenges[scope][1]
    result = [beta]
    for _ in range(width - 1):
        result.append(result[-1] * beta)  # type: ignore[operator]
    return result


def interpolate_pattern(pattern: Sequence[int]) -> list[int]:
    """
    Coefficients of the polynomial of degree below m with value pattern[i] at omega_m^i, by the definition of the
    inverse transform.
    """
    m = len(pattern)
    root = koala_bear.inverse(koala_bear.two_adic_generator(m.bit_length() - 1))
    scale = koala_bear.inverse(m)
    table = koala_bear.powers(root, m)
    return [scale * sum(v * table[i * k % m] for i, v in enumerate(pattern)) % koala_bear.PRIME for k in range(m)]


def _check_counts(chip: Chip, opened: Opened[Any], challenges: Mapping[str, Any], sums: Mapping[str, Any]) -> None:
    expected = [(f"{phase} columns", len(opened.this.get(phase, ())), width) for phase, width in chip.widths.items()]
    expected += [
        (f"{phase} columns on the next row", len(opened.following.get(phase, ())), len(columns))
        for phase, columns in chip.next_columns.items()
    ]
    expected.append(("auxiliary columns", len(opened.auxiliary), chip.auxiliary_width))
    expected.append(("auxiliary columns on the next row", len(opened.auxiliary_next), len(chip.auxiliary_next_columns)))
    expected.append(("periodic values", len(opened.periodic), len(chip.periodic)))
    for what, found, wanted in expected:
        if found != wanted:
            raise TraceError(f"chip {chip.name}: {found} {what} were opened, not {wanted}")
    for scope in chip.auxiliary.scopes:
        if scope not in challenges or scope not in sums:
            raise TraceError(f"chip {chip.name}: the challenges and the sum of the {scope} scope are needed")
