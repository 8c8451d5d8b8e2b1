"""A whole Stint for the stint command: web process, SSH gateway, real targets, and people at their
terminals.
"""

import contextlib
import datetime as dt
import shutil
import threading
from dataclasses import dataclass, field

import pytest

from broker.demo.ports import free_port
from tests.sessions_app.gateways.conftest import make_place
from tests.support.browser.site import serve
from tests.support.servers.gateway import Place
from tests.support.servers.terminal import Terminal
from tests.support.waits import eventually
from tests.support.world.acts import policy

SCOPES = ("read", "request", "decide", "end")
LOOK = """
name: look-at-web
kind: ssh
summary: Look at a web server
risk: low
commands:
  - {run: "echo looked", effect: read}
  - {run: "test status {number}", where: {number: {int: [0, 255]}}, effect: read}
  - {get: "FOLDER/{file}", where: {file: {name: 64}}}
  - {put: "FOLDER/{file}.bin", where: {file: {name: 64}}}
examples: {allow: ["echo looked"], refuse: [id]}
accept: {"writable_path commands[2].get": for a test, "writable_path commands[3].put": for a test}
"""


@dataclass
class Laptops:
    """Who sits at which machine, and where Stint is."""

    place: Place
    url: str
    terminals: dict[tuple[str, ...], Terminal] = field(default_factory=dict)

    @property
    def world(self):
        return self.place.world

    def __getitem__(self, who: str) -> Terminal:
        """Somebody's machine, with a token and, for Alice, her key."""
        return self.of(who)

    def of(self, who: str, *scopes: str) -> Terminal:
        key = (who, *scopes)
        if key not in self.terminals:
            self.terminals[key] = self.fresh(
                "-".join(key), STINT_URL=self.url, STINT_TOKEN=self.token(who, *scopes)
            )
            if who == "alice":
                ssh = self.terminals[key].home / ".ssh"
                ssh.mkdir(mode=0o700)
                for half in ("", ".pub"):
                    shutil.copy(f"{self.place.key(who)}{half}", ssh / f"mine{half}")
        return self.terminals[key]

    def fresh(self, name: str, **env: str) -> Terminal:
        """A machine on which nobody has signed in."""
        home = self.place.folder / f"home-{name}"
        home.mkdir()
        return Terminal(home, env)

    def token(self, who: str, *scopes: str) -> str:
        from accounts.operations.create_token import create_token
        from broker.kernel import clock

        identity = getattr(self.world, who)
        return create_token(
            identity_id=identity.pk,
            label="cli",
            scopes=scopes or SCOPES,
            lifetime=dt.timedelta(hours=12),
            actor=identity,
            now=clock.now(),
        )[1]

    def approve_when_asked(self, who: str = "bob") -> threading.Thread:
        """Somebody approves the next request, once it is there."""
        approver = self[who]

        def decide() -> None:
            eventually(lambda: approver.json("approvals")["results"], within=60, every=0.3)
            (row,) = approver.json("approvals")["results"]
            assert approver("approve", row["ref"], "--yes").returncode == 0

        thread = threading.Thread(target=decide)
        thread.start()
        return thread


@pytest.fixture(scope="module")
def laptops(processes, tmp_path_factory, django_db_setup, django_db_blocker):
    """Stint as it runs, for a module."""
    from broker.kernel import clock

    with django_db_blocker.unblock(), contextlib.contextmanager(make_place)(tmp_path_factory) as place:
        free = policy(place.world, name="look", command_sets=["look-at-web"], approvals="none")
        look = LOOK.replace("FOLDER", str(place.folder.resolve()))
        more = {"command-sets/look-at-web.yaml": look, "policies/look.yaml": free.popitem()[1]}
        place.world.catalog.update({**place.catalog(), **more})
        place.world.apply(now=clock.now())
        # Where the gateway for HTTPS is, for those tests that start one.
        place.env["STINT_GATEWAY_PUBLIC_URL"] = f"https://localhost:{free_port()}"
        env = {**place.env, "STINT_SSH_PORT": str(place.port), "STINT_API_PER_MINUTE": "100000"}
        with serve(env, place.folder) as url:
            yield Laptops(place, url)


@pytest.fixture(autouse=True)
def _nothing_is_left_over(request):
    """Grants and requests of one test are none of the next one's business."""
    yield
    if "laptops" not in request.fixturenames:
        return
    from broker.kernel import clock
    from sessions_app.models import AccessRequest, EndReason, Grant, GrantState
    from sessions_app.operations.grants.end_grant import end_grant
    from sessions_app.operations.requests.withdraw_request import withdraw_request

    for asked in AccessRequest.objects.filter(state="pending"):
        withdraw_request(request_id=asked.pk, actor=asked.requester, now=clock.now())
    for pk in Grant.objects.exclude(state__in=[GrantState.REVOKING, GrantState.ENDED]).values_list(
        "pk", flat=True
    ):
        end_grant(grant_id=pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
    eventually(lambda: not Grant.objects.exclude(state=GrantState.ENDED).exists())
