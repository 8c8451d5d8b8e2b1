"""A grant or token that ends between its check and the record: the request is refused and recorded."""

import datetime as dt

import pytest
from django.db import transaction

from broker.kernel import clock
from broker.kernel.crypto import token_digest
from sessions_app.models import CommandRun, EndReason, GrantCredential, RunState
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.issue_http_token import issue_http_token
from sessions_app.operations.grants.revoke_http_token import revoke_http_token
from sessions_app.operations.sessions.record_refused_request import record_refused_request
from tests.support.pace import allow
from tests.support.waits import eventually
from tests.support.world.acts import Started, last, wait_for_waiters
from tests.support.world.api_site import FILES, add_site, grant_on_site, token_of, use_of

CHANGES = "POST /tickets/T-42/reopen"
READS = "GET /tickets/T-42/comments?page=2"


@pytest.fixture
def world(live_world):
    return live_world


@pytest.fixture
def used(endpoint, token):
    """The token of a grant that is in use."""
    assert endpoint.nginx(token).status == 200
    return token


def end(site, token):
    end_grant(grant_id=use_of(token).grant_id, actor=site.alice, reason=EndReason.REVOKED, now=clock.now())


def revoke(site, token):
    revoke_http_token(text=token, now=clock.now())


def replace(site, token):
    issue_http_token(grant_id=use_of(token).grant_id, actor=site.alice, now=clock.now())


def hold(site, token):
    use = use_of(token)
    record_refused_request(
        use=use, session_id=use.session_id, line="GET /x", reason="no", code="path", now=clock.now()
    )


MEANWHILE = {end: (401, "over"), revoke: (401, "over"), replace: (401, "over"), hold: (403, "held")}


def runs(*states):
    return CommandRun.objects.filter(state__in=states).exclude(
        line__in=["GET /tickets/T-42", "GET /tickets/T-7", "GET /x"]
    )


@pytest.mark.parametrize("line", [CHANGES, READS])
@pytest.mark.parametrize(
    ("meanwhile", "answer"), MEANWHILE.items(), ids=lambda one: getattr(one, "__name__", "")
)
def test_a_request_that_finds_its_access_over_is_not_passed(
    endpoint, site, grant, used, owner_connection, meanwhile, answer, line
):
    if meanwhile is hold:
        terms = FILES["policies/ticket-work.yaml"] + "deviations: {limit: 1, people: hold}\n"
        add_site(site, {"policies/ticket-work.yaml": terms})
    with transaction.atomic():
        meanwhile(site, used)
        asked = Started(lambda: endpoint.nginx(used, line))
        wait_for_waiters(owner_connection, 1)
    assert asked.result().status == answer[0]
    assert not runs(RunState.DONE)
    said = last("command.refused", grant.ref).data
    assert (said["line"], said["code"]) == (line, answer[1])


def wait_until_past(owner, moment: dt.datetime) -> None:
    """Wait until a moment is past by the database's clock: a late response sets this process's
    clock ahead.
    """
    ask = "SELECT clock_timestamp() > %s"
    eventually(lambda: owner.execute(ask, [moment]).fetchone() == (True,), within=60)


@pytest.mark.parametrize("line", [CHANGES, READS])
@pytest.mark.timing
def test_a_request_that_waits_for_the_record_until_its_token_has_expired_is_not_passed(
    endpoint, used, owner_connection, line
):
    until = clock.now() + dt.timedelta(seconds=allow(3))
    GrantCredential.objects.update(expires_at=until)
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        asked = Started(lambda: endpoint.nginx(used, line))
        wait_for_waiters(owner_connection, 1)
        assert clock.now() < until
        wait_until_past(owner_connection, until)
    assert asked.result().status == 401
    assert not runs(RunState.DONE)


@pytest.mark.timing
def test_a_read_whose_token_has_expired_leaves_those_that_are_written_with_it_alone(
    endpoint, site, used, owner_connection
):
    other = token_of(grant_on_site(site, ticket="T-7"), site)
    assert endpoint.nginx(other, "GET /tickets/T-7").status == 200
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        first = Started(lambda: endpoint.nginx(used, "GET /people/a"))
        wait_for_waiters(owner_connection, 1)
        until = clock.now() + dt.timedelta(seconds=allow(3))
        GrantCredential.objects.filter(digest=token_digest(other)).update(expires_at=until)
        expired = Started(lambda: endpoint.nginx(other, "GET /people/b"))
        beside = Started(lambda: endpoint.nginx(used, "GET /people/c"))
        eventually(lambda: len(endpoint.tally._first) == 3)
        wait_until_past(owner_connection, until)
    assert [one.result().status for one in (first, expired, beside)] == [200, 401, 200]
    assert sorted(run.line for run in runs(RunState.DONE)) == ["GET /people/a", "GET /people/c"]


@pytest.mark.parametrize("line", [CHANGES, READS])
def test_a_refusal_and_an_allowed_request_do_not_wait_for_each_other_in_a_circle(
    endpoint, used, owner_connection, line
):
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        allowed = Started(lambda: endpoint.nginx(used, line))
        wait_for_waiters(owner_connection, 1)
        refused = Started(lambda: endpoint.nginx(used, "GET /tickets/T-43"))
        wait_for_waiters(owner_connection, 2)
    assert (allowed.result().status, refused.result().status) == (200, 403)
    assert runs(RunState.DONE, RunState.REFUSED).count() == 2


def test_a_refusal_and_the_count_of_a_second_do_not_wait_for_each_other_in_a_circle(
    endpoint, used, owner_connection
):
    endpoint.nginx(used)
    with owner_connection.transaction():
        owner_connection.execute("SELECT FROM audit_head FOR UPDATE")
        counted = Started(endpoint.flush)
        wait_for_waiters(owner_connection, 1)
        refused = Started(lambda: endpoint.nginx(used, "GET /tickets/T-43"))
        wait_for_waiters(owner_connection, 2)
    assert (counted.result(), refused.result().status) == (None, 403)
    assert not endpoint.tally.refusing


def test_a_stream_of_requests_does_not_keep_an_end_waiting(endpoint, site, used):
    most = 500

    def ask() -> int:
        return next((number for number in range(most) if endpoint.nginx(used, CHANGES).status != 200), most)

    asking = [Started(ask) for _ in range(6)]
    eventually(lambda: runs(RunState.DONE).count() > 20)
    end(site, used)
    assert all(one.result() < most for one in asking), "it waited until nobody asked any more"
