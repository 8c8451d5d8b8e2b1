"""The people and the catalog of the scene."""

from tests.support.world.world import HOST_KEY

NAMES = {
    "alice": "Alice Moreau",
    "bob": "Bob Achterberg",
    "dora": "Dora Okonkwo",
    "charlie": "Charlie Ng",
    "admin": "Astrid Holm",
    "robot": "Canary",
    "deployer": "Deploy pipeline",
}
# By username: the name, the groups, the time zone.
PEOPLE = {
    "priya": ("Priya Nair", ("operators", "on-call"), "Europe/Berlin"),
    "jonas": ("Jonas Berg", ("operators",), "Europe/Stockholm"),
    "kofi": ("Kofi Mensah", ("operators",), "Africa/Accra"),
    "max": ("Maximiliane Freifrau von Hohenstein-Waldburg zu Zeil", ("operators",), "Europe/Vienna"),
    "mara": ("Mara Lindqvist", ("approvers", "security"), "Europe/Berlin"),
}
LONG = "eu-central-checkout-and-payments-behind-the-old-load-balancer"


def _cluster(name: str, summary: str, environment: str, risk: str, count: int, first: int) -> str:
    lines = [
        f"  - {{name: {name[:40]}-{number}, address: {name[:40]}-{number}.example.internal, account: root, "
        f"host_key: {HOST_KEY}}}\n"
        for number in range(first, first + count)
    ]
    head = f"name: {name}\nkind: ssh\nsummary: {summary}\nenvironment: {environment}\nrisk: {risk}\n"
    return f"{head}targets:\n{''.join(lines)}"


FILES = {
    "groups/operators.yaml": "name: operators\nmembers: [alice, robot, deployer, priya, jonas, kofi, max]\n",
    "groups/approvers.yaml": "name: approvers\nmembers: [bob, dora, mara]\n",
    "groups/on-call.yaml": "name: on-call\nmembers: [alice, priya]\n",
    "groups/security.yaml": "name: security\nmembers: [mara, dora]\n",
    "clusters/web.yaml": _cluster("web", "Shop and checkout, Europe", "production", "high", 12, 1),
    "clusters/checkout-eu.yaml": _cluster("checkout-eu", "Payments", "production", "high", 3, 1),
    "clusters/search-staging.yaml": _cluster(
        "search-staging", "Search, next release", "staging", "low", 2, 1
    ),
    "clusters/long.yaml": _cluster(
        LONG, "The longest name that a cluster may have here", "development", "medium", 1, 1
    ),
    "clusters/orders.yaml": """
name: orders
kind: postgres
summary: Orders of the shop
environment: production
risk: high
connection: {database: shop, password: not-a-secret-of-anything, read_statements: true}
targets:
  - {name: db-1, address: db-1.example.internal}
  - {name: db-2, address: db-2.example.internal}
""",
    "command-sets/read-orders.yaml": """
name: read-orders
kind: postgres
summary: Look at the orders of the shop
risk: medium
commands:
  - grant: SELECT ON app.orders
    effect: read
  - grant: SELECT (id, name) ON app.customers
    effect: read
examples:
  allow: ["SELECT ON app.orders"]
  refuse: ["SELECT ON app.customers"]
""",
    "policies/order-support.yaml": """
name: order-support
summary: Look into the order of a customer
clusters: [orders]
command_sets: [read-orders]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [approvers]}
max_duration: 4h
""",
    "command-sets/restart-web.yaml": """
name: restart-web
kind: ssh
summary: Restart one web service and read its log
risk: medium
parameters:
  unit: {choice: [nginx, haproxy]}
commands:
  - run: systemctl restart {unit}
    effect: change
  - run: systemctl status --no-pager {unit}
    effect: read
  - run: journalctl --no-pager -u {unit} -n {lines}
    where: {lines: {int: [1, 1000]}}
    effect: read
  - run: systemctl stop {unit}
    effect: destructive
    hold: true
examples:
  allow: ["systemctl restart nginx"]
  refuse: ["systemctl restart nginx; id", "systemctl restart sshd"]
""",
    "command-sets/look-at-web.yaml": """
name: look-at-web
kind: ssh
summary: See how the web services are
risk: low
commands:
  - run: systemctl status --no-pager {unit}
    where: {unit: {choice: [nginx, haproxy]}}
    effect: read
examples:
  allow: ["systemctl status --no-pager haproxy"]
  refuse: ["systemctl restart nginx"]
""",
    "policies/quick-look.yaml": """
name: quick-look
summary: Read-only looks at staging
clusters: [search-staging]
command_sets: [look-at-web]
requesters: {groups: [operators, approvers]}
approvals: none
max_duration: 2h
reason: optional
""",
    "policies/checkout-change.yaml": f"""
name: checkout-change
summary: Work on payments, with two pairs of eyes
clusters: [checkout-eu, {LONG}]
command_sets: [look-at-web, restart-web]
requesters: {{groups: [operators]}}
approvals:
  - {{count: 1, from: [approvers]}}
  - {{count: 1, from: [security]}}
max_duration: 8h
ticket: "(CHG|INC)-[0-9]+"
windows:
  - {{days: [mon, tue, wed, thu, fri, sat, sun], from: "00:00", to: "00:00", zone: Europe/Berlin}}
freezes:
  - {{from: "2099-11-23T00:00:00+01:00", to: "2099-11-30T00:00:00+01:00", reason: The sale of the year}}
extension: {{times: 1, by: 30m, approvals: same}}
""",
    "policies/web-work.yaml": """
name: web-work
summary: Planned work on the web servers
clusters: [web]
command_sets: [restart-web, look-at-web]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [approvers]}
max_duration: 4h
extension: {times: 2, by: 1h, approvals: same}
break_glass: {groups: [on-call], max_duration: 1h}
""",
    "workflow-sources/desk.yaml": """
name: desk
provider: standard
summary: Where tickets of the support are kept
parameters:
  url: https://desk.example.com/api/tickets/{id}
  token: desk-token-of-stint
webhook_secrets: [whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw]
clusters: [web]
""",
    "trust-policies/payments-deploy.yaml": """
name: payments-deploy
summary: Deploys releases of payments
issuer: https://token.actions.githubusercontent.com
audience: https://stint.example.com
required_claims: {repository_id: "9001", environment: production}
speaks_as: deployer
workflow: github:{repository_id}:{run_id}:{run_attempt}:{check_run_id}
""",
    "webhooks/chat.yaml": """
name: chat
summary: What the people on call want to know
url: https://hooks.example.com/T0123/B4567
scope: everything
events: [request.created, request.denied, grant.active, grant.revoking, command.refused, breakglass.started]
owners: {groups: [approvers]}
""",
}
