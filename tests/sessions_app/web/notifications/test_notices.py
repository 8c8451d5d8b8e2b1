"""What one was told, in the page."""

import pytest

from accounts.models import Identity
from sessions_app.models import CommandRun, EndReason, Grant, Notice
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.notifications.warn_holders import warn_holders
from sessions_app.operations.requests.comment_request import comment_request
from sessions_app.operations.requests.review_break_glass import review_break_glass
from sessions_app.operations.requests.withdraw_request import withdraw_request
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sweep.sweep import sweep
from sessions_app.queries.notifications.notices import outcome_of, unread_of, with_outcomes
from sessions_app.web.layout.reader import standing_of
from tests.support.world import acts
from tests.support.world.reading import read


@pytest.fixture
def notice(world) -> Notice:
    world.request()
    return Notice.objects.get(identity=world.bob)


def test_one_sees_ones_own_notices_and_nobody_elses(notice, as_bob, as_charlie):
    assert notice.subject in read(as_bob, "/notices/")
    assert notice.subject not in read(as_charlie, "/notices/")
    assert "You're all caught up" in read(as_charlie, "/notices/")


def test_looking_reads_nothing_and_a_press_does(notice, as_bob, now):
    as_bob.get("/notices/")
    as_bob.get(notice.path)
    notice.refresh_from_db()
    assert notice.read_at is None
    assert as_bob.post(f"/notices/{notice.pk}/read/")["Location"] == "/notices/"
    notice.refresh_from_db()
    assert notice.read_at is not None
    assert "Earlier" in read(as_bob, "/notices/")


def test_all_that_was_shown_is_read_at_once(notice, as_bob, world):
    later = Notice.objects.create(identity=world.bob, event="x", subject="Later", path="/")
    page = as_bob.post("/notices/read/", {"newest": str(notice.pk)}, follow=True).content.decode()
    assert "1 notification marked as read" in page
    later.refresh_from_db()
    assert later.read_at is None
    assert "0 notifications" in as_bob.post("/notices/read/", {"newest": "all"}, follow=True).content.decode()


def settled(identity, now) -> dict[str, str]:
    """What came of each notice of somebody; whether it is settled is the same, asked of the database or of
    the row.
    """
    notices = with_outcomes(Notice.objects.filter(identity=identity), identity, now)
    found = {notice.subject: outcome_of(notice, now) for notice in notices}
    still = set(unread_of(identity, now).values_list("subject", flat=True))
    assert still == {subject for subject, outcome in found.items() if not outcome}
    return found


def bell(client) -> int:
    """The number at the bell."""
    return client.get("/").context["frame"].standing.unread


def test_a_notice_that_asks_for_a_verdict_settles_with_the_outcome(world, as_bob, browser):
    dora = browser("dora")
    request = world.request()
    (asked,) = settled(world.bob, world.now)
    assert settled(world.bob, world.now) == {asked: ""}
    assert (bell(as_bob), bell(dora)) == (1, 1)
    world.decide(request, world.dora)
    assert settled(world.bob, world.now) == {asked: "Approved by Dora"}
    assert (bell(as_bob), bell(dora)) == (0, 0)
    page = read(as_bob, "/notices/")
    assert "You're all caught up" in page
    assert "Approved by Dora" in page[page.index("Earlier") :]


def test_what_somebody_may_no_longer_decide_is_not_at_their_bell(world, as_bob):
    world.request()
    assert bell(as_bob) == sum(standing_of(world.bob, world.now).waiting) == 1
    world.bob.groups.clear()
    bob = Identity.objects.get(pk=world.bob.pk)
    assert bell(as_bob) == sum(standing_of(bob, world.now).waiting) == 0
    assert list(settled(bob, world.now).values()) == ["You can no longer decide this"]


def test_a_verdict_of_ones_own_settles_it_while_others_are_still_asked(world):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request()
    world.decide(request)
    assert list(settled(world.bob, world.now).values()) == ["You approved it"]
    assert list(settled(world.dora, world.now).values()) == [""]
    world.decide(request, world.dora, "deny", comment="Not today")
    assert list(settled(world.bob, world.now).values()) == ["Denied by Dora"]


