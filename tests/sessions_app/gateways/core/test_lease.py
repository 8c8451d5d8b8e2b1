"""The lease: each renewal reports what has ended, and after ten seconds without one everything is cut."""

import asyncio
import contextlib
import datetime as dt
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from django.db import InternalError, OperationalError

from accounts.models import SSHPublicKey
from broker.kernel import clock
from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.clock import LoopClock
from sessions_app.gateways.core.cutting import Enders
from sessions_app.gateways.core.database import NotTaken
from sessions_app.gateways.core.lease import LOST, GatewayLease, Known, Question
from sessions_app.gateways.core.listener import cancelled
from sessions_app.gateways.core.registry import NOT_HELD, Registry
from sessions_app.models import GatewayNode, Grant, GrantCredential, Session
from tests.support.waits import comes_true, happens
from tests.support.world.acts import revoke, session, use
from tests.support.world.holders import (
    START,
    Holder,
    Told,
    holder_of,
    metric,
    passes,
    session_of,
    settle,
    use_of_grant,
)

NAME = "gateway-1"
LEASE_LOST = "stint_gateway_lease_lost_total"
HOUR = dt.timedelta(hours=1)
GONE = OperationalError("the database is gone")


@dataclass
class Endpoint:
    """An endpoint with its own question, which can wait and fail."""

    failures: list[Exception | None] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.go.set()

    def ask(self, renewed) -> int:
        self.threads.append(threading.current_thread().name)
        self.begun.set()
        happens(self.go)
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        return len(self.threads)

    def take(self, answer: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.answers.append(answer)

    @property
    def question(self) -> Question[int]:
        return Question(ask=self.ask, take=self.take)


@dataclass
class Held:
    """A gateway's open sessions, its lease, and the number of its renewals."""

    told: Told
    registry: Registry
    lease: GatewayLease
    endpoint: Endpoint
    renewed: list[set[int]] = field(default_factory=list)

    def open(self, used, *, row: int | None = None, finish_by=None, **more) -> Holder:
        return holder_of(session_of(self.registry, used, row=row, **more), finish_by)

    def reported(self) -> list[tuple[int, str]]:
        return [(sent.arguments["session_id"], sent.arguments["reason"]) for sent in self.told.sent]


@contextlib.asynccontextmanager
async def leased() -> AsyncIterator[Held]:
    """Yield a gateway that has never renewed, with a clock that is years off."""
    told, endpoint = Told(), Endpoint()
    registry = Registry(told, LoopClock(START, 0.0))
    registry.watcher = enders = Enders(registry, registry.clock)
    lease = GatewayLease(Known(name=NAME, version="1.2"), registry=registry, enders=enders)
    lease.questions.append(endpoint.question)
    held = Held(told, registry, lease, endpoint)
    lease.on_renewed.append(lambda: held.renewed.append(set(registry.grants)))
    try:
        yield held
    finally:
        endpoint.go.set()
        lease.stop()


@pytest.fixture
def held(world):
    return leased()


def token(grant, **changes) -> int:
    """A token of the grant."""
    return GrantCredential.objects.create(grant=grant, digest=f"{grant.pk:064}", **changes).pk


# Renewing


async def test_a_renewal_says_which_gateway_is_there_since_when_and_with_which_key(held):
    # The database's time, without the latency of a late response.
    before = clock.sync().database
    number = await held.lease.renew()
    row = GatewayNode.objects.get(name=NAME)
    assert (row.pk, row.version, row.host_key, row.stopped_at) == (number, "1.2", "", None)
    assert before <= row.seen_at <= clock.now()
    # The next renewal publishes what an endpoint adds.
    held.lease.known = replace(held.lease.known, host_key="ssh-ed25519 AAAA")
    assert await held.lease.renew() == number
    assert GatewayNode.objects.get(name=NAME).host_key == "ssh-ed25519 AAAA"


async def test_a_renewal_sets_the_clock_of_all_that_is_open_to_the_databases(monkeypatch, held):
    # No other reading replaces it, however late it is used.
    monkeypatch.setattr(clock, "_RESYNC_AFTER", 3600.0)
    await held.lease.renew()
    # One reading, carried forward in two places.
    before, said, after = clock.now(), held.registry.clock.now(), clock.now()
    assert before - dt.timedelta(microseconds=2) <= said <= after + dt.timedelta(microseconds=2)


async def test_each_renewal_asks_the_endpoints_own_question_in_the_leases_own_thread(held):
    held.endpoint.go.clear()
    both = [asyncio.create_task(held.lease.renew()) for _ in range(2)]
    await comes_true(held.endpoint.begun.is_set)
    assert held.endpoint.threads == ["lease_0"], "one after the other"
    held.endpoint.go.set()
    await asyncio.gather(*both)
    assert held.endpoint.threads == ["lease_0", "lease_0"]
    assert held.endpoint.answers == [1, 2]


async def test_whoever_waits_for_a_renewal_is_told_after_the_cuts_that_it_made(world, held):
    grant, other = world.grant(), world.grant()
    held.open(use(grant, now=world.now))
    held.open(use(other, now=world.now))
    revoke(grant)
    await held.lease.renew()
    assert held.renewed == [{other.pk}]


@pytest.mark.parametrize(("failure", "named"), [(GONE, Unavailable), (InternalError("no"), NotTaken)])
async def test_a_renewal_that_failed_renews_nothing_and_says_why(failure, named, held):
    held.endpoint.failures = [failure]
    with pytest.raises(named):
        await held.lease.renew()
    assert (held.renewed, held.endpoint.answers) == ([], [])


async def test_the_lease_is_renewed_each_second_and_a_failure_is_only_logged(caplog, held):
    held.endpoint.failures = [None, GONE, GONE, None]
    keeping = asyncio.create_task(held.lease.keep())
    await settle()
    for asked in range(1, 5):
        await passes(0.99)
        assert len(held.endpoint.threads) == asked - 1
        await passes(0.02)
        await comes_true(lambda asked=asked: len(held.endpoint.threads) == asked)
        await answered(held)
    assert len(held.renewed) == 2
    await cancelled(keeping)
    told = [
        entry.getMessage() for entry in caplog.records if entry.name == "sessions_app.gateways.core.lease"
    ]
    assert len(told) == 2
    assert all("The database does not respond" in line for line in told)


async def answered(held: Held) -> None:
    """Wait until the loop has the response to the last query."""
    await held.lease._database.run(lambda: None)
    await settle()


# Losing it


async def test_a_lease_that_was_not_renewed_for_ten_seconds_cuts_everything(world, caplog, held):
    grants = [world.grant(), world.grant()]
    await held.lease.renew()
    before = metric(LEASE_LOST)
    holders = [held.open(use(grant, now=world.now), finish_by=clock.now() + HOUR) for grant in grants]
    await passes(9.99)
    assert (held.lease.lost, [holder.stopped for holder in holders]) == ("", ["", ""])
    await passes(0.02)
    assert held.lease.lost == LOST != ""
    assert all("lost its database" in holder.stopped for holder in holders)
    assert held.registry.sessions() == []
    assert metric(LEASE_LOST) == before + 1
    assert [entry.msg["sessions"] for entry in caplog.records if entry.msg["event"] == "lease.lost"] == [2]


async def test_the_ten_seconds_count_from_the_question_and_not_from_its_late_answer(held):
    held.endpoint.go.clear()
    renewing = asyncio.create_task(held.lease.renew())
    await comes_true(held.endpoint.begun.is_set)
    await passes(6)
    held.endpoint.go.set()
    await renewing
    await passes(3.99)
    assert held.lease.lost == ""
    await passes(0.02)
    assert held.lease.lost == LOST


async def test_an_answer_after_more_than_ten_seconds_brings_nothing_back(held):
    lost = metric(LEASE_LOST)
    await held.lease.renew()
    held.endpoint.begun.clear()
    held.endpoint.go.clear()
    renewing = asyncio.create_task(held.lease.renew())
    await comes_true(held.endpoint.begun.is_set)
    await passes(10.01)
    assert held.lease.lost == LOST
    held.endpoint.go.set()
    await renewing
    await settle()
    assert held.lease.lost == LOST
    await held.lease.renew()
    assert held.lease.lost == ""

    assert metric(LEASE_LOST) == lost + 1


async def test_a_first_answer_after_more_than_ten_seconds_holds_nothing(held):
    held.endpoint.go.clear()
    renewing = asyncio.create_task(held.lease.renew())
    await comes_true(held.endpoint.begun.is_set)
    await passes(10.01)
    held.endpoint.go.set()
    await renewing
    await passes(0.01)
    assert held.lease.lost == LOST


async def test_after_a_renewal_that_took_long_the_next_one_does_not_wait(held):
    held.endpoint.go.clear()
    keeping = asyncio.create_task(held.lease.keep())
    await settle()
    await passes(1)
    await comes_true(held.endpoint.begun.is_set)
    await passes(5)
    held.endpoint.go.set()
    await comes_true(lambda: len(held.renewed) == 2)
    await cancelled(keeping)


async def test_failed_renewals_do_not_keep_the_lease(held):
    await held.lease.renew()
    held.endpoint.failures = [GONE, GONE]
    for _ in range(2):
        await passes(4)
        with pytest.raises(Unavailable):
            await held.lease.renew()
    await passes(2.01)
    assert held.lease.lost == LOST


async def test_each_renewal_gives_ten_seconds_from_then_on_and_one_after_the_loss_brings_the_lease_back(
    held, caplog
):
    caplog.set_level("INFO")
    await held.lease.renew()
    for apart in (9, 10.01):
        await passes(apart)
        assert held.lease.lost == (LOST if apart > 10 else "")
        await held.lease.renew()
        await passes(9.99)
        assert held.lease.lost == ""
        await passes(0.02)
        assert held.lease.lost == LOST
        await held.lease.renew()
    assert [entry.msg["event"] for entry in caplog.records].count("lease.back") == 3


async def test_a_stopped_lease_cuts_nothing_and_renews_no_more(world, held):
    grant = world.grant()
    await held.lease.renew()
    holder = held.open(use(grant, now=world.now))
    held.lease.stop()
    await passes(100)
    assert (held.lease.lost, holder.stopped) == ("", "")
    with pytest.raises(RuntimeError):
        await held.lease.renew()


# Results of a renewal


async def test_a_renewal_cuts_what_was_revoked_and_nothing_else(world, held):
    grant, other = world.grant(), world.grant()
    holder = held.open(use(grant, now=world.now), finish_by=clock.now() + HOUR)
    kept = held.open(use(other, now=world.now))
    await held.lease.renew()
    assert (holder.stopped, kept.stopped) == ("", "")
    revoke(grant)
    await held.lease.renew()
    assert (holder.stopped, kept.stopped) == ("revoked", "")


async def test_a_renewal_moves_a_deadline_that_was_moved(world, held):
    grant = world.grant()
    holder = held.open(use(grant, now=world.now))
    longer = grant.expires_at + HOUR
    Grant.objects.filter(pk=grant.pk).update(expires_at=longer)
    await held.lease.renew()
    assert holder.session.grant.expires_at == longer
    assert len(holder.said) == 1


async def test_a_renewal_closes_sessions_whose_token_is_no_longer_good_and_those_alone(world, held):
    grant = world.grant()
    good = token(grant)
    used = use(grant, now=world.now)
    by_token = held.open(replace(used, credential_id=good), row=session(used, now=world.now))
    by_key = held.open(used, row=session(used, now=world.now))
    await held.lease.renew()
    assert (by_token.stopped, by_key.stopped) == ("", "")
    GrantCredential.objects.update(revoked_at=clock.now())
    await held.lease.renew()
    assert (by_token.stopped, by_key.stopped) == ("token replaced or revoked", "")


async def test_a_renewal_closes_a_session_whose_row_was_closed(world, held):
    grant = world.grant()
    used = use(grant, now=world.now)
    rows = [session(used, now=world.now) for _ in range(2)]
    gone, kept = [held.open(used, row=row) for row in rows]
    Session.objects.filter(pk=rows[0]).update(closed_at=clock.now(), close_reason="gateway lost")
    await held.lease.renew()
    assert gone.stopped
    assert kept.stopped == ""
    assert [number for number, _ in held.reported()] == [rows[0]]


async def test_a_renewal_closes_rows_of_this_gateway_that_it_does_not_hold(world, held):
    grant = world.grant()
    used = use(grant, now=world.now)
    lost, other = session(used, now=world.now), session(used, now=world.now, gateway="gateway-2")
    await held.lease.renew()
    assert held.reported() == [(lost, NOT_HELD)]
    assert other != lost


async def test_a_renewal_cuts_who_came_with_a_key_that_was_removed(world, held):
    def key(fingerprint: str, **changes) -> None:
        SSHPublicKey.objects.create(
            identity=world.alice,
            algorithm="ssh-ed25519",
            public_key=fingerprint,
            fingerprint=fingerprint,
            **changes,
        )

    key("SHA256:gone", removed_at=world.now)
    key("SHA256:here")
    grant = world.grant()
    used = use(grant, now=world.now)
    # A session that is still being opened has no row yet, and is cut as well.
    gone = held.open(used, proof="SHA256:gone")
    kept = held.open(used, proof="SHA256:here")
    await held.lease.renew()
    assert "key was removed" in gone.stopped
    assert kept.stopped == ""


async def test_what_opened_while_the_database_was_asked_is_not_judged_by_its_answer(held):
    held.endpoint.go.clear()
    renewing = asyncio.create_task(held.lease.renew())
    await comes_true(held.endpoint.begun.is_set)
    # The grant, the session and the token are all missing from the database.
    fresh = held.open(use_of_grant(10**9, expires_at=clock.now() + HOUR, credential_id=10**9), row=10**9)
    held.endpoint.go.set()
    await renewing
    assert fresh.stopped == ""
    await held.lease.renew()
    assert fresh.stopped


# Checks between renewals


async def test_an_end_that_was_heard_of_is_looked_at_without_waiting_for_the_renewal(world, held):
    grant, other = world.grant(), world.grant()
    await held.lease.renew()
    holder, kept = (held.open(use(one, now=world.now)) for one in (grant, other))
    revoke(grant)
    await held.lease.look([other.pk, 10**9])
    assert (holder.stopped, kept.stopped) == ("", "")
    await held.lease.look([10**9, grant.pk])
    assert (holder.stopped, kept.stopped) == ("revoked", "")
    assert len(held.endpoint.threads) == len(held.renewed) == 1


async def test_a_look_does_not_renew_the_lease(world, held):
    grant = world.grant()
    await held.lease.renew()
    held.open(use(grant, now=world.now))
    await passes(9)
    await held.lease.look([grant.pk])
    await passes(1.01)
    assert held.lease.lost == LOST


async def test_a_look_checks_the_tokens_of_the_grants_that_it_is_about_and_no_others(world, held):
    grants = [world.grant(), world.grant()]
    tokens = {grant.pk: token(grant) for grant in grants}

    def opened(held: Held, grant) -> Holder:
        used = use(grant, now=world.now)
        return held.open(replace(used, credential_id=tokens[grant.pk]), row=session(used, now=world.now))

    await held.lease.renew()
    first, second = (opened(held, grant) for grant in grants)
    by_key = held.open(
        use(grants[0], now=world.now), row=session(use(grants[0], now=world.now), now=world.now)
    )
    GrantCredential.objects.update(revoked_at=clock.now())
    await held.lease.look([grants[0].pk])
    assert [holder.stopped for holder in (first, second, by_key)] == ["token replaced or revoked", "", ""]


async def test_a_look_judges_deadlines_by_the_gateways_own_reading_of_the_databases_clock(world, held):
    grant = world.grant(duration=3600)
    holder = held.open(use(grant, now=world.now))
    reading = clock.sync()
    held.registry.clock.set(reading.database, reading.monotonic)
    await held.lease.look([grant.pk])
    assert holder.stopped == ""
    held.registry.clock.set(reading.database + 2 * HOUR, reading.monotonic)
    await held.lease.look([grant.pk])
    assert holder.stopped == "expired"
