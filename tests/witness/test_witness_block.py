"""Blocks, headers, requests and senders."""

import random

import pytest
import rlp
from eth_account import Account
from eth_hash.auto import keccak
from eth_keys import keys

from witness import schema
from witness.block import (
    Block,
    Header,
    Withdrawal,
    block_to_request,
    encode_requests,
    ommers_hash,
    parse_requests,
    recover_public_key,
    request_to_block,
    requests_hash,
    split_list,
    versioned_hashes,
)
from witness.errors import BlockError, LimitExceeded
from witness.schema import Fork
from witness.trie import ordered_trie_root

KEY = keys.PrivateKey(b"\x11" * 32)
PUBLIC = b"\x04" + KEY.public_key.to_bytes()


def signed(**fields) -> bytes:
    defaults = {"nonce": 1, "gas": 21000, "to": "0x" + "22" * 20, "value": 5, "data": b"\x01\x02"}
    return bytes(Account.sign_transaction({**defaults, **fields}, KEY.to_bytes()).raw_transaction)


def fees(**more):
    return {"maxFeePerGas": 9, "maxPriorityFeePerGas": 1, "chainId": 5, **more}


BLOB = bytes([1]) + b"\x07" * 31
TRANSACTIONS = {
    "legacy, no chain id": signed(gasPrice=7),
    "legacy, EIP-155": signed(gasPrice=7, chainId=1337),
    "access list": signed(
        type=1, gasPrice=7, chainId=5, accessList=[{"address": "0x" + "33" * 20, "storageKeys": ["0x" + "44" * 32]}]
    ),
    "dynamic fee": signed(type=2, **fees()),
    "blob": signed(type=3, **fees(maxFeePerBlobGas=3, blobVersionedHashes=["0x" + BLOB.hex()])),
    "set code": signed(
        type=4,
        **fees(
            authorizationList=[
                Account.sign_authorization({"chainId": 5, "address": "0x" + "55" * 20, "nonce": 0}, KEY.to_bytes())
            ]
        ),
    ),
}


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_senders(name):
    assert recover_public_key(TRANSACTIONS[name]) == PUBLIC


def test_transactions_that_have_no_sender():
    good = TRANSACTIONS["dynamic fee"]
    fields = rlp.decode(good[1:])
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    for at, value in (
        (-3, b"\x02"),
        (-2, b""),
        (-1, b""),
        (-2, order.to_bytes(32, "big")),
        (-1, b"\0\1"),
        (-2, b"\1" * 33),
    ):
        changed = [*fields]
        changed[at] = value
        with pytest.raises(BlockError):
            recover_public_key(b"\x02" + rlp.encode(changed))
    for wrong in (
        b"",
        b"\x05" + good[1:],
        b"\x02",
        good[:-1],
        good + b"\0",
        b"\x02" + rlp.encode(fields[:-1]),
        b"\xc0",
    ):
        with pytest.raises(BlockError):
            recover_public_key(wrong)
    legacy = rlp.decode(TRANSACTIONS["legacy, no chain id"])
    for v in (b"", b"\x1a", b"\x22", b"\x01" * 33):
        with pytest.raises(BlockError):
            recover_public_key(rlp.encode([*legacy[:6], v, *legacy[7:]]))


def sample_block(fork: Fork, requests=()) -> Block:
    generator = random.Random(fork.value)
    transactions = tuple(TRANSACTIONS.values())[: 2 if fork < Fork.BERLIN else 6]
    withdrawals = (
        (Withdrawal(1, 2, b"\x01" * 20, 3), Withdrawal(2, 0, b"\x02" * 20, 0)) if fork >= Fork.SHANGHAI else None
    )
    ommer = sample_header(Fork.FRONTIER, generator)
    ommers = (ommer,) if fork < Fork.PARIS else ()
    header = sample_header(
        fork,
        generator,
        transactions_root=ordered_trie_root(transactions),
        ommers_hash=ommers_hash(ommers),
        withdrawals_root=ordered_trie_root(w.encode() for w in withdrawals) if withdrawals else None,
        requests_hash=requests_hash(requests) if fork >= Fork.PRAGUE else None,
    )
    return Block(header, transactions, ommers, withdrawals)


def sample_header(fork: Fork, generator: random.Random, **fields) -> Header:
    merged = fork >= Fork.PARIS
    values = {
        "parent_hash": generator.randbytes(32),
        "ommers_hash": generator.randbytes(32),
        "coinbase": generator.randbytes(20),
        "state_root": generator.randbytes(32),
        "transactions_root": generator.randbytes(32),
        "receipts_root": generator.randbytes(32),
        "bloom": generator.randbytes(256),
        "difficulty": 0 if merged else 131_072,
        "number": 1000,
        "gas_limit": 30_000_000,
        "gas_used": 0,
        "timestamp": 1_700_000_000,
        "extra_data": b"here",
        "prev_randao": generator.randbytes(32),
        "nonce": bytes(8) if merged else generator.randbytes(8),
    }
    if fork >= Fork.LONDON:
        values["base_fee_per_gas"] = 7
    if fork >= Fork.CANCUN:
        values |= {"blob_gas_used": 0, "excess_blob_gas": 5, "parent_beacon_block_root": generator.randbytes(32)}
    return Header(**{**values, **{name: value for name, value in fields.items() if value is not None}})


