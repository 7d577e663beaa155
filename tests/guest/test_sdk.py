"""The SDK natively, under qemu-user and in the machine: equal to each other and to independent implementations."""

import hashlib
import hmac
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from Crypto.Hash import SHA3_224, SHA3_256, SHA3_384, SHA3_512, SHA512, cSHAKE256, keccak
from eth_keys import keys
from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature

from blockproof.guest_build import WORKSPACE, Toolchain, build_guest
from tests.guest.places import SELFTEST, Ended
from zkvm.isa.instructions import Family
from zkvm.machine import load_elf, run

Selftest = Callable[[int, bytes], Ended]

PRIME = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GENERATOR = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def multiply(scalar: int, point: tuple[int, int]) -> tuple[int, int] | None:
    """scalar * point by double and add; None is infinity."""
    result = None
    for bit in bin(scalar)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def add(p: tuple[int, int] | None, q: tuple[int, int] | None) -> tuple[int, int] | None:
    if p is None or q is None:
        return p or q
    if p[0] == q[0]:
        if p[1] != q[1]:
            return None
        slope = 3 * p[0] ** 2 * pow(2 * p[1], -1, PRIME)
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, PRIME)
    x = (slope**2 - p[0] - q[0]) % PRIME
    return x, (slope * (p[0] - x) - p[1]) % PRIME


