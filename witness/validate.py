"""
The oracle: validates a StatelessInput from its witness alone, with EELS.

The order of the checks is that of docs/specs/stateless-input.md, and so are verdicts. A reason's text is the oracle's
own; its class (ReasonClass) is what is compared with the guest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise

from ethereum.exceptions import EthereumException, InvalidTransaction
from ethereum_rlp import rlp as eels_rlp
from ethereum_rlp.exceptions import RLPException
from ethereum_types.numeric import Uint

from witness import schema
from witness.block import (
    EMPTY_OMMERS_HASH,
    Block,
    Header,
    header_fields_of,
    ommers_hash,
    request_to_block,
    requests_hash,
)
from witness.chains import BLOB_SCHEDULES, KNOWN_BY_ID, MAINNET_DEPOSIT_CONTRACT
from witness.eels import LOCK, CodeStore, EelsFork, LazyState, load_fork
from witness.errors import (
    BlockError,
    ChainError,
    LimitExceeded,
    MissingCode,
    MissingHeader,
    MissingNode,
    MissingWitness,
    SchemaError,
    TrieError,
    WitnessError,
)
from witness.schema import (
    REVISION_BOUND,
    REVISION_UNBOUND,
    ExecutionWitness,
    Fork,
    StatelessInput,
    StatelessValidationResult,
)
from witness.trie import NodeStore, WitnessState, ordered_trie_root

DAO_FORK_BLOCK = 1_920_000
MAX_BLOB_PRICE_EXPONENT = 89
"""e^89 is over 2^128."""

MAX_OMMER_DEPTH = 7
"""Ancestors back to the seventh: the parents of ommers."""


class ReasonClass(Enum):
    """Why an input does not validate."""

    UNDECODABLE = "undecodable"
    PUBLIC_KEYS = "public keys"
    BLOCK = "block"
    FORK = "fork"
    HEADERS = "headers"
    MISSING_NODE = "missing node"
    MISSING_CODE = "missing code"
    MISSING_HEADER = "missing header"
    MALFORMED_NODE = "malformed node"
    TRANSACTION = "transaction"
    CONSENSUS = "consensus"
    """A header rule, an ommer, a withdrawal, gas, receipts, bloom, requests or the post-state root."""


class Invalid(WitnessError):
    """The input does not validate. reason_class: ReasonClass; post_state_root: 32 bytes if it was computed."""

    def __init__(self, reason_class: ReasonClass, reason: str) -> None:
        self.reason_class = reason_class
        super().__init__(reason)


@dataclass(frozen=True)
class Executed:
    """
    What executing a valid block yields besides the verdict.

    requests: EIP-7685 requests; receipts: encoded receipts (EIP-2718), one per transaction; post_state_root: 32 bytes;
    touched: the witness reduced to the nodes, codes and headers that were read; written: new trie nodes by hash;
    new_codes: codes that the block created.
    """

    block: Block
    requests: tuple[bytes, ...]
    receipts: tuple[bytes, ...]
    gas_used: int
    post_state_root: bytes
    touched: ExecutionWitness
    written: Mapping[bytes, bytes] = field(repr=False)
    new_codes: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True)
class Verdict:
    """
    The outcome of validate.

    encoded: the 43 bytes; result: the same decoded, all zero for an input that does not decode; reason_class and
    reason: None where the flag is 1; executed: None where it is 0; error: the typed refusal, None where the flag is 1.
    """

    encoded: bytes
    result: StatelessValidationResult
    reason_class: ReasonClass | None = None
    reason: str | None = None
    executed: Executed | None = None
    error: WitnessError | None = field(default=None, compare=False)

    @property
    def valid(self) -> bool:
        """The flag."""
        return self.result.successful_validation


def validate(given: bytes | StatelessInput) -> Verdict:
    """
    The verdict on an input, given as its canonical bytes or decoded.

    Time: as EELS needs, about 1 to 30 s for a mainnet block. It grows with the gas that the block's transactions buy,
    which a
    hostile input sets freely: whoever validates unknown inputs bounds the time from outside.
    Raises LimitExceeded where the machine's stack is too small for the call depth, or its memory for what the block buys; no other WitnessError.
    """
    if isinstance(given, StatelessInput):
        stateless_input = given
    else:
        try:
            stateless_input = schema.decode_input(given)
        except (SchemaError, LimitExceeded) as error:
            result = schema.decode_result(schema.UNDECODABLE_RESULT)
            return Verdict(schema.UNDECODABLE_RESULT, result, ReasonClass.UNDECODABLE, str(error), None, error)
    executed, refusal = None, None
    try:
        executed = execute_input(stateless_input)
    except RecursionError as error:
        raise LimitExceeded("the call depth of this block exceeds Python's recursion limit") from error
    except MemoryError as error:
        raise LimitExceeded("this block takes more memory than there is") from error
    except WitnessError as error:
        refusal = error
    result = StatelessValidationResult(
        new_payload_request_root=stateless_input.request_root(),
        successful_validation=refusal is None,
        chain_id=stateless_input.chain_id,
        schema_id=stateless_input.schema_id,
    )
    encoded = schema.encode_result(result)
    if refusal is None:
        return Verdict(encoded, result, executed=executed)
    return Verdict(encoded, result, reason_class_of(refusal), str(refusal), None, refusal)


def reason_class_of(error: WitnessError) -> ReasonClass:
    """The class of a refusal."""
    if isinstance(error, Invalid):
        return error.reason_class
    by_type = (
        (MissingNode, ReasonClass.MISSING_NODE),
        (MissingCode, ReasonClass.MISSING_CODE),
        (MissingHeader, ReasonClass.MISSING_HEADER),
        (TrieError, ReasonClass.MALFORMED_NODE),
        (ChainError, ReasonClass.FORK),
    )
    return next((reason for kind, reason in by_type if isinstance(error, kind)), ReasonClass.BLOCK)


def execute_input(stateless_input: StatelessInput) -> Executed:
    """Validates and executes; raises the WitnessError that names the first failed check."""
    fork, request = stateless_input.fork, stateless_input.request
    transactions = _transaction_count(request)
    if len(stateless_input.public_keys) != transactions:
        raise Invalid(
            ReasonClass.PUBLIC_KEYS, f"{len(stateless_input.public_keys)} public keys for {transactions} transactions"
        )
    block = request_to_block(request, fork)
    check_shape(block, fork)
    check_fork(stateless_input.chain_id, stateless_input.revision, fork, block.header)
    return execute_block(block, stateless_input.witness, stateless_input.chain_id, fork, stateless_input.revision)


def _transaction_count(request: schema.NewPayloadRequest) -> int:
    if isinstance(request, schema.LegacyBlock):
        return len(Block.decode(request.block_rlp.contents()).transactions)
    return request.execution_payload.transactions.length()


def check_shape(block: Block, fork: Fork) -> None:
    """Raises BlockError where the block has not the fields of its fork."""
    fields = sum(value is not None for value in vars_of(block.header))
    if fields != header_fields_of(fork) or (block.withdrawals is not None) != (fork >= Fork.SHANGHAI):
        raise BlockError(f"the block has not the fields of {fork.label}")


def vars_of(header: Header) -> list[object]:
    """Values of the header's fields, None where absent."""
    return [getattr(header, name) for name in header.__dataclass_fields__]


