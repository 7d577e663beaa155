"""The oracle on the devnet block, on real blocks, and on everything that is wrong with them."""

import json
from hashlib import sha256

import pytest
import rlp
from eth_hash.auto import keccak

from witness import schema
from witness.block import Block, Header, block_to_request, recover_public_keys, request_to_block
from witness.devnet import (
    CONTRACT,
    FEE_RECIPIENT,
    DevnetError,
    DevnetOptions,
    make_devnet_block,
    make_devnet_input,
    sender_key,
)
from witness.errors import MissingCode, MissingHeader, MissingNode
from witness.importers import build_input, load_input
from witness.record import execute_on, record_witness, state_after
from witness.schema import ExecutionWitness, Fork, StatelessInput, decode_result, encode_input
from witness.trie import NodeStore, WitnessState
from witness.validate import ReasonClass, validate


@pytest.fixture(scope="module")
def devnet() -> StatelessInput:
    return make_devnet_input()


# --- the devnet block ------------------------------------------------------------------------------------------------


def test_the_devnet_block_is_valid(devnet):
    verdict = validate(encode_input(devnet))
    assert verdict.valid and verdict.reason is None
    result = decode_result(verdict.encoded)
    assert (result.chain_id, result.schema_id) == (1337, 0x1101)
    assert result.new_payload_request_root == devnet.request_root()
    executed = verdict.executed
    assert executed.post_state_root == executed.block.header.state_root
    assert len(executed.receipts) == 3 and executed.requests == ()
    # The recorder keeps exactly what validation reads.
    assert executed.touched == devnet.witness


def test_the_devnet_block_has_what_it_promises(devnet):
    state, genesis, block = make_devnet_block()
    executed = execute_on(state, [genesis.header.encode()], block, 1337, Fork.PRAGUE)
    kinds = [transaction[0] if transaction[0] < 0x80 else 0 for transaction in block.transactions]
    assert kinds == [0, 0, 2]
    assert [w.address == FEE_RECIPIENT for w in block.withdrawals] == [True, False]
    # The contract's receipt is successful and has one log, whose topic and data are the precompile's answer.
    status, _, _, logs = rlp.decode(executed.receipts[2][1:])
    digest = sha256(DevnetOptions().argument).digest()
    assert (status, logs) == (b"\x01", [[CONTRACT, [digest], digest]])
    # Slot 0 was changed, slot 1 deleted, the digest's slot written.
    before = WitnessState(NodeStore(state.nodes), state.root)
    after = WitnessState(NodeStore({**state.nodes, **executed.written}), executed.post_state_root)
    values = []
    for view in (before, after):
        root = view.account(CONTRACT).storage_root
        values.append([view.storage(CONTRACT, root, slot) for slot in (bytes(32), bytes(31) + b"\x01", digest)])
    sender = int.from_bytes(sender_key(2).public_key.to_canonical_address(), "big")
    assert values == [[41, 7, 0], [42, 0, sender]]
    assert make_devnet_input() == devnet


def test_devnet_options():
    larger = make_devnet_input(DevnetOptions(transfers=5, calls=4, argument=b"\x07" * 32))
    assert validate(larger).valid and len(larger.public_keys) == 9
    assert validate(make_devnet_input(DevnetOptions(transfers=0, calls=0))).valid
    for wrong in (DevnetOptions(transfers=65), DevnetOptions(calls=-1), DevnetOptions(argument=b"")):
        with pytest.raises(DevnetError):
            make_devnet_input(wrong)


def test_a_second_block_on_the_state_after_the_first():
    state, genesis, block = make_devnet_block()
    executed = execute_on(state, [genesis.header.encode()], block, 1337, Fork.PRAGUE)
    after = state_after(state, executed)
    assert after.root == block.header.state_root
    # The same block again is not a child of itself.
    with pytest.raises(MissingHeader):
        execute_on(after, [genesis.header.encode(), block.header.encode()], block, 1337, Fork.PRAGUE)


def test_extra_accounts_are_added(devnet):
    state, genesis, block = make_devnet_block()
    headers = [genesis.header.encode()]
    witness = record_witness(state, headers, block, 1337, Fork.PRAGUE, extra_accounts=[b"\xff" * 19 + b"\xfe"])
    assert set(witness.state) >= set(devnet.witness.state)
    assert validate(devnet.with_witness(witness)).valid


# --- refusals by name ------------------------------------------------------------------------------------------------


