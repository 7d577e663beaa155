"""
The sparse Merkle Patricia trie: opened from some of its nodes, read, changed, hashed.

A node that is looked up and absent is a MissingNode naming hash, path, trie and what was sought; never an empty value.
Built on HexaryTrie of the package `trie`, which keeps nodes in a mapping from hash to RLP.

Sources: Yellow Paper, appendix D; execution-specs `trie.py`. Updates before deletes: paradigmxyz/stateless, state root.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass

import rlp
from eth_hash.auto import keccak
from trie import HexaryTrie
from trie.constants import NODE_TYPE_BRANCH, NODE_TYPE_EXTENSION
from trie.exceptions import MissingTrieNode
from trie.utils.nibbles import bytes_to_nibbles
from trie.utils.nodes import decode_node, extract_key, get_node_type, is_blank_node

from witness.errors import MissingNode, TrieError, WitnessError

EMPTY_TRIE_ROOT = keccak(b"\x80")
EMPTY_CODE_HASH = keccak(b"")


class NodeStore(MutableMapping):
    """
    Trie nodes by Keccak hash: a base that is never changed and an overlay of nodes written later.

    touched: hashes of base nodes that were read, in order of first reading. A base node whose equal was written before
    it was read is not touched: whoever repeats the same steps writes it too.
    Reading a base node that is not canonical raises TrieError.
    """

    def __init__(self, base: Mapping[bytes, bytes]) -> None:
        self.base = base
        self.overlay: dict[bytes, bytes] = {}
        self.touched: dict[bytes, None] = {}

    @classmethod
    def of(cls, nodes: Iterable[bytes]) -> NodeStore:
        """A store of RLP nodes, keyed by the hashes computed here."""
        return cls({keccak(node): node for node in nodes})

    def __getitem__(self, node_hash: bytes) -> bytes:
        node = self.overlay.get(node_hash)
        if node is None:
            node = self.base[node_hash]
            if node_hash not in self.touched:
                check_node(node)
                self.touched[node_hash] = None
        return node

    def __setitem__(self, node_hash: bytes, node: bytes) -> None:
        self.overlay[node_hash] = node

    def __delitem__(self, node_hash: bytes) -> None:
        del self.overlay[node_hash]

    def __contains__(self, node_hash: object) -> bool:
        return node_hash in self.overlay or node_hash in self.base

    def __iter__(self) -> Iterator[bytes]:
        yield from self.overlay
        yield from (node_hash for node_hash in self.base if node_hash not in self.overlay)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def check_node(encoded: bytes) -> None:
    """Raises TrieError unless the bytes are the canonical RLP of a node that a trie of fixed-length keys can have."""
    try:
        node = rlp.decode(encoded)
    except (rlp.exceptions.RLPException, ValueError, TypeError, IndexError, RecursionError) as error:
        raise TrieError(f"malformed node 0x{encoded.hex():.200}: {error!r:.200}") from error
    if not _is_node(node):
        raise TrieError(f"malformed node 0x{encoded.hex():.200}")


def _is_node(node: object) -> bool:
    if not isinstance(node, list) or len(node) not in (2, 17):
        return False
    if len(node) == 17:
        # Keys all have one length: none ends at a branch. One child alone is no branch.
        return node[16] == b"" and sum(child != b"" for child in node) >= 2 and all(map(_is_child, node[:16]))
    path, content = node
    if not isinstance(path, bytes) or not path or path[0] > 0x3F or (path[0] & 0x1F and path[0] & 0x10 == 0):
        return False
    if path[0] & 0x20:
        return isinstance(content, bytes) and content != b""
    return path != b"\x00" and content != b"" and _is_child(content)


def _is_child(child: object) -> bool:
    if isinstance(child, list):
        # A node is inlined only where its encoding is below 32 bytes: nesting ends after a few.
        return len(rlp.encode(child)) < 32 and _is_node(child)
    return isinstance(child, bytes) and len(child) in (0, 32)


def _nibbles(path: bytes) -> tuple[int, ...]:
    """The nibbles in a hex-prefix encoding."""
    return tuple(bytes_to_nibbles(path))[1 if path[0] & 0x10 else 2 :]


class SparseTrie:
    """
    One trie over a NodeStore.

    root: 32 bytes, EMPTY_TRIE_ROOT for an empty trie; name: used in refusals, e.g. "account trie".
    Keys are 32 bytes, already hashed; values are non-empty bytes, b"" stands for absent.
    """

    def __init__(self, nodes: NodeStore, root: bytes = EMPTY_TRIE_ROOT, name: str = "trie") -> None:
        self._trie = HexaryTrie(nodes, root)
        self._nodes = nodes
        self.name = name

    @property
    def root(self) -> bytes:
        """Root hash, 32 bytes."""
        return bytes(self._trie.root_hash)

    def get(self, key: bytes, sought: str = "") -> bytes:
        """The value at key, b"" where the trie proves that there is none. Raises MissingNode, TrieError."""
        value = self._guarded(lambda: self._trie.get(key), key, sought)
        if not value:
            self._check_lengths(key)
        return value

    def update(self, changes: Mapping[bytes, bytes], sought: Callable[[bytes], str] = lambda key: "") -> bytes:
        """
        Writes values, deletes the keys whose value is b"", and returns the new root.

        All writes come before all deletes, each in ascending order of keys: a delete first could collapse a branch that
        a later write fills again, and would ask for a sibling that no witness has.
        Deleting a key that the trie proves absent changes nothing.
        Raises MissingNode where a node on a path, or the one sibling left by a delete, is absent; TrieError.
        """
        for key in sorted(key for key, value in changes.items() if value):
            self._check_lengths(key)
            self._guarded(lambda key=key: self._trie.set(key, changes[key]), key, sought(key))
        for key in sorted(key for key, value in changes.items() if not value):
            self._check_lengths(key)
            self._guarded(lambda key=key: self._trie.delete(key), key, sought(key))
        return self.root

    def _check_lengths(self, key: bytes) -> None:
        """Raises TrieError where a node on the way to key is of a trie with keys of another length."""
        reference: bytes | list = self.root
        remaining = len(key) * 2
        nibbles = bytes_to_nibbles(key)
        while reference not in (b"", EMPTY_TRIE_ROOT) and (isinstance(reference, list) or reference in self._nodes):
            node = reference if isinstance(reference, list) else rlp.decode(self._nodes[reference])
            if len(node) == 17:
                fits, at, remaining = remaining > 0, len(nibbles) - remaining, remaining - 1
                reference = node[nibbles[at]] if fits else b""
            else:
                path, child = node
                is_leaf, length = path[0] & 0x20, 2 * len(path) - (1 if path[0] & 0x10 else 2)
                fits = length == remaining if is_leaf else length < remaining
                at, remaining = len(nibbles) - remaining, remaining - length
                reference = b"" if is_leaf or not fits or _nibbles(path) != nibbles[at : at + length] else child
            if not fits:
                raise TrieError(f"malformed node in the {self.name}, met at key 0x{key.hex()}: keys of another length")

    def _guarded(self, action: Callable[[], bytes | None], key: bytes, sought: str) -> bytes | None:
        try:
            return action()
        except MissingTrieNode as error:
            node_hash = bytes(error.missing_node_hash)
            # A KeyError of another kind, met in a malformed node, looks like a missing node of a strange hash.
            if len(node_hash) != 32:
                raise self._malformed(key, error) from error
            self._check_lengths(key)
            raise MissingNode(node_hash, self._path_to(node_hash, key), self.name, sought) from error
        except WitnessError:
            raise
        except Exception as error:
            # A node whose bytes are not a trie node makes HexaryTrie fail in many ways; none may escape.
            raise self._malformed(key, error) from error

    def _malformed(self, key: bytes, error: Exception) -> TrieError:
        return TrieError(f"malformed node in the {self.name}, met at key 0x{key.hex()}: {error!r:.200}")

    def _path_to(self, node_hash: bytes, key: bytes) -> tuple[int, ...]:
        try:
            return self._locate(node_hash, key)
        except Exception as error:
            raise self._malformed(key, error) from error

    def _locate(self, node_hash: bytes, key: bytes) -> tuple[int, ...]:
        """Path of a child reference to node_hash, on the way to key or beside it."""
        path: tuple[int, ...] = ()
        reference: bytes | list = self.root
        remaining = bytes_to_nibbles(key)
        while True:
            if reference == node_hash:
                return path
            if isinstance(reference, bytes) and reference not in self._nodes:
                return path
            node = decode_node(self._nodes[reference] if isinstance(reference, bytes) else reference)
            kind = get_node_type(node)
            if kind == NODE_TYPE_EXTENSION:
                segment = tuple(extract_key(node))
                path += segment
                if tuple(remaining[: len(segment)]) != segment:
                    return path
                reference, remaining = node[1], remaining[len(segment) :]
            elif kind == NODE_TYPE_BRANCH and remaining:
                if node_hash in node[:16]:
                    return (*path, node[:16].index(node_hash))
                path += (remaining[0],)
                reference, remaining = node[remaining[0]], remaining[1:]
                if is_blank_node(reference):
                    return path
            else:
                return path


@dataclass(frozen=True)
class AccountRecord:
    """An account as the account trie holds it. nonce below 2^64, balance below 2^256, roots of 32 bytes."""

    nonce: int = 0
    balance: int = 0
    storage_root: bytes = EMPTY_TRIE_ROOT
    code_hash: bytes = EMPTY_CODE_HASH

    def encode(self) -> bytes:
        """RLP of (nonce, balance, storage root, code hash)."""
        return rlp.encode([int_to_bytes(self.nonce), int_to_bytes(self.balance), self.storage_root, self.code_hash])

    @classmethod
    def decode(cls, encoded: bytes) -> AccountRecord:
        """The account in exact RLP. Raises TrieError."""
        try:
            nonce, balance, storage_root, code_hash = rlp.decode(encoded)
            record = cls(bytes_to_int(nonce, 8), bytes_to_int(balance, 32), bytes(storage_root), bytes(code_hash))
        except (rlp.exceptions.RLPException, ValueError, TypeError, IndexError, RecursionError) as error:
            raise TrieError(f"malformed account 0x{encoded.hex()}: {error}") from error
        if len(record.storage_root) != 32 or len(record.code_hash) != 32:
            raise TrieError(f"malformed account 0x{encoded.hex()}: a root or hash is not of 32 bytes")
        return record


class WitnessState:
    """
    Accounts, storage and the state root over one NodeStore that mixes account and storage nodes.

    state_root: 32 bytes, the root that everything is read from.
    """

    def __init__(self, nodes: NodeStore, state_root: bytes) -> None:
        self.nodes = nodes
        self._accounts = SparseTrie(nodes, state_root, "account trie")
        self._storage: dict[bytes, SparseTrie] = {}

    @property
    def root(self) -> bytes:
        """State root, 32 bytes."""
        return self._accounts.root

    def account(self, address: bytes) -> AccountRecord | None:
        """The account at a 20-byte address, None where the trie proves that there is none."""
        encoded = self._accounts.get(keccak(address), f"account 0x{address.hex()}")
        return AccountRecord.decode(encoded) if encoded else None

    def storage(self, address: bytes, storage_root: bytes, slot: bytes) -> int:
        """The value of a 32-byte slot in the storage trie of that root, 0 where there is none; below 2^256."""
        encoded = self._storage_trie(address, storage_root).get(keccak(slot), _slot_name(address, slot))
        return decode_storage_value(encoded)

    def update_storage(self, address: bytes, storage_root: bytes, changes: Mapping[bytes, int]) -> bytes:
        """The storage root after writing slots (32 bytes each) to values below 2^256; 0 deletes."""
        names = {keccak(slot): slot for slot in changes}
        trie = self._storage_trie(address, storage_root)
        return trie.update(
            {key: encode_storage_value(changes[slot]) for key, slot in names.items()},
            lambda key: _slot_name(address, names[key]),
        )

    def update_accounts(self, changes: Mapping[bytes, AccountRecord | None]) -> bytes:
        """The state root after writing accounts by address; None deletes."""
        names = {keccak(address): address for address in changes}
        return self._accounts.update(
            {key: (record.encode() if (record := changes[a]) is not None else b"") for key, a in names.items()},
            lambda key: f"account 0x{names[key].hex()}",
        )

    def _storage_trie(self, address: bytes, storage_root: bytes) -> SparseTrie:
        trie = self._storage.get(address)
        if trie is None or trie.root != storage_root:
            trie = SparseTrie(self.nodes, storage_root, f"storage trie of 0x{address.hex()}")
            self._storage[address] = trie
        return trie


def encode_storage_value(value: int) -> bytes:
    """RLP of a storage value, b"" for 0."""
    return rlp.encode(int_to_bytes(value)) if value else b""


def decode_storage_value(encoded: bytes) -> int:
    """The value of a storage leaf, 0 for b"". Raises TrieError."""
    if not encoded:
        return 0
    try:
        return bytes_to_int(rlp.decode(encoded), 32)
    except (rlp.exceptions.RLPException, ValueError, TypeError, IndexError, RecursionError) as error:
        raise TrieError(f"malformed storage value 0x{encoded.hex()}: {error}") from error


def whole_trie(entries: Mapping[bytes, bytes]) -> tuple[bytes, dict[bytes, bytes]]:
    """
    Root and nodes by hash of the trie that holds exactly these entries: 32-byte keys, values not empty.

    Bottom up, each node once: writing the entries one by one into a HexaryTrie gives the same root, and leaves every
    node behind that a later entry replaced.
    """
    if not entries:
        return EMPTY_TRIE_ROOT, {}
    nodes: dict[bytes, bytes] = {}
    items = sorted((bytes_to_nibbles(key), value) for key, value in entries.items())
    root = rlp.encode(_whole_node(items, 0, nodes))
    root_hash = keccak(root)
    nodes[root_hash] = root
    return root_hash, nodes


def _whole_node(items: Sequence[tuple[Sequence[int], bytes]], depth: int, nodes: dict[bytes, bytes]) -> list:
    first, value = items[0]
    if len(items) == 1:
        return [_hex_prefix(first[depth:], is_leaf=True), value]
    last = items[-1][0]
    fork = next(at for at in range(depth, len(first)) if first[at] != last[at])
    if fork > depth:
        return [_hex_prefix(first[depth:fork], is_leaf=False), _whole_child(items, fork, nodes)]
    children: list = [b""] * 17
    start = 0
    while start < len(items):
        nibble = items[start][0][depth]
        end = next((at for at in range(start, len(items)) if items[at][0][depth] != nibble), len(items))
        children[nibble] = _whole_child(items[start:end], depth + 1, nodes)
        start = end
    return children


def _whole_child(items: Sequence[tuple[Sequence[int], bytes]], depth: int, nodes: dict[bytes, bytes]) -> list | bytes:
    """What a parent holds: the node itself where its RLP is below 32 bytes, else its hash."""
    node = _whole_node(items, depth, nodes)
    encoded = rlp.encode(node)
    if len(encoded) < 32:
        return node
    node_hash = keccak(encoded)
    nodes[node_hash] = encoded
    return node_hash


def _hex_prefix(nibbles: Sequence[int], is_leaf: bool) -> bytes:
    """Yellow Paper, appendix C."""
    odd = len(nibbles) % 2
    padded = [2 * is_leaf + odd, *([] if odd else [0]), *nibbles]
    return bytes(16 * high + low for high, low in zip(padded[::2], padded[1::2], strict=True))


def ordered_trie_root(items: Iterable[bytes]) -> bytes:
    """Root of the trie that maps the RLP of each index to its item: transactions, receipts, withdrawals. 32 bytes."""
    trie = HexaryTrie({})
    for index, item in enumerate(items):
        trie.set(rlp.encode(int_to_bytes(index)), item)
    return bytes(trie.root_hash)


def int_to_bytes(value: int) -> bytes:
    """Big-endian bytes without leading zeros, b"" for 0."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def bytes_to_int(encoded: bytes, most_bytes: int) -> int:
    """The number in big-endian bytes. Raises ValueError for a list, a leading zero or more than most_bytes."""
    if not isinstance(encoded, bytes) or len(encoded) > most_bytes or encoded[:1] == b"\x00":
        raise ValueError(f"not a canonical number of at most {most_bytes} bytes")
    return int.from_bytes(encoded, "big")


def _slot_name(address: bytes, slot: bytes) -> str:
    return f"slot 0x{slot.hex()} of account 0x{address.hex()}"
