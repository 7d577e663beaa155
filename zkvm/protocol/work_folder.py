"""
What a prover keeps on disk, so that a killed run goes on where it was.

Statement
---------
A record is either complete and as written, or absent: it is written beside its place, flushed, and renamed; its
content is followed by a SHA-256 that reading checks. Records lie in a folder named by the digest of everything that
determines them, so a record of another run is never taken for one of this. Proofs are deterministic, hence a run that
goes on gives the same bytes as one that was never stopped.
"""

import hashlib
import os
import shutil
from pathlib import Path


class WorkFolder:
    """The records of one run. root: any folder, made if missing. run_digest: names the run."""

    def __init__(self, root: Path, run_digest: bytes) -> None:
        self.path = root / run_digest.hex()[:32]
        self.path.mkdir(parents=True, exist_ok=True)

    def read(self, name: str) -> bytes | None:
        """A record's content; None where there is none, or only a damaged one."""
        try:
            stored = (self.path / name).read_bytes()
        except FileNotFoundError:
            return None
        content, digest = stored[:-32], stored[-32:]
        return content if hashlib.sha256(content).digest() == digest else None

    def write(self, name: str, content: bytes) -> None:
        """Stores a record, all or nothing."""
        temporary = self.path / f".{name}.{os.getpid()}"
        with temporary.open("wb") as file:
            file.write(content)
            file.write(hashlib.sha256(content).digest())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path / name)

    def remove(self) -> None:
        """Forgets the run."""
        shutil.rmtree(self.path, ignore_errors=True)
