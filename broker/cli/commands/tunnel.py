"""`stint tunnel`: a local port without a password, for clients of PostgreSQL, HTTP APIs and Kubernetes."""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

import click

from .. import credentials, granting, peers, screen, served
from ..errors import CliError, Exit, Unreachable, Usage
from ..granting import Want
from ..localport import LocalPort
from ..options import CLUSTER, SET, CLICommand, about_asking, waits
from ..screen import clock_time
from ..shell import Shell, pass_shell
from ..tunneling import Login, Tunnel
from ..webtunneling import Access, WebTunnel
from ..wire import trust
from .ssh import asking

T = TypeVar("T")
Row = Mapping[str, Any]
# Shows how to use a local port.
Show = Callable[[int], None]
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
    """Open a local port to a PostgreSQL database, an HTTP API or a Kubernetes cluster.

    CLUSTER can also be a target or a grant. Uses one of your grants, or requests one and waits. The tunnel
    logs in to the database, or adds the token to each HTTP request, over verified TLS, so clients need no
    password. Shows what to enter in clients. Only programs of your account can connect; where the system
    can't show whose a connection is, as on macOS, clients need the random password that is shown. Runs until
    the grant ends or you press Ctrl-C.

    \b
      stint tunnel shop-db --port 5433
      stint tunnel web-api --port 8001
      stint tunnel prod-k8s --port 8002
    """
    grant, target = _grant(shell, place, asking(given))
    password = secrets.token_urlsafe(18) if with_password or not peers.are_known() else ""
    make = _TUNNELS.get(credentials.kind_of(shell, grant["cluster"]))
    if make is None:
        raise Usage(
            f"{grant['ref']} is not for PostgreSQL, HTTP or Kubernetes.", "Tunnels are only for these."
        )
    made, show = make(shell, grant, target, password)
    try:
        asyncio.run(_serve(shell, grant, made, show, port or 0))
    except KeyboardInterrupt:
        shell.note(f"\nThe tunnel is closed. {grant['ref']} may still be active: `stint status`.")
    except OSError as error:
        raise Usage(f"Port {port} can't be used: {error.strerror}.", "Choose another --port.") from None
    return Exit.DONE


def _grant(shell: Shell, place: str, asked: Mapping[str, Any]) -> tuple[Row, str | None]:
    """Return the grant, and the target if one is named. Raises CliError."""
    if re.fullmatch(served.GRANT, place, re.IGNORECASE):
        return granting.a_grant(shell, Want(grant=place, **asked)), None
    rows = [row for row in shell.wire.pages("/clusters", most=10_000) if row["kind"] in _TUNNELS]
    cluster, target = (place, None) if any(row["name"] == place for row in rows) else (None, place)
    if target and not any(one["name"] == place for row in rows for one in row["targets"]):
        raise CliError(
            f"There is no cluster or target {place!r} that tunnels reach.",
            "Run `stint offers` to list the access you can request.",
            status=Exit.NOT_FOUND,
            code="not_found",
        )
    want = Want(kinds=tuple(_TUNNELS), cluster=cluster, target=target, **asked)
    return granting.a_grant(shell, want), target


async def _serve(shell: Shell, grant: Row, made: LocalPort, show: Show, port: int) -> None:
    async with await made.serve(port) as server:
        show(server.sockets[0].getsockname()[1])
        try:
            why = await _until_ended(shell, grant)
        finally:
            await made.close()
    shell.note(f"{grant['ref']} has ended ({why}), so the tunnel is closed.")


def _renewing(renew: Callable[[], T]) -> Callable[[], Awaitable[T]]:
    """Return a function that calls ``renew`` in a thread, and raises ConnectionError if it fails."""

    async def renewed() -> T:
        try:
            return await asyncio.to_thread(renew)
        except CliError as error:
            raise ConnectionError(error.message) from error

    return renewed


# PostgreSQL


