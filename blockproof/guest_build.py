"""Guest programs: from Rust source to a checked, reproducible rv64im ELF.

The compiler is Debian's `rustc-web` with `rust-web-src` and `lld`: it carries the sources of its own standard library,
so that `core` and `alloc` are compiled here for exactly the machine's instructions (RV64I + M, no C, A, F, D). This is done
once per compiler, into a folder that `--sysroot` names; cargo then builds guests with any crates.io dependency as usual.

    python -m blockproof.guest_build                    build every guest of guest/programs into blockproof/elfs
    python -m blockproof.guest_build fibonacci --check  build one, compare it with the shipped one, write nothing

Same bytes from any folder: paths are remapped, and nothing else of the machine enters an ELF. The bytes do depend on the
versions of compiler and linker, which `digests.json` names.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
SHIPPED = PACKAGE / "elfs"
"""Folder of the shipped ELFs and of `digests.json`."""

WORKSPACE = PACKAGE.parent / "guest"
"""The cargo workspace of SDK and shipped guests."""

TARGET = "riscv64imac-unknown-none-elf"
"""The built-in target whose specification has atomics, which `alloc::sync::Arc` needs. Extensions A and C are then taken away
again; one thread needs no atomics, so LLVM's lower-atomic pass turns them into plain loads and stores."""

MACHINE_FLAGS = (
    "-Cpasses=lower-atomic",
    # Misaligned loads and stores work in one step (Zicclsm), where two or eight bytes at a time cost many.
    "-Ctarget-feature=-a,-c,-zca,-zaamo,-zalrsc,+unaligned-scalar-mem",
)

SOURCE_SUFFIXES = {".rs", ".toml", ".s", ".json", ".bin"}


class GuestBuildError(Exception):
    """A guest cannot be built; the message says what to install or what cargo said."""


class ToolchainAbsent(GuestBuildError):
    """The Rust toolchain (Debian: rustc-web cargo-web rust-web-src lld) is not installed."""


class GuestElfError(GuestBuildError):
    """A built ELF does not keep the machine's contract (docs/specs/machine.md)."""


@dataclass(frozen=True)
class Toolchain:
    """The programs that build guests, and their versions."""

    rustc: str
    cargo: str
    linker: str
    compiler_version: str
    linker_version: str
    library: Path
    """Source folder of the compiler's own standard library."""


@dataclass(frozen=True)
class BuiltGuest:
    """One built ELF."""

    name: str
    path: Path
    sha256: str
    size: int
    source_sha256: str
    compiler: str
    linker: str


def _first_line(*command: str) -> str:
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return result.stdout.splitlines()[0].strip()


def find_toolchain() -> Toolchain:
    """The toolchain to build with.

    `BLOCKPROOF_RUSTC`, `BLOCKPROOF_CARGO` and `BLOCKPROOF_LLD` name other programs than /usr/bin/rustc, /usr/bin/cargo and ld.lld-14.
    A rustc without its library's source (as rustup installs it, unless `rust-src` was added) cannot be used.

    Raises:
        ToolchainAbsent: a program or the library source is missing.
    """
    rustc = os.environ.get("BLOCKPROOF_RUSTC", "/usr/bin/rustc")
    cargo = os.environ.get("BLOCKPROOF_CARGO", "/usr/bin/cargo")
    hint = "Rust toolchain (rustc-web) is absent: apt-get install rustc-web cargo-web rust-web-src lld"
    linker = os.environ.get("BLOCKPROOF_LLD") or shutil.which("ld.lld-14") or shutil.which("ld.lld")
    if linker is None or not (shutil.which(rustc) and shutil.which(cargo)):
        raise ToolchainAbsent(hint)
    try:
        library = Path(_first_line(rustc, "--print", "sysroot")) / "lib/rustlib/src/rust/library"
        versions = _first_line(rustc, "--version"), _first_line(linker, "--version")
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise ToolchainAbsent(f"{hint} ({error})") from error
    if not (library / "core/src/lib.rs").is_file():
        raise ToolchainAbsent(f"{hint} (no library source at {library})")
    return Toolchain(rustc, cargo, linker, *versions, library)


