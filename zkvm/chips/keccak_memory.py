"""
Keccak calls: one row takes a call from the ecall row, the 25 lanes from memory, their permutation from `keccak_f`, and puts it back.

Given
-----
- limbs of memory tokens are below 2^16, and so are those that `keccak_f` sends.
- the ecall row sends each call once, under its own clk: two calls of a shard never share one.

Proves
------
- the 25 doublewords from a0 on become Keccak-f[1600] of what they were, at clk + 4.

Each doubleword is read and written in one access, at the write's sub-slot: the token of the read at clk + 3 would be taken by the write in any case.

Padding
-------
- a row with is_real = 0 touches no bus.

Source: docs/specs/machine.md, "ecall".
"""

from typing import Any

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.buses import KECCAK, SYSCALL
from zkvm.chips.gadgets.access import Access, access, fill_access
from zkvm.chips.gadgets.limbs import fill_limbs
from zkvm.chips.keccak_f import INPUT, LANES, LIMBS, OUTPUT
from zkvm.kernels.policy import kernel
from zkvm.machine.events import MEMORY_SPACE, PRECOMPILE_WRITE_SLOT
from zkvm.machine.syscalls import Syscall


class Row(Columns):
    is_real = bit("this row is a call")
    clk = column("time of the call")
    address = column("doubleword address of the first lane")
    lane = group(Access, "the access of each lane", LANES)
    old = limbs("the lanes before", (LANES, LIMBS))
    new = limbs("the lanes after", (LANES, LIMBS))


def constrain(air: Any, row: Any) -> None:
    real = row.is_real
    air.receive(SYSCALL, Syscall.KECCAK_F, row.clk, row.address, 0, count=real, label="call")
    for i in range(LANES):
        access(
            air, f"lane {i}", row.lane[i], MEMORY_SPACE, row.address + i, row.clk + PRECOMPILE_WRITE_SLOT,
            row.old[i], row.new[i], real,
        )  # fmt: skip
    air.send(KECCAK, row.clk, INPUT, *(limb for lane in row.old for limb in lane), count=real, label="input")
    air.receive(KECCAK, row.clk, OUTPUT, *(limb for lane in row.new for limb in lane), count=real, label="output")


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: not used (every filler has it). events: (n,) machine.events.PRECOMPILE_EVENT[KECCAK_F]. rows: (h,) records of Row, h >= n, all 0; rows past n
    stay padding. counts: chips.counts.Counts, added to.
    """
    for i in range(len(events)):
        event, row = events[i], rows[i]
        row.is_real = 1
        row.clk = event.clk
        row.address = event.a0 >> 3
        for k in range(LANES):
            fill_access(row.lane[k], event.previous_read[k], event.clk + PRECOMPILE_WRITE_SLOT, counts)
            fill_limbs(row.old[k], event.read[k])
            fill_limbs(row.new[k], event.write[k])


CHIP = Chip("keccak_memory", Row, constrain, fill=fill)
