"""
Proving and verifying any program: set-up, run, shards, proof file.

    key = program_key(program)                       what a program id stands for
    prove_program(program, input, output_path)       a proof file of one run
    verify_program(proof)                            Accepted or a Refusal

Memory is bounded by the shape of one shard, which `ShardShape` derives from the memory allowed; nothing but files on disk grows with the run.
"""

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from zkvm.air.backends.parameters import parameters as parameters_of
from zkvm.air.chip import Chip
from zkvm.air.expression import Phase
from zkvm.chips import boundary, program, program_image
from zkvm.cuts import Matrix, best_cuts
from zkvm.isa.instructions import Family
from zkvm.kernels.policy import HAVE_NUMBA
from zkvm.kernels.reference.poseidon2 import Digest
from zkvm.machine.elf import Program
from zkvm.machine.emulator import Limits, RunResult
from zkvm.machine.events import ECALL_TICKS, STEP_TICKS
from zkvm.machine.shards import Shard, ShardLimits, ShardPlan, plan_shards, survey
from zkvm.machine_air import FAMILY_CHIPS, GROUPS, TABLE_CHIPS, TABLES_ROOT, riscv_machine
from zkvm.protocol.arithmetic import Arithmetic, Plain
from zkvm.protocol.checks import Checks
from zkvm.protocol.errors import ProverError, Refusal
from zkvm.protocol.machine import Machine, ProgramKey
from zkvm.protocol.parameters import Parameters
from zkvm.protocol.plan import check_shape, messages_weight, shapes_of
from zkvm.protocol.proof import Head, ProofReader
from zkvm.protocol.security import Report
from zkvm.protocol.verify import Accepted, ShardPlans, security_reports, verify
from zkvm.trace import TABLE_LOG_HEIGHTS, ProgramTables, RunTrace, table_records

DEFAULT_MEMORY: Final = 8 << 30

BYTES_PER_CELL: Final = 10
"""Peak memory of proving a shard, by committed cell: its extension takes 8 bytes; bench/prove.py measures it."""

FIXED_BYTES: Final = 1 << 30
"""Interpreter, compiled kernels, fixed tables and their extensions."""

LEAST_CELLS: Final = 32 << 20
"""A shard of less is nearly all tables."""

LEAST_MEMORY: Final = FIXED_BYTES + BYTES_PER_CELL * LEAST_CELLS
"""What the smallest shape takes."""

PARAMETERS: Final = Parameters()
"""128 bits at every layer."""


class RunFailedError(Exception):
    """The program ended with another exit code than 0: such a run has no proof. result: the run."""

    def __init__(self, result: RunResult) -> None:
        super().__init__(f"the program ended with exit code {result.exit_code}; only a run that exits with 0 has a proof")
        self.result = result


