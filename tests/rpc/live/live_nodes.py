"""Nodes as processes of this machine, reached on loopback alone, and the chain of live_chain.py made on each."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from isolated import NO_NAMESPACE
from live_chain import (
    BLOCKS,
    DELEGATING,
    FEE_RECIPIENT,
    GENESIS_TIMESTAMP,
    REMOVING,
    SECONDS_PER_SLOT,
    SYSTEM_CALLED,
    Wallet,
    fresh,
    genesis,
)
from web3 import HTTPProvider

from witness.schema import Fork

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
PROGRAMS = HERE / "node" / "node_modules" / ".bin"
GETH = REPOSITORY / ".tools" / "geth" / "geth"
START_SECONDS, MINE_SECONDS = 60, 30


class NodeFailed(AssertionError):
    """A node that did not start, answer or mine; the message ends with its log's last lines."""


class Rpc:
    """JSON-RPC as the tests drive it: web3's transport, without its formatters."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._provider = HTTPProvider(url, {"timeout": MINE_SECONDS}, exception_retry_configuration=None)

    def __call__(self, method: str, *params: object) -> object:
        answer = self._provider.make_request(method, params)
        if "error" in answer:
            raise NodeFailed(f"{method}: {answer['error']}")
        return answer["result"]

    def block_number(self) -> int:
        return int(self("eth_blockNumber"), 16)


@dataclass(frozen=True)
class LiveChain:
    """
    A running node that holds the chain.

    url: its JSON-RPC; blocks: numbers of the blocks made for each name, one but where the node cuts blocks as it likes;
    genesis: a file for `--chain`; fork: of every block.
    """

    url: str
    rpc: Rpc
    blocks: dict[str, tuple[int, ...]]
    genesis: Path
    fork: Fork


@contextmanager
def process(command: Sequence[str | Path], log: Path, **more: object) -> Iterator[subprocess.Popen]:
    """A process in a group of its own, in the log's folder, its output in `log`; the group is killed at the end."""
    with log.open("ab") as output:
        more = {"stdout": output, "stderr": output, "cwd": log.parent, "start_new_session": True, **more}
        # Should this process be killed, its nodes are too.
        bound = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        with subprocess.Popen([*bound, *(str(part) for part in command)], **more) as started:
            try:
                yield started
            finally:
                # A group without processes is gone: what it was has ended by itself.
                with suppress(ProcessLookupError):
                    os.killpg(started.pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object], node: subprocess.Popen, what: str, log: Path, seconds: float = START_SECONDS) -> object:
    """The first true value of `condition`. Raises NodeFailed after `seconds`, and where the node's process has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and node.poll() is None:
        if value := condition():
            return value
        time.sleep(0.02)
    tail = log.read_text(errors="replace").splitlines()[-15:]
    raise NodeFailed("\n".join([f"{what} within {seconds} s, exit code {node.poll()}; {log}:", *tail]))


def logged(log: Path, pattern: str) -> Callable[[], str | None]:
    """The first group of the pattern's first match in a log, once it is there."""

    def look() -> str | None:
        found = re.search(pattern, log.read_text(errors="replace"))
        return found and found[1]

    return look


def answers(rpc: Rpc) -> Callable[[], object]:
    """Whether a node answers at all."""

    def ask() -> object:
        try:
            return rpc("web3_clientVersion")
        except (OSError, NodeFailed):
            return None

    return ask


def installed(name: str) -> Path:
    """A program of the npm packages; skips where they are not installed."""
    if not (PROGRAMS / name).exists() or not shutil.which("node"):
        pytest.skip(f"{name} is not installed: run `npm ci` in {HERE.relative_to(REPOSITORY) / 'node'}")
    return PROGRAMS / name


# --- anvil -----------------------------------------------------------------------------------------------------------


ANVIL_INVALID = REMOVING | {"blobs"}
"""
Blocks that anvil 1.7.1 makes invalid. Its tries keep what the rules remove: an account that was only looked at, a slot
that was set to zero or only read. The transactions root of a block with blobs is over the transactions' network form.
"""