REQUESTS = (b"\x00" + b"\x09" * 192, b"\x01" + b"\x08" * 152, b"\x02" + b"\x07" * 116)


@pytest.mark.parametrize("fork", Fork)
def test_blocks_round_trip_through_rlp_and_requests(fork):
    requests = REQUESTS if fork >= Fork.PRAGUE else ()
    block = sample_block(fork, requests)
    assert Block.decode(block.encode()) == block
    assert Header.decode(block.header.encode()).hash == keccak(rlp.encode(rlp.decode(block.header.encode())))
    request = block_to_request(block, fork, requests)
    assert request_to_block(request, fork) == block
    if fork >= Fork.PARIS:
        assert bytes(request.execution_payload.block_hash) == block.header.hash
    if fork >= Fork.CANCUN:
        assert [bytes(one) for one in request.versioned_hashes] == [BLOB] == versioned_hashes(block.transactions)


def test_blocks_without_a_request():
    block = sample_block(Fork.PRAGUE, REQUESTS)
    for fork, requests in ((Fork.PRAGUE, None), (Fork.PRAGUE, REQUESTS[:2]), (Fork.CANCUN, ()), (Fork.LONDON, ())):
        with pytest.raises(BlockError):
            block_to_request(block, fork, requests)
    other_body = Block(block.header, block.transactions[:1], (), block.withdrawals)
    with pytest.raises(BlockError, match="does not match the body"):
        block_to_request(other_body, Fork.PRAGUE, REQUESTS)
    request = block_to_request(other_body, Fork.PRAGUE, REQUESTS, must_match=False)
    with pytest.raises(BlockError, match="block hash"):
        request_to_block(request, Fork.PRAGUE)
    request = block_to_request(block, Fork.PRAGUE, REQUESTS)
    request.versioned_hashes = []
    with pytest.raises(BlockError, match="versioned hashes"):
        request_to_block(request, Fork.PRAGUE)


def test_execution_requests():
    parsed = parse_requests(REQUESTS)
    assert [len(parsed.deposits), len(parsed.withdrawals), len(parsed.consolidations)] == [1, 2, 1]
    assert tuple(encode_requests(parsed)) == REQUESTS
    assert encode_requests(schema.ExecutionRequests()) == []
    # EIP-7685: the hash of no requests is SHA-256 of nothing.
    assert requests_hash(()).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert requests_hash([b"\x00", b"\x01"]) == requests_hash(())
    for wrong in (
        [b"\x03" + bytes(8)],
        [b""],
        [b"\x00"],
        [REQUESTS[0][:-1]],
        [REQUESTS[1], REQUESTS[0]],
        [REQUESTS[0]] * 2,
    ):
        with pytest.raises(BlockError):
            parse_requests(wrong)


def test_hostile_blocks():
    encoded = sample_block(Fork.PRAGUE, REQUESTS).encode()
    generator = random.Random(4)
    for length in [*range(20), *(generator.randrange(len(encoded)) for _ in range(60))]:
        with pytest.raises((BlockError, LimitExceeded)):
            Block.decode(encoded[:length])
    for _ in range(400):
        mutated = bytearray(encoded)
        for _ in range(generator.randrange(1, 4)):
            mutated[generator.randrange(len(mutated))] = generator.randrange(256)
        try:
            decoded = Block.decode(bytes(mutated))
        except (BlockError, LimitExceeded):
            continue
        assert decoded.encode() == bytes(mutated)
    for wrong in (b"", b"\x80", b"\xc0", b"\xc3\xc0\xc0\xc0", b"\xff" * 9, b"\xc1" * 5000, rlp.encode([b"", b"", b""])):
        with pytest.raises(BlockError):
            Block.decode(wrong)
    with pytest.raises(LimitExceeded):
        Block.decode(bytes((16 << 20) + 1))
    with pytest.raises(LimitExceeded):
        split_list(rlp.encode([b""] * 11), 10, "a list")
    with pytest.raises(LimitExceeded):
        Header.decode(bytes(1025))


def test_hostile_headers():
    fields = rlp.decode(sample_header(Fork.CANCUN, random.Random(1), withdrawals_root=bytes(32)).encode())
    assert len(fields) == 20
    for count in (0, 14, 18, 19, 22):
        with pytest.raises((BlockError, LimitExceeded)):
            Header.decode(rlp.encode((fields + [b"", b""])[:count]))
    for at, value in (
        (0, bytes(31)),
        (6, bytes(255)),
        (8, b"\0"),
        (8, b"\1" * 9),
        (7, b"\1" * 33),
        (14, b""),
        (2, [b""]),
    ):
        changed = [*fields]
        changed[at] = value
        with pytest.raises(BlockError):
            Header.decode(rlp.encode(changed))
