"""
Running a fixture suite: every block of every test through the block guest in the emulator, and its verdict compared.

The witness of a block is the whole state of its parent: the test's pre-state as tries, then what the guest itself writes of
the new state to its debug channel under an unbound revision. Whatever of it is used is found by its hash, so a wrong state
could only make a block fail. (Under the schedule of a known chain the guest writes no state: EELS gives it.) A block passes if

- valid: flag 1 (the guest found gas, receipts and state root as in the header), the root of the request as computed here, and
  a new state that holds the header's state root;
- invalid: flag 0 for a reason that fits the test's exception, which no gap in a witness ever does.

After the last block: the hash of the last valid header is the test's, and the state is the test's post-state, node by node.
With minimal witnesses a valid block is executed by EELS on the same state, and the guest gets only what EELS read. Before Prague
the guest's EVM reads one thing more: the target of a call, and its code, before it finds that the caller's balance is too low.
What the guest names as missing there is added, counted, and it is asked again.
"""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import cache
from multiprocessing import get_context

import rlp
from eth_hash.auto import keccak

from blockproof.expected_exceptions import fits
from blockproof.guests import BLOCK_GUEST, load_guest
from witness import schema
from witness.block import Block, block_to_request, recover_public_keys, requests_hash
from witness.errors import WitnessError
from witness.fixtures import Fixture, FixtureBlock, RawFixture, fixture
from witness.record import WholeState, execute_on, record_witness, state_from_accounts
from witness.schema import REVISION_BOUND, REVISION_UNBOUND_RLP, ExecutionWitness, Fork, decode_result
from witness.trie import EMPTY_TRIE_ROOT
from zkvm.machine import Limits, Program, run
from zkvm.machine.errors import MachineError

DEFAULT_STEP_LIMIT = 1 << 34
MINIMAL_GAS_LIMIT = 1_000_000
"""Of a test whose minimal witnesses are recorded: EELS executes some hundred thousand gas a second."""


@dataclass(frozen=True)
class Options:
    """step_limit: of one block. minimal: witnesses recorded with EELS, for tests of at most MINIMAL_GAS_LIMIT."""

    step_limit: int = DEFAULT_STEP_LIMIT
    minimal: bool = False


@dataclass(frozen=True)
class Outcome:
    """
    What became of one test. failures: one line each, empty where it passed; skipped: why it was not run, else "".

    steps: of all its blocks; seconds: of wall time; slowest_block: index of the block with most steps; added: parts that the guest
    asked for beyond a minimal witness; digest: SHA-256 of the test.
    """

    key: str
    name: str
    folder: str
    network: str
    failures: tuple[str, ...]
    skipped: str
    blocks: int
    gas: int
    steps: int
    seconds: float
    slowest_block: int = 0
    added: int = 0
    digest: str = ""

    @property
    def passed(self) -> bool:
        return not self.failures and not self.skipped


@dataclass
class Chain:
    """
    A test's chain so far: trie nodes and codes by hash, RLP headers oldest first, the state root.
    """

    nodes: dict[bytes, bytes]
    codes: dict[bytes, bytes]
    headers: list[bytes]
    state_root: bytes

    @classmethod
    def of(cls, test: Fixture) -> Chain:
        """Block 0. Raises WitnessError where the genesis header is malformed or has another state root."""
        state = state_from_accounts(test.pre)
        genesis = Block.decode(test.genesis).header
        if genesis.state_root != state.root:
            raise WitnessError(f"the pre-state has root 0x{state.root.hex()}, the genesis header 0x{genesis.state_root.hex()}")
        codes = {keccak(code): code for code in state.codes}
        return cls(dict(state.nodes), codes, [genesis.encode()], state.root)

    def witness(self) -> ExecutionWitness:
        """Everything."""
        return ExecutionWitness(tuple(self.nodes.values()), tuple(self.codes.values()), tuple(self.headers[-256:]))

    def whole_state(self) -> WholeState:
        """For the recorder."""
        return WholeState(self.nodes, tuple(self.codes.values()), self.state_root)

    def append(self, block: Block, new_state: NewState) -> None:
        """A valid block. Raises WitnessError where the new state has not the header's root."""
        self.nodes.update((keccak(node), node) for node in new_state.nodes)
        self.codes.update((keccak(code), code) for code in new_state.codes)
        root = block.header.state_root
        if root not in self.nodes and root != EMPTY_TRIE_ROOT:
            raise WitnessError(f"the new state lacks its root 0x{root.hex()}")
        self.headers.append(block.header.encode())
        self.state_root = root


