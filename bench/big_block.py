"""
A block of 60 Mgas under the rules of BPO2, made here: what it costs the guest.

    ./dev python bench/big_block.py [--keep FILE]

Everything that a block can hold is in it: transfers, token transfers, storage, contract creations, hashing, every
precompile, memory, logs, deep calls, blobs, EIP-7702, withdrawals and requests. EELS makes it (about two minutes; kept in the
cache folder), then the shipped guest validates it in the emulator. Printed: steps, seconds of
this process, memory touched, and where the steps go.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from eth_hash.auto import keccak
from eth_keys import keys
from py_ecc import optimized_bls12_381 as bls
from py_ecc import optimized_bn128 as bn
from py_ecc.bls.point_compression import compress_G1

from blockproof.guest_build import cache_folder
from blockproof.guests import load_guest
from tests.hostile.blocks import (
    Sender,
    assemble,
    authorize,
    deploy,
    genesis_header,
    make_block,
    private_key,
    with_system_contracts,
)
from witness.block import Header, Withdrawal
from witness.record import GenesisAccount, WholeState, state_from_accounts
from witness.schema import Fork, decode_result, encode_input
from zkvm.machine import Limits, RunResult, run

FORK = Fork.BPO2
GAS_LIMIT = 60_000_000
TRANSACTION_GAS = 1 << 24
"""EIP-7825."""
MEMORY_LIMIT = 2 << 30
ETHER = 10**18
RECIPIENTS = 3000
"""Accounts in the state besides; half of the transfers go to them, half to new ones."""


def _address(name: str) -> bytes:
    return keccak(b"big block " + name.encode())[12:]


# Every code takes its arguments as words of the calldata. A loop counts word 1 down on the stack.
CODES: dict[str, bytes] = {
    # transfer(to, amount): two balances at keccak(address . 0), an event of three topics.
    "token": assemble(
        "CALLER 0x0 MSTORE 0x40 0x0 KECCAK DUP1 SLOAD 0x20 CALLDATALOAD SWAP1 SUB SWAP1 SSTORE "
        "0x0 CALLDATALOAD 0x0 MSTORE 0x40 0x0 KECCAK DUP1 SLOAD 0x20 CALLDATALOAD ADD SWAP1 SSTORE "
        "0x20 CALLDATALOAD 0x0 MSTORE 0x0 CALLDATALOAD CALLER 0xddf252ad 0x20 0x0 LOG3 STOP"
    ),
    # store(first, count, value): slots first, first + 1, ...; each is read before it is written.
    "store": assemble(
        "0x20 CALLDATALOAD again: 0x1 SWAP1 SUB DUP1 0x0 CALLDATALOAD ADD DUP1 SLOAD 0x40 CALLDATALOAD XOR SWAP1 SSTORE "
        "DUP1 @again JUMPI STOP"
    ),
    # hash(bytes, count): Keccak of as much memory, the result written back.
    "hash": assemble(
        "0x20 CALLDATALOAD again: 0x0 CALLDATALOAD 0x0 KECCAK 0x0 MSTORE 0x1 SWAP1 SUB DUP1 @again JUMPI STOP"
    ),
    # call(address, count, input...): static calls of one address with one input.
    "call": assemble(
        "0x40 CALLDATASIZE SUB 0x40 0x0 CALLDATACOPY 0x20 CALLDATALOAD again: "
        "0x0 0x0 0x40 CALLDATASIZE SUB 0x0 0x0 CALLDATALOAD GAS STATICCALL @good JUMPI 0x0 0x0 REVERT good: "
        "0x1 SWAP1 SUB DUP1 @again JUMPI STOP"
    ),
    # copy(bytes, count): memory grown, then copied onto itself and through the identity contract.
    "copy": assemble(
        "0x1 0x0 CALLDATALOAD MSTORE 0x20 CALLDATALOAD again: 0x0 CALLDATALOAD 0x20 0x0 MCOPY "
        "0x0 CALLDATALOAD 0x0 0x0 CALLDATALOAD 0x0 0x4 GAS STATICCALL POP 0x1 SWAP1 SUB DUP1 @again JUMPI STOP"
    ),
    # log(bytes, count): four topics and as much data.
    "log": assemble(
        "0x20 CALLDATALOAD again: DUP1 DUP1 DUP1 DUP1 0x0 CALLDATALOAD 0x0 LOG4 0x1 SWAP1 SUB DUP1 @again JUMPI STOP"
    ),
    # create(count, init code...): CREATE2 with the count as salt.
    "create": assemble(
        "0x20 CALLDATASIZE SUB 0x20 0x0 CALLDATACOPY 0x0 CALLDATALOAD again: "
        "DUP1 0x20 CALLDATASIZE SUB 0x0 0x0 CREATE2 POP 0x1 SWAP1 SUB DUP1 @again JUMPI STOP"
    ),
    # deep(depth): calls itself, each frame with memory of its own.
    "deep": assemble(
        "0x0 CALLDATALOAD ISZERO @end JUMPI 0x1 0x0 CALLDATALOAD SUB 0x1000 MSTORE "
        "0x0 0x0 0x20 0x1000 0x0 ADDRESS GAS CALL POP end: STOP"
    ),
    # read(first, count): BALANCE, EXTCODESIZE and EXTCODEHASH of addresses that follow each other.
    "read": assemble(
        "0x20 CALLDATALOAD again: DUP1 0x0 CALLDATALOAD ADD DUP1 BALANCE POP DUP1 EXTCODESIZE POP EXTCODEHASH POP "
        "0x1 SWAP1 SUB DUP1 @again JUMPI STOP"
    ),
    # arithmetic(x, count): products, powers, signed quotients, products modulo x.
    "arithmetic": assemble(
        "0x20 CALLDATALOAD again: DUP1 0x0 CALLDATALOAD MUL DUP2 0x0 CALLDATALOAD EXP XOR 0x7 SWAP1 SDIV "
        "0x0 CALLDATALOAD DUP2 DUP1 MULMOD ADD POP 0x1 SWAP1 SUB DUP1 @again JUMPI STOP"
    ),
}


def words(*values: int | bytes) -> bytes:
    """Arguments as words of 32 bytes; bytes are padded on the left."""
    return b"".join(v.rjust(32, b"\0") if isinstance(v, bytes) else v.to_bytes(32, "big") for v in values)


# --- inputs of the precompiles ---------------------------------------------------------------------------------------


def _bn_g1(point) -> bytes:
    return words(*(int(coordinate) for coordinate in bn.normalize(point)))


def _bn_g2(point) -> bytes:
    return words(*(int(part) for coordinate in bn.normalize(point) for part in reversed(coordinate.coeffs)))


def _bls_g1(point) -> bytes:
    return b"".join(int(coordinate).to_bytes(64, "big") for coordinate in bls.normalize(point))


def _bls_g2(point) -> bytes:
    return b"".join(int(part).to_bytes(64, "big") for c in bls.normalize(point) for part in c.coeffs)


# A signature on P-256 of the message hash keccak("blockproof"), by the secret 7 with the nonce 11; see `sign_p256`.
P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_BASE = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)


def _p256_multiple(scalar: int) -> tuple[int, int]:
    """scalar times the base point, affine; SEC 1, a = -3."""
    total, power = None, P256_BASE
    while scalar:
        if scalar & 1:
            total = power if total is None else _p256_sum(total, power)
        power, scalar = _p256_sum(power, power), scalar >> 1
    return total


def _p256_sum(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2), p = left, right, P256_PRIME
    slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, p) if left == right else (y2 - y1) * pow(x2 - x1, -1, p)
    x = (slope * slope - x1 - x2) % p
    return x, (slope * (x1 - x) - y1) % p


def sign_p256(message_hash: bytes, secret: int = 7, nonce: int = 11) -> bytes:
    """hash, r, s, x, y: the 160 bytes of EIP-7951."""
    r = _p256_multiple(nonce)[0] % P256_ORDER
    s = pow(nonce, -1, P256_ORDER) * (int.from_bytes(message_hash, "big") + r * secret) % P256_ORDER
    return words(message_hash, r, s, *_p256_multiple(secret))


def precompile_calls() -> Iterator[tuple[int, int, bytes]]:
    """(address, calls, input): every precompile of Osaka with a valid input."""
    digest = keccak(b"blockproof")
    signature = keys.PrivateKey(keccak(b"ecrecover")).sign_msg_hash(digest)
    yield 0x01, 400, words(digest, 27 + signature.v, signature.r, signature.s)
    yield 0x02, 300, bytes(range(256)) * 4
    yield 0x03, 40, bytes(range(200))
    yield 0x04, 200, bytes(2048)
    yield 0x05, 40, words(32, 32, 32, 3, (1 << 256) - 5, (1 << 255) - 19)
    yield 0x05, 4, words(256, 3, 256) + b"\x55" * 256 + b"\1\0\1" + b"\xf1" * 256
    pair = _bn_g1(bn.G1) + _bn_g2(bn.G2) + _bn_g1(bn.neg(bn.G1)) + _bn_g2(bn.G2)
    yield 0x06, 200, _bn_g1(bn.G1) + _bn_g1(bn.multiply(bn.G1, 5))
    yield 0x07, 60, _bn_g1(bn.multiply(bn.G1, 9)) + words(bn.curve_order - 3)
    yield 0x08, 6, pair
    yield 0x09, 30, (2000).to_bytes(4, "big") + bytes(208) + b"\1"
    commitment = compress_G1(bls.G1).to_bytes(48, "big")
    versioned_hash = b"\1" + hashlib.sha256(commitment).digest()[1:]
    # The polynomial 1: its commitment is the generator, its value 1 everywhere, the proof the point at infinity.
    yield 0x0A, 6, versioned_hash + words(0x1234, 1) + commitment + b"\xc0" + bytes(47)
    g1, g2 = [_bls_g1(bls.multiply(bls.G1, n)) for n in (3, 5)], [_bls_g2(bls.multiply(bls.G2, n)) for n in (3, 5)]
    scalar = words(bls.curve_order - 7)
    yield 0x0B, 60, b"".join(g1)
    yield 0x0C, 8, b"".join(point + scalar for point in g1)
    yield 0x0D, 30, b"".join(g2)
    yield 0x0E, 6, b"".join(point + scalar for point in g2)
    yield 0x0F, 4, _bls_g1(bls.G1) + _bls_g2(bls.G2) + _bls_g1(bls.neg(bls.G1)) + _bls_g2(bls.G2)
    yield 0x10, 10, (5).to_bytes(64, "big")
    yield 0x11, 6, (5).to_bytes(64, "big") + (6).to_bytes(64, "big")
    yield 0x100, 60, sign_p256(digest)


# --- the block -------------------------------------------------------------------------------------------------------


def _before() -> tuple[WholeState, Header, tuple[bytes, ...], tuple[Withdrawal, ...]]:
    """The parent's state and header, the transactions and withdrawals of the block. Always the same."""
    many = [Sender(private_key(f"sender {index}")) for index in range(40)]
    authorities = [Sender(private_key(f"authority {index}")) for index in range(20)]
    accounts = {sender.address: GenesisAccount(balance=1000 * ETHER) for sender in many}
    accounts |= {sender.address: GenesisAccount(balance=1) for sender in authorities}
    accounts |= {_address(f"recipient {index}"): GenesisAccount(balance=index + 1) for index in range(RECIPIENTS)}
    balances = {keccak(words(sender.address, 0)): 10**24 for sender in many}
    balances |= {keccak(words(_address(f"recipient {index}"), 0)): 7 for index in range(RECIPIENTS)}
    accounts |= {_address(name): GenesisAccount(nonce=1, code=code) for name, code in CODES.items()}
    accounts[_address("token")] = GenesisAccount(nonce=1, code=CODES["token"], storage=balances)
    filled = {words(slot): slot + 1 for slot in range(2000)}
    accounts[_address("store")] = GenesisAccount(nonce=1, code=CODES["store"], storage=filled)
    state = state_from_accounts(with_system_contracts(accounts))
    parent = genesis_header(FORK, state.root, GAS_LIMIT)
    withdrawals = [Withdrawal(n, n, _address(f"recipient {n}" if n % 2 else f"new {n}"), 10**9 + n) for n in range(16)]
    return state, parent, tuple(_transactions(many, authorities)), tuple(withdrawals)


