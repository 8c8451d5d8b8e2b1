"""A held INSERT, UPDATE or DELETE runs in its transaction, whose COMMIT waits for a second person."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from django.db import transaction
from psycopg import errors

from broker.kernel import clock
from sessions_app.gateways.postgres import wire
from sessions_app.models import CommandRun, HeldCommit
from sessions_app.operations.grants.suspend_grant import suspend_grant
from sessions_app.operations.requests.decide_request import AlreadyDecided
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.queries.grants.held_commits import HeldStatement, readable_commits, statements_of
from tests.sessions_app.gateways.postgres.test_raw import logged_in
from tests.support.pace import allow
from tests.support.waits import eventually
from tests.support.world.acts import revoke

pytestmark = pytest.mark.processes

NOTE = "UPDATE orders SET note = 'late' WHERE id = 2"
NOTE_AS = "UPDATE app.orders SET note = %s WHERE id = %s"
EACH = "UPDATE orders SET note = 'all' WHERE status = 'open' RETURNING id, note"
PAY = "UPDATE orders SET status = 'paid' WHERE id = 1"


@pytest.fixture
def grant(place):
    place.shop.admin("UPDATE app.orders SET status = 'open', note = 'x'; DELETE FROM app.bills")
    return place.grant()


@pytest.fixture
def client(place, grant):
    with place.connect(grant) as connection:
        yield connection


def note(place, id_: int = 2) -> object:
    return place.shop.one("SELECT note FROM app.orders WHERE id = %s", id_)


def settled(grant, *wanted: tuple[str, str]) -> None:
    """Wait until the runs of a grant have these states and reasons."""
    found = grant.runs.order_by("pk").values_list("state", "reason")
    eventually(lambda: list(found.all()) == list(wanted), within=10)


def held(grant) -> CommandRun:
    waiting = grant.runs.filter(state="held", decided_at=None)
    eventually(waiting.exists)
    return waiting.get()


def decide(place, run: CommandRun, *, allow: bool = True) -> None:
    decide_hold(run_id=run.pk, actor=place.world.bob, allow=allow, now=clock.now())


def shown(run: CommandRun) -> list[HeldStatement]:
    return statements_of(HeldCommit.objects.get(run=run))


def rows(statement: HeldStatement) -> list[dict[str, Any]]:
    return [{cell.column: (cell.before, cell.after) for cell in row} for row in statement.rows]


class Work:
    """What runs in a thread, and the error that it ended with."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.error: BaseException | None = None
        self.result: Any = None
        self.act = act
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.result = self.act()
        except BaseException as error:  # noqa: BLE001  # the test looks at it
            self.error = error

    def end(self) -> BaseException | None:
        self.thread.join(allow(30))
        assert not self.thread.is_alive()
        return self.error


def simple(client) -> None:
    assert client.execute(NOTE).rowcount == 1


def bound(client) -> None:
    with client.cursor(binary=True) as cursor:
        assert cursor.execute(NOTE_AS, ["late", 2], prepare=True).rowcount == 1


def in_block(client) -> None:
    with client.transaction():
        client.execute(NOTE_AS, ["late", 2])


def in_text(client) -> None:
    client.execute(f"BEGIN; {NOTE}; COMMIT; SHOW timezone")


def with_another(client) -> None:
    client.execute(f"{PAY}; {NOTE}; SHOW timezone")


def in_pipeline(client, *statements: str) -> None:
    with client.pipeline() as pipeline:
        for statement in statements:
            client.execute(statement)
        pipeline.sync()


def pipelined(client) -> None:
    read = "SELECT id FROM app.orders WHERE id = 1"
    in_pipeline(client, read, NOTE, read)


def pipelined_block(client) -> None:
    in_pipeline(client, "BEGIN", "SAVEPOINT a", NOTE, "RELEASE a", "COMMIT")


WAYS = [simple, bound, in_block, in_text, with_another, pipelined, pipelined_block]


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_committed_until_a_second_person_allows_it(place, grant, client, way):
    work = Work(lambda: way(client))
    run = held(grant)
    assert note(place) == "x"
    assert rows(shown(run)[0]) == [{"id": ("2", "2"), "note": ("x", "late")}]
    decide(place, run)
    assert work.end() is None
    assert note(place) == "late"
    assert client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    eventually(lambda: grant.runs.get(pk=run.pk).state == "done")
    assert grant.runs.get(pk=run.pk).reason == "committed"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_denied_is_rolled_back_and_the_connection_goes_on(place, grant, client, way):
    work = Work(lambda: way(client))
    decide(place, held(grant), allow=False)
    error = work.end()
    assert isinstance(error, errors.InsufficientPrivilege)
    assert "Bob denied it. The transaction is rolled back." in str(error)
    assert (note(place), place.shop.one("SELECT status FROM app.orders WHERE id = 1")) == ("x", "open")
    assert client.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    client.execute(PAY)


