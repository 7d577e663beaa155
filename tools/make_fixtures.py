"""
Makes fixtures/: a small suite for every fork and for transitions between forks, in the form of EEST blockchain tests.

    python tools/make_fixtures.py              write fixtures/
    python tools/make_fixtures.py --check      write nothing; exit 1 and name the files that differ
    python tools/make_fixtures.py NETWORK ...  only these files, e.g. Frontier or BerlinToLondonAtTime15k

For a fork there are two tests. `valid`: the probes of the fork, of all earlier ones and of the next, where what the
next fork brings does not work yet; ommers; withdrawals; blobs. `invalid`: valid blocks, between them blocks that break
one rule each. Probes are contracts that write what they saw, gas included, to their storage, so that it is in the state
root. docs/specs/fixtures.md describes the form.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import rlp
from eth_hash.auto import keccak

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from ethereum.forks.dao_fork.dao import DAO_ACCOUNTS, DAO_RECOVERY

from tools.fixture_chain import (
    ETHER,
    GWEI,
    NETWORK_OF,
    SECONDS,
    Chain,
    Sender,
    assemble,
    deploying,
    word,
)
from witness.block import Block, Header, Withdrawal, ommers_hash, requests_hash
from witness.chains import BLOB_SCHEDULES, MAINNET, MAINNET_DEPOSIT_CONTRACT
from witness.devnet import SYSTEM_CONTRACTS
from witness.record import GenesisAccount
from witness.schema import Fork
from witness.trie import int_to_bytes

FOLDER = ROOT / "fixtures"
COMMAND = "python tools/make_fixtures.py"
TRANSITION_TIME = 15_000

ALICE, BOB, CAROL, POOR = (Sender(name) for name in ("alice", "bob", "carol", "poor"))
AUTHORITY = Sender("authority")
CODE_OWNER = Sender("code owner")
EMPTY = bytes.fromhex("e0" + "00" * 18 + "01")
"""An account without anything, left by a transfer of nothing before EIP-158."""
NEW = bytes.fromhex("0e" + "00" * 18 + "02")
BEACON_ROOTS = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
HISTORY = bytes.fromhex("0000f90827f1c53a10cb7a02335b175320002935")
WITHDRAWAL_REQUESTS = bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")
CONSOLIDATION_REQUESTS = bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251")


# --- probes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Probe:
    """
    A contract and one call of it, introduced with a fork.

    source: its assembly, or its bytes; data, value, gas: of the call; storage: what it has at genesis.
    """

    name: str
    source: str | bytes
    data: bytes = b""
    value: int = 0
    gas: int = 300_000
    storage: dict[int, int] = field(default_factory=dict)

    @property
    def address(self) -> bytes:
        """Where the contract is: c0de and the hash of its name."""
        return b"\xc0\xde" + keccak(self.name.encode())[:18]

    @property
    def code(self) -> bytes:
        """The bytecode."""
        return self.source if isinstance(self.source, bytes) else assemble(self.source)

    def account(self) -> GenesisAccount:
        """The account at genesis."""
        storage = {word(slot): value for slot, value in self.storage.items()}
        return GenesisAccount(balance=1000, nonce=1, code=self.code, storage=storage)


def cost(operation: str, slot: int) -> str:
    """Stores the gas of an operation that leaves one word, its operands' pushes and a POP included."""
    return f"GAS {operation} POP GAS SWAP1 SUB {slot} SSTORE"


def call(kind: str, to: bytes | str, gas: int | str = "GAS", value: int | None = 0, given: int = 0, taken: int = 0) -> str:
    """A call with memory [0, given) as input, and [0, taken) for its output; leaves its success."""
    target = to if isinstance(to, str) else f"0x{to.hex()}"
    return f"{taken} 0 {given} 0 {'' if value is None else value} {target} {gas} {kind}"


WRITER = Probe("writer", "CALLER 0 SSTORE CALLVALUE 1 SSTORE ADDRESS 2 SSTORE 7 0 MSTORE 32 0 RETURN")
"""Called by others: writes who called, in whose storage it is told."""
FAILING = Probe("failing", "1 0 SSTORE POP")
"""Ends in a stack underflow."""
CREATED = deploying(assemble("CALLVALUE 0 SSTORE 1 1 ADD 1 SSTORE"))
LOGGER = Probe("logger", "NUMBER 0 MSTORE 3 2 1 32 0 LOG3")

PRECOMPILE_CALLER = Probe(
    "precompile caller",
    # Calldata: address, slot, input. Stores success, the hash of 256 bytes of output, and the gas left.
    "64 CALLDATASIZE SUB 64 0 CALLDATACOPY "
    "256 0x1000 64 CALLDATASIZE SUB 0 0 0 CALLDATALOAD 100000 CALL 32 CALLDATALOAD SSTORE "
    "256 0x1000 KECCAK 32 CALLDATALOAD 1 ADD SSTORE GAS 32 CALLDATALOAD 2 ADD SSTORE",
)


@dataclass(frozen=True)
class Precompile:
    """A call of a precompile through PRECOMPILE_CALLER."""

    number: int
    given: bytes

    @property
    def data(self) -> bytes:
        """Calldata: address, slot, input."""
        slot = keccak(word(self.number) + self.given)[:4] + bytes(28)
        return word(self.number) + slot + self.given


def _ecrecover_input() -> bytes:
    digest = keccak(b"blockproof fixture message")
    signature = ALICE.key.sign_msg_hash(digest)
    return digest + word(27 + signature.v) + word(signature.r) + word(signature.s)


def _blake2_input(final: int) -> bytes:
    state = bytes.fromhex(
        "48c9bdf267e6096a3ba7ca8485ae67bb2bf894fe72f36e3cf1361d5f3af54fa5"
        "d182e6ad7f520e511f6c3e2b8c68059b6bbd41fbabd9831f79217e1319cde05b"
    )
    return (12).to_bytes(4, "big") + state + b"abc".ljust(128, b"\0") + (3).to_bytes(8, "little") + bytes(8) + bytes([final])


BN_POINT = word(1) + word(2)
G1_INFINITY = bytes(128)
KZG_INFINITY = b"\xc0" + bytes(47)
KZG_HASH = b"\x01" + sha256(KZG_INFINITY).digest()[1:]
# RFC 6979, A.2.5: P-256, SHA-256, message "sample".
P256_SAMPLE = sha256(b"sample").digest() + bytes.fromhex(
    "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
    "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
    "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
    "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
)

