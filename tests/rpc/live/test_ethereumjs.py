"""
Blocks of ethereumjs at Prague, built through its engine API: withdrawals, system calls, requests.

It offers neither debug_executionWitness nor a tracer nor access lists: everything is fetched as execution asks for it.
"""

from pathlib import Path

import pytest
from live_chain import BLOCKS, DELEGATING, REMOVING, genesis
from live_checks import blockproof, collected
from live_nodes import ETHEREUMJS_CHAIN, LiveChain

from witness.chains import chain_from_genesis, load_chain
from witness.importers import load_input
from witness.schema import Fork

NAMES = [name for name in BLOCKS if name not in DELEGATING | {"blobs"}]


@pytest.mark.parametrize("name", NAMES)
def test_a_block_is_collected(ethereumjs: LiveChain, name: str) -> None:
    """Oracle and guest accept it at Prague, and reach the node's state root."""
    (number,) = ethereumjs.blocks[name]
    assert collected(ethereumjs, number).fork is Fork.PRAGUE


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("collapse-") and name in REMOVING])
def test_deletions_under_osaka(ethereumjs: LiveChain, name: str) -> None:
    """These blocks use nothing that Osaka changed, so they are valid under it too, and are collected with its rules."""
    (number,) = ethereumjs.blocks[name]
    osaka = chain_from_genesis(genesis(ETHEREUMJS_CHAIN, Fork.OSAKA), "osaka")
    assert collected(ethereumjs, number, config=osaka).fork is Fork.OSAKA


def test_requests_and_withdrawals(ethereumjs: LiveChain) -> None:
    """The collected requests are what was asked for: 16 withdrawals of 18, then the other two; one consolidation; deposits."""
    first, rest, deposits = (
        collected(ethereumjs, ethereumjs.blocks[name][0]).stateless_input.request
        for name in ("withdrawal-requests", "withdrawal-requests-rest", "deposits")
    )
    amounts = [[int(one.amount) for one in request.execution_requests.withdrawals] for request in (first, rest)]
    assert amounts == [[*range(1, 17)], [17, 18]]
    assert len(first.execution_requests.consolidations) == 1
    assert [int(one.index) for one in deposits.execution_requests.deposits] == [0, 1]
    assert sorted(len(request.execution_payload.withdrawals) for request in (first, rest)) == [0, 2]


def test_the_command_line(ethereumjs: LiveChain, tmp_path: Path) -> None:
    """A block is fetched into a file and executed from it; the wrong chain's name is refused."""
    (number,) = ethereumjs.blocks["collapse-to-branch"]
    node = ["--rpc", ethereumjs.url, "--no-cache", "--quiet"]
    path = tmp_path / "block.ssz"
    fetched = blockproof("fetch", number, *node, "--chain", ethereumjs.genesis, "-o", path)
    assert fetched.exit_code == 0, fetched.stderr
    assert load_input(path, load_chain(ethereumjs.genesis)).number == number
    executed = blockproof("execute", path, "--chain", ethereumjs.genesis)
    assert executed.exit_code == 0, executed.stderr
    assert f"block {number} of genesis, prague: valid" in executed.stdout
    mainnet = blockproof("fetch", number, *node, "--chain", "mainnet", "-o", tmp_path / "no.ssz")
    assert mainnet.exit_code != 0 and str(ETHEREUMJS_CHAIN) in mainnet.stderr
    assert not (tmp_path / "no.ssz").exists()
