"""
The node beside a deleted leaf.

Deleting a leaf from a branch of two children merges the other child upwards, so that child's own node is needed, and no
proof of the deleted key before the block contains it. Where it can be found, in the order in which they are tried:

1. After the block. The proof of the deleted key ends in the merged node: the same path and value, a longer segment.
   Cut at the position where the missing node stood, it must have the missing node's hash.
2. Any key below the missing node has it in its proof before the block. Such a key is found by debug_storageRangeAt where
   the node offers it, else by hashing numbers until one begins with the path: 16^n hashes for a path of n nibbles.

Whatever is found is a preimage of the hash that the trie holds, so nothing here has to be trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import rlp
from eth_hash.auto import keccak
from trie.utils.nibbles import bytes_to_nibbles
from trie.utils.nodes import compute_extension_key, compute_leaf_key, extract_key, is_leaf_node

from rpc.collect_errors import SiblingNotFound
from rpc.key_search import MAX_SEARCHED_NIBBLES, key_with_prefix
from rpc.proofs import Nibbles, Walk, verify_answers
from rpc.source import Source
from witness.block import Block
from witness.errors import MissingNode

if TYPE_CHECKING:
    from rpc.ondemand import RemoteState

RANGE_ANSWERS = 4


class SiblingFinder:
    """
    Finds missing siblings for one block.

    most_nibbles: the longest path for which a key is searched by hashing. found: how many were found by each way.
    """

    def __init__(
        self,
        source: Source,
        block: Block,
        note: Callable[[str], None] = lambda line: None,
        most_nibbles: int = MAX_SEARCHED_NIBBLES,
    ) -> None:
        self._source = source
        self._block = block
        self._note = note
        self._most_nibbles = most_nibbles
        self._after: dict[tuple[bytes, bytes | None], Walk] = {}
        self.found = {"after the block": 0, "by storage range": 0, "by key search": 0}

    def find(self, remote: RemoteState, missing: MissingNode, address: bytes | None, deleted: tuple[bytes, ...]) -> None:
        """
        Adds the missing node to what is fetched.

        address: the account whose storage trie it is in, None for the account trie; deleted: the slots or addresses
        that the update deletes. Raises SiblingNotFound, ProofError, and what the source raises.
        """
        ways = (
            ("after the block", lambda: self._after_the_block(remote, missing, address, deleted)),
            ("by storage range", lambda: self._by_storage_range(remote, missing, address)),
            ("by key search", lambda: self._by_key_search(remote, missing, address)),
        )
        for name, search in ways:
            search()
            if missing.node_hash in remote.nodes:
                self.found[name] += 1
                return
        raise SiblingNotFound(missing.node_hash, missing.path, address, deleted)

    def _after_the_block(
        self, remote: RemoteState, missing: MissingNode, address: bytes | None, deleted: tuple[bytes, ...]
    ) -> None:
        for walk in self._walks_after(address, deleted):
            for node in (*walk.nodes.values(), *shortened(walk.steps, missing.path)):
                if keccak(node) == missing.node_hash:
                    remote.nodes[missing.node_hash] = node
                    return

    def _walks_after(self, address: bytes | None, deleted: tuple[bytes, ...]) -> list[Walk]:
        """Verified paths of the deleted keys after the block, fetched in one call."""
        names = [(key, None) if address is None else (address, key) for key in deleted]
        new = [name for name in names if name not in self._after]
        wanted = {key: () for key, _ in new} if address is None else {address: [slot for _, slot in new]}
        if new:
            answers = self._source.proofs(self._block.header, wanted)
            for account in verify_answers(self._block.header.state_root, wanted, answers):
                self._after[account.address, None] = account.walk
                self._after.update({(account.address, slot): walk for slot, walk in account.slots.items()})
        return [self._after[name] for name in names]

    def _by_storage_range(self, remote: RemoteState, missing: MissingNode, address: bytes | None) -> None:
        if address is None:
            return
        start = bytes.fromhex("".join(f"{nibble:x}" for nibble in missing.path).ljust(64, "0"))
        keys = self._source.storage_keys_from(self._block, address, start, RANGE_ANSWERS)
        below = [key for key in keys or () if _begins(keccak(key), missing.path)]
        if below:
            remote.fetch({address: below[:1]})

    def _by_key_search(self, remote: RemoteState, missing: MissingNode, address: bytes | None) -> None:
        if len(missing.path) > self._most_nibbles:
            return
        self._note(f"searching a key below node 0x{missing.node_hash.hex()} at depth {len(missing.path)}")
        key = key_with_prefix(missing.path, 20 if address is None else 32, self._source.check_time)
        if key is not None:
            remote.fetch({key: ()} if address is None else {address: (key,)})


def shortened(steps: Iterable[tuple[Nibbles, list]], path: Nibbles) -> list[bytes]:
    """
    What the leaves and extensions of a walk could have been at `path`, a position at or below their own.

    RLP of each, with the nibbles between the two positions cut from its segment.
    """
    candidates = []
    for position, node in steps:
        if len(node) != 2:
            continue
        full = position + tuple(extract_key(node))
        if full[: len(path)] != path:
            continue
        rest = full[len(path) :]
        if is_leaf_node(node):
            candidates.append(rlp.encode([compute_leaf_key(rest), node[1]]))
        elif rest:
            candidates.append(rlp.encode([compute_extension_key(rest), node[1]]))
    return candidates


def _begins(hashed: bytes, path: Nibbles) -> bool:
    return bytes_to_nibbles(hashed)[: len(path)] == path
