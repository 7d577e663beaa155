"""Typed refusals of the witness-building half of the collector."""

from __future__ import annotations

from witness.errors import WitnessError


class CollectError(WitnessError):
    """Base of what this half refuses. Every message names the account, the slot, the node or the block."""


class ProofError(CollectError):
    """
    An answer of eth_getProof does not prove what it was asked for.

    address: 20 bytes; slot: 32 bytes, None for the account itself; index: which node of the proof, from 0, None where
    the fault is not one node's.
    """

    def __init__(self, address: bytes, slot: bytes | None, index: int | None, reason: str) -> None:
        self.address, self.slot, self.index = address, slot, index
        at = "" if index is None else f", node {index}"
        super().__init__(
            f"eth_getProof, {name_of(address, slot)}{at}: {reason}; the node serves wrong proofs, ask another one"
        )


class CodeError(CollectError):
    """An answer of eth_getCode is absent or has not the proven hash. address: 20 bytes; code_hash: 32 bytes."""

    def __init__(self, address: bytes, code_hash: bytes, reason: str) -> None:
        self.address, self.code_hash = address, code_hash
        super().__init__(
            f"eth_getCode of account 0x{address.hex()}: {reason}, its proven code hash is 0x{code_hash.hex()}; "
            "the node serves wrong code, ask another one"
        )


class AncestorError(CollectError):
    """Ancestor headers are absent or do not follow each other. number: of the block whose header is wrong."""

    def __init__(self, number: int, reason: str) -> None:
        self.number = number
        super().__init__(f"header of block {number}: {reason}; ask another node")


class SiblingNotFound(CollectError):
    """
    A node beside a deleted leaf, which no proof of a touched key contains, could not be found.

    node_hash: 32 bytes; path: nibbles from the root of its trie; address: 20 bytes, of the account whose storage trie it
    is in, None for the account trie; keys: the deleted slots (32 bytes) or addresses (20 bytes).
    """

    def __init__(self, node_hash: bytes, path: tuple[int, ...], address: bytes | None, keys: tuple[bytes, ...]) -> None:
        self.node_hash, self.path, self.address, self.keys = node_hash, path, address, keys
        where = "the account trie" if address is None else f"the storage trie of account 0x{address.hex()}"
        kind = "account" if address is None else "slot"
        named = ", ".join(f"0x{key.hex()}" for key in keys[:4]) + (", .." if len(keys) > 4 else "")
        steps = "".join(f"{nibble:x}" for nibble in path)
        super().__init__(
            f"missing node 0x{node_hash.hex()} at path {steps} of {where}: the sibling of a leaf that the block deletes "
            f"({kind} {named}); proofs after the block do not contain it and no key below it was found. "
            "A node with debug_executionWitness or debug_storageRangeAt has it"
        )


class BlockRefused(CollectError):
    """The block does not validate although its state is complete. number: its number."""

    def __init__(self, number: int, fork: str, reason: str) -> None:
        self.number = number
        super().__init__(
            f"block {number} does not validate under {fork}: {reason}; is this chain's configuration the right one?"
        )


def name_of(address: bytes, slot: bytes | None) -> str:
    """"account 0x.." or "slot 0x.. of account 0x.."."""
    account = f"account 0x{address.hex()}"
    return account if slot is None else f"slot 0x{slot.hex()} of {account}"
