"""
What the emulator hands to the chips: the records of one shard.

Arrays of a family (`Family`), a row per step in the order of execution; precompile families have a row per call beside
the call's row in `ECALL`. Every array is a C-contiguous NumPy record array, little-endian, without gaps. A shard's come
in pieces of some ten thousand steps: zkvm.machine.shards.Tracer.

Conventions
-----------
- `clk` is the time at which the step begins; its accesses happen at clk + sub-slot as docs/specs/machine.md says.
- `previous_*` is the time of the preceding access to the same register or doubleword *in this shard*. The shard's
  first access to it has -1: that access consumes the token of the shard's boundary, whose time is -1. So
  0 <= access time - previous - 1 < 2^24 always, and the field element of -1 is p - 1.
- An access a step does not make (rs2 of an immediate form, rd of a branch) has previous 0 and value 0.
- `instruction` indexes the program's decoded instructions, in which operation, rd, rs1, rs2 and immediate stand.
- Values are whole 64-bit registers or doublewords. A doubleword's address is its byte address / 8, below 2^29.
- If rs1 and rs2 are one register, rs2's previous access is rs1's (clk); likewise for rd.
"""

from typing import Final

import numpy as np
from numpy.typing import DTypeLike

from zkvm.isa.instructions import Family

BOUNDARY_TIME: Final = -1
"""The `previous_*` of a shard's first access to an address."""

HALT_PC: Final = 1
"""
The end pc of the shard that halts. Odd, so that nothing but the exit reaches it: every pc, branch target and jump target is even by construction
(a jump to 0, were that the mark, would count as a halt).
"""

CLK_LIMIT: Final = 1 << 24
"""Every clk and every access time of a shard is below this."""

STEP_TICKS: Final = 4
ECALL_TICKS: Final = 8

# Sub-slots of a step's accesses.
RS1_SLOT: Final = 0
RS2_SLOT: Final = 1
MEMORY_SLOT: Final = 2
RD_SLOT: Final = 3
# Sub-slots of an ecall's.
A7_SLOT: Final = 0
A0_SLOT: Final = 1
A1_SLOT: Final = 2
PRECOMPILE_READ_SLOT: Final = 3
PRECOMPILE_WRITE_SLOT: Final = 4

REGISTER_SPACE: Final = 0
MEMORY_SPACE: Final = 1

_STEP: list[tuple[str, str]] = [
    ("clk", "<u4"),
    ("pc", "<u4"),
    ("instruction", "<u4"),
    ("previous_rs1", "<i4"),
    ("previous_rs2", "<i4"),
    ("previous_rd", "<i4"),
    ("a", "<u8"),
    ("b", "<u8"),
    ("result", "<u8"),
    ("rd_old", "<u8"),
]

STEP_EVENT: Final = np.dtype(_STEP)
"""
A step that touches registers only (56 bytes): ADD .. DIVIDE, BRANCH and JUMP.

a:      the value of rs1; 0 for JAL.
b:      the second operand: the value of rs2, or the immediate of an immediate form. BRANCH: the value of rs2.
        JUMP: the next pc, with JALR's lowest bit already cleared.
result: what is written to rd. BRANCH: the next pc.
rd_old: the value of rd before the step.
"""

MEMORY_EVENT: Final = np.dtype(
    [*_STEP, ("doubleword", "<u4"), ("previous_memory", "<i4"), ("memory_old", "<u8"), ("memory_new", "<u8")]
)
"""
A load or store within one doubleword (80 bytes): LOAD_DOUBLE, STORE_DOUBLE, LOAD_NARROW, STORE_NARROW.

a:          the value of rs1; the byte address is a + immediate mod 2^64.
b:          a store's value of rs2 (all 64 bits); 0 for a load.
result:     a load's value written to rd, extended; 0 for a store.
doubleword: the address / 8.
memory_old, memory_new: the doubleword before and after; equal for a load.
"""

CROSSING_EVENT: Final = np.dtype(
    [
        *_STEP,
        ("doubleword", "<u4"),
        ("previous_memory", "<i4"),
        ("memory_old", "<u8"),
        ("memory_new", "<u8"),
        ("high_memory_old", "<u8"),
        ("high_memory_new", "<u8"),
        ("previous_high_memory", "<i4"),
        ("unused", "<u4"),
    ]
)
"""
A load or store that touches two doublewords (104 bytes): MEMORY_CROSSING. As MEMORY_EVENT; `doubleword` is the lower
one and the `high` fields belong to doubleword + 1. Whether it loads or stores is in the instruction's operation.
"""

