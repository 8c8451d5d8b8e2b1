"""Parse kubectl lines into the requests that they send: `get pods -n web`, `scale deployment/web -n web
--replicas 3`.

The same parser handles documents, in which `{name}` represents a value, and lines that people test. A line
can also begin with API verbs, separated by commas (`list`, `patch`, `deletecollection`): it then allows
exactly these verbs.

Source: what kubectl 1.32 and 1.34 send for each command, as `-v=8` shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from sessions_app.policy.commands.argv import lines as ssh_lines
from sessions_app.policy.commands.argv.templates import Word, parse_template
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.bodies import Path
from sessions_app.policy.commands.kubernetes.checks import (
    ANYTHING,
    Check,
    Field,
    Logs,
    Reads,
    ReadsEvents,
    Writes,
)
from sessions_app.policy.commands.kubernetes.deleting import Deletes
from sessions_app.policy.commands.kubernetes.entering import Enters, Forwards
from sessions_app.policy.commands.kubernetes.options import Line, read_line
from sessions_app.policy.commands.kubernetes.resources import Resource, find_resource
from sessions_app.policy.commands.kubernetes.rights import never_by_rule
from sessions_app.policy.commands.kubernetes.steps import Step
from sessions_app.policy.commands.kubernetes.texts import Text, name_text, parse_slots
from sessions_app.policy.commands.kubernetes.things import Thing, parse_things, plain, pods_of
from sessions_app.policy.commands.kubernetes.undoing import PAST, Undoes
from sessions_app.policy.commands.kubernetes.wants import Count, Listed, Moment, Said

_RAW = frozenset(
    (
        "list",
        "watch",
        "create",
        "update",
        "patch",
        "deletecollection",
        "escalate",
        "bind",
        "impersonate",
        "approve",
        "sign",
        "use",
    )
)
_REFUSED = {
    "apply": "`apply` needs a list of the fields that it may set: write `apply:` with kind, apiVersion "
    "and fields",
    "edit": "`edit` can change anything: write `apply:` with the fields that it may set",
    "run": "`run` creates a pod: use `create pods`",
    "debug": "`debug` adds a container to a pod: use a rule with patch on pods/ephemeralcontainers",
    "drain": "`drain` needs rights on the pods of every namespace: use rules",
    "proxy": "`proxy` opens the whole API: allow only the parts that you need",
    "cp": "`cp` runs tar in a pod and trusts its output: use `exec` with a program that prints one file",
    "config": "`config` does not contact the cluster and needs no rights",
    "version": "everyone may run `version`, which needs no rights",
    "explain": "everyone may run `explain`, which needs no rights",
    "api-resources": "everyone may run `api-resources`, which needs no rights",
}
_IMAGES = ("spec", "template", "spec", "containers")
_RESTARTED = ("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")
# pause and resume, cordon and uncordon: kubectl's patch removes the field if its value is false.
_SWITCHED = {
    "pause": (("spec", "paused"), (True,)),
    "resume": (("spec", "paused"), (None, False)),
    "cordon": (("spec", "unschedulable"), (True,)),
    "uncordon": (("spec", "unschedulable"), (None, False)),
}
_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def parse_line(text: str, *, document: bool) -> tuple[Step, ...]:
    """Return the requests of a line, in the order in which kubectl sends them.

    `document`: the line is from a document. Such a line can contain `{name}`, but no options whose use a
    line can't limit. Raises RuleRefused with the reason.
    """
    refused = next((word for word in text.removeprefix("kubectl ").split()[:1] if word in _REFUSED), None)
    if refused:
        raise RuleRefused(_REFUSED[refused])
    line = read_line(text, document=document)
    if not line.words:
        raise RuleRefused("a command is required")
    steps = tuple(_steps(line))
    if document and line.limits:
        raise RuleRefused(f"{next(iter(line.limits))} is not part of `{line.words[0]}`: remove it")
    if line.program is not None and not any(isinstance(step.check, Enters) for step in steps):
        raise RuleRefused("only `exec` has a program after `--`: remove it")
    return steps


def _steps(line: Line) -> Iterator[Step]:
    verb, *rest = line.words
    if verb == "auth" and rest[:1] == ["can-i"] and len(rest) > 1:
        return _raw(line, _verbs(rest[1]), rest[2:])
    if "," in verb or verb in _RAW:
        return _raw(line, _verbs(verb), rest)
    if verb not in _COMMANDS:
        known = ", ".join(sorted(_COMMANDS))
        raise RuleRefused(f"{clip(verb)} is not a known kubectl command: {known}")
    return _COMMANDS[verb](line, rest)


def _verbs(word: str) -> tuple[str, ...]:
    verbs = tuple(dict.fromkeys(word.split(",")))
    if not all(re.fullmatch(r"[a-z]+", verb) for verb in verbs):
        raise RuleRefused(f"{clip(word)} is not a list of verbs: write it like `get,list`")
    return verbs


def _raw(line: Line, verbs: tuple[str, ...], words: Sequence[str]) -> Iterator[Step]:
    for thing in parse_things(words):
        right = thing.right(line, verbs)
        if line.document and (why := never_by_rule(right.resources)):
            raise RuleRefused(why)
        yield Step(right, ANYTHING)


def _get(line: Line, words: Sequence[str]) -> Iterator[Step]:
    watch = ("watch",) if line.watch else ()
    for thing in parse_things(words):
        # A list returns whole objects, so `get` reveals nothing more. Watching a single object can begin
        # with a list.
        one = bool(thing.names or line.subresource)
        also = ("list",) if one and watch else () if one else ("get",)
        yield Step(thing.right(line, ("get" if one else "list", *watch), also), Reads(), ("get",))


def _describe(line: Line, words: Sequence[str]) -> Iterator[Step]:
    for thing in parse_things(words):
        asked, also = (("get",), ()) if thing.names else (("list",), ("get",))
        yield Step(thing.right(line, asked, also), Reads(), ("describe",))
        events = Thing(find_resource("events"), ())
        if thing.resource.namespaced is not False:
            check: Check = ReadsEvents(thing.names) if thing.names else Reads()
            yield Step(events.right(line, (), ("list",)), check, main=False)


def _delete(line: Line, words: Sequence[str]) -> Iterator[Step]:
    grace = line.take("--grace-period")
    for thing in parse_things(words):
        check = Deletes(None if grace is None else parse_slots(grace))
        yield Step(thing.right(line, ("delete",)), check, ("delete",))
        # kubectl waits until the object is gone.
        yield Step(thing.right(line, (), ("get", "list", "watch")), Reads(), main=False)


def _patch(
    line: Line, thing: Thing, says: tuple[str, ...], fields: Sequence[Field], *, bare: bool = False
) -> Iterator[Step]:
    """Yield the requests of a line that reads an object and then patches fields of it."""
    yield Step(thing.right(line, ("get",)), Reads(), main=False)
    yield Step(thing.right(line, ("patch",)), Writes(tuple(fields), " ".join(says)), says, bare=bare)


def _metadata(what: str, where: str) -> Callable[[Line, Sequence[str]], Iterator[Step]]:
    def command(line: Line, words: Sequence[str]) -> Iterator[Step]:
        set_ = [word for word in words if "=" in word or (word.endswith("-") and word != words[0])]
        fields = [_pair(word, where) for word in set_]
        if not fields:
            raise RuleRefused(f"`{what}` needs the values to set: key=value, or key- to remove a key")
        for thing in parse_things([word for word in words if word not in set_]):
            yield from _patch(line, thing, (what,), fields)

    return command


def _pair(word: str, where: str) -> Field:
    key, equals, value = word.partition("=")
    key = key if equals else word[:-1]
    if not _KEY.fullmatch(key):
        raise RuleRefused(f"{clip(key)} can't be the key of a label: write it out, without parameters")
    if not equals:
        return Field(("metadata", where, key), Listed((None,)), f"{key}-")
    return Field(("metadata", where, key), Said(parse_slots(value)), f"{key}=")


def _set(line: Line, words: Sequence[str]) -> Iterator[Step]:
    if words[:1] != ["image"]:
        raise RuleRefused(
            "`set` needs image; for other fields, write `apply:` with the fields that it may set"
        )
    pairs = [word for word in words if "=" in word]
    if not pairs:
        raise RuleRefused("`set image` needs container=image, like `app=registry.example/app:{release}`")
    for thing in parse_things([word for word in words[1:] if word not in pairs]):
        prefix: Path = _IMAGES if thing.resource.plural != "cronjobs" else ("spec", "jobTemplate", *_IMAGES)
        prefix = ("spec", "containers") if thing.resource.plural == "pods" else prefix
        fields = [_image(pair, prefix) for pair in pairs]
        yield from _patch(line, thing, ("set", "image"), fields)


def _image(pair: str, prefix: tuple[str, ...]) -> Field:
    container, _, image = pair.partition("=")
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", container) or not image:
        raise RuleRefused(f"{clip(pair)} must be container=image, with a literal container name")
    # A name is unique among init containers and containers, and kubectl sets the image of the container with
    # that name.
    before = (*prefix[:-1], "initContainers", container, "image")
    return Field((*prefix, container, "image"), Said(parse_slots(image)), f"{container}=", before)


def _scale(line: Line, words: Sequence[str]) -> Iterator[Step]:
    replicas = line.take("--replicas")
    if replicas is None and not line.document:
        raise RuleRefused("`scale` needs --replicas")
    want = Count() if replicas is None else Said(parse_slots(replicas), number=True)
    for thing in parse_things(words):
        yield Step(thing.right(line, ("get",)), Reads(), main=False)
        check = Writes((Field(("spec", "replicas"), want, "--replicas "),), "replicas")
        yield Step(thing.right(line, ("patch",), sub="scale"), check, ("scale",))
        yield Step(thing.right(line, (), ("get",), sub="scale"), Reads(), main=False)


def _rollout(line: Line, words: Sequence[str]) -> Iterator[Step]:
    what = words[0] if words else ""
    if what not in ("restart", "pause", "resume", "status", "history", "undo"):
        raise RuleRefused("`rollout` needs restart, status, history, undo, pause or resume")
    for thing in parse_things(words[1:]):
        if what == "restart":
            yield from _patch(line, thing, ("rollout", what), [Field(_RESTARTED, Moment())])
        elif what in _SWITCHED:
            path, values = _SWITCHED[what]
            yield from _patch(line, thing, ("rollout", what), [Field(path, Listed(values))])
        else:
            yield from _progress(line, thing, what)


def _progress(line: Line, thing: Thing, what: str) -> Iterator[Step]:
    says = ("rollout", what)
    if what == "status":
        yield Step(thing.right(line, ("get", "list")), Reads(), main=False)
        yield Step(thing.right(line, ("watch",)), Reads(shown=False), says)
        return
    past = PAST.get(thing.resource.plural)
    if past is None:
        raise RuleRefused(
            f"{thing.resource.plural} have no revisions: name a deployment, statefulset or daemonset"
        )
    yield Step(
        thing.right(line, ("get",)), Reads(), says if what == "history" else (), main=what == "history"
    )
    yield Step(Thing(find_resource(past), ()).right(line, ("list",), ("get",)), Reads(), main=False)
    if what == "undo":
        yield Step(thing.right(line, ("patch",)), Undoes(thing.resource.plural), says)


def _logs(line: Line, words: Sequence[str]) -> Iterator[Step]:
    container, tail = line.take("-c"), line.take("--tail")
    check = Logs(_text(container), _text(tail), follow=line.switch("-f"), previous=line.switch("-p"))
    for thing in pods_of(words):
        yield Step(thing.right(line, ("get",)), Reads(), main=False)
        yield Step(thing.right(line, ("get",), sub="log"), check, ("logs",), bare=True)


def _text(value: str | None) -> Text | None:
    return None if value is None else parse_slots(value)


def _exec(line: Line, words: Sequence[str]) -> Iterator[Step]:
    if not line.program:
        raise RuleRefused(
            "`exec` needs the program after `--`, like `exec {pod} -c app -n web -- cat /etc/hostname`"
        )
    template = parse_template(line.program).words if line.document else _spoken(line.program)
    return _enter(line, words, "exec", template)


def _spoken(program: str) -> tuple[Word, ...]:
    return tuple((word,) for word in ssh_lines.parse_line(program))


def _attach(line: Line, words: Sequence[str]) -> Iterator[Step]:
    return _enter(line, words, "attach", ())


def _enter(line: Line, words: Sequence[str], what: str, program: tuple[Word, ...]) -> Iterator[Step]:
    container = line.take("-c")
    if not container:
        raise RuleRefused(f"`{what}` needs the container: add -c with its name")
    check = Enters(parse_slots(container), line.switch("-i"), line.switch("-t"), program)
    yield from _into(line, words[:1], what, what, check, bare=True)


def _into(
    line: Line, words: Sequence[str], what: str, sub: str, check: Check, *, bare: bool
) -> Iterator[Step]:
    for thing in pods_of(words):
        yield Step(thing.right(line, ("get",)), Reads(), main=False)
        # A WebSocket opens the stream with GET, and newer API servers require create as well.
        yield Step(thing.right(line, ("get",), ("create",), sub=sub), check, (what,), bare=bare)


def _forward(line: Line, words: Sequence[str]) -> Iterator[Step]:
    if len(words) < 2:
        raise RuleRefused(
            "`port-forward` needs a pod and its ports, like `port-forward pod/{pod} 8080 -n web`"
        )
    # The local port is used only by kubectl.
    ports = tuple(parse_slots(word.rpartition(":")[2]) for word in words[1:])
    if not all(
        re.fullmatch(r"[1-9][0-9]{0,4}", "".join(p if isinstance(p, str) else "1" for p in text))
        for text in ports
    ):
        raise RuleRefused("ports must be numbers from 1 to 65535")
    yield from _into(line, words[:1], "port-forward", "portforward", Forwards(ports), bare=False)


def _node(what: str) -> Callable[[Line, Sequence[str]], Iterator[Step]]:
    def command(line: Line, words: Sequence[str]) -> Iterator[Step]:
        path, values = _SWITCHED[what]
        if not words:
            raise RuleRefused(f"`{what}` needs the name of a node")
        nodes = Thing(find_resource("nodes"), tuple(map(name_text, words)))
        return _patch(line, nodes, (what,), [Field(path, Listed(values))], bare=True)

    return command


def _top(line: Line, words: Sequence[str]) -> Iterator[Step]:
    what = find_resource(plain(words[0])) if words else None
    if what is None or what.plural not in ("pods", "nodes"):
        raise RuleRefused("`top` needs pods or nodes")
    used = Thing(Resource("metrics.k8s.io", what.plural, what.namespaced), tuple(map(name_text, words[1:])))
    yield Step(used.right(line, ("get",) if used.names else ("list",), ("get",)), Reads(), ("top",))


_COMMANDS: Mapping[str, Callable[[Line, Sequence[str]], Iterator[Step]]] = {
    "get": _get,
    "describe": _describe,
    "logs": _logs,
    "top": _top,
    "delete": _delete,
    "scale": _scale,
    "rollout": _rollout,
    "label": _metadata("label", "labels"),
    "annotate": _metadata("annotate", "annotations"),
    "set": _set,
    "cordon": _node("cordon"),
    "uncordon": _node("uncordon"),
    "exec": _exec,
    "attach": _attach,
    "port-forward": _forward,
}
