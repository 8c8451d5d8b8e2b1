"""/grants and /runs"""

import datetime as dt

import pytest

from sessions_app.models import CommandRun, Grant
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.sessions.hold_commit import hold_commit
from tests.sessions_app.operations.sessions.test_hold_commit import content
from tests.support.world.acts import change, enter, held_upload, policy, run, undo
from tests.support.world.budget_site import Holder, budget_files
from tests.support.world.mcp_site import add_desk


@pytest.fixture
def grant(world):
    return world.grant()


@pytest.fixture
def held(world, grant):
    used, opened = enter(grant, now=world.now)
    run(used, opened, "echo restart nginx", now=world.now)
    run(used, opened, "echo restart sshd", now=world.now)
    return run(used, opened, "echo stop nginx", now=world.now).run_id


def refs(caller, query: str = "") -> list[str]:
    answer = caller.get(f"/grants{query}")
    assert answer.status_code == 200, answer.body
    return [row["ref"] for row in answer.body["results"]]


# Seeing


def test_budgets_are_part_of_a_grant_and_of_its_receipt(api, world):
    add_desk(world, 9000, budget_files({"calls": 2}))
    holder = Holder(world)
    holder.spend(1)
    for place in ("", "/receipt"):
        (budget,) = api("alice").get(f"/grants/{holder.grant.ref}{place}").body["budgets"]
        assert (budget["used"], budget["most"], budget["then"]) == ("1", "2", "hold")


def test_a_grant_says_what_it_allows_and_how_to_use_it(api, grant):
    shown = api("alice").get(f"/grants/{grant.ref}").body
    assert (shown["state"], shown["holder"], shown["request"]) == ("active", "alice", grant.request.ref)
    assert [command["hold"] for command in shown["commands"]] == [False, False, True, False, False]
    assert shown["finish_seconds"] == 300
    assert shown["connect"] == [f"ssh -p 2222 {grant.ref}.web-{n}@127.0.0.1" for n in (1, 2)]
    assert "mark" not in shown
    assert grant.mark not in str(shown)


def test_lists_are_filtered_by_the_same_rule_and_narrowed_by_filters(api, world, grant):
    world.decide(world.request(world.robot))
    ours = Grant.objects.get(holder=world.robot).ref
    assert refs(api("alice")) == refs(api("bob")) == refs(api("admin")) == [ours, grant.ref]
    assert refs(api("charlie")) == []
    assert refs(api("robot")) == [ours]
    assert refs(api("bob"), "?state=active") == [grant.ref]
    assert refs(api("bob"), "?state=scheduled") == [ours]
    assert refs(api("bob"), "?holder=robot") == [ours]
    assert refs(api("bob"), "?cluster=db") == []
    assert refs(api("alice"), "?mine=true") == [grant.ref]
    assert refs(api("robot"), "?endable=true") == [ours]
    api("alice").post(f"/grants/{ours}/end")
    assert refs(api("alice"), "?endable=true") == [grant.ref]


def test_what_a_held_transaction_would_change_is_shown_to_approvers_alone(api, world, grant):
    used, opened = enter(grant, now=world.now)
    tried = run(used, opened, now=world.now)
    plain = run(used, opened, now=world.now).run_id
    lasts = dt.timedelta(minutes=1)
    about = {"use": used, "decision": tried.decision, "content": content(3), "lasts": lasts, "now": world.now}
    hold_commit(run_ids=[tried.run_id], **about)
    (statement,) = api("bob").get(f"/runs/{tried.run_id}/commit").body["statements"]
    assert (statement["touched"], statement["rows"][0][1]) == (
        3,
        {"column": "note", "before": None, "after": "Personal data", "state": "changed"},
    )
    assert api("bob").get("/runs?state=held").body["results"][0]["touched"] == 3
    assert api("bob").get(f"/runs/{plain}/commit").status_code == 404
    assert api("alice").get(f"/runs/{tried.run_id}/commit").status_code == 404


def test_what_a_held_upload_contains_is_shown_to_approvers_alone(api, world, grant):
    held = held_upload(grant, "port = 8080", now=world.now)
    shown = {"path": "/srv/app/app.conf", "size": 11, "sha256": "a" * 64, "text": "port = 8080"}
    assert api("bob").get(f"/runs/{held}/file").body == {"run": held, **shown}
    assert api("alice").get(f"/runs/{held}/file").status_code == 404


def test_sessions_and_runs_of_a_grant_are_listed(api, grant, held):
    (opened,) = api("bob").get(f"/grants/{grant.ref}/sessions").body["results"]
    assert (opened["target"], opened["gateway"], opened["closed_at"]) == ("web-1", "gateway-1", None)
    runs = api("bob").get(f"/grants/{grant.ref}/runs").body["results"]
    assert [(row["line"], row["state"]) for row in runs] == [
        ("echo stop nginx", "held"),
        ("echo restart sshd", "refused"),
        ("echo restart nginx", "running"),
    ]
    assert "sshd" in runs[1]["reason"]
    refused = api("bob").get(f"/grants/{grant.ref}/runs?state=refused").body["results"]
    assert [row["line"] for row in refused] == ["echo restart sshd"]


