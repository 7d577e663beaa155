"""Building guests: same bytes from two folders, only rv64im, the memory map; and what is shipped."""

import hashlib
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from blockproof import guest_build
from blockproof.guest_build import (
    SHIPPED,
    WORKSPACE,
    GuestBuildError,
    GuestElfError,
    Toolchain,
    ToolchainAbsent,
    build_guest,
    check_elf,
    find_toolchain,
    guest_names,
    is_rv64im,
    readable_name,
    source_digest,
    strip_elf,
)
from blockproof.guest_new import GuestNewError, new_guest
from tests.guest.places import build_native, program, run_process
from zkvm.machine import load_elf, run

LIGHT = ("assembly", "fibonacci", "key-ownership", "keccak-chain", "sha256-chain")
"""The guests that build in seconds."""


def test_same_bytes_from_two_folders(toolchain: Toolchain, tmp_path: Path) -> None:
    ignore = shutil.ignore_patterns("target")
    elves = []
    for folder in ("first", "second/with a longer name"):
        copy = tmp_path / folder / "guest"
        shutil.copytree(WORKSPACE, copy, ignore=ignore)
        manifests = [copy / "programs" / name / "Cargo.toml" for name in ("keccak-chain", "sha256-chain", "assembly")]
        elves.append([build_guest(manifest, toolchain=toolchain, target=tmp_path / folder / "t") for manifest in manifests])
    assert elves[0] == elves[1]
    assert elves[0] == [build_guest(program(name), toolchain=toolchain) for name in ("keccak-chain", "sha256-chain", "assembly")]


@pytest.mark.heavy
def test_block_guest_has_the_same_bytes_from_two_folders(toolchain: Toolchain, tmp_path: Path) -> None:
    if not program("block").is_file():
        pytest.skip("the block guest's source is absent")
    shutil.copytree(WORKSPACE, tmp_path / "guest", ignore=shutil.ignore_patterns("target"))
    copy = tmp_path / "guest/programs/block/Cargo.toml"
    assert build_guest(copy, toolchain=toolchain) == build_guest(program("block"), toolchain=toolchain)


def shipped_entries() -> dict[str, dict]:
    return json.loads((SHIPPED / "digests.json").read_text())


@pytest.mark.parametrize("name", LIGHT)
def test_shipped_elf_is_what_the_index_says(name: str) -> None:
    elf = (SHIPPED / f"{name}.elf").read_bytes()
    entry = shipped_entries()[name]
    assert hashlib.sha256(elf).hexdigest() == entry["sha256"]
    assert len(elf) == entry["size"]
    check_elf(elf)
    load_elf(elf)


@pytest.mark.parametrize("name", LIGHT)
def test_shipped_elf_is_built_from_this_source(name: str) -> None:
    assert source_digest(WORKSPACE, name) == shipped_entries()[name]["source_sha256"], f"rebuild: guest_build {name}"


@pytest.mark.parametrize("name", LIGHT)
def test_rebuilt_elf_is_the_shipped_one(toolchain: Toolchain, name: str) -> None:
    entry = shipped_entries()[name]
    if (entry["compiler"], entry["linker"]) != (toolchain.compiler_version, toolchain.linker_version):
        pytest.skip("the installed Rust toolchain is not the version that built the shipped guests")
    assert hashlib.sha256(build_guest(program(name), toolchain=toolchain)).hexdigest() == entry["sha256"]


def test_every_program_is_named(toolchain: Toolchain, capsys: pytest.CaptureFixture) -> None:
    assert set(LIGHT) <= set(guest_names())
    assert guest_build.main(["no-such-guest"]) == 1
    assert "there is no guest 'no-such-guest'" in capsys.readouterr().err


def test_absent_toolchain_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOCKPROOF_RUSTC", "/nowhere/rustc")
    with pytest.raises(ToolchainAbsent, match="apt-get install rustc-web"):
        find_toolchain()


def test_cargos_message_is_shown(toolchain: Toolchain, tmp_path: Path) -> None:
    folder = new_guest("broken", tmp_path)
    (folder / "src/main.rs").write_text("this is not Rust")
    with pytest.raises(GuestBuildError, match="expected one of"):
        build_guest(folder / "Cargo.toml", toolchain=toolchain)
    with pytest.raises(GuestBuildError, match="does not exist"):
        build_guest(tmp_path / "Cargo.toml", toolchain=toolchain)


@pytest.mark.parametrize(
    ("private_input", "name", "expected"),
    [
        (struct.pack("<I", 90), "fibonacci", (2880067194370816120).to_bytes(8, "little")),
        (struct.pack("<Q", 0), "fibonacci", bytes(8)),
        (b"\x05" * 32, "key-ownership", hashlib.sha256(b"\x05" * 32).digest()),
        (b"\x01\x00\x00\x00seed", "sha256-chain", hashlib.sha256(b"seed").digest()),
        (b"", "assembly", bytes(24) + struct.pack("<3Q", 1, 0x0D4723B0377BAB4B, 0)),
    ],
)
def test_shipped_guests_run(private_input: bytes, name: str, expected: bytes) -> None:
    result = run(load_elf((SHIPPED / f"{name}.elf").read_bytes()), private_input)
    assert (result.exit_code, result.output) == (0, expected)


