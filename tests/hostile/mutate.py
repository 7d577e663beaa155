"""
Mutations: of bytes, of RLP with its structure known, and of a block's input part by part.

Everything random comes from a random.Random that the caller seeds: the same seed gives the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import rlp
from eth_hash.auto import keccak

from tests.hostile.blocks import MadeBlock
from witness.block import Block, Header, Withdrawal, block_to_request, recover_public_key
from witness.errors import WitnessError
from witness.schema import REVISION_BOUND, REVISION_UNBOUND, ExecutionWitness, Fork
from witness.trie import ordered_trie_root

MAX_BYTES = 1 << 17
"""What a mutation may grow bytes to."""

NUMBERS = (0, 1, 2, 3, 55, 56, 127, 128, 255, 256, 1 << 16, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32)
BIG_NUMBERS = ((1 << 53), (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 1 << 128, (1 << 256) - 1, 1 << 256)


# --- bytes -----------------------------------------------------------------------------------------------------------


def mutate_bytes(source: random.Random, given: bytes, other: bytes = b"") -> bytes:
    """One to four changes of plain bytes; `other` is what splices come from."""
    changed = bytearray(given)
    for _ in range(source.choice((1, 1, 1, 2, 4))):
        size = len(changed)
        at = source.randrange(size + 1)
        length = min(source.choice((1, 2, 4, 8, 32, 33, 256)), size - at)
        match source.randrange(9):
            case 0 if size:
                changed[at % size] ^= 1 << source.randrange(8)
            case 1 if size:
                changed[at % size] = source.choice((0, 1, 0x7F, 0x80, 0xB7, 0xB8, 0xBF, 0xC0, 0xF7, 0xF8, 0xFF))
            case 2:
                del changed[at:]
            case 3:
                del changed[at : at + length]
            case 4:
                changed[at:at] = changed[at : at + length] * source.choice((1, 2, 16))
            case 5:
                changed[at:at] = source.randbytes(source.choice((1, 4, 32)))
            case 6:
                changed[at : at + length] = bytes([source.choice((0, 0xFF))]) * length
            case 7 if other:
                start = source.randrange(len(other))
                changed[at : at + length] = other[start : start + source.choice((1, 32, 256, len(other)))]
            case _:
                number = source.choice(NUMBERS) & 0xFFFFFFFF
                changed[at : at + 4] = number.to_bytes(4, source.choice(("little", "big")))
    return bytes(changed[:MAX_BYTES])


def mutate_offsets(source: random.Random, encoded: bytes, start: int = 0) -> bytes:
    """Changes a 4-byte word that looks like an SSZ offset: a small number in little-endian."""
    words = [at for at in range(start, min(len(encoded) - 3, start + 4096)) if encoded[at + 3] == 0 == encoded[at + 2]]
    if not words:
        return mutate_bytes(source, encoded)
    at = source.choice(words)
    value = int.from_bytes(encoded[at : at + 4], "little")
    changes = (value + 1, value - 1, value + 4, value - 4, 0, 4, len(encoded), len(encoded) - start, 0xFFFFFFFF)
    changed = source.choice((*changes, 1 << 31, value << 8)) & 0xFFFFFFFF
    return encoded[:at] + changed.to_bytes(4, "little") + encoded[at + 4 :]


# --- RLP -------------------------------------------------------------------------------------------------------------


class Raw(bytes):
    """Bytes that stand in a tree as their own encoding, whatever they are."""


def decode_tree(encoded: bytes) -> object | None:
    """The nested lists of byte strings in RLP, None where there are none."""
    try:
        return rlp.decode(encoded, strict=False)
    except (rlp.exceptions.RLPException, RecursionError, IndexError, ValueError, TypeError):
        return None


def encode_tree(tree: object) -> bytes:
    """RLP of a tree with Raw parts."""
    if isinstance(tree, Raw):
        return bytes(tree)
    if isinstance(tree, (list, tuple)):
        payload = b"".join(map(encode_tree, tree))
        return rlp.codec.length_prefix(len(payload), 0xC0) + payload
    return rlp.encode(tree)


def _paths(tree: object, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    found = [path]
    if isinstance(tree, (list, tuple)):
        for index, child in enumerate(tree):
            found += _paths(child, (*path, index))
    return found


def _replaced(tree: object, path: tuple[int, ...], value: object) -> object:
    if not path:
        return value
    children = list(tree)
    children[path[0]] = _replaced(children[path[0]], path[1:], value)
    return children


def _at(tree: object, path: tuple[int, ...]) -> object:
    for index in path:
        tree = tree[index]
    return tree


def hostile_encoding(source: random.Random, payload: bytes, is_list: bool) -> Raw:
    """The item in an encoding that is not canonical, or with a declared length that is not its own."""
    short, long = (0xC0, 0xF7) if is_list else (0x80, 0xB7)
    size = len(payload)
    width = max(1, (size.bit_length() + 7) // 8)
    prefixes = (
        bytes([long + width]) + size.to_bytes(width, "big"),
        bytes([long + width + 1]) + size.to_bytes(width + 1, "big"),
        bytes([long + 8]) + size.to_bytes(8, "big"),
        bytes([long + 4]) + b"\xff\xff\xff\xff",
        bytes([long + 8]) + b"\xff" * 8,
        bytes([long + 8]) + b"\x7f" + b"\xff" * 7,
        bytes([long + 1]),
        bytes([short + min(size + 1, 55)]),
        bytes([short + max(min(size, 55) - 1, 0)]),
        bytes([short + min(size, 55)]),
    )
    return Raw(source.choice(prefixes) + payload)


def nested_lists(depth: int) -> Raw:
    """A list in a list in a list, `depth` of them."""
    encoded = b"\xc0"
    for _ in range(depth - 1):
        encoded = rlp.codec.length_prefix(len(encoded), 0xC0) + encoded
    return Raw(encoded)


def mutate_tree(source: random.Random, tree: object) -> object:
    """Changes one place of a tree."""
    paths = _paths(tree)
    path = source.choice(paths)
    here = _at(tree, path)
    if isinstance(here, (list, tuple)):
        children = list(here)
        index = source.randrange(len(children)) if children else 0
        match source.randrange(10):
            case 0 if children:
                del children[index]
            case 1 if children:
                children.insert(index, children[index])
            case 2 if len(children) > 1:
                other = source.randrange(len(children))
                children[index], children[other] = children[other], children[index]
            case 3:
                children.append(source.choice((b"", [], b"\0")))
            case 4:
                children = [children]
            case 5:
                children = encode_tree(children)
            case 6:
                children = hostile_encoding(source, b"".join(map(encode_tree, children)), True)
            case 7:
                children = nested_lists(source.choice((2, 33, 300, 1200)))
            case 8:
                children = []
            case _:
                children = children * source.choice((2, 3, 40))
        return _replaced(tree, path, children)
    leaf = bytes(here)
    match source.randrange(10):
        case 0:
            changed: object = b""
        case 1:
            changed = b"\0" + leaf
        case 2:
            changed = mutate_bytes(source, leaf)[:4096]
        case 3:
            number = source.choice(NUMBERS + BIG_NUMBERS)
            changed = number.to_bytes((number.bit_length() + 7) // 8, "big")
        case 4:
            changed = b"\xff" * source.choice((1, 8, 9, 16, 17, 20, 32, 33, 64))
        case 5:
            changed = _at(tree, source.choice(paths))
        case 6:
            changed = [leaf]
        case 7:
            changed = leaf[:-1] if source.random() < 0.5 else leaf + leaf[-1:]
        case 8:
            changed = nested_lists(source.choice((1, 2, 40)))
        case _:
            changed = hostile_encoding(source, leaf, False)
    return _replaced(tree, path, changed)


def mutate_rlp(source: random.Random, encoded: bytes) -> bytes:
    """RLP with one structural change; plain bytes where it is no RLP, and one time in eight anyway."""
    tree = decode_tree(encoded)
    if tree is None or source.random() < 0.125:
        return mutate_bytes(source, encoded)
    return encode_tree(mutate_tree(source, tree))[:MAX_BYTES]


# --- inputs ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parts:
    """An input in pieces that need not fit the schema; request: its SSZ."""

    schema_id: int
    request: bytes
    witness: ExecutionWitness
    chain_id: int
    public_keys: tuple[bytes, ...]

    def encode(self) -> bytes:
        """Schema id and SSZ, offsets right and nothing else checked."""
        witness = self.witness
        body = _variable([_variable(list(part)) for part in (witness.state, witness.codes, witness.headers)])
        at = 20 + len(self.request)
        fixed = (
            (20).to_bytes(4, "little")
            + at.to_bytes(4, "little")
            + (self.chain_id & (1 << 64) - 1).to_bytes(8, "little")
        )
        fixed += (at + len(body)).to_bytes(4, "little")
        return self.schema_id.to_bytes(2, "big") + fixed + self.request + body + b"".join(self.public_keys)


def _variable(parts: list[bytes]) -> bytes:
    offsets, at = b"", 4 * len(parts)
    for part in parts:
        offsets += at.to_bytes(4, "little")
        at += len(part)
    return offsets + b"".join(parts)


@dataclass(frozen=True)
class Case:
    """
    One mutated input.

    how: what was done; encoded: the bytes; relinked: the block was hashed again after the change, so that it is another
    block, which may be a valid one.
    """

    how: str
    encoded: bytes
    relinked: bool = False


def parts_of(made: MadeBlock, block: Block | None = None, witness: ExecutionWitness | None = None) -> Parts:
    """The pieces of a block's input; block: another one under the same fork, its body hashed again."""
    block = block or made.block
    requests = made.requests if made.fork >= Fork.PRAGUE else None
    request = block_to_request(block, made.fork, requests, must_match=False)
    keys = []
    for transaction in block.transactions:
        try:
            keys.append(recover_public_key(transaction))
        except WitnessError:
            # A signature that has no key: the count of keys must still be that of the transactions.
            keys.append(bytes(65))
    return Parts(
        made.fork << 8 | REVISION_BOUND, request.encode_bytes(), witness or made.witness, made.chain_id, tuple(keys)
    )