def _to_database(shell: Shell, grant: Row, target: str | None, password: str) -> tuple[LocalPort, Show]:
    def new_login() -> Login:
        return _login(shell, grant, target)

    login = new_login()
    made = Tunnel(login, _renewing(new_login), password=password)
    return made, lambda port: _show_database(shell, grant, login, port, password)


def _login(shell: Shell, grant: Row, target: str | None) -> Login:
    """Return how to log in, with a new credential. Raises CliError."""
    values = credentials.issue(shell, grant, target)["values"]
    mode = dict(parse_qsl(urlsplit(values.get("URI", "")).query)).get("sslmode")
    if mode not in _VERIFIED:
        raise CliError(
            "The database has no certificate that can be verified.",
            f"Use `stint psql {grant['cluster']}`, or ask an administrator to set sslmode to verify-full.",
            code="not_verified",
        )
    authority = next((text for label, text in values.items() if label.startswith("Authority")), "")
    names = (values["Username"], values["Password"], values["Database"])
    return Login(values["Host"], int(values["Port"]), *names, authority, check_host=mode == "verify-full")


def _show_database(shell: Shell, grant: Row, login: Login, port: int, password: str) -> None:
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
    _say_until(grant, password)


def _say_until(grant: Row, password: str) -> None:
    who = "Clients need the password" if password else "Only programs of your account can connect"
    until = clock_time(str(grant["expires_at"]))
    screen.say(f"\n{who}. The tunnel ends with {grant['ref']}, at {until}. Press Ctrl-C to close it.")


# HTTP and Kubernetes


def _to_api(shell: Shell, grant: Row, target: str | None, password: str) -> tuple[LocalPort, Show]:
    gateway = served.web_gateway(shell.wire.get("/web-gateway"))

    def new_access() -> Access:
        return _access(shell, grant, target, gateway.url.rstrip("/"))

    context = trust(shell.ca_file)
    if gateway.ca:
        context.load_verify_locations(cadata=gateway.ca)
    made = WebTunnel(new_access(), _renewing(new_access), context, password=password)
    return made, lambda port: _show_api(shell, grant, port, password)


def _access(shell: Shell, grant: Row, target: str | None, gateway: str) -> Access:
    """Return the address at the gateway, with a new token. Raises CliError."""
    if target is None and len(grant["targets"]) > 1:
        raise Usage(f"{grant['ref']} is for several targets.", f"Name one of {', '.join(grant['targets'])}.")
    values = credentials.issue(shell, grant, target)["values"]
    if values.get("Server", "").startswith(f"{gateway}/kubernetes/"):
        name = values["Server"].removeprefix(f"{gateway}/kubernetes/")
        return Access(f"{gateway}/kubernetes/{served.name(name)}", served.token(values["Token"]))
    if not any(_is_at(one, gateway) for one in values.get("Address", "").split(", ")):
        raise Usage(
            f"{grant['cluster']} is not behind Stint's own gateway.",
            "Use `stint run`, which passes the token.",
        )
    base = f"{gateway}/http/{served.name(target or grant['cluster'])}"
    return Access(base, served.token(values["Token"]))


def _is_at(address: str, gateway: str) -> bool:
    """Whether an HTTP cluster is at the gateway: by a path, or by a host name of its own at the same port."""
    there, here = urlsplit(address), urlsplit(gateway)
    return there.port == here.port and (there.netloc == here.netloc or not there.path)


def _show_api(shell: Shell, grant: Row, port: int, password: str) -> None:
    login = f"stint:{password}@" if password else ""
    url = f"http://{login}127.0.0.1:{port}/"
    if shell.json:
        about = {"grant": grant["ref"], "expires_at": grant["expires_at"], "password": password}
        screen.say_json({"url": url, **about}, lines=True)
        return
    screen.facts({"URL": url, "Token": "none, the tunnel adds it"})
    _say_until(grant, password)


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


_TUNNELS: Mapping[str, Callable[[Shell, Row, str | None, str], tuple[LocalPort, Show]]] = {
    "postgres": _to_database,
    "http": _to_api,
    "kubernetes": _to_api,
}
COMMANDS = (tunnel,)
