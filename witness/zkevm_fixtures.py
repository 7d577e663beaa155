"""
Importer of the zkevm v0.3.3 fixtures: blockchain tests with an execution witness and the stateless input and output of
their blocks, in the schema of that time. All are of Amsterdam, which nothing here executes.

    for name, contents in tests:
        test = import_test(name, contents)
        test.blocks[0].witness, test.blocks[0].result.successful_validation

The old schema: no schema id; StatelessInput = Container{new_payload_request, witness, chain_config: Container{chain_id},
public_keys}; the request's execution_requests are a list of byte strings (EIP-7685); lists are List, not
ProgressiveList, which the wire does not show. The result is 41 bytes: root, flag, chain id. The root is of the old list
types and is taken as stated.

What an import checks: strict SSZ, one byte form; the witness inside the input is the one beside it; the block hash of
the payload is that of the header that its fields make, and of the block's RLP; input and result have one chain id.

Source: tests-zkevm@v0.3.3 of execution-spec-tests; EIP-8025; EIP-7928 and EIP-7843 (the two new header fields).
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import rlp
from eth_hash.auto import keccak
from remerkleable.basic import uint64, uint256
from remerkleable.byte_arrays import ByteList, ByteVector
from remerkleable.complex import Container, List

from witness import schema
from witness.block import EMPTY_OMMERS_HASH, requests_hash, split_list
from witness.errors import FormatError, SchemaError, WitnessError
from witness.record import GenesisAccount, accounts_from_alloc
from witness.schema import ExecutionWitness, Withdrawal
from witness.trie import int_to_bytes, ordered_trie_root

NETWORK = "Amsterdam"
OLD_RESULT_BYTES = 41
MAX_BLOCKS = 1 << 10
MAX_BYTES_PER_LIST = 1 << 24


class ExecutionPayloadAmsterdam(Container):
    """Payload of Amsterdam: block access list and slot number added."""

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
    transactions: List[ByteList[MAX_BYTES_PER_LIST], schema.MAX_TRANSACTIONS]
    withdrawals: List[Withdrawal, schema.MAX_WITHDRAWALS]
    blob_gas_used: uint64
    excess_blob_gas: uint64
    block_access_list: ByteList[MAX_BYTES_PER_LIST]
    slot_number: uint64


class NewPayloadRequestAmsterdam(Container):
    """Request of the old schema. execution_requests: EIP-7685, type byte first."""

    execution_payload: ExecutionPayloadAmsterdam
    versioned_hashes: List[ByteVector[32], schema.MAX_VERSIONED_HASHES]
    parent_beacon_block_root: ByteVector[32]
    execution_requests: List[ByteList[MAX_BYTES_PER_LIST], 256]


class OldChainConfig(Container):
    """What the old schema says of the chain."""

    chain_id: uint64


class OldExecutionWitness(Container):
    """State nodes, codes and headers."""

    state: List[ByteList[schema.MAX_BYTES_PER_WITNESS_NODE], schema.MAX_STATE_NODES]
    codes: List[ByteList[schema.MAX_BYTES_PER_CODE], schema.MAX_CODES]
    headers: schema.Headers


class OldStatelessInput(Container):
    """The input of the old schema."""

    new_payload_request: NewPayloadRequestAmsterdam
    witness: OldExecutionWitness
    chain_config: OldChainConfig
    public_keys: List[ByteVector[schema.PUBLIC_KEY_BYTES], schema.MAX_TRANSACTIONS]


@dataclass(frozen=True)
class OldResult:
    """The 41 bytes. new_payload_request_root: 32 bytes, of the old list types."""

    new_payload_request_root: bytes
    successful_validation: bool
    chain_id: int


@dataclass(frozen=True)
class ZkevmBlock:
    """
    One block of a test.

    request: SSZ view; witness: the one beside the input, as given, order and defects included; result: the expected
    one; block_rlp: the block as the test gives it, 23 header fields; public_keys: 65 bytes each, none in these tests;
    transactions: EIP-2718 envelopes; withdrawals: (index, validator, address, amount in Gwei).
    """

    request: NewPayloadRequestAmsterdam
    witness: ExecutionWitness
    chain_id: int
    public_keys: tuple[bytes, ...]
    result: OldResult
    block_rlp: bytes

    @property
    def transactions(self) -> tuple[bytes, ...]:
        """EIP-2718 envelopes."""
        return tuple(bytes(one) for one in self.request.execution_payload.transactions.readonly_iter())


@dataclass(frozen=True)
class ZkevmTest:
    """A test: name, accounts of the genesis state, RLP of the genesis block, blocks in order."""

    name: str
    accounts: dict[bytes, GenesisAccount]
    genesis_rlp: bytes
    blocks: tuple[ZkevmBlock, ...]

    @property
    def family(self) -> str:
        """The file and function of the test, without parameters: "test_witness_headers.py::test_..."."""
        return self.name.rpartition("/")[2].partition("[")[0]


def decode_old_input(encoded: bytes) -> OldStatelessInput:
    """The view that `encoded` is the one canonical encoding of. Raises SchemaError."""
    if len(encoded) > schema.MAX_INPUT_BYTES:
        raise SchemaError(f"input of {len(encoded)} bytes exceeds {schema.MAX_INPUT_BYTES}")
    # The library raises bare Exception, ValueError, AssertionError and others on bad bytes, so all are caught here.
    try:
        view = OldStatelessInput.deserialize(io.BytesIO(encoded), len(encoded))
    except Exception as error:
        raise SchemaError(f"SSZ of the old StatelessInput: {str(error)[:200] or type(error).__name__}") from error
    if view.encode_bytes() != encoded:
        raise SchemaError("input is not canonical SSZ")
    return view


def decode_old_result(encoded: bytes) -> OldResult:
    """The result in 41 bytes. Raises SchemaError for another length or a flag that is neither 0 nor 1."""
    if len(encoded) != OLD_RESULT_BYTES or encoded[32] > 1:
        raise SchemaError(f"an old result has {OLD_RESULT_BYTES} bytes and a flag of 0 or 1")
    return OldResult(bytes(encoded[:32]), encoded[32] == 1, int.from_bytes(encoded[33:], "little"))


def import_test(name: str, contents: object) -> ZkevmTest:
    """
    The test in a JSON object of the fixtures.

    Raises FormatError where the object is not of that form, SchemaError for bytes that do not decode, BlockError,
    LimitExceeded, and FormatError where two parts of a block contradict each other.
    """
    if not isinstance(contents, dict) or contents.get("network") != NETWORK:
        raise FormatError(f"{name[:200]} is not a blockchain test of {NETWORK}")
    blocks = contents.get("blocks")
    if not isinstance(blocks, list) or not 0 < len(blocks) <= MAX_BLOCKS:
        raise FormatError(f"{name[:200]} has not 1 to {MAX_BLOCKS} blocks")
    imported = []
    for index, block in enumerate(blocks):
        try:
            imported.append(_import_block(block))
        except WitnessError as error:
            raise type(error)(f"{name[:200]}, block {index}: {error}") from error
    genesis_rlp = _hex(contents.get("genesisRLP"), "genesisRLP")
    return ZkevmTest(name, accounts_from_alloc(contents.get("pre")), genesis_rlp, tuple(imported))


def _import_block(given: object) -> ZkevmBlock:
    if not isinstance(given, dict) or not isinstance(given.get("executionWitness"), dict):
        raise FormatError("a block is an object with an executionWitness")
    view = decode_old_input(_hex(given.get("statelessInputBytes"), "statelessInputBytes"))
    result = decode_old_result(_hex(given.get("statelessOutputBytes"), "statelessOutputBytes"))
    witness = ExecutionWitness(
        *(
            tuple(bytes(element) for element in getattr(view.witness, part).readonly_iter())
            for part in ("state", "codes", "headers")
        )
    )
    beside = given["executionWitness"]
    if witness != ExecutionWitness(*(_hex_list(beside.get(part), part) for part in ("state", "codes", "headers"))):
        raise FormatError("the witness in the input is not the one beside it")
    chain_id = int(view.chain_config.chain_id)
    if chain_id != result.chain_id:
        raise FormatError(f"the input is of chain {chain_id}, the result of chain {result.chain_id}")
    block_rlp = _hex(given.get("rlp"), "rlp")
    header = amsterdam_header(view.new_payload_request)
    if keccak(header) != bytes(view.new_payload_request.execution_payload.block_hash):
        raise FormatError("the payload's block hash is not that of its fields")
    if split_list(block_rlp, 5, "block")[0] != header:
        raise FormatError("the block's RLP has another header than the payload")
    return ZkevmBlock(
        request=view.new_payload_request,
        witness=witness,
        chain_id=chain_id,
        public_keys=tuple(bytes(key) for key in view.public_keys.readonly_iter()),
        result=result,
        block_rlp=block_rlp,
    )


def amsterdam_header(request: NewPayloadRequestAmsterdam) -> bytes:
    """RLP of the header, 23 fields, that a request of Amsterdam makes."""
    payload = request.execution_payload
    transactions = (bytes(one) for one in payload.transactions.readonly_iter())
    requests = [bytes(one) for one in request.execution_requests.readonly_iter()]
    fields: Sequence[Any] = (
        payload.parent_hash,
        EMPTY_OMMERS_HASH,
        payload.fee_recipient,
        payload.state_root,
        ordered_trie_root(transactions),
        payload.receipts_root,
        payload.logs_bloom,
        0,
        int(payload.block_number),
        int(payload.gas_limit),
        int(payload.gas_used),
        int(payload.timestamp),
        payload.extra_data,
        payload.prev_randao,
        bytes(8),
        int(payload.base_fee_per_gas),
        ordered_trie_root(_withdrawal_rlp(one) for one in payload.withdrawals.readonly_iter()),
        int(payload.blob_gas_used),
        int(payload.excess_blob_gas),
        request.parent_beacon_block_root,
        requests_hash(requests),
        keccak(bytes(payload.block_access_list)),
        int(payload.slot_number),
    )
    return rlp.encode([int_to_bytes(field) if isinstance(field, int) else bytes(field) for field in fields])


def _withdrawal_rlp(withdrawal: Withdrawal) -> bytes:
    numbers = int(withdrawal.index), int(withdrawal.validator_index), int(withdrawal.amount)
    index, validator_index, amount = map(int_to_bytes, numbers)
    return rlp.encode([index, validator_index, bytes(withdrawal.address), amount])


def _hex(value: object, what: str) -> bytes:
    if not isinstance(value, str) or value[:2] != "0x" or len(value) > 2 * schema.MAX_INPUT_BYTES + 2:
        raise FormatError(f"{what} is not hex")
    try:
        return bytes.fromhex(value[2:])
    except ValueError as error:
        raise FormatError(f"{what} is not hex") from error


def _hex_list(value: object, what: str) -> tuple[bytes, ...]:
    if not isinstance(value, list) or len(value) > schema.MAX_STATE_NODES:
        raise FormatError(f"{what} is not a list of hex strings")
    return tuple(_hex(element, f"an element of {what}") for element in value)
