"""What waits for whom, as lists and as the number that every page shows."""

from typing import Any

import pytest

from accounts.models import Identity
from accounts.queries import group_names
from broker.audit.queries import last_number, latest_verification
from broker.kernel import clock
from sessions_app.models import (
    Approval,
    EndReason,
    Grant,
    Notice,
    TrustPolicy,
    Verdict,
    WebhookEndpoint,
)
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.comment_request import comment_request
from sessions_app.queries.identities.people import sees_others
from sessions_app.queries.requests import deciders, waiting
from sessions_app.queries.requests.facts import policy_document
from sessions_app.web.layout.reader import Verified, standing_of
from tests.support.world.scene import make_scene


def lists(identity: Identity, now) -> dict[str, int]:
    return {
        "holds": waiting.holds_for(identity, now).count(),
        "requests": deciders.requests_for(identity, now).count(),
        "reviews": waiting.reviews_for(identity).count(),
        "releases": waiting.releases_for(identity, now).count(),
        "questions": waiting.questions_for(identity, now).count(),
    }


def said_of(identity: Identity, now) -> tuple[Any, ...]:
    """What every page says besides the numbers, from the same rows that pages list."""
    newest = Notice.objects.filter(identity=identity).order_by("-pk").first()
    return (
        last_number(),
        newest.pk if newest else 0,
        waiting.unread_for(identity, now).count(),
        identity.is_superuser or identity.machines.exists() or sees_others(identity),
        WebhookEndpoint.objects.live().visible_to(identity).exists(),
        TrustPolicy.objects.live().visible_to(identity).exists(),
        lets_break_glass(identity),
        Verified(*(getattr(latest_verification(), name) for name in Verified._fields)),
    )


def lets_break_glass(identity: Identity) -> bool:
    groups = group_names(identity)
    rules = [policy_document(one).break_glass for one in waiting.break_glass_policies(identity)]
    return any(not groups.isdisjoint(rule.groups) for rule in rules if rule)


def test_every_page_says_to_everybody_what_the_lists_say(db, tmp_path):
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
        found, standing = lists(identity, now), standing_of(identity, now)
        assert standing.waiting._asdict() == found, identity
        assert standing[1:] == said_of(identity, now), identity
        seen = {name: seen.get(name, 0) + count for name, count in found.items()}
    assert all(seen.values()), seen
    assert lists(twin, now) != lists(scene.world.bob, now)


@pytest.mark.usefixtures("db")
def test_a_verdict_that_is_void_leaves_the_request_to_its_giver(world):
    request = world.request()
    given = {"request": request, "verdict": Verdict.APPROVE, "digest": request.digest}
    Approval.objects.create(approver=world.bob, voided_at=world.now, **given)
    Approval.objects.create(approver=world.dora, **given)
    assert list(deciders.requests_for(world.bob, world.now)) == [request]
    assert not deciders.requests_for(world.dora, world.now).exists()
    assert sum(standing_of(world.bob, world.now).waiting) == 1
    assert sum(standing_of(world.dora, world.now).waiting) == 0
