"""What `blockproof doctor` looks at: everything that a user's first hour can trip over."""

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from typing import Final

from blockproof.errors import BlockproofError
from blockproof.guest_build import ToolchainAbsent, find_toolchain
from blockproof.guests import read_guest, shipped_guests
from blockproof.program_ids import shipped_ids
from zkvm.kernels import policy

PACKAGES: Final = ("numba", "llvmlite", "numpy", "click", "ethereum-execution", "py-evm", "trie", "rlp", "eth-hash", "eth-remerkleable", "web3")

TOOLS: Final = {"qemu-riscv64": "to compare the emulator with another one (Debian: qemu-user)"}

LEAST_MEMORY: Final = 4 << 30
LEAST_DISK: Final = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One line of the report. An optional finding that is not fine only costs what its detail says."""

    name: str
    is_fine: bool
    detail: str
    is_optional: bool = False


def examine() -> list[Finding]:
    """Looks at the installation and the machine; takes about a second and changes nothing."""
    findings = [Finding("python", (3, 11) <= sys.version_info[:2], f"{platform.python_version()} on {platform.machine()}")]
    for name in PACKAGES:
        try:
            findings.append(Finding(name, True, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            findings.append(Finding(name, False, "missing: run ./dev env"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    findings.append(Finding("memory", memory >= LEAST_MEMORY, f"{memory / 2**30:.1f} GiB; proving wants at least {LEAST_MEMORY >> 30} GiB"))
    findings.append(Finding("processors", True, f"{len(os.sched_getaffinity(0))} usable"))
    findings.append(_cache())
    findings += [_guest(name) for name in shipped_guests()]
    findings += [_program_ids(), _rust()]
    for name, use in TOOLS.items():
        path = shutil.which(name)
        findings.append(Finding(name, path is not None, path or f"absent; only needed {use}", is_optional=True))
    return findings


def _cache() -> Finding:
    folder = policy.cache_root()
    existing = folder
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    writable = os.access(existing, os.W_OK)
    detail = f"{folder}, {free / 2**30:.1f} GiB free"
    return Finding("cache", writable and free >= LEAST_DISK, detail if writable else f"{folder} cannot be written; set BLOCKPROOF_CACHE")


def _program_ids() -> Finding:
    missing = [name for name in shipped_guests() if name not in shipped_ids()]
    return Finding("program ids", not missing, f"not pinned: {', '.join(missing)}" if missing else "pinned for every shipped guest")


def _rust() -> Finding:
    try:
        toolchain = find_toolchain()
    except ToolchainAbsent as error:
        return Finding("rust", False, f"{error}; only needed to build guests", is_optional=True)
    return Finding("rust", True, f"{toolchain.compiler_version}, {toolchain.linker_version}", is_optional=True)


def _guest(name: str) -> Finding:
    try:
        content = read_guest(name)
    except BlockproofError as error:
        return Finding(f"guest {name}", False, str(error))
    return Finding(f"guest {name}", True, f"{len(content):,} bytes, digest as shipped")
