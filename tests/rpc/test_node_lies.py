"""Every lie and failure of a node ends in the error that names it, or is survived. No error shows a foreign traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from rpc import answers
from rpc.cache import AnswerCache
from rpc.collect import collect
from rpc.collect_errors import CodeError, CollectError, ProofError
from rpc.errors import (
    AnswerTooLarge,
    BlockNotFound,
    ConnectionFailed,
    MalformedAnswer,
    MethodNotOffered,
    RateLimited,
    ReorgError,
    RpcError,
    TimedOut,
    Unauthorized,
    WrongBlock,
    WrongChain,
)
from rpc.node import Node
from rpc.proofs import verify_answers
from rpc.transport import RpcLimits, Transport
from tests.rpc.fake_chain import DESTROYER, WRITER, chain_of_blocks, slot
from tests.rpc.fake_node import QUICK, FakeNode, Forms, Lies, header_to_json
from witness.chains import ChainConfig
from witness.errors import WitnessError
from witness.schema import Fork, encode_input
from witness.validate import validate

CHAIN = chain_of_blocks()
CONFIG = ChainConfig("fake", CHAIN.chain_id, blocks=((0, Fork.PRAGUE),), timestamps=())
BLOCK = CHAIN.blocks[3]
WANTED = {WRITER: [slot(0), slot(101)], DESTROYER: []}


@contextmanager
def asked(
    lies: Lies, forms: Forms | None = None, limits: RpcLimits = QUICK, **more: Any
) -> Iterator[tuple[Node, FakeNode]]:
    with FakeNode(CHAIN, forms, lies) as fake, Node(fake.url, limits=limits, **more) as node:
        yield node, fake


def flipped(text: str, at: int = -1) -> str:
    """A hex text with one digit changed."""
    digits = list(text)
    digits[at] = "0" if digits[at] != "0" else "1"
    return "".join(digits)


class Clock:
    """Stands in for the module time: sleeping costs nothing and is remembered."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    time = monotonic

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("rpc.transport.time", clock)
    return clock


# --- what goes wrong on the way --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trick", [429, 500, 502, 503, 408, "drop", "truncate", "text", "half", "scalar", "empty", "null"]
)
def test_a_failure_that_passes_is_survived(trick: int | str) -> None:
    """One failure before each honest answer."""
    with asked(Lies(script=[trick])) as (node, fake):
        assert node.block(3) == BLOCK
        fake.lies.script[:] = [trick]
        at = BLOCK.header
        assert verify_answers(at.state_root, WANTED, node.proofs(at, WANTED))
        assert node.statistics.retries == 2


@pytest.mark.parametrize(
    ("trick", "kind", "said"),
    [
        (429, RateLimited, "HTTP 429"),
        (500, ConnectionFailed, "HTTP 500"),
        (503, ConnectionFailed, "HTTP 503"),
        (404, ConnectionFailed, "HTTP 404"),
        (401, Unauthorized, "HTTP 401"),
        (403, Unauthorized, "HTTP 403"),
        (301, ConnectionFailed, "redirects to another address"),
        (413, AnswerTooLarge, "HTTP 413"),
        ("drop", ConnectionFailed, "no connection"),
        ("truncate", ConnectionFailed, "the answer breaks off"),
        ("text", MalformedAnswer, "not JSON"),
        ("half", MalformedAnswer, "not JSON"),
        ("deep", AnswerTooLarge, "nested deeper"),
        ("scalar", MalformedAnswer, "no JSON-RPC object|is no list"),
        ("null", MalformedAnswer, "no JSON-RPC object|is no list"),
        ("list", MalformedAnswer, "no JSON-RPC object|is no list"),
        ("empty", MalformedAnswer, "not JSON"),
    ],
)
def test_a_failure_that_stays_has_its_error(trick: int | str, kind: type, said: str) -> None:
    with asked(Lies(always=trick)) as (node, fake):
        for question in (lambda: node.block(3), lambda: node.proofs(BLOCK.header, WANTED)):
            with pytest.raises(RpcError, match=said) as caught:
                question()
            assert type(caught.value) is kind
            assert caught.value.mend
        assert fake.requests < 16


def test_a_node_that_is_not_there() -> None:
    with FakeNode(CHAIN) as fake:
        url = fake.url
    with Node(url, limits=QUICK) as node, pytest.raises(ConnectionFailed, match="no connection") as caught:
        node.block(1)
    assert "is the node running" in caught.value.mend
    with Node("http://host.invalid:1/", limits=QUICK) as node, pytest.raises(ConnectionFailed):
        node.block(1)
    with Node(url.replace("http", "https"), limits=QUICK) as node, pytest.raises(ConnectionFailed):
        node.block(1)


