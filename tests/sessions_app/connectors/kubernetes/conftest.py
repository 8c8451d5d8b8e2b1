"""A cluster that is set up as `kubernetes_target_setup` says, and a grant on it."""

import contextlib
import datetime as dt
import secrets
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from pydantic import SecretStr

from broker.demo.ports import free_port
from sessions_app.connectors.base import GrantSpec, LeaseSpec, TargetSpec
from sessions_app.connectors.kubernetes.connector import KubernetesConnector
from sessions_app.connectors.kubernetes.parameters import KubernetesParameters
from sessions_app.connectors.kubernetes.setup import ceiling, target_setup
from sessions_app.policy.commands.kinds import compile_open, compile_set, parse_text
from sessions_app.policy.scope import TargetFacts
from tests.support.servers.kubernetes.cluster import Cluster, from_kubeconfig, in_process
from tests.support.servers.kubernetes.real import REAL
from tests.support.servers.kubernetes.server import ApiServer

SET = """\
name: restart-shop
kind: kubernetes
summary: Restart a deployment of one namespace
risk: medium
parameters:
  ns: {choice: [stint-test-web, stint-test-api]}
  name: {name: 63}
commands:
  - run: get pods -n {ns}
    effect: read
  - run: rollout restart deployment/{name} -n {ns}
    effect: change
  - rule: {verbs: [get, list], groups: [""], resources: [configmaps], namespaces: ["{ns}"], names: []}
    effect: read
  - run: get nodes
    effect: read
"""
SPACES = ("stint-test-web", "stint-test-api", "stint-test-other")


@pytest.fixture(scope="session")
def cluster(processes, tmp_path_factory) -> Iterator[Cluster]:
    """One cluster for all of these tests."""
    with contextlib.ExitStack() as stack:
        if REAL:
            made = from_kubeconfig(REAL)
        else:
            server = ApiServer(tmp_path_factory.mktemp("kubernetes"), cache_seconds=0.2)
            made = in_process(stack.enter_context(server))
        set_up(made)
        yield made


def set_up(made: Cluster) -> None:
    for name in SPACES:
        made.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
    made.apply(target_setup(ceiling([compile_open(parse_text(SET))])))


@pytest.fixture
def server(cluster) -> Iterator[ApiServer]:
    """The server in this process, which can be told to fail."""
    if cluster.server is None:
        pytest.skip("the API server of STINT_TEST_KUBECONFIG can't be told to fail")
    yield cluster.server
    cluster.server.faults.clear()
    cluster.server.before = None
    cluster.server.drop_idle = False


def place_of(cluster: Cluster, **changes) -> TargetSpec:
    facts = {
        "id": 1,
        "name": "prod-1",
        "address": cluster.address,
        "port": cluster.port,
        "account": "",
        "host_key": "",
    }
    token = SecretStr(cluster.token_of("stint-system", "stint"))
    # Holders get tokens of the cluster itself, whatever gateway stands before it.
    known = {"ca": cluster.ca, "token": token, "direct": True}
    moved = {key: changes.pop(key) for key in ("address", "port") if key in changes}
    return TargetSpec(
        cluster="prod",
        target=TargetFacts(**{**facts, **moved}),
        parameters=KubernetesParameters(**{**known, **changes}),
    )


@pytest.fixture
def place(cluster) -> TargetSpec:
    return place_of(cluster)


@pytest.fixture
def connector(cluster) -> KubernetesConnector:
    return KubernetesConnector(settle=0.0 if cluster.server else 0.5)


@dataclass
class Ground:
    """A place, and grants on it."""

    cluster: Cluster
    place: TargetSpec
    connector: KubernetesConnector

    def spec(self, *, keep=None, minutes: float = 60, place: TargetSpec | None = None, **values) -> GrantSpec:
        bound = {"ns": "stint-test-web", "name": "shop", **values}
        return GrantSpec(
            grant_ref="GR-7F3K",
            mark=secrets.token_hex(16),
            holder="alice",
            place=place or self.place,
            commands=compile_set(parse_text(SET), bound, keep),
            expires_at=dt.datetime.now(dt.UTC) + dt.timedelta(minutes=minutes),
        )

    def forgotten(self, spec: GrantSpec) -> LeaseSpec:
        """The lease of a grant after a crash that lost what was made."""
        return LeaseSpec(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place)

    def credential(self, spec: GrantSpec, lease: LeaseSpec) -> str:
        return self.connector.issue(spec, lease).fields["Token"]

    def status(self, token: str, path: str, method: str = "GET") -> int:
        return self.cluster.as_holder(method, path, token)


@pytest.fixture
def ground(cluster, place, connector) -> Ground:
    return Ground(cluster, place, connector)


@pytest.fixture
def hung() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def closed() -> int:
    return free_port()


Step = Callable[[], object]
