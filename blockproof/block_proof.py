"""
Block proofs: the proof of the block guest's run, with the request that its public output is about.

Layout, integers little-endian: magic "BLKBLOCK" | version u32 | request length u32 | request | core proof (zkvm/protocol/proof.py).
The request is a schema id (2 bytes, big-endian) and the SSZ of the block's NewPayloadRequest or LegacyBlock. It is trusted for nothing: its hash_tree_root must be the
root that is proven, and then block number and hash are read from it.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from blockproof.errors import ProofRefusedError, RefusedError, UsageError
from blockproof.guests import BLOCK_GUEST, load_guest
from blockproof.pipeline import BlockVerdict, execute, load_block
from blockproof.program_ids import format_id, shipped_ids
from witness.block import request_to_block
from witness.chains import KNOWN_BY_ID, ChainConfig
from witness.errors import WitnessError
from witness.importers import LoadedInput
from witness.schema import Fork, decode_result, new_payload_request_root, request_type, split_schema_id
from zkvm.kernels.reference.poseidon2 import Digest
from zkvm.protocol.errors import Refusal
from zkvm.protocol.proof import MAGIC as CORE_MAGIC
from zkvm.prover import DEFAULT_MEMORY, Progress, ShardShape, prove_program, verify_program
from zkvm.work_files import clear_output

MAGIC: Final = b"BLKBLOCK"
VERSION: Final = 1
MAXIMUM_REQUEST_BYTES: Final = 32 << 20

UNSAID: Final = (
    "that the parent block is canonical, or final: it is the one that the block's own parent hash names",
    "that the block is the only valid one with this number",
    "anything about who made the proof, or when",
    "that no fork was active which this version's schedules do not know",
)
"""What a block proof does not say, for every fork."""

UNSAID_RULES: Final = "that {} is the right fork: no schedule is known for chain id {}, so that is for whoever verifies to say"

UNSAID_BEFORE_PARIS: Final = "that the proof of work is valid: the seal is the one check that is not made"


@dataclass(frozen=True)
class BlockProof:
    """An accepted block proof."""

    chain_id: int
    chain: str | None
    """The name of a known chain."""
    fork: Fork
    schema_id: int
    number: int
    block_hash: bytes
    request_root: bytes
    is_valid: bool
    """The guest's flag. False is only ever seen where the caller allowed it."""
    bits: float
    program_id: Digest
    shard_counts: tuple[int, ...]

    @property
    def unsaid(self) -> tuple[str, ...]:
        """What the proof does not say."""
        if not self.is_valid:
            return ("anything about the block: only that this very input did not validate",)
        rules = () if self.chain else (UNSAID_RULES.format(self.fork.label, self.chain_id),)
        return rules + UNSAID + ((UNSAID_BEFORE_PARIS,) if self.fork < Fork.PARIS else ())


