"""
Running a program: from an ELF and a private input to a public output, with counts.

`Emulator` drives the compiled interpreter and does what an ecall asks of the host; `run` is one whole run of it.
Splitting a run into shards is zkvm.machine.shards.
"""

import contextlib
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from zkvm.isa.instructions import FAMILY_COUNT, REGISTER_COUNT, Family
from zkvm.machine import fast, memory_map
from zkvm.machine.elf import Program
from zkvm.machine.errors import (
    InputTooLong,
    InvalidOperand,
    MachineError,
    MemoryFault,
    MemoryLimitReached,
    MisalignedJump,
    MisalignedPointer,
    OutputTooLong,
    OverlappingOperands,
    StepLimitReached,
    Trap,
    UnknownSyscall,
    UnsupportedInstruction,
)
from zkvm.machine.events import STEP_TICKS
from zkvm.machine.fast_precompiles import IO_WORDS
from zkvm.machine.profile import (
    FunctionCount,
    RegionCount,
    RegionTally,
    family_counts,
    function_counts,
    instruction_counts,
)
from zkvm.machine.syscalls import PRECOMPILE_FAMILY, Syscall

REGION_NAME_LIMIT: Final = 64

_DOUBLEWORD_COUNT = 1 << (memory_map.ADDRESS_BITS - 3)
_PAGE_COUNT = (1 << memory_map.ADDRESS_BITS) // memory_map.PAGE_BYTES
_FOREVER = 1 << 62
# Linux: pages are not promised by the system before they are touched. Python names the flag from 3.13 on.
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


@dataclass(frozen=True)
class Limits:
    """
    What a run may use; reaching one raises a LimitError.

    steps:        instructions executed. memory_bytes: pages of 4 KiB touched, in bytes. input_bytes: private input.
    debug_bytes:  of debug output that are kept; what follows is dropped, with a notice, and the run goes on.
    """

    steps: int = 1 << 34
    memory_bytes: int = 2 << 30
    input_bytes: int = memory_map.INPUT_LENGTH_LIMIT
    debug_bytes: int = 1 << 20


@dataclass(frozen=True, eq=False)
class RunResult:
    """
    A run that halted. What is counted per instruction is added up when it is first asked for.

    program:       what ran.
    output:        the public output, at most 256 bytes; empty where exit_code is not 0.
    exit_code:     a0 at exit, 0..2^64-1. Only 0 has a proof.
    steps:         instructions executed, ecalls included.
    families:      rows per family; precompile families count calls.
    syscalls:      ecalls by name.
    misaligned:    loads and stores whose address is not a multiple of their size.
    regions:       see zkvm.machine.profile.
    touched_bytes: memory the program touched, in whole pages of 4 KiB.
    debug:         what it wrote to the debug channel, at most Limits.debug_bytes and a notice.
    flow:          (n + 1,) uint64, what `executions` is the running sum of; see zkvm.machine.fast.execute.
    registers:     x0..x31 and the sink, at the end.
    pc:            where it halted.
    """

    program: Program
    output: bytes
    exit_code: int
    steps: int
    families: dict[Family, int]
    syscalls: dict[Syscall, int]
    misaligned: int
    regions: tuple[RegionCount, ...]
    touched_bytes: int
    debug: bytes
    flow: NDArray[np.uint64]
    registers: tuple[int, ...]
    pc: int

    @cached_property
    def executions(self) -> NDArray[np.uint64]:
        """(n,) uint64, steps per instruction of the program."""
        return np.cumsum(self.flow[:-1], dtype=np.uint64)

    @cached_property
    def instructions(self) -> dict[str, int]:
        """Steps per mnemonic, most first."""
        return instruction_counts(self.program, self.executions)

    @cached_property
    def functions(self) -> tuple[FunctionCount, ...]:
        """Steps per function, most first; see zkvm.machine.profile."""
        return function_counts(self.program, self.executions)