SELF_DESTRUCT = Probe("self destruct", f"0x{NEW.hex()} SELFDESTRUCT", storage={1: 1})
REVERTING = Probe("revert", "1 0 SSTORE 0xdead 0 MSTORE 4 28 REVERT")

CALLED = (WRITER, FAILING, LOGGER, PRECOMPILE_CALLER)

PROBES: dict[Fork, list[Probe]] = {
    Fork.FRONTIER: [
        Probe(
            "arithmetic",
            "3 7 SUB 5 MUL 0 SSTORE 3 0 NOT SDIV 1 SSTORE 10 3 EXP 2 SSTORE 5 0x80 0 SIGNEXTEND ADD 3 SSTORE "
            "7 0 NOT 9 ADDMOD 4 SSTORE 7 0 NOT 9 MULMOD 5 SSTORE 3 0 NOT SMOD 6 SSTORE 0xabcd 30 BYTE 7 SSTORE "
            "0 1 DIV 8 SSTORE 1 0 NOT SLT 9 SSTORE",
        ),
        Probe(
            "memory",
            "0x1234 0 MSTORE 0xff 40 MSTORE8 64 0 KECCAK 0 SSTORE 0 CALLDATALOAD 1 SSTORE 5 3 100 CALLDATACOPY "
            "100 MLOAD 2 SSTORE MSIZE 3 SSTORE 20 0 200 CODECOPY 200 MLOAD 4 SSTORE PC 5 SSTORE",
            data=bytes(range(1, 20)),
        ),
        Probe(
            "logs",
            "0xfeed 0 MSTORE 32 0 LOG0 1 32 0 LOG1 2 1 16 16 LOG2 3 2 1 0 0 LOG3 4 3 2 1 40 0 LOG4",
        ),
        Probe("storage", "0 0 SSTORE 9 1 SSTORE 5 2 SSTORE 0 2 SSTORE 4 3 SSTORE 0 3 SSTORE", storage={0: 1, 1: 2, 3: 4}),
        Probe(
            "environment",
            "1 NUMBER SUB BLOCKHASH 0 SSTORE 3 NUMBER SUB BLOCKHASH 1 SSTORE NUMBER BLOCKHASH 2 SSTORE COINBASE 3 SSTORE "
            "TIMESTAMP 4 SSTORE NUMBER 5 SSTORE PREVRANDAO 6 SSTORE GASLIMIT 7 SSTORE ORIGIN 8 SSTORE GASPRICE 9 SSTORE "
            "CALLER 10 SSTORE CALLVALUE 11 SSTORE ADDRESS BALANCE 12 SSTORE GAS 13 SSTORE",
            value=17,
            gas=400_000,
        ),
        Probe(
            "calls",
            f"{call('CALL', WRITER.address, 70_000, 3, 0, 32)} 0 SSTORE 0 MLOAD 1 SSTORE "
            f"{call('CALLCODE', WRITER.address, 70_000, 2)} 4 SSTORE {call('CALL', FAILING.address, 30_000)} 5 SSTORE "
            f"{call('CALL', NEW, 1000, 11)} 6 SSTORE {call('CALL', WRITER.address, 1000, 1 << 80)} 7 SSTORE",
            gas=400_000,
        ),
        Probe(
            "create",
            f"0x{CREATED[:32].hex()} 0 MSTORE {len(CREATED)} 0 5 CREATE DUP1 0 SSTORE EXTCODESIZE 1 SSTORE "
            f"0 SLOAD BALANCE 2 SSTORE {call('CALL', '0 SLOAD', 60_000, 1)} 3 SSTORE",
        ),
        SELF_DESTRUCT,
        Probe("invalid jump", "1 0 SSTORE 1 JUMP", gas=60_000),
    ],
    Fork.HOMESTEAD: [
        Probe("delegate call", f"{call('DELEGATECALL', WRITER.address, 70_000, None)} 3 SSTORE", value=9, gas=150_000),
    ],
    Fork.TANGERINE_WHISTLE: [
        Probe(
            "prices",
            f"{cost('ADDRESS EXTCODESIZE', 0)} {cost(f'0x{NEW.hex()} BALANCE', 1)} {cost('5 SLOAD', 2)} "
            f"{cost(call('CALL', FAILING.address, 100), 3)} {cost('5 SLOAD', 4)} {cost('COINBASE BALANCE', 5)}",
        ),
        Probe("all but one 64th", f"{call('CALL', WRITER.address, 0xFFFFFFFF)} 0 SSTORE GAS 1 SSTORE", gas=200_000),
        Probe(
            "self destruct to a new account",
            f"GAS {call('CALL', SELF_DESTRUCT.address)} POP GAS SWAP1 SUB 0 SSTORE",
        ),
    ],
    Fork.SPURIOUS_DRAGON: [
        Probe("exponent price", f"{cost('0xffffffff 3 EXP', 0)} {cost('1 3 EXP', 1)}"),
        Probe("touch of an empty account", f"{call('CALL', EMPTY, 5000)} 0 SSTORE {call('CALL', NEW, 5000)} 1 SSTORE"),
    ],
    Fork.BYZANTIUM: [
        REVERTING,
        Probe(
            "return data",
            f"{call('CALL', WRITER.address, 90_000)} POP RETURNDATASIZE 0 SSTORE 32 0 64 RETURNDATACOPY 64 MLOAD 1 SSTORE "
            f"{call('CALL', REVERTING.address, 90_000)} 2 SSTORE RETURNDATASIZE 3 SSTORE",
        ),
        Probe(
            "static call",
            f"{call('STATICCALL', WRITER.address, 30_000, None)} 0 SSTORE {call('STATICCALL', LOGGER.address, 30_000, None)} "
            f"1 SSTORE {call('STATICCALL', NEW, 30_000, None)} 2 SSTORE",
        ),
    ],
    Fork.CONSTANTINOPLE: [
        Probe("shifts", "1 4 SHL 0 SSTORE 0xf0 4 SHR 1 SSTORE 0 NOT 8 SAR 2 SSTORE 1 256 SHL 3 SSTORE"),
        Probe(
            "create2",
            f"0x{CREATED[:32].hex()} 0 MSTORE 0x5a17 {len(CREATED)} 0 5 CREATE2 DUP1 0 SSTORE EXTCODESIZE 1 SSTORE",
        ),
        Probe(
            "code hash",
            f"ADDRESS EXTCODEHASH 0 SSTORE 0x{ALICE.address.hex()} EXTCODEHASH 1 SSTORE 0xdead00 EXTCODEHASH 2 SSTORE "
            "2 EXTCODEHASH 3 SSTORE",
        ),
    ],
    Fork.ISTANBUL: [
        Probe("chain id", f"CHAINID 0 SSTORE SELFBALANCE 1 SSTORE {cost('SELFBALANCE', 2)}"),
        Probe(
            "net gas metering",
            "GAS 5 0 SSTORE 6 0 SSTORE 1 0 SSTORE GAS SWAP1 SUB 1 SSTORE GAS 9 2 SSTORE 0 2 SSTORE GAS SWAP1 SUB 3 SSTORE",
            storage={0: 1},
        ),
    ],
    Fork.BERLIN: [
        Probe(
            "warm and cold",
            f"{cost('7 SLOAD', 0)} {cost('7 SLOAD', 1)} {cost('8 SLOAD', 2)} {cost(f'0x{BOB.address.hex()} BALANCE', 3)} "
            f"{cost(f'0x{BOB.address.hex()} EXTCODESIZE', 4)} {cost(call('CALL', FAILING.address, 100), 5)}",
        ),
    ],
    Fork.LONDON: [
        Probe("base fee", "BASEFEE 0 SSTORE GASPRICE 1 SSTORE"),
        Probe("code that begins with ef", "0x60ef60005360016000f3 0 MSTORE 10 22 0 CREATE 0 SSTORE"),
        Probe("refund", "0 0 SSTORE 0 1 SSTORE 0 2 SSTORE 0 3 SSTORE", storage={0: 1, 1: 1, 2: 1, 3: 1}),
    ],
    Fork.SHANGHAI: [
        Probe("push0", b"\x5f\x60\x05\x01\x5f\x55"),
        Probe("initialisation code limit", "49153 0 0 CREATE 0 SSTORE GAS 1 SSTORE", gas=600_000),
        Probe("warm coinbase", cost("COINBASE BALANCE", 0)),
    ],
    Fork.CANCUN: [
        Probe("blob hash", "0 BLOBHASH 0 SSTORE 1 BLOBHASH 1 SSTORE 6 BLOBHASH 2 SSTORE BLOBBASEFEE 3 SSTORE"),
        Probe("transient storage", "7 1 TSTORE 1 TLOAD 0 SSTORE 2 TLOAD 1 SSTORE"),
        Probe("memory copy", "0x0123456789 0 MSTORE 20 20 26 MCOPY 32 MLOAD 0 SSTORE MSIZE 1 SSTORE"),
        Probe(
            "self destruct in the transaction of creation",
            # Creates `CALLER SELFDESTRUCT`, then one whose initialisation code destroys itself.
            "0x33ff 0 MSTORE 2 30 3 CREATE 0 SSTORE 0 SLOAD EXTCODESIZE 1 SSTORE 0 SLOAD BALANCE 2 SSTORE",
        ),
        Probe(
            "beacon root",
            f"TIMESTAMP 0 MSTORE {call('STATICCALL', BEACON_ROOTS, 50_000, None, 32, 32)} 0 SSTORE 0 MLOAD 1 SSTORE",
        ),
    ],
    Fork.PRAGUE: [
        Probe(
            "history",
            f"2 NUMBER SUB 0 MSTORE {call('STATICCALL', HISTORY, 50_000, None, 32, 32)} 0 SSTORE 0 MLOAD 1 SSTORE",
        ),
        Probe(
            "delegated account",
            f"0x{AUTHORITY.address.hex()} EXTCODESIZE 0 SSTORE 0x{AUTHORITY.address.hex()} EXTCODEHASH 1 SSTORE "
            f"{call('CALL', AUTHORITY.address, 90_000, 1)} 2 SSTORE",
        ),
    ],
    Fork.OSAKA: [
        Probe("leading zeros", b"\x60\x01\x1e\x60\x00\x55\x60\x00\x1e\x60\x01\x55\x60\x00\x19\x1e\x60\x02\x55"),
    ],
}

