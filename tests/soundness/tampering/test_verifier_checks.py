"""
Every check of the verifier is needed: without it, and it alone, a proof of something false, or of something that the
machine excludes, is accepted.

For each check a malicious prover is written down. Its proof is refused by exactly that check; with the check removed
(all others in place) it is accepted. A check without a test here must be listed in EXEMPT with the reason.
"""

import ast
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tamper import Taken
from toy_machine import (
    PARAMETERS,
    Toy,
    honest_proof,
    make_run,
    prove_bytes,
    solve,
    toy,
    verify_without,
)

import zkvm.protocol
from zkvm.air import Bus, Chip, Columns, Phase, bit, column
from zkvm.field.extension import DEGREE, ZERO, Extension
from zkvm.field.koala_bear import GENERATOR, PRIME, two_adic_generator
from zkvm.kernels.fast import extension, montgomery, ntt
from zkvm.kernels.reference.poseidon2 import check_grind
from zkvm.protocol.constraints import folded_constraints_at_point
from zkvm.protocol.errors import CHECKS
from zkvm.protocol.logup import LogUpChallenge
from zkvm.protocol.machine import NO_DIGEST, Machine, MachineTables, ShardHeader, ShardKind, Slot, Statement
from zkvm.protocol.prove import Prover
from zkvm.protocol.setup import FixedTables, program_key
from zkvm.protocol.transcript import Transcript
from zkvm.protocol.verify import Accepted

EXEMPT = {
    "proof is well formed": "no statement about the run: bounds time and memory, makes the encoding unique",
    "machine digest": "redundant: transcripts absorb the verifier's own digest; kept because it names the cause",
    "rate of the fixed trees": "no known attack: a proof at another rate needs preimages of leaf digests; the prover refuses to make one",
    "kind exists": "form: there is nothing to verify in a shard of no kind; without it the verifier could not go on",
    "shard count": "form: bounds what is read; that there is a first and a last shard is the machine's chaining rule",
}


def needed(name: str, proof: bytes, made_of: Toy | None = None, **attributes) -> Accepted:
    """The proof is refused by this check, and accepted without it."""
    made_of = made_of or toy()
    refusal = verify_without(proof, made_of=made_of, **attributes)
    assert not isinstance(refusal, Accepted)
    assert refusal.detail.startswith(name), refusal
    assert refusal.reason is CHECKS[name]
    accepted = verify_without(proof, name, made_of=made_of, **attributes)
    assert isinstance(accepted, Accepted), accepted
    return accepted


# Parameters and shapes.


def test_security_level():
    refusal_bits = 100
    proof = honest_proof()
    needed("security level", proof, required_bits=refusal_bits)


def test_chips_of_the_kind():
    # A boundary chip in a memory shard, which hands a token on as it came: nothing else notices.
    run = make_run()
    memory = run.shards[3]
    header = memory.header
    edge = run.shards[0].rows["boundary"]["boundary"].copy()
    edge[:] = 0
    heights = (0, 5, 5, 0, 5, 0)
    memory.rows["boundary"] = {"boundary": edge}
    run.shards[3] = replace(memory, header=replace(header, log_heights=heights))
    needed("chips of the kind", prove_bytes(run, self_checks=False))


def test_height_in_bounds():
    needed(
        "height in bounds",
        prove_bytes(
            make_run(shard_count=1, steps=2**12 + 1), PARAMETERS.with_changes(query_count=2), self_checks=False
        ),
    )


