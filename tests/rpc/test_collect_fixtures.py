"""
collect on valid blocks of EEST v5.4.0, a seeded sample of every fork and transition.

The node is in process and offers eth_getProof alone. The collected witness must be exactly what the recorder reads from
the whole state, and collect itself validates it with the oracle.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from rpc.collect import collect
from tests.rpc.eest_chains import valid_blocks
from tests.rpc.whole import WholeSource
from witness.block import parse_requests
from witness.errors import BlockError
from witness.fixtures import fixture, read_suite
from witness.schema import REVISION_UNBOUND, Fork

# Archive and the share of its tests that is drawn from.
SETS = [
    ("Frontier", 0.3),
    ("Homestead", 0.3),
    ("Byzantium", 0.3),
    ("ConstantinopleFix", 0.3),
    ("Istanbul", 0.2),
    ("Berlin", 0.2),
    ("London", 0.2),
    ("Paris", 0.2),
    ("Shanghai", 0.1),
    ("Cancun", 0.05),
    ("Prague", 0.02),
    ("Osaka", 0.02),
    ("ShanghaiToCancunAtTime15k", 1.0),
    ("CancunToPragueAtTime15k", 1.0),
    ("PragueToOsakaAtTime15k", 1.0),
    ("OsakaToBPO1AtTime15k", 1.0),
    ("BPO1ToBPO2AtTime15k", 1.0),
    ("BPO2ToBPO3AtTime15k", 1.0),
    ("BPO3ToBPO4AtTime15k", 1.0),
]
# No test of these has little gas: they are in the heavy sample only.
LARGE = ("BPO1ToBPO2AtTime15k", "BPO2ToBPO3AtTime15k", "BPO3ToBPO4AtTime15k")
SMALL_SETS = [(archive, share) for archive, share in SETS if archive not in LARGE]
EMPTY_PROOFS = [(), (b"",), (b"\x80",)]


@pytest.fixture(scope="module")
def fixtures() -> Path:
    """The folder of fixture archives; skips where there is none."""
    folder = Path(os.environ.get("BLOCKPROOF_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")) / "fixtures"
    if not folder.is_dir():
        pytest.skip("no data folder: set BLOCKPROOF_DATA")
    return folder


def representable(requests: Sequence[bytes]) -> bool:
    """False for requests of a changed system contract that are no SSZ lists: such a block has no NewPayloadRequest."""
    try:
        parse_requests(requests)
    except BlockError:
        return False
    return True


def run_sample(fixtures: Path, archive: str, share: float, most: int, most_gas: int) -> int:
    """Collects up to `most` blocks of tests with at most that much gas; the number of blocks."""
    path = fixtures / f"eest_v5.4.0_{archive}.tar.zst"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the data folder")
    generator = random.Random(f"collect {archive}")
    count = 0
    for raw in read_suite(path):
        if generator.random() > share:
            continue
        test = fixture(raw)
        if test.gas_used > most_gas or len(test.blocks) > 20:
            continue
        for step in valid_blocks(test):
            source = WholeSource(
                step.chain.chain_id,
                step.headers,
                step.before,
                step.block,
                step.after,
                list_inline=count % 2 == 1,
                empty=EMPTY_PROOFS[count % 3],
            )
            if step.fork >= Fork.PRAGUE and not representable(step.executed.requests):
                with pytest.raises(BlockError, match="execution requests"):
                    collect(source, step.block.header.hash, step.chain, None, REVISION_UNBOUND)
                continue
            collected = collect(source, step.block.header.hash, step.chain, None, REVISION_UNBOUND)
            assert collected.witness == step.executed.touched, test.name
            count += 1
            if count == most:
                return count
    return count


@pytest.mark.parametrize(("archive", "share"), SMALL_SETS, ids=[archive for archive, _ in SMALL_SETS])
def test_sample(fixtures, archive, share):
    assert run_sample(fixtures, archive, share, 5, 200_000) > 0


@pytest.mark.heavy
@pytest.mark.parametrize(("archive", "share"), SETS, ids=[archive for archive, _ in SETS])
def test_larger_sample(fixtures, archive, share):
    assert run_sample(fixtures, archive, min(1.0, 3 * share), 100, 12_000_000 if archive in LARGE else 1_000_000) > 0
