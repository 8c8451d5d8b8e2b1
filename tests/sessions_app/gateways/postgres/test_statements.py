"""Statements through the gateway, by programs that people use: psql, psycopg and pgbench."""

import contextlib
import subprocess
import threading
from typing import Any

import psycopg
import pytest
from psycopg import errors

from broker.kernel import clock
from sessions_app.operations.sessions.decide_hold import decide_hold
from tests.support.pace import allow
from tests.support.waits import eventually

pytestmark = pytest.mark.processes

PAY = "UPDATE orders SET status = 'paid' WHERE id = 1"
PAY_AS = "UPDATE app.orders SET status = %s WHERE id = %s"
FEW = "UPDATE orders SET status = 'paid' WHERE id < %s RETURNING id"


@pytest.fixture
def grant(place):
    place.shop.admin("UPDATE app.orders SET status = 'open', note = 'x'; DELETE FROM app.seen")
    return place.grant()


@pytest.fixture
def client(place, grant):
    with place.connect(grant) as connection:
        yield connection


def status(place, id_: int = 1) -> object:
    return place.shop.one("SELECT status FROM app.orders WHERE id = %s", id_)


def states(grant) -> list[str]:
    return list(grant.runs.order_by("pk").values_list("state", flat=True))


def lines(grant) -> list[str]:
    return list(grant.runs.order_by("pk").values_list("line", flat=True))


def settled(grant, *wanted: str) -> None:
    """Wait until the runs of a grant have these states."""
    eventually(lambda: states(grant) == list(wanted), within=10)


def test_each_statement_is_a_run_with_its_rows(place, grant, client):
    assert client.execute(PAY).rowcount == 1
    assert client.execute("SELECT id, status FROM orders WHERE id < 3 ORDER BY id").fetchall() == [
        (1, "paid"),
        (2, "open"),
    ]
    settled(grant, "done", "done")
    assert list(grant.runs.order_by("pk").values_list("rows", "reason")) == [(1, ""), (2, "")]
    assert lines(grant)[0] == "UPDATE app.orders SET status = 'paid' WHERE id = 1"
    assert grant.sessions.count() == 1


@pytest.mark.parametrize("binary", [False, True])
def test_bound_values_are_decided_like_literals(place, grant, client, binary):
    with client.cursor(binary=binary) as cursor:
        cursor.execute(PAY_AS, ["closed", 2], prepare=True, binary=binary)
        with pytest.raises(errors.InsufficientPrivilege, match=r"(?s)Stint refused.*Nearest: UPDATE"):
            cursor.execute(PAY_AS, ["closed", 10], prepare=True, binary=binary)
        cursor.execute(PAY_AS, ["paid", 2], prepare=True, binary=binary)
    assert status(place, 2) == "paid"
    settled(grant, "done", "refused", "done")


def in_transaction(client, *statements: str) -> None:
    with client.transaction():
        for statement in statements:
            client.execute(statement)


def test_a_refused_statement_fails_its_transaction_as_an_error_of_the_server_does(place, grant, client):
    with pytest.raises(errors.InsufficientPrivilege):
        in_transaction(client, PAY, "DELETE FROM orders")
    assert status(place) == "open"
    client.execute("BEGIN")
    with pytest.raises(errors.InsufficientPrivilege):
        client.execute("DELETE FROM orders")
    with pytest.raises(errors.InFailedSqlTransaction):
        client.execute(PAY)
    client.execute("ROLLBACK")
    client.execute(PAY)
    assert status(place) == "paid"


def test_savepoints_keep_what_was_before_a_refusal(place, client):
    with client.transaction():
        client.execute(PAY)
        with contextlib.suppress(errors.InsufficientPrivilege), client.transaction():
            client.execute("DELETE FROM orders")
    assert status(place) == "paid"


def test_of_several_statements_none_is_sent_if_one_is_refused(place, grant, client):
    with pytest.raises(errors.InsufficientPrivilege):
        client.execute(f"{PAY}; DELETE FROM app.seen; {PAY}")
    assert status(place) == "open"
    settled(grant, "refused")
    client.execute(f"{PAY}; UPDATE orders SET status = 'closed' WHERE id = 2; SHOW timezone")
    assert (status(place), status(place, 2)) == ("paid", "closed")
    settled(grant, "refused", "done", "done")


def test_several_statements_are_one_transaction(place, grant, client):
    with pytest.raises(errors.UniqueViolation):
        client.execute(f"{PAY}; INSERT INTO orders (id, status) VALUES (1, 'open'); {PAY}")
    assert status(place) == "open"
    settled(grant, "done", "failed", "failed")
    reasons = list(grant.runs.order_by("pk").values_list("reason", flat=True))
    assert reasons[1].startswith("23505 ")
    assert "not run" in reasons[2]


