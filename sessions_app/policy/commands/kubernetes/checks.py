"""Checks for the query parameters and the body that a request of a kubectl line may have."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent, selector_terms
from sessions_app.policy.commands.kubernetes.bodies import (
    SERVER_SIDE,
    STRATEGIC,
    Path,
    build_body,
    read_fields,
    written_path,
)
from sessions_app.policy.commands.kubernetes.existing import check_items
from sessions_app.policy.commands.kubernetes.texts import Text, fill, is_name, is_plain, literal, slots_of
from sessions_app.policy.commands.kubernetes.wants import Count, Differs, Said, Types, Values, Want

Pairs = tuple[tuple[str, str], ...]

ALWAYS = frozenset(("pretty", "timeout"))
READ_ONE = ALWAYS | {"resourceVersion"}
READ_MANY = READ_ONE | {
    "limit",
    "continue",
    "resourceVersionMatch",
    "labelSelector",
    "fieldSelector",
    "timeoutSeconds",
    "allowWatchBookmarks",
    "sendInitialEvents",
    "watch",
    "includeObject",
}
_LOG = ALWAYS | {
    "container",
    "follow",
    "previous",
    "tailLines",
    "sinceSeconds",
    "sinceTime",
    "timestamps",
    "limitBytes",
}
WRITE_QUERY = ALWAYS | {"fieldManager", "fieldValidation", "dryRun"}
_STREAM = frozenset(("container", "command", "stdin", "stdout", "stderr", "tty"))
_READS = frozenset(("get", "list", "watch"))
# Parameters for how much of a list is returned, and where the list starts.
_PAGING = READ_MANY - {"labelSelector", "fieldSelector", "includeObject"}
# Preconditions. They set nothing, but make a write fail if another client changed the object.
_PRECONDITIONS = frozenset((("metadata", "resourceVersion"), ("metadata", "uid")))


@dataclass(frozen=True, slots=True)
class Taken:
    """The result of a match: the values of the placeholders, and the words of the kubectl line.

    `objects` are the words after the object, `options` those after the namespace, and `program` is the argv
    of `exec`. `version` is the resource version of the object that the request was compared with, if any: the
    request may change only this version.
    """

    values: Values
    objects: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    version: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A check of a request's query and body."""

    def filled(self, values: Values) -> Check:
        """Return the check with the known values in place."""
        del values
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The check's parameters, without duplicates."""
        return ()

    @property
    def limits(self) -> str:
        """Return, as a noun, the part of a request that only this check limits and RBAC doesn't; empty if
        there is none.
        """
        return ""

    @property
    def described(self) -> tuple[str, ...]:
        """The comparisons as sentences without a subject."""
        return ()

    def take(self, request: KubeRequest, sent: Sent, types: Types, known: Values) -> Taken:
        """Compare a request with this check. Raises Differs, and RuleRefused for an unreadable body."""
        return Taken(known)

    def unseen(self, request: KubeRequest, sent: Sent) -> tuple[str, ...]:
        """Return the words for the parts of a request that the kubectl line does not limit."""
        del request, sent
        return ()

    def render(self, verb: str) -> tuple[Pairs, Sent]:
        """Return the query and the body that a line without placeholders sends."""
        return (("watch", "true"),) if verb == "watch" else (), Sent()


class Anything(Check):
    """The check for a `rule`: any query, any body, and any path below a proxy. All of them are recorded."""

    def unseen(self, request: KubeRequest, sent: Sent) -> tuple[str, ...]:
        words = [f"--path=/{'/'.join(request.parts[3:])}"] if request.parts[3:] else []
        reads = request.verb in _READS and request.subresource != "proxy"
        if pairs := sorted((key, value) for key, value in request.query if not (reads and key in _PAGING)):
            words.append(f"--query={urlencode(pairs, quote_via=quote)}")
        if request.verb == "patch":
            words.append(f"--content-type={sent.media_type}")
        return (*words, *_digest_of(sent.body))


