"""What an adversary in the place of a node tried: transactions that are none, gas without end, credentials given back."""

from __future__ import annotations

import http.server
import json
import threading
from dataclasses import replace

import pytest
import rlp

from blockproof.fetching import RpcOptions, fetch_input
from rpc import collect as collecting
from rpc.collect import MAX_COLLECTED_GAS, collect
from rpc.collect_errors import CollectError
from rpc.errors import RpcError, TimedOut
from rpc.key_search import key_with_prefix
from rpc.node import Node
from rpc.prefetch import called_by, named_in
from tests.rpc.fake_chain import chain_of_blocks
from tests.rpc.fake_node import FakeNode, header_to_json
from witness.block import Block
from witness.chains import ChainConfig
from witness.errors import LimitExceeded
from witness.schema import Fork

CHAIN = chain_of_blocks()
CONFIG = ChainConfig("fake", CHAIN.chain_id, ((0, Fork.PARIS),), ((0, Fork.PRAGUE),))
KEY = "9aa3d95b3bc440fa88ea12eaa4456161"


def with_lists(transaction: bytes, field: int) -> bytes:
    """The transaction with a list in the place of a string; its signature is of something else."""
    kind, body = (b"", transaction) if transaction[:1] >= b"\xc0" else (transaction[:1], transaction[1:])
    fields = rlp.decode(body)
    fields[field] = [b"\1"] * 20
    return kind + rlp.encode(fields)


@pytest.mark.parametrize("field", range(9))
def test_a_list_where_a_string_is_due(field: int) -> None:
    """Hints only: what is wrong with the transaction is for execution to say."""
    for block in CHAIN.blocks[1:]:
        for transaction in block.transactions:
            forged = Block(block.header, (with_lists(transaction, field),), (), block.withdrawals)
            assert all(len(address) == 20 for address in called_by(forged, Fork.PRAGUE))


def test_no_transaction_ends_the_prefetch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rpc.prefetch._senders", lambda block: [bytes(20)] * len(block.transactions))
    for block in CHAIN.blocks[1:]:
        for transaction in block.transactions:
            for field in range(9):
                forged = replace(block, transactions=(with_lists(transaction, field),))
                assert all(len(address) == 20 for address in named_in(forged, Fork.PRAGUE))


def test_gas_without_end_is_not_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of headers is cheap to forge, and so is its gas limit."""
    monkeypatch.setattr(collecting, "MAX_COLLECTED_GAS", CHAIN.blocks[2].header.gas_limit - 1)
    with FakeNode(CHAIN) as node, Node(node.url) as client, pytest.raises(CollectError, match="is not executed here"):
        collect(client, 2, CONFIG)
    assert MAX_COLLECTED_GAS >= 10 * 60_000_000


def test_memory_that_is_not_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(collecting, "execute_block", none_left)
    with FakeNode(CHAIN) as node, Node(node.url) as client, pytest.raises(LimitExceeded, match="more memory"):
        collect(client, 2, CONFIG)


def test_the_search_for_a_key_ends_with_the_time() -> None:
    def over() -> None:
        raise TimedOut("over", "")

    with pytest.raises(TimedOut):
        key_with_prefix((1, 2, 3, 4, 5, 6, 7), 32, over)


class Echo(http.server.BaseHTTPRequestHandler):
    """A node that states the key it was asked with as a block's hash."""

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result: object = hex(CHAIN.chain_id)
        if body["method"] != "eth_chainId":
            key = self.path.rsplit("/", 1)[1]
            result = {**header_to_json(CHAIN.blocks[2].header), "hash": "0x" + key + key}
        answer = json.dumps({"jsonrpc": "2.0", "id": body["id"], "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


def test_a_credential_that_the_node_gives_back_is_not_shown() -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        options = RpcOptions(cache=False, timeout=5, total=10)
        with pytest.raises(RpcError) as caught:
            fetch_input(2, f"http://127.0.0.1:{server.server_port}/v3/{KEY}", CONFIG, options)
        server.shutdown()
    shown = f"{caught.value} {caught.value.cause} {caught.value.mend} {caught.value!r}"
    assert KEY not in shown
