"""
Where guest and oracle part ways on one block: the first transaction, and in it the first opcode.

The guest is `block-trace`, the block guest with a trace on its debug channel; the oracle is EELS with its own trace hook.
Both run the same input. Their receipts are compared first, transaction by transaction; then the opcodes of the first that
differs, in the form of guest/stateless/src/trace.rs, before each is charged for: what the opcode before did differently
shows in gas, stack or memory. Fees, rewards, withdrawals and system calls are no opcodes: a difference there is told as
one of a receipt or of the verdict.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest

import rlp
from ethereum.trace import OpException, OpStart, set_evm_trace
from ethereum_rlp import rlp as eels_rlp

from blockproof.guests import load_guest
from witness import schema
from witness.block import Block
from witness.chains import KNOWN_BY_ID, MAINNET_DEPOSIT_CONTRACT
from witness.eels import LOCK, EelsFork, load_fork
from witness.errors import WitnessError
from witness.record import WholeState, execute_on
from witness.schema import REVISION_BOUND, Fork, StatelessInput
from witness.validate import execute_input
from zkvm.machine import Limits, Program, run
from zkvm.machine.errors import MachineError

TRACE_GUEST = "block-trace"
NO_TRANSACTION = (1 << 64) - 1
MOST_TRACE_BYTES = 1 << 29
"""Of the guest's text: some five million opcodes."""
SHOWN_WORDS = 4
CONTEXT_STEPS = 5
DEFAULT_STEP_LIMIT = 1 << 36

STEP_FIELDS = ("pc", "opcode", "gas left", "depth", "memory bytes", "stack words", "stack")
RECEIPT_FIELDS = ("status or state root", "cumulative gas", "bloom", "logs")


@dataclass(frozen=True)
class Question:
    """
    One block, for both.

    encoded: the guest's input; oracle: executes the block with EELS and raises WitnessError where it is not valid;
    chain_id, fork, revision: which private instance of EELS it uses.
    """

    encoded: bytes
    oracle: Callable[[], object]
    chain_id: int
    fork: Fork
    revision: int

    @classmethod
    def of_input(cls, stateless_input: StatelessInput) -> Question:
        """An input: the oracle has the same witness as the guest."""
        return cls(
            schema.encode_input(stateless_input),
            lambda: execute_input(stateless_input),
            stateless_input.chain_id,
            stateless_input.fork,
            stateless_input.revision,
        )

    @classmethod
    def of_block(
        cls,
        encoded: bytes,
        state: WholeState,
        headers: list[bytes],
        block: Block,
        chain_id: int,
        fork: Fork,
        revision: int,
    ) -> Question:
        """A block of a fixture on a whole state."""
        return cls(
            encoded, lambda: execute_on(state, headers, block, chain_id, fork, revision), chain_id, fork, revision
        )

    def eels(self) -> EelsFork:
        """The private instance that `oracle` runs on."""
        chain = KNOWN_BY_ID.get(self.chain_id) if self.revision == REVISION_BOUND else None
        return load_fork(self.fork, MAINNET_DEPOSIT_CONTRACT if chain is None else chain.deposit_contract)


@dataclass(frozen=True)
class Answer:
    """What one side says: valid, the reason where not, and the receipts of the transactions that it executed."""

    valid: bool
    reason: str
    receipts: tuple[bytes, ...]


