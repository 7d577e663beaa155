"""The nodes beside deleted leaves: each way of finding them, and the refusal where there is none."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from eth_hash.auto import keccak
from trie.utils.nibbles import bytes_to_nibbles

from rpc.collect import collect
from rpc.collect_errors import SiblingNotFound
from rpc.key_search import key_with_prefix
from rpc.ondemand import RemoteState, RemoteWitnessState
from rpc.siblings import SiblingFinder
from tests.rpc.eest_chains import chain_of
from tests.rpc.made_blocks import (
    CHAIN_ID,
    DESTROYED_CODE,
    SENDER,
    WRITER_CODE,
    call,
    genesis,
    make_block,
    write,
)
from tests.rpc.whole import WholeSource
from witness.block import Block, Header
from witness.record import GenesisAccount, WholeState, record_witness, state_from_accounts
from witness.schema import REVISION_UNBOUND, Fork

WRITER = b"\xc0" * 20


def below(*nibbles: int, count: int = 1) -> list[bytes]:
    """The first slots whose hash begins with these nibbles."""
    found = []
    number = 0
    while len(found) < count:
        slot = number.to_bytes(32, "big")
        if bytes_to_nibbles(keccak(slot))[: len(nibbles)] == nibbles:
            found.append(slot)
        number += 1
    return found


# Two slots that keep the root of the storage trie a branch whatever happens below nibble 5.
KEPT = {below(0)[0]: 1, below(1)[0]: 1}
DELETED = below(5, 1)[0]


def made(fork: Fork, storage: Mapping[bytes, int], *changes: Mapping[bytes, int]):
    """A block of one transaction for each mapping of slots to values, on a contract with this storage."""
    state = state_from_accounts({SENDER: GenesisAccount(10**20), WRITER: GenesisAccount(1, 1, WRITER_CODE, storage)})
    parent = genesis(fork, state)
    block, after = make_block(fork, state, [parent], [write(nonce, WRITER, one) for nonce, one in enumerate(changes)])
    return state, parent, block, after


def collected(fork: Fork, made_block, slots=None) -> tuple[str, WholeSource]:
    """The line of progress that tells of siblings, "" for none; the witness must be the recorder's."""
    state, parent, block, after = made_block
    lines: list[str] = []
    source = WholeSource(CHAIN_ID, [parent], state, block, after, slots=slots)
    stateless_input = collect(source, block.header.hash, chain_of(CHAIN_ID, fork), lines.append, REVISION_UNBOUND)
    recorded = record_witness(state, [parent.encode()], block, CHAIN_ID, fork, REVISION_UNBOUND)
    assert stateless_input.witness == recorded
    told = [line.partition("siblings of deleted leaves: ")[2] for line in lines]
    return "".join(told), source


def test_leaf_beside_a_deleted_leaf():
    """Given two leaves under one branch. When one is deleted. Then the proof after the block gives the other."""
    storage = {**KEPT, DELETED: 1, below(5, 2)[0]: 9}
    assert collected(Fork.SHANGHAI, made(Fork.SHANGHAI, storage, {DELETED: 0}))[0] == "1 after the block"


def test_extension_beside_a_deleted_leaf():
    """Given a leaf and an extension under one branch. When the leaf goes. Then the extension grows and is cut again."""
    first, second = below(5, 2, 3, 1)[0], below(5, 2, 3, 2)[0]
    storage = {**KEPT, DELETED: 1, first: 1, second: 2}
    assert collected(Fork.SHANGHAI, made(Fork.SHANGHAI, storage, {DELETED: 0}))[0] == "1 after the block"


def test_branch_beside_a_deleted_leaf():
    """
    Given a leaf and a branch under one branch. When the leaf goes. Then no proof after the block contains the branch: a
    storage range gives a key below it, else a key is searched.
    """
    first, second = below(5, 2, 1)[0], below(5, 2, 2)[0]
    storage = {**KEPT, DELETED: 1, first: 1, second: 2}
    block = made(Fork.SHANGHAI, storage, {DELETED: 0})
    found, source = collected(Fork.SHANGHAI, block, slots={WRITER: storage})
    assert found == "1 by storage range"
    assert source.calls["storage_keys_from"] == 1
    assert collected(Fork.SHANGHAI, block)[0] == "1 by key search"


