"""What others change by hand is seen, mended, or named where it is not Stint's to change."""

import pytest

from sessions_app.connectors.kubernetes.objects import RBAC, name_of
from tests.support.servers.kubernetes.cluster import eventually

WEB, OTHER = "stint-test-web", "stint-test-other"


@pytest.fixture
def granted(ground):
    spec = ground.spec(keep={0})
    lease = ground.connector.provision(spec)
    yield spec, lease
    assert eventually(lambda: ground.connector.revoke(lease).gone)


def of(ground, lease):
    return next(one for one in ground.connector.observe(ground.place) if one.mark == lease.mark)


def widen_role(role):
    role["rules"].append({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]})


def widen_binding(binding):
    binding["subjects"].append(
        {"kind": "Group", "name": "system:authenticated", "apiGroup": "rbac.authorization.k8s.io"}
    )


def strip(made):
    made["metadata"]["labels"] = {}


@pytest.mark.parametrize(
    ("plural", "change", "says"),
    [
        ("roles", widen_role, "changed outside Stint"),
        ("rolebindings", widen_binding, "changed outside Stint"),
        ("roles", strip, "labels"),
        ("rolebindings", strip, "labels"),
    ],
)
def test_what_was_changed_by_hand_is_not_intact_and_is_mended(ground, cluster, granted, plural, change, says):
    spec, lease = granted
    path = f"{RBAC}/namespaces/{WEB}/{plural}/{name_of(lease.mark)}"
    _, made = cluster.call("GET", path)
    change(made)
    assert cluster.call("PUT", path, made)[0] == 200
    seen = of(ground, lease)
    assert not seen.intact
    assert says in seen.detail
    ground.connector.provision(spec)
    assert of(ground, lease).intact


@pytest.mark.parametrize("plural", ["roles", "rolebindings"])
def test_what_was_removed_by_hand_is_missed_and_made_again(ground, cluster, granted, plural):
    spec, lease = granted
    cluster.call("DELETE", f"{RBAC}/namespaces/{WEB}/{plural}/{name_of(lease.mark)}")
    assert not of(ground, lease).intact
    ground.connector.provision(spec)
    assert of(ground, lease).intact


def test_a_binding_to_another_role_is_made_anew(ground, cluster, granted):
    spec, lease = granted
    name = name_of(lease.mark)
    path = f"{RBAC}/namespaces/{WEB}/rolebindings"
    _, made = cluster.call("GET", f"{path}/{name}")
    cluster.call("DELETE", f"{path}/{name}")
    made["roleRef"] = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "cluster-admin",
    }
    del made["metadata"]["resourceVersion"]
    cluster.call("POST", f"{RBAC}/clusterroles", {"metadata": {"name": "cluster-admin"}, "rules": []})
    assert cluster.call("POST", path, made)[0] == 201
    assert not of(ground, lease).intact
    ground.connector.provision(spec)
    assert of(ground, lease).intact


def test_a_copy_of_a_grants_role_in_another_namespace_goes_with_it(ground, cluster, granted):
    spec, lease = granted
    name = name_of(lease.mark)
    for plural in ("roles", "rolebindings"):
        _, made = cluster.call("GET", f"{RBAC}/namespaces/{WEB}/{plural}/{name}")
        made["metadata"] = {"name": name, "labels": made["metadata"]["labels"]}
        cluster.call("POST", f"{RBAC}/namespaces/stint-test-api/{plural}", made)
    assert not of(ground, lease).intact
    ground.connector.provision(spec)
    assert of(ground, lease).intact
    assert cluster.call("GET", f"{RBAC}/namespaces/stint-test-api/rolebindings/{name}")[0] == 404


def as_account(name):
    return {"kind": "ServiceAccount", "name": name, "namespace": "stint-grants"}


def as_user(name):
    return {
        "kind": "User",
        "name": f"system:serviceaccount:stint-grants:{name}",
        "apiGroup": "rbac.authorization.k8s.io",
    }


@pytest.mark.parametrize("subject_of", [as_account, as_user])
def test_a_binding_of_others_that_names_the_account_is_seen_named_and_left_alone(
    ground, cluster, granted, subject_of
):
    _, lease = granted
    subject = subject_of(name_of(lease.mark))
    role = {
        "metadata": {"name": "helpful"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}],
    }
    binding = {
        "metadata": {"name": "helpful"},
        "subjects": [subject],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "helpful"},
    }
    cluster.call("POST", f"{RBAC}/namespaces/{WEB}/roles", role)
    cluster.call("POST", f"{RBAC}/namespaces/{WEB}/rolebindings", binding)
    assert "helpful, not created by Stint" in of(ground, lease).detail
    evidence = ground.connector.revoke(lease)
    assert not evidence.gone  # the account could still do it, were it made again
    assert any("Stint did not create" in one for one in evidence.detail["left"])
    path = f"{RBAC}/namespaces/{WEB}/rolebindings/helpful"
    assert cluster.call("GET", path)[0] == 200
    cluster.call("DELETE", path)
    cluster.call("DELETE", f"{RBAC}/namespaces/{WEB}/roles/helpful")


def test_a_long_list_is_read_to_its_end(ground, server, granted):
    _, lease = granted
    server.page = 2
    try:
        assert of(ground, lease).intact
    finally:
        server.page = 500
