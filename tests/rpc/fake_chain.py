"""
A short Prague chain, made by py-evm from transactions that eth-account signs, every state held whole.

Each block has a name that says what it is good for; BLOCK_NAMES lists them, block 1 is the first.
"""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eth.chains.base import MiningChain
from eth.consensus.pos import PosConsensus
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth_account import Account
from eth_hash.auto import keccak

from witness.block import Block
from witness.devnet import ETHER, SYSTEM_CONTRACTS, _to_block
from witness.record import GenesisAccount, WholeState, execute_on, state_after, state_from_accounts
from witness.schema import Fork
from witness.validate import Executed

CHAIN_ID = 1337
GENESIS_TIMESTAMP = 1_746_700_000
GAS_LIMIT = 30_000_000
COINBASE = bytes.fromhex("c0ffee0000000000000000000000000000000003")
WRITER = bytes.fromhex("c0de000000000000000000000000000000000101")
DESTROYER = bytes.fromhex("c0de000000000000000000000000000000000102")
WRITER_CODE = bytes.fromhex("60005b3681101560185780602001358135556040016002565b00")
"""Writes the slots and values in its call data, 32 bytes each, in turn."""
DESTROYER_CODE = bytes.fromhex("33ff")
"""Self-destructs in favour of the caller."""
INIT_AND_STORE = bytes.fromhex("602a60005560016000f3")
"""Init code: slot 0 := 42, returns one byte of code."""
INIT_AND_DESTROY = bytes.fromhex("6007600055" + "33ff")
"""Init code: slot 0 := 7, then self-destructs in its own creation."""

SENDERS = 3
BLOCK_NAMES = ("transfers", "create", "write", "delete", "destroy", "delegate")


def key(index: int) -> bytes:
    """A sender's private key. Public by design: never use it elsewhere."""
    return keccak(b"blockproof fake node sender %d" % index)


def sender(index: int) -> bytes:
    """A sender's address."""
    return bytes.fromhex(Account.from_key(key(index)).address[2:])


def slot(number: int) -> bytes:
    return number.to_bytes(32, "big")


@dataclass(frozen=True)
class Chain:
    """
    blocks: from the genesis on; states: after each; executed: of each, None for the genesis; preimages: slots by address
    that are or were in use.
    """

    chain_id: int
    fork: Fork
    blocks: tuple[Block, ...]
    states: tuple[WholeState, ...]
    executed: tuple[Executed | None, ...]
    preimages: Mapping[bytes, tuple[bytes, ...]]

    def number(self, name: str) -> int:
        """The block of a name in BLOCK_NAMES."""
        return 1 + BLOCK_NAMES.index(name)

    def write_genesis(self, path: Path) -> Path:
        """Writes a genesis file for `--chain`."""
        blocks = "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul berlin london".split()
        config = {"chainId": self.chain_id, **{f"{name}Block": 0 for name in blocks}, "terminalTotalDifficulty": 0}
        path.write_text(json.dumps({"config": {**config, "shanghaiTime": 0, "cancunTime": 0, "pragueTime": 0}}))
        return path


@functools.cache
def chain_of_blocks(variant: int = 0, count: int = len(BLOCK_NAMES)) -> Chain:
    """
    The genesis and `count` blocks after it. variant: chains that differ from block 2 on, for reorgs.

    Transactions of types 0, 1, 2 and 4; contract creation; slots written, and deleted so that branches collapse on
    siblings that no proof of the deleted slots holds; self-destruction in the creating transaction and after it.
    """
    accounts = {address: GenesisAccount(nonce=1, code=code) for address, code in SYSTEM_CONTRACTS.items()}
    writer_slots = tuple(slot(number) for number in range(24))
    accounts[WRITER] = GenesisAccount(
        nonce=1, code=WRITER_CODE, storage={one: 1000 + index for index, one in enumerate(writer_slots)}
    )
    accounts[DESTROYER] = GenesisAccount(nonce=1, balance=5, code=DESTROYER_CODE)
    for index in range(SENDERS):
        accounts[sender(index)] = GenesisAccount(balance=10 * ETHER)
    state = state_from_accounts(accounts)
    chain = _new_chain(accounts)
    blocks, states, executed = [_to_block(chain.get_block_by_header(chain.get_canonical_head()))], [state], [None]
    nonces = dict.fromkeys(range(SENDERS), 0)
    for number in range(1, count + 1):
        made = _add_block(chain, number, variant if number > 1 else 0, nonces)
        block = _to_block(made)
        headers = [one.header.encode() for one in blocks]
        outcome = execute_on(states[-1], headers, block, CHAIN_ID, Fork.PRAGUE)
        blocks.append(block)
        states.append(state_after(states[-1], outcome))
        executed.append(outcome)
    preimages = {
        WRITER: writer_slots + tuple(slot(number) for number in range(100, 110)),
        created(0): (slot(0),),
        **{address: tuple(slot(number) for number in range(4)) for address in SYSTEM_CONTRACTS},
        **{address: () for address in (COINBASE, DESTROYER, *map(sender, range(SENDERS)))},
    }
    return Chain(CHAIN_ID, Fork.PRAGUE, tuple(blocks), tuple(states), tuple(executed), preimages)


