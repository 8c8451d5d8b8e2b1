"""What an administrator applies is enough for Stint, and not more; a check says what is missing."""

import dataclasses

import pytest
import yaml
from pydantic import SecretStr, ValidationError

from sessions_app.connectors.kubernetes.objects import GROUP, RBAC, name_of
from sessions_app.connectors.kubernetes.parameters import KubernetesParameters
from sessions_app.connectors.kubernetes.setup import ANYWHERE, ceiling, target_setup
from sessions_app.policy.commands.kinds import compile_open, compile_set, parse_text
from sessions_app.policy.commands.kubernetes.rights import PolicyRule
from tests.sessions_app.connectors.kubernetes.conftest import SET, Ground, place_of, set_up
from tests.support.servers.kubernetes.cluster import in_process
from tests.support.servers.kubernetes.server import ApiServer
from tests.support.servers.kubernetes.tls import authority


@pytest.fixture
def own(processes, tmp_path, connector):
    """A cluster of one test's own."""
    with ApiServer(tmp_path, cache_seconds=0.0) as server:
        cluster = in_process(server)
        set_up(cluster)
        yield Ground(cluster, place_of(cluster), connector)


def failing(ground):
    return [step for step in ground.connector.check(ground.place) if not step.ok]


def test_a_ceiling_has_each_right_where_it_may_be_given_and_any_name_where_the_name_is_open():
    found = ceiling([compile_open(parse_text(SET))])
    assert list(found) == ["", "stint-test-api", "stint-test-web"]
    deployments = [PolicyRule((verb,), ("apps",), ("deployments",)) for verb in ("get", "patch")]
    assert set(deployments) <= set(found["stint-test-web"])
    assert found[""] == (PolicyRule(("list", "get"), ("",), ("nodes",)),)


def test_an_open_namespace_is_any_unless_it_is_limited():
    open_set = compile_open(parse_text(SET.replace("choice: [stint-test-web, stint-test-api]", "name: 63")))
    assert list(ceiling([open_set])) == ["", ANYWHERE]
    assert list(ceiling([open_set], ["a", "b"])) == ["", "a", "b"]


def test_a_set_with_any_namespace_works_in_any(own):
    open_set = parse_text(SET.replace("choice: [stint-test-web, stint-test-api]", "name: 63"))
    own.cluster.apply(target_setup(ceiling([compile_open(open_set)])))
    spec = own.spec()
    commands = compile_set(open_set, {"ns": "stint-test-other", "name": "shop"})
    assert own.connector.revoke(own.connector.provision(dataclasses.replace(spec, commands=commands))).gone


def test_stint_is_given_neither_wildcards_nor_bind_nor_escalate():
    text = target_setup(ceiling([compile_open(parse_text(SET))]))
    rules = [rule for one in yaml.safe_load_all(text) for rule in one.get("rules", [])]
    words = {word for rule in rules for part in rule.values() for word in part}
    assert rules
    assert not words & {"*", "bind", "escalate", "impersonate", "secrets"}


def test_a_cluster_that_is_set_up_passes(own):
    steps = own.connector.check(own.place)
    assert [step.name for step in steps] == [
        "API server",
        "token",
        "accounts",
        "rights",
        "least privilege",
        "bindings by others",
    ]
    assert failing(own) == []
    assert [step.fix for step in steps[-2:]] == ["", ""]


def test_a_token_that_is_not_known_is_told(own):
    own.place = place_of(own.cluster, token=SecretStr("stale"))
    (step,) = failing(own)
    assert (step.name, "kubernetes_target_setup prod" in step.fix) == ("token", True)


def test_the_missing_namespace_of_accounts_is_told(own):
    own.cluster.call("DELETE", "/api/v1/namespaces/stint-grants")
    (step,) = failing(own)
    assert step.name == "accounts"
    assert "kubectl apply" in step.fix


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (f"{RBAC}/clusterrolebindings/stint-look", "create subjectaccessreviews.authorization.k8s.io"),
        (f"{RBAC}/namespaces/stint-grants/rolebindings/stint-accounts", "serviceaccounts"),
    ],
)
def test_a_missing_right_is_named(own, path, says):
    own.cluster.call("DELETE", path)
    step = failing(own)[-1]
    assert says in step.detail
    assert step.fix


