"""Grants whose ground is taken away end, and others go on."""

from broker.audit.record import rehearsal
from sessions_app.models import Grant, GrantState
from sessions_app.operations.catalog.catalog_plan import Plan
from sessions_app.operations.catalog.end_without_basis import end_without_basis


def states(*grants) -> list[str]:
    return [Grant.objects.get(pk=grant.pk).state for grant in grants]


def test_only_what_would_not_be_made_any_more_ends(world, now):
    kept, lost = world.grant(), world.grant(who=world.robot)
    world.robot.groups.clear()
    plan = Plan()
    assert end_without_basis(Grant.objects.all(), plan, now) == (lost.ref,)
    assert states(kept, lost) == [GrantState.ACTIVE, GrantState.REVOKING]
    assert plan.ending == {lost.ref}
    assert end_without_basis(Grant.objects.all(), plan, now) == ()


def test_a_rehearsal_says_what_would_end_and_ends_nothing(world, now):
    lost = world.grant(who=world.robot)
    world.robot.groups.clear()
    with rehearsal():
        assert end_without_basis(Grant.objects.all(), Plan(), now) == (lost.ref,)
    assert states(lost) == [GrantState.ACTIVE]
