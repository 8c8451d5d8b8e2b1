"""The record refuses: nothing new is allowed, and what was allowed ends all the same."""

import datetime as dt
from collections.abc import Callable

import pytest
import yaml
from django.db import DatabaseError, connection, transaction

from accounts.models import APIToken
from accounts.operations.create_token import create_token
from broker.audit.models import AuditBacklog, AuditEntry
from broker.kernel.crypto import token_digest
from sessions_app.models import (
    AccessRequest,
    Approval,
    CommandOrder,
    CommandRun,
    Grant,
    GrantCredential,
    GrantState,
    Lease,
    Notice,
    Session,
)
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.issue_credential import issue_credential
from sessions_app.operations.grants.issue_http_token import issue_http_token
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.release_grant import release_grant
from sessions_app.operations.grants.stop_grant import stop_grant
from sessions_app.operations.identities.disable_identity import disable_identity
from sessions_app.operations.identities.exchange_token import exchange_token
from sessions_app.operations.requests.extend_grant import extend_grant
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.order_command import order_command
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.operations.sessions.proofs.token import ByToken
from sessions_app.operations.sessions.try_call import try_call
from sessions_app.operations.sweep.sweep import sweep
from sessions_app.policy.commands.mcp.decide import decided
from tests.sessions_app.api.conftest import Caller, token_for
from tests.sessions_app.api.test_requests import ASK
from tests.sessions_app.operations.sessions.test_note_deviation import tries
from tests.support.servers.issuer import issuer_on_loopback
from tests.support.world.acts import (
    LOCKS_HERE,
    Started,
    after,
    change,
    enter,
    events,
    fresh,
    intact,
    last,
    policy,
    run,
    session,
    undo,
    use,
    wait_for_waiters,
)
from tests.support.world.api_site import add_site, grant_on_site
from tests.support.world.mcp_site import add_desk, grant_unseen, token_of


@pytest.fixture(params=["at the call", "at the commit"])
def record_refuses(request, live_world, owner_connection):
    """A switch: call it with True to let the record refuse, with False to let it work again."""
    functions = "audit_append_at_commit, audit_append_many"
    switches = {
        "at the call": (
            f"REVOKE EXECUTE ON FUNCTION {functions} FROM stint_app",
            f"GRANT EXECUTE ON FUNCTION {functions} TO stint_app",
        ),
        "at the commit": (
            "ALTER TABLE audit_entry ADD CONSTRAINT refuses CHECK (false) NOT VALID",
            "ALTER TABLE audit_entry DROP CONSTRAINT refuses",
        ),
    }
    stop, resume = switches[request.param]
    return lambda refuses: owner_connection.execute(stop if refuses else resume)


def counts() -> list[int]:
    return [
        model.objects.count()
        for model in (
            AccessRequest,
            Approval,
            Grant,
            Session,
            CommandRun,
            CommandOrder,
            Lease,
            GrantCredential,
            APIToken,
            Notice,
            AuditEntry,
            AuditBacklog,
        )
    ]


def refuses(*acts: Callable[[], object]) -> None:
    """Each of them raises, and leaves all as it was."""
    before = counts()
    for act in acts:
        with pytest.raises(DatabaseError):
            act()
        assert counts() == before


def test_writes_by_the_api_answer_that_stint_is_unavailable(live_world, record_refuses):
    pending = live_world.request()
    alice, bob = (Caller(who, token_for(who, live_world.now)) for who in (live_world.alice, live_world.bob))
    record_refuses(True)
    before = counts()
    answers = [
        alice.post("/requests", ASK),
        bob.post(f"/requests/{pending.ref}/verdicts", {"verdict": "approve", "digest": pending.digest}),
    ]
    told = [(answer.status_code, answer.body["code"], answer["Retry-After"]) for answer in answers]
    assert told == [(503, "unavailable", "1")] * 2
    assert counts() == before


