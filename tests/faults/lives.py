"""Life cycles of grants, from the request to the confirmed end: by the API behind nginx, and through the
gateways.
"""

import contextlib
import datetime as dt
import http.client
import json
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from tests.faults.clients import PUBLIC, SSH, SSH_PORTS, Client, Means, TrustingConnection
from tests.faults.watch import Watch
from tests.support.servers.gateway import new_tag

# Seconds: duration of a grant, API timeout, wait for something that a fault may delay, and time until
# something is stuck.
DURATIONS = (6, 8, 12)
WAIT_S, STUCK_S = 40.0, 90.0
# The approver, and the person whose requests only check whether access can be started.
APPROVER, PROBER = "bob", "prober"


class Refused(Exception):
    """The API refused the call. ``status`` is the HTTP status; 0: no response."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status


@dataclass
class Act:
    """An action confirmed to a client: it must be in the record, whatever happens afterward."""

    event: str
    ref: str


@dataclass
class Life:
    """One grant. Times are wall-clock times. ``used``: its command was seen on its target."""

    holder: str
    uses: Means
    kind: str
    target: str
    gateway: str
    revokes: bool
    tag: int
    grant: str = ""
    used: bool = False
    acts: list[Act] = field(default_factory=list)
    active_at: float = 0.0
    expires_at: float = 0.0
    credential: dict[str, str] = field(default_factory=dict)
    after_end: str = ""


@dataclass
class People:
    """The people who use the stack until they are stopped. ``lives`` are their grants; ``refusals`` counts
    what failed.
    """

    uses: list[Means]
    tokens: dict[str, str]
    watch: Watch
    over: threading.Event = field(default_factory=threading.Event)
    lives: list[Life] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    crashed: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)
    _own: threading.local = field(default_factory=threading.local)

    def begin(self, seed: int) -> None:
        """Let each holder use one grant after another."""
        for number, name in enumerate(sorted(self.tokens.keys() - {APPROVER, PROBER})):
            chance = random.Random(seed * 1000 + number)
            thread = threading.Thread(target=self._live_on, args=(name, chance), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> list[str]:
        """Start no new grants, and wait for the current ones. Return the names of holders who are stuck."""
        self.over.set()
        until = time.monotonic() + STUCK_S
        for thread in self._threads:
            thread.join(max(0.1, until - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]

    def can_start(self, who: str) -> bool:
        """Request access to a host, and return whether it was active in time."""
        hosts = next(one for one in self.uses if isinstance(one, SSH))
        life = Life(who, hosts, hosts.kinds[0], hosts.targets[0], next(iter(SSH_PORTS)), revokes=False, tag=0)
        with contextlib.suppress(Refused):
            self._approved(life, DURATIONS[0])
            return self._wait(life)
        return False

    def _live_on(self, name: str, chance: random.Random) -> None:
        while not self.over.is_set():
            uses = chance.choice(self.uses)
            life = Life(
                name,
                uses,
                chance.choice(uses.kinds),
                chance.choice(uses.targets),
                chance.choice(sorted(SSH_PORTS)),
                chance.random() < 0.4,
                new_tag(),
            )
            duration, rest = chance.choice(DURATIONS), chance.uniform(0.2, 2.0)
            try:
                self._live(life, duration, chance.uniform(1, duration - 3))
            except Refused as error:
                self.refusals.append(str(error))
            except Exception as error:  # noqa: BLE001  # reported at the end
                self.crashed.append(f"{name}: {error!r}")
            self.over.wait(rest)

    def _live(self, life: Life, duration: int, revoked_after: float) -> None:
        self._approved(life, duration)
        if not self._wait(life):
            return
        self.lives.append(life)
        client = self._start(life)
        try:
            if life.revokes:
                time.sleep(max(0.0, life.active_at + revoked_after - time.time()))
                self._revoke(life)
            else:
                time.sleep(max(0.0, life.expires_at - time.time()))
            self._until_over(life)
        finally:
            client.stop()
        about = {
            "target": life.target,
            "holder": life.holder,
            "gateway": life.gateway,
            "credential": life.credential,
        }
        life.after_end = life.uses.again(**about)

    def _approved(self, life: Life, duration: int) -> None:
        cluster, command_set, parameters = life.uses.asks
        asked = {
            "cluster": cluster,
            "command_set": command_set,
            "duration": duration,
            "reason": "Faults",
            "parameters": parameters,
        }
        request = self.call(life.holder, "POST", "/requests", asked)
        life.acts.append(Act("request.created", request["ref"]))
        decided = self.call(
            APPROVER,
            "POST",
            f"/requests/{request['ref']}/verdicts",
            {"verdict": "approve", "digest": request["digest"]},
        )
        life.acts.append(Act("request.approved", request["ref"]))
        life.grant = decided["grant"]

    def _wait(self, life: Life) -> bool:
        """Wait until the grant is active. Return False if it ended before that."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            with contextlib.suppress(Refused):
                grant = self.call(life.holder, "GET", f"/grants/{life.grant}", None)
                if grant["state"] == "active":
                    life.active_at = time.time()
                    life.expires_at = dt.datetime.fromisoformat(grant["expires_at"]).timestamp()
                    return True
                if grant["state"] in ("revoking", "ended"):
                    return False
            time.sleep(0.25)
        return False

    def _start(self, life: Life) -> Client:
        self.watch.add(life.tag)
        if life.uses.needs_credential:
            life.credential = self.call(life.holder, "POST", f"/grants/{life.grant}/credential", {})["values"]
            life.acts.append(Act("credential.issued", life.grant))
        client = life.uses.start(
            kind=life.kind,
            target=life.target,
            holder=life.holder,
            gateway=life.gateway,
            tag=life.tag,
            credential=life.credential,
        )
        until = time.monotonic() + 10
        while time.monotonic() < until and not self.watch.seen(life.tag):
            time.sleep(0.05)
        life.used = self.watch.seen(life.tag)
        return client

    def _revoke(self, life: Life) -> None:
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            with contextlib.suppress(Refused):
                self.call(life.holder, "POST", f"/grants/{life.grant}/end", {"note": "done", "kill": True})
                life.acts.append(Act("grant.revoking", life.grant))
                return
            time.sleep(0.5)

    def _until_over(self, life: Life) -> None:
        until = time.monotonic() + STUCK_S
        while time.monotonic() < until:
            time.sleep(0.5)
            with contextlib.suppress(Refused):
                if self.call(life.holder, "GET", f"/grants/{life.grant}", None)["state"] == "ended":
                    return

    def call(self, who: str, method: str, path: str, body: dict[str, Any] | None) -> Any:
        """Call the API as a person. Raises Refused."""
        headers = {
            "Authorization": f"Bearer {self.tokens[who]}",
            "Content-Type": "application/json",
            "Host": PUBLIC,
        }
        site = self._site()
        try:
            site.request(method, f"/api/v1{path}", None if body is None else json.dumps(body), headers)
            answer = site.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            # The next call connects again.
            site.close()
            raise Refused(0, f"{method} {path.split('/')[1]}: {error!r}") from error
        if answer.status >= 300:
            raise Refused(
                answer.status, f"{method} {path.split('/')[1]}: {text[:200].decode(errors='replace')}"
            )
        return json.loads(text)

    def _site(self) -> TrustingConnection:
        """Return this thread's connection, which it keeps."""
        if not hasattr(self._own, "site"):
            self._own.site = TrustingConnection(PUBLIC, 443)
        return self._own.site
