"""The connector for HTTP clusters.

Nothing is created on a target. Stint decides at each request whether a token allows it. A token allows
nothing once the grant is over.

Behind another proxy, the connector can verify at the target that access is closed: the proxy consults Stint,
and refuses requests without a valid token. Behind Stint's own gateway, holders never have a credential for
the target, so there is nothing to verify: only the gateway gave access, and the gateway has cut it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import http.client
import re
import secrets
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sessions_app.connectors.base import (
    CheckStep,
    ConnectorError,
    Evidence,
    GrantSpec,
    Json,
    LeaseSpec,
    Observed,
    TargetSpec,
)
from sessions_app.connectors.http.parameters import HTTPParameters, parameters_of
from sessions_app.connectors.registry import ConnectorType

# Per request. A connector call sends at most two.
TIMEOUT_S = 6.0
_REFUSALS = (401, 403)
# A proxy consults Stint only at the start of a request, so it can't cut off a response that has begun.
NOT_CUT = ["responses that began before the grant ended"]
_PROBE = re.compile(r'probe="([0-9a-f]{64})"')
_MOST_READ = 64 * 1024
SETUP = (
    "Add the output of `manage.py http_target_setup {cluster}` to the proxy's configuration and reload it."
)


@dataclass(frozen=True, slots=True)
class _Said:
    """The proxy's response."""

    status: int
    challenge: str


