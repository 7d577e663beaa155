"""JSON values that strangers send, what reads them, and hostile changes of them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.hostile.corpus import corpus_block
from witness.block import Block
from witness.chains import chain_from_genesis
from witness.errors import WitnessError
from witness.fixtures import RawFixture, fixture
from witness.importers import header_from_json, import_witness
from witness.record import accounts_from_alloc
from witness.schema import Fork


@dataclass(frozen=True)
class Form:
    """A kind of JSON value: an example, its reader, and the refusals that the reader may raise."""

    name: str
    example: Callable[[], object]
    read: Callable[[object], object]
    refusals: tuple[type[Exception], ...] = (WitnessError,)


def _witness() -> dict:
    witness = corpus_block(Fork.OSAKA).witness
    lists = {name: ["0x" + one.hex() for one in getattr(witness, name)] for name in ("state", "codes", "headers")}
    return {"jsonrpc": "2.0", "id": 1, "result": {**lists, "keys": ["0x" + "11" * 20, "0x" + "22" * 32]}}


def _witness_map() -> dict:
    from eth_hash.auto import keccak

    witness = corpus_block(Fork.CANCUN).witness
    maps = {
        name: {"0x" + keccak(one).hex(): "0x" + one.hex() for one in getattr(witness, name)}
        for name in ("state", "codes")
    }
    return {**maps, "keys": {}}


def header_json() -> dict:
    """A header as eth_getBlock writes it."""
    header = corpus_block(Fork.OSAKA).block.header
    names = {
        "parentHash": header.parent_hash,
        "sha3Uncles": header.ommers_hash,
        "miner": header.coinbase,
        "stateRoot": header.state_root,
        "transactionsRoot": header.transactions_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.bloom,
        "difficulty": 0,
        "number": header.number,
        "gasLimit": header.gas_limit,
        "gasUsed": header.gas_used,
        "timestamp": header.timestamp,
        "extraData": header.extra_data,
        "mixHash": header.prev_randao,
        "nonce": header.nonce,
        "baseFeePerGas": header.base_fee_per_gas,
        "withdrawalsRoot": header.withdrawals_root,
        "blobGasUsed": header.blob_gas_used,
        "excessBlobGas": header.excess_blob_gas,
        "parentBeaconBlockRoot": header.parent_beacon_block_root,
        "requestsHash": header.requests_hash,
        "hash": header.hash,
    }
    return {name: hex(value) if isinstance(value, int) else "0x" + value.hex() for name, value in names.items()}


def _genesis() -> dict:
    schedule = {"target": 6, "max": 9, "baseFeeUpdateFraction": 5007716}
    return {
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
            "cancunTime": 0,
            "pragueTime": 0,
            "osakaTime": 100,
            "depositContractAddress": "0x00000000219ab540356cbb839cbe05303d7705fa",
            "blobSchedule": {
                "cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3338477},
                "prague": schedule,
                "osaka": schedule,
            },
        },
        "alloc": _alloc(),
        "gasLimit": "0x1c9c380",
    }


def _alloc() -> dict:
    return {
        "0x" + "11" * 20: {
            "balance": "0x10",
            "nonce": "0x1",
            "code": "0x6001",
            "storage": {"0x01": "0x02", "0x": "0x0"},
        },
        "22" * 20: {"balance": "1000"},
    }


def fixture_json() -> dict:
    """A blockchain test as EEST writes it."""
    made = corpus_block(Fork.OSAKA)
    header = made.ancestors[-1]
    genesis = Block(header, (), (), ())
    return {
        "network": "Osaka",
        "config": {"chainid": hex(made.chain_id), "network": "Osaka"},
        "genesisRLP": "0x" + genesis.encode().hex(),
        "pre": _alloc(),
        "blocks": [{"rlp": "0x" + made.block.encode().hex()}, {"rlp": "0x00", "expectException": "BlockException.A|B"}],
        "lastblockhash": "0x" + made.block.header.hash.hex(),
    }


def _read_fixture(contents: object) -> object:
    # What is no object does not get so far: read_suite refuses it.
    return fixture(RawFixture("hostile.json", "test", contents)) if isinstance(contents, dict) else None


FORMS = (
    Form("witness, lists", _witness, import_witness),
    Form("witness, maps", _witness_map, import_witness),
    Form("header", header_json, header_from_json),
    Form("genesis", _genesis, chain_from_genesis),
    Form("fixture", fixture_json, _read_fixture),
    Form("alloc", _alloc, accounts_from_alloc),
)

_VALUES = (
    None, True, False, 0, -1, 1, 1 << 64, 1 << 300, 1.5, 1e308, "", "0x", "0x0", "0xg0", "0x123", "1", "-1", "0x" + "ff" * 33,
    "0x" + "00" * 32, "0x" + "ab" * 1100, "\0", "\ud800", "x" * 1000, [], {}, [[]], [None], {"": None}, "latest", "1_0", " 1", "٣",
)  # fmt: skip


def mutate_json(source: random.Random, example: object) -> object:
    """One to three changes of a JSON value."""
    changed = copy.deepcopy(example)
    for _ in range(source.choice((1, 1, 2, 3))):
        changed = _mutate_one(source, changed)
    return changed


def _mutate_one(source: random.Random, value: object) -> object:
    # Walk down at random, so that shallow places are met as often as the many deep ones.
    if isinstance(value, (dict, list)) and value and source.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = source.choice(keys)
        match source.randrange(12):
            case 0:
                del value[key]
            case 1 if isinstance(value, dict):
                value[source.choice(("", "0x", "x" * 100, "0x" + "33" * 20, str(key).upper(), "result", "state"))] = (
                    value[key]
                )
            case 1:
                value.insert(key, copy.deepcopy(value[key]))
            case 2:
                value[key] = copy.deepcopy(source.choice(_VALUES))
            case 3:
                value[key] = value[source.choice(keys)]
            case 4:
                value[key] = [value[key]]
            case _:
                value[key] = _mutate_one(source, value[key])
        return value
    if isinstance(value, str) and len(value) > 2:
        at = source.randrange(len(value))
        match source.randrange(7):
            case 0:
                return value[:at]
            case 1:
                return value[:at] + source.choice("0fgX \0é") + value[at + 1 :]
            case 2:
                return value + value[2:]
            case 3:
                return value.removeprefix("0x")
            case 4:
                return value.upper()
    return copy.deepcopy(source.choice(_VALUES))
