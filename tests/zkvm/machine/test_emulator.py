"""Whole runs: output, exit codes, counts, regions, functions, debug channel and limits."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from make_elf import elf_of, make_elf

from zkvm.isa.assembler import assemble
from zkvm.isa.instructions import Family
from zkvm.machine import Limits, Syscall, load_elf, run
from zkvm.machine.errors import InputTooLong, MemoryLimitReached, OutputTooLong, StepLimitReached
from zkvm.machine.memory_map import DATA_START, INPUT_START, OUTPUT_START, PAGE_BYTES
from zkvm.machine.profile import NO_FUNCTION
from zkvm.machine.reference import ReferenceMachine

EXIT = "\nli a0, 0\nli a7, 93\necall"

# Copies the private input, up to 256 bytes, to the public output.
ECHO = (
    f"""
    li t0, {INPUT_START}
    li t1, {OUTPUT_START}
    ld t2, 0(t0)
    sd t2, 0(t1)
    li t3, 256
    bge t3, t2, copy
    mv t2, t3
copy:
    beq t2, x0, done
    lb t4, 8(t0)
    sb t4, 8(t1)
    addi t0, t0, 1
    addi t1, t1, 1
    addi t2, t2, -1
    j copy
done:
"""
    + EXIT
)


def mark(name: str, offset: int, number: int) -> str:
    return f"li a0, {DATA_START + offset}\nli a1, {len(name)}\nli a7, {number}\necall\n"


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 255, 256])
def test_input_reaches_output(length: int) -> None:
    program = load_elf(elf_of(ECHO))
    private = bytes(range(1, 1 + length)) if length < 255 else bytes(index % 251 for index in range(length))
    result = run(program, private)
    assert result.output == private and result.exit_code == 0
    machine = ReferenceMachine.start(program, private)
    assert machine.run(10_000) == result.steps
    assert machine.output() == result.output and tuple(machine.registers) == result.registers


def test_output_of_257_bytes_is_refused() -> None:
    with pytest.raises(OutputTooLong) as caught:
        run(load_elf(elf_of(ECHO)), bytes(257))
    assert caught.value.byte_count == 257


@pytest.mark.parametrize("code", [1, 42, -1])
def test_a_failed_run_has_its_code_and_no_output(code: int) -> None:
    source = f"li t1, {OUTPUT_START}\nli t2, 8\nsd t2, 0(t1)\nli a0, {code}\nli a7, 93\necall"
    result = run(load_elf(elf_of(source)))
    assert result.exit_code == code % 2**64 and result.output == b""


def test_counts() -> None:
    source = """
        li s0, 5
    loop:
        addi s0, s0, -1
        sd s0, -8(sp)
        ld t0, -8(sp)
        lw t1, -7(sp)
        lw t1, -3(sp)
        mul t2, s0, t0
        bne s0, x0, loop
        fence
        auipc t0, 0
    """
    result = run(load_elf(elf_of("li sp, 0x30000000" + source + EXIT)))
    assert result.instructions == {
        "addi": 8, "sd": 5, "ld": 5, "lw": 10, "mul": 5, "bne": 5, "lui": 1, "fence": 1, "auipc": 1, "ecall": 1,
    }  # fmt: skip
    assert result.steps == sum(result.instructions.values()) == 42
    expected = {
        Family.ADD: 11, Family.STORE_DOUBLE: 5, Family.LOAD_DOUBLE: 5, Family.LOAD_NARROW: 5,
        Family.MEMORY_CROSSING: 5, Family.MULTIPLY: 5, Family.BRANCH: 5, Family.ECALL: 1,
    }  # fmt: skip
    assert {family: count for family, count in result.families.items() if count} == expected
    # -7 is odd and within a doubleword; -3 crosses into the next.
    assert result.misaligned == 10
    assert result.syscalls == {Syscall.EXIT: 1}
    assert result.touched_bytes == 2 * PAGE_BYTES


def test_regions_nest_and_count_calls() -> None:
    source = "li s0, 3\n" + mark("outer", 0, 0x1001) + "loop:\n" + mark("inner", 8, 0x1001) + "nop\nnop\n"
    source += mark("inner", 8, 0x1002) + "addi s0, s0, -1\nbne s0, x0, loop\n" + mark("outer", 0, 0x1002) + EXIT
    data = b"outer\0\0\0inner\0\0\0"
    result = run(load_elf(elf_of(source, data)))
    counts = {region.path: (region.calls, region.steps) for region in result.regions}
    # An end mark takes 5 instructions (its address is loaded by two), as does a begin mark.
    mark_steps = len(assemble(mark("inner", 8, 0x1001)))
    inner = 3 * (2 + mark_steps)
    assert counts == {
        ("outer",): (1, inner + 3 * (mark_steps + 2) + len(assemble(mark("outer", 0, 0x1002)))),
        ("outer", "inner"): (3, inner),
    }
    assert result.syscalls == {Syscall.EXIT: 1, Syscall.REGION_BEGIN: 4, Syscall.REGION_END: 4}


def test_odd_region_marks_are_dropped() -> None:
    """Ends without begin, names that cannot be read, and an end of the outer region that closes the inner one."""
    data = b"outer\0\0\0inner\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff"
    source = mark("inner", 8, 0x1002) + mark("??", 16, 0x1001)
    source += "li a0, 0\nli a1, 5\nli a7, 0x1001\necall\n"
    source += f"li a0, {DATA_START}\nli a1, 65\necall\nli a1, 0\necall\n"
    source += mark("outer", 0, 0x1001) + mark("inner", 8, 0x1001) + mark("outer", 0, 0x1002) + mark("inner", 8, 0x1001)
    result = run(load_elf(elf_of(source + EXIT, data)))
    assert {region.path: region.calls for region in result.regions} == {
        ("outer",): 1, ("outer", "inner"): 1, ("inner",): 1,
    }  # fmt: skip


def test_functions() -> None:
    words = assemble("call f\ncall f" + EXIT + "\nf: nop\nnop\nret")
    address = 0x0020_0000 + 4 * (len(words) - 3)
    result = run(load_elf(make_elf(words, symbols={"f": address})))
    assert {function.name: function.steps for function in result.functions} == {"f": 6, NO_FUNCTION: 5}
    result = run(load_elf(make_elf(words, symbols={"_start": 0x0020_0000, "f": address})))
    assert {function.name: function.steps for function in result.functions} == {"f": 6, "_start": 5}


def debug_write(channel: int, address: int, length: int) -> str:
    return f"li a0, {channel}\nli a1, {address}\nli a2, {length}\nli a7, 64\necall\n"


def test_debug_channel() -> None:
    pieces: list[bytes] = []
    source = debug_write(1, DATA_START, 5) + debug_write(2, DATA_START + 5, 3) + debug_write(1, 0, 4)
    source += debug_write(7, DATA_START, 4) + debug_write(1, 0xEFFF_FFFF, 2) + debug_write(1, DATA_START, 0)
    result = run(load_elf(elf_of(source + EXIT, b"hello go")), on_debug=pieces.append)
    assert result.debug == b"".join(pieces)
    assert pieces[:2] == [b"hello", b" go"] and len(pieces) == 5
    assert all(b"debug_write" in piece for piece in pieces[2:])


def test_debug_channel_is_bounded() -> None:
    source = debug_write(1, 0x2800_0000, 0x4000_0000) + debug_write(1, DATA_START, 5)
    result = run(load_elf(elf_of(source + EXIT, b"hello")))
    assert result.debug[:Limits().debug_bytes] == bytes(Limits().debug_bytes)
    assert result.debug[Limits().debug_bytes:] == b"\n[debug channel full]\n"


@pytest.mark.parametrize("ecalls", [0, 1, 5])
def test_step_limit_is_exact(ecalls: int) -> None:
    """Also where ecalls, which take twice the time of a step, stand among the steps."""
    source = mark("a", 0, 0x1001) * ecalls + "nop\n" * 10 + EXIT
    program = load_elf(elf_of(source, b"a"))
    steps = run(program).steps
    assert run(program, limits=Limits(steps=steps)).steps == steps
    with pytest.raises(StepLimitReached) as caught:
        run(program, limits=Limits(steps=steps - 1))
    assert caught.value.limit == steps - 1


def test_endless_loop_ends_at_the_limit() -> None:
    with pytest.raises(StepLimitReached):
        run(load_elf(elf_of("l: j l")), limits=Limits(steps=1_000_000))


def test_memory_limit_counts_pages() -> None:
    source = (
        "li t0, 0x30000000\nli t1, 10\nli t2, 4096\nl: sb t1, 0(t0)\nadd t0, t0, t2\naddi t1, t1, -1\nbne t1, x0, l"
    )
    program = load_elf(elf_of(source + EXIT))
    assert run(program, limits=Limits(memory_bytes=10 * PAGE_BYTES)).touched_bytes == 10 * PAGE_BYTES
    with pytest.raises(MemoryLimitReached):
        run(program, limits=Limits(memory_bytes=10 * PAGE_BYTES - 1))


def test_memory_limit_holds_for_precompiles() -> None:
    source = f"li a0, {DATA_START + PAGE_BYTES - 8}\nli a7, 0x2001\necall"
    with pytest.raises(MemoryLimitReached):
        run(load_elf(elf_of(source + EXIT)), limits=Limits(memory_bytes=PAGE_BYTES))


def test_input_limit() -> None:
    program = load_elf(elf_of(EXIT))
    run(program, bytes(100), Limits(input_bytes=100))
    with pytest.raises(InputTooLong):
        run(program, bytes(101), Limits(input_bytes=100))
    with pytest.raises(InputTooLong):
        run(program, bytes((256 << 20) - 7))


def test_runs_are_independent() -> None:
    """Memory of one run is not seen by the next."""
    program = load_elf(elf_of("li t0, 0x30000000\nld a0, 0(t0)\nli t1, 7\nsd t1, 0(t0)\nli a7, 93\necall"))
    assert [run(program).exit_code for _ in range(2)] == [0, 0]


def test_bss_and_data_are_zero_filled() -> None:
    source = f"li t0, {DATA_START}\nld a0, 8(t0)\nli t0, 0x30000000\nld t1, 0(t0)\nadd a0, a0, t1\nli a7, 93\necall"
    assert run(load_elf(elf_of(source, b"\1", data_memory_bytes=64, bss_bytes=64))).exit_code == 0


WITHOUT_NUMBA = """
import sys, tempfile, warnings
from pathlib import Path
sys.modules["numba"] = None
warnings.simplefilter("error")
from random_programs import make_batch
from test_shard_traces import syscall_program
from zkvm.kernels.policy import HAVE_NUMBA
from zkvm.machine import ShardLimits, Tracer, load_elf, plan_shards
assert not HAVE_NUMBA
for program in load_elf(make_batch(seed=1, count=8).elf), syscall_program():
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_shards(program, b"private", ShardLimits(clk=2048), Path(folder))
        tracer = Tracer(program)
        for shard in plan.shards:
            trace = tracer.trace(plan.snapshot(shard.index))
    print(plan.result.steps, hash(plan.result.registers), trace.boundary.tobytes().hex())
"""


def test_the_same_without_numba(tmp_path: Path) -> None:
    """Kernels are plain functions then: slow, and without a single different bit."""
    root, here = Path(__file__).parents[3], Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(here)))}

    def lines(script: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", script], env=environment, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    with_numba = WITHOUT_NUMBA.replace('sys.modules["numba"] = None', "").replace("assert not HAVE", "assert HAVE")
    assert lines(WITHOUT_NUMBA) == lines(with_numba) != ""
