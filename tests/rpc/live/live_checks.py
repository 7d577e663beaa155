"""What is expected of every block that the collector takes from a real node."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner, Result
from live_nodes import LiveChain

from blockproof import pipeline
from blockproof.cli import main
from rpc.collect import collect
from rpc.node import Node
from rpc.source import Source
from witness.block import Block
from witness.chains import ChainConfig, load_chain
from witness.importers import LoadedInput, import_input
from witness.schema import encode_input, encode_result
from witness.validate import validate


class Without:
    """A node of which some methods of Source are not used: they answer None, as where the node does not offer them."""

    def __init__(self, source: Source, *hidden: str) -> None:
        self._source, self._hidden = source, hidden

    def __getattr__(self, name: str) -> object:
        return (lambda *arguments: None) if name in self._hidden else getattr(self._source, name)


def collected(live: LiveChain, number: int, config: ChainConfig | None = None, hidden: tuple[str, ...] = ()) -> LoadedInput:
    """
    What the collector makes of a block, accepted.

    Oracle and shipped guest say flag 1 with the same 43 bytes, and the state after the block has the root, the block the
    hash, that the node states. hidden: methods of Source that are not used.
    """
    config = config or load_chain(live.genesis)
    node = Node(live.url)
    try:
        encoded = encode_input(collect(Without(node, *hidden), number, config))
    finally:
        node.close()
    judged = validate(encoded)
    assert judged.valid, judged.reason
    loaded = import_input(encoded, config)
    ran = pipeline.execute(loaded)
    assert ran.is_valid, ran.reason
    assert encode_result(ran.result) == judged.encoded
    stated = live.rpc("eth_getBlockByNumber", hex(number), False)
    assert "0x" + judged.executed.post_state_root.hex() == stated["stateRoot"]
    assert "0x" + loaded.block_hash.hex() == stated["hash"]
    assert loaded.number == number
    return loaded


def block_of(live: LiveChain, number: int) -> Block:
    """A block as the collector reads it."""
    node = Node(live.url)
    try:
        return node.block(number)
    finally:
        node.close()


def blockproof(*arguments: str | int | Path) -> Result:
    """The command line, in this process. An exception that is no exit would be a user's traceback: it fails the test."""
    ended = CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="blockproof")
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    return ended
