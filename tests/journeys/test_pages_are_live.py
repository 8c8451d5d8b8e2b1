"""An open page updates when someone else acts, without disturbing its reader's focus, typing or screen
reader.
"""

import pytest
from playwright.sync_api import Request, expect

from broker.kernel import clock
from sessions_app.models import AccessRequest
from tests.support.browser.screens import PHONE
from tests.support.pace import allow
from tests.support.waits import eventually
from tests.support.world.acts import run, session, use

pytestmark = pytest.mark.timing


@pytest.fixture(params=["streams", "polling"])
def site(serve, request) -> str:
    """Run the web process, with and without the streams process."""
    return serve(streams=request.param == "streams")


@pytest.fixture
def with_streams(request) -> bool:
    """Whether this run has streams."""
    return "streams" in request.node.callspec.id


STILL = "performance.now = () => 1000"


def now():
    return clock.now()


def test_hands_and_eyes_are_not_disturbed(live_world, visit):
    asked = live_world.request(now=now())
    bob = visit("bob")
    bob.goto(f"/approvals/{asked.ref}/")
    bob.get_by_role("button", name="Reduce").click()
    bob.locator("#comment").fill("Looks right, but")
    bob.get_by_text("Exclude commands", exact=True).first.click()
    bob.locator("label.tick", has_text="echo stop nginx").locator("input").check()
    bob.locator("#comment").focus()
    live_world.grant(who=live_world.deployer, now=now())
    expect(bob.locator("main")).to_contain_text(
        "Deployer also has access to web at that time.", timeout=allow(10) * 1000
    )
    expect(bob.locator("#comment")).to_have_value("Looks right, but")
    expect(bob.locator("#comment")).to_be_focused()
    expect(bob.locator("label.tick", has_text="echo stop nginx").locator("input")).to_be_checked()
    bob.get_by_role("button", name="Approve with these limits").click()
    expect(bob.locator(".messages")).to_contain_text("approved")


def test_a_command_that_joins_a_list_of_held_commands_is_not_selected(live_world, visit):
    used = use(live_world.grant(now=now()), now=now())
    opened = session(used, now=now())
    for _ in range(2):
        run(used, opened, "echo stop nginx", now=now())
    bob = visit("bob")
    bob.goto("/approvals/")
    boxes = bob.locator(".alike input[type=checkbox]")
    boxes.first.uncheck()
    run(used, opened, "echo stop nginx", now=now())
    expect(boxes).to_have_count(3, timeout=allow(10) * 1000)
    assert [box.is_checked() for box in boxes.all()] == [False, True, False]
    bob.get_by_role("button", name="Allow selected").click()
    expect(bob.locator(".messages")).to_contain_text("1 command allowed")


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
    asked = AccessRequest.objects.get()
    live_world.decide(asked, now=now())
    expect(alice.locator("#say")).to_contain_text("is approved", timeout=allow(10) * 1000)
    expect(bob).to_have_title("Record, Stint")
    expect(icon).to_have_attribute("href", "/static/favicon.svg")


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
    # The response to an earlier request may come late, with the next one.
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
    # The second key must follow within 1.5 s, which a busy machine may miss: the clock is paused.
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
    bob.keyboard.press("Enter")
    expect(bob.locator("h1")).to_contain_text("Alice requests")
    bob.keyboard.press("?")
    dialog = bob.get_by_role("dialog", name="Keyboard shortcuts")
    dialog.get_by_label("Enable single-key shortcuts").uncheck()
    dialog.get_by_role("button", name="Close").click()
    bob.keyboard.press("g")
    bob.keyboard.press("h")
    bob.wait_for_timeout(300)
    assert "/approvals/" in bob.url
