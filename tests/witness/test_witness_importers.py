"""Every form of a witness gives the same input; hostile forms give typed refusals."""

import gzip
import io
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest
from eth_hash.auto import keccak

from witness import files, schema
from witness.block import Header, request_to_block
from witness.chains import MAINNET
from witness.devnet import CHAIN_ID, make_devnet_input
from witness.errors import BlockError, ChainError, FormatError, LimitExceeded, WitnessError
from witness.importers import (
    header_from_json,
    import_block_file,
    import_input,
    import_witness,
    load_block_file,
    load_input,
    main,
)
from witness.schema import Fork, decode_input, encode_input


@pytest.fixture(scope="module")
def devnet():
    return make_devnet_input()


@pytest.fixture(scope="module")
def parts(devnet):
    """The devnet block file, as a parsed JSON object."""
    block = request_to_block(devnet.request, devnet.fork)
    return {
        "chainId": CHAIN_ID,
        "fork": "prague",
        "block": hexed(block.encode()),
        "witness": {
            "state": [hexed(node) for node in devnet.witness.state],
            "codes": [hexed(code) for code in devnet.witness.codes],
            "keys": [],
            "headers": [hexed(header) for header in devnet.witness.headers],
        },
    }


def hexed(value: bytes) -> str:
    return "0x" + value.hex()


def as_map(values: list[str]) -> dict[str, str]:
    return {hexed(keccak(bytes.fromhex(value[2:]))): value for value in values}


def as_object(header: Header, style: str) -> dict:
    """A header as eth_getBlock writes it; geth's own struct has no `miner` alias and other extras."""
    numbers = {"difficulty", "number", "gas_limit", "gas_used", "timestamp", "base_fee_per_gas", "blob_gas_used",
               "excess_blob_gas"}  # fmt: skip
    names = {
        "parent_hash": "parentHash", "ommers_hash": "sha3Uncles", "coinbase": "miner", "state_root": "stateRoot",
        "transactions_root": "transactionsRoot", "receipts_root": "receiptsRoot", "bloom": "logsBloom",
        "difficulty": "difficulty", "number": "number", "gas_limit": "gasLimit", "gas_used": "gasUsed",
        "timestamp": "timestamp", "extra_data": "extraData", "prev_randao": "mixHash", "nonce": "nonce",
        "base_fee_per_gas": "baseFeePerGas", "withdrawals_root": "withdrawalsRoot", "blob_gas_used": "blobGasUsed",
        "excess_blob_gas": "excessBlobGas", "parent_beacon_block_root": "parentBeaconBlockRoot",
        "requests_hash": "requestsHash",
    }  # fmt: skip
    fields = {names[name]: getattr(header, name) for name in names if getattr(header, name) is not None}
    written = {key: hex(value) if isinstance(value, int) else hexed(value) for key, value in fields.items()}
    assert {names[name] for name in numbers} >= {key for key, value in fields.items() if isinstance(value, int)}
    if style == "with hash":
        written |= {"hash": hexed(header.hash), "size": "0x220", "totalDifficulty": "0x0", "uncles": []}
    return written


FORMS = {
    "reth list": lambda w: w,
    "keys null": lambda w: {**w, "keys": None},
    "keys absent": lambda w: {key: value for key, value in w.items() if key != "keys"},
    "keys present": lambda w: {**w, "keys": [hexed(b"\x01" * 20), hexed(b"\x02" * 32)]},
    "shuffled": lambda w: {key: random.Random(1).sample(value, len(value)) for key, value in w.items()},
    "repeated": lambda w: {key: value * 2 for key, value in w.items()},
    "upper case": lambda w: {key: ["0x" + one[2:].upper() for one in value] for key, value in w.items()},
    "map form": lambda w: {**w, **{key: as_map(w[key]) for key in ("state", "codes", "keys")}},
    "empty strings": lambda w: {**w, "state": ["0x", *w["state"]], "codes": [*w["codes"], "0x"]},
    "header objects": lambda w: {**w, "headers": [as_object(header_of(one), "plain") for one in w["headers"]]},
    "header objects with hash": lambda w: {
        **w, "headers": [as_object(header_of(one), "with hash") for one in w["headers"]]
    },
    "JSON-RPC answer": lambda w: {"jsonrpc": "2.0", "id": 1, "result": w},
}  # fmt: skip


def header_of(encoded: str) -> Header:
    return Header.decode(bytes.fromhex(encoded[2:]))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_bytes(form, parts, devnet):
    written = json.loads(json.dumps({**parts, "witness": FORMS[form](parts["witness"])}))
    assert encode_input(import_block_file(written)) == encode_input(devnet)


def test_headers_from_elsewhere(parts, devnet):
    for headers in (None, []):
        answer = {**parts["witness"], "headers": headers}
        assert import_witness(answer).headers == ()
        assert import_witness(answer, headers=devnet.witness.headers) == devnet.witness
    del answer["headers"]
    assert import_witness(answer).headers == ()


