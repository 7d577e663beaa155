"""
JSON-RPC over HTTP: batches, retries, limits. web3's provider encodes the requests and holds the session.

Statement
---------
- An answer is taken for the request whose id it bears, in whatever order answers come. Ids that were not asked or come
  twice are refused; those that are absent are asked again.
- A batch that is too large for the node (413, an error for the whole batch, a short answer) is halved, down to single
  requests, which go out bare: a node without batches is served too.
- Connections that break, time-outs, 429 and 5xx are tried again, up to `attempts`, with exponential back-off and jitter
  or after what Retry-After says.
- No call takes longer than its time-out, whatever the node does: name lookup, headers and body included. No answer
  larger than the limit is held, and none is parsed before its size is known.
- Every failure is an RpcError without credentials. None has a chained exception: the libraries' own hold the address.

Source: JSON-RPC 2.0; RFC 9110 (Retry-After).
"""

from __future__ import annotations

import email.utils
import itertools
import random
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from web3 import HTTPProvider

from rpc.credentials import Secrets, keep_from_logs
from rpc.errors import (
    AnswerTooLarge,
    BlockNotFound,
    ConnectionFailed,
    HistoryPruned,
    MalformedAnswer,
    MethodNotOffered,
    NodeError,
    RateLimited,
    RpcError,
    TimedOut,
    Unauthorized,
)
from witness.errors import LimitExceeded, WitnessError
from witness.files import parse_json

Request = tuple[str, list]
"""Method and parameters."""

_CHUNK_BYTES = 1 << 16
_MOST_RETRY_AFTER = 60.0
_MOST_BACK_OFF = 10.0
_FEW_ATTEMPTS = 2
"""After a malformed answer, or none in time, one more try is worth its time, but not six."""


@dataclass(frozen=True)
class RpcLimits:
    """
    call_seconds: for one answer; slow_seconds: for one answer of a method that executes (debug_*); total_seconds: from
    begin() on, None without; attempts: for each request, 1 or more; calls_per_second: None without; batch_size: requests
    in one batch; most_bytes: of one answer; back_off_seconds: before the first retry, doubled each time.
    """

    call_seconds: float = 30.0
    slow_seconds: float = 120.0
    total_seconds: float | None = None
    attempts: int = 6
    calls_per_second: float | None = None
    batch_size: int = 100
    most_bytes: int = 192 << 20
    back_off_seconds: float = 0.3


DEFAULT_LIMITS = RpcLimits()


@dataclass
class RpcStatistics:
    """
    calls: requests for a method, answered or not; requests: over HTTP; bytes: of answers, decompressed; retries; cached:
    answers out of the cache; seconds: spent waiting for the node and between tries.
    """

    calls: int = 0
    requests: int = 0
    bytes: int = 0
    retries: int = 0
    cached: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.calls:,} calls in {self.requests:,} requests, {self.bytes / 1e6:,.1f} MB, {self.seconds:.1f} s"


# --- what a node's error means ---------------------------------------------------------------------------------------

_RATE = re.compile(
    r"rate.?limit|too many requests|request limit|requests per second|compute units|capacity exceeded|quota",
    re.IGNORECASE,
)
_METHOD = re.compile(
    r"(method|namespace)\b.{0,80}(not (found|exist|available|supported|allowed|enabled|whitelisted)|unsupported|disabled|unavailable)"
    r"|(unsupported|unknown|disabled|no such|unrecognized|unimplemented) (rpc |json-?rpc )?(method|namespace)|not implemented",
    re.IGNORECASE | re.DOTALL,
)
_PRUNED = re.compile(
    r"missing trie node|prun|proof window|archive|(historical|old) (state|data|block)|state .{0,80}(not available|unavailable|missing|not found)"
    r"|(no|missing) (historical )?state|distance to target block|state histor",
    re.IGNORECASE | re.DOTALL,
)
_BLOCK = re.compile(
    r"(header|block).{0,80}(not found|unknown|missing|not exist)|unknown (block|header)|(could not|cannot|can't) find block|not canonical",
    re.IGNORECASE | re.DOTALL,
)


