"""
Typed refusals of the witness package.

Every refusal is a WitnessError. A hostile file or object ends in one of these, never in another exception.
"""

from __future__ import annotations


class WitnessError(Exception):
    """Base of every refusal of this package."""


class LimitExceeded(WitnessError):
    """An input is larger, deeper or longer than the package accepts."""


class FormatError(WitnessError):
    """Bytes or JSON do not have the form that they claim to have."""


class SchemaError(FormatError):
    """A StatelessInput or a result does not decode: unknown schema id, bad or non-canonical SSZ."""


class ChainError(WitnessError):
    """A chain configuration is unknown, malformed or contradicts itself."""


class BlockError(WitnessError):
    """A block or header does not decode, or does not fit its fork."""


class TrieError(WitnessError):
    """A trie node does not decode, or its path is inconsistent."""


class MissingWitness(WitnessError):
    """Base of the refusals that name something absent from the witness."""


class MissingNode(MissingWitness):
    """
    A trie node is absent.

    node_hash: 32 bytes.
    path: nibbles from the root of that trie to the node.
    trie: "account trie" or "storage trie of 0x..".
    sought: what was looked up, e.g. "account 0x.." or "slot 0x.. of account 0x..".
    """

    def __init__(self, node_hash: bytes, path: tuple[int, ...], trie: str, sought: str = "") -> None:
        self.node_hash = node_hash
        self.path = path
        self.trie = trie
        self.sought = sought
        where = "".join(f"{nibble:x}" for nibble in path) or "(root)"
        wanted = f", needed for {sought}" if sought else ""
        super().__init__(f"missing node 0x{node_hash.hex()} at path {where} of the {trie}{wanted}")


class MissingCode(MissingWitness):
    """A bytecode is absent. code_hash: 32 bytes; address: 20 bytes of the account that has it, or None."""

    def __init__(self, code_hash: bytes, address: bytes | None = None) -> None:
        self.code_hash = code_hash
        self.address = address
        owner = f" of account 0x{address.hex()}" if address is not None else ""
        super().__init__(f"missing code 0x{code_hash.hex()}{owner}")


class MissingHeader(MissingWitness):
    """An ancestor header is absent. number: its block number."""

    def __init__(self, number: int, why: str = "needed by BLOCKHASH") -> None:
        self.number = number
        super().__init__(f"missing header of block {number}: {why}")
