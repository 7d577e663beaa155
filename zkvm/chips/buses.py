"""
The machine's buses: who may say what to whom.

A `send` counts +1, a `receive` -1. What is sent equals what is received: on a local bus within a shard, on the global
one over the whole proof.

Source: docs/specs/proof-system.md, "Buses".
"""

from enum import IntEnum
from typing import Final

from zkvm.air.bus import Bus

STATE: Final = Bus("state", 1, ("pc", "clk"))
"""A step receives the state it starts in and sends the state it ends in."""

PROGRAM: Final = Bus("program", 2, ("pc", "operation", "rd", "rs1", "rs2", "imm0", "imm1", "imm2", "imm3"))
"""A step sends the instruction it claims to execute; the program table receives it."""

MEMORY: Final = Bus("memory", 3, ("space", "address", "clk", "v0", "v1", "v2", "v3"))
"""An access receives the token its predecessor left and sends a new one. Limbs in a token are below 2^16."""

RANGE: Final = Bus("range", 4, ("bits", "value"))
"""value < 2^bits, 0 <= bits <= 16. Whoever sends learns it; the range table receives."""

BYTE: Final = Bus("byte", 5, ("operation", "a", "b", "c"))
"""c = a operation b on bytes (`ByteOperation`). Whoever sends learns it, and that all three are bytes."""

SYSCALL: Final = Bus("syscall", 6, ("number", "clk", "a0", "a1"))
"""An ecall sends a precompile's number, its time and two doubleword indices; one group of the precompile receives."""

TOKEN: Final = Bus("token", 7, ("space", "address", "v0", "v1", "v2", "v3", "shard"), scope="global")
"""The value an address has when the shard `shard` leaves it (0: initially)."""

KECCAK: Final = Bus("keccak", 8, ("clk", "direction", *(f"lane{i}_{k}" for i in range(25) for k in range(4))))
"""A keccak call sends its 25 lanes with direction 0 and receives them, permuted, with direction 1; the permutation's rows answer."""

SHA256: Final = Bus("sha256", 9, ("clk", "direction", *(f"limb{i}" for i in range(48))))
"""A SHA-256 call sends its state (16 limbs) and block words (32 limbs) with direction 0 and receives the state after 64 rounds (16 limbs, then zeros) with
direction 1; the rounds' rows answer."""


class ByteOperation(IntEnum):
    """The operations of the byte bus; the numbers stand in the byte table."""

    AND = 0
    OR = 1
    XOR = 2
