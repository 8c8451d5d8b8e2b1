"""What a request is about, whether it is allowed, and its effect on the store."""

import copy
import json
import re
import time
from dataclasses import dataclass, replace
from typing import Any

import yaml

from tests.support.servers.kubernetes.controllers import PODS, scale_of, settle
from tests.support.servers.kubernetes.discovery import KINDS, version_of
from tests.support.servers.kubernetes.kubelet import Kubelet
from tests.support.servers.kubernetes.patches import APPLY, patched
from tests.support.servers.kubernetes.rbac import GROUP, Attributes, User
from tests.support.servers.kubernetes.store import Key, Refusal, Store, stamp

PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/v[^/]+)/(?:namespaces/(?P<ns>[^/]+)/(?=.))?"
    r"(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?"
)
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_STREAMS = ("exec", "attach", "portforward")


@dataclass
class Asked:
    """One request, parsed. `queries` has all values of each parameter, `query` the first."""

    attributes: Attributes
    key: Key
    queries: dict[str, list[str]]
    body: Any
    kind: str
    user: User

    @property
    def query(self) -> dict[str, str]:
        return {key: values[0] for key, values in self.queries.items()}

    @property
    def streams(self) -> bool:
        return self.key == PODS and self.attributes.subresource in _STREAMS


def body_of(raw: bytes, kind: str) -> Any:
    """Return the body of a request: JSON, or the YAML of an apply."""
    try:
        return (yaml.safe_load(raw) if kind == APPLY else json.loads(raw)) if raw else {}
    except (ValueError, yaml.YAMLError):
        raise Refusal(400, "BadRequest", "the object provided is unrecognized") from None


def attributes(method: str, found: re.Match[str], query: dict[str, str]) -> Attributes:
    named = found["name"] or ""
    verb = _VERBS.get(method) or ("get" if named else "watch" if query.get("watch") == "true" else "list")
    if verb == "delete" and not named:
        verb = "deletecollection"
    if not named and verb in ("list", "watch", "deletecollection"):
        named = wanted_name(query)
    return Attributes(
        verb, found["group"] or "", found["plural"], found["sub"] or "", named, found["ns"] or ""
    )


def wanted_name(query: dict[str, str]) -> str:
    field, _, value = query.get("fieldSelector", "").partition("=")
    return value if field == "metadata.name" else ""


def selected(one: dict, query: dict[str, str]) -> bool:
    labels, name = one["metadata"].get("labels") or {}, wanted_name(query)
    wanted = [part.partition("=") for part in query.get("labelSelector", "").split(",") if part]
    fits = all(labels.get(key) == value if equals else key in labels for key, equals, value in wanted)
    return fits and (not name or one["metadata"]["name"] == name)


def authorize(store: Store, asked: Asked) -> None:
    about = asked.attributes
    # A stream over a WebSocket is a GET that creates. Both verbs are checked, as since Kubernetes 1.35.
    needed = [about, replace(about, verb="create")] if asked.streams else [about]
    opinions = [may(store, asked.user, one) for one in needed]
    if all(allowed for allowed, _ in opinions):
        return
    why = next((reason for allowed, reason in opinions if not allowed), "")
    where = f'in the namespace "{about.namespace}"' if about.namespace else "at the cluster scope"
    name = f' "{about.name}"' if about.name else ""
    resource = f"{about.resource}.{about.group}" if about.group else about.resource
    raise Refusal(
        403,
        "Forbidden",
        f'{resource}{name} is forbidden: User "{asked.user.name}" cannot {about.verb} '
        f'resource "{about.combined}" in API group "{about.group}" {where}{why and f": {why}"}',
    )


def may(store: Store, user: User, about: Attributes) -> tuple[bool, str]:
    """Return the decision of the authorizers, in order until one has an opinion; and the reason for a
    refusal.
    """
    opinion, reason = store.webhook.opinion(user, about) if store.webhook else (None, "")
    if opinion is not None:
        return opinion, reason
    # As `system:basic-user` allows everyone.
    own = about.group == "authorization.k8s.io" and about.resource.startswith("self")
    return own or store.rbac.allowed(user, about), reason


def check_escalation(store: Store, asked: Asked) -> None:
    """Refuse to grant rights that the user lacks, except with `escalate` on the role or `bind` to it."""
    about, body = asked.attributes, asked.body
    if about.group != GROUP or about.verb not in ("create", "update", "patch"):
        return
    name = body.get("metadata", {}).get("name", "")
    if about.resource.endswith("bindings"):
        reference = body["roleRef"]
        plural = "clusterroles" if reference["kind"] == "ClusterRole" else "roles"
        way = Attributes("bind", GROUP, plural, "", reference["name"], about.namespace)
        store.get((GROUP, plural), "" if plural == "clusterroles" else about.namespace, reference["name"])
        rules = store.rbac.role(reference, about.namespace)
    else:
        way = Attributes("escalate", GROUP, about.resource, "", name, about.namespace)
        rules = body.get("rules") or []
    missing = store.rbac.missing(asked.user, rules, about.namespace)
    if missing and not store.rbac.allowed(asked.user, way):
        raise Refusal(
            403,
            "Forbidden",
            f'{about.resource}.{GROUP} "{name}" is forbidden: user "{asked.user.name}" is '
            f"attempting to grant RBAC permissions not currently held: {missing}",
        )


