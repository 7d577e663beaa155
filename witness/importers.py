"""
Importers: every form in which a block's witness is met, normalised to the one canonical input.

- `debug_executionWitness` of reth (list form, older map form), geth (header objects, keys null), Nethermind, Erigon,
  bare or inside a JSON-RPC answer.
- block files: {"chainId", "block": RLP, "witness": {...}, "fork"?}, as .json or .json.gz.
- the canonical binary: schema id and SSZ.

The form is told by content, never by the file's name. Normalised: every hash computed here from the given bytes, state
and codes deduplicated and in ascending order of hash, headers linked, ascending, contiguous, ending at the block's
parent. Hostile input costs bounded time and memory: bytes, decompressed bytes and JSON elements are limited before
parsing.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eth_hash.auto import keccak

from witness import schema
from witness.block import Block, Header, block_to_request, recover_public_keys
from witness.chains import KNOWN_BY_ID, ChainConfig
from witness.errors import ChainError, FormatError, LimitExceeded, WitnessError
from witness.files import GZIP_MAGIC, gunzip_limited, parse_json, read_limited
from witness.schema import ExecutionWitness, Fork, StatelessInput

_HEX = re.compile(r"0[xX](?:[0-9a-fA-F]{2})*\Z")
_QUANTITY = re.compile(r"0[xX][0-9a-fA-F]{1,64}\Z")


@dataclass(frozen=True)
class LoadedInput:
    """
    A canonical input and what it is about.

    encoded: schema id and SSZ; chain: name of the known chain or None; number, block_hash: of the block; form: the
    form it was found in ("canonical", "block file").
    """

    encoded: bytes
    stateless_input: StatelessInput
    form: str
    chain: str | None
    number: int
    block_hash: bytes
    gas_used: int
    transactions: int

    @property
    def fork(self) -> Fork:
        """The fork that the schema id names."""
        return self.stateless_input.fork


# --- values in JSON ---------------------------------------------------------------------------------------------------


def _hex(value: object, what: str, most: int | None = None) -> bytes:
    if not isinstance(value, str) or not _HEX.match(value):
        raise FormatError(f"{what} is not a 0x-prefixed string of whole bytes")
    if most is not None and (len(value) - 2) // 2 > most:
        raise LimitExceeded(f"{what} of {(len(value) - 2) // 2} bytes exceeds {most}")
    return bytes.fromhex(value[2:])


def _quantity(value: object, what: str) -> int:
    if isinstance(value, bool):
        raise FormatError(f"{what} is not a number")
    if isinstance(value, int) and value >= 0:
        return value
    if isinstance(value, str) and _QUANTITY.match(value):
        return int(value, 16)
    raise FormatError(f"{what} is not a number")


# --- execution witnesses ---------------------------------------------------------------------------------------------


def import_witness(answer: object, parent_hash: bytes | None = None, headers: Sequence[bytes] = ()) -> ExecutionWitness:
    """
    The normalised witness in an answer of debug_executionWitness, in any of its forms.

    answer: the parsed JSON, with or without its JSON-RPC envelope.
    parent_hash: 32 bytes; where given, the last header must be the block with this hash, and headers after it are
    refused. headers: RLP headers from elsewhere, for clients whose answer has none.
    Raises FormatError, LimitExceeded, BlockError.
    """
    if isinstance(answer, dict) and "jsonrpc" in answer:
        if "result" not in answer:
            raise FormatError("the JSON-RPC answer has no result")
        answer = answer["result"]
    if not isinstance(answer, dict) or "state" not in answer:
        raise FormatError("an execution witness is an object with `state`")
    state = _preimages(answer.get("state"), "state", schema.MAX_STATE_NODES, schema.MAX_BYTES_PER_WITNESS_NODE)
    codes = _preimages(answer.get("codes"), "codes", schema.MAX_CODES, schema.MAX_BYTES_PER_CODE)
    # Preimages of keys are a hint that nothing here needs; a wrong type still means a malformed answer.
    _preimages(answer.get("keys"), "keys", schema.MAX_STATE_NODES, 32)
    found = [*_headers(answer.get("headers")), *headers]
    return ExecutionWitness(state, codes, _link_headers(found, parent_hash))


def _preimages(value: object, what: str, most: int, most_bytes: int) -> tuple[bytes, ...]:
    """Deduplicated byte strings in ascending order of hash, empty ones dropped; a map's keys must be their hashes."""
    if value is None:
        return ()
    if isinstance(value, dict):
        pairs: Iterable[tuple[str | None, object]] = value.items()
    elif isinstance(value, list):
        pairs = ((None, element) for element in value)
    else:
        raise FormatError(f"{what} is neither a list nor an object nor null")
    if len(value) > most:
        raise LimitExceeded(f"{what} has {len(value)} elements, more than {most}")
    by_hash: dict[bytes, bytes] = {}
    for key, element in pairs:
        preimage = _hex(element, f"an element of {what}", most_bytes)
        computed = keccak(preimage)
        if key is not None and _hex(key, f"a key of {what}", 32) != computed:
            raise FormatError(f"{what}: the key {key[:80]} is not the hash 0x{computed.hex()} of its value")
        if preimage:
            by_hash[computed] = preimage
    return tuple(by_hash[computed] for computed in sorted(by_hash))


