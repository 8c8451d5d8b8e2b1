"""Clusters, command sets and policies in the pages."""

import datetime as dt
import re

import pytest
from django.test import Client

from sessions_app.models import Cluster, CommandSet
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from sessions_app.operations.catalog.save_draft import save_draft
from tests.support.world import acts
from tests.support.world.reading import read, says

TRY = "/command-sets/restart-web/try/"


def tried(client, line: str, **more) -> str:
    form = {"version": "1", "line": line, **more}
    return client.post(TRY, form, headers={"HX-Request": "true"}).content.decode()


def test_the_tester_answers_as_the_gateway_would(as_alice):
    assert ">allowed<" in tried(as_alice, "echo restart nginx")
    assert ">held<" in tried(as_alice, "echo stop nginx")
    assert "one command per run" in tried(as_alice, "echo restart nginx; id")
    assert ">refused<" in tried(as_alice, "echo restart haproxy", **{"p.unit": "nginx"})
    assert ">allowed<" in tried(as_alice, "echo restart haproxy", **{"p.unit": "haproxy"})
    assert ">refused<" in tried(as_alice, "echo restart nginx", **{"p.unit": "sshd"})


def test_the_tester_works_without_script_and_shows_what_was_typed_inert(as_alice):
    page = as_alice.post(TRY, {"version": "1", "line": "<b>id</b>"}).content.decode()
    says(page, "<title>restart-web v1, Stint</title>", 'value="&lt;b&gt;id&lt;/b&gt;"')
    assert "<b>id</b>" not in page


def test_drafts_are_for_administrators_alone(world, as_alice, browser, now):
    source = world.catalog["command-sets/restart-web.yaml"].replace("[1, 1000]", "[1, 20]")
    save_draft(source=source, actor=world.admin, now=now)
    assert CommandSet.objects.get(name="restart-web").versions.count() == 2
    assert as_alice.get("/command-sets/restart-web/?version=2").status_code == 404
    assert "v2 draft" not in read(as_alice, "/command-sets/restart-web/")
    assert "Draft: can't be requested" in read(browser("admin"), "/command-sets/restart-web/?version=2")
    assert as_alice.get("/command-sets/restart-web/?version=x").status_code == 404


def test_a_policy_is_told_in_plain_sentences(world, as_alice):
    windows = [{"days": ["tue", "sat"], "from": "02:00", "to": "06:00", "zone": "Europe/Berlin"}]
    world.apply(acts.policy(world, windows=windows, ticket="CHG-[0-9]+"))
    page = read(as_alice, "/policies/web-work/")
    says(page, "People and machines in operators can request access.", "For restart-web on web.")
    says(page, "For up to 4 h", "Needs 1 approval within 1 d: 1 from approvers")
    assert "Only on Tuesday and Saturday, 02:00 to 06:00, Europe/Berlin." in page
    assert "A ticket matching CHG-[0-9]+ is required." in page
    assert "Can be extended 2 times by up to 1 h, without approval." in page
    assert "Break-glass access: on-call can start immediately, for up to 1 h" in page


def test_a_removed_cluster_is_not_listed(world, as_bob):
    assert 'href="/clusters/web/"' in read(as_bob, "/clusters/")
    Cluster.objects.update(removed_at=world.now)
    assert 'href="/clusters/web/"' not in read(as_bob, "/clusters/")
    assert as_bob.get("/clusters/web/").status_code == 404


@pytest.mark.parametrize("kind", ["cluster", "command-set", "policy", "webhook", "source", "trust-policy"])
def test_only_administrators_find_the_form_for_something_new(as_bob, browser, kind):
    assert [client.get(f"/new/{kind}/").status_code for client in (as_bob, browser("admin"))] == [404, 200]


def test_a_difference_is_marked_line_by_line_and_leads_to_who_made_it(world, browser):
    files = {**world.catalog, **acts.policy(world, max_duration="2h")}
    apply_catalog(files=files, actor=world.admin, now=world.now + dt.timedelta(hours=1))
    page = read(browser("admin"), "/history/policy/web-work/")
    says(page, '<span class="del">-max_duration: 4h</span>', '<span class="ins">+max_duration: 2h</span>')
    says(page, "Longest time 4 h → 2 h")
    assert "+++" not in page
    says(page, '<a href="/people/admin/">Admin</a>', '<a href="/policies/web-work/">web-work</a>')


def test_an_editor_completes_names_that_its_reader_may_see(world, browser):
    found = browser("admin").get("/completions/policies/").json()
    assert "max_duration" in found["schema"]["properties"]
    assert (found["names"]["clusters"], "restart-web" in found["names"]["command_sets"]) == (
        ["web"],
        True,
    )
    assert browser("bob").get("/completions/policies/").status_code == 404
    assert browser("admin").get("/completions/nothing/").status_code == 404


@pytest.mark.parametrize("page", ["/new/policy/", "/new/command-set/"])
def test_an_editor_loads_at_most_150_kilobytes_of_script(browser, page):
    names = re.findall(r'<script src="([^"]+)"', read(browser("admin"), page))
    assert any("complete" in name for name in names)
    assert sum(len(b"".join(Client().get(name).streaming_content)) for name in names) <= 150_000
