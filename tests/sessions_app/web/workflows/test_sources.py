"""The pages of workflow sources."""

import pytest

from sessions_app.models import WorkflowSource
from sessions_app.operations.workflows.read_workflow import read_workflow
from tests.support.world.acts import change, policy
from tests.support.world.reading import answered, read, says
from tests.support.world.sources import DESK, SOURCE, is_open, speaking_for

SECRETS = ("desk-token-of-stint", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.fixture
def desk(world):
    world.apply({"workflow-sources/desk.yaml": DESK})
    return WorkflowSource.objects.get()


def test_no_secret_is_shown_and_what_is_stored_stays_when_the_text_is_saved(as_admin, desk):
    kept = bytes(desk.sealed)
    pages = [read(as_admin, url) for url in ("/sources/", "/sources/desk/", "/sources/desk/edit/")]
    assert not any(secret in page for page in pages for secret in SECRETS)
    assert "(stored)" in pages[2]
    source = "name: desk\nprovider: standard\nsummary: Other words\nclusters: [web]\n"
    source += 'parameters: {url: "http://127.0.0.1:1/tickets/{id}", token: (stored)}\n'
    assert as_admin.post("/sources/desk/edit/", {"source": source, "act": "save"}).status_code == 302
    desk.refresh_from_db()
    assert (desk.summary, bytes(desk.sealed)) == ("Other words", kept)


def test_a_file_of_the_server_is_not_read_for_a_page(as_admin, world):
    source = (
        'name: desk\nprovider: standard\nclusters: [web]\nparameters: {url: "https://a.example/{id}", token:'
        " {file: /etc/passwd}}\n"
    )
    answer = as_admin.post("/new/source/", {"source": source, "act": "save"})
    assert answer.status_code == 400
    assert not WorkflowSource.objects.exists()


def test_a_new_secret_is_shown_once(as_admin, desk):
    assert "whsec_" in answered(as_admin.post("/sources/desk/rotate/"), 200)
    assert "whsec_" not in read(as_admin, "/sources/desk/")


def test_one_workflow_is_looked_up_now(as_admin, world):
    with speaking_for() as adapter:
        adapter.workflows["Q1"] = is_open()
        world.apply({"workflow-sources/pager.yaml": SOURCE})
        assert as_admin.post("/sources/pager/read/", {"id": "Q1"})["Location"] == "/workflows/pager:Q1/"
        assert "Last synced" in read(as_admin, "/workflows/pager:Q1/")
        assert as_admin.post("/sources/pager/read/", {"id": "Q2"}).status_code == 404
        adapter.down = True
        assert as_admin.post("/sources/pager/read/", {"id": "Q1"}).status_code == 503
        assert "Not responding." in read(as_admin, "/sources/pager/")


def test_a_source_is_removed_with_its_access_by_two_presses(as_admin, world):
    with speaking_for() as adapter:
        adapter.workflows["Q1"] = is_open()
        world.apply({"workflow-sources/pager.yaml": SOURCE})
        grant = world.respond(read_workflow(ref="pager:Q1", now=world.now))
        page = as_admin.post("/sources/pager/remove/").content.decode()
        assert "Removing it ends 1 grant immediately" in page
        assert grant.ref in page
        unsaid = as_admin.post("/sources/pager/remove/", {"confirm": "1", "told": ""})
        assert unsaid.status_code == 409
        assert as_admin.get("/sources/pager/").status_code == 200
        as_admin.post("/sources/pager/remove/", {"confirm": "1", "told": grant.ref})
        grant.refresh_from_db()
        assert grant.end_reason == "workflow_closed"
        assert as_admin.get("/sources/pager/").status_code == 404


def test_pages_say_only_what_is_known_of_who_opened_the_work_and_changed_it(world, as_alice, as_bob):
    vouching = {"kinds": ["incident"], "requester": "assignee", "approvals": "none"}
    asked = {
        "kind": "planned",
        "cluster": "web",
        "command_set": "restart-web",
        "duration": "1h",
        "p.unit": "nginx",
        "incident": "pager:Q1",
        "targets_of": "web",
        "target": ["web-1"],
        "reason": "As agreed",
    }
    with speaking_for() as adapter:
        change(world, {"workflow-sources/pager.yaml": SOURCE, **policy(world, workflow=vouching)})
        adapter.workflows["Q1"] = is_open(assigned=("alice@example.com",), opened_by=(), changed_by=None)
        read_workflow(ref="pager:Q1", now=world.now)
        page = read(as_alice, "/workflows/pager:Q1/")
        assert "Who opened pager:Q1 is unknown, so give a reason." in page
        assert page.count("unknown (pager doesn't report this)") == 2
        page = as_alice.post("/requests/preview/", asked).content.decode()
        says(page, "Needs 1 approval", "Who opened pager:Q1 is unknown, so people must approve.")
        request = world.request(workflow="pager:Q1")
        assert "Who opened pager:Q1 is unknown." in read(as_bob, f"/approvals/{request.ref}/")
        adapter.workflows["Q1"] = is_open(assigned=("alice@example.com",))
        read_workflow(ref="pager:Q1", now=world.now)
        assert "opened by bob@example.com" in read(as_alice, "/workflows/pager:Q1/")
        page = as_alice.post("/requests/preview/", asked).content.decode()
        assert "Someone else (bob@example.com) opened pager:Q1, so no approval is needed." in page