def _changed_elements(source: random.Random, elements: Sequence[bytes], others: Sequence[bytes]) -> tuple[bytes, ...]:
    changed = list(elements)
    index = source.randrange(len(changed)) if changed else 0
    match source.randrange(8):
        case 0 if changed:
            del changed[index]
        case 1 if changed:
            changed.append(changed[index])
        case 2:
            source.shuffle(changed)
        case 3 if changed:
            changed[index] = mutate_rlp(source, changed[index])
        case 4 if changed:
            changed[index] = mutate_bytes(source, changed[index])
        case 5:
            changed.insert(index, source.choice((b"", b"\x80", b"\xc0", bytes(1024), bytes(1025), bytes(65537))))
        case 6 if changed and others:
            changed[index] = source.choice(others)
        case _:
            changed = changed * 3 if source.random() < 0.5 else []
    return tuple(changed)


def mutate_witness(source: random.Random, made: MadeBlock) -> Case:
    """Another witness for the same block, linked or not."""
    witness = made.witness
    where = source.choice(("state", "state", "codes", "headers"))
    others = tuple(made.state.nodes.values()) if where == "state" else witness.state
    changed = replace(witness, **{where: _changed_elements(source, getattr(witness, where), others)})
    return Case(f"witness {where}", parts_of(made, witness=changed).encode())


