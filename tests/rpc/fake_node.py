"""
A node on 127.0.0.1 that serves a chain held whole, in the forms of the clients, and lies where it is told to.

    with FakeNode(chain_of_blocks()) as node:
        Node(node.url).block(3)

`forms` says what it offers and how it spells it, `lies` what is wrong; both may be changed while it runs. `calls` counts
answered calls by method, `requests` HTTP requests.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import rlp
from eth_hash.auto import keccak
from trie.utils.nibbles import bytes_to_nibbles
from trie.utils.nodes import extract_key, is_leaf_node

from rpc.transport import RpcLimits
from tests.rpc.fake_chain import Chain, chain_of_blocks
from witness.block import Block, Header, recover_public_key
from witness.record import WholeState
from witness.trie import EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, AccountRecord, NodeStore, WitnessState

__all__ = ["QUICK", "Chain", "FakeNode", "Forms", "Lies", "block_to_json", "chain_of_blocks", "transaction_to_json"]


QUICK = RpcLimits(call_seconds=20, slow_seconds=20, total_seconds=300, attempts=4, back_off_seconds=0.01)
"""For tests: failures take little time."""


@dataclass
class Forms:
    """
    What the node offers and how.

    witness: debug_executionWitness as "reth", "geth" (header objects, keys null) or "map" (an older reth: maps, no
    headers), "by hash" (only debug_executionWitnessByBlockHash), None for none; prestate, access_lists, ranges, raw:
    the tracer, eth_createAccessList, debug_storageRangeAt, debug_getRawBlock; by_hash: state by EIP-1898 objects;
    batches: JSON-RPC batches; most_batch: requests in one; inline: proofs list nodes below 32 bytes; empty: the proof
    of an empty trie; zero_code_hash: of an absent account.
    """

    witness: str | None = None
    prestate: bool = False
    access_lists: bool = False
    ranges: bool = False
    raw: bool = False
    raw_transactions: bool = False
    by_hash: bool = True
    batches: bool = True
    most_batch: int | None = None
    inline: bool = False
    empty: tuple[str, ...] = ()
    zero_code_hash: bool = False


@dataclass
class Lies:
    """
    What is wrong.

    script: what happens to the next HTTP requests in turn, None for an honest answer: a number is an HTTP status,
    "hang", "drip", "drop", "truncate", "gigantic", "text", "deep", "scalar", "empty"; always: the same for all of them;
    retry_after: header beside 429; answers: method to a function (params, honest result) -> result; errors: method to
    an error object; of_batches: a function of the list of answers; short: answers to a batch at most; reorg_after: HTTP
    requests after which `other` is the chain; chain_id: said in place of the true one.
    """

    script: list[int | str | None] = field(default_factory=list)
    always: int | str | None = None
    retry_after: str | None = None
    answers: dict[str, Callable[[list, Any], Any]] = field(default_factory=dict)
    errors: dict[str, dict] = field(default_factory=dict)
    of_batches: Callable[[list], Any] | None = None
    short: int | None = None
    reorg_after: int | None = None
    other: Chain | None = None
    chain_id: int | None = None


class _Refusal(Exception):
    def __init__(self, code: int, message: str) -> None:
        self.error = {"code": code, "message": message}


class FakeNode:
    """Use as a context manager. url: of its JSON-RPC; seen: (path, headers) of the requests, for tests of credentials."""

    def __init__(self, chain: Chain, forms: Forms | None = None, lies: Lies | None = None) -> None:
        self.chain = chain
        self.forms = forms or Forms()
        self.lies = lies or Lies()
        self.calls: Counter[str] = Counter()
        self.requests = 0
        self.batch_sizes: list[int] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                with contextlib.suppress(OSError):
                    node._handle(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"http://{self.host}/"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    # --- HTTP --------------------------------------------------------------------------------------------------------

    def _handle(self, http: BaseHTTPRequestHandler) -> None:
        body = http.rfile.read(int(http.headers.get("Content-Length", 0)))
        with self._lock:
            self.requests += 1
            self.seen.append((http.path, dict(http.headers)))
            if (
                self.lies.reorg_after is not None
                and self.requests > self.lies.reorg_after
                and self.lies.other is not None
            ):
                self.chain = self.lies.other
            trick = self.lies.script.pop(0) if self.lies.script else self.lies.always
        if trick == "drop":
            http.close_connection = True
            return
        if trick == "hang":
            self._stopped.wait(30)
            http.close_connection = True
            return
        if isinstance(trick, int):
            self._send(http, b'{"oops": true}', trick)
            return
        if trick in _BODIES:
            self._send(http, _BODIES[trick])
            return
        answer = json.dumps(self._answer(json.loads(body))).encode()
        if trick == "truncate":
            self._send(http, answer[: len(answer) // 2], announced=len(answer))
            http.close_connection = True
        elif trick == "half":
            self._send(http, answer[: len(answer) // 2])
        elif trick == "drip":
            self._send(http, b"", announced=len(answer))
            for byte in answer:
                http.wfile.write(bytes([byte]))
                http.wfile.flush()
                if self._stopped.wait(0.05):
                    break
            http.close_connection = True
        elif trick == "slow headers":
            http.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self._stopped.wait(0.05):
                http.wfile.write(b"X-More: of it\r\n")
                http.wfile.flush()
        elif trick == "gigantic":
            self._send_gigantic(http)
        else:
            self._send(http, answer)

    def _send(self, http: BaseHTTPRequestHandler, body: bytes, status: int = 200, announced: int | None = None) -> None:
        http.send_response(status)
        http.send_header("Content-Type", "application/json")
        http.send_header("Content-Length", str(len(body) if announced is None else announced))
        if status == 429 and self.lies.retry_after is not None:
            http.send_header("Retry-After", self.lies.retry_after)
        if 300 <= status < 400:
            http.send_header("Location", f"http://{self.host}/elsewhere")
        http.end_headers()
        http.wfile.write(body)

    def _send_gigantic(self, http: BaseHTTPRequestHandler) -> None:
        """Without a length, until the other side has had enough."""
        http.send_response(200)
        http.send_header("Transfer-Encoding", "chunked")
        http.end_headers()
        chunk = b" " * (1 << 16)
        while not self._stopped.is_set():
            http.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))

    # --- JSON-RPC ----------------------------------------------------------------------------------------------------

    def _answer(self, asked: Any) -> Any:
        if isinstance(asked, dict):
            return self._answer_one(asked)
        self.batch_sizes.append(len(asked))
        if not self.forms.batches:
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "invalid request"}}
        if self.forms.most_batch is not None and len(asked) > self.forms.most_batch:
            return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch too large"}}
        answers = [self._answer_one(one) for one in asked]
        if self.lies.short is not None:
            answers = answers[: self.lies.short]
        return answers if self.lies.of_batches is None else self.lies.of_batches(answers)

    def _answer_one(self, asked: dict) -> dict:
        method, params = asked["method"], asked["params"]
        self.calls[method] += 1
        try:
            if method in self.lies.errors:
                raise _Refusal(**self.lies.errors[method])
            handler = getattr(self, f"_{method}", None)
            if handler is None:
                raise _Refusal(-32601, f"the method {method} does not exist/is not available")
            result = handler(*params)
            if method in self.lies.answers:
                result = self.lies.answers[method](params, result)
        except _Refusal as refusal:
            return {"jsonrpc": "2.0", "id": asked["id"], "error": refusal.error}
        return {"jsonrpc": "2.0", "id": asked["id"], "result": result}

    def _only_if(self, offered: bool, method: str) -> None:
        if not offered:
            raise _Refusal(-32601, f"the method {method} does not exist/is not available")

    # --- the chain ---------------------------------------------------------------------------------------------------

    def _eth_chainId(self) -> str:
        return hex(self.lies.chain_id if self.lies.chain_id is not None else self.chain.chain_id)

    def _eth_blockNumber(self) -> str:
        return hex(len(self.chain.blocks) - 1)

    def _number(self, name: Any) -> int | None:
        """The number of the block that a parameter names: number, tag, hash or EIP-1898 object; None where unknown."""
        if isinstance(name, dict):
            if not self.forms.by_hash:
                raise _Refusal(-32602, "invalid argument 1: json: cannot unmarshal object into Go value of type string")
            name = name["blockHash"]
        if name in ("latest", "safe", "finalized"):
            return len(self.chain.blocks) - 1
        if name == "earliest":
            return 0
        if len(name) == 66:
            numbers = [block.header.number for block in self.chain.blocks if "0x" + block.header.hash.hex() == name]
            return numbers[0] if numbers else None
        number = int(name, 16)
        return number if number < len(self.chain.blocks) else None

    def _state(self, name: Any) -> WholeState:
        number = self._number(name)
        if number is None:
            raise _Refusal(-32000, "header not found")
        return self.chain.states[number]

    def _eth_getBlockByNumber(self, name: str, whole: bool) -> dict | None:
        number = self._number(name)
        return None if number is None else block_to_json(self.chain.blocks[number], whole)

    _eth_getBlockByHash = _eth_getBlockByNumber

    def _eth_getUncleByBlockHashAndIndex(self, name: str, index: str) -> dict:
        return header_to_json(self.chain.blocks[self._number(name)].ommers[int(index, 16)])

    def _debug_getRawBlock(self, name: str) -> str:
        self._only_if(self.forms.raw, "debug_getRawBlock")
        return "0x" + self.chain.blocks[self._number(name)].encode().hex()

    def _eth_getRawTransactionByHash(self, name: str) -> str | None:
        self._only_if(self.forms.raw_transactions, "eth_getRawTransactionByHash")
        for block in self.chain.blocks:
            for transaction in block.transactions:
                if "0x" + keccak(transaction).hex() == name:
                    return "0x" + transaction.hex()
        return None

    # --- state -------------------------------------------------------------------------------------------------------

    def _eth_getProof(self, address: str, slots: Sequence[str], name: Any) -> dict:
        state = self._state(name)
        account = bytes.fromhex(address[2:])
        record = WitnessState(NodeStore(state.nodes), state.root).account(account)
        shown = record or AccountRecord(0, 0, EMPTY_TRIE_ROOT, EMPTY_CODE_HASH)
        code_hash = bytes(32) if record is None and self.forms.zero_code_hash else shown.code_hash
        return {
            "address": address,
            "accountProof": self._path(state, state.root, account),
            "balance": hex(shown.balance),
            "nonce": hex(shown.nonce),
            "codeHash": "0x" + code_hash.hex(),
            "storageHash": "0x" + shown.storage_root.hex(),
            "storageProof": [
                {"key": slot, "value": "0x0", "proof": self._path(state, shown.storage_root, bytes.fromhex(slot[2:]))}
                for slot in slots
            ],
        }

    def _path(self, state: WholeState, root: bytes, key: bytes) -> list[str]:
        if root == EMPTY_TRIE_ROOT:
            return list(self.forms.empty)
        reference: Any = root
        remaining = bytes_to_nibbles(keccak(key))
        found = []
        while reference:
            inline = isinstance(reference, list)
            encoded = rlp.encode(reference) if inline else state.nodes[reference]
            if not inline or self.forms.inline:
                found.append("0x" + encoded.hex())
            node = rlp.decode(encoded)
            if len(node) == 17:
                reference, remaining = node[remaining[0]], remaining[1:]
                continue
            segment = tuple(extract_key(node))
            if is_leaf_node(node) or remaining[: len(segment)] != segment:
                break
            reference, remaining = node[1], remaining[len(segment) :]
        return found

    def _eth_getCode(self, address: str, name: Any) -> str:
        state = self._state(name)
        record = WitnessState(NodeStore(state.nodes), state.root).account(bytes.fromhex(address[2:]))
        codes = {keccak(code): code for code in state.codes}
        return "0x" + (codes.get(record.code_hash, b"") if record else b"").hex()

    # --- what only some nodes offer ----------------------------------------------------------------------------------

    def _debug_executionWitness(self, name: Any) -> dict | None:
        self._only_if(self.forms.witness in ("reth", "geth", "map"), "debug_executionWitness")
        return self._witness(self._number(name))

    def _debug_executionWitnessByBlockHash(self, name: str) -> dict | None:
        self._only_if(self.forms.witness in ("reth", "by hash"), "debug_executionWitnessByBlockHash")
        return self._witness(self._number(name))

    def _witness(self, number: int | None) -> dict | None:
        if not number:
            raise _Refusal(-32000, "block not found")
        touched = self.chain.executed[number].touched
        headers = [Header.decode(encoded) for encoded in touched.headers]
        if self.forms.witness == "map":
            maps = {
                name: {"0x" + keccak(one).hex(): "0x" + one.hex() for one in getattr(touched, name)}
                for name in ("state", "codes")
            }
            return {**maps, "keys": {}}
        lists = {name: ["0x" + one.hex() for one in getattr(touched, name)] for name in ("state", "codes")}
        if self.forms.witness == "geth":
            return {**lists, "headers": [header_to_json(header) for header in headers], "keys": None}
        return {**lists, "headers": ["0x" + encoded.hex() for encoded in touched.headers], "keys": []}

    def _touched(self, number: int) -> dict[bytes, list[bytes]]:
        """Accounts and slots whose last node on the path is in the block's witness."""
        state, touched = self.chain.states[number - 1], set(self.chain.executed[number].touched.state)
        reader = WitnessState(NodeStore(state.nodes), state.root)
        found = {}
        for address, slots in self.chain.preimages.items():
            path = self._path(state, state.root, address)
            record = reader.account(address)
            if bytes.fromhex(path[-1][2:]) not in touched:
                continue
            root = EMPTY_TRIE_ROOT if record is None else record.storage_root
            paths = {slot: self._path(state, root, slot) for slot in slots}
            found[address] = [
                slot for slot, nodes in paths.items() if nodes and bytes.fromhex(nodes[-1][2:]) in touched
            ]
        return found

    def _debug_traceBlockByHash(self, name: str, options: dict) -> list[dict]:
        self._only_if(self.forms.prestate and options.get("tracer") == "prestateTracer", "debug_traceBlockByHash")
        number = self._number(name)
        result = {
            "0x" + address.hex(): {
                "balance": "0x1",
                "storage": {"0x" + slot.hex(): "0x" + bytes(32).hex() for slot in slots},
            }
            for address, slots in self._touched(number).items()
        }
        hashes = ["0x" + keccak(one).hex() for one in self.chain.blocks[number].transactions]
        return [{"txHash": one, "result": result} for one in hashes]

    def _eth_createAccessList(self, call: dict, name: Any) -> dict:
        self._only_if(self.forms.access_lists, "eth_createAccessList")
        number = self._number(name) + 1
        recover = [recover_public_key(one) for one in self.chain.blocks[number].transactions]
        if call["from"] not in ["0x" + keccak(key[1:])[12:].hex() for key in recover]:
            raise _Refusal(-32000, "insufficient funds for gas * price + value")
        listed = [
            {"address": "0x" + address.hex(), "storageKeys": ["0x" + slot.hex() for slot in slots]}
            for address, slots in self._touched(number).items()
        ]
        return {"accessList": listed, "gasUsed": "0x5208"}

    def _debug_storageRangeAt(self, name: str, index: int, address: str, start: str, most: int) -> dict:
        self._only_if(self.forms.ranges, "debug_storageRangeAt")
        state = self.chain.states[self._number(name) - 1]
        account = bytes.fromhex(address[2:])
        reader = WitnessState(NodeStore(state.nodes), state.root)
        record = reader.account(account)
        slots = sorted(self.chain.preimages.get(account, ()), key=keccak)
        held = [one for one in slots if record and reader.storage(account, record.storage_root, one)]
        held = [one for one in held if keccak(one).hex() >= start[2:]]
        return {
            "storage": {"0x" + keccak(one).hex(): {"key": "0x" + one.hex(), "value": "0x01"} for one in held[:most]},
            "nextKey": None,
        }