def cache_folder() -> Path:
    """Where compiled standard libraries and cargo's intermediate files lie: $BLOCKPROOF_CACHE or the user's cache folder."""
    explicit = os.environ.get("BLOCKPROOF_CACHE")
    base = Path(explicit) if explicit else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "blockproof"
    return base / "guest"


def _run(command: Sequence[str], environment: dict[str, str], folder: Path) -> None:
    result = subprocess.run(command, check=False, env=environment, cwd=folder, capture_output=True, text=True)
    if result.returncode != 0:
        raise GuestBuildError(f"{' '.join(command[:4])} .. failed:\n{result.stderr[-6000:]}")


def build_sysroot(toolchain: Toolchain) -> Path:
    """Compiles core, compiler_builtins and alloc for the machine, once per compiler and flags; about 30 s. Returns the sysroot."""
    flags = [
        "--edition=2024", "--target", TARGET, "--crate-type", "rlib", "--cap-lints=allow",
        "-Cpanic=abort", "-Copt-level=3", "-Ccodegen-units=1", "-Cembed-bitcode=yes", "-Zforce-unstable-if-unmarked",
        "--remap-path-prefix", f"{toolchain.library}=/rust/library", *MACHINE_FLAGS,
    ]  # fmt: skip
    key = hashlib.sha256("\n".join([toolchain.compiler_version, *flags]).encode()).hexdigest()[:16]
    sysroot = cache_folder() / f"sysroot-{key}"
    if sysroot.is_dir():
        return sysroot
    sysroot.parent.mkdir(parents=True, exist_ok=True)
    # Made beside its place and moved there whole: an interrupted or concurrent build leaves no half sysroot.
    unfinished = Path(tempfile.mkdtemp(prefix="sysroot-", dir=sysroot.parent))
    out = unfinished / "lib/rustlib" / TARGET / "lib"
    out.mkdir(parents=True)
    environment = {**os.environ, "RUSTC_BOOTSTRAP": "1"}
    common = [toolchain.rustc, *flags, "-L", str(out), "--out-dir", str(out)]
    core, builtins = f"core={out / 'libcore.rlib'}", f"compiler_builtins={out / 'libcompiler_builtins.rlib'}"
    try:
        _run([*common, "--crate-name", "core", str(toolchain.library / "core/src/lib.rs")], environment, unfinished)
        _run(
            [*common, "--crate-name", "compiler_builtins", "--cfg", 'feature="compiler-builtins"', "--cfg", 'feature="mem"',
             "--extern", core, str(toolchain.library / "compiler-builtins/compiler-builtins/src/lib.rs")],
            environment, unfinished,
        )  # fmt: skip
        alloc = [*common, "--crate-name", "alloc", "--extern", core, "--extern", builtins]
        _run([*alloc, str(toolchain.library / "alloc/src/lib.rs")], environment, unfinished)
        try:
            unfinished.rename(sysroot)
        except OSError:
            if not sysroot.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return sysroot


def guest_names(workspace: Path = WORKSPACE) -> list[str]:
    """Names of the guests of a workspace: the packages in its programs/ folder."""
    return sorted(manifest.parent.name for manifest in (workspace / "programs").glob("*/Cargo.toml"))


