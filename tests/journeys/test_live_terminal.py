"""A running command's terminal, live in the browser of someone who may see it."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from broker.audit.models import AuditEntry
from broker.embedded.state import temporary_state_dir
from broker.embedded.valkey import EmbeddedValkey
from broker.kernel import clock
from sessions_app.models import EndReason
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.decide_hold import decide_hold
from tests.sessions_app.gateways.conftest import make_place
from tests.support.browser.site import serve
from tests.support.servers.gateway import Place, new_tag
from tests.support.waits import eventually

pytestmark = pytest.mark.timing

# A title, the clipboard and a link (OSC 0, 52, 8).
TRICKS = r"\033]0;evil\007\033]52;c;ZXZpbA==\007\033]8;;https://elsewhere.example\007link\033]8;;\007\n"


@pytest.fixture(scope="module")
def valkey(chromium) -> Iterator[EmbeddedValkey]:
    with temporary_state_dir("stint-queue-") as folder, EmbeddedValkey(folder) as server:
        yield server


@pytest.fixture(scope="module")
def place(valkey, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    """A gateway that shares no folder with the pages."""
    with django_db_blocker.unblock():
        for place in make_place(tmp_path_factory, start=False):
            act = place.folder / "test"
            act.write_text(act.read_text().replace("flood) ", f"flood) printf '{TRICKS}'; "))
            place.env["REDIS_URL"] = valkey.celery_url()
            place.start(STINT_RECORDINGS_DIR=str(place.folder / "elsewhere"))
            yield place


@pytest.fixture(scope="module")
def site(place) -> Iterator[str]:
    with serve(place.env, place.folder, streams=True) as url:
        yield url


@pytest.fixture
def running(place) -> Iterator[tuple]:
    """A command of Alice's that prints until it is ended."""
    grant = place.grant()
    words = place.command("test", "flood", str(new_tag()), user=f"{grant.ref}.web-1")
    client = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: grant.runs.filter(state="running").exists())
        yield grant, grant.runs.get()
    finally:
        client.kill()
        client.wait()


def entries(grant, event: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(event=event, object_ref=grant.ref).order_by("seq"))


def test_output_is_seen_within_seconds_with_who_watches_until_the_command_is_terminated(running, visit):
    grant, run = running
    bob, alice = visit("bob"), visit("alice")
    bob.goto(f"/grants/{grant.ref}/")
    bob.get_by_role("link", name="Watch live").click()
    screen = bob.locator(".screen")
    expect(screen.locator(".term")).to_contain_text("0123456789", timeout=5000)
    expect(screen.locator("[data-state]")).to_have_text("Live")
    began = entries(grant, "command.watch_began")
    assert [(entry.actor, entry.data["run"]) for entry in began] == [("bob", run.pk)]
    alice.goto(f"/grants/{grant.ref}/")
    expect(alice.locator("section", has_text="Watching now")).to_contain_text("Bob")
    # Nothing that is typed reaches the command, and nothing that it prints acts on the page.
    screen.locator(".term").click()
    bob.keyboard.type("q\n")
    assert "evil" not in bob.title()
    expect(screen.locator(".term a")).to_have_count(0)
    assert (len(bob.context.pages), run.refresh_from_db() or run.state) == (1, "running")
    screen.locator("summary", has_text="End access").click()
    screen.get_by_role("button", name=f"End {grant.ref}").click()
    expect(bob.locator("h2", has_text="Receipt")).to_be_visible()
    eventually(lambda: entries(grant, "command.watch_ended"))


def test_after_the_end_the_same_view_offers_the_replay(place, running, visit):
    grant, run = running
    bob = visit("bob")
    bob.goto(f"/grants/{grant.ref}/runs/{run.pk}/watch/")
    expect(bob.locator("[data-state]")).to_have_text("Live")
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
    expect(bob.locator("[data-state]")).to_have_text("Ended")
    expect(bob.get_by_role("link", name="Replay")).to_be_visible()
    eventually(lambda: entries(grant, "command.watch_ended"))
    assert entries(grant, "command.watch_ended")[0].data["reason"] == "command ended"


def test_without_the_queue_the_command_goes_on_and_the_view_says_that_it_is_not_available(
    valkey, running, visit
):
    grant, run = running
    bob = visit("bob", forgiven="503")
    bob.goto(f"/grants/{grant.ref}/runs/{run.pk}/watch/")
    expect(bob.locator("[data-state]")).to_have_text("Live")
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        expect(bob.locator("[data-state]")).to_have_text("Live view not available")
        run.refresh_from_db()
        assert run.state == "running"
    finally:
        os.kill(valkey.pid, signal.SIGCONT)
    expect(bob.locator("[data-state]")).to_have_text("Live")


def test_the_view_of_a_waiting_command_changes_without_a_reload_when_another_person_allows_it(place, visit):
    grant = place.grant()
    client = subprocess.Popen(
        place.command("echo held nginx", user=f"{grant.ref}.web-1"), stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: grant.runs.filter(state="held").exists())
        run, bob = grant.runs.get(), visit("bob")
        bob.goto(f"/grants/{grant.ref}/runs/{run.pk}/watch/")
        expect(bob.locator("[data-state]")).to_have_text("Waiting")
        bob.evaluate("window.same = true")
        decide_hold(run_id=run.pk, actor=place.world.dora, allow=True, now=clock.now())
        expect(bob.locator("[data-state]")).to_have_text(re.compile("Live|Ended|Done"))
        assert bob.evaluate("window.same")
    finally:
        client.kill()
        client.wait()