class StretchedTable(Prover):
    """
    Takes the range table for a matrix of twice its height: the polynomial of its column, evaluated on 64 points, is
    anything but 0..31 on the new ones.
    """

    def _stretched(self) -> tuple[np.ndarray, np.ndarray]:
        trace = self.tables["machine"].traces["range"]
        tall = ntt.low_degree_extension(trace, 1, output_shift=1)
        return tall, ntt.low_degree_extension(tall, 1)

    def prove_shard(self, context, plan, header, global_challenge, run):
        self.is_stretched = header.kind == 0
        return super().prove_shard(context, plan, header, global_challenge, run)

    def _fixed_trace(self, chip):
        return self._stretched()[0] if chip == "range" and self.is_stretched else super()._fixed_trace(chip)

    def _quotient(self, name, log_height, extended, *rest):
        if name == "range" and self.is_stretched:
            extended = {**extended, Phase.FIXED: self._stretched()[1]}
        return super()._quotient(name, log_height, extended, *rest)


def test_fixed_table_height():
    # Given a step that adds a number that only the stretched table holds.
    trace = toy().tables["machine"].traces["range"]
    tall = montgomery.from_montgomery(ntt.low_degree_extension(trace, 1, output_shift=1), 1)
    row = next(i for i in range(1, 64, 2) if tall[i, 0] >= 32)
    increment = int(tall[row, 0])
    run = make_run(shard_count=1)
    shard = run.shards[0]
    counter, ranges = shard.rows["counter"]["main"], shard.rows["range"]["main"]
    last = 38
    ranges["multiplicity"][counter["increment"][last]] -= 1
    difference = increment - int(counter["increment"][last])
    counter["increment"][last] = increment
    counter["value"][last + 1] = (int(counter["value"][last + 1]) + difference) % PRIME
    stretched = np.zeros((64, 1), dtype=np.uint32)
    stretched[::2, 0] = ranges["multiplicity"]
    stretched[row, 0] = 1
    shard.rows["range"]["main"] = stretched
    publics = list(shard.header.publics)
    publics[4] = (publics[4] + difference) % PRIME
    heights = (*shard.header.log_heights[:4], 6, 0)
    run.shards[0] = replace(shard, header=replace(shard.header, publics=tuple(publics), log_heights=heights))
    # Then only the height of the table is wrong: the run adds a number that is not below 32.
    needed("fixed table height", prove_bytes(run, prover_type=StretchedTable))


MANY = Bus("many", 1, ("value",))


class WrapRow(Columns):
    many = bit("sends one value (p - 1) / 32 times")
    one = bit("sends it once")
    value = column("the value")