@pytest.mark.parametrize("how", ["simple", "bound", "in a transaction", "with another"])
def test_more_rows_than_allowed_are_rolled_back(place, grant, client, how):
    place.shop.admin("UPDATE app.orders SET status = 'open'")
    act = {
        "simple": lambda: client.execute(FEW % 9),
        "bound": lambda: client.execute(FEW, [9]),
        "in a transaction": lambda: in_transaction(client, FEW % 9),
        "with another": lambda: client.execute(f"{FEW % 9}; {PAY}"),
    }[how]
    with pytest.raises(errors.InsufficientPrivilege, match="touched 3 rows"):
        act()
    assert {status(place, at) for at in (1, 2, 3)} == {"open"}
    assert client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    assert client.execute(FEW, [3]).fetchall() == [(1,), (2,)] or status(place) == "paid"
    settled(grant, *(["failed", "failed", "done"] if how == "with another" else ["failed", "done"]))


def pipelined(client, *values: str) -> None:
    with client.pipeline() as pipeline:
        for value in values:
            client.execute(PAY_AS, [value, 2])
        pipeline.sync()


def test_a_pipeline_is_answered_in_order_and_stops_at_a_refusal(place, grant, client):
    with client.pipeline() as pipeline:
        first = client.execute(PAY_AS, ["paid", 1])
        second = client.execute("SELECT id FROM app.orders WHERE id = %s", [2])
        pipeline.sync()
        assert (first.rowcount, second.fetchall()) == (1, [(2,)])
    with pytest.raises(errors.InsufficientPrivilege):
        pipelined(client, "closed", "gone", "paid")
    assert status(place, 2) == "open"
    assert "gone" in grant.runs.get(state="refused").line


def test_cursors_and_portals_with_row_limits_are_read_in_parts(place, grant, client):
    with client.transaction(), client.cursor(name="orders") as cursor:
        cursor.itersize = 1
        cursor.execute("SELECT id FROM orders WHERE id < 4")
        assert sorted(row[0] for row in cursor) == [1, 2, 3]
    settled(grant, "done")
    with pytest.raises(errors.InsufficientPrivilege), client.cursor(name="kept", withhold=True) as cursor:
        cursor.execute("SELECT id FROM orders WHERE id < 4")


def test_a_held_statement_waits_with_a_notice_and_runs_once_approved(place, grant, client):
    notices: list[Any] = []
    client.add_notice_handler(lambda one: notices.append(one.message_primary))
    work = threading.Thread(target=client.execute, args=("UPDATE orders SET note = 'late' WHERE id = 2",))
    work.start()
    eventually(lambda: grant.runs.filter(state="held").exists())
    decide_hold(run_id=grant.runs.get().pk, actor=place.world.bob, allow=True, now=clock.now())
    work.join(allow(20))
    assert not work.is_alive()
    assert "waiting for approval" in notices[0]
    assert place.shop.one("SELECT note FROM app.orders WHERE id = 2") == "late"
    settled(grant, "done")


