"""The Stint server to use, and its token: from `~/.config/stint/servers.json` and the environment.

`STINT_URL`, `STINT_TOKEN` and `STINT_TOKEN_FILE` take precedence over the file. `STINT_PROFILE` selects an
entry of the file. A stored token is sent only to the server that issued it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .errors import NotSignedIn, Usage

_FILE = "servers.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")


@dataclass(frozen=True, slots=True)
class Profile:
    """One server, and the token for it. ``expires_at`` is RFC 3339 text. ``insecure`` allows http:// to other
    hosts.
    """

    name: str
    url: str
    token: str = field(default="", repr=False)
    user: str = ""
    expires_at: str = ""
    insecure: bool = False
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Profiles:
    """All stored profiles."""

    current: str = ""
    servers: Mapping[str, Profile] = field(default_factory=dict)

    def chosen(self, name: str = "") -> Profile | None:
        """Return the profile with this name, or the current one."""
        return self.servers.get(name or self.current)

    def keeping(self, profile: Profile) -> Profiles:
        """Return the profiles with this profile added, as the current one."""
        return Profiles(profile.name, {**self.servers, profile.name: profile})

    def without(self, name: str) -> Profiles:
        """Return the profiles without the one with this name."""
        left = {key: value for key, value in self.servers.items() if key != name}
        return Profiles(self.current if self.current in left else next(iter(left), ""), left)


def folder(env: Mapping[str, str]) -> Path:
    """Return the folder of the file: `$XDG_CONFIG_HOME/stint`, else `~/.config/stint`."""
    base = env.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path(env.get("HOME") or Path.home()) / ".config") / "stint"


def load(env: Mapping[str, str]) -> Profiles:
    """Return the stored profiles; none if there is no file. Raises Usage if the file can't be read."""
    path = folder(env) / _FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Profiles()
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(
            f"{path} can't be read: {error}.", "Fix or remove the file, then run `stint login`."
        ) from None
    # Set the permissions again, because the file may have been copied without them.
    with contextlib.suppress(OSError):
        path.chmod(0o600)
    try:
        return _read(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise Usage(
            f"{path} is not a valid profiles file.", "Remove the file, then run `stint login`."
        ) from None


def _read(data: Any) -> Profiles:
    servers = {
        str(name): Profile(
            name=str(name),
            url=str(one["url"]),
            token=str(one.get("token", "")),
            user=str(one.get("user", "")),
            expires_at=str(one.get("expires_at", "")),
            insecure=bool(one.get("insecure", False)),
        )
        for name, one in data["servers"].items()
    }
    return Profiles(str(data.get("current", "")), servers)


def save(profiles: Profiles, env: Mapping[str, str]) -> Path:
    """Write the profiles atomically, and return the file's path."""
    place = folder(env)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    servers = {name: _kept(one) for name, one in profiles.servers.items()}
    text = json.dumps({"current": profiles.current, "servers": servers}, indent=2) + "\n"
    # Only the owner can read a file from mkstemp.
    handle, temporary = tempfile.mkstemp(dir=place, prefix=f".{_FILE}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(place / _FILE)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return place / _FILE


def _kept(profile: Profile) -> dict[str, Any]:
    kept = asdict(profile)
    del kept["name"], kept["stored"]
    return {name: value for name, value in kept.items() if value}


def place_of(env: Mapping[str, str], name: str = "", *, insecure: bool = False) -> Profile:
    """Return the selected server, without requiring a token. Raises Usage or NotSignedIn."""
    profiles = load(env)
    wanted = name or env.get("STINT_PROFILE", "")
    if wanted and wanted not in profiles.servers:
        known = ", ".join(profiles.servers) or "none"
        raise Usage(
            f"Profile {wanted!r} not found. Profiles: {known}.", "Create a profile with `stint login URL`."
        )
    url = "" if name else env.get("STINT_URL", "").strip()
    found = _at(profiles, url, wanted) if url else profiles.chosen(wanted)
    if found is None and not url:
        raise NotSignedIn
    found = found or Profile(name="", url=url, stored=False)
    return replace(found, url=checked_url(found.url, insecure=insecure or found.insecure))


def _at(profiles: Profiles, url: str, name: str) -> Profile | None:
    """Return the profile with exactly this URL, because a stored token is sent only to the URL of its
    profile.
    """
    fitting = [one for one in profiles.servers.values() if one.url == url.rstrip("/")]
    return next((one for one in fitting if one.name == (name or profiles.current)), next(iter(fitting), None))


def signed_in(env: Mapping[str, str], name: str = "", *, insecure: bool = False) -> Profile:
    """Return the selected server, with a token for it. Raises Usage or NotSignedIn."""
    found = place_of(env, name, insecure=insecure)
    token = env_token(env)
    if token:
        return replace(found, token=token, stored=False, user="", expires_at="")
    if not found.token:
        raise NotSignedIn(f"You are not signed in to {found.url}.", f"Run `stint login {found.url}`.")
    return found


def env_token(env: Mapping[str, str]) -> str:
    """Return the token from the environment, or an empty string. Raises Usage."""
    token = env.get("STINT_TOKEN", "")
    if not token and env.get("STINT_TOKEN_FILE"):
        try:
            token = Path(env["STINT_TOKEN_FILE"]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Usage(f"STINT_TOKEN_FILE can't be read: {error}.") from None
    token = token.strip()
    if not token.isascii() or (token and not token.isprintable()) or " " in token:
        raise Usage("The token in STINT_TOKEN or STINT_TOKEN_FILE is not a Stint token.")
    return token


def checked_url(url: str, *, insecure: bool = False) -> str:
    """Return the URL in its canonical form. Raises Usage if it is invalid or would send a token in plain
    text.
    """
    url = url.strip().rstrip("/")
    if "://" not in url:
        url = f"https://{url}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise Usage(f"{url!r} is not the URL of a Stint server.", "Use a URL like https://stint.example.com.")
    if parts.username or parts.password:
        raise Usage("The URL contains a username or password.", "Remove them: Stint uses tokens.")
    if parts.scheme == "http" and not insecure and not _here(parts.hostname):
        raise Usage(
            "http:// would expose your token.",
            "Use https://, or pass --insecure-http on a trusted network.",
        )
    return url


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def name_for(url: str) -> str:
    """Return the default name of a server's profile: its host, with the port if there is one."""
    return urlsplit(url).netloc


def checked_name(name: str) -> str:
    """Return the name if a profile can have it. Raises Usage."""
    if not _NAME.fullmatch(name):
        raise Usage(f"{name!r} is not a valid profile name.", "Use letters, digits, dots, - and _.")
    return name
