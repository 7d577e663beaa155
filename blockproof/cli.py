"""
The command line: commands parse, call the library, print. Exit codes: 0 yes, 1 no (refused, invalid, failed), 2 the question was off or a file
could not be read or written, 130 stopped by Ctrl-C.
"""

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from blockproof import __version__
from blockproof.diff_command import diff_command
from blockproof.errors import BlockproofError, ProofRefusedError, RefusedError, StoppedError, UsageError
from blockproof.fetch_commands import fetch, fetch_with_progress
from blockproof.fetching import URL_VARIABLE
from blockproof.fixtures_commands import fixtures
from blockproof.stopping import stoppable
from blockproof.tables import print_table

ACCEPTED, REFUSED, USAGE = 0, 1, 2
INTERRUPTED = 130


class Main(click.Group):
    """
    Turns typed errors into a line on standard error, or with --json into one object on standard output, and an exit code. A traceback is a bug, or asked
    for with BLOCKPROOF_TRACEBACK=1.
    """

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        context.meta[AS_JSON] = "--json" in arguments
        return super().parse_args(context, arguments)

    def invoke(self, context: click.Context) -> Any:
        if os.environ.get("BLOCKPROOF_TRACEBACK"):
            return super().invoke(context)
        as_json = context.meta[AS_JSON]
        try:
            return super().invoke(context)
        except (click.exceptions.Exit, click.Abort):
            raise
        except click.ClickException as error:
            if not as_json:
                raise
            _fail(error.format_message(), "", type(error).__name__, error.exit_code, as_json)
        except KeyboardInterrupt:
            _fail("stopped", "", "KeyboardInterrupt", INTERRUPTED, as_json)
        except StoppedError as error:
            _fail(error.cause, error.mend, "StoppedError", INTERRUPTED, as_json)
        except ProofRefusedError as error:
            _fail(error.cause, error.mend, type(error).__name__, REFUSED, as_json, prefix="REFUSED  ")
        except BlockproofError as error:
            _fail(error.cause, error.mend, type(error).__name__, REFUSED if isinstance(error, RefusedError) else USAGE, as_json)
        except OSError as error:
            _fail(_os_cause(error), _os_mend(error), type(error).__name__, USAGE, as_json)
        except Exception as error:
            known = _exit_code_of(error)
            if known is None:
                raise
            _fail(": ".join([*getattr(error, "__notes__", []), getattr(error, "cause", str(error))]), getattr(error, "mend", ""), type(error).__name__, known, as_json, _facts(error))


AS_JSON = "blockproof.json"


def _exit_code_of(error: Exception) -> int | None:
    """The exit code of another package's typed error; None for a bug."""
    from rpc.collect_errors import CollectError
    from rpc.errors import BadUrl, RpcError
    from witness.errors import WitnessError
    from zkvm.machine.errors import ElfError, InputTooLong, MachineError
    from zkvm.protocol.errors import ProverError, RefusalError
    from zkvm.prover import RunFailedError
    from zkvm.trace import NotProvableError
    from zkvm.work_files import BusyError

    if isinstance(error, RpcError | CollectError) and not isinstance(error, BadUrl):
        return REFUSED
    if isinstance(error, ElfError | InputTooLong | WitnessError | BusyError):
        return USAGE
    if isinstance(error, MachineError | NotProvableError | RunFailedError | RefusalError | ProverError):
        return REFUSED
    return None


def _facts(error: Exception) -> dict[str, Any]:
    """What a typed error knows beside its message."""
    from zkvm.machine.errors import Trap

    return {"pc": hex(error.pc)} if isinstance(error, Trap) else {}


def _os_cause(error: OSError) -> str:
    return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}"


def _os_mend(error: OSError) -> str:
    from zkvm.kernels.policy import cache_root

    if isinstance(error.filename, str | Path) and Path(error.filename).is_relative_to(cache_root()):
        return "name another folder for caches and unfinished work in BLOCKPROOF_CACHE"
    return ""


def _fail(
    cause: str, mend: str, kind: str, code: int, as_json: bool, facts: dict[str, Any] | None = None, prefix: str = "blockproof: "
) -> NoReturn:
    try:
        if as_json:
            click.echo(json.dumps({"ok": False, "error": f"{cause}; {mend}" if mend else cause, "kind": kind, **(facts or {})}))
        else:
            click.echo(f"{prefix}{cause}", err=True)
            if mend:
                click.echo(f"  mend: {mend}", err=True)
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # Nobody listens any more, or the disk is full: what is still in the buffer would fail again when the interpreter ends, with a code of its own.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        code = code or USAGE
    sys.exit(code)


def _proving() -> contextlib.AbstractContextManager[None]:
    """For commands that prove: a stop removes temporary files and keeps finished shards."""
    return stoppable("stopped; finished shards are kept", "the same command goes on from there; `blockproof cache clean --all` forgets them")


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")


