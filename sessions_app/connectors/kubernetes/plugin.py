#!/usr/bin/env python3
"""Request a grant's credential from Stint, for kubectl. Put this file on the PATH as `stint-kube-credential`.

    STINT_URL=https://stint.example STINT_TOKEN=… stint-kube-credential GR-7F3K [TARGET]

This single file needs only Python's standard library. STINT_TOKEN_FILE can name a file that contains the
token. STINT_CA_FILE can name a file with the CA of Stint's certificate. Nothing is written to disk: kubectl
keeps the credential in memory.

Source: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TextIO
from urllib.parse import urlsplit

API_VERSION = "client.authentication.k8s.io/v1"
SECONDS = 30
MAX_ANSWER = 1024 * 1024
_REF = re.compile(r"GR-[0-9A-Z]{4,13}")


class CannotAsk(Exception):
    """No credential could be obtained. The message gives the reason and the fix."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow no redirect: it could send the token to another host."""


def exec_credential(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an ExecCredential for kubectl from a response of Stint's API. Raises CannotAsk."""
    values, ends = answer.get("values"), answer.get("expires_at")
    token = values.get("Token") if isinstance(values, Mapping) else None
    if not isinstance(token, str) or not token or not isinstance(ends, str):
        raise CannotAsk("Stint returned no token. Is this grant on a Kubernetes cluster?")
    try:
        moment = dt.datetime.fromisoformat(ends.replace("Z", "+00:00")).astimezone(dt.timezone.utc)  # noqa: FURB162, UP017  # works in older Pythons
    except ValueError:
        raise CannotAsk("Stint returned an invalid expiry.") from None
    status = {"token": token, "expirationTimestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return {"apiVersion": API_VERSION, "kind": "ExecCredential", "status": status}


def ask(ref: str, target: str | None, env: Mapping[str, str]) -> dict[str, Any]:
    """Request a grant's credential from the API at STINT_URL.

    ``target`` selects a target if the grant has several. Raises CannotAsk.
    """
    if not _REF.fullmatch(ref):
        raise CannotAsk(f"{ref[:40]!r} is not a grant reference, such as GR-7F3K.")
    url = f"{_base(env)}/api/v1/grants/{ref}/credential"
    headers = {
        "Authorization": f"Bearer {_token(env)}",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    body = json.dumps({"target": target} if target else {}).encode()
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310  # _base rejects other schemes
    context = ssl.create_default_context(cafile=env.get("STINT_CA_FILE") or None)
    # Ignore proxy settings in the environment: only Stint may receive the token.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect
    )
    try:
        with opener.open(request, timeout=SECONDS) as answer:
            return _json(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise CannotAsk(_refusal(error)) from None
    except (OSError, ValueError) as error:
        raise CannotAsk(f"Stint at {url} did not respond: {error}") from None


def _json(answer: IO[bytes]) -> dict[str, Any]:
    data = json.loads(answer.read(MAX_ANSWER))
    return data if isinstance(data, dict) else {}


def _refusal(error: urllib.error.HTTPError) -> str:
    try:
        said = _json(error)
    except ValueError:
        said = {}
    words = " ".join(str(said[key]) for key in ("detail", "hint") if said.get(key)) or str(
        said.get("title") or error.reason
    )
    if error.code == 401:
        words += " Set STINT_TOKEN to an API token."
    return f"Stint refused ({error.code}): {words}"


def _base(env: Mapping[str, str]) -> str:
    url = env.get("STINT_URL", "").rstrip("/")
    parts = urlsplit(url)
    if not parts.hostname:
        raise CannotAsk("Set STINT_URL to the URL of Stint, such as https://stint.example.")
    if parts.scheme != "https" and not (parts.scheme == "http" and _here(parts.hostname)):
        raise CannotAsk("STINT_URL must begin with https://, to protect your token.")
    return url


def _here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token(env: Mapping[str, str]) -> str:
    token = env.get("STINT_TOKEN", "")
    if not token and env.get("STINT_TOKEN_FILE"):
        try:
            token = Path(env["STINT_TOKEN_FILE"]).read_text(encoding="utf-8")
        except OSError as error:
            raise CannotAsk(f"STINT_TOKEN_FILE can't be read: {error}") from None
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable():
        raise CannotAsk("Set STINT_TOKEN to an API token.")
    return token


def main(words: Sequence[str], env: Mapping[str, str], out: TextIO, err: TextIO) -> int:
    """Write an ExecCredential to ``out`` and return 0. On errors, write to ``err`` and return 1, or 2 for
    wrong arguments.
    """
    if len(words) not in (1, 2):
        err.write("usage: stint-kube-credential GR-XXXX [TARGET]\n")
        return 2
    try:
        out.write(
            json.dumps(exec_credential(ask(words[0], words[1] if len(words) > 1 else None, env))) + "\n"
        )
    except CannotAsk as error:
        err.write(f"stint: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, sys.stdout, sys.stderr))
