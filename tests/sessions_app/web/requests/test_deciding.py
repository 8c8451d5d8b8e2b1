"""Deciding in the pages."""

import datetime as dt
import re

import pytest

from broker.kernel import clock
from sessions_app.models import Approval, Cluster, CommandRun, Grant, RequestState
from tests.support.world import acts
from tests.support.world.factors import just_signed_in
from tests.support.world.reading import answered, read, says


@pytest.fixture
def asked(world):
    return world.request(duration=14400, ticket="CHG-2291")


def verdict(client, request, word="approve", **more):
    form = {"digest": request.digest, "verdict": word, **more}
    return client.post(f"/approvals/{request.ref}/decide/", form, follow=True)


def test_the_page_says_in_a_sentence_what_is_asked(asked, as_bob):
    page = read(as_bob, f"/approvals/{asked.ref}/")
    assert "Alice requests <em>restart-web</em> on <em>web</em> for 4 h" in " ".join(page.split())
    says(page, "Waiting for 1 more approval", "CHG-2291", "echo restart nginx")
    says(page, "Nightly restart", "web-1", "web-2")
    says(page, "Each run needs a second person", "A running command may finish, up to 5 min after the end")
    assert f'name="digest" value="{asked.digest}"' in page


def test_an_approver_reads_that_holders_reach_a_cluster_directly(asked, as_bob):
    says = "The holder gets a credential for web itself."
    assert says not in read(as_bob, f"/approvals/{asked.ref}/")
    Cluster.objects.filter(pk=asked.cluster.pk).update(connection={"direct": True})
    assert says in read(as_bob, f"/approvals/{asked.ref}/")


def test_after_one_approver_narrowed_the_next_reads_and_decides_what_is_left(world, browser, as_bob):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request(duration=14400)
    target = request.cluster.targets.get(name="web-2")
    verdict(as_bob, request, duration="3600", without_command=["2", "3"], without_target=[str(target.pk)])
    dora = browser("dora")
    page = read(dora, f"/approvals/{request.ref}/")
    says(" ".join(page.split()), "on <em>web</em> for 1 h <del>4 h</del>", "Bob reduced the scope.")
    assert "Remaining: 1 h, 3 of 5 commands, and web-1." in page
    says(page, "<h2>1 target</h2>", "<h2>3 commands</h2>", "2 excluded")
    assert "1 destructive" not in page, "the destructive command was left out"
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
    verdict(dora, request, duration="3600")
    assert request.approvals.get(approver=world.dora).narrowing == {}, "she left all that there was"
    grant = Grant.objects.get()
    assert (grant.commands, (grant.expires_at - grant.starts_at).total_seconds()) == ([0, 1, 4], 3600)


def badges(page: str) -> list[str]:
    """The short facts of the first screen."""
    listed = page.partition('<ul class="badges"')[2].partition("</ul>")[0]
    return [re.sub(r"<.*?>", "", one) for one in re.findall(r"<li>(.*?)</li>", listed)]


def test_what_is_dangerous_is_on_the_first_screen_and_the_rest_is_folded_with_its_numbers(world, as_bob):
    request = world.request(duration=14400, ticket="CHG-2291")
    world.grant(who=world.deployer)
    page = read(as_bob, f"/approvals/{request.ref}/")
    assert badges(page) == ["Medium risk", "as root", "1 destructive", "Production", "CHG-2291"]
    says(page, "Deployer also has access to web at that time.", "<h2>5 commands</h2>", "<h2>2 targets</h2>")
    assert page.count('<details class="card part"') == 6
    request.cluster.targets.filter(name="web-1").update(account="deploy")
    assert "as deploy" in badges(read(as_bob, f"/approvals/{request.ref}/"))


def test_a_long_reason_is_shown_in_full_by_a_click(world, as_bob):
    reason = "Rotate the certificate. " * 30
    page = read(as_bob, f"/approvals/{world.request(reason=reason).ref}/")
    says(page, "Read all", reason.strip())


