"""A cluster's connection, which defines how Stint logs in to its targets: its form in documents, and its
stored form.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel, SecretStr, ValidationError

from broker.kernel.crypto import CannotDecrypt, place_of, seal, unseal
from sessions_app.connectors import nested
from sessions_app.connectors.base import ConnectionParameters, ConnectorError, secret_fields
from sessions_app.connectors.registry import ConnectorType, find, type_of, types
from sessions_app.models import Cluster
from sessions_app.policy.catalog import ClusterDocument, TargetDocument, schemas
from sessions_app.policy.documents import DocumentError, Problem, problems_of, spelled
from sessions_app.workflows.base import secret_fields as source_secrets
from sessions_app.workflows.registry import types as source_types

log = structlog.get_logger(__name__)

# Takes the place of stored secrets in documents. A submitted document that contains it keeps the stored
# secret.
STORED = "(stored)"
LONGEST_SECRET = 64 * 1024
_FIELD = "sealed_connection"


def names_secrets(document: ClusterDocument) -> bool:
    """Whether the document contains a secret, instead of a reference to the stored one."""
    given = document.connection
    return any(
        nested.has(given, name) and nested.at(given, name) != STORED
        for name in secret_fields(_type(document).parameters)
    )


def settled(document: ClusterDocument) -> ClusterDocument:
    """Return the document without values that are the default for its kind.

    Raises DocumentError for values that its kind does not use.
    """
    type_ = _type(document)
    given = {"host_ca": document.host_ca}
    for at, target in enumerate(document.targets):
        given |= {f"targets[{at}].account": target.account, f"targets[{at}].host_key": target.host_key}
    odd = [path for path, value in given.items() if value is not None]
    if odd and not type_.account:
        why = f"is not used by clusters of kind {document.kind}: remove it"
        raise DocumentError([Problem(path, why) for path in odd])
    if type_.single and len(document.targets) > 1:
        why = f"a cluster of kind {document.kind} has exactly one target: create one cluster for each"
        raise DocumentError([Problem("targets[1]", why)])
    targets = tuple(_settled_target(target, type_) for target in document.targets)
    return document.model_copy(update={"targets": targets})


def _settled_target(target: TargetDocument, type_: ConnectorType) -> TargetDocument:
    port = None if target.port == type_.default_port else target.port
    account = None if target.account == type_.account else target.account
    return target.model_copy(update={"port": port, "account": account})


def read_connection(
    document: ClusterDocument, before: Cluster | None, *, on_server: bool
) -> tuple[dict[str, Any], dict[str, str], dict[str, Any]]:
    """Return a connection's public values, its secrets by path, and its form in documents.

    ``{env: NAME}`` and ``{file: PATH}`` refer to the server on which Stint runs, so they are read only with
    ``on_server``. Otherwise, anyone who edits a cluster on a page could send the server's files to their own
    host. Raises DocumentError.
    """
    parameters = _type(document).parameters
    secrets = secret_fields(parameters)
    document = _read_texts(document, parameters, on_server=on_server)
    stored = {} if before is None or before.kind != document.kind else readable_secrets(before)
    moved = before is None or _moved(document, before, secrets)
    given, problems = dict(document.connection), []
    unused = parameters.unused_secrets(given)
    for name in sorted(secrets):
        said = nested.at(given, name) if nested.has(given, name) else STORED
        if name in unused and said == STORED:
            given = nested.without(given, [name])
        elif nested.has(given, name) or (name in stored and "." not in name):
            try:
                value = secret_of(said, stored.get(name), on_server=on_server, moved=moved)
                given = nested.put(given, name, value)
            except ValueError as error:
                problems.append(Problem(f"connection.{name}", str(error)))
    checked = _validated(parameters, given, problems)
    plain = _plain_secrets(checked, secrets)
    seen = nested.without(checked.model_dump(mode="json", exclude_defaults=True), secrets)
    shown = seen
    for name, value in plain.items():
        shown = nested.put(shown, name, STORED if stored.get(name) == value else "(new)")
    return seen, plain, shown


def _plain_secrets(parameters: ConnectionParameters, names: frozenset[str]) -> dict[str, str]:
    """Return the given secrets by path."""
    found: dict[str, str] = {}
    for name in sorted(names):
        value: Any = parameters
        for part in name.split("."):
            value = None if value is None else getattr(value, part)
        if isinstance(value, SecretStr):
            found[name] = value.get_secret_value()
    return found


def _read_texts(
    document: ClusterDocument, parameters: type[ConnectionParameters], *, on_server: bool
) -> ClusterDocument:
    """Return the document with references to text, such as certificates, replaced by their contents.

    Raises DocumentError.
    """
    given, problems = dict(document.connection), []
    for name in _texts(parameters):
        if isinstance(reference := given.get(name), Mapping):
            try:
                given[name] = secret_of_server(reference, on_server=on_server)
            except ValueError as error:
                problems.append(Problem(f"connection.{name}", str(error)))
    if problems:
        raise DocumentError(problems)
    return document.model_copy(update={"connection": given})


def _texts(parameters: type[ConnectionParameters]) -> frozenset[str]:
    return frozenset(name for name, about in parameters.model_fields.items() if about.annotation is str)


def parameters_of(
    kind: str, connection: Mapping[str, Any], sealed: bytes | memoryview[int], *, cluster_id: int
) -> ConnectionParameters:
    """Return the stored parameters of a cluster, or of a lease of one of its grants. Raises ConnectorError
    and CannotDecrypt.
    """
    try:
        secrets = stored_secrets(sealed, cluster_id=cluster_id)
        return type_of(kind).parameters.model_validate(_with_secrets(connection, secrets))
    except ValidationError as error:
        raise ConnectorError(
            "The stored credentials can't be read. Save the cluster's connection again.", permanent=True
        ) from error


def shown_connection(cluster: Cluster) -> dict[str, Any]:
    """Return the connection as documents show it, with secrets as ``(stored)``."""
    return _with_secrets(cluster.connection, dict.fromkeys(readable_secrets(cluster), STORED))


def _with_secrets(connection: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    found = dict(connection)
    for name, value in secrets.items():
        found = nested.put(found, name, value)
    return found


def readable_secrets(cluster: Cluster) -> dict[str, str]:
    """Return the stored secrets; empty if they can't be decrypted, so that they can be entered again."""
    try:
        return stored_secrets(cluster.sealed_connection, cluster_id=cluster.pk)
    except CannotDecrypt:
        return {}


