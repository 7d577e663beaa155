"""
Makes a witness from a whole state: executes a block with EELS and keeps what was read.

Read means: the trie nodes on the paths of all accounts and slots that execution asks for, the nodes that the new roots
need (siblings left alone by a delete included), the codes run or measured, the headers down to the oldest BLOCKHASH
asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from eth_hash.auto import keccak

from witness.block import Block
from witness.errors import FormatError
from witness.schema import REVISION_BOUND, ExecutionWitness, Fork
from witness.trie import (
    EMPTY_CODE_HASH,
    AccountRecord,
    NodeStore,
    WitnessState,
    encode_storage_value,
    whole_trie,
)
from witness.validate import Executed, execute_block

MAX_ALLOC_ACCOUNTS = 1 << 20


@dataclass(frozen=True)
class GenesisAccount:
    """An account with its storage: nonce below 2^64, balance below 2^256, code, 32-byte slots to non-zero values."""

    balance: int = 0
    nonce: int = 0
    code: bytes = b""
    storage: Mapping[bytes, int] = field(default_factory=dict)


@dataclass(frozen=True)
class WholeState:
    """Every trie node by hash, every code, and the state root that they hang from."""

    nodes: Mapping[bytes, bytes]
    codes: tuple[bytes, ...]
    root: bytes


def state_from_accounts(accounts: Mapping[bytes, GenesisAccount]) -> WholeState:
    """The state that consists of these accounts, by 20-byte address."""
    nodes: dict[bytes, bytes] = {}
    records = {}
    for address, account in accounts.items():
        root, storage_nodes = _storage_trie(frozenset(account.storage.items()))
        nodes.update(storage_nodes)
        code_hash = keccak(account.code) if account.code else EMPTY_CODE_HASH
        records[keccak(address)] = AccountRecord(account.nonce, account.balance, root, code_hash).encode()
    root, account_nodes = whole_trie(records)
    nodes.update(account_nodes)
    codes = {keccak(account.code): account.code for account in accounts.values() if account.code}
    return WholeState(nodes, tuple(codes.values()), root)


@lru_cache(maxsize=256)
def _storage_trie(storage: frozenset[tuple[bytes, int]]) -> tuple[bytes, dict[bytes, bytes]]:
    """Remembered: the same system contracts, with long storage, are in the pre-state of thousands of tests."""
    return whole_trie({keccak(slot): encode_storage_value(value) for slot, value in storage})


def accounts_from_alloc(alloc: object) -> dict[bytes, GenesisAccount]:
    """
    The accounts in a genesis `alloc`, or in the `pre` of a fixture.

    Numbers are hex strings, decimal strings or JSON numbers; addresses with or without 0x. Raises FormatError.
    """
    if not isinstance(alloc, dict) or len(alloc) > MAX_ALLOC_ACCOUNTS:
        raise FormatError(f"alloc is not an object of at most {MAX_ALLOC_ACCOUNTS} accounts")
    accounts = {}
    for key, fields in alloc.items():
        if not isinstance(fields, dict) or not isinstance(fields.get("storage", {}), dict):
            raise FormatError(f"alloc: account {key[:80]} is not an object")
        storage = {
            _number(slot, "slot", 32).to_bytes(32, "big"): _number(value, "value", 32)
            for slot, value in fields.get("storage", {}).items()
        }
        accounts[_bytes(key, "address", 20)] = GenesisAccount(
            balance=_number(fields.get("balance", 0), "balance", 32),
            nonce=_number(fields.get("nonce", 0), "nonce", 8),
            code=_bytes(fields.get("code", ""), "code", None),
            storage={slot: value for slot, value in storage.items() if value},
        )
    return accounts


def _bytes(value: object, what: str, size: int | None) -> bytes:
    try:
        decoded = bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError) as error:
        raise FormatError(f"alloc: {what} is not hex") from error
    if size is not None and len(decoded) != size:
        raise FormatError(f"alloc: {what} has {len(decoded)} bytes, not {size}")
    return decoded


def _number(value: object, what: str, most_bytes: int) -> int:
    if isinstance(value, str) and len(value) <= 80:
        try:
            value = int(value or "0", 16 if value[:2] == "0x" else 10) if value != "0x" else 0
        except ValueError as error:
            raise FormatError(f"alloc: {what} is not a number") from error
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 8 * most_bytes:
        raise FormatError(f"alloc: {what} is not a number of at most {most_bytes} bytes")
    return value


def execute_on(
    state: WholeState,
    headers: Sequence[bytes],
    block: Block,
    chain_id: int,
    fork: Fork,
    revision: int = REVISION_BOUND,
) -> Executed:
    """
    Executes a block on a whole state; `touched` of the outcome is its witness.

    headers: RLP of ancestors, oldest first, the last the parent; as many as there are, up to 256.
    Raises Invalid where the block is not valid.
    """
    witness = ExecutionWitness((), state.codes, tuple(headers))
    reader = WitnessState(NodeStore(state.nodes), state.root)
    return execute_block(block, witness, chain_id, fork, revision, state=reader)


def record_witness(
    state: WholeState,
    headers: Sequence[bytes],
    block: Block,
    chain_id: int,
    fork: Fork,
    revision: int = REVISION_BOUND,
    extra_accounts: Iterable[bytes] = (),
) -> ExecutionWitness:
    """
    The minimal witness of a valid block on a whole state.

    extra_accounts: 20-byte addresses whose account paths are added, for a validator that reads more than EELS does.
    Arguments and refusals as execute_on.
    """
    touched = execute_on(state, headers, block, chain_id, fork, revision).touched
    nodes = set(touched.state)
    store = NodeStore(state.nodes)
    reader = WitnessState(store, state.root)
    for address in extra_accounts:
        reader.account(address)
    nodes.update(store.base[node_hash] for node_hash in store.touched)
    return ExecutionWitness(tuple(sorted(nodes, key=keccak)), touched.codes, touched.headers)


def state_after(state: WholeState, executed: Executed) -> WholeState:
    """The whole state after a block: old and new nodes and codes."""
    codes = {keccak(code): code for code in (*state.codes, *executed.new_codes)}
    return WholeState({**state.nodes, **executed.written}, tuple(codes.values()), executed.post_state_root)
