"""Values from the server that are passed to other programs as arguments or in files.

A compromised or wrong server must not be able to run code here, so each value is checked against a strict
pattern.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import CliError, Unreachable

Row = Mapping[str, Any]
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
GRANT, REQUEST = "GR-[0-9A-Z]{4,13}", "REQ-[0-9]{1,9}"
_REF = re.compile(GRANT)
# RFC 1123 section 2.1, with the underscore that some internal names contain.
_HOST = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?"
)
_HOST_KEY = re.compile(r"[a-z0-9][a-z0-9@.-]{0,63} [A-Za-z0-9+/]+={0,2}")
_URL = re.compile(r"https://[A-Za-z0-9_.:\[\]-]+(/[!-~]*)?")
_CERTIFICATE = re.compile(
    r"-----BEGIN CERTIFICATE-----\n((?:[A-Za-z0-9+/]{1,64}={0,2}\n)+)-----END CERTIFICATE-----\n"
)
_PEM = re.compile(f"(?:{_CERTIFICATE.pattern})+")
_FINGERPRINT = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){31}")
_WEB = re.compile(r"https?://[!-~]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_TOKEN = re.compile(r"[!-~]+")


def _unfit(what: str) -> CliError:
    return CliError(f"Stint sent {what} that is not valid.", "Contact the administrator.", code="unfit_value")


def _fits(pattern: re.Pattern[str], value: object, what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _unfit(what)
    return value


def name(value: object) -> str:
    """Return the name of a target or a cluster. Raises CliError."""
    return _fits(_NAME, value, "a name")


def web_page(value: object) -> str:
    """Return the address of a page for the browser. Raises CliError."""
    return _fits(_WEB, value, "an address")


def token(value: object) -> str:
    """Return a token that can be a header's value. Raises CliError."""
    return _fits(_TOKEN, value, "a token")


def grant(row: Row) -> Row:
    """Return a grant whose reference, cluster and targets can be passed to programs. Raises CliError."""
    _fits(_REF, row["ref"], "a reference")
    for value in (row["cluster"], *row["targets"]):
        name(value)
    return row


@dataclass(frozen=True, slots=True)
class Gateway:
    """The address and the host keys of the SSH gateway."""

    host: str
    port: int
    keys: tuple[str, ...]


def gateway(row: Row) -> Gateway:
    """Return the SSH gateway. Raises CliError, including if there are no host keys, because ssh would
    then trust any server.
    """
    if not row["host_keys"]:
        raise CliError(
            "No SSH gateway has published its host keys.",
            "Try again when an SSH gateway is running.",
            code="no_host_keys",
        )
    port = row["port"]
    if type(port) is not int or not 0 < port < 65536:
        raise _unfit("a port")
    keys = tuple(_fits(_HOST_KEY, key, "a host key") for key in row["host_keys"])
    return Gateway(_host(row["host"]), port, keys)


@dataclass(frozen=True, slots=True)
class WebGateway:
    """The address and the certificates of the web gateways.

    ``ca``: PEM certificates, empty if the system's CAs apply. ``fingerprints`` are those of the
    certificates in ``ca``, or of the gateways' own certificates.
    """

    url: str
    ca: str
    fingerprints: list[str]


def web_gateway(row: Row) -> WebGateway:
    """Return the web gateways.

    Raises CliError, including when no gateway has published its certificate yet.
    """
    if not row["fingerprints"]:
        raise CliError(
            "No gateway has published its certificate.",
            "Try again when a gateway is running.",
            code="no_certificate",
        )
    found = [_fits(_FINGERPRINT, one, "a fingerprint") for one in row["fingerprints"]]
    if row["ca"] and not _fingerprints_of(row["ca"]) <= set(found):
        raise _unfit("a CA")
    return WebGateway(_fits(_URL, row["url"], "an address"), row["ca"], found)


def _fingerprints_of(pem: object) -> set[str]:
    text = _fits(_PEM, pem, "a CA")
    try:
        return {
            _fingerprint(base64.b64decode("".join(one.split()), validate=True))
            for one in _CERTIFICATE.findall(text)
        }
    except binascii.Error:
        raise _unfit("a CA") from None


def _fingerprint(der: bytes) -> str:
    return hashlib.sha256(der).digest().hex(":").upper()


def _host(value: object) -> str:
    try:
        return str(ipaddress.ip_address(str(value)))
    except ValueError:
        return _fits(_HOST, value, "a host")


def kubeconfig(values: Row, *, cluster: str, user: Row | None = None) -> str:
    """Return a kubeconfig as JSON. Only the cluster's address, CA and TLS name come from the server.

    ``values`` are those of a credential. ``user`` is the kubeconfig's user entry; by default, one with the
    credential's token. Raises CliError. Source:
    https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
    """
    served = _parsed(values)
    context = {"cluster": cluster, "user": "stint"}
    if values.get("Namespace"):
        context["namespace"] = name(values["Namespace"])
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": cluster,
        "clusters": [{"name": cluster, "cluster": served}],
        "users": [
            {"name": "stint", "user": user or {"token": _fits(_TOKEN, values.get("Token"), "a token")}}
        ],
        "contexts": [{"name": cluster, "context": context}],
    }
    return json.dumps(config, indent=2)


def _parsed(values: Row) -> dict[str, str]:
    """Return the cluster entry of the server's kubeconfig."""
    try:
        said = json.loads(values["Kubeconfig"])["clusters"][0]["cluster"]
        found = {"server": _fits(_URL, said["server"], "an address")}
    except (KeyError, IndexError, TypeError, ValueError):
        raise Unreachable("Stint sent a kubeconfig that can't be read.") from None
    authority = _fits(_BASE64, said.get("certificate-authority-data", ""), "a CA")
    if authority:
        found["certificate-authority-data"] = authority
    if "tls-server-name" in said:
        found["tls-server-name"] = _host(said["tls-server-name"])
    return found
