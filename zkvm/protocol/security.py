"""
The security calculator: how many bits each step of a proof is worth, from the parameters and shapes of the proof at
hand.

Statement
---------
Unique decoding (UDR): a word within distance (1 - rate) / 2 of the code has one nearest codeword, so every committed
root stands for one set of columns, however many shards share a challenge. Round by round, the error of each challenge
is bounded by a formula below; the security of a proof is the least of them. Formulas and names follow soundcalc
(github.com/ethereum/soundcalc), pinned against its published figures by tests/zkvm/protocol.

With n = 2^k rows, rate r, |K| elements in the extension, gamma = (1 - r) / 2:
- proximity of one random combination: e = (gamma n / r + 1) / |K|
- batching by a tensor of ceil(log2 columns) challenges: e * ceil(log2 columns)
- a fold by m, from a word of n / r values: e * (m - 1);  a joining challenge: e
- queries: (1 - gamma)^queries, times 2^-work
- constraints folded by powers (ALI): constraints / |K|
- the point z (DEEP): (d (n + c - 1) + n - 1) / (|K| - n - n / r), d = constraint degree, c = distinct points per column
- LogUp: 2 * messages * (fields + 1) / |K|, times 2^-work: the balance, multiplied by all denominators, is a polynomial
  of degree below messages * (fields + 1) in the challenges; so is the product of denominators, which must not vanish
  either. (soundcalc counts the first only.)
- hash and transcript: 9 elements of digest and of capacity, collisions at the square root.

Interactive rounds of different shards are different rounds; a union over shards is not taken, as in soundcalc. Nor is
one taken over the rows below.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zkvm.field.extension import DEGREE
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.reference.poseidon2 import CAPACITY, DIGEST_LENGTH
from zkvm.protocol.parameters import Parameters, fold_schedule

LOG_EXTENSION: float = DEGREE * math.log2(PRIME)
"""log2 of the number of elements that a challenge is drawn from: 154.94."""

LOGUP_GRINDING_LIMIT: int = 24
"""Bits of work that a LogUp nonce may stand for at most; more missing bits lower the report instead."""


@dataclass(frozen=True)
class Row:
    """One labelled term of a report."""

    name: str
    bits: float
    formula: str
    """With the numbers put in."""


@dataclass(frozen=True)
class Report:
    """The rows of one layer of one proof."""

    layer: str
    rows: tuple[Row, ...]

    @property
    def limiting(self) -> Row:
        """The weakest row."""
        return min(self.rows, key=lambda row: row.bits)

    @property
    def bits(self) -> float:
        return self.limiting.bits


@dataclass(frozen=True)
class ShardFacts:
    """What the calculator needs to know about one shard; computed from its shape by the verifier itself."""

    log_heights: tuple[int, ...]
    """Of the trace matrices present."""
    opened_count: int
    """(column, point) pairs in the batch."""
    constraint_count: int
    """Of the chip with most, LogUp's included."""
    constraint_degree: int
    local_message_weight: int
    """Sum over local messages (rows x interactions) of (fields + 1)."""
    global_message_weight: int


def unique_decoding_proximity_bits(log_rows: float, log_blowup: int) -> float:
    """-log2 of e = (gamma n / r + 1) / |K|."""
    gamma = (1 - 2.0**-log_blowup) / 2
    return LOG_EXTENSION - math.log2(gamma * 2.0 ** (log_rows + log_blowup) + 1)


def query_bits(query_count: int, log_blowup: int, grinding_bits: int) -> float:
    """-log2 of (1 - gamma)^queries, plus the work."""
    gamma = (1 - 2.0**-log_blowup) / 2
    return -query_count * math.log2(1 - gamma) + grinding_bits


def constraint_bits(constraint_count: int) -> float:
    """ALI: constraints folded by powers of one challenge."""
    return LOG_EXTENSION - math.log2(max(constraint_count, 1))


def point_bits(log_rows: int, log_blowup: int, degree: int, point_count: int = 2) -> float:
    """DEEP: the chance that two different polynomials agree at z."""
    rows = 2**log_rows
    agreeing = degree * (rows + point_count - 1) + rows - 1
    return LOG_EXTENSION - math.log2(agreeing)


