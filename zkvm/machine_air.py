"""
The machine is these chips on these buses: the page to open second, after the verifier.

    execution shards 1 .. N     the steps of the program, in order of time; `boundary` hands memory from shard to shard
    memory shards N+1 .. N+M    the images: what every address held at the start of the run and at the end

Statement proved: the program of this key, on some private input, halted with exit code 0, and OUTPUT then held this length and these bytes.

The verifier's own part, beside the chips' constraints and balanced buses:
- a shard's state path runs from (start pc, clk 0) to (end pc, end clk); shard 1 starts at the entry, each one where its predecessor ended; the last one,
  and only that, ends at HALT_PC;
- the doublewords of OUTPUT start as 0 and end as the output claimed;
- the memory image's addresses ascend over shards; the program image stands in exactly one;
- time cannot wrap: rows x ticks, over all chips of a shard, stay far below p.

Source: docs/specs/proof-system.md, docs/specs/machine.md; design sections 3 and 4.
"""

from builtins import range as builtin_range
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zkvm.air.chip import Chip
from zkvm.chips import (
    add,
    add_word,
    arith256,
    arith256_mod,
    bitwise,
    boundary,
    branch,
    byte,
    divide,
    ecall,
    jump,
    keccak_f,
    keccak_memory,
    less_than,
    load_double,
    load_narrow,
    memory_crossing,
    memory_image,
    multiply,
    program,
    program_image,
    range,
    secp256k1_add,
    secp256k1_double,
    sha256_memory,
    sha256_rounds,
    shift,
    store_double,
    store_narrow,
)
from zkvm.chips.buses import STATE, TOKEN
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import Family
from zkvm.kernels.reference.poseidon2 import Digest
from zkvm.machine import memory_map
from zkvm.machine.events import CLK_LIMIT, HALT_PC, MEMORY_SPACE
from zkvm.protocol.checks import Checks
from zkvm.protocol.logup import Message
from zkvm.protocol.machine import Machine, MachineTables, ProgramKey, ShardHeader, ShardKind, Slot, Statement
from zkvm.protocol.parameters import MINIMUM_LOG_HEIGHT

FAMILY_CHIPS: Final[dict[Family, Chip]] = {
    Family.ADD: add.CHIP,
    Family.ADD_WORD: add_word.CHIP,
    Family.BITWISE: bitwise.CHIP,
    Family.SHIFT: shift.CHIP,
    Family.LESS_THAN: less_than.CHIP,
    Family.BRANCH: branch.CHIP,
    Family.JUMP: jump.CHIP,
    Family.MULTIPLY: multiply.CHIP,
    Family.DIVIDE: divide.CHIP,
    Family.LOAD_DOUBLE: load_double.CHIP,
    Family.STORE_DOUBLE: store_double.CHIP,
    Family.LOAD_NARROW: load_narrow.CHIP,
    Family.STORE_NARROW: store_narrow.CHIP,
    Family.MEMORY_CROSSING: memory_crossing.CHIP,
    Family.ECALL: ecall.CHIP,
    Family.KECCAK_F: keccak_memory.CHIP,
    Family.SHA256_COMPRESS: sha256_memory.CHIP,
    Family.SECP256K1_ADD: secp256k1_add.CHIP,
    Family.SECP256K1_DOUBLE: secp256k1_double.CHIP,
    Family.ARITH256: arith256.CHIP,
    Family.ARITH256_MOD: arith256_mod.CHIP,
}
"""The chip that has a row for each event of a family. A family without one can be executed but not proven."""


@dataclass(frozen=True)
class Group:
    """A chip that proves a family's calls in several rows each; filled from the same events."""

    chip: Chip
    rows_per_call: int


GROUPS: Final[dict[Family, Group]] = {
    Family.KECCAK_F: Group(keccak_f.CHIP, keccak_f.ROUNDS),
    Family.SHA256_COMPRESS: Group(sha256_rounds.CHIP, sha256_rounds.ROUNDS),
}
"""The second chip of the families that have one."""

TABLE_CHIPS: Final[tuple[Chip, ...]] = (range.CHIP, byte.CHIP)
PROGRAM_CHIPS: Final[tuple[Chip, ...]] = (program.CHIP, program_image.CHIP)
CHIPS: Final[tuple[Chip, ...]] = (
    *FAMILY_CHIPS.values(), *(group.chip for group in GROUPS.values()), boundary.CHIP, memory_image.CHIP, *PROGRAM_CHIPS, *TABLE_CHIPS,
)  # fmt: skip
"""In the order in which shapes, trees and openings list them."""

_TABLE_LOG_HEIGHTS: Final = tuple(height.bit_length() - 1 for height in (range.HEIGHT, byte.HEIGHT))

TABLES_ROOT: Final[Digest] = (
    1456419727, 1727278658, 1747060616, 1283596960, 1683513282, 1936444942, 1392931021, 2070798559, 1417677477,
)  # fmt: skip
"""The commitment to the range and byte tables. A constant of the machine: every prover makes it anew, and a test as well."""

EXECUTION: Final = ShardKind(
    "execution",
    (
        *(Slot(chip.name) for chip in FAMILY_CHIPS.values()),
        *(Slot(group.chip.name, lowest=max(MINIMUM_LOG_HEIGHT, group.chip.minimum_height.bit_length() - 1)) for group in GROUPS.values()),
        Slot(boundary.CHIP.name, required=True),
        Slot(program.CHIP.name, required=True),
        Slot(range.CHIP.name, required=True, lowest=_TABLE_LOG_HEIGHTS[0], highest=_TABLE_LOG_HEIGHTS[0]),
        Slot(byte.CHIP.name, lowest=_TABLE_LOG_HEIGHTS[1], highest=_TABLE_LOG_HEIGHTS[1]),
    ),
    ("index", "start_pc", "end_pc", "end_clk"),
)

