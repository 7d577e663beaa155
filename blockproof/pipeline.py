"""
The pipeline as a library: `execute` a block, `run` any guest.

    from blockproof import execute
    verdict = execute("block.json.gz")
    assert verdict.is_valid
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import witness
from blockproof.errors import UsageError
from blockproof.guests import BLOCK_GUEST, load_guest
from witness.chains import ChainConfig
from witness.errors import WitnessError
from witness.importers import LoadedInput
from witness.schema import StatelessValidationResult, decode_result
from zkvm.machine import Limits, Program, RunResult, make_ready
from zkvm.machine import run as run_machine


@dataclass(frozen=True)
class Run:
    """A guest's run in the emulator. seconds: of wall time, loading and compiling not counted."""

    program: Program
    result: RunResult
    seconds: float


@dataclass(frozen=True)
class BlockVerdict:
    """
    What the block guest says about an input.

    result: its 43 bytes, decoded; decodable says whether the guest could read the input at all. reason: why not valid, from the debug channel;
    "" for a valid block. block: the input's own description.
    """

    block: LoadedInput
    result: StatelessValidationResult
    decodable: bool
    reason: str
    run: Run

    @property
    def is_valid(self) -> bool:
        """Flag 1: the block is valid under its fork's rules from its parent's state."""
        return self.decodable and self.result.successful_validation


def run(guest: str, private_input: bytes, limits: Limits | None = None, on_debug: Callable[[bytes], None] | None = None) -> Run:
    """
    Runs a guest, by name or path, on an input.

    Raises UsageError for an unknown guest; zkvm.machine.errors for a bad ELF, a trap or a limit.
    """
    program = load_guest(guest)
    make_ready(program)
    start = time.perf_counter()
    result = run_machine(program, private_input, limits, on_debug)
    return Run(program, result, time.perf_counter() - start)


def execute(
    block_input: str | Path | LoadedInput,
    chain: ChainConfig | None = None,
    guest: str = BLOCK_GUEST,
    limits: Limits | None = None,
    on_debug: Callable[[bytes], None] | None = None,
) -> BlockVerdict:
    """
    Executes a block's stateless input in the emulator; no proof is made.

    block_input: a loaded input, or the path of one in any form that witness.load_input reads. chain: where a file does not name its own.
    Raises WitnessError for a file that is no input, zkvm.machine.errors for limits; an invalid block is no error but a verdict.
    """
    block = block_input if isinstance(block_input, LoadedInput) else load_block(block_input, chain)
    ran = run(guest, block.encoded, limits, on_debug)
    if ran.result.exit_code or len(ran.result.output) != 43:
        raise UsageError(
            f"guest {guest!r} ended with exit code {ran.result.exit_code} and {len(ran.result.output)} bytes of output",
            "a block guest ends with 0 and 43 bytes; is it one?",
        )
    decodable = any(ran.result.output)
    reason = ran.result.debug.decode("utf-8", "replace").strip().splitlines()
    result = decode_result(ran.result.output)
    return BlockVerdict(block, result, decodable, "" if result.successful_validation else (reason or ["(no reason given)"])[-1], ran)


def load_block(path: str | Path, chain: ChainConfig | None = None) -> LoadedInput:
    """Reads an input file. Raises UsageError if it cannot be read, WitnessError if it is no input."""
    try:
        return witness.load_input(path, chain)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except WitnessError as error:
        error.add_note(str(path))
        raise
