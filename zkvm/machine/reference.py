"""
The machine's plain meaning: one step at a time, in Python integers.

`ReferenceMachine.step` executes one instruction and returns its event as a plain tuple in the field order of
zkvm.machine.events. It is the twin of zkvm.machine.fast: slow, without shards, snapshots or host effects, and shares
with it only the instruction table, the memory map and the event layout.
"""

from dataclasses import dataclass, field
from typing import Any

from zkvm.isa.decoder import Decoded, decode
from zkvm.isa.instructions import (
    ACCESS_BYTES,
    FAMILY_OF_OPERATION,
    REGISTER_COUNT,
    Family,
    Operation,
    is_memory_operation,
    memory_family,
    touched_registers,
)
from zkvm.machine import memory_map, precompiles
from zkvm.machine.elf import Program
from zkvm.machine.errors import (
    InvalidOperand,
    MemoryFault,
    MisalignedJump,
    MisalignedPointer,
    OverlappingOperands,
    UnknownSyscall,
    UnsupportedInstruction,
)
from zkvm.machine.events import (
    BOUNDARY_TIME,
    ECALL_TICKS,
    HALT_PC,
    MEMORY_SPACE,
    PRECOMPILE_READS,
    PRECOMPILE_WRITES,
    REGISTER_SPACE,
    STEP_TICKS,
)
from zkvm.machine.syscalls import PRECOMPILE_FAMILY, Syscall

MASK64 = (1 << 64) - 1
MASK32 = (1 << 32) - 1

_PRECOMPILES = {
    Syscall.KECCAK_F: precompiles.keccak_f,
    Syscall.SHA256_COMPRESS: precompiles.sha256_compress,
    Syscall.SECP256K1_ADD: precompiles.secp256k1_add,
    Syscall.SECP256K1_DOUBLE: precompiles.secp256k1_double,
    Syscall.ARITH256: precompiles.arith256,
    Syscall.ARITH256_MOD: precompiles.arith256_mod,
}

_NO_HOST_EFFECT = {Syscall.DEBUG_WRITE, Syscall.REGION_BEGIN, Syscall.REGION_END}

Event = tuple[Any, ...]


def signed(value: int, bits: int = 64) -> int:
    """The two's complement number of the low `bits` bits."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def _divide(a: int, b: int) -> int:
    """Signed division: truncated; -1 for b = 0; the overflowing quotient wraps."""
    if b == 0:
        return -1
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _remainder(a: int, b: int) -> int:
    """Signed remainder, with the dividend's sign; the dividend for b = 0."""
    return a if b == 0 else a - b * _divide(a, b)


