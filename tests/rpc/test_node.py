"""The node client against an honest node, in every form in which nodes answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import rlp
from eth_account import Account
from eth_hash.auto import keccak

from rpc import answers
from rpc.collect import collect
from rpc.errors import (
    BlockNotFound,
    HistoryPruned,
    MalformedAnswer,
    MethodNotOffered,
    NodeError,
    ReorgError,
    WrongBlock,
    WrongChain,
)
from rpc.node import Node
from rpc.proofs import verify_answers
from tests.rpc.fake_chain import (
    BLOCK_NAMES,
    DESTROYER,
    DESTROYER_CODE,
    WRITER,
    WRITER_CODE,
    chain_of_blocks,
    key,
    slot,
)
from tests.rpc.fake_node import QUICK, FakeNode, Forms, Lies, block_to_json, transaction_to_json
from witness.block import Block, Withdrawal, ommers_hash
from witness.chains import ChainConfig
from witness.importers import import_witness
from witness.schema import Fork, encode_input
from witness.trie import ordered_trie_root
from witness.validate import validate

CHAIN = chain_of_blocks()
CONFIG = ChainConfig("fake", CHAIN.chain_id, blocks=((0, Fork.PRAGUE),), timestamps=())
LAST = len(BLOCK_NAMES)


@pytest.fixture
def fake() -> Iterator[FakeNode]:
    with FakeNode(CHAIN) as node:
        yield node


@pytest.fixture
def node(fake: FakeNode) -> Iterator[Node]:
    with Node(fake.url, limits=QUICK) as node:
        yield node


# --- blocks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(LAST + 1))
def test_a_block_by_number_and_by_hash_is_the_block(node: Node, number: int) -> None:
    wanted = CHAIN.blocks[number]
    assert node.block(number) == wanted
    assert node.block(wanted.header.hash) == wanted
    assert node.header(number) == wanted.header


def test_tags(node: Node) -> None:
    assert node.block("latest") == CHAIN.blocks[-1]
    assert node.block("earliest") == CHAIN.blocks[0]
    assert node.header("finalized") == CHAIN.blocks[-1].header
    with pytest.raises(BlockNotFound, match="is no tag"):
        node.block("pending")


def test_a_block_is_asked_for_by_hash_once_it_is_named(fake: FakeNode, node: Node) -> None:
    node.block("latest")
    assert fake.calls == {"eth_getBlockByNumber": 1, "eth_getBlockByHash": 1}


@pytest.mark.parametrize("identifier", [LAST + 1, bytes(32), 1 << 63])
def test_a_block_that_is_not_there(node: Node, identifier: int | bytes) -> None:
    with pytest.raises(BlockNotFound):
        node.block(identifier)


def test_the_chain_id_is_asked_for_once(fake: FakeNode, node: Node) -> None:
    assert node.chain_id() == node.chain_id() == CHAIN.chain_id
    assert fake.calls["eth_chainId"] == 1
    with Node(fake.url, chain_id=1, limits=QUICK) as wrong, pytest.raises(WrongChain, match="has chain id 1337, not 1"):
        wrong.chain_id()


def test_headers_are_linked_and_asked_for_in_one_batch(fake: FakeNode, node: Node) -> None:
    block = node.block(LAST)
    fake.batch_sizes.clear()
    expected = [one.header for one in CHAIN.blocks]
    assert node.headers(block.header.parent_hash, 5) == expected[1:LAST]
    assert fake.batch_sizes == [5]
    assert node.headers(block.header.parent_hash, 1) == expected[LAST - 1 : LAST]
    with Node(fake.url, limits=QUICK) as other:
        # Nothing is known of the hash: its number first.
        assert other.headers(expected[4].hash, 3) == expected[2:5]
        assert other.headers(expected[0].hash, 1) == expected[:1]
        with pytest.raises(BlockNotFound, match="there are no 3 blocks"):
            other.headers(expected[1].hash, 3)
        with pytest.raises(MalformedAnswer, match="more than a witness may have"):
            other.headers(expected[1].hash, 257)


# --- transactions of every type, ommers, withdrawals -----------------------------------------------------------------


def signed(**fields: object) -> bytes:
    return bytes(Account.sign_transaction(fields, key(0)).raw_transaction)


TO = "0x" + WRITER.hex()
PRICES = {"maxFeePerGas": 10**10, "maxPriorityFeePerGas": 0, "chainId": 1}
LISTED = [
    {"address": TO, "storageKeys": ["0x" + bytes(32).hex(), "0x" + slot(5).hex()]},
    {"address": TO, "storageKeys": []},
]
AUTHORIZATION = Account.sign_authorization({"chainId": 0, "address": WRITER, "nonce": 3}, key(1))
TRANSACTIONS = {
    "before EIP-155": signed(nonce=0, gasPrice=1, gas=21000, to=TO, value=0, data=b""),
    "type 0": signed(nonce=300, gasPrice=10**12, gas=21000, to=TO, value=1, data=b"\x00\x01", chainId=1),
    "a creation": signed(nonce=0, gasPrice=1, gas=21000, value=0, data=b"\x60\x00" * 40, chainId=1),
    "type 1": signed(type=1, nonce=0, gasPrice=1, gas=21000, to=TO, value=0, data=b"", chainId=1, accessList=LISTED),
    "type 1, a creation": signed(type=1, nonce=0, gasPrice=1, gas=90000, value=0, data=b"\x00", chainId=1, accessList=[]),
    "type 2": signed(type=2, nonce=1, gas=21000, to=TO, value=2**200, data=b"\xff" * 100, accessList=LISTED, **PRICES),
    "type 2, a creation": signed(type=2, nonce=0, gas=90000, value=0, data=b"", accessList=[], **PRICES),
    "type 3": signed(
        type=3, nonce=0, gas=21000, to=TO, value=0, data=b"", accessList=[], maxFeePerBlobGas=1, **PRICES,
        blobVersionedHashes=["0x01" + "ab" * 31, "0x01" + "00" * 31],
    ),
    "type 4": signed(
        type=4, nonce=0, gas=90000, to=TO, value=0, data=b"", accessList=LISTED, authorizationList=[AUTHORIZATION] * 2, **PRICES
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_a_transaction_object_is_encoded_as_it_was(name: str) -> None:
    encoded = TRANSACTIONS[name]
    shown = transaction_to_json(encoded)
    assert answers.encode_transaction(shown) == encoded
    spelt_otherwise = {**shown, "data": shown["input"], "v": shown.get("yParity", shown.get("v"))}
    for absent in ("input", "yParity", "hash"):
        spelt_otherwise.pop(absent, None)
    assert answers.encode_transaction(spelt_otherwise) == encoded
    with pytest.raises(WrongBlock, match=r"its fields have hash 0x[0-9a-f]{64}, not 0x[0-9a-f]{64}"):
        answers.encode_transaction({**shown, "nonce": "0x7777"})


def test_a_type_that_is_not_known_is_named() -> None:
    with pytest.raises(MalformedAnswer, match="has type 9, which is not known"):
        answers.encode_transaction({**transaction_to_json(TRANSACTIONS["type 2"]), "type": "0x9"})


def mixed_block() -> Block:
    """Transactions of every type, an ommer and withdrawals; it commits to them and is not valid otherwise."""
    ommers = (replace(CHAIN.blocks[1].header, extra_data=b"ommer"),)
    withdrawals = (Withdrawal(0, 7, WRITER, 1), Withdrawal(2**63, 2**64 - 1, DESTROYER, 2**64 - 1))
    transactions = tuple(TRANSACTIONS.values())
    header = replace(
        CHAIN.blocks[3].header,
        transactions_root=ordered_trie_root(transactions),
        withdrawals_root=ordered_trie_root(one.encode() for one in withdrawals),
        ommers_hash=ommers_hash(ommers),
    )
    return Block(header, transactions, ommers, withdrawals)


def test_a_block_with_transactions_of_every_type_ommers_and_withdrawals() -> None:
    block = mixed_block()
    with FakeNode(replace(CHAIN, blocks=(*CHAIN.blocks[:3], block))) as fake, Node(fake.url, limits=QUICK) as node:
        assert node.block(3) == block
        assert fake.calls["eth_getUncleByBlockHashAndIndex"] == 1


def test_a_block_before_london_and_shanghai_has_no_such_fields() -> None:
    old = replace(
        CHAIN.blocks[3].header, base_fee_per_gas=None, withdrawals_root=None, blob_gas_used=None, excess_blob_gas=None,
        parent_beacon_block_root=None, requests_hash=None, difficulty=2**40, transactions_root=ordered_trie_root(()),
    )  # fmt: skip
    with (
        FakeNode(replace(CHAIN, blocks=(*CHAIN.blocks[:3], Block(old, ())))) as fake,
        Node(fake.url, limits=QUICK) as node,
    ):
        assert node.block(3) == Block(old, ())


def of_unknown_type(params: list, answer: dict) -> dict:
    """What a node shows of a transaction that its JSON does not say how to encode."""
    if not params[1]:
        return answer
    shown = [{"hash": one["hash"], "type": "0x77"} for one in answer["transactions"]]
    return {**answer, "transactions": shown}


@pytest.mark.parametrize(
    "forms", [Forms(raw=True), Forms(raw_transactions=True)], ids=["raw block", "raw transactions"]
)
def test_the_nodes_bytes_help_where_its_json_does_not(forms: Forms) -> None:
    lies = Lies(answers={"eth_getBlockByHash": of_unknown_type})
    with FakeNode(CHAIN, forms, lies) as fake, Node(fake.url, limits=QUICK) as node:
        assert node.block(3) == CHAIN.blocks[3]


def test_without_the_nodes_bytes_the_transaction_is_named(fake: FakeNode, node: Node) -> None:
    fake.lies.answers["eth_getBlockByHash"] = of_unknown_type
    with pytest.raises(MalformedAnswer, match="transaction 0 of block 3 has type 119"):
        node.block(3)


# --- state -----------------------------------------------------------------------------------------------------------

WANTED = {WRITER: [slot(0), slot(101), slot(77)], DESTROYER: [], bytes(20): [slot(1)]}


@pytest.mark.parametrize(
    "forms", [Forms(), Forms(by_hash=False), Forms(batches=False), Forms(inline=True, empty=("0x80",))], ids=str
)
def test_proofs_and_codes_are_of_the_block_that_was_meant(forms: Forms) -> None:
    with FakeNode(CHAIN, forms) as fake, Node(fake.url, limits=QUICK) as node:
        for number in (0, 3, LAST):
            at = CHAIN.blocks[number].header
            proven = verify_answers(at.state_root, WANTED, node.proofs(at, WANTED))
            assert [one.record is None for one in proven] == [False, False, True]
        codes = node.codes(at, [WRITER, DESTROYER, bytes(20)])
        assert codes == {WRITER: WRITER_CODE, DESTROYER: DESTROYER_CODE, bytes(20): b""}


def test_many_slots_are_asked_for_in_parts(fake: FakeNode, node: Node) -> None:
    wanted = {WRITER: [slot(number) for number in range(300)], DESTROYER: [slot(0)]}
    at = CHAIN.blocks[3].header
    assert len(verify_answers(at.state_root, wanted, node.proofs(at, wanted))) == 2
    assert fake.calls["eth_getProof"] == 4


def test_a_node_that_refuses_state_by_hash_is_asked_by_number_from_then_on() -> None:
    with FakeNode(CHAIN, Forms(by_hash=False)) as fake, Node(fake.url, limits=QUICK) as node:
        at = CHAIN.blocks[3].header
        node.proofs(at, {WRITER: []})
        assert fake.calls == {"eth_getProof": 2, "eth_getBlockByNumber": 1}
        node.codes(at, [WRITER])
        assert fake.calls == {"eth_getProof": 2, "eth_getBlockByNumber": 2, "eth_getCode": 1}


def test_a_node_that_lags_behind_another_at_the_same_address_is_asked_again(fake: FakeNode, node: Node) -> None:
    fake.lies.errors["eth_getProof"] = {"code": -32000, "message": "header not found"}
    fake.lies.answers["eth_getBlockByNumber"] = lambda params, result: (fake.lies.errors.clear(), result)[1]
    at = CHAIN.blocks[3].header
    assert node.proofs(at, {WRITER: []})[0].address == WRITER
    assert fake.calls == {"eth_getProof": 2, "eth_getBlockByNumber": 1}


@pytest.mark.parametrize(
    "message",
    [
        "missing trie node 0123 (path ) state 0x12 is not available",
        "required historical state unavailable (reexec=128)",
        "state at block #5 is pruned",
        "distance to target block exceeds maximum proof window",
        "No state available for block 0x12",
        "pruned history unavailable",
        "old data not available due to pruning",
        "historical data is not available",
    ],
)
def test_pruned_state_has_an_archive_node_as_its_mend(fake: FakeNode, node: Node, message: str) -> None:
    fake.lies.errors["eth_getProof"] = {"code": -32000, "message": message}
    with pytest.raises(HistoryPruned) as caught:
        node.proofs(CHAIN.blocks[1].header, {WRITER: []})
    assert caught.value.code == -32000
    assert "archive node" in caught.value.mend


def test_error_4444_is_pruned_history_whatever_its_text(fake: FakeNode, node: Node) -> None:
    fake.lies.errors["eth_getBlockByNumber"] = {"code": 4444, "message": "gone"}
    with pytest.raises(HistoryPruned):
        node.block(1)


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (-32601, "Method not found", MethodNotOffered),
        (-32601, "", MethodNotOffered),
        (-32000, "the method eth_getProof does not exist/is not available", MethodNotOffered),
        (-32004, "Method not supported", MethodNotOffered),
        (-32600, "Unsupported method: eth_getProof on MATIC_MAINNET", MethodNotOffered),
        (-32000, "execution aborted (timeout = 5s)", NodeError),
        (-32603, "internal error", NodeError),
    ],
)
def test_what_a_nodes_error_means(fake: FakeNode, node: Node, code: int, message: str, kind: type) -> None:
    fake.lies.errors["eth_getProof"] = {"code": code, "message": message}
    with pytest.raises(NodeError) as caught:
        node.proofs(CHAIN.blocks[1].header, {WRITER: []})
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.method) == (code, "eth_getProof")


# --- what only some nodes offer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["reth", "geth", "map", "by hash"])
def test_every_form_of_an_execution_witness(form: str) -> None:
    with FakeNode(CHAIN, Forms(witness=form)) as fake, Node(fake.url, limits=QUICK) as node:
        for number in (1, 4):
            block = CHAIN.blocks[number]
            found = import_witness(node.execution_witness(block), block.header.parent_hash)
            touched = CHAIN.executed[number].touched
            assert set(found.state) == set(touched.state)
            assert set(found.codes) == set(touched.codes)


def test_what_is_not_offered_is_asked_for_once(fake: FakeNode, node: Node) -> None:
    block = CHAIN.blocks[1]
    for _ in range(2):
        assert node.execution_witness(block) is None
        assert node.prestate(block) is None
        assert node.access_list(block, 0) is None
        assert node.storage_keys_from(block, WRITER, bytes(32), 3) is None
    once = (
        "debug_executionWitness",
        "debug_executionWitnessByBlockHash",
        "debug_traceBlockByHash",
        "debug_storageRangeAt",
    )
    assert fake.calls == {**dict.fromkeys(once, 1), "eth_createAccessList": len(block.transactions)}


@pytest.mark.parametrize("message", ["internal error", "header not found", "missing trie node"])
def test_a_witness_that_the_node_fails_to_make_is_none(message: str) -> None:
    lies = Lies(errors={"debug_executionWitness": {"code": -32000, "message": message}})
    with FakeNode(CHAIN, Forms(witness="geth"), lies) as fake, Node(fake.url, limits=QUICK) as node:
        assert node.execution_witness(CHAIN.blocks[1]) is None
        fake.lies.errors.clear()
        assert node.execution_witness(CHAIN.blocks[2]) is not None


def test_hints_name_what_the_block_touches() -> None:
    forms = Forms(prestate=True, access_lists=True)
    with FakeNode(CHAIN, forms) as fake, Node(fake.url, limits=QUICK) as node:
        block = CHAIN.blocks[CHAIN.number("write")]
        touched = node.prestate(block)
        assert slot(0) in touched[WRITER]
        assert [node.access_list(block, index) for index in range(2)] == [touched, touched]
        assert fake.batch_sizes == [2]


@pytest.mark.parametrize(
    "answer",
    [None, 7, [7], [{"result": 7}], [{"result": {"0x12": {}}}], [{"result": {"0x" + "11" * 20: {"storage": [1]}}}]],
)
def test_a_hint_that_is_malformed_is_no_hint(answer: object) -> None:
    lies = Lies(answers={"debug_traceBlockByHash": lambda *_: answer, "eth_createAccessList": lambda *_: answer})
    with FakeNode(CHAIN, Forms(prestate=True, access_lists=True), lies) as fake, Node(fake.url, limits=QUICK) as node:
        assert node.prestate(CHAIN.blocks[1]) is None
        assert node.access_list(CHAIN.blocks[1], 0) == {}


def test_a_storage_range_begins_where_it_was_asked() -> None:
    with FakeNode(CHAIN, Forms(ranges=True)) as fake, Node(fake.url, limits=QUICK) as node:
        block = CHAIN.blocks[CHAIN.number("write")]
        hashed = sorted(map(keccak, (slot(number) for number in range(24))))
        keys = node.storage_keys_from(block, WRITER, hashed[10], 4)
        assert [keccak(one) for one in keys] == hashed[10:14]
        fake.lies.answers["debug_storageRangeAt"] = lambda *_: {
            "storage": {"0x00": {"key": None}, "0x01": {"key": "0x" + slot(3).hex()}}
        }
        assert node.storage_keys_from(block, WRITER, bytes(32), 4) == [slot(3)]
        assert node.storage_keys_from(block, WRITER, b"\xff" * 32, 4) == []
        fake.lies.answers["debug_storageRangeAt"] = lambda *_: {"storage": 7}
        assert node.storage_keys_from(block, WRITER, bytes(32), 4) is None


# --- the whole -------------------------------------------------------------------------------------------------------

ALL_FORMS = [
    Forms(),
    Forms(witness="reth"),
    Forms(witness="geth"),
    Forms(witness="map"),
    Forms(witness="by hash"),
    Forms(prestate=True, ranges=True),
    Forms(access_lists=True, by_hash=False),
    Forms(batches=False, inline=True, empty=("0x80",), zero_code_hash=True, raw=True),
]


@pytest.mark.parametrize(
    "forms", ALL_FORMS, ids=lambda forms: str({k: v for k, v in vars(forms).items() if v != vars(Forms())[k]})
)
def test_every_block_is_collected_from_every_form_of_node(forms: Forms) -> None:
    with FakeNode(CHAIN, forms) as fake, Node(fake.url, limits=QUICK) as node:
        for number in range(1, LAST + 1):
            collected = collect(node, number, CONFIG)
            assert validate(encode_input(collected)).valid
            assert collected.request.execution_payload.block_number == number


def test_a_reorg_is_noticed_wherever_it_falls() -> None:
    """With state by number and by hash: each number of requests after which the chain is another one."""
    other = chain_of_blocks(1)
    for by_hash in (True, False):
        outcomes = set()
        for after in range(1, 14, 2):
            lies = Lies(reorg_after=after, other=other)
            with FakeNode(CHAIN, Forms(by_hash=by_hash), lies) as fake, Node(fake.url, limits=QUICK) as node:
                try:
                    collected = collect(node, 3, CONFIG)
                    assert validate(encode_input(collected)).valid
                    node.check_on_chain(3, bytes(collected.request.execution_payload.block_hash))
                    outcomes.add("done")
                except ReorgError:
                    outcomes.add("reorg")
        assert "reorg" in outcomes


def test_the_rlp_of_the_node_is_checked_against_the_header() -> None:
    block = CHAIN.blocks[3]
    changed = replace(block, transactions=block.transactions[:1])
    with pytest.raises(WrongBlock, match="transactions of block 3"):
        answers.decode_block(changed.encode(), block.header)
    with pytest.raises(WrongBlock, match="header of block 3"):
        answers.decode_block(CHAIN.blocks[2].encode(), block.header)
    with pytest.raises(MalformedAnswer, match="RLP of block 3"):
        answers.decode_block(rlp.encode([b"", b""]), block.header)
    assert answers.read_body(block_to_json(block, True), block.header, ()) == block
