"""
Rows of the wide chips that claim something false and break as little as possible.

The idea behind most of them: the equations hold over the integers because every step of a carry chain holds modulo p
(the small prime, `PRIME` here) and nothing in it is large. A forger who may break one rule wants a sum S that is not
0:
- `Equation.defect` = 256^m: the chain is honest for S - 256^m, and one step of it is wrong;
- `Equation.defect` = f PRIME 256^m: S is 0 to everybody who counts modulo PRIME, and one carry is too large by about
  f PRIME / 2^16 = 32512 f;
- `alter_bytes`, `alter_limbs`: two digits of a number are replaced by two that stand for the same number, (lo - 256 d,
  hi + d), which brings that carry back into its range if another factor has few digits. d is any element of the field;
- `Excess`: one digit of a quotient is any element of the field. With it go defects f PRIME 256^m in every step that has
  the digit, so that each of their carries is off by what is left of the digit's multiple modulo PRIME.

Digits are exact integers here, reduced at the end; only carries are computed modulo PRIME.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from wide_kit import GX, GY, P, columns_of, event_of, run

from zkvm.chips import arith256, arith256_mod, secp256k1_add, secp256k1_double
from zkvm.chips.counts import new_counts
from zkvm.chips.gadgets.wide import curve
from zkvm.chips.gadgets.wide.digits import DigitSum, Step, of_bytes, of_limbs
from zkvm.chips.gadgets.wide.prime_field import TERMS, fill_canonical
from zkvm.field.koala_bear import PRIME

MODULES: dict[str, ModuleType] = {
    "arith256": arith256,
    "arith256_mod": arith256_mod,
    "secp256k1_add": secp256k1_add,
    "secp256k1_double": secp256k1_double,
}

TOP = 2**256

SIGN = 16
"""What stands at 2^256 in a quotient, as a digit after the 16 limbs: a bit that counts downwards, or a top."""

Defects = dict[str, list[tuple[int, int]]]


def sum_of(defects: Defects, equation: str) -> int:
    """What an equation's sum is."""
    return sum(amount * 256**position for position, amount in defects.get(equation, []))


def bytes_of(value: int, count: int = 32) -> list[int]:
    """The bytes of a number."""
    return [value >> 8 * i & 0xFF for i in range(count)]


def number_of_bytes(digits: Sequence[int]) -> int:
    """The number of these bytes."""
    return sum(digit << 8 * i for i, digit in enumerate(digits))


def limbs_of(value: int, count: int = 16) -> list[int]:
    """The limbs of a number."""
    return [value >> 16 * i & 0xFFFF for i in range(count)]


@cache
def steps_of(name: str, equation: str) -> tuple[Step, ...]:
    """How the chip cuts an equation into steps."""
    return {"x3": curve._X_STEPS, "y3": curve._Y_STEPS}.get(equation) or MODULES[name]._STEPS


def boundaries(name: str, equation: str) -> list[int]:
    """The first position of each step."""
    return [step.start for step in steps_of(name, equation)]


@dataclass
class Forgery:
    """
    The cells of one row, in exact integers, by column name; what is not in `cells` is as `fill` left it.

    defects: by equation, (position, amount) pairs: the equation's sum is that of amount 256^position, and its carries
    pretend that it is 0.
    """

    name: str
    base: np.ndarray
    cells: dict[str, int] = field(default_factory=dict)
    defects: Defects = field(default_factory=dict)

    def put(self, prefix: str, values: Sequence[int]) -> None:
        """Sets an array's cells."""
        for i, value in enumerate(values):
            self.cells[f"{prefix}[{i}]"] = value

    def array(self, prefix: str, count: int) -> list[int]:
        """An array's cells."""
        return [self.get(f"{prefix}[{i}]") for i in range(count)]

    def get(self, column: str) -> int:
        """One cell, exact where it was put."""
        return self.cells[column] if column in self.cells else int(self.base[index_of(self.name)[column]])

    def put_bytes(self, prefix: str, value: int) -> None:
        """Sets a Bytes256."""
        digits = bytes_of(value)
        self.put(f"{prefix}.byte", digits)
        self.put(f"{prefix}.conjunction", [digits[2 * i] & digits[2 * i + 1] for i in range(16)])

    def alter_bytes(self, prefix: str, limb: int, delta: int) -> None:
        """The same number with (lo - 256 delta, hi + delta) in one limb."""
        self.cells[f"{prefix}.byte[{2 * limb}]"] = self.get(f"{prefix}.byte[{2 * limb}]") - 256 * delta
        self.cells[f"{prefix}.byte[{2 * limb + 1}]"] = self.get(f"{prefix}.byte[{2 * limb + 1}]") + delta

    def alter_limbs(self, prefix: str, limb: int, delta: int) -> None:
        """The same number with 2^16 delta more in one limb and delta less in the next."""
        self.cells[f"{prefix}[{limb}]"] = self.get(f"{prefix}[{limb}]") + 65536 * delta
        self.cells[f"{prefix}[{limb + 1}]"] = self.get(f"{prefix}[{limb + 1}]") - delta

    def put_canonical(self, prefix: str, value: int) -> None:
        """Sets a Canonical as `fill` would."""
        cells = fill_canonical(np.array(limbs_of(value), dtype=np.int64), new_counts(1))
        for column, cell in zip(("is_large", "is_largest", "inverse", "rest"), cells, strict=True):
            self.cells[f"{prefix}.{column}"] = int(cell)

    def row(self) -> np.ndarray:
        """
        The row, carries filled in: in the field, each step leaves one. Raises AssertionError if an equation's sum is
        not its defect there.
        """
        for equation, total in self.equations().items():
            values = list(total.values)
            for position, amount in self.defects.get(equation, []):
                values[position] -= amount
            carry = 0
            steps = steps_of(self.name, equation)
            for i, step in enumerate(steps):
                carry += sum(256**j * values[step.start + j] for j in range(step.width))
                if step.bits is None:
                    assert carry % PRIME == 0, (self.name, equation)
                    break
                carry = carry * pow(256, -step.width, PRIME) % PRIME
                self.cells[f"{carry_column(equation)}[{i}]"] = carry
        row = self.base.copy()
        for column, value in self.cells.items():
            row[index_of(self.name)[column]] = value % PRIME
        return row

    def equations(self) -> dict[str, DigitSum]:
        """The sums that should be 0, of this row's digits."""
        module: Any = MODULES[self.name]

        def digits(prefix: str) -> Any:
            return of_bytes(self.array(f"{prefix}.byte", 32))

        def number(prefix: str, count: int = 16) -> Any:
            return of_limbs(self.array(prefix, count))

        if self.name == "arith256":
            return {"product": module.difference(digits("a"), digits("b"), number("c"), number("result", 32))}
        if self.name == "arith256_mod":
            quotient = of_bytes(self.array("quotient[0].byte", 32) + self.array("quotient[1].byte", 32))
            return {
                "division": module.difference(
                    digits("a"), digits("b"), number("c"), quotient, digits("m"), number("result")
                )
            }
        slope, x3, y3 = digits("third.slope"), digits("third.x"), number("third.y")
        real = self.get("is_real")
        if self.name == "secp256k1_add":
            x1, x2, y1, y2 = digits("x1"), digits("x2"), number("y1"), number("y2")
            first = module.slope_sum(slope, x1, x2, y1, y2, number("quotient"), self.get("is_negative"))
        else:
            x1 = x2 = digits("x")
            y = self.array("y.byte", 32)
            y1 = of_limbs([y[2 * i] + 256 * y[2 * i + 1] for i in range(16)])
            first = module.slope_sum(
                slope, x1, digits("y"), number("quotient"), self.get("top") - module.TOP_OFFSET * real
            )
        return {
            "slope": first,
            "x3": curve.x_sum(slope, x1, x2, x3, number("third.x_quotient"), real),
            "y3": curve.y_sum(slope, x1, x3, y1, y3, number("third.y_quotient"), self.get("third.y_is_negative")),
        }


