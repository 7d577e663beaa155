"""The calculator against figures published elsewhere, and its direction: every weaker choice costs bits."""

import math
from dataclasses import replace

import pytest
from toy_machine import PARAMETERS, honest_proof, toy, verify_bytes

from zkvm.protocol.errors import Reason
from zkvm.protocol.parameters import Parameters, fold_schedule
from zkvm.protocol.security import (
    LOG_EXTENSION,
    ShardFacts,
    constraint_bits,
    distinct,
    global_report,
    hash_bits,
    logup_bits,
    logup_grinding_bits,
    point_bits,
    query_bits,
    shard_report,
    unique_decoding_proximity_bits,
)

LARGEST = ShardFacts(
    log_heights=(22, 20, 17, 5),
    opened_count=2500,
    constraint_count=400,
    constraint_degree=3,
    local_message_weight=19 * 8 * 2**22,
    global_message_weight=2 * 8 * 2**20,
)


def test_query_bits_are_those_published_for_sp1_hypercube():
    # soundcalc, SP1 Hypercube: unique decoding, 124 queries at rate 1/4 with 16 bits of work: 100 bits.
    assert math.floor(query_bits(124, 2, 16)) == 100


@pytest.mark.parametrize(("log_blowup", "work", "queries"), [
    (1, 16, 270), (1, 20, 261), (1, 24, 251),
    (2, 16, 166), (2, 20, 160), (2, 24, 154),
    (3, 16, 135), (3, 20, 131), (3, 24, 126),
])  # fmt: skip
def test_query_counts_for_128_bits_in_unique_decoding(log_blowup, work, queries):
    # soundcalc's formula evaluated by others for rates 1/2 to 1/8.
    assert query_bits(queries, log_blowup, work) >= 128 > query_bits(queries - 1, log_blowup, work)


def test_the_default_parameters_at_the_largest_shape():
    # A review of this design, with soundcalc's formulas: proximity 134 bits, fold by 8 131, DEEP 131, 256 queries with
    # 22 bits of work.
    assert round(unique_decoding_proximity_bits(22, 1)) == 134
    assert round(unique_decoding_proximity_bits(22, 1) - math.log2(7)) == 131
    assert round(point_bits(22, 1, 3)) == 131
    assert query_bits(256, 1, 22) > 128
    assert query_bits(255, 1, 22) < 128
    assert hash_bits(9) > 139
    assert hash_bits(8) < 128
    assert round(LOG_EXTENSION, 2) == 154.94


def test_the_largest_shape_reaches_128_bits_and_queries_limit_it():
    report = shard_report("shard", LARGEST, Parameters())
    assert report.bits >= 128
    assert report.limiting.name == "queries"
    assert global_report(1000 * LARGEST.global_message_weight, Parameters()).bits >= 128


@pytest.mark.parametrize("change", [
    {"query_count": 255}, {"query_grinding_bits": 21}, {"logup_bits": 127},
])  # fmt: skip
def test_lowering_any_parameter_lowers_the_bits(change):
    before, after = Parameters(), Parameters().with_changes(**change)
    rows = zip(shard_report("s", LARGEST, before).rows, shard_report("s", LARGEST, after).rows)
    differences = [a.bits - b.bits for a, b in rows]
    assert min(differences) >= 0 and max(differences) > 0


def test_folding_by_more_at_once_costs_bits_of_the_fold_rows():
    tall = replace(LARGEST, log_heights=(22, 5))
    fold_bits = [
        min(row.bits for row in shard_report("s", tall, Parameters(log_fold=k)).rows if row.name.startswith("fold"))
        for k in (1, 2, 3, 4)
    ]
    assert fold_bits == sorted(fold_bits, reverse=True) and len(set(fold_bits)) == 4


def test_a_lower_rate_raises_query_bits():
    assert query_bits(100, 2, 0) > query_bits(100, 1, 0)


@pytest.mark.parametrize("fact", ["opened_count", "constraint_count", "local_message_weight"])
def test_a_larger_shape_costs_bits(fact):
    larger = replace(LARGEST, **{fact: 4 * getattr(LARGEST, fact)})
    # Without work, which would make LogUp's loss good.
    parameters = Parameters(logup_bits=0)
    before, after = shard_report("s", LARGEST, parameters), shard_report("s", larger, parameters)
    assert sum(row.bits for row in after.rows) < sum(row.bits for row in before.rows)


def test_work_makes_up_what_logup_lacks():
    weight = LARGEST.local_message_weight
    assert logup_bits(weight) < 128
    work = logup_grinding_bits(weight, Parameters())
    assert 128 <= logup_bits(weight) + work < 129
    assert logup_grinding_bits(16, Parameters()) == 0
    assert constraint_bits(400) > 146


def test_the_schedule_lands_on_every_height():
    folds = fold_schedule([23, 21, 18, 7], Parameters())
    assert [(fold.log_height, fold.log_arity, fold.joins) for fold in folds] == [
        (23, 2, True), (21, 3, True), (18, 3, False), (15, 3, False), (12, 3, False), (9, 2, True), (7, 1, False),
    ]  # fmt: skip
    assert fold_schedule([6], Parameters()) == ()


def test_reports_with_equal_rows_are_kept_once():
    reports = [shard_report(f"shard {i}", LARGEST, Parameters()) for i in range(3)]
    assert distinct(reports) == (reports[0],)


def test_a_proof_of_too_few_bits_is_refused_and_the_limiting_row_named():
    accepted = verify_bytes(honest_proof())
    refused = verify_bytes(honest_proof(), required_bits=128)
    assert accepted.bits < 10
    assert refused.reason is Reason.SECURITY
    assert "queries" in refused.detail and "128" in refused.detail
    assert verify_bytes(honest_proof(), required_bits=accepted.bits) == accepted


def test_the_default_demands_128_bits():
    from zkvm.protocol.verify import verify

    assert verify(honest_proof(), toy().machine).reason is Reason.SECURITY
    assert PARAMETERS.query_count < 256
