"""
Forgeries that the search does not find, each told as a story, and written into forgeries/NAME.json beside the others.

    python tests/zkvm/chips/forgeries_by_hand.py

p - 1 = 127 * 2^24 is what makes them work: 2^-8 = -127 * 2^16 and 2^-16 = -127 * 2^8 mod p, so where a range check is
missing a fraction passes for a carry.
"""

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from forgery_search import FOLDER, line_of, written
from instructions_kit import FIRST_PC, UNREACHABLE, Case, Judge, chip_named, falsehoods, run

from zkvm.air import Phase
from zkvm.field.koala_bear import PRIME
from zkvm.isa.instructions import IMMEDIATE_FLAG, Operation

Cells = dict[str, int]
Story = tuple[str, str, Case, Callable[[Cells], Cells], int | None]
"""Chip, item, honest step, honest cells -> changed cells, the operation that the program has instead, if another."""


def inverse(value: int) -> int:
    return pow(value, -1, PRIME)


def stories() -> Iterator[Story]:
    """All of them."""
    # An immediate flag that is a fraction turns one operation id into another's: ADD + 64 (23 / 64) = MUL. With b = 0
    # the immediate field, flag times b, is 0 as MUL's is.
    for name, flag, operation in (
        ("add", "is_immediate", Operation.ADD), ("bitwise", "is_immediate", Operation.OR),
        ("less_than", "is_immediate", Operation.SLTU), ("shift", "is_immediate", Operation.SLL),
    ):  # fmt: skip
        fraction = (Operation.MUL - operation) * inverse(IMMEDIATE_FLAG) % PRIME
        yield (
            name,
            "is_immediate is a bit",
            Case(operation, 9, 0),
            lambda _, f=fraction: {"is_immediate": f},
            Operation.MUL,
        )

    # JAL and JALR at once are operation 22 + 23 = 45, a store: it jumps instead of storing.
    yield (
        "jump", "one operation at most", Case(Operation.JALR, 0, 0, 5, 6, 0, 0x400),
        lambda _: {"is_jal": 1}, Operation.SH,
    )  # fmt: skip
    # 4 (1/2) = 2: a target that is no multiple of 4.
    yield (
        "jump", "target_words in range", Case(Operation.JALR, FIRST_PC + 2, 0, 5, 6, 0),
        lambda _: {"target_words": inverse(2)}, None,
    )  # fmt: skip

    # A word shift by 3 that shifts by 2: bit 5 of the amount, which it ignores, is taken to be 1/32.
    yield (
        "shift", "ignored is a bit", Case(Operation.SLLW, 5, 2), lambda _: {"b[0]": 3, "ignored": inverse(32)}, None,
    )  # fmt: skip
    # The result's bit 31 is 0; its sign is said to be -2^-15 = 65024, with 1 as the rest: upper limbs out of range.
    yield (
        "shift", "sign is a bit", Case(Operation.SLLW, 1, 0),
        lambda _: {"rest": 1, "sign": 65024, "result[2]": 65535 * 65024, "result[3]": 65535 * 65024}, None,
    )  # fmt: skip
    # SRL + SLL - SLL = SRL, by 3 + 1 - 0 limbs, that is none mod 64: of a shift by 1, all that is left is 0.
    yield (
        "shift", "is_left[0] is a bit", Case(Operation.SRL, 2**48, 65),
        lambda _: {"is_right[0]": 0, "is_right[3]": 1, "is_left[1]": 1, "is_left[0]": PRIME - 1, "result[2]": 0}, None,
    )  # fmt: skip

    yield "shift", "left by 1 limbs: limb 1", Case(Operation.SLL, 5, 16), lambda _: {"result[1]": 6}, None
    yield "shift", "left by 1 limbs: limb 2", Case(Operation.SLL, 5, 16), lambda _: {"result[2]": 6}, None
    yield "shift", "right by 2 limbs: limb 1", Case(Operation.SRL, 2**48, 32), lambda _: {"result[1]": 6}, None

    # MUL, MULH and MULHSU at once are operation 75 = 11 + 64, SLLIW by 0: it writes 0 instead of the word.
    yield (
        "multiply", "one operation at most", Case(Operation.MUL, 5, 0, 5, 6, 0),
        lambda _: {"is_mulh": 1, "is_mulhsu": 1, "a_is_negative": 1}, Operation.SLLW + IMMEDIATE_FLAG,
    )  # fmt: skip
    yield from cut_stories()
    yield from division_stories()


