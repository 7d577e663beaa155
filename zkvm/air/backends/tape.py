"""
The prover's use of a chip: its graph as a linear program, executed by one compiled interpreter over blocks of rows.

Statement
---------
`compile_constraints` and `compile_fractions` turn a chip into a `Program`: a list of instructions over registers,
each register holding one value for every row of a block. There is no compilation per chip: the interpreter
(tape_fast.py) is one kernel for all of them.
- constraints: acc = sum_i folding^i C_i, the LogUp constraints included;
- fractions:   for each auxiliary column the numerator and the denominator of the sum of its group's fractions.

`auxiliary_columns`, `quotient`, `quotient_chunks` are what the protocol calls. Their plain twins are in
tape_reference.py.

Source: the block-at-a-time interpreter is that of vectorised databases (P. Boncz, M. Zukowski, N. Nes, MonetDB/X100:
hyper-pipelining query execution, 2005).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from zkvm.air.chip import Chip
from zkvm.air.errors import TraceError
from zkvm.air.expression import PHASES, Expression, Operation, evaluate
from zkvm.field import extension, koala_bear
from zkvm.field.extension import Extension
from zkvm.field.koala_bear import GENERATOR, PRIME

AUXILIARY = "auxiliary"
"""The name of the auxiliary matrix beside those of the phases."""

MATRIX_ORDER: tuple[str, ...] = (*PHASES, AUXILIARY)
"""How LOAD numbers matrices."""

RELOAD_DISTANCE: int = 256
"""A column that is not used again within so many instructions is loaded anew: it then holds no register meanwhile."""

Challenges = Mapping[str, tuple[Extension, Extension]]
"""(alpha, beta) by scope."""


class Opcode(IntEnum):
    """
    The instructions, as (opcode, destination, a, b, c). r: base register, x: extension register (five columns), s:
    scalar, k: extension constant.

    LOAD              r, matrix, column, offset      TABLE             r, pattern
    ADD               r, r, r                        SUBTRACT          r, r, r
    MULTIPLY          r, r, r                        ADD_SCALAR        r, r, s
    SCALAR_SUBTRACT   r, r, s        r = s - a       MULTIPLY_SCALAR   r, r, s
    SET_SCALAR        r, s                           FOLD              -, r, k      acc += a * k
    X_LOAD            x, matrix, column, offset      X_FINGERPRINT     x, first argument, argument count, k     x = k
    + sum_j r_j * k_j X_ADD             x, x, x                        X_SUBTRACT        x, x, x
    X_ADD_CONSTANT    x, x, k                        X_MULTIPLY        x, x, x
    X_ADD_BASE        x, x, r, sign                  X_MULTIPLY_BASE   x, x, r, sign    x = +- a * b
    X_FOLD            -, x, k        acc += a * k    X_MULTIPLY_ADD    x, x, r, sign    x += +- a * b
    """

    LOAD = 0
    TABLE = 1
    ADD = 2
    SUBTRACT = 3
    MULTIPLY = 4
    ADD_SCALAR = 5
    SCALAR_SUBTRACT = 6
    MULTIPLY_SCALAR = 7
    SET_SCALAR = 8
    FOLD = 9
    X_LOAD = 10
    X_FINGERPRINT = 11
    X_ADD = 12
    X_SUBTRACT = 13
    X_ADD_CONSTANT = 14
    X_MULTIPLY = 15
    X_ADD_BASE = 16
    X_MULTIPLY_BASE = 17
    X_MULTIPLY_ADD = 18
    X_FOLD = 19


FIRST_SELECTOR, LAST_SELECTOR = 0, 1
"""Base registers that the kernel fills before each block, if the program uses a selector."""
SELECTOR_REGISTERS: int = 2


@dataclass(frozen=True, eq=False)
class Program:
    """
    A compiled chip, independent of heights, publics and challenges.

    instructions:    [k, 5] int64. arguments: [m, 2] int64, (base register, extension constant) of fingerprints.
    register_count, extension_register_count: base registers, the two selectors included; extension registers.
    scalars:         expressions of degree 0; their values are the scalars s.
    constants:       what the extension constants k are: ("fold", i), ("message", index), ("beta", scope, power),
                     ("mean", scope).
    message_scalars: per message, (position, scalar) of values of degree 0, which go into its constant.
    outputs:         fractions only: extension registers of (numerator, denominator), by auxiliary column.
    uses_selectors:  whether the selector registers are read.
    """

    instructions: np.ndarray
    arguments: np.ndarray
    register_count: int
    extension_register_count: int
    scalars: tuple[Expression, ...]
    constants: tuple[tuple, ...]
    message_scalars: tuple[tuple[tuple[int, Expression], ...], ...]
    outputs: tuple[tuple[int, int], ...]
    uses_selectors: bool

    @cached_property
    def instruction_count(self) -> int:
        """Number of instructions, the unit of the throughput figures."""
        return len(self.instructions)


def compile_constraints(chip: Chip) -> Program:
    """The program that folds every constraint of the chip."""
    return _compiled(chip, "constraints")


def compile_fractions(chip: Chip) -> Program:
    """The program that computes numerators and denominators of the auxiliary columns."""
    return _compiled(chip, "fractions")


def auxiliary_columns(
    chip: Chip,
    matrices: Mapping[str, np.ndarray],
    publics: Mapping[str, int],
    challenges: Challenges,
    threads: int | None = None,
    is_montgomery: bool = False,
) -> tuple[np.ndarray, dict[str, Extension]]:
    """
    The auxiliary matrix of a trace, and the sum T of each scope.

    matrices:      by phase, the trace: records or (n, width) uint32, natural order; canonical, or in Montgomery form
                   if is_montgomery. n >= 32.
    publics:       by name, canonical. challenges: (alpha, beta) by scope.
    Returns ([n, 5 k] uint32 in Montgomery form, natural order; {scope: T} for the scopes that the chip uses).
    Extra memory: the result, and per thread the registers of one block.
    Raises TraceError for matrices of a wrong form. A fingerprint that is 0 gives a column that fails its constraint:
    probability 2^-125.
    """
    from zkvm.air.backends import tape_fast

    checked = chip.matrices(matrices)
    height = _height(chip, checked)
    layout = chip.auxiliary
    result = np.empty((height, 5 * layout.width), dtype=np.uint32)
    if not layout.width:
        return result, {}
    _check_challenges(chip, challenges)
    program = compile_fractions(chip)
    tables = [np.array(pattern, dtype=np.uint64) for _, pattern in chip.periodic]
    bound = _bind(chip, program, publics, challenges, {}, None, height)
    totals = tape_fast.fractions(program, bound, layout, checked, tables, result, is_montgomery, threads)
    return result, totals


def quotient(
    chip: Chip,
    extended: Mapping[str, np.ndarray],
    publics: Mapping[str, int],
    challenges: Challenges,
    sums: Mapping[str, Extension],
    folding: Extension,
    threads: int | None = None,
) -> np.ndarray:
    """
    The quotient Q = sum_i folding^i C_i / Z_H on the low-degree extension: [2n, 5] uint32, Montgomery form, natural
    order.

    extended: by phase and "auxiliary", the low-degree extensions [2n, width] of rate 1/2 on 3 <omega_2n>: Montgomery
              form, natural order. n >= 32.
    sums:     T by scope, as `auxiliary_columns` gave them. folding: the challenge lambda.
    Raises TraceError for matrices of a wrong form. For an invalid trace the result is no low-degree polynomial, and
    the proof is refused.
    """
    from zkvm.air.backends import tape_fast

    auxiliary = extended.get(AUXILIARY)
    checked: dict[str, np.ndarray] = dict(chip.matrices({k: v for k, v in extended.items() if k != AUXILIARY}))
    row_count = _height(chip, checked)
    width = chip.auxiliary_width
    if width:
        _check_challenges(chip, challenges)
        if auxiliary is None or auxiliary.dtype != np.uint32 or auxiliary.shape != (row_count, width):
            raise TraceError(f"chip {chip.name}: the auxiliary matrix must be uint32 ({row_count}, {width})")
        checked[AUXILIARY] = auxiliary
    height = row_count // 2
    if height < chip.minimum_height:
        raise TraceError(f"chip {chip.name}: height {height} is below {chip.minimum_height}")
    program = compile_constraints(chip)
    bound = _bind(chip, program, publics, challenges, sums, folding, height)
    tables = [extended_pattern(pattern, height) for _, pattern in chip.periodic]
    result = np.empty((row_count, 5), dtype=np.uint32)
    tape_fast.quotient(program, bound, checked, tables, result, threads)
    return result


def quotient_chunks(values: np.ndarray, threads: int | None = None) -> np.ndarray:
    """
    The low-degree extension of the two halves of Q = Q0 + x^n Q1, deg Q < 2n: [2n, 10], Q0 in columns 0..4 and Q1 in
    5..9.

    values: [2n, 5], Q on 3 <omega_2n>, natural order, Montgomery form.
    """
    from zkvm.kernels.fast.ntt import split_extension

    return split_extension(values, threads=threads)


@dataclass(frozen=True)
class Bound:
    """A program's scalars and constants for one shard: canonical integers and extension elements."""

    scalars: list[int]
    constants: list[Extension]


