"""
Memory crossing: any load or store whose bytes lie in two doublewords.

Given
-----
- the values of rs1, rs2 and of both doublewords are limbs, by the memory bus's invariant.

Proves
------
- a load: rd := the 2, 4 or 8 bytes at rs1 + immediate, sign- or zero-extended.
- a store: these bytes := the lowest ones of rs2; the other bytes of both doublewords stay.

What is written is made of bytes and of the sign, so its limbs are limbs.

Padding
-------
- a row without a flag touches no bus.

Source: The RISC-V Instruction Set Manual, Volume I, RV64I, "Load and Store Instructions"; Zicclsm.
"""

from typing import Any, Final

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.access import Access, RegisterAccess, access, fill_access, read_register, write_register
from zkvm.chips.gadgets.address import Address, doubleword, fill_address, immediate
from zkvm.chips.gadgets.limbs import ALL_ONES, fill_limbs, limbs_of_bytes
from zkvm.chips.gadgets.ranges import check_range
from zkvm.chips.gadgets.step import Step, fill_step, instruction, step
from zkvm.chips.gadgets.window import Window, bytes_of, fill_bytes, replaced, selected
from zkvm.isa.instructions import Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import MEMORY_SLOT, MEMORY_SPACE, RD_SLOT, RS1_SLOT, RS2_SLOT, STEP_TICKS

WINDOWS: Final[tuple[Window, ...]] = tuple((width, offset) for width in (2, 4, 8) for offset in range(9 - width, 8))
"""Every (width, offset) that crosses."""

FIRST_WINDOW: Final = (0, 0, 0, 0, 1, 0, 0, 0, 4)
"""Index in WINDOWS of the first of a width; its offset is 9 - width."""

LOADS: Final = {2: Operation.LH, 4: Operation.LW, 8: Operation.LD}
STORES: Final = {2: Operation.SH, 4: Operation.SW, 8: Operation.SD}
UNSIGNED_STEP: Final = Operation.LHU - Operation.LH


class Row(Columns):
    load = bit("a load of these bytes: one flag for each (width, offset)", len(WINDOWS))
    store = bit("a store of these bytes: one flag for each (width, offset)", len(WINDOWS))
    is_unsigned = bit("LHU or LWU")
    step = group(Step, "the frame")
    rs1 = group(RegisterAccess, "the read of the base")
    base = limbs("value of rs1")
    rs2 = group(RegisterAccess, "a store's read of the value")
    value = limbs("value of rs2")
    value_high_byte = column("upper byte of each of its limbs", 4)
    address = group(Address, "where the lower doubleword is")
    memory = group(Access, "the access of the lower doubleword")
    high_memory = group(Access, "the access of the higher doubleword")
    old = limbs("both doublewords before", 8)
    old_high_byte = column("upper byte of each of their limbs", 8)
    loaded = column("the bytes loaded, 0 past the width", 8)
    sign = bit("top bit of the bytes loaded by LH and LW, else 0")
    rd = group(RegisterAccess, "a load's write of the result")
    rd_old = limbs("value of rd before")