def test_what_is_withdrawn_or_lapses_by_the_clock_alone_is_settled(world):
    withdraw_request(request_id=world.request().pk, actor=world.alice, now=world.now)
    assert list(settled(world.bob, world.now).values()) == ["Withdrawn"]
    Notice.objects.all().delete()
    world.request()
    assert list(settled(world.dora, world.now).values()) == [""]
    later = acts.after(world, days=30)
    assert list(settled(world.dora, later).values()) == ["Expired"]
    sweep(name="test", now=lambda: later)
    assert list(settled(world.dora, later).values()) == ["Expired"]


def test_a_held_command_settles_when_it_is_decided_lapses_or_its_grant_ends(world, now):
    grant = world.grant()
    Notice.objects.all().delete()
    used = acts.use(grant, now=now)
    opened = acts.session(used, now=now)
    held = acts.run(used, opened, "echo stop nginx", now=now)
    assert list(settled(world.bob, now).values()) == [""]
    lapses = CommandRun.objects.get(pk=held.run_id).hold_lapses_at
    assert list(settled(world.bob, lapses).values()) == ["Timed out"]
    decide_hold(run_id=held.run_id, actor=world.dora, allow=True, now=now)
    assert list(settled(world.bob, now).values()) == ["Allowed once by Dora"]
    Notice.objects.all().delete()
    acts.run(used, opened, "echo stop nginx", now=now)
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
    assert list(settled(world.bob, now).values()) == [f"{grant.ref} ended first"]


def test_a_question_settles_with_its_answer(world, now):
    request = world.request()
    comment_request(request_id=request.pk, author=world.bob, text="Which nginx?", now=now)
    assert list(settled(world.alice, now).values()) == [""]
    later = acts.after(world, seconds=9)
    comment_request(request_id=request.pk, author=world.alice, text="web-1", now=later)
    assert list(settled(world.alice, later).values()) == ["You replied"]


def test_break_glass_access_is_told_while_it_lasts_and_its_review_until_it_is_done(world, now):
    grant = Grant.objects.get(request=world.request(kind="break_glass", reason="Site is down"))
    (began,) = settled(world.bob, now)
    assert settled(world.bob, now) == {began: ""}
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
    found = settled(world.bob, now)
    assert found.pop(began) == "Ended by Alice"
    assert list(found.values()) == [""]
    review_break_glass(grant_id=grant.pk, reviewer=world.dora, note="One restart", now=now)
    assert set(settled(world.bob, now).values()) == {"Ended by Alice", "Reviewed by Dora"}


def test_a_warning_of_the_end_settles_when_it_is_extended_or_over(world):
    grant = world.grant()
    Notice.objects.all().delete()
    soon = acts.after(world, minutes=50)
    warn_holders(now=soon)
    assert list(settled(world.alice, soon).values()) == [""]
    assert list(settled(world.alice, grant.expires_at).values()) == ["Expired"]
    Grant.objects.filter(pk=grant.pk).update(expires_at=acts.after(world, hours=3))
    assert list(settled(world.alice, soon).values()) == ["Extended"]


def test_an_approval_settles_with_the_end_of_its_grant_and_a_denial_when_it_is_asked_again(
    world, as_alice, now
):
    grant = world.grant()
    assert list(settled(world.alice, now).values()) == [""]
    assert bell(as_alice) == 0
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
    acts.undo(grant, now=now)
    assert list(settled(world.alice, now).values()) == ["Ended by Alice"]
    Notice.objects.all().delete()
    world.decide(world.request(), verdict="deny", comment="Not today")
    assert (list(settled(world.alice, now).values()), bell(as_alice)) == ([""], 1)
    world.request()
    assert (list(settled(world.alice, now).values()), bell(as_alice)) == (["Requested again"], 0)


def test_what_only_tells_is_new_until_it_is_read_and_not_at_the_bell(world, as_alice, now):
    told = Notice.objects.create(
        identity=world.alice, event="x", subject="A factor was added", path="/account/"
    )
    assert settled(world.alice, now) == {"A factor was added": ""}
    page = read(as_alice, "/notices/")
    assert page.index("A factor was added") < page.index("Mark as read")
    assert bell(as_alice) == 0
    as_alice.post(f"/notices/{told.pk}/read/")
    assert "You're all caught up" in read(as_alice, "/notices/")
