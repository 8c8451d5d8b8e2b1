"""What controllers do to some kinds of objects, at once: a changed deployment is rolled out, a pod runs."""

from typing import Any

from tests.support.servers.kubernetes.store import Key, stamp

DEPLOYMENTS, PODS = ("apps", "deployments"), ("", "pods")
_REVISION = "deployment.kubernetes.io/revision"
SCALED = (DEPLOYMENTS, ("apps", "statefulsets"), ("apps", "replicasets"))


def settle(key: Key, made: dict, old: dict | None, now: float) -> None:
    """Set the fields that the cluster sets on an object that was created or changed."""
    if key in SCALED:
        _roll_out(made, old)
    if key == DEPLOYMENTS:
        _revise(made, old)
    if key == PODS:
        made.setdefault("status", {"phase": "Running", "podIP": "127.0.0.1"})
        made["status"].setdefault("containerStatuses", [_status(one, now) for one in _containers(made)])


def _roll_out(made: dict, old: dict | None) -> None:
    spec = made.setdefault("spec", {})
    replicas = spec.setdefault("replicas", 1)
    before = old["metadata"].get("generation", 0) if old else 0
    changed = old is None or old.get("spec") != spec
    generation = before + 1 if changed else before
    made["metadata"]["generation"] = generation
    ready = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    made["status"] = {"observedGeneration": generation, **dict.fromkeys(ready, replicas)}


def _revise(made: dict, old: dict | None) -> None:
    """Count a deployment's templates. Clients can't lower the count."""
    notes = made["metadata"].setdefault("annotations", {})
    before = int((old["metadata"].get("annotations", {}) if old else notes).get(_REVISION, 0))
    changed = old is None or old["spec"].get("template") != made["spec"].get("template")
    notes[_REVISION] = str(before + 1 if changed else before)


def _containers(pod: dict) -> list[dict]:
    return pod.get("spec", {}).get("containers", [])


def _status(container: dict, now: float) -> dict[str, Any]:
    about = {"name": container["name"], "image": container.get("image", ""), "imageID": "", "restartCount": 0}
    return {**about, "ready": True, "started": True, "state": {"running": {"startedAt": stamp(now)}}}


def scale_of(key: Key, made: dict) -> dict:
    """Return the Scale of an object, in the form of its subresource."""
    meta, spec = made["metadata"], made["spec"]
    labels = spec.get("selector", {}).get("matchLabels", {})
    selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    kept = {field: meta[field] for field in ("name", "namespace", "uid", "resourceVersion") if field in meta}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": kept,
        "spec": {"replicas": spec["replicas"]},
        "status": {"replicas": made["status"]["replicas"], "selector": selector},
    }
