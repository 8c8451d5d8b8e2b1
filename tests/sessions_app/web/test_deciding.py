"""Deciding in the pages."""

from __future__ import annotations

import pytest

from sessions_app.models import Approval, Cluster, CommandRun, Grant, RequestState
from tests.support import acts


@pytest.fixture
def asked(world):
    return world.request(duration=14400, ticket="CHG-2291")


def verdict(client, request, word="approve", **more):
    form = {"digest": request.digest, "verdict": word, **more}
    return client.post(f"/approvals/{request.ref}/decide/", form, follow=True)


def test_the_page_says_in_a_sentence_what_is_asked(asked, as_bob):
    page = as_bob.get(f"/approvals/{asked.ref}/").content.decode()
    assert "Alice asks to run <em>restart-web</em> on <em>web</em> for 4 h" in page
    for said in (
        "Needs 1 approval",
        "yours settles it",
        "CHG-2291",
        "echo restart nginx",
        "Nightly restart",
        "web-1",
        "web-2",
    ):
        assert said in page
    assert "Each run waits for a second person at that moment" in page
    assert "A run may finish, at most 5 min past the end" in page
    assert f'name="digest" value="{asked.digest}"' in page


def test_approving_makes_the_grant(asked, as_bob):
    page = verdict(as_bob, asked).content.decode()
    asked.refresh_from_db()
    assert asked.state == RequestState.APPROVED
    assert "is approved. It starts by itself and ends by itself." in page
    assert Grant.objects.get().ref in page


def test_an_approver_allows_for_less(asked, as_bob):
    target = asked.cluster.targets.get(name="web-2")
    verdict(as_bob, asked, duration="3600", without_command=["2", "3"], without_target=[str(target.pk)])
    narrowing = Approval.objects.get().narrowing
    grant = Grant.objects.get()
    assert narrowing["duration"] == 3600
    assert grant.commands == [0, 1, 4]
    assert [one.name for one in grant.targets.all()] == ["web-1"]


def test_leaving_out_everything_is_refused_and_the_choice_is_kept(asked, as_bob):
    answer = verdict(as_bob, asked, without_command=["0", "1", "2", "3", "4"], comment="Too much")
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "At least one command must be left" in page
    assert page.count('name="without_command" value="') == page.count('" checked><span><code') == 5
    assert "Too much</textarea>" in page
    assert not Grant.objects.exists()


def test_a_longer_time_can_not_be_slipped_in(asked, as_bob):
    assert verdict(as_bob, asked, duration="28800").status_code == 400
    assert not Grant.objects.exists()


def test_a_time_that_can_not_be_read_does_not_mean_all_of_it(asked, as_bob):
    assert verdict(as_bob, asked, duration="15m").status_code == 400
    asked.refresh_from_db()
    assert asked.state == "pending"


def test_denying_needs_a_comment_that_the_asker_sees(asked, as_bob, as_alice):
    refused = verdict(as_bob, asked, "deny")
    assert refused.status_code == 400
    assert "Needed for a denial" in refused.content.decode()
    verdict(as_bob, asked, "deny", comment="Not in the freeze")
    asked.refresh_from_db()
    assert asked.state == RequestState.DENIED
    assert "Not in the freeze" in as_alice.get(f"/requests/{asked.ref}/").content.decode()


def test_a_verdict_on_what_changed_meanwhile_does_not_count(world, asked, as_bob):
    Cluster.objects.get(name="web").targets.filter(name="web-1").update(address="10.9.9.9")
    answer = verdict(as_bob, asked)
    assert answer.status_code == 409
    assert "It changed while it waited" in answer.content.decode()
    assert not Approval.objects.exists()


def test_a_form_with_another_digest_does_not_count(asked, as_bob):
    answer = as_bob.post(f"/approvals/{asked.ref}/decide/", {"digest": "0" * 64, "verdict": "approve"})
    assert answer.status_code == 409
    assert not Approval.objects.exists()


def test_what_is_decided_says_by_whom(world, asked, as_bob, browser):
    verdict(as_bob, asked)
    late = verdict(browser("dora"), asked, "deny", comment="No")
    assert late.status_code == 409
    page = late.content.decode()
    assert "Bob approved" in page
    assert "It is decided already" in page
    assert 'name="verdict"' not in page


