"""What is stored encrypted comes back as it was, from any byte on, and nothing that was altered ever does."""

import io
import os

import hypothesis
import pytest
from hypothesis import strategies as st

from sessions_app.storage.base import StoreError
from sessions_app.storage.sealed import CHUNK, MAGIC, TAG, Altered, encrypt, new_key, opened

KEY = new_key()


class Objects:
    """A store of one object, which counts from where it was read."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.starts: list[int] = []

    def size(self, name):
        return len(self.content)

    def read(self, name, start):
        self.starts.append(start)
        return io.BytesIO(self.content[start:])


def sealed(plain: bytes) -> bytes:
    into = io.BytesIO()
    encrypt(io.BytesIO(plain), KEY, into)
    return into.getvalue()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_any_size_comes_back(size):
    plain = os.urandom(size)
    file = opened(Objects(sealed(plain)), "x", KEY)
    assert file.read() == plain
    assert file.seek(0, io.SEEK_END) == size


@hypothesis.given(start=st.integers(0, 3 * CHUNK), length=st.integers(0, CHUNK))
def test_a_part_is_what_the_same_part_of_the_content_is(start, length):
    plain = b"".join(number.to_bytes(4, "big") for number in range(5 * CHUNK // 8))
    file = opened(Objects(sealed(plain)), "x", KEY)
    file.seek(start)
    assert file.read(length) == plain[start : start + length]


def test_content_is_fetched_once_from_where_it_is_wanted():
    store = Objects(sealed(os.urandom(4 * CHUNK)))
    file = opened(store, "x", KEY)
    file.seek(2 * CHUNK + 5)
    file.read()
    assert store.starts == [len(MAGIC) + 2 * (CHUNK + TAG)]


@pytest.mark.parametrize(
    "alter",
    [
        lambda one: one[:-1],
        lambda one: one[: len(MAGIC) + CHUNK + TAG],
        lambda one: one + b"x",
        lambda one: one[: len(MAGIC)],
        lambda one: b"",
        lambda one: bytes([*one[:30], one[30] ^ 1, *one[31:]]),
        lambda one: one[: len(MAGIC)] + one[len(MAGIC) + CHUNK + TAG :],
        lambda one: sealed(b"another")[: len(MAGIC)] + one[len(MAGIC) :][::-1],
    ],
    ids=[
        "cut",
        "cut at a chunk",
        "longer",
        "no chunk",
        "empty",
        "a bit",
        "without the first chunk",
        "reversed",
    ],
)
def test_altered_content_is_never_read(alter):
    with pytest.raises(Altered):
        opened(Objects(alter(sealed(os.urandom(2 * CHUNK + 7)))), "x", KEY).read()


def test_nothing_altered_is_taken_for_an_empty_recording():
    with pytest.raises(Altered):
        opened(Objects(MAGIC + bytes(TAG)), "x", KEY)


def test_another_key_reads_nothing():
    with pytest.raises(Altered):
        opened(Objects(sealed(b"printed")), "x", new_key()).read()


def test_an_object_that_ends_while_it_is_read_is_no_end_of_the_recording():
    store = Objects(sealed(os.urandom(2 * CHUNK)))
    file = opened(store, "x", KEY)
    store.content = store.content[:-CHUNK]
    with pytest.raises(StoreError, match="ended early"):
        file.read()