def test_after_the_decision_the_page_leads_to_the_next_and_to_the_grant(world, as_bob):
    first, *_ = world.request(), world.request(), world.request()
    page = verdict(as_bob, first).content.decode()
    says(page, "Next of 2", f'href="/grants/{first.grant.ref}/"', f"End {first.grant.ref}")
    assert "Undo" not in page, "access starts at once"


def test_an_approval_before_the_start_can_be_undone_once(world, as_bob):
    request = world.request(starts_at=acts.after(world, minutes=20))
    url = f"/approvals/{request.ref}/undo/"
    assert f'action="{url}"' in verdict(as_bob, request).content.decode()
    assert "was withdrawn" in as_bob.post(url, follow=True).content.decode()
    assert Grant.objects.get().state == "ended"
    assert "You have no approval" in answered(as_bob.post(url), 409)


def test_where_the_policy_requires_it_the_page_asks_to_confirm_first_and_leads_back(world, browser):
    world.apply(acts.policy(world, confirmation="required"))
    request = world.request()
    bob = just_signed_in(browser("bob"), world.bob, dt.timedelta(minutes=6))
    confirm = f'href="/account/confirm/?next=/approvals/{request.ref}/"'
    page = read(bob, f"/approvals/{request.ref}/")
    assert confirm in page
    assert 'value="approve"' not in page
    assert "Confirm your identity" in answered(verdict(bob, request), 403)
    just_signed_in(bob, world.bob)
    assert confirm not in read(bob, f"/approvals/{request.ref}/")
    assert "<b>Approved</b>" in verdict(bob, request).content.decode()


def test_a_time_that_can_not_be_read_does_not_mean_all_of_it(asked, as_bob):
    assert verdict(as_bob, asked, duration="15m").status_code == 400
    asked.refresh_from_db()
    assert asked.state == "pending"


def test_denying_needs_a_comment_that_the_asker_sees(asked, as_bob, as_alice):
    assert "A comment is required to deny a request" in answered(verdict(as_bob, asked, "deny"), 400)
    verdict(as_bob, asked, "deny", comment="Not in the freeze")
    asked.refresh_from_db()
    assert asked.state == RequestState.DENIED
    assert "Not in the freeze" in read(as_alice, f"/requests/{asked.ref}/")


def test_what_is_decided_says_by_whom(world, asked, as_bob, browser):
    verdict(as_bob, asked)
    page = answered(verdict(browser("dora"), asked, "deny", comment="No"), 409)
    says(page, "Bob approved", "<b>Approved</b>")
    assert 'name="verdict"' not in page


def test_the_asker_reads_that_they_may_not_decide_and_why(asked, as_alice):
    page = read(as_alice, f"/approvals/{asked.ref}/")
    says(page, "You can&#x27;t decide this request.", "You can&#x27;t decide your own request.")
    assert 'name="verdict"' not in page
    assert verdict(as_alice, asked).status_code == 403
    assert not Approval.objects.exists()


def test_a_held_command_is_allowed_once_from_the_home_page(world, as_bob, as_alice, now):
    grant = world.grant()
    used = acts.use(grant, now=now)
    tried = acts.run(used, acts.session(used, now=now), "echo stop nginx", now=now)
    assert "Allow one command now?" in read(as_bob, "/")
    assert "Allow one command now?" not in read(as_alice, "/")
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


def as_read(client, request) -> dict[str, str]:
    context = client.get(f"/approvals/{request.ref}/").context
    return {"read": context["read"], "left": context["left"]}


def test_what_changed_while_it_was_read_is_said_and_nothing_is_counted(asked, as_bob):
    page = as_read(as_bob, asked)
    targets = Cluster.objects.get(name="web").targets
    targets.filter(name="web-1").update(address="10.9.9.9")
    targets.filter(name="web-2").update(removed_at=asked.created_at)
    said = answered(verdict(as_bob, asked, **page), 409)
    says(said, "This changed while you were reading it.", "Your decision was not recorded.")
    says(said, "web-1 is now root@10.9.9.9:2201; it was root@127.0.0.1:2201.", "web-2 was removed.")
    assert not Approval.objects.exists()


