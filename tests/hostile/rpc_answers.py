"""
A node whose answers are mutated: whatever it says ends in a typed refusal, or in the block and the input that its chain has.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from rpc import answers
from rpc.collect import collect
from rpc.node import Node
from rpc.proofs import verify_account, verify_answers
from tests.hostile.corpus import STORE, corpus_block, word
from tests.hostile.json_forms import Form, mutate_json
from tests.rpc.fake_chain import DESTROYER, WRITER, chain_of_blocks, slot
from tests.rpc.fake_node import QUICK, FakeNode, Forms, Lies, block_to_json, transaction_to_json
from witness.chains import ChainConfig
from witness.schema import Fork

LIMITS = replace(QUICK, attempts=2, back_off_seconds=0.001, total_seconds=20)
METHODS = tuple(name.removeprefix("_") for name in dir(FakeNode) if name.startswith(("_eth_", "_debug_")))


@cache
def _configuration() -> ChainConfig:
    return ChainConfig("fake", chain_of_blocks().chain_id, blocks=((0, Fork.PRAGUE),), timestamps=())


def answer_forms() -> tuple[Form, ...]:
    """What reads single answers, as forms of JSON."""
    made = corpus_block(Fork.OSAKA)
    block = made.block

    def proof() -> dict:
        nodes = ["0x" + node.hex() for node in made.witness.state[:5]]
        listed = {"key": "0x" + word(3).hex(), "value": "0x1", "proof": nodes[:2]}
        return {"address": "0x" + STORE.hex(), "accountProof": nodes, "balance": "0x0", "storageProof": [listed]}

    def read_proof(answer: object) -> object:
        found = answers.read_proof(answer, STORE, [word(3)])
        return verify_account(made.ancestors[-1].state_root, found, [word(3)])

    def read_block(answer: object) -> object:
        return answers.read_body(answer, answers.read_header(answer), ())

    transactions = [transaction_to_json(one, block, index) for index, one in enumerate(block.transactions)]
    kinds = tuple(
        Form(f"answer, transaction {index}", lambda index=index: transactions[index], answers.encode_transaction)
        for index in (0, 11, 12, 13, 14)
    )
    prestate = {"0x" + "11" * 20: {"balance": "0x1", "storage": {"0x" + "22" * 32: "0x" + "33" * 32}}}
    access_list = {"accessList": [{"address": "0x" + "11" * 20, "storageKeys": ["0x" + "22" * 32]}], "gasUsed": "0x1"}
    return (
        *kinds,
        Form("answer, block", lambda: block_to_json(block, whole=True), read_block),
        Form("answer, proof", proof, read_proof),
        Form("answer, prestate", lambda: prestate, answers.read_touched),
        Form("answer, access list", lambda: access_list, answers.read_access_list),
    )


def lying(source: random.Random, share: float) -> Lies:
    """Answers of every method mutated, a share of them; now and then a whole batch."""

    def lie(_: list, result: object) -> object:
        return mutate_json(source, result) if source.random() < share else result

    def lie_in_batch(batch: list) -> object:
        return mutate_json(source, batch) if source.random() < share / 4 else batch

    return Lies(answers=dict.fromkeys(METHODS, lie), of_batches=lie_in_batch)


def ask(source: random.Random) -> tuple[str, Callable[[], object], Callable[[object], bool]]:
    """A question to a lying node: its name, the question, and whether an answer is the true one."""
    chain = chain_of_blocks()
    number = source.randrange(1, len(chain.blocks))
    forms = Forms(
        witness=source.choice((None, None, "reth", "geth", "map", "by hash")),
        prestate=source.random() < 0.5,
        access_lists=source.random() < 0.5,
        raw=source.random() < 0.5,
        batches=source.random() < 0.8,
    )
    lies = lying(source, source.choice((0.02, 0.1, 0.5)))
    block, header = chain.blocks[number], chain.blocks[number].header
    wanted = {WRITER: [slot(0), slot(101)], DESTROYER: []}
    questions: dict[str, tuple[Callable[[Node], object], Callable[[object], bool]]] = {
        "header": (lambda node: node.header(header.hash), lambda found: found == header),
        "block": (lambda node: node.block(header.hash), lambda found: found == block),
        "proofs": (
            lambda node: verify_answers(header.state_root, wanted, node.proofs(header, wanted)),
            lambda found: all(set(one.nodes()) <= set(chain.states[number].nodes) for one in found),
        ),
        # Codes and witnesses are hashed by whoever asked.
        "codes": (lambda node: node.codes(header, [WRITER]), lambda found: set(found) == {WRITER}),
        "witness": (lambda node: node.execution_witness(block), lambda found: True),
        "collect": (
            lambda node: collect(node, header.hash, _configuration()),
            lambda found: bytes(found.request.execution_payload.block_hash) == header.hash,
        ),
    }
    name = source.choice(list(questions))
    question, is_true = questions[name]

    def asked() -> object:
        with FakeNode(chain, forms, lies) as fake, Node(fake.url, limits=LIMITS) as node:
            return question(node)

    return name, asked, is_true
