"""Running and measuring programs, and looking at files: vm run, vm stats, vm constraints, inspect, doctor, cache, guest."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from blockproof.guest_build import ToolchainAbsent, find_toolchain
from blockproof.guests import SHIPPED, shipped_guests
from blockproof.program_ids import format_id, shipped_ids
from witness import encode_input, make_devnet_input

NO_TOOLCHAIN = "Rust toolchain (rustc-web) is absent"


def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, (a + b) % 2**64
    return a


SECRET = bytes(range(7, 39))

RUNS = {
    "fibonacci": ((90).to_bytes(8, "little"), fibonacci(90).to_bytes(8, "little")),
    "key-ownership": (SECRET, hashlib.sha256(SECRET).digest()),
}
"""Guest, input, and the output that Python computes."""


@pytest.mark.parametrize("name", RUNS)
def test_run(cli: Callable, tmp_path: Path, name: str) -> None:
    given, expected = RUNS[name]
    path = tmp_path / "input"
    path.write_bytes(given)
    by_name = cli("vm", "run", name, "-i", "0x" + given.hex())
    assert by_name.code == 0 and by_name.out.splitlines()[0] == f"output 0x{expected.hex()}"
    by_path = cli("vm", "run", SHIPPED / f"{name}.elf", "-i", path, "--json")
    assert by_path.code == 0
    said = by_path.json
    assert said["ok"] and said["output"] == "0x" + expected.hex() and said["exit_code"] == 0
    assert said["steps"] == sum(said["instructions"].values()) == sum(said["functions"].values())
    assert said["predicted"]["cells"] > 0 and said["predicted"]["without_chip"] == []


@pytest.mark.parametrize("name", shipped_guests())
def test_stats(cli: Callable, name: str) -> None:
    given = {"fibonacci": "0x10000000", "keccak-chain": "0x02000000", "sha256-chain": "0x02000000"}.get(name, "0x" + SECRET.hex())
    answer = cli("vm", "stats", name, "-i", given, "--json")
    assert answer.json["steps"] > 0 and answer.code == (0 if answer.json["exit_code"] == 0 else 1)
    text = cli("vm", "stats", name, "-i", given, "--top", "3")
    assert text.code == answer.code
    for heading in ("steps by function", "steps by instruction", "rows and cells by chip", "calls by syscall"):
        assert heading in text.out


def test_a_block_in_the_machine(cli: Callable, tmp_path: Path) -> None:
    """The block guest is a program like any other, and its regions are named."""
    path = tmp_path / "block.ssz"
    path.write_bytes(encode_input(make_devnet_input()))
    said = cli("vm", "run", "block", "-i", path, "--json").json
    assert said["ok"] and said["output"][66:68] == "01"
    assert "decode" in {region["path"][0] for region in said["regions"]}
    assert "decode" in cli("vm", "stats", "block", "-i", path).out


EXIT = "addi a7, x0, 93\necall\n"

TRAPS = {
    "UnsupportedInstruction": (f"addi x0, x0, 0\n{EXIT}", "0x200000"),
    "MemoryFault": ("addi a0, x0, 8\nld a1, 0(a0)", "0x200004"),
    "MisalignedJump": ("addi a0, x0, 2\njalr x0, 0(a0)", "0x200004"),
    "UnknownSyscall": ("addi a7, x0, 7\necall", "0x200004"),
}


@pytest.mark.parametrize("kind", TRAPS)
def test_a_trap_names_its_pc(cli: Callable, guest: Callable, tmp_path: Path, kind: str) -> None:
    source, pc = TRAPS[kind]
    path = guest(source)
    if kind == "UnsupportedInstruction":
        # The assembler has no CSR instructions: rdcycle takes the place of nop.
        path.write_bytes(path.read_bytes().replace((0x13).to_bytes(4, "little"), (0xC0002573).to_bytes(4, "little")))
    for arguments in (["vm", "run"], ["vm", "stats"], ["vm", "constraints"], ["vm", "prove", "-o", str(tmp_path / "p"), "--quiet"]):
        answer = cli(*arguments, path)
        assert answer.code == 1 and f"pc {pc}" in answer.err and answer.out == "", arguments
        said = cli(*arguments, path, "--json").json
        assert (said["ok"], said["kind"], said["pc"]) == (False, kind, pc)
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("code", [1, 2, 255, 256])
def test_exit_codes(cli: Callable, guest: Callable, tmp_path: Path, code: int) -> None:
    """A guest's own exit code is said, has no proof, and is never taken for the command's."""
    path = guest(f"addi a0, x0, {code}\n{EXIT}")
    answer = cli("vm", "run", path, "--json")
    assert answer.code == 1 and not answer.json["ok"] and answer.json["exit_code"] == code and answer.json["output"] == "0x"
    answer = cli("vm", "prove", path, "-o", tmp_path / "p", "--quiet")
    assert answer.code == 1 and f"exit code {code}" in answer.err
    assert not (tmp_path / "p").exists()


def test_limits(cli: Callable, guest: Callable, tmp_path: Path) -> None:
    forever = guest("here:\nbeq x0, x0, here\n")
    for arguments in (["vm", "run"], ["vm", "prove", "-o", str(tmp_path / "p"), "--quiet"]):
        said = cli(*arguments, forever, "--max-steps", "1000", "--json")
        assert said.code == 1 and said.json["kind"] == "StepLimitReached"
    said = cli("vm", "run", "assembly", "--max-memory", "4K", "--json")
    assert said.code == 1 and said.json["kind"] == "MemoryLimitReached"


def test_debug_goes_to_standard_error(cli: Callable) -> None:
    answer = cli("vm", "run", "fibonacci", "-i", "0x")
    assert answer.code == 1 and "the input is n" in answer.err and "the input is n" not in answer.out


@pytest.mark.parametrize("name", ["key-ownership", "assembly"])
def test_constraints_hold_on_honest_runs(cli: Callable, name: str) -> None:
    answer = cli("vm", "constraints", name, "-i", "0x" + SECRET.hex())
    assert answer.code == 0, answer
    assert answer.out == "every constraint holds on every row, and every bus is balanced\n"


def test_inspect(cli: Callable, tmp_path: Path, made_proof) -> None:
    path = tmp_path / "block.ssz"
    path.write_bytes(encode_input(make_devnet_input()))
    said = cli("inspect", path, "--json").json
    assert said["ok"] and said["what"].startswith("stateless input") and said["block"] == 1 and said["fork"] == "prague"
    said = cli("inspect", SHIPPED / "assembly.elf", "--json").json
    assert said["ok"] and said["shipped_as"] == "assembly" and said["sha256"] == shipped_guests()["assembly"]
    said = cli("inspect", made_proof.path, "--json").json
    assert said["ok"] and said["what"] == "proof, not verified here" and said["output"] == made_proof.answer.out.split()[-1]
    assert cli("inspect", path).code == cli("inspect", made_proof.path).code == 0


def test_doctor(cli: Callable) -> None:
    answer = cli("doctor", "--json")
    said = answer.json
    assert answer.code == 0 and said["ok"], [finding for finding in said["findings"] if not finding["is_fine"]]
    names = [finding["name"] for finding in said["findings"]]
    assert {"python", "numba", "memory", "cache", "guest block"} <= set(names) and len(set(names)) == len(names)
    assert cli("doctor").out.count("\n") == len(names)


def test_doctor_finds_a_damaged_guest(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(SHIPPED, tmp_path / "elfs")
    (tmp_path / "elfs" / "assembly.elf").write_bytes(b"\x7fELF")
    for module in ("blockproof.guests", "blockproof.doctor"):
        monkeypatch.setattr(f"{module}.SHIPPED", tmp_path / "elfs", raising=False)
    answer = cli("doctor")
    assert answer.code == 1 and "BAD guest assembly" in answer.out and "damaged" in answer.out
    answer = cli("vm", "run", "assembly")
    assert answer.code == 2 and "damaged" in answer.err


def test_cache_clean(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --all, finished shards of interrupted runs stay; what is not ours is never touched."""
    monkeypatch.setenv("BLOCKPROOF_CACHE", str(tmp_path))
    sizes = {"kernels/a-1/x": 100, "work/running-abc/shard-00001.npz": 20, "work/" + "a" * 32 + "/shard-000001": 3, "guest/target-0f/x": 7}
    for name, size in {**sizes, "guest/mine/x": 1, "work/notes": 1, "other/x": 1}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    said = cli("cache", "clean", "--json").json
    assert said == {"ok": True, "folder": str(tmp_path), "freed_bytes": 120, "freed": {"kernels": 100, "answers of nodes": 0, "unfinished work": 20}}
    answer = cli("cache", "clean", "--all")
    assert answer.code == 0 and answer.out.startswith(f"freed 10 B in {tmp_path}: ")
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock")
    assert left == ["guest/mine/x", "other/x", "work/notes"]
    assert cli("cache", "clean", "--all", "--json").json["freed_bytes"] == 0


