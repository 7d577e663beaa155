"""
Blockchain tests of execution-spec-tests (EEST): read from a folder, a JSON file or a .tar.zst archive, one at a time.

A test is a pre-state, a genesis header and blocks, each either valid or with the exception that a client must find.
Format: execution-spec-tests, "blockchain tests"; the same for the project's own suite in fixtures/.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import rlp
import zstandard

from witness.block import Block
from witness.chains import KNOWN
from witness.errors import ChainError, FormatError, LimitExceeded, WitnessError
from witness.files import parse_json, read_limited
from witness.record import GenesisAccount, accounts_from_alloc
from witness.schema import REVISION_BOUND, REVISION_UNBOUND, Fork
from witness.trie import bytes_to_int

MAX_TEST_FILE_BYTES = 256 << 20
MAX_BLOCKS = 1 << 16

NETWORKS: dict[str, Fork] = {fork.label: fork for fork in Fork} | {
    "Frontier": Fork.FRONTIER,
    "Homestead": Fork.HOMESTEAD,
    "EIP150": Fork.TANGERINE_WHISTLE,
    "EIP158": Fork.SPURIOUS_DRAGON,
    "Byzantium": Fork.BYZANTIUM,
    "ConstantinopleFix": Fork.CONSTANTINOPLE,
    "Istanbul": Fork.ISTANBUL,
    "Berlin": Fork.BERLIN,
    "London": Fork.LONDON,
    "Paris": Fork.PARIS,
    "Shanghai": Fork.SHANGHAI,
    "Cancun": Fork.CANCUN,
    "Prague": Fork.PRAGUE,
    "Osaka": Fork.OSAKA,
    "BPO1": Fork.BPO1,
    "BPO2": Fork.BPO2,
    "BPO3": Fork.BPO3,
    "BPO4": Fork.BPO4,
}
"""EEST's names, and for forks that EEST fills no tests for, the project's own labels."""
TRANSITION_TIME = 15_000
_TRANSITION_SUFFIX = "AtTime15k"


@dataclass(frozen=True)
class FixtureBlock:
    """
    rlp: as a client receives it; it may be no block at all. exception: what makes it invalid, None for a valid one.
    number, timestamp: of the header, None where they cannot be read.
    """

    rlp: bytes
    exception: str | None
    number: int | None
    timestamp: int | None


@dataclass(frozen=True)
class Fixture:
    """
    One blockchain test.

    name: as the suite names it; folder: of its file in the suite; network: a name of NETWORKS, a transition
    "{A}To{B}AtTime15k", or a known chain, whose schedule then binds; chain_id: below 2^64; genesis: RLP of the first header;
    pre and post: accounts by 20-byte address, post None where not given; post_root: 32 bytes, None where not given;
    last_block_hash: 32 bytes.
    """

    name: str
    folder: str
    network: str
    chain_id: int
    genesis: bytes
    pre: dict[bytes, GenesisAccount]
    post: dict[bytes, GenesisAccount] | None
    post_root: bytes | None
    blocks: tuple[FixtureBlock, ...]
    last_block_hash: bytes

    @property
    def revision(self) -> int:
        """Of the schema id: bound where the network is a chain."""
        return REVISION_BOUND if self.network in KNOWN else REVISION_UNBOUND

    def fork_of(self, block: FixtureBlock) -> Fork:
        """The fork whose rules a block is under. Raises ChainError for an unknown network."""
        name = self.network
        if name in KNOWN:
            return KNOWN[name].fork_at(block.number or 0, block.timestamp or 0)
        if name.endswith(_TRANSITION_SUFFIX):
            before, _, after = name.removesuffix(_TRANSITION_SUFFIX).partition("To")
            # A block that cannot be read is refused under either fork.
            name = before if block.timestamp is not None and block.timestamp < TRANSITION_TIME else after
        if name not in NETWORKS:
            raise ChainError(f"the test is of network {self.network!r}, which is not supported")
        return NETWORKS[name]

    @property
    def gas_used(self) -> int:
        """Of all valid blocks."""
        return sum(Block.decode(block.rlp).header.gas_used for block in self.blocks if block.exception is None)


@dataclass(frozen=True)
class RawFixture:
    """A test as it stands in its file: `fixture` decodes it. key: file and name, unique in a suite."""

    path: str
    name: str
    contents: dict

    @property
    def key(self) -> str:
        return f"{self.path}::{self.name}"

    @property
    def folder(self) -> str:
        """The suite's folder: from the one called "blockchain_tests" on, where there is one."""
        return str(Path(self.path).parent).rpartition("blockchain_tests/")[2]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the test's contents, hex."""
        return sha256(json.dumps(self.contents, sort_keys=True).encode()).hexdigest()

    @property
    def network(self) -> str:
        """"" where the file gives none."""
        network = self.contents.get("network")
        return network if isinstance(network, str) else ""


