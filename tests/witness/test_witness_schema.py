"""The canonical bytes: one encoding per value, and nothing else decodes."""

import random
import struct

import pytest
from remerkleable.basic import uint64
from remerkleable.byte_arrays import ByteVector
from remerkleable.complex import Container
from remerkleable.progressive import ProgressiveByteList, ProgressiveContainer, ProgressiveList

from witness import schema
from witness.errors import LimitExceeded, SchemaError
from witness.schema import ExecutionWitness, Fork, StatelessInput, decode_input, encode_input


def sample_request(fork: Fork, generator: random.Random):
    if fork < Fork.PARIS:
        return schema.LegacyBlock(block_rlp=generator.randbytes(300))
    transactions = [generator.randbytes(size) for size in (0, 1, 31, 32, 33, 700)]
    payload = {"block_number": 7, "transactions": transactions, "extra_data": b"extra", "base_fee_per_gas": 1 << 200}
    around = {}
    if fork >= Fork.SHANGHAI:
        payload["withdrawals"] = [schema.Withdrawal(index=1, validator_index=2, address=b"\1" * 20, amount=3)]
    if fork >= Fork.CANCUN:
        around["versioned_hashes"] = [generator.randbytes(32)]
        around["parent_beacon_block_root"] = generator.randbytes(32)
    if fork >= Fork.PRAGUE:
        request = schema.WithdrawalRequest(source_address=b"\2" * 20, validator_pubkey=b"\3" * 48, amount=4)
        around["execution_requests"] = schema.ExecutionRequests(withdrawals=[request])
    payload_type = schema.request_type(fork).fields()["execution_payload"]
    return schema.request_type(fork)(execution_payload=payload_type(**payload), **around)


def sample_input(fork: Fork = Fork.PRAGUE, revision: int = schema.REVISION_UNBOUND, seed: int = 1) -> StatelessInput:
    generator = random.Random(seed)
    return StatelessInput(
        fork=fork,
        revision=revision,
        request=sample_request(fork, generator),
        witness=ExecutionWitness(
            state=tuple(generator.randbytes(size) for size in (1, 100, 532, 1024)),
            codes=(generator.randbytes(5000), b"\x00"),
            headers=(generator.randbytes(600),),
        ),
        chain_id=1337,
        public_keys=(b"\x04" + generator.randbytes(64),) * 6,
    )


@pytest.mark.parametrize("fork", Fork)
def test_every_fork_round_trips(fork):
    original = sample_input(fork)
    encoded = encode_input(original)
    decoded = decode_input(encoded)
    assert encoded[:2] == bytes([fork.value, 0x81])
    assert decoded == original
    assert encode_input(decoded) == encoded
    assert decoded.request_root() == original.request_root()


def test_schema_ids():
    assert schema.schema_id_of(Fork.FRONTIER, schema.REVISION_BOUND) == 0x0101
    assert schema.schema_id_of(Fork.BPO2, schema.REVISION_BOUND) == 0x1401
    assert schema.split_schema_id(0x1781) == (Fork.BPO4, schema.REVISION_UNBOUND)
    # 0x15 is Amsterdam; BPO3 and BPO4 exist unbound only.
    for unknown in (0x0001, 0x1501, 0x1581, 0x1601, 0x1701, 0x1801, 0x1402, 0x1400, 0xFFFF):
        with pytest.raises(SchemaError):
            schema.split_schema_id(unknown)


class AmsterdamPayload(ProgressiveContainer(active_fields=[1] * 19)):
    """tests-zkevm v0.8.2: two fields more than Cancun's."""

    __annotations__ = {
        **schema.ExecutionPayloadCancun.fields(),
        "block_access_list": schema.ByteString,
        "slot_number": uint64,
    }


class AmsterdamRequests(ProgressiveContainer(active_fields=[1] * 5)):
    """tests-zkevm v0.8.2: two lists more than Electra's; both are empty here, so their element does not matter."""

    deposits: schema.DepositRequests
    withdrawals: schema.WithdrawalRequests
    consolidations: schema.ConsolidationRequests
    builder_deposits: ProgressiveList[uint64]
    builder_exits: ProgressiveList[uint64]


class AmsterdamRequest(Container):
    """tests-zkevm v0.8.2."""

    execution_payload: AmsterdamPayload
    versioned_hashes: schema.VersionedHashes
    parent_beacon_block_root: ByteVector[32]
    execution_requests: AmsterdamRequests


