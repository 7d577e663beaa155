"""
Program image: the memory that the program brings along, and the registers: their values at the start, fixed, and at the end.

Given
-----
- the fixed columns name every doubleword that the ELF has in DATA and the 33 registers, each once; the initial limbs are below
  2^16; the rest of the table is padding with is_real = 0. They are committed in the program id.
- the chip is in exactly one shard of a proof.

Proves
------
- each of these addresses has one initial token, holding the program's value, and one final token.

Source: docs/specs/proof-system.md, "Memory across shards".
"""

from typing import Any

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, boundary, boundary_limbs, fixed
from zkvm.chips.buses import TOKEN
from zkvm.chips.tables import split_limbs


class Row(Columns):
    is_real = fixed("1: an address of the image, 0: padding")
    space = fixed("0: register, 1: memory")
    address = fixed("register index, or byte address / 8")
    initial = fixed("value at the start", 4)
    final = boundary_limbs("value at the end")
    last_shard = boundary("the last shard that touched the address; 0 if none did")


def constrain(air: Any, row: Any) -> None:
    air.send(TOKEN, row.space, row.address, *row.initial, 0, count=row.is_real, label="initial token", maximum_count=1)
    air.receive(TOKEN, row.space, row.address, *row.final, row.last_shard, count=row.is_real, label="final token", maximum_count=1)


def fill(boundary_rows: np.ndarray, final_values: np.ndarray, last_shards: np.ndarray) -> None:
    """
    boundary_rows: (n,) records, all 0; final_values (m,) uint64 and last_shards (m,): for each real row, in the order of the fixed rows.
    """
    count = len(final_values)
    boundary_rows["final"][:count] = split_limbs(final_values)
    boundary_rows["last_shard"][:count] = last_shards


CHIP = Chip("program_image", Row, constrain, fill=fill)
