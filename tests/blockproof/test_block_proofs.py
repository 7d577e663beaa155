"""
Block proofs: what `verify` accepts and what it refuses.

Two sorts of proofs are looked at. The real ones, of the shipped block guest, take long and are marked heavy. The others are proofs of a program that
outputs whatever 43 bytes it is given: with its id named in --program-id, every check of `verify` after the core proof is met for what it is.
"""

import json
import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import blockproof
from blockproof.block_proof import MAGIC, VERSION, BlockProof
from blockproof.errors import ProofRefusedError, RefusedError, UsageError
from blockproof.guests import load_guest
from blockproof.program_ids import compute_id, format_id
from witness import encode_input, make_devnet_input
from witness.devnet import DevnetOptions
from witness.errors import WitnessError
from witness.schema import StatelessInput, StatelessValidationResult, encode_result, new_payload_request_root
from zkvm.prover import prove_program


@pytest.fixture(scope="session")
def block() -> StatelessInput:
    return make_devnet_input()


@pytest.fixture(scope="session")
def other_block() -> StatelessInput:
    """Another block of the same chain."""
    return make_devnet_input(DevnetOptions(transfers=1))


@pytest.fixture(scope="session")
def block_file(block: StatelessInput, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("block") / "block.ssz"
    path.write_bytes(encode_input(block))
    return path


@pytest.fixture(scope="session")
def invalid_file(block: StatelessInput, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The block without one node of its witness: decodes, and does not validate."""
    path = tmp_path_factory.mktemp("block") / "invalid.ssz"
    path.write_bytes(encode_input(replace(block, witness=replace(block.witness, state=block.witness.state[1:]))))
    return path


def result_of(block: StatelessInput, **changes: object) -> bytes:
    root = new_payload_request_root(block.request)
    return encode_result(replace(StatelessValidationResult(root, True, block.chain_id, block.schema_id), **changes))  # type: ignore[arg-type]


def file_of(block: StatelessInput, core: bytes) -> bytes:
    """A block proof of a request and a core proof, whether or not they belong together."""
    request = block.schema_id.to_bytes(2, "big") + block.request.encode_bytes()
    return MAGIC + struct.pack("<II", VERSION, len(request)) + request + core


@pytest.fixture(scope="session")
def core_of(echo_guest: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[bytes], bytes]:
    """The core proof of the echo guest with an output; one proof for each output."""
    folder, made = tmp_path_factory.mktemp("core"), {}

    def make(output: bytes) -> bytes:
        if output not in made:
            path = folder / f"{len(made)}.proof"
            prove_program(load_guest(str(echo_guest)), output, path, resume=False)
            made[output] = path.read_bytes()
        return made[output]

    return make


@pytest.fixture(scope="session")
def echo_id(echo_guest: Path) -> str:
    return format_id(compute_id(str(echo_guest)))


def test_accepted_and_what_is_said(cli: Callable, tmp_path: Path, block: StatelessInput, core_of: Callable, echo_id: str) -> None:
    path = tmp_path / "block.proof"
    path.write_bytes(file_of(block, core_of(result_of(block))))
    root = "0x" + new_payload_request_root(block.request).hex()
    block_hash = "0x" + bytes(block.request.execution_payload.block_hash).hex()
    answer = cli("verify", path, "--program-id", echo_id, "--expect-block-hash", block_hash, "--expect-root", root[2:])
    assert answer.code == 0 and answer.err == ""
    first, *rest = answer.out.splitlines()
    assert first.startswith("ACCEPTED at 128.") and first.endswith("block 1 of chain 1337, prague: valid")
    assert f"  block hash  {block_hash}" in rest and f"  root        {root}" in rest and "  the proof does not say" in rest
    said = cli("verify", path, "--program-id", echo_id, "--json").json
    assert said["ok"] and said["flag"] == 1 and said["number"] == 1 and said["chain_id"] == 1337 and said["chain"] is None
    assert said["fork"] == "prague" and said["block_hash"] == block_hash and said["new_payload_request_root"] == root
    assert said["program_id"] == echo_id and said["bits"] >= 128 and len(said["does_not_say"]) >= 3


def test_refusals(cli: Callable, tmp_path: Path, block: StatelessInput, other_block: StatelessInput, core_of: Callable, echo_id: str) -> None:
    core = core_of(result_of(block))
    good, swapped, cut, long = (tmp_path / name for name in ("good", "swapped", "cut", "long"))
    good.write_bytes(file_of(block, core))
    swapped.write_bytes(file_of(other_block, core))
    cut.write_bytes(file_of(block, core)[:-1])
    long.write_bytes(file_of(block, core) + b"\0")

    def refused(reason: str, path: Path, *options: str) -> None:
        answer = cli("verify", path, *options)
        assert answer.code == 1 and answer.out == "" and answer.err.startswith("REFUSED  ") and reason in answer.err, answer
        said = cli("verify", path, *options, "--json")
        assert said.code == 1 and said.json["kind"] == "ProofRefusedError" and reason in said.json["error"]

    by_id = ("--program-id", echo_id)
    refused("not the shipped block guest", good)
    refused("other program", good, "--program-id", "0x" + "00000001" * 9)
    refused("security too low", good, *by_id, "--security", "129")
    refused("is about block 0x", good, *by_id, "--expect-block-hash", "0x" + "11" * 32)
    refused("is about root 0x", good, *by_id, "--expect-root", "0x" + "11" * 32)
    refused("the request has root 0x", swapped, *by_id)
    refused("malformed", cut, *by_id)
    refused("malformed", long, *by_id)


def test_every_part_of_the_request_is_bound(tmp_path: Path, block: StatelessInput, core_of: Callable, echo_guest: Path) -> None:
    """A bit changed anywhere before the core proof: refused, with a typed error whatever the SSZ library thinks of it."""
    content = file_of(block, core_of(result_of(block)))
    program_id, path = compute_id(str(echo_guest)), tmp_path / "changed.proof"
    end = len(content) - len(core_of(result_of(block)))
    for position in [*range(20), *range(20, end, max(1, (end - 20) // 12))]:
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        path.write_bytes(changed)
        with pytest.raises(ProofRefusedError):
            blockproof.verify(path, program_id=program_id)


def test_hostile_requests(block: StatelessInput) -> None:
    """Requests are decoded before their root is compared: no bytes may end in another error than a refusal."""
    from blockproof.block_proof import _describe
    from witness.schema import Fork

    encoded = block.request.encode_bytes()
    state = 12345
    for trial in range(400):
        changed = bytearray(encoded)
        for _ in range(1 + trial % 4):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            changed[(state >> 33) % len(changed)] = state >> 56
        if trial % 5 == 0:
            del changed[(state >> 20) % len(changed) :]
        for fork in (Fork.PRAGUE, Fork.PARIS, Fork.LONDON):
            try:
                _describe(bytes(changed), fork, check_hash=bool(trial & 1))
            except ProofRefusedError:
                continue


def test_flag_0(cli: Callable, tmp_path: Path, block: StatelessInput, core_of: Callable, echo_id: str) -> None:
    path = tmp_path / "invalid.proof"
    path.write_bytes(file_of(block, core_of(result_of(block, successful_validation=False))))
    answer = cli("verify", path, "--program-id", echo_id)
    assert answer.code == 1 and "did not validate" in answer.err and "--allow-invalid" in answer.err
    answer = cli("verify", path, "--program-id", echo_id, "--allow-invalid")
    assert answer.code == 0 and "an input for it did NOT validate" in answer.out
    assert "anything about the block" in answer.out
    assert cli("verify", path, "--program-id", echo_id, "--allow-invalid", "--json").json["flag"] == 0


@pytest.mark.parametrize(
    ("name", "reason"), [("zeros", "could not be decoded"), ("flag 2", "no block guest's"), ("another schema id", "names schema id")]
)
def test_outputs_that_say_nothing_about_the_block(
    cli: Callable, tmp_path: Path, block: StatelessInput, core_of: Callable, echo_id: str, name: str, reason: str
) -> None:
    good = result_of(block)
    output = {"zeros": bytes(43), "flag 2": good[:32] + b"\2" + good[33:], "another schema id": result_of(block, schema_id=0x1181)}[name]
    path = tmp_path / "odd.proof"
    path.write_bytes(file_of(block, core_of(output)))
    answer = cli("verify", path, "--program-id", echo_id, "--allow-invalid")
    assert answer.code == 1 and reason in answer.err


def test_a_proof_of_another_guest(cli: Callable, tmp_path: Path, block: StatelessInput, made_proof) -> None:
    path = tmp_path / "key.proof"
    path.write_bytes(file_of(block, made_proof.path.read_bytes()))
    answer = cli("verify", path)
    assert answer.code == 1 and "not the shipped block guest" in answer.err
    answer = cli("verify", path, "--program-id", format_id(compute_id("key-ownership")))
    assert answer.code == 1 and "32 bytes; a block guest's has 43" in answer.err
    assert cli("security", path).code == 0
    assert cli("inspect", path, "--json").json["what"] == "block proof, not verified here"


def test_inputs_that_do_not_validate_are_not_proven(cli: Callable, tmp_path: Path, invalid_file: Path) -> None:
    answer = cli("execute", invalid_file)
    assert answer.code == 1 and "NOT VALID" in answer.out and "reason      invalid: missing node 0x" in answer.out
    said = cli("execute", invalid_file, "--json")
    assert said.code == 1 and said.json["flag"] == 0 and "missing" in said.json["reason"]
    answer = cli("prove", invalid_file, "-o", tmp_path / "p", "--quiet")
    assert answer.code == 1 and "does not validate" in answer.err and "--allow-invalid" in answer.err
    assert not list(tmp_path.iterdir())


def test_execute(cli: Callable, block_file: Path, block: StatelessInput) -> None:
    answer = cli("execute", block_file)
    assert answer.code == 0 and answer.out.startswith("block 1 of chain 1337, prague: valid\n") and "steps by region" in answer.out
    said = cli("execute", block_file, "--json").json
    assert said["ok"] and said["flag"] == 1 and said["reason"] == "" and said["transactions"] == 3
    assert said["new_payload_request_root"] == "0x" + new_payload_request_root(block.request).hex()
    answer = cli("execute", block_file, "--max-steps", "1000", "--json")
    assert answer.code == 1 and answer.json["kind"] == "StepLimitReached"
    answer = cli("execute", block_file, "--chain", "mainnet")
    assert answer.code == 2 and "mainnet" in answer.err


@pytest.fixture(scope="module")
def data() -> Path:
    """The folder of real blocks; skips where there is none."""
    folder = Path(os.environ.get("BLOCKPROOF_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    if not (folder / "index.json").is_file():
        pytest.skip("no data folder: set BLOCKPROOF_DATA")
    return folder


def test_real_blocks(cli: Callable, data: Path, tmp_path: Path) -> None:
    """The smallest complete block of the data, and the two whose witness is incomplete: refused by name of what is missing."""
    blocks = json.loads((data / "index.json").read_text())["blocks"]
    files = {block["block"]: data / "blocks" / Path(block["file"]).name for block in blocks}
    smallest = min((block for block in blocks if block["block"] not in INCOMPLETE), key=lambda block: block["gasUsed"])
    answer = cli("execute", files[smallest["block"]], "--json")
    assert answer.code == 0 and answer.json["number"] == smallest["block"] and answer.json["block_hash"] == smallest["blockHash"]
    assert answer.json["gas_used"] == smallest["gasUsed"] and answer.json["chain_id"] == 1
    for number in INCOMPLETE:
        path = files[number]
        answer = cli("execute", path)
        assert answer.code == 1 and f"block {number} of mainnet" in answer.out and "missing" in answer.out
        answer = cli("prove", path, "-o", tmp_path / "p", "--quiet")
        assert answer.code == 1 and "missing" in answer.err and "--allow-invalid" in answer.err
        assert cli("inspect", path, "--json").json["block"] == number


INCOMPLETE = (21000001, 22188088)


# --- the library -----------------------------------------------------------------------------------------------------


def test_the_library(block_file: Path, invalid_file: Path, tmp_path: Path, block: StatelessInput, core_of: Callable, echo_guest: Path) -> None:
    """`from blockproof import execute, prove, verify`: values and errors are typed."""
    from blockproof import BlockVerdict, execute, prove, verify

    verdict = execute(block_file)
    assert isinstance(verdict, BlockVerdict) and verdict.is_valid and verdict.reason == ""
    assert verdict.result.new_payload_request_root == new_payload_request_root(block.request)
    refused = execute(str(invalid_file))
    assert not refused.is_valid and refused.decodable and refused.reason
    with pytest.raises(RefusedError, match="does not validate") as caught:
        prove(invalid_file, tmp_path / "p")
    assert caught.value.mend
    with pytest.raises(UsageError):
        execute(tmp_path / "absent")
    (tmp_path / "noise").write_bytes(b"noise")
    with pytest.raises(WitnessError):
        execute(tmp_path / "noise")
    with pytest.raises(UsageError):
        verify(tmp_path / "absent")
    with pytest.raises(ProofRefusedError):
        verify(tmp_path / "noise")
    with pytest.raises(OSError, match="no regular file"):
        prove(block_file, tmp_path)
    path = tmp_path / "block.proof"
    path.write_bytes(file_of(block, core_of(result_of(block))))
    accepted = verify(path, program_id=compute_id(str(echo_guest)), expect_block_hash=verdict.block.block_hash)
    assert isinstance(accepted, BlockProof) and accepted.is_valid and accepted.number == 1 and accepted.bits >= 128
    assert accepted.request_root == verdict.result.new_payload_request_root


def test_undecodable_inputs_are_not_proven(tmp_path: Path, block_file: Path) -> None:
    """Such a proof would be about no block: refused even where invalid inputs are allowed."""
    from blockproof import prove
    from blockproof.pipeline import load_block

    loaded = load_block(block_file)
    with pytest.raises(RefusedError, match="about no block"):
        prove(replace(loaded, encoded=loaded.encoded[:-3]), tmp_path / "p", allow_invalid=True)


# --- the shipped block guest -----------------------------------------------------------------------------------------


def test_the_devnet_block(cli: Callable, tmp_path: Path, block_file: Path, block: StatelessInput, other_block: StatelessInput, echo_id: str) -> None:
    """The whole pipeline: proven, verified, and refused as soon as the question is about something else."""
    path = tmp_path / "block.proof"
    answer = cli("prove", block_file, "-o", path, "--verify", "--json")
    assert answer.code == 0, answer
    said = answer.json
    assert said["ok"] and said["flag"] == 1 and said["verified"]["ok"] and said["verified"]["block_hash"] == said["block_hash"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["block.proof"]
    root = "0x" + new_payload_request_root(block.request).hex()
    assert cli("verify", path, "--expect-block-hash", said["block_hash"], "--expect-root", root).code == 0
    for options, reason in (
        (("--expect-block-hash", "0x" + "22" * 32), "is about block"),
        (("--expect-root", "0x" + "22" * 32), "is about root"),
        (("--program-id", echo_id), "other program"),
        (("--security", "129"), "security too low"),
    ):
        answer = cli("verify", path, *options)
        assert answer.code == 1 and reason in answer.err
    content = path.read_bytes()
    length = struct.unpack_from("<I", content, 12)[0]
    path.write_bytes(file_of(other_block, content[16 + length :]))
    answer = cli("verify", path)
    assert answer.code == 1 and "the request has root" in answer.err


@pytest.mark.heavy
def test_an_invalid_block_is_proven_where_asked_for(cli: Callable, tmp_path: Path, invalid_file: Path) -> None:
    path = tmp_path / "invalid.proof"
    answer = cli("prove", invalid_file, "-o", path, "--allow-invalid", "--quiet", "--json")
    assert answer.code == 0 and answer.json["flag"] == 0
    assert cli("verify", path).code == 1
    assert cli("verify", path, "--allow-invalid", "--json").json["flag"] == 0
