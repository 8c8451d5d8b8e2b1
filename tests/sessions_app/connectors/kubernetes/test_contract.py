"""Kubernetes, held to what every connector is held to."""

import pytest

from sessions_app.connectors.base import LeaseSpec
from sessions_app.connectors.kubernetes.objects import RBAC, Wanted, name_of
from sessions_app.policy.commands.kinds import compile_set, parse_text
from sessions_app.policy.commands.kubernetes.rights import PolicyRule
from tests.sessions_app.connectors.contract import *  # noqa: F403
from tests.sessions_app.connectors.contract import Case
from tests.sessions_app.connectors.kubernetes.conftest import SET, place_of

WEB = "stint-test-web"
LOOK = (PolicyRule(("list",), ("",), ("pods",)),)


@pytest.fixture
def case(cluster, connector, place, hung, closed):
    def leave(lease: LeaseSpec) -> None:
        """An account and a role that nothing is bound to: a provisioner died between its calls."""
        wanted = Wanted(lease.mark, lease.grant_ref, "alice", "stint-grants", WEB, LOOK)
        cluster.call("POST", "/api/v1/namespaces/stint-grants/serviceaccounts", wanted.account())
        cluster.call("POST", f"{RBAC}/namespaces/{WEB}/roles", wanted.role())

    def foreign():
        """Things that look much like Stint's."""
        other = name_of("0" * 31)  # a digit short
        made = {
            "/api/v1/namespaces/stint-grants/serviceaccounts": {"metadata": {"name": other}},
            f"{RBAC}/namespaces/{WEB}/roles": {"metadata": {"name": "stint-admin"}, "rules": []},
            f"{RBAC}/clusterroles": {
                "metadata": {"name": "stint-backup", "labels": {"app.kubernetes.io/managed-by": "stint"}},
                "rules": [],
            },
        }
        for path, body in made.items():
            cluster.call("POST", path, body)
        paths = [f"{path}/{body['metadata']['name']}" for path, body in made.items()]
        before = [cluster.call("GET", path) for path in paths]
        assert {status for status, _ in before} == {200}
        return lambda: [cluster.call("GET", path) for path in paths] == before

    return Case(
        connector=connector,
        place=place,
        down=place_of(cluster, port=closed),
        hung=place_of(cluster, port=hung),
        commands=compile_set(parse_text(SET), {"ns": WEB, "name": "shop"}),
        leave=leave,
        foreign=foreign,
    )
