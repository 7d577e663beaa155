"""
Conformance with an outside emulator, register by register, on random programs over all instructions.

The same ELF runs under qemu-user: its Linux calls write and exit have the machine's numbers.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from random_programs import RECORD_BYTES, RESULT_AT, SCRATCH_AT, Batch, make_batch

from zkvm.isa.assembler import disassemble
from zkvm.machine.elf import load_elf
from zkvm.machine.emulator import Emulator, Limits
from zkvm.machine.memory_map import DATA_START
from zkvm.machine.reference import ReferenceMachine

QEMU = shutil.which("qemu-riscv64")

needs_qemu = pytest.mark.skipif(QEMU is None, reason="qemu-riscv64 is absent")


def records_of_qemu(batch: Batch, folder: Path) -> bytes:
    elf, records = folder / "programs.elf", folder / "records.bin"
    elf.write_bytes(batch.elf)
    elf.chmod(0o755)
    with records.open("wb") as output:
        subprocess.run([str(QEMU), str(elf)], stdout=output, check=True, timeout=600, env=dict(os.environ))
    return records.read_bytes()


def records_of_fast(batch: Batch) -> bytes:
    emulator = Emulator(load_elf(batch.elf), b"", Limits())
    assert emulator.advance()
    return emulator.memory.view(np.uint8)[DATA_START : DATA_START + batch.record_bytes].tobytes()


def records_of_reference(batch: Batch) -> bytes:
    machine = ReferenceMachine.start(load_elf(batch.elf))
    machine.run(1 << 40)
    assert machine.exit_code == 0
    words = (machine.memory[DATA_START // 8 + index] for index in range(batch.record_bytes // 8))
    return b"".join(word.to_bytes(8, "little") for word in words)


def assert_same(batch: Batch, ours: bytes, theirs: bytes) -> None:
    """Equal records, or a report of the first program that differs."""
    assert len(ours) == len(theirs)
    if ours == theirs:
        return
    at = next(index for index in range(len(ours)) if ours[index] != theirs[index])
    program, offset = divmod(at, RECORD_BYTES)
    where = f"x{(offset - RESULT_AT) // 8 + 1}" if offset < SCRATCH_AT else f"scratch byte {offset - SCRATCH_AT}"
    listing = "\n".join(disassemble(word, 0) for word in batch.bodies[program])
    pytest.fail(f"program {program} differs in {where}:\n{listing}")


@needs_qemu
def test_ten_thousand_random_programs_equal_qemu(tmp_path: Path) -> None:
    batch = make_batch(seed=1, count=10_000, write_records=True)
    assert_same(batch, records_of_fast(batch), records_of_qemu(batch, tmp_path))


@needs_qemu
def test_single_instructions_equal_qemu(tmp_path: Path) -> None:
    """One instruction between loading and storing all registers: the registers after every single instruction."""
    batch = make_batch(seed=2, count=10_000, body_length=1, write_records=True)
    assert_same(batch, records_of_fast(batch), records_of_qemu(batch, tmp_path))


@needs_qemu
@pytest.mark.heavy
def test_fifty_thousand_random_programs_equal_qemu(tmp_path: Path) -> None:
    for seed in (3, 4):
        batch = make_batch(seed, count=25_000, write_records=True)
        assert_same(batch, records_of_fast(batch), records_of_qemu(batch, tmp_path))


@needs_qemu
def test_reference_equals_qemu(tmp_path: Path) -> None:
    batch = make_batch(seed=5, count=500, write_records=True)
    assert_same(batch, records_of_reference(batch), records_of_qemu(batch, tmp_path))


def test_reference_equals_fast() -> None:
    batch = make_batch(seed=6, count=500)
    assert_same(batch, records_of_reference(batch), records_of_fast(batch))
