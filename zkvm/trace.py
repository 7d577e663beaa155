"""
From a run to the matrices of its shards.

`ProgramTables` holds the fixed columns that belong to a program; `RunTrace` a planned run (zkvm.machine.shards) and what each of its shards
looks like: header data first (cheap, from the plan), matrices one shard at a time (by emulating that shard again).

Nothing here is trusted: a wrong matrix gives no proof, or one that is refused.
"""

from builtins import range as builtin_range
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from zkvm.air.chip import Chip
from zkvm.air.expression import Phase
from zkvm.chips import boundary, byte, memory_image, program, program_image, range
from zkvm.chips.buses import BYTE
from zkvm.chips.counts import new_counts
from zkvm.chips.tables import split_limbs
from zkvm.isa.instructions import REGISTER_COUNT, Family
from zkvm.machine import memory_map
from zkvm.machine.elf import Program
from zkvm.machine.events import MEMORY_SPACE, REGISTER_SPACE
from zkvm.machine.shards import Shard, ShardPlan, Tracer
from zkvm.machine_air import CHIPS, EXECUTION_KIND, FAMILY_CHIPS, GROUPS, MEMORY_KIND, OUTPUT_DOUBLEWORDS, TABLE_CHIPS
from zkvm.protocol.machine import ShardHeader, Statement
from zkvm.protocol.parameters import MINIMUM_LOG_HEIGHT

MEMORY_SHARD_ROWS: Final = 1 << 20
"""Addresses of one memory shard."""

TABLE_LOG_HEIGHTS: Final = (17, 16)
"""Of the machine's own tables, TABLE_CHIPS."""

BYTE_USERS: Final = {chip.name for chip in CHIPS if chip is not byte.CHIP and any(m.bus is BYTE for m in chip.messages)}
"""The chips whose shards need the byte table."""

Matrices = dict[str, dict[Phase, NDArray[np.void]]]
"""By chip, then phase: records, all cells canonical."""


class NotProvableError(Exception):
    """The run cannot be proven by this machine; the message says why and what would mend it."""


def log_height(rows: int) -> int:
    """log2 of the height of a matrix for so many rows."""
    return max(MINIMUM_LOG_HEIGHT, (max(rows, 1) - 1).bit_length())


@dataclass(frozen=True)
class ShardOutline:
    """
    What a shard is before its matrices exist.

    index, kind, publics: as the proof's header has them. log_heights: by chip, of the chips present.
    """

    index: int
    kind: int
    publics: tuple[int, ...]
    log_heights: Mapping[str, int]

    def header(self) -> ShardHeader:
        """The proof's header, its boundary root still open."""
        return ShardHeader(self.index, self.kind, tuple(self.log_heights.get(chip.name, 0) for chip in CHIPS), self.publics)


class ProgramTables:
    """The fixed columns of a program: its instructions and the memory that it brings along."""

    def __init__(self, loaded: Program) -> None:
        self.program = loaded

    @cached_property
    def log_heights(self) -> tuple[int, int]:
        """Of the program table and the program image."""
        return log_height(len(self.program.words)), log_height(REGISTER_COUNT + len(self.program.data))

    def instructions(self) -> NDArray[np.void]:
        """The program table's fixed records: row i is decoded instruction i; unsupported words and padding have operation 0."""
        decoded = self.program.decoded
        rows = np.zeros(1 << self.log_heights[0], dtype=program.Row.fixed_dtype)
        filled = rows[: len(decoded)]
        filled["pc"] = self.program.text_start + 4 * np.arange(len(decoded), dtype=np.uint32)
        for field in ("operation", "rd", "rs1", "rs2"):
            filled[field] = decoded[field]
        filled["imm"] = split_limbs(decoded["immediate"])
        return rows

    def image(self) -> NDArray[np.void]:
        """The program image's fixed records: 33 registers, then the doublewords of DATA that the ELF has."""
        data = self.program.data
        rows = np.zeros(1 << self.log_heights[1], dtype=program_image.Row.fixed_dtype)
        registers, memory = rows[:REGISTER_COUNT], rows[REGISTER_COUNT : REGISTER_COUNT + len(data)]
        registers["is_real"] = 1
        registers["space"] = REGISTER_SPACE
        registers["address"] = np.arange(REGISTER_COUNT)
        memory["is_real"] = 1
        memory["space"] = MEMORY_SPACE
        memory["address"] = self.program.data_start + np.arange(len(data), dtype=np.uint32)
        memory["initial"] = split_limbs(data)
        return rows


