"""The zkevm tests again under Osaka: their states and transactions, in blocks made here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from eth_hash.auto import keccak

from tests.hostile.blocks import MadeBlock, genesis_header, make_block
from witness.fixtures import read_suite
from witness.record import state_from_accounts
from witness.schema import REVISION_UNBOUND, ExecutionWitness, Fork, encode_input
from witness.zkevm_fixtures import ZkevmTest, import_test

ARCHIVE = "eest_zkevm-v0.3.3_amsterdam_witness.tar.zst"


@cache
def imported_tests(data: Path) -> tuple[ZkevmTest, ...]:
    """All tests of the archive."""
    return tuple(import_test(raw.name, raw.contents) for raw in read_suite(data / "fixtures" / ARCHIVE))


def osaka_blocks(test: ZkevmTest) -> Iterator[MadeBlock]:
    """
    The blocks of a test as Osaka blocks: same accounts, transactions, coinbase, times; everything computed is Osaka's.

    Gas is Osaka's too, so a test about a gas boundary of Amsterdam may end differently; its block is valid either way.
    """
    payload = test.blocks[0].request.execution_payload
    state = state_from_accounts(test.accounts)
    headers = [genesis_header(Fork.OSAKA, state.root, int(payload.gas_limit))]
    for block in test.blocks:
        payload = block.request.execution_payload
        made = make_block(
            Fork.OSAKA,
            state,
            block.transactions,
            ancestors=headers,
            chain_id=block.chain_id,
            coinbase=bytes(payload.fee_recipient),
            prev_randao=bytes(payload.prev_randao),
        )
        yield made
        state = made.state_after()
        headers.append(made.block.header)


def encoded(made: MadeBlock, witness: ExecutionWitness | None = None) -> bytes:
    """The canonical input; unbound, because the tests are of chain id 1."""
    given = made.stateless_input(REVISION_UNBOUND)
    return encode_input(given if witness is None else given.with_witness(witness))


def lacking(made: MadeBlock) -> Iterator[tuple[str, bytes]]:
    """
    The input without each node, code and header in turn, and the beginning of the refusal that is due.

    A header is missed where it is the parent or the oldest; without one between, the next does not follow.
    """
    witness = made.witness
    for part, kind in (("state", "node"), ("codes", "code")):
        elements = getattr(witness, part)
        for index, element in enumerate(elements):
            rest = elements[:index] + elements[index + 1 :]
            yield f"missing {kind} 0x{keccak(element).hex()}", encoded(made, replace(witness, **{part: rest}))
    headers, first = witness.headers, made.block.header.number - len(witness.headers)
    for index in range(len(headers)):
        number = first + index
        due = f"missing header of block {number}"
        if 0 < index < len(headers) - 1:
            due = f"witness header {number + 1} does not follow"
        yield due, encoded(made, replace(witness, headers=headers[:index] + headers[index + 1 :]))
