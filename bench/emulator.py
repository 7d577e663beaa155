"""
How fast the emulator is: millions of steps per second, running, planning shards and tracing them.

    python bench/emulator.py [ELF [INPUT_FILE]]

Without arguments it measures built-in programs. Times are processor seconds of this process, which uses one thread,
the best of seven, since other work on the machine only ever slows; kernels are compiled before they are measured. `run` gives output and counts by family and region,
`plan` also writes snapshots and the memory image to a temporary folder, `trace` emulates every shard again, loading its
snapshot and logging every step: its instruction, the values it read and wrote, and the times of the accesses before;
`events` also sorts the log into each family's events, as the chips read them. `start` is what a run costs before its
first step.
"""

import argparse
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "zkvm" / "machine"))

import numpy as np
from make_elf import make_elf
from numpy.typing import NDArray
from random_programs import random_instruction

from zkvm.isa.assembler import assemble, load_constant
from zkvm.isa.instructions import Family
from zkvm.machine import Limits, Program, ShardLimits, Tracer, load_elf, plan_shards, run
from zkvm.machine.emulator import Emulator
from zkvm.machine.memory_map import DATA_START

EXIT = "li a0, 0\nli a7, 93\necall"

LOOP = """
    li s0, 4000000
    li a0, 1
    li sp, 0x30000000
loop:
    slli t0, a0, 13
    xor a0, a0, t0
    srli t0, a0, 7
    xor a0, a0, t0
    slli t0, a0, 17
    xor a0, a0, t0
    sd a0, -8(sp)
    ld t1, -8(sp)
    addi s0, s0, -1
    bne s0, x0, loop
"""

COPY = """
    li s0, 40
    li s1, 0x40000000
outer:
    li t0, 0x30000000
    li t1, 100000
copy:
    ld t2, 0(t0)
    ld t3, 8(t0)
    add t2, t2, t1
    mul t3, t3, t2
    sd t2, 16(t0)
    sb t3, 24(t0)
    addi t0, t0, 32
    addi t1, t1, -1
    bne t1, x0, copy
    addi s0, s0, -1
    bne s0, x0, outer
"""


def random_body(instruction_count: int, rounds: int) -> bytes:
    """A loop over random instructions: no branch predictor or cache knows what comes next. x31 counts, x30 is base."""
    source = random.Random(1)
    body: list[int] = []
    while len(body) < instruction_count:
        words = random_instruction(source, 30)
        if all((word >> 7 & 31) != 31 or word & 0x7F in (0x23, 0x63) for word in words):
            body += words
    start = load_constant(31, rounds) + load_constant(30, DATA_START)
    # The loop is too long for a branch back.
    back = f"addi x31, x31, -1\nbeq x31, x0, 12\nlui x29, 0x200\njalr x0, {4 * len(start)}(x29)\n"
    words = start + body + assemble(back + EXIT)
    return make_elf(words, bytes(1024))


def measure(name: str, program: Program, private_input: bytes) -> None:
    limits = Limits(steps=1 << 40)
    result, run_seconds = best_of_seven(lambda: run(program, private_input, limits))
    _, start_seconds = best_of_seven(lambda: Emulator(program, private_input, limits))
    with tempfile.TemporaryDirectory() as folder:
        shape = ShardLimits(clk=1 << 23)
        plan, plan_seconds = best_of_seven(lambda: plan_shards(program, private_input, shape, Path(folder), limits))
        tracer = Tracer(program)

        def trace_all(take: Callable[[Family, NDArray[np.void]], None] | None = None) -> None:
            for shard in plan.shards:
                tracer.replay(plan.snapshot(shard.index), take)

        _, trace_seconds = best_of_seven(trace_all)
        _, event_seconds = best_of_seven(lambda: trace_all(lambda family, events: None))
    millions = result.steps / 1e6
    print(
        f"{name:24s} {millions:9.2f} M steps  run {millions / run_seconds:6.1f}  plan {millions / plan_seconds:6.1f}  "
        f"trace {millions / trace_seconds:6.1f}  events {millions / event_seconds:6.1f} MIPS  {len(plan.shards):4d} shards  "
        f"{result.touched_bytes / 2**20:8.2f} MiB touched  start {1e3 * start_seconds:.2f} ms"
    )


def best_of_seven(work: Callable[[], Any]) -> tuple[Any, float]:
    """The last result and the fewest processor seconds."""
    seconds = []
    for _ in range(7):
        begin = time.process_time()
        result = work()
        seconds.append(time.process_time() - begin)
    return result, min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("elf", nargs="?", type=Path)
    parser.add_argument("input", nargs="?", type=Path)
    arguments = parser.parse_args()

    begin = time.process_time()
    warm = load_elf(make_elf(assemble(EXIT)))
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_shards(warm, b"", ShardLimits(), Path(folder))
        Tracer(warm).trace(plan.snapshot(1))
    print(f"compiling or loading kernels: {time.process_time() - begin:.2f} s")
    if arguments.elf:
        private_input = arguments.input.read_bytes() if arguments.input else b""
        measure(arguments.elf.name, load_elf(arguments.elf.read_bytes()), private_input)
    else:
        measure("xorshift, stack", load_elf(make_elf(assemble(LOOP + EXIT))), b"")
        measure("copy, multiply, 3 MiB", load_elf(make_elf(assemble(COPY + EXIT))), b"")
        measure("random 250 instructions", load_elf(random_body(250, 100_000)), b"")
        measure("random 2,500", load_elf(random_body(2_500, 10_000)), b"")
        measure("random 25,000", load_elf(random_body(25_000, 1_000)), b"")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()
