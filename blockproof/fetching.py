"""
Blocks from a node, as a library: `fetch` a block's input, with its witness, over JSON-RPC.

    from blockproof import fetch, prove
    block = fetch(21429063, "http://127.0.0.1:8545")
    prove(block, "block.proof")

What comes back has been executed by the block guest and is valid; anything else is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from blockproof.errors import BlockproofError, RefusedError, UsageError

if TYPE_CHECKING:
    from rpc.node import Node
    from rpc.transport import RpcStatistics
    from witness.chains import ChainConfig
    from witness.importers import LoadedInput

URL_VARIABLE = "BLOCKPROOF_RPC"
AUTHORIZATION_VARIABLE = "BLOCKPROOF_RPC_AUTHORIZATION"
"""The value of an Authorization header, for nodes that want one. Not an option: options show in the list of processes."""

MAX_RANGE = 1_000_000
_MOST = 1_000_000
"""Calls per second, seconds."""

_NUMBER = re.compile(r"[0-9]{1,20}\Z|0[xX][0-9a-fA-F]{1,16}\Z", re.ASCII)
_HASH = re.compile(r"0[xX][0-9a-fA-F]{64}\Z", re.ASCII)
_TAGS = ("latest", "safe", "finalized", "earliest")


class IncompleteInputError(RefusedError):
    """The guest does not accept what was collected. Nothing of it is written."""


@dataclass(frozen=True)
class RpcOptions:
    """
    How a node is asked.

    rate: calls per second, None for no limit; timeout: seconds for one answer, four times as many where
    the node executes for it; total: seconds for one block; cache: keep
    immutable answers on disk; authorization: of the HTTP requests, else what BLOCKPROOF_RPC_AUTHORIZATION holds.
    """

    rate: float | None = None
    timeout: float = 30.0
    total: float = 3600.0
    cache: bool = True
    authorization: str | None = field(default=None, repr=False)


def parse_identifier(text: str) -> int | bytes | str:
    """The number (decimal or 0x), the 32-byte hash or the tag in a text. Raises UsageError."""
    if text in _TAGS:
        return text
    if _HASH.match(text):
        return bytes.fromhex(text[2:])
    if _NUMBER.match(text):
        return int(text, 0) if text[:2] in ("0x", "0X") else int(text)
    raise UsageError(
        f"{text[:80]!r} names no block", f"give a number, a 32-byte hash in 0x.. or one of {', '.join(_TAGS)}"
    )


def parse_range(text: str) -> range | None:
    """The numbers of `A..B`, both included; None where the text is no range. Raises UsageError."""
    first, dots, last = text.partition("..")
    if not dots:
        return None
    numbers = [parse_identifier(part) if _NUMBER.match(part) else None for part in (first, last)]
    if None in numbers or numbers[0] > numbers[1]:
        raise UsageError(
            f"{text[:80]!r} is no range of blocks", "give two numbers, the smaller first, as in 24628607..24628620"
        )
    if numbers[1] - numbers[0] >= MAX_RANGE:
        raise UsageError(f"a range of more than {MAX_RANGE:,} blocks", "fetch it in parts")
    return range(numbers[0], numbers[1] + 1)


def open_node(
    url: str,
    options: RpcOptions = RpcOptions(),
    progress: Callable[[RpcStatistics], None] | None = None,
) -> Node:
    """A client of the node at `url`. Nothing is asked yet. Raises rpc.errors.BadUrl, UsageError."""
    from rpc.cache import AnswerCache
    from rpc.node import Node
    from rpc.transport import RpcLimits

    for name, value in (("--rate", options.rate), ("--timeout", options.timeout), ("--total-timeout", options.total)):
        if value is not None and not 0 < value <= _MOST:
            raise UsageError(f"{name} {value:g} is out of range", f"give a number above 0 and up to {_MOST:,}")
    limits = RpcLimits(
        call_seconds=options.timeout,
        slow_seconds=4 * options.timeout,
        total_seconds=options.total,
        calls_per_second=options.rate,
    )
    authorization = options.authorization or os.environ.get(AUTHORIZATION_VARIABLE)
    headers = {"Authorization": authorization} if authorization else None
    return Node(url, headers=headers, limits=limits, cache=AnswerCache() if options.cache else None, progress=progress)


def fetch_from(
    node: Node,
    identifier: int | bytes | str,
    chain: ChainConfig | None = None,
    note: Callable[[str], None] | None = None,
) -> LoadedInput:
    """
    The input of a block from an open node, accepted by the guest.

    note: called with one line at a time. Raises rpc.errors.RpcError, WitnessError, IncompleteInputError.
    """
    from witness.errors import WitnessError

    try:
        return _fetch_from(node, identifier, chain, note and (lambda line: note(node.scrub(line))))
    except (WitnessError, BlockproofError) as error:
        # A node knows the credentials that it is asked with, and may put them into what errors repeat of its words.
        for name in ("cause", "mend"):
            if isinstance(getattr(error, name, None), str):
                setattr(error, name, node.scrub(getattr(error, name)))
        error.args = tuple(node.scrub(part) if isinstance(part, str) else part for part in error.args)
        raise


def _fetch_from(
    node: Node,
    identifier: int | bytes | str,
    chain: ChainConfig | None,
    note: Callable[[str], None] | None,
) -> LoadedInput:
    from blockproof import pipeline
    from rpc.collect import collect
    from witness.importers import import_input
    from witness.schema import encode_input

    node.begin()
    accepted: LoadedInput | None = None

    def guest(encoded: bytes) -> str | None:
        """Why the guest refuses an input, None where it accepts it."""
        nonlocal accepted
        loaded = import_input(encoded, chain)
        if note is not None:
            note(f"block {loaded.number}: executing in the guest")
        verdict = pipeline.execute(loaded)
        if not verdict.is_valid:
            return verdict.reason
        accepted = loaded
        return None

    collected = collect(node, identifier, chain, note, guest=guest)
    encoded = encode_input(collected)
    if accepted is None or accepted.encoded != encoded:
        # Nothing leaves here that the guest has not accepted, byte for byte.
        reason = guest(encoded)
        if reason is not None:
            raise IncompleteInputError(
                f"the guest does not accept what was collected: {reason}",
                "nothing is written; ask another node, or one with debug_executionWitness",
            )
    if not isinstance(identifier, bytes):
        # Who asks by number or tag means the chain; who asks by hash means that block, on the chain or not.
        node.check_on_chain(accepted.number, accepted.block_hash)
    return accepted


def fetch_input(
    identifier: int | bytes | str,
    url: str,
    chain: ChainConfig | None = None,
    options: RpcOptions = RpcOptions(),
    note: Callable[[str], None] | None = None,
) -> LoadedInput:
    """
    The input of a block from the node at `url`, accepted by the guest.

    identifier: a number, a 32-byte hash or a tag; a text is read as on the command line. chain: where its id is not
    known. Raises UsageError, IncompleteInputError, rpc.errors.RpcError, WitnessError.
    """
    if isinstance(identifier, str):
        identifier = parse_identifier(identifier)
    node = open_node(url, options)
    try:
        return fetch_from(node, identifier, chain, note)
    finally:
        node.close()


def fetch(
    identifier: int | bytes | str,
    url: str | None = None,
    output: str | Path | None = None,
    chain: ChainConfig | None = None,
    options: RpcOptions = RpcOptions(),
) -> LoadedInput:
    """
    fetch_input, from the node that BLOCKPROOF_RPC names if no other is; written to `output` if given, whole or not at
    all.
    """
    from rpc.cache import write_whole

    url = url or os.environ.get(URL_VARIABLE)
    if not url:
        raise UsageError("no node is named", f"give its address, or set {URL_VARIABLE}")
    loaded = fetch_input(identifier, url, chain, options)
    if output is not None:
        write_whole(Path(output), loaded.encoded, durable=True)
    return loaded
