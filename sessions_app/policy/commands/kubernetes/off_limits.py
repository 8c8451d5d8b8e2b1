"""What no grant may hold on any cluster: rights in Stint's own namespaces, and rights to make what outlives it.

Whoever may read or make something in the namespace of Stint's account has Stint's own rights, and in that of the
accounts of grants those of every other holder. A token of a service account, asked for or kept in a secret, and a
certificate that was approved stay good after the grant's bindings are gone.
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
_CORE, _CERTIFICATES = "", "certificates.k8s.io"


def off_limits(
    namespace: str, rule: PolicyRule, *, types: Mapping[str, ParameterType], own: Collection[str] = OWN
) -> str | None:
    """Why no grant may hold a rule in a namespace ("": the whole cluster), in a clause; None where it may.

    `namespace` may have places for values of `types`: one that could be Stint's own is refused. `own` are Stint's
    namespaces on the cluster.
    """
    if _makes_tokens(rule):
        return "makes tokens of service accounts, which stay good after the grant has ended"
    if _approves_certificates(rule):
        return "approves certificates, which stay good after the grant has ended"
    if namespace:
        return _reaches_own((namespace,), types, own)
    if _changes_namespaces(rule) and (why := _reaches_own(rule.names, types, own)):
        return why
    if any(_is_own_everywhere(group, resource, rule.verbs) for group, resource in _pairs(rule)):
        return f"reaches every namespace, {' and '.join(sorted(own))} of Stint's own among them"
    return None


def why_off_limits(rules: Mapping[str, Iterable[PolicyRule]], *, own: Collection[str] = OWN) -> str | None:
    """Why a grant may not hold rules without places, by namespace; None where it may hold all of them."""
    found = (
        off_limits(namespace, rule, types={}, own=own) for namespace, some in rules.items() for rule in some
    )
    return next((why for why in found if why), None)


def _pairs(rule: PolicyRule) -> Iterable[tuple[str, str]]:
    return ((group, resource) for group in rule.groups for resource in rule.resources)


def _makes_tokens(rule: PolicyRule) -> bool:
    """A secret of the type `kubernetes.io/service-account-token` is filled with a token that has no end."""
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
    """Whether a rule changes or deletes namespaces themselves. To create one that is there changes nothing."""
    listed = word_listed(_CORE, rule.groups) and any(
        resource.partition("/")[0] in ("namespaces", ANY) for resource in rule.resources
    )
    return listed and not (_READ | {"create"}).issuperset(rule.verbs)


def _reaches_own(
    names: Collection[str], types: Mapping[str, ParameterType], own: Collection[str]
) -> str | None:
    """Why one of the names, or any name where there are none, is a namespace of Stint's own; None where none can be."""
    for name in names or (ANY,):
        for one in sorted(own):
            if name == ANY or match(parse_slots(name), one, types, {}) is not None:
                said = f"reaches {one}" if one == name else f"reaches {one}, which `{name}` can be"
                return (
                    f"{said}: a namespace of Stint's own, where its rights and those of every holder are kept"
                )
    return None


def _is_own_everywhere(group: str, resource: str, verbs: tuple[str, ...]) -> bool:
    """Whether a right to all namespaces gives in Stint's own more than a look at what is there."""
    plural = resource.partition("/")[0]
    if known_resource(group, plural).namespaced is not True and ANY not in (group, plural):
        return False
    return not _READ.issuperset(verbs) or plural in ("secrets", ANY) or resource in DOORS
