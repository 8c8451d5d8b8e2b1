"""Define which fields of a kind's objects `apply` can set, and their allowed values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sessions_app.policy.commands.characters import clip, hidden_at
from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent
from sessions_app.policy.commands.kubernetes.bodies import (
    JSON,
    KEYED,
    PATCHES,
    SERVER_SIDE,
    STRATEGIC,
    Path,
    build_body,
    read_fields,
    written_path,
)
from sessions_app.policy.commands.kubernetes.checks import (
    WRITE_QUERY,
    Check,
    Field,
    Pairs,
    Taken,
    check_listed,
    check_query,
    dry,
    take_field,
)
from sessions_app.policy.commands.kubernetes.existing import check_items, target_of, version_of
from sessions_app.policy.commands.kubernetes.noted import NOTE, check_note, check_note_of_patch
from sessions_app.policy.commands.kubernetes.replacing import changes
from sessions_app.policy.commands.kubernetes.resources import known_resource
from sessions_app.policy.commands.kubernetes.texts import Text
from sessions_app.policy.commands.kubernetes.wants import Differs, Listed, Said, Types, Values

_PART = re.compile(r"\.?([^.\[\]]+)|\[([^\[\]]+)\]")
_NO_VALUE = object()


@dataclass(frozen=True, slots=True)
class Applies(Check):
    """The fields that an apply can set, and no others.

    `manager` is the field manager of server-side applies; None refuses server-side applies. `create`: the
    object need not exist.
    """

    api_version: str
    kind: str
    fields: tuple[Field, ...]
    manager: str | None = None
    names_of: tuple[Text, ...] = ()
    create: bool = False

    def filled(self, values: Values) -> Applies:
        return replace(self, fields=tuple(one.filled(values) for one in self.fields))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for one in self.fields for name in one.want.names))

    @property
    def limits(self) -> str:
        return "fields"

    def take(self, request: KubeRequest, sent: Sent, types: Types, known: Values) -> Taken:
        self._check_manager(request, sent)
        check_query(request, WRITE_QUERY | ({"force"} if self.manager else set()))
        found = read_fields(
            sent.media_type, sent.body, (*PATCHES, SERVER_SIDE) if request.verb == "patch" else (JSON,)
        )
        group_version = f"{request.group}/{request.version}" if request.group else request.version
        if request.version and group_version != self.api_version:
            raise Differs(f"apiVersion must be {self.api_version}, not {group_version}")
        name, known = self._identity(request, found, types, known)
        set_ = self._set(request, sent, found)
        if not set_ and request.verb != "create":
            raise Differs("it sets none of the fields in the command")
        check_listed(set_, {one.path for one in self.fields}, ())
        for one in self.fields:
            known = take_field(one, set_, types, known) if one.path in set_ else known
        version = self._compared(request, sent, found, set_)
        words = tuple(f"{written_path(path)}={_spelled(value)}" for path, value in set_.items())
        if request.verb == "create":
            words = (f"name={name}", *words)
        return Taken(known, words, dry(request), version=version)

    def _set(self, request: KubeRequest, sent: Sent, found: Mapping[Path, Any]) -> dict[Path, Any]:
        """Return the values that a request sets, except those that identify the object.

        Raises Differs.
        """
        if request.verb == "update":
            built_in = bool(known_resource(request.group, request.resource).singular)
            return changes(self._there(request, sent), sent.body, built_in=built_in)
        return {path: value for path, value in found.items() if path not in self._known_parts}

    def _there(self, request: KubeRequest, sent: Sent) -> Mapping[str, Any]:
        target = target_of(sent)
        if not target:
            raise Differs(
                f"{request.name} does not exist: create it with `kubectl apply` without --server-side"
            )
        return {**target, "apiVersion": self.api_version, "kind": self.kind}

    def _compared(
        self, request: KubeRequest, sent: Sent, found: Mapping[Path, Any], set_: Mapping[Path, Any]
    ) -> str:
        """Compare a request with the existing object if necessary, and return the object's resource
        version.

        Raises Differs.
        """
        whole = request.verb != "patch" or sent.media_type == SERVER_SIDE
        if NOTE in found and whole:
            check_note(found[NOTE], sent.body, sent.target or {})
        elif NOTE in found:
            check_note_of_patch(found[NOTE], found, self._there(request, sent))
        if not whole:
            return check_items(request, sent, set_)
        if request.verb == "create" or (self.create and not target_of(sent)):
            # A new object has no version to bind the request to.
            return ""
        there = self._there(request, sent)
        if request.verb == "patch":
            check_items(request, sent, set_)
        return version_of(there)

    def _check_manager(self, request: KubeRequest, sent: Sent) -> None:
        if sent.media_type != SERVER_SIDE:
            return
        if self.manager is None:
            raise Differs(
                "a server-side apply also removes fields that its manager set before: use kubectl"
                " without --server-side"
            )
        if request.value("fieldManager") != self.manager:
            raise Differs(f"fieldManager must be {clip(self.manager)}")

    @property
    def _known_parts(self) -> frozenset[Path]:
        metadata = ("name", "namespace", "resourceVersion", "uid")
        return frozenset((("apiVersion",), ("kind",), NOTE, *(("metadata", key) for key in metadata)))

    def _identity(
        self, request: KubeRequest, found: Mapping[Path, Any], types: Types, known: Values
    ) -> tuple[str, Values]:
        """Check the fields that identify the object, and return its name. Raises Differs."""
        name = found.get(("metadata", "name"), request.name)
        wanted = {
            ("apiVersion",): self.api_version,
            ("kind",): self.kind,
            ("metadata", "name"): request.name or name,
            ("metadata", "namespace"): request.namespace,
        }
        for path, value in wanted.items():
            if found.get(path, value) != value:
                raise Differs(f"{written_path(path)} must be {clip(value)}")
        if request.verb != "create":
            return request.name, known
        for text in self.names_of:
            try:
                return name, Said(text).take(name, types, known)
            except Differs:
                continue
        if self.names_of or not isinstance(name, str) or not name:
            raise Differs("metadata.name is not one of the names that may be created")
        return name, known

    def render(self, verb: str) -> tuple[Pairs, Sent]:
        fields = {one.path: one.want.sample() for one in self.fields}
        if self.names_of and isinstance(name := self.names_of[0][0], str):
            fields[("metadata", "name")] = name
        body = build_body(fields)
        return (), Sent(STRATEGIC if verb == "patch" else JSON, body, target=body)


def _spelled(value: Any) -> str:
    """Return a value of a field as written in a line: quoted only if it could be read as something else."""
    if isinstance(value, str) and hidden_at(value) is None and _read(value) is _NO_VALUE and value:
        return value
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return _NO_VALUE


def read_pairs(words: list[str]) -> Iterator[Field]:
    """Yield the fields that a line sets: `spec.replicas=3`. Raises RuleRefused."""
    for word in words:
        path, equals, text = word.partition("=")
        if not equals:
            raise RuleRefused(f"{clip(word)} needs a field and its value, like spec.replicas=3")
        value = _read(text)
        yield Field(read_path(path), Listed((text if value is _NO_VALUE else value,)))


def read_path(text: str) -> Path:
    """Return a path as written in documents: `spec.template.spec.containers[app].image`.

    Raises RuleRefused.
    """
    parts, at = [], 0
    while at < len(text):
        found = _PART.match(text, at)
        if not found or (text[at] == "." and at == 0):
            raise RuleRefused(
                f"{clip(text)} is not a path: write it like spec.template.spec.containers[app].image"
            )
        parts.append(found[1] or found[2])
        at = found.end()
    if not parts or parts[-1] in KEYED or any(part.startswith("$") for part in parts):
        raise RuleRefused(
            f"{clip(text)} is not a single field: name the item and its field, like containers[app].image"
        )
    if tuple(parts[:1]) in (("apiVersion",), ("kind",), ("status",)) or parts[:2] in (
        ["metadata", "name"],
        ["metadata", "namespace"],
    ):
        raise RuleRefused(f"{clip(text)} identifies the object, so it can't be a field to set")
    return tuple(parts)
