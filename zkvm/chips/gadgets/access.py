"""
One access to a register or a doubleword.

Given
-----
- count is 0 or 1; 0 <= time < 2^24 as an integer (the state bus starts at 0, grows by at most 8 a row, and the verifier
  bounds rows x increment).
- Tokens of the memory bus carry limbs below 2^16: this holds for every token the boundary opens, and for every token
  sent here if the caller has range-checked what it writes.

Proves
------
- Where count = 1: the access takes the token (space, address, previous_clk, old value) and leaves (space, address,
  time, new value), with 0 <= time - previous_clk - 1 < 2^24.
  Since previous_clk was itself the time of an access of this shard, or the boundary's, no wrap modulo p is possible,
  so previous_clk < time: tokens of one address are taken in the order of time.

Padding
-------
- Where count = 0 nothing is sent, and the cells are free.

Source: Blum, Evans, Gemmell, Kannan, Naor, Checking the correctness of memories, 1991 (offline checking), with a time
stamp in each token.
"""

from typing import Any

from zkvm.air.columns import Columns, column
from zkvm.chips.buses import MEMORY
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.ranges import LIMB, LIMB_BITS, check_range
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.policy import kernel
from zkvm.machine.events import REGISTER_SPACE

GAP_HIGH_BITS = 8
"""A gap of 24 bits is a limb and a byte."""


class Access(Columns):
    """What an access needs besides address, time and values."""

    previous_clk = column("time of the preceding access to the same address")
    gap_low = column("low 16 bits of time - previous_clk - 1")


class RegisterAccess(Access):
    """An access to a register."""

    register = column("number of the register, 0 to 32")


def access(
    air: Any,
    name: str,
    cells: Any,
    space: Any,
    address: Any,
    time: Any,
    old: Any,
    new: Any,
    count: Any,
    *,
    lasts: int = 0,
) -> None:
    """
    Reads `old` and writes `new` at (space, address); a read writes what it read. `name` labels the messages.

    lasts: reads at `time` and writes so many ticks later: no other access of the address fits in between.
    """
    # gap_low < 2^16 and gap_high < 2^8 make the gap an integer below 2^24.
    gap_high = (time - cells.previous_clk - 1 - cells.gap_low) / LIMB
    check_range(air, f"{name}: gap_low", cells.gap_low, LIMB_BITS, count)
    check_range(air, f"{name}: gap_high", gap_high, GAP_HIGH_BITS, count)
    air.receive(MEMORY, space, address, cells.previous_clk, *old, count=count, label=f"{name}: token in")
    air.send(MEMORY, space, address, time + lasts, *new, count=count, label=f"{name}: token out")


def read_register(air: Any, name: str, cells: Any, time: Any, value: Any, count: Any) -> None:
    """The register cells.register holds `value` (4 limbs) at `time`."""
    access(air, name, cells, REGISTER_SPACE, cells.register, time, value, value, count)


def write_register(air: Any, name: str, cells: Any, time: Any, old: Any, new: Any, count: Any) -> None:
    """The register cells.register changes from `old` to `new` at `time`. The caller range-checks new's limbs."""
    access(air, name, cells, REGISTER_SPACE, cells.register, time, old, new, count)


@kernel(inline=True)
def fill_access(cells, previous, time, counts):
    """Writes previous_clk and gap_low and counts their two range checks; -1 <= previous < time < 2^24."""
    gap = int(time) - int(previous) - 1
    cells.previous_clk = previous if previous >= 0 else previous + PRIME
    cells.gap_low = gap & 0xFFFF
    count_range(counts, LIMB_BITS, gap & 0xFFFF)
    count_range(counts, GAP_HIGH_BITS, gap >> 16)