def in_thread(client, statement: str) -> tuple[threading.Thread, list[BaseException]]:
    """Return a thread that runs a statement, and a list for its error."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            client.execute(statement)
        except psycopg.Error as error:
            failed.append(error)

    return threading.Thread(target=run), failed


def test_a_client_that_cancels_stops_waiting_and_the_connection_goes_on(place, grant, client):
    work, failed = in_thread(client, "UPDATE orders SET note = 'late' WHERE id = 2")
    work.start()
    eventually(lambda: grant.runs.filter(state="held").exists())
    client.cancel()
    work.join(allow(20))
    assert isinstance(failed[0], errors.QueryCanceled)
    settled(grant, "cut")
    client.execute(PAY)


def test_a_client_that_cancels_stops_what_runs_on_the_server(place, grant, client):
    work, failed = in_thread(client, "SELECT app.wait(7)")
    work.start()
    eventually(lambda: place.active(grant))
    client.cancel()
    work.join(allow(20))
    eventually(lambda: not place.active(grant))
    assert isinstance(failed[0], errors.QueryCanceled)
    settled(grant, "failed")
    assert grant.runs.get().reason.startswith("57014 ")


def test_a_statement_that_may_finish_is_given_its_time_and_nothing_after_it(place):
    grant = place.grant(duration=6)
    with place.connect(grant) as client:
        left = (grant.expires_at - clock.now()).total_seconds()
        assert client.execute(f"SELECT app.work({int(left) + 3})").fetchone()
        assert clock.now() > grant.expires_at
        with pytest.raises(psycopg.OperationalError):
            client.execute(PAY)
    settled(grant, "done")


def test_psql_works_and_is_told_what_is_refused(place, grant):
    done = place.psql(grant, "-Atc", "SELECT id, status FROM orders WHERE id = 1")
    assert (done.returncode, done.stdout) == (0, "1|open\n"), done.stderr
    refused = place.psql(grant, "-c", "\\dt")
    assert refused.returncode
    assert "Stint refused this statement" in refused.stderr
    refused = place.psql(grant, "-c", "UPDATE orders SET status = 'gone' WHERE id = 1")
    assert "DETAIL:  Nearest: UPDATE app.orders" in refused.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "COPY app.orders TO STDOUT",
        "COPY app.orders TO PROGRAM 'true'",
        "SET ROLE stint_broker",
        "SET SESSION AUTHORIZATION stint_broker",
        "SET search_path = public",
        "SET standard_conforming_strings = off",
        "PREPARE TRANSACTION 'x'",
        "LISTEN x",
        "DO $$BEGIN END$$",
        "PREPARE x AS SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM app.orders",
        "GRANT SELECT ON app.orders TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        'SELECT "id"""; DROP TABLE app.orders--" FROM app.orders WHERE id = 1',
        "SELECT set_config('search_path', 'public', false)",
        "WITH gone AS (DELETE FROM app.orders RETURNING id) SELECT id FROM gone",
        "SELECT id FROM app.orders WHERE id = 1 FOR UPDATE",
        "SELECT id INTO app.copy FROM app.orders WHERE id = 1",
    ],
)
def test_what_would_leave_the_approved_statements_is_refused(place, client, statement):
    with pytest.raises(errors.InsufficientPrivilege, match="Stint refused"):
        client.execute(statement)
    assert client.execute("SELECT id FROM orders WHERE id = 1").fetchall() == [(1,)]


def test_the_role_of_the_grant_is_a_second_fence(place, grant, client):
    role, ask = place.role(grant), "SELECT has_table_privilege(%s, 'app.invoices', 'SELECT')"
    assert place.shop.one(ask, role) is False
    assert place.shop.one("SELECT has_column_privilege(%s, 'app.orders', 'note', 'UPDATE')", role)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"password": "sgt_wrong"}, "password authentication failed"),
        ({"user": "GR-ZZZZ"}, "password authentication failed"),
        ({"user": "postgres"}, "password authentication failed"),
        ({"sslmode": "disable"}, "requires TLS"),
        ({"dbname": "postgres"}, "dbname=shop"),
        ({"options": "-c role=postgres"}, "can't be chosen"),
        ({"client_encoding": "LATIN1"}, "PGCLIENTENCODING=UTF8"),
        ({"replication": "database"}, "Replication"),
    ],
)
def test_who_is_not_let_in_learns_why(place, grant, changes, says):
    with pytest.raises(psycopg.OperationalError, match=says):
        place.connect(grant, **changes)


@pytest.mark.parametrize(
    "changes", [{"channel_binding": "require"}, {"dbname": "GR-x"}, {"gssencmode": "prefer"}]
)
def test_who_proves_the_token_is_let_in(place, grant, changes):
    if "dbname" in changes:
        changes = {"dbname": place.tokens[grant.pk]["Username"]}
    with place.connect(
        grant, user=f"{grant.ref.lower()}.db-1" if "dbname" not in changes else grant.ref, **changes
    ) as client:
        assert client.execute("SHOW timezone").fetchone()


def test_pgbench_runs_prepared_statements(place, grant, tmp_path):
    script = tmp_path / "pay.sql"
    script.write_text("\\set id random(1, 3)\nUPDATE app.orders SET status = 'paid' WHERE id = :id;\n")
    said = place.parameters(grant)
    env = {
        f"PG{name.upper()}": str(said[name])
        for name in ("host", "hostaddr", "port", "user", "password", "sslmode", "sslrootcert")
    }
    done = subprocess.run(
        ["pgbench", "-n", "-M", "prepared", "-c", "2", "-t", "20", "-f", str(script), said["dbname"]],
        env={"PATH": "/usr/lib/postgresql/15/bin:/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        timeout=allow(60),
        check=False,
    )
    assert "number of transactions actually processed: 40/40" in done.stdout, done.stderr
    eventually(lambda: states(grant) == ["done"] * 40, within=10)
