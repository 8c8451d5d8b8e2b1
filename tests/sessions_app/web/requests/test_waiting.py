"""What waits for whom, as lists and as the number that every page shows."""

import pytest

from accounts.models import Identity
from broker.kernel import clock
from sessions_app.models import Approval, EndReason, Grant, Verdict
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.comment_request import comment_request
from sessions_app.web.shell import waiting
from tests.support.world.scene import make_scene


def lists(identity: Identity, now) -> dict[str, int]:
    return {
        "holds": waiting.holds_for(identity, now).count(), "requests": waiting.requests_for(identity, now).count(),
        "reviews": waiting.reviews_for(identity).count(), "releases": waiting.releases_for(identity, now).count(),
        "questions": waiting.questions_for(identity, now).count(),
    }  # fmt: skip


def test_the_number_is_that_of_the_lists_for_everybody(db, tmp_path):
    now = clock.now()
    scene = make_scene(now, tmp_path)
    for grant in Grant.objects.not_ended().filter(break_glass=True):
        end_grant(grant_id=grant.pk, reason=EndReason.RELEASED, actor=grant.holder, now=now)
    Grant.objects.filter(pk=scene.grant.pk).update(held_at=now)
    world = scene.world
    for asker in (world.alice, world.robot):
        comment_request(
            request_id=world.request(asker, now=now).pk, author=world.bob, text="Which one?", now=now
        )
    # The same person under another name, who may approve as well, and holds and asks for nothing.
    twin = Identity.objects.create(username="alice-2", email=scene.world.alice.email.upper())
    twin.groups.set(scene.world.bob.groups.all())
    seen: dict[str, int] = {}
    for identity in Identity.objects.all():
        found = lists(identity, now)
        assert waiting.count_waiting(identity, now) == sum(found.values()), identity
        seen = {name: seen.get(name, 0) + count for name, count in found.items()}
    assert all(seen.values()), seen
    assert lists(twin, now) != lists(scene.world.bob, now)


@pytest.mark.usefixtures("db")
def test_a_verdict_that_is_void_leaves_the_request_to_its_giver(world):
    request = world.request()
    given = {"request": request, "verdict": Verdict.APPROVE, "digest": request.digest}
    Approval.objects.create(approver=world.bob, voided_at=world.now, **given)
    Approval.objects.create(approver=world.dora, **given)
    assert list(waiting.requests_for(world.bob, world.now)) == [request]
    assert not waiting.requests_for(world.dora, world.now).exists()
    assert waiting.count_waiting(world.bob, world.now) == 1
    assert waiting.count_waiting(world.dora, world.now) == 0
