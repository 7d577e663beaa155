"""
A chain in the making: blocks sealed from what EELS executes, written as an EEST blockchain test.

Chain.add seals a valid block, Chain.refuse records one that must be refused. Both execute with EELS; nothing of a
header is typed by hand. Everything is fixed: the same calls give the same bytes.

Source of the form: EEST's blockchain tests (https://eest.ethereum.org), "blockchain_tests" format.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import rlp
from eth_hash.auto import keccak
from eth_keys import keys
from ethereum.exceptions import InvalidBlock
from ethereum.forks.bpo2.vm.instructions import Ops
from ethereum_types.numeric import U256, Uint

from witness.block import Block, Header, Withdrawal, ommers_hash, requests_hash, versioned_hashes
from witness.eels import CodeStore, EelsFork, LazyState, load_fork
from witness.errors import WitnessError
from witness.fixtures import NETWORKS
from witness.record import GenesisAccount, execute_on, state_after, state_from_accounts
from witness.schema import REVISION_BOUND, REVISION_UNBOUND, Fork
from witness.trie import EMPTY_TRIE_ROOT, NodeStore, WitnessState, int_to_bytes, ordered_trie_root
from witness.validate import DAO_FORK_BLOCK, first_london_block

CHAIN_ID = 1
GWEI = 10**9
ETHER = 10**18
SECONDS = 12
GAS_LIMIT = 30_000_000
BLOB_GAS = 1 << 17
COINBASE = bytes.fromhex("c0ffee0000000000000000000000000000000002")

NETWORK_OF = {fork: network for network, fork in NETWORKS.items()}


class GeneratorError(RuntimeError):
    """The suite contradicts itself: a valid block is refused, or an invalid one accepted."""


def assemble(text: str) -> bytes:
    """Bytecode: mnemonics of EELS, and numbers, decimal or 0x.., as the shortest PUSH of at least one byte."""
    code = bytearray()
    for word in text.split():
        if word[0].isdigit():
            value = int_to_bytes(int(word, 0)) or b"\0"
            code += bytes([0x5F + len(value)]) + value
        else:
            code.append(Ops[word].value)
    return bytes(code)


def deploying(code: bytes) -> bytes:
    """Initialisation code that returns `code`, at most 255 bytes."""
    return assemble(f"{len(code)} DUP1 11 0 CODECOPY 0 RETURN") + code


def word(value: int) -> bytes:
    """32 bytes, big endian."""
    return value.to_bytes(32, "big")


class Sender:
    """An account that signs. The key is derived from a name and public: never use it elsewhere."""

    def __init__(self, name: str) -> None:
        self.key = keys.PrivateKey(keccak(b"blockproof fixture " + name.encode()))
        self.address = self.key.public_key.to_canonical_address()

    def _signature(self, payload: bytes) -> tuple[int, int, int]:
        signature = self.key.sign_msg_hash(keccak(payload))
        return signature.v, signature.r, signature.s

    def legacy(self, fields: Sequence[object], chain_id: int | None) -> bytes:
        """fields: nonce, gas price, gas, to, value, data. chain_id: None before EIP-155."""
        plain = _plain(fields)
        parity, r, s = self._signature(rlp.encode([*plain, *_plain([chain_id, 0, 0])] if chain_id else plain))
        return rlp.encode([*plain, *_plain([parity + (35 + 2 * chain_id if chain_id else 27), r, s])])

    def typed(self, kind: int, fields: Sequence[object]) -> bytes:
        """An EIP-2718 envelope; fields: all up to the signature."""
        plain = _plain(fields)
        signature = self._signature(bytes([kind]) + rlp.encode(plain))
        return bytes([kind]) + rlp.encode([*plain, *_plain(signature)])

    def authorization(self, chain_id: int, address: bytes, nonce: int) -> list[object]:
        """An EIP-7702 authorization tuple."""
        signature = self._signature(b"\x05" + rlp.encode(_plain([chain_id, address, nonce])))
        return [chain_id, address, nonce, *signature]


def _plain(fields: Sequence[object]) -> list[object]:
    """Fields as RLP takes them: numbers as shortest bytes, lists element by element."""
    converted: list[object] = []
    for field in fields:
        if isinstance(field, int):
            converted.append(int_to_bytes(field))
        else:
            converted.append(_plain(field) if isinstance(field, (list, tuple)) else field)
    return converted


class Chain:
    """
    A chain under a network's rules, from its genesis block on.

    network: name in the test; fork_at: fork of a block number and timestamp; accounts: genesis state;
    number, timestamp, difficulty: of the genesis block. bound: the chain's own schedule chooses the fork, and the DAO
    fork's irregular state change is made.
    """

    def __init__(
        self,
        network: str,
        fork_at: Callable[[int, int], Fork],
        accounts: Mapping[bytes, GenesisAccount],
        number: int = 0,
        timestamp: int = 0,
        difficulty: int = 0x20000,
        bound: bool = False,
        genesis_fields: Mapping[str, int] | None = None,
    ) -> None:
        self.network = network
        self.fork_at = fork_at
        self.revision = REVISION_BOUND if bound else REVISION_UNBOUND
        self.accounts = dict(accounts)
        self.state = state_from_accounts(accounts)
        self.nonces = {address: account.nonce for address, account in accounts.items()}
        genesis = Header(
            parent_hash=bytes(32),
            ommers_hash=ommers_hash(()),
            coinbase=bytes(20),
            state_root=self.state.root,
            transactions_root=EMPTY_TRIE_ROOT,
            receipts_root=EMPTY_TRIE_ROOT,
            bloom=bytes(256),
            difficulty=difficulty,
            number=number,
            gas_limit=GAS_LIMIT,
            gas_used=0,
            timestamp=timestamp,
            extra_data=b"\0",
            prev_randao=bytes(32),
            nonce=bytes(8),
        )
        fork = fork_at(number, timestamp)
        if fork >= Fork.LONDON:
            genesis = replace(genesis, base_fee_per_gas=GWEI)
        if fork >= Fork.PARIS:
            genesis = replace(genesis, difficulty=0)
        if fork >= Fork.SHANGHAI:
            genesis = replace(genesis, withdrawals_root=EMPTY_TRIE_ROOT)
        if fork >= Fork.CANCUN:
            genesis = replace(genesis, blob_gas_used=0, excess_blob_gas=0, parent_beacon_block_root=bytes(32))
        if fork >= Fork.PRAGUE:
            genesis = replace(genesis, requests_hash=requests_hash(()))
        self.genesis = Block(
            replace(genesis, **(genesis_fields or {})), (), (), () if fork >= Fork.SHANGHAI else None
        )
        self.headers = [self.genesis.header]
        self.blocks: list[dict] = []

    # Transactions.

    def transaction(
        self,
        sender: Sender,
        to: bytes,
        value: int = 0,
        data: bytes = b"",
        gas: int = 500_000,
        kind: int = 0,
        fee: int = 10 * GWEI,
        tip: int = GWEI,
        access: Sequence[tuple[bytes, Sequence[bytes]]] = (),
        blobs: Sequence[bytes] = (),
        blob_fee: int = GWEI,
        authorizations: Sequence[list[object]] = (),
        nonce: int | None = None,
        chain_id: int | None = CHAIN_ID,
    ) -> bytes:
        """A signed transaction; without `nonce` the sender's next. kind: 0 legacy .. 4 set code; to: b"" creates."""
        if nonce is None:
            nonce = self.nonces.setdefault(sender.address, 0)
            self.nonces[sender.address] += 1
        addresses = [[address, list(slots)] for address, slots in access]
        call = [gas, to, value, data]
        if kind == 0:
            early = self.next_fork() < Fork.SPURIOUS_DRAGON
            return sender.legacy([nonce, fee, *call], None if early else chain_id)
        if kind == 1:
            return sender.typed(1, [chain_id, nonce, fee, *call, addresses])
        fields = [chain_id, nonce, tip, fee, *call, addresses]
        if kind == 3:
            fields += [blob_fee, list(blobs)]
        if kind == 4:
            fields.append(list(authorizations))
        return sender.typed(kind, fields)

    def next_fork(self) -> Fork:
        """The fork of the next block at the usual pace."""
        return self.fork_at(self.headers[-1].number + 1, self.headers[-1].timestamp + SECONDS)

    # Blocks.

    def template(
        self,
        transactions: Sequence[bytes] = (),
        ommers: Sequence[Header] = (),
        withdrawals: Sequence[Withdrawal] = (),
        seconds: int = SECONDS,
        parent: Header | None = None,
        **fields: object,
    ) -> Block:
        """A block on `parent`, else the head, with everything that follows from its parents and contents alone."""
        parent = self.headers[-1] if parent is None else parent
        number, timestamp = parent.number + 1, parent.timestamp + seconds
        fork = self.fork_at(number, timestamp)
        eels = load_fork(fork)
        eels_parent = eels.header(parent.encode())
        header = Header(
            parent_hash=parent.hash,
            ommers_hash=ommers_hash(ommers),
            coinbase=COINBASE,
            state_root=bytes(32),
            transactions_root=_transactions_root(transactions),
            receipts_root=bytes(32),
            bloom=bytes(256),
            difficulty=0 if fork >= Fork.PARIS else _difficulty(eels, number, timestamp, parent),
            number=number,
            gas_limit=parent.gas_limit,
            gas_used=0,
            timestamp=timestamp,
            extra_data=b"",
            prev_randao=keccak(b"blockproof fixture randao %d" % number) if fork >= Fork.PARIS else bytes(32),
            nonce=bytes(8),
        )
        if fork >= Fork.LONDON and parent.base_fee_per_gas is None:
            header = replace(header, base_fee_per_gas=GWEI, gas_limit=2 * parent.gas_limit)
        elif fork >= Fork.LONDON:
            fee = eels.fork.calculate_base_fee_per_gas(
                Uint(header.gas_limit), *(Uint(n) for n in (parent.gas_limit, parent.gas_used, parent.base_fee_per_gas))
            )
            header = replace(header, base_fee_per_gas=int(fee))
        if fork >= Fork.SHANGHAI:
            root = ordered_trie_root([withdrawal.encode() for withdrawal in withdrawals])
            header = replace(header, withdrawals_root=root)
        if fork >= Fork.CANCUN:
            header = replace(
                header,
                blob_gas_used=BLOB_GAS * len(versioned_hashes(transactions)),
                excess_blob_gas=int(eels.fork.calculate_excess_blob_gas(eels_parent)),
                parent_beacon_block_root=keccak(b"blockproof fixture beacon root %d" % number),
            )
        if fork >= Fork.PRAGUE:
            header = replace(header, requests_hash=requests_hash(()))
        bodies = tuple(withdrawals) if fork >= Fork.SHANGHAI else None
        return Block(replace(header, **fields), tuple(transactions), tuple(ommers), bodies)

    def seal(self, block: Block, any_ommers: bool = False) -> Block:
        """
        The block with everything in its header that its execution on the head yields.

        any_ommers: rewards them without checking them. Raises EELS's refusal where the block's body is not valid.
        """
        header = block.header
        fork = self.fork_at(header.number, header.timestamp)
        eels = load_fork(fork)
        state = self._execute(eels, fork, block, any_ommers)
        output = state.output
        receipts = [bytes(one) if isinstance(one, bytes) else _rlp_of(one) for one in output.receipts_trie._data.values()]
        header = replace(
            header,
            state_root=state.root(),
            receipts_root=ordered_trie_root(receipts),
            bloom=bytes(eels.fork.logs_bloom(output.block_logs)),
            gas_used=int(output.block_gas_used),
        )
        if fork >= Fork.PRAGUE:
            header = replace(header, requests_hash=requests_hash([bytes(request) for request in output.requests]))
        return replace(block, header=header)

    def _execute(self, eels: EelsFork, fork: Fork, block: Block, any_ommers: bool) -> LazyState:
        state = eels.new_state(
            WitnessState(NodeStore(self.state.nodes), self.headers[-1].state_root), CodeStore(self.state.codes)
        )
        chain = eels.chain([header.encode() for header in self.headers[-256:]], state, CHAIN_ID)
        if fork is Fork.LONDON:
            eels.set_fork_block(first_london_block([*self.headers, block.header]))
        if fork is Fork.DAO_FORK:
            bound = self.revision == REVISION_BOUND
            eels.set_fork_block(DAO_FORK_BLOCK if bound else None)
            if bound and block.header.number == DAO_FORK_BLOCK:
                chain = eels.fork.apply_fork(chain)
        check = eels.fork.validate_ommers if any_ommers else None
        if any_ommers:
            eels.fork.validate_ommers = lambda *_: None
        try:
            eels.fork.state_transition(chain, eels.block(block.encode()))
        except InvalidBlock:
            # The template's roots are wrong: EELS says so after it has executed the body.
            if state.output is None:
                raise
        finally:
            if any_ommers:
                eels.fork.validate_ommers = check
        return state

    def add(self, *arguments: object, comment: str = "", **keywords: object) -> Block:
        """Seals the block that `template` makes of the arguments and appends it."""
        block = self.seal(self.template(*arguments, **keywords))
        try:
            executed = self._validated(block)
        except WitnessError as error:
            raise GeneratorError(f"{self.network}: block {block.header.number} is not valid: {error}") from error
        self.state = state_after(self.state, executed)
        self.headers.append(block.header)
        entry = {"rlp": _hex(block.encode()), "blockHeader": _header_json(block.header)}
        self.blocks.append(entry | ({"comment": comment} if comment else {}))
        return block

    def _validated(self, block: Block):
        fork = self.fork_at(block.header.number, block.header.timestamp)
        ancestors = [header.encode() for header in self.headers[-256:]]
        return execute_on(self.state, ancestors, block, CHAIN_ID, fork, self.revision)

    def refuse(self, exception: str, block: Block, comment: str = "") -> None:
        """
        Records a block that must not be accepted on the head.

        exception: EEST's name of the reason, or alternatives with "|". Raises GeneratorError where EELS accepts it.
        """
        with suppress(WitnessError):
            self._validated(block)
            raise GeneratorError(f"{self.network}: {exception} is accepted")
        entry = {"rlp": _hex(block.encode()), "expectException": exception}
        self.blocks.append(entry | ({"comment": comment} if comment else {}))

    def test(self, description: str) -> dict:
        """The chain as an EEST blockchain test."""
        return {
            "_info": {"description": description},
            "network": self.network,
            "genesisBlockHeader": _header_json(self.genesis.header),
            "genesisRLP": _hex(self.genesis.encode()),
            "pre": {_hex(address): _account_json(account) for address, account in sorted(self.accounts.items())},
            "blocks": self.blocks,
            "lastblockhash": _hex(self.headers[-1].hash),
            "postStateHash": _hex(self.headers[-1].state_root),
            "config": {"network": self.network, "chainid": _number(CHAIN_ID)},
            "sealEngine": "NoProof",
        }


