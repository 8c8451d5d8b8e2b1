"""The time from a signed webhook that closes an incident to the end of the commands that run for it.

A hundred grants are bound to one incident, each with a command that runs on a real sshd; a command counts as
dead when the kernel says so. The webhook goes over the wire to the web process, as it runs in production.
"""

import contextlib
import time
import urllib.request

import yaml

from tests.bench.deaths import Deaths
from tests.bench.place import place_with_targets, queue, worker
from tests.bench.report import Report, median, percentile
from tests.bench.ssh import running_commands
from tests.support.browser.site import serve
from tests.support.servers.gateway import Place
from tests.support.servers.outside import (
    Outside,
    outside,
    pagerduty_event,
    signed_by_pagerduty,
    tell_pagerduty,
)
from tests.support.waits import eventually

GRANTS, ROUNDS = 100, 2
SECRET = "secret-of-the-subscription"


def run(report: Report) -> None:
    """Measure."""
    with contextlib.ExitStack() as running:
        valkey = running.enter_context(queue())
        place = running.enter_context(place_with_targets(REDIS_URL=valkey.celery_url()))
        running.enter_context(worker(place))
        pagerduty = running.enter_context(outside())
        _set_up(place, pagerduty)
        site = running.enter_context(serve({**place.env, "REDIS_URL": valkey.celery_url()}, place.folder))
        took = [
            moment
            for number in range(ROUNDS)
            for moment in _resolve(place, pagerduty, site, f"Q{number}ABCDEF")
        ]
    report.note(
        f"signed webhook to each of {GRANTS} commands dead, {ROUNDS} times: median {median(took):.0f} ms"
    )
    report.figure(
        f"signed webhook to command dead, {GRANTS} grants, p99", percentile(took, 99), "ms", most=2000
    )
    report.figure(f"signed webhook to the last command dead, {GRANTS} grants", max(took), "ms", most=2000)


def _set_up(place: Place, pagerduty: Outside) -> None:
    from broker.kernel import clock

    source = {
        "name": "pagerduty",
        "provider": "pagerduty",
        "clusters": ["web"],
        "webhook_secrets": [SECRET],
        "parameters": {"url": pagerduty.url, "token": "pd-token"},
    }
    files = {**place.catalog(), "workflow-sources/pagerduty.yaml": yaml.safe_dump(source)}
    place.world.apply(files, now=clock.now())


def _resolve(place: Place, pagerduty: Outside, site: str, incident: str) -> list[float]:
    """Return the milliseconds from sending the webhook to the exit of each command."""
    tell_pagerduty(pagerduty, incident)
    grants = [_grant(place, f"pagerduty:{incident}") for _ in range(GRANTS)]
    eventually(lambda: all(_state(grant) == "active" for grant in grants), within=60)
    users = [f"{grant.ref}.web-{1 + number % 2}" for number, grant in enumerate(grants)]
    with running_commands(place, users) as pids:
        body = pagerduty_event(incident, "incident.resolved", "resolved", incident)
        tell_pagerduty(pagerduty, incident, "resolved")
        deaths = Deaths(pids, within=30)
        sent = time.monotonic()
        _deliver(site, body)
        took = [(moment - sent) * 1000 for moment in deaths.wait().values()]
        eventually(lambda: all(_state(grant) == "ended" for grant in grants), within=60)
    return took


def _grant(place: Place, ref: str):
    from broker.kernel import clock
    from sessions_app.models import Sweeper

    now = clock.now()
    Sweeper.objects.update_or_create(name="test", defaults={"seen_at": now})
    return place.world.request(now=now, kind="incident", workflow=ref).grant


def _deliver(site: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json", **signed_by_pagerduty(SECRET, body)}
    ask = urllib.request.Request(f"{site}/hooks/pagerduty/", body, headers, method="POST")
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(ask, timeout=30) as answer:
        assert answer.status == 200, answer.status


def _state(grant) -> str:
    grant.refresh_from_db()
    return grant.state