def test_every_node_code_and_header_of_the_recorded_witness_is_needed(devnet):
    witness = devnet.witness
    for absent in witness.state:
        rest = tuple(node for node in witness.state if node != absent)
        verdict = validate(devnet.with_witness(ExecutionWitness(rest, witness.codes, witness.headers)))
        assert not verdict.valid and verdict.reason_class is ReasonClass.MISSING_NODE
        assert isinstance(verdict.error, MissingNode) and verdict.error.node_hash == keccak(absent)
        assert verdict.reason.startswith(f"missing node 0x{keccak(absent).hex()}")
        assert decode_result(verdict.encoded).new_payload_request_root == devnet.request_root()
    for absent in witness.codes:
        rest = tuple(code for code in witness.codes if code != absent)
        verdict = validate(devnet.with_witness(ExecutionWitness(witness.state, rest, witness.headers)))
        assert not verdict.valid and verdict.reason_class is ReasonClass.MISSING_CODE
        assert isinstance(verdict.error, MissingCode) and verdict.error.code_hash == keccak(absent)
    verdict = validate(devnet.with_witness(ExecutionWitness(witness.state, witness.codes, ())))
    assert not verdict.valid and verdict.reason_class is ReasonClass.MISSING_HEADER


def test_order_repetition_and_ballast_do_not_matter(devnet):
    witness = devnet.witness
    other = ExecutionWitness(
        (*reversed(witness.state), *witness.state, b"\x80", b"junk"),
        (b"junk", *reversed(witness.codes)),
        witness.headers,
    )
    assert validate(devnet.with_witness(other)).valid


def test_a_changed_node_is_a_missing_node(devnet):
    state = list(devnet.witness.state)
    state[0] = state[0][:-1] + bytes([state[0][-1] ^ 1])
    witness = ExecutionWitness(tuple(state), devnet.witness.codes, devnet.witness.headers)
    assert validate(devnet.with_witness(witness)).reason_class is ReasonClass.MISSING_NODE


def changed_block(devnet: StatelessInput, **changes) -> StatelessInput:
    """The devnet block with other header fields, its hash recomputed."""
    block = request_to_block(devnet.request, devnet.fork)
    fields = {name: getattr(block.header, name) for name in Header.__dataclass_fields__}
    changed = Block(Header(**{**fields, **changes}), block.transactions, (), block.withdrawals)
    request = block_to_request(changed, devnet.fork, (), must_match=False)
    return StatelessInput(devnet.fork, request, devnet.witness, devnet.chain_id, devnet.public_keys)


@pytest.mark.parametrize(
    ("change", "reason_class", "reason"),
    [
        ({"state_root": bytes(32)}, ReasonClass.CONSENSUS, "state root"),
        ({"receipts_root": bytes(32)}, ReasonClass.CONSENSUS, "receipts root"),
        ({"bloom": bytes(256)}, ReasonClass.CONSENSUS, ""),
        ({"gas_used": 1}, ReasonClass.CONSENSUS, "gas used"),
        ({"gas_limit": 1 << 40}, ReasonClass.CONSENSUS, ""),
        ({"timestamp": 0}, ReasonClass.CONSENSUS, ""),
        ({"base_fee_per_gas": 1}, ReasonClass.CONSENSUS, ""),
        ({"excess_blob_gas": 1}, ReasonClass.CONSENSUS, ""),
        ({"blob_gas_used": 1 << 17}, ReasonClass.CONSENSUS, ""),
        ({"number": 2}, ReasonClass.CONSENSUS, "parent of number 0"),
        ({"parent_hash": bytes(32)}, ReasonClass.MISSING_HEADER, "missing header of block 0"),
        ({"coinbase": b"\x01" * 20}, ReasonClass.MISSING_NODE, "missing node"),
        ({"parent_beacon_block_root": b"\x01" * 32}, ReasonClass.CONSENSUS, "state root"),
        ({"prev_randao": b"\x01" * 32}, None, None),
        ({"extra_data": b"changed"}, None, None),
    ],
)
def test_changed_header_fields(devnet, change, reason_class, reason):
    verdict = validate(changed_block(devnet, **change))
    if reason_class is None:
        # Nothing in this block depends on the field: another valid block with another root.
        assert verdict.valid and verdict.encoded[:32] != devnet.request_root()
        return
    if reason_class is ReasonClass.MISSING_NODE and verdict.reason_class is ReasonClass.CONSENSUS:
        # The other account's path happens to be in so small a witness.
        reason = "state root"
    else:
        assert verdict.reason_class is reason_class
    assert not verdict.valid and reason in verdict.reason


