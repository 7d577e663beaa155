"""
Keccak-f: 24 rows for one permutation of 25 lanes, a round a row. `keccak_memory` makes the calls and touches memory.

Given
-----
- nothing: limbs that come in are compared with limbs made of bits.

Proves
------
- what is sent as (clk, 1, limbs) is Keccak-f[1600] of what was received as (clk, 0, limbs), lane x + 5 y in limbs 4 (x + 5 y) ...; all limbs sent are
  below 2^16. As often as an input is received an output is sent, under the same clk.

How
---
With C the column parities of A, D[x] = C[x-1] xor rot(C[x+1], 1), and C'[x] = C[x] xor D[x]:
- A' = A xor D is committed in bits, and C and C' as well. A = A' xor C xor C', compared limb by limb.
- C' is the column parity of A', since each column has five bits and D is added to each: sum_y A'[x, y] - C'[x] is 0, 2 or 4. Hence C is the
  parity of A: nothing else has to say so.
- B[y, 2x + 3y] = rot(A'[x, y], r[x, y]) is a renaming of cells; chi has degree 3 and goes straight into the limbs of the result.
- iota touches seven bit positions of lane 0: these bits have cells of their own.

Groups: flag i on a row demands flag i - 1 on the row before it, cyclically, so every run of flags is a whole permutation, and one that goes on from the
last row to the first is as good as any other: no rule is needed at the ends of the table.

Padding
-------
- a row of zeros holds; a row without a flag touches no bus.

Source: FIPS 202, section 3. The choice of committed values follows what several keccak AIRs do (Plonky3, SP1).
"""

from typing import Any, Final

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.columns import Columns, bit, column, limbs
from zkvm.chips.buses import KECCAK
from zkvm.kernels.policy import kernel
from zkvm.machine.precompiles import KECCAK_ROTATIONS, KECCAK_ROUND_CONSTANTS

ROUNDS: Final = 24
LANES: Final = 25
LANE_BITS: Final = 64
LIMBS: Final = 4
LIMB_BITS: Final = 16

IOTA_POSITIONS: Final = tuple(2**j - 1 for j in range(7))
"""The only bit positions at which a round constant is ever 1."""

if any(constant & ~sum(1 << position for position in IOTA_POSITIONS) for constant in KECCAK_ROUND_CONSTANTS):
    raise ValueError("a round constant has a bit outside IOTA_POSITIONS")

INPUT, OUTPUT = 0, 1
"""The direction in a message of the keccak bus."""


class Row(Columns):
    flag = bit("which round", ROUNDS)
    clk = column("time of the call")
    a = limbs("the state A before the round, by lane x + 5 y", (LANES, LIMBS))
    theta = bit("A' = A xor D, by lane and bit", (LANES, LANE_BITS))
    parity = bit("C: parity of the columns of A, by x and bit", (5, LANE_BITS))
    theta_parity = bit("C': parity of the columns of A', by x and bit", (5, LANE_BITS))
    iota_bit = column("lane 0 after chi at the positions that iota touches", len(IOTA_POSITIONS))
    out = limbs("the state after the round", (LANES, LIMBS))


def constrain(air: Any, row: Any) -> None:
    is_real = sum(row.flag)
    air.bit("at most one round", is_real)
    for i in range(1, ROUNDS):
        air.equal(f"round {i} follows round {i - 1}", row.next.flag[i], row.flag[i - 1])

    for x in range(5):
        for z in range(LANE_BITS):
            c, left, right = row.parity[x][z], row.parity[(x + 4) % 5][z], row.parity[(x + 1) % 5][(z - 1) % LANE_BITS]
            air.equal(f"C'[{x}][{z}] = C xor D", row.theta_parity[x][z], _xor(_xor(c, left), right))
            rest = sum(row.theta[x + 5 * y][z] for y in range(5)) - row.theta_parity[x][z]
            air.zero(f"C'[{x}][{z}] is the parity of A'", rest * (rest - 2) * (rest - 4))

    for lane in range(LANES):
        x = lane % 5
        bits = [
            _xor(_xor(row.theta[lane][z], row.parity[x][z]), row.theta_parity[x][z]) for z in range(LANE_BITS)
        ]
        for i, (limb, value) in enumerate(zip(row.a[lane], _limbs_of_bits(bits), strict=True)):
            air.equal(f"A[{lane}] limb {i}", limb, value)

    chi = [[_chi(row.theta, x, y, z) for z in range(LANE_BITS)] for y in range(5) for x in range(5)]
    for j, position in enumerate(IOTA_POSITIONS):
        air.equal(f"lane 0 after chi, bit {position}", row.iota_bit[j], chi[0][position])
        constant = sum(flag for flag, c in zip(row.flag, KECCAK_ROUND_CONSTANTS, strict=True) if c >> position & 1)
        chi[0][position] = _xor(row.iota_bit[j], constant)
    for lane in range(LANES):
        for i, (limb, value) in enumerate(zip(row.out[lane], _limbs_of_bits(chi[lane]), strict=True)):
            air.equal(f"result[{lane}] limb {i}", limb, value)

    goes_on = is_real - row.flag[ROUNDS - 1]
    for lane in range(LANES):
        for i in range(LIMBS):
            air.when(goes_on).equal(f"next A[{lane}] limb {i}", row.next.a[lane][i], row.out[lane][i])
    air.when(goes_on).equal("one clk for all rounds", row.next.clk, row.clk)

    air.receive(KECCAK, row.clk, INPUT, *(limb for lane in row.a for limb in lane), count=row.flag[0], label="input")
    air.send(KECCAK, row.clk, OUTPUT, *(limb for lane in row.out for limb in lane), count=row.flag[-1], label="output")


