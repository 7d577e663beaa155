"""
The canonical stateless input and result: types, wire form, roots.

Wire form of the input: schema id (2 bytes, big endian) followed by the SSZ encoding of StatelessInput.
Schema id = fork index << 8 | revision; see docs/specs/stateless-input.md, the contract with the guest.
Wire form of the result: SSZ of StatelessValidationResult, always 43 bytes.

Sources
-------
- EIP-8025 and execution-specs, branch projects/zkevm, tests-zkevm v0.8.x: containers, limits, result.
- EIP-7495, EIP-7916, EIP-7688: progressive containers and lists.
- Fork indices: paradigmxyz/stateless from Paris on, continued downwards in the order of execution-specs' forks.
- Before Paris there is no NewPayloadRequest. LegacyBlock, a container of this project, takes its place.

SSZ is done by eth-remerkleable. Annotations of SSZ classes are read at run time: no `from __future__ import
annotations`.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import BinaryIO

from remerkleable.basic import byte, uint64, uint256
from remerkleable.byte_arrays import ByteList, ByteVector
from remerkleable.complex import Container, List
from remerkleable.core import View, pack_bytes_to_chunks
from remerkleable.progressive import ProgressiveContainer, ProgressiveList, subtree_fill_progressive
from remerkleable.tree import PairNode

from witness.errors import LimitExceeded, SchemaError

REVISION_BOUND = 0x01
"""Known chain ids: the fork must be the one that the chain's schedule gives."""
REVISION_UNBOUND = 0x81
"""The schema id alone chooses the fork, on every chain id, and the DAO fork's irregular state change is not made."""
REVISION_UNBOUND_RLP = 0x82
"""As REVISION_UNBOUND, and the request is a LegacyBlock in every fork: for blocks of test suites that have no request."""

SCHEMA_ID_BYTES = 2
RESULT_BYTES = 43

MAX_WITNESS_HEADERS = 256
MAX_BYTES_PER_WITNESS_NODE = 1 << 10
MAX_BYTES_PER_CODE = 1 << 16
MAX_BYTES_PER_HEADER = 1 << 10
PUBLIC_KEY_BYTES = 65

# Limits of this implementation, not of the schema: they bound time and memory on hostile input.
MAX_INPUT_BYTES = 128 << 20
MAX_STATE_NODES = 1 << 20
MAX_CODES = 1 << 17
MAX_TRANSACTIONS = 1 << 16
MAX_WITHDRAWALS = 1 << 16
MAX_REQUESTS = 1 << 16
MAX_VERSIONED_HASHES = 1 << 16


class Fork(IntEnum):
    """
    Execution-layer forks in activation order; the value is the fork index of the schema id.

    CONSTANTINOPLE is Constantinople with Petersburg, as it went live on mainnet (EIP-1283 never active).
    0x15 is Amsterdam's index and names no fork here. BPO3 and BPO4 exist in fixture suites only, on unbound inputs.
    """

    FRONTIER = 0x01
    HOMESTEAD = 0x02
    DAO_FORK = 0x03
    TANGERINE_WHISTLE = 0x04
    SPURIOUS_DRAGON = 0x05
    BYZANTIUM = 0x06
    CONSTANTINOPLE = 0x07
    ISTANBUL = 0x08
    MUIR_GLACIER = 0x09
    BERLIN = 0x0A
    LONDON = 0x0B
    ARROW_GLACIER = 0x0C
    GRAY_GLACIER = 0x0D
    PARIS = 0x0E
    SHANGHAI = 0x0F
    CANCUN = 0x10
    PRAGUE = 0x11
    OSAKA = 0x12
    BPO1 = 0x13
    BPO2 = 0x14
    BPO3 = 0x16
    BPO4 = 0x17

    @property
    def label(self) -> str:
        """Lower-case name, words joined by underscores, e.g. "spurious_dragon"."""
        return self.name.lower()


def schema_id_of(fork: Fork, revision: int) -> int:
    """fork index << 8 | revision. Raises SchemaError for an unknown revision, for BPO3 and BPO4 with revision 0x01."""
    if revision not in (REVISION_BOUND, REVISION_UNBOUND):
        raise SchemaError(f"unknown schema revision 0x{revision:02x}")
    if fork in (Fork.BPO3, Fork.BPO4) and revision != REVISION_UNBOUND:
        raise SchemaError(f"{fork.label} exists with revision 0x{REVISION_UNBOUND:02x} only")
    return fork.value << 8 | revision