def test_an_approval_that_another_made_smaller_meanwhile_is_asked_again(world, as_bob, browser):
    world.apply(acts.policy(world, approvals=[{"count": 2, "from": ["approvers"]}]))
    request = world.request(duration=14400)
    page = as_read(as_bob, request)
    verdict(browser("dora"), request, duration="3600", without_command=["2"])
    said = answered(verdict(as_bob, request, comment="Fine", form="reduce", **page), 409)
    says(said, "This changed while you were reading it.", "Dora approved the request in the meantime.")
    says(said, "1 h of 4 h remain.", "4 of 5 commands remain.", "decide again")
    assert "Fine</textarea>" in said
    assert Approval.objects.count() == 1
    assert not Grant.objects.exists()
    verdict(as_bob, request, **as_read(as_bob, request))
    grant = Grant.objects.get()
    assert (grant.expires_at - grant.starts_at).total_seconds() == 3600
    assert grant.commands == [0, 1, 3, 4]


def test_a_summary_that_is_not_ours_says_nothing(world, asked, as_bob):
    other = as_read(as_bob, world.request())
    Cluster.objects.get(name="web").targets.filter(name="web-1").update(address="10.9.9.9")
    for summary in ("", "made:up:summary", "x" * 100_000, other["read"]):
        assert "This changed while it was waiting." in answered(verdict(as_bob, asked, read=summary), 409)


def test_a_question_and_its_answer_stand_on_both_pages(asked, as_alice, as_bob):
    url = f"/requests/{asked.ref}/comment/"
    answer = as_bob.post(url, {"text": "Which <host> first?", "page": "approval"})
    assert answer["Location"] == f"/approvals/{asked.ref}/#thread"
    assert "Which &lt;host&gt; first?" in read(as_alice, f"/requests/{asked.ref}/")
    assert as_alice.post(url, {"text": "web-1"})["Location"] == f"/requests/{asked.ref}/#thread"
    assert "web-1</p>" in read(as_bob, f"/approvals/{asked.ref}/")
    asked.refresh_from_db()
    assert asked.state == RequestState.PENDING


def test_what_waits_can_be_filtered_and_what_was_decided_is_listed(world, asked, as_bob, now, monkeypatch):
    # No midnight passes before the decisions of today are counted.
    monkeypatch.setattr(clock, "now", lambda: now)
    grant = world.grant()
    used = acts.use(grant, now=now)
    tried = acts.run(used, acts.session(used, now=now), "echo stop nginx", now=now)
    page = read(as_bob, "/approvals/?show=holds")
    says(page, "Allow one command now?", '<code class="wrap">echo stop nginx</code> on <b>web-1</b>')
    assert f'href="/approvals/{asked.ref}/"' not in page.partition("Waiting for others")[0]
    assert "Nothing matches this filter" in read(as_bob, "/approvals/?show=reviews")
    as_bob.post(
        f"/grants/{grant.ref}/runs/{tried.run_id}/decide/", {"verdict": "deny", "next": "/approvals/"}
    )
    verdict(as_bob, asked)
    page = read(as_bob, "/approvals/")
    assert "You're all caught up. You decided 3 today." in page
    assert page.count("denied</span>") == 1
    assert page.count("approved</span>") == 2


def test_an_approver_reads_which_commands_run_as_root(world, browser):
    text = world.catalog["command-sets/restart-web.yaml"]
    acts.change(
        world,
        {
            "command-sets/restart-web.yaml": text.replace(
                "    effect: change\n", "    effect: change\n    as: root\n", 1
            )
        },
    )
    assert read(browser("bob"), f"/approvals/{world.request().ref}/").count("Runs as root") == 1


def test_a_question_that_is_refused_is_kept(asked, as_bob, as_charlie):
    url = f"/requests/{asked.ref}/comment/"
    for page in ("approval", "request"):
        assert "x" * 2001 in answered(as_bob.post(url, {"text": "x" * 2001, "page": page}), 400)
    assert as_charlie.post(url, {"text": "Hello"}).status_code == 404