def test_rights_in_the_namespaces_of_the_place_are_looked_at(own):
    own.place = place_of(own.cluster, namespaces=("stint-test-other",))
    (step,) = failing(own)
    assert "in namespace stint-test-other" in step.detail


def test_an_account_that_may_do_everything_is_advised_against(own):
    binding = {
        "metadata": {"name": "careless"},
        "subjects": [{"kind": "ServiceAccount", "name": "stint", "namespace": "stint-system"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "everything"},
    }
    everything = {
        "metadata": {"name": "everything"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    }
    own.cluster.call("POST", f"{RBAC}/clusterroles", everything)
    own.cluster.call("POST", f"{RBAC}/clusterrolebindings", binding)
    step = own.connector.check(own.place)[-2]
    assert step.ok
    assert "does not need" in step.detail
    for what in ("impersonate users", "authorization.openshift.io", "mutatingwebhookconfigurations"):
        assert what in step.detail
    assert step.fix


def bind(ground, name, subject, **labels):
    """Bind a subject to a role in one namespace, as another administrator would."""
    subject = {"apiGroup": GROUP, **subject} if subject["kind"] != "ServiceAccount" else subject
    path = f"{RBAC}/namespaces/stint-test-web"
    ground.cluster.call("POST", f"{path}/roles", {"metadata": {"name": "helpful"}, "rules": []})
    reference = {"apiGroup": GROUP, "kind": "Role", "name": "helpful"}
    made = {"metadata": {"name": name, "labels": labels}, "subjects": [subject], "roleRef": reference}
    assert ground.cluster.call("POST", f"{path}/rolebindings", made)[0] == 201


@pytest.mark.parametrize(
    "subject",
    [
        {"kind": "Group", "name": "system:serviceaccounts:stint-grants"},
        {"kind": "Group", "name": "system:serviceaccounts"},
        {"kind": "Group", "name": "system:authenticated"},
        {"kind": "User", "name": f"system:serviceaccount:stint-grants:{name_of('a' * 32)}"},
        {"kind": "ServiceAccount", "name": name_of("a" * 32), "namespace": "stint-grants"},
    ],
)
def test_what_others_give_to_accounts_of_grants_is_named_however_they_name_them(own, subject):
    bind(own, "theirs", subject)
    last = own.connector.check(own.place)[-1]
    assert last.detail.endswith(
        f"rolebinding in namespace stint-test-web theirs of helpful to {subject['name']}"
    )
    assert last.fix


def test_what_others_give_to_others_and_what_every_cluster_binds_itself_is_not_named(own):
    bind(own, "theirs", {"kind": "Group", "name": "system:serviceaccounts:shop"})
    bind(own, "neighbor", {"kind": "ServiceAccount", "name": name_of("a" * 32), "namespace": "shop"})
    default = {"kind": "Group", "name": "system:serviceaccounts"}
    bind(own, "default", default, **{"kubernetes.io/bootstrapping": "rbac-defaults"})
    last = own.connector.check(own.place)[-1]
    assert last.detail == "grant accounts have only the permissions that Stint gives"


def test_a_certificate_that_can_not_be_read_is_told(own):
    own.place = place_of(own.cluster, ca="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----")
    (step,) = failing(own)
    assert "Copy it again" in step.detail
    assert step.fix


@pytest.mark.parametrize(
    "wrong",
    [
        {"ca": "nonsense"},
        {"accounts": "Not A Namespace"},
        {"token": None},
        {"more": "x"},
        {"namespaces": "a"},
    ],
)
def test_parameters_that_can_not_be_are_refused(wrong, tmp_path):
    good = {"ca": authority(tmp_path)[0], "token": "t"}
    KubernetesParameters.model_validate(good)
    with pytest.raises(ValidationError):
        KubernetesParameters.model_validate({**good, **wrong})
