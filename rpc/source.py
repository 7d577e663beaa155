"""
What the collector asks of a node, in Python values. `rpc.node.Node` answers it over JSON-RPC; tests answer it in process.

Nothing that comes through here is trusted: headers and blocks are checked against the hash that was asked for where they
arrive, proofs against a state root in rpc.proofs, codes against the code hash of a proven account.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from witness.block import Block, Header


@dataclass(frozen=True)
class AccountProof:
    """
    An answer of eth_getProof (EIP-1186), as given: nothing in it is verified.

    address: 20 bytes; nodes: RLP of the account trie's nodes from the root down; storage: for each 32-byte slot asked
    for, the RLP of the storage trie's nodes from its root down. Nodes below 32 bytes, which their parents hold inline,
    may be listed too. An empty trie has no nodes.
    """

    address: bytes
    nodes: tuple[bytes, ...]
    storage: Mapping[bytes, tuple[bytes, ...]]


class Source(Protocol):
    """
    A node. Methods that ask for state take the header of the block whose post-state is meant, so that the implementation
    can name the block by hash and notice a reorg. Each raises rpc.errors.RpcError of the kind that fits; the methods
    that return None do so where the node does not offer the method.
    """

    def chain_id(self) -> int:
        """eth_chainId."""

    def block(self, identifier: int | bytes | str) -> Block:
        """The block of a number, a 32-byte hash or a tag ("latest", "safe", "finalized", "earliest")."""

    def headers(self, newest_hash: bytes, count: int) -> list[Header]:
        """`count` linked headers, oldest first, the last the one with this hash."""

    def proofs(self, at: Header, wanted: Mapping[bytes, Sequence[bytes]]) -> list[AccountProof]:
        """Proofs for 20-byte addresses and their 32-byte slots, in the order of `wanted`, batched."""

    def codes(self, at: Header, addresses: Iterable[bytes]) -> dict[bytes, bytes]:
        """Code by address, batched."""

    def execution_witness(self, block: Block) -> object | None:
        """The parsed result of debug_executionWitness in whichever form the node has."""

    def prestate(self, block: Block) -> dict[bytes, set[bytes]] | None:
        """Accounts and slots that a tracer says the block touches (prestateTracer): a hint to prefetch, never complete."""

    def access_list(self, block: Block, index: int) -> dict[bytes, set[bytes]] | None:
        """The same for one transaction from eth_createAccessList on the parent's state: a weaker hint."""

    def check_time(self) -> None:
        """Raises RpcError where the time that this block may take is over; for long work between questions."""

    def storage_keys_from(self, block: Block, address: bytes, hashed_start: bytes, most: int) -> list[bytes] | None:
        """Slots of an account before the block whose keccak is `hashed_start` or more (debug_storageRangeAt)."""
