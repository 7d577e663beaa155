"""
The fuzzer: hostile inputs for everything that reads what strangers send.

    ./dev python -m tests.hostile.fuzz --seconds 600 --seed 1
    ./dev python -m tests.hostile.fuzz --target guest --native PATH_OF_stateless --keep FOLDER

A target makes its cases in rounds; a round's random numbers come from (seed, target, round), so that one round can be
repeated alone (`--target guest --round 17 --seed 1`). Allowed is flag 0 or a typed refusal. A crash, a hang, any other
exception, or flag 1 for a block that was changed is a finding; findings are printed, kept with --keep, and make the exit
code 1. docs/specs/hostile-input.md says what each target checks.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path

from tests.hostile.blocks import MadeBlock
from tests.hostile.corpus import FORKS, corpus_block
from tests.hostile.guests import GuestEnd, in_machine, natively
from tests.hostile.json_forms import FORMS, mutate_json
from tests.hostile.mutate import (
    Case,
    mutate_block,
    mutate_bytes,
    mutate_input,
    mutate_offsets,
    mutate_rlp,
    parts_of,
)
from tests.hostile.rpc_answers import answer_forms, ask
from tests.hostile.watch import Finding, refusal_of
from witness import schema
from witness.block import Block, Header, Withdrawal, parse_requests, recover_public_key, versioned_hashes
from witness.errors import LimitExceeded, SchemaError, WitnessError
from witness.importers import import_input
from witness.schema import UNDECODABLE_RESULT, Fork, decode_result
from witness.validate import ReasonClass, Verdict, validate

ROUND_CASES = 24


@dataclass
class Outcome:
    """What some cases came to: counts by word, and what was wrong."""

    counts: Counter = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Outcome) -> None:
        """Takes over what another outcome has."""
        self.counts.update(other.counts)
        self.findings += other.findings


Target = Callable[[random.Random, int], Outcome]


@cache
def corpus() -> tuple[MadeBlock, ...]:
    """All corpus blocks."""
    return tuple(corpus_block(fork) for fork in FORKS)


@cache
def encoded_corpus() -> tuple[bytes, ...]:
    """Their inputs."""
    return tuple(parts_of(made).encode() for made in corpus())


# --- schema ----------------------------------------------------------------------------------------------------------


def fuzz_schema(source: random.Random, cases: int) -> Outcome:
    """decode_input and decode_result: a refusal, or a value whose one encoding is what was given."""
    outcome = Outcome()
    for _ in range(cases):
        given = source.choice(encoded_corpus())
        if source.random() < 0.5:
            given = mutate_offsets(source, given, 2)
        else:
            given = mutate_bytes(source, given, source.choice(encoded_corpus()))
        value, refusal, fault = refusal_of(partial(schema.decode_input, given), (SchemaError, LimitExceeded))
        if not fault and refusal is None and schema.encode_input(value) != given:
            fault = "decodes, and encodes to other bytes"
        _count(outcome, "schema", given, refusal, fault)
        result = mutate_bytes(source, bytes(source.choice((43, 42, 44))))
        _, refusal, fault = refusal_of(partial(decode_result, result), (SchemaError,))
        _count(outcome, "schema", result, refusal, fault)
    return outcome


def _count(outcome: Outcome, target: str, given: bytes, refusal: Exception | None, fault: str) -> None:
    if fault:
        what, _, detail = fault.partition("\n")
        outcome.findings.append(Finding(target, what, given, detail))
    outcome.counts["fault" if fault else type(refusal).__name__ if refusal else "accepted"] += 1


# --- RLP -------------------------------------------------------------------------------------------------------------


def fuzz_rlp(source: random.Random, cases: int) -> Outcome:
    """Headers, blocks, withdrawals, transactions: a refusal, or a value that encodes to the given bytes."""
    outcome = Outcome()
    for _ in range(cases):
        made = source.choice(corpus())
        transaction = source.choice(made.block.transactions)
        decoders: list[tuple[Callable[[bytes], object], bytes]] = [
            (lambda given: Header.decode(given).encode() == given, made.block.header.encode()),
            (lambda given: Block.decode(given).encode() == given, made.block.encode()),
            (lambda given: Withdrawal.decode(given).encode() == given, Withdrawal(1, 2, bytes(20), 300).encode()),
            (lambda given: len(recover_public_key(given)) == 65, transaction),
            (lambda given: versioned_hashes([given]) is not None, transaction),
            (lambda given: parse_requests([given]) is not None, bytes([source.randrange(4)]) + bytes(192)),
        ]
        decode, given = source.choice(decoders)
        typed = given[:1] < b"\x80" and given == transaction
        given = given[:1] + mutate_rlp(source, given[1:]) if typed else mutate_rlp(source, given)
        value, refusal, fault = refusal_of(partial(decode, given))
        if value is False:
            fault = "decodes, and encodes to other bytes"
        _count(outcome, "rlp", given, refusal, fault)
    return outcome


# --- importers and JSON ----------------------------------------------------------------------------------------------


def fuzz_import(source: random.Random, cases: int) -> Outcome:
    """import_input on canonical bytes, block files, gzip of either, and bombs."""
    outcome = Outcome()
    for _ in range(cases):
        made = source.choice(corpus())
        match source.randrange(4):
            case 0:
                given = mutate_bytes(source, source.choice(encoded_corpus()))
            case 1:
                given = json.dumps(mutate_json(source, block_file(made))).encode()
            case 2:
                given = mutate_bytes(source, json.dumps(block_file(made)).encode())
            case _:
                given = bytes([0x7B, 0x5B][source.randrange(2)] for _ in range(source.choice((10, 5000))))
        if source.random() < 0.3:
            given = gzip.compress(given, 1)
            given = mutate_bytes(source, given) if source.random() < 0.5 else given
        _, refusal, fault = refusal_of(partial(import_input, given))
        _count(outcome, "import", given, refusal, fault)
    return outcome


def block_file(made: MadeBlock) -> dict:
    """The block as a block file."""
    witness = made.witness
    contents = {
        "chainId": made.chain_id,
        "fork": made.fork.label,
        "block": "0x" + made.block.encode().hex(),
        "witness": {
            name: ["0x" + element.hex() for element in getattr(witness, name)] for name in ("state", "codes", "headers")
        },
    }
    if made.fork >= Fork.PRAGUE:
        contents["requests"] = ["0x" + request.hex() for request in made.requests]
    return contents


def fuzz_json(source: random.Random, cases: int) -> Outcome:
    """Every reader of a JSON value: execution witnesses, headers, genesis files, fixtures."""
    outcome = Outcome()
    forms = (*FORMS, *answer_forms())
    for _ in range(cases):
        form = source.choice(forms)
        given = mutate_json(source, form.example())
        _, refusal, fault = refusal_of(partial(form.read, given), form.refusals)
        _count(outcome, f"json {form.name}", json.dumps(given)[: 1 << 20].encode(), refusal, fault)
    return outcome


def fuzz_rpc(source: random.Random, cases: int) -> Outcome:
    """A node whose answers are mutated: a refusal, or what its chain really has."""
    outcome = Outcome()
    for _ in range(max(1, cases // 8)):
        name, asked, is_true = ask(source)
        value, refusal, fault = refusal_of(asked)
        if not fault and refusal is None and not is_true(value):
            fault = "accepted another answer than the true one"
        _count(outcome, f"rpc {name}", repr(value or refusal)[:2000].encode(), refusal, fault)
    return outcome


# --- the guest against the oracle ------------------------------------------------------------------------------------


def settled(made: MadeBlock, block: Block, witness: schema.ExecutionWitness) -> Block:
    """
    The block with the computed fields of its header as the oracle computes them, as far as it gets.

    Then nothing but the change itself stands in the way of flag 1.
    """
    patterns = (
        ("gas_used", r"gas used is (\d+)", int),
        ("receipts_root", r"receipts root is 0x(\w+)", bytes.fromhex),
        ("state_root", r"state root is 0x(\w+)", bytes.fromhex),
    )
    for _ in range(len(patterns)):
        verdict, _, fault = refusal_of(partial(validate, parts_of(made, block, witness).encode()))
        if fault or verdict is None or verdict.valid:
            return block
        for name, pattern, convert in patterns:
            if found := re.match(pattern, verdict.reason):
                block = replace(block, header=replace(block.header, **{name: convert(found[1])}))
                break
        else:
            return block
    return block


def guest_case(source: random.Random) -> tuple[MadeBlock, Case]:
    """A mutated input, and the block that it was made from."""
    made = source.choice(corpus())
    if source.random() < 0.25:
        try:
            how, block, witness = mutate_block(source, made)
            block = settled(made, block, witness)
            return made, Case(f"{how}, settled", parts_of(made, block, witness).encode(), relinked=True)
        except (WitnessError, OverflowError, ValueError):
            pass
    return made, mutate_input(source, made, encoded_corpus())


def fuzz_guest(source: random.Random, cases: int, native: Path | None = None) -> Outcome:
    """The guest ends with 43 bytes, the oracle's; flag 1 only for what was not changed, or what both find valid."""
    outcome = Outcome()
    pairs = [guest_case(source) for _ in range(cases)]
    inputs = [case.encoded for _, case in pairs]
    ends = natively(native, inputs) if native else [in_machine(encoded) for encoded in inputs]
    for (made, case), end in zip(pairs, ends, strict=True):
        verdict, refusal, fault = refusal_of(partial(validate, case.encoded), (LimitExceeded,))
        problem = fault.partition("\n")[0] or end.fault or (refusal is None and compare(made, case, end, verdict)) or ""
        if problem:
            detail = f"{case.how}; guest: {end.reason}; oracle: {verdict.reason if verdict else fault}"
            outcome.findings.append(Finding(f"guest {made.fork.label}", problem, case.encoded, detail))
        outcome.counts["fault" if problem else _word(end, verdict)] += 1
    return outcome


