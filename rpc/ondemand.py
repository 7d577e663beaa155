"""
A parent's state that is fetched while a block executes on it.

EELS runs over witness.trie.WitnessState; here its nodes are those that have been fetched so far. Where a node is absent
the account or slot being looked up is asked for (eth_getProof at the parent), its proof verified, and the lookup repeated.
What was fetched once, or came in a node's own incomplete witness, is not asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from eth_hash.auto import keccak

from rpc.collect_errors import AncestorError, CodeError
from rpc.proofs import ProvenAccount, verify_answers
from rpc.siblings import SiblingFinder
from rpc.source import Source
from witness.block import Block, Header
from witness.eels import CodeStore
from witness.errors import MissingHeader, MissingNode
from witness.trie import EMPTY_CODE_HASH, AccountRecord, NodeStore, WitnessState

MAX_ANCESTORS = 256


class RemoteState:
    """
    What has been fetched of the state after `parent`: nodes and codes by the hashes computed here.

    proven: records of the accounts that were proven, None where absent; looked_at: code hashes by address, of the accounts
    that execution looked at. Everything that enters is verified against the state root in the parent's header, which its
    hash pins.
    """

    def __init__(self, source: Source, parent: Header, nodes: Iterable[bytes] = (), codes: Iterable[bytes] = ()) -> None:
        self.source = source
        self.parent = parent
        self.nodes: dict[bytes, bytes] = {keccak(node): node for node in nodes}
        self.codes: dict[bytes, bytes] = {keccak(code): code for code in codes}
        self.proven: dict[bytes, AccountRecord | None] = {}
        self.looked_at: dict[bytes, bytes] = {}
        self._slots: dict[bytes, set[bytes]] = {}

    def fetch(self, wanted: Mapping[bytes, Iterable[bytes]]) -> bool:
        """
        Fetches proofs of accounts and of slots by address, in one call; those fetched before are left out.

        True where anything new was asked for. Raises ProofError, and what the source raises.
        """
        new: dict[bytes, Sequence[bytes]] = {}
        for address, slots in wanted.items():
            fresh = sorted(set(slots) - self._slots.get(address, set()))
            if fresh or address not in self.proven:
                new[address] = fresh
        if not new:
            return False
        for account in verify_answers(self.parent.state_root, new, self.source.proofs(self.parent, new)):
            self._add(account)
        return True

    def _add(self, account: ProvenAccount) -> None:
        self.nodes.update(account.nodes())
        self.proven[account.address] = account.record
        self._slots.setdefault(account.address, set()).update(account.slots)

    def fetch_codes(self, code_hashes: Mapping[bytes, bytes]) -> None:
        """Fetches codes by address, given their proven hashes, in one call; those known are left out. Raises CodeError."""
        new = {a: h for a, h in code_hashes.items() if h != EMPTY_CODE_HASH and h not in self.codes}
        # One account for each code: copies of a contract are many.
        asked = {code_hash: address for address, code_hash in new.items()}
        if not asked:
            return
        answers = self.source.codes(self.parent, sorted(asked.values()))
        for code_hash, address in asked.items():
            code = answers.get(address)
            if code is None:
                raise CodeError(address, code_hash, "no answer")
            if keccak(code) != code_hash:
                raise CodeError(address, code_hash, f"the code of {len(code)} bytes has hash 0x{keccak(code).hex()}")
            self.codes[code_hash] = code


class RemoteCodes(CodeStore):
    """Codes that are fetched when they are first read."""

    def __init__(self, remote: RemoteState) -> None:
        super().__init__(())
        self.by_hash = remote.codes
        self._remote = remote

    def read(self, code_hash: bytes, address: bytes | None = None) -> bytes:
        """Raises CodeError, and what the source raises."""
        if code_hash not in self.by_hash and address is not None:
            self._remote.fetch_codes({address: code_hash})
        return super().read(code_hash, address)


class Ancestors:
    """
    Linked headers up to the parent, and older ones fetched when their hash is asked for.

    headers: oldest first, the last the parent; deepest: the furthest ancestor asked for, 1 the parent.
    """

    def __init__(self, source: Source, block: Block, known: Sequence[Header] = ()) -> None:
        """known: headers that the node gave with its witness. Raises AncestorError, and what the source raises."""
        self._source = source
        self._block = block
        self.headers: list[Header] = []
        self.deepest = 1
        newest_first = {header.hash: header for header in known}
        wanted = block.header.parent_hash
        while (header := newest_first.get(wanted)) is not None:
            self.headers.insert(0, header)
            wanted = header.parent_hash
        self.reach(1)

    @property
    def parent(self) -> Header:
        """The block's parent."""
        return self.headers[-1]

    def reach(self, distance: int) -> None:
        """Makes the headers go back to the ancestor at that distance at least."""
        self.deepest = max(self.deepest, distance)
        count = distance - len(self.headers)
        if count <= 0:
            return
        oldest = self.headers[0] if self.headers else None
        number = self._block.header.number - len(self.headers)
        wanted = self._block.header.parent_hash if oldest is None else oldest.parent_hash
        # A contract that reads many hashes reads them one by one: twice as many each time keeps the calls few.
        count = min(max(count, len(self.headers)), number, MAX_ANCESTORS - len(self.headers))
        found = self._source.headers(wanted, count) if count > 0 else []
        if len(found) != count or count == 0:
            raise AncestorError(number - 1, f"{len(found)} headers in the answer, {max(count, 1)} are needed")
        for header in reversed(found):
            number -= 1
            if header.hash != wanted or header.number != number:
                raise AncestorError(number, f"the answer has block {header.number}, hash 0x{header.hash.hex()}")
            wanted = header.parent_hash
        self.headers = [*found, *self.headers]

    def hash_at(self, distance: int) -> bytes:
        """Hash of the ancestor at that distance, 1 the parent. Raises AncestorError, MissingHeader beyond 256."""
        if distance > min(MAX_ANCESTORS, self._block.header.number):
            raise MissingHeader(self._block.header.number - distance)
        self.reach(distance)
        return self.headers[-distance].hash

    def needed(self) -> tuple[bytes, ...]:
        """RLP of the headers from the deepest asked for to the parent."""
        return tuple(header.encode() for header in self.headers[-self.deepest :])


