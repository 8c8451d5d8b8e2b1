"""Several held commands are decided on one page in one act."""

import datetime as dt
import html
import re

import pytest

from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.withdraw_hold import withdraw_hold
from tests.sessions_app.operations.sessions.test_try_call import acting
from tests.sessions_app.web.grants.test_grants import read
from tests.support.world import acts
from tests.support.world.factors import just_signed_in
from tests.support.world.mcp_site import add_desk, grant_unseen, mail_files

DECIDE = "/approvals/holds/decide/"


@pytest.fixture
def held(grant, opened, now):
    return [acts.run(*opened, "echo stop nginx", now=now).run_id for _ in range(3)]


def boxes(page: str) -> list[str]:
    return re.findall(r'name="hold" value="([^"]+)" checked', page)


def states(grant) -> list[str]:
    runs = grant.runs.order_by("pk")
    return [
        "waits" if run.waits(run.tried_at) else "allowed" if run.state == "held" else run.state
        for run in runs
    ]


@pytest.mark.parametrize("page", ["/", "/approvals/?show=holds", "/grants/{ref}/"])
def test_commands_that_wait_alike_are_one_group_whose_selected_commands_are_allowed(
    grant, held, as_bob, page
):
    shown = read(as_bob, page.format(ref=grant.ref))
    assert "Allow 3 commands now?" in shown
    selected = boxes(shown)[1:]
    assert [one.partition(".")[0] for one in selected] == [str(pk) for pk in held[1:]]
    answer = as_bob.post(DECIDE, {"verdict": "allow", "hold": selected}, follow=True).content.decode()
    assert "2 commands allowed." in answer
    assert states(grant) == ["waits", "allowed", "allowed"]


def test_the_live_view_of_a_command_offers_those_that_wait_alike(grant, held, as_bob, as_alice):
    url = f"/grants/{grant.ref}/runs/{held[0]}/watch/"
    assert len(boxes(read(as_bob, url))) == 3
    assert boxes(read(as_alice, url)) == []


def test_what_was_decided_or_withdrawn_meanwhile_is_named_and_the_rest_is_denied(grant, held, as_bob, world):
    selected = boxes(read(as_bob, "/"))
    withdraw_hold(run_id=held[0], actor=world.alice, now=world.now)
    answer = as_bob.post(DECIDE, {"verdict": "deny", "hold": selected}, follow=True).content.decode()
    assert "2 commands denied." in answer
    assert "1 command not decided." in answer
    assert "it was withdrawn" in answer
    assert states(grant) == ["withdrawn", "hold_denied", "hold_denied"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"verdict": "allow"}, 400),
        ({"verdict": "allow", "hold": "1"}, 400),
        ({"verdict": "maybe", "hold": f"1.{'0' * 64}"}, 404),
    ],
)
def test_a_form_without_a_selection_or_with_anything_else_decides_nothing(grant, held, as_bob, sent, status):
    assert as_bob.post(DECIDE, sent).status_code == status
    assert states(grant) == ["waits"] * 3


def test_who_holds_the_grant_decides_nothing_with_the_form_of_another(grant, held, as_alice, as_bob):
    selected = boxes(read(as_bob, "/"))
    as_alice.post(DECIDE, {"verdict": "allow", "hold": selected})
    assert states(grant) == ["waits"] * 3


def test_where_the_policy_requires_it_the_pages_ask_to_confirm_once_and_lead_back(
    world, grant, held, browser
):
    world.apply(acts.policy(world, confirmation="required"))
    bob = just_signed_in(browser("bob"), world.bob, dt.timedelta(minutes=6))
    for page in ("/", f"/grants/{grant.ref}/"):
        shown = read(bob, page)
        assert f"/account/confirm/?next={page}" in shown
        assert 'value="allow"' not in shown
    answer = bob.post(DECIDE, {"verdict": "allow", "hold": boxes(shown)}, follow=True).content.decode()
    assert "Confirm your identity." in answer
    just_signed_in(bob, world.bob)
    bob.post(DECIDE, {"verdict": "allow", "hold": boxes(read(bob, "/"))})
    assert states(grant) == ["allowed"] * 3


def test_the_home_list_and_the_live_view_offer_several_runs_too(grant, opened, as_bob, now):
    run = acts.run(*opened, "echo stop nginx", now=now).run_id
    for page in ("/", "/approvals/", f"/grants/{grant.ref}/runs/{run}/watch/"):
        shown = read(as_bob, page)
        assert 'value="allow_times"' in shown
        numbers = shown.split('<select class="ctl" name="times"')[1].split("</select>")[0]
        assert re.findall(r"<option>(\d+)", numbers) == [*map(str, range(2, 11))]


def test_calls_show_their_differing_arguments_and_what_was_read_before(world, as_bob):
    add_desk(world, 9000, mail_files())
    mail = grant_unseen(world, command_set="desk-mail", parameters={})
    call = acting(mail, world)
    finish_run(run_id=call("read_ticket", {"id": "T-42"}).run_id, state="done", output_bytes=9, now=world.now)
    for person in ("eve", "mallory"):
        call("send_mail", {"to": f"{person}@shop", "text": "hi"})
    for page in ("/", f"/grants/{mail.ref}/"):
        shown = html.unescape(read(as_bob, page))
        assert 'send_mail {"text":"hi",<mark>"to":"eve@shop"</mark>}' in shown
        assert "Read before: 1 result" in shown
        assert "1 untrusted" in shown
        assert 'read_ticket {"id":"T-42"}' in shown
        assert 'to <code>"mallory@shop"</code> is not from an earlier result' in shown