@pytest.mark.parametrize("trick", ["hang", "drip", "slow headers"])
def test_no_node_can_hold_a_call_longer_than_its_time_out(trick: str) -> None:
    limits = replace(QUICK, call_seconds=0.4, slow_seconds=0.4)
    with asked(Lies(always=trick), limits=limits) as (node, _), pytest.raises(TimedOut, match=r"within 0\.4 s"):
        node.block(3)


def test_the_total_time_ends_retries(clock: Clock) -> None:
    limits = replace(QUICK, total_seconds=10, attempts=1000, back_off_seconds=1)
    with asked(Lies(always=503), limits=limits) as (node, fake):
        with pytest.raises(ConnectionFailed):
            node.block(3)
        assert fake.requests < 10
        clock.now += 10
        with pytest.raises(TimedOut, match="in total"):
            node.block(3)
        fake.lies.always = None
        node.begin()
        assert node.block(3) == BLOCK


def test_an_answer_without_end_is_not_read_to_its_end() -> None:
    limits = replace(QUICK, most_bytes=1 << 20)
    with (
        asked(Lies(always="gigantic"), limits=limits) as (node, _),
        pytest.raises(AnswerTooLarge, match="more than 1,048,576 bytes"),
    ):
        node.block(3)


def test_an_answer_that_announces_too_much_is_not_read_at_all() -> None:
    limits = replace(QUICK, most_bytes=100)
    with asked(Lies(), limits=limits) as (node, fake):
        assert node.chain_id() == CHAIN.chain_id
        with pytest.raises(AnswerTooLarge):
            node.block(3)
        assert node.statistics.bytes < 100
        assert fake.requests == 2


# --- rates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "seconds"), [("7", 7), ("Thu, 01 Jan 1970 00:17:00 GMT", 20), ("0", 0)])
def test_retry_after_is_heeded(clock: Clock, value: str, seconds: float) -> None:
    with asked(Lies(script=[429], retry_after=value)) as (node, _):
        node.chain_id()
    assert len(clock.slept) == 1
    assert seconds <= clock.slept[0] <= seconds + 1


def test_back_off_doubles(clock: Clock) -> None:
    limits = RpcLimits(attempts=6, back_off_seconds=0.1)
    with asked(Lies(always=503), limits=limits) as (node, _), pytest.raises(ConnectionFailed):
        node.chain_id()
    assert len(clock.slept) == 5
    for step, seconds in enumerate(clock.slept):
        assert 0.5 * 0.1 * 2**step <= seconds <= 1.5 * 0.1 * 2**step


def test_a_wait_that_is_too_long_is_said() -> None:
    with asked(Lies(always=429, retry_after="86400")) as (node, fake):
        with pytest.raises(RateLimited, match="asks to wait 86400 s"):
            node.chain_id()
        assert fake.requests == 1


@pytest.mark.parametrize("value", ["soon", "-1", "1e400", "Wed, 21 Oct 2015 07:28:00 GMT", "nan", "9" * 99, ""])
def test_a_retry_after_that_says_nothing_is_no_wait(value: str) -> None:
    with asked(Lies(script=[429], retry_after=value)) as (node, _):
        assert node.chain_id() == CHAIN.chain_id


@pytest.mark.parametrize(
    "error", [{"code": 429, "message": "slow down"}, {"code": -32005, "message": "daily request rate limit exceeded"}]
)
def test_a_rate_limit_in_json_is_waited_for(error: dict) -> None:
    """Single answers and single entries of a batch."""
    with asked(Lies(errors={"eth_chainId": error})) as (node, fake):
        with pytest.raises(RateLimited):
            node.chain_id()
        assert fake.requests == QUICK.attempts
        fake.lies.errors.clear()
        limited = iter([True, True])

        def limit_last(found: list) -> list:
            if next(limited, False):
                found[-1] = {"jsonrpc": "2.0", "id": found[-1]["id"], "error": error}
            return found

        fake.lies.of_batches = limit_last
        at = BLOCK.header
        assert verify_answers(at.state_root, WANTED, node.proofs(at, WANTED))