_BODIES = {
    "text": b"<html><body>Bad gateway</body></html>",
    "deep": b"[" * 100_000,
    "scalar": b"7",
    "empty": b"",
    "list": b"[]",
    "null": b"null",
}


# --- JSON of blocks --------------------------------------------------------------------------------------------------

_HEADER_NAMES = {
    "parent_hash": "parentHash",
    "ommers_hash": "sha3Uncles",
    "coinbase": "miner",
    "state_root": "stateRoot",
    "transactions_root": "transactionsRoot",
    "receipts_root": "receiptsRoot",
    "bloom": "logsBloom",
    "difficulty": "difficulty",
    "number": "number",
    "gas_limit": "gasLimit",
    "gas_used": "gasUsed",
    "timestamp": "timestamp",
    "extra_data": "extraData",
    "prev_randao": "mixHash",
    "nonce": "nonce",
    "base_fee_per_gas": "baseFeePerGas",
    "withdrawals_root": "withdrawalsRoot",
    "blob_gas_used": "blobGasUsed",
    "excess_blob_gas": "excessBlobGas",
    "parent_beacon_block_root": "parentBeaconBlockRoot",
    "requests_hash": "requestsHash",
}


def header_to_json(header: Header) -> dict:
    """A header as eth_getBlock spells it, its hash beside it."""
    values = {shown: getattr(header, name) for name, shown in _HEADER_NAMES.items()}
    spelt = {
        name: hex(value) if isinstance(value, int) else "0x" + value.hex()
        for name, value in values.items()
        if value is not None
    }
    return {**spelt, "hash": "0x" + header.hash.hex()}


