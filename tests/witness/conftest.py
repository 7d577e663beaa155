"""Where the tests find data from outside the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real blocks and fixtures; skips where there is none."""
    folder = Path(os.environ.get("BLOCKPROOF_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "index.json").is_file():
        pytest.skip("no data folder: set BLOCKPROOF_DATA")
    return folder
