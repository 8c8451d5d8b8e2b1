"""Clusters, command sets and policies in the pages."""

from __future__ import annotations

from sessions_app.models import CommandSet
from sessions_app.operations.catalogue.save_draft import save_draft
from sessions_app.policy.policies import PolicyDocument
from sessions_app.web.catalogue.policies_page import sentences
from tests.support.world import acts

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
    assert "<title>restart-web v1, Stint</title>" in page
    assert 'value="&lt;b&gt;id&lt;/b&gt;"' in page
    assert "<b>id</b>" not in page


def test_an_empty_line_is_no_try(as_alice):
    assert "allowed" not in tried(as_alice, "  ")


def test_drafts_are_for_administrators_alone(world, as_alice, browser, now):
    source = world.catalogue["command-sets/restart-web.yaml"].replace("[1, 1000]", "[1, 20]")
    save_draft(source=source, actor=world.admin, now=now)
    assert CommandSet.objects.get(name="restart-web").versions.count() == 2
    assert as_alice.get("/command-sets/restart-web/?version=2").status_code == 404
    assert "v2 draft" not in as_alice.get("/command-sets/restart-web/").content.decode()
    page = browser("admin").get("/command-sets/restart-web/?version=2").content.decode()
    assert "Draft: can't be requested" in page
    assert as_alice.get("/command-sets/restart-web/?version=x").status_code == 404


def test_a_policy_is_told_in_plain_sentences(world, as_alice):
    windows = [{"days": ["tue", "sat"], "from": "02:00", "to": "06:00", "zone": "Europe/Berlin"}]
    world.apply(acts.policy(world, windows=windows, ticket="CHG-[0-9]+"))
    page = as_alice.get("/policies/web-work/").content.decode()
    for said in (
        "People and machines in operators can request access.",
        "For restart-web on web.",
        "For up to 4 h",
        "Needs 1 approval within 1 d: 1 from approvers",
        "Only on Tuesday and Saturday, 02:00 to 06:00, Europe/Berlin.",
        "A ticket matching CHG-[0-9]+ is required.",
        "Can be extended 2 times by up to 1 h, without approval.",
        "Break-glass: on-call can start immediately, for up to 1 h",
    ):
        assert said in page


def test_a_policy_without_approvals_says_so():
    document = PolicyDocument.model_validate(
        {"name": "look", "clusters": ["a", "b"], "command_sets": ["x"], "requesters": {"groups": ["all"], "identities": ["zoe"]},
         "approvals": "none", "max_duration": "1h", "reason": "optional",
         "freezes": [{"from": "2026-12-20T00:00:00+01:00", "to": "2027-01-02T00:00:00+01:00", "reason": "Holidays"}]}
    )  # fmt: skip
    text = " ".join(sentence.text for sentence in sentences(document))
    assert "No approval needed" in text
    assert "on a or b" in text
    assert "and zoe can request access" in text
    assert "Holidays" in text
    assert "A reason is required" not in text


def test_a_removed_cluster_is_not_listed(world, as_bob):
    assert 'href="/clusters/web/"' in as_bob.get("/clusters/").content.decode()
    from sessions_app.models import Cluster

    Cluster.objects.update(removed_at=world.now)
    assert 'href="/clusters/web/"' not in as_bob.get("/clusters/").content.decode()
    assert as_bob.get("/clusters/web/").status_code == 404