def relink(made: MadeBlock, parent: Header, block: Block, witness: ExecutionWitness) -> tuple[Block, ExecutionWitness]:
    """The block after a changed parent; the parent is the last witness header."""
    headers = (*witness.headers[:-1], parent.encode())
    header = replace(block.header, parent_hash=keccak(headers[-1]))
    return replace(block, header=header), replace(witness, headers=headers)


def mutate_node_and_repair(source: random.Random, made: MadeBlock) -> tuple[Block, ExecutionWitness]:
    """
    A malformed or changed trie node that is really reached: hashes in the nodes above it, the state root and the
    parent's hash are those of the changed bytes.
    """
    state = list(made.witness.state)
    for _ in range(source.choice((1, 1, 2))):
        index = source.randrange(len(state))
        changed = mutate_rlp(source, state[index])
        tree = decode_tree(state[index])
        if source.random() < 0.3 and isinstance(tree, list) and len(tree) == 2 and len(tree[1]) > 32:
            # The value of a leaf: an account or a slot, with its own RLP inside.
            changed = encode_tree([tree[0], mutate_rlp(source, tree[1])])
        state = _repaired(state, index, changed)
    parent = made.ancestors[-1]
    hashes = {keccak(before): keccak(after) for before, after in zip(made.witness.state, state, strict=True)}
    root = hashes.get(parent.state_root, parent.state_root)
    return relink(made, replace(parent, state_root=root), made.block, replace(made.witness, state=tuple(state)))


