"""
The doublewords that a precompile reads, writes, or replaces where they stand.

Given
-----
- what `access` needs (gadgets/access.py); new limbs are below 2^16 by the caller's proof.

Proves, where count = 1
-----------------------
- `read`: the words from `address` on hold the limbs given, at clk + 3.
- `write`: they change from `old` to `new` at clk + 4; a word that the same call read was read before.
- `replace`: both in one: the word held `old` at clk + 3 and holds `new` from clk + 4 on. The token taken is older than
  clk + 3, the one left is of clk + 4: no other access of this call fits between or beside. So no word is both replaced
  and read by `read` of the same call, as the machine demands of two inputs.

Padding
-------
- Where count = 0 nothing is sent, and the cells are free.

Source: docs/specs/machine.md, "ecall" and "Time".
"""

from collections.abc import Sequence
from typing import Any

from zkvm.chips.buses import MEMORY
from zkvm.chips.gadgets.access import GAP_HIGH_BITS, access, fill_access
from zkvm.chips.gadgets.ranges import LIMB, LIMB_BITS, check_range
from zkvm.kernels.policy import kernel
from zkvm.machine.events import MEMORY_SPACE, PRECOMPILE_READ_SLOT, PRECOMPILE_WRITE_SLOT

WORD_LIMBS = 4


def _word(limbs: Sequence[Any], i: int) -> Sequence[Any]:
    return limbs[WORD_LIMBS * i : WORD_LIMBS * (i + 1)]


def read(air: Any, name: str, cells: Sequence[Any], address: Any, clk: Any, limbs: Sequence[Any], count: Any) -> None:
    """cells: an Access for each word; limbs: four for each. `name` labels the messages."""
    for i, cell in enumerate(cells):
        value = _word(limbs, i)
        access(air, f"{name} {i}", cell, MEMORY_SPACE, address + i, clk + PRECOMPILE_READ_SLOT, value, value, count)


def write(
    air: Any,
    name: str,
    cells: Sequence[Any],
    address: Any,
    clk: Any,
    old: Sequence[Any],
    new: Sequence[Any],
    count: Any,
) -> None:
    """As `read`, with the limbs before and after."""
    for i, cell in enumerate(cells):
        time = clk + PRECOMPILE_WRITE_SLOT
        access(air, f"{name} {i}", cell, MEMORY_SPACE, address + i, time, _word(old, i), _word(new, i), count)


def replace(
    air: Any,
    name: str,
    cells: Sequence[Any],
    address: Any,
    clk: Any,
    old: Sequence[Any],
    new: Sequence[Any],
    count: Any,
) -> None:
    """As `write`, with the reads before."""
    for i, cell in enumerate(cells):
        label = f"{name} {i}"
        gap_high = (clk + PRECOMPILE_READ_SLOT - cell.previous_clk - 1 - cell.gap_low) / LIMB
        check_range(air, f"{label}: gap_low", cell.gap_low, LIMB_BITS, count)
        check_range(air, f"{label}: gap_high", gap_high, GAP_HIGH_BITS, count)
        place = MEMORY_SPACE, address + i
        air.receive(MEMORY, *place, cell.previous_clk, *_word(old, i), count=count, label=f"{label}: token in")
        air.send(MEMORY, *place, clk + PRECOMPILE_WRITE_SLOT, *_word(new, i), count=count, label=f"{label}: token out")


@kernel(inline=True)
def fill_accesses(cells, previous, start, time, counts):
    """Fills all Access records from previous[start:]. A replaced word: time and previous are those of the read."""
    for i in range(len(cells)):
        fill_access(cells[i], previous[start + i], time, counts)
