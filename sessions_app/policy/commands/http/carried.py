"""Determine which parts of a request Stint's own gateway reads before the decision, and which parts of a
response it forwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.http.compiling import CompiledHTTPCommand, CompiledSet
from sessions_app.policy.commands.http.decide import candidates, target_faults
from sessions_app.policy.commands.http.limits import FORM, ITEMS, MULTIPART, is_json, steps_of
from sessions_app.policy.commands.http.targets import Target, read_target
from sessions_app.policy.commands.json_values.bodies import MAX_BODY, BodyRefused, Json

# The fields of a form plus the multipart overhead, in bytes.
MAX_FIELDS = 1024 * 1024

Reading = Literal["none", "json", "form", "multipart", "upload"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How to read the body of a request: in which format, and at most how many bytes.

    ``none``: no command allows a body of this type, so the request is refused without reading the body.
    ``whole`` means that an upload must be read before the decision, because the decision needs its digest.
    Otherwise the decision needs only the type and length, and the body is streamed.
    """

    reading: Reading
    most: int = 0
    whole: bool = False


def plan(
    compiled: CompiledSet,
    method: str,
    target: str,
    media: str,
    *,
    stream: bool = False,
    websocket: bool = False,
) -> Plan:
    """Return how to read the body of a request, given what the commands could allow. This decides nothing
    yet.

    ``media`` is the media type without parameters, in lowercase; a body without one is
    `application/octet-stream` (RFC 9110 §8.3).
    """
    try:
        asked = read_target(target)
    except RuleRefused:
        return Plan("none")
    # Every command that could match affects how the body is read. The strictest plan wins.
    fits = [one for one in candidates(compiled, method, asked.path) if _reaches(one, asked)]
    if not any((one.streams or not stream) and (one.websockets or not websocket) for one in fits):
        return Plan("none")
    if is_json(media):
        return Plan("json", MAX_BODY) if any(one.content == "json" for one in fits) else Plan("none")
    if media in (FORM, MULTIPART):
        return _form_plan(fits, multipart=media == MULTIPART)
    return _upload_plan(fits, media)


def _reaches(one: CompiledHTTPCommand, asked: Target) -> bool:
    found = one.pattern.fullmatch(asked.path)
    return found is not None and next(target_faults(one, asked, found.groupdict()), None) is None


def _form_plan(fits: list[CompiledHTTPCommand], *, multipart: bool) -> Plan:
    forms = [one.allows for one in fits if one.allows and one.content == "form"]
    if not forms:
        return Plan("none")
    if not multipart:
        return Plan("form", MAX_FIELDS)
    return Plan("multipart", MAX_FIELDS + max(rule.largest for rule in forms), whole=True)


def _upload_plan(fits: list[CompiledHTTPCommand], media: str) -> Plan:
    rules = [one.allows for one in fits if one.allows and one.allows.upload]
    found = [rule for rule in rules if rule.upload and media in rule.upload.types]
    if not found:
        return Plan("none")
    return Plan("upload", max(rule.largest for rule in found), whole=any(rule.hold for rule in found))


def project(fields: tuple[str, ...], document: Json) -> Json:
    """Return only the listed fields of a JSON document: `account.name`, `items[].price`.

    A field passes with everything below it. Values whose structure doesn't match the field are left out. If
    the document itself doesn't match, the result is null.
    """
    tree = Tree()
    for field in fields:
        branch = tree
        for step in steps_of(field):
            branch = branch.setdefault(step, Tree())
    return _kept(tree, document) if _fits(tree, document) else None


class Tree(dict[str, "Tree"]):
    """The listed fields by their first step. An empty tree means everything below."""


def _fits(tree: Tree, value: Json) -> bool:
    """Whether a value has the structure that its fields require: a list for `[]`, an object for names."""
    if not tree or isinstance(value, list):
        return not tree or ITEMS in tree
    return isinstance(value, Mapping) and tree.keys() != {ITEMS}


def _kept(tree: Tree, value: Json) -> Json:
    if not tree:
        return value
    if isinstance(value, Mapping):
        names = tree.keys() & value.keys() - {ITEMS}
        return {
            name: _kept(tree[name], value[name])
            for name in value
            if name in names and _fits(tree[name], value[name])
        }
    items = value if isinstance(value, list) else ()
    return [_kept(tree[ITEMS], one) for one in items if _fits(tree[ITEMS], one)]


def projected(fields: tuple[str, ...], answer: bytes) -> bytes:
    """Return the listed fields of a JSON response, as JSON.

    Raises BodyRefused if the response is not JSON in UTF-8.
    """
    try:
        document: Json = json.loads(answer.decode(), parse_constant=_no_constant)
        return json.dumps(project(fields, document), separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        raise BodyRefused("the response is not JSON in UTF-8, so its fields can't be filtered") from None


def _no_constant(name: str) -> Json:
    raise ValueError(name)
