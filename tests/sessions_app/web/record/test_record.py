"""The record and the search, as far as one may see."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re

import pytest
from django.utils.html import escape

from broker.audit.chain import entry_hash
from broker.audit.checkpoint import make_checkpoint, newest_checkpoint
from broker.audit.checkpoint_key import signer
from broker.audit.models import AuditVerification
from broker.audit.signed_note import Statement, checkpoint_text, sign
from broker.kernel import clock
from broker.settings import BASE_DIR
from sessions_app.operations.catalogue.document_state import NOUN
from sessions_app.operations.workflows.read_workflow import read_workflow
from sessions_app.tasks import _verify as verify_record
from sessions_app.web.record.record_page import OBJECTS
from tests.support.servers.issuer import trust_file
from tests.support.servers.receiver import webhook_file
from tests.support.world import acts
from tests.support.world.sources import DESK, SOURCE, is_open, speaking_for


def checkpoint() -> None:
    """What the worker does in a thread of its own."""
    make_checkpoint(now=clock.now())


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


@pytest.mark.usefixtures("at_noon")
def test_the_record_is_asked_for_hours_and_not_only_days(world, as_bob, settings):
    # A Tuesday at 15:20 in Berlin, where Bob is.
    world.bob.time_zone = "Europe/Berlin"
    world.bob.save()
    day, at = "2027-06-08", dt.datetime(2027, 6, 8, 13, 20, tzinfo=dt.UTC)
    grant = world.grant(now=acts.awake(at))
    wanted = ("grant.active", grant.ref)
    assert wanted in shown(as_bob, f"?since={day}&since_time=14:00&until={day}&until_time=16:00")
    # One of the two dates is enough, and the end is not in it.
    assert wanted in shown(as_bob, f"?since={day}&since_time=15:20&until_time=16:00")
    assert wanted in shown(as_bob, f"?until={day}&since_time=14:00&until_time=15:21")
    assert wanted not in shown(as_bob, f"?since={day}&since_time=14:00&until_time=15:20")
    assert wanted not in shown(as_bob, f"?since={day}&since_time=15:21")
    assert wanted in shown(as_bob, f"?since={day}&since_time=soon&until_time=99:99")
    exported = b"".join(
        as_bob.get(f"/record/?since={day}&since_time=14:00&until_time=15:20&format=csv").streaming_content
    )
    assert grant.ref.encode() not in exported


@pytest.mark.usefixtures("at_noon")
def test_hours_without_a_day_are_those_of_today_by_the_clock_of_the_database(world, as_bob):
    grant = world.grant()
    assert ("grant.active", grant.ref) in shown(as_bob, "?since_time=11:00&until_time=13:00")
    assert shown(as_bob, "?until_time=11:00&since_time=10:00") == []


@pytest.mark.usefixtures("at_noon")
@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_file_of_the_record_has_the_hours_of_the_page_that_it_is_exported_from(world, as_bob, form):
    world.bob.time_zone = "Europe/Berlin"
    world.bob.save()
    # Both at 15:20 and 17:20 in Berlin.
    early, late = (
        world.grant(now=acts.awake(dt.datetime(2027, 6, 8, hour, 20, tzinfo=dt.UTC))).ref for hour in (13, 15)
    )
    asked = "?event=grant.active&since=2027-06-08&since_time=15:00&until_time=16:00"
    assert shown(as_bob, asked) == [("grant.active", early)]
    file = b"".join(as_bob.get(f"/record/{asked}&format={form}").streaming_content).decode()
    assert (early in file, late in file) == (True, False)


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
    assert "Record not verified yet" in as_alice.get("/").content.decode()
    AuditVerification.objects.create(log="main", at=now, ok=True, entries=48211)
    assert "Record intact" in as_alice.get("/").content.decode()
    assert "48,211 entries" in as_alice.get("/record/").content.decode()
    AuditVerification.objects.update(ok=False, first_bad_seq=47902, problem="hash")
    assert "Record broken at entry 47,902" in as_alice.get("/record/").content.decode()


def test_a_reference_leads_to_its_page_if_one_may_see_it(world, as_alice, as_charlie):
    grant = world.grant()
    assert as_alice.get(f"/search/?q={grant.ref.lower()}")["Location"] == f"/grants/{grant.ref}/"
    assert (
        as_alice.get(f"/search/?q=req{grant.request.number}")["Location"] == f"/requests/{grant.request.ref}/"
    )
    assert as_charlie.get(f"/search/?q={grant.ref}").status_code == 200
    assert "No results" in as_charlie.get(f"/search/?q={grant.ref}").content.decode()


def test_the_reference_of_work_of_any_kind_leads_to_its_page(world, as_alice, as_charlie):
    for kind in ("change", "ticket", "task"):
        workflow = world.workflow(kind)
        assert as_alice.get(f"/search/?q={workflow.ref.lower()}")["Location"] == f"/workflows/{workflow.ref}/"
        assert as_charlie.get(f"/search/?q={workflow.ref}").status_code == 200
    with speaking_for() as adapter:
        adapter.workflows["Q1ABC"] = is_open()
        world.apply({"workflow-sources/pager.yaml": SOURCE})
        read_workflow(ref="pager:Q1ABC", now=world.now)
    assert as_alice.get("/search/?q=pager:Q1ABC")["Location"] == "/workflows/pager:Q1ABC/"


def test_work_is_found_by_its_title_and_people_lead_to_their_page(world, as_bob, as_charlie):
    workflow = world.workflow("ticket", title="Swap the <disks>")
    page = as_bob.get("/search/?q=the+<disks").content.decode()
    assert f'href="/workflows/{workflow.ref}/"' in page
    assert "Swap the &lt;disks&gt;" in page
    assert "No results" in as_charlie.get("/search/?q=disks").content.decode()
    world.request()
    assert 'href="/people/alice/"' in as_bob.get("/search/?q=alic").content.decode()


def test_a_search_leads_to_the_same_search_in_the_guides(as_charlie):
    page = as_charlie.get("/search/?q=nginx+token").content.decode()
    assert 'href="/docs/?q=nginx%20token"' in page
    assert "Found in" in as_charlie.get("/docs/?q=nginx%20token").content.decode()


def test_other_letters_may_be_a_command_that_somebody_can_run(world, as_bob, as_charlie):
    line = "/who-can/?line=systemctl%20restart%20nginx"
    assert line in as_bob.get("/search/?q=systemctl+restart+nginx").content.decode()
    assert "/who-can/" not in as_charlie.get("/search/?q=systemctl+restart+nginx").content.decode()


def test_letters_find_what_one_may_see(world, as_alice, as_bob, as_charlie):
    world.request(ticket="CHG-2291")
    page = as_bob.get("/search/?q=chg-22").content.decode()
    assert "REQ-" in page
    assert "Alice" in as_bob.get("/search/?q=alic").content.decode()
    assert "restart-web" in as_alice.get("/search/?q=web").content.decode()
    for word in ("web", "alic", "chg"):
        assert "No results" in as_charlie.get(f"/search/?q={word}").content.decode()


def test_a_search_for_nonsense_is_a_page(as_alice):
    for word in ("%", "_", "'", "\\", "%00", "a" * 500, "REQ-999999999", "GR-ZZZZZZZZ"):
        assert as_alice.get("/search/", {"q": word}).status_code == 200


def test_the_facts_of_an_entry_are_shown(world, browser):
    world.request(reason="<img src=x>")
    page = browser("admin").get("/record/?event=request").content.decode()
    assert "&lt;img src=x&gt;" in page
    assert "<img" not in page
    assert acts.intact()


# Asking


def test_filters_are_in_the_address_and_each_can_be_taken_out(world, as_bob):
    grant = world.grant()
    page = as_bob.get(f"/record/?event=grant&grant={grant.ref}&text=nginx")
    assert [(chip.label, chip.value) for chip in page.context["chips"]] == [
        ("Event", "grant"),
        ("Grant", grant.ref),
        ("Contains", "nginx"),
    ]
    assert page.context["chips"][1].without == "event=grant&text=nginx"
    assert shown(as_bob, f"?event=grant&grant={grant.ref}&text=NGINX") == [("grant.scheduled", grant.ref)]
    assert shown(as_bob, f"?grant={grant.ref}&object=REQ-1") == []


def test_a_cluster_stands_for_itself_its_grants_and_their_requests(world, as_bob, browser):
    grant = world.grant()
    for client in (as_bob, browser("admin"), browser("alice")):
        found = {ref for _, ref in shown(client, "?cluster=web")}
        assert {grant.ref, grant.request.ref} <= found <= {grant.ref, grant.request.ref, "web"}
        assert shown(client, "?cluster=db") == []
    assert shown(browser("admin"), "?type=request&cluster=web")
    assert {event for event, _ in shown(browser("admin"), "?type=identity")} == {"identity.created"} | {
        event for event, _ in shown(browser("admin"), "?event=identity")
    }


@pytest.mark.usefixtures("at_noon")
def test_days_bound_what_is_found(world, as_bob, now):
    grant = world.grant()
    today = f"{now:%Y-%m-%d}"
    assert ("grant.active", grant.ref) in shown(as_bob, f"?since={today}&until={today}")
    assert shown(as_bob, f"?since={now + dt.timedelta(days=2):%Y-%m-%d}") == []
    assert shown(as_bob, f"?until={now - dt.timedelta(days=1):%Y-%m-%d}") == []


def test_each_entry_has_its_sentence_its_exact_text_and_both_hashes(world, browser):
    request = world.request(reason="Patch")
    page = browser("admin").get(f"/record/?object={request.ref}").content.decode()
    entry = acts.last("request.created")
    assert f"alice submitted {request.ref}: restart-web v1 on web for 1 h: Patch." in page
    assert escape(entry.body) in page
    assert bytes(entry.hash).hex() in page
    assert bytes(entry.prev_hash).hex() in page


def test_questions_are_saved_asked_and_deleted(world, as_bob, as_alice):
    answer = as_bob.post("/record/questions/", {"name": "<Mine>", "query": "event=grant&actor=alice&junk=1"})
    assert answer["Location"] == "/record/?event=grant&actor=alice"
    page = as_bob.get("/record/")
    (saved,) = page.context["saved"]
    assert (saved.name, saved.query) == ("<Mine>", "event=grant&actor=alice")
    assert "&lt;Mine&gt;" in page.content.decode()
    assert as_alice.get("/record/").context["saved"] == []
    assert as_alice.post(f"/record/questions/{saved.pk}/delete/").status_code == 404
    as_bob.post(f"/record/questions/{saved.pk}/delete/")
    assert as_bob.get("/record/").context["saved"] == []
    assert as_bob.post("/record/questions/", {"name": "", "query": "event=grant"}).status_code == 400


def test_the_common_searches_find_something(world, as_bob):
    world.request(kind="break_glass", reason="Down")
    questions = {one.name: one.query for one in as_bob.get("/record/").context["everybodys"]}
    assert len(questions) > 5
    for query in questions.values():
        assert as_bob.get(f"/record/?{query}").status_code == 200
    assert shown(as_bob, "?" + questions["Break-glass uses, 7 days"])


# Files


def test_the_file_has_what_the_page_has_and_can_be_verified(world, as_bob, as_charlie):
    grant = world.grant()
    answer = as_bob.get(f"/record/?format=csv&object={grant.ref}")
    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert [(row["event"], row["object_ref"]) for row in rows] == shown(as_bob, f"?object={grant.ref}")
    lines = as_bob.get("/record/?format=json").getvalue().decode().splitlines()
    entries = [json.loads(line) for line in lines]
    assert {entry["object_ref"] for entry in entries} >= {grant.ref, grant.request.ref}
    for entry in entries:
        previous = bytes.fromhex(entry["previous_hash"])
        assert entry_hash(previous, entry["seq"], entry["body"]).hex() == entry["hash"]
    assert grant.ref not in as_charlie.get("/record/?format=csv").getvalue().decode()


# Integrity


def test_an_administrator_has_the_record_verified_and_nobody_else(world, as_bob, browser, settings, tmp_path):
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    admin = browser("admin")
    assert "Verify now" in admin.get("/record/").content.decode()
    assert "Verify now" not in as_bob.get("/record/").content.decode()
    assert as_bob.post("/record/verify/").status_code == 404
    said = admin.post("/record/verify/", follow=True).content.decode()
    assert "The worker is verifying the whole record" in said
    world.request()
    verify_record()
    world.request()
    said = admin.post("/record/verify/", follow=True).content.decode()
    assert "intact and chained to what was verified before" in said
    assert "There was no checkpoint to compare with" in said
    checkpoint()
    size = newest_checkpoint().size
    said = admin.post("/record/verify/", follow=True).content.decode()
    assert f"The record matches the checkpoint of {size} entries" in said
    row = AuditVerification.objects.get()
    assert (row.ok, row.first_seq > 1) == (True, True)
    assert f"from entry {row.first_seq:,} on" in said


def test_the_badge_says_what_is_proven_what_is_not_and_what_came_since(world, as_bob, now):
    world.request()
    verify_record()
    head = AuditVerification.objects.get().entries
    page = as_bob.get("/record/").content.decode()
    assert "Intact at" in page
    assert "1 entry added since" in page
    assert "Stint computes SHA-256" in page
    assert "None of this proves" in page
    AuditVerification.objects.update(
        ok=False, first_bad_seq=47902, problem="altered", detail="Entry 47,902 was altered."
    )
    page = as_bob.get("/record/").content.decode()
    assert "Record broken at entry 47,902" in page
    assert "Entries before it are intact" in page
    assert head


def test_the_badge_shows_what_was_signed_last(world, as_bob, settings, tmp_path):
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    assert "checkpoint covers" not in as_bob.get("/record/").content.decode()
    world.request()
    checkpoint()
    verify_record()
    made = newest_checkpoint()
    page = as_bob.get("/record/").content.decode()
    assert f"The newest checkpoint covers {made.size} entries, signed " in page
    assert f"\n{made.size}\n{made.note.splitlines()[2]}\n" in page
    assert "Intact at" in page


def test_the_badge_says_since_when_checkpoints_can_not_be_kept(world, as_bob, settings, tmp_path):
    (tmp_path / "state").write_text("")
    settings.CHECKPOINTS_FILE = tmp_path / "state" / "checkpoints.txt"
    world.request()
    with pytest.raises(OSError, match="exists"):
        checkpoint()
    page = as_bob.get("/record/").content.decode()
    assert "saved outside the database since" in page
    assert "retries every minute" in page
    (tmp_path / "state").unlink()
    checkpoint()
    assert "saved outside the database since" not in as_bob.get("/record/").content.decode()


def test_a_checkpoint_of_a_longer_record_outside_shows_the_record_as_broken(
    world, as_bob, settings, tmp_path, now
):
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    by = signer(now=now)
    kept = checkpoint_text(Statement(by.name, 10_000, bytes(32)), now)
    settings.CHECKPOINTS_FILE.write_text(sign(kept, name=by.name, key=by.key) + "\n")
    verify_record()
    page = as_bob.get("/record/").content.decode()
    assert "but 10,000 entries were signed" in page
    assert "an older backup was restored" in page


def test_an_incident_is_found_by_its_reference_and_its_entries_by_those_who_may_see_it(
    world, as_bob, as_charlie
):
    incident = world.incident(world.alice, title="Checkout is slow")
    for text in (incident.ref, incident.ref.lower(), incident.ref.replace("-", "")):
        assert as_bob.get("/search/", {"q": text})["Location"] == f"/incidents/{incident.ref}/"
    assert as_charlie.get("/search/", {"q": incident.ref}).status_code == 200
    url = f"/record/?object={incident.ref}"
    assert f'href="/incidents/{incident.ref}/"' in as_bob.get(url).content.decode()
    assert ("workflow.opened", incident.ref) not in shown(as_charlie, f"?object={incident.ref}")


def test_whatever_the_record_is_about_can_be_asked_for(world, browser):
    code = [
        path.read_text()
        for room in ("sessions_app", "accounts", "broker")
        for path in (BASE_DIR / room).rglob("*.py")
    ]
    recorded = {name for text in code for name in re.findall(r'object_type="(\w+)"', text)}
    recorded |= {noun.replace(" ", "_") for noun in NOUN.values()}
    assert recorded
    assert recorded <= set(OBJECTS)


def test_an_entry_about_a_webhook_a_source_or_a_trust_policy_leads_to_its_page(world, browser):
    world.catalogue |= {"workflow-sources/desk.yaml": DESK, **webhook_file(None), **trust_file()}
    world.apply()
    admin = browser("admin")
    for kind, url in (
        ("workflow_source", "/sources/desk/"),
        ("webhook", "/webhooks/chat/"),
        ("trust_policy", "/trust-policies/payments-deploy/"),
    ):
        assert f'href="{url}"' in admin.get(f"/record/?type={kind}").content.decode(), kind


def test_the_search_finds_commands_that_are_listed_and_that_were_tried(world, as_alice, as_charlie, now):
    grant = world.grant()
    use = acts.use(grant, now=now)
    run = acts.run(use, acts.session(use, now=now), 'echo   restart "nginx"', now=now)
    refused = acts.run(use, acts.session(use, now=now), "rm -rf /srv/shop", now=now)
    page = as_alice.get("/search/?q=echo+restart").content.decode()
    assert 'href="/command-sets/restart-web/"' in page
    # However it was quoted: its words as the target got them are searched as well.
    for text in ("restart nginx", "start+ngi", "echo+++restart"):
        assert (
            f'href="/grants/{grant.ref}/#run-{run.run_id}"'
            in as_alice.get(f"/search/?q={text}").content.decode()
        ), text
    assert f"#run-{refused.run_id}" in as_alice.get("/search/?q=-rf+/srv").content.decode()
    for text in ("echo+restart", "-rf+/srv"):
        assert "No results" in as_charlie.get(f"/search/?q={text}").content.decode()


def test_a_number_alone_finds_the_request_of_that_number(world, as_alice, as_charlie):
    request = world.request()
    page = as_alice.get(f"/search/?q={request.number}").content.decode()
    assert f'href="/requests/{request.ref}/"' in page
    assert "No results" in as_charlie.get(f"/search/?q={request.number}").content.decode()
