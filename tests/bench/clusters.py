"""The Kubernetes gateway: kubectl with and without it, and a thousand open watches that are cut."""

import asyncio
import contextlib
import importlib
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from sessions_app.connectors.kubernetes.kubeconfig import token_kubeconfig
from sessions_app.gateways.core.arrivals import LIMITS
from tests.bench.database import database
from tests.bench.place import environment
from tests.bench.report import Report, median
from tests.support.servers.kubernetes_place import Place, gateway_before

ROUNDS, WATCHES, AT_ONCE = 8, 1000, 50
WATCH = "/api/v1/namespaces/shop/pods?watch=true"


def run(report: Report) -> None:
    """Measure."""
    importlib.import_module("sessions_app.operations.targets.connect")  # registers the cluster kinds
    with tempfile.TemporaryDirectory(prefix="stint-bench-") as name, database() as (database_name, world):
        folder = Path(name)
        with gateway_before(world, environment(database_name, folder), folder) as place:
            _kubectl(report, place)
            _watches(report, place)


def _kubectl(report: Report, place: Place) -> None:
    through, alone = place.kubeconfig(place.grant()), place.folder / "alone.json"
    server = f"https://{place.cluster.address}:{place.cluster.port}"
    alone.write_text(
        token_kubeconfig(
            name="prod", server=server, ca=place.cluster.ca, namespace="shop", token=place.cluster.token
        )
    )
    times: dict[Path, list[float]] = {through: [], alone: []}
    for number in range(ROUNDS + 1):
        for file, found in times.items():
            took = _get_pods(place, file)
            if number:
                found.append(took)
    ours, theirs = median(times[through]), median(times[alone])
    report.note(f"kubectl get pods: {ours * 1000:.0f} ms through the gateway, {theirs * 1000:.0f} ms alone")
    report.figure("kubectl get pods through the gateway over alone", ours / theirs, "x", most=1.3)


def _get_pods(place: Place, file: Path) -> float:
    began = time.perf_counter()
    words = ["kubectl", "--kubeconfig", str(file), "get", "pods", "-n", "shop"]
    subprocess.run(words, env=place.env_of_kubectl(), check=True, capture_output=True)
    return time.perf_counter() - began


def _watches(report: Report, place: Place) -> None:
    # The maximum that one grant may have, of each.
    grants = [place.grant() for _ in range(-(-WATCHES // LIMITS.per_grant))]
    heads = [{"Authorization": f"Bearer {place.token(grant)}"} for grant in grants]
    took, each = asyncio.run(_opened_and_cut(place, heads, place.context, grants))
    report.figure(f"memory of one of {WATCHES:,} open watches", each / 1000, "KB", most=150)
    report.figure(
        f"{WATCHES:,} watches cut after the first revoke of {len(grants)} grants", took, "s", most=1
    )


async def _opened_and_cut(
    place: Place, heads: list[dict[str, str]], context: Any, grants: list[Any]
) -> tuple[float, float]:
    """Return the seconds from the first revoke until the last watch was cut, and the memory per watch in
    bytes.
    """
    before = _memory(place)
    places, no_limit = asyncio.Semaphore(AT_ONCE), aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=no_limit) as client:

        async def opened(number: int) -> aiohttp.ClientResponse:
            async with places:
                head = heads[number % len(heads)]
                answer = await client.get(f"{place.url}{WATCH}", headers=head, ssl=context)
                assert answer.status == 200, await answer.text()
                await answer.content.readany()
                return answer

        watches = await asyncio.gather(*(opened(number) for number in range(WATCHES)))
        each = (_memory(place) - before) / WATCHES
        ends = [asyncio.create_task(_end_of(watch)) for watch in watches]
        began = time.monotonic()
        await asyncio.to_thread(_revoke, grants)
        await asyncio.wait(ends)
        return max(end.result() for end in ends) - began, each


async def _end_of(answer: aiohttp.ClientResponse) -> float:
    with contextlib.suppress(aiohttp.ClientError):
        async for _ in answer.content.iter_any():
            pass
    return time.monotonic()


def _revoke(grants: list[Any]) -> None:
    from django.db import connection

    from broker.kernel import clock
    from sessions_app.models import EndReason
    from sessions_app.operations.grants.end_grant import end_grant

    for grant in grants:
        end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
    connection.close()


def _memory(place: Place) -> int:
    """Return the resident memory of the gateway, in bytes."""
    assert place.gateway is not None
    status = Path(f"/proc/{place.gateway.pid}/status").read_text(encoding="ascii")
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
