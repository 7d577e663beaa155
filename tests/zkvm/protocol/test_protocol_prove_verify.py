"""Honest proofs: accepted by both arithmetics, the same bytes every time, made shard by shard, and resumable."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from toy_machine import (
    PARAMETERS,
    Batched,
    Plain,
    ToyRun,
    honest_proof,
    honest_run,
    make_run,
    prove_bytes,
    toy,
    verify_bytes,
)

from zkvm.protocol.errors import ProverError
from zkvm.protocol.parameters import Parameters
from zkvm.protocol.prove import STAGES, Options, prove
from zkvm.protocol.verify import Accepted, verify


def test_an_honest_proof_is_accepted():
    accepted = verify_bytes(honest_proof())
    assert isinstance(accepted, Accepted)
    assert accepted.output == b"\x0f\x00"
    assert accepted.program_id == toy().machine.program_id(toy().key)
    assert accepted.shard_counts == (3, 1)
    assert [report.layer for report in accepted.security] == [
        "global", "shard 1 (execution)", "shard 2 (execution)", "shard 4 (memory)",
    ]  # fmt: skip


def test_the_plain_verifier_says_the_same():
    proof = prove_bytes(make_run(shard_count=2, steps=20), PARAMETERS.with_changes(query_count=3))
    assert verify_bytes(proof, arithmetic=Plain()) == verify_bytes(proof)
    assert isinstance(verify_bytes(proof), Accepted)


@pytest.mark.parametrize("log_fold", [1, 2, 4])
@pytest.mark.parametrize("steps", [20, 200])
def test_other_folds_and_heights(log_fold, steps):
    proof = prove_bytes(make_run(shard_count=2, steps=steps), PARAMETERS.with_changes(log_fold=log_fold, query_count=5))
    assert isinstance(verify_bytes(proof), Accepted)


def test_ten_shards_and_two_memory_shards():
    proof = prove_bytes(make_run(shard_count=10, memory_shards=2))
    assert verify_bytes(proof).shard_counts == (10, 2)


def test_the_same_run_gives_the_same_bytes_whatever_the_threads():
    assert prove_bytes(make_run(), threads=2) == honest_proof()


def test_shards_are_made_one_at_a_time_twice():
    run = make_run()
    prove_bytes(run)
    assert run.made == [("boundary", i) for i in (1, 2, 3, 4)] + [("all", i) for i in (1, 2, 3, 4)]


def test_progress_is_reported_by_named_stages():
    seen = []
    prove_bytes(make_run(shard_count=1), progress=lambda stage, shard, count: seen.append((stage, shard, count)))
    assert seen == [
        ("boundary", 1, 2), ("boundary", 2, 2), ("global challenge", 0, 2),
        *[(stage, shard, 2) for shard in (1, 2) for stage in STAGES[2:]],
    ]  # fmt: skip


def test_rows_are_checked_on_request_and_the_report_names_the_constraint():
    run = make_run()
    run.shards[1].rows["counter"]["main"][3]["increment"] = 1
    with pytest.raises(ProverError, match="shard 2: counter row 3: a tick adds nothing"):
        prove_bytes(run, check_rows=True)


def test_buses_are_checked_on_request_and_the_report_names_the_tuple():
    run = make_run()
    run.shards[1].rows["counter"]["main"][2]["increment"] = 40
    with pytest.raises(ProverError, match=r"bus range in shard 2: \(40,\) sent but not received"):
        prove_bytes(run, check_rows=True)
    assert prove_bytes(make_run(), check_rows=True) == honest_proof()


def test_self_checks_stop_a_prover_whose_sums_or_quotients_are_wrong():
    unbalanced, violated = make_run(), make_run()
    unbalanced.shards[1].rows["counter"]["main"][1]["increment"] += 1
    with pytest.raises(ProverError, match="shard 2: the messages of its local buses"):
        prove_bytes(unbalanced)
    # Padding, which is on no bus.
    violated.shards[1].rows["counter"]["main"][45]["halts"] = 1
    with pytest.raises(ProverError, match="shard 2: the constraints of chip counter do not hold"):
        prove_bytes(violated)


def test_a_prover_does_not_start_on_what_the_verifier_would_refuse():
    too_tall, cut = make_run(shard_count=1, steps=2**12 + 1), make_run()
    with pytest.raises(ProverError, match=r"would refuse this run: .*counter 2\^13"):
        prove_bytes(too_tall)
    del cut.shards[2:]
    cut.statement = replace(cut.statement, shard_counts=(2, 0))
    with pytest.raises(ProverError, match="the last shard does not halt"):
        prove_bytes(cut)
    assert cut.made == too_tall.made == []


def test_a_source_that_changes_its_mind_is_noticed():
    class Fickle(ToyRun):
        def matrices(self, shard):
            rows = super().matrices(shard)
            if "boundary" in rows and "boundary" in rows["boundary"]:
                rows["boundary"]["boundary"][30]["address"] = 5
            return rows

    run = make_run()
    with pytest.raises(ProverError, match="came out differently"):
        prove_bytes(Fickle(run.statement, run.shards))


def test_an_interrupted_proof_goes_on_and_gives_the_same_bytes(tmp_path):
    class Interrupted(Exception):
        pass

    def interrupt(stage, shard, count):
        if (stage, shard) == ("quotient", 3):
            raise Interrupted

    run = make_run()
    output = tmp_path / "proof"
    arguments = (toy().machine, toy().key, toy().tables, run, PARAMETERS, output)
    with pytest.raises(Interrupted):
        prove(*arguments, Options(threads=1, work_folder=tmp_path / "work", progress=interrupt))
    assert not output.exists() and not list(tmp_path.glob("*.part"))
    run.made.clear()
    prove(*arguments, Options(threads=1, work_folder=tmp_path / "work"))
    assert output.read_bytes() == honest_proof()
    assert run.made == [("all", 3), ("all", 4)]


def test_a_damaged_record_is_made_again(tmp_path):
    output = tmp_path / "proof"
    arguments = (toy().machine, toy().key, toy().tables, make_run(), PARAMETERS, output)
    prove(*arguments, Options(threads=1, work_folder=tmp_path / "work", keep_records=True))
    for record in (tmp_path / "work").rglob("*-*"):
        damaged = bytearray(record.read_bytes())
        damaged[len(damaged) // 2] ^= 1
        record.write_bytes(damaged)
    prove(*arguments, Options(threads=1, work_folder=tmp_path / "work"))
    assert output.read_bytes() == honest_proof()


def test_records_of_another_input_are_not_used(tmp_path):
    output = tmp_path / "proof"
    options = Options(threads=1, work_folder=tmp_path / "work", keep_records=True)
    run = make_run(seed=2)
    prove(toy().machine, toy().key, toy().tables, run, PARAMETERS, output, options)
    other = replace(honest_run(), identity=b"another input", made=[])
    prove(toy().machine, toy().key, toy().tables, other, PARAMETERS, output, options)
    assert output.read_bytes() == honest_proof()
    assert len(other.made) == 8


def test_nothing_stays_in_the_work_folder(tmp_path):
    arguments = (toy().machine, toy().key, toy().tables, make_run(shard_count=1), PARAMETERS, tmp_path / "proof")
    prove(*arguments, Options(threads=1, work_folder=tmp_path / "work"))
    assert not list((tmp_path / "work").iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["proof", "work"]


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from toy_machine import PARAMETERS, make_run, toy
from zkvm.protocol.prove import Options, prove

def progress(stage, shard, count):
    if (stage, shard) == ("auxiliary", 3):
        print("third shard", flush=True)
        time.sleep(60)

folder = Path(sys.argv[2])
prove(toy().machine, toy().key, toy().tables, make_run(), PARAMETERS, folder / "proof",
      Options(threads=1, work_folder=folder / "work", progress=progress))
"""


