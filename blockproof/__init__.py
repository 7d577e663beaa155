"""
blockproof: stateless Ethereum blocks, executed and proven in a RISC-V zkVM.

    from blockproof import execute
    verdict = execute("block.json.gz")
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

try:
    __version__ = version("blockproof")
except PackageNotFoundError:  # a source tree that nobody installed
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from blockproof.pipeline import BlockVerdict, execute, run

# The pipeline imports numba and EELS; whoever only asks for the version does not wait for them.
_LAZY = ("BlockVerdict", "execute", "run")

__all__ = ["BlockVerdict", "__version__", "execute", "run"]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        from blockproof import pipeline

        return getattr(pipeline, name)
    raise AttributeError(f"module 'blockproof' has no attribute {name!r}")
