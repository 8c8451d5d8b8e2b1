"""A change is decided by the cluster's current objects, and applies only to them, whoever is faster."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from broker.kernel import clock
from sessions_app.operations.sessions.decide_hold import decide_hold
from tests.sessions_app.gateways.kubernetes.test_requests import revision
from tests.support.pace import allow
from tests.support.servers.kubernetes.server import Fault
from tests.support.servers.kubernetes_place import DEPLOYMENT, Place, kubernetes_place, policy
from tests.support.waits import eventually

APPS = "/apis/apps/v1/namespaces/shop"
WEB = f"{APPS}/deployments/web"
CONFIG = "/api/v1/namespaces/shop/configmaps"
STRATEGIC, SERVER_SIDE = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
APPLY = """
name: apply-shop
kind: kubernetes
summary: Apply what the shop is made of
risk: high
commands:
  - apply:
      kind: Deployment
      apiVersion: apps/v1
      namespaces: [shop]
      names: [web]
      fields: {spec.replicas: {int: [1, 5]}}
    effect: change
  - apply:
      kind: ConfigMap
      apiVersion: v1
      namespaces: [shop]
      names: [greeting]
      fields: {data.text: {choice: [hello, bye]}}
      create: true
    effect: change
  - run: set image deployment/web app={image} -n shop
    where: {image: {choice: ["shop/web:1.4"]}}
    effect: change
    hold: true
  - run: rollout undo deployment/web -n shop
    effect: change
