"""An API server in this process: TLS, bearer tokens with their cache, RBAC, and faults on demand.

It speaks as much of the wire as a broker and `kubectl` need for roles, bindings, accounts and reviews; every other
resource is kept as it is sent. What it does about time and order was measured on real servers of 1.20 and 1.34.
"""

from __future__ import annotations

import contextlib
import json
import re
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tests.support.kubernetes.discovery import KINDS, discovery, typed, version_of
from tests.support.kubernetes.rbac import GROUP, Attributes, User
from tests.support.kubernetes.store import Key, Refusal, Store, stamp
from tests.support.kubernetes.tls import authority

_PATH = re.compile(r"/(?:api/v1|apis/(?P<group>[^/]+)/v[^/]+)/(?:namespaces/(?P<ns>[^/]+)/(?=.))?(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+))?)?")  # fmt: skip
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass
class Fault:
    """What happens to calls like this, so many times. `how`: before, after (act, then drop), hang, or a status."""

    method: str
    path: str
    how: str | int
    times: int = 1

    def fits(self, method: str, path: str) -> bool:
        return self.times > 0 and self.method == method and re.search(self.path, path) is not None


@dataclass
class Call:
    method: str
    path: str
    status: int


@dataclass
class ApiServer:
    """The server, its store and what it was asked. `drop_idle`: it closes each connection after an answer, unannounced."""

    folder: Path
    cache_seconds: float = 10.0
    drop_idle: bool = False
    page: int = 500
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    before: Any = None

    def __enter__(self) -> Self:
        self.store = Store(cache_seconds=self.cache_seconds)
        self.ca, context = authority(self.folder)
        self.stopping = threading.Event()
        self._http = _Http(self, context)
        self.address, self.port = "127.0.0.1", self._http.server_address[1]
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()
        for name in ("default", "kube-system"):
            self.store.create(("", "namespaces"), "", {"metadata": {"name": name}})
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def admin(self) -> str:
        return self.store.admin

    @contextlib.contextmanager
    def counted(self) -> Iterator[list[Call]]:
        """The calls that are made inside."""
        start, found = len(self.calls), []
        yield found
        found += self.calls[start:]

    def fault(self, method: str, path: str) -> Fault | None:
        found = next((fault for fault in self.faults if fault.fits(method, path)), None)
        if found is not None:
            found.times -= 1
        return found


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, api: ApiServer, context: ssl.SSLContext) -> None:
        self.api, self.context = api, context
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(30)
        with contextlib.suppress(OSError):
            super().finish_request(self.context.wrap_socket(request, server_side=True), client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of ours."""


@dataclass
class _Asked:
    """One request: what it is about, and its parts."""

    attributes: Attributes
    key: Key
    query: dict[str, str]
    body: dict
    user: User


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Http

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        api, path = self.server.api, self.path
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if api.before is not None:
            api.before(self.command, path)
        fault = api.fault(self.command, path)
        if fault is not None and self._broken(fault):
            return
        try:
            status, answer = self._answer(json.loads(raw) if raw else {})
        except Refusal as refusal:
            status, answer = refusal.code, refusal.status
        if answer is None:
            return
        api.calls.append(Call(self.command, path, status))
        if fault is not None and fault.how == "after":
            self.close_connection = True
            return
        self._send(status, answer)
        if api.drop_idle:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815

    def _broken(self, fault: Fault) -> bool:
        """Whether that was all of an answer."""
        if fault.how == "before":
            self.close_connection = True
        elif fault.how == "hang":
            self.server.api.stopping.wait(30)
            self.close_connection = True
        elif isinstance(fault.how, int):
            self.server.api.calls.append(Call(self.command, self.path, fault.how))
            self._send(fault.how, Refusal(fault.how, "ServiceUnavailable", "it was told to").status)
        return fault.how != "after"

    def _send(self, status: int, answer: dict) -> None:
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _answer(self, body: dict) -> tuple[int, dict | None]:
        store, url = self.server.api.store, urlsplit(self.path)
        user = store.user_of(self.headers.get("Authorization", "").removeprefix("Bearer "))
        if user is None:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if url.path == "/version":
            return 200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0"}
        served = discovery(url.path)
        if served is not None:
            return 200, served
        found = _PATH.fullmatch(url.path)
        if found is None:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        attributes = _attributes(self.command, found, query)
        asked = _Asked(attributes, (attributes.group, attributes.resource), query, body, user)
        authorize(store, asked)
        return self._act(asked)

    def _act(self, asked: _Asked) -> tuple[int, dict | None]:
        store, about = self.server.api.store, asked.attributes
        if about.verb == "watch":
            return 200, self._watch(asked)
        if asked.key in _REVIEWS:
            return 201, _REVIEWS[asked.key](store, asked)
        if about.combined == "serviceaccounts/token":
            return 201, token_request(store, asked)
        if about.subresource:
            return 200, scale_of(about.name) if about.subresource == "scale" else {
                "kind": "Status",
                "status": "Success",
            }
        if about.verb == "list":
            return 200, self._list(asked)
        check_escalation(store, asked)
        return 201 if about.verb == "create" else 200, typed(asked.key, change(store, asked))

    def _list(self, asked: _Asked) -> dict:
        found = [one for one in self.server.api.store.list(asked.key, asked.attributes.namespace)
                 if _selected(one, asked.query)]  # fmt: skip
        start = int(asked.query.get("continue") or 0)
        size = min(int(asked.query.get("limit") or 10**6), self.server.api.page)
        more = str(start + size) if start + size < len(found) else ""
        items = [
            {key: value for key, value in one.items() if key not in ("kind", "apiVersion")} for one in found
        ]
        return {
            "kind": f"{KINDS.get(asked.key, 'Some')}List", "apiVersion": version_of(asked.key[0]),
            "metadata": {"continue": more, "resourceVersion": "100"}, "items": items[start : start + size],
        }  # fmt: skip

    def _watch(self, asked: _Asked) -> None:
        """Events for as long as the connection is open: nobody asks again whether they are still allowed."""
        api, self.close_connection = self.server.api, True
        api.calls.append(Call(self.command, self.path, 200))
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        seen = len(api.store.events)
        while not api.stopping.is_set():
            with api.store.changed:
                api.store.changed.wait(0.1)
                new, seen = api.store.events[seen:], len(api.store.events)
            for _, key, what, made in new:
                if key == asked.key and made["metadata"].get("namespace", "") == asked.attributes.namespace:
                    self.wfile.write(json.dumps({"type": what, "object": typed(key, made)}).encode() + b"\n")
                    self.wfile.flush()


def _attributes(method: str, found: re.Match[str], query: dict[str, str]) -> Attributes:
    named = found["name"] or ""
    verb = _VERBS.get(method) or ("get" if named else "watch" if query.get("watch") == "true" else "list")
    if verb == "delete" and not named:
        verb = "deletecollection"
    if not named and verb in ("list", "watch", "deletecollection"):
        named = _wanted_name(query)
    return Attributes(
        verb, found["group"] or "", found["plural"], found["sub"] or "", named, found["ns"] or ""
    )


def _wanted_name(query: dict[str, str]) -> str:
    field, _, value = query.get("fieldSelector", "").partition("=")
    return value if field == "metadata.name" else ""


def _selected(one: dict, query: dict[str, str]) -> bool:
    labels, name = one["metadata"].get("labels") or {}, _wanted_name(query)
    wanted = [part.partition("=") for part in query.get("labelSelector", "").split(",") if part]
    fits = all(labels.get(key) == value if equals else key in labels for key, equals, value in wanted)
    return fits and (not name or one["metadata"]["name"] == name)


def authorize(store: Store, asked: _Asked) -> None:
    about = asked.attributes
    if about.group == "authorization.k8s.io" and about.resource.startswith("self"):
        return
    if store.rbac.allowed(asked.user, about):
        return
    where = f'in the namespace "{about.namespace}"' if about.namespace else "at the cluster scope"
    name = f' "{about.name}"' if about.name else ""
    resource = f"{about.resource}.{about.group}" if about.group else about.resource
    raise Refusal(403, "Forbidden", f'{resource}{name} is forbidden: User "{asked.user.name}" cannot {about.verb} '
                  f'resource "{about.combined}" in API group "{about.group}" {where}')  # fmt: skip


def check_escalation(store: Store, asked: _Asked) -> None:
    """Nobody gives what they do not hold, but with `escalate` on the role or `bind` to it."""
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
        raise Refusal(403, "Forbidden", f'{about.resource}.{GROUP} "{name}" is forbidden: user "{asked.user.name}" is '
                      f"attempting to grant RBAC permissions not currently held: {missing}")  # fmt: skip


def token_request(store: Store, asked: _Asked) -> dict:
    seconds = asked.body.get("spec", {}).get("expirationSeconds", 3600)
    if seconds < 600:
        raise Refusal(422, "Invalid", "spec.expirationSeconds: Invalid value: may not specify a duration less than 10 minutes")  # fmt: skip
    token, expires = store.issue(asked.attributes.namespace, asked.attributes.name, seconds)
    return {"kind": "TokenRequest", "status": {"token": token, "expirationTimestamp": stamp(expires)}}


def change(store: Store, asked: _Asked) -> dict:
    """Read, create, replace or remove one object."""
    about, body = asked.attributes, asked.body
    if about.verb == "create":
        return store.create(asked.key, about.namespace, body, dry=asked.query.get("dryRun") == "All")
    if about.verb == "update":
        return store.replace(asked.key, about.namespace, about.name, body)
    if about.verb == "patch":
        merged = merge(store.get(asked.key, about.namespace, about.name), body)
        return store.replace(asked.key, about.namespace, about.name, merged)
    return {"get": store.get, "delete": store.delete}[about.verb](asked.key, about.namespace, about.name)


def merge(old: Any, new: Any) -> Any:
    """RFC 7396, which does for the patches of these tests; those of RFC 6902 change nothing here."""
    if isinstance(new, list) and all("op" in one for one in new):
        return old
    if not isinstance(new, dict) or not isinstance(old, dict):
        return new
    merged = {**old, **{key: merge(old.get(key), value) for key, value in new.items()}}
    return {key: value for key, value in merged.items() if value is not None}


def scale_of(name: str) -> dict:
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {"name": name},
        "spec": {"replicas": 1},
    }


def access_review(store: Store, asked: _Asked) -> dict:
    spec = asked.body["spec"]
    user = User(spec["user"], tuple(spec.get("groups") or ())) if "user" in spec else asked.user
    said = spec["resourceAttributes"]
    about = Attributes(
        said.get("verb", ""), said.get("group", ""), said.get("resource", ""), said.get("subresource", ""),
        said.get("name", ""), said.get("namespace", ""),
    )  # fmt: skip
    return {"kind": "SubjectAccessReview", "status": {"allowed": store.rbac.allowed(user, about)}}


def token_review(store: Store, asked: _Asked) -> dict:
    user = store.user_of(asked.body["spec"]["token"])
    status = (
        {"authenticated": True, "user": {"username": user.name}}
        if user
        else {"error": "invalid bearer token"}
    )
    return {"kind": "TokenReview", "status": status}


_REVIEWS = {
    ("authorization.k8s.io", "subjectaccessreviews"): access_review,
    ("authorization.k8s.io", "selfsubjectaccessreviews"): access_review,
    ("authentication.k8s.io", "tokenreviews"): token_review,
}
