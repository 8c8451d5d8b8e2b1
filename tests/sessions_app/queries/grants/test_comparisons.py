"""What was done with a grant, held against what was approved."""

from sessions_app.models import CommandRun, EndReason, Grant, RunState, Target
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.record_allowed_requests import AllowedRequests, record_allowed_requests
from sessions_app.policy.commands.kinds import decide
from sessions_app.queries.grants.comparisons import comparison, sentence
from tests.support.world.acts import after, enter, run, session, use
from tests.support.world.api_site import used


def worked(world, *lines: str, minutes: int = 12):
    """A grant in which lines were tried on one target, ended after so many minutes."""
    grant = world.grant()
    used, opened = enter(grant, now=world.now)
    for line in lines:
        tried = run(used, opened, line, now=world.now)
        if tried.verdict == "allowed":
            finish_run(run_id=tried.run_id, state="done", exit_status=0, now=world.now)
    end_grant(
        grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=after(world, minutes=minutes)
    )
    grant.refresh_from_db()
    return grant


def test_each_command_and_target_says_how_often_it_was_used(world):
    grant = worked(
        world, "echo restart nginx", "echo restart nginx", "sleep 5", "echo restart sshd", "id", "id"
    )
    found = comparison(grant, after(world, hours=2))
    assert {row["command"]: row["times"] for row in found["commands"]} == {
        "echo restart nginx": 2,
        "echo log nginx {lines}": 0,
        "echo stop nginx": 0,
        "sleep {seconds}": 1,
        "sleep {seconds} nightly": 0,
    }
    assert found["targets"] == [{"target": "web-1", "times": 3}, {"target": "web-2", "times": 0}]
    assert (found["approved_seconds"], found["used_seconds"]) == (3600, 720)
    assert [(row["command"], row["times"]) for row in found["refused"]] == [
        ("id", 2),
        ("echo restart sshd", 1),
    ]
    assert found["refused"][0]["why"]
    assert found["sentence"] == (
        "2 of 5 commands were used, on 1 of 2 targets, for 12 of 60 minutes; 3 commands were refused."
    )


def test_a_hold_that_nobody_allowed_is_refused_and_a_live_grant_counts_up_to_now(world):
    grant = world.grant()
    used = use(grant, now=world.now)
    run(used, session(used, now=world.now), "echo stop nginx", now=world.now)
    CommandRun.objects.update(state=RunState.HOLD_LAPSED, reason="not approved in time")
    found = comparison(grant, after(world, minutes=30))
    assert found["refused"][0]["why"] == "not approved in time"
    assert found["used_seconds"] == 1800


def test_what_approvers_took_out_is_not_held_against_its_holder(world):
    target = Target.objects.get(name="web-1")
    grant = world.decide(world.request(), narrowing={"commands": [0, 1], "targets": [target.pk]}).grant
    found = comparison(grant, world.now)
    assert len(found["commands"]) == 2
    assert [row["target"] for row in found["targets"]] == ["web-1"]


def test_requests_that_were_counted_together_count_as_many_and_denials_are_no_commands(world):
    use = used(world)
    together = AllowedRequests(
        use=use,
        session_id=use.session_id,
        decision=decide(use.compiled, "GET /tickets/T-42"),
        times=41,
        first_at=world.now,
        last_at=world.now,
    )
    record_allowed_requests(requests=[together], answered=True, now=world.now)
    found = comparison(Grant.objects.get(pk=use.grant_id), world.now)
    assert found["commands"][0]["times"] == 41
    assert found["targets"] == [{"target": "tickets-api", "times": 41}]
    assert not [row for row in found["commands"] if "DELETE" in row["command"]]


def test_where_the_target_enforces_it_is_not_said_which_command_was_used():
    assert sentence(commands=[None, None], targets=[3, 0], approved=3600, used=60, refused=None) == (
        "Activity was seen on 1 of 2 targets, for 1 of 60 minutes; refusals are not observed."
    )
    assert sentence(commands=[None], targets=[0, 0], approved=3600, used=60, refused=None) == (
        "No activity was seen on 2 targets, for 1 of 60 minutes; refusals are not observed."
    )
    assert sentence(commands=[1], targets=[1], approved=60, used=1, refused=1) == (
        "1 of 1 command was used, on 1 of 1 target, for 1 of 60 seconds; 1 command was refused."
    )


def test_where_the_target_tells_nothing_nothing_is_said_of_use():
    assert sentence(commands=[None], targets=[None], approved=3600, used=720, refused=None) == (
        "Access for 12 of 60 minutes. Stint does not observe commands or refusals on this kind of cluster."
    )