@dataclass(frozen=True)
class Divergence:
    """
    The first difference.

    transaction: its index, None where it is outside of transactions; step: number of the opcode in the transaction, None
    where the opcodes agree; fields: what differs; guest, oracle: what each says there; before: the steps before, the same
    on both sides.
    """

    transaction: int | None
    step: int | None
    fields: tuple[str, ...]
    guest: str
    oracle: str
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Both answers, and the first divergence, None where there is none."""

    guest: Answer
    oracle: Answer
    divergence: Divergence | None


def compare(question: Question, step_limit: int = DEFAULT_STEP_LIMIT) -> Comparison:
    """
    Runs a block on both sides and finds their first difference.

    Where the verdicts differ and no receipt does, the opcodes of every transaction are compared, in order.
    Raises MachineError where the guest does not end with a verdict.
    """
    guest, _ = _run_guest(question, None, step_limit)
    oracle = _run_oracle(question)
    differing = next(
        (index for index, pair in enumerate(zip_longest(guest.receipts, oracle.receipts)) if pair[0] != pair[1]), None
    )
    if differing is not None:
        divergence = _in_opcodes(question, differing, step_limit) or _in_receipts(differing, guest, oracle)
        return Comparison(guest, oracle, divergence)
    if guest.valid == oracle.valid:
        return Comparison(guest, oracle, None)
    # A refused transaction has no receipt on either side; the one after the last receipt is looked at, too.
    for index in range(len(guest.receipts) + 1):
        divergence = _in_opcodes(question, index, step_limit)
        if divergence is not None:
            return Comparison(guest, oracle, divergence)
    outside = Divergence(None, None, ("verdict",), guest.reason, oracle.reason)
    return Comparison(guest, oracle, outside)


# The guest.


@cache
def _program() -> Program:
    return load_guest(TRACE_GUEST)


def _run_guest(question: Question, transaction: int | None, step_limit: int) -> tuple[Answer, list[bytes]]:
    """The guest's answer, and its lines on the opcodes of a transaction."""
    index = NO_TRANSACTION if transaction is None else transaction
    pieces: list[bytes] = []
    limits = Limits(steps=step_limit, debug_bytes=MOST_TRACE_BYTES)
    result = run(_program(), index.to_bytes(8, "little") + question.encoded, limits, pieces.append)
    if result.exit_code or len(result.output) != schema.RESULT_BYTES:
        raise MachineError(f"the guest ended with exit code {result.exit_code} and {len(result.output)} bytes of output")
    receipts, steps, reason = [], [], ""
    for line in b"".join(pieces).splitlines():
        kind, _, rest = line.partition(b" ")
        if kind == b"receipt":
            receipts.append(bytes.fromhex(rest.split()[1].decode()))
        elif kind == b"op":
            steps.append(rest)
        else:
            reason = line.decode("utf-8", "replace").removeprefix("invalid: ")
    valid = schema.decode_result(result.output).successful_validation
    return Answer(valid, reason, tuple(receipts)), steps


# The oracle.


def _run_oracle(question: Question, transaction: int | None = None, tracer: Callable | None = None) -> Answer:
    """EELS's answer; `tracer` hears of the opcodes of one transaction."""
    receipts: list[bytes] = []
    with LOCK, _watched(question.eels(), receipts, transaction, tracer):
        try:
            question.oracle()
        except WitnessError as error:
            return Answer(False, str(error), tuple(receipts))
    return Answer(True, "valid", tuple(receipts))


@contextmanager
def _watched(
    eels: EelsFork, receipts: list[bytes], transaction: int | None, tracer: Callable | None
) -> Iterator[None]:
    """While it is open, each transaction that this fork executes leaves its receipt, and the chosen one is traced."""
    execute = eels.fork.process_transaction

    def process_transaction(block_env, block_output, *arguments):
        chosen = tracer is not None and len(receipts) == transaction
        previous = set_evm_trace(tracer) if chosen else None
        try:
            execute(block_env, block_output, *arguments)
        finally:
            if chosen:
                set_evm_trace(previous)
        receipt = list(block_output.receipts_trie._data.values())[-1]
        receipts.append(bytes(receipt) if isinstance(receipt, bytes) else bytes(eels_rlp.encode(receipt)))

    eels.fork.process_transaction = process_transaction
    try:
        yield
    finally:
        eels.fork.process_transaction = execute