def _transactions(many: list[Sender], authorities: list[Sender]) -> Iterator[bytes]:
    turn = iter(range(1 << 20))

    def sender() -> Sender:
        return many[next(turn) % len(many)]

    def call(name: str, *arguments: int | bytes, gas: int, data: bytes = b"") -> bytes:
        return sender().dynamic(_address(name), words(*arguments) + data, gas=gas)

    for index in range(400):
        to = _address(f"recipient {7 * index}" if index % 2 else f"new {index}")
        yield sender().dynamic(to, value=index, gas=21_000)
    for index in range(390):
        to = _address(f"recipient {index}" if index % 3 else f"holder {index}")
        yield call("token", to, 1000 + index, gas=80_000)
    yield call("store", 1 << 64, 200, 77, gas=6_000_000)
    yield call("store", 0, 400, 77, gas=4_000_000)
    # Slot n holds n + 1: one call deletes what another has made equal.
    for index in range(40):
        yield call("store", 500 + index, 1, 501 + index, gas=60_000)
    for address, count, given in precompile_calls():
        yield call("call", address, count, data=given, gas=4_000_000)
    yield call("hash", 32, 25_000, gas=6_000_000)
    yield call("hash", 4096, 3_000, gas=5_000_000)
    yield call("copy", 1 << 20, 8, gas=10_000_000)
    yield call("copy", 100_000, 120, gas=10_000_000)
    yield call("log", 1024, 120, gas=3_000_000)
    yield call("log", 0, 400, gas=3_000_000)
    yield call("deep", 300, gas=8_000_000)
    yield call("read", int.from_bytes(_address("read"), "big"), 300, gas=3_000_000)
    yield call("arithmetic", (1 << 255) - 19, 5_000, gas=2_000_000)
    for index in range(6):
        yield sender().dynamic(b"", deploy(bytes([0x60, index]) * 2_000), gas=2_000_000)
    yield call("create", 40, data=deploy(bytes(64)), gas=2_200_000)
    for index in range(3):
        hashes = [b"\1" + keccak(bytes([index, blob]))[1:] for blob in range(6)]
        yield sender().blob(_address("token"), hashes, words(_address(f"recipient {index}"), 5), gas=80_000)
    for index in range(5):
        group = authorities[4 * index : 4 * index + 4]
        signed = [authorize(one.key, _address("token"), 0) for one in group]
        yield sender().set_code(group[0].address, signed, words(_address("recipient 5"), 0), gas=250_000)
    slots = tuple(words(slot) for slot in range(1000, 1060))
    arguments = words(1000, 60, 3)
    yield sender().with_access_list(_address("store"), ((_address("store"), slots),), arguments, gas=400_000)


