"""Whole runs for tests: assembled programs and their shards, and what the judges say of a whole proof's matrices."""

import functools
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "machine"))

from make_elf import elf_of

from zkvm.air.backends.interpret import ExtraMessage, Trace, bus_balance, report
from zkvm.air.expression import Phase
from zkvm.air.report import BusReport, Report
from zkvm.chips import program as program_chip
from zkvm.chips import program_image
from zkvm.machine.elf import Program, load_elf
from zkvm.machine.shards import ShardLimits, ShardPlan, plan_shards
from zkvm.machine_air import CHIPS, KINDS, TABLE_CHIPS, global_messages, local_messages
from zkvm.protocol.machine import ProgramKey, ShardHeader, Statement
from zkvm.trace import Matrices, ProgramTables, RunTrace, table_records

CHIP_OF = {chip.name: chip for chip in CHIPS}
NO_KEY = ProgramKey((0,) * 9, (0, 0), 0)
"""Global messages do not depend on the key."""


@functools.cache
def machine_fixed(name: str) -> np.ndarray:
    """The fixed records of range or byte."""
    return table_records(CHIP_OF[name])


def program_fixed(tables: ProgramTables) -> dict[str, np.ndarray]:
    """The fixed records of a program."""
    return {program_chip.CHIP.name: tables.instructions(), program_image.CHIP.name: tables.image()}


@dataclass
class EditableShard:
    """A shard whose header and matrices a test may change."""

    header: ShardHeader
    matrices: Matrices

    @property
    def publics(self) -> dict[str, int]:
        """By name."""
        return dict(zip(KINDS[self.header.kind].publics, self.header.publics, strict=True))


@dataclass
class EditableRun:
    """A run in memory: the `Run` of zkvm.protocol.prove, open to change."""

    statement: Statement
    shards: list[EditableShard]
    identity: bytes = b"editable"

    @property
    def headers(self) -> list[ShardHeader]:
        """In the order of the proof."""
        return [shard.header for shard in self.shards]

    def boundary_matrices(self, shard: int) -> dict[str, np.ndarray]:
        """As the prover asks for them."""
        found = self.shards[shard - 1].matrices.items()
        return {chip: phases[Phase.BOUNDARY].copy() for chip, phases in found if Phase.BOUNDARY in phases}

    def matrices(self, shard: int) -> Matrices:
        """As the prover asks for them."""
        found = self.shards[shard - 1].matrices.items()
        return {chip: {phase: rows.copy() for phase, rows in phases.items()} for chip, phases in found}


def load(source: str, data: bytes = b"") -> Program:
    """An assembled program."""
    return load_elf(elf_of(source, data))


def plan(loaded: Program, private_input: bytes, limits: ShardLimits) -> ShardPlan:
    """A planned run; its files stay until the process ends."""
    folder = tempfile.TemporaryDirectory(prefix="run-kit-")
    _FOLDERS.append(folder)
    return plan_shards(loaded, private_input, limits, Path(folder.name))


_FOLDERS: list[tempfile.TemporaryDirectory] = []


def trace_of(loaded: Program, private_input: bytes, limits: ShardLimits) -> RunTrace:
    """The run in shards."""
    return RunTrace(ProgramTables(loaded), plan(loaded, private_input, limits), b"test")


def editable(run: RunTrace) -> EditableRun:
    """All matrices at once."""
    shards = [EditableShard(header, run.matrices(header.index)) for header in run.headers]
    return EditableRun(run.statement, shards)


def traces_of_shard(shard: EditableShard, fixed: Mapping[str, np.ndarray]) -> list[Trace]:
    """A shard as the judges want it; the order of chips is the machine's."""
    present = [chip for chip, height in zip(CHIPS, shard.header.log_heights, strict=True) if height]
    traces = []
    for chip in present:
        phases = dict(shard.matrices[chip.name])
        if chip.widths[Phase.FIXED]:
            phases[Phase.FIXED] = fixed[chip.name] if chip.name in fixed else machine_fixed(chip.name)
        traces.append(Trace(chip, phases, shard.publics, shard.header.index))
    return traces


@dataclass(frozen=True)
class Judgement:
    """What the judges say of a run: the reports that are not clean, and the buses."""

    reports: tuple[Report, ...]
    buses: BusReport

    @property
    def accepted(self) -> bool:
        """No constraint fails and every bus balances."""
        return not self.reports and self.buses.is_balanced

    def __str__(self) -> str:
        return "\n".join([*(str(r) for r in self.reports), str(self.buses)])


def judged(run: EditableRun, fixed: Mapping[str, np.ndarray]) -> Judgement:
    """Every constraint of every shard, every bus of the whole run with the verifier's own messages."""
    reports, traces = [], []
    said = [ExtraMessage(m.bus, m.values, m.count) for m in global_messages(NO_KEY, run.statement)]
    for shard in run.shards:
        own = local_messages(KINDS[shard.header.kind], shard.publics)
        said += [ExtraMessage(m.bus, m.values, m.count, shard=shard.header.index) for m in own]
        for trace in traces_of_shard(shard, fixed):
            found = report(trace.chip, trace.matrices, trace.publics)
            if not found.is_valid:
                reports.append(found)
            traces.append(trace)
    return Judgement(tuple(reports), bus_balance(traces, said))


assert set(CHIP_OF) >= {chip.name for chip in TABLE_CHIPS}
