"""What the fuzzer has found, each made again as small as it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import rlp
from eth_hash.auto import keccak

from tests.hostile.blocks import Sender, deploy, make_block, private_key
from tests.hostile.corpus import ETHER, corpus_block
from tests.hostile.guests import in_machine
from tests.hostile.mutate import parts_of, relink
from tests.hostile.watch import at_most
from witness.errors import FormatError, TrieError
from witness.importers import header_from_json
from witness.record import GenesisAccount
from witness.schema import Fork, decode_result
from witness.trie import EMPTY_TRIE_ROOT, AccountRecord, NodeStore, SparseTrie
from witness.validate import ReasonClass, validate


@pytest.mark.parametrize("excess", [1 << 63, (1 << 64) - 1 - (1 << 20)])
def test_an_absurd_blob_price_takes_no_time(excess: int) -> None:
    """EELS sums excess / fraction terms of the price: 2^40 of them for a header that says so. Found: a hang."""
    made = corpus_block(Fork.OSAKA)
    parent = replace(made.ancestors[-1], excess_blob_gas=excess)
    own = replace(made.block, header=replace(made.block.header, excess_blob_gas=excess))
    for block, witness in (relink(made, parent, made.block, made.witness), (own, made.witness)):
        encoded = parts_of(made, block, witness).encode()
        with at_most(20):
            verdict = validate(encoded)
        assert verdict.reason_class is ReasonClass.CONSENSUS
        assert "blob base fee of 2^128 wei" in verdict.reason
        assert in_machine(encoded).output == verdict.encoded


def test_a_header_that_is_no_object() -> None:
    """Found: AttributeError."""
    for value in (None, 1, "0x", [], True):
        with pytest.raises(FormatError, match="a header is not an object"):
            header_from_json(value)


def test_a_code_created_in_the_block_needs_no_witness() -> None:
    """
    A contract of the parent's state has a code that an earlier transaction creates elsewhere.

    Found: the oracle and the recorder asked for it, the guest did not. With the transactions in the other order, and
    where the creation is reverted, the code is needed.
    """
    sender = Sender(private_key("creator"))
    twin, code = bytes([7] * 20), bytes.fromhex("6001600155")
    accounts = {sender.address: GenesisAccount(balance=ETHER), twin: GenesisAccount(nonce=1, code=code)}
    create, call = (lambda: sender.dynamic(b"", deploy(code))), (lambda: sender.dynamic(twin))
    first = make_block(Fork.OSAKA, accounts, [create(), call()])
    assert code not in first.witness.codes
    sender.nonce = 0
    second = make_block(Fork.OSAKA, accounts, [call(), create()])
    assert code in second.witness.codes
    for made in (first, second):
        encoded = parts_of(made).encode()
        assert validate(encoded).valid
        assert decode_result(in_machine(encoded).output).successful_validation


def test_a_schema_of_another_chain() -> None:
    """Before Prague a chain's deposit contract matters to nobody. Found: RuntimeError on the second contract."""
    made = corpus_block(Fork.PARIS)
    assert validate(parts_of(made).encode()).valid
    verdict = validate(replace(parts_of(made), chain_id=17000).encode())
    assert not verdict.valid


LEAF_VALUE = AccountRecord(1, 2).encode()
INLINE = [b"\x20", b"\x01"]
MALFORMED: dict[str, Callable[[], object]] = {
    "path flags over 0x3f": lambda: [b"\x40" + bytes(32), LEAF_VALUE],
    "even path with a low nibble": lambda: [b"\x21" + bytes(32), LEAF_VALUE],
    "no path": lambda: [b"", LEAF_VALUE],
    "short leaf": lambda: [b"\x20" + bytes(31), LEAF_VALUE],
    "long leaf": lambda: [b"\x20" + bytes(33), LEAF_VALUE],
    "leaf without value": lambda: [b"\x20" + bytes(32), b""],
    "extension of no nibble": lambda: [b"\x00", bytes([1] * 32)],
    "extension to nothing": lambda: [b"\x11", b""],
    "extension over the key": lambda: [b"\x00" + bytes(32), bytes([1] * 32)],
    "branch of one child": lambda: [bytes([1] * 32), *[b""] * 16],
    "branch with a value": lambda: [bytes([1] * 32), bytes([2] * 32), *[b""] * 14, b"\x01"],
    "branch of 18": lambda: [bytes([1] * 32), bytes([2] * 32), *[b""] * 16],
    "hash of 31 bytes": lambda: [bytes([1] * 31), bytes([2] * 32), *[b""] * 15],
    "inline node of 32 bytes or more": lambda: [[b"\x20", bytes([3] * 40)], bytes([2] * 32), *[b""] * 15],
    "a string": lambda: b"\x80" * 40,
    "deep": lambda: [INLINE, [INLINE, [INLINE]]],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_node_is_no_node(name: str) -> None:
    """Found: the Python trie took a path of flags 0x8 and a leaf of another length for nodes; the guest never did."""
    node = rlp.encode(MALFORMED[name]())
    for action in (lambda trie: trie.get(bytes(32)), lambda trie: trie.update({bytes(32): b"\x01"})):
        with pytest.raises(TrieError):
            action(SparseTrie(NodeStore.of([node]), keccak(node), "account trie"))


def test_an_empty_trie_is_one() -> None:
    assert SparseTrie(NodeStore.of([b"\x80"]), EMPTY_TRIE_ROOT).get(bytes(32)) == b""
