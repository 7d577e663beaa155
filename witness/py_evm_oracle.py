"""
A second oracle, up to Prague: py-evm executes the blocks of a blockchain test on the test's pre-state.

py-evm is an implementation of its own: what it and EELS agree on is not one program's opinion. It knows no stateless
input; it is given whole states and says of each block whether it is valid, and of a valid one the state root.

Source: py-evm 0.12.1b1. Its proof-of-work check is switched off, as the guest makes none.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import rlp
from eth.chains.base import Chain
from eth.db.atomic import AtomicDB
from eth.exceptions import PyEVMError
from eth.vm.forks import (
    ArrowGlacierVM,
    BerlinVM,
    ByzantiumVM,
    CancunVM,
    FrontierVM,
    GrayGlacierVM,
    HomesteadVM,
    IstanbulVM,
    LondonVM,
    MuirGlacierVM,
    ParisVM,
    PetersburgVM,
    PragueVM,
    ShanghaiVM,
    SpuriousDragonVM,
    TangerineWhistleVM,
)
from eth_utils import ValidationError

from witness.block import Block, Header
from witness.errors import ChainError
from witness.record import GenesisAccount
from witness.schema import Fork

VMS = {
    Fork.FRONTIER: FrontierVM,
    Fork.HOMESTEAD: HomesteadVM.configure(support_dao_fork=False),
    Fork.TANGERINE_WHISTLE: TangerineWhistleVM,
    Fork.SPURIOUS_DRAGON: SpuriousDragonVM,
    Fork.BYZANTIUM: ByzantiumVM,
    Fork.CONSTANTINOPLE: PetersburgVM,
    Fork.ISTANBUL: IstanbulVM,
    Fork.MUIR_GLACIER: MuirGlacierVM,
    Fork.BERLIN: BerlinVM,
    Fork.LONDON: LondonVM,
    Fork.ARROW_GLACIER: ArrowGlacierVM,
    Fork.GRAY_GLACIER: GrayGlacierVM,
    Fork.PARIS: ParisVM,
    Fork.SHANGHAI: ShanghaiVM,
    Fork.CANCUN: CancunVM,
    Fork.PRAGUE: PragueVM,
}
"""The forks that py-evm has; it binds the DAO fork to mainnet's block number, so that one is left out."""


@dataclass(frozen=True)
class PyEvmVerdict:
    """valid: py-evm imported the block; state_root: 32 bytes, None for an invalid one; reason: why it is not valid."""

    valid: bool
    state_root: bytes | None
    reason: str


class PyEvmChain:
    """
    A chain in py-evm that begins with a given genesis block.

    forks: (first block number, fork), ascending, the first 0. Raises ChainError for a fork that py-evm has not, for a
    genesis block of another number than 0, and where py-evm's genesis is not the given one.
    """

    def __init__(
        self,
        forks: tuple[tuple[int, Fork], ...],
        chain_id: int,
        genesis: Header,
        accounts: Mapping[bytes, GenesisAccount],
    ) -> None:
        unknown = [fork.label for _, fork in forks if fork not in VMS]
        if unknown:
            raise ChainError(f"py-evm has no {unknown[0]}")
        if genesis.number != 0:
            raise ChainError(f"py-evm's chains begin at block 0, not at {genesis.number}")
        configured = Chain.configure(
            "Oracle",
            vm_configuration=tuple((number, _without_seal(VMS[fork])) for number, fork in forks),
            chain_id=chain_id,
        )
        self._chain = configured.from_genesis(AtomicDB(), _genesis_fields(genesis), _state(accounts))
        head = self._chain.get_canonical_head()
        if head.hash != genesis.hash:
            raise ChainError(f"py-evm makes the genesis block 0x{head.hash.hex()}, not 0x{genesis.hash.hex()}")

    def import_block(self, encoded: bytes) -> PyEvmVerdict:
        """py-evm's verdict on a block, in RLP; a valid one becomes the head."""
        try:
            number = Block.decode(encoded).header.number
            block = rlp.decode(encoded, sedes=self._chain.get_vm_class_for_block_number(number).get_block_class())
            with warnings.catch_warnings():
                # It tells of each SELFDESTRUCT that the opcode is deprecated.
                warnings.filterwarnings("ignore", "SELFDESTRUCT opcode present", DeprecationWarning)
                imported = self._chain.import_block(block).imported_block
        except (PyEVMError, ValidationError, rlp.exceptions.RLPException) as error:
            return PyEvmVerdict(False, None, f"{type(error).__name__}: {error}")
        except (ValueError, TypeError, AttributeError, OverflowError, IndexError) as error:
            # Some invalid blocks make py-evm stumble instead of refuse.
            return PyEvmVerdict(False, None, f"{type(error).__name__}: {error}")
        return PyEvmVerdict(True, bytes(imported.header.state_root), "")


def _without_seal(vm: type) -> type:
    """The VM class without its proof-of-work check; proof of stake has none."""
    return vm.configure(validate_seal=classmethod(lambda cls, header: None))


def _genesis_fields(genesis: Header) -> dict[str, object]:
    fields = {
        "coinbase": genesis.coinbase,
        "state_root": genesis.state_root,
        "transaction_root": genesis.transactions_root,
        "receipt_root": genesis.receipts_root,
        "difficulty": genesis.difficulty,
        "gas_limit": genesis.gas_limit,
        "timestamp": genesis.timestamp,
        "extra_data": genesis.extra_data,
        "mix_hash": genesis.prev_randao,
        "nonce": genesis.nonce,
    }
    later = (
        "base_fee_per_gas",
        "withdrawals_root",
        "blob_gas_used",
        "excess_blob_gas",
        "parent_beacon_block_root",
        "requests_hash",
    )
    return fields | {name: getattr(genesis, name) for name in later if getattr(genesis, name) is not None}


def _state(accounts: Mapping[bytes, GenesisAccount]) -> dict[bytes, dict[str, object]]:
    return {
        address: {
            "balance": account.balance,
            "nonce": account.nonce,
            "code": account.code,
            "storage": {int.from_bytes(slot, "big"): value for slot, value in account.storage.items()},
        }
        for address, account in accounts.items()
    }
