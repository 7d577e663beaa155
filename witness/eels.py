"""
EELS, the Ethereum execution specs, run on a state that is read from a witness.

EELS keeps its state in dictionaries of a whole chain. Here a private instance of each fork's modules is loaded, whose
state functions are replaced by ones that read accounts and slots from a WitnessState when they are first asked for,
undo by a journal instead of copying snapshots, and compute roots on the sparse trie. The public modules stay untouched.

Changed in the private instance, and nothing else:
- state: the functions in _STATE_FUNCTIONS, and nothing about what they mean.
- code: Code objects, resolved when read. A contract whose code nobody reads needs no code in the witness, nor does one
  whose code an earlier transaction of the block has created elsewhere. A call of a delegated account reads the code that
  it delegates to, whether or not the call comes about (EIP-7702; execution-specs' witness tests).
- jump destinations of a code are computed once.
- proof of work is not checked (before the Merge), as docs/specs/stateless-input.md says.
- BLOCKHASH beyond the given headers is MissingHeader, not an IndexError.
- a Prague block whose parent is a Cancun block takes the parent's blob gas (EELS 2.20.0 takes 0 there).
- London's first block is told by its parent's missing base fee, so that it may be any number.
- deposit contract by chain; BPO3 and BPO4 are BPO2 with another blob schedule.

Source: ethereum-execution 2.20.0.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from types import ModuleType

from eth_hash.auto import keccak
from ethereum.crypto.hash import keccak256
from ethereum.fork_criteria import ByBlockNumber
from ethereum_rlp import rlp as eels_rlp
from ethereum_types.numeric import U64, U256, Uint

from witness.chains import BLOB_SCHEDULES, MAINNET_DEPOSIT_CONTRACT
from witness.errors import MissingCode, MissingHeader
from witness.schema import Fork
from witness.trie import EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, AccountRecord, WitnessState

LOCK = threading.RLock()
"""Held while a private fork runs: London's fork block number is set per block."""


class Code:
    """
    The bytecode of an account in the witness, found by hash when it is first read.

    Looks like bytes to EELS. Never empty: accounts without code have b"".
    """

    __slots__ = ("_address", "_bytes", "_codes", "code_hash")

    def __init__(self, code_hash: bytes, address: bytes, codes: CodeStore) -> None:
        self.code_hash = code_hash
        self._address = address
        self._codes = codes
        self._bytes: bytes | None = None

    def resolve(self) -> bytes:
        """The bytecode. Raises MissingCode."""
        if self._bytes is None:
            self._bytes = self._codes.read(self.code_hash, self._address)
        return self._bytes

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self.resolve())

    def __getitem__(self, index):
        return self.resolve()[index]

    def __iter__(self):
        return iter(self.resolve())

    def __bytes__(self) -> bytes:
        return self.resolve()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Code):
            return self.code_hash == other.code_hash
        if isinstance(other, (bytes, bytearray)):
            return len(other) > 0 and keccak(bytes(other)) == self.code_hash
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self.code_hash)


class CodeStore:
    """
    Bytecodes by the hash computed here.

    touched: hashes that were read, in order of first reading; created: codes that earlier transactions of the block
    have created, which no witness needs.
    """

    def __init__(self, codes: Sequence[bytes]) -> None:
        self.by_hash = {keccak(code): code for code in codes}
        self.touched: dict[bytes, None] = {}
        self.created: dict[bytes, bytes] = {}

    def read(self, code_hash: bytes, address: bytes | None = None) -> bytes:
        """Raises MissingCode."""
        if code_hash in self.created:
            return self.created[code_hash]
        code = self.by_hash.get(code_hash)
        if code is None:
            raise MissingCode(code_hash, address)
        self.touched[code_hash] = None
        return code


def _plain(code: Code | bytes) -> bytes:
    return code.resolve() if isinstance(code, Code) else code


def _code_hash(code: Code | bytes) -> bytes:
    return code.code_hash if isinstance(code, Code) else keccak(bytes(code))


