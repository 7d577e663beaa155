"""
Extension-field arithmetic on SIMD registers: an element is a tuple of five vectors, lowest power first.

Values as in zkvm.kernels.fast.simd; meaning as in zkvm.field.extension.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from zkvm.field.extension import _FROBENIUS, DEGREE
from zkvm.field.koala_bear import PRIME
from zkvm.kernels.fast.simd import (
    HALF_IR,
    I32,
    LANES,
    MONTGOMERY_FACTOR,
    VECTOR_IR,
    Emitter,
    _require_words,
    data_pointer,
    vector_type,
)

element_type = types.UniTuple(vector_type, DEGREE)
"""LANES extension elements in five registers."""


def _unpack(builder, value):
    return cgutils.unpack_tuple(builder, value, DEGREE)


def _pack(context, builder, values):
    return context.make_tuple(builder, element_type, values)


def _product(emitter, a, b):
    """
    a * b with one Montgomery reduction per coefficient instead of one per term.

    Coefficient k is sum_i a_i (b x^i)_k, and b x^(i+1) comes from b x^i by one subtraction, since x^5 = 1 - x^2. Terms are below p^2: four of them
    stay below 2^64, and taking p from the high half whenever it reaches p keeps the sum below 2^32 p, as the reduction wants.
    """
    builder = emitter.builder
    low = ir.Constant(HALF_IR, [2**32 - 1] * (LANES // 2))
    shift = ir.Constant(HALF_IR, [32] * (LANES // 2))
    factor = ir.Constant(HALF_IR, [MONTGOMERY_FACTOR] * (LANES // 2))
    prime = ir.Constant(HALF_IR, [PRIME] * (LANES // 2))
    prime_in_high_half = ir.Constant(VECTOR_IR, [PRIME * (lane % 2) for lane in range(LANES)])
    high_halves = ir.Constant(
        ir.VectorType(I32, LANES), [2 * (lane // 2) + 1 + (lane % 2) * LANES for lane in range(LANES)]
    )

    def halves(vector):
        """Even and odd lanes, each as 64-bit lanes."""
        pairs = builder.bitcast(vector, HALF_IR)
        return builder.and_(pairs, low), builder.lshr(pairs, shift)

    def lowered(total):
        words = builder.bitcast(total, VECTOR_IR)
        return builder.bitcast(emitter.minimum(words, builder.sub(words, prime_in_high_half)), HALF_IR)

    a_halves = [halves(value) for value in a]
    multiple = [(value, halves(value)) for value in b]
    terms = [[] for _ in range(DEGREE)]
    for i in range(DEGREE):
        for k in range(DEGREE):
            terms[k].append([builder.mul(a_halves[i][parity], multiple[k][1][parity]) for parity in range(2)])
        if i + 1 < DEGREE:
            difference = emitter.subtract(multiple[1][0], multiple[4][0])
            multiple = [multiple[4], multiple[0], (difference, halves(difference)), multiple[2], multiple[3]]

    coefficients = []
    for column in terms:
        differences = []
        for parity in range(2):
            t = [term[parity] for term in column]
            total = lowered(builder.add(builder.add(t[0], t[1]), builder.add(t[2], t[3])))
            total = lowered(builder.add(total, t[4]))
            quotient = builder.and_(builder.mul(builder.and_(total, low), factor), low)
            words = builder.bitcast(builder.mul(quotient, prime), VECTOR_IR)
            differences.append(builder.sub(builder.bitcast(total, VECTOR_IR), words))
        # As in Emitter.multiply: the high half is the result or the result minus p.
        result = builder.shuffle_vector(*differences, high_halves)
        coefficients.append(emitter.minimum(result, builder.add(result, emitter.prime)))
    return coefficients


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