def block_to_json(block: Block, whole: bool) -> dict:
    """An answer of eth_getBlock; whole: with transaction objects, else with their hashes."""
    shown = {
        **header_to_json(block.header),
        "size": hex(len(block.encode())),
        "transactions": [
            transaction_to_json(one, block, index) if whole else "0x" + keccak(one).hex()
            for index, one in enumerate(block.transactions)
        ],
        "uncles": ["0x" + ommer.hash.hex() for ommer in block.ommers],
    }
    if block.withdrawals is not None:
        shown["withdrawals"] = [
            {
                "index": hex(one.index),
                "validatorIndex": hex(one.validator_index),
                "address": "0x" + one.address.hex(),
                "amount": hex(one.amount),
            }
            for one in block.withdrawals
        ]
    return shown


_LEGACY = "nonce gasPrice gas to value input v r s".split()
_FEES = "chainId nonce maxPriorityFeePerGas maxFeePerGas gas to value input accessList".split()
_NAMES = {
    0: _LEGACY,
    1: [*"chainId nonce gasPrice gas to value input accessList yParity r s".split()],
    2: [*_FEES, "yParity", "r", "s"],
    3: [*_FEES, "maxFeePerBlobGas", "blobVersionedHashes", "yParity", "r", "s"],
    4: [*_FEES, "authorizationList", "yParity", "r", "s"],
}


