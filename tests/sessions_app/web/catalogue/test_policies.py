"""Policies in the pages: simulated, replayed, saved."""

from __future__ import annotations

import datetime as dt

import pytest

from sessions_app.models import AccessPolicy, GrantState
from sessions_app.policy.policies import PolicyDocument
from sessions_app.web.catalogue.policies_page import sentences
from tests.support.world.acts import change
from tests.support.world.acts import policy as policy_file

EDIT = "/policies/web-work/edit/"
SIMULATE = "/policies/web-work/simulate/"


@pytest.fixture
def as_admin(browser):
    return browser("admin")


def source(world, **changes) -> str:
    return policy_file(world, **changes)["policies/web-work.yaml"]


def suppose(**changes) -> dict[str, str]:
    asked = {"person": "alice", "cluster": "web", "command_set": "restart-web", "duration": "1h", **changes}
    return {f"s.{name}": value for name, value in asked.items()}


def simulated(client, **changes) -> str:
    return client.get(SIMULATE, suppose(**changes), headers={"HX-Request": "true"}).content.decode()


def drafted(client, text: str, **changes) -> str:
    form = {"act": "simulate", "source": text, **suppose(**changes)}
    return client.post(EDIT, form, headers={"HX-Request": "true"}).content.decode()


def replayed(client, text: str) -> str:
    form = {"act": "replay", "source": text}
    return client.post(EDIT, form, headers={"HX-Request": "true"}).content.decode()


def test_the_simulator_gives_each_rules_yes_or_no(world, as_bob):
    page = simulated(as_bob)
    assert "Needs 1 approval" in page
    assert "1 of approvers: Bob, Dora" in page
    assert "Yes: " in page
    assert "No: " not in page
    page = simulated(as_bob, duration="9h")
    assert "<b>Refused</b>" in page
    assert "9 h exceeds the limit of 4 h." in page
    assert ">max_duration<" in page
    assert "can&#x27;t request access under web-work" in simulated(as_bob, person="charlie")


def test_the_simulator_answers_what_the_real_request_would(world, as_bob):
    from sessions_app.operations.requests.check_request import check_request

    for duration in (3600, 5 * 3600):
        real = check_request(requester=world.alice, ask=world.ask(duration=duration), now=world.now).decision
        page = simulated(as_bob, duration=f"{duration}s")
        for result in real.results:
            assert result.message in page


def test_an_incident_is_on_or_off(world, as_bob):
    assert "No incident is named" in simulated(as_bob, kind="incident")
    page = simulated(as_bob, kind="incident", incident="on")
    assert "Starts without approval" in page
    assert "alice is on call." in page
    assert "is not on call under web-work" in simulated(
        as_bob, kind="incident", incident="on", person="robot"
    )


def test_the_work_that_a_policy_wants_is_supposed_as_it_is_chosen(world, as_bob):
    wanted = {
        "kinds": ["ticket", "incident"],
        "severity": ["P1"],
        "sources": ["pagerduty"],
        "requester": "assignee",
    }
    change(world, policy_file(world, workflow=wanted))
    page = as_bob.get(SIMULATE).content.decode()
    assert "A workflow is open on the cluster" in page
    assert "An incident is open on the cluster" not in page
    assert page.index('<option value="ticket">') < page.index('<option value="change">')
    assert "none is named" in simulated(as_bob)
    fitting = {"incident": "on"}
    assert "Needs 1 approval" in simulated(as_bob, **fitting)
    assert "The workflow is of the kind change" in simulated(as_bob, **fitting, workflow="change")
    assert "has no severity" in simulated(as_bob, **fitting, severity="none")
    assert "has the severity P3" in simulated(as_bob, **fitting, severity="P3")
    assert "comes from stint" in simulated(as_bob, **fitting, source="stint")
    for part in ("member", "on_call", "nobody"):
        assert "alice is not assigned to The workflow" in simulated(as_bob, **fitting, part=part)
    assert "The workflow is a ticket" in simulated(as_bob, **fitting, kind="incident", workflow="ticket")
    assert "Needs 1 approval" in simulated(as_bob, **fitting, workflow="'", part="x" * 999, severity="<b>")


def test_the_simulator_supposes_who_opened_the_incident(world, as_bob):
    assumed = {"kind": "incident", "incident": "on"}
    assert "Someone else (assumed) opened The incident." in simulated(as_bob, **assumed)
    assert "You opened The incident." in simulated(as_bob, **assumed, opener="own")
    page = simulated(as_bob, **assumed, opener="unknown")
    assert "Who opened The incident is unknown, so it counts as your own." in page
    assert "machines get no access" in simulated(as_bob, **assumed, opener="unknown", person="robot")


def test_breaking_glass_is_simulated_as_well(world, as_bob):
    assert "Starts without approval" in simulated(as_bob, kind="break_glass")
    assert "1 h 30 min exceeds the limit of 1 h" in simulated(as_bob, kind="break_glass", duration="90m")