def _bind(
    chip: Chip,
    program: Program,
    publics: Mapping[str, int],
    challenges: Challenges,
    sums: Mapping[str, Extension],
    folding: Extension | None,
    height: int,
) -> Bound:
    public_values = chip.public_values(publics)

    def leaf(node: Expression) -> int:
        return public_values[node.value] if node.operation is Operation.PUBLIC else node.value

    def scalar_values(expressions: Iterable[Expression]) -> list[int]:
        return evaluate(expressions, leaf, lambda value: value % PRIME)

    constants: list[Extension] = []
    power = extension.ONE
    for kind, *details in program.constants:
        if kind == "fold":
            # In order of i, without gaps.
            constants.append(power)
            power = power * folding
        elif kind == "message":
            message = chip.messages[details[0]]
            alpha, beta = challenges[message.bus.scope]
            known = program.message_scalars[details[0]]
            value = alpha - message.bus.identifier
            for (position, _), scalar in zip(known, scalar_values(e for _, e in known)):
                value = value - beta ** (position + 1) * scalar
            constants.append(value)
        elif kind == "beta":
            constants.append(-(challenges[details[0]][1] ** details[1]))
        else:
            constants.append(sums[details[0]] * koala_bear.inverse(height))
    return Bound(scalar_values(program.scalars), constants)


