"""What the database refuses to the application's own role, whatever the code asks for."""

import itertools

import pytest
from django.db import DatabaseError, IntegrityError, ProgrammingError, connection, transaction

from sessions_app.models import (
    AccessRequest,
    CommandSetVersion,
    EndReason,
    Grant,
    GrantState,
    RequestKind,
    RequestState,
)
from sessions_app.models.grant_state import TRANSITIONS
from sessions_app.operations.grants.issue_http_token import issue_http_token
from sessions_app.operations.grants.revoke_http_token import revoke_http_token
from sessions_app.operations.sessions.open_request_session import open_request_session
from tests.support.waits import PATIENCE
from tests.support.world.api_site import add_site, grant_on_site, use_of

EDGES = {(state.value, to.value) for state, following in TRANSITIONS.items() for to in following}
ROADS = {
    "scheduled": [],
    "provisioning": ["provisioning"],
    "active": ["provisioning", "active"],
    "revoking": ["revoking"],
    "ended": ["ended"],
}
FORBIDDEN = [pair for pair in itertools.permutations(GrantState.values, 2) if pair not in EDGES]


def sql(statement: str, *values: object, **named: object) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, named or values)
        return cursor.rowcount


def move(grant: Grant, state: str) -> int:
    return sql(
        "UPDATE sessions_app_grant SET state = %s, version = version + 1, end_reason = CASE WHEN %s IN"
        " ('revoking', 'ended') AND end_reason = '' THEN 'revoked' ELSE end_reason END,"
        " ended_at = CASE WHEN %s = 'ended' THEN now() END WHERE id = %s",
        state,
        state,
        state,
        grant.pk,
    )


@pytest.fixture
def grant(world) -> Grant:
    return world.grant(start=False)


def bring(grant: Grant, state: str) -> Grant:
    for step in ROADS[state]:
        assert move(grant, step) == 1
    return grant


def test_the_role_of_the_application_owns_nothing_and_may_not_switch_guards_off(world):
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == ("stint_app", False)
    for statement in (
        "ALTER TABLE sessions_app_grant DISABLE TRIGGER ALL",
        "DROP TRIGGER stint_grant_edges ON sessions_app_grant",
        "SET session_replication_role = replica",
        (
            "CREATE OR REPLACE FUNCTION stint_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW;"
            " END'"
        ),
    ):
        with pytest.raises(ProgrammingError) as refusal:
            sql(statement)
        assert refusal.value.__cause__.sqlstate == "42501"


@pytest.mark.parametrize("old", GrantState.values)
def test_a_grant_takes_no_forbidden_step(grant, old):
    bring(grant, old)
    for new in (new for before, new in FORBIDDEN if before == old):
        with pytest.raises(IntegrityError, match="can't go that way"):
            move(grant, new)


def test_a_grant_takes_each_allowed_step(grant):
    for old, new in sorted(EDGES):
        step = transaction.savepoint()
        assert move(bring(grant, old), new) == 1
        transaction.savepoint_rollback(step)


def test_a_step_without_a_new_version_is_refused(grant):
    with pytest.raises(IntegrityError, match="version"):
        sql("UPDATE sessions_app_grant SET state = 'provisioning' WHERE id = %s", grant.pk)


@pytest.mark.parametrize("state", ["revoking", "ended"])
def test_an_end_needs_a_reason_and_a_time(grant, state):
    with pytest.raises(IntegrityError):
        sql("UPDATE sessions_app_grant SET state = %s, version = version + 1 WHERE id = %s", state, grant.pk)


def test_the_reason_of_an_end_never_changes(grant):
    bring(grant, "revoking")
    for reason in (EndReason.EXPIRED, ""):
        with pytest.raises(IntegrityError):
            sql("UPDATE sessions_app_grant SET end_reason = %s WHERE id = %s", reason, grant.pk)


@pytest.mark.parametrize("state", ["revoking", "ended"])
def test_a_grant_that_is_over_gets_no_more_time(grant, state):
    bring(grant, state)
    with pytest.raises(IntegrityError, match="extended"):
        sql("UPDATE sessions_app_grant SET expires_at = expires_at + interval '1 s' WHERE id = %s", grant.pk)


APPROVED = [
    "ref = 'GR-AAAA'",
    "holder_id = %(bob)s",
    'parameters = \'{"unit": "haproxy"}\'',
    "commands = '[0, 1, 2, 3, 4, 5]'",
    "mark = 'other'",
    "starts_at = starts_at - interval '1 h'",
    "break_glass = NOT break_glass",
    "finish_seconds = finish_seconds + 1",
    "request_id = request_id + 1",
    "cluster_id = cluster_id + 1",
    "policy_id = policy_id + 1",
    "command_set_version_id = command_set_version_id + 1",
]