def stored_secrets(sealed: bytes | memoryview[int], *, cluster_id: int) -> dict[str, str]:
    """Return a cluster's encrypted secrets by name.

    A lease has its own copy, encrypted for the cluster of its grant. Raises CannotDecrypt.
    """
    if not sealed:
        return {}
    found: dict[str, str] = json.loads(unseal(bytes(sealed), place=place_of(Cluster(pk=cluster_id), _FIELD)))
    return found


@functools.lru_cache(maxsize=1024)
def key_digest(sealed: bytes, name: str, *, cluster_id: int) -> bytes:
    """Return the SHA-256 digest of the named key in a cluster's encrypted connection.

    If there is no such key, return a digest that matches no key.
    """
    try:
        key = stored_secrets(sealed, cluster_id=cluster_id).get(name, "")
    except CannotDecrypt as error:
        log.warning("cluster_key.unreadable", name=name, error=str(error))
        key = ""
    return hashlib.sha256(key.encode()).digest() if key else secrets.token_bytes(32)


def sealed_secrets(secrets: Mapping[str, str], cluster: Cluster) -> bytes:
    """Return a cluster's secrets in their stored form, encrypted for its row; empty if there are none."""
    return seal(json.dumps(secrets).encode(), place=place_of(cluster, _FIELD)) if secrets else b""


def _type(document: ClusterDocument) -> ConnectorType:
    found = find(document.kind)
    if found is None:
        known = ", ".join(sorted(types()))
        raise DocumentError([Problem("kind", f"unknown kind {document.kind}: choose one of {known}")])
    return found


def _validated(
    parameters: type[ConnectionParameters], given: Mapping[str, Any], problems: Sequence[Problem]
) -> ConnectionParameters:
    """Return the parameters.

    Raises DocumentError with ``problems``, which are those of the secrets, and with the problems of
    other values.
    """
    known = {problem.path for problem in problems}
    try:
        checked = parameters.model_validate(given)
    except ValidationError as error:
        wrong = spelled(problems_of(error, data=given), parameters, given)
        found = [Problem(f"connection.{one.path}", one.message) for one in wrong]
        raise DocumentError([*(one for one in found if one.path not in known), *problems]) from None
    if problems:
        raise DocumentError([*problems])
    return checked


def _moved(document: ClusterDocument, before: Cluster, secrets: frozenset[str]) -> bool:
    """Whether a stored secret would be sent to an address that has never received it."""
    known = set(before.targets.filter(removed_at__isnull=True).values_list("address", "port"))
    port = _type(document).default_port
    wanted = {(target.address, target.port or port) for target in document.targets}
    fields = _type(document).parameters.model_fields
    plain = {
        name: value
        for name, value in nested.without(document.connection, secrets).items()
        if name not in fields or value != fields[name].default
    }
    return not wanted <= known or plain != before.connection