def test_a_time_is_looked_at_with_windows_and_freezes(world, as_bob):
    ahead = (world.now + dt.timedelta(days=8)).date()
    day = ahead + dt.timedelta(days=(5 - ahead.weekday()) % 7)
    windows = [{"days": ["sat"], "from": "02:00", "to": "06:00", "zone": "UTC"}]
    change(world, policy_file(world, windows=windows))
    inside = simulated(as_bob, day=day.isoformat(), hour="02:00")
    assert "is in an allowed window" in inside
    assert "Needs 1 approval" in inside
    assert "not in an allowed window" in simulated(as_bob, day=day.isoformat(), hour="12:00")
    freezes = [{"from": f"{day}T00:00:00+00:00", "to": f"{day}T23:00:00+00:00", "reason": "Holidays"}]
    change(world, policy_file(world, windows=windows, freezes=freezes))
    assert "Holidays" in simulated(as_bob, day=day.isoformat(), hour="02:00")


def test_work_with_a_planned_time_is_supposed_too(world, as_bob):
    day = (world.now + dt.timedelta(days=8)).date()
    windows = [{"days": [f"{day:%a}".lower()], "from": "02:00", "to": "06:00", "zone": "UTC"}]
    change(world, policy_file(world, windows=windows, workflow={"kinds": ["change"]}, max_horizon="30d"))
    planned = {"incident": "on", "from_day": day.isoformat(), "from_hour": "02:30", "to_day": day.isoformat(),
               "to_hour": "04:00"}  # fmt: skip
    page = simulated(as_bob, **planned)
    assert "Starts with The workflow." in page
    assert "The requested time is within The workflow." in page
    assert "is in an allowed window" in page
    assert "Needs 1 approval" in page
    assert "The workflow begins" in simulated(as_bob, **planned, day=day.isoformat(), hour="02:00")
    assert "It would end after The workflow" in simulated(as_bob, **planned, duration="2h")
    late = {**planned, "from_hour": "08:00", "to_hour": "12:00"}
    assert "not in an allowed window" in simulated(as_bob, **late)
    near = simulated(
        as_bob, **{**planned, "from_day": "", "from_hour": ""}, day=day.isoformat(), hour="03:30"
    )
    assert "It would end after The workflow" in near
    far = (world.now + dt.timedelta(days=80)).date().isoformat()
    assert "ahead" in simulated(as_bob, **{**planned, "from_day": far, "to_day": far})
    assert "end before it starts" in simulated(as_bob, **{**planned, "to_hour": "02:00"})
    assert "too far in the future to be granted" in simulated(as_bob, **{**planned, "to_day": "9998-01-01"})
    form = as_bob.get(SIMULATE, suppose(**planned)).content.decode()
    assert f'name="s.from_day" type="date" value="{day}"' in form


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"person": "nobody"}, "Choose a requester"), ({"duration": "soon"}, "Enter a duration"),
     ({"cluster": "moon"}, "Choose a cluster"), ({"day": "never", "hour": "02:00"}, "valid date"), ({"person": "<b>x"}, "Choose a requester")],
)  # fmt: skip
def test_what_can_not_be_supposed_is_told(world, as_bob, changes, said):
    page = simulated(as_bob, **changes)
    assert said in page
    assert "<b>x" not in page


def test_the_simulator_is_a_link_and_works_without_a_script(world, as_bob):
    page = as_bob.get(SIMULATE, suppose(duration="9h")).content.decode()
    assert "<title>Simulate web-work, Stint</title>" in page
    assert "9 h exceeds the limit" in page
    assert 'value="9h"' in page


def test_a_draft_is_simulated_by_its_own_words(world, as_admin):
    assert "9 h is within the limit of 10 h" in drafted(
        as_admin, source(world, max_duration="10h"), duration="9h"
    )
    nobody = source(world, requesters={"identities": ["dora"]})
    assert "alice can&#x27;t request access under web-work" in drafted(as_admin, nobody)
    assert "dora can request access under web-work" in drafted(as_admin, nobody, person="dora")
    assert AccessPolicy.objects.get(name="web-work").version == 1


def test_the_past_is_replayed_on_a_draft_and_only_what_changes_is_listed(world, as_admin):
    short, long = world.request(duration=1800), world.request(duration=3 * 3600)
    world.decide(short)
    page = replayed(as_admin, source(world, max_duration="1h"))
    assert "1 decision of 2 requests would change" in page
    assert long.ref in page
    assert short.ref not in page
    assert "needs 1 approval: 1 of approvers" in page
    assert "3 h exceeds the limit of 1 h" in page
    assert "Refused requests aren't stored" in page
    assert "None of 2 decisions would change" in replayed(as_admin, source(world))