class LazyState:
    """
    The state that EELS reads and writes, over a WitnessState.

    Every write is journaled while a transaction is open, and undone on rollback; what was loaded stays loaded.
    created_accounts: EELS's own field, accounts created in the transaction; output: the executed body, once there is
    one; new_codes: codes that root() met and that came from no witness; deepest_block_hash: the furthest ancestor
    whose hash was read, 1 the parent, 0 none; older_hash: the hash of an ancestor further back than the given headers,
    by its distance, where there is a way to learn it.
    """

    def __init__(
        self,
        witness: WitnessState,
        codes: CodeStore,
        account_type: type,
        older_hash: Callable[[int], bytes] | None = None,
    ) -> None:
        self.witness = witness
        self.codes = codes
        self.older_hash = older_hash
        self.created_accounts: set = set()
        self.output: object | None = None
        self.deepest_block_hash = 0
        self._account_type = account_type
        self._accounts: dict[bytes, object | None] = {}
        self._storage: dict[bytes, dict[bytes, U256]] = {}
        # Addresses whose slots outside _storage are known to be 0.
        self._wiped: set[bytes] = set()
        self._journal: list[tuple] = []
        self._marks: list[tuple[int, dict | None]] = []
        self._originals: dict[tuple[bytes, bytes], U256] = {}
        # The tries as last hashed: records by address, and what has changed since.
        self._records: dict[bytes, AccountRecord | None] = {}
        self._changed_accounts: set[bytes] = set()
        self._changed_slots: dict[bytes, set[bytes]] = {}
        self.new_codes: dict[bytes, bytes] = {}
        # Accounts given a code in this transaction.
        self._given_code: set[bytes] = set()
        self._wiped_since: set[bytes] = set()

    # Reading.

    def account(self, address: bytes) -> object | None:
        """EELS Account, or None where there is none."""
        try:
            return self._accounts[address]
        except KeyError:
            record = self._record(bytes(address))
            account = None if record is None else self._decode(bytes(address), record)
            self._accounts[address] = account
            return account

    def _record(self, address: bytes) -> AccountRecord | None:
        if address not in self._records:
            self._records[address] = self.witness.account(address)
        return self._records[address]

    def _decode(self, address: bytes, record: AccountRecord) -> object:
        code = b"" if record.code_hash == EMPTY_CODE_HASH else Code(record.code_hash, address, self.codes)
        return self._account_type(nonce=Uint(record.nonce), balance=U256(record.balance), code=code)

    def slot(self, address: bytes, key: bytes) -> U256:
        """Value of a slot, U256(0) where there is none."""
        slots = self._storage.get(address)
        if slots is not None and key in slots:
            return slots[key]
        if address in self._wiped:
            return U256(0)
        record = self._record(bytes(address))
        root = EMPTY_TRIE_ROOT if record is None else record.storage_root
        value = U256(0)
        if root != EMPTY_TRIE_ROOT:
            value = U256(self.witness.storage(bytes(address), root, bytes(key)))
        self._storage.setdefault(address, {})[key] = value
        return value

    def has_storage(self, address: bytes) -> bool:
        """Whether the account has a non-empty storage trie; told by its root, not by loaded slots (EIP-7610)."""
        if any(value != 0 for value in self._storage.get(address, {}).values()):
            return True
        record = None if address in self._wiped else self._record(bytes(address))
        return record is not None and record.storage_root != EMPTY_TRIE_ROOT

    # Writing.

    def set_account(self, address: bytes, account: object | None) -> None:
        self._journal.append((self._undo_account, address, self.account(address)))
        self._accounts[address] = account
        self._changed_accounts.add(address)
        if account is not None and account.code and not isinstance(account.code, Code):
            self._given_code.add(address)

    def set_slot(self, address: bytes, key: bytes, value: U256) -> None:
        old = self.slot(address, key)
        self._originals.setdefault((address, key), old)
        self._journal.append((self._undo_slot, address, key, old))
        self._storage.setdefault(address, {})[key] = value
        self._changed_slots.setdefault(address, set()).add(key)

    def wipe(self, address: bytes) -> None:
        """Empties the storage of an account."""
        undo = address in self._wiped, address in self._wiped_since, self._storage.get(address)
        self._journal.append((self._undo_wipe, address, *undo))
        self._storage[address] = {}
        self._wiped.add(address)
        self._wiped_since.add(address)
        self._changed_accounts.add(address)

    def _undo_account(self, address, account) -> None:
        self._accounts[address] = account

    def _undo_slot(self, address, key, value) -> None:
        self._storage.setdefault(address, {})[key] = value

    def _undo_wipe(self, address, was_wiped, was_wiped_since, slots) -> None:
        if not was_wiped:
            self._wiped.discard(address)
        if not was_wiped_since:
            self._wiped_since.discard(address)
        self._storage[address] = {} if slots is None else slots

    # Transactions.

    def begin(self, transient_tries: dict | None) -> None:
        """Opens a transaction; transient_tries: what rollback gives back."""
        if not self._marks:
            self._journal.clear()
            self._originals.clear()
        self._marks.append((len(self._journal), transient_tries))

    def commit(self) -> None:
        self._marks.pop()
        if not self._marks:
            self.created_accounts.clear()

    def rollback(self) -> dict | None:
        """Undoes to the matching begin; returns the transient tries of then."""
        mark, transient_tries = self._marks.pop()
        while len(self._journal) > mark:
            undo, *arguments = self._journal.pop()
            undo(*arguments)
        if not self._marks:
            self.created_accounts.clear()
        return transient_tries

    def keep_created_codes(self) -> None:
        """Called after each transaction: the codes that it leaves on accounts need no witness from here on."""
        for address in self._given_code:
            account = self._accounts[address]
            if account is not None and account.code and not isinstance(account.code, Code):
                self.codes.created[keccak(bytes(account.code))] = bytes(account.code)
        self._given_code.clear()

    def original(self, address: bytes, key: bytes) -> U256:
        """Value of a slot when the outermost transaction began."""
        if address in self.created_accounts:
            return U256(0)
        value = self._originals.get((address, key))
        return self.slot(address, key) if value is None else value

    # Roots.

    def root(self) -> bytes:
        """
        The state root, 32 bytes; raises MissingNode where a change needs a node that is absent.

        Storage tries first, then the account trie; in each, updates before deletes. Incremental: called after every
        transaction before Byzantium.
        """
        changes: dict[bytes, AccountRecord | None] = {}
        for address in sorted(self._changed_accounts | self._changed_slots.keys() | self._wiped_since):
            plain = bytes(address)
            before = self._record(plain)
            account = self.account(address)
            after = None if account is None else self._encode(plain, address, before, account)
            if after != before:
                changes[plain] = after
                self._records[plain] = after
        self._changed_accounts.clear()
        self._changed_slots.clear()
        self._wiped_since.clear()
        return self.witness.update_accounts(changes)

    def _encode(self, plain: bytes, address: bytes, before: AccountRecord | None, account) -> AccountRecord:
        root = EMPTY_TRIE_ROOT if before is None or address in self._wiped_since else before.storage_root
        slots = self._storage.get(address, {})
        changed = slots.keys() if address in self._wiped_since else self._changed_slots.get(address, set())
        changes = {bytes(key): int(slots[key]) for key in changed if key in slots}
        changes = {key: value for key, value in changes.items() if value != self._trie_value(plain, root, key)}
        if changes:
            root = self.witness.update_storage(plain, root, changes)
        code_hash = _code_hash(account.code)
        if account.code and not isinstance(account.code, Code):
            self.new_codes[code_hash] = bytes(account.code)
        return AccountRecord(int(account.nonce), int(account.balance), root, code_hash)

    def _trie_value(self, plain: bytes, root: bytes, key: bytes) -> int:
        return 0 if root == EMPTY_TRIE_ROOT else self.witness.storage(plain, root, key)


