"""A browser is told when to look again, and nothing else."""

import asyncio
import contextlib
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore

from broker.audit.queries import last_number
from broker.demo.ports import free_port
from broker.kernel import clock
from sessions_app.models import Notice
from tests.support.pace import allow
from tests.support.servers.running import start as start_process
from tests.support.waits import PATIENCE, eventually

pytestmark = pytest.mark.timing


def cookie_of(identity, **more) -> str:
    """The cookie of a signed-in browser."""
    session = SessionStore()
    session.update(more)
    session[SESSION_KEY] = str(identity.pk)
    session[BACKEND_SESSION_KEY] = "accounts.backends.PasswordBackend"
    session[HASH_SESSION_KEY] = identity.get_session_auth_hash()
    session.create()
    return f"stint_session={session.session_key}"


@pytest.fixture
def started(processes) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The streams processes of a test."""
    all_of_them: list[subprocess.Popen[bytes]] = []
    yield all_of_them
    for process in all_of_them:
        process.terminate()
        process.wait(timeout=PATIENCE)


@pytest.fixture
def start(stint_db, tmp_path, started) -> Callable[..., str]:
    """Start the streams process on a free port, with settings of one's own."""

    def run(**settings: str) -> str:
        port = free_port()
        words = ("-m", "uvicorn", "--port", str(port), "--log-level", "warning", "broker.asgi:application")
        with (tmp_path / "streams.log").open("ab") as log:
            env = {**stint_db.env, **settings}
            started.append(start_process(*words, env=env, stdout=log, stderr=log))
        base = f"http://127.0.0.1:{port}"
        wait_for(base)
        return base

    return run


@pytest.fixture
def streams(start) -> str:
    """The streams process as it runs behind a proxy."""
    return start()


def wait_for(base: str) -> None:
    """Wait until the process hears the database."""
    for _ in range(300):
        try:
            return urllib.request.urlopen(f"{base}/healthz", timeout=1).close()
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the streams process did not start")


def ask(base: str, cookie: str = "", query: str = "", **headers: str):
    """Open the stream."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        f"{base}/streams/changes{query}", headers={**({"Cookie": cookie} if cookie else {}), **given}
    )
    return urllib.request.urlopen(request, timeout=allow(10))


def refused(base: str, cookie: str = "") -> int:
    """Ask in vain; return the status."""
    with pytest.raises(urllib.error.HTTPError) as refusal:
        ask(base, cookie)
    return refusal.value.code


def head() -> int:
    """The number of the record's last entry."""
    return last_number()


def begun(stream) -> None:
    """Read what every stream begins with."""
    assert stream.headers["Content-Type"] == "text/event-stream"
    assert stream.readline() == b"retry: 3000\n"
    stream.readline()


def nudge(stream) -> int:
    """Read one nudge, which has no content; return its number."""
    number, event, data, end = (stream.readline() for _ in range(4))
    assert (event, data, end) == (b"event: changed\n", b"data: \n", b"\n")
    return int(number.removeprefix(b"id: "))


def hears_all(stream) -> None:
    """Read nudges until one has the number of the last entry: what is noticed late is one more."""
    while nudge(stream) != head():
        pass


def silent(stream) -> bool:
    """Whether nothing comes for a second."""
    stream.fp.raw._sock.settimeout(1)
    try:
        return stream.read1(1) == b""
    except TimeoutError:
        return True


@pytest.mark.parametrize(
    "channel", ["stint_record", "stint_grant", "stint_hold", "stint_order", "stint_notice"]
)
def test_every_channel_is_a_nudge_without_content(live_world, streams, app_connection, channel):
    with ask(streams, cookie_of(live_world.alice)) as stream:
        begun(stream)
        app_connection.execute("SELECT pg_notify(%s, '7')", [channel])
        nudge(stream)


def test_what_people_do_is_a_nudge_with_the_number_of_its_entry(live_world, streams):
    with ask(streams, cookie_of(live_world.bob)) as stream:
        begun(stream)
        request = live_world.request(now=clock.now())
        hears_all(stream)
        live_world.decide(request, now=clock.now())
        hears_all(stream)
        Notice.objects.create(identity=live_world.bob, event="x", subject="Of the clock alone", path="/")
        assert nudge(stream) == head()


def test_who_comes_back_hears_at_once_of_what_was_missed_and_of_nothing_else(live_world, streams):
    cookie = cookie_of(live_world.alice)
    before = head()
    live_world.request()
    with ask(streams, cookie, Last_Event_ID=str(before)) as stream:
        begun(stream)
        assert nudge(stream) == head()
    for query, headers in (("", {"Last_Event_ID": str(head())}), (f"?after={head()}", {}), ("", {})):
        with ask(streams, cookie, query, **headers) as stream:
            begun(stream)
            assert silent(stream)
    for strange in ("x", "9" * 30, "-1"):
        with ask(streams, cookie, f"?after={strange}") as stream:
            begun(stream)
            nudge(stream)