class RunTrace:
    """
    A planned run, shard by shard: the `Run` that zkvm.protocol.prove asks for.

    Raises NotProvableError for a run with calls whose chip this machine lacks, or that touches DATA past the program's own.
    """

    def __init__(self, tables: ProgramTables, plan: ShardPlan, identity: bytes) -> None:
        self.tables = tables
        self.identity = identity
        self.plan = plan
        missing = sorted(
            family.label for shard in plan.shards for family, rows in shard.families.items() if rows and family not in FAMILY_CHIPS
        )
        if missing:
            raise NotProvableError(f"the program calls {', '.join(dict.fromkeys(missing))}, for which there is no chip yet")
        self._split_image(plan.image())

    def _split_image(self, image: NDArray[np.void]) -> None:
        address = image["address"].astype(np.int64) * 8
        is_memory = image["space"] == MEMORY_SPACE

        def within(start: int, end: int) -> NDArray[np.bool_]:
            return is_memory & (start <= address) & (address < end)

        is_data = within(memory_map.DATA_START, memory_map.DATA_END)
        is_output = within(memory_map.OUTPUT_START, memory_map.OUTPUT_END)
        loaded = self.tables.program
        self._program_image = image[~is_memory | is_data]
        expected = REGISTER_COUNT + len(loaded.data)
        if len(self._program_image) != expected or (len(loaded.data) and int(image["address"][is_data][-1]) != loaded.data_start + len(loaded.data) - 1):
            raise NotProvableError("the program touches DATA past the content that its ELF has there; let the linker put that into .data or .bss")
        self._output = image[is_output]
        if len(self._output) != OUTPUT_DOUBLEWORDS:
            raise NotProvableError(f"the program touches OUTPUT past its {OUTPUT_DOUBLEWORDS} doublewords")
        free = image[within(memory_map.INPUT_START, memory_map.INPUT_END) | within(memory_map.RAM_START, memory_map.RAM_END)]
        if not len(free):
            # A memory shard has at least one row: an address nobody touched, whose two tokens cancel.
            free = np.zeros(1, dtype=image.dtype)
            free["space"], free["address"] = MEMORY_SPACE, memory_map.RAM_START // 8
        self._memory = [free[i : i + MEMORY_SHARD_ROWS] for i in builtin_range(0, len(free), MEMORY_SHARD_ROWS)]
        content = len(self.output).to_bytes(8, "little") + self.output.ljust(memory_map.OUTPUT_LENGTH_LIMIT, b"\0")
        if self._output["final_value"].tobytes() != content:
            raise NotProvableError("the program left bytes in OUTPUT past the length it states; a proof's output is zero there")

    @cached_property
    def _tracer(self) -> Tracer:
        return Tracer(self.tables.program)

    @property
    def output(self) -> bytes:
        """The public output."""
        return self.plan.result.output

    @cached_property
    def last_shards(self) -> tuple[int, ...]:
        """For each doubleword of OUTPUT, the last shard that touched it."""
        return tuple(int(shard) for shard in self._output["last_shard"])

    @cached_property
    def statement(self) -> Statement:
        """What the proof claims."""
        return Statement(self.output, self.last_shards, self.shard_counts)

    @cached_property
    def headers(self) -> tuple[ShardHeader, ...]:
        """All shards in the order of the proof."""
        return tuple(outline.header() for outline in self.outlines)

    @cached_property
    def shard_counts(self) -> tuple[int, int]:
        """Execution and memory shards."""
        return len(self.plan.shards), len(self._memory)

    @cached_property
    def outlines(self) -> tuple[ShardOutline, ...]:
        """All shards in the order of the proof."""
        program_height, image_height = self.tables.log_heights
        table_heights = {chip.name: height for chip, height in zip(TABLE_CHIPS, TABLE_LOG_HEIGHTS, strict=True)}
        outlines = []
        for shard in self.plan.shards:
            heights = {FAMILY_CHIPS[family].name: log_height(rows) for family, rows in shard.families.items() if rows}
            for family, group in GROUPS.items():
                if shard.families[family]:
                    heights[group.chip.name] = log_height(group.rows_per_call * shard.families[family])
            heights[boundary.CHIP.name] = log_height(shard.boundary_rows)
            heights[program.CHIP.name] = program_height
            heights[range.CHIP.name] = table_heights[range.CHIP.name]
            if heights.keys() & BYTE_USERS:
                heights[byte.CHIP.name] = table_heights[byte.CHIP.name]
            outlines.append(ShardOutline(shard.index, EXECUTION_KIND, _publics(shard), heights))
        for i, rows in enumerate(self._memory):
            heights = {memory_image.CHIP.name: log_height(len(rows)), range.CHIP.name: table_heights[range.CHIP.name]}
            if i == 0:
                heights[program_image.CHIP.name] = image_height
            publics = (int(rows["address"][0]), int(rows["address"][-1]))
            outlines.append(ShardOutline(len(self.plan.shards) + 1 + i, MEMORY_KIND, publics, heights))
        return tuple(outlines)

    def boundary_matrices(self, index: int) -> dict[str, NDArray[np.void]]:
        """The boundary phase of shard `index` (1 ..), by chip: all that the global challenge waits for."""
        outline = self.outlines[index - 1]
        if outline.kind == MEMORY_KIND:
            matrices = self._memory_matrices(index - len(self.plan.shards) - 1, outline)
            return {chip: phases[Phase.BOUNDARY] for chip, phases in matrices.items() if Phase.BOUNDARY in phases}
        both = _empty(boundary.CHIP, outline)
        boundary.fill(both[Phase.BOUNDARY], both[Phase.MAIN], self._tracer.replay(self.plan.snapshot(index)), index, new_counts(0).range)
        return {boundary.CHIP.name: both[Phase.BOUNDARY]}

    def matrices(self, index: int) -> Matrices:
        """The boundary and main matrices of shard `index` (1 ..), by chip."""
        outline = self.outlines[index - 1]
        if outline.kind == MEMORY_KIND:
            return self._memory_matrices(index - len(self.plan.shards) - 1, outline)
        return self._execution_matrices(index, outline)

    def _execution_matrices(self, index: int, outline: ShardOutline) -> Matrices:
        decoded = self.tables.program.decoded
        counts = new_counts(len(decoded))
        chips = {
            family: [FAMILY_CHIPS[family]] + ([GROUPS[family].chip] if family in GROUPS else [])
            for family, rows in self.plan.shards[index - 1].families.items()
            if rows
        }
        matrices: Matrices = {
            chip.name: {Phase.MAIN: chip.empty(Phase.MAIN, 1 << outline.log_heights[chip.name])} for group in chips.values() for chip in group
        }
        filled = dict.fromkeys(chips, 0)

        def fill(family: Family, events: NDArray[np.void]) -> None:
            # Steps come in pieces and have one row each; a precompile's calls, which may have many, come all at once.
            first = filled[family]
            filled[family] += len(events)
            for chip in chips[family]:
                assert chip.fill is not None
                chip.fill(decoded, events, matrices[chip.name][Phase.MAIN][first:], counts)

        events = self._tracer.replay(self.plan.snapshot(index), fill)
        both = _empty(boundary.CHIP, outline)
        boundary.fill(both[Phase.BOUNDARY], both[Phase.MAIN], events, index, counts.range)
        matrices[boundary.CHIP.name] = both
        for module, column in ((program, counts.program), (range, counts.range), (byte, counts.byte)):
            if module.CHIP.name in outline.log_heights:
                table = _empty(module.CHIP, outline)
                module.fill(table[Phase.MAIN], column)
                matrices[module.CHIP.name] = table
        return matrices

    def _memory_matrices(self, position: int, outline: ShardOutline) -> Matrices:
        counts = new_counts(0)
        both = _empty(memory_image.CHIP, outline)
        memory_image.fill(both[Phase.BOUNDARY], both[Phase.MAIN], self._memory[position], counts.range)
        table = _empty(range.CHIP, outline)
        range.fill(table[Phase.MAIN], counts.range)
        matrices = {memory_image.CHIP.name: both, range.CHIP.name: table}
        if program_image.CHIP.name in outline.log_heights:
            image = _empty(program_image.CHIP, outline)
            program_image.fill(image[Phase.BOUNDARY], self._program_image["final_value"], self._program_image["last_shard"])
            matrices[program_image.CHIP.name] = image
        return matrices


def table_records(chip: Chip) -> NDArray[np.void]:
    """The fixed records of one of the machine's own tables."""
    assert chip.fixed_fill is not None
    return chip.fixed_fill()


def _publics(shard: Shard) -> tuple[int, int, int, int]:
    return shard.index, shard.start_pc, shard.end_pc, shard.end_clk


def _empty(chip: Chip, outline: ShardOutline) -> dict[Phase, NDArray[np.void]]:
    height = 1 << outline.log_heights[chip.name]
    return {phase: chip.empty(phase, height) for phase in (Phase.BOUNDARY, Phase.MAIN) if chip.widths[phase]}
