"""
Two oracles on the same blocks: EELS and py-evm agree on the verdict and on the state root, Frontier to Prague.

A seeded sample of the data folder's suites, and the project's own suite. Where py-evm is known to be wrong, the fault is
named in KNOWN_FAULTS; a disagreement without a named fault fails.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from witness.block import Block
from witness.errors import WitnessError
from witness.fixtures import NETWORKS, Fixture, fixture, read_suite
from witness.py_evm_oracle import VMS, PyEvmChain
from witness.record import execute_on, state_after, state_from_accounts
from witness.schema import REVISION_UNBOUND, Fork

SUITE = Path(__file__).resolve().parents[2] / "fixtures"

KNOWN_FAULTS = (
    # An ommer's difficulty is compared with nothing: VM.validate_uncle checks number, timestamp and gas limit alone.
    ("INVALID_UNCLE_DIFFICULTY", "py-evm accepts"),
    # EIP-7610 is not implemented: py-evm creates a contract over an account that has storage alone.
    ("initcollision", "state root"),
    ("create_collision", "state root"),
    # EIP-7002, EIP-7251: a block is invalid where a system contract has no code; py-evm skips the call.
    ("SYSTEM_CONTRACT_EMPTY", "py-evm accepts"),
)
"""Part of a test's name or of its expected exception, and how py-evm 0.12.1b1 differs there."""

SLOW_IN_PYTHON = ("blake2", "pairing", "call_insufficient_balance")
"""Parts of names: without compiled helpers py-evm needs minutes for these."""

ARCHIVES = [
    ("Frontier", 0.5),
    ("Homestead", 0.5),
    ("Byzantium", 0.2),
    ("ConstantinopleFix", 0.2),
    ("Istanbul", 0.1),
    ("Berlin", 0.1),
    ("London", 0.1),
    ("Paris", 0.1),
    ("Shanghai", 0.1),
    ("Cancun", 0.003),
    ("Prague", 0.003),
    ("ShanghaiToCancunAtTime15k", 0.5),
    ("CancunToPragueAtTime15k", 0.5),
]
ORDINARY_GAS, HEAVY_GAS = 150_000, 1_000_000
ORDINARY_TESTS = 12


def forks_of(test: Fixture) -> tuple[tuple[int, Fork], ...]:
    """py-evm tells forks by block number: where a network changes at a time, the first block from then on counts."""
    if test.network in NETWORKS:
        return ((0, NETWORKS[test.network]),)
    schedule: dict[Fork, int] = {}
    for given in test.blocks:
        if given.timestamp is not None:
            number = Block.decode(given.rlp).header.number
            fork = test.fork_of(given)
            schedule[fork] = min(number, schedule.get(fork, number))
    before = NETWORKS[test.network.partition("To")[0]]
    return ((0, before), *sorted((number, fork) for fork, number in schedule.items() if fork != before))


def disagreements(test: Fixture) -> list[str]:
    """Blocks on which the oracles differ, in words; after the first on a valid block the chains are no longer the same."""
    found = []
    state = state_from_accounts(test.pre)
    headers = [Block.decode(test.genesis).header]
    chain = PyEvmChain(forks_of(test), test.chain_id, headers[0], test.pre)
    for index, given in enumerate(test.blocks):
        try:
            block = Block.decode(given.rlp)
            ancestors = [header.encode() for header in headers[-256:]]
            executed = execute_on(state, ancestors, block, test.chain_id, test.fork_of(given), REVISION_UNBOUND)
        except WitnessError as error:
            if chain.import_block(given.rlp).valid:
                found.append(f"block {index}: py-evm accepts {given.exception}, EELS refuses: {error}")
            continue
        verdict = chain.import_block(given.rlp)
        if not verdict.valid:
            what = "another state root" if "header.state_root" in verdict.reason else "py-evm refuses"
            found.append(f"block {index}: {what}: {verdict.reason}")
            return found
        if verdict.state_root != executed.post_state_root:
            found.append(f"block {index}: another state root: 0x{verdict.state_root.hex()}")
        state = state_after(state, executed)
        headers.append(block.header)
    return found


def is_known(name: str, disagreement: str) -> bool:
    return any(part in name + disagreement and how in disagreement for part, how in KNOWN_FAULTS)


def check_suite(path: Path, share: float, gas: int, most: int | None) -> int:
    """Compares a seeded sample and returns how many tests that were."""
    generator, count = random.Random(20_26), 0
    for raw in read_suite(path):
        if generator.random() > share or any(part in raw.name for part in SLOW_IN_PYTHON):
            continue
        try:
            test = fixture(raw)
        except WitnessError:
            continue
        if test.gas_used > gas or len(test.blocks) > 40:
            continue
        unexplained = [found for found in disagreements(test) if not is_known(raw.name, found)]
        assert unexplained == [], raw.name
        count += 1
        if count == most:
            break
    return count


def archive(data: Path, name: str) -> Path:
    path = data / "fixtures" / f"eest_v5.4.0_{name}.tar.zst"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the data folder")
    return path


@pytest.mark.parametrize(("name", "share"), ARCHIVES, ids=[name for name, _ in ARCHIVES])
def test_sample(data, name, share):
    assert check_suite(archive(data, name), share, ORDINARY_GAS, ORDINARY_TESTS) > 0


@pytest.mark.heavy
@pytest.mark.parametrize(("name", "share"), ARCHIVES, ids=[name for name, _ in ARCHIVES])
def test_larger_sample(data, name, share):
    assert check_suite(archive(data, name), min(1.0, 5 * share), HEAVY_GAS, 15 * ORDINARY_TESTS) > 0


OWN = ["EIP150", "EIP158", "Istanbul", "London", "Prague"]


# The glaciers' chains begin at mainnet's numbers, py-evm's at 0.
EVERY = [path.stem for path in SUITE.glob("*.json") if NETWORKS.get(path.stem) in VMS and "glacier" not in path.stem]


@pytest.mark.parametrize("network", OWN)
def test_own_suite(network):
    """The forks that the data folder has no archive of, and of the others those with the most in them."""
    assert check_suite(SUITE / f"{network}.json", 1.0, 1 << 40, None) == 2


@pytest.mark.heavy
@pytest.mark.parametrize("network", EVERY)
def test_own_suite_of_every_fork(network):
    assert check_suite(SUITE / f"{network}.json", 1.0, 1 << 40, None) == 2