def test_the_rate_that_is_asked_for_is_kept(clock: Clock) -> None:
    limits = replace(QUICK, calls_per_second=20, total_seconds=None)
    with asked(Lies(), limits=limits) as (node, fake):
        for _ in range(3):
            node.proofs(BLOCK.header, {bytes([index]) * 20: [] for index in range(30)})
        assert fake.calls["eth_getProof"] == 90
        # The last ten go out when the 80 before them have had their time.
        assert clock.now == pytest.approx(1000 + 80 / 20)
        assert max(fake.batch_sizes) <= 20


# --- batches ---------------------------------------------------------------------------------------------------------

MANY = {bytes([index]) * 20: [] for index in range(25)} | WANTED


@pytest.mark.parametrize(
    ("forms", "lies"),
    [
        (Forms(most_batch=4), Lies()),
        (Forms(batches=False), Lies()),
        (Forms(), Lies(short=5)),
        (Forms(), Lies(short=1)),
        (Forms(), Lies(script=[413, 413])),
        (Forms(), Lies(of_batches=lambda found: found[::-1])),
        (Forms(), Lies(of_batches=lambda found: found[1::2] + found[::2])),
        (Forms(), Lies(of_batches=lambda found: found[1:] if len(found) > 3 else found)),
        (
            Forms(),
            Lies(
                of_batches=lambda found: [
                    *found[:2],
                    {"jsonrpc": "2.0", "id": None, "error": {"code": -32003, "message": "response too large"}},
                ]
            ),
        ),
    ],
    ids=[
        "too large",
        "no batches",
        "five answers",
        "one answer",
        "413",
        "reversed",
        "odd first",
        "one absent",
        "cut off",
    ],
)
def test_a_batch_is_made_to_fit_and_its_answers_to_belong(forms: Forms, lies: Lies) -> None:
    with asked(lies, forms) as (node, _):
        at = BLOCK.header
        assert len(verify_answers(at.state_root, MANY, node.proofs(at, MANY))) == len(MANY)


def test_a_batch_size_once_found_is_kept() -> None:
    with asked(Lies(), Forms(most_batch=4)) as (node, fake):
        node.proofs(BLOCK.header, MANY)
        fake.batch_sizes.clear()
        node.proofs(CHAIN.blocks[2].header, MANY)
        assert max(fake.batch_sizes) <= 4


def test_a_batch_that_takes_too_long_is_asked_for_in_parts() -> None:
    limits = replace(QUICK, call_seconds=1, attempts=6)
    with asked(Lies(script=["hang", "hang", "hang"]), limits=limits) as (node, fake):
        at = BLOCK.header
        assert len(verify_answers(at.state_root, MANY, node.proofs(at, MANY))) == len(MANY)
        # Three batches were never read.
        assert fake.batch_sizes[0] == len(MANY) // 8


def other_id(found: list, to: object) -> list:
    return [*found[:-1], {**found[-1], "id": to}]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda found: [*found, found[0]], "two answers to one request"),
        (lambda found: other_id(found, found[0]["id"]), "two answers to one request"),
        (lambda found: other_id(found, 10**9), "an id that was not asked"),
        (lambda found: other_id(found, -1), "an id that was not asked"),
        (lambda found: other_id(found, "1"), "an id that was not asked"),
        (lambda found: other_id(found, True), "an id that was not asked"),
        (lambda found: other_id(found, 1.0), "an id that was not asked"),
        (lambda found: [*found[:-1], 7], "no object"),
        (
            lambda found: [{key: value for key, value in one.items() if key != "result"} for one in found],
            "neither result nor error",
        ),
        (lambda found: {"jsonrpc": "2.0", "id": 1, "result": []}, "is no list"),
        (lambda found: 7, "is no list"),
    ],
)
def test_a_batch_whose_answers_do_not_belong_is_refused(spoil: Callable[[list], Any], said: str) -> None:
    with asked(Lies(of_batches=spoil)) as (node, _), pytest.raises(MalformedAnswer, match=said):
        node.proofs(BLOCK.header, WANTED)


def test_results_that_change_places_are_found_out_by_what_they_are() -> None:
    """The ids are permuted together with nothing: the first account's proof comes as the second's answer."""

    def swap(found: list) -> list:
        return [{**one, "id": other["id"]} for one, other in zip(found, reversed(found), strict=True)]

    with asked(Lies(of_batches=swap)) as (node, _), pytest.raises(MalformedAnswer, match="the answer is about account"):
        node.proofs(BLOCK.header, WANTED)