def compute(operation: Operation, a: int, b: int) -> int:
    """
    What an arithmetic operation writes to rd; a and b are 64-bit operands, the result too.

    Source: The RISC-V Instruction Set Manual, Volume I, chapters RV64I and M.
    """
    word_a, word_b = signed(a, 32), signed(b, 32)
    low_a, low_b = a & MASK32, b & MASK32
    match operation:
        case Operation.ADD:
            result = a + b
        case Operation.SUB:
            result = a - b
        case Operation.ADDW:
            result = signed(a + b, 32)
        case Operation.SUBW:
            result = signed(a - b, 32)
        case Operation.XOR:
            result = a ^ b
        case Operation.OR:
            result = a | b
        case Operation.AND:
            result = a & b
        case Operation.SLL:
            result = a << b % 64
        case Operation.SRL:
            result = a >> b % 64
        case Operation.SRA:
            result = signed(a) >> b % 64
        case Operation.SLLW:
            result = signed(a << b % 32, 32)
        case Operation.SRLW:
            result = signed(low_a >> b % 32, 32)
        case Operation.SRAW:
            result = word_a >> b % 32
        case Operation.SLT:
            result = int(signed(a) < signed(b))
        case Operation.SLTU:
            result = int(a < b)
        case Operation.MUL:
            result = a * b
        case Operation.MULH:
            result = signed(a) * signed(b) >> 64
        case Operation.MULHSU:
            result = signed(a) * b >> 64
        case Operation.MULHU:
            result = a * b >> 64
        case Operation.MULW:
            result = signed(a * b, 32)
        case Operation.DIV:
            result = _divide(signed(a), signed(b))
        case Operation.DIVU:
            result = a // b if b else MASK64
        case Operation.REM:
            result = _remainder(signed(a), signed(b))
        case Operation.REMU:
            result = a % b if b else a
        case Operation.DIVW:
            result = signed(_divide(word_a, word_b), 32)
        case Operation.DIVUW:
            result = signed(low_a // low_b, 32) if low_b else MASK64
        case Operation.REMW:
            result = signed(_remainder(word_a, word_b), 32)
        case Operation.REMUW:
            result = signed(low_a % low_b if low_b else low_a, 32)
        case _:
            raise ValueError(f"{operation.name} computes nothing")
    return result & MASK64


def is_taken(operation: Operation, a: int, b: int) -> bool:
    """Whether a branch on the 64-bit operands a and b is taken."""
    match operation:
        case Operation.BEQ:
            return a == b
        case Operation.BNE:
            return a != b
        case Operation.BLT:
            return signed(a) < signed(b)
        case Operation.BGE:
            return signed(a) >= signed(b)
        case Operation.BLTU:
            return a < b
        case Operation.BGEU:
            return a >= b
        case _:
            raise ValueError(f"{operation.name} is no branch")


@dataclass
class ReferenceMachine:
    """
    The machine between two steps.

    memory:      doublewords by address; absent means 0. registers: x0..x31 and the sink.
    last_access: the time of the last access to each (space, address) in this shard.
    exit_code:   None until the program halts.
    """

    program: Program
    memory: dict[int, int] = field(default_factory=dict)
    registers: list[int] = field(default_factory=lambda: [0] * REGISTER_COUNT)
    pc: int = 0
    clk: int = 0
    last_access: dict[tuple[int, int], int] = field(default_factory=dict)
    exit_code: int | None = None
    _decoded: dict[int, Decoded] = field(default_factory=dict, repr=False)

    @staticmethod
    def start(program: Program, private_input: bytes = b"") -> "ReferenceMachine":
        """The machine before its first step."""
        data = enumerate(program.data.tolist(), program.data_start)
        private = enumerate(memory_map.input_words(private_input).tolist(), memory_map.INPUT_START // 8)
        return ReferenceMachine(program, {**dict(data), **dict(private)}, pc=program.entry)

    def begin_shard(self) -> None:
        """Time starts again, and nothing has been accessed."""
        self.clk = 0
        self.last_access.clear()

    def run(self, step_limit: int) -> int:
        """Steps until the program halts or has made that many steps; returns how many it made. Raises Trap."""
        count = 0
        while count < step_limit and self.exit_code is None:
            self.step()
            count += 1
        return count

    def output(self) -> bytes:
        """The public output as it stands, at most 256 bytes."""
        first = memory_map.OUTPUT_START // 8
        words = [self.memory.get(first + 1 + position, 0) for position in range(32)]
        return b"".join(word.to_bytes(8, "little") for word in words)[: self.memory.get(first, 0)]

    def step(self) -> list[tuple[Family, Event]]:
        """Executes one instruction. Returns its event, and a precompile call's after it. Raises Trap."""
        index = self.program.index_of(self.pc)
        if index is None:
            raise MemoryFault(self.pc, self.pc)
        decoded = self._decoded.get(index) or decode(int(self.program.words[index]), self.pc)
        if decoded is None:
            raise UnsupportedInstruction(self.pc, int(self.program.words[index]))
        self._decoded[index] = decoded
        operation = decoded.instruction.operation
        if operation == Operation.ECALL:
            return self._ecall(index)
        if is_memory_operation(operation):
            event = self._load_or_store(index, decoded)
        else:
            event = self._register_step(index, decoded)
        self.clk += STEP_TICKS
        return [event]

    def _access(self, space: int, address: int, time: int) -> int:
        """Notes an access and returns the time of the one before."""
        previous = self.last_access.get((space, address), BOUNDARY_TIME)
        self.last_access[space, address] = time
        return previous

    def _access_registers(self, decoded: Decoded) -> tuple[int, int, int]:
        accesses = zip(
            touched_registers(decoded.instruction.format),
            (decoded.rs1, decoded.rs2, decoded.rd),
            (self.clk, self.clk + 1, self.clk + 3),
            strict=True,
        )
        times = [self._access(REGISTER_SPACE, index, time) if is_made else 0 for is_made, index, time in accesses]
        return times[0], times[1], times[2]

    def _operands(self, decoded: Decoded) -> tuple[int, int, bool]:
        reads_rs1, reads_rs2, writes_rd = touched_registers(decoded.instruction.format)
        a = self.registers[decoded.rs1] if reads_rs1 else 0
        return a, self.registers[decoded.rs2] if reads_rs2 else 0, writes_rd

    def _event(self, index: int, times: tuple[int, int, int], *values: int) -> Event:
        return (self.clk, self.pc, index, *times, *values)

    def _register_step(self, index: int, decoded: Decoded) -> tuple[Family, Event]:
        operation = decoded.instruction.operation
        a, b, writes_rd = self._operands(decoded)
        next_pc = self.pc + 4
        target = None
        if operation in (Operation.JAL, Operation.JALR):
            b = target = (a + decoded.immediate) & MASK64 & ~1
            result = next_pc
        elif Operation.BEQ <= operation <= Operation.BGEU:
            if is_taken(operation, a, b):
                target = decoded.immediate
            result = next_pc if target is None else target
        else:
            if decoded.instruction.is_immediate:
                b = decoded.immediate
            result = compute(operation, a, b)
        if target is not None:
            if target % 4:
                raise MisalignedJump(self.pc, target)
            next_pc = target
        rd_old = self.registers[decoded.rd] if writes_rd else 0
        event = self._event(index, self._access_registers(decoded), a, b, result, rd_old)
        if writes_rd:
            self.registers[decoded.rd] = result
        self.pc = next_pc
        return FAMILY_OF_OPERATION[operation], event

    def _load_or_store(self, index: int, decoded: Decoded) -> tuple[Family, Event]:
        operation = decoded.instruction.operation
        byte_count = ACCESS_BYTES[operation]
        a, b, is_load = self._operands(decoded)
        address = (a + decoded.immediate) & MASK64
        family = memory_family(operation, address)
        low, bit = address // 8, address % 8 * 8
        addresses = (low, low + 1) if family == Family.MEMORY_CROSSING else (low,)
        if not memory_map.words_are_readable(8 * low, 8 * len(addresses)):
            raise MemoryFault(self.pc, address)
        old = [self.memory.get(doubleword, 0) for doubleword in addresses]
        joined = sum(word << 64 * position for position, word in enumerate(old))
        mask = (1 << 8 * byte_count) - 1
        if is_load:
            value = joined >> bit & mask
            is_signed = operation in (Operation.LB, Operation.LH, Operation.LW)
            result = (signed(value, 8 * byte_count) if is_signed else value) & MASK64
        else:
            joined = joined & ~(mask << bit) | (b & mask) << bit
            result = 0
        new = [joined >> 64 * position & MASK64 for position in range(len(old))]

        times = self._access_registers(decoded)
        memory_times = [self._access(MEMORY_SPACE, doubleword, self.clk + 2) for doubleword in addresses]
        rd_old = self.registers[decoded.rd] if is_load else 0
        event = self._event(index, times, a, b, result, rd_old, low, memory_times[0], old[0], new[0])
        if family == Family.MEMORY_CROSSING:
            event += (old[1], new[1], memory_times[1], 0)
        self.memory.update(zip(addresses, new, strict=True))
        if is_load:
            self.registers[decoded.rd] = result
        self.pc += 4
        return family, event

    def _ecall(self, index: int) -> list[tuple[Family, Event]]:
        number, a0, a1 = self.registers[17], self.registers[10], self.registers[11]
        next_pc = self.pc + 4
        calls: list[tuple[Family, Event]] = []
        if number in PRECOMPILE_FAMILY:
            calls.append(self._precompile(Syscall(number), a0, a1))
        elif number == Syscall.EXIT:
            self.exit_code, next_pc = a0, HALT_PC
        elif number not in _NO_HOST_EFFECT:
            raise UnknownSyscall(self.pc, number)
        times = [self._access(REGISTER_SPACE, register, self.clk + slot) for slot, register in enumerate((17, 10, 11))]
        event = (self.clk, self.pc, index, *times, number, a0, a1)
        self.pc = next_pc
        self.clk += ECALL_TICKS
        return [(Family.ECALL, event), *calls]

    def _precompile(self, call: Syscall, a0: int, a1: int) -> tuple[Family, Event]:
        family = PRECOMPILE_FAMILY[call]
        read_counts, write_counts = PRECOMPILE_READS[family], PRECOMPILE_WRITES[family]
        extents = [max(counts) for counts in zip(read_counts, write_counts, strict=True)]
        uses_a1 = extents[1] > 0
        for pointer in (a0, a1) if uses_a1 else (a0,):
            if pointer % 8:
                raise MisalignedPointer(self.pc, pointer)
        for pointer, extent in zip((a0, a1), extents, strict=True):
            for address in range(pointer, pointer + 8 * extent, 8):
                if memory_map.region_of(address) is None:
                    raise MemoryFault(self.pc, address)
        reads = [pointer // 8 + i for pointer, count in zip((a0, a1), read_counts, strict=True) for i in range(count)]
        writes = [pointer // 8 + i for pointer, count in zip((a0, a1), write_counts, strict=True) for i in range(count)]
        if len(set(reads)) != len(reads):
            raise OverlappingOperands(self.pc, a1)
        values = [self.memory.get(doubleword, 0) for doubleword in reads]
        result = _PRECOMPILES[call](values)
        if result is None:
            raise InvalidOperand(self.pc, call)
        read_times = [self._access(MEMORY_SPACE, doubleword, self.clk + 3) for doubleword in reads]
        old = [self.memory.get(doubleword, 0) for doubleword in writes]
        write_times = [self._access(MEMORY_SPACE, doubleword, self.clk + 4) for doubleword in writes]
        self.memory.update(zip(writes, result, strict=True))
        padding = (0,) if (len(reads) + len(writes)) % 2 else ()
        arguments = (a0, a1 if uses_a1 else 0)
        return family, (self.clk, self.pc, *arguments, values, old, result, read_times, write_times, *padding)
