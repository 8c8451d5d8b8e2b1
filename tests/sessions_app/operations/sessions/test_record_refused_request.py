"""A request that was refused, written down before it is answered."""

import datetime as dt

import pytest
from django.db import DatabaseError

from broker.audit.attempts import append_attempts
from broker.audit.models import AuditAttempt
from broker.kernel.crypto import token_digest
from sessions_app.models import CommandRun, EndReason, Grant, GrantCredential, Target
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.issue_http_token import issue_http_token
from sessions_app.operations.identities.disable_identity import disable_identity
from sessions_app.operations.sessions.record_refused_request import (
    DeadToken,
    record_dead_token,
    record_refused_request,
)
from tests.support.world import mcp_site
from tests.support.world.acts import after, events, intact, last
from tests.support.world.api_site import FILES, add_site, grant_on_site, token_of, used


@pytest.fixture
def use(world):
    return used(world)


def refuse(
    use, now, line="DELETE /tickets/T-42", reason="a command set says no", code="denied"
) -> CommandRun:
    pk = record_refused_request(
        use=use, session_id=use.session_id, line=line, reason=reason, code=code, now=now
    )
    return CommandRun.objects.get(pk=pk)


def test_it_is_a_run_that_never_began_and_its_holders_own_entry(use, world):
    run = refuse(use, world.now)
    assert (run.state, run.line, run.reason, run.started_at) == (
        "refused",
        "DELETE /tickets/T-42",
        "a command set says no",
        None,
    )
    entry = last("command.refused", use.grant_ref)
    assert entry.actor == "alice"
    assert entry.data == {
        "run": run.pk,
        "session": use.session_id,
        "target": "tickets-api",
        "line": "DELETE /tickets/T-42",
        "why": "a command set says no",
        "code": "denied",
    }


@pytest.mark.parametrize("line", ["GET /\0", "GET /\udcff", "GET /" + "x" * 20_000, "GET /\u202e"])
def test_it_is_kept_as_it_came_whatever_it_holds(use, world, line):
    assert len(refuse(use, world.now, line, code="syntax").line) <= 8010
    assert last("command.refused", use.grant_ref).data["code"] == "syntax"
    assert intact()


def test_nothing_of_it_stays_where_the_record_refuses(live_world, owner_connection):
    use = used(live_world)
    owner_connection.execute("REVOKE EXECUTE ON FUNCTION audit_append_at_commit FROM stint_app")
    with pytest.raises(DatabaseError):
        refuse(use, live_world.now)
    assert not CommandRun.objects.exists()


def test_too_many_hold_the_grant_in_the_same_transaction(world):
    use = used(world)
    terms = FILES["policies/ticket-work.yaml"] + "deviations: {limit: 2, people: hold}\n"
    add_site(world, {"policies/ticket-work.yaml": terms})
    refuse(use, world.now)
    assert Grant.objects.get(pk=use.grant_id).held_at is None
    refuse(use, world.now)
    assert Grant.objects.get(pk=use.grant_id).held_at == world.now


@pytest.fixture
def token(world):
    """That of alice's grant on the site."""
    add_site(world)
    return token_of(grant_on_site(world), world)


def dead(token, now, target="tickets-api") -> DeadToken | None:
    return record_dead_token(
        token_digest=token_digest(token), target_name=target, line="GET /tickets/T-42", now=now
    )


def why(token, now, **more) -> str:
    """What the record says of somebody who comes with a token that opens nothing."""
    grant = Grant.objects.get()
    # Each is the first of its minute, and so an entry at once.
    AuditAttempt.objects.all().delete()
    assert dead(token, now, **more) == DeadToken(grant.ref, held=False)
    entry = last("command.refused", grant.ref)
    assert (entry.actor, entry.data["code"], entry.data["line"]) == (
        grant.holder.username,
        "over",
        "GET /tickets/T-42",
    )
    return entry.data["why"]


def test_who_calls_for_ever_with_a_token_that_is_over_gets_two_entries_a_minute(token, world):
    end_grant(grant_id=Grant.objects.get().pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    for _ in range(200):
        dead(token, world.now)
    assert events(Grant.objects.get().ref).count("command.refused") == 1
    assert append_attempts(after(world, minutes=1)) == 1
    entry = last("command.refused", Grant.objects.get().ref)
    assert (entry.actor, entry.data["count"], entry.data["line"]) == ("alice", 200, "GET /tickets/T-42")


def test_a_token_that_never_was_is_nobodys(token, world):
    assert dead("sgt_guessed", world.now) is None


def _replaced(world) -> None:
    token_of(Grant.objects.get(), world)


def _ended(world) -> None:
    end_grant(grant_id=Grant.objects.get().pk, actor=None, reason=EndReason.REVOKED, now=world.now)


def _disabled(world) -> None:
    disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)


@pytest.mark.parametrize(
    ("change", "minutes", "target", "said"),
    [
        (_replaced, 0, "tickets-api", "the token was replaced"),
        (_ended, 0, "tickets-api", "the grant is revoking"),
        # Of a hold, who is disabled is told nothing.
        (_disabled, 0, "tickets-api", "the grant is revoking"),
        (
            lambda world: Grant.objects.update(heartbeat_due_at=world.now),
            0,
            "tickets-api",
            "its heartbeat was missed",
        ),
        # No sweep has been there yet.
        (lambda world: None, 60, "tickets-api", "the grant has expired"),
        (lambda world: None, 0, "tickets-api-2", "the grant is not for this target"),
        # The proxy's key was not the cluster's, say: nothing is wrong with the token.
        (lambda world: None, 0, "tickets-api", "this use is not allowed"),
    ],
    ids=["replaced", "ended", "disabled", "silent", "expired", "another target", "something else"],
)
def test_what_is_wrong_with_a_token_is_recorded(world, token, change, minutes, target, said):
    change(world)
    assert why(token, after(world, minutes=minutes), target=target) == said


def test_one_whose_time_is_over_before_its_grants_is_said_to_be(world, token):
    _, short = issue_http_token(
        grant_id=Grant.objects.get().pk, actor=world.alice, lifetime=dt.timedelta(minutes=5), now=world.now
    )
    assert why(short, after(world, minutes=5)) == "the token has expired"


def test_a_grant_that_is_held_would_open_it_if_an_approver_let_it_go_on(world, token):
    grant = Grant.objects.get()
    Grant.objects.update(held_at=world.now)
    assert dead(token, world.now) == DeadToken(grant.ref, held=True)
    entry = last("command.refused", grant.ref)
    assert (entry.data["code"], entry.data["why"]) == (
        "held",
        "the grant is suspended after too many refused commands",
    )
    for later, target in ((after(world, hours=1), "tickets-api"), (world.now, "tickets-api-2")):
        assert dead(token, later, target) == DeadToken(grant.ref, held=False)
    GrantCredential.objects.update(revoked_at=world.now)
    assert dead(token, world.now) == DeadToken(grant.ref, held=False)


def test_a_server_of_mcp_goes_by_the_name_of_its_cluster_as_well(world):
    mcp_site.add_desk(world, 9000)
    token = mcp_site.token_of(mcp_site.grant_unseen(world), world)
    Target.objects.filter(cluster__name="desk").update(name="another-name")
    for name in ("desk", "another-name"):
        assert why(token, world.now, target=name) == "this use is not allowed"
    assert why(token, world.now, target="tickets") == "the grant is not for this target"


def test_whatever_stands_in_the_request_is_kept(world, token):
    record_dead_token(
        token_digest=token_digest(token),
        target_name="\0" * 500,
        line="GET /\0\udcff" + "x" * 20_000,
        now=world.now,
    )
    assert intact()