def test_a_single_answer_with_another_id_is_refused() -> None:
    with asked(Lies()) as (node, fake):
        honest = fake._answer_one
        fake._answer_one = lambda one: {**honest(one), "id": 99999}
        with pytest.raises(MalformedAnswer, match="another id"):
            node.chain_id()


# --- wrong content ---------------------------------------------------------------------------------------------------


def in_block(change: Callable[[dict], dict]) -> Lies:
    """A lie in every block that is shown."""

    def lie(params: list, answer: dict | None) -> dict | None:
        return None if answer is None else change(dict(answer))

    return Lies(answers={"eth_getBlockByNumber": lie, "eth_getBlockByHash": lie})


HEADER_FIELDS = [name for name in header_to_json(BLOCK.header) if name != "hash"]


@pytest.mark.parametrize("name", HEADER_FIELDS)
def test_a_wrong_header_field_is_noticed(name: str) -> None:
    with asked(in_block(lambda block: {**block, name: flipped(block[name]) if block[name] != "0x" else "0x00"})) as (
        node,
        _,
    ):
        with pytest.raises(WrongBlock, match="header of block|block 3"):
            node.block(3)
        with pytest.raises(WrongBlock):
            node.block(BLOCK.header.hash)


@pytest.mark.parametrize("name", HEADER_FIELDS)
@pytest.mark.parametrize("value", [None, "", "0x", "0xzz", 7, [], {}, "0x" + "f" * 3000, True])
def test_a_malformed_header_field_is_said(name: str, value: object) -> None:
    changed = {**header_to_json(BLOCK.header), name: value}
    try:
        header = answers.read_header(changed)
    except (MalformedAnswer, WrongBlock):
        return
    assert header == BLOCK.header


def test_another_block_under_the_asked_hash_or_number_is_refused() -> None:
    other = header_to_json(CHAIN.blocks[2].header)
    with asked(in_block(lambda block: {**block, **other})) as (node, _):
        with pytest.raises(WrongBlock, match="the answer is block 2"):
            node.block(3)
        with pytest.raises(WrongBlock, match=f"not 0x{BLOCK.header.hash.hex()}"):
            node.block(BLOCK.header.hash)


def test_a_field_of_a_later_fork_is_named() -> None:
    with (
        asked(
            in_block(lambda block: {**block, "hash": flipped(block["hash"]), "blockAccessListHash": "0x" + "11" * 32})
        ) as (node, _),
        pytest.raises(WrongBlock, match="it has blockAccessListHash, of a fork that is not supported"),
    ):
        node.block(3)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (lambda b: {**b, "transactions": b["transactions"][:1]}, WrongBlock, "transactions of block 3: their root"),
        (lambda b: {**b, "transactions": b["transactions"][::-1]}, WrongBlock, "transactions of block 3: their root"),
        (lambda b: {**b, "transactions": []}, WrongBlock, "transactions of block 3: their root"),
        (lambda b: {**b, "transactions": None}, MalformedAnswer, "transactions is no list"),
        (lambda b: {**b, "transactions": ["0x" + "11" * 32]}, MalformedAnswer, "transaction 0 of block 3 is no object"),
        (
            lambda b: {**b, "transactions": [{**one, "nonce": "0x99"} for one in b["transactions"]]},
            WrongBlock,
            "transaction 0 of block 3",
        ),
        (
            lambda b: {**b, "transactions": [{**one, "nonce": "0x99", "hash": None} for one in b["transactions"]]},
            WrongBlock,
            "transactions of block 3",
        ),
        (
            lambda b: {**b, "transactions": [{**one, "to": "0x12"} for one in b["transactions"]]},
            MalformedAnswer,
            "to is not hex data of 20 bytes",
        ),
        (
            lambda b: {**b, "uncles": ["0x" + "11" * 32]},
            WrongBlock,
            "ommers of block 3: the node does not have|header of block 1",
        ),
        (lambda b: {**b, "withdrawals": None}, MalformedAnswer, "withdrawals is no list"),
        (
            lambda b: {
                **b,
                "withdrawals": [
                    {"index": "0x0", "validatorIndex": "0x0", "address": "0x" + "11" * 20, "amount": "0x1"}
                ],
            },
            WrongBlock,
            "withdrawals of block 3: their root",
        ),
        (lambda b: {**b, "withdrawals": [{"index": "0x" + "f" * 17}]}, MalformedAnswer, "a withdrawal's index"),
    ],
)
def test_a_wrong_body_is_named_by_its_part(change: Callable[[dict], dict], kind: type, said: str) -> None:
    def body(params: list, answer: dict) -> dict:
        return change(answer) if params[1] else answer

    uncle = {"eth_getUncleByBlockHashAndIndex": lambda *_: header_to_json(CHAIN.blocks[1].header)}
    lies = Lies(answers={"eth_getBlockByHash": body})
    with asked(lies) as (node, fake):
        fake._eth_getUncleByBlockHashAndIndex = lambda *_: None
        with pytest.raises(kind, match=said):
            node.block(3)
        lies.answers |= uncle
        with pytest.raises(kind, match=said):
            node.block(3)


