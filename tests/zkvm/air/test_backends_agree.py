"""All uses of a chip give the same values at random points, where no row is valid."""

import itertools
import random

import numpy as np
import pytest
import sample_chips as samples

from zkvm.air import Chip, logup
from zkvm.air.backends import interpret, point, tape, tape_reference
from zkvm.air.expression import Operation, Phase, evaluate
from zkvm.field import extension, koala_bear
from zkvm.field.extension import Extension
from zkvm.field.koala_bear import PRIME

CHIPS = [
    *samples.SAMPLES,
    Chip("one fraction each", samples.MemoryRow, samples.memory_constraints, fractions_per_column=1),
]


@pytest.fixture(params=CHIPS, ids=lambda chip: chip.name)
def case(request):
    return Case(request.param)


class Case:
    """A chip with random canonical matrices, publics and challenges."""

    def __init__(self, chip, height=64):
        self.chip, self.height = chip, height
        self.random = random.Random(chip.name)
        generator = np.random.default_rng(self.random.randrange(2**32))
        self.matrix = lambda rows, width: generator.integers(0, PRIME, size=(rows, width), dtype=np.uint32)
        self.trace = {phase: self.matrix(height, width) for phase, width in chip.widths.items() if width}
        self.publics = {name: self.random.randrange(PRIME) for name in chip.publics}
        self.challenges = {scope: (self.element(), self.element()) for scope in ("local", "global")}
        self.folding = self.element()
        self.sums = {scope: self.element() for scope in chip.auxiliary.scopes}

    def element(self):
        return Extension([self.random.randrange(PRIME) for _ in range(5)])


def elements(matrix):
    """[n, 5 k] Montgomery words as rows of extension elements."""
    fast = pytest.importorskip("zkvm.kernels.fast.extension")
    columns = [fast.to_elements(np.ascontiguousarray(matrix[:, k : k + 5])) for k in range(0, matrix.shape[1], 5)]
    return [list(row) for row in zip(*columns)] if columns else [[] for _ in matrix]


def montgomery(matrix):
    return pytest.importorskip("zkvm.kernels.fast.montgomery").to_montgomery(matrix.copy())


@pytest.mark.parametrize("threads", [1, 2])
def test_auxiliary_columns(case, threads):
    expected, expected_sums = tape_reference.auxiliary_columns(case.chip, case.trace, case.publics, case.challenges)
    matrix, sums = tape.auxiliary_columns(case.chip, case.trace, case.publics, case.challenges, threads)
    assert sums == expected_sums
    assert elements(matrix) == expected
    converted = {phase: montgomery(m) for phase, m in case.trace.items()}
    again, _ = tape.auxiliary_columns(case.chip, converted, case.publics, case.challenges, threads, is_montgomery=True)
    assert np.array_equal(matrix, again)


def test_auxiliary_columns_of_many_chunks():
    # Taller than two pieces of work, so that running sums cross from one to the next.
    case = Case(samples.MEMORY_LIKE, height=1 << 14)
    matrix, sums = tape.auxiliary_columns(case.chip, case.trace, case.publics, case.challenges, 2)
    # Every LogUp constraint holds on every row, by the verifier's formula: here at rows around the seams.
    rows = elements(matrix)
    layout, chip = case.chip.auxiliary, case.chip
    values = interpret.evaluate_rows(chip, chip.roots[len(chip.constraints) :], case.trace, case.publics)
    for row in (0, 31, 4094, 4095, 4096, 8191, 8192, (1 << 14) - 1):
        columns = iter(values)
        fingerprints, counts = [], []
        for message in chip.messages:
            alpha, beta = case.challenges[message.bus.scope]
            cells = [int(next(columns)[row]) for _ in message.values]
            counts.append(int(next(columns)[row]))
            fingerprints.append(logup.fingerprint(message.bus.identifier, cells, alpha, extension.powers(beta, 9)[1:]))
        following = rows[(row + 1) % len(rows)]
        remainders = logup.constraint_values(
            layout,
            chip.messages,
            fingerprints,
            counts,
            rows[row],
            lambda c, f=following: f[c],
            lambda s: sums[s] / len(rows),
        )
        assert not any(remainders)


@pytest.mark.parametrize("threads", [1, 2])
def test_quotient(case, threads):
    extended = {phase: case.matrix(2 * case.height, width) for phase, width in case.chip.widths.items() if width}
    if case.chip.auxiliary_width:
        extended["auxiliary"] = case.matrix(2 * case.height, case.chip.auxiliary_width)
    expected = tape_reference.quotient(case.chip, extended, case.publics, case.challenges, case.sums, case.folding)
    words = {name: montgomery(m) for name, m in extended.items()}
    found = tape.quotient(case.chip, words, case.publics, case.challenges, case.sums, case.folding, threads)
    assert [row[0] for row in elements(found)] == expected