def _repaired(state: list[bytes], index: int, changed: bytes) -> list[bytes]:
    """The nodes with one changed and every hash above it made right."""
    state = list(state)
    pending = {keccak(state[index]): keccak(changed)}
    state[index] = changed
    while pending:
        old, new = pending.popitem()
        for at, node in enumerate(state):
            if old in node and at != index:
                state[at] = node.replace(old, new)
                if keccak(state[at]) != keccak(node):
                    pending[keccak(node)] = keccak(state[at])
    return state


_HEADER_FIELDS = tuple(field.name for field in fields(Header))


def mutate_header(source: random.Random, header: Header) -> Header:
    """One field changed; a number stays within the bytes that this package writes."""
    name = source.choice([name for name in _HEADER_FIELDS if getattr(header, name) is not None])
    value = getattr(header, name)
    if isinstance(value, int):
        wide = (1 << (256 if name in ("difficulty", "base_fee_per_gas") else 64)) - 1
        steps = (
            value + 1,
            value - 1,
            value * 2,
            value // 2,
            value + value // 1024,
            source.choice(NUMBERS + BIG_NUMBERS),
        )
        return replace(header, **{name: min(max(source.choice(steps), 0), wide)})
    if name == "extra_data":
        return replace(header, extra_data=source.randbytes(source.choice((0, 1, 31, 32))))
    changed = bytearray(value)
    changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return replace(header, **{name: source.choice((bytes(changed), bytes(len(value))))})


def mutate_transactions(source: random.Random, transactions: Sequence[bytes]) -> tuple[bytes, ...]:
    """Another list of transactions, most of them with a signature that fits no longer."""
    changed = list(transactions)
    for _ in range(source.choice((1, 1, 2))):
        index = source.randrange(len(changed)) if changed else 0
        match source.randrange(8):
            case 0 if changed:
                del changed[index]
            case 1 if changed:
                changed.append(changed[index])
            case 2:
                source.shuffle(changed)
            case 3 if changed and changed[index][:1] < b"\x80":
                changed[index] = bytes([source.choice((0, 1, 2, 3, 4, 5, 0x7F))]) + changed[index][1:]
            case 4 if changed:
                changed[index] = mutate_bytes(source, changed[index])
            case _ if changed:
                typed = changed[index][:1] < b"\x80"
                head, tail = (changed[index][:1], changed[index][1:]) if typed else (b"", changed[index])
                changed[index] = head + mutate_rlp(source, tail)
    return tuple(changed)


def mutate_withdrawals(source: random.Random, withdrawals: Sequence[Withdrawal]) -> tuple[Withdrawal, ...]:
    """Another list of withdrawals."""
    changed = list(withdrawals) * source.choice((0, 1, 1, 2))
    if changed:
        index = source.randrange(len(changed))
        amount = source.choice((0, 1, (1 << 64) - 1))
        address = source.choice((changed[index].address, bytes([203] * 20), bytes(20)))
        changed[index] = replace(
            changed[index], amount=amount, address=address, index=source.choice((0, (1 << 64) - 1))
        )
    return tuple(changed)


def _hashed_body(block: Block) -> Block:
    """The block with the roots of its body in its header."""
    header = replace(block.header, transactions_root=ordered_trie_root(block.transactions))
    if block.withdrawals is not None:
        header = replace(header, withdrawals_root=ordered_trie_root(one.encode() for one in block.withdrawals))
    return replace(block, header=header)