def in_proof(change: Callable[[dict], Any]) -> Lies:
    return Lies(answers={"eth_getProof": lambda params, answer: change(answer)})


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (
            lambda p: {**p, "accountProof": [*p["accountProof"][:-1], flipped(p["accountProof"][-1])]},
            ProofError,
            "node",
        ),
        (lambda p: {**p, "accountProof": p["accountProof"][:-1]}, ProofError, "account 0x"),
        (lambda p: {**p, "accountProof": []}, ProofError, "account 0x"),
        (lambda p: {**p, "accountProof": [*p["accountProof"], p["accountProof"][0]]}, ProofError, "account 0x"),
        (lambda p: {**p, "accountProof": ["0x" + "00" * 2000]}, MalformedAnswer, "longer than any trie's"),
        (lambda p: {**p, "accountProof": ["0x00"] * 5000}, MalformedAnswer, "no list of at most"),
        (lambda p: {**p, "accountProof": "0x"}, MalformedAnswer, "no list"),
        (lambda p: {**p, "storageProof": []}, ProofError, "slot 0x"),
        (lambda p: {**p, "storageProof": None}, ProofError, "slot 0x"),
        (lambda p: {**p, "storageProof": p["storageProof"][:1]}, MalformedAnswer, "no proof of slot 0x"),
        (
            lambda p: {**p, "storageProof": [{"key": "0x" + "f" * 65, "proof": []}]},
            MalformedAnswer,
            "key of a storage proof",
        ),
        (
            lambda p: {**p, "storageProof": [{**one, "proof": one["proof"][:-1]} for one in p["storageProof"]]},
            ProofError,
            "slot 0x",
        ),
        (lambda p: {**p, "address": "0x" + "11" * 20}, MalformedAnswer, "about account"),
        (lambda p: None, MalformedAnswer, "is no object"),
        (lambda p: [], MalformedAnswer, "is no object"),
    ],
)
def test_a_wrong_proof_names_account_slot_and_node(
    change: Callable[[dict], Any], kind: type, said: str, tmp_path
) -> None:
    """It is never kept: the same folder serves an honest node afterwards."""
    cache = AnswerCache(tmp_path)
    with asked(in_proof(change), cache=cache) as (node, fake):
        with pytest.raises(kind, match=said):
            collect(node, 3, CONFIG)
        fake.lies.answers.clear()
        assert validate(encode_input(collect(node, 3, CONFIG))).valid


def test_other_words_beside_a_right_proof_change_nothing() -> None:
    lies = in_proof(lambda p: {**p, "balance": "0x7", "codeHash": "0x" + "00" * 32, "storageHash": 5, "nonce": None})
    with asked(lies) as (node, _):
        assert validate(encode_input(collect(node, 3, CONFIG))).valid


@pytest.mark.parametrize(
    ("code", "kind", "said"),
    [
        ("0x6000", CodeError, "the code of 2 bytes"),
        ("0x", CodeError, "the code of 0 bytes"),
        (None, MalformedAnswer, "is not hex data"),
        ("0x600", MalformedAnswer, "is not hex data"),
        ("0x" + "00" * 70_000, MalformedAnswer, "70000 bytes"),
    ],
)
def test_a_wrong_code_names_the_account(code: str | None, kind: type, said: str, tmp_path) -> None:
    with asked(Lies(answers={"eth_getCode": lambda *_: code}), cache=AnswerCache(tmp_path)) as (node, fake):
        with pytest.raises(kind, match=said):
            collect(node, 3, CONFIG)
        fake.lies.answers.clear()
        assert validate(encode_input(collect(node, 3, CONFIG))).valid


def dropped(witness: dict) -> dict:
    return {**witness, "state": witness["state"][:-1]}


