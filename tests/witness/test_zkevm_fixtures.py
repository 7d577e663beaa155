"""The zkevm v0.3.3 fixtures: their importer, and each of their tests again under Osaka, complete and lacking parts."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.guests import in_machine
from tests.hostile.json_forms import mutate_json
from tests.hostile.watch import refusal_of
from tests.witness.zkevm_osaka import ARCHIVE, encoded, imported_tests, lacking, osaka_blocks
from witness.errors import FormatError, SchemaError
from witness.fixtures import read_suite
from witness.validate import validate
from witness.zkevm_fixtures import ZkevmTest, decode_old_input, decode_old_result, import_test

TEST_FILES = {
    "test_witness_7702.py": 17,
    "test_witness_bytecodes_call_variants.py": 8,
    "test_witness_bytecodes_contract_creation.py": 10,
    "test_witness_bytecodes_eoa_precompiles.py": 19,
    "test_witness_bytecodes_extcode.py": 44,
    "test_witness_bytecodes_selfdestruct.py": 7,
    "test_witness_bytecodes_system_contracts.py": 1,
    "test_witness_headers.py": 14,
    "test_witness_state_deletes.py": 5,
    "test_witness_state_invariants.py": 1,
    "test_witness_state_reads.py": 5,
    "test_witness_state_replay_order.py": 2,
    "test_witness_state_writes.py": 4,
    "test_witness_validation_codes.py": 11,
    "test_witness_validation_headers.py": 5,
    "test_witness_validation_state.py": 8,
}


def test_every_test_is_decoded(data: Path) -> None:
    """All 161, with their expected flags; those of the validation tests that take something away are 0."""
    tests = imported_tests(data)
    assert len(tests) == 161
    blocks = [block for test in tests for block in test.blocks]
    assert len(blocks) == 234
    assert Counter(block.result.successful_validation for block in blocks) == {True: 214, False: 20}
    files = Counter(test.family.partition("::")[0] for test in tests)
    assert files == TEST_FILES
    for test in tests:
        takes_away = any(word in test.family for word in ("_missing_", "malformed", "non_contiguous"))
        assert test.blocks[-1].result.successful_validation != takes_away, test.name


def test_the_importer_refuses(data: Path) -> None:
    """What is not of the form is a typed refusal that names the test."""
    raw = next(read_suite(data / "fixtures" / ARCHIVE))
    name, contents = raw.name, raw.contents
    other_network = {**contents, "network": "Osaka"}
    with pytest.raises(FormatError, match="is not a blockchain test of Amsterdam"):
        import_test(name, other_network)
    with pytest.raises(FormatError, match="has not 1 to 1024 blocks"):
        import_test(name, {**contents, "blocks": []})
    for key, value, reason in (
        ("statelessInputBytes", "0x00", "SSZ of the old StatelessInput"),
        ("statelessOutputBytes", "0x00", "an old result has 41 bytes"),
        ("executionWitness", {"state": [], "codes": [], "headers": []}, "is not the one beside it"),
        ("rlp", contents["genesisRLP"], "another header than the payload"),
        ("rlp", "0xzz", "rlp is not hex"),
    ):
        changed = copy.deepcopy(contents)
        changed["blocks"][0][key] = value
        with pytest.raises(FormatError, match=reason):
            import_test(name, changed)
    raw = bytes.fromhex(contents["blocks"][0]["statelessInputBytes"][2:])
    with pytest.raises(SchemaError):
        decode_old_input(raw + b"\0")
    with pytest.raises(SchemaError):
        decode_old_result(bytes(32) + b"\2" + bytes(8))


def test_the_importer_meets_hostile_tests(data: Path) -> None:
    """Mutated tests: imported, or refused by type."""
    source = random.Random(3)
    examples = [raw.contents for raw in read_suite(data / "fixtures" / ARCHIVE)][:4]
    for _ in range(150):
        changed = mutate_json(source, source.choice(examples))
        _, _, fault = refusal_of(lambda changed=changed: import_test("mutated", changed))
        assert not fault, (fault, json.dumps(changed)[:500])


def check_osaka(test: ZkevmTest) -> Counter:
    """
    Complete: guest and oracle give flag 1 and the same bytes. Lacking any one part: flag 0, the part named, by both.
    """
    counts: Counter = Counter()
    for made in osaka_blocks(test):
        complete = encoded(made)
        end, verdict = in_machine(complete), validate(complete)
        assert verdict.valid, verdict.reason
        assert end.output == verdict.encoded, end
        counts["complete"] += 1
        for due, incomplete in lacking(made):
            end, verdict = in_machine(incomplete), validate(incomplete)
            assert end.reason.startswith(f"invalid: {due}"), (test.name, due, end)
            assert verdict.reason.startswith(due), (test.name, due, verdict.reason)
            assert end.output == verdict.encoded
            counts[" ".join(due.split(" ")[:2])] += 1
    return counts


def one_of_each_file(tests: tuple[ZkevmTest, ...]) -> list[ZkevmTest]:
    """The first test of one block of each file, and one that needs older headers."""
    chosen: dict[str, ZkevmTest] = {}
    for test in tests:
        if len(test.blocks) == 1:
            chosen.setdefault(test.family.partition("::")[0], test)
    chosen["older headers"] = next(
        test for test in tests if "blockhash_at_offset" in test.name and len(test.blocks) == 3
    )
    return list(chosen.values())


def test_a_test_of_each_file_under_osaka(data: Path) -> None:
    counts: Counter = Counter()
    for test in one_of_each_file(imported_tests(data))[::2]:
        counts += check_osaka(test)
    assert set(counts) == {"complete", "missing node", "missing code", "missing header"}


UNUSED = {"test_validation_codes_extra_unused_bytecode", "test_witness_headers_extra_unused_older_ancestor"}
"""The two tests whose witness has something that the block does not read."""


def test_codes_are_those_of_the_tests(data: Path) -> None:
    """The codes that the recorder keeps are the ones that execution-specs keeps, for every valid block of the tests."""
    for test in one_of_each_file(imported_tests(data)):
        for block, made in zip(test.blocks, osaka_blocks(test), strict=True):
            if block.result.successful_validation and test.family.partition("::")[2] not in UNUSED:
                assert set(made.witness.codes) == set(block.witness.codes), test.name


@pytest.mark.heavy
def test_every_test_under_osaka(data: Path) -> None:
    """All 234 blocks and 3,456 incomplete witnesses; a minute or more."""
    counts: Counter = Counter()
    for test in imported_tests(data):
        counts += check_osaka(test)
    assert counts == {
        "complete": 234,
        "missing node": 2049,
        "missing code": 1116,
        "missing header": 248,
        # One taken from the middle: what follows it has no parent.
        "witness header": 43,
    }


@pytest.mark.heavy
def test_codes_and_headers_are_those_of_every_test(data: Path) -> None:
    for test in imported_tests(data):
        for block, made in zip(test.blocks, osaka_blocks(test), strict=True):
            if block.result.successful_validation and test.family.partition("::")[2] not in UNUSED:
                assert set(made.witness.codes) == set(block.witness.codes), test.name
                assert len(made.witness.headers) == len(block.witness.headers), test.name