def test_psql_shows_the_notice_and_the_result_only_after_the_commit(place, grant):
    work = Work(lambda: place.psql(grant, "-c", NOTE))
    decide(place, held(grant))
    work.end()
    assert (work.result.returncode, work.result.stdout) == (0, "UPDATE 1\n")
    assert "waiting for approval at its COMMIT" in work.result.stderr
    denied = Work(lambda: place.psql(grant, "-c", NOTE))
    decide(place, held(grant), allow=False)
    denied.end()
    assert (denied.result.returncode, denied.result.stdout) == (1, "")


def test_the_client_gets_only_the_columns_that_it_asked_for(place, grant, client):
    place.shop.admin("UPDATE app.orders SET status = 'paid' WHERE id = 3")
    work = Work(lambda: client.execute(EACH).fetchall())
    run = held(grant)
    (statement,) = shown(run)
    assert rows(statement) == [
        {"id": (str(at), str(at)), "status": ("open", "open"), "note": ("x", "all")} for at in (1, 2)
    ]
    assert statement.notes == ["The table has triggers, which may change more than these rows."]
    assert statement.plan.startswith("Update on orders")
    decide(place, run)
    work.end()
    assert work.result == [(1, "all"), (2, "all")]


def test_more_rows_than_allowed_are_never_held(place, grant, client):
    with pytest.raises(errors.InsufficientPrivilege, match="touched 3 rows"):
        client.execute(EACH)
    assert not grant.runs.filter(hold_lapses_at__isnull=False).exists()
    assert note(place) == "x"
    client.execute(PAY)


def test_all_held_statements_of_a_transaction_are_one_hold(place, grant, client):
    def act() -> None:
        with client.transaction():
            client.execute(NOTE)
            client.execute("INSERT INTO app.bills (id, note) VALUES (7, 'new')")
            client.execute("DELETE FROM app.bills WHERE id < 9")

    work = Work(act)
    run = held(grant)
    assert [(one.touched, rows(one)) for one in shown(run)] == [
        (1, [{"id": ("2", "2"), "note": ("x", "late")}]),
        (1, [{"id": (None, "7"), "note": (None, "new")}]),
        (1, [{"id": ("7", None)}]),
    ]
    decide(place, run, allow=False)
    work.end()
    undone = ("done", "not approved, rolled back")
    settled(grant, ("hold_denied", "Bob denied it"), undone, undone)


def test_a_statement_that_is_rolled_back_to_a_savepoint_is_not_held(place, grant, client):
    client.execute("BEGIN")
    client.execute("SAVEPOINT one")
    client.execute(NOTE)
    client.execute("ROLLBACK TO one")
    client.execute(PAY)
    client.execute("COMMIT")
    assert (note(place), place.shop.one("SELECT status FROM app.orders WHERE id = 1")) == ("x", "paid")
    settled(grant, ("done", "rolled back to a savepoint by its client"), ("done", ""))


def test_a_client_can_roll_back_without_asking_anyone(place, grant, client):
    client.execute("BEGIN")
    client.execute(NOTE)
    client.execute("ROLLBACK")
    settled(grant, ("done", "rolled back by its client"))
    assert not grant.runs.filter(hold_lapses_at__isnull=False).exists()


@pytest.mark.parametrize(
    "way",
    [
        "PREPARE TRANSACTION 'x'",
        "COMMIT PREPARED 'x'",
        "COMMIT AND CHAIN",
        "END AND CHAIN",
        "ROLLBACK AND CHAIN",
        "DISCARD ALL",
        "SAVEPOINT a; RELEASE a; DISCARD TEMP",
        "CALL app.commits()",
    ],
)
def test_no_other_end_of_the_transaction_commits_what_is_held(place, grant, client, way):
    client.execute("BEGIN")
    client.execute(NOTE)
    with pytest.raises((errors.InsufficientPrivilege, errors.InvalidTransactionTermination)):
        client.execute(way)
    assert client.execute("COMMIT").statusmessage == "ROLLBACK"
    assert not grant.runs.filter(hold_lapses_at__isnull=False).exists()
    assert note(place) == "x"
    assert place.shop.one("SELECT count(*) FROM pg_prepared_xacts") == 0


@pytest.mark.parametrize("way", ["END", "COMMIT WORK", "SAVEPOINT a; RELEASE a; END", "BEGIN; BEGIN; COMMIT"])
def test_a_commit_by_another_name_waits_as_well(place, grant, client, way):
    client.execute("BEGIN")
    client.execute(NOTE)
    work = Work(lambda: client.execute(way))
    run = held(grant)
    assert note(place) == "x"
    decide(place, run, allow=False)
    assert isinstance(work.end(), errors.InsufficientPrivilege)
    assert note(place) == "x"


def test_an_abort_rolls_back_without_asking_anyone(place, grant, client):
    client.execute("BEGIN")
    client.execute(NOTE)
    assert client.execute("ABORT").statusmessage == "ROLLBACK"
    assert not grant.runs.filter(hold_lapses_at__isnull=False).exists()
    assert note(place) == "x"


