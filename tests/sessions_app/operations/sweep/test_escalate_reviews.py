"""Administrators are notified of overdue reviews."""

from sessions_app.models import Grant, Notice
from sessions_app.operations.sweep.escalate_reviews import escalate_reviews
from sessions_app.operations.sweep.sweep import sweep
from tests.support.world.acts import after, events, last


def test_an_overdue_review_is_escalated_once(world):
    world.request(kind="break_glass")
    grant = Grant.objects.get()
    for _ in range(2):
        sweep(now=lambda: after(world, hours=24), name="test")
    told = Notice.objects.filter(path=f"/grants/{grant.ref}/", subject__contains="overdue")
    assert [notice.identity for notice in told] == [world.admin]
    assert (last("breakglass.overdue", grant.ref).data, events(grant.ref).count("breakglass.overdue")) == (
        {"notified": ["admin"]},
        1,
    )


def test_an_overdue_review_stays_due_until_an_administrator_can_be_notified(world):
    world.request(kind="break_glass")
    grant = Grant.objects.get()
    type(world.admin).objects.filter(pk=world.admin.pk).update(is_active=False)
    assert escalate_reviews(after(world, hours=24)) == 0
    grant.refresh_from_db()
    assert (grant.review_escalated_at, "breakglass.overdue" in events(grant.ref)) == (None, False)
    type(world.admin).objects.filter(pk=world.admin.pk).update(is_active=True)
    assert escalate_reviews(after(world, hours=25)) == 1
    assert Notice.objects.filter(event="breakglass.overdue", identity=world.admin).exists()
