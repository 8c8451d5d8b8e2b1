"""Whether the rules that one set comes to are within those of another. RBAC only adds up, so each right is looked at alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from sessions_app.policy.commands.kubernetes.decide import CompiledSet
from sessions_app.policy.commands.kubernetes.rights import PolicyRule, Request, resource_listed, word_listed


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return a right of the child that the parent does not give; None when it gives all of them.

    A right in a namespace is within the same right there or in the whole cluster; on some objects, within the same right on
    those or on all.
    """
    if open_names := (*parent.open_names(), *child.open_names()):
        return f"{open_names[0]} has no value, so it can't be compared"
    given = parent.rules()
    for namespace, rules in child.rules().items():
        among = (*given.get(namespace, ()), *given.get("", ()))
        for asked in (one for rule in rules for one in _each(rule, namespace)):
            if not any(_gives(rule, asked) for rule in among):
                return f"to {asked} is not covered by the grant"
    return None


def _each(rule: PolicyRule, namespace: str) -> Iterator[Request]:
    for verb, group, resource, name in product(rule.verbs, rule.groups, rule.resources, rule.names or ("",)):
        yield Request(verb, group, resource, name, namespace)


def _gives(rule: PolicyRule, asked: Request) -> bool:
    return (
        word_listed(asked.verb, rule.verbs)
        and word_listed(asked.group, rule.groups)
        and resource_listed(asked.resource, rule.resources)
        and (not rule.names or asked.name in rule.names)
    )
