"""Blocks made by EELS itself, for chains that no fixture has: any transactions on any state, under any fork to Shanghai."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import rlp
from eth_hash.auto import keccak
from eth_keys import keys
from ethereum.exceptions import EthereumException
from ethereum_rlp import rlp as eels_rlp
from ethereum_types.numeric import U256, Uint

from witness.block import EMPTY_OMMERS_HASH, Block, Header
from witness.eels import LOCK, CodeStore, load_fork
from witness.record import WholeState, execute_on, state_after
from witness.schema import REVISION_UNBOUND, Fork
from witness.trie import NodeStore, WitnessState, int_to_bytes, ordered_trie_root

CHAIN_ID = 99
KEY = keys.PrivateKey(b"\x45" * 32)
SENDER = KEY.public_key.to_canonical_address()
COINBASE = bytes.fromhex("c0ffee0000000000000000000000000000000001")
GAS_LIMIT = 8_000_000
BASE_FEE = 7

WRITER_CODE = bytes.fromhex("60005b3681101560185780602001358135556040016002565b00")
"""Writes the slots and values in its call data, 32 bytes each, in turn."""
DESTROYED_CODE = bytes.fromhex("33ff")
"""Self-destructs in favour of the caller."""


def call(nonce: int, to: bytes, data: bytes = b"", value: int = 0, gas: int = 1_000_000) -> bytes:
    """A signed legacy transaction of SENDER, before EIP-155."""
    unsigned = [int_to_bytes(nonce), int_to_bytes(BASE_FEE), int_to_bytes(gas), to, int_to_bytes(value), data]
    signature = KEY.sign_msg_hash(keccak(rlp.encode(unsigned)))
    return rlp.encode([*unsigned, *map(int_to_bytes, (27 + signature.v, signature.r, signature.s))])


def write(nonce: int, to: bytes, values: dict[bytes, int]) -> bytes:
    """A transaction that writes slots of a contract with WRITER_CODE."""
    return call(nonce, to, b"".join(slot + value.to_bytes(32, "big") for slot, value in values.items()))


def genesis(fork: Fork, state: WholeState) -> Header:
    """A parent for the first made block; its gas use keeps the base fee."""
    return Header(
        parent_hash=bytes(32),
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=COINBASE,
        state_root=state.root,
        transactions_root=ordered_trie_root(()),
        receipts_root=ordered_trie_root(()),
        bloom=bytes(256),
        difficulty=0 if fork >= Fork.PARIS else 1 << 20,
        number=0,
        gas_limit=GAS_LIMIT,
        gas_used=GAS_LIMIT // 2,
        timestamp=1000,
        extra_data=b"",
        prev_randao=bytes(32),
        nonce=bytes(8),
        base_fee_per_gas=BASE_FEE if fork >= Fork.LONDON else None,
        withdrawals_root=ordered_trie_root(()) if fork >= Fork.SHANGHAI else None,
    )


def make_block(
    fork: Fork, state: WholeState, ancestors: Sequence[Header], transactions: Sequence[bytes]
) -> tuple[Block, WholeState]:
    """The valid block of these transactions after its ancestors, the last its parent, and the state after it."""
    parent = ancestors[-1]
    eels = load_fork(fork)
    header = replace(
        parent,
        parent_hash=parent.hash,
        transactions_root=ordered_trie_root(transactions),
        number=parent.number + 1,
        timestamp=parent.timestamp + 12,
        gas_used=0,
    )
    if fork < Fork.PARIS:
        known = eels.header(parent.encode())
        # From Byzantium on the difficulty depends on whether the parent has ommers.
        has_ommers = (False,) if fork >= Fork.BYZANTIUM else ()
        number, timestamp = Uint(header.number), U256(header.timestamp)
        difficulty = eels.fork.calculate_block_difficulty(
            number, timestamp, known.timestamp, known.difficulty, *has_ommers
        )
        header = replace(header, difficulty=int(difficulty))
    withdrawals = () if fork >= Fork.SHANGHAI else None
    template = Block(header, tuple(transactions), (), withdrawals)
    reader = WitnessState(NodeStore(state.nodes), state.root)
    block = executed_block(fork, template, ancestors[-256:], reader, state.codes, CHAIN_ID)
    executed = execute_on(state, [header.encode() for header in ancestors[-256:]], block, CHAIN_ID, fork, REVISION_UNBOUND)
    return block, state_after(state, executed)


def executed_block(
    fork: Fork,
    template: Block,
    ancestors: Sequence[Header],
    reader: WitnessState,
    codes: Sequence[bytes],
    chain_id: int,
) -> Block:
    """
    The block of a template whose gas use, receipts, bloom and state root are not its own yet.

    EELS executes the template and refuses it; what it computed fills the header.
    """
    eels = load_fork(fork)
    with LOCK:
        lazy = eels.new_state(reader, CodeStore(codes))
        chain = eels.chain([header.encode() for header in ancestors], lazy, chain_id)
        try:
            eels.fork.state_transition(chain, eels.block(template.encode()))
        except EthereumException:
            assert lazy.output is not None
    output = lazy.output
    receipts = [
        bytes(receipt) if isinstance(receipt, bytes) else eels_rlp.encode(receipt)
        for receipt in output.receipts_trie._data.values()
    ]
    header = replace(
        template.header,
        gas_used=int(output.block_gas_used),
        receipts_root=ordered_trie_root(receipts),
        bloom=bytes(eels.fork.logs_bloom(output.block_logs)),
        state_root=lazy.witness.root,
    )
    return replace(template, header=header)
