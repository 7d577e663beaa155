"""
The verifier. Read this file first: it is the protocol, in the order of the transcript.

Statement
---------
`verify` accepts a proof file if, and but for an error of 2^-bits only if, the program with the returned id has a run
of the machine, on some private input, that ends as the machine's rules demand with the returned output.

    1. read the head         form only; no arithmetic on anything the prover chose
    2. parameters, shapes    lengths, limits, the security calculator
    3. statement             program id, output, how the shards' public values chain
    4. global challenge      after every boundary root
    5. each shard            one STARK; its global sums are kept
    6. global balance        what all shards and the verifier put on the global buses cancels

Step 5 for one shard:
    5.1 boundary root is in the head; absorb main root, draw the local LogUp challenge
    5.2 absorb auxiliary root and sums; local messages cancel; draw the folding challenge
    5.3 absorb quotient root; draw the point z
    5.4 absorb the opened values; every chip's constraints hold at z; draw the batching challenges
    5.5 FRI: absorb a root per layer, draw its challenges; absorb the final polynomial; draw the queries
    5.6 each query: rows are the committed ones, they give the value of the word, and folding it leads to the final
    polynomial

prove.py has the same numbers.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from zkvm.field.extension import ZERO, Extension
from zkvm.kernels.reference.poseidon2 import Digest
from zkvm.protocol.arithmetic import Arithmetic, Plain
from zkvm.protocol.challenge import Context, begin_global, begin_shard, draw_logup
from zkvm.protocol.checks import Checks
from zkvm.protocol.commitment import root_of_opening
from zkvm.protocol.constraints import folded_constraints_at_point, quotient_at_point
from zkvm.protocol.errors import Reason, Refusal, RefusalError
from zkvm.protocol.logup import LogUpChallenge
from zkvm.protocol.low_degree import check_query
from zkvm.protocol.machine import FIXED_LOG_BLOWUP, NO_DIGEST, Machine, ShardHeader
from zkvm.protocol.opening import batching_coefficients, claimed_sums, entry_coefficients, quotient_at_query
from zkvm.protocol.plan import ShardPlan, check_counts, check_shape, messages_weight, shapes_of
from zkvm.protocol.proof import Head, ProofReader, ShardProof
from zkvm.protocol.security import (
    Report,
    distinct,
    global_report,
    logup_grinding_bits,
    shard_report,
    weakest,
)
from zkvm.protocol.transcript import Transcript

REQUIRED_BITS: int = 128
"""What `verify` demands unless the caller states something else."""


@dataclass(frozen=True)
class Accepted:
    """What an accepted proof says."""

    program_id: Digest
    output: bytes
    shard_counts: tuple[int, ...]
    """Per kind of shard."""
    security: tuple[Report, ...]
    """The calculator's rows: the global layer, then one report per different shape."""

    @property
    def bits(self) -> float:
        """Of the weakest row."""
        return weakest(self.security).bits


def verify(
    proof: Path | bytes | BinaryIO,
    machine: Machine,
    *,
    required_bits: float = REQUIRED_BITS,
    program_id: Digest | None = None,
    arithmetic: Arithmetic | None = None,
) -> Accepted | Refusal:
    """
    Verifies a proof: a file by its path, bytes, or an open file from its position to its end. Never raises on account
    of what the proof says; a file that cannot be read raises OSError.

    required_bits: proofs whose parameters give fewer are refused.
    program_id: the program that the caller wants a proof about; None accepts any and reports which.
    arithmetic: Plain unless given; the answer does not depend on it.
    """
    verifier = Verifier(machine, arithmetic or Plain(), required_bits, program_id)
    try:
        if isinstance(proof, Path):
            with proof.open("rb") as file:
                return verifier.verify(file)
        return verifier.verify(io.BytesIO(proof) if isinstance(proof, bytes) else proof)
    except RefusalError as refused:
        return refused.refusal
    except ZeroDivisionError:
        # Probability 2^-150 in an honest proof: a LogUp challenge hit one of the verifier's own fingerprints.
        return Refusal(Reason.BUS, "a challenge is a pole of the verifier's messages")


