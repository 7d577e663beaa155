"""collect: on recorded answers of real nodes, on every form of a node's own witness, on nodes that lie."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account
from eth_hash.auto import keccak

from blockproof.pipeline import execute
from rpc.collect import collect
from rpc.collect_errors import AncestorError, BlockRefused, CodeError, CollectError, ProofError
from rpc.ondemand import Ancestors
from rpc.prefetch import BEACON_ROOTS, BLOCK_HASHES, REQUEST_CONTRACTS, created_by, named_in, system_reads
from tests.rpc.eest_chains import chain_of
from tests.rpc.made_blocks import CHAIN_ID, COINBASE, SENDER, WRITER_CODE, call, genesis, make_block, write
from tests.rpc.recorded import Counted, HoleskySource, NotRecorded, RecordedSource, WitnessSource
from tests.rpc.whole import WholeSource
from witness.block import Block, Withdrawal
from witness.chains import MAINNET
from witness.errors import ChainError
from witness.importers import import_input
from witness.record import GenesisAccount, record_witness, state_from_accounts
from witness.schema import REVISION_UNBOUND, ExecutionWitness, Fork, StatelessInput, encode_input
from witness.validate import validate

LATENCY = 0.05
"""Seconds a call takes: the figure that docs/specs/collector.md quotes."""


@pytest.fixture(scope="module")
def data() -> Path:
    """The folder of real blocks and recorded answers; skips where there is none."""
    folder = Path(os.environ.get("BLOCKPROOF_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    if not (folder / "index.json").is_file():
        pytest.skip("no data folder: set BLOCKPROOF_DATA")
    return folder


def accepted_by_the_guest(stateless_input: StatelessInput) -> bool:
    return execute(import_input(encode_input(stateless_input))).is_valid


# --- recorded blocks -------------------------------------------------------------------------------------------------

# Calls with a prestate tracer and without any hint; the state nodes of the witness.
EXPECTED = {1_150_000: (7, 39, 162), 2_675_000: (8, 30, 176), 4_370_000: (9, 271, 1460), 18_884_864: (7, 336, 2079)}


def check_recorded(data: Path, number: int, traced: bool) -> None:
    """Given what a real node answered. Then oracle and guest accept the input, and it took so many calls."""
    source = RecordedSource(data, number, traced)
    counted = Counted(source)
    stateless_input = collect(counted, number)
    with_tracer, without, nodes = EXPECTED[number]
    assert counted.calls == (with_tracer if traced else without)
    assert counted.seconds(LATENCY) == pytest.approx(LATENCY * counted.calls)
    assert len(stateless_input.witness.state) == nodes
    assert validate(encode_input(stateless_input)).valid
    assert accepted_by_the_guest(stateless_input)


@pytest.mark.parametrize("traced", [True, False], ids=["tracer", "no hints"])
@pytest.mark.parametrize("number", [1_150_000, 2_675_000])
def test_recorded_block(data, number, traced):
    check_recorded(data, number, traced)


@pytest.mark.heavy
@pytest.mark.parametrize("traced", [True, False], ids=["tracer", "no hints"])
@pytest.mark.parametrize("number", [4_370_000, 18_884_864])
def test_larger_recorded_block(data, number, traced):
    check_recorded(data, number, traced)


@pytest.mark.heavy
def test_map_form_of_an_older_reth(data):
    """Given its maps without headers. Then the headers are fetched, and nothing else is asked for."""
    counted = Counted(HoleskySource(data, remade=True))
    stateless_input = collect(counted, "latest")
    # Chain id, block, witness, the parent, and six more headers for BLOCKHASH.
    assert (counted.calls, counted.requests) == (5, 10)
    assert len(stateless_input.witness.headers) == 7
    assert accepted_by_the_guest(stateless_input)


@pytest.mark.parametrize(
    "name",
    [
        "mainnet_1920000_rpc.json.gz",
        pytest.param("mainnet_15537394_rpc.json.gz", marks=pytest.mark.heavy),
        pytest.param("mainnet_16424145.json.gz", marks=pytest.mark.heavy),
        pytest.param("mainnet_20526624.json.gz", marks=pytest.mark.heavy),
        pytest.param("mainnet_21429063.json.gz", marks=pytest.mark.heavy),
        pytest.param("mainnet_22615247.json.gz", marks=pytest.mark.heavy),
        pytest.param("mainnet_24628607.json.gz", marks=pytest.mark.heavy),
    ],
)
def test_witnesses_of_real_nodes(data, name):
    """Given a complete witness. Then block and witness are the only calls, and what is not read is left out."""
    counted = Counted(WitnessSource(data, name))
    stateless_input = collect(counted, "latest")
    assert counted.calls == 3
    given = set(map(bytes.fromhex, (node[2:] for node in counted.execution_witness(None)["state"])))
    assert set(stateless_input.witness.state) <= given
    assert accepted_by_the_guest(stateless_input)


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("name", "asked"),
    [
        # An account that is read during execution is missing from its witness.
        ("mainnet_22188088.json.gz", "no proof of account 0xc83f7d9f2d4a76e8[0-9a-f]{24} at block 22188087"),
        # One deletion needs a sibling that its witness does not have: its account is asked for after the block.
        ("mainnet_21000001.json.gz", "no proof of account 0x502ed02100ea8b10[0-9a-f]{24} at block 21000001"),
    ],
)
def test_incomplete_witnesses_of_real_nodes(data, name, asked):
    """Given an incomplete witness, and no more. Then what is missing is asked for, by name."""
    with pytest.raises(NotRecorded, match=asked):
        collect(WitnessSource(data, name), "latest")


def test_what_was_not_recorded_is_named(data):
    """The Holesky block as it is: its parent's header is in no recording, and no header can be made up for its hash."""
    with pytest.raises(NotRecorded, match="no header 0x47c987ce1d1150be9f2abc75604538f36378236476d3b08c01a45af6135a718e"):
        collect(HoleskySource(data, remade=False), "latest")
    source = RecordedSource(data, 1_150_000, traced=False)
    del source._proofs[1_149_999, bytes.fromhex("1158c3c9a70e85d8358972810ed984c8e6ffcf0f")]
    with pytest.raises(NotRecorded, match="no proof of account 0x1158c3c9a70e85d8358972810ed984c8e6ffcf0f"):
        collect(source, 1_150_000)


