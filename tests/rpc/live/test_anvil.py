"""Blocks of anvil at Osaka: collected by eth_getProof, prefetched by its prestateTracer."""

import json
from pathlib import Path

import pytest
from live_chain import BLOCKS, SYSTEM_CALLED
from live_checks import blockproof, collected
from live_nodes import ANVIL_INVALID, LiveChain

from rpc.collect import collect
from rpc.collect_errors import BlockRefused
from rpc.node import Node
from witness.chains import load_chain
from witness.errors import ChainError, WitnessError
from witness.importers import load_input
from witness.schema import Fork

VALID = [name for name in BLOCKS if name not in SYSTEM_CALLED | ANVIL_INVALID]


@pytest.mark.parametrize("name", VALID)
def test_a_block_is_collected(anvil: LiveChain, name: str) -> None:
    """Oracle and guest accept it at Osaka, and reach the node's state root."""
    (number,) = anvil.blocks[name]
    assert collected(anvil, number).fork is Fork.OSAKA


@pytest.mark.parametrize("name", ["self-destructions", "access-lists", "delegations", "ancestors"])
@pytest.mark.parametrize("hidden", [("prestate",), ("prestate", "access_list")], ids=["access list", "nothing"])
def test_the_hints_change_nothing(anvil: LiveChain, name: str, hidden: tuple[str, ...]) -> None:
    """With the tracer, with eth_createAccessList or with neither, the input is the same to the byte."""
    (number,) = anvil.blocks[name]
    assert collected(anvil, number, hidden=hidden).encoded == collected(anvil, number).encoded


@pytest.mark.parametrize(
    "name", ["collapse-to-leaf", "absent-slots", "traceless-self-destructions", "touched-empty-accounts", "absent-accounts"]
)
def test_a_block_that_the_node_got_wrong_is_refused(anvil: LiveChain, name: str) -> None:
    """anvil keeps zero slots and empty accounts in its tries; its state root is not the one of the rules."""
    (number,) = anvil.blocks[name]
    with pytest.raises(BlockRefused, match=f"block {number} does not validate under osaka: (state root|gas used) is "):
        collect(Node(anvil.url), number, load_chain(anvil.genesis))


def test_blobs_under_the_transactions_root_are_refused(anvil: LiveChain) -> None:
    """anvil's transactions root is over transactions with their blobs, which are no part of a block."""
    (number,) = anvil.blocks["blobs"]
    with pytest.raises(WitnessError):
        collect(Node(anvil.url), number, load_chain(anvil.genesis))


def test_a_parent_with_a_wrong_root_is_refused(anvil: LiveChain) -> None:
    """anvil states the root of an empty trie for block 0: no proof fits it."""
    with pytest.raises(WitnessError):
        collect(Node(anvil.url), 1, load_chain(anvil.genesis))


def test_a_chain_that_is_not_known_needs_its_genesis(anvil: LiveChain) -> None:
    with pytest.raises(ChainError, match="31337 is not known"):
        collect(Node(anvil.url), 2)


def test_the_command_line(anvil: LiveChain, tmp_path: Path) -> None:
    """A number, a hash and a tag that is no block of the rules; a range, and the same range again."""
    node = ["--rpc", anvil.url, "--chain", anvil.genesis, "--no-cache", "--quiet"]
    (number,) = anvil.blocks["creations"]
    one = blockproof("fetch", number, *node, "-o", tmp_path / "one.ssz")
    assert one.exit_code == 0, one.stderr
    loaded = load_input(tmp_path / "one.ssz", load_chain(anvil.genesis))
    assert loaded.encoded == collected(anvil, number).encoded
    by_hash = blockproof("fetch", "0x" + loaded.block_hash.hex(), *node, "-o", tmp_path / "two.ssz")
    assert by_hash.exit_code == 0, by_hash.stderr
    assert (tmp_path / "two.ssz").read_bytes() == loaded.encoded
    refused = blockproof("fetch", "latest", *node, "-o", tmp_path / "three.ssz")
    assert refused.exit_code == 1 and "does not validate under osaka" in refused.stderr
    assert not (tmp_path / "three.ssz").exists()
    for was_there in (False, True):
        many = blockproof("fetch", f"{number}..{number + 1}", *node, "--json", "-o", tmp_path / "many")
        assert many.exit_code == 0, many.stderr
        assert [block["was_there"] for block in json.loads(many.stdout)["blocks"]] == [was_there] * 2
