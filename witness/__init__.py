"""
witness: what the block guest is given, and an oracle for what it says.

load_input reads any form of input; import_witness normalises an answer of debug_executionWitness; encode_input and
decode_input are the canonical bytes; validate is the oracle; record_witness makes a witness from a whole state.
The oracle loads EELS and is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from witness.chains import ChainConfig, fork_at, load_chain
from witness.errors import WitnessError
from witness.importers import LoadedInput, build_input, import_input, import_witness, load_block_file, load_input
from witness.schema import (
    ExecutionWitness,
    Fork,
    StatelessInput,
    StatelessValidationResult,
    decode_input,
    decode_result,
    encode_input,
    encode_result,
    new_payload_request_root,
)

if TYPE_CHECKING:
    from witness.devnet import make_devnet_input
    from witness.record import record_witness
    from witness.validate import Verdict, validate

_LAZY = {
    "Verdict": "witness.validate",
    "validate": "witness.validate",
    "record_witness": "witness.record",
    "make_devnet_input": "witness.devnet",
}


def __getattr__(name: str) -> object:
    if name in _LAZY:
        import importlib

        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'witness' has no attribute {name!r}")


__all__ = [
    "ChainConfig",
    "ExecutionWitness",
    "Fork",
    "LoadedInput",
    "StatelessInput",
    "StatelessValidationResult",
    "Verdict",
    "WitnessError",
    "build_input",
    "decode_input",
    "decode_result",
    "encode_input",
    "encode_result",
    "fork_at",
    "import_input",
    "import_witness",
    "load_block_file",
    "load_chain",
    "load_input",
    "make_devnet_input",
    "new_payload_request_root",
    "record_witness",
    "validate",
]
