"""Each fast kernel against its plain twin, on random inputs and at the edges: height 1, width 1, no whole vector."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="the fast kernels need numba")

from zkvm.field.extension import ONE, ZERO, Extension
from zkvm.field.koala_bear import PRIME, two_adic_generator
from zkvm.kernels.errors import KernelInputError
from zkvm.kernels.fast import extension as fast_extension
from zkvm.kernels.fast import fri as fast_fri
from zkvm.kernels.fast import merkle as fast_merkle
from zkvm.kernels.fast import montgomery as fast_montgomery
from zkvm.kernels.fast import ntt as fast_ntt
from zkvm.kernels.fast import poseidon2 as fast_poseidon2
from zkvm.kernels.reference import extension as plain_extension
from zkvm.kernels.reference import fri as plain_fri
from zkvm.kernels.reference import merkle as plain_merkle
from zkvm.kernels.reference import montgomery as plain_montgomery
from zkvm.kernels.reference import ntt as plain_ntt
from zkvm.kernels.reference import poseidon2 as plain_poseidon2

SEED = 31


@pytest.fixture
def random():
    print("seed", SEED)
    return np.random.default_rng(SEED)


def words(random, *shape):
    """Random canonical elements, with the extremes among them."""
    array = random.integers(0, PRIME, shape, dtype=np.uint32)
    flat = array.reshape(-1)
    flat[::7] = 0
    flat[3::11] = PRIME - 1
    return array


def montgomery(array):
    return fast_montgomery.to_montgomery(np.array(array, dtype=np.uint32))


def canonical(array):
    return fast_montgomery.from_montgomery(array.copy()).tolist()


def elements(random, count):
    return [Extension(row) for row in words(random, count, 5).tolist()]


class TestMontgomery:
    @pytest.mark.parametrize("shape", [(0,), (1,), (7,), (8,), (16,), (33,), (5, 3), (2, 3, 4)])
    def test_conversion(self, random, shape):
        array = words(random, *shape)
        converted = fast_montgomery.to_montgomery(array.copy())
        assert converted.reshape(-1).tolist() == plain_montgomery.to_montgomery(array.reshape(-1).tolist())
        assert (fast_montgomery.from_montgomery(converted) == array).all()

    @pytest.mark.parametrize("count", [0, 1, 8, 15, 100])
    def test_batch_inverse(self, random, count):
        array = words(random, count)
        assert canonical(fast_montgomery.batch_inverse(montgomery(array))) == plain_montgomery.batch_inverse(
            array.tolist()
        )

    @pytest.mark.parametrize("count", [0, 1, 2, 17, 64, 100])
    def test_powers(self, count):
        assert canonical(fast_montgomery.powers(5, count, first=9)) == [
            9 * power % PRIME for power in plain_montgomery.powers(5, count)
        ]

    @pytest.mark.parametrize("log_count", [0, 1, 3, 7])
    def test_bit_reversed_powers_and_scale(self, random, log_count):
        plain = plain_montgomery.bit_reversed_powers(5, log_count, 9)
        table = fast_montgomery.bit_reversed_powers(5, log_count, 9)
        assert canonical(table) == plain
        assert canonical(fast_montgomery.scale(table, 77)) == plain_montgomery.scale(plain, 77)

    def test_conversion_in_threads(self, random):
        array = words(random, 3 * fast_montgomery.CHUNK + 5)
        converted = fast_montgomery.to_montgomery(array.copy(), threads=2)
        assert (converted == (array.astype(np.uint64) * (2**32 % PRIME)) % PRIME).all()

    def test_refuses_other_arrays(self):
        for array in (np.zeros(4, dtype=np.int64), np.zeros((4, 4), dtype=np.uint32)[:, ::2], [1, 2]):
            with pytest.raises(KernelInputError, match="conversion needs a C-contiguous uint32 array"):
                fast_montgomery.to_montgomery(array)


class TestNtt:
    @pytest.mark.parametrize("log_blowup", [0, 1, 2, 4])
    @pytest.mark.parametrize("height", [1, 2, 4, 8, 32])
    @pytest.mark.parametrize("width", [0, 1, 3, 8, 19])
    def test_low_degree_extension(self, random, height, width, log_blowup):
        values = words(random, height, width)
        if width == 0:
            extended = fast_ntt.low_degree_extension(montgomery(values), log_blowup)
            assert extended.shape == (height << log_blowup, 0)
            return
        for shifts in ((1, 3), (5, 7)):
            plain = plain_ntt.low_degree_extension(values.tolist(), log_blowup, *shifts)
            assert canonical(fast_ntt.low_degree_extension(montgomery(values), log_blowup, *shifts)) == plain

    @pytest.mark.parametrize("height", [1, 2, 16, 64])
    @pytest.mark.parametrize("width", [1, 5])
    def test_transforms(self, random, height, width):
        values = words(random, height, width)
        coefficients = plain_ntt.inverse_ntt(values.tolist())
        assert canonical(fast_ntt.inverse_ntt(montgomery(values))) == coefficients
        assert canonical(fast_ntt.ntt(montgomery(coefficients))) == plain_ntt.ntt(coefficients) == values.tolist()

    @pytest.mark.parametrize("height", [2, 4, 32, 128])
    @pytest.mark.parametrize("width", [1, 5, 17])
    @pytest.mark.parametrize("shift", [1, 3])
    def test_split_extension(self, random, height, width, shift):
        values = montgomery(words(random, height, width))
        before = values.copy()
        split = fast_ntt.split_extension(values, shift, threads=2)
        assert canonical(split) == plain_ntt.split_extension(canonical(values), shift)
        assert (values == before).all()

    @pytest.mark.parametrize("log_height", [11, 13])
    def test_halves_are_extended_and_make_the_whole(self, random, log_height):
        """Taller than the quadratic twin takes: the halves are of low degree, and Q0 + x^n Q1 = Q on every row."""
        n = 1 << (log_height - 1)
        values = montgomery(words(random, 2 * n, 5))
        split = fast_ntt.split_extension(values)
        at_even_rows = np.ascontiguousarray(split[::2])
        assert (fast_ntt.low_degree_extension(at_even_rows, 1, input_shift=3) == split).all()
        low, high, whole = (np.array(canonical(m), dtype=object) for m in (split[:, :5], split[:, 5:], values))
        powers = np.array([pow(3, n, PRIME), PRIME - pow(3, n, PRIME)] * n, dtype=object)
        assert ((low + powers[:, None] * high - whole) % PRIME == 0).all()

    @pytest.mark.parametrize("log_height", [10, 11, 12, 13])
    @pytest.mark.parametrize("log_blowup", [0, 1, 3])
    @pytest.mark.parametrize("threads", [1, 2])
    def test_two_passes_by_value_at_a_point(self, random, log_height, log_blowup, threads):
        """Taller than the quadratic twin takes: chosen coefficients, columns checked at a few rows (Horner)."""
        height, width = 1 << log_height, 37
        coefficients = words(random, height, width)
        order = [plain_montgomery.bit_reversal(k, log_height) for k in range(height)]
        values = fast_ntt.ntt(montgomery(coefficients[order]), threads)
        extended = fast_ntt.low_degree_extension(values, log_blowup, threads=threads)
        assert canonical(fast_ntt.inverse_ntt(values, threads)) == coefficients[order].tolist()
        omega = two_adic_generator(log_height + log_blowup)
        for row in (0, 1, (height << log_blowup) - 1, int(random.integers(height << log_blowup))):
            x = 3 * pow(omega, row, PRIME) % PRIME
            value = np.zeros(width, dtype=np.uint64)
            for coefficient in coefficients[::-1]:
                value = (value * np.uint64(x) + coefficient) % np.uint64(PRIME)
            assert fast_montgomery.from_montgomery(extended[row].copy()).tolist() == value.tolist()

    def test_given_output_and_untouched_input(self, random):
        values = montgomery(words(random, 64, 3))
        before = values.copy()
        out = np.full((128, 3), 7, dtype=np.uint32)
        assert fast_ntt.low_degree_extension(values, out=out) is out
        assert (values == before).all()
        assert (out == fast_ntt.low_degree_extension(values)).all()

    def test_refusals(self):
        good = np.zeros((4, 2), dtype=np.uint32)
        for attempt, message in (
            (lambda: fast_ntt.ntt(np.zeros((3, 2), dtype=np.uint32)), "height 3: it must be a power of two"),
            (lambda: fast_ntt.ntt(np.zeros((0, 2), dtype=np.uint32)), "height 0"),
            (lambda: fast_ntt.ntt(good.astype(np.int64)), "must be a uint32 array"),
            (lambda: fast_ntt.ntt(good.T), "must be C-contiguous"),
            (lambda: fast_ntt.low_degree_extension(good, -1), "must not be negative"),
            (lambda: fast_ntt.low_degree_extension(good, 30), "at most 2"),
            (lambda: fast_ntt.low_degree_extension(good, 1, 0), "input_shift must be a non-zero"),
            (lambda: fast_ntt.low_degree_extension(good, 1, 1, PRIME), "output_shift must be a non-zero"),
            (lambda: fast_ntt.low_degree_extension(good, 1, out=good), "out has 4 rows, the extension 8"),
            (lambda: fast_ntt.low_degree_extension(good, 0, out=good), "out must not overlap values"),
            (lambda: fast_ntt.ntt(good, threads=0), "0 threads"),
        ):
            with pytest.raises(KernelInputError, match=message):
                attempt()


class TestPoseidon2:
    @pytest.mark.parametrize("count", [0, 1, 8, 16, 21])
    def test_permute(self, random, count):
        states = words(random, count, 24)
        plain = [plain_poseidon2.permute(state) for state in states.tolist()]
        assert canonical(fast_poseidon2.permute(montgomery(states))) == plain

    @pytest.mark.parametrize("widths", [[0], [1], [14], [15], [16], [30], [31], [4, 0, 11], [20, 30, 3]])
    @pytest.mark.parametrize("height", [1, 4, 16, 32])
    def test_hash_rows(self, random, height, widths):
        matrices = [words(random, height, width) for width in widths]
        plain = plain_poseidon2.hash_rows([matrix.tolist() for matrix in matrices])
        fast = fast_poseidon2.hash_rows([montgomery(matrix) for matrix in matrices])
        assert [tuple(digest) for digest in canonical(np.ascontiguousarray(fast.T))] == plain

    @pytest.mark.parametrize("count", [1, 2, 8, 16, 64])
    def test_compress(self, random, count):
        left, right = words(random, count, 9), words(random, count, 9)
        plain = plain_poseidon2.compress_layer(left.tolist(), right.tolist())
        columns = [np.ascontiguousarray(montgomery(side).T) for side in (left, right)]
        layer = fast_poseidon2.compress_layer(*columns)
        assert [tuple(digest) for digest in canonical(np.ascontiguousarray(layer.T))] == plain
        assert (fast_poseidon2.compress_to_parent(np.concatenate(columns, axis=1)) == layer).all()
        children = [tuple(digest) for digest in [*left.tolist(), *right.tolist()]]
        assert plain_poseidon2.compress_to_parent(children) == plain

    @pytest.mark.parametrize("bit_count", [0, 1, 5, 8])
    def test_grind(self, random, bit_count):
        digest = words(random, 9).tolist()
        nonce = fast_poseidon2.grind(digest, bit_count)
        assert nonce == plain_poseidon2.grind(digest, bit_count)
        assert plain_poseidon2.check_grind(digest, nonce, bit_count)

    def test_grind_does_not_depend_on_threads(self, random):
        digest = words(random, 9).tolist()
        assert fast_poseidon2.grind(digest, 15, threads=1) == fast_poseidon2.grind(digest, 15, threads=2)

    def test_refusals(self):
        for attempt in (
            lambda: fast_poseidon2.permute(np.zeros((2, 16), dtype=np.uint32)),
            lambda: fast_poseidon2.hash_rows([]),
            lambda: fast_poseidon2.hash_rows([np.zeros((2, 1), dtype=np.uint32), np.zeros((4, 1), dtype=np.uint32)]),
            lambda: fast_poseidon2.compress_to_parent(np.zeros((9, 1), dtype=np.uint32)),
            lambda: fast_poseidon2.compress_layer(np.zeros((8, 2), dtype=np.uint32), np.zeros((8, 2), dtype=np.uint32)),
            lambda: fast_poseidon2.grind([0] * 8, 1),
            lambda: fast_poseidon2.grind([PRIME] * 9, 1),
            lambda: fast_poseidon2.grind([0] * 9, 25),
        ):
            with pytest.raises(KernelInputError):
                attempt()


class TestMerkle:
    @pytest.mark.parametrize(
        "shapes",
        [
            [(1, 1)],
            [(1, 0)],
            [(2, 5)],
            [(64, 16)],
            [(64, 15), (64, 3)],
            [(32, 3), (8, 16), (32, 40), (1, 2), (8, 1)],
            [(4, 0), (2, 31), (1, 1)],
        ],
    )
    def test_tree_and_openings(self, random, shapes):
        matrices = [words(random, *shape) for shape in shapes]
        lists = [matrix.tolist() for matrix in matrices]
        forms = [montgomery(matrix) for matrix in matrices]
        plain, fast = plain_merkle.commit(lists), fast_merkle.commit(forms)
        assert fast.root == plain.root
        height = max(height for height, _ in shapes)
        paths = fast_merkle.open_many(fast, range(height)).tolist()
        for index in range(height):
            path = fast_merkle.open(fast, index)
            assert path == plain_merkle.open(plain, index) == [tuple(digest) for digest in paths[index]]
            assert fast_merkle.open_rows(forms, index) == plain_merkle.open_rows(lists, index)

    def test_refusals(self):
        matrix = np.zeros((4, 1), dtype=np.uint32)
        with pytest.raises(KernelInputError, match="at least one matrix"):
            fast_merkle.commit([])
        with pytest.raises(KernelInputError, match="height 3"):
            fast_merkle.commit([matrix, np.zeros((3, 1), dtype=np.uint32)])
        tree = fast_merkle.commit([matrix])
        for index in (-1, 4):
            with pytest.raises(KernelInputError, match="outside the 4 leaves"):
                fast_merkle.open(tree, index)


class TestExtension:
    @pytest.mark.parametrize("count", [0, 1, 8, 16, 37])
    def test_elementwise(self, random, count):
        a, b, c = (elements(random, count) for _ in range(3))
        a = [ZERO, *a[1:]] if count else a
        x, y, z = (fast_extension.from_elements(array) for array in (a, b, c))
        factors = words(random, count)
        (scalar,) = elements(random, 1)
        back = fast_extension.to_elements
        assert back(x) == a
        assert back(fast_extension.add(x, y)) == plain_extension.add(a, b)
        assert back(fast_extension.subtract(x, y)) == plain_extension.subtract(a, b)
        assert back(fast_extension.multiply(x, y)) == plain_extension.multiply(a, b)
        assert back(fast_extension.multiply_by_base(x, montgomery(factors))) == plain_extension.multiply_by_base(
            a, factors.tolist()
        )
        assert back(fast_extension.scale(x, scalar)) == plain_extension.scale(a, scalar)
        assert back(fast_extension.batch_inverse(x)) == plain_extension.batch_inverse(a)
        assert back(fast_extension.running_sum(x)) == plain_extension.running_sum(a)
        assert back(fast_extension.deep_quotient(x, scalar, y, z.copy())) == plain_extension.deep_quotient(
            a, scalar, b, c
        )
        assert back(fast_extension.powers(scalar, count)) == plain_extension.powers(scalar, count)
        # In place.
        assert back(fast_extension.batch_inverse(x, out=x)) == plain_extension.batch_inverse(a)

    def test_batch_inverse_of_zeros_and_over_several_pieces(self, random):
        array = fast_extension.from_elements([ZERO] * 20)
        assert not fast_extension.batch_inverse(array).any()
        array = montgomery(words(random, 3 * fast_extension.CHUNK + 3, 5))
        array[::1000] = 0
        product = fast_extension.multiply(array, fast_extension.batch_inverse(array, threads=2))
        expected = np.tile(fast_extension.from_elements([ONE]), (array.shape[0], 1))
        expected[::1000] = 0
        assert (product == expected).all()

    def test_domain_inverses(self, random):
        (point,) = elements(random, 1)
        for log_count in (0, 1, 5):
            for shift in (1, 3):
                fast = fast_extension.domain_inverses(point, log_count, shift)
                assert fast_extension.to_elements(fast) == plain_extension.domain_inverses(point, log_count, shift)
        assert canonical(fast_extension.domain(4)) == plain_extension.domain(4)

    @pytest.mark.parametrize("shape", [(1, 1), (2, 1), (4, 3), (16, 8), (16, 19), (32, 40)])
    @pytest.mark.parametrize("shift", [1, 3])
    @pytest.mark.parametrize("row_step", [1, 2])
    def test_evaluate_columns(self, random, shape, shift, row_step):
        rows = shape[0]
        if row_step > rows:
            pytest.skip("a step longer than the matrix")
        matrix = words(random, *shape)
        (point,) = elements(random, 1)
        plain = plain_extension.evaluate_columns(matrix.tolist(), point, shift, row_step)
        form = montgomery(matrix)
        assert fast_extension.evaluate_columns(form, point, shift, row_step) == plain
        inverses = fast_extension.domain_inverses(point, rows.bit_length() - 1, shift)
        assert fast_extension.evaluate_columns(form, point, shift, row_step, inverses) == plain
        first = int(random.integers(shape[1] + 1))
        for some in (range(first, shape[1]), range(first), range(first, first)):
            found = fast_extension.evaluate_columns(form, point, shift, row_step, columns=some)
            assert found == [plain[column] for column in some]

    def test_evaluation_is_the_same_from_trace_and_from_its_extension(self, random):
        trace = montgomery(words(random, 4096, 37))
        (point,) = elements(random, 1)
        extended = fast_ntt.low_degree_extension(trace)
        from_trace = fast_extension.evaluate_columns(trace, point, shift=1, threads=2)
        assert fast_extension.evaluate_columns(extended, point, row_step=2, threads=2) == from_trace
        assert fast_extension.evaluate_columns(extended, point) == from_trace

    @pytest.mark.parametrize("shape", [(1, 1), (3, 1), (5, 8), (9, 16), (33, 21), (4, 0)])
    def test_combine_columns(self, random, shape):
        rows, width = shape
        matrix, coefficients, sums = words(random, *shape), elements(random, width), elements(random, rows)
        fast = fast_extension.combine_columns(
            montgomery(matrix), fast_extension.from_elements(coefficients), fast_extension.from_elements(sums)
        )
        assert fast_extension.to_elements(fast) == plain_extension.combine_columns(matrix.tolist(), coefficients, sums)
        first = int(random.integers(width + 1))
        for some in (range(first, width), range(first)):
            chosen = [coefficients[column] for column in some]
            fast = fast_extension.combine_columns(
                montgomery(matrix), fast_extension.from_elements(chosen), fast_extension.from_elements(sums), columns=some
            )
            cut = matrix[:, some.start : some.stop].tolist()
            assert fast_extension.to_elements(fast) == plain_extension.combine_columns(cut, chosen, sums)

    def test_points_in_the_domain_are_refused(self):
        matrix = np.zeros((4, 1), dtype=np.uint32)
        point = Extension.from_base(3 * two_adic_generator(2))
        for attempt in (
            lambda: fast_extension.domain_inverses(point, 2),
            lambda: plain_extension.domain_inverses(point, 2),
            lambda: fast_extension.evaluate_columns(matrix, point),
            lambda: plain_extension.evaluate_columns(matrix.tolist(), point),
        ):
            with pytest.raises(KernelInputError, match="the point lies in the domain"):
                attempt()

    def test_refusals(self):
        x, short = np.zeros((4, 5), dtype=np.uint32), np.zeros((3, 5), dtype=np.uint32)
        for attempt in (
            lambda: fast_extension.multiply(x, short),
            lambda: fast_extension.multiply(x, x[:, :4]),
            lambda: fast_extension.add(x, short),
            lambda: fast_extension.multiply_by_base(x, np.zeros(3, dtype=np.uint32)),
            lambda: fast_extension.deep_quotient(x, ONE, short, x),
            lambda: fast_extension.combine_columns(x, short, x),
            lambda: fast_extension.evaluate_columns(x, ONE, row_step=3),
            lambda: fast_extension.evaluate_columns(x, ONE, columns=range(0, 2, 2)),
            lambda: fast_extension.evaluate_columns(x, ONE, columns=range(x.shape[1] + 1)),
            lambda: fast_extension.combine_columns(x, short, x, columns=range(-1, 1)),
            lambda: fast_extension.evaluate_columns(x, Extension((0, 1, 0, 0, 0)), inverses=short),
        ):
            with pytest.raises(KernelInputError):
                attempt()


class TestFri:
    @pytest.mark.parametrize("log_arity", [1, 2, 3, 4])
    @pytest.mark.parametrize("log_count", [1, 2, 4, 6])
    @pytest.mark.parametrize("shift", [1, 3])
    def test_fold(self, random, log_count, log_arity, shift):
        values, (challenge,) = elements(random, 1 << log_count), elements(random, 1)
        form = fast_extension.from_elements(values)
        if log_arity > log_count:
            for attempt in (
                lambda: fast_fri.fold(form, challenge, log_arity, shift),
                lambda: plain_fri.fold(values, challenge, log_arity, shift),
            ):
                with pytest.raises(KernelInputError, match="cannot fold"):
                    attempt()
            return
        fast = fast_fri.fold(form, challenge, log_arity, shift)
        assert fast_extension.to_elements(fast) == plain_fri.fold(values, challenge, log_arity, shift)
        rows = fast_fri.fold_rows(form, log_arity)
        assert [fast_extension.to_elements(row.reshape(-1, 5)) for row in rows] == plain_fri.fold_rows(
            values, log_arity
        )

    def test_folding_keeps_a_low_degree_low(self, random):
        """A word of degree below N / 2 stays so under folding by eight, on either reading of its domain."""
        (challenge,) = elements(random, 1)
        values = fast_ntt.low_degree_extension(montgomery(words(random, 512, 5)))
        folded = fast_fri.fold(values, challenge, 3)
        coefficients = fast_ntt.inverse_ntt(folded)
        high = [plain_montgomery.bit_reversal(k, 7) for k in range(64, 128)]
        assert coefficients.any() and not coefficients[high].any()

    def test_arity_beyond_sixteen_is_refused(self):
        with pytest.raises(KernelInputError, match="the exponent must be 1 to 4"):
            fast_fri.fold(np.zeros((64, 5), dtype=np.uint32), ONE, 5)
