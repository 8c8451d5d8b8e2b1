"""`manage.py production DIR`: write the files with which systemd and nginx run Stint, in the layout of the
root file system.

The command runs before settings are loaded, because it writes them.
"""

from __future__ import annotations

import argparse
import os
import pwd
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from broker.production.settings_file import settings_file

_FILES = Path(__file__).with_name("files")
_PLACE = re.compile(r"@([a-z_]+)@")
_WEB, _STREAMS = ("8000", "8002"), ("8001", "8003")
_OWNER = "DATABASE_OWNER_URL"
_KEY = "etc/stint/secret_key"
# The modes of files with secrets, which only root can read (except for the key), and of executable files.
_SECRET = ("etc/stint/owner.env", "etc/stint/stint.env", "etc/stint/database.sql", _KEY)
_RUN = ("usr/local/sbin/stint-manage",)


class NotWritableError(RuntimeError):
    """A file can't be written. The message gives the path and the reason."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The folder to write to, and the values for this machine."""

    folder: Path
    url: str
    prefix: Path
    account: str
    certificate: Path
    key: Path
    name: str
    replace: bool

    @property
    def host(self) -> str:
        """The host name in the URL of the pages."""
        return urlsplit(self.url).hostname or ""


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="manage.py production",
        description=(
            "Write systemd units, an nginx site and settings into DIR, in the layout of the root file"
            " system. Existing files that differ are kept and listed."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("folder", metavar="DIR", type=Path, help="folder to write to; / installs the files")
    add("--url", type=_https, required=True, help="https URL of the web pages")
    add(
        "--prefix",
        type=_absolute,
        default=Path("/opt/stint"),
        help="folder in which `make install` installed Stint",
    )
    add("--account", type=_account, default="stint", help="account that runs Stint")
    add(
        "--certificate",
        type=_absolute,
        default=Path("/etc/stint/tls/fullchain.pem"),
        help="nginx's certificate chain",
    )
    add(
        "--key",
        type=_absolute,
        default=Path("/etc/stint/tls/privkey.pem"),
        help="private key of nginx's certificate",
    )
    add("--name", type=_account, default=_own_name(), help="name of this machine's gateways")
    add(
        "--replace",
        action="store_true",
        help="replace files that differ, except those with settings and secrets",
    )
    return parser


def parse(argv: Sequence[str]) -> Options:
    """Parse the command line. Exits with a usage message if it is invalid."""
    return Options(**vars(command_line().parse_args(argv)))


def main(argv: Sequence[str]) -> int:
    """Write the files, and print what was done with each file. Return the exit status."""
    options = parse(argv)
    try:
        for path, said in write(options):
            sys.stdout.write(f"{said:9} {path}\n")
    except NotWritableError as error:
        sys.stderr.write(f"stint: {error}\n")
        return 1
    sys.stdout.write(
        f"Next: read {options.folder / 'etc/stint/stint.env'}, then continue with the Installation guide.\n"
    )
    return 0


def write(options: Options) -> Iterator[tuple[Path, str]]:
    """Write the files, and yield each path with `written`, `same`, `replaced` or `kept`.

    Files with secrets belong together: if one of them exists, none is written. Raises NotWritableError.
    """
    settled = any((options.folder / name).exists() for name in _SECRET)
    for name, text in files(options).items():
        path = options.folder / name
        try:
            if name in _SECRET:
                yield path, "kept" if settled else _put(path, text, mode=_mode(name), replace=False)
            else:
                yield path, _put(path, text, mode=_mode(name), replace=options.replace)
            if name == _KEY and path.exists() and os.geteuid() == 0:
                _give_to_group_of(options.account, path)
        except OSError as error:
            raise NotWritableError(f"{path} can't be written: {error.strerror or error}.") from None


def files(options: Options) -> dict[str, str]:
    """Return the text of each file by its path below the folder. Passwords and the secret key are new each
    time.
    """
    owner, app = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    values = _values(options) | {"owner_password": owner, "app_password": app}
    found = {
        str(path.relative_to(_FILES)): _filled(path.read_text(encoding="utf-8"), values)
        for path in sorted(_FILES.rglob("*"))
        if path.is_file()
    }
    found["etc/stint/stint.env"] = settings_file(_settings(options, app), without=(_OWNER,))
    found["etc/stint/owner.env"] = f"{_OWNER}=postgresql://stint_owner:{owner}@127.0.0.1:5432/stint\n"
    found[_KEY] = secrets.token_urlsafe(48) + "\n"
    return found


def _settings(options: Options, password: str) -> dict[str, str]:
    return {
        "DATABASE_URL": f"postgresql://stint_app:{password}@127.0.0.1:5432/stint",
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "STINT_SECRET_KEY_FILE": f"/{_KEY}",
        "STINT_STATE_DIR": "/var/lib/stint",
        "STINT_PUBLIC_URL": options.url,
        "STINT_ALLOWED_HOSTS": options.host,
        "STINT_BEHIND_PROXY": "1",
        "STINT_SSH_HOST": "0.0.0.0",  # noqa: S104  # people reach the gateways without nginx
        "STINT_SSH_PUBLIC_HOST": options.host,
        "STINT_POSTGRES_GATEWAY_HOST": "0.0.0.0",  # noqa: S104
        "STINT_GATEWAY_HOST": "0.0.0.0",  # noqa: S104
        "STINT_GATEWAY_PUBLIC_URL": f"https://{options.host}:8443",
    }


def _values(options: Options) -> dict[str, str]:
    current = options.prefix / "current"
    units = [
        *(f"stint-web@{port}" for port in _WEB),
        *(f"stint-streams@{port}" for port in _STREAMS),
        "stint-worker@1",
    ]
    return {
        "account": options.account,
        "current": str(current),
        "python": str(current / ".venv/bin/python"),
        "units": " ".join(f"{unit}.service" for unit in (*units, f"stint-gateway@{options.name}")),
        "url": options.url,
        "host": options.host,
        "certificate": str(options.certificate),
        "key": str(options.key),
        "web_servers": _servers(_WEB),
        "streams_servers": _servers(_STREAMS),
    }


def _servers(ports: Sequence[str]) -> str:
    return "\n".join(f"    server 127.0.0.1:{port} max_fails=2 fail_timeout=2s;" for port in ports)


def _filled(text: str, values: dict[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], text)


def _mode(name: str) -> int:
    if name in _RUN:
        return 0o755
    return 0o640 if name == _KEY else 0o600 if name in _SECRET else 0o644


def _put(path: Path, text: str, *, mode: int, replace: bool) -> str:
    """Write a file, if it doesn't exist or may be replaced. Return what was done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    there = path.exists()
    if there and path.read_text(encoding="utf-8") == text:
        return "same"
    if there and not replace:
        return "kept"
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    new.chmod(mode)
    new.replace(path)
    return "replaced" if there else "written"


def _give_to_group_of(account: str, path: Path) -> None:
    try:
        os.chown(path, -1, pwd.getpwnam(account).pw_gid)
    except KeyError:
        raise NotWritableError(
            f"The account {account} does not exist. Run `make install` first, or pass another account with"
            " --account."
        ) from None


def _own_name() -> str:
    return re.sub(r"[^a-z0-9-]", "-", os.uname().nodename.partition(".")[0].lower()) or "gateway"


def _https(value: str) -> str:
    url = urlsplit(value)
    if not re.fullmatch(r"https://[a-z0-9.-]+/?", value) or not url.hostname:
        raise argparse.ArgumentTypeError(
            f"{value} is not the https URL of a host. Use one like https://stint.example.com."
        )
    return value.rstrip("/")


def _absolute(value: str) -> Path:
    if not re.fullmatch(r"/[\w./-]*", value):
        raise argparse.ArgumentTypeError(
            f"{value} is not a valid path. Use an absolute path of letters, digits, dots, - and _."
        )
    return Path(value)


def _account(value: str) -> str:
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,62}", value):
        raise argparse.ArgumentTypeError(
            f"{value} is not a valid name. Use lowercase letters, digits, - and _."
        )
    return value
