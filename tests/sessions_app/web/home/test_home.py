"""The home page."""

import datetime as dt

from sessions_app.models import AccessRequest, EndReason, GatewayNode, Grant, Notice
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.comment_request import comment_request
from tests.support.world import acts
from tests.support.world.reading import read, says


def home(client) -> str:
    return read(client, "/")


def test_asking_again_is_a_link_and_a_send(world, as_alice):
    past = world.request(reason="Nightly restart", targets=("web-2",), ticket="CHG-7")
    world.decide(past, verdict="deny", comment="Later")
    assert f'href="/requests/new/?from={past.ref}"' in home(as_alice)
    ask = as_alice.get(f"/requests/new/?from={past.ref}").context["ask"].draft
    form = {
        "kind": ask.kind,
        "cluster": ask.cluster,
        "command_set": ask.command_set,
        "duration": ask.duration,
        "reason": ask.reason,
        "ticket": ask.ticket,
        "targets_of": ask.cluster,
        "target": list(ask.targets),
        "p.unit": ask.parameters["unit"],
        "send": "1",
    }
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


def test_what_of_stint_itself_does_not_work_is_said_to_administrators_alone(world, browser, as_alice, now):
    acts.awake(now - dt.timedelta(seconds=60))
    GatewayNode.objects.create(
        name="gateway-1", host_key="ssh-ed25519 AAAA", seen_at=now - dt.timedelta(seconds=40)
    )
    page = home(browser("admin"))
    says(page, "Stint needs attention", "No process that ends access has run for")
    assert "No SSH gateway has been seen for" in page
    assert "No SSH gateway" not in home(as_alice)


CAUGHT_UP = "You&#x27;re all caught up"


def test_a_question_about_an_own_request_waits_until_it_is_answered(world, as_alice, as_bob, now):
    request = world.request()
    assert CAUGHT_UP in home(as_alice)
    comment_request(request_id=request.pk, author=world.bob, text="Which nginx?", now=now)
    for page in (home(as_alice), read(as_alice, "/approvals/?show=questions")):
        assert f"<b>Bob</b> asks about {request.ref}: “Which nginx?”" in page
        assert f'href="/requests/{request.ref}/#thread">Answer' in page
    assert "1 item needs your attention" in home(as_alice)
    comment_request(request_id=request.pk, author=world.alice, text="The one on web-1", now=now)
    assert CAUGHT_UP in home(as_alice)


def test_a_fresh_denial_is_the_heading_until_it_is_requested_again(world, as_alice):
    world.decide(world.request(), verdict="deny", comment="Not today")
    page = home(as_alice)
    says(page, "Your request was denied", "Not today")
    assert CAUGHT_UP not in page


def test_a_request_reduced_after_ones_approval_is_the_heading(world, browser):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request(duration=7200)
    world.decide(request, world.dora)
    world.decide(request, narrowing={"duration": 3600})
    page = home(browser("dora"))
    says(page, "A request that you approved was reduced", "Reduced after your approval")
    assert CAUGHT_UP not in page


def test_live_break_glass_access_of_others_stands_first_for_those_who_will_review_it(
    world, as_alice, as_bob, as_charlie, now
):
    grant = Grant.objects.get(request=world.request(kind="break_glass", reason="Site is down"))
    page = home(as_bob)
    says(page, "Alice has break-glass access to web", "“Site is down”", f'href="/grants/{grant.ref}/">Watch')
    assert CAUGHT_UP not in page
    for client in (as_alice, as_charlie):
        assert "has break-glass access to web" not in home(client)
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
    page = home(as_bob)
    assert "has break-glass access to web" not in page
    assert "1 item needs your attention" in page
