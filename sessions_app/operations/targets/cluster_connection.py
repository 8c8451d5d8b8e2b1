"""How Stint logs in to the targets of a cluster, between what a document says and what is stored."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from broker.kernel.crypto import CannotDecrypt, seal, unseal
from sessions_app.connectors.base import ConnectionParameters, ConnectorError, secret_fields
from sessions_app.connectors.registry import ConnectorType, find, type_of, types
from sessions_app.models import Cluster
from sessions_app.policy.catalogue import ClusterDocument, TargetDocument, schemas
from sessions_app.policy.documents import DocumentError, Problem, problems_of
from sessions_app.workflows.base import secret_fields as source_secrets
from sessions_app.workflows.registry import types as source_types

PURPOSE = "cluster connection"
# Stands in documents where a secret is stored; sent back, it means the stored one.
STORED = "(stored)"
LONGEST_SECRET = 64 * 1024


def settled(document: ClusterDocument) -> ClusterDocument:
    """Return the document with what its kind says anyway left out. Raises DocumentError for what its kind does not know."""
    type_ = _type(document)
    given = {"host_ca": document.host_ca}
    for at, target in enumerate(document.targets):
        given |= {f"targets[{at}].account": target.account, f"targets[{at}].host_key": target.host_key}
    odd = [path for path, value in given.items() if value is not None]
    if odd and not type_.account:
        why = f"is not used by clusters of kind {document.kind}: remove it"
        raise DocumentError([Problem(path, why) for path in odd])
    if type_.single and len(document.targets) > 1:
        why = f"a cluster of kind {document.kind} has exactly one target: create a cluster for each"
        raise DocumentError([Problem("targets[1]", why)])
    targets = tuple(_settled_target(target, type_) for target in document.targets)
    return document.model_copy(update={"targets": targets})


def _settled_target(target: TargetDocument, type_: ConnectorType) -> TargetDocument:
    port = None if target.port == type_.default_port else target.port
    account = None if target.account == type_.account else target.account
    return target.model_copy(update={"port": port, "account": account})


def read_connection(
    document: ClusterDocument, before: Cluster | None, *, on_server: bool
) -> tuple[dict[str, Any], bytes, dict[str, Any]]:
    """Return what may be seen of a connection, its secrets sealed, and how it is shown in documents.

    ``{env: NAME}`` and ``{file: PATH}`` stand for secrets of the server that Stint runs on, so they are read ``on_server``
    alone: whoever writes a cluster on a page may not send the server's files to a host of their own. Raises DocumentError.
    """
    parameters = _type(document).parameters
    secrets = secret_fields(parameters)
    stored = {} if before is None or before.kind != document.kind else _readable_secrets(before)
    moved = before is None or _moved(document, before, secrets)
    given, problems = dict(document.connection), []
    for name in secrets & (given.keys() | stored.keys()):
        try:
            given[name] = secret_of(
                given.get(name, STORED), stored.get(name), on_server=on_server, moved=moved
            )
        except ValueError as error:
            problems.append(Problem(f"connection.{name}", str(error)))
    if problems:
        raise DocumentError(problems)
    checked = _validated(parameters, given)
    seen = checked.model_dump(mode="json", exclude=set(secrets), exclude_defaults=True)
    plain = {name: _text(getattr(checked, name)) for name in secrets if getattr(checked, name) is not None}
    shown = {
        **seen,
        **{name: STORED if stored.get(name) == value else "(new)" for name, value in plain.items()},
    }
    unchanged = before is not None and plain == stored
    return seen, bytes(before.sealed_connection) if unchanged and before else _sealed(plain), shown


def parameters_of(
    kind: str, connection: Mapping[str, Any], sealed: bytes | memoryview[int]
) -> ConnectionParameters:
    """Return the parameters that are stored of a cluster or a lease. Raises ConnectorError and CannotDecrypt."""
    try:
        return type_of(kind).parameters.model_validate({**connection, **stored_secrets(sealed)})
    except ValidationError as error:
        raise ConnectorError(
            "The stored credentials can't be read. Save the cluster's connection again.", permanent=True
        ) from error


def shown_connection(cluster: Cluster) -> dict[str, Any]:
    """Return the connection as a document says it: secrets as ``(stored)``."""
    return {**cluster.connection, **dict.fromkeys(_readable_secrets(cluster), STORED)}


def _readable_secrets(cluster: Cluster) -> dict[str, str]:
    """Return the stored secrets; none where they were sealed under another key, so that they can be given again."""
    try:
        return stored_secrets(cluster.sealed_connection)
    except CannotDecrypt:
        return {}


def stored_secrets(sealed: bytes | memoryview[int]) -> dict[str, str]:
    """Return sealed secrets by name. Raises CannotDecrypt."""
    if not sealed:
        return {}
    found: dict[str, str] = json.loads(unseal(bytes(sealed), purpose=PURPOSE))
    return found


def _sealed(secrets: Mapping[str, str]) -> bytes:
    return seal(json.dumps(secrets).encode(), purpose=PURPOSE) if secrets else b""


def _type(document: ClusterDocument) -> ConnectorType:
    found = find(document.kind)
    if found is None:
        known = ", ".join(sorted(types()))
        raise DocumentError([Problem("kind", f"unknown kind {document.kind}: choose one of {known}")])
    return found


def _validated(parameters: type[ConnectionParameters], given: Mapping[str, Any]) -> ConnectionParameters:
    try:
        return parameters.model_validate(given)
    except ValidationError as error:
        found = problems_of(error, data=given)
        raise DocumentError([Problem(f"connection.{one.path}", one.message) for one in found]) from None


def _moved(document: ClusterDocument, before: Cluster, secrets: frozenset[str]) -> bool:
    """Whether a stored secret would go where it has not gone before."""
    known = set(before.targets.filter(removed_at__isnull=True).values_list("address", "port"))
    port = _type(document).default_port
    wanted = {(target.address, target.port or port) for target in document.targets}
    plain = {name: value for name, value in document.connection.items() if name not in secrets}
    return not wanted <= known or plain != before.connection


def aimed_elsewhere(before: ClusterDocument, after: ClusterDocument) -> list[str]:
    """Return what ``after`` says otherwise about where a cluster's commands and secrets go, in words; empty for nothing.

    A target that is taken out aims at nothing, and a new secret for the same place opens what the old one did.
    """
    type_ = find(before.kind)
    if type_ is None or after.kind != before.kind:
        return ["kind"] if after.kind != before.kind else []
    secrets, kept = secret_fields(type_.parameters), {target.name: target for target in before.targets}
    found = [
        f"connection.{name}"
        for name, about in type_.parameters.model_fields.items()
        if name not in secrets
        and before.connection.get(name, about.default) != after.connection.get(name, about.default)
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
    """Return the secret that a document means. Raises ValueError with what to do."""
    if given == STORED:
        if stored is None:
            raise ValueError("no secret is stored: enter it")
        if moved and not on_server:
            raise ValueError("the stored secret is not sent to a new address: enter it again")
        return stored
    return secret_of_server(given, on_server=on_server)


def secret_of_server(given: Any, *, on_server: bool) -> str:
    """Return the secret that a document gives: itself, or by ``{env: NAME}`` or ``{file: PATH}``, which are read
    ``on_server`` alone. Raises ValueError with what to do.
    """
    if isinstance(given, str):
        return given
    if not isinstance(given, Mapping) or len(given) != 1 or not {"env", "file"} & given.keys():
        raise ValueError("must be the secret, {env: NAME} or {file: PATH}")
    if not on_server:
        raise ValueError("only `manage.py apply` can read secrets from the server: enter the secret")
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


def _text(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def catalogue_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each kind of file, by folder, with the connection of each kind of cluster."""
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
    """Return the JSON Schema of what stands under ``connection``; a secret may be named instead of written."""
    return schema_with_secrets(type_.parameters, secret_fields(type_.parameters))


def schema_with_secrets(model: type[BaseModel], secrets: frozenset[str]) -> dict[str, Any]:
    """Return the JSON Schema of parameters in which a secret may be named instead of written."""
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
    for name in secrets:
        about = schema["properties"][name]
        schema["properties"][name] = {
            "description": about.get("description", ""),
            "anyOf": [{"type": "string"}, *named],
        }
    return schema
