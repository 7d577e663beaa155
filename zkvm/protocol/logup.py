"""The LogUp challenges as the protocol holds them, and the verifier's own messages under them."""

from collections.abc import Sequence
from dataclasses import dataclass

from zkvm.air.bus import Bus
from zkvm.air.logup import fingerprint
from zkvm.field.extension import ONE, ZERO, Extension


@dataclass(frozen=True)
class Message:
    """A message that the verifier itself puts on a bus. count: +1 sends, -1 receives."""

    bus: Bus
    values: tuple[int, ...]
    count: int


@dataclass(frozen=True)
class LogUpChallenge:
    """The pair of one scope: fingerprints are alpha - (identifier + sum beta^(i+1) value_i)."""

    alpha: Extension
    beta: Extension

    def sum_of(self, messages: Sequence[Message]) -> Extension:
        """sum of count / fingerprint. Raises ZeroDivisionError where alpha is a pole, which has probability 2^-150."""
        total = ZERO
        for message in messages:
            beta_powers = []
            power = ONE
            for _ in message.values:
                power = power * self.beta
                beta_powers.append(power)
            total = (
                total
                + fingerprint(message.bus.identifier, message.values, self.alpha, beta_powers).inverse() * message.count
            )
        return total
