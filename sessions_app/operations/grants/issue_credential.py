"""Issue the credential for using a grant on a target. The credential is shown once and stored nowhere."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Sequence
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from accounts.queries import may_give_credentials
from broker.audit.events import Event
from broker.audit.record import record
from broker.audit.standing import check_stands
from broker.kernel.errors import InvalidInput, NotFound, StintError
from sessions_app.connectors.base import ConnectorError, Credential, Issuer
from sessions_app.connectors.http.connector import origin_of
from sessions_app.connectors.kubernetes.kubeconfig import exec_kubeconfig, install_command
from sessions_app.connectors.registry import find
from sessions_app.models import Grant, Lease
from sessions_app.operations.grants.issue_http_token import check_usable, issue_http_token, takes_tokens
from sessions_app.operations.targets.connect import connector_for, lease_of, place_of_target, spec_of
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.queries.gateways.addresses import http_address, mcp_address, postgres_address
from sessions_app.queries.gateways.keys import GATEWAY_CA, gateway_bundle

# The file name that examples use for the certificates that clients of the gateways trust.
AUTHORITY_FILE = "stint-ca.pem"


class TargetDidNotAnswer(StintError):
    """The target did not issue a credential: it can't be reached, or it refused. The message gives the
    reason.
    """

    code = "target_did_not_answer"
    status = 503


def issue_credential(
    *, grant_id: int, actor: Identity, target: str | None, jkt: str = "", now: dt.datetime
) -> Credential:
    """Return a new credential for one target of an active grant.

    The previous credential stops working for new logins, unless it has the same token (`shares_token`).

    The actor must be the holder, or own the machine that is the holder. If ``target`` is None, the grant must
    have only one. ``jkt`` binds an HTTP token to a key of the holder (RFC 9449). The credential is recorded
    before the target is called. Raises NotFound, GrantIsOver, InvalidInput, TargetDidNotAnswer, and
    RuntimeError if called in a transaction.
    """
    grant = _usable(grant_id, actor, now)
    if takes_tokens(grant):
        return _token(grant, actor, target, jkt, now)
    lease = _lease(grant, target)
    # Durable, because within a caller's transaction the entry would not be committed, and the record would
    # stay locked during the call to the target.
    with transaction.atomic(durable=True):
        record(
            event=Event.CREDENTIAL_ISSUED,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=grant.ref,
            now=now,
            data={"target": lease.target.name, "until": grant.expires_at.isoformat()},
        )
    try:
        connector = connector_for(grant.cluster.kind)
        if not isinstance(connector, Issuer):
            raise InvalidInput(f"Access to {grant.cluster} needs no credential.")
        return connector.issue(spec_of(lease, grant), lease_of(lease, grant))
    except ConnectorError as error:
        raise TargetDidNotAnswer(
            error.message, hint="Try again. If the error persists, contact an administrator."
        ) from error


def _usable(grant_id: int, actor: Identity, now: dt.datetime) -> Grant:
    grant = (
        Grant.objects.select_related("cluster", "holder", "command_set_version__command_set")
        .filter(pk=grant_id, holder__is_active=True)
        .first()
    )
    if grant is None or not may_give_credentials(actor, grant.holder):
        raise NotFound("Grant not found.")
    check_usable(grant, now)
    check_stands()
    kind = find(grant.cluster.kind)
    if kind is None or not kind.issues:
        raise InvalidInput(f"Access to {grant.cluster} needs no credential.")
    return grant


def _lease(grant: Grant, target: str | None) -> Lease:
    made = grant.leases.filter(gone_at__isnull=True, made_until__isnull=False).select_related("target")
    found = [lease for lease in made if target in (None, lease.target.name)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted(lease.target.name for lease in made))
    raise InvalidInput(
        f"{grant.ref} does not cover this target." if target else f"{grant.ref} has several targets.",
        hint=f"Choose one of {names}.",
        fields={"target": ["Choose one of the grant's targets."]},
    )


def _token(grant: Grant, actor: Identity, target: str | None, jkt: str, now: dt.datetime) -> Credential:
    """Return one token for all targets. Each request names its target."""
    if grant.cluster.kind == "mcp":
        return _agent_token(grant, actor, jkt, now)
    if grant.cluster.kind == "kubernetes":
        return _kubectl_token(_lease(grant, target), grant, actor, jkt, now)
    if grant.cluster.kind == "postgres":
        return _statements_token(_lease(grant, target), grant, actor, jkt, now)
    origins = _origins(grant)
    _, text = issue_http_token(grant_id=grant.pk, actor=actor, jkt=jkt, now=now)
    fields = {"Token": text, **({"Address": ", ".join(origins)} if origins else {})}
    line = f"curl -H 'Authorization: Bearer {text}' {origins[0]}/" if origins and not jkt else ""
    return Credential(fields=fields, secret=frozenset({"Token"}), command=line, expires_at=grant.expires_at)


def _agent_token(grant: Grant, actor: Identity, jkt: str, now: dt.datetime) -> Credential:
    """Return a token for Stint's own gateway. The MCP server behind the gateway accepts no tokens from
    holders.
    """
    _, text = issue_http_token(grant_id=grant.pk, actor=actor, jkt=jkt, now=now)
    url = mcp_address(grant.cluster)
    entry = {grant.cluster.name: {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {text}"}}}
    line = "" if jkt else json.dumps({"mcpServers": entry})
    fields = {"Token": text, "MCP address": url}
    return Credential(fields=fields, secret=frozenset({"Token"}), command=line, expires_at=grant.expires_at)


def _kubectl_token(lease: Lease, grant: Grant, actor: Identity, jkt: str, now: dt.datetime) -> Credential:
    """Return a token for Stint's own gateway, and a kubeconfig without secrets.

    The cluster itself does not accept the token.
    """
    _, text = issue_http_token(grant_id=grant.pk, actor=actor, jkt=jkt, now=now)
    several = grant.leases.filter(gone_at__isnull=True).count() > 1
    name = lease.target.name if several else grant.cluster.name
    ca = "" if settings.GATEWAY_CERTIFICATE else _authorities(now)
    server = f"{settings.GATEWAY_PUBLIC_URL}/kubernetes/{name}"
    namespaces = [str(one["namespace"]) for one in lease.made.get("rights") or () if one.get("namespace")]
    namespace = next(iter(namespaces), "")
    config = exec_kubeconfig(
        name=grant.cluster.name,
        server=server,
        ca=ca,
        namespace=namespace,
        grant_ref=grant.ref,
        stint_url=settings.PUBLIC_URL,
        target=lease.target.name if several else "",
    )
    fields = {
        "Token": text,
        "Server": server,
        "Certificate authority": ca,
        "Namespace": namespace,
        "Kubeconfig": config,
    }
    return Credential(
        fields={label: value for label, value in fields.items() if value},
        secret=frozenset({"Token"}),
        command=install_command(grant.ref),
        expires_at=grant.expires_at,
    )


def _statements_token(lease: Lease, grant: Grant, actor: Identity, jkt: str, now: dt.datetime) -> Credential:
    """Return a token for Stint's own PostgreSQL gateway, where it is the password of a user named after the
    grant.

    The target itself does not accept the token.
    """
    _, text = issue_http_token(grant_id=grant.pk, actor=actor, jkt=jkt, now=now)
    several = grant.leases.filter(gone_at__isnull=True).count() > 1
    ca = "" if settings.GATEWAY_CERTIFICATE else _authorities(now)
    host, port = postgres_address()
    user = f"{grant.ref}.{lease.target.name}" if several else grant.ref
    database = str(lease.connection.get("database", "postgres"))
    tls = {"sslmode": "verify-full", "sslrootcert": AUTHORITY_FILE if ca else "system"}
    where = {"host": host, "port": str(port), "user": user, "dbname": database, **tls}
    address = f"{host}:{port}/{quote(database, safe='')}?{urlencode(tls)}"
    fields = {
        "Username": user,
        "Password": text,
        "Host": host,
        "Port": str(port),
        "Database": database,
        "URI": f"postgresql://{user}:{text}@{address}",
        f"Authority (save as {AUTHORITY_FILE})": ca,
    }
    return Credential(
        fields={label: value for label, value in fields.items() if value},
        secret=frozenset(("Password", "URI")),
        command=f'psql "{" ".join(f"{name}={_quoted(value)}" for name, value in where.items())}"',
        expires_at=grant.expires_at,
    )


def _quoted(value: str) -> str:
    """Quote a value for a connection string."""
    if value and not re.search(r"[\s'\\]", value):
        return value
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _origins(grant: Grant) -> Sequence[str]:
    """Return the origins of the targets. If the cluster can't be read, return none, so that the token is
    still returned.
    """
    found = []
    targets = list(grant.targets.select_related("cluster").order_by("name"))
    for target in targets:
        try:
            own = http_address(grant.cluster, target.name if len(targets) > 1 else "")
            found.append(own or origin_of(place_of_target(target)))
        except ConnectorError:
            continue
    return list(dict.fromkeys(found))


def _authorities(now: dt.datetime) -> str:
    """Return the certificates that clients of the web gateways trust; empty if no gateway has run yet."""
    ensure_authority(GATEWAY_CA, now=now)
    return gateway_bundle()
