"""The demo's people, clusters, command sets and policies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PEOPLE = {
    "priya": ("Priya Nair", ("operators", "on-call")),
    "mara": ("Mara Lindqvist", ("security",)),
    "jonas": ("Jonas Berg", ("service-owners",)),
}
AGENT = "scribe"
CLUSTERS = {
    "web-eu": ("Shop and checkout, Europe", "production", "medium", ("web-1", "web-2")),
    "web-us": ("Shop and checkout, next release", "staging", "low", ("web-3", "web-4")),
}

COMMAND_SET = """\
name: restart-web
kind: ssh
summary: Restart one web service and read its log
risk: medium
parameters:
  unit: {choice: [nginx, haproxy]}
commands:
  - run: systemctl restart {unit}
    as: root
    effect: change
  - run: systemctl --no-pager status {unit}
    effect: read
  - run: journalctl --no-pager -u {unit}
    as: root
    effect: read
  - run: journalctl --no-pager -f -u {unit}
    as: root
    effect: read
examples:
  allow: ["systemctl restart nginx"]
  refuse: ["systemctl restart nginx; id", "systemctl restart sshd", "systemctl stop nginx"]
"""

LOOK = """\
name: look-at-web
kind: ssh
summary: Check the status of the web services
risk: low
commands:
  - run: systemctl --no-pager status {unit}
    where: {unit: {choice: [nginx, haproxy]}}
    effect: read
  - run: journalctl --no-pager -u {unit}
    as: root
    where: {unit: {choice: [nginx, haproxy]}}
    effect: read
examples:
  allow: ["journalctl --no-pager -u haproxy"]
  refuse: ["systemctl restart nginx"]
"""

PRODUCTION = """\
name: production-change
summary: Planned work on production web servers
clusters: [web-eu]
command_sets: [restart-web]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [service-owners]}
  - {count: 1, from: [security]}
max_duration: 4h
reason: required
ticket: "CHG-[0-9]+"
extension: {times: 1, by: 30m, approvals: same}
break_glass: {groups: [on-call], max_duration: 1h, review_within: 24h}
incident: {on_call: [on-call], max_duration: 2h}
"""

QUICK = """\
name: quick-look
summary: Read-only access to any web server
clusters: [web-eu, web-us]
command_sets: [look-at-web]
requesters: {groups: [operators, service-owners]}
approvals: none
max_duration: 2h
reason: optional
incident: {on_call: [on-call], max_duration: 2h}
"""

STAGING = """\
name: staging-change
summary: Work on staging, one approval
clusters: [web-us]
command_sets: [restart-web]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [service-owners, security]}
max_duration: 8h
"""


READ_ORDERS = """\
name: read-orders
kind: postgres
summary: Read the shop's orders
risk: medium
commands:
  - grant: SELECT ON app.orders
    effect: read
examples:
  allow: ["SELECT ON app.orders"]
  refuse: ["SELECT ON app.cards", "UPDATE ON app.orders"]
"""

FIX_ORDER = """\
name: fix-order
kind: postgres
summary: Correct the state of one order
risk: medium
parameters:
  order: {int: [1, 1000]}
commands:
  - sql: UPDATE app.orders SET state = {state} WHERE id = {order}
    where: {state: {choice: [open, paid]}}
    effect: change
    max_rows: 1
    hold: true
examples:
  allow: ["UPDATE app.orders SET state = 'paid' WHERE id = 7"]
  refuse: ["UPDATE app.orders SET state = 'paid'", "DELETE FROM app.orders WHERE id = 7"]
"""

ONE_TICKET = """\
name: one-ticket
kind: http
summary: Read one ticket
risk: low
parameters:
  ticket: {pattern: "T-[0-9]{1,6}"}
commands:
  - request: GET /tickets/{ticket}
    effect: read
examples:
  allow: ["GET /tickets/T-42"]
  refuse: ["DELETE /tickets/T-42", "GET /tickets/", "GET /tickets/T-42/../T-43"]
"""

ONE_PRICE = """\
name: one-price
kind: http
summary: Read the price of one article, lower it within limits, and follow its changes
risk: medium
parameters:
  article: {pattern: "S-[0-9]{1,6}"}
commands:
  - request: GET /prices/{article}
    response: {fields: [article, price]}
    effect: read
  - request: PUT /prices/{article}
    body: {price: {int: [35, 60]}}
    response: {fields: [article, price]}
    effect: change
  - request: GET /prices/{article}/changes
    stream: true
    effect: read
examples:
  allow: ["GET /prices/S-7", 'PUT /prices/S-7 {"price": 39}']
  refuse: ['PUT /prices/S-7 {"price": 1}', "GET /prices"]
accept:
  stream commands[2].stream: Stint's own gateway closes it when the grant ends
"""

AGENT_TICKET = """\
name: agent-ticket
kind: mcp
summary: Read one ticket, summarize it and close it
risk: medium
parameters:
  ticket: {from: workflow.id}
commands:
  - tool: read_ticket
    arguments: {id: "{ticket}"}
    effect: read
  - tool: save_summary
    arguments: {id: "{ticket}", text: {schema: {type: string, minLength: 1, maxLength: 500}}}
    effect: change
  - tool: close_ticket
    arguments: {id: "{ticket}"}
    effect: change
  - deny: "export_*"
