"""Uploads that wait, encrypted on disk."""

import hashlib

import pytest

from broker.kernel import spooled
from broker.kernel.spooled import Spooled, SpoolFull

DATA = [b"a" * 300_000, b"", b"b" * 7]


@pytest.fixture
def waiting(tmp_path):
    one = Spooled(tmp_path)
    yield one
    one.close()
    assert Spooled.waiting == 0


def test_what_waits_comes_back_whole_and_is_not_readable_on_disk(waiting):
    for part in DATA:
        waiting.write(part)
    assert b"".join(waiting.pieces()) == b"".join(DATA) == b"".join(waiting.pieces())
    assert (waiting.size, waiting.sha256) == (300_007, hashlib.sha256(b"".join(DATA)).hexdigest())
    waiting._file.seek(0)
    assert b"aaaa" not in waiting._file.read()


def test_nothing_that_waits_has_a_name(waiting, tmp_path):
    waiting.write(b"secret")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", ["MOST_OF_ALL", "KEPT_FREE"])
def test_uploads_fill_neither_the_gateway_nor_its_disk(waiting, monkeypatch, limit):
    waiting.write(b"12345")
    monkeypatch.setattr(spooled, limit, 8 if limit == "MOST_OF_ALL" else 2**62)
    with pytest.raises(SpoolFull):
        waiting.write(b"6789")
    assert waiting.size == Spooled.waiting == 5
