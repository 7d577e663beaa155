"""
A chain whose blocks are hard to collect, the same on every node that the tests run: genesis and blocks by name.

Each block is a list of signed transactions that depend on nothing but the genesis and the blocks before. Slots are
chosen by the hash that places them in the storage trie, so that each deletion collapses the branch that it means to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256

import rlp
from eth_account import Account
from eth_hash.auto import keccak
from eth_keys import keys
from evm_assembly import (
    ANCESTORS,
    BURN,
    CALL,
    CREATE,
    DEPOSIT,
    DESTROY,
    DESTROY_FOR_CALLER,
    DESTROY_ITSELF,
    LOAD,
    LOOK,
    NEW_OPCODES,
    STORE,
    TRANSIENT,
    WRITE_AND_REVERT,
    assemble,
    init_code,
)

from witness.chains import BLOB_SCHEDULES, MAINNET_DEPOSIT_CONTRACT
from witness.devnet import SYSTEM_CONTRACTS
from witness.schema import Fork

ETHER = 10**18
GENESIS_TIMESTAMP, SECONDS_PER_SLOT = 1_750_000_000, 12
FEE_RECIPIENT = bytes.fromhex("c0ffee0000000000000000000000000000000002")

BEACON_ROOTS, HISTORY, WITHDRAWAL_REQUESTS, CONSOLIDATION_REQUESTS = SYSTEM_CONTRACTS


def contract_address(index: int) -> bytes:
    """The address of the index-th contract of the genesis."""
    return bytes.fromhex("c0de") + bytes(16) + index.to_bytes(2, "big")


CONTRACTS = {
    name: contract_address(index)
    for index, name in enumerate(
        "store load look ancestors call create destroy revert burn opcodes transient collapsing pair emptied".split(), 1
    )
}
CODES = {
    "store": STORE,
    "load": LOAD,
    "look": LOOK,
    "ancestors": ANCESTORS,
    "call": CALL,
    "create": CREATE,
    "destroy": DESTROY,
    "revert": WRITE_AND_REVERT,
    "burn": BURN,
    "opcodes": NEW_OPCODES,
    "transient": TRANSIENT,
    "collapsing": STORE,
    "pair": STORE,
    "emptied": STORE,
}


@cache
def _slots_by_hash() -> tuple[tuple[str, int], ...]:
    return tuple((keccak(slot.to_bytes(32, "big")).hex(), slot) for slot in range(1 << 15))


@cache
def slots_under(path: str) -> tuple[int, ...]:
    """Slots below 2^15 whose place in a storage trie begins with the nibbles of `path`; 2^15 / 16^len(path) of them."""
    return tuple(slot for hashed, slot in _slots_by_hash() if hashed.startswith(path))


def slot_under(path: str) -> int:
    return slots_under(path)[0]


def forked_slots(path: str) -> tuple[int, int]:
    """Two slots under `path` that part at the nibble after it."""
    first = slots_under(path)[0]
    nibble = keccak(first.to_bytes(32, "big")).hex()[len(path)]
    return first, next(slot for slot in slots_under(path) if keccak(slot.to_bytes(32, "big")).hex()[len(path)] != nibble)


EXTENDED = forked_slots("2bc")
PAIR = slot_under("1"), slot_under("e")
COLLAPSING_STORAGE = [
    *(slot_under(path) for path in "1a 1b 2a 3a 3b0 3b1 4a 4b0 4b1 5a 5b 5c 5d 6a 6b0 7a 7b 8a 8b0 8b1 9a 9b0 9b1".split()),
    *EXTENDED,
]


@dataclass
class Wallet:
    """Signs transactions of a chain's senders and counts their nonces."""

    chain_id: int
    osaka: bool
    nonces: dict[int, int] = field(default_factory=dict)

    @staticmethod
    def key(sender: int) -> keys.PrivateKey:
        """A sender's private key. Public by design: never use it elsewhere."""
        return keys.PrivateKey(keccak(b"blockproof live sender %d" % sender))

    @classmethod
    def address(cls, sender: int) -> bytes:
        return cls.key(sender).public_key.to_canonical_address()

    def take_nonce(self, sender: int) -> int:
        nonce = self.nonces.get(sender, 0)
        self.nonces[sender] = nonce + 1
        return nonce

    def send(
        self,
        to: bytes | None,
        data: bytes = b"",
        value: int = 0,
        sender: int = 0,
        gas: int = 500_000,
        **more: object,
    ) -> bytes:
        """
        A signed transaction of type 2, or of the type that `more` makes it: accessList alone, with gasPrice, type 1;
        authorizationList 4; blobVersionedHashes 3, in its network form. gasPrice alone: type 0.
        """
        fields: dict[str, object] = {
            "chainId": self.chain_id,
            "nonce": self.take_nonce(sender),
            "gas": gas,
            "value": value,
            "data": data,
            **more,
        }
        if to is not None:
            fields["to"] = to
        if "gasPrice" not in more:
            fields |= {"maxFeePerGas": 50 * 10**9, "maxPriorityFeePerGas": 10**9}
        signed = bytes(Account.sign_transaction(fields, self.key(sender).to_bytes()).raw_transaction)
        return self._with_blobs(signed) if "blobVersionedHashes" in more else signed

    def authorize(self, sender: int, delegate: bytes, nonce: int | None = None, chain_id: int | None = None) -> object:
        """A signed EIP-7702 authorization; it takes the sender's next nonce unless one is given."""
        fields = {
            "chainId": self.chain_id if chain_id is None else chain_id,
            "address": delegate,
            "nonce": self.take_nonce(sender) if nonce is None else nonce,
        }
        return Account.sign_authorization(fields, self.key(sender).to_bytes())

    def _with_blobs(self, signed: bytes) -> bytes:
        """The network form (EIP-4844, from Osaka on EIP-7594) with blobs of zeros, whose proofs are points at infinity."""
        body = rlp.decode(signed[1:])
        count = len(body[10])
        blobs, infinity = [bytes(131072)] * count, [INFINITY] * count
        wrapped = [body, b"\x01", blobs, infinity, infinity * 128] if self.osaka else [body, blobs, infinity, infinity]
        return b"\x03" + rlp.encode(wrapped)


