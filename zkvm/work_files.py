"""
A prover's files that outlive it when it is killed: snapshots, the beginning of a proof file, finished shards.

Layout of `<cache root>/work`: `.lock`; `running-NAME/`, one running prover's, with its own `lock`; and a folder of 32 hexadecimal digits for the finished
shards of each unfinished run (zkvm/protocol/work_folder.py). Locks are the system's (flock), which lets go of them however their holder ends: a snapshot
folder whose lock is free belongs to nobody.
"""

import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from zkvm.kernels.policy import cache_root


class BusyError(Exception):
    """Another process is at work on the same files; the message says on what."""


def work_root() -> Path:
    """The folder of unfinished work; made if missing. Raises OSError."""
    work = cache_root() / "work"
    work.mkdir(parents=True, exist_ok=True)
    return work


def clear_output(output: Path) -> None:
    """
    Checks that a proof can be put at `output`, and removes the beginnings of one that killed processes left beside it.

    Raises OSError: no such folder, no leave to write there, or something there that is no regular file and would be replaced by one.
    """
    if output.exists() and not output.is_file():
        raise OSError(errno.EEXIST, "exists and is no regular file", str(output))
    with tempfile.NamedTemporaryFile(dir=output.absolute().parent, prefix=f".{output.name}.", suffix=".part"):
        pass
    for part in output.absolute().parent.iterdir():
        found = re.fullmatch(rf"\.{{1,2}}{re.escape(output.name)}\.(\d{{1,9}})\.(part|core|core\.\d+\.part)", part.name)
        if found and not _is_running(int(found[1])):
            part.unlink(missing_ok=True)


def clean_work(*, unfinished: bool = False) -> int:
    """
    Removes the files that killed provers left; where `unfinished`, also the finished shards that interrupted runs would go on from. Returns how
    many bytes that freed.

    Raises BusyError if it is to remove unfinished work while a process is proving.
    """
    work = work_root()
    with _lock(work / ".lock", wait=True):
        freed, busy = _sweep(work)
        if unfinished:
            if busy:
                raise BusyError("a process is proving: its finished shards would be removed too")
            for folder in work.iterdir():
                if re.fullmatch("[0-9a-f]{32}", folder.name) and folder.is_dir():
                    freed += _remove(folder)
    return freed


def clean_builds() -> int:
    """Removes what building guests left in the cache; returns how many bytes that freed."""
    folders = [folder for folder in (cache_root() / "guest").glob("*") if re.fullmatch("(sysroot|target)-[0-9a-f]+", folder.name)]
    return sum(_remove(folder) for folder in folders)


@contextmanager
def snapshot_folder(work: Path, name: str) -> Iterator[Path]:
    """
    An empty folder that only this process uses, locked while it does and removed after. A folder whose lock is free was left by a killed process: those
    go first. Raises BusyError if another process has the folder of this name.
    """
    folder = work / f"running-{name}"
    with ExitStack() as held:
        with _lock(work / ".lock", wait=True):
            _sweep(work)
            if folder.exists():
                raise BusyError("another process is proving this very run; wait for it, or stop it")
            folder.mkdir(mode=0o700)
            held.enter_context(_lock(folder / "lock", wait=False))
        try:
            yield folder
        finally:
            with _lock(work / ".lock", wait=True):
                shutil.rmtree(folder, ignore_errors=True)


def _sweep(work: Path) -> tuple[int, int]:
    """Removes snapshot folders that nobody holds. Returns the bytes freed and how many folders are held."""
    freed = busy = 0
    for folder in work.glob("running-*"):
        try:
            with _lock(folder / "lock", wait=False):
                freed += _remove(folder)
        except BlockingIOError:
            busy += 1
        except OSError:
            continue
    return freed, busy


@contextmanager
def _lock(path: Path, *, wait: bool) -> Iterator[None]:
    """Holds a lock file; the system lets go of it when the process ends, however it ends. Raises BlockingIOError if it is held and not waited for."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _remove(folder: Path) -> int:
    byte_count = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(folder)
    return byte_count


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
