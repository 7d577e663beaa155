"""
blockproof: stateless Ethereum blocks, executed and proven in a RISC-V zkVM.

    from blockproof import execute, prove, verify
    verdict = execute("block.json.gz")
    prove("block.json.gz", "block.proof")
    accepted = verify("block.proof", expect_block_hash=verdict.block.block_hash)
"""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

try:
    __version__ = version("blockproof")
except PackageNotFoundError:  # a source tree that nobody installed
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from blockproof.block_proof import BlockProof, prove, verify
    from blockproof.fetching import fetch
    from blockproof.pipeline import BlockVerdict, execute, run

# The pipeline imports numba and EELS; whoever only asks for the version does not wait for them.
_LAZY = {
    "BlockVerdict": "pipeline", "execute": "pipeline", "run": "pipeline",
    "fetch": "fetching",
    "BlockProof": "block_proof", "prove": "block_proof", "verify": "block_proof",
}  # fmt: skip

__all__ = ["BlockProof", "BlockVerdict", "__version__", "execute", "fetch", "prove", "run", "verify"]


def __getattr__(name: str) -> object:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(f"blockproof.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'blockproof' has no attribute {name!r}")