def _check_challenges(chip: Chip, challenges: Challenges) -> None:
    for scope in chip.auxiliary.scopes:
        if scope not in challenges:
            raise TraceError(f"chip {chip.name}: the challenges of the {scope} scope are needed")


def _height(chip: Chip, matrices: Mapping[str, np.ndarray]) -> int:
    height = next(iter(matrices.values())).shape[0]
    if height < 32:
        raise TraceError(f"chip {chip.name}: height {height} is below 32")
    return height


def extended_pattern(pattern: tuple[int, ...], height: int) -> np.ndarray:
    """
    A periodic column on the low-degree extension: of period 2m, its polynomial being one in x^(n / m). Canonical,
    uint64.
    """
    from zkvm.air.backends.point import interpolate_pattern

    m = len(pattern)
    shift = pow(GENERATOR, height // m, PRIME)
    root = koala_bear.two_adic_generator(m.bit_length())
    coefficients = interpolate_pattern(pattern)
    values = []
    for i in range(2 * m):
        x, value = shift * pow(root, i, PRIME) % PRIME, 0
        for coefficient in reversed(coefficients):
            value = (value * x + coefficient) % PRIME
        values.append(value)
    return np.array(values, dtype=np.uint64)


_programs: WeakKeyDictionary[Chip, dict[str, Program]] = WeakKeyDictionary()


def _compiled(chip: Chip, kind: str) -> Program:
    programs = _programs.setdefault(chip, {})
    if kind not in programs:
        compiler = _Compiler(chip)
        compiler.constraints() if kind == "constraints" else compiler.fractions()
        programs[kind] = compiler.finish()
    return programs[kind]


class _Compiler:
    """
    Emits instructions over virtual registers, then allocates real ones by last use.

    Virtual registers are numbered in order of definition, base and extension ones together; every one is defined once
    but for X_MULTIPLY_ADD, which adds to one defined before.
    """

    def __init__(self, chip: Chip) -> None:
        self.chip = chip
        # (opcode, destination, [(field, virtual)] of the registers read, fields)
        self.code: list[list[int]] = []
        self.arguments: list[tuple[int, int]] = []
        self.is_extension: list[bool] = []
        self.scalars: dict[int, tuple[int, Expression]] = {}
        self.constants: dict[tuple, int] = {}
        self.known: dict[int, int] = {}
        self.loaded_at: dict[int, int] = {}
        self.outputs: list[tuple[int, int]] = []
        self.uses_selectors = False
        self.first = self._register(False)
        self.last = self._register(False)

    # What programs consist of.

    def constraints(self) -> None:
        for i, constraint in enumerate(self.chip.constraints):
            self._emit(Opcode.FOLD, -1, self._value(constraint.expression), self._constant("fold", i))
        layout, messages = self.chip.auxiliary, self.chip.messages
        auxiliary = MATRIX_ORDER.index(AUXILIARY)
        columns: dict[int, int] = {}
        sums: dict[str, int] = {}
        for group in layout.groups:
            column = self._new(True, Opcode.X_LOAD, auxiliary, 5 * group.column, 0)
            if group.is_last:
                following = self._new(True, Opcode.X_LOAD, auxiliary, 5 * group.column, 1)
                column = self._new(True, Opcode.X_SUBTRACT, following, column)
                if group.scope in sums:
                    column = self._new(True, Opcode.X_SUBTRACT, column, sums[group.scope])
                column = self._new(True, Opcode.X_ADD_CONSTANT, column, self._constant("mean", group.scope))
            elif group.scope in sums:
                sums[group.scope] = self._new(True, Opcode.X_ADD, sums[group.scope], column)
            else:
                sums[group.scope] = column
            columns[group.column] = column
            # remainder_j = remainder_(j-1) d_j - m_j D_(j-1), D_j = D_(j-1) d_j
            remainder, product = column, None
            for j in group.messages:
                fingerprint, count = self._fingerprint(j), self._value(messages[j].count)
                remainder = self._new(True, Opcode.X_MULTIPLY, remainder, fingerprint)
                if product is None:
                    remainder = self._new(True, Opcode.X_ADD_BASE, remainder, count, -messages[j].sign)
                    product = fingerprint
                else:
                    self._emit(Opcode.X_MULTIPLY_ADD, remainder, product, count, -messages[j].sign)
                    if j != group.messages[-1]:
                        product = self._new(True, Opcode.X_MULTIPLY, product, fingerprint)
            index = len(self.chip.constraints) + group.column
            self._emit(Opcode.X_FOLD, -1, remainder, self._constant("fold", index))

    def fractions(self) -> None:
        messages = self.chip.messages
        for group in self.chip.auxiliary.groups:
            first, *others = group.messages
            product, count = self._fingerprint(first), self._value(messages[first].count)
            sign = messages[first].sign
            if not others:
                # An extension register that holds the base value sign * count.
                zero = self._new(True, Opcode.X_SUBTRACT, product, product)
                self.outputs.append((self._new(True, Opcode.X_ADD_BASE, zero, count, sign), product))
                continue
            # numerator_j = numerator_(j-1) d_j + m_j D_(j-1), D_j = D_(j-1) d_j
            numerator = None
            for j in others:
                fingerprint = self._fingerprint(j)
                if numerator is None:
                    numerator = self._new(True, Opcode.X_MULTIPLY_BASE, fingerprint, count, sign)
                else:
                    numerator = self._new(True, Opcode.X_MULTIPLY, numerator, fingerprint)
                self._emit(Opcode.X_MULTIPLY_ADD, numerator, product, self._value(messages[j].count), messages[j].sign)
                product = self._new(True, Opcode.X_MULTIPLY, product, fingerprint)
            self.outputs.append((numerator, product))

    # Values.

    def _value(self, root: Expression) -> int:
        """The base register of an expression, emitting what is missing, operands first."""
        pending = [root]
        while pending:
            node = pending[-1]
            if self._is_available(node):
                pending.pop()
                continue
            missing = [o for o in node.operands if o.degree and not self._is_available(o)]
            if missing:
                pending.extend(missing)
                continue
            self.known[node.index] = self._compute(node)
            self.loaded_at[node.index] = len(self.code)
            pending.pop()
        # A reuse keeps a column in its register for another while.
        self.loaded_at[root.index] = len(self.code)
        return self.known[root.index]

    def _is_available(self, node: Expression) -> bool:
        if node.index not in self.known:
            return False
        if node.operation in (Operation.COLUMN, Operation.PERIODIC):
            return len(self.code) - self.loaded_at[node.index] < RELOAD_DISTANCE
        return True

    def _compute(self, node: Expression) -> int:
        operation = node.operation
        if not node.degree:
            return self._new(False, Opcode.SET_SCALAR, self._scalar(node))
        if operation is Operation.COLUMN:
            phase, column, offset = node.value
            return self._new(False, Opcode.LOAD, MATRIX_ORDER.index(phase), column, offset)
        if operation is Operation.PERIODIC:
            # Which words of the table are read is filled in when the program runs: it depends on the domain.
            return self._new(False, Opcode.TABLE, node.value)
        if operation is Operation.SELECTOR:
            self.uses_selectors = True
            return self.first if node.value == "first" else self.last
        a, b = node.operands
        if a.degree and b.degree:
            opcode = {
                Operation.ADD: Opcode.ADD,
                Operation.SUBTRACT: Opcode.SUBTRACT,
                Operation.MULTIPLY: Opcode.MULTIPLY,
            }[operation]
            for operand in (a, b):
                self.loaded_at[operand.index] = len(self.code)
            return self._new(False, opcode, self.known[a.index], self.known[b.index])
        variable, scalar = (a, b) if a.degree else (b, a)
        self.loaded_at[variable.index] = len(self.code)
        register = self.known[variable.index]
        if operation is Operation.MULTIPLY:
            return self._new(False, Opcode.MULTIPLY_SCALAR, register, self._scalar(scalar))
        if operation is Operation.ADD:
            return self._new(False, Opcode.ADD_SCALAR, register, self._scalar(scalar))
        if scalar is a:
            return self._new(False, Opcode.SCALAR_SUBTRACT, register, self._scalar(scalar))
        return self._new(False, Opcode.ADD_SCALAR, register, self._scalar(0 - scalar))

    def _fingerprint(self, index: int) -> int:
        message = self.chip.messages[index]
        registers = [(position, self._value(v)) for position, v in enumerate(message.values) if v.degree]
        start = len(self.arguments)
        for position, register in registers:
            self.arguments.append((register, self._constant("beta", message.bus.scope, position + 1)))
        return self._new(True, Opcode.X_FINGERPRINT, start, len(registers), self._constant("message", index))

    def _scalar(self, expression: Expression) -> int:
        if expression.index not in self.scalars:
            self.scalars[expression.index] = (len(self.scalars), expression)
        return self.scalars[expression.index][0]

    def _constant(self, *key: object) -> int:
        return self.constants.setdefault(key, len(self.constants))

    def _register(self, is_extension: bool) -> int:
        self.is_extension.append(is_extension)
        return len(self.is_extension) - 1

    def _new(self, is_extension: bool, opcode: Opcode, *fields: int) -> int:
        register = self._register(is_extension)
        self._emit(opcode, register, *fields)
        return register

    def _emit(self, opcode: Opcode, destination: int, *fields: int) -> None:
        self.code.append([opcode, destination, *fields, *(0,) * (3 - len(fields))])

    # Real registers.

    def finish(self) -> Program:
        """
        Allocates registers: one is free again after the instruction that reads it last. Selectors and outputs are
        never freed.
        """
        last_use: dict[int, int] = {}
        for position, instruction in enumerate(self.code):
            for register in self._reads(instruction):
                last_use[register] = position
        pinned = {self.first, self.last, *(r for pair in self.outputs for r in pair)}
        dying: dict[int, list[int]] = defaultdict(list)
        for register, position in last_use.items():
            if register not in pinned:
                dying[position].append(register)

        real: dict[int, int] = {self.first: FIRST_SELECTOR, self.last: LAST_SELECTOR}
        free: dict[bool, list[int]] = {False: [], True: []}
        count = {False: SELECTOR_REGISTERS, True: 0}
        instructions = []
        arguments = np.zeros((len(self.arguments), 2), dtype=np.int64)
        for position, instruction in enumerate(self.code):
            opcode, destination, a, b, c = instruction
            if opcode == Opcode.X_FINGERPRINT:
                for k in range(a, a + b):
                    arguments[k] = real[self.arguments[k][0]], self.arguments[k][1]
            else:
                if _A_IS_REGISTER[opcode]:
                    a = real[a]
                if _B_IS_REGISTER[opcode]:
                    b = real[b]
            # Elementwise instructions may write where they read, so the dying are freed first. A fingerprint reads
            # base and writes extension registers.
            for register in dying.get(position, ()):
                free[self.is_extension[register]].append(real[register])
            if destination >= 0 and destination not in real:
                kind = self.is_extension[destination]
                if free[kind]:
                    real[destination] = free[kind].pop()
                else:
                    real[destination] = count[kind]
                    count[kind] += 1
                if destination not in last_use and destination not in pinned:
                    free[kind].append(real[destination])
            instructions.append((opcode, real[destination] if destination >= 0 else 0, a, b, c))
        message_scalars = tuple(
            tuple((position, v) for position, v in enumerate(m.values) if not v.degree) for m in self.chip.messages
        )
        return Program(
            np.array(instructions, dtype=np.int64).reshape(-1, 5),
            arguments,
            count[False],
            count[True],
            tuple(expression for _, expression in self.scalars.values()),
            tuple(self.constants),
            message_scalars,
            tuple((real[n], real[d]) for n, d in self.outputs),
            self.uses_selectors,
        )

    def _reads(self, instruction: list[int]) -> list[int]:
        """The virtual registers that an instruction reads."""
        opcode, destination, a, b, _ = instruction
        if opcode == Opcode.X_FINGERPRINT:
            return [register for register, _ in self.arguments[a : a + b]]
        registers = []
        if _A_IS_REGISTER[opcode]:
            registers.append(a)
        if _B_IS_REGISTER[opcode]:
            registers.append(b)
        if opcode == Opcode.X_MULTIPLY_ADD:
            registers.append(destination)
        return registers


_TWO_REGISTERS = frozenset(
    (
        Opcode.ADD, Opcode.SUBTRACT, Opcode.MULTIPLY, Opcode.X_ADD, Opcode.X_SUBTRACT, Opcode.X_MULTIPLY,
        Opcode.X_ADD_BASE, Opcode.X_MULTIPLY_BASE, Opcode.X_MULTIPLY_ADD,
    )
)  # fmt: skip
_ONE_REGISTER = frozenset(
    (
        Opcode.ADD_SCALAR, Opcode.SCALAR_SUBTRACT, Opcode.MULTIPLY_SCALAR, Opcode.FOLD, Opcode.X_ADD_CONSTANT,
        Opcode.X_FOLD,
    )
)  # fmt: skip
_A_IS_REGISTER = {opcode: opcode in _TWO_REGISTERS | _ONE_REGISTER for opcode in Opcode}
_B_IS_REGISTER = {opcode: opcode in _TWO_REGISTERS for opcode in Opcode}
