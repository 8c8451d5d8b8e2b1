"""The page of a grant: live while it lasts, a receipt after that."""

import datetime as dt
import hashlib
import json
import re

import pytest
from django.conf import settings

from sessions_app.models import CommandRun, EndReason, GrantState
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.suspend_unapproved_write import suspend_unapproved_write
from sessions_app.web.grants import grants_page
from tests.support.world import acts
from tests.support.world.reading import answered, read, says, says_nothing_of
from tests.support.world.world import HOST_KEY


@pytest.fixture
def grant(world):
    return world.grant(ticket="CHG-2291")


def finish(run_id: int, output: str, now, name: str = "") -> str:
    """End a run with a recording on the disk, as the gateway does."""
    folder = settings.RECORDINGS_DIR
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{run_id}.cast")
    path.write_text('{"version": 2, "width": 80, "height": 24}\n' + json.dumps([0.1, "o", output]) + "\n")
    finish_run(
        run_id=run_id,
        state="done",
        exit_status=0,
        output_bytes=len(output),
        recording=path.name,
        recording_digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        now=now,
    )
    return path.name


def test_the_holder_reads_what_they_may_run_and_the_line_that_runs_it(grant, as_alice):
    page = read(as_alice, f"/grants/{grant.ref}/")
    line = f"ssh -p {settings.SSH_GATEWAY_PORT} web-1@{settings.SSH_PUBLIC_HOST} echo restart nginx"
    says(page, f'data-copy="{line}"', "Your access to <em>web</em>", "Ends automatically", 'data-left="')
    assert f'data-copy="{line.replace("web-1", "web-2")}"' in read(
        as_alice, f"/grants/{grant.ref}/?target=web-2"
    )


def test_a_holder_without_a_key_adds_it_where_they_need_it(grant, as_alice):
    here = f"/grants/{grant.ref}/"
    assert f'<a class="btn fill wide" href="{here}">Use this access' in read(
        as_alice, f"/requests/{grant.request.ref}/"
    )
    says(read(as_alice, here), "Your SSH public key", f'name="next" value="{here}"')
    form = {"public_key": HOST_KEY, "next": here, "identity": grant.holder_id}
    assert as_alice.post("/account/keys/", form)["Location"] == here
    says_nothing_of(read(as_alice, here), "Your SSH public key")


def test_the_log_shows_allowed_held_and_refused(grant, opened, as_alice, now):
    done = acts.run(*opened, "echo restart nginx", now=now)
    finish(done.run_id, "restarted", now + dt.timedelta(seconds=2))
    acts.run(*opened, "echo stop nginx", now=now)
    acts.run(*opened, "echo restart sshd", now=now)
    page = read(as_alice, f"/grants/{grant.ref}/")
    says(page, "<b>Done</b>, exit 0, 2.0 s", "<b>Waiting for a second person</b>", "<b>Refused</b>")
    assert "Nothing reached the target" in page
    refused = read(as_alice, f"/grants/{grant.ref}/?show=refused")
    assert "echo restart sshd" in refused
    assert "<b>Done</b>" not in refused


def test_output_is_shown_as_text_and_nothing_in_it_is_alive(grant, opened, as_alice, now):
    run = acts.run(*opened, "echo restart nginx", now=now)
    finish(run.run_id, "\x1b[31mred\x1b[0m <script>alert(1)</script>\x1b]0;title\x07\r\ndone", now)
    page = read(as_alice, f"/grants/{grant.ref}/?open={run.run_id}")
    assert '<span class="a-f1">red</span> &lt;script&gt;alert(1)&lt;/script&gt;\ndone' in page
    says_nothing_of(page, "\x1b", "<script>alert")