@pytest.mark.parametrize("state", ["scheduled", "active"])
def test_what_was_approved_about_a_grant_never_changes(world, grant, state):
    bring(grant, state)
    for change in APPROVED:
        with pytest.raises(IntegrityError, match="never changes"):
            sql(f"UPDATE sessions_app_grant SET {change} WHERE id = %(id)s", id=grant.pk, bob=world.bob.pk)


def test_grants_and_requests_are_never_deleted(grant):
    with pytest.raises(IntegrityError, match="never deleted"):
        sql("DELETE FROM sessions_app_grant WHERE id = %s", grant.pk)
    with pytest.raises(IntegrityError, match="never deleted"):
        sql("DELETE FROM sessions_app_accessrequest WHERE id = %s", grant.request_id)


def test_tables_that_carry_authority_are_never_emptied(grant):
    for table in ("sessions_app_grant", "sessions_app_accessrequest", "sessions_app_commandsetversion"):
        with pytest.raises(DatabaseError):
            sql(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize("old", [state for state in RequestState.values if state != "pending"])
def test_a_request_that_is_decided_stays_so(world, old):
    request = world.request()
    assert sql("UPDATE sessions_app_accessrequest SET state = %s WHERE id = %s", old, request.pk) == 1
    for new in (state for state in RequestState.values if state != old):
        with pytest.raises(IntegrityError, match="stays so"):
            sql("UPDATE sessions_app_accessrequest SET state = %s WHERE id = %s", new, request.pk)


ASKED = [
    "number = 1",
    "kind = 'break_glass'",
    "requester_id = %(bob)s",
    "cluster_id = cluster_id + 1",
    "policy_id = policy_id + 1",
    "command_set_version_id = command_set_version_id + 1",
    "parameters = '{}'",
    "targets = '[]'",
    "duration = duration + 1",
    "digest = 'other'",
    "starts_at = now()",
]


def test_what_was_asked_for_never_changes(world):
    request = world.request()
    for change in ASKED:
        with pytest.raises(IntegrityError, match="never changes"):
            sql(
                f"UPDATE sessions_app_accessrequest SET {change} WHERE id = %(id)s",
                id=request.pk,
                bob=world.bob.pk,
            )


PUBLISHED = [
    "document = '{}'",
    "source = ''",
    "digest = 'x'",
    "number = 9",
    "published_at = NULL",
    'accepted = \'{"a": "b"}\'',
]


def test_a_published_version_never_changes(world):
    version = CommandSetVersion.objects.get()
    for change in PUBLISHED:
        with pytest.raises(IntegrityError, match="never changes"):
            sql(f"UPDATE sessions_app_commandsetversion SET {change} WHERE id = %s", version.pk)
    with pytest.raises(IntegrityError, match="never changes"):
        sql("DELETE FROM sessions_app_commandsetversion WHERE id = %s", version.pk)


def test_a_command_set_has_one_draft_at_a_time(world):
    published = CommandSetVersion.objects.get()
    fields = {
        "command_set": published.command_set,
        "source": "",
        "document": {},
        "digest": "x",
        "created_at": world.now,
    }
    CommandSetVersion.objects.create(number=2, **fields)
    with pytest.raises(IntegrityError), transaction.atomic():
        CommandSetVersion.objects.create(number=3, **fields)


def test_a_request_makes_one_grant_at_most(world, grant):
    fields = {field.attname: getattr(grant, field.attname) for field in Grant._meta.concrete_fields}
    fields.update(id=None, ref="GR-ZZZZ", mark="another")
    with pytest.raises(IntegrityError), transaction.atomic():
        Grant.objects.create(**fields)


def test_an_approver_has_one_standing_verdict_on_a_request(world):
    request = world.request()
    for _ in range(2):
        request.approvals.create(
            approver=world.bob,
            verdict="deny",
            digest=request.digest,
            voided_at=world.now,
            created_at=world.now,
        )
    request.approvals.create(approver=world.bob, verdict="deny", digest=request.digest, created_at=world.now)
    with pytest.raises(IntegrityError), transaction.atomic():
        request.approvals.create(
            approver=world.bob, verdict="approve", digest=request.digest, created_at=world.now
        )


def test_only_an_extension_names_a_grant(world, grant):
    request = AccessRequest.objects.get(pk=grant.request_id)
    fields = {field.attname: getattr(request, field.attname) for field in AccessRequest._meta.concrete_fields}
    fields.update(id=None, number=1)
    for kind, extends in ((RequestKind.EXTENSION, None), (RequestKind.PLANNED, grant.pk)):
        with pytest.raises(IntegrityError), transaction.atomic():
            AccessRequest.objects.create(**{**fields, "kind": kind, "extends_id": extends})


def test_machines_have_owners_and_never_administer(world):
    for statement in (
        "UPDATE accounts_identity SET owner_id = NULL WHERE username = 'robot'",
        "UPDATE accounts_identity SET is_superuser = true WHERE username = 'robot'",
        "UPDATE accounts_identity SET owner_id = id WHERE username = 'bob'",
    ):
        with pytest.raises(IntegrityError):
            sql(statement)


def announced(listening) -> list[str]:
    """All that was announced of grants since it was last asked for: what comes before an announcement made
    now.
    """
    sql("SELECT pg_notify('stint_grant', 'now')")
    payloads: list[str] = []
    for note in listening.notifies(timeout=PATIENCE):
        payloads.append(note.payload)
        if note.payload == "now":
            break
    assert payloads.pop() == "now"
    return payloads


def test_a_revoke_is_announced_in_its_transaction_and_not_when_it_is_rolled_back(live_world, app_connection):
    app_connection.execute("LISTEN stint_grant")
    grant = live_world.grant()
    assert set(announced(app_connection)) == {str(grant.pk)}
    with pytest.raises(IntegrityError):
        sql("UPDATE sessions_app_grant SET state = 'ended', version = 9 WHERE id = %s", grant.pk)
    assert announced(app_connection) == []
    move(grant, "revoking")
    assert announced(app_connection) == [str(grant.pk)]


def test_the_end_of_a_token_is_announced_as_its_grant_and_its_use_is_not(live_world, app_connection):
    add_site(live_world)
    grant = grant_on_site(live_world)
    _, text = issue_http_token(grant_id=grant.pk, actor=live_world.alice, now=live_world.now)
    app_connection.execute("LISTEN stint_grant")
    open_request_session(use=use_of(text), client_address="", now=live_world.now)
    assert announced(app_connection) == []
    _, text = issue_http_token(grant_id=grant.pk, actor=live_world.alice, now=live_world.now)
    revoke_http_token(text=text, now=live_world.now)
    assert announced(app_connection) == [str(grant.pk)] * 2


def test_very_many_ends_at_once_are_all_announced(live_world, app_connection):
    app_connection.execute("LISTEN stint_grant")
    ids = [2**62 + number for number in range(1001)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT stint_announce('stint_grant', %s)", [ids])
    assert [int(word) for payload in announced(app_connection) for word in payload.split()] == ids


def test_the_targets_of_a_grant_are_those_it_was_made_with(world):
    grant = world.grant()
    target = grant.targets.first()
    for statement in (
        "DELETE FROM sessions_app_grant_targets WHERE grant_id = %s",
        "UPDATE sessions_app_grant_targets SET target_id = target_id WHERE grant_id = %s",
    ):
        with pytest.raises(IntegrityError, match="never changes"):
            sql(statement, grant.pk)
    other = world.grant(targets=("web-2",))
    with pytest.raises(IntegrityError, match="never changes"):
        sql(
            "INSERT INTO sessions_app_grant_targets (grant_id, target_id) VALUES (%s, %s)",
            other.pk,
            target.pk,
        )


def test_a_verdict_stays_as_it_was_given(world):
    request = world.decide(world.request())
    for statement in (
        "DELETE FROM sessions_app_approval WHERE request_id = %s",
        "UPDATE sessions_app_approval SET verdict = 'deny' WHERE request_id = %s",
        "UPDATE sessions_app_approval SET digest = 'x' WHERE request_id = %s",
        """UPDATE sessions_app_approval SET narrowing = '{"duration": 1}' WHERE request_id = %s""",
    ):
        with pytest.raises(IntegrityError, match="Verdicts are never deleted|stays as it was given"):
            sql(statement, request.pk)
    sql("UPDATE sessions_app_approval SET voided_at = now() WHERE request_id = %s", request.pk)
    with pytest.raises(IntegrityError, match="stays as it was given"):
        sql("UPDATE sessions_app_approval SET voided_at = NULL WHERE request_id = %s", request.pk)
