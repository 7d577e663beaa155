"""
Recorder and oracle on EEST blockchain tests: a seeded sample of every fork, forks' transitions included.

Each test runs twice: on the whole state, and each valid block again from its recorded witness alone.
"""

import random

import pytest
from eest_tests import disagreements_of

from witness.fixtures import fixture, read_suite

# Archive, most tests to run, and the share to draw from: large archives are sampled sparsely.
SETS = [
    ("Frontier", 32, 1.0),
    ("Homestead", 32, 1.0),
    ("Byzantium", 32, 1.0),
    ("ConstantinopleFix", 32, 1.0),
    ("Istanbul", 32, 0.2),
    ("Berlin", 30, 0.2),
    ("London", 30, 0.2),
    ("Paris", 30, 0.2),
    ("Shanghai", 30, 0.2),
    ("Cancun", 32, 0.05),
    ("Prague", 32, 0.02),
    ("Osaka", 32, 0.02),
    ("ShanghaiToCancunAtTime15k", 2, 0.3),
    ("CancunToPragueAtTime15k", 4, 0.3),
    ("PragueToOsakaAtTime15k", 3, 0.3),
    ("OsakaToBPO1AtTime15k", 2, 1.0),
    ("BPO1ToBPO2AtTime15k", 2, 1.0),
    ("BPO2ToBPO3AtTime15k", 2, 1.0),
    ("BPO3ToBPO4AtTime15k", 2, 1.0),
]
# EELS is slow: a test with more gas than this belongs to the heavy run.
ORDINARY_GAS = 300_000


def run_sample(data, archive: str, most: int, share: float, gas: int) -> int:
    path = data / "fixtures" / f"eest_v5.4.0_{archive}.tar.zst"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the data folder")
    generator = random.Random(20_25)
    count = 0
    for raw in read_suite(path):
        small_set = share == 1.0 and "To" in archive
        if not small_set and generator.random() > share:
            continue
        test = fixture(raw)
        if not small_set and (test.gas_used > gas or len(test.blocks) > 20):
            continue
        assert disagreements_of(test) == [], test.name
        count += 1
        if count == most:
            break
    return count


@pytest.mark.parametrize(("archive", "most", "share"), SETS, ids=[archive for archive, _, _ in SETS])
def test_sample(data, archive, most, share):
    assert run_sample(data, archive, most, share, ORDINARY_GAS) > 0


@pytest.mark.heavy
@pytest.mark.parametrize(("archive", "most", "share"), SETS, ids=[archive for archive, _, _ in SETS])
def test_larger_sample(data, archive, most, share):
    assert run_sample(data, archive, 20 * most, min(1.0, 3 * share), 3_000_000) > 0
