"""The commands of one grant, compiled once: the requests of each command with bound values inserted, and the
roles that they need.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import CompileError
from sessions_app.policy.commands.argv.quoting import readable
from sessions_app.policy.commands.binding import bind, check_kept
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import EFFECT_RANK
from sessions_app.policy.commands.kubernetes.document import Contain, KubernetesCommandSet, KubernetesRule
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS, OWN, why_off_limits
from sessions_app.policy.commands.kubernetes.rights import PolicyRule, Right, assignments, streams_of
from sessions_app.policy.commands.kubernetes.steps import Step
from sessions_app.policy.commands.kubernetes.texts import (
    all_values,
    is_name,
    is_namespace,
    parse_slots,
    slots_of,
    written,
)
from sessions_app.policy.commands.parameters import ParameterType
from sessions_app.policy.documents import Problem

MAX_NAMESPACES = 10
_SLOT = re.compile(r"\{([a-z][a-z0-9_]{0,62})\}")


@dataclass(frozen=True, slots=True)
class CompiledKubernetesCommand(answers.CompiledCommand):
    """One command with bound values inserted."""

    rule: KubernetesRule
    steps: tuple[Step, ...]
    types: Mapping[str, ParameterType]
    contained: Contain | None

    @property
    def strictness(self) -> tuple[bool, int, int, bool, int]:
        """The sort key. The command with the lowest key decides."""
        rule = self.rule
        rank = EFFECT_RANK[rule.effect]
        return not rule.held, rank, rule.finish_seconds or 0, self.contained == "none", self.index

    @property
    def rights(self) -> tuple[Right, ...]:
        """The rights that the command's requests need."""
        return tuple(step.right for step in self.steps)

    @property
    def chosen(self) -> frozenset[str]:
        """The command's parameters that are chosen at each run from more values than RBAC can list."""
        return frozenset(name for name in self.rule.where if all_values(self.types[name]) is None)

    def text(self, bindings: Mapping[str, str]) -> str:
        """Return the command as written, with bound values in place."""
        return _SLOT.sub(lambda found: _shown(bindings, found), self.rule.text)


def _shown(bindings: Mapping[str, str], found: re.Match[str]) -> str:
    return readable([bindings[found[1]]]) if found[1] in bindings else found[0]


@dataclass(frozen=True, slots=True)
class CompiledSet(answers.CompiledSet):
    """The commands of one grant, compiled for `decide_request`."""

    commands: tuple[CompiledKubernetesCommand, ...]
    left_out: tuple[CompiledKubernetesCommand, ...]

    def rules(self) -> dict[str, tuple[PolicyRule, ...]]:
        """Return the rules of the set's roles by namespace ("": the whole cluster), without duplicates, in a
        stable order.
        """
        found: dict[str, dict[PolicyRule, None]] = {}
        for command in self.commands:
            for right in command.rights:
                for namespace, rule in right.rules(command.types, command.chosen):
                    found.setdefault(namespace, {})[rule] = None
        return {namespace: tuple(rules) for namespace, rules in sorted(found.items())}

    def unenforced(self, connection: Mapping[str, object]) -> str | None:
        """Return, as a clause, what a cluster with `direct` can't enforce; None if it can enforce everything.

        On a cluster with `direct`, the holder gets a credential, and nothing checks individual requests.
        """
        faults = (unenforced(command.rule) for command in self.commands) if connection.get("direct") else ()
        return next((fault for fault in faults if fault), None)

    def off_limits(self, connection: Mapping[str, object]) -> str | None:
        """Return, as a clause, why no grant may include this set on a cluster with this connection; None if
        grants may.
        """
        accounts = str(connection.get("accounts") or ACCOUNTS)
        return self.unenforced(connection) or why_off_limits(self.rules(), own=OWN | {accounts})

    def open_names(self) -> tuple[str, ...]:
        """Return the parameters without a value, for which no RBAC rules can be generated."""
        texts = (
            text
            for rules in self.rules().items()
            for text in (rules[0], *(name for rule in rules[1] for name in rule.names))
        )
        return tuple(dict.fromkeys(name for text in texts for name in slots_of(parse_slots(text))))

    def uncontained(self) -> tuple[str, ...]:
        """Return the commands whose processes are not contained, so that they can outlive the grant."""
        return tuple(command.text(self.bindings) for command in self.commands if command.contained == "none")

    def streams(self) -> tuple[str, ...]:
        """Return the connections that stay open until they are cut."""
        return streams_of(right for command in self.commands for right in command.rights)


