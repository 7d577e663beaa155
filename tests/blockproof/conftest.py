"""The command line as its users run it, and proofs that many tests look at."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "zkvm" / "machine"))

from make_elf import elf_of

from blockproof.cli import main
from zkvm.kernels.policy import cache_root

REPOSITORY = Path(__file__).resolve().parents[2]

SECRET = bytes(range(32))
"""The private input of the shared proof."""


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on standard output."""
        lines = self.out.splitlines()
        assert len(lines) == 1, self.out
        value = json.loads(lines[0])
        assert isinstance(value, dict)
        return value


@pytest.fixture(scope="session")
def cli() -> Callable[..., Answer]:
    """Runs a command in this process. An exception that is no exit would be a user's traceback: it fails the test."""

    def run(*arguments: str | Path) -> Answer:
        ended = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="blockproof")
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        return Answer(ended.exit_code, ended.stdout, ended.stderr)

    return run


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The installed program, for a process of its own."""
    return [sys.executable, "-c", "from blockproof.cli import main; main(prog_name='blockproof')"]


def work_environment(root: Path) -> dict[str, str]:
    """An environment whose unfinished work lies under `root`, with this machine's compiled kernels."""
    root.mkdir(exist_ok=True)
    kernels = cache_root() / "kernels"
    kernels.mkdir(parents=True, exist_ok=True)
    if not (root / "kernels").exists():
        (root / "kernels").symlink_to(kernels.resolve())
    return {**os.environ, "BLOCKPROOF_CACHE": str(root)}


@pytest.fixture
def own_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache root for this test alone; compiled kernels stay where they are."""
    root = tmp_path / "cache"
    work_environment(root)
    monkeypatch.setenv("BLOCKPROOF_CACHE", str(root))
    return root


@pytest.fixture(scope="session")
def environment_of() -> Callable[[Path], dict[str, str]]:
    """`work_environment`, for tests that start processes."""
    return work_environment


@dataclass(frozen=True)
class MadeProof:
    """A proof made by the program in its own process."""

    path: Path
    answer: Answer
    folder: tuple[str, ...]
    work: tuple[str, ...]


@pytest.fixture(scope="session")
def made_proof(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> MadeProof:
    """Key ownership, proven by `vm prove`."""
    folder, cache = tmp_path_factory.mktemp("proof"), tmp_path_factory.mktemp("cache")
    path = folder / "key.proof"
    arguments = ["vm", "prove", "key-ownership", "-i", "0x" + SECRET.hex(), "-o", str(path)]
    ended = subprocess.run([*command, *arguments], check=False, capture_output=True, text=True, timeout=600, env=work_environment(cache), cwd=folder)
    answer = Answer(ended.returncode, ended.stdout, ended.stderr)
    assert answer.code == 0, answer
    work = tuple(sorted(entry.name for entry in (cache / "work").iterdir()))
    return MadeProof(path, answer, tuple(sorted(entry.name for entry in folder.iterdir())), work)


ECHO = """
    lui  s0, 0x10000
    lui  s1, 0x20000
    addi t0, x0, 43
    sd   t0, 0(s1)
    addi t1, x0, 6
next:
    addi s0, s0, 8
    addi s1, s1, 8
    ld   t2, 0(s0)
    sd   t2, 0(s1)
    addi t1, t1, -1
    bne  t1, x0, next
    addi a0, x0, 0
    addi a7, x0, 93
    ecall
"""
"""A program whose output is the first 43 bytes of its input: a block guest that believes what it is told."""


@pytest.fixture(scope="session")
def echo_guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ELF of ECHO."""
    path = tmp_path_factory.mktemp("guest") / "echo.elf"
    path.write_bytes(elf_of(ECHO))
    return path


@pytest.fixture
def guest(tmp_path: Path) -> Callable[[str], Path]:
    """Makes an ELF file of assembly source."""

    def make(source: str, name: str = "guest.elf") -> Path:
        path = tmp_path / name
        path.write_bytes(elf_of(source))
        return path

    return make
