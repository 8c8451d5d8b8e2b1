"""The pages of work of every kind, and of asking for access in its name."""

from __future__ import annotations

import datetime as dt

import pytest

from sessions_app.models import AccessRequest, Workflow
from tests.support.acts import policy

FORM = {"kind": "ticket", "title": "A customer's refund", "cluster": ["web"], "assignee": "Alice"}


def text(client, url: str) -> str:
    answer = client.get(url)
    assert answer.status_code == 200, (url, answer.status_code)
    return answer.content.decode()


def test_a_ticket_is_opened_found_by_its_kind_joined_and_closed(as_bob, world):
    answer = as_bob.post("/work/", FORM)
    ticket = Workflow.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, f"/work/{ticket.ref}/")
    assert (ticket.kind, ticket.assignee, ticket.ref[:4]) == ("ticket", world.alice, "TKT-")
    assert ticket.ref in text(as_bob, "/work/?kind=ticket")
    assert ticket.ref not in text(as_bob, "/work/?kind=change")
    assert ticket.ref not in text(as_bob, "/work/?state=closed")
    as_bob.post(f"/work/{ticket.ref}/join/")
    assert list(ticket.members.all()) == [world.bob]
    page = text(as_bob, f"/work/{ticket.ref}/")
    assert "Assigned to" in page
    assert f"/requests/new/?workflow={ticket.ref}" in page
    as_bob.post(f"/work/{ticket.ref}/close/", {"note": "Paid back."})
    assert ticket.ref in text(as_bob, "/work/?state=closed")


def test_a_change_has_its_planned_time(as_bob, world):
    day = (world.now + dt.timedelta(days=1)).date().isoformat()
    planned = {"from_day": day, "from_hour": "01:00", "to_day": day, "to_hour": "03:00"}
    assert as_bob.post("/work/", {**FORM, "kind": "change", **planned}).status_code == 302
    change = Workflow.objects.get()
    assert change.ends_at - change.starts_at == dt.timedelta(hours=2)
    assert "Planned" in text(as_bob, f"/work/{change.ref}/")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "change"}, "Say when the change begins and ends"),
        ({"kind": "pipeline"}, "no such kind of work to open"),
        ({"kind": "ticket", "severity": "P1"}, "no such severity"),
        ({"assignee": "nobody"}, "nobody called nobody"),
        (
            {"kind": "ticket", "from_day": "2030-01-01", "to_day": "2030-01-02"},
            "Only a change has a planned time",
        ),
        ({"kind": "incident", "severity": "P1"}, "given to nobody"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_typed_is_lost(as_bob, changes, said):
    answer = as_bob.post("/work/", {**FORM, **changes})
    page = answer.content.decode()
    assert answer.status_code == 400
    assert said in page
    assert "A customer&#x27;s refund" in page
    assert not Workflow.objects.exists()


def test_who_may_not_see_the_clusters_sees_no_work_there(as_charlie, world):
    ticket = world.work("ticket")
    assert ticket.ref not in text(as_charlie, "/work/?state=all")
    for url in (f"/work/{ticket.ref}/", f"/work/{ticket.ref}/live/"):
        assert as_charlie.get(url).status_code == 404
    for act in ("join", "close", "access"):
        assert as_charlie.post(f"/work/{ticket.ref}/{act}/").status_code == 404


def test_a_link_names_the_work_and_the_request_is_bound_to_it(as_alice, world):
    ticket = world.work("ticket")
    world.apply(policy(world, workflow={"kinds": ["ticket"]}))
    page = text(as_alice, f"/requests/new/?workflow={ticket.ref}")
    assert f'<option value="{ticket.ref}" selected>' in page
    form = {"kind": "planned", "cluster": "web", "command_set": "restart-web", "duration": "3600", "reason": "Refund",
            "p.unit": "nginx", "incident": ticket.ref}  # fmt: skip
    preview = as_alice.post("/requests/preview/", form).content.decode()
    assert f"{ticket.ref} is open. The access ends when it is closed." in preview
    as_alice.post("/requests/new/", {**form, "send": "1"})
    assert AccessRequest.objects.get().workflow == ticket
    without = as_alice.post("/requests/new/", {**form, "send": "1", "incident": ""})
    assert "gives access for work alone" in without.content.decode()


def test_what_is_taken_from_the_work_is_shown_and_not_asked_for(as_alice, world):
    bound = world.catalogue["command-sets/restart-web.yaml"].replace(
        "unit: {choice: [nginx, haproxy]}", "unit: {name: 20, from: workflow.id}"
    )
    bound = bound.replace('allow: ["echo restart nginx"]', 'allow: ["sleep 5"]').replace(
        'refuse: ["echo restart nginx; id", "echo restart sshd"]', 'refuse: ["id"]'
    )
    world.apply({"command-sets/restart-web.yaml": bound})
    ticket = world.work("ticket")
    page = text(as_alice, f"/requests/new/?workflow={ticket.ref}")
    assert "Taken from the work that it is for." in page
    assert 'name="p.unit"' not in page
