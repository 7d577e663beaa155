"""
Program ids in text, and those of the shipped guests.

A program id is 9 elements of KoalaBear; in text, 8 hexadecimal digits each. The ids of shipped guests are pinned beside their ELFs, so that a verifier
neither trusts nor recomputes commitments; a test computes them anew.
"""

import json
import re
import sys

from blockproof.errors import UsageError
from blockproof.guests import SHIPPED, load_guest
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.reference.poseidon2 import DIGEST_LENGTH, Digest

IDS = SHIPPED / "program_ids.json"


def format_id(program_id: Digest) -> str:
    """0x and 72 hexadecimal digits."""
    return "0x" + "".join(f"{element:08x}" for element in program_id)


def parse_id(text: str) -> Digest:
    """
    The id in text, or that of a shipped guest by its name.

    Raises UsageError for anything else.
    """
    if text in (pinned := shipped_ids()):
        return pinned[text]
    digits = text.removeprefix("0x")
    try:
        if not re.fullmatch(f"[0-9a-fA-F]{{{8 * DIGEST_LENGTH}}}", digits):
            raise ValueError
        elements = tuple(int(digits[i : i + 8], 16) for i in range(0, len(digits), 8))
    except ValueError:
        names = f", or one of {', '.join(pinned)}" if pinned else ""
        raise UsageError(f"{text[:80]!r} is no program id", f"write 0x and {8 * DIGEST_LENGTH} hexadecimal digits{names}") from None
    if any(element >= PRIME for element in elements):
        raise UsageError(f"{text!r} is no program id: an element is not below the field's order")
    return elements


def shipped_ids() -> dict[str, Digest]:
    """Name -> program id of the shipped guests."""
    return {name: _elements(text) for name, text in json.loads(IDS.read_text()).items()} if IDS.exists() else {}


def compute_id(guest: str) -> Digest:
    """The program id of a guest, by name or path, from its ELF: commits to its tables, which takes seconds for a large one."""
    from zkvm.prover import program_id

    return program_id(load_guest(guest))


def _elements(text: str) -> Digest:
    return tuple(int(text[i : i + 8], 16) for i in range(2, len(text), 8))


def main() -> int:
    """Computes the ids of all shipped guests and pins them. For whoever changed a chip or a guest."""
    from blockproof.guests import shipped_guests

    ids = {name: format_id(compute_id(name)) for name in shipped_guests()}
    IDS.write_text(json.dumps(ids, indent=2) + "\n")
    for name, text in ids.items():
        sys.stdout.write(f"{name} {text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