def big_input(folder: Path | None = None) -> bytes:
    """The canonical input of the block, made once for each content that it has had; about two minutes."""
    folder = folder or cache_folder().parent / "big-block"
    state, parent, transactions, withdrawals = _before()
    content = hashlib.sha256(parent.hash + b"".join(transactions) + repr(withdrawals).encode()).hexdigest()[:16]
    path = folder / f"{content}.ssz"
    if not path.is_file():
        made = make_block(FORK, state, transactions, ancestors=[parent], withdrawals=withdrawals)
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_bytes(encode_input(made.stateless_input()))
        partial.replace(path)
    return path.read_bytes()


def execute(encoded: bytes, guest: str = "block") -> tuple[RunResult, float]:
    """The guest's run and its processor seconds."""
    program = load_guest(guest)
    begin = time.process_time()
    result = run(program, encoded, Limits(memory_bytes=3 << 30))
    return result, time.process_time() - begin


def main() -> None:
    """Makes or loads the block, runs it, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="also write the input here")
    parser.add_argument("--guest", default="block", help="a shipped guest or the path of an ELF")
    arguments = parser.parse_args()
    begin = time.monotonic()
    encoded = big_input()
    print(f"input: {len(encoded):,} bytes, made or loaded in {time.monotonic() - begin:.1f} s")
    if arguments.keep:
        arguments.keep.write_bytes(encoded)
    run(load_guest("fibonacci"), bytes([5, 0, 0, 0]))  # the kernels, compiled or loaded
    result, seconds = execute(encoded, arguments.guest)
    public = decode_result(result.output) if result.exit_code == 0 else None
    print(
        f"exit code {result.exit_code}, flag {public and int(public.successful_validation)}: {result.debug.decode().strip()}"
    )
    print(
        f"{result.steps:,} steps in {seconds:.1f} processor seconds ({result.steps / seconds / 1e6:.0f} MIPS), "
        f"{result.touched_bytes / 2**20:,.0f} MiB touched"
    )
    for region in result.regions:
        print(f"  {region.steps:>14,}  {' / '.join(region.path)}")
    for function in sorted(result.functions, key=lambda one: -one.steps)[:25]:
        print(f"  {function.steps:>14,}  {function.name[:100]}")


if __name__ == "__main__":
    main()