def test_a_recording_outside_the_folder_is_not_read(grant, opened, as_alice, now, tmp_path):
    secret = tmp_path / "secret.cast"
    secret.write_text('{}\n[0, "o", "the secret"]\n')
    run = acts.run(*opened, "echo restart nginx", now=now)
    for path in (str(secret), "../" * 12 + str(secret)[1:]):
        CommandRun.objects.filter(pk=run.run_id).update(recording=path, output_bytes=9, state="done")
        page = read(as_alice, f"/grants/{grant.ref}/?open={run.run_id}")
        assert "the secret" not in page
        assert "can't be read on this server now" in page


def test_a_poll_without_news_changes_nothing_and_one_with_news_does(grant, opened, as_alice, now):
    page = as_alice.get(f"/grants/{grant.ref}/").context["live"]
    url = f"/grants/{grant.ref}/live/?seen={page.seen}"
    assert as_alice.get(url).status_code == 204
    acts.run(*opened, "echo restart sshd", now=now)
    answer = as_alice.get(url)
    assert answer.status_code == 200
    assert b"echo restart sshd" in answer.content
    assert b"<html" not in answer.content


def test_the_holder_ends_and_the_same_address_is_the_receipt(grant, opened, as_alice, now):
    run = acts.run(*opened, "echo restart nginx", now=now)
    finish(run.run_id, "ok", now)
    answer = as_alice.post(f"/grants/{grant.ref}/end/")
    assert answer["Location"] == f"/grants/{grant.ref}/"
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == (GrantState.REVOKING, EndReason.RELEASED)
    page = read(as_alice, f"/grants/{grant.ref}/")
    says(page, "Receipt", "<dt>Approved by</dt><dd>Bob</dd>", "not confirmed yet", "Ended by Alice")


def end_form(page: str, grant) -> str:
    """The one form that ends a grant, with its confirmation."""
    assert page.count(f'action="/grants/{grant.ref}/end/"') == 1
    before, after = page.split(f'action="/grants/{grant.ref}/end/"')
    return before[before.rindex("<details") :] + after[: after.index("</details>")]


def test_one_button_ends_and_its_confirmation_says_what_is_cut_and_what_may_finish(
    world, grant, opened, as_bob, as_alice, now
):
    assert "Nothing is running. Nothing new can start." in end_form(
        read(as_bob, f"/grants/{grant.ref}/"), grant
    )
    for line in ("sleep 60", "sleep 30 nightly", "echo stop nginx"):
        acts.run(*opened, line, now=now)
    for client, url in ((as_bob, f"/grants/{grant.ref}/"), (as_bob, "/"), (as_alice, "/")):
        asked = end_form(read(client, url), grant)
        cut, finish = asked.split("may finish, for up to 5 min:")
        says(cut, "2 commands are terminated immediately:", "<code>sleep 60</code> on web-1")
        assert "<code>echo stop nginx</code> on web-1, waiting for a second person" in cut
        says(finish, "<code>sleep 30 nightly</code> on web-1", 'type="checkbox" name="kill" value="1"')
        assert f"End {grant.ref}</button>" in finish
    as_bob.post(f"/grants/{grant.ref}/end/", {"note": "Wrong host"})
    grant.refresh_from_db()
    assert grant.finish_until > now
    asked = end_form(read(as_bob, f"/grants/{grant.ref}/"), grant)
    says(asked, "Terminate running commands", '<input type="hidden" name="kill" value="1">')
    as_bob.post(f"/grants/{grant.ref}/end/", {"kill": "1"})
    grant.refresh_from_db()
    assert grant.finish_until <= now + dt.timedelta(minutes=1)
    assert (grant.end_reason, grant.end_note, grant.ended_by) == (EndReason.REVOKED, "Wrong host", world.bob)


def test_a_time_that_is_over_is_said_before_any_worker_came(world, as_alice):
    grant = world.grant(now=world.now - dt.timedelta(hours=2))
    assert "Expired" in read(as_alice, f"/grants/{grant.ref}/")
    assert "Your access" in read(as_alice, "/")


