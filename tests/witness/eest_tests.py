"""Runs EEST blockchain tests through recorder and oracle."""

from __future__ import annotations

from witness.block import Block, block_to_request, recover_public_keys
from witness.errors import MissingWitness, WitnessError
from witness.fixtures import Fixture
from witness.record import execute_on, state_after, state_from_accounts
from witness.schema import REVISION_UNBOUND, Fork, StatelessInput, encode_input
from witness.validate import validate


def disagreements_of(test: Fixture, minimal_too: bool = True) -> list[str]:
    """
    Disagreements with a blockchain test, empty if there is none.

    Each block is executed on the whole state; a valid one is then validated again from its recorded witness alone.
    """
    disagreements = []
    state = state_from_accounts(test.pre)
    genesis = Block.decode(test.genesis)
    if genesis.header.state_root != state.root:
        return [f"genesis state root {state.root.hex()}"]
    headers = [genesis.header]
    for index, given in enumerate(test.blocks):
        try:
            block = Block.decode(given.rlp)
            fork = test.fork_of(given)
            chain = [header.encode() for header in headers[-256:]]
            executed = execute_on(state, chain, block, test.chain_id, fork, REVISION_UNBOUND)
            requests = executed.requests if fork >= Fork.PRAGUE else None
            request = block_to_request(block, fork, requests)
            keys = recover_public_keys(block.transactions)
        except MissingWitness as error:
            disagreements.append(f"block {index}: {error}")
            break
        except WitnessError as error:
            if given.exception is None:
                disagreements.append(f"block {index}: refused a valid block: {type(error).__name__}: {error}")
                break
            continue
        if given.exception is not None:
            disagreements.append(f"block {index}: accepted, expected {given.exception}")
            break
        if minimal_too:
            recorded = StatelessInput(fork, request, executed.touched, test.chain_id, keys, REVISION_UNBOUND)
            verdict = validate(encode_input(recorded))
            if not verdict.valid:
                disagreements.append(f"block {index}: the recorded witness is not enough: {verdict.reason}")
        state = state_after(state, executed)
        headers.append(block.header)
    if not disagreements and headers[-1].hash != test.last_block_hash:
        disagreements.append(f"last block is {headers[-1].hash.hex()}")
    return disagreements
