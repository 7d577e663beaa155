"""What the library and the command line say when something cannot be done."""


class BlockproofError(Exception):
    """
    Base of this package's own errors.

    cause: what went wrong. mend: what the user can do about it, or "".
    """

    def __init__(self, cause: str, mend: str = "") -> None:
        self.cause = cause
        self.mend = mend
        super().__init__(f"{cause}; {mend}" if mend else cause)


class UsageError(BlockproofError):
    """The question itself is off: a file that is not there, a name that does not exist, an option that contradicts another."""


class RefusedError(BlockproofError):
    """The answer is no: an invalid block, a run that fails, a proof that does not verify."""


class ProofRefusedError(RefusedError):
    """A proof does not verify, or does not say what the caller expects."""


class StoppedError(BlockproofError):
    """The user stopped the work; what is done is kept."""
