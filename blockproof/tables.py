"""Tables on a terminal."""

from collections.abc import Sequence

import click


def print_table(rows: Sequence[tuple[str, ...]], header: tuple[str, ...]) -> None:
    """Aligned columns: the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        click.echo("  " + "  ".join(cells).rstrip())
