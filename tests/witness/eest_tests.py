"""Reads EEST blockchain tests from their archives and runs them through recorder and oracle."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import zstandard

from witness.block import Block, block_to_request, recover_public_keys
from witness.errors import MissingWitness, WitnessError
from witness.record import accounts_from_alloc, execute_on, state_after, state_from_accounts
from witness.schema import REVISION_UNBOUND, Fork, StatelessInput, encode_input
from witness.validate import validate

NETWORKS = {
    "Frontier": Fork.FRONTIER,
    "Homestead": Fork.HOMESTEAD,
    "EIP150": Fork.TANGERINE_WHISTLE,
    "EIP158": Fork.SPURIOUS_DRAGON,
    "Byzantium": Fork.BYZANTIUM,
    "ConstantinopleFix": Fork.CONSTANTINOPLE,
    "Istanbul": Fork.ISTANBUL,
    "Berlin": Fork.BERLIN,
    "London": Fork.LONDON,
    "Paris": Fork.PARIS,
    "Shanghai": Fork.SHANGHAI,
    "Cancun": Fork.CANCUN,
    "Prague": Fork.PRAGUE,
    "Osaka": Fork.OSAKA,
    "BPO1": Fork.BPO1,
    "BPO2": Fork.BPO2,
    "BPO3": Fork.BPO3,
    "BPO4": Fork.BPO4,
}
TRANSITION_TIME = 15_000


def archived_tests(archive: Path) -> Iterator[tuple[str, dict]]:
    """Every (name, blockchain test) of a .tar.zst archive, streamed."""
    with archive.open("rb") as file:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file)
        with tarfile.open(fileobj=io.BufferedReader(reader), mode="r|") as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(".json"):
                    yield from json.load(tar.extractfile(member)).items()


def fork_of(network: str, timestamp: int) -> Fork:
    """The fork of a block of a test."""
    if "AtTime15k" in network:
        before, after = network.removesuffix("AtTime15k").split("To")
        return NETWORKS[after if timestamp >= TRANSITION_TIME else before]
    return NETWORKS[network]


def disagreements_of(test: dict, minimal_too: bool = True) -> list[str]:
    """
    Disagreements with a blockchain test, empty if there is none.

    Each block is executed on the whole state; a valid one is then validated again from its recorded witness alone.
    """
    disagreements = []
    state = state_from_accounts(accounts_from_alloc(test["pre"]))
    genesis = Block.decode(bytes.fromhex(test["genesisRLP"][2:]))
    if genesis.header.state_root != state.root:
        return [f"genesis state root {state.root.hex()}"]
    chain_id = int(test.get("config", {}).get("chainid", "0x1"), 16)
    headers = [genesis.header]
    for index, given in enumerate(test["blocks"]):
        expected = given.get("expectException")
        try:
            block = Block.decode(bytes.fromhex(given["rlp"][2:]))
            fork = fork_of(test["network"], block.header.timestamp)
            chain = [header.encode() for header in headers[-256:]]
            executed = execute_on(state, chain, block, chain_id, fork, REVISION_UNBOUND)
            requests = executed.requests if fork >= Fork.PRAGUE else None
            request = block_to_request(block, fork, requests)
            keys = recover_public_keys(block.transactions)
        except MissingWitness as error:
            disagreements.append(f"block {index}: {error}")
            break
        except WitnessError as error:
            if expected is None:
                disagreements.append(f"block {index}: refused a valid block: {type(error).__name__}: {error}")
                break
            continue
        if expected is not None:
            disagreements.append(f"block {index}: accepted, expected {expected}")
            break
        if minimal_too:
            recorded = StatelessInput(fork, request, executed.touched, chain_id, keys, REVISION_UNBOUND)
            verdict = validate(encode_input(recorded))
            if not verdict.valid:
                disagreements.append(f"block {index}: the recorded witness is not enough: {verdict.reason}")
        state = state_after(state, executed)
        headers.append(block.header)
    if not disagreements and headers[-1].hash.hex() != test["lastblockhash"].removeprefix("0x"):
        disagreements.append(f"last block is {headers[-1].hash.hex()}")
    return disagreements
