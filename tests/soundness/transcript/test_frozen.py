"""
Attacks on a challenge that is known too early.

Each forged proof is of something false. Under a transcript in which one challenge is frozen (drawn from nothing, so
known before the prover commits) it passes; under the real transcript the same prover fails. So it is the order of
absorbing and drawing that stops it.
"""

import io

import numpy as np
from toy_machine import Batched, Toy, make_run, prove_bytes, solve, toy

from zkvm.air import Bus, Chip, Columns, Phase, boundary
from zkvm.field.extension import DEGREE, ZERO, Extension, X
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.fast import extension
from zkvm.protocol.constraints import folded_constraints_at_point, quotient_at_point
from zkvm.protocol.errors import Reason, RefusalError
from zkvm.protocol.logup import LogUpChallenge, Message
from zkvm.protocol.machine import NO_DIGEST, Machine, MachineTables, ShardHeader, ShardKind, Slot, Statement
from zkvm.protocol.opening import batching_coefficients, next_point
from zkvm.protocol.prove import Prover
from zkvm.protocol.setup import FixedTables, program_key
from zkvm.protocol.transcript import Transcript
from zkvm.protocol.verify import Accepted, Verifier

FROZEN = {
    label: Extension([seed + 1000 * i + 1 for i in range(DEGREE)])
    for seed, label in enumerate(("local alpha", "local beta", "global alpha", "global beta", "point"), 7)
}


def batching_challenge(number: int) -> Extension:
    """The frozen batching challenges, numbered from 1."""
    return Extension([77 * number + i for i in range(DEGREE)])


def frozen(*labels: str) -> type[Transcript]:
    """A transcript that gives fixed challenges for some labels."""

    class Frozen(Transcript):
        batching_count = 0

        def challenge(self, label):
            drawn = super().challenge(label)
            if label == "batching challenge" and label in labels:
                self.batching_count += 1
                return batching_challenge(self.batching_count)
            return FROZEN[label] if label in labels else drawn

    return Frozen


def frozen_prover(transcript: type[Transcript], base: type[Prover] = Prover) -> type[Prover]:
    return type("FrozenProver", (base,), {"transcript_type": transcript})


def say(proof: bytes, transcript: type[Transcript], made_of: Toy) -> Accepted | Reason:
    verifier = Verifier(made_of.machine, Batched(), 0)
    verifier.transcript_type = transcript
    try:
        return verifier.verify(io.BytesIO(proof))
    except RefusalError as refused:
        return refused.refusal.reason


def passes_only_frozen(run, labels, reason, made_of=None, base=Prover) -> None:
    """The same forged run, proven and verified under the frozen and under the real transcript."""
    made_of = made_of or toy()
    transcript = frozen(*labels)
    forged = prove_bytes(run, prover_type=frozen_prover(transcript, base), made_of=made_of)
    assert isinstance(say(forged, transcript, made_of), Accepted)
    assert say(forged, Transcript, made_of) is not None
    assert not isinstance(say(forged, Transcript, made_of), Accepted)
    honest_order = prove_bytes(run, prover_type=frozen_prover(Transcript, base), made_of=made_of)
    assert say(honest_order, Transcript, made_of) is reason


def test_a_local_challenge_known_before_the_main_root():
    # Given a step that adds 1000, where 31 is the most that the range table holds, and a run that is consistent
    # otherwise.
    run = make_run(shard_count=1)
    counter, ranges = run.shards[0].rows["counter"]["main"], run.shards[0].rows["range"]["main"]
    row = 38
    before = int(counter["increment"][row])
    counter["increment"][row] = 1000
    ranges["multiplicity"][before] -= 1
    difference = 1000 - before
    counter["value"][row + 1] = (int(counter["value"][row + 1]) + difference) % PRIME
    shard = run.shards[0]
    publics = list(shard.header.publics)
    publics[4] = (publics[4] + difference) % PRIME
    run.shards[0] = type(shard)(ShardHeader(1, 0, shard.header.log_heights, tuple(publics)), shard.rows)
    # When the multiplicities of five rows are solved for, so that sum of m / (alpha - fingerprint) makes good for 1000,
    alpha, beta = FROZEN["local alpha"], FROZEN["local beta"]
    fractions = [(alpha - (4 + beta * value)).inverse() for value in range(DEGREE)]
    missing = (alpha - (4 + beta * 1000)).inverse()
    for value, count in enumerate(solve(fractions, missing)):
        ranges["multiplicity"][value] = (int(ranges["multiplicity"][value]) + count) % PRIME
    # Then only a challenge drawn after them notices.
    passes_only_frozen(run, ("local alpha", "local beta"), Reason.BUS)


