"""One rich world, made only by operations: for screenshots, for the accessibility checker, and for crawling.

As everywhere, Alice requests, Bob and Dora approve, and Charlie may do nothing. Here they have full names,
colleagues, a week of history and a busy afternoon. Times are around ``now``, the database's.
"""

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import connection

from tests.support.world import acts
from tests.support.world.catalog import FILES, NAMES, PEOPLE
from tests.support.world.world import SETUP, World, make_world

PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKzvB1fbdKgV4q8yHg7b0P3n5H5m3m7sJf4rQ0o9lqkQ alice@laptop"
ESC = "\x1b"
STATUS = (
    f"{ESC}[0;1;32m●{ESC}[0m nginx.service - A high performance web server and a reverse proxy server\n"
    "     Loaded: loaded (/lib/systemd/system/nginx.service; enabled; preset: enabled)\n"
    f"     Active: {ESC}[0;1;32mactive (running){ESC}[0m since Mon 09:12:44 UTC; 3h 2min ago\n"
    "   Main PID: 6986 (nginx)\n"
    f"{ESC}[38;5;245mnginx[6986]: worker process 7375 ready{ESC}[0m\n"
)
LOG = "".join(
    f"Jan 12 09:{minute:02}:07 web-1 nginx[6986]: 203.0.113.{minute} GET /checkout 200 0.0{minute % 10}\n"
    for minute in range(10, 58)
)
FAILED = f"{ESC}[1;31mFailed to restart haproxy.service:{ESC}[0m Unit haproxy.service not found.\n"


@dataclass
class Scene:
    """One of everything, by the names that `tests.sessions_app.web.pages.address` uses, and
    everything else.
    """

    world: World
    recordings: Path
    request: Any = None
    grant: Any = None
    run: Any = None
    key: Any = None
    token: Any = None
    identity: Any = None
    incident: Any = None
    notice: Any = None
    bookmark: Any = None
    transfer: Any = None
    draft: Any = None
    reading: Any = None
    past: Any = None
    to_review: Any = None
    people: dict[str, Any] = field(default_factory=dict)
    tried: list[Any] = field(default_factory=list)

    @property
    def now(self) -> dt.datetime:
        return self.world.now

    @property
    def opened(self) -> Any:
        """Return a run of the grant whose output was recorded."""
        return self.grant.runs.exclude(recording="").latest("pk")

    @property
    def recorded(self) -> Any:
        """The same run, by the name in the addresses of pages."""
        return self.opened

    def others(self, page: str, who: str) -> list[tuple[str, Any]]:
        """For the page of a request or grant: one in each other state and of each kind that a person may see,
        by the name of the one that it replaces.
        """
        from sessions_app.models import AccessRequest, Grant, Workflow

        person = getattr(self.world, who)
        if page in ("request", "approval"):
            mine = AccessRequest.objects.visible_to(person)
            return [
                ("request", one) for one in mine.order_by("state", "kind", "pk").distinct("state", "kind")
            ]
        if page == "grant":
            sorts = ("state", "break_glass", "cluster__kind")
            mine = Grant.objects.visible_to(person).order_by(*sorts, "pk")
            return [("grant", one) for one in mine.distinct(*sorts)]
        if page == "incident":
            workflow = Workflow.objects.visible_to(person).order_by("kind", "source", "pk")
            return [("incident", one) for one in workflow.distinct("kind", "source")]
        return []

    def ago(self, **span: float) -> dt.datetime:
        return self.now - dt.timedelta(**span)


def make_scene(now: dt.datetime, recordings: Path, *, extremes: bool = True) -> Scene:
    """Make the scene in the database that Django uses; recordings go below the folder.

    With ``extremes`` some texts have their maximum length.
    """
    world = make_world(now)
    scene = Scene(world, recordings)
    # No sweeper runs beside the pages; the scene's own counts as alive at all of its times.
    acts.awake(now + dt.timedelta(hours=6))
    _people(scene)
    acts.change(world, FILES)
    with _targets() as targets:
        _history(scene)
        _afternoon(scene)
        _failing(scene, targets)
    _database(scene)
    _tools(scene)
    _desk(scene)
    _waiting(scene)
    _webhooks(scene)
    _transfer(scene)
    if extremes:
        world.request(scene.people["max"], now=now, reason="w" * 300, ticket="CHG-" + "9" * 100)
    return scene


def _transfer(scene: Scene) -> None:
    from tests.support.world.files import earlier_listing

    scene.transfer = earlier_listing(scene.grant, scene.now)


