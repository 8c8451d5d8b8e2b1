"""An http cluster in the catalog, grants on it, and their tokens."""

import hashlib
from dataclasses import replace

PROXY_KEY = "spk-of-the-tests-0123456789abcdefghij"

FILES = {
    "clusters/tickets.yaml": f"""
name: tickets
kind: http
summary: The ticket API
environment: production
risk: medium
connection: {{proxy: nginx, proxy_key: {PROXY_KEY}, tls: false, host: api.example.com}}
targets:
  - {{name: tickets-api, address: 127.0.0.1, port: 8080}}
""",
    "command-sets/close-ticket.yaml": """
name: close-ticket
kind: http
summary: Read one ticket and close it
risk: medium
parameters:
  ticket: {pattern: "T-[0-9]{1,8}"}
commands:
  - request: GET /tickets/{ticket}
    effect: read
  - request: GET /tickets/{ticket}/comments
    query: {page: {int: [1, 100]}}
    optional: [page]
    effect: read
  - request: POST /tickets/{ticket}/reopen
    effect: change
  - request: POST /tickets/{ticket}/close
    body: {note: {pattern: ".{0,200}"}}
    effect: change
  - request: GET /docs{page}
    where: {page: {path: /public}}
    effect: read
  - request: GET /people/{person}
    where: {person: {pattern: "[^/~]{1,40}"}}
    effect: read
  - request: GET /tickets/{ticket}/events
    effect: read
    stream: true
  - deny: GET /people/root
  - deny: DELETE /tickets/{ticket}
examples:
  allow: ["GET /tickets/T-42"]
  refuse: ["DELETE /tickets/T-42", "GET /tickets"]
accept:
  free_body commands[2].body: the endpoint takes no body
  stream commands[6].stream: who works on a ticket follows it
""",
    "policies/ticket-work.yaml": """
name: ticket-work
summary: Work on tickets
clusters: [tickets]
command_sets: [close-ticket]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [approvers]}
max_duration: 4h
""",
}


def add_site(world, files=None):
    """Add the cluster to the catalog of a world."""
    world.catalog.update({**FILES, **(files or {})})
    world.apply()


def add_second_target(world, ports=(8080, 8081)):
    """Give the cluster two targets, ``tickets-api`` and ``tickets-eu``, at these ports."""
    first = "  - {name: tickets-api, address: 127.0.0.1, port: 8080}\n"
    both = "".join(
        f"  - {{name: {name}, address: 127.0.0.1, port: {port}}}\n"
        for name, port in zip(("tickets-api", "tickets-eu"), ports, strict=True)
    )
    add_site(world, {"clusters/tickets.yaml": FILES["clusters/tickets.yaml"].replace(first, both)})


def grant_on_site(world, *, who=None, ticket="T-42", **changes):
    """Return an active grant for one ticket, held by alice or ``who``."""
    return world.grant(
        **{
            "cluster": "tickets",
            "command_set": "close-ticket",
            "parameters": {"ticket": ticket},
            **({"who": who} if who else {}),
            **changes,
        },
    )


def token_of(grant, world, *, jkt="", actor=None):
    """Return the text of a new token."""
    from sessions_app.operations.grants.issue_http_token import issue_http_token

    return issue_http_token(grant_id=grant.pk, actor=actor or world.alice, jkt=jkt, now=world.now)[1]


def evaluation(token, request="GET /tickets/T-42", **properties):
    """Return an AuthZEN evaluation of a request; ``properties`` are those of its action."""
    method, _, uri = request.partition(" ")
    action = {"name": method, "properties": properties} if properties else {"name": method}
    return {
        "subject": {"type": "grant_token", "id": token},
        "action": action,
        "resource": {"type": "http_request", "id": uri, "properties": {"target": "tickets-api"}},
    }


def used(world):
    """Return alice's grant on it in use: the proxy's values, with the session open."""
    from sessions_app.operations.sessions.open_request_session import open_request_session

    add_site(world)
    found = use_of(token_of(grant_on_site(world), world))
    return replace(found, session_id=open_request_session(use=found, client_address="", now=world.now))


def use_of(token, target="tickets-api"):
    """Return the use that the token permits at a target through the cluster's proxy now; None for none."""
    from sessions_app.operations.sessions.authorize_use import authorize_use, only
    from sessions_app.operations.sessions.proofs.proxy import ByProxy

    digest, key = hashlib.sha256(token.encode()).hexdigest(), hashlib.sha256(PROXY_KEY.encode()).digest()
    return only(authorize_use(by=ByProxy(digest, key, target)))
