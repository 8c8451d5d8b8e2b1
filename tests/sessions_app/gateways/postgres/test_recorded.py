"""What is recorded of statements: secret values as digests, the conversation, and results for the page."""

import json
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from broker.audit.models import AuditEntry
from broker.kernel import clock
from sessions_app.models import CommandOrder, RunState
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.order_command import LineRefused, order_command
from sessions_app.queries.grants.held_commits import statements_of
from sessions_app.queries.record.recording_content import digest_of
from tests.support.waits import eventually

pytestmark = pytest.mark.processes

NOTE = "UPDATE orders SET note = %s WHERE id = %s RETURNING id, note"


@pytest.fixture
def recordings(place, settings) -> Path:
    """The folder in which the gateway writes recordings, for readers in this process as well."""
    settings.RECORDINGS_DIR = place.folder / "state" / "recordings"
    return settings.RECORDINGS_DIR


def texts(grant) -> str:
    """Everything that the database has about a grant's runs and its record."""
    runs = grant.runs.order_by("pk").values_list("line", "argv", "reason")
    entries = AuditEntry.objects.filter(object_ref=grant.ref).values_list("body", flat=True)
    return json.dumps([*map(str, runs), *entries], default=str)


def conversation(recordings: Path, grant) -> str:
    """The text of a grant's only recording, once it is reported."""
    eventually(lambda: grant.runs.exclude(recording="").exists(), within=10)
    run = grant.runs.exclude(recording="").get()
    file = recordings / run.recording
    with file.open("rb") as opened:
        assert digest_of(opened) == run.recording_digest
    entry = AuditEntry.objects.get(object_ref=grant.ref, event="recording.completed")
    assert (entry.data["run"], entry.data["recording_sha256"]) == (run.pk, run.recording_digest)
    return "".join(json.loads(line)[2] for line in file.read_text().splitlines()[1:])


def test_secret_values_are_never_recorded(place, recordings):
    grant = place.grant(command_set="set-notes")
    with place.connect(grant) as client:
        assert client.execute(
            "UPDATE orders SET note = 'hunter' WHERE id = 1 RETURNING id, note"
        ).fetchone() == (
            1,
            "hunter",
        )
        client.execute(NOTE, ["hunter", 2], prepare=True)
        for text, values in (
            ("UPDATE orders SET note = 'hunter' WHERE note = 'hunter'", None),
            ('UPDATE orders SET note = "hunter" WHERE', None),
            (NOTE, ["hunter", 99]),
            (NOTE, ["not hunter", 1]),
            ("UPDATE orders SET status = 'hunter' WHERE id = 1", None),
        ):
            with pytest.raises(psycopg.Error):
                client.execute(text, values)
    said = conversation(recordings, grant)
    eventually(lambda: not grant.sessions.filter(closed_at=None).exists(), within=10)
    assert "hunter" not in texts(grant) + said
    first, second = grant.runs.filter(state=RunState.DONE).order_by("pk").values_list("line", flat=True)
    assert first.startswith("UPDATE app.orders SET note = [secret, sha256:")
    assert first.partition(" WHERE ")[0] == second.partition(" WHERE ")[0], "equal values can be recognized"


def test_the_conversation_is_recorded_without_rows(place, recordings):
    grant = place.grant()
    place.shop.admin("UPDATE app.orders SET status = 'open', note = 'private' WHERE id = 1")
    with place.connect(grant) as client:
        with client.transaction():
            assert client.execute("SELECT note FROM orders WHERE id = 1").fetchone() == ("private",)
        with pytest.raises(errors.InsufficientPrivilege):
            client.execute("DELETE FROM orders")
        with pytest.raises(errors.UniqueViolation):
            client.execute("INSERT INTO orders (id, status) VALUES (1, 'open')")
    said = conversation(recordings, grant)
    lines = [line for line in said.splitlines() if line]
    assert "private" not in said
    assert [line[:44] for line in lines] == [
        "BEGIN",
        "shop=> SELECT note FROM app.orders WHERE id ",
        "SELECT 1",
        "COMMIT",
        "shop=> DELETE FROM orders;",
        "ERROR 42501: Stint refused this statement: n",
        "shop=> INSERT INTO app.orders (id, status) V",
        "ERROR 23505: duplicate key value violates un",
        "[stint: the client disconnected]",
    ]


def order(grant, index: int, **values: str):
    return order_command(
        grant_id=grant.pk, actor=grant.holder, target="db-1", index=index, values=values, now=clock.now()
    )


def ended(made):
    """The run of an order, once it has ended."""

    def run():
        made.refresh_from_db()
        assert not made.error, made.error
        return made.run_id and made.run.ended_at

    eventually(run, within=15)
    return made.run


def kept_rows(recordings: Path, run) -> list[list[str | None]]:
    """The kept result of a run: the names of its columns, then its rows."""
    lines = (recordings / run.recording).read_text().splitlines()[1:]
    return [json.loads(json.loads(line)[2]) for line in lines]


