"""The page of a grant: live while it lasts, a receipt after that."""

from __future__ import annotations

import datetime as dt
import hashlib
import json

import pytest
from django.conf import settings

from sessions_app.models import AccessRequest, CommandRun, EndReason, Grant, GrantState
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.sessions.finish_run import finish_run
from tests.support.world import acts


@pytest.fixture
def grant(world):
    return world.grant(ticket="CHG-2291")


@pytest.fixture
def opened(grant, now):
    used = acts.use(grant, now=now)
    return used, acts.session(used, now=now)


def finish(run_id: int, output: str, now, name: str = "") -> str:
    """End a run with a recording on the disk, as the gateway does."""
    folder = settings.RECORDINGS_DIR
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (name or f"{run_id}.cast")
    path.write_text('{"version": 2, "width": 80, "height": 24}\n' + json.dumps([0.1, "o", output]) + "\n")
    finish_run(
        run_id=run_id, state="done", exit_status=0, output_bytes=len(output), recording=path.name,
        recording_digest=hashlib.sha256(path.read_bytes()).hexdigest(), now=now,
    )  # fmt: skip
    return path.name


def test_the_holder_reads_what_they_may_run_and_the_line_that_runs_it(grant, as_alice):
    page = as_alice.get(f"/grants/{grant.ref}/").content.decode()
    line = f"ssh -p {settings.SSH_GATEWAY_PORT} web-1@{settings.SSH_PUBLIC_HOST} echo restart nginx"
    assert f'data-copy="{line}"' in page
    assert "Your access to <em>web</em>" in page
    assert "Ends automatically" in page
    assert 'data-left="' in page
    assert (
        f'data-copy="{line.replace("web-1", "web-2")}"'
        in as_alice.get(f"/grants/{grant.ref}/?target=web-2").content.decode()
    )


def test_with_two_grants_that_fit_the_line_names_the_grant(world, grant, as_alice):
    world.grant(parameters={"unit": "haproxy"})
    page = as_alice.get(f"/grants/{grant.ref}/").content.decode()
    assert f" {grant.ref}.web-1@" in page


def test_others_are_not_shown_lines_to_copy(grant, as_bob):
    page = as_bob.get(f"/grants/{grant.ref}/").content.decode()
    assert "Only Alice can run them" in page
    assert "data-copy" not in page


def test_the_log_shows_allowed_held_and_refused(grant, opened, as_alice, now):
    done = acts.run(*opened, "echo restart nginx", now=now)
    finish(done.run_id, "restarted", now + dt.timedelta(seconds=2))
    acts.run(*opened, "echo stop nginx", now=now)
    acts.run(*opened, "echo restart sshd", now=now)
    page = as_alice.get(f"/grants/{grant.ref}/").content.decode()
    for said in (
        "<b>Done</b>, exit 0, 2.0 s",
        "<b>Waiting for a second person</b>",
        "<b>Refused</b>",
        "Nothing reached the target",
    ):
        assert said in page
    refused = as_alice.get(f"/grants/{grant.ref}/?show=refused").content.decode()
    assert "echo restart sshd" in refused
    assert "<b>Done</b>" not in refused


@pytest.mark.parametrize(
    ("status", "signal", "tone"), [(0, "", "ok"), (5, "", "warn"), (None, "KILL", "warn")]
)
def test_what_ended_badly_does_not_look_as_if_it_went_well(
    grant, opened, as_alice, now, status, signal, tone
):
    run = acts.run(*opened, "echo restart nginx", now=now)
    finish_run(run_id=run.run_id, state="done", exit_status=status, signal=signal, now=now)
    page = as_alice.get(f"/grants/{grant.ref}/").content.decode()
    assert f'<li class="t-{tone}" id="run-{run.run_id}">' in page


def test_output_is_shown_as_text_and_nothing_in_it_is_alive(grant, opened, as_alice, now):
    run = acts.run(*opened, "echo restart nginx", now=now)
    finish(run.run_id, "\x1b[31mred\x1b[0m <script>alert(1)</script>\x1b]0;title\x07\r\ndone", now)
    page = as_alice.get(f"/grants/{grant.ref}/?open={run.run_id}").content.decode()
    assert '<span class="a-f1">red</span> &lt;script&gt;alert(1)&lt;/script&gt;\ndone' in page
    assert "\x1b" not in page
    assert "<script>alert" not in page


