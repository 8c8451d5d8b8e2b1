"""A page that is open changes when somebody else acts, and disturbs nobody who reads, types or listens."""

from __future__ import annotations

import pytest
from playwright.sync_api import Request, expect

from tests.support.browser.screens import PHONE
from tests.support.pace import allow
from tests.support.waits import eventually
from tests.support.world import acts

pytestmark = pytest.mark.timing


@pytest.fixture(params=["streams", "polling"])
def site(serve, request) -> str:
    """The pages with the streams process beside them, and alone."""
    return serve(streams=request.param == "streams")


@pytest.fixture
def with_streams(request) -> bool:
    """Whether this run has streams."""
    return "streams" in request.node.callspec.id


STILL = "performance.now = () => 1000"


def now():
    from broker.kernel import clock

    return clock.now()


def test_what_another_person_does_shows_without_a_reload(live_world, visit, with_streams):
    asked = live_world.request(now=now())
    bob = visit("bob")
    bob.goto(f"/approvals/{asked.ref}/")
    bob.evaluate("window.same = true")
    bob.get_by_label("Comment").fill("Looks right, but")
    bob.get_by_text("Exclude commands", exact=True).first.click()
    bob.locator("label.tick", has_text="echo stop nginx").locator("input").check()
    bob.get_by_label("Comment").focus()
    bob.evaluate("window.scrollTo(0, 200)")
    if with_streams:
        bob.wait_for_timeout(500)
    live_world.decide(asked, live_world.dora, comment="Go ahead", now=now())
    expect(bob.locator(".verdict")).to_contain_text("Approved", timeout=allow(10) * 1000)
    expect(bob.locator("#decide")).to_contain_text("This request is closed")
    assert bob.evaluate("window.same && window.scrollY > 0")
    assert asked.ref in bob.url


def test_hands_and_eyes_are_not_disturbed(live_world, visit):
    asked = live_world.request(now=now())
    bob = visit("bob")
    bob.goto(f"/approvals/{asked.ref}/")
    bob.get_by_label("Comment").fill("Looks right, but")
    bob.get_by_text("Exclude commands", exact=True).first.click()
    bob.locator("label.tick", has_text="echo stop nginx").locator("input").check()
    bob.get_by_label("Comment").focus()
    live_world.grant(who=live_world.deployer, now=now())
    expect(bob.locator("main")).to_contain_text(
        "Deployer has restart-web on the same cluster", timeout=allow(10) * 1000
    )
    expect(bob.get_by_label("Comment")).to_have_value("Looks right, but")
    expect(bob.get_by_label("Comment")).to_be_focused()
    expect(bob.locator("label.tick", has_text="echo stop nginx").locator("input")).to_be_checked()
    bob.locator("aside").get_by_role("button", name="Approve").click()
    expect(bob.locator(".messages")).to_contain_text("approved")


def test_title_icon_counts_and_an_announcement_say_what_waits(live_world, visit):
    bob = visit("bob")
    bob.goto("/record/")
    assert bob.title() == "Record, Stint"
    icon = bob.locator("link[rel=icon]")
    expect(icon).to_have_attribute("href", "/static/favicon.svg")
    live_world.request(now=now())
    expect(bob.locator("#say")).to_contain_text("Alice requests restart-web on web", timeout=allow(10) * 1000)
    expect(bob).to_have_title("(1) Record, Stint")
    expect(icon).to_have_attribute("href", "/static/favicon-waiting.svg")
    expect(bob.locator(".side .count").first).to_have_text("1 waiting")
    expect(bob.locator(".bell .count")).to_contain_text("1")

    alice = visit("alice", PHONE)
    from sessions_app.models import AccessRequest

    asked = AccessRequest.objects.get()
    live_world.decide(asked, now=now())
    expect(alice.locator("#say")).to_contain_text("is approved", timeout=allow(10) * 1000)
    expect(bob).to_have_title("Record, Stint")
    expect(icon).to_have_attribute("href", "/static/favicon.svg")


def test_home_approvals_grants_and_one_grant_follow(live_world, visit):
    bob, alice = visit("bob"), visit("alice")
    bob.goto("/approvals/")
    asked = live_world.request(now=now())
    expect(bob.locator("h2", has_text="Waiting for you").locator("../..")).to_contain_text(
        "Alice requests restart-web", timeout=allow(10) * 1000
    )
    expect(alice.locator("main")).to_contain_text("waiting since", timeout=allow(10) * 1000)
    bob.goto("/grants/?show=now")
    grant = live_world.grant(now=now())
    expect(bob.locator("main")).to_contain_text(grant.ref, timeout=allow(10) * 1000)
    alice.goto(f"/grants/{grant.ref}/")
    alice.locator("summary", has_text="End access").click()
    alice.get_by_label("Reason (for the record)").fill("Enough")
    moment = now()
    used = acts.use(grant, now=moment)
    acts.run(used, acts.session(used, now=moment), "echo restart sshd", now=moment)
    expect(alice.locator("#log")).to_contain_text("Nothing reached the target", timeout=allow(10) * 1000)
    expect(alice.get_by_label("Reason (for the record)")).to_have_value("Enough")
    expect(alice.get_by_role("button", name=f"End {grant.ref}")).to_be_visible()
    assert asked.ref


