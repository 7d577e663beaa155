"""Ecalls: what the chip must not let pass, by name. Its rows, look-ups and stored forgeries are tested with the loads and stores."""

from dataclasses import replace

import pytest
from instructions_kit import Judge, tables
from memory_exemptions import FREE_CELLS
from memory_kit import EcallCase, Run, claims_of_rows, ecall_cases, ecall_run
from test_memory_chips import changed, check_token, refused_as, spoken, token_pairs

from zkvm.air import Phase
from zkvm.air.backends.interpret import Trace
from zkvm.air.testing import assert_every_cell_matters, judge, recorded_traffic
from zkvm.chips import ecall
from zkvm.field.koala_bear import PRIME
from zkvm.machine.events import HALT_PC
from zkvm.machine.syscalls import PRECOMPILE_FAMILY, Syscall

KECCAK = EcallCase(int(Syscall.KECCAK_F), 0x2900_0008, 77)
SHA256 = EcallCase(int(Syscall.SHA256_COMPRESS), 0x2900_0008, 0x2900_0100)
EXIT = EcallCase(int(Syscall.EXIT))


def one(case: EcallCase) -> Run:
    return ecall_run([case])


def flag(call: Syscall) -> str:
    return f"call_{ecall.CALLS.index(call)}"


def verdict_in_the_world_of(true: Run, forged: Run):
    """What the judges say of a row among the neighbours of another."""
    holds = tables(true.program)
    world = recorded_traffic(Trace(ecall.CHIP, {Phase.MAIN: true.rows}), holds)
    return judge([Trace(ecall.CHIP, {Phase.MAIN: forged.rows})], world, holds)


@pytest.mark.parametrize("other", [call for call in Syscall if call is not Syscall.KECCAK_F])
def test_another_number_than_a7_holds(other: Syscall) -> None:
    """The flag of another call: a7's token has another value."""
    true = one(KECCAK)
    forged = changed(true, **{flag(Syscall.KECCAK_F): 0, flag(other): 1})
    verdict = verdict_in_the_world_of(true, forged)
    assert not verdict.accepted
    assert "memory" in verdict.buses.buses or verdict.constraints


def test_no_number_at_all() -> None:
    """Without a flag the row is silent, and the state does not go on."""
    true = one(KECCAK)
    verdict = verdict_in_the_world_of(true, changed(true, **{flag(Syscall.KECCAK_F): 0}))
    assert set(verdict.buses.buses) == {"state", "memory", "syscall"}


def test_two_flags() -> None:
    refused_as(changed(one(KECCAK), **{flag(Syscall.REGION_BEGIN): 1}), "at most one call")


@pytest.mark.parametrize("code", [1, 0x1_0000, 1 << 32, 1 << 48, 2**64 - 1])
def test_exit_with_another_code_than_0(code: int) -> None:
    run = one(replace(EXIT, a0=code))
    refusals = Judge(ecall.CHIP, run.program).refused_by(run.matrix[0])
    assert refusals and all(r.startswith("the exit code is 0 in limb") for r in refusals)


def state_out(run: Run) -> tuple[int, ...]:
    [said] = spoken(run, "state out")
    return said.values


def test_exit_halts_and_nothing_else_does() -> None:
    """The next pc is computed from the flag: neither an exit that goes on nor another call that halts can be written."""
    assert state_out(one(EXIT))[0] == HALT_PC
    for case in ecall_cases(2, 1):
        if case.number != Syscall.EXIT:
            run = one(case)
            assert state_out(run)[0] == int(run.rows["step"]["pc"][0]) + 4
    true = one(EXIT)
    world = recorded_traffic(Trace(ecall.CHIP, {Phase.MAIN: true.rows}), tables(true.program))
    pc = int(true.rows["step"]["pc"][0])
    goes_on = [replace(m, values=(pc + 4, m.values[1])) if m.values == state_out(true) else m for m in world]
    verdict = judge([Trace(ecall.CHIP, {Phase.MAIN: true.rows})], goes_on, tables(true.program))
    assert verdict.buses.buses == ("state",)


def test_a_halt_by_another_number() -> None:
    """debug_write under exit's flag: a7's token says 64."""
    true = one(EcallCase(int(Syscall.DEBUG_WRITE)))
    verdict = verdict_in_the_world_of(true, changed(true, **{flag(Syscall.DEBUG_WRITE): 0, flag(Syscall.EXIT): 1}))
    assert set(verdict.buses.buses) == {"state", "memory"}


