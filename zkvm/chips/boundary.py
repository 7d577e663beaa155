"""
Boundary: what a shard receives from its predecessors and hands on, one row for each register and doubleword it touches.

Given
-----
- over the whole proof each (space, address) has exactly one token with shard 0 and one final receiver: the image chips.
- `index` is this shard's number, 1 .. N, each number used by one shard: the verifier.

Proves
------
- the shard's accesses of (space, address) start from the value that the latest earlier shard to touch it left there, and the value they end with is
  handed on under this shard's number.

Why previous < index suffices: tokens of an address are received once each, and every row turns a token of a smaller shard into one of its own. Two
rows of one shard for the same address would both need a token of a smaller shard, but only one token of the address is ever under way; so the rows of
an address form one chain, ascending in shards, from its initial to its final token.

Padding
-------
- a row with is_real = 0 touches no bus; its other cells are free.
"""

from typing import Any, Final

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, boundary, boundary_bit, boundary_limbs, column
from zkvm.chips.buses import MEMORY, RANGE, TOKEN
from zkvm.chips.tables import add_range_counts, split_limbs

LARGEST_SHARD_BITS: Final = 16
"""index - previous shard - 1 < 2^16: a proof has at most 2^16 execution shards."""


class Row(Columns):
    is_real = boundary_bit("this row is an address that the shard touches")
    space = boundary("0: register, 1: memory")
    address = boundary("register index, or byte address / 8")
    first = boundary_limbs("value when the shard begins")
    final = boundary_limbs("value when the shard ends")
    previous_shard = boundary("the last earlier shard that touched the address; 0 if none did")
    last_clk = column("time of the shard's last access")


def constrain(air: Any, row: Any) -> None:
    index = air.public("index")
    real = row.is_real
    air.receive(TOKEN, row.space, row.address, *row.first, row.previous_shard, count=real, label="token in")
    air.send(TOKEN, row.space, row.address, *row.final, index, count=real, label="token out")
    air.send(RANGE, LARGEST_SHARD_BITS, index - row.previous_shard - 1, count=real, label="the previous shard is an earlier one")
    air.send(MEMORY, row.space, row.address, -1, *row.first, count=real, label="before the first access")
    air.receive(MEMORY, row.space, row.address, row.last_clk, *row.final, count=real, label="after the last access")


def fill(boundary_rows: np.ndarray, rows: np.ndarray, events: np.ndarray, index: int, range_counts: np.ndarray) -> None:
    """
    boundary_rows, rows: (n,) records of the boundary and main phases, all 0; events: (m <= n,) records `events.BOUNDARY`; index: the shard's
    number; range_counts: the range table's look-ups so far, added to.
    """
    count = len(events)
    filled = boundary_rows[:count]
    filled["is_real"] = 1
    filled["space"] = events["space"]
    filled["address"] = events["address"]
    filled["first"] = split_limbs(events["first_value"])
    filled["final"] = split_limbs(events["final_value"])
    filled["previous_shard"] = events["previous_shard"]
    rows["last_clk"][:count] = events["last_clk"]
    add_range_counts(range_counts, LARGEST_SHARD_BITS, index - events["previous_shard"].astype(np.int64) - 1)


CHIP = Chip("boundary", Row, constrain, fill=fill)