def check_fork(chain_id: int, revision: int, fork: Fork, header: Header) -> None:
    """Revision 0x01 on a known chain id: the fork must be the schedule's. Raises Invalid."""
    chain = KNOWN_BY_ID.get(chain_id)
    if revision != REVISION_BOUND or chain is None:
        return
    scheduled = chain.fork_at(header.number, header.timestamp)
    if scheduled != fork:
        raise Invalid(
            ReasonClass.FORK,
            f"block {header.number}, timestamp {header.timestamp} of {chain.name} is under {scheduled.label}, "
            f"the schema id says {fork.label}",
        )


def check_headers(block: Block, witness: ExecutionWitness) -> list[Header]:
    """
    The witness headers, linked, the last the block's parent.

    Raises MissingHeader where the parent is absent, Invalid for headers that are malformed or do not follow each other.
    """
    headers = []
    for encoded in witness.headers:
        try:
            header = Header.decode(encoded)
        except (BlockError, LimitExceeded) as error:
            raise Invalid(ReasonClass.HEADERS, f"witness header: {error}") from error
        if headers and (header.parent_hash != headers[-1].hash or header.number != headers[-1].number + 1):
            raise Invalid(
                ReasonClass.HEADERS, f"witness header {header.number} does not follow the one of {headers[-1].number}"
            )
        headers.append(header)
    if not headers or headers[-1].hash != block.header.parent_hash:
        raise MissingHeader(block.header.number - 1, "the block's parent")
    if headers[-1].number + 1 != block.header.number:
        raise Invalid(ReasonClass.CONSENSUS, f"block {block.header.number} has a parent of number {headers[-1].number}")
    return headers