class Verifier:
    """One verification: `verify` with its pieces within reach of tests. Raises RefusalError."""

    transcript_type: type[Transcript] = Transcript

    def __init__(
        self,
        machine: Machine,
        arithmetic: Arithmetic,
        required_bits: float = REQUIRED_BITS,
        program_id: Digest | None = None,
        checks: Checks | None = None,
    ) -> None:
        self.machine = machine
        self.arithmetic = arithmetic
        self.required_bits = required_bits
        self.program_id = program_id
        self.checks = checks or Checks()

    def verify(self, file: BinaryIO) -> Accepted:
        """Steps 1 to 6."""
        machine, checks = self.machine, self.checks

        # 1. Read the head.
        reader = ProofReader(file, machine, checks)
        head = reader.head

        # 2. Parameters and shapes.
        rate = f"2^-{head.parameters.log_blowup}, where the fixed trees have 2^-{FIXED_LOG_BLOWUP}"
        checks.holds("rate of the fixed trees", head.parameters.log_blowup == FIXED_LOG_BLOWUP, rate)
        for header in first_of_each_shape(head.headers):
            check_shape(checks, machine, head.key, header)
        global_messages = machine.global_messages(head.key, head.statement)
        check_counts(checks, machine, head.headers, global_messages)
        plans = ShardPlans(machine, head)
        for header, plan in zip(head.headers, plans):
            if "boundary" not in plan.tree_index:
                where = f"shard {header.index}: the root of boundary columns that it does not have"
                checks.equal("proof is well formed", header.boundary_root, NO_DIGEST, where)
        reader.check_size(plans)
        security = security_reports(plans, head, messages_weight(global_messages))
        limiting = weakest(security)
        checks.holds(
            "security level",
            limiting.bits >= self.required_bits,
            f"{limiting.bits:.1f} bits, {limiting.layer}, {limiting.limiting.name}; {self.required_bits} are required",
        )

        # 3. The statement.
        context = Context.of(head.parameters, machine, head.key, head.statement)
        if self.program_id is not None:
            checks.equal("program id", context.program_id, self.program_id, "a proof about another program")
        check_chaining(checks, machine, head)

        # 4. The global challenge.
        transcript = begin_global(context, head.headers, self.arithmetic, self.transcript_type)
        bits = logup_grinding_bits(plans.global_message_weight(messages_weight(global_messages)), head.parameters)
        self._check_work(transcript, "global nonce", head.global_nonce, bits, "global")
        global_challenge = draw_logup(transcript, "global")

        # 5. Each shard.
        global_sum = global_challenge.sum_of(global_messages)
        # The reader comes first, so that it also looks behind the last shard.
        for proof, header, plan in zip(reader.shards(iter(plans)), head.headers, plans):
            global_sum = global_sum + self.verify_shard(context, plan, header, global_challenge, proof)

        # 6. The global balance.
        checks.equal("global sums", global_sum, ZERO, "messages of the global buses do not cancel over all shards")
        return Accepted(context.program_id, head.statement.output, head.statement.shard_counts, security)

    def verify_shard(
        self,
        context: Context,
        plan: ShardPlan,
        header: ShardHeader,
        global_challenge: LogUpChallenge,
        proof: ShardProof,
    ) -> Extension:
        """Step 5 for one shard. Returns the sum of its global messages."""
        machine, checks, arithmetic = self.machine, self.checks, self.arithmetic
        parameters = context.parameters
        where = f"shard {header.index}"
        publics = dict(zip(plan.kind.publics, header.publics))
        roots = {
            "machine": machine.tables.root,
            "program": plan.program_root,
            "boundary": header.boundary_root,
        }

        # 5.1 The local challenge, after everything that local messages are made of.
        transcript = begin_shard(context, global_challenge, header, arithmetic, self.transcript_type)
        if "main" in plan.tree_index:
            roots["main"] = proof.digest("main root")
            transcript.absorb("main root", roots["main"])
        own_messages = machine.local_messages(plan.kind, publics)
        bits = logup_grinding_bits(plan.facts.local_message_weight, parameters)
        self._check_work(transcript, "local nonce", proof.number("local nonce"), bits, where)
        local_challenge = draw_logup(transcript, "local")
        challenges = {"local": local_challenge, "global": global_challenge}

        # 5.2 The sums. The constraints below prove that they are the sums of the rows' messages.
        if "auxiliary" in plan.tree_index:
            roots["auxiliary"] = proof.digest("auxiliary root")
            transcript.absorb("auxiliary root", roots["auxiliary"])
        all_sums = [Extension(value) for value in proof["sums"].tolist()]
        transcript.absorb_extensions("sums", all_sums)
        sums = plan.sums_by_chip(all_sums)
        local_sum = local_challenge.sum_of(own_messages)
        global_sum = ZERO
        for chip_sums in sums.values():
            local_sum = local_sum + chip_sums.get("local", ZERO)
            global_sum = global_sum + chip_sums.get("global", ZERO)
        checks.equal("local sums", local_sum, ZERO, f"{where}: messages of its local buses do not cancel")
        folding = transcript.challenge("folding challenge")

        # 5.3 The point.
        roots["quotient"] = proof.digest("quotient root")
        transcript.absorb("quotient root", roots["quotient"])
        point = transcript.challenge("point")
        # Every domain lies in the base field, so this also keeps x - z from vanishing.
        checks.holds("point outside the domain", not point.is_base, where)

        # 5.4 The opened values satisfy the constraints, if they are what the columns are at the point.
        opened = [Extension(value) for value in proof["openings"].tolist()]
        transcript.absorb_extensions("openings", opened)
        for facts, log_height in plan.chips:
            chip = machine.chips[machine.chip_index[facts.name]]
            at_point, at_next = plan.opened_of(facts.name, opened)
            folded = folded_constraints_at_point(
                chip, log_height, at_point, at_next, publics, challenges, sums[facts.name], folding, point
            )
            quotient = quotient_at_point(at_point["quotient"], point, log_height)
            checks.equal("constraints at the point", folded, quotient, f"{where}: chip {facts.name}")
        batching = [transcript.challenge("batching challenge") for _ in range(plan.batching_challenge_count)]
        coefficients = batching_coefficients(batching, plan.opened_count)

        # 5.5 FRI: every height's quotients, folded into one word.
        layer_roots = [tuple(root) for root in proof["layer roots"].tolist()]
        fold_challenges, join_challenges = [], {}
        for number, fold in enumerate(plan.folds):
            transcript.absorb("layer root", layer_roots[number])
            fold_challenges.append(transcript.challenge("fold challenge"))
            if fold.joins:
                join_challenges[number] = transcript.challenge("join challenge")
        final_polynomial = [Extension(value) for value in proof["final polynomial"].tolist()]
        transcript.absorb_extensions("final polynomial", final_polynomial)
        self._check_work(transcript, "query nonce", proof.number("query nonce"), parameters.query_grinding_bits, where)
        indices = transcript.indices("query indices", parameters.query_count, plan.log_query_domain)

        # 5.6 The queries.
        spread = [entry_coefficients(plan, coefficients, number) for number in range(len(plan.openings))]
        claimed = claimed_sums(plan, coefficients, opened)
        for lane, index in arithmetic.lanes(indices):
            rows = self._committed_rows(plan, proof, roots, lane, index, where)
            quotients = {
                height + parameters.log_blowup: quotient_at_query(
                    arithmetic, plan, spread, claimed, point, rows, index, height
                )
                for height in plan.log_heights
            }
            check_query(
                arithmetic, checks, plan, proof, layer_roots, fold_challenges, join_challenges, quotients,
                final_polynomial, lane, index, where,
            )  # fmt: skip
        return global_sum

    def _committed_rows(
        self, plan: ShardPlan, proof: ShardProof, roots: dict[str, Digest], lane: object, index: object, where: str
    ) -> list[list[object]]:
        """The query's row of every matrix, [tree][entry], each proven to be in its tree."""
        arithmetic = self.arithmetic
        rows = []
        for tree in plan.trees:
            joined = arithmetic.row(proof[f"{tree.name} rows"], lane)
            tree_rows = arithmetic.split(joined, [entry.width for entry in tree.entries])
            path = arithmetic.path(proof[f"{tree.name} paths"], lane)
            heights = [entry.log_height + plan.parameters.log_blowup for entry in tree.entries]
            root = root_of_opening(arithmetic, heights, tree_rows, index, path)
            is_root = arithmetic.same(root, arithmetic.digest(roots[tree.name]))
            self.checks.equal("committed row", True, is_root, f"{where}, {tree.name} tree")
            rows.append(tree_rows)
        return rows

    def _check_work(self, transcript: Transcript, name: str, nonce: int, bits: int, where: str) -> None:
        """A proof of work over everything so far; its nonce is absorbed."""
        seed = transcript.seed(f"{name} seed")
        proven = self.arithmetic.check_grind(seed, nonce, bits)
        self.checks.holds(name, proven, f"{where}: {bits} bits")
        transcript.absorb(name, [nonce])


