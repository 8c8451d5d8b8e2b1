"""What the gateway tells the database about ends: until it has heard, and never held up by one thing that it refuses."""

from __future__ import annotations

import asyncio

import pytest
from django.db import DataError, IntegrityError, ProgrammingError, connection

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core import reports
from sessions_app.gateways.core.database import Database, NotTaken, guarded
from sessions_app.gateways.core.reports import Reports
from tests.support.acts import events, run, session, use


def ask(sql: str, *values: object):
    """A function that asks the real database."""

    def execute(**_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)

    return execute


@pytest.mark.parametrize(
    ("sql", "cause"),
    [
        ("SELECT %s::int2", DataError),
        ("INSERT INTO sessions_app_sweeper (name) VALUES (NULL) RETURNING %s", IntegrityError),
        ("SELECT %s FROM nothing_of_that_name", ProgrammingError),
    ],
)
def test_a_database_that_answers_and_refuses_is_not_called_one_that_does_not_answer(stint_db, sql, cause):
    with pytest.raises(NotTaken) as refused:
        guarded(ask(sql, 100_000))
    assert isinstance(refused.value.__cause__, cause)


def test_a_database_that_went_away_is_unavailable_and_the_next_call_connects_again(stint_db):
    with pytest.raises(Unavailable):
        guarded(ask("SELECT pg_terminate_backend(pg_backend_pid()), %s", 1))
    guarded(ask("SELECT %s", 1))


async def _deliver(*sent: tuple, seconds: float = 5) -> tuple[bool, list]:
    database = Database(threads=1, name="test")
    told = Reports(database)
    heard: list = []
    told.on_delivered = lambda: heard.append(None)
    try:
        for function, arguments, plain in sent:
            told.send("one session", function, plain=plain, **arguments)
        return await told.wait(seconds), heard
    finally:
        await database.run(lambda: connection.close())
        database.stop()


def test_a_report_that_is_refused_for_its_words_is_told_in_plain_words(stint_db):
    taken = []

    def report(*, words: str) -> None:
        ask("SELECT %s::text", words)()
        taken.append(words)

    assert asyncio.run(_deliver((report, {"words": "a\0b"}, {"words": "plain"}))) == (True, [None])
    assert taken == ["plain"]


def test_a_report_that_is_refused_as_such_gives_way_to_those_behind_it(stint_db, monkeypatch):
    monkeypatch.setattr(reports, "RETRY", 0.05)
    closed = []
    refused = ask("SELECT %s::int2", 100_000)
    done, heard = asyncio.run(
        _deliver((refused, {}, {}), (refused, {}, {}), (lambda **_: closed.append(True), {}, {}))
    )
    assert (done, heard, closed) == (True, [None], [True])


def test_the_last_report_of_a_session_is_told_until_it_is_taken(stint_db, monkeypatch):
    monkeypatch.setattr(reports, "RETRY", 0.02)
    answers = [100_000, 100_000, 100_000, 1]

    def close(**_: object) -> None:
        ask("SELECT %s::int2", answers.pop(0))()

    assert asyncio.run(_deliver((close, {}, {}))) == (True, [None])
    assert answers == []


def test_nothing_that_a_target_says_about_an_end_is_refused(world):
    from sessions_app.models import CommandRun, Session
    from sessions_app.operations.sessions.close_session import close_session
    from sessions_app.operations.sessions.finish_run import finish_run

    used = use(world.grant(), now=world.now)
    opened = session(used, now=world.now)
    tried = run(used, opened, now=world.now)
    finish_run(
        run_id=tried.run_id, state="cut", signal="A\0\udc80", exit_status=2**32 - 1, reason="it said \0\ud800",
        now=world.now,
    )  # fmt: skip
    close_session(session_id=opened, reason="it said \0", now=world.now)
    row = CommandRun.objects.get(pk=tried.run_id)
    assert (row.signal, row.exit_status, row.reason) == ("A\\x00\\udc80", 2**31 - 1, "it said \\x00\\ud800")
    assert Session.objects.get(pk=opened).close_reason == "it said \\x00"
    assert {"command.finished", "session.closed"} <= set(events(used.grant_ref))
