"""
The Poseidon2 permutation on LANES states at once, written as one IR function.

As numba statements the 24 state registers cost several seconds of compilation; emitted directly they cost half a
second. The meaning is `reference.poseidon2.permute`, step by step.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from zkvm.field.koala_bear import PRIME
from zkvm.kernels.constants.poseidon2 import (
    DIAGONAL_MINUS_ONE,
    FINAL_ROUND_CONSTANTS,
    INITIAL_ROUND_CONSTANTS,
    PARTIAL_ROUND_CONSTANTS,
    WIDTH,
)
from zkvm.kernels.fast.simd import I32, LANES, VECTOR_IR, Emitter, _require_words, data_pointer

INDEX = ir.IntType(64)


@intrinsic
def permute_lanes(typing_context, array, index):
    """
    P in place on LANES states: element e of state l is array[index + e * LANES + l], Montgomery form.

    array: flat uint32, at least 24 * LANES elements from index.
    """
    _require_words(array)

    def emit(context, builder, signature, arguments):
        pointer = data_pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        builder.call(_permutation(builder.module), [builder.bitcast(pointer, VECTOR_IR.as_pointer())])
        return context.get_dummy_value()

    return types.void(array, types.int64), emit


def _permutation(module: ir.Module) -> ir.Function:
    name = f"blockproof_poseidon2_koala_bear_24_x{LANES}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [VECTOR_IR.as_pointer()]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")

    builder = ir.IRBuilder(function.append_basic_block("entry"))
    pointer = function.args[0]
    slots = [builder.gep(pointer, [ir.Constant(INDEX, i)]) for i in range(WIDTH)]
    state = [builder.load(slot, align=4) for slot in slots]

    state = _external_layer(Emitter(builder), state)
    state = _rounds(builder, state, "initial", INITIAL_ROUND_CONSTANTS, _full_round)
    state = _rounds(builder, state, "partial", [[constant] for constant in PARTIAL_ROUND_CONSTANTS], _partial_round)
    state = _rounds(builder, state, "final", FINAL_ROUND_CONSTANTS, _full_round)

    for slot, value in zip(slots, state):
        builder.store(value, slot, align=4)
    builder.ret_void()
    return function


def _rounds(builder, state, name, constants, one_round):
    """A loop over rounds whose 24 registers are carried by phi nodes. constants: one row per round."""
    row_length = len(constants[0])
    table_type = ir.ArrayType(I32, len(constants) * row_length)
    table = cgutils.global_constant(
        builder.module,
        f"blockproof_poseidon2_{name}",
        ir.Constant(table_type, [c * 2**32 % PRIME for row in constants for c in row]),
    )

    before = builder.block
    body = builder.function.append_basic_block(name)
    after = builder.function.append_basic_block(f"after_{name}")
    builder.branch(body)
    builder.position_at_end(body)
    round_index = builder.phi(INDEX)
    round_index.add_incoming(ir.Constant(INDEX, 0), before)
    registers = [builder.phi(VECTOR_IR) for _ in state]
    for register, value in zip(registers, state):
        register.add_incoming(value, before)

    row = builder.mul(round_index, ir.Constant(INDEX, row_length))
    emitter = Emitter(builder)

    def constant(i):
        slot = builder.gep(table, [ir.Constant(INDEX, 0), builder.add(row, ir.Constant(INDEX, i))])
        return emitter.splat(builder.load(slot, align=4))

    results = one_round(emitter, list(registers), constant)

    next_index = builder.add(round_index, ir.Constant(INDEX, 1))
    round_index.add_incoming(next_index, builder.block)
    for register, value in zip(registers, results):
        register.add_incoming(value, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", next_index, ir.Constant(INDEX, len(constants))), body, after)
    builder.position_at_end(after)
    return results


def _full_round(emitter, state, constant):
    return _external_layer(emitter, [_cube(emitter, emitter.add(value, constant(i))) for i, value in enumerate(state)])


def _partial_round(emitter, state, constant):
    add, subtract = emitter.add, emitter.subtract
    first = _cube(emitter, emitter.add(state[0], constant(0)))
    # The sum of the elements that the S-box leaves alone does not wait for it.
    rest = _sum(emitter, state[1:])
    total = add(rest, first)

    results = [subtract(rest, first)]  # total - 2 * first: the factor of element 0 is -2.
    for factor, value in zip(DIAGONAL_MINUS_ONE[1:], state[1:]):
        results.append(_add_multiple(emitter, total, factor, value))
    return results


def _add_multiple(emitter, total, factor, value):
    """total + factor * value, for a factor that is +-1, 2, 3, 4 or +-2^-k."""
    for sign, combine in ((1, emitter.add), (-1, emitter.subtract)):
        magnitude = sign * factor % PRIME
        if magnitude <= 4:
            multiple = value
            if magnitude >= 2:
                multiple = emitter.add(value, value)
            if magnitude == 3:
                multiple = emitter.add(multiple, value)
            if magnitude == 4:
                multiple = emitter.add(multiple, multiple)
            return combine(total, multiple)
        for exponent in range(1, 25):
            if magnitude * 2**exponent % PRIME == 1:
                return combine(total, emitter.divide_by_power_of_two(value, exponent))
    raise ValueError(f"the internal matrix has a factor of another form: {factor}")


def _sum(emitter, values):
    while len(values) > 1:
        pairs = [emitter.add(a, b) for a, b in zip(values[::2], values[1::2])]
        values = pairs + values[len(values) - len(values) % 2 :]
    return values[0]


def _cube(emitter, value):
    return emitter.multiply(emitter.multiply(value, value), value)


def _external_layer(emitter, state):
    add = emitter.add
    mixed = []
    for i in range(0, WIDTH, 4):
        a, b, c, d = state[i : i + 4]
        ab, cd = add(a, b), add(c, d)
        total = add(ab, cd)
        total_b, total_d = add(total, b), add(total, d)
        mixed += [add(total_b, ab), add(total_b, add(c, c)), add(total_d, cd), add(total_d, add(a, a))]
    sums = [_sum(emitter, mixed[k::4]) for k in range(4)]
    return [add(value, sums[i % 4]) for i, value in enumerate(mixed)]
