"""
`blockproof fixtures fetch`: an official release of test fixtures, downloaded once and pinned by its SHA-256.

The first download of an address pins what came (trust on first use); a later one that differs is refused, and so is one
that is not what --sha256 says. Nothing is unpacked here and nothing is kept under its name before its hash is accepted.

Source of the addresses: the release assets of https://github.com/ethereum/execution-spec-tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import click

from blockproof.errors import BlockproofError, RefusedError, UsageError

RELEASE = re.compile(r"(?P<kind>stable|develop)@(?P<version>v[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})")
RELEASE_URL = "https://github.com/ethereum/execution-spec-tests/releases/download/{version}/fixtures_{kind}.tar.gz"
LATEST = "v5.4.0"
"""The release that this project's own figures are about."""

MOST_ARCHIVE_BYTES = 4 << 30
MOST_PINS_BYTES = 1 << 20
MOST_REDIRECTS = 5
MOST_ATTEMPTS = 3
"""A connection that breaks is taken up again so often."""
WORTH_WHILE = 1 << 20
"""Bytes that a broken connection must have brought to count as none of the attempts."""
CHUNK = 1 << 16
MAGICS = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}
PINS = "pins.json"
LOOPBACK = {"127.0.0.1", "::1", "localhost"}


class DownloadError(BlockproofError):
    """The server or the connection failed; what has come is kept and taken up again."""


class HashRefusedError(RefusedError):
    """The archive is not the one that is expected."""


@dataclass(frozen=True)
class Patience:
    """
    Seconds to wait for a connection, and for any bytes; and how many bytes must come in how many seconds: a server that
    drips is as dead as one that hangs.
    """

    connect: float = 15.0
    read: float = 30.0
    window: float = 60.0
    window_bytes: int = 16 << 10


@dataclass(frozen=True)
class Fetched:
    """path: of the archive; sha256: in hex; url: where it came from; byte_count; new: False where it was there already."""

    path: Path
    sha256: str
    url: str
    byte_count: int
    new: bool


Progress = Callable[[int, int | None], None]
"""Is told the bytes so far, and of how many, None where the server does not say."""


def address_of(url_or_name: str) -> tuple[str, str]:
    """
    The URL that an argument names, and the name of the file to keep it in.

    https alone, but for this machine itself. Raises UsageError.
    """
    release = RELEASE.fullmatch(url_or_name)
    if release:
        return RELEASE_URL.format(**release.groupdict()), f"fixtures_{release['kind']}_{release['version']}.tar.gz"
    _check_address(url_or_name)
    name = unquote(urlsplit(url_or_name).path).rsplit("/", 1)[-1]
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,199}", name) or not name.endswith((".tar.gz", ".tar.zst")):
        raise UsageError(f"{name[:80]!r} is no name of an archive", "give the address of a .tar.gz or .tar.zst file")
    return url_or_name, name


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"{url[:80]!r} is no address: {error}") from error
    del port
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(
            f"{url[:80]!r} is neither a release nor an address",
            f"write e.g. stable@{LATEST}, develop@{LATEST}, or https://...",
        )
    if parts.username is not None or parts.password is not None:
        raise UsageError("an address with credentials is not taken", "official releases need none")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise UsageError(f"http to {host} is refused", "use https: only this machine is trusted without it")


def fetch(
    url_or_name: str,
    folder: Path,
    sha256: str | None = None,
    progress: Progress = lambda have, total: None,
    patience: Patience = Patience(),
    most_bytes: int = MOST_ARCHIVE_BYTES,
) -> Fetched:
    """
    Downloads an archive into a folder and returns where it is.

    sha256: what it must have, in hex. A part that is there from before is taken up again if the server still has the same
    file. Raises UsageError, DownloadError, HashRefusedError; OSError where the folder cannot be written.
    """
    url, name = address_of(url_or_name)
    expected = _given_hash(sha256)
    folder.mkdir(parents=True, exist_ok=True)
    pins = _read_pins(folder / PINS)
    pinned = pins.get(url)
    if pinned and expected and pinned != expected:
        raise HashRefusedError(
            f"--sha256 {expected} contradicts the pin {pinned} of this address",
            f"if you trust the new hash, remove the address from {folder / PINS}",
        )
    wanted = expected or pinned
    path = folder / name
    if path.is_file() and wanted and (found := _hash_of(path)) == wanted:
        _pin(folder / PINS, pins, url, found)
        return Fetched(path, found, url, path.stat().st_size, False)
    part = path.with_name(name + ".part")
    _download(url, part, progress, patience, most_bytes)
    found = _hash_of(part)
    with part.open("rb") as file:
        start = file.read(4)
    if not any(start.startswith(magic) for magic in MAGICS):
        _forget(part)
        raise HashRefusedError(f"what came from {url} is no archive: it begins with 0x{start.hex()}", "check the address")
    if wanted and found != wanted:
        _forget(part)
        origin = "--sha256" if expected else f"the pin in {folder / PINS}"
        raise HashRefusedError(
            f"the archive has SHA-256 {found}, {origin} says {wanted}",
            "the file was replaced at its address, or the hash is of another one; nothing was kept",
        )
    byte_count = part.stat().st_size
    part.replace(path)
    _state_of(part).unlink(missing_ok=True)
    _pin(folder / PINS, pins, url, found)
    return Fetched(path, found, url, byte_count, True)


