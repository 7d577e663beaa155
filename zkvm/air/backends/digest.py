"""
The identity of a chip: a canonical serialisation of everything that decides what its proofs prove, hashed.

In the digest: the field, the chip's name, widths per phase, periodic patterns, publics by name, clk increment, every
constraint's polynomial in order, every message (bus name, identifier, width, scope, sign, value and count
polynomials, largest count), the grouping into auxiliary columns. Not in it: names of columns and constraints,
descriptions, fillers.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from zkvm.air.chip import Chip
from zkvm.air.expression import PHASES, Expression, Operation, reachable
from zkvm.field.koala_bear import PRIME

FORMAT: int = 1
"""Raised whenever the serialisation changes meaning."""


def digest(chip: Chip) -> str:
    """The SHA-256, in hex, of `serialise(chip)`. The same in every process."""
    return hashlib.sha256(serialise(chip)).hexdigest()


def machine_digest(chips: Iterable[Chip]) -> str:
    """The SHA-256, in hex, over the chips' digests in the order given."""
    return hashlib.sha256(json.dumps([FORMAT, [[c.name, digest(c)] for c in chips]]).encode()).hexdigest()


def serialise(chip: Chip) -> bytes:
    """
    Canonical JSON: lists, integers and strings only. Nodes are numbered in topological order, unused ones left out.
    """
    nodes = reachable(chip.roots)
    number = {node.index: i for i, node in enumerate(nodes)}

    def reference(expression: Expression) -> int:
        return number[expression.index]

    content: list[Any] = [
        "air",
        FORMAT,
        PRIME,
        chip.name,
        [chip.widths[phase] for phase in PHASES],
        [list(pattern) for _, pattern in chip.periodic],
        list(chip.publics),
        chip.clk_increment,
        [[int(n.operation), [number[o.index] for o in n.operands], _value(n)] for n in nodes],
        [reference(c.expression) for c in chip.constraints],
        [
            [
                [m.bus.name, m.bus.identifier, m.bus.width, m.bus.scope],
                m.sign,
                [reference(v) for v in m.values],
                reference(m.count),
                m.maximum_count,
            ]
            for m in chip.messages
        ],
        [[g.scope, list(g.messages), g.column, int(g.is_last)] for g in chip.auxiliary.groups],
    ]
    return json.dumps(content, separators=(",", ":"), ensure_ascii=True).encode()


def _value(node: Expression) -> Any:
    if node.operation is Operation.COLUMN:
        phase, index, offset = node.value
        return [PHASES.index(phase), index, offset]
    return node.value
