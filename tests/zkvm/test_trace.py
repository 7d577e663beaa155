"""Real runs cut into shards: every constraint holds on every row, every bus balances with the verifier's own messages."""

import random
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from run_kit import editable, judged, load, program_fixed, trace_of

from zkvm.chips import boundary, program_image
from zkvm.isa.instructions import Family
from zkvm.machine.elf import load_elf
from zkvm.machine.memory_map import DATA_START, INPUT_START, OUTPUT_START, RAM_START
from zkvm.machine.shards import ShardLimits
from zkvm.machine_air import CHIPS, FAMILY_CHIPS
from zkvm.trace import NotProvableError, ProgramTables, RunTrace

ELFS = Path(__file__).parents[2] / "blockproof" / "elfs"

EXIT = "li a7, 93\nli a0, 0\necall"


def mixed_source(seed: int, length: int) -> str:
    """A program over every chip: random register instructions, loads and stores of all widths and offsets, calls of both hash precompiles."""
    rng = random.Random(seed)
    lines = [f"li x{r}, {rng.getrandbits(63) - rng.getrandbits(63)}" for r in range(6, 31)]
    lines += [f"li s0, {DATA_START + 64}", f"li s1, {RAM_START + 0x100000}", f"li gp, {INPUT_START}"]
    plain = (
        "add", "sub", "xor", "or", "and", "sll", "srl", "sra", "sllw", "srlw", "sraw", "slt", "sltu", "addw",
        "subw", "mul", "mulh", "mulhsu", "mulhu", "mulw", "div", "divu", "rem", "remu", "divw", "divuw",
        "remw", "remuw",
    )  # fmt: skip
    loads, stores = ("lb", "lh", "lw", "ld", "lbu", "lhu", "lwu"), ("sb", "sh", "sw", "sd")
    free = [r for r in range(5, 32) if r not in (8, 9)]
    for i in range(length):
        rd, rs1, rs2 = (rng.choice([0, *free]) for _ in range(3))
        base = rng.choice(("s0", "s1"))
        kind = rng.randrange(10)
        if kind < 3:
            lines.append(f"{rng.choice(plain)} x{rd}, x{rs1}, x{rs2}")
        elif kind < 4:
            lines.append(f"{rng.choice(('addi', 'xori', 'slti', 'sltiu', 'addiw', 'andi'))} x{rd}, x{rs1}, {rng.randrange(-2048, 2048)}")
        elif kind < 6:
            lines.append(f"{rng.choice(loads)} x{rd}, {rng.randrange(-64, 512)}({base})")
        elif kind < 8:
            lines.append(f"{rng.choice(stores)} x{rs2}, {rng.randrange(-64, 512)}({base})")
        elif kind < 9:
            lines += [f"{rng.choice(('beq', 'bne', 'blt', 'bge', 'bltu', 'bgeu'))} x{rs1}, x{rs2}, s{i}", f"jal x{rd}, s{i}", "addi x5, x5, 1", f"s{i}:"]
        else:
            lines.append(f"lwu x{rd}, {8 * rng.randrange(4)}(gp)")
    for base in ("s0", "s1"):
        lines += ["li a7, 0x2001", f"mv a0, {base}", "ecall", "li a7, 0x2002", f"addi a1, {base}, 256", "ecall"]
    # Numbers below 2^256 for the arithmetic calls, not 0 where that is asked for; points need not lie on the curve.
    lines += ["sd s0, 96(s1)", "mv a0, s1", "addi a1, s1, 40", "li a7, 0x2005", "ecall", "addi a1, s1, 320", "li a7, 0x2006", "ecall"]
    lines += [f"li a0, {RAM_START + 0x200000}", "addi a1, a0, 64"]
    lines += [line for at, x in ((0, 1), (32, 2), (64, 3), (96, 4)) for line in (f"li t0, {x}", f"sd t0, {at}(a0)")]
    lines += ["li a7, 0x2003", "ecall", "li a7, 0x2004", "ecall"]
    lines += ["auipc t0, 0", "jalr ra, 12(t0)", "nop", "li a0, 1", f"li a1, {RAM_START}", "li a2, 0", "li a7, 64", "ecall"]
    lines += [f"li t0, {OUTPUT_START}", "li t1, 16", "sd t1, 0(t0)", "ld t2, 0(s0)", "sd t2, 8(t0)", "sd x7, 16(t0)", EXIT]
    return "\n".join(lines)


LOOP = f"""
    li s0, {RAM_START}
    li s1, 200
again:
    ld t0, 0(s0)
    add t0, t0, s1
    sd t0, 0(s0)
    sb s1, 11(s0)
    lhu t1, 7(s0)
    addi s1, s1, -1
    bne s1, x0, again
    li t2, {OUTPUT_START}
    li t3, 8
    sd t3, 0(t2)
    sd t0, 8(t2)
    {EXIT}
"""

