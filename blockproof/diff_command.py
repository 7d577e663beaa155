"""`blockproof diff`: the first transaction and opcode on which guest and oracle disagree."""

from __future__ import annotations

import fnmatch
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from blockproof.errors import UsageError

if TYPE_CHECKING:
    from blockproof.divergence import Comparison, Question


@click.command("diff")
@click.argument("path", metavar="INPUT", type=click.Path(exists=True, path_type=Path))
@click.option("--test", "pattern", metavar="GLOB", help="INPUT is a fixture suite: the test whose file::name matches.")
@click.option("--block", "index", type=click.IntRange(min=0), default=0, show_default=True, help="Of that test.")
@click.option("--max-steps", type=click.IntRange(min=1), default=1 << 36, show_default=True, help="Of one run of the guest.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def diff_command(path: Path, pattern: str | None, index: int, max_steps: int, as_json: bool) -> None:
    """Run a block in the guest and in the oracle (EELS) and say where they first differ: transaction, then opcode.

    Exit code 0: no difference, whether the block is valid or not. 1: they differ.
    """
    from blockproof.divergence import Question, compare

    if pattern is None:
        from witness.importers import load_input

        question = Question.of_input(load_input(path).stateless_input)
    else:
        question = _of_fixture(path, pattern, index)
    comparison = compare(question, max_steps)
    if as_json:
        divergence = asdict(comparison.divergence) if comparison.divergence else None
        sides = {
            side: {"valid": answer.valid, "reason": answer.reason, "transactions": len(answer.receipts)}
            for side, answer in (("guest", comparison.guest), ("oracle", comparison.oracle))
        }
        click.echo(json.dumps({"ok": divergence is None, **sides, "divergence": divergence}))
    else:
        _print(comparison)
    if comparison.divergence is not None:
        sys.exit(1)


def _of_fixture(path: Path, pattern: str, index: int) -> Question:
    """A block of a test, after the valid blocks before it. Raises UsageError where there is no such test or block."""
    from eth_hash.auto import keccak

    from blockproof.divergence import Question
    from blockproof.fixture_suite import Chain, encode_block
    from witness.errors import WitnessError
    from witness.fixtures import fixture, read_suite
    from witness.record import execute_on, state_after

    found = [raw for raw in read_suite(path) if fnmatch.fnmatchcase(raw.key, pattern)]
    if len(found) != 1:
        shown = ", ".join(raw.key for raw in found[:3]) or "none"
        raise UsageError(f"{len(found)} tests match {pattern!r}: {shown}", "name exactly one")
    test = fixture(found[0])
    if index >= len(test.blocks):
        raise UsageError(f"the test has {len(test.blocks)} blocks", f"--block is 0 to {len(test.blocks) - 1}")
    chain = Chain.of(test)
    state, headers = chain.whole_state(), chain.headers
    for given in test.blocks[:index]:
        if given.exception is not None:
            continue
        _, block, _ = encode_block(chain, given, test.fork_of(given), test)
        try:
            executed = execute_on(state, headers[-256:], block, test.chain_id, test.fork_of(given), test.revision)
        except WitnessError as error:
            raise UsageError(f"a block before that one fails already: {error}", "ask for that block") from error
        state = state_after(state, executed)
        headers.append(block.header.encode())
        chain.nodes, chain.state_root = dict(state.nodes), state.root
        chain.codes.update((keccak(code), code) for code in state.codes)
    given = test.blocks[index]
    fork = test.fork_of(given)
    encoded, block, _ = encode_block(chain, given, fork, test)
    if block is None:
        raise UsageError("that block is not well-formed: there is nothing to execute", "see what `fixtures run` says of it")
    return Question.of_block(encoded, state, headers[-256:], block, test.chain_id, fork, test.revision)


def _print(comparison: Comparison) -> None:
    for side, answer in (("guest", comparison.guest), ("EELS", comparison.oracle)):
        verdict = "valid" if answer.valid else f"not valid: {answer.reason}"
        click.echo(f"{side:6} {verdict} ({len(answer.receipts)} transactions executed)")
    found = comparison.divergence
    if found is None:
        click.echo("no difference")
        return
    where = "outside of transactions" if found.transaction is None else f"transaction {found.transaction}"
    if found.step is not None:
        where += f", opcode {found.step}"
    click.echo(f"first difference: {where}: {', '.join(found.fields)}")
    for step in found.before:
        click.echo(f"         {step}")
    click.echo(f"  guest  {found.guest}")
    click.echo(f"  EELS   {found.oracle}")
