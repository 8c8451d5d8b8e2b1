"""Commands on Kubernetes: the one function that decides for the tester, the API, the pages and the connector.

RBAC only adds up, so a line is allowed when each request that it sends is covered by a right of some command. Of the
commands that cover it the strictest answers: destructive before change before read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import Allowed, CommandView, CompileError, Refused, free_parameter
from sessions_app.policy.commands.binding import bind, check_kept
from sessions_app.policy.commands.document import EFFECT_RANK, RuleRefused
from sessions_app.policy.commands.kubernetes.document import KubernetesCommandSet, KubernetesRule
from sessions_app.policy.commands.kubernetes.lines import parse_line
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS, OWN, why_off_limits
from sessions_app.policy.commands.kubernetes.rights import (
    PolicyRule,
    Request,
    Right,
    assignments,
    streams_of,
)
from sessions_app.policy.commands.kubernetes.texts import (
    is_name,
    is_namespace,
    literal,
    parse_slots,
    slots_of,
    written,
)
from sessions_app.policy.commands.parameters import ParameterType
from sessions_app.policy.documents import Problem

MAX_NAMESPACES = 10


@dataclass(frozen=True, slots=True)
class Command(answers.CompiledCommand):
    """One command with bound values in place."""

    rule: KubernetesRule
    rights: tuple[Right, ...]
    types: Mapping[str, ParameterType]

    @property
    def strictness(self) -> tuple[int, int]:
        """Lower decides."""
        return EFFECT_RANK[self.rule.effect], self.index

    def covers(self, request: Request) -> Mapping[str, str] | None:
        """The values with which one of its rights permits a request."""
        found = (right.covers(request, self.types) for right in self.rights)
        return next((values for values in found if values is not None), None)


@dataclass(frozen=True, slots=True)
class CompiledSet(answers.CompiledSet):
    """The commands of one grant, ready for `decide`."""

    commands: tuple[Command, ...]
    left_out: tuple[Command, ...]

    def rules(self) -> dict[str, tuple[PolicyRule, ...]]:
        """The rules of its roles by namespace ("": the whole cluster), each once, in one order."""
        found: dict[str, dict[PolicyRule, None]] = {}
        for command in self.commands:
            for right in command.rights:
                for namespace, rule in right.rules(command.types):
                    found.setdefault(namespace, {})[rule] = None
        return {namespace: tuple(rules) for namespace, rules in sorted(found.items())}

    def off_limits(self, connection: Mapping[str, object]) -> str | None:
        """Why no grant may hold it on a cluster with this connection."""
        accounts = str(connection.get("accounts") or ACCOUNTS)
        return why_off_limits(self.rules(), own=OWN | {accounts})

    def open_names(self) -> tuple[str, ...]:
        """The parameters without a value that rules can't be made of."""
        texts = (
            text
            for rules in self.rules().items()
            for text in (rules[0], *(name for rule in rules[1] for name in rule.names))
        )
        return tuple(dict.fromkeys(name for text in texts for name in slots_of(parse_slots(text))))

    def streams(self) -> tuple[str, ...]:
        """What a revoke can't cut once it is open."""
        return streams_of(right for command in self.commands for right in command.rights)


def compile_set(
    document: KubernetesCommandSet, bindings: Mapping[str, str], keep: Collection[int] | None = None
) -> CompiledSet:
    """The commands with the grant's values in place; `keep` are the indices that the approvers left in (None: all).

    Raises CompileError for a missing, unknown or refused value, also for one that is no name to Kubernetes, and for
    more than 10 namespaces.
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
    """The set before any grant: its parameters are free inside their types."""
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
) -> Command:
    types = {name: document.type_of(rule, name) for name in rule.names}
    return Command(index, rule, tuple(right.filled(bound) for right in rule.rights()), types)


def _bad_values(command: Command, bound: Mapping[str, str]) -> Iterator[Problem]:
    """Values that are inside their type, and yet no part of a name that Kubernetes could have."""
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
                said = written(text)
                if not good(said):
                    name = next((name for name in slots_of(was) if name in bound), "")
                    what = "an object" if good is is_name else "a namespace"
                    yield Problem(f"parameters.{name}", f"makes `{said}`, which can't be the name of {what}")


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Whether this line may run, and as what. Never raises for a line."""
    try:
        rights = parse_line(line, document=False)
    except RuleRefused as error:
        return Refused(error.reason, None, "syntax")
    requests = [request for right in rights for request in right.requests()]
    covers = [_covering(compiled.commands, request) for request in requests]
    missing = [request for request, found in zip(requests, covers, strict=True) if not found]
    if missing:
        return _explain(compiled, missing[0])
    return _allowed(covers, tuple(line.split(" -- ", maxsplit=1)[0].removeprefix("kubectl ").split()))


_Covering = list[tuple[Command, Mapping[str, str]]]


def _covering(commands: Iterable[Command], request: Request) -> _Covering:
    return [(command, found) for command in commands if (found := command.covers(request)) is not None]


def _allowed(covers: list[_Covering], words: tuple[str, ...]) -> Allowed:
    every = {command.index for command, _ in covers[0]}
    for found in covers[1:]:
        every &= {command.index for command, _ in found}
    # One command that covers the whole line answers for it; else the strictest of those that share it.
    candidates = [
        (command, values)
        for found in covers
        for command, values in found
        if not every or command.index in every
    ]
    command, _ = min(candidates, key=lambda one: one[0].strictness)
    values = {key: value for one, found in candidates if one == command for key, value in found.items()}
    return Allowed(command.index, command.rule.effect, False, None, values, words)


def _explain(compiled: CompiledSet, request: Request) -> Refused:
    if _covering(compiled.left_out, request):
        return Refused("the approvers excluded this command from the grant", None, "left_out")
    if not compiled.commands:
        return Refused("nothing is allowed here: the list of commands is empty", None, "empty")
    nearest = max(compiled.commands, key=lambda command: (_likeness(command, request), -command.index))
    return Refused(f"nothing here permits to {request}", _text(nearest, compiled.bindings), "right")


def _likeness(command: Command, request: Request) -> int:
    """How much of a request a command's best right has in common with it."""

    def score(right: Right) -> int:
        about = replace(right, names=(), namespaces=())
        same_thing = request.resource in right.resources and request.group in right.groups
        here = any(literal(text) == request.namespace for text in right.namespaces)
        return (
            4 * same_thing
            + 2 * (request.verb in right.verbs)
            + here
            + (about.covers(request, {}) is not None)
        )

    return max(map(score, command.rights))


def _text(command: Command, bindings: Mapping[str, str]) -> str:
    """The command as it is written, with bound values in place. Its words were checked as names, so none holds a brace."""
    text = command.rule.text
    for name, value in bindings.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def describe(compiled: CompiledSet) -> list[CommandView]:
    """The commands in the document's order, with bound values; the rules that they come to stand under `detail`."""
    return [_view(command, compiled.bindings) for command in compiled.commands]


def _view(command: Command, bindings: Mapping[str, str]) -> CommandView:
    free = tuple(free_parameter(name, type_) for name, type_ in command.types.items() if name not in bindings)
    detail = [right.words for right in command.rights]
    detail += [f"{what}: what is open at the end continues until its connection closes" for what in streams_of(command.rights)]  # fmt: skip
    return CommandView(
        command.index,
        _text(command, bindings),
        free,
        command.rule.effect,
        detail=tuple(dict.fromkeys(detail)),
    )
