"""An on-call responder gets access to the incident's service and logs immediately; when the incident is
resolved, all of it ends.

Real OpenSSH, the web process as in production, and PagerDuty's documented API over the wire.
"""

import itertools
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
import yaml

from broker.kernel import clock
from sessions_app.models import Grant, Sweeper
from sessions_app.operations.requests.request_access import RequestRefused, request_access
from tests.support.browser.site import serve
from tests.support.servers.files import client, scp, with_files
from tests.support.servers.gateway import on_target
from tests.support.servers.outside import (
    Outside,
    outside,
    pagerduty_event,
    signed_by_pagerduty,
    tell_pagerduty,
)
from tests.support.waits import eventually

ID = "Q1ABCDEF2GHI"
SECRET = "secret-of-the-subscription"
ON_CALL = ("alice@example.com",)
LONG = 30
_numbers = itertools.count(10)


@pytest.fixture(scope="module")
def logs(place) -> Path:
    """Return the folder of the logs on the target."""
    logs = (place.folder / "files" / "logs").resolve()
    logs.mkdir(parents=True)
    return logs


@pytest.fixture(scope="module")
def pagerduty(place, logs) -> Iterator[Outside]:
    """Set up PagerDuty, and a policy that depends on its incidents."""
    with outside() as system:
        terms = yaml.safe_load(place.world.catalog["policies/web-work.yaml"])
        terms |= {
            "incident": {"on_call": ["on-call"], "max_duration": "2h"},
            "workflow": {
                "kinds": ["incident"],
                "sources": ["pagerduty"],
                "severity": ["P1"],
                "requester": "on_call",
            },
        }
        files = with_files(place, logs.parent, "0" * 64)
        commands = yaml.safe_load(files["command-sets/restart-web.yaml"])
        commands["parameters"]["unit"]["from"] = "workflow.service"
        source = {
            "name": "pagerduty",
            "provider": "pagerduty",
            "services": {"PIJ90N7": ["web"]},
            "parameters": {"url": system.url, "token": "pd-token"},
            "webhook_secrets": [SECRET],
        }
        files |= {
            "command-sets/restart-web.yaml": yaml.safe_dump(commands),
            "workflow-sources/pagerduty.yaml": yaml.safe_dump(source),
            "policies/web-work.yaml": yaml.safe_dump(terms),
            "groups/on-call.yaml": "name: on-call\nmembers: [alice, dora]\n",
            "groups/operators.yaml": "name: operators\nmembers: [alice, dora]\n",
        }
        place.world.apply(files, now=clock.now())
        yield system


@pytest.fixture(scope="module")
def site(place, pagerduty, tmp_path_factory) -> Iterator[str]:
    with serve(place.env, tmp_path_factory.mktemp("site")) as address:
        yield address


@pytest.fixture
def incident(pagerduty) -> str:
    """Return the id of an open incident of the service nginx, for which Alice is on call; each test has its
    own.
    """
    number = f"{ID}{next(_numbers)}"
    tell_pagerduty(pagerduty, number, on_call=ON_CALL, service={"id": "PIJ90N7", "summary": "nginx"})
    return number


def respond(place, incident, who=None):
    """Request access for the incident, as a responder at night would: no reason, no parameters."""
    now = clock.now()
    Sweeper.objects.update_or_create(name="test", defaults={"seen_at": now})
    ask = replace(
        place.world.ask(), kind="incident", workflow=f"pagerduty:{incident}", reason="", parameters={}
    )
    request = request_access(requester=who or place.world.alice, ask=ask, now=now)
    grant = Grant.objects.get(request=request)
    eventually(lambda: grant.refresh_from_db() or grant.state == "active", within=LONG)
    return grant


def deliver(site: str, body: bytes, headers: dict[str, str]) -> int:
    """Send PagerDuty's webhook to the web process, over the wire."""
    ask = urllib.request.Request(
        f"{site}/hooks/pagerduty/", body, {"Content-Type": "application/json", **headers}, method="POST"
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(ask, timeout=LONG) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def resolve(site: str, pagerduty: Outside, incident: str) -> bytes:
    """Let PagerDuty report that the incident is resolved, and return the delivery."""
    resolved = pagerduty_event(incident, "incident.resolved", "resolved", f"01{incident}")
    tell_pagerduty(pagerduty, incident, "resolved")
    assert deliver(site, resolved, signed_by_pagerduty(SECRET, resolved)) == HTTPStatus.OK
    return resolved


def test_logs_and_containment_of_that_service_at_once_and_all_over_when_it_is_resolved(
    place, pagerduty, incident, site
):
    grant = respond(place, incident)
    user = f"{grant.ref}.web-1"
    assert grant.request.state == "approved"
    assert not grant.request.approvals.exists()
    assert place.ssh("echo", "restart", "nginx", user=user).stdout == b"restart nginx\n"
    # Nothing is allowed on another service: the commands are limited to the incident's.
    neighbor = place.ssh("echo", "restart", "haproxy", user=user)
    assert neighbor.returncode != 0
    assert b"haproxy" in neighbor.stderr
    with place.running("sleep", user=user) as (running, tag):
        resolved = resolve(site, pagerduty, incident)
        eventually(lambda: not on_target(tag), within=LONG)
        assert running.wait(LONG) == 255
        assert f"{grant.ref} has ended: workflow closed." in running.stderr.read().decode()
    assert place.ssh("true", user=user).returncode != 0
    eventually(lambda: grant.refresh_from_db() or grant.state == "ended", within=LONG)
    assert grant.end_reason == "workflow_closed"
    assert all(lease.gone_at for lease in grant.leases.all())
    # Neither another request nor the same delivery gives access again.
    with pytest.raises(RequestRefused):
        respond(place, incident)
    assert deliver(site, resolved, signed_by_pagerduty(SECRET, resolved)) == HTTPStatus.OK
    reopened = pagerduty_event(incident, "incident.reopened", "triggered", "01ABC3")
    assert deliver(site, reopened, signed_by_pagerduty(SECRET, reopened)) == HTTPStatus.OK
    assert place.ssh("true", user=user).returncode != 0


def test_a_log_is_downloaded_until_the_incident_is_resolved(place, pagerduty, incident, site, logs, tmp_path):
    (logs / "error.log").write_bytes(b"upstream timed out\n")
    with (logs / "access.log").open("wb") as file:
        file.truncate(200_000_000)
    grant = respond(place, incident)
    there, got = f"{grant.ref}.web-1@127.0.0.1:{logs}", tmp_path / "got"
    assert scp(place, f"{there}/error.log", str(got)).returncode == 0
    assert got.read_bytes() == b"upstream timed out\n"
    slow = client(place, "scp", "-l", "8000", f"{there}/access.log", str(got))  # kbit/s
    with subprocess.Popen(slow, stderr=subprocess.PIPE) as running:
        eventually(lambda: got.stat().st_size > 100_000)
        resolve(site, pagerduty, incident)
        assert running.wait(LONG) != 0
        assert f"{grant.ref} has ended: workflow closed." in running.stderr.read().decode()
    assert got.stat().st_size < 200_000_000
    eventually(lambda: grant.runs.latest("pk").state == "cut", within=LONG)
    assert scp(place, f"{there}/error.log", str(got)).returncode != 0
