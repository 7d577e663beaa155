"""vm prove and vm verify: round trips, what is refused and why, and how little a bad file costs."""

import hashlib
import io
import os
import resource
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blockproof.program_ids import compute_id, format_id
from blockproof.progress import ProgressLine
from zkvm.protocol.checks import Checks
from zkvm.protocol.errors import Reason, Refusal
from zkvm.protocol.machine import MAXIMUM_SHARD_COUNT
from zkvm.protocol.proof import MAGIC, ProofReader
from zkvm.protocol.prove import STAGES
from zkvm.prover import the_machine, verify_program

OTHER_ID = "0x" + "00000001" * 9


@pytest.fixture(scope="module")
def proof(made_proof) -> bytes:
    return made_proof.path.read_bytes()


def test_what_proving_says_and_leaves(made_proof) -> None:
    """Progress on standard error only; one file under the asked name, nothing beside it, nothing in the cache."""
    first, program_id, output = made_proof.answer.out.splitlines()
    secret = bytes(range(32))
    assert output == "  output     0x" + hashlib.sha256(secret).hexdigest()
    assert program_id == "  program id " + format_id(compute_id("key-ownership"))
    assert first.startswith(f"proof {made_proof.path}: ")
    assert all(f"] {stage}" in made_proof.answer.err for stage in ("set-up", "execute", *STAGES))
    assert made_proof.folder == ("key.proof",)
    assert made_proof.work == (".lock",)


def test_verify(cli: Callable, made_proof) -> None:
    answer = cli("vm", "verify", made_proof.path)
    assert answer.code == 0 and answer.out.startswith("ACCEPTED at 128.") and answer.err == ""
    program_id = format_id(compute_id("key-ownership"))
    said = cli("vm", "verify", made_proof.path, "--program-id", program_id, "--json")
    assert said.code == 0
    assert said.json["ok"] and said.json["program_id"] == program_id and said.json["bits"] >= 128
    assert cli("vm", "verify", made_proof.path, "--program-id", "key-ownership", "--json").json["guest"] == "key-ownership"
    assert said.json["output"] == "0x" + hashlib.sha256(bytes(range(32))).hexdigest()


def test_another_program_is_refused(cli: Callable, made_proof) -> None:
    for other in (OTHER_ID, format_id(compute_id("assembly"))):
        answer = cli("vm", "verify", made_proof.path, "--program-id", other)
        assert answer.code == 1 and answer.err.startswith("REFUSED  other program") and answer.out == ""
        assert cli("vm", "verify", made_proof.path, "--program-id", other, "--json").json["reason"] == "other program"


@pytest.mark.parametrize("bits", ["129", "1000", "inf", "nan"])
def test_more_bits_than_there_are(cli: Callable, made_proof, bits: str) -> None:
    answer = cli("vm", "verify", made_proof.path, "--security", bits, "--json")
    assert answer.code == 1 and answer.json["reason"] == "security too low"


def test_security(cli: Callable, made_proof) -> None:
    said = cli("security", made_proof.path, "--json")
    assert said.code == 0 and said.json["ok"]
    layers = said.json["layers"]
    assert [layer["layer"].split()[0] for layer in layers] == ["global", "shard", "shard"]
    for layer in layers:
        assert layer["bits"] == min(row["bits"] for row in layer["rows"]) >= 128
        assert layer["limited_by"] in {row["name"] for row in layer["rows"] if row["bits"] == layer["bits"]}
    assert said.json["bits"] == min(layer["bits"] for layer in layers)
    text = cli("security", made_proof.path)
    assert text.code == 0 and text.out.splitlines()[-1] == f"{said.json['bits']:.1f} bits"


def test_the_assembly_guest_in_one_command(cli: Callable, own_work: Path, tmp_path: Path) -> None:
    """--verify and --json together: still one object. --quiet: nothing on standard error. An older file of the name is replaced."""
    path = tmp_path / "assembly.proof"
    path.write_bytes(b"older")
    for left in (".assembly.proof.999999999.part", ".assembly.proof.another.part"):
        (tmp_path / left).write_bytes(b"left by a killed process, or by somebody else")
    answer = cli("vm", "prove", "assembly", "-i", "0x0102030405", "-o", path, "--verify", "--quiet", "--json")
    assert answer.code == 0 and answer.err == ""
    said = answer.json
    assert said["ok"] and said["verified"]["ok"] and said["program_id"] == said["verified"]["program_id"] == format_id(compute_id("assembly"))
    assert said["output"] == said["verified"]["output"] == cli("vm", "run", "assembly", "-i", "0x0102030405", "--json").json["output"]
    assert said["proof_bytes"] == path.stat().st_size
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [".assembly.proof.another.part", "assembly.proof", "cache"]
    assert [entry.name for entry in (own_work / "work").iterdir()] == [".lock"]


# --- changed bytes ---------------------------------------------------------------------------------------------------


def head_length(proof: bytes) -> int:
    return len(MAGIC) + 8 + struct.unpack_from("<I", proof, len(MAGIC) + 4)[0]


def test_every_changed_word_of_the_head_is_refused(proof: bytes) -> None:
    """One bit of each of the head's words, and of the words before it: the parameters, the key, the statement, the shapes, the roots."""
    for position in range(0, head_length(proof), 4):
        changed = bytearray(proof)
        changed[position] ^= 1
        answer = verify_program(bytes(changed), required_bits=100)
        assert isinstance(answer, Refusal), position