# --- a small block and its node --------------------------------------------------------------------------------------

WRITER = b"\xc0" * 20
# BLOCKHASH(NUMBER - CALLDATALOAD(0)) into slot 0.
HASHER, HASHER_CODE = b"\xb0" * 20, bytes.fromhex("600035430340600055" + "00")


def slot(number: int) -> bytes:
    return number.to_bytes(32, "big")


class Node:
    """A chain of headers, a block on it that writes storage and asks for the hash of an ancestor, and a node that has it."""

    def __init__(self, fork: Fork = Fork.SHANGHAI, distance: int = 1, ancestors: int = 1) -> None:
        storage = {slot(index): 1 + index for index in range(20)}
        accounts = {
            SENDER: GenesisAccount(10**20),
            WRITER: GenesisAccount(1, 1, WRITER_CODE, storage),
            HASHER: GenesisAccount(1, 1, HASHER_CODE),
        }
        accounts.update({bytes([index]) * 20: GenesisAccount(1) for index in range(1, 30)})
        self.fork = fork
        self.before = state_from_accounts(accounts)
        self.headers = [genesis(fork, self.before)]
        for _ in range(ancestors - 1):
            parent = self.headers[-1]
            header = replace(parent, parent_hash=parent.hash, number=parent.number + 1, timestamp=parent.timestamp + 12)
            self.headers.append(header)
        transactions = [write(0, WRITER, {slot(3): 0, slot(99): 5}), call(1, HASHER, slot(distance)), call(2, b"\x07" * 20, value=1)]
        self.block, self.after = make_block(fork, self.before, self.headers, transactions)
        self.chain = chain_of(CHAIN_ID, fork)

    def recorded(self) -> ExecutionWitness:
        headers = [header.encode() for header in self.headers[-256:]]
        return record_witness(self.before, headers, self.block, CHAIN_ID, self.fork, REVISION_UNBOUND)

    def source(self, kind: type[WholeSource] = WholeSource, **options) -> WholeSource:
        return kind(CHAIN_ID, self.headers, self.before, self.block, self.after, **options)

    def collect(self, source: WholeSource, lines: list[str] | None = None) -> StatelessInput:
        progress: Callable[[str], None] | None = None if lines is None else lines.append
        return collect(source, self.block.header.hash, self.chain, progress, REVISION_UNBOUND)


@pytest.fixture(scope="module")
def node() -> Node:
    return Node()


def as_hex(values) -> list[str]:
    return [f"0x{value.hex()}" for value in values]


