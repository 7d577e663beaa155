"""
Files and JSON from anyone: sizes, decompressed sizes, elements and depth are limited before anything is built.

The depth is checked here and not left to the parser: importing EELS raises Python's recursion limit, after which the
parser of the standard library overflows the C stack on deep nesting instead of raising.
"""

from __future__ import annotations

import io
import json
import re
import zlib
from pathlib import Path

from witness.errors import FormatError, LimitExceeded

MAX_FILE_BYTES = 256 << 20
MAX_JSON_BYTES = 256 << 20
MAX_JSON_ELEMENTS = 4 << 20
MAX_JSON_DEPTH = 32

GZIP_MAGIC = b"\x1f\x8b"

# Possessive, and an unterminated string runs to the end: one pass over any bytes.
_STRINGS_AND_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.|\\\Z)*+(?:"|\Z)|[\[{\]}]', re.DOTALL)


def read_limited(path: str | Path) -> bytes:
    """The contents of a file, decompressed if gzip. Raises FormatError, LimitExceeded; OSError stays OSError."""
    with Path(path).open("rb") as file:
        contents = file.read(MAX_FILE_BYTES + 1)
    if len(contents) > MAX_FILE_BYTES:
        raise LimitExceeded(f"{Path(path).name} exceeds {MAX_FILE_BYTES} bytes")
    return gunzip_limited(contents) if contents[:2] == GZIP_MAGIC else contents


def gunzip_limited(contents: bytes) -> bytes:
    """Decompresses gzip members to at most MAX_JSON_BYTES. Raises FormatError, LimitExceeded."""
    out = io.BytesIO()
    remaining = contents
    while remaining:
        decompressor = zlib.decompressobj(wbits=31)
        try:
            out.write(decompressor.decompress(remaining, MAX_JSON_BYTES + 1 - out.tell()))
        except zlib.error as error:
            raise FormatError(f"not gzip: {error}") from error
        if out.tell() > MAX_JSON_BYTES:
            raise LimitExceeded(f"decompresses to more than {MAX_JSON_BYTES} bytes")
        if not decompressor.eof:
            raise FormatError("gzip data is truncated")
        remaining = decompressor.unused_data
    return out.getvalue()


def parse_json(contents: bytes) -> object:
    """
    The JSON value in UTF-8 bytes.

    Raises LimitExceeded over MAX_JSON_BYTES bytes, MAX_JSON_ELEMENTS elements or MAX_JSON_DEPTH levels, FormatError for
    bytes that are not JSON and for repeated keys.
    """
    if len(contents) > MAX_JSON_BYTES:
        raise LimitExceeded(f"JSON of {len(contents)} bytes exceeds {MAX_JSON_BYTES}")
    # Each element costs one of these bytes, so counting them bounds memory before anything is built.
    if sum(contents.count(mark) for mark in (b",", b"[", b"{")) > MAX_JSON_ELEMENTS:
        raise LimitExceeded(f"JSON has more than {MAX_JSON_ELEMENTS} elements")
    if contents.count(b'"') > 4 * MAX_JSON_ELEMENTS:
        raise LimitExceeded("JSON has too many strings")
    # Without escapes what lies outside of strings is every second piece between quotes.
    outside = contents if b"\\" in contents else b"".join(contents.split(b'"')[::2])
    depth = 0
    for mark in _STRINGS_AND_BRACKETS.finditer(outside):
        first = outside[mark.start()]
        depth += (first in b"[{") - (first in b"]}")
        if depth > MAX_JSON_DEPTH:
            raise LimitExceeded(f"JSON is nested deeper than {MAX_JSON_DEPTH} levels")
    try:
        return json.loads(contents, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"not JSON: {error}") from error


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    built = dict(pairs)
    if len(built) != len(pairs):
        raise FormatError("a JSON object repeats a key")
    return built