def test_a_statement_from_the_page_runs_once_and_its_rows_are_kept(place, recordings):
    place.shop.admin("UPDATE app.orders SET status = 'open'")
    grant = place.grant()
    run = ended(order(grant, 1, status="paid", id="3"))
    assert (run.state, run.rows, run.grant_id) == ("done", 2, grant.pk)
    assert kept_rows(recordings, run) == [["id"], ["1"], ["2"]]
    eventually(lambda: not grant.sessions.filter(closed_at=None).exists(), within=10)
    assert grant.sessions.get().proof == "page"


@pytest.mark.parametrize("allow", [True, False])
def test_a_statement_from_the_page_waits_for_a_second_person(place, recordings, allow):
    place.shop.admin("UPDATE app.orders SET note = 'x'")
    grant = place.grant()
    made = order(grant, 2, note="from the page", id="1")
    eventually(lambda: grant.runs.filter(state="held").exists(), within=15)
    decide_hold(run_id=grant.runs.get().pk, actor=place.world.bob, allow=allow, now=clock.now())
    run = ended(made)
    assert run.state == ("done" if allow else "hold_denied")
    assert place.shop.one("SELECT note FROM app.orders WHERE id = 1") == ("from the page" if allow else "x")


def test_more_rows_than_allowed_are_rolled_back_from_the_page_as_well(place, recordings):
    place.shop.admin("UPDATE app.orders SET status = 'open'")
    run = ended(order(place.grant(), 1, status="paid", id="9"))
    assert (run.state, run.recording) == ("failed", "")
    assert "rolled back" in run.reason
    assert place.shop.one("SELECT count(*) FROM app.orders WHERE status = 'paid'") == 0


def test_a_select_from_the_page_returns_what_its_form_chose(place, recordings):
    place.shop.admin("UPDATE app.orders SET note = 'o''p' WHERE id = 2")
    chosen = {"column.0": "on", "column.2": "on", "order.column": "0", "order.direction": "DESC"}
    where = {"where.0.column": "2", "where.0.operator": "IN", "where.0.value": "o'p, \\"}
    run = ended(order(place.grant(), 10, **chosen, **where))
    assert (run.state, run.rows) == ("done", 1), run.reason
    assert run.line == "SELECT id, note FROM app.orders WHERE note IN ('o''p', E'\\\\') ORDER BY id DESC"
    assert kept_rows(recordings, run) == [["id", "note"], ["2", "o'p"]]


def test_a_secret_value_from_the_page_reaches_the_target_and_nothing_else(place, recordings):
    grant = place.grant(command_set="set-notes")
    made = order(grant, 0, note="hunter", id="1")
    run = ended(made)
    assert (run.state, run.rows) == ("done", 1), run.reason
    assert place.shop.one("SELECT note FROM app.orders WHERE id = 1") == "hunter"
    ((_, names), row) = kept_rows(recordings, run)
    assert (names, row[0]) == ("note", "1")
    assert run.line == f"UPDATE app.orders SET note = {row[1]} WHERE id = 1 RETURNING id, note"
    assert row[1].startswith("[secret, sha256:")
    with pytest.raises(LineRefused) as refused:
        order(grant, 0, note="HUNTER", id="1")
    eventually(lambda: grant.runs.filter(state="refused").exists(), within=15)
    orders = json.dumps(list(CommandOrder.objects.values()), default=str)
    everything = f"{texts(grant)}{orders}{refused.value}{(recordings / run.recording).read_text()}"
    assert "hunter" not in everything.lower()
    assert not CommandOrder.objects.filter(sealed_line__isnull=False).exists()


def test_the_second_person_sees_the_digest_of_a_secret_from_the_page(place, recordings):
    place.shop.admin("UPDATE app.orders SET note = 'before' WHERE id < 3")
    grant = place.grant(command_set="set-notes")
    made = order(grant, 1, note="hunter", id="3")
    eventually(lambda: grant.runs.filter(state="held").exists(), within=15)
    run = grant.runs.get()
    (shown,) = statements_of(run.held_commit)
    assert (run.line, shown.touched) == (shown.line, 2)
    assert "SET note = [secret, sha256:" in run.line
    assert "hunter" not in f"{shown}{texts(grant)}"
    decide_hold(run_id=run.pk, actor=place.world.bob, allow=True, now=clock.now())
    assert ended(made).state == "done"
    assert place.shop.one("SELECT count(*) FROM app.orders WHERE note = 'hunter'") == 2


def test_a_value_that_is_not_allowed_is_refused_and_recorded(place, recordings):
    grant = place.grant()
    with pytest.raises(LineRefused, match="status"):
        order(grant, 0, status="gone", id="1")
    eventually(lambda: grant.runs.filter(state="refused").exists(), within=15)
    assert "'gone'" in grant.runs.get().line
