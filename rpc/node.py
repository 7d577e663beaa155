"""
Node: rpc.source.Source over a node's JSON-RPC.

Statement
---------
- A block is named by number or tag once; what is asked about it afterwards is asked by the hash that was computed from
  its header. State is asked for by block hash (EIP-1898); a node that refuses that is asked by number, and after each
  such question the number must still have that hash.
- What has a hash is checked here: headers, transactions, ommers, withdrawals, ancestors. What has a proof is checked
  where it is used (rpc.proofs), and here before it is kept on disk.
- What the node does not offer is asked for once.

Source: execution-apis; EIP-1186, EIP-1898.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import rlp
from eth_hash.auto import keccak

from rpc import answers
from rpc.cache import AnswerCache
from rpc.collect_errors import ProofError
from rpc.errors import (
    AnswerTooLarge,
    BlockNotFound,
    HistoryPruned,
    MalformedAnswer,
    MethodNotOffered,
    NodeError,
    ReorgError,
    RpcError,
    WrongBlock,
    WrongChain,
)
from rpc.proofs import verify_account
from rpc.source import AccountProof
from rpc.transport import DEFAULT_LIMITS, Request, RpcLimits, RpcStatistics, Transport
from witness.block import Block, Header, recover_public_key
from witness.errors import WitnessError
from witness.schema import MAX_BYTES_PER_CODE, MAX_TRANSACTIONS, MAX_WITNESS_HEADERS
from witness.trie import EMPTY_CODE_HASH

TAGS = ("latest", "safe", "finalized", "earliest")
SLOTS_PER_PROOF = 128
"""Nodes limit the slots of one eth_getProof, geth to 1024; smaller answers are also retried in smaller parts."""
_LONGEST_RANGE = 64
_LAGGING_ATTEMPTS = 3

Touched = dict[bytes, set[bytes]]


class Node:
    """
    A node at an http or https address.

    chain_id: the one that it must have, None for whichever; headers: for each HTTP request, Authorization and the like;
    cache: of immutable answers, None for none; progress: called after each HTTP request. Errors: rpc.errors.
    """

    def __init__(
        self,
        url: str,
        chain_id: int | None = None,
        headers: Mapping[str, str] | None = None,
        limits: RpcLimits = DEFAULT_LIMITS,
        cache: AnswerCache | None = None,
        progress: Callable[[RpcStatistics], None] | None = None,
    ) -> None:
        """Asks nothing yet. Raises BadUrl."""
        self._transport = Transport(url, headers, limits, progress)
        self._cache = cache
        self._wanted_chain_id = chain_id
        self._chain_id: int | None = None
        self._not_offered: set[str] = set()
        self._by_hash = True
        self._numbers: dict[bytes, int] = {}
        self._code_hashes: dict[tuple[bytes, bytes], bytes] = {}
        self._access_lists: dict[bytes, list[Touched] | None] = {}

    def __repr__(self) -> str:
        return f"Node({self._transport.shown})"

    @property
    def statistics(self) -> RpcStatistics:
        """What the node has been asked so far."""
        return self._transport.statistics

    def begin(self) -> None:
        """Starts the total time anew, for the next block."""
        self._transport.begin()

    def close(self) -> None:
        """Closes the connections; a with-statement does."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the chain ---------------------------------------------------------------------------------------------------

    def chain_id(self) -> int:
        """eth_chainId, asked once. Raises WrongChain."""
        if self._chain_id is None:
            found = answers.quantity(self._transport.call("eth_chainId"), "eth_chainId", 8)
            if self._wanted_chain_id not in (None, found):
                raise WrongChain(
                    f"the node has chain id {found}, not {self._wanted_chain_id}",
                    "name another node, or the chain that it has",
                )
            self._chain_id = found
        return self._chain_id

    def header(self, identifier: int | bytes | str) -> Header:
        """
        The header of a number, a 32-byte hash or a tag.

        Raises BlockNotFound, WrongBlock, and as all questions do MalformedAnswer and what the transport raises.
        """
        if isinstance(identifier, bytes):
            found = self._kept(
                "eth_getBlockByHash",
                ["0x" + identifier.hex(), False],
                lambda kept: answers.read_header(kept, identifier),
            )
            if found is not None:
                return self._remember(found)
            answer = self._block_answer("eth_getBlockByHash", "0x" + identifier.hex(), False)
            header = answers.read_header(answer, identifier)
            self._keep_header(header, answer)
            return self._remember(header)
        if isinstance(identifier, str) and identifier not in TAGS:
            raise BlockNotFound(f"{identifier[:40]!r} is no tag", f"tags are {', '.join(TAGS)}")
        name = identifier if isinstance(identifier, str) else hex(identifier)
        answer = self._block_answer("eth_getBlockByNumber", name, False)
        header = answers.read_header(answer)
        if isinstance(identifier, int) and header.number != identifier:
            raise WrongBlock(f"block {identifier}", f"the answer is block {header.number}")
        self._keep_header(header, answer)
        return self._remember(header)

    def block(self, identifier: int | bytes | str) -> Block:
        """The block, pinned by hash, every root in its header checked. Raises as header(), ReorgError."""
        header = self.header(identifier)
        asked = ["0x" + header.hash.hex(), True]
        kept = self._kept(
            "eth_getBlockByHash", asked, lambda kept: answers.decode_block(answers.data(kept, "a block"), header)
        )
        if kept is not None:
            return kept
        try:
            answer = self._block_answer("eth_getBlockByHash", *asked)
        except BlockNotFound as error:
            raise _reorged(header.number, header.hash) from error
        if answers.read_header(answer, header.hash) != header:
            raise WrongBlock(f"block {header.number}", "two answers about one hash differ")
        ommers = self._ommers(header, answer)
        try:
            block = answers.read_body(answer, header, ommers)
        except (WrongBlock, MalformedAnswer) as error:
            # A type that is not known here, or fields that do not say how they were encoded: the node's bytes do.
            block = self._block_from_bytes(header, answer, ommers, error)
        self._keep("eth_getBlockByHash", asked, "0x" + block.encode().hex())
        return block

    def headers(self, newest_hash: bytes, count: int) -> list[Header]:
        """
        `count` linked headers, oldest first, the last the one with this hash; each hash is computed.

        Raises ReorgError where an ancestor is not on the node's chain, and as header().
        """
        if not 0 <= count <= MAX_WITNESS_HEADERS:
            raise MalformedAnswer(f"{count} headers are more than a witness may have")
        found: list[Header] = []
        wanted = newest_hash
        while len(found) < count and (kept := self._kept_header(wanted)) is not None:
            found.append(kept)
            wanted = kept.parent_hash
        missing = count - len(found)
        number = found[-1].number - 1 if found else self._numbers.get(wanted)
        if missing and number is None:
            found.append(self.header(wanted))
            missing, number, wanted = missing - 1, found[-1].number - 1, found[-1].parent_hash
        if missing > (number or 0) + 1:
            raise BlockNotFound(f"there are no {count} blocks up to 0x{newest_hash.hex()}")
        # By number they go out in one batch; the links then say whether they are the ancestors.
        asked = [("eth_getBlockByNumber", [hex(number - step), False]) for step in range(missing)]
        for answer in self._transport.batch(asked):
            header = answers.read_header(answer) if answer is not None else None
            if header is None or header.hash != wanted:
                header = self._ancestor(wanted)
                answer = None
            if answer is not None:
                self._keep_header(header, answer)
            found.append(header)
            wanted = header.parent_hash
        return [self._remember(header) for header in reversed(found)]

    def check_time(self) -> None:
        """Raises TimedOut where the total time since `begin` is over."""
        self._transport.check_time()

    def scrub(self, text: str) -> str:
        """The text without the credentials of this node's address, for what repeats the node's own words."""
        return self._transport.scrub(text)

    def check_on_chain(self, number: int, block_hash: bytes) -> None:
        """Raises ReorgError where the node's block of that number is another one now."""
        answer = self._transport.call("eth_getBlockByNumber", hex(number), False)
        if answer is None or answers.read_header(answer).hash != block_hash:
            raise _reorged(number, block_hash)

    def _ancestor(self, wanted: bytes) -> Header:
        try:
            return self.header(wanted)
        except BlockNotFound as error:
            raise ReorgError(
                f"the ancestor 0x{wanted.hex()} is not on the node's chain any more", "ask for the block again"
            ) from error

    def _block_answer(self, method: str, name: str, whole: bool) -> Any:
        answer = self._transport.call(method, name, whole)
        if answer is None:
            raise BlockNotFound(
                f"the node does not have block {name}", "is the node synced, and the block on its chain?"
            )
        return answer

    def _remember(self, header: Header) -> Header:
        """The parent's number, so that it can be asked for by number beside its ancestors."""
        self._numbers[header.hash] = header.number
        if header.number:
            self._numbers[header.parent_hash] = header.number - 1
        return header

    def _ommers(self, header: Header, answer: dict) -> list[Header]:
        hashes = answers.elements(answer.get("uncles") or [], "uncles", 16)
        at = "0x" + header.hash.hex()
        given = self._transport.batch(
            [("eth_getUncleByBlockHashAndIndex", [at, hex(index)]) for index in range(len(hashes))]
        )
        ommers = []
        for index, (stated, ommer) in enumerate(zip(hashes, given, strict=True)):
            if ommer is None:
                raise WrongBlock(f"ommers of block {header.number}", f"the node does not have ommer {index}")
            ommers.append(answers.read_header(ommer, answers.data(stated, "an uncle's hash", 32)))
        return ommers

    def _block_from_bytes(self, header: Header, answer: dict, ommers: Sequence[Header], error: RpcError) -> Block:
        """The block out of debug_getRawBlock, else out of eth_getRawTransactionByHash; else raises `error`."""
        at = "0x" + header.hash.hex()
        encoded = self._offered("debug_getRawBlock", [at])
        if encoded is not None:
            return answers.decode_block(answers.data(encoded, "debug_getRawBlock"), header)
        listed = answers.elements(answer.get("transactions"), "transactions", MAX_TRANSACTIONS)
        hashes = [one.get("hash") if isinstance(one, dict) else one for one in listed]
        if (
            not hashes
            or "eth_getRawTransactionByHash" in self._not_offered
            or not all(isinstance(one, str) for one in hashes)
        ):
            raise error
        given = self._transport.batch_outcomes([("eth_getRawTransactionByHash", [one]) for one in hashes])
        if any(one is None or isinstance(one, RpcError) for one in given):
            raise error
        return answers.read_body(answer, header, ommers, [answers.data(one, "a raw transaction") for one in given])

    # --- state -------------------------------------------------------------------------------------------------------

    def proofs(self, at: Header, wanted: Mapping[bytes, Sequence[bytes]]) -> list[AccountProof]:
        """
        eth_getProof for 20-byte addresses and their 32-byte slots after block `at`, in the order of `wanted`.

        Raises HistoryPruned, ReorgError, MalformedAnswer, and what the transport raises. Nothing is verified but what is
        kept on disk.
        """
        parts = []
        for address, slots in wanted.items():
            unique = list(dict.fromkeys(slots))
            parts += [
                (address, unique[start : start + SLOTS_PER_PROOF])
                for start in range(0, max(1, len(unique)), SLOTS_PER_PROOF)
            ]
        found: dict[int, AccountProof] = {}
        for index, (address, slots) in enumerate(parts):
            kept = self._kept(
                "eth_getProof",
                self._proof_asked(at, address, slots),
                lambda kept, a=address, s=slots: self._verified(at, answers.read_proof(kept, a, s)),
            )
            if kept is not None:
                found[index] = kept
        asked = [index for index in range(len(parts)) if index not in found]
        requests = [
            ("eth_getProof", ["0x" + parts[index][0].hex(), ["0x" + slot.hex() for slot in parts[index][1]]])
            for index in asked
        ]
        for index, answer in zip(asked, self._at(at, requests), strict=True):
            address, slots = parts[index]
            found[index] = answers.read_proof(answer, address, slots)
            try:
                self._verified(at, found[index])
            except ProofError:
                # Who asked refuses it, and says why.
                continue
            self._keep("eth_getProof", self._proof_asked(at, address, slots), answers.proof_to_json(found[index]))
        merged: dict[bytes, AccountProof] = {}
        for index in range(len(parts)):
            one, before = found[index], merged.get(parts[index][0])
            merged[one.address] = (
                one if before is None else AccountProof(one.address, before.nodes, {**before.storage, **one.storage})
            )
        return list(merged.values())

    def _proof_asked(self, at: Header, address: bytes, slots: Sequence[bytes]) -> list:
        return ["0x" + address.hex(), ["0x" + slot.hex() for slot in slots], "0x" + at.hash.hex()]

    def _verified(self, at: Header, proof: AccountProof) -> AccountProof:
        """The proof itself. Raises ProofError."""
        record = verify_account(at.state_root, proof, list(proof.storage)).record
        self._code_hashes[at.hash, proof.address] = EMPTY_CODE_HASH if record is None else record.code_hash
        return proof

    def codes(self, at: Header, addresses: Iterable[bytes]) -> dict[bytes, bytes]:
        """eth_getCode by address after block `at`, at most 64 KiB each. Raises as proofs()."""
        found: dict[bytes, bytes] = {}
        addresses = list(dict.fromkeys(addresses))
        for address in addresses:
            code_hash = self._code_hashes.get((at.hash, address))
            if code_hash is not None:
                kept = self._kept("code", ["0x" + code_hash.hex()], lambda kept, h=code_hash: _code_of(kept, h))
                if kept is not None:
                    found[address] = kept
        asked = [address for address in addresses if address not in found]
        for address, answer in zip(
            asked, self._at(at, [("eth_getCode", ["0x" + address.hex()]) for address in asked]), strict=True
        ):
            code = answers.data(answer, f"eth_getCode of account 0x{address.hex()}")
            if len(code) > MAX_BYTES_PER_CODE:
                raise MalformedAnswer(f"eth_getCode of account 0x{address.hex()}: {len(code)} bytes")
            found[address] = code
            if keccak(code) == self._code_hashes.get((at.hash, address)):
                self._keep("code", ["0x" + keccak(code).hex()], "0x" + code.hex())
        return {address: found[address] for address in addresses}

    def _at(self, at: Header, requests: Sequence[Request]) -> list[Any]:
        """
        Answers to questions about the state after a block; its name is appended to the parameters.

        By hash; by number where the node refuses that, the hash of the number checked after it.
        """
        if not requests:
            return []
        if self._by_hash:
            name = {"blockHash": "0x" + at.hash.hex()}
            try:
                return self._while_known(at, [(method, [*params, name]) for method, params in requests])
            except (HistoryPruned, MethodNotOffered):
                raise
            except (NodeError, BlockNotFound) as error:
                refused = error
            try:
                found = self._by_number(at, requests)
            except (NodeError, BlockNotFound):
                raise refused from None
            self._by_hash = False
            return found
        return self._by_number(at, requests)

    def _while_known(self, at: Header, requests: Sequence[Request]) -> list[Any]:
        """
        One batch about a block; again where the node denies a block that is on its chain, as some of several nodes
        behind one address do that lag behind the others. Raises ReorgError where it is not, BlockNotFound.
        """
        for failures in range(1, _LAGGING_ATTEMPTS):
            try:
                return self._transport.batch(requests)
            except BlockNotFound as error:
                self.check_on_chain(at.number, at.hash)
                self._transport.pause(failures, error)
        return self._transport.batch(requests)

    def _by_number(self, at: Header, requests: Sequence[Request]) -> list[Any]:
        found = self._while_known(at, [(method, [*params, hex(at.number)]) for method, params in requests])
        self.check_on_chain(at.number, at.hash)
        return found

    # --- what only some nodes offer ----------------------------------------------------------------------------------

    def execution_witness(self, block: Block) -> object | None:
        """
        debug_executionWitness, else debug_executionWitnessByBlockHash, as the node has it; None where it has neither,
        where it has no witness of this block, and where that is larger than the limit.
        """
        asked = (
            ("debug_executionWitness", hex(block.header.number)),
            ("debug_executionWitnessByBlockHash", "0x" + block.header.hash.hex()),
        )
        for method, name in asked:
            answer = self._offered(method, [name])
            if answer is not None:
                return answer
        return None

    def prestate(self, block: Block) -> Touched | None:
        """Accounts and slots that prestateTracer names; None where there is no tracer or its answer is unusable."""
        answer = self._offered("debug_traceBlockByHash", ["0x" + block.header.hash.hex(), {"tracer": "prestateTracer"}])
        if answer is None:
            return None
        touched: Touched = {}
        try:
            for one in answers.elements(answer, "a trace", MAX_TRANSACTIONS):
                result = answers.fields(one, "a trace").get("result")
                _merge(touched, answers.read_touched(result if result is not None else {}))
        except MalformedAnswer:
            # It is a hint: without it the block costs more calls and nothing else.
            self._not_offered.add("debug_traceBlockByHash")
            return None
        return touched

    def access_list(self, block: Block, index: int) -> Touched | None:
        """
        Accounts and slots that eth_createAccessList names for one transaction on the parent's state, {} where it fails.

        All transactions of the block go out in one batch when the first is asked for.
        """
        if block.header.hash not in self._access_lists:
            self._access_lists[block.header.hash] = self._all_access_lists(block)
        found = self._access_lists[block.header.hash]
        return None if found is None else found[index]

    def _all_access_lists(self, block: Block) -> list[Touched] | None:
        method, parent = "eth_createAccessList", "0x" + block.header.parent_hash.hex()
        if method in self._not_offered or not block.transactions:
            return None
        try:
            calls = [_call_of(transaction) for transaction in block.transactions]
        except (rlp.exceptions.RLPException, WitnessError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
            # A transaction that is none: execution will say so.
            return None
        found: list[Touched] = []
        for outcome in self._transport.batch_outcomes([(method, [call, parent]) for call in calls], slow=True):
            if isinstance(outcome, MethodNotOffered):
                self._not_offered.add(method)
                return None
            try:
                found.append({} if isinstance(outcome, RpcError) else answers.read_access_list(outcome))
            except MalformedAnswer:
                found.append({})
        return found

    def storage_keys_from(self, block: Block, address: bytes, hashed_start: bytes, most: int) -> list[bytes] | None:
        """
        Slots of an account before the block, by hash from `hashed_start` on, at most `most`: debug_storageRangeAt.

        None where the node does not offer it or its answer is unusable. Only keys whose preimage the node knows.
        """
        asked = [
            "0x" + block.header.hash.hex(),
            0,
            "0x" + address.hex(),
            "0x" + hashed_start.hex(),
            min(most, _LONGEST_RANGE),
        ]
        answer = self._offered("debug_storageRangeAt", asked)
        if answer is None:
            return None
        try:
            entries = answers.fields(
                answers.fields(answer, "a storage range").get("storage"), "a storage range"
            ).values()
            keys = [answers.fields(entry, "a slot").get("key") for entry in itertools.islice(entries, _LONGEST_RANGE)]
            slots = [answers.data(key, "a slot's key", 32) for key in keys if key is not None]
        except MalformedAnswer:
            return None
        return sorted((slot for slot in slots if keccak(slot) >= hashed_start), key=keccak)[:most]

    def _offered(self, method: str, params: list) -> Any | None:
        """The result of a method that a node need not offer; None where it does not, or refuses. Raises what is no answer at all."""
        if method in self._not_offered:
            return None
        try:
            return self._transport.call(method, *params, slow=True)
        except MethodNotOffered:
            self._not_offered.add(method)
            return None
        except (NodeError, BlockNotFound, AnswerTooLarge):
            return None

    # --- kept answers ------------------------------------------------------------------------------------------------

    def _kept(self, method: str, asked: list, read: Callable[[object], Any]) -> Any | None:
        """A kept answer, read and verified as if the node had sent it; None where there is none that is right."""
        if self._cache is None:
            return None
        kept = self._cache.get(AnswerCache.key(self.chain_id(), method, asked))
        if kept is None:
            return None
        try:
            found = read(kept)
        except WitnessError:
            return None
        self.statistics.cached += 1
        return found

    def _keep(self, method: str, asked: list, answer: object) -> None:
        """Keeps an answer that was verified against the hash in `asked`."""
        if self._cache is not None:
            self._cache.put(AnswerCache.key(self.chain_id(), method, asked), answer)

    def _kept_header(self, wanted: bytes) -> Header | None:
        return self._kept(
            "eth_getBlockByHash", ["0x" + wanted.hex(), False], lambda kept: answers.read_header(kept, wanted)
        )

    def _keep_header(self, header: Header, answer: dict) -> None:
        # The list of transactions is not part of it, and not verified.
        kept = {name: value for name, value in answer.items() if name in answers.HEADER_FIELDS}
        self._keep("eth_getBlockByHash", ["0x" + header.hash.hex(), False], kept)


def _reorged(number: int, block_hash: bytes) -> ReorgError:
    return ReorgError(
        f"block {number}, 0x{block_hash.hex()}, is not on the node's chain any more", "ask for the block again"
    )


def _merge(touched: Touched, more: Touched) -> None:
    for address, slots in more.items():
        touched.setdefault(address, set()).update(slots)


def _code_of(kept: object, code_hash: bytes) -> bytes:
    code = answers.data(kept, "a code")
    if keccak(code) != code_hash:
        raise MalformedAnswer("a kept code has not its hash")
    return code


def _call_of(transaction: bytes) -> dict[str, str]:
    """The call object of a transaction, for eth_createAccessList: sender, recipient, value, data and gas."""
    kind = 0 if transaction[:1] >= b"\xc0" else transaction[0]
    gas, to, value, payload = {0: (2, 3, 4, 5), 1: (3, 4, 5, 6)}.get(kind, (4, 5, 6, 7))
    fields = rlp.decode(transaction if kind == 0 else transaction[1:])
    call = {
        "from": "0x" + keccak(recover_public_key(transaction)[1:])[12:].hex(),
        "gas": hex(int.from_bytes(fields[gas], "big")),
        "value": hex(int.from_bytes(fields[value], "big")),
        "data": "0x" + fields[payload].hex(),
    }
    return {**call, "to": "0x" + fields[to].hex()} if fields[to] else call
