"""The demo's people and catalog, created with Stint's usual operations."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from accounts.models import Identity
from accounts.operations.add_ssh_key import add_ssh_key
from accounts.operations.create_identity import create_identity
from accounts.operations.create_token import create_token
from broker.audit.actor import Actor
from broker.demo.api import Api
from broker.demo.catalog import AGENT, PEOPLE, Host, Login, files
from broker.demo.release_catalog import RELEASER
from broker.kernel import clock
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.queries.gateways.keys import SSH_USER_CA, trusted_authorities

DEMO = Actor.system("demo")


@dataclass(frozen=True)
class Cast:
    """API clients of the people, the agent and the pipeline, and Priya's private SSH key."""

    priya: Api
    mara: Api
    jonas: Api
    scribe: Api
    releaser: Api
    key: Path


def ca_public_keys() -> list[str]:
    """Return the public keys that targets must trust."""
    ensure_authority(SSH_USER_CA, now=clock.now())
    return [key.public_key for key in trusted_authorities(SSH_USER_CA)]


def people(
    folder: Path,
    hosts: Sequence[Host],
    passwords: Mapping[str, str],
    url: str,
    *,
    database: Login,
    tickets: Login,
    prices: Login,
    desk: Login,
    release: Mapping[str, str],
) -> Cast:
    """Create the people with their passwords, and the catalog for the running servers. ``release``: the
    catalog files for releases.
    """
    now = clock.now()
    for username, (name, groups) in PEOPLE.items():
        create_identity(
            username=username,
            name=name,
            email=f"{username}@example.com",
            password=passwords[username],
            groups=groups,
            time_zone="Europe/Berlin",
            actor=DEMO,
            now=now,
        )
    create_identity(
        username="admin",
        email="admin@example.com",
        password=passwords["admin"],
        is_superuser=True,
        actor=DEMO,
        now=now,
    )
    priya = Identity.objects.get(username="priya")
    create_identity(username=AGENT, name="Scribe", kind="agent", owner=priya, actor=DEMO, now=now)
    create_identity(
        username=RELEASER, name="Release pipeline", kind="service", owner=priya, actor=DEMO, now=now
    )
    catalog = {**files(hosts, database, tickets, prices, desk), **release}
    apply_catalog(files=catalog, actor=DEMO, now=now)
    key = _new_key(folder)
    public = key.with_suffix(".pub").read_text(encoding="ascii")
    add_ssh_key(identity_id=priya.pk, public_key=public, label="laptop", actor=priya, now=now)
    return Cast(key=key, **{name: _api(url, name) for name in (*PEOPLE, AGENT, RELEASER)})


def _new_key(folder: Path) -> Path:
    key = folder / "priya_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "priya", "-f", str(key)], check=True)
    return key


def _api(url: str, username: str) -> Api:
    identity = Identity.objects.get(username=username)
    _, token = create_token(
        identity_id=identity.pk,
        label="demo",
        scopes=["read", "request", "decide", "end"],
        lifetime=dt.timedelta(days=1),
        actor=identity.owner or identity,
        now=clock.now(),
    )
    return Api(url, token)
