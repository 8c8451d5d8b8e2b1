"""One line: allowed, held or refused, and written down before anything runs."""

import datetime as dt
import hashlib
import re
from dataclasses import replace

import pytest
from django.db import transaction

from sessions_app.models import CommandRun, EndReason, Grant, Lease, Notice, RunState
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.open_session import Opening
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from sessions_app.operations.sessions.try_command import NotDecidedHere, try_command
from sessions_app.policy.commands.kinds import decide
from tests.support.world.acts import (
    Started,
    after,
    at_once,
    change,
    events,
    intact,
    last,
    policy,
    run,
    session,
    use,
    wait_for_waiters,
)


@pytest.fixture
def used(world):
    return use(world.grant(), now=world.now)


@pytest.fixture
def opened(world, used):
    return session(used, now=world.now)


def row(tried) -> CommandRun:
    return CommandRun.objects.get(pk=tried.run_id)


def test_an_allowed_command_is_recorded_with_its_words_and_its_lease_before_it_runs(world, used, opened):
    tried = run(used, opened, "echo  restart 'nginx'", now=world.now)
    assert (tried.verdict, tried.deadline, tried.serial) == ("allowed", used.expires_at, tried.run_id)
    assert tried.decision.argv == ("echo", "restart", "nginx")
    assert (row(tried).state, row(tried).argv) == (RunState.RUNNING, ["echo", "restart", "nginx"])
    lease = Lease.objects.get()
    assert (lease.grant_id, lease.target_id, lease.gone_at) == (used.grant_id, used.target.id, None)
    assert events(used.grant_ref)[-2:] == ["lease.made", "command.allowed"]
    assert last("command.allowed").data["argv"] == ["echo", "restart", "nginx"]
    assert last("command.allowed").actor == "alice"


def test_a_command_that_may_finish_gets_that_much_past_the_deadline_and_no_other_does(world, used, opened):
    assert run(used, opened, "sleep 5 nightly", now=world.now).deadline == used.expires_at + dt.timedelta(
        minutes=5
    )
    assert run(used, opened, "sleep 5", now=world.now).deadline == used.expires_at


REFUSED = [
    "echo restart sshd",
    "echo restart nginx; id",
    "echo restart nginx\nid",
    "$(id)",
    "",
    " ",
    "\0",
    "echo restart nginx\0",
    "\udc80\udcff",
    "echo restart \u202enginx",
    "x" * 100_000,
    "\0" * 100_000,
    '"' * 9_000,
    "\x01" * 9_000,
    "😀" * 9_000,
    "echo restart {unit}",
]


def test_every_other_line_is_refused_with_a_reason_and_recorded_and_leaves_no_lease(world, used, opened):
    for line in REFUSED:
        tried = run(used, opened, line, now=world.now)
        assert (tried.verdict, tried.deadline) == ("refused", None)
        assert tried.message.strip()
        assert row(tried).state == RunState.REFUSED
        assert last("command.refused").data["run"] == tried.run_id
        assert not Lease.objects.exists()
        assert intact()


def test_of_a_refused_line_that_is_too_long_to_store_length_and_digest_are_kept(world, used, opened):
    line = "echo " + "ä" * 8000
    stored = row(run(used, opened, line, now=world.now)).line
    digest = hashlib.sha256(line.encode()).hexdigest()
    assert stored == f"{line[:7800]}… [16005 bytes, sha256:{digest}]"
    assert last("command.refused").data["line"] == stored


def test_no_cut_leaves_a_part_of_a_private_key(world, used, opened):
    key = f"-----BEGIN PRIVATE KEY-----\n{'A' * 64}\n{'B' * 64}\n-----END PRIVATE KEY-----"
    for before in range(7600, 7800, 20):
        tried = run(used, opened, f"{'x' * before}{key}{'y' * 8000}", now=world.now)
        assert not re.search("AAA|BBB", row(tried).line)


def test_what_no_approver_could_read_whole_is_not_held(world):
    free = "".join(f"{name}: {{pattern: 'x*'}}, " for name in "abc")
    long = world.catalog["command-sets/restart-web.yaml"].replace(
        "run: echo stop {unit}", f"run: echo stop {{unit}} {{a}} {{b}} {{c}}\n    where: {{{free}}}"
    )
    accepted = "".join(f"  free_text commands[2].where.{name}: x\n" for name in "abc")
    change(world, {"command-sets/restart-web.yaml": f"{long}\naccept:\n{accepted}"})
    used = use(world.grant(), now=world.now)
    line = " ".join(["echo stop nginx", *["x" * 4000] * 3])
    tried = run(used, session(used, now=world.now), line, now=world.now)
    assert (tried.verdict, tried.decision.reason) == ("refused", "it is too long for an approver to read")


def test_a_decision_on_a_command_that_the_grant_does_not_have_runs_nothing(world, used, opened):
    of_another = replace(decide(used.compiled, "echo restart nginx"), index=99)
    with pytest.raises(NotDecidedHere):
        try_command(use=used, session=opened, line="echo restart nginx", decision=of_another, now=world.now)
    assert not CommandRun.objects.exists()


