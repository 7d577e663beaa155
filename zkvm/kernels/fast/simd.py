"""
Field arithmetic on whole SIMD registers, for use inside kernels.

Statement
---------
`Vector` is a numba type: LANES elements of 32 bits in one register. The operations below are ordinary calls inside a
kernel; each becomes a few instructions of generic vector IR, so nothing depends on the auto-vectoriser, and the same
source compiles for any processor (without AVX2 the compiler splits a vector over narrower registers).

Values are KoalaBear elements in [0, p) in Montgomery form x * 2^32 mod p, unless an operation says otherwise.
Montgomery form is linear, so additions, and multiplications by small powers of two, are the same in both forms.

Indices and strides count 32-bit elements; arrays are flat, C-contiguous `uint32`. Nothing is bounds-checked.
"""

from typing import Any

import numba
from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from zkvm.field.koala_bear import PRIME


def _lane_count() -> int:
    """16 where the processor that numba compiles for has AVX-512, else 8: AVX2, or two narrower registers."""
    if numba.config.CPU_FEATURES is not None:
        return 16 if "+avx512f" in numba.config.CPU_FEATURES.split(",") else 8
    if numba.config.CPU_NAME not in (None, "host"):
        return 8
    features = binding.get_host_cpu_features()
    return 16 if features.get("avx512f") and features.get("avx512bw") else 8


LANES: int = _lane_count()
"""Elements per vector. Decides padding inside kernels only, never a result."""

MONTGOMERY_FACTOR: int = pow(PRIME, -1, 2**32)
"""p^-1 mod 2^32: with q = t * p^-1 mod 2^32, t and q * p agree in their low halves."""

I32 = ir.IntType(32)
I64 = ir.IntType(64)
VECTOR_IR = ir.VectorType(I32, LANES)
HALF_IR = ir.VectorType(I64, LANES // 2)


class Vector(types.Type):
    """The type of LANES elements in a register."""

    def __init__(self) -> None:
        super().__init__(name=f"KoalaBearVector{LANES}")


vector_type = Vector()


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend_type: Any) -> None:
        super().__init__(manager, frontend_type, VECTOR_IR)


