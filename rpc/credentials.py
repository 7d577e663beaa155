"""
What of an address may be shown, and what of a text may.

Credentials lie in a URL's user and password, its path (/v2/KEY) and its query, and in HTTP headers. An address is shown
as scheme, host and port. Texts that others wrote (a node's error message) are scrubbed of every run of characters that
they share with a credential, and so are the records that the HTTP library logs.
"""

from __future__ import annotations

import base64
import logging
import urllib.parse
from collections.abc import Iterable, Mapping

from rpc.errors import BadUrl

SHOWN = "***"
_RUN = 6
"""So many characters in a row of a credential are taken for it."""
MAX_TEXT = 300


def redacted(url: str) -> str:
    """scheme://host[:port] of an address; "(no address)" where it has none. Never raises."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "(no address)"
    if not host or not parts.scheme:
        return "(no address)"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")


class Secrets:
    """The credentials in an address and its headers."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        """Raises BadUrl for an address that is not http or https, or has no host."""
        try:
            parts = urllib.parse.urlsplit(url)
            usable = (
                parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
            )
        except ValueError:
            usable = False
        if not usable:
            # What was typed may be a credential alone: it is not repeated.
            raise BadUrl(
                "the node's address is not one of http or https", "give it as http://HOST:PORT or https://HOST/.."
            )
        self.shown = redacted(url)
        found = {parts.username, parts.password, parts.query, parts.fragment, parts.path.strip("/")}
        found.update(segment for segment in parts.path.split("/") if len(segment) >= _RUN)
        for name, value in urllib.parse.parse_qsl(parts.query, keep_blank_values=True):
            found.update((value, name if len(name) >= _RUN else ""))
        if parts.username is not None:
            userinfo = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
            found.update((userinfo, base64.b64encode(userinfo.encode()).decode()))
        for value in (headers or {}).values():
            found.update(value.split())
        found |= {urllib.parse.unquote(one) for one in found if one}
        # The scheme of an Authorization header is no secret, and host and port are shown anyway.
        public = {"bearer", "basic", parts.hostname}
        self._secrets = sorted((one for one in found if one and one.lower() not in public), key=len, reverse=True)
        self._runs = {one[at : at + _RUN] for one in self._secrets for at in range(len(one) - _RUN + 1)}

    def __repr__(self) -> str:
        return f"Secrets({self.shown})"

    def scrub(self, text: str, most: int = MAX_TEXT) -> str:
        """The text without the credentials, control characters as spaces, cut to `most` characters."""
        # What is cut first would hide the end of a credential from the comparison: scrubbed first, within reason.
        text = text[: 16 * most]
        hidden = bytearray(len(text))
        for at in range(len(text) - _RUN + 1):
            if text[at : at + _RUN] in self._runs:
                hidden[at : at + _RUN] = b"\x01" * _RUN
        for secret in self._secrets:
            at = text.find(secret) if len(secret) < _RUN else -1
            while at >= 0:
                hidden[at : at + len(secret)] = b"\x01" * len(secret)
                at = text.find(secret, at + 1)
        shown = []
        for at, character in enumerate(text):
            if not hidden[at]:
                shown.append(character if character.isprintable() else " ")
            elif at == 0 or not hidden[at - 1]:
                shown.append(SHOWN)
        scrubbed = "".join(shown)
        return scrubbed if len(scrubbed) <= most else scrubbed[:most] + ".."


class _LogFilter(logging.Filter):
    """Scrubs the records of the HTTP libraries: at level DEBUG they hold path and query of every request."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, Secrets] = {}

    def add(self, secrets: Secrets) -> None:
        self._known[repr(secrets._secrets)] = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        for secrets in self._known.values():
            message = secrets.scrub(message, 1 << 12)
        record.msg, record.args, record.exc_info = message, (), None
        return True


_FILTER = _LogFilter()
_LOGGERS = (
    "urllib3.connectionpool",
    "urllib3.util.retry",
    "web3.providers.HTTPProvider",
    "web3._utils.http_session_manager.HTTPSessionManager",
)


def keep_from_logs(secrets: Secrets, loggers: Iterable[str] = _LOGGERS) -> None:
    """From now on no record of the HTTP libraries shows these credentials."""
    _FILTER.add(secrets)
    for name in loggers:
        logging.getLogger(name).addFilter(_FILTER)
