"""The block guest in the machine: real blocks, changed inputs, fixtures of every fork."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from eth_hash.auto import keccak

from blockproof.guest_build import WORKSPACE
from blockproof.guests import load_guest
from tests.guest.conftest import Ended
from witness.block import Block, Header, ommers_hash
from witness.importers import load_input
from witness.record import GenesisAccount, WholeState, state_from_accounts
from witness.schema import (
    REVISION_UNBOUND_RLP,
    UNDECODABLE_RESULT,
    ExecutionWitness,
    Fork,
    LegacyBlock,
    StatelessInput,
    decode_result,
    encode_input,
    encode_parts,
)
from zkvm.machine import RunResult, run

REPOSITORY = Path(__file__).resolve().parents[2]
STEP_LIMIT_OF_21429063 = 25_000_000
INCOMPLETE = {
    21000001: "missing node 0xf250d042d76347c088bfe394d800b554cb2d44e5b99059e0a963b5ee8b23ec8c (account 0x502Ed02100eA8b10",
    22188088: "missing node 0x8a3d287b464732615d9fbbb597e156d4b694c3634d77b057bc2965d61c99a32b (account 0xc83f7D9F2D4A76E8",
}


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real blocks and fixtures; skips where there is none."""
    folder = Path(os.environ.get("BLOCKPROOF_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "index.json").is_file():
        pytest.skip("no data folder: set BLOCKPROOF_DATA")
    return folder


@cache
def guest():
    return load_guest("block")


def execute(encoded: bytes) -> RunResult:
    """Runs the shipped guest, which ends with exit code 0 on every input."""
    result = run(guest(), encoded)
    assert result.exit_code == 0
    assert len(result.output) == 43
    return result


def verdict(encoded: bytes) -> tuple[bool, str]:
    """Flag, and the line on the debug channel."""
    result = execute(encoded)
    return decode_result(result.output).successful_validation, result.debug.decode().strip()


@cache
def block_input(folder: Path, name: str) -> StatelessInput:
    return load_input(folder / "blocks" / name).stateless_input


def small_block(data: Path) -> StatelessInput:
    return block_input(data, "mainnet_2675000_rpc.json.gz")


def payload_block(data: Path) -> StatelessInput:
    return block_input(data, "mainnet_21688509.json.gz")


def block_entries(folder: Path) -> list[dict]:
    return json.loads((folder / "index.json").read_text())["blocks"]


def check_real_block(data: Path, entry: dict) -> RunResult:
    """Root, chain and schema as encoded; flag 1 for a complete block, the named node for an incomplete one."""
    stateless_input = block_input(data, Path(entry["file"]).name)
    result = execute(encode_input(stateless_input))
    public = decode_result(result.output)
    assert public.new_payload_request_root == stateless_input.request_root()
    assert (public.chain_id, public.schema_id) == (1, stateless_input.schema_id)
    line = result.debug.decode().strip()
    if entry["block"] in INCOMPLETE:
        assert not public.successful_validation
        assert line.startswith(f"invalid: {INCOMPLETE[entry['block']]}")
    else:
        assert public.successful_validation, line
    return result


def test_real_blocks(data: Path) -> None:
    """Those below 6 Mgas, and one of the incomplete ones."""
    for entry in block_entries(data):
        if entry["gasUsed"] < 6_000_000:
            result = check_real_block(data, entry)
            if entry["block"] == 21429063:
                assert result.steps <= STEP_LIMIT_OF_21429063


@pytest.mark.heavy
def test_every_real_block(data: Path) -> None:
    for entry in block_entries(data):
        check_real_block(data, entry)


def test_undecodable_inputs_give_zeros(data: Path) -> None:
    encoded = encode_input(payload_block(data))
    changed = [
        b"",
        b"\x10",
        encoded[:2],
        encoded[:-1],
        encoded + b"\0",
        b"\x15\x01" + encoded[2:],
        b"\x10\x02" + encoded[2:],
    ]
    changed.append(b"\x16\x01" + encoded[2:])  # BPO3 is on no chain's schedule
    for at in (2, 6, 18, 22, 26):  # offsets of StatelessInput and of the request
        changed.append(
            encoded[:at]
            + (int.from_bytes(encoded[at : at + 4], "little") + 1).to_bytes(4, "little")
            + encoded[at + 4 :]
        )
    for other in changed:
        assert execute(other).output == UNDECODABLE_RESULT


def test_fork_is_bound_to_the_chain(data: Path) -> None:
    encoded = encode_input(payload_block(data))
    flag, line = verdict(encoded)
    assert flag, line
    # Legacy blocks of all early forks share one container: another schema id decodes, and is refused.
    legacy = encode_input(small_block(data))
    for fork in (Fork.TANGERINE_WHISTLE, Fork.BYZANTIUM, Fork.GRAY_GLACIER):
        flag, line = verdict(bytes([fork, 1]) + legacy[2:])
        assert not flag
        assert line.startswith("invalid: schema of "), line
    # Unbound, the schema chooses the fork, and the public output says that it did.
    result = execute(bytes([Fork.SPURIOUS_DRAGON, 0x81]) + legacy[2:])
    public = decode_result(result.output)
    assert public.successful_validation
    assert public.schema_id == 0x0581


def test_public_keys_are_counted(data: Path) -> None:
    stateless_input = small_block(data)
    fewer = replace(stateless_input, public_keys=stateless_input.public_keys[1:])
    flag, line = verdict(encode_input(fewer))
    assert not flag
    assert "public keys for" in line


def test_each_needed_part_of_the_witness_is_named(data: Path) -> None:
    stateless_input = small_block(data)
    witness = stateless_input.witness
    for index in range(0, len(witness.state), 7):
        flag, line = verdict(encode_input(with_state(stateless_input, index, None)))
        node_hash = keccak(witness.state[index]).hex()
        assert flag or line.startswith(f"invalid: missing node 0x{node_hash}"), line
    missing_codes = 0
    for index, code in enumerate(witness.codes):
        codes = witness.codes[:index] + witness.codes[index + 1 :]
        flag, line = verdict(encode_input(stateless_input.with_witness(replace(witness, codes=codes))))
        assert flag or line.startswith(f"invalid: missing code 0x{keccak(code).hex()}"), line
        missing_codes += not flag
    assert missing_codes > 0
    flag, line = verdict(encode_input(stateless_input.with_witness(replace(witness, headers=()))))
    assert not flag
    assert line == "invalid: missing header of block 2674999"


def with_state(stateless_input: StatelessInput, index: int, node: bytes | None) -> StatelessInput:
    """The input with one node replaced or left out."""
    witness = stateless_input.witness
    state = witness.state[:index] + (() if node is None else (node,)) + witness.state[index + 1 :]
    return stateless_input.with_witness(replace(witness, state=state))


def test_order_of_the_witness_does_not_matter(data: Path) -> None:
    stateless_input = small_block(data)
    witness = stateless_input.witness
    shuffled = list(witness.state)
    random.Random(1).shuffle(shuffled)
    reordered = ExecutionWitness(tuple(shuffled), witness.codes[::-1] + witness.codes, witness.headers)
    flag, line = verdict(encode_input(stateless_input.with_witness(reordered)))
    assert flag, line


def test_changed_bytes_never_validate_another_block(data: Path) -> None:
    """Flips one bit anywhere: the guest ends with a verdict, and flag 1 only for the same root and rules."""
    generator = random.Random(20_000)
    for stateless_input in (small_block(data), payload_block(data)):
        encoded = encode_input(stateless_input)
        header = execute(encoded).output
        for _ in range(12):
            at = generator.randrange(2, len(encoded))
            changed = bytearray(encoded)
            changed[at] ^= 1 << generator.randrange(8)
            output = execute(bytes(changed)).output
            assert output[32:33] != b"\1" or output == header


ETHER = 10**18
EMPTY_TRIE = bytes.fromhex("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421")


def state_of(balances: dict[int, int]) -> WholeState:
    """Accounts with balances only, by the byte that their address repeats."""
    return state_from_accounts({bytes([who] * 20): GenesisAccount(balance=wei) for who, wei in balances.items()})


def empty_header(parent: Header | None, coinbase: int, root: bytes, **changes: object) -> Header:
    """The Homestead header of a block without transactions, ten seconds after its parent: the difficulty stays."""
    header = Header(
        parent_hash=parent.hash if parent else bytes(32),
        ommers_hash=ommers_hash(()),
        coinbase=bytes([coinbase] * 20),
        state_root=root,
        transactions_root=EMPTY_TRIE,
        receipts_root=EMPTY_TRIE,
        bloom=bytes(256),
        difficulty=1 << 21,
        number=parent.number + 1 if parent else 0,
        gas_limit=5_000_000,
        gas_used=0,
        timestamp=parent.timestamp + 10 if parent else 0,
        extra_data=b"",
        prev_randao=bytes(32),
        nonce=bytes(8),
    )
    return replace(header, **changes)


def test_ommers() -> None:
    """Rewards of block and ommer, and each rule that headers can check."""
    genesis_state = state_of({9: ETHER})
    first_state = state_of({9: ETHER, 1: 5 * ETHER})
    rewards = {9: ETHER, 1: 5 * ETHER, 2: 5 * ETHER + 5 * ETHER // 32, 3: 5 * ETHER * 7 // 8}
    genesis = empty_header(None, 0, genesis_state.root)
    first = empty_header(genesis, 1, first_state.root)
    ommer = empty_header(genesis, 3, bytes(32), extra_data=b"not chosen")

    def validate(ommers: tuple[Header, ...], balances: dict[int, int], headers: tuple[Header, ...]) -> tuple[bool, str]:
        header = empty_header(first, 2, state_of(balances).root, ommers_hash=ommers_hash(ommers))
        witness = (list(first_state.nodes.values()), [], [ancestor.encode() for ancestor in headers])
        request = LegacyBlock(block_rlp=Block(header, (), ommers).encode()).encode_bytes()
        return verdict(encode_parts(Fork.HOMESTEAD << 8 | REVISION_UNBOUND_RLP, request, witness, 1, ()))

    both = (genesis, first)
    flag, line = validate((ommer,), rewards, both)
    assert flag, line
    refused = {
        "state root": validate((ommer,), {**rewards, 3: 5 * ETHER}, both),
        "missing header of block 0": validate((ommer,), rewards, (first,)),
        "the same ommer twice": validate((ommer, ommer), rewards, both),
        "ommer 1 is an ancestor": validate((first,), rewards, both),
        "parent of ommer 1 is not an ancestor": validate((replace(ommer, parent_hash=bytes(32)),), rewards, both),
        "ommer 2 of block 2": validate((empty_header(first, 3, bytes(32)),), rewards, both),
        "difficulty 2097153": validate((replace(ommer, difficulty=(1 << 21) + 1),), rewards, both),
        "gas limit 1": validate((replace(ommer, gas_limit=1),), rewards, both),
    }
    for reason, (flag, line) in refused.items():
        assert not flag
        assert line.startswith(f"invalid: {reason}"), line


@pytest.mark.heavy
def test_same_output_natively_and_under_qemu(data: Path, everywhere: Callable[[Path, bytes], Ended]) -> None:
    manifest = WORKSPACE / "programs" / "block" / "Cargo.toml"
    for encoded in (encode_input(payload_block(data)), encode_input(small_block(data)), b"\x10\x01"):
        ended = everywhere(manifest, encoded)
        assert ended.code == 0
        assert ended.output == execute(encoded).output
