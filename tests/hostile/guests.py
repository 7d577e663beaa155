"""The guest under hostile input: the shipped ELF in the emulator, or the native program on many files at once."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from blockproof.guests import load_guest
from zkvm.machine import Limits, run
from zkvm.machine.errors import MachineError

STEP_LIMIT = 400_000_000
NATIVE_SECONDS = 60
NATIVE_BYTES = 6 << 30


@dataclass(frozen=True)
class GuestEnd:
    """output: 43 bytes, empty after a fault; reason: the line on the debug channel; fault: how it did not end well."""

    output: bytes
    reason: str
    fault: str = ""


@cache
def _program():
    return load_guest("block")


def in_machine(encoded: bytes) -> GuestEnd:
    """One run of the shipped guest."""
    try:
        result = run(_program(), encoded, Limits(steps=STEP_LIMIT))
    except MachineError as error:
        return GuestEnd(b"", "", f"{type(error).__name__}: {error}")
    # Under an unbound revision the new state comes first.
    reason = result.debug.decode("utf-8", "replace").strip().rpartition("\n")[2]
    if result.exit_code != 0 or len(result.output) != 43:
        return GuestEnd(b"", reason, f"exit code {result.exit_code}: {reason[-300:]}")
    return GuestEnd(result.output, reason)


def natively(program: Path, inputs: Sequence[bytes]) -> list[GuestEnd]:
    """The native program (guest/stateless, `stateless FILE...`) on all inputs; alone on each where it does not end well."""
    if not inputs:
        return []
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for index, encoded in enumerate(inputs):
            paths.append(Path(folder) / str(index))
            paths[-1].write_bytes(encoded)
        fault, lines = _run_native(program, paths)
    if not fault and len(lines) == len(inputs):
        return [_native_end(line) for line in lines]
    if len(inputs) == 1:
        return [GuestEnd(b"", "", fault or "no output")]
    half = len(inputs) // 2
    return natively(program, inputs[:half]) + natively(program, inputs[half:])


def _run_native(program: Path, paths: Sequence[Path]) -> tuple[str, list[str]]:
    command = ["prlimit", f"--as={NATIVE_BYTES}", str(program), *map(str, paths)]
    try:
        ended = subprocess.run(command, check=False, capture_output=True, timeout=NATIVE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"more than {NATIVE_SECONDS} s", []
    if ended.returncode != 0:
        return f"exit code {ended.returncode}: {ended.stderr.decode('utf-8', 'replace')[-400:]}", []
    return "", ended.stdout.decode("utf-8", "replace").rstrip("\n").split("\n")


def _native_end(line: str) -> GuestEnd:
    _, output, reason = line.split(" ", 2)
    return GuestEnd(bytes.fromhex(output), reason)
