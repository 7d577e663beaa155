"""The figures of a chip, computed from its declaration: what cost models, the security calculator and pages read."""

from dataclasses import dataclass

from zkvm.air.chip import Chip
from zkvm.air.expression import Operation, Phase, reachable

QUOTIENT_COLUMNS: int = 10
"""Two chunks of one extension element."""


@dataclass(frozen=True)
class Parameters:
    """
    Counts of one chip.

    *_columns:        committed base columns by phase; quotient included.
    opened_values:    (column, point) pairs: every column at z, and those read on the next row at z w.
    constraint_count: with LogUp constraints. degree: the largest.
    message_count:    by bus.
    count_bounds:     by bus, the sum of the largest counts of its messages, multiplicities of tables left out; times
                      the height it bounds what cancels.
    cells_per_row:    boundary + main + auxiliary + quotient: what proving a row costs. Fixed columns are committed
                      once, not per proof.
    operations:       nodes of the graph that compute.
    """

    name: str
    fixed_columns: int
    boundary_columns: int
    main_columns: int
    auxiliary_columns: int
    quotient_columns: int
    opened_values: int
    constraint_count: int
    degree: int
    message_count: dict[str, int]
    count_bounds: dict[str, int]
    clk_increment: int
    minimum_height: int
    cells_per_row: int
    operations: int


def parameters(chip: Chip) -> Parameters:
    """Reads a chip's figures off its declaration."""
    widths = chip.widths
    message_count: dict[str, int] = {}
    count_bounds: dict[str, int] = {}
    for message in chip.messages:
        name = message.bus.name
        message_count[name] = message_count.get(name, 0) + 1
        if message.maximum_count is not None:
            count_bounds[name] = count_bounds.get(name, 0) + message.maximum_count
    columns = sum(widths.values()) + chip.auxiliary_width + QUOTIENT_COLUMNS
    following = sum(len(c) for c in chip.next_columns.values()) + len(chip.auxiliary_next_columns)
    return Parameters(
        name=chip.name,
        fixed_columns=widths[Phase.FIXED],
        boundary_columns=widths[Phase.BOUNDARY],
        main_columns=widths[Phase.MAIN],
        auxiliary_columns=chip.auxiliary_width,
        quotient_columns=QUOTIENT_COLUMNS,
        opened_values=columns + following,
        constraint_count=chip.constraint_count,
        degree=chip.degree,
        message_count=message_count,
        count_bounds=count_bounds,
        clk_increment=chip.clk_increment,
        minimum_height=chip.minimum_height,
        cells_per_row=columns - widths[Phase.FIXED],
        operations=sum(
            node.operation in (Operation.ADD, Operation.SUBTRACT, Operation.MULTIPLY) for node in reachable(chip.roots)
        ),
    )
