"""Stopped by Ctrl-C, by a polite kill, by kill -9: what is done is kept, the same command goes on, the proof is the same."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from blockproof.guests import load_guest
from zkvm.prover import ShardShape, prove_program
from zkvm.work_files import BusyError, clear_output, snapshot_folder, work_root

N = 2400
"""fibonacci(N) is three shards of 2^12 rows, and one of memory."""

INPUT = N.to_bytes(8, "little")
ARGUMENTS = ["vm", "prove", "fibonacci", "-i", "0x" + INPUT.hex(), "--shard-rows", "12"]


def records(cache: Path) -> list[str]:
    """Finished shards on disk."""
    return sorted(path.name.split("-")[1] for path in (cache / "work").glob("[0-9a-f]*/shard-*"))


def until(process: subprocess.Popen, cache: Path, count: int) -> None:
    """Waits until so many shards are finished; the process must still be at work."""
    while len(records(cache)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def test_stopped_and_gone_on_with(command: list[str], environment_of: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "out"
    folder.mkdir()
    output = folder / "run.proof"
    environment = environment_of(cache)

    def start() -> subprocess.Popen:
        arguments = [*command, *ARGUMENTS, "-o", str(output)]
        return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)

    # Ctrl-C: a short message, exit code 130, finished shards kept, nothing else left.
    process = start()
    until(process, cache, 1)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, (out, err)
    assert out == "" and "Traceback" not in err
    assert err.splitlines()[-2:] == [
        "blockproof: stopped; finished shards are kept",
        "  mend: the same command goes on from there; `blockproof cache clean --all` forgets them",
    ]
    assert list(folder.iterdir()) == []
    assert len(list((cache / "work").iterdir())) == 2, "the lock and the records of one run"
    done = len(records(cache))

    # kill -9 later on: what is left is taken away by the next start, and shards that are done are not proven again.
    process = start()
    until(process, cache, done + 1)
    process.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert out == "" and "fill, shard 1 of 4" not in err
    left = [path.name for path in folder.iterdir()]
    assert len(left) == 1 and left[0].startswith(".run.proof.") and left[0].endswith(".part")
    assert len(list((cache / "work").glob("running-*"))) == 1
    done = len(records(cache))
    assert 2 <= done < 4

    # The rest, in this process, to see every stage.
    monkeypatch.setenv("BLOCKPROOF_CACHE", str(cache))
    stages: list[tuple[str, int, int]] = []
    program, shape = load_guest("fibonacci"), ShardShape(12)
    proven = prove_program(program, INPUT, output, shape=shape, progress=lambda *stage: stages.append(stage))
    assert proven.shard_counts == (3, 1)
    assert [shard for stage, shard, _ in stages if stage == "fill"] == list(range(done + 1, 5))
    assert [path.name for path in folder.iterdir()] == ["run.proof"]
    assert [path.name for path in (cache / "work").iterdir()] == [".lock"]

    # As if it had never been stopped.
    whole = tmp_path / "whole.proof"
    prove_program(program, INPUT, whole, shape=shape, resume=False)
    assert whole.read_bytes() == output.read_bytes()


def test_a_polite_kill(command: list[str], environment_of: Callable, tmp_path: Path) -> None:
    """SIGTERM, as a service manager or a shutdown sends it, ends like Ctrl-C; with --json in one object."""
    cache, output = tmp_path / "cache", tmp_path / "run.proof"
    arguments = [*command, *ARGUMENTS, "-o", str(output), "--json", "--quiet"]
    process = subprocess.Popen(arguments, env=environment_of(cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list((cache / "work").glob("running-*/shard-*")) and not records(cache):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.terminate()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130 and err == ""
    assert out.startswith('{"ok": false, "error": "stopped; ') and out.endswith('"kind": "StoppedError"}\n')
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert not list((cache / "work").glob("running-*"))


def test_one_process_at_a_time_proves_one_run(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOCKPROOF_CACHE", str(tmp_path))
    work = work_root()
    with snapshot_folder(work, "a" * 32) as folder:
        assert folder.is_dir() and folder.stat().st_mode & 0o77 == 0, "private inputs lie there"
        with pytest.raises(BusyError, match="proving this very run"), snapshot_folder(work, "a" * 32):
            pass
        with snapshot_folder(work, "b" * 32) as other:
            assert other != folder
        # `cache clean` leaves a running prover alone.
        (work / ("c" * 32)).mkdir()
        assert cli("cache", "clean", "--json").json["freed"]["unfinished work"] == 0
        answer = cli("cache", "clean", "--all")
        assert answer.code == 2 and "a process is proving" in answer.err
        assert folder.is_dir() and (work / ("c" * 32)).is_dir()
    assert not folder.exists()


def test_leftovers_of_killed_processes(tmp_path: Path) -> None:
    """Only this output's, and only those of processes that are gone."""
    ours, theirs = ".p.999999999.part", [f".p.{os.getpid()}.part", ".q.999999999.part", ".p.x.part", ".p.999999999.partial"]
    for name in [ours, ".p.999999999.core", "..p.999999999.core.999999999.part", *theirs]:
        (tmp_path / name).touch()
    clear_output(tmp_path / "p")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(theirs)


def test_an_unwritable_cache(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BLOCKPROOF_CACHE", str(tmp_path / "file"))
    answer = cli("vm", "prove", "assembly", "-o", tmp_path / "p", "--quiet")
    assert answer.code == 2 and "BLOCKPROOF_CACHE" in answer.err and not (tmp_path / "p").exists()
