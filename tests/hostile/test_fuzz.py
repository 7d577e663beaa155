"""A minute of the fuzzer, split by target; the same cases in every run."""

from __future__ import annotations

import pytest

from tests.hostile.fuzz import TARGETS, Outcome, main, run_round

ROUNDS = {"schema": 16, "rlp": 300, "import": 60, "json": 200, "rpc": 4, "guest": 3}


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_no_finding(name: str) -> None:
    """Nothing is found, and the cases are neither all refused nor all accepted."""
    total = Outcome()
    for number in range(ROUNDS[name]):
        total.add(run_round(name, 1, number))
    assert total.findings == []
    assert len(total.counts) > 1


def test_rounds_repeat() -> None:
    """A finding's round, target and seed are enough to make it again."""
    assert run_round("rlp", 5, 3) == run_round("rlp", 5, 3)
    assert run_round("rlp", 5, 3) != run_round("rlp", 6, 3)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "rlp", "--round", "0", "--seconds", "60"]) == 0
    assert "findings: 0" in capsys.readouterr().out