PRECOMPILES: dict[Fork, list[Precompile]] = {
    Fork.FRONTIER: [
        Precompile(1, _ecrecover_input()),
        Precompile(1, bytes(128)),
        Precompile(2, b"abc"),
        Precompile(3, b"abc"),
        Precompile(4, bytes(range(40))),
    ],
    Fork.BYZANTIUM: [
        Precompile(5, word(1) + word(1) + word(2) + b"\x03\x05" + b"\x03\xe9"),
        Precompile(6, BN_POINT + BN_POINT),
        Precompile(7, BN_POINT + word(3)),
        Precompile(8, b""),
        Precompile(8, bytes(191)),
    ],
    Fork.ISTANBUL: [Precompile(9, _blake2_input(1)), Precompile(9, _blake2_input(2))],
    Fork.CANCUN: [Precompile(10, KZG_HASH + word(5) + word(0) + KZG_INFINITY + KZG_INFINITY)],
    Fork.PRAGUE: [Precompile(11, G1_INFINITY + G1_INFINITY), Precompile(11, bytes(255))],
    Fork.OSAKA: [Precompile(256, P256_SAMPLE), Precompile(5, word(1025) + word(1) + word(1) + bytes(1027))],
}
"""What an address without a precompile yet answers is the state's matter: it is an account without code."""


def up_to(contents: dict[Fork, list], fork: Fork) -> list:
    """Everything introduced up to a fork."""
    return [entry for introduced, entries in contents.items() if introduced <= fork for entry in entries]


def next_of(contents: dict[Fork, list], fork: Fork) -> list:
    """What the next fork to introduce anything introduces."""
    later = [introduced for introduced in contents if introduced > fork]
    return contents[min(later)] if later else []


# --- genesis ---------------------------------------------------------------------------------------------------------

