"""Deciding in the pages."""

from __future__ import annotations

import datetime as dt
import re

import pytest

from broker.kernel import clock
from sessions_app.models import Approval, Cluster, CommandRun, EndReason, Grant, RequestState, Workflow
from sessions_app.operations.grants.end_grant import end_grant
from tests.support.world import acts
from tests.support.world.world import HOST_KEY


@pytest.fixture
def asked(world):
    return world.request(duration=14400, ticket="CHG-2291")


def verdict(client, request, word="approve", **more):
    form = {"digest": request.digest, "verdict": word, **more}
    return client.post(f"/approvals/{request.ref}/decide/", form, follow=True)


def test_the_page_says_in_a_sentence_what_is_asked(asked, as_bob):
    page = as_bob.get(f"/approvals/{asked.ref}/").content.decode()
    assert "Alice requests <em>restart-web</em> on <em>web</em> for 4 h" in " ".join(page.split())
    for said in (
        "Needs 1 approval",
        "yours is the final approval",
        "CHG-2291",
        "echo restart nginx",
        "Nightly restart",
        "web-1",
        "web-2",
    ):
        assert said in page
    assert "Each run needs a second person" in page
    assert "A running command may finish, up to 5 min after the end" in page
    assert f'name="digest" value="{asked.digest}"' in page


def test_approving_makes_the_grant(asked, as_bob):
    page = verdict(as_bob, asked).content.decode()
    asked.refresh_from_db()
    assert asked.state == RequestState.APPROVED
    assert "approved. It starts and ends automatically." in page
    assert Grant.objects.get().ref in page


def test_a_decided_request_is_told_as_it_was_and_not_as_if_it_began_now(world, asked, as_bob, as_alice):
    world.grant(ticket="CHG-1")
    waits = as_bob.get(f"/approvals/{asked.ref}/").content.decode()
    assert "Can already run" in waits
    assert "Who else has access to web then" in waits
    page = verdict(as_bob, asked, "deny", comment="Not today").content.decode()
    assert "Alice requested <em>restart-web</em> on <em>web</em> for 4 h </h1>" in " ".join(page.split())
    assert "Needed 1 approval" in page
    assert "none given" in page
    assert "Would have been able to run" in page
    for wrong in (
        "Can already run",
        "Who else has access",
        "starting on approval",
        "Your decision covers exactly",
    ):
        assert wrong not in page
        assert wrong not in as_alice.get(f"/requests/{asked.ref}/").content.decode()


def test_a_denial_without_a_comment_leads_to_the_comment_and_says_once_what_is_missing(asked, as_bob):
    page = verdict(as_bob, asked, "deny").content.decode()
    assert re.search(r'<textarea[^>]* id="comment"[^>]* autofocus', page)
    assert page.count("A comment is required to deny a request.") == 1


def test_targets_stand_as_people_count_them(world, as_bob, as_alice):
    cluster = Cluster.objects.get(name="web")
    for number in (10, 9):
        cluster.targets.create(name=f"web-{number}", address="10.0.0.9", account="root", host_key=HOST_KEY)
    request = world.request()
    grant = world.grant()
    wanted = ["web-1", "web-2", "web-9", "web-10"]
    pages = {
        f"/approvals/{request.ref}/": as_bob,
        f"/grants/{grant.ref}/": as_bob,
        "/clusters/web/": as_alice,
        "/requests/new/?cluster=web&set=restart-web": as_alice,
    }
    for url, client in pages.items():
        shown = re.findall(r"web-[0-9]+(?=</|,|<)", client.get(url).content.decode())
        assert list(dict.fromkeys(shown)) == wanted, url


def test_an_approver_reads_that_holders_reach_a_cluster_directly(asked, as_bob):
    says = "The holder gets a credential of web itself."
    assert says not in as_bob.get(f"/approvals/{asked.ref}/").content.decode()
    Cluster.objects.filter(pk=asked.cluster.pk).update(connection={"direct": True})
    assert says in as_bob.get(f"/approvals/{asked.ref}/").content.decode()


def test_an_approver_allows_for_less(asked, as_bob):
    target = asked.cluster.targets.get(name="web-2")
    verdict(as_bob, asked, duration="3600", without_command=["2", "3"], without_target=[str(target.pk)])
    narrowing = Approval.objects.get().narrowing
    grant = Grant.objects.get()
    assert narrowing["duration"] == 3600
    assert grant.commands == [0, 1, 4]
    assert [one.name for one in grant.targets.all()] == ["web-1"]


