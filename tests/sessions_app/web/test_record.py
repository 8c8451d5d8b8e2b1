"""The record and the search, as far as one may see."""

from __future__ import annotations

from broker.audit.models import AuditVerification
from tests.support import acts


def shown(client, query: str = "") -> list[tuple[str, str]]:
    return [(entry.event, entry.object_ref) for entry in client.get(f"/record/{query}").context["page"].rows]


def test_one_sees_the_entries_about_what_one_may_see(world, as_alice, as_bob, as_charlie, browser):
    grant = world.grant()
    for client in (as_alice, as_bob, browser("admin")):
        assert ("grant.active", grant.ref) in shown(client)
        assert ("request.approved", grant.request.ref) in shown(client)
    seen = shown(as_charlie)
    assert ("identity.created", "charlie") in seen
    assert {ref for _, ref in seen} <= {"charlie", "main"}


def test_an_owner_sees_the_entries_about_a_machine(world, as_alice):
    request = world.request(world.robot)
    assert ("request.created", request.ref) in shown(as_alice)


def test_entries_are_filtered(world, as_bob, now):
    grant = world.grant()
    assert {event for event, _ in shown(as_bob, "?event=grant")} == {
        "grant.scheduled",
        "grant.provisioning",
        "grant.active",
    }
    assert {ref for _, ref in shown(as_bob, f"?object={grant.ref}")} == {grant.ref}
    assert shown(as_bob, "?event=grant.active&actor=nobody") == []
    assert shown(as_bob, "?until=2020-01-01") == []
    assert shown(as_bob, "?since=2020-01-01&until=9999-12-31")
    assert shown(as_bob, "?since=0001-01-01")
    assert shown(as_bob, "?since=not-a-day&until=2026-99-99")


def test_long_lists_go_on_by_key(world, browser):
    for _ in range(10):
        world.grant()
    admin = browser("admin")
    first = admin.get("/record/").context["page"].rows
    older = admin.get(f"/record/?before={first[-1].seq}").context["page"].rows
    assert len(first) == 50
    assert older[0].seq == first[-1].seq - 1
    assert admin.get("/record/?before=" + "9" * 30).status_code == 200
    assert admin.get("/record/?before=-1").status_code == 200


def test_the_integrity_line_says_when_and_what(as_alice, now):
    assert "Record not checked yet" in as_alice.get("/").content.decode()
    AuditVerification.objects.create(log="main", at=now, ok=True, entries=48211)
    assert "Record intact" in as_alice.get("/").content.decode()
    assert "48,211 entries" in as_alice.get("/record/").content.decode()
    AuditVerification.objects.update(ok=False, first_bad_seq=47902, problem="hash")
    assert "Record broken at entry 47902" in as_alice.get("/record/").content.decode()


def test_a_reference_leads_to_its_page_if_one_may_see_it(world, as_alice, as_charlie):
    grant = world.grant()
    assert as_alice.get(f"/search/?q={grant.ref.lower()}")["Location"] == f"/grants/{grant.ref}/"
    assert (
        as_alice.get(f"/search/?q=req{grant.request.number}")["Location"] == f"/requests/{grant.request.ref}/"
    )
    assert as_charlie.get(f"/search/?q={grant.ref}").status_code == 200
    assert "Nothing fits" in as_charlie.get(f"/search/?q={grant.ref}").content.decode()


def test_letters_find_what_one_may_see(world, as_alice, as_bob, as_charlie):
    world.request(ticket="CHG-2291")
    page = as_bob.get("/search/?q=chg-22").content.decode()
    assert "REQ-" in page
    assert "Alice" in as_bob.get("/search/?q=alic").content.decode()
    assert "restart-web" in as_alice.get("/search/?q=web").content.decode()
    for word in ("web", "alic", "chg"):
        assert "Nothing fits" in as_charlie.get(f"/search/?q={word}").content.decode()


def test_a_search_for_nonsense_is_a_page(as_alice):
    for word in ("%", "_", "'", "\\", "%00", "a" * 500, "REQ-999999999", "GR-ZZZZZZZZ"):
        assert as_alice.get("/search/", {"q": word}).status_code == 200


def test_the_facts_of_an_entry_are_shown(world, browser):
    world.request(reason="<img src=x>")
    page = browser("admin").get("/record/?event=request").content.decode()
    assert "&lt;img src=x&gt;" in page
    assert "<img" not in page
    assert acts.intact()


def test_an_incident_is_found_by_its_reference_and_its_entries_by_those_who_may_see_it(
    world, as_bob, as_charlie
):
    incident = world.incident(world.alice, title="Checkout is slow")
    for text in (incident.ref, incident.ref.lower(), incident.ref.replace("-", "")):
        assert as_bob.get("/search/", {"q": text})["Location"] == f"/incidents/{incident.ref}/"
    assert as_charlie.get("/search/", {"q": incident.ref}).status_code == 200
    url = f"/record/?object={incident.ref}"
    assert f'href="/incidents/{incident.ref}/"' in as_bob.get(url).content.decode()
    assert "workflow.opened" not in as_charlie.get(url).content.decode().partition("<tbody>")[2]
