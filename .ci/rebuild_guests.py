"""
Rebuilds every guest and compares it with the shipped ELF, byte for byte.

Where the installed compiler or linker is another version than the one that built the shipped ELFs, no bytes can be compared: this says so and puts the rebuilt
ELFs, with their digests and program ids, in the place of the shipped ones, so that the tests that follow run on them.
"""

import json
import subprocess
import sys

from blockproof.guest_build import SHIPPED, find_toolchain


def run(*module: str) -> int:
    """Runs a module of the project and returns its exit code."""
    return subprocess.run([sys.executable, "-m", *module], check=False).returncode


def main() -> int:
    toolchain = find_toolchain()
    installed = (toolchain.compiler_version, toolchain.linker_version)
    built_by = {(entry["compiler"], entry["linker"]) for entry in json.loads((SHIPPED / "digests.json").read_text()).values()}
    if built_by == {installed}:
        return run("blockproof.guest_build", "--check")
    sys.stdout.write(f"NOTICE: shipped guests were built by {sorted(built_by)}, installed is {installed}: the tests run on rebuilt guests\n")
    return run("blockproof.guest_build") or run("blockproof.program_ids")


if __name__ == "__main__":
    sys.exit(main())
