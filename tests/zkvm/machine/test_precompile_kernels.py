"""The plain precompiles against outside sources, the compiled ones against the plain, on random and edge operands."""

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from Crypto.Hash import keccak
from eth_keys.backends.native.jacobian import fast_add

from zkvm.isa.instructions import Family
from zkvm.machine import fast_precompiles, precompiles
from zkvm.machine.events import PRECOMPILE_READS, PRECOMPILE_WRITES
from zkvm.machine.precompiles import SECP256K1_PRIME, SHA256_INITIAL_STATE, integer, words_of

SHAPES = {
    family.label: (sum(PRECOMPILE_READS[family]), sum(PRECOMPILE_WRITES[family]))
    for family in Family
    if family in PRECOMPILE_READS
}


def random_integer(source: random.Random, bits: int) -> int:
    edges = (0, 1, 2, 2**bits - 1, 2**bits - 2, 2 ** (bits - 1), SECP256K1_PRIME - 1, SECP256K1_PRIME, 2**255 - 19)
    kind = source.randrange(4)
    if kind == 0:
        return source.choice(edges) % 2**bits
    if kind == 1:
        return source.getrandbits(source.randrange(1, bits + 1))
    if kind == 2:
        # Runs of ones and zeros find lost carries.
        return (2**bits - 1 >> source.randrange(bits)) & ~(2 ** source.randrange(bits) - 1)
    return source.getrandbits(bits)


@pytest.mark.parametrize("name", SHAPES)
def test_kernels_equal_plain(name: str, count: int = 2000) -> None:
    read_count, write_count = SHAPES[name]
    plain, compiled = getattr(precompiles, name), getattr(fast_precompiles, name)
    source = random.Random(name)
    io = np.zeros(fast_precompiles.IO_WORDS, dtype=np.uint64)
    refused = 0
    for _ in range(count):
        if read_count % 4 == 0:
            operands = [word for _ in range(read_count // 4) for word in words_of(random_integer(source, 256), 4)]
        else:
            operands = [random_integer(source, 64) for _ in range(read_count)]
        # Scratch and result hold whatever the call before left.
        io[:read_count] = operands
        expected, has_result = plain(operands), compiled(io)
        if expected is None:
            refused += 1
            assert has_result is False
            continue
        assert has_result in (None, True)
        assert [int(word) for word in io[fast_precompiles.RESULT :][:write_count]] == expected
    assert (refused > 0) == (name in ("secp256k1_add", "secp256k1_double", "arith256_mod"))


def inversion_edges() -> list[int]:
    """Ends of the field, powers of two and their neighbours, runs of ones between runs of zeros, and negatives."""
    powers = {1 << i for i in range(257)}
    runs = {(1 << j) - (1 << i) for j in range(0, 257, 8) for i in range(0, j, 8)}
    combs = {sum(1 << i for i in range(start, 256, gap)) for gap in (2, 3, 62, 64) for start in range(2)}
    some = powers | runs | combs | {power + offset for power in powers for offset in (-1, 1)}
    some |= {multiple * (2**32 + 977) for multiple in range(1, 9)} | {2**32 + 976, 2**32 + 978}
    residues = {sign * value % SECP256K1_PRIME for value in some for sign in (1, -1)}
    return sorted(residues - {0})


def division_steps(delta: int, f: int, g: int) -> tuple[int, int, int, int, int]:
    """What the kernel of that name returns, one step at a time, as the steps are defined."""
    u, v, q, r = 1, 0, 0, 1
    for _ in range(62):
        if delta > 0 and g & 1:
            delta, f, g, u, v, q, r = 1 - delta, g, (g - f) >> 1, 2 * q, 2 * r, q - u, r - v
        elif g & 1:
            delta, g, u, v, q, r = 1 + delta, (g + f) >> 1, 2 * u, 2 * v, q + u, r + v
        else:
            delta, g, u, v = 1 + delta, g >> 1, 2 * u, 2 * v
    assert abs(u) + abs(v) <= 2**62 and abs(q) + abs(r) <= 2**62
    return delta, u, v, q, r


def test_division_steps_equal_their_definition() -> None:
    source = random.Random(2)
    for _ in range(5000):
        delta = source.choice((1, source.randrange(-70, 70)))
        f, g = random_integer(source, 64) | 1, random_integer(source, 64)
        result = fast_precompiles._division_steps(delta, np.uint64(f), np.uint64(g))
        expected = division_steps(delta, f, g)
        assert result[0] == expected[0], (delta, f, g)
        assert [int(word) for word in result[1:]] == [entry % 2**64 for entry in expected[1:]], (delta, f, g)


def check_inversions(values: Iterable[int]) -> None:
    """The kernel against Python's own inverse; not only mod p, but as the residue below p."""
    io = np.full(fast_precompiles.IO_WORDS, 2**64 - 1, dtype=np.uint64)
    for value in values:
        io[4:8] = words_of(value, 4)
        fast_precompiles._field_invert(io, fast_precompiles.RESULT, 4, fast_precompiles._PRIME_LIMBS)
        inverse = integer([int(word) for word in io[fast_precompiles.RESULT :][:4]])
        assert inverse == pow(value, -1, SECP256K1_PRIME), hex(value)


def test_inversion() -> None:
    edges = inversion_edges()
    assert {1, 2, SECP256K1_PRIME - 1, SECP256K1_PRIME - 2, 2**255, 2**32 + 977} < set(edges)
    check_inversions(edges)
    source = random.Random(1)
    check_inversions(source.randrange(1, SECP256K1_PRIME) for _ in range(20000))
    check_inversions(source.getrandbits(source.randrange(1, 256)) | 1 for _ in range(5000))


WITHOUT_NUMBA = """
import sys, warnings
sys.modules["numba"] = None
warnings.simplefilter("error")
import numpy as np
from test_precompile_kernels import check_inversions, inversion_edges, test_kernels_equal_plain
from zkvm.kernels.policy import HAVE_NUMBA
assert not HAVE_NUMBA
# As its callers do: words wrap around.
with np.errstate(over="ignore"):
    check_inversions(inversion_edges()[::20])
    for name in "secp256k1_add", "secp256k1_double":
        test_kernels_equal_plain(name, 100)
"""


def test_curve_operations_without_numba(tmp_path: Path) -> None:
    root, here = Path(__file__).parents[3], Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(here)))}
    subprocess.run([sys.executable, "-c", WITHOUT_NUMBA], env=environment, cwd=tmp_path, check=True)


