"""Everything that is due, whatever messages were lost."""

import datetime as dt

import pytest
from django.db import OperationalError, connection

from broker.kernel import clock
from sessions_app.models import (
    Cluster,
    EndReason,
    Grant,
    GrantState,
    Notice,
    RequestState,
    Sweeper,
    Workflow,
    WorkflowSource,
)
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.requests.decide_request import AlreadyDecided
from sessions_app.operations.sweep.sweep import end_baseless, sweep
from sessions_app.operations.workflows.close_workflow import close_workflow
from sessions_app.queries.grants.current import next_due, overdue, to_revoke_now
from tests.support.world.acts import after, at_once, change, events, intact, last, policy, run, session, use
from tests.support.world.sources import SOURCE, is_open, speaking_for


def swept(now: dt.datetime, **more):
    return sweep(now=lambda: now, name="test", **more)


def test_what_is_due_ends_and_each_end_is_recorded(world):
    grants = [world.grant(), world.grant(), world.grant(duration=7200)]
    report = swept(after(world, hours=1))
    assert report.ended == 2
    assert report.revocations
    assert set(to_revoke_now(after(world, hours=1))) == {grants[0].pk, grants[1].pk}
    for grant in grants[:2]:
        grant.refresh_from_db()
        assert (grant.state, grant.end_reason, grant.revoking_at) == (
            "revoking",
            "expired",
            after(world, hours=1),
        )
        entry = last("grant.revoking", grant.ref)
        assert (entry.actor, entry.data["reason"]) == ("system:sweep", "expired")
    grants[2].refresh_from_db()
    assert grants[2].state == GrantState.ACTIVE
    assert intact()


def test_a_late_sweep_lets_nothing_finish_later_than_approvers_saw(world):
    grant = world.grant()
    swept(after(world, hours=1, minutes=3))
    grant.refresh_from_db()
    assert grant.finish_until == after(world, hours=1, minutes=5)


def test_more_than_a_batch_is_ended_in_one_sweep(world):
    for _ in range(5):
        world.grant()
    assert swept(after(world, hours=1), limit=2).ended == 5


def test_many_that_wait_for_one_host_hide_none_at_another(world):
    grants = [world.grant() for _ in range(5)]
    for grant in grants:
        at = use(grant, "web-2" if grant is grants[-1] else "web-1", now=world.now)
        run(at, session(at, now=world.now), now=world.now)
    assert swept(after(world, hours=1)).ended == 5
    assert to_revoke_now(after(world, hours=1), 3) == (grants[0].pk, grants[4].pk, grants[1].pk)


def test_swept_again_nothing_happens_twice(world):
    grant = world.grant()
    swept(after(world, hours=1))
    before = events()
    report = swept(after(world, hours=1))
    assert (report.ended, report.revocations) == (0, True)
    assert to_revoke_now(after(world, hours=1)) == (grant.pk,)
    assert events() == before


def test_an_idle_sweep_writes_nothing(world):
    Notice.objects.all().delete()
    before = events()
    report = swept(after(world, seconds=1))
    assert report.idle
    assert events() == before
    assert Sweeper.objects.get().seen_at == world.now


def test_a_start_whose_message_was_lost_is_found(world):
    grant = world.grant(start=False, starts_at=after(world, hours=1))
    assert swept(after(world, minutes=59)).started == 0
    assert swept(after(world, hours=1)).started == 1
    grant.refresh_from_db()
    assert grant.state == GrantState.ACTIVE


def test_a_start_that_a_dead_process_left_half_way_is_finished(world):
    from sessions_app.operations.grants.transition import transition
    from tests.support.world.world import SETUP

    grant = world.grant(start=False)
    transition(grant=grant, to=GrantState.PROVISIONING, actor=SETUP, now=world.now)
    swept(after(world, seconds=31))
    grant.refresh_from_db()
    assert grant.state == GrantState.ACTIVE


def test_what_was_never_started_in_its_time_ends_and_never_starts(world):
    grant = world.grant(start=False)
    swept(after(world, hours=1))
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == (GrantState.REVOKING, "expired")
    assert "grant.active" not in events(grant.ref)