def _size(text: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    number, unit = (text[:-1], units[text[-1].upper()]) if text and text[-1].upper() in units else (text, 1)
    if not (number.isascii() and number.isdigit() and len(number) <= 15):
        raise UsageError(f"{text[:40]!r} is no size", "write bytes, or a number with K, M or G, e.g. 512M")
    return min(int(number) * unit, MOST_BYTES)


MOST_BYTES = 1 << 50
"""No machine has more; larger sizes mean this."""


def _shape(memory: str, log_rows: int | None) -> Any:
    """How large shards may be, from --memory and --shard-rows."""
    from zkvm.prover import LEAST_MEMORY, ShardShape

    memory_bytes = _size(memory)
    if log_rows is not None:
        return ShardShape(log_rows)
    if memory_bytes < LEAST_MEMORY:
        raise UsageError(f"--memory {memory} is too little to prove anything", f"the smallest shards take {_bytes(LEAST_MEMORY)}")
    return ShardShape.for_memory(memory_bytes)


def limit_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the emulator's limits."""

    @click.option("--max-steps", type=click.IntRange(min=1), default=1 << 34, show_default=True, help="Stop after so many instructions.")
    @click.option("--max-memory", default="2G", show_default=True, help="Stop when the guest has touched so much memory.")
    @functools.wraps(command)
    def wrapped(*arguments: Any, max_steps: int, max_memory: str, **options: Any) -> None:
        from zkvm.machine import Limits

        command(*arguments, limits=Limits(steps=max_steps, memory_bytes=_size(max_memory)), **options)

    return wrapped


def prove_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what decides how, not what, is proven."""
    command = click.option("--quiet", is_flag=True, help="No progress on standard error.")(command)
    command = click.option("--shard-rows", type=click.IntRange(min=12, max=21), help="log2 of a shard's rows, instead of what --memory allows.")(command)
    command = click.option("--threads", type=click.IntRange(min=1), help="Processors to use; all if not given.")(command)
    return click.option("--memory", default="8G", show_default=True, help="Memory to stay below: it chooses how large shards are.")(command)


def _read_input(text: str | None) -> bytes:
    """FILE or 0xHEX; nothing given means no bytes."""
    if text is None:
        return b""
    # A name of more than 255 bytes is no file's; to ask the system for it is an error.
    if text.startswith(("0x", "0X")) and (len(text) > 255 or not Path(text).exists()):
        try:
            return bytes.fromhex(text[2:])
        except ValueError:
            raise UsageError(f"{text[:40]!r} is not hexadecimal", "write 0x and whole bytes, or the path of a file") from None
    from zkvm.machine.memory_map import INPUT_LENGTH_LIMIT

    path = Path(text)
    try:
        with path.open("rb") as file:
            content = file.read(INPUT_LENGTH_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"cannot read the input {text!r}: {error.strerror}", "give a file, or bytes as 0x..") from error
    if len(content) > INPUT_LENGTH_LIMIT:
        raise UsageError(f"{text} has more than {INPUT_LENGTH_LIMIT} bytes", "the INPUT region holds no more")
    return content


def _short(name: str) -> str:
    """A function's name at a width that a table bears: generic instances are long."""
    return name if len(name) <= 72 else name[:46] + ".." + name[-24:]


def _bytes(count: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(__version__, prog_name="blockproof")
def main() -> None:
    """Stateless Ethereum blocks, executed and proven in a RISC-V zkVM."""


# --- blocks ----------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("block")
@click.option("--chain", help="mainnet, sepolia, hoodi, holesky, or a GENESIS.json, where the input does not name its chain.")
@click.option("--rpc", envvar=URL_VARIABLE, show_envvar=True, metavar="URL", help="A node to fetch BLOCK from, where BLOCK is no file.")
@limit_options
@json_option
def execute(block: str, chain: str | None, rpc: str | None, limits: Any, as_json: bool) -> None:
    """Execute a block in the emulator: BLOCK is an input file (StatelessInput, or a block file with its witness),
    or with --rpc a number, hash or tag.

    Exit code 0: the guest says valid. 1: it says not valid, with its reason.
    """
    from blockproof import pipeline

    loaded = _load_block(block, chain, rpc, quiet=as_json)
    verdict = pipeline.execute(loaded, limits=limits)
    result, ran = verdict.result, verdict.run
    if as_json:
        click.echo(json.dumps({
            "ok": verdict.is_valid, "flag": int(result.successful_validation), "reason": verdict.reason,
            "new_payload_request_root": "0x" + result.new_payload_request_root.hex(),
            "chain_id": result.chain_id, "schema_id": result.schema_id, "fork": loaded.fork.label,
            "number": loaded.number, "block_hash": "0x" + loaded.block_hash.hex(), "gas_used": loaded.gas_used,
            "transactions": loaded.transactions, **_run_json(ran),
        }))  # fmt: skip
    else:
        chain_name = loaded.chain or f"chain {result.chain_id}"
        click.echo(f"block {loaded.number} of {chain_name}, {loaded.fork.label}: {'valid' if verdict.is_valid else 'NOT VALID'}")
        if not verdict.is_valid:
            click.echo(f"  reason      {verdict.reason}")
        click.echo(f"  block hash  0x{loaded.block_hash.hex()}")
        click.echo(f"  root        0x{result.new_payload_request_root.hex()}")
        click.echo(f"  flag {int(result.successful_validation)}, chain id {result.chain_id}, schema id {result.schema_id:#06x}")
        click.echo(f"  gas {loaded.gas_used:,}, transactions {loaded.transactions}")
        _print_run(ran)
        _print_regions(ran)
        if loaded.fork < _paris():
            click.echo("  note: the proof-of-work seal is not checked")
    sys.exit(ACCEPTED if verdict.is_valid else REFUSED)


def _paris() -> int:
    from witness.schema import Fork

    return Fork.PARIS


def _load_block(block: str, chain_name: str | None, rpc: str | None, quiet: bool = False) -> Any:
    """The input in a file, where BLOCK is an existing path; else of the block that a node knows by this number, hash or tag."""
    from blockproof import pipeline
    from witness.chains import load_chain

    chain = load_chain(chain_name) if chain_name else None
    if Path(block).exists():
        return pipeline.load_block(Path(block), chain)
    if rpc is None:
        raise UsageError(f"there is no file {block!r}", f"to fetch a block from a node, name the node with --rpc URL, or in {URL_VARIABLE}")
    return fetch_with_progress(block, rpc, chain, quiet)


@main.command()
@click.option("-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), default="devnet-demo", show_default=True, help="Where block and proof go.")
@prove_options
def demo(folder: Path, memory: str, shard_rows: int | None, threads: int | None, quiet: bool) -> None:
    """The whole pipeline, small: make a block, execute it, prove it, verify the proof.

    The block is a Prague block of an embedded devnet: transfers, a contract call that writes storage, emits an event and calls a precompile, withdrawals.
    """
    import time

    from blockproof import block_proof, pipeline
    from blockproof.progress import ProgressLine
    from witness import encode_input, make_devnet_input
    from zkvm.warm_up import compiling_fillers_beside

    start, shape = time.monotonic(), _shape(memory, shard_rows)

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - start:5.1f} s] {text}")

    folder.mkdir(parents=True, exist_ok=True)
    with compiling_fillers_beside(), _proving():
        say("making a devnet block on the embedded chain, and its witness")
        path = folder / "block.ssz"
        path.write_bytes(encode_input(make_devnet_input()))
        say(f"wrote {path}, {_bytes(path.stat().st_size)}; executing it in the emulator (the first run compiles)")
        loaded = pipeline.load_block(path, None)
        verdict = pipeline.execute(loaded)
        if not verdict.is_valid:
            raise RefusedError(f"the guest refuses the devnet block: {verdict.reason}")
        say(f"block {loaded.number} is valid: {verdict.run.result.steps:,} steps; proving")
        proof = folder / "block.proof"
        with ProgressLine(enabled=not quiet) as progress:
            block_proof.prove(loaded, proof, shape=shape, threads=threads, progress=progress)
    say(f"wrote {proof}, {_bytes(proof.stat().st_size)}; verifying")
    _say_block(*_verify_block(proof))
    say("done")
    click.echo(f"\nnext: blockproof execute BLOCK, blockproof prove BLOCK -o PROOF, blockproof verify {proof}")


# --- the machine -----------------------------------------------------------------------------------------------------


@main.group()
def vm() -> None:
    """Any RISC-V program: run, measure."""


def guest_arguments(command: Callable[..., Any]) -> Callable[..., Any]:
    """GUEST and -i."""
    command = click.option("-i", "--input", "private_input", help="The private input: a file, or bytes as 0xHEX.")(command)
    return click.argument("guest")(command)


@vm.command("run")
@guest_arguments
@limit_options
@json_option
def vm_run(guest: str, private_input: str | None, limits: Any, as_json: bool) -> None:
    """Run GUEST (an ELF file, or the name of a shipped guest) and print its output.

    What the guest writes to its debug channel goes to standard error. Exit code 1 if it traps or exits with another code than 0.
    """
    ran = _run_guest(guest, private_input, limits)
    result = ran.result
    if as_json:
        click.echo(json.dumps({"ok": result.exit_code == 0, "output": "0x" + result.output.hex(), "exit_code": result.exit_code, **_run_json(ran)}))
    else:
        click.echo(f"output 0x{result.output.hex()}")
        _print_run(ran)
        if result.exit_code:
            click.echo(f"  exit code {result.exit_code}: such a run has no proof")
    sys.exit(ACCEPTED if result.exit_code == 0 else REFUSED)


@vm.command("stats")
@guest_arguments
@click.option("--top", type=click.IntRange(min=1), default=20, show_default=True, help="How many functions and instructions to list.")
@limit_options
@json_option
def vm_stats(guest: str, private_input: str | None, top: int, limits: Any, as_json: bool) -> None:
    """Run GUEST and say where its steps and cells go: by region, function, instruction and syscall."""
    from blockproof.costs import CELLS_PER_ROW

    ran = _run_guest(guest, private_input, limits)
    result = ran.result
    if as_json:
        click.echo(json.dumps({"ok": result.exit_code == 0, "output": "0x" + result.output.hex(), "exit_code": result.exit_code, **_run_json(ran)}))
        sys.exit(ACCEPTED if result.exit_code == 0 else REFUSED)
    click.echo(f"output 0x{result.output.hex()}")
    _print_run(ran)
    _print_regions(ran)
    total = max(result.steps, 1)
    click.echo("\nsteps by function (callees not included)")
    print_table([(_short(f.name), f"{f.steps:,}", f"{100 * f.steps / total:.1f} %") for f in result.functions[:top]], ("function", "steps", "share"))
    click.echo("\nsteps by instruction")
    ordered = sorted(result.instructions.items(), key=lambda item: -item[1])
    print_table([(name, f"{count:,}", f"{100 * count / total:.1f} %") for name, count in ordered[:top] if count], ("instruction", "steps", "share"))
    click.echo("\nrows and cells by chip")
    rows = [
        (family.label, f"{count:,}", f"{CELLS_PER_ROW[family]:,}" if family in CELLS_PER_ROW else "no chip yet",
         f"{count * CELLS_PER_ROW.get(family, 0):,}")
        for family, count in sorted(result.families.items(), key=lambda item: -item[1] * CELLS_PER_ROW.get(item[0], 0))
        if count
    ]  # fmt: skip
    print_table(rows, ("chip", "rows", "cells a row", "cells"))
    if any(result.syscalls.values()):
        click.echo("\ncalls by syscall")
        print_table([(call.label, f"{count:,}") for call, count in result.syscalls.items() if count], ("syscall", "calls"))
    sys.exit(ACCEPTED if result.exit_code == 0 else REFUSED)


def _run_guest(guest: str, private_input: str | None, limits: Any) -> Any:
    from blockproof import pipeline

    return pipeline.run(guest, _read_input(private_input), limits, on_debug=lambda text: click.echo(text, nl=False, err=True))


def _run_json(ran: Any) -> dict[str, Any]:
    from blockproof.costs import cost_of

    result, cost = ran.result, cost_of(ran.result.families)
    return {
        "steps": result.steps, "seconds": round(ran.seconds, 3), "misaligned": result.misaligned,
        "touched_bytes": result.touched_bytes,
        "regions": [{"path": list(region.path), "calls": region.calls, "steps": region.steps} for region in result.regions],
        "functions": {f.name: f.steps for f in result.functions},
        "instructions": {name: count for name, count in result.instructions.items() if count},
        "syscalls": {call.label: count for call, count in result.syscalls.items() if count},
        "rows": {family.label: count for family, count in result.families.items() if count},
        "predicted": {
            "cells": cost.total_cells, "seconds": round(cost.seconds, 1), "memory_bytes": cost.memory_bytes,
            "without_chip": [family.label for family in cost.unproven],
        },
    }  # fmt: skip


def _print_run(ran: Any) -> None:
    from blockproof.costs import cost_of

    result, cost = ran.result, cost_of(ran.result.families)
    rate = result.steps / max(ran.seconds, 1e-9) / 1e6
    click.echo(f"  steps {result.steps:,} in {ran.seconds:.2f} s ({rate:.0f} M/s), misaligned accesses {result.misaligned:,}, memory {_bytes(result.touched_bytes)}")
    click.echo(f"  predicted proof: {cost.total_cells:,} cells ({cost.total_cells / max(result.steps, 1):.0f} a step), some {cost.seconds:.0f} s on 2 cores, {_bytes(cost.memory_bytes)} of memory")
    if cost.unproven:
        click.echo(f"  cannot be proven yet: no chip for {', '.join(family.label for family in cost.unproven)}")


def _print_regions(ran: Any) -> None:
    from blockproof.costs import cost_of

    if not ran.result.regions:
        return
    total = max(ran.result.steps, 1)
    click.echo("\nsteps by region (inner regions included)")
    print_table(
        [
            ("  " * (len(region.path) - 1) + region.path[-1], f"{region.calls:,}", f"{region.steps:,}", f"{100 * region.steps / total:.1f} %",
             f"{cost_of(region.families).total_cells:,}")
            for region in ran.result.regions
        ],
        ("region", "calls", "steps", "share", "cells"),
    )  # fmt: skip


@vm.command("prove")
@guest_arguments
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where the proof goes; it appears only when complete.")
@click.option("--verify", "verify_after", is_flag=True, help="Verify the proof as soon as it is made.")
@click.option("--check-rows", is_flag=True, help="Check every constraint on every row first: slow, and names what is wrong.")
@prove_options
@limit_options
@json_option
def vm_prove(
    guest: str, private_input: str | None, output: Path, verify_after: bool, check_rows: bool, memory: str, shard_rows: int | None,
    threads: int | None, quiet: bool, limits: Any, as_json: bool,
) -> None:  # fmt: skip
    """Run GUEST and prove the run. The proof is not private: it may reveal parts of the input.

    Ctrl-C keeps the shards that are done; the same command goes on from there.
    """
    import time

    from blockproof.guests import load_guest
    from blockproof.program_ids import format_id
    from blockproof.progress import ProgressLine
    from zkvm.prover import prove_program

    program, content, shape = load_guest(guest), _read_input(private_input), _shape(memory, shard_rows)
    _writable(output)
    start = time.monotonic()
    with ProgressLine(enabled=not quiet) as progress, _proving():
        proven = prove_program(program, content, output, shape=shape, threads=threads, limits=limits, check_rows=check_rows, progress=progress)
    seconds = time.monotonic() - start
    facts = {
        "ok": True, "proof": str(output), "program_id": format_id(proven.program_id), "output": "0x" + proven.result.output.hex(),
        "steps": proven.result.steps, "execution_shards": proven.shard_counts[0], "memory_shards": proven.shard_counts[1],
        "proof_bytes": output.stat().st_size, "seconds": round(seconds, 2),
    }  # fmt: skip
    if not as_json:
        click.echo(f"proof {output}: {_bytes(output.stat().st_size)}, {proven.result.steps:,} steps in {proven.shard_counts[0]} shards, {seconds:.1f} s ({proven.result.steps / seconds:,.0f} steps/s)")
        click.echo(f"  program id {format_id(proven.program_id)}")
        click.echo(f"  output     0x{proven.result.output.hex()}")
    if verify_after:
        verified = _verify_program(output, None, 128.0)
        facts |= {"ok": verified["ok"], "verified": verified}
        if not as_json:
            _say_program(verified)
    if as_json:
        click.echo(json.dumps(facts))
    sys.exit(ACCEPTED if facts["ok"] else REFUSED)


@vm.command("verify")
@click.argument("proof", type=click.Path(path_type=Path))
@click.option("--program-id", help="Accept only proofs about this program: an id as `guest id` prints it, or a shipped guest's name.")
@click.option("--security", type=click.FloatRange(min=1), default=128, show_default=True, help="Refuse proofs of fewer bits.")
@json_option
def vm_verify(proof: Path, program_id: str | None, security: float, as_json: bool) -> None:
    """Verify PROOF. Without --program-id it is proven that *some* program halted with the output; its id is printed."""
    verified = _verify_program(proof, program_id, security)
    if as_json:
        click.echo(json.dumps(verified))
    else:
        _say_program(verified)
    sys.exit(ACCEPTED if verified["ok"] else REFUSED)


def _verify_program(proof: Path, program_id: str | None, required_bits: float) -> dict[str, Any]:
    """What the verifier says, as the object that --json prints."""
    import time

    from blockproof.block_proof import MAGIC
    from blockproof.program_ids import format_id, parse_id, shipped_ids
    from zkvm.protocol.errors import Refusal
    from zkvm.prover import verify_program

    expected = parse_id(program_id) if program_id else None
    start = time.monotonic()
    try:
        with proof.open("rb") as file:
            if file.peek(len(MAGIC))[: len(MAGIC)] == MAGIC:
                raise ProofRefusedError(f"{proof} is a block proof", "`blockproof verify` verifies it")
            answer = verify_program(file, expected_id=expected, required_bits=required_bits)
    except OSError as error:
        raise UsageError(f"cannot read {proof}: {error.strerror}") from error
    seconds = time.monotonic() - start
    if isinstance(answer, Refusal):
        return {"ok": False, "error": str(answer), "kind": "Refusal", "reason": answer.reason.value, "detail": answer.detail}
    name = next((name for name, known in shipped_ids().items() if known == answer.program_id), None)
    return {
        "ok": True, "program_id": format_id(answer.program_id), "guest": name, "output": "0x" + answer.output.hex(),
        "bits": round(answer.bits, 2), "execution_shards": answer.shard_counts[0], "memory_shards": answer.shard_counts[1],
        "seconds": round(seconds, 3),
    }  # fmt: skip


def _say_program(verified: dict[str, Any]) -> None:
    if not verified["ok"]:
        click.echo(f"REFUSED  {verified['error']}", err=True)
        return
    name = verified["guest"]
    click.echo(f"ACCEPTED at {verified['bits']:.1f} bits in {verified['seconds']:.1f} s: the program halted with exit code 0 and this output")
    click.echo(f"  program id {verified['program_id']} ({f'shipped guest {name}' if name else 'not a shipped guest'})")
    click.echo(f"  output     {verified['output']}")


@vm.command("constraints")
@guest_arguments
@click.option("--rows", type=click.IntRange(min=12, max=20), default=14, show_default=True, help="log2 of a shard's rows.")
@limit_options
@json_option
def vm_constraints(guest: str, private_input: str | None, rows: int, limits: Any, as_json: bool) -> None:
    """Run GUEST and check every constraint on every row and every bus, in the clear; no proof is made.

    Lists failing rows by chip and constraint, and tuples that do not cancel. For whoever writes a chip.
    """
    from blockproof.guests import load_guest
    from zkvm.prover import ShardShape, check_program

    problems = list(check_program(load_guest(guest), _read_input(private_input), ShardShape(rows), limits))
    if as_json:
        click.echo(json.dumps({"ok": not problems, "problems": problems}))
    else:
        for problem in problems:
            click.echo(problem)
        if not problems:
            click.echo("every constraint holds on every row, and every bus is balanced")
    sys.exit(REFUSED if problems else ACCEPTED)


@main.command()
@click.argument("proof", type=click.Path(path_type=Path))
@json_option
def security(proof: Path, as_json: bool) -> None:
    """How many bits each layer of PROOF is worth, from its own parameters and shapes. Verifies nothing else."""
    from blockproof.block_proof import open_core
    from zkvm.prover import proof_facts

    with open_core(proof) as file:
        _, reports = proof_facts(file)
    layers = [
        {"layer": report.layer, "bits": round(report.bits, 2), "limited_by": report.limiting.name, "formula": report.limiting.formula,
         "rows": [{"name": row.name, "bits": round(row.bits, 2), "formula": row.formula} for row in report.rows]}
        for report in reports
    ]  # fmt: skip
    bits = min(report.bits for report in reports)
    if as_json:
        click.echo(json.dumps({"ok": bits >= 128, "bits": round(bits, 2), "layers": layers}))
    else:
        for report in reports:
            click.echo(f"{report.layer}: {report.bits:.1f} bits, limited by {report.limiting.name}")
            print_table([(row.name, f"{row.bits:.1f}", row.formula) for row in report.rows], ("row", "bits", "formula"))
        click.echo(f"{bits:.1f} bits")
    sys.exit(ACCEPTED if bits >= 128 else REFUSED)


def _writable(output: Path) -> None:
    """Says so before hours of work, not after."""
    from zkvm.work_files import clear_output

    folder = output.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "make it, or name another output")
    try:
        clear_output(output)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror}", "name another output") from error


