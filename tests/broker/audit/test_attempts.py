"""Attempts that come in any number are all counted, in few entries, and without the record's head."""

import datetime as dt

import psycopg
from django.db import DatabaseError

from broker.audit.actor import Actor
from broker.audit.attempts import EXAMPLES, SOURCES, TOLD_AT_ONCE, WINDOW, append_attempts, record_attempt
from broker.audit.events import Event
from broker.audit.models import AuditAttempt, AuditBacklog, AuditEntry
from broker.kernel import clock

EXCHANGE = Actor.system("exchange")
ALICE = Actor(name="alice", id=7, kind="person")


def attempt(source: str, now: dt.datetime, *, actor: Actor = EXCHANGE, ref: str = "none", **data) -> None:
    record_attempt(
        event=Event.IDENTITY_TOKEN_REFUSED,
        actor=actor,
        object_type="trust_policy",
        object_ref=ref,
        source=source,
        data=data,
        now=now,
    )


def entries():
    return AuditEntry.objects.filter(event="identity.token_refused").order_by("seq")


def test_the_first_attempt_is_an_entry_at_once_and_needs_no_second(stint_db):
    now = clock.now()
    attempt("192.0.2.1", now, unmet=["exp"])
    assert entries().get().data == {"unmet": ["exp"]}
    assert append_attempts(now + WINDOW) == 0
    assert entries().count() == 1
    assert not AuditAttempt.objects.exists()
    attempt("192.0.2.1", now + WINDOW, unmet=["aud"])
    assert entries().count() == 2


def test_what_one_source_tries_within_a_minute_is_one_entry_more_with_its_count_first_last_and_examples(
    stint_db,
):
    now = clock.now()
    for number in range(50):
        attempt("192.0.2.1", now + dt.timedelta(seconds=number), unmet=[f"claim {number % 8}"])
    assert entries().count() == 1
    assert append_attempts(now + dt.timedelta(seconds=59)) == 0
    assert append_attempts(now + WINDOW) == 1
    data = entries().last().data
    assert (data["count"], data["source"]) == (50, "192.0.2.1")
    assert data["first"] == now.isoformat()
    assert data["last"] == (now + dt.timedelta(seconds=49)).isoformat()
    assert data["examples"] == [{"unmet": [f"claim {number}"]} for number in range(EXAMPLES)]
    assert append_attempts(now + 2 * WINDOW) == 0


def test_from_many_sources_few_are_told_at_once_and_the_rest_of_the_minute_is_bounded(stint_db):
    now = clock.now()
    for number in range(1000):
        for _ in range(2 if number < 150 else 1):
            attempt(f"192.0.2.{number}", now, unmet=["exp"])
    assert entries().count() == TOLD_AT_ONCE
    assert append_attempts(now + WINDOW) == SOURCES + 1
    told = [entry.data for entry in entries()[TOLD_AT_ONCE:]]
    assert [data["count"] for data in told[:SOURCES]] == [2] * SOURCES
    rest = told[SOURCES]
    assert (rest["source"], rest["sources"], rest["count"]) == ("several", 900, 50 * 2 + 850)
    assert len(rest["examples"]) == len(rest["some"]) == EXAMPLES


def test_attempts_of_identities_are_told_under_their_own_names(stint_db):
    now = clock.now()
    for number in range(SOURCES + 20):
        for _ in range(2):
            attempt(f"token {number}", now, actor=ALICE, ref=f"GR-{number}")
    assert entries().filter(actor="alice").count() == SOURCES + 20
    assert append_attempts(now + WINDOW) == SOURCES + 20
    assert {entry.object_ref for entry in entries()} == {f"GR-{number}" for number in range(SOURCES + 20)}


def test_an_attempt_that_is_counted_does_not_wait_for_the_record(stint_db, owner_connection):
    now = clock.now()
    for number in range(TOLD_AT_ONCE):
        attempt(f"192.0.2.{number}", now)
    with psycopg.connect(owner_connection.info.dsn, password=owner_connection.info.password) as other:
        other.execute("SELECT * FROM audit_head FOR UPDATE")
        for number in range(30):
            attempt(f"192.0.2.{number}", now)
    assert not AuditBacklog.objects.exists()
    assert sum(AuditAttempt.objects.values_list("times", flat=True)) == TOLD_AT_ONCE + 30


def test_while_the_record_refuses_attempts_are_counted_and_told_when_it_is_back(stint_db, owner_connection):
    now = clock.now()
    owner_connection.execute(
        "REVOKE EXECUTE ON FUNCTION audit_append_at_commit, audit_append_many FROM stint_app"
    )
    attempt("192.0.2.1", now)
    attempt("192.0.2.1", now)
    try:
        append_attempts(now + WINDOW)
    except DatabaseError:
        pass
    else:
        raise AssertionError("it was told")
    assert AuditAttempt.objects.get().times == 2
    owner_connection.execute(
        "GRANT EXECUTE ON FUNCTION audit_append_at_commit, audit_append_many TO stint_app"
    )
    assert append_attempts(now + WINDOW) == 1


def test_what_an_example_says_is_bounded_and_holds_no_secret(stint_db):
    now = clock.now()
    for _ in range(2):
        attempt(
            "192.0.2.1", now, unmet=["x" * 5000], token="hunter2", odd="\0", key="-----BEGIN PRIVATE KEY-----"
        )
    (example,) = AuditAttempt.objects.get().examples
    assert len(str(example)) < 400
    attempt("192.0.2.2", now, token="hunter2", key="-----BEGIN PRIVATE KEY-----")
    kept = str(AuditAttempt.objects.get(source="192.0.2.2").examples)
    assert "hunter2" not in kept
    assert "BEGIN" not in kept
