"""The home page."""

from __future__ import annotations

import datetime as dt

from sessions_app.models import AccessRequest, EndReason, GatewayNode, Grant, Notice
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.comment_request import comment_request
from tests.support.world import acts


def home(client) -> str:
    return client.get("/").content.decode()


def test_asking_again_is_a_link_and_a_send(world, as_alice):
    past = world.request(reason="Nightly restart", targets=("web-2",), ticket="CHG-7")
    world.decide(past, verdict="deny", comment="Later")
    assert f'href="/requests/new/?from={past.ref}"' in home(as_alice)
    ask = as_alice.get(f"/requests/new/?from={past.ref}").context["ask"].draft
    form = {
        "kind": ask.kind, "cluster": ask.cluster, "command_set": ask.command_set, "duration": ask.duration,
        "reason": ask.reason, "ticket": ask.ticket, "targets_of": ask.cluster, "target": list(ask.targets),
        "p.unit": ask.parameters["unit"], "send": "1",
    }  # fmt: skip
    assert as_alice.post("/requests/new/", form).status_code == 302
    again = AccessRequest.objects.latest("number")
    assert again != past
    for name in ("kind", "cluster", "targets", "duration", "reason", "ticket", "parameters", "digest"):
        assert getattr(again, name) == getattr(past, name), name


def test_a_request_that_waits_is_reminded_of_and_then_says_so(world, as_alice, as_bob):
    request = world.request()
    assert f'action="/requests/{request.ref}/remind/"' in home(as_alice)
    assert as_bob.post(f"/requests/{request.ref}/remind/").status_code == 404
    assert as_alice.post(f"/requests/{request.ref}/remind/", {"next": "/"})["Location"] == "/"
    assert Notice.objects.filter(event="request.reminded").count() == 2
    page = home(as_alice)
    assert f'action="/requests/{request.ref}/remind/"' not in page
    assert "Reminded" in page
    assert as_alice.post(f"/requests/{request.ref}/remind/").status_code == 409


def test_an_end_that_a_target_does_not_confirm_is_shown_to_administrators(
    world, browser, as_alice, as_bob, now
):
    grant = world.grant()
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=now)
    assert "Revocation failing" not in home(browser("admin"))
    Grant.objects.filter(pk=grant.pk).update(
        last_error="web-1 does not answer <now>", attempts=3, next_attempt_at=now + dt.timedelta(minutes=1)
    )
    page = home(browser("admin"))
    for said in ("Revocation failing", grant.ref, "web-1 does not answer &lt;now&gt;", "3 attempts, next"):
        assert said in page
    for client in (as_alice, as_bob):
        assert "has not confirmed" not in home(client)


def test_what_of_stint_itself_does_not_work_is_said_to_administrators_alone(world, browser, as_alice, now):
    acts.awake(now - dt.timedelta(seconds=60))
    GatewayNode.objects.create(
        name="gateway-1", host_key="ssh-ed25519 AAAA", seen_at=now - dt.timedelta(seconds=40)
    )
    page = home(browser("admin"))
    assert "Stint needs attention" in page
    assert "No process that ends access has run for" in page
    assert "No SSH gateway has been seen for" in page
    assert "No SSH gateway" not in home(as_alice)


def test_from_home_an_approver_is_one_click_from_the_page_and_one_from_approving(world, as_bob):
    request = world.request()
    assert f'href="/approvals/{request.ref}/"' in home(as_bob)
    page = as_bob.get(f"/approvals/{request.ref}/")
    form = {
        "digest": request.digest,
        "read": page.context["read"],
        "left": page.context["left"],
        "verdict": "approve",
    }
    as_bob.post(f"/approvals/{request.ref}/decide/", form)
    request.refresh_from_db()
    assert request.state == "approved"


def test_a_policy_with_windows_puts_asking_again_into_the_next_one(world, as_alice, now):
    past = world.request()
    day = now + dt.timedelta(days=2)
    window = {"days": [f"{day:%a}".lower()], "from": "01:00", "to": "05:00", "zone": "UTC"}
    world.apply(acts.policy(world, windows=[window]))
    answer = as_alice.get(f"/requests/new/?from={past.ref}")
    assert (answer.context["ask"].draft.day, answer.context["ask"].draft.hour) == (f"{day:%Y-%m-%d}", "01:00")
    assert answer.context["outcome"].preview.decision.outcome == "needs_approval"