@dataclass
class NewState:
    """Lines of the guest's debug channel: nodes and codes of the new state, and the verdict's line, the last."""

    nodes: list[bytes] = field(default_factory=list)
    codes: list[bytes] = field(default_factory=list)
    reason: str = ""

    @classmethod
    def parse(cls, text: bytes) -> NewState:
        new_state = cls()
        for line in text.splitlines():
            kind, _, rest = line.partition(b" ")
            if kind == b"node":
                new_state.nodes.append(bytes.fromhex(rest.decode()))
            elif kind == b"code":
                new_state.codes.append(bytes.fromhex(rest.decode()))
            else:
                new_state.reason = line.decode("utf-8", "replace")
        return new_state


@dataclass(frozen=True)
class GuestAnswer:
    """output: 43 bytes; text: of the debug channel, whole; steps: executed."""

    output: bytes
    text: bytes
    steps: int


Guest = Callable[[bytes, int], GuestAnswer]


def run_guest(encoded: bytes, step_limit: int) -> GuestAnswer:
    """The shipped block guest in the emulator. Raises MachineError."""
    pieces: list[bytes] = []
    limits = Limits(steps=step_limit, debug_bytes=1 << 30)
    result = run(_program(), encoded, limits, pieces.append)
    if result.exit_code or len(result.output) != schema.RESULT_BYTES:
        raise MachineError(f"the guest ended with exit code {result.exit_code} and {len(result.output)} bytes of output")
    return GuestAnswer(result.output, b"".join(pieces), result.steps)


@cache
def _program() -> Program:
    return load_guest(BLOCK_GUEST)


def run_test(raw: RawFixture, options: Options, guest: Guest = run_guest) -> Outcome:
    """Runs one test. Every typed error of a part becomes a failure of the test; none is raised."""
    start = time.perf_counter()
    failures: list[str] = []
    steps: list[int] = []
    added: list[bytes] = []
    gas, skipped = 0, ""
    try:
        test = fixture(raw)
        gas = test.gas_used
        if options.minimal and gas > MINIMAL_GAS_LIMIT:
            skipped = f"{gas:,} gas exceed {MINIMAL_GAS_LIMIT:,}"
        else:
            failures.extend(_failures(test, options, guest, steps, added))
    except (WitnessError, MachineError) as error:
        failures.append(f"block {len(steps)}: {type(error).__name__}: {error}")
    return Outcome(
        key=raw.key,
        name=raw.name,
        folder=raw.folder,
        network=raw.network,
        failures=tuple(failures),
        skipped=skipped,
        blocks=len(steps),
        gas=gas,
        steps=sum(steps),
        seconds=time.perf_counter() - start,
        slowest_block=steps.index(max(steps)) if steps else 0,
        added=len(added),
        digest=raw.digest,
    )


MOST_ADDED = 64
"""Parts that one block may need beyond its minimal witness."""

_MISSING = re.compile(rb"invalid: missing (node|code) 0x([0-9a-f]{64})")


def _failures(test: Fixture, options: Options, guest: Guest, steps: list[int], added: list[bytes]) -> Iterator[str]:
    chain = Chain.of(test)
    for index, given in enumerate(test.blocks):
        fork = test.fork_of(given)
        witness = chain.witness()
        minimal = options.minimal and given.exception is None
        if minimal:
            witness = minimal_witness(chain, given, fork, test)
        encoded, block, root = encode_block(chain, given, fork, test, witness)
        answer = guest(encoded, options.step_limit)
        for _ in range(MOST_ADDED if minimal and fork < Fork.PRAGUE else 0):
            missing = _MISSING.search(answer.text)
            if missing is None:
                break
            added.append(bytes.fromhex(missing[2].decode()))
            witness = _with_part(witness, chain, missing[1], added[-1])
            encoded, block, root = encode_block(chain, given, fork, test, witness)
            answer = guest(encoded, options.step_limit)
        steps.append(answer.steps)
        result, new_state = decode_result(answer.output), NewState.parse(answer.text)
        if given.exception is not None:
            if result.successful_validation:
                yield f"block {index}: valid, expected {given.exception}"
                return
            reason = new_state.reason.removeprefix("invalid: ")
            if not fits(given.exception, reason, readable=block is not None):
                yield f"block {index}: refused for {reason!r}, expected {given.exception}"
            continue
        if not result.successful_validation:
            yield f"block {index}: {new_state.reason}"
            return
        if root is not None and result.new_payload_request_root != root:
            yield f"block {index}: the guest's request root is 0x{result.new_payload_request_root.hex()}, not 0x{root.hex()}"
        if test.revision == REVISION_BOUND:
            executed = execute_on(chain.whole_state(), chain.headers[-256:], block, test.chain_id, fork, REVISION_BOUND)
            new_state = NewState(list(executed.written.values()), list(executed.new_codes))
        chain.append(block, new_state)
    if keccak(chain.headers[-1]) != test.last_block_hash:
        yield f"the last block is 0x{keccak(chain.headers[-1]).hex()}, expected 0x{test.last_block_hash.hex()}"
    if test.post_root not in (None, chain.state_root):
        yield f"the post-state has root 0x{test.post_root.hex()}, the last block 0x{chain.state_root.hex()}"
    if test.post is not None:
        expected = state_from_accounts(test.post)
        if expected.root != chain.state_root:
            yield f"the post-state has root 0x{expected.root.hex()}, the last block 0x{chain.state_root.hex()}"
        elif not expected.nodes.keys() <= chain.nodes.keys():
            yield "the guest's new state lacks a node of the post-state"