def aimed_elsewhere(before: ClusterDocument, after: ClusterDocument) -> list[str]:
    """Return, as text, the changes in ``after`` to where a cluster's commands and secrets are sent; empty if
    there are none.

    Removed targets and new secrets for the same address don't count.
    """
    type_ = find(before.kind)
    if type_ is None or after.kind != before.kind:
        return ["kind"] if after.kind != before.kind else []
    secrets, kept = secret_fields(type_.parameters), {target.name: target for target in before.targets}
    was, now = nested.without(before.connection, secrets), nested.without(after.connection, secrets)
    found = [
        f"connection.{name}"
        for name, about in type_.parameters.model_fields.items()
        if name not in secrets and was.get(name, about.default) != now.get(name, about.default)
    ]
    if before.host_ca != after.host_ca:
        found.append("host_ca")
    for target in after.targets:
        found += _aimed_elsewhere(kept.get(target.name), target, type_)
    return found


def _aimed_elsewhere(before: TargetDocument | None, after: TargetDocument, type_: ConnectorType) -> list[str]:
    if before is None:
        return [f"the new target {after.name}"]
    one, other = _settled_target(before, type_), _settled_target(after, type_)
    parts = ("address", "port", "account", "host_key")
    return [f"{part} of {after.name}" for part in parts if getattr(one, part) != getattr(other, part)]


def secret_of(given: Any, stored: str | None, *, on_server: bool, moved: bool) -> str:
    """Return the secret to which a document refers. Raises ValueError with instructions."""
    if given == STORED:
        if stored is None:
            raise ValueError("no secret is stored: enter it")
        if moved and not on_server:
            raise ValueError("the stored secret is not sent to a new address: enter it again")
        return stored
    return secret_of_server(given, on_server=on_server)


def secret_of_server(given: Any, *, on_server: bool) -> str:
    """Return the value that a document gives, either directly or as ``{env: NAME}`` or ``{file: PATH}``.

    The latter two are read only with ``on_server``. Raises ValueError with instructions.
    """
    if isinstance(given, str):
        return given
    if not isinstance(given, Mapping) or len(given) != 1 or not {"env", "file"} & given.keys():
        raise ValueError("must be the value, {env: NAME} or {file: PATH}")
    if not on_server:
        raise ValueError("only `manage.py apply` can read files and variables of the server: enter the value")
    return _from_server(*next(iter(given.items())))


def _from_server(how: str, where: Any) -> str:
    if not isinstance(where, str):
        raise ValueError(f"{{{how}: …}} needs a name")  # noqa: TRY004  # a fault of the document
    if how == "env":
        if where not in os.environ:
            raise ValueError(f"the environment variable {where} is not set: set it for `manage.py apply`")
        return os.environ[where]
    try:
        with Path(where).open(encoding="utf-8") as file:
            return file.read(LONGEST_SECRET).rstrip("\n")
    except (OSError, ValueError) as error:
        raise ValueError(f"{where} can't be read: {error}") from error


def catalog_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each kind of file, by folder, including the connection of each kind of
    cluster.
    """
    found = schemas()
    found["clusters"]["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
            "then": {"properties": {"connection": connection_schema(type_)}},
        }
        for kind, type_ in sorted(types().items())
    ]
    found["workflow-sources"]["allOf"] = [
        {
            "if": {"properties": {"provider": {"const": provider}}, "required": ["provider"]},
            "then": {
                "properties": {
                    "parameters": schema_with_secrets(one.parameters, source_secrets(one.parameters))
                }
            },
        }
        for provider, one in sorted(source_types().items())
    ]
    return found


def connection_schema(type_: ConnectorType) -> dict[str, Any]:
    """Return the JSON Schema of ``connection``. A secret or a string can be given as a reference."""
    return schema_with_secrets(type_.parameters, secret_fields(type_.parameters) | _texts(type_.parameters))


def schema_with_secrets(model: type[BaseModel], secrets: frozenset[str]) -> dict[str, Any]:
    """Return the JSON Schema of parameters in which a secret can be given as a reference."""
    schema = model.model_json_schema()
    named = [
        {
            "type": "object",
            "properties": {how: {"type": "string"}},
            "required": [how],
            "additionalProperties": False,
        }
        for how in ("env", "file")
    ]
    for path in sorted(secrets):
        properties, name = _properties(schema, path)
        about = properties[name]
        properties[name] = {
            **{key: value for key, value in about.items() if key in ("description", "default")},
            "anyOf": [{"type": "string"}, *named],
        }
    return schema


def _properties(schema: Mapping[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """Return the properties of the object that a path leads to, and the path's last name."""
    properties, parts = schema["properties"], path.split(".")
    for part in parts[:-1]:
        about = properties[part]
        named = next(one["$ref"] for one in about.get("anyOf", [about]) if "$ref" in one)
        properties = schema["$defs"][named.rpartition("/")[2]]["properties"]
    return properties, parts[-1]