def test_changed_requests(devnet):
    request = devnet.request.copy()
    request.execution_payload.block_hash = b"\x01" * 32
    changed = StatelessInput(devnet.fork, request, devnet.witness, 1337, devnet.public_keys)
    assert validate(changed).reason_class is ReasonClass.BLOCK

    for keys in ((), devnet.public_keys[:-1], (*devnet.public_keys, b"\x04" * 65)):
        changed = StatelessInput(devnet.fork, devnet.request, devnet.witness, 1337, keys)
        assert validate(changed).reason_class is ReasonClass.PUBLIC_KEYS
    # The keys themselves are ignored.
    changed = StatelessInput(devnet.fork, devnet.request, devnet.witness, 1337, (b"\x04" * 65,) * 3)
    assert validate(changed).valid

    block = request_to_block(devnet.request, devnet.fork)
    forged = Block(block.header, (*block.transactions[:2], block.transactions[0]), (), block.withdrawals)
    request = block_to_request(forged, devnet.fork, (), must_match=False)
    request.execution_payload.block_hash = request_to_block(request, devnet.fork, check_hash=False).header.hash
    changed = StatelessInput(devnet.fork, request, devnet.witness, 1337, devnet.public_keys)
    verdict = validate(changed)
    assert (verdict.reason_class, "Nonce" in verdict.reason) == (ReasonClass.TRANSACTION, True)

    # Another chain id: the signatures' chain id does not fit.
    changed = StatelessInput(devnet.fork, devnet.request, devnet.witness, 1338, devnet.public_keys)
    assert validate(changed).reason_class in (ReasonClass.TRANSACTION, ReasonClass.CONSENSUS)


def test_the_fork_is_bound_on_known_chains(devnet):
    for chain_id, revision in ((1, schema.REVISION_BOUND), (11155111, schema.REVISION_BOUND)):
        changed = StatelessInput(devnet.fork, devnet.request, devnet.witness, chain_id, devnet.public_keys, revision)
        assert validate(changed).reason_class is ReasonClass.FORK
    changed = StatelessInput(devnet.fork, devnet.request, devnet.witness, 1337, devnet.public_keys, 0x81)
    assert validate(changed).valid
    osaka = StatelessInput(Fork.OSAKA, devnet.request, devnet.witness, 1337, devnet.public_keys)
    assert decode_result(validate(osaka).encoded).schema_id == 0x1201


def test_undecodable_inputs(devnet):
    for given in (b"", b"\x11\x01", encode_input(devnet)[:-1], b"\x15\x01" + encode_input(devnet)[2:]):
        verdict = validate(given)
        assert (verdict.encoded, verdict.reason_class) == (bytes(43), ReasonClass.UNDECODABLE)


# --- real blocks -----------------------------------------------------------------------------------------------------

QUICK = {1150000, 1920000, 2675000, 21688509}


def blocks(data):
    return json.loads((data / "index.json").read_text())["blocks"]


def check_block(data, entry) -> None:
    loaded = load_input(data / entry["file"])
    assert loaded.fork.label == entry["fork"]
    verdict = validate(loaded.encoded)
    stateless_input = loaded.stateless_input
    if entry["note"].startswith("INCOMPLETE"):
        assert not verdict.valid and verdict.reason_class is ReasonClass.MISSING_NODE
        return
    assert verdict.valid, verdict.reason
    assert "0x" + loaded.block_hash.hex() == entry["blockHash"]
    assert verdict.result.new_payload_request_root == stateless_input.request_root()
    touched = verdict.executed.touched
    assert set(touched.state) <= set(stateless_input.witness.state)
    assert validate(stateless_input.with_witness(touched)).valid


@pytest.mark.parametrize("number", sorted(QUICK))
def test_quick_real_blocks(data, number):
    for entry in blocks(data):
        if entry["block"] == number:
            check_block(data, entry)


@pytest.mark.heavy
def test_all_real_blocks(data):
    for entry in blocks(data):
        check_block(data, entry)


def test_an_incomplete_real_block_is_refused_by_name(data):
    entry = next(entry for entry in blocks(data) if entry["block"] == 22188088)
    verdict = validate(load_input(data / entry["file"]).encoded)
    assert verdict.encoded[32] == 0
    assert verdict.reason == (
        "missing node 0x8a3d287b464732615d9fbbb597e156d4b694c3634d77b057bc2965d61c99a32b at path 22c "
        "of the account trie, needed for account 0xc83f7d9f2d4a76e81145849381aba02602373723"
    )


@pytest.mark.heavy
def test_an_incomplete_real_block_that_lacks_a_sibling(data):
    entry = next(entry for entry in blocks(data) if entry["block"] == 21000001)
    verdict = validate(load_input(data / entry["file"]).encoded)
    assert verdict.encoded[32] == 0
    assert verdict.reason.startswith(
        "missing node 0xf250d042d76347c088bfe394d800b554cb2d44e5b99059e0a963b5ee8b23ec8c at path 8de5 "
        "of the storage trie of 0x502ed02100ea8b10f8d7fc14e0f86633ec2ddada"
    )


def test_build_input_derives_what_the_rlp_lacks(devnet):
    block = request_to_block(devnet.request, devnet.fork)
    assert build_input(block, devnet.witness, 1337, Fork.PRAGUE) == devnet
    assert recover_public_keys(block.transactions) == devnet.public_keys