def keccak256(message: bytes) -> bytes:
    """Keccak-256 by the sponge, rate 136, on the plain permutation."""
    padded = bytearray(message + b"\1" + bytes(-len(message) % 136 or 136)[1:])
    padded += bytes(-len(padded) % 136)
    padded[-1] |= 0x80
    state = [0] * 25
    for start in range(0, len(padded), 136):
        for lane in range(17):
            state[lane] ^= int.from_bytes(padded[start + 8 * lane : start + 8 * lane + 8], "little")
        state = precompiles.keccak_f(state)
    return b"".join(lane.to_bytes(8, "little") for lane in state[:4])


@pytest.mark.parametrize("length", [0, 1, 135, 136, 137, 500])
def test_keccak_f_makes_keccak256(length: int) -> None:
    message = bytes(index % 256 for index in range(length))
    assert keccak256(message) == keccak.new(digest_bits=256, data=message).digest()


@pytest.mark.parametrize("length", [0, 1, 55, 56, 64, 200])
def test_sha256_compress_makes_sha256(length: int) -> None:
    message = bytes(index % 256 for index in range(length))
    padded = message + b"\x80" + bytes((55 - length) % 64) + (8 * length).to_bytes(8, "big")
    state = [SHA256_INITIAL_STATE[2 * i] | SHA256_INITIAL_STATE[2 * i + 1] << 32 for i in range(4)]
    for start in range(0, len(padded), 64):
        block = [int.from_bytes(padded[start + 8 * i : start + 8 * i + 8], "little") for i in range(8)]
        state = precompiles.sha256_compress(state + block)
    digest = b"".join((word >> shift & 0xFFFF_FFFF).to_bytes(4, "big") for word in state for shift in (0, 32))
    assert digest == hashlib.sha256(message).digest()


def test_curve_operations_equal_another_implementation() -> None:
    generator = (
        0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
        0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
    )
    other = ours = generator
    for step in range(40):
        words = [word for value in (*ours, *generator) for word in words_of(value, 4)]
        added = precompiles.secp256k1_double(words[:8]) if step == 0 else precompiles.secp256k1_add(words)
        assert added is not None
        ours = integer(added[:4]), integer(added[4:])
        other = fast_add(other, generator)
        assert ours == other