def test_the_receipt_says_what_was_approved_run_refused_and_checked(api, world, grant, held, fake_targets):
    receipt = api("bob").get(f"/grants/{grant.ref}/receipt").body
    assert receipt["ended"] is None
    assert [row["approver"] for row in receipt["approved"]["by"]] == ["bob"]
    assert [row["command"] for row in receipt["run"]] == ["echo restart nginx"]
    assert [row["command"] for row in receipt["refused"]] == ["echo restart sshd"]
    api("alice").post(f"/grants/{grant.ref}/end", {"note": "Done"})
    ended = api("alice").get(f"/grants/{grant.ref}/receipt").body["ended"]
    assert [ended[name] for name in ("reason", "note", "by", "proven_at")] == [
        "released",
        "Done",
        "alice",
        None,
    ]


# Ending


@pytest.mark.parametrize(("who", "reason"), [("alice", "released"), ("bob", "revoked"), ("admin", "revoked")])
def test_its_holder_approvers_and_administrators_end_it(api, grant, who, reason):
    answer = api(who).post(f"/grants/{grant.ref}/end", {"note": "Enough", "kill": True})
    assert answer.status_code == 200, answer.body
    told = [answer.body[name] for name in ("state", "end_reason", "ended_by", "end_note")]
    assert told == ["revoking", reason, who, "Enough"]
    again = api(who).post(f"/grants/{grant.ref}/end")
    assert (again.status_code, again.body["end_reason"]) == (200, reason)


# Extending


def test_its_holder_extends_it_within_the_policy(api, world, grant):
    answer = api("alice").post(f"/grants/{grant.ref}/extend", {"duration": "30m", "reason": "Slow"})
    assert (answer.status_code, answer.body["state"], answer.body["extends"]) == (201, "approved", grant.ref)
    later = Grant.objects.get(pk=grant.pk).expires_at
    assert (later - grant.expires_at).total_seconds() == 1800
    refused = api("alice").post(f"/grants/{grant.ref}/extend", {"duration": "2h"})
    assert (refused.status_code, refused.body["code"]) == (403, "may_not_extend")


# Broken glass


def test_an_approver_reviews_broken_glass_once(api, world):
    request = world.request(kind="break_glass", reason="The site is down")
    broken_glass = provision_grant(grant_id=request.grant.pk, now=world.now)
    path = f"/grants/{broken_glass.ref}/review"
    assert api("bob").post(path, {"note": "Too early"}).body["code"] == "still_in_use"
    api("alice").post(f"/grants/{broken_glass.ref}/end")
    assert api("bob").post(path, {"note": ""}).status_code == 400
    answer = api("bob").post(path, {"note": "It was needed"})
    assert answer.status_code == 200, answer.body
    assert (answer.body["reviewed_by"], answer.body["review_note"]) == ("bob", "It was needed")
    assert api("dora").post(path, {"note": "Me too"}).body["code"] == "already_decided"


# Held commands


def test_held_commands_are_found_and_let_through_by_a_second_person(api, held):
    (waiting,) = api("bob").get("/runs?state=held").body["results"]
    assert (waiting["id"], waiting["holder"], waiting["argv"]) == (held, "alice", ["echo", "stop", "nginx"])
    answer = api("bob").post(f"/runs/{held}/decision", {"allow": True})
    assert (answer.status_code, answer.body["decided_by"]) == (200, "bob")
    again = api("dora").post(f"/runs/{held}/decision", {"allow": False})
    assert (again.status_code, again.body["code"]) == (409, "already_decided")


def test_a_held_command_is_allowed_several_times(api, held):
    answer = api("bob").post(f"/runs/{held}/decision", {"allow": True, "times": 4})
    assert (answer.body["allowed_times"], answer.body["uses_left"]) == (4, 4)


@pytest.mark.parametrize(
    "body", [{}, {"allow": True, "times": 51}, {"allow": "true"}, {"allow": 1}, {"allow": None}]
)
def test_a_decision_is_yes_or_no(api, held, body):
    assert api("bob").post(f"/runs/{held}/decision", body).status_code == 400
    assert CommandRun.objects.get(pk=held).decided_at is None


@pytest.fixture
def two_held(grant, world):
    used, opened = enter(grant, now=world.now)
    return [run(used, opened, "echo stop nginx", now=world.now).run_id for _ in range(2)]


def read_by(caller):
    rows = caller.get("/holds").body["results"]
    return [{"run": row["id"], "digest": row["digest"]} for row in rows]