class ConstantQuotient(Prover):
    """Commits to a constant quotient: the one value that the constraints demand at a point known beforehand."""

    def _quotient(self, name, log_height, extended, publics, challenges, sums, folding):
        chip = self.machine.chips[self.machine.chip_index[name]]
        point = FROZEN["point"]
        at_point, at_next = {}, {}
        for phase, matrix in extended.items():
            columns = extension.evaluate_columns(matrix, point, row_step=2)
            following = chip.auxiliary_next_columns if phase == "auxiliary" else chip.next_columns[Phase(phase)]
            at_point[str(phase)] = columns
            if following:
                chosen = np.ascontiguousarray(matrix[:, list(following)])
                at_next[str(phase)] = extension.evaluate_columns(chosen, next_point(point, log_height), row_step=2)
        pairs = {scope: LogUpChallenge(*pair) for scope, pair in challenges.items()}
        wanted = folded_constraints_at_point(chip, log_height, at_point, at_next, publics, pairs, sums, folding, point)
        value = wanted / (point ** (1 << log_height) - 1)
        row = extension.from_elements([value, ZERO]).reshape(1, 2 * DEGREE)
        return np.repeat(row, 2 << log_height, axis=0)


def test_a_point_known_before_the_quotient_root():
    # Given a padding row that halts, which only a constraint forbids.
    run = make_run(shard_count=1)
    run.shards[0].rows["counter"]["main"]["halts"][50] = 1
    passes_only_frozen(run, ("point",), Reason.CONSTRAINT, base=ConstantQuotient)


class CompensatedOpenings(Prover):
    """
    Opens the counter's quotient to what the constraints demand, in two values chosen so that their weighted errors
    cancel in the batch.
    """

    def prove_shard(self, context, plan, header, global_challenge, run):
        self.header = header
        return super().prove_shard(context, plan, header, global_challenge, run)

    def _quotient(self, name, log_height, extended, publics, challenges, sums, folding):
        if name == "counter":
            self.demand = (log_height, publics, challenges, sums, folding)
        return super()._quotient(name, log_height, extended, publics, challenges, sums, folding)

    def _open(self, plan, point, matrices, inverses):
        opened = super()._open(plan, point, matrices, inverses)
        if self.header.kind != 0:
            return opened
        log_height, publics, challenges, sums, folding = self.demand
        pairs = {scope: LogUpChallenge(*pair) for scope, pair in challenges.items()}
        at_point, at_next = plan.opened_of("counter", opened)
        wanted = folded_constraints_at_point(
            self.machine.chips[0], log_height, at_point, at_next, publics, pairs, sums, folding, point
        )
        vanishing = point ** (1 << log_height) - 1
        missing = (wanted - quotient_at_point(at_point["quotient"], point, log_height)) / vanishing
        (first,) = [
            opening.first
            for opening in plan.openings
            if plan.trees[opening.tree].name == "quotient"
            and plan.trees[opening.tree].entries[opening.entry].chip == "counter"
        ]
        challenges = [batching_challenge(number) for number in range(1, plan.batching_challenge_count + 1)]
        weights = batching_coefficients(challenges, plan.opened_count)[first : first + 2]
        # d0 + X d1 = missing, weights[0] d0 + weights[1] d1 = 0.
        ratio = -weights[0] / weights[1]
        d0 = missing / (X * ratio + 1)
        opened[first] = opened[first] + d0
        opened[first + 1] = opened[first + 1] + d0 * ratio
        return opened


def test_batching_challenges_known_before_the_openings():
    # Given a padding row that halts, which only a constraint forbids.
    run = make_run(shard_count=1)
    run.shards[0].rows["counter"]["main"]["halts"][50] = 1
    passes_only_frozen(run, ("batching challenge",), Reason.LOW_DEGREE, base=CompensatedOpenings)


GLOBAL = Bus("global", 9, ("value",), scope="global")


class CountedRow(Columns):
    value = boundary("what is received")
    count = boundary("how often")


def constrain_counted(air, row):
    air.receive(GLOBAL, row.value, count=row.count)


class BoundaryRun:
    """One shard of boundary columns."""

    identity = b"global"

    def __init__(self, rows):
        self.statement = Statement(b"", (), (1,))
        self.headers = [ShardHeader(1, 0, (5,), ())]
        self.rows = rows

    def boundary_matrices(self, shard):
        return {"counted": self.rows.copy()}

    def matrices(self, shard):
        return {"counted": {"boundary": self.rows.copy()}}


def test_a_global_challenge_known_before_the_boundary_roots():
    # Given a machine whose verifier sends the value 1000, and a shard that receives 0, 1, 2, 3, 4 instead, so often
    # that the fractions agree.
    chip = Chip("counted", CountedRow, constrain_counted)
    kind = ShardKind("only", (Slot("counted", required=True),), ())
    machine = Machine(
        "counted", (chip,), (kind,), MachineTables((), (), NO_DIGEST),
        global_messages=lambda key, statement: [Message(GLOBAL, (1000,), 1)],
    )  # fmt: skip
    key, program = program_key(machine, {}, 0)
    made_of = Toy(machine, key, {"machine": FixedTables({}, {}, None), "program": program})
    alpha, beta = FROZEN["global alpha"], FROZEN["global beta"]
    fractions = [(alpha - (9 + beta * value)).inverse() for value in range(DEGREE)]
    rows = chip.empty(Phase.BOUNDARY, 32)
    rows["value"][:DEGREE] = range(DEGREE)
    rows["count"][:DEGREE] = solve(fractions, (alpha - (9 + beta * 1000)).inverse())
    # Then only a challenge drawn after the boundary roots notices.
    passes_only_frozen(BoundaryRun(rows), ("global alpha", "global beta"), Reason.BUS, made_of=made_of)