def test_the_holder_extends_in_one_press(world, grant, as_alice, as_bob):
    until = grant.expires_at
    assert as_bob.post(f"/grants/{grant.ref}/extend/", {"seconds": "3600"}).status_code == 404
    as_alice.post(f"/grants/{grant.ref}/extend/", {"seconds": "3600", "reason": "Slow"})
    grant.refresh_from_db()
    assert grant.expires_at == until + dt.timedelta(hours=1)


def test_a_review_needs_words_and_is_not_for_the_one_who_broke_the_glass(world, as_alice, as_bob):
    request = world.request(kind="break_glass", reason="Site is down")
    grant = request.grant
    assert as_alice.post(f"/grants/{grant.ref}/review/", {"note": "Fine"}).status_code == 403
    assert as_bob.post(f"/grants/{grant.ref}/review/", {"note": "Too early"}).status_code == 409
    as_alice.post(f"/grants/{grant.ref}/end/")
    assert "A review note is required" in answered(
        as_bob.post(f"/grants/{grant.ref}/review/", {"note": " "}), 400
    )
    as_bob.post(f"/grants/{grant.ref}/review/", {"note": "One restart, as said"})
    says(read(as_bob, f"/grants/{grant.ref}/"), "One restart, as said", "Reviewed by Bob")


@pytest.fixture
def made(world, making):
    grant = prepare_grant(grant_id=world.grant().pk, now=lambda: world.now)
    assert grant.state == GrantState.ACTIVE
    return grant


def test_the_holder_is_shown_a_credential_once(made, as_alice):
    page = read(as_alice, f"/grants/{made.ref}/")
    assert "Create credential" in page
    assert "replaces the previous one" in page
    assert f"key-to-{made.ref}" not in page
    shown = as_alice.post(f"/grants/{made.ref}/credential/", {"target": "web-2"})
    assert f'<code tabindex="0">key-to-{made.ref}</code>' in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    assert f"key-to-{made.ref}" not in read(as_alice, f"/grants/{made.ref}/")


