"""The node client on answers that real nodes gave, served again over HTTP as they were recorded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from rpc import answers
from rpc.collect import collect
from rpc.errors import WrongBlock
from rpc.node import Node
from rpc.proofs import verify_account
from tests.rpc.fake_chain import chain_of_blocks
from tests.rpc.fake_node import QUICK, FakeNode, Forms, _Refusal
from tests.rpc.recorded import RECORDINGS, read_json
from witness.importers import import_witness
from witness.schema import encode_input
from witness.validate import validate


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real blocks and fixtures; skips where there is none."""
    folder = Path(os.environ.get("BLOCKPROOF_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    if not (folder / "index.json").is_file():
        pytest.skip("no data folder: set BLOCKPROOF_DATA")
    return folder


def number_of(text: str) -> int:
    return int(text, 16)


class RecordedNode(FakeNode):
    """A mainnet node that knows two blocks and what was asked about them, and answers in the words of the real one."""

    def __init__(self, recording: dict) -> None:
        super().__init__(chain_of_blocks(), Forms(prestate=True))
        self.blocks = {number_of(block["number"]): block for _, block in recording["full_blocks"]}
        self.proofs = {(asked["block_no"], asked["address"].lower()): answer for asked, answer in recording["proofs"]}
        self.codes = {(asked["block_no"], asked["address"].lower()): code for asked, code in recording["code"]}

    def _eth_chainId(self) -> str:
        return "0x1"

    def _number(self, name: object) -> int | None:
        wanted = name["blockHash"] if isinstance(name, dict) else name
        for number, block in self.blocks.items():
            if wanted in (block["hash"], hex(number)):
                return number
        return None

    def _eth_getBlockByNumber(self, name: str, whole: bool) -> dict | None:
        block = self.blocks.get(self._number(name))
        return (
            block
            if whole or block is None
            else {**block, "transactions": [one["hash"] for one in block["transactions"]]}
        )

    _eth_getBlockByHash = _eth_getBlockByNumber

    def _eth_getProof(self, address: str, slots: Sequence[str], name: object) -> dict:
        recorded = self.proofs.get((self._number(name), address))
        if recorded is None:
            raise _Refusal(-32000, f"not recorded: {address}")
        wanted = set(map(number_of, slots))
        return {
            **recorded,
            "storageProof": [one for one in recorded["storageProof"] if number_of(one["key"]) in wanted],
        }

    def _eth_getCode(self, address: str, name: object) -> str:
        return self.codes[self._number(name), address]

    def _debug_traceBlockByHash(self, name: str, options: dict) -> list[dict]:
        before = self._number(name) - 1
        touched = {
            address: {"storage": {one["key"]: "0x0" for one in answer["storageProof"]}}
            for (number, address), answer in self.proofs.items()
            if number == before
        }
        return [{"result": touched}]


def recorded_blocks(data: Path) -> list[dict]:
    found = [block for name, _ in RECORDINGS.values() for _, block in read_json(data / "rpc" / name)["full_blocks"]]
    return [*found, read_json(data / "rpc" / "sbv__holesky_0x2d411e_block.json.gz")]


def test_blocks_of_real_nodes_are_built_again(data: Path) -> None:
    """Nine blocks of mainnet and Holesky, Frontier to Cancun, transactions of types 0 to 3: every root matches."""
    kinds = set()
    for shown in recorded_blocks(data):
        header = answers.read_header(shown, bytes.fromhex(shown["hash"][2:]))
        block = answers.read_body(shown, header, ())
        assert len(block.transactions) == len(shown["transactions"])
        kinds |= {one.get("type") for one in shown["transactions"]}
        if shown["transactions"]:
            changed = {
                **shown,
                "transactions": [{**shown["transactions"][0], "nonce": "0xffff"}, *shown["transactions"][1:]],
            }
            with pytest.raises(WrongBlock, match="transaction 0 of block"):
                answers.read_body(changed, header, ())
    assert kinds == {"0x0", "0x1", "0x2", "0x3"}


@pytest.mark.parametrize("number", sorted(RECORDINGS))
def test_proofs_of_real_nodes_are_read_and_verified(data: Path, number: int) -> None:
    recording = read_json(data / "rpc" / RECORDINGS[number][0])
    roots = {number_of(block["number"]): answers.read_header(block).state_root for _, block in recording["full_blocks"]}
    for asked, answer in recording["proofs"][:200]:
        slots = [number_of(one["key"]).to_bytes(32, "big") for one in answer["storageProof"]]
        proof = answers.read_proof(answer, bytes.fromhex(asked["address"][2:]), slots)
        verify_account(roots[asked["block_no"]], proof, slots)
        assert answers.read_proof(answers.proof_to_json(proof), proof.address, slots) == proof


def check_collected(data: Path, number: int) -> None:
    with RecordedNode(read_json(data / "rpc" / RECORDINGS[number][0])) as fake, Node(fake.url, limits=QUICK) as node:
        collected = collect(node, number)
        assert validate(encode_input(collected)).valid


@pytest.mark.parametrize("number", [1_150_000, 2_675_000])
def test_a_recorded_block_is_collected_over_http(data: Path, number: int) -> None:
    check_collected(data, number)


@pytest.mark.heavy
@pytest.mark.parametrize("number", [4_370_000, 18_884_864])
def test_a_larger_recorded_block_is_collected_over_http(data: Path, number: int) -> None:
    check_collected(data, number)


def test_a_recorded_witness_in_the_map_form(data: Path) -> None:
    shown = read_json(data / "rpc" / "sbv__holesky_0x2d411e_block.json.gz")
    header = answers.read_header(shown)
    witness = read_json(data / "rpc" / "sbv__holesky_0x2d411e_debug_executionWitness_reth_mapform.json.gz")
    fake = RecordedNode({"full_blocks": [[{}, shown]], "proofs": [], "code": []})
    fake._debug_executionWitness = lambda name: witness if int(name, 16) == header.number else None
    with fake, Node(fake.url, limits=QUICK) as node:
        block = node.block(header.hash)
        found = import_witness(node.execution_witness(block))
        assert len(found.state) == len(witness["state"])
