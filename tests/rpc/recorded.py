"""
A Source over answers that real nodes gave, recorded in the data folder by other tools.

A cache of zeth (rpc/zeth__*.json.gz): blocks N-1 and N, and for every account that its own execution touched the proofs
at N-1 and N, code, and slots. Nothing else can be answered: NotRecorded says what was asked for. The RLP of the block is
taken from the folder's block file, and must have the recorded hash.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rpc.answers import encode_transaction
from rpc.source import AccountProof
from tests.rpc.made_blocks import executed_block
from witness.block import Block, Header, Withdrawal
from witness.errors import WitnessError
from witness.importers import header_from_json
from witness.schema import Fork
from witness.trie import NodeStore, WitnessState

RECORDINGS = {
    1_150_000: ("zeth__1-1150000.json.gz", "mainnet_1150000_rpc.json.gz"),
    2_675_000: ("zeth__2675000.json.gz", "mainnet_2675000_rpc.json.gz"),
    4_370_000: ("zeth__4370000.json.gz", "mainnet_4370000_rpc.json.gz"),
    18_884_864: ("zeth__1-18884864.json.gz", "mainnet_18884864_rpc.json.gz"),
}


class NotRecorded(WitnessError):
    """The recording has no answer to this question."""


def read_json(path: Path) -> object:
    """The JSON in a gzip file."""
    with gzip.open(path) as file:
        return json.load(file)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _slot(text: str) -> bytes:
    """Slots are spelt with and without leading zeros, also with an odd number of digits."""
    return int(text, 16).to_bytes(32, "big")


class RecordedSource:
    """A block of RECORDINGS, answered from its recording. traced: it also answers as a node with a prestate tracer would."""

    def __init__(self, data: Path, number: int, traced: bool = True) -> None:
        self._traced = traced
        recording, block_file = RECORDINGS[number]
        answers = read_json(data / "rpc" / recording)
        self._block = Block.decode(_bytes(read_json(data / "blocks" / block_file)["block"]))
        self._headers = {}
        for _, fields in answers["full_blocks"]:
            header = header_from_json(fields)
            self._headers[header.hash] = header
        if self._block.header.hash not in self._headers:
            raise NotRecorded(f"the block file of {number} is not the recorded block")
        self._proofs: dict[tuple[int, bytes], tuple[tuple[bytes, ...], dict[bytes, tuple[bytes, ...]]]] = {}
        for question, answer in answers["proofs"]:
            storage = {_slot(one["key"]): tuple(map(_bytes, one["proof"])) for one in answer["storageProof"]}
            key = question["block_no"], _bytes(question["address"])
            self._proofs[key] = tuple(map(_bytes, answer["accountProof"])), storage
        self._codes = {(q["block_no"], _bytes(q["address"])): _bytes(code) for q, code in answers["code"]}

    def chain_id(self) -> int:
        return 1

    def block(self, identifier: int | bytes | str) -> Block:
        if identifier not in (self._block.header.number, self._block.header.hash, "latest"):
            raise NotRecorded(f"no block {identifier!r}")
        return self._block

    def headers(self, newest_hash: bytes, count: int) -> list[Header]:
        if count != 1 or newest_hash not in self._headers:
            raise NotRecorded(f"no {count} headers up to 0x{newest_hash.hex()}")
        return [self._headers[newest_hash]]

    def proofs(self, at: Header, wanted: Mapping[bytes, Sequence[bytes]]) -> list[AccountProof]:
        answers = []
        for address, slots in wanted.items():
            if (at.number, address) not in self._proofs:
                raise NotRecorded(f"no proof of account 0x{address.hex()} at block {at.number}")
            nodes, storage = self._proofs[at.number, address]
            for slot in slots:
                if slot not in storage:
                    raise NotRecorded(f"no proof of slot 0x{slot.hex()} of account 0x{address.hex()} at {at.number}")
            answers.append(AccountProof(address, nodes, {slot: storage[slot] for slot in slots}))
        return answers

    def codes(self, at: Header, addresses: Iterable[bytes]) -> dict[bytes, bytes]:
        found = {}
        for address in addresses:
            if (at.number, address) not in self._codes:
                raise NotRecorded(f"no code of account 0x{address.hex()} at block {at.number}")
            found[address] = self._codes[at.number, address]
        return found

    def execution_witness(self, block: Block) -> object | None:
        return None

    def prestate(self, block: Block) -> dict[bytes, set[bytes]] | None:
        """What a prestate tracer would say: the accounts and slots that were recorded at N-1."""
        if not self._traced:
            return None
        return {
            address: set(storage)
            for (number, address), (_, storage) in self._proofs.items()
            if number == block.header.number - 1
        }

    def access_list(self, block: Block, index: int) -> dict[bytes, set[bytes]] | None:
        return None

    def storage_keys_from(self, block: Block, address: bytes, hashed_start: bytes, most: int) -> list[bytes] | None:
        return None

    def check_time(self) -> None:
        """There is time enough."""


# --- the Holesky block with a map-form execution witness -------------------------------------------------------------


class HoleskySource(RecordedSource):
    """
    Holesky block 0x2d411e and the answer of an older reth to debug_executionWitness: maps, no headers.

    No ancestor's header was recorded, and the block reads the hash of the seventh, so that it cannot be collected as it
    is. remade: gives it eight ancestors made up for it, with the recorded pre-state's root and a gas use from which base fee
    and blob gas follow. What asks for a certain hash then reverts; gas use and roots are made anew.
    """

    def __init__(self, data: Path, remade: bool) -> None:
        fields = read_json(data / "rpc" / "sbv__holesky_0x2d411e_block.json.gz")
        self._witness = read_json(data / "rpc" / "sbv__holesky_0x2d411e_debug_executionWitness_reth_mapform.json.gz")
        self._traced, self._headers, self._proofs, self._codes = False, {}, {}, {}
        withdrawals = [
            Withdrawal(int(one["index"], 16), int(one["validatorIndex"], 16), _bytes(one["address"]), int(one["amount"], 16))
            for one in fields["withdrawals"]
        ]
        transactions = tuple(map(encode_transaction, fields["transactions"]))
        self._block = Block(header_from_json(fields), transactions, (), tuple(withdrawals))
        if remade:
            self._remake()

    def _remake(self) -> None:
        header = self._block.header
        ancestors: list[Header] = []
        for distance in range(8, 0, -1):
            ancestor = replace(
                header,
                parent_hash=ancestors[-1].hash if ancestors else bytes(32),
                state_root=self._pre_state_root(),
                number=header.number - distance,
                timestamp=header.timestamp - 12 * distance,
                gas_used=header.gas_limit // 2,
                blob_gas_used=0,
            )
            ancestors.append(ancestor)
            self._headers[ancestor.hash] = ancestor
        template = replace(self._block, header=replace(header, parent_hash=ancestors[-1].hash))
        nodes = NodeStore.of(map(_bytes, self._witness["state"].values()))
        reader = WitnessState(nodes, ancestors[-1].state_root)
        codes = [*map(_bytes, self._witness["codes"].values())]
        self._block = executed_block(Fork.CANCUN, template, ancestors, reader, codes, self.chain_id())

    def headers(self, newest_hash: bytes, count: int) -> list[Header]:
        found: list[Header] = []
        while len(found) < count:
            if newest_hash not in self._headers:
                raise NotRecorded(f"no header 0x{newest_hash.hex()}")
            found.insert(0, self._headers[newest_hash])
            newest_hash = found[0].parent_hash
        return found

    def _pre_state_root(self) -> bytes:
        """The one node that no other refers to."""
        nodes = self._witness["state"]
        references = b"".join(map(_bytes, nodes.values()))
        (root,) = (_bytes(node_hash) for node_hash in nodes if _bytes(node_hash) not in references)
        return root

    def chain_id(self) -> int:
        return 17_000

    def execution_witness(self, block: Block) -> object | None:
        return self._witness


# --- blocks with the witness that a node gave ------------------------------------------------------------------------


class WitnessSource(RecordedSource):
    """A block file of the data folder as a node with debug_executionWitness that answers nothing else about state."""

    def __init__(self, data: Path, name: str) -> None:
        contents = read_json(data / "blocks" / name)
        self._chain_id = contents["chainId"]
        self._block = Block.decode(_bytes(contents["block"]))
        self._witness = contents["witness"]
        self._traced, self._headers, self._proofs, self._codes = False, {}, {}, {}

    def chain_id(self) -> int:
        return self._chain_id

    def execution_witness(self, block: Block) -> object | None:
        return self._witness


class Counted:
    """
    Any Source, its calls counted.

    calls: of methods that a node is asked by, one round trip each where their requests go out in one batch; requests: the
    requests in them, one for an account with its slots, a code, a header, a transaction.
    """

    def __init__(self, source) -> None:
        self._source = source
        self.calls = 0
        self.requests = 0

    def _counted(self, requests: int) -> None:
        self.calls += 1
        self.requests += requests

    def seconds(self, latency: float) -> float:
        """How long the calls wait where each takes `latency` seconds."""
        return self.calls * latency

    def chain_id(self) -> int:
        self._counted(1)
        return self._source.chain_id()

    def block(self, identifier: int | bytes | str) -> Block:
        self._counted(1)
        return self._source.block(identifier)

    def headers(self, newest_hash: bytes, count: int) -> list[Header]:
        self._counted(count)
        return self._source.headers(newest_hash, count)

    def proofs(self, at: Header, wanted: Mapping[bytes, Sequence[bytes]]) -> list[AccountProof]:
        self._counted(len(wanted))
        return self._source.proofs(at, wanted)

    def codes(self, at: Header, addresses: Iterable[bytes]) -> dict[bytes, bytes]:
        addresses = list(addresses)
        self._counted(len(addresses))
        return self._source.codes(at, addresses)

    def execution_witness(self, block: Block) -> object | None:
        self._counted(1)
        return self._source.execution_witness(block)

    def prestate(self, block: Block) -> dict[bytes, set[bytes]] | None:
        self._counted(1)
        return self._source.prestate(block)

    def access_list(self, block: Block, index: int) -> dict[bytes, set[bytes]] | None:
        self._counted(1)
        return self._source.access_list(block, index)

    def storage_keys_from(self, block: Block, address: bytes, hashed_start: bytes, most: int) -> list[bytes] | None:
        self._counted(1)
        return self._source.storage_keys_from(block, address, hashed_start, most)

    def check_time(self) -> None:
        self._source.check_time()