def check_ommer_ancestors(block: Block, headers: Sequence[Header]) -> None:
    """Raises MissingHeader where the header beside an ommer, or its parent's, is absent."""
    known = {header.number for header in headers}
    for ommer in block.ommers:
        if 1 <= block.header.number - ommer.number < MAX_OMMER_DEPTH and ommer.number >= 1:
            for number in (ommer.number - 1, ommer.number):
                if number not in known:
                    raise MissingHeader(number, f"needed for the ommer of number {ommer.number}")


def check_blob_price(fork: Fork, *headers: Header) -> None:
    """
    Raises Invalid where a blob would cost 2^128 wei or more, which no account of a chain can have.

    The limit bounds time: EELS adds up as many terms of the price as excess blob gas divided by update fraction, 2^40.
    """
    for header in headers if fork >= Fork.CANCUN else ():
        if (header.excess_blob_gas or 0) > MAX_BLOB_PRICE_EXPONENT * BLOB_SCHEDULES[fork].update_fraction:
            raise Invalid(
                ReasonClass.CONSENSUS, f"excess blob gas {header.excess_blob_gas}: a blob base fee of 2^128 wei or more"
            )


def execute_block(
    block: Block,
    witness: ExecutionWitness,
    chain_id: int,
    fork: Fork,
    revision: int = REVISION_BOUND,
    state: WitnessState | None = None,
    codes: CodeStore | None = None,
    older_hash: Callable[[int], bytes] | None = None,
) -> Executed:
    """
    Executes a block on its witness and checks everything that its header commits to.

    state, codes: to read from instead of the witness's own nodes and codes (the recorder's, over a whole state; the
    collector's, which fetch what is absent). older_hash: the hash of an ancestor further back than the witness's
    headers, by its distance from the block, 2 the parent's parent.
    Raises Invalid, MissingWitness, TrieError, and what these raise.
    """
    headers = check_headers(block, witness)
    check_ommer_ancestors(block, headers)
    check_blob_price(fork, headers[-1], block.header)
    eels = load_fork(fork, _deposit_contract(chain_id, revision))
    state = WitnessState(NodeStore.of(witness.state), headers[-1].state_root) if state is None else state
    codes = CodeStore(witness.codes) if codes is None else codes
    nodes = state.nodes
    with LOCK:
        lazy = eels.new_state(state, codes, older_hash)
        _run(eels, block, witness.headers, headers, lazy, chain_id, fork, revision)
    return Executed(
        block=block,
        requests=tuple(bytes(request) for request in getattr(lazy.output, "requests", ())),
        receipts=_receipts(lazy),
        gas_used=block.header.gas_used,
        post_state_root=state.root,
        touched=ExecutionWitness(
            state=tuple(nodes.base[node_hash] for node_hash in sorted(nodes.touched)),
            codes=tuple(codes.by_hash[code_hash] for code_hash in sorted(codes.touched)),
            headers=witness.headers[-_headers_read(lazy, block) :],
        ),
        written=nodes.overlay,
        new_codes=tuple(lazy.new_codes.values()),
    )


def _headers_read(state: LazyState, block: Block) -> int:
    """How many of the newest headers were read: the parent, and for BLOCKHASH those down to the oldest asked for."""
    return max(1, state.deepest_block_hash, MAX_OMMER_DEPTH if block.ommers else 1)