@contextmanager
def run_anvil(folder: Path) -> Iterator[LiveChain]:
    """
    anvil at Osaka with the chain but its blocks about system calls, of which anvil makes only EIP-2935's.

    The blocks of ANVIL_INVALID come last, so that the others follow valid ones.
    """
    program, log = installed("anvil"), folder / "anvil.log"
    start = genesis(31337, Fork.OSAKA, system_calls=False)
    path = written(folder / "genesis.json", start)
    options = "--accounts 0 --disable-default-create2-deployer --no-mining --order fifo --enable-tx-gas-limit --hardfork osaka --chain-id 31337 --host 127.0.0.1 --port 0"
    fee = ["--block-base-fee-per-gas", "1000000000", "--gas-limit", str(int(start["gasLimit"], 16))]
    with process([program, "--init", path, *options.split(), *fee], log) as node:
        port = wait_for(logged(log, r"Listening on 127\.0\.0\.1:(\d+)"), node, "anvil did not listen", log)
        rpc = Rpc(f"http://127.0.0.1:{port}")
        rpc("anvil_setCoinbase", "0x" + FEE_RECIPIENT.hex())

        def mine(transactions: Sequence[bytes]) -> tuple[int, ...]:
            for transaction in transactions:
                rpc("eth_sendRawTransaction", "0x" + transaction.hex())
            # By itself anvil gives the blocks of one second the same time, which no rule allows.
            number = rpc.block_number() + 1
            rpc("evm_mine", hex(GENESIS_TIMESTAMP + SECONDS_PER_SLOT * number))
            return (number,)

        # anvil states the root of an empty trie for block 0: the first block on a parent with its own root is the second.
        mine([])
        wallet = Wallet(31337, osaka=True)
        names = sorted(BLOCKS.keys() - SYSTEM_CALLED, key=lambda name: (name in ANVIL_INVALID, [*BLOCKS].index(name)))
        blocks = {name: mine([*BLOCKS[name](wallet)]) for name in names}
        yield LiveChain(rpc.url, rpc, blocks, path, Fork.OSAKA)


# --- ethereumjs ------------------------------------------------------------------------------------------------------

ETHEREUMJS_CHAIN = 4224


