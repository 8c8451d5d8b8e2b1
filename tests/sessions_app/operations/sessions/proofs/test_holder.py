"""The one answer to: may this identity use this target now?"""

import datetime as dt
import itertools

from django.db.models import F, JSONField, Value

from sessions_app.models import AccessRequest, CommandSetVersion, Grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.kinds import decide
from tests.support.world.acts import after, awake, fresh

NUMBERS = itertools.count(900_000)


def uses(world, *, target="web-1", ref=None, who=None, now=None):
    return authorize_use(by=ByHolder((who or world.alice).pk, target, ref, now or world.now))


def test_an_active_grant_opens_its_targets_with_its_commands_until_its_deadline(world):
    grant = world.grant()
    (found,) = uses(world)
    assert (found.grant_ref, found.holder, found.cluster) == (grant.ref, "alice", "web")
    assert (found.expires_at, found.finish_seconds, found.mark) == (grant.expires_at, 300, grant.mark)
    assert (found.target.name, found.target.port) == ("web-1", 2201)
    assert isinstance(decide(found.compiled, "echo restart nginx"), Allowed)
    assert isinstance(decide(found.compiled, "echo restart haproxy"), Refused)


def test_the_deadline_holds_although_no_message_ever_came(world):
    grant = world.grant()
    assert uses(world, now=grant.expires_at - dt.timedelta(microseconds=1))
    assert uses(world, now=grant.expires_at) == []
    assert fresh(grant).state == "active"


def test_a_node_whose_clock_is_back_by_hours_opens_nothing_that_is_over(world):
    begun = after(world, hours=-3)
    awake(begun)
    grant = world.grant(now=begun)
    assert grant.state == "active"
    assert grant.expires_at < world.now
    for told in (begun, after(world, hours=-2, seconds=-1), world.now):
        assert uses(world, now=told) == []


def test_it_opens_nothing_to_others_elsewhere_or_by_another_reference(world):
    grant = world.grant(targets=("web-1",))
    assert uses(world, ref=grant.ref)
    assert uses(world, target="web-2") == []
    assert uses(world, target="WEB-1") == []
    assert uses(world, target="web_1") == []
    assert uses(world, ref="GR-AAAA") == []
    assert uses(world, ref="") == []
    for who in (world.bob, world.robot, world.admin, world.charlie):
        assert uses(world, who=who) == []


ODD_NAMES = ["", "%", "web-1' OR '1'='1", "web-1 ", "..", "web-1\n"]


def test_odd_names_open_nothing(world):
    for odd in ODD_NAMES:
        world.grant()
        assert uses(world, target=odd) == []
        assert uses(world, ref=odd) == []


def test_several_grants_that_fit_are_all_told_the_longest_first(world):
    short, long_ = world.grant(duration=600), world.grant(duration=7200)
    assert [found.grant_ref for found in uses(world)] == [long_.ref, short.ref]
    assert [found.grant_ref for found in uses(world, ref=short.ref)] == [short.ref]


def test_commands_that_approvers_took_out_are_not_there(world):
    request = world.request()
    world.decide(request, narrowing={"commands": [1]})
    provision_grant(grant_id=Grant.objects.get().pk, now=world.now)
    (found,) = uses(world)
    assert isinstance(decide(found.compiled, "echo log nginx 5"), Allowed)
    assert isinstance(decide(found.compiled, "echo restart nginx"), Refused)


def copy_with(grant: Grant, **changes) -> Grant:
    """A row as a bug or a hand in the database could leave it."""
    request = AccessRequest.objects.get(pk=grant.request_id)
    request.pk, request.number = None, next(NUMBERS)
    request.save()
    targets = list(grant.targets.all())
    fields = {field.attname: getattr(grant, field.attname) for field in Grant._meta.concrete_fields}
    fields.update(id=None, ref=f"GR-{request.number}", mark=f"bad-{request.number}", request_id=request.pk)
    copied = Grant.objects.create(**{**fields, **changes, "state": "scheduled"})
    copied.targets.set(targets)
    for state in ("provisioning", "active"):
        Grant.objects.filter(pk=copied.pk).update(state=state, version=F("version") + 1)
    return copied


UNREADABLE = [
    {"commands": []},
    {"commands": None},
    {"commands": 3},
    {"commands": "all"},
    {"commands": {}},
    {"commands": [99]},
    {"commands": [[0]]},
    {"commands": ["0"]},
    {"commands": [0.0]},
    {"parameters": None},
    {"parameters": []},
    {"parameters": {}},
    {"parameters": {"unit": 5}},
    {"parameters": {"unit": "sshd"}},
    {"parameters": {"unit": ["nginx"]}},
    {"parameters": "nginx"},
]


def test_a_grant_that_can_not_be_read_allows_nothing_and_hides_no_other(world):
    for changes in UNREADABLE:
        grant = world.grant()
        row = {name: Value(value, JSONField()) if value is None else value for name, value in changes.items()}
        bad = copy_with(grant, **row)
        found = {use.grant_ref: use for use in uses(world)}
        assert grant.ref in found
        if bad.ref in found:
            assert isinstance(decide(found[bad.ref].compiled, "echo restart nginx"), Refused)
            assert found[bad.ref].compiled.commands == ()


def test_a_command_set_that_no_longer_parses_opens_nothing_and_hides_no_other(world):
    grant = world.grant()
    version = CommandSetVersion.objects.get()
    for number, document in enumerate(
        ([], {}, {"name": "x", "commands": "all"}, {**version.document, "more": 1})
    ):
        bad = CommandSetVersion.objects.create(
            command_set=version.command_set,
            number=50 + number,
            source="",
            document=document,
            digest=f"broken-{number}",
            published_at=world.now,
            created_at=world.now,
        )
        copy_with(grant, command_set_version_id=bad.pk, ref=f"GR-BAD{number}", mark=f"bad{number}")
    assert [found.grant_ref for found in uses(world)] == [grant.ref]
