"""From the page of a grant: run on a real target, see what is printed, kill, and watch the recording afterwards."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.sessions_app.gateways.conftest import make_place
from tests.support.browser.screens import PHONE, SMALLEST
from tests.support.browser.site import serve
from tests.support.pace import allow
from tests.support.servers.gateway import Place
from tests.support.waits import eventually

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def place(chromium, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    """A gateway and its targets.

    The browser is there before them and after them: while its event loop runs, the connections of this thread are others.
    """
    with django_db_blocker.unblock():
        yield from make_place(tmp_path_factory)


@pytest.fixture(scope="module")
def site(place) -> Iterator[str]:
    """The web process beside the gateway."""
    with serve(place.env, place.folder) as url:
        yield url


def test_run_a_command_see_it_print_and_kill_it_with_proof(place, visit):
    grant = place.grant()
    alice = visit("alice")
    alice.goto(f"/grants/{grant.ref}/")
    row = alice.locator("#run li", has_text="echo say {word}")
    row.get_by_label("word").fill("hello")
    row.get_by_role("button", name="Run").click()
    expect(alice.locator("#log .out")).to_contain_text("say hello")
    expect(alice.locator("#log")).to_contain_text("exit 0")

    row = alice.locator("#run li").filter(
        has=alice.locator("code", has_text=re.compile(r"^test \{kind\} \{tag\}$"))
    )
    row.get_by_label("kind").select_option("flood")
    row.get_by_label("tag").fill("7")
    row.get_by_role("button", name="Run").click()
    expect(alice.locator("#log .out")).to_contain_text("0123456789", timeout=allow(10) * 1000)
    alice.locator("summary", has_text="End access").click()
    alice.get_by_role("button", name=f"End {grant.ref}").click()
    expect(alice.locator("h2", has_text="Receipt")).to_be_visible()
    expect(alice.locator("main")).to_contain_text("1 of 1 target confirmed", timeout=allow(10) * 1000)
    expect(alice.locator("main")).to_contain_text("access removed")
    assert alice.request.get(f"/grants/{grant.ref}/receipt.json").json()["state"] == "ended"


def test_all_of_it_works_without_a_script(place, visit):
    grant = place.grant()
    alice = visit("alice", java_script_enabled=False)
    alice.goto(f"/grants/{grant.ref}/")
    row = alice.locator("#run li", has_text="echo held nginx")
    row.get_by_role("button", name="Run").click()
    eventually(lambda: grant.runs.filter(state="held").exists())
    alice.reload()
    bob = visit("bob", PHONE, java_script_enabled=False, has_touch=True)
    bob.goto(f"/grants/{grant.ref}/")
    bob.get_by_role("button", name="Allow once").click()
    eventually(lambda: grant.runs.get().state == "done")
    run = grant.runs.get()
    alice.reload()
    expect(alice.locator("#log .out")).to_contain_text("held nginx")
    alice.goto(f"/recordings/{run.pk}/")
    expect(alice.locator("#text .out")).to_contain_text("held nginx")
    expect(alice.locator("main")).to_contain_text("Seal intact")

    alice.goto(f"/grants/{grant.ref}/")
    row.get_by_role("button", name="Run").click()
    eventually(lambda: grant.runs.filter(state="held").exists())
    alice.reload()
    alice.get_by_role("button", name="Withdraw").click()
    expect(alice.locator("#log")).to_contain_text("Withdrawn")


def test_what_is_refused_says_why_and_how_to_ask_for_it(place, visit):
    grant = place.grant()
    # A form that is refused comes back with this status, and the console says so.
    alice = visit("alice", forgiven="status of 403")
    alice.goto(f"/grants/{grant.ref}/")
    row = alice.locator("#run li", has_text="echo say {word}")
    row.get_by_label("word").fill("Not small")
    with alice.expect_response(lambda answer: answer.url.endswith("/run/")) as answered:
        row.get_by_role("button", name="Run").click()
    assert answered.value.status == 403
    expect(row.get_by_label("word")).to_have_accessible_description(
        re.compile("Not allowed: word: Not small")
    )
    expect(row.get_by_label("word")).to_have_value("Not small")
    expect(alice.locator("#log")).to_contain_text("echo say 'Not small'")
    ask = alice.get_by_role("link", name="Request this command")
    eventually(lambda: alice.goto(f"/grants/{grant.ref}/") and ask.count(), within=30, every=0.5)
    ask.first.click()
    expect(alice.locator("h1")).to_be_visible()
    assert "cluster=web" in alice.url


def test_a_recording_is_watched_searched_and_linked_to_a_moment(place, visit):
    from broker.audit.models import AuditEntry

    grant = place.grant()
    assert place.ssh("echo say first", user=f"{grant.ref}.web-1").returncode == 0
    assert place.ssh("echo say second", user=f"{grant.ref}.web-1").returncode == 0
    eventually(lambda: grant.runs.filter(state="done").exclude(recording="").count() == 2)
    bob = visit("bob")
    bob.get_by_role("link", name="Recordings").first.click()
    bob.get_by_role("link", name="echo say second").first.click()
    expect(bob.locator(".ap-player")).to_be_visible()
    bob.locator(".ap-overlay-start, .ap-playback-button").first.click()
    expect(bob.locator(".ap-term")).to_be_visible()
    bob.get_by_label("Find in this recording").fill("SECOND")
    bob.get_by_role("button", name="Find").last.click()
    hit = bob.locator(".hits a")
    expect(hit).to_have_count(1)
    hit.click()
    expect(bob).to_have_url(re.compile(r"[?&]t=[0-9.]+"))
    run = grant.runs.order_by("-pk").first()
    watched = AuditEntry.objects.filter(event="recording.watched", actor="bob", object_ref=grant.ref)
    assert [entry.data["run"] for entry in watched] == [run.pk]
    charlie = visit("charlie")
    assert charlie.request.get(f"/recordings/{run.pk}/recording.cast").status == 404


def test_nothing_scrolls_sideways_on_the_smallest_screen(place, visit):
    grant = place.grant()
    assert place.ssh("echo say " + "w" * 40, user=f"{grant.ref}.web-1").returncode == 0
    assert place.ssh("id " + "w" * 300, user=f"{grant.ref}.web-1").returncode == 255
    eventually(lambda: grant.runs.filter(state="done").exclude(recording="").exists())
    run = grant.runs.get(state="done")
    page = visit("alice", SMALLEST, has_touch=True)
    for url in (f"/grants/{grant.ref}/?open={run.pk}", "/recordings/", f"/recordings/{run.pk}/?q=w"):
        page.goto(url)
        assert page.evaluate("document.documentElement.scrollWidth") <= SMALLEST["width"], url
        small = page.evaluate(
            "[...document.querySelectorAll('main .btn, main .ctl')]"
            ".filter(el => el.offsetParent && el.getBoundingClientRect().height < 44 && !el.closest('.ap-player'))"
            ".map(el => el.className + ' ' + el.textContent.trim().slice(0, 40))"
        )
        assert small == [], url