@dataclass(frozen=True)
class Excess:
    """A digit (limb or SIGN) of an equation's quotient is larger by `amount` than it should be."""

    name: str
    equation: str
    digit: int
    amount: int

    @property
    def column(self) -> str:
        """The digit's cell."""
        if self.equation == "slope":
            prefix, sign = "quotient", "is_negative" if self.name == "secp256k1_add" else "top"
        else:
            prefix, sign = "third.y_quotient", "third.y_is_negative"
        return sign if self.digit == SIGN else f"{prefix}[{self.digit}]"

    @property
    def direction(self) -> int:
        """The sign with which the digit counts."""
        return -1 if self.digit == SIGN and self.column != "top" else 1

    def of_quotient(self) -> int:
        """By what the quotient is larger."""
        return self.direction * self.amount * 65536**self.digit

    def defects(self) -> Defects:
        """For each step, the multiple of PRIME nearest to what the excess adds to its total."""
        found = []
        for step in steps_of(self.name, self.equation):
            places = [(2 * self.digit + place - step.start, term) for place, term in TERMS]
            weight = sum(term * 256**place for place, term in places if 0 <= place < step.width)
            wraps = (-2 * self.direction * weight * self.amount + PRIME) // (2 * PRIME)
            if wraps:
                found.append((step.start, wraps * PRIME))
        return {self.equation: found}


def carry_column(equation: str) -> str:
    """Where an equation's carries stand."""
    return {"x3": "third.x_carry", "y3": "third.y_carry"}.get(equation, "carry")


@cache
def index_of(name: str) -> dict[str, int]:
    """Column name -> index."""
    return {column: i for i, column in enumerate(columns_of(name))}


def blank(name: str, numbers: Sequence[int], results: Sequence[int], seed: int = 0) -> Forgery:
    """A forgery that starts from what `fill` makes of these operands and results, whatever they are."""
    event = event_of(name, numbers, random.Random(seed), results)
    return Forgery(name, run(name, [event]).matrix[0].copy())


