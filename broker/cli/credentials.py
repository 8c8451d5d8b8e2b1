"""A grant's credentials, passed to a program through its environment or private files, never as arguments."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from . import served
from .errors import CliError, Usage
from .shell import Shell, cache_folder
from .sshing import config

Row = Mapping[str, Any]
# A program that runs with one grant must not get the caller's own token.
OWN = ("STINT_TOKEN", "STINT_TOKEN_FILE")
_TLS_OPTIONS = ("--ssl-verify-server-cert", "--ssl", "--skip-ssl-verify-server-cert", "--skip-ssl")


def kind_of(shell: Shell, cluster: str) -> str:
    """Return the kind of a cluster."""
    return str(shell.wire.get(f"/clusters/{cluster}")["kind"])


def issue(shell: Shell, grant: Row, target: str | None) -> Row:
    """Issue a new credential.

    There are no retries, because each credential replaces the previous one. Raises CliError.
    """
    body = {"target": target} if target else {}
    row: Row = shell.wire.post(f"/grants/{grant['ref']}/credential", body, again=False)
    return row


def postgres(shell: Shell, credential: Row, folder: Path | None = None) -> dict[str, str]:
    """Return the environment of libpq: the server, the user, the password, and the CA.

    The CA's file is in ``folder``, or in the cache.
    """
    values = credential["values"]
    query = dict(parse_qsl(urlsplit(values.get("URI", "")).query))
    env = {
        "PGHOST": values["Host"],
        "PGPORT": values["Port"],
        "PGDATABASE": values["Database"],
        "PGUSER": values["Username"],
        "PGPASSWORD": values["Password"],
        "PGSSLMODE": query.get("sslmode", "prefer"),
    }
    if authority := _authority_of(values):
        env["PGSSLROOTCERT"] = _authority_file(shell, authority, folder)
    elif query.get("sslrootcert") == "system":
        env["PGSSLROOTCERT"] = "system"
    return env


def mariadb(shell: Shell, credential: Row, folder: Path | None = None) -> tuple[list[str], dict[str, str]]:
    """Return the options of the mariadb client that select the server, the user and the CA, and the
    environment variable with the password.

    The CA's file is in ``folder``, or in the cache.
    """
    values = credential["values"]
    options = [f"--host={values['Host']}", f"--port={values['Port']}", f"--user={values['Username']}"]
    options += [word for word in shlex.split(credential["command"]) if word in _TLS_OPTIONS]
    if authority := _authority_of(values):
        options.append(f"--ssl-ca={_authority_file(shell, authority, folder)}")
    if database := values.get("Database"):
        options.append(f"--database={database}")
    return options, {"MYSQL_PWD": values["Password"]}


def _authority_of(values: Mapping[str, str]) -> str:
    return next((text for label, text in values.items() if label.startswith("Authority")), "")


def _authority_file(shell: Shell, text: str, folder: Path | None) -> str:
    # The name depends on the content, so that a file in use is never replaced by a different one.
    name = f"authority-{hashlib.sha256(text.encode()).hexdigest()[:16]}.pem"
    path = (folder or Path(cache_folder(shell.env))) / name
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return str(path)


def clean(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the caller's own token, and without variables that would override a
    credential.
    """
    unwanted = {*OWN, "PGSERVICE", "PGSERVICEFILE", "PGPASSFILE", "PGHOSTADDR", "PGOPTIONS"}
    return {name: value for name, value in env.items() if name not in unwanted}


def handed(shell: Shell, grant: Row, target: str | None, folder: Path) -> dict[str, str]:
    """Return the environment variables that let a program use a grant, and write the files that they name.

    ssh: ``STINT_SSH_CONFIG``, for ``ssh -F``. postgres: the variables of libpq. mariadb:
    ``STINT_MARIADB_CONFIG``, for ``mariadb --defaults-extra-file``. kubernetes: ``KUBECONFIG``. Others:
    ``STINT_GRANT_TOKEN`` and ``STINT_ADDRESS``. All: ``STINT_GRANT``, and ``STINT_CREDENTIAL_FILE`` if there
    is a credential.
    """
    kind = kind_of(shell, grant["cluster"])
    env = {"STINT_GRANT": str(grant["ref"]), "STINT_CLUSTER": str(grant["cluster"])}
    # For an MCP server, `connect` is the address.
    if grant["connect"] and kind != "mcp":
        return {**env, "STINT_SSH_CONFIG": _write(folder / "ssh_config", config(shell, grant))}
    credential = issue(shell, grant, target)
    libpq = postgres(shell, credential, folder) if kind == "postgres" else {}
    if "PGSSLROOTCERT" in libpq:
        credential = _with_authority(credential, libpq["PGSSLROOTCERT"])
    values = credential["values"]
    env["STINT_CREDENTIAL_FILE"] = _write(folder / "credential.json", json.dumps(credential))
    if kind == "postgres":
        env |= libpq
    elif kind == "mariadb":
        options = mariadb(shell, credential, folder)
        env["STINT_MARIADB_CONFIG"] = _write(folder / "mariadb.cnf", _option_file(*options))
    elif "Kubeconfig" in values:
        env["KUBECONFIG"] = _write(folder / "kubeconfig", served.kubeconfig(values, cluster=grant["cluster"]))
    elif "Token" in values:
        env["STINT_GRANT_TOKEN"] = values["Token"]
        addresses = [*values.get("Address", "").split(", "), *grant["connect"]]
        if address := next(filter(None, addresses), None):
            env["STINT_ADDRESS"] = address
    return env


def _with_authority(credential: Row, path: str) -> Row:
    """Return a PostgreSQL credential whose URI and command name this file of the CA."""
    values = dict(credential["values"])
    uri = urlsplit(values["URI"])
    query = urlencode({**dict(parse_qsl(uri.query)), "sslrootcert": path}, safe="/", quote_via=quote)
    values["URI"] = uri._replace(query=query).geturl()
    user, _, host = uri.netloc.rpartition("@")
    shown = uri._replace(query=query, netloc=f"{user.partition(':')[0]}@{host}").geturl()
    return {**credential, "values": values, "command": f"psql {shlex.quote(shown)}"}


def _option_file(options: Sequence[str], secret: Mapping[str, str]) -> str:
    lines = [*(word.removeprefix("--") for word in options), f"password={secret['MYSQL_PWD']}"]
    return "[client]\n" + "".join(f"{line}\n" for line in lines if not line.startswith("database="))


def named(credential_file: str | None, wanted: Mapping[str, str]) -> dict[str, str]:
    """Return additional environment variables. ``wanted`` maps their names to the labels of values of the
    credential.
    """
    if not wanted:
        return {}
    if credential_file is None:
        raise CliError("This grant does not use a credential.", "Remove --env.", code="no_credential")
    values = json.loads(Path(credential_file).read_text(encoding="utf-8"))["values"]
    by_label = {label.lower(): value for label, value in values.items()}
    unknown = [label for label in wanted.values() if label.lower() not in by_label]
    if unknown:
        raise Usage(f"The credential has no {unknown[0]}.", f"Use one of: {', '.join(values)}.")
    return {name: by_label[label.lower()] for name, label in wanted.items()}


def _write(path: Path, text: str) -> str:
    """Create a file that only its owner can read, and return its path."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return str(path)
