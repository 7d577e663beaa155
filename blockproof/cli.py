"""
The command line: commands parse, call the library, print. Exit codes: 0 yes, 1 no (refused, invalid, failed), 2 the question was off.
"""

import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from blockproof import __version__
from blockproof.errors import BlockproofError, RefusedError, UsageError

ACCEPTED, REFUSED, USAGE = 0, 1, 2


class Main(click.Group):
    """Turns typed errors into one line on standard error and an exit code; a traceback only with BLOCKPROOF_TRACEBACK=1."""

    def invoke(self, context: click.Context) -> Any:
        if os.environ.get("BLOCKPROOF_TRACEBACK"):
            return super().invoke(context)
        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except RefusedError as error:
            _fail(error.cause, error.mend, REFUSED)
        except BlockproofError as error:
            _fail(error.cause, error.mend, USAGE)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(USAGE)
        except OSError as error:
            _fail(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", "", USAGE)
        except Exception as error:
            known = _exit_code_of(error)
            if known is None:
                raise
            _fail(str(error), "", known)


def _exit_code_of(error: Exception) -> int | None:
    """The exit code of another package's typed error; None for a bug."""
    from witness.errors import WitnessError
    from zkvm.machine.errors import ElfError, InputTooLong, MachineError
    from zkvm.protocol.errors import ProverError, RefusalError
    from zkvm.prover import RunFailedError
    from zkvm.trace import NotProvableError

    if isinstance(error, ElfError | InputTooLong | WitnessError):
        return USAGE
    if isinstance(error, MachineError | NotProvableError | RunFailedError | RefusalError | ProverError):
        return REFUSED
    return None


def _fail(cause: str, mend: str, code: int) -> None:
    click.echo(f"blockproof: {cause}", err=True)
    if mend:
        click.echo(f"  mend: {mend}", err=True)
    sys.exit(code)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --json: one object on standard output and nothing else there, also when a typed error ends the command."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
    @functools.wraps(command)
    def wrapped(*arguments: Any, as_json: bool, **options: Any) -> None:
        if not as_json:
            command(*arguments, as_json=False, **options)
            return
        try:
            command(*arguments, as_json=True, **options)
        except (BlockproofError, Exception) as error:
            if isinstance(error, click.ClickException | click.exceptions.Exit):
                raise
            code = REFUSED if isinstance(error, RefusedError) else USAGE if isinstance(error, BlockproofError) else _exit_code_of(error)
            if code is None:
                raise
            click.echo(json.dumps({"ok": False, "error": str(error), "kind": type(error).__name__}))
            sys.exit(code)

    return wrapped


def _size(text: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    number, unit = (text[:-1], units[text[-1].upper()]) if text and text[-1].upper() in units else (text, 1)
    if not number.isdigit():
        raise UsageError(f"{text!r} is no size", "write bytes, or a number with K, M or G, e.g. 512M")
    return int(number) * unit


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
    command = click.option("--threads", type=click.IntRange(min=1), help="Processors to use; all if not given.")(command)
    return click.option("--memory", default="8G", show_default=True, help="Memory to stay below: it chooses how large shards are.")(command)


def _read_input(text: str | None) -> bytes:
    """FILE or 0xHEX; nothing given means no bytes."""
    if text is None:
        return b""
    if text.startswith(("0x", "0X")) and not Path(text).exists():
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


def _table(rows: list[tuple[str, ...]], header: tuple[str, ...]) -> None:
    """Aligned columns: the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        click.echo("  " + "  ".join(cells).rstrip())


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
@click.option("--rpc", help="A node to fetch BLOCK from, where BLOCK is no file.")
@limit_options
@json_option
def execute(block: str, chain: str | None, rpc: str | None, limits: Any, as_json: bool) -> None:
    """Execute a block in the emulator: BLOCK is an input file (StatelessInput, or a block file with its witness).

    Exit code 0: the guest says valid. 1: it says not valid, with its reason.
    """
    from blockproof import pipeline
    from witness.chains import load_chain

    loaded = pipeline.load_block(_block_path(block, rpc), load_chain(chain) if chain else None)
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


def _block_path(block: str, rpc: str | None) -> Path:
    """An existing path means an input; anything else a block that needs a node."""
    path = Path(block)
    if path.exists():
        return path
    if rpc is None:
        raise UsageError(f"there is no file {block!r}", "to fetch a block from a node, name the node with --rpc URL")
    raise UsageError("fetching blocks from a node is not built yet", "give an input file; docs/status.md says what is next")


@main.command()
@click.option("-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), default="devnet-demo", show_default=True, help="Where block and proof go.")
@prove_options
def demo(folder: Path, memory: str, threads: int | None, quiet: bool) -> None:
    """The whole pipeline, small: make a block, execute it, prove it, verify the proof.

    The block is a Prague block of an embedded devnet: transfers, a contract call that writes storage, emits an event and calls a precompile, withdrawals.
    """
    import time

    from blockproof import block_proof, pipeline
    from blockproof.progress import ProgressLine
    from witness import encode_input, make_devnet_input
    from zkvm.warm_up import compiling_beside

    start = time.monotonic()

    def say(text: str) -> None:
        click.echo(f"[{time.monotonic() - start:5.1f} s] {text}")

    folder.mkdir(parents=True, exist_ok=True)
    with compiling_beside("fillers"):
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
            block_proof.prove(loaded, proof, memory_bytes=_size(memory), threads=threads, progress=progress)
    say(f"wrote {proof}, {_bytes(proof.stat().st_size)}; verifying")
    _verify_block(proof, None, None, None, False, 128.0, False)
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
    _table([(_short(f.name), f"{f.steps:,}", f"{100 * f.steps / total:.1f} %") for f in result.functions[:top]], ("function", "steps", "share"))
    click.echo("\nsteps by instruction")
    ordered = sorted(result.instructions.items(), key=lambda item: -item[1])
    _table([(name, f"{count:,}", f"{100 * count / total:.1f} %") for name, count in ordered[:top] if count], ("instruction", "steps", "share"))
    click.echo("\nrows and cells by chip")
    rows = [
        (family.label, f"{count:,}", f"{CELLS_PER_ROW[family]:,}" if family in CELLS_PER_ROW else "no chip yet",
         f"{count * CELLS_PER_ROW.get(family, 0):,}")
        for family, count in sorted(result.families.items(), key=lambda item: -item[1] * CELLS_PER_ROW.get(item[0], 0))
        if count
    ]  # fmt: skip
    _table(rows, ("chip", "rows", "cells a row", "cells"))
    if any(result.syscalls.values()):
        click.echo("\ncalls by syscall")
        _table([(call.label, f"{count:,}") for call, count in result.syscalls.items() if count], ("syscall", "calls"))
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
    _table(
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
    guest: str, private_input: str | None, output: Path, verify_after: bool, check_rows: bool, memory: str, threads: int | None, quiet: bool,
    limits: Any, as_json: bool,
) -> None:  # fmt: skip
    """Run GUEST and prove the run. The proof is not private: it may reveal parts of the input.

    Ctrl-C keeps the shards that are done; the same command goes on from there.
    """
    import time

    from blockproof.guests import load_guest
    from blockproof.program_ids import format_id
    from blockproof.progress import ProgressLine
    from zkvm.prover import prove_program

    program, content = load_guest(guest), _read_input(private_input)
    _writable(output)
    start = time.monotonic()
    with ProgressLine(enabled=not quiet) as progress:
        proven = prove_program(
            program, content, output, memory_bytes=_size(memory), threads=threads, limits=limits, check_rows=check_rows, progress=progress
        )
    seconds = time.monotonic() - start
    if as_json:
        click.echo(json.dumps({
            "ok": True, "proof": str(output), "program_id": format_id(proven.program_id), "output": "0x" + proven.result.output.hex(),
            "steps": proven.result.steps, "execution_shards": proven.shard_counts[0], "memory_shards": proven.shard_counts[1],
            "proof_bytes": output.stat().st_size, "seconds": round(seconds, 2),
        }))  # fmt: skip
    else:
        click.echo(f"proof {output}: {_bytes(output.stat().st_size)}, {proven.result.steps:,} steps in {proven.shard_counts[0]} shards, {seconds:.1f} s ({proven.result.steps / seconds:,.0f} steps/s)")
        click.echo(f"  program id {format_id(proven.program_id)}")
        click.echo(f"  output     0x{proven.result.output.hex()}")
    if verify_after:
        _verify_program(output, None, 128.0, as_json)


@vm.command("verify")
@click.argument("proof", type=click.Path(path_type=Path))
@click.option("--program-id", help="Accept only proofs about this program: an id as `guest id` prints it, or a shipped guest's name.")
@click.option("--security", type=click.FloatRange(min=1), default=128, show_default=True, help="Refuse proofs of fewer bits.")
@json_option
def vm_verify(proof: Path, program_id: str | None, security: float, as_json: bool) -> None:
    """Verify PROOF. Without --program-id it is proven that *some* program halted with the output; its id is printed."""
    _verify_program(proof, program_id, security, as_json)


def _verify_program(proof: Path, program_id: str | None, required_bits: float, as_json: bool) -> None:
    import time

    from blockproof.program_ids import format_id, parse_id, shipped_ids
    from zkvm.protocol.errors import Refusal
    from zkvm.prover import verify_program

    expected = parse_id(program_id) if program_id else None
    start = time.monotonic()
    answer = verify_program(proof, expected_id=expected, required_bits=required_bits)
    seconds = time.monotonic() - start
    if isinstance(answer, Refusal):
        if as_json:
            click.echo(json.dumps({"ok": False, "reason": answer.reason.value, "detail": answer.detail}))
        else:
            click.echo(f"REFUSED  {answer}", err=True)
        sys.exit(REFUSED)
    name = next((name for name, known in shipped_ids().items() if known == answer.program_id), None)
    if as_json:
        click.echo(json.dumps({
            "ok": True, "program_id": format_id(answer.program_id), "guest": name, "output": "0x" + answer.output.hex(),
            "bits": round(answer.bits, 2), "execution_shards": answer.shard_counts[0], "memory_shards": answer.shard_counts[1],
            "seconds": round(seconds, 3),
        }))  # fmt: skip
    else:
        click.echo(f"ACCEPTED at {answer.bits:.1f} bits in {seconds:.1f} s: the program halted with exit code 0 and this output")
        click.echo(f"  program id {format_id(answer.program_id)}{f' (shipped guest {name})' if name else ' (not a shipped guest)'}")
        click.echo(f"  output     0x{answer.output.hex()}")


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
        head, reports = proof_facts(file)
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
            _table([(row.name, f"{row.bits:.1f}", row.formula) for row in report.rows], ("row", "bits", "formula"))
        click.echo(f"{bits:.1f} bits")
    sys.exit(ACCEPTED if bits >= 128 else REFUSED)


def _writable(output: Path) -> None:
    """Says so before hours of work, not after."""
    folder = output.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}", "make it, or name another output")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write to {folder}", "name another output")


# --- block proofs ----------------------------------------------------------------------------------------------------


@main.command()
@click.argument("block")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where the proof goes; it appears only when complete.")
@click.option("--chain", help="mainnet, sepolia, hoodi, holesky, or a GENESIS.json, where the input does not name its chain.")
@click.option("--rpc", help="A node to fetch BLOCK from, where BLOCK is no file.")
@click.option("--allow-invalid", is_flag=True, help="Also prove that an input does not validate. That says nothing about the block.")
@click.option("--verify", "verify_after", is_flag=True, help="Verify the proof as soon as it is made.")
@prove_options
@json_option
def prove(
    block: str, output: Path, chain: str | None, rpc: str | None, allow_invalid: bool, verify_after: bool, memory: str, threads: int | None,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Prove that BLOCK (an input file) is valid. The proof is not private: it may reveal parts of the witness.

    Ctrl-C keeps the shards that are done; the same command goes on from there.
    """
    import time

    from blockproof import block_proof, pipeline
    from blockproof.progress import ProgressLine
    from witness.chains import load_chain

    loaded = pipeline.load_block(_block_path(block, rpc), load_chain(chain) if chain else None)
    _writable(output)
    start = time.monotonic()
    with ProgressLine(enabled=not quiet) as progress:
        verdict = block_proof.prove(
            loaded, output, allow_invalid=allow_invalid, memory_bytes=_size(memory), threads=threads, progress=progress
        )
    seconds = time.monotonic() - start
    steps = verdict.run.result.steps
    if as_json:
        click.echo(json.dumps({
            "ok": True, "proof": str(output), "number": loaded.number, "block_hash": "0x" + loaded.block_hash.hex(), "flag": int(verdict.is_valid),
            "steps": steps, "proof_bytes": output.stat().st_size, "seconds": round(seconds, 2),
        }))  # fmt: skip
    else:
        click.echo(f"proof {output}: {_bytes(output.stat().st_size)}, block {loaded.number}, {steps:,} steps, {seconds:.1f} s ({steps / seconds:,.0f} steps/s)")
    if verify_after:
        _verify_block(output, None, None, None, allow_invalid, 128.0, as_json)


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
    _verify_block(proof, expect_block_hash, expect_root, program_id, allow_invalid, required_bits, as_json)


def _verify_block(
    path: Path, expect_block_hash: str | None, expect_root: str | None, program_id: str | None, allow_invalid: bool, required_bits: float,
    as_json: bool,
) -> None:  # fmt: skip
    import time

    from blockproof import block_proof
    from blockproof.program_ids import format_id, parse_id

    start = time.monotonic()
    accepted = block_proof.verify(
        path, expect_block_hash=_hash(expect_block_hash), expect_root=_hash(expect_root), program_id=parse_id(program_id) if program_id else None,
        allow_invalid=allow_invalid, required_bits=required_bits,
    )  # fmt: skip
    seconds = time.monotonic() - start
    if as_json:
        click.echo(json.dumps({
            "ok": True, "flag": int(accepted.is_valid), "chain_id": accepted.chain_id, "chain": accepted.chain, "fork": accepted.fork.label,
            "schema_id": accepted.schema_id, "number": accepted.number, "block_hash": "0x" + accepted.block_hash.hex(),
            "new_payload_request_root": "0x" + accepted.request_root.hex(), "bits": round(accepted.bits, 2),
            "program_id": format_id(accepted.program_id), "does_not_say": list(accepted.unsaid), "seconds": round(seconds, 3),
        }))  # fmt: skip
        return
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
    """Say what a file is: an input for the block guest, or an ELF."""
    with path.open("rb") as file:
        magic = file.read(4)
    description = _describe_elf(path) if magic == b"\x7fELF" else _describe_input(path, chain)
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
    """Compiled kernels and unfinished work."""


@cache.command("clean")
@json_option
def cache_clean(as_json: bool) -> None:
    """Remove compiled kernels; they are compiled again when needed."""
    from zkvm.kernels.policy import clean_cache

    freed = clean_cache()
    click.echo(json.dumps({"ok": True, "freed_bytes": freed}) if as_json else f"freed {_bytes(freed)}")


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
        _table([(name, digest) for name, digest in shipped.items()], ("guest", "sha256"))


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


if __name__ == "__main__":
    main()