def _xor(a: Any, b: Any) -> Any:
    return a + b - 2 * a * b


def _chi(theta: Any, x: int, y: int, z: int) -> Any:
    """Bit z of lane (x, y) of chi(pi(rho(A')))."""
    first, second, third = (_rotated(theta, (x + k) % 5, y, z) for k in range(3))
    return _xor(first, (1 - second) * third)


def _rotated(theta: Any, x: int, y: int, z: int) -> Any:
    """Bit z of B[x, y]: pi puts lane (x', y') = (x + 3 y, x) there."""
    lane = (x + 3 * y) % 5 + 5 * x
    return theta[lane][(z - KECCAK_ROTATIONS[lane]) % LANE_BITS]


def _limbs_of_bits(bits: Any) -> list[Any]:
    return [sum(bits[LIMB_BITS * i + k] * (1 << k) for k in range(LIMB_BITS)) for i in range(LIMBS)]


_ROTATIONS = np.array(KECCAK_ROTATIONS, dtype=np.uint64)
_CONSTANTS = np.array(KECCAK_ROUND_CONSTANTS, dtype=np.uint64)
_POSITIONS = np.array(IOTA_POSITIONS, dtype=np.uint64)


@kernel
def fill(program, events, rows, counts):
    """
    Writes rows 24 i .. 24 i + 23 from event i.

    program, counts: not used (every filler has them). events: (n,) machine.events.PRECOMPILE_EVENT[KECCAK_F]. rows: (h,) records of Row, h >= 24 n, all
    0; rows past 24 n stay padding.
    """
    state = np.zeros(LANES, dtype=np.uint64)
    theta = np.zeros(LANES, dtype=np.uint64)
    parity = np.zeros(5, dtype=np.uint64)
    moved = np.zeros(LANES, dtype=np.uint64)
    one, top = np.uint64(1), np.uint64(63)
    for i in range(len(events)):
        event = events[i]
        for lane in range(LANES):
            state[lane] = event.read[lane]
        for number in range(ROUNDS):
            row = rows[ROUNDS * i + number]
            row.flag[number] = 1
            row.clk = event.clk
            _fill_lanes(row.a, state)
            for x in range(5):
                parity[x] = state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20]
            for x in range(5):
                right = parity[(x + 1) % 5]
                difference = parity[(x + 4) % 5] ^ (right << one | right >> top)
                for y in range(5):
                    theta[x + 5 * y] = state[x + 5 * y] ^ difference
                for z in range(LANE_BITS):
                    row.parity[x, z] = (parity[x] >> np.uint64(z)) & one
                    row.theta_parity[x, z] = ((parity[x] ^ difference) >> np.uint64(z)) & one
            for lane in range(LANES):
                for z in range(LANE_BITS):
                    row.theta[lane, z] = (theta[lane] >> np.uint64(z)) & one
                amount = _ROTATIONS[lane]
                rotated = theta[lane]
                if amount:
                    rotated = theta[lane] << amount | theta[lane] >> (np.uint64(64) - amount)
                x, y = lane % 5, lane // 5
                moved[y + 5 * ((2 * x + 3 * y) % 5)] = rotated
            for y in range(5):
                for x in range(5):
                    state[x + 5 * y] = moved[x + 5 * y] ^ (~moved[(x + 1) % 5 + 5 * y] & moved[(x + 2) % 5 + 5 * y])
            for j in range(len(_POSITIONS)):
                row.iota_bit[j] = (state[0] >> _POSITIONS[j]) & one
            state[0] ^= _CONSTANTS[number]
            _fill_lanes(row.out, state)


@kernel(inline=True)
def _fill_lanes(cells, lanes):
    for lane in range(LANES):
        for k in range(LIMBS):
            cells[lane, k] = (lanes[lane] >> np.uint64(16 * k)) & np.uint64(0xFFFF)


CHIP = Chip("keccak_f", Row, constrain, fill=fill)