def _headers(value: object) -> list[bytes]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise FormatError("headers is neither a list nor null")
    if len(value) > schema.MAX_WITNESS_HEADERS:
        raise LimitExceeded(f"{len(value)} headers exceed {schema.MAX_WITNESS_HEADERS}")
    encoded = []
    for element in value:
        if isinstance(element, dict):
            encoded.append(header_from_json(element).encode())
        else:
            encoded.append(_hex(element, "a header", schema.MAX_BYTES_PER_HEADER))
    return encoded


_HEADER_KEYS: tuple[tuple[str, tuple[str, ...], bool, bool], ...] = (
    # field of Header, names in JSON, is a quantity, may be absent
    ("parent_hash", ("parentHash",), False, False),
    ("ommers_hash", ("sha3Uncles", "ommersHash", "uncleHash"), False, False),
    ("coinbase", ("miner", "coinbase", "beneficiary", "feeRecipient"), False, False),
    ("state_root", ("stateRoot",), False, False),
    ("transactions_root", ("transactionsRoot", "transactionsTrie"), False, False),
    ("receipts_root", ("receiptsRoot", "receiptTrie"), False, False),
    ("bloom", ("logsBloom", "bloom"), False, False),
    ("difficulty", ("difficulty",), True, False),
    ("number", ("number",), True, False),
    ("gas_limit", ("gasLimit",), True, False),
    ("gas_used", ("gasUsed",), True, False),
    ("timestamp", ("timestamp",), True, False),
    ("extra_data", ("extraData",), False, False),
    ("prev_randao", ("mixHash", "prevRandao"), False, False),
    ("nonce", ("nonce",), False, False),
    ("base_fee_per_gas", ("baseFeePerGas",), True, True),
    ("withdrawals_root", ("withdrawalsRoot",), False, True),
    ("blob_gas_used", ("blobGasUsed",), True, True),
    ("excess_blob_gas", ("excessBlobGas",), True, True),
    ("parent_beacon_block_root", ("parentBeaconBlockRoot",), False, True),
    ("requests_hash", ("requestsHash",), False, True),
)


def header_from_json(fields: dict) -> Header:
    """
    The header in a JSON object as eth_getBlock and geth write it, re-encoded.

    A `hash` in the object must equal the computed one. Raises FormatError, BlockError.
    """
    if not isinstance(fields, dict):
        raise FormatError("a header is not an object")
    values: dict[str, bytes | int] = {}
    for name, keys, is_quantity, is_optional in _HEADER_KEYS:
        found = [fields[key] for key in keys if fields.get(key) is not None]
        if not found:
            if is_optional:
                continue
            raise FormatError(f"header object lacks {keys[0]}")
        if is_quantity:
            values[name] = _quantity(found[0], f"header field {keys[0]}")
        elif name == "nonce" and isinstance(found[0], int):
            raise FormatError("header field nonce is not hex")
        else:
            values[name] = _hex(found[0], f"header field {keys[0]}", schema.MAX_BYTES_PER_HEADER)
    # Decoding what was encoded checks widths and that optional fields are present up to one fork.
    header = Header.decode(Header(**values).encode())
    if header != Header(**values):
        raise FormatError("header object has a field without those before it")
    stated = fields.get("hash")
    if stated is not None and _hex(stated, "header hash", 32) != header.hash:
        raise FormatError(f"header object states hash {stated}, its fields have 0x{header.hash.hex()}")
    return header


def _link_headers(encoded: Sequence[bytes], parent_hash: bytes | None) -> tuple[bytes, ...]:
    by_number: dict[int, Header] = {}
    for one in encoded:
        header = Header.decode(one)
        if by_number.setdefault(header.number, header) != header:
            raise FormatError(f"two different headers of number {header.number}")
    headers = [by_number[number] for number in sorted(by_number)]
    if len(headers) > schema.MAX_WITNESS_HEADERS:
        raise LimitExceeded(f"{len(headers)} headers exceed {schema.MAX_WITNESS_HEADERS}")
    for older, newer in itertools.pairwise(headers):
        if newer.number != older.number + 1:
            raise FormatError(f"headers are not contiguous: {older.number} is followed by {newer.number}")
        if newer.parent_hash != older.hash:
            raise FormatError(f"header {newer.number} does not have header {older.number} as its parent")
    if parent_hash is not None and headers and headers[-1].hash != parent_hash:
        raise FormatError(f"the last header, number {headers[-1].number}, is not the parent 0x{parent_hash.hex()}")
    return tuple(header.encode() for header in headers)


# --- inputs ----------------------------------------------------------------------------------------------------------