def test_commands_that_wait_alike_are_listed_for_who_can_decide_them_and_decided_together(api, two_held):
    first, second = two_held
    assert [row["alike"] for row in api("bob").get("/holds").body["results"]] == [[second], [first]]
    assert read_by(api("alice")) == []
    holds = read_by(api("bob"))
    CommandRun.objects.filter(pk=first).update(state="withdrawn")
    answer = api("bob").post("/holds/decision", {"allow": True, "holds": holds})
    assert (answer.status_code, answer.body["decided"]) == (200, 1)
    assert [(one["run"], one["outcome"], one["code"]) for one in answer.body["results"]] == [
        (first, "not_decided", "already_decided"),
        (second, "allowed", ""),
    ]
    assert CommandRun.objects.get(pk=second).decided_by.username == "bob"


@pytest.mark.parametrize(
    "holds", [[], [{"run": 1}], [{"run": 1, "digest": ""}], [{"run": 1, "digest": "0" * 64}] * 2]
)
def test_commands_are_decided_together_only_by_their_runs_and_digests(api, holds):
    assert api("bob").post("/holds/decision", {"allow": True, "holds": holds}).status_code == 400


def test_what_was_read_before_is_not_kept_for_commands_over_ssh(api, held):
    assert api("bob").get(f"/runs/{held}/earlier").status_code == 404


# Kinds of cluster on which something is made beforehand


@pytest.fixture
def made(world, making):
    return prepare_grant(grant_id=world.grant().pk, now=lambda: world.now)


def test_the_holder_gets_a_credential_that_is_kept_nowhere(api, made):
    answer = api("alice").post(f"/grants/{made.ref}/credential", {"target": "web-1"})
    assert (answer.status_code, answer.body["values"]) == (200, {"password": f"key-to-{made.ref}"})
    assert answer["Cache-Control"] == "no-store"
    assert api("alice").get(f"/grants/{made.ref}").body["connect"] == []


def test_a_silent_target_is_asked_again_by_who_may_end_the_grant(api, world, made, making):
    making.down = {"web-1"}
    api("alice").post(f"/grants/{made.ref}/end", {})
    undo(made, now=world.now)
    assert api("alice").post(f"/grants/{made.ref}/retry").body["state"] == "revoking"


def test_a_held_grant_is_let_go_on_by_an_approver(api, world):
    change(world, policy(world, deviations={"limit": 1}))
    grant = world.grant()
    run(*enter(grant, now=world.now), "echo restart sshd", now=world.now)
    assert api("alice").get(f"/grants/{grant.ref}").body["held_at"]
    assert api("alice").post(f"/grants/{grant.ref}/release", {}).status_code == 403
    assert api("bob").post(f"/grants/{grant.ref}/release", {"note": "A mistake"}).body["held_at"] is None


# Heartbeat and delegation


def test_a_holder_is_heard_and_told_by_when_to_be_heard_again(api, world):
    change(world, policy(world, heartbeat="30s"))
    grant = world.grant()
    shown = api("alice").get(f"/grants/{grant.ref}").body
    assert (shown["heartbeat_seconds"], shown["parent"]) == (30, None)
    heard = api("alice").post(f"/grants/{grant.ref}/heartbeat")
    assert (heard.status_code, heard.body["ref"]) == (200, grant.ref)
    assert heard.body["heartbeat_due_at"] >= shown["heartbeat_due_at"]
    assert api("bob").post(f"/grants/{grant.ref}/heartbeat").status_code == 403


def test_a_part_of_a_grant_is_handed_on_and_no_more_than_it_is(api, world):
    change(world, policy(world, delegation={"to": {"identities": ["deployer"]}}))
    grant = world.grant()
    part = {"identity": "deployer", "command_set": "restart-web", "targets": ["web-1"], "duration": "10m"}
    made = api("alice").post(f"/grants/{grant.ref}/delegate", part)
    assert made.status_code == 201, made.body
    assert [made.body[name] for name in ("parent", "holder", "targets")] == [grant.ref, "deployer", ["web-1"]]
    assert made.headers["Location"] == f"/api/v1/grants/{made.body['ref']}"
    wider = api("alice").post(f"/grants/{grant.ref}/delegate", {**part, "parameters": {"unit": "haproxy"}})
    assert (wider.status_code, wider.body["code"]) == (422, "not_within")
    assert api("bob").post(f"/grants/{grant.ref}/delegate", part).status_code == 403


# Suspending


def test_an_approver_suspends_it_and_it_is_resumed(api, grant):
    answer = api("bob").post(f"/grants/{grant.ref}/suspend", {"note": "Wrong host"})
    assert (answer.status_code, answer.body["held_by"], answer.body["held_note"]) == (
        200,
        "bob",
        "Wrong host",
    )
    assert api("bob").post(f"/grants/{grant.ref}/suspend").body["code"] == "already_suspended"
    assert api("alice").post(f"/grants/{grant.ref}/release").status_code == 403
    resumed = api("dora").post(f"/grants/{grant.ref}/release", {"note": "The right one"})
    assert (resumed.status_code, resumed.body["held_at"]) == (200, None)