def test_after_one_approver_narrowed_the_next_reads_and_decides_what_is_left(
    world, browser, as_bob, as_alice
):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request(duration=14400)
    target = request.cluster.targets.get(name="web-2")
    verdict(as_bob, request, duration="3600", without_command=["2", "3"], without_target=[str(target.pk)])
    dora = browser("dora")
    page = dora.get(f"/approvals/{request.ref}/").content.decode()
    assert "on <em>web</em> for 1 h <del>4 h</del>" in page
    assert "Bob reduced the scope." in page
    assert "Remaining: 1 h, 3 of 5 commands, and web-1." in page
    assert "1 target as" in " ".join(page.split())
    assert "No destructive commands" in page, "the destructive command was left out"
    left_out = page[page.index("Excluded by Bob") :]
    for gone in ("echo stop nginx", "sleep {seconds}"):
        assert f"<del><code>{gone}</code></del>" in left_out
    assert '<del class="mono">web-2</del>' in page
    assert re.findall(r'name="duration" value="(\d+)"( checked)?', page) == [
        ("900", ""),
        ("1800", ""),
        ("3600", " checked"),
    ]
    assert re.findall(r'name="without_command" value="(\d+)"', page) == ["0", "1", "4"]
    assert 'name="without_target"' not in page
    for home in ("/", "/approvals/"):
        assert "for 1 h <del>4 h</del>" in dora.get(home).content.decode(), home
        assert "Bob reduced the scope" in dora.get(home).content.decode(), home

    verdict(dora, request, duration="3600")
    assert request.approvals.get(approver=world.dora).narrowing == {}, "she left all that there was"
    grant = Grant.objects.get()
    assert (grant.commands, (grant.expires_at - grant.starts_at).total_seconds()) == ([0, 1, 4], 3600)
    for client, url in ((dora, f"/approvals/{request.ref}/"), (as_alice, f"/requests/{request.ref}/")):
        page = client.get(url).content.decode()
        gained = page[page.index("Able to run during the grant") : page.index("Excluded by Bob")]
        assert gained.count("<code>") == 3
        assert "echo stop nginx" not in gained, url
        assert "1 h <del>4 h</del>" in page


def test_the_first_facts_say_as_whom_commands_run_and_stress_root(world, as_bob):
    request = world.request(duration=14400)
    page = as_bob.get(f"/approvals/{request.ref}/").content.decode()
    reach = page[page.index("<dt>Targets</dt>") : page.index('class="two"')]
    assert re.search(r'2 targets\s+as\s+<strong class="pill t-bad">.*root</strong>\s*</span></dd>', reach)
    request.cluster.targets.filter(name="web-1").update(account="deploy")
    page = as_bob.get(f"/approvals/{request.ref}/").content.decode()
    reach = page[page.index("<dt>Targets</dt>") : page.index('class="two"')]
    assert re.search(r'root</strong>,\s+<span\s+class="mono">deploy</span>', reach)


def test_leaving_out_everything_is_refused_and_the_choice_is_kept(asked, as_bob):
    answer = verdict(as_bob, asked, without_command=["0", "1", "2", "3", "4"], comment="Too much")
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "At least one command must remain" in page
    assert (
        page.count('name="without_command" value="')
        == len(re.findall('" checked[^>]*><span><code', page))
        == 5
    )
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
    assert "A comment is required to deny a request" in refused.content.decode()
    verdict(as_bob, asked, "deny", comment="Not in the freeze")
    asked.refresh_from_db()
    assert asked.state == RequestState.DENIED
    assert "Not in the freeze" in as_alice.get(f"/requests/{asked.ref}/").content.decode()


def test_a_verdict_on_what_changed_meanwhile_does_not_count(world, asked, as_bob):
    Cluster.objects.get(name="web").targets.filter(name="web-1").update(address="10.9.9.9")
    answer = verdict(as_bob, asked)
    assert answer.status_code == 409
    assert "This changed while it was waiting" in answer.content.decode()
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
    assert "This request is closed" in page
    assert 'name="verdict"' not in page


def test_the_asker_reads_that_they_may_not_decide_and_why(asked, as_alice):
    page = as_alice.get(f"/approvals/{asked.ref}/").content.decode()
    assert "You can't decide this request." in page
    assert "You can&#x27;t decide your own request." in page
    assert 'name="verdict"' not in page
    assert verdict(as_alice, asked).status_code == 403
    assert not Approval.objects.exists()


def test_an_administrator_may_look_but_not_decide(asked, browser):
    page = browser("admin").get(f"/approvals/{asked.ref}/").content.decode()
    assert "You can't decide this request." in page
    assert "Only people in approvers can decide" in page


