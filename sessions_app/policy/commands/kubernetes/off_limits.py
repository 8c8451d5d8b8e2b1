"""What no grant may hold on any cluster: rights in Stint's own namespaces, and rights to create what outlives the
grant.

Reading or creating objects in the namespace of Stint's account gives Stint's own rights. In the namespace of the
grants' accounts it gives the rights of every other holder. Service account tokens, requested or stored in a secret, and
approved certificates stay valid after the grant's bindings are gone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from sessions_app.policy.commands.kubernetes.resources import known_resource
from sessions_app.policy.commands.kubernetes.rights import ANY, DOORS, PolicyRule, word_listed
from sessions_app.policy.commands.kubernetes.texts import match, parse_slots
from sessions_app.policy.commands.parameters import ParameterType

OWN_NAMESPACE, ACCOUNTS = "stint-system", "stint-grants"
OWN = frozenset((OWN_NAMESPACE, ACCOUNTS))
_READ = frozenset(("get", "list", "watch"))
# The kubelet's API enters every pod of a node; webhooks and aggregated APIs read and change the requests of everyone.
_ENTERING = "nodes/proxy"
_INTERCEPTING = frozenset(("admissionregistration.k8s.io", "apiregistration.k8s.io"))
_CORE, _CERTIFICATES = "", "certificates.k8s.io"


def off_limits(
    namespace: str, rule: PolicyRule, *, types: Mapping[str, ParameterType], own: Collection[str] = OWN
) -> str | None:
    """Return why no grant may hold a rule in a namespace ("": the whole cluster), as a clause; None if grants may.

    `namespace` may contain places for values of `types`. One that could become Stint's own namespace is refused. `own`
    are Stint's namespaces on the cluster.
    """
    if _makes_tokens(rule):
        return "creates service account tokens, which stay valid after the grant ends"
    if _approves_certificates(rule):
        return "approves certificates, which stay valid after the grant ends"
    if namespace:
        return _reaches_own((namespace,), types, own)
    if _changes_namespaces(rule) and (why := _reaches_own(rule.names, types, own)):
        return why
    if any(_is_own_everywhere(group, resource, rule.verbs) for group, resource in _pairs(rule)):
        return f"reaches every namespace, including Stint's own: {' and '.join(sorted(own))}"
    return None


def why_off_limits(rules: Mapping[str, Iterable[PolicyRule]], *, own: Collection[str] = OWN) -> str | None:
    """Return why a grant may not hold some of these rules, given by namespace and without places; None if it may hold
    all.
    """
    found = (
        off_limits(namespace, rule, types={}, own=own) for namespace, some in rules.items() for rule in some
    )
    return next((why for why in found if why), None)


def _pairs(rule: PolicyRule) -> Iterable[tuple[str, str]]:
    return ((group, resource) for group in rule.groups for resource in rule.resources)


def _makes_tokens(rule: PolicyRule) -> bool:
    """Whether a rule can create service account tokens. Kubernetes fills a `kubernetes.io/service-account-token` secret
    with a token that never expires.
    """
    made = {"secrets", "serviceaccounts/token", "serviceaccounts/*", "*/token", ANY}
    return (
        word_listed("create", rule.verbs)
        and word_listed(_CORE, rule.groups)
        and not made.isdisjoint(rule.resources)
    )


def _approves_certificates(rule: PolicyRule) -> bool:
    changed = {"certificatesigningrequests/approval", "certificatesigningrequests/status", "certificatesigningrequests/*", "*/approval", "*/status"}  # fmt: skip
    return word_listed(_CERTIFICATES, rule.groups) and (
        (not _READ.issuperset(rule.verbs) and not changed.isdisjoint(rule.resources))
        or any(word_listed(verb, rule.verbs) for verb in ("approve", "sign"))
    )


def _changes_namespaces(rule: PolicyRule) -> bool:
    """Whether a rule changes or deletes namespaces themselves. Creating one that exists changes nothing."""
    listed = word_listed(_CORE, rule.groups) and any(
        resource.partition("/")[0] in ("namespaces", ANY) for resource in rule.resources
    )
    return listed and not (_READ | {"create"}).issuperset(rule.verbs)


def _reaches_own(
    names: Collection[str], types: Mapping[str, ParameterType], own: Collection[str]
) -> str | None:
    """Return why one of the names can be one of Stint's own namespaces; None if none can. Without names, any name is
    meant.
    """
    for name in names or (ANY,):
        for one in sorted(own):
            if name == ANY or match(parse_slots(name), one, types, {}) is not None:
                said = f"reaches {one}" if one == name else f"reaches {one}, a possible value of `{name}`"
                return (
                    f"{said}. This namespace is Stint's own, and holds its rights and those of every holder"
                )
    return None


def _is_own_everywhere(group: str, resource: str, verbs: tuple[str, ...]) -> bool:
    """Whether a right in the whole cluster allows more in Stint's own namespaces than to view what is there.

    Only the cluster knows whether a custom resource is namespaced, and many of them run pods where they are, so it
    counts as namespaced.
    """
    plural = resource.partition("/")[0]
    if (group, resource) == (_CORE, _ENTERING):
        return True
    if group in _INTERCEPTING:
        return not _READ.issuperset(verbs)
    if known_resource(group, plural).namespaced is False and ANY not in (group, plural):
        return False
    return not _READ.issuperset(verbs) or plural in ("secrets", ANY) or resource in DOORS
