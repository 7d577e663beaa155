"""
Everything that is absorbed and drawn, in order, is in a reviewed file: inventory.txt.

Never regenerate it merely to make this test pass: a line that moves up or goes away is a challenge that no longer
depends on something. To write down what the code does now: python tests/soundness/transcript/test_inventory.py
"""

import io
import itertools
from pathlib import Path

from toy_machine import PARAMETERS, Batched, Plain, make_run, prove_bytes, toy

from zkvm.protocol.plan import ShardPlan
from zkvm.protocol.prove import Prover
from zkvm.protocol.transcript import GLOBAL_TRANSCRIPT, Transcript
from zkvm.protocol.verify import Verifier

INVENTORY = Path(__file__).with_name("inventory.txt")


def recording(lines: list[str]) -> type[Transcript]:
    """A transcript that writes down what it is used for."""

    class Recording(Transcript):
        def __init__(self, hash, domain):
            super().__init__(hash, domain)
            lines.append("")
            lines.append("global transcript" if domain == GLOBAL_TRANSCRIPT else "shard transcript")

        def absorb(self, label, elements):
            lines.append(f"  absorb {len(elements):4} elements  {label}")
            super().absorb(label, elements)

        def challenge(self, label):
            lines.append(f"  draw      1 extension {label}")
            return super().challenge(label)

        def indices(self, label, count, bit_count):
            lines.append(f"  draw   {count:4} indices   {label}")
            return super().indices(label, count, bit_count)

        def seed(self, label):
            lines.append(f"  draw      1 digest    {label}")
            return super().seed(label)

    return Recording


def collapsed(lines: list[str]) -> str:
    """Equal lines in a row become one with a factor."""
    result = []
    for line, group in itertools.groupby(lines):
        times = len(list(group))
        result.append(line if times == 1 else f"{line} (x {times})")
    return "\n".join(result).strip() + "\n"


def proven_and_verified() -> tuple[str, str]:
    """What the prover's and the verifier's transcripts were used for, for one shard of each kind."""
    proving: list[str] = []
    verifying: list[str] = []

    class RecordingProver(Prover):
        transcript_type = recording(proving)

    proof = prove_bytes(make_run(shard_count=1, steps=1000), prover_type=RecordingProver)
    verifier = Verifier(toy().machine, Batched(), 0)
    verifier.transcript_type = recording(verifying)
    verifier.verify(io.BytesIO(proof))
    return collapsed(proving), collapsed(verifying)


def test_prover_and_verifier_follow_the_inventory():
    proving, verifying = proven_and_verified()
    assert proving == verifying == INVENTORY.read_text()


def test_the_plain_verifier_uses_its_transcript_as_the_batched_one():
    used = []
    proof = prove_bytes(make_run(shard_count=1, steps=20))
    for arithmetic in (Plain(), Batched()):
        lines: list[str] = []
        verifier = Verifier(toy().machine, arithmetic, 0)
        verifier.transcript_type = recording(lines)
        verifier.verify(io.BytesIO(proof))
        used.append(lines)
    assert used[0] == used[1]


def test_every_field_of_a_shards_proof_before_the_queries_is_absorbed():
    header = make_run().headers[0]
    names = [name for name, _ in ShardPlan.of(toy().machine, toy().key, header, PARAMETERS).schema]
    absorbed = {
        line.split("elements  ")[1].split(" (x")[0] for line in INVENTORY.read_text().splitlines() if "absorb" in line
    }
    for name in names[: names.index("query nonce") + 1]:
        # One root at a time.
        assert {"layer roots": "layer root"}.get(name, name) in absorbed


if __name__ == "__main__":
    INVENTORY.write_text(proven_and_verified()[1])