DEPOSIT_TOPIC = keccak(b"DepositEvent(bytes,bytes,bytes,bytes,bytes)")
DEPOSIT_STAND_IN = assemble(f"CALLDATASIZE 0 0 CALLDATACOPY 0x{DEPOSIT_TOPIC.hex()} CALLDATASIZE 0 LOG1")
"""Emits its calldata as a deposit event."""


def genesis_accounts(last: Fork, probes: Sequence[Probe]) -> dict[bytes, GenesisAccount]:
    """Senders, probes and what they call, and what the forks up to the last one need."""
    accounts = {sender.address: GenesisAccount(balance=1000 * ETHER) for sender in (ALICE, BOB, CAROL)}
    accounts[POOR.address] = GenesisAccount(balance=10**12)
    # Set by CREATE2 or by hand: an account with code and with a known key, which may not send (EIP-3607).
    accounts[CODE_OWNER.address] = GenesisAccount(balance=ETHER, nonce=1, code=b"\0")
    for probe in (*CALLED, *probes):
        accounts[probe.address] = probe.account()
    if last <= Fork.BYZANTIUM:
        accounts[EMPTY] = GenesisAccount()
    if last >= Fork.CANCUN:
        accounts[BEACON_ROOTS] = GenesisAccount(nonce=1, code=SYSTEM_CONTRACTS[BEACON_ROOTS])
    if last >= Fork.PRAGUE:
        accounts |= {address: GenesisAccount(nonce=1, code=code) for address, code in SYSTEM_CONTRACTS.items()}
        accounts[MAINNET_DEPOSIT_CONTRACT] = GenesisAccount(nonce=1, code=DEPOSIT_STAND_IN)
        accounts[AUTHORITY.address] = GenesisAccount(balance=ETHER)
    return accounts


SAME_EVM = {
    Fork.DAO_FORK,
    Fork.MUIR_GLACIER,
    Fork.ARROW_GLACIER,
    Fork.GRAY_GLACIER,
    Fork.BPO1,
    Fork.BPO2,
    Fork.BPO3,
    Fork.BPO4,
}
"""Forks that change no instruction: their suites leave out what their predecessor's show."""

GLACIER_GENESIS = {Fork.MUIR_GLACIER: 9_199_998, Fork.ARROW_GLACIER: 13_772_998, Fork.GRAY_GLACIER: 15_049_998}
"""Where a fork only moves the difficulty bomb, the chain begins at mainnet's numbers: at 0 no bomb shows."""


def chain_of(fork: Fork, probes: Sequence[Probe] = ()) -> Chain:
    """A chain all of whose blocks are under one fork."""
    accounts = genesis_accounts(fork, probes)
    number = GLACIER_GENESIS.get(fork, 0)
    difficulty = 1 << 45 if number else 0x20000
    return Chain(NETWORK_OF[fork], lambda *_: fork, accounts, number=number, difficulty=difficulty)


# --- blocks ----------------------------------------------------------------------------------------------------------


def basics(chain: Chain, fork: Fork) -> list[bytes]:
    """Transfers to old and new accounts, a creation, one that fails, and one of each transaction type there is."""
    transactions = [
        chain.transaction(ALICE, BOB.address, value=ETHER, gas=21_000),
        chain.transaction(BOB, bytes.fromhex("beef" + "00" * 17 + "01"), value=1, gas=30_000),
        chain.transaction(CAROL, b"", value=3, data=CREATED, gas=200_000),
        # Too little gas for the code's deposit: an empty contract in Frontier, a failure from Homestead on.
        chain.transaction(CAROL, b"", data=deploying(bytes(200)), gas=21_000 + 32_000 + 15_000),
    ]
    if fork >= Fork.BERLIN:
        warm = PROBES[Fork.BERLIN][0]
        access = [(warm.address, [word(7)]), (BOB.address, [])]
        transactions.append(chain.transaction(ALICE, warm.address, kind=1, access=access))
    if fork >= Fork.LONDON:
        transactions.append(chain.transaction(ALICE, PROBES[Fork.LONDON][0].address, kind=2, fee=3 * GWEI, tip=2 * GWEI))
    if fork >= Fork.CANCUN:
        hashes = [KZG_HASH, b"\x01" + bytes(31)]
        transactions.append(chain.transaction(BOB, PROBES[Fork.CANCUN][0].address, kind=3, blobs=hashes))
    if fork >= Fork.PRAGUE:
        transactions += prague_transactions(chain)
    return transactions


def prague_transactions(chain: Chain) -> list[bytes]:
    """A delegation to the writer, one with a wrong nonce, requests of all three kinds, and calldata at its floor price."""
    delegation = AUTHORITY.authorization(1, WRITER.address, chain.nonces.setdefault(AUTHORITY.address, 0))
    chain.nonces[AUTHORITY.address] += 1
    stale = AUTHORITY.authorization(0, FAILING.address, 77)
    deposit = b"".join(
        [
            *(word(offset) for offset in (160, 256, 320, 384, 512)),
            word(48) + b"\x0a" * 48 + bytes(16),
            word(32) + b"\x0b" * 32,
            word(8) + (32 * GWEI).to_bytes(8, "little") + bytes(24),
            word(96) + b"\x0c" * 96,
            word(8) + bytes(8) + bytes(24),
        ]
    )
    return [
        chain.transaction(CAROL, AUTHORITY.address, kind=4, value=5, authorizations=[delegation, stale]),
        chain.transaction(ALICE, WITHDRAWAL_REQUESTS, value=1, data=b"\x0d" * 48 + (7).to_bytes(8, "big")),
        chain.transaction(ALICE, CONSOLIDATION_REQUESTS, value=1, data=b"\x0e" * 48 + b"\x0f" * 48),
        chain.transaction(ALICE, MAINNET_DEPOSIT_CONTRACT, data=deposit),
        chain.transaction(BOB, NEW, data=b"\x01" * 600, gas=60_000),
    ]


def probe_calls(chain: Chain, probes: Sequence[Probe], precompiles: Sequence[Precompile]) -> list[bytes]:
    """A call of each probe and of each precompile."""
    calls = [chain.transaction(ALICE, one.address, one.value, one.data, one.gas) for one in probes]
    for one in precompiles:
        calls.append(chain.transaction(BOB, PRECOMPILE_CALLER.address, data=one.data, gas=400_000))
    return calls