def prove(
    block_input: str | Path | LoadedInput,
    output: str | Path,
    *,
    chain: ChainConfig | None = None,
    allow_invalid: bool = False,
    memory_bytes: int = DEFAULT_MEMORY,
    shape: ShardShape | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> BlockVerdict:
    """
    Executes a block and proves the guest's verdict; writes the proof to `output`, which appears only when complete.

    allow_invalid: also prove flag 0, which says only that this input did not validate. memory_bytes, or shape: how large shards may be.
    Raises RefusedError for flag 0 otherwise, UsageError and WitnessError for inputs, zkvm.machine.errors and zkvm.trace.NotProvableError.
    """
    block = block_input if isinstance(block_input, LoadedInput) else load_block(block_input, chain)
    path = Path(output)
    clear_output(path)
    verdict = execute(block)
    if not verdict.is_valid and not allow_invalid:
        raise RefusedError(f"the input does not validate: {verdict.reason}", "--allow-invalid proves that, and nothing more")
    if not verdict.decodable:
        raise RefusedError("the guest cannot decode the input: such a proof is about no block")
    request = block.stateless_input.request.encode_bytes()
    prefix = block.stateless_input.schema_id.to_bytes(2, "big") + request
    core = path.with_name(f".{path.name}.{os.getpid()}.core")
    try:
        prove_program(load_guest(BLOCK_GUEST), block.encoded, core, memory_bytes=memory_bytes, shape=shape, threads=threads, progress=progress)
        _join(path, prefix, core)
    finally:
        core.unlink(missing_ok=True)
    return verdict


def verify(
    proof: str | Path,
    *,
    expect_block_hash: bytes | None = None,
    expect_root: bytes | None = None,
    program_id: Digest | None = None,
    allow_invalid: bool = False,
    allow_unbound: bool = False,
    required_bits: float = 128,
) -> BlockProof:
    """
    Verifies a block proof.

    program_id: of the guest; None accepts the shipped block guest only. allow_unbound: also accept a known chain's id under rules that its
    schedule did not choose, as test suites have it; what is said is then about no chain. Raises ProofRefusedError with the reason for everything but an accepted
    proof, UsageError for a file that cannot be read.
    """
    ids = {shipped_ids().get(BLOCK_GUEST)} if program_id is None else {program_id}
    with _open(Path(proof)) as file:
        schema_id, request = _read_request(file)
        answer = verify_program(file, required_bits=required_bits)
    if isinstance(answer, Refusal):
        raise ProofRefusedError(str(answer))
    if answer.program_id not in ids:
        raise ProofRefusedError(
            f"other program: the proof is about program {format_id(answer.program_id)}, not "
            + ("the shipped block guest" if program_id is None else format_id(program_id)),
            "--program-id accepts another guest's proofs" if program_id is None else "",
        )
    if len(answer.output) != 43:
        raise ProofRefusedError(f"the program's output has {len(answer.output)} bytes; a block guest's has 43")
    try:
        result = decode_result(answer.output)
    except WitnessError as error:
        raise ProofRefusedError(f"the program's output is no block guest's: {error}") from error
    if not any(answer.output):
        raise ProofRefusedError("the proof says that its input could not be decoded; it is about no block")
    if result.schema_id != schema_id:
        raise ProofRefusedError(f"the request names schema id {schema_id:#06x}, the proof {result.schema_id:#06x}")
    fork, kind_of_rules = _fork_of(schema_id)
    block_hash, number, root = _describe(request, fork, check_hash=result.successful_validation)
    if root != result.new_payload_request_root:
        raise ProofRefusedError(f"the request has root 0x{root.hex()}, the proof is about 0x{result.new_payload_request_root.hex()}")
    if expect_root is not None and root != expect_root:
        raise ProofRefusedError(f"the proof is about root 0x{root.hex()}, not 0x{expect_root.hex()}")
    if expect_block_hash is not None and block_hash != expect_block_hash:
        raise ProofRefusedError(f"the proof is about block 0x{block_hash.hex()}, not 0x{expect_block_hash.hex()}")
    if not result.successful_validation and not allow_invalid:
        raise ProofRefusedError("the proof says that its input did not validate", "--allow-invalid accepts that, and it says nothing more")
    known = KNOWN_BY_ID.get(result.chain_id)
    if known is not None and kind_of_rules != BOUND_REVISION:
        if not allow_unbound:
            raise ProofRefusedError(f"schema id {schema_id:#06x} does not bind the fork to the schedule of {known.name}")
        known = None
    return BlockProof(
        result.chain_id, known.name if known else None, fork, schema_id, number, block_hash, root,
        result.successful_validation, answer.bits, answer.program_id, answer.shard_counts,
    )  # fmt: skip


BOUND_REVISION: Final = 0x01
"""The revision under which a known chain's schedule chooses the fork (docs/specs/stateless-input.md)."""


@contextmanager
def open_core(path: Path) -> Iterator[BinaryIO]:
    """The core proof in a file, of a block or of any program: open at its first byte. Raises UsageError, ProofRefusedError."""
    with _open(path) as file:
        is_block = file.read(len(MAGIC)) == MAGIC
        file.seek(0)
        if is_block:
            _read_request(file)
        yield file


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def _fork_of(schema_id: int) -> tuple[Fork, int]:
    try:
        return split_schema_id(schema_id)
    except WitnessError as error:
        raise ProofRefusedError(str(error)) from error


def _describe(request: bytes, fork: Fork, check_hash: bool) -> tuple[bytes, int, bytes]:
    """Block hash, number and root of a request; check_hash: the hash it states must be the computed one, as it is in every valid block. Raises ProofRefusedError."""
    try:
        decoded: Any = request_type(fork).decode_bytes(request)
    except Exception as error:
        # The SSZ library raises bare Exception, AssertionError and others on bad bytes.
        raise ProofRefusedError(f"the request does not decode: {str(error)[:200] or type(error).__name__}") from error
    try:
        block = request_to_block(decoded, fork, check_hash=check_hash)
        return block.header.hash, block.header.number, new_payload_request_root(decoded)
    except (WitnessError, ValueError, IndexError, OverflowError) as error:
        raise ProofRefusedError(f"the request does not decode: {error}") from error


def _join(path: Path, request: bytes, core: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file, core.open("rb") as source:
            file.write(MAGIC + struct.pack("<II", VERSION, len(request)) + request)
            while chunk := source.read(1 << 20):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_request(file: BinaryIO) -> tuple[int, bytes]:
    start = file.read(len(MAGIC) + 8)
    if len(start) != len(MAGIC) + 8 or not start.startswith(MAGIC):
        is_core = start.startswith(CORE_MAGIC)
        raise ProofRefusedError("malformed: not a block proof", "a proof made by `vm prove` is verified by `vm verify`" if is_core else "")
    version, length = struct.unpack("<II", start[len(MAGIC) :])
    if version != VERSION:
        raise ProofRefusedError(f"malformed: block proof version {version}, not {VERSION}")
    if not 2 <= length <= MAXIMUM_REQUEST_BYTES:
        raise ProofRefusedError(f"malformed: a request of {length} bytes")
    request = file.read(length)
    if len(request) != length:
        raise ProofRefusedError("malformed: the file ends early")
    return int.from_bytes(request[:2], "big"), request[2:]


__all__ = ["BlockProof", "open_core", "prove", "verify"]