PROGRAMS = {
    "nothing": (EXIT, b"", ShardLimits()),
    "loop": (LOOP, b"", ShardLimits(clk=640)),
    "mixed": (mixed_source(1, 500), bytes(range(100)), ShardLimits(rows={Family.ADD: 90, Family.STORE_NARROW: 20}, boundary_rows=300)),
    "mixed, other cuts": (mixed_source(2, 260), b"", ShardLimits(rows={Family.ECALL: 2}, clk=1000)),
}


def check(run: RunTrace) -> None:
    fixed = program_fixed(run.tables)
    judgement = judged(editable(run), fixed)
    assert judgement.accepted, str(judgement)


@pytest.mark.parametrize("name", PROGRAMS)
def test_assembled_programs(name: str) -> None:
    source, private_input, limits = PROGRAMS[name]
    data = random.Random(3).randbytes(1024) if "mixed" in name else b""
    run = trace_of(load(source, data), private_input, limits)
    if name != "nothing":
        assert run.shard_counts[0] > 2
    check(run)


def test_a_mixed_program_has_rows_of_every_chip() -> None:
    source, private_input, limits = PROGRAMS["mixed"]
    run = trace_of(load(source, random.Random(3).randbytes(1024)), private_input, limits)
    seen = {chip for outline in run.outlines for chip in outline.log_heights}
    assert seen == {chip.name for chip in CHIPS}
    executed = {family for shard in run.plan.shards for family, rows in shard.families.items() if rows}
    assert executed == set(FAMILY_CHIPS)


def pack(*words: int) -> bytes:
    return b"".join(word.to_bytes(8, "little") for word in words)


SHIPPED = {
    "fibonacci": pack(60),
    "assembly": pack(3, 4),
    "keccak-chain": (4).to_bytes(4, "little") + bytes(200),
    "sha256-chain": (4).to_bytes(4, "little") + bytes(100),
    "key-ownership": bytes(32),
}
"""Program and input."""


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_programs(name: str) -> None:
    loaded = load_elf((ELFS / f"{name}.elf").read_bytes())
    run = trace_of(loaded, SHIPPED[name], ShardLimits(clk=1 << 10))
    assert run.plan.result.exit_code == 0 and run.shard_counts[0] > 1
    check(run)


def test_boundaries_are_the_same_in_both_passes() -> None:
    """The boundary columns that the global challenge waits for are those of the full matrices."""
    run = trace_of(load(LOOP), b"", ShardLimits(clk=640))
    for header in run.headers:
        full = run.matrices(header.index)
        for chip, rows in run.boundary_matrices(header.index).items():
            np.testing.assert_array_equal(rows, full[chip]["boundary"])


def test_headers_follow_from_the_plan() -> None:
    """Heights, publics and kinds, without any matrix."""
    run = trace_of(load(LOOP), b"", ShardLimits(clk=640))
    for header in run.headers:
        matrices = run.matrices(header.index)
        for chip, height in zip(CHIPS, header.log_heights, strict=True):
            assert (chip.name in matrices) == bool(height)
            if height:
                assert all(len(rows) == 1 << height for rows in matrices[chip.name].values())


def test_a_run_that_touches_no_memory_has_one_memory_row() -> None:
    """Its address is one that nobody touched: both tokens are alike."""
    run = trace_of(load(EXIT), b"", ShardLimits())
    [memory] = [o for o in run.outlines if o.kind == 1]
    assert memory.publics == (RAM_START // 8, RAM_START // 8)


def test_what_has_no_chip_is_not_provable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FAMILY_CHIPS, Family.SECP256K1_DOUBLE)
    source = f"li a0, {RAM_START}\nli t0, 1\nsd t0, 0(a0)\nsd t0, 32(a0)\nli a7, 0x2004\necall\n{EXIT}"
    with pytest.raises(NotProvableError, match="no chip yet"):
        trace_of(load(source), b"", ShardLimits())


def test_output_past_its_length_is_not_provable() -> None:
    source = f"li t0, {OUTPUT_START}\nli t1, 1\nsd t1, 8(t0)\n{EXIT}"
    with pytest.raises(NotProvableError, match="past the length"):
        trace_of(load(source), b"", ShardLimits())


def test_data_past_the_program_s_own_is_not_provable() -> None:
    source = f"li t0, {DATA_START}\nsd x0, 4096(t0)\n{EXIT}".replace("4096(t0)", "2040(t0)")
    with pytest.raises(NotProvableError, match="touches DATA"):
        trace_of(load(source, bytes(64)), b"", ShardLimits())


def test_program_tables_pad_with_nothing() -> None:
    tables = ProgramTables(load(LOOP, bytes(24)))
    rows = tables.instructions()
    assert not any(rows[len(tables.program.words) :]["operation"])
    image = tables.image()
    assert int(image["is_real"].sum()) == 33 + 3
    assert program_image.CHIP.name in {c.name for c in CHIPS} and boundary.CHIP.name in {c.name for c in CHIPS}
