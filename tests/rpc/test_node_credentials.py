"""Credentials in an address or a header appear in no error, log, file, repr or progress, however the node misbehaves."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from rpc.cache import AnswerCache
from rpc.collect import collect
from rpc.credentials import Secrets, redacted
from rpc.errors import BadUrl, RpcError
from rpc.node import Node
from tests.rpc.fake_chain import chain_of_blocks
from tests.rpc.fake_node import QUICK, FakeNode, Lies
from witness.chains import ChainConfig
from witness.schema import Fork

CHAIN = chain_of_blocks()
CONFIG = ChainConfig("fake", CHAIN.chain_id, blocks=((0, Fork.PRAGUE),), timestamps=())

USER, PASSWORD = "quibQxuzzer", "p%40ssw0rd-zx81"
PATH_KEY, QUERY_KEY, TOKEN = "kTq83hZpWvxKEY29sk", "qPl0zRyKvEY4477", "tok3nZZhWdr9921xQ"
PARTS = (USER, PASSWORD, "p@ssw0rd", "ssw0rd-zx", PATH_KEY, QUERY_KEY, TOKEN)


def secret_url(fake: FakeNode) -> str:
    return f"http://{USER}:{PASSWORD}@{fake.host}/v2/{PATH_KEY}?apikey={QUERY_KEY}"


HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def windows(text: str, size: int = 6) -> Iterator[str]:
    return (text[at : at + size] for at in range(len(text) - size + 1))


def assert_clean(text: str) -> None:
    for part in PARTS:
        for run in windows(part):
            assert run not in text, run


def all_texts(error: BaseException) -> str:
    """Everything that any printer of exceptions could show: chained ones, arguments, notes, attributes."""
    texts, seen, waiting = [], set(), [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        texts += [str(one), repr(one), repr(one.args), repr(vars(one)), *traceback.format_exception(one)]
        waiting += [one.__cause__, one.__context__]
    return "\n".join(texts)


ECHO = f"invalid key {PATH_KEY}: see {USER}:{PASSWORD} or Bearer {TOKEN} in http://x/v2/{PATH_KEY}?apikey={QUERY_KEY} {PATH_KEY[3:]}"


@pytest.mark.parametrize(
    "lies",
    [
        *(
            Lies(always=trick)
            for trick in (401, 403, 404, 413, 429, 500, 301, "drop", "truncate", "text", "hang", "gigantic", "deep")
        ),
        Lies(errors={"eth_chainId": {"code": -32000, "message": ECHO}}),
        Lies(errors={"eth_chainId": {"code": -32601, "message": "method not found: " + ECHO}}),
        Lies(errors={"eth_chainId": {"code": -32005, "message": "rate limit of " + ECHO}}),
        Lies(errors={"eth_chainId": {"code": 4444, "message": "pruned " + ECHO}}),
        Lies(errors={"eth_chainId": {"code": -32000, "message": "block not found " + "x" * 250 + ECHO}}),
    ],
    ids=lambda lies: str(lies.always or lies.errors["eth_chainId"]["code"]),
)
def test_no_error_shows_a_credential(lies: Lies, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    limits = type(QUICK)(call_seconds=0.5, slow_seconds=0.5, attempts=2, back_off_seconds=0.01, most_bytes=1 << 20)
    with FakeNode(CHAIN, None, lies) as fake, Node(secret_url(fake), headers=HEADERS, limits=limits) as node:
        for question in (
            node.chain_id,
            lambda: node.proofs(CHAIN.blocks[1].header, {bytes(20): [], bytes([1]) * 20: []}),
        ):
            try:
                question()
            except RpcError as error:
                shown = all_texts(error)
                assert_clean(shown)
                assert "urllib3" not in shown
                assert "requests." not in shown
                if lies.always is not None:
                    assert f"http://{fake.host}" in str(error)
            else:
                assert question is not node.chain_id
    assert_clean(caplog.text)


def test_the_node_is_given_them(tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture) -> None:
    """And nothing else holds them: logs at DEBUG, files of the cache, representations, notes."""
    caplog.set_level(logging.DEBUG)
    notes: list[str] = []
    with FakeNode(CHAIN) as fake:
        with Node(
            secret_url(fake),
            headers=HEADERS,
            limits=QUICK,
            cache=AnswerCache(tmp_path),
            progress=lambda s: notes.append(str(s)),
        ) as node:
            collect(node, 3, CONFIG, notes.append)
            shown = [
                repr(node),
                str(node),
                repr(node._transport),
                str(node._transport._provider),
                repr(node._transport._secrets),
            ]
        path, headers = fake.seen[0]
        assert path == f"/v2/{PATH_KEY}?apikey={QUERY_KEY}"
        # requests makes Basic of what the address holds; a header that is given by name wins over it nowhere.
        assert headers["Authorization"].startswith(("Bearer", "Basic"))
    assert any("/***" in record.getMessage() for record in caplog.records if record.name.startswith("urllib3"))
    assert_clean("\n".join([caplog.text, *notes, *shown]))
    captured = capfd.readouterr()
    assert_clean(captured.out + captured.err)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    for file in files:
        assert_clean(str(file) + file.read_bytes().decode("latin-1"))


def test_a_header_alone_reaches_the_node() -> None:
    with FakeNode(CHAIN) as fake, Node(fake.url, headers=HEADERS, limits=QUICK) as node:
        node.chain_id()
        assert fake.seen[0][1]["Authorization"] == HEADERS["Authorization"]


@pytest.mark.parametrize(
    "url",
    ["", "kTq83hZpWvxKEY29sk", "ftp://h/kTq83hZpWvxKEY29sk", "http://", "http:///kTq83hZpWvxKEY29sk", "http://h:99999/kTq83hZpWvxKEY29sk",
     "http://[::1/kTq83hZpWvxKEY29sk", "/tmp/kTq83hZpWvxKEY29sk", "http://h:port/kTq83hZpWvxKEY29sk", "file:///kTq83hZpWvxKEY29sk"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(BadUrl) as caught:
        Node(url)
    assert_clean(all_texts(caught.value))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@node.example:8545/v2/key?x=y#z", "https://node.example:8545"),
        ("http://[::1]:8545/key", "http://[::1]:8545"),
        ("HTTPS://Node.Example/key", "https://node.example"),
        ("https://node.example", "https://node.example"),
        ("not an address", "(no address)"),
        ("http://[::1/", "(no address)"),
        ("", "(no address)"),
    ],
)
def test_redacted(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_scrubbed_texts() -> None:
    secrets = Secrets("https://u:pw@h/v2/abcdefghijkl?key=SECRETSECRET", {"Authorization": "Bearer TOKENTOKEN"})
    assert secrets.scrub("the key abcdefghijkl is bad") == "the key *** is bad"
    assert secrets.scrub("prefix abcdefg.. of it") == "prefix ***.. of it"
    assert secrets.scrub("pw, SECRETSECRET, TOKENTOKEN\x1b[31m\nred") == "***, ***, *** [31m red"
    assert secrets.scrub("Bearer of bad news") == "Bearer of bad news"
    assert secrets.scrub("x" * 1000) == "x" * 300 + ".."
    assert Secrets("http://h:1/").scrub("anything") == "anything"
