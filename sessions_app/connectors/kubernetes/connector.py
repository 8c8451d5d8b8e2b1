"""Access to Kubernetes: each grant has its own service account, which is bound to the approved roles until
the grant ends.

Bindings are removed first: authorization is not cached, so access stops within milliseconds. Deleting only
the account would leave its tokens valid for the ten seconds of the API server's cache.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sessions_app.connectors.base import (
    CheckStep,
    ConnectorError,
    Credential,
    Evidence,
    GrantSpec,
    Json,
    LeaseSpec,
    Observed,
    TargetSpec,
)
from sessions_app.connectors.kubernetes.api import Api
from sessions_app.connectors.kubernetes.change import Removal, ensure
from sessions_app.connectors.kubernetes.check import check_place
from sessions_app.connectors.kubernetes.kubeconfig import exec_kubeconfig, install_command, token_kubeconfig
from sessions_app.connectors.kubernetes.look import Found, look, look_around
from sessions_app.connectors.kubernetes.objects import Ask, Wanted, ask_about, name_of, path_of
from sessions_app.connectors.kubernetes.proof import CACHE_SECONDS, Canary, ask_all, refused, request_token
from sessions_app.policy.commands.kubernetes.compiling import CompiledSet

NOT_CUT = (
    "open watches, exec, attach, port-forward and followed logs continue until their connection closes; "
    "Kubernetes can't cut them"
)


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass
class KubernetesConnector:
    """Creates and revokes accounts, roles and bindings. Safe to use from any number of threads.

    ``settle`` is how many seconds to wait after a deletion before testing a token: the API server would cache
    a premature positive result for ten seconds. ``now`` is the clock that decides when grants end.
    ``stint_url`` is the URL that the exec plugin in a holder's kubeconfig calls.
    """

    kind: str = "kubernetes"
    settle: float = 0.3
    now: Callable[[], dt.datetime] = field(default=_utc_now)
    stint_url: str = ""

    def provision(self, spec: GrantSpec) -> LeaseSpec:
        """Create or repair the account, roles and bindings. Raises ConnectorError."""
        api = Api(spec.place)
        wanted = _wanted(spec, api)
        met = [ensure(api, "serviceaccounts", wanted[0].accounts, wanted[0].account())]
        for one in wanted:
            met.append(ensure(api, "roles", one.namespace, one.role()))
            met.append(ensure(api, "rolebindings", one.namespace, one.binding()))
        if any(met):  # an object already existed, so there may be surplus objects
            _remove_others(api, spec.mark, {one.namespace for one in wanted})
        return LeaseSpec(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place, made=_made(spec, wanted))

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Remove the bindings, check what the account may do, delete it, and read everything back.

        Raises ConnectorError.
        """
        api, asked_at = Api(lease.place), self._stamp()
        removal = Removal(api, lease.mark)
        asks, found = _remembered(lease), Found()
        if not asks:
            with removal.trying():
                found = look(api, lease.mark)
        asks = asks or found.asks
        places = {ask.namespace for ask in asks}
        removal.remove("rolebindings", places | set(found.bindings))
        answers, canary = {}, Canary()
        with removal.trying():
            answers = ask_all(api, lease.mark, asks)
        with removal.trying():
            canary = Canary.take(api, lease.mark)
        removal.remove("serviceaccounts", [api.parameters.accounts])
        deleted = self.now()
        removal.remove("roles", places | set(found.roles))
        left = look(api, lease.mark)
        if left:
            removal.remove_found(left)
            left = look(api, lease.mark)
        removal.finish()
        token = refused(api, canary, settle=self.settle)
        still = [str(ask) for ask, allowed in answers.items() if allowed]
        foreign = [
            f"a binding that Stint did not create lets the account {what}: remove it" for what in still
        ]
        return Evidence(
            gone=not left and not still and token.good,
            detail={
                "asked_at": asked_at,
                "answered_at": self._stamp(),
                "calls": api.calls,
                "removed": removal.removed,
                "left": [*left.names, *foreign],
                "account_may": _answers(answers),
                "token": token.words,
                "last_use_refused_by": (
                    (deleted + dt.timedelta(seconds=CACHE_SECONDS)).isoformat(timespec="seconds")
                ),
                "not_cut": _not_cut(lease, found, api),
            },
        )

    def verify(self, lease: LeaseSpec) -> Evidence:
        """Look for the account, roles and bindings, and check what the account may do.

        Raises ConnectorError.
        """
        api, asked_at = Api(lease.place), self._stamp()
        left = look(api, lease.mark)
        answers = ask_all(api, lease.mark, _remembered(lease) or left.asks, patience=0)
        return Evidence(
            gone=not left and not any(answers.values()),
            detail={
                "asked_at": asked_at,
                "answered_at": self._stamp(),
                "calls": api.calls,
                "left": left.names,
                "account_may": _answers(answers),
            },
        )

    def observe(self, place: TargetSpec) -> list[Observed]:
        """Return all objects with a name that Stint gives, and other people's bindings that refer to Stint's
        accounts.
        """
        return look_around(Api(place))

    def check(self, place: TargetSpec) -> list[CheckStep]:
        """Check whether the cluster accepts Stint and gives it the permissions that it needs."""
        return check_place(place, self.now())

    def issue(self, spec: GrantSpec, lease: LeaseSpec) -> Credential:
        """Recreate the account, which invalidates its tokens, and request a token that expires with the
        grant.

        API servers issue tokens for at least ten minutes. If a token outlives its grant, it is useless,
        because the bindings are gone. Raises ConnectorError.
        """
        del lease
        api = Api(spec.place)
        wanted = _wanted(spec, api)[0]
        accounts, name = wanted.accounts, name_of(spec.mark)
        api.call("DELETE", path_of("serviceaccounts", accounts, name), also=(404,))
        api.call("POST", path_of("serviceaccounts", accounts), wanted.account(), also=(409,))
        made = request_token(api, name, math.floor((spec.expires_at - self.now()).total_seconds()))
        try:
            ends = dt.datetime.fromisoformat(str(made["expirationTimestamp"]))
            token = str(made["token"])
        except (KeyError, ValueError) as error:
            raise api.nonsense("TokenRequest") from error
        _check_bound(api, wanted)
        return _credential(spec, api, token, min(ends, spec.expires_at), self.stint_url)

    def _stamp(self) -> str:
        return self.now().isoformat(timespec="milliseconds")


