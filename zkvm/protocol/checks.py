"""
The one way in which the verifier says no.

Every check is made here, by name. The name must be one of errors.CHECKS, which gives the reason. Tests that ask
whether a check is necessary replace this object by one that lets a single name pass; nothing else in the verifier
decides.
"""

from typing import Any

from zkvm.protocol.errors import CHECKS, RefusalError


class Checks:
    """Makes checks; the first that fails raises RefusalError."""

    def equal(self, name: str, left: Any, right: Any, where: str = "") -> None:
        """The two values are the same."""
        if not bool(left == right):
            self.refuse(name, where)

    def holds(self, name: str, condition: bool, where: str = "") -> None:
        """A fact about integers that every circuit fixes by its shape: lengths, orders, bounds."""
        if not condition:
            self.refuse(name, where)

    def refuse(self, name: str, where: str) -> None:
        """Ends the verification. name: in CHECKS, else KeyError, a mistake of the verifier's author."""
        raise RefusalError(CHECKS[name], f"{name}: {where}" if where else name)
