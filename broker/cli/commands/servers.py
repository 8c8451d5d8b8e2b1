"""Commands that sign in and out, and show the current user and profiles."""

from __future__ import annotations

import datetime as dt
import sys
import webbrowser
from dataclasses import replace
from typing import Any

import click

from .. import oauth, profiles, screen, served
from ..errors import CliError, NotSignedIn, Usage
from ..options import CLICommand
from ..profiles import Profile
from ..shell import Shell, pass_shell
from ..wire import Wire


@click.command(cls=CLICommand)
@click.argument("url", required=False)
@click.option("--as", "name", metavar="NAME", help="Profile name. Default: the server's host.")
@click.option("--browser", is_flag=True, help="Open the URL in a browser.")
@click.option("--with-token", is_flag=True, help="Read an API token from standard input.")
@pass_shell
def login(shell: Shell, url: str | None, name: str | None, browser: bool, with_token: bool) -> None:
    """Sign in to the Stint server at URL. Without URL, sign in again to the current server.

    Prints a code and a URL. Open the URL in a browser, on any machine, and enter the code. The token expires
    after 12 hours and is stored in ~/.config/stint, readable only by you.
    """
    place = _place(shell, url, name)
    wire = Wire(place.url, ca_file=shell.ca_file)
    token, expires = _given() if with_token else _by_code(shell, wire, browser=browser)
    me = Wire(place.url, token, ca_file=shell.ca_file).get("/me")
    profile = replace(place, token=token, user=str(me["username"]), expires_at=expires)
    where = profiles.save(profiles.load(shell.env).keeping(profile), shell.env)
    said = {
        "profile": profile.name,
        "url": profile.url,
        "username": profile.user,
        "expires_at": expires or None,
    }
    until = f" until {screen.clock_time(expires)}" if expires else ""
    shell.show(
        said, lambda: screen.say(f"Signed in to {profile.url} as {screen.plain(profile.user)}{until}.")
    )
    shell.note(f"The token is stored in {where}.")
    if profiles.env_token(shell.env):
        shell.note("STINT_TOKEN is set and takes precedence.")


def _place(shell: Shell, url: str | None, name: str | None) -> Profile:
    if url is None:
        try:
            found = profiles.place_of(shell.env, shell.profile, insecure=shell.insecure)
        except NotSignedIn:
            raise Usage("A URL is required: `stint login https://stint.example.com`.") from None
        name = name or found.name or profiles.name_for(found.url)
        return replace(found, name=profiles.checked_name(name), stored=True)
    url = profiles.checked_url(url, insecure=shell.insecure)
    name = profiles.checked_name(name or shell.profile or profiles.name_for(url))
    return Profile(name=name, url=url, insecure=shell.insecure)


def _given() -> tuple[str, str]:
    token = sys.stdin.readline().strip()
    if not token or not token.isascii() or not token.isprintable():
        raise Usage("There is no token on standard input.", "Pipe an API token to --with-token.")
    return token, ""


def _by_code(shell: Shell, wire: Wire, *, browser: bool) -> tuple[str, str]:
    codes = oauth.device_codes(wire)
    screen.say(f"Open  {screen.strong(screen.plain(codes['verification_uri']))}", err=True)
    screen.say(f"Enter {screen.strong(screen.plain(codes['user_code']))}", err=True)
    if browser:
        webbrowser.open(served.web_page(codes.get("verification_uri_complete") or codes["verification_uri"]))
    with screen.progress(quiet=shell.json) as line:
        line.show("Waiting for authorization.")
        answer = oauth.device_token(wire, codes)
    return str(answer["access_token"]), _expiry(answer.get("expires_in"))


def _expiry(seconds: Any) -> str:
    if not isinstance(seconds, int):
        return ""
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


@click.command(cls=CLICommand)
@click.option("--all", "everywhere", is_flag=True, help="Sign out of all servers.")
@pass_shell
def logout(shell: Shell, everywhere: bool) -> None:
    """Sign out: revoke the token, and delete it from this machine."""
    stored = profiles.load(shell.env)
    chosen = stored.chosen(shell.profile)
    gone = list(stored.servers.values()) if everywhere else [chosen] if chosen else []
    if not gone:
        raise NotSignedIn
    for profile in gone:
        problem = _revoke(shell, profile)
        stored = stored.without(profile.name)
        profiles.save(stored, shell.env)
        if problem:
            shell.note(
                f"The token for {profile.url} could not be revoked ({problem}). Revoke it on your account"
                " page."
            )
    names = [profile.name for profile in gone]
    shell.show({"signed_out": names}, lambda: screen.say(f"Signed out of {', '.join(names)}."))


def _revoke(shell: Shell, profile: Profile) -> str:
    try:
        oauth.revoke(Wire(profile.url, profile.token, ca_file=shell.ca_file), profile.token)
    except NotSignedIn:
        return ""
    except CliError as error:
        return "" if error.code == "invalid_token" else error.message.rstrip(".")
    return ""


@click.command(cls=CLICommand)
@pass_shell
def whoami(shell: Shell) -> None:
    """Show who you are and what your token can do."""
    profile = profiles.signed_in(shell.env, shell.profile, insecure=shell.insecure)
    me = shell.wire.get("/me")
    said = {
        "profile": profile.name or None,
        "url": profile.url,
        "token_expires_at": profile.expires_at or None,
        **me,
    }
    pairs = {
        "Server": profile.url,
        "Profile": profile.name or "from the environment",
        "You": screen.plain(f"{me['username']} ({me['name']})" if me["name"] else me["username"]),
        "Kind": screen.plain(me["kind"]) if me["kind"] != "person" else "",
        "Groups": screen.plain(", ".join(me["groups"])),
        "Scopes": screen.plain(", ".join(me["scopes"] or ())),
        "Until": screen.clock_time(profile.expires_at) if profile.expires_at else "",
    }
    shell.show(said, lambda: screen.facts(pairs))


@click.command(cls=CLICommand)
@click.argument("name", required=False)
@pass_shell
def profile(shell: Shell, name: str | None) -> None:
    """List the servers you are signed in to, or switch to the profile NAME."""
    stored = profiles.load(shell.env)
    if name is not None:
        if name not in stored.servers:
            raise Usage(f"Profile {name!r} not found. Profiles: {', '.join(stored.servers) or 'none'}.")
        stored = replace(stored, current=name)
        profiles.save(stored, shell.env)
    rows = [
        {
            "name": one.name,
            "url": one.url,
            "username": one.user,
            "expires_at": one.expires_at or None,
            "current": one.name == stored.current,
        }
        for one in stored.servers.values()
    ]
    columns = {
        "": lambda row: "*" if row["current"] else " ",
        "NAME": lambda row: str(row["name"]),
        "SERVER": lambda row: str(row["url"]),
        "YOU": lambda row: screen.plain(row["username"]),
        "UNTIL": lambda row: screen.clock_time(row["expires_at"]),
    }
    shell.rows(rows, columns, empty="You are not signed in. Run `stint login URL`.")


COMMANDS = (login, logout, whoami, profile)