def read_suite(path: str | Path) -> Iterator[RawFixture]:
    """
    Every test of a JSON file, an archive (.tar.zst, .tar.gz), or a folder of these, in order, held in memory one file at a time.

    Of a whole release the blockchain tests are read, and its other formats left out.
    Raises FormatError and LimitExceeded for what is no suite, OSError where it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            name = str(file.relative_to(path))
            if name.endswith(_ARCHIVES):
                yield from (replace(test, path=f"{name}/{test.path}") for test in _read_archive(file))
            elif _is_of_blockchain_tests(name):
                yield from _tests_in(name, read_limited(file))
    elif path.name.endswith(_ARCHIVES):
        yield from _read_archive(path)
    else:
        yield from _tests_in(path.name, read_limited(path))


_ARCHIVES = (".tar.zst", ".tar.gz")
_OTHER_FORMATS = {".meta", "state_tests", "blockchain_tests_engine", "blockchain_tests_engine_x", "blockchain_tests_sync", "transaction_tests"}


def _is_of_blockchain_tests(name: str) -> bool:
    # Deeper folders may be called the same: blockchain_tests/static/state_tests.
    return name.endswith(".json") and _OTHER_FORMATS.isdisjoint(Path(name).parts[:2])


def _read_archive(path: Path) -> Iterator[RawFixture]:
    with path.open("rb") as file:
        if path.name.endswith(".tar.gz"):
            reader: BinaryIO = gzip.GzipFile(fileobj=file)
        else:
            # Archives are packed with windows of up to 128 MiB (--long=27).
            reader = io.BufferedReader(zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(file))
        try:
            with tarfile.open(fileobj=reader, mode="r|") as archive:
                for member in archive:
                    if not member.isfile() or not _is_of_blockchain_tests(member.name):
                        continue
                    if member.size > MAX_TEST_FILE_BYTES:
                        raise LimitExceeded(f"{member.name} of {member.size} bytes exceeds {MAX_TEST_FILE_BYTES}")
                    yield from _tests_in(member.name, archive.extractfile(member).read())
        except (tarfile.TarError, zstandard.ZstdError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FormatError(f"{path.name} is not a whole archive: {error}") from error


def _tests_in(path: str, contents: bytes) -> Iterator[RawFixture]:
    parsed = parse_json(contents)
    if not isinstance(parsed, dict):
        raise FormatError(f"{path}: a file of tests is an object")
    for name, test in parsed.items():
        if not isinstance(test, dict) or "blocks" not in test:
            raise FormatError(f"{path}: {name[:80]} is no blockchain test")
        yield RawFixture(path, name, test)


def fixture(raw: RawFixture) -> Fixture:
    """The test in its raw form. Raises FormatError."""
    test = raw.contents
    blocks = test.get("blocks")
    if not isinstance(blocks, list) or not 1 <= len(blocks) <= MAX_BLOCKS:
        raise FormatError(f"{raw.name[:80]}: blocks is not a list of 1 to {MAX_BLOCKS}")
    config = test.get("config")
    chain_id = config.get("chainid", "0x1") if isinstance(config, dict) else "0x1"
    return Fixture(
        name=raw.name,
        folder=raw.folder,
        network=raw.network,
        chain_id=_number(chain_id, "chain id"),
        genesis=_bytes(test.get("genesisRLP"), "genesisRLP"),
        pre=accounts_from_alloc(test.get("pre")),
        post=accounts_from_alloc(test["postState"]) if test.get("postState") is not None else None,
        post_root=_bytes(test["postStateHash"], "postStateHash") if test.get("postStateHash") is not None else None,
        blocks=tuple(_block(block) for block in blocks),
        last_block_hash=_bytes(test.get("lastblockhash"), "lastblockhash"),
    )


def _block(given: object) -> FixtureBlock:
    if not isinstance(given, dict):
        raise FormatError("a block is not an object")
    exception = given.get("expectException")
    if exception is not None and not isinstance(exception, str):
        raise FormatError("expectException is not a string")
    encoded = _bytes(given.get("rlp"), "rlp of a block")
    return FixtureBlock(encoded, exception, *_number_and_timestamp(encoded))


def _number_and_timestamp(encoded: bytes) -> tuple[int | None, int | None]:
    try:
        header = Block.decode(encoded).header
        return header.number, header.timestamp
    except WitnessError:
        pass
    try:
        header = rlp.decode(encoded, strict=False)[0]
        return bytes_to_int(header[8], 8), bytes_to_int(header[11], 8)
    except (rlp.exceptions.RLPException, IndexError, TypeError, ValueError):
        return None, None


def _bytes(value: object, what: str) -> bytes:
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError) as error:
        raise FormatError(f"{what} is not hex") from error


def _number(value: object, what: str) -> int:
    try:
        number = int(value, 16)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{what} is not a hex number") from error
    if not 0 <= number < 1 << 64:
        raise FormatError(f"{what} is not below 2^64")
    return number