def unenforced(rule: KubernetesRule) -> str | None:
    """Return, as a clause, which parts of a rule RBAC alone can't enforce; None if it can enforce
    all of it.
    """
    steps = rule.steps()
    limits = dict.fromkeys(step.check.limits for step in steps if step.check.limits)
    named = {name for step in steps for text in step.right.names for name in slots_of(text)}
    if any(name in rule.where and all_values(rule.where[name]) is None for name in named):
        limits["names"] = None
    if rule.held:
        limits["hold"] = None
    if not limits:
        return None
    return (
        f"limits {' and '.join(limits)} in {clip(rule.text)}, which RBAC can't enforce: remove `direct` "
        "from the cluster, so that each request goes through Stint's gateway"
    )


def compile_set(
    document: KubernetesCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """Return the commands with the grant's values in place. `keep` are the indices that the approvers kept
    (None: all).

    Raises CompileError for a missing, unknown or refused value, for an index that the set does not have, for
    a value that makes an invalid Kubernetes name, and for more than 10 namespaces.
    """
    check_kept(document, keep)
    bound = bind(document, bindings)
    compiled = _compile(document, bound, keep)
    problems = [problem for command in compiled.commands for problem in _bad_values(command, bound)]
    if problems:
        raise CompileError(list(dict.fromkeys(problems)))
    if len(compiled.rules()) > MAX_NAMESPACES:
        raise CompileError([Problem("commands", f"reach more than {MAX_NAMESPACES} namespaces: use fewer")])
    return compiled


def compile_open(document: KubernetesCommandSet) -> CompiledSet:
    """Return the set with no values bound. Its parameters are free within their types."""
    return _compile(document, {}, None)


def _compile(
    document: KubernetesCommandSet, bound: Mapping[str, str], keep: Collection[int] | None
) -> CompiledSet:
    commands = [_command(document, index, rule, bound) for index, rule in enumerate(document.commands)]
    kept = tuple(command for command in commands if keep is None or command.index in keep)
    left_out = tuple(command for command in commands if command not in kept)
    return CompiledSet("kubernetes", document.name, dict(bound), kept, left_out)


def _command(
    document: KubernetesCommandSet, index: int, rule: KubernetesRule, bound: Mapping[str, str]
) -> CompiledKubernetesCommand:
    types = {name: document.type_of(rule, name) for name in rule.names}
    return CompiledKubernetesCommand(
        index, rule, tuple(step.filled(bound) for step in rule.steps(types)), types, rule.contained
    )


def _bad_values(command: CompiledKubernetesCommand, bound: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a problem for each value that its type allows but that can't be part of a Kubernetes name."""
    for written_right, right in zip(command.rule.rights(), command.rights, strict=True):
        for values in assignments(right.slots, command.types):
            filled = right.filled(values)
            pairs = (
                *((was, text, is_name) for was, text in zip(written_right.names, filled.names, strict=True)),
                *(
                    (was, text, is_namespace)
                    for was, text in zip(written_right.namespaces, filled.namespaces, strict=True)
                ),
            )
            for was, text, good in pairs:
                said = _SLOT.sub("x", written(text))  # values chosen at each run are checked then
                if not good(said):
                    name = next((name for name in slots_of(was) if name in bound), "")
                    what = "an object" if good is is_name else "a namespace"
                    yield Problem(f"parameters.{name}", f"makes `{said}`, which can't be the name of {what}")
