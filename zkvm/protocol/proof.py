"""
The proof: its types and its one encoding.

Layout of a proof file, all integers little-endian
--------------------------------------------------
    magic "BLKPROOF" | version u32 | head length u32 | head | for each shard: length u32, body

    head = elements u32:
        parameters (5) | machine digest (9) | key: root (9), heights of the program's tables, entry
        | output length, output (64 words of 4 bytes) | last shards | shard counts | global nonce
        | for each shard: kind, heights (one per chip), publics, boundary root (9)
    body = elements u32: the fields of ShardPlan.schema, in order, with no lengths: they follow from the head

Every element is below p (bytes of the output excepted), every byte is used, and there is one encoding of each proof.
Reading refuses anything else, in time and memory bounded by the limits below: a head is read only if it is short, a
body only if its length is what its shape says. A reader holds one shard at a time.
"""

import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np

from zkvm.field.koala_bear import PRIME
from zkvm.kernels.reference.poseidon2 import DIGEST_LENGTH
from zkvm.protocol.checks import Checks
from zkvm.protocol.errors import ParametersError, Reason, RefusalError
from zkvm.protocol.machine import (
    MAXIMUM_OUTPUT_LENGTH,
    MAXIMUM_SHARD_COUNT,
    Machine,
    ProgramKey,
    ShardHeader,
    Statement,
)
from zkvm.protocol.parameters import VERSION, Parameters
from zkvm.protocol.plan import ShardPlan

MAGIC = b"BLKPROOF"
PARAMETER_COUNT = len(Parameters().elements())
OUTPUT_WORD_COUNT = MAXIMUM_OUTPUT_LENGTH // 4
MAXIMUM_BODY_BYTES: int = 2**26
"""64 MiB: several times a shard of the largest shape."""
MAXIMUM_HEAD_BYTES: int = 2**25


@dataclass(frozen=True)
class Head:
    """What the proof says before any shard's proof."""

    parameters: Parameters
    machine_digest: tuple[int, ...]
    key: ProgramKey
    statement: Statement
    global_nonce: int
    headers: tuple[ShardHeader, ...]


