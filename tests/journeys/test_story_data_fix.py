"""A data fix in psql waits at its COMMIT until a second person decides on their phone.

A real PostgreSQL server behind the gateway, and the web process as in production.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.support.browser.fits import misfits
from tests.support.browser.screens import PHONE
from tests.support.browser.site import serve
from tests.support.servers.postgres_place import Place, postgres_place
from tests.support.waits import eventually
from tests.support.world.acts import Started, last

SENT = "UPDATE app.orders SET note = 'refunded' WHERE id = 2"


@pytest.fixture(scope="module")
def place(chromium, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    """Run the gateway in front of a server. The browser starts before them and ends after them."""
    with (
        django_db_blocker.unblock(),
        postgres_place(django_db_blocker, tmp_path_factory.mktemp("postgres")) as place,
    ):
        yield place


@pytest.fixture(scope="module")
def site(place) -> Iterator[str]:
    with serve(place.env, place.folder) as url:
        yield url


@pytest.mark.parametrize(
    ("verdict", "note", "printed", "reason"),
    [
        ("Allow COMMIT", "refunded", "UPDATE 1", "committed"),
        ("Deny", "y", "Bob denied it", "Denied by a second person: Bob"),
    ],
)
def test_a_held_data_fix_is_committed_or_rolled_back_as_a_second_person_decides_on_a_phone(
    place, visit, verdict, note, printed, reason
):
    read_note = "SELECT note FROM app.orders WHERE id = 2"
    place.shop.admin("UPDATE app.orders SET note = 'y' WHERE id = 2")
    grant = place.grant()
    fix = Started(lambda: place.psql(grant, "-c", "UPDATE orders SET note = 'refunded' WHERE id = 2"))
    bob = visit("bob", PHONE)
    eventually(lambda: grant.runs.filter(state="held").exists())
    assert place.shop.one(read_note) == "y"
    bob.reload()
    change = bob.locator(".change")
    expect(change).to_contain_text(SENT)
    expect(change).to_contain_text("1 row changed, not committed yet")
    expect(change.locator("del")).to_have_text("y")
    expect(change.locator("ins")).to_have_text("refunded")
    assert misfits(bob) == []
    bob.get_by_role("button", name=verdict).click()
    expect(bob.locator(".messages")).to_be_visible()
    done = fix.result()
    assert "waiting for approval at its COMMIT" in done.stderr
    assert printed in done.stdout + done.stderr
    assert place.shop.one(read_note) == note
    decided = last("command.hold_decided", grant.ref)
    assert (decided.actor, decided.data["argv"]) == ("bob", [SENT])
    eventually(lambda: grant.runs.get().ended_at)
    if note == "refunded":
        assert last("command.finished", grant.ref).data["exchanged"]["rows"] == 1
    bob.goto(f"/grants/{grant.ref}/")
    expect(bob.locator("#log")).to_contain_text(SENT)
    expect(bob.locator("#log")).to_contain_text(reason)