def _digest_of(body: Any) -> Iterator[str]:
    if body is None:
        return
    metadata = body.get("metadata") if isinstance(body, Mapping) else None
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if isinstance(name, str) and is_name(name):
        yield f"--name={name}"
    # The bytes that are forwarded to the API server.
    data = json.dumps(body).encode()
    yield f"--body=sha256:{hashlib.sha256(data).hexdigest()},{len(data)}"


ANYTHING = Anything()


def check_query(request: KubeRequest, allowed: Iterable[str]) -> None:
    """Refuse a query parameter that is not listed. Raises Differs."""
    for key, value in request.query:
        if key not in allowed:
            raise Differs(f"the query has {key}, which the command does not allow")
        if key == "dryRun" and value != "All":
            raise Differs("dryRun must be All")


def _no_body(sent: Sent) -> None:
    if sent.body is not None:
        raise Differs("there must be no body")


@dataclass(frozen=True, slots=True)
class Reads(Check):
    """A get, list or watch. `shown`: the line contains -w for a watch."""

    shown: bool = True

    def take(self, request: KubeRequest, sent: Sent, types: Types, known: Values) -> Taken:
        check_query(request, READ_ONE if request.verb == "get" else READ_MANY)
        _no_body(sent)
        return Taken(known, options=("-w",) if self.shown and request.verb == "watch" else ())


@dataclass(frozen=True, slots=True)
class ReadsEvents(Check):
    """The events of one object, which `describe` lists."""

    names_of: tuple[Text, ...]

    def filled(self, values: Values) -> ReadsEvents:
        return replace(self, names_of=tuple(fill(text, values) for text in self.names_of))

    def take(self, request: KubeRequest, sent: Sent, types: Types, known: Values) -> Taken:
        check_query(request, READ_MANY)
        _no_body(sent)
        terms = selector_terms(request.value("fieldSelector") or None)
        name = next((value for key, sign, value in terms if (key, sign) == ("involvedObject.name", "=")), "")
        for text in self.names_of:
            try:
                return Taken(Said(text).take(name, types, known))
            except Differs:
                continue
        raise Differs("events can be listed only for the described object")


@dataclass(frozen=True, slots=True)
class Logs(Check):
    """A container's log. Any option is allowed, except for `--follow` if the line doesn't contain it."""

    container: Text | None = None
    tail: Text | None = None
    follow: bool = False
    previous: bool = False

    def filled(self, values: Values) -> Logs:
        return replace(self, container=_filled(self.container, values), tail=_filled(self.tail, values))

    @property
    def names(self) -> tuple[str, ...]:
        return _names(self.container, self.tail)

    @property
    def limits(self) -> str:
        if self.container:
            return "container"
        return "log lines" if self.tail else "log before the last restart" if self.previous else ""

    def take(self, request: KubeRequest, sent: Sent, types: Types, known: Values) -> Taken:
        check_query(request, _LOG)
        _no_body(sent)
        request.flag("timestamps")
        if request.flag("follow") and not self.follow:
            raise Differs("the log may be read but not followed: the command has no -f")
        if self.previous and not request.flag("previous"):
            raise Differs("only the log from before the last restart may be read: add --previous")
        found = _option(self.container, request, "container", "-c", types, known)
        found = _option(self.tail, request, "tailLines", "--tail", types, found)
        return Taken(found, options=tuple(_log_words(request)))

    def render(self, verb: str) -> tuple[Pairs, Sent]:
        pairs = [
            ("container", literal(self.container or ()) or ""),
            ("tailLines", literal(self.tail or ()) or ""),
        ]
        pairs += [("follow", "true" if self.follow else ""), ("previous", "true" if self.previous else "")]
        return tuple(pair for pair in pairs if pair[1]), Sent()


def _log_words(request: KubeRequest) -> Iterable[str]:
    for key, option in (("container", "-c"), ("tailLines", "--tail")):
        if value := request.value(key):
            yield from (option, value)
    for key, option in (("follow", "-f"), ("previous", "--previous")):
        if request.flag(key):
            yield option


