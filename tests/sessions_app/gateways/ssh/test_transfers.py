"""What a helper on a target says, as the gateway takes it, also from a target that means harm."""

import asyncio
import hashlib

import pytest

from sessions_app.gateways.ssh import transfers
from sessions_app.gateways.ssh.transfers import Stream


class Helper:
    """The running helper, as the stream feeds and pauses it."""

    def __init__(self) -> None:
        self.log: list[object] = []

    def write(self, data: bytes) -> None:
        self.log.append(data)

    def eof(self) -> None:
        self.log.append("eof")

    def pause(self) -> None:
        self.log.append("pause")

    def resume(self) -> None:
        self.log.append("resume")


@pytest.fixture
def helper():
    return Helper()


@pytest.fixture
def stream(helper):
    made = Stream(lambda text: None)
    made.attach(helper)
    return made


def test_the_first_line_is_apart_from_the_content_however_it_arrives(stream):
    for part in (b"o", b"k 4 1", b"7\nda", b"ta"):
        stream.output(part, error=False)
    assert (stream.said.word, stream.said.size, stream.said.time) == ("ok", 4, 17)
    assert asyncio.run(stream.read(4)) == b"data"
    assert stream.sha256.hexdigest() == hashlib.sha256(b"data").hexdigest()


@pytest.mark.parametrize("count", [1, 3, 4, 7, 100])
def test_content_is_read_in_pieces_of_any_size(stream, count):
    content = bytes(range(50))
    stream.output(b"ok 50 1\n", error=False)
    for at in range(0, 50, 4):
        stream.output(content[at : at + 4], error=False)
    stream.close()
    read = [asyncio.run(stream.read(count)) for _ in range(0, 50, count)]
    assert b"".join(read) == content
    assert [len(one) for one in read[:-1]] == [count] * (len(read) - 1)


def test_a_first_line_without_end_is_no_answer(stream):
    stream.output(b"a" * 100_000, error=False)
    assert stream.said is None
    stream.output(b"\n", error=False)
    assert stream.said.word == "unusable"


def test_a_target_is_paused_while_its_client_does_not_read(stream, helper):
    stream.output(b"ok 9 1\n" + bytes(2_000_000), error=False)
    assert helper.log == ["pause"]
    assert len(asyncio.run(stream.read(1_900_000))) == 1_900_000
    assert helper.log == ["pause", "resume"]


def test_a_listing_without_end_is_not_read_to_its_end(stream, monkeypatch):
    monkeypatch.setattr(transfers, "_LISTING", 300_000)
    stream.output(b"ok\n" + bytes(2_000_000), error=False)
    assert len(asyncio.run(stream.all())) < 600_000


def test_the_end_of_the_helper_ends_every_wait(stream):
    stream.output(b"ok 9 1\nhalf", error=False)
    stream.attach(None)
    assert asyncio.run(stream.read(9)) == b"half"
    asyncio.run(stream.write(b"more"))


def test_error_output_is_kept_up_to_its_limit(stream):
    stream.output(b"x" * 10_000, error=True)
    assert len(stream.complaint) == 300