def test_changed_bytes_of_the_shards_are_refused(proof: bytes) -> None:
    start = head_length(proof)
    body = struct.unpack_from("<I", proof, start)[0]
    second = start + 4 + body
    # Each shard's length, first root, sums and openings; rows, paths and layers; its last bytes.
    positions = [start, start + 4, start + 60, start + 2000, start + body // 2, second - 1, second, second + 4, second + 3000, len(proof) - 1]
    for position in positions:
        changed = bytearray(proof)
        changed[position] ^= 0x10
        answer = verify_program(bytes(changed))
        assert isinstance(answer, Refusal), position


def malformed(proof: bytes) -> Iterator[tuple[str, bytes]]:
    start = head_length(proof)
    yield "half", proof[: len(proof) // 2]
    yield "one byte short", proof[:-1]
    yield "one byte long", proof + b"\0"
    yield "head only", proof[:start]
    yield "cut in the head", proof[: start - 5]
    yield "another version", proof[:8] + b"\xff\xff\xff\xff" + proof[12:]
    yield "a head of 4 GiB", proof[:12] + b"\xff\xff\xff\xff" + proof[16:]
    yield "a head of 32 MiB that is not there", proof[:12] + (1 << 25).to_bytes(4, "little") + proof[16:]
    yield "a head of 32 MiB of zeros", proof[:12] + (1 << 25).to_bytes(4, "little") + bytes(1 << 25)
    yield "a body of 4 GiB", proof[:start] + b"\xff\xff\xff\xff" + proof[start + 4 :]
    yield "elements above p", proof[: start + 4] + b"\xff" * (len(proof) - start - 4)
    yield "zeros", proof[:start] + bytes(len(proof) - start)
    words = bytearray(proof)
    words[16 : start] = b"\xff" * (start - 16)
    yield "a head of ones", bytes(words)
    yield from many_shards(proof)


def many_shards(proof: bytes) -> Iterator[tuple[str, bytes]]:
    """Heads that are well formed and claim as many shards as there may be, and more, which the file does not hold."""
    machine = the_machine()
    head = ProofReader(io.BytesIO(proof), machine, Checks()).head
    encoded = proof[16 : head_length(proof)]
    widths = [4 * (1 + len(machine.chips) + len(machine.kinds[header.kind].publics) + 9) for header in head.headers]
    fixed = len(encoded) - sum(widths)
    one = encoded[fixed : fixed + widths[0]]
    counts = fixed - 4 - 4 * len(machine.kinds)
    for count in (MAXIMUM_SHARD_COUNT - 1, 65_534):
        changed = bytearray(encoded[:fixed] + one * count + encoded[fixed + widths[0] :])
        struct.pack_into("<I", changed, counts, count)
        if len(changed) <= 1 << 25:
            yield f"{count} shards", proof[:12] + struct.pack("<I", len(changed)) + bytes(changed)


def test_malformed_files_cost_little(command: list[str], proof: bytes, tmp_path: Path) -> None:
    """
    Each is refused for its form, all of them in one process whose processor time is bounded, and none takes more than 200 MB.

    The bound on time is on all of them together and generous; docs/performance.md has the seconds.
    """
    paths = []
    for name, content in malformed(proof):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(content)
    script = """
import resource, sys
from pathlib import Path
from zkvm.prover import the_machine, verify_program
the_machine()
verify_program(b"")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    answer = verify_program(Path(path))
    print(path, answer.reason.name, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10, sep="\\t")
"""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (90, 90))

    arguments = [command[0], "-c", script, *map(str, paths)]
    ended = subprocess.run(arguments, check=False, capture_output=True, text=True, timeout=900, preexec_fn=limit)
    assert ended.returncode == 0, (ended.returncode, ended.stdout, ended.stderr)
    answers = [line.split("\t") for line in ended.stdout.splitlines()]
    assert [answer[0] for answer in answers] == [str(path) for path in paths]
    for path, reason, mebibytes in answers:
        assert reason in {"MALFORMED", "MACHINE", "SHAPE", "OUTPUT", "GRINDING"}, (path, reason)
        assert int(mebibytes) < 200, (path, mebibytes)


def test_a_stream_that_cannot_seek(cli: Callable, proof: bytes, tmp_path: Path) -> None:
    """A proof through a pipe, as a shell's <(...) gives it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(proof))
    writer.start()
    answer = cli("vm", "verify", pipe, "--json")
    writer.join()
    assert answer.code == 0 and answer.json["ok"]


def test_reasons_are_those_of_the_list(cli: Callable, proof: bytes, tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(proof[:-1])
    said = cli("vm", "verify", path, "--json")
    assert said.code == 1 and said.json["reason"] in {reason.value for reason in Reason} and said.json["detail"]


# --- progress --------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def report(stream: io.StringIO, enabled: bool = True) -> None:
    with ProgressLine(stream, enabled) as progress:
        progress("set-up", 0, 0)
        for shard in (1, 2, 3):
            for stage in STAGES[2:]:
                progress(stage, shard, 3)


def test_progress() -> None:
    """On a terminal one line, gone at the end; elsewhere a few lines; nothing when silenced; and a reader that left stops nothing."""
    terminal, file, silent = Terminal(), io.StringIO(), io.StringIO()
    report(terminal)
    assert "\n" not in terminal.getvalue() and terminal.getvalue().endswith("\r") and "shard 3 of 3" in terminal.getvalue()
    assert "left" in terminal.getvalue()
    report(file)
    assert 2 < file.getvalue().count("\n") < 15 and "\r" not in file.getvalue()
    report(silent, enabled=False)
    assert silent.getvalue() == ""
    report(Gone())