def test_root_of_a_published_vector():
    # The request of paradigmxyz/stateless, testing/stateless-validator/fixtures/guest-smoke.json, commit
    # 3e430006f204121cef3729a1c13d9da9318be4be, re-created from its values; the root is the first 32 output bytes there.
    parent_hash = bytes.fromhex("a5a12380a0a270efcd39e915371f14a06fb9bed3555d310c4441e734c16a6656")
    access_list = bytes.fromhex(
        "f8d9de9400000961ef480eb55e80d19ad83579a64c007002c0c480010203c0c0c0de94000064d678505ad48f8ccb093bc65613800e8282"
        "c0c480010203c0c0c0de940000bbddc7ce488642fb579f8b00f3a590007251c0c480010203c0c0c0de940000bff46984e3725691fa540a"
        "8c7589300d8282c0c480010203c0c0c0f840940000f90827f1c53a10cb7a02335b175320002935e6e580e3e280a0"
        + parent_hash.hex()
        + "c0c0c0c0da94000f3df6d732807ef1319fb7b8bb8522d0beac02c0c0c0c0c0"
    )
    payload = AmsterdamPayload(
        parent_hash=parent_hash,
        fee_recipient=bytes.fromhex("2adc25665018aa1fe0e6bc666dac8fc2697ff9ba"),
        state_root=bytes.fromhex("063e3feb6885b1d856e6afe0fdf365bf91856be2a1b39e7211d79cb128a5886a"),
        receipts_root=bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"),
        block_number=1,
        gas_limit=120_000_000,
        timestamp=12,
        base_fee_per_gas=7,
        block_hash=bytes.fromhex("b853681047e9f6e7742bea689325518317c27cf695640bdfce2ec08589f69101"),
        block_access_list=access_list,
    )
    request = AmsterdamRequest(execution_payload=payload)
    assert len(request.encode_bytes()) == 823
    expected = "011f185472e68b558940a818c5c879dd590f03e638ba876aac2c33f5bf86f8e7"
    assert schema.new_payload_request_root(request).hex() == expected


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 160, 161, 5000])
def test_byte_string_is_the_progressive_byte_list(size):
    contents = random.Random(size).randbytes(size)
    ours, library = schema.ByteString(contents), ProgressiveByteList(contents)
    assert ours.hash_tree_root() == library.hash_tree_root()
    assert ours.contents() == contents
    assert ours.encode_bytes() == bytes(library.encode_bytes())
    assert schema.ByteString.decode_bytes(contents) == ours


def test_truncated_and_extended_inputs_do_not_decode():
    encoded = encode_input(sample_input())
    generator = random.Random(2)
    for length in [*range(40), *(generator.randrange(40, len(encoded)) for _ in range(60))]:
        with pytest.raises(SchemaError):
            decode_input(encoded[:length])
    for tail in (b"\x00", b"\x00" * 65, encoded):
        # Whole further keys at the end would be read as keys; one byte form per value still holds.
        try:
            assert encode_input(decode_input(encoded + tail)) == encoded + tail
        except SchemaError:
            continue


def test_mutated_inputs_decode_to_what_they_encode_or_not_at_all():
    encoded = bytearray(encode_input(sample_input()))
    generator = random.Random(3)
    refused = 0
    for _ in range(120):
        mutated = bytearray(encoded)
        for _ in range(generator.randrange(1, 4)):
            # Offsets live near the start, so half of the damage goes there.
            at = generator.randrange(600 if generator.random() < 0.5 else len(mutated))
            mutated[at] ^= 1 << generator.randrange(8)
        try:
            assert encode_input(decode_input(bytes(mutated))) == bytes(mutated)
        except SchemaError:
            refused += 1
    assert refused > 8


def test_gaps_are_not_canonical():
    encoded = encode_input(sample_input(Fork.FRONTIER))
    # StatelessInput is 4 + 4 + 8 + 4 fixed bytes; moving every offset by 4 opens a gap behind them.
    body = bytearray(encoded[2:])
    for at in (0, 4, 16):
        (offset,) = struct.unpack_from("<I", body, at)
        struct.pack_into("<I", body, at, offset + 4)
    with pytest.raises(SchemaError):
        decode_input(encoded[:2] + bytes(body[:20]) + b"\0\0\0\0" + bytes(body[20:]))


def test_hostile_offset_tables_are_refused_before_they_cost():
    for offset in (0xFFFFFFFC, 1 << 24, 3, 0):
        body = struct.pack("<IIQI", 20, 20, 1, 20) + struct.pack("<I", offset) * 64
        with pytest.raises(SchemaError):
            decode_input(b"\x01\x01" + body)
    # Two million empty state nodes: more than MAX_STATE_NODES.
    count = 2 << 20
    state = struct.pack("<I", 4 * count) * count
    witness = struct.pack("<III", 12, 12 + len(state), 12 + len(state)) + state
    block = struct.pack("<I", 4)
    body = struct.pack("<IIQI", 20, 24, 1, 24 + len(witness)) + block + witness
    with pytest.raises(SchemaError, match="count"):
        decode_input(b"\x01\x01" + body)


def test_limits_on_encoding():
    good = sample_input()
    for witness in (
        ExecutionWitness((bytes(1025),), (), ()),
        ExecutionWitness((), (bytes(65537),), ()),
        ExecutionWitness((), (), (bytes(1025),)),
        ExecutionWitness((), (), (b"",) * 257),
    ):
        with pytest.raises(SchemaError):
            encode_input(good.with_witness(witness))
    with pytest.raises(LimitExceeded):
        decode_input(bytes(schema.MAX_INPUT_BYTES + 1))
    with pytest.raises(SchemaError):
        encode_input(StatelessInput(Fork.CANCUN, good.request, good.witness, 1, good.public_keys))
    with pytest.raises(SchemaError):
        encode_input(StatelessInput(good.fork, good.request, good.witness, 1 << 64, good.public_keys))
    with pytest.raises(SchemaError):
        encode_input(StatelessInput(good.fork, good.request, good.witness, 1, (b"\x04" * 64,)))


def test_results():
    result = schema.StatelessValidationResult(bytes(range(32)), True, 1, 0x1501)
    encoded = schema.encode_result(result)
    # The layout of the published vector: root, flag, chain id and schema id little endian.
    assert encoded == bytes(range(32)) + bytes.fromhex("0101000000000000000115")
    assert schema.decode_result(encoded) == result
    assert schema.decode_result(schema.UNDECODABLE_RESULT).successful_validation is False
    for wrong in (b"", encoded[:-1], encoded + b"\0", encoded[:32] + b"\2" + encoded[33:]):
        with pytest.raises(SchemaError):
            schema.decode_result(wrong)
