"""Every trap and every syscall's corner, on the compiled machine and on its plain twin."""

from collections.abc import Callable

import pytest
from make_elf import elf_of, make_elf

from zkvm.isa.assembler import assemble
from zkvm.machine import load_elf, run
from zkvm.machine.emulator import Emulator, Limits
from zkvm.machine.errors import (
    InvalidOperand,
    MemoryFault,
    MisalignedJump,
    MisalignedPointer,
    OverlappingOperands,
    Trap,
    UnknownSyscall,
    UnsupportedInstruction,
)
from zkvm.machine.memory_map import DATA_START, TEXT_START
from zkvm.machine.precompiles import SECP256K1_PRIME, words_of
from zkvm.machine.reference import ReferenceMachine

P = SECP256K1_PRIME
GX = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
GY = 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8

# Ends a program that is expected to reach its end.
EXIT = "\nli a0, 0\nli a7, 93\necall"


def fast(elf: bytes) -> dict[int, int]:
    emulator = Emulator(load_elf(elf), b"", Limits())
    assert emulator.advance()
    return {index: int(emulator.memory[index]) for index in range(DATA_START // 8, DATA_START // 8 + 128)}


def reference(elf: bytes) -> dict[int, int]:
    machine = ReferenceMachine.start(load_elf(elf))
    machine.run(100_000)
    assert machine.exit_code == 0
    return {index: machine.memory.get(index, 0) for index in range(DATA_START // 8, DATA_START // 8 + 128)}


Machine = Callable[[bytes], dict[int, int]]
both = pytest.mark.parametrize("machine", [fast, reference])


def trap_of(machine: Machine, elf: bytes) -> Trap:
    with pytest.raises(Trap) as caught:
        machine(elf)
    return caught.value


@both
@pytest.mark.parametrize(
    ("source", "kind", "attributes"),
    [
        ("nop\n.word 0x00100073", UnsupportedInstruction, {"pc": TEXT_START + 4, "word": 0x00100073}),
        (".word 0", UnsupportedInstruction, {"pc": TEXT_START, "word": 0}),
        ("li t0, 0x200006\njalr ra, 0(t0)", MisalignedJump, {"target": 0x200006}),
        ("beq x0, x0, 6", MisalignedJump, {"pc": TEXT_START, "target": TEXT_START + 6}),
        ("jal ra, 10", MisalignedJump, {"pc": TEXT_START, "target": TEXT_START + 10}),
        ("jal ra, 8", MemoryFault, {"pc": TEXT_START + 8, "address": TEXT_START + 8}),
        ("jal ra, -4", MemoryFault, {"pc": TEXT_START - 4, "address": TEXT_START - 4}),
        ("li t0, -4\njalr ra, 0(t0)", MemoryFault, {"pc": 2**64 - 4}),
        ("nop", MemoryFault, {"pc": TEXT_START + 4, "address": TEXT_START + 4}),
        # TEXT is not data; nothing lies at 0, between the regions, above RAM or beyond 2^32.
        ("li t0, 0x200000\nlw t1, 0(t0)", MemoryFault, {"address": 0x200000}),
        ("li t0, 0x200000\nsd t1, 0(t0)", MemoryFault, {"address": 0x200000}),
        ("lb t1, 0(x0)", MemoryFault, {"pc": TEXT_START, "address": 0}),
        ("ld t1, -1(x0)", MemoryFault, {"address": 2**64 - 1}),
        ("ld t1, -8(x0)", MemoryFault, {"address": 2**64 - 8}),
        ("li t0, 0x20080000\nlb t1, 0(t0)", MemoryFault, {"address": 0x2008_0000}),
        ("li t0, 0x28000000\nlb t1, -1(t0)", MemoryFault, {"address": 0x27FF_FFFF}),
        ("li t0, 0xf0000000\nsb t1, 0(t0)", MemoryFault, {"address": 0xF000_0000}),
        ("li t0, 0x108000000\nlb t1, 0(t0)", MemoryFault, {"address": 0x1_0800_0000}),
        ("li t0, 0xfffffffc\nld t1, 0(t0)", MemoryFault, {"address": 0xFFFF_FFFC}),
        # Across a region's end.
        ("li t0, 0xeffffffc\nld t1, 0(t0)", MemoryFault, {"address": 0xEFFF_FFFC}),
        ("li t0, 0x8000000\nlh t1, -1(t0)", MemoryFault, {"address": 0x07FF_FFFF}),
        ("li a7, 1234\necall", UnknownSyscall, {"number": 1234}),
        ("ecall", UnknownSyscall, {"number": 0}),
        ("li a7, 0x2007\necall", UnknownSyscall, {"number": 0x2007}),
        ("li a7, -1\necall", UnknownSyscall, {"number": 2**64 - 1}),
    ],
)
def test_traps(machine: Machine, source: str, kind: type[Trap], attributes: dict[str, int]) -> None:
    trap = trap_of(machine, elf_of(source))
    assert type(trap) is kind
    assert {name: getattr(trap, name) for name in attributes} == attributes


@both
def test_untaken_branch_to_a_misaligned_target_is_no_trap(machine: Machine) -> None:
    machine(elf_of("bne x0, x0, 6" + EXIT))


@both
def test_unsupported_words_that_are_not_reached_are_no_error(machine: Machine) -> None:
    machine(elf_of("j 8\n.word 0xffffffff" + EXIT))


@both
@pytest.mark.parametrize("access", ["li t0, 0x10000000\nlw t1, -2(t0)", "li t0, 0x20000000\nsh t1, -1(t0)"])
def test_adjoining_regions_are_crossed(machine: Machine, access: str) -> None:
    machine(elf_of(access + EXIT))


@both
def test_region_edges_are_readable(machine: Machine) -> None:
    source = ""
    for start, end in ((0x800_0000, 0x1000_0000), (0x1000_0000, 0x2000_0000), (0x2000_0000, 0x2008_0000),
                       (0x2800_0000, 0xF000_0000)):  # fmt: skip
        source += f"li t0, {start}\nlb t1, 0(t0)\nld t1, 0(t0)\nli t0, {end}\nld t1, -8(t0)\nsb t1, -1(t0)\n"
    machine(elf_of(source + EXIT))


SYSCALLS = {
    "keccak_f": (0x2001, 25, 0),
    "sha256_compress": (0x2002, 4, 8),
    "secp256k1_add": (0x2003, 8, 8),
    "secp256k1_double": (0x2004, 8, 0),
    "arith256": (0x2005, 12, 8),
    "arith256_mod": (0x2006, 16, 4),
}


def call(name: str, a0: int, a1: int = 0, data: list[int] | None = None) -> bytes:
    """A program that makes one call on DATA's initial words."""
    content = b"".join(word.to_bytes(8, "little") for word in data or [])
    return elf_of(f"li a0, {a0}\nli a1, {a1}\nli a7, {SYSCALLS[name][0]}\necall" + EXIT, content)


@both
@pytest.mark.parametrize("name", SYSCALLS)
@pytest.mark.parametrize("offset", [1, 4, 7])
def test_misaligned_pointers(machine: Machine, name: str, offset: int) -> None:
    trap = trap_of(machine, call(name, DATA_START + offset, DATA_START + 1024))
    assert type(trap) is MisalignedPointer and trap.address == DATA_START + offset
    if SYSCALLS[name][2]:
        trap = trap_of(machine, call(name, DATA_START + 1024, DATA_START + offset))
        assert type(trap) is MisalignedPointer and trap.address == DATA_START + offset


@both
@pytest.mark.parametrize("name", SYSCALLS)
@pytest.mark.parametrize("end", [0x2008_0000, 0xF000_0000])
def test_pointers_over_the_end(machine: Machine, name: str, end: int) -> None:
    """The last word outside: a fault that names the first word without memory."""
    _, words_0, words_1 = SYSCALLS[name]
    trap = trap_of(machine, call(name, end - 8 * words_0 + 8, DATA_START))
    assert type(trap) is MemoryFault and trap.address == end
    if words_1:
        trap = trap_of(machine, call(name, DATA_START, end - 8 * words_1 + 8))
        assert type(trap) is MemoryFault and trap.address == end
    for pointer in (0, TEXT_START, 2**64 - 8, 2**32):
        assert type(trap_of(machine, call(name, pointer, DATA_START))) is MemoryFault


@both
@pytest.mark.parametrize(("name", "size"), [("sha256_compress", 4), ("secp256k1_add", 8)])
def test_overlapping_inputs(machine: Machine, name: str, size: int) -> None:
    """Two inputs that share a doubleword trap, neighbours do not."""
    points = [*words_of(GX, 4), *words_of(GY, 4)]
    double = [0x89D9_0C5F_0000_0001, 1, 2, 3, 4, 5, 6, 7]
    for shift in range(-7, size):
        trap = trap_of(machine, call(name, DATA_START + 512, DATA_START + 512 + 8 * shift))
        assert type(trap) is OverlappingOperands and trap.address == DATA_START + 512 + 8 * shift
    machine(call(name, DATA_START, DATA_START + 8 * size, points + double))
    machine(call(name, DATA_START + 64, DATA_START, points + double))


@both
def test_curve_operands_that_trap(machine: Machine) -> None:
    good = [GX, GY, 2, 3]
    for position in range(4):
        for bad in (P, P + 1, 2**256 - 1):
            values = [*good[:position], bad, *good[position + 1 :]]
            data = [word for value in values for word in words_of(value, 4)]
            assert type(trap_of(machine, call("secp256k1_add", DATA_START, DATA_START + 64, data))) is InvalidOperand
            if position < 2:
                assert type(trap_of(machine, call("secp256k1_double", DATA_START, 0, data))) is InvalidOperand
    for values in ([GX, GY, GX, GY], [GX, GY, GX, P - GY], [0, 1, 0, 2]):
        data = [word for value in values for word in words_of(value, 4)]
        assert type(trap_of(machine, call("secp256k1_add", DATA_START, DATA_START + 64, data))) is InvalidOperand
    trap = trap_of(machine, call("secp256k1_double", DATA_START, 0, [*words_of(GX, 4), 0, 0, 0, 0]))
    assert type(trap) is InvalidOperand and trap.number == 0x2004


@both
def test_curve_points_need_not_lie_on_the_curve(machine: Machine) -> None:
    data = [*words_of(0, 4), *words_of(5, 4), *words_of(P - 1, 4), *words_of(0, 4)]
    memory = machine(call("secp256k1_add", DATA_START, DATA_START + 64, data))
    # The line through (0, 5) and (-1, 0) has slope 5: x = 25 + 1, y = -5 * 26 - 5.
    assert [memory[DATA_START // 8 + i] for i in range(8)] == [*words_of(26, 4), *words_of(P - 135, 4)]


@both
def test_modulus_zero_traps(machine: Machine) -> None:
    trap = trap_of(machine, call("arith256_mod", DATA_START, DATA_START + 256, [1] * 12 + [0] * 4))
    assert type(trap) is InvalidOperand and trap.number == 0x2006


@both
@pytest.mark.parametrize("shift", [-4, -1, 0, 1, 5, 8, 12])
def test_arith256_with_overlapping_result(machine: Machine, shift: int) -> None:
    """All operands are read before anything is written."""
    a, b, c = 2**256 - 1, 2**256 - 3, 2**255 + 12345
    data = [0] * 8 + [word for value in (a, b, c) for word in words_of(value, 4)] + [0] * 8
    memory = machine(call("arith256", DATA_START + 64, DATA_START + 64 + 8 * shift, data))
    result = words_of(a * b + c, 8)
    expected = data[: 8 + shift] + result + data[16 + shift :]
    assert [memory[DATA_START // 8 + i] for i in range(len(data))] == expected


@both
@pytest.mark.parametrize("shift", [-3, 0, 3, 12, 14, 16])
@pytest.mark.parametrize("modulus", [1, 2**32 - 1, 2**64, 2**255 - 19, 2**256 - 1])
def test_arith256_mod_with_overlapping_result(machine: Machine, shift: int, modulus: int) -> None:
    a, b, c = 2**256 - 1, 2**256 - 2, 2**256 - 3
    data = [0] * 8 + [word for value in (a, b, c, modulus) for word in words_of(value, 4)] + [0] * 8
    memory = machine(call("arith256_mod", DATA_START + 64, DATA_START + 64 + 8 * shift, data))
    expected = data[: 8 + shift] + words_of((a * b + c) % modulus, 4) + data[12 + shift :]
    assert [memory[DATA_START // 8 + i] for i in range(len(data))] == expected


@both
def test_double_and_add_reach_known_points(machine: Machine) -> None:
    """3G = 2G + G. The coordinates of 3G are published with the curve's test vectors."""
    three = (
        0xF9308A019258C31049344F85F89D5229B531C845836F99B08601F113BCE036F9,
        0x388F7B0F632DE8140FE337E62A37F3566500A99934C2231B6CB9FD7584B8E672,
    )
    data = [*words_of(GX, 4), *words_of(GY, 4)] * 2
    source = f"li a0, {DATA_START}\nli a1, {DATA_START + 64}\nli a7, 0x2004\necall\nli a7, 0x2003\necall" + EXIT
    memory = machine(elf_of(source, b"".join(word.to_bytes(8, "little") for word in data)))
    assert [memory[DATA_START // 8 + i] for i in range(8)] == [*words_of(three[0], 4), *words_of(three[1], 4)]


@both
def test_no_ecall_changes_a_register(machine: Machine) -> None:
    """a0, a1, a7 after each call are stored, and stand there as before."""
    source = ""
    for index, (number, *_) in enumerate(SYSCALLS.values()):
        source += f"""
            li a0, {DATA_START}
            li a1, {DATA_START + 256}
            li a7, {number}
            ecall
            li t0, {DATA_START + 512 + 24 * index}
            sd a0, 0(t0)
            sd a1, 8(t0)
            sd a7, 16(t0)
        """
    memory = machine(elf_of(source + EXIT, b"\1" * 512))
    for index, (number, *_) in enumerate(SYSCALLS.values()):
        at = DATA_START // 8 + 64 + 3 * index
        assert [memory[at + i] for i in range(3)] == [DATA_START, DATA_START + 256, number]


def test_trap_carries_the_debug_output() -> None:
    message = b"going down\n"
    source = f"li a0, 2\nli a1, {DATA_START}\nli a2, {len(message)}\nli a7, 64\necall\nlb x0, 0(x0)"
    with pytest.raises(MemoryFault) as caught:
        run(load_elf(make_elf(assemble(source), message)))
    assert caught.value.debug == message