def constrain(air: Any, row: Any) -> None:
    clk = row.step.clk
    is_load, is_store = sum(row.load), sum(row.store)
    real = is_load + is_store
    air.bit("a load or not", is_load)
    air.bit("at most one window", real)
    is_half, is_word = row.load[0], sum(row.load[1:4])

    # LHU and LWU exist, an unsigned LD does not: its number would be SB's.
    air.zero("unsigned loads are narrow", row.is_unsigned * (1 - is_half - is_word))
    operation = sum(
        load * int(LOADS[width]) + store * int(STORES[width])
        for load, store, (width, _) in zip(row.load, row.store, WINDOWS, strict=True)
    )
    step(air, row.step, row.step.pc + 4, real)
    instruction(
        air, row.step, operation + UNSIGNED_STEP * row.is_unsigned, real, rd=is_load * row.rd.register,
        rs1=row.rs1.register, rs2=is_store * row.rs2.register, immediate=immediate(row.address),
    )  # fmt: skip
    read_register(air, "rs1", row.rs1, clk + RS1_SLOT, row.base, real)
    read_register(air, "rs2", row.rs2, clk + RS2_SLOT, row.value, is_store)

    windows = tuple(load + store for load, store in zip(row.load, row.store, strict=True))
    offset = sum(flag * offset for flag, (_, offset) in zip(windows, WINDOWS, strict=True))
    target = doubleword(air, row.address, row.base, offset, real)
    data = bytes_of(air, "value", row.value, row.value_high_byte, is_store)
    values = bytes_of(air, "old", row.old, row.old_high_byte, real)
    new = limbs_of_bytes(replaced(row.store, WINDOWS, values, data))
    access(air, "memory", row.memory, MEMORY_SPACE, target, clk + MEMORY_SLOT, row.old[:4], new[:4], real)
    access(air, "high memory", row.high_memory, MEMORY_SPACE, target + 1, clk + MEMORY_SLOT, row.old[4:], new[4:], real)

    for j, loaded in enumerate(row.loaded):
        air.equal(f"loaded byte {j}", loaded, selected(row.load, WINDOWS, values, j))
    # sign is the top byte's top bit where a narrow load is signed: the rest must fit in 7 bits. Elsewhere it is 0.
    is_signed = is_half + is_word - row.is_unsigned
    check_range(air, "sign", is_half * row.loaded[1] + is_word * row.loaded[3] - 128 * row.sign, 7, is_signed)
    air.zero("no sign without signed", (1 - is_signed) * row.sign)

    limb = limbs_of_bytes(row.loaded)
    extension = ALL_ONES * row.sign
    result = (limb[0], limb[1] + extension * is_half, limb[2] + extension, limb[3] + extension)
    write_register(air, "rd", row.rd, clk + RD_SLOT, row.rd_old, result, is_load)


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: (m,) isa.decoder.DECODED. events: (n,) machine.events.CROSSING_EVENT. rows: (h,) records of Row, h >= n, all 0; rows past n stay
    padding. counts: chips.counts.Counts, added to.
    """
    for i in range(len(events)):
        event, row, line = events[i], rows[i], program[events[i].instruction]
        is_store = line.operation >= Operation.SB.value
        is_unsigned = not is_store and line.operation >= Operation.LBU.value
        first = Operation.SB.value if is_store else Operation.LBU.value if is_unsigned else Operation.LB.value
        width = 1 << (line.operation - first)
        offset = (event.a + line.immediate) & 7
        index = FIRST_WINDOW[width] + offset - (9 - width)
        row.is_unsigned = is_unsigned
        fill_step(row.step, event, counts)
        row.rs1.register = line.rs1
        fill_access(row.rs1, event.previous_rs1, event.clk + RS1_SLOT, counts)
        fill_limbs(row.base, event.a)
        fill_address(row.address, event.doubleword, line.immediate, counts)
        fill_access(row.memory, event.previous_memory, event.clk + MEMORY_SLOT, counts)
        fill_access(row.high_memory, event.previous_high_memory, event.clk + MEMORY_SLOT, counts)
        fill_limbs(row.old[:4], event.memory_old)
        fill_limbs(row.old[4:], event.high_memory_old)
        fill_bytes(row.old_high_byte[:4], event.memory_old, 4, counts)
        fill_bytes(row.old_high_byte[4:], event.high_memory_old, 4, counts)
        if is_store:
            row.store[index] = 1
            row.rs2.register = line.rs2
            fill_access(row.rs2, event.previous_rs2, event.clk + RS2_SLOT, counts)
            fill_limbs(row.value, event.b)
            fill_bytes(row.value_high_byte, event.b, 4, counts)
        else:
            row.load[index] = 1
            for j in range(width):
                position = offset + j
                word = event.memory_old if position < 8 else event.high_memory_old
                row.loaded[j] = (word >> (8 * (position & 7))) & 0xFF
            if width < 8 and not is_unsigned:
                row.sign = row.loaded[width - 1] >> 7
                count_range(counts, 7, row.loaded[width - 1] & 0x7F)
            row.rd.register = line.rd
            fill_access(row.rd, event.previous_rd, event.clk + RD_SLOT, counts)
            fill_limbs(row.rd_old, event.rd_old)


CHIP = Chip("memory_crossing", Row, constrain, fill=fill, clk_increment=STEP_TICKS)