def _option(
    text: Text | None, request: KubeRequest, key: str, option: str, types: Types, known: Values
) -> Values:
    if text is None:
        return known
    if not request.value(key):
        raise Differs(f"{option} is required")
    try:
        return Said(text).take(request.value(key), types, known)
    except Differs as error:
        raise Differs(f"{option} {error}") from None


def _filled(text: Text | None, values: Values) -> Text | None:
    return None if text is None else fill(text, values)


def _names(*texts: Text | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for text in texts for name in slots_of(text or ())))


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a body: its path, its allowed values, and the word of the line that precedes it
    (`--replicas `, `app=`). `also` is an alternative path.
    """

    path: Path
    want: Want
    word: str = ""
    also: Path = ()

    def filled(self, values: Values) -> Field:
        return replace(self, want=self.want.filled(values))


@dataclass(frozen=True, slots=True)
class Writes(Check):
    """A patch that sets exactly these fields."""

    fields: tuple[Field, ...]
    what: str

    def filled(self, values: Values) -> Writes:
        return replace(self, fields=tuple(one.filled(values) for one in self.fields))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in self.fields for name in one.want.names))

    @property
    def limits(self) -> str:
        # The number of replicas is the only field of a scale that can be limited.
        return "" if any(isinstance(one.want, Count) for one in self.fields) else self.what

    def take(self, request: KubeRequest, sent: Sent, types: Types, known: Values) -> Taken:
        check_query(request, WRITE_QUERY)
        if sent.media_type == SERVER_SIDE:
            raise Differs(
                "a server-side apply also removes fields that its manager set before: use kubectl"
                " without --server-side"
            )
        set_ = read_fields(sent.media_type, sent.body)
        found = self._in_place(set_)
        check_listed(found, {one.path for one in self.fields}, _PRECONDITIONS)
        for one in self.fields:
            known = take_field(one, found, types, known)
        words = [word for one in self.fields for word in said(one.word, found[one.path])]
        options = tuple(words) if words[:1] and words[0].startswith("-") else ()
        version = check_items(request, sent, set_)
        return Taken(known, () if options else tuple(words), (*options, *dry(request)), version=version)

    def _in_place(self, set_: Mapping[Path, Any]) -> dict[Path, Any]:
        """Return the values by the path of their fields, including alternative paths.

        Raises Differs for a field that is set twice.
        """
        places = {one.also: one.path for one in self.fields if one.also}
        found = {places.get(path, path): value for path, value in set_.items()}
        if len(found) < len(set_):
            raise Differs("it sets the same field twice")
        return found

    def render(self, verb: str) -> tuple[Pairs, Sent]:
        body = build_body({one.path: one.want.sample() for one in self.fields})
        return (), Sent(STRATEGIC, body, target=body)


def check_listed(found: Mapping[Path, Any], listed: Collection[Path], also: Collection[Path]) -> None:
    """Refuse a field that is not listed. Raises Differs with its path."""
    for path in found:
        if path not in listed and path not in also:
            near = sum(one in listed for one in found)
            raise Differs(f"it sets {written_path(path)}, which the command does not allow", near)


def dry(request: KubeRequest) -> tuple[str, ...]:
    """Return the option for a dry run if the request is a dry run."""
    return ("--dry-run=server",) if request.value("dryRun") else ()


def take_field(one: Field, found: Mapping[Path, Any], types: Types, known: Values) -> Values:
    """Compare one field of a body. Raises Differs with the field's path."""
    if one.path not in found:
        raise Differs(f"{written_path(one.path)} is missing", len(found))
    try:
        return one.want.take(found[one.path], types, known)
    except Differs as error:
        raise Differs(f"{written_path(one.path)} {error}", len(found) + 1) from None


def said(word: str, value: Any) -> tuple[str, ...]:
    """Return the words of a kubectl line for one value. Raises Differs for a value that can't be quoted."""
    if not word:
        return ()
    if word.endswith("-") and not word.startswith("-"):
        return (word,)
    if not is_plain(str(value)):
        raise Differs(f"{clip(str(value))} has characters that a line can't contain")
    return (word.rstrip(), str(value)) if word.endswith(" ") else (word + str(value),)