def _workflow(scene: Scene) -> None:
    """Create a change, a ticket, and a workflow of an external source, with the source's deliveries."""
    from sessions_app.models import Cluster, InboundDelivery, Workflow, WorkflowSource

    world = scene.world
    world.workflow(
        "change", world.bob, now=scene.now, title="New kernel on the web servers", assignee="alice"
    )
    world.workflow(
        "ticket", world.dora, now=scene.ago(hours=1), title="A customer's <b>refund</b>", assignee="alice"
    )
    desk = WorkflowSource.objects.get(name="desk")
    outside = Workflow.objects.create(
        provider=desk.provider,
        source=desk,
        outside_id="T-17",
        ref="desk:T-17",
        kind="ticket",
        severity="P3",
        title="Printer on fire",
        assigned=["alice@example.com"],
        facts={"service": "printers"},
        url="https://desk.example.com/T-17",
        read_at=scene.ago(minutes=3),
        read_error="It does not answer: timeout",
    )
    outside.clusters.set(Cluster.objects.filter(name="web"))
    for number, (state, event) in enumerate(
        (("handled", "ticket.changed"), ("ignored", "ping"), ("received", "x" * 100))
    ):
        InboundDelivery.objects.create(
            source=desk,
            key=f"msg_{number}",
            event=event,
            state=state,
            closed=number,
            hints=[{"id": "T-17", "closed": False, "whole": False}],
        )


def _webhooks(scene: Scene) -> None:
    """Create webhook deliveries, some accepted and one refused."""
    from sessions_app.models import WebhookEndpoint, WebhookMessage, WebhookState
    from sessions_app.operations.notifications.gather_webhooks import gather_webhooks

    gather_webhooks(now=scene.now)
    newest = WebhookMessage.objects.order_by("-pk")
    WebhookMessage.objects.exclude(pk=newest[0].pk).update(
        state=WebhookState.SENT,
        sent_at=scene.now,
        attempts=1,
        last_status=200,
        milliseconds=84,
        next_attempt_at=None,
    )
    WebhookMessage.objects.filter(pk=newest[0].pk).update(
        attempts=2,
        last_status=503,
        last_error="The receiver returned status 503.",
        next_attempt_at=acts.after(scene, minutes=5),
    )
    WebhookEndpoint.objects.update(sent_at=scene.now, failing_since=scene.now, failures=1)


@contextlib.contextmanager
def _targets() -> Iterator[Any]:
    """Use targets that respond, so that revocations are confirmed."""
    from sessions_app.connectors.fake import FakeConnector
    from tests.support.world.fakes import serving

    fake = FakeConnector(kind="ssh")
    with serving(lambda: fake):
        yield fake


def _people(scene: Scene) -> None:
    from accounts.models import Identity
    from accounts.operations.create_identity import create_identity
    from accounts.operations.link_provider import link_provider

    for username, name in NAMES.items():
        person = getattr(scene.world, username)
        person.name = name
        Identity.objects.filter(pk=person.pk).update(name=name)
    for username, (name, groups, zone) in PEOPLE.items():
        scene.people[username] = create_identity(
            username=username,
            name=name,
            email=f"{username}@example.com",
            groups=groups,
            time_zone=zone,
            actor=SETUP,
            now=scene.now,
        )
    scene.identity = scene.world.dora
    for person in (scene.world.alice, scene.world.dora):
        link_provider(
            issuer="https://id.example.com",
            subject=f"00u-{person.username}",
            email=person.email,
            now=scene.now,
        )


def _life(
    scene: Scene, at: dt.datetime, who: Any, lines: tuple[str, ...], *, minutes: int = 60, **ask: Any
) -> Any:
    """Request, approve (Bob), start the grant and try lines, a minute after each other."""
    world = scene.world
    grant = world.grant(now=at, who=who, duration=minutes * 60, **ask)
    grant.refresh_from_db()
    if not lines:
        return grant
    target = grant.targets.order_by("name").first()
    used = _use(grant, target)
    opened = acts.session(used, now=at, gateway="gateway-1")
    for number, line in enumerate(lines, 1):
        moment = at + dt.timedelta(minutes=number)
        tried = acts.run(used, opened, line, now=moment)
        scene.tried.append(tried)
        if tried.verdict == "allowed":
            _finish(scene, tried.run_id, line, moment)
    grant.opened = opened
    return grant