def test_a_recording_outside_the_folder_is_not_read(grant, opened, as_alice, now, tmp_path):
    secret = tmp_path / "secret.cast"
    secret.write_text('{}\n[0, "o", "the secret"]\n')
    run = acts.run(*opened, "echo restart nginx", now=now)
    for path in (str(secret), "../" * 12 + str(secret)[1:]):
        CommandRun.objects.filter(pk=run.run_id).update(recording=path, output_bytes=9, state="done")
        page = as_alice.get(f"/grants/{grant.ref}/?open={run.run_id}").content.decode()
        assert "the secret" not in page
        assert "no longer on this server" in page


def test_output_is_said_to_be_gone_only_where_there_was_some(grant, opened, as_alice, now):
    run = acts.run(*opened, "echo restart nginx", now=now)
    page = f"/grants/{grant.ref}/?open={run.run_id}"
    for state, said in (("failed", "No output."), ("done", "No output.")):
        CommandRun.objects.filter(pk=run.run_id).update(state=state)
        shown = as_alice.get(page).content.decode()
        assert said in shown
        assert "no longer on this server" not in shown
    CommandRun.objects.filter(pk=run.run_id).update(output_bytes=9, recording="gone.cast")
    assert "no longer on this server" in as_alice.get(page).content.decode()


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
    page = as_alice.get(f"/grants/{grant.ref}/").content.decode()
    assert "Receipt" in page
    assert "<dt>By</dt><dd>Bob</dd>" in page
    assert "not confirmed yet" in page
    assert "Ended by Alice" in page


def end_form(page: str, grant) -> str:
    """The one form that ends a grant, with its confirmation."""
    assert page.count(f'action="/grants/{grant.ref}/end/"') == 1
    before, after = page.split(f'action="/grants/{grant.ref}/end/"')
    return before[before.rindex("<details") :] + after[: after.index("</details>")]


def test_one_button_ends_and_its_confirmation_says_what_is_cut_and_what_may_finish(
    world, grant, opened, as_bob, as_alice, now
):
    assert "Nothing is running. Nothing new can start." in end_form(
        as_bob.get(f"/grants/{grant.ref}/").content.decode(), grant
    )
    for line in ("sleep 60", "sleep 30 nightly", "echo stop nginx"):
        acts.run(*opened, line, now=now)
    for client, url in ((as_bob, f"/grants/{grant.ref}/"), (as_bob, "/"), (as_alice, "/")):
        asked = end_form(client.get(url).content.decode(), grant)
        cut, finish = asked.split("may finish, for up to 5 min:")
        assert "2 commands are terminated immediately:" in cut
        assert "<code>sleep 60</code> on web-1" in cut
        assert "<code>echo stop nginx</code> on web-1, waiting for a second person" in cut
        assert "<code>sleep 30 nightly</code> on web-1" in finish
        assert 'type="checkbox" name="kill" value="1"' in finish
        assert f"End {grant.ref}</button>" in finish
    as_bob.post(f"/grants/{grant.ref}/end/", {"note": "Wrong host"})
    grant.refresh_from_db()
    assert grant.finish_until > now
    asked = end_form(as_bob.get(f"/grants/{grant.ref}/").content.decode(), grant)
    assert "Terminate running commands" in asked
    assert '<input type="hidden" name="kill" value="1">' in asked
    as_bob.post(f"/grants/{grant.ref}/end/", {"kill": "1"})
    grant.refresh_from_db()
    assert grant.finish_until <= now + dt.timedelta(minutes=1)
    assert (grant.end_reason, grant.end_note, grant.ended_by) == (EndReason.REVOKED, "Wrong host", world.bob)


def test_who_asks_for_it_in_the_confirmation_cuts_what_might_finish(world, grant, opened, as_bob, now):
    acts.run(*opened, "sleep 30 nightly", now=now)
    as_bob.post(f"/grants/{grant.ref}/end/", {"kill": "1", "note": "Wrong host"})
    grant.refresh_from_db()
    assert grant.finish_until is None


