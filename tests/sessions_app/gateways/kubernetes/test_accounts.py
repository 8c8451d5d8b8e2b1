"""Tokens of accounts, requested by the gateway: no cluster delays another one."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.kubernetes.objects import name_of
from sessions_app.gateways.core.client import Client
from sessions_app.gateways.kubernetes.accounts import Accounts
from sessions_app.gateways.kubernetes.upstream import AHEAD, KEPT_S
from tests.sessions_app.connectors.kubernetes.conftest import place_of, set_up
from tests.support.pace import allow
from tests.support.servers.kubernetes.cluster import in_process
from tests.support.servers.kubernetes.server import ApiServer, Fault

MARKS = [f"{number:032x}" for number in range(8)]


@pytest.fixture
def clusters(processes, tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    with ApiServer(tmp_path / "one") as one, ApiServer(tmp_path / "other") as other:
        for server in (one, other):
            set_up(in_process(server))
        yield one, other


def uses(server) -> list[SimpleNamespace]:
    """Return what these tests need of grants on a cluster: their accounts, and their targets."""
    cluster = in_process(server)
    place = place_of(cluster)
    accounts = place.parameters.accounts
    for mark in MARKS:
        made = {"metadata": {"name": name_of(mark), "namespace": accounts}}
        cluster.call("POST", f"/api/v1/namespaces/{accounts}/serviceaccounts", made)
    return [SimpleNamespace(mark=mark, target=place.target, place=place) for mark in MARKS]


async def asked(work, *, seconds: float):
    client = Client(kept=KEPT_S, ahead=AHEAD)
    try:
        return await work(Accounts(client.session, seconds=seconds))
    finally:
        await client.close()


def test_a_token_is_requested_once_and_another_one_instead_of_one_that_is_refused(clusters):
    use = uses(clusters[0])[0]

    async def work(accounts):
        first = await asyncio.gather(*(accounts.token_of(use) for _ in range(3)))
        return [*first, await accounts.token_of(use, instead_of=first[0])]

    tokens = asyncio.run(asked(work, seconds=8))
    assert len(set(tokens[:3])) == 1
    assert tokens[3] != tokens[0]
    assert (
        sum(call.path.endswith("/token") and name_of(use.mark) in call.path for call in clusters[0].calls)
        == 2
    )


@pytest.mark.parametrize("how", ["drip", "hang"])
def test_a_cluster_that_never_ends_its_answer_fails_in_time_and_holds_up_no_other(clusters, how):
    one, other = clusters
    slow, quick = uses(one)[1:], uses(other)[0]
    one.faults.append(Fault("POST", "/token$", how, times=100))

    async def work(accounts):
        waiting = [asyncio.create_task(accounts.token_of(use)) for use in slow]
        await asyncio.sleep(0.3)
        began = time.monotonic()
        assert await accounts.token_of(quick)
        took = time.monotonic() - began
        assert not any(task.done() for task in waiting)
        return took, await asyncio.gather(*waiting, return_exceptions=True)

    began, longest = time.monotonic(), allow(4)
    took, failed = asyncio.run(asked(work, seconds=longest))
    assert took < longest / 2
    assert time.monotonic() - began < 2 * longest
    assert all(isinstance(one, ConnectorError) for one in failed), failed


@pytest.mark.parametrize(
    ("how", "says"), [(403, "returned 403"), ("before", ""), ("http://127.0.0.1:1/", "returned 302")]
)
def test_what_a_cluster_answers_instead_of_a_token_is_said(clusters, how, says):
    use = uses(clusters[0])[0]
    clusters[0].faults.append(Fault("POST", "/token$", how, times=1))
    if not says:
        assert asyncio.run(asked(lambda accounts: accounts.token_of(use), seconds=8))
        return
    with pytest.raises(ConnectorError, match=says):
        asyncio.run(asked(lambda accounts: accounts.token_of(use), seconds=8))