def _use(grant: Any, target: Any) -> Any:
    """Return the use of a grant at a time that may have passed, for which the gateway's own query returns
    nothing.
    """
    from accounts.actors import actor_of
    from sessions_app.operations.sessions.proofs.holder import Use
    from sessions_app.queries.catalog import command_sets as commands
    from sessions_app.queries.requests import facts

    return Use(
        grant_id=grant.pk,
        grant_ref=grant.ref,
        holder_id=grant.holder_id,
        holder=grant.holder.username,
        holder_kind=actor_of(grant.holder).kind,
        cluster=grant.cluster.name,
        host_ca=grant.cluster.host_ca,
        target=facts.target_facts(target),
        compiled=commands.compiled(grant.command_set_version, grant.parameters, grant.commands),
        expires_at=grant.expires_at,
        finish_seconds=grant.finish_seconds,
        mark=grant.mark,
        request_id=grant.request_id,
    )


def _finish(scene: Scene, run: int, line: str, at: dt.datetime) -> None:
    from sessions_app.operations.sessions.finish_run import finish_run

    text, status = (LOG, 0) if "journalctl" in line else (STATUS, 0) if "status" in line else ("", 0)
    if "haproxy" in line:
        text, status = FAILED, 5
    recording = _record(scene, f"{at:%Y-%m-%d}/run-{run}.cast", line, text, at)
    finish_run(
        run_id=run,
        state="done",
        exit_status=status,
        output_bytes=recording.output_bytes,
        recording=recording.path,
        recording_digest=recording.digest,
        recording_bytes=recording.file_bytes,
        now=at + dt.timedelta(seconds=2),
    )


def _record(scene: Scene, path: str, line: str, text: str, at: dt.datetime) -> Any:
    from sessions_app.gateways.core.recording import Recorder
    from sessions_app.queries.record.recording_files import Room

    recorder = Recorder(
        scene.recordings, path, title=line, started=at, room=Room(2**24, "a command has 16 MiB")
    )
    for part in text.splitlines(keepends=True):
        recorder.output(part.encode(), error=False)
    return recorder.close()


def _over(scene: Scene, grant: Any, at: dt.datetime, *, actor: Any = None, reason: str = "expired") -> Any:
    from sessions_app.models import EndReason
    from sessions_app.operations.grants.end_grant import end_grant
    from sessions_app.operations.sessions.close_session import close_session

    end_grant(grant_id=grant.pk, actor=actor, reason=EndReason(reason), now=at)
    if opened := getattr(grant, "opened", None):
        close_session(session_id=opened, reason="the grant ended", now=at)
    return acts.undo(grant, now=at)


def _history(scene: Scene) -> None:
    """Create the days before: grants that expired, that were ended, and that never started."""
    from sessions_app.operations.requests.review_break_glass import review_break_glass
    from sessions_app.operations.sweep.sweep import sweep

    world, people = scene.world, scene.people
    scene.past = _life(
        scene,
        scene.ago(days=6),
        world.alice,
        (
            "systemctl status --no-pager nginx",
            "systemctl restart nginx",
            "systemctl restart sshd",
            "journalctl --no-pager -u nginx -n 50",
            "systemctl stop nginx",
        ),
        reason="Renew the certificate of the shop before it runs out on Friday",
        ticket="CHG-40817",
    )
    _over(scene, scene.past, scene.ago(days=6) + dt.timedelta(hours=1))
    for day, person in enumerate((people["priya"], people["jonas"], world.robot, people["kofi"]), 2):
        lines = ("systemctl status --no-pager haproxy",)
        grant = _life(
            scene,
            scene.ago(days=day, hours=2),
            person,
            lines,
            parameters={"unit": "haproxy"},
            reason="Look why the queue grows at noon",
            minutes=30,
        )
        _over(
            scene,
            grant,
            scene.ago(days=day, hours=2) + dt.timedelta(minutes=9),
            actor=person,
            reason="released",
        )
    at = scene.ago(days=1, hours=3)
    grant = world.request(people["priya"], now=at, kind="break_glass", reason="Checkout answers 502").grant
    _start(grant, at)
    _over(scene, grant, at + dt.timedelta(minutes=41), actor=world.bob, reason="revoked")
    review_break_glass(
        grant_id=grant.pk,
        reviewer=world.bob,
        note="The restart was needed; see INC-7.",
        now=scene.ago(hours=20),
    )
    at = scene.ago(hours=5)
    scene.to_review = world.request(now=at, kind="break_glass", reason="The shop answers nobody").grant
    _start(scene.to_review, at)
    _over(scene, scene.to_review, at + dt.timedelta(minutes=6), actor=world.alice, reason="released")
    at = scene.ago(days=1, hours=1)
    world.decide(
        world.request(people["jonas"], now=at, reason="Try the new configuration"),
        world.dora,
        verdict="deny",
        comment="Not on the day before the sale. Staging has the same configuration: try it there.",
        now=at,
    )
    world.request(people["kofi"], now=scene.ago(days=1, minutes=50), reason="Nightly restart")
    sweep(now=lambda: scene.now, name="scene")