def cut_stories() -> Iterator[Story]:
    """The cut of an odd sum in multiply, S = low + 2^11 high, with one of its two range checks missing."""
    rng = random.Random(1)
    for n in range(7):
        operation = Operation.MULHU if n >= 3 else Operation.MUL

        # low: 2^11 2^12 = 2^23 moves from high to low. In limb n that is 2^8 2^23 = p + 2^24 - 1: p is forgotten.
        def low(cells: Cells, n: int = n) -> Cells:
            return {
                f"high[{n}]": cells[f"high[{n}]"] - 4096,
                f"low[{n}]": cells[f"low[{n}]"] + 2**23,
                f"carry[{n}]": cells[f"carry[{n}]"] + 256,
                f"product[{n}]": cells[f"product[{n}]"] - 1,
                f"product[{n + 1}]": cells[f"product[{n + 1}]"] - 32512,
            }

        # high: 1 moves from high, where it is 2^-11, to low. In limb n + 1 that is -8 2^-11 = -2^-8 = 127 2^16.
        def high(cells: Cells, n: int = n) -> Cells:
            return {
                f"low[{n}]": cells[f"low[{n}]"] + 1,
                f"high[{n}]": (cells[f"high[{n}]"] - inverse(2**11)) % PRIME,
                f"product[{n}]": cells[f"product[{n}]"] + 256,
                f"carry[{n + 1}]": cells[f"carry[{n + 1}]"] + 127,
                f"product[{n + 2}]": cells[f"product[{n + 2}]"] + 127,
            }

        def with_result(change: Callable[[Cells], Cells], start: int) -> Callable[[Cells], Cells]:
            def changed(cells: Cells) -> Cells:
                found = change(cells)
                for i in range(4):
                    if f"product[{start + i}]" in found:
                        found[f"result[{i}]"] = found[f"product[{start + i}]"]
                return found

            return changed

        start = 4 if n >= 3 else 0
        for item, change in (("low", low), *([("high", high)] if n < 6 else [])):
            forger = with_result(change, start)
            yield "multiply", f"{item}[{n}] in range", fitting("multiply", operation, forger, rng), forger, None


