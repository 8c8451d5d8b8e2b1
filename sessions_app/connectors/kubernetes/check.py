"""Check whether a cluster is set up for Stint: its API server, Stint's token, and Stint's permissions."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
from collections.abc import Iterator

from sessions_app.connectors.base import CheckStep, ConnectorError, TargetSpec
from sessions_app.connectors.kubernetes.api import Api
from sessions_app.connectors.kubernetes.look import bindings_by_others
from sessions_app.connectors.kubernetes.objects import GROUP, Ask, path_of

_APPLY = "Apply the output of `manage.py kubernetes_target_setup {cluster}`: `kubectl apply -f FILE`."
_OLDEST = (1, 22)
_SOON = dt.timedelta(days=14)
_NAMED = 10


def check_place(place: TargetSpec, now: dt.datetime) -> list[CheckStep]:
    """Run the checks in order, until a failure makes the remaining ones impossible."""
    steps: list[CheckStep] = []
    apply = _APPLY.format(cluster=place.cluster)
    try:
        api = Api(place)
        steps.append(_version(api))
        steps.append(_token(api, now))
        steps.append(_accounts(api, apply))
        steps += _rights(api, apply)
        steps.append(_not_too_much(api, apply))
        if all(step.ok for step in steps):  # otherwise Stint may not be able to list bindings
            steps.append(_by_others(api))
    except ConnectorError as error:
        name, fix = _where(steps, error, apply)
        steps.append(CheckStep(name, ok=False, detail=error.message, fix=fix))
    return steps


def _where(steps: list[CheckStep], error: ConnectorError, apply: str) -> tuple[str, str]:
    if not steps and "401" in error.message:
        return "token", apply + " Then set the token as described at the top of the file."
    if not steps:
        return (
            "API server",
            "Copy address, port, ca and server_name from a working kubeconfig. Allow connections from Stint.",
        )
    return "rights", apply


def _version(api: Api) -> CheckStep:
    _, said = api.call("GET", "/version")
    numbers = tuple(
        int("".join(filter(str.isdigit, str(said.get(key, "0")))) or 0) for key in ("major", "minor")
    )
    name = str(said.get("gitVersion", "an unknown version"))
    if numbers < _OLDEST:
        return CheckStep(
            "API server",
            ok=False,
            detail=f"Kubernetes {name} responds",
            fix="Stint needs Kubernetes 1.22 or later.",
        )
    return CheckStep("API server", ok=True, detail=f"Kubernetes {name} responds with a valid certificate")


def _token(api: Api, now: dt.datetime) -> CheckStep:
    ends = _end_of(api.parameters.token.get_secret_value())
    if ends is None:
        return CheckStep("token", ok=True, detail="the token is accepted and does not expire")
    fix = "Create a new token before then and set it as token." if ends - now < _SOON else ""
    return CheckStep(
        "token", ok=True, detail=f"the token is accepted until {ends:%Y-%m-%d %H:%M} UTC", fix=fix
    )


def _end_of(token: str) -> dt.datetime | None:
    try:
        part = token.split(".")[1]
        data = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return dt.datetime.fromtimestamp(int(data["exp"]), dt.UTC)
    except (IndexError, ValueError, KeyError, TypeError, binascii.Error, OverflowError):
        return None


def _accounts(api: Api, apply: str) -> CheckStep:
    """Check with a dry run that Stint can create an account, which requires the namespace and the permission.
    Creates nothing.
    """
    accounts = api.parameters.accounts
    body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "stint-check"}}
    status, answer = api.call(
        "POST", path_of("serviceaccounts", accounts), body, query={"dryRun": "All"}, also=(403, 404, 409)
    )
    if status in (403, 404):
        return CheckStep("accounts", ok=False, detail=str(answer.get("message", "")), fix=apply)
    return CheckStep("accounts", ok=True, detail=f"Stint can create accounts in namespace {accounts}")


def _needed(api: Api) -> Iterator[Ask]:
    accounts = api.parameters.accounts
    for verb in ("get", "list", "delete"):
        yield Ask(accounts, verb, "", "serviceaccounts")
    yield Ask(accounts, "create", "", "serviceaccounts/token")
    for resource in ("roles", "rolebindings", "clusterroles", "clusterrolebindings"):
        yield Ask("", "list", GROUP, resource)
    yield Ask("", "create", "authorization.k8s.io", "subjectaccessreviews")
    yield Ask("", "create", "authentication.k8s.io", "tokenreviews")
    for namespace in (api.parameters.namespaces or ())[:10]:
        for resource in ("roles", "rolebindings"):
            yield Ask(namespace, "create", GROUP, resource)
            yield Ask(namespace, "delete", GROUP, resource)


def _rights(api: Api, apply: str) -> Iterator[CheckStep]:
    missing = [str(ask) for ask in _needed(api) if not _may(api, ask)]
    if missing:
        yield CheckStep("rights", ok=False, detail=f"Stint may not {'; '.join(missing)}", fix=apply)
    else:
        yield CheckStep("rights", ok=True, detail="Stint has all permissions that it needs")


def _not_too_much(api: Api, apply: str) -> CheckStep:
    """Check for excess permissions, because anyone with Stint's token has Stint's permissions."""
    asks = (
        Ask("", "*", "*", "*"),
        Ask("", "escalate", GROUP, "clusterroles"),
        Ask("", "bind", GROUP, "clusterroles"),
        Ask("", "impersonate", "", "users"),
        Ask("", "get", "", "secrets"),
        Ask("", "create", "authorization.openshift.io", "clusterrolebindings"),
        Ask("", "create", "admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    )
    held = [ask for ask in asks if _may(api, ask)]
    if held:
        detail = f"Stint may {'; '.join(map(str, held))}, which it does not need"
        return CheckStep(
            "least privilege",
            ok=True,
            detail=detail,
            fix=f"Reduce the permissions of Stint's account. {apply}",
        )
    return CheckStep(
        "least privilege", ok=True, detail="Stint can't grant more permissions than the cluster allows"
    )


def _by_others(api: Api) -> CheckStep:
    """List the permissions that others give to the accounts of grants.

    Every holder also has these permissions, and the end of a grant does not remove them.
    """
    found = bindings_by_others(api)
    if not found:
        return CheckStep(
            "bindings by others", ok=True, detail="grant accounts have only the permissions that Stint gives"
        )
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    detail = f"grant accounts have more permissions than Stint gives: {'; '.join(found[:_NAMED])}{more}"
    fix = "Bind these roles only to the accounts that need them, or remove these bindings."
    return CheckStep("bindings by others", ok=True, detail=detail, fix=fix)


def _may(api: Api, ask: Ask) -> bool:
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": ask.attributes},
    }
    _, answer = api.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
    status = answer.get("status")
    return isinstance(status, dict) and status.get("allowed") is True
