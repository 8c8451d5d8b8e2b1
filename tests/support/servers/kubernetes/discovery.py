"""Discovery for kubectl: the groups, versions and resources of the API server."""

# group: plural, kind, namespaced, short names
SERVED = {
    "": [
        ("pods", "Pod", True, "po"),
        ("services", "Service", True, "svc"),
        ("configmaps", "ConfigMap", True, "cm"),
        ("secrets", "Secret", True, ""),
        ("events", "Event", True, "ev"),
        ("nodes", "Node", False, "no"),
        ("namespaces", "Namespace", False, "ns"),
        ("serviceaccounts", "ServiceAccount", True, "sa"),
    ],
    "apps": [
        ("deployments", "Deployment", True, "deploy"),
        ("statefulsets", "StatefulSet", True, "sts"),
        ("daemonsets", "DaemonSet", True, "ds"),
        ("replicasets", "ReplicaSet", True, "rs"),
        ("controllerrevisions", "ControllerRevision", True, ""),
    ],
    "batch": [("jobs", "Job", True, ""), ("cronjobs", "CronJob", True, "cj")],
    "rbac.authorization.k8s.io": [
        ("roles", "Role", True, ""),
        ("rolebindings", "RoleBinding", True, ""),
        ("clusterroles", "ClusterRole", False, ""),
        ("clusterrolebindings", "ClusterRoleBinding", False, ""),
    ],
}
KINDS = {(group, plural): kind for group, rows in SERVED.items() for plural, kind, _, _ in rows}


def version_of(group: str) -> str:
    return f"{group}/v1" if group else "v1"


def discovery(path: str) -> dict | None:
    """Return the response to a discovery request; None for other paths."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        return {
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": [_group(name) for name in SERVED if name],
        }
    for group, rows in SERVED.items():
        if group and path == f"/apis/{group}":
            return {"kind": "APIGroup", "apiVersion": "v1", **_group(group)}
        if path == (f"/apis/{group}/v1" if group else "/api/v1"):
            return {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": version_of(group),
                "resources": [one for row in rows for one in _resources(*row)],
            }
    return None


def openapi(path: str) -> dict | None:
    """Return the OpenAPI 3 schema, as far as `kubectl apply` reads it: whether the server validates
    fields.
    """
    groups = {f"apis/{name}/v1" if name else "api/v1": name for name in SERVED}
    if path == "/openapi/v3":
        return {"paths": {root: {"serverRelativeURL": f"/openapi/v3/{root}"} for root in groups}}
    root = path.removeprefix("/openapi/v3/")
    if root == path or root not in groups:
        return None
    about = {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "v1.34.0"}}
    return {
        **about,
        "paths": {f"/{root}/{row[0]}/{{name}}": _patch(groups[root], row[1]) for row in SERVED[groups[root]]},
    }


def _patch(group: str, kind: str) -> dict:
    checks = {"name": "fieldValidation", "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    about = {"group": group, "version": "v1", "kind": kind}
    return {"patch": {"parameters": [checks], "x-kubernetes-group-version-kind": about, "responses": {}}}


def _group(name: str) -> dict:
    version = {"groupVersion": version_of(name), "version": "v1"}
    return {"name": name, "versions": [version], "preferredVersion": version}


def _resources(plural: str, kind: str, namespaced: bool, short: str) -> list[dict]:
    verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    own = {
        "name": plural,
        "singularName": kind.lower(),
        "namespaced": namespaced,
        "kind": kind,
        "verbs": verbs,
        **({"shortNames": [short]} if short else {}),
    }
    if plural not in ("deployments", "statefulsets", "replicasets"):
        return [own]
    scale = {
        "name": f"{plural}/scale",
        "singularName": "",
        "namespaced": True,
        "group": "autoscaling",
        "version": "v1",
        "kind": "Scale",
        "verbs": ["get", "patch", "update"],
    }
    return [own, scale]


def typed(key: tuple[str, str], made: dict) -> dict:
    """Return an object with its kind, which clients need."""
    kind = KINDS.get(key)
    return {"kind": kind, "apiVersion": version_of(key[0]), **made} if kind else made
