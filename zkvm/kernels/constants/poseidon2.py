"""
The constants of Poseidon2 over KoalaBear at width 24, read from their data file.

Source, way of generation and digest stand in the file itself; the digest is checked here at import, so that a damaged
file is refused before anything is hashed with it.
"""

import hashlib
import json
from pathlib import Path

WIDTH: int = 24
"""State elements: 15 of rate and 9 of capacity, the least capacity whose collision bound passes 128 bits."""

FULL_ROUND_COUNT: int = 8
PARTIAL_ROUND_COUNT: int = 23
"""
8 and 23: the fewest S-boxes that the bounds of the Poseidon papers allow for 128 bits at this width, margin included.
The same bounds give the same numbers for 140 bits.
"""


class ConstantsError(ValueError):
    """The constants on disk are not the published ones."""


def _load(path: Path) -> dict[str, list]:
    content = json.loads(path.read_text())
    numbers = [
        number for part in ("initial", "partial", "final", "diagonal_minus_one") for number in _flat(content[part])
    ]
    digest = hashlib.sha256(b"".join(number.to_bytes(4, "little") for number in numbers)).hexdigest()
    if digest != content["digest"] or len(numbers) != FULL_ROUND_COUNT * WIDTH + PARTIAL_ROUND_COUNT + WIDTH:
        raise ConstantsError(f"{path.name} does not match its digest")
    return content


def _flat(part: list) -> list[int]:
    return [number for row in part for number in row] if part and isinstance(part[0], list) else part


_CONTENT = _load(Path(__file__).with_name("poseidon2_koala_bear_24.json"))

INITIAL_ROUND_CONSTANTS: tuple[tuple[int, ...], ...] = tuple(tuple(row) for row in _CONTENT["initial"])
"""4 rounds of 24, canonical."""

PARTIAL_ROUND_CONSTANTS: tuple[int, ...] = tuple(_CONTENT["partial"])
"""23, each added to element 0 of the state."""

FINAL_ROUND_CONSTANTS: tuple[tuple[int, ...], ...] = tuple(tuple(row) for row in _CONTENT["final"])
"""4 rounds of 24, canonical."""

DIAGONAL_MINUS_ONE: tuple[int, ...] = tuple(_CONTENT["diagonal_minus_one"])
"""V with internal matrix = (all ones) + diag(V): small integers and inverse powers of two, cheap to multiply by."""
