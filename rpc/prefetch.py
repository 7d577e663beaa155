"""
What a block is sure or likely to read, told before it is executed, so that it is asked for in few calls.

Never complete: what execution reads beyond it is fetched then. Never trusted: a wrong hint costs a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import rlp
from eth_hash.auto import keccak
from eth_keys import KeyAPI
from eth_keys.exceptions import BadSignature, ValidationError

from rpc.ondemand import RemoteState
from rpc.source import Source
from witness.block import SECP256K1_ORDER, Block, recover_public_keys
from witness.schema import Fork
from witness.trie import EMPTY_CODE_HASH
from witness.validate import DAO_FORK_BLOCK

Wanted = dict[bytes, set[bytes]]

BEACON_ROOTS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
"""EIP-4788. A ring of 8191 timestamps, then one of 8191 roots."""
BLOCK_HASHES = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
"""EIP-2935. A ring of 8191 hashes."""
REQUEST_CONTRACTS = (
    bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002"),
    bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251"),
)
"""EIP-7002, EIP-7251. Slots 0 to 3: excess, count, head and tail of the queue."""
RING = 8191
DELEGATION = b"\xef\x01\x00"
"""EIP-7702: the code of a delegated account is this and an address."""

MAX_HINTS = 1 << 16
"""Accounts and slots. A block of 60 Mgas can touch half of that; only a hostile node names more."""

_KEYS = KeyAPI()


def prefetch(source: Source, remote: RemoteState, block: Block, fork: Fork, note: Callable[[str], None]) -> None:
    """
    Fetches into `remote` what the block names, and what the node's tracers say it touches.

    Three calls for proofs and codes, one for the hints where there is a tracer, one a transaction where there are only access
    lists. Raises ProofError, CodeError, and what the source raises.
    """
    wanted = named_in(block, fork)
    hints, origin = _hints(source, block)
    if len(hints) + sum(map(len, hints.values())) > MAX_HINTS:
        hints, origin = {}, f"more than {MAX_HINTS} from {origin}, ignored"
    for address, slots in hints.items():
        wanted.setdefault(address, set()).update(slots)
    note(f"prefetching {len(wanted)} accounts, {sum(map(len, wanted.values()))} slots; hints: {origin}")
    remote.fetch(wanted)
    called = {*called_by(block, fork), *hints}
    _fetch_codes(remote, called)
    delegates = delegates_of(remote, called)
    if delegates:
        remote.fetch({address: () for address in delegates})
        _fetch_codes(remote, delegates)


def _hints(source: Source, block: Block) -> tuple[Wanted, str]:
    hints: Wanted = {}
    touched = source.prestate(block)
    if touched is not None:
        return {address: set(slots) for address, slots in touched.items()}, "prestate tracer"
    for index in range(len(block.transactions)):
        listed = source.access_list(block, index)
        if listed is None:
            return hints, "access lists" if hints else "none"
        for address, slots in listed.items():
            hints.setdefault(address, set()).update(slots)
    return hints, "access lists" if hints else "none"


def _fetch_codes(remote: RemoteState, addresses: Iterable[bytes]) -> None:
    records = {address: remote.proven.get(address) for address in addresses}
    remote.fetch_codes({address: record.code_hash for address, record in records.items() if record is not None})


def delegates_of(remote: RemoteState, addresses: Iterable[bytes]) -> set[bytes]:
    """Accounts whose code runs in place of these."""
    found = set()
    for address in addresses:
        record = remote.proven.get(address)
        code = remote.codes.get(record.code_hash, b"") if record and record.code_hash != EMPTY_CODE_HASH else b""
        if len(code) == 23 and code.startswith(DELEGATION):
            found.add(code[3:])
    return found


# --- named in the block ----------------------------------------------------------------------------------------------


def named_in(block: Block, fork: Fork) -> Wanted:
    """
    Accounts and slots that a block names: senders, recipients, created contracts, access lists, authorities and their
    delegates, coinbases, recipients of withdrawals, system contracts; the DAO's accounts in its block.
    """
    header = block.header
    wanted: Wanted = {header.coinbase: set()}
    for ommer in block.ommers:
        wanted.setdefault(ommer.coinbase, set())
    for withdrawal in block.withdrawals or ():
        wanted.setdefault(withdrawal.address, set())
    for address, slots in system_reads(block, fork).items():
        wanted.setdefault(address, set()).update(slots)
    for address in called_by(block, fork):
        wanted.setdefault(address, set())
    for sender, transaction in zip(_senders(block), block.transactions, strict=True):
        fields = _fields(transaction)
        wanted.setdefault(sender, set())
        if not fields["to"]:
            wanted.setdefault(created_by(sender, int.from_bytes(fields["nonce"], "big")), set())
        for address, slots in fields["access_list"]:
            if len(address) == 20:
                wanted.setdefault(address, set()).update(slot for slot in slots if len(slot) == 32)
        for authority in fields["authorities"]:
            wanted.setdefault(authority, set())
    if fork is Fork.DAO_FORK and header.number == DAO_FORK_BLOCK:
        from ethereum.forks.dao_fork.dao import DAO_ACCOUNTS, DAO_RECOVERY

        for address in (*DAO_ACCOUNTS, DAO_RECOVERY):
            wanted.setdefault(bytes(address), set())
    return wanted


def called_by(block: Block, fork: Fork) -> set[bytes]:
    """Recipients of the transactions and system contracts: accounts whose code is run if they have any."""
    recipients = {fields["to"] for fields in map(_fields, block.transactions) if fields["to"]}
    return recipients | system_reads(block, fork).keys()


def system_reads(block: Block, fork: Fork) -> Wanted:
    """System contracts that the block calls, and the slots that the calls read."""
    header = block.header
    reads: Wanted = {}
    if fork >= Fork.CANCUN:
        reads[BEACON_ROOTS] = _slots(header.timestamp % RING, header.timestamp % RING + RING)
    if fork >= Fork.PRAGUE:
        reads[BLOCK_HASHES] = _slots((header.number - 1) % RING)
        for address in REQUEST_CONTRACTS:
            reads[address] = _slots(0, 1, 2, 3)
    return reads


def _slots(*numbers: int) -> set[bytes]:
    return {number.to_bytes(32, "big") for number in numbers}


def created_by(sender: bytes, nonce: int) -> bytes:
    """Address of the contract that a transaction without recipient creates."""
    return keccak(rlp.encode([sender, nonce]))[12:]


def _senders(block: Block) -> list[bytes]:
    return [keccak(key[1:])[12:] for key in recover_public_keys(block.transactions)]


# Positions of nonce, to, access list and authorization list in a transaction's fields, by its type.
_POSITIONS = {0: (0, 3, None, None), 1: (1, 4, 7, None), 2: (1, 5, 8, None), 3: (1, 5, 8, None), 4: (1, 5, 8, 9)}


def _fields(transaction: bytes) -> dict:
    """nonce, to (bytes); access_list ((address, slots), ..); authorities (addresses); nothing where malformed."""
    nothing: dict = {"nonce": b"", "to": b"", "access_list": [], "authorities": []}
    found = {**nothing, "authorities": []}
    kind = 0 if transaction[:1] >= b"\xc0" else transaction[0]
    nonce, to, access_list, authorizations = _POSITIONS.get(kind, _POSITIONS[0])
    try:
        fields = rlp.decode(transaction if kind == 0 else transaction[1:])
        found["nonce"] = _string(fields[nonce])
        found["to"] = _string(fields[to]) if len(fields[to]) == 20 else b""
        if access_list is not None:
            listed = [(_string(address), [_string(slot) for slot in slots]) for address, slots in fields[access_list]]
            found["access_list"] = listed
        if authorizations is not None:
            for entry in fields[authorizations]:
                found["authorities"] += _parties_of(entry)
    except (rlp.exceptions.RLPException, ValueError, TypeError, IndexError, RecursionError):
        # Execution will say what is wrong with it.
        return nothing
    return found


def _string(item: object) -> bytes:
    """Raises TypeError where a node put a list in the place of a string."""
    if not isinstance(item, bytes):
        raise TypeError("a list where a string is due")
    return item


def _parties_of(authorization: list) -> list[bytes]:
    """The authority that signed a delegation (EIP-7702) and its delegate; none where the signature is of nobody."""
    chain_id, delegate, nonce, parity, r, s = authorization
    digest = keccak(b"\x05" + rlp.encode([chain_id, delegate, nonce]))
    numbers = [int.from_bytes(value, "big") for value in (parity, r, s)]
    if numbers[0] > 1 or not all(0 < number < SECP256K1_ORDER for number in numbers[1:]):
        return []
    try:
        signature = _KEYS.Signature(vrs=tuple(numbers))
        authority = signature.recover_public_key_from_msg_hash(digest).to_canonical_address()
        return [authority, *([delegate] if len(_string(delegate)) == 20 else [])]
    except (BadSignature, ValidationError, ValueError):
        return []


