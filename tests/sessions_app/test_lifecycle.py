"""The life of grants in any order of events: asked, decided, started, used, extended, ended, undone, with
crashes, lost, repeated and late messages, and a clock that moves. What must always hold is looked at after
every step.
"""

import contextlib
import datetime as dt
from dataclasses import dataclass, field

import pytest
from django.db import connection, transaction
from django.db.models import F
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from broker.audit.models import AuditEntry, AuditHead
from broker.audit.verify import verify
from broker.kernel.errors import StintError
from sessions_app import models
from sessions_app.connectors.fake import FakeConnector, place_of
from sessions_app.models import AccessRequest, CommandRun, Grant, GrantState, Session, Sweeper
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.grants.stop_grant import stop_grant
from sessions_app.operations.grants.transition import transition
from sessions_app.operations.identities.disable_identity import disable_identity, enable_identity
from sessions_app.operations.requests.extend_grant import extend_grant
from sessions_app.operations.requests.withdraw_request import withdraw_request
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.close_session import close_session
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.open_session import open_session
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.operations.sessions.release_held import release_held
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from sessions_app.operations.sessions.stop_gateway import stop_gateway
from sessions_app.operations.sweep.sweep import end_baseless, sweep
from sessions_app.policy.commands.kinds import decide
from sessions_app.queries.requests.facts import lease_facts
from tests.support.breadth import examples
from tests.support.world import acts
from tests.support.world.acts import fresh
from tests.support.world.replay import world_again
from tests.support.world.world import SETUP

RANK = {"scheduled": 0, "provisioning": 1, "active": 2, "revoking": 3, "ended": 4}
LINES = (
    "echo restart nginx",
    "echo log nginx 5",
    "sleep 5 nightly",
    "echo stop nginx",
    "id",
    "echo restart nginx; id",
)
ASKERS = ("alice", "robot", "charlie")
DECIDERS = ("bob", "dora", "bob", "dora", "alice", "charlie", "robot", "admin")
PENDING, LIVE, ENDING = {"state": {"pending"}}, {"state": {"scheduled", "active"}}, {"state": {"revoking"}}
PICK = st.integers(0, 40)


def one_of(*values):
    return st.sampled_from(values)


def act(name: str, **arguments: st.SearchStrategy) -> st.SearchStrategy:
    """A method of the machine with its arguments. All acts are one rule, because Hypothesis leaves whole
    rules out of a run, and what is looked for needs most of them together.
    """
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


HOST, LINE = one_of("web-1", "web-2"), one_of(*LINES)
NARROWINGS = one_of(
    {}, {"duration": 300}, {"commands": [0, 1]}, {"commands": [1, 2]}, {"duration": 9000}, {"commands": [9]}
)
CATALOGS = one_of(
    ("policies/web-work.yaml", "max_duration: 4h", "max_duration: 15m"),
    ("policies/web-work.yaml", "count: 1", "count: 2"),
    ("policies/web-work.yaml", "approvals: none}", "approvals: same}"),
    ("groups/approvers.yaml", "[bob, dora]", "[dora, alice, robot]"),
    ("clusters/web.yaml", "port: 2201", "port: 2299"),
    None,
)
# Those that stand there more than once are drawn more often.
PEOPLE = st.one_of(
    act(
        "ask",
        who=one_of(*ASKERS),
        duration=one_of(600, 1800, 3600),
        wait=one_of(None, 600),
        kind=one_of("planned", "planned", "break_glass"),
        hosts=one_of(None, ("web-1",)),
    ),
    *[
        act(
            "decide",
            pick=PICK,
            who=one_of(*DECIDERS),
            verdict=one_of("approve", "approve", "approve", "deny"),
            narrowing=NARROWINGS,
            stale=st.booleans(),
        )
    ]
    * 3,
    act(
        "hold_a_grant",
        who=one_of("alice", "robot"),
        duration=one_of(600, 3600),
        narrowing=one_of({}, {"duration": 300}, {"commands": [0, 3]}),
    ),
    act("withdraw", pick=PICK, who=one_of("alice", "robot", "bob")),
    act(
        "extend",
        pick=PICK,
        who=one_of("alice", "alice", "robot", "robot", "bob", "charlie"),
        seconds=one_of(1, 600, 3600, 3601),
    ),
    act("end", pick=PICK, who=one_of("alice", "bob", "charlie", "robot"), kill=st.booleans()),
)
GATEWAYS = st.one_of(
    act("use", host=HOST, who=one_of("alice", "robot"), line=LINE),
    act("use", host=HOST, who=one_of(*ASKERS), line=LINE),
    *[act("use_what_was_authorized_before", pick=PICK, line=LINE)] * 2,
    act("decide_a_hold_and_release_it", pick=PICK, who=one_of(*DECIDERS), allow=st.booleans()),
    act("close_a_session", pick=PICK),
    *[act("lose_the_gateway")] * 2,
)
WORKERS = st.one_of(
    act("start_message", pick=PICK),
    act("start_and_die_half_way", pick=PICK),
    *[act("report_and_undo", pick=PICK)] * 2,
    act("undo_message", pick=PICK, down=st.sets(HOST, min_size=1), skew=one_of(0, 31)),
    act("undo_and_die_before_it_is_written_down", pick=PICK),
    act("sweep", baseless=st.booleans()),
)
WORLD = st.one_of(
    act("switch_alice", off=st.booleans()),
    act("apply_a_catalog", what=CATALOGS),
    *[act("time_passes", seconds=one_of(1, 60, 299, 601, 1801), alive=one_of(True, True, False))] * 3,
)