def answer_of(witness: ExecutionWitness, form: str) -> dict:
    if form == "maps":
        maps = {f"0x{keccak(node).hex()}": f"0x{node.hex()}" for node in witness.state}
        codes = {f"0x{keccak(code).hex()}": f"0x{code.hex()}" for code in witness.codes}
        return {"state": maps, "codes": codes, "keys": {}}
    answer = {"state": as_hex(witness.state)[::-1], "codes": as_hex(witness.codes), "headers": as_hex(witness.headers)}
    if form == "no headers":
        answer.update(headers=None, keys=None)
    return {"jsonrpc": "2.0", "id": 1, "result": answer} if form == "envelope" else answer


@pytest.mark.parametrize("form", ["lists", "maps", "no headers", "envelope"])
def test_the_nodes_own_witness(node, form):
    """Given a complete witness in any form. Then neither proofs nor codes are asked for, and the input is the minimal one."""
    source = node.source(witness=answer_of(node.recorded(), form))
    assert node.collect(source).witness == node.recorded()
    assert "proofs" not in source.calls and "codes" not in source.calls


def test_more_than_is_read_is_left_out(node):
    """Given a witness with the whole state. Then only what is read is kept."""
    whole = ExecutionWitness(tuple(node.before.nodes.values()), node.before.codes, node.recorded().headers)
    assert node.collect(node.source(witness=answer_of(whole, "lists"))).witness == node.recorded()


def test_incomplete_witness_is_completed(node):
    """Given a witness without one of its nodes or codes. Then exactly that is fetched, and progress says so."""
    recorded = node.recorded()
    for index in range(len(recorded.state)):
        lacking = replace(recorded, state=recorded.state[:index] + recorded.state[index + 1 :])
        source, lines = node.source(witness=answer_of(lacking, "lists")), []
        assert node.collect(source, lines).witness == recorded
        assert source.calls["proofs"] >= 1
        assert any(line.startswith("executed; fetched ") and not line.startswith("executed; fetched 0 nodes") for line in lines)
    for index in range(len(recorded.codes)):
        lacking = replace(recorded, codes=recorded.codes[:index] + recorded.codes[index + 1 :])
        source, lines = node.source(witness=answer_of(lacking, "maps")), []
        assert node.collect(source, lines).witness == recorded
        assert source.calls["codes"] == 1 and "proofs" not in source.calls
        assert "executed; fetched 0 nodes, 1 codes" in lines


@pytest.mark.parametrize(
    "answer",
    [{"state": 7}, {"state": ["0x0"]}, {"state": {"0x00": "0x00"}}, [], "0x", {"state": [], "headers": [{}]}],
    ids=["number", "odd hex", "wrong key", "list", "string", "empty header"],
)
def test_malformed_witness_is_as_good_as_none(node, answer):
    lines: list[str] = []
    assert node.collect(node.source(witness=answer), lines).witness == node.recorded()
    assert any(line.startswith("the node's execution witness is unusable, collecting without it: ") for line in lines)


def test_hints_save_calls(node):
    """Given a tracer that names what the block touches, and more. Then the call for it is the only one for state."""
    touched = {WRITER: {slot(3), slot(99), slot(1234)}, HASHER: {slot(0)}, b"\x55" * 20: set()}
    source = node.source(touched=touched)
    assert node.collect(source).witness == node.recorded()
    assert source.calls == {"block": 1, "headers": 1, "prestate": 1, "proofs": 2, "codes": 1}
    # The second call for proofs is for the sibling of the deleted slot, where there is one.


def test_too_many_hints_are_ignored(node):
    """Given a tracer that names more than a block can touch. Then none of it is asked for."""
    source, lines = node.source(touched={WRITER: map(slot, range(1 << 16))}), []
    assert node.collect(source, lines).witness == node.recorded()
    assert any("0 slots; hints: more than 65536 from prestate tracer, ignored" in line for line in lines)


class AccessLists(WholeSource):
    def access_list(self, block, index):
        self._count("access_list")
        return [{WRITER: {slot(3), slot(99)}}, {HASHER: {slot(0)}}, {}][index]


def test_access_lists_save_calls(node):
    """Given no tracer but access lists. Then each transaction's is asked for, and the slots come in one call."""
    source = node.source(AccessLists)
    assert node.collect(source).witness == node.recorded()
    assert source.calls == {"block": 1, "headers": 1, "access_list": 3, "proofs": 2, "codes": 1}


