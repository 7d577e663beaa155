"""
The blocks that the fuzzer starts from: small, valid, of several forks, touching as much of the state as fits.

Each has a trie of some forty accounts, a contract whose storage trie loses slots (so that branches collapse), codes that
are run, measured and copied, BLOCKHASH of an ancestor, a created and a destroyed contract, and the transaction types,
withdrawals, requests and ommers of its fork.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from tests.hostile.blocks import (
    CHAIN_ID,
    MadeBlock,
    Sender,
    assemble,
    authorize,
    deploy,
    difficulty_after,
    genesis_header,
    make_block,
    private_key,
    with_system_contracts,
)
from witness.block import Header, Withdrawal
from witness.record import GenesisAccount, state_from_accounts
from witness.schema import Fork

FORKS = (
    Fork.FRONTIER,
    Fork.HOMESTEAD,
    Fork.BYZANTIUM,
    Fork.BERLIN,
    Fork.LONDON,
    Fork.PARIS,
    Fork.SHANGHAI,
    Fork.CANCUN,
    Fork.PRAGUE,
    Fork.OSAKA,
    Fork.BPO2,
)
ETHER = 10**18
STORE = bytes.fromhex("00000000000000000000000000000000005708e0")
READER = bytes.fromhex("0000000000000000000000000000000000ea00e0")
FACTORY = bytes.fromhex("00000000000000000000000000000000fac70000")
MORTAL = bytes.fromhex("000000000000000000000000000000000dead000")
HASHES = bytes.fromhex("0000000000000000000000000000000000b10c00")
WITHDRAWAL_CONTRACT = bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")
CONSOLIDATION_CONTRACT = bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251")

# Slot = word 0 of the calldata, value = word 1; a log of both.
STORE_CODE = assemble("0x20 CALLDATALOAD 0x0 CALLDATALOAD SSTORE 0x40 0x0 0x0 CALLDATACOPY 0x40 0x0 LOG0 STOP")
# Hash, size and part of the code at the address in word 0 of the calldata; its balance into slot 0.
READER_CODE = assemble(
    "0x0 CALLDATALOAD DUP1 EXTCODESIZE 0x1 SSTORE 0x20 0x0 0x0 DUP4 EXTCODECOPY 0x0 MLOAD 0x2 SSTORE BALANCE 0x0 SSTORE"
)
# CREATE with the calldata as init code; its address into slot 0.
FACTORY_CODE = assemble("CALLDATASIZE 0x0 0x0 CALLDATACOPY CALLDATASIZE 0x0 0x0 CREATE 0x0 SSTORE")
MORTAL_CODE = assemble("CALLER SELFDESTRUCT")
# BLOCKHASH of the parent's parent into slot 0.
HASHES_CODE = assemble("0x2 NUMBER SUB BLOCKHASH 0x0 SSTORE")


def before_push0(code: bytes) -> bytes:
    """The same code for forks without PUSH0. No code here has the byte 0x5f as data."""
    return code.replace(b"\x5f", b"\x60\x00")


def word(value: int | bytes) -> bytes:
    """32 bytes."""
    return value.rjust(32, b"\0") if isinstance(value, bytes) else value.to_bytes(32, "big")


@cache
def corpus_block(fork: Fork) -> MadeBlock:
    """The corpus block of a fork, number 3: block 1 and 2 are headers only."""
    old = fork < Fork.SHANGHAI

    def code(one: bytes) -> bytes:
        return before_push0(one) if old else one

    # One sender is the account of the last authorization too: its nonce counts in it.
    first, second, authority = (Sender(private_key(name)) for name in ("first", "second", "authority"))
    accounts = {sender.address: GenesisAccount(balance=ETHER) for sender in (first, second, authority)}
    accounts |= {bytes([index] * 20): GenesisAccount(balance=index) for index in range(100, 132)}
    accounts |= {
        STORE: GenesisAccount(nonce=1, code=code(STORE_CODE), storage={word(slot): 7 + slot for slot in range(24)}),
        READER: GenesisAccount(nonce=1, code=code(READER_CODE), storage={word(0): 1, word(1): 1}),
        FACTORY: GenesisAccount(nonce=1, code=code(FACTORY_CODE)),
        MORTAL: GenesisAccount(nonce=1, balance=3, code=MORTAL_CODE, storage={word(5): 5}),
        HASHES: GenesisAccount(nonce=1, code=code(HASHES_CODE), storage={word(0): 1}),
    }
    if fork >= Fork.CANCUN:
        accounts = with_system_contracts(accounts)
    state = state_from_accounts(accounts)
    ancestors = _ancestors(fork, state.root)

    # Three deletes, one change, one new slot.
    writes = ((3, 0), (17, 0), (9, 0), (4, 99), (1000, 1))
    protected = fork >= Fork.SPURIOUS_DRAGON
    transactions = [
        first.legacy(STORE, word(slot) + word(value), protected=protected and index > 0)
        for index, (slot, value) in enumerate(writes)
    ]
    runtime = code(assemble("0x2a 0x0 SSTORE STOP"))
    transactions += [
        first.legacy(READER, word(FACTORY), protected=protected),
        first.legacy(FACTORY, code_of_init(deploy(runtime), old), protected=protected),
        first.legacy(b"", code_of_init(deploy(MORTAL_CODE), old), value=1, protected=protected),
        first.legacy(MORTAL, protected=protected),
        first.legacy(HASHES, protected=protected),
        first.legacy(bytes([200] * 20), value=1, gas=21_000, protected=protected),
    ]
    if fork >= Fork.BERLIN:
        transactions.append(second.with_access_list(STORE, ((STORE, (word(1), word(2))),), word(1) + word(0)))
    if fork >= Fork.LONDON:
        transactions.append(second.dynamic(STORE, word(2) + word(5)))
    if fork >= Fork.CANCUN:
        transactions.append(
            second.blob(STORE, [b"\1" + bytes(30) + b"\1", b"\1" + bytes(30) + b"\2"], word(2) + word(6))
        )
    if fork >= Fork.PRAGUE:
        transactions.append(second.set_code(authority.address, [authorize(authority.key, STORE, 0)], word(8) + word(1)))
        transactions.append(second.dynamic(WITHDRAWAL_CONTRACT, bytes(range(56)), value=1))
        transactions.append(second.dynamic(CONSOLIDATION_CONTRACT, bytes(range(96)), value=1))
    withdrawals = ()
    if fork >= Fork.SHANGHAI:
        withdrawals = (Withdrawal(1, 2, bytes([131] * 20), 3), Withdrawal(2, 2, bytes([201] * 20), 4))
    ommers = ()
    if fork < Fork.PARIS:
        ommers = (replace(ancestors[1], extra_data=b"an ommer", coinbase=bytes([202] * 20)),)
    return make_block(
        fork, state, transactions, ancestors=ancestors, withdrawals=withdrawals, ommers=ommers, chain_id=CHAIN_ID
    )


def code_of_init(code: bytes, old: bool) -> bytes:
    """`deploy` has PUSH0 in fixed places; without it the code's offset moves."""
    if not old:
        return code
    head, body = code[:10], code[10:]
    longer = before_push0(head)
    return longer.replace(b"\x60\x0a", bytes([0x60, len(longer)])) + before_push0(body)


def _ancestors(fork: Fork, state_root: bytes) -> tuple[Header, ...]:
    """Three linked headers over one state."""
    headers = [genesis_header(fork, state_root)]
    for _ in range(2):
        last = headers[-1]
        after = replace(last, parent_hash=last.hash, number=last.number + 1, timestamp=last.timestamp + 12)
        if fork < Fork.PARIS:
            after = replace(after, difficulty=difficulty_after(fork, last, after.timestamp))
        headers.append(after)
    return tuple(headers)
