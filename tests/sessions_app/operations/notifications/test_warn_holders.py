"""Telling holders in time that their access ends."""

from sessions_app.models import Notice
from sessions_app.operations.notifications.warn_holders import warn_holders
from sessions_app.operations.requests.extend_grant import extend_grant
from tests.support.world.acts import after


def warnings() -> list[str]:
    return list(
        Notice.objects.filter(subject__contains=" ends at ").values_list("identity__username", flat=True)
    )


def test_a_holder_is_told_once_a_quarter_of_an_hour_before_the_end(world):
    grant = world.grant()
    assert warn_holders(now=after(world, minutes=44)) == 0
    assert warn_holders(now=after(world, minutes=45)) == 1
    assert warn_holders(now=after(world, minutes=46)) == 0
    assert warnings() == ["alice"]
    assert Notice.objects.filter(
        path=f"/grants/{grant.ref}/", subject__startswith=f"{grant.ref} ends at"
    ).exists()


def test_machines_are_told_through_their_owner_and_short_access_is_known(world):
    world.grant(who=world.deployer)
    world.grant(duration=1800)
    assert warn_holders(now=after(world, minutes=46)) == 1
    assert warnings() == ["alice"]


def test_after_an_extension_the_new_end_is_told(world):
    grant = world.grant()
    warn_holders(now=after(world, minutes=50))
    extend_grant(
        grant_id=grant.pk, requester=world.alice, seconds=3600, reason="", now=after(world, minutes=51)
    )
    assert warn_holders(now=after(world, minutes=52)) == 0
    assert warn_holders(now=after(world, minutes=106)) == 1


def test_what_is_over_or_has_not_begun_warns_nobody(world):
    world.grant(start=False)
    assert warn_holders(now=after(world, minutes=50)) == 0
    world.grant()
    assert warn_holders(now=after(world, minutes=61)) == 0