def test_a_held_command_waits_and_approvers_are_told(world, used, opened):
    tried = run(used, opened, "echo stop nginx", now=world.now)
    assert (tried.verdict, tried.deadline) == ("held", None)
    assert (row(tried).state, row(tried).hold_lapses_at) == (RunState.HELD, after(world, minutes=5))
    told = set(Notice.objects.filter(event="command.held").values_list("identity__username", flat=True))
    assert told == {"bob", "dora"}
    assert not Lease.objects.exists()


def test_a_hold_never_waits_past_the_deadline(world, used, opened):
    tried = run(used, opened, "echo stop nginx", now=after(world, minutes=58))
    assert row(tried).hold_lapses_at == used.expires_at


def test_after_the_end_nothing_is_tried_and_nothing_recorded_as_tried(world, used, opened):
    end_grant(grant_id=used.grant_id, actor=None, reason=EndReason.REVOKED, now=world.now, cut=False)
    for line in ("echo restart nginx", "sleep 5 nightly", "echo stop nginx", "id"):
        with pytest.raises(GrantIsOver):
            run(used, opened, line, now=world.now)
    assert not CommandRun.objects.exists()


def test_at_the_deadline_nothing_new_starts_not_even_what_may_finish(world, used, opened):
    with pytest.raises(GrantIsOver):
        run(used, opened, "sleep 5 nightly", now=used.expires_at)


def test_a_session_that_was_closed_runs_nothing(world, used, opened):
    """A gateway that slept while its sessions were closed for it would start what no end waits for."""
    close_session(session_id=opened, reason="gateway lost", now=world.now)
    for line in ("echo restart nginx", "echo stop nginx"):
        with pytest.raises(GrantIsOver):
            run(used, opened, line, now=world.now)
    assert not Lease.objects.exists()


def test_a_session_of_another_grant_or_target_runs_nothing(world, used, opened):
    other = use(world.grant(), now=world.now)
    elsewhere = use(world.grant(), "web-2", now=world.now)
    for wrong in (other, elsewhere):
        with pytest.raises(GrantIsOver):
            run(wrong, opened, now=world.now)
    with pytest.raises(GrantIsOver):
        run(used, 0, now=world.now)


def test_an_extended_grant_gives_the_new_deadline_although_the_use_is_old(world, used, opened):
    from sessions_app.operations.requests.extend_grant import extend_grant

    extend_grant(grant_id=used.grant_id, requester=world.alice, seconds=600, now=world.now)
    assert run(used, opened, now=after(world, minutes=65)).deadline == after(world, minutes=70)


def test_an_end_and_a_command_at_once_leave_no_command_that_the_end_does_not_see(live_world):
    for _ in range(6):
        grant = live_world.grant()
        used = use(grant, now=live_world.now)
        opened = session(used, now=live_world.now)
        tried, ended = at_once(
            lambda used=used, opened=opened: run(used, opened, now=live_world.now),
            lambda grant=grant: end_grant(
                grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=live_world.now
            ),
        )
        assert ended.state == "revoking"
        assert isinstance(tried, GrantIsOver) or grant.leases.exists()
        order = events(grant.ref)
        if "command.allowed" in order:
            assert order.index("command.allowed") < order.index("grant.revoking")
    assert intact()


def test_closing_a_session_and_a_command_in_it_at_once_leave_no_command_unfinished(
    live_world, owner_connection
):
    grant = live_world.grant()
    used = use(grant, now=live_world.now)
    opened = session(used, now=live_world.now)
    with transaction.atomic():
        close_session(session_id=opened, reason="gateway lost", now=live_world.now)
        typed = Started(lambda: run(used, opened, now=live_world.now))
        wait_for_waiters(owner_connection, 1)
    assert isinstance(typed.result(), GrantIsOver)
    assert not CommandRun.objects.filter(state=RunState.RUNNING).exists()


def test_a_refused_first_line_does_not_wait_for_an_end_above_that_waits_for_it(live_world, owner_connection):
    from sessions_app.operations.grants.delegate_grant import Part, delegate_grant
    from sessions_app.operations.grants.provision_grant import provision_grant

    change(live_world, policy(live_world, delegation={"depth": 1, "to": {"identities": ["deployer"]}}))
    grant, now = live_world.grant(), live_world.now
    part = Part(identity="deployer", command_set="restart-web", parameters={})
    made = delegate_grant(grant_id=grant.pk, actor=live_world.alice, part=part, now=now)
    used = use(provision_grant(grant_id=made.pk, now=now), now=now)
    node = renew_gateway(name="gateway-1", version="1", now=now).id
    opening = Opening(gateway_id=node, client_address="192.0.2.1", proof="SHA256:key")
    with transaction.atomic():
        Grant.objects.select_for_update().get(pk=grant.pk)
        worker = Started(lambda: run(used, opening, "id", now=now))
        wait_for_waiters(owner_connection, 1)
        end_grant(grant_id=grant.pk, actor=live_world.bob, reason=EndReason.REVOKED, now=now)
    assert isinstance(worker.result(), GrantIsOver)
