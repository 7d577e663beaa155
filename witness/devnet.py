"""
The devnet block: one Prague block on the embedded py-evm chain, with its witness.

It has plain transfers, a call to a contract that calls the SHA-256 precompile, writes storage (one slot new, one
changed, one deleted) and emits an event, and two withdrawals. The genesis is small and everything is fixed, so the
same options give the same bytes. py-evm makes the block and imports it again with full validation; EELS records the
witness from the genesis state; nothing of the input comes from py-evm but the block.

Needed from py-evm 0.12.1b1: its Prague VM executes system calls only when it imports a block, so the block is made by
importing an unsealed template, which fills the roots in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import rlp
from eth.chains.base import MiningChain
from eth.consensus.pos import PosConsensus
from eth.db.atomic import AtomicDB
from eth.vm.forks.prague import PragueVM
from eth.vm.forks.shanghai.withdrawals import Withdrawal
from eth_hash.auto import keccak
from eth_keys import keys
from eth_utils import ValidationError

from witness import schema
from witness.block import Block, Header
from witness.block import Withdrawal as BlockWithdrawal
from witness.errors import WitnessError
from witness.importers import build_input
from witness.record import GenesisAccount, WholeState, record_witness, state_from_accounts
from witness.schema import Fork, StatelessInput

CHAIN_ID = 1337
GENESIS_TIMESTAMP = 1_746_700_000
SECONDS_PER_SLOT = 12
GAS_LIMIT = 30_000_000
FEE_RECIPIENT = bytes.fromhex("c0ffee0000000000000000000000000000000001")
CONTRACT = bytes.fromhex("c0de000000000000000000000000000000000001")
ETHER = 10**18

SYSTEM_CONTRACTS: dict[bytes, bytes] = {
    bytes.fromhex(address): bytes.fromhex(code)
    for address, code in {
        # EIP-4788, beacon block roots. Keccak 0xf57acd4025987260..
        "000f3df6d732807ef1319fb7b8bb8522d0beac02": (
            "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff81069081"
            "5414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500"
        ),
        # EIP-2935, historical block hashes. Keccak 0x6e49e66782037c05..
        "0000f90827f1c53a10cb7a02335b175320002935": (
            "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff8143031160"
            "4257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
        ),
        # EIP-7002, withdrawal requests. Keccak 0x0345a365d2f4c597..
        "00000961ef480eb55e80d19ad83579a64c007002": (
            "3373fffffffffffffffffffffffffffffffffffffffe1460cb5760115f54807fffffffffffffffffffffffffffffffffffffffff"
            "ffffffffffffffffffffffff146101f457600182026001905f5b5f82111560685781019083028483029004916001019190604d56"
            "5b909390049250505036603814608857366101f457346101f4575f5260205ff35b34106101f45760015460010160015560035480"
            "6003026004013381556001015f35815560010160203590553360601b5f5260385f601437604c5fa0600101600355005b60035460"
            "02548082038060101160df575060105b5f5b8181146101835782810160030260040181604c02815460601b815260140181600101"
            "5481526020019060020154807fffffffffffffffffffffffffffffffff0000000000000000000000000000000016825290601001"
            "9060401c908160381c81600701538160301c81600601538160281c81600501538160201c81600401538160181c81600301538160"
            "101c81600201538160081c81600101535360010160e1565b910180921461019557906002556101a0565b90505f6002555f600355"
            "5b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff14156101cd57505f5b600154600282"
            "8201116101e25750505f6101e8565b01600290035b5f555f600155604c025ff35b5f5ffd"
        ),
        # EIP-7251, consolidation requests. Keccak 0x78c6cb5202685228..
        "0000bbddc7ce488642fb579f8b00f3a590007251": (
            "3373fffffffffffffffffffffffffffffffffffffffe1460d35760115f54807fffffffffffffffffffffffffffffffffffffffff"
            "ffffffffffffffffffffffff1461019a57600182026001905f5b5f82111560685781019083028483029004916001019190604d56"
            "5b9093900492505050366060146088573661019a573461019a575f5260205ff35b341061019a5760015460010160015560035480"
            "6004026004013381556001015f358155600101602035815560010160403590553360601b5f5260605f60143760745fa060010160"
            "0355005b6003546002548082038060021160e7575060025b5f5b8181146101295782810160040260040181607402815460601b81"
            "5260140181600101548152602001816002015481526020019060030154905260010160e9565b910180921461013b579060025561"
            "0146565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff14"
            "1561017357505f5b6001546001828201116101885750505f61018e565b01600190035b5f555f6001556074025ff35b5f5ffd"
        ),
    }.items()
}
"""The system contracts that a Prague block calls, as deployed on mainnet; the EIPs are the source of the codes."""

CONTRACT_CODE = bytes.fromhex(
    "5f355f52"  # PUSH0 CALLDATALOAD PUSH0 MSTORE: the argument at 0
    "6020602060205f60025afa50"  # STATICCALL(GAS, 2, 0, 32, 32, 32) POP: its SHA-256 at 32
    "602051"  # PUSH1 32 MLOAD: digest
    "338155"  # CALLER DUP2 SSTORE: slot[digest] = caller
    "5f546001015f55"  # slot[0] += 1
    "5f600155"  # slot[1] = 0
    "60206020a1"  # LOG1(32, 32, digest)
    "00"
)


@dataclass(frozen=True)
class DevnetOptions:
    """transfers: plain transfers, 0..64; calls: calls of the contract, 0..64; argument: 32 bytes that it hashes."""

    transfers: int = 2
    calls: int = 1
    argument: bytes = bytes(range(32))


class DevnetError(WitnessError):
    """py-evm refused the block, or options are out of range."""


def make_devnet_block(options: DevnetOptions = DevnetOptions()) -> tuple[WholeState, Block, Block]:
    """
    The genesis state, the genesis block and the devnet block, number 1.

    Raises DevnetError.
    """
    if not (0 <= options.transfers <= 64 and 0 <= options.calls <= 64 and len(options.argument) == 32):
        raise DevnetError("transfers and calls are 0..64, the argument has 32 bytes")
    accounts = genesis_accounts(options)
    state = state_from_accounts(accounts)
    chain = _new_chain(accounts)
    if chain.get_canonical_head().state_root != state.root:
        raise DevnetError("py-evm's genesis state root is not the one computed here")
    genesis = _to_block(chain.get_block_by_header(chain.get_canonical_head()))
    try:
        filled = _fill(chain, options)
        # A second, complete import: every field of the sealed block is checked against a fresh execution.
        chain.import_block(filled)
    except ValidationError as error:
        raise DevnetError(f"py-evm refused the devnet block: {error}") from error
    return state, genesis, _to_block(filled)


def make_devnet_input(options: DevnetOptions = DevnetOptions()) -> StatelessInput:
    """The devnet block as an input: chain id 1337, fork Prague, witness recorded with EELS. Raises WitnessError."""
    state, genesis, block = make_devnet_block(options)
    witness = record_witness(state, [genesis.header.encode()], block, CHAIN_ID, Fork.PRAGUE, schema.REVISION_BOUND)
    return build_input(block, witness, CHAIN_ID, Fork.PRAGUE)


def genesis_accounts(options: DevnetOptions = DevnetOptions()) -> dict[bytes, GenesisAccount]:
    """Senders with 10 ether each, the contract with slots 0 and 1 set, the system contracts."""
    accounts = {address: GenesisAccount(nonce=1, code=code) for address, code in SYSTEM_CONTRACTS.items()}
    accounts[CONTRACT] = GenesisAccount(nonce=1, code=CONTRACT_CODE, storage={bytes(32): 41, bytes(31) + b"\x01": 7})
    for index in range(max(1, options.transfers + options.calls)):
        accounts[sender_key(index).public_key.to_canonical_address()] = GenesisAccount(balance=10 * ETHER)
    return accounts


def sender_key(index: int) -> keys.PrivateKey:
    """The private key of a devnet sender. Public by design: never use it elsewhere."""
    return keys.PrivateKey(keccak(b"blockproof devnet sender %d" % index))


def _new_chain(accounts: dict[bytes, GenesisAccount]) -> MiningChain:
    class DevnetVM(PragueVM):
        consensus_class = PosConsensus

    chain_class = MiningChain.configure("Devnet", vm_configuration=((0, DevnetVM),), chain_id=CHAIN_ID)
    genesis_state = {
        address: {
            "balance": account.balance,
            "nonce": account.nonce,
            "code": account.code,
            "storage": {int.from_bytes(slot, "big"): value for slot, value in account.storage.items()},
        }
        for address, account in accounts.items()
    }
    parameters = {"difficulty": 0, "gas_limit": GAS_LIMIT, "timestamp": GENESIS_TIMESTAMP, "nonce": bytes(8)}
    return chain_class.from_genesis(AtomicDB(), parameters, genesis_state)


def _fill(chain: MiningChain, options: DevnetOptions):
    head = chain.get_canonical_head()
    template = chain.create_header_from_parent(
        head,
        timestamp=head.timestamp + SECONDS_PER_SLOT,
        coinbase=FEE_RECIPIENT,
        gas_limit=GAS_LIMIT,
        mix_hash=keccak(b"blockproof devnet randao"),
        parent_beacon_block_root=keccak(b"blockproof devnet beacon root"),
    )
    vm = chain.get_vm(template)
    block = vm.get_block_class()(
        header=template,
        transactions=_transactions(vm, template.base_fee_per_gas, options),
        uncles=[],
        withdrawals=_withdrawals(),
    )
    return vm.import_block(block).block


def _transactions(vm, base_fee: int, options: DevnetOptions) -> Sequence[object]:
    builder = vm.get_transaction_builder()
    tip = 10**9
    transactions = []
    for index in range(options.transfers):
        recipient = keccak(b"blockproof devnet recipient %d" % index)[12:]
        unsigned = builder.create_unsigned_transaction(
            nonce=0, gas_price=base_fee + tip, gas=21_000, to=recipient, value=ETHER // 10, data=b""
        )
        transactions.append(unsigned.as_signed_transaction(sender_key(index), chain_id=CHAIN_ID))
    for index in range(options.transfers, options.transfers + options.calls):
        argument = options.argument if index == options.transfers else keccak(options.argument + bytes([index]))
        unsigned = builder.new_unsigned_dynamic_fee_transaction(
            chain_id=CHAIN_ID,
            nonce=0,
            max_priority_fee_per_gas=tip,
            max_fee_per_gas=2 * base_fee + tip,
            gas=100_000,
            to=CONTRACT,
            value=0,
            data=argument,
            access_list=(),
        )
        transactions.append(unsigned.as_signed_transaction(sender_key(index)))
    return transactions


def _withdrawals() -> Sequence[Withdrawal]:
    return [
        Withdrawal(index=number, validator_index=100 + number, address=address, amount=amount)
        for number, (address, amount) in enumerate(
            [(FEE_RECIPIENT, 32_000_000_000), (bytes.fromhex("0dd0" + "00" * 17 + "01"), 1_234_567)]
        )
    ]


def _to_block(block: object) -> Block:
    """Our block from py-evm's; part by part, because its Prague block does not encode as a whole."""
    return Block(
        header=Header.decode(rlp.encode(block.header)),
        transactions=tuple(transaction.encode() for transaction in block.transactions),
        withdrawals=tuple(
            BlockWithdrawal(one.index, one.validator_index, bytes(one.address), one.amount) for one in block.withdrawals
        ),
    )