def test_machines_stand_apart_from_people_and_can_be_ended_from_here(world, as_bob):
    from sessions_app.operations.grants.provision_grant import provision_grant

    person = world.grant()
    machine = Grant.objects.get(request=world.decide(world.request(world.robot)))
    provision_grant(grant_id=machine.pk, now=world.now)
    page = home(as_bob)
    people, _, machines = page.partition("Machines with access now")
    assert f'action="/grants/{person.ref}/end/"' in people
    assert f'action="/grants/{machine.ref}/end/"' in machines
    as_bob.post(f"/grants/{machine.ref}/end/", {"next": "/"})
    machine.refresh_from_db()
    assert machine.state == "revoking"
    assert "Machines with access now" in home(as_bob)


def test_a_request_that_waits_says_for_whom(world, as_alice):
    world.request()
    assert "for approvers; 0 of 1 approval given" in home(as_alice)


def test_figures_that_count_what_one_may_see_say_so(world, as_alice, browser):
    assert "These figures cover what you can see." in home(as_alice)
    assert "what you may see" not in home(browser("admin"))


CAUGHT_UP = "You&#x27;re all caught up"


def test_a_question_about_an_own_request_waits_until_it_is_answered(world, as_alice, as_bob, now):
    request = world.request()
    assert CAUGHT_UP in home(as_alice)
    comment_request(request_id=request.pk, author=world.bob, text="Which nginx?", now=now)
    for page in (home(as_alice), as_alice.get("/approvals/?show=questions").content.decode()):
        assert f"<b>Bob</b> asks about {request.ref}: “Which nginx?”" in page
        assert f'href="/requests/{request.ref}/#thread">Answer' in page
    assert "1 item needs your attention" in home(as_alice)
    comment_request(request_id=request.pk, author=world.alice, text="The one on web-1", now=now)
    assert CAUGHT_UP in home(as_alice)


def test_what_was_denied_stays_on_home_with_the_reason_until_it_is_asked_for_again(world, as_alice, as_bob):
    request = world.request()
    world.decide(request, verdict="deny", comment="Not in the <freeze>")
    page = home(as_alice)
    assert "Not in the &lt;freeze&gt;" in page
    assert f'href="/requests/new/?from={request.ref}">Request again' in page
    assert "Not in the" not in home(as_bob)
    world.request()
    assert "Not in the" not in home(as_alice)


def test_live_break_glass_access_of_others_stands_first_for_those_who_will_review_it(
    world, as_alice, as_bob, as_charlie, now
):
    grant = Grant.objects.get(request=world.request(kind="break_glass", reason="Site is down"))
    page = home(as_bob)
    assert "Alice has break-glass access to web" in page
    assert "“Site is down”" in page
    assert f'href="/grants/{grant.ref}/">Watch' in page
    assert CAUGHT_UP not in page
    for client in (as_alice, as_charlie):
        assert "has break-glass access to web" not in home(client)
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
    page = home(as_bob)
    assert "has break-glass access to web" not in page
    assert "1 item needs your attention" in page


def test_what_i_approved_and_another_made_smaller_is_on_home(world, as_bob, browser):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request()
    world.decide(request)
    assert "others reduced" not in home(as_bob)
    world.decide(request, world.dora, narrowing={"duration": 900})
    page = home(as_bob)
    assert "Reduced after your approval" in page
    assert "for 15 min <del>1 h</del>, Dora reduced the scope" in page
    assert "others reduced" not in home(browser("dora"))


def test_a_grant_that_is_held_waits_for_its_approvers(world, as_alice, as_bob, now):
    grant = world.grant()
    Grant.objects.filter(pk=grant.pk).update(held_at=now)
    page = home(as_bob)
    assert "1 item needs your attention" in page
    assert f"<b>{grant.ref} is held</b>" in page
    assert "is held</b>" not in home(as_alice)