def withdrawals_of(chain: Chain, fork: Fork) -> list[Withdrawal]:
    """Withdrawals to an old account, a new one and the same again, and one of nothing."""
    if fork < Fork.SHANGHAI:
        return []
    first = 4 * chain.headers[-1].number
    targets = [(BOB.address, 1), (bytes.fromhex("5a" * 20), 2), (bytes.fromhex("5a" * 20), 3), (bytes.fromhex("5b" * 20), 0)]
    return [Withdrawal(first + at, 9 + at, address, amount) for at, (address, amount) in enumerate(targets)]


def sibling(chain: Chain, header: Header, coinbase: bytes, seconds: int = SECONDS + 1) -> Header:
    """A block beside one of the chain, as an ommer: only its header counts."""
    parent = next(one for one in chain.headers if one.hash == header.parent_hash)
    return replace(chain.template(parent=parent, seconds=seconds).header, coinbase=coinbase)


def fill_blobs(chain: Chain, fork: Fork) -> list[bytes]:
    """Blob transactions up to the block's maximum."""
    if fork < Fork.CANCUN:
        return []
    left, transactions = BLOB_SCHEDULES[fork].max, []
    while left:
        count = min(left, 6)
        transactions.append(chain.transaction(CAROL, NEW, kind=3, blobs=[KZG_HASH] * count, gas=21_000))
        left -= count
    return transactions


def valid_test(fork: Fork) -> dict:
    """The fork's valid chain."""
    same = fork in SAME_EVM
    used = [PROBES[introduced][0] for introduced in (Fork.BERLIN, Fork.LONDON, Fork.CANCUN)]
    chain = chain_of(fork, used if same else [*up_to(PROBES, fork), *next_of(PROBES, fork)])
    chain.add(basics(chain, fork), comment="transfers, creations, every transaction type")
    own = PROBES.get(fork, []), PRECOMPILES.get(fork, [])
    if any(own):
        chain.add(probe_calls(chain, *own), comment=f"what {fork.label} introduces")
    if fork > Fork.FRONTIER and not same:
        earlier = Fork(fork - 1)
        probes, precompiles = up_to(PROBES, earlier), up_to(PRECOMPILES, earlier)
        chain.add(
            probe_calls(chain, probes, precompiles), withdrawals=withdrawals_of(chain, fork), comment="all earlier probes"
        )
    ommers = []
    if fork < Fork.PARIS:
        ommers = [sibling(chain, header, ALICE.address) for header in chain.headers[-1:0:-1][:2]]
    later = [] if same else probe_calls(chain, next_of(PROBES, fork), next_of(PRECOMPILES, fork))
    chain.add(
        later + fill_blobs(chain, fork),
        ommers,
        seconds=30,
        gas_limit=chain.headers[-1].gas_limit + 1000,
        extra_data=b"blockproof",
        comment="what the next fork introduces, too early; two ommers before Paris; all blobs from Cancun",
    )
    chain.add(seconds=1000, comment="empty, long after")
    return chain.test(f"valid blocks of {fork.label}")


Change = Callable[[Chain, Fork, Block], Block]


def header_change(**fields: Callable[[Header], object]) -> Change:
    """Changes header fields after sealing."""

    def change(chain: Chain, fork: Fork, block: Block) -> Block:
        del chain, fork
        header = block.header
        return replace(block, header=replace(header, **{name: value(header) for name, value in fields.items()}))

    return change


def _flipped(value: bytes) -> bytes:
    return value[:-1] + bytes([value[-1] ^ 1])


@dataclass(frozen=True)
class Rule:
    """A rule, EEST's name for its breach, the forks from which and before which it is there, and how it is broken."""

    breach: str
    change: Change
    since: Fork = Fork.FRONTIER
    before: Fork | None = None
    comment: str = ""


def with_transaction(make: Callable[[Chain], bytes]) -> Change:
    """Appends a transaction that may not be in the block; the header stays the one without it, but for its root."""

    def change(chain: Chain, fork: Fork, block: Block) -> Block:
        del fork
        transactions = [*block.transactions, make(chain)]
        refused = chain.template(transactions, block.ommers, block.withdrawals or ())
        sealed = {name: getattr(block.header, name) for name in ("state_root", "receipts_root", "bloom", "gas_used")}
        if block.header.requests_hash is not None:
            sealed["requests_hash"] = block.header.requests_hash
        return replace(refused, header=replace(refused.header, **sealed))

    return change


def with_ommers(make: Callable[[Chain], Sequence[Header]]) -> Change:
    """A block with these ommers, sealed as if they were allowed, rewards included."""

    def change(chain: Chain, fork: Fork, block: Block) -> Block:
        ommers = tuple(make(chain))
        changed = replace(block, ommers=ommers, header=replace(block.header, ommers_hash=ommers_hash(ommers)))
        return chain.seal(changed, any_ommers=True) if fork < Fork.PARIS else changed

    return change


def with_withdrawal(chain: Chain, fork: Fork, block: Block) -> Block:
    """One more withdrawal than its root says."""
    del chain, fork
    return replace(block, withdrawals=(*block.withdrawals, Withdrawal(99, 1, BOB.address, 1)))


def unsigned(chain: Chain, change: Callable[[list], None], to: bytes = NEW) -> bytes:
    """A legacy transaction with changed fields: [.., v, r, s]."""
    fields = rlp.decode(chain.transaction(BOB, to, value=1, gas=30_000))
    change(fields)
    return rlp.encode(fields)


def _high_s(fields: list) -> None:
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    fields[6] = int_to_bytes(int.from_bytes(fields[6], "big") + (1 if int.from_bytes(fields[6], "big") % 2 else -1))
    fields[8] = int_to_bytes(order - int.from_bytes(fields[8], "big"))


def _no_r(fields: list) -> None:
    fields[7] = b""


def _plain_transfer(**keywords) -> Callable[[Chain], bytes]:
    return lambda chain: chain.transaction(BOB, NEW, **({"value": 1, "gas": 30_000} | keywords))


