"""An end that waits for the row of its grant counts at once, wherever access is used, started, prolonged or
shown.
"""

import re
from pathlib import Path

import pytest

from sessions_app.models import EndIntent, EndReason, Grant
from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.heartbeat import heartbeat
from sessions_app.operations.grants.issue_http_token import issue_http_token
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.requests.extend_grant import extend_grant
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.claim_order import claim_order
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.order_command import order_command
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.operations.sessions.record_allowed_requests import AllowedRequests, record_allowed_requests
from sessions_app.operations.sessions.release_held import release_held
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from sessions_app.policy.commands.kinds import decide
from sessions_app.queries.grants.current import grants_now, hold_of
from sessions_app.queries.identities.introspection import introspection
from tests.support.world.acts import change, policy, run, session, use
from tests.support.world.api_site import add_site, grant_on_site, token_of
from tests.support.world.api_site import used as used_on_site

ROOT = Path(__file__).resolve().parent.parent.parent
PART = Part(identity="robot", command_set="restart-web", parameters={})


def end(world, grant) -> None:
    """What a click leaves while somebody has the grant's row."""
    EndIntent.objects.create(grant=grant, at=world.now, by=world.bob, reason=EndReason.REVOKED, cut=True)


@pytest.fixture
def grant(world):
    change(world, policy(world, heartbeat="30s", delegation={"depth": 1, "to": {"identities": ["robot"]}}))
    return world.grant()


@pytest.fixture
def used(world, grant):
    return use(grant, now=world.now)


@pytest.fixture
def opened(world, used):
    return session(used, now=world.now)


@pytest.fixture
def held(world, used, opened):
    return run(used, opened, "echo stop nginx", now=world.now)


def order(world, grant):
    return order_command(
        grant_id=grant.pk,
        actor=world.alice,
        target="web-1",
        index=1,
        values={"lines": "20"},
        client_address="",
        now=world.now,
    )


def test_nothing_that_was_begun_before_it_goes_on(world, grant, used, opened, held):
    decide_hold(run_id=held.run_id, actor=world.bob, allow=True, now=world.now)
    end(world, grant)
    acts = {
        "session": lambda: session(used, now=world.now),
        "command": lambda: run(used, opened, now=world.now),
        "refused command": lambda: run(used, opened, "rm -rf /", now=world.now),
        "allowed hold": lambda: release_held(
            use=used, run_id=held.run_id, line=held.line, decision=held.decision, now=world.now
        ),
        "extension": lambda: extend_grant(
            grant_id=grant.pk, requester=world.alice, seconds=600, reason="", now=world.now
        ),
        "heartbeat": lambda: heartbeat(grant_id=grant.pk, actor=world.alice, now=world.now),
        "delegation": lambda: delegate_grant(grant_id=grant.pk, actor=world.alice, part=PART, now=world.now),
        "order": lambda: order(world, grant),
    }
    for act in acts.values():
        with pytest.raises(GrantIsOver):
            act()
    assert hold_of(held.run_id, world.now).state == "over"


def test_no_decision_allows_it_and_gateways_cut_it(world, grant):
    gateway = renew_gateway(name="gateway-1", version="1", now=world.now).id
    ordered = order(world, grant)
    end(world, grant)
    assert authorize_use(by=ByHolder(world.alice.pk, "web-1", grant.ref, world.now)) == []
    assert not Grant.objects.in_use(world.now).exists()
    now = grants_now([grant.pk], world.now)[grant.pk]
    assert (now.live, now.cut) == (False, True)
    claimed = claim_order(order_id=ordered.pk, gateway_id=gateway, now=world.now)
    assert claimed is not None
    assert claimed.use is None


def test_what_is_delegated_from_it_meanwhile_neither_starts_nor_goes_on(world, grant):
    running, coming = (
        delegate_grant(grant_id=grant.pk, actor=world.alice, part=PART, now=world.now) for _ in range(2)
    )
    running = provision_grant(grant_id=running.pk, now=world.now)
    end(world, grant)
    assert authorize_use(by=ByHolder(world.robot.pk, "web-1", running.ref, world.now)) == []
    assert not grants_now([running.pk], world.now)[running.pk].live
    assert provision_grant(grant_id=coming.pk, now=world.now).state != "active"


def test_what_was_not_started_does_not_start(world):
    grant = world.grant(start=False)
    end(world, grant)
    assert provision_grant(grant_id=grant.pk, now=world.now).state == "revoking"
    EndIntent.objects.all().delete()
    assert Grant.objects.get(pk=grant.pk).state == "scheduled"


def test_its_tokens_are_valid_no_more(world):
    add_site(world)
    grant = grant_on_site(world)
    text = token_of(grant, world)
    assert introspection(text, world.alice, world.now)["active"]
    end(world, grant)
    assert introspection(text, world.alice, world.now) == {"active": False}
    with pytest.raises(GrantIsOver):
        issue_http_token(grant_id=grant.pk, actor=world.alice, now=world.now)


@pytest.mark.parametrize("answered", [True, False])
def test_a_request_that_was_decided_before_it_passes_only_if_it_was_answered(world, answered):
    used = used_on_site(world)
    asked = AllowedRequests(
        use=used,
        session_id=used.session_id,
        decision=decide(used.compiled, "GET /tickets/T-42"),
        times=1,
        first_at=world.now,
        last_at=world.now,
    )
    end(world, Grant.objects.get(pk=used.grant_id))
    assert record_allowed_requests(requests=[asked], answered=answered, now=world.now) == [answered]


def test_the_api_and_pages_say_that_it_is_ending(world, grant, client):
    end(world, grant)
    client.force_login(world.alice)
    shown = client.get(f"/api/v1/grants/{grant.ref}").json()
    assert (shown["state"], shown["end_reason"], shown["ended_by"]) == ("revoking", "revoked", "bob")
    for path in ("/", "/grants/", f"/grants/{grant.ref}/"):
        page = client.get(path).content.decode()
        assert grant.ref in page, path
        assert "Ending" in page, path
        assert "by None" not in page, path
        assert ">Active<" not in page, path


READS = re.compile(r"\bstate\b[^a-z']{1,12}'(scheduled|provisioning|active)'")


def test_no_other_statement_reads_the_column():
    found = {
        f"{path.relative_to(ROOT)}"
        for folder in ("accounts", "broker", "sessions_app")
        for path in (ROOT / folder).rglob("*.py")
        if "migrations" not in path.parts and READS.search(path.read_text(encoding="utf-8"))
    }
    assert found == {
        "sessions_app/operations/sessions/authorize_use.py",  # with the waiting ends
        "sessions_app/operations/sweep/sweep.py",  # what is to be started, with the waiting ends
        "sessions_app/queries/gateways/ordered_files.py",  # what is deleted; reading counts the waiting ends
        "sessions_app/queries/grants/current.py",  # when a sweep is next due
        "sessions_app/queries/status/due.py",  # what is due for a sweep, with the waiting ends
    }
