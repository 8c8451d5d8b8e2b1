"""What holders run is read back where the server's administrator allows it, and nowhere else."""

import contextlib
import datetime as dt
import threading
import time

import psycopg
import pytest

from sessions_app.connectors.postgres.statements import statements
from tests.support.pace import allow

LOG_FUNCTIONS = (
    "pg_current_logfile(text), pg_stat_file(text), pg_read_binary_file(text, bigint, bigint, boolean)"
)


def long_ago() -> dt.datetime:
    return dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)


@pytest.fixture(autouse=True)
def activity_allowed(shop):
    shop.admin("GRANT pg_read_all_stats TO stint_broker")


@pytest.fixture
def log_allowed(shop):
    shop.admin(f"GRANT EXECUTE ON FUNCTION {LOG_FUNCTIONS} TO stint_broker")
    yield
    shop.admin(f"REVOKE EXECUTE ON FUNCTION {LOG_FUNCTIONS} FROM stint_broker")


def test_nothing_is_read_where_the_set_up_does_not_ask_for_it(shop):
    given = shop.give()
    with given.login() as session:
        session.execute("SELECT 1")
        assert statements(given.spec.place, given.lease, long_ago()) == []


def test_the_statement_that_runs_is_seen_while_it_runs(shop):
    place = shop.place(read_statements=True)
    given = shop.give(place=place)
    with given.login() as session:
        thread = threading.Thread(target=_run, args=(session, "SELECT pg_sleep(60)"))
        thread.start()
        seen = until(lambda: statements(place, given.lease, long_ago()), lambda one: one.state == "running")
        (running,) = [one for one in seen if one.state == "running"]
        assert (running.text, running.database) == ("SELECT pg_sleep(60)", "shop")
        assert running.process == session.info.backend_pid
        assert statements(place, given.lease, long_ago()) == seen
        given.revoke()
        thread.join()


def until(look, wanted) -> list:
    """What is seen once something of it is as wanted; an error after a while, with what there is instead."""
    began = time.monotonic()
    while not any(map(wanted, seen := look())):
        assert time.monotonic() - began < allow(20), seen
    return seen


def _run(session, statement) -> None:
    with contextlib.suppress(psycopg.Error):
        session.execute(statement)


def test_every_statement_is_read_from_the_log_where_stint_may_read_it(shop, log_allowed):
    place = shop.place(read_statements=True)
    given, other = shop.give(place=place), shop.give(place=place)
    began = dt.datetime.now(dt.UTC)
    with given.login() as session, other.login() as neighbor:
        neighbor.execute("SELECT 'not mine'")
        session.execute("SELECT 'ünïcode', 1")
        session.execute("SELECT %s::int", (7,))
        with pytest.raises(psycopg.Error):
            session.execute("SELECT * FROM app.invoices")
        session.execute("ALTER ROLE CURRENT_USER PASSWORD 'canary''s own'")
        seen = until(lambda: statements(place, given.lease, began), lambda one: "ALTER ROLE" in one.text)
    texts = [(one.text, one.state) for one in seen]
    assert ("SELECT 'ünïcode', 1", "started") in texts
    assert ("SELECT $1::int", "started") in texts
    assert ("SELECT * FROM app.invoices", "failed") in texts
    assert "permission denied" in next(one.error for one in seen if one.state == "failed")
    assert ("ALTER ROLE CURRENT_USER PASSWORD '…'", "started") in texts
    assert "canary" not in str(seen)
    assert "not mine" not in str(seen)
    assert len({one.key for one in seen}) == len(seen)
    assert all(one.at >= began - dt.timedelta(milliseconds=1) for one in seen)
    assert statements(place, given.lease, dt.datetime.now(dt.UTC) + dt.timedelta(minutes=1)) == []


HIDING = [
    "/*password '*/ DELETE FROM app.orders WHERE false -- '",
    "/*password*/DELETE/**/FROM/**/app.orders/**/WHERE/**/false",
    "SELECT 1 AS password, 'shown' FROM app.orders",
    "ALTER ROLE CURRENT_USER SET search_path = 'password'",
]


def test_no_word_in_a_statement_hides_the_statement(shop, log_allowed):
    place = shop.place(read_statements=True)
    given = shop.give(place=place)
    began = dt.datetime.now(dt.UTC)
    with given.login() as session:
        for statement in HIDING:
            with contextlib.suppress(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)
        session.execute("ALTER ROLE /* 'x' */ CURRENT_USER PASSWORD $$my canary phrase$$")
        session.execute("SET standard_conforming_strings = off")
        session.execute(r"ALTER ROLE CURRENT_USER PASSWORD 'a\'' ; SELECT 'seen' --'")
        seen = until(lambda: statements(place, given.lease, began), lambda one: "'seen'" in one.text)
    texts = [one.text for one in seen]
    assert set(HIDING) <= set(texts)
    assert "ALTER ROLE /* 'x' */ CURRENT_USER PASSWORD '…'" in texts
    assert "canary" not in str(seen)