def _word(end: GuestEnd, verdict: Verdict | None) -> str:
    if verdict is None:
        return "oracle gave up"
    return "valid" if verdict.valid else verdict.reason_class.value


_MISSING = re.compile(r"missing (node|code) (0x[0-9a-f]{64})")


def compare(made: MadeBlock, case: Case, end: GuestEnd, verdict: Verdict) -> str:
    """What is wrong with a pair of verdicts on one case, "" if nothing is."""
    if end.output != verdict.encoded and not beyond_a_limit(end.reason):
        return f"guest says {end.output.hex()}, the oracle {verdict.encoded.hex()}"
    # Before Paris an input states no block hash: another block may well be valid, its seal is not checked.
    pinned = not case.relinked and made.fork >= Fork.PARIS
    if end.output[32] == 1 and pinned and end.output[:32] != made.stateless_input().request_root():
        return f"flag 1 for a changed block: {end.output.hex()}"
    if end.output == UNDECODABLE_RESULT and verdict.reason_class is not ReasonClass.UNDECODABLE:
        return "one finds it undecodable, the other not"
    guest, oracle = _MISSING.search(end.reason), _MISSING.search(verdict.reason or "")
    if guest and oracle and guest.groups() != oracle.groups() and case.how.startswith("witness"):
        return f"guest misses {guest[0]}, the oracle {oracle[0]}"
    return ""


