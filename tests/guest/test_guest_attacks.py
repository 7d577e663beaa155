"""
Blocks made to be wrong in one place: the guest refuses them.

Every header is completed with the roots that the guest itself computes, so that nothing but the rule under attack stands
in the way of flag 1. All on chain id 1337, where the schema id alone chooses the rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import pytest
import rlp
from eth_hash.auto import keccak
from eth_keys import keys

from blockproof.guests import load_guest
from witness.block import Block, Header, ommers_hash
from witness.importers import build_input
from witness.record import GenesisAccount, WholeState, state_from_accounts
from witness.schema import ExecutionWitness, Fork, decode_result, encode_input
from witness.trie import EMPTY_TRIE_ROOT, int_to_bytes, ordered_trie_root
from zkvm.machine import run

CHAIN_ID = 1337
KEY = keys.PrivateKey(keccak(b"attacker"))
SENDER = KEY.public_key.to_canonical_address()
CONTRACT = bytes([12] * 20)
COINBASE = bytes([13] * 20)
RICH = {SENDER: GenesisAccount(balance=10**20)}
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
COMPUTED: tuple[tuple[str, str, Callable[[str], object]], ...] = (
    ("gas_used", r"gas used \d+ where execution used (\d+)", int),
    ("receipts_root", r"receipts root .* gives 0x(\w+)", bytes.fromhex),
    ("state_root", r"state root .* gives 0x(\w+)", bytes.fromhex),
    ("base_fee_per_gas", r"base fee .* where (\d+)", int),
    ("excess_blob_gas", r"excess blob gas .* where (\d+)", int),
)


def encodable(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return [encodable(element) for element in value]
    return int_to_bytes(value) if isinstance(value, int) else value


def signed(kind: int, fields: Sequence[object], flip: bool = False, high: bool = False) -> bytes:
    """A typed transaction. flip: the other parity, whose key is another one; high: the other s as well, the same key."""
    unsigned = encodable(fields)
    signature = KEY.sign_msg_hash(keccak(bytes([kind]) + rlp.encode(unsigned)))
    parity, s = signature.v ^ (flip or high), SECP256K1_ORDER - signature.s if high else signature.s
    return bytes([kind]) + rlp.encode([*unsigned, *encodable((parity, signature.r, s))])


def call(nonce: int = 0, gas: int = 100_000, **how: bool) -> bytes:
    return signed(2, (CHAIN_ID, nonce, 1, 100, gas, CONTRACT, 0, b"", ()), **how)


def parent_header(fork: Fork, root: bytes, changes: Mapping[str, object]) -> Header:
    optional: dict[str, object] = {}
    if fork >= Fork.LONDON:
        optional["base_fee_per_gas"] = 7
    if fork >= Fork.CANCUN:
        optional |= {
            "withdrawals_root": EMPTY_TRIE_ROOT,
            "blob_gas_used": 0,
            "excess_blob_gas": 0,
            "parent_beacon_block_root": bytes(32),
        }
    header = Header(
        parent_hash=bytes(32),
        ommers_hash=ommers_hash(()),
        coinbase=COINBASE,
        state_root=root,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        bloom=bytes(256),
        difficulty=0 if fork >= Fork.PARIS else 1 << 20,
        number=0,
        gas_limit=30_000_000,
        gas_used=15_000_000 if fork >= Fork.LONDON else 0,
        timestamp=1000,
        extra_data=b"",
        prev_randao=bytes(32),
        nonce=bytes(8),
    )
    return replace(header, **{**optional, **changes})


def settle(
    fork: Fork,
    accounts: Mapping[bytes, GenesisAccount],
    transactions: Sequence[bytes] = (),
    parent: Mapping[str, object] | None = None,
    witness: Callable[[WholeState, Header], ExecutionWitness] | None = None,
    **header: object,
) -> tuple[bool, str]:
    """Flag and last line of the guest on a block whose computed fields are the guest's own."""
    state = state_from_accounts(accounts)
    before = parent_header(fork, state.root, parent or {})
    given = witness(state, before) if witness else whole_witness(state, before)
    block = replace(
        before,
        parent_hash=before.hash,
        number=before.number + 1,
        timestamp=before.timestamp + 12,
        gas_used=0,
        transactions_root=ordered_trie_root(transactions),
    )
    block = replace(block, **header)
    withdrawals = () if fork >= Fork.SHANGHAI else None
    for _ in range(len(COMPUTED) + 1):
        body = Block(block, tuple(transactions), (), withdrawals)
        encoded = encode_input(build_input(body, given, CHAIN_ID, fork, must_match=False))
        result = run(load_guest("block"), encoded)
        assert result.exit_code == 0
        line = result.debug.decode().strip()
        for name, pattern, convert in COMPUTED:
            if found := re.search(pattern, line):
                block = replace(block, **{name: convert(found[1])})
                break
        else:
            break
    return decode_result(result.output).successful_validation, line


