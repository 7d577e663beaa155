"""
Keys whose Keccak begins with given nibbles, found by hashing numbers.

A path of n nibbles takes 16^n hashes on average. Measured: 2.3 million a second on each core, so on one core 7 s for 6
nibbles and 2 minutes for 7. Below five nibbles nothing is compiled.
"""

from __future__ import annotations

from collections.abc import Callable

from eth_hash.auto import keccak

MAX_SEARCHED_NIBBLES = 7
_COMPILED_FROM = 5
# A search that long fails once in e^8 times, some three thousand.
_SEARCHES_PER_KEY = 8


def key_with_prefix(
    path: tuple[int, ...], key_bytes: int, check_time: Callable[[], None] = lambda: None
) -> bytes | None:
    """
    A key of 20 or 32 bytes, a big-endian number, whose Keccak begins with the nibbles of path; None where bad luck has
    it. path: at most MAX_SEARCHED_NIBBLES; at most 8 times as many hashes as are needed on average. check_time: called
    every second or so; what it raises ends the search.
    """
    if len(path) < _COMPILED_FROM:
        return _search_plainly(path, key_bytes)
    return _search_compiled(path, key_bytes, check_time)


def _search_plainly(path: tuple[int, ...], key_bytes: int) -> bytes | None:
    digits = "".join(f"{nibble:x}" for nibble in path)
    whole, odd = bytes.fromhex(digits[: len(digits) & ~1]), digits[len(digits) & ~1 :]
    for number in range(_SEARCHES_PER_KEY << 4 * len(path)):
        key = number.to_bytes(key_bytes, "big")
        hashed = keccak(key)
        if hashed.startswith(whole) and (not odd or hashed[len(whole)] >> 4 == int(odd, 16)):
            return key
    return None


def _search_compiled(path: tuple[int, ...], key_bytes: int, check_time: Callable[[], None]) -> bytes | None:
    from rpc.key_search_kernel import CHUNK, search

    wanted = mask = 0
    for index, nibble in enumerate(path):
        # The hash's bytes are a little-endian word, the first nibble is the high one of the first byte.
        shift = 8 * (index // 2) + (4 if index % 2 == 0 else 0)
        wanted |= nibble << shift
        mask |= 0xF << shift
    for start in range(0, _SEARCHES_PER_KEY << 4 * len(path), CHUNK):
        check_time()
        found = search(key_bytes, mask, wanted, start)
        if found is not None:
            return found.to_bytes(key_bytes, "big")
    return None
