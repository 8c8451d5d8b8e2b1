"""Whatever an administrator sends to a page that sets something up, it answers with a page."""

import pytest

from sessions_app.models import AccessPolicy
from tests.sessions_app.web.test_hostile_input import VALUES
from tests.support.breadth import some

FORMS = (
    "/new/cluster/",
    "/clusters/web/edit/",
    "/clusters/web/edit/?as=text",
    "/clusters/web/check/",
    "/clusters/web/remove/",
    "/new/command-set/",
    "/command-sets/restart-web/edit/",
    "/command-sets/restart-web/publish/",
    "/new/policy/",
    "/policies/web-work/edit/",
    "/welcome/people/",
    "/welcome/cluster/",
    "/welcome/commands/",
    "/welcome/policy/",
)
NAMES = (
    "name",
    "summary",
    "environment",
    "risk",
    "host_ca",
    "groups",
    "people",
    "rows",
    "t0.name",
    "t0.port",
    "t0.host_key",
    "t0.account",
    "told",
    "based_on",
    "source",
    "line",
    "p.unit",
    "version",
    "target",
    "username",
    "email",
    "group",
    "member",
    "cluster",
    "command_set",
    "requesters",
    "approvers",
    "hours",
    "start",
    "s.person",
    "s.cluster",
    "s.command_set",
    "s.duration",
    "s.day",
    "s.hour",
    "s.ticket",
    "s.kind",
)
ASKED = {"s.person": "alice", "s.cluster": "web", "s.command_set": "restart-web", "s.duration": "1h"}


ACTS = ("save", "look", "add", "check", "try", "simulate", "replay", "person", "group")


@pytest.mark.parametrize("act", ACTS)
def test_no_text_in_any_field_is_too_much(world, browser, act):
    client = browser("admin")
    for turn, url in enumerate(FORMS, start=ACTS.index(act)):
        for value in some(VALUES, turn):
            answer = client.post(url, {**dict.fromkeys(NAMES, value), "act": act})
            assert answer.status_code < 500, (url, value[:20])


@pytest.mark.parametrize(
    "changes",
    [
        {"s.duration": "9" * 30},
        {"s.duration": "99999999d"},
        {"s.duration": "99999999999"},
        {"s.day": "9999-12-31"},
        {"s.day": "0001-01-01"},
        {"s.hour": "25:00"},
        {"s.person": "a" * 20_000},
        {"s.cluster": "'"},
    ],
)
@pytest.mark.parametrize("kind", ["planned", "incident", "break_glass"])
def test_no_question_is_too_much_for_the_simulator(world, browser, changes, kind):
    client = browser("bob")
    answer = client.get("/policies/web-work/simulate/", {**ASKED, "s.kind": kind, **changes})
    assert answer.status_code == 200


def test_new_lines_of_browsers_are_one_character(world, browser):
    source = world.catalog["policies/web-work.yaml"].replace("4h", "3h").strip()
    form = {"act": "save", "source": source.replace("\n", "\r\n")}
    assert browser("admin").post("/policies/web-work/edit/", form).status_code == 302
    assert AccessPolicy.objects.get(name="web-work").source == source