MEMORY: Final = ShardKind(
    "memory",
    (
        Slot(memory_image.CHIP.name, required=True),
        Slot(program_image.CHIP.name),
        Slot(range.CHIP.name, required=True, lowest=_TABLE_LOG_HEIGHTS[0], highest=_TABLE_LOG_HEIGHTS[0]),
    ),
    ("first_address", "last_address"),
)

KINDS: Final = (EXECUTION, MEMORY)
EXECUTION_KIND: Final = 0
MEMORY_KIND: Final = 1

OUTPUT_DOUBLEWORDS: Final = 1 + memory_map.OUTPUT_LENGTH_LIMIT // 8
"""The length, then 256 bytes."""

LAYOUT: Final[tuple[int, ...]] = tuple(
    end >> shift & 0xFFFF
    for region in (
        (memory_map.TEXT_START, memory_map.TEXT_END), (memory_map.DATA_START, memory_map.DATA_END),
        (memory_map.INPUT_START, memory_map.INPUT_END), (memory_map.OUTPUT_START, memory_map.OUTPUT_END),
        (memory_map.RAM_START, memory_map.RAM_END),
    )
    for end in region
    for shift in (0, 16)
)  # fmt: skip
"""The memory map in limbs: part of every program id."""


def shape_rule(checks: Checks, kind: ShardKind, present: Mapping[str, int]) -> None:
    """Time cannot wrap: no access of the shard is at or after `latest`, and a gap of 24 bits beyond that is still below p."""
    latest = sum(chip.clk_increment << present[chip.name] for chip in CHIPS if chip.name in present)
    checks.holds("machine's own shape rule", latest + CLK_LIMIT < PRIME, f"a {kind.name} shard could run for {latest} ticks")


def chaining_rule(checks: Checks, key: ProgramKey, statement: Statement, headers: Sequence[ShardHeader]) -> None:
    """Execution shards continue one another from the entry to the halt; images neither overlap nor repeat."""

    def rule(condition: bool, where: str) -> None:
        checks.holds("machine's own chaining rule", condition, where)

    execution = [header for header in headers if header.kind == EXECUTION_KIND]
    memory = [header for header in headers if header.kind == MEMORY_KIND]
    rule(bool(execution) and bool(memory), "a run has at least one execution and one memory shard")
    rule(list(headers) == [*execution, *memory], "memory shards come after all execution shards")

    expected_pc = key.entry
    for number, header in enumerate(execution, start=1):
        index, start_pc, end_pc, _ = header.publics
        rule(header.index == number == index, f"execution shard {number} says that it is shard {index}")
        rule(start_pc == expected_pc, f"shard {number} starts at {start_pc:#x}, not at {expected_pc:#x}")
        is_last = number == len(execution)
        rule((end_pc == HALT_PC) == is_last, f"shard {number} of {len(execution)} ends at {end_pc:#x}; exactly the last one halts")
        expected_pc = end_pc

    image = next(i for i, chip in enumerate(CHIPS) if chip is program_image.CHIP)
    previous_last = -1
    for number, header in enumerate(memory):
        first, last = header.publics
        rule(previous_last < first, f"memory shard {header.index} starts at doubleword {first:#x}, not after {previous_last:#x}")
        rule((header.log_heights[image] > 0) == (number == 0), "exactly the first memory shard holds the program image")
        previous_last = last


def local_messages(kind: ShardKind, publics: Mapping[str, int]) -> tuple[Message, ...]:
    """Both ends of an execution shard's state path."""
    if kind is not EXECUTION and kind.name != EXECUTION.name:
        return ()
    return (
        Message(STATE, (publics["start_pc"], 0), 1),
        Message(STATE, (publics["end_pc"], publics["end_clk"]), -1),
    )


def global_messages(key: ProgramKey, statement: Statement) -> tuple[Message, ...]:
    """OUTPUT's tokens: zeros at the start, the claimed length and bytes at the end, zeros behind them."""
    content = len(statement.output).to_bytes(8, "little") + statement.output.ljust(memory_map.OUTPUT_LENGTH_LIMIT, b"\0")
    messages = []
    for i in builtin_range(OUTPUT_DOUBLEWORDS):
        address = memory_map.OUTPUT_START // 8 + i
        word = int.from_bytes(content[8 * i : 8 * i + 8], "little")
        limbs = tuple(word >> shift & 0xFFFF for shift in (0, 16, 32, 48))
        messages.append(Message(TOKEN, (MEMORY_SPACE, address, 0, 0, 0, 0, 0), 1))
        messages.append(Message(TOKEN, (MEMORY_SPACE, address, *limbs, statement.last_shards[i]), -1))
    return tuple(messages)


def riscv_machine(tables_root: Digest) -> Machine:
    """The machine, with the root of its fixed tables (range, byte) as computed or pinned."""
    return Machine(
        name="blockproof rv64im",
        chips=CHIPS,
        kinds=KINDS,
        tables=MachineTables(tuple(chip.name for chip in TABLE_CHIPS), _TABLE_LOG_HEIGHTS, tables_root),
        program_tables=tuple(chip.name for chip in PROGRAM_CHIPS),
        layout=LAYOUT,
        output_words=OUTPUT_DOUBLEWORDS,
        shape_rule=shape_rule,
        chaining_rule=chaining_rule,
        local_messages=local_messages,
        global_messages=global_messages,
    )
