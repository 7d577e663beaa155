"""
Answers that never change, on disk: blocks, headers, proofs and codes that were verified against a hash.

An entry's name is the SHA-256 of what was asked (chain id, method, parameters that name the block by hash), never of
where; its content is the SHA-256 of the answer and the answer, compressed. An entry that is truncated or altered does
not fit its digest: it is as good as absent, and replaced. Whoever reads an entry verifies it again as if a node had
sent it, so that a folder which others can write costs time, not soundness.

`<cache root>/rpc/<two digits>/<62 digits>`; the cache root is zkvm.kernels.policy.cache_root().
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import zlib
from hashlib import sha256
from pathlib import Path

from witness.errors import WitnessError
from witness.files import parse_json
from zkvm.kernels.policy import cache_root

MOST_BYTES = 2 << 30
MOST_ENTRY_BYTES = 64 << 20
_DIGEST = 32
_KEPT = 0.8
"""So much of the limit is left after the oldest entries are removed: not at every new entry."""


class AnswerCache:
    """
    A folder of answers. most_bytes: of all files together.

    What the disk refuses is no error: an answer that cannot be kept is asked for again.
    """

    def __init__(self, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self.folder = cache_folder() if folder is None else folder
        self.most_bytes = most_bytes
        self._bytes: int | None = None

    @staticmethod
    def key(chain_id: int, method: str, params: object) -> str:
        """The name of an entry, 64 hex digits."""
        asked = json.dumps([chain_id, method, params], separators=(",", ":"), sort_keys=True)
        return sha256(asked.encode()).hexdigest()

    def get(self, key: str) -> object | None:
        """The parsed answer, None where there is none that is whole."""
        path = self._path(key)
        try:
            with path.open("rb") as file:
                content = file.read(MOST_ENTRY_BYTES + 1)
        except OSError:
            return None
        if len(content) > MOST_ENTRY_BYTES or sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
            return None
        decompressor = zlib.decompressobj()
        try:
            encoded = decompressor.decompress(content[_DIGEST:], MOST_ENTRY_BYTES)
            answer = parse_json(encoded) if decompressor.eof else None
        except (zlib.error, WitnessError):
            return None
        with contextlib.suppress(OSError):
            # The oldest go first: what is used is young.
            os.utime(path)
        return answer

    def put(self, key: str, answer: object) -> None:
        """Keeps an answer, replacing what is there. At once or not at all, whoever else writes it."""
        encoded = json.dumps(answer, separators=(",", ":")).encode()
        body = zlib.compress(encoded, 1)
        if len(encoded) > MOST_ENTRY_BYTES or len(body) + _DIGEST > self.most_bytes:
            return
        path = self._path(key)
        try:
            self._make_room(len(body) + _DIGEST)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, sha256(body).digest() + body)
        except OSError:
            return

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / key[2:]

    def _make_room(self, more: int) -> None:
        if self._bytes is None:
            self._bytes = sum(size for _, size, _ in self._entries())
        self._bytes += more
        if self._bytes <= self.most_bytes:
            return
        entries = sorted(self._entries())
        self._bytes = more + sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if self._bytes <= _KEPT * self.most_bytes:
                break
            path.unlink(missing_ok=True)
            self._bytes -= size

    def _entries(self) -> list[tuple[float, int, Path]]:
        """(time of last use, bytes, path) of every file."""
        found = []
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(OSError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found


def cache_folder() -> Path:
    """Where answers lie if no other folder is named."""
    return cache_root() / "rpc"


def clean_answers() -> int:
    """Removes every kept answer and returns how many bytes they took."""
    folder = cache_folder()
    if not folder.is_dir():
        return 0
    count = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return count


def write_whole(path: Path, content: bytes, durable: bool = False) -> None:
    """
    Writes a file at once or not at all: beside it, then renamed. Raises OSError.

    durable: on the disk before it is renamed, so that it is whole after a power cut too.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        # mkstemp gives 0600; what is written here is as readable as any other file of the user's.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
