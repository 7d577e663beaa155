"""
SHA-256 calls: one row takes a call from the ecall row, state and block from memory, the working state from `sha256_rounds`, and writes the sum.

Given
-----
- limbs of memory tokens are below 2^16.
- the ecall row sends each call once, under its own clk: two calls of a shard never share one.

Proves
------
- the 4 doublewords from a0 on become the SHA-256 compression of what they were with the 64 bytes from a1 on, at clk + 4. State words are native 32-bit
  numbers, the block is the message's bytes.

The state's doublewords are read at clk + 3 and written at clk + 4 in one access, as the token of the read would be taken by the write in any case. The block is read at
clk + 3 as well, so a doubleword of both has no two tokens in order of time: such a call, at which the machine traps, has no proof.

Padding
-------
- a row with is_real = 0 touches no bus.

Source: FIPS 180-4, section 6.2.2, step 4; docs/specs/machine.md, "ecall".
"""

from typing import Any

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.buses import SHA256, SYSCALL
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.access import Access, access, fill_access
from zkvm.chips.gadgets.limbs import fill_limbs, limb
from zkvm.chips.gadgets.ranges import LIMB, LIMB_BITS, check_range
from zkvm.chips.gadgets.window import bytes_of, fill_bytes
from zkvm.chips.sha256_rounds import BLOCK_LIMBS, INPUT, OUTPUT, STATE_LIMBS
from zkvm.kernels.policy import kernel
from zkvm.machine.events import MEMORY_SPACE, PRECOMPILE_READ_SLOT, PRECOMPILE_WRITE_SLOT
from zkvm.machine.syscalls import Syscall

STATE_DOUBLEWORDS = 4
BLOCK_DOUBLEWORDS = 8


class Row(Columns):
    is_real = bit("this row is a call")
    clk = column("time of the call")
    state_address = column("doubleword address of the state")
    block_address = column("doubleword address of the block")
    state_access = group(Access, "the access of each doubleword of the state", STATE_DOUBLEWORDS)
    block_access = group(Access, "the read of each doubleword of the block", BLOCK_DOUBLEWORDS)
    old = limbs("the state before, by doubleword", (STATE_DOUBLEWORDS, 4))
    block = limbs("the block, by doubleword", (BLOCK_DOUBLEWORDS, 4))
    block_high_byte = column("upper byte of each of its limbs", (BLOCK_DOUBLEWORDS, 4))
    worked = limbs("the working state after the rounds", STATE_LIMBS)
    new = limbs("the state after, by doubleword", (STATE_DOUBLEWORDS, 4))


def constrain(air: Any, row: Any) -> None:
    real = row.is_real
    air.receive(SYSCALL, Syscall.SHA256_COMPRESS, row.clk, row.state_address, row.block_address, count=real, label="call")
    for i in range(STATE_DOUBLEWORDS):
        access(
            air, f"state {i}", row.state_access[i], MEMORY_SPACE, row.state_address + i, row.clk + PRECOMPILE_READ_SLOT,
            row.old[i], row.new[i], real, lasts=PRECOMPILE_WRITE_SLOT - PRECOMPILE_READ_SLOT,
        )  # fmt: skip
    # A big-endian word of the message has the bytes of two limbs in reverse: the first limb, its bytes swapped, is the word's high limb.
    words: list[Any] = []
    for i in range(BLOCK_DOUBLEWORDS):
        access(
            air, f"block {i}", row.block_access[i], MEMORY_SPACE, row.block_address + i, row.clk + PRECOMPILE_READ_SLOT,
            row.block[i], row.block[i], real,
        )  # fmt: skip
        values = bytes_of(air, f"block {i}", row.block[i], row.block_high_byte[i], real)
        swapped = [values[2 * k + 1] + 256 * values[2 * k] for k in range(4)]
        words += [swapped[1], swapped[0], swapped[3], swapped[2]]

    old = [cell for word in row.old for cell in word]
    new = [cell for word in row.new for cell in word]
    air.send(SHA256, row.clk, INPUT, *old, *words, count=real, label="input")
    air.receive(SHA256, row.clk, OUTPUT, *row.worked, *([0] * BLOCK_LIMBS), count=real, label="output")
    for i, cell in enumerate(row.worked):
        check_range(air, f"worked limb {i}", cell, LIMB_BITS, real)
        check_range(air, f"new limb {i}", new[i], LIMB_BITS, real)
    # new = old + worked for each of eight 32-bit words: both carries of a word are bits, as limbs below 2^16 add up to less than 2^17.
    for k in range(STATE_LIMBS // 2):
        carry = 0
        for i in (2 * k, 2 * k + 1):
            carry = (old[i] + row.worked[i] + carry - new[i]) / LIMB
            air.bit(f"word {k}: carry out of limb {i % 2}", carry)


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: not used (every filler has it). events: (n,) machine.events.PRECOMPILE_EVENT[SHA256_COMPRESS]. rows: (h,) records of Row, h >= n, all 0; rows past n stay
    padding. counts: chips.counts.Counts, added to.
    """
    for i in range(len(events)):
        event, row = events[i], rows[i]
        row.is_real = 1
        row.clk = event.clk
        row.state_address = event.a0 >> 3
        row.block_address = event.a1 >> 3
        for k in range(STATE_DOUBLEWORDS):
            fill_access(row.state_access[k], event.previous_read[k], event.clk + PRECOMPILE_READ_SLOT, counts)
            fill_limbs(row.old[k], event.read[k])
            fill_limbs(row.new[k], event.write[k])
            for j in range(4):
                new, old = limb(event.write[k], j), limb(event.read[k], j)
                count_range(counts, LIMB_BITS, new)
                borrow = 0
                if j % 2 and row.new[k, j - 1] < row.old[k, j - 1]:
                    borrow = 1
                worked = (int(new) - int(old) - borrow) & 0xFFFF
                row.worked[4 * k + j] = worked
                count_range(counts, LIMB_BITS, worked)
        for k in range(BLOCK_DOUBLEWORDS):
            fill_access(row.block_access[k], event.previous_read[STATE_DOUBLEWORDS + k], event.clk + PRECOMPILE_READ_SLOT, counts)
            fill_limbs(row.block[k], event.read[STATE_DOUBLEWORDS + k])
            fill_bytes(row.block_high_byte[k], event.read[STATE_DOUBLEWORDS + k], 4, counts)


CHIP = Chip("sha256_memory", Row, constrain, fill=fill)