def test_ending_lets_a_command_finish_that_approvers_let_finish(grant, as_alice):
    as_alice.post(f"/grants/{grant.ref}/end/")
    grant.refresh_from_db()
    assert grant.finish_until is not None


def test_a_charlie_ends_nothing(grant, as_charlie):
    assert as_charlie.post(f"/grants/{grant.ref}/end/").status_code == 404
    grant.refresh_from_db()
    assert grant.state == GrantState.ACTIVE


def test_a_time_that_is_over_is_said_before_any_worker_came(world, as_alice):
    grant = world.grant(now=world.now - dt.timedelta(hours=2))
    page = as_alice.get(f"/grants/{grant.ref}/").content.decode()
    assert "Expired" in page
    assert "Your access" in as_alice.get("/").content.decode()


def test_a_target_that_does_not_confirm_is_said(grant, opened, as_alice, now):
    acts.run(*opened, "echo restart nginx", now=now)
    as_alice.post(f"/grants/{grant.ref}/end/")
    Grant.objects.filter(pk=grant.pk).update(last_error="web-1 does not answer.", attempts=3)
    page = as_alice.get(f"/grants/{grant.ref}/").content.decode()
    assert "Revocation failing" in page
    assert "web-1 does not answer." in page
    assert "3 attempts so far" in page


def test_the_holder_extends_in_one_press(world, grant, as_alice, as_bob):
    until = grant.expires_at
    assert as_bob.post(f"/grants/{grant.ref}/extend/", {"seconds": "3600"}).status_code == 404
    as_alice.post(f"/grants/{grant.ref}/extend/", {"seconds": "3600", "reason": "Slow"})
    grant.refresh_from_db()
    assert grant.expires_at == until + dt.timedelta(hours=1)


def test_an_extension_that_is_too_long_is_refused_beside_the_form(grant, as_alice):
    answer = as_alice.post(f"/grants/{grant.ref}/extend/", {"seconds": "90000", "reason": "Very slow"})
    page = answer.content.decode()
    assert answer.status_code == 403
    assert "An extension can be at most 1 h" in page
    assert 'value="Very slow"' in page
    assert as_alice.post(f"/grants/{grant.ref}/extend/", {"seconds": "x"}).status_code == 400
    assert AccessRequest.objects.filter(kind="extension").count() == 0


def test_a_review_needs_words_and_is_not_for_the_one_who_broke_the_glass(world, as_alice, as_bob):
    request = world.request(kind="break_glass", reason="Site is down")
    grant = request.grant
    assert as_alice.post(f"/grants/{grant.ref}/review/", {"note": "Fine"}).status_code == 403
    assert as_bob.post(f"/grants/{grant.ref}/review/", {"note": "Too early"}).status_code == 409
    as_alice.post(f"/grants/{grant.ref}/end/")
    empty = as_bob.post(f"/grants/{grant.ref}/review/", {"note": " "})
    assert empty.status_code == 400
    assert "A review note is required" in empty.content.decode()
    as_bob.post(f"/grants/{grant.ref}/review/", {"note": "One restart, as said"})
    page = as_bob.get(f"/grants/{grant.ref}/").content.decode()
    assert "One restart, as said" in page
    assert "Reviewed by Bob" in page


def test_a_scheduled_grant_says_when_it_starts(world, as_alice, now):
    grant = world.grant(start=False, starts_at=now + dt.timedelta(hours=3))
    assert "until start" in as_alice.get(f"/grants/{grant.ref}/").content.decode()


# Kinds of cluster on which something is made beforehand


@pytest.fixture
def made(world, making):
    grant = prepare_grant(grant_id=world.grant().pk, now=lambda: world.now)
    assert grant.state == GrantState.ACTIVE
    return grant


def test_a_grant_that_waits_for_its_targets_says_so(world, making, as_alice):
    grant = world.grant()
    page = as_alice.get(f"/grants/{grant.ref}/").content.decode()
    assert "Available once the access starts" in page
    assert "Run an approved command" not in page


