"""
What proving and verifying a run costs: the shipped command, in a fresh process, measured from outside.

    python bench/prove.py GUEST [-i FILE_OR_0xHEX] [--memory 8G] [--shard-rows LOG2] [--threads N] [--cold] [--json] [--row]

GUEST: a shipped guest's name or an ELF file; `block -i FILE` runs `blockproof prove FILE`, everything else `blockproof vm prove`.

Printed first is what no machine changes: steps, shards, committed cells by phase and fill, cells of a precompile call, proof bytes. Then seconds by phase, taken from the
command's own progress as it arrives on a terminal; peak memory, summed over the process tree every 50 ms (resident pages, shared ones counted in each process); verification
in another fresh process; and steps per second: executed steps over the wall time of the command, from its start to its exit.

Without --cold a small program is proven first, so that kernels are compiled; with it the cache folder is new and empty, and compiling counts. --row prints the line for
docs/performance.md. A measure that cannot be taken is an error (exit code 2), never a zero.
"""

import argparse
import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from blockproof.block_proof import open_core
from blockproof.guests import BLOCK_GUEST, load_guest
from zkvm.air.backends.parameters import parameters
from zkvm.chips import boundary, memory_image
from zkvm.isa.instructions import Family
from zkvm.machine import memory_map
from zkvm.machine.events import MEMORY_SPACE
from zkvm.machine.shards import ShardPlan
from zkvm.machine_air import CHIPS, FAMILY_CHIPS, GROUPS, MEMORY_KIND, PROGRAM_CHIPS, TABLE_CHIPS
from zkvm.protocol.machine import ShardHeader
from zkvm.prover import ShardShape, plan_run, proof_facts
from zkvm.trace import ProgramTables, RunTrace

PHASES = ("boundary", "main", "auxiliary", "quotient")
PROGRESS = re.compile(r"\[\d+:\d\d\] ([^,\r\n]+)")
POLL_SECONDS = 0.05
FREE_REGIONS = ((memory_map.INPUT_START, memory_map.INPUT_END), (memory_map.RAM_START, memory_map.RAM_END))
"""Where the memory image's addresses lie."""

WARM_UP = "assembly"
"""The guest that is proven first where the cache is to be warm."""


class MeasureError(Exception):
    """A measure could not be taken."""


@dataclass(frozen=True)
class Run:
    """A command that ended well. seconds: by phase in order of appearance; peak_bytes: of the process tree; answer: its JSON object."""

    wall: float
    phases: dict[str, float]
    peak_bytes: int
    answer: dict[str, object]


@dataclass(frozen=True)
class Cells:
    """
    What a proof commits to, in cells of 4 bytes.

    by_phase: after padding. tables: of that, in tables whose heights are fixed. used: cells of rows that are no padding, all others: of the chips that are not tables. calls: by
    precompile family, (calls, cells after padding).
    """

    by_phase: dict[str, int]
    tables: int
    used: int
    others: int
    calls: dict[str, tuple[int, int]]

    @property
    def fill(self) -> float:
        """Share of cells that are no padding, tables left out."""
        return self.used / self.others


def command_path() -> str:
    """The installed command beside this interpreter."""
    path = Path(sys.executable).with_name("blockproof")
    if not path.exists():
        raise MeasureError(f"there is no {path}; run inside the environment (./dev python bench/prove.py ...)")
    return str(path)


