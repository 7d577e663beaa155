"""The sponge of the transcript: what it binds, and that both arithmetics draw the same."""

import pytest

from zkvm.field.koala_bear import PRIME
from zkvm.kernels.reference import poseidon2
from zkvm.protocol import machine
from zkvm.protocol.arithmetic import Plain
from zkvm.protocol.batched import Batched
from zkvm.protocol.transcript import GLOBAL_TRANSCRIPT, SHARD_TRANSCRIPT, Transcript


def fresh(domain=GLOBAL_TRANSCRIPT, hash=None):
    return Transcript(hash or Plain(), domain)


def test_a_first_draw_is_the_permutation_of_the_padded_block():
    transcript = fresh()
    transcript.absorb("numbers", [1, 2, 3])
    state = [1, 2, 3] + [0] * 12 + [3, GLOBAL_TRANSCRIPT] + [0] * 7
    assert transcript.seed("seed") == tuple(poseidon2.permute(state)[:9])


def test_drawing_on_permutes_without_input():
    transcript = fresh()
    transcript.absorb("numbers", [1])
    first = transcript.indices("all", 15, 24)
    second = transcript.indices("more", 15, 24)
    state = poseidon2.permute([1] + [0] * 14 + [1, GLOBAL_TRANSCRIPT] + [0] * 7)
    assert first == [element % 2**24 for element in state[:15]]
    assert second == [element % 2**24 for element in poseidon2.permute(state)[:15]]


@pytest.mark.parametrize(("left", "right"), [
    ([[1, 2]], [[1, 2, 0]]),
    ([[0]], []),
    ([[1] * 15], [[1] * 15, [0]]),
    ([[1] * 14], [[1] * 14 + [0]]),
    ([[1, 2]], [[2, 1]]),
])  # fmt: skip
def test_different_absorptions_give_different_challenges(left, right):
    drawn = []
    for blocks in (left, right):
        transcript = fresh()
        for block in blocks:
            transcript.absorb("block", block)
        drawn.append(transcript.challenge("challenge"))
    assert drawn[0] != drawn[1]


def test_only_the_order_of_elements_counts_between_draws():
    one, other = fresh(), fresh()
    one.absorb("all", list(range(40)))
    for i in range(40):
        other.absorb("each", [i])
    assert one.challenge("c") == other.challenge("c")


def test_a_draw_in_between_is_bound():
    one, other = fresh(), fresh()
    for transcript, draws in ((one, 1), (other, 0)):
        transcript.absorb("a", [1])
        for _ in range(draws):
            transcript.challenge("early")
        transcript.absorb("b", [2])
    assert one.challenge("c") != other.challenge("c")


def test_domains_differ():
    assert fresh(GLOBAL_TRANSCRIPT).challenge("c") != fresh(SHARD_TRANSCRIPT).challenge("c")


def test_both_arithmetics_draw_the_same():
    plain, batched = fresh(hash=Plain()), fresh(hash=Batched())
    for transcript in (plain, batched):
        transcript.absorb("a", [PRIME - 1] * 33)
    assert plain.challenge("c") == batched.challenge("c")
    assert plain.indices("i", 40, 11) == batched.indices("i", 40, 11)
    assert plain.seed("s") == batched.seed("s")


def test_indices_have_the_bits_asked_for():
    transcript = fresh()
    indices = transcript.indices("i", 300, 4)
    assert len(indices) == 300 and set(indices) == set(range(16))


def test_every_use_of_the_permutation_has_its_own_domain():
    domains = [
        poseidon2.LEAF, poseidon2.COMPRESS, poseidon2.LIST, poseidon2.GRIND, GLOBAL_TRANSCRIPT, SHARD_TRANSCRIPT,
        machine.MACHINE_DOMAIN, machine.PROGRAM_DOMAIN, machine.STATEMENT_DOMAIN, machine.SHARD_LEAF_DOMAIN,
    ]  # fmt: skip
    assert len(set(domains)) == len(domains)
    assert min(domains[4:]) >= poseidon2.FIRST_FREE_DOMAIN
