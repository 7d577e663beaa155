"""
collect: a block and its execution witness from a node, as one canonical input.

The witness that the node itself gives (debug_executionWitness) is tried first. The block is executed on it with EELS;
what it lacks, which is everything where the node has no such method, is fetched and verified while the block executes.
What was read is the witness, and the input made of it is validated again alone before it is returned.

See docs/specs/collector.md.
"""

from __future__ import annotations

from collections.abc import Callable

from eth_hash.auto import keccak

from rpc.collect_errors import BlockRefused, CollectError
from rpc.ondemand import Ancestors, RemoteCodes, RemoteState, RemoteWitnessState, UnhashedState
from rpc.prefetch import prefetch
from rpc.siblings import SiblingFinder
from rpc.source import Source
from witness.block import Block, Header
from witness.chains import KNOWN_BY_ID, ChainConfig
from witness.errors import ChainError, LimitExceeded, WitnessError
from witness.importers import build_input, import_witness
from witness.schema import REVISION_BOUND, ExecutionWitness, Fork, StatelessInput, encode_input
from witness.validate import MAX_OMMER_DEPTH, Executed, Invalid, execute_block, validate

MAX_COLLECTED_GAS = 1_000_000_000
"""Gas limit of a block that is executed here: some sixteen times mainnet's in 2026."""


def collect(
    source: Source,
    identifier: int | bytes | str,
    chain: ChainConfig | None = None,
    progress: Callable[[str], None] | None = None,
    revision: int = REVISION_BOUND,
    guest: Callable[[bytes], str | None] | None = None,
) -> StatelessInput:
    """
    The input of a block, complete: the oracle validates its encoding, and so does the guest where it is given.

    identifier: number, 32-byte hash or tag; chain: where its id is not known here; progress: called with one line at a
    time; revision: of the schema, REVISION_UNBOUND for a test network that borrows a known chain id; guest: runs an encoded
    input, returns why it is refused or None. The guest's EVM may read what EELS does not, such as the code of a call that
    fails for lack of balance; where it refuses, every code of every account looked at is added, and it is asked again.
    Raises ChainError for an unknown chain, CollectError, BlockError, and what the source raises.
    """
    note = progress or (lambda line: None)
    chain = _chain_of(source, chain)
    block = source.block(identifier)
    header = block.header
    if isinstance(identifier, bytes) and header.hash != identifier:
        raise CollectError(
            f"asked for block 0x{identifier.hex()}, the answer is block {header.number}, hash 0x{header.hash.hex()}"
        )
    if header.number == 0:
        raise CollectError("block 0 is the genesis: it is not executed, so there is nothing to prove")
    if header.gas_limit > MAX_COLLECTED_GAS:
        # Who forges a chain of headers chooses its gas, and execution here takes time and memory by gas.
        raise CollectError(
            f"block {header.number} has a gas limit of {header.gas_limit:,}; more than {MAX_COLLECTED_GAS:,} is not executed here"
        )
    fork = chain.fork_at(header.number, header.timestamp)
    note(f"block {header.number}, 0x{header.hash.hex()}, {fork.label}, {len(block.transactions)} transactions")
    given = _given_witness(source, block, note)
    ancestors = Ancestors(source, block, [Header.decode(encoded) for encoded in given.headers])
    if block.ommers:
        ancestors.reach(min(MAX_OMMER_DEPTH, header.number))
    remote = RemoteState(source, ancestors.parent, given.state, given.codes)
    if not given.state:
        prefetch(source, remote, block, fork, note)
    executed = _execute(source, block, chain, fork, revision, ancestors, remote, note)
    ancestors.reach(len(executed.touched.headers))
    witness = ExecutionWitness(executed.touched.state, executed.touched.codes, ancestors.needed())
    requests = executed.requests if fork >= Fork.PRAGUE else None
    collected = build_input(block, witness, chain.chain_id, fork, revision, requests)
    encoded = encode_input(collected)
    verdict = validate(encoded)
    if not verdict.valid:
        raise CollectError(f"block {header.number}: the collected witness is not enough: {verdict.reason}")
    if guest is not None and (reason := guest(encoded)) is not None:
        note(f"the guest reads more than was read here ({reason}); adding all that is at hand")
        collected = collected.with_witness(_widened(remote, witness))
        if (reason := guest(encode_input(collected))) is not None:
            raise CollectError(f"block {header.number}: the oracle accepts the collected input, the guest does not: {reason}")
    witness = collected.witness
    note(f"collected {len(witness.state)} nodes, {len(witness.codes)} codes, {len(witness.headers)} headers")
    return collected