def run_command(arguments: list[str], environment: Mapping[str, str]) -> Run:
    """Runs the command on a terminal of its own for standard error, and watches it. Raises MeasureError if it fails."""
    terminal, slave = pty.openpty()
    start = time.monotonic()
    process = subprocess.Popen([command_path(), *arguments], stdout=subprocess.PIPE, stderr=slave, stdin=subprocess.DEVNULL, env=dict(environment))
    os.close(slave)
    seen: list[tuple[float, str]] = [(start, "start of the process")]
    text: list[str] = []
    reader = threading.Thread(target=_follow, args=(terminal, seen, text))
    reader.start()
    peaks = [0]
    watcher = threading.Thread(target=_watch, args=(process, peaks))
    watcher.start()
    _, status, usage = os.wait4(process.pid, 0)
    end = time.monotonic()
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join()
    watcher.join()
    os.close(terminal)
    assert process.stdout is not None
    # One object, smaller than a pipe's buffer: the command did not wait for it to be read.
    printed = process.stdout.read().decode("utf-8", "replace")
    if process.returncode:
        said = printed.strip() or "".join(text)[-600:].strip()
        raise MeasureError(f"blockproof {' '.join(arguments)} ended with {process.returncode}: {said}")
    try:
        answer = json.loads(printed)
    except ValueError as error:
        raise MeasureError(f"blockproof {arguments[0]} printed no JSON object") from error
    phases: dict[str, float] = {}
    for (since, phase), (until, _) in zip(seen, [*seen[1:], (end, "")], strict=True):
        phases[phase] = phases.get(phase, 0.0) + until - since
    peak = max(peaks[0], usage.ru_maxrss << 10)
    if not peak:
        raise MeasureError("no memory was measured")
    return Run(end - start, phases, peak, answer)


def _follow(terminal: int, seen: list[tuple[float, str]], text: list[str]) -> None:
    """Notes when each phase is first named after another one."""
    while True:
        try:
            chunk = os.read(terminal, 1 << 16).decode("utf-8", "replace")
        except OSError:
            return
        if not chunk:
            return
        now = time.monotonic()
        text.append(chunk)
        for phase in PROGRESS.findall(chunk):
            if phase.strip() != seen[-1][1]:
                seen.append((now, phase.strip()))


def _watch(process: subprocess.Popen[bytes], peaks: list[int]) -> None:
    """Keeps the largest sum of resident memory over the process and its descendants."""
    while process.returncode is None:
        peaks[0] = max(peaks[0], sum(_resident(pid) for pid in _tree(process.pid)))
        time.sleep(POLL_SECONDS)


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(child) for child in children.read_text().split()]
            except OSError:
                continue
    return found


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def cells_of(headers: tuple[ShardHeader, ...], plan: ShardPlan, run: RunTrace) -> Cells:
    """Counts a proof's cells by its headers, and how many of them are used by the plan of the same run."""
    if [(h.index, h.kind, h.log_heights, h.publics) for h in headers] != [(h.index, h.kind, h.log_heights, h.publics) for h in run.headers]:
        raise MeasureError("the proof's shards are not those of the plan made here: fill cannot be told")
    tables = {chip.name for chip in (*TABLE_CHIPS, *PROGRAM_CHIPS)}
    used_rows = [_used_rows(plan, run, header) for header in headers]
    by_phase = dict.fromkeys(PHASES, 0)
    in_tables = used = others = 0
    of_chip: dict[str, int] = {}
    for header, rows in zip(headers, used_rows, strict=True):
        for chip, height in zip(CHIPS, header.log_heights, strict=True):
            if not height:
                continue
            figures = parameters(chip)
            for phase in PHASES:
                by_phase[phase] += getattr(figures, f"{phase}_columns") << height
            cells = figures.cells_per_row << height
            of_chip[chip.name] = of_chip.get(chip.name, 0) + cells
            if chip.name in tables:
                in_tables += cells
                continue
            if chip.name not in rows or not 0 <= rows[chip.name] <= 1 << height:
                raise MeasureError(f"shard {header.index}: it is unknown how many rows of {chip.name} are used")
            used += rows[chip.name] * figures.cells_per_row
            others += cells
    calls = {}
    for family, chip in FAMILY_CHIPS.items():
        if family > Family.ECALL and plan.result.families[family]:
            names = [chip.name] + ([GROUPS[family].chip.name] if family in GROUPS else [])
            calls[family.label] = (int(plan.result.families[family]), sum(of_chip[name] for name in names))
    return Cells(by_phase, in_tables, used, others, calls)


