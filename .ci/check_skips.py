"""Prints the skipped tests by reason and fails on a reason outside the committed list.

usage: check_skips.py JUNIT_XML ALLOWED_REASONS

Each line of the list is a regular expression that a whole reason must match; `#` starts a comment.
"""

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree


def skip_reasons(junit: Path) -> Counter[str]:
    """The reason of every skipped or expectedly failing test in a JUnit report, with its count."""
    return Counter(skipped.get("message") or "(no reason)" for skipped in ElementTree.parse(junit).iter("skipped"))


def allowed_reasons(path: Path) -> list[re.Pattern[str]]:
    lines = (line.split("#", 1)[0].strip() for line in path.read_text().splitlines())
    return [re.compile(line) for line in lines if line]


def main() -> int:
    reasons = skip_reasons(Path(sys.argv[1]))
    allowed = allowed_reasons(Path(sys.argv[2]))
    refused = 0
    for reason, count in sorted(reasons.items()):
        known = any(pattern.fullmatch(reason) for pattern in allowed)
        refused += not known
        sys.stdout.write(f"skipped {count:4d}  {reason}{'' if known else '   <- NOT ALLOWED IN CI'}\n")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
