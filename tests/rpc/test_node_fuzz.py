"""Answers that anything was done to: the client ends in an RpcError or a right answer, never in another exception."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rpc import answers
from rpc.credentials import Secrets
from rpc.errors import RpcError
from rpc.node import Node
from rpc.transport import RpcLimits, classified
from tests.rpc.fake_chain import WRITER, chain_of_blocks, slot
from tests.rpc.fake_node import FakeNode, Forms, Lies, block_to_json, header_to_json, transaction_to_json
from tests.rpc.test_node import TRANSACTIONS, mixed_block

CHAIN = chain_of_blocks()
BLOCK = mixed_block()
LIMITS = RpcLimits(call_seconds=5, slow_seconds=5, total_seconds=20, attempts=1, back_off_seconds=0.0)

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
    st.sampled_from(
        [
            "0x",
            "0x0",
            "0x00",
            "0x1",
            "0X01",
            "0xg",
            "0x" + "f" * 64,
            "0x" + "f" * 65,
            "0x" + "00" * 33,
            "",
            "latest",
            "é",
        ]
    ),
    st.binary(max_size=40).map(lambda value: "0x" + value.hex()),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=8,
)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """Paths of all values inside a JSON value."""
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += places(inner, (*path, index))
    return found


@st.composite
def changed(draw: Callable, value: object) -> object:
    """A JSON value with one to three of its parts replaced or taken away."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(places(value)))
        if not path:
            return draw(JSON)
        holder = value
        for step in path[:-1]:
            holder = holder[step]
        if draw(st.booleans()):
            holder[path[-1]] = draw(JSON)
        else:
            del holder[path[-1]]
    return value


FUZZ = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@FUZZ
@given(changed(header_to_json(BLOCK.header)))
def test_headers(answer: object) -> None:
    try:
        header = answers.read_header(answer, BLOCK.header.hash)
    except RpcError:
        return
    assert header == BLOCK.header


@FUZZ
@given(changed(block_to_json(BLOCK, True)))
def test_bodies(answer: object) -> None:
    try:
        block = answers.read_body(answer, BLOCK.header, BLOCK.ommers)
    except RpcError:
        return
    assert block == BLOCK


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_transactions(name: str) -> None:
    @settings(FUZZ, max_examples=40)
    @given(changed(transaction_to_json(TRANSACTIONS[name])))
    def check(answer: object) -> None:
        try:
            encoded = answers.encode_transaction(answer)
        except RpcError:
            return
        # Without its hash an object may say another transaction; the block's root is what decides.
        assert isinstance(encoded, bytes)
        if isinstance(answer, dict) and answer.get("hash") is not None:
            assert encoded == TRANSACTIONS[name]

    check()


@FUZZ
@given(st.binary(max_size=60), st.integers(0, 10**6), st.integers(0, 255))
def test_blocks_in_rlp(more: bytes, at: int, byte: int) -> None:
    encoded = bytearray(BLOCK.encode())
    encoded[at % len(encoded)] = byte
    for spoilt in (bytes(encoded), BLOCK.encode()[: at % len(encoded)], BLOCK.encode() + more, more):
        try:
            block = answers.decode_block(spoilt, BLOCK.header)
        except RpcError:
            continue
        assert block == BLOCK


with FakeNode(CHAIN) as _honest:
    PROOF = _honest._eth_getProof("0x" + WRITER.hex(), ["0x" + slot(0).hex()], "0x3")


@FUZZ
@given(changed(PROOF))
def test_proofs(answer: object) -> None:
    try:
        proof = answers.read_proof(answer, WRITER, [slot(0)])
    except RpcError:
        return
    assert proof.address == WRITER
    assert set(proof.storage) == {slot(0)}


@FUZZ
@given(JSON)
def test_hints_and_errors(answer: object) -> None:
    for read in (answers.read_touched, answers.read_access_list):
        try:
            touched = read(answer)
        except RpcError:
            continue
        assert all(len(address) == 20 and all(len(one) == 32 for one in slots) for address, slots in touched.items())
    assert isinstance(classified("eth_getProof", answer, Secrets("http://h/")), RpcError)


@pytest.mark.parametrize("is_batch", [False, True])
def test_envelopes(is_batch: bool) -> None:
    """Whole answers, single and in batches, through the real transport."""
    lies = Lies()
    wanted = {WRITER: [], bytes(20): []} if is_batch else {WRITER: []}
    with FakeNode(CHAIN, Forms(), lies) as fake, Node(fake.url, limits=LIMITS) as node:
        at = CHAIN.blocks[3].header
        right = node.proofs(at, wanted)
        asked = [
            {
                "method": "eth_getProof",
                "params": ["0x" + one.hex(), [], {"blockHash": "0x" + at.hash.hex()}],
                "id": number,
            }
            for number, one in enumerate(wanted)
        ]
        honest = fake._answer(asked if is_batch else asked[0])

        @settings(FUZZ, max_examples=100)
        @given(changed(honest))
        def check(answer: object) -> None:
            fake._answer = lambda one: answer
            # The ids of the next request are those in the answer.
            node._transport._provider._ids = itertools.count()
            node._transport._batch_size = 100
            node.begin()
            try:
                found = node.proofs(at, wanted)
            except RpcError:
                return
            assert [one.address for one in found] == [one.address for one in right]

        check()