BEYOND = (
    re.compile(r"a blob base fee of 2\^128 wei or more"),
    re.compile(r"(transaction \d+: )?RLP integer too large"),
    # A base fee of a payload has 256 bits, the guest's header 64.
    re.compile(r"base fee \d{20,}"),
    re.compile(r"transaction \d+: a (blob )?fee of 2\^128 wei or more"),
)
"""Reasons of the guest for limits beyond the protocol's (docs/specs/stateless-input.md)."""


def beyond_a_limit(reason: str) -> bool:
    """Whether the guest refused for a limit that the protocol, and so the oracle, does not have."""
    return any(limit.fullmatch(reason.removeprefix("invalid: ")) for limit in BEYOND)


# --- running ---------------------------------------------------------------------------------------------------------

TARGETS: dict[str, Target] = {
    "schema": fuzz_schema,
    "rlp": fuzz_rlp,
    "import": fuzz_import,
    "json": fuzz_json,
    "rpc": fuzz_rpc,
    "guest": fuzz_guest,
}

SHARES = {"guest": 6, "rpc": 2}
"""Shares of the time, 1 where none is named: the guest's cases take the oracle some 0.1 s each."""


def run_round(name: str, seed: int, number: int, cases: int = ROUND_CASES, target: Target | None = None) -> Outcome:
    """One round of a target; the same arguments give the same cases."""
    source = random.Random(f"{seed}/{name}/{number}")
    return (target or TARGETS[name])(source, cases)


def keep_finding(folder: Path, finding: Finding) -> Path:
    """Writes the input and a description of a finding; returns the file of the input."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{finding.target.replace(' ', '-')}-{hashlib.sha256(finding.encoded).hexdigest()[:12]}"
    (folder / f"{name}.txt").write_text(f"{finding.target}\n{finding.what}\n{finding.detail}\n")
    path = folder / f"{name}.bin"
    path.write_bytes(finding.encoded)
    return path


def main(arguments: Sequence[str]) -> int:
    """The command; exit code 0, 1 where something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.fuzz", description=__doc__.splitlines()[1])
    parser.add_argument("--seconds", type=float, default=600, help="how long, over all targets (default 600)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="only these; may be repeated")
    parser.add_argument("--round", type=int, help="only this round of each target")
    parser.add_argument(
        "--native", type=Path, help="the native `stateless` program, many times faster than the emulator"
    )
    parser.add_argument("--keep", type=Path, help="folder for the inputs of findings")
    options = parser.parse_args(arguments)
    names = options.target or list(TARGETS)
    targets = {**TARGETS, "guest": partial(fuzz_guest, native=options.native)}
    totals = {name: Outcome() for name in names}
    spent = dict.fromkeys(names, 0.0)
    rounds = dict.fromkeys(names, 0 if options.round is None else options.round)
    seen: Counter = Counter()
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        # The target that has had the least of its share of the time is next.
        name = min(names, key=lambda name: spent[name] / SHARES.get(name, 1))
        begin = time.monotonic()
        outcome = run_round(name, options.seed, rounds[name], target=targets[name])
        spent[name] += time.monotonic() - begin
        for finding in outcome.findings:
            seen[finding.target, finding.what] += 1
            if seen[finding.target, finding.what] > 3:
                continue
            kept = f" -> {keep_finding(options.keep, finding)}" if options.keep else ""
            print(
                f"{finding.target}, round {rounds[name]}: {finding.what}\n    {finding.detail[:600]}{kept}", flush=True
            )
        totals[name].add(outcome)
        rounds[name] += 1
        if options.round is not None and all(rounds[name] > options.round for name in names):
            break
    for name, total in totals.items():
        counts = ", ".join(f"{word} {count}" for word, count in total.counts.most_common())
        print(f"{name}: {sum(total.counts.values())} cases in {rounds[name]} rounds, {spent[name]:.0f} s: {counts}")
    found = sum(len(total.findings) for total in totals.values())
    print(f"findings: {found}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
