"""Where guests run in these tests, and how a run ends there."""

import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from blockproof.guest_build import WORKSPACE, Toolchain

SELFTEST = Path(__file__).parent / "sdk-selftest/Cargo.toml"
NO_TOOLCHAIN = "Rust toolchain (rustc-web) is absent"


@dataclass(frozen=True)
class Ended:
    """How a run ended: exit code, public output (empty unless the code is 0), debug text without the places of panics."""

    code: int
    output: bytes
    debug: str


Runner = Callable[[bytes], Ended]


def ended(code: int, output: bytes, debug: bytes) -> Ended:
    """A panic's place is left out: the source folder is remapped in the machine only, and what runs natively has lines of its own."""
    return Ended(code, output, re.sub(r"panicked at \S+", "panicked at PLACE", debug.decode()))


def run_process(*command: str, stdin: bytes) -> Ended:
    # A panicking guest must end by itself, not by a signal or a limit.
    process = subprocess.run(command, check=False, input=stdin, capture_output=True, timeout=120)
    return ended(process.returncode, process.stdout, process.stderr)


def build_native(toolchain: Toolchain, manifest: Path, target: Path) -> Path:
    """The folder of the native programs of a package."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RUST", "CARGO_BUILD"))}
    environment |= {"RUSTC": toolchain.rustc, "CARGO_TARGET_DIR": str(target), "CARGO_PROFILE_RELEASE_LTO": "off"}
    command = [toolchain.cargo, "build", "--release", "--locked", "--manifest-path", str(manifest)]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=600)
    return target / "release"


def program(name: str) -> Path:
    return WORKSPACE / "programs" / name / "Cargo.toml"
