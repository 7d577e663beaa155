"""
Blocks of geth in developer mode at Osaka: collected from its debug_executionWitness, and without it.

Run by `./dev test-geth`, which builds geth first.
"""

import pytest
from live_chain import BLOCKS
from live_checks import block_of, collected
from live_nodes import LiveChain

from rpc.node import Node
from witness.schema import Fork

pytestmark = pytest.mark.geth


@pytest.mark.parametrize("name", BLOCKS)
def test_both_ways_give_the_same_input(geth: LiveChain, name: str) -> None:
    """From the node's witness, and from eth_getProof with the prestateTracer: accepted, and equal to the byte."""
    for number in geth.blocks[name]:
        given = collected(geth, number)
        assert given.fork is Fork.OSAKA
        assert collected(geth, number, hidden=("execution_witness",)).encoded == given.encoded


@pytest.mark.parametrize("name", ["self-destructions", "collapse-to-branch", "delegations", "withdrawal-requests-rest"])
def test_the_hints_change_nothing(geth: LiveChain, name: str) -> None:
    """With eth_createAccessList in the tracer's place, and with neither."""
    number = geth.blocks[name][0]
    given = collected(geth, number)
    for hidden in (("prestate",), ("prestate", "access_list"), ("prestate", "access_list", "storage_keys_from")):
        assert collected(geth, number, hidden=("execution_witness", *hidden)).encoded == given.encoded


def test_what_geth_offers(geth: LiveChain) -> None:
    """The witness has JSON headers and no keys, as the importer expects of geth; each hint is offered."""
    number = geth.blocks["collapse-to-leaf"][0]
    answer = geth.rpc("debug_executionWitness", hex(number))
    assert answer["keys"] is None and isinstance(answer["headers"][0], dict)
    block, node = block_of(geth, number), Node(geth.url)
    assert node.execution_witness(block) is not None
    assert node.prestate(block)
    assert node.access_list(block, 0)
    node.close()
