"""A Source in process: every state of a short chain held whole, answered from its tries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import rlp
from eth_hash.auto import keccak
from trie.utils.nibbles import bytes_to_nibbles
from trie.utils.nodes import extract_key, is_leaf_node

from rpc.source import AccountProof
from witness.block import Block, Header
from witness.errors import WitnessError
from witness.record import WholeState
from witness.trie import EMPTY_TRIE_ROOT, NodeStore, WitnessState


class NotHeld(WitnessError):
    """The source was asked for something that it does not hold."""


class WholeSource:
    """
    A node that holds the states before and after its blocks, and offers no more than eth_getProof unless told so.

    list_inline: proofs list nodes below 32 bytes too, as some clients do; empty: how the proof of an empty trie is
    spelt; witness: the answer of debug_executionWitness; slots: the slots (preimages) of accounts, which makes
    debug_storageRangeAt answer. calls: how often each method was called with anything to ask.
    """

    def __init__(
        self,
        chain_id: int,
        headers: Sequence[Header],
        before: WholeState,
        block: Block,
        after: WholeState,
        list_inline: bool = False,
        empty: tuple[bytes, ...] = (),
        witness: object | None = None,
        slots: Mapping[bytes, Iterable[bytes]] | None = None,
        touched: Mapping[bytes, Iterable[bytes]] | None = None,
    ) -> None:
        self._chain_id = chain_id
        self._headers = {header.hash: header for header in headers}
        self._block = block
        self._states = {before.root: before, after.root: after}
        self._codes = {keccak(code): code for code in before.codes}
        self._list_inline = list_inline
        self._empty = empty
        self._witness = witness
        self._slots = slots
        self._touched = touched
        self.calls: dict[str, int] = {}

    def _count(self, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1

    def chain_id(self) -> int:
        return self._chain_id

    def block(self, identifier: int | bytes | str) -> Block:
        self._count("block")
        if identifier not in (self._block.header.number, self._block.header.hash, "latest"):
            raise NotHeld(f"no block {identifier!r}")
        return self._block

    def headers(self, newest_hash: bytes, count: int) -> list[Header]:
        self._count("headers")
        found: list[Header] = []
        while len(found) < count:
            if newest_hash not in self._headers:
                raise NotHeld(f"no header 0x{newest_hash.hex()}")
            found.insert(0, self._headers[newest_hash])
            newest_hash = found[0].parent_hash
        return found

    def proofs(self, at: Header, wanted: Mapping[bytes, Sequence[bytes]]) -> list[AccountProof]:
        self._count("proofs")
        state = self._states[at.state_root]
        reader = WitnessState(NodeStore(state.nodes), state.root)
        answers = []
        for address, slots in wanted.items():
            record = reader.account(address)
            root = EMPTY_TRIE_ROOT if record is None else record.storage_root
            storage = {slot: self.path(state.nodes, root, slot) for slot in slots}
            answers.append(AccountProof(address, self.path(state.nodes, state.root, address), storage))
        return answers

    def path(self, nodes: Mapping[bytes, bytes], root: bytes, key: bytes) -> tuple[bytes, ...]:
        """The nodes from the root down to a key, written apart from rpc.proofs."""
        if root == EMPTY_TRIE_ROOT:
            return self._empty
        remaining, found, reference = bytes_to_nibbles(keccak(key)), [], root
        while True:
            inline = isinstance(reference, list)
            encoded = rlp.encode(reference) if inline else nodes[reference]
            if not inline or self._list_inline:
                found.append(encoded)
            node = rlp.decode(encoded)
            if len(node) == 17:
                reference, remaining = node[remaining[0]], remaining[1:]
            else:
                segment = tuple(extract_key(node))
                if is_leaf_node(node) or remaining[: len(segment)] != segment:
                    return tuple(found)
                reference, remaining = node[1], remaining[len(segment) :]
            if not reference:
                return tuple(found)

    def codes(self, at: Header, addresses: Iterable[bytes]) -> dict[bytes, bytes]:
        self._count("codes")
        reader = WitnessState(NodeStore(self._states[at.state_root].nodes), at.state_root)
        records = {address: reader.account(address) for address in addresses}
        return {address: self._codes.get(record.code_hash, b"") if record else b"" for address, record in records.items()}

    def execution_witness(self, block: Block) -> object | None:
        return self._witness

    def prestate(self, block: Block) -> dict[bytes, set[bytes]] | None:
        if self._touched is None:
            return None
        self._count("prestate")
        return {address: set(slots) for address, slots in self._touched.items()}

    def access_list(self, block: Block, index: int) -> dict[bytes, set[bytes]] | None:
        return None

    def check_time(self) -> None:
        """There is time enough."""

    def storage_keys_from(self, block: Block, address: bytes, hashed_start: bytes, most: int) -> list[bytes] | None:
        if self._slots is None:
            return None
        self._count("storage_keys_from")
        slots = sorted((slot for slot in self._slots.get(address, ()) if keccak(slot) >= hashed_start), key=keccak)
        return slots[:most]