def test_point_against_rows(case):
    """On a trace row, the point evaluation of declared constraints is what the row checker computes."""
    chip, height, lift = case.chip, case.height, Extension.from_base
    values = interpret.evaluate_rows(chip, [c.expression for c in chip.constraints], case.trace, case.publics)
    for row in (0, 1, height - 1):
        following = (row + 1) % height
        opened = point.Opened(
            this={p: [lift(c) for c in m[row]] for p, m in case.trace.items()},
            following={p: [lift(case.trace[p][following, c]) for c in cs] for p, cs in chip.next_columns.items() if cs},
            auxiliary=[case.element() for _ in range(chip.auxiliary_width)],
            auxiliary_next=[case.element() for _ in chip.auxiliary_next_columns],
            periodic=[lift(pattern[row % len(pattern)]) for _, pattern in chip.periodic],
            first=lift(row == 0),
            last=lift(row == height - 1),
        )
        found = point.constraint_values(chip, opened, case.publics, case.challenges, case.sums, 6)
        assert found[: len(values)] == [int(v[row]) for v in values]
        folded = point.folded_constraints(chip, opened, case.publics, case.challenges, case.sums, 6, case.folding)
        assert folded == sum((v * p for v, p in zip(found, extension.powers(case.folding, len(found)))), extension.ZERO)


def test_a_valid_trace_has_a_quotient_and_the_verifier_finds_it():
    """
    The whole path of one chip: trace, columns, quotient, chunks; then Z_H(z) Q(z) = folded constraints at a random z.
    """
    ntt = pytest.importorskip("zkvm.kernels.fast.ntt")
    fast = pytest.importorskip("zkvm.kernels.fast.extension")
    for chip, trace, publics in valid_traces():
        case = Case(chip)
        matrices = chip.matrices(trace)
        height = next(iter(matrices.values())).shape[0]
        log_height = height.bit_length() - 1
        columns = {str(p): montgomery(m) for p, m in matrices.items()}
        auxiliary, sums = tape.auxiliary_columns(chip, trace, publics, case.challenges)
        if chip.auxiliary_width:
            columns["auxiliary"] = auxiliary
        extended = {name: ntt.low_degree_extension(m) for name, m in columns.items()}
        values = tape.quotient(chip, extended, publics, case.challenges, sums, case.folding)
        chunks = tape.quotient_chunks(values)
        z = case.element()

        def open_at(matrix, z_point):
            return fast.evaluate_columns(matrix, z_point, shift=1)

        following = z * koala_bear.two_adic_generator(log_height)
        first, last = point.selectors(z, log_height)
        opened = point.Opened(
            this={Phase(p): open_at(m, z) for p, m in columns.items() if p != "auxiliary"},
            following={p: [open_at(columns[p], following)[c] for c in cs] for p, cs in chip.next_columns.items() if cs},
            auxiliary=open_at(auxiliary, z) if chip.auxiliary_width else [],
            auxiliary_next=[open_at(auxiliary, following)[c] for c in chip.auxiliary_next_columns],
            periodic=point.periodic_values(chip, lambda log_period, z=z, k=log_height: z ** (1 << (k - log_period))),
            first=first,
            last=last,
        )
        folded = point.folded_constraints(chip, opened, publics, case.challenges, sums, log_height, case.folding)
        opened_chunks = fast.evaluate_columns(chunks, z)
        q = [sum((c * b for c, b in zip(opened_chunks[i : i + 5], point.BASIS)), extension.ZERO) for i in (0, 5)]
        power = z**height
        assert folded == (power - 1) * (q[0] + power * q[1])


def valid_traces():
    trace, publics = samples.fibonacci_trace()
    yield samples.FIBONACCI, trace, publics
    operands = [(random.getrandbits(64), random.getrandbits(64)) for _ in range(20)]
    yield samples.ADD, samples.add_trace(operands), {}
    height = 64
    memory = {
        Phase.FIXED: samples.MEMORY_LIKE.empty("fixed", height),
        Phase.BOUNDARY: samples.MEMORY_LIKE.empty("boundary", height),
        Phase.MAIN: samples.MEMORY_LIKE.empty("main", height),
    }
    memory[Phase.FIXED]["weight"] = 1
    memory[Phase.BOUNDARY]["is_open"][3:9] = 1
    memory[Phase.BOUNDARY]["token_address"] = np.arange(height)
    memory[Phase.MAIN]["is_real"][:17] = 1
    memory[Phase.MAIN]["read"]["value"] = np.arange(2 * height).reshape(height, 2)
    memory[Phase.MAIN]["written"] = np.arange(0, 2 * height, 2) * np.arange(1, 2 * height, 2)
    assert interpret.report(samples.MEMORY_LIKE, memory, {"shard": 1}).is_valid
    yield samples.MEMORY_LIKE, memory, {"shard": 1}


