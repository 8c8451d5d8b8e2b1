"""A grant's credentials, passed to a program through its environment or private files, never as arguments."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

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


def postgres(shell: Shell, credential: Row) -> dict[str, str]:
    """Return the environment of libpq: the server, the user, the password, and the CA."""
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
    authority = next((text for label, text in values.items() if label.startswith("Authority")), "")
    if authority:
        env["PGSSLROOTCERT"] = _authority(shell, authority)
    elif query.get("sslrootcert") == "system":
        env["PGSSLROOTCERT"] = "system"
    return env


def mariadb(shell: Shell, credential: Row) -> tuple[list[str], dict[str, str]]:
    """Return the options of the mariadb client that select the server, the user and the CA, and the
    environment variable with the password.
    """
    values = credential["values"]
    options = [f"--host={values['Host']}", f"--port={values['Port']}", f"--user={values['Username']}"]
    options += [word for word in shlex.split(credential["command"]) if word in _TLS_OPTIONS]
    authority = next((text for label, text in values.items() if label.startswith("Authority")), "")
    if authority:
        options.append(f"--ssl-ca={_authority(shell, authority)}")
    if database := values.get("Database"):
        options.append(f"--database={database}")
    return options, {"MYSQL_PWD": values["Password"]}


def _authority(shell: Shell, text: str) -> str:
    # The name depends on the content, so that a file in use is never replaced by a different one.
    path = Path(cache_folder(shell.env)) / f"authority-{hashlib.sha256(text.encode()).hexdigest()[:16]}.pem"
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
    values = credential["values"]
    env["STINT_CREDENTIAL_FILE"] = _write(folder / "credential.json", json.dumps(credential))
    if kind == "postgres":
        env |= postgres(shell, credential)
    elif kind == "mariadb":
        env["STINT_MARIADB_CONFIG"] = _write(folder / "mariadb.cnf", _option_file(shell, credential))
    elif "Kubeconfig" in values:
        env["KUBECONFIG"] = _write(folder / "kubeconfig", served.kubeconfig(values, cluster=grant["cluster"]))
    elif "Token" in values:
        env["STINT_GRANT_TOKEN"] = values["Token"]
        addresses = [*values.get("Address", "").split(", "), *grant["connect"]]
        if address := next(filter(None, addresses), None):
            env["STINT_ADDRESS"] = address
    return env


def _option_file(shell: Shell, credential: Row) -> str:
    options, secret = mariadb(shell, credential)
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
