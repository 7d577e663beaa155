"""Fork schedules: against EELS, and genesis files."""

import importlib
import json

import pytest
from ethereum.fork_criteria import ByBlockNumber

from witness import chains
from witness.chains import BLOB_SCHEDULES, HOODI, MAINNET, SEPOLIA, chain_from_genesis, fork_at, load_chain
from witness.errors import ChainError, LimitExceeded
from witness.schema import Fork

LIVE = [fork for fork in Fork if fork not in (Fork.BPO3, Fork.BPO4)]


@pytest.mark.parametrize("fork", [fork for fork in LIVE if fork is not Fork.FRONTIER])
def test_mainnet_schedule_is_that_of_eels(fork):
    criteria = importlib.import_module(f"ethereum.forks.{fork.label}").FORK_CRITERIA
    previous = LIVE[LIVE.index(fork) - 1]
    if isinstance(criteria, ByBlockNumber):
        number = int(criteria.block_number)
        assert (fork_at(MAINNET, number - 1, 0), fork_at(MAINNET, number, 0)) == (previous, fork)
    else:
        time = int(criteria.timestamp)
        assert (fork_at(MAINNET, 1 << 40, time - 1), fork_at(MAINNET, 1 << 40, time)) == (previous, fork)


@pytest.mark.parametrize("fork", [fork for fork in LIVE if fork >= Fork.CANCUN])
def test_blob_schedules_are_those_of_eels(fork):
    gas = importlib.import_module(f"ethereum.forks.{fork.label}.vm.gas")
    block = importlib.import_module(f"ethereum.forks.{fork.label}.fork")
    schedule = BLOB_SCHEDULES[fork]
    assert int(gas.TARGET_BLOB_GAS_PER_BLOCK) == schedule.target * int(gas.GAS_PER_BLOB)
    assert int(block.MAX_BLOB_GAS_PER_BLOCK) == schedule.max * int(gas.GAS_PER_BLOB)
    assert int(gas.BLOB_BASE_FEE_UPDATE_FRACTION) == schedule.update_fraction


def test_other_chains():
    assert fork_at(SEPOLIA, 1_450_408, 0) is Fork.LONDON
    assert fork_at(SEPOLIA, 1_450_409, 0) is Fork.PARIS
    assert fork_at(SEPOLIA, 9_000_000, 1_761_607_008) is Fork.BPO2
    assert fork_at(HOODI, 1, 0) is Fork.CANCUN
    # Time alone never activates a fork before the blocks of the earlier ones.
    assert fork_at(MAINNET, 5_000_000, 1_800_000_000) is Fork.BYZANTIUM
    with pytest.raises(ChainError, match="not supported"):
        fork_at(SEPOLIA, 12_000_000, 1_791_294_816)


def test_names_and_files(tmp_path):
    assert load_chain("mainnet") is MAINNET
    with pytest.raises(ChainError, match="neither a known chain"):
        load_chain(tmp_path / "absent.json")
    for contents in ("", "{", "[]", '{"config": 1}', '{"config": {}}', "[" * 100_000, '{"config": {"chainId": "x"}}'):
        path = tmp_path / "genesis.json"
        path.write_text(contents)
        with pytest.raises((ChainError, LimitExceeded)):
            load_chain(path)
    path.write_text(json.dumps(GENESIS))
    assert fork_at(load_chain(path), 1, 100) is Fork.CANCUN


GENESIS = {
    "config": {
        "chainId": 1337,
        "homesteadBlock": 0,
        "eip150Block": 0,
        "eip155Block": 0,
        "eip158Block": 0,
        "byzantiumBlock": 0,
        "constantinopleBlock": 0,
        "petersburgBlock": 0,
        "istanbulBlock": 0,
        "berlinBlock": 0,
        "londonBlock": 0,
        "terminalTotalDifficulty": 0,
        "shanghaiTime": 0,
        "cancunTime": 100,
        "blobSchedule": {"cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477}},
    }
}


def with_config(**changes):
    config = {key: value for key, value in {**GENESIS["config"], **changes}.items() if value is not ...}
    return {"config": config}


def test_genesis_files():
    chain = chain_from_genesis(GENESIS)
    assert (fork_at(chain, 1, 99), fork_at(chain, 1, 100)) == (Fork.SHANGHAI, Fork.CANCUN)
    chain = chain_from_genesis(with_config(londonBlock=5, terminalTotalDifficulty=10, mergeNetsplitBlock=9))
    assert [fork_at(chain, number, 0) for number in (4, 5, 8)] == [Fork.BERLIN, Fork.LONDON, Fork.LONDON]
    assert fork_at(chain, 9, 0) is Fork.SHANGHAI


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"chainId": ...}, "absent"),
        ({"chainId": -1}, "range"),
        ({"chainId": True}, "range"),
        ({"chainId": 1 << 64}, "range"),
        ({"chainId": 1}, "is mainnet"),
        ({"londonBlock": "0x"}, "not a number"),
        ({"londonBlock": [1]}, "range"),
        ({"berlinBlock": 7}, "not in order"),
        ({"cancunTime": 0, "shanghaiTime": 5}, "not in order"),
        ({"terminalTotalDifficulty": 5}, "without the Merge"),
        ({"amsterdamTime": 1000}, "not supported"),
        ({"constantinopleBlock": 0, "petersburgBlock": 4, "istanbulBlock": 4}, "EIP-1283"),
        ({"blobSchedule": {"cancun": {"target": 4, "max": 6, "baseFeeUpdateFraction": 3338477}}}, "blob schedule"),
        ({"blobSchedule": {"cancun": 4}}, "not an object"),
        ({"blobSchedule": 4}, "not an object"),
        ({"depositContractAddress": "0x12"}, "20 bytes"),
        ({"depositContractAddress": 5}, "not hex"),
        ({"pragueTime": 200, "depositContractAddress": "0x" + "11" * 20}, "deposit contract"),
    ],
)
def test_genesis_files_that_are_refused(changes, why):
    later = {"istanbulBlock": 4, "berlinBlock": 4, "londonBlock": 4} if changes.get("petersburgBlock") else {}
    with pytest.raises(ChainError, match=why):
        chain_from_genesis(with_config(**{**later, **changes}))


def test_a_genesis_that_agrees_with_a_known_chain_is_accepted():
    config = {"chainId": 560048, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0}
    config |= dict.fromkeys(
        [key for key, _ in chains._BLOCK_KEYS if key not in ("daoForkBlock", "mergeNetsplitBlock")], 0
    )
    config |= {"pragueTime": 1742999832, "osakaTime": 1761677592, "bpo1Time": 1762365720, "bpo2Time": 1762955544}
    assert chain_from_genesis({"config": config}).chain_id == HOODI.chain_id