examples:
  allow: ['read_ticket {"id": "TKT-1"}']
  refuse: ['export_attachments {"id": "TKT-1"}']
"""

AGENTS = """\
name: agent-work
summary: An agent works on one ticket, one approval
clusters: [support-desk]
command_sets: [agent-ticket]
requesters: {groups: [agents]}
approvals:
  - {count: 1, from: [service-owners]}
max_duration: 2h
workflow: {kinds: [ticket]}
"""

PRICING = """\
name: pricing
summary: Work on the price of one article, one approval
clusters: [price-list]
command_sets: [one-price]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [service-owners]}
max_duration: 2h
"""

SUPPORT = """\
name: support
summary: Investigate one case, one approval
clusters: [shop-db, tickets-api]
command_sets: [read-orders, fix-order, one-ticket]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [service-owners]}
max_duration: 2h
"""


@dataclass(frozen=True, slots=True)
class Login:
    """A demo target that requires a secret for login: its port and the secret."""

    port: int
    secret: str


@dataclass(frozen=True, slots=True)
class Host:
    """One demo target: its port, the account to log in as, and its host key."""

    name: str
    port: int
    account: str
    host_key: str


def files(
    hosts: Iterable[Host], database: Login, tickets: Login, prices: Login, desk: Login
) -> dict[str, str]:
    """Return the catalog's files for running hosts, a database, two APIs and an MCP server."""
    by_name = {host.name: host for host in hosts}
    members: dict[str, list[str]] = {}
    for username, (_, groups) in PEOPLE.items():
        for group in groups:
            members.setdefault(group, []).append(username)
    return {
        **{
            f"groups/{name}.yaml": f"name: {name}\nmembers: [{', '.join(people)}]\n"
            for name, people in members.items()
        },
        **{
            f"clusters/{name}.yaml": _cluster(
                name, summary, environment, risk, [by_name[target] for target in targets]
            )
            for name, (summary, environment, risk, targets) in CLUSTERS.items()
        },
        "clusters/shop-db.yaml": _secret_cluster(
            "shop-db",
            "postgres",
            "The shop's database",
            database,
            {"database": "shop", "password": database.secret, "sslmode": "prefer"},
        ),
        **_apis(tickets, prices),
        "groups/agents.yaml": f"name: agents\nmembers: [{AGENT}]\n",
        "clusters/support-desk.yaml": _secret_cluster(
            "support-desk",
            "mcp",
            "The support desk's tools for agents",
            desk,
            {"token": desk.secret, "tls": "false"},
        ),
        **_rules(),
    }


def _rules() -> dict[str, str]:
    """Return the command sets and the policies."""
    return {
        "command-sets/agent-ticket.yaml": AGENT_TICKET,
        "policies/agent-work.yaml": AGENTS,
        "command-sets/read-orders.yaml": READ_ORDERS,
        "command-sets/fix-order.yaml": FIX_ORDER,
        "command-sets/one-ticket.yaml": ONE_TICKET,
        "command-sets/one-price.yaml": ONE_PRICE,
        "policies/support.yaml": SUPPORT,
        "policies/pricing.yaml": PRICING,
        "command-sets/restart-web.yaml": COMMAND_SET,
        "command-sets/look-at-web.yaml": LOOK,
        "policies/production-change.yaml": PRODUCTION,
        "policies/quick-look.yaml": QUICK,
        "policies/staging-change.yaml": STAGING,
    }


def _apis(tickets: Login, prices: Login) -> dict[str, str]:
    """Return the HTTP clusters: one behind nginx, one behind Stint's own gateway."""
    return {
        "clusters/tickets-api.yaml": _secret_cluster(
            "tickets-api",
            "http",
            "Support desk tickets",
            tickets,
            {"proxy": "nginx", "proxy_key": tickets.secret, "base_path": "/tickets/", "tls": "false"},
        ),
        "clusters/price-list.yaml": _secret_cluster(
            "price-list",
            "http",
            "Prices of the shop",
            prices,
            {"proxy": "stint", "inject": f"{{header: X-Api-Key, value: {prices.secret}}}", "tls": "false"},
        ),
    }


def _secret_cluster(name: str, kind: str, summary: str, login: Login, connection: dict[str, str]) -> str:
    target = name.partition("-")[0] if kind == "http" else name
    said = "".join(f"  {key}: {value}\n" for key, value in connection.items())
    return (
        f"name: {name}\nkind: {kind}\nsummary: {summary}\nenvironment: production\nrisk: high\n"
        f"connection:\n{said}targets:\n  - {{name: {target}, address: 127.0.0.1, port: {login.port}}}\n"
    )


def _cluster(name: str, summary: str, environment: str, risk: str, hosts: list[Host]) -> str:
    lines = [
        f"name: {name}",
        "kind: ssh",
        f"summary: {summary}",
        f"environment: {environment}",
        f"risk: {risk}",
        "targets:",
    ]
    for host in hosts:
        lines += [
            f"  - name: {host.name}",
            "    address: 127.0.0.1",
            f"    port: {host.port}",
            f"    account: {host.account}",
            f"    host_key: {host.host_key}",
        ]
    return "\n".join(lines) + "\n"