def _wanted(spec: GrantSpec, api: Api) -> list[Wanted]:
    """Return the objects that a grant needs, one item for each namespace.

    Raises ConnectorError if something is not allowed.
    """
    if not isinstance(spec.commands, CompiledSet) or not (rules := spec.commands.rules()):
        raise ConnectorError(
            f"The commands of {spec.grant_ref} are not for a Kubernetes cluster.", permanent=True
        )
    if still := spec.commands.open_names():
        raise ConnectorError(f"{spec.grant_ref} has no value for {', '.join(still)}.", permanent=True)
    if why := spec.commands.off_limits({"accounts": api.parameters.accounts}):
        raise ConnectorError(f"{spec.grant_ref} {why}, which no grant may include.", permanent=True)
    limit = api.parameters.namespaces
    outside = [name or "the whole cluster" for name in rules if limit is not None and name not in limit]
    if outside:
        raise ConnectorError(
            f"{spec.grant_ref} reaches {', '.join(outside)}, which is outside the namespaces of "
            f"{api.name}: add it to the cluster's `namespaces`.",
            permanent=True,
        )
    return [
        Wanted(spec.mark, spec.grant_ref, spec.holder, api.parameters.accounts, name, rules[name])
        for name in rules
    ]


def _check_bound(api: Api, wanted: Wanted) -> None:
    """Delete the account if a revoke has removed its binding in the meantime.

    A revoke that comes later removes both itself.
    """
    name = name_of(wanted.mark)
    status, _ = api.call("GET", path_of("rolebindings", wanted.namespace, name), also=(404,))
    if status == 404:
        api.call("DELETE", path_of("serviceaccounts", wanted.accounts, name), also=(404,))
        raise ConnectorError(
            f"{wanted.grant_ref} gives no access to {api.name}: it is ending or has not started."
        )