def division(operation: Operation, a: int, b: int, quotient: int, remainder: int, **given: int) -> Cells:
    """
    The cells of a division that claims these magnitudes: everything else as it follows, in integers.

    given: a_sign, b_sign, divisor, result (the chip's value unless said), or any cell by name, taken as it is.
    """
    is_word = operation >= Operation.DIVW
    is_signed = operation in (Operation.DIV, Operation.REM, Operation.DIVW, Operation.REMW)
    is_quotient = operation in (Operation.DIV, Operation.DIVU, Operation.DIVW, Operation.DIVUW)
    width = 32 if is_word else 64
    a_limbs, b_limbs = limbs_of(a), limbs_of(b)
    top = 1 if is_word else 3
    a_sign = given.pop("a_sign", a_limbs[top] >> 15 if is_signed else 0)
    b_sign = given.pop("b_sign", b_limbs[top] >> 15 if is_signed else 0)
    divisor = given.pop("divisor", (-b if b_sign else b) % 2**width)
    magnitude = quotient if is_quotient else remainder
    result_sign = a_sign ^ b_sign if is_quotient else a_sign
    result = (-magnitude if result_sign else magnitude) % 2**width
    result = given.pop("result", (result - (result >> 31 << 32)) % 2**64 if is_word else result)
    word_sign = limbs_of(result)[1] >> 15 if is_word else 0

    cells: Cells = {
        "a_is_negative": a_sign,
        "a_rest": (a_limbs[top] if is_signed else 0) - 2**15 * a_sign,
        "b_is_negative": 0 if is_word else b_sign,
        "b_is_negative_word": b_sign if is_word else 0,
        "b_rest": (b_limbs[top] if is_signed else 0) - 2**15 * b_sign,
        "divisor_is_zero": int(divisor == 0),
        "result_is_negative": 0 if is_word else result_sign,
        "result_is_negative_word": result_sign if is_word else 0,
        "word_sign": word_sign,
    }
    for name, value in (("quotient", quotient), ("remainder", remainder), ("magnitude", magnitude), ("result", result)):
        cells |= {f"{name}[{i}]": limb for i, limb in enumerate(limbs_of(value))}
    pieces = divisor.to_bytes(8, "little")
    cells |= {f"divisor[{j}]": pieces[j] for j in range(8)}
    cells |= {f"divisor_and[{i}]": pieces[2 * i] & pieces[2 * i + 1] for i in range(4)}

    sums = [0] * 8
    for i, limb in enumerate(limbs_of(quotient)):
        for j in range(8 - 2 * i):
            sums[2 * i + j] += limb * pieces[j]
    carry = 0
    for n in range(4):
        odd = sums[2 * n + 1]
        cells[f"low[{n}]"] = odd % 2**11 if n < 3 else odd
        total = sums[2 * n] + 2**8 * cells[f"low[{n}]"] + limbs_of(remainder)[n] + carry
        total += 8 * cells[f"high[{n - 1}]"] if n else 0
        total -= a_sign if n == 2 and is_word else 0
        if n < 3:
            cells[f"high[{n}]"] = odd // 2**11
            read = a_limbs[n] if n < 2 or not is_word else 0
            carry = (total + read if a_sign else total - read) >> 16
            cells[f"carry[{n}]"] = carry
    differs = next((i for i in (3, 2, 1, 0) if limbs_of(divisor)[i] != limbs_of(remainder)[i]), None)
    cells |= {f"differs_at[{i}]": int(divisor != 0 and i == differs) for i in range(4)}
    if divisor and differs is not None:
        cells["difference"] = limbs_of(divisor)[differs] - limbs_of(remainder)[differs]
    else:
        cells["difference"] = 0
    return {**cells, **given}


def limbs_of(value: int) -> list[int]:
    return [value >> 16 * i & 0xFFFF for i in range(4)]