ECALL_EVENT: Final = np.dtype(
    [
        ("clk", "<u4"),
        ("pc", "<u4"),
        ("instruction", "<u4"),
        ("previous_a7", "<i4"),
        ("previous_a0", "<i4"),
        ("previous_a1", "<i4"),
        ("number", "<u8"),
        ("a0", "<u8"),
        ("a1", "<u8"),
    ]
)
"""An ecall (48 bytes), any number, exit included: `number` is the value of a7. The next pc is pc + 4, or HALT_PC."""


def _precompile(read_count: int, write_count: int) -> np.dtype:
    return np.dtype(
        [
            ("clk", "<u4"),
            ("pc", "<u4"),
            ("a0", "<u4"),
            ("a1", "<u4"),
            ("read", "<u8", (read_count,)),
            ("write_old", "<u8", (write_count,)),
            ("write", "<u8", (write_count,)),
            ("previous_read", "<i4", (read_count,)),
            ("previous_write", "<i4", (write_count,)),
            # Rows are whole 64-bit words.
            *([("unused", "<u4")] if (read_count + write_count) % 2 else []),
        ]
    )


# The doublewords each precompile reads (from a0, then from a1) and writes (at a0, or at a1).
PRECOMPILE_READS: Final[dict[Family, tuple[int, int]]] = {
    Family.KECCAK_F: (25, 0),
    Family.SHA256_COMPRESS: (4, 8),
    Family.SECP256K1_ADD: (8, 8),
    Family.SECP256K1_DOUBLE: (8, 0),
    Family.ARITH256: (12, 0),
    Family.ARITH256_MOD: (16, 0),
}
PRECOMPILE_WRITES: Final[dict[Family, tuple[int, int]]] = {
    Family.KECCAK_F: (25, 0),
    Family.SHA256_COMPRESS: (4, 0),
    Family.SECP256K1_ADD: (8, 0),
    Family.SECP256K1_DOUBLE: (8, 0),
    Family.ARITH256: (0, 8),
    Family.ARITH256_MOD: (0, 4),
}

PRECOMPILE_EVENT: Final[dict[Family, np.dtype]] = {
    family: _precompile(sum(reads), sum(PRECOMPILE_WRITES[family])) for family, reads in PRECOMPILE_READS.items()
}
"""
A precompile call, at the clk of its ecall.

a0, a1:         the two argument registers as byte addresses (a1 is 0 where the call does not use it).
read:           the words read at clk + 3: those at a0 in ascending order, then those at a1.
write_old:      the words that are overwritten, as they were before the call; write: the words written at clk + 4.
previous_read:  for each word read, the access before it.
previous_write: for each word written, the access before it; clk + 3 if this very call read it.
"""

EVENT: Final[dict[Family, np.dtype]] = {
    **{family: STEP_EVENT for family in Family if family <= Family.DIVIDE},
    Family.LOAD_DOUBLE: MEMORY_EVENT,
    Family.STORE_DOUBLE: MEMORY_EVENT,
    Family.LOAD_NARROW: MEMORY_EVENT,
    Family.STORE_NARROW: MEMORY_EVENT,
    Family.MEMORY_CROSSING: CROSSING_EVENT,
    Family.ECALL: ECALL_EVENT,
    **PRECOMPILE_EVENT,
}
"""The record of each family."""

BOUNDARY: Final[DTypeLike] = np.dtype(
    [
        ("space", "<u4"),
        ("address", "<u4"),
        ("previous_shard", "<u4"),
        ("last_clk", "<u4"),
        ("first_value", "<u8"),
        ("final_value", "<u8"),
    ]
)
"""
A row for each address that a shard touches (32 bytes), ascending by (space, address).

space:          REGISTER_SPACE (address 0..32) or MEMORY_SPACE (address = byte address / 8).
previous_shard: the last earlier shard that touched it; 0 = none, the value is the initial one. Shards count from 1.
last_clk:       the time of this shard's last access to it.
first_value, final_value: its value when the shard begins and when it ends.
"""

IMAGE: Final[DTypeLike] = np.dtype(
    [
        ("space", "<u4"),
        ("address", "<u4"),
        ("last_shard", "<u4"),
        ("unused", "<u4"),
        ("initial_value", "<u8"),
        ("final_value", "<u8"),
    ]
)
"""
A row for each address of the run (32 bytes), ascending by (space, address): all 33 registers, every doubleword of the
ELF's file-backed data, the 33 doublewords of the public output, and everything else any shard touched.

last_shard: the last shard that touched it; 0 = no shard did, and then both values are equal.
"""