def test_sibling_that_changes():
    """Given two leaves under one branch. When one is deleted and the other changed. Then its own proof has its node."""
    other = below(5, 2)[0]
    storage = {**KEPT, DELETED: 1, other: 9}
    assert collected(Fork.SHANGHAI, made(Fork.SHANGHAI, storage, {DELETED: 0, other: 7}))[0] == ""


def test_sibling_that_is_deleted_too():
    """Given three leaves under one branch. When two are deleted. Then the third moves up."""
    storage = {**KEPT, DELETED: 1, below(5, 2)[0]: 9, below(5, 3)[0]: 9}
    changes = {DELETED: 0, below(5, 2)[0]: 0}
    assert collected(Fork.SHANGHAI, made(Fork.SHANGHAI, storage, changes))[0] == "1 after the block"


def test_insertion_beside_the_survivor():
    """Given two leaves under one branch. When one is deleted and a third put beside the other. Then nothing collapses."""
    first, second = below(5, 2, 1)[0], below(5, 2, 2)[0]
    storage = {**KEPT, DELETED: 1, first: 9}
    assert collected(Fork.SHANGHAI, made(Fork.SHANGHAI, storage, {DELETED: 0, second: 7}))[0] == ""


def test_whole_trie_deleted():
    storage = {below(5, 1)[0]: 1, below(5, 2)[0]: 2}
    changes = dict.fromkeys(storage, 0)
    assert collected(Fork.SHANGHAI, made(Fork.SHANGHAI, storage, changes))[0] == ""


@pytest.mark.parametrize("fork", [Fork.FRONTIER, Fork.HOMESTEAD, Fork.SPURIOUS_DRAGON])
class TestRootsWithinTheBlock:
    """Before Byzantium the trie is hashed after each transaction, so a sibling can be needed that changes afterwards."""

    def test_sibling_changes_afterwards(self, fork):
        other = below(5, 2)[0]
        storage = {**KEPT, DELETED: 1, other: 9}
        assert collected(fork, made(fork, storage, {DELETED: 0}, {other: 7}))[0] == ""

    def test_deleted_leaf_comes_back(self, fork):
        """The proof after the block ends in the leaf itself: only a key below the sibling helps."""
        storage = {**KEPT, DELETED: 1, below(5, 2)[0]: 9}
        assert collected(fork, made(fork, storage, {DELETED: 0}, {DELETED: 3}))[0] == "1 by key search"

    def test_survivor_grows_a_branch_afterwards(self, fork):
        first, second = below(5, 2, 1)[0], below(5, 2, 2)[0]
        storage = {**KEPT, DELETED: 1, first: 9}
        assert collected(fork, made(fork, storage, {DELETED: 0}, {second: 7}))[0] == ""


def test_destroyed_account_beside_another():
    """Given accounts that collapse the account trie when one destroys itself. Then the sibling account is found."""
    addresses = [key_with_prefix((4, 1), 20), key_with_prefix((4, 2), 20)]
    accounts = {SENDER: GenesisAccount(10**20), addresses[0]: GenesisAccount(5, 1, DESTROYED_CODE, {bytes(32): 1})}
    accounts[addresses[1]] = GenesisAccount(7)
    state = state_from_accounts(accounts)
    parent = genesis(Fork.LONDON, state)
    block, after = make_block(Fork.LONDON, state, [parent], [call(0, addresses[0])])
    assert collected(Fork.LONDON, (state, parent, block, after))[0] == "1 after the block"


def test_not_found_is_named():
    """Given a branch deeper than any search goes and no storage range. Then the refusal names node, account and slot."""
    first, second = below(5, 2, 1)[0], below(5, 2, 2)[0]
    state, parent, block, after = made(Fork.SHANGHAI, {**KEPT, DELETED: 1, first: 1, second: 2}, {DELETED: 0})
    source = WholeSource(CHAIN_ID, [parent], state, block, after)
    remote = RemoteState(source, parent)
    reader = RemoteWitnessState(remote, SiblingFinder(source, block, most_nibbles=1))
    root = reader.account(WRITER).storage_root
    reader.storage(WRITER, root, DELETED)
    with pytest.raises(SiblingNotFound) as caught:
        reader.update_storage(WRITER, root, {DELETED: 0})
    assert (caught.value.address, caught.value.keys, caught.value.path) == (WRITER, (DELETED,), (5, 2))
    assert str(caught.value).startswith(
        f"missing node 0x{caught.value.node_hash.hex()} at path 52 of the storage trie of account 0x{WRITER.hex()}: "
        f"the sibling of a leaf that the block deletes (slot 0x{DELETED.hex()})"
    )