def _start(grant: Any, at: dt.datetime) -> Any:
    from sessions_app.operations.grants.provision_grant import provision_grant

    return provision_grant(grant_id=grant.pk, now=at)


def _afternoon(scene: Scene) -> None:
    """Create the grants in use now: with time left, ending soon, by break-glass, by a machine, and not
    started yet.
    """
    from sessions_app.models import CommandRun
    from sessions_app.operations.sessions.decide_hold import decide_hold

    world, people = scene.world, scene.people
    scene.grant = _life(
        scene,
        scene.ago(minutes=24),
        world.alice,
        (
            "systemctl status --no-pager nginx",
            "systemctl restart nginx",
            "systemctl restart sshd",
            "journalctl --no-pager -u nginx -n 50",
            "systemctl stop nginx",
            "systemctl restart nginx; id",
        ),
        minutes=120,
        reason="Renew the certificate of the shop",
        ticket="CHG-41007",
    )
    held = CommandRun.objects.get(grant=scene.grant, state="held")
    decide_hold(run_id=held.pk, actor=world.bob, allow=False, now=scene.ago(minutes=18))
    soon = _life(
        scene,
        scene.ago(minutes=52),
        people["jonas"],
        ("journalctl --no-pager -u nginx -n 50",),
        reason="Look at the slow requests of this morning",
    )
    assert soon.state == "active"
    _life(
        scene,
        scene.ago(minutes=3),
        world.robot,
        ("systemctl status --no-pager nginx",),
        reason="Canary check",
    )
    glass = world.request(
        people["priya"], now=scene.ago(minutes=12), kind="break_glass", reason="Checkout is down, INC-8"
    ).grant
    _start(glass, scene.ago(minutes=12))
    later = scene.now + dt.timedelta(hours=3)
    world.grant(
        who=people["kofi"],
        now=scene.now,
        start=False,
        starts_at=later,
        reason="Kernel update of the second half",
    )
    used = acts.use(scene.grant, now=scene.now)
    opened = acts.session(used, now=scene.now)
    for line in ("systemctl stop nginx", "journalctl --no-pager -u nginx -n 400"):
        scene.tried.append(acts.run(used, opened, line, now=scene.now))
    scene.run = CommandRun.objects.filter(grant=scene.grant, state="held").latest("pk")
    scene.grant.refresh_from_db()


def _failing(scene: Scene, targets: Any) -> None:
    """Create an end whose revocation a target does not confirm."""
    at = scene.ago(minutes=40)
    grant = _life(
        scene,
        at,
        scene.people["max"],
        ("systemctl restart nginx",),
        reason="Restart after the update",
        minutes=90,
    )
    targets.down = {"web-1"}
    _over(scene, grant, scene.ago(minutes=6), actor=scene.world.bob, reason="revoked")
    targets.down = set()
    grant.refresh_from_db()
    assert grant.state == "revoking", grant.state


def _database(scene: Scene) -> None:
    """Create a database: one grant in use, one that ended, and a server with drift."""
    from sessions_app.connectors.fake import FakeConnector
    from sessions_app.operations.grants.prepare_grant import prepare_grant
    from sessions_app.operations.targets.reconcile_all import reconcile_all
    from tests.support.world.fakes import serving

    fake = FakeConnector(kind="postgres")
    ask = {"cluster": "orders", "command_set": "read-orders", "parameters": {}}
    with serving(lambda: fake, kind="postgres"):
        at = scene.ago(hours=3)
        past = _life(
            scene, at, scene.world.alice, (), reason="A customer asks about an order", minutes=30, **ask
        )
        past = prepare_grant(grant_id=past.pk, now=lambda: at)
        _over(scene, past, scene.ago(hours=2, minutes=40), actor=scene.world.alice, reason="released")
        at = scene.ago(minutes=10)
        scene.reading = _life(scene, at, scene.world.alice, (), reason="Another order", minutes=90, **ask)
        scene.reading = prepare_grant(grant_id=scene.reading.pk, now=lambda: at)
        assert scene.reading.state == "active", scene.reading.last_error
        fake.tampered = {scene.reading.mark}
        fake.down = {"db-2"}
        reconcile_all(now=lambda: scene.now)