def test_many_changes_are_few_nudges(live_world, streams, app_connection):
    with ask(streams, cookie_of(live_world.alice)) as stream:
        begun(stream)
        started = time.monotonic()
        for number in range(200):
            app_connection.execute("SELECT pg_notify('stint_record', %s)", [str(10**6 + number)])
        got = [nudge(stream)]
        while got[-1] < 10**6 + 199:
            got.append(nudge(stream))
        assert len(got) <= 2 + (time.monotonic() - started) / 0.2


def test_one_person_and_all_together_have_a_bounded_number_of_streams(live_world, start):
    streams = start(STINT_STREAMS_MOST="14")
    cookie = cookie_of(live_world.alice)
    opened = [ask(streams, cookie) for _ in range(12)]
    assert refused(streams, cookie) == 429
    opened += [ask(streams, cookie_of(live_world.bob)) for _ in range(2)]
    assert refused(streams, cookie_of(live_world.bob)) == 503
    for stream in opened:
        stream.close()

    def admitted() -> bool:
        with contextlib.suppress(urllib.error.HTTPError):
            ask(streams, cookie).close()
            return True
        return False

    eventually(admitted)


def test_who_stops_reading_is_written_to_no_more_and_keeps_the_place(live_world, monkeypatch):
    from sessions_app.streams import application as streams
    from sessions_app.streams import serving

    monkeypatch.setattr(serving, "PATIENCE", 0.05)

    async def play() -> tuple[int, int]:
        application, left, written, writes = streams.Streams(), asyncio.Event(), asyncio.Event(), []
        application._hears = True

        async def receive():
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            writes.append(message)
            if message["type"] == "http.response.body":
                written.set()
                await asyncio.sleep(60)

        scope = {"headers": [], "query_string": b""}
        reader = asyncio.create_task(application._stream(1, scope, receive, send))
        await written.wait()
        await asyncio.sleep(0.3)
        application._wake(7)
        await asyncio.sleep(0.3)
        kept = application._of[1]
        left.set()
        await reader
        assert len(writes) == 2
        return kept, application._of[1]

    assert asyncio.run(play()) == (1, 0)


def test_pages_of_the_same_host_alone_may_read_it_from_another_port(live_world, start):
    cookie = cookie_of(live_world.alice)
    streams = start(STINT_STREAMS_DIRECT_PORT="8001", STINT_PUBLIC_URL="http://127.0.0.1:8000")
    for origin, allowed in (
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://localhost:3000", False),
        ("https://elsewhere.example", False),
        ("null", False),
    ):
        with ask(streams, cookie, Origin=origin) as stream:
            assert (stream.headers["Access-Control-Allow-Origin"] == origin) is allowed, origin
    with ask(start(), cookie, Origin="http://127.0.0.1:8000") as stream:
        assert stream.headers["Access-Control-Allow-Origin"] is None


def test_streams_end_while_the_database_says_nothing_and_are_there_again_after_that(
    live_world, streams, app_connection, owner_connection
):
    cookie, before = cookie_of(live_world.alice), head()
    with ask(streams, cookie) as stream:
        begun(stream)
        # What it reads when it begins to listen again.
        owner_connection.execute("REVOKE SELECT ON audit_head FROM stint_app")
        app_connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name LIKE '% listen' AND datname = current_database()"
        )
        assert stream.read() == b""
    live_world.request()
    assert refused(streams, cookie) == 503
    owner_connection.execute("GRANT SELECT ON audit_head TO stint_app")
    wait_for(streams)
    with ask(streams, cookie, f"?after={before}") as stream:
        begun(stream)
        assert nudge(stream) == head()


def test_a_process_that_is_told_to_stop_ends_its_streams_without_a_word_in_the_log(
    live_world, streams, started, tmp_path
):
    with ask(streams, cookie_of(live_world.alice)) as stream:
        begun(stream)
        started[0].terminate()
        assert stream.read() == b""
        started[0].wait(PATIENCE)
    assert (tmp_path / "streams.log").read_text() == ""


@pytest.mark.parametrize(
    "cookie", ["", "stint_session=forged", "stint_session=", "=;=", "stint_session=" + "x" * 5000]
)
def test_who_is_not_signed_in_gets_no_stream(live_world, streams, cookie):
    assert refused(streams, cookie) == 403


def test_where_a_second_factor_is_required_there_is_no_stream_without_one(live_world, start):
    streams = start(STINT_SECOND_FACTOR="required")
    assert refused(streams, cookie_of(live_world.bob)) == 403
    shown = {
        "account_authentication_methods": [{"method": "mfa", "type": "totp", "at": 0}],
        "account_authentication_methods_user": str(live_world.bob.pk),
    }
    with ask(streams, cookie_of(live_world.bob, **shown)) as stream:
        begun(stream)


def test_a_password_that_another_person_chose_opens_no_stream(live_world, streams):
    live_world.bob.password_given = True
    live_world.bob.save()
    assert refused(streams, cookie_of(live_world.bob)) == 403
