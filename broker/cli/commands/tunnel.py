"""`stint tunnel`: a local port without a password, for graphical clients of PostgreSQL."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import click

from .. import credentials, granting, peers, screen, served
from ..errors import CliError, Exit, Unreachable, Usage
from ..granting import Want
from ..options import CLUSTER, SET, CLICommand, about_asking, waits
from ..screen import clock_time
from ..shell import Shell, pass_shell
from ..tunneling import Login, Tunnel
from .ssh import asking

Row = Mapping[str, Any]
# Seconds between two checks whether the grant has ended.
_LOOK = 5.0
_VERIFIED = ("verify-full", "verify-ca")


@click.command(cls=CLICommand)
@click.argument("place", metavar="CLUSTER", type=CLUSTER)
@click.option("--port", type=click.IntRange(1024, 65535), help="Local port. Default: any free port.")
@click.option(
    "--password",
    "with_password",
    is_flag=True,
    help="Require a random password from clients on this machine.",
)
@click.option("--set", "command_set", type=SET, help="Request this command set.")
@about_asking
@waits
@pass_shell
def tunnel(shell: Shell, place: str, port: int | None, with_password: bool, **given: Any) -> int:
    """Open a local port to a PostgreSQL database, for graphical clients, and show what to enter there.

    CLUSTER can also be a target or a grant. Uses one of your grants, or requests one and waits. The tunnel
    logs in with the grant's credential over verified TLS, so clients need no password. Only programs of
    your account can connect; where the system can't show whose a connection is, as on macOS, clients need
    the random password that is shown. Runs until the grant ends or you press Ctrl-C.

    \b
      stint tunnel shop-db --port 5433
    """
    grant, target = _grant(shell, place, asking(given))
    login = _login(shell, grant, target)
    password = secrets.token_urlsafe(18) if with_password or not peers.are_known() else ""
    try:
        asyncio.run(_serve(shell, grant, target, login, port or 0, password))
    except KeyboardInterrupt:
        shell.note(f"\nThe tunnel is closed. {grant['ref']} may still be active: `stint status`.")
    except OSError as error:
        raise Usage(f"Port {port} can't be used: {error.strerror}.", "Choose another --port.") from None
    return Exit.DONE


def _grant(shell: Shell, place: str, asked: Mapping[str, Any]) -> tuple[Row, str | None]:
    """Return the grant, and the target if one is named. Raises CliError."""
    if re.fullmatch(served.GRANT, place, re.IGNORECASE):
        return granting.a_grant(shell, Want(grant=place, **asked)), None
    rows = [row for row in shell.wire.pages("/clusters", most=10_000) if row["kind"] == "postgres"]
    cluster, target = (place, None) if any(row["name"] == place for row in rows) else (None, place)
    if target and not any(one["name"] == place for row in rows for one in row["targets"]):
        raise CliError(
            f"There is no PostgreSQL cluster or target {place!r}.",
            "Run `stint offers` to list the access you can request.",
            status=Exit.NOT_FOUND,
            code="not_found",
        )
    want = Want(kinds=("postgres",), cluster=cluster, target=target, **asked)
    return granting.a_grant(shell, want), target


def _login(shell: Shell, grant: Row, target: str | None) -> Login:
    """Return how to log in, with a new credential. Raises CliError."""
    values = credentials.issue(shell, grant, target)["values"]
    if "URI" not in values or "Database" not in values or not values["URI"].startswith("postgresql:"):
        raise Usage(f"{grant['ref']} is not for PostgreSQL.", "Tunnels are only for PostgreSQL.")
    mode = dict(parse_qsl(urlsplit(values["URI"]).query)).get("sslmode")
    if mode not in _VERIFIED:
        raise CliError(
            "The database has no certificate that can be verified.",
            f"Use `stint psql {grant['cluster']}`, or ask an administrator to set sslmode to verify-full.",
            code="not_verified",
        )
    authority = next((text for label, text in values.items() if label.startswith("Authority")), "")
    names = (values["Username"], values["Password"], values["Database"])
    return Login(values["Host"], int(values["Port"]), *names, authority, check_host=mode == "verify-full")


async def _serve(
    shell: Shell, grant: Row, target: str | None, login: Login, port: int, password: str
) -> None:
    async def renew() -> Login:
        try:
            return await asyncio.to_thread(_login, shell, grant, target)
        except CliError as error:
            raise ConnectionError(error.message) from error

    made = Tunnel(login, renew, password=password)
    async with await made.serve(port) as server:
        _show(shell, grant, login, server.sockets[0].getsockname()[1], password)
        try:
            why = await _until_ended(shell, grant)
        finally:
            await made.close()
    shell.note(f"{grant['ref']} has ended ({why}), so the tunnel is closed.")


def _show(shell: Shell, grant: Row, login: Login, port: int, password: str) -> None:
    user, database = login.user, login.database
    uri = f"postgresql://{user}@127.0.0.1:{port}/{quote(database, safe='')}?sslmode=disable"
    entered = {"Host": "127.0.0.1", "Port": str(port), "Database": database, "User": user}
    document = {"grant": grant["ref"], "expires_at": grant["expires_at"], "uri": uri, "password": password}
    if shell.json:
        screen.say_json({**{name.lower(): value for name, value in entered.items()}, **document}, lines=True)
        return
    screen.say("Enter this in your client:\n")
    screen.facts(
        {
            **entered,
            "Password": password or "none, leave it empty",
            "SSL": "off; the tunnel encrypts",
            "URI": uri,
        }
    )
    who = "Clients need the password" if password else "Only programs of your account can connect"
    until = clock_time(str(grant["expires_at"]))
    screen.say(f"\n{who}. The tunnel ends with {grant['ref']}, at {until}. Press Ctrl-C to close it.")


async def _until_ended(shell: Shell, grant: Row) -> str:
    """Return why the grant ended, once it has."""
    ends = screen.moment(grant["expires_at"])
    while True:
        try:
            row = await asyncio.to_thread(shell.wire.get, f"/grants/{grant['ref']}")
            if row["state"] in ("revoking", "ended"):
                return screen.spoken(row["end_reason"] or row["state"])
            ends = screen.moment(row["expires_at"])
        except Unreachable:
            if ends is not None and dt.datetime.now(dt.UTC) > ends:
                return "expired"
        await asyncio.sleep(_LOOK)


COMMANDS = (tunnel,)
