"""Convert workflow sources between their documents, stored rows and adapters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr, ValidationError

from broker.kernel.crypto import CannotDecrypt, place_of, seal, unseal
from broker.kernel.errors import Unavailable
from sessions_app.models import WorkflowSource
from sessions_app.operations.targets.cluster_connection import STORED, secret_of
from sessions_app.policy.catalog import SourceDocument
from sessions_app.policy.documents import DocumentError, Problem, problems_of, spelled
from sessions_app.workflows.base import Adapter, AdapterType, secret_fields
from sessions_app.workflows.registry import find, types

# Rejects an empty secret, such as that of an unset variable, because anyone could sign with it.
SHORTEST_SECRET = 8


class SourceUnreadable(Unavailable):
    """The workflow source can't be reached, or sent no usable response.

    The message gives the reason. Try again in a moment.
    """

    code = "source_unreadable"


@dataclass(frozen=True, slots=True)
class Secrets:
    """The encrypted part of a source: its secret parameters by name, and the secrets that verify its
    webhooks.
    """

    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    webhook: tuple[str, ...] = field(default=(), repr=False)


def secrets_of(source: WorkflowSource) -> Secrets:
    """Return a source's secrets. Raises CannotDecrypt."""
    if not source.sealed:
        return Secrets()
    found = json.loads(unseal(bytes(source.sealed), place=place_of(source, "sealed")))
    return Secrets(found["parameters"], tuple(found["webhook"]))


def sealed(secrets: Secrets, source: WorkflowSource) -> bytes:
    """Return a source's secrets in their stored form, encrypted for its row only."""
    text = json.dumps({"parameters": dict(secrets.parameters), "webhook": secrets.webhook})
    return seal(text.encode(), place=place_of(source, "sealed"))


def adapter_of(source: WorkflowSource) -> Adapter:
    """Return the adapter for a source. Raises SourceUnreadable."""
    type_ = find(source.provider)
    if type_ is None:
        raise SourceUnreadable(
            f"No adapter for {source.provider} is installed.",
            hint="Install the adapter, or remove the source.",
        )
    try:
        secrets = secrets_of(source).parameters
        return type_.make(
            type_.parameters.model_validate({**source.document.get("parameters", {}), **secrets})
        )
    except (CannotDecrypt, ValidationError) as error:
        raise SourceUnreadable(
            f"The stored parameters of {source.name} can't be read.",
            hint="An administrator must save the source again.",
        ) from error


def kind_of(source: WorkflowSource, said: str) -> str:
    """Return the kind of a source's workflow: the one that the source reports, or else its provider's
    default.
    """
    type_ = find(source.provider)
    return said or (type_.kind if type_ else "ticket")


def read_secrets(
    document: SourceDocument, before: WorkflowSource | None, *, on_server: bool
) -> tuple[dict[str, Any], Secrets]:
    """Return the visible part of a source's document, and its secrets.

    ``{env: NAME}`` and ``{file: PATH}`` are read only with ``on_server``. ``(stored)`` means the stored
    secret, which is never sent to an address that has not received it before. Raises DocumentError.
    """
    parameters = _type(document).parameters
    names = secret_fields(parameters)
    stored = readable_secrets(before) if before and before.provider == document.provider else Secrets()
    given, problems = dict(document.parameters), []
    plain = {name: value for name, value in given.items() if name not in names}
    moved = before is None or plain != before.document.get("parameters", {})
    secret: dict[str, str] = {}
    for name in sorted(names & (given.keys() | stored.parameters.keys())):
        try:
            secret[name] = secret_of(
                given.get(name, STORED), stored.parameters.get(name), on_server=on_server, moved=moved
            )
        except ValueError as error:
            problems.append(Problem(f"parameters.{name}", str(error)))
    webhook = _webhook(document, stored, problems, on_server=on_server)
    if problems:
        raise DocumentError(problems)
    try:
        checked = parameters.model_validate({**plain, **secret})
    except ValidationError as error:
        found = spelled(problems_of(error, data=given), parameters, given)
        raise DocumentError([Problem(f"parameters.{one.path}", one.message) for one in found]) from None
    seen = document.model_dump(mode="json", exclude={"parameters", "webhook_secrets"}, exclude_defaults=True)
    seen["parameters"] = checked.model_dump(mode="json", exclude=set(names), exclude_defaults=True)
    kept = {name: _text(getattr(checked, name)) for name in names if getattr(checked, name) is not None}
    return seen, Secrets(kept, tuple(webhook))


def _webhook(
    document: SourceDocument, stored: Secrets, problems: list[Problem], *, on_server: bool
) -> list[str]:
    """Return the secrets that verify webhooks: those in the document, or else the stored ones."""
    if document.webhook_secrets is None:
        return list(stored.webhook)
    found = []
    for at, given in enumerate(document.webhook_secrets):
        kept = stored.webhook[at] if at < len(stored.webhook) else None
        try:
            secret = secret_of(given, kept, on_server=on_server, moved=False)
            if len(secret.strip()) < SHORTEST_SECRET:
                raise ValueError(f"is too short: use at least {SHORTEST_SECRET} characters")
            found.append(secret)
        except ValueError as error:
            problems.append(Problem(f"webhook_secrets[{at}]", str(error)))
    return found


def shown_document(source: WorkflowSource) -> dict[str, Any]:
    """Return a stored source in the form of its document, with ``(stored)`` for each secret."""
    secrets = readable_secrets(source)
    parameters = {**source.document.get("parameters", {}), **dict.fromkeys(secrets.parameters, STORED)}
    shown = {**source.document, "parameters": parameters}
    if secrets.webhook:
        shown["webhook_secrets"] = [STORED] * len(secrets.webhook)
    return {name: value for name, value in shown.items() if value}


def readable_secrets(source: WorkflowSource) -> Secrets:
    """Return the stored secrets; empty if they can't be decrypted, so that they can be entered again."""
    try:
        return secrets_of(source)
    except CannotDecrypt:
        return Secrets()


def _type(document: SourceDocument) -> AdapterType:
    found = find(document.provider)
    if found is None:
        known = ", ".join(sorted(types()))
        raise DocumentError(
            [Problem("provider", f"unknown provider {document.provider}: choose one of {known}")]
        )
    return found


def _text(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
