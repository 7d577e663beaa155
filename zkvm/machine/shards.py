"""
Splitting a run into shards, and emulating any one of them again to fill the chips' events.

First pass: `plan_shards` runs the whole program once, quickly, and writes one *snapshot* file per shard: the registers
and pc it starts from, and each doubleword it touches with its value before. That is all a shard can depend on, so a
snapshot can be traced alone, in any order, by any process. It also writes the memory image of the whole run.

Second pass: `Tracer.trace` takes one snapshot and returns the shard's events and boundary.

Both passes are pure functions of the program, the input and the shard limits.
"""

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zkvm.isa.instructions import FAMILY_COUNT, REGISTER_COUNT, Family
from zkvm.machine import fast, memory_map
from zkvm.machine.elf import Program
from zkvm.machine.emulator import Emulator, Limits, RunResult, sparse_array
from zkvm.machine.errors import ShardCountLimitReached, SnapshotMismatch
from zkvm.machine.events import (
    BOUNDARY,
    CLK_LIMIT,
    ECALL_TICKS,
    EVENT,
    HALT_PC,
    IMAGE,
    PRECOMPILE_EVENT,
    REGISTER_SPACE,
    STEP_TICKS,
)
from zkvm.machine.fast_precompiles import IO_WORDS
from zkvm.machine.profile import family_counts, steps_of

SHARD_COUNT_LIMIT: Final = 65535
OUTPUT_DOUBLEWORDS: Final = 1 + memory_map.OUTPUT_LENGTH_LIMIT // 8
IMAGE_FILE: Final = "image.npy"

_DOUBLEWORD_COUNT = 1 << (memory_map.ADDRESS_BITS - 3)
_PAGE_DOUBLEWORDS = memory_map.PAGE_BYTES // 8
_PAGES_AT_ONCE = 512