def test_the_replay_has_other_approvals_and_who_may_ask(world, as_admin):
    request = world.request()
    page = replayed(as_admin, source(world, approvals="none", extension=None))
    assert "starts without approval" in page
    two = source(world, approvals=[{"count": 3, "from": ["approvers"]}])
    assert "only 2 other people are available" in replayed(as_admin, two)
    assert "alice can&#x27;t request access" in replayed(
        as_admin, source(world, requesters={"groups": ["approvers"]})
    )
    assert request.ref in page


def test_a_request_for_an_incident_and_one_that_broke_the_glass_are_judged_as_such(world, as_admin):
    respond = world.respond(world.incident()).request
    glass = world.request(kind="break_glass", reason="Down")
    page = replayed(as_admin, source(world, incident=None, break_glass=None))
    assert "2 decisions of 2 requests would change" in page
    assert respond.ref in page
    assert glass.ref in page


def test_the_replay_costs_the_same_for_any_number_of_requests(world, as_admin, django_assert_max_num_queries):
    world.request()
    text = source(world, max_duration="30m")
    replayed(as_admin, text)
    for _ in range(6):
        world.request()
    with django_assert_max_num_queries(30):
        assert "7 decisions of 7 requests" in replayed(as_admin, text)


def test_faults_stand_at_their_lines_while_one_types(world, as_admin):
    text = source(world, max_duration="soon")
    answer = as_admin.post(EDIT, {"act": "check", "source": text}, headers={"HX-Request": "true"})
    line = next(n for n, one in enumerate(text.splitlines(), 1) if one.startswith("max_duration"))
    assert f'<a href="#L{line}">Line {line}</a>' in answer.content.decode()


def test_what_ends_is_said_before_a_second_press_ends_it(world, as_admin):
    grant = world.grant()
    form = {"act": "save", "source": source(world, max_duration="30m")}
    page = as_admin.post(EDIT, form).content.decode()
    assert "Save and end 1 grant" in page
    assert grant.ref in page
    assert AccessPolicy.objects.get(name="web-work").version == 1
    assert as_admin.post(EDIT, {**form, "told": grant.ref})["Location"] == "/policies/web-work/"
    grant.refresh_from_db()
    assert grant.state == GrantState.REVOKING


def test_a_policy_that_changed_meanwhile_is_not_overwritten(world, as_admin):
    from sessions_app.operations.catalogue.document_state import state_of

    seen = state_of("policies", "web-work")
    change(world, policy_file(world, max_duration="3h"))
    answer = as_admin.post(
        EDIT, {"act": "save", "source": source(world, max_duration="2h"), "based_on": seen}
    )
    assert answer.status_code == 409
    assert "max_duration: 2h" in answer.content.decode()


def test_a_new_policy_is_made_from_one_to_start_from(world, as_admin):
    page = as_admin.get("/new/policy/").content.decode()
    assert "clusters: [&quot;web&quot;]" in page
    answer = as_admin.post("/new/policy/", {"act": "save", "source": source(world, name="other")})
    assert answer["Location"] == "/policies/other/"
    assert (
        "A new policy has no past requests"
        in as_admin.post(
            "/new/policy/", {"act": "replay", "source": source(world, name="third")}
        ).content.decode()
    )


def test_a_policy_is_removed_by_two_presses(world, as_admin):
    assert "Remove the policy web-work?" in as_admin.post("/policies/web-work/remove/").content.decode()
    assert AccessPolicy.objects.live().exists()
    as_admin.post("/policies/web-work/remove/", {"confirm": "1", "told": ""})
    assert not AccessPolicy.objects.live().exists()


def test_who_administers_a_policy_edits_it_and_makes_no_other(world, browser):
    change(world, policy_file(world, administrators={"identities": ["bob"]}))
    client = browser("bob")
    mine = source(world, max_duration="2h", administrators={"identities": ["bob"]})
    assert client.post(EDIT, {"act": "save", "source": mine}).status_code == 302
    assert client.get("/new/policy/").status_code == 404
    assert browser("dora").get(EDIT).status_code == 404
    assert browser("dora").get(SIMULATE).status_code == 200
    assert browser("alice").get(SIMULATE).status_code == 404


def test_incidents_viewers_and_administrators_are_told_in_sentences():
    document = PolicyDocument.model_validate(
        {"name": "p", "clusters": ["a"], "command_sets": ["x"], "requesters": {"groups": ["ops"]}, "approvals": "none",
         "max_duration": "1h", "incident": {"on_call": ["night"]}, "viewers": {"groups": ["audit"]},
         "administrators": {"identities": ["zoe"]}}
    )  # fmt: skip
    text = " ".join(sentence.text for sentence in sentences(document))
    assert "While an incident is open on the cluster, night can start immediately, for up to 2 h" in text
    assert "People and machines in audit can view requests" in text
    assert "zoe can change it" in text