def classified(method: str, error: object, secrets: Secrets) -> RpcError:
    """The typed error for the `error` object in an answer to `method`."""
    if not isinstance(error, dict):
        error = {"message": error}
    code, text = error.get("code"), error.get("message")
    code = code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 1 << 63 else 0
    message = secrets.scrub(text) if isinstance(text, str) else "(no message)"
    if code == 429 or _RATE.search(message):
        return RateLimited(f"{method}: the node limits the rate of calls: {message}", "wait, or lower --rate")
    if code in (-32601, -32004):
        return MethodNotOffered(method, code, message)
    if code == 4444 or _PRUNED.search(message):
        return HistoryPruned(method, code, message)
    if _METHOD.search(message):
        return MethodNotOffered(method, code, message)
    if _BLOCK.search(message):
        return BlockNotFound(
            f"{method}: the node does not have the block: {message}", "is the node synced, and the block on its chain?"
        )
    return NodeError(method, code, message)


# --- HTTP ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Http:
    """An HTTP answer. retry_after: seconds or None."""

    status: int
    retry_after: float | None
    body: bytes


class BoundedProvider(HTTPProvider):
    """web3's provider, reading answers up to a limit, logging nothing, and showing no more of its address than the host."""

    def __init__(self, url: str, secrets: Secrets, headers: Mapping[str, str]) -> None:
        session = requests.Session()
        # A redirect would carry the credentials in headers and path to whomever the node names.
        kwargs = {"headers": {**self.get_request_headers(), **headers}, "allow_redirects": False}
        super().__init__(url, kwargs, session=session, exception_retry_configuration=None)
        self._secrets = secrets
        self._ids = itertools.count()
        self.request_counter = self._ids

    def __str__(self) -> str:
        return f"BoundedProvider({self._secrets.shown})"

    __repr__ = __str__

    def encode(self, batch: Sequence[Request]) -> tuple[bytes, int]:
        """The body of one bare request or of a batch, and the id of its first; the others follow."""
        first = next(self._ids)
        self.request_counter = itertools.count(first)
        self._ids = itertools.count(first + len(batch))
        if len(batch) == 1:
            return self.encode_rpc_request(*batch[0]), first
        return self.encode_batch_rpc_request(list(batch)), first

    def exchange(self, data: bytes, seconds: float, most_bytes: int) -> _Http:
        """
        One POST. Raises TimedOut after `seconds` at the latest, AnswerTooLarge, ConnectionFailed.

        In a thread, because neither name lookup nor a node that sends its headers a byte at a time heeds a socket's
        time-out. A thread that is given up ends when its socket does, or at its next chunk.
        """
        outcome: list[_Http | RpcError] = []
        given_up = threading.Event()

        def work() -> None:
            try:
                outcome.append(self._post(data, seconds, most_bytes, given_up))
            except RpcError as error:
                outcome.append(error)

        worker = threading.Thread(target=work, name="rpc", daemon=True)
        worker.start()
        try:
            worker.join(seconds)
        finally:
            # Also where the user stops it: nobody waits for the answer any more.
            given_up.set()
        if not outcome:
            raise TimedOut(
                f"{self._secrets.shown}: no whole answer within {seconds:g} s", "raise --timeout, or ask another node"
            )
        if isinstance(outcome[0], RpcError):
            raise outcome[0]
        return outcome[0]

    def _post(self, data: bytes, seconds: float, most_bytes: int, given_up: threading.Event) -> _Http:
        at, failure = self._secrets.shown, None
        chunks, size = [], 0
        try:
            with self._request_session_manager.get_response_from_post_request(
                self.endpoint_uri, data=data, timeout=seconds, stream=True, **self.get_request_kwargs()
            ) as answer:
                # A length that is announced spares the reading; one that is not, or is a lie, is counted.
                announced = answer.headers.get("Content-Length", "")
                size = int(announced) if announced.isascii() and announced.isdigit() and len(announced) < 19 else 0
                if size <= most_bytes:
                    size = 0
                    for chunk in answer.iter_content(_CHUNK_BYTES):
                        size += len(chunk)
                        if size > most_bytes or given_up.is_set():
                            break
                        chunks.append(chunk)
                status, after = answer.status_code, answer.headers.get("Retry-After")
        except requests.Timeout:
            failure = TimedOut(f"{at}: no answer within {seconds:g} s", "raise --timeout, or ask another node")
        except requests.exceptions.SSLError:
            failure = ConnectionFailed(
                f"{at}: no secure connection: its certificate or TLS version is refused",
                "is it https, and the right host?",
            )
        except requests.exceptions.ProxyError:
            failure = ConnectionFailed(f"{at}: the proxy does not connect", "see HTTPS_PROXY and NO_PROXY")
        except requests.exceptions.ChunkedEncodingError:
            failure = ConnectionFailed(f"{at}: the answer breaks off", "ask again, or another node")
        except requests.exceptions.ContentDecodingError:
            failure = ConnectionFailed(f"{at}: the answer is not compressed as it says", "ask another node")
        except (requests.RequestException, OSError, ValueError) as error:
            failure = ConnectionFailed(
                f"{at}: no connection ({type(error).__name__})", "is the node running, and the address right?"
            )
        if failure is not None:
            raise failure
        if size > most_bytes:
            raise AnswerTooLarge(f"{at}: an answer of more than {most_bytes:,} bytes")
        return _Http(status, _retry_after(after), b"".join(chunks))


