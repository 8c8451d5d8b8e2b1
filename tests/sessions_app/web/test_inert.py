"""Markup in anything that is stored is shown as text."""

from __future__ import annotations

import pytest

from sessions_app.models import Cluster, CommandRun, CommandSet, Grant, Target, TargetCheck
from sessions_app.operations.requests.comment_request import comment_request
from sessions_app.operations.requests.save_bookmark import save_bookmark
from sessions_app.operations.workflows.close_workflow import close_workflow
from tests.sessions_app.web.grants.test_grants import finish
from tests.support.world import acts

pytestmark = pytest.mark.slow

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7|add:7 }}"


@pytest.fixture
def addresses(world, now) -> list[str]:
    """Pages of a world where every text that somebody can store is markup."""
    world.alice.name = world.bob.name = EVIL
    for person in (world.alice, world.bob):
        person.save()
    Cluster.objects.update(summary=EVIL)
    grant = world.grant(reason=EVIL, ticket=EVIL[:60])
    used = acts.use(grant, now=now)
    session = acts.session(used, now=now)
    acts.run(used, session, EVIL, now=now)
    held = acts.run(used, session, "echo stop nginx", now=now)
    CommandRun.objects.filter(pk=held.run_id).update(line=EVIL)
    printed = acts.run(used, session, "echo restart nginx", now=now).run_id
    finish(printed, f"{EVIL}\x1b[31m{EVIL}\x1b]8;;javascript:alert(1)\x07{EVIL}", now)
    CommandRun.objects.filter(pk=printed).update(line=EVIL)
    world.decide(world.request(reason=EVIL), world.dora, verdict="deny", comment=EVIL)
    pending = world.request(reason=EVIL, ticket=EVIL[:60])
    glass = world.request(kind="break_glass", reason=EVIL).grant
    Grant.objects.filter(pk=glass.pk).update(last_error=EVIL, review_note=EVIL)
    steps = [{"name": EVIL, "ok": False, "detail": EVIL, "fix": EVIL}]
    TargetCheck.objects.create(
        target=Target.objects.first(), asked_by=world.admin, finished_at=now, ok=False, steps=steps
    )
    incident, closed = world.incident(title=EVIL), world.incident(title=EVIL)
    world.respond(incident, reason=EVIL)
    close_workflow(workflow_id=closed.pk, actor=world.bob, note=EVIL, now=now)
    comment_request(request_id=pending.pk, author=world.bob, text=EVIL, now=now)
    save_bookmark(identity=world.alice, page="request", name=EVIL[:80], query=EVIL, now=now)
    return [
        "/clusters/web/edit/", "/clusters/web/checks/", "/policies/web-work/simulate/?s.person=" + EVIL, "/welcome/people/",
        "/incidents/", f"/incidents/{incident.ref}/", f"/incidents/{closed.ref}/", f"/incidents/{incident.ref}/live/",
        "/requests/new/?kind=incident", f"/requests/new/?from={pending.ref}",
        "/", "/requests/?show=all", f"/requests/{pending.ref}/", "/approvals/", f"/approvals/{pending.ref}/",
        f"/grants/{grant.ref}/", f"/grants/{grant.ref}/live/", f"/grants/{glass.ref}/",
        "/grants/?show=all", "/clusters/", "/clusters/web/", "/command-sets/restart-web/", "/policies/web-work/",
        f"/grants/{grant.ref}/?open={printed}", f"/grants/{grant.ref}/runs/{printed}/output/", "/recordings/?text=" + EVIL,
        "/recordings/", f"/recordings/{printed}/?q=script", f"/recordings/{printed}/?q=" + EVIL,
        "/account/", "/people/", "/people/alice/", "/timeline/", "/timeline/?by=person&view=table", "/record/",
        "/who-can/?cluster=web&line=" + EVIL, "/timeline/?cluster=" + EVIL + "&person=" + EVIL, "/search/?q=alert", "/requests/new/?reason=" + EVIL + "&ticket=" + EVIL,
        "/search/?q=" + EVIL, "/record/?actor=" + EVIL + "&event=" + EVIL + "&object=" + EVIL,
        "/record/?text=" + EVIL + "&cluster=" + EVIL + "&type=" + EVIL,
    ]  # fmt: skip


def test_stored_markup_is_inert_everywhere(addresses, browser):
    shown = 0
    for person in ("alice", "bob", "dora", "admin"):
        client = browser(person)
        for url in addresses:
            page = client.get(url).content.decode()
            assert "<script>alert" not in page, url
            assert "<img" not in page, url
            assert "<14" not in page, url
            shown += "&lt;script&gt;alert(1)" in page
    assert shown > 30


def test_markup_that_is_sent_back_is_inert(world, as_alice, as_bob):
    world.apply()
    request = world.request()
    answers = [
        as_bob.post(f"/approvals/{request.ref}/decide/", {"digest": "x", "verdict": "deny", "comment": EVIL}),
        as_alice.post("/incidents/", {"title": EVIL, "severity": EVIL, "cluster": [EVIL]}),
        as_alice.post(f"/requests/{request.ref}/comment/", {"text": EVIL * 50}),
        as_alice.post("/requests/new/", {"save": "1", "bookmark": EVIL * 5, "reason": EVIL}),
        as_alice.post("/account/keys/", {"public_key": EVIL, "label": EVIL}),
        as_alice.post("/account/time-zone/", {"time_zone": EVIL}),
        as_alice.post(
            "/requests/preview/", {"cluster": EVIL, "command_set": EVIL, "duration": EVIL, "reason": EVIL}
        ),
        as_alice.post(
            "/requests/new/",
            {"cluster": EVIL, "command_set": EVIL, "duration": EVIL, "reason": EVIL, "send": "1"},
        ),
        as_alice.post(
            "/command-sets/restart-web/try/", {"line": EVIL, "version": "1"}, headers={"HX-Request": "true"}
        ),
    ]
    for answer in answers:
        assert "<script>alert" not in answer.content.decode()
        assert "<img" not in answer.content.decode()


def test_names_of_things_can_not_be_markup_at_all():
    for model in (Cluster, CommandSet, Target):
        assert model._meta.get_field("name").get_internal_type() == "SlugField"
