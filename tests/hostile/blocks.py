"""
Valid blocks of any fork, made here: transactions are signed, the block is executed with EELS on a whole state, and the
header is filled in with what execution gives.

    made = make_block(Fork.OSAKA, accounts, [sign_dynamic(KEY, to=CONTRACT)])
    made.stateless_input()      # with the minimal witness
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import rlp
from eth_hash.auto import keccak
from eth_keys import keys
from ethereum.exceptions import InvalidBlock
from ethereum.forks.osaka.vm.instructions import Ops
from ethereum_rlp import rlp as eels_rlp
from ethereum_types.numeric import U256, Uint

from witness.block import (
    EMPTY_OMMERS_HASH,
    Block,
    Header,
    Withdrawal,
    ommers_hash,
    requests_hash,
    versioned_hashes,
)
from witness.chains import MAINNET_DEPOSIT_CONTRACT
from witness.devnet import SYSTEM_CONTRACTS
from witness.eels import LOCK, CodeStore, load_fork
from witness.importers import build_input
from witness.record import GenesisAccount, WholeState, state_from_accounts
from witness.schema import REVISION_BOUND, ExecutionWitness, Fork, StatelessInput
from witness.trie import EMPTY_TRIE_ROOT, NodeStore, WitnessState, int_to_bytes, ordered_trie_root

CHAIN_ID = 1337
GAS_LIMIT = 30_000_000
BASE_FEE = 7
COINBASE = bytes.fromhex("c0ffee0000000000000000000000000000000001")
GAS_PER_BLOB = 1 << 17
EMPTY_REQUESTS_HASH = requests_hash(())

_OPCODES = {opcode.name: opcode.value for opcode in Ops}


def assemble(source: str) -> bytes:
    """
    EVM code from EELS's opcode names; a hex number (0x..) is pushed with the shortest PUSH, `raw:HEX` is taken as it is,
    `name:` is a jump destination, `@name` pushes its place.
    """
    code, labels, uses = bytearray(), {}, []
    for word in source.split():
        if word.endswith(":"):
            labels[word[:-1]] = len(code)
            code.append(_OPCODES["JUMPDEST"])
        elif word.startswith("@"):
            uses.append((len(code) + 1, word[1:]))
            code += b"\x61\0\0"
        elif word.startswith("raw:"):
            code += bytes.fromhex(word[4:])
        elif word.startswith("0x"):
            number = int_to_bytes(int(word, 16))
            code += bytes([0x5F + len(number)]) + number
        else:
            code.append(_OPCODES[word])
    for at, name in uses:
        code[at : at + 2] = labels[name].to_bytes(2, "big")
    return bytes(code)


def deploy(code: bytes) -> bytes:
    """Init code that returns `code`, of at most 65,535 bytes."""
    length = len(code).to_bytes(2, "big").hex()
    return assemble(f"raw:61{length} DUP1 raw:600a 0x0 CODECOPY 0x0 RETURN") + code


# --- transactions ----------------------------------------------------------------------------------------------------


def private_key(name: str) -> keys.PrivateKey:
    """A key whose secret is its name. Public by design: never use it elsewhere."""
    return keys.PrivateKey(keccak(b"blockproof block " + name.encode()))


def address_of(key: keys.PrivateKey) -> bytes:
    """20 bytes."""
    return key.public_key.to_canonical_address()


def encodable(value: object) -> object:
    """Numbers as RLP wants them, at any depth."""
    if isinstance(value, (list, tuple)):
        return [encodable(element) for element in value]
    return int_to_bytes(value) if isinstance(value, int) else value


def sign_fields(key: keys.PrivateKey, kind: int | None, fields: Sequence[object], chain_id: int | None) -> bytes:
    """
    The transaction of these unsigned fields. kind: None for a legacy one, which signs chain_id unless it is None.
    """
    unsigned = encodable(fields)
    if kind is None:
        protected = [] if chain_id is None else encodable((chain_id, 0, 0))
        signature = key.sign_msg_hash(keccak(rlp.encode([*unsigned, *protected])))
        v = signature.v + (27 if chain_id is None else 35 + 2 * chain_id)
        return rlp.encode([*unsigned, *encodable((v, signature.r, signature.s))])
    signature = key.sign_msg_hash(keccak(bytes([kind]) + rlp.encode(unsigned)))
    return bytes([kind]) + rlp.encode([*unsigned, *encodable((signature.v, signature.r, signature.s))])


@dataclass
class Sender:
    """Signs transactions with ascending nonces."""

    key: keys.PrivateKey
    nonce: int = 0
    chain_id: int = CHAIN_ID

    @property
    def address(self) -> bytes:
        """20 bytes."""
        return address_of(self.key)

    def _next(self) -> int:
        self.nonce += 1
        return self.nonce - 1

    def legacy(self, to: bytes, data: bytes = b"", value: int = 0, gas: int = 200_000, protected: bool = True) -> bytes:
        """A legacy transaction; to: b"" creates a contract."""
        fields = (self._next(), BASE_FEE + 3, gas, to, value, data)
        return sign_fields(self.key, None, fields, self.chain_id if protected else None)

    def with_access_list(self, to: bytes, access_list: Sequence, data: bytes = b"", gas: int = 200_000) -> bytes:
        """Type 1; access_list: (address, (slot, ...)) pairs."""
        fields = (self.chain_id, self._next(), BASE_FEE + 3, gas, to, 0, data, access_list)
        return sign_fields(self.key, 1, fields, self.chain_id)

    def dynamic(self, to: bytes, data: bytes = b"", value: int = 0, gas: int = 200_000) -> bytes:
        """Type 2."""
        fields = (self.chain_id, self._next(), 1, 10 * BASE_FEE, gas, to, value, data, ())
        return sign_fields(self.key, 2, fields, self.chain_id)

    def blob(self, to: bytes, hashes: Sequence[bytes], data: bytes = b"", gas: int = 200_000) -> bytes:
        """Type 3; hashes: 32 bytes each, the first 0x01."""
        fields = (self.chain_id, self._next(), 1, 10 * BASE_FEE, gas, to, 0, data, (), 1000, tuple(hashes))
        return sign_fields(self.key, 3, fields, self.chain_id)

    def set_code(self, to: bytes, authorizations: Sequence, data: bytes = b"", gas: int = 300_000) -> bytes:
        """Type 4; authorizations: made by `authorize`."""
        fields = (self.chain_id, self._next(), 1, 10 * BASE_FEE, gas, to, 0, data, (), tuple(authorizations))
        return sign_fields(self.key, 4, fields, self.chain_id)


def authorize(key: keys.PrivateKey, address: bytes, nonce: int, chain_id: int = CHAIN_ID) -> tuple:
    """A signed authorization of EIP-7702."""
    signature = key.sign_msg_hash(keccak(b"\x05" + rlp.encode(encodable((chain_id, address, nonce)))))
    return chain_id, address, nonce, signature.v, signature.r, signature.s


# --- blocks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class MadeBlock:
    """
    A valid block and what it stands on.

    state: the parent's whole state; ancestors: oldest first, the last the parent; witness: what EELS read;
    requests: EIP-7685; receipts: EIP-2718; written, new_codes: what the block added to the state.
    """

    fork: Fork
    chain_id: int
    state: WholeState
    ancestors: tuple[Header, ...]
    block: Block
    requests: tuple[bytes, ...]
    receipts: tuple[bytes, ...]
    witness: ExecutionWitness
    written: Mapping[bytes, bytes] = field(repr=False)
    new_codes: tuple[bytes, ...] = field(repr=False)

    def stateless_input(self, revision: int = REVISION_BOUND) -> StatelessInput:
        """The canonical input with the minimal witness."""
        requests = self.requests if self.fork >= Fork.PRAGUE else None
        return build_input(self.block, self.witness, self.chain_id, self.fork, revision, requests)

    def state_after(self) -> WholeState:
        """The whole state after the block."""
        codes = {keccak(code): code for code in (*self.state.codes, *self.new_codes)}
        return WholeState({**self.state.nodes, **self.written}, tuple(codes.values()), self.block.header.state_root)


def genesis_header(fork: Fork, state_root: bytes, gas_limit: int = GAS_LIMIT) -> Header:
    """Block 0: half full, so that the base fee stays."""
    optional: dict[str, object] = {}
    if fork >= Fork.LONDON:
        optional["base_fee_per_gas"] = BASE_FEE
    if fork >= Fork.SHANGHAI:
        optional["withdrawals_root"] = EMPTY_TRIE_ROOT
    if fork >= Fork.CANCUN:
        optional |= {"blob_gas_used": 0, "excess_blob_gas": 0, "parent_beacon_block_root": bytes(32)}
    if fork >= Fork.PRAGUE:
        optional["requests_hash"] = EMPTY_REQUESTS_HASH
    return Header(
        parent_hash=bytes(32),
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=COINBASE,
        state_root=state_root,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        bloom=bytes(256),
        difficulty=0 if fork >= Fork.PARIS else 1 << 20,
        number=0,
        gas_limit=gas_limit,
        gas_used=gas_limit // 2 if fork >= Fork.LONDON else 0,
        timestamp=1_000,
        extra_data=b"",
        prev_randao=bytes(32),
        nonce=bytes(8),
        **optional,
    )


def with_system_contracts(accounts: Mapping[bytes, GenesisAccount]) -> dict[bytes, GenesisAccount]:
    """The accounts and the contracts that blocks from Cancun and Prague on call."""
    system = {address: GenesisAccount(nonce=1, code=code) for address, code in SYSTEM_CONTRACTS.items()}
    return {**system, **accounts}


def make_block(
    fork: Fork,
    state: WholeState | Mapping[bytes, GenesisAccount],
    transactions: Sequence[bytes] = (),
    *,
    ancestors: Sequence[Header] = (),
    withdrawals: Sequence[Withdrawal] = (),
    ommers: Sequence[Header] = (),
    chain_id: int = CHAIN_ID,
    **changes: object,
) -> MadeBlock:
    """
    The block of these transactions after `ancestors` (by default a genesis block over the state).

    changes: fields of the header. Raises what EELS raises where the block cannot be valid.
    """
    if not isinstance(state, WholeState):
        state = state_from_accounts(with_system_contracts(state) if fork >= Fork.CANCUN else state)
    ancestors = tuple(ancestors) or (genesis_header(fork, state.root),)
    eels = load_fork(fork, MAINNET_DEPOSIT_CONTRACT)
    header = _unfilled_header(eels, fork, ancestors[-1], tuple(ommers), tuple(transactions))
    header = replace(header, **changes)
    body = tuple(withdrawals) if fork >= Fork.SHANGHAI else None
    if body is not None:
        header = replace(header, withdrawals_root=ordered_trie_root(one.encode() for one in body))
    block = Block(header, tuple(transactions), tuple(ommers), body)
    nodes, codes = NodeStore(state.nodes), CodeStore(state.codes)
    with LOCK:
        running = eels.new_state(WitnessState(nodes, ancestors[-1].state_root), codes)
        chain = eels.chain([one.encode() for one in ancestors], running, chain_id)
        try:
            eels.fork.state_transition(chain, eels.block(block.encode()))
        except InvalidBlock:
            # The roots are not filled in yet; a body that did not execute has no output.
            if running.output is None:
                raise
        output = running.output
    requests = tuple(bytes(request) for request in getattr(output, "requests", ()))
    filled = replace(
        header,
        gas_used=int(output.block_gas_used),
        receipts_root=bytes(eels.fork.root(output.receipts_trie)),
        bloom=bytes(eels.fork.logs_bloom(output.block_logs)),
        state_root=running.witness.root,
    )
    if fork >= Fork.PRAGUE:
        filled = replace(filled, requests_hash=requests_hash(requests))
    depth = max(1, running.deepest_block_hash, 7 if ommers else 1)
    return MadeBlock(
        fork=fork,
        chain_id=chain_id,
        state=state,
        ancestors=ancestors,
        block=replace(block, header=filled),
        requests=requests,
        receipts=tuple(_encoded_receipt(one) for one in output.receipts_trie._data.values()),
        witness=ExecutionWitness(
            tuple(nodes.base[node_hash] for node_hash in sorted(nodes.touched)),
            tuple(codes.by_hash[code_hash] for code_hash in sorted(codes.touched)),
            tuple(one.encode() for one in ancestors[-depth:]),
        ),
        written=nodes.overlay,
        new_codes=tuple(running.new_codes.values()),
    )


def _encoded_receipt(receipt: object) -> bytes:
    return bytes(receipt) if isinstance(receipt, (bytes, bytearray)) else bytes(eels_rlp.encode(receipt))


def _unfilled_header(eels, fork: Fork, parent: Header, ommers: tuple, transactions: tuple[bytes, ...]) -> Header:
    header = replace(
        parent,
        parent_hash=parent.hash,
        ommers_hash=ommers_hash(ommers),
        transactions_root=ordered_trie_root(transactions),
        number=parent.number + 1,
        timestamp=parent.timestamp + 12,
        gas_used=0,
    )
    if fork < Fork.PARIS:
        header = replace(header, difficulty=difficulty_after(fork, parent, header.timestamp))
    if fork >= Fork.LONDON:
        arguments = parent.gas_limit, parent.gas_limit, parent.gas_used, parent.base_fee_per_gas
        base_fee = eels.fork.calculate_base_fee_per_gas(*map(Uint, arguments))
        header = replace(header, base_fee_per_gas=int(base_fee))
    if fork >= Fork.CANCUN:
        excess = eels.fork.calculate_excess_blob_gas(eels.header(parent.encode()))
        used = GAS_PER_BLOB * len(versioned_hashes(transactions))
        header = replace(header, excess_blob_gas=int(excess), blob_gas_used=used)
    return header


def difficulty_after(fork: Fork, parent: Header, timestamp: int) -> int:
    """The difficulty due before Paris."""
    arguments = [Uint(parent.number + 1), U256(timestamp), U256(parent.timestamp), Uint(parent.difficulty)]
    if fork >= Fork.BYZANTIUM:
        arguments.append(parent.ommers_hash != EMPTY_OMMERS_HASH)
    return int(load_fork(fork, MAINNET_DEPOSIT_CONTRACT).fork.calculate_block_difficulty(*arguments))