def test_guest_list_and_id(cli: Callable) -> None:
    assert cli("guest", "list", "--json").json["guests"] == shipped_guests()
    for name, digest in shipped_guests().items():
        assert f"{name:<13}  {digest}" in cli("guest", "list").out
        assert hashlib.sha256((SHIPPED / f"{name}.elf").read_bytes()).hexdigest() == digest
    said = cli("guest", "id", SHIPPED / "assembly.elf", "--json").json
    assert said["program_id"] == cli("guest", "id", "assembly").out.strip()


@pytest.mark.parametrize("name", shipped_guests())
def test_pinned_program_ids(cli: Callable, name: str) -> None:
    """The ids that a verifier trusts are those of the shipped files: after a change, `python -m blockproof.program_ids`."""
    assert cli("guest", "id", name).out.strip() == format_id(shipped_ids()[name])


def test_guest_new(cli: Callable, tmp_path: Path) -> None:
    said = cli("guest", "new", "my-guest", "--in", tmp_path, "--json").json
    assert said["ok"] and Path(said["folder"]) == tmp_path / "my-guest" and (tmp_path / "my-guest" / "Cargo.toml").is_file()
    again = cli("guest", "new", "my-guest", "--in", tmp_path)
    assert again.code == 2 and "my-guest" in again.err


