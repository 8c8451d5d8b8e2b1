"""A procurement assistant may request prices from vendors during one task. Its other attempts are refused and
reported, and end its access.

Real nginx with Stint's own snippet, the real web process, the worker's own tasks, and a receiver of signed
webhooks.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from broker.kernel import clock
from sessions_app.connectors.http.snippets import Site, snippet
from sessions_app.operations.notifications.deliver_webhooks import deliver_webhooks
from sessions_app.operations.notifications.gather_webhooks import gather_webhooks
from sessions_app.operations.notifications.send_notices import send_notices
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.queries.grants.receipts import receipt
from tests.conftest import fresh_database
from tests.support.browser.site import serve
from tests.support.servers.mcp_client import client_of
from tests.support.servers.mcp_place import mcp_place
from tests.support.servers.nginx import Application, Nginx, application, nginx
from tests.support.servers.receiver import SECRET, Receiver, endpoint, receiver, webhook_file
from tests.support.waits import eventually
from tests.support.world.acts import events, last
from tests.support.world.api_site import PROXY_KEY, token_of
from tests.support.world.mcp_site import mail_files
from tests.support.world.world import World, make_world

FILES = {
    "clusters/suppliers.yaml": f"""
name: suppliers
kind: http
summary: Prices, orders and payments of the suppliers
environment: production
risk: high
connection: {{proxy: nginx, proxy_key: {PROXY_KEY}, tls: false, host: suppliers.example.com}}
targets:
  - {{name: suppliers-api, address: 127.0.0.1, port: 8080}}
""",
    "command-sets/ask-prices.yaml": """
name: ask-prices
kind: http
summary: See what suppliers ask, and ask them for a quote, for one task
risk: low
parameters:
  task: {from: workflow.id}
commands:
  - request: GET /prices/{item}
    where: {item: {pattern: "[a-z0-9-]{1,40}"}}
    query: {quantity: {int: [1, 10000]}}
    optional: [quantity]
    effect: read
  - request: POST /tasks/{task}/quotes
    effect: change
examples:
  allow: ["GET /prices/paper-a4?quantity=500"]
  refuse: ["POST /payments", "PUT /suppliers/7/bank-details"]
accept:
  free_body commands[1].body: a quote that was asked for binds nobody
""",
    "policies/procurement.yaml": """
name: procurement
summary: Find the best price
clusters: [suppliers]
command_sets: [ask-prices]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [approvers]}
max_duration: 4h
workflow: {kinds: [task]}
deviations: {limit: 3}
notify: {webhooks: [purchasing]}
""",
}
TOLD = "grant.active command.refused grant.revoking"


@dataclass
class Office:
    """All parts, running."""

    world: World
    upstream: Application
    proxy: Nginx
    hook: Receiver
    token: str = ""

    def task(self, title: str) -> Any:
        return self.world.workflow("task", self.world.alice, title=title, clusters=["suppliers"])

    def assistant(self, task: Any) -> Any:
        """Let the assistant request access for the task, and Bob approve."""
        grant = self.world.grant(
            who=self.world.robot,
            workflow=task.ref,
            cluster="suppliers",
            command_set="ask-prices",
            parameters={},
            reason="Paper for the autumn",
        )
        self.token = token_of(grant, self.world)
        return grant

    def ask(self, line: str, body: bytes = b"") -> int:
        """Send a request through nginx as the assistant does; return the status."""
        head = f"{line} HTTP/1.1\r\nHost: suppliers.example.com\r\nAuthorization: Bearer {self.token}\r\n"
        return self.proxy.send(f"{head}Content-Length: {len(body)}\r\n".encode(), body).status


@pytest.fixture(scope="module")
def office(processes, django_db_setup, django_db_blocker, tmp_path_factory) -> Iterator[Office]:
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(fresh_database(django_db_blocker))
        clock.sync()
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setattr("django.conf.settings.WEBHOOK_NETWORKS", ["127.0.0.0/8"])
        hook = stack.enter_context(receiver())
        world = make_world(
            clock.now(), FILES | webhook_file(hook, name="purchasing", events=TOLD, scope="policies")
        )
        web = stack.enter_context(serve(database.env, tmp_path_factory.mktemp("web")))
        upstream = stack.enter_context(application())
        site = Site(
            target="suppliers-api",
            origin="http://suppliers.example.com",
            upstream=upstream.url,
            stint=web,
            proxy_key=PROXY_KEY,
        )
        proxy = stack.enter_context(nginx(snippet("nginx", site)))
        yield Office(world, upstream, proxy, hook)


def tell_all() -> None:
    """Send mail and webhooks, as the worker does each second."""
    gather_webhooks(now=clock.now())
    deliver_webhooks(endpoint_id=endpoint("purchasing").pk, now=clock.now)
    send_notices(now=clock.now)


def test_prices_are_asked_and_the_third_thing_else_ends_it(office, mailoutbox, client):
    task = office.task("Paper for the autumn")
    grant = office.assistant(task)

    # Prices, and quotes for this task and no other.
    assert office.ask("GET /prices/paper-a4?quantity=500") == 200
    assert office.ask(f"POST /tasks/{task.ref}/quotes", b'{"item": "paper-a4"}') == 200
    assert office.upstream.lines[-1] == f"POST /tasks/{task.ref}/quotes HTTP/1.1".encode()
    before = len(office.upstream.heads)

    # A payment, other bank details, another task: refused before they arrive.
    assert office.ask("POST /payments", b'{"amount": 90000}') == 403
    assert office.ask("PUT /suppliers/7/bank-details", b'{"iban": "DE00"}') == 403
    grant.refresh_from_db()
    assert grant.state == "active"
    assert office.ask("POST /tasks/TSK-999999/quotes", b"{}") == 403

    # The policy's limit: access has ended, also for what was allowed.
    grant.refresh_from_db()
    assert (grant.state, grant.end_reason) == ("revoking", "deviation")
    assert office.ask("GET /prices/paper-a4") == 401
    assert len(office.upstream.heads) == before

    # The record, the approvers' page and mail, and the signed webhook show the attempts.
    tried = ["POST /payments", "PUT /suppliers/7/bank-details", "POST /tasks/TSK-999999/quotes"]
    assert events(grant.ref).count("command.refused") == 4
    assert tried[-1] in last("grant.revoking", grant.ref).data["note"]
    tell_all()
    mail = next(
        mail for mail in mailoutbox if mail.to == ["bob@example.com"] and "3 refused commands" in mail.subject
    )
    assert all(line in mail.body for line in tried)
    client.force_login(office.world.bob, backend="accounts.backends.PasswordBackend")
    page = client.get(f"/grants/{grant.ref}/").content.decode()
    assert all(line in page for line in tried)
    assert "3 commands were refused." in page
    # Reads are counted for up to a second before they are recorded.
    used = "2 of 2 commands were used, on 1 of 1 target"
    eventually(lambda: used in client.get(f"/grants/{grant.ref}/").content.decode(), within=30)
    told = [came for came in office.hook.came if came.json["data"]["grant"] == grant.ref]
    assert all(came.is_signed_by(SECRET) for came in told)
    refused = [
        came.json["data"]["details"]["line"] for came in told if came.json["type"] == "command.refused"
    ]
    assert refused[:3] == tried
    (ended,) = [came.json for came in told if came.json["type"] == "grant.revoking"]
    assert ended["data"]["details"]["reason"] == "deviation"
    assert (ended["data"]["holder"], ended["data"]["workflow"]) == ("robot", task.ref)
    assert "90000" not in json.dumps([came.json for came in told])


# The assistant may order from the supplier that the request names, within a budget.
ORDERS = """
name: desk-mail
kind: mcp
summary: Order from the supplier of one request
risk: high
parameters:
  request: {pattern: "T-[0-9]{1,8}"}
