"""The 60 Mgas block: valid, and within the memory that a run may have."""

from __future__ import annotations

import pytest

from bench.big_block import GAS_LIMIT, MEMORY_LIMIT, big_input, execute, precompile_calls, sign_p256
from witness.schema import Fork, decode_input, decode_result


def test_every_precompile_is_called() -> None:
    """Osaka's: 0x01 to 0x11 and P256VERIFY at 0x100."""
    assert {address for address, _, _ in precompile_calls()} == {*range(0x01, 0x12), 0x100}
    assert len(sign_p256(bytes(32))) == 160


@pytest.mark.heavy
def test_the_big_block() -> None:
    """Made with EELS (minutes, kept for the next time), validated by the shipped guest; time is printed by the bench only."""
    encoded = big_input()
    given = decode_input(encoded)
    payload = given.request.execution_payload
    assert given.fork is Fork.BPO2
    assert GAS_LIMIT - 1_000_000 <= int(payload.gas_used) <= GAS_LIMIT
    result, _ = execute(encoded)
    assert result.exit_code == 0
    assert decode_result(result.output).successful_validation, result.debug
    assert result.touched_bytes <= MEMORY_LIMIT
