"""Scaffolding: a new guest program that builds and runs at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

from blockproof.guest_build import WORKSPACE

TEMPLATE = Path(__file__).resolve().parent / "guest_template"
"""Files with `{name}`, `{sdk}` and `{patches}` to fill in, as str.format reads them; each is named FILE.template."""

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", re.ASCII)
"""Lower-case words: what cargo, a folder and a shell all take without quoting."""

# cargo refuses these as package names: Rust keywords, its own folders, and crates that a program always has.
RESERVED = frozenset(
    "abstract as async await become box break const continue crate do dyn else enum extern false final fn for gen if impl in let loop "
    "macro match mod move mut override priv proc-macro pub ref return self static struct super trait true try type typeof "
    "unsafe unsized use virtual where while yield alloc build core deps examples incremental proc_macro std test".split()
)


class GuestNewError(Exception):
    """A guest cannot be made; the message says why."""


def new_guest(name: str, directory: Path) -> Path:
    """Makes the folder `directory`/`name` with a guest in it: Cargo.toml, src/main.rs, README.md, .gitignore.

    The guest names the SDK by its path in this checkout. It runs natively with `cargo run --release`, and
    `blockproof.guest_build.build_guest(folder / "Cargo.toml")` builds it for the machine.

    Returns the folder.

    Raises:
        GuestNewError: the name is not lower-case words joined by - or _, is reserved, or the folder exists; the SDK is not there.
    """
    if not NAME.fullmatch(name) or len(name) > 64:
        raise GuestNewError(f"{name!r} is no guest name: use up to 64 lower-case letters, digits, - and _, a letter first")
    if name in RESERVED:
        raise GuestNewError(f"{name!r} is a name that cargo keeps for itself")
    if not (WORKSPACE / "sdk/Cargo.toml").is_file():
        raise GuestNewError(f"the guest SDK is not at {WORKSPACE / 'sdk'}: new guests need a checkout of the project")
    folder = directory / name
    try:
        folder.mkdir(parents=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise GuestNewError(f"{folder} exists already") from error
    except OSError as error:
        raise GuestNewError(f"{folder} cannot be made: {error.strerror}") from error
    # A TOML basic string escapes as JSON does.
    paths = {part: json.dumps(str(WORKSPACE / part), ensure_ascii=False)[1:-1] for part in ("sdk", "patches")}
    for source in sorted(TEMPLATE.rglob("*.template")):
        relative = source.relative_to(TEMPLATE).with_suffix("")
        target = folder / (".gitignore" if relative.name == "gitignore" else relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text()
        target.write_text(text if relative.name == "gitignore" else text.format(name=name, **paths))
    return folder
