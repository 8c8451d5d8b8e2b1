"""The tools of Stint's own MCP server: request access, look it up, and end it. No tool approves or decides.

The tools run the same operations and queries as the API, so an agent can do nothing here that it can't do
there. No tool returns a credential, because a model reads the results of tools.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from accounts.models import APIToken, Identity, Scope
from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.connectors.mcp.wire import Message
from sessions_app.models import AccessRequest, Grant
from sessions_app.operations.grants.stop_grant import stop_grant
from sessions_app.operations.requests.check_request import NewRequest
from sessions_app.operations.requests.request_access import request_access
from sessions_app.operations.sessions.open_session import RESUMABLE
from sessions_app.policy import references
from sessions_app.policy.commands.kinds import describe
from sessions_app.queries.catalog.command_sets import compiled
from sessions_app.queries.gateways.addresses import mcp_address
from sessions_app.queries.grants.budgets import plain_budgets
from sessions_app.queries.grants.suspensions import suspension_of
from sessions_app.queries.requests.offers import offers

MOST = 50
_Text = Annotated[StrictStr, Field(max_length=2000)]
_Name = Annotated[StrictStr, Field(max_length=100)]


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ask(_Arguments):
    """The arguments of request_access."""

    cluster: _Name = Field(description="Cluster name, from what_may_i_do")
    command_set: _Name = Field(description="Command set name")
    duration: StrictInt = Field(ge=60, le=2_592_000, description="Duration in seconds")
    reason: _Text = Field(default="", description="Reason, for the approvers")
    parameters: dict[_Name, Annotated[StrictStr, Field(max_length=4096)]] = Field(
        default={}, max_length=50, description="Values of the command set's parameters"
    )
    targets: tuple[_Name, ...] | None = Field(default=None, description="Target names. Default: all targets")
    policy: _Name | None = Field(default=None, description="Policy name, if several apply")
    workflow: Annotated[StrictStr, Field(max_length=300)] | None = Field(
        default=None, description="Reference of the workflow, such as INC-12 or TKT-7"
    )
    ticket: Annotated[StrictStr, Field(max_length=200)] = Field(default="", description="Ticket number")


class OneRequest(_Arguments):
    """The arguments of request_status."""

    request: Annotated[StrictStr, Field(pattern=f"^{references.REQUEST}$")] = Field(
        description="Request reference, such as REQ-1042"
    )


class Wanted(_Arguments):
    """The arguments of what_may_i_do."""

    cluster: _Name | None = Field(default=None, description="Only this cluster")
    line: Annotated[StrictStr, Field(max_length=16_384)] | None = Field(
        default=None,
        description=(
            "Only access that would allow this command, such as systemctl restart nginx, or read_ticket "
            '{"id":'
            ' "T-7"}'
        ),
    )


class Nothing(_Arguments):
    """No arguments."""


class OneGrant(_Arguments):
    """The arguments of end_my_grant."""

    grant: Annotated[StrictStr, Field(pattern=f"^{references.GRANT}$")] = Field(
        description="Grant reference, such as GR-7F3K"
    )
    note: _Text = Field(default="", description="Reason for the end, for the record")


Did = tuple[str, dict[str, Any]]


def _ask(who: Identity, asked: Ask, now: dt.datetime) -> Did:
    request = request_access(
        requester=who,
        now=now,
        ask=NewRequest(**dict(asked)),
    )
    return _status(who, OneRequest(request=request.ref), now)


def _status(who: Identity, asked: OneRequest, _now: dt.datetime) -> Did:
    found = AccessRequest.objects.visible_to(who).select_related(
        "cluster", "command_set_version__command_set", "grant", "policy"
    )
    request = found.filter(number=references.request_number(asked.request)).first()
    if request is None:
        raise NotFound("Request not found.")
    grant = getattr(request, "grant", None)
    told = {
        "request": request.ref,
        "state": str(request.state),
        "cluster": request.cluster.name,
        "command_set": request.command_set_version.command_set.name,
        "policy": request.policy.name,
        "lapses_at": request.lapses_at.isoformat(),
        "grant": grant.ref if grant else None,
        "url": f"{settings.PUBLIC_URL}/requests/{request.ref}/",
    }
    text = f"{request.ref} is {request.state}" + (
        f"; its grant is {grant.ref} ({grant.state})." if grant else "."
    )
    return text, told


def _offers(who: Identity, asked: Wanted, _now: dt.datetime) -> Did:
    found = offers(identity=who, cluster=asked.cluster, line=asked.line)[:MOST]
    told = [
        {
            "cluster": one.cluster,
            "kind": one.kind,
            "targets": list(one.targets),
            "command_set": one.command_set,
            "summary": one.summary,
            "policy": one.policy,
            "approvals": one.approvals,
            "longest": one.longest,
            "reason_required": one.reason_required,
            "parameters": dict(one.parameters),
            "missing": [asdict(parameter) for parameter in one.missing],
        }
        for one in found
    ]
    lines = (
        f"{one.command_set} on {one.cluster}: {one.summary} (approvals: {one.approvals}, at most"
        f" {one.longest} s)"
        for one in found
    )
    return "\n".join(lines) or "You can't request any access.", {"may_ask_for": told}


def _grants(who: Identity, _asked: Nothing, now: dt.datetime) -> Did:
    own = Grant.objects.visible_to(who).filter(holder=who).not_ended()
    found = own.select_related("cluster", "command_set_version__command_set", "workflow").order_by("-pk")[
        :MOST
    ]
    told = [_grant(grant, now) for grant in found]
    lines = (
        one.get("suspended")
        or f"{one['grant']} on {one['cluster']}, {one['state']} until {one['expires_at']}"
        for one in told
    )
    return "\n".join(lines) or "You hold no grants.", {"grants": told}


def _grant(grant: Grant, now: dt.datetime) -> dict[str, Any]:
    views = describe(compiled(grant.command_set_version, grant.parameters, grant.commands))
    suspension = suspension_of(grant)
    told = {
        "grant": grant.ref,
        "state": str(grant.state),
        "cluster": grant.cluster.name,
        "command_set": grant.command_set_version.command_set.name,
        "expires_at": grant.expires_at.isoformat(),
        "held": bool(suspension),
        **({"suspended": f"{grant.ref} {suspension}. {RESUMABLE}"} if suspension else {}),
        "workflow": grant.workflow.ref if grant.workflow else None,
        "allows": [view.text for view in views if not view.denies],
        "budgets": plain_budgets(grant, now),
    }
    address = mcp_address(grant.cluster)
    return {**told, "mcp_url": address} if address else told


def _end(who: Identity, asked: OneGrant, now: dt.datetime) -> Did:
    # To end other people's grants, use the pages or the API.
    grant = Grant.objects.visible_to(who).filter(holder=who, ref=asked.grant).first()
    if grant is None:
        raise NotFound("Grant not found.")
    ended = stop_grant(grant_id=grant.pk, actor=who, now=now, note=asked.note)
    return f"{ended.ref} is {ended.state}: it can no longer be used.", {
        "grant": ended.ref,
        "state": str(ended.state),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool: its description for the model, the scope that a token needs, and the function that
    runs it.
    """

    name: str
    says: str
    scope: Scope
    takes: type[_Arguments]
    does: Callable[[Identity, Any, dt.datetime], Did]
    reads: bool

    @property
    def described(self) -> Message:
        """The tool in the form that the protocol lists."""
        schema = self.takes.model_json_schema()
        schema.pop("description", None)
        hints = {"readOnlyHint": self.reads, "destructiveHint": False, "openWorldHint": False}
        return {"name": self.name, "description": self.says, "inputSchema": schema, "annotations": hints}


TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            name="end_my_grant",
            scope=Scope.END,
            takes=OneGrant,
            does=_end,
            reads=False,
            says="End one of your grants as soon as you no longer need it.",
        ),
        Tool(
            name="my_grants",
            scope=Scope.READ,
            takes=Nothing,
            does=_grants,
            reads=True,
            says="List your grants, what they allow and when they end.",
        ),
        Tool(
            name="request_access",
            scope=Scope.REQUEST,
            takes=Ask,
            does=_ask,
            reads=False,
            says=(
                "Request one command set on one cluster for a limited time. People decide; poll"
                " request_status."
            ),
        ),
        Tool(
            name="request_status",
            scope=Scope.READ,
            takes=OneRequest,
            does=_status,
            reads=True,
            says="Get the status of a request, and its grant.",
        ),
        Tool(
            name="what_may_i_do",
            scope=Scope.READ,
            takes=Wanted,
            does=_offers,
            reads=True,
            says="List the access you can request, or what would allow one command.",
        ),
    )
}


def use_tool(*, tool: Tool, token: APIToken, arguments: Any, now: dt.datetime) -> Did:
    """Run a tool as a token's identity. Raises StintError."""
    try:
        asked = tool.takes.model_validate(arguments)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        what = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'arguments'}: {one['msg']}" for one in found[:5]
        )
        raise InvalidInput(f"Invalid arguments for {tool.name}: {what}.") from error
    return tool.does(token.identity, asked, now)
