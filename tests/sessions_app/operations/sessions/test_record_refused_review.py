"""What an API server was told that the account of a grant may not do is written down, in few entries."""

import datetime as dt

import pytest

from broker.audit.attempts import append_attempts
from sessions_app.models import CommandRun, Grant
from sessions_app.operations.sessions.record_refused_review import record_dead_account, record_refused_review
from tests.sessions_app.operations.test_kubernetes_grants import cluster, kube, started  # noqa: F401
from tests.support.world.acts import events, intact, last


@pytest.fixture
def grant(kube):  # noqa: F811
    return started(kube)


def refuse(grant, now, line="list secrets in namespace web"):
    record_refused_review(
        mark=grant.mark, cluster="prod", line=line, reason="nothing here allows it", code="right", now=now
    )


def test_it_is_the_holders_entry_and_no_run(grant, world):
    refuse(grant, world.now)
    entry = last("command.refused", grant.ref)
    assert entry.actor == "alice"
    assert entry.data == {
        "target": "prod",
        "line": "list secrets in namespace web",
        "why": "nothing here allows it",
        "code": "right",
        "proof": "account",
    }
    assert not CommandRun.objects.exists()
    assert Grant.objects.get(pk=grant.pk).held_at is None


def test_a_flood_of_questions_becomes_one_more_entry(grant, world):
    for _ in range(20):
        refuse(grant, world.now)
    append_attempts(world.now + dt.timedelta(minutes=2))
    assert events(grant.ref).count("command.refused") == 2
    assert last("command.refused", grant.ref).data["count"] == 20


@pytest.mark.parametrize("line", ["get /\0", "get /\udcff", "get /" + "x" * 20_000])
def test_it_is_kept_whatever_it_holds(grant, world, line):
    refuse(grant, world.now, line)
    assert last("command.refused", grant.ref).data["code"] == "right"
    assert intact()


def test_the_account_of_a_grant_that_is_over_is_written_down_with_the_reason(grant, world):
    Grant.objects.filter(pk=grant.pk).update(held_at=world.now)
    dead = record_dead_account(
        mark=grant.mark, clusters={grant.cluster_id: "prod"}, line="list pods", now=world.now
    )
    assert (dead.grant_ref, dead.reason) == (
        grant.ref,
        "the grant is suspended after too many refused commands",
    )
    assert last("command.refused", grant.ref).data["code"] == "over"
    later = record_dead_account(
        mark=grant.mark, clusters={grant.cluster_id: "prod"}, line="list pods", now=grant.expires_at
    )
    assert later.reason == "the grant has expired"


def test_an_account_of_nobody_is_not_written_down(grant, world):
    assert record_dead_account(mark="0" * 32, clusters={1: "prod"}, line="list pods", now=world.now) is None
    assert events(grant.ref).count("command.refused") == 0