def test_the_asker_reads_that_they_may_not_decide_and_why(asked, as_alice):
    page = as_alice.get(f"/approvals/{asked.ref}/").content.decode()
    assert "You cannot decide this one." in page
    assert "You asked for this yourself." in page
    assert 'name="verdict"' not in page
    assert verdict(as_alice, asked).status_code == 403
    assert not Approval.objects.exists()


def test_an_administrator_may_look_but_not_decide(asked, browser):
    page = browser("admin").get(f"/approvals/{asked.ref}/").content.decode()
    assert "You cannot decide this one." in page
    assert "Only people in approvers decide" in page


def test_the_owner_of_a_machine_can_not_decide_for_it(world, as_alice):
    request = world.request(world.robot)
    assert verdict(as_alice, request).status_code == 403


def test_an_approval_can_be_turned_into_a_denial_until_it_is_settled(world, as_bob):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request()
    verdict(as_bob, request)
    page = as_bob.get(f"/approvals/{request.ref}/").content.decode()
    assert "You said approve." in page
    assert 'value="deny"' in page
    assert 'value="approve"' not in page
    verdict(as_bob, request, "deny", comment="On second thought")
    request.refresh_from_db()
    assert request.state == RequestState.DENIED


def test_an_extension_is_decided_here_too(world, as_bob, now):
    world.apply(acts.policy(world, extension={"times": 1, "by": "30m", "approvals": "same"}))
    grant = world.grant()
    until = grant.expires_at
    from sessions_app.operations.extend_grant import extend_grant

    request = extend_grant(
        grant_id=grant.pk, requester=world.alice, seconds=1800, reason="Slow disk", now=now
    )
    page = as_bob.get(f"/approvals/{request.ref}/").content.decode()
    assert f"for 30 min more of <em>{grant.ref}</em>" in page
    verdict(as_bob, request)
    grant.refresh_from_db()
    assert (grant.expires_at - until).total_seconds() == 1800


def test_a_held_command_is_allowed_once_from_the_home_page(world, as_bob, as_alice, now):
    grant = world.grant()
    used = acts.use(grant, now=now)
    tried = acts.run(used, acts.session(used, now=now), "echo stop nginx", now=now)
    page = as_bob.get("/").content.decode()
    assert "Allow one command now?" in page
    assert "Allow one command now?" not in as_alice.get("/").content.decode()
    url = f"/grants/{grant.ref}/runs/{tried.run_id}/decide/"
    assert as_alice.post(url, {"verdict": "allow"}).status_code == 403
    assert as_bob.post(url, {"verdict": "maybe"}).status_code == 404
    assert as_bob.post(url, {"verdict": "allow", "next": "/"})["Location"] == "/"
    assert CommandRun.objects.get(pk=tried.run_id).decided_by == world.bob
    assert as_bob.post(url, {"verdict": "deny"}).status_code == 409


def test_a_held_command_is_decided_under_its_own_grant_only(world, as_bob, now):
    grant, other = world.grant(), world.grant()
    used = acts.use(grant, now=now)
    tried = acts.run(used, acts.session(used, now=now), "echo stop nginx", now=now)
    assert (
        as_bob.post(f"/grants/{other.ref}/runs/{tried.run_id}/decide/", {"verdict": "allow"}).status_code
        == 404
    )
    assert CommandRun.objects.get(pk=tried.run_id).decided_by is None


def test_who_else_is_there_then_is_drawn(world, as_bob):
    world.grant()
    other = world.request(world.deployer)
    page = as_bob.get(f"/approvals/{other.ref}/").content.decode()
    assert "Alice has restart-web on the same cluster" in page
    assert 'class="clash"' in page


def test_an_approver_is_not_asked_about_their_own(world, as_alice, browser, now):
    approvers = "name: approvers\nmembers: [alice, bob, dora]\n"
    world.apply({"groups/approvers.yaml": approvers})
    grant = world.grant()
    used = acts.use(grant, now=now)
    acts.run(used, acts.session(used, now=now), "echo stop nginx", now=now)
    world.request()
    world.request(world.robot)
    world.request(kind="break_glass", reason="Down")
    assert "Nothing waits for you" in as_alice.get("/").content.decode()
    assert "4 things need you" in browser("dora").get("/").content.decode()