def build_input(
    block: Block,
    witness: ExecutionWitness,
    chain_id: int,
    fork: Fork,
    revision: int = schema.REVISION_BOUND,
    requests: Sequence[bytes] | None = None,
    must_match: bool = True,
) -> StatelessInput:
    """
    The input for a block and its witness.

    requests: EIP-7685 requests. From Prague on, where they are not given, they are derived: an empty list if the
    header's requests hash is that of no requests, else by executing the block with EELS.
    must_match: False makes the input of an invalid block too, as block_to_request says.
    Raises BlockError, and whatever witness.validate.derive_requests raises.
    """
    if fork >= Fork.PRAGUE and requests is None:
        from witness.validate import derive_requests

        requests = derive_requests(block, witness, chain_id, fork, revision)
    return StatelessInput(
        fork=fork,
        revision=revision,
        request=block_to_request(block, fork, requests, must_match),
        witness=witness,
        chain_id=chain_id,
        public_keys=recover_public_keys(block.transactions),
    )


def import_block_file(
    contents: object, chain: ChainConfig | None = None, fork: Fork | None = None, revision: int | None = None
) -> StatelessInput:
    """
    The input in a parsed block file: {"chainId", "block", "witness", "fork"?, "requests"?}.

    The fork is `fork` if given, else the schedule's (of `chain`, or of the known chain with that id), else the file's
    own "fork". Raises FormatError, LimitExceeded, BlockError, ChainError, MissingWitness.
    """
    if not isinstance(contents, dict) or not {"block", "witness"} <= contents.keys():
        raise FormatError("a block file is an object with `chainId`, `block` and `witness`")
    block = Block.decode(_hex(contents["block"], "block"))
    chain_id = _quantity(contents.get("chainId", chain.chain_id if chain else None), "chainId")
    if chain is not None and chain.chain_id != chain_id:
        raise ChainError(f"the file has chain id {chain_id}, {chain.name} has {chain.chain_id}")
    chain = chain or KNOWN_BY_ID.get(chain_id)
    if fork is None:
        if chain is not None:
            fork = chain.fork_at(block.header.number, block.header.timestamp)
        else:
            fork = _fork_named(contents.get("fork"))
    witness = import_witness(contents["witness"], block.header.parent_hash)
    requests = contents.get("requests")
    if requests is not None:
        if not isinstance(requests, list) or len(requests) > 16:
            raise FormatError("requests is not a list of at most 16 strings")
        requests = [_hex(request, "a request") for request in requests]
    revision = schema.REVISION_BOUND if revision is None else revision
    return build_input(block, witness, chain_id, fork, revision, requests)


def _fork_named(name: object) -> Fork:
    for fork in Fork:
        if name == fork.label:
            return fork
    raise ChainError(f"the chain is not known and {name!r} names no fork")


def load_input(path: str | Path, chain: ChainConfig | None = None) -> LoadedInput:
    """
    The canonical input in a file: canonical binary, or a block file as JSON or gzipped JSON, told by content.

    Raises WitnessError of every kind; OSError where the file cannot be read.
    """
    return import_input(read_limited(path), chain)


def import_input(contents: bytes, chain: ChainConfig | None = None) -> LoadedInput:
    """load_input on bytes."""
    if contents[:2] == GZIP_MAGIC:
        contents = gunzip_limited(contents)
    if contents.lstrip(b" \t\r\n")[:1] in (b"{", b"["):
        parsed = parse_json(contents)
        if isinstance(parsed, dict) and "block" not in parsed and ("state" in parsed or "result" in parsed):
            raise FormatError("an execution witness alone is not an input: its block is needed too")
        stateless_input, form = import_block_file(parsed, chain), "block file"
        encoded = schema.encode_input(stateless_input)
    else:
        stateless_input, form, encoded = schema.decode_input(contents), "canonical", contents
        if chain is not None and chain.chain_id != stateless_input.chain_id:
            raise ChainError(f"the input has chain id {stateless_input.chain_id}, {chain.name} has {chain.chain_id}")
    return _describe(stateless_input, encoded, form, chain)


def _describe(stateless_input: StatelessInput, encoded: bytes, form: str, chain: ChainConfig | None) -> LoadedInput:
    request = stateless_input.request
    if isinstance(request, schema.LegacyBlock):
        header = Block.decode(request.block_rlp.contents())
        number, block_hash, gas_used = header.header.number, header.header.hash, header.header.gas_used
        transactions = len(header.transactions)
    else:
        payload = request.execution_payload
        number, block_hash, gas_used = int(payload.block_number), bytes(payload.block_hash), int(payload.gas_used)
        transactions = payload.transactions.length()
    chain = chain or KNOWN_BY_ID.get(stateless_input.chain_id)
    return LoadedInput(
        encoded, stateless_input, form, chain.name if chain else None, number, block_hash, gas_used, transactions
    )


def load_block_file(path: str | Path) -> bytes:
    """The canonical input, schema id and SSZ, of a block file."""
    return load_input(path).encoded


def main(arguments: Sequence[str]) -> int:
    """
    `python -m witness.importers FILE OUT`: writes the canonical input of FILE to OUT.

    Exit code 0, 1 where FILE is refused, 2 on wrong usage.
    """
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m witness.importers FILE OUT\n")
        return 2
    try:
        Path(arguments[1]).write_bytes(load_block_file(arguments[0]))
    except (WitnessError, OSError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
