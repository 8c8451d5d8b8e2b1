"""`stint run` on an MCP cluster: the program gets the server's address and a token that ends with it."""

import datetime as dt
import threading

import pytest

from tests.support.browser.site import serve
from tests.support.servers.mcp_place import mcp_place, now
from tests.support.servers.terminal import Terminal
from tests.support.world.mcp_site import Raw, files

WORK = ("run", "--cluster", "desk", "--set", "agent-ticket", "--param", "ticket=T-42", "-m", "Nightly")
READ = """
import json, os, urllib.request
address, token = os.environ["STINT_ADDRESS"], os.environ["STINT_GRANT_TOKEN"]
meta = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
headers = {
    "Authorization": f"Bearer {token}", "Content-Type": "application/json", "Mcp-Method": "tools/call",
    "Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Name": "read_ticket",
}
for ticket in ("T-42", "T-43"):
    params = {"_meta": meta, "name": "read_ticket", "arguments": {"id": ticket}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    print(urllib.request.urlopen(urllib.request.Request(address, body, headers)).read().decode())
print(address, token, "STINT_TOKEN" in os.environ)
"""


@pytest.fixture
def endpoint(processes, tmp_path, django_db_setup, django_db_blocker):
    """An MCP server behind its gateway, with a policy that needs nobody's approval."""
    free = files(0)["policies/desk-work.yaml"].replace("\n  - {count: 1, from: [approvers]}", " none")
    with mcp_place(django_db_blocker, tmp_path, files={"policies/desk-work.yaml": free}) as endpoint:
        yield endpoint


@pytest.fixture
def laptop(endpoint, tmp_path):
    """Alice's machine, with a token."""
    from accounts.operations.create_token import create_token

    alice = endpoint.world.alice
    token = create_token(
        identity_id=alice.pk,
        label="cli",
        scopes=("read", "request", "end"),
        lifetime=dt.timedelta(hours=1),
        actor=alice,
        now=now(),
    )[1]
    with serve(endpoint.env, tmp_path) as url:
        (tmp_path / "home").mkdir()
        yield Terminal(tmp_path / "home", {"STINT_URL": url, "STINT_TOKEN": token})


@pytest.fixture
def worker():
    """What the worker does: it asks the server for its tools before a grant starts."""
    stop = threading.Event()
    thread = threading.Thread(target=_prepare, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join()


def _prepare(stop: threading.Event) -> None:
    from django.db import connection

    from sessions_app.models import Grant
    from sessions_app.operations.grants.prepare_grant import prepare_grant
    from sessions_app.operations.grants.provision_grant import provision_grant

    while not stop.wait(0.1):
        for grant in Grant.objects.filter(state__in=["scheduled", "provisioning"]):
            provision_grant(grant_id=grant.pk, now=now())
            prepare_grant(grant_id=grant.pk, now=now)
    connection.close()


def test_a_program_works_on_its_ticket_with_a_token_that_is_dead_afterwards(
    endpoint, laptop, worker, tmp_path
):
    (tmp_path / "home" / "read.py").write_text(READ)
    done = laptop(*WORK, "--", *laptop.command[:1], "read.py")
    assert done.returncode == 0, done.stderr
    allowed, refused, used = done.stdout.splitlines()
    url, token, has_own = used.split()
    assert (url, has_own) == (endpoint.url, "False")
    assert '"isError":true' not in allowed.replace(" ", "")
    assert "isError" in refused
    assert "T-43" in refused
    assert Raw(url, token).call("read_ticket", {"id": "T-42"}).status == 401
