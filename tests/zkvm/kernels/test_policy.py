"""The cache of compiled kernels: found again by the next process, and not after an edit anywhere it depends on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from zkvm.kernels import policy

ROOT = Path(__file__).parents[3]

CALLEE = """
from zkvm.kernels.policy import kernel
@kernel
def inner(x):
    return x + 1
"""
CALLER = """
from zkvm.kernels.policy import kernel
from {package}.callee import inner
@kernel
def outer(x):
    return 10 * inner(x)
"""
SCRIPT = """
from {package} import caller
print(caller.outer(1), sum(caller.outer.stats.cache_hits.values()))
"""


@pytest.mark.skipif(not policy.HAVE_NUMBA, reason="numba is absent")
def test_cache_is_used_again_and_dropped_after_an_edit_of_a_callee(tmp_path: Path) -> None:
    """Numba alone would answer 20 after the edit: it does not see that another file has changed."""
    # A stand-in for one of the project's packages that the script does not otherwise need.
    package = tmp_path / "source" / "witness"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "callee.py").write_text(CALLEE)
    (package / "caller.py").write_text(CALLER.format(package="witness"))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(tmp_path / "source"), str(ROOT))),
        "BLOCKPROOF_CACHE": str(tmp_path / "cache"),
    }

    def run() -> str:
        command = [sys.executable, "-c", SCRIPT.format(package="witness")]
        done = subprocess.run(command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    assert run() == "20 0"
    assert run() == "20 1"
    (package / "callee.py").write_text(CALLEE.replace("x + 1", "x + 2"))
    assert run() == "30 0"


def test_digest_covers_what_a_file_imports() -> None:
    closure = policy._import_closure(ROOT / "zkvm" / "machine" / "fast.py")
    names = {str(path.relative_to(ROOT)) for path in closure}
    assert {"zkvm/machine/fast.py", "zkvm/machine/events.py", "zkvm/isa/instructions.py"} <= names
    # Imported by way of another module, and the module itself that spells the options.
    assert {"zkvm/machine/fast_precompiles.py", "zkvm/kernels/policy.py"} <= names


def test_clean_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOCKPROOF_CACHE", str(tmp_path))
    assert policy.cache_root() == tmp_path
    assert policy.clean_cache() == 0
    (tmp_path / "kernels" / "some").mkdir(parents=True)
    (tmp_path / "kernels" / "some" / "file").write_bytes(bytes(100))
    (tmp_path / "other").write_bytes(b"stays")
    assert policy.clean_cache() == 100
    assert not (tmp_path / "kernels").exists() and (tmp_path / "other").exists()