class RemoteWitnessState(WitnessState):
    """WitnessState over a RemoteState. Raises ProofError, SiblingNotFound and what the source raises, never MissingNode."""

    def __init__(self, remote: RemoteState, siblings: SiblingFinder) -> None:
        super().__init__(NodeStore(remote.nodes), remote.parent.state_root)
        self._remote = remote
        self._siblings = siblings

    def account(self, address: bytes) -> AccountRecord | None:
        read = super().account
        record = self._fetching(lambda: read(address), {address: ()})
        if record is not None:
            self._remote.looked_at[address] = record.code_hash
        return record

    def storage(self, address: bytes, storage_root: bytes, slot: bytes) -> int:
        read = super().storage
        return self._fetching(lambda: read(address, storage_root, slot), {address: (slot,)})

    def _fetching(self, read: Callable, wanted: Mapping[bytes, Sequence[bytes]]):
        try:
            return read()
        except MissingNode:
            if not self._remote.fetch(wanted):
                raise
            return read()

    def update_storage(self, address: bytes, storage_root: bytes, changes: Mapping[bytes, int]) -> bytes:
        deleted = tuple(slot for slot, value in changes.items() if value == 0)
        update = super().update_storage
        return self._with_siblings(lambda: update(address, storage_root, changes), address, deleted)

    def update_accounts(self, changes: Mapping[bytes, AccountRecord | None]) -> bytes:
        deleted = tuple(address for address, record in changes.items() if record is None)
        update = super().update_accounts
        return self._with_siblings(lambda: update(changes), None, deleted)

    def _with_siblings(self, update: Callable[[], bytes], address: bytes | None, deleted: tuple[bytes, ...]) -> bytes:
        # An update that stopped half-way is repeated whole: every step of it gives the same when done again, and writes
        # and reads the same nodes in the same order as one that never stopped.
        while True:
            try:
                return update()
            except MissingNode as missing:
                self._siblings.find(self._remote, missing, address, deleted)


class UnhashedState(RemoteWitnessState):
    """
    The same state, whose updates do nothing: a run on it fetches what a block reads before any root is needed.

    Before Byzantium a root is computed after each transaction, when a leaf may be deleted whose sibling a later
    transaction reads. The sibling's proof is then at hand.
    """

    def update_storage(self, address: bytes, storage_root: bytes, changes: Mapping[bytes, int]) -> bytes:
        return storage_root

    def update_accounts(self, changes: Mapping[bytes, AccountRecord | None]) -> bytes:
        return self.root