commands:
  - tool: look_up
    arguments: {id: "{request}"}
    effect: read
  - tool: send_mail
    arguments:
      to: {from: result, fields: [look_up.requester.email]}
      text: {pattern: "[0-9]{1,4}([.][0-9]{2})?"}
    sinks: [to]
    budget: [{sum: text, most: 500}]
    effect: change
examples:
  allow: ['look_up {"id": "T-42"}']
  refuse: ['send_mail {"to": "eve@shop"}']
"""


def test_orders_go_to_the_supplier_of_the_request_and_beyond_the_budget_only_with_a_person(
    processes, django_db_setup, django_db_blocker, tmp_path
):
    files = {**mail_files(), "command-sets/desk-mail.yaml": ORDERS}
    with mcp_place(django_db_blocker, tmp_path, files=files) as place:
        grant, raw = place.client(command_set="desk-mail", parameters={"request": "T-42"})

        def play(*calls: tuple[str, dict[str, str]]) -> list[str]:
            async def made() -> list[Any]:
                async with client_of(place.url, raw.token) as client:
                    return [(await client.call_tool(*call)).structured_content for call in calls]

            return [one.get("code") or one.get("error") or "made" for one in asyncio.run(made())]

        def order(to: str, amount: str) -> tuple[str, dict[str, str]]:
            return "send_mail", {"to": to, "text": amount}

        supplier, elsewhere = "eve@shop", "mallory@evil"
        assert play(order(supplier, "10"), ("look_up", {"id": "T-42"})) == ["from_result", "made"]
        said = play(order(supplier, "400.50"), order(elsewhere, "1"), order(supplier, "99.50"))
        assert said == ["made", "from_result", "made"]

        # The next order waits with the reason, and is made once Bob has allowed it.
        assert play(order(supplier, "0.01")) == ["held"]
        run = grant.runs.get(state="held")
        assert "held because text 0.01 exceeds the budget (500 of 500 used)" in run.notes
        decide_hold(run_id=run.pk, actor=place.world.bob, allow=True, now=clock.now())
        assert play(order(supplier, "0.01"), order(supplier, "0.02")) == ["made", "held"]
        assert [call for call in place.desk.calls if call[0] == "send_mail"] == [("send_mail", supplier)] * 3
        (budget,) = receipt(grant, clock.now())["budgets"]
        assert budget["says"] == "text: 500.01 of 500 used"
