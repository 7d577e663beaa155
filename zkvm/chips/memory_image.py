"""
Memory image: the start and the end of every doubleword of INPUT and RAM that the run touches.

Given
-----
- first_address and last_address of this shard and its neighbours ascend strictly over all shards with this chip: the verifier.
- no other image names addresses of INPUT or RAM: the program image stays in DATA, the verifier's own tokens in OUTPUT.

Proves
------
- addresses ascend strictly, so each has one initial and one final token in the whole proof;
- each lies in INPUT, where the initial value is the prover's choice (its private input), or in RAM, where it is 0;
- initial limbs are below 2^16.

An address is low + 2^16 high with high < 2^13, so below 2^29; a step between neighbours is proven to be 1 .. 2^29 by its own two limbs.

Padding
-------
- is_real does not return to 1 once 0; rows with is_real = 0 repeat the last address and touch no bus.

Source: docs/specs/proof-system.md, "Memory across shards"; attack 1 and 2 of the design's list.
"""

from typing import Any, Final

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, boundary, boundary_bit, boundary_limbs, column
from zkvm.chips.buses import RANGE, TOKEN
from zkvm.chips.tables import add_range_counts, split_limbs
from zkvm.machine.memory_map import INPUT_END, INPUT_START, RAM_END, RAM_START

HIGH_BITS: Final = 13
"""Doubleword addresses are below 2^29."""

_UNIT: Final = 8 << 16
"""Bytes of one step of the high limb: region ends are multiples of it."""

INPUT_HIGH: Final = INPUT_START // _UNIT
INPUT_BITS: Final = ((INPUT_END - INPUT_START) // _UNIT).bit_length() - 1
RAM_HIGH: Final = RAM_START // _UNIT
RAM_HIGH_LAST: Final = RAM_END // _UNIT - 1

if any(end % _UNIT for end in (INPUT_START, INPUT_END, RAM_START, RAM_END)) or (INPUT_END - INPUT_START) // _UNIT != 1 << INPUT_BITS:
    raise ValueError("the memory map's regions do not fit the high limb's range checks")


class Row(Columns):
    is_real = boundary_bit("this row is an address that the run touches")
    is_input = boundary_bit("the address lies in INPUT, not in RAM")
    address_low = boundary("byte address / 8, low 16 bits")
    address_high = boundary("byte address / 8, high 13 bits")
    initial = boundary_limbs("value at the start: free in INPUT, 0 in RAM")
    final = boundary_limbs("value at the end")
    last_shard = boundary("the last shard that touched the address")
    step_low = column("next row's address minus this one's minus 1, low 16 bits")


def constrain(air: Any, row: Any) -> None:
    address, following = _address(row), _address(row.next)
    real, next_real = row.is_real, row.next.is_real

    air.send(TOKEN, 1, address, *row.initial, 0, count=real, label="initial token")
    air.receive(TOKEN, 1, address, *row.final, row.last_shard, count=real, label="final token")

    # The address's own limbs. high < 2^13 follows from either region's check below.
    air.send(RANGE, 16, row.address_low, count=real, label="low address limb")
    air.bit("an input row is real", real - row.is_input)
    # is_input is a bit and real - is_input is one: ram = 1 exactly on real rows outside INPUT.
    ram = real - row.is_input
    air.send(RANGE, INPUT_BITS, row.address_high - INPUT_HIGH, count=row.is_input, label="high limb in INPUT")
    air.send(RANGE, HIGH_BITS, row.address_high - RAM_HIGH, count=ram, label="high limb not below RAM", maximum_count=1)
    air.send(RANGE, HIGH_BITS, RAM_HIGH_LAST - row.address_high, count=ram, label="high limb not above RAM", maximum_count=1)

    for i, limb in enumerate(row.initial):
        air.send(RANGE, 16, limb, count=row.is_input, label=f"initial limb {i}")
        air.when(ram).zero(f"RAM starts with 0 in limb {i}", limb)

    # Strictly ascending. The step's high limb needs no column: it is what is left, divided by 2^16.
    step_high = (following - address - 1 - row.step_low) / (1 << 16)
    inner = air.on_transition()
    inner.when(1 - real).zero("padding stays padding", next_real)
    inner.when(1 - next_real).equal("padding repeats the address", following, address)
    inner.send(RANGE, 16, row.step_low, count=next_real, label="low limb of the step")
    inner.send(RANGE, HIGH_BITS, step_high, count=next_real, label="high limb of the step")

    air.on_first_row().equal("the shard has an address", real, 1)
    air.on_first_row().equal("first address", address, air.public("first_address"))
    air.on_last_row().equal("last address", address, air.public("last_address"))


def _address(row: Any) -> Any:
    return row.address_low + (1 << 16) * row.address_high


def fill(boundary_rows: np.ndarray, rows: np.ndarray, events: np.ndarray, range_counts: np.ndarray) -> None:
    """
    boundary_rows, rows: (n,) records of the boundary and main phases, all 0; events: (1 <= m <= n,) records `events.IMAGE` of space 1, ascending,
    all in INPUT or RAM; range_counts: the range table's look-ups so far, added to.
    """
    count = len(events)
    addresses = np.full(len(rows), events["address"][-1], dtype=np.int64)
    addresses[:count] = events["address"]
    low, high = addresses & 0xFFFF, addresses >> 16
    is_input = (high >= INPUT_HIGH) & (high < INPUT_HIGH + (1 << INPUT_BITS)) & (np.arange(len(rows)) < count)
    is_ram = ~is_input & (np.arange(len(rows)) < count)
    initial = split_limbs(events["initial_value"])

    boundary_rows["is_real"][:count] = 1
    boundary_rows["is_input"] = is_input
    boundary_rows["address_low"] = low
    boundary_rows["address_high"] = high
    boundary_rows["initial"][:count] = initial
    boundary_rows["final"][:count] = split_limbs(events["final_value"])
    boundary_rows["last_shard"][:count] = events["last_shard"]
    steps = np.diff(addresses[:count]) - 1
    rows["step_low"][: count - 1] = steps & 0xFFFF

    add_range_counts(range_counts, 16, low[:count])
    add_range_counts(range_counts, INPUT_BITS, high[is_input] - INPUT_HIGH)
    add_range_counts(range_counts, HIGH_BITS, high[is_ram] - RAM_HIGH)
    add_range_counts(range_counts, HIGH_BITS, RAM_HIGH_LAST - high[is_ram])
    add_range_counts(range_counts, 16, initial[is_input[:count]])
    add_range_counts(range_counts, 16, steps & 0xFFFF)
    add_range_counts(range_counts, HIGH_BITS, steps >> 16)


CHIP = Chip("memory_image", Row, constrain, fill=fill)
