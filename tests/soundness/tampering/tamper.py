"""Takes proofs apart by field, changes one element, and puts them together again."""

import io
import struct
from collections.abc import Callable

import numpy as np
from toy_machine import honest_proof, toy

from zkvm.field.koala_bear import PRIME
from zkvm.protocol.checks import Checks
from zkvm.protocol.parameters import VERSION
from zkvm.protocol.plan import ShardPlan
from zkvm.protocol.proof import MAGIC, ProofReader, ShardProof, encode_shard
from zkvm.protocol.verify import ShardPlans

HEAD_START = len(MAGIC) + 8


def head_fields(machine) -> list[tuple[str, int]]:
    """(field, words) of the head in order, as proof.py lays it out; the headers of shards by shard."""
    fields = [
        ("log_blowup", 1), ("query_count", 1), ("query_grinding_bits", 1), ("log_fold", 1), ("logup_bits", 1),
        ("machine digest", 9),
        ("key root", 9), ("key heights", len(machine.program_tables)), ("key entry", 1),
        ("output length", 1), ("output", 64), ("last shards", machine.output_words),
        ("shard counts", len(machine.kinds)),
        ("global nonce", 1),
    ]  # fmt: skip
    return fields


class Taken:
    """A proof file in pieces."""

    def __init__(self, proof: bytes) -> None:
        self.machine = toy().machine
        reader = ProofReader(io.BytesIO(proof), self.machine, Checks())
        self.head = reader.head
        self.plans: list[ShardPlan] = list(ShardPlans(self.machine, self.head))
        self.shards = [dict(shard.fields) for shard in reader.shards(iter(self.plans))]
        (length,) = struct.unpack("<I", proof[len(MAGIC) + 4 : HEAD_START])
        self.words = np.frombuffer(proof[HEAD_START : HEAD_START + length], dtype="<u4").copy()

    def head_positions(self) -> dict[str, tuple[int, int]]:
        """Field of the head -> (first word, words). Headers of shards are called "shard 2 publics"."""
        positions, at = {}, 0
        for name, count in head_fields(self.machine):
            positions[name] = (at, count)
            at += count
        for header in self.head.headers:
            parts = (
                ("kind", 1),
                ("heights", len(header.log_heights)),
                ("publics", len(header.publics)),
                ("boundary root", 9),
            )
            for name, count in parts:
                positions[f"shard {header.index} {name}"] = (at, count)
                at += count
        assert at == len(self.words)
        return positions

    def bytes(self) -> bytes:
        """The file again."""
        encoded = self.words.astype("<u4").tobytes()
        result = MAGIC + struct.pack("<II", VERSION, len(encoded)) + encoded
        for plan, fields in zip(self.plans, self.shards):
            body = encode_shard(plan, ShardProof(fields))
            result += struct.pack("<I", len(body)) + body
        return result


def with_head_word(name: str, offset: int, change: Callable[[int], int] = lambda word: word + 1) -> bytes:
    """The honest proof with one word of the head changed. A negative offset counts from the field's end."""
    taken = Taken(honest_proof())
    first, count = taken.head_positions()[name]
    at = first + offset % count
    taken.words[at] = change(int(taken.words[at]))
    return taken.bytes()


def with_shard_element(shard: int, name: str, offset: int) -> bytes:
    """The honest proof with one element of one field of a shard's proof changed."""
    taken = Taken(honest_proof())
    field = taken.shards[shard - 1][name].copy()
    flat = field.reshape(-1)
    flat[offset] = (int(flat[offset]) + 1) % PRIME
    taken.shards[shard - 1][name] = field
    return taken.bytes()
