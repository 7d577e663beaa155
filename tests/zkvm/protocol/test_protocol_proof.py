"""The proof file: one encoding of each proof, and bounded refusal of everything else."""

import io
import struct
import time
import tracemalloc

import numpy as np
import pytest
from toy_machine import PARAMETERS, Batched, honest_proof, toy, verify_bytes

from zkvm.field.koala_bear import PRIME
from zkvm.protocol.checks import Checks
from zkvm.protocol.errors import ParametersError, Reason
from zkvm.protocol.parameters import Parameters
from zkvm.protocol.proof import MAGIC, ProofReader, decode_head, encode_head, encode_shard
from zkvm.protocol.verify import ShardPlans

HEAD_START = len(MAGIC) + 8


def read(proof):
    reader = ProofReader(io.BytesIO(proof), toy().machine, Checks())
    plans = ShardPlans(toy().machine, reader.head)
    return reader.head, list(plans), list(reader.shards(iter(plans)))


def head_length(proof):
    return struct.unpack("<I", proof[len(MAGIC) + 4 : HEAD_START])[0]


def test_reading_and_writing_again_gives_the_same_bytes():
    proof = honest_proof()
    head, plans, shards = read(proof)
    encoded = encode_head(toy().machine, head)
    again = MAGIC + struct.pack("<II", 1, len(encoded)) + encoded
    for plan, shard in zip(plans, shards):
        body = encode_shard(plan, shard)
        again += struct.pack("<I", len(body)) + body
    assert again == proof
    assert decode_head(toy().machine, encoded, Checks()) == head


def test_the_head_says_what_was_proven():
    head, _, shards = read(honest_proof())
    assert head.parameters == PARAMETERS
    assert head.key == toy().key
    assert head.statement.output == b"\x0f\x00"
    assert head.statement.shard_counts == (3, 1)
    assert len(shards) == 4


@pytest.mark.parametrize("length", [0, 1, 7, 8, 12, 15, 16, 100, 3000, -4, -1])
def test_a_file_cut_off_is_refused(length):
    refusal = verify_bytes(honest_proof()[:length])
    assert refusal.reason is Reason.MALFORMED


def test_bytes_after_the_proof_are_refused():
    refusal = verify_bytes(honest_proof() + b"\0")
    assert refusal.reason is Reason.MALFORMED


class Stream(io.BytesIO):
    """A file whose size is not known, as a pipe."""

    def seekable(self):
        return False


def test_a_stream_is_read_to_its_end():
    proof = honest_proof()
    assert verify_bytes(Stream(proof)) == verify_bytes(proof)
    assert verify_bytes(Stream(proof + b"\0")).reason is Reason.MALFORMED
    assert verify_bytes(Stream(proof[:-1])).reason is Reason.MALFORMED


def test_another_magic_and_version_are_refused():
    proof = honest_proof()
    assert "not a proof file" in verify_bytes(b"X" + proof[1:]).detail
    assert "version 2" in verify_bytes(proof[:8] + struct.pack("<I", 2) + proof[12:]).detail


@pytest.mark.parametrize("position", ["head", "body"])
def test_an_element_that_is_not_below_p_is_refused(position):
    proof = bytearray(honest_proof())
    # A word of the program root, or of the first shard's main root: value + p is the same element, encoded otherwise.
    at = HEAD_START + 4 * (5 + 9) if position == "head" else HEAD_START + head_length(proof) + 4
    (value,) = struct.unpack_from("<I", proof, at)
    struct.pack_into("<I", proof, at, value + PRIME)
    refusal = verify_bytes(bytes(proof))
    assert refusal.reason is Reason.MALFORMED and "below p" in refusal.detail


@pytest.mark.parametrize(("number", "value"), [(0, 0), (0, 5), (1, 0), (1, 1025), (2, 25), (3, 0), (3, 5), (4, 151)])
def test_parameters_out_of_range_are_refused(number, value):
    proof = bytearray(honest_proof())
    struct.pack_into("<I", proof, HEAD_START + 4 * number, value)
    refusal = verify_bytes(bytes(proof))
    assert refusal.reason is Reason.MALFORMED and "parameters" in refusal.detail
    elements = Parameters().elements()
    elements[number] = value
    with pytest.raises(ParametersError):
        Parameters.from_elements(elements)


def test_parameters_come_back_from_their_elements():
    assert Parameters.from_elements(Parameters().elements()) == Parameters()
    with pytest.raises(ParametersError):
        Parameters.from_elements([1])


@pytest.mark.parametrize("claimed", [2**32 - 1, 2**25, 2**24])
def test_lengths_that_lie_cost_neither_time_nor_memory(claimed):
    proof = bytearray(honest_proof())
    in_head, in_body = bytearray(proof), bytearray(proof)
    struct.pack_into("<I", in_head, len(MAGIC) + 4, claimed)
    struct.pack_into("<I", in_body, HEAD_START + head_length(proof), claimed)
    for lying in (in_head, in_body):
        tracemalloc.start()
        started = time.perf_counter()
        refusal = verify_bytes(bytes(lying))
        elapsed, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert refusal.reason is Reason.MALFORMED
        assert elapsed < 1 and peak < 200e6


def head_words():
    """The honest head, as its words."""
    proof = honest_proof()
    return np.frombuffer(proof[HEAD_START : HEAD_START + head_length(proof)], dtype="<u4").copy()


def file_of(words, rest=b""):
    encoded = words.astype("<u4").tobytes()
    return MAGIC + struct.pack("<II", 1, len(encoded)) + encoded + rest


def test_many_tall_shards_in_the_head_are_refused_before_any_arithmetic():
    # Given: a head of 4096 shards of the largest shapes the machine allows, all different, and no bodies.
    words = head_words()
    counts_at = 5 + 9 + 9 + 1 + 1 + 1 + 64 + 1
    assert words[counts_at : counts_at + 2].tolist() == [3, 1]
    first_at = counts_at + 3
    first = words[first_at : first_at + 1 + 6 + 6 + 9]
    shards = np.tile(first, (4096, 1))
    shards[:, 1] = 5 + np.arange(4096) % 8
    shards[:, 2] = 5 + np.arange(4096) // 8 % 8
    words = np.concatenate([words[:counts_at], [4096, 0, 0], shards.reshape(-1)])
    # When it is verified, then it is refused quickly and in little memory.
    file = file_of(words)
    started = time.perf_counter()
    refusal = verify_bytes(file)
    elapsed = time.perf_counter() - started
    assert refusal.reason is Reason.MALFORMED and "need" in refusal.detail
    tracemalloc.start()
    assert verify_bytes(file) == refusal
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6 and elapsed < 1


@pytest.mark.parametrize("seed", range(30))
def test_noise_is_refused_and_never_raises(seed):
    random = np.random.default_rng(seed)
    proof = bytearray(honest_proof())
    for _ in range(1 + seed % 5):
        proof[int(random.integers(len(proof)))] ^= int(random.integers(1, 256))
    # A flipped byte beyond the arithmetic of one check is still refused, by whichever check sees it.
    assert isinstance(verify_bytes(bytes(proof)).reason, Reason)
    assert isinstance(verify_bytes(random.bytes(1000)).reason, Reason)
    assert isinstance(verify_bytes(MAGIC + random.bytes(1000)).reason, Reason)


def test_the_arithmetic_used_is_the_fast_one():
    assert Batched().permute([0] * 24) != [0] * 24