def _retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for; None where it says nothing usable."""
    if value is None or len(value) > 64:
        return None
    try:
        return (
            max(0.0, float(value))
            if value.strip().isascii() and value.strip().isdigit()
            else max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        )
    except (ValueError, TypeError, OverflowError):
        return None


class _WholeBatch(Exception):
    """The node refuses a batch as a whole: halve it. error: what to say where it is a single request."""

    def __init__(self, error: RpcError) -> None:
        self.error = error


class _Again(Exception):
    """A failure worth another try. after: seconds to wait at least, where the node says."""

    def __init__(self, error: RpcError, after: float | None = None) -> None:
        self.error, self.after = error, after


# --- JSON-RPC --------------------------------------------------------------------------------------------------------


class Transport:
    """
    Questions to one node, one at a time. Not for several threads.

    statistics: what it has cost so far; progress: called with them after each HTTP request.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        limits: RpcLimits = DEFAULT_LIMITS,
        progress: Callable[[RpcStatistics], None] | None = None,
    ) -> None:
        """Raises BadUrl."""
        self._secrets = Secrets(url, headers)
        keep_from_logs(self._secrets)
        self._provider = BoundedProvider(url, self._secrets, headers or {})
        self.limits = limits
        self.statistics = RpcStatistics()
        self._progress = progress
        self._batch_size = max(1, limits.batch_size)
        if limits.calls_per_second is not None:
            # A batch counts as its calls: one of more than a second's worth would be refused as a burst.
            self._batch_size = max(1, min(self._batch_size, int(limits.calls_per_second)))
        self._next_call = 0.0
        self._random = random.Random()
        self.begin()

    def __repr__(self) -> str:
        return f"Transport({self._secrets.shown})"

    @property
    def shown(self) -> str:
        """scheme://host[:port] of the node."""
        return self._secrets.shown

    def begin(self) -> None:
        """Starts the total time anew."""
        total = self.limits.total_seconds
        self._deadline = None if total is None else time.monotonic() + total

    def close(self) -> None:
        """Closes the connections."""
        self._provider._request_session_manager.cache_and_return_session(self._provider.endpoint_uri).close()

    def call(self, method: str, *params: object, slow: bool = False) -> Any:
        """The result of one call. Raises RpcError."""
        return self.batch([(method, list(params))], slow)[0]

    def batch(self, wanted: Sequence[Request], slow: bool = False) -> list[Any]:
        """The results in the order asked. Raises the first error among the answers, or RpcError."""
        answers = self.batch_outcomes(wanted, slow)
        for answer in answers:
            if isinstance(answer, RpcError):
                raise answer
        return answers

    def batch_outcomes(self, wanted: Sequence[Request], slow: bool = False) -> list[Any]:
        """The results in the order asked, an RpcError in the place of each that the node refused. Raises RpcError."""
        outcomes: dict[int, Any] = {}
        pending = list(range(len(wanted)))
        failures = of_little_use = 0
        while pending:
            part = pending[: self._batch_size]
            try:
                found, failure = self._exchange([wanted[index] for index in part], slow)
                after = None
            except _WholeBatch as refusal:
                if len(part) == 1:
                    raise refusal.error from None
                self._halve(len(part))
                continue
            except _Again as again:
                found, failure, after = {}, again.error, again.after
            outcomes.update((part[position], answer) for position, answer in found.items())
            pending = [index for index in pending if index not in outcomes]
            if found:
                failures = of_little_use = 0
            if failure is None:
                continue
            if len(part) > 1 and (found or isinstance(failure, TimedOut)):
                # There was too much of it: what came is kept, the rest is asked for in smaller parts.
                self._halve(len(part))
            if found and not isinstance(failure, RateLimited):
                continue
            failures += 1
            of_little_use += isinstance(failure, MalformedAnswer) or (isinstance(failure, TimedOut) and len(part) == 1)
            if failures >= self.limits.attempts or of_little_use >= _FEW_ATTEMPTS:
                raise failure
            self._back_off(failures, after, failure)
        return [outcomes[index] for index in range(len(wanted))]

    def pause(self, failures: int, failure: RpcError) -> None:
        """Waits as after so many failures. Raises `failure` where the total time does not last for that."""
        self._back_off(failures, None, failure)

    def _halve(self, size: int) -> None:
        self._batch_size = max(1, size // 2)

    def _back_off(self, failures: int, after: float | None, failure: RpcError) -> None:
        self.statistics.retries += 1
        delay = min(_MOST_BACK_OFF, self.limits.back_off_seconds * 2 ** (failures - 1)) * self._random.uniform(0.5, 1.5)
        if after is not None:
            if after > _MOST_RETRY_AFTER:
                raise RateLimited(
                    f"{self.shown}: the node asks to wait {after:.0f} s", "wait that long, or ask another node"
                )
            delay = max(delay, after)
        self._sleep(delay, failure)

    def _sleep(self, seconds: float, failure: RpcError | None = None) -> None:
        if self._deadline is not None and time.monotonic() + seconds > self._deadline:
            raise failure or self._out_of_time()
        self.statistics.seconds += seconds
        time.sleep(seconds)

    def scrub(self, text: str) -> str:
        """Secrets.scrub, uncut."""
        return self._secrets.scrub(text, max(1, len(text)))

    def check_time(self) -> None:
        """Raises TimedOut where the total time since `begin` is over."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise self._out_of_time()

    def _out_of_time(self) -> TimedOut:
        return TimedOut(
            f"{self.shown}: not done within {self.limits.total_seconds:g} s in total",
            "raise the total time, or ask a nearer node",
        )

    def _exchange(self, part: Sequence[Request], slow: bool) -> tuple[dict[int, Any], RpcError | None]:
        """
        One HTTP request for one bare call or a batch.

        Returns answers by position in `part`, RpcError for those refused, and the reason why some are to be asked again,
        None where all came. Raises _WholeBatch, _Again, RpcError.
        """
        self._wait_for_rate(len(part))
        seconds = self.limits.slow_seconds if slow else self.limits.call_seconds
        if self._deadline is not None:
            seconds = min(seconds, self._deadline - time.monotonic())
            if seconds <= 0:
                raise self._out_of_time()
        data, first = self._provider.encode(part)
        start = time.monotonic()
        self.statistics.calls += len(part)
        self.statistics.requests += 1
        size = 0
        try:
            http = self._provider.exchange(data, seconds, self.limits.most_bytes)
            size = len(http.body)
        except AnswerTooLarge as error:
            raise _WholeBatch(error) from None
        except ConnectionFailed as error:
            raise _Again(error) from None
        finally:
            self.statistics.seconds += time.monotonic() - start
            self.statistics.bytes += size
            if self._progress is not None:
                self._progress(self.statistics)
        return self._read(http, part, first)

    def _wait_for_rate(self, calls: int) -> None:
        rate = self.limits.calls_per_second
        if rate is None:
            return
        now = time.monotonic()
        if self._next_call > now:
            self._sleep(self._next_call - now)
        self._next_call = max(self._next_call, now) + calls / rate

    def _read(self, http: _Http, part: Sequence[Request], first: int) -> tuple[dict[int, Any], RpcError | None]:
        at, status = self.shown, http.status
        if status in (401, 403):
            raise Unauthorized(
                f"{at}: the node refuses the credentials (HTTP {status})", "check the key or password in --rpc"
            )
        if status == 429:
            raise _Again(
                RateLimited(f"{at}: the node limits the rate of calls (HTTP 429)", "wait, or lower --rate"),
                http.retry_after,
            )
        if status == 413:
            raise _WholeBatch(AnswerTooLarge(f"{at}: the request is too large for the node (HTTP 413)"))
        if 300 <= status < 400:
            raise ConnectionFailed(
                f"{at}: the node redirects to another address (HTTP {status})", "give that address in --rpc"
            )
        answer, broken = None, None
        try:
            answer = parse_json(http.body)
        except LimitExceeded as error:
            broken = AnswerTooLarge(f"{at}: {error}")
        except WitnessError as error:
            broken = MalformedAnswer(f"{at}: the answer is {error}", "is this the address of a node's JSON-RPC?")
        if status != 200 and not _is_refusal(answer):
            failure = ConnectionFailed(
                f"{at}: HTTP {status}",
                "ask again later, or another node" if status >= 500 else "is this the address of a node's JSON-RPC?",
            )
            if status >= 500 or status == 408:
                raise _Again(failure, http.retry_after)
            raise _WholeBatch(failure)
        if isinstance(broken, AnswerTooLarge):
            raise _WholeBatch(broken)
        if broken is not None:
            raise _Again(broken)
        if len(part) == 1:
            return self._read_single(answer, part[0][0], first, status)
        return self._read_batch(answer, part, first)

    def _read_single(
        self, answer: object, method: str, first: int, status: int
    ) -> tuple[dict[int, Any], RpcError | None]:
        if isinstance(answer, list) and len(answer) == 1:
            answer = answer[0]
        if not isinstance(answer, dict):
            raise _Again(MalformedAnswer(f"{self.shown}: {method}: the answer is no JSON-RPC object"))
        if answer.get("error") is None and answer.get("id") != first:
            raise MalformedAnswer(f"{self.shown}: {method}: the answer has another id than the request")
        outcome = self._outcome(answer, method)
        if isinstance(outcome, RateLimited) or (status >= 500 and type(outcome) is NodeError):
            raise _Again(outcome)
        return {0: outcome}, None

    def _read_batch(
        self, answer: object, part: Sequence[Request], first: int
    ) -> tuple[dict[int, Any], RpcError | None]:
        if isinstance(answer, dict) and answer.get("error") is not None:
            error = classified("JSON-RPC", answer["error"], self._secrets)
            if isinstance(error, RateLimited) and "batch" not in str(error).lower():
                raise _Again(error)
            raise _WholeBatch(error)
        if not isinstance(answer, list):
            raise _Again(MalformedAnswer(f"{self.shown}: the answer to a batch is no list"))
        found: dict[int, Any] = {}
        again: RpcError | None = None
        seen: set[int] = set()
        for one in answer:
            if not isinstance(one, dict):
                raise MalformedAnswer(f"{self.shown}: an answer in a batch is no object")
            number = one.get("id")
            if number is None and one.get("error") is not None:
                # For none of the requests, so for the batch: what is left without an answer is asked again.
                again = again or classified("JSON-RPC", one["error"], self._secrets)
                continue
            if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number - first < len(part):
                raise MalformedAnswer(f"{self.shown}: an answer in a batch has an id that was not asked")
            if number in seen:
                raise MalformedAnswer(f"{self.shown}: two answers to one request of a batch")
            seen.add(number)
            outcome = self._outcome(one, part[number - first][0])
            if isinstance(outcome, RateLimited):
                again = again or outcome
            else:
                found[number - first] = outcome
        if len(found) < len(part) and again is None:
            again = MalformedAnswer(f"{self.shown}: {len(found)} answers to a batch of {len(part)}")
            if not found:
                raise _WholeBatch(again)
        return found, again

    def _outcome(self, answer: dict, method: str) -> Any:
        if answer.get("error") is not None:
            return classified(method, answer["error"], self._secrets)
        if "result" not in answer:
            return MalformedAnswer(f"{self.shown}: {method}: the answer has neither result nor error")
        return answer["result"]


def _is_refusal(answer: object) -> bool:
    """Whether it is a JSON-RPC answer all the same: some servers send errors with an HTTP status of their own."""
    if isinstance(answer, list):
        return bool(answer) and all(isinstance(one, dict) and ("error" in one or "result" in one) for one in answer)
    return isinstance(answer, dict) and isinstance(answer.get("error"), dict)