def _run(
    eels: EelsFork,
    block: Block,
    encoded_headers: Sequence[bytes],
    headers: Sequence[Header],
    state: LazyState,
    chain_id: int,
    fork: Fork,
    revision: int,
) -> None:
    try:
        chain = eels.chain(encoded_headers, state, chain_id)
        body = eels.block(block.encode())
    except (RLPException, ValueError, TypeError) as error:
        raise Invalid(ReasonClass.BLOCK, f"a header or transaction does not decode under {fork.label}") from error
    if fork is Fork.LONDON:
        first = headers[-1].base_fee_per_gas is None
        eels.set_fork_block(first_london_block([*headers, block.header]))
        # EIP-1559 doubles the gas limit at the fork; EELS, made for mainnet's one fork block, does not check it there.
        if first and not eels.fork.check_gas_limit(body.header.gas_limit, Uint(2 * headers[-1].gas_limit)):
            raise Invalid(ReasonClass.CONSENSUS, f"gas limit {block.header.gas_limit} at London's first block")
    if fork is Fork.DAO_FORK:
        bound = revision == REVISION_BOUND and chain_id == 1
        eels.set_fork_block(DAO_FORK_BLOCK if bound else None)
        if bound and block.header.number == DAO_FORK_BLOCK:
            chain = eels.fork.apply_fork(chain)
    try:
        eels.fork.state_transition(chain, body)
    except MissingWitness:
        raise
    except InvalidTransaction as error:
        raise Invalid(ReasonClass.TRANSACTION, _text(error)) from error
    except EthereumException as error:
        raise Invalid(ReasonClass.CONSENSUS, _diagnosis(block, state, headers[-1]) or _text(error)) from error
    except WitnessError:
        raise
    except (RLPException, ArithmeticError, ValueError, TypeError, IndexError, AttributeError, AssertionError) as error:
        # EELS lets arithmetic overflow or decoding fail on some invalid blocks.
        raise Invalid(ReasonClass.CONSENSUS, f"execution failed: {_text(error)}") from error


def first_london_block(headers: Sequence[Header]) -> int | None:
    """Number of the first header with a base fee after one without; an ommer beside it may come up to six blocks later."""
    for parent, header in pairwise(headers):
        if parent.base_fee_per_gas is None and header.base_fee_per_gas is not None:
            return header.number
    return None


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _diagnosis(block: Block, state: LazyState, parent: Header) -> str | None:
    """Which header field the executed body contradicts; EELS says only InvalidBlock."""
    output, header = state.output, block.header
    if output is None:
        return None
    if int(output.block_gas_used) != header.gas_used:
        return f"gas used is {int(output.block_gas_used)}, the header says {header.gas_used}"
    receipts_root = ordered_trie_root(_receipts(state))
    if receipts_root != header.receipts_root:
        return f"receipts root is 0x{receipts_root.hex()}, the header says 0x{header.receipts_root.hex()}"
    if state.witness.root != header.state_root:
        return f"state root is 0x{state.witness.root.hex()}, the header says 0x{header.state_root.hex()}"
    if header.requests_hash is not None:
        computed = requests_hash([bytes(request) for request in output.requests])
        if computed != header.requests_hash:
            return f"requests hash is 0x{computed.hex()}, the header says 0x{header.requests_hash.hex()}"
    if block.withdrawals is None and ommers_hash(block.ommers) != header.ommers_hash:
        return "ommers hash does not match"
    if block.withdrawals is not None and header.ommers_hash != EMPTY_OMMERS_HASH:
        return "ommers hash is not that of no ommers"
    return None


def _receipts(state: LazyState) -> tuple[bytes, ...]:
    receipts = []
    for receipt in state.output.receipts_trie._data.values():
        receipts.append(bytes(receipt) if isinstance(receipt, (bytes, bytearray)) else bytes(eels_rlp.encode(receipt)))
    return tuple(receipts)


def _deposit_contract(chain_id: int, revision: int) -> bytes:
    chain = KNOWN_BY_ID.get(chain_id) if revision == REVISION_BOUND else None
    return chain.deposit_contract if chain is not None else MAINNET_DEPOSIT_CONTRACT


def derive_requests(
    block: Block, witness: ExecutionWitness, chain_id: int, fork: Fork, revision: int = REVISION_BOUND
) -> tuple[bytes, ...]:
    """
    The EIP-7685 requests of a block, of which its RLP has only the hash.

    No execution where the hash is that of no requests. Else the block is executed with EELS on its witness.
    Raises Invalid, MissingWitness, TrieError.
    """
    if block.header.requests_hash == requests_hash(()):
        return ()
    return execute_block(block, witness, chain_id, fork, revision).requests


__all__ = [
    "REVISION_UNBOUND",
    "Executed",
    "Invalid",
    "ReasonClass",
    "Verdict",
    "check_fork",
    "check_headers",
    "derive_requests",
    "execute_block",
    "execute_input",
    "reason_class_of",
    "validate",
]
