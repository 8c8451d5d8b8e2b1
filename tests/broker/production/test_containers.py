"""What runs Stint in containers: the manifests build with kubectl, nothing in them has more rights or secrets
than it needs, and every command is one that Stint has. No container runs here.
"""

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from broker.processes.serve import parse, python_argv
from broker.variables import GROUPS
from tests.environment import ROOT

pytestmark = pytest.mark.processes

KUBERNETES = ROOT / ".deploy/kubernetes"
OVERLAYS = ["base", "overlays/small", "overlays/large"]
RUN = ("Deployment", "StatefulSet", "Job")
SETTINGS = {variable.name for group in GROUPS for variable in group.variables}
# What no person sets: where a worker says that it is ready, and the name of a pod.
OWN = {"STINT_WORKER_READY", "POD_NAME"}


def built(overlay: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / overlay], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


@pytest.fixture(scope="module", params=OVERLAYS)
def objects(request):
    return built(request.param)


def of(objects: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [one for one in objects if one["kind"] in kinds]


def pods(objects: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """The name, pod and container of all that runs."""
    for one in of(objects, *RUN):
        pod = one["spec"]["template"]["spec"]
        assert len(pod["containers"]) == 1
        yield one["metadata"]["name"], pod, pod["containers"][0]


def test_nothing_runs_with_rights(objects):
    for _, pod, container in pods(objects):
        assert pod["automountServiceAccountToken"] is False
        assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"/tmp", "/var/lib/stint"} <= {mount["mountPath"] for mount in container["volumeMounts"]}
        assert container["resources"]["limits"]["memory"]


def assert_deadlines_come_first(shares: dict[str, int]) -> None:
    assert min(shares["gateway"], shares["worker"]) > max(shares["web"], shares["streams"])


def test_what_keeps_deadlines_gets_more_cpu_than_pages_when_there_is_too_little(objects):
    asked = {name: container["resources"]["requests"]["cpu"] for name, _, container in pods(objects)}
    assert_deadlines_come_first(
        {name: int(cpu[:-1]) if cpu.endswith("m") else int(cpu) * 1000 for name, cpu in asked.items()}
    )


def test_only_migrations_get_the_role_that_owns_the_record(objects):
    owners = {
        name
        for name, _, container in pods(objects)
        if {"secretRef": {"name": "stint-owner"}} in container["envFrom"]
    }
    assert owners == {"migrate"}


def test_secrets_are_named_and_not_there(objects):
    assert not of(objects, "Secret")
    text = yaml.safe_dump_all(objects)
    assert not re.search(r"password|postgres(ql)?://|-----BEGIN", text, re.IGNORECASE)


def test_every_setting_is_one_that_stint_has(objects):
    (config,) = of(objects, "ConfigMap")
    named = {variable["name"] for _, _, container in pods(objects) for variable in container.get("env", [])}
    assert config["data"].keys() <= SETTINGS
    assert named <= OWN


def test_every_command_is_one_that_stint_has(objects):
    for name, _, container in pods(objects):
        words = container["args"]
        if words[0] == "serve":
            assert python_argv(parse(words[1:]))
            assert words[1] == name
        else:
            assert words[0] in ("gateway", "migrate")


def test_what_serves_says_when_it_does_and_may_be_disrupted_one_by_one(objects):
    budgets = {one["metadata"]["name"]: one["spec"] for one in of(objects, "PodDisruptionBudget")}
    for one in of(objects, "Deployment", "StatefulSet"):
        name, spec = one["metadata"]["name"], one["spec"]
        assert budgets[name]["selector"]["matchLabels"] == spec["selector"]["matchLabels"]
        assert budgets[name]["minAvailable"] < spec["replicas"]
        assert "startupProbe" in spec["template"]["spec"]["containers"][0]


def test_services_lead_to_ports_that_are_there_and_no_others_are_reached(objects):
    ports = {
        name: {port["name"] for port in container.get("ports", [])} for name, _, container in pods(objects)
    }
    for service in of(objects, "Service"):
        if service["metadata"]["name"] == "unserved":
            continue
        chosen = service["spec"]["selector"]["app.kubernetes.io/name"]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports[chosen]
    policies = {one["metadata"]["name"]: one["spec"] for one in of(objects, "NetworkPolicy")}
    assert policies["nothing"] == {"podSelector": {}, "policyTypes": ["Ingress"]}


def test_prometheus_reaches_the_metrics_of_each_process(objects):
    policies = {one["metadata"]["name"]: one["spec"] for one in of(objects, "NetworkPolicy")}
    (allowed,) = policies["metrics"]["ingress"]
    reached = {port["port"] for port in allowed["ports"]}
    (config,) = of(objects, "ConfigMap")
    served = {config["data"][f"STINT_{name}_METRICS_PORT"] for name in ("WORKER", "GATEWAY")}
    for one in of(objects, "Deployment", "StatefulSet"):
        template = one["spec"]["template"]
        (chosen,) = policies["metrics"]["podSelector"]["matchExpressions"]
        assert template["metadata"]["labels"]["app.kubernetes.io/name"] in chosen["values"]
        marks = template["metadata"]["annotations"]
        assert (marks["prometheus.io/scrape"], marks["prometheus.io/path"]) == ("true", "/metrics")
        container = template["spec"]["containers"][0]
        ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
        (name,) = ports.keys() & reached
        assert ports[name] == marks["prometheus.io/port"]
        assert ports[name] in (served if name == "metrics" else container["args"])
        assert "--processes" not in container["args"]


def test_each_path_goes_where_nginx_sends_it(objects):
    (ingress,) = of(objects, "Ingress")
    paths = {
        path["path"]: path["backend"]["service"]["name"]
        for path in ingress["spec"]["rules"][0]["http"]["paths"]
    }
    assert paths == {
        "/metrics": "unserved",
        "/streams": "streams",
        "/mcp": "streams",
        "/.well-known/oauth-protected-resource": "streams",
        "/": "web",
    }


# --- Compose ---


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_compose_runs_all_of_stint_without_rights(compose):
    ours = {name: one for name, one in compose["services"].items() if "stint" in one["image"]}
    assert ours.keys() == {"migrate", "web", "streams", "worker", "gateway"}
    for one in ours.values():
        assert (one["read_only"], one["cap_drop"], one["security_opt"]) == (
            True,
            ["ALL"],
            ["no-new-privileges:true"],
        )
        assert one["environment"].keys() <= SETTINGS
        if one["command"][0] == "serve":
            assert python_argv(parse(one["command"][1:]))
    assert {name for name, one in ours.items() if "DATABASE_OWNER_URL" in one["environment"]} == {"migrate"}


def test_compose_gives_what_keeps_deadlines_more_cpu_than_pages(compose):
    shares = {name: one.get("cpu_shares", 1024) for name, one in compose["services"].items()}
    assert_deadlines_come_first(shares)


def test_compose_makes_the_database_as_the_guide_does(compose):
    made = (
        compose["configs"]["roles"]["content"]
        .replace("$${STINT_OWNER_PASSWORD}", "…")
        .replace("$${STINT_APP_PASSWORD}", "…")
    )
    wanted = (ROOT / "broker/production/files/etc/stint/database.sql").read_text()
    for line in re.sub(r"@\w+@", "…", wanted).splitlines()[1:]:
        assert line in made


def test_compose_holds_no_secret_and_says_which_are_missing(compose):
    text = (ROOT / "compose.yaml").read_text()
    for name in ("STINT_SECRET_KEY", "STINT_APP_PASSWORD", "STINT_OWNER_PASSWORD", "POSTGRES_PASSWORD"):
        assert f"${{{name}:?" in text