def _remove_others(api: Api, mark: str, wanted: set[str]) -> None:
    """Remove objects with the grant's name from namespaces that the grant does not use."""
    found, removal = look(api, mark), Removal(api, mark)
    removal.remove("rolebindings", set(found.bindings) - wanted)
    removal.remove("roles", set(found.roles) - wanted)
    removal.finish()


_KEYS = ("namespace", "verb", "group", "resource", "name")


def _made(spec: GrantSpec, wanted: Sequence[Wanted]) -> dict[str, Json]:
    asks = [ask_about(one.namespace, one.role()["rules"]) for one in wanted]
    known = spec.commands if isinstance(spec.commands, CompiledSet) else None
    return {
        "name": name_of(spec.mark),
        "rights": [{key: getattr(ask, key) for key in _KEYS} for ask in asks if ask is not None],
        "streams": list(known.streams()) if known else [],
        "uncontained": list(known.uncontained()) if known else [],
    }


def _remembered(lease: LeaseSpec) -> list[Ask]:
    """Return the permissions that ``provision`` stored, one of the account's for each namespace."""
    noted = lease.made.get("rights")
    if not isinstance(noted, list | tuple):
        return []
    return [Ask(**{key: str(one.get(key, "")) for key in _KEYS}) for one in noted if isinstance(one, Mapping)]


def _not_cut(lease: LeaseSpec, found: Found, api: Api) -> list[Json]:
    """Return the connections that remain open after the grant's end.

    If the cluster is reached through the gateway, the gateway has cut all of them.
    """
    if api.parameters.direct:
        return [*(_streams(lease) or found.streams), NOT_CUT]
    return [
        f"processes started by `{line}`, which were not contained" for line in _noted(lease, "uncontained")
    ]


def _streams(lease: LeaseSpec) -> list[str]:
    return _noted(lease, "streams")


def _noted(lease: LeaseSpec, key: str) -> list[str]:
    noted = lease.made.get(key)
    return [str(one) for one in noted] if isinstance(noted, list | tuple) else []


def _answers(answers: Mapping[Ask, bool]) -> dict[str, Json]:
    return {str(ask): allowed for ask, allowed in answers.items()}


def _credential(spec: GrantSpec, api: Api, token: str, expires: dt.datetime, stint_url: str) -> Credential:
    target, parameters = spec.place.target, api.parameters
    server = f"https://{f'[{target.address}]' if ':' in target.address else target.address}:{target.port}"
    first = next((one.namespace for one in _wanted(spec, api) if one.namespace), "")
    known = {
        "name": spec.place.cluster,
        "server": server,
        "ca": parameters.ca,
        "namespace": first,
        "server_name": parameters.server_name,
    }
    asking = exec_kubeconfig(**known, grant_ref=spec.grant_ref, stint_url=stint_url, target=target.name)
    fields = {
        "Token": token,
        "Server": server,
        "Certificate authority": parameters.ca,
        "Namespace": first,
        "Token id": _token_id(token),
        "Kubeconfig": token_kubeconfig(**known, token=token),
        "Kubeconfig with the plugin": asking,
    }
    shown = {key: value for key, value in fields.items() if value}
    return Credential(
        fields=shown,
        secret=frozenset(("Token", "Kubeconfig")),
        command=install_command(spec.grant_ref),
        expires_at=expires,
    )


def _token_id(token: str) -> str:
    """Return the `jti` of a token, or an empty string.

    Since Kubernetes 1.34, the API server's audit log includes it for each use.
    """
    try:
        part = token.split(".")[1]
        data = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return ""
    return str(data.get("jti", "")) if isinstance(data, dict) else ""