def arithmetic(
    name: str, numbers: Sequence[int], defect: tuple[int, int] = (0, 0), result: int | None = None, real: int = 1
) -> Forgery | None:
    """arith256 and arith256_mod with a b + c - (result, or q m + r) = defect; None where no such numbers fit."""
    a, b, c, *rest = numbers
    rest_value = a * b + c - defect[1] * 256 ** defect[0]
    if name == "arith256":
        if not 0 <= rest_value < TOP * TOP:
            return None
        forgery = blank(name, numbers, (rest_value % TOP, rest_value // TOP))
        forgery.defects["product"] = [defect]
    else:
        [m] = rest
        r = rest_value % m if result is None else result
        # Any q goes with m = 0.
        q, left = divmod(rest_value - r, m) if m else (77, rest_value - r)
        if rest_value < 0 or left or not 0 <= q < TOP * TOP:
            return None
        forgery = blank(name, numbers, (r,))
        forgery.put_bytes("quotient[0]", q % TOP)
        forgery.put_bytes("quotient[1]", q // TOP)
        forgery.defects["division"] = [defect]
    forgery.cells["is_real"] = real
    return forgery


def curve_row(
    name: str,
    numbers: Sequence[int],
    slope: int,
    x3: int,
    y3: int,
    defects: Defects | None = None,
    real: int = 1,
    excess: Excess | None = None,
) -> Forgery | None:
    """
    A curve operation with these operands, slope and result, whose three sums are the defects, the excess included;
    None if they cannot be.

    Operands and result need not be below p; canonical cells are what `fill` makes of them.
    """
    defects = defects or {}
    forgery = blank(name, numbers, (x3, y3))
    forgery.cells["is_real"] = real
    forgery.defects = dict(defects)
    forgery.put_bytes("third.slope", slope)
    forgery.put_bytes("third.x", x3)

    def quotient(equation: str, value: int) -> int | None:
        q, rest = divmod(value - sum_of(defects, equation), P)
        if excess is not None and excess.equation == equation:
            q -= excess.of_quotient()
        return None if rest else q

    if name == "secp256k1_add":
        x1, y1, x2, y2 = numbers
        first = quotient("slope", slope * (x2 - x1) - (y2 - y1))
    else:
        x1, y1 = numbers
        x2 = x1
        first = quotient("slope", 2 * slope * y1 - 3 * x1 * x1)
    second = quotient("x3", slope * slope - x1 - x2 - x3 + curve.X_OFFSET * real * P)
    third = quotient("y3", slope * (x1 - x3) - y1 - y3)
    if first is None or second is None or third is None:
        return None
    if not (0 <= second < TOP and -TOP <= third < TOP):
        return None
    forgery.put("quotient", limbs_of(first % TOP))
    if name == "secp256k1_add":
        if not -TOP <= first < TOP:
            return None
        forgery.cells["is_negative"] = int(first < 0)
    else:
        if not -4 * TOP <= first < 4 * TOP:
            return None
        forgery.cells["top"] = first // TOP + 4 * real
    forgery.put("third.x_quotient", limbs_of(second))
    forgery.put("third.y_quotient", limbs_of(third % TOP))
    forgery.cells["third.y_is_negative"] = int(third < 0)
    if excess is not None:
        forgery.cells[excess.column] += excess.amount
    return forgery


def chord(
    name: str, numbers: Sequence[int], slope: int, defects: Defects | None = None, excess: Excess | None = None
) -> Forgery | None:
    """
    `curve_row` with the result that the slope and the defects of x3 and y3 leave; the defect of the slope is the
    caller's.
    """
    defects = defects or {}
    x1, y1 = numbers[:2]
    x2 = numbers[2] if name == "secp256k1_add" else x1
    x3 = (slope * slope - x1 - x2 - sum_of(defects, "x3")) % P
    y3 = (slope * (x1 - x3) - y1 - sum_of(defects, "y3")) % P
    return curve_row(name, numbers, slope, x3, y3, defects, excess=excess)


def exceeding(excess: Excess, slope: int, x1: int, other: int) -> Forgery | None:
    """A line through x1 and, for addition, x2 = other, false by an excess alone."""
    defects = excess.defects()
    numbers = with_slope(excess.name, slope, x1, other, sum_of(defects, "slope"))
    return chord(excess.name, numbers, slope, defects, excess) if numbers else None


def with_slope(name: str, slope: int, x1: int, other: int, defect: int = 0) -> tuple[int, ...] | None:
    """
    Operands for which the slope's sum is congruent to `defect` modulo p: add: (x1, y1, x2, y2) with x2 = other;
    double: (x1, y).

    None where there are none.
    """
    if name == "secp256k1_add":
        y1 = GY
        return x1, y1, other, (y1 + slope * (other - x1) - defect) % P
    if slope % P == 0:
        return None
    y = (3 * x1 * x1 + defect) * pow(2 * slope, -1, P) % P
    return (x1, y) if y else None


Groups = dict[str, Iterator[Forgery | None]]
"""What should refuse, a name of a constraint or message, and forgeries to try until one is refused by nothing else."""

TRIES = 60
FACTORS = (1, -1, 2, -2, 3, -3)
STEP = 32512
"""PRIME / 2^16, rounded: by so much a carry is off."""


def groups(name: str) -> Groups:
    """The forgeries of a chip."""
    found: Groups = dict(accesses_from_the_future(name))
    found.update((arithmetic_groups if name.startswith("arith") else curve_groups)(name))
    return found


def accesses_from_the_future(name: str) -> Iterator[tuple[str, Iterator[Forgery]]]:
    """The gap is negative, in its low or in its high part."""
    numbers = {
        "arith256": (3, 5, 7),
        "arith256_mod": (3, 5, 7, 11),
        "secp256k1_add": (GX, GY, 5, 6),
        "secp256k1_double": (GX, GY),
    }[name]
    base = run(name, [event_of(name, numbers, random.Random(3))]).matrix[0]
    labels = {"read": "operand", "written": "result", "p_access": "P", "q_access": "Q"}
    for column in columns_of(name):
        if not column.endswith(".previous_clk"):
            continue
        access = column[: -len(".previous_clk")]
        group, number = access[:-1].split("[")
        time = int(base[index_of(name)["clk"]]) + (4 if group == "written" else 3)
        for part, low in (("gap_low", -5), ("gap_high", 65531)):
            cells = {f"{access}.previous_clk": time + 4, f"{access}.gap_low": low}
            yield f"{labels[group]} {number}: {part} in range", iter([Forgery(name, base, cells)])


def arithmetic_groups(name: str) -> Iterator[tuple[str, Iterator[Forgery | None]]]:
    is_mod = name == "arith256_mod"
    equation = "division" if is_mod else "product"

    def operands(rng: random.Random, is_large: bool = True) -> list[int]:
        values = [rng.getrandbits(256) | 1 << 255 for _ in range(4 if is_mod else 3)]
        if is_mod and not is_large:
            values[3] = rng.getrandbits(100) | 1
        return values

    def wrong(item: str, position: int, amounts: Sequence[int]) -> Iterator[Forgery | None]:
        rng = random.Random(item)
        for _ in range(4):
            for amount in amounts:
                yield arithmetic(name, operands(rng, rng.random() < 0.5), (position, amount))

    def no_limb(limb: int) -> Iterator[Forgery | None]:
        rng = random.Random(limb)
        for sign in (1, -1) * 4:
            forgery = arithmetic(name, operands(rng))
            assert forgery is not None
            forgery.alter_limbs("result", limb, sign)
            if is_mod:
                keep_order(forgery)
            yield forgery

    def no_bytes(prefix: str, other: str, limb: int) -> Iterator[Forgery | None]:
        # The other factor has one digit, at an odd place.
        rng = random.Random(f"{prefix} {limb}")
        for factor, slack in ((f, s) for f in (1, -1) for s in (0, -60, 60)):
            values = dict(zip("abcm", operands(rng), strict=False))
            values[other] = 256
            forgery = arithmetic(name, tuple(values.values()), (2 * limb, factor * PRIME))
            if forgery is not None:
                forgery.alter_bytes(prefix, limb, -factor * STEP - slack)
            yield forgery

    steps = steps_of(name, equation)
    for i, step in enumerate(steps):
        is_last = i == len(steps) - 1
        item = f"{equation}: the rest is 0" if is_last else f"{equation}: step {i}"
        yield item, wrong(item, step.start, (1, -1))
        if not is_last:
            item = f"{equation}: carry {i} in range"
            yield item, wrong(item, step.start, [factor * PRIME for factor in FACTORS])
    for limb in range(15 if is_mod else 31):
        yield f"result[{limb}] in range", no_limb(limb)
    for limb in range(16):
        yield f"a: bytes of limb {limb}", no_bytes("a", "b", limb)
        yield f"b: bytes of limb {limb}", no_bytes("b", "a", limb)
    if is_mod:
        yield from division_groups(name)
    else:
        yield "is_real is a bit", iter([arithmetic(name, (5, 7, 11), real=2)])


def division(q: int, m: int, r: int, defect: tuple[int, int] = (0, 0), real: int = 1) -> Forgery | None:
    """a b + c - q m - r = defect with q, m, r given and a = 2^64 or 2^255."""
    total = q * m + r + defect[1] * 256 ** defect[0]
    for a in (1 << 64, 1 << 255):
        if 0 <= total < a * TOP:
            return arithmetic("arith256_mod", (a, total // a, total % a, m), defect, r, real)
    return None


def keep_order(forgery: Forgery) -> None:
    """
    Sets the order's cells of a result with limbs that are none, by the highest limb in which it differs from the
    modulus.
    """
    m = forgery.array("m.byte", 32)
    marks = [0] * 16
    for i in reversed(range(16)):
        difference = m[2 * i] + 256 * m[2 * i + 1] - forgery.get(f"result[{i}]")
        if difference:
            marks[i] = 1
            forgery.cells["order.difference"] = difference
            break
    forgery.put("order.differs_at", marks)


def division_groups(name: str) -> Iterator[tuple[str, Iterator[Forgery | None]]]:
    def no_bytes(prefix: str, limb: int, start: int) -> Iterator[Forgery | None]:
        rng = random.Random(f"{prefix} {limb}")
        for factor, slack in ((f, s) for f in (1, -1) for s in (0, -60, 60)):
            defect = 2 * (start + limb), factor * PRIME
            m = rng.getrandbits(250) | 1 << 249
            if prefix == "m":
                forgery = division(256, m, m - rng.getrandbits(200), defect)
            else:
                # Digits of m at even places do not matter.
                forgery = arithmetic(
                    "arith256_mod", [rng.getrandbits(256) | 1 << 255 for _ in range(3)] + [257 + (200 << 240)], defect
                )
            if forgery is not None:
                forgery.alter_bytes(prefix, limb, factor * STEP + slack)
            yield forgery

    def marked(
        above: dict[int, int], marks: dict[int, int], difference: int | None = None, real: int = 1
    ) -> Iterator[Forgery | None]:
        """A result whose limbs exceed the modulus' by `above`, with these marks."""
        rng = random.Random(str(above))
        m = sum(rng.randrange(1000, 64000) << 16 * i for i in range(16))
        r = m + sum(more << 16 * i for i, more in above.items())
        forgery = division(rng.getrandbits(60) + 1, m, r, real=real)
        assert forgery is not None
        forgery.put("order.differs_at", [marks.get(i, 0) for i in range(16)])
        found = sum(mark * -above.get(i, 0) for i, mark in marks.items())
        forgery.cells["order.difference"] = found if difference is None else difference
        yield forgery

    def negative() -> Iterator[Forgery | None]:
        """r - m with q + 1; the top limb is negative."""
        forgery = division(1000, 2**252 + 5, 3)
        assert forgery is not None
        r = 3 - (2**252 + 5)
        forgery.put("result", [*limbs_of(r % 2**240, 15), r >> 240])
        forgery.put_bytes("quotient[0]", 1001)
        keep_order(forgery)
        yield forgery

    for limb in range(16):
        yield f"m: bytes of limb {limb}", no_bytes("m", limb, 0)
        for part in range(2):
            yield f"quotient {part}: bytes of limb {limb}", no_bytes(f"quotient[{part}]", limb, 16 * part)
    yield "result[15] in range", negative()
    for i in range(1, 16):
        yield f"result: limb {i} is equal above the mark", marked({i: 1, 0: -1}, {0: 1})
    yield "result: one mark", marked({9: 1, 0: -5}, {9: 1, 0: 1})
    yield "result: the difference at the mark", marked({9: 1}, {9: 1}, 1)
    yield "result: difference in range", marked({9: 1}, {9: 1})
    for i in range(2, 15):
        yield f"order.differs_at[{i}] is a bit", marked({15: 1, 1: -5}, {15: 1, i: -1, 1: 1})
    yield "order.differs_at[1] is a bit", marked({15: 1, 0: -5}, {15: 1, 1: -1, 0: 1})
    yield "order.differs_at[0] is a bit", marked({15: 1, 0: 5}, {15: 1, 14: 1, 0: -1})
    yield "is_real is a bit", marked({3: -7}, {9: 1, 3: 1}, real=2)


def curve_groups(name: str) -> Iterator[tuple[str, Iterator[Forgery | None]]]:
    is_add = name == "secp256k1_add"
    operand_names = ("x1", "y1", "x2", "y2") if is_add else ("x", "y")

    def generic(rng: random.Random, defect: int = 0) -> tuple[tuple[int, ...], int]:
        slope = rng.randrange(1, P)
        numbers = with_slope(name, slope, rng.randrange(P), rng.randrange(P), defect)
        assert numbers is not None
        return numbers, slope

    def wrong(item: str, equation: str, position: int, amounts: Sequence[int]) -> Iterator[Forgery | None]:
        rng = random.Random(item)
        while True:
            for amount in amounts:
                defect = amount * 256**position if equation == "slope" else 0
                numbers, slope = generic(rng, defect)
                if not is_add and equation == "slope" and rng.random() < 0.5:
                    # Carries as low as they can be: x all ones, y = 1.
                    x = TOP - 1 - (1 << rng.randrange(33, 256))
                    numbers, slope = (x, 1), (3 * x * x + defect) * pow(2, -1, P) % P
                yield chord(name, numbers, slope, {equation: [(position, amount)]})

    def with_low_carry(item: str, position: int) -> Iterator[Forgery | None]:
        # Doubling, a step of one position whose next carry goes up by STEP. It is as low as it can be then: x is all
        # ones where it matters, y has one bit, and the limb of the quotient there is large, below 2^256 in one of many
        # rows, above it because of the random slope.
        rng = random.Random(item)
        following = position + 1
        y = 1 if following < 32 else 256**20
        defect = -PRIME * 256**position
        while True:
            digits = [255 if following - 31 <= i <= following else rng.randrange(256) for i in range(32)]
            x = number_of_bytes(digits)
            slope = (3 * x * x + defect) * pow(2 * y, -1, P) % P
            limb = (2 * slope * y - 3 * x * x - defect) // P >> 8 * (following % 32) & 0xFFFF
            if limb > (64500 if following < 32 else 4096):
                yield chord(name, (x, y), slope, {"slope": [(position, -PRIME)]})

    def no_limb_of_y(limb: int) -> Iterator[Forgery | None]:
        rng = random.Random(limb)
        for sign in (1, -1) * 4:
            forgery = chord(name, *generic(rng))
            if forgery is None:
                continue
            forgery.alter_limbs("third.y", limb, sign)
            recompute_canonical(forgery, "third.y_canonical", forgery.array("third.y", 16))
            yield forgery

    def no_bytes_of_x(limb: int) -> Iterator[Forgery | None]:
        rng = random.Random(limb)
        for sign in (1, -1) * 4:
            forgery = chord(name, *generic(rng))
            if forgery is None:
                continue
            low, high = (f"third.x.byte[{2 * limb + k}]" for k in (1, 2))
            forgery.cells[low] = forgery.get(low) + 256 * sign
            forgery.cells[high] = forgery.get(high) - sign
            digits = forgery.array("third.x.byte", 32)
            # The next limb's bytes stay bytes: their AND is the right one.
            forgery.put("third.x.conjunction", [max(digits[2 * i], 0) & max(digits[2 * i + 1], 0) for i in range(16)])
            recompute_canonical(
                forgery, "third.x_canonical", [digits[2 * i] + 256 * digits[2 * i + 1] for i in range(16)]
            )
            yield forgery

    def past_the_top(which: str) -> Iterator[Forgery | None]:
        rng = random.Random(which)
        while True:
            yield larger_by_p(name, *generic(rng), which)

    def no_limb_of_quotient(item: str, equation: str, prefix: str, limb: int) -> Iterator[Forgery | None]:
        # 977 * 33 = 32512 - 271 and 977 * 133 = 4 * 32512 - 107; where a step ends between a limb's bytes, 256 * 127
        # = 32512 matters as well.
        rng = random.Random(item)
        starts = boundaries(name, equation)
        while True:
            for factor in (1, -1):
                position, upper = 2 * limb, 2 * limb + 32
                for weight, defects in (
                    (33, [(position, PRIME)]),
                    (29, [(position, PRIME)]),
                    (130, [(position, 4 * PRIME), (upper - 1, -PRIME)]),
                    (133, [(position, 4 * PRIME), (upper - 1, -PRIME)]),
                ):
                    if not all(place in starts for place, _ in defects):
                        continue
                    scaled = [(place, factor * amount) for place, amount in defects]
                    numbers, slope = generic(rng, sum_of({"slope": scaled}, "slope") if equation == "slope" else 0)
                    forgery = chord(name, numbers, slope, {equation: scaled})
                    if forgery is not None:
                        forgery.alter_limbs(prefix, limb, factor * weight)
                    yield forgery

    def no_digit_of_quotient(item: str, equation: str, digit: int) -> Iterator[Forgery | None]:
        rng = random.Random(item)
        while True:
            for amount in QUOTIENT_EXCESS[digit]:
                excess = Excess(name, equation, digit, amount)
                line = rng.randrange(1, P), rng.randrange(P), rng.randrange(P)
                if digit == 13:
                    line = steep(name, rng, equation, -235, 0)
                elif digit == 15:
                    line = steep(name, rng, equation, 0, 240)
                forgery = exceeding(excess, *line)
                if forgery is not None and digit == 15:
                    # The same quotient with its sign set: limb 15 is near 2^17 then, and pulls carry 15 down.
                    sign = Excess(name, equation, SIGN, 0).column
                    forgery.cells[excess.column] += 65536 * (1 - forgery.cells[sign])
                    forgery.cells[sign] = 1
                yield forgery

    def twice() -> Iterator[Forgery | None]:
        rng = random.Random(5)
        while True:
            numbers, slope = generic(rng)
            x1, x2 = numbers[0], numbers[2] if is_add else numbers[0]
            x3 = (slope * slope - x1 - x2) % P
            y3 = (slope * (x1 - x3) - numbers[1]) % P
            forgery = curve_row(name, numbers, slope, x3, y3, real=2)
            if forgery is None:
                continue
            for column in columns_of(name):
                if column == "y_inverse" or column.startswith("column_weight"):
                    forgery.cells[column] = 2 * forgery.get(column)
            prefixes = [f"operand[{i}]" for i in range(len(numbers))] + ["third.x_canonical", "third.y_canonical"]
            for prefix, value in zip(prefixes, [*numbers, x3, y3], strict=True):
                total = 2 * sum(2 * 0xFFFF - limb for limb in limbs_of(value)[3:])
                forgery.cells[f"{prefix}.inverse"] = 2 * pow(total, -1, PRIME)
            yield forgery

    for equation in ("slope", "x3", "y3"):
        steps = steps_of(name, equation)
        for i, step in enumerate(steps):
            is_last = i == len(steps) - 1
            item = f"{equation}: the rest is 0" if is_last else f"{equation}: step {i}"
            yield item, wrong(item, equation, step.start, (1, -1))
            if not is_last:
                item = f"{equation}: carry {i} in range"
                if not is_add and equation == "slope" and i in LOW_CARRIES:
                    yield item, with_low_carry(item, step.start)
                else:
                    yield item, wrong(item, equation, step.start, [factor * PRIME for factor in FACTORS])
    for limb in range(15):
        yield f"y3[{limb}] in range", no_limb_of_y(limb)
        yield f"x3: bytes of limb {limb}", no_bytes_of_x(limb)
    for equation, prefix, label, count in (
        ("slope", "quotient", "quotient of the slope", 13 if is_add else 6),
        ("x3", "third.x_quotient", "quotient of x3", 15),
        ("y3", "third.y_quotient", "quotient of y3", 13),
    ):
        for limb in range(count):
            item = f"{label}[{limb}] in range"
            yield item, no_limb_of_quotient(item, equation, prefix, limb)
        if count == 13:
            for limb in (13, 14, 15):
                item = f"{label}[{limb}] in range"
                yield item, no_digit_of_quotient(item, equation, limb)
            item = f"{Excess(name, equation, SIGN, 0).column} is a bit"
            yield item, no_digit_of_quotient(item, equation, SIGN)
    yield "y3[15] in range", past_the_top("y")
    yield "x3: bytes of limb 15", past_the_top("x")
    yield "is_real is a bit", twice()
    yield from canonical_groups(name, operand_names)
    yield from (add_groups if is_add else double_groups)(name)


LOW_CARRIES = (7, 31, 33, 35, 37, 39, 41)
"""Of the slope of a doubling: where the next carry's range is hardly wider than STEP."""

QUOTIENT_EXCESS = {
    13: (256 * (32512 - 3200),),
    14: tuple(round(j * PRIME / 256) for j in range(1, 256) if min(977 * j % 256, -977 * j % 256) < 30),
    15: (127 * 65536 * 49,),
    SIGN: (127 * 65536 * 5, -127 * 65536 * 5),
}
"""
By digit, amounts of an `Excess`: near multiples of PRIME / 256, next to 127 * 65536, where steps of two positions take
256 times the digit.
13: 3, 0 and 1 PRIME are taken off its 977-fold, itself and its 256-fold. What is left lifts carries 13, 15 and 29 by
    more than half of their ranges, for which only lines have room whose carries are low in all three places.
14: its 256-fold and its 977-fold are near multiples of PRIME.
15: 47 * 49 = -1 modulo 256, so that carry 15 goes up by STEP; 4 * 49 is near 256, for carry 16.
SIGN: 47 * 5 is near 256, and 4 * 5 near 0, for carries 16 and 17.
"""


def steep(name: str, rng: random.Random, equation: str, low: int, top: int) -> tuple[int, int, int]:
    """
    A slope with large digits, x1, and for addition x2. In the equation (of the slope or of y3) the slope multiplies a
    difference; its digits are near `low`, the last one near `top`. In doubling, `low` is a sign only: with 0 they are any
    digits.
    """
    slope = number_of_bytes([rng.randrange(240, 256) for _ in range(32)])
    wanted = [low + rng.randrange(-15, 16) for _ in range(31)] + [top]
    plus = number_of_bytes([max(digit, 0) for digit in wanted])
    minus = number_of_bytes([max(-digit, 0) for digit in wanted])
    if name == "secp256k1_add":
        return (slope, minus, plus) if equation == "slope" else (slope, plus, (slope * slope - plus - minus) % P)
    # x3 = slope^2 - 2 x1: a digit of x1 is 0 under a large digit of the square, and borrows otherwise.
    digits, borrow = [], 0
    for i, digit in enumerate(bytes_of(slope * slope % P)):
        left = digit - borrow
        if i == 31:
            digits.append((left + 256) // 2 if top else max(left, 0) // 3)
        elif low:
            digits.append(0 if left >= 170 else left // 2 + 1)
        else:
            digits.append(rng.randrange(256))
        borrow = int(2 * digits[-1] > left)
    return slope, number_of_bytes(digits), 0


def recompute_canonical(forgery: Forgery, prefix: str, limbs: Sequence[int]) -> None:
    """The case of ordinary numbers, for limbs that are none."""
    total = sum(0xFFFF - limb for limb in limbs[3:])
    if total % PRIME:
        forgery.cells[f"{prefix}.inverse"] = pow(total, -1, PRIME)


def larger_by_p(name: str, numbers: tuple[int, ...], slope: int, which: str) -> Forgery | None:
    """The right result plus p in y3 or x3, past 2^256: only the top limb does not fit."""
    x1 = numbers[0]
    x2 = numbers[2] if name == "secp256k1_add" else x1
    x3 = (slope * slope - x1 - x2) % P
    y3 = (slope * (x1 - x3) - numbers[1]) % P
    forgery = curve_row(name, numbers, slope, x3, y3)
    if forgery is None:
        return None
    value = (y3 if which == "y" else x3) + P
    limbs = limbs_of(value, 15) + [value >> 240]
    recompute_canonical(forgery, f"third.{which}_canonical", limbs)
    if which == "y":
        forgery.put("third.y", limbs)
    else:
        forgery.put_bytes("third.x", value % TOP)
        forgery.cells["third.x.byte[31]"] = value >> 248
        second = (slope * slope - x1 - x2 - value + curve.X_OFFSET * P) // P
        if second < 0:
            return None
        forgery.put("third.x_quotient", limbs_of(second))
    third = slope * (x1 - (value if which == "x" else x3)) - numbers[1] - (value if which == "y" else y3)
    assert third % P == 0
    if not -TOP <= third // P < TOP:
        return None
    forgery.put("third.y_quotient", limbs_of(third // P % TOP))
    forgery.cells["third.y_is_negative"] = int(third < 0)
    return forgery


NOT_CANONICAL = {
    # n = 2^256 - 1 - number, below 2^32 + 977.
    "n2 = 0": 2 * 2**16 + 1000,
    "n2 = 1": 2**32 + 700,
}


def canonical_groups(name: str, operand_names: Sequence[str]) -> Iterator[tuple[str, Iterator[Forgery | None]]]:
    """
    Each number in turn is not below p, with each way to hide it. n = 2^256 - 1 - number is below 2^32 + 977, with n_2
    = 0 or n_2 = 1.
    """
    without, one = 2 * 2**16 + 1000, 2**32 + 700
    ways: list[tuple[str, int, dict[str, int]]] = [
        ("{cells}.is_large is a bit", without, {"is_large": -5, "is_largest": 0, "inverse": -5 * (2 - 1), "rest": 5}),
        ("{label}: limb 2 of the largest", without, {"is_large": 0, "is_largest": 1, "inverse": 1, "rest": 1000 - 977}),
        ("{label}: what is not negative", without, {"is_large": 1, "is_largest": 0, "inverse": 1, "rest": 0}),
        ("{label}: rest in range", without, {"is_large": 1, "is_largest": 0, "inverse": 1, "rest": -1}),
        ("{label}: what is not 0 has an inverse", one, {"is_large": 1, "is_largest": 0, "inverse": 1, "rest": 0}),
        ("{cells}.is_largest is a bit", one, {"is_large": 0, "is_largest": -1, "inverse": -1, "rest": 977 - 700}),
    ]

    def hidden(item: str, target: int, cells: str, n: int, values: dict[str, int]) -> Iterator[Forgery | None]:
        rng = random.Random(item)
        for _ in range(TRIES):
            forgery = with_number(name, rng, target, TOP - 1 - n)
            if forgery is not None:
                for column, value in values.items():
                    forgery.cells[f"{cells}.{column}"] = pow(value, -1, PRIME) if column == "inverse" else value
            yield forgery

    targets = [(label, f"operand[{i}]") for i, label in enumerate(operand_names)]
    targets += [("x3", "third.x_canonical"), ("y3", "third.y_canonical")]
    for target, (label, cells) in enumerate(targets):
        for form, n, values in ways:
            item = form.format(label=label, cells=cells)
            yield item, hidden(item, target, cells, n, values)


def with_number(name: str, rng: random.Random, target: int, number: int) -> Forgery | None:
    """A row in which operand `target` (or x3, y3 after the operands) is `number`, everything else right modulo p."""
    is_add = name == "secp256k1_add"
    small = number % P
    count = 4 if is_add else 2
    slope = rng.randrange(1, P)
    numbers = [rng.randrange(1, P) for _ in range(count)]
    if target < count:
        numbers[target] = number
        if is_add:
            slope = (numbers[3] - numbers[1]) * pow(numbers[2] - numbers[0], -1, P) % P
        else:
            slope = 3 * numbers[0] ** 2 * pow(2 * numbers[1], -1, P) % P
    elif is_add:
        if target == 4:
            numbers[2] = (slope * slope - numbers[0] - small) % P
        else:
            x3 = (slope * slope - numbers[0] - numbers[2]) % P
            numbers[1] = (slope * (numbers[0] - x3) - small) % P
        numbers[3] = (numbers[1] + slope * (numbers[2] - numbers[0])) % P
    else:
        if target == 2:
            numbers[0] = (slope * slope - small) * pow(2, -1, P) % P
        else:
            # slope (3 x - slope^2) - 3 x^2 / (2 slope) = y3 is quadratic in x.
            discriminant = (12 * slope**4 - 24 * slope * small) % P
            root = pow(discriminant, (P + 1) // 4, P)
            if root * root % P != discriminant:
                return None
            numbers[0] = (6 * slope**2 + root) * pow(6, -1, P) % P
        numbers[1] = 3 * numbers[0] ** 2 * pow(2 * slope, -1, P) % P
    x1, y1 = numbers[:2]
    x2 = numbers[2] if is_add else x1
    x3 = (slope * slope - x1 - x2) % P
    y3 = (slope * (x1 - x3) - y1) % P
    assert target < count or (x3, y3)[target - count] == small
    if target == count:
        x3 = number
    elif target == count + 1:
        y3 = number
    return curve_row(name, numbers, slope, x3, y3)


def width_at(name: str, equation: str, position: int) -> int:
    """The width of the step that starts there."""
    return next(step.width for step in steps_of(name, equation) if step.start == position)


def add_groups(name: str) -> Iterator[tuple[str, Iterator[Forgery | None]]]:
    def no_bytes(prefix: str, limb: int) -> Iterator[Forgery | None]:
        # The slope has one digit.
        rng = random.Random(f"{prefix} {limb}")
        for factor, slack, digit in ((f, s, d) for f in (1, -1) for s in (0, -150, 150) for d in range(3)):
            position, amount = 2 * limb + digit - 1, factor * PRIME
            if position not in boundaries(name, "slope"):
                continue
            numbers = with_slope(name, 256**digit, rng.randrange(P), rng.randrange(P), amount * 256**position)
            assert numbers is not None
            delta = round(amount / 256 ** width_at(name, "slope", position)) + slack
            defects = {"slope": [(position, amount)]}
            if prefix == "x1":
                defects["y3"] = [(position, -amount)]
            forgery = chord(name, numbers, 256**digit, defects)
            if forgery is not None:
                forgery.alter_bytes(prefix, limb, delta if prefix == "x1" else -delta)
            yield forgery

    def no_bytes_of_slope(limb: int) -> Iterator[Forgery | None]:
        # Its square makes up for the defect of x3, and the slope is 0, x1 = x3, x2 = x1 + 1.
        for factor, delta in squares(1):
            amount = factor * PRIME
            x1 = -(1 + amount * 256 ** (4 * limb)) * pow(3, -1, P) % P
            forgery = chord(name, (x1, GY, x1 + 1, GY), 0, {"x3": [(4 * limb, amount)]})
            if forgery is not None:
                forgery.alter_bytes("third.slope", limb, delta)
            yield forgery

    yield "x1 and x2 differ", iter([chord(name, (GX, GY, GX, GY), 5**90 % P)])
    for limb in range(16):
        yield f"x1: bytes of limb {limb}", no_bytes("x1", limb)
        yield f"x2: bytes of limb {limb}", no_bytes("x2", limb)
        yield f"slope: bytes of limb {limb}", no_bytes_of_slope(limb)


def squares(weight: int) -> Iterator[tuple[int, int]]:
    """(factor, delta) with weight delta^2 near |factor| STEP, nearest first."""
    for factor in FACTORS:
        deltas = range(20, 320, 3)
        close = [delta for delta in deltas if abs(weight * delta * delta - abs(factor) * STEP) < 16000]
        for delta in sorted(close, key=lambda delta: abs(weight * delta * delta - abs(factor) * STEP))[:8]:
            yield factor, delta


SINGLE_STEP_SQUARES = ((128, 665504168), (-128, 665504168), (128, 753733024), (-128, 753733024))
"""
(factor, delta) with 3 delta^2 = 1 + 1/512 or -1 - 1/512 modulo PRIME. Where steps have one position each, a square moves
one carry by 256 * 3 delta^2 and the next by 3 delta^2. As 128 PRIME / 65536 is 1/512 modulo PRIME, both are in range
with such a defect, and the third carry is off by 127 * 128.
"""

SQUARES_OF_SLOPE = (
    (2, 252), (2, 247), (1, -169), (1, -172), (2, 239), (1, 157), (1, 157), (1, 156), (1, -176), (2, -243), (1, 156),
    (1, 156), (1, 169), (7, -473), (20, 806),
)  # fmt: skip
SLOPE_LIMBS: dict[int, tuple[int, int, int, int, int]] = {
    **{
        limb: (-256 * delta, delta, factor * PRIME, 0, 1) for limb, (factor, delta) in enumerate(SQUARES_OF_SLOPE)
    },
    15: (1616361216, 357933021, 3378184192, 855 * 256**27, 74 * 256**24),
}
"""
By limb of a slope that has only this one: its two digits, a number that its square is modulo PRIME, and x and y.

0 to 14: the limb is 0 and its square a multiple of PRIME; delta^2 is near factor STEP, and so are, at the end of steps,
delta times the bytes of factor PRIME 256^(4 limb) modulo p.
15: the limb is 3 855^2 / (2 * 74) modulo PRIME, its square less than 2^32, and a multiple of 256, so that x3 has few
bytes; the high digit is a root of a number near square / 65536, as carry 30 of x3 demands.
"""


def lifted(
    name: str, equation: str, limb: int, pair: tuple[int, int], digits: Sequence[int]
) -> list[tuple[int, int]]:
    """
    What a pair of digits at the place of a limb, times a number, adds to the total of each step: the integer nearest to
    0 that it is modulo PRIME.
    """
    products = [0] * curve.SUM_LENGTH
    for i, digit in enumerate(digits):
        for j in range(2):
            products[2 * limb + i + j] += pair[j] * digit
    found = []
    for step in steps_of(name, equation):
        total = sum(256**j * products[step.start + j] for j in range(step.width)) % PRIME
        if total:
            found.append((step.start, total - PRIME if total > PRIME // 2 else total))
    return found


def double_groups(name: str) -> Iterator[tuple[str, Iterator[Forgery | None]]]:
    starts = boundaries(name, "slope")

    def no_bytes_of_y(limb: int) -> Iterator[Forgery | None]:
        # The slope has one digit.
        rng = random.Random(limb)
        for digit, factor, slack in ((d, f, s) for d in range(4) for f in (1, -1) for s in (0, -150, 150)):
            slope, position = 256**digit, 2 * limb + digit
            position -= 0 if position in starts and width_at(name, "slope", position) == 1 else 1
            if position not in starts:
                continue
            amount = factor * PRIME
            numbers = with_slope(name, slope, rng.randrange(2**20), 0, amount * 256**position)
            forgery = chord(name, numbers, slope, {"slope": [(position, amount)]}) if numbers else None
            if forgery is not None:
                forgery.alter_bytes("y", limb, -round(amount / 256 ** width_at(name, "slope", position) / 2) - slack)
            yield forgery

    def no_bytes_of_x(limb: int) -> Iterator[Forgery | None]:
        # x = 0, the slope is 1, and the square makes up for the defect of the slope.
        are_single = width_at(name, "slope", 4 * limb) == 1
        for factor, delta in SINGLE_STEP_SQUARES if are_single else squares(3):
            amount = factor * PRIME
            y = amount * 256 ** (4 * limb) * pow(2, -1, P) % P
            forgery = chord(name, (0, y), 1, {"slope": [(4 * limb, amount)]})
            if forgery is not None:
                forgery.alter_bytes("x", limb, delta)
            yield forgery

    def no_bytes_of_slope(limb: int) -> Iterator[Forgery | None]:
        # The slope's other bytes are 0. Each step takes the products of these two for the number nearest to 0 that they
        # are modulo PRIME.
        low, high, square, x, y = SLOPE_LIMBS[limb]
        x3 = (square * 256 ** (4 * limb) - 2 * x) % P
        first = lifted(name, "slope", limb, (low, high), [2 * digit for digit in bytes_of(y)])
        third = lifted(name, "y3", limb, (low, high), [a - b for a, b in zip(bytes_of(x), bytes_of(x3), strict=True)])
        y3 = (sum(amount * 256**position for position, amount in third) - y) % P
        sums = {"slope": first, "x3": [(4 * limb, square)], "y3": third}
        missing = {equation: [(place, -amount) for place, amount in found] for equation, found in sums.items()}
        forgery = curve_row(name, (x, y), 0, x3, y3, missing)
        assert forgery is not None
        forgery.defects = {}
        forgery.cells[f"third.slope.byte[{2 * limb}]"] = low
        forgery.cells[f"third.slope.byte[{2 * limb + 1}]"] = high
        yield forgery

    def no_top() -> Iterator[Forgery | None]:
        # 65536 * 32512 = PRIME - 1: only the last step wraps.
        rng = random.Random(13)
        for amount in (32512, -32512) * (TRIES // 2):
            excess = Excess(name, "slope", SIGN, amount)
            yield exceeding(excess, rng.randrange(1, P), rng.randrange(P), 0)

    yield "y is not 0", iter([chord(name, (0, 0), 5**90 % P)])
    yield "top of the quotient in range", no_top()
    for limb in range(16):
        yield f"y: bytes of limb {limb}", no_bytes_of_y(limb)
        yield f"x: bytes of limb {limb}", no_bytes_of_x(limb)
        yield f"slope: bytes of limb {limb}", no_bytes_of_slope(limb)