@pytest.mark.parametrize("low", range(1, 8))
def test_an_unaligned_pointer(low: int) -> None:
    run = one(replace(KECCAK, a0=KECCAK.a0 + low))
    refused_as(run, "a0 is a multiple of 8")
    eighth = low * pow(8, -1, PRIME) % PRIME
    refused_as(changed(run, a0_low=(KECCAK.a0 & 0xFFFF) // 8 + eighth), "a0: low in range")
    refused_as(one(replace(SHA256, a1=SHA256.a1 + low)), "a1 is a multiple of 8")


@pytest.mark.parametrize("high", [1 << 32, 1 << 47, 1 << 48, 1 << 63])
def test_a_pointer_of_2_to_the_32_or_more(high: int) -> None:
    name = "below 2^48" if high >= 1 << 48 else "below 2^32"
    refused_as(one(replace(KECCAK, a0=KECCAK.a0 + high)), f"a0 is {name}")
    refused_as(one(replace(SHA256, a1=SHA256.a1 + high)), f"a1 is {name}")
    # What the call does not use may be anything.
    refused_as(one(replace(KECCAK, a1=high + 1)))


def test_a_precompile_message_with_another_pointer() -> None:
    """The doubleword is computed from the register: another one cannot be written, and the precompile's row does not agree."""
    true = one(SHA256)
    holds = tables(true.program)
    world = recorded_traffic(Trace(ecall.CHIP, {Phase.MAIN: true.rows}), holds)
    [call] = spoken(true, "precompile")
    for position in range(4):
        values = tuple(value + (i == position) for i, value in enumerate(call.values))
        said = [replace(m, values=values) if m.bus == call.bus else m for m in world]
        verdict = judge([Trace(ecall.CHIP, {Phase.MAIN: true.rows})], said, holds)
        assert verdict.buses.buses == ("syscall",)
    low = (SHA256.a0 & 0xFFFF) // 8
    refused_as(changed(true, a0_low=low + 1), "a0 is a multiple of 8")


def test_a_second_pointer_for_a_call_that_has_one() -> None:
    """keccak_f's second field is 0 whatever a1 holds, so that it cannot mark a call as another."""
    [call] = spoken(one(replace(KECCAK, a1=0x2900_0000)), "precompile")
    assert call.values[3] == 0


def test_every_cell_matters() -> None:
    forms: dict[str, list[EcallCase]] = {}
    for case in ecall_cases(3, 3):
        call = Syscall(case.number)
        form = "no pointer" if call not in PRECOMPILE_FAMILY else "two pointers" if call in ecall._TWO_POINTERS else "one pointer"
        forms.setdefault(form, []).append(case)
    assert set(forms) == {"no pointer", "one pointer", "two pointers"}
    for form, cases in forms.items():
        run = ecall_run(cases, 3)
        assert_every_cell_matters(
            ecall.CHIP, {Phase.MAIN: run.rows}, rows=range(len(cases)), tables=tables(run.program), free=FREE_CELLS.get(("ecall", form), {})
        )


def test_each_token_is_needed() -> None:
    """As for loads and stores: a number, argument or time that is not in the world."""
    true = one(EcallCase(int(Syscall.DEBUG_WRITE), 5, 6))
    other = {
        "state in": replace(EcallCase(int(Syscall.DEBUG_WRITE), 5, 6), clk=808),
        "a7: token in": EcallCase(int(Syscall.REGION_BEGIN), 5, 6),
        "a0: token in": EcallCase(int(Syscall.DEBUG_WRITE), 7, 6),
        "a1: token in": EcallCase(int(Syscall.DEBUG_WRITE), 5, 7),
    }
    assert {pair[0] for pair in token_pairs("ecall")} == set(other)
    for pair in token_pairs("ecall"):
        check_token(ecall.CHIP, true, one(other[pair[0]]), pair)


def test_the_call_s_message_is_needed() -> None:
    """Without it a call would have no effect: the world has nobody who permutes."""
    run = one(KECCAK)
    holds = tables(run.program)
    others = [m for m in recorded_traffic(Trace(ecall.CHIP, {Phase.MAIN: run.rows}), holds) if m.bus.name != "syscall"]
    full = judge([Trace(ecall.CHIP, {Phase.MAIN: run.rows})], others, holds)
    assert not full.constraints and full.buses.buses == ("syscall",)
    weaker = ecall.CHIP.without_message("precompile")
    assert judge([Trace(weaker, {Phase.MAIN: run.rows})], others, holds).accepted
    assert claims_of_rows(Judge(weaker, run.program), run.matrix[:1])[0] == ["a precompile is called or not, against the number"]
