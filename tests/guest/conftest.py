"""Guests built for this run: natively, for qemu-user and for the machine. Skips by name where the compiler is absent."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from blockproof.guest_build import Toolchain, ToolchainAbsent, build_guest, find_toolchain
from tests.guest.places import NO_TOOLCHAIN, SELFTEST, Ended, Runner, build_native, ended, run_process
from zkvm.machine import load_elf, run


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    try:
        return find_toolchain()
    except ToolchainAbsent:
        pytest.skip(NO_TOOLCHAIN)


@pytest.fixture(scope="session")
def runners(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], dict[str, Runner]]:
    """By manifest: the same guest natively, under qemu-user (where it is installed) and in the machine."""
    qemu = shutil.which("qemu-riscv64")
    folder = tmp_path_factory.mktemp("guests")
    made: dict[Path, dict[str, Runner]] = {}

    def make(manifest: Path) -> dict[str, Runner]:
        if manifest in made:
            return made[manifest]
        name = manifest.parent.name
        native = build_native(toolchain, manifest, folder / "native") / name
        program = load_elf(build_guest(manifest, toolchain=toolchain))

        def in_machine(private_input: bytes) -> Ended:
            debug = bytearray()
            result = run(program, private_input, on_debug=debug.extend)
            return ended(result.exit_code, result.output, bytes(debug))

        made[manifest] = {"native": lambda stdin: run_process(str(native), stdin=stdin), "machine": in_machine}
        if qemu:
            linux = folder / f"{name}.qemu"
            linux.write_bytes(build_guest(manifest, toolchain=toolchain, qemu=True))
            linux.chmod(0o755)
            made[manifest]["qemu"] = lambda stdin: run_process(qemu, str(linux), stdin=stdin)
        return made[manifest]

    return make


@pytest.fixture(scope="session")
def everywhere(runners: Callable[[Path], dict[str, Runner]]) -> Callable[[Path, bytes], Ended]:
    """Runs a guest in each place and asserts that all end alike; what they agree on is returned."""

    def run_all(manifest: Path, private_input: bytes) -> Ended:
        ends = {place: runner(private_input) for place, runner in runners(manifest).items()}
        first = ends.pop("machine")
        for place, other in ends.items():
            assert other == first, f"{place} and machine differ on {private_input[:80].hex()}"
        return first

    return run_all


@pytest.fixture(scope="session")
def selftest(everywhere: Callable[[Path, bytes], Ended]) -> Callable[[int, bytes], Ended]:
    """Runs one task of sdk-selftest everywhere."""
    return lambda task, argument: everywhere(SELFTEST, bytes([task]) + argument)
