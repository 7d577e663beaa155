"""
Blocks: their RLP, their headers, and the NewPayloadRequest that says the same.

From Prague on a request has one thing that the RLP of a block lacks: the execution requests, of which the header holds
only the hash. They are derived by executing the block (witness.validate.derive_requests). Versioned hashes come from
the blob transactions, the parent beacon block root from the header.

Sources: Yellow Paper 4.3; EIP-1559, 2718, 2930, 4788, 4844, 4895, 7685, 7702; engine API of execution-apis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from hashlib import sha256

import rlp
from eth_hash.auto import keccak
from eth_keys import KeyAPI
from eth_keys.exceptions import BadSignature, ValidationError
from rlp.codec import consume_length_prefix

from witness import schema
from witness.errors import BlockError, LimitExceeded
from witness.schema import Fork
from witness.trie import bytes_to_int, int_to_bytes, ordered_trie_root

MAX_BLOCK_BYTES = 16 << 20
MAX_HEADER_BYTES = 1 << 10
MAX_OMMERS = 16

EMPTY_OMMERS_HASH = keccak(b"\xc0")

BLOB_TRANSACTION = 3
SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141

_KEYS = KeyAPI()


# --- RLP, one level at a time ----------------------------------------------------------------------------------------


def split_list(encoded: bytes, most: int, what: str) -> list[bytes]:
    """
    The encodings of the elements of an RLP list, without decoding them.

    Nothing is nested here, so hostile depth costs nothing. Raises BlockError for anything but exactly one canonical
    list, LimitExceeded for more than `most` elements.
    """
    try:
        _, kind, length, start = consume_length_prefix(encoded, 0)
        if kind is not list or start + length != len(encoded):
            raise BlockError(f"{what} is not exactly one RLP list")
        elements = []
        while start < len(encoded):
            _, _, length, payload = consume_length_prefix(encoded, start)
            end = payload + length
            if end > len(encoded):
                raise BlockError(f"an element of {what} runs over its end")
            if len(elements) == most:
                raise LimitExceeded(f"{what} has more than {most} elements")
            elements.append(encoded[start:end])
            start = end
        return elements
    except (rlp.exceptions.RLPException, IndexError) as error:
        raise BlockError(f"{what}: {error}") from error


def decode_bytes(encoded: bytes, what: str) -> bytes:
    """The string in an RLP encoding. Raises BlockError for a list or a non-canonical encoding."""
    try:
        _, kind, length, start = consume_length_prefix(encoded, 0)
    except (rlp.exceptions.RLPException, IndexError) as error:
        raise BlockError(f"{what}: {error}") from error
    if kind is not bytes or start + length != len(encoded):
        raise BlockError(f"{what} is not exactly one RLP string")
    return encoded[start:]


# --- headers ---------------------------------------------------------------------------------------------------------

_NUMBER_BYTES = {
    "difficulty": 32,
    "number": 8,
    "gas_limit": 8,
    "gas_used": 8,
    "timestamp": 8,
    "base_fee_per_gas": 32,
    "blob_gas_used": 8,
    "excess_blob_gas": 8,
}
_FIXED_BYTES = {
    "parent_hash": 32,
    "ommers_hash": 32,
    "coinbase": 20,
    "state_root": 32,
    "transactions_root": 32,
    "receipts_root": 32,
    "bloom": 256,
    "prev_randao": 32,
    "nonce": 8,
    "withdrawals_root": 32,
    "parent_beacon_block_root": 32,
    "requests_hash": 32,
}
_HEADER_LENGTHS = (15, 16, 17, 20, 21)
"""Fields up to Gray Glacier without base fee, from London, Shanghai, Cancun, Prague."""


@dataclass(frozen=True)
class Header:
    """
    A block header. Absent trailing fields are None.

    prev_randao is mix_hash before Paris. Widths: _FIXED_BYTES and _NUMBER_BYTES; extra_data at most 2^10 bytes here
    (consensus says 32, which is a matter of validity).
    """

    parent_hash: bytes
    ommers_hash: bytes
    coinbase: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    bloom: bytes
    difficulty: int
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra_data: bytes
    prev_randao: bytes
    nonce: bytes
    base_fee_per_gas: int | None = None
    withdrawals_root: bytes | None = None
    blob_gas_used: int | None = None
    excess_blob_gas: int | None = None
    parent_beacon_block_root: bytes | None = None
    requests_hash: bytes | None = None

    def encode(self) -> bytes:
        """RLP of the fields that are present."""
        values = [getattr(self, field.name) for field in fields(self)]
        present = [value for value in values if value is not None]
        return rlp.encode([int_to_bytes(value) if isinstance(value, int) else value for value in present])

    @cached_property
    def hash(self) -> bytes:
        """Keccak of the RLP, 32 bytes."""
        return keccak(self.encode())

    @classmethod
    def decode(cls, encoded: bytes) -> Header:
        """The header in exact RLP. Raises BlockError, LimitExceeded over MAX_HEADER_BYTES."""
        if len(encoded) > MAX_HEADER_BYTES:
            raise LimitExceeded(f"header of {len(encoded)} bytes exceeds {MAX_HEADER_BYTES}")
        elements = split_list(encoded, max(_HEADER_LENGTHS), "header")
        if len(elements) not in _HEADER_LENGTHS:
            raise BlockError(f"header has {len(elements)} fields")
        values = {}
        for field, element in zip(fields(cls), elements, strict=False):
            values[field.name] = _header_value(field.name, decode_bytes(element, f"header field {field.name}"))
        return cls(**values)


def _header_value(name: str, value: bytes) -> bytes | int:
    if name in _NUMBER_BYTES:
        try:
            return bytes_to_int(value, _NUMBER_BYTES[name])
        except ValueError as error:
            raise BlockError(f"header field {name}: {error}") from error
    if name in _FIXED_BYTES and len(value) != _FIXED_BYTES[name]:
        raise BlockError(f"header field {name} has {len(value)} bytes, not {_FIXED_BYTES[name]}")
    return value


def header_fields_of(fork: Fork) -> int:
    """Number of header fields under a fork."""
    if fork >= Fork.PRAGUE:
        return 21
    if fork >= Fork.CANCUN:
        return 20
    if fork >= Fork.SHANGHAI:
        return 17
    return 16 if fork >= Fork.LONDON else 15


# --- blocks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Withdrawal:
    """EIP-4895. index, validator_index, amount (Gwei) below 2^64; address 20 bytes."""

    index: int
    validator_index: int
    address: bytes
    amount: int

    def encode(self) -> bytes:
        """RLP."""
        numbers = int_to_bytes(self.index), int_to_bytes(self.validator_index), int_to_bytes(self.amount)
        return rlp.encode([numbers[0], numbers[1], self.address, numbers[2]])

    @classmethod
    def decode(cls, encoded: bytes) -> Withdrawal:
        """Raises BlockError."""
        elements = split_list(encoded, 4, "withdrawal")
        if len(elements) != 4:
            raise BlockError(f"withdrawal has {len(elements)} fields")
        index, validator_index, address, amount = (decode_bytes(item, "withdrawal field") for item in elements)
        if len(address) != 20:
            raise BlockError(f"withdrawal address has {len(address)} bytes")
        try:
            return cls(bytes_to_int(index, 8), bytes_to_int(validator_index, 8), address, bytes_to_int(amount, 8))
        except ValueError as error:
            raise BlockError(f"withdrawal: {error}") from error


@dataclass(frozen=True)
class Block:
    """
    A block. transactions: EIP-2718 envelopes (RLP lists for legacy ones); withdrawals: None before Shanghai.
    """

    header: Header
    transactions: tuple[bytes, ...]
    ommers: tuple[Header, ...] = ()
    withdrawals: tuple[Withdrawal, ...] | None = None

    def encode(self) -> bytes:
        """Canonical RLP [header, transactions, ommers(, withdrawals)]."""
        parts = [
            self.header.encode(),
            _encode_list([tx if tx[:1] >= b"\xc0" else rlp.encode(tx) for tx in self.transactions]),
            _encode_list([ommer.encode() for ommer in self.ommers]),
        ]
        if self.withdrawals is not None:
            parts.append(_encode_list([withdrawal.encode() for withdrawal in self.withdrawals]))
        return _encode_list(parts)

    @classmethod
    def decode(cls, encoded: bytes) -> Block:
        """The block in exact RLP; transactions are split, not decoded. Raises BlockError, LimitExceeded."""
        if len(encoded) > MAX_BLOCK_BYTES:
            raise LimitExceeded(f"block of {len(encoded)} bytes exceeds {MAX_BLOCK_BYTES}")
        parts = split_list(encoded, 4, "block")
        if len(parts) < 3:
            raise BlockError(f"block has {len(parts)} parts")
        transactions = []
        for element in split_list(parts[1], schema.MAX_TRANSACTIONS, "transactions"):
            if element[:1] >= b"\xc0":
                transactions.append(element)
                continue
            envelope = decode_bytes(element, "transaction")
            if not envelope or envelope[0] > 0x7F:
                raise BlockError("transaction type is not in 0x00..0x7f")
            transactions.append(envelope)
        withdrawals = None
        if len(parts) == 4:
            elements = split_list(parts[3], schema.MAX_WITHDRAWALS, "withdrawals")
            withdrawals = tuple(Withdrawal.decode(element) for element in elements)
        return cls(
            header=Header.decode(parts[0]),
            transactions=tuple(transactions),
            ommers=tuple(Header.decode(element) for element in split_list(parts[2], MAX_OMMERS, "ommers")),
            withdrawals=withdrawals,
        )


def _encode_list(elements: Sequence[bytes]) -> bytes:
    payload = b"".join(elements)
    return rlp.codec.length_prefix(len(payload), 0xC0) + payload


def ommers_hash(ommers: Sequence[Header]) -> bytes:
    """Keccak of the RLP list of headers, 32 bytes."""
    return keccak(_encode_list([ommer.encode() for ommer in ommers]))


# --- transactions ----------------------------------------------------------------------------------------------------


def versioned_hashes(transactions: Sequence[bytes]) -> list[bytes]:
    """Blob versioned hashes of all blob transactions, in order, 32 bytes each. Raises BlockError."""
    hashes: list[bytes] = []
    for transaction in transactions:
        if transaction[:1] != bytes([BLOB_TRANSACTION]):
            continue
        elements = split_list(transaction[1:], 14, "blob transaction")
        if len(elements) != 14:
            raise BlockError(f"blob transaction has {len(elements)} fields")
        for element in split_list(elements[10], schema.MAX_VERSIONED_HASHES, "blob versioned hashes"):
            versioned_hash = decode_bytes(element, "blob versioned hash")
            if len(versioned_hash) != 32:
                raise BlockError("a blob versioned hash is not of 32 bytes")
            hashes.append(versioned_hash)
    return hashes


_TYPED_FIELDS = {1: 11, 2: 12, 3: 14, 4: 13}


def recover_public_key(transaction: bytes) -> bytes:
    """
    The signer's key of a transaction: 65 bytes, 0x04, x, y.

    The low-s rule and the chain id are the validator's business. Raises BlockError for a malformed transaction or a
    signature that no key has made.
    """
    if transaction[:1] >= b"\xc0":
        elements = split_list(transaction, 9, "legacy transaction")
        if len(elements) != 9:
            raise BlockError(f"legacy transaction has {len(elements)} fields")
        v = _number(elements[6], "v", 32)
        signed = elements[:6]
        if v in (27, 28):
            parity = v - 27
        elif v >= 35:
            parity = (v - 35) % 2
            signed = [*signed, rlp.encode(int_to_bytes((v - 35) // 2)), b"\x80", b"\x80"]
        else:
            raise BlockError(f"legacy transaction has v {v}")
        digest = keccak(_encode_list(signed))
    else:
        kind = transaction[0] if transaction else None
        if kind not in _TYPED_FIELDS:
            raise BlockError(f"unknown transaction type {kind}")
        elements = split_list(transaction[1:], _TYPED_FIELDS[kind], f"transaction of type {kind}")
        if len(elements) != _TYPED_FIELDS[kind]:
            raise BlockError(f"transaction of type {kind} has {len(elements)} fields")
        parity = _number(elements[-3], "y parity", 32)
        if parity > 1:
            raise BlockError(f"transaction has y parity {parity}")
        digest = keccak(transaction[:1] + _encode_list(elements[:-3]))
    r, s = _number(elements[-2], "r", 32), _number(elements[-1], "s", 32)
    if not (0 < r < SECP256K1_ORDER and 0 < s < SECP256K1_ORDER):
        raise BlockError("transaction signature is out of range")
    try:
        signature = _KEYS.Signature(vrs=(parity, r, s))
        return b"\x04" + signature.recover_public_key_from_msg_hash(digest).to_bytes()
    except (BadSignature, ValidationError, ValueError) as error:
        raise BlockError(f"no public key for a transaction's signature: {error}") from error


def recover_public_keys(transactions: Sequence[bytes]) -> tuple[bytes, ...]:
    """recover_public_key of each transaction, in order."""
    return tuple(recover_public_key(transaction) for transaction in transactions)


def _number(element: bytes, what: str, most_bytes: int) -> int:
    try:
        return bytes_to_int(decode_bytes(element, what), most_bytes)
    except ValueError as error:
        raise BlockError(f"transaction field {what}: {error}") from error


# --- execution requests ----------------------------------------------------------------------------------------------

_REQUEST_KINDS = (
    (0, "deposits", schema.DepositRequest),
    (1, "withdrawals", schema.WithdrawalRequest),
    (2, "consolidations", schema.ConsolidationRequest),
)


def parse_requests(requests: Sequence[bytes]) -> schema.ExecutionRequests:
    """
    Typed lists from EIP-7685 requests (type byte, then concatenated SSZ requests), types strictly ascending.

    Raises BlockError for an unknown, repeated or empty type and for data that is not whole requests.
    """
    lists: dict[str, list] = {}
    last = -1
    for request in requests:
        kind = request[0] if request else -1
        known = {number: (name, container) for number, name, container in _REQUEST_KINDS}
        if kind not in known or kind <= last or len(request) == 1:
            raise BlockError(f"execution requests: type {kind} is unknown, repeated, out of order or empty")
        name, container = known[kind]
        size = container.type_byte_length()
        payload = request[1:]
        if len(payload) % size or len(payload) // size > schema.MAX_REQUESTS:
            raise BlockError(f"execution requests: {len(payload)} bytes are not whole {name}")
        lists[name] = [container.decode_bytes(payload[at : at + size]) for at in range(0, len(payload), size)]
        last = kind
    return schema.ExecutionRequests(**lists)


def encode_requests(requests: schema.ExecutionRequests) -> list[bytes]:
    """EIP-7685 requests from typed lists; an empty list gives none."""
    encoded = []
    for kind, name, _ in _REQUEST_KINDS:
        payload = b"".join(request.encode_bytes() for request in getattr(requests, name).readonly_iter())
        if payload:
            encoded.append(bytes([kind]) + payload)
    return encoded


def requests_hash(requests: Sequence[bytes]) -> bytes:
    """EIP-7685 commitment: SHA-256 of the SHA-256 of each non-empty request. 32 bytes."""
    return sha256(b"".join(sha256(request).digest() for request in requests if len(request) > 1)).digest()


# --- requests of the consensus layer ---------------------------------------------------------------------------------


def block_to_request(
    block: Block, fork: Fork, requests: Sequence[bytes] | None = None, must_match: bool = True
) -> schema.NewPayloadRequest:
    """
    The NewPayloadRequest of a block under a fork; the LegacyBlock before Paris.

    requests: EIP-7685 requests of the block, needed from Prague on; they must match the header's requests hash.
    must_match: False makes the request of an invalid block too, one whose header does not match its body or its
    requests; its block hash is the header's, so it never validates.
    Raises BlockError where the block's fields are not those of the fork, where a root in the header does not match the
    body, or where requests are absent or do not match.
    """
    header = block.header
    present = sum(getattr(header, field.name) is not None for field in fields(header))
    if present != header_fields_of(fork):
        raise BlockError(f"header has {present} fields, {fork.label} has {header_fields_of(fork)}")
    if (block.withdrawals is not None) != (fork >= Fork.SHANGHAI):
        raise BlockError(f"withdrawals {'present' if block.withdrawals is not None else 'absent'} under {fork.label}")
    if fork < Fork.PARIS:
        return schema.LegacyBlock(block_rlp=block.encode())
    payload = {
        "parent_hash": header.parent_hash,
        "fee_recipient": header.coinbase,
        "state_root": header.state_root,
        "receipts_root": header.receipts_root,
        "logs_bloom": header.bloom,
        "prev_randao": header.prev_randao,
        "block_number": header.number,
        "gas_limit": header.gas_limit,
        "gas_used": header.gas_used,
        "timestamp": header.timestamp,
        "extra_data": _extra_data(header.extra_data),
        "base_fee_per_gas": header.base_fee_per_gas,
        "block_hash": header.hash,
        "transactions": list(block.transactions),
    }
    if fork >= Fork.SHANGHAI:
        payload["withdrawals"] = [
            schema.Withdrawal(index=w.index, validator_index=w.validator_index, address=w.address, amount=w.amount)
            for w in block.withdrawals
        ]
    if fork >= Fork.CANCUN:
        payload.update(blob_gas_used=header.blob_gas_used, excess_blob_gas=header.excess_blob_gas)
    around = {}
    if fork >= Fork.CANCUN:
        around["versioned_hashes"] = versioned_hashes(block.transactions)
        around["parent_beacon_block_root"] = header.parent_beacon_block_root
    if fork >= Fork.PRAGUE:
        if requests is None:
            raise BlockError(f"{fork.label} needs the execution requests, which the RLP of a block does not contain")
        if must_match and requests_hash(requests) != header.requests_hash:
            raise BlockError("the execution requests do not match the header's requests hash")
        around["execution_requests"] = parse_requests(requests)
    payload_type = schema.request_type(fork).fields()["execution_payload"]
    request = schema.request_type(fork)(execution_payload=payload_type(**payload), **around)
    # A header whose roots do not match its body has no request: the request names the body, not its roots.
    if must_match and request_to_block(request, fork, check_hash=False).header.hash != header.hash:
        raise BlockError("the header does not match the body: block hash differs when recomputed from the request")
    return request


def request_to_block(request: schema.NewPayloadRequest, fork: Fork, check_hash: bool = True) -> Block:
    """
    The block that a request describes, its roots computed from the body.

    Raises BlockError where the request's block hash differs from the computed one (unless check_hash is False), where
    its versioned hashes are not those of its transactions, and where a LegacyBlock does not decode.
    """
    if isinstance(request, schema.LegacyBlock):
        return Block.decode(request.block_rlp.contents())
    payload = request.execution_payload
    transactions = tuple(transaction.contents() for transaction in payload.transactions.readonly_iter())
    for transaction in transactions:
        if not transaction or 0x80 <= transaction[0] < 0xC0:
            raise BlockError("a transaction is empty or of a type over 0x7f")
    optional: dict[str, bytes | int] = {}
    withdrawals = None
    if fork >= Fork.SHANGHAI:
        withdrawals = tuple(
            Withdrawal(int(w.index), int(w.validator_index), bytes(w.address), int(w.amount))
            for w in payload.withdrawals.readonly_iter()
        )
        optional["withdrawals_root"] = ordered_trie_root(withdrawal.encode() for withdrawal in withdrawals)
    if fork >= Fork.CANCUN:
        optional["blob_gas_used"] = int(payload.blob_gas_used)
        optional["excess_blob_gas"] = int(payload.excess_blob_gas)
        optional["parent_beacon_block_root"] = bytes(request.parent_beacon_block_root)
        stated = [bytes(versioned_hash) for versioned_hash in request.versioned_hashes.readonly_iter()]
        if stated != versioned_hashes(transactions):
            raise BlockError("versioned hashes are not those of the blob transactions")
    if fork >= Fork.PRAGUE:
        optional["requests_hash"] = requests_hash(encode_requests(request.execution_requests))
    header = Header(
        parent_hash=bytes(payload.parent_hash),
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=bytes(payload.fee_recipient),
        state_root=bytes(payload.state_root),
        transactions_root=ordered_trie_root(transactions),
        receipts_root=bytes(payload.receipts_root),
        bloom=bytes(payload.logs_bloom),
        difficulty=0,
        number=int(payload.block_number),
        gas_limit=int(payload.gas_limit),
        gas_used=int(payload.gas_used),
        timestamp=int(payload.timestamp),
        extra_data=bytes(payload.extra_data),
        prev_randao=bytes(payload.prev_randao),
        nonce=bytes(8),
        base_fee_per_gas=int(payload.base_fee_per_gas),
        **optional,
    )
    if check_hash and header.hash != bytes(payload.block_hash):
        raise BlockError(f"block hash 0x{bytes(payload.block_hash).hex()} is not the computed 0x{header.hash.hex()}")
    return Block(header, transactions, (), withdrawals)


def _extra_data(extra_data: bytes) -> bytes:
    if len(extra_data) > 32:
        raise BlockError(f"extra data of {len(extra_data)} bytes exceeds 32")
    return extra_data
