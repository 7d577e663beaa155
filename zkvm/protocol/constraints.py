"""
What the protocol needs to know about a chip: one place that reads the AIR language's objects.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from zkvm.air.backends.point import BASIS, Opened, folded_constraints, periodic_values, selectors
from zkvm.air.chip import Chip
from zkvm.air.expression import PHASES, Phase
from zkvm.field.extension import DEGREE, ZERO, Extension
from zkvm.protocol.logup import LogUpChallenge


@dataclass(frozen=True)
class ChipFacts:
    """Widths in base columns, columns read on the next row, and what the calculator counts."""

    name: str
    fixed_width: int
    boundary_width: int
    main_width: int
    auxiliary_width: int
    fixed_next: tuple[int, ...]
    boundary_next: tuple[int, ...]
    main_next: tuple[int, ...]
    auxiliary_next: tuple[int, ...]
    has_local: bool
    """Whether the chip has messages on local buses, hence a local sum."""
    has_global: bool
    constraint_count: int
    degree: int
    local_message_weight: int
    """Sum over the local messages of a row of (fields + 1)."""
    global_message_weight: int
    bounded_counts: tuple[tuple[str, str, int], ...]
    """(bus, scope, largest count) of every message but a table's multiplicities."""


@cache
def chip_facts(chip: Chip) -> ChipFacts:
    """The facts of a chip, computed once."""
    widths, following = chip.widths, chip.next_columns
    scopes = {message.bus.scope for message in chip.messages}

    def weight(scope: str) -> int:
        return sum(message.bus.width + 1 for message in chip.messages if message.bus.scope == scope)

    return ChipFacts(
        name=chip.name,
        fixed_width=widths[Phase.FIXED],
        boundary_width=widths[Phase.BOUNDARY],
        main_width=widths[Phase.MAIN],
        auxiliary_width=chip.auxiliary_width,
        fixed_next=following[Phase.FIXED],
        boundary_next=following[Phase.BOUNDARY],
        main_next=following[Phase.MAIN],
        auxiliary_next=chip.auxiliary_next_columns,
        has_local="local" in scopes,
        has_global="global" in scopes,
        constraint_count=chip.constraint_count,
        degree=chip.degree,
        local_message_weight=weight("local"),
        global_message_weight=weight("global"),
        bounded_counts=tuple(
            (message.bus.name, message.bus.scope, message.maximum_count)
            for message in chip.messages
            if message.maximum_count is not None
        ),
    )


def folded_constraints_at_point(
    chip: Chip,
    log_height: int,
    at_point: Mapping[str, Sequence[Extension]],
    at_next: Mapping[str, Sequence[Extension]],
    publics: Mapping[str, int],
    challenges: Mapping[str, LogUpChallenge],
    sums: Mapping[str, Extension],
    folding: Extension,
    point: Extension,
) -> Extension:
    """
    sum_i folding^i C_i(z), from the opened values.

    at_point, at_next: by phase ("fixed", "boundary", "main", "auxiliary"): all columns at z, those read on the next
        row at z w.
    sums: by scope, for the chip's scopes. The point is outside the trace's domain.
    """
    first, last = selectors(point, log_height)
    opened = Opened(
        this={phase: at_point.get(phase, ()) for phase in PHASES},
        following={phase: at_next.get(phase, ()) for phase in PHASES},
        auxiliary=at_point.get("auxiliary", ()),
        auxiliary_next=at_next.get("auxiliary", ()),
        periodic=periodic_values(chip, lambda log_period: point ** (1 << (log_height - log_period))),
        first=first,
        last=last,
    )
    pairs = {scope: (challenge.alpha, challenge.beta) for scope, challenge in challenges.items()}
    return folded_constraints(chip, opened, publics, pairs, sums, log_height, folding)


def quotient_at_point(chunks: Sequence[Extension], point: Extension, log_height: int) -> Extension:
    """
    Z_H(z) Q(z), Z_H = x^n - 1, from the opened values of the quotient's ten columns: low half, then high half, five
    columns each.
    """
    power = point ** (1 << log_height)
    low, high = (
        sum((value * basis for value, basis in zip(chunks[start : start + DEGREE], BASIS)), ZERO)
        for start in (0, DEGREE)
    )
    return (power - 1) * (low + power * high)