def _widened(remote: RemoteState, witness: ExecutionWitness) -> ExecutionWitness:
    """The witness with every node that was fetched and the code of every account that was looked at."""
    remote.fetch_codes(remote.looked_at)
    nodes = {**remote.nodes, **{keccak(node): node for node in witness.state}}
    codes = {**remote.codes, **{keccak(code): code for code in witness.codes}}
    return ExecutionWitness(
        tuple(nodes[node_hash] for node_hash in sorted(nodes)),
        tuple(codes[code_hash] for code_hash in sorted(codes)),
        witness.headers,
    )


def _chain_of(source: Source, chain: ChainConfig | None) -> ChainConfig:
    chain_id = source.chain_id()
    if chain is None:
        if chain_id not in KNOWN_BY_ID:
            raise ChainError(f"the node's chain id {chain_id} is not known: give its genesis file with --chain")
        return KNOWN_BY_ID[chain_id]
    if chain.chain_id != chain_id:
        raise ChainError(f"the node has chain id {chain_id}, {chain.name} has {chain.chain_id}")
    return chain


def _given_witness(source: Source, block: Block, note: Callable[[str], None]) -> ExecutionWitness:
    """The node's own witness, empty where it gives none. One that is malformed is as good as none."""
    answer = source.execution_witness(block)
    if answer is not None:
        try:
            given = import_witness(answer, block.header.parent_hash)
        except WitnessError as error:
            note(f"the node's execution witness is unusable, collecting without it: {error}")
        else:
            note(f"the node gave a witness of {len(given.state)} nodes, {len(given.codes)} codes")
            return given
    return ExecutionWitness((), (), ())


def _execute(
    source: Source,
    block: Block,
    chain: ChainConfig,
    fork: Fork,
    revision: int,
    ancestors: Ancestors,
    remote: RemoteState,
    note: Callable[[str], None],
) -> Executed:
    """Executes the block, fetching what is absent. Raises BlockRefused where it is not valid."""
    siblings = SiblingFinder(source, block, note)
    given_nodes, given_codes = len(remote.nodes), len(remote.codes)

    def run(state: RemoteWitnessState) -> Executed:
        witness = ExecutionWitness((), (), tuple(header.encode() for header in ancestors.headers))
        return execute_block(
            block, witness, chain.chain_id, fork, revision, state, RemoteCodes(remote), ancestors.hash_at
        )

    try:
        if fork < Fork.BYZANTIUM:
            try:
                run(UnhashedState(remote, siblings))
            except Invalid:
                # Its roots are not computed, so it is always refused; the next run says whether the block is valid.
                note("read what the block reads; now with the state root after each transaction")
        executed = run(RemoteWitnessState(remote, siblings))
    except Invalid as error:
        raise BlockRefused(block.header.number, fork.label, str(error)) from error
    except RecursionError as error:
        raise LimitExceeded("the call depth of this block exceeds Python's recursion limit") from error
    except MemoryError as error:
        raise LimitExceeded("this block takes more memory than there is") from error
    fetched = f"fetched {len(remote.nodes) - given_nodes} nodes, {len(remote.codes) - given_codes} codes"
    found = ", ".join(f"{count} {way}" for way, count in siblings.found.items() if count)
    note(f"executed; {fetched}" + (f"; siblings of deleted leaves: {found}" if found else ""))
    return executed


