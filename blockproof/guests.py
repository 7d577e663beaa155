"""
The guests that ship with the package: ELF files with their digests.

A guest is named by its name or by the path of an ELF file. `blockproof/elfs/digests.json` says which bytes each shipped name has; a file that
differs is refused, so that a name always means one program.
"""

import hashlib
import json
from pathlib import Path
from typing import Final

from blockproof.errors import UsageError
from zkvm.machine.elf import ELF_BYTE_LIMIT, Program, load_elf
from zkvm.machine.errors import ElfError

SHIPPED: Final = Path(__file__).resolve().parent / "elfs"

BLOCK_GUEST: Final = "block"
"""The guest that validates Ethereum blocks."""


def shipped_guests() -> dict[str, str]:
    """Name -> SHA-256 of each shipped ELF, in hex."""
    digests = json.loads((SHIPPED / "digests.json").read_text())
    return {name: entry["sha256"] for name, entry in sorted(digests.items())}


def read_guest(name_or_path: str) -> bytes:
    """
    The ELF file of a shipped guest or at a path. A name that exists as a path means the path.

    Raises UsageError where there is neither, the file is too large, or a shipped file is not the one of its digest.
    """
    path = Path(name_or_path)
    if path.is_file():
        return _read(path)
    shipped = shipped_guests()
    if name_or_path not in shipped:
        raise UsageError(f"there is no guest and no file {name_or_path!r}", f"shipped guests: {', '.join(shipped)}")
    content = _read(SHIPPED / f"{name_or_path}.elf")
    if hashlib.sha256(content).hexdigest() != shipped[name_or_path]:
        raise UsageError(f"the shipped guest {name_or_path!r} is damaged: its bytes are not those of its digest", "install blockproof again")
    return content


def load_guest(name_or_path: str) -> Program:
    """The loaded program of a guest. Raises UsageError as `read_guest`, ElfError for a file that is no program of the machine."""
    content = read_guest(name_or_path)
    try:
        return load_elf(content)
    except ElfError as error:
        error.add_note(name_or_path)
        raise


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(ELF_BYTE_LIMIT + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > ELF_BYTE_LIMIT:
        raise UsageError(f"{path} has more than {ELF_BYTE_LIMIT} bytes", "a guest's ELF is at most 64 MiB; strip it")
    return content