def test_a_request_that_nobody_decided_lapses_and_its_asker_is_told(world):
    request = world.request()
    assert swept(after(world, hours=23)).lapsed == 0
    assert swept(after(world, hours=24)).lapsed == 1
    request.refresh_from_db()
    assert request.state == RequestState.LAPSED
    assert last("request.lapsed", request.ref).actor == "system:sweep"
    assert Notice.objects.filter(event="request.lapsed", identity=world.alice).exists()


def test_an_unreadable_row_delays_no_end(world):
    from sessions_app.models import AccessPolicy

    grants = [world.grant(), world.grant()]
    waiting = world.grant(start=False, starts_at=after(world, minutes=30))
    AccessPolicy.objects.update(document={})
    report = swept(after(world, hours=1))
    assert report.ended == 2
    assert list(report.failed) == [waiting.ref]
    for grant in grants:
        grant.refresh_from_db()
        assert grant.state == GrantState.REVOKING


def test_the_next_due_moment_is_known_and_may_be_in_the_past(world):
    Notice.objects.all().delete()
    assert next_due() is None
    request = world.request()
    assert next_due() == request.lapses_at
    grant = world.grant()
    assert next_due() == grant.expires_at
    world.grant(start=False, starts_at=after(world, minutes=5))
    assert next_due() == after(world, minutes=5)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    assert next_due() == world.now


def test_for_how_long_a_revoke_has_been_overdue_is_known(world):
    assert overdue(world.now) == (0, 0.0)
    end_grant(grant_id=world.grant().pk, actor=None, reason=EndReason.REVOKED, now=world.now)
    assert overdue(after(world, seconds=5)) == (1, 5.0)


@pytest.mark.parametrize(
    ("gone", "reason"),
    [
        ("holder", "identity_disabled"),
        ("owner", "identity_disabled"),
        ("cluster", "cluster_removed"),
        ("policy", "policy_changed"),
        ("command_set", "policy_changed"),
    ],
)
def test_the_net_below_ends_what_has_lost_its_ground(world, gone, reason):
    from sessions_app.models import AccessPolicy, Cluster, CommandSet
    from sessions_app.operations.grants.provision_grant import provision_grant

    world.decide(world.request(world.robot if gone == "owner" else world.alice))
    grant = provision_grant(grant_id=Grant.objects.get().pk, now=world.now)
    assert end_baseless(now=world.now) == 0
    if gone in ("holder", "owner"):
        type(world.alice).objects.filter(pk=world.alice.pk).update(is_active=False)
    else:
        model = {"cluster": Cluster, "policy": AccessPolicy, "command_set": CommandSet}[gone]
        model.objects.update(removed_at=world.now)
    assert end_baseless(now=world.now) == 1
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == (GrantState.REVOKING, reason)
    assert end_baseless(now=world.now) == 0


def test_the_net_below_closes_the_sessions_of_gateways_that_are_gone(world):
    grant = world.grant()
    opened = session(use(grant, now=world.now), now=world.now)
    end_baseless(now=after(world, seconds=13))
    assert grant.sessions.get(pk=opened).close_reason == "gateway lost"


def test_two_sweepers_at_once_do_each_thing_once(live_world):
    grants = [live_world.grant() for _ in range(6)]
    starting = live_world.grant(start=False, starts_at=after(live_world, minutes=30), duration=7200)
    request = live_world.request(starts_at=after(live_world, minutes=10), duration=600)
    due = after(live_world, hours=1)
    reports = at_once(
        *[
            lambda: sweep(now=lambda: due, name="a", limit=2),
            lambda: sweep(now=lambda: due, name="b", limit=2),
        ]
        * 2
    )
    assert not [report for report in reports if isinstance(report, Exception)], reports
    # What one of them had to leave because another held it, or kept aside for the record, is for the next.
    late = due + dt.timedelta(seconds=31)
    reports.append(sweep(now=lambda: late, name="a"))
    assert sum(report.ended for report in reports) == len(grants)
    for grant in grants:
        assert events(grant.ref).count("grant.revoking") == 1
    assert events(starting.ref).count("grant.active") == 1
    assert events(request.ref).count("request.lapsed") == 1
    assert intact()