class Emitter:
    """Writes vector arithmetic into one IR builder; the body of every operation of this module."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder
        self.prime = self.splat_constant(PRIME)

    def splat_constant(self, value: int) -> ir.Constant:
        """The same 32-bit constant in every lane."""
        return ir.Constant(VECTOR_IR, [value] * LANES)

    def splat(self, scalar: ir.Value) -> ir.Value:
        """One 32-bit value in every lane."""
        first = self.builder.insert_element(ir.Constant(VECTOR_IR, ir.Undefined), scalar, ir.Constant(I32, 0))
        return self.builder.shuffle_vector(
            first, ir.Constant(VECTOR_IR, ir.Undefined), ir.Constant(ir.VectorType(I32, LANES), [0] * LANES)
        )

    def minimum(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """The lesser of two unsigned lanes."""
        function = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(VECTOR_IR, [VECTOR_IR, VECTOR_IR]), f"llvm.umin.v{LANES}i32"
        )
        return self.builder.call(function, [a, b])

    def add(self, a: ir.Value, b: ir.Value) -> ir.Value:
        # a + b < 2p < 2^32. If it is below p, subtracting p wraps round to more than 2^31: the lesser is the
        # canonical one.
        total = self.builder.add(a, b)
        return self.minimum(total, self.builder.sub(total, self.prime))

    def subtract(self, a: ir.Value, b: ir.Value) -> ir.Value:
        # A negative difference has wrapped to more than 2^31; adding p brings it back.
        difference = self.builder.sub(a, b)
        return self.minimum(difference, self.builder.add(difference, self.prime))

    def multiply(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """
        a * b / 2^32 mod p (P. Montgomery, Modular multiplication without trial division, 1985).

        With t = a * b < p^2 < 2^62 and q = t / p mod 2^32: t - q * p is divisible by 2^32 and lies above -2^32 p and
        below 2^31 p, so its high half is the result or the result minus p. Even and odd lanes are multiplied apart,
        32 x 32 -> 64 bits. The high halves are subtracted as 32-bit lanes; as 64-bit lanes the compiler would fold -p
        into a slow constant.
        """
        builder = self.builder
        low = ir.Constant(HALF_IR, [2**32 - 1] * (LANES // 2))
        factor = ir.Constant(HALF_IR, [MONTGOMERY_FACTOR] * (LANES // 2))
        prime = ir.Constant(HALF_IR, [PRIME] * (LANES // 2))
        a_pairs, b_pairs = builder.bitcast(a, HALF_IR), builder.bitcast(b, HALF_IR)

        differences = []
        for x, y in (
            (builder.and_(a_pairs, low), builder.and_(b_pairs, low)),
            (self._odd_lanes(a), self._odd_lanes(b)),
        ):
            product = builder.mul(x, y)
            quotient = self._opaque(builder.mul(builder.and_(product, low), factor))
            multiple = builder.mul(builder.and_(quotient, low), prime)
            differences.append(builder.sub(builder.bitcast(product, VECTOR_IR), builder.bitcast(multiple, VECTOR_IR)))
        high_halves = [2 * (lane // 2) + 1 + (lane % 2) * LANES for lane in range(LANES)]
        result = builder.shuffle_vector(*differences, ir.Constant(ir.VectorType(I32, LANES), high_halves))
        return self.minimum(result, builder.add(result, self.prime))

    def _odd_lanes(self, a: ir.Value) -> ir.Value:
        """Lanes 1, 3, 5, ..., each as 64 bits."""
        builder = self.builder
        if LANES < 16:
            return builder.lshr(builder.bitcast(a, HALF_IR), ir.Constant(HALF_IR, [32] * (LANES // 2)))
        # With AVX-512 shifts share their port with multiplications, shuffles do not.
        odd = ir.Constant(ir.VectorType(I32, LANES), [lane | 1 for lane in range(LANES)])
        doubled = builder.shuffle_vector(a, ir.Constant(VECTOR_IR, ir.Undefined), odd)
        return builder.and_(builder.bitcast(doubled, HALF_IR), ir.Constant(HALF_IR, [2**32 - 1] * (LANES // 2)))

    def _opaque(self, value: ir.Value) -> ir.Value:
        """
        The same value, which the optimiser may not look through.

        Only the low half of a quotient is used, so it would drop the mask before it, forget that both factors have 32
        bits, and, given AVX-512, emit the three times slower 64-bit product. Measured: 15 % of a permutation. Without
        AVX-512 nothing is gained.
        """
        if LANES < 16:
            return value
        return self.builder.asm(ir.FunctionType(HALF_IR, [HALF_IR]), "", "=v,0", [value], False)

    def divide_by_power_of_two(self, a: ir.Value, exponent: int) -> ir.Value:
        """
        a / 2^k mod p for 1 <= k <= 24, without a multiplication.

        With a = high * 2^k + low: since p = 127 * 2^24 + 1, low / 2^k = -low * 127 * 2^(24-k) mod p, and that product
        stays below p.
        """
        builder = self.builder
        low_on_top = builder.shl(a, self.splat_constant(32 - exponent))
        product = builder.sub(
            builder.lshr(low_on_top, self.splat_constant(1)), builder.lshr(low_on_top, self.splat_constant(8))
        )
        return self.subtract(builder.lshr(a, self.splat_constant(exponent)), product)


def data_pointer(context: Any, builder: ir.IRBuilder, array_type: Any, array: Any, index: ir.Value) -> ir.Value:
    """The address of element `index` (64 bits) of a numba array value of dtype uint32."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index])


def _require_words(array: Any) -> None:
    if not (isinstance(array, types.Array) and array.dtype == types.uint32 and array.layout == "C"):
        raise numba.core.errors.TypingError(f"SIMD access needs a C-contiguous uint32 array, not {array}")


@intrinsic
def load(typing_context, array, index):
    """Elements index .. index + LANES - 1 of a flat array."""
    _require_words(array)

    def emit(context, builder, signature, arguments):
        pointer = data_pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        return builder.load(builder.bitcast(pointer, VECTOR_IR.as_pointer()), align=4)

    return vector_type(array, types.int64), emit


