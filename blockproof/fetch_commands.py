"""
`blockproof fetch`: blocks from a node into files, one each.

Exit codes: 0 every block is in its file, 1 one or more failed, 2 the question was off, 130 stopped. What is done is kept.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blockproof.errors import BlockproofError, StoppedError, UsageError
from blockproof.fetching import URL_VARIABLE, RpcOptions, fetch_from, open_node, parse_identifier, parse_range
from blockproof.stopping import stoppable

if TYPE_CHECKING:
    from rpc.node import Node
    from rpc.transport import RpcStatistics
    from witness.chains import ChainConfig
    from witness.importers import LoadedInput

_DONE, _FAILED, _INTERRUPTED = 0, 1, 130
_QUIET_SECONDS = 15.0


@dataclass
class _Outcome:
    """What became of the blocks: `done` and `failed` as they are printed with --json."""

    done: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    stopped: bool = False

    def fail(self, block: int | bytes | str, error: Exception) -> None:
        cause, mend = getattr(error, "cause", str(error)), getattr(error, "mend", "")
        name = "0x" + block.hex() if isinstance(block, bytes) else block
        self.failed.append({"block": name, "kind": type(error).__name__, "error": cause, "mend": mend})


class _Progress:
    """Calls and bytes on standard error: one line rewritten on a terminal, a line now and then elsewhere."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled and sys.stderr is not None
        self._is_terminal = self._enabled and sys.stderr.isatty()
        self._start = time.monotonic()
        self._last = 0.0
        self._width = 0
        self._note = ""
        self._statistics = ""

    def note(self, line: str) -> None:
        """One line that says what is done now."""
        self._note = line
        if self._is_terminal:
            self._rewrite()
        elif self._enabled:
            self._write(f"[{self._seconds():.0f} s] {line}\n")

    def count(self, statistics: RpcStatistics) -> None:
        """After each request to the node."""
        self._statistics = str(statistics)
        now = time.monotonic()
        if self._enabled and now - self._last > (0.1 if self._is_terminal else _QUIET_SECONDS):
            self._last = now
            if self._is_terminal:
                self._rewrite()
            else:
                self._write(f"[{self._seconds():.0f} s] {self._statistics}\n")

    def end(self) -> None:
        """Clears the line."""
        if self._is_terminal and self._width:
            self._write("\r" + " " * self._width + "\r")
            self._width = 0

    def _seconds(self) -> float:
        return time.monotonic() - self._start

    def _rewrite(self) -> None:
        text = f"[{self._seconds():.0f} s] {self._note}" + (f"; {self._statistics}" if self._statistics else "")
        text = text[:160]
        self._write("\r" + text.ljust(self._width))
        self._width = len(text)

    def _write(self, text: str) -> None:
        # Where nobody reads any more there is nobody to tell; the work goes on.
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


def fetch_with_progress(block: str, url: str, chain: ChainConfig | None, quiet: bool) -> LoadedInput:
    """The input of one block for a command that goes on with it. Raises as blockproof.fetching.fetch_input."""
    progress = _Progress(enabled=not quiet)
    node = open_node(url, RpcOptions(), progress.count)
    try:
        return fetch_from(node, parse_identifier(block), chain, progress.note)
    finally:
        progress.end()
        node.close()