def test_the_receipt_says_what_was_made_and_what_the_target_answered(world, made, as_alice):
    end_grant(grant_id=made.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    assert acts.undo(made, now=world.now).state == GrantState.ENDED
    page = read(as_alice, f"/grants/{made.ref}/")
    assert "Created: things <code>1</code>" in " ".join(page.split())
    assert "<dt>left</dt>" in page
    file = json.loads(as_alice.get(f"/grants/{made.ref}/receipt.json").content)
    assert [(one["target"], one["made"], one["evidence"]) for one in file["checked"]] == [
        ("web-1", {"things": 1}, {"left": 0}),
        ("web-2", {"things": 1}, {"left": 0}),
    ]


def test_the_receipt_counts_the_processes_of_root_and_says_what_the_kernel_knows(world, made, as_alice):
    end_grant(grant_id=made.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    acts.undo(made, now=world.now)
    evidence = {"processes_found": 1, "processes_of_root_found": 2, "root_proven_by": "kernel"}
    made.leases.update(evidence=evidence)
    page = read(as_alice, f"/grants/{made.ref}/")
    says(page, "3 found and killed", "The kernel reports that the cgroups of root&#x27;s commands are empty.")


def test_administrators_may_have_a_silent_target_asked_again(world, made, making, browser):
    making.down = {"web-1"}
    end_grant(grant_id=made.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    acts.undo(made, now=world.now)
    admin = browser("admin")
    assert f"/grants/{made.ref}/retry/" in read(admin, "/")
    assert admin.post(f"/grants/{made.ref}/retry/").status_code == 302
    assert "grant.revoke_failing" in acts.events(made.ref)


def test_a_held_grant_says_so_and_an_approver_lets_it_go_on(world, as_alice, as_bob):
    acts.change(world, acts.policy(world, deviations={"limit": 1}))
    grant = world.grant()
    used = acts.use(grant, now=world.now)
    acts.run(used, acts.session(used, now=world.now), "echo restart sshd", now=world.now)
    assert "too many refused commands" in read(as_alice, f"/grants/{grant.ref}/")
    assert "Resume" not in read(as_alice, f"/grants/{grant.ref}/")
    assert "Resume" in read(as_bob, f"/grants/{grant.ref}/")
    assert as_alice.post(f"/grants/{grant.ref}/release/").status_code == 403
    assert as_bob.post(f"/grants/{grant.ref}/release/", {"note": "A typing mistake"}).status_code == 302
    assert "too many refused commands" not in read(as_alice, f"/grants/{grant.ref}/")


def test_a_grant_that_stint_suspended_says_what_had_been_changed(world, as_bob):
    grant = world.grant()
    suspend_unapproved_write(grant_id=grant.pk, target="db-1", now=world.now)
    found = ["by Stint", "a transaction on db-1 changed data, and no statement in it was allowed to"]
    page = read(as_bob, f"/grants/{grant.ref}/")
    says(page, *found, "Resume")
    says_nothing_of(page, "too many refused commands", "View refused commands")
    says_nothing_of(read(as_bob, "/"), "too many refused commands", "?show=refused#log")


def test_a_grant_is_suspended_on_its_page_which_says_by_whom_and_that_what_runs_goes_on(
    grant, opened, as_alice, as_bob, now
):
    acts.run(*opened, "echo restart nginx", now=now)
    page = f"/grants/{grant.ref}/"
    assert "1 running command continues. You can end it separately." in read(as_bob, page)
    assert as_bob.post(f"{page}suspend/", {"note": "Wrong host"}).status_code == 302
    assert "by Bob" in (shown := read(as_alice, page))
    assert "Wrong host" in shown
    assert "An approver must resume it." in shown
    assert "Wrong host" in read(as_alice, f"{page}runs/{grant.runs.get().pk}/watch/")
    assert f"{page}suspend/" not in read(as_bob, page)
    assert as_bob.post(f"{page}suspend/").status_code == 409


def test_an_approver_allows_a_held_command_several_times_within_the_limit_of_its_policy(
    grant, opened, as_bob, now
):
    held = acts.run(*opened, "echo stop nginx", now=now)
    page, url = f"/grants/{grant.ref}/", f"/grants/{grant.ref}/runs/{held.run_id}/decide/"
    assert "<option>10</option>" in read(as_bob, page)
    assert "<option>11</option>" not in read(as_bob, page)
    for times in ("11", "0", "-1", "x", ""):
        as_bob.post(url, {"verdict": "allow_times", "times": times})
        assert grant.runs.get().decided_at is None
    as_bob.post(url, {"verdict": "allow_times", "times": "4"})
    assert grant.runs.get().uses_left == 4
    assert "allowed 4 times by Bob" in read(as_bob, page)


def test_the_live_view_of_a_held_command_says_for_whom_it_waits_and_changes_when_it_runs(
    grant, opened, as_alice, as_bob, now
):
    held = acts.run(*opened, "echo stop nginx", now=now)
    url = f"/grants/{grant.ref}/runs/{held.run_id}/watch/"
    page = read(as_bob, url)
    assert "Bob and Dora can allow it" in page
    assert "Allow once" in page
    assert "Allow once" not in read(as_alice, url)
    address = re.search(r'hx-get="([^"]+seen=[^"]+)"', page)[1]
    assert as_bob.get(address).status_code == 204
    for state, shown in (("running", "data-term"), ("hold_denied", 'data-over="Denied by a second person"')):
        grant.runs.filter(pk=held.run_id).update(state=state)
        page = as_bob.get(address).content.decode()
        assert shown in page
        assert "data-waits" not in page


@pytest.mark.parametrize(
    ("status", "signal", "tone"), [(0, "", "ok"), (5, "", "warn"), (None, "KILL", "warn")]
)
def test_what_ended_badly_does_not_look_as_if_it_went_well(
    grant, opened, as_alice, now, status, signal, tone
):
    run = acts.run(*opened, "echo restart nginx", now=now)
    finish_run(run_id=run.run_id, state="done", exit_status=status, signal=signal, now=now)
    assert f'<li class="t-{tone}" id="run-{run.run_id}">' in read(as_alice, f"/grants/{grant.ref}/")


def test_break_glass_access_is_never_called_approved(world, as_alice):
    grant = world.request(kind="break_glass", reason="Site is down").grant
    for page in (f"/requests/{grant.request.ref}/", "/requests/", "/search/?q=alice"):
        shown = read(as_alice, page)
        assert "Break-glass access" in shown
        assert "Approved</span>" not in shown
    as_alice.post(f"/grants/{grant.ref}/end/")
    receipt = read(as_alice, f"/grants/{grant.ref}/")
    says(receipt, "<th>Allowed</th>", "<dt>Approved by</dt><dd>no one: break-glass access</dd>")


def test_an_ended_grant_without_commands_does_not_promise_any(grant, as_alice):
    assert "shows up here immediately" in read(as_alice, f"/grants/{grant.ref}/")
    page = as_alice.post(f"/grants/{grant.ref}/end/", follow=True).content.decode()
    says(page, f"You ended {grant.ref}.", "No command was attempted before access ended.")
    assert "shows up here immediately" not in page


def test_without_output_there_is_nothing_to_replay(grant, opened, as_alice, now):
    for output in ("ok", ""):
        run = acts.run(*opened, "echo restart nginx", now=now)
        finish(run.run_id, output, now)
        page = read(as_alice, f"/grants/{grant.ref}/")
        assert (f'href="/recordings/{run.run_id}/"' in page) == bool(output)
    assert "0\xa0bytes" not in page


def test_the_receipt_says_how_many_runs_failed(grant, opened, as_alice, now):
    for status in (0, 1):
        run = acts.run(*opened, "echo restart nginx", now=now)
        finish_run(run_id=run.run_id, state="done", exit_status=status, now=now)
    as_alice.post(f"/grants/{grant.ref}/end/")
    assert "2 times, 1 failed" in read(as_alice, f"/grants/{grant.ref}/")


def listed(client, query: str = "show=all") -> tuple[list[str], list[str]]:
    """The references of the grants that have not ended, and of those that have, as listed."""
    shown = client.get(f"/grants/?{query}").context["list"]
    return tuple([row.card.grant.ref for row in rows] for rows in (shown.live, shown.ended))


def test_the_list_has_what_has_not_ended_apart_the_next_to_end_first(world, as_bob, as_alice, now):
    late, soon, over = (world.grant(duration=seconds) for seconds in (7200, 1800, 3600))
    end_grant(grant_id=over.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
    over.refresh_from_db()
    deprovision_grant(grant_id=over.pk, now=lambda: now)
    assert listed(as_bob) == ([soon.ref, late.ref], [over.ref])
    assert listed(as_bob, "show=now") == ([soon.ref, late.ref], [])
    assert listed(as_bob, "show=mine") == ([], [])
    page = read(as_alice, "/grants/")
    says(page, "<b><span data-left=", "until", "Ended by the holder")


@pytest.mark.parametrize("text", ["ALIC", "restart", "we", "chg-22", "{ref}"])
def test_the_list_is_searched_by_holder_access_reference_and_ticket(world, grant, as_bob, text):
    world.grant(who=world.robot)
    found, _ = listed(as_bob, f"show=all&q={text.format(ref=grant.ref.lower())}")
    assert grant.ref in found
    assert listed(as_bob, "show=all&q=nothing-fits") == ([], [])
    assert "No matching grants" in read(as_bob, "/grants/?q=nothing-fits")


def test_older_pages_of_the_list_have_ended_grants_alone(world, as_bob, now, monkeypatch):
    monkeypatch.setattr(grants_page, "SIZE", 1)
    live = world.grant()
    over = [world.grant() for _ in range(2)]
    for one in over:
        end_grant(grant_id=one.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
        deprovision_grant(grant_id=one.pk, now=lambda: now)
    assert listed(as_bob) == ([live.ref], [over[1].ref])
    assert listed(as_bob, f"show=all&before={over[1].pk}") == ([], [over[0].ref])
