"""Real nodes, each started once for the tests that use it and stopped after them; their logs stay in pytest's folder."""

from collections.abc import Iterator

import pytest
from live_nodes import LiveChain, run_anvil, run_ethereumjs, run_geth


@pytest.fixture(scope="session")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveChain]:
    with run_anvil(tmp_path_factory.mktemp("anvil")) as chain:
        yield chain


@pytest.fixture(scope="session")
def ethereumjs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveChain]:
    with run_ethereumjs(tmp_path_factory.mktemp("ethereumjs")) as chain:
        yield chain


@pytest.fixture(scope="session")
def geth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveChain]:
    with run_geth(tmp_path_factory.mktemp("geth")) as chain:
        yield chain