# --- block proofs ----------------------------------------------------------------------------------------------------


@main.command()
@click.argument("block")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where the proof goes; it appears only when complete.")
@click.option("--chain", help="mainnet, sepolia, hoodi, holesky, or a GENESIS.json, where the input does not name its chain.")
@click.option("--rpc", envvar=URL_VARIABLE, show_envvar=True, metavar="URL", help="A node to fetch BLOCK from, where BLOCK is no file.")
@click.option("--allow-invalid", is_flag=True, help="Also prove that an input does not validate. That says nothing about the block.")
@click.option("--verify", "verify_after", is_flag=True, help="Verify the proof as soon as it is made.")
@prove_options
@json_option
def prove(
    block: str, output: Path, chain: str | None, rpc: str | None, allow_invalid: bool, verify_after: bool, memory: str, shard_rows: int | None,
    threads: int | None, quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Prove that BLOCK (an input file, or with --rpc a number, hash or tag) is valid. The proof is not private: it may reveal parts of the witness.

    Ctrl-C keeps the shards that are done; the same command goes on from there.
    """
    import time

    from blockproof import block_proof
    from blockproof.progress import ProgressLine

    loaded, shape = _load_block(block, chain, rpc, quiet or as_json), _shape(memory, shard_rows)
    _writable(output)
    start = time.monotonic()
    with ProgressLine(enabled=not quiet) as progress, _proving():
        verdict = block_proof.prove(loaded, output, allow_invalid=allow_invalid, shape=shape, threads=threads, progress=progress)
    seconds = time.monotonic() - start
    steps = verdict.run.result.steps
    facts = {
        "ok": True, "proof": str(output), "number": loaded.number, "block_hash": "0x" + loaded.block_hash.hex(), "flag": int(verdict.is_valid),
        "steps": steps, "proof_bytes": output.stat().st_size, "seconds": round(seconds, 2),
    }  # fmt: skip
    if not as_json:
        click.echo(f"proof {output}: {_bytes(output.stat().st_size)}, block {loaded.number}, {steps:,} steps, {seconds:.1f} s ({steps / seconds:,.0f} steps/s)")
    if verify_after:
        accepted, verified_in = _verify_block(output, allow_invalid=allow_invalid)
        if as_json:
            facts["verified"] = _block_json(accepted, verified_in)
        else:
            _say_block(accepted, verified_in)
    if as_json:
        click.echo(json.dumps(facts))


@main.command()
@click.argument("proof", type=click.Path(path_type=Path))
@click.option("--expect-block-hash", help="Refuse a proof about another block.")
@click.option("--expect-root", help="Refuse a proof about another new_payload_request_root.")
@click.option("--program-id", help="Accept proofs of this guest instead of the shipped block guest.")
@click.option("--allow-invalid", is_flag=True, help="Also accept a proof that an input did not validate.")
@click.option("--security", "required_bits", type=click.FloatRange(min=1), default=128, show_default=True, help="Refuse proofs of fewer bits.")
@json_option
def verify(
    proof: Path, expect_block_hash: str | None, expect_root: str | None, program_id: str | None, allow_invalid: bool, required_bits: float,
    as_json: bool,
) -> None:  # fmt: skip
    """Verify the block proof PROOF and say what it says, and what it does not."""
    accepted, seconds = _verify_block(proof, expect_block_hash, expect_root, program_id, allow_invalid, required_bits)
    if as_json:
        click.echo(json.dumps(_block_json(accepted, seconds)))
    else:
        _say_block(accepted, seconds)


def _verify_block(
    path: Path, expect_block_hash: str | None = None, expect_root: str | None = None, program_id: str | None = None, allow_invalid: bool = False,
    required_bits: float = 128,
) -> tuple[Any, float]:  # fmt: skip
    """The accepted proof, and how many seconds that took. Raises RefusedError."""
    import time

    from blockproof import block_proof
    from blockproof.program_ids import parse_id

    start = time.monotonic()
    accepted = block_proof.verify(
        path, expect_block_hash=_hash(expect_block_hash), expect_root=_hash(expect_root), program_id=parse_id(program_id) if program_id else None,
        allow_invalid=allow_invalid, required_bits=required_bits,
    )  # fmt: skip
    return accepted, time.monotonic() - start


def _block_json(accepted: Any, seconds: float) -> dict[str, Any]:
    from blockproof.program_ids import format_id

    return {
        "ok": True, "flag": int(accepted.is_valid), "chain_id": accepted.chain_id, "chain": accepted.chain, "fork": accepted.fork.label,
        "schema_id": accepted.schema_id, "number": accepted.number, "block_hash": "0x" + accepted.block_hash.hex(),
        "new_payload_request_root": "0x" + accepted.request_root.hex(), "bits": round(accepted.bits, 2),
        "program_id": format_id(accepted.program_id), "does_not_say": list(accepted.unsaid), "seconds": round(seconds, 3),
    }  # fmt: skip


def _say_block(accepted: Any, seconds: float) -> None:
    from blockproof.program_ids import format_id

    verdict = "valid" if accepted.is_valid else "an input for it did NOT validate"
    click.echo(f"ACCEPTED at {accepted.bits:.1f} bits in {seconds:.1f} s: block {accepted.number} of {accepted.chain or f'chain {accepted.chain_id}'}, {accepted.fork.label}: {verdict}")
    click.echo(f"  block hash  0x{accepted.block_hash.hex()}")
    click.echo(f"  root        0x{accepted.request_root.hex()}")
    click.echo(f"  program id  {format_id(accepted.program_id)}")
    click.echo("  the proof does not say")
    for unsaid in accepted.unsaid:
        click.echo(f"    - {unsaid}")


def _hash(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        value = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        value = b""
    if len(value) != 32:
        raise UsageError(f"{text[:80]!r} is no hash", "write 0x and 64 hexadecimal digits")
    return value


# --- looking ---------------------------------------------------------------------------------------------------------


@main.command()
@click.argument("path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--chain", help="mainnet, sepolia, hoodi, holesky, or a GENESIS.json, where the input does not name its chain.")
@json_option
def inspect(path: Path, chain: str | None, as_json: bool) -> None:
    """Say what a file is: an input for the block guest, an ELF, or a proof. Nothing is executed, and no proof verified."""
    from blockproof.block_proof import MAGIC as BLOCK_MAGIC
    from zkvm.protocol.proof import MAGIC

    with path.open("rb") as file:
        magic = file.read(8)
    if magic.startswith(b"\x7fELF"):
        description = _describe_elf(path)
    elif magic in (MAGIC, BLOCK_MAGIC):
        description = _describe_proof(path, magic == BLOCK_MAGIC)
    else:
        description = _describe_input(path, chain)
    if as_json:
        click.echo(json.dumps({"ok": True, **description}))
    else:
        for name, value in description.items():
            click.echo(f"{name.replace('_', ' '):<24} {value:,}" if isinstance(value, int) else f"{name.replace('_', ' '):<24} {value}")


def _describe_input(path: Path, chain: str | None) -> dict[str, Any]:
    from blockproof import pipeline
    from witness.chains import load_chain

    block = pipeline.load_block(path, load_chain(chain) if chain else None)
    given = block.stateless_input.witness
    return {
        "what": f"stateless input ({block.form})", "chain": block.chain or "unknown chain", "chain_id": block.stateless_input.chain_id,
        "fork": block.fork.label, "block": block.number, "block_hash": "0x" + block.block_hash.hex(), "gas_used": block.gas_used,
        "transactions": block.transactions, "encoded_bytes": len(block.encoded), "state_nodes": len(given.state),
        "state_bytes": sum(map(len, given.state)), "codes": len(given.codes), "code_bytes": sum(map(len, given.codes)),
        "headers": len(given.headers),
    }  # fmt: skip


def _describe_proof(path: Path, is_block: bool) -> dict[str, Any]:
    from blockproof.block_proof import open_core
    from blockproof.program_ids import format_id, shipped_ids
    from zkvm.prover import proof_facts, the_machine

    with open_core(path) as file:
        head, reports = proof_facts(file)
    program_id = the_machine().program_id(head.key)
    return {
        "what": f"{'block proof' if is_block else 'proof'}, not verified here", "program_id": format_id(program_id),
        "shipped_as": next((name for name, known in shipped_ids().items() if known == program_id), "not a shipped guest"),
        "output": "0x" + head.statement.output.hex(), "execution_shards": head.statement.shard_counts[0],
        "memory_shards": head.statement.shard_counts[1], "bits": f"{min(report.bits for report in reports):.1f}", "bytes": path.stat().st_size,
    }  # fmt: skip


def _describe_elf(path: Path) -> dict[str, Any]:
    from blockproof.guests import load_guest, shipped_guests

    program = load_guest(str(path))
    digest = program.digest.hex()
    return {
        "what": "RISC-V program", "sha256": digest, "entry": hex(program.entry), "instructions": len(program.words),
        "unsupported_words": int((program.decoded["operation"] == 0).sum()), "data_bytes": 8 * len(program.data),
        "functions": len(program.symbols), "shipped_as": next((n for n, d in shipped_guests().items() if d == digest), "not a shipped guest"),
    }  # fmt: skip


@main.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check this installation and machine: packages, memory, cache, shipped guests, optional tools."""
    from blockproof.doctor import examine

    findings = examine()
    if as_json:
        click.echo(json.dumps({"ok": all(f.is_fine or f.is_optional for f in findings), "findings": [vars(f) for f in findings]}))
    else:
        for finding in findings:
            mark = "ok " if finding.is_fine else "-  " if finding.is_optional else "BAD"
            click.echo(f"{mark} {finding.name:<18} {finding.detail}")
    sys.exit(ACCEPTED if all(f.is_fine or f.is_optional for f in findings) else REFUSED)


@main.group()
def cache() -> None:
    """Compiled kernels, answers of nodes and unfinished work."""


@cache.command("clean")
@click.option("--all", "unfinished", is_flag=True, help="Also remove the finished shards of interrupted proofs, and what building guests left.")
@json_option
def cache_clean(unfinished: bool, as_json: bool) -> None:
    """Remove compiled kernels, which are compiled again when needed, answers of nodes, and what killed provers left.

    Interrupted proofs can still be gone on with, unless --all is given.
    """
    from rpc.cache import clean_answers
    from zkvm.kernels.policy import cache_root, clean_cache
    from zkvm.work_files import clean_builds, clean_work

    freed = {"kernels": clean_cache(), "answers of nodes": clean_answers(), "unfinished work": clean_work(unfinished=unfinished)}
    if unfinished:
        freed["guest builds"] = clean_builds()
    if as_json:
        click.echo(json.dumps({"ok": True, "folder": str(cache_root()), "freed_bytes": sum(freed.values()), "freed": freed}))
    else:
        click.echo(f"freed {_bytes(sum(freed.values()))} in {cache_root()}: " + ", ".join(f"{name} {_bytes(count)}" for name, count in freed.items()))


# --- guests ----------------------------------------------------------------------------------------------------------


@main.group()
def guest() -> None:
    """Programs for the machine: list, build, start a new one."""


@guest.command("list")
@json_option
def guest_list(as_json: bool) -> None:
    """The guests that ship with blockproof."""
    from blockproof.guests import shipped_guests

    shipped = shipped_guests()
    if as_json:
        click.echo(json.dumps({"ok": True, "guests": shipped}))
    else:
        print_table([(name, digest) for name, digest in shipped.items()], ("guest", "sha256"))


@guest.command("id")
@click.argument("guest")
@json_option
def guest_id(guest: str, as_json: bool) -> None:
    """Compute the program id of GUEST (an ELF file or a shipped guest) from its bytes."""
    from blockproof.program_ids import compute_id, format_id

    text = format_id(compute_id(guest))
    click.echo(json.dumps({"ok": True, "guest": guest, "program_id": text}) if as_json else text)


@guest.command("build")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".")
@click.option("-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for the ELF; the guest's own folder if not given.")
@json_option
def guest_build(folder: Path, output: Path | None, as_json: bool) -> None:
    """Build the guest whose Cargo.toml lies in FOLDER into an ELF. Needs Debian's rustc-web, cargo-web, rust-web-src and lld."""
    import hashlib

    from blockproof.guest_build import GuestBuildError, build_guest

    try:
        elf = build_guest(folder / "Cargo.toml")
    except GuestBuildError as error:
        raise UsageError(str(error)) from error
    path = (output or folder) / f"{folder.resolve().name}.elf"
    path.write_bytes(elf)
    digest = hashlib.sha256(elf).hexdigest()
    click.echo(json.dumps({"ok": True, "elf": str(path), "sha256": digest}) if as_json else f"{path}\n  sha256 {digest}")


@guest.command("new")
@click.argument("name")
@click.option("--in", "parent", type=click.Path(exists=True, file_okay=False, path_type=Path), default=".", help="Where the guest's folder is made.")
@json_option
def guest_new(name: str, parent: Path, as_json: bool) -> None:
    """Start a new guest NAME: a folder with a program that runs natively, in the emulator, and can be proven."""
    from blockproof.guest_new import GuestNewError, new_guest

    try:
        folder = new_guest(name, parent)
    except GuestNewError as error:
        raise UsageError(str(error)) from error
    click.echo(json.dumps({"ok": True, "folder": str(folder)}) if as_json else f"{folder}: read its README.md")


main.add_command(fetch)
main.add_command(fixtures)
main.add_command(diff_command)


if __name__ == "__main__":
    main()