def division_stories() -> Iterator[Story]:
    """Divisions with one constraint or look-up missing."""

    def story(item: str, operation: Operation, a: int, b: int, quotient: int, remainder: int, **given: int) -> Story:
        cells = division(operation, a, b, quotient, remainder, **given)
        return "divide", item, Case(operation, a, b), lambda _: cells, None

    def at(name: str, index: int) -> str:
        return f"{name}[{index}]"

    for n in range(3):
        # 127 2^16 moves from low to high, 4064 there: 2^8 127 2^16 = p - 1 is forgotten. D + R over D leaves 0.
        divisor, remainder = 0x7F01 << 16 * (n + 1), 0x7F00 << 16 * (n + 1) | 1 << 16 * n
        yield story(
            f"low[{n}] in range", Operation.REMU, divisor + remainder, divisor, 1, 0,
            **{at("low", n): -127 * 2**16, at("high", n): 4064},
            **division_carries(Operation.REMU, divisor + remainder, divisor, 1, remainder),
        )  # fmt: skip
    for n in range(2):
        # 1 moves from high, as 2^-11, to low: -8 2^-11 = 127 2^16 in the next limb.
        divisor, remainder = 128 << 16 * (n + 2), 127 << 16 * (n + 2) | 256 << 16 * n
        carries = division_carries(Operation.REMU, divisor + remainder, divisor, 1, remainder)
        carries[at("carry", n + 1)] += 127
        yield story(
            f"high[{n}] in range", Operation.REMU, divisor + remainder, divisor, 1, 0,
            **{at("low", n): 1, at("high", n): -inverse(2**11)}, **carries,
        )  # fmt: skip
    # A product far above 2^64, brought down by a negative high[2].
    yield story(
        "high[2] in range", Operation.DIVU, 0x00FD_FF00_0000_0000, 254, 32769 << 48, 0,
        **{"low[2]": 255, "high[2]": -8323073 * inverse(8), "carry[0]": 0, "carry[1]": 0, "carry[2]": 0},
    )  # fmt: skip
    # Likewise by a last odd sum of 127 2^16, 2^8 of which is -1.
    yield story(
        "low[3] in range", Operation.DIVU, 32767 << 48, 0xFE01, 1 << 63, 0,
        **{"carry[0]": 0, "carry[1]": 0, "carry[2]": 0},
    )  # fmt: skip
    for n in range(3):
        # 0 leaves 1 + 32512 2^16: the carry 2^-16 is -32512.
        yield story(
            f"carry[{n}] in range", Operation.REMU, 0, 2**63, 0, (1 | 32512 << 16) << 16 * n,
            **{at("carry", k): inverse(2**16) if k == n else 0 for k in range(3)},
        )  # fmt: skip
    # The word's sign is 2^-15 = -65024, 65535 times which is 65026.
    yield story(
        "word_sign is a bit", Operation.DIVUW, 0x5_0000, 1, 0x5_0000, 0,
        **{"word_sign": inverse(2**15), "result[2]": 65026, "result[3]": 65026},
    )  # fmt: skip
    # Two marks and one negative mark: the differences add up to something positive though the remainder is larger.
    yield story(
        "differs_at[2] is a bit", Operation.REMU, 5 << 48, 10 << 16, 0, 5 << 48,
        **{"differs_at[3]": 1, "differs_at[2]": -1, "differs_at[1]": 1, "difference": 5},
    )  # fmt: skip
    yield story(
        "differs_at[0] is a bit", Operation.REMU, 6, 1, 0, 6,
        **{"differs_at[3]": 1, "differs_at[1]": 1, "differs_at[0]": -1, "difference": 5},
    )  # fmt: skip
    yield story(
        "remainder: one mark", Operation.REMU, 1 << 48, 10, 0, 1 << 48,
        **{"differs_at[3]": 1, "differs_at[0]": 1, "difference": 9},
    )  # fmt: skip
    # A remainder equal to the divisor.
    yield story(
        "remainder: difference in range", Operation.REMU, 6, 3, 1, 3, **{"differs_at[0]": 1, "difference": 0},
    )  # fmt: skip
    # 9 - 3 = 6, in limb 3.
    yield story(
        "remainder[3] in range", Operation.DIVU, 6 << 48, 3 << 48, 3, 0,
        **{"remainder[3]": -3, "difference": 6, "carry[0]": 0, "carry[1]": 0, "carry[2]": 0},
    )  # fmt: skip
    for n in range(3):
        # 7 / 3 exactly.
        yield story(
            f"quotient[{n}] in range", Operation.REMU, 7 << 16 * n, 3, 0, 0,
            **{at("quotient", n): 7 * inverse(3), "carry[0]": 0, "carry[1]": 0, "carry[2]": 0},
        )  # fmt: skip
        # The upper byte of limb n is 2^-8 less, which is 127 2^16, and the lower one 1 more: the odd sum is 127 2^16,
        # and what is left out is p.
        divisor, remainder = 0x7F01 << 16 * (n + 1), 0x7F00 << 16 * (n + 1) | 1 << 16 * n
        yield story(
            f"bytes of divisor[{n}]", Operation.REMU, divisor + remainder, divisor, 1, 0,
            **{at("divisor", 2 * n): 1, at("divisor", 2 * n + 1): 127 * 2**16, at("low", n): 0, at("high", n): 4064},
            **division_carries(Operation.REMU, divisor + remainder, divisor, 1, remainder),
        )  # fmt: skip
    # 65024 times 2^15 is -1.
    yield story(
        "bytes of divisor[3]", Operation.REMU, 5 << 48, 2**63, 65024, 6 << 48,
        **{"divisor[6]": 2**15, "divisor[7]": 0, "low[3]": 0, "carry[0]": 0, "carry[1]": 0, "carry[2]": 0},
    )  # fmt: skip
    for n in range(4):
        right = 2**64 - 1
        yield story(f"quotient by zero: limb {n}", Operation.DIVU, 7, 0, right ^ 1 << 16 * n, 7)
    yield story(
        "result[0] in range", Operation.DIV, -(2**16) % 2**64, 1, 2**16, 0, **{"result[0]": 2**16, "result[1]": 0xFFFE},
    )  # fmt: skip
    # A 64-bit divisor of -(2^33 + 5) negated as a word: 5.
    yield story(
        "the divisor is negative in its own width", Operation.DIV, 100, -(2**33 + 5) % 2**64, 20, 0,
        divisor=5, b_is_negative=0, b_is_negative_word=1,
    )  # fmt: skip
    yield story(
        "negative word divisor: upper half", Operation.REMW, 100, -5 % 2**64, 0, 100, divisor=5 + 2**32,
    )  # fmt: skip
    # -5 with only its lower half negated.
    yield story(
        "the result is negative in its own width", Operation.DIV, -10 % 2**64, 2, 5, 0,
        result=2**32 - 5, result_is_negative=0, result_is_negative_word=1,
    )  # fmt: skip
    # A limb of 2^16, whose carry is taken from the limb above.
    yield story(
        "only a word form has a word sign", Operation.DIV, -(2**32) % 2**64, 1, 2**32, 0,
        **{"result[1]": 2**16, "result[2]": 0xFFFE, "word_sign": 1},
    )  # fmt: skip
    # 5 read as 5 - 2^64, and 5 as a divisor likewise.
    yield story("a_rest in range", Operation.REM, 5, 2**63, 1, 2**63 - 5, a_sign=1)
    yield story("b_rest in range", Operation.DIV, 100, 5, 0, 100, b_sign=1)
    # The product of limbs 3 and 1 stands above 2^64 and is not looked at.
    yield story("quotient * divisor has no upper half", Operation.DIVU, 5, 1 << 16, 1 << 48, 5)