def _tools(scene: Scene) -> None:
    """Create an MCP server: an agent has called a tool, tried another ticket, and waits for approval."""
    from broker.kernel.crypto import token_digest
    from sessions_app.operations.sessions.authorize_use import authorize_use, only
    from sessions_app.operations.sessions.finish_run import finish_run
    from sessions_app.operations.sessions.proofs.token import ByToken
    from sessions_app.operations.sessions.try_call import try_call
    from sessions_app.policy.commands.mcp.decide import decided
    from tests.support.world.mcp_site import add_desk, grant_unseen, token_of

    add_desk(scene.world, 9000)
    token = token_of(grant_unseen(scene.world, reason="Summarize what the customer wrote"), scene.world)
    use = only(authorize_use(by=ByToken(token_digest(token), "desk")))
    assert use is not None
    opened = acts.session(use, now=scene.now, gateway="mcp-1")
    for name, ticket in (("read_ticket", "T-42"), ("read_ticket", "T-41"), ("close_ticket", "T-42")):
        tried = try_call(
            use=use, session_id=opened, call=decided(use.compiled, name, {"id": ticket}), now=scene.now
        )
        if tried.verdict == "allowed":
            finish_run(run_id=tried.run_id, state="done", now=scene.now)


def _desk(scene: Scene) -> None:
    """Create keys, tokens, a draft, a verified record, an incident, bookmarks."""
    from accounts.operations.add_ssh_key import add_ssh_key
    from accounts.operations.create_token import create_token
    from broker.audit.note import note_verification
    from broker.audit.verify import verify
    from sessions_app.models import Bookmark
    from sessions_app.operations.catalog.save_draft import save_draft
    from sessions_app.operations.workflows.open_workflow import open_workflow

    world, now = scene.world, scene.now
    scene.key = add_ssh_key(
        identity_id=world.alice.pk, public_key=PUBLIC_KEY, label="Laptop", actor=world.alice, now=now
    )
    scene.token, _ = create_token(
        identity_id=world.robot.pk,
        label="Canary",
        scopes=["read"],
        lifetime=dt.timedelta(days=30),
        actor=world.alice,
        now=now,
    )
    scene.draft = save_draft(
        source=FILES["command-sets/restart-web.yaml"].replace("[1, 1000]", "[1, 5000]"),
        actor=world.admin,
        now=now,
    )
    scene.incident = open_workflow(
        kind="incident",
        title="Checkout answers 502 to every third customer",
        severity="P1",
        clusters=["web"],
        actor=world.bob,
        now=scene.ago(minutes=14),
    )
    _workflow(scene)
    scene.bookmark = Bookmark.objects.create(
        identity=world.alice,
        page="request",
        name="Certificate, Fridays",
        query="cluster=web&set=restart-web&for=1h",
    )
    note_verification(verdict=verify(connection=connection), actor=SETUP, now=now)


def _waiting(scene: Scene) -> None:
    """Create requests and holds that wait for a decision."""
    from sessions_app.models import Comment, Notice
    from sessions_app.operations.requests.extend_grant import extend_grant
    from sessions_app.operations.requests.withdraw_request import withdraw_request

    world, people, now = scene.world, scene.people, scene.now
    scene.request = world.request(
        now=scene.ago(minutes=5),
        reason="Move the shop to the new certificate and look that nobody notices",
        ticket="CHG-41012",
        starts_at=now + dt.timedelta(minutes=30),
        duration=7200,
    )
    Comment.objects.create(
        request=scene.request,
        author=world.bob,
        text="Why not with the nightly restart?",
        created_at=scene.ago(minutes=4),
    )
    Comment.objects.create(
        request=scene.request,
        author=world.alice,
        text="It would run out an hour before it.",
        created_at=scene.ago(minutes=2),
    )
    world.request(world.robot, now=now, reason="Deploy 2026.11.3", parameters={"unit": "haproxy"})
    world.request(
        people["priya"],
        now=now,
        cluster="checkout-eu",
        command_set="look-at-web",
        parameters={},
        duration=1800,
        reason="See why the payments are slow",
        ticket="INC-8812",
    )
    extend_grant(
        grant_id=scene.grant.pk,
        requester=world.alice,
        seconds=1800,
        reason="The reload takes longer",
        now=now,
    )
    withdraw_request(request_id=world.request(now=now, reason="Wrong cluster").pk, actor=world.alice, now=now)
    for number in range(60):
        asked = world.request(
            people["kofi"], now=now, reason=f"Restart number {number} of the long night", duration=1800
        )
        withdraw_request(request_id=asked.pk, actor=people["kofi"], now=now)
    scene.notice = Notice.objects.filter(identity=world.bob).latest("pk")
