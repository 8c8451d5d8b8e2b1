"""Rights that no grant can include on any cluster: rights in Stint's own namespaces, rights of other holders,
and the right to create anything that outlives the grant.

Reading or creating objects in the namespace of Stint's account gives Stint's own rights. In the namespace of
the grants' accounts, it gives the rights of every other holder. Roles, bindings, service account tokens
(requested or stored in a secret) and approved certificates stay valid after the grant's bindings are gone.
Webhooks and admission policies can prevent Stint from removing them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sessions_app.policy.commands.kubernetes.resources import known_resource
from sessions_app.policy.commands.kubernetes.rights import ANY, CONNECTS, PolicyRule, word_listed
from sessions_app.policy.commands.kubernetes.texts import match, parse_slots
from sessions_app.policy.commands.parameters import ParameterType

OWN_NAMESPACE, ACCOUNTS = "stint-system", "stint-grants"
OWN = frozenset((OWN_NAMESPACE, ACCOUNTS))
_READ = frozenset(("get", "list", "watch"))
_REMOVE = frozenset(("delete", "deletecollection"))
# The kubelet's API can enter every pod of a node.
_ENTERING = "nodes/proxy"
# Webhooks, admission policies and aggregated APIs read, change or refuse everyone's requests.
_INTERCEPTING = frozenset(("admissionregistration.k8s.io", "apiregistration.k8s.io"))
# Writing objects of these groups grants rights on the cluster, or creates identities that have such rights:
# RBAC, OpenShift, Rancher, KubeSphere, Capsule, RBAC Manager, and the cloud accounts of Config Connector and
# AWS Controllers.
_GIVING = frozenset(
    (
        "rbac.authorization.k8s.io",
        "authorization.openshift.io",
        "user.openshift.io",
        "oauth.openshift.io",
        "security.openshift.io",
        "management.cattle.io",
        "iam.kubesphere.io",
        "capsule.clastix.io",
        "rbacmanager.reactiveops.io",
        "iam.cnrm.cloud.google.com",
        "iam.services.k8s.aws",
    )
)
_TAKING = ("escalate", "bind", "impersonate")
# Subresources that only describe the object. Reading any other subresource can open a stream or return
# secrets.
VIEWS = ("", "status", "scale", "log")
_CORE, _CERTIFICATES = "", "certificates.k8s.io"


def off_limits(
    namespace: str, rule: PolicyRule, *, types: Mapping[str, ParameterType], own: Collection[str] = OWN
) -> str | None:
    """Return, as a clause, why no grant may include a rule in a namespace ("": the whole cluster); None if
    grants may.

    `namespace` can contain placeholders for values of `types`. A namespace that could become Stint's own is
    refused. `own` are Stint's namespaces on the cluster.
    """
    if rights := _rights_of_others(rule):
        return rights
    if _makes_tokens(rule):
        return "creates service account tokens, which stay valid after the grant ends"
    if _approves_certificates(rule):
        return "approves certificates, which stay valid after the grant ends"
    if namespace:
        return _reaches_own((namespace,), types, own)
    if _changes_namespaces(rule) and (why := _reaches_own(rule.names, types, own)):
        return why
    if _intercepts(rule):
        return "controls everyone's requests to the API server, including Stint's requests that end access"
    if any(_is_own_everywhere(group, resource, rule.verbs) for group, resource in _pairs(rule)):
        return f"reaches every namespace, including Stint's own: {' and '.join(sorted(own))}"
    return None


def why_off_limits(rules: Mapping[str, Iterable[PolicyRule]], *, own: Collection[str] = OWN) -> str | None:
    """Return why a grant may not include some of these rules, which are given by namespace and without
    placeholders; None if it may include all of them.
    """
    found = (
        off_limits(namespace, rule, types={}, own=own) for namespace, some in rules.items() for rule in some
    )
    return next((why for why in found if why), None)


def _pairs(rule: PolicyRule) -> Iterable[tuple[str, str]]:
    return ((group, resource) for group in rule.groups for resource in rule.resources)


def _rights_of_others(rule: PolicyRule) -> str | None:
    taking = next((verb for verb in _TAKING if verb in rule.verbs), None)
    if taking:
        return f"lets the holder take on the rights of others: {taking}"
    if _writes(rule) and any(word_listed(group, rule.groups) for group in _GIVING):
        return "grants rights or creates identities that remain after the grant ends"
    return None


def _writes(rule: PolicyRule) -> bool:
    return not _READ.issuperset(rule.verbs)


def _intercepts(rule: PolicyRule) -> bool:
    """Whether a rule can add or change an interceptor of API server requests. Removing one does not
    count.
    """
    listed = any(word_listed(group, rule.groups) for group in _INTERCEPTING)
    return listed and not (_READ | _REMOVE).issuperset(rule.verbs)


def _makes_tokens(rule: PolicyRule) -> bool:
    """Whether a rule can create service account tokens. Kubernetes fills a
    `kubernetes.io/service-account-token` secret with a token that never expires.
    """
    made = {"secrets", "serviceaccounts/token", "serviceaccounts/*", "*/token", ANY}
    return (
        word_listed("create", rule.verbs)
        and word_listed(_CORE, rule.groups)
        and not made.isdisjoint(rule.resources)
    )


def _approves_certificates(rule: PolicyRule) -> bool:
    changed = {
        "certificatesigningrequests/approval",
        "certificatesigningrequests/status",
        "certificatesigningrequests/*",
        "*/approval",
        "*/status",
    }
    return word_listed(_CERTIFICATES, rule.groups) and (
        (_writes(rule) and not changed.isdisjoint(rule.resources))
        or any(word_listed(verb, rule.verbs) for verb in ("approve", "sign"))
    )


def _changes_namespaces(rule: PolicyRule) -> bool:
    """Whether a rule changes or deletes namespaces themselves. Creating a namespace that exists changes
    nothing.
    """
    listed = word_listed(_CORE, rule.groups) and any(
        resource.partition("/")[0] in ("namespaces", ANY) for resource in rule.resources
    )
    return listed and not (_READ | {"create"}).issuperset(rule.verbs)


def _reaches_own(
    names: Collection[str], types: Mapping[str, ParameterType], own: Collection[str]
) -> str | None:
    """Return why one of the names can be one of Stint's own namespaces; None if none can.

    Without names, any name matches.
    """
    for name in names or (ANY,):
        for one in sorted(own):
            if name == ANY or match(parse_slots(name), one, types, {}) is not None:
                said = f"reaches {one}" if one == name else f"reaches {one}, a possible value of `{name}`"
                return (
                    f"{said}, Stint's own namespace, which contains the credentials of Stint and of "
                    "every holder"
                )
    return None


def _is_own_everywhere(group: str, resource: str, verbs: tuple[str, ...]) -> bool:
    """Whether a cluster-wide right allows more than viewing in Stint's own namespaces.

    Only the cluster knows whether a custom resource is namespaced. Many custom resources run pods in their
    namespace, so they count as namespaced.
    """
    plural, _, part = resource.partition("/")
    if (group, resource) == (_CORE, _ENTERING):
        return True
    known = known_resource(group, plural).namespaced
    if known is False and ANY not in (group, plural):
        return False
    views = plural not in ("secrets", ANY) and resource not in CONNECTS and (known or part in VIEWS)
    return not (views and _READ.issuperset(verbs))