@dataclass
class Life:
    """What the model knows of one grant. ``over`` never becomes false again."""

    token: str
    holder_id: int
    first_expiry: dt.datetime
    rank: int = 0
    over: bool = False
    uses: list = field(default_factory=list)


class Lifecycle(RuleBasedStateMachine):
    """Every rule is something that people, processes or the world do; a refusal by name is an answer like any
    other.
    """

    fake: FakeConnector
    started_at: dt.datetime

    @initialize()
    def begin(self) -> None:
        self.block = transaction.atomic()
        self.block.__enter__()
        self.now = self.started_at
        self.world = world_again(self.now)
        self.first_entry = AuditHead.objects.get(log="main").seq + 1
        self.lives: dict[int, Life] = {}
        self.fake.left.clear()
        self.fake.down.clear()
        for who in ("alice", "robot"):
            self.hold_a_grant(3600, who, {})
        self.grants_only_move_forward_and_only_as_recorded()
        self.use("web-1", "alice", "echo restart nginx")
        self.use("web-2", "robot", "echo stop nginx")
        self.ask("alice", 1800, None, "planned", None)

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    @rule(act=st.one_of(PEOPLE, GATEWAYS, WORKERS, WORLD))
    def step(self, act) -> None:
        name, arguments = act
        getattr(self, name)(**arguments)

    def _one(self, model: str, pick: int, **likely):
        """A row; three times out of four one that is in the state in which something can happen to it."""
        rows = list(getattr(models, model).objects.order_by("pk"))
        wanted = [row for row in rows if all(getattr(row, name) in values for name, values in likely.items())]
        rows = wanted if wanted and pick % 4 else rows
        return rows[pick // 4 % len(rows)] if rows else None

    def _person(self, name: str):
        person = getattr(self.world, name)
        person.refresh_from_db()
        return person

    # What people do.

    def ask(self, who, duration, wait, kind, hosts) -> None:
        asked = {"duration": duration, "kind": kind, "targets": hosts}
        asked["starts_at"] = self.now + dt.timedelta(seconds=wait) if wait else None
        with contextlib.suppress(StintError):
            self.world.request(self._person(who), now=self.now, **asked)

    def decide(self, pick, who, verdict, narrowing, stale) -> None:
        if request := self._one("AccessRequest", pick, **PENDING):
            more = {"digest": "0" * 64} if stale and pick % 5 == 0 else {}
            said = {"comment": "because", "narrowing": narrowing, **more}
            with contextlib.suppress(StintError):
                self.world.decide(request, self._person(who), verdict, now=self.now, **said)

    def hold_a_grant(self, duration, who, narrowing) -> None:
        """The usual road, so that there is something to use and to end."""
        with contextlib.suppress(StintError):
            request = self.world.request(self._person(who), now=self.now, duration=duration)
            for approver in ("bob", "dora"):
                self.world.decide(request, self._person(approver), now=self.now, narrowing=narrowing)
        for grant in Grant.objects.filter(state="scheduled"):
            provision_grant(grant_id=grant.pk, now=self.now)

    def withdraw(self, pick, who) -> None:
        if request := self._one("AccessRequest", pick, **PENDING):
            with contextlib.suppress(StintError):
                withdraw_request(request_id=request.pk, actor=self._person(who), now=self.now)

    def extend(self, pick, who, seconds) -> None:
        if grant := self._one("Grant", pick, **LIVE):
            with contextlib.suppress(StintError):
                extend_grant(grant_id=grant.pk, requester=self._person(who), seconds=seconds, now=self.now)

    def end(self, pick, who, kill) -> None:
        if grant := self._one("Grant", pick, **LIVE):
            with contextlib.suppress(StintError):
                stop_grant(grant_id=grant.pk, actor=self._person(who), now=self.now, kill=kill)

    # What gateways do.

    def use(self, host, who, line) -> None:
        node = renew_gateway(name="gateway-1", version="1", now=self.now).id
        found = authorize_use(by=ByHolder(self._person(who).pk, host, None, self.now))
        for use in found[:1]:
            opened = open_session(use=use, gateway_id=node, client_address="", proof="", now=self.now)
            assert Session.objects.filter(pk=opened, closed_at__isnull=True).exists()
            self.lives[use.grant_id].uses.append((use, opened))
            self._try(use, opened, line)

    def use_what_was_authorized_before(self, pick, line) -> None:
        if known := [use for life in self.lives.values() for use in life.uses]:
            self._try(*known[pick % len(known)], line)

    def _try(self, use, session_id: int, line: str) -> None:
        try:
            tried = acts.run(use, session_id, line, now=self.now)
        except StintError:
            return
        grant = Grant.objects.get(pk=use.grant_id)
        assert (self.lives[grant.pk].over, grant.state) == (False, "active")
        assert grant.starts_at <= self.now < grant.expires_at
        if tried.verdict == "allowed":
            assert tried.decision.index in grant.commands
            assert use.target.id in set(grant.targets.values_list("pk", flat=True))
            assert tried.deadline <= grant.expires_at + dt.timedelta(seconds=grant.finish_seconds)
            assert not tried.decision.hold
            self.fake.left[place_of(use.target), grant.mark] = 1

    def decide_a_hold_and_release_it(self, pick, who, allow) -> None:
        run = CommandRun.objects.filter(state="held").order_by("pk").first()
        if run is None:
            return
        with contextlib.suppress(StintError):
            decide_hold(run_id=run.pk, actor=self._person(who), allow=allow, now=self.now)
        for use, opened in self.lives[run.grant_id].uses:
            if opened == run.session_id and pick % 2:
                with contextlib.suppress(StintError):
                    released = release_held(
                        use=use,
                        run_id=run.pk,
                        line=run.line,
                        decision=decide(use.compiled, run.line),
                        now=self.now,
                    )
                    assert not self.lives[run.grant_id].over
                    assert (released.verdict, fresh(run).decided_by.username in ("bob", "dora")) == (
                        "allowed",
                        True,
                    )
                    self.fake.left[place_of(use.target), use.mark] = 1

    def close_a_session(self, pick) -> None:
        if session := self._one("Session", pick):
            close_session(session_id=session.pk, reason="left", now=self.now)

    def lose_the_gateway(self) -> None:
        stop_gateway(name="gateway-1", now=self.now, reason="gateway lost")

    # What workers do, and how they fail.

    def start_message(self, pick) -> None:
        if grant := self._one("Grant", pick, **LIVE):
            provision_grant(grant_id=grant.pk, now=self.now)

    def start_and_die_half_way(self, pick) -> None:
        grant = self._one("Grant", pick, state={"scheduled"})
        if grant is not None and grant.state == "scheduled" and grant.starts_at <= self.now:
            with transaction.atomic():
                transition(grant=grant, to=GrantState.PROVISIONING, actor=SETUP, now=self.now)

    def undo_message(self, pick, down, skew) -> None:
        if grant := self._one("Grant", pick, **ENDING):
            self._undo(grant, down, skew)

    def _undo(self, grant, down, skew) -> None:
        self.fake.down = down
        at = self.now + dt.timedelta(seconds=skew)
        deprovision_grant(grant_id=grant.pk, now=lambda: at)

    def report_and_undo(self, pick) -> None:
        """The usual end: the gateway reports its sessions closed, and the targets are asked."""
        if grant := self._one("Grant", pick, **ENDING):
            if grant.state == "revoking":
                for session in grant.sessions.filter(closed_at__isnull=True):
                    close_session(session_id=session.pk, reason="cut", now=self.now)
            self._undo(grant, set(), 0)

    def undo_and_die_before_it_is_written_down(self, pick) -> None:
        if grant := self._one("Grant", pick, **ENDING):
            Grant.objects.filter(pk=grant.pk, state="revoking", next_attempt_at__lte=self.now).update(
                attempts=F("attempts") + 1, next_attempt_at=self.now + dt.timedelta(seconds=30)
            )
            if grant.state == "revoking" and not grant.sessions.filter(closed_at__isnull=True).exists():
                for lease in grant.leases.select_related("target"):
                    self.fake.left.pop((place_of(lease_facts(lease)), grant.mark), None)

    def sweep(self, baseless) -> None:
        assert sweep(now=lambda: self.now, name="machine").failed == {}
        if baseless:
            end_baseless(now=self.now)

    # How the world changes.

    def time_passes(self, seconds, alive) -> None:
        self.now += dt.timedelta(seconds=seconds)
        if alive:
            Sweeper.objects.update(seen_at=self.now)

    def switch_alice(self, off) -> None:
        verb = disable_identity if off else enable_identity
        verb(identity_id=self.world.alice.pk, actor=self.world.admin, now=self.now)

    def apply_a_catalog(self, what) -> None:
        path, old, new = what or ("clusters/web.yaml", "", "")
        self.world.apply({path: self.world.catalog[path].replace(old, new)}, now=self.now)

    # What must always hold.

    @invariant()
    def grants_only_move_forward_and_only_as_recorded(self) -> None:
        for grant in Grant.objects.order_by("pk"):
            life = self.lives.setdefault(grant.pk, Life(grant.mark, grant.holder_id, grant.expires_at))
            assert RANK[grant.state] >= life.rank
            life.rank = RANK[grant.state]
            life.over = life.over or life.rank >= 3 or grant.expires_at <= self.now
            if life.over:
                assert grant.state != "active" or grant.expires_at <= self.now
            entries = list(AuditEntry.objects.filter(object_ref=grant.ref).order_by("seq"))
            states = [e.event for e in entries if e.event.removeprefix("grant.") in RANK]
            assert states[-1] == f"grant.{grant.state}"
            assert sorted(states, key=lambda name: RANK[name[6:]]) == states
            added = sum(e.data["seconds"] for e in entries if e.event == "grant.extended")
            assert grant.expires_at - life.first_expiry == dt.timedelta(seconds=added)
            assert added <= 2 * 3600
            assert grant.extensions.filter(state="approved").count() <= 2

    @invariant()
    def nothing_over_opens_anything(self) -> None:
        for holder_id in {life.holder_id for life in self.lives.values()}:
            for target in ("web-1", "web-2"):
                for use in authorize_use(by=ByHolder(holder_id, target, None, self.now)):
                    grant = Grant.objects.select_related("holder__owner").get(pk=use.grant_id)
                    assert not self.lives[grant.pk].over
                    assert grant.holder.is_active
                    assert grant.holder.owner is None or grant.holder.owner.is_active
                    assert grant.starts_at <= self.now < grant.expires_at

    @invariant()
    def ended_means_proven(self) -> None:
        for grant in Grant.objects.filter(state="ended"):
            assert not grant.leases.filter(gone_at__isnull=True).exists()
            assert not grant.sessions.filter(closed_at__isnull=True).exists()
            assert not grant.runs.filter(state__in=["allowed", "running", "held"]).exists()
            assert not [place for place in self.fake.left if place[1] == grant.mark]

    @invariant()
    def nobody_approved_their_own_and_what_was_decided_stays(self) -> None:
        family = {self.world.alice.pk, self.world.robot.pk, self.world.deployer.pk}
        final = {"request.denied": "denied", "request.withdrawn": "withdrawn", "request.lapsed": "lapsed"}
        for request in AccessRequest.objects.prefetch_related("approvals__approver"):
            for approval in request.approvals.all():
                assert approval.approver.is_person
                assert not (request.requester_id in family and approval.approver_id in family)
                assert approval.digest == request.digest
            entry = AuditEntry.objects.filter(object_ref=request.ref).latest("seq")
            assert final.get(entry.event, request.state) == request.state
            assert request.state == "pending" or entry.event != "request.created"

    @invariant()
    def what_was_approved_is_what_is_held(self) -> None:
        grants = Grant.objects.select_related("request").prefetch_related("targets", "request__approvals")
        for grant in grants:
            asked, span = grant.request, self.lives[grant.pk].first_expiry - grant.starts_at
            assert {target.pk for target in grant.targets.all()} <= set(asked.targets)
            assert span <= dt.timedelta(seconds=asked.duration)
            assert grant.parameters == asked.parameters
            assert grant.starts_at >= (asked.starts_at or asked.created_at)
            standing = [one for one in asked.approvals.all() if one.voided_at is None]
            assert standing or grant.break_glass
            for approval in standing:
                assert approval.verdict == "approve"
                assert set(grant.commands) <= set(approval.narrowing.get("commands", grant.commands))
                assert span.total_seconds() <= approval.narrowing.get("duration", asked.duration)

    @invariant()
    def the_record_is_whole(self) -> None:
        assert verify(connection=connection, from_seq=self.first_entry).ok


@pytest.fixture
def patient_db(db):
    """The database, whose connection also survives if a busy machine stops this process for a while."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 0")


def test_whatever_happens_in_whatever_order_the_promises_hold(patient_db, now, fake_targets):
    class Machine(Lifecycle):
        fake = fake_targets
        started_at = now

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples(22),
            report_multiple_bugs=False,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