class BlockHashes:
    """
    Hashes of the ancestors as EELS indexes them: [-1] is the parent, [-k] the k-th ancestor.

    headers: EELS headers, oldest first, the last the parent. The hash of an ancestor is known only where its own header
    is given: the parent hash in the oldest one does not count, as in the guest.
    """

    def __init__(self, headers: Sequence[object], state: LazyState) -> None:
        self._number = int(headers[-1].number)
        self._state = state
        self._hashes = [header.parent_hash for header in headers[1:]]
        self._hashes.append(keccak256(eels_rlp.encode(headers[-1])))

    def __getitem__(self, index: int) -> bytes:
        distance = -int(index)
        if 1 <= distance <= len(self._hashes):
            found = self._hashes[-distance]
        elif distance > 1 and self._state.older_hash is not None:
            found = type(self._hashes[-1])(self._state.older_hash(distance))
        else:
            raise MissingHeader(self._number + 1 - distance, "needed by BLOCKHASH")
        self._state.deepest_block_hash = max(self._state.deepest_block_hash, distance)
        return found


# --- the state functions of EELS, on LazyState -----------------------------------------------------------------------


def _state_functions(original: ModuleType) -> dict[str, object]:
    def begin_transaction(state, transient_storage=None):
        tries = None
        if transient_storage is not None:
            tries = {key: original.copy_trie(trie) for key, trie in transient_storage._tries.items()}
        state.begin(tries)

    def commit_transaction(state, transient_storage=None):
        state.commit()

    def rollback_transaction(state, transient_storage=None):
        tries = state.rollback()
        if transient_storage is not None:
            transient_storage._tries = tries

    def set_storage(state, address, key, value):
        # EELS asserts the same; a failed assertion must not depend on how Python was started.
        if state.account(address) is None:
            raise RuntimeError(f"storage written on the absent account 0x{address.hex()}")
        state.set_slot(address, key, value)

    functions = {
        "begin_transaction": begin_transaction,
        "commit_transaction": commit_transaction,
        "rollback_transaction": rollback_transaction,
        "get_account_optional": lambda state, address: state.account(address),
        "set_account": lambda state, address, account: state.set_account(address, account),
        "destroy_storage": lambda state, address: state.wipe(address) if state.has_storage(address) else None,
        "get_storage": lambda state, address, key: state.slot(address, key),
        "set_storage": set_storage,
        "get_storage_original": lambda state, address, key: state.original(address, key),
        "account_has_storage": lambda state, address: state.has_storage(address),
        "state_root": lambda state: state.root(),
    }
    return {name: function for name, function in functions.items() if hasattr(original, name)}


