"""Kept answers: found again whatever the node's address, verified again, replaced where they are spoilt, bounded."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from rpc import cache as cache_module
from rpc.cache import AnswerCache, clean_answers, write_whole
from rpc.collect import collect
from rpc.node import Node
from tests.rpc.fake_chain import chain_of_blocks
from tests.rpc.fake_node import QUICK, FakeNode, Forms
from witness.chains import ChainConfig
from witness.schema import Fork, encode_input

CHAIN = chain_of_blocks()
CONFIG = ChainConfig("fake", CHAIN.chain_id, blocks=((0, Fork.PRAGUE),), timestamps=())
NOT_KEPT = {"eth_chainId", "eth_getBlockByNumber", "debug_executionWitness", "debug_executionWitnessByBlockHash"}


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def collected(fake: FakeNode, folder: Path) -> bytes:
    with Node(fake.url, limits=QUICK, cache=AnswerCache(folder)) as node:
        return encode_input(collect(node, 3, CONFIG))


def test_a_block_is_asked_for_once(tmp_path: Path) -> None:
    """From another node too; only its name, and what may change, is asked again."""
    with FakeNode(CHAIN) as fake:
        first = collected(fake, tmp_path)
    with FakeNode(CHAIN, Forms(by_hash=False)) as fake:
        assert collected(fake, tmp_path) == first
        assert set(fake.calls) <= NOT_KEPT | {"debug_traceBlockByHash", "eth_createAccessList"}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: content[:-1],
        lambda content: content + b"x",
        lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
        lambda content: os.urandom(200),
    ],
    ids=["empty", "cut", "longer", "a bit", "noise"],
)
def test_a_spoilt_entry_is_ignored_and_replaced(spoil, tmp_path: Path) -> None:
    with FakeNode(CHAIN) as fake:
        first = collected(fake, tmp_path)
        whole = {path: path.read_bytes() for path in files_of(tmp_path)}
        for path, content in whole.items():
            path.write_bytes(spoil(content))
        assert collected(fake, tmp_path) == first
        assert {path: path.read_bytes() for path in files_of(tmp_path)} == whole


def test_an_entry_that_is_whole_but_wrong_is_not_believed(tmp_path: Path) -> None:
    """As if another user had written it: every entry holds another entry's answer."""
    with FakeNode(CHAIN) as fake:
        first = collected(fake, tmp_path)
        paths = sorted(files_of(tmp_path))
        contents = [path.read_bytes() for path in paths]
        for path, content in zip(paths, [*contents[1:], contents[0]], strict=True):
            path.write_bytes(content)
        assert collected(fake, tmp_path) == first


def test_another_chain_has_other_entries() -> None:
    keys = {
        AnswerCache.key(chain, method, params)
        for chain in (1, 5)
        for method in ("a", "b")
        for params in ([], ["0x1"], ["0x2"])
    }
    assert len(keys) == 12
    assert all(len(key) == 64 for key in keys)


def test_what_is_put_is_got(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path)
    key = AnswerCache.key(1, "m", [])
    assert cache.get(key) is None
    for answer in ({"a": [1, "2", None]}, "0x12", []):
        cache.put(key, answer)
        assert cache.get(key) == answer
    assert len(files_of(tmp_path)) == 1


def test_the_folder_stays_below_its_limit_and_the_young_stay(tmp_path: Path) -> None:
    cache = AnswerCache(tmp_path, most_bytes=20_000)
    keys = [AnswerCache.key(1, "m", [index]) for index in range(100)]
    for index, key in enumerate(keys):
        cache.put(key, os.urandom(500).hex())
        path = cache._path(key)
        os.utime(path, (index, index))
        assert sum(file.stat().st_size for file in files_of(tmp_path)) <= 20_000
    assert cache.get(keys[-1]) is not None
    assert cache.get(keys[0]) is None
    cache.put(keys[0], "x" * 10_000_000 + os.urandom(30_000).hex())
    assert cache.get(keys[0]) is None


def test_a_disk_that_refuses_is_no_error(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "rpc").write_bytes(b"")
    with FakeNode(CHAIN) as fake:
        assert collected(fake, tmp_path / "rpc")


def test_many_writers_of_one_entry_leave_a_whole_one(tmp_path: Path) -> None:
    key = AnswerCache.key(1, "m", [])
    answers = [str(index) * 5000 for index in range(8)]
    threads = [threading.Thread(target=AnswerCache(tmp_path).put, args=(key, answer)) for answer in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert AnswerCache(tmp_path).get(key) in answers
    assert len(files_of(tmp_path)) == 1


def test_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "cache_root", lambda: tmp_path)
    assert clean_answers() == 0
    AnswerCache().put(AnswerCache.key(1, "m", []), "0x12")
    assert files_of(tmp_path / "rpc")
    assert clean_answers() > 0
    assert not (tmp_path / "rpc").exists()


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"old")
    with pytest.raises(TypeError):
        write_whole(path, "no bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    write_whole(path, b"new", durable=True)
    assert path.read_bytes() == b"new"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