@intrinsic
def store(typing_context, array, index, vector):
    """Writes a vector to elements index .. index + LANES - 1 of a flat array."""
    _require_words(array)

    def emit(context, builder, signature, arguments):
        pointer = data_pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.store(arguments[2], builder.bitcast(pointer, VECTOR_IR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.int64, vector_type), emit


@intrinsic
def gather(typing_context, array, index, stride):
    """Elements index, index + stride, index + 2 stride, ... of a flat array."""
    _require_words(array)

    def emit(context, builder, signature, arguments):
        array_value, index, stride = arguments
        vector = ir.Constant(VECTOR_IR, ir.Undefined)
        for lane in range(LANES):
            pointer = data_pointer(context, builder, signature.args[0], array_value, index)
            vector = builder.insert_element(vector, builder.load(pointer, align=4), ir.Constant(I32, lane))
            index = builder.add(index, stride)
        return vector

    return vector_type(array, types.int64, types.int64), emit


@intrinsic
def gather_address(typing_context, address, stride):
    """32-bit words at a byte address, and at steps of `stride` bytes from it."""

    def emit(context, builder, signature, arguments):
        address, stride = arguments
        vector = ir.Constant(VECTOR_IR, ir.Undefined)
        for lane in range(LANES):
            word = builder.load(builder.inttoptr(address, I32.as_pointer()), align=4)
            vector = builder.insert_element(vector, word, ir.Constant(I32, lane))
            address = builder.add(address, stride)
        return vector

    return vector_type(types.int64, types.int64), emit


@intrinsic
def scatter(typing_context, array, index, stride, vector):
    """Writes lane i to element index + i * stride of a flat array."""
    _require_words(array)

    def emit(context, builder, signature, arguments):
        array_value, index, stride, vector = arguments
        for lane in range(LANES):
            pointer = data_pointer(context, builder, signature.args[0], array_value, index)
            builder.store(builder.extract_element(vector, ir.Constant(I32, lane)), pointer, align=4)
            index = builder.add(index, stride)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64, vector_type), emit


@intrinsic
def splat(typing_context, scalar):
    """One uint32 in every lane."""

    def emit(context, builder, signature, arguments):
        return Emitter(builder).splat(arguments[0])

    return vector_type(types.uint32), emit


@intrinsic
def add(typing_context, a, b):
    """a + b mod p."""

    def emit(context, builder, signature, arguments):
        return Emitter(builder).add(*arguments)

    return vector_type(vector_type, vector_type), emit


@intrinsic
def subtract(typing_context, a, b):
    """a - b mod p."""

    def emit(context, builder, signature, arguments):
        return Emitter(builder).subtract(*arguments)

    return vector_type(vector_type, vector_type), emit


@intrinsic
def multiply(typing_context, a, b):
    """a * b / 2^32 mod p: the product, in Montgomery form. One factor may be any 32-bit value, the other below p."""

    def emit(context, builder, signature, arguments):
        return Emitter(builder).multiply(*arguments)

    return vector_type(vector_type, vector_type), emit


@intrinsic
def add_scalar(typing_context, a, b):
    """a + b mod p on single elements."""

    def emit(context, builder, signature, arguments):
        total = builder.add(*arguments)
        reduced = builder.sub(total, ir.Constant(I32, PRIME))
        return builder.select(builder.icmp_unsigned("<", total, ir.Constant(I32, PRIME)), total, reduced)

    return types.uint32(types.uint32, types.uint32), emit


@intrinsic
def subtract_scalar(typing_context, a, b):
    """a - b mod p on single elements."""

    def emit(context, builder, signature, arguments):
        difference = builder.sub(*arguments)
        raised = builder.add(difference, ir.Constant(I32, PRIME))
        return builder.select(builder.icmp_unsigned("<", arguments[0], arguments[1]), raised, difference)

    return types.uint32(types.uint32, types.uint32), emit


@intrinsic
def multiply_scalar(typing_context, a, b):
    """a * b / 2^32 mod p on single elements; the bounds are those of `multiply`."""

    def emit(context, builder, signature, arguments):
        a, b = (builder.zext(argument, I64) for argument in arguments)
        product = builder.mul(a, b)
        quotient = builder.mul(builder.trunc(product, I32), ir.Constant(I32, MONTGOMERY_FACTOR))
        multiple = builder.mul(builder.zext(quotient, I64), ir.Constant(I64, PRIME))
        high = builder.trunc(builder.lshr(product, ir.Constant(I64, 32)), I32)
        high_multiple = builder.trunc(builder.lshr(multiple, ir.Constant(I64, 32)), I32)
        difference = builder.sub(high, high_multiple)
        raised = builder.add(difference, ir.Constant(I32, PRIME))
        return builder.select(builder.icmp_unsigned("<", high, high_multiple), raised, difference)

    return types.uint32(types.uint32, types.uint32), emit
