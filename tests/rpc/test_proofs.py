"""Proofs of eth_getProof: what is accepted, and that everything else is refused by account, slot and node."""

from __future__ import annotations

import random

import pytest
import rlp
from eth_hash.auto import keccak
from trie.utils.nibbles import bytes_to_nibbles
from trie.utils.nodes import compute_extension_key, compute_leaf_key

from rpc.collect_errors import ProofError
from rpc.proofs import verify_account, verify_answers, walk_proof
from rpc.source import AccountProof
from tests.rpc.whole import WholeSource
from witness.record import GenesisAccount, WholeState, state_from_accounts
from witness.trie import EMPTY_TRIE_ROOT, decode_storage_value

CONTRACT = b"\xc0" * 20
ABSENT = b"\xab" * 20


def slot(number: int) -> bytes:
    return number.to_bytes(32, "big")


@pytest.fixture(scope="module")
def state() -> WholeState:
    """Forty accounts; one has forty slots, small values among them, so that some nodes are inline."""
    accounts = {bytes([index]) * 20: GenesisAccount(index + 1) for index in range(40)}
    accounts[CONTRACT] = GenesisAccount(1, 1, b"\x00", {slot(index): index + 1 for index in range(40)})
    accounts[b"\xc1" * 20] = GenesisAccount(1, 1, b"\x00", {slot(3): 1})
    return state_from_accounts(accounts)


def answer(state: WholeState, address: bytes, slots: list[bytes], list_inline: bool = False) -> AccountProof:
    source = WholeSource(1, (), state, None, state, list_inline)

    class At:
        state_root = state.root

    return source.proofs(At, {address: slots})[0]


@pytest.mark.parametrize("list_inline", [False, True])
def test_whole_state_is_proven(state, list_inline):
    """Given every account and slot, present and absent. Then the proven values are those of the state."""
    slots = [slot(index) for index in range(60)]
    proven = verify_account(state.root, answer(state, CONTRACT, slots, list_inline), slots)
    assert proven.record.balance == 1
    values = [decode_storage_value(proven.slots[one].value) for one in slots]
    assert values == [index + 1 if index < 40 else 0 for index in range(60)]
    assert all(keccak(node) == node_hash and state.nodes[node_hash] == node for node_hash, node in proven.nodes().items())
    for index in range(45):
        address = bytes([index]) * 20
        record = verify_account(state.root, answer(state, address, [], list_inline), []).record
        assert (record.balance if record else None) == (index + 1 if index < 40 else None)


def test_inline_nodes():
    """Given an extension that holds a branch of two leaves inline. Then the proof may list these nodes or leave them out."""
    key = bytes_to_nibbles(keccak(ABSENT))
    leaf = [compute_leaf_key(key[61:]), b"\x07"]
    other = [compute_leaf_key((1, 2, 3)), b"\x08"]
    branch = [b""] * 17
    branch[key[60]], branch[(key[60] + 1) % 16] = leaf, other
    assert len(rlp.encode(branch)) < 32
    root = rlp.encode([compute_extension_key(key[:60]), branch])
    for listed in ((), (rlp.encode(branch),), (rlp.encode(branch), rlp.encode(leaf)), (rlp.encode(leaf),)):
        walk = walk_proof(keccak(root), (root, *listed), ABSENT, None)
        assert walk.value == b"\x07"
        assert walk.nodes == {keccak(root): root}
    with pytest.raises(ProofError, match="node 1: a node more than the path has"):
        walk_proof(keccak(root), (root, rlp.encode(other)), ABSENT, None)


@pytest.mark.parametrize("spelling", [(), (b"",), (b"\x80",)])
def test_empty_tries(state, spelling):
    assert walk_proof(EMPTY_TRIE_ROOT, spelling, ABSENT, slot(1)).value == b""
    given = answer(state, b"\x05" * 20, [])
    proven = verify_account(state.root, AccountProof(given.address, given.nodes, {slot(1): spelling}), [slot(1)])
    assert proven.slots[slot(1)].value == b""


def test_absent_account_has_empty_storage(state):
    given = answer(state, ABSENT, [])
    assert verify_account(state.root, AccountProof(ABSENT, given.nodes, {slot(1): ()}), [slot(1)]).record is None
    stolen = answer(state, CONTRACT, [slot(1)]).storage
    with pytest.raises(ProofError, match=f"slot 0x{slot(1).hex()} of account 0x{ABSENT.hex()}, node 0: a node of a trie"):
        verify_account(state.root, AccountProof(ABSENT, given.nodes, stolen), [slot(1)])


