"""Whatever is wrong with a file, a path, an option or a stream: exit code 1 or 2, one sentence that says what, no traceback."""

import gzip
import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from blockproof.cli import main
from blockproof.guests import SHIPPED
from witness import encode_input, make_devnet_input

COMMANDS_OF_A_FILE = {
    "vm run": (), "vm stats": (), "vm constraints": (), "vm prove": ("-o", "{out}"), "vm verify": (), "security": (), "verify": (),
    "execute": (), "prove": ("-o", "{out}"), "inspect": (), "guest id": (),
}  # fmt: skip


def all_commands(group: click.Group = main, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in sorted(group.commands.items()):
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))


def elf() -> bytes:
    return (SHIPPED / "assembly.elf").read_bytes()


BAD_FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "one byte": lambda: b"\x7f",
    "random": lambda: bytes((i * i * 7919 >> 5) & 255 for i in range(5000)),
    "text": lambda: b"hello, world\n",
    "elf, cut in its header": lambda: elf()[:40],
    "elf, cut in a segment": lambda: elf()[:1000],
    "elf of another machine": lambda: elf()[:18] + b"\x3e\x00" + elf()[20:],
    "proof, cut after its magic": lambda: b"BLKPROOF",
    "proof, a huge head": lambda: b"BLKPROOF" + (1).to_bytes(4, "little") + b"\xff\xff\xff\x01",
    "block proof, a huge request": lambda: b"BLKBLOCK" + (1).to_bytes(4, "little") + b"\xff" * 4,
    "block proof, cut in its request": lambda: b"BLKBLOCK" + (1).to_bytes(4, "little") + (900).to_bytes(4, "little") + b"\x11\x01abc",
    "json, a list": lambda: b"[]",
    "json, cut": lambda: b'{"chainId": 1, "blo',
    "json, deep": lambda: b'{"a":' * 50_000,
    "gzip, broken": lambda: b"\x1f\x8b" + bytes(30),
    "gzip, nothing in it": lambda: gzip.compress(b""),
    "input, cut": lambda: encode_input(make_devnet_input())[:700],
    "input of another schema": lambda: b"\xff\xff" + encode_input(make_devnet_input())[2:],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    for name, content in BAD_FILES.items():
        (folder / name).write_bytes(content())
    (folder / "directory").mkdir()
    os.mkfifo(folder / "pipe")
    return folder


def check_error(cli: Callable, arguments: list[str], codes: tuple[int, ...] = (1, 2)) -> None:
    plain = cli(*arguments)
    assert plain.code in codes, plain
    assert plain.err.strip() and "Traceback" not in plain.err and "AssertionError" not in plain.err
    assert plain.out == ""
    answer = cli(*arguments, "--json")
    assert answer.code == plain.code
    said = answer.json
    assert said["ok"] is False and said["error"] and said["kind"], said


@pytest.mark.parametrize("name", [*BAD_FILES, "directory", "absent"])
@pytest.mark.parametrize("command", COMMANDS_OF_A_FILE)
def test_bad_file(cli: Callable, folder: Path, tmp_path: Path, command: str, name: str) -> None:
    options = [option.format(out=tmp_path / "out.proof") for option in COMMANDS_OF_A_FILE[command]]
    check_error(cli, [*command.split(), str(folder / name), *options])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "mention"),
    [
        (["vm", "run", "no-such-guest"], "shipped guests: assembly"),
        (["vm", "run", "x" * 5000], "x"),
        (["vm", "run", "assembly", "-i", "0x1"], "not hexadecimal"),
        (["vm", "run", "assembly", "-i", "0xzz"], "not hexadecimal"),
        (["vm", "run", "assembly", "-i", "0x" + "zz" * 4000], "not hexadecimal"),
        (["vm", "run", "assembly", "-i", "absent"], "No such file"),
        (["vm", "run", "assembly", "-i", "{tmp}"], "Is a directory"),
        (["vm", "run", "assembly", "--max-memory", "many"], "is no size"),
        (["vm", "run", "assembly", "--max-memory", ""], "is no size"),
        (["vm", "run", "assembly", "--max-memory", "-1"], "is no size"),
        (["vm", "run", "assembly", "--max-memory", "²"], "is no size"),
        (["vm", "run", "assembly", "--max-memory", "9" * 6000], "is no size"),
        (["vm", "run", "assembly", "--max-steps", "0"], "range"),
        (["vm", "run", "assembly", "--max-steps", "many"], "many"),
        (["vm", "run"], "GUEST"),
        (["vm", "bogus"], "bogus"),
        (["vm", "run", "assembly", "--bogus"], "--bogus"),
        (["vm", "prove", "assembly"], "--output"),
        (["vm", "prove", "assembly", "-o", "{tmp}/p", "--memory", "1M"], "too little"),
        (["vm", "prove", "assembly", "-o", "{tmp}/p", "--memory", "1X"], "is no size"),
        (["vm", "prove", "assembly", "-o", "{tmp}/p", "--shard-rows", "3"], "range"),
        (["vm", "prove", "assembly", "-o", "{tmp}/p", "--threads", "0"], "range"),
        (["vm", "prove", "assembly", "-o", "{tmp}/absent/p"], "there is no folder"),
        (["vm", "prove", "assembly", "-o", "{tmp}"], "directory"),
        (["vm", "prove", "assembly", "-o", "/proc/p"], "cannot write /proc/p"),
        (["vm", "prove", "assembly", "-o", "{tmp}/" + "p" * 250], "name too long"),
        (["vm", "verify", "absent", "--security", "0"], "range"),
        (["vm", "verify", "absent", "--program-id", "0x12"], "is no program id"),
        (["vm", "verify", "absent", "--program-id", "0x" + "f" * 72], "is no program id"),
        (["vm", "verify", "absent", "--program-id", "0x" + " 1234567" * 9], "is no program id"),
        (["verify", "absent", "--expect-block-hash", "0x12"], "is no hash"),
        (["verify", "absent", "--expect-root", "many"], "is no hash"),
        (["execute", "21429063"], "--rpc"),
        (["execute", "{tmp}", "--chain", "nowhere"], "known chain"),
        (["guest", "new", "../up"], "no guest name"),
        (["guest", "new", "fine", "--in", "absent"], "absent"),
        (["guest", "build", "{tmp}"], "Cargo.toml"),
    ],
)
def test_bad_option(cli: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], mention: str) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [argument.replace("{tmp}", str(tmp_path)) for argument in arguments]
    check_error(cli, filled, codes=(2,))
    answer = cli(*filled)
    assert mention in answer.err
    assert not list(tmp_path.iterdir())