@dataclass(frozen=True)
class ShardShape:
    """
    How large shards may be.

    log_rows: of every chip; rows of a chip as wide as a permutation's count for more. cells: committed cells, padding and tables included; None = whatever the
    rows allow.
    """

    log_rows: int
    cells: int | None = None

    @classmethod
    def for_memory(cls, memory_bytes: int) -> "ShardShape":
        """The largest shape that fits, 2^21 rows at most."""
        cells = max(LEAST_CELLS, (memory_bytes - FIXED_BYTES) // BYTES_PER_CELL)
        return cls(min(21, max(14, (cells // _CELLS_PER_TALLEST_ROW).bit_length() - 1)), cells)

    @property
    def most_rows(self) -> dict[Family, int]:
        """Events of a shard, by family."""
        rows = dict.fromkeys(Family, 1 << self.log_rows)
        for family, group in GROUPS.items():
            # A group's chip is wide: its cells, not its rows, take the place of an instruction chip's.
            wide = max(1, group.chip.widths[Phase.MAIN] // 128)
            rows[family] = max(1, (1 << self.log_rows) // wide // group.rows_per_call)
        return rows

    @property
    def boundary_rows(self) -> int:
        """Addresses that a shard may touch; their cells are kept out of what is cut by."""
        if self.cells is None:
            return max(1 << 12, 1 << self.log_rows)
        share = self.cells // 10 // parameters_of(boundary.CHIP).cells_per_row
        return 1 << max(12, share.bit_length() - 1)


_CELLS_PER_TALLEST_ROW: Final = 400
"""A shard has at least about so many cells for each row of its tallest chip."""


_MOST_STRETCHES: Final = 8192
"""More than these would be weighed for longer than they gain: a run of 10^9 steps has shards of some dozens even so."""


def plan_run(
    loaded: Program,
    private_input: bytes,
    shape: ShardShape,
    folder: Path,
    limits: Limits | None = None,
    on_shard: Callable[[Shard], None] | None = None,
) -> ShardPlan:
    """
    A run in shards of the fewest cells that `shape` allows; snapshots and the image are written into `folder`. Raises as plan_shards does.

    Source: docs/specs/shard-cuts.md.
    """
    def cells_per_row(chip: Chip) -> int:
        return parameters_of(chip).cells_per_row

    matrices = [Matrix(family, 1, cells_per_row(chip)) for family, chip in FAMILY_CHIPS.items()]
    matrices += [Matrix(family, group.rows_per_call, cells_per_row(group.chip)) for family, group in GROUPS.items()]
    tables = [*zip(TABLE_CHIPS, TABLE_LOG_HEIGHTS, strict=True), (program.CHIP, ProgramTables(loaded).log_heights[0])]
    boundary_cells = shape.boundary_rows * cells_per_row(boundary.CHIP)
    shard_limits = ShardLimits(rows=shape.most_rows, boundary_rows=shape.boundary_rows)
    # Stretches are so short that a shard holds some dozens of them.
    stretch = STEP_TICKS << min(14, max(6, shape.log_rows - 5))
    cuts = best_cuts(
        survey(loaded, private_input, stretch, limits).thinned(_MOST_STRETCHES),
        matrices,
        fixed_cells=sum(cells_per_row(chip) << height for chip, height in tables),
        most_cells=float("inf") if shape.cells is None else shape.cells - boundary_cells,
        most_rows=shape.most_rows,
        most_ticks=shard_limits.clk - 2 * ECALL_TICKS,
    )
    return plan_shards(loaded, private_input, shard_limits, folder, limits, on_shard=on_shard, cuts=cuts)


@functools.cache
def the_machine() -> Machine:
    """The machine, with its pinned tables root: all that a verifier needs."""
    return riscv_machine(TABLES_ROOT)


@functools.cache
def _machine_tables() -> object:
    from zkvm.protocol.setup import machine_tables

    tables, fixed = machine_tables(TABLE_CHIPS, {chip.name: table_records(chip) for chip in TABLE_CHIPS})
    if tables.root != TABLES_ROOT:
        raise ProverError(f"the machine's tables have root {tables.root}, not the pinned one: zkvm/machine_air.py is out of date")
    return fixed


def program_key(loaded: Program) -> ProgramKey:
    """The key of a program: commitments to its instructions and its memory image, and its entry."""
    return _program_setup(loaded)[0]


def program_id(loaded: Program) -> Digest:
    """The program id: 9 field elements."""
    return the_machine().program_id(program_key(loaded))


def _program_setup(loaded: Program) -> tuple[ProgramKey, object]:
    from zkvm.protocol.setup import program_key as commit_program

    tables = ProgramTables(loaded)
    records = {program.CHIP.name: tables.instructions(), program_image.CHIP.name: tables.image()}
    return commit_program(the_machine(), records, loaded.entry)


Progress = Callable[[str, int, int], None]
"""(phase, shard, shard count)."""


@dataclass(frozen=True)
class Proven:
    """A finished proof: where it lies, what it says, the run that it is about."""

    path: Path
    program_id: Digest
    result: RunResult
    shard_counts: tuple[int, ...]


def prove_program(
    loaded: Program,
    private_input: bytes,
    output: Path,
    *,
    parameters: Parameters = PARAMETERS,
    memory_bytes: int = DEFAULT_MEMORY,
    shape: ShardShape | None = None,
    threads: int | None = None,
    limits: Limits | None = None,
    resume: bool = True,
    check_rows: bool = False,
    progress: Progress | None = None,
) -> Proven:
    """
    Runs a program and writes a proof of the run.

    output: appears only when complete; a regular file of that name is replaced. resume: keep finished shards in the cache folder until then, and use
    those of an earlier, interrupted call of the same program, input and shape. check_rows: check every constraint on every row first, slowly.

    Raises zkvm.machine.errors for a run that traps or passes a limit, RunFailedError for an exit code other than 0, NotProvableError for a run that
    this machine has no chips for, zkvm.work_files.BusyError while another process proves the same run with resume, OSError from files.
    """
    from zkvm.protocol.prove import Options, prove
    from zkvm.warm_up import compiling_fillers_beside
    from zkvm.work_files import clear_output, snapshot_folder, work_root

    clear_output(output)
    report = progress or (lambda phase, shard, count: None)
    shape = shape or ShardShape.for_memory(memory_bytes)
    identity = hashlib.sha256(b"%d:%d:" % (shape.log_rows, shape.cells or 0) + loaded.digest + hashlib.sha256(private_input).digest()).digest()
    work = work_root()
    # Two processes that prove the same run would write and remove the same records; the folder's name makes them meet.
    name = identity.hex()[:32] if resume else os.urandom(16).hex()
    with compiling_fillers_beside(), snapshot_folder(work, name) as folder:
        report("set-up", 0, 0)
        key, program_tables = _program_setup(loaded)
        report("execute", 0, 0)

        def on_shard(shard: Shard) -> None:
            report("execute", shard.index, 0)

        plan = plan_run(loaded, private_input, shape, folder, limits, on_shard)
        if plan.result.exit_code:
            raise RunFailedError(plan.result)
        run = RunTrace(ProgramTables(loaded), plan, identity)
        options = Options(threads=threads, work_folder=work if resume else None, check_rows=check_rows, progress=report)
        prove(the_machine(), key, {"machine": _machine_tables(), "program": program_tables}, run, parameters, output, options)
        return Proven(output, the_machine().program_id(key), plan.result, run.shard_counts)


def check_program(
    loaded: Program, private_input: bytes, shape: ShardShape, limits: Limits | None = None
) -> Iterator[str]:
    """
    Runs a program and checks every constraint on every row, and every bus, in the clear. Yields what is wrong, in sentences: chip, row, constraint, or the
    tuple that does not cancel and who sent it.
    """
    from zkvm.air.backends.interpret import ExtraMessage, bus_balance, report

    tables = ProgramTables(loaded)
    fixed = {chip.name: table_records(chip) for chip in TABLE_CHIPS}
    fixed |= {program.CHIP.name: tables.instructions(), program_image.CHIP.name: tables.image()}
    with tempfile.TemporaryDirectory(prefix="blockproof-") as folder:
        plan = plan_run(loaded, private_input, shape, Path(folder), limits)
        run = RunTrace(tables, plan, b"")
        machine = the_machine()
        everywhere, extra = [], []
        for header in run.headers:
            kind = machine.kinds[header.kind]
            publics = dict(zip(kind.publics, header.publics, strict=True))
            for name, phases in run.matrices(header.index).items():
                chip = machine.chips[machine.chip_index[name]]
                matrices = {**phases, **({Phase.FIXED: fixed[name]} if name in fixed else {})}
                found = report(chip, matrices, publics)
                if not found:
                    yield f"shard {header.index}: {found}"
                everywhere.append((chip, matrices, publics, header.index))
            extra += [
                ExtraMessage(m.bus, m.values, m.count, "verifier", header.index)
                for m in machine.local_messages(kind, publics)
            ]
        key = ProgramKey((0,) * 9, tables.log_heights, loaded.entry)
        extra += [ExtraMessage(m.bus, m.values, m.count) for m in machine.global_messages(key, run.statement)]
        balance = bus_balance(everywhere, extra)
        if not balance:
            yield str(balance)


def verify_program(
    proof: Path | bytes | BinaryIO, *, expected_id: Digest | None = None, required_bits: float = 128
) -> Accepted | Refusal:
    """
    Verifies a proof: a file's path, its bytes, or an open file from its position to its end.

    expected_id: the program that the caller wants; None accepts any and reports which. With numba the queries are checked by compiled
    kernels, without it by the plain twins: the answer is the same. Raises OSError from files, nothing on account of what the proof says.
    """
    return verify(
        proof, the_machine(), required_bits=required_bits, program_id=expected_id, arithmetic=fastest_arithmetic()
    )


def fastest_arithmetic() -> Arithmetic:
    """Compiled and batched over queries where numba is there, else plain."""
    if not HAVE_NUMBA:
        return Plain()
    from zkvm.protocol.batched import Batched

    return Batched()


def proof_facts(proof: BinaryIO) -> tuple[Head, tuple[Report, ...]]:
    """
    The head of a proof and the security calculator's answer for its parameters and shapes. Nothing is verified.

    Raises RefusalError for a file that is no proof of this machine.
    """
    machine = the_machine()
    head = ProofReader(proof, machine, Checks()).head
    for header, _ in shapes_of(head.headers).values():
        check_shape(Checks(), machine, head.key, header)
    own = messages_weight(machine.global_messages(head.key, head.statement))
    return head, security_reports(ShardPlans(machine, head), head, own)
