"""Whether the commands of one set are within those of another, and at least as strict.

RBAC is additive, so each request of a command is compared separately.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.kubernetes.checks import ANYTHING
from sessions_app.policy.commands.kubernetes.compiling import CompiledKubernetesCommand, CompiledSet
from sessions_app.policy.commands.kubernetes.rights import (
    NEVER_BY_RULE,
    Request,
    Right,
    assignments,
    resource_listed,
    word_listed,
)
from sessions_app.policy.commands.kubernetes.steps import Step
from sessions_app.policy.commands.kubernetes.texts import Text, literal, match
from sessions_app.policy.commands.kubernetes.within import check_within, may_carry_the_same, text_within
from sessions_app.policy.commands.within import UNDERSTATED, Names, understates


def covers(parent: CompiledSet, child: CompiledSet) -> str | None:
    """Return why the child may allow a request that the parent does not, or does less strictly; None if it
    never does.

    A request in a namespace is within the same request for that namespace or for the whole cluster. A request
    for some objects is within the same request for those or for all objects. Its query and body must be
    within those of the parent's request.
    """
    if open_names := (*parent.open_names(), *child.open_names()):
        return f"{open_names[0]} has no value, so it can't be compared"
    for command in child.commands:
        for step in command.steps:
            for one in _each(step, command):
                if not any(_gives(outer, one, command) for outer in parent.commands):
                    return (
                        f"the grant does not cover the right to {_said(one)} in"
                        f" {clip(command.text(child.bindings))}"
                    )
        for outer in parent.commands:
            if (
                _may_meet(command, outer)
                and (why := _laxer(command, outer))
                and not any(_decides_before(one, command, outer) for one in child.commands)
            ):
                return f"{clip(command.text(child.bindings))} {why}"
    return None


def _decides_before(
    other: CompiledKubernetesCommand, inner: CompiledKubernetesCommand, outer: CompiledKubernetesCommand
) -> bool:
    """Whether another command of the child decides every request that both `inner` and the parent's `outer`
    match, as strictly as `outer`. That command must allow everything that `outer` allows, because the
    strictest command decides.
    """
    return (
        other.strictness[:-1] < inner.strictness[:-1]
        and _laxer(other, outer) is None
        and all(_gives(other, one, outer) for step in outer.steps if step.main for one in _each(step, outer))
    )


def _each(step: Step, command: CompiledKubernetesCommand) -> Iterator[Step]:
    """Yield a step for each verb, resource, name and namespace, and for each value of parameters that have
    only a few values.
    """
    for values in assignments(step.right.slots, command.types):
        right = step.right.filled(values)
        for verb, group, resource, name, namespace in product(
            right.verbs, right.groups, right.resources, right.names or ((),), right.namespaces or ((),)
        ):
            one = Right(
                (verb,), (group,), (resource,), (name,) if name else (), (namespace,) if namespace else (), ()
            )
            yield replace(step.filled(values), right=one)


def _said(step: Step) -> Request:
    right = step.right
    name, namespace = (next(iter(texts), ()) for texts in (right.names, right.namespaces))
    return Request(right.verbs[0], right.groups[0], right.resources[0], _plain(name), _plain(namespace))


def _plain(text: Text) -> str:
    return "".join(piece if isinstance(piece, str) else f"{{{piece.name}}}" for piece in text)


def _gives(outer: CompiledKubernetesCommand, asked: Step, inner: CompiledKubernetesCommand) -> bool:
    return any(_step_gives(step, outer, asked, inner) for step in outer.steps)


def _step_gives(
    step: Step, outer: CompiledKubernetesCommand, asked: Step, inner: CompiledKubernetesCommand
) -> bool:
    right, wanted = step.right, asked.right
    if asked.main and not step.main:
        return False
    if not (
        word_listed(wanted.verbs[0], right.verbs)
        and word_listed(wanted.groups[0], right.groups)
        and resource_listed(wanted.resources[0], right.resources)
    ) or (step.check is ANYTHING and wanted.resources[0] in NEVER_BY_RULE):
        return False
    for name, namespace in product(right.names or ((),), right.namespaces or ((),)):
        names = Names()
        if (
            _place_within(wanted.names, name, inner, outer, names)
            and _place_within(wanted.namespaces, namespace, inner, outer, names)
            and check_within(asked.check, step.check, inner.types, outer.types, names)
        ):
            return True
    return False


def _place_within(
    asked: tuple[Text, ...],
    given: Text,
    inner: CompiledKubernetesCommand,
    outer: CompiledKubernetesCommand,
    names: Names,
) -> bool:
    if not given:
        return True
    return bool(asked) and text_within(asked[0], given, inner.types, outer.types, names)


def _may_meet(inner: CompiledKubernetesCommand, outer: CompiledKubernetesCommand) -> bool:
    """Whether some request could match both steps. Returns True if in doubt."""
    pairs = product((one for one in inner.steps if one.main), (one for one in outer.steps if one.main))
    return any(
        _rights_meet(one, other, inner, outer) and may_carry_the_same(one.check, other.check)
        for one, other in pairs
    )


def _rights_meet(
    one: Step, other: Step, inner: CompiledKubernetesCommand, outer: CompiledKubernetesCommand
) -> bool:
    first, second = one.right, other.right
    return (
        _words_meet(first.verbs, second.verbs)
        and _words_meet(first.groups, second.groups)
        and any(
            resource_listed(resource, second.resources) or resource_listed(back, first.resources)
            for resource in first.resources
            for back in second.resources
        )
        and _texts_meet(first.names, second.names, inner, outer)
        and _texts_meet(first.namespaces, second.namespaces, inner, outer)
    )


def _words_meet(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    return any(word_listed(word, others) for word in some) or any(word_listed(word, some) for word in others)


def _texts_meet(
    some: tuple[Text, ...],
    others: tuple[Text, ...],
    inner: CompiledKubernetesCommand,
    outer: CompiledKubernetesCommand,
) -> bool:
    if not some or not others:
        return True
    return any(_text_meets(one, other, inner, outer) for one, other in product(some, others))


def _text_meets(
    one: Text, other: Text, inner: CompiledKubernetesCommand, outer: CompiledKubernetesCommand
) -> bool:
    if (text := literal(one)) is not None:
        return match(other, text, outer.types, {}) is not None
    if (text := literal(other)) is not None:
        return match(one, text, inner.types, {}) is not None
    return True


def _laxer(inner: CompiledKubernetesCommand, outer: CompiledKubernetesCommand) -> str | None:
    if outer.rule.held and not inner.rule.held:
        return "would run without the approval that each run requires"
    if (inner.rule.finish_seconds or 0) > (outer.rule.finish_seconds or 0):
        return "could continue for longer after the grant ends"
    if outer.contained == "wrapper" and inner.contained == "none":
        return "would contain its processes less strictly"
    if understates(inner.rule.effect, outer.rule.effect):
        return f"{UNDERSTATED}: {clip(outer.rule.text)}"
    return None