def whole_witness(state: WholeState, parent: Header) -> ExecutionWitness:
    return ExecutionWitness(tuple(state.nodes.values()), state.codes, (parent.encode(),))


def test_the_sender_is_the_signature_s() -> None:
    """The honest signature is taken; with the other parity or the other s the block is refused."""
    flag, line = settle(Fork.CANCUN, RICH, [call()])
    assert flag, line
    flag, line = settle(Fork.CANCUN, RICH, [call(flip=True)])
    assert not flag
    assert "lack of funds" in line
    flag, line = settle(Fork.CANCUN, RICH, [call(high=True)])
    assert not flag
    assert line == "invalid: transaction 0: transaction signature is not valid"


def test_blockhash_needs_a_linked_header() -> None:
    """BLOCKHASH of the grandparent: its true header only, in its place only."""
    # PUSH0 BLOCKHASH PUSH0 SSTORE
    accounts = {**RICH, CONTRACT: GenesisAccount(nonce=1, code=bytes.fromhex("5f405f5500"))}
    grandparent = parent_header(Fork.CANCUN, bytes(32), {})
    parent = {"parent_hash": grandparent.hash, "number": 1, "timestamp": 1012}

    def headers(*older: Header) -> Callable[[WholeState, Header], ExecutionWitness]:
        return lambda state, before: replace(
            whole_witness(state, before), headers=(*(header.encode() for header in older), before.encode())
        )

    forged = replace(grandparent, timestamp=999)
    flag, line = settle(Fork.CANCUN, accounts, [call()], parent, headers(grandparent))
    assert flag, line
    for older, reason in (
        ((), "missing header of block 0"),
        ((forged,), "witness header 1 does not follow the one before it"),
        ((grandparent, grandparent), "witness header 0 does not follow the one before it"),
    ):
        flag, line = settle(Fork.CANCUN, accounts, [call()], parent, headers(*older))
        assert not flag
        assert line == f"invalid: {reason}"


def test_a_collapse_needs_the_sibling_left_alone() -> None:
    """A slot set to zero leaves one child of a branch: without that child's node there is no flag 1."""
    # PUSH0 PUSH0 SSTORE; slots 0 and 1 are the two leaves of the root's branch.
    storage = {bytes(32): 5, bytes(31) + b"\1": 2**200}
    accounts = {**RICH, CONTRACT: GenesisAccount(nonce=1, code=bytes.fromhex("5f5f5500"), storage=storage)}
    flag, line = settle(Fork.CANCUN, accounts, [call()])
    assert flag, line
    sibling = rlp.encode(int_to_bytes(2**200))

    def without(state: WholeState, before: Header) -> ExecutionWitness:
        given = whole_witness(state, before)
        kept = tuple(node for node in given.state if sibling not in node)
        assert len(kept) == len(given.state) - 1
        return replace(given, state=kept)

    flag, line = settle(Fork.CANCUN, accounts, [call()], witness=without)
    assert not flag
    assert line.startswith("invalid: missing node 0x")