@pytest.mark.parametrize("fork", [Fork.HOMESTEAD, Fork.SHANGHAI])
@pytest.mark.parametrize("distance", [1, 2, 9, 256])
def test_block_hashes(fork, distance):
    """Given a contract that reads the hash of an ancestor. Then the headers down to it are in the witness, no more."""
    node = Node(fork, distance, ancestors=260)
    source = node.source()
    stateless_input = node.collect(source)
    assert len(stateless_input.witness.headers) == distance
    assert source.calls["headers"] == (1 if distance == 1 else 2)
    assert stateless_input.witness == node.recorded()


def test_ancestors_are_fetched_in_few_calls():
    node = Node(ancestors=260)
    source = node.source()
    ancestors = Ancestors(source, node.block)
    for distance in range(1, 257):
        assert ancestors.hash_at(distance) == node.headers[-distance].hash
    assert source.calls["headers"] == 9


# --- a guest that reads more ------------------------------------------------------------------------------------------

# CALL(gas 0xffff, WRITER, value 2^80): fails for lack of balance.
POOR, POOR_CODE = b"\xa0" * 20, bytes.fromhex("60006000600060006a0100000000000000000000" + "73" + "c0" * 20 + "61fffff100")


def test_code_that_only_the_guest_reads():
    """
    Given a call that fails for lack of balance. Then EELS does not read the code of its target and the guest's EVM does:
    the guest refuses the first input, and accepts the one with the code of every account looked at.
    """
    accounts = {SENDER: GenesisAccount(10**20), POOR: GenesisAccount(1, 1, POOR_CODE), WRITER: GenesisAccount(1, 1, WRITER_CODE)}
    before = state_from_accounts(accounts)
    parent = genesis(Fork.HOMESTEAD, before)
    block, after = make_block(Fork.HOMESTEAD, before, [parent], [call(0, POOR)])
    chain = chain_of(CHAIN_ID, Fork.HOMESTEAD)
    reasons: list[str] = []

    def guest(encoded: bytes) -> str | None:
        verdict = execute(import_input(encoded))
        reasons.append(verdict.reason)
        return None if verdict.is_valid else verdict.reason

    source = WholeSource(CHAIN_ID, [parent], before, block, after)
    stateless_input = collect(source, 1, chain, None, REVISION_UNBOUND, guest)
    missing = f"invalid: missing code 0x{keccak(WRITER_CODE).hex()}"
    assert len(reasons) == 2 and reasons[0].startswith(missing) and reasons[1] == ""
    assert set(stateless_input.witness.codes) == {POOR_CODE, WRITER_CODE}
    with pytest.raises(CollectError, match="the oracle accepts the collected input, the guest does not: never"):
        collect(source, 1, chain, None, REVISION_UNBOUND, lambda encoded: "never")


# --- refusals --------------------------------------------------------------------------------------------------------


def test_unknown_and_wrong_chains(node):
    with pytest.raises(ChainError, match=f"the node's chain id {CHAIN_ID} is not known: give its genesis file"):
        collect(node.source(), "latest")
    with pytest.raises(ChainError, match=f"the node has chain id {CHAIN_ID}, mainnet has 1"):
        collect(node.source(), "latest", MAINNET)
    with pytest.raises(BlockRefused, match="block 1 does not validate under homestead: .*is this chain's configuration"):
        collect(node.source(), "latest", chain_of(CHAIN_ID, Fork.HOMESTEAD), None, REVISION_UNBOUND)


def test_genesis(node):
    source = node.source()
    source.block = lambda identifier: Block(node.headers[0], (), (), ())
    with pytest.raises(CollectError, match="block 0 is the genesis"):
        collect(source, 0, node.chain)


def test_block_of_another_hash(node):
    source = node.source()
    source.block = lambda identifier: replace(node.block, header=replace(node.block.header, timestamp=7))
    with pytest.raises(CollectError, match=f"asked for block 0x{node.block.header.hash.hex()}, the answer is block 1, hash 0x"):
        node.collect(source)


class WrongProof(WholeSource):
    """Changes one byte of the deepest node of each proof."""

    def proofs(self, at, wanted):
        answers = super().proofs(at, wanted)
        return [
            replace(one, nodes=(*one.nodes[:-1], one.nodes[-1][:-1] + bytes([one.nodes[-1][-1] ^ 1]))) for one in answers
        ]


class ShortAnswer(WholeSource):
    def proofs(self, at, wanted):
        return super().proofs(at, wanted)[:-1]


class OtherBlocksProof(WholeSource):
    """Proves everything after the block instead of before it: a reorg, or a node that ignores the block asked for."""

    def proofs(self, at, wanted):
        return super().proofs(self._block.header, wanted)


