"""
The interpreter of tape programs: one kernel, SIMD over the rows of a block.

A register is BLOCK consecutive words, one for each row of the block, so an instruction is one loop over vectors.
Blocks are sized so that the live registers stay in the first- or second-level cache; the cost of choosing the
instruction is shared by all rows of the block.

Twins: tape_reference.py. All values in Montgomery form.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from zkvm.air.backends.tape import MATRIX_ORDER, Bound, Opcode, Program
from zkvm.air.logup import Layout
from zkvm.field import koala_bear
from zkvm.field.extension import Extension
from zkvm.field.koala_bear import GENERATOR, PRIME
from zkvm.kernels.fast.extension import from_elements, to_elements
from zkvm.kernels.fast.extension_simd import (
    add_elements,
    invert_elements,
    multiply_by_base,
    multiply_elements,
    one_where_zero,
    splat_element,
    subtract_elements,
)
from zkvm.kernels.fast.montgomery import powers, to_montgomery
from zkvm.kernels.fast.simd import (
    LANES,
    add,
    add_scalar,
    gather_address,
    load,
    multiply,
    multiply_scalar,
    splat,
    store,
    subtract,
    subtract_scalar,
)
from zkvm.kernels.fast.threads import run_chunks
from zkvm.kernels.policy import kernel

BLOCK: int = 128
"""Rows per block, at most; a multiple of LANES."""

CHUNK: int = 1 << 12
"""Rows per piece of work of a thread."""

_RADIX_SQUARED = np.uint32(2**64 % PRIME)
_ONE = np.uint32(2**32 % PRIME)

_TRACE, _EXTENSION = 0, 1
"""What the rows are: the trace domain, or the coset of the low-degree extension."""

# Plain module constants, which kernels freeze.
_LOAD = int(Opcode.LOAD)
_TABLE = int(Opcode.TABLE)
_ADD = int(Opcode.ADD)
_SUBTRACT = int(Opcode.SUBTRACT)
_MULTIPLY = int(Opcode.MULTIPLY)
_ADD_SCALAR = int(Opcode.ADD_SCALAR)
_SCALAR_SUBTRACT = int(Opcode.SCALAR_SUBTRACT)
_MULTIPLY_SCALAR = int(Opcode.MULTIPLY_SCALAR)
_SET_SCALAR = int(Opcode.SET_SCALAR)
_FOLD = int(Opcode.FOLD)
_X_LOAD = int(Opcode.X_LOAD)
_X_FINGERPRINT = int(Opcode.X_FINGERPRINT)
_X_ADD = int(Opcode.X_ADD)
_X_SUBTRACT = int(Opcode.X_SUBTRACT)
_X_ADD_CONSTANT = int(Opcode.X_ADD_CONSTANT)
_X_MULTIPLY = int(Opcode.X_MULTIPLY)
_X_ADD_BASE = int(Opcode.X_ADD_BASE)
_X_MULTIPLY_BASE = int(Opcode.X_MULTIPLY_BASE)
_X_MULTIPLY_ADD = int(Opcode.X_MULTIPLY_ADD)
_X_FOLD = int(Opcode.X_FOLD)


def fractions(
    program: Program,
    bound: Bound,
    layout: Layout,
    matrices: Mapping[str, np.ndarray],
    tables: Sequence[np.ndarray],
    result: np.ndarray,
    is_montgomery: bool,
    threads: int | None,
) -> dict[str, Extension]:
    """
    Fills the auxiliary matrix result [n, 5 k] and returns the sums; see tape.auxiliary_columns.

    First every row's fractions, the accumulator's columns holding the row's total of its scope; then the running sums.
    """
    height = result.shape[0]
    run = _Run(program, bound, matrices, tables, height, 1)
    groups = np.array([(n, d, int(g.is_last)) for (n, d), g in zip(program.outputs, layout.groups)], dtype=np.int64)
    flat = result.reshape(-1)

    columns = {scope: 5 * layout.accumulator(scope) for scope in layout.scopes}
    totals = {scope: np.zeros((-(-height // CHUNK), 5), dtype=np.uint32) for scope in layout.scopes}

    def work(start: int, stop: int) -> None:
        for first in range(start, stop, CHUNK):
            last = min(first + CHUNK, stop)
            _run_rows(*run.arguments(), _TRACE, not is_montgomery, groups, _NOTHING, flat, first, last)
            for scope, column in columns.items():
                _total_rows(flat, result.shape[1], column, totals[scope][first // CHUNK], first, last)

    run_chunks(work, height, CHUNK, threads)

    zero = Extension((0,) * 5)
    sums, starts, means = {}, {}, {}
    for scope in layout.scopes:
        elements = to_elements(totals[scope])
        sums[scope] = sum(elements, zero)
        mean = sums[scope] * koala_bear.inverse(height)
        before = [zero]
        for element in elements[:-1]:
            before.append(before[-1] + element - mean * CHUNK)
        starts[scope], means[scope] = from_elements(before), from_elements([mean]).reshape(-1)

    def accumulate(start: int, stop: int) -> None:
        for first in range(start, stop, CHUNK):
            last = min(first + CHUNK, stop)
            for scope, column in columns.items():
                _accumulate_rows(
                    flat, result.shape[1], column, starts[scope][first // CHUNK], means[scope], first, last
                )

    run_chunks(accumulate, height, CHUNK, threads)
    return sums


def quotient(
    program: Program,
    bound: Bound,
    matrices: Mapping[str, np.ndarray],
    tables: Sequence[np.ndarray],
    result: np.ndarray,
    threads: int | None,
) -> None:
    """Fills result [2n, 5] with the folded constraints over Z_H; see tape.quotient."""
    row_count = result.shape[0]
    run = _Run(program, bound, matrices, tables, row_count, 2)
    groups = np.zeros((0, 3), dtype=np.int64)
    domain = _Domain(row_count).array()
    flat = result.reshape(-1)

    def work(start: int, stop: int) -> None:
        _run_rows(*run.arguments(), _EXTENSION, False, groups, domain, flat, start, stop)

    run_chunks(work, row_count, CHUNK, threads)


_NOTHING = np.zeros(0, dtype=np.uint32)


class _Run:
    """A program with everything that one execution needs, as arrays."""

    def __init__(
        self,
        program: Program,
        bound: Bound,
        matrices: Mapping[str, np.ndarray],
        tables: Sequence[np.ndarray],
        row_count: int,
        next_step: int,
    ) -> None:
        # Tables are repeated to whole vectors, one after the other; lengths stay powers of two.
        starts, joined = [], []
        position = 0
        for table in tables:
            repeated = np.tile(table, max(1, LANES // len(table)))
            starts.append((position, len(repeated)))
            joined.append(repeated)
            position += len(repeated)
        self.tables = _montgomery(np.concatenate(joined) if joined else np.zeros(1, dtype=np.uint64))
        self.instructions = program.instructions.copy()
        rows = self.instructions[:, 0] == _TABLE
        patterns = self.instructions[rows, 2]
        self.instructions[rows, 2] = [starts[i][0] for i in patterns]
        self.instructions[rows, 3] = [starts[i][1] for i in patterns]

        self.program_arguments = program.arguments
        self.scalars = _montgomery(np.array([*bound.scalars, 0], dtype=np.uint64))
        self.constants = from_elements([*bound.constants, Extension((0,) * 5)]).reshape(-1)
        self.kept = dict(matrices)
        self.addresses = np.zeros(len(MATRIX_ORDER), dtype=np.int64)
        self.strides = np.zeros(len(MATRIX_ORDER), dtype=np.int64)
        for name, matrix in matrices.items():
            if matrix.strides[1] != 4:
                matrix = self.kept[name] = np.ascontiguousarray(matrix)
            self.addresses[MATRIX_ORDER.index(name)] = matrix.ctypes.data
            self.strides[MATRIX_ORDER.index(name)] = matrix.strides[0]
        self.shape = np.array(
            [
                min(BLOCK, row_count),
                row_count,
                next_step,
                program.register_count,
                program.extension_register_count,
                int(program.uses_selectors),
            ],
            dtype=np.int64,
        )

    def arguments(self) -> tuple:
        """The first arguments of `_run_rows`."""
        return (
            self.instructions,
            self.program_arguments,
            self.scalars,
            self.constants,
            self.tables,
            self.addresses,
            self.strides,
            self.shape,
        )


class _Domain:
    """
    The points x of the extension 3 <omega_2n>, as the kernel wants them: one array of Montgomery words.

    [0] omega_2n, [1] 3, [2] w^-1 (the last point of the trace domain, w = omega_n), [3 + j] 1 / Z_H and [5 + j] Z_H /
    n on rows of parity j, [7 ...] omega_2n^i for i < BLOCK.
    """

    def __init__(self, row_count: int) -> None:
        self.row_count = row_count

    def array(self) -> np.ndarray:
        height = self.row_count // 2
        root = koala_bear.two_adic_generator(self.row_count.bit_length() - 1)
        s = pow(GENERATOR, height, PRIME)
        vanishing = [(s - 1) % PRIME, (-s - 1) % PRIME]
        head = [root, GENERATOR, koala_bear.inverse(root * root % PRIME)]
        head += [koala_bear.inverse(v) for v in vanishing]
        head += [v * koala_bear.inverse(height) % PRIME for v in vanishing]
        return np.concatenate([_montgomery(np.array(head, dtype=np.uint64)), powers(root, BLOCK)])


def _montgomery(values: np.ndarray) -> np.ndarray:
    """Canonical integers below p, of any dtype, as Montgomery words."""
    return to_montgomery(values.astype(np.uint32))


@kernel(inline=True)
def _load_element(registers, index, block):
    return (
        load(registers, index),
        load(registers, index + block),
        load(registers, index + 2 * block),
        load(registers, index + 3 * block),
        load(registers, index + 4 * block),
    )


@kernel(inline=True)
def _store_element(registers, index, block, element):
    store(registers, index, element[0])
    store(registers, index + block, element[1])
    store(registers, index + 2 * block, element[2])
    store(registers, index + 3 * block, element[3])
    store(registers, index + 4 * block, element[4])


@kernel(inline=True)
def _load_column(registers, destination, scratch, address, stride, first, row_count, block, convert):
    """registers[destination + j] = the word at address + stride * ((first + j) mod row_count), for j < block."""
    radix_squared = splat(_RADIX_SQUARED)
    if first >= row_count:
        first -= row_count
    for j in range(0, block, LANES):
        if first + j + LANES <= row_count:
            vector = gather_address(address + (first + j) * stride, stride)
        else:
            # The one vector that runs over the end: word by word.
            for lane in range(LANES):
                row = first + j + lane
                if row >= row_count:
                    row -= row_count
                store(scratch, LANES, gather_address(address + row * stride, 0))
                scratch[lane] = scratch[LANES]
            vector = load(scratch, 0)
        if convert:
            vector = multiply(vector, radix_squared)
        store(registers, destination + j, vector)


@kernel
def _execute(
    instructions, arguments, scalars, constants, tables, addresses, strides, registers, extensions, accumulator,
    scratch, row, block, row_count, next_step, convert,
):  # fmt: skip
    """
    Runs a program on rows row .. row + block - 1.

    registers, extensions: flat, block words per base register and 5 * block per extension register.
    accumulator: [5 * block], added to.
    """
    for position in range(instructions.shape[0]):
        opcode = instructions[position, 0]
        d = instructions[position, 1]
        a = instructions[position, 2]
        b = instructions[position, 3]
        c = instructions[position, 4]
        if opcode <= _SET_SCALAR:
            d *= block
            if opcode == _LOAD:
                _load_column(
                    registers,
                    d,
                    scratch,
                    addresses[a] + 4 * b,
                    strides[a],
                    row + c * next_step,
                    row_count,
                    block,
                    convert,
                )
            elif opcode == _TABLE:
                for j in range(0, block, LANES):
                    store(registers, d + j, load(tables, a + ((row + j) & (b - 1))))
            elif opcode == _ADD:
                a, b = a * block, b * block
                for j in range(0, block, LANES):
                    store(registers, d + j, add(load(registers, a + j), load(registers, b + j)))
            elif opcode == _SUBTRACT:
                a, b = a * block, b * block
                for j in range(0, block, LANES):
                    store(registers, d + j, subtract(load(registers, a + j), load(registers, b + j)))
            elif opcode == _MULTIPLY:
                a, b = a * block, b * block
                for j in range(0, block, LANES):
                    store(registers, d + j, multiply(load(registers, a + j), load(registers, b + j)))
            elif opcode == _ADD_SCALAR:
                a, scalar = a * block, splat(scalars[b])
                for j in range(0, block, LANES):
                    store(registers, d + j, add(load(registers, a + j), scalar))
            elif opcode == _SCALAR_SUBTRACT:
                a, scalar = a * block, splat(scalars[b])
                for j in range(0, block, LANES):
                    store(registers, d + j, subtract(scalar, load(registers, a + j)))
            elif opcode == _MULTIPLY_SCALAR:
                a, scalar = a * block, splat(scalars[b])
                for j in range(0, block, LANES):
                    store(registers, d + j, multiply(load(registers, a + j), scalar))
            else:
                scalar = splat(scalars[a])
                for j in range(0, block, LANES):
                    store(registers, d + j, scalar)
        elif opcode == _FOLD:
            a, constant = a * block, splat_element(constants, b)
            for j in range(0, block, LANES):
                product = multiply_by_base(constant, load(registers, a + j))
                _store_element(accumulator, j, block, add_elements(_load_element(accumulator, j, block), product))
        elif opcode == _X_FOLD:
            a, constant = 5 * a * block, splat_element(constants, b)
            for j in range(0, block, LANES):
                product = multiply_elements(_load_element(extensions, a + j, block), constant)
                _store_element(accumulator, j, block, add_elements(_load_element(accumulator, j, block), product))
        else:
            d *= 5 * block
            if opcode == _X_LOAD:
                for k in range(5):
                    _load_column(
                        extensions, d + k * block, scratch, addresses[a] + 4 * (b + k), strides[a], row + c * next_step,
                        row_count, block, convert,
                    )  # fmt: skip
            elif opcode == _X_FINGERPRINT:
                constant = splat_element(constants, c)
                for j in range(0, block, LANES):
                    total = constant
                    for k in range(a, a + b):
                        factor = splat_element(constants, arguments[k, 1])
                        value = load(registers, arguments[k, 0] * block + j)
                        total = add_elements(total, multiply_by_base(factor, value))
                    _store_element(extensions, d + j, block, total)
            elif opcode == _X_ADD_CONSTANT:
                a, constant = 5 * a * block, splat_element(constants, b)
                for j in range(0, block, LANES):
                    _store_element(
                        extensions, d + j, block, add_elements(_load_element(extensions, a + j, block), constant)
                    )
            elif opcode == _X_ADD or opcode == _X_SUBTRACT:
                a, b = 5 * a * block, 5 * b * block
                for j in range(0, 5 * block, LANES):
                    x, y = load(extensions, a + j), load(extensions, b + j)
                    store(extensions, d + j, add(x, y) if opcode == _X_ADD else subtract(x, y))
            elif opcode == _X_MULTIPLY:
                a, b = 5 * a * block, 5 * b * block
                for j in range(0, block, LANES):
                    u, v = _load_element(extensions, a + j, block), _load_element(extensions, b + j, block)
                    _store_element(extensions, d + j, block, multiply_elements(u, v))
            elif opcode == _X_ADD_BASE:
                a, b = 5 * a * block, b * block
                for j in range(0, block, LANES):
                    x, y = load(extensions, a + j), load(registers, b + j)
                    store(extensions, d + j, add(x, y) if c > 0 else subtract(x, y))
                if a != d:
                    for j in range(block, 5 * block, LANES):
                        store(extensions, d + j, load(extensions, a + j))
            elif opcode == _X_MULTIPLY_BASE:
                a, b = 5 * a * block, b * block
                zero = splat(np.uint32(0))
                for j in range(0, block, LANES):
                    y = load(registers, b + j)
                    if c < 0:
                        y = subtract(zero, y)
                    _store_element(
                        extensions, d + j, block, multiply_by_base(_load_element(extensions, a + j, block), y)
                    )
            elif opcode == _X_MULTIPLY_ADD:
                a, b = 5 * a * block, b * block
                for j in range(0, block, LANES):
                    product = multiply_by_base(_load_element(extensions, a + j, block), load(registers, b + j))
                    before = _load_element(extensions, d + j, block)
                    if c > 0:
                        _store_element(extensions, d + j, block, add_elements(before, product))
                    else:
                        _store_element(extensions, d + j, block, subtract_elements(before, product))


@kernel
def _run_rows(
    instructions, arguments, scalars, constants, tables, addresses, strides, shape, mode, convert, groups, domain,
    result, start, stop,
):  # fmt: skip
    """
    Runs a program on rows start .. stop - 1 and writes their results; start and stop are multiples of the block.

    shape:   block, row count, rows from this row to the next, base registers, extension registers, whether selectors
             are used.
    mode:    _TRACE: result is [rows, 5 * groups] flat, columns and row totals; _EXTENSION: result is [rows, 5] flat,
             the quotient.
    groups:  [k, 3]: extension registers of numerator and denominator, whether the column is an accumulator.
    domain:  for _EXTENSION, see `_Domain`.
    """
    block, row_count, next_step = shape[0], shape[1], shape[2]
    registers = np.zeros(shape[3] * block, dtype=np.uint32)
    extensions = np.zeros((5 * shape[4] + 5) * block, dtype=np.uint32)
    accumulator = np.zeros(5 * block, dtype=np.uint32)
    scratch = np.zeros(2 * LANES, dtype=np.uint32)
    products = np.zeros((5 * groups.shape[0] + 10) * block, dtype=np.uint32)
    for row in range(start, stop, block):
        if shape[5]:
            if mode == _TRACE:
                registers[: 2 * block] = np.uint32(0)
                if row == 0:
                    registers[0] = _ONE
                if row + block == row_count:
                    registers[2 * block - 1] = _ONE
            else:
                _selectors(registers, products, domain, row, block)
        _execute(
            instructions, arguments, scalars, constants, tables, addresses, strides, registers, extensions, accumulator,
            scratch, row, block, row_count, next_step, convert,
        )  # fmt: skip
        if mode == _TRACE:
            _divide(extensions, products, groups, result, row, block)
        else:
            for j in range(block):
                inverse = domain[3 + (j & 1)]
                for k in range(5):
                    result[5 * (row + j) + k] = multiply_scalar(accumulator[k * block + j], inverse)
            accumulator[:] = np.uint32(0)


@kernel
def _selectors(registers, products, domain, row, block):
    """
    Registers 0 and 1: Z_H / n * 1 / (x - 1) and Z_H w^-1 / n * 1 / (x - w^-1) on rows row .. row + block - 1.

    The 2 * block differences are inverted together, lane by lane (P. Montgomery 1987, 10.3.1). None is 0: x lies
    outside the trace domain.
    """
    # x = 3 omega^row omega^j
    base, power, exponent = domain[1], domain[0], row
    while exponent:
        if exponent & 1:
            base = multiply_scalar(base, power)
        power = multiply_scalar(power, power)
        exponent >>= 1
    base_vector, one, last_point = splat(base), splat(_ONE), splat(domain[2])
    for j in range(block):
        products[8 * block + j] = domain[7 + j]
        products[9 * block + j] = domain[5 + (j & 1)]
    product = one
    for j in range(0, block, LANES):
        x = multiply(load(products, 8 * block + j), base_vector)
        difference = subtract(x, one)
        store(registers, j, difference)
        store(products, j, product)
        product = multiply(product, difference)
        difference = subtract(x, last_point)
        store(registers, block + j, difference)
        store(products, block + j, product)
        product = multiply(product, difference)
    inverse = one
    for bit in range(31):
        # p - 2 is six ones, a zero, twenty-four ones.
        inverse = multiply(inverse, inverse)
        if bit != 6:
            inverse = multiply(inverse, product)
    for j in range(block - LANES, -1, -LANES):
        scale = load(products, 9 * block + j)
        difference = load(registers, block + j)
        reciprocal = multiply(inverse, load(products, block + j))
        store(registers, block + j, multiply(multiply(reciprocal, last_point), scale))
        inverse = multiply(inverse, difference)
        difference = load(registers, j)
        reciprocal = multiply(inverse, load(products, j))
        store(registers, j, multiply(reciprocal, scale))
        inverse = multiply(inverse, difference)


@kernel
def _divide(extensions, products, groups, result, row, block):
    """
    Numerators over denominators of one block, into the auxiliary matrix; an accumulator's column takes the row's
    total of its scope.

    All denominators of a lane are inverted together (P. Montgomery 1987, 10.3.1). A denominator 0 counts as 1: its
    column then fails its constraint.
    products: [5 * groups * block] scratch.
    """
    group_count = groups.shape[0]
    width = 5 * group_count
    zero = splat(np.uint32(0))
    product = (splat(_ONE), zero, zero, zero, zero)
    for j in range(0, block, LANES):
        for g in range(group_count):
            _store_element(products, 5 * g * block + j, block, product)
            denominator = _load_element(extensions, 5 * groups[g, 1] * block + j, block)
            product = multiply_elements(product, one_where_zero(denominator))
    inverse = invert_elements(product)
    for j in range(block - LANES, -1, -LANES):
        for g in range(group_count - 1, -1, -1):
            reciprocal = multiply_elements(inverse, _load_element(products, 5 * g * block + j, block))
            denominator = one_where_zero(_load_element(extensions, 5 * groups[g, 1] * block + j, block))
            inverse = multiply_elements(inverse, denominator)
            numerator = 5 * groups[g, 0] * block + j
            fraction = multiply_elements(_load_element(extensions, numerator, block), reciprocal)
            _store_element(extensions, numerator, block, fraction)
    for j in range(0, block, LANES):
        total = _load_element(extensions, 5 * groups[0, 0] * block + j, block)
        for g in range(group_count):
            at = 5 * groups[g, 0] * block + j
            if g:
                value = _load_element(extensions, at, block)
                if groups[g - 1, 2]:
                    total = value
                else:
                    total = add_elements(total, value)
            if groups[g, 2]:
                _store_element(extensions, at, block, total)
    for g in range(group_count):
        at = 5 * groups[g, 0] * block
        for j in range(block):
            for k in range(5):
                result[(row + j) * width + 5 * g + k] = extensions[at + k * block + j]


@kernel
def _total_rows(matrix, width, column, total, start, stop):
    """total [5] += the sum over rows start .. stop - 1 of the five words from `column`."""
    for row in range(start, stop):
        at = row * width + column
        for k in range(5):
            total[k] = add_scalar(total[k], matrix[at + k])


@kernel
def _accumulate_rows(matrix, width, column, first_value, mean, start, stop):
    """The row totals r_i in five columns become S_i: S_(i+1) = S_i + r_i - mean, beginning with first_value [5]."""
    value = first_value.copy()
    for row in range(start, stop):
        at = row * width + column
        for k in range(5):
            total = matrix[at + k]
            matrix[at + k] = value[k]
            value[k] = subtract_scalar(add_scalar(value[k], total), mean[k])
