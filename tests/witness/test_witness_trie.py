"""The sparse trie against HexaryTrie on whole tries."""

import random

import pytest
import rlp
from eth_hash.auto import keccak
from trie import HexaryTrie

from witness.errors import MissingNode, TrieError
from witness.trie import (
    EMPTY_TRIE_ROOT,
    AccountRecord,
    NodeStore,
    SparseTrie,
    WitnessState,
    decode_storage_value,
    encode_storage_value,
    int_to_bytes,
    ordered_trie_root,
)


def whole_trie(contents: dict[bytes, bytes]) -> HexaryTrie:
    trie = HexaryTrie({})
    for key, value in contents.items():
        trie.set(key, value)
    return trie


def key_of(number: int) -> bytes:
    return keccak(int_to_bytes(number))


@pytest.mark.parametrize("seed", range(40))
def test_a_recorded_witness_is_enough_and_gives_the_same_root(seed):
    generator = random.Random(seed)
    size = generator.choice([0, 1, 2, 3, 5, 17, 100, 400])
    # Short values make nodes that are inlined in their parents.
    contents = {key_of(n): generator.randbytes(generator.choice([1, 2, 33, 80])) for n in range(size)}
    full = whole_trie(contents)
    changes = {}
    for number in range(generator.randrange(1, 12)):
        known = bool(contents) and generator.random() < 0.7
        key = generator.choice(sorted(contents)) if known else key_of(10_000 + number)
        changes[key] = b"" if generator.random() < 0.6 else generator.randbytes(40)
    expected = whole_trie({key: value for key, value in {**contents, **changes}.items() if value})

    store = NodeStore(dict(full.db))
    recording = SparseTrie(store, full.root_hash)
    reads = generator.sample(sorted(contents), min(5, size)) + [key_of(77_777)]
    values = [recording.get(key) for key in reads]
    assert values == [contents.get(key, b"") for key in reads]
    assert recording.update(changes) == expected.root_hash

    witness = NodeStore.of(full.db[node_hash] for node_hash in store.touched)
    sparse = SparseTrie(witness, full.root_hash)
    assert [sparse.get(key) for key in reads] == values
    assert sparse.update(changes) == expected.root_hash
    assert set(witness.touched) == set(store.touched)

    # Every recorded node is needed: without it, a refusal that names it.
    for absent in store.touched:
        lacking = SparseTrie(NodeStore.of(full.db[h] for h in store.touched if h != absent), full.root_hash, "a trie")
        with pytest.raises(MissingNode) as refusal:
            for key in reads:
                lacking.get(key, "a key")
            lacking.update(changes, lambda key: "a key")
        assert (refusal.value.node_hash, refusal.value.trie, refusal.value.sought) == (absent, "a trie", "a key")


@pytest.mark.parametrize("seed", range(10))
def test_random_sequences(seed):
    generator = random.Random(1000 + seed)
    contents: dict[bytes, bytes] = {}
    sparse, reference = SparseTrie(NodeStore({})), HexaryTrie({})
    for _ in range(40):
        batch = {key_of(generator.randrange(60)): generator.randbytes(3) for _ in range(generator.randrange(6))}
        batch = {key: b"" if generator.random() < 0.5 else value for key, value in batch.items()}
        sparse.update(batch)
        for key, value in batch.items():
            reference.set(key, value)
            contents[key] = value
        assert sparse.root == reference.root_hash
    assert all(sparse.get(key) == value for key, value in contents.items())
    assert sparse.update(dict.fromkeys(contents, b"")) == EMPTY_TRIE_ROOT


def keys_with_nibbles(*prefixes: str) -> list[bytes]:
    return [bytes.fromhex(prefix.ljust(64, "0")) for prefix in prefixes]


def test_branch_collapse_needs_the_sibling_and_names_it():
    # A root branch with children 1 and 2, each a hashed leaf: deleting 1 merges 2 into the root.
    first, second = keys_with_nibbles("1", "2")
    full = whole_trie({first: b"a" * 40, second: b"b" * 40})
    (sibling,) = (h for h, node in full.db.items() if b"b" * 40 in node and h != full.root_hash)
    root_and_first = [node for h, node in full.db.items() if h != sibling]
    trie = SparseTrie(NodeStore.of(root_and_first), full.root_hash, "account trie")
    with pytest.raises(MissingNode) as refusal:
        trie.update({first: b""}, lambda key: "account 0x11")
    assert refusal.value.node_hash == sibling
    assert refusal.value.path == (2,)
    expected = f"missing node 0x{sibling.hex()} at path 2 of the account trie, needed for account 0x11"
    assert str(refusal.value) == expected


