"""What a watched command prints is published for its watchers, and the command notices nothing of it."""

import asyncio
import contextlib
import datetime as dt
import json
from collections.abc import Iterator

import pytest

from broker.kernel.sealed_channel import Receiver, new_key
from sessions_app.gateways.core import broadcast
from sessions_app.gateways.core.broadcast import Broadcasts
from sessions_app.gateways.core.recording import Recorder
from sessions_app.queries.gateways.watches import OpenWatch
from sessions_app.queries.record.recording_files import Room
from tests.support.waits import comes_true
from tests.support.world.holders import Clock, passes

RUN, OTHER = 7, 8


class Carrier:
    """A queue's server that keeps what is published, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.sent: list[tuple[str, bytes]] = []

    async def publish(self, channel: str, message: bytes) -> None:
        if self.away:
            raise ConnectionError
        self.sent.append((channel, message))

    async def aclose(self) -> None:
        """Close nothing."""


class Rows:
    """The open views, in place of the database."""

    def __init__(self) -> None:
        self.open: list[OpenWatch] = []

    async def run(self, _function, *, run_ids, now):
        return [one for one in self.open if one.run_id in run_ids]


class Scene:
    """A gateway's broadcasts, with one recorder."""

    def __init__(self, folder, *, cap: int = 10_000_000) -> None:
        start = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
        room = Room(cap, "a command has 16 MiB")
        self.carrier, self.rows = Carrier(), Rows()
        self.recorder = Recorder(folder, "GR-1/7.cast", title="echo", started=start, room=room)
        self.all = Broadcasts(self.rows, Clock(), client=lambda: self.carrier)
        self.all.add(RUN, self.recorder)
        self.keys: dict[str, Receiver] = {}

    def watch(self, channel: str = "one") -> None:
        """Open a view, as `watch_run` does."""
        key = new_key()
        self.keys[channel] = Receiver(key)
        self.rows.open.append(OpenWatch(len(self.rows.open) + 1, RUN, channel, key))
        self.all.heard([RUN])

    def read(self, channel: str = "one") -> list[list]:
        """Return what the viewer of a channel has got since the last call."""
        mine = [message for name, message in self.carrier.sent if name == channel]
        self.carrier.sent = [pair for pair in self.carrier.sent if pair[0] != channel]
        return [json.loads(self.keys[channel].open(message)[0]) for message in mine]

    def prints(self, text: str) -> None:
        self.recorder.output(text.encode(), error=False)


@pytest.fixture
def scene(tmp_path) -> Iterator[contextlib.AbstractAsyncContextManager]:
    @contextlib.asynccontextmanager
    async def entered():
        made = Scene(tmp_path)
        task = asyncio.create_task(made.all.keep())
        yield made
        task.cancel()
        await made.all.close()

    return entered()


async def arrives(scene: Scene, count: int) -> list[list]:
    """Return the next messages of the channel, and let the time pass that lies between them."""
    got: list[list] = []

    async def enough() -> bool:
        got.extend(one for one in scene.read() if one[0] != "beat")
        if len(got) < count:
            await passes(broadcast.GAP)
        return len(got) >= count

    await comes_true(enough)
    return got


async def test_a_viewer_gets_what_was_printed_before_then_what_comes_then_the_end(scene):
    scene.prints("one\n")
    scene.recorder.resize(100, 30)
    scene.prints("two\n")
    scene.watch()
    assert await arrives(scene, 4) == [
        ["start", {"cols": 80, "rows": 24, "skipped": 0}],
        ["o", "one\r\n"],
        ["r", "100x30"],
        ["o", "two\r\n"],
    ]
    scene.prints("three\n")
    assert await arrives(scene, 1) == [["o", "three\r\n"]]
    scene.prints("last")
    scene.recorder.close()
    assert await arrives(scene, 2) == [["o", "last"], ["end", ""]]


async def test_what_is_published_can_be_read_by_its_viewer_alone(scene):
    scene.prints("the secret of the target\n")
    scene.watch("one")
    scene.watch("two")
    await comes_true(lambda: len(scene.carrier.sent) >= 4)
    assert b"secret" not in b"".join(message for _, message in scene.carrier.sent)
    assert scene.read("one") == scene.read("two")


async def test_without_viewers_nothing_is_published_and_after_a_view_ended_neither(scene):
    scene.prints("one\n")
    await passes(broadcast.LOOK)
    assert not scene.carrier.sent
    scene.watch()
    await arrives(scene, 2)
    scene.rows.open.clear()
    scene.all.heard([RUN])
    await passes(broadcast.LOOK)
    followers = len(scene.recorder.followers)
    scene.prints("two\n")
    await passes(broadcast.BEAT)
    assert not [one for one in scene.read() if one[0] == "o"]
    assert followers == 1


async def test_a_flood_is_left_out_in_bounded_memory_and_the_viewer_reads_how_much(scene):
    scene.watch()
    await arrives(scene, 1)
    for _ in range(100):
        scene.prints("x" * 8192)
    got = await arrives(scene, 1)
    while got[-1][0] != "gap":
        got += await arrives(scene, 1)
    shown = sum(len(text) for kind, text in got if kind == "o")
    assert shown <= broadcast.MOST_WAITING
    assert shown + got[-1][1] == 100 * 8192
    scene.prints("after")
    assert await arrives(scene, 1) == [["o", "after"]]


async def test_without_the_carrier_output_is_recorded_as_ever_and_the_viewer_reads_later_what_is_missing(
    scene, tmp_path
):
    scene.watch()
    await arrives(scene, 1)
    scene.carrier.away = True
    scene.prints("lost")
    await passes(broadcast.AGAIN)
    scene.carrier.away = False
    assert ["gap", 4] in await arrives(scene, 1)
    made = scene.recorder.close()
    assert "lost" in (tmp_path / made.path).read_text("utf-8")


async def test_of_a_long_recording_a_viewer_gets_the_last_part_and_how_much_was_skipped(scene):
    for _ in range(90):
        scene.prints("y" * 8192)
    scene.watch()
    (start,) = (await arrives(scene, 1))[:1]
    assert start[1]["skipped"] > 90 * 8192 - broadcast.MOST_BEFORE