def test_guest_build(cli: Callable, tmp_path: Path) -> None:
    """A new guest builds into an ELF that runs; the same folder builds the same bytes."""
    try:
        find_toolchain()
    except ToolchainAbsent:
        pytest.skip(NO_TOOLCHAIN)
    assert cli("guest", "new", "my-guest", "--in", tmp_path).code == 0
    answer = cli("guest", "build", tmp_path / "my-guest", "-o", tmp_path, "--json")
    assert answer.code == 0, answer
    path = Path(answer.json["elf"])
    assert path == tmp_path / "my-guest.elf" and hashlib.sha256(path.read_bytes()).hexdigest() == answer.json["sha256"]
    assert cli("inspect", path).code == 0
    ran = cli("vm", "run", path, "-i", "0x" + bytes(8).hex(), "--json")
    assert ran.json["steps"] > 0
    absent = cli("guest", "build", tmp_path / "my-guest", "-o", tmp_path / "absent")
    assert absent.code == 2 and "absent" in absent.err


def test_guest_build_without_rust(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("guest", "new", "my-guest", "--in", tmp_path).code == 0

    def absent() -> None:
        raise ToolchainAbsent("no rustc-web here")

    monkeypatch.setattr("blockproof.guest_build.find_toolchain", absent)
    answer = cli("guest", "build", tmp_path / "my-guest")
    assert answer.code == 2 and "no rustc-web here" in answer.err
    assert cli("guest", "build", tmp_path / "my-guest", "--json").json["kind"] == "UsageError"


def test_numbers_of_a_run_do_not_depend_on_the_form(cli: Callable) -> None:
    measured, ran = cli("vm", "stats", "assembly", "--json").json, cli("vm", "run", "assembly", "--json").json
    assert {**measured, "seconds": 0} == {**ran, "seconds": 0}
    assert f"steps {ran['steps']:,}" in cli("vm", "run", "assembly").out
