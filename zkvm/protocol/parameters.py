"""
The parameters of a proof, and everything that follows from them and a shape.

Statement
---------
One object. Prover, verifier and calculator (security.py) take every number from here; the proof carries it, the
transcript absorbs it, and the verifier refuses it if the bits it gives are too few. Nothing else chooses a size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

from zkvm.field.koala_bear import TWO_ADICITY
from zkvm.kernels.reference.poseidon2 import MAXIMUM_GRIND_BIT_COUNT
from zkvm.protocol.errors import ParametersError

VERSION: int = 1
"""Version of the proof format and of the transcript; absorbed first."""

MINIMUM_LOG_HEIGHT: int = 5
"""The final polynomial of FRI has 2^5 coefficients, so nothing lower can join."""

MAXIMUM_LOG_HEIGHT: int = 22
"""Rows of the tallest matrix: 2^22 is where the calculator's rows still reach 128 bits at rate 1/2."""


@dataclass(frozen=True)
class Parameters:
    """
    The choices of one proof layer. Raises ParametersError outside the ranges given with each field.
    """

    log_blowup: int = 1
    """Rate 2^-log_blowup; 1 to 4. At least 1, because constraints have degree 3 and the quotient degree below 2n."""

    query_count: int = 256
    """1 to 1024. 256 x log2(4/3) + 22 bits of work = 128.2 bits in unique decoding at rate 1/2."""

    query_grinding_bits: int = 22
    """0 to 24, of proof of work before the queries are drawn."""

    log_fold: int = 3
    """FRI folds by 2^log_fold, 1 to 4, or by less where a shorter matrix joins."""

    logup_bits: int = 128
    """0 to 150: LogUp challenges are preceded by as many bits of work as the calculator finds missing to this level."""

    def __post_init__(self) -> None:
        limits = {
            "log_blowup": (1, 4),
            "query_count": (1, 1024),
            "query_grinding_bits": (0, MAXIMUM_GRIND_BIT_COUNT),
            "log_fold": (1, 4),
            "logup_bits": (0, 150),
        }
        for name, (lowest, highest) in limits.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not lowest <= value <= highest:
                raise ParametersError(f"{name} must be {lowest} to {highest}, not {value!r}")

    @property
    def log_final_height(self) -> int:
        """log2 of the number of evaluations at which folding stops."""
        return MINIMUM_LOG_HEIGHT + self.log_blowup

    @property
    def final_coefficient_count(self) -> int:
        return 2**MINIMUM_LOG_HEIGHT

    def elements(self) -> list[int]:
        """All fields in order of declaration: what the transcript absorbs and the proof carries."""
        return [getattr(self, field.name) for field in fields(self)]

    @classmethod
    def from_elements(cls, elements: Sequence[int]) -> "Parameters":
        """The inverse of `elements`. Raises ParametersError."""
        if len(elements) != len(fields(cls)):
            raise ParametersError(f"{len(fields(cls))} parameters, not {len(elements)}")
        return cls(*(int(element) for element in elements))

    def with_changes(self, **changes: int) -> "Parameters":
        """A copy with some fields replaced."""
        return replace(self, **changes)


@dataclass(frozen=True)
class Fold:
    """One folding step of FRI."""

    log_height: int
    """log2 of the length of the word before folding; its layer's tree has log_height - log_arity levels."""
    log_arity: int
    joins: bool
    """Whether, after this fold, the quotients of the matrices of that height are added."""


def fold_schedule(log_heights: Iterable[int], parameters: Parameters) -> tuple[Fold, ...]:
    """
    The folds from the tallest extended height to the final one, landing on each height present.

    log_heights: of the low-degree extensions, each at least log_final_height.
    """
    present = sorted(set(log_heights), reverse=True)
    folds = []
    for upper, lower in zip(present, present[1:] + [parameters.log_final_height]):
        while upper > lower:
            log_arity = min(parameters.log_fold, upper - lower)
            folds.append(Fold(upper, log_arity, joins=upper - log_arity == lower and lower in present))
            upper -= log_arity
    return tuple(folds)


assert MAXIMUM_LOG_HEIGHT + 1 <= TWO_ADICITY
