"""
A page per chip: statement, columns, constraints in mathematics with degree, messages.

    python -m zkvm.air.backends.markdown FOLDER [module ...]

writes NAME.md for the chip that each module holds under the name CHIP (or CHIPS, a sequence); without modules, for
every module of zkvm.chips that has one.
The pages are committed, so that a review sees mathematics change.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from zkvm.air import logup
from zkvm.air.backends.parameters import parameters
from zkvm.air.builder import Message
from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, Group, Periodic, column_names
from zkvm.air.expression import PHASES, Expression, Operation, Phase
from zkvm.field.koala_bear import PRIME

_SUM, _PRODUCT, _ATOM = 0, 1, 2
"""How tightly a printed expression holds together."""

LONGEST_EXPRESSION: int = 600
"""Longer expressions are cut: nobody reads them, and the digest at the head of the page still changes with them."""


def page(chip: Chip) -> str:
    """The page of one chip, in Markdown."""
    figures = parameters(chip)
    document = inspect.getdoc(inspect.getmodule(chip.constrain)) or ""
    lines = [f"# {chip.name}", ""]
    if document:
        lines += ["```", document.strip(), "```", ""]
    lines += [
        f"Digest `{chip.digest}`.",
        "",
        (
            f"{figures.main_columns} main, {figures.boundary_columns} boundary, {figures.fixed_columns} fixed, "
            f"{figures.auxiliary_columns} auxiliary, {figures.quotient_columns} quotient columns: "
            f"{figures.cells_per_row} cells a row. {figures.constraint_count} constraints, LogUp included, of degree "
            f"{figures.degree} at most. clk grows by {figures.clk_increment} a row at most."
        ),
        "",
        "## Columns",
        "",
        "| name | phase | kind | holds |",
        "|---|---|---|---|",
        *_column_rows(chip.row, ""),
    ]
    if chip.publics:
        lines += ["", "## Public values", "", *(f"- {name}" for name in chip.publics)]
    printer = _Printer(chip)
    if chip.constraints:
        lines += ["", "## Constraints", "", "Each is 0 on every row; x' is x on the next row.", ""]
        lines += ["| name | degree | polynomial |", "|---|---|---|"]
        lines += [f"| {_escape(c.name)} | {c.degree} | `{printer.text(c.expression)}` |" for c in chip.constraints]
    if chip.messages:
        lines += ["", "## Messages", "", "| label | bus | tuple | count | at most |", "|---|---|---|---|---|"]
        lines += [_message_row(printer, m) for m in chip.messages]
        lines += ["", "## Auxiliary columns", ""]
        names = logup.constraint_names(chip.auxiliary, chip.messages)
        lines += [f"- {name} (degree {g.degree})" for name, g in zip(names, chip.auxiliary.groups)]
    return "\n".join(lines) + "\n"


def write_pages(folder: Path, chips: Sequence[Chip]) -> list[Path]:
    """Writes a page per chip and returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for chip in chips:
        path = folder / f"{chip.name}.md"
        path.write_text(page(chip), encoding="utf-8")
        paths.append(path)
    return paths


def chips_of_modules(names: Sequence[str]) -> list[Chip]:
    """The chips that modules hold as CHIP or CHIPS, in order, each once."""
    found: dict[str, Chip] = {}
    for name in names:
        module = importlib.import_module(name)
        for chip in [*getattr(module, "CHIPS", ()), *([module.CHIP] if hasattr(module, "CHIP") else [])]:
            found.setdefault(chip.name, chip)
    return list(found.values())


def main(arguments: Sequence[str]) -> int:
    """The command; see the module's docstring."""
    if not arguments:
        sys.stderr.write("usage: python -m zkvm.air.backends.markdown FOLDER [module ...]\n")
        return 2
    names = list(arguments[1:])
    if not names:
        package = importlib.import_module("zkvm.chips")
        names = sorted(f"zkvm.chips.{module.name}" for module in pkgutil.iter_modules(package.__path__))
    for path in write_pages(Path(arguments[0]), chips_of_modules(names)):
        sys.stdout.write(f"{path}\n")
    return 0


