"""`blockproof fetch`: files, exit codes, ranges that go on, and nothing written that the guest does not accept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import blockproof
from blockproof import fetching
from blockproof.cli import main
from blockproof.errors import UsageError
from blockproof.fetching import RpcOptions, parse_identifier, parse_range
from rpc import cache as cache_module
from rpc import collect as collect_module
from rpc.errors import ReorgError, Unauthorized
from tests.rpc.fake_chain import chain_of_blocks
from tests.rpc.fake_node import FakeNode, Forms, Lies
from witness.importers import load_input
from witness.schema import ExecutionWitness

CHAIN = chain_of_blocks()
REPOSITORY = Path(__file__).resolve().parents[2]
SECRET = "zQ83kKeyOfTheNode7"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Answers of nodes are kept apart from the user's; compiled kernels are not compiled again."""
    monkeypatch.setattr(cache_module, "cache_root", lambda: tmp_path / "cache")
    monkeypatch.delenv("BLOCKPROOF_RPC", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def genesis(tmp_path: Path) -> Path:
    return CHAIN.write_genesis(tmp_path / "fake.json")


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with FakeNode(CHAIN, Forms(witness="reth")) as node:
        yield node


@pytest.fixture
def fetch(node: FakeNode, genesis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command on the fake node, in a folder of its own; an exception that is no exit fails the test."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments: str | Path) -> Result:
        given = [
            "fetch",
            "--rpc",
            f"{node.url}v2/{SECRET}",
            "--chain",
            str(genesis),
            "--timeout",
            "5",
            *map(str, arguments),
        ]
        ended = CliRunner().invoke(main, given, prog_name="blockproof")
        if ended.exception is not None and not isinstance(ended.exception, SystemExit):
            raise ended.exception
        assert SECRET not in ended.output
        return ended

    return run


def files_here() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*") if path.is_file())


# --- one block -------------------------------------------------------------------------------------------------------


def test_a_block_by_number_hash_and_tag(fetch: Callable[..., Result]) -> None:
    last = len(CHAIN.blocks) - 1
    ended = fetch("3")
    assert ended.exit_code == 0
    assert f"wrote fake_3.ssz: block 3, 0x{CHAIN.blocks[3].header.hash.hex()}, prague" in ended.stdout
    assert "calls in" in ended.stderr
    assert fetch("0x2", "-o", "two.ssz").exit_code == 0
    assert fetch("0x" + CHAIN.blocks[1].header.hash.hex(), "--no-cache", "--rate", "1000").exit_code == 0
    assert fetch("latest", "--quiet").exit_code == 0
    assert files_here() == ["fake_1.ssz", "fake_3.ssz", f"fake_{last}.ssz", "two.ssz"]
    for name, number in (("fake_1.ssz", 1), ("two.ssz", 2), ("fake_3.ssz", 3), (f"fake_{last}.ssz", last)):
        loaded = load_input(name)
        assert (loaded.form, loaded.number, loaded.block_hash) == (
            "canonical",
            number,
            CHAIN.blocks[number].header.hash,
        )


def test_json(fetch: Callable[..., Result]) -> None:
    ended = fetch("3", "--json", "--quiet")
    assert ended.exit_code == 0
    assert ended.stderr == ""
    said = json.loads(ended.stdout)
    assert (said["ok"], said["failed"], said["stopped"]) == (True, [], False)
    assert said["blocks"][0]["file"] == "fake_3.ssz"
    assert said["blocks"][0]["block_hash"] == "0x" + CHAIN.blocks[3].header.hash.hex()
    assert said["node"]["calls"] >= 3


@pytest.mark.parametrize(
    "arguments",
    [["x"], ["-1"], ["0x"], ["5..3"], ["1.."], ["..5"], ["1..latest"], ["0..2000000"], ["1", "--rate", "0"], ["1", "--rate", "nan"],
     ["1", "--timeout", "0"], ["1", "--timeout", "nan"], ["1", "--timeout", "inf"], ["1", "--rate", "1e99"], ["1", "--total-timeout", "-1"], ["pending"], ["0x1234567890abcdef0"], ["1..2", "-o", "file"], ["1", "--chain", "absent"]],
)  # fmt: skip
def test_a_question_that_is_off(fetch: Callable[..., Result], node: FakeNode, arguments: list[str]) -> None:
    Path("file").write_bytes(b"")
    ended = fetch(*arguments)
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert node.requests == 0


def test_without_a_node(tmp_path: Path) -> None:
    ended = CliRunner().invoke(main, ["fetch", "3"])
    assert ended.exit_code == 2
    assert "BLOCKPROOF_RPC" in ended.stderr
    ended = CliRunner().invoke(main, ["fetch", "3", "--json", "--rpc", f"ftp://{SECRET}@host/"])
    assert ended.exit_code == 2
    assert json.loads(ended.stdout)["kind"] == "BadUrl"
    assert SECRET not in ended.output


def test_the_node_may_be_named_by_the_environment(
    node: FakeNode, genesis: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BLOCKPROOF_RPC", node.url)
    monkeypatch.setenv("BLOCKPROOF_RPC_AUTHORIZATION", f"Bearer {SECRET}")
    ended = CliRunner().invoke(main, ["fetch", "2", "--chain", str(genesis), "-o", str(tmp_path / "out.ssz")])
    assert ended.exit_code == 0
    assert SECRET not in ended.output
    assert node.seen[0][1]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("lies", "block", "kind", "said"),
    [
        (Lies(always=401), "3", "Unauthorized", "the node refuses the credentials"),
        (Lies(always="text"), "3", "MalformedAnswer", "not JSON"),
        (Lies(), "99", "BlockNotFound", "the node does not have block 0x63"),
        (Lies(), "0", "CollectError", "block 0 is the genesis"),
        (Lies(chain_id=1), "3", "ChainError", "chain id 1"),
        (Lies(errors={"eth_getBlockByHash": {"code": 4444, "message": "pruned"}}), "3", "HistoryPruned", "4444"),
        (Lies(reorg_after=3, other=chain_of_blocks(1)), "3", "ReorgError", "is not on the node's chain any more"),
    ],
)
def test_a_failure_writes_nothing_and_says_what_and_the_mend(
    fetch: Callable[..., Result], node: FakeNode, lies: Lies, block: str, kind: str, said: str
) -> None:
    node.lies = lies
    ended = fetch(block, "--json", "--quiet", "--no-cache")
    assert ended.exit_code == 1
    failure = json.loads(ended.stdout)["failed"][0]
    assert (failure["kind"], json.loads(ended.stdout)["ok"]) == (kind, False)
    assert said in failure["error"]
    node.requests = 0
    node.chain = CHAIN
    plain = fetch(block, "--quiet", "--no-cache")
    assert plain.exit_code == 1
    assert f"blockproof: {failure['error']}"[:60] in plain.stderr
    if failure["mend"]:
        assert f"  mend: {failure['mend']}" in plain.stderr
    assert files_here() == []


def test_an_unknown_chain_needs_its_genesis(node: FakeNode) -> None:
    ended = CliRunner().invoke(main, ["fetch", "3", "--rpc", node.url])
    assert ended.exit_code == 1
    assert "give its genesis file with --chain" in ended.stderr


def test_an_incomplete_input_is_not_written_and_names_what_is_absent(
    fetch: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collector with a fault: it drops one node, one code, one header, and asks no guest."""
    complete = collect_module.collect

    def without(part: str) -> Callable:
        def faulty(*arguments: object, **_: object) -> object:
            collected = complete(*arguments)
            kept = {name: list(getattr(collected.witness, name)) for name in ("state", "codes", "headers")}
            del kept[part][0]
            return collected.with_witness(
                ExecutionWitness(*(tuple(kept[name]) for name in ("state", "codes", "headers")))
            )

        return faulty

    for part in ("state", "codes", "headers"):
        monkeypatch.setattr(collect_module, "collect", without(part))
        ended = fetch("3", "--json", "--quiet")
        assert ended.exit_code == 1
        failure = json.loads(ended.stdout)["failed"][0]
        assert failure["kind"] == "IncompleteInputError"
        assert "missing" in failure["error"].lower() or "header" in failure["error"].lower(), failure
        assert files_here() == []


def test_a_folder_that_cannot_be_written(fetch: Callable[..., Result]) -> None:
    Path("file").write_bytes(b"")
    ended = fetch("3", "-o", "file/in.ssz", "--quiet")
    assert ended.exit_code == 1
    assert files_here() == ["file"]


# --- ranges ----------------------------------------------------------------------------------------------------------


def test_a_range_goes_on_where_it_stopped(fetch: Callable[..., Result], node: FakeNode) -> None:
    """Whole files are kept; a cut one, one of another block and one of a block that left the chain are fetched again."""
    first = fetch("1..5", "-o", "out")
    assert first.exit_code == 0
    assert "5 done (0 were there), 0 failed, 0 not begun" in first.stdout
    names = [f"out/fake_{number}.ssz" for number in range(1, 6)]
    assert files_here() == names
    contents = [Path(name).read_bytes() for name in names]
    Path(names[1]).write_bytes(contents[1][:-7])
    Path(names[2]).write_bytes(contents[3])
    Path(names[4]).unlink()
    again = fetch("1..0x5", "-o", "out")
    assert again.exit_code == 0
    assert "5 done (2 were there), 0 failed" in again.stdout
    assert [Path(name).read_bytes() for name in names] == contents
    node.chain = chain_of_blocks(1)
    later = fetch("1..5", "-o", "out", "--json", "--quiet")
    assert [one["was_there"] for one in json.loads(later.stdout)["blocks"]] == [True, False, False, False, False]
    assert load_input(names[3]).block_hash == node.chain.blocks[4].header.hash


def test_one_bad_block_does_not_stop_a_range(fetch: Callable[..., Result], node: FakeNode) -> None:
    node.lies.answers["eth_getBlockByHash"] = lambda params, answer: (
        {**answer, "transactions": []} if answer["number"] == "0x2" and params[1] else answer
    )
    ended = fetch("1..3", "--quiet")
    assert ended.exit_code == 1
    assert "blockproof: block 2: transactions of block 2: their root" in ended.stderr
    assert "2 done (0 were there), 1 failed, 0 not begun" in ended.stdout
    assert files_here() == ["fake_1.ssz", "fake_3.ssz"]


def test_what_would_fail_for_all_stops_a_range(fetch: Callable[..., Result], node: FakeNode) -> None:
    ended = fetch(f"{len(CHAIN.blocks) - 1}..900000", "--quiet")
    assert ended.exit_code == 1
    assert "1 done (0 were there), 1 failed, 899993 not begun" in ended.stdout
    node.lies.always = 401
    node.requests = 0
    assert fetch("1..900000", "--quiet").exit_code == 1
    assert node.requests == 1


def test_ctrl_c_keeps_what_is_done(
    fetch: Callable[..., Result], node: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = fetching.fetch_from

    def interrupted(node: object, identifier: int, *more: object) -> object:
        if identifier == 3:
            raise KeyboardInterrupt
        return original(node, identifier, *more)

    monkeypatch.setattr("blockproof.fetch_commands.fetch_from", interrupted)
    ended = fetch("1..5", "--quiet")
    assert ended.exit_code == 130
    assert "2 done (0 were there), 0 failed, 3 not begun" in ended.stdout
    assert "stopped" in ended.stderr
    assert files_here() == ["fake_1.ssz", "fake_2.ssz"]
    said = json.loads(fetch("1..5", "--quiet", "--json").stdout)
    assert (said["ok"], said["stopped"], [one["was_there"] for one in said["blocks"]]) == (False, True, [True, True])


@pytest.mark.parametrize("with_signal", [signal.SIGINT, signal.SIGTERM])
def test_a_real_signal_while_the_node_hangs(
    with_signal: signal.Signals, node: FakeNode, genesis: Path, tmp_path: Path
) -> None:
    arguments = ["fetch", "1..3", "--rpc", f"{node.url}{SECRET}", "--chain", str(genesis), "-o", str(tmp_path / "out")]
    command = [sys.executable, "-c", "from blockproof.cli import main; main()", *arguments]
    node.lies.always = "hang"
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    deadline = time.monotonic() + 120
    while not node.requests and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(with_signal)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "0 done (0 were there), 0 failed, 3 not begun" in out
    assert "Traceback" not in out + err
    assert SECRET not in out + err


# --- the library -----------------------------------------------------------------------------------------------------


def test_from_python(node: FakeNode, tmp_path: Path) -> None:
    from witness.chains import load_chain

    chain = load_chain(CHAIN.write_genesis(tmp_path / "fake.json"))
    loaded = blockproof.fetch("0x3", node.url, tmp_path / "three.ssz", chain)
    assert loaded == load_input(tmp_path / "three.ssz", chain)
    assert fetching.fetch_input(CHAIN.blocks[3].header.hash, node.url, chain) == loaded
    assert blockproof.execute(loaded).is_valid
    with pytest.raises(UsageError, match="no node is named"):
        blockproof.fetch(3)
    with pytest.raises(UsageError, match="names no block"):
        blockproof.fetch("pending", node.url)
    assert SECRET not in repr(RpcOptions(authorization=SECRET))


def test_a_block_off_the_chain_is_given_to_who_names_its_hash(node: FakeNode, tmp_path: Path) -> None:
    """The chain changes after the block was collected: by number that is a reorg, by hash it is what was asked for."""
    from witness.chains import load_chain

    chain = load_chain(CHAIN.write_genesis(tmp_path / "fake.json"))
    node.lies = Lies(reorg_after=4, other=chain_of_blocks(1))
    with pytest.raises(ReorgError):
        fetching.fetch_input(3, node.url, chain, RpcOptions(cache=False))
    node.chain, node.requests = CHAIN, 0
    assert fetching.fetch_input(CHAIN.blocks[3].header.hash, node.url, chain, RpcOptions(cache=False)).number == 3
    node.lies = Lies(always=403)
    with pytest.raises(Unauthorized):
        fetching.fetch_input(3, node.url, chain, RpcOptions(cache=False))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("12", 12),
        ("0x0c", 12),
        ("0X0C", 12),
        ("latest", "latest"),
        ("0x" + "Ab" * 32, b"\xab" * 32),
        ("007", 7),
    ],
)
def test_names_of_blocks(text: str, value: object) -> None:
    assert parse_identifier(text) == value


def test_ranges_of_blocks() -> None:
    assert parse_range("24628607..24628620") == range(24628607, 24628621)
    assert parse_range("5..5") == range(5, 6)
    assert parse_range("0x10..20") == range(16, 21)
    assert parse_range("5") is None


@pytest.mark.skipif(os.name != "posix", reason="signals and permissions of POSIX")
def test_files_have_the_users_mode(fetch: Callable[..., Result]) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert fetch("1", "--quiet").exit_code == 0
    assert Path("fake_1.ssz").stat().st_mode & 0o777 == 0o666 & ~mask