def constrain_wrap(air, row):
    air.send(MANY, row.value, count=row.many * ((PRIME - 1) // 32))
    air.send(MANY, row.value, count=row.one)


def small_toy(row, constrain, name: str, **rules) -> Toy:
    """A machine of one chip and one kind."""
    chip = Chip("only", row, constrain)
    kind = ShardKind("only", (Slot("only", required=True, highest=8),), ())
    machine = Machine(name, (chip,), (kind,), MachineTables((), (), NO_DIGEST), **rules)
    key, program = program_key(machine, {}, 0)
    return Toy(machine, key, {"machine": FixedTables({}, {}, None), "program": program})


class SmallRun:
    """One shard of the small machine."""

    identity = b"small"

    def __init__(self, rows: np.ndarray) -> None:
        self.statement = Statement(b"", (), (1,))
        self.headers = [ShardHeader(1, 0, (len(rows).bit_length() - 1,), ())]
        self.rows = rows

    def boundary_matrices(self, shard):
        return {}

    def matrices(self, shard):
        return {"only": {"main": self.rows.copy()}}


def test_count_cannot_wrap():
    # p messages of one value are on the bus, and nobody receives any: the sum is p / fingerprint = 0.
    wrapping = small_toy(WrapRow, constrain_wrap, "wrap")
    rows = wrapping.machine.chips[0].empty(Phase.MAIN, 32)
    rows["many"], rows["value"] = 1, 77
    rows["one"][0] = 1
    needed("count cannot wrap", prove_bytes(SmallRun(rows), made_of=wrapping, self_checks=False), made_of=wrapping)


class LonelyRow(Columns):
    value = bit("a bit")


def constrain_lonely(air, row):
    air.on_first_row().equal("first", row.value, 1)


def test_machines_own_shape_rule():
    def rule(checks, kind, heights):
        checks.holds("machine's own shape rule", heights["only"] == 6, "rows of the only chip")

    strict = small_toy(LonelyRow, constrain_lonely, "strict", shape_rule=rule)
    rows = strict.machine.chips[0].empty(Phase.MAIN, 32)
    rows["value"][0] = 1
    needed("machine's own shape rule", prove_bytes(SmallRun(rows), made_of=strict, self_checks=False), made_of=strict)


# The statement.


def test_program_id():
    needed("program id", honest_proof(), program_id=(1,) * 9)


def test_output_length():
    # The same number as output, in three bytes.
    run = make_run()
    run.statement = replace(run.statement, output=run.statement.output + b"\0")
    accepted = needed("output length", prove_bytes(run, self_checks=False))
    assert accepted.output == b"\x0f\x00\x00"


def test_output_beyond_its_length():
    taken = Taken(honest_proof())
    first, _ = taken.head_positions()["output"]
    taken.words[first + 63] = 1
    needed("output beyond its length", taken.bytes())


def test_machines_own_chaining_rule():
    # A run cut off before it halts.
    cut = make_run(shard_count=2)
    shard = cut.shards[1]
    shard.rows["counter"]["main"]["halts"] = 0
    cut.shards[1] = replace(shard, header=replace(shard.header, publics=(*shard.header.publics[:5], 0)))
    needed("machine's own chaining rule", prove_bytes(cut, self_checks=False))


def test_shard_order():
    # Three execution shards and one memory shard, stated as two and two.
    run = make_run()
    run.statement = replace(run.statement, shard_counts=(2, 2))
    accepted = needed("shard order", prove_bytes(run, self_checks=False))
    assert accepted.shard_counts == (2, 2)


# Proofs of work.


def lazy(*names: str) -> type[Prover]:
    """A prover that sends the first nonce that proves nothing."""

    class Lazy(Prover):
        def _work(self, transcript, name, bits):
            if name not in names:
                return super()._work(transcript, name, bits)
            seed = transcript.seed(f"{name} seed")
            nonce = next(nonce for nonce in range(PRIME) if not check_grind(seed, nonce, bits))
            transcript.absorb(name, [nonce])
            return nonce

    return Lazy


@pytest.mark.parametrize("name", ["global nonce", "local nonce", "query nonce"])
def test_proofs_of_work(name):
    # logup_bits beyond what the challenges give, so that both LogUp nonces stand for work.
    proof = prove_bytes(make_run(shard_count=1), PARAMETERS.with_changes(logup_bits=148), prover_type=lazy(name))
    needed(name, proof)


# Buses.


def test_global_sums():
    # Shard 3 takes up a cell as shard 1 left it.
    needed("global sums", prove_bytes(make_run(stale={3: 1}), self_checks=False))


def test_local_sums():
    # A step adds what no range check allows.
    run = make_run(shard_count=1)
    run.shards[0].rows["counter"]["main"]["increment"][38] += 1000
    needed("local sums", prove_bytes(run, self_checks=False))


# Constraints.


def run_that_breaks_a_constraint():
    """A padding row halts: on no bus, and only its constraint says no."""
    run = make_run(shard_count=1, steps=40)
    run.shards[0].rows["counter"]["main"]["halts"][50] = 1
    return run


class PointOnARow(Transcript):
    """A transcript whose point is in the base field, on row 7 of the trace; an accident of probability 2^-124."""

    def challenge(self, label):
        drawn = super().challenge(label)
        return Extension.from_base(pow(two_adic_generator(6), 7, PRIME)) if label == "point" else drawn


class ProverAtARow(Prover):
    transcript_type = PointOnARow


def test_point_outside_the_domain():
    # On a row where the constraints hold, 0 = 0 * Q(z): the row that breaks one is never looked at.
    proof = prove_bytes(run_that_breaks_a_constraint(), prover_type=ProverAtARow)
    needed("point outside the domain", proof, transcript_type=PointOnARow)


def test_constraints_at_the_point():
    needed("constraints at the point", prove_bytes(run_that_breaks_a_constraint(), self_checks=False))


# Openings and low degree: a prover who sends, at the point, whatever the constraints want of the quotient.


class FalseOpening(Prover):
    """
    Opens the counter's quotient to the value that the constraints demand, though the committed columns have another
    there. The counter is the tallest chip, so the word of its height is then far from every polynomial of its degree.
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
        if header_kind(self) != 0:
            return opened
        log_height, publics, challenges, sums, folding = self.demand
        pairs = {scope: LogUpChallenge(*pair) for scope, pair in challenges.items()}
        chip = self.machine.chips[0]
        at_point, at_next = plan.opened_of("counter", opened)
        wanted = folded_constraints_at_point(chip, log_height, at_point, at_next, publics, pairs, sums, folding, point)
        # Low half: the value itself, as the first of five columns; an opened value may be any element. High half: 0.
        value = wanted / (point ** (1 << log_height) - 1)
        number = next(
            o.first for o in plan.openings
            if plan.trees[o.tree].name == "quotient" and plan.trees[o.tree].entries[o.entry].chip == "counter"
        )  # fmt: skip
        opened[number : number + 10] = [value] + [ZERO] * 9
        self.point = point
        return opened


def header_kind(prover: FalseOpening) -> int:
    return prover.header.kind


class SolvedRows(FalseOpening):
    """
    FRI runs on a word of its own choosing for the tallest height: zero. The opened rows of the quotient are then
    solved for, query by query, so that they
    give that word: five equations in ten cells. They are not the committed rows.
    """

    def _quotient_words(self, plan, coefficients, opened, matrices, inverses):
        words = super()._quotient_words(plan, coefficients, opened, matrices, inverses)
        self.coefficients = coefficients
        self.tall_word = words[plan.log_query_domain]
        if header_kind(self) == 0:
            words[plan.log_query_domain] = np.zeros_like(self.tall_word)
        return words

    def _rows_of_trees(self, plan, matrices, trees, indices):
        fields = super()._rows_of_trees(plan, matrices, trees, indices)
        if header_kind(self) != 0:
            return fields
        tree = plan.tree_index["quotient"]
        start = sum(e.width for e in plan.trees[tree].entries[: entry_of(plan, tree, "counter")])
        opening = next(
            o for o in plan.openings if o.tree == tree and plan.trees[tree].entries[o.entry].chip == "counter"
        )
        word = extension.to_elements(self.tall_word)
        rows = fields["quotient rows"].copy()
        for query, index in enumerate(indices.tolist()):
            index %= len(word)
            x = GENERATOR * pow(two_adic_generator(plan.log_query_domain), index, PRIME) % PRIME
            # D(x) grows by sum c_j * delta_j / (x - z); it has to become 0.
            target = -word[index] * (x - self.point)
            deltas = solve([self.coefficients[opening.first + j] for j in range(DEGREE)], target)
            for j, delta in enumerate(deltas):
                rows[query, start + j] = (int(rows[query, start + j]) + delta) % PRIME
        fields["quotient rows"] = rows
        return fields


def entry_of(plan, tree: int, chip: str) -> int:
    return next(i for i, entry in enumerate(plan.trees[tree].entries) if entry.chip == chip)


def test_committed_row():
    needed("committed row", prove_bytes(run_that_breaks_a_constraint(), prover_type=SolvedRows))


class ZeroWord(SolvedRows):
    """The same zero word for the tallest height, but honest rows: they do not give it."""

    def _rows_of_trees(self, plan, matrices, trees, indices):
        return Prover._rows_of_trees(self, plan, matrices, trees, indices)


def test_layer_value():
    needed("layer value", prove_bytes(run_that_breaks_a_constraint(), prover_type=ZeroWord))


class SolvedLayers(ZeroWord):
    """The zero word is committed; what is opened holds the rows' value, and beside it one that makes the coset fold to
    zero all the same."""

    def prove_shard(self, context, plan, header, global_challenge, run):
        self.fold_challenges: list[Extension] = []
        outer = self

        class Listening(Transcript):
            def challenge(self, label):
                drawn = super().challenge(label)
                if label == "fold challenge":
                    outer.fold_challenges.append(drawn)
                return drawn

            def indices(self, label, count, bit_count):
                outer.indices = super().indices(label, count, bit_count)
                return outer.indices

        self.transcript_type = Listening
        proof = super().prove_shard(context, plan, header, global_challenge, run)
        if header.kind != 0:
            return proof
        fields = dict(proof.fields)
        word = extension.to_elements(self.tall_word)
        values = fields["layer 0 values"].copy()
        (fold,) = plan.folds
        assert fold.log_arity == 1
        for query, index in enumerate(self.indices):
            leaf, position = index % (len(word) // 2), index // (len(word) // 2)
            # even + c odd = (a + b) / 2 + c (a - b) / (2 x) = 0 for the pair (a, b) at x and -x.
            x = pow(two_adic_generator(plan.log_query_domain), leaf, PRIME)
            slope = self.fold_challenges[0] * pow(x, -1, PRIME)
            mine = word[index]
            other = mine * (slope + 1) / (slope - 1) if position == 0 else mine * (slope - 1) / (slope + 1)
            values[query, position] = mine.coefficients
            values[query, 1 - position] = other.coefficients
        fields["layer 0 values"] = values
        return replace(proof, fields=fields)


def test_committed_layer():
    needed("committed layer", prove_bytes(run_that_breaks_a_constraint(), prover_type=SolvedLayers))


def test_final_polynomial():
    needed("final polynomial", prove_bytes(run_that_breaks_a_constraint(), prover_type=FalseOpening))


def needed_by() -> dict[str, str]:
    """Check -> the test of this file that needs it, read off the calls of `needed`."""
    found = {}
    for function in ast.parse(Path(__file__).read_text()).body:
        if not isinstance(function, ast.FunctionDef) or not function.name.startswith("test_"):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "needed":
                (name, *_) = node.args
                names = [name.value] if isinstance(name, ast.Constant) else _parametrized(function)
                found.update(dict.fromkeys(names, function.name))
    return found


def _parametrized(function: ast.FunctionDef) -> list[str]:
    """The values of a test's only parameter."""
    (decorator,) = function.decorator_list
    return ast.literal_eval(decorator.args[1])


def page() -> str:
    """The list of the verifier's checks, as a page: `python tests/soundness/tampering/test_verifier_checks.py`."""
    found = needed_by()
    lines = [
        "# The verifier's checks",
        "",
        "| check | reason of the refusal | the test that needs it |",
        "|---|---|---|",
    ]
    for name, reason in CHECKS.items():
        lines.append(f"| {name} | {reason.value} | {found.get(name) or 'none: ' + EXEMPT[name]} |")
    return "\n".join(lines) + "\n"


def test_every_check_is_needed_or_exempt():
    assert set(needed_by()) | set(EXEMPT) == set(CHECKS)
    assert not set(needed_by()) & set(EXEMPT)
    assert all(name in page() for name in CHECKS)


def test_every_check_is_made_and_none_has_another_name():
    made = set()
    for path in (Path(zkvm.protocol.__file__).parent).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", None) in ("equal", "holds"):
                made.update(argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant))
    # The machine's rules make two by themselves, and nonces are checked by their label.
    elsewhere = {
        "machine's own shape rule",
        "machine's own chaining rule",
        "global nonce",
        "local nonce",
        "query nonce",
    }
    assert made | elsewhere == set(CHECKS)


if __name__ == "__main__":
    sys.stdout.write(page())
