"""A live view is for those who may see the command, in the record, and cut within seconds."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from broker.kernel.sealed_channel import Sender
from sessions_app.models import CommandRun, Watch
from sessions_app.operations.sessions.keep_watch import EVERY
from sessions_app.queries.gateways.watches import open_watches
from sessions_app.streams import terminal
from tests.sessions_app.test_streams import cookie_of
from tests.support.waits import comes_true
from tests.support.world import acts
from tests.support.world.holders import passes, play_out

HOST = (b"host", b"stint.example")
ORIGIN = (b"origin", b"https://stint.example")


class Queue:
    """A queue's server with one subscriber: what is in ``messages`` arrives."""

    def __init__(self) -> None:
        self.messages: list[dict] = [{"type": "subscribe"}]
        self.away = self.lively = False

    @contextlib.asynccontextmanager
    async def pubsub(self) -> AsyncIterator["Queue"]:
        yield self

    async def subscribe(self, channel: str) -> None:
        if self.away:
            raise ConnectionError

    async def get_message(self, *, timeout: float) -> dict | None:  # noqa: ASYNC109  # redis-py's name
        await asyncio.to_thread(lambda: None)
        if self.away:
            raise ConnectionError
        if self.messages:
            return self.messages.pop(0)
        return {"type": "pong"} if self.lively else None

    async def aclose(self) -> None:
        """Close nothing."""


class View:
    """One request for a live view, and what it was answered."""

    def __init__(self, cookie: str, run: int | str, *, headers=(HOST, ORIGIN), stalls: bool = False) -> None:
        self.queue, self.status, self.body, self.stalls = Queue(), 0, b"", stalls
        self.left = asyncio.Event()
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": "/streams/terminal",
            "query_string": f"run={run}".encode(),
            "headers": [*headers, (b"cookie", cookie.encode())],
        }
        self.terminals = terminal.Terminals(lambda: self.queue)
        self.task = asyncio.create_task(self.terminals.serve(self.scope, self._receive, self._send))

    async def _receive(self) -> dict:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict) -> None:
        self.status = message.get("status", self.status)
        if self.stalls and self.status == 200 and self.body:
            await asyncio.Event().wait()
        self.body += message.get("body", b"")

    @property
    def lines(self) -> list[list]:
        return [json.loads(line) for line in self.body.splitlines() if line]

    async def over(self) -> str:
        """Let time pass until the view has ended, and return the reason that its person gets."""

        async def ended() -> bool:
            await passes(EVERY / 40)
            return self.task.done()

        await comes_true(ended)
        return self.lines[-1][1]

    def print(self, sender: Sender, *event: object) -> None:
        self.queue.messages.append({"type": "message", "data": sender.seal(json.dumps(event).encode())})


@pytest.fixture
def run(lone_db, live_world):
    used = acts.use(live_world.grant(), now=live_world.now)
    tried = acts.run(used, acts.session(used, now=live_world.now), now=live_world.now)
    return CommandRun.objects.get(pk=tried.run_id)


@pytest.fixture
def cookies(run, live_world) -> dict[str, str]:
    return {name: cookie_of(getattr(live_world, name)) for name in ("bob", "charlie")}


async def shown(view: View, *words: str) -> None:
    await comes_true(lambda: all(word.encode() in view.body for word in words))


async def sender_of(run) -> Sender:
    """Return what the gateway seals with: it finds the key in the row of the view."""
    (watch,) = await asyncio.to_thread(open_watches, [run.pk], run.tried_at)
    return Sender(watch.key)


async def ended_after(seconds: float) -> bool:
    await passes(seconds)
    return not await asyncio.to_thread(Watch.objects.exists)


def events(run) -> list[str]:
    return [name for name in acts.events(run.grant.ref) if "watch" in name]


