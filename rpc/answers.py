"""
Values and blocks out of a node's JSON. Everything malformed is a MalformedAnswer, every block that is not what its hash
says a WrongBlock naming the part.

Sources: execution-apis (eth namespace); EIP-2718, 2930, 1559, 4844, 7702 for the forms of transactions; EIP-1186.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import rlp
from eth_hash.auto import keccak

from rpc.errors import MalformedAnswer, WrongBlock
from rpc.source import AccountProof
from witness.block import Block, Header, Withdrawal, ommers_hash
from witness.errors import WitnessError
from witness.importers import header_from_json
from witness.schema import MAX_BYTES_PER_WITNESS_NODE, MAX_TRANSACTIONS, MAX_WITHDRAWALS
from witness.trie import int_to_bytes, ordered_trie_root

MAX_PROOF_NODES = 130
"""A path has at most 64 nodes on its way; some nodes list inline ones beside them."""

_HEX = re.compile(r"0[xX](?:[0-9a-fA-F]{2})*\Z")
_QUANTITY = re.compile(r"0[xX][0-9a-fA-F]{1,64}\Z")
HEADER_FIELDS = frozenset(
    """hash parentHash sha3Uncles miner stateRoot transactionsRoot receiptsRoot logsBloom difficulty number gasLimit gasUsed
    timestamp extraData mixHash nonce baseFeePerGas withdrawalsRoot blobGasUsed excessBlobGas parentBeaconBlockRoot
    requestsHash""".split()
)
"""Names in an answer of eth_getBlock that make a header."""
_AMSTERDAM_FIELDS = ("blockAccessListHash", "balHash", "slotNumber")


def quantity(value: object, what: str, most_bytes: int = 32) -> int:
    """A number in hex."""
    if not isinstance(value, str) or not _QUANTITY.match(value) or int(value, 16) >> 8 * most_bytes:
        raise MalformedAnswer(f"{what} is not a hex number of at most {most_bytes} bytes")
    return int(value, 16)


def data(value: object, what: str, size: int | None = None) -> bytes:
    """Bytes in hex, `size` of them if given."""
    if not isinstance(value, str) or not _HEX.match(value) or (size is not None and len(value) != 2 + 2 * size):
        raise MalformedAnswer(f"{what} is not hex data{'' if size is None else f' of {size} bytes'}")
    return bytes.fromhex(value[2:])


def fields(value: object, what: str) -> dict:
    """An object."""
    if not isinstance(value, dict):
        raise MalformedAnswer(f"{what} is no object")
    return value


def elements(value: object, what: str, most: int) -> list:
    """A list of at most `most` elements."""
    if not isinstance(value, list) or len(value) > most:
        raise MalformedAnswer(f"{what} is no list of at most {most} elements")
    return value


# --- headers and blocks ----------------------------------------------------------------------------------------------


def read_header(answer: object, wanted: bytes | None = None) -> Header:
    """
    The header in an answer of eth_getBlock, its hash computed from its fields.

    wanted: the 32-byte hash that it must have. Raises WrongBlock, MalformedAnswer.
    """
    found = fields(answer, "a block")
    stated = found.get("hash")
    try:
        header = header_from_json({name: value for name, value in found.items() if name != "hash"})
    except WitnessError as error:
        raise MalformedAnswer(f"a block's header: {error}") from None
    for expected in (wanted, None if stated is None else data(stated, "a block's hash", 32)):
        if expected is not None and header.hash != expected:
            unknown = [name for name in _AMSTERDAM_FIELDS if found.get(name) is not None]
            of_later_fork = f"; it has {unknown[0]}, of a fork that is not supported" if unknown else ""
            raise WrongBlock(
                f"header of block {header.number}",
                f"its fields have hash 0x{header.hash.hex()}, not 0x{expected.hex()}{of_later_fork}",
            )
    return header


def read_body(
    answer: object, header: Header, ommers: Sequence[Header], transactions: Sequence[bytes] | None = None
) -> Block:
    """
    The block whose header is known from an answer of eth_getBlock with whole transactions, every root checked.

    transactions: EIP-2718 envelopes from elsewhere; else they are encoded again from the answer's objects.
    Raises WrongBlock, MalformedAnswer.
    """
    found = fields(answer, "a block")
    name = f"of block {header.number}"
    if transactions is None:
        listed = elements(found.get("transactions"), "transactions", MAX_TRANSACTIONS)
        transactions = [encode_transaction(one, f"transaction {index} {name}") for index, one in enumerate(listed)]
    root = ordered_trie_root(transactions)
    if root != header.transactions_root:
        raise WrongBlock(
            f"transactions {name}", f"their root is 0x{root.hex()}, the header has 0x{header.transactions_root.hex()}"
        )
    if ommers_hash(ommers) != header.ommers_hash:
        raise WrongBlock(
            f"ommers {name}",
            f"their hash is 0x{ommers_hash(ommers).hex()}, the header has 0x{header.ommers_hash.hex()}",
        )
    withdrawals = None
    if header.withdrawals_root is not None:
        withdrawals = tuple(map(_withdrawal, elements(found.get("withdrawals"), "withdrawals", MAX_WITHDRAWALS)))
        root = ordered_trie_root(withdrawal.encode() for withdrawal in withdrawals)
        if root != header.withdrawals_root:
            raise WrongBlock(
                f"withdrawals {name}", f"their root is 0x{root.hex()}, the header has 0x{header.withdrawals_root.hex()}"
            )
    return Block(header, tuple(transactions), tuple(ommers), withdrawals)


def decode_block(encoded: bytes, header: Header) -> Block:
    """The block with this header in RLP, every root checked. Raises WrongBlock, MalformedAnswer."""
    name = f"of block {header.number}"
    try:
        block = Block.decode(encoded)
    except WitnessError as error:
        raise MalformedAnswer(f"RLP {name}: {error}") from None
    if block.header != header:
        raise WrongBlock(
            f"header {name}", f"the RLP is of block 0x{block.header.hash.hex()}, not 0x{header.hash.hex()}"
        )
    withdrawals = None if block.withdrawals is None else ordered_trie_root(one.encode() for one in block.withdrawals)
    parts = (
        ("transactions", ordered_trie_root(block.transactions), header.transactions_root),
        ("ommers", ommers_hash(block.ommers), header.ommers_hash),
        ("withdrawals", withdrawals, header.withdrawals_root),
    )
    for part, computed, stated in parts:
        if computed != stated:
            raise WrongBlock(f"{part} {name}", "they do not match the header")
    return block


def _withdrawal(value: object) -> Withdrawal:
    found = fields(value, "a withdrawal")
    index, validator, amount = (
        quantity(found.get(name), f"a withdrawal's {name}", 8) for name in ("index", "validatorIndex", "amount")
    )
    return Withdrawal(index, validator, data(found.get("address"), "a withdrawal's address", 20), amount)


# --- transactions ----------------------------------------------------------------------------------------------------

_BEFORE_TO = {
    0: ("nonce", "gasPrice", "gas"),
    1: ("chainId", "nonce", "gasPrice", "gas"),
    2: ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas"),
    3: ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas"),
    4: ("chainId", "nonce", "maxPriorityFeePerGas", "maxFeePerGas", "gas"),
}
"""Numbers before the recipient, in the order in which they are encoded, by type."""


def encode_transaction(value: object, what: str = "a transaction") -> bytes:
    """
    The EIP-2718 envelope (RLP for type 0) of a transaction object, types 0 to 4.

    A `hash` in the object must be that of the envelope. Raises MalformedAnswer, WrongBlock.
    """
    found = fields(value, what)
    kind = quantity(found.get("type", "0x0"), f"{what}: type", 8)
    if kind not in _BEFORE_TO:
        raise MalformedAnswer(
            f"{what} has type {kind}, which is not known", "a node that offers debug_getRawBlock may still serve it"
        )

    def number(name: str) -> bytes:
        return int_to_bytes(quantity(found.get(name), f"{what}: {name}"))

    to = found.get("to")
    parts: list = [number(name) for name in _BEFORE_TO[kind]]
    parts.append(b"" if to is None else data(to, f"{what}: to", 20))
    parts += [
        number("value"),
        data(found["data"] if found.get("input") is None and "data" in found else found.get("input"), f"{what}: input"),
    ]
    if kind >= 1:
        parts.append(
            [_access(entry, what) for entry in elements(found.get("accessList"), f"{what}: accessList", 1 << 16)]
        )
    if kind == 3:
        parts.append(number("maxFeePerBlobGas"))
        hashes = elements(found.get("blobVersionedHashes"), f"{what}: blobVersionedHashes", 1 << 10)
        parts.append([data(one, f"{what}: a versioned hash", 32) for one in hashes])
    if kind == 4:
        listed = elements(found.get("authorizationList"), f"{what}: authorizationList", 1 << 16)
        parts.append([_authorization(entry, what) for entry in listed])
    parity = "v" if kind == 0 or found.get("yParity") is None else "yParity"
    parts += [number(parity), number("r"), number("s")]
    encoded = (bytes([kind]) if kind else b"") + rlp.encode(parts)
    stated = found.get("hash")
    if stated is not None and data(stated, f"{what}: hash", 32) != keccak(encoded):
        raise WrongBlock(what, f"its fields have hash 0x{keccak(encoded).hex()}, not {stated}")
    return encoded


def _access(entry: object, what: str) -> list:
    found = fields(entry, f"{what}: an entry of its access list")
    keys = elements(found.get("storageKeys"), f"{what}: storageKeys", 1 << 16)
    return [
        data(found.get("address"), f"{what}: an address of its access list", 20),
        [data(key, f"{what}: a storage key", 32) for key in keys],
    ]


def _authorization(entry: object, what: str) -> list:
    found = fields(entry, f"{what}: an authorization")
    parity = "v" if found.get("yParity") is None else "yParity"

    def number(name: str) -> bytes:
        return int_to_bytes(quantity(found.get(name), f"{what}: {name} of an authorization"))

    address = data(found.get("address"), f"{what}: the address of an authorization", 20)
    return [number("chainId"), address, number("nonce"), number(parity), number("r"), number("s")]


# --- proofs and hints ------------------------------------------------------------------------------------------------


def read_proof(answer: object, address: bytes, slots: Sequence[bytes]) -> AccountProof:
    """
    An answer of eth_getProof. Slots are matched by key where the answer spells them, whatever their order.

    Raises MalformedAnswer, also where the answer has some slots but not all, or names another account.
    """
    name = f"eth_getProof of account 0x{address.hex()}"
    found = fields(answer, name)
    stated = found.get("address")
    if stated is not None and data(stated, f"{name}: address", 20) != address:
        raise MalformedAnswer(f"{name}: the answer is about account {stated}")
    storage = {}
    for entry in elements(found.get("storageProof") or [], f"{name}: storageProof", 1 << 16):
        one = fields(entry, f"{name}: a storage proof")
        slot = quantity(one.get("key"), f"{name}: key of a storage proof").to_bytes(32, "big")
        storage[slot] = _nodes(one.get("proof"), f"{name}, slot 0x{slot.hex()}")
    if not storage:
        # ethereumjs proves no slot of an account that is absent. Whether it is absent, its own proof says.
        storage = dict.fromkeys(slots, ())
    for slot in slots:
        if slot not in storage:
            raise MalformedAnswer(f"{name}: no proof of slot 0x{slot.hex()} in the answer")
    return AccountProof(address, _nodes(found.get("accountProof"), name), {slot: storage[slot] for slot in slots})


def _nodes(value: object, what: str) -> tuple[bytes, ...]:
    nodes = tuple(data(node, f"{what}: a node") for node in elements(value, f"{what}: proof", MAX_PROOF_NODES))
    if any(len(node) > MAX_BYTES_PER_WITNESS_NODE for node in nodes):
        raise MalformedAnswer(f"{what}: a node is longer than any trie's")
    return nodes


def proof_to_json(proof: AccountProof) -> dict:
    """What read_proof reads."""
    return {
        "accountProof": ["0x" + node.hex() for node in proof.nodes],
        "storageProof": [
            {"key": "0x" + slot.hex(), "proof": ["0x" + node.hex() for node in nodes]}
            for slot, nodes in proof.storage.items()
        ],
    }


def read_touched(accounts: object) -> dict[bytes, set[bytes]]:
    """Accounts and slots in one result of prestateTracer. Raises MalformedAnswer."""
    touched: dict[bytes, set[bytes]] = {}
    for address, account in fields(accounts, "a prestate").items():
        storage = fields(fields(account, "an account of a prestate").get("storage") or {}, "a prestate's storage")
        slots = {quantity(slot, "a slot of a prestate").to_bytes(32, "big") for slot in storage}
        touched.setdefault(data(address, "an address of a prestate", 20), set()).update(slots)
    return touched


def read_access_list(answer: object) -> dict[bytes, set[bytes]]:
    """Accounts and slots in an answer of eth_createAccessList. Raises MalformedAnswer."""
    touched: dict[bytes, set[bytes]] = {}
    for entry in elements(fields(answer, "an access list").get("accessList"), "an access list", 1 << 16):
        address, slots = _access(entry, "an access list")
        touched.setdefault(address, set()).update(slots)
    return touched