@contextmanager
def run_ethereumjs(folder: Path) -> Iterator[LiveChain]:
    """
    ethereumjs at Prague with the whole chain, built and imported through its engine API, with withdrawals and requests.

    Its p2p port binds every interface, so it runs in a network namespace; skips where there is none.
    """
    program, log = installed("ethereumjs"), folder / "ethereumjs.log"
    start = genesis(ETHEREUMJS_CHAIN, Fork.PRAGUE)
    path = written(folder / "genesis.json", start)
    options = (
        "--rpc --rpcPort 8545 --rpcEngine --rpcEnginePort 8551 --rpcEngineAuth false --discV4 false --isSingleNode true "
        "--saveReceipts true"
    )
    command = [program, "--gethGenesis", path, "--dataDir", folder / "data", *options.split()]
    isolated = [sys.executable, HERE / "isolated.py", "8545,8551", *command]
    with process(isolated, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as relay:
        ports = relay.stdout.readline().split()
        if not ports:
            if relay.wait(START_SECONDS) == NO_NAMESPACE:
                pytest.skip("no network namespace for ethereumjs: needs root or user namespaces")
            raise NodeFailed(log.read_text(errors="replace"))
        rpc, engine = (Rpc(f"http://127.0.0.1:{port}") for port in ports)
        wait_for(answers(rpc), relay, "ethereumjs did not answer", log)
        wallet, builder = Wallet(ETHEREUMJS_CHAIN, osaka=False), Builder(rpc, engine)
        # ethereumjs 0.10.5 takes no transaction of type 4 into its pool, and fails at one of type 3.
        made = {name: make for name, make in BLOCKS.items() if name not in DELEGATING | {"blobs"}}
        blocks = {name: (builder.mine([*make(wallet)]),) for name, make in made.items()}
        yield LiveChain(rpc.url, rpc, blocks, path, Fork.PRAGUE)


@dataclass
class Builder:
    """The consensus layer's part: has a node build each block and import it, with two withdrawals in every second one."""

    rpc: Rpc
    engine: Rpc
    withdrawals: int = 0

    def mine(self, transactions: Sequence[bytes]) -> int:
        """The number of the block that holds the transactions, as the node's own engine API judges it valid."""
        for transaction in transactions:
            self.rpc("eth_sendRawTransaction", "0x" + transaction.hex())
        head = self.rpc("eth_getBlockByNumber", "latest", False)
        number = int(head["number"], 16) + 1
        beacon_root = "0x" + sha256(b"beacon block %d" % number).hexdigest()
        attributes = {
            "timestamp": hex(GENESIS_TIMESTAMP + SECONDS_PER_SLOT * number),
            "prevRandao": "0x" + sha256(b"randao %d" % number).hexdigest(),
            "suggestedFeeRecipient": "0x" + FEE_RECIPIENT.hex(),
            "withdrawals": self._withdrawals() if number % 2 else [],
            "parentBeaconBlockRoot": beacon_root,
        }
        started = self.engine("engine_forkchoiceUpdatedV3", _choice(head["hash"]), attributes)
        built = self.engine("engine_getPayloadV4", started["payloadId"])
        payload = built["executionPayload"]
        if len(payload["transactions"]) != len(transactions):
            raise NodeFailed(f"block {number} took {len(payload['transactions'])} of {len(transactions)} transactions")
        judged = self.engine("engine_newPayloadV4", payload, [], beacon_root, built["executionRequests"])
        if judged["status"] != "VALID":
            raise NodeFailed(f"block {number}: {judged}")
        self.engine("engine_forkchoiceUpdatedV3", _choice(payload["blockHash"]), None)
        return number

    def _withdrawals(self) -> list[dict[str, str]]:
        """One to an account that is new, one of nothing."""
        made = []
        for amount in (10**9, 0):
            made.append(
                {
                    "index": hex(self.withdrawals),
                    "validatorIndex": hex(7 + self.withdrawals),
                    "address": "0x" + fresh(f"withdrawal {self.withdrawals}").hex(),
                    "amount": hex(amount),
                }
            )
            self.withdrawals += 1
        return made


def _choice(block_hash: str) -> dict[str, str]:
    return {"headBlockHash": block_hash, "safeBlockHash": block_hash, "finalizedBlockHash": block_hash}


# --- geth ------------------------------------------------------------------------------------------------------------

GETH_CHAIN = 4225


@contextmanager
def run_geth(folder: Path) -> Iterator[LiveChain]:
    """
    geth in developer mode at Osaka with the whole chain. It cuts blocks itself, so a name may have several.

    Skips where geth is not built.
    """
    if not GETH.exists():
        pytest.skip(f"geth is not built: run {(HERE / 'build_geth').relative_to(REPOSITORY)}")
    log, data = folder / "geth.log", folder / "data"
    path = written(folder / "genesis.json", genesis(GETH_CHAIN, Fork.OSAKA))
    with process([GETH, "init", "--state.scheme", "hash", "--datadir", data, path], log) as initialising:
        if initialising.wait(START_SECONDS):
            raise NodeFailed(log.read_text(errors="replace"))
    options = (
        "--dev --dev.period 0 --gcmode archive --state.scheme hash --http --http.addr 127.0.0.1 --http.port 0 --authrpc.port 0 "
        "--http.api eth,debug,web3,dev,net --ipcdisable --nodiscover --maxpeers 0"
    )
    with process([GETH, "--datadir", data, *options.split()], log) as node:
        endpoint = r"HTTP server started\s+endpoint=127\.0\.0\.1:(\d+) auth=false"
        port = wait_for(logged(log, endpoint), node, "geth did not listen", log)
        rpc = Rpc(f"http://127.0.0.1:{port}")
        wait_for(answers(rpc), node, "geth did not answer", log)

        def mine(transactions: Sequence[bytes]) -> tuple[int, ...]:
            before = rpc.block_number()
            if not transactions:
                withdrawal = {"index": hex(before), "validatorIndex": "0x7", "address": "0x" + fresh("w").hex(), "amount": "0x9"}
                rpc("dev_addWithdrawal", withdrawal)
            hashes = [rpc("eth_sendRawTransaction", "0x" + transaction.hex()) for transaction in transactions]

            def mined() -> bool:
                found = [rpc("eth_getTransactionReceipt", transaction) for transaction in hashes]
                return rpc.block_number() > before and all(found)

            wait_for(mined, node, "geth did not mine", log, MINE_SECONDS)
            return tuple(range(before + 1, rpc.block_number() + 1))

        wallet = Wallet(GETH_CHAIN, osaka=True)
        blocks = {name: mine([*make(wallet)]) for name, make in BLOCKS.items()}
        yield LiveChain(rpc.url, rpc, blocks, path, Fork.OSAKA)


def written(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path