@pytest.mark.parametrize("name", LIGHT)
@pytest.mark.parametrize("private_input", [b"", b"\x03\x00\x00\x00", bytes(8) + bytes(range(24)), b"\x02\x00\x00\x00" + bytes(range(251))])
def test_guests_end_alike_everywhere(everywhere: Callable, name: str, private_input: bytes) -> None:
    ended = everywhere(program(name), private_input)
    assert ended.code in (0, 101)


@pytest.mark.parametrize(("name", "constant"), [("keccak-chain", 0x8082), ("sha256-chain", 0x428A2F98)])
def test_replaced_crates_carry_no_software_hash(name: str, constant: int) -> None:
    """keccak-chain hashes with tiny-keccak and sha256-chain with sha2: accelerator calls, and no round constants in the ELF."""
    elf = (SHIPPED / f"{name}.elf").read_bytes()
    result = run(load_elf(elf), b"\x05\x00\x00\x00seed")
    calls = {call.name: count for call, count in result.syscalls.items()}
    assert calls["KECCAK_F" if name == "keccak-chain" else "SHA256_COMPRESS"] == 5
    assert struct.pack("<I", constant) not in elf


# -- the checks of an ELF ------------------------------------------------------------------------------------------------


def test_new_guest_builds_and_runs(toolchain: Toolchain, tmp_path: Path) -> None:
    folder = new_guest("my-guest", tmp_path)
    result = run(load_elf(build_guest(folder / "Cargo.toml", toolchain=toolchain)), b"abc")
    digest = bytes.fromhex("4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45")
    assert (result.exit_code, result.output) == (0, digest)
    native = build_native(toolchain, folder / "Cargo.toml", tmp_path / "target")
    assert run_process(str(native / "my-guest"), stdin=b"abc").output == digest


@pytest.mark.parametrize("name", ["", "Guest", "9lives", "../up", "a/b", "a b", "-x", "x-", "a--b", "test", "core", "fn", "x" * 65, "ä"])
def test_new_guest_refuses_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(GuestNewError):
        new_guest(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_new_guest_keeps_what_exists(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(GuestNewError, match="exists already"):
        new_guest("mine", tmp_path)


def patch(elf: bytes, position: int, replacement: bytes) -> bytes:
    return elf[:position] + replacement + elf[position + len(replacement) :]


def test_check_refuses_what_the_machine_refuses() -> None:
    elf = (SHIPPED / "fibonacci.elf").read_bytes()
    text = struct.unpack_from("<Q", elf, 64 + 8)[0]
    for word in (0x30200073, 0x0010_0073, 0x0000_100F, 0x1000_202F, 0x0000_4501, 0x0200_0053, 0xFFFF_FFFF):
        with pytest.raises(GuestElfError, match="not an rv64im instruction"):
            check_elf(patch(elf, text + 8, struct.pack("<I", word)))
    for position, replacement, message in [
        (0, b"MZ", "not a static"), (18, b"\x3e", "not a static"), (48, b"\x01", "not a static"), (24, bytes(8), "lies in no code"),
        (64 + 4, b"\x07", "memory map"), (64 + 16, struct.pack("<Q", 0x1000_0000), "memory map"),
        (64 + 32, struct.pack("<Q", 1 << 40), "end of the file"), (56, b"\xff\xff", "program headers"),
    ]:  # fmt: skip
        with pytest.raises(GuestElfError, match=message):
            check_elf(patch(elf, position, replacement))
    for length in (0, 10, 63, 100):
        with pytest.raises(GuestElfError):
            check_elf(elf[:length])


def test_strip_is_idempotent() -> None:
    elf = (SHIPPED / "keccak-chain.elf").read_bytes()
    assert strip_elf(elf) == elf
    assert any("sponge" in symbol.name or "keccak" in symbol.name for symbol in load_elf(elf).symbols)


def test_is_rv64im_knows_ordinary_instructions() -> None:
    assert all(is_rv64im(word) for word in (0x13, 0x73, 0x0FF0000F, 0x02B50533, 0x40B5053B, 0x02B5553B, 0x00053503, 0xFEB53C23))
    assert not any(is_rv64im(word) for word in (0x00B5153B | 0x02000000, 0x40B51533, 0x00007003, 0x00004023, 0x00002063, 0))


def test_readable_names() -> None:
    assert readable_name("_RNvNtCsfPSYLJfHEKv_14blockproof_sdk5start5start") == "blockproof_sdk::start::start"
    assert readable_name("_ZN4core9panicking5panic17h0123456789abcdefE") == "core::panicking::panic"
    assert readable_name("memcpy") == "memcpy"
