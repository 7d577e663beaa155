"""
Typed refusals of the node client.

Each has a cause and a mend, and none holds more of the node's address than scheme, host and port: what a node says is
scrubbed of the credentials it was asked with before it comes here (rpc.credentials).
"""

from __future__ import annotations

from witness.errors import WitnessError


class RpcError(WitnessError):
    """
    Base of what the client refuses.

    cause: what went wrong; mend: what the user can do about it, or "".
    """

    def __init__(self, cause: str, mend: str = "") -> None:
        self.cause = cause
        self.mend = mend
        super().__init__(f"{cause}; {mend}" if mend else cause)


class BadUrl(RpcError):
    """The address is none that can be asked."""


class ConnectionFailed(RpcError):
    """The node could not be reached, broke the connection off, or answered with an HTTP error, every time."""


class TimedOut(ConnectionFailed):
    """An answer did not come within its time, or the work as a whole took too long."""


class Unauthorized(RpcError):
    """The node refuses the credentials (HTTP 401 or 403)."""


class RateLimited(RpcError):
    """The node answers 429, or says the same in JSON, every time."""


class MalformedAnswer(RpcError):
    """The answer is not JSON, not JSON-RPC, not of the method's form, or answers something else than was asked."""

    def __init__(self, cause: str, mend: str = "ask another node") -> None:
        super().__init__(cause, mend)


class AnswerTooLarge(MalformedAnswer):
    """The answer, or the request, is larger than one side accepts."""


class NodeError(RpcError):
    """
    The node answered with a JSON-RPC error.

    code: its number; message: its text, scrubbed and cut.
    """

    def __init__(self, method: str, code: int, message: str, mend: str = "") -> None:
        self.method, self.code, self.message = method, code, message
        super().__init__(f"{method}: the node answers error {code}: {message}", mend)


class MethodNotOffered(NodeError):
    """The node has no such method, or not for us."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(method, code, message, f"use a node that offers {method}")


class HistoryPruned(NodeError):
    """The node has no longer, or never had, the state or block that was asked for (error 4444 and its older texts)."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(method, code, message, "use an archive node, or a newer block")


class BlockNotFound(RpcError):
    """The node has no such block."""


class ReorgError(RpcError):
    """The block was on the node's chain and no longer is."""


class WrongChain(RpcError):
    """The node is on another chain than was said."""


class WrongBlock(RpcError):
    """The block that the node gives is not the one whose hash was asked for. part: what does not match."""

    def __init__(self, part: str, reason: str) -> None:
        self.part = part
        super().__init__(f"{part}: {reason}", "the node serves wrong blocks; ask another one")