@pytest.mark.parametrize(
    "spoil",
    [
        dropped,
        lambda w: {**w, "state": [flipped(one) for one in w["state"]]},
        lambda w: {**w, "codes": []},
        lambda w: {**w, "headers": []},
        lambda w: {**w, "headers": w["headers"][:0] + ["0x" + CHAIN.blocks[1].header.encode().hex()]},
        lambda w: {**w, "state": 7},
        lambda w: {},
        lambda w: None,
        lambda w: "witness",
    ],
    ids=[
        "node dropped",
        "nodes changed",
        "no codes",
        "no headers",
        "other headers",
        "no list",
        "empty",
        "null",
        "text",
    ],
)
def test_a_bad_execution_witness_is_made_good_from_proofs(spoil: Callable[[dict], Any]) -> None:
    lies = Lies(answers={"debug_executionWitness": lambda params, answer: spoil(answer)})
    with asked(lies, Forms(witness="geth")) as (node, _):
        assert validate(encode_input(collect(node, 3, CONFIG))).valid


def test_an_execution_witness_that_is_too_large_is_done_without() -> None:
    lies = Lies(
        answers={"debug_executionWitness": lambda params, answer: {**answer, "keys": ["0x" + "00" * 32] * 20_000}}
    )
    with asked(lies, Forms(witness="geth"), replace(QUICK, most_bytes=1 << 20)) as (node, _):
        assert validate(encode_input(collect(node, 3, CONFIG))).valid


@pytest.mark.parametrize("value", ["0x", "0xzz", "1337", 1337, None, [], "0x" + "f" * 17, ""])
def test_a_malformed_chain_id(value: object) -> None:
    with (
        asked(Lies(answers={"eth_chainId": lambda *_: value})) as (node, _),
        pytest.raises(MalformedAnswer, match="eth_chainId"),
    ):
        node.chain_id()


def test_a_node_of_another_chain() -> None:
    with (
        asked(Lies(chain_id=1), chain_id=CHAIN.chain_id) as (node, _),
        pytest.raises(WrongChain, match="chain id 1, not 1337"),
    ):
        collect(node, 3, CONFIG)
    with asked(Lies(chain_id=1)) as (node, _), pytest.raises(WitnessError, match="chain id 1"):
        collect(node, 3, CONFIG)
    # On mainnet's schedule this is a Frontier block with a Prague header.
    with asked(Lies(chain_id=1)) as (node, _), pytest.raises(WitnessError):
        collect(node, 3, None)


def test_a_node_without_proofs_says_what_is_needed() -> None:
    lies = Lies(errors={"eth_getProof": {"code": -32601, "message": "Method not found"}})
    with asked(lies) as (node, _), pytest.raises(MethodNotOffered) as caught:
        collect(node, 3, CONFIG)
    assert caught.value.mend == "use a node that offers eth_getProof"


# --- reorgs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_hash", [True, False])
def test_a_reorg_between_header_and_state(by_hash: bool) -> None:
    with asked(Lies(other=chain_of_blocks(1)), Forms(by_hash=by_hash)) as (node, fake):
        block = node.block(3)
        node.proofs(block.header, {WRITER: []})
        fake.chain = fake.lies.other
        with pytest.raises(ReorgError, match="block 3, 0x"):
            node.proofs(block.header, WANTED)
        with pytest.raises(ReorgError):
            node.codes(block.header, [WRITER])
        with pytest.raises(ReorgError):
            node.headers(block.header.parent_hash, 2)
        with pytest.raises(ReorgError):
            node.check_on_chain(3, block.header.hash)


def test_a_reorg_between_header_and_body() -> None:
    with (
        asked(Lies(reorg_after=1, other=chain_of_blocks(1))) as (node, _),
        pytest.raises(ReorgError, match="not on the node's chain any more"),
    ):
        node.block(3)


def test_a_chain_that_gets_shorter() -> None:
    with asked(Lies(reorg_after=2, other=chain_of_blocks(0, 2))) as (node, _):
        block = node.block(3)
        with pytest.raises(ReorgError):
            node.check_on_chain(3, block.header.hash)
        with pytest.raises(BlockNotFound):
            node.block(3)


def test_every_error_is_typed_and_has_words() -> None:
    """No class of errors without a cause; CollectError and RpcError are both refusals of this project."""
    assert issubclass(RpcError, WitnessError)
    assert issubclass(CollectError, WitnessError)
    with FakeNode(CHAIN, None, Lies(always=500)) as fake:
        transport = Transport(fake.url, limits=replace(QUICK, attempts=1))
        with pytest.raises(RpcError) as caught:
            transport.call("eth_chainId")
        transport.close()
    assert str(caught.value) == f"{caught.value.cause}; {caught.value.mend}"
