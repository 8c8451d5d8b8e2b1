"""Whatever an administrator sends to a page that sets something up, it answers with a page."""

from __future__ import annotations

import pytest

from tests.sessions_app.web.test_hostile_input import VALUES
from tests.support.breadth import some

FORMS = (
    "/new/cluster/", "/clusters/web/edit/", "/clusters/web/edit/?as=text", "/clusters/web/check/", "/clusters/web/remove/",
    "/new/command-set/", "/command-sets/restart-web/edit/", "/command-sets/restart-web/publish/", "/new/policy/",
    "/policies/web-work/edit/", "/welcome/people/", "/welcome/cluster/", "/welcome/commands/", "/welcome/policy/",
)  # fmt: skip
NAMES = (
    "name", "summary", "environment", "risk", "host_ca", "groups", "people", "rows", "t0.name", "t0.port", "t0.host_key",
    "t0.account", "told", "based_on", "source", "line", "p.unit", "version", "target", "username", "email", "group", "member",
    "cluster", "command_set", "requesters", "approvers", "hours", "start", "s.person", "s.cluster", "s.command_set",
    "s.duration", "s.day", "s.hour", "s.ticket", "s.kind",
)  # fmt: skip
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
    [{"s.duration": "9" * 30}, {"s.duration": "99999999d"}, {"s.duration": "99999999999"}, {"s.day": "9999-12-31"},
     {"s.day": "0001-01-01"}, {"s.hour": "25:00"}, {"s.person": "a" * 20_000}, {"s.cluster": "'"}],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["planned", "incident", "break_glass"])
def test_no_question_is_too_much_for_the_simulator(world, browser, changes, kind):
    client = browser("bob")
    answer = client.get("/policies/web-work/simulate/", {**ASKED, "s.kind": kind, **changes})
    assert answer.status_code == 200


@pytest.mark.parametrize("key", ["max_duration", "max_horizon"])
def test_a_draft_with_endless_times_is_told(world, browser, key):
    client = browser("admin")
    world.request(starts_at=world.now)
    source = world.catalogue["policies/web-work.yaml"].replace(
        "max_duration: 4h", f"max_duration: 4h\nX: {'9' * 18}"
    )
    source = source.replace("max_duration: 4h\nX", key) if key == "max_duration" else source.replace("X", key)
    for act in ("simulate", "replay", "check"):
        answer = client.post(
            "/policies/web-work/edit/", {**ASKED, "act": act, "source": source, "s.day": "2030-01-01"}
        )
        assert answer.status_code == 200


def test_a_nul_that_is_written_out_is_refused_at_its_line(world, browser):
    source = 'name: web\nkind: ssh\nsummary: "a\\0b"\n'
    answer = browser("admin").post("/clusters/web/edit/?as=text", {"act": "save", "source": source})
    assert answer.status_code == 400
    assert '<a href="#L3">Line 3</a>' in answer.content.decode()


def test_new_lines_of_browsers_are_one_character(world, browser):
    from sessions_app.models import AccessPolicy

    source = world.catalogue["policies/web-work.yaml"].replace("4h", "3h").strip()
    form = {"act": "save", "source": source.replace("\n", "\r\n")}
    assert browser("admin").post("/policies/web-work/edit/", form).status_code == 302
    assert AccessPolicy.objects.get(name="web-work").source == source


def test_a_group_gets_no_name_that_no_policy_could_say(world, browser):
    form = {
        "act": "person",
        "username": "zoe",
        "email": "zoe@example.com",
        "name": "Zoe",
        "groups": "On Call, Übung",
    }
    answer = browser("admin").post("/welcome/people/", form)
    assert answer.status_code == 400
    assert "a valid group name" in answer.content.decode()