def created(nonce: int) -> bytes:
    """The contract that sender 1 creates with this nonce."""
    import rlp

    return keccak(rlp.encode([sender(1), nonce]))[12:]


def _new_chain(accounts: Mapping[bytes, GenesisAccount]) -> MiningChain:
    class FakeVM(PragueVM):
        consensus_class = PosConsensus

    chain_class = MiningChain.configure("Fake", vm_configuration=((0, FakeVM),), chain_id=CHAIN_ID)
    state = {
        address: {
            "balance": account.balance,
            "nonce": account.nonce,
            "code": account.code,
            "storage": {int.from_bytes(one, "big"): value for one, value in account.storage.items()},
        }
        for address, account in accounts.items()
    }
    parameters = {"difficulty": 0, "gas_limit": GAS_LIMIT, "timestamp": GENESIS_TIMESTAMP, "nonce": bytes(8)}
    return chain_class.from_genesis(AtomicDB(), parameters, state)


def _add_block(chain: MiningChain, number: int, variant: int, nonces: dict[int, int]) -> object:
    head = chain.get_canonical_head()
    template = chain.create_header_from_parent(
        head,
        timestamp=head.timestamp + 12 + variant,
        coinbase=COINBASE,
        gas_limit=GAS_LIMIT,
        mix_hash=keccak(b"fake randao %d" % number),
        parent_beacon_block_root=keccak(b"fake beacon root %d" % number),
    )
    vm = chain.get_vm(template)
    decode = vm.get_transaction_builder().decode
    signed = _transactions(BLOCK_NAMES[(number - 1) % len(BLOCK_NAMES)], 2 * template.base_fee_per_gas, nonces)
    block = vm.get_block_class()(
        header=template, transactions=[decode(raw) for raw in signed], uncles=[], withdrawals=[]
    )
    with warnings.catch_warnings():
        # py-evm warns of SELFDESTRUCT, which is what the block is for.
        warnings.simplefilter("ignore", DeprecationWarning)
        filled = vm.import_block(block).block
        chain.import_block(filled)
    return filled


def _transactions(name: str, price: int, nonces: dict[int, int]) -> list[bytes]:
    def send(index: int, kind: int = 2, **more: object) -> bytes:
        priced = {"maxFeePerGas": price, "maxPriorityFeePerGas": 1} if kind >= 2 else {"gasPrice": price}
        transaction = {
            "chainId": CHAIN_ID,
            "nonce": nonces[index],
            "gas": 500_000,
            "value": 0,
            "data": b"",
            **priced,
            **more,
        }
        if kind:
            transaction["type"] = kind
        if kind == 1:
            transaction.setdefault("accessList", [])
        nonces[index] += 1
        return bytes(Account.sign_transaction(transaction, key(index)).raw_transaction)

    def write(index: int, values: Mapping[int, int]) -> bytes:
        return send(index, to=WRITER, data=b"".join(slot(one) + slot(value) for one, value in values.items()))

    def fresh(index: int) -> bytes:
        return keccak(b"fake recipient %d" % index)[12:]

    if name == "transfers":
        listed = [{"address": "0x" + WRITER.hex(), "storageKeys": ["0x" + slot(number).hex() for number in (0, 3)]}]
        return [
            send(0, 0, to=fresh(0), value=1),
            send(2, 1, to=fresh(1), value=2, accessList=listed),
            send(2, 2, to=fresh(2), value=3),
        ]
    if name == "create":
        return [send(1, data=INIT_AND_STORE)]
    if name == "write":
        return [write(0, {100 + index: index + 1 for index in range(10)}), write(2, {0: 5, 1: 0})]
    if name == "delete":
        return [write(0, dict.fromkeys(range(2, 24), 0)), write(2, dict.fromkeys(range(101, 110), 0))]
    if name == "destroy":
        return [send(0, data=INIT_AND_DESTROY), send(1, to=DESTROYER)]
    authorization = Account.sign_authorization({"chainId": CHAIN_ID, "address": WRITER, "nonce": nonces[2]}, key(2))
    nonces[2] += 1
    return [send(0, 4, to=sender(2), data=slot(7) + slot(9), authorizationList=[authorization])]