def _given_hash(sha256: str | None) -> str | None:
    if sha256 is None:
        return None
    plain = sha256.lower().removeprefix("0x")
    if not re.fullmatch(r"[0-9a-f]{64}", plain):
        raise UsageError(f"{sha256[:80]!r} is no SHA-256", "write 64 hexadecimal digits")
    return plain


# Pins.


def _read_pins(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            contents = file.read(MOST_PINS_BYTES + 1)
        pins = json.loads(contents) if len(contents) <= MOST_PINS_BYTES else None
    except (ValueError, RecursionError):
        pins = None
    hashes = isinstance(pins, dict) and all(
        isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) for value in pins.values()
    )
    if not hashes:
        raise UsageError(f"{path} is damaged", "restore it, or remove it to pin anew")
    return pins


def _pin(path: Path, pins: dict[str, str], url: str, sha256: str) -> None:
    if pins.get(url) == sha256:
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(pins | {url: sha256}, indent=1, sort_keys=True) + "\n")
    temporary.replace(path)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# The part of a download, and what the server called it.


def _state_of(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _state_of(part).unlink(missing_ok=True)


def _validator(part: Path, url: str) -> str | None:
    """The ETag or date under which a part began, None where there is nothing to go on from."""
    try:
        state = json.loads(_state_of(part).read_bytes()[:MOST_PINS_BYTES])
    except (OSError, ValueError, RecursionError):
        return None
    fits = isinstance(state, dict) and state.get("url") == url and isinstance(state.get("validator"), str)
    return state["validator"] if fits and part.is_file() and part.stat().st_size else None


# HTTP.


def _download(url: str, part: Path, progress: Progress, patience: Patience, most_bytes: int) -> None:
    attempt = 1
    while True:
        before = part.stat().st_size if part.is_file() else 0
        try:
            return _attempt(url, part, progress, patience, most_bytes)
        except _BrokenError as error:
            grown = part.is_file() and part.stat().st_size >= before + WORTH_WHILE
            if attempt == MOST_ATTEMPTS or not error.retry:
                kept = part.stat().st_size if part.is_file() and _validator(part, url) else 0
                mend = f"the same command goes on from {kept:,} bytes" if kept else "try again later"
                raise DownloadError(str(error), mend) from None
            # A connection that brought much may break as often as it likes.
            attempt = 1 if grown else attempt + 1
            time.sleep(min(patience.read, 0.5 * attempt))


class _BrokenError(Exception):
    def __init__(self, cause: str, retry: bool = True) -> None:
        self.retry = retry
        super().__init__(cause)


def _attempt(url: str, part: Path, progress: Progress, patience: Patience, most_bytes: int) -> None:
    import requests

    validator = _validator(part, url)
    have = part.stat().st_size if validator else 0
    headers = {"Accept-Encoding": "identity", "User-Agent": "blockproof"}
    if validator:
        headers |= {"Range": f"bytes={have}-", "If-Range": validator}
    with requests.Session() as session:
        # No .netrc: credentials are not for release servers. Proxies are the user's, but not for this machine.
        session.auth = _no_authentication
        session.trust_env = urlsplit(url).hostname not in LOOPBACK
        try:
            with closing(_open(session, url, headers, patience)) as response:
                if response.status_code == 416:
                    # The part is longer than the file, or just as long: begin again.
                    _forget(part)
                    raise _BrokenError("the server has no more bytes of that file")
                total, have = _plan(response, have, most_bytes)
                _note(part, url, response)
                with part.open("ab" if have else "wb") as file:
                    for chunk in _chunks(response, patience):
                        have += len(chunk)
                        if have > (most_bytes if total is None else total):
                            raise _BrokenError(f"more bytes came than {have - len(chunk):,}: refused", retry=False)
                        file.write(chunk)
                        progress(have, total)
                if total is not None and have < total:
                    raise _BrokenError(f"the connection ended after {have:,} of {total:,} bytes")
        except requests.Timeout:
            raise _BrokenError(f"nothing came from {urlsplit(url).hostname} for {patience.read:g} s") from None
        except requests.RequestException as error:
            raise _BrokenError(f"no download from {urlsplit(url).hostname}: {_plain(error)}") from None


def _no_authentication(request: Any) -> Any:
    return request


def _plain(error: Exception) -> str:
    """An error without object addresses and nested reprs."""
    text = str(error)
    return text[:160] if "object at 0x" not in text else type(error).__name__


def _open(session: Any, url: str, headers: dict[str, str], patience: Patience) -> Any:
    """The first answer that is no redirect. Each step is held to the rule for addresses, and https never becomes http."""
    for _ in range(MOST_REDIRECTS + 1):
        timeout = (patience.connect, patience.read)
        response = session.get(url, headers=headers, stream=True, timeout=timeout, allow_redirects=False)
        if response.status_code not in (301, 302, 303, 307, 308):
            if response.status_code not in (200, 206, 416):
                response.close()
                # A server that is busy or broken may recover; one that knows no such file will not.
                retry = response.status_code in (429, 500, 502, 503, 504)
                raise _BrokenError(f"the server answered {response.status_code} {response.reason}", retry)
            return response
        response.close()
        # A server may end a connection after any answer without saying so, and just as the next request leaves.
        session.close()
        target = urljoin(url, response.headers.get("Location", ""))
        try:
            _check_address(target)
        except UsageError as error:
            raise _BrokenError(f"redirect refused: {error.cause}", retry=False) from None
        if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
            raise _BrokenError("redirect from https to http refused", retry=False)
        if urlsplit(url).hostname not in LOOPBACK and urlsplit(target).hostname in LOOPBACK:
            raise _BrokenError("redirect from elsewhere to this machine refused", retry=False)
        url = target
    raise _BrokenError(f"more than {MOST_REDIRECTS} redirects", retry=False)


def _plan(response: Any, have: int, most_bytes: int) -> tuple[int | None, int]:
    """Bytes of the whole file, None where unknown, and where this answer begins."""
    length = response.headers.get("Content-Length", "")
    length_bytes = int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None
    if response.status_code == 206:
        stated = re.fullmatch(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", response.headers.get("Content-Range", ""))
        if not stated or int(stated[1]) != have or int(stated[2]) + 1 != int(stated[3]):
            raise _BrokenError("the server sent another range than asked for", retry=False)
        total: int | None = int(stated[3])
    else:
        have, total = 0, length_bytes
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise _BrokenError("the server sent an encoding that was not asked for", retry=False)
    if total is not None and total > most_bytes:
        raise _BrokenError(f"the file has {total:,} bytes, more than the limit of {most_bytes:,}", retry=False)
    return total, have


def _note(part: Path, url: str, response: Any) -> None:
    """Remembers what the server calls this file: only a strong name allows going on later."""
    tag = response.headers.get("ETag", "")
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    if validator:
        _state_of(part).write_text(json.dumps({"url": url, "validator": validator}))
    else:
        _state_of(part).unlink(missing_ok=True)


def _chunks(response: Any, patience: Patience) -> Iterator[bytes]:
    """The body as it comes. Raises _BrokenError where it stops or drips."""
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    since, got = time.monotonic(), 0
    while True:
        try:
            chunk = response.raw.read1(CHUNK)
        except ReadTimeoutError:
            raise _BrokenError(f"nothing came for {patience.read:g} s") from None
        except HTTPError as error:
            raise _BrokenError(f"the connection ended early: {_plain(error)}") from None
        if not chunk:
            return
        got += len(chunk)
        now = time.monotonic()
        if now - since > patience.window:
            if got < patience.window_bytes:
                raise _BrokenError(f"only {got:,} bytes came in {now - since:.0f} s")
            since, got = now, 0
        yield chunk


# The command.


class _Line:
    """Progress by bytes on standard error: rewritten in place on a terminal, thinned out elsewhere."""

    def __init__(self, enabled: bool) -> None:
        self._enabled = enabled
        self._terminal = enabled and sys.stderr is not None and sys.stderr.isatty()
        self._last = 0.0

    def __call__(self, have: int, total: int | None) -> None:
        now = time.monotonic()
        if not self._enabled or (now - self._last < (0.2 if self._terminal else 15) and have != total):
            return
        self._last = now
        text = f"{have:,} of {total:,} bytes" if total is not None else f"{have:,} bytes"
        click.echo(f"\r\x1b[K{text}" if self._terminal else text, err=True, nl=not self._terminal or have == total)


@click.command("fetch")
@click.argument("url_or_name")
@click.option("-o", "--output", "folder", type=click.Path(file_okay=False, path_type=Path), help="Folder to keep archives in. Default: in the cache.")
@click.option("--sha256", help="What the archive must have: 64 hexadecimal digits.")
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def fetch_command(url_or_name: str, folder: Path | None, sha256: str | None, quiet: bool, as_json: bool) -> None:
    """Download a release of fixtures: stable@v5.4.0, develop@v5.4.0 of ethereum/execution-spec-tests, or an https address.

    The first download of an address pins its SHA-256 in pins.json beside the archive; another content is refused later.
    What a broken connection left is taken up again by the same command.
    """
    from zkvm.kernels.policy import cache_root

    chosen = folder or cache_root() / "fixtures"
    fetched = fetch(url_or_name, chosen, sha256, _Line(enabled=not quiet and not as_json))
    if as_json:
        facts = {"ok": True, "path": str(fetched.path), "sha256": fetched.sha256, "bytes": fetched.byte_count, "new": fetched.new}
        click.echo(json.dumps(facts))
        return
    click.echo(f"{fetched.sha256}  {fetched.path}")
    click.echo(f"{fetched.byte_count:,} bytes, {'downloaded and pinned' if fetched.new else 'there already, as pinned'}")