class HTTPConnector:
    """Sends proxies requests without a valid token.

    To targets behind Stint's own gateway, it only opens connections.
    """

    kind = "http"

    def provision(self, spec: GrantSpec) -> LeaseSpec:
        """Return a lease. Nothing has to be created."""
        return LeaseSpec(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place)

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Verify that access is closed. Nothing has to be removed."""
        return self.verify(lease)

    def verify(self, lease: LeaseSpec) -> Evidence:
        """Check that requests without a token, and with an unknown one, are refused."""
        place, asked_at = lease.place, _now()
        if parameters_of(place).own:
            return Evidence(gone=True, detail=_BY_GATEWAY)
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
                "asked": f"GET {_path(place)} at {_where(place)}",
                "statuses": answers,
                "made": 0,
                "removed": 0,
                "access": _access(answers.values()),
                "not_cut": NOT_CUT,
                "asked_at": asked_at,
                "answered_at": _now(),
            },
        )

    def observe(self, place: TargetSpec) -> list[Observed]:
        """Return an empty list once the target has responded, because Stint creates nothing there."""
        if parameters_of(place).own:
            _connect(place)
        else:
            _ask(place, {})
        return []

    def check(self, place: TargetSpec) -> list[CheckStep]:
        """Check that the proxy is reachable, refuses requests without a token, and consults Stint with the
        right key.

        For Stint's own gateway, check that the target accepts connections.
        """
        if parameters_of(place).own:
            return [_takes_connections(place)]
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
        steps = [CheckStep("reachable", True, f"{_where(place)} returned {said.status}")]
        if said.status not in _REFUSALS:
            detail = f"a request without a token returned {said.status}, so the proxy does not consult Stint"
            return [*steps, CheckStep("refuses requests without a token", False, detail, fix)]
        steps.append(
            CheckStep("refuses requests without a token", True, "a request without a token is refused")
        )
        return [*steps, _asks_stint(place, nonce, said, fix)]


# No request is needed here: without the credential, the target responds to everyone in the same
# way.
_BY_GATEWAY: Mapping[str, Json] = {
    "access": "gateway",
    "made": 0,
    "removed": 0,
    "credential": "the gateway's alone",
    "not_cut": [],
}


def _takes_connections(place: TargetSpec) -> CheckStep:
    how = "TLS" if parameters_of(place).tls else "TCP"
    try:
        _connect(place)
    except ConnectorError as error:
        fix = "Start the target, or fix the address, port and TLS settings."
        return CheckStep("reachable", False, error.message, fix)
    return CheckStep("reachable", True, f"{_where(place)} accepts {how} connections from Stint")


def _access(statuses: Iterable[int]) -> str:
    """Return the meaning of the status codes of requests without a valid token."""
    seen = set(statuses)
    if seen <= set(_REFUSALS):
        return "refused by Stint"
    return (
        "open without a token"
        if any(status < 300 for status in seen)
        else "neither open nor refused by Stint"
    )


def _asks_stint(place: TargetSpec, nonce: str, said: _Said, fix: str) -> CheckStep:
    found = _PROBE.search(said.challenge)
    stored = parameters_of(place).proxy_key
    key = stored.get_secret_value() if stored else ""
    wanted = hmac.new(key.encode(), f"stint-probe:{nonce}".encode(), hashlib.sha256).hexdigest()
    if found is None:
        return CheckStep(
            "consults Stint", False, "the target refuses requests, but not because of Stint", fix
        )
    if not hmac.compare_digest(found[1], wanted):
        return CheckStep(
            "consults Stint", False, "the proxy uses a different proxy key than the cluster", fix
        )
    return CheckStep("consults Stint", True, "Stint refused the request, using the cluster's proxy key")


def origin_of(place: TargetSpec) -> str:
    """Return the public address of a target, without the path: ``https://api.example.com``.

    Raises ConnectorError.
    """
    parameters, target = parameters_of(place), place.target
    if parameters.own:
        raise ConnectorError(f"Holders reach {place.cluster} only through Stint's gateway.", permanent=True)
    scheme, usual = ("https", 443) if parameters.tls else ("http", 80)
    if parameters.host:
        # The address that clients use, regardless of any proxies before the target.
        return f"{scheme}://{parameters.host}"
    host = f"[{target.address}]" if ":" in target.address else target.address
    return f"{scheme}://{host}" + ("" if target.port == usual else f":{target.port}")


def _path(place: TargetSpec) -> str:
    return parameters_of(place).base_path


def _where(place: TargetSpec) -> str:
    return f"{place.target.address}:{place.target.port}"


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()


def _ask(place: TargetSpec, headers: Mapping[str, str]) -> _Said:
    """Send a GET request for the base path.

    Raises ConnectorError for a target that does not respond like a proxy.
    """
    parameters, target = parameters_of(place), place.target
    connection = _connection(place, parameters)
    named = {"Host": parameters.host or target.address, "Connection": "close", **headers}
    with _reported(place):
        try:
            connection.request("GET", parameters.base_path, headers=named)
            response = connection.getresponse()
            response.read(_MOST_READ)
            return _Said(response.status, ", ".join(response.headers.get_all("WWW-Authenticate", [])))
        finally:
            connection.close()


def _connect(place: TargetSpec) -> None:
    """Open a TCP or TLS connection and close it. Raises ConnectorError."""
    connection = _connection(place, parameters_of(place))
    with _reported(place):
        try:
            connection.connect()
        finally:
            connection.close()


@contextlib.contextmanager
def _reported(place: TargetSpec) -> Iterator[None]:
    """Convert connection errors to a ConnectorError with a readable message."""
    what = f"{place.target.name} ({_where(place)})"
    try:
        yield
    except TimeoutError as error:
        raise ConnectorError(f"{what} did not respond in time.") from error
    except ssl.SSLError as error:
        raise ConnectorError(f"{what} failed TLS verification: {error.reason}.") from error
    except (OSError, http.client.HTTPException) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise ConnectorError(f"{what} did not respond: {why}.") from error


class _Named(http.client.HTTPSConnection):
    """An HTTPS connection to an address, verified against the name in the certificate."""

    def __init__(self, address: str, port: int, *, name: str, context: ssl.SSLContext) -> None:
        super().__init__(address, port, timeout=TIMEOUT_S, context=context)
        self._name, self._tls = name, context

    def connect(self) -> None:
        raw = socket.create_connection((self.host, self.port), TIMEOUT_S)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self._name)


def _connection(place: TargetSpec, parameters: HTTPParameters) -> http.client.HTTPConnection:
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