def recover_by_definition(digest: bytes, r: int, s: int, recovery_id: int) -> bytes | None:
    """SEC 1, 4.1.6, for one recovery id."""
    if not (0 < r < ORDER and 0 < s < ORDER) or recovery_id > 3:
        return None
    x = r + ORDER * (recovery_id >> 1)
    y = pow(x**3 + 7, (PRIME + 1) // 4, PRIME)
    if x >= PRIME or (y * y - x**3 - 7) % PRIME:
        return None
    if y % 2 != recovery_id % 2:
        y = PRIME - y
    inverse, z = pow(r, -1, ORDER), int.from_bytes(digest, "big")
    key = add(multiply(-z * inverse % ORDER, GENERATOR), multiply(s * inverse % ORDER, (x, y)))
    return key and key[0].to_bytes(32, "big") + key[1].to_bytes(32, "big")


def recover(selftest: Selftest, digest: bytes, r: int, s: int, recovery_id: int) -> bytes | None:
    ended = selftest(0, digest + r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([recovery_id]))
    assert ended.code == 0, ended.debug
    assert len(ended.output) == (65 if ended.output[0] else 1)
    return ended.output[1:] or None


def test_qemu_is_compared_too(runners: Callable) -> None:
    if "qemu" not in runners(SELFTEST):
        pytest.skip("qemu-user is absent")


def test_recover_equals_eth_keys(selftest: Selftest) -> None:
    source = random.Random(1)
    for _ in range(12):
        secret, digest = source.randbytes(32), source.randbytes(32)
        signature = keys.PrivateKey(secret).sign_msg_hash(digest)
        expected = keys.PrivateKey(secret).public_key.to_bytes()
        assert recover(selftest, digest, signature.r, signature.s, signature.v) == expected
        # The high-s form of the same signature has the other parity; ecrecover takes it.
        assert recover(selftest, digest, signature.r, ORDER - signature.s, 1 - signature.v) == expected
        # The wrong parity is another key, the one that eth_keys finds too.
        other = Signature(vrs=(1 - signature.v, signature.r, signature.s))
        assert recover(selftest, digest, *other.vrs[1:], other.v) == other.recover_public_key_from_msg_hash(digest).to_bytes()


def edge_cases() -> list[tuple[str, bytes, int, int, int]]:
    """Name, digest, r, s, recovery id."""
    one = (1).to_bytes(32, "big")
    # n < x(R) < p is rare: the smallest r whose r + n is a curve point's x.
    overflow_r = next(r for r in range(1, 100) if pow((r + ORDER) ** 3 + 7, (PRIME - 1) // 2, PRIME) == 1)
    off_curve = next(r for r in range(1, 100) if pow(r**3 + 7, (PRIME - 1) // 2, PRIME) != 1)
    x, y = GENERATOR
    cases = [
        ("r is 0", one, 0, 1, 0), ("s is 0", one, x, 0, 0), ("r is n", one, ORDER, 1, 0), ("s is n", one, x, ORDER, 0),
        ("s is n - 1", one, x, ORDER - 1, 0), ("all ones", b"\xff" * 32, 2**256 - 1, 2**256 - 1, 1),
        ("no curve point", one, off_curve, 1, 0), ("recovery id 4", one, x, 1, 4), ("recovery id 255", one, x, 1, 255),
        ("r + n", one, overflow_r, 5, 2), ("r + n, odd", one, overflow_r, 5, 3), ("r + n beyond p", one, x, 1, 2),
        # R = G. Q = r^-1 (s G - z G): infinity for s = z, and from here the sum meets equal and opposite points.
        ("infinity", (5).to_bytes(32, "big"), x, 5, y & 1), ("minus R", (5).to_bytes(32, "big"), x, 5, 1 - (y & 1)),
        ("digest 0", bytes(32), x, 1, 0), ("digest n", ORDER.to_bytes(32, "big"), x, 1, 1),
        ("digest above n", b"\xff" * 32, x, 7, 0), ("doubling", (ORDER - 5).to_bytes(32, "big"), x, 5, y & 1),
        ("u2 = 1", one, x, x, 0), ("small scalars", ((ORDER - 3) * x % ORDER).to_bytes(32, "big"), x, 2 * x % ORDER, y & 1),
    ]  # fmt: skip
    two_generator = multiply(2, GENERATOR)
    assert two_generator
    cases.append(("R = 2 G", (2).to_bytes(32, "big"), two_generator[0], 1, two_generator[1] & 1))
    return cases


@pytest.mark.parametrize("case", edge_cases(), ids=lambda case: case[0])
def test_recover_at_the_edges(selftest: Selftest, case: tuple[str, bytes, int, int, int]) -> None:
    _, *arguments = case
    expected = recover_by_definition(*arguments)
    assert recover(selftest, *arguments) == expected


def test_definition_agrees_with_eth_keys() -> None:
    digest = hashlib.sha256(b"digest").digest()
    signature = keys.PrivateKey(b"\x01" * 32).sign_msg_hash(digest)
    expected = signature.recover_public_key_from_msg_hash(digest).to_bytes()
    assert recover_by_definition(digest, signature.r, signature.s, signature.v) == expected
    with pytest.raises(BadSignature):
        Signature(vrs=(GENERATOR[1] & 1, GENERATOR[0], 5)).recover_public_key_from_msg_hash((5).to_bytes(32, "big"))


def test_verify(selftest: Selftest) -> None:
    digest = hashlib.sha256(b"message").digest()
    private = keys.PrivateKey(b"\x02" * 32)
    signature, key = private.sign_msg_hash(digest), private.public_key.to_bytes()
    good = signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big")
    assert selftest(1, digest + good + key).output == b"\x01"
    x, y = int.from_bytes(key[:32], "big"), int.from_bytes(key[32:], "big")
    wrong_keys = [
        x.to_bytes(32, "big") + (PRIME - y).to_bytes(32, "big"), x.to_bytes(32, "big") + (y + 1).to_bytes(32, "big"), bytes(64),
        PRIME.to_bytes(32, "big") + key[32:], b"\xff" * 64,
    ]  # fmt: skip
    for wrong in wrong_keys:
        assert selftest(1, digest + good + wrong).output == b"\x00"
    assert selftest(1, digest[::-1] + good + key).output == b"\x00"
    assert selftest(1, digest + bytes(64) + key).output == b"\x00"


def test_integers(selftest: Selftest) -> None:
    source = random.Random(2)
    edges = [0, 1, 2, 3, 2**64 - 1, 2**64, 2**128 - 1, 2**192 + 1, 2**256 - 1, 2**255, ORDER, PRIME, 5 * 2**200]
    tuples = [(source.choice(edges), source.choice(edges), source.choice(edges), source.choice(edges[1:])) for _ in range(25)]
    for _ in range(25):
        a, b, c, m = (source.getrandbits(source.randrange(1, 257)) for _ in range(4))
        tuples.append((a, b, c, m or 1))
    for a, b, c, m in tuples:
        try:
            inverse = pow(a, -1, m) if m > 1 else 0
        except ValueError:
            inverse = 0
        expected = (a * b + c).to_bytes(64, "little") + b"".join(
            value.to_bytes(32, "big") for value in ((a * b + c) % m, pow(a, b, m), inverse)
        )
        ended = selftest(2, b"".join(value.to_bytes(32, "big") for value in (a, b, c, m)))
        assert ended.output == expected, (a, b, c, m, ended)


def test_modulus_zero_ends_the_run(runners: Callable) -> None:
    machine = runners(SELFTEST)["machine"]
    with pytest.raises(Exception, match=r"operand|modulus"):
        machine(bytes([2]) + bytes(128))


def hashes_by_others(first: bytes, second: bytes) -> bytes:
    data = first + second
    parts = [
        keccak.new(digest_bits=256, data=data).digest(), keccak.new(digest_bits=512, data=data).digest(),
        SHA3_224.new(data).digest(), SHA3_256.new(data).digest(), SHA3_384.new(data).digest(), SHA3_512.new(data).digest(),
        hashlib.shake_128(data).digest(300), cSHAKE256.new(data, custom=b"custom").read(200), hashlib.shake_256(data).digest(205),
    ]  # fmt: skip
    for digest in (
        hashlib.sha224(data).digest(), hashlib.sha256(data).digest(), hashlib.sha384(data).digest(), hashlib.sha512(data).digest(),
        SHA512.new(data, truncate="224").digest(), SHA512.new(data, truncate="256").digest(),
    ):  # fmt: skip
        parts += [digest, digest]
    parts += [keccak.new(digest_bits=256, data=data).digest(), hashlib.sha256(data).digest(), hashlib.sha256(data).digest()]
    parts.append(hmac.digest(first, second, "sha256"))
    checked = first + hashlib.sha256(hashlib.sha256(first).digest()).digest()[:4]
    parts.append(base58(checked))
    joined = b"".join(parts)
    return hashlib.sha256(joined).digest() + len(joined).to_bytes(8, "little")


def base58(data: bytes) -> bytes:
    alphabet = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, digits = int.from_bytes(data, "big"), bytearray()
    while number:
        number, digit = divmod(number, 58)
        digits.append(alphabet[digit])
    return b"1" * (len(data) - len(data.lstrip(b"\0"))) + digits[::-1]


@pytest.mark.parametrize("length", [0, 1, 7, 8, 55, 56, 63, 64, 65, 111, 112, 135, 136, 137, 271, 272, 400])
def test_hashes(selftest: Selftest, length: int) -> None:
    """SDK, the two replaced crates, and unmodified crates on top of them (hmac, bs58), at every kind of alignment."""
    data = random.Random(length).randbytes(length)
    for offset, cut in [(0, 0), (3, length // 2), (6, min(length, 200)), (7, 1)]:
        ended = selftest(3, bytes([offset, cut]) + bytes(offset) + data)
        assert ended.output == hashes_by_others(data[:cut], data[cut:]), (offset, cut, ended)


def test_heap(selftest: Selftest) -> None:
    assert selftest(4, b"") == Ended(0, b"ok", "")


def test_memory_functions(selftest: Selftest) -> None:
    assert selftest(5, b"") == Ended(0, b"ok", "")


def test_stack(runners: Callable) -> None:
    """255,000 frames of more than 256 bytes: over 64 MiB of the 128."""
    places = runners(SELFTEST)
    # A native thread's stack is the system's business.
    for place in places.keys() - {"native"}:
        assert places[place](b"\x0b\xff") == Ended(0, b"", ""), place


def test_output_concatenates_up_to_256_bytes(selftest: Selftest) -> None:
    assert selftest(6, b"\x40\x04").output == b"".join(bytes([i]) * 64 for i in range(4))
    assert selftest(6, b"\x00\x05").output == b""
    for pieces in (b"\x40\x05", b"\x81\x02"):
        ended = selftest(6, pieces)
        assert ended.code == 101
        assert ended.output == b""
        assert "public output is limited to 256 bytes" in ended.debug


def test_panic_is_exit_code_101_with_its_message(selftest: Selftest) -> None:
    ended = selftest(7, b"abc")
    assert (ended.code, ended.output) == (101, b"")
    assert "panicked as asked: 3" in ended.debug


def test_exit_code_is_the_guests(selftest: Selftest) -> None:
    assert selftest(8, b"\x07") == Ended(7, b"", "")
    assert selftest(8, b"\x00") == Ended(0, b"", "")


def test_debug_text(selftest: Selftest) -> None:
    ended = selftest(9, b"")
    assert ended == Ended(0, b"ok", "to stdout 1\nto stderr Some(2)\n" + "long " * 100 + "\ninside\n")


def test_empty_input(everywhere: Callable) -> None:
    ended = everywhere(SELFTEST, b"")
    assert ended.code == 101
    assert "a task" in ended.debug


def test_rust_unit_tests(toolchain: Toolchain, tmp_path: Path) -> None:
    """The SDK's own tests, native: forged hints, inverses, infinity."""
    command = [toolchain.cargo, "test", "--release", "--locked", "--lib", "--manifest-path", str(WORKSPACE / "sdk/Cargo.toml")]
    environment = {**os.environ, "RUSTC": toolchain.rustc, "CARGO_TARGET_DIR": str(tmp_path), "CARGO_PROFILE_RELEASE_LTO": "off"}
    ended = subprocess.run(command, check=False, env=environment, capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_recover_steps(runners: Callable, toolchain: Toolchain) -> None:
    """One ecrecover stays cheap: steps and accelerator calls."""
    digest = bytes(31) + b"\x09"
    signature = keys.PrivateKey(b"\x03" * 32).sign_msg_hash(digest)
    argument = digest + signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big") + bytes([signature.v])
    result = run(load_elf(build_guest(SELFTEST, toolchain=toolchain)), b"\0" + argument)
    region = next(region for region in result.regions if region.path == ("recover",))
    assert region.steps < 20_000
    assert region.families[Family.SECP256K1_ADD] + region.families[Family.SECP256K1_DOUBLE] < 260
    assert region.families[Family.ARITH256_MOD] < 310
