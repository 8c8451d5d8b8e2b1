"""From an approved request to a grant."""

from broker.audit.models import AuditEntry
from sessions_app.models import Grant, Target
from tests.support.world.acts import after, awake, last


def test_waiting_does_not_eat_the_granted_time(world):
    request = world.request(starts_at=after(world, minutes=5))
    world.decide(request, now=awake(after(world, minutes=20)))
    grant = Grant.objects.get()
    assert (grant.starts_at, grant.expires_at) == (after(world, minutes=20), after(world, minutes=80))


def test_the_record_has_the_whole_scope(world):
    world.decide(
        world.request(), narrowing={"commands": [0, 2], "targets": [Target.objects.get(name="web-2").pk]}
    )
    grant = Grant.objects.get()
    data = last("grant.scheduled", grant.ref).data
    assert data["holder"] == "alice"
    assert data["commands"] == [0, 2]
    assert data["targets"] == ["web-2"]
    assert data["parameters"] == ["unit=nginx"]
    assert data["expires_at"] == grant.expires_at.isoformat()


def test_the_mark_on_targets_is_unguessable_and_never_recorded(world):
    grants = [world.grant(), world.grant()]
    assert len({grant.mark for grant in grants}) == 2
    assert all(len(bytes.fromhex(grant.mark)) == 16 for grant in grants)
    assert not AuditEntry.objects.filter(body__contains=grants[0].mark).exists()


def test_commands_that_may_finish_are_counted_only_if_they_were_left_in(world):
    first, second = world.request(), world.request()
    world.decide(first)
    world.decide(second, narrowing={"commands": [0, 1, 2, 3]})
    assert Grant.objects.get(request=first).finish_seconds == 300
    assert Grant.objects.get(request=second).finish_seconds == 0