def minimal_witness(chain: Chain, given: FixtureBlock, fork: Fork, test: Fixture) -> ExecutionWitness:
    """What EELS reads of a valid block. Raises WitnessError where EELS finds it invalid."""
    block = Block.decode(given.rlp)
    return record_witness(chain.whole_state(), chain.headers[-256:], block, test.chain_id, fork, test.revision)


def _with_part(witness: ExecutionWitness, chain: Chain, kind: bytes, part: bytes) -> ExecutionWitness:
    """The witness with a node or code of the parent's state. Raises WitnessError where the state has no such part."""
    if kind == b"node" and part in chain.nodes:
        return replace(witness, state=(*witness.state, chain.nodes[part]))
    if kind == b"code" and part in chain.codes:
        return replace(witness, codes=(*witness.codes, chain.codes[part]))
    raise WitnessError(f"the guest asks for the {kind.decode()} 0x{part.hex()}, which the state does not have")


def encode_block(
    chain: Chain, given: FixtureBlock, fork: Fork, test: Fixture, witness: ExecutionWitness | None = None
) -> tuple[bytes, Block | None, bytes | None]:
    """
    The guest's input for a block of a test; the block, None where its RLP is none; the request's root where there is one.

    witness: the whole state where not given.
    A valid block goes in as what a client gets, a NewPayloadRequest from Paris on; one that is invalid, or whose requests the
    test does not give, as its RLP.
    """
    try:
        block = Block.decode(given.rlp)
        keys = recover_public_keys(block.transactions)
    except WitnessError:
        # No block, or a signature that has no key: for the guest to find out. It counts the keys and uses none.
        block, keys = None, (bytes(schema.PUBLIC_KEY_BYTES),) * _transaction_count(given.rlp)
    witness = witness or chain.witness()
    has_request = fork < Fork.PRAGUE or block is None or block.header.requests_hash == requests_hash(())
    if block is not None and given.exception is None and has_request:
        request = block_to_request(block, fork, () if fork >= Fork.PRAGUE else None)
        parts = (witness.state, witness.codes, witness.headers)
        schema_id = schema.schema_id_of(fork, test.revision)
        encoded = schema.encode_parts(schema_id, request.encode_bytes(), parts, test.chain_id, keys)
        return encoded, block, schema.new_payload_request_root(request)
    request = (4).to_bytes(4, "little") + given.rlp
    parts = (witness.state, witness.codes, witness.headers)
    # Before Paris every revision takes the RLP, and a chain's own rules need the one that binds.
    revision = test.revision if fork < Fork.PARIS else REVISION_UNBOUND_RLP
    return schema.encode_parts(fork << 8 | revision, request, parts, test.chain_id, keys), block, None


def _transaction_count(encoded: bytes) -> int:
    try:
        return len(rlp.decode(encoded, strict=False)[1])
    except (rlp.exceptions.RLPException, IndexError, TypeError):
        return 0


# --- many tests ------------------------------------------------------------------------------------------------------


def run_suite(tests: Iterable[RawFixture], options: Options, jobs: int) -> Iterator[Outcome]:
    """
    Runs tests in `jobs` processes, as they come; outcomes in the order in which they end. Closing the iterator stops the workers.
    """
    if jobs == 1:
        for test in tests:
            yield run_test(test, options)
        return
    # Forked children would share the numba runtime's threads, so workers start afresh.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_ignore_interrupts)
    waiting: set[Future] = set()
    batch: list[RawFixture] = []
    try:
        for test in tests:
            batch.append(test)
            if len(batch) < BATCH:
                continue
            waiting.add(pool.submit(_run_batch, os.getpid(), batch, options))
            batch = []
            if len(waiting) >= 3 * jobs:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from future.result()
        if batch:
            waiting.add(pool.submit(_run_batch, os.getpid(), batch, options))
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
    finally:
        for future in waiting:
            future.cancel()
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(wait=True, cancel_futures=True)


BATCH = 8
"""Tests sent to a worker at once: few enough that a pool of two stays busy to the end."""


def _run_batch(parent: int, tests: list[RawFixture], options: Options) -> list[Outcome]:
    outcomes = []
    for test in tests:
        if os.getppid() != parent:
            # Nobody waits for this any more.
            os._exit(1)
        outcomes.append(run_test(test, options))
    return outcomes


def _ignore_interrupts() -> None:
    """Ctrl-C is for the parent, which keeps what is done and ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def default_jobs() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))
