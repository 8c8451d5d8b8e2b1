"""Commands on Kubernetes: the only function that decides for the gateway, the tester, the API and the pages.

Each request is decided separately. It is allowed if a command sends exactly this request. If several commands
do, the strictest decides: held before free, destructive before change before read. The main request of a
command takes precedence over the requests that kubectl sends before and after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from sessions_app.policy.commands import answers
from sessions_app.policy.commands.answers import CommandView, Refused, free_parameter
from sessions_app.policy.commands.argv.quoting import readable
from sessions_app.policy.commands.document import EFFECT_RANK, RuleRefused
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent
from sessions_app.policy.commands.kubernetes.applying import Applies
from sessions_app.policy.commands.kubernetes.checks import ANYTHING, Taken
from sessions_app.policy.commands.kubernetes.compiling import CompiledKubernetesCommand, CompiledSet
from sessions_app.policy.commands.kubernetes.document import Contain
from sessions_app.policy.commands.kubernetes.existing import ASKS
from sessions_app.policy.commands.kubernetes.rights import NEVER_BY_RULE, Request, streams_of
from sessions_app.policy.commands.kubernetes.steps import Step
from sessions_app.policy.commands.kubernetes.texts import literal
from sessions_app.policy.commands.kubernetes.trying import requests_of
from sessions_app.policy.commands.kubernetes.wants import Differs

# The index for discovery requests. kubectl sends them before each line, and they need no
# command.
DISCOVERY = -1
LEFT_OUT = Refused("the approvers excluded this command from the grant", None, "left_out")
_OPEN_QUERY = frozenset(("timeout", "hash"))
# Queries about an account's own permissions. Every account may send them, as `kubectl auth` does.
OF_ONESELF = frozenset(
    (
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
    )
)


@dataclass(slots=True)
class Allowed(answers.Allowed):
    """A request that may be sent, and the line to record for it.

    `poll`: kubectl sends the request before or after a run, so it is counted but not recorded. `program` is
    the argv of `exec`, `contain` how the program's processes are contained, and `ports` the ports that
    `port-forward` may open. With a `version`, the request may change the object only while the object has
    that resource version.
    """

    poll: bool = False
    contain: Contain | None = None
    program: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    version: str = ""

    @property
    def line(self) -> str:
        """The line as a person would type it. `decide` allows exactly this line again, unless the line has a
        digest.
        """
        return readable(self.argv)


@dataclass(frozen=True, slots=True)
class _Found:
    command: CompiledKubernetesCommand
    step: Step
    taken: Taken

    @property
    def rank(self) -> tuple[bool, tuple[bool, int, int, bool, int]]:
        return not self.step.main, self.command.strictness


@dataclass(frozen=True, slots=True)
class _Fault:
    command: CompiledKubernetesCommand
    reason: str
    near: int
    code: str


def decide_request(compiled: CompiledSet, request: KubeRequest, sent: Sent) -> Allowed | Refused:
    """Decide whether a request may be sent, and in what form.

    `sent.body` is parsed and has no duplicate keys.

    A refusal with the code `target` requires `sent.target`, and one with the code `history` also
    `sent.history`. No command is selected before these are read, because the strictest one may depend on
    them. Never raises because of a request.
    """
    if not request.is_resource or len(request.parts) < 1:
        return discover(request, sent)
    if asks_about_oneself(request):
        return _open(request, ("create", request.resource))
    faults: list[_Fault] = []
    found = list(_found(compiled.commands, request, sent, faults))
    asks = any(fault.code in ASKS for fault in faults)
    if found and not asks:
        return _allowed(min(found, key=lambda one: one.rank), request, sent)
    if not asks and list(_found(compiled.left_out, request, sent, [])):
        return LEFT_OUT
    if faults:
        fault = min(faults, key=_urgency)
        reason = f"{request} is allowed, but not in this form: {fault.reason}"
        return Refused(reason, fault.command.text(compiled.bindings), fault.code)
    return nothing_allows(compiled, _asked(request))


def _urgency(fault: _Fault) -> tuple[int, int, int]:
    asks = ASKS.index(fault.code) if fault.code in ASKS else len(ASKS)
    return asks, -fault.near, fault.command.index


def discover(request: KubeRequest, sent: Sent) -> Allowed | Refused:
    """Decide a request that is not about a resource: every grant may discover what a cluster supports."""
    parts = request.parts
    known = parts[:1] in (("api",), ("apis",)) or (parts[:1] == ("openapi",)) or parts == ("version",)
    if not known or request.verb != "get" or sent.body is not None:
        return Refused(f"nothing here allows you to {request}", None, "right")
    return _open(request, ("get", "--raw", request.path))


def asks_about_oneself(request: KubeRequest) -> bool:
    """Whether a request queries the name or the permissions of its own account. The body is not examined."""
    plain = not (request.namespace or request.name or request.subresource)
    return plain and request.verb == "create" and (request.group, request.resource) in OF_ONESELF


def _open(request: KubeRequest, argv: tuple[str, ...]) -> Allowed | Refused:
    """Return the decision on a request that every grant may send. The request is counted under ``argv``."""
    if other := next((key for key, _ in request.query if key not in _OPEN_QUERY), None):
        return Refused(f"the query parameter {other} is not allowed for this request", None, "value")
    return Allowed(DISCOVERY, "read", False, None, {}, argv, poll=True)


def _found(
    commands: Iterable[CompiledKubernetesCommand], request: KubeRequest, sent: Sent, faults: list[_Fault]
) -> Iterator[_Found]:
    asked = _asked(request)
    for command in commands:
        for step in command.steps:
            if step.check is ANYTHING and asked.resource in NEVER_BY_RULE:
                continue
            for known in step.right.matches(asked, command.types):
                try:
                    yield _Found(command, step, step.check.take(request, sent, command.types, known))
                    break
                except Differs as error:
                    faults += [_Fault(command, str(error), error.near, error.code)] if step.main else []
                except RuleRefused as error:
                    faults += [_Fault(command, error.reason, 0, "value")] if step.main else []


def _asked(request: KubeRequest) -> Request:
    """Return the request as RBAC compares it."""
    return Request(request.verb, request.group, request.full_resource, request.name, request.namespace).placed


def _allowed(found: _Found, request: KubeRequest, sent: Sent) -> Allowed:
    command, taken, main = found.command, found.taken, found.step.main
    free = {name: value for name, value in taken.values.items() if name in command.types}
    line = (*found.step.line(request, taken), *found.step.check.unseen(request, sent))
    if not main:
        # Reading a secret's content is always recorded.
        return Allowed(command.index, "read", False, None, free, line, poll=request.resource != "secrets")
    rule = command.rule
    return Allowed(
        command.index,
        rule.effect,
        rule.held,
        rule.finish_seconds,
        free,
        line,
        contain=command.contained if taken.program else None,
        program=taken.program,
        ports=taken.ports,
        version=taken.version,
    )


def decide(compiled: CompiledSet, line: str) -> Allowed | Refused:
    """Decide whether this line may run, and in what form, by deciding every request that kubectl sends for
    it. Never raises because of a line.
    """
    try:
        requests = list(requests_of(line))
    except RuleRefused as error:
        return Refused(error.reason, None, "syntax")
    verdicts = [decide_request(compiled, request, sent) for request, sent in requests]
    refused = next((one for one in verdicts if isinstance(one, Refused)), None)
    if refused:
        return refused
    # Among equally strict requests, the last one is the run itself; the others prepare it.
    allowed = [one for one in reversed(verdicts) if isinstance(one, Allowed)]
    return min(allowed, key=lambda one: (one.poll, not one.hold, EFFECT_RANK[one.effect]))


def nothing_allows(compiled: CompiledSet, asked: Request) -> Refused:
    """Return the refusal for a request that no command sends, with the most similar command."""
    if not compiled.commands:
        return Refused("nothing is allowed: the list of commands is empty", None, "empty")
    nearest = max(compiled.commands, key=lambda command: (_likeness(command, asked), -command.index))
    why = f"nothing here allows you to {asked}{_hint(compiled, asked)}"
    return Refused(why, nearest.text(compiled.bindings), "right")


_HINTS = {
    "delete": "kubectl deletes an object to replace it only with --force or --prune: remove that option",
    "create": "the rule allows changes to existing objects only: add `create: true` to allow creating them",
}


def _hint(compiled: CompiledSet, asked: Request) -> str:
    """Return, as a clause, what to do about a request that kubectl sends for an apply only in some cases;
    usually empty.
    """
    about = replace(asked, verb="patch")
    fits = any(
        True
        for command in compiled.commands
        for step in command.steps
        if isinstance(step.check, Applies)
        for _ in replace(step.right, names=()).matches(about, command.types)
    )
    return f": {_HINTS[asked.verb]}" if fits and asked.verb in _HINTS else ""


def _likeness(command: CompiledKubernetesCommand, request: Request) -> int:
    """Return a score for how similar a command's best request is to this one."""

    def score(step: Step) -> int:
        right = step.right
        about = replace(right, names=(), namespaces=())
        same_thing = request.resource in right.resources and request.group in right.groups
        here = any(literal(text) == request.namespace for text in right.namespaces)
        return (
            4 * same_thing
            + 2 * (request.verb in right.verbs)
            + here
            + 2 * (step.main and any(True for _ in about.matches(request, {})))
        )

    return max(map(score, command.steps))


def describe(compiled: CompiledSet) -> list[CommandView]:
    """Return the commands in document order, with bound values. `detail` describes the rights."""
    return [_view(command, compiled.bindings) for command in compiled.commands]


def _view(command: CompiledKubernetesCommand, bindings: Mapping[str, str]) -> CommandView:
    free = tuple(free_parameter(name, type_) for name, type_ in command.types.items() if name not in bindings)
    detail = [right.words for right in command.rights]
    if streams := streams_of(command.rights):
        detail.append(f"{', '.join(streams)} stays open until either side closes it")
    rule = command.rule
    return CommandView(
        command.index,
        command.text(bindings),
        free,
        rule.effect,
        hold=rule.held,
        finish_seconds=rule.finish_seconds,
        contain=command.contained,
        detail=tuple(dict.fromkeys((*_limits(command), *detail))),
    )


def _limits(command: CompiledKubernetesCommand) -> Iterator[str]:
    """Yield a description of the comparison for each request of the command."""
    for step in command.steps:
        yield from step.check.described
    if command.contained == "none":
        yield "the command's processes are not contained: programs that it starts can outlive the grant"
