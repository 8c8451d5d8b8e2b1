"""The record and the search, as far as one may see."""

import csv
import datetime as dt
import io
import json
import re

import pytest
from django.utils import timezone
from django.utils.html import escape

from broker.audit.checkpoint import make_checkpoint, newest_checkpoint
from broker.audit.checkpoint_key import signer
from broker.audit.hashes import entry_hash
from broker.audit.models import AuditEntry, AuditVerification
from broker.audit.signed_note import Statement, checkpoint_text, sign
from broker.kernel import clock
from broker.settings import BASE_DIR
from sessions_app.operations.catalog.document_state import NOUN
from sessions_app.tasks import _verify_whole as verify_record
from sessions_app.web.record.record_days import days
from sessions_app.web.record.record_page import OBJECTS
from tests.support.world import acts
from tests.support.world.reading import read, says

# Already the next day in Berlin.
NEW_YEAR = dt.datetime(2026, 12, 31, 23, 30, tzinfo=dt.UTC)


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


def test_a_reference_leads_to_its_page_if_one_may_see_it(world, as_alice, as_charlie):
    grant = world.grant()
    assert as_alice.get(f"/search/?q={grant.ref.lower()}")["Location"] == f"/grants/{grant.ref}/"
    assert (
        as_alice.get(f"/search/?q=req{grant.request.number}")["Location"] == f"/requests/{grant.request.ref}/"
    )
    assert as_charlie.get(f"/search/?q={grant.ref}").status_code == 200
    assert "No results" in read(as_charlie, f"/search/?q={grant.ref}")


def test_work_is_found_by_its_title_and_people_lead_to_their_page(world, as_bob, as_charlie):
    workflow = world.workflow("ticket", title="Swap the <disks>")
    page = read(as_bob, "/search/?q=the+<disks")
    says(page, f'href="/workflows/{workflow.ref}/"', "Swap the &lt;disks&gt;")
    assert "No results" in read(as_charlie, "/search/?q=disks")
    world.request()
    assert 'href="/people/alice/"' in read(as_bob, "/search/?q=alic")


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


def test_each_entry_has_its_sentence_its_exact_text_and_both_hashes(world, browser):
    request = world.request(reason="Patch")
    page = read(browser("admin"), f"/record/?object={request.ref}")
    entry = acts.last("request.created")
    says(page, "alice submitted", f">{request.ref}</a>: restart-web v1 on web for 1 h: Patch.")
    assert escape(entry.body) in page
    assert bytes(entry.hash).hex() in page
    assert bytes(entry.prev_hash).hex() in page


def test_a_day_has_its_grants_each_with_its_request_and_its_commands_together(world, as_bob, now):
    first, second = world.grant(), world.grant(parameters={"unit": "haproxy"})
    for grant in (first, second, first):
        acts.run(*acts.enter(grant, now=now), f"echo restart {grant.parameters['unit']}", now=now)
    pages = as_bob.get("/record/").context["days"]
    groups = [group for day in pages for group in day.groups if group.about]
    assert [group.about.label for group in groups[:2]] == [first.ref, second.ref]
    assert groups[0].says == "Alice, restart-web on web"
    refs = {(one.entry.object_type, one.entry.object_ref) for one in groups[0].rows}
    assert refs == {("grant", first.ref), ("request", first.request.ref)}
    seqs = [one.entry.seq for one in groups[0].rows]
    assert seqs == sorted(seqs, reverse=True)


def test_each_day_has_its_title_in_the_readers_time_zone(world, as_bob):
    entry = AuditEntry.objects.latest("seq")
    entries = [
        AuditEntry(
            log="main",
            seq=9 - age,
            at=NEW_YEAR - dt.timedelta(days=age),
            event=entry.event,
            actor="bob",
            object_type="log",
            object_ref="main",
            body='{"data": {}}',
        )
        for age in (0, 1, 2)
    ]
    with timezone.override("Europe/Berlin"):
        titles = [day.title for day in days(entries, world.bob, NEW_YEAR)]
    assert titles == [
        "Today, Friday, 1 January",
        "Yesterday, Thursday, 31 December 2026",
        "Wednesday, 30 December 2026",
    ]


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


def test_an_administrator_has_the_record_verified_and_nobody_else(world, as_bob, browser, settings, tmp_path):
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    admin = browser("admin")
    assert "Verify now" in read(admin, "/record/")
    assert "Verify now" not in read(as_bob, "/record/")
    assert as_bob.post("/record/verify/").status_code == 404
    said = admin.post("/record/verify/", follow=True).content.decode()
    assert "The worker is verifying the whole record" in said
    world.request()
    verify_record()
    world.request()
    said = admin.post("/record/verify/", follow=True).content.decode()
    says(said, "intact and chained to the entries verified before", "There was no checkpoint to compare with")
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
    page = read(as_bob, "/record/")
    says(page, "Intact at", "1 entry added since", "Stint computes SHA-256", "None of this proves")
    AuditVerification.objects.update(
        ok=False, first_bad_seq=47902, problem="altered", detail="Entry 47,902 was altered."
    )
    says(read(as_bob, "/record/"), "Record broken at entry 47,902", "Entries before it are intact")
    assert head


def test_the_badge_says_since_when_checkpoints_can_not_be_kept(world, as_bob, settings, tmp_path):
    (tmp_path / "state").write_text("")
    settings.CHECKPOINTS_FILE = tmp_path / "state" / "checkpoints.txt"
    world.request()
    with pytest.raises(OSError, match="exists"):
        checkpoint()
    says(read(as_bob, "/record/"), "saved outside the database since", "retries every minute")
    (tmp_path / "state").unlink()
    checkpoint()
    assert "saved outside the database since" not in read(as_bob, "/record/")


def test_a_checkpoint_of_a_longer_record_outside_shows_the_record_as_broken(
    world, as_bob, settings, tmp_path, now
):
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    by = signer(now=now)
    kept = checkpoint_text(Statement(by.name, 10_000, bytes(32)), now)
    settings.CHECKPOINTS_FILE.write_text(sign(kept, name=by.name, key=by.key) + "\n")
    verify_record()
    says(read(as_bob, "/record/"), "but 10,000 entries were signed", "an older backup was restored")


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


def test_the_search_finds_commands_that_are_listed_and_that_were_tried(world, as_alice, as_charlie, now):
    grant = world.grant()
    use = acts.use(grant, now=now)
    run = acts.run(use, acts.session(use, now=now), 'echo   restart "nginx"', now=now)
    refused = acts.run(use, acts.session(use, now=now), "rm -rf /srv/shop", now=now)
    assert 'href="/command-sets/restart-web/"' in read(as_alice, "/search/?q=echo+restart")
    # However it was quoted: its words as the target got them are searched as well.
    for text in ("restart nginx", "start+ngi", "echo+++restart"):
        assert f'href="/grants/{grant.ref}/#run-{run.run_id}"' in read(as_alice, f"/search/?q={text}"), text
    assert f"#run-{refused.run_id}" in read(as_alice, "/search/?q=-rf+/srv")
    for text in ("echo+restart", "-rf+/srv"):
        assert "No results" in read(as_charlie, f"/search/?q={text}")
