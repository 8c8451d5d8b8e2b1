"""A transaction that waits at its COMMIT, for approvers and for others."""

import datetime as dt

import pytest

from broker.kernel import clock
from sessions_app.operations.sessions.hold_commit import hold_commit
from tests.sessions_app.operations.sessions.test_hold_commit import content
from tests.support.world.acts import run, session, use


@pytest.fixture
def held(grant):
    now = clock.now()
    used = use(grant, now=now)
    tried = run(used, session(used, now=now), now=now)
    hold_commit(
        use=used,
        run_ids=[tried.run_id],
        decision=tried.decision,
        content=content(30),
        lasts=dt.timedelta(minutes=1),
        now=now,
    )
    return tried.run_id


@pytest.mark.parametrize("path", ["/", "/approvals/", "/grants/{ref}/"])
def test_an_approver_sees_the_rows_before_and_after_wherever_they_decide(grant, held, as_bob, path):
    page = as_bob.get(path.format(ref=grant.ref)).content.decode()
    assert "<b>30 rows changed</b>, not committed yet. The rows stay locked until the decision." in page
    assert "<del>NULL</del>" in page
    assert "<ins>Personal data</ins>" in page
    assert "29 more rows, not shown." in page
    assert "Allow COMMIT</button>" in page


def test_the_holder_sees_the_statement_and_not_the_rows(grant, held, as_alice):
    page = as_alice.get(f"/grants/{grant.ref}/").content.decode()
    assert "echo restart nginx" in page
    assert "Personal data" not in page


def test_the_grant_keeps_showing_approvers_what_was_decided(grant, held, as_bob):
    as_bob.post(f"/grants/{grant.ref}/runs/{held}/decide/", {"verdict": "deny"})
    page = as_bob.get(f"/grants/{grant.ref}/").content.decode()
    assert "<b>30 rows changed</b>." in page
    assert "Personal data" in page
