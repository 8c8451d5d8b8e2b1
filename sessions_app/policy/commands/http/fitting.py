"""Checks whether the headers and the body of a request match a command whose path matches."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.http.compiling import CompiledHTTPCommand
from sessions_app.policy.commands.http.contents import Absent, Content, File, Form, Unseen, Upload
from sessions_app.policy.commands.http.limits import FileLimit, UploadLimit
from sessions_app.policy.commands.json_values.bodies import Json
from sessions_app.policy.commands.json_values.checks import Check, leaves
from sessions_app.policy.commands.parameters import ValueRefused
from sessions_app.policy.commands.sizes import say_bytes

UNSENT = "which this proxy integration does not send: use Stint's own gateway (proxy: stint)"
_WANTED = {
    "none": "the request must have no body",
    "json": "the body must be a JSON object",
    "form": "the body must be a form",
    "upload": "the body must be an upload",
}
# Excludes folders, hidden files, and characters with a special meaning to a shell or a file system.
_FILE_NAME = re.compile(r"[\w][\w .()+=@-]{0,199}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def carried_faults(
    one: CompiledHTTPCommand, body: Content, headers: Mapping[str, str] | None, matched: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield the faults in the headers and the body of a request, each with its code.

    Parameter values are added to `matched`.

    ``headers`` is None if the caller is not Stint's own gateway.
    """
    needs = one.allows.needs_gateway if one.allows else ()
    if headers is None and needs:
        keys = " and ".join(needs)
        yield f"only Stint's own gateway (proxy: stint) can enforce {keys} of the matching rule", "gateway"
        return
    if one.headers and headers is not None:
        given = [(name, headers[name]) for name in one.headers if name in headers]
        for fault in faults_inside("the headers", one.headers, given, one.optional, matched):
            yield fault, "headers"
        for name, value in given:
            if not value.isascii():
                yield f"{name} in the headers must be ASCII", "headers"
    yield from ((fault, "body") for fault in _body_faults(one, body, matched))


def _body_faults(one: CompiledHTTPCommand, body: Content, matched: dict[str, str]) -> Iterator[str]:
    if isinstance(body, Unseen):
        if one.content != "none":
            yield f"the matching rule checks the body, {UNSENT}"
        return
    if kind_of(body) != one.content:
        yield _WANTED[one.content]
    elif isinstance(body, Form):
        yield from _form_faults(one, body, matched)
    elif isinstance(body, Upload):
        yield from _upload_faults("the body", body, one.allows.upload if one.allows else None)
    elif not isinstance(body, Absent):
        yield from _json_faults(one, body, matched)


def kind_of(body: Content) -> str:
    """Return the kind of a request's body, named as in `HTTPRequest.content`."""
    if isinstance(body, Unseen | Absent):
        return "none"
    if isinstance(body, Form):
        return "form"
    return "upload" if isinstance(body, Upload) else "json"


def _json_faults(one: CompiledHTTPCommand, body: Json, matched: dict[str, str]) -> Iterator[str]:
    limited = one.body or {}
    try:
        found = list(leaves(body, limited))
    except ValueRefused as error:
        yield f"the body {error}"
        return
    yield from faults_inside("the body", limited, found, one.optional, matched)


def _form_faults(one: CompiledHTTPCommand, form: Form, matched: dict[str, str]) -> Iterator[str]:
    yield from faults_inside("the form", one.form, form.fields.items(), one.optional, matched)
    limits = one.allows.files if one.allows else {}
    for name, file in form.files.items():
        if name not in limits:
            yield f"the form must not contain the file {clip(name)}"
        else:
            yield from _upload_faults(f"the file {clip(name)}", file, limits[name])
    for name in limits:
        if name not in form.files and name not in one.optional:
            yield f"the form must contain the file {clip(name)}"


def _upload_faults(what: str, upload: Upload, limit: UploadLimit | FileLimit | None) -> Iterator[str]:
    if limit is None or upload.media not in limit.types:
        yield f"{what} must be {' or '.join(limit.types) if limit else 'absent'}, not {clip(upload.media)}"
    elif upload.size > limit.max:
        yield f"{what} is larger than {say_bytes(limit.max)}"
    if isinstance(upload, File) and _FILE_NAME.fullmatch(upload.name) is None:
        yield f"{what} needs a plain file name: no folder, and a letter or digit first"


def undigested(body: Content) -> str:
    """Return, as a clause, which upload of a request to be held lacks a digest; empty if none does.

    The missing digest is not a fault of the request, because another command may still decide it.
    """
    named = (
        {f"the file {clip(name)}": file for name, file in body.files.items()}
        if isinstance(body, Form)
        else {}
    )
    uploads = {"the body": body} if isinstance(body, Upload) else named
    for what, upload in uploads.items():
        if _DIGEST.fullmatch(upload.sha256) is None:
            return f"{what} needs its sha256, so that the approved content is what is sent"
    return ""


def faults_inside(
    what: str,
    limited: Mapping[str, Check],
    given: Iterable[tuple[str, Json]],
    optional: frozenset[str],
    matched: dict[str, str],
) -> Iterator[str]:
    """Yield the faults of named values. Each value must be listed and within its limit, and every required
    value must be present.
    """
    seen = set()
    for name, value in given:
        seen.add(name)
        check = limited.get(name)
        if check is None:
            yield f"{what} must not contain {clip(name)}"
        elif fault := check.fault(value, matched):
            yield f"{clip(name)} in {what}: {fault}"
    for name in limited:
        if name not in seen and name not in optional:
            yield f"{what} must contain {clip(name)}"
