"""Whatever is sent to a page, it answers with a page."""

import itertools

import pytest

from sessions_app.models import AccessPolicy
from tests.sessions_app.web.pages import ACTS, READABLE, reader
from tests.sessions_app.web.test_access import things
from tests.support.breadth import some
from tests.support.world.reading import answered, read

pytestmark = pytest.mark.slow

__all__ = ["things"]

NAMES = (
    "q",
    "event",
    "actor",
    "object",
    "since",
    "until",
    "before",
    "show",
    "state",
    "open",
    "target",
    "version",
    "start",
    "cluster",
    "set",
    "command_set",
    "policy",
    "kind",
    "for",
    "duration",
    "day",
    "hour",
    "reason",
    "ticket",
    "p.unit",
    "apply",
    "verdict",
    "digest",
    "comment",
    "note",
    "seconds",
    "line",
    "label",
    "public_key",
    "days",
    "time_zone",
)
VALUES = (
    "\0",
    "9999-12-31",
    "0001-01-01",
    "starts_at=9999-12-31T23:59:59+00:00",
    "starts_at=0001-01-01T00:00:00+00:00",
    "9" * 30,
    "-1",
    "1e9",
    "\u202e",
    "\ufffe",
    "'\"\\;--",
    "%",
    "a" * 20_000,
)


# Beyond the first and the last day that there are, somewhere on Earth.
DATES = VALUES[1:5]


# What is no date means the same in every zone.
@pytest.mark.parametrize(
    ("zone", "values"),
    [("Pacific/Auckland", VALUES), ("America/Los_Angeles", DATES)],
    ids=["ahead", "behind"],
)
def test_no_text_in_any_field_is_too_much_for_a_page(world, browser, things, zone, values):
    type(world.bob).objects.update(time_zone=zone)
    # What bob may not see is asked for by who may: of a page that is hidden from one, nothing reads the
    # fields.
    client, others = browser("bob"), {name: browser(name) for name in ("alice", "admin")}
    for turn, (name, readers) in enumerate(READABLE.items()):
        seeing = client if "bob" in readers.split() else others[reader(name)]
        for value in some(values, turn):
            answer = seeing.get(things.address(name), dict.fromkeys(NAMES, value))
            assert answer.status_code < 500, (name, value[:20])
    for turn, name in enumerate(sorted(ACTS - {"people_switch"})):
        for value in some(values, turn):
            answer = client.post(things.address(name), dict.fromkeys(NAMES, value))
            assert answer.status_code < 500, (name, value[:20])
    for name, value in itertools.product(("day", "since", "start", "until"), DATES):
        for url in ("/requests/new/", "/record/"):
            assert client.get(url, {name: value, "cluster": "web"}).status_code < 500, (name, value)


def test_a_nul_is_refused_with_what_to_do(as_alice):
    assert "NUL" in answered(as_alice.get("/record/", {"actor": "a\0b"}), 400)


def test_a_policy_that_can_not_be_read_takes_no_page_down(world, as_alice, browser, things):
    pending = world.request()
    policy = AccessPolicy.objects.get()
    AccessPolicy.objects.filter(pk=policy.pk).update(document={**policy.document, "unheard_of": 1})
    for url in (
        "/",
        "/requests/new/",
        "/grants/?show=all",
        "/approvals/",
        f"/grants/{things.grant.ref}/",
        "/nowhere/",
    ):
        for person in ("alice", "bob"):
            assert browser(person).get(url).status_code in (200, 404), url
    assert "can&#x27;t be read" in read(browser("bob"), f"/approvals/{pending.ref}/")