def test_what_the_gateway_sends_is_passed_on_with_who_watches_until_the_command_ends(run, cookies):
    async def scenario():
        view = View(cookies["bob"], run.pk)
        await shown(view, "Bob")
        sender = await sender_of(run)
        view.print(sender, "o", "hello")
        sender.seal(b"lost on its way")
        view.print(sender, "o", "again")
        view.print(sender, "end", "")
        assert await view.over() == "command ended"
        assert [line for line in view.lines if line[0] in "o gap"] == [
            ["o", "hello"],
            ["gap", 0],
            ["o", "again"],
        ]

    play_out(scenario)
    assert events(run) == ["command.watch_began", "command.watch_ended"]
    assert not Watch.objects.exists()


@pytest.mark.parametrize(
    ("who", "about", "headers", "status"),
    [
        ("charlie", "run", (HOST, ORIGIN), 404),
        ("bob", "x", (HOST, ORIGIN), 404),
        ("nobody", "run", (HOST, ORIGIN), 403),
        ("bob", "run", (HOST, (b"origin", b"https://elsewhere.example")), 403),
        ("bob", "run", (HOST,), 403),
    ],
)
def test_who_may_not_see_it_gets_nothing_and_nothing_is_written(run, cookies, who, about, headers, status):
    async def scenario():
        view = View(
            cookies.get(who, "stint_session=forged"), run.pk if about == "run" else about, headers=headers
        )
        await comes_true(view.task.done)
        assert view.status == status

    play_out(scenario)
    assert not events(run)


def test_without_an_entry_in_the_record_there_is_no_stream(run, cookies, owner_connection):
    owner_connection.execute("REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM stint_app, public")

    async def scenario():
        view = View(cookies["bob"], run.pk)
        await comes_true(view.task.done)
        assert view.status == 503
        assert b"record" in view.body

    try:
        play_out(scenario)
    finally:
        owner_connection.execute("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO stint_app")
    assert not Watch.objects.exists()


def test_without_the_queue_nothing_is_recorded_and_the_person_reads_that_there_is_no_view(run, cookies):
    async def scenario():
        view = View(cookies["bob"], run.pk)
        view.queue.away = True
        await comes_true(view.task.done)
        assert (view.status, view.body) == (503, terminal.UNAVAILABLE)

    play_out(scenario)
    assert not events(run)


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        ("signed out", "signed out"),
        ("no right", "access ended"),
        ("queue away", "unavailable"),
        ("silence", "unavailable"),
        ("process stops", "restarts"),
        ("command ended", "command ended"),
    ],
)
def test_a_view_is_cut_at_the_next_check(run, cookies, live_world, happens, reason):
    def change() -> None:
        if happens == "signed out":
            live_world.bob.is_active = False
            live_world.bob.save()
        elif happens == "no right":
            live_world.bob.groups.clear()
        elif happens == "command ended":
            CommandRun.objects.filter(pk=run.pk).update(state="done")

    async def scenario():
        view = View(cookies["bob"], run.pk)
        await shown(view, "Bob")
        await asyncio.to_thread(change)
        view.queue.away, view.queue.lively = happens == "queue away", happens != "silence"
        view.terminals.stopping = happens == "process stops"
        assert await view.over() == reason

    play_out(scenario)
    assert acts.last("command.watch_ended", run.grant.ref).data["reason"] == reason


@pytest.mark.parametrize("stalls", [False, True])
def test_a_watcher_who_leaves_or_stops_reading_watches_no_longer(run, cookies, stalls):
    async def scenario():
        view = View(cookies["bob"], run.pk, stalls=stalls)
        await comes_true(lambda: view.body)
        if stalls:
            # The connection is still open when the record has that it watches no longer.
            await comes_true(lambda: ended_after(terminal.PATIENCE))
        view.left.set()
        await comes_true(view.task.done)

    play_out(scenario)
    reason = acts.last("command.watch_ended", run.grant.ref).data["reason"]
    assert reason == ("too slow" if stalls else "left")