def test_files_are_told_by_content(tmp_path, parts, devnet):
    canonical = encode_input(devnet)
    text = json.dumps(parts).encode()
    contents = {
        "a.json": text, "b.json.gz": gzip.compress(text), "c.ssz": canonical, "d.bin": canonical,
        "e.ssz.gz": gzip.compress(canonical), "misnamed.ssz": text, "misnamed.json": canonical,
        "members.gz": gzip.compress(text[:100]) + gzip.compress(text[100:]), "spaces.json": b" \n" + text,
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        loaded = load_input(tmp_path / name)
        assert loaded.encoded == canonical == load_block_file(tmp_path / name)
        assert (loaded.fork, loaded.number, loaded.chain, loaded.transactions) == (Fork.PRAGUE, 1, None, 3)
        assert loaded.block_hash == bytes(devnet.request.execution_payload.block_hash)
    with pytest.raises(OSError):
        load_input(tmp_path / "absent")
    with pytest.raises(OSError):
        load_input(tmp_path)


def test_command(tmp_path, parts, devnet):
    (tmp_path / "in.json").write_text(json.dumps(parts))
    command = [sys.executable, "-m", "witness.importers", str(tmp_path / "in.json"), str(tmp_path / "out.ssz")]
    subprocess.run(command, check=True, cwd=Path(__file__).resolve().parents[2])
    assert (tmp_path / "out.ssz").read_bytes() == encode_input(devnet)
    assert main([]) == 2
    assert main([str(tmp_path / "absent"), str(tmp_path / "out")]) == 1
    (tmp_path / "in.json").write_text("{}")
    assert main([str(tmp_path / "in.json"), str(tmp_path / "out")]) == 1


def test_chains_and_forks(parts, devnet):
    with pytest.raises(ChainError, match="chain id 1337"):
        import_block_file(parts, MAINNET)
    with pytest.raises(ChainError):
        import_input(encode_input(devnet), MAINNET)
    with pytest.raises(ChainError, match="names no fork"):
        import_block_file({**parts, "fork": "petersburg"})
    # Block 1 of mainnet is under Frontier, whose header has fewer fields.
    with pytest.raises(BlockError, match="frontier"):
        import_block_file({**parts, "chainId": 1})
    unbound = import_block_file({**parts, "chainId": "0x1"}, fork=Fork.PRAGUE, revision=schema.REVISION_UNBOUND)
    assert unbound.schema_id == 0x1181
    with pytest.raises(BlockError, match="requests"):
        import_block_file({**parts, "requests": [hexed(b"\x01" + bytes(76))]})


WRONG_WITNESSES = [
    (FormatError, None),
    (FormatError, []),
    (FormatError, {}),
    (FormatError, "0x"),
    (FormatError, {"state": 5}),
    (FormatError, {"state": "0x"}),
    (FormatError, {"state": [1]}),
    (FormatError, {"state": [None]}),
    (FormatError, {"state": [[]]}),
    (FormatError, {"state": ["0x1"]}),
    (FormatError, {"state": ["12"]}),
    (FormatError, {"state": ["0xzz"]}),
    (FormatError, {"state": ["0x12\n"]}),
    (FormatError, {"state": {"0x00": "0x01"}}),
    (FormatError, {"state": {hexed(keccak(b"\1")): 5}}),
    (LimitExceeded, {"state": {"0x" + "00" * 33: "0x01"}}),
    (FormatError, {"state": [], "codes": 1}),
    (FormatError, {"state": [], "keys": "x"}),
    (FormatError, {"state": [], "headers": {}}),
    (FormatError, {"state": [], "headers": [5]}),
    (FormatError, {"state": [], "headers": [{}]}),
    (BlockError, {"state": [], "headers": ["0x"]}),
    (BlockError, {"state": [], "headers": ["0xc0"]}),
    (LimitExceeded, {"state": [hexed(bytes(1025))]}),
    (LimitExceeded, {"state": [], "codes": [hexed(bytes(65537))]}),
    (LimitExceeded, {"state": [], "headers": [hexed(bytes(1025))]}),
    (LimitExceeded, {"state": [], "headers": ["0x"] * 257}),
    (FormatError, {"jsonrpc": "2.0", "error": {"code": -32601, "message": "no such method"}}),
    (FormatError, {"jsonrpc": "2.0", "result": None}),
]


@pytest.mark.parametrize(("refusal", "answer"), WRONG_WITNESSES, ids=lambda value: str(value)[:40])
def test_wrong_witnesses(refusal, answer, parts):
    with pytest.raises(refusal):
        import_witness(answer)
    with pytest.raises(refusal):
        import_block_file({**parts, "witness": answer})


def test_wrong_headers(parts, devnet):
    header = header_of(parts["witness"]["headers"][0])
    written = as_object(header, "with hash")
    for change in (
        {"hash": hexed(bytes(32))},
        {"number": "0x5"},
        {"number": True},
        {"number": "five"},
        {"number": -1},
        {"gasLimit": 1.5},
        {"stateRoot": None},
        {"stateRoot": "0x00"},
        {"nonce": 5},
        {"nonce": "0x0"},
        {"withdrawalsRoot": None},
        {"extraData": hexed(bytes(1025))},
        {"number": hex(1 << 65)},
    ):
        with pytest.raises((FormatError, BlockError, LimitExceeded)):
            header_from_json({**written, **change})
    other = hexed(bytes_with(header, number=header.number + 2))
    with pytest.raises(FormatError, match="contiguous"):
        import_witness({"state": [], "headers": [parts["witness"]["headers"][0], other]})
    unlinked = hexed(bytes_with(header, number=header.number + 1))
    with pytest.raises(FormatError, match="as its parent"):
        import_witness({"state": [], "headers": [parts["witness"]["headers"][0], unlinked]})
    twin = hexed(bytes_with(header, gas_used=1))
    with pytest.raises(FormatError, match="two different"):
        import_witness({"state": [], "headers": [parts["witness"]["headers"][0], twin]})
    with pytest.raises(FormatError, match="is not the parent"):
        import_witness(parts["witness"], parent_hash=bytes(32))


def bytes_with(header: Header, **changes) -> bytes:
    fields = {name: getattr(header, name) for name in Header.__dataclass_fields__}
    return Header(**{**fields, **changes}).encode()


@pytest.mark.parametrize(
    "contents",
    [
        b"", b"{", b"[]", b"{}", b"null", b"5", b'"x"', b'{"state": []}', b'{"jsonrpc": "2.0", "result": {}}',
        b'{"block": "0x", "witness": {}, "chainId": 1}', b'{"block": 5, "witness": {}, "chainId": 1}',
        b'{"block": "0xc0", "witness": {}}', b'{"a": 1, "a": 2}', b'{"a": NaN', b"\xff\xfe{", b"{\x00}", b"\x14\x01",
        b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"[],[]," * 1000 + b"0]" + b"1", b"1" * 5000, b"{" + b'"' * 99,
        b"\x1f\x8b", b"\x1f\x8b" + bytes(30), gzip.compress(b"{}")[:-5], gzip.compress(gzip.compress(b"{}")),
        b'{"block": "0x", "witness": {}, "chainId": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda contents: str(contents[:24]),
)  # fmt: skip
def test_hostile_files(contents):
    with pytest.raises(WitnessError):
        import_input(contents)


def test_bombs_are_stopped_early(monkeypatch):
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 1 << 20)
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
    with pytest.raises(LimitExceeded, match="decompresses"):
        import_input(out.getvalue())
    with pytest.raises(LimitExceeded, match="bytes exceeds"):
        files.parse_json(b" " * ((1 << 20) + 1))
    monkeypatch.setattr(files, "MAX_JSON_ELEMENTS", 1000)
    for text in (b"[" + b"[]," * 1000 + b"0]", b"[" + b"0," * 1001 + b"0]", b'"a"' * 5000):
        with pytest.raises(LimitExceeded):
            files.parse_json(text)
    assert files.parse_json(b'["[{\\"[", "]"]') == ['[{"[', "]"]


def test_a_file_over_the_limit(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 100)
    (tmp_path / "large").write_bytes(bytes(101))
    with pytest.raises(LimitExceeded):
        load_input(tmp_path / "large")


def test_mutated_files_are_refused_or_imported(parts):
    text = json.dumps(parts).encode()
    generator = random.Random(6)
    outcomes = {"refused": 0, "imported": 0}
    for _ in range(150):
        mutated = bytearray(text)
        for _ in range(generator.randrange(1, 4)):
            at = generator.randrange(len(mutated))
            action = generator.randrange(3)
            if action == 0:
                mutated[at] = generator.choice(b'0123456789abcdef"[]{},:x \\')
            elif action == 1:
                del mutated[at : at + generator.randrange(1, 50)]
            else:
                mutated[at:at] = generator.choice([b'"', b"[", b"null", b"0x", b"}", b"-1", b"1e999"])
        try:
            loaded = import_input(bytes(mutated))
        except WitnessError:
            outcomes["refused"] += 1
            continue
        outcomes["imported"] += 1
        assert decode_input(loaded.encoded) == loaded.stateless_input
    assert outcomes["refused"] > 100


def test_the_map_form_of_an_older_reth(data):
    path = data / "rpc" / "sbv__holesky_0x2d411e_debug_executionWitness_reth_mapform.json.gz"
    answer = files.parse_json(files.read_limited(path))
    witness = import_witness(answer)
    # The block is not among the data as RLP, but its parent state root is a node of the witness.
    assert len(witness.state) > 1000
    assert [keccak(node) for node in witness.state] == sorted(keccak(node) for node in witness.state)
    assert witness.headers == ()


def test_a_recorded_header_object_has_the_hash_it_states(data):
    recorded = files.parse_json(files.read_limited(data / "rpc" / "sbv__holesky_0x2d411e_block.json.gz"))
    assert hexed(header_from_json(recorded).hash) == recorded["hash"]