@dataclass(frozen=True)
class ShardProof:
    """The fields of ShardPlan.schema: canonical uint32 arrays by name."""

    fields: Mapping[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.fields[name]

    def digest(self, name: str) -> tuple[int, ...]:
        """A field that is one digest."""
        return tuple(self.fields[name].tolist())

    def number(self, name: str) -> int:
        """A field that is one element."""
        return int(self.fields[name][0])


def malformed(detail: str) -> RefusalError:
    return RefusalError(Reason.MALFORMED, f"proof is well formed: {detail}")


def encode_head(machine: Machine, head: Head) -> bytes:
    """The head's bytes. head: consistent with the machine."""
    output = head.statement.output.ljust(MAXIMUM_OUTPUT_LENGTH, b"\0")
    elements = [
        *head.parameters.elements(),
        *head.machine_digest,
        *head.key.elements(),
        len(head.statement.output),
        *struct.unpack(f"<{OUTPUT_WORD_COUNT}I", output),
        *head.statement.last_shards,
        *head.statement.shard_counts,
        head.global_nonce,
    ]
    for header in head.headers:
        elements += [header.kind, *header.log_heights, *header.publics, *header.boundary_root]
    return np.array(elements, dtype="<u4").tobytes()


def decode_head(machine: Machine, encoded: bytes, checks: Checks) -> Head:
    """The inverse of `encode_head`. Raises RefusalError: malformed, or one of the checks that reading needs."""
    if len(encoded) % 4:
        raise malformed("the head is not a whole number of elements")
    words = np.frombuffer(encoded, dtype="<u4")
    position = 0

    def take(count: int, is_field: bool = True) -> list[int]:
        nonlocal position
        if position + count > len(words):
            raise malformed("the head ends early")
        taken = words[position : position + count]
        if is_field and count and int(taken.max()) >= PRIME:
            raise malformed("an element is not below p")
        position += count
        return [int(word) for word in taken]

    try:
        parameters = Parameters.from_elements(take(PARAMETER_COUNT))
    except ParametersError as error:
        raise malformed(f"parameters: {error}") from None
    machine_digest = tuple(take(DIGEST_LENGTH))
    # Before the rest, whose lengths depend on the machine.
    checks.equal("machine digest", machine_digest, machine.digest, "another machine, or another version of it")
    key = ProgramKey(tuple(take(DIGEST_LENGTH)), tuple(take(len(machine.program_tables))), take(1)[0])
    if any(not 0 < height <= 24 for height in key.log_heights):
        raise malformed("the height of a program table")
    (output_length,) = take(1)
    padded = struct.pack(f"<{OUTPUT_WORD_COUNT}I", *take(OUTPUT_WORD_COUNT, is_field=False))
    checks.holds("output length", output_length <= MAXIMUM_OUTPUT_LENGTH, f"{output_length} bytes")
    checks.holds("output beyond its length", not any(padded[output_length:]), "a byte is not zero")
    statement = Statement(padded[:output_length], tuple(take(machine.output_words)), tuple(take(len(machine.kinds))))
    (global_nonce,) = take(1)
    count = sum(statement.shard_counts)
    checks.holds("shard count", 0 < count <= MAXIMUM_SHARD_COUNT, f"{count} shards")

    headers = []
    for index in range(1, count + 1):
        (kind,) = take(1)
        checks.holds("kind exists", kind < len(machine.kinds), f"shard {index} is of kind {kind}")
        log_heights = tuple(take(len(machine.chips)))
        publics = tuple(take(len(machine.kinds[kind].publics)))
        headers.append(ShardHeader(index, kind, log_heights, publics, tuple(take(DIGEST_LENGTH))))
    if position != len(words):
        raise malformed("the head is longer than its contents")
    return Head(parameters, machine_digest, key, statement, global_nonce, tuple(headers))


def encode_shard(plan: ShardPlan, proof: ShardProof) -> bytes:
    """The body's bytes. Raises ValueError if a field has another shape than the plan's: a mistake of the prover."""
    parts = []
    for name, shape in plan.schema:
        field = np.asarray(proof[name])
        if field.shape != shape:
            raise ValueError(f"field {name!r} has shape {field.shape}, not {shape}")
        parts.append(field.astype("<u4").tobytes())
    return b"".join(parts)


def decode_shard(plan: ShardPlan, encoded: bytes) -> ShardProof:
    """The inverse of `encode_shard`. Raises RefusalError(MALFORMED)."""
    if len(encoded) != 4 * plan.element_count:
        raise malformed(f"a shard's proof has {len(encoded)} bytes, not {4 * plan.element_count}")
    words = np.frombuffer(encoded, dtype="<u4")
    if words.size and int(words.max()) >= PRIME:
        raise malformed("an element is not below p")
    fields = {}
    position = 0
    for name, shape in plan.schema:
        fields[name] = words[position : position + prod(shape)].reshape(shape)
        position += prod(shape)
    return ShardProof(fields)


class ProofWriter:
    """Writes a proof file shard by shard; the file appears under its name only when complete."""

    def __init__(self, path: Path, machine: Machine, head: Head) -> None:
        self._path = path
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._file = self._temporary.open("wb")
        encoded = encode_head(machine, head)
        self._file.write(MAGIC + struct.pack("<II", VERSION, len(encoded)) + encoded)

    def add(self, body: bytes) -> None:
        """Appends the next shard's body."""
        self._file.write(struct.pack("<I", len(body)) + body)

    def close(self) -> None:
        """Makes the file visible."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        os.replace(self._temporary, self._path)

    def discard(self) -> None:
        """Removes what was written."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


class ProofReader:
    """
    Reads a proof file in order: the head at once, then one shard at a time.

    Raises RefusalError(MALFORMED), and MACHINE, SHAPE or OUTPUT for the checks that reading itself needs.
    """

    def __init__(self, file: BinaryIO, machine: Machine, checks: Checks) -> None:
        self._file = file
        start = self._read(len(MAGIC) + 8)
        version, length = struct.unpack("<II", start[len(MAGIC) :])
        if start[: len(MAGIC)] != MAGIC:
            raise malformed("not a proof file")
        if version != VERSION:
            raise malformed(f"version {version}, not {VERSION}")
        if length > MAXIMUM_HEAD_BYTES:
            raise malformed(f"a head of {length} bytes")
        self.head = decode_head(machine, self._read(length), checks)

    def check_size(self, plans: Iterable[ShardPlan]) -> None:
        """Refuses a file that cannot hold exactly these shards, before anything is computed. A stream without a size
        passes."""
        if self._file.seekable():
            position = self._file.tell()
            present = self._file.seek(0, os.SEEK_END) - position
            self._file.seek(position)
            needed = sum(4 + 4 * plan.element_count for plan in plans)
            if present != needed:
                raise malformed(f"{present} bytes after the head; its shards need {needed}")

    def shards(self, plans: Iterator[ShardPlan]) -> Iterator[ShardProof]:
        """The shards' proofs, one for each plan; after the last one nothing may follow."""
        for plan in plans:
            (length,) = struct.unpack("<I", self._read(4))
            if length != 4 * plan.element_count or length > MAXIMUM_BODY_BYTES:
                raise malformed(f"a shard's proof of {length} bytes, not {4 * plan.element_count}")
            yield decode_shard(plan, self._read(length))
        if self._file.read(1):
            raise malformed("bytes after the last shard")

    def _read(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise malformed("the file ends early")
        return data