INFINITY = b"\xc0" + bytes(47)
"""The commitment to the zero blob, and the proof of each of its values."""
ZERO_BLOB_HASH = b"\x01" + sha256(INFINITY).digest()[1:]


def words(*values: int | bytes) -> bytes:
    """Integers and addresses as 32-byte words."""
    return b"".join(value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\x00") for value in values)


def store(wallet: Wallet, contract: str, values: Mapping[int, int], **more: object) -> bytes:
    """A call that writes slots."""
    pairs = b"".join(words(slot, value) for slot, value in values.items())
    return wallet.send(CONTRACTS[contract], pairs, gas=100_000 + 30_000 * len(values), **more)


def delete(wallet: Wallet, *paths: str, **written: int) -> bytes:
    """A call that deletes slots of the collapsing contract by path and writes others."""
    values = {slot_under(path): 0 for path in paths}
    return store(wallet, "collapsing", values | {slot_under(path[1:]): value for path, value in written.items()})


def fresh(name: str) -> bytes:
    """An address that nothing has touched."""
    return keccak(name.encode())[12:]


# --- the blocks ------------------------------------------------------------------------------------------------------

Transactions = Iterable[bytes]
BLOCKS: dict[str, Callable[[Wallet], Transactions]] = {}
REMOVING: set[str] = set()
"""Blocks that remove a slot or an account, or read or touch one that is not there."""
DELEGATING = {"delegations", "delegations-withdrawn", "delegated-slot-deleted", "absent-accounts"}
"""Blocks with transactions of type 4."""
SYSTEM_CALLED = {"withdrawal-requests", "withdrawal-requests-rest", "deposits", "beacon-root"}
"""Blocks about system calls other than EIP-2935's, and about requests."""


def block(function: Callable[[Wallet], Transactions]) -> Callable[[Wallet], Transactions]:
    """Names a block after its function."""
    BLOCKS[function.__name__.replace("_", "-")] = function
    return function


def removing_block(function: Callable[[Wallet], Transactions]) -> Callable[[Wallet], Transactions]:
    """`block`, for one of REMOVING."""
    REMOVING.add(function.__name__.replace("_", "-"))
    return block(function)


@block
def transfers(wallet: Wallet) -> Transactions:
    """To a new account, to oneself, with the gas price of type 0, from two senders."""
    yield wallet.send(fresh("new"), value=ETHER)
    yield wallet.send(wallet.address(0), value=1)
    yield wallet.send(fresh("new"), value=1, sender=1, gasPrice=30 * 10**9)


@block
def empty(wallet: Wallet) -> Transactions:
    """Nothing: only what the protocol itself does."""
    return ()


@block
def creations(wallet: Wallet) -> Transactions:
    """By transaction, by CREATE, by CREATE2, without code."""
    yield wallet.send(None, init_code(STORE))
    yield wallet.send(CONTRACTS["create"], words(0) + init_code(TRANSIENT), value=5)
    yield wallet.send(CONTRACTS["create"], words(1) + init_code(LOAD))
    yield wallet.send(None, b"", value=3)


@block
def self_destructions(wallet: Wallet) -> Transactions:
    """Of an old contract, for a new account and for itself; of new ones, of which the block pays each again later."""
    yield wallet.send(CONTRACTS["destroy"], words(fresh("heir")), value=19)
    yield wallet.send(CONTRACTS["destroy"], words(CONTRACTS["destroy"]), value=23)
    for salt, code in enumerate((init_code(DESTROY), DESTROY_ITSELF, DESTROY_FOR_CALLER), 2):
        yield wallet.send(CONTRACTS["create"], words(salt) + code, value=salt)
        yield wallet.send(created(salt, code), value=1)


def created(salt: int, code: bytes) -> bytes:
    """Where the `create` contract's CREATE2 puts what that init code makes (EIP-1014)."""
    return keccak(b"\xff" + CONTRACTS["create"] + words(salt) + keccak(code))[12:]


@block
def many_slots(wallet: Wallet) -> Transactions:
    """80 slots of a contract without storage."""
    for start in (0, 40):
        slots = {keccak_slot(index): index + 1 for index in range(start, start + 40)}
        yield store(wallet, "store", slots, sender=start // 40)


def keccak_slot(index: int) -> int:
    """A slot far from 0, as Solidity's mappings have them."""
    return int.from_bytes(keccak(index.to_bytes(32, "big") + bytes(32)), "big")


@block
def many_slots_rewritten(wallet: Wallet) -> Transactions:
    """Half of them with other values: without a hint, each is known only when execution comes to it."""
    yield store(wallet, "store", {keccak_slot(index): index + 2 for index in range(0, 80, 2)})


@removing_block
def many_slots_deleted(wallet: Wallet) -> Transactions:
    """Three in four of them deleted, some read."""
    yield store(wallet, "store", {keccak_slot(index): 0 for index in range(80) if index % 4})
    yield wallet.send(CONTRACTS["store"], words(keccak_slot(0), 1, keccak_slot(0), 1), sender=1)


@removing_block
def collapse_to_leaf(wallet: Wallet) -> Transactions:
    """A branch of two leaves loses one: the other leaf's node is needed and is on no path of the block."""
    yield delete(wallet, "1a")


@removing_block
def collapse_to_extension(wallet: Wallet) -> Transactions:
    """As before, the sibling an extension."""
    yield delete(wallet, "2a")


@removing_block
def collapse_to_branch(wallet: Wallet) -> Transactions:
    """As before, the sibling a branch, which the post-state's proofs do not show."""
    yield delete(wallet, "3a")


@removing_block
def collapse_beside_a_write(wallet: Wallet) -> Transactions:
    """The sibling is a branch below which a slot changes."""
    yield delete(wallet, "4a", _4b0=77)


@removing_block
def collapse_of_three(wallet: Wallet) -> Transactions:
    """Three of four leaves go, one each transaction."""
    for path in ("5a", "5b", "5c"):
        yield delete(wallet, path)


@removing_block
def collapse_beside_an_insertion(wallet: Wallet) -> Transactions:
    """The sibling leaf becomes a branch in the same block."""
    yield delete(wallet, "6a", _6b1=78)


@removing_block
def collapse_of_all(wallet: Wallet) -> Transactions:
    """Both leaves go, and the branch with them."""
    yield delete(wallet, "7a", "7b")


@removing_block
def collapse_of_siblings_children(wallet: Wallet) -> Transactions:
    """A branch goes and, in its sibling, so does one leaf of two: two levels collapse into one leaf."""
    yield delete(wallet, "8a", "8b0")


@removing_block
def deleted_and_written_again(wallet: Wallet) -> Transactions:
    """Deleted and restored in two transactions; zero written to an absent slot; written and deleted in one call."""
    yield delete(wallet, "9a")
    yield delete(wallet, "9b0")
    yield store(wallet, "collapsing", {slot_under("9a"): 1, slot_under("9c"): 0}, sender=1)
    yield wallet.send(CONTRACTS["collapsing"], words(slot_under("9d"), 5, slot_under("9d"), 0))


@removing_block
def root_becomes_a_leaf(wallet: Wallet) -> Transactions:
    """A storage trie of two slots loses one."""
    yield store(wallet, "pair", {PAIR[0]: 0})


@removing_block
def storage_becomes_empty(wallet: Wallet) -> Transactions:
    """A storage trie loses its last slot; another, of two slots, both."""
    yield store(wallet, "pair", {PAIR[1]: 0})
    yield store(wallet, "emptied", {PAIR[0]: 0, PAIR[1]: 0}, sender=1)


@block
def accounts(wallet: Wallet) -> Transactions:
    """Balance, size, hash and code of a contract, senders, precompiles, the fee recipient; a value sent by a contract."""
    yield wallet.send(
        CONTRACTS["look"], words(CONTRACTS["store"], wallet.address(0), wallet.address(1), 1, 9, FEE_RECIPIENT)
    )
    yield wallet.send(CONTRACTS["call"], words(fresh("paid")), value=1)


@block
def precompiles(wallet: Wallet) -> Transactions:
    """ecrecover, SHA-256, RIPEMD-160, identity, modexp, BN254 addition and pairing, blake2f, BLS12-381, P-256."""
    hashed = keccak(b"message")
    signature = wallet.key(0).sign_msg_hash(hashed)
    yield wallet.send(CONTRACTS["call"], words(1, hashed, 27 + signature.v, signature.r, signature.s))
    for address, data in (
        (2, b"abc"),
        (3, b"abc"),
        (4, b"abc"),
        (5, words(1, 1, 1) + b"\x03\x05\x07"),
        (6, words(1, 2, 1, 2)),
        (8, b""),
        (9, bytes(3) + b"\x0c" + bytes(208) + b"\x01"),
        (11, bytes(256)),
        (0x100, bytes(160)),
    ):
        yield wallet.send(CONTRACTS["call"], words(address) + data, gas=300_000)


@block
def ancestors(wallet: Wallet) -> Transactions:
    """BLOCKHASH near and far, beyond its range, and the history contract of EIP-2935."""
    yield wallet.send(CONTRACTS["ancestors"], words(1, 2, 9, 0, 300))
    yield wallet.send(CONTRACTS["call"], words(HISTORY, 3))


@block
def failures(wallet: Wallet) -> Transactions:
    """A revert after writes, and all gas used."""
    yield wallet.send(CONTRACTS["revert"])
    yield wallet.send(CONTRACTS["burn"], gas=90_000)


@block
def access_lists(wallet: Wallet) -> Transactions:
    """Types 1 and 2 with accounts and slots of which only some are then used."""
    listed = [
        listed_slots(CONTRACTS["collapsing"], slot_under("1b"), slot_under("3b1")),
        listed_slots(CONTRACTS["pair"], PAIR[0]),
    ]
    yield store(wallet, "collapsing", {slot_under("1b"): 5}, accessList=listed, gasPrice=30 * 10**9)
    yield store(wallet, "collapsing", {slot_under("3b1"): 6}, accessList=listed, sender=1)


def listed_slots(address: bytes, *slots: int) -> dict[str, object]:
    """An entry of an access list."""
    return {"address": "0x" + address.hex(), "storageKeys": ["0x" + words(slot).hex() for slot in slots]}


@block
def delegations(wallet: Wallet) -> Transactions:
    """
    EIP-7702: accounts become `store` and are called in the same transaction and later; authorizations valid on every
    chain, of another chain, with a wrong nonce, for an absent account, for an account that is itself delegated.
    """
    yield wallet.send(
        wallet.address(10),
        words(1, 2, 3, 4),
        authorizationList=[
            wallet.authorize(10, CONTRACTS["store"]),
            wallet.authorize(11, CONTRACTS["store"], chain_id=0),
            wallet.authorize(12, CONTRACTS["store"], nonce=0, chain_id=wallet.chain_id + 1),
            wallet.authorize(1, CONTRACTS["store"], nonce=1000),
            wallet.authorize(14, fresh("no delegate")),
            wallet.authorize(15, wallet.address(10)),
        ],
    )
    yield wallet.send(wallet.address(11), words(5, 6), sender=1)
    yield wallet.send(CONTRACTS["look"], words(*(wallet.address(index) for index in (1, 10, 11, 14, 15))))
    yield wallet.send(wallet.address(15), words(5, 6))


@block
def delegations_withdrawn(wallet: Wallet) -> Transactions:
    """A delegation cleared, one changed; the storage written under it remains."""
    yield wallet.send(
        wallet.address(11),
        authorizationList=[wallet.authorize(10, bytes(20)), wallet.authorize(11, CONTRACTS["load"])],
    )


@block
def new_opcodes(wallet: Wallet) -> Transactions:
    """CLZ (all gas before Osaka), BLOBBASEFEE, BLOBHASH without blobs, transient storage, MCOPY."""
    yield wallet.send(CONTRACTS["opcodes"], sender=1)
    yield wallet.send(CONTRACTS["transient"], value=1)


@block
def blobs(wallet: Wallet) -> Transactions:
    """A transaction of two blobs to the contract that shows their hashes, one of one blob to an account."""
    yield wallet.send(CONTRACTS["opcodes"], maxFeePerBlobGas=10**9, blobVersionedHashes=[ZERO_BLOB_HASH] * 2)
    yield wallet.send(fresh("new"), maxFeePerBlobGas=10**9, blobVersionedHashes=[ZERO_BLOB_HASH], sender=1)


@block
def withdrawal_requests(wallet: Wallet) -> Transactions:
    """Requests of EIP-7002 and EIP-7251: more withdrawals than a block takes, so the queue stays."""
    for index in range(18):
        yield wallet.send(WITHDRAWAL_REQUESTS, bytes([index]) * 48 + (index + 1).to_bytes(8, "big"), value=2)
    yield wallet.send(CONSOLIDATION_REQUESTS, b"\x01" * 48 + b"\x02" * 48, value=2)


@block
def withdrawal_requests_rest(wallet: Wallet) -> Transactions:
    """The rest of the queue, dequeued by the system call alone: the contract's slots are deleted."""
    return ()


@block
def deposits(wallet: Wallet) -> Transactions:
    """Two deposits of EIP-6110, as events of the deposit contract."""
    for index in range(2):
        yield wallet.send(MAINNET_DEPOSIT_CONTRACT, deposit_event(index))


def deposit_event(index: int) -> bytes:
    """The data of a DepositEvent: public key, withdrawal credentials, amount, signature, index as dynamic bytes."""
    parts = (b"\x0a" * 48, b"\x0b" * 32, (32 * 10**9).to_bytes(8, "little"), b"\x0c" * 96, index.to_bytes(8, "little"))
    head, tail = b"", b""
    for part in parts:
        head += words(32 * len(parts) + len(tail))
        tail += words(len(part)) + part.ljust(-(-len(part) // 32) * 32, b"\x00")
    return head + tail


@block
def beacon_root(wallet: Wallet) -> Transactions:
    """The contract of EIP-4788 asked for this block's time, by a caller that knows it, and for one it does not have."""
    yield wallet.send(None, assemble(
        "TIMESTAMP 0 MSTORE 32 32 32 0 0x" + BEACON_ROOTS.hex() + " GAS STATICCALL 64 MSTORE 96 0 LOG0 STOP"
    ))
    yield wallet.send(CONTRACTS["call"], words(BEACON_ROOTS, 1))


@removing_block
def traceless_self_destructions(wallet: Wallet) -> Transactions:
    """In the transaction of the creation: for a new account, for itself, for its creator; nothing of the account stays."""
    yield wallet.send(CONTRACTS["create"], words(12) + init_code(DESTROY), value=9)
    yield wallet.send(CONTRACTS["create"], words(13) + DESTROY_ITSELF, value=11)
    yield wallet.send(CONTRACTS["create"], words(14) + DESTROY_FOR_CALLER, value=13)
    yield wallet.send(None, assemble("1 0 SSTORE 0x" + fresh("second heir").hex() + " SELFDESTRUCT"), value=17)


@removing_block
def absent_slots(wallet: Wallet) -> Transactions:
    """Slots read that a contract does not have, where it has others and where it has none."""
    yield wallet.send(wallet.address(11), words(0, 5, keccak_slot(3)))
    yield wallet.send(CONTRACTS["load"], words(0, 1), sender=1)
    listed = [listed_slots(CONTRACTS["collapsing"], slot_under("ff")), listed_slots(fresh("listed only"), 0)]
    yield wallet.send(CONTRACTS["collapsing"], accessList=listed)


@removing_block
def absent_accounts(wallet: Wallet) -> Transactions:
    """Looked at, without effect; a delegate; authorities, of which one's nonce is not the authorization's."""
    yield wallet.send(CONTRACTS["look"], words(fresh("nobody"), fresh("no one"), wallet.address(12)))
    yield wallet.send(wallet.address(14), words(5, 6))
    authorized = [wallet.authorize(13, CONTRACTS["store"], nonce=5), wallet.authorize(16, CONTRACTS["store"])]
    yield wallet.send(fresh("new"), authorizationList=authorized)


@removing_block
def delegated_slot_deleted(wallet: Wallet) -> Transactions:
    """A slot that an account wrote while it was delegated."""
    yield wallet.send(wallet.address(10), authorizationList=[wallet.authorize(10, CONTRACTS["store"])])
    yield wallet.send(wallet.address(10), words(1, 0), sender=1)


@removing_block
def touched_empty_accounts(wallet: Wallet) -> Transactions:
    """Nothing sent to absent accounts, by transaction and by call; creations that fail, one where there is a contract."""
    yield wallet.send(fresh("absent"))
    yield wallet.send(CONTRACTS["call"], words(fresh("called")))
    yield wallet.send(None, WRITE_AND_REVERT)
    yield wallet.send(None, init_code(b"\xef\x00"))
    yield wallet.send(CONTRACTS["create"], words(1) + init_code(LOAD))


# --- the genesis -----------------------------------------------------------------------------------------------------


def genesis(chain_id: int, fork: Fork, system_calls: bool = True) -> dict[str, object]:
    """
    A geth-style genesis at Prague or Osaka.

    system_calls: False for a node that makes only the call of EIP-2935: the contracts that Prague requires then do
    nothing, and the one of EIP-4788 is absent, so that executing the calls changes nothing.
    """
    times = {f"{later.label.lower()}Time": 0 for later in TIMED_FORKS if later <= fork}
    schedules = {
        later.label.lower(): {
            "target": BLOB_SCHEDULES[later].target,
            "max": BLOB_SCHEDULES[later].max,
            "baseFeeUpdateFraction": BLOB_SCHEDULES[later].update_fraction,
        }
        for later in TIMED_FORKS
        if later in BLOB_SCHEDULES and later <= fork
    }
    blocks = "homestead eip150 eip155 eip158 byzantium constantinople petersburg istanbul berlin london".split()
    config = {
        "chainId": chain_id,
        **{f"{name}Block": 0 for name in blocks},
        "mergeNetsplitBlock": 0,
        "terminalTotalDifficulty": 0,
        "terminalTotalDifficultyPassed": True,
        **times,
        "blobSchedule": schedules,
        "depositContractAddress": "0x" + MAINNET_DEPOSIT_CONTRACT.hex(),
    }
    return {
        "config": config,
        "nonce": "0x0",
        "timestamp": hex(GENESIS_TIMESTAMP),
        "extraData": "0x",
        "gasLimit": hex(GAS_LIMIT),
        "difficulty": "0x0",
        "mixHash": "0x" + bytes(32).hex(),
        "coinbase": "0x" + bytes(20).hex(),
        "baseFeePerGas": hex(10**9),
        "alloc": {"0x" + address.hex(): account for address, account in _accounts(system_calls)},
    }


TIMED_FORKS = (Fork.SHANGHAI, Fork.CANCUN, Fork.PRAGUE, Fork.OSAKA)
GAS_LIMIT = 60_000_000


def _accounts(system_calls: bool) -> Iterable[tuple[bytes, dict[str, object]]]:
    for address, code in SYSTEM_CONTRACTS.items():
        if not system_calls and address == BEACON_ROOTS:
            continue
        called = system_calls or address == HISTORY
        yield address, {"nonce": "0x1", "balance": "0x0", "code": "0x" + (code.hex() if called else "00")}
    yield MAINNET_DEPOSIT_CONTRACT, {"nonce": "0x1", "balance": "0x0", "code": "0x" + DEPOSIT.hex()}
    storages = {
        "collapsing": dict.fromkeys(COLLAPSING_STORAGE, 1),
        "pair": dict.fromkeys(PAIR, 1),
        "emptied": dict.fromkeys(PAIR, 1),
        "revert": {0: 9, 0xBEEF: 9},
        "burn": {0: 9},
    }
    for name, address in CONTRACTS.items():
        storage = {"0x" + words(slot).hex(): "0x" + words(value).hex() for slot, value in storages.get(name, {}).items()}
        yield address, {"nonce": "0x1", "balance": "0x0", "code": "0x" + CODES[name].hex(), "storage": storage}
    for sender in (0, 1, 10, 11, 14, 15):
        yield Wallet.address(sender), {"balance": hex(1000 * ETHER)}
    for precompile in (*range(1, 0x12), 0x100):
        # As on mainnet, so that a call leaves no empty account behind on anvil.
        yield precompile.to_bytes(20, "big"), {"balance": "0x1"}