def test_what_was_allowed_is_rolled_back_if_its_grant_is_suspended_before_it_is_sent(place, grant, client):
    work = Work(lambda: client.execute(NOTE))
    run = held(grant)
    with transaction.atomic():
        # The gateway waits for the lock of the grant's row, and then finds the grant suspended.
        suspend_grant(grant_id=grant.pk, actor=place.world.bob, note="Wrong row", now=clock.now())
        CommandRun.objects.filter(pk=run.pk).update(decided_by=place.world.bob, decided_at=clock.now())
    error = work.end()
    assert isinstance(error, errors.InsufficientPrivilege)
    assert "was suspended by Bob: Wrong row" in str(error)
    assert note(place) == "x"


def test_a_procedure_can_not_commit_what_is_held(place, grant, client):
    with pytest.raises(errors.InvalidTransactionTermination):
        client.execute(f"{NOTE}; CALL app.commits()")
    assert note(place) == "x"
    with pytest.raises(errors.InvalidTransactionTermination):
        in_pipeline(client, NOTE, "CALL app.commits()")
    assert note(place) == "x"
    assert not grant.runs.filter(hold_lapses_at__isnull=False).exists()


def test_a_failed_transaction_that_recovers_is_still_held(place, grant, client):
    client.execute("BEGIN")
    client.execute(NOTE)
    client.execute("SAVEPOINT one")
    with contextlib.suppress(errors.InsufficientPrivilege):
        client.execute("DELETE FROM orders")
    work = Work(lambda: in_pipeline(client, "ROLLBACK TO one", "COMMIT"))
    run = held(grant)
    assert note(place) == "x"
    decide(place, run)
    assert work.end() is None
    assert note(place) == "late"


def test_a_transaction_that_failed_is_not_held_at_its_commit(place, grant, client):
    client.execute("BEGIN")
    client.execute(NOTE)
    with contextlib.suppress(errors.InsufficientPrivilege):
        client.execute("DELETE FROM orders")
    assert client.execute("COMMIT").statusmessage == "ROLLBACK"
    assert not grant.runs.filter(hold_lapses_at__isnull=False).exists()
    assert note(place) == "x"


def test_an_error_at_the_commit_is_reported_and_nothing_is_committed(place, grant, client):
    work = Work(
        lambda: client.execute("; ".join(["INSERT INTO app.bills (id, note) VALUES (1, 'twice')"] * 2))
    )
    decide(place, held(grant))
    assert isinstance(work.end(), errors.UniqueViolation)
    assert place.shop.one("SELECT count(*) FROM app.bills") == 0
    eventually(lambda: {run.state for run in grant.runs.all()} == {"done"})
    assert all("rolled back" in run.reason for run in grant.runs.all())
    client.execute(PAY)


def test_two_batches_in_flight_are_held_one_after_the_other(place, grant):
    with logged_in(place, grant) as line:
        text = f"BEGIN; {NOTE}; COMMIT; {NOTE}"
        line.sock.sendall(wire.message(b"Q", wire.string(text)) + wire.message(b"Q", wire.string(NOTE)))
        for _ in range(3):
            assert note(place) in ("x", "late")
            decide(place, held(grant))
        assert line.until_ready() == [b"C", b"C", b"N", b"C", b"N", b"C"]
        assert line.until_ready() == [b"N", b"C"]


def cancels(place, grant, client) -> None:
    client.cancel()


def disconnects(place, grant, client) -> None:
    client.pgconn.finish()


def ends(place, grant, client) -> None:
    revoke(grant)


def lapses(place, grant, client) -> None:
    CommandRun.objects.filter(grant=grant).update(hold_lapses_at=clock.now())


def loses_its_gateway(place, grant, client) -> None:
    assert place.gateway is not None
    place.gateway.send_signal(signal.SIGKILL)
    place.gateway.wait()
    place.start()


@pytest.mark.parametrize("way", [simple, in_block])
@pytest.mark.parametrize("what", [cancels, disconnects, ends, lapses, loses_its_gateway])
def test_whatever_ends_the_wait_rolls_back(place, grant, what, way):
    client = place.connect(grant)
    work = Work(lambda: way(client))
    run = held(grant)
    what(place, grant, client)
    assert work.end() is not None
    # The server has released the row.
    place.shop.admin("SET lock_timeout = '5s'; UPDATE app.orders SET note = 'y' WHERE id = 2")
    eventually(lambda: not CommandRun.objects.get(pk=run.pk).waits(clock.now()), within=20)
    with pytest.raises(AlreadyDecided):
        decide(place, run)
    assert note(place) == "y"
    client.close()


def test_only_those_who_may_decide_read_the_rows(place, grant, client):
    work = Work(lambda: client.execute(NOTE))
    run = grant.runs.select_related("held_commit").get(pk=held(grant).pk)
    world = place.world
    assert readable_commits(world.bob, grant, [run])
    for other in (world.alice, world.charlie):
        assert readable_commits(other, grant, [run]) == {}
    assert b"late" not in bytes(run.held_commit.sealed_content)
    decide(place, run)
    work.end()


@pytest.fixture(autouse=True)
def gateway_answers(place) -> Iterator[None]:
    yield
    assert place.gateway.poll() is None
