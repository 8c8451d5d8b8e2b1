"""A grant with rules for files, and what a gateway does for its page."""

import datetime as dt
import hashlib

from broker.kernel.crypto import place_of, seal
from broker.kernel.sealed_channel import new_key
from sessions_app.models import CommandOrder, OrderedFile
from sessions_app.operations.sessions.claim_order import claim_order
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.keep_piece import keep_piece
from sessions_app.operations.sessions.order_file import Content, Wanted, order_file
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from sessions_app.queries.gateways.ordered_files import key_of_file, packed, sealed_pieces
from tests.support.world import acts

SET = """
name: app-files
kind: ssh
summary: Files of the application
risk: medium
commands:
  - {get: "/var/log/app/{file}", where: {file: {name: 64}}}
  - {put: "/srv/app/releases/{file}.bin", max: 1KB, where: {file: {pattern: "[a-z0-9]{1,40}"}}}
  - {list: /var/log/app}
  - {list: /var/log/app/old}
  - {put: "/srv/app/held/{file}", hold: true, where: {file: {name: 64}}}
  - {run: echo hello, effect: read}
examples:
  allow: ["list /var/log/app"]
  refuse: ["get /etc/passwd"]
"""
GET, PUT, LIST, LIST_OLD, HELD, RUN = range(6)
LOG = "/var/log/app/access.log"


def file_grant(world):
    """Return an active grant of alice with rules for files."""
    policy = world.catalog["policies/web-work.yaml"].replace("[restart-web]", "[restart-web, app-files]")
    world.apply({"command-sets/app-files.yaml": SET, "policies/web-work.yaml": policy})
    return world.grant(command_set="app-files", parameters={})


def content(data: bytes) -> Content:
    """Return the content of an upload."""
    return Content(len(data), hashlib.sha256(data).hexdigest(), [data])


def order(grant, now: dt.datetime, *, who=None, target: str = "web-1", data: bytes | None = None, **wanted):
    """Order a transfer on the grant's page."""
    return order_file(
        grant_id=grant.pk,
        actor=who or grant.holder,
        target=target,
        wanted=Wanted(**wanted),
        content=content(data) if data is not None else None,
        client_address="192.0.2.9",
        now=now,
    )


def fetch(asked: CommandOrder, data: bytes, now: dt.datetime) -> CommandOrder:
    """Do what a gateway does with the order of a download or a listing of this content."""
    claimed = claim_order(
        order_id=asked.pk, gateway_id=renew_gateway(name="gateway-1", version="1", now=now).id, now=now
    )
    tried = acts.run(claimed.use, acts.session(claimed.use, now=now), asked.line, order_id=asked.pk, now=now)
    finish_run(run_id=tried.run_id, state="done", exit_status=0, now=now)
    keep(OrderedFile.objects.get(order=asked), data, now)
    asked.refresh_from_db()
    return asked


def keep(file: OrderedFile, data: bytes, now: dt.datetime, *, whole: bool = True) -> None:
    """Keep the pieces of a file; if not ``whole``, without the last one."""
    *pieces, last = sealed_pieces([data], key_of_file(file_id=file.pk))
    for number, sealed in enumerate(pieces):
        keep_piece(file_id=file.pk, number=number, sealed=sealed, now=now)
    if whole:
        digest = hashlib.sha256(data).hexdigest()
        keep_piece(file_id=file.pk, number=len(pieces), sealed=last, size=len(data), sha256=digest, now=now)


def listing(*entries: tuple[str, bool, int, int]) -> bytes:
    """Return the content of a listing."""
    return packed(entries)


def earlier_listing(grant, now: dt.datetime, name: str = "access.log") -> CommandOrder:
    """Return the order of a listing of a grant, whatever its rules are, with what a gateway brought: a file
    of this name, and two others.
    """
    asked = CommandOrder.objects.create(
        grant=grant,
        target=grant.targets.order_by("name").first(),
        line="list /var/log/app",
        asked_by=grant.holder,
        created_at=now - dt.timedelta(hours=1),
        lapses_at=now - dt.timedelta(minutes=59),
    )
    file = OrderedFile(
        order=asked,
        grant=grant,
        holder=grant.holder,
        direction="list",
        path="/var/log/app",
        kept_until=now + dt.timedelta(days=1),
    )
    file.sealed_key = seal(new_key(), place=place_of(file, "sealed_key"))
    file.save(force_insert=True)
    at = int(now.timestamp())
    keep(
        file,
        listing((name, False, 2048, at), ("n" * 120, False, 10**9, at), ("old", True, 0, at)),
        now,
    )
    return asked