def test_nothing_new_is_asked_approved_started_opened_or_run(live_world, record_refuses):
    world = live_world
    pending, waiting, active = world.request(), world.grant(start=False), world.grant()
    used, opened = enter(active, now=world.now)
    record_refuses(True)
    refuses(
        world.request,
        lambda: world.request(kind="break_glass"),
        lambda: world.decide(pending),
        lambda: provision_grant(grant_id=waiting.pk, now=world.now),
        lambda: session(used, now=world.now),
        lambda: run(used, opened, now=world.now),
        lambda: run(used, opened, "id", now=world.now),
        lambda: run(used, opened, "echo stop nginx", now=world.now),
    )
    assert (fresh(pending).state, fresh(waiting).state) == ("pending", GrantState.SCHEDULED)


def test_nothing_is_extended_or_handed_on(live_world, record_refuses):
    world = live_world
    terms = {"to": {"identities": ["deployer"]}, "depth": 1}
    change(world, policy(world, delegation=terms))
    grant, until_asked = world.grant(), world.grant()
    change(world, policy(world, delegation=terms, extension={"times": 2, "by": "1h", "approvals": "same"}))
    asked = extend(world, until_asked)
    change(world, policy(world, delegation=terms))
    ends = [grant.expires_at, until_asked.expires_at]
    record_refuses(True)
    refuses(
        lambda: extend(world, grant),
        lambda: world.decide(asked),
        lambda: delegate_grant(
            grant_id=grant.pk,
            actor=world.alice,
            now=world.now,
            part=Part(identity="deployer", command_set="restart-web", parameters={}),
        ),
    )
    for one in (grant, until_asked, asked):
        one.refresh_from_db()
    assert ([grant.expires_at, until_asked.expires_at], asked.state) == (ends, "pending")


def test_nothing_that_is_held_is_let_go_on(live_world, record_refuses):
    world = live_world
    change(world, policy(world, deviations={"limit": 2}))
    used = use(world.grant(), now=world.now)
    waiting = run(used, session(used, now=world.now), "echo stop nginx", now=world.now).run_id
    stopped = world.grant()
    tries(world, stopped, 2)
    record_refuses(True)
    refuses(
        lambda: decide_hold(run_id=waiting, actor=world.bob, allow=True, now=world.now),
        lambda: release_grant(grant_id=stopped.pk, actor=world.bob, now=world.now),
    )
    assert fresh(stopped).held_at is not None
    assert CommandRun.objects.get(pk=waiting).decided_at is None


def test_no_credential_and_no_token_is_given(live_world, record_refuses, settings, making):
    world = live_world
    settings.ISSUER_NETWORKS = ["127.0.0.0/8"]
    grant = world.grant()
    prepare_grant(grant_id=grant.pk, now=lambda: world.now)
    add_site(world)
    on_site = grant_on_site(world)
    issue_http_token(grant_id=on_site.pk, actor=world.alice, now=world.now)
    with issuer_on_loopback() as issuer:
        change(world, {"trust-policies/payments-deploy.yaml": yaml.safe_dump(issuer.document())})
        proof = issuer.sign(issuer.github(world.now))
        asked = list(making.calls)
        record_refuses(True)
        refuses(
            lambda: issue_credential(grant_id=grant.pk, actor=world.alice, target="web-1", now=world.now),
            lambda: issue_http_token(grant_id=on_site.pk, actor=world.alice, now=world.now),
            lambda: exchange_token(subject_token=proof, address="192.0.2.9", now=world.now),
            lambda: create_token(
                identity_id=world.alice.pk,
                label="laptop",
                scopes=["read"],
                lifetime=dt.timedelta(days=1),
                actor=world.alice,
                now=world.now,
            ),
        )
        assert making.calls == asked, "a target was asked for a credential"
        assert GrantCredential.objects.get().revoked_at is None
        record_refuses(False)
        # Not counted as used.
        exchange_token(subject_token=proof, address="192.0.2.9", now=world.now)


