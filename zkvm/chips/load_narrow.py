"""
Load narrow: LB, LH, LW, LBU, LHU, LWU within one doubleword, aligned or not.

Given
-----
- the value of rs1 and of the doubleword are limbs, by the memory bus's invariant.

Proves
------
- rd := the 1, 2 or 4 bytes at rs1 + immediate, sign-extended, or zero-extended for the unsigned ones; all of them lie in one doubleword.

The result's limbs are made of bytes, of the sign and of nothing else, so they are limbs.

Padding
-------
- a row without a flag touches no bus.

Source: The RISC-V Instruction Set Manual, Volume I, RV64I, "Load and Store Instructions"; Zicclsm for the misaligned ones.
"""

from typing import Any, Final

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, group, limbs
from zkvm.chips.counts import count_range
from zkvm.chips.gadgets.access import Access, RegisterAccess, access, fill_access, read_register, write_register
from zkvm.chips.gadgets.address import Address, doubleword, fill_address, immediate
from zkvm.chips.gadgets.limbs import ALL_ONES, fill_limbs, limb_of_bytes
from zkvm.chips.gadgets.ranges import check_range
from zkvm.chips.gadgets.step import Step, fill_step, instruction, step
from zkvm.chips.gadgets.window import Window, bytes_of, fill_bytes, selected
from zkvm.isa.instructions import Operation
from zkvm.kernels.policy import kernel
from zkvm.machine.events import MEMORY_SLOT, MEMORY_SPACE, RD_SLOT, RS1_SLOT, STEP_TICKS

WINDOWS: Final[tuple[Window, ...]] = tuple((width, offset) for width in (1, 2, 4) for offset in range(9 - width))
"""Every (width, offset) of a narrow access within a doubleword."""

FIRST_WINDOW: Final = (0, 0, 8, 0, 15)
"""Index in WINDOWS of (width, 0), by width."""

SIGNED: Final = {1: Operation.LB, 2: Operation.LH, 4: Operation.LW}
UNSIGNED_STEP: Final = Operation.LBU - Operation.LB
"""From a signed load's operation to the unsigned one's, the same for all three widths."""


class Row(Columns):
    window = bit("which bytes: one flag for each (width, offset)", len(WINDOWS))
    is_unsigned = bit("LBU, LHU or LWU")
    step = group(Step, "the frame")
    rs1 = group(RegisterAccess, "the read of the base")
    base = limbs("value of rs1")
    address = group(Address, "where it loads from")
    memory = group(Access, "the read of the doubleword")
    value = limbs("the doubleword")
    high_byte = column("upper byte of each of its limbs", 4)
    loaded = column("the bytes loaded, 0 past the width", 4)
    sign = bit("top bit of the bytes loaded if signed, else 0")
    low = limbs("the two low limbs of the result", 2)
    rd = group(RegisterAccess, "the write of the result")
    rd_old = limbs("value of rd before")


def constrain(air: Any, row: Any) -> None:
    clk = row.step.clk
    real = sum(row.window)
    air.bit("at most one window", real)
    is_byte, is_half, is_word = (_of_width(row.window, width) for width in (1, 2, 4))

    operation = sum(flag * int(SIGNED[width]) for flag, (width, _) in zip(row.window, WINDOWS, strict=True))
    step(air, row.step, row.step.pc + 4, real)
    instruction(
        air, row.step, operation + UNSIGNED_STEP * row.is_unsigned, real,
        rd=row.rd.register, rs1=row.rs1.register, immediate=immediate(row.address),
    )  # fmt: skip
    read_register(air, "rs1", row.rs1, clk + RS1_SLOT, row.base, real)
    offset = sum(flag * offset for flag, (_, offset) in zip(row.window, WINDOWS, strict=True))
    target = doubleword(air, row.address, row.base, offset, real)
    access(air, "memory", row.memory, MEMORY_SPACE, target, clk + MEMORY_SLOT, row.value, row.value, real)

    values = bytes_of(air, "value", row.value, row.high_byte, real)
    for j, loaded in enumerate(row.loaded):
        air.equal(f"loaded byte {j}", loaded, selected(row.window, WINDOWS, values, j))

    # sign is the top byte's top bit on signed rows: the rest must fit in 7 bits. On the others it is 0.
    top = is_byte * row.loaded[0] + is_half * row.loaded[1] + is_word * row.loaded[3]
    check_range(air, "sign", top - 128 * row.sign, 7, real * (1 - row.is_unsigned))
    air.zero("no sign without signed", row.is_unsigned * row.sign)

    air.equal("low limb", row.low[0], limb_of_bytes(*row.loaded[:2]) + 0xFF00 * row.sign * is_byte)
    air.equal("second limb", row.low[1], limb_of_bytes(*row.loaded[2:]) + ALL_ONES * row.sign * (is_byte + is_half))
    extension = ALL_ONES * row.sign
    write_register(air, "rd", row.rd, clk + RD_SLOT, row.rd_old, (*row.low, extension, extension), real)


def _of_width(flags: Any, width: int) -> Any:
    return sum(flag for flag, (other, _) in zip(flags, WINDOWS, strict=True) if other == width)


@kernel
def fill(program, events, rows, counts):
    """
    Writes row i from event i.

    program: (m,) isa.decoder.DECODED. events: (n,) machine.events.MEMORY_EVENT of this family. rows: (h,) records of Row, h >= n, all 0;
    rows past n stay padding. counts: chips.counts.Counts, added to.
    """
    for i in range(len(events)):
        event, row, line = events[i], rows[i], program[events[i].instruction]
        is_unsigned = line.operation >= Operation.LBU.value
        index = line.operation - (Operation.LBU.value if is_unsigned else Operation.LB.value)
        width = 1 << index
        offset = (event.a + line.immediate) & 7
        row.window[FIRST_WINDOW[width] + offset] = 1
        row.is_unsigned = is_unsigned
        fill_step(row.step, event, counts)
        row.rs1.register = line.rs1
        fill_access(row.rs1, event.previous_rs1, event.clk + RS1_SLOT, counts)
        fill_limbs(row.base, event.a)
        fill_address(row.address, event.doubleword, line.immediate, counts)
        fill_access(row.memory, event.previous_memory, event.clk + MEMORY_SLOT, counts)
        fill_limbs(row.value, event.memory_old)
        fill_bytes(row.high_byte, event.memory_old, 4, counts)
        for j in range(width):
            row.loaded[j] = (event.memory_old >> (8 * (offset + j))) & 0xFF
        if not is_unsigned:
            top = row.loaded[width - 1]
            row.sign = top >> 7
            count_range(counts, 7, top & 0x7F)
        row.low[0] = event.result & 0xFFFF
        row.low[1] = (event.result >> 16) & 0xFFFF
        row.rd.register = line.rd
        fill_access(row.rd, event.previous_rd, event.clk + RD_SLOT, counts)
        fill_limbs(row.rd_old, event.rd_old)


def reference(operation: int, memory: int, offset: int) -> int:
    """The value written to rd by a load of this operation from byte `offset` of a doubleword."""
    is_unsigned = operation >= Operation.LBU
    width = 1 << (operation - (Operation.LBU if is_unsigned else Operation.LB))
    value = (memory >> (8 * offset)) % (1 << (8 * width))
    if not is_unsigned and value >> (8 * width - 1):
        value -= 1 << (8 * width)
    return value % (1 << 64)


CHIP = Chip("load_narrow", Row, constrain, fill=fill, reference=reference, clk_increment=STEP_TICKS)