def _column_rows(columns: type[Columns], prefix: str) -> list[str]:
    rows = []
    for name, declared in columns.declarations.items():
        shape = "".join(f"[{size}]" for size in getattr(declared, "shape", ()))
        if isinstance(declared, Periodic):
            pattern = " ".join(map(str, declared.pattern[:16])) + (" ..." if len(declared.pattern) > 16 else "")
            rows.append(
                f"| {prefix}{name} | periodic | {len(declared.pattern)}: {pattern} | {_escape(declared.description)} |"
            )
        elif isinstance(declared, Group):
            rows.append(f"| {prefix}{name}{shape} | | group | {_escape(declared.description)} |")
            rows += _column_rows(declared.columns, f"{prefix}{name}.")
        else:
            rows.append(
                f"| {prefix}{name}{shape} | {declared.phase} | {declared.kind} | {_escape(declared.description)} |"
            )
    return rows


def _message_row(printer: "_Printer", message: Message) -> str:
    values = ", ".join(f"{field} = {printer.text(v)}" for field, v in zip(message.bus.fields, message.values))
    bound = "a multiplicity" if message.maximum_count is None else str(message.maximum_count)
    bus = f"{message.direction} {message.bus.name} ({message.bus.scope})"
    return f"| {_escape(message.label)} | {bus} | `{values}` | `{printer.text(message.count)}` | {bound} |"


class _Printer:
    def __init__(self, chip: Chip) -> None:
        self._chip = chip
        self._names = {phase: column_names(chip.row, phase) for phase in PHASES}
        self._texts: dict[int, tuple[str, int]] = {}

    def text(self, expression: Expression) -> str:
        """The expression in the usual notation; long ones are cut."""
        text = self._print(expression)[0]
        return text if len(text) <= LONGEST_EXPRESSION else text[:LONGEST_EXPRESSION] + " ..."

    def _print(self, node: Expression) -> tuple[str, int]:
        if node.index not in self._texts:
            text, binding = self._fresh(node)
            # Cut inside as well: sums of sums would grow without bound.
            if len(text) > 2 * LONGEST_EXPRESSION:
                text = text[: 2 * LONGEST_EXPRESSION]
            self._texts[node.index] = text, binding
        return self._texts[node.index]

    def _fresh(self, node: Expression) -> tuple[str, int]:
        operation = node.operation
        if operation is Operation.CONSTANT:
            return _constant(node.value)
        if operation is Operation.PUBLIC:
            return f"public({self._chip.publics[node.value]})", _ATOM
        if operation is Operation.PERIODIC:
            return self._chip.periodic[node.value][0].replace(".next", "'"), _ATOM
        if operation is Operation.SELECTOR:
            return f"on_{node.value}_row", _ATOM
        if operation is Operation.COLUMN:
            phase, index, offset = node.value
            return self._names[Phase(phase)][index] + ("'" if offset else ""), _ATOM
        a, b = node.operands
        if operation is Operation.MULTIPLY:
            return f"{self._held(a, _PRODUCT)} * {self._held(b, _PRODUCT)}", _PRODUCT
        if operation is Operation.ADD:
            if b.is_constant and b.value > PRIME // 2:
                return f"{self._print(a)[0]} - {PRIME - b.value}", _SUM
            if b.is_constant or not a.is_constant:
                return f"{self._print(a)[0]} + {self._print(b)[0]}", _SUM
            return self._fresh_sum_of_constant(a, b)
        if node.is_negation:
            return f"-{self._held(b, _PRODUCT)}", _SUM
        return f"{self._print(a)[0]} - {self._held(b, _PRODUCT)}", _SUM

    def _fresh_sum_of_constant(self, constant: Expression, other: Expression) -> tuple[str, int]:
        if constant.value > PRIME // 2:
            return f"{self._print(other)[0]} - {PRIME - constant.value}", _SUM
        return f"{self._print(other)[0]} + {constant.value}", _SUM

    def _held(self, node: Expression, binding: int) -> str:
        text, own = self._print(node)
        return text if own >= binding else f"({text})"


def _constant(value: int) -> tuple[str, int]:
    """Small integers, negatives and inverses of powers of two as such."""
    if value <= PRIME // 2:
        for exponent in range(1, 31):
            if value * 2**exponent % PRIME == 1 and value > 1 << 16:
                return f"2^-{exponent}", _ATOM
        return str(value), _ATOM
    for exponent in range(1, 31):
        if value * 2**exponent % PRIME == 1:
            return f"2^-{exponent}", _ATOM
        if value * 2**exponent % PRIME == PRIME - 1:
            return f"(-2^-{exponent})", _ATOM
    return f"(-{PRIME - value})", _ATOM


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