def source_digest(workspace: Path, name: str) -> str:
    """SHA-256 over all that a guest is built from but the compiler: its own source, its local dependencies' source, and the locked
    name, version and checksum of every other dependency.

    Each part enters as the lengths and bytes of its name and content, in the order of names. Dependencies come from Cargo.lock.

    Raises:
        GuestBuildError: Cargo.lock is missing or does not know the guest.
    """
    try:
        lock = tomllib.loads((workspace / "Cargo.lock").read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise GuestBuildError(f"{workspace / 'Cargo.lock'} cannot be read: {error}") from error
    packages = {(package["name"], package["version"]): package for package in lock.get("package", [])}
    local_folders = {}
    for manifest in workspace.rglob("Cargo.toml"):
        package = tomllib.loads(manifest.read_text()).get("package", {})
        if "name" in package:
            local_folders[package["name"]] = manifest.parent
    reached: dict[tuple[str, str], dict] = {}
    pending = [name]
    while pending:
        # Cargo.lock names a dependency by its name alone where that is unique, else by name and version.
        wanted = pending.pop().split(" ")
        found = [key for key in packages if key[0] == wanted[0] and wanted[1:2] in ([], [key[1]])]
        if not found:
            raise GuestBuildError(f"Cargo.lock of {workspace} does not know {wanted[0]!r}: run `cargo update --workspace` there")
        for key in found:
            if key not in reached:
                reached[key] = packages[key]
                pending.extend(packages[key].get("dependencies", []))
    parts: dict[str, bytes] = {"flags": "\n".join((TARGET, *MACHINE_FLAGS)).encode()}
    files = [workspace / "Cargo.toml", WORKSPACE / "link.ld"]
    for (package_name, version), package in reached.items():
        if "source" in package:
            parts[f"crate {package_name} {version}"] = package.get("checksum", package["source"]).encode()
        else:
            folder = local_folders[package_name]
            files += (path for path in folder.rglob("*") if path.is_file() and path.suffix in SOURCE_SUFFIXES)
    for path in files:
        base = workspace if path.is_relative_to(workspace) else WORKSPACE
        parts[f"file {path.relative_to(base).as_posix()}"] = path.read_bytes()
    digest = hashlib.sha256()
    for part_name, content in sorted(parts.items()):
        for piece in (part_name.encode(), content):
            digest.update(struct.pack("<Q", len(piece)))
            digest.update(piece)
    return digest.hexdigest()


def build_guest(
    manifest: Path, *, toolchain: Toolchain | None = None, qemu: bool = False, offline: bool = False, target: Path | None = None
) -> bytes:
    """Builds the guest package of one Cargo.toml and returns its stripped, checked ELF.

    Args:
        manifest: the Cargo.toml of a package with one binary, named as the package.
        qemu: build for qemu-user (input from stdin, output to stdout, accelerators in software). Not for the machine.
        offline: do not let cargo use the network; everything it needs has been fetched.
        target: cargo's folder for intermediate files; by default one per workspace in the cache folder.

    Raises:
        ToolchainAbsent, GuestBuildError: cargo's own message is included. GuestElfError: the ELF breaks the contract.
    """
    manifest = manifest.resolve()
    if not manifest.is_file():
        raise GuestBuildError(f"{manifest} does not exist")
    toolchain = toolchain or find_toolchain()
    sysroot = build_sysroot(toolchain)
    try:
        package = tomllib.loads(manifest.read_text())
        name = package["package"]["name"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
        raise GuestBuildError(f"{manifest} is no package manifest: {error!r}") from error
    root = _workspace_root(toolchain, manifest)
    if target is None:
        target = cache_folder() / ("target-" + hashlib.sha256(str(root).encode()).hexdigest()[:16])
    # cargo's registry is where it is; its place must not show in panic messages.
    cargo_home = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    flags = [
        *MACHINE_FLAGS, "--sysroot", str(sysroot), "-Crelocation-model=static", "-Cforce-unwind-tables=no",
        f"-Clinker={toolchain.linker}", "-Clinker-flavor=ld.lld", f"-Clink-arg=-T{WORKSPACE / 'link.ld'}",
        f"--remap-path-prefix={root}=/guest", f"--remap-path-prefix={WORKSPACE}=/guest",
        f"--remap-path-prefix={cargo_home}=/cargo",
    ]  # fmt: skip
    environment = {key: value for key, value in os.environ.items() if not key.startswith("RUST")}
    environment |= {
        "RUSTC": toolchain.rustc, "RUSTC_BOOTSTRAP": "1", "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags),
        "CARGO_TARGET_DIR": str(target), "CARGO_INCREMENTAL": "0",
    }  # fmt: skip
    command = [toolchain.cargo, "build", "--release", "--target", TARGET, "--manifest-path", str(manifest)]
    command += ["--offline"] if offline else []
    command += ["--locked"] if (root / "Cargo.lock").is_file() else []
    if qemu:
        command += ["--features", "qemu" if "qemu" in package.get("features", {}) else "blockproof-sdk/qemu"]
    _run(command, environment, manifest.parent)
    elf = strip_elf((target / TARGET / "release" / name).read_bytes())
    check_elf(elf)
    return elf


def _workspace_root(toolchain: Toolchain, manifest: Path) -> Path:
    command = [toolchain.cargo, "locate-project", "--workspace", "--message-format", "plain", "--manifest-path", str(manifest)]
    environment = {**os.environ, "RUSTC": toolchain.rustc}
    result = subprocess.run(command, check=False, capture_output=True, text=True, cwd=manifest.parent, env=environment)
    if result.returncode != 0:
        raise GuestBuildError(result.stderr[-2000:])
    return Path(result.stdout.strip()).parent


# -- the ELF ---------------------------------------------------------------------------------------------------------

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
PT_LOAD = 1
SHT_SYMTAB, SHT_STRTAB = 2, 3
STT_FUNC = 2
SHN_ABS = 0xFFF1
TEXT = range(0x0020_0000, 0x0800_0000)
DATA = range(0x0800_0000, 0x1000_0000)
RAM = range(0x2800_0000, 0xF000_0000)


@dataclass(frozen=True)
class Segment:
    """A loadable part of an ELF: where its bytes lie in the file and in memory. Flags: 4 read, 2 write, 1 execute."""

    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


def _segments(elf: bytes) -> tuple[int, list[Segment]]:
    """Entry point and the PT_LOAD segments that are not empty."""
    if len(elf) < _HEADER.size:
        raise GuestElfError("not an ELF: too short")
    identity, kind, machine, _, entry, table, _, flags, _, entry_size, count, *_ = _HEADER.unpack_from(elf)
    if identity[:7] != b"\x7fELF\x02\x01\x01" or kind != 2 or machine != 243 or flags != 0:
        raise GuestElfError("not a static 64-bit little-endian RISC-V ELF with flags 0")
    if entry_size != _SEGMENT.size or table + count * _SEGMENT.size > len(elf):
        raise GuestElfError("program headers run over the end of the file")
    segments = []
    for index in range(count):
        kind, flags, offset, address, _, file_size, memory_size, _ = _SEGMENT.unpack_from(elf, table + index * _SEGMENT.size)
        if kind != PT_LOAD or memory_size == 0:
            continue
        if offset + file_size > len(elf) or file_size > memory_size:
            raise GuestElfError(f"segment at {address:#x} runs over the end of the file")
        segments.append(Segment(flags, offset, address, file_size, memory_size))
    return entry, segments


def strip_elf(elf: bytes) -> bytes:
    """The same program in canonical form: header, the segments' bytes, and the names of its functions for profiles; nothing else.

    Segments keep file offset = address modulo 4096, as loaders that map pages want. Names are demangled, see `readable_name`.
    """
    entry, segments = _segments(elf)
    at = _HEADER.size + len(segments) * _SEGMENT.size
    headers, body = [], bytearray(at)
    for segment in segments:
        if segment.file_size:
            body.extend(bytes((segment.address - len(body)) % 4096))
        offset = len(body) if segment.file_size else segment.address % 4096
        body += elf[segment.offset : segment.offset + segment.file_size]
        address = segment.address
        headers.append(
            _SEGMENT.pack(PT_LOAD, segment.flags, offset, address, address, segment.file_size, segment.memory_size, 4096)
        )
    body.extend(bytes(-len(body) % 8))
    names, records = bytearray(b"\0"), bytearray(_SYMBOL.size)
    for address, size, name in sorted(_functions(elf)):
        records += _SYMBOL.pack(len(names), STT_FUNC, 0, SHN_ABS, address, size)
        names += name.encode() + b"\0"
    symbols_at = len(body)
    body += records
    names_at = len(body)
    body += names
    body.extend(bytes(-len(body) % 8))
    sections_at = len(body)
    body += bytes(_SECTION.size)
    body += _SECTION.pack(0, SHT_SYMTAB, 0, 0, symbols_at, len(records), 2, 1, 8, _SYMBOL.size)
    body += _SECTION.pack(0, SHT_STRTAB, 0, 0, names_at, len(names), 0, 0, 1, 0)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = _HEADER.pack(
        identity, 2, 243, 1, entry, _HEADER.size, sections_at, 0, _HEADER.size, _SEGMENT.size, len(segments), _SECTION.size, 3, 0
    )
    body[:at] = header + b"".join(headers)
    return bytes(body)


def _functions(elf: bytes) -> Iterator[tuple[int, int, str]]:
    """Address, size in bytes and readable name of the functions in a linker's own ELF; an address may have several names."""
    fields = _HEADER.unpack_from(elf)
    table, count = fields[6], fields[12]
    sections = [_SECTION.unpack_from(elf, table + index * _SECTION.size) for index in range(count)]
    seen = set()
    for _, kind, _, _, offset, size, link, *_ in sections:
        if kind != SHT_SYMTAB:
            continue
        strings = sections[link][4]
        for at in range(offset, offset + size, _SYMBOL.size):
            name_at, information, _, _, address, length = _SYMBOL.unpack_from(elf, at)
            name = elf[strings + name_at : elf.index(b"\0", strings + name_at)].decode()
            # Assembly labels have no type; those of functions do not start with a dot or a dollar sign.
            is_label = information & 15 == 0 and not name.startswith((".", "$"))
            if address in TEXT and (information & 15 == STT_FUNC or is_label) and name and address not in seen:
                seen.add(address)
                yield address, length, readable_name(name)


def readable_name(symbol: str) -> str:
    """A Rust symbol's path, without hashes and type arguments' structure; any other symbol as it is.

    Takes the identifiers out of a v0 (`_R..`, RFC 2603) or legacy (`_ZN..`) mangled name in their order. Meant for reading, not for
    telling instances of a generic function apart.
    """
    if symbol.startswith("_ZN"):
        at, disambiguated = 3, False
    elif symbol.startswith("_R"):
        at, disambiguated = 2, True
    else:
        return symbol
    parts = []
    while at < len(symbol):
        if disambiguated and (match := _NUMBER.match(symbol, at)):
            at = match.end()
        elif match := _LENGTH.match(symbol, at):
            at = match.end() + int(match[1])
            parts.append(symbol[match.end() : at])
        else:
            at += 1
    if not disambiguated and parts and re.fullmatch("h[0-9a-f]{16}", parts[-1]):
        parts.pop()
    return "::".join(part for part in parts if part) or symbol


_NUMBER = re.compile("[sB][0-9a-zA-Z]*_")
"""A disambiguator or a back reference, in base 62."""
_LENGTH = re.compile("([1-9][0-9]*)_?")


def check_elf(elf: bytes) -> None:
    """Raises GuestElfError unless segments lie as docs/specs/machine.md says and every word of TEXT is an rv64im instruction.

    `unimp` (the zero word and the CSR write that assemblers use for it) is allowed: the machine refuses it when it is reached.
    """
    entry, segments = _segments(elf)
    for segment in segments:
        end = segment.address + segment.memory_size
        inside = [name for name, region in (("TEXT", TEXT), ("DATA", DATA), ("RAM", RAM))
                  if region.start <= segment.address and end <= region.stop]  # fmt: skip
        match inside, segment.flags:
            case ["TEXT"], 5:
                for at, word in _words(elf, segment):
                    if not is_rv64im(word) and word not in UNIMPLEMENTED:
                        raise GuestElfError(f"word {word:#010x} at {at:#x} is not an rv64im instruction")
            case ["DATA"], 4 | 6:
                pass
            case ["RAM"], 4 | 6 if segment.file_size == 0:
                pass
            case _:
                raise GuestElfError(f"segment {segment.address:#x}..{end:#x} with flags {segment.flags} is outside the memory map")
    if not any(s.flags == 5 and s.address <= entry < s.address + s.file_size for s in segments):
        raise GuestElfError(f"entry {entry:#x} lies in no code")


UNIMPLEMENTED = (0x0000_0000, 0xC000_1073)
"""Words that compilers place where control never comes."""


def _words(elf: bytes, segment: Segment) -> Iterator[tuple[int, int]]:
    if segment.file_size % 4 or segment.address % 4:
        raise GuestElfError("code is not a sequence of 4-byte words")
    for index in range(0, segment.file_size, 4):
        yield segment.address + index, int.from_bytes(elf[segment.offset + index : segment.offset + index + 4], "little")


def is_rv64im(word: int) -> bool:
    """Whether a word is an instruction of RV64I or M that the machine runs (RISC-V unprivileged specification, chapter 37)."""
    opcode, funct3, funct7 = word & 0x7F, word >> 12 & 7, word >> 25
    match opcode:
        case 0x37 | 0x17 | 0x6F:  # LUI, AUIPC, JAL
            return True
        case 0x67 | 0x0F:  # JALR; FENCE (FENCE.I has funct3 1)
            return funct3 == 0
        case 0x63:  # branches
            return funct3 not in (2, 3)
        case 0x03:  # loads
            return funct3 != 7
        case 0x23:  # stores
            return funct3 <= 3
        case 0x13:  # immediates; shifts have a 6-bit amount
            return {1: word >> 26 == 0, 5: word >> 26 in (0, 0x10)}.get(funct3, True)
        case 0x1B:  # ADDIW, SLLIW, SRLIW, SRAIW
            return {0: True, 1: funct7 == 0, 5: funct7 in (0, 0x20)}.get(funct3, False)
        case 0x33:
            return funct7 in (0, 1) or (funct7 == 0x20 and funct3 in (0, 5))
        case 0x3B:
            return {0: funct3 in (0, 1, 5), 1: funct3 in (0, 4, 5, 6, 7), 0x20: funct3 in (0, 5)}.get(funct7, False)
        case 0x73:
            return word == 0x73  # ECALL
    return False


# -- the shipped guests ----------------------------------------------------------------------------------------------


def build(name: str, *, workspace: Path = WORKSPACE, out: Path = SHIPPED, toolchain: Toolchain | None = None) -> BuiltGuest:
    """Builds one guest of a workspace into `out`/NAME.elf and records it in `out`/digests.json."""
    toolchain = toolchain or find_toolchain()
    if name not in guest_names(workspace):
        raise GuestBuildError(f"there is no guest {name!r}; guests are: {', '.join(guest_names(workspace))}")
    elf = build_guest(workspace / "programs" / name / "Cargo.toml", toolchain=toolchain)
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.elf"
    path.write_bytes(elf)
    guest = BuiltGuest(
        name, path, hashlib.sha256(elf).hexdigest(), len(elf), source_digest(workspace, name),
        toolchain.compiler_version, toolchain.linker_version,
    )  # fmt: skip
    entry = {key: value for key, value in asdict(guest).items() if key not in ("name", "path")}
    index = out / "digests.json"
    digests = json.loads(index.read_text()) if index.is_file() else {}
    digests[name] = entry
    index.write_text(json.dumps(digests, indent=2, sort_keys=True) + "\n")
    return guest


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: exit code 0 when all was built (and, with --check, equals what is shipped), 1 otherwise, 2 on bad usage."""
    parser = argparse.ArgumentParser(prog="python -m blockproof.guest_build", description="Build guest programs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="guests to build; all when none is named")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder for NAME.elf and digests.json")
    parser.add_argument("--check", action="store_true", help="compare with the ELFs in the folder and write nothing")
    chosen = parser.parse_args(arguments)
    status = 0
    try:
        toolchain = find_toolchain()
        for name in chosen.names or guest_names():
            if chosen.check:
                with tempfile.TemporaryDirectory() as folder:
                    guest = build(name, out=Path(folder), toolchain=toolchain)
                shipped = chosen.out / f"{name}.elf"
                same = shipped.is_file() and hashlib.sha256(shipped.read_bytes()).hexdigest() == guest.sha256
                status |= not same
                verdict = "same" if same else "DIFFERENT"
            else:
                guest = build(name, out=chosen.out, toolchain=toolchain)
                verdict = str(guest.path)
            sys.stdout.write(f"{name} {guest.sha256} {guest.size} bytes {verdict}\n")
    except GuestBuildError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
