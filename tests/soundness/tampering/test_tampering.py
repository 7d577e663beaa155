"""
Every field of a proof, changed in its first and its last element: refused, by the check that the manifest names.

A field that the manifest lacks is a failing test, and so is an entry of the manifest that no field has.
"""

import functools
import re

import pytest
from tamper import Taken, head_fields, with_head_word, with_shard_element
from toy_machine import PARAMETERS, Plain, honest_proof, make_run, prove_bytes, toy, verify_bytes

from zkvm.protocol.errors import CHECKS
from zkvm.protocol.parameters import Parameters

HEAD_MANIFEST = {
    # The lengths of the bodies follow from these two;
    "log_blowup": {"rate of the fixed trees"},
    "query_count": {"proof is well formed"},
    # these three are absorbed first, so every later challenge differs.
    "query_grinding_bits": {"local sums"},
    "log_fold": {"local sums"},
    "logup_bits": {"local sums"},
    "machine digest": {"machine digest"},
    "key root": {"local sums"},
    "key heights": {"fixed table height"},
    "key entry": {"machine's own chaining rule"},
    "output length": {"output length"},
    "output": {"local sums", "output beyond its length"},
    "last shards": {"local sums"},
    "shard counts": {"proof is well formed"},
    "global nonce": {"local sums"},
    "shard kind": {"kind exists"},
    "shard heights": {"proof is well formed", "fixed table height", "chips of the kind", "height in bounds"},
    "shard publics": {"machine's own chaining rule", "local sums"},
    "shard boundary root": {"local sums"},
}
"""Field of the head -> the checks that see it changed."""

SHARD_MANIFEST = {
    "main root": {"local sums", "constraints at the point"},
    "local nonce": {"local sums", "constraints at the point"},
    "auxiliary root": {"constraints at the point"},
    "sums": {"local sums"},
    "quotient root": {"constraints at the point"},
    "openings": {"constraints at the point"},
    # Two bits of work in these tests: a wrong nonce passes one time in four, and then the queries are others.
    "layer roots": {"query nonce", "committed row", "committed layer"},
    "final polynomial": {"query nonce", "committed row"},
    "query nonce": {"query nonce", "committed row"},
    "machine rows": {"committed row"},
    "machine paths": {"committed row"},
    "program rows": {"committed row"},
    "program paths": {"committed row"},
    "boundary rows": {"committed row"},
    "boundary paths": {"committed row"},
    "main rows": {"committed row"},
    "main paths": {"committed row"},
    "auxiliary rows": {"committed row"},
    "auxiliary paths": {"committed row"},
    "quotient rows": {"committed row"},
    "quotient paths": {"committed row"},
    "layer values": {"committed layer"},
    "layer paths": {"committed layer"},
}
"""Field of a shard's proof -> the checks that see it changed. Layers share an entry."""


@functools.cache
def tall_proof() -> bytes:
    """One execution shard tall enough for four FRI layers."""
    return prove_bytes(make_run(shard_count=1, steps=1000))


def family(name: str) -> str:
    return re.sub(r"^(shard|layer) \d+ ", r"\1 ", name)


def check_named(refusal) -> str:
    name = next(name for name in CHECKS if refusal.detail.startswith(name))
    assert refusal.reason is CHECKS[name]
    return name


HEAD_CASES = [(name, offset) for name in Taken(honest_proof()).head_positions() for offset in (0, -1)]
SHARD_CASES = [
    (shard, name, offset)
    for shard in (1, 2, 4)
    for name, shape in Taken(honest_proof()).plans[shard - 1].schema
    for offset in (0, -1)
    if 0 not in shape
]


@pytest.mark.parametrize(("name", "offset"), HEAD_CASES)
def test_a_changed_head_is_refused(name, offset):
    assert check_named(verify_bytes(with_head_word(name, offset))) in HEAD_MANIFEST[family(name)]


@pytest.mark.parametrize(("shard", "name", "offset"), SHARD_CASES)
def test_a_changed_shard_is_refused(shard, name, offset):
    assert check_named(verify_bytes(with_shard_element(shard, name, offset))) in SHARD_MANIFEST[family(name)]


@pytest.mark.parametrize("offset", [0, -1, 17])
@pytest.mark.parametrize("name", [name for name, _ in Taken(tall_proof()).plans[0].schema if name.startswith("layer")])
def test_a_changed_layer_is_refused(name, offset):
    taken = Taken(tall_proof())
    field = taken.shards[0][name].copy()
    flat = field.reshape(-1)
    flat[offset % flat.size] ^= 1
    taken.shards[0][name] = field
    assert check_named(verify_bytes(taken.bytes())) in SHARD_MANIFEST[family(name)]


@functools.cache
def small_proof() -> bytes:
    """Two shards and two queries, for the plain verifier."""
    return prove_bytes(make_run(shard_count=1, steps=20), PARAMETERS.with_changes(query_count=2))


@pytest.mark.parametrize(
    "name", ["sums", "openings", "main rows", "quotient paths", "layer 0 values", "layer 0 paths", "final polynomial"]
)
def test_the_plain_verifier_refuses_with_the_same_words(name):
    taken = Taken(small_proof())
    field = taken.shards[0][name].copy()
    field.reshape(-1)[-1] ^= 1
    taken.shards[0][name] = field
    refusal = verify_bytes(taken.bytes())
    assert refusal == verify_bytes(taken.bytes(), arithmetic=Plain())
    assert check_named(refusal) in SHARD_MANIFEST[family(name)]


def test_every_field_is_in_the_manifest_and_nothing_else():
    taken = Taken(honest_proof())
    head = {family(name) for name in taken.head_positions()}
    shards = {family(name) for plan in taken.plans for name, _ in plan.schema}
    assert head == set(HEAD_MANIFEST)
    assert shards == set(SHARD_MANIFEST)
    assert len(Taken(tall_proof()).plans[0].folds) == 3
    named = {name for names in (*HEAD_MANIFEST.values(), *SHARD_MANIFEST.values()) for name in names}
    assert named <= set(CHECKS)


def test_the_head_begins_with_the_parameters():
    names = [name for name, _ in head_fields(toy().machine)]
    assert names[:5] == list(Parameters.__dataclass_fields__)
