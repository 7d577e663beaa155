"""
The AIR language: a chip is declared once, in plain Python; everything else is computed from it.

Reading order: columns, builder, bus, chip, logup; then backends/interpret (meaning), point (verifier), tape (prover).
"""

from zkvm.air.builder import MAXIMUM_DEGREE, Constraint, Message
from zkvm.air.bus import Bus
from zkvm.air.chip import Chip
from zkvm.air.columns import (
    Columns,
    bit,
    boundary,
    boundary_bit,
    boundary_limbs,
    column,
    fixed,
    flatten,
    group,
    limbs,
    periodic,
)
from zkvm.air.errors import AirError, DeclarationError, TraceError
from zkvm.air.expression import PHASES, Expression, Phase

__all__ = [
    "MAXIMUM_DEGREE",
    "PHASES",
    "AirError",
    "Bus",
    "Chip",
    "Columns",
    "Constraint",
    "DeclarationError",
    "Expression",
    "Message",
    "Phase",
    "TraceError",
    "bit",
    "boundary",
    "boundary_bit",
    "boundary_limbs",
    "column",
    "fixed",
    "flatten",
    "group",
    "limbs",
    "periodic",
]
