"""`blockproof fixtures ...`: fork-specific test suites through the block guest."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from blockproof import __version__
from blockproof.errors import RefusedError, UsageError
from blockproof.fixtures_fetch import fetch_command
from blockproof.stopping import stoppable
from blockproof.tables import print_table

if TYPE_CHECKING:
    from blockproof.fixture_suite import Outcome
    from witness.fixtures import RawFixture

PROVABLE_STEPS = 8_000_000
"""Of a block that --prove may draw: minutes each."""
PROVE_SEED = 1


@click.group()
def fixtures() -> None:
    """Fixture suites of execution-spec-tests, and the project's own in fixtures/."""


@fixtures.command("run")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--fork", "forks", multiple=True, help="Only tests of this network, as its tests name it (Cancun, OsakaToBPO1AtTime15k). Repeatable.")
@click.option("--test", "patterns", multiple=True, metavar="GLOB", help="Only tests whose file::name matches. Repeatable.")
@click.option("--jobs", type=click.IntRange(min=1), help="Processes; as many as processors if not given.")
@click.option("--prove", "prove_count", type=click.IntRange(min=0), default=0, help="Then prove and verify this many blocks of tests that passed, drawn by a fixed seed.")
@click.option("--report", "reports", multiple=True, type=click.Path(dir_okay=False, path_type=Path), help="Write JSON, or JUnit XML if the name ends in .xml. Repeatable. Beside the first lies a journal until the run is over: the same command goes on from it.")
@click.option("--minimal", is_flag=True, help="Give the guest only what EELS reads of each valid block, for tests of at most 1 Mgas.")
@click.option("--max-steps", type=click.IntRange(min=1), default=1 << 34, show_default=True, help="Of one block; more is a failure.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def run_command(
    path: Path, forks: tuple[str, ...], patterns: tuple[str, ...], jobs: int | None, prove_count: int, reports: tuple[Path, ...],
    minimal: bool, max_steps: int, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run the tests in PATH (a folder, a JSON file or a .tar.zst archive): each block through the block guest in the emulator.

    A valid block must get flag 1, an invalid one flag 0 for a reason that fits its exception. Exit code 0: all passed. 1: some failed.
    2: there is no such test.
    """
    from blockproof import fixture_report
    from blockproof.fixture_suite import Options, default_jobs, run_suite
    from blockproof.guests import BLOCK_GUEST, shipped_guests

    options, guest = Options(max_steps, minimal), shipped_guests()[BLOCK_GUEST]
    what = {"version": __version__, "path": str(path.resolve()), "forks": forks, "tests": patterns, "options": [max_steps, minimal], "guest": guest}
    start = time.monotonic()
    journal = fixture_report.Journal(reports[0], what) if reports else None
    with journal or contextlib.nullcontext():
        outcomes: dict[str, Outcome] = {}
        selected = _not_done(_selected(path, forks, patterns), journal.known if journal else {}, outcomes)
        with contextlib.closing(run_suite(selected, options, jobs or default_jobs())) as running:
            mend = "the same command goes on from there" if journal else "with --report, a run that was stopped can go on"
            with stoppable("stopped", mend), _Progress(enabled=not quiet and not as_json, done=len(journal.known) if journal else 0) as progress:
                for outcome in running:
                    outcomes[outcome.key] = outcome
                    if journal:
                        journal.add(outcome)
                    progress.add(outcome)
        if all(outcome.skipped for outcome in outcomes.values()):
            raise UsageError("no test fits", "see the names in the suite; --fork and --test narrow them down")
        results = list(outcomes.values())
        for report in reports:
            fixture_report.write_report(report, results, time.monotonic() - start, guest)
    if as_json:
        summary = fixture_report.as_json(results, time.monotonic() - start, guest)
        failed = [result for result in summary.pop("results") if not result["passed"] and not result["skipped"]]
        click.echo(json.dumps(summary | {"failures": failed}))
    else:
        _print_report(results, time.monotonic() - start)
    if any(outcome.failures for outcome in results):
        sys.exit(1)
    if prove_count:
        _prove_some(path, results, prove_count, quiet, as_json)


def _not_done(tests: Iterator[RawFixture], known: dict[str, Outcome], outcomes: dict[str, Outcome]) -> Iterator[RawFixture]:
    """
    The tests that the journal does not know, by name and contents; those that it knows go to `outcomes`.

    Raises FormatError where two tests have one name: one would hide the other.
    """
    from witness.errors import FormatError

    seen: set[str] = set()
    for test in tests:
        if test.key in seen:
            raise FormatError(f"two tests are called {test.key}")
        seen.add(test.key)
        if test.key in known and known[test.key].digest == test.digest:
            outcomes[test.key] = known[test.key]
        else:
            yield test


def _selected(path: Path, forks: tuple[str, ...], patterns: tuple[str, ...]) -> Iterator[RawFixture]:
    from witness.fixtures import read_suite

    for test in read_suite(path):
        if forks and test.network not in forks:
            continue
        if patterns and not any(fnmatch.fnmatchcase(test.key, pattern) for pattern in patterns):
            continue
        yield test


class _Progress:
    """One line, rewritten in place on a terminal, thinned out elsewhere. Failures stay."""

    def __init__(self, enabled: bool, done: int) -> None:
        self._enabled, self._done, self._failed, self._steps = enabled, done, 0, 0
        self._start = self._last = time.monotonic()
        self._terminal = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Self:
        if self._enabled and self._done:
            click.echo(f"{self._done} tests are in the journal already", err=True)
        return self

    def add(self, outcome: Outcome) -> None:
        self._done += 1
        self._steps += outcome.steps
        self._failed += bool(outcome.failures)
        if not self._enabled:
            return
        if outcome.failures:
            click.echo(("\r\x1b[K" if self._terminal else "") + f"FAILED {outcome.key}: {outcome.failures[0]}", err=True)
        now = time.monotonic()
        if now - self._last > (0.2 if self._terminal else 30):
            self._last = now
            line = f"{self._done} tests, {self._failed} failed, {self._steps / 1e6:,.0f} M steps, {outcome.network}"
            click.echo(f"\r\x1b[K{line}" if self._terminal else line, err=True, nl=not self._terminal)

    def __exit__(self, *_: object) -> None:
        if self._enabled and self._terminal:
            click.echo("\r\x1b[K", err=True, nl=False)


def _print_report(results: list[Outcome], seconds: float) -> None:
    from blockproof.fixture_report import rows_by, slowest

    header = ("tests", "passed", "failed", "skipped", "M steps", "worker s")
    for attribute in ("network", "folder"):
        rows = [
            (label, str(tests), str(passed), str(failed), str(skipped), f"{steps / 1e6:,.1f}", f"{spent:,.1f}")
            for label, tests, passed, failed, skipped, steps, spent in rows_by(results, attribute)
        ]
        print_table(rows, (attribute, *header))
        click.echo()
    click.echo("most steps")
    for outcome in slowest(results):
        click.echo(f"  {outcome.steps / 1e6:10,.1f} M  {outcome.seconds:6.1f} s  {outcome.key}")
    failed = [outcome for outcome in results if outcome.failures]
    for outcome in failed:
        click.echo(f"FAILED {outcome.key}")
        for failure in outcome.failures:
            click.echo(f"  {failure}")
    if added := sum(outcome.added for outcome in results):
        click.echo(f"the guest asked for {added} nodes and codes beyond minimal witnesses, in {sum(bool(o.added) for o in results)} tests")
    skipped = sum(bool(outcome.skipped) for outcome in results)
    click.echo(f"{len(results) - len(failed) - skipped} passed, {len(failed)} failed, {skipped} skipped, in {seconds:.0f} s")


def _prove_some(path: Path, results: list[Outcome], count: int, quiet: bool, as_json: bool) -> None:
    """Proves the first block of tests drawn among those that are small enough, and verifies each proof."""
    import random
    import tempfile

    from blockproof import block_proof
    from blockproof.fixture_suite import Chain, encode_block
    from blockproof.progress import ProgressLine
    from witness.fixtures import fixture
    from witness.importers import import_input

    candidates = sorted(outcome.key for outcome in results if outcome.passed and 0 < outcome.steps <= PROVABLE_STEPS)
    random.Random(PROVE_SEED).shuffle(candidates)
    tests = {test.key: test for test in _selected(path, (), ()) if test.key in set(candidates)}
    proven = 0
    with tempfile.TemporaryDirectory() as folder:
        for key in candidates:
            if proven == count:
                return
            test = fixture(tests[key])
            given = test.blocks[0]
            if given.exception is not None:
                continue
            encoded, _, root = encode_block(Chain.of(test), given, test.fork_of(given), test)
            if root is None:
                continue
            proof = Path(folder) / "block.proof"
            with ProgressLine(enabled=not quiet and not as_json) as progress:
                block_proof.prove(import_input(encoded), proof, progress=progress)
            # Suites borrow the chain id of mainnet.
            accepted = block_proof.verify(proof, expect_root=root, allow_unbound=True)
            proven += 1
            if not as_json:
                click.echo(f"proven and verified at {accepted.bits:.1f} bits, {proof.stat().st_size:,} bytes: {key}")
    if proven < count:
        raise RefusedError(f"only {proven} of {count} blocks could be proven", f"no more tests passed with at most {PROVABLE_STEPS:,} steps")


fixtures.add_command(fetch_command)