_PIECE_STEPS: Final = 1 << 16
"""Steps that are logged at a time: their log, and then their events, stay in the processor's cache."""
_EVENT_WORDS: Final = np.array([EVENT[family].itemsize // 8 for family in Family], dtype=np.int64)
_STEP_FAMILIES: Final = tuple(family for family in Family if family <= Family.ECALL)


@dataclass(frozen=True)
class ShardLimits:
    """
    Where a shard ends: before the step that could pass one of these.

    rows:          the most rows of each family, at least 1; a family that is not named is unlimited.
    boundary_rows: the most addresses (registers and doublewords) in the boundary, at least 128.
    clk:           the time that is never reached, 64..2^24.
    """

    rows: Mapping[Family, int] = field(default_factory=dict)
    boundary_rows: int = 1 << 21
    clk: int = CLK_LIMIT

    def __post_init__(self) -> None:
        if any(count < 1 for count in self.rows.values()):
            raise ValueError("a family needs at least one row in a shard")
        if self.boundary_rows < 128:
            raise ValueError("a shard's boundary needs at least 128 rows")
        if not 64 <= self.clk <= CLK_LIMIT:
            raise ValueError(f"a shard's clk limit lies between 64 and {CLK_LIMIT}")


@dataclass(frozen=True)
class Shard:
    """
    One shard of a plan.

    index:         1 for the first.
    start_pc:      the first step's pc. end_pc: the next shard's start_pc, or HALT_PC.
    end_clk:       the time after the last step.
    families:      rows per family; precompile families count calls.
    boundary_rows: addresses in its boundary.
    """

    index: int
    start_pc: int
    end_pc: int
    end_clk: int
    families: dict[Family, int]
    boundary_rows: int

    @property
    def steps(self) -> int:
        """Instructions executed, ecalls included."""
        return steps_of(self.families)

    @property
    def is_last(self) -> bool:
        """Whether the program halts in this shard."""
        return self.end_pc == HALT_PC


@dataclass(frozen=True)
class ShardPlan:
    """
    A whole run in shards.

    shards:   in order. The files in `folder` belong to them: `snapshot(index)` and the memory image.
    result:   the run's result, as `run` would give it.
    """

    folder: Path
    result: RunResult
    shards: tuple[Shard, ...]

    def snapshot(self, index: int) -> "Snapshot":
        """The snapshot of a shard by its index, 1..len(shards)."""
        return Snapshot.load(snapshot_path(self.folder, index))

    def image(self) -> NDArray[np.void]:
        """The memory image: (n,) IMAGE, read-only, mapped from its file."""
        return np.load(self.folder / IMAGE_FILE, mmap_mode="r", allow_pickle=False)


def snapshot_path(folder: Path, index: int) -> Path:
    """Where a shard's snapshot lies."""
    return folder / f"shard-{index:05d}.npy"


# What a snapshot's file holds after the scalars, one NumPy array after the other: type and length, None = any.
_SNAPSHOT_ARRAYS: Final[dict[str, tuple[type, int | None]]] = {
    "registers": (np.uint64, REGISTER_COUNT),
    "register_previous": (np.uint32, REGISTER_COUNT),
    "register_is_touched": (np.bool_, REGISTER_COUNT),
    "address": (np.uint32, None),
    "first_value": (np.uint64, None),
    "previous_shard": (np.uint32, None),
}


@dataclass(frozen=True, eq=False)
class Snapshot:
    """
    What is needed to emulate one shard again.

    shard:          what the shard does.
    registers:      (33,) uint64 at its start. register_previous: (33,) uint32, the last earlier shard that accessed
                    each, 0 = none. register_is_touched: (33,) bool, whether this shard accesses it.
    address:        (m,) uint32, ascending: the doublewords this shard touches. first_value: (m,) uint64 at its start.
    previous_shard: (m,) uint32, the last earlier shard that touched each, 0 = none.
    """

    shard: Shard
    registers: NDArray[np.uint64]
    register_previous: NDArray[np.uint32]
    register_is_touched: NDArray[np.bool_]
    address: NDArray[np.uint32]
    first_value: NDArray[np.uint64]
    previous_shard: NDArray[np.uint32]

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        shard = self.shard
        scalars = (shard.index, shard.start_pc, shard.end_pc, shard.end_clk, *shard.families.values())
        temporary = path.with_name(path.name + ".part")
        with temporary.open("wb") as file:
            np.save(file, np.array(scalars, dtype=np.uint64), allow_pickle=False)
            for name in _SNAPSHOT_ARRAYS:
                np.save(file, getattr(self, name), allow_pickle=False)
        os.replace(temporary, path)

    @staticmethod
    def load(path: Path) -> "Snapshot":
        """Reads a file that `save` wrote. Raises SnapshotMismatch where it is not one, FileNotFoundError if absent."""
        try:
            with path.open("rb") as file:
                scalars = np.lib.format.read_array(file, allow_pickle=False)
                arrays = {name: np.lib.format.read_array(file, allow_pickle=False) for name in _SNAPSHOT_ARRAYS}
                has_more = bool(file.read(1))
        except (ValueError, EOFError) as error:
            raise SnapshotMismatch(f"{path.name} is not a snapshot: {error}") from error
        count = arrays["address"].size
        for name, (dtype, length) in _SNAPSHOT_ARRAYS.items():
            if arrays[name].dtype != dtype or arrays[name].shape != (count if length is None else length,):
                raise SnapshotMismatch(f"{path.name} is not a snapshot: wrong shape of {name}")
        if scalars.dtype != np.uint64 or scalars.shape != (4 + FAMILY_COUNT,) or has_more:
            raise SnapshotMismatch(f"{path.name} is not a snapshot: wrong length")
        index, start_pc, end_pc, end_clk, *rows = (int(value) for value in scalars)
        address = arrays["address"]
        if np.any(address[1:] <= address[:-1]) or np.any(address >= _DOUBLEWORD_COUNT) or end_clk >= CLK_LIMIT:
            raise SnapshotMismatch(f"{path.name} is not a snapshot: addresses or time out of order")
        families = {family: rows[family] for family in Family}
        boundary_rows = count + int(arrays["register_is_touched"].sum())
        return Snapshot(Shard(index, start_pc, end_pc, end_clk, families, boundary_rows), **arrays)


@dataclass(frozen=True)
class Survey:
    """
    What every stretch of a run needs.

    times: (n,) int64, ascending: times of the run, each the end of a step, the last the end of the run. Time goes on from
    shard to shard here. rows: (n, FAMILY_COUNT) int64, each family's rows from the start of the run until then.
    """

    times: NDArray[np.int64]
    rows: NDArray[np.int64]

    def thinned(self, most: int) -> "Survey":
        """The same with at most so many notes, evenly chosen, the last among them."""
        step = -(-len(self.times) // most)
        kept = slice((len(self.times) - 1) % step, None, step)
        return Survey(self.times[kept], self.rows[kept])


def survey(program: Program, private_input: bytes, stretch: int, limits: Limits | None = None) -> Survey:
    """Runs a program once and notes what it needs, every `stretch` ticks or a few more. Raises as `run` does."""
    emulator = Emulator(program, private_input, limits or Limits())
    times, rows = [], []
    has_halted = False
    with emulator.debug_on_error():
        while not has_halted:
            emulator.clk_limit = int(emulator.cells[fast.CLK]) + stretch
            has_halted = emulator.advance()
            times.append(int(emulator.cells[fast.CLK]))
            rows.append(emulator.rows())
    return Survey(np.array(times, dtype=np.int64), np.array(rows, dtype=np.int64))


def plan_shards(
    program: Program,
    private_input: bytes,
    shard_limits: ShardLimits,
    folder: Path,
    limits: Limits | None = None,
    on_debug: Callable[[bytes], None] | None = None,
    on_shard: Callable[[Shard], None] | None = None,
    cuts: Sequence[int] = (),
) -> ShardPlan:
    """
    Runs a program once and writes snapshots and the memory image into an existing folder.

    cuts: times of the run, ascending, at which a shard ends, beside where a limit ends it; see `Survey`. on_shard: called as each shard's snapshot lies on disk. Memory beyond the guest's own does not grow with the
    length of the run. Raises as `run` does, and ShardCountLimitReached after 65,535 shards.
    """
    # The boundary holds the registers as well.
    touch_limit = shard_limits.boundary_rows - REGISTER_COUNT
    emulator = Emulator(program, private_input, limits or Limits(), on_debug, touch_limit)
    planner = _Planner(emulator, shard_limits, folder, cuts)
    shards = []
    with emulator.debug_on_error():
        has_halted = False
        while not has_halted:
            planner.begin_shard()
            has_halted = emulator.advance()
            shards.append(planner.end_shard(has_halted))
            if on_shard is not None:
                on_shard(shards[-1])
        result = emulator.result()
    planner.write_image(memory_map.input_words(private_input))
    return ShardPlan(folder, result, tuple(shards))


class _Planner:
    """The first pass' bookkeeping around an emulator."""

    def __init__(self, emulator: Emulator, limits: ShardLimits, folder: Path, cuts: Sequence[int]) -> None:
        self._emulator = emulator
        self._cuts = deque(cuts)
        self._elapsed = 0
        self._folder = folder
        self._index = 0
        for family, count in limits.rows.items():
            emulator.budget[family] = count
        emulator.flow_before = np.zeros_like(emulator.flow)
        # An ecall that begins just below this ends below the limit.
        self._clk_limit = limits.clk - ECALL_TICKS
        self._register_previous = np.zeros(REGISTER_COUNT, dtype=np.uint32)
        self._start_registers = np.zeros(REGISTER_COUNT, dtype=np.uint64)
        self._start_pc = 0

    def begin_shard(self) -> None:
        emulator = self._emulator
        self._index += 1
        if self._index > SHARD_COUNT_LIMIT:
            raise ShardCountLimitReached(f"the run does not fit {SHARD_COUNT_LIMIT} shards of this size")
        while self._cuts and self._cuts[0] <= self._elapsed:
            self._cuts.popleft()
        emulator.clk_limit = min(self._clk_limit, self._cuts[0] - self._elapsed) if self._cuts else self._clk_limit
        emulator.cells[fast.SHARD] = self._index
        emulator.cells[fast.CLK] = 0
        emulator.cells[fast.TOUCHED] = 0
        emulator.left[:] = emulator.budget
        self._start_registers = emulator.registers.copy()
        self._start_pc = emulator.pc

    def end_shard(self, has_halted: bool) -> Shard:
        emulator = self._emulator
        rows = emulator.budget - emulator.left
        with np.errstate(over="ignore"):
            touched_bits = int(fast.close_flow(emulator.program.packed, emulator.flow, emulator.flow_before))
        is_touched = np.array([touched_bits >> index & 1 for index in range(REGISTER_COUNT)], dtype=np.bool_)
        count = int(emulator.cells[fast.TOUCHED])
        # Sorting addresses with their places behind them is faster than an indirect sort.
        keys = emulator.first_touch[: 2 * count : 2] << np.uint64(32) | np.arange(count, dtype=np.uint64)
        keys.sort()
        address, first_value = np.empty(count, dtype=np.uint32), np.empty(count, dtype=np.uint64)
        previous_shard = np.empty(count, dtype=np.uint32)
        fast.sort_touches(keys, emulator.first_touch, address, first_value, previous_shard)
        shard = Shard(
            index=self._index,
            start_pc=self._start_pc,
            end_pc=HALT_PC if has_halted else emulator.pc,
            end_clk=int(emulator.cells[fast.CLK]),
            families=family_counts(rows),
            boundary_rows=count + int(is_touched.sum()),
        )
        snapshot = Snapshot(
            shard,
            registers=self._start_registers,
            register_previous=self._register_previous.copy(),
            register_is_touched=is_touched,
            address=address,
            first_value=first_value,
            previous_shard=previous_shard,
        )
        snapshot.save(snapshot_path(self._folder, self._index))
        self._register_previous[is_touched] = self._index
        self._elapsed += shard.end_clk
        # From here on, the emulator's totals hold this shard.
        emulator.rows_before += rows
        emulator.left[:] = emulator.budget
        return shard

    def write_image(self, private_input: NDArray[np.uint64]) -> None:
        emulator, program = self._emulator, self._emulator.program
        output_start = memory_map.OUTPUT_START // 8
        listed = emulator.page_is_touched.copy()
        data_end = program.data_start + len(program.data)
        if len(program.data):
            listed[program.data_start // _PAGE_DOUBLEWORDS : (data_end - 1) // _PAGE_DOUBLEWORDS + 1] = 1
        listed[output_start // _PAGE_DOUBLEWORDS] = 1
        pages = np.flatnonzero(listed)

        registers = np.zeros(REGISTER_COUNT, dtype=IMAGE)
        registers["space"] = REGISTER_SPACE
        registers["address"] = np.arange(REGISTER_COUNT)
        registers["last_shard"] = self._register_previous
        registers["final_value"] = emulator.registers

        path = self._folder / IMAGE_FILE
        temporary = path.with_name(path.name + ".part")
        with temporary.open("wb") as file:
            # The row count is known only at the end: the header is written twice, padded to one length.
            row_count = len(registers)
            _write_header(file, row_count)
            file.write(registers.tobytes())
            rows = np.empty(min(len(pages), _PAGES_AT_ONCE) * _PAGE_DOUBLEWORDS, dtype=IMAGE)
            for first in range(0, len(pages), _PAGES_AT_ONCE):
                with np.errstate(over="ignore"):
                    count = fast.fill_image(
                        pages[first : first + _PAGES_AT_ONCE], emulator.memory, emulator.last_shard,
                        np.uint64(program.data_start), program.data,
                        np.uint64(memory_map.INPUT_START // 8), private_input,
                        np.uint64(output_start), np.uint64(output_start + OUTPUT_DOUBLEWORDS),
                        rows.view(np.uint64).reshape(-1, 4),
                    )  # fmt: skip
                file.write(rows[:count].data)
                row_count += count
            file.seek(0)
            _write_header(file, row_count)
        os.replace(temporary, path)


def _write_header(file: Any, row_count: int) -> None:
    # NumPy pads the header so that the first axis can grow in place.
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(IMAGE)), "fortran_order": False, "shape": (row_count,)}
    np.lib.format.write_array_header_2_0(file, header)


@dataclass(frozen=True, eq=False)
class ShardTrace:
    """
    One shard, ready for the chips.

    events:   per family, an array of EVENT[family] in the order of execution; families without rows have length 0.
    boundary: (m,) BOUNDARY, ascending by (space, address).
    """

    shard: Shard
    events: dict[Family, NDArray[np.void]]
    boundary: NDArray[np.void]


class Tracer:
    """
    Emulates shards of one program again.

    Memory and buffers are kept from shard to shard. One tracer serves one thread; several are independent.
    """

    def __init__(self, program: Program, piece_steps: int = _PIECE_STEPS) -> None:
        """piece_steps: how many steps are logged at a time, 2..2^21; nothing but speed depends on it."""
        self._program = program
        self._piece_steps = piece_steps
        self._memory = sparse_array(_DOUBLEWORD_COUNT, np.uint64)
        self._last_touch = sparse_array(_DOUBLEWORD_COUNT, np.uint32)
        self._io = np.zeros(IO_WORDS, dtype=np.uint64)
        # The last step of a piece may be an ecall, of two rows.
        self._high_start = (piece_steps + 1) * fast.LOG_WORDS
        self._log = sparse_array((piece_steps + 1) * (fast.LOG_WORDS + fast.HIGH_WORDS), np.uint64, is_dense=True)
        # The events of a piece, each family's with room for all of them; and those of a whole shard's precompiles.
        room = piece_steps * np.concatenate(([0], _EVENT_WORDS[: len(_STEP_FAMILIES)]))
        self._event_starts = np.cumsum(room).astype(np.uint64)
        self._events = sparse_array(int(self._event_starts[-1]), np.uint64)
        self._precompile_events = np.zeros(0, dtype=np.uint64)
        self._unused = (
            np.zeros(1, np.uint64), np.zeros(1, np.uint16), np.zeros(1, np.uint8), np.zeros(1, np.uint64)
        )  # fmt: skip

    def trace(self, snapshot: Snapshot) -> ShardTrace:
        """The events and the boundary of a snapshot's shard, all at once. Raises as `replay` does."""
        pieces: dict[Family, list[NDArray[np.void]]] = {family: [np.zeros(0, EVENT[family])] for family in Family}
        boundary = self.replay(snapshot, lambda family, events: pieces[family].append(events.copy()))
        events = {family: np.concatenate(piece) for family, piece in pieces.items()}
        return ShardTrace(snapshot.shard, events, boundary)

    def replay(
        self, snapshot: Snapshot, take: Callable[[Family, NDArray[np.void]], None] | None = None
    ) -> NDArray[np.void]:
        """
        Emulates a snapshot's shard and returns its boundary, (m,) BOUNDARY.

        take: given all events, some thousands at a time, each family's in the order of execution; those of a precompile
        all at once. They lie in this tracer's own buffers: the next ones overwrite them. Without it no events are made.
        Raises SnapshotMismatch where the shard does not do what the snapshot says; events may have been given by then,
        but never more of a family than the snapshot says.
        """
        shard = snapshot.shard
        touched = np.flatnonzero(snapshot.register_is_touched)
        # Kernels check no bounds: what they rely on is checked here.
        if shard.boundary_rows != len(touched) + len(snapshot.address) or (shard.start_pc - self._program.text_start) % 4:
            raise SnapshotMismatch(f"the snapshot of shard {shard.index} contradicts itself")
        counts = np.array([shard.families[family] for family in Family], dtype=np.int64)
        counts[: Family.ECALL + 1] = 0
        ends = np.cumsum(counts * _EVENT_WORDS)
        starts = ends - counts * _EVENT_WORDS
        events = self._room_for_precompiles(int(ends[-1]))

        cells = np.zeros(fast.CELL_COUNT, dtype=np.uint64)
        registers = cells[:REGISTER_COUNT]
        registers[:] = snapshot.registers
        last_access = cells[fast.ACCESS : fast.ACCESS + REGISTER_COUNT]
        last_access[:] = 0xFFFF_FFFF
        cursor = cells[fast.CURSOR : fast.CURSOR + FAMILY_COUNT]
        cursor[:] = starts
        cells[fast.LEFT : fast.LEFT + FAMILY_COUNT] = ends
        cells[fast.PC] = shard.start_pc

        left = np.array([shard.families[family] for family in _STEP_FAMILIES], dtype=np.int64)
        boundary = np.zeros(shard.boundary_rows, dtype=BOUNDARY)
        register_rows, memory_rows = boundary[: len(touched)], boundary[len(touched) :].view(np.uint64).reshape(-1, 4)
        # As in the emulator: words wrap.
        with np.errstate(over="ignore"):
            fast.lay_out(snapshot.address, snapshot.first_value, self._memory, self._last_touch)
            try:
                reason, clk = fast.BUDGET_SPENT, 0
                while reason == fast.BUDGET_SPENT and clk < shard.end_clk:
                    begin, limit = clk, min(clk + STEP_TICKS * self._piece_steps, shard.end_clk)
                    cells[fast.CLK_LIMIT], cells[fast.HIGH] = limit, self._high_start
                    reason = fast.trace(
                        self._program.packed, np.uint64(self._program.text_start), cells, self._memory, self._io,
                        *self._unused, self._last_touch, self._log, events,
                    )  # fmt: skip
                    clk = int(cells[fast.CLK])
                    if reason not in (fast.BUDGET_SPENT, fast.HALTED) or (reason == fast.BUDGET_SPENT and clk < limit):
                        break
                    if take is not None:
                        self._give(begin, clk, left, take)
            finally:
                untouched = fast.clear_away(
                    snapshot.address, snapshot.first_value, snapshot.previous_shard, self._memory, self._last_touch,
                    memory_rows,
                )  # fmt: skip
        is_same = (
            reason == (fast.HALTED if shard.is_last else fast.BUDGET_SPENT)
            and clk == shard.end_clk
            and (shard.is_last or int(cells[fast.PC]) == shard.end_pc)
            and bool((cursor == ends).all())
            and (take is None or not left.any())
            and untouched == 0
            and bool(((last_access != 0xFFFF_FFFF) == snapshot.register_is_touched).all())
        )
        if not is_same:
            raise SnapshotMismatch(f"shard {shard.index} did not repeat what its snapshot says")

        register_rows["space"] = REGISTER_SPACE
        register_rows["address"] = touched
        register_rows["previous_shard"] = snapshot.register_previous[touched]
        register_rows["last_clk"] = last_access[touched]
        register_rows["first_value"] = snapshot.registers[touched]
        register_rows["final_value"] = registers[touched]
        if take is not None:
            for family in PRECOMPILE_EVENT:
                if counts[family]:
                    rows = events[starts[family] : ends[family]].view(EVENT[family])
                    rows.flags.writeable = False
                    take(family, rows)
        return boundary

    def _give(
        self, begin: int, end: int, left: NDArray[np.int64], take: Callable[[Family, NDArray[np.void]], None]
    ) -> None:
        """
        Hands on the events of the steps that the log holds: the first begins at time `begin`, the last ends at `end`.

        left: how many events of each family may still come; counted down.
        """
        cursor = self._event_starts.copy()
        fast.sort_log(
            self._log, np.uint64(self._high_start), np.uint64(begin), np.uint64(end), self._program.packed,
            np.uint64(self._program.text_start), cursor, self._events,
        )  # fmt: skip
        left -= (cursor - self._event_starts)[:-1].astype(np.int64) // _EVENT_WORDS[: len(_STEP_FAMILIES)]
        if (left < 0).any():
            raise SnapshotMismatch("the shard has more steps of a family than its snapshot says")
        for family in _STEP_FAMILIES:
            if cursor[family] > self._event_starts[family]:
                rows = self._events[self._event_starts[family] : cursor[family]].view(EVENT[family])
                rows.flags.writeable = False
                take(family, rows)

    def _room_for_precompiles(self, words: int) -> NDArray[np.uint64]:
        # A fresh buffer per shard would cost more in page faults than the emulation itself.
        if len(self._precompile_events) < words:
            self._precompile_events = np.zeros(0, dtype=np.uint64)
            self._precompile_events = sparse_array(words + words // 8, np.uint64, is_dense=True)
        return self._precompile_events[:words]


def trace_shard(program: Program, snapshot: Snapshot) -> ShardTrace:
    """One snapshot's events and boundary; to trace several, keep a Tracer."""
    return Tracer(program).trace(snapshot)


__all__ = [
    "Shard",
    "ShardLimits",
    "ShardPlan",
    "ShardTrace",
    "Snapshot",
    "Survey",
    "Tracer",
    "plan_shards",
    "snapshot_path",
    "survey",
    "trace_shard",
]