def test_quotient_chunks_against_the_twin():
    fast = pytest.importorskip("zkvm.kernels.fast.extension")
    case = Case(samples.ADD)
    values = [case.element() for _ in range(64)]
    found = tape.quotient_chunks(fast.from_elements(values))
    assert [tuple(row) for row in elements(found)] == tape_reference.quotient_chunks(values)


def test_selectors_and_periodic_values_are_the_low_degree_polynomials():
    log_height, height = 5, 32
    root = koala_bear.two_adic_generator(log_height)
    z = Extension((3, 1, 4, 1, 5))

    def interpolated(values):
        # Barycentric formula on the trace domain.
        total = extension.ZERO
        for i, value in enumerate(values):
            x = pow(root, i, PRIME)
            total = total + Extension.from_base(value * x % PRIME) / (z - x)
        return total * (z**height - 1) / height

    first, last = point.selectors(z, log_height)
    assert first == interpolated([int(i == 0) for i in range(height)])
    assert last == interpolated([int(i == height - 1) for i in range(height)])
    chip = samples.MEMORY_LIKE
    found = point.periodic_values(chip, lambda log_period: z ** (1 << (log_height - log_period)))
    assert found == [interpolated([p[i % len(p)] for i in range(height)]) for _, p in chip.periodic]
    assert [p for _, p in chip.periodic] == [(1, 0, 0, 2), (0, 0, 2, 1)]


class Recorded:
    """A value that only knows + - *: anything else is an error, and integers must come through `lift`."""

    def __init__(self, element, counter):
        self.element, self.counter = element, counter

    def _combined(self, other, operation):
        assert isinstance(other, Recorded), "an integer got in"
        self.counter[0] += 1
        return Recorded(operation(self.element, other.element), self.counter)

    def __add__(self, other):
        return self._combined(other, lambda a, b: a + b)

    def __sub__(self, other):
        return self._combined(other, lambda a, b: a - b)

    def __mul__(self, other):
        return self._combined(other, lambda a, b: a * b)

    def __bool__(self):
        raise AssertionError("a recorded value has no truth value")

    __eq__ = None  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


def test_point_is_generic(case):
    chip = case.chip
    counter = [0]

    def record(element):
        return Recorded(element if isinstance(element, Extension) else Extension.from_base(element), counter)

    plain = point.Opened(
        this={p: [case.element() for _ in range(w)] for p, w in chip.widths.items() if w},
        following={p: [case.element() for _ in cs] for p, cs in chip.next_columns.items() if cs},
        auxiliary=[case.element() for _ in range(chip.auxiliary_width)],
        auxiliary_next=[case.element() for _ in chip.auxiliary_next_columns],
        periodic=[case.element() for _ in chip.periodic],
        first=case.element(),
        last=case.element(),
    )
    recorded = point.Opened(
        this={p: [record(v) for v in vs] for p, vs in plain.this.items()},
        following={p: [record(v) for v in vs] for p, vs in plain.following.items()},
        auxiliary=[record(v) for v in plain.auxiliary],
        auxiliary_next=[record(v) for v in plain.auxiliary_next],
        periodic=[record(v) for v in plain.periodic],
        first=record(plain.first),
        last=record(plain.last),
    )
    expected = point.folded_constraints(chip, plain, case.publics, case.challenges, case.sums, 7, case.folding)
    found = point.folded_constraints(
        chip,
        recorded,
        [record(v) for v in chip.public_values(case.publics)],
        {scope: (record(a), record(b)) for scope, (a, b) in case.challenges.items()},
        {scope: record(v) for scope, v in case.sums.items()},
        7,
        record(case.folding),
        lift=record,
        basis=[record(b) for b in point.BASIS],
    )
    assert found.element == expected and counter[0] > 0


def test_opened_values_of_a_wrong_number_are_refused():
    case = Case(samples.FIBONACCI)
    opened = point.Opened({Phase.MAIN: [1]}, {}, [], [], [], 1, 0)
    with pytest.raises(Exception, match="1 main columns were opened, not 2"):
        point.folded_constraints(case.chip, opened, case.publics, case.challenges, {}, 5, case.folding)


def test_degrees_are_those_of_the_polynomials():
    """Along a random line the constraint is a polynomial in the parameter whose degree the graph states."""
    for chip in samples.SAMPLES:
        rng = random.Random(chip.name)
        lines: dict = {}

        def leaf(node, t, lines=lines, rng=rng):
            if node.operation is Operation.CONSTANT:
                return node.value
            if node.operation is Operation.PUBLIC:
                return 5
            a, b = lines.setdefault((node.operation, node.value), (rng.randrange(PRIME), rng.randrange(PRIME)))
            return (a + b * t) % PRIME

        for constraint in chip.constraints:
            values = [
                evaluate([constraint.expression], lambda n, t=t: leaf(n, t), lambda v: v % PRIME)[0] for t in range(8)
            ]
            degree = -1
            while any(values):
                values = [(b - a) % PRIME for a, b in itertools.pairwise(values)]
                degree += 1
            assert degree == constraint.degree
