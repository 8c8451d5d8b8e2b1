"""One run: people use the stack, faults are injected as planned, and then the result is judged."""

import math
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass

from django.db import connections

from tests.faults import breaks
from tests.faults.clients import HTTP, MCP, SQL, SSH, Kubernetes, Means
from tests.faults.evidence import facts, unsettled
from tests.faults.judge import Outage, broken, report
from tests.faults.lives import PROBER, People
from tests.faults.plan import Break, planned
from tests.faults.stack import Stack
from tests.faults.watch import Watch

# Seconds: until everything must have ended after the last use, and the longest wait for a recovery.
SETTLE_S, LOOK_S = 60.0, 40.0
# Faults after which Stint must be usable again within 15 s.
RECOVERS = {"failover", "database restart"}


@dataclass
class Breaker:
    """Injects the planned faults, in the main thread, because servers end with the thread that started
    them.
    """

    stack: Stack
    people: People
    outages: list[Outage]

    def follow(self, plan: list[Break], began: float) -> None:
        """Inject one fault after another, each at its time."""
        for one in plan:
            time.sleep(max(0.0, began + one.at - time.monotonic()))
            self._break(one)

    def _break(self, one: Break) -> None:
        say(f"{one.kind} {one.place}".strip() + (f" for {one.lasts:g} s" if one.lasts else ""))
        begun = time.time()
        with breaks.broken(self.stack, one.kind, one.place, one.lasts):
            time.sleep(one.lasts)
        healed = time.time()
        recovered = self._recovered(healed) if one.kind in RECOVERS else None
        self.outages.append(
            Outage(
                one.kind,
                one.place,
                begun,
                healed,
                away=breaks.away(one.kind, one.place),
                untold=breaks.is_untold(one.kind),
                recovered=recovered,
                stalled=self.people.watch.stalled(healed, time.time()),
            )
        )
        breaks.mend(self.stack, one.kind)

    def _recovered(self, healed: float) -> float:
        """Return the seconds until a new request results in access; infinite if that takes longer than the
        wait.
        """
        until = time.monotonic() + LOOK_S
        while time.monotonic() < until:
            if self.people.can_start(PROBER):
                return time.time() - healed
            time.sleep(0.1)
        return math.inf


def run(stack: Stack, *, minutes: float, seed: int, only: str = "") -> int:
    """Use and break the stack for this long, print the observations, and return the exit status."""
    kinds = {name: kind for name, kind in breaks.KINDS.items() if only in name}
    plan = planned(kinds, seconds=minutes * 60, seed=seed)
    watch = Watch()
    watch.start()
    people = People(_clients(stack, watch), stack.tokens, watch)
    breaker = Breaker(stack, people, [])
    say(f"ready; {len(plan)} faults in {minutes:g} minutes by seed {seed}; load {os.getloadavg()[0]:.1f}")
    began = time.monotonic()
    people.begin(seed)
    breaker.follow(plan, began)
    time.sleep(max(0.0, began + minutes * 60 - time.monotonic()))
    stuck = [f"{name} waits" for name in people.end()]
    # This process's connection may be broken.
    connections.close_all()
    stuck += _settled()
    watch.stop()
    found = facts(people, watch, breaker.outages, stack.runs, stuck)
    found.lasted = time.monotonic() - began
    found.stalled = sum(lost for _, lost in watch.stalls)
    return _told(stack, people, found)


def _clients(stack: Stack, watch: Watch) -> list[Means]:
    """Return the clients in use: more for hosts, which leave the most processes behind."""
    assert stack.place is not None
    assert stack.shop is not None
    hosts = SSH(stack.place, watch)
    return [
        hosts,
        hosts,
        hosts,
        HTTP(watch),
        SQL(stack.shop.server.port, watch),
        MCP(watch),
        Kubernetes(stack.folder),
    ]


def _settled() -> list[str]:
    """Wait until everything has ended; return what has not."""
    until = time.monotonic() + SETTLE_S
    while (left := unsettled()) and time.monotonic() < until:
        time.sleep(1)
    return left


def _told(stack: Stack, people: People, found) -> int:
    print(report(found))
    print(
        f"{len(people.refusals)} refused or unanswered; starts: "
        + ", ".join(f"{one.name} {one.starts}" for one in stack.processes.by_name.values())
    )
    for one in found.outages:
        if one.recovered is not None:
            print(f"{one}: a new grant was active {one.recovered:.1f} s after the database was back")
    for text, count in Counter(text[:120] for text in people.refusals).most_common(8):
        print(f"  {count} x {text}")
    if unused := Counter(f"{life.uses.asks[0]} {life.kind}" for life in people.lives if not life.used):
        print("not used: " + ", ".join(f"{kind} {count}" for kind, count in sorted(unused.items())))
    faults = broken(found)
    for fault in faults:
        print(f"BROKEN  {fault}")
    print(
        f"load {os.getloadavg()[0]:.1f}; "
        + ("every promise was kept" if not faults else f"{len(faults)} promises were broken")
    )
    sys.stdout.flush()
    return 1 if faults else 0


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)