def test_a_sweep_and_a_change_of_the_catalog_at_once_both_come_through(live_world):
    for _ in range(4):
        live_world.grant()
    files = policy(live_world, max_duration="30m")
    results = at_once(
        lambda: sweep(now=lambda: after(live_world, hours=1), name="a"), lambda: change(live_world, files)
    )
    assert not [result for result in results if isinstance(result, Exception)], results
    assert set(Grant.objects.values_list("state", flat=True)) == {GrantState.REVOKING}


def test_housekeeping_that_fails_keeps_no_end_from_being_carried_out(live_world, owner_connection):
    grant = live_world.grant(now=clock.now())
    live_world.request(now=clock.now())
    # Requests can't be lapsed: as if a row or the disk refused.
    owner_connection.execute("REVOKE UPDATE ON sessions_app_accessrequest FROM stint_app")
    late = clock.now() + dt.timedelta(days=2)
    report = sweep(now=lambda: late, name="test")
    assert report.ended == 1
    assert to_revoke_now(late) == (grant.pk,)
    assert "lapses" in report.failed


def test_a_sweep_that_loses_the_database_says_so_once(live_world, caplog):
    def lost(execute, sql, params, many, context):
        if "sessions_app_workflow" in sql:
            sql, params = "SELECT pg_terminate_backend(pg_backend_pid())", ()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(lost), pytest.raises(OperationalError):
        end_baseless(now=clock.now())
    assert [one.msg for one in caplog.records] == []


def test_a_kind_that_nothing_serves_any_more_ends_what_was_granted_on_it(world):
    grant = world.grant()
    Cluster.objects.update(kind="telepathy")
    assert end_baseless(now=world.now) == 1
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == (GrantState.REVOKING, EndReason.CLUSTER_REMOVED)


# Requests whose work is over


def test_a_request_waits_no_longer_than_its_change(world):
    planned = world.workflow("change")
    request = world.request(workflow=planned.ref)
    assert request.lapses_at == planned.ends_at
    late = after(world, hours=2)
    with pytest.raises(AlreadyDecided, match="expired"):
        world.decide(request, now=late)
    Notice.objects.all().delete()
    sweep(now=lambda: late, name="test")
    request.refresh_from_db()
    assert (request.state, request.decided_at) == ("lapsed", late)
    over = f"{request.ref} expired: the planned time of {planned.ref} has passed"
    told = Notice.objects.filter(subject=over).values_list("identity__username", flat=True)
    assert set(told) == {"alice", "bob", "dora"}


def test_a_request_for_work_whose_planned_time_is_shorter_by_now_lapses_with_it(world):
    planned = world.workflow("change")
    request = world.request(workflow=planned.ref)
    Workflow.objects.filter(pk=planned.pk).update(ends_at=after(world, minutes=30))
    assert end_baseless(now=after(world, minutes=29)) == 0
    request.refresh_from_db()
    assert request.state == "pending"
    with pytest.raises(AlreadyDecided, match=f"the planned time of {planned.ref} has passed"):
        world.decide(request, now=after(world, minutes=31))
    end_baseless(now=after(world, minutes=31))
    request.refresh_from_db()
    assert request.state == "lapsed"
    assert last("request.lapsed", request.ref).data == {"closed": planned.ref}


def test_a_request_for_work_of_a_source_that_is_gone_lapses(world):
    with speaking_for() as adapter:
        adapter.workflows["Q1"] = is_open()
        world.apply({"workflow-sources/pager.yaml": SOURCE})
        request = world.request(workflow="pager:Q1")
        WorkflowSource.objects.update(removed_at=world.now)
        with pytest.raises(AlreadyDecided, match="source of pager:Q1 was removed"):
            world.decide(request)
        end_baseless(now=after(world, seconds=1))
        request.refresh_from_db()
        assert request.state == "lapsed"


def test_a_request_that_nobody_decided_says_so_also_when_its_work_is_closed_later(world):
    ticket = world.workflow("ticket")
    request = world.request(workflow=ticket.ref)
    sweep(now=lambda: after(world, days=2), name="test")
    close_workflow(workflow_id=ticket.pk, actor=world.bob, now=after(world, days=3))
    request.refresh_from_db()
    assert (request.state, "lapsed_at" in last("request.lapsed", request.ref).data) == ("lapsed", True)
