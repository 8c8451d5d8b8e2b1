"""The people and the small catalog that most tests use."""

import datetime as dt
import functools
from dataclasses import dataclass, field, replace

from broker.audit.actor import Actor

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8gQ0Xl0m0Zr3w7d6cJ3z1v9y0u8i5Z6fQkq3yXo9pB"
PASSWORD = "correct horse battery"
SETUP = Actor.system("test")

CATALOG = {
    "groups/operators.yaml": "name: operators\nmembers: [alice, robot, deployer]\n",
    "groups/approvers.yaml": "name: approvers\nmembers: [bob, dora]\n",
    "groups/on-call.yaml": "name: on-call\nmembers: [alice]\n",
    "clusters/web.yaml": f"""
name: web
kind: ssh
summary: Two web servers
environment: production
risk: medium
targets:
  - {{name: web-1, address: 127.0.0.1, port: 2201, account: root, host_key: {HOST_KEY}}}
  - {{name: web-2, address: 127.0.0.1, port: 2202, account: root, host_key: {HOST_KEY}}}
""",
    "command-sets/restart-web.yaml": """
name: restart-web
kind: ssh
summary: Restart one web service and read its log
risk: medium
parameters:
  unit: {choice: [nginx, haproxy]}
commands:
  - run: echo restart {unit}
    effect: change
  - run: echo log {unit} {lines}
    where: {lines: {int: [1, 1000]}}
    effect: read
  - run: echo stop {unit}
    effect: destructive
    hold: true
  - run: sleep {seconds}
    where: {seconds: {int: [1, 600]}}
    effect: read
  - run: sleep {seconds} nightly
    where: {seconds: {int: [1, 600]}}
    effect: read
    end: {finish: 5m}
examples:
  allow: ["echo restart nginx"]
  refuse: ["echo restart nginx; id", "echo restart sshd"]
""",
    "policies/web-work.yaml": """
name: web-work
summary: Planned work on the web servers
clusters: [web]
command_sets: [restart-web]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [approvers]}
max_duration: 4h
extension: {times: 2, by: 1h, approvals: none}
break_glass: {groups: [on-call], max_duration: 1h}
incident: {on_call: [on-call], max_duration: 2h}
""",
}


@dataclass
class World:
    """The people, with one-line methods to request and decide."""

    alice: object
    bob: object
    dora: object
    charlie: object
    admin: object
    robot: object
    deployer: object
    now: dt.datetime
    catalog: dict[str, str] = field(default_factory=lambda: dict(CATALOG))

    def ask(self, **changes):
        """Return a request that the policy allows, unless changed."""
        from sessions_app.operations.requests.check_request import NewRequest

        ask = NewRequest(
            cluster="web",
            command_set="restart-web",
            duration=3600,
            reason="Nightly restart",
            parameters={"unit": "nginx"},
        )
        return replace(ask, **changes)

    def request(self, who=None, *, now=None, **changes):
        """Submit a request as alice or ``who``."""
        from sessions_app.operations.requests.request_access import request_access

        return request_access(requester=who or self.alice, ask=self.ask(**changes), now=now or self.now)

    def decide(self, request, who=None, verdict="approve", *, now=None, **more):
        """Decide a request as bob or ``who``, who has read it."""
        from sessions_app.operations.requests.decide_request import decide_request

        return decide_request(
            request_id=request.pk,
            approver=who or self.bob,
            verdict=verdict,
            now=now or self.now,
            **{"digest": request.digest, **more},
        )

    def grant(self, *, now=None, start=True, **changes):
        """Return a grant that alice requested and bob approved, active unless ``start`` is False."""
        from sessions_app.models import Grant
        from sessions_app.operations.grants.provision_grant import provision_grant

        request = self.decide(self.request(now=now, **changes), now=now)
        grant = Grant.objects.get(request=request)
        return provision_grant(grant_id=grant.pk, now=now or self.now) if start else grant

    def incident(self, who=None, *, now=None, **changes):
        """Open an incident on the web servers, as bob or ``who``."""
        from sessions_app.operations.workflows.open_workflow import open_workflow

        what = {
            "kind": "incident",
            "title": "Checkout is slow",
            "severity": "P2",
            "clusters": ["web"],
            **changes,
        }
        return open_workflow(actor=who or self.bob, now=now or self.now, **what)

    def workflow(self, kind="ticket", who=None, *, now=None, **changes):
        """Open a ticket or another workflow on the web servers, as bob or ``who``."""
        from sessions_app.operations.workflows.open_workflow import open_workflow

        now = now or self.now
        what = {"title": "Restart the web servers", "clusters": ["web"]}
        if kind == "change":
            what |= {"starts_at": now, "ends_at": now + dt.timedelta(hours=2)}
        return open_workflow(kind=kind, actor=who or self.bob, now=now, **{**what, **changes})

    def respond(self, incident, who=None, *, now=None, start=True, **changes):
        """Return a grant for the incident, held by alice or ``who``."""
        from sessions_app.models import Grant
        from sessions_app.operations.grants.provision_grant import provision_grant

        request = self.request(who, now=now, kind="incident", workflow=incident.ref, **changes)
        grant = Grant.objects.get(request=request)
        return provision_grant(grant_id=grant.pk, now=now or self.now) if start else grant

    def apply(self, files: dict[str, str] | None = None, *, now=None, **more):
        """Apply the files to the catalog, on top of the world's initial ones."""
        from sessions_app.operations.catalog.apply_catalog import apply_catalog

        return apply_catalog(
            files={**self.catalog, **(files or {})}, actor=SETUP, now=now or self.now, **more
        )


@functools.cache
def _hashed_password() -> str:
    """Return everyone's password, hashed once: slow hashing is right for people and a waste in each test."""
    from django.contrib.auth.hashers import make_password

    return make_password(PASSWORD)


def make_world(now: dt.datetime, files: dict[str, str] | None = None) -> World:
    """Create the people and the catalog, with a sweeper that has just run."""
    from accounts.operations.create_identity import create_identity
    from sessions_app.models import Sweeper

    def make(name: str, **more):
        return create_identity(username=name, name=name.title(), actor=SETUP, now=now, **more)

    people = {name: make(name, email=f"{name}@example.com") for name in ("alice", "bob", "dora", "charlie")}
    admin = make("admin", email="admin@example.com", is_superuser=True)
    robot = make("robot", kind="agent", owner=people["alice"])
    deployer = make("deployer", kind="service", owner=people["alice"])
    for person in (*people.values(), admin):
        person.password = _hashed_password()
        person.save(update_fields=["password"])
    Sweeper.objects.create(name="test", seen_at=now)
    world = World(**people, admin=admin, robot=robot, deployer=deployer, now=now)
    world.catalog.update(files or {})
    world.apply()
    return world
