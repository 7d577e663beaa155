"""The process that compiles beside the prover: it ends with the body, is started once, and leaves its marker only when all is compiled."""

import subprocess
from pathlib import Path

import pytest

from zkvm import warm_up


class Recorded:
    """A process that never ends by itself."""

    started = 0
    ended = 0

    def __init__(self, *_: object, **__: object) -> None:
        Recorded.started += 1

    def terminate(self) -> None:
        Recorded.ended += 1

    def wait(self) -> None:
        pass


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[Recorded]:
    monkeypatch.setattr(subprocess, "Popen", Recorded)
    monkeypatch.setenv("BLOCKPROOF_CACHE", str(tmp_path))
    Recorded.started = Recorded.ended = 0
    return Recorded


def test_one_process_for_nested_bodies_and_it_ends_with_the_outer_one(recorded: type[Recorded]) -> None:
    with warm_up.compiling_fillers_beside():
        with warm_up.compiling_fillers_beside():
            pass
        assert (recorded.started, recorded.ended) == (1, 0)
    assert (recorded.started, recorded.ended) == (1, 1)


def test_it_ends_when_the_body_fails(recorded: type[Recorded]) -> None:
    with pytest.raises(KeyError), warm_up.compiling_fillers_beside():
        raise KeyError
    assert (recorded.started, recorded.ended) == (1, 1)


def test_nothing_is_started_once_the_marker_is_there(recorded: type[Recorded], monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(warm_up, "compile_fillers", lambda: compiled.append(True))
    assert warm_up.main() == 0
    assert compiled
    with warm_up.compiling_fillers_beside():
        pass
    assert recorded.started == 0


def test_every_filler_takes_no_events() -> None:
    warm_up.compile_fillers()