def _used_rows(plan: ShardPlan, run: RunTrace, header: ShardHeader) -> dict[str, int]:
    """Rows that are no padding, by chip, tables left out."""
    if header.kind == MEMORY_KIND:
        image = plan.image()
        address = image["address"][image["space"] == MEMORY_SPACE].astype(int)
        is_free = [(start <= 8 * address) & (8 * address < end) for start, end in FREE_REGIONS]
        first, last = header.publics
        # A run that touches neither region has one row all the same.
        return {memory_image.CHIP.name: max(1, int((sum(is_free) * (first <= address) * (address <= last)).sum()))}
    shard = plan.shards[header.index - 1]
    rows = {FAMILY_CHIPS[family].name: int(count) for family, count in shard.families.items() if count}
    rows |= {group.chip.name: int(shard.families[family]) * group.rows_per_call for family, group in GROUPS.items() if shard.families[family]}
    return rows | {boundary.CHIP.name: int(shard.boundary_rows)}


@dataclass(frozen=True)
class Result:
    """Everything measured about one run. Seconds are wall time, cells include padding unless said otherwise."""

    guest: str
    private_input: str
    memory: str
    is_cold: bool
    steps: int
    execution_shards: int
    memory_shards: int
    cells: dict[str, int]
    table_cells: int
    fill: float
    call_cells: dict[str, tuple[int, int, int]]
    proof_bytes: int
    seconds: float
    phases: dict[str, float]
    peak_bytes: int
    verify_seconds: float
    verify_peak_bytes: int
    bits: float

    @property
    def total_cells(self) -> int:
        return sum(self.cells.values())

    @property
    def cells_per_step(self) -> float:
        return self.total_cells / self.steps


def measure(guest: str, private_input: str | None, memory: str, shard_rows: int | None, threads: int | None, is_cold: bool) -> Result:
    """Proves and verifies once. Raises MeasureError."""
    with tempfile.TemporaryDirectory(prefix="blockproof-bench-") as folder:
        environment = dict(os.environ)
        if is_cold:
            environment["BLOCKPROOF_CACHE"] = str(Path(folder) / "cache")
        else:
            run_command(["vm", "prove", WARM_UP, "-o", str(Path(folder) / "warm"), "--json"], environment)
            run_command(["vm", "verify", str(Path(folder) / "warm"), "--json"], environment)
        proof = Path(folder) / "proof"
        options = ["-o", str(proof), "--memory", memory, "--json", *(["--threads", str(threads)] if threads else [])]
        options += ["--shard-rows", str(shard_rows)] if shard_rows else []
        if guest == BLOCK_GUEST:
            if private_input is None:
                raise MeasureError("the block guest needs an input")
            proven = run_command(["prove", private_input, *options], environment)
            verified = run_command(["verify", str(proof), "--json"], environment)
        else:
            chosen = ["-i", private_input] if private_input is not None else []
            proven = run_command(["vm", "prove", guest, *chosen, *options], environment)
            verified = run_command(["vm", "verify", str(proof), "--json"], environment)
        with open_core(proof) as core:
            head, reports = proof_facts(core)
        counts = head.statement.shard_counts
        program = load_guest(guest)
        shape = ShardShape(shard_rows) if shard_rows else ShardShape.for_memory(_size(memory))
        plan = plan_run(program, _input_bytes(guest, private_input), shape, Path(folder))
        cells = cells_of(head.headers, plan, RunTrace(ProgramTables(program), plan, b""))
        return Result(
            guest, private_input or "", memory, is_cold, int(plan.result.steps), counts[0], counts[1], cells.by_phase, cells.tables, cells.fill,
            {name: (calls, total, _cells_of_call(name)) for name, (calls, total) in cells.calls.items()},
            proof.stat().st_size, proven.wall, proven.phases, proven.peak_bytes, verified.wall, verified.peak_bytes,
            min(report.bits for report in reports),
        )  # fmt: skip