def test_the_holder_is_shown_a_credential_once(made, as_alice):
    page = as_alice.get(f"/grants/{made.ref}/").content.decode()
    assert "Create credential" in page
    assert f"key-to-{made.ref}" not in page
    shown = as_alice.post(f"/grants/{made.ref}/credential/", {"target": "web-2"})
    assert f'<code tabindex="0">key-to-{made.ref}</code>' in shown.content.decode()
    assert "no-store" in shown["Cache-Control"]
    assert f"key-to-{made.ref}" not in as_alice.get(f"/grants/{made.ref}/").content.decode()


def test_nobody_else_is_offered_one(made, as_bob):
    assert "Create credential" not in as_bob.get(f"/grants/{made.ref}/").content.decode()
    assert as_bob.post(f"/grants/{made.ref}/credential/", {"target": "web-1"}).status_code == 404


def test_a_credential_that_can_not_be_had_says_why_and_loses_nothing(made, making, as_alice):
    making.down = {"web-1"}
    answer = as_alice.post(f"/grants/{made.ref}/credential/", {"target": "web-1"})
    assert (answer.status_code, "web-1 does not answer" in answer.content.decode()) == (503, True)


def test_the_receipt_says_what_was_made_and_what_the_target_answered(world, made, as_alice):
    end_grant(grant_id=made.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    assert acts.undo(made, now=world.now).state == GrantState.ENDED
    page = as_alice.get(f"/grants/{made.ref}/").content.decode()
    assert "Created: things <code>1</code>" in " ".join(page.split())
    assert "<dt>left</dt>" in page
    file = json.loads(as_alice.get(f"/grants/{made.ref}/receipt.json").content)
    assert [(one["target"], one["made"], one["evidence"]) for one in file["checked"]] == [
        ("web-1", {"things": 1}, {"left": 0}), ("web-2", {"things": 1}, {"left": 0})
    ]  # fmt: skip


def test_administrators_may_have_a_silent_target_asked_again(world, made, making, browser):
    making.down = {"web-1"}
    end_grant(grant_id=made.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    acts.undo(made, now=world.now)
    admin = browser("admin")
    assert f"/grants/{made.ref}/retry/" in admin.get("/").content.decode()
    assert admin.post(f"/grants/{made.ref}/retry/").status_code == 302
    assert "grant.revoke_failing" in acts.events(made.ref)


def test_a_held_grant_says_so_and_an_approver_lets_it_go_on(world, as_alice, as_bob):
    acts.change(world, acts.policy(world, deviations={"limit": 1}))
    grant = world.grant()
    used = acts.use(grant, now=world.now)
    acts.run(used, acts.session(used, now=world.now), "echo restart sshd", now=world.now)
    assert "too many refused commands" in as_alice.get(f"/grants/{grant.ref}/").content.decode()
    assert "Release" not in as_alice.get(f"/grants/{grant.ref}/").content.decode()
    assert "Release" in as_bob.get(f"/grants/{grant.ref}/").content.decode()
    assert as_alice.post(f"/grants/{grant.ref}/release/").status_code == 403
    assert as_bob.post(f"/grants/{grant.ref}/release/", {"note": "A typing mistake"}).status_code == 302
    assert "too many refused commands" not in as_alice.get(f"/grants/{grant.ref}/").content.decode()


def test_what_is_held_says_who_was_asked(world, grant, opened, as_alice, now):
    acts.run(*opened, "echo stop nginx", now=now)
    assert "left. Notified Bob and Dora" in as_alice.get(f"/grants/{grant.ref}/").content.decode()
    world.apply({"groups/approvers.yaml": "name: approvers\nmembers: [admin, bob, dora]\n"})
    assert "left. Notified Admin and 2 others" in as_alice.get(f"/grants/{grant.ref}/").content.decode()


def test_an_empty_list_says_why_it_is_empty_and_what_to_do(world, as_bob, as_charlie):
    page = as_charlie.get("/grants/").content.decode()
    assert "You have no grants" in page
    assert '<a class="btn s" href="/requests/new/">Request access</a>' in page
    for show in ("now", "all"):
        assert "You have no grants" in as_charlie.get(f"/grants/?show={show}").content.decode()
    world.request()
    assert "No grants to show" in as_bob.get("/grants/?show=all").content.decode()
    assert "No older grants" in as_bob.get("/grants/?show=all&before=1").content.decode()
