"""Who has this already is told before sending, with a link to it."""

import datetime as dt

from django.test import Client

from broker.cli import wording
from sessions_app.models import AccessRequest, EndReason, Grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.queries.requests.existing_access import count_other_holders, held_by_others
from tests.sessions_app.api.conftest import Caller, token_for
from tests.support.world.factors import just_signed_in

FORM = {
    "kind": "planned",
    "cluster": "web",
    "command_set": "restart-web",
    "duration": "1h",
    "reason": "Nightly restart",
    "p.unit": "nginx",
    "targets_of": "web",
    "target": ["web-1", "web-2"],
}


def told(world, **changes) -> str:
    """What the form says before it is sent."""
    client = just_signed_in(Client(), world.alice)
    return client.post("/requests/preview/", {**FORM, **changes}).content.decode()


def test_who_has_this_already_is_told_before_sending_with_a_link_to_it(world):
    assert "You already have this access" not in told(world)
    grant = world.grant()
    for targets in (["web-1", "web-2"], ["web-2"]):
        page = told(world, target=targets)
        assert "You already have this access" in page
        assert f'href="/grants/{grant.ref}/"' in page
    assert AccessRequest.objects.count() == 1


def test_the_api_and_the_command_say_it_too(world, capsys):
    grant = world.grant()
    body = {
        "cluster": "web",
        "command_set": "restart-web",
        "duration": 3600,
        "reason": "Nightly",
        "parameters": {"unit": "nginx"},
    }
    preview = Caller(world.alice, token_for(world.alice, world.now)).post("/requests/preview", body).body
    assert preview["already"] == grant.ref
    wording.preview(preview)
    assert f"already, as {grant.ref}" in capsys.readouterr().out


def test_what_is_bound_to_something_else_or_begins_after_it_is_not_the_same(world):
    world.grant()
    day = f"{world.now + dt.timedelta(days=2):%Y-%m-%d}"
    assert "You already have this access" not in told(world, **{"p.unit": "haproxy"})
    assert "You already have this access" not in told(world, kind="planned", day=day, hour="02:00")


def test_a_grant_on_fewer_targets_with_fewer_commands_or_of_somebody_else_is_not_the_same(world):
    world.grant(targets=("web-1",))
    world.grant(who=world.robot)
    assert "You already have this access" not in told(world)
    narrowed = world.request()
    world.decide(narrowed, narrowing={"commands": [0]})
    assert "You already have this access" not in told(world)


def test_one_that_ends_is_not_had_any_more(world):
    grant = world.grant()
    later = world.now + dt.timedelta(seconds=1)
    end_grant(grant_id=grant.pk, reason=EndReason.RELEASED, actor=world.alice, now=later)
    assert "You already have this access" not in told(world)


def test_other_holders_are_counted_as_their_grants_are_listed(world):
    mine = world.grant()
    world.grant()
    other = Grant.objects.get(request=world.decide(world.request(world.deployer)))
    hour = dt.timedelta(hours=1)
    for who in (world.alice, world.bob, world.deployer):
        for begins in (world.now, mine.expires_at, world.now - 3 * hour):
            when = mine.cluster, begins, begins + hour
            listed = {grant.holder_id for grant in held_by_others(who, *when)}
            assert count_other_holders(who, *when) == len(listed)
    end_grant(grant_id=other.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    assert count_other_holders(world.alice, mine.cluster, world.now, world.now + hour) == 0
