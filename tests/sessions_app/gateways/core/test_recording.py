"""The files of recordings."""

import datetime as dt
import hashlib
import json

import pytest

from sessions_app.gateways.core.recording import Recorder
from sessions_app.queries.record.recording_files import Room

START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def record(folder, *chunks, cap=1_000_000, title="echo"):
    room = Room(cap, "a command has 16 MiB")
    recorder = Recorder(folder, "GR-1/7.cast", title=title, started=START, room=room)
    for data, error in chunks:
        recorder.output(data, error=error)
    made = recorder.close()
    lines = [json.loads(line) for line in (folder / made.path).read_text("utf-8").splitlines()]
    return made, lines[0], lines[1:]


def test_a_recording_is_asciicast_version_two(tmp_path):
    made, header, events = record(tmp_path, (b"one\n", False), (b"two\n", True))
    assert (header["version"], header["timestamp"]) == (2, int(START.timestamp()))
    assert [(kind, text) for _, kind, text in events] == [("o", "one\r\n"), ("o", "two\r\n")]
    assert events[0][0] <= events[1][0]
    assert made.output_bytes == 8
    assert made.digest == hashlib.sha256((tmp_path / made.path).read_bytes()).hexdigest()


def test_its_title_has_the_tried_line_as_the_record_has_it_without_a_private_key(tmp_path):
    key = f"-----BEGIN PRIVATE KEY-----\n{'A' * 64}\n-----END PRIVATE KEY-----"
    _, header, _ = record(tmp_path, title=f"GR-1 alice on web-1: echo '{key}'")
    assert header["title"].startswith("GR-1 alice on web-1: echo '[private key, sha256:")
    assert "AAAA" not in header["title"]


def test_characters_that_are_split_over_packets_stay_whole(tmp_path):
    word = "Größe €".encode()
    chunks = [(word[i : i + 1], False) for i in range(len(word))]
    _, _, events = record(tmp_path, *chunks)
    assert "".join(text for _, _, text in events) == "Größe €"


def test_bytes_that_are_no_text_are_shown_as_such(tmp_path):
    _, _, events = record(tmp_path, (b"\xff\xfea", False), (b"\xc3", False))
    assert "".join(text for _, _, text in events) == "\ufffd\ufffda\ufffd"


def test_a_recording_that_is_full_says_so_once_and_grows_no_more(tmp_path):
    made, _, events = record(tmp_path, *[(b"x" * 100, False)] * 100, cap=2_000)
    assert made.output_bytes == 10_000
    assert "recording truncated" in events[-1][2]
    assert len([event for event in events if "truncated" in event[2]]) == 1
    assert (tmp_path / made.path).stat().st_size < 3_000


@pytest.mark.parametrize("cap", [1_000_000, 200])
def test_lines_that_are_written_together_are_recorded_like_output(tmp_path, cap):
    texts = ["one", "zwei €", 'three "3" \\', ""] * 5
    found = []
    for folder in ("together", "alone"):
        room = Room(cap, "a command has 16 MiB")
        recorder = Recorder(tmp_path / folder, "7.cast", title="t", started=START, room=room)
        seen = []
        recorder.followers.append(seen.append)
        if folder == "together":
            recorder.lines([(recorder._began + at, text) for at, text in enumerate(texts)])
        else:
            for text in texts:
                recorder.output(f"{text}\n".encode(), error=False)
        made = recorder.close()
        data = (tmp_path / folder / made.path).read_bytes()
        assert made.digest == hashlib.sha256(data).hexdigest()
        rows = [json.loads(line)[2] for line in data.decode().splitlines()[1:]]
        assert rows == [event[1] for event in seen if event is not None]
        # Where it is full depends on the digits of the moments.
        text = "".join(rows) if cap > 200 else f"{''.join(rows)[:20]} {'truncated' in rows[-1]}"
        found.append((text, made.output_bytes))
    assert found[0] == found[1]


def test_lines_have_their_own_moments(tmp_path):
    recorder = Recorder(tmp_path, "7.cast", title="t", started=START, room=Room(1000, "all"))
    moments = [recorder._began + seconds for seconds in (-3, 1.5, 2)]
    recorder.lines(list(zip(moments, ("zero", "one", "two"), strict=True)))
    rows = (tmp_path / recorder.close().path).read_text().splitlines()[1:]
    assert [json.loads(row)[::2] for row in rows] == [[0, "zero\r\n"], [1.5, "one\r\n"], [2, "two\r\n"]]


def test_a_recording_is_never_written_over(tmp_path):
    record(tmp_path, (b"first", False))
    with pytest.raises(FileExistsError):
        record(tmp_path, (b"second", False))


def test_a_change_of_the_terminals_size_is_kept_and_a_size_that_is_none_is_not(tmp_path):
    recorder = Recorder(
        tmp_path, "GR-1/7.cast", title="top", started=START, room=Room(1_000, "a command has 16 MiB")
    )
    for width, height in ((120, 40), (0, 0), (10**9, 40)):
        recorder.resize(width, height)
    made = recorder.close()
    rows = [json.loads(line) for line in (tmp_path / made.path).read_text("utf-8").splitlines()[1:]]
    assert [row[1:] for row in rows] == [["r", "120x40"]]