def test_the_owner_of_a_machine_can_not_decide_for_it(world, as_alice):
    request = world.request(world.robot)
    assert verdict(as_alice, request).status_code == 403


def test_an_approval_can_be_turned_into_a_denial_until_it_is_settled(world, as_bob):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request()
    verdict(as_bob, request)
    page = as_bob.get(f"/approvals/{request.ref}/").content.decode()
    assert "You approved it." in page
    assert 'value="deny"' in page
    assert 'value="approve"' not in page
    verdict(as_bob, request, "deny", comment="On second thought")
    request.refresh_from_db()
    assert request.state == RequestState.DENIED


def test_an_extension_is_decided_here_too(world, as_bob, now):
    world.apply(acts.policy(world, extension={"times": 1, "by": "30m", "approvals": "same"}))
    grant = world.grant()
    until = grant.expires_at
    from sessions_app.operations.requests.extend_grant import extend_grant

    request = extend_grant(
        grant_id=grant.pk, requester=world.alice, seconds=1800, reason="Slow disk", now=now
    )
    page = as_bob.get(f"/approvals/{request.ref}/").content.decode()
    assert f"requests 30 min more of <em>{grant.ref}</em>" in " ".join(page.split())
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
    glass = Grant.objects.get(request=world.request(kind="break_glass", reason="Down"))
    end_grant(grant_id=glass.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
    assert "all caught up" in as_alice.get("/").content.decode()
    assert "4 items need your attention" in browser("dora").get("/").content.decode()


# While it is read


def read(client, request) -> dict[str, str]:
    context = client.get(f"/approvals/{request.ref}/").context
    return {"read": context["read"], "left": context["left"]}


def test_what_changed_while_it_was_read_is_said_and_nothing_is_counted(asked, as_bob):
    page = read(as_bob, asked)
    targets = Cluster.objects.get(name="web").targets
    targets.filter(name="web-1").update(address="10.9.9.9")
    targets.filter(name="web-2").update(removed_at=asked.created_at)
    answer = verdict(as_bob, asked, **page)
    said = answer.content.decode()
    assert answer.status_code == 409
    assert "This changed while you were reading it." in said
    assert "Your decision was not recorded." in said
    assert "web-1 is now root@10.9.9.9:2201; it was root@127.0.0.1:2201." in said
    assert "web-2 was removed." in said
    assert not Approval.objects.exists()


def test_an_approval_that_another_made_smaller_meanwhile_is_asked_again(world, as_bob, browser):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request(duration=14400)
    page = read(as_bob, request)
    verdict(browser("dora"), request, duration="3600", without_command=["2"])
    answer = verdict(as_bob, request, comment="Fine", **page)
    said = answer.content.decode()
    assert answer.status_code == 409
    for sentence in ("This changed while you were reading it.", "Dora approved it in the meantime.", "1 h of 4 h remain.",
                     "4 of 5 commands remain.", "decide again"):  # fmt: skip
        assert sentence in said
    assert "Fine</textarea>" in said
    assert Approval.objects.count() == 1
    assert not Grant.objects.exists()
    verdict(as_bob, request, **read(as_bob, request))
    grant = Grant.objects.get()
    assert (grant.expires_at - grant.starts_at).total_seconds() == 3600
    assert grant.commands == [0, 1, 3, 4]


def test_a_page_that_looks_again_goes_on_saying_what_changed_since_it_was_read(world, as_bob, browser):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request(duration=14400)
    first = read(as_bob, request)
    url = f"/approvals/{request.ref}/"
    assert "This changed while" not in as_bob.get(url, {"read": first["read"]}).content.decode()
    verdict(browser("dora"), request, duration="3600")
    for _ in range(2):
        answer = as_bob.get(url, {"read": first["read"]})
        assert "1 h of 4 h remain." in answer.content.decode()
        assert answer.context["read"] == first["read"]
    assert "This changed while" not in as_bob.get(url).content.decode()


def test_a_denial_counts_whatever_was_made_smaller_meanwhile(world, as_bob, browser):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request(duration=14400)
    page = read(as_bob, request)
    verdict(browser("dora"), request, duration="3600")
    verdict(as_bob, request, "deny", comment="Not at all", **page)
    request.refresh_from_db()
    assert request.state == RequestState.DENIED


def test_a_summary_that_is_not_ours_says_nothing(world, asked, as_bob):
    other = read(as_bob, world.request())
    Cluster.objects.get(name="web").targets.filter(name="web-1").update(address="10.9.9.9")
    for summary in ("", "made:up:summary", "x" * 100_000, other["read"]):
        answer = verdict(as_bob, asked, read=summary)
        assert answer.status_code == 409
        assert "This changed while it was waiting." in answer.content.decode()


def test_a_decision_that_came_too_late_says_by_whom_and_when(asked, as_bob, browser):
    page = read(browser("dora"), asked)
    verdict(as_bob, asked)
    said = verdict(browser("dora"), asked, **page).content.decode()
    assert "Bob approved it in the meantime." in said
    assert "This request is closed since " in said


# Talking


def test_a_question_and_its_answer_stand_on_both_pages(asked, as_alice, as_bob):
    url = f"/requests/{asked.ref}/comment/"
    answer = as_bob.post(url, {"text": "Which <host> first?", "page": "approval"})
    assert answer["Location"] == f"/approvals/{asked.ref}/#thread"
    page = as_alice.get(f"/requests/{asked.ref}/").content.decode()
    assert "Which &lt;host&gt; first?" in page
    assert as_alice.post(url, {"text": "web-1"})["Location"] == f"/requests/{asked.ref}/#thread"
    assert "web-1</p>" in as_bob.get(f"/approvals/{asked.ref}/").content.decode()
    asked.refresh_from_db()
    assert asked.state == RequestState.PENDING


def test_a_question_that_is_refused_is_kept(asked, as_bob, as_charlie):
    url = f"/requests/{asked.ref}/comment/"
    for page in ("approval", "request"):
        answer = as_bob.post(url, {"text": "x" * 2001, "page": page})
        assert answer.status_code == 400
        assert "x" * 2001 in answer.content.decode()
    assert as_charlie.post(url, {"text": "Hello"}).status_code == 404


# The list


def test_what_waits_can_be_filtered_and_what_was_decided_is_listed(world, asked, as_bob, now, monkeypatch):
    # No midnight passes before the decisions of today are counted.
    monkeypatch.setattr(clock, "now", lambda: now)
    grant = world.grant()
    used = acts.use(grant, now=now)
    tried = acts.run(used, acts.session(used, now=now), "echo stop nginx", now=now)
    page = as_bob.get("/approvals/?show=holds").content.decode()
    assert "Allow one command now?" in page
    assert '<code class="wrap">echo stop nginx</code> on <b>web-1</b>' in page
    assert f'href="/approvals/{asked.ref}/"' not in page.partition("Waiting for others")[0]
    assert "Nothing matches this filter" in as_bob.get("/approvals/?show=reviews").content.decode()
    as_bob.post(
        f"/grants/{grant.ref}/runs/{tried.run_id}/decide/", {"verdict": "deny", "next": "/approvals/"}
    )
    verdict(as_bob, asked)
    page = as_bob.get("/approvals/").content.decode()
    assert "You're all caught up. You decided 3 today." in page
    assert page.count("denied</span>") == 1
    assert page.count("approved</span>") == 2


def test_the_record_of_the_asker_leads_to_the_last_recording(world, as_bob, now):
    grant = world.grant()
    used = acts.use(grant, now=now)
    tried = acts.run(used, acts.session(used, now=now), "echo restart nginx", now=now)
    CommandRun.objects.filter(pk=tried.run_id).update(recording="2026/x.cast")
    other = world.grant(start=False, starts_at=now + dt.timedelta(hours=1))
    end_grant(grant_id=other.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
    page = as_bob.get(f"/approvals/{world.request().ref}/").content.decode()
    assert "1 grant here in 90 days: all ended early, 0 refused commands." in page
    assert f'href="/grants/{grant.ref}/?open={tried.run_id}#run-{tried.run_id}">Last recording</a>' in page


def test_what_came_of_a_request_is_no_past_of_it_and_an_incident_of_today_no_reason_for_it(
    world, as_bob, now
):
    grant = world.grant()
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
    acts.undo(grant, now=now)
    incident = world.incident()
    page = as_bob.get(f"/approvals/{grant.request.ref}/").content.decode()
    assert "No grants here in 90 days" in page
    assert incident.ref not in page
    waits = as_bob.get(f"/approvals/{world.request().ref}/").content.decode()
    assert "1 grant here in 90 days" in waits
    assert incident.ref in waits


def test_whoever_approved_already_is_not_told_to_reduce_it_further(world, as_bob, browser):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request()
    world.decide(request, narrowing={"duration": 600})
    assert "You can only reduce it further" not in as_bob.get(f"/approvals/{request.ref}/").content.decode()
    assert (
        "You can only reduce it further" in browser("dora").get(f"/approvals/{request.ref}/").content.decode()
    )


def test_an_incident_is_named_where_there_is_one(world, as_bob):
    world.apply(acts.policy(world, incident={"on_call": ["on-call"], "approvals": "same"}))
    incident = world.incident()
    request = world.request(kind="incident", workflow=incident.ref)
    page = as_bob.get(f"/approvals/{request.ref}/").content.decode()
    assert f'href="/incidents/{incident.ref}/"' in page
    assert "ends with it" in page
    other = as_bob.get(f"/approvals/{world.request().ref}/").content.decode()
    assert "None linked. Open on web" in other


# Work of other kinds


def test_a_change_is_called_one_with_its_time_its_people_and_the_askers_part(world, as_bob):
    begins = world.now + dt.timedelta(days=1)
    change = world.workflow(
        "change",
        title="New kernel",
        assignee="alice",
        starts_at=begins,
        ends_at=begins + dt.timedelta(hours=2),
    )
    world.workflow("ticket", title="Somebody else's ticket")
    request = world.request(workflow=change.ref)
    answer = as_bob.get(f"/approvals/{request.ref}/")
    page = answer.content.decode()
    assert "<dt>Change</dt>" in page
    assert "<dt>Incident</dt>" not in page
    assert '#flame"/></svg><a' not in page
    assert f"{change.ref}</a> New kernel, open" in " ".join(page.split())
    assert "That covers the requested time." in page
    assert "Alice. Alice is assigned to it." in page
    assert "Somebody else" not in page
    assert answer.context["facts"].incidents == []


def test_a_planned_time_that_does_not_cover_what_is_asked_for_is_said(world, as_bob):
    change = world.workflow("change")
    request = world.request(workflow=change.ref, duration=7200)
    Workflow.objects.filter(pk=change.pk).update(ends_at=world.now + dt.timedelta(minutes=30))
    page = as_bob.get(f"/approvals/{request.ref}/").content.decode()
    assert "That does not cover the requested time" in page


def test_a_ticket_is_called_one_beside_the_incidents_that_are_open_there(world, as_bob):
    ticket, incident = world.workflow("ticket"), world.incident()
    request = world.request(workflow=ticket.ref)
    answer = as_bob.get(f"/approvals/{request.ref}/")
    page = answer.content.decode()
    assert '<dt>Ticket</dt> <dd class="wrap"><svg' in " ".join(page.split())
    assert "Alice has no known role in it" in page
    assert answer.context["facts"].incidents == [incident]
    assert "Other incidents" in page


def test_what_commands_take_from_the_work_is_told_from_what_was_typed(world, as_bob):
    bound = world.catalogue["command-sets/restart-web.yaml"].replace(
        "unit: {choice: [nginx, haproxy]}", "unit: {choice: [nginx, haproxy]}\n  number: {name: 20, from: workflow.id}"
    ).replace("run: echo restart {unit}", "run: echo restart {unit} {number}").replace(
        'allow: ["echo restart nginx"]', 'allow: ["sleep 5"]'
    )  # fmt: skip
    world.apply({"command-sets/restart-web.yaml": bound})
    ticket = world.workflow("ticket")
    page = as_bob.get(f"/approvals/{world.request(workflow=ticket.ref).ref}/").content.decode()
    assert f'<span class="mono">{ticket.ref}</span>, from <span class="mono">id</span>' in page
    assert page.count("<dt>number</dt>") == 1
    assert '<dt>unit</dt><dd class="mono wrap">nginx</dd>' in page


def test_who_else_is_there_leads_to_the_timeline_of_that_cluster_and_day(world, asked, as_bob):
    timeline = 'href="/timeline/?cluster=web'
    assert f'{timeline}">' in as_bob.get(f"/approvals/{asked.ref}/").content.decode()
    begins = world.now + dt.timedelta(days=1)
    later = world.request(starts_at=begins, kind="planned")
    page = as_bob.get(f"/approvals/{later.ref}/").content.decode()
    assert f"{timeline}&amp;day={begins:%Y-%m-%d}" in page


def test_an_approver_reads_which_commands_run_as_root(world, browser):
    text = world.catalogue["command-sets/restart-web.yaml"]
    acts.change(
        world,
        {
            "command-sets/restart-web.yaml": text.replace(
                "    effect: change\n", "    effect: change\n    as: root\n", 1
            )
        },
    )
    page = browser("bob").get(f"/approvals/{world.request().ref}/").content.decode()
    assert page.count("Runs as root") == 1