def test_a_code_of_another_hash_is_not_run() -> None:
    accounts = {**RICH, CONTRACT: GenesisAccount(nonce=1, code=bytes.fromhex("5f5f5500"))}

    def other(state: WholeState, before: Header) -> ExecutionWitness:
        return replace(whole_witness(state, before), codes=(b"\0",))

    flag, line = settle(Fork.CANCUN, accounts, [call()], witness=other)
    assert not flag
    assert line.startswith("invalid: missing code 0x")


def test_a_blob_fee_that_the_sender_cannot_pay() -> None:
    """2^17 blob gas at 2^127 wei, and a balance of little more than 2^128 wei."""
    blob = (CHAIN_ID, 0, 0, 7, 21_000, CONTRACT, 0, b"", (), 2**127, (b"\1" + bytes(31),))
    rich = {SENDER: GenesisAccount(balance=2**128 + 10**18)}
    flag, line = settle(Fork.CANCUN, rich, [signed(3, blob)], blob_gas_used=1 << 17)
    assert not flag, line


def test_a_blob_base_fee_beyond_128_bits() -> None:
    """BLOBBASEFEE PUSH0 SSTORE after a parent whose excess makes the price e^90."""
    accounts = {**RICH, CONTRACT: GenesisAccount(nonce=1, code=bytes.fromhex("4a5f5500"))}
    flag, line = settle(Fork.CANCUN, accounts, [call()], {"excess_blob_gas": 90 * 3_338_477})
    assert not flag, line


def test_a_gas_limit_beyond_64_bits_when_doubled() -> None:
    parent = {"base_fee_per_gas": None, "gas_limit": 3 << 62}
    flag, line = settle(Fork.LONDON, RICH, (), parent, base_fee_per_gas=10**9, gas_limit=2**64 - 2**52)
    assert not flag, line


def test_a_difficulty_beyond_256_bits() -> None:
    flag, line = settle(Fork.HOMESTEAD, RICH, (), {"difficulty": 2**256 - 1}, timestamp=1001)
    assert not flag, line


def test_a_tip_that_overflows_the_coinbase() -> None:
    accounts = {**RICH, COINBASE: GenesisAccount(balance=2**256 - 1)}
    flag, line = settle(Fork.CANCUN, accounts, [call()])
    assert not flag, line


@pytest.mark.parametrize("pay", ["selfdestruct", "call"])
def test_a_payment_that_overflows_a_balance(pay: str) -> None:
    """A contract with one wei gives it to an account that has 2^256 - 1; with one less it is a block like any other."""
    target = bytes.fromhex("00000000000000000000000000000000000000aa")
    code = {
        "selfdestruct": b"\x73" + target + b"\xff",
        "call": bytes.fromhex("5f5f5f5f6001") + b"\x73" + target + b"\x5a\xf1\x00",
    }[pay]
    for balance, overflows in ((2**256 - 1, True), (2**256 - 2, False)):
        accounts = {**RICH, CONTRACT: GenesisAccount(nonce=1, balance=1, code=code), target: GenesisAccount(balance=balance)}
        flag, line = settle(Fork.CANCUN, accounts, [call()])
        assert not flag or not overflows
        assert ("balance of" in line and "overflows" in line) == overflows, line


def test_a_heap_that_is_full_is_a_refusal() -> None:
    """A chain that nobody knows may sell any amount of gas: a block that fills the heap ends in flag 0, not in a panic."""
    # A frame's memory of 3.5e9 bytes costs some 2^45 gas.
    code = bytes.fromhex("5f63d09dc30052")  # PUSH0, PUSH4 3_500_000_000, MSTORE
    accounts = {SENDER: GenesisAccount(balance=2**120), CONTRACT: GenesisAccount(nonce=1, code=code)}
    gas = 1 << 46
    flag, line = settle(
        Fork.CANCUN, accounts, [call(gas=gas)], {"gas_limit": gas + 1, "gas_used": gas // 2}, gas_limit=gas + 1
    )
    assert not flag
    assert line == "invalid: out of memory"
