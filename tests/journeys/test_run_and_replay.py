"""From a grant's page: run a command on a real target, see its output, revoke, and watch the recording."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from broker.audit.models import AuditEntry
from tests.sessions_app.gateways.conftest import make_place
from tests.support.browser.site import serve
from tests.support.pace import allow
from tests.support.servers.gateway import Place
from tests.support.waits import eventually

pytestmark = pytest.mark.timing


@pytest.fixture(scope="module")
def place(chromium, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    """A gateway and its targets.

    The browser starts before them and ends after them: while its event loop runs, this thread has other
    connections.
    """
    with django_db_blocker.unblock():
        yield from make_place(tmp_path_factory)


@pytest.fixture(scope="module")
def site(place) -> Iterator[str]:
    """Run the web process beside the gateway."""
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


def test_a_recording_is_watched_searched_and_linked_to_a_moment(place, visit):
    grant = place.grant()
    assert place.ssh("echo say first", user=f"{grant.ref}.web-1").returncode == 0
    assert place.ssh("echo say second", user=f"{grant.ref}.web-1").returncode == 0
    eventually(lambda: grant.runs.filter(state="done").exclude(recording="").count() == 2)
    bob = visit("bob")
    bob.get_by_role("link", name="Recordings").first.click()
    bob.get_by_role("link", name="echo say second").first.click()
    # Its last output is shown before it plays.
    expect(bob.locator("#player .term")).to_contain_text("second")
    bob.get_by_role("button", name="Play").click()
    expect(bob.get_by_label("Position in the recording")).to_have_value(re.compile(r"0\.[1-9]"))
    expect(bob.get_by_role("button", name="Play")).to_be_visible()
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