def mutate_block(source: random.Random, made: MadeBlock) -> tuple[str, Block, ExecutionWitness]:
    """A changed block whose hashes are right again, and its witness."""
    block, witness, parent = made.block, made.witness, made.ancestors[-1]
    match source.randrange(6):
        case 0:
            return "header", replace(block, header=mutate_header(source, block.header)), witness
        case 1:
            return "parent header", *relink(made, mutate_header(source, parent), block, witness)
        case 2 if block.withdrawals is not None:
            changed = mutate_withdrawals(source, block.withdrawals)
            return "withdrawals", _hashed_body(replace(block, withdrawals=changed)), witness
        case 3:
            return "node, repaired", *mutate_node_and_repair(source, made)
        case 4:
            code, changed = _mutate_code(source, made)
            return f"code {code.hex()[:8]}, repaired", *changed
        case _:
            transactions = mutate_transactions(source, block.transactions)
            return "transactions", _hashed_body(replace(block, transactions=transactions)), witness


def _mutate_code(source: random.Random, made: MadeBlock) -> tuple[bytes, tuple[Block, ExecutionWitness]]:
    """Another code, and the account that has it says so."""
    witness = made.witness
    index = source.randrange(len(witness.codes))
    code = witness.codes[index]
    changed = mutate_bytes(source, code)[: 1 << 15]
    state = list(witness.state)
    before, after = keccak(code), keccak(changed)
    for at, node in enumerate(witness.state):
        if before in node:
            state = _repaired(state, at, state[at].replace(before, after))
    codes = (*witness.codes[:index], changed, *witness.codes[index + 1 :])
    hashes = {keccak(old): keccak(new) for old, new in zip(witness.state, state, strict=True)}
    parent = made.ancestors[-1]
    parent = replace(parent, state_root=hashes.get(parent.state_root, parent.state_root))
    return code, relink(made, parent, made.block, replace(witness, state=tuple(state), codes=codes))


def mutate_input(source: random.Random, made: MadeBlock, others: Sequence[bytes] = ()) -> Case:
    """A mutated input of one of every kind; others: encoded inputs to splice from."""
    encoded = parts_of(made).encode()
    match source.randrange(12):
        case 0:
            return Case("bytes", mutate_bytes(source, encoded, source.choice(others) if others else b""))
        case 1:
            return Case("offsets", mutate_offsets(source, encoded, 2))
        case 2 | 3:
            return mutate_witness(source, made)
        case 4:
            parts = parts_of(made)
            request = (
                mutate_bytes(source, parts.request) if source.random() < 0.5 else mutate_offsets(source, parts.request)
            )
            return Case("request", replace(parts, request=request).encode())
        case 5:
            return _mutate_frame(source, made)
        case _:
            try:
                how, block, witness = mutate_block(source, made)
                return Case(how, parts_of(made, block, witness).encode(), relinked=True)
            except (WitnessError, OverflowError, ValueError):
                # The encoder refuses what no schema holds, for example a base fee over 2^256.
                return Case("bytes", mutate_bytes(source, encoded))


def _mutate_frame(source: random.Random, made: MadeBlock) -> Case:
    parts = parts_of(made)
    match source.randrange(4):
        case 0:
            fork = source.choice(list(Fork))
            revision = source.choice((REVISION_BOUND, REVISION_UNBOUND, 0, 2, 0x7F))
            return Case("schema id", replace(parts, schema_id=fork << 8 | revision).encode(), relinked=True)
        case 1:
            chain_id = source.choice((0, 1, 11155111, 17000, 560048, made.chain_id + 1, (1 << 64) - 1))
            return Case("chain id", replace(parts, chain_id=chain_id).encode(), relinked=True)
        case _:
            keys = [bytearray(key) for key in parts.public_keys]
            if keys and source.random() < 0.5:
                source.choice(keys)[source.randrange(65)] ^= 1
            else:
                keys = keys[: source.randrange(len(keys) + 1)]
            return Case("public keys", replace(parts, public_keys=tuple(map(bytes, keys))).encode())