class WrongCode(WholeSource):
    def codes(self, at, addresses):
        return {address: code + b"\x00" for address, code in super().codes(at, addresses).items()}


class NoCode(WholeSource):
    def codes(self, at, addresses):
        return {}


class WrongHeader(WholeSource):
    def headers(self, newest_hash, count):
        return [replace(header, timestamp=1) for header in super().headers(newest_hash, count)]


class ShortHeaders(WholeSource):
    def headers(self, newest_hash, count):
        return []


@pytest.mark.parametrize(
    ("kind", "error", "reason"),
    [
        (WrongProof, ProofError, r"eth_getProof, account 0x[0-9a-f]{40}, node \d: its hash is 0x"),
        (ShortAnswer, ProofError, r"eth_getProof, account 0x[0-9a-f]{40}: no answer"),
        (OtherBlocksProof, ProofError, r"eth_getProof, account 0x[0-9a-f]{40}, node 0: its hash is 0x"),
        (WrongCode, CodeError, r"eth_getCode of account 0x[0-9a-f]{40}: the code of \d+ bytes has hash 0x"),
        (NoCode, CodeError, r"eth_getCode of account 0x[0-9a-f]{40}: no answer"),
        (WrongHeader, AncestorError, r"header of block 0: the answer has block 0, hash 0x"),
        (ShortHeaders, AncestorError, r"header of block 0: 0 headers in the answer, 1 are needed"),
    ],
)
def test_lies_are_named(node, kind, error, reason):
    with pytest.raises(error, match=reason):
        node.collect(node.source(kind))


# --- what a block names ----------------------------------------------------------------------------------------------


def test_senders_recipients_and_created_contracts(node):
    creation = call(5, b"", b"\x00")
    block = replace(node.block, transactions=(*node.block.transactions, creation), withdrawals=(Withdrawal(0, 0, b"\x99" * 20, 1),))
    wanted = named_in(block, Fork.SHANGHAI)
    assert wanted.keys() == {SENDER, COINBASE, WRITER, HASHER, b"\x07" * 20, b"\x99" * 20, created_by(SENDER, 5)}
    # CryptoKitties' sale auction and the account that created it (mainnet).
    creator = bytes.fromhex("ba52c75764d6f594735dc735be7f1830cdf58ddf")
    assert created_by(creator, 3515).hex() == "06012c8cf97bead5deae237070f9587f8e7a266d"


def test_access_lists_and_authorities(node):
    """Given a set-code transaction (EIP-7702) with an access list. Then its slots, the authority and its delegate are named."""
    authority, delegate = Account.from_key(b"\x46" * 32), b"\x33" * 20
    authorization = authority.sign_authorization({"chainId": CHAIN_ID, "address": delegate, "nonce": 0})
    fields = {
        "chainId": CHAIN_ID,
        "type": 4,
        "nonce": 0,
        "gas": 100_000,
        "maxFeePerGas": 9,
        "maxPriorityFeePerGas": 1,
        "to": b"\x22" * 20,
        "value": 0,
        "data": b"",
        "accessList": [{"address": f"0x{WRITER.hex()}", "storageKeys": [f"0x{slot(3).hex()}"]}],
        "authorizationList": [authorization],
    }
    signed = Account.from_key(b"\x45" * 32).sign_transaction(fields).raw_transaction
    wanted = named_in(replace(node.block, transactions=(bytes(signed),)), Fork.PRAGUE)
    signer = bytes.fromhex(authority.address[2:])
    named = {SENDER, COINBASE, b"\x22" * 20, WRITER, signer, delegate}
    assert wanted.keys() == named | {BEACON_ROOTS, BLOCK_HASHES, *REQUEST_CONTRACTS}
    assert wanted[WRITER] == {slot(3)}


def test_slots_of_system_contracts(node):
    """EIP-4788, EIP-2935, EIP-7002, EIP-7251: the slots that the system calls of this block read."""
    header = replace(node.block.header, number=8192, timestamp=8191 * 5 + 2)
    reads = system_reads(replace(node.block, header=header), Fork.PRAGUE)
    assert reads[BEACON_ROOTS] == {slot(2), slot(2 + 8191)}
    assert reads[BLOCK_HASHES] == {slot(0)}
    assert [reads[address] for address in REQUEST_CONTRACTS] == [{slot(index) for index in range(4)}] * 2
    assert system_reads(replace(node.block, header=header), Fork.CANCUN).keys() == {BEACON_ROOTS}
    assert system_reads(replace(node.block, header=header), Fork.SHANGHAI) == {}