def _cells_of_call(label: str) -> int:
    """Cells of one call without padding, the ecall row included."""
    family = Family[label.upper()]
    chips = [(1, FAMILY_CHIPS[Family.ECALL]), (1, FAMILY_CHIPS[family])]
    chips += [(GROUPS[family].rows_per_call, GROUPS[family].chip)] if family in GROUPS else []
    return sum(rows * parameters(chip).cells_per_row for rows, chip in chips)


def _input_bytes(guest: str, private_input: str | None) -> bytes:
    """The bytes that the command proves about, read as it reads them."""
    if private_input is None:
        return b""
    if guest == BLOCK_GUEST:
        from blockproof.pipeline import load_block

        return load_block(private_input).encoded
    if private_input.startswith("0x") and not Path(private_input).exists():
        return bytes.fromhex(private_input[2:])
    return Path(private_input).read_bytes()


def _size(text: str) -> int:
    units = {"K": 10, "M": 20, "G": 30}
    return int(text[:-1]) << units[text[-1]] if text[-1] in units else int(text)


def text_of(result: Result) -> str:
    """For people: machine-independent figures first."""
    shown = f"{result.private_input[:40]}{'...' if len(result.private_input) > 40 else ''}"
    lines = [
        f"{result.guest} {shown}, --memory {result.memory}, {'empty' if result.is_cold else 'warm'} cache",
        f"  steps                {result.steps:>15,}",
        f"  shards               {result.execution_shards:>15,} execution, {result.memory_shards} memory",
        f"  cells                {result.total_cells:>15,} after padding, {result.table_cells:,} of them in tables of fixed height",
        f"  cells a step         {result.cells_per_step:>15,.1f} after padding",
    ]
    lines += [f"    {phase:<18} {count / result.steps:>15,.1f}" for phase, count in result.cells.items()]
    lines.append(f"  fill                 {100 * result.fill:>15.1f} % of the cells outside tables are no padding")
    for name, (calls, total, alone) in result.call_cells.items():
        lines.append(f"  cells a {name:<12} {alone:>15,} alone; {calls:,} calls, {total / calls:,.0f} each after padding, the ecall row left out")
    lines += [
        f"  proof                {result.proof_bytes:>15,} bytes, {result.bits:.1f} bits of security",
        f"  seconds              {result.seconds:>15.2f}",
    ]
    lines += [f"    {phase:<22} {seconds:>11.2f}" for phase, seconds in result.phases.items()]
    lines += [
        f"  peak memory          {result.peak_bytes / 2**30:>15.2f} GiB, process tree",
        f"  verify               {result.verify_seconds:>15.2f} s in a fresh process, {result.verify_peak_bytes / 2**30:.2f} GiB",
        f"  steps a second       {result.steps / result.seconds:>15,.0f}",
    ]
    return "\n".join(lines)


def row_of(result: Result) -> str:
    """A line of the table in docs/performance.md."""
    cells = [result.cells[phase] / result.steps for phase in PHASES]
    return (
        f"| {result.guest} | {result.steps:,} | {result.execution_shards} + {result.memory_shards} | {result.cells_per_step:,.0f} | "
        f"{' / '.join(f'{count:,.0f}' for count in cells)} | {100 * result.fill:.0f} % | {result.proof_bytes / 1e6:.1f} | {result.seconds:.1f} | "
        f"{result.steps / result.seconds:,.0f} | {result.peak_bytes / 2**30:.2f} | {result.verify_seconds:.1f} |"
    )


def main() -> int:
    """The command; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("guest")
    parser.add_argument("-i", "--input")
    parser.add_argument("--memory", default="8G")
    parser.add_argument("--shard-rows", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cold", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--row", action="store_true")
    arguments = parser.parse_args()
    try:
        result = measure(arguments.guest, arguments.input, arguments.memory, arguments.shard_rows, arguments.threads, arguments.cold)
    except MeasureError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps(asdict(result)))
    else:
        print(text_of(result))
        if arguments.row:
            print(row_of(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