def transaction_to_json(encoded: bytes, block: Block | None = None, index: int = 0) -> dict:
    """A transaction object as nodes spell it, from its EIP-2718 envelope."""
    kind = 0 if encoded[0] >= 0xC0 else encoded[0]
    parts = dict(zip(_NAMES[kind], rlp.decode(encoded if kind == 0 else encoded[1:]), strict=True))

    def number(value: bytes) -> str:
        return hex(int.from_bytes(value, "big"))

    shown: dict[str, Any] = {"type": hex(kind), "hash": "0x" + keccak(encoded).hex(), "transactionIndex": hex(index)}
    if block is not None:
        shown |= {"blockHash": "0x" + block.header.hash.hex(), "blockNumber": hex(block.header.number)}
    for name, value in parts.items():
        if name == "to":
            shown[name] = "0x" + value.hex() if value else None
        elif name == "input":
            shown[name] = "0x" + value.hex()
        elif name == "accessList":
            shown[name] = [
                {"address": "0x" + a.hex(), "storageKeys": ["0x" + key.hex() for key in keys]} for a, keys in value
            ]
        elif name == "blobVersionedHashes":
            shown[name] = ["0x" + one.hex() for one in value]
        elif name == "authorizationList":
            shown[name] = [
                dict(
                    zip(
                        ("chainId", "address", "nonce", "yParity", "r", "s"),
                        [number(c), "0x" + a.hex(), *map(number, rest)],
                        strict=True,
                    )
                )
                for c, a, *rest in value
            ]
        else:
            shown[name] = number(value)
    if kind:
        shown["v"] = shown["yParity"]
    return shown
