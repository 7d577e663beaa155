"""
What a fixture run says: tables for a person, JSON and JUnit XML for programs, and the journal that lets a run go on.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TextIO
from xml.etree import ElementTree

from blockproof.errors import UsageError
from blockproof.fixture_suite import Outcome
from zkvm.work_files import BusyError

SLOWEST = 10

Row = tuple[str, int, int, int, int, int, float]
"""Label, tests, passed, failed, skipped, steps, seconds."""


def rows_by(outcomes: Iterable[Outcome], attribute: str) -> list[Row]:
    """One row for each value of an attribute (network, folder), in alphabetic order."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault(getattr(outcome, attribute), []).append(outcome)
    return [_row(label, groups[label]) for label in sorted(groups)]


def _row(label: str, group: Sequence[Outcome]) -> Row:
    failed = sum(bool(outcome.failures) for outcome in group)
    skipped = sum(bool(outcome.skipped) for outcome in group)
    seconds = sum(outcome.seconds for outcome in group)
    return label, len(group), len(group) - failed - skipped, failed, skipped, sum(outcome.steps for outcome in group), seconds


def slowest(outcomes: Iterable[Outcome], most: int = SLOWEST) -> list[Outcome]:
    """Those with most steps, most first: steps are the same on every machine."""
    return sorted(outcomes, key=lambda outcome: -outcome.steps)[:most]


def as_json(outcomes: Sequence[Outcome], wall_seconds: float, guest: str) -> dict[str, Any]:
    """The whole run as one object. guest: SHA-256 of the ELF, hex."""
    total = _row("all", outcomes)
    return {
        "ok": total[3] == 0,
        "guest_sha256": guest,
        "tests": total[1], "passed": total[2], "failed": total[3], "skipped": total[4],
        "steps": total[5], "worker_seconds": round(total[6], 3), "wall_seconds": round(wall_seconds, 3),
        "networks": [_named(row) for row in rows_by(outcomes, "network")],
        "folders": [_named(row) for row in rows_by(outcomes, "folder")],
        "slowest": [outcome.key for outcome in slowest(outcomes)],
        "results": [asdict(outcome) | {"passed": outcome.passed} for outcome in sorted(outcomes, key=lambda o: o.key)],
    }  # fmt: skip


def _named(row: Row) -> dict[str, Any]:
    names = ("name", "tests", "passed", "failed", "skipped", "steps", "seconds")
    return dict(zip(names, row, strict=True))


def as_junit(outcomes: Sequence[Outcome]) -> bytes:
    """JUnit XML: one test suite for each network."""
    root = ElementTree.Element("testsuites")
    for label, tests, _, failed, skipped, _, seconds in rows_by(outcomes, "network"):
        counts = {"name": _printable(label), "tests": str(tests), "failures": str(failed), "skipped": str(skipped), "time": f"{seconds:.3f}"}
        suite = ElementTree.SubElement(root, "testsuite", counts)
        for outcome in sorted((o for o in outcomes if o.network == label), key=lambda o: o.key):
            facts = {"classname": _printable(outcome.folder), "name": _printable(outcome.name), "time": f"{outcome.seconds:.3f}"}
            case = ElementTree.SubElement(suite, "testcase", facts)
            if outcome.failures:
                failure = ElementTree.SubElement(case, "failure", {"message": _printable(outcome.failures[0])})
                failure.text = _printable("\n".join(outcome.failures))
            elif outcome.skipped:
                ElementTree.SubElement(case, "skipped", {"message": _printable(outcome.skipped)})
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _printable(text: str) -> str:
    """Without the control characters that XML cannot hold."""
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)


def write_report(path: Path, outcomes: Sequence[Outcome], wall_seconds: float, guest: str) -> None:
    """JUnit XML where the name ends in .xml, else JSON; the file appears only when complete."""
    contents = as_junit(outcomes) if path.suffix == ".xml" else json.dumps(as_json(outcomes, wall_seconds, guest), indent=1).encode()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(contents)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


class Journal:
    """
    Outcomes as they come, one JSON line each, beside the report: a run that was stopped goes on from there.

    The first line says what was run (suite, options, guest); a journal of anything else is not continued. Removed when the
    report is written.
    """

    def __init__(self, report: Path, what: dict[str, Any]) -> None:
        self.path = report.with_name(report.name + ".journal")
        self.known: dict[str, Outcome] = {}
        self._what = json.dumps(what, sort_keys=True)
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        self._file = self.path.open("a+")
        try:
            # Let go of by the system however this process ends.
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise BusyError(f"another run is writing {self.path}") from None
        self._file.seek(0)
        contents = self._file.read()
        lines = contents.splitlines()
        if lines and lines[0] != self._what:
            self._file.close()
            raise UsageError(f"{self.path} is the journal of another run", "remove it, or name another report")
        for line in lines[1:]:
            # The last line may be cut off: then its test runs again.
            with contextlib.suppress(ValueError, TypeError):
                fields = json.loads(line)
                outcome = Outcome(**{**fields, "failures": tuple(fields["failures"])})
                self.known[outcome.key] = outcome
        if not lines:
            self._write(self._what)
        elif not contents.endswith("\n"):
            self._write("")
        return self

    def add(self, outcome: Outcome) -> None:
        """Keeps an outcome at once."""
        self._write(json.dumps(asdict(outcome)))

    def _write(self, line: str) -> None:
        assert self._file is not None
        self._file.write(line + "\n")
        self._file.flush()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._file is not None
        self._file.close()
        if kind is None:
            self.path.unlink(missing_ok=True)
