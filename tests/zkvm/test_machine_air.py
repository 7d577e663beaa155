"""
The machine as a whole: the verifier's own rules refuse each forged list of headers, by name; its messages are what the statement says; the pinned tables root
is the tables' own; and every column, constraint and message of every chip has its test or its written exemption.
"""

import importlib.util
import inspect
import itertools
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE / "chips")]

import exemptions
import memory_exemptions

from zkvm.air import Chip, Phase
from zkvm.chips import byte, memory_image, program, program_image
from zkvm.chips import range as range_chip
from zkvm.chips.buses import BYTE, KECCAK, MEMORY, PROGRAM, RANGE, SHA256, STATE, SYSCALL, TOKEN
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import Family
from zkvm.machine import memory_map
from zkvm.machine.events import CLK_LIMIT, HALT_PC
from zkvm.machine_air import (
    CHIPS,
    EXECUTION,
    EXECUTION_KIND,
    FAMILY_CHIPS,
    KINDS,
    LAYOUT,
    MEMORY_KIND,
    OUTPUT_DOUBLEWORDS,
    TABLES_ROOT,
    chaining_rule,
    global_messages,
    local_messages,
    riscv_machine,
    shape_rule,
)
from zkvm.machine_air import (
    MEMORY as MEMORY_SHARDS,
)
from zkvm.protocol.checks import Checks
from zkvm.protocol.errors import Reason, RefusalError
from zkvm.protocol.machine import ProgramKey, ShardHeader, Statement
from zkvm.protocol.setup import machine_tables
from zkvm.trace import table_records

ENTRY = 0x20_0000
KEY = ProgramKey((1,) * 9, (5, 6), ENTRY)
OUTPUT = b"sixteen bytes...and more"
STATEMENT = Statement(OUTPUT, tuple(range(OUTPUT_DOUBLEWORDS)), (3, 2))
NAMES = [chip.name for chip in CHIPS]


def heights(**present: int) -> tuple[int, ...]:
    return tuple(present.get(name, 0) for name in NAMES)


def headers() -> list[ShardHeader]:
    """Three execution shards and two memory shards that chain."""
    execution = [
        ShardHeader(i, EXECUTION_KIND, heights(add=5, boundary=5, program=5, range=17), (i, start, end, 400))
        for i, start, end in ((1, ENTRY, ENTRY + 80), (2, ENTRY + 80, ENTRY + 40), (3, ENTRY + 40, HALT_PC))
    ]
    memory = [
        ShardHeader(4, MEMORY_KIND, heights(memory_image=5, program_image=6, range=17), (100, 200)),
        ShardHeader(5, MEMORY_KIND, heights(memory_image=5, range=17), (201, 201)),
    ]
    return [*execution, *memory]


def refusal_of(changed: list[ShardHeader], key: ProgramKey = KEY) -> str:
    """What the chaining rule says; "" if nothing."""
    try:
        chaining_rule(Checks(), key, STATEMENT, changed)
    except RefusalError as refused:
        assert refused.refusal.reason is Reason.CHAINING
        return refused.refusal.detail
    return ""


def with_publics(position: int, **publics: int) -> Callable[[list[ShardHeader]], list[ShardHeader]]:
    def change(all_of_them: list[ShardHeader]) -> list[ShardHeader]:
        header = all_of_them[position]
        names = KINDS[header.kind].publics
        values = {**dict(zip(names, header.publics, strict=True)), **publics}
        return [*all_of_them[:position], replace(header, publics=tuple(values.values())), *all_of_them[position + 1 :]]

    return change


def test_an_honest_chain_passes() -> None:
    assert refusal_of(headers()) == ""
    assert refusal_of(headers()[:4]) == ""


