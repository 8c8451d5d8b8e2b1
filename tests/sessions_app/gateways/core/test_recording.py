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