def token_request(store: Store, asked: Asked) -> dict:
    seconds = asked.body.get("spec", {}).get("expirationSeconds", 3600)
    if seconds < 600:
        raise Refusal(
            422,
            "Invalid",
            "spec.expirationSeconds: Invalid value: may not specify a duration less than 10 minutes",
        )
    token, expires = store.issue(asked.attributes.namespace, asked.attributes.name, seconds)
    return {"kind": "TokenRequest", "status": {"token": token, "expirationTimestamp": stamp(expires)}}


def change(store: Store, kubelet: Kubelet, asked: Asked) -> tuple[int, dict]:
    """Read, create, replace, change or delete one object; return the status, and the object afterwards."""
    about, body = asked.attributes, asked.body
    if about.verb == "create":
        return 201, _create(store, kubelet, asked, body)
    old = store.get(asked.key, about.namespace, about.name) if not _applies_anew(store, asked) else None
    if old is None:
        return 201, _create(store, kubelet, asked, _applied({}, asked))
    if about.verb == "delete":
        store.delete(asked.key, about.namespace, about.name)
        if asked.key == PODS:
            kubelet.remove(about.namespace, about.name)
    elif about.verb in ("update", "patch"):
        return 200, _change(store, asked, old, body if about.verb == "update" else _applied(old, asked))
    return 200, old


def _applies_anew(store: Store, asked: Asked) -> bool:
    """Whether this is a server-side apply of an object that does not exist yet."""
    about = asked.attributes
    there = (about.namespace, about.name) in store.objects.get(asked.key, {})
    return about.verb == "patch" and asked.kind == APPLY and not there


def _applied(old: dict, asked: Asked) -> dict:
    """Return the object after a patch. Its managed fields show who applied them."""
    made = patched(old, asked.body, asked.kind)
    if asked.kind == APPLY:
        manager = asked.query.get("fieldManager", "")
        others = [one for one in made["metadata"].get("managedFields", []) if one["manager"] != manager]
        made["metadata"] = {
            **made["metadata"],
            "managedFields": [*others, {"manager": manager, "operation": "Apply"}],
        }
    return made


def _create(store: Store, kubelet: Kubelet, asked: Asked, body: dict) -> dict:
    dry = asked.query.get("dryRun") == "All"
    body.setdefault("metadata", {})
    settle(asked.key, body, None, time.time())
    made = store.create(asked.key, asked.attributes.namespace, body, dry=dry)
    if asked.key == PODS and not dry:
        kubelet.start(made)
    return made


def _change(store: Store, asked: Asked, old: dict, new: dict) -> dict:
    new = copy.deepcopy(new)
    settle(asked.key, new, old, time.time())
    if asked.query.get("dryRun") == "All":
        return new
    return store.replace(asked.key, asked.attributes.namespace, asked.attributes.name, new)


def scale(store: Store, asked: Asked) -> dict:
    """Read or change a number of replicas."""
    about = asked.attributes
    old = store.get(asked.key, about.namespace, about.name)
    if about.verb == "get":
        return scale_of(asked.key, old)
    now = scale_of(asked.key, old)
    wanted = asked.body if about.verb == "update" else patched(now, asked.body, asked.kind)
    new = {
        **old,
        "metadata": dict(old["metadata"]),
        "spec": {**old["spec"], "replicas": wanted["spec"]["replicas"]},
    }
    return scale_of(asked.key, _change(store, asked, old, new))


def listed(store: Store, asked: Asked, page: int) -> dict:
    """Return the matching objects, page by page."""
    found, version = store.snapshot(asked.key, asked.attributes.namespace)
    found = [one for one in found if selected(one, asked.query)]
    start = int(asked.query.get("continue") or 0)
    size = min(int(asked.query.get("limit") or 10**6), page)
    more = str(start + size) if start + size < len(found) else ""
    items = [{key: value for key, value in one.items() if key not in ("kind", "apiVersion")} for one in found]
    return {
        "kind": f"{KINDS.get(asked.key, 'Some')}List",
        "apiVersion": version_of(asked.key[0]),
        "metadata": {"continue": more, "resourceVersion": str(version)},
        "items": items[start : start + size],
    }


def access_review(store: Store, asked: Asked) -> dict:
    spec = asked.body["spec"]
    user = User(spec["user"], tuple(spec.get("groups") or ())) if "user" in spec else asked.user
    said = spec["resourceAttributes"]
    about = Attributes(
        said.get("verb", ""),
        said.get("group", ""),
        said.get("resource", ""),
        said.get("subresource", ""),
        said.get("name", ""),
        said.get("namespace", ""),
    )
    allowed, reason = may(store, user, about)
    return {"kind": "SubjectAccessReview", "status": {"allowed": allowed, "reason": reason}}


def token_review(store: Store, asked: Asked) -> dict:
    user = store.user_of(asked.body["spec"]["token"])
    status = (
        {"authenticated": True, "user": {"username": user.name}}
        if user
        else {"error": "invalid bearer token"}
    )
    return {"kind": "TokenReview", "status": status}


REVIEWS = {
    ("authorization.k8s.io", "subjectaccessreviews"): access_review,
    ("authorization.k8s.io", "selfsubjectaccessreviews"): access_review,
    ("authentication.k8s.io", "tokenreviews"): token_review,
}