def _blob(count: int | None = None, version: int = 1, **keywords) -> Change:
    def change(chain: Chain, fork: Fork, block: Block) -> Block:
        blobs = count if count is not None else BLOB_SCHEDULES[fork].max + 1
        hashes = [bytes([version]) + bytes(31)] * blobs
        broken = with_transaction(lambda c: c.transaction(BOB, NEW, kind=3, blobs=hashes, gas=30_000, **keywords))
        return broken(chain, fork, block)

    return change


def _bomb(chain: Chain, fork: Fork, block: Block) -> Block:
    """The difficulty under the fork before."""
    earlier = chain_of(Fork(fork - 1) if fork is not Fork.ARROW_GLACIER else Fork.LONDON)
    earlier.headers = chain.headers
    return replace(block, header=replace(block.header, difficulty=earlier.template().header.difficulty))


S, T = Fork, "TransactionException."
B = "BlockException."
RULES = [
    Rule(B + "INVALID_STATE_ROOT", header_change(state_root=lambda h: _flipped(h.state_root))),
    Rule(B + "INVALID_GAS_USED", header_change(gas_used=lambda h: h.gas_used + 1)),
    Rule(B + "INVALID_RECEIPTS_ROOT", header_change(receipts_root=lambda h: _flipped(h.receipts_root))),
    Rule(B + "INVALID_LOG_BLOOM", header_change(bloom=lambda h: _flipped(h.bloom))),
    Rule(B + "INVALID_TRANSACTIONS_ROOT", header_change(transactions_root=lambda h: _flipped(h.transactions_root))),
    Rule(B + "INVALID_GASLIMIT", header_change(gas_limit=lambda h: h.gas_limit + h.gas_limit // 1024), comment="up"),
    Rule(B + "INVALID_GASLIMIT", header_change(gas_limit=lambda h: h.gas_limit - h.gas_limit // 1024), comment="down"),
    Rule(B + "GAS_USED_OVERFLOW", header_change(gas_used=lambda h: h.gas_limit + 1)),
    Rule(B + "INVALID_BLOCK_TIMESTAMP_OLDER_THAN_PARENT", header_change(timestamp=lambda h: h.timestamp - SECONDS)),
    Rule(B + "INVALID_BLOCK_NUMBER", header_change(number=lambda h: h.number + 1)),
    Rule(B + "EXTRA_DATA_TOO_BIG", header_change(extra_data=lambda _: bytes(33))),
    Rule(B + "INVALID_DIFFICULTY", header_change(difficulty=lambda h: h.difficulty + 1), before=S.PARIS),
    Rule(B + "INVALID_DIFFICULTY", _bomb, since=S.MUIR_GLACIER, before=S.BERLIN, comment="bomb"),
    Rule(B + "INVALID_DIFFICULTY", _bomb, since=S.ARROW_GLACIER, before=S.PARIS, comment="bomb"),
    Rule(B + "IMPORT_IMPOSSIBLE_DIFFICULTY_OVER_PARIS", header_change(difficulty=lambda _: 1), since=S.PARIS),
    Rule(B + "INVALID_NONCE", header_change(nonce=lambda _: b"\0" * 7 + b"\1"), since=S.PARIS),
    Rule(B + "INVALID_BASEFEE_PER_GAS", header_change(base_fee_per_gas=lambda h: h.base_fee_per_gas + 1), since=S.LONDON),
    Rule(
        B + "INCORRECT_BLOCK_FORMAT",
        header_change(base_fee_per_gas=lambda _: GWEI),
        before=S.LONDON,
        comment="a base fee too early",
    ),
    Rule(
        B + "INVALID_WITHDRAWALS_ROOT",
        header_change(withdrawals_root=lambda h: _flipped(h.withdrawals_root)),
        since=S.SHANGHAI,
    ),
    Rule(B + "INVALID_WITHDRAWALS_ROOT", with_withdrawal, since=S.SHANGHAI, comment="one withdrawal too many"),
    Rule(
        B + "INCORRECT_EXCESS_BLOB_GAS",
        header_change(excess_blob_gas=lambda h: h.excess_blob_gas + 1),
        since=S.CANCUN,
    ),
    Rule(
        B + "INCORRECT_BLOB_GAS_USED", header_change(blob_gas_used=lambda h: h.blob_gas_used + (1 << 17)), since=S.CANCUN
    ),
    Rule(B + "INVALID_REQUESTS", header_change(requests_hash=lambda h: _flipped(h.requests_hash)), since=S.PRAGUE),
    Rule(
        B + "INVALID_REQUESTS",
        header_change(requests_hash=lambda _: requests_hash([b"\x01" + bytes(76)])),
        since=S.PRAGUE,
        comment="a request that nobody made",
    ),
    # Ommers.
    Rule(
        B + "INVALID_UNCLES_HASH",
        header_change(ommers_hash=lambda h: _flipped(h.ommers_hash)),
        comment="ommers hash of other ommers",
    ),
    Rule(
        B + "UNCLE_IS_ANCESTOR",
        with_ommers(lambda chain: [chain.headers[-2]]),
        before=S.PARIS,
    ),
    Rule(
        B + "UNCLE_IN_CHAIN|DUPLICATE",
        with_ommers(lambda chain: [sibling(chain, chain.headers[-1], NEW)] * 2),
        before=S.PARIS,
        comment="twice the same",
    ),
    Rule(
        B + "TOO_MANY_UNCLES",
        with_ommers(lambda chain: [sibling(chain, chain.headers[-1], bytes([at] * 20)) for at in range(1, 4)]),
        before=S.PARIS,
    ),
    Rule(
        B + "INVALID_UNCLE_DIFFICULTY",
        with_ommers(lambda c: [replace(s := sibling(c, c.headers[-1], NEW), difficulty=s.difficulty + 1)]),
        before=S.PARIS,
    ),
    Rule(
        B + "UNCLE_PARENT_INCORRECT",
        with_ommers(lambda chain: [replace(chain.template().header, coinbase=NEW)]),
        before=S.PARIS,
        comment="a brother of this block",
    ),
    Rule(
        B + "IMPORT_IMPOSSIBLE_UNCLES_OVER_PARIS",
        with_ommers(lambda chain: [chain.headers[-1]]),
        since=S.PARIS,
    ),
    # Transactions.
    Rule(T + "NONCE_MISMATCH_TOO_LOW", with_transaction(_plain_transfer(nonce=0))),
    Rule(T + "NONCE_MISMATCH_TOO_HIGH", with_transaction(_plain_transfer(nonce=1000))),
    Rule(
        T + "INSUFFICIENT_ACCOUNT_FUNDS",
        with_transaction(lambda chain: chain.transaction(POOR, NEW, value=1, gas=21_000)),
    ),
    Rule(T + "INTRINSIC_GAS_TOO_LOW", with_transaction(_plain_transfer(gas=20_999))),
    Rule(
        T + "INTRINSIC_GAS_TOO_LOW",
        with_transaction(lambda chain: chain.transaction(BOB, b"", data=b"\0", gas=53_003)),
        since=S.HOMESTEAD,
        comment="creation",
    ),
    Rule(T + "GAS_ALLOWANCE_EXCEEDED", with_transaction(_plain_transfer(gas=30_000_001)), before=S.OSAKA),
    Rule(T + "GAS_LIMIT_EXCEEDS_MAXIMUM", with_transaction(_plain_transfer(gas=(1 << 24) + 1)), since=S.OSAKA),
    Rule(T + "INVALID_SIGNATURE_VRS", with_transaction(lambda chain: unsigned(chain, _no_r)), comment="r is 0"),
    Rule(
        T + "INVALID_SIGNATURE_VRS",
        with_transaction(lambda chain: unsigned(chain, _high_s)),
        since=S.HOMESTEAD,
        comment="high s",
    ),
    Rule(T + "INVALID_CHAINID", with_transaction(_plain_transfer(chain_id=2)), since=S.SPURIOUS_DRAGON),
    Rule(
        T + "SENDER_NOT_EOA",
        with_transaction(lambda chain: chain.transaction(CODE_OWNER, NEW, value=1, gas=30_000)),
    ),
    Rule(T + "TYPE_1_TX_PRE_FORK", with_transaction(_plain_transfer(kind=1)), before=S.BERLIN),
    Rule(T + "TYPE_2_TX_PRE_FORK", with_transaction(_plain_transfer(kind=2)), before=S.LONDON),
    Rule(T + "TYPE_4_TX_PRE_FORK", with_transaction(_plain_transfer(kind=4)), before=S.PRAGUE),
    Rule(T + "INSUFFICIENT_MAX_FEE_PER_GAS", with_transaction(_plain_transfer(kind=2, fee=10, tip=1)), since=S.LONDON),
    Rule(
        T + "PRIORITY_GREATER_THAN_MAX_FEE_PER_GAS",
        with_transaction(_plain_transfer(kind=2, fee=10 * GWEI, tip=11 * GWEI)),
        since=S.LONDON,
    ),
    Rule(
        T + "INTRINSIC_GAS_BELOW_FLOOR_GAS_COST",
        with_transaction(_plain_transfer(data=b"\x01" * 100, gas=21_000 + 1600)),
        since=S.PRAGUE,
    ),
    Rule(T + "TYPE_3_TX_ZERO_BLOBS", _blob(0), since=S.CANCUN),
    Rule(T + "TYPE_3_TX_BLOB_COUNT_EXCEEDED|TYPE_3_TX_MAX_BLOB_GAS_ALLOWANCE_EXCEEDED", _blob(), since=S.CANCUN),
    Rule(T + "TYPE_3_TX_INVALID_BLOB_VERSIONED_HASH", _blob(1, version=2), since=S.CANCUN),
    Rule(T + "INSUFFICIENT_MAX_FEE_PER_BLOB_GAS", _blob(1, blob_fee=0), since=S.CANCUN),
    Rule(T + "TYPE_4_EMPTY_AUTHORIZATION_LIST", with_transaction(_plain_transfer(kind=4)), since=S.PRAGUE),
]


WHOLE_LIST = {Fork.FRONTIER, Fork.BYZANTIUM, Fork.LONDON, Fork.CANCUN, Fork.OSAKA}
"""Forks whose suites break every rule; the others keep the repository small."""

SHORT_LIST = ("STATE_ROOT", "_DIFFICULTY", "EXCESS_BLOB", "BLOB_COUNT", "UNCLE_IS_ANCESTOR", "MISMATCH_TOO_LOW")
"""Parts of the names of the rules that every fork breaks."""


def rules_of(fork: Fork) -> list[Rule]:
    """The rules that a fork's suite breaks: all, or the short list and what the fork introduces."""
    active = [rule for rule in RULES if rule.since <= fork and (rule.before is None or fork < rule.before)]
    if fork in WHOLE_LIST:
        return active
    new = [rule for rule in active if rule.since == fork > Fork.FRONTIER or rule.before == fork + 1]
    return new + [rule for rule in active if rule not in new and any(part in rule.breach for part in SHORT_LIST)]


def invalid_test(fork: Fork) -> dict:
    """Valid blocks of the fork, and after the third every breach of every rule there is."""
    chain = chain_of(fork)
    for _ in range(2):
        chain.add([chain.transaction(ALICE, LOGGER.address, gas=60_000), chain.transaction(BOB, NEW, value=1)])
    nonces = dict(chain.nonces)
    for rule in rules_of(fork):
        chain.nonces = dict(nonces)
        block = chain.seal(chain.template())
        chain.refuse(_named(rule.breach), rule.change(chain, fork, block), rule.comment)
    chain.nonces = nonces
    chain.add([chain.transaction(ALICE, LOGGER.address)], comment="none of the refused blocks has changed anything")
    return chain.test(f"rules of {fork.label}, each broken once")


def _named(breach: str) -> str:
    """EEST's form of alternatives: each with its class."""
    kind = breach.split(".")[0]
    return "|".join(name if "." in name else f"{kind}.{name}" for name in breach.split("|"))


# --- transitions -----------------------------------------------------------------------------------------------------


TRANSITIONS: dict[str, tuple[Fork, Fork]] = {
    f"{NETWORK_OF[before]}To{NETWORK_OF[after]}AtTime15k": (before, after)
    for before, after in (
        (Fork.FRONTIER, Fork.HOMESTEAD),
        (Fork.HOMESTEAD, Fork.TANGERINE_WHISTLE),
        (Fork.SPURIOUS_DRAGON, Fork.BYZANTIUM),
        (Fork.BERLIN, Fork.LONDON),
        (Fork.GRAY_GLACIER, Fork.PARIS),
        (Fork.PARIS, Fork.SHANGHAI),
        (Fork.SHANGHAI, Fork.CANCUN),
        (Fork.CANCUN, Fork.PRAGUE),
        (Fork.PRAGUE, Fork.OSAKA),
        (Fork.OSAKA, Fork.BPO1),
        (Fork.BPO1, Fork.BPO2),
        (Fork.BPO2, Fork.BPO3),
        (Fork.BPO3, Fork.BPO4),
    )
}
"""The network of a chain that changes forks at timestamp 15,000, also where mainnet did so at a block number."""


def chain_across(name: str, probes: Sequence[Probe], blocks_before: int) -> Chain:
    """A chain whose block blocks_before + 1 is the first of the later fork."""
    before, after = TRANSITIONS[name]
    return Chain(
        name,
        lambda _, timestamp: after if timestamp >= TRANSITION_TIME else before,
        genesis_accounts(after, probes),
        timestamp=TRANSITION_TIME - (blocks_before + 1) * SECONDS,
    )


def transition_test(name: str) -> dict:
    """Two blocks before and two after the fork, which call what the later fork introduces."""
    before, after = TRANSITIONS[name]
    probes, precompiles = PROBES.get(after, []), PRECOMPILES.get(after, [])
    # Some probes call an earlier one.
    chain = chain_across(name, [SELF_DESTRUCT, REVERTING, *probes], blocks_before=2)
    for _ in range(4):
        fork = chain.next_fork()
        transactions = [
            chain.transaction(ALICE, LOGGER.address),
            *probe_calls(chain, probes, precompiles),
            *fill_blobs(chain, fork),
        ]
        head = chain.headers[-1]
        # An ommer follows the rules of its block's fork: none is taken over from the fork before.
        same_rules = len(chain.headers) > 1 and chain.fork_at(head.number, head.timestamp) is fork
        ommers = [sibling(chain, head, NEW)] if fork < Fork.PARIS and same_rules else []
        chain.add(transactions, ommers, withdrawals_of(chain, fork), comment=fork.label)
    return chain.test(f"{before.label} to {after.label}")


def first_london_test() -> dict:
    """London's first block: base fee and gas limit follow from a parent that has no base fee."""
    chain = chain_across("BerlinToLondonAtTime15k", (), blocks_before=0)
    valid = chain.seal(chain.template([chain.transaction(ALICE, LOGGER.address)]))
    for breach, change in (
        ("INVALID_BASEFEE_PER_GAS", {"base_fee_per_gas": GWEI + 1}),
        ("INVALID_GASLIMIT", {"gas_limit": chain.headers[-1].gas_limit}),
    ):
        chain.refuse(B + breach, replace(valid, header=replace(valid.header, **change)))
    chain.nonces[ALICE.address] -= 1
    chain.add([chain.transaction(ALICE, LOGGER.address)], comment="first block of London")
    return chain.test("first block of London")


def dao_test() -> dict:
    """Mainnet's DAO fork: the irregular state change at block 1,920,000, and the extra data of its first blocks."""
    dao = {bytes(address): GenesisAccount(balance=100 + at, nonce=1) for at, address in enumerate(DAO_ACCOUNTS)}
    dao[bytes(DAO_RECOVERY)] = GenesisAccount(nonce=1, code=b"\0")
    senders = {ALICE.address: GenesisAccount(balance=1000 * ETHER), LOGGER.address: LOGGER.account()}
    chain = Chain("mainnet", MAINNET.fork_at, senders | dao, number=1_919_998, difficulty=1 << 45, bound=True)
    chain.add([chain.transaction(ALICE, LOGGER.address)], comment="the last block before")
    nonces = dict(chain.nonces)
    fork = chain.seal(chain.template([chain.transaction(ALICE, LOGGER.address)], extra_data=b"dao-hard-fork"))
    chain.refuse(B + "INVALID_DAO_EXTRA_DATA", replace(fork, header=replace(fork.header, extra_data=b"")))
    chain.refuse(B + "INVALID_STATE_ROOT", replace(fork, header=replace(fork.header, state_root=chain.state.root)))
    chain.nonces = nonces
    for at in range(2):
        comment = "the irregular state change" if at == 0 else "the next"
        chain.add([chain.transaction(ALICE, LOGGER.address)], extra_data=b"dao-hard-fork", comment=comment)
    late = chain.seal(chain.template(extra_data=b"dao-hard-fork"))
    chain.refuse(B + "INVALID_DAO_EXTRA_DATA", replace(late, header=replace(late.header, extra_data=b"dao")))
    return chain.test("DAO fork of mainnet, under its schedule")


# --- files -----------------------------------------------------------------------------------------------------------


def suites() -> dict[str, Callable[[], dict[str, dict]]]:
    """By network: what makes the tests of its file, by name."""
    made: dict[str, Callable[[], dict[str, dict]]] = {}
    for fork, network in NETWORK_OF.items():
        made[network] = lambda fork=fork: {"valid": valid_test(fork), "invalid": invalid_test(fork)}
    for name in TRANSITIONS:
        made[name] = lambda name=name: {"transition": transition_test(name)}
    made["BerlinToLondonAtTime15k"] = lambda: {
        "transition": transition_test("BerlinToLondonAtTime15k"),
        "first_block": first_london_test(),
    }
    made["mainnet"] = lambda: {"dao_fork": dao_test()}
    return made


def render(network: str) -> bytes:
    """The contents of a network's file."""
    tests = {}
    for name, test in suites()[network]().items():
        test["_info"]["command"] = f"{COMMAND} {network}"
        tests[f"fixtures/{network}.json::{name}"] = test
    return (json.dumps(tests, separators=(",", ":")) + "\n").encode()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1], allow_abbrev=False)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="default: all")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    parser.add_argument("-o", "--output", type=Path, default=FOLDER, help="default: fixtures/")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.networks) - set(suites()))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(suites())}")
    different = 0
    for network in arguments.networks or suites():
        path = arguments.output / f"{network}.json"
        contents = render(network)
        if not arguments.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents)
            print(f"{path}  {len(contents):,} bytes")
        elif not path.is_file() or path.read_bytes() != contents:
            print(f"{path} differs: run {COMMAND} {network}")
            different += 1
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