@click.command()
@click.argument("block")
@click.option(
    "--rpc", "url", envvar=URL_VARIABLE, show_envvar=True, metavar="URL", help="The node's JSON-RPC, http or https."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where the input goes: a file, for a range a folder. Default: CHAIN_NUMBER.ssz here.",
)
@click.option("--chain", help="mainnet, sepolia, hoodi, holesky, or a GENESIS.json, where the chain's id is not known.")
@click.option("--rate", type=float, help="Calls per second at most; each call of a batch counts.")
@click.option("--timeout", type=float, default=30.0, show_default=True, help="Seconds to wait for one answer.")
@click.option("--total-timeout", type=float, default=3600.0, show_default=True, help="Seconds that one block may take.")
@click.option("--no-cache", is_flag=True, help="Keep no answers on disk, and use none.")
@click.option("--quiet", is_flag=True, help="No progress.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def fetch(
    block: str,
    url: str | None,
    output: Path | None,
    chain: str | None,
    rate: float | None,
    timeout: float,
    total_timeout: float,
    no_cache: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Fetch a block and its witness from a node: BLOCK is a number, a hash, a tag, or a range A..B, both included.

    The input is executed in the emulator before it is written. A range that is fetched again skips the files that are
    there and whose block is still on the chain. Credentials: in the address, or in BLOCKPROOF_RPC_AUTHORIZATION.
    """
    from witness.chains import load_chain

    numbers = parse_range(block)
    wanted: Sequence[int | bytes | str] = [parse_identifier(block)] if numbers is None else numbers
    if not url:
        raise UsageError("no node is named", f"give its address with --rpc, or set {URL_VARIABLE}")
    if numbers is not None and output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"{output} is no folder", "the blocks of a range go into one file each; name a folder")
    config = load_chain(chain) if chain else None
    progress = _Progress(enabled=not quiet)
    outcome = _Outcome()
    node = open_node(url, RpcOptions(rate, timeout, total_timeout, not no_cache), progress.count)
    try:
        with stoppable("stopped", ""):
            _fetch_all(node, wanted, config, output, numbers is not None, progress, outcome, as_json)
    except StoppedError:
        outcome.stopped = True
    finally:
        progress.end()
        node.close()
    _report(outcome, len(wanted), node.statistics, as_json)
    sys.exit(_INTERRUPTED if outcome.stopped else _FAILED if outcome.failed else _DONE)


def _fetch_all(
    node: Node,
    wanted: Sequence[int | bytes | str],
    chain: ChainConfig | None,
    output: Path | None,
    is_range: bool,
    progress: _Progress,
    outcome: _Outcome,
    as_json: bool,
) -> None:
    """Fetches block after block, until one failure says that the others would fail too."""
    from rpc.errors import BlockNotFound, ConnectionFailed, RateLimited, Unauthorized, WrongChain
    from witness.errors import ChainError, WitnessError

    for_all = (BlockNotFound, ConnectionFailed, RateLimited, Unauthorized, WrongChain, ChainError, OSError)
    for identifier in wanted:
        try:
            path = _range_path(node, chain, output, identifier) if is_range else None
            loaded = None if path is None else _already_there(node, path, chain, identifier)
            was_there = loaded is not None
            if loaded is None:
                loaded = fetch_from(node, identifier, chain, progress.note)
                path = path or _single_path(output, loaded)
                _write(path, loaded)
        except (BlockproofError, WitnessError, OSError) as error:
            outcome.fail(identifier, error)
            if isinstance(error, for_all):
                return
            continue
        progress.end()
        done = {
            "number": loaded.number,
            "block_hash": "0x" + loaded.block_hash.hex(),
            "fork": loaded.fork.label,
            "file": str(path),
            "bytes": len(loaded.encoded),
            "was_there": was_there,
        }
        outcome.done.append(done)
        if not as_json:
            verb = "have" if was_there else "wrote"
            click.echo(
                f"{verb} {path}: block {loaded.number}, {done['block_hash']}, {loaded.fork.label}, {len(loaded.encoded):,} bytes"
            )


def _name(chain: str | None, chain_id: int, number: int) -> str:
    return f"{chain or f'chain-{chain_id}'}_{number}.ssz"


def _range_path(node: Node, chain: ChainConfig | None, folder: Path | None, number: int) -> Path:
    from witness.chains import KNOWN_BY_ID

    known = chain or KNOWN_BY_ID.get(node.chain_id())
    return (folder or Path()) / _name(known.name if known else None, node.chain_id(), number)


def _single_path(output: Path | None, loaded: LoadedInput) -> Path:
    name = _name(loaded.chain, loaded.stateless_input.chain_id, loaded.number)
    if output is None:
        return Path(name)
    return output / name if output.is_dir() else output


def _already_there(node: Node, path: Path, chain: ChainConfig | None, number: int) -> LoadedInput | None:
    """The input in a file of an earlier run: it decodes, is of this chain and number, and its block is on the node's chain."""
    from rpc.errors import ReorgError
    from witness.errors import WitnessError
    from witness.importers import load_input

    try:
        loaded = load_input(path, chain)
    except (WitnessError, FileNotFoundError):
        return None
    if loaded.form != "canonical" or loaded.number != number or loaded.stateless_input.chain_id != node.chain_id():
        return None
    node.begin()
    try:
        node.check_on_chain(number, loaded.block_hash)
    except ReorgError:
        return None
    return loaded


def _write(path: Path, loaded: LoadedInput) -> None:
    from rpc.cache import write_whole

    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, loaded.encoded, durable=True)


def _report(outcome: _Outcome, wanted: int, statistics: RpcStatistics, as_json: bool) -> None:
    if as_json:
        asked = {"calls": statistics.calls, "requests": statistics.requests, "bytes": statistics.bytes}
        asked |= {"retries": statistics.retries, "cached": statistics.cached, "seconds": round(statistics.seconds, 3)}
        is_ok = not outcome.failed and not outcome.stopped
        shown = {
            "ok": is_ok,
            "blocks": outcome.done,
            "failed": outcome.failed,
            "stopped": outcome.stopped,
            "node": asked,
        }
        click.echo(json.dumps(shown))
        return
    for failure in outcome.failed:
        block = f"block {failure['block']}: " if wanted > 1 else ""
        click.echo(f"blockproof: {block}{failure['error']}", err=True)
        if failure["mend"]:
            click.echo(f"  mend: {failure['mend']}", err=True)
    if wanted > 1:
        there = sum(one["was_there"] for one in outcome.done)
        left = wanted - len(outcome.done) - len(outcome.failed)
        click.echo(
            f"{len(outcome.done)} done ({there} were there), {len(outcome.failed)} failed, {left} not begun; {statistics}"
        )
    else:
        click.echo(f"{statistics}, {statistics.cached} answers from the cache", err=True)
    if outcome.stopped:
        click.echo("blockproof: stopped; what is done is kept", err=True)
        click.echo("  mend: the same command goes on from there", err=True)