class _StepComparison:
    """A tracer for EELS that holds each opcode against the guest's next line and keeps the first difference."""

    def __init__(self, guest_steps: list[bytes]) -> None:
        self._guest = guest_steps
        self.count = 0
        self.before: deque[str] = deque(maxlen=CONTEXT_STEPS)
        self.difference: tuple[bytes | None, bytes | None] | None = None

    def __call__(self, evm, event) -> None:
        if self.difference is not None:
            return
        if isinstance(event, OpStart):
            self._step(evm, event.op.value)
        elif isinstance(event, OpException) and type(event.error).__name__ == "InvalidOpcode":
            # EELS does not begin an opcode that does not exist.
            self._step(evm, evm.code[evm.pc])

    def _step(self, evm, opcode: int) -> None:
        top = "".join(f" {int(word):x}" for word in reversed(evm.stack[-SHOWN_WORDS:]))
        line = (
            f"{int(evm.pc)} {opcode:02x} {int(evm.gas_left)} {int(evm.message.depth)} {len(evm.memory)} "
            f"{len(evm.stack)}{top}"
        ).encode()
        guest = self._guest[self.count] if self.count < len(self._guest) else None
        if guest != line:
            self.difference = guest, line
            return
        self.before.append(line.decode())
        self.count += 1

    def end(self) -> None:
        """The transaction is over: what the guest still did is a difference."""
        if self.difference is None and self.count < len(self._guest):
            self.difference = self._guest[self.count], None


def _in_opcodes(question: Question, transaction: int, step_limit: int) -> Divergence | None:
    _, steps = _run_guest(question, transaction, step_limit)
    comparison = _StepComparison(steps)
    _run_oracle(question, transaction, comparison)
    comparison.end()
    if comparison.difference is None:
        return None
    guest, oracle = comparison.difference
    fields: tuple[str, ...] = ("end of the transaction",)
    if guest is not None and oracle is not None:
        pairs = zip(_fields_of(guest), _fields_of(oracle), STEP_FIELDS, strict=True)
        fields = tuple(name for one, other, name in pairs if one != other)
    return Divergence(
        transaction, comparison.count, fields, _shown(guest), _shown(oracle), tuple(map(_shown_text, comparison.before))
    )


def _fields_of(step: bytes) -> list[str]:
    values = step.decode().split(" ")
    return [*values[:6], " ".join(values[6:])]


def _shown(step: bytes | None) -> str:
    return "no opcode: the transaction has ended" if step is None else _shown_text(step.decode())


def _shown_text(step: str) -> str:
    pc, opcode, gas, depth, memory, words, top = _fields_of(step.encode())
    stack = f" [{top}]" if top else ""
    return f"pc {pc} {_name_of(int(opcode, 16))} gas {gas} depth {depth} memory {memory} stack {words}{stack}"


def _name_of(opcode: int) -> str:
    from ethereum.forks.bpo2.vm.instructions import Ops

    return Ops(opcode).name if opcode in Ops._value2member_map_ else f"0x{opcode:02x}"


def _in_receipts(transaction: int, guest: Answer, oracle: Answer) -> Divergence:
    sides = [side.receipts[transaction] if transaction < len(side.receipts) else None for side in (guest, oracle)]
    if None in sides:
        texts = [
            side.reason if receipt is None else "executed"
            for side, receipt in zip((guest, oracle), sides, strict=True)
        ]
        return Divergence(transaction, None, ("verdict on the transaction",), *texts)
    decoded = [_receipt_fields(receipt) for receipt in sides]
    fields = tuple(name for name, one, other in zip(RECEIPT_FIELDS, *decoded, strict=True) if one != other)
    texts = [
        ", ".join(f"{name} {value}" for name, value in zip(RECEIPT_FIELDS, values, strict=True) if name in fields)
        for values in decoded
    ]
    return Divergence(transaction, None, fields or ("type",), *texts)


def _receipt_fields(receipt: bytes) -> list[str]:
    status, gas, bloom, logs = rlp.decode(receipt if receipt[0] >= 0xC0 else receipt[1:])
    shown = [f"0x{status.hex()}", str(int.from_bytes(gas, "big")), f"0x{bloom.hex()}"]
    return [*shown, "; ".join(f"0x{address.hex()} {len(topics)} topics" for address, topics, _ in logs)]