# --- loading a fork --------------------------------------------------------------------------------------------------


class EelsFork:
    """The private modules of one fork: fork, state, blocks, transactions, fork_types, vm."""

    def __init__(self, fork: Fork, deposit_contract: bytes) -> None:
        base = Fork.BPO2 if fork in (Fork.BPO3, Fork.BPO4) else fork
        public = f"ethereum.forks.{base.label}"
        name = f"witness._eels_{fork.label}_{deposit_contract.hex()}"
        spec = importlib.util.find_spec(public)
        package_spec = importlib.util.spec_from_file_location(
            name, spec.origin, submodule_search_locations=list(spec.submodule_search_locations)
        )
        package = importlib.util.module_from_spec(package_spec)
        sys.modules[name] = package
        package_spec.loader.exec_module(package)

        def load(module: str) -> ModuleType:
            return importlib.import_module(f"{name}.{module}")

        self.label = fork
        # Order matters: what other modules import by name is replaced before they are loaded.
        self.fork_types = load("fork_types")
        self.state = load("state")
        for function, replacement in _state_functions(self.state).items():
            setattr(self.state, function, replacement)
        self.vm = load("vm")
        _resolve_code_in(self.vm.Evm)
        gas = load("vm.gas")
        if fork in (Fork.BPO3, Fork.BPO4):
            schedule = BLOB_SCHEDULES[fork]
            gas.BLOB_SCHEDULE_TARGET = U64(schedule.target)
            gas.BLOB_SCHEDULE_MAX = U64(schedule.max)
            gas.TARGET_BLOB_GAS_PER_BLOCK = gas.GAS_PER_BLOB * gas.BLOB_SCHEDULE_TARGET
            gas.BLOB_BASE_FEE_UPDATE_FRACTION = Uint(schedule.update_fraction)
        if fork >= Fork.PRAGUE:
            _read_delegated_code_in(load("vm.eoa_delegation"))
        runtime = load("vm.runtime")
        runtime.get_valid_jump_destinations = _remembered(runtime.get_valid_jump_destinations)
        environment = load("vm.instructions.environment")
        if hasattr(environment, "keccak256"):
            environment.keccak256 = _hash_of_code
        self.blocks = load("blocks")
        self.transactions = load("transactions")
        if fork is Fork.PRAGUE:
            gas.Header = (self.blocks.Header, importlib.import_module("ethereum.forks.cancun.blocks").Header)
        if fork >= Fork.PRAGUE:
            requests = load("requests")
            requests.DEPOSIT_CONTRACT_ADDRESS = self.fork_types.Address(deposit_contract)
        self.fork = load("fork")
        interpreter = load("vm.interpreter")
        self.fork.get_last_256_block_hashes = _block_hashes
        if hasattr(self.fork, "validate_proof_of_work"):
            self.fork.validate_proof_of_work = lambda header: None
        self._keep_output()
        if (
            interpreter.begin_transaction is not self.state.begin_transaction
            or interpreter.get_valid_jump_destinations is not runtime.get_valid_jump_destinations
            or self.fork.state_root is not self.state.state_root
        ):
            raise RuntimeError(f"EELS {base.label} imports its state in an order that this module does not expect")

    def _keep_output(self) -> None:
        execute, execute_transaction = self.fork.apply_body, self.fork.process_transaction

        def process_transaction(block_env, *arguments, **keywords):
            execute_transaction(block_env, *arguments, **keywords)
            block_env.state.keep_created_codes()

        def apply_body(block_env, *arguments, **keywords):
            block_env.state.output = execute(block_env, *arguments, **keywords)
            return block_env.state.output

        self.fork.apply_body, self.fork.process_transaction = apply_body, process_transaction

    def header(self, encoded: bytes) -> object:
        """The EELS header in RLP: of this fork if the number of fields fits, else of the older fork that fits."""
        fields = len(eels_rlp.decode(encoded))
        own = self.blocks.Header
        if fields == len(own.__dataclass_fields__) - ("_frozen" in own.__dataclass_fields__):
            return eels_rlp.decode_to(own, encoded)
        older = {15: "frontier", 16: "london", 17: "shanghai", 20: "cancun", 21: "prague"}[fields]
        return eels_rlp.decode_to(importlib.import_module(f"ethereum.forks.{older}.blocks").Header, encoded)

    def new_state(
        self, witness: WitnessState, codes: CodeStore, older_hash: Callable[[int], bytes] | None = None
    ) -> LazyState:
        """A state of this fork over a witness."""
        return LazyState(witness, codes, self.fork_types.Account, older_hash)

    def chain(self, headers: Sequence[bytes], state: LazyState, chain_id: int) -> object:
        """An EELS BlockChain of RLP headers, oldest first, the last the parent."""
        blocks = [self._headers_only(self.header(encoded)) for encoded in headers]
        return self.fork.BlockChain(blocks=blocks, state=state, chain_id=U64(chain_id))

    def _headers_only(self, header: object) -> object:
        bodies = {"transactions": (), "ommers": ()}
        if "withdrawals" in self.blocks.Block.__dataclass_fields__:
            bodies["withdrawals"] = ()
        return self.blocks.Block(header=header, **bodies)

    def block(self, encoded: bytes) -> object:
        """The EELS block in RLP. Raises ethereum_rlp's errors."""
        return eels_rlp.decode_to(self.blocks.Block, encoded)

    def set_fork_block(self, number: int | None) -> None:
        """London, DAO fork: the number of the fork's first block, None for one that is never reached."""
        self.fork.FORK_CRITERIA = ByBlockNumber(number if number is not None else (1 << 64) - 1)


