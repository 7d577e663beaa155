"""
FRI: the words of all heights are close to polynomials of low degree.

Statement
---------
A word of length N = 2^k is read on the subgroup <omega_N>: a shift of the domain does not change a degree. Folding by
m = 2^a with challenge b takes the polynomial of degree below m through the m values over one coset {x : x^m = y} and
evaluates it at b: with f = sum x^i f_i(x^m), the result is sum b^i f_i(y). Where the folded word has the length of
other words, they join: f := fold(f) + g * D. Folding ends at 2^(5 + log_blowup) values, of which the 2^5 coefficients
of the polynomial are sent.

A layer is committed as the matrix whose row i is the coset of i: values i, i + N/m, i + 2 N/m, ...; its tree's index
is i.

Source: Ben-Sasson, Bentov, Horesh, Riabzev, Fast Reed-Solomon interactive oracle proofs of proximity (2018); joining
as in Plonky3's batched openings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from zkvm.field.extension import Extension
from zkvm.field.koala_bear import PRIME, inverse, two_adic_generator
from zkvm.protocol.arithmetic import Arithmetic
from zkvm.protocol.checks import Checks
from zkvm.protocol.commitment import root_of_opening
from zkvm.protocol.plan import ShardPlan
from zkvm.protocol.proof import ShardProof

HALF = inverse(2)


def fold_coset(arithmetic: Arithmetic, values: Sequence[Any], log_height: int, index: Any, challenge: Extension) -> Any:
    """
    The fold of one coset: values[j] belongs to omega^(index + j * N/m), N = 2^log_height, m = len(values).

    By halves: even(x^2) + challenge * odd(x^2), then the same on the squares with the challenge squared.
    """
    values = list(values)
    # 1 / x of the first value; the others' are its multiples by powers of 1 / zeta, zeta = omega^(N/m).
    inverse_x = arithmetic.domain_point(log_height, index, 1, inverse=True)
    inverse_zeta = inverse(two_adic_generator(len(values).bit_length() - 1))
    while len(values) > 1:
        half = len(values) // 2
        folded = []
        scale = HALF
        for a, b in zip(values[:half], values[half:]):
            odd = (a - b) * inverse_x * (challenge * scale)
            folded.append((a + b) * HALF + odd)
            scale = scale * inverse_zeta % PRIME
        values = folded
        inverse_x = inverse_x * inverse_x
        inverse_zeta = inverse_zeta * inverse_zeta % PRIME
        challenge = challenge * challenge
    return values[0]


def check_query(
    arithmetic: Arithmetic,
    checks: Checks,
    plan: ShardPlan,
    proof: ShardProof,
    layer_roots: Sequence[Sequence[int]],
    fold_challenges: Sequence[Extension],
    join_challenges: Mapping[int, Extension],
    quotients: Mapping[int, Any],
    final_polynomial: Sequence[Extension],
    lane: Any,
    index: Any,
    where: str,
) -> None:
    """
    Follows one query from the tallest word to the final polynomial.

    join_challenges: by number of the fold. quotients: log2 of an extended height -> D at the query.
    """
    value = quotients[plan.log_query_domain]
    for number, fold in enumerate(plan.folds):
        place = f"{where}, layer {number}"
        log_folded = fold.log_height - fold.log_arity
        # 1. The coset that holds the query's value is the committed one,
        coset = proof[f"layer {number} values"]
        row = arithmetic.row(coset.reshape(coset.shape[0], -1), lane)
        path = arithmetic.path(proof[f"layer {number} paths"], lane)
        root = root_of_opening(arithmetic, [log_folded], [row], index, path)
        checks.equal("committed layer", True, arithmetic.same(root, arithmetic.digest(layer_roots[number])), place)
        # 2. and holds that value.
        values = arithmetic.extensions(coset, lane)
        position = (index >> log_folded) % 2**fold.log_arity
        checks.equal("layer value", True, arithmetic.same(arithmetic.choose(values, position), value), place)
        # 3. Fold, and let the words of the new length join.
        value = fold_coset(arithmetic, values, fold.log_height, index % 2**log_folded, fold_challenges[number])
        if fold.joins:
            value = value + quotients[log_folded] * join_challenges[number]

    # 4. What is left is the final polynomial.
    x = arithmetic.domain_point(plan.parameters.log_final_height, index, 1)
    total: Any = final_polynomial[-1]
    for coefficient in reversed(final_polynomial[:-1]):
        total = x * total + coefficient
    checks.equal("final polynomial", True, arithmetic.same(total, value), where)