@pytest.mark.parametrize("below", ["leaf", "extension", "branch"])
def test_branch_collapse_into_each_kind_of_sibling(below):
    siblings = {"leaf": ("2",), "extension": ("234", "235"), "branch": ("23", "24")}[below]
    first, *others = keys_with_nibbles("1", *siblings)
    contents = {key: bytes([index]) * 50 for index, key in enumerate([first, *others])}
    full = whole_trie(contents)
    trie = SparseTrie(NodeStore(dict(full.db)), full.root_hash)
    assert trie.update({first: b""}) == whole_trie({key: contents[key] for key in others}).root_hash


def test_updates_come_before_deletes():
    # Deleting first would collapse the root onto child 2, which the witness lacks; writing 3 first keeps the branch.
    first, second, third = keys_with_nibbles("1", "2", "3")
    contents = {first: b"a" * 40, second: b"b" * 40}
    full = whole_trie(contents)
    nodes = [node for node in full.db.values() if b"b" * 40 not in node or b"a" * 40 in node]
    root = full.db[full.root_hash]
    trie = SparseTrie(NodeStore.of([*nodes, root]), full.root_hash)
    assert trie.update({first: b"", third: b"c" * 40}) == whole_trie({second: b"b" * 40, third: b"c" * 40}).root_hash


@pytest.mark.parametrize(
    "node",
    [
        b"",
        b"\x00",
        b"\xc0",
        b"\xff" * 40,
        rlp.encode([b"x"] * 3),
        rlp.encode([b"x"] * 18),
        rlp.encode([b"\x90", b"v"]),
        rlp.encode([[b"\x20"], b"v"]),
        rlp.encode([b"\x00\x11", b"short"]),
        rlp.encode([b"", b"v"]),
        rlp.encode([b"\x00", [b"\x00", [b"\x00", b""]]]),
        b"\xc1" * 600,
    ],
)
def test_malformed_nodes_are_trie_errors(node):
    trie = SparseTrie(NodeStore.of([node]), keccak(node))
    for act in (
        lambda: trie.get(key_of(1)),
        lambda: trie.update({key_of(1): b"v"}),
        lambda: trie.update({key_of(1): b""}),
    ):
        try:
            act()
        except (TrieError, MissingNode):
            continue


def test_mutated_nodes_never_crash():
    generator = random.Random(5)
    full = whole_trie({key_of(n): generator.randbytes(30) for n in range(50)})
    for _ in range(300):
        node = bytearray(full.db[full.root_hash])
        for _ in range(generator.randrange(1, 5)):
            node[generator.randrange(len(node))] = generator.randrange(256)
        store = NodeStore.of([*full.db.values(), bytes(node)])
        trie = SparseTrie(store, keccak(bytes(node)))
        for act in (lambda t=trie: t.get(key_of(3)), lambda t=trie: t.update({key_of(3): b"", key_of(99): b"v"})):
            try:
                act()
            except (TrieError, MissingNode):
                continue


def test_accounts_and_slots():
    address, slot = b"\x01" * 20, bytes(31) + b"\x05"
    store = NodeStore({})
    storage_root = WitnessState(store, EMPTY_TRIE_ROOT).update_storage(address, EMPTY_TRIE_ROOT, {slot: 1 << 255})
    record = AccountRecord(3, 10**20, storage_root, keccak(b"code"))
    root = WitnessState(store, EMPTY_TRIE_ROOT).update_accounts({address: record})
    state = WitnessState(NodeStore.of(store.overlay.values()), root)
    assert state.account(address) == record
    assert state.account(b"\x02" * 20) is None
    assert state.storage(address, storage_root, slot) == 1 << 255
    assert state.storage(address, storage_root, bytes(32)) == 0
    assert state.update_storage(address, storage_root, {slot: 0}) == EMPTY_TRIE_ROOT
    assert state.update_accounts({address: None}) == EMPTY_TRIE_ROOT


@pytest.mark.parametrize(
    "encoded",
    [b"\x01", b"\xc0", rlp.encode([b"\0", b"", bytes(32), bytes(32)]), rlp.encode([b"", b"", bytes(31), bytes(32)]),
     rlp.encode([b"", b"\1" * 33, bytes(32), bytes(32)]), rlp.encode([b"", b"", [], bytes(32)])],
)  # fmt: skip
def test_malformed_accounts(encoded):
    with pytest.raises(TrieError):
        AccountRecord.decode(encoded)


def test_storage_values():
    assert [decode_storage_value(encode_storage_value(value)) for value in (0, 1, 127, 128, 2**256 - 1)] == [
        0, 1, 127, 128, 2**256 - 1,
    ]  # fmt: skip
    for wrong in (b"\x82\x00\x01", b"\xc0", b"\x00", b"\xa1" + b"\1" * 33, b"\x81"):
        with pytest.raises(TrieError):
            decode_storage_value(wrong)


def test_ordered_roots():
    assert ordered_trie_root([]) == EMPTY_TRIE_ROOT
    items = [bytes([n]) * 40 for n in range(200)]
    expected = whole_trie({rlp.encode(int_to_bytes(n)): item for n, item in enumerate(items)}).root_hash
    assert ordered_trie_root(items) == expected
