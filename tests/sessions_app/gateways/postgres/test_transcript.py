"""The recording of a connection, without a server."""

import asyncio
import datetime as dt
import json
from pathlib import Path

import pytest

from sessions_app.gateways.core.recording import Recorder
from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.transcript import Transcript, visible
from sessions_app.queries.record.recording_files import Room


@pytest.fixture
def failed() -> list[str]:
    return []


@pytest.fixture
def transcript(tmp_path, failed):
    """Make a transcript whose recordings are in a folder."""

    def make(folder: Path = tmp_path, *, hides: bool = False) -> Transcript:
        def start(run_id: int) -> Recorder:
            return Recorder(
                folder, f"{run_id}.cast", title="t", started=dt.datetime.now(dt.UTC), room=Room(10**6, "all")
            )

        return Transcript(start, prompt="shop", hides=hides, failed=failed.append)

    return make


def lines(folder: Path, run_id: int) -> list[str]:
    """The text of a recording."""
    rows = (folder / f"{run_id}.cast").read_text().splitlines()[1:]
    return "".join(json.loads(row)[2] for row in rows).splitlines()


async def play(made: Transcript) -> None:
    """A conversation with two runs."""
    made.answered(wire.message(wire.COMMAND_COMPLETE, b"BEGIN\0"))
    made.statement("DELETE FROM t")
    made.answered(wire.error("42501", "refused", detail="Key (id)=(7)"))
    made.statement("SELECT 1")
    made.ran(3)
    made.ran(4)
    made.answered(wire.message(wire.DATA_ROW, b"\0\1\0\0\0\1x"))
    made.answered(wire.message(wire.COMMAND_COMPLETE, b"SELECT 1\0"))
    made.answered(wire.notice("\x1b[2Jhello"))
    assert made.close("done") is not None


def test_it_begins_with_the_first_run_and_has_what_came_before(tmp_path, transcript):
    asyncio.run(play(transcript()))
    assert lines(tmp_path, 3) == [
        "BEGIN",
        "shop=> DELETE FROM t;",
        "ERROR 42501: refused",
        "shop=> SELECT 1;",
        "SELECT 1",
        "NOTICE 00000: \\u001b[2Jhello",
        "[stint: done]",
    ]
    assert not (tmp_path / "4.cast").exists()


def test_messages_that_may_quote_secrets_are_recorded_by_their_codes(tmp_path, transcript):
    asyncio.run(play(transcript(hides=True)))
    assert [line for line in lines(tmp_path, 3) if line.startswith(("ERROR", "NOTICE"))] == [
        "ERROR 42501",
        "NOTICE 00000",
    ]


def test_without_a_run_there_is_no_recording(tmp_path, transcript):
    made = transcript()
    made.statement("DELETE FROM t")
    assert made.close("done") is None
    assert not list(tmp_path.iterdir())


def test_a_connection_that_cannot_be_recorded_does_not_go_on(tmp_path, transcript, failed):
    (tmp_path / "file").touch()
    made = transcript(tmp_path / "file")
    made.ran(1)
    assert failed == ["its recording can't be written: File exists"]
    assert made.close("done") is None


async def test_what_waits_is_bounded_before_and_after_the_first_run(tmp_path, transcript):
    made = transcript()
    for _ in range(4):
        made.statement("x" * 60_000)
    made.ran(1)
    assert len(lines(tmp_path, 1)) == 2
    for _ in range(3):
        made.statement("y" * 60_000)
    # The first two were written without waiting for more.
    assert len(lines(tmp_path, 1)) == 5
    made.close("done")


def test_invisible_characters_are_shown():
    assert visible("a\u202eb\n") == "a\\u202eb\\u000a"