def _transactions_root(transactions: Sequence[bytes]) -> bytes:
    return ordered_trie_root(list(transactions))


def _difficulty(eels: EelsFork, number: int, timestamp: int, parent: Header) -> int:
    compute = eels.fork.calculate_block_difficulty
    arguments = [Uint(number), U256(timestamp), U256(parent.timestamp), Uint(parent.difficulty)]
    if len(inspect.signature(compute).parameters) == 5:
        arguments.append(parent.ommers_hash != ommers_hash(()))
    return int(compute(*arguments))


def _rlp_of(receipt: object) -> bytes:
    from ethereum_rlp import rlp as eels_rlp

    return bytes(eels_rlp.encode(receipt))


# JSON.

_HEADER_NAMES = {
    "parent_hash": "parentHash",
    "ommers_hash": "uncleHash",
    "coinbase": "coinbase",
    "state_root": "stateRoot",
    "transactions_root": "transactionsTrie",
    "receipts_root": "receiptTrie",
    "bloom": "bloom",
    "difficulty": "difficulty",
    "number": "number",
    "gas_limit": "gasLimit",
    "gas_used": "gasUsed",
    "timestamp": "timestamp",
    "extra_data": "extraData",
    "prev_randao": "mixHash",
    "nonce": "nonce",
    "base_fee_per_gas": "baseFeePerGas",
    "withdrawals_root": "withdrawalsRoot",
    "blob_gas_used": "blobGasUsed",
    "excess_blob_gas": "excessBlobGas",
    "parent_beacon_block_root": "parentBeaconBlockRoot",
    "requests_hash": "requestsHash",
}


def _header_json(header: Header) -> dict[str, str]:
    values = {name: getattr(header, field) for field, name in _HEADER_NAMES.items()}
    written = {
        name: _number(value) if isinstance(value, int) else _hex(value)
        for name, value in values.items()
        if value is not None
    }
    return written | {"hash": _hex(header.hash)}


def _account_json(account: GenesisAccount) -> dict:
    return {
        "nonce": _number(account.nonce),
        "balance": _number(account.balance),
        "code": _hex(account.code),
        "storage": {_number(int.from_bytes(slot, "big")): _number(v) for slot, v in sorted(account.storage.items())},
    }


def _hex(value: bytes) -> str:
    return "0x" + bytes(value).hex()


def _number(value: int) -> str:
    return "0x" + (int_to_bytes(value) or b"\0").hex()
