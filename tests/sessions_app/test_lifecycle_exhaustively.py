"""Every order of events in the life of one grant, until nothing new is reached.

The acts, and what must hold after each, are those of `test_lifecycle.py`. A state is what the rows say,
without ids, and with moments as past or to come. From each state every act is tried; one that leads to a
known state is not followed again.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import transaction

from accounts.models import Identity
from broker.audit.models import AuditHead
from sessions_app.models import AccessRequest, CommandRun, Grant, Session, Sweeper
from tests.sessions_app.test_lifecycle import Lifecycle
from tests.support.world.replay import world_again

pytestmark = pytest.mark.slow
DURATION = 600
# From a grant that is asked for, with what people, gateways, workers and the world can do to it.
ACTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bob approves": (
        "decide",
        {"pick": 1, "who": "bob", "verdict": "approve", "narrowing": {}, "stale": False},
    ),
    "bob denies": ("decide", {"pick": 1, "who": "bob", "verdict": "deny", "narrowing": {}, "stale": False}),
    "alice approves": (
        "decide",
        {"pick": 1, "who": "alice", "verdict": "approve", "narrowing": {}, "stale": False},
    ),
    "alice withdraws": ("withdraw", {"pick": 1, "who": "alice"}),
    "a worker starts it": ("start_message", {"pick": 1}),
    "a worker dies while it starts it": ("start_and_die_half_way", {"pick": 1}),
    "alice uses it": ("use", {"host": "web-1", "who": "alice", "line": "echo restart nginx"}),
    "alice uses an old proof": ("use_what_was_authorized_before", {"pick": 0, "line": "echo restart nginx"}),
    "its session closes": ("close_a_session", {"pick": 0}),
    "its gateway is lost": ("lose_the_gateway", {}),
    "alice ends it": ("end", {"pick": 1, "who": "alice", "kill": False}),
    "bob kills it": ("end", {"pick": 1, "who": "bob", "kill": True}),
    "alice extends it": ("extend", {"pick": 1, "who": "alice", "seconds": DURATION}),
    "a target is down at the revoke": ("undo_message", {"pick": 1, "down": {"web-1"}, "skew": 0}),
    "it is revoked": ("report_and_undo", {"pick": 1}),
    "a worker dies when it has revoked it": ("undo_and_die_before_it_is_written_down", {"pick": 1}),
    "a sweep": ("sweep", {"baseless": True}),
    "alice is disabled": ("switch_alice", {"off": True}),
    "alice is enabled": ("switch_alice", {"off": False}),
    "a minute passes": ("time_passes", {"seconds": 61, "alive": True}),
    "its time passes": ("time_passes", {"seconds": DURATION + 1, "alive": True}),
}
# What would go on without end, and the most of it.
MOST: dict[str, Callable[[], bool]] = {
    "alice uses it": lambda: Session.objects.count() < 1,
    "alice uses an old proof": lambda: CommandRun.objects.count() < 2,
}
HOLDS = (
    "grants_only_move_forward_and_only_as_recorded",
    "nothing_over_opens_anything",
    "ended_means_proven",
    "nobody_approved_their_own_and_what_was_decided_stays",
    "what_was_approved_is_what_is_held",
    "the_record_is_whole",
)


class Explorer:
    """Goes as far as any order of acts leads. ``path`` is how the present state was reached."""

    def __init__(self, machine: Lifecycle) -> None:
        self._machine = machine
        self.reached: set[tuple[Any, ...]] = set()
        self.tried = 0
        self.path: list[str] = []

    def go(self) -> None:
        """Try every act from here, and from wherever that leads."""
        for name, (method, arguments) in ACTS.items():
            if name not in MOST or MOST[name]():
                self._try(name, method, arguments)

    def _try(self, name: str, method: str, arguments: dict[str, Any]) -> None:
        machine, point = self._machine, transaction.savepoint()
        kept = (
            machine.now,
            {pk: replace(life, uses=[*life.uses]) for pk, life in machine.lives.items()},
            dict(machine.fake.left),
            set(machine.fake.down),
        )
        self.path.append(name)
        self.tried += 1
        getattr(machine, method)(**arguments)
        state = self._state()
        if state not in self.reached:
            self.reached.add(state)
            for promise in HOLDS:
                getattr(machine, promise)()
            self.go()
        self.path.pop()
        transaction.savepoint_rollback(point)
        machine.now, machine.lives = kept[:2]
        machine.fake.left.clear()
        machine.fake.left.update(kept[2])
        machine.fake.down = kept[3]

    def _state(self) -> tuple[Any, ...]:
        now = self._machine.now

        def due(moment: dt.datetime | None) -> bool | None:
            return None if moment is None else moment <= now

        requests = [(one.state, due(one.lapses_at)) for one in AccessRequest.objects.order_by("pk")]
        grants = [
            (
                one.state,
                due(one.starts_at),
                due(one.expires_at),
                due(one.next_attempt_at),
                due(one.finish_until),
                one.attempts > 0,
                one.held_at is not None,
                one.extensions.count(),
                [(due(lease.asked_at), due(lease.gone_at)) for lease in one.leases.order_by("target_id")],
            )
            for one in Grant.objects.order_by("pk")
        ]
        sessions = [one.closed_at is None for one in Session.objects.order_by("pk")]
        runs = [one.state for one in CommandRun.objects.order_by("pk")]
        left = sorted(place for place, _ in self._machine.fake.left)
        active = Identity.objects.get(username="alice").is_active
        return _hashable((requests, grants, sessions, runs, left, active))


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, list | tuple) else value


def test_in_every_order_of_events_the_promises_hold(db, now, fake_targets, capsys):
    machine = Lifecycle.__new__(Lifecycle)
    machine.fake, machine.now, machine.lives = fake_targets, now, {}
    machine.world = world_again(now)
    machine.first_entry = AuditHead.objects.get(log="main").seq + 1
    Sweeper.objects.update(seen_at=now)
    machine.ask("alice", DURATION, None, "planned", None)
    explorer = Explorer(machine)
    try:
        explorer.go()
    except AssertionError as broken:
        raise AssertionError("a promise is broken after: " + ", ".join(explorer.path)) from broken
    with capsys.disabled():
        print(f"\n{len(explorer.reached)} states of a grant's life were reached by {explorer.tried} acts")
    assert len(explorer.reached) >= 1000
