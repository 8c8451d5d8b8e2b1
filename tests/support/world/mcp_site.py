"""An mcp cluster in the catalog, grants on it, their tokens, and clients."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.support.servers.mcp_desk import DESK_TOKEN

COMMAND_SET = """
name: agent-ticket
kind: mcp
summary: Read one ticket, summarize it and close it
risk: medium
parameters:
  ticket: {pattern: "T-[0-9]{1,8}"}
commands:
  - tool: read_ticket
    arguments: {id: "{ticket}"}
    effect: read
  - tool: save_summary
    arguments: {id: "{ticket}", text: {pattern: ".{1,500}"}}
    effect: change
  - tool: close_ticket
    arguments: {id: "{ticket}"}
    effect: change
    hold: true
  - tool: watch_ticket
    arguments: {id: "{ticket}"}
    effect: read
  - tool: fail_ticket
    arguments: {id: "{ticket}"}
    effect: read
  - deny: "export_*"
examples:
  allow: ['read_ticket {"id": "T-42"}']
  refuse: ['export_attachments {"id": "T-42"}']
accept:
  effect commands[2].effect: it can be opened again
"""

# A set whose calls depend on earlier results.
MAIL_SET = """
name: desk-mail
kind: mcp
summary: Answer the customer of a ticket
risk: medium
commands:
  - tool: look_up
    arguments: {id: {name: 9}}
    effect: read
  - tool: read_ticket
    arguments: {id: {name: 9}}
    effect: read
    untrusted: true
  - tool: send_mail
    arguments:
      to: {from: result, fields: [look_up.requester.email], hold_others: {pattern: "[a-z]+@[a-z]+"}}
      text: {pattern: "[a-z ]{0,40}"}
    effect: change
  - tool: save_summary
    arguments:
      id: {from: result, fields: [look_up.id]}
      text: {pattern: "[a-z ]{0,40}"}
    effect: change
    after_untrusted: refuse
examples:
  allow: ['look_up {"id": "T-42"}']
  refuse: ['send_mail {"to": "eve@shop"}']
"""


# A set with resources and prompts.
NOTES_SET = """
name: desk-notes
kind: mcp
summary: Read the notes of a ticket and the newest mail
risk: medium
parameters:
  ticket: {pattern: "T-[0-9]{1,8}"}
commands:
  - {resource: "ticket://{ticket}/*"}
  - {resource: "mail://inbox/latest", untrusted: true}
  - {resource: "ticket://{ticket}/text/secret", hold: true}
  - prompt: summarize
    arguments: {id: "{ticket}", tone: {choice: [plain, formal]}}
    optional: [tone]
  - tool: send_mail
    arguments: {to: {from: result, fields: ["resource:read.requester.email"]}, text: {choice: [hello]}}
    effect: change
examples:
  allow: ['resource:read {"uri": "ticket://T-42/text"}', 'prompt:summarize {"id": "T-42"}']
  refuse: ['resource:read {"uri": "ticket://T-42/a/b"}']
"""


def notes_files() -> dict[str, str]:
    """Return the files that add the set `desk-notes`."""
    policy = files(0)["policies/desk-work.yaml"].replace("[agent-ticket]", "[agent-ticket, desk-notes]")
    return {"command-sets/desk-notes.yaml": NOTES_SET, "policies/desk-work.yaml": policy}


def mail_files() -> dict[str, str]:
    """Return the files that add the set `desk-mail`. Its grants can be delegated to the deployer."""
    policy = files(0)["policies/desk-work.yaml"].replace("[agent-ticket]", "[agent-ticket, desk-mail]")
    policy += "delegation: {depth: 2, to: {identities: [deployer]}}\n"
    return {"command-sets/desk-mail.yaml": MAIL_SET, "policies/desk-work.yaml": policy}


def files(port: int) -> dict[str, str]:
    """Return the files of a cluster whose server listens there."""
    return {
        "clusters/desk.yaml": f"""
name: desk
kind: mcp
summary: The support desk
environment: production
risk: medium
connection: {{token: {DESK_TOKEN}, tls: false}}
targets:
  - {{name: desk, address: 127.0.0.1, port: {port}}}
""",
        "command-sets/agent-ticket.yaml": COMMAND_SET.replace(
            "\naccept:\n  effect commands[2].effect: it can be opened again", ""
        ),
        "policies/desk-work.yaml": """
name: desk-work
summary: Work on tickets
clusters: [desk]
command_sets: [agent-ticket]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [approvers]}
max_duration: 4h
deviations: {limit: 20, people: hold}
""",
    }


def add_desk(world: Any, port: int, more: dict[str, str] | None = None) -> None:
    """Add the cluster to the catalog of a world."""
    world.catalog.update({**files(port), **(more or {})})
    world.apply()


def grant_on_desk(world: Any, *, ticket: str = "T-42", **changes: Any) -> Any:
    """Return an active grant for one ticket, held by the robot or ``who``, with its tools pinned."""
    from sessions_app.operations.grants.prepare_grant import prepare_grant

    now = changes.pop("now", None) or world.now
    asked = {
        "cluster": "desk",
        "command_set": "agent-ticket",
        "parameters": {"ticket": ticket},
        "who": world.robot,
    }
    grant = world.grant(now=now, **{**asked, **changes})
    return prepare_grant(grant_id=grant.pk, now=lambda: now)


def grant_unseen(world: Any, *, pins: dict[str, str] | None = None, **changes: Any) -> Any:
    """Return an active grant whose server was never queried, with these digests as its tools' pins."""
    asked = {
        "cluster": "desk",
        "command_set": "agent-ticket",
        "parameters": {"ticket": "T-42"},
        "who": world.robot,
    }
    return pinned(world.grant(**{**asked, **changes}), world, pins)


def pinned(grant: Any, world: Any, pins: dict[str, str] | None = None) -> Any:
    """Activate a grant without querying its server."""
    from django.db import transaction

    from sessions_app.models import Lease
    from sessions_app.operations.grants.provision_grant import activate

    Lease.objects.filter(grant=grant).update(
        made={"tools": pins or {"read_ticket": "0" * 64}}, made_until=grant.expires_at
    )
    with transaction.atomic():
        activate(grant, world.now)
    return grant


def token_of(grant: Any, world: Any, *, now: Any = None, **of_its_own: Any) -> str:
    """Return the text of a new token; the previous one is no longer valid."""
    from sessions_app.operations.grants.issue_http_token import issue_http_token

    return issue_http_token(grant_id=grant.pk, actor=world.alice, now=now or world.now, **of_its_own)[1]


@dataclass
class Said:
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Raw:
    """A client that sends anything that a test needs, valid or not."""

    url: str
    token: str = ""

    def send(self, body: Any, *, method: str = "POST", timeout: float = 30, **headers: str | None) -> Said:
        given = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url, data=data, method=method, headers={k: v for k, v in given.items() if v is not None}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return Said(answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read())
        except urllib.error.HTTPError as error:
            return Said(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())

    def modern(self, method: str, params: dict[str, Any] | None = None, **headers: Any) -> Said:
        """Send a valid request of 2026-07-28, except for the given headers."""
        params = params or {}
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": {"_meta": meta, **params}}
        routed = {"MCP_Protocol_Version": "2026-07-28", "Mcp_Method": method}
        if isinstance(params.get("name"), str):
            routed["Mcp_Name"] = params["name"]
        return self.send(body, **{**routed, **headers})

    def call(self, name: str, arguments: Any = None, **headers: Any) -> Said:
        return self.modern("tools/call", {"name": name, "arguments": arguments or {}}, **headers)
