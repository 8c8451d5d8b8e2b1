"""The connector of http clusters.

Nothing is made on a target: a token opens what Stint says at each request, and nothing once its grant is over. What can be
proven at the target is that its door is shut: whoever comes without a good token is refused, by a proxy that asks Stint.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import http.client
import re
import secrets
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from sessions_app.connectors.base import (
    CheckStep,
    ConnectionParameters,
    ConnectorError,
    Evidence,
    GrantSpec,
    Lease,
    Observed,
    Place,
)
from sessions_app.connectors.registry import ConnectorType

# For one question; a look at a target asks three.
TIMEOUT_S = 6.0
_REFUSALS = (401, 403)
# A proxy that asks once at the start of a request has nothing to cut it with.
NOT_CUT = ["answers that had begun before the end"]
_PROBE = re.compile(r'probe="([0-9a-f]{64})"')
_MOST_READ = 64 * 1024
SETUP = (
    "Add the output of `manage.py http_target_setup {cluster}` to the proxy's configuration and reload it."
)


class HTTPParameters(ConnectionParameters):
    """How an application's proxy is reached and recognised."""

    proxy: Literal["nginx", "traefik", "caddy", "envoy"] = Field(
        description="Proxy in front of the application"
    )
    proxy_key: SecretStr = Field(
        description="Key that authenticates the proxy of this cluster; at least 32 random characters"
    )
    host: str = Field(
        default="", max_length=253, description="Host name for TLS and Host, if not the address"
    )
    base_path: str = Field(
        default="/",
        max_length=200,
        pattern=r"^/[A-Za-z0-9_./-]*$",
        description="Path prefix of protected requests",
    )
    tls: bool = Field(default=True, description="Whether the proxy uses TLS")
    ca: str = Field(
        default="",
        max_length=20_000,
        description="CA certificates (PEM) of the proxy. Default: the system's",
    )

    @field_validator("proxy_key")
    @classmethod
    def _strong(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value()
        if not 32 <= len(text) <= 512 or not re.fullmatch(r"[A-Za-z0-9_~.+/=-]+", text):
            raise ValueError(
                "must be 32 to 512 letters, digits and _ ~ . + / = -: generate one with `openssl rand -base64 32`"
            )
        return key


@dataclass(frozen=True, slots=True)
class _Said:
    """What the proxy answered."""

    status: int
    challenge: str


class HTTPConnector:
    """Asks proxies as a stranger would."""

    kind = "http"

    def provision(self, spec: GrantSpec) -> Lease:
        """Nothing has to be made."""
        return Lease(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place)

    def revoke(self, lease: Lease) -> Evidence:
        """Nothing has to be unmade: see that the door is shut."""
        return self.verify(lease)

    def verify(self, lease: Lease) -> Evidence:
        """Whoever comes without a token, or with one that is nobody's, must be refused."""
        place, asked_at = lease.place, _now()
        answers = {
            "without_token": _ask(place, {}).status,
            "with_unknown_token": _ask(
                place, {"Authorization": f"Bearer sgt_{secrets.token_urlsafe(32)}"}
            ).status,
        }
        shut = all(status in _REFUSALS for status in answers.values())
        return Evidence(
            gone=shut,
            detail={
                "asked": f"GET {_path(place)} at {_where(place)}", "statuses": answers, "made": 0, "removed": 0,
                "door": _door(answers.values()), "not_cut": NOT_CUT, "asked_at": asked_at, "answered_at": _now(),
            },
        )  # fmt: skip

    def observe(self, place: Place) -> list[Observed]:
        """Nothing of Stint is ever on a target."""
        _ask(place, {})
        return []

    def check(self, place: Place) -> list[CheckStep]:
        """Reachable; refuses strangers; asks Stint, with the right key."""
        fix = SETUP.format(cluster=place.cluster)
        nonce = secrets.token_hex(16)
        try:
            said = _ask(place, {"Stintprobe": nonce})
        except ConnectorError as error:
            return [
                CheckStep(
                    "reachable",
                    False,
                    error.message,
                    "Start the proxy, or fix the address, port and TLS settings.",
                )
            ]
        steps = [CheckStep("reachable", True, f"{_where(place)} answers {said.status}")]
        if said.status not in _REFUSALS:
            detail = f"a request without a token got {said.status}, so the proxy does not ask Stint"
            return [*steps, CheckStep("refuses requests without a token", False, detail, fix)]
        steps.append(
            CheckStep("refuses requests without a token", True, "a request without a token is refused")
        )
        return [*steps, _asks_stint(place, nonce, said, fix)]


def _door(statuses: Iterable[int]) -> str:
    """What the answers to strangers say."""
    seen = set(statuses)
    if seen <= set(_REFUSALS):
        return "shut"
    return (
        "open without a token"
        if any(status < 300 for status in seen)
        else "neither open nor refused by Stint"
    )


def _asks_stint(place: Place, nonce: str, said: _Said, fix: str) -> CheckStep:
    found = _PROBE.search(said.challenge)
    key = _parameters(place).proxy_key.get_secret_value()
    wanted = hmac.new(key.encode(), f"stint-probe:{nonce}".encode(), hashlib.sha256).hexdigest()
    if found is None:
        return CheckStep("asks Stint", False, "it refuses, but not because of Stint", fix)
    if not hmac.compare_digest(found[1], wanted):
        return CheckStep("asks Stint", False, "it uses another proxy key than the cluster's", fix)
    return CheckStep("asks Stint", True, "Stint refused it, using the cluster's proxy key")


def _parameters(place: Place) -> HTTPParameters:
    if not isinstance(place.parameters, HTTPParameters):
        raise ConnectorError(
            f"The connection to {place.target.name} is not configured. Save the cluster's connection again.",
            permanent=True,
        )
    return place.parameters


def origin_of(place: Place) -> str:
    """Return the public address of a target, without the path: ``https://api.example.com``. Raises ConnectorError."""
    parameters, target = _parameters(place), place.target
    scheme, usual = ("https", 443) if parameters.tls else ("http", 80)
    if parameters.host:
        # As clients write it, whatever stands in between.
        return f"{scheme}://{parameters.host}"
    host = f"[{target.address}]" if ":" in target.address else target.address
    return f"{scheme}://{host}" + ("" if target.port == usual else f":{target.port}")


def _path(place: Place) -> str:
    return _parameters(place).base_path


def _where(place: Place) -> str:
    return f"{place.target.address}:{place.target.port}"


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()


def _ask(place: Place, headers: Mapping[str, str]) -> _Said:
    """GET the base path. Raises ConnectorError for a target that does not answer as a proxy does."""
    parameters, target = _parameters(place), place.target
    connection = _connection(place, parameters)
    try:
        named = {"Host": parameters.host or target.address, "Connection": "close", **headers}
        connection.request("GET", parameters.base_path, headers=named)
        response = connection.getresponse()
        response.read(_MOST_READ)
        return _Said(response.status, ", ".join(response.headers.get_all("WWW-Authenticate", [])))
    except TimeoutError as error:
        raise ConnectorError(f"{target.name} ({_where(place)}) does not answer in time.") from error
    except ssl.SSLError as error:
        raise ConnectorError(
            f"{target.name} ({_where(place)}) failed TLS verification: {error.reason}."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise ConnectorError(f"{target.name} ({_where(place)}) does not answer: {why}.") from error
    finally:
        connection.close()


class _Named(http.client.HTTPSConnection):
    """HTTPS to an address, by the name that the certificate is for."""

    def __init__(self, address: str, port: int, *, name: str, context: ssl.SSLContext) -> None:
        super().__init__(address, port, timeout=TIMEOUT_S, context=context)
        self._name, self._tls = name, context

    def connect(self) -> None:
        raw = socket.create_connection((self.host, self.port), TIMEOUT_S)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self._name)


def _connection(place: Place, parameters: HTTPParameters) -> http.client.HTTPConnection:
    address, port = place.target.address, place.target.port
    if not parameters.tls:
        return http.client.HTTPConnection(address, port, timeout=TIMEOUT_S)
    try:
        context = ssl.create_default_context(cadata=parameters.ca or None)
    except ssl.SSLError as error:
        raise ConnectorError(
            f"The CA certificates of {place.target.name} can't be read. Use PEM.",
            permanent=True,
        ) from error
    return _Named(address, port, name=(parameters.host or address).partition(":")[0], context=context)


TYPE = ConnectorType(
    kind="http",
    title="HTTP",
    make=HTTPConnector,
    parameters=HTTPParameters,
    default_port=443,
    prepares=False,
    issues=True,
    sees=True,
)