"""


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    files = {
        "command-sets/apply-shop.yaml": APPLY,
        "policies/prod-work.yaml": policy("prod-work", command_sets=["release-shop", "apply-shop"]),
    }
    with (
        django_db_blocker.unblock(),
        kubernetes_place(django_db_blocker, tmp_path_factory.mktemp("kube"), files=files) as made,
    ):
        yield made


@pytest.fixture(autouse=True)
def deployment(place) -> Iterator[None]:
    """The deployment in its initial state, for each test."""
    place.cluster.call("PUT", WEB, DEPLOYMENT)
    place.cluster.call("DELETE", f"{CONFIG}/greeting")
    yield
    place.server.before = None
    place.server.faults.clear()


def release(place):
    return place.grant(command_set="release-shop", parameters={"image": "shop/web:1.4"})


def images(name: str = "app") -> dict:
    return {"spec": {"template": {"spec": {"containers": [{"name": name, "image": "shop/web:1.4"}]}}}}


def containers(place) -> list[dict]:
    return place.cluster.call("GET", WEB)[1]["spec"]["template"]["spec"]["containers"]


def with_containers(*names: str) -> dict:
    made = json.loads(json.dumps(DEPLOYMENT))
    made["spec"]["template"]["spec"]["containers"] = [
        {"name": name, "image": "shop/web:1.3"} for name in names
    ]
    return made


@contextlib.contextmanager
def meanwhile(place, method: str, act, times: int = 1) -> Iterator[list[str]]:
    """Do something just before the API server gets a request, a number of times; yield the requests
    affected.
    """
    done: list[str] = []

    def before(command: str, path: str) -> None:
        if command == method and path.startswith(WEB) and len(done) < times:
            done.append(path)
            act()

    place.server.before = before
    try:
        yield done
    finally:
        place.server.before = None


def states(grant) -> list[str]:
    return list(grant.runs.filter(count__isnull=True).order_by("pk").values_list("state", flat=True))


def test_a_container_that_goes_away_meanwhile_is_not_added_again(place):
    grant = release(place)
    with meanwhile(place, "PATCH", lambda: place.cluster.call("PUT", WEB, with_containers("api"))) as done:
        status, said = place.ask(grant, "PATCH", WEB, images(), kind=STRATEGIC)
    assert done
    assert (status, "The request is no longer allowed" in said["message"]) == (403, True)
    assert [one["name"] for one in containers(place)] == ["api"]
    eventually(lambda: states(grant) == ["failed"])


def test_a_container_that_goes_away_while_a_second_person_decides_is_not_added_again(place):
    grant = place.grant(command_set="apply-shop")
    with ThreadPoolExecutor(1) as pool:
        place.token(grant), place.context
        asked = pool.submit(place.ask, grant, "PATCH", WEB, images(), kind=STRATEGIC)
        eventually(lambda: grant.runs.filter(state="held").exists())
        place.cluster.call("PUT", WEB, with_containers("api"))
        decide_hold(
            run_id=grant.runs.get(state="held").pk, actor=place.world.bob, allow=True, now=clock.now()
        )
        status, said = asked.result(60)
    assert (status, "The request is no longer allowed" in said["message"]) == (403, True)
    assert [one["name"] for one in containers(place)] == ["api"]


def test_a_client_that_binds_a_write_to_an_older_version_is_told_of_the_conflict(place):
    grant = release(place)
    body = {**images(), "metadata": {"resourceVersion": "1"}}
    status, said = place.ask(grant, "PATCH", WEB, body, kind=STRATEGIC)
    assert (status, said["reason"]) == (409, "Conflict")


def config(text: str, **data: str) -> bytes:
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "greeting"},
        "data": {"text": text, **data},
    }
    return json.dumps(made).encode()


def greeting(place) -> dict:
    status, found = place.cluster.call("GET", f"{CONFIG}/greeting")
    return found["data"] if status == 200 else {}


def test_kubectl_applies_an_object_that_is_new_and_then_one_that_is_there(place):
    grant = place.grant(command_set="apply-shop")
    for text, said in (("hello", b"created"), ("bye", b"configured"), ("bye", b"unchanged")):
        done = place.run(grant, "apply", "-f", "-", stdin=config(text))
        assert (done.returncode, said in done.stdout) == (0, True), done.stderr
        assert greeting(place) == {"text": text}
    refused = place.run(grant, "apply", "-f", "-", stdin=config("bye", more="evil"))
    assert b"it sets data.more, which the command does not" in refused.stderr
    replaced = place.run(grant, "replace", "-f", "-", stdin=config("hello"))
    assert replaced.returncode == 0, replaced.stderr
    assert greeting(place) == {"text": "hello"}
    runs = grant.runs.filter(state="done", count__isnull=True).order_by("pk").values_list("line", flat=True)
    lines = [
        "apply configmaps name=greeting data.text=hello -n shop",
        "apply configmap/greeting data.text=bye -n shop",
        "apply configmap/greeting data.text=hello -n shop",
    ]
    eventually(lambda: list(runs.all()) == lines)


def test_kubectl_replaces_a_deployment_that_it_got_and_changes_only_what_is_listed(place):
    grant = place.grant(command_set="apply-shop")
    got = json.loads(place.run(grant, "get", "deployment/web", "-o", "json").stdout)
    got["spec"]["replicas"] = 4
    assert place.run(grant, "replace", "-f", "-", stdin=json.dumps(got).encode()).returncode == 0
    assert place.cluster.call("GET", WEB)[1]["spec"]["replicas"] == 4
    got["metadata"].pop("resourceVersion")
    got["spec"]["template"]["spec"]["containers"][0]["image"] = "evil"
    done = place.run(grant, "replace", "-f", "-", stdin=json.dumps(got).encode())
    assert b"it sets spec.template.spec.containers[app].image, which the command does not" in done.stderr
    assert [one["image"] for one in containers(place)] == ["shop/web:1.3"]


UNDO = [
    {"op": "replace", "path": "/spec/template", "value": {}},
    {"op": "replace", "path": "/metadata/annotations", "value": {}},
]


def undo(place, grant) -> tuple[int, str]:
    status, said = place.ask(grant, "PATCH", WEB, UNDO, kind="application/json-patch+json")
    return status, said["message"]


def test_a_cluster_that_does_not_tell_its_revisions_holds_nobody_up(place):
    grant = release(place)
    place.server.faults.append(Fault("GET", "replicasets", "hang"))
    began = time.monotonic()
    status, said = undo(place, grant)
    assert (status, "could not be read within 5 seconds" in said) == (403, True), said
    assert time.monotonic() - began < allow(10)


def test_more_revisions_than_are_compared_are_refused(place):
    grant = release(place)
    spec = {**DEPLOYMENT["spec"], "replicas": 0}
    for number in range(101):
        about = {"name": f"web-{number}", "labels": {"app": "web"}}
        assert place.cluster.call("POST", f"{APPS}/replicasets", {"metadata": about, "spec": spec})[0] == 201
    try:
        # On a busy machine they may take longer than the gateway waits for them.
        eventually(lambda: "more than 100 revisions" in undo(place, grant)[1])
    finally:
        for number in range(101):
            place.cluster.call("DELETE", f"{APPS}/replicasets/web-{number}")


def test_the_revisions_are_read_once_at_a_time_for_a_token(place):
    grant, under_way, most = release(place), [], []
    lock = threading.Lock()
    place.token(grant), place.context

    def before(command: str, path: str) -> None:
        if command == "GET" and "replicasets" in path:
            with lock:
                under_way.append(path)
                most.append(len(under_way))
            time.sleep(0.05)
            with lock:
                under_way.pop()

    place.server.before = before
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: undo(place, grant)[1], range(16)))
    assert all("no revision of the target has" in one or "held" in one or "many" in one for one in said), said
    assert (max(most), len(most) > 1) == (1, True)


def test_an_undo_is_sent_again_if_something_else_has_changed_the_deployment_meanwhile(place):
    revision(place, 21, "shop/web:1.2")
    revision(place, 22, "shop/web:1.3")
    grown = json.loads(json.dumps(DEPLOYMENT))
    grown["spec"]["replicas"] = 4
    with meanwhile(place, "PATCH", lambda: place.cluster.call("PUT", WEB, grown)) as changed:
        made = place.run(release(place), "rollout", "undo", "deployment/web", "--to-revision=21")
    assert (made.returncode, len(changed)) == (0, 1), made.stderr
    spec = place.cluster.call("GET", WEB)[1]["spec"]
    assert (containers(place)[0]["image"], spec["replicas"]) == ("shop/web:1.2", 4)


def test_an_undo_puts_no_revision_back_that_is_the_targets_no_longer(place):
    revision(place, 31, "shop/web:1.2")
    revision(place, 32, "shop/web:1.3")

    def purge() -> None:
        place.cluster.call("DELETE", f"{APPS}/replicasets/web-31")
        place.cluster.call("PUT", WEB, DEPLOYMENT)

    with meanwhile(place, "PATCH", purge):
        made = place.run(release(place), "rollout", "undo", "deployment/web", "--to-revision=31")
    assert b"The request is no longer allowed" in made.stderr
    assert containers(place)[0]["image"] == "shop/web:1.3"