def logup_bits(message_weight: int) -> float:
    """Without work. message_weight: sum over messages of (fields + 1)."""
    return LOG_EXTENSION - math.log2(max(2 * message_weight, 1))


def logup_grinding_bits(message_weight: int, parameters: Parameters) -> int:
    """The work that a LogUp challenge of this weight is preceded by: what is missing to parameters.logup_bits."""
    missing = math.ceil(parameters.logup_bits - logup_bits(message_weight))
    return min(max(missing, 0), LOGUP_GRINDING_LIMIT)


def hash_bits(element_count: int) -> float:
    """Collisions of a digest, or of a sponge's capacity, of this many elements."""
    return element_count * math.log2(PRIME) / 2


def shard_report(layer: str, facts: ShardFacts, parameters: Parameters) -> Report:
    """The rows of one shard."""
    blowup = parameters.log_blowup
    log_rows = max(facts.log_heights)
    rows = []

    work = logup_grinding_bits(facts.local_message_weight, parameters)
    rows.append(
        Row(
            "LogUp, local challenge",
            logup_bits(facts.local_message_weight) + work,
            f"|K| / (2 x {facts.local_message_weight}), {work} bits of work",
        )
    )
    rows.append(Row("constraints (ALI)", constraint_bits(facts.constraint_count), f"|K| / {facts.constraint_count}"))
    rows.append(
        Row(
            "opening point (DEEP)",
            point_bits(log_rows, blowup, facts.constraint_degree),
            f"degree {facts.constraint_degree}, 2^{log_rows} rows, 2 points",
        )
    )
    tensor = max(math.ceil(math.log2(max(facts.opened_count, 2))), 1)
    rows.append(
        Row(
            "batching",
            unique_decoding_proximity_bits(log_rows, blowup) - math.log2(tensor),
            f"{facts.opened_count} openings, {tensor} tensor challenges, 2^{log_rows} rows",
        )
    )
    for fold in fold_schedule((height + blowup for height in facts.log_heights), parameters):
        height = fold.log_height - blowup
        rows.append(
            Row(
                f"fold of 2^{fold.log_height}",
                unique_decoding_proximity_bits(height, blowup) - math.log2(2**fold.log_arity - 1),
                f"2^{height} rows, by {2**fold.log_arity}",
            )
        )
        if fold.joins:
            rows.append(
                Row(
                    f"join at 2^{fold.log_height - fold.log_arity}",
                    unique_decoding_proximity_bits(height - fold.log_arity, blowup),
                    f"2^{height - fold.log_arity} rows",
                )
            )
    rows.append(
        Row(
            "queries",
            query_bits(parameters.query_count, blowup, parameters.query_grinding_bits),
            f"{parameters.query_count} queries, rate 1/{2**blowup}, {parameters.query_grinding_bits} bits of work",
        )
    )
    return Report(layer, tuple(rows))


def global_report(message_weight: int, parameters: Parameters) -> Report:
    """The rows that all shards share."""
    work = logup_grinding_bits(message_weight, parameters)
    return Report(
        "global",
        (
            Row(
                "LogUp, global challenge",
                logup_bits(message_weight) + work,
                f"|K| / (2 x {message_weight}), {work} bits of work",
            ),
            Row("hash collisions", hash_bits(DIGEST_LENGTH), f"{DIGEST_LENGTH} elements of digest"),
            Row("transcript", hash_bits(CAPACITY), f"{CAPACITY} elements of capacity"),
        ),
    )


def weakest(reports: Sequence[Report]) -> Report:
    """The layer that limits the proof."""
    return min(reports, key=lambda report: report.bits)


def distinct(reports: Iterable[Report]) -> tuple[Report, ...]:
    """Reports with equal rows kept once, under the first layer's name: thousands of shards have few shapes."""
    seen: dict[tuple[Row, ...], Report] = {}
    for report in reports:
        seen.setdefault(report.rows, report)
    return tuple(seen.values())
