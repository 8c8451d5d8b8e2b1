"""Lines of kubectl, read as the rights that they need: `get pods -n web`, `rollout restart deployment/web -n web`.

The same reader serves documents, where `{name}` stands for a value in a name or a namespace, and the lines that people
try. A verb of the API (`list`, `patch`, `deletecollection`), or several with commas, asks for just that.

Source: what kubectl 1.34 sends for each command, as its `-v=8` shows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.resources import Resource, find_resource
from sessions_app.policy.commands.kubernetes.rights import Right
from sessions_app.policy.commands.kubernetes.texts import Text, name_text, namespace_text

_WORD = re.compile(r"[A-Za-z0-9_./:={},@+!-]+")
_NAMESPACE = ("-n", "--namespace")
_ALL = ("-A", "--all-namespaces")
_WATCH = ("-w", "--watch")
# They choose how something is shown or waited for, and ask the API server for nothing else.
_WITH_VALUE = frozenset(
    ("-c", "--container", "--tail", "--since", "--since-time", "-o", "--output", "-l", "--selector",
     "--sort-by", "--timeout", "--replicas", "--current-replicas", "--grace-period", "--cascade", "-L",
     "--label-columns", "--limit-bytes", "--request-timeout", "--to-revision", "--revision", "--chunk-size")
)  # fmt: skip
_PLAIN = frozenset(
    ("-f", "--follow", "-p", "--previous", "--timestamps", "--no-headers", "--show-labels", "--wait", "--now",
     "--ignore-not-found", "--all-containers", "--prefix", "--overwrite", "-i", "-t", "-it", "--stdin", "--tty",
     "--show-kind", "--force")
)  # fmt: skip
_ELSEWHERE = frozenset(
    ("--as", "--as-group", "--as-uid", "--token", "--kubeconfig", "--context", "--cluster", "--user", "-s",
     "--server", "--raw", "--client-key", "--client-certificate", "--certificate-authority",
     "--insecure-skip-tls-verify")
)  # fmt: skip
_RAW = frozenset(("list", "watch", "create", "update", "patch", "deletecollection", "escalate", "bind", "impersonate", "approve", "sign", "use"))  # fmt: skip
_REFUSED = {
    "apply": "`apply` makes and changes whatever its file says: write patch and create for each resource",
    "run": "`run` makes a pod: write `create pods`",
    "debug": "`debug` adds a container to a pod: write patch on pods/ephemeralcontainers",
    "drain": "`drain` needs rights on the pods of every namespace: write them as rules",
    "proxy": "`proxy` opens the whole API: write what is needed of it",
    "cp": "`cp` runs tar in a pod: write `exec`",
    "config": "`config` asks the cluster nothing and needs no right",
    "version": "`version` is open to everybody and needs no right",
    "explain": "`explain` is open to everybody and needs no right",
    "api-resources": "`api-resources` is open to everybody and needs no right",
}


@dataclass
class _Line:
    words: list[str]
    namespaces: tuple[Text, ...] = ()
    everywhere: bool = False
    watch: bool = False
    subresource: str = ""
    seen: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Thing:
    """What a line is about: resources, and names of their objects where it gives some."""

    resource: Resource
    names: tuple[Text, ...]


def parse_line(text: str, *, document: bool) -> tuple[Right, ...]:
    """The rights that a line needs, in the order in which kubectl uses them.

    `document`: it is a document's, so that `{name}` may stand in it and options that RBAC can't hold may not. Raises
    RuleRefused that says what is wrong.
    """
    line = _read(text, document=document)
    if not line.words:
        raise RuleRefused("a command is required")
    verb, *rest = line.words
    if verb == "auth" and rest[:1] == ["can-i"] and len(rest) > 1:
        return tuple(_raw(line, _verbs(rest[1]), rest[2:]))
    if "," in verb or verb in _RAW:
        return tuple(_raw(line, _verbs(verb), rest))
    if verb not in _COMMANDS:
        known = ", ".join(sorted(_COMMANDS))
        raise RuleRefused(f"{clip(verb)} is not a known kubectl command: {known}")
    return tuple(_COMMANDS[verb](line, rest))


def _read(text: str, *, document: bool) -> _Line:
    at = hidden_at(text)
    if at is not None:
        raise RuleRefused(f"{show(text[at])} is not printable: remove it")
    tokens = text.split(" -- ", maxsplit=1)[0].split()
    if tokens[:1] == ["kubectl"]:
        del tokens[0]
    if tokens and tokens[0] in _REFUSED:
        raise RuleRefused(_REFUSED[tokens[0]])
    line, at = _Line([]), 0
    while at < len(tokens):
        at += _token(line, tokens, at, document=document)
    if line.everywhere and line.namespaces:
        raise RuleRefused("-A is every namespace: leave out -A or -n")
    return line


def _token(line: _Line, tokens: Sequence[str], at: int, *, document: bool) -> int:
    """Take in one word, or an option and its value; how many words that were."""
    token = tokens[at]
    if not _WORD.fullmatch(token) and not (token.startswith(("-o=", "--")) or tokens[at - 1] in _WITH_VALUE):
        raise RuleRefused(f"{clip(token)} holds a character that means something to a shell: leave it out")
    if "{" in token and not document:
        raise RuleRefused(f"{clip(token)} is a place for a value: write the value")
    if not token.startswith("-"):
        line.words.append(token)
        return 1
    option, equals, value = token.partition("=")
    if option in _ALL or option in _WATCH or option in _PLAIN:
        _flag(line, option, document=document)
        return 1
    taken = 1 if equals else 2
    if not equals:
        value = tokens[at + 1] if at + 1 < len(tokens) else ""
    if not value:
        raise RuleRefused(f"{option} needs a value")
    _option(line, option, value, document=document)
    return taken


def _flag(line: _Line, option: str, *, document: bool) -> None:
    line.everywhere |= option in _ALL
    line.watch |= option in _WATCH
    if document and option in _PLAIN:
        raise RuleRefused(f"RBAC can't restrict {option}: remove it; it can be used anyway")


def _option(line: _Line, option: str, value: str, *, document: bool) -> None:
    if option in _NAMESPACE:
        if line.namespaces:
            raise RuleRefused("-n is written twice: keep one")
        line.namespaces = tuple(namespace_text(word) for word in value.split(","))
    elif option == "--subresource":
        line.subresource = value
    elif option in _ELSEWHERE:
        raise RuleRefused(f"{option} is not for a grant, which has its own server and account: remove it")
    elif option not in _WITH_VALUE:
        raise RuleRefused(f"{clip(option)} is not a known option: remove it")
    elif document:
        raise RuleRefused(f"RBAC can't restrict {option}: remove it; it can be used with any value")


def _verbs(word: str) -> tuple[str, ...]:
    verbs = tuple(dict.fromkeys(word.split(",")))
    if not all(re.fullmatch(r"[a-z]+", verb) for verb in verbs):
        raise RuleRefused(f"{clip(word)} is no list of verbs: write them like `get,list`")
    return verbs


def _things(words: Sequence[str]) -> list[_Thing]:
    """`deployment/web`, `deployment web api`, `pods,services`. Raises RuleRefused."""
    if not words:
        raise RuleRefused("a resource is required, such as `pods` or `deployment/web`")
    if any("/" in word for word in words):
        return [_thing_by_slash(word) for word in words]
    resources = [find_resource(_plain(word)) for word in words[0].split(",")]
    names = tuple(map(name_text, words[1:]))
    return [_Thing(resource, names) for resource in resources]


def _thing_by_slash(word: str) -> _Thing:
    type_, slash, name = word.partition("/")
    if not slash or not type_ or not name:
        raise RuleRefused(f"{clip(word)} needs both, the resource and the name: `deployment/web`")
    return _Thing(find_resource(_plain(type_)), (name_text(name),))


def _plain(word: str) -> str:
    if "{" in word:
        raise RuleRefused("the resource must be written out: a parameter cannot choose it")
    return word


def _namespaces(line: _Line, resource: Resource) -> tuple[Text, ...]:
    if resource.namespaced is False:
        if line.namespaces:
            raise RuleRefused(f"{resource.plural} are in no namespace: leave out -n")
        return ()
    if resource.namespaced and not line.namespaces and not line.everywhere:
        raise RuleRefused(
            f"{resource.plural} are in a namespace: write -n and which one, or -A for every one"
        )
    return line.namespaces


def _right(
    line: _Line, thing: _Thing, asked: tuple[str, ...], also: tuple[str, ...] = (), sub: str = ""
) -> Right:
    sub = sub or line.subresource
    plural = f"{thing.resource.plural}/{sub}" if sub else thing.resource.plural
    verbs = tuple(dict.fromkeys((*asked, *also)))
    if thing.names and {"create", "deletecollection"} & set(verbs) and not sub:
        raise RuleRefused("RBAC can't limit create and deletecollection to a name: leave the name out")
    namespaces = _namespaces(line, thing.resource)
    return Right(verbs, (thing.resource.group,), (plural,), thing.names, namespaces, asked)


def _raw(line: _Line, verbs: tuple[str, ...], words: Sequence[str]) -> Iterator[Right]:
    for thing in _things(words):
        yield _right(line, thing, verbs)


def _get(line: _Line, words: Sequence[str]) -> Iterator[Right]:
    watch = ("watch",) if line.watch else ()
    for thing in _things(words):
        # A list shows the objects whole, so that reading one adds nothing to it. A watch of one may begin with a list.
        one = bool(thing.names or line.subresource)
        also = ("list",) if one and watch else () if one else ("get",)
        yield _right(line, thing, ("get" if one else "list", *watch), also)


def _delete(line: _Line, words: Sequence[str]) -> Iterator[Right]:
    for thing in _things(words):
        yield _right(line, thing, ("delete",), ("get", "list", "watch"))  # kubectl waits until it is gone


def _change(line: _Line, words: Sequence[str]) -> Iterator[Right]:
    things = [word for word in words if "=" not in word and not (word.endswith("-") and word != words[0])]
    for thing in _things(things):
        yield _right(line, thing, ("get", "patch"))


def _set(line: _Line, words: Sequence[str]) -> Iterator[Right]:
    if words[:1] not in (["image"], ["env"], ["resources"]):
        raise RuleRefused("`set` needs image, env or resources")
    return _change(line, words[1:])


def _scale(line: _Line, words: Sequence[str]) -> Iterator[Right]:
    for thing in _things(words):
        yield _right(line, thing, ("get",))
        yield _right(line, thing, ("patch",), ("get", "update"), sub="scale")


def _rollout(line: _Line, words: Sequence[str]) -> Iterator[Right]:
    what = words[0] if words else ""
    if what not in ("restart", "pause", "resume", "undo", "status", "history"):
        raise RuleRefused("`rollout` needs restart, status, history, undo, pause or resume")
    for thing in _things(words[1:]):
        if what == "status":
            yield _right(line, thing, ("get", "list", "watch"))
        else:
            yield _right(line, thing, ("get",) if what == "history" else ("get", "patch"))
        if what in ("undo", "history"):
            past = "replicasets" if thing.resource.plural == "deployments" else "controllerrevisions"
            yield _right(line, _Thing(find_resource(past), ()), ("list",), ("get",))


def _logs(line: _Line, words: Sequence[str]) -> Iterator[Right]:
    for thing in _pods(words):
        yield _right(line, thing, ("get",))
        yield _right(line, thing, ("get",), sub="log")


def _pods(words: Sequence[str]) -> Iterator[_Thing]:
    """`web-1`, `pod/web-1`, or nothing: any pod."""
    pods = find_resource("pods")
    for word in words or [""]:
        thing = _thing_by_slash(word) if "/" in word else _Thing(pods, (name_text(word),) if word else ())
        if thing.resource != pods:
            raise RuleRefused(
                "RBAC does not know whose pods they are: name a pod, or leave the name out for any pod"
            )
        yield thing


def _into(sub: str) -> Callable[[_Line, Sequence[str]], Iterator[Right]]:
    def command(line: _Line, words: Sequence[str]) -> Iterator[Right]:
        for thing in _pods(words[:1]):
            yield _right(line, thing, ("get",))
            # GET opens it as a websocket, POST by SPDY; newer servers ask for create in both cases.
            yield _right(line, thing, ("create",), ("get",), sub=sub)

    return command


def _node(line: _Line, words: Sequence[str]) -> Iterator[Right]:
    yield _right(line, _Thing(find_resource("nodes"), tuple(map(name_text, words))), ("get", "patch"))


def _top(line: _Line, words: Sequence[str]) -> Iterator[Right]:
    what = find_resource(_plain(words[0])) if words else None
    if what is None or what.plural not in ("pods", "nodes"):
        raise RuleRefused("`top` needs pods or nodes")
    used = Resource("metrics.k8s.io", what.plural, what.namespaced)
    names = tuple(map(name_text, words[1:]))
    yield _right(line, _Thing(used, names), ("get",) if names else ("list",), ("get",))


_COMMANDS: Mapping[str, Callable[[_Line, Sequence[str]], Iterator[Right]]] = {
    "get": _get,
    "describe": _get,
    "logs": _logs,
    "top": _top,
    "delete": _delete,
    "scale": _scale,
    "rollout": _rollout,
    "edit": _change,
    "label": _change,
    "annotate": _change,
    "set": _set,
    "cordon": _node,
    "uncordon": _node,
    "exec": _into("exec"),
    "attach": _into("attach"),
    "port-forward": _into("portforward"),
}