class ShardPlans:
    """The plan of every shard, made once per different shape and iterated in order."""

    def __init__(self, machine: Machine, head: Head) -> None:
        self._machine = machine
        self._head = head
        self._known: dict[tuple[int, tuple[int, ...]], ShardPlan] = {}

    def __iter__(self) -> Iterator[ShardPlan]:
        for header in self._head.headers:
            yield self.of(header)

    def of(self, header: ShardHeader) -> ShardPlan:
        shape = (header.kind, header.log_heights)
        if shape not in self._known:
            self._known[shape] = ShardPlan.of(self._machine, self._head.key, header, self._head.parameters)
        return self._known[shape]

    def global_message_weight(self, own_weight: int) -> int:
        """Over all shards, and own_weight for the verifier's messages."""
        shapes = shapes_of(self._head.headers).values()
        return sum(times * self.of(first).facts.global_message_weight for first, times in shapes) + own_weight


def first_of_each_shape(headers: Sequence[ShardHeader]) -> list[ShardHeader]:
    """One header for every different shape."""
    return [first for first, _ in shapes_of(headers).values()]


def security_reports(plans: ShardPlans, head: Head, own_global_weight: int) -> tuple[Report, ...]:
    """The calculator's answer for this proof: the global rows, then each different shape's."""
    reports = [global_report(plans.global_message_weight(own_global_weight), head.parameters)]
    for header in first_of_each_shape(head.headers):
        plan = plans.of(header)
        reports.append(shard_report(f"shard {header.index} ({plan.kind.name})", plan.facts, head.parameters))
    return distinct(reports)


def check_chaining(checks: Checks, machine: Machine, head: Head) -> None:
    """
    Kinds come in the machine's order, as many of each as the statement says, and the public values fit together by the
    machine's rules.
    """
    kinds = [header.kind for header in head.headers]
    stated = [kind for kind, count in enumerate(head.statement.shard_counts) for _ in range(count)]
    checks.equal("shard order", kinds, stated, "kinds of shards are not in order, or not as many as stated")
    machine.chaining_rule(checks, head.key, head.statement, head.headers)
