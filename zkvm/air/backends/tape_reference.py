"""
The plain twins of tape.py: the same names on canonical integers, row by row from the definitions. They know nothing
of programs.
"""

from collections.abc import Mapping

import numpy as np

from zkvm.air import logup
from zkvm.air.backends.interpret import evaluate_rows
from zkvm.air.backends.point import Opened, folded_constraints
from zkvm.air.backends.tape import AUXILIARY, Challenges, extended_pattern
from zkvm.air.chip import Chip
from zkvm.field import extension, koala_bear
from zkvm.field.extension import Extension
from zkvm.field.koala_bear import GENERATOR, PRIME


def auxiliary_columns(
    chip: Chip, matrices: Mapping[str, np.ndarray], publics: Mapping[str, int], challenges: Challenges
) -> tuple[list[list[Extension]], dict[str, Extension]]:
    """The auxiliary extension columns, as rows of elements, and {scope: T}. Matrices canonical, of any height."""
    layout = chip.auxiliary
    roots = [e for m in chip.messages for e in (*m.values, m.count)]
    columns = [c.tolist() for c in evaluate_rows(chip, roots, matrices, publics)]
    height = next(iter(chip.matrices(matrices).values())).shape[0]
    fractions: list[list[Extension]] = []
    for row in range(height):
        values = iter(columns)
        fractions.append([])
        for message in chip.messages:
            alpha, beta = challenges[message.bus.scope]
            tuple_values = [next(values)[row] for _ in message.values]
            count = next(values)[row]
            powers = extension.powers(beta, message.bus.width + 1)[1:]
            denominator = logup.fingerprint(message.bus.identifier, tuple_values, alpha, powers)
            fractions[-1].append(Extension.from_base(message.sign * count) / denominator)

    sums = {
        scope: sum((f for row in fractions for f, m in zip(row, chip.messages) if m.bus.scope == scope), extension.ZERO)
        for scope in layout.scopes
    }
    accumulators = {scope: extension.ZERO for scope in layout.scopes}
    result = []
    for row in fractions:
        cells = []
        for group in layout.groups:
            if group.is_last:
                cells.append(accumulators[group.scope])
            else:
                cells.append(sum((row[j] for j in group.messages), extension.ZERO))
        result.append(cells)
        for scope in layout.scopes:
            total = sum((f for f, m in zip(row, chip.messages) if m.bus.scope == scope), extension.ZERO)
            accumulators[scope] = accumulators[scope] + total - sums[scope] / height
    return result, sums


def quotient(
    chip: Chip,
    extended: Mapping[str, np.ndarray],
    publics: Mapping[str, int],
    challenges: Challenges,
    sums: Mapping[str, Extension],
    folding: Extension,
) -> list[Extension]:
    """
    Q on every row of 3 <omega_2n>, from canonical low-degree extensions [2n, width], by the verifier's own formula.
    """
    rows = {name: matrix.tolist() for name, matrix in extended.items()}
    row_count = next(len(r) for r in rows.values())
    height = row_count // 2
    log_height = height.bit_length() - 1
    root = koala_bear.two_adic_generator(log_height + 1)
    last_point = koala_bear.inverse(root * root % PRIME)
    patterns = [extended_pattern(pattern, height).tolist() for _, pattern in chip.periodic]
    result = []
    for i in range(row_count):
        x = GENERATOR * pow(root, i, PRIME) % PRIME
        vanishing = (pow(x, height, PRIME) - 1) % PRIME
        following = (i + 2) % row_count
        opened = Opened(
            this={phase: rows[phase][i] for phase, width in chip.widths.items() if width},
            following={phase: [rows[phase][following][c] for c in cs] for phase, cs in chip.next_columns.items() if cs},
            auxiliary=rows[AUXILIARY][i] if chip.auxiliary_width else [],
            auxiliary_next=[rows[AUXILIARY][following][c] for c in chip.auxiliary_next_columns],
            periodic=[pattern[i % len(pattern)] for pattern in patterns],
            first=vanishing * koala_bear.inverse(height * (x - 1)) % PRIME,
            last=vanishing * last_point * koala_bear.inverse(height * (x - last_point)) % PRIME,
        )
        value = folded_constraints(chip, opened, publics, challenges, sums, log_height, folding)
        result.append(value / vanishing)
    return result


def quotient_chunks(values: list[Extension]) -> list[tuple[Extension, Extension]]:
    """(Q0, Q1) on every row, Q = Q0 + x^n Q1, by interpolation of Q from its 2n values: quadratic."""
    row_count = len(values)
    height = row_count // 2
    root = koala_bear.two_adic_generator(row_count.bit_length() - 1)
    xs = [GENERATOR * pow(root, i, PRIME) % PRIME for i in range(row_count)]
    coefficients = []
    for k in range(row_count):
        # The inverse transform: (1 / 2n) sum_i Q(x_i) x_i^-k, since the powers of a coset are orthogonal.
        total = sum((v * pow(x, -k, PRIME) for v, x in zip(values, xs)), extension.ZERO)
        coefficients.append(total / row_count)

    def at(part: list[Extension], x: int) -> Extension:
        return sum((c * pow(x, k, PRIME) for k, c in enumerate(part)), extension.ZERO)

    return [(at(coefficients[:height], x), at(coefficients[height:], x)) for x in xs]