def random_block(seed: int) -> tuple[Fork, dict, tuple[WholeState, Header, Block, WholeState]]:
    """A block that writes and deletes slots, destroys contracts and touches empty accounts, in up to six transactions."""
    generator = random.Random(seed)
    fork = generator.choice(
        [Fork.FRONTIER, Fork.HOMESTEAD, Fork.SPURIOUS_DRAGON, Fork.BYZANTIUM, Fork.LONDON, Fork.SHANGHAI]
    )
    size = generator.choice([1, 2, 3, 5, 8, 20, 60])

    def slot() -> bytes:
        return generator.randrange(2 * size).to_bytes(32, "big")

    storage = {slot(): generator.choice([1, 1 << 255]) for _ in range(size)}
    accounts = {SENDER: GenesisAccount(10**20), WRITER: GenesisAccount(1, 1, WRITER_CODE, storage)}
    destroyed = [b"\xd0" * 19 + bytes([index]) for index in range(generator.choice([0, 1, 3]))]
    for address in destroyed:
        nonce, balance = generator.choice([0, 1]), generator.choice([0, 5])
        accounts[address] = GenesisAccount(balance, nonce, DESTROYED_CODE, {slot(): 1})
    plain = [b"\xe0" * 19 + bytes([index]) for index in range(generator.choice([0, 1, 10]))]
    for address in plain:
        accounts[address] = GenesisAccount(generator.choice([0, 5]))
    transactions = []
    for nonce in range(generator.randrange(1, 7)):
        kind = generator.random()
        if kind < 0.7:
            changes = {slot(): generator.choice([0, 0, 3]) for _ in range(generator.randrange(1, 4))}
            transactions.append(write(nonce, WRITER, changes))
        elif kind < 0.85 and destroyed:
            transactions.append(call(nonce, generator.choice(destroyed), value=generator.choice([0, 1])))
        else:
            transactions.append(call(nonce, generator.choice([*plain, b"\xaa" * 20]), value=generator.choice([0, 0, 1])))
    state = state_from_accounts(accounts)
    parent = genesis(fork, state)
    block, after = make_block(fork, state, [parent], transactions)
    return fork, {WRITER: storage}, (state, parent, block, after)


def run_random(seeds: range) -> set[str]:
    ways = set()
    for seed in seeds:
        fork, slots, block = random_block(seed)
        for offered in (None, slots):
            found, _ = collected(fork, block, offered)
            ways.update(part.partition(" ")[2] for part in found.split(", ") if part)
    return ways


def test_random_blocks():
    """The collected witness is exactly the recorder's, which reads from the whole state; all three ways are taken."""
    assert run_random(range(40)) == {"after the block", "by storage range", "by key search"}


@pytest.mark.heavy
def test_many_random_blocks():
    run_random(range(1000, 3000))


@pytest.mark.parametrize("key_bytes", [20, 32])
@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 7])
def test_key_search(length, key_bytes):
    """Plain below five nibbles, compiled from there. The path is that of a number that is soon reached."""
    number = 16 ** min(length, 3) + length
    path = bytes_to_nibbles(keccak(number.to_bytes(key_bytes, "big")))[:length]
    key = key_with_prefix(path, key_bytes)
    assert len(key) == key_bytes and int.from_bytes(key, "big") <= number
    assert bytes_to_nibbles(keccak(key))[:length] == path


def test_key_search_beyond_the_first_chunk():
    """Numbers that several calls of the kernel are needed for, and parts of a call that are not the first."""
    for number in (20_000, 3_000_000):
        path = bytes_to_nibbles(keccak(number.to_bytes(32, "big")))[:7]
        assert key_with_prefix(path, 32) == number.to_bytes(32, "big")
