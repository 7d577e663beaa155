"""
Proofs of eth_getProof, verified as they arrive: each node hashed, each path walked from a root that is known.

A proof is a list of nodes from the root down. It must be exactly the path of its key: one node too few, one too many or
one whose hash is not the one its parent holds is a ProofError naming account, slot and node. What else an answer states
(balance, nonce, code hash, storage hash, values) is not read: all of it is in the proven leaf, so that a code hash of
zeros for an absent account, as some nodes answer, means nothing here.

Tolerated spellings: an empty trie proven by no node, by one empty node or by the node 0x80; a node below 32 bytes, which
its parent holds inline, listed or not.

Source: EIP-1186; Yellow Paper, appendix D.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import rlp
from eth_hash.auto import keccak
from trie.utils.nibbles import bytes_to_nibbles
from trie.utils.nodes import extract_key, is_leaf_node

from rpc.collect_errors import ProofError
from rpc.source import AccountProof
from witness.errors import TrieError
from witness.schema import MAX_BYTES_PER_WITNESS_NODE
from witness.trie import EMPTY_TRIE_ROOT, AccountRecord, decode_storage_value

Nibbles = tuple[int, ...]


@dataclass(frozen=True)
class Walk:
    """
    One verified path.

    value: of the leaf, b"" where the path proves that there is none; nodes: RLP by hash, those that a parent refers to by
    hash; steps: position (nibbles from the root) and decoded form of every node passed, inline ones included.
    """

    value: bytes
    nodes: Mapping[bytes, bytes]
    steps: tuple[tuple[Nibbles, list], ...]


@dataclass(frozen=True)
class ProvenAccount:
    """
    A verified answer. record: None where the account is proven absent; slots: walk of each slot by its 32 bytes.
    """

    address: bytes
    record: AccountRecord | None
    walk: Walk
    slots: Mapping[bytes, Walk] = field(default_factory=dict)

    def nodes(self) -> dict[bytes, bytes]:
        """Every node of the answer by hash."""
        found = dict(self.walk.nodes)
        for walk in self.slots.values():
            found.update(walk.nodes)
        return found


def verify_answers(
    state_root: bytes, wanted: Mapping[bytes, Sequence[bytes]], answers: Sequence[AccountProof]
) -> list[ProvenAccount]:
    """
    The answers to `wanted` (slots by address), verified against a state root, in the order of `wanted`.

    Raises ProofError, also where an answer is absent or about another account.
    """
    proven = []
    if len(answers) > len(wanted):
        raise ProofError(answers[-1].address, None, None, "an answer that was not asked for")
    for index, (address, slots) in enumerate(wanted.items()):
        if index >= len(answers):
            raise ProofError(address, None, None, "no answer")
        answer = answers[index]
        if answer.address != address:
            raise ProofError(address, None, None, f"the answer is about account 0x{answer.address.hex()}")
        proven.append(verify_account(state_root, answer, slots))
    return proven


def verify_account(state_root: bytes, answer: AccountProof, slots: Sequence[bytes]) -> ProvenAccount:
    """An account and slots of it (32 bytes each) under a state root. Raises ProofError."""
    address = answer.address
    walk = walk_proof(state_root, answer.nodes, address, None)
    try:
        record = AccountRecord.decode(walk.value) if walk.value else None
    except TrieError as error:
        raise ProofError(address, None, len(answer.nodes) - 1, str(error)) from error
    storage_root = EMPTY_TRIE_ROOT if record is None else record.storage_root
    walks = {}
    for slot in slots:
        if slot not in answer.storage:
            raise ProofError(address, slot, None, "no proof in the answer")
        walks[slot] = walk_proof(storage_root, answer.storage[slot], address, slot)
        try:
            decode_storage_value(walks[slot].value)
        except TrieError as error:
            raise ProofError(address, slot, len(answer.storage[slot]) - 1, str(error)) from error
    return ProvenAccount(address, record, walk, walks)


def walk_proof(root: bytes, proof: Sequence[bytes], address: bytes, slot: bytes | None) -> Walk:
    """
    Walks the path of an account, or of a slot of it, through the nodes of a proof. Raises ProofError.

    Time and memory are bounded by the length of a path, 64 nodes, whatever the proof's.
    """

    def refuse(index: int | None, reason: str) -> ProofError:
        return ProofError(address, slot, index, reason)

    if root == EMPTY_TRIE_ROOT:
        if len(proof) > 1 or (proof and proof[0] not in (b"", b"\x80")):
            raise refuse(0, "a node of a trie that is empty")
        return Walk(b"", {}, ())
    key = bytes_to_nibbles(keccak(address if slot is None else slot))
    nodes: dict[bytes, bytes] = {}
    steps: list[tuple[Nibbles, list]] = []
    position: Nibbles = ()
    reference: bytes | list = root
    used = 0
    while True:
        if isinstance(reference, list):
            node = reference
            if used < len(proof) and proof[used] == rlp.encode(node):
                used += 1
        else:
            node = _referred(reference, proof, used, refuse)
            nodes[reference] = bytes(proof[used])
            used += 1
        steps.append((position, node))
        try:
            value, reference, position = _step(node, key, position)
        except Exception as error:
            # A preimage of a hash in a trie that is itself malformed: cannot come from a chain, still must not escape.
            raise refuse(used - 1, f"malformed node: {error!r:.200}") from error
        if not reference:
            break
    if used != len(proof):
        raise refuse(used, "a node more than the path has")
    return Walk(value, nodes, tuple(steps))


def _referred(reference: bytes, proof: Sequence[bytes], used: int, refuse) -> list:
    if used >= len(proof):
        raise refuse(used, f"the proof ends here, the path goes on with node 0x{reference.hex()}")
    encoded = proof[used]
    if len(encoded) > MAX_BYTES_PER_WITNESS_NODE:
        raise refuse(used, f"a node of {len(encoded)} bytes, more than {MAX_BYTES_PER_WITNESS_NODE}")
    computed = keccak(encoded)
    if computed != reference:
        raise refuse(used, f"its hash is 0x{computed.hex()}, the trie has 0x{reference.hex()}")
    try:
        node = rlp.decode(encoded)
    except (rlp.exceptions.RLPException, RecursionError) as error:
        raise refuse(used, f"malformed node: {error}") from error
    if not isinstance(node, list) or len(node) not in (2, 17):
        raise refuse(used, "malformed node: neither a branch nor a leaf nor an extension")
    return node


def _step(node: list, key: Nibbles, position: Nibbles) -> tuple[bytes, bytes | list, Nibbles]:
    """Value found, or reference to the next node (b"" for none) and its position."""
    if len(node) == 17:
        nibble = key[len(position)]
        child = node[nibble]
        if isinstance(child, bytes) and len(child) not in (0, 32):
            raise ValueError("a child is neither a hash nor a node")
        return b"", child, (*position, nibble)
    segment = tuple(extract_key(node))
    if key[len(position) : len(position) + len(segment)] != segment:
        return b"", b"", position
    if is_leaf_node(node):
        if len(position) + len(segment) != len(key):
            raise ValueError("a leaf whose path is not of 64 nibbles")
        return bytes(node[1]), b"", position
    if not segment or not node[1] or (isinstance(node[1], bytes) and len(node[1]) != 32):
        raise ValueError("an extension that leads nowhere")
    return b"", node[1], (*position, *segment)