def load_fork(fork: Fork, deposit_contract: bytes = MAINNET_DEPOSIT_CONTRACT) -> EelsFork:
    """The private EELS instance of a fork, loaded once; before Prague no deposit contract matters."""
    with LOCK:
        return _loaded_fork(fork, deposit_contract if fork >= Fork.PRAGUE else MAINNET_DEPOSIT_CONTRACT)


@cache
def _loaded_fork(fork: Fork, deposit_contract: bytes) -> EelsFork:
    return EelsFork(fork, deposit_contract)


def _block_hashes(chain) -> BlockHashes:
    return BlockHashes([block.header for block in chain.blocks], chain.state)


def _resolve_code_in(evm_type: type) -> None:
    initialise = evm_type.__init__

    def __init__(self, *arguments, **keywords):
        initialise(self, *arguments, **keywords)
        self.code = _plain(self.code)

    evm_type.__init__ = __init__


def _read_delegated_code_in(eoa_delegation: ModuleType) -> None:
    access = eoa_delegation.access_delegation

    def access_delegation(evm, address):
        is_delegated, address, code, gas_cost = access(evm, address)
        # A call that does not come about, for want of balance or depth, has read the code nevertheless.
        return is_delegated, address, _plain(code), gas_cost

    eoa_delegation.access_delegation = access_delegation


def _remembered(compute):
    destinations = lru_cache(maxsize=4096)(compute)
    return lambda code: destinations(_plain(code) if isinstance(code, Code) else bytes(code))


def _hash_of_code(code: Code | bytes) -> bytes:
    return type(keccak256(b""))(code.code_hash) if isinstance(code, Code) else keccak256(code)
