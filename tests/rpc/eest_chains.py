"""The valid blocks of EEST blockchain tests, each with the whole states before and after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from witness.block import Block, Header
from witness.chains import ChainConfig
from witness.fixtures import Fixture
from witness.record import WholeState, execute_on, state_after, state_from_accounts
from witness.schema import REVISION_UNBOUND, Fork
from witness.validate import Executed


@dataclass(frozen=True)
class Step:
    """A valid block of a test. headers: its ancestors, oldest first; slots: of the accounts before the test."""

    chain: ChainConfig
    fork: Fork
    headers: tuple[Header, ...]
    before: WholeState
    block: Block
    after: WholeState
    executed: Executed


def valid_blocks(test: Fixture) -> Iterator[Step]:
    """Every block of a test that is expected to be valid, in order."""
    state = state_from_accounts(test.pre)
    headers = [Block.decode(test.genesis).header]
    for given in test.blocks:
        if given.exception is not None:
            continue
        block, fork = Block.decode(given.rlp), test.fork_of(given)
        chain = chain_of(test.chain_id, fork)
        encoded = [header.encode() for header in headers[-256:]]
        executed = execute_on(state, encoded, block, test.chain_id, fork, REVISION_UNBOUND)
        after = state_after(state, executed)
        yield Step(chain, fork, tuple(headers), state, block, after, executed)
        state = after
        headers.append(block.header)


def chain_of(chain_id: int, fork: Fork) -> ChainConfig:
    """A chain that is under one fork from its beginning."""
    return ChainConfig(f"{fork.label} only", chain_id, blocks=((0, fork),), timestamps=())
