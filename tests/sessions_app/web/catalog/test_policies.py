"""Policies in the pages: simulated, replayed, saved."""

import datetime as dt

import pytest

from sessions_app.models import AccessPolicy, GrantState
from sessions_app.operations.requests.check_request import check_request
from sessions_app.policy.policies import PolicyDocument
from sessions_app.web.catalog.policies_page import sentences
from tests.support.world.acts import change
from tests.support.world.acts import policy as policy_file
from tests.support.world.reading import read, says

EDIT = "/policies/web-work/edit/"
SIMULATE = "/policies/web-work/simulate/"


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


def test_the_simulator_gives_each_rules_yes_or_no_to_who_looks_into_the_policy(world, as_bob, as_alice):
    assert as_alice.get(SIMULATE).status_code == 404
    page = simulated(as_bob)
    says(page, "Needs 1 approval", "1 of approvers: Bob, Dora", "Yes: ")
    assert "No: " not in page
    page = simulated(as_bob, duration="9h")
    says(page, "<b>Refused</b>", "9 h exceeds the limit of 4 h.", ">max_duration<")
    assert "can&#x27;t request access under web-work" in simulated(as_bob, person="charlie")


def test_the_simulator_answers_what_the_real_request_would(world, as_bob):
    for duration in (3600, 5 * 3600):
        real = check_request(requester=world.alice, ask=world.ask(duration=duration), now=world.now).decision
        page = simulated(as_bob, duration=f"{duration}s")
        for result in real.results:
            assert result.message in page


def test_an_incident_is_on_or_off(world, as_bob):
    assert "No incident is named" in simulated(as_bob, kind="incident")
    says(simulated(as_bob, kind="incident", incident="on"), "Starts without approval", "alice is on call.")
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
    page = read(as_bob, SIMULATE)
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
    assert "alice is not assigned to The workflow" in simulated(as_bob, **fitting, part="member")
    assert "The workflow is a ticket" in simulated(as_bob, **fitting, kind="incident", workflow="ticket")
    assert "Needs 1 approval" in simulated(as_bob, **fitting, workflow="'", part="x" * 999, severity="<b>")


def test_work_with_a_planned_time_is_supposed_too(world, as_bob):
    day = (world.now + dt.timedelta(days=8)).date()
    windows = [{"days": [f"{day:%a}".lower()], "from": "02:00", "to": "06:00", "zone": "UTC"}]
    change(world, policy_file(world, windows=windows, workflow={"kinds": ["change"]}, max_horizon="30d"))
    planned = {
        "incident": "on",
        "from_day": day.isoformat(),
        "from_hour": "02:30",
        "to_day": day.isoformat(),
        "to_hour": "04:00",
    }
    page = simulated(as_bob, **planned)
    says(page, "Starts with The workflow.", "The requested time is within The workflow.")
    says(page, "is in an allowed window", "Needs 1 approval")
    assert "The workflow begins" in simulated(as_bob, **planned, day=day.isoformat(), hour="02:00")
    assert "Access would end after The workflow" in simulated(as_bob, **planned, duration="2h")
    assert "end before it starts" in simulated(as_bob, **{**planned, "to_hour": "02:00"})
    assert "too far in the future to be granted" in simulated(as_bob, **{**planned, "to_day": "9998-01-01"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"person": "nobody"}, "Choose a requester"),
        ({"duration": "soon"}, "Enter a duration"),
        ({"cluster": "moon"}, "Choose a cluster"),
        ({"day": "never", "hour": "02:00"}, "valid date"),
        ({"person": "<b>x"}, "Choose a requester"),
    ],
)
def test_what_can_not_be_supposed_is_told(world, as_bob, changes, said):
    page = simulated(as_bob, **changes)
    assert said in page
    assert "<b>x" not in page


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
    says(page, "needs 1 approval: 1 of approvers", "3 h exceeds the limit of 1 h")
    assert "Refused requests aren't stored" in page
    assert "None of 2 decisions would change" in replayed(as_admin, source(world))


def test_the_replay_costs_the_same_for_any_number_of_requests(world, as_admin, django_assert_max_num_queries):
    world.request()
    text = source(world, max_duration="30m")
    replayed(as_admin, text)
    for _ in range(6):
        world.request()
    with django_assert_max_num_queries(30):
        assert "7 decisions of 7 requests" in replayed(as_admin, text)


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


def test_incidents_viewers_and_administrators_are_told_in_sentences():
    document = PolicyDocument.model_validate(
        {
            "name": "p",
            "clusters": ["a"],
            "command_sets": ["x"],
            "requesters": {"groups": ["ops"]},
            "approvals": "none",
            "max_duration": "1h",
            "incident": {"on_call": ["night"]},
            "viewers": {"groups": ["audit"]},
            "administrators": {"identities": ["zoe"]},
        }
    )
    text = " ".join(sentence.text for sentence in sentences(document))
    assert "While an incident is open on the cluster, night can start immediately, for up to 2 h" in text
    says(text, "People and machines in audit can view requests", "zoe can change this policy")
