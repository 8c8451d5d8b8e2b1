"""The data of an API server: objects with versions and unique ids, and tokens of service accounts."""

from __future__ import annotations

import base64
import bisect
import copy
import datetime as dt
import itertools
import json
import math
import secrets
import threading
import time
import uuid
from dataclasses import dataclass, field

from tests.support.servers.kubernetes.rbac import Rbac, User
from tests.support.servers.kubernetes.webhook import Webhook

Key = tuple[str, str]  # group, plural


class Refusal(Exception):
    """A failure response, as a Status."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message

    @property
    def status(self) -> dict:
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }


def _jwt(payload: dict) -> str:
    def part(data: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256'})}.{part(payload)}.{secrets.token_urlsafe(24)}"


def stamp(moment: float) -> str:
    return dt.datetime.fromtimestamp(moment, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Issued:
    """A service account's token, valid while the account with that uid exists, and the secret that contains
    it.
    """

    namespace: str
    name: str
    uid: str
    expires: float
    jti: str
    secret: str = ""


@dataclass
class Store:
    cache_seconds: float = 10.0
    objects: dict[Key, dict[tuple[str, str], dict]] = field(default_factory=dict)
    tokens: dict[str, Issued] = field(default_factory=dict)
    cached: dict[str, tuple[float, User]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)
    events: list[tuple[int, Key, str, dict]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._versions = itertools.count(100)
        self.admin = secrets.token_hex(16)
        self.rbac = Rbac(self._rbac_objects)
        # If there is one, it is queried before RBAC.
        self.webhook: Webhook | None = None

    def _rbac_objects(self, plural: str) -> list[dict]:
        return list(self.objects.get(("rbac.authorization.k8s.io", plural), {}).values())

    # Authentication

    def user_of(self, token: str) -> User | None:
        """Return the user of a token.

        A success is cached, and stays valid for that time whatever happens meanwhile.
        """
        if token == self.admin:
            return User("admin", ("system:masters", "system:authenticated"))
        until, user = self.cached.get(token, (0.0, None))
        if user is not None and time.monotonic() < until:
            return user
        self.cached.pop(token, None)
        user = self._fresh_user(token)
        if user is not None:
            self.cached[token] = (time.monotonic() + self.cache_seconds, user)
        return user

    def _fresh_user(self, token: str) -> User | None:
        issued = self.tokens.get(token)
        if issued is None or issued.expires < time.time():
            return None
        account = self.objects.get(("", "serviceaccounts"), {}).get((issued.namespace, issued.name))
        if account is None or account["metadata"]["uid"] != issued.uid:
            return None
        if issued.secret and (issued.namespace, issued.secret) not in self.objects.get(("", "secrets"), {}):
            return None
        groups = (
            "system:serviceaccounts",
            f"system:serviceaccounts:{issued.namespace}",
            "system:authenticated",
        )
        return User(f"system:serviceaccount:{issued.namespace}:{issued.name}", groups)

    def issue(self, namespace: str, name: str, seconds: int) -> tuple[str, float]:
        account = self.get(("", "serviceaccounts"), namespace, name)
        expires, jti = time.time() + seconds, str(uuid.uuid4())
        token = _jwt({"sub": f"system:serviceaccount:{namespace}:{name}", "exp": int(expires), "jti": jti})
        self.tokens[token] = Issued(namespace, name, account["metadata"]["uid"], expires, jti)
        return token, expires

    def fill(self, secret: dict, namespace: str, ca: str) -> None:
        """Put a token that does not expire into a secret for one, as the token controller does.

        It is valid while the secret exists, too.
        """
        meta = secret.get("metadata") or {}
        account = (meta.get("annotations") or {}).get("kubernetes.io/service-account.name", "")
        if secret.get("type") != "kubernetes.io/service-account-token":
            return
        uid = self.get(("", "serviceaccounts"), namespace, account)["metadata"]["uid"]
        token = _jwt({"sub": f"system:serviceaccount:{namespace}:{account}", "jti": str(uuid.uuid4())})
        self.tokens[token] = Issued(namespace, account, uid, math.inf, "", secret=meta["name"])
        parts = {"token": token, "ca.crt": ca, "namespace": namespace}
        secret["data"] = {key: base64.b64encode(value.encode()).decode() for key, value in parts.items()}

    # Objects

    def get(self, key: Key, namespace: str, name: str) -> dict:
        try:
            return self.objects[key][namespace, name]
        except KeyError:
            what = f"{key[1]}.{key[0]}" if key[0] else key[1]
            raise Refusal(404, "NotFound", f'{what} "{name}" not found') from None

    def list(self, key: Key, namespace: str) -> list[dict]:
        found = self.objects.get(key, {})
        return [one for (where, _), one in sorted(found.items()) if not namespace or where == namespace]

    def snapshot(self, key: Key, namespace: str) -> tuple[list[dict], int]:
        """Return the objects of a kind, and the version at which this is their state."""
        with self.changed:
            return self.list(key, namespace), self.events[-1][0] if self.events else 0

    def since(self, version: int, *, seconds: float) -> list[tuple[int, Key, str, dict]]:
        """Return the events after a version; wait up to `seconds` for one."""
        with self.changed:
            if not self.events or self.events[-1][0] <= version:
                self.changed.wait(seconds)
            start = bisect.bisect_right(self.events, version, key=lambda event: event[0])
            return self.events[start:]

    def wake(self) -> None:
        """Wake those who wait for events."""
        with self.changed:
            self.changed.notify_all()

    def create(self, key: Key, namespace: str, data: dict, *, dry: bool = False) -> dict:
        meta = data.setdefault("metadata", {})
        name = meta.get("name")
        if not name:
            raise Refusal(422, "Invalid", "metadata.name: Required value: name or generateName is required")
        if namespace and ("", namespace) not in self.objects.get(("", "namespaces"), {}):
            raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found')
        if (namespace, name) in self.objects.get(key, {}):
            raise Refusal(409, "AlreadyExists", f'{key[1]} "{name}" already exists')
        made = copy.deepcopy(data)
        made["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": stamp(time.time())}
        if namespace:
            made["metadata"]["namespace"] = namespace
        if not dry:
            self._keep(key, namespace, name, made, "ADDED")
        return made

    def replace(self, key: Key, namespace: str, name: str, data: dict) -> dict:
        old = self.get(key, namespace, name)
        version = data.get("metadata", {}).get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise Refusal(
                409,
                "Conflict",
                "the object has been modified; please apply your changes to the latest version",
            )
        if "roleRef" in old and data.get("roleRef") != old["roleRef"]:
            raise Refusal(422, "Invalid", "roleRef: Invalid value: cannot change roleRef")
        new = copy.deepcopy(data)
        for kept in ("uid", "creationTimestamp", "namespace", "name"):
            if kept in old["metadata"]:
                new["metadata"][kept] = old["metadata"][kept]
        self._keep(key, namespace, name, new, "MODIFIED")
        return new

    def delete(self, key: Key, namespace: str, name: str) -> dict:
        old = self.get(key, namespace, name)
        with self.changed:
            del self.objects[key][namespace, name]
            version = next(self._versions)
            last = {**old, "metadata": {**old["metadata"], "resourceVersion": str(version)}}
            self.events.append((version, key, "DELETED", last))
            self.changed.notify_all()
        return old

    def _keep(self, key: Key, namespace: str, name: str, made: dict, what: str) -> None:
        with self.changed:
            version = next(self._versions)
            made["metadata"]["resourceVersion"] = str(version)
            self.objects.setdefault(key, {})[namespace, name] = made
            self.events.append((version, key, what, made))
            self.changed.notify_all()