def test_an_error_names_the_file(cli: Callable, folder: Path) -> None:
    assert "text: not an ELF file" in cli("vm", "run", folder / "text").err
    assert "json, a list: " in cli("execute", folder / "json, a list").err


def test_each_proof_has_its_verifier(cli: Callable, made_proof, folder: Path) -> None:
    answer = cli("verify", made_proof.path)
    assert answer.code == 1 and "`vm verify`" in answer.err
    answer = cli("vm", "verify", folder / "block proof, a huge request")
    assert answer.code == 1 and "is a block proof" in answer.err and "`blockproof verify`" in answer.err


def test_an_output_that_is_no_file_is_never_replaced(cli: Callable, folder: Path) -> None:
    answer = cli("vm", "prove", "assembly", "-o", folder / "pipe")
    assert answer.code == 2 and "no regular file" in answer.err
    assert (folder / "pipe").is_fifo()


def test_every_command_has_help(cli: Callable) -> None:
    for path, command in all_commands():
        answer = cli(*path, "--help")
        assert answer.code == 0 and answer.out.startswith("Usage: blockproof " + " ".join(path)), path
        assert command.help, path
        for parameter in command.params:
            assert not isinstance(parameter, click.Option) or parameter.help, (path, parameter.name)
    assert cli("--version").out.startswith("blockproof, version ")


def test_every_command_speaks_json(cli: Callable) -> None:
    silent = [path for path, command in all_commands() if not isinstance(command, click.Group) and not any(p.name == "as_json" for p in command.params)]
    assert silent == [("demo",)]


@pytest.mark.parametrize("command", COMMANDS_OF_A_FILE)
def test_unreadable(cli: Callable, tmp_path: Path, command: str) -> None:
    """A file that opens but cannot be read; and, where permissions bind this user, one that does not open."""
    secret = tmp_path / "secret"
    secret.write_bytes(elf())
    secret.chmod(0)
    options = [option.format(out=tmp_path / "out") for option in COMMANDS_OF_A_FILE[command]]
    for path in ["/proc/self/mem", *([secret] if os.geteuid() else [])]:
        check_error(cli, [*command.split(), str(path), *options], codes=(2,))


def test_streams_that_fail(command: list[str]) -> None:
    """A full disk or a reader that left: exit code 2, and no noise beyond a line. The verdict is never 0 unless it was said."""
    arguments = [*command, "guest", "list"]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(arguments, check=False, stdout=full, stderr=subprocess.PIPE, text=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (2, "blockproof: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(arguments, check=False, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(writer)
    assert ended.returncode == 2 and ended.stderr in ("", "blockproof: Broken pipe\n")


def test_no_memory_for_endless_files(command: list[str]) -> None:
    """Files without an end are refused within a bound on processor time and memory."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
        resource.setrlimit(resource.RLIMIT_DATA, (3 << 30, 3 << 30))

    script = "import sys; from blockproof.cli import main\nfor a in sys.argv[1:]:\n  try: main([*a.split(), '/dev/zero'])\n  except SystemExit as e: print(a, e.code)"
    commands = ["vm run", "vm verify", "verify", "security", "execute", "inspect", "guest id", "vm run assembly -i"]
    ended = subprocess.run([command[0], "-c", script, *commands], check=False, capture_output=True, text=True, timeout=600, preexec_fn=limit)
    assert ended.returncode == 0, (ended.returncode == -signal.SIGXCPU, ended.stderr)
    assert "Traceback" not in ended.stderr
    codes = dict(line.rsplit(" ", 1) for line in ended.stdout.splitlines())
    assert set(codes) == set(commands) and set(codes.values()) <= {"1", "2"}, codes