def changed(nodes: tuple[bytes, ...], index: int) -> tuple[bytes, ...]:
    node = bytearray(nodes[index])
    node[len(node) // 2] ^= 1
    return (*nodes[:index], bytes(node), *nodes[index + 1 :])


def test_each_fault_is_named(state):
    """Given a proof of an account and a slot. When one node is changed, left out, added or swapped. Then a ProofError."""
    given = answer(state, CONTRACT, [slot(1)])
    storage = given.storage[slot(1)]
    assert len(given.nodes) >= 2 and len(storage) >= 2
    named_account = f"account 0x{CONTRACT.hex()}"
    named_slot = f"slot 0x{slot(1).hex()} of {named_account}"
    for index in range(len(given.nodes)):
        with pytest.raises(ProofError, match=f"eth_getProof, {named_account}, node {index}: its hash is 0x") as caught:
            verify_account(state.root, AccountProof(CONTRACT, changed(given.nodes, index), given.storage), [slot(1)])
        assert (caught.value.address, caught.value.slot, caught.value.index) == (CONTRACT, None, index)
        with pytest.raises(ProofError, match=f"{named_account}, node {index}: the proof ends here"):
            verify_account(state.root, AccountProof(CONTRACT, given.nodes[:index], given.storage), [slot(1)])
    for index in range(len(storage)):
        with pytest.raises(ProofError, match=f"{named_slot}, node {index}: its hash is 0x"):
            verify_account(state.root, AccountProof(CONTRACT, given.nodes, {slot(1): changed(storage, index)}), [slot(1)])
        with pytest.raises(ProofError, match=f"{named_slot}, node {index}: the proof ends here"):
            verify_account(state.root, AccountProof(CONTRACT, given.nodes, {slot(1): storage[:index]}), [slot(1)])
    longer = (*storage, storage[-1])
    with pytest.raises(ProofError, match=f"{named_slot}, node {len(storage)}: a node more than the path has"):
        verify_account(state.root, AccountProof(CONTRACT, given.nodes, {slot(1): longer}), [slot(1)])
    with pytest.raises(ProofError, match=f"{named_account}, node {len(given.nodes)}: a node more"):
        verify_account(state.root, AccountProof(CONTRACT, (*given.nodes, b"\x80"), given.storage), [slot(1)])
    with pytest.raises(ProofError, match=f"{named_slot}: no proof in the answer"):
        verify_account(state.root, AccountProof(CONTRACT, given.nodes, {}), [slot(1)])
    with pytest.raises(ProofError, match="node 0: a node of 1025 bytes, more than 1024"):
        verify_account(state.root, AccountProof(CONTRACT, (bytes(1025),), {}), [])


def test_answers_are_matched_to_questions(state):
    first, second = answer(state, CONTRACT, []), answer(state, ABSENT, [])
    wanted = {CONTRACT: (), ABSENT: ()}
    assert [proven.address for proven in verify_answers(state.root, wanted, [first, second])] == [CONTRACT, ABSENT]
    with pytest.raises(ProofError, match=f"account 0x{CONTRACT.hex()}: the answer is about account 0x{ABSENT.hex()}"):
        verify_answers(state.root, wanted, [second, first])
    with pytest.raises(ProofError, match=f"account 0x{ABSENT.hex()}: no answer"):
        verify_answers(state.root, wanted, [first])
    with pytest.raises(ProofError, match="an answer that was not asked for"):
        verify_answers(state.root, {CONTRACT: ()}, [first, second])


def test_a_preimage_that_is_no_node_is_refused():
    """A root whose preimage is not a trie node cannot come from a chain; it still ends in a ProofError."""
    for preimage in (b"\x80", b"\x01", b"\xc0", rlp.encode([b"\x20", b"x"]), rlp.encode([b"x"] * 17), b"\xf8\x01", b""):
        with pytest.raises(ProofError):
            walk_proof(keccak(preimage) if preimage != b"\x80" else keccak(b"\x81\x80"), (preimage,), ABSENT, None)


def test_changed_proofs_never_prove_anything_else(state):
    """Given random changes of a proof. Then it is refused, or says what it said before."""
    generator = random.Random(2026)
    given = answer(state, CONTRACT, [slot(5)])
    truth = verify_account(state.root, given, [slot(5)])
    for _ in range(600):
        lists = [list(given.nodes), list(given.storage[slot(5)])]
        chosen = lists[generator.randrange(2)]
        at = generator.randrange(len(chosen))
        kind = generator.randrange(5)
        if kind == 0:
            node = bytearray(chosen[at])
            node[generator.randrange(len(node))] ^= 1 << generator.randrange(8)
            chosen[at] = bytes(node)
        elif kind == 1:
            del chosen[at]
        elif kind == 2:
            chosen.insert(at, generator.choice(lists[generator.randrange(2)]))
        elif kind == 3:
            chosen[at] = chosen[at][: generator.randrange(len(chosen[at]))]
        else:
            generator.shuffle(chosen)
        forged = AccountProof(CONTRACT, tuple(lists[0]), {slot(5): tuple(lists[1])})
        try:
            proven = verify_account(state.root, forged, [slot(5)])
        except ProofError:
            continue
        assert proven == truth
