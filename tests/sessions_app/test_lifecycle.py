"""The life of grants in any order of events: asked, decided, started, used, extended, ended, undone, with crashes, lost,
repeated and late messages, and a clock that moves. What must always hold is looked at after every step.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.db.models import F
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from broker.audit.models import AuditEntry, AuditHead
from broker.audit.verify import verify
from broker.kernel.errors import StintError
from sessions_app.connectors.fake import FakeConnector, place_of
from tests.support.breadth import examples
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
PICK = st.integers(0, 40)
PENDING = {"state": {"pending"}}
LIVE = {"state": {"scheduled", "active"}}
ENDING = {"state": {"revoking"}}


def act(name: str, **arguments: st.SearchStrategy) -> st.SearchStrategy:
    """A method of the machine with its arguments. All acts are one rule, because Hypothesis leaves whole rules out of a
    run, and what is looked for needs most of them together.
    """
    return st.tuples(st.just(name), st.fixed_dictionaries(arguments))


HOST = st.sampled_from(("web-1", "web-2"))
PEOPLE = st.one_of(
    act(
        "ask",
        who=st.sampled_from(ASKERS),
        duration=st.sampled_from((600, 1800, 3600)),
        wait=st.sampled_from((None, 600)),
        kind=st.sampled_from(("planned", "planned", "break_glass")),
        hosts=st.sampled_from((None, ("web-1",))),
    ),
    *[
        act(
            "decide",
            pick=PICK,
            who=st.sampled_from(DECIDERS),
            verdict=st.sampled_from(("approve", "approve", "approve", "deny")),
            narrowing=st.sampled_from(
                (
                    {},
                    {"duration": 300},
                    {"commands": [0, 1]},
                    {"commands": [1, 2]},
                    {"duration": 9000},
                    {"commands": [9]},
                )
            ),
            stale=st.booleans(),
        )
    ]
    * 3,
    act(
        "hold_a_grant",
        who=st.sampled_from(("alice", "robot")),
        duration=st.sampled_from((600, 3600)),
        narrowing=st.sampled_from(({}, {"duration": 300}, {"commands": [0, 3]})),
    ),
    act("withdraw", pick=PICK, who=st.sampled_from(("alice", "robot", "bob"))),
    act(
        "extend",
        pick=PICK,
        who=st.sampled_from(("alice", "alice", "robot", "robot", "bob", "charlie")),
        seconds=st.sampled_from((1, 600, 3600, 3601)),
    ),
    act("end", pick=PICK, who=st.sampled_from(("alice", "bob", "charlie", "robot")), kill=st.booleans()),
)
GATEWAYS = st.one_of(
    act("use", host=HOST, who=st.sampled_from(("alice", "robot")), line=st.sampled_from(LINES)),
    act("use", host=HOST, who=st.sampled_from(ASKERS), line=st.sampled_from(LINES)),
    *[act("use_what_was_authorized_before", pick=PICK, line=st.sampled_from(LINES))] * 2,
    act("decide_a_hold_and_release_it", pick=PICK, who=st.sampled_from(DECIDERS), allow=st.booleans()),
    act("close_a_session", pick=PICK),
    *[act("lose_the_gateway")] * 2,
)
WORKERS = st.one_of(
    act("start_message", pick=PICK),
    act("start_and_die_half_way", pick=PICK),
    *[act("report_and_undo", pick=PICK)] * 2,
    act("undo_message", pick=PICK, down=st.sets(HOST, min_size=1), skew=st.sampled_from((0, 31))),
    act("undo_and_die_before_it_is_written_down", pick=PICK),
    act("sweep", baseless=st.booleans()),
)
WORLD = st.one_of(
    act("switch_alice", off=st.booleans()),
    act(
        "apply_a_catalogue",
        what=st.sampled_from(
            (
                ("policies/web-work.yaml", "max_duration: 4h", "max_duration: 15m"),
                ("policies/web-work.yaml", "count: 1", "count: 2"),
                ("policies/web-work.yaml", "approvals: none}", "approvals: same}"),
                ("groups/approvers.yaml", "[bob, dora]", "[dora, alice, robot]"),
                ("clusters/web.yaml", "port: 2201", "port: 2299"),
                None,
            )
        ),
    ),
    *[
        act(
            "time_passes",
            seconds=st.sampled_from((1, 60, 299, 601, 1801)),
            alive=st.sampled_from((True, True, False)),
        )
    ]
    * 3,
)


@dataclass
class Life:
    """What the model knows of one grant. ``over`` never becomes false again."""

    token: str
    holder_id: int
    first_expiry: dt.datetime
    rank: int = 0
    over: bool = False
    added: int = 0
    uses: list = field(default_factory=list)


class Lifecycle(RuleBasedStateMachine):
    """Every rule is something that people, processes or the world do; a refusal by name is an answer like any other."""

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

    # Who, which, and what answers are expected.

    def _one(self, model: str, pick: int, **likely):
        """A row; three times out of four one that is in the state in which something can happen to it."""
        from sessions_app import models

        rows = list(getattr(models, model).objects.order_by("pk"))
        wanted = [row for row in rows if all(getattr(row, name) in values for name, values in likely.items())]
        rows = wanted if wanted and pick % 4 else rows
        return rows[pick // 4 % len(rows)] if rows else None

    def _person(self, name: str):
        person = getattr(self.world, name)
        person.refresh_from_db()
        return person

    def _alive(self) -> None:
        from sessions_app.models import Sweeper

        Sweeper.objects.update(seen_at=self.now)

    def _clock(self) -> dt.datetime:
        return self.now

    @rule(act=st.one_of(PEOPLE, GATEWAYS, WORKERS, WORLD))
    def step(self, act) -> None:
        name, arguments = act
        getattr(self, name)(**arguments)

    # What people do.

    def ask(self, who, duration, wait, kind, hosts) -> None:
        start = self.now + dt.timedelta(seconds=wait) if wait else None
        with contextlib.suppress(StintError):
            self.world.request(
                self._person(who),
                now=self.now,
                duration=duration,
                starts_at=start,
                kind=kind,
                targets=hosts,
            )

    def decide(self, pick, who, verdict, narrowing, stale) -> None:
        request = self._one("AccessRequest", pick, **PENDING)
        if request is None:
            return
        more = {"digest": "0" * 64} if stale and pick % 5 == 0 else {}
        with contextlib.suppress(StintError):
            self.world.decide(
                request,
                self._person(who),
                verdict,
                now=self.now,
                comment="because",
                narrowing=narrowing,
                **more,
            )

    def hold_a_grant(self, duration, who, narrowing) -> None:
        """The usual road, so that there is something to use and to end."""
        from sessions_app.models import Grant
        from sessions_app.operations.grants.provision_grant import provision_grant

        with contextlib.suppress(StintError):
            request = self.world.request(self._person(who), now=self.now, duration=duration)
            for approver in ("bob", "dora"):
                self.world.decide(request, self._person(approver), now=self.now, narrowing=narrowing)
        for grant in Grant.objects.filter(state="scheduled"):
            provision_grant(grant_id=grant.pk, now=self.now)

    def withdraw(self, pick, who) -> None:
        from sessions_app.operations.requests.withdraw_request import withdraw_request

        if request := self._one("AccessRequest", pick, **PENDING):
            with contextlib.suppress(StintError):
                withdraw_request(request_id=request.pk, actor=self._person(who), now=self.now)

    def extend(self, pick, who, seconds) -> None:
        from sessions_app.operations.requests.extend_grant import extend_grant

        if grant := self._one("Grant", pick, **LIVE):
            with contextlib.suppress(StintError):
                extend_grant(grant_id=grant.pk, requester=self._person(who), seconds=seconds, now=self.now)

    def end(self, pick, who, kill) -> None:
        from sessions_app.operations.grants.stop_grant import stop_grant

        if grant := self._one("Grant", pick, **LIVE):
            with contextlib.suppress(StintError):
                stop_grant(grant_id=grant.pk, actor=self._person(who), now=self.now, kill=kill)

    # What gateways do.

    def use(self, host, who, line) -> None:
        from sessions_app.models import Session
        from sessions_app.operations.sessions.authorize_use import authorize_use
        from sessions_app.operations.sessions.open_session import open_session
        from sessions_app.operations.sessions.proofs.holder import ByHolder
        from sessions_app.operations.sessions.renew_gateway import renew_gateway

        node = renew_gateway(name="gateway-1", version="1", now=self.now)
        found = authorize_use(by=ByHolder(self._person(who).pk, host, None, self.now))
        for use in found[:1]:
            opened = open_session(use=use, gateway_id=node, client_address="", proof="", now=self.now)
            assert Session.objects.filter(pk=opened, closed_at__isnull=True).exists()
            self.lives[use.grant_id].uses.append((use, opened))
            self._try(use, opened, line)

    def use_what_was_authorized_before(self, pick, line) -> None:
        known = [use for life in self.lives.values() for use in life.uses]
        if known:
            self._try(*known[pick % len(known)], line)

    def _try(self, use, session_id: int, line: str) -> None:
        from sessions_app.models import Grant
        from tests.support.world import acts

        try:
            tried = acts.run(use, session_id, line, now=self.now)
        except StintError:
            return
        grant = Grant.objects.get(pk=use.grant_id)
        assert not self.lives[grant.pk].over
        assert grant.state == "active"
        assert grant.starts_at <= self.now < grant.expires_at
        if tried.verdict == "allowed":
            assert tried.decision.index in grant.commands
            assert use.target.id in set(grant.targets.values_list("pk", flat=True))
            assert tried.deadline <= grant.expires_at + dt.timedelta(seconds=grant.finish_seconds)
            assert not tried.decision.hold
            self.fake.left[place_of(use.target), grant.mark] = 1

    def decide_a_hold_and_release_it(self, pick, who, allow) -> None:
        from sessions_app.models import CommandRun
        from sessions_app.operations.sessions.decide_hold import decide_hold
        from sessions_app.operations.sessions.release_held import release_held
        from sessions_app.policy.commands.kinds import decide

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
                    run.refresh_from_db()
                    assert run.decided_by.username in ("bob", "dora")
                    assert released.verdict == "allowed"
                    self.fake.left[place_of(use.target), use.mark] = 1

    def close_a_session(self, pick) -> None:
        from sessions_app.operations.sessions.close_session import close_session

        if session := self._one("Session", pick):
            close_session(session_id=session.pk, reason="left", now=self.now)

    def lose_the_gateway(self) -> None:
        from sessions_app.operations.sessions.stop_gateway import stop_gateway

        stop_gateway(name="gateway-1", now=self.now, reason="gateway lost")

    # What workers do, and how they fail.

    def start_message(self, pick) -> None:
        from sessions_app.operations.grants.provision_grant import provision_grant

        if grant := self._one("Grant", pick, **LIVE):
            provision_grant(grant_id=grant.pk, now=self.now)

    def start_and_die_half_way(self, pick) -> None:
        from sessions_app.models import GrantState
        from sessions_app.operations.grants.transition import transition

        grant = self._one("Grant", pick, state={"scheduled"})
        if grant is not None and grant.state == "scheduled" and grant.starts_at <= self.now:
            with transaction.atomic():
                transition(grant=grant, to=GrantState.PROVISIONING, actor=SETUP, now=self.now)

    def undo_message(self, pick, down, skew) -> None:
        if grant := self._one("Grant", pick, **ENDING):
            self._undo(grant, down, skew)

    def _undo(self, grant, down, skew) -> None:
        from sessions_app.operations.grants.deprovision_grant import deprovision_grant

        self.fake.down = down
        at = self.now + dt.timedelta(seconds=skew)
        deprovision_grant(grant_id=grant.pk, now=lambda: at)

    def report_and_undo(self, pick) -> None:
        """The usual end: the gateway reports its sessions closed, and the targets are asked."""
        from sessions_app.operations.sessions.close_session import close_session

        if grant := self._one("Grant", pick, **ENDING):
            if grant.state == "revoking":
                for session in grant.sessions.filter(closed_at__isnull=True):
                    close_session(session_id=session.pk, reason="cut", now=self.now)
            self._undo(grant, set(), 0)

    def undo_and_die_before_it_is_written_down(self, pick) -> None:
        from sessions_app.models import Grant
        from sessions_app.queries.facts import lease_facts

        if grant := self._one("Grant", pick, **ENDING):
            Grant.objects.filter(pk=grant.pk, state="revoking", next_attempt_at__lte=self.now).update(
                attempts=F("attempts") + 1, next_attempt_at=self.now + dt.timedelta(seconds=30)
            )
            if grant.state == "revoking" and not grant.sessions.filter(closed_at__isnull=True).exists():
                for lease in grant.leases.select_related("target"):
                    self.fake.left.pop((place_of(lease_facts(lease)), grant.mark), None)

    def sweep(self, baseless) -> None:
        from sessions_app.operations.sweep.sweep import end_baseless, sweep

        report = sweep(now=self._clock, name="machine")
        assert report.failed == {}
        if baseless:
            end_baseless(now=self.now)

    # How the world changes.

    def time_passes(self, seconds, alive) -> None:
        self.now += dt.timedelta(seconds=seconds)
        if alive:
            self._alive()

    def switch_alice(self, off) -> None:
        from sessions_app.operations.identities.disable_identity import disable_identity, enable_identity

        verb = disable_identity if off else enable_identity
        verb(identity_id=self.world.alice.pk, actor=self.world.admin, now=self.now)

    def apply_a_catalogue(self, what) -> None:
        files = {}
        if what is not None:
            path, old, new = what
            files[path] = self.world.catalogue[path].replace(old, new)
        self.world.apply(files, now=self.now)

    # What must always hold.

    @invariant()
    def grants_only_move_forward_and_only_as_recorded(self) -> None:
        from sessions_app.models import Grant

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
        from sessions_app.models import Grant
        from sessions_app.operations.sessions.authorize_use import authorize_use
        from sessions_app.operations.sessions.proofs.holder import ByHolder

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
        from sessions_app.models import Grant

        for grant in Grant.objects.filter(state="ended"):
            assert not grant.leases.filter(gone_at__isnull=True).exists()
            assert not grant.sessions.filter(closed_at__isnull=True).exists()
            assert not grant.runs.filter(state__in=["allowed", "running", "held"]).exists()
            assert not [place for place in self.fake.left if place[1] == grant.mark]

    @invariant()
    def what_was_approved_is_what_is_held_and_nobody_approved_their_own(self) -> None:
        from sessions_app.models import AccessRequest, Grant

        family = {self.world.alice.pk, self.world.robot.pk, self.world.deployer.pk}
        for request in AccessRequest.objects.prefetch_related("approvals__approver"):
            for approval in request.approvals.all():
                assert approval.approver.is_person
                assert not (request.requester_id in family and approval.approver_id in family)
                assert approval.digest == request.digest
            events = (
                AuditEntry.objects.filter(object_ref=request.ref)
                .order_by("-seq")
                .values_list("event", flat=True)
            )
            final = {"request.denied": "denied", "request.withdrawn": "withdrawn", "request.lapsed": "lapsed"}
            assert final.get(events[0], request.state) == request.state
            assert request.state == "pending" or events[0] != "request.created"
        for grant in Grant.objects.select_related("request").prefetch_related(
            "targets", "request__approvals"
        ):
            asked = grant.request
            assert {target.pk for target in grant.targets.all()} <= set(asked.targets)
            assert self.lives[grant.pk].first_expiry - grant.starts_at <= dt.timedelta(seconds=asked.duration)
            assert grant.parameters == asked.parameters
            assert grant.starts_at >= (asked.starts_at or asked.created_at)
            yes = [a for a in asked.approvals.all() if a.verdict == "approve" and a.voided_at is None]
            assert yes or grant.break_glass
            assert not [a for a in asked.approvals.all() if a.verdict == "deny" and a.voided_at is None]
            for approval in yes:
                assert set(grant.commands) <= set(approval.narrowing.get("commands", grant.commands))
                span = self.lives[grant.pk].first_expiry - grant.starts_at
                assert span.total_seconds() <= approval.narrowing.get("duration", asked.duration)

    @invariant()
    def the_record_is_whole(self) -> None:
        assert verify(connection=connection, from_seq=self.first_entry).ok


def test_whatever_happens_in_whatever_order_the_promises_hold(db, now, fake_targets):
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