def sparse_array(length: int, dtype: DTypeLike, is_dense: bool = False) -> NDArray[Any]:
    """
    A zeroed array whose pages take memory only once touched. Freed with the last reference to it.

    is_dense: most of it will be touched; where the system has large pages, it may use them.
    """
    byte_count = max(1, length * np.dtype(dtype).itemsize)
    mapping = mmap.mmap(-1, byte_count, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    if is_dense and hasattr(mmap, "MADV_HUGEPAGE"):
        # Refused by a kernel without large pages, which is as well.
        with contextlib.suppress(OSError):
            mapping.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(mapping, dtype=dtype, count=length)


class Emulator:
    """
    One run in progress. `advance` executes until the program halts or the kernel's budget is spent.

    Attributes are the kernel's arrays (zkvm.machine.fast); shards adjust `left` and `cells`.
    """

    def __init__(
        self,
        program: Program,
        private_input: bytes,
        limits: Limits,
        on_debug: Callable[[bytes], None] | None = None,
        touch_limit: int | None = None,
    ) -> None:
        input_limit = min(limits.input_bytes, memory_map.INPUT_LENGTH_LIMIT)
        if len(private_input) > input_limit:
            raise InputTooLong(len(private_input), input_limit)
        self.program = program
        self.limits = limits
        self.memory = sparse_array(_DOUBLEWORD_COUNT, np.uint64)
        self.memory[program.data_start : program.data_start + len(program.data)] = program.data
        words = memory_map.input_words(private_input)
        first = memory_map.INPUT_START // 8
        self.memory[first : first + len(words)] = words

        self.cells = np.zeros(fast.CELL_COUNT, dtype=np.uint64)
        self.registers = self.cells[:REGISTER_COUNT]
        self.cells[fast.PC] = program.entry
        self.cells[fast.SHARD] = 1
        # Touching is noted page by page unless shards ask for doublewords.
        self.cells[fast.GRAIN] = fast.PAGE_GRAIN if touch_limit is None else 0
        touch_limit = _PAGE_COUNT + fast.PRECOMPILE_TOUCH_LIMIT if touch_limit is None else touch_limit
        self.cells[fast.TOUCHED_LIMIT] = touch_limit
        self.cells[fast.PAGE_LIMIT] = limits.memory_bytes // memory_map.PAGE_BYTES
        self.left = self.cells[fast.LEFT : fast.LEFT + FAMILY_COUNT].view(np.int64)
        self.left[:] = _FOREVER
        self.budget = self.left.copy()
        """What `left` was at the start of the shard."""
        self.clk_limit = _FOREVER
        """No step of this shard begins at or after this time."""
        self.flow = np.zeros(len(program.words) + 1, dtype=np.uint64)
        self.last_shard = sparse_array(_DOUBLEWORD_COUNT, np.uint16)
        self.page_is_touched = np.zeros(_PAGE_COUNT, dtype=np.uint8)
        self.first_touch = sparse_array(2 * touch_limit, np.uint64)

        self.rows_before = np.zeros(FAMILY_COUNT, dtype=np.int64)
        """Rows per family of the shards that are finished."""
        self.flow_before: NDArray[np.uint64] | None = None
        """The sum of `flow` over the shards that are finished."""
        self.regions = RegionTally()
        self.host_calls: dict[Syscall, int] = {}
        self.debug = bytearray()
        self._debug_is_full = False
        self._on_debug = on_debug
        self._io = np.zeros(IO_WORDS, dtype=np.uint64)
        self._unused = (np.zeros(1, np.uint32), np.zeros(1, np.uint64), np.zeros(1, np.uint64))

    @property
    def pc(self) -> int:
        """The address of the next instruction; at the end, of the exit."""
        return int(self.cells[fast.PC])

    def rows(self) -> NDArray[np.int64]:
        """(FAMILY_COUNT,) rows per family in the whole run so far."""
        return self.rows_before + (self.budget - self.left)

    def steps(self) -> int:
        """Instructions executed in the whole run so far."""
        return int(self.rows()[: Family.ECALL + 1].sum())

    def advance(self) -> bool:
        """
        Executes until the program halts (True) or this shard's budget is spent (False).

        Raises Trap or LimitError.
        """
        while True:
            remaining = self.limits.steps - self.steps()
            if remaining <= 0:
                raise StepLimitReached(self.limits.steps, self.pc)
            # An ecall takes two steps' time, so a round may end with steps remaining; then there is another.
            time = int(self.cells[fast.CLK])
            round_limit = min(self.clk_limit, time + STEP_TICKS * remaining)
            self.cells[fast.CLK_LIMIT] = round_limit
            # Without numba the kernel is plain Python on NumPy words, whose wrapping is intended.
            with np.errstate(over="ignore"):
                reason = fast.execute(
                    self.program.packed, np.uint64(self.program.text_start), self.cells, self.memory, self._io,
                    self.flow, self.last_shard, self.page_is_touched, self.first_touch, *self._unused,
                )  # fmt: skip
            if reason == fast.HALTED:
                self._count_call(Syscall.EXIT)
                return True
            if reason == fast.HOST_CALL:
                self._host_call()
            elif reason != fast.BUDGET_SPENT:
                raise self._stop(reason)
            elif int(self.cells[fast.CLK]) < round_limit or round_limit == self.clk_limit:
                return False

    def result(self) -> RunResult:
        """The result of a run that has halted. Raises OutputTooLong."""
        exit_code = int(self.registers[10])
        output = b""
        if exit_code == 0:
            first = memory_map.OUTPUT_START // 8
            length = int(self.memory[first])
            if length > memory_map.OUTPUT_LENGTH_LIMIT:
                raise OutputTooLong(self.pc, length)
            output = self._bytes(memory_map.OUTPUT_START + 8, length)
        rows = self.rows()
        families = family_counts(rows)
        calls = {call: families[family] for call, family in PRECOMPILE_FAMILY.items() if families[family]}
        return RunResult(
            program=self.program,
            output=output,
            exit_code=exit_code,
            steps=self.steps(),
            families=families,
            syscalls=dict(sorted({**self.host_calls, **calls}.items())),
            misaligned=int(self.cells[fast.MISALIGNED]),
            regions=self.regions.counts(rows),
            touched_bytes=self.touched_bytes(),
            debug=bytes(self.debug),
            flow=self.flow if self.flow_before is None else self.flow_before + self.flow,
            registers=tuple(int(value) for value in self.registers),
            pc=self.pc,
        )

    def touched_bytes(self) -> int:
        """Memory touched so far, in whole pages."""
        return int(self.cells[fast.PAGES]) * memory_map.PAGE_BYTES

    @contextlib.contextmanager
    def debug_on_error(self) -> Iterator[None]:
        """Puts the debug output so far on a MachineError that leaves the block."""
        try:
            yield
        except MachineError as error:
            error.debug = bytes(self.debug)
            raise

    def _bytes(self, address: int, length: int) -> bytes:
        return self.memory.view(np.uint8)[address : address + length].tobytes()

    def _count_call(self, call: Syscall) -> None:
        self.host_calls[call] = self.host_calls.get(call, 0) + 1

    def _host_call(self) -> None:
        call = Syscall(int(self.registers[17]))
        a0, a1, a2 = (int(self.registers[index]) for index in (10, 11, 12))
        self._count_call(call)
        if call == Syscall.DEBUG_WRITE:
            self._debug_write(a0, a1, a2)
            return
        # A mark that cannot be read is no mark.
        if not (1 <= a1 <= REGION_NAME_LIMIT and memory_map.is_readable(a0, a1)):
            return
        try:
            name = self._bytes(a0, a1).decode("utf-8")
        except UnicodeDecodeError:
            return
        if call == Syscall.REGION_BEGIN:
            self.regions.begin(name, self.rows())
        else:
            self.regions.end(name, self.rows())

    def _debug_write(self, channel: int, address: int, length: int) -> None:
        if self._debug_is_full or length == 0:
            return
        room = self.limits.debug_bytes - len(self.debug)
        if channel not in (1, 2):
            text = b"[debug_write to unknown channel %d]\n" % channel
        elif not memory_map.is_readable(address, length):
            text = b"[debug_write of unreadable range 0x%x, %d bytes]\n" % (address, length)
        else:
            text = self._bytes(address, min(length, room + 1))
        if len(text) > room:
            text = text[:room] + b"\n[debug channel full]\n"
            self._debug_is_full = True
        self.debug += text
        if self._on_debug is not None:
            self._on_debug(text)

    def _stop(self, reason: int) -> Exception:
        pc, detail = self.pc, int(self.cells[fast.DETAIL])
        if reason == fast.MEMORY_LIMIT:
            return MemoryLimitReached(self.limits.memory_bytes, pc)
        traps: dict[int, type[Trap]] = {
            fast.UNSUPPORTED_INSTRUCTION: UnsupportedInstruction,
            fast.MISALIGNED_JUMP: MisalignedJump,
            fast.MEMORY_FAULT: MemoryFault,
            fast.UNKNOWN_SYSCALL: UnknownSyscall,
            fast.MISALIGNED_POINTER: MisalignedPointer,
            fast.OVERLAPPING_OPERANDS: OverlappingOperands,
            fast.INVALID_OPERAND: InvalidOperand,
        }
        return traps[reason](pc, detail)


def make_ready(program: Program) -> None:
    """Decodes a program and loads, or compiles, the interpreter, so that a run's time is its own: executes one step of it."""
    with contextlib.suppress(MachineError):
        run(program, b"", Limits(steps=1))


def run(
    program: Program,
    private_input: bytes = b"",
    limits: Limits | None = None,
    on_debug: Callable[[bytes], None] | None = None,
) -> RunResult:
    """
    Runs a program until it exits.

    on_debug: called with each piece of debug output as it is written. Raises Trap where the program cannot go on, and
    LimitError where a limit is reached; both carry the text written to the debug channel so far as `debug`.
    """
    emulator = Emulator(program, private_input, limits or Limits(), on_debug)
    with emulator.debug_on_error():
        emulator.advance()
        return emulator.result()