def test_no_tool_is_called_and_no_command_ordered(live_world, record_refuses):
    world = live_world
    grant = world.grant()
    add_desk(world, 9000)
    with transaction.atomic():
        token = token_of(grant_unseen(world), world)
    called = only(authorize_use(by=ByToken(token_digest(token), "desk")))
    opened = session(called, now=world.now, gateway="mcp-1")

    def call(name: str, ticket: str = "T-42") -> object:
        return try_call(
            use=called, session_id=opened, call=decided(called.compiled, name, {"id": ticket}), now=world.now
        )

    held = call("close_ticket").run_id
    decide_hold(run_id=held, actor=world.bob, allow=True, now=world.now)
    record_refuses(True)
    refuses(
        lambda: call("read_ticket"),
        lambda: call("read_ticket", "T-41"),
        lambda: call("close_ticket"),
        lambda: order_command(
            grant_id=grant.pk,
            actor=world.alice,
            target="web-1",
            index=1,
            values={"lines": "20"},
            now=world.now,
        ),
    )
    assert CommandRun.objects.get(pk=held).state == "held"


def extend(world, grant):
    return extend_grant(grant_id=grant.pk, requester=world.alice, seconds=1800, now=world.now)


def test_expiry_goes_on_and_is_recorded_when_the_record_is_back(live_world, record_refuses, fake_targets):
    world = live_world
    grant = world.grant(duration=600)
    record_refuses(True)
    late = after(world, seconds=600)
    assert authorize_use(by=ByHolder(world.alice.pk, "web-1", None, late)) == []
    report = sweep(now=lambda: late, name="test")
    assert report.ended == 1
    assert undo(grant, now=late + dt.timedelta(seconds=1)).state == GrantState.ENDED
    assert "grant.revoking" not in events(grant.ref)
    record_refuses(False)
    sweep(now=lambda: late + dt.timedelta(seconds=60), name="test")
    assert events(grant.ref)[-2:] == ["grant.revoking", "grant.ended"]
    entry = last("grant.revoking", grant.ref)
    assert entry.at == late
    assert entry.data["recorded_at"] == (late + dt.timedelta(seconds=60)).isoformat()
    assert not AuditBacklog.objects.exists()
    assert intact()


def test_a_revoke_a_disable_and_a_taken_key_go_on_and_are_recorded_when_the_record_is_back(
    live_world, record_refuses, fake_targets
):
    world = live_world
    one, two = world.grant(), world.grant()
    used, opened = enter(one, now=world.now)
    run(used, opened, now=world.now)
    fake_targets.left["root@127.0.0.1:2201", one.mark] = 1
    record_refuses(True)
    stop_grant(grant_id=one.pk, actor=world.bob, now=world.now, kill=True)
    close_session(session_id=opened, reason="revoked", now=world.now)
    assert undo(one, now=after(world, seconds=1)).state == GrantState.ENDED
    assert fake_targets.left == {}
    disable_identity(identity_id=world.alice.pk, actor=world.admin, now=world.now)
    assert fresh(two).state == GrantState.REVOKING
    # Still refused: nothing is lost, and nothing is appended out of turn.
    assert "record" in sweep(now=lambda: world.now, name="test").failed
    record_refuses(False)
    sweep(now=lambda: after(world, seconds=9), name="test")
    assert events(one.ref)[-5:] == [
        "grant.revoking",
        "command.finished",
        "session.closed",
        "lease.gone",
        "grant.ended",
    ]
    assert last("grant.revoking", one.ref).actor == "bob"
    assert last("identity.disabled", "alice").actor == "admin"
    assert intact()


def test_a_broken_connection_in_the_middle_of_an_act_leaves_neither_act_nor_entry(
    live_world, owner_connection
):
    world = live_world
    request = world.request()
    before = counts()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        decided = Started(lambda: world.decide(request))
        wait_for_waiters(owner_connection, 1)
        row = owner_connection.execute(
            f"SELECT pid FROM {LOCKS_HERE} AND NOT granted AND pid <> %s", [pid]
        ).fetchone()
        connection.cursor().execute("SELECT pg_terminate_backend(%s)", [row[0]])
    assert isinstance(decided.result(), DatabaseError)
    assert counts() == before
    assert fresh(request).state == "pending"