CHAINS: dict[str, tuple[Callable[[list[ShardHeader]], list[ShardHeader]], str]] = {
    "no execution shard": (lambda h: h[3:], "at least one execution and one memory shard"),
    "no memory shard": (lambda h: h[:3], "at least one execution and one memory shard"),
    "a memory shard first": (lambda h: [h[3], *h[:3], h[4]], "memory shards come after all execution shards"),
    "a memory shard in between": (lambda h: [*h[:2], h[3], h[2], h[4]], "memory shards come after all execution shards"),
    "another start": (with_publics(0, start_pc=ENTRY + 4), f"shard 1 starts at {ENTRY + 4:#x}, not at {ENTRY:#x}"),
    "a gap": (with_publics(1, start_pc=ENTRY + 84), f"shard 2 starts at {ENTRY + 84:#x}, not at {ENTRY + 80:#x}"),
    "an end elsewhere": (with_publics(1, end_pc=ENTRY), f"shard 3 starts at {ENTRY + 40:#x}, not at {ENTRY:#x}"),
    "swapped shards": (lambda h: [h[0], h[2], h[1], *h[3:]], "execution shard 2 says that it is shard 3"),
    "a dropped shard": (lambda h: [h[0], *h[2:]], "execution shard 2 says that it is shard 3"),
    "a repeated shard": (lambda h: [h[0], h[1], h[1], *h[2:]], "execution shard 3 says that it is shard 2"),
    "another index in the publics": (with_publics(1, index=7), "execution shard 2 says that it is shard 7"),
    "another index in the header": (lambda h: [h[0], replace(h[1], index=3), *h[2:]], "execution shard 2 says that it is shard 2"),
    "cut off": (lambda h: [*h[:2], *h[3:]], "shard 2 of 2 ends at"),
    "a halt in between": (
        lambda h: with_publics(1, end_pc=HALT_PC)(h), f"shard 2 of 3 ends at {HALT_PC:#x}; exactly the last one halts",
    ),
    "an end that is not the halt": (with_publics(2, end_pc=ENTRY), f"shard 3 of 3 ends at {ENTRY:#x}; exactly the last one halts"),
    "images that overlap": (with_publics(4, first_address=200), "memory shard 5 starts at doubleword 0xc8, not after 0xc8"),
    "images that descend": (with_publics(4, first_address=3, last_address=4), "memory shard 5 starts at doubleword 0x3, not after 0xc8"),
    "no program image": (
        lambda h: [*h[:3], replace(h[3], log_heights=heights(memory_image=5, range=17)), h[4]], "exactly the first memory shard holds the program image",
    ),
    "a second program image": (
        lambda h: [*h[:4], replace(h[4], log_heights=heights(memory_image=5, program_image=6, range=17))],
        "exactly the first memory shard holds the program image",
    ),
    "the program image in the second shard": (
        lambda h: [*h[:3], replace(h[3], log_heights=h[4].log_heights), replace(h[4], log_heights=h[3].log_heights)],
        "exactly the first memory shard holds the program image",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHAINS)
def test_forged_chains(name: str) -> None:
    change, words = CHAINS[name]
    assert words in refusal_of(change(headers()))


class Listening(Checks):
    """Says nothing and notes what it would have said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def refuse(self, name: str, where: str) -> None:
        self.said.append(where)


ALONE: dict[str, str] = {
    "a run has at least one execution and one memory shard": "no memory shard",
    "memory shards come after all execution shards": "a memory shard first",
    "says that it is shard": "another index in the publics",
    "not at": "another start",
    "exactly the last one halts": "an end that is not the halt",
    "not after": "images that overlap",
    "exactly the first memory shard holds the program image": "no program image",
}
"""Words of each condition of the chaining rule -> the forged chain that only this condition refuses."""


@pytest.mark.parametrize("words", ALONE)
def test_each_condition_of_the_chaining_rule_is_needed(words: str) -> None:
    """Without it the forged chain passes."""
    checks = Listening()
    chaining_rule(checks, KEY, STATEMENT, CHAINS[ALONE[words]][0](headers()))
    assert checks.said and all(words in said for said in checks.said)


def test_every_condition_of_the_chaining_rule_is_listed() -> None:
    source = inspect.getsource(chaining_rule)
    assert source.count("rule(") - source.count("def ") == len(ALONE)
    assert all(words in source for words in ALONE)


def test_no_program_halts_by_jumping() -> None:
    """
    Whatever a step of the program can name as its next pc is not HALT_PC: jumps lead to multiples of 4 of less than 2^30, branches near the program, other
    steps to pc + 4. Only exit's row says HALT_PC.
    """
    assert HALT_PC % 4, "a JALR to this address would count as a halt with exit code 0"
    assert HALT_PC < memory_map.TEXT_START - (1 << 20)


# Time.


def test_time_cannot_wrap() -> None:
    present = {chip.name: 22 for chip in CHIPS if chip.clk_increment}
    shape_rule(Checks(), EXECUTION, present)
    assert sum(chip.clk_increment << 22 for chip in CHIPS) + CLK_LIMIT < PRIME
    with pytest.raises(RefusalError, match="could run for") as refused:
        shape_rule(Checks(), EXECUTION, dict.fromkeys(present, 26))
    assert refused.value.refusal.reason is Reason.SHAPE


def test_the_bound_on_time_is_exact() -> None:
    """One more tick than the largest that leaves a gap of 24 bits below p is refused."""
    limit = PRIME - CLK_LIMIT
    # Only powers of two: 4 x 2^28 + 4 x 2^27 + ... stays below; twice the largest passes it.
    sizes = {"add": 28, "add_word": 27, "bitwise": 26, "shift": 25}
    total = sum(4 << height for height in sizes.values())
    assert total < limit <= total + (4 << 26)
    shape_rule(Checks(), EXECUTION, sizes)
    with pytest.raises(RefusalError):
        shape_rule(Checks(), EXECUTION, {**sizes, "jump": 26})


def test_clk_increments_are_those_of_the_steps() -> None:
    """A chip with a row for a step counts its ticks; the state bus is sent by no other."""
    for chip in CHIPS:
        moves_time = any(m.bus == STATE for m in chip.messages)
        assert chip.clk_increment == ((8 if chip.name == "ecall" else 4) if moves_time else 0), chip.name


# Messages.


def test_local_messages_are_the_ends_of_the_path() -> None:
    publics = {"index": 2, "start_pc": ENTRY, "end_pc": ENTRY + 8, "end_clk": 44}
    messages = local_messages(EXECUTION, publics)
    assert [(m.bus, tuple(m.values), m.count) for m in messages] == [(STATE, (ENTRY, 0), 1), (STATE, (ENTRY + 8, 44), -1)]
    assert local_messages(MEMORY_SHARDS, {"first_address": 1, "last_address": 2}) == ()


def test_global_messages_are_the_output() -> None:
    messages = global_messages(KEY, STATEMENT)
    sent = {m.values[1]: m.values for m in messages if m.count == 1}
    received = {m.values[1]: m.values for m in messages if m.count == -1}
    assert len(messages) == 2 * OUTPUT_DOUBLEWORDS == 66 and all(m.bus == TOKEN for m in messages)
    start = memory_map.OUTPUT_START // 8
    assert list(sent) == list(received) == list(range(start, start + 33))
    assert all(values[2:] == (0, 0, 0, 0, 0) and values[0] == 1 for values in sent.values())
    content = b"".join(sum(limb << 16 * k for k, limb in enumerate(values[2:6])).to_bytes(8, "little") for values in received.values())
    assert content == len(OUTPUT).to_bytes(8, "little") + OUTPUT.ljust(256, b"\0")
    assert [values[6] for values in received.values()] == list(STATEMENT.last_shards)


# The machine.


def test_the_pinned_tables_root_is_the_tables_own() -> None:
    tables, _ = machine_tables((range_chip.CHIP, byte.CHIP), {chip.name: table_records(chip) for chip in (range_chip.CHIP, byte.CHIP)})
    assert tables.root == TABLES_ROOT
    assert tables.log_heights == riscv_machine(TABLES_ROOT).tables.log_heights


def test_the_layout_is_the_memory_map() -> None:
    pairs = [LAYOUT[i] | LAYOUT[i + 1] << 16 for i in range(0, len(LAYOUT), 2)]
    assert pairs == [
        0x0020_0000, 0x0800_0000, 0x0800_0000, 0x1000_0000, 0x1000_0000, 0x2000_0000, 0x2000_0000, 0x2008_0000, 0x2800_0000, 0xF000_0000,
    ]  # fmt: skip
    ends = list(zip(pairs[::2], pairs[1::2], strict=True))
    assert all(low < high for low, high in ends) and all(a[1] <= b[0] for a, b in itertools.pairwise(ends))


def test_which_chips_stand_in_which_shards() -> None:
    execution, memory = ({slot.chip for slot in kind.slots} for kind in (EXECUTION, MEMORY_SHARDS))
    assert execution | memory == set(NAMES)
    assert execution & memory == {"range"}
    assert memory == {memory_image.CHIP.name, program_image.CHIP.name, "range"}
    assert program.CHIP.name in {slot.chip for slot in EXECUTION.slots if slot.required}
    assert {chip.name for family, chip in FAMILY_CHIPS.items() if family is not Family.KECCAK_F} <= execution


def test_who_speaks_on_which_bus() -> None:
    """A bus has the senders that the specification lists, so no chip that nobody thinks of can supply what another proves."""
    steps = {chip.name for family, chip in FAMILY_CHIPS.items() if family <= Family.ECALL}
    speakers = {bus: {chip.name for chip in CHIPS for m in chip.messages if m.bus == bus} for bus in (STATE, PROGRAM, MEMORY, SYSCALL, TOKEN, KECCAK, SHA256, BYTE)}
    assert speakers[STATE] == steps
    assert speakers[PROGRAM] == steps | {"program"}
    assert speakers[MEMORY] == steps | CALLED | {"boundary"}
    assert speakers[SYSCALL] == CALLED | {"ecall"}
    assert speakers[TOKEN] == {"boundary", "memory_image", "program_image"}
    assert speakers[KECCAK] == {"keccak_memory", "keccak_f"}
    assert speakers[SHA256] == {"sha256_memory", "sha256_rounds"}
    assert speakers[BYTE] == {"bitwise", "multiply", "divide", "byte", *WIDE}
    receivers = {chip.name for chip in CHIPS for m in chip.messages if m.bus == RANGE and m.sign < 0}
    assert receivers == {"range"}


WIDE = ("arith256", "arith256_mod", "secp256k1_add", "secp256k1_double")
CALLED = {"keccak_memory", "sha256_memory", *WIDE}


# The manifest.


def load_tests(name: str) -> ModuleType:
    """A test module of the chips, by file name, under a name of its own."""
    path = HERE / "chips" / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"manifest_{name}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


STORED = ("add", "add_word", "bitwise", "shift", "less_than", "branch", "jump", "multiply", "divide")
STORED_MEMORY = ("load_double", "store_double", "load_narrow", "store_narrow", "memory_crossing", "ecall")

BY_MODULE: dict[str, str] = {
    "boundary": "test_image_chips", "memory_image": "test_image_chips", "program_image": "test_image_chips", "program": "test_image_chips",
    "range": "test_image_chips", "byte": "test_image_chips", "keccak_f": "test_keccak_chip", "keccak_memory": "test_keccak_chip",
    "sha256_rounds": "test_sha256_chip", "sha256_memory": "test_sha256_chip",
}  # fmt: skip
"""Chips whose module holds the list of items itself, and compares it with the chip in a test of that module."""


def test_every_chip_is_in_the_manifest() -> None:
    lists = (STORED, STORED_MEMORY, WIDE, tuple(BY_MODULE))
    assert sorted(name for names in lists for name in names) == sorted(NAMES)


def stored_items(chip: Chip) -> tuple[set[str], set[str]]:
    """(items with a stored forgery, items with a written proof)."""
    known = set(json.loads((HERE / "chips" / "forgeries" / f"{chip.name}.json").read_text()))
    register = exemptions.EXEMPT if chip.name in STORED else memory_exemptions.EXEMPT
    return known, set(register.get(chip.name, {}))


def items_of(chip: Chip, token_buses: tuple = (STATE, MEMORY, SYSCALL)) -> set[str]:
    """Constraints, and messages that do not move a token."""
    return {c.name for c in chip.constraints} | {m.label for m in chip.messages if m.bus not in token_buses}


@pytest.mark.parametrize("name", (*STORED, *STORED_MEMORY))
def test_every_constraint_and_look_up_has_a_forgery_or_a_proof(name: str) -> None:
    chip = CHIPS[NAMES.index(name)]
    known, exempt = stored_items(chip)
    assert items_of(chip) == known | exempt and not known & exempt


@pytest.mark.parametrize("name", sorted(BY_MODULE))
def test_every_family_of_the_other_chips_has_a_forgery_or_a_proof(name: str) -> None:
    module = load_tests(BY_MODULE[name])
    checks = [t for t in vars(module) if re.fullmatch(r"test_(nothing|no_family)\w*_is_without_a_forgery\w*", t)]
    assert checks
    for check in checks:
        getattr(module, check)()


@pytest.mark.parametrize("name", WIDE)
def test_the_wide_chips_make_their_forgeries_from_the_chip_s_own_items(name: str) -> None:
    """Their module derives what it forges from the chip, and lists what it has no forgery for, with reasons; here: that the derivation is complete."""
    module = load_tests("test_wide_chips")
    chip = CHIPS[NAMES.index(name)]
    assert set(module.items_of(name)) == items_of(chip, (MEMORY, SYSCALL))
    assert name in module.NAMES and all(proof.strip() for proof in module.REDUNDANT[name].values())


def test_every_column_is_mutated() -> None:
    """Each chip's module calls the mutation of every cell: a column cannot be added without it being changed there."""
    for chip in CHIPS:
        files = {
            **dict.fromkeys(STORED, "test_instruction_chips"), **dict.fromkeys(STORED_MEMORY, "test_memory_chips"), **dict.fromkeys(WIDE, "test_wide_chips"),
            **BY_MODULE, "ecall": "test_ecall_chip",
        }  # fmt: skip
        file = files[chip.name]
        text = (HERE / "chips" / f"{file}.py").read_text()
        assert "assert_every_cell_matters(" in text or "unnoticed_mutations(" in text, chip.name


def test_token_messages_come_in_pairs() -> None:
    """Of the chips with stored forgeries: what moves a token is an "in" and an "out", removed together by a test of theirs."""
    for name in (*STORED, *STORED_MEMORY):
        labels = [m.label for m in CHIPS[NAMES.index(name)].messages if m.bus in (STATE, MEMORY)]
        assert {label.removesuffix("in").removesuffix("out") for label in labels if label.endswith(" in")} == {
            label.removesuffix("out") for label in labels if label.endswith("out")
        }
        assert all(label.endswith((" in", " out")) for label in labels)


def test_fixed_columns_are_those_of_the_tables() -> None:
    assert {chip.name for chip in CHIPS if chip.widths[Phase.FIXED]} == {"program", "program_image", "range", "byte"}
    assert np.array_equal(table_records(range_chip.CHIP), range_chip.fixed_fill())
