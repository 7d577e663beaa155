"""
Openings: from "these columns have these values at z" to "these words have low degree" (DEEP).

Statement
---------
For each height, with x a point of the extended domain, f over its columns and w the generator of the trace's domain:

    D(x) = sum c (f(x) - f(z)) / (x - z) + sum c' (f(x) - f(z w)) / (x - z w)

the second sum over the columns that a constraint reads on the next row. If every claimed value is right, D is a
polynomial of degree below n; if one is wrong, then D is far from every such polynomial but for a few choices of
coefficients. The coefficient of opening number j is prod_b r_b^(bit b of j): ceil(log2 count) challenges for all of
them.
"""

from collections.abc import Sequence
from typing import Any

from zkvm.field.extension import ONE, ZERO, Extension
from zkvm.field.koala_bear import GENERATOR, two_adic_generator
from zkvm.protocol.arithmetic import Arithmetic
from zkvm.protocol.plan import ShardPlan


def batching_coefficients(challenges: Sequence[Extension], count: int) -> list[Extension]:
    """The first `count` entries of the tensor product of (1, r_b), bit 0 first."""
    coefficients = [ONE]
    for challenge in challenges:
        coefficients += [coefficient * challenge for coefficient in coefficients[: max(count - len(coefficients), 0)]]
    return coefficients[:count]


def claimed_sums(
    plan: ShardPlan, coefficients: Sequence[Extension], opened: Sequence[Extension]
) -> dict[tuple[int, bool], Extension]:
    """(log height, is next) -> the sum of coefficient * claimed value."""
    sums: dict[tuple[int, bool], Extension] = {}
    for opening in plan.openings:
        group = (plan.trees[opening.tree].entries[opening.entry].log_height, opening.is_next)
        total = sums.get(group, ZERO)
        for number in range(opening.first, opening.first + len(opening.columns)):
            total = total + coefficients[number] * opened[number]
        sums[group] = total
    return sums


def next_point(point: Extension, log_height: int) -> Extension:
    """z * w, w the generator of the trace's domain."""
    return point * two_adic_generator(log_height)


def entry_coefficients(plan: ShardPlan, coefficients: Sequence[Extension], number: int) -> list[Extension]:
    """Of one run of openings, spread over all columns of its matrix: 0 for columns that the run leaves out."""
    opening = plan.openings[number]
    spread = [ZERO] * plan.trees[opening.tree].entries[opening.entry].width
    for offset, column in enumerate(opening.columns):
        spread[column] = coefficients[opening.first + offset]
    return spread


def quotient_at_query(
    arithmetic: Arithmetic,
    plan: ShardPlan,
    spread: Sequence[Sequence[Extension]],
    sums: dict[tuple[int, bool], Extension],
    point: Extension,
    rows: Sequence[Sequence[Any]],
    index: Any,
    log_height: int,
) -> Any:
    """
    D of one height at the query's point, from opened rows.

    spread: entry_coefficients of each run of openings. sums: claimed_sums. rows: [tree][entry], lane values.
        log_height: of the traces.
    """
    extended = log_height + plan.parameters.log_blowup
    x = arithmetic.domain_point(extended, index, GENERATOR)
    total: Any = None
    for is_next, at in ((False, point), (True, next_point(point, log_height))):
        combined: Any = None
        for opening, weights in zip(plan.openings, spread):
            if opening.is_next == is_next and plan.trees[opening.tree].entries[opening.entry].log_height == log_height:
                part = arithmetic.combine(rows[opening.tree][opening.entry], weights)
                combined = part if combined is None else combined + part
        if combined is not None:
            part = arithmetic.divide(combined - sums[log_height, is_next], x - at)
            total = part if total is None else total + part
    return total