def test_a_page_that_nobody_sees_asks_nothing_and_catches_up(live_world, visit, with_streams):
    bob = visit("bob")
    bob.goto("/approvals/")
    under_way: set[Request] = set()
    bob.on("request", lambda request: under_way.add(request))
    for over in ("requestfinished", "requestfailed"):
        bob.on(over, lambda request: under_way.discard(request))
    bob.wait_for_timeout(500)
    bob.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    # What was asked before may be answered late, with what comes next.
    eventually(lambda: bob.wait_for_timeout(50) or not under_way)
    asked: list[str] = []
    bob.on("request", lambda request: asked.append(request.url))
    live_world.request(now=now())
    bob.wait_for_timeout(3000)
    assert asked == []
    bob.evaluate(
        "Object.defineProperty(document, 'hidden', {value: false, configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    expect(bob.locator("main")).to_contain_text("Alice requests restart-web", timeout=allow(10) * 1000)
    streamed = [url for url in asked if "/streams/changes?after=" in url]
    assert len(streamed) == 1
    assert (":" + bob.evaluate("location.port") not in streamed[0]) is with_streams


def test_keys_lead_everywhere_and_can_be_switched_off(live_world, visit, site):
    live_world.request(now=now())
    live_world.request(now=now(), parameters={"unit": "haproxy"})
    bob = visit("bob")
    # The second key counts for a second and a half, which a busy machine may need to press it: time stands still.
    bob.add_init_script(STILL)
    bob.reload()
    for keys, place in (("ga", "/approvals/"), ("gg", "/grants/"), ("gr", "/requests/new/"), ("gh", "/")):
        for key in keys:
            bob.keyboard.press(key)
        bob.wait_for_url(f"{site}{place}")
    bob.keyboard.press("/")
    expect(bob.locator("#find")).to_be_focused()
    bob.keyboard.type("gajk?")
    expect(bob.locator("#find")).to_have_value("gajk?")
    bob.goto("/approvals/")
    links = bob.locator(".need a")
    for key, which in (("j", 0), ("j", 1), ("j", 1), ("k", 0)):
        bob.keyboard.press(key)
        expect(links.nth(which)).to_be_focused()
    bob.keyboard.press("?")
    dialog = bob.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_be_visible()
    bob.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(links.nth(0)).to_be_focused()
    bob.keyboard.press("Enter")
    expect(bob.locator("h1")).to_contain_text("Alice requests")
    bob.locator(".side [data-help]").click()
    dialog.get_by_label("Enable single-key shortcuts").uncheck()
    dialog.get_by_role("button", name="Close").click()
    bob.keyboard.press("g")
    bob.keyboard.press("h")
    bob.wait_for_timeout(300)
    assert "/approvals/" in bob.url


def test_what_is_typed_to_close_an_incident_stays_when_somebody_acts(live_world, visit):
    incident = live_world.incident(now=now())
    bob = visit("bob")
    bob.goto(f"/incidents/{incident.ref}/")
    bob.locator("summary", has_text="Close").click()
    bob.locator("#note").fill("The disk was full")
    live_world.respond(incident, now=now())
    expect(bob.locator("aside", has_text="Access for this incident")).to_contain_text(
        "Alice", timeout=allow(10) * 1000
    )
    expect(bob.locator("#note")).to_be_visible()
    expect(bob.locator("#note")).to_have_value("The disk was full")
    expect(bob.locator("#note")).to_be_focused()


def test_buttons_that_run_commands_come_with_the_start_of_incident_and_break_glass_access(live_world, visit):
    from sessions_app.models import Grant
    from sessions_app.operations.grants.provision_grant import provision_grant

    alice = visit("alice")
    begun = live_world.respond(live_world.incident(now=now()), now=now(), start=False)
    glass = live_world.request(now=now(), kind="break_glass", duration=900)
    for grant in (begun, Grant.objects.get(request=glass)):
        alice.goto(f"/grants/{grant.ref}/")
        alice.evaluate("window.same = true")
        expect(alice.locator("#run h2")).to_have_text("Allowed commands")
        provision_grant(grant_id=grant.pk, now=now())
        row = alice.locator("#run li", has_text="echo log nginx {lines}")
        expect(row.get_by_role("button", name="Run")).to_be_visible(timeout=allow(10) * 1000)
        row.get_by_label("lines").fill("100")
        acts.run(
            acts.use(grant, now=now()),
            acts.session(acts.use(grant, now=now()), now=now()),
            "echo no",
            now=now(),
        )
        expect(alice.locator("#log")).to_contain_text("Nothing reached the target", timeout=allow(10) * 1000)
        expect(row.get_by_label("lines")).to_have_value("100")
        assert alice.evaluate("window.same")
