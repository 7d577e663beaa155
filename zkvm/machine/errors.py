"""Every way in which loading or running a program can fail, typed."""


class MachineError(Exception):
    """
    Base of all errors of this package that a bad program, input or limit can cause.

    debug: what the program wrote to the debug channel before, where a run had begun.
    """

    debug: bytes = b""


class ElfError(MachineError):
    """The bytes are not an ELF file that the machine accepts; the message says why."""


class LimitError(MachineError):
    """A limit the caller set, or one of the machine's own, was reached."""


class InputTooLong(LimitError):
    """The private input does not fit the INPUT region or the caller's limit."""

    def __init__(self, byte_count: int, limit: int) -> None:
        super().__init__(f"the input has {byte_count} bytes; at most {limit} are allowed")
        self.byte_count, self.limit = byte_count, limit


class StepLimitReached(LimitError):
    """The program did not halt within the allowed number of steps."""

    def __init__(self, limit: int, pc: int) -> None:
        super().__init__(f"the program did not halt within {limit} steps; it was at pc 0x{pc:x}")
        self.limit, self.pc = limit, pc


class MemoryLimitReached(LimitError):
    """The program touched more memory than allowed, counted in pages of 4 KiB."""

    def __init__(self, limit: int, pc: int) -> None:
        super().__init__(f"the program touched more than {limit} bytes of memory; it was at pc 0x{pc:x}")
        self.limit, self.pc = limit, pc


class ShardCountLimitReached(LimitError):
    """The run needs more shards than a shard number can count."""


class SnapshotMismatch(MachineError):
    """A shard, emulated again, did not do what its snapshot says: the snapshot or the program is not the right one."""


class Trap(MachineError):
    """A typed end of a run that has no proof. `pc` is the instruction's address."""

    def __init__(self, pc: int, message: str) -> None:
        super().__init__(f"{message} (pc 0x{pc:x})")
        self.pc = pc


class UnsupportedInstruction(Trap):
    """A word the machine does not execute was reached."""

    def __init__(self, pc: int, word: int) -> None:
        super().__init__(pc, f"unsupported instruction 0x{word:08x}")
        self.word = word


class MisalignedJump(Trap):
    """A taken branch or jump to an address that is not a multiple of 4."""

    def __init__(self, pc: int, target: int) -> None:
        super().__init__(pc, f"jump to 0x{target:x}, which is not a multiple of 4")
        self.target = target


class MemoryFault(Trap):
    """An access outside the readable regions, or across a region's end; or pc left the program (then address = pc)."""

    def __init__(self, pc: int, address: int) -> None:
        super().__init__(pc, f"no memory at address 0x{address:x}")
        self.address = address


class UnknownSyscall(Trap):
    """An ecall with a number the machine does not define."""

    def __init__(self, pc: int, number: int) -> None:
        super().__init__(pc, f"unknown syscall 0x{number:x}")
        self.number = number


class MisalignedPointer(Trap):
    """A precompile's pointer is not a multiple of 8."""

    def __init__(self, pc: int, address: int) -> None:
        super().__init__(pc, f"precompile pointer 0x{address:x} is not a multiple of 8")
        self.address = address


class OverlappingOperands(Trap):
    """The two inputs of one precompile share a doubleword, which would be read twice at one time."""

    def __init__(self, pc: int, address: int) -> None:
        super().__init__(pc, f"the precompile's second input at 0x{address:x} overlaps its first")
        self.address = address


class InvalidOperand(Trap):
    """A precompile's operands have no result: a coordinate not below the prime, equal x, y = 0, or modulus 0."""

    def __init__(self, pc: int, number: int) -> None:
        super().__init__(pc, f"the operands of syscall 0x{number:x} have no result")
        self.number = number


class OutputTooLong(Trap):
    """The program exited with an output length above 256 bytes."""

    def __init__(self, pc: int, byte_count: int) -> None:
        super().__init__(pc, f"the output claims {byte_count} bytes; at most 256 are allowed")
        self.byte_count = byte_count