def division_carries(operation: Operation, a: int, b: int, quotient: int, remainder: int) -> Cells:
    """The carries of an honest division."""
    return {c: v for c, v in division(operation, a, b, quotient, remainder).items() if c.startswith("carry")}


def fitting(name: str, operation: Operation, change: Callable[[Cells], Cells], rng: random.Random) -> Case:
    """A step in which no changed cell but the broken ones leaves 16 bits: found by trying."""
    while True:
        case = Case(operation, rng.getrandbits(64) | 2**63 | 2**31, rng.getrandbits(64) | 2**63 | 2**31)
        honest = cells_of(name, case)
        changed = change(honest)
        limbs = (v for c, v in changed.items() if c.startswith(("product", "result")))
        carries = (v for c, v in changed.items() if c.startswith("carry"))
        if all(0 <= v < 2**16 for v in limbs) and all(v < 2**11 - 2 for v in carries) and min(changed.values()) >= 0:
            return case


def cells_of(name: str, case: Case) -> Cells:
    """The honest row of a step by column name."""
    chip = chip_named(name)
    row = run(chip, [case], 1).matrix[0]
    return {cell.name: int(v) for cell, v in zip(chip.cells(Phase.MAIN), row, strict=True)}


def main() -> None:
    for name, item, case, change, other in stories():
        chip = chip_named(name)
        true = run(chip, [case], 1)
        names = [cell.name for cell in chip.cells(Phase.MAIN)]
        row = true.matrix[0].copy()
        changed = change({n: int(v) for n, v in zip(names, row, strict=True)})
        for column, value in changed.items():
            row[names.index(column)] = value % PRIME
        program = true.program.copy()
        if other is not None:
            program["operation"] = other
        judge = Judge(chip, program)
        refused, problems = judge.refused_by(row), falsehoods(judge, row)
        assert refused == [item], (name, item, refused, problems)
        assert problems and problems[0] != UNREACHABLE, (name, item, problems)
        event = true.events[0]
        fields = [n for n in event.dtype.names if n not in ("pc", "instruction")]
        found: dict[str, Any] = {
            "false": problems,
            "line": line_of(true.program, FIRST_PC),
            "event": {n: int(event[n]) for n in fields if event[n]},
            "changed": {c: v % PRIME for c, v in changed.items()},
        }
        if other is not None:
            found["program"] = line_of(program, FIRST_PC)
        path = FOLDER / f"{name}.json"
        known = json.loads(path.read_text())
        known[item] = found
        path.write_text(written(known, [c.name for c in chip.constraints] + [m.label for m in chip.messages]))


if __name__ == "__main__":
    main()
