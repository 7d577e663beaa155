"""
The machine: load a program, run it, split the run into shards, and fill the events that the chips prove.

docs/specs/machine.md is the contract; `reference` its plain meaning; `fast` the same, compiled.
"""

from zkvm.machine.elf import Program, Symbol, load_elf
from zkvm.machine.emulator import Limits, RunResult, make_ready, run
from zkvm.machine.profile import FunctionCount, RegionCount
from zkvm.machine.shards import (
    Shard,
    ShardLimits,
    ShardPlan,
    ShardTrace,
    Snapshot,
    Survey,
    Tracer,
    plan_shards,
    survey,
    trace_shard,
)
from zkvm.machine.syscalls import Syscall

__all__ = [
    "FunctionCount",
    "Limits",
    "Program",
    "RegionCount",
    "RunResult",
    "Shard",
    "ShardLimits",
    "ShardPlan",
    "ShardTrace",
    "Snapshot",
    "Survey",
    "Symbol",
    "Syscall",
    "Tracer",
    "load_elf",
    "make_ready",
    "plan_shards",
    "run",
    "survey",
    "trace_shard",
]