def split_schema_id(schema_id: int) -> tuple[Fork, int]:
    """The fork and the revision that a schema id names. Raises SchemaError where either is unknown."""
    index, revision = schema_id >> 8, schema_id & 0xFF
    if index not in Fork._value2member_map_:
        raise SchemaError(f"unknown schema id 0x{schema_id:04x}")
    schema_id_of(Fork(index), revision)
    return Fork(index), revision


# --- SSZ types -------------------------------------------------------------------------------------------------------


class ByteString(ProgressiveList[byte]):
    """
    ProgressiveByteList with whole-buffer decoding and encoding.

    Merkleises as ProgressiveList[byte] (EIP-7916). The library's own class walks byte by byte,
    which takes seconds on a transaction of a megabyte.
    """

    def __new__(cls, *args, **kwargs):
        if len(args) == 1 and isinstance(args[0], (bytes, bytearray)):
            contents = bytes(args[0])
            backing = PairNode(
                subtree_fill_progressive(pack_bytes_to_chunks(contents)), uint256(len(contents)).get_backing()
            )
            return super().__new__(cls, backing=backing)
        return super().__new__(cls, *args, **kwargs)

    @classmethod
    def coerce_view(cls, value):
        return value if isinstance(value, cls) else cls(bytes(value))

    @classmethod
    def deserialize(cls, stream: BinaryIO, scope: int):
        return cls(stream.read(scope))

    def serialize(self, stream: BinaryIO) -> int:
        contents = self.contents()
        stream.write(contents)
        return len(contents)

    def encode_bytes(self) -> bytes:
        return self.contents()

    def contents(self) -> bytes:
        """The bytes of this list."""
        node, depth, chunks = self.get_backing().get_left(), 0, []
        remaining = length = self.length()
        while remaining > 0:
            capacity = 32 << depth
            chunks.extend(_leaves(node.get_left(), depth, -(-min(capacity, remaining) // 32)))
            node, depth, remaining = node.get_right(), depth + 2, remaining - capacity
        return b"".join(chunks)[:length]


def _leaves(node, depth: int, count: int):
    """The first count chunks, 32 bytes each, of a subtree of 2^depth chunks."""
    stack = [(node, depth)]
    while count > 0:
        node, depth = stack.pop()
        if depth == 0:
            count -= 1
            yield bytes(node.merkle_root())
        else:
            stack.append((node.get_right(), depth - 1))
            stack.append((node.get_left(), depth - 1))


def _bounded(element: type[View], most: int) -> type[View]:
    """ProgressiveList[element] that refuses to decode more than `most` elements."""

    class Bounded(ProgressiveList[element]):
        @classmethod
        def is_valid_count(cls, count: int) -> bool:
            return 0 <= count <= most

    Bounded.__name__ = f"ProgressiveList[{element.__name__}]"
    return Bounded


class Withdrawal(Container):
    """A withdrawal of the consensus layer (EIP-4895). amount is in Gwei."""

    index: uint64
    validator_index: uint64
    address: ByteVector[20]
    amount: uint64


class DepositRequest(Container):
    """EIP-6110. 192 bytes."""

    pubkey: ByteVector[48]
    withdrawal_credentials: ByteVector[32]
    amount: uint64
    signature: ByteVector[96]
    index: uint64


class WithdrawalRequest(Container):
    """EIP-7002. 76 bytes."""

    source_address: ByteVector[20]
    validator_pubkey: ByteVector[48]
    amount: uint64


class ConsolidationRequest(Container):
    """EIP-7251. 116 bytes."""

    source_address: ByteVector[20]
    source_pubkey: ByteVector[48]
    target_pubkey: ByteVector[48]


Transactions = _bounded(ByteString, MAX_TRANSACTIONS)
Withdrawals = _bounded(Withdrawal, MAX_WITHDRAWALS)
VersionedHashes = _bounded(ByteVector[32], MAX_VERSIONED_HASHES)
DepositRequests = _bounded(DepositRequest, MAX_REQUESTS)
WithdrawalRequests = _bounded(WithdrawalRequest, MAX_REQUESTS)
ConsolidationRequests = _bounded(ConsolidationRequest, MAX_REQUESTS)


class ExecutionRequests(ProgressiveContainer(active_fields=[1] * 3)):
    """EIP-7685 requests as typed lists (Electra and Fulu)."""

    deposits: DepositRequests
    withdrawals: WithdrawalRequests
    consolidations: ConsolidationRequests


class ExecutionPayloadParis(ProgressiveContainer(active_fields=[1] * 14)):
    """Payload of Paris."""

    parent_hash: ByteVector[32]
    fee_recipient: ByteVector[20]
    state_root: ByteVector[32]
    receipts_root: ByteVector[32]
    logs_bloom: ByteVector[256]
    prev_randao: ByteVector[32]
    block_number: uint64
    gas_limit: uint64
    gas_used: uint64
    timestamp: uint64
    extra_data: ByteList[32]
    base_fee_per_gas: uint256
    block_hash: ByteVector[32]
    transactions: Transactions


class ExecutionPayloadShanghai(ProgressiveContainer(active_fields=[1] * 15)):
    """Payload of Shanghai: withdrawals added."""

    parent_hash: ByteVector[32]
    fee_recipient: ByteVector[20]
    state_root: ByteVector[32]
    receipts_root: ByteVector[32]
    logs_bloom: ByteVector[256]
    prev_randao: ByteVector[32]
    block_number: uint64
    gas_limit: uint64
    gas_used: uint64
    timestamp: uint64
    extra_data: ByteList[32]
    base_fee_per_gas: uint256
    block_hash: ByteVector[32]
    transactions: Transactions
    withdrawals: Withdrawals


class ExecutionPayloadCancun(ProgressiveContainer(active_fields=[1] * 17)):
    """Payload of Cancun to BPO2: blob gas fields added."""

    parent_hash: ByteVector[32]
    fee_recipient: ByteVector[20]
    state_root: ByteVector[32]
    receipts_root: ByteVector[32]
    logs_bloom: ByteVector[256]
    prev_randao: ByteVector[32]
    block_number: uint64
    gas_limit: uint64
    gas_used: uint64
    timestamp: uint64
    extra_data: ByteList[32]
    base_fee_per_gas: uint256
    block_hash: ByteVector[32]
    transactions: Transactions
    withdrawals: Withdrawals
    blob_gas_used: uint64
    excess_blob_gas: uint64


class NewPayloadRequestParis(Container):
    """Request of Paris."""

    execution_payload: ExecutionPayloadParis


class NewPayloadRequestShanghai(Container):
    """Request of Shanghai."""

    execution_payload: ExecutionPayloadShanghai


class NewPayloadRequestCancun(Container):
    """Request of Cancun."""

    execution_payload: ExecutionPayloadCancun
    versioned_hashes: VersionedHashes
    parent_beacon_block_root: ByteVector[32]


class NewPayloadRequestPrague(Container):
    """Request of Prague to BPO2."""

    execution_payload: ExecutionPayloadCancun
    versioned_hashes: VersionedHashes
    parent_beacon_block_root: ByteVector[32]
    execution_requests: ExecutionRequests


class LegacyBlock(Container):
    """Stands where NewPayloadRequest stands, for forks before Paris. block_rlp: canonical RLP of the block."""

    block_rlp: ByteString


NewPayloadRequest = (
    LegacyBlock | NewPayloadRequestParis | NewPayloadRequestShanghai | NewPayloadRequestCancun | NewPayloadRequestPrague
)

StateNodes = _bounded(ByteList[MAX_BYTES_PER_WITNESS_NODE], MAX_STATE_NODES)
Codes = _bounded(ByteList[MAX_BYTES_PER_CODE], MAX_CODES)
PublicKeys = _bounded(ByteVector[PUBLIC_KEY_BYTES], MAX_TRANSACTIONS)
Headers = List[ByteList[MAX_BYTES_PER_HEADER], MAX_WITNESS_HEADERS]


class ExecutionWitnessSsz(Container):
    """SSZ form of ExecutionWitness."""

    state: StateNodes
    codes: Codes
    headers: Headers


def request_type(fork: Fork) -> type[Container]:
    """The SSZ class of the request of a fork."""
    if fork < Fork.PARIS:
        return LegacyBlock
    if fork == Fork.PARIS:
        return NewPayloadRequestParis
    if fork == Fork.SHANGHAI:
        return NewPayloadRequestShanghai
    if fork == Fork.CANCUN:
        return NewPayloadRequestCancun
    return NewPayloadRequestPrague


def _input_type(request: type[Container]) -> type[Container]:
    class StatelessInputSsz(Container):
        new_payload_request: request
        witness: ExecutionWitnessSsz
        chain_id: uint64
        public_keys: PublicKeys

    return StatelessInputSsz


_INPUT_TYPES = {
    kind: _input_type(kind)
    for kind in (
        LegacyBlock,
        NewPayloadRequestParis,
        NewPayloadRequestShanghai,
        NewPayloadRequestCancun,
        NewPayloadRequestPrague,
    )
}


# --- values ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExecutionWitness:
    """
    What a stateless validator is given besides the block.

    state: RLP of trie nodes, each at most 1024 bytes; codes: bytecodes, each at most 65536 bytes;
    headers: RLP of ancestor headers, at most 256 of at most 1024 bytes, oldest first, the last the parent.
    """

    state: tuple[bytes, ...]
    codes: tuple[bytes, ...]
    headers: tuple[bytes, ...]


@dataclass(frozen=True)
class StatelessInput:
    """
    One block, its execution witness, its chain and the senders' keys.

    fork and revision: name the schema; request: SSZ view, of the class request_type(fork); chain_id: 0..2^64-1;
    public_keys: 65 bytes each (0x04, x, y), one per transaction in the order of the block.
    """

    fork: Fork
    request: NewPayloadRequest
    witness: ExecutionWitness
    chain_id: int
    public_keys: tuple[bytes, ...]
    revision: int = REVISION_BOUND

    @property
    def schema_id(self) -> int:
        """Schema id, fork index << 8 | revision."""
        return schema_id_of(self.fork, self.revision)

    def request_root(self) -> bytes:
        """hash_tree_root of the request, 32 bytes."""
        return new_payload_request_root(self.request)

    def with_witness(self, witness: ExecutionWitness) -> "StatelessInput":
        """The same input with another witness."""
        return replace(self, witness=witness)


@dataclass(frozen=True)
class StatelessValidationResult:
    """The 43 public bytes: root 32, flag 1, chain id u64 little endian, schema id u16 little endian."""

    new_payload_request_root: bytes
    successful_validation: bool
    chain_id: int
    schema_id: int


UNDECODABLE_RESULT = bytes(RESULT_BYTES)
"""The result of an input that does not decode: 43 zero bytes."""


def new_payload_request_root(request: NewPayloadRequest) -> bytes:
    """hash_tree_root (SHA-256) of a request or of a LegacyBlock. 32 bytes."""
    return bytes(request.hash_tree_root())


def encode_input(stateless_input: StatelessInput) -> bytes:
    """
    Schema id and SSZ of an input.

    Raises SchemaError where a part does not fit the schema (a node over 1024 bytes, a key not of 65 bytes, a request
    of another fork), LimitExceeded where the encoding is over MAX_INPUT_BYTES.
    """
    request = stateless_input.request
    kind = request_type(stateless_input.fork)
    if not isinstance(request, kind):
        raise SchemaError(f"fork {stateless_input.fork.label} takes {kind.__name__}, not {type(request).__name__}")
    witness = stateless_input.witness
    _check_elements("state node", witness.state, MAX_BYTES_PER_WITNESS_NODE, MAX_STATE_NODES)
    _check_elements("code", witness.codes, MAX_BYTES_PER_CODE, MAX_CODES)
    _check_elements("header", witness.headers, MAX_BYTES_PER_HEADER, MAX_WITNESS_HEADERS)
    _check_elements("public key", stateless_input.public_keys, PUBLIC_KEY_BYTES, MAX_TRANSACTIONS)
    if not 0 <= stateless_input.chain_id < 1 << 64:
        raise SchemaError(f"chain id {stateless_input.chain_id} is not a 64-bit number")
    if any(len(key) != PUBLIC_KEY_BYTES for key in stateless_input.public_keys):
        raise SchemaError(f"a public key is not of {PUBLIC_KEY_BYTES} bytes")
    total = sum(map(len, (*witness.state, *witness.codes, *witness.headers)))
    if total > MAX_INPUT_BYTES:
        raise LimitExceeded(f"witness of {total} bytes exceeds {MAX_INPUT_BYTES}")
    encoded = encode_parts(
        stateless_input.schema_id,
        request.encode_bytes(),
        (witness.state, witness.codes, witness.headers),
        stateless_input.chain_id,
        stateless_input.public_keys,
    )
    if len(encoded) > MAX_INPUT_BYTES:
        raise LimitExceeded(f"input of {len(encoded)} bytes exceeds {MAX_INPUT_BYTES}")
    return encoded


def encode_parts(
    schema_id: int,
    request: bytes,
    witness: Sequence[Sequence[bytes]],
    chain_id: int,
    public_keys: Sequence[bytes],
) -> bytes:
    """
    Schema id and SSZ from parts that are known to fit the schema: the request's SSZ; state, codes and headers.

    Laid out here, for a witness has thousands of small byte strings and views of them take the library long to make.
    """
    body = _variable_parts([_variable_parts(part) for part in witness])
    at = _INPUT_FIXED_BYTES + len(request)
    fixed = (
        _INPUT_FIXED_BYTES.to_bytes(4, "little")
        + at.to_bytes(4, "little")
        + chain_id.to_bytes(8, "little")
        + (at + len(body)).to_bytes(4, "little")
    )
    return b"".join([schema_id.to_bytes(SCHEMA_ID_BYTES, "big"), fixed, request, body, *public_keys])


_INPUT_FIXED_BYTES = 20
"""StatelessInput: three offsets of 4 bytes and the chain id."""


def _variable_parts(parts: Sequence[bytes]) -> bytes:
    """SSZ of a list, or of a container's fields, whose elements are all of variable size: offsets, then contents."""
    at = 4 * len(parts)
    offsets = []
    for part in parts:
        offsets.append(at.to_bytes(4, "little"))
        at += len(part)
    return b"".join([*offsets, *parts])


def decode_input(encoded: bytes) -> StatelessInput:
    """
    The input that `encoded` is the one canonical encoding of.

    Raises LimitExceeded over MAX_INPUT_BYTES, SchemaError for an unknown schema id and for SSZ that is malformed or
    not canonical (gaps before an offset's target, trailing bytes).
    """
    if len(encoded) > MAX_INPUT_BYTES:
        raise LimitExceeded(f"input of {len(encoded)} bytes exceeds {MAX_INPUT_BYTES}")
    if len(encoded) < SCHEMA_ID_BYTES:
        raise SchemaError("input is shorter than its schema id")
    fork, revision = split_schema_id(int.from_bytes(encoded[:SCHEMA_ID_BYTES], "big"))
    body = bytes(encoded[SCHEMA_ID_BYTES:])
    view = _decode(_INPUT_TYPES[request_type(fork)], body)
    # The library tolerates gaps and unread tails; one byte form per value is required here.
    if view.encode_bytes() != body:
        raise SchemaError("input is not canonical SSZ")
    return StatelessInput(
        fork=fork,
        request=view.new_payload_request,
        witness=ExecutionWitness(
            state=tuple(bytes(node) for node in view.witness.state.readonly_iter()),
            codes=tuple(bytes(code) for code in view.witness.codes.readonly_iter()),
            headers=tuple(bytes(header) for header in view.witness.headers.readonly_iter()),
        ),
        chain_id=int(view.chain_id),
        public_keys=tuple(bytes(key) for key in view.public_keys.readonly_iter()),
        revision=revision,
    )


def encode_result(result: StatelessValidationResult) -> bytes:
    """The 43 bytes of a result. Raises SchemaError where a field does not fit."""
    root = result.new_payload_request_root
    if len(root) != 32 or not 0 <= result.chain_id < 1 << 64 or not 0 <= result.schema_id < 1 << 16:
        raise SchemaError("a field of the result does not fit its type")
    return (
        bytes(root)
        + bytes([bool(result.successful_validation)])
        + result.chain_id.to_bytes(8, "little")
        + result.schema_id.to_bytes(2, "little")
    )


def decode_result(encoded: bytes) -> StatelessValidationResult:
    """The result in 43 bytes. Raises SchemaError for another length or a flag that is neither 0 nor 1."""
    if len(encoded) != RESULT_BYTES:
        raise SchemaError(f"a result has {RESULT_BYTES} bytes, not {len(encoded)}")
    if encoded[32] > 1:
        raise SchemaError(f"flag byte {encoded[32]} is neither 0 nor 1")
    return StatelessValidationResult(
        new_payload_request_root=bytes(encoded[:32]),
        successful_validation=encoded[32] == 1,
        chain_id=int.from_bytes(encoded[33:41], "little"),
        schema_id=int.from_bytes(encoded[41:43], "little"),
    )


def _decode(kind: type[Container], body: bytes) -> Container:
    # The library raises bare Exception, ValueError, AssertionError and others on bad bytes, so all are caught here.
    try:
        stream = io.BytesIO(body)
        view = kind.deserialize(stream, len(body))
    except Exception as error:
        raise SchemaError(f"SSZ of {kind.__name__}: {str(error)[:200] or type(error).__name__}") from error
    if stream.read(1):
        raise SchemaError("SSZ has trailing bytes")
    return view


def _check_elements(name: str, elements: tuple[bytes, ...], most_bytes: int, most_elements: int) -> None:
    if len(elements) > most_elements:
        raise SchemaError(f"{len(elements)} {name}s exceed {most_elements}")
    longest = max(map(len, elements), default=0)
    if longest > most_bytes:
        raise SchemaError(f"a {name} of {longest} bytes exceeds {most_bytes}")