def test_a_killed_prover_goes_on_where_it_was(tmp_path):
    here = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(here), str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=here.parents[2],
        env={**os.environ, "PYTHONPATH": str(here.parents[2])},
    )
    with process:
        assert process.stdout.readline() == b"third shard\n"
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "proof").exists()
    run = make_run()
    started = time.perf_counter()
    prove(
        toy().machine,
        toy().key,
        toy().tables,
        run,
        PARAMETERS,
        tmp_path / "proof",
        Options(threads=1, work_folder=tmp_path / "work"),
    )
    assert (tmp_path / "proof").read_bytes() == honest_proof()
    assert run.made == [("all", 3), ("all", 4)]
    assert time.perf_counter() - started < 60


def test_verify_reads_files_and_bytes(tmp_path):
    path = tmp_path / "proof"
    path.write_bytes(honest_proof())
    assert verify_bytes(path) == verify_bytes(honest_proof())
    with pytest.raises(FileNotFoundError):
        verify(tmp_path / "absent", toy().machine)


def test_the_verifier_needs_no_compiler():
    # Given: everything verify.py imports, in a process where numba cannot be imported.
    script = (
        "import sys; sys.modules['numba'] = None; sys.modules['llvmlite'] = None\n"
        "import zkvm.protocol.verify\n"
        "assert not any(name.startswith('zkvm.kernels.fast') for name in sys.modules), 'fast kernels'\n"
    )
    here = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", script], check=True, cwd=here, env={**os.environ, "PYTHONPATH": str(here)})


def test_the_default_parameters_give_128_bits():
    proof = prove_bytes(make_run(shard_count=1, steps=20), Parameters(), threads=None)
    accepted = verify(proof, toy().machine, arithmetic=Batched())
    assert isinstance(accepted, Accepted)
    assert 128 <= accepted.bits < 129
