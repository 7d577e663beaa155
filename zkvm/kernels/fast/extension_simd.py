"""
Extension-field arithmetic on SIMD registers: an element is a tuple of five vectors, lowest power first.

Values as in zkvm.kernels.fast.simd; meaning as in zkvm.field.extension.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from zkvm.field.extension import _FROBENIUS, DEGREE
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.fast.simd import I32, LANES, VECTOR_IR, Emitter, _require_words, data_pointer, vector_type

element_type = types.UniTuple(vector_type, DEGREE)
"""LANES extension elements in five registers."""


def _unpack(builder, value):
    return cgutils.unpack_tuple(builder, value, DEGREE)


def _pack(context, builder, values):
    return context.make_tuple(builder, element_type, values)


def _product(emitter, a, b):
    add, subtract, multiply = emitter.add, emitter.subtract, emitter.multiply
    c = [None] * (2 * DEGREE - 1)
    for i in range(DEGREE):
        for j in range(DEGREE):
            term = multiply(a[i], b[j])
            c[i + j] = term if c[i + j] is None else add(c[i + j], term)
    # x^5 = 1 - x^2, x^6 = x - x^3, x^7 = x^2 - x^4, x^8 = x^3 + x^2 - 1.
    fold = subtract(c[5], c[8])
    return [
        add(c[0], fold),
        add(c[1], c[6]),
        add(subtract(c[2], fold), c[7]),
        add(subtract(c[3], c[6]), c[8]),
        subtract(c[4], c[7]),
    ]


def _frobenius(emitter, a, count):
    images = _FROBENIUS[count]
    results = [a[0]] + [None] * (DEGREE - 1)
    for i in range(1, DEGREE):
        for k, coefficient in enumerate(images[i].coefficients):
            if coefficient:
                term = emitter.multiply(a[i], emitter.splat_constant(coefficient * 2**32 % PRIME))
                results[k] = term if results[k] is None else emitter.add(results[k], term)
    return [emitter.splat_constant(0) if value is None else value for value in results]


def _is_zero(builder, a):
    together = a[0]
    for value in a[1:]:
        together = builder.or_(together, value)
    return builder.icmp_unsigned("==", together, ir.Constant(VECTOR_IR, [0] * LANES))


@intrinsic
def gather_element(typing_context, array, row):
    """Rows row .. row + LANES - 1 of a flat [n, 5] array."""
    _require_words(array)

    def emit(context, builder, signature, arguments):
        vectors = [ir.Constant(VECTOR_IR, ir.Undefined)] * DEGREE
        first = builder.mul(arguments[1], ir.Constant(ir.IntType(64), DEGREE))
        pointer = data_pointer(context, builder, signature.args[0], arguments[0], first)
        for lane in range(LANES):
            for k in range(DEGREE):
                slot = builder.gep(pointer, [ir.Constant(ir.IntType(64), lane * DEGREE + k)])
                vectors[k] = builder.insert_element(vectors[k], builder.load(slot, align=4), ir.Constant(I32, lane))
        return _pack(context, builder, vectors)

    return element_type(array, types.int64), emit


@intrinsic
def scatter_element(typing_context, array, row, element):
    """Writes rows row .. row + LANES - 1 of a flat [n, 5] array."""
    _require_words(array)

    def emit(context, builder, signature, arguments):
        vectors = _unpack(builder, arguments[2])
        first = builder.mul(arguments[1], ir.Constant(ir.IntType(64), DEGREE))
        pointer = data_pointer(context, builder, signature.args[0], arguments[0], first)
        for lane in range(LANES):
            for k in range(DEGREE):
                slot = builder.gep(pointer, [ir.Constant(ir.IntType(64), lane * DEGREE + k)])
                builder.store(builder.extract_element(vectors[k], ir.Constant(I32, lane)), slot, align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, element_type), emit


@intrinsic
def splat_element(typing_context, array, row):
    """Row `row` of a flat [n, 5] array, in every lane."""
    _require_words(array)

    def emit(context, builder, signature, arguments):
        first = builder.mul(arguments[1], ir.Constant(ir.IntType(64), DEGREE))
        pointer = data_pointer(context, builder, signature.args[0], arguments[0], first)
        emitter = Emitter(builder)
        slots = [builder.gep(pointer, [ir.Constant(ir.IntType(64), k)]) for k in range(DEGREE)]
        return _pack(context, builder, [emitter.splat(builder.load(slot, align=4)) for slot in slots])

    return element_type(array, types.int64), emit


@intrinsic
def add_elements(typing_context, a, b):
    """a + b."""

    def emit(context, builder, signature, arguments):
        emitter = Emitter(builder)
        pairs = zip(*(_unpack(builder, argument) for argument in arguments))
        return _pack(context, builder, [emitter.add(x, y) for x, y in pairs])

    return element_type(element_type, element_type), emit


@intrinsic
def subtract_elements(typing_context, a, b):
    """a - b."""

    def emit(context, builder, signature, arguments):
        emitter = Emitter(builder)
        pairs = zip(*(_unpack(builder, argument) for argument in arguments))
        return _pack(context, builder, [emitter.subtract(x, y) for x, y in pairs])

    return element_type(element_type, element_type), emit


@intrinsic
def multiply_elements(typing_context, a, b):
    """a * b."""

    def emit(context, builder, signature, arguments):
        a, b = (_unpack(builder, argument) for argument in arguments)
        return _pack(context, builder, _product(Emitter(builder), a, b))

    return element_type(element_type, element_type), emit


@intrinsic
def multiply_by_base(typing_context, a, factor):
    """a times a vector of base-field elements."""

    def emit(context, builder, signature, arguments):
        emitter = Emitter(builder)
        values = [emitter.multiply(x, arguments[1]) for x in _unpack(builder, arguments[0])]
        return _pack(context, builder, values)

    return element_type(element_type, vector_type), emit


@intrinsic
def one_where_zero(typing_context, a):
    """a, with 1 in the lanes that hold 0."""

    def emit(context, builder, signature, arguments):
        a = _unpack(builder, arguments[0])
        one = ir.Constant(VECTOR_IR, [2**32 % PRIME] * LANES)
        return _pack(context, builder, [builder.select(_is_zero(builder, a), one, a[0]), *a[1:]])

    return element_type(element_type), emit


@intrinsic
def zero_where_zero(typing_context, a, b):
    """b, with 0 in the lanes where a holds 0."""

    def emit(context, builder, signature, arguments):
        a, b = (_unpack(builder, argument) for argument in arguments)
        is_zero = _is_zero(builder, a)
        zero = ir.Constant(VECTOR_IR, [0] * LANES)
        return _pack(context, builder, [builder.select(is_zero, zero, value) for value in b])

    return element_type(element_type, element_type), emit


@intrinsic
def invert_elements(typing_context, a):
    """1 / a, 0 giving 0: the other four conjugates over the norm, as in zkvm.field.extension."""

    def emit(context, builder, signature, arguments):
        emitter = Emitter(builder)
        a = _unpack(builder, arguments[0])
        pair = _product(emitter, _frobenius(emitter, a, 1), _frobenius(emitter, a, 2))
        others = _product(emitter, pair, _frobenius(emitter, pair, 2))
        norm = _product(emitter, a, others)[0]
        # norm^(p - 2): p - 2 = 2^31 - 2^24 - 1 is six ones, a zero, twenty-four ones.
        inverse = norm
        for bit in range(1, 31):
            inverse = emitter.multiply(inverse, inverse)
            if bit != 6:
                inverse = emitter.multiply(inverse, norm)
        return _pack(context, builder, [emitter.multiply(value, inverse) for value in others])

    return element_type(element_type), emit


@intrinsic
def sum_lanes(typing_context, vector):
    """The sum of all lanes mod p: one uint32."""

    def emit(context, builder, signature, arguments):
        emitter = Emitter(builder)
        vector = arguments[0]
        distance = LANES // 2
        while distance:
            mask = ir.Constant(ir.VectorType(I32, LANES), [(lane + distance) % LANES for lane in range(LANES)])
            rotated = builder.shuffle_vector(vector, ir.Constant(VECTOR_IR, ir.Undefined), mask)
            vector = emitter.add(vector, rotated)
            distance //= 2
        return builder.extract_element(vector, ir.Constant(I32, 0))

    return types.uint32(vector_type), emit
