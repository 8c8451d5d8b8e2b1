"""Addresses of API servers, and the certificates that verify them."""

from __future__ import annotations

import functools
import ssl
from typing import Any

from yarl import URL

from sessions_app.connectors.base import ConnectorError, TargetSpec
from sessions_app.connectors.kubernetes.api import tls_context
from sessions_app.connectors.kubernetes.parameters import KubernetesParameters

# Building a context takes a few milliseconds.
_trusting = functools.lru_cache(maxsize=256)(tls_context)


def address_of(place: TargetSpec, target: str) -> URL:
    """Return the URL of an API server with a request target, unchanged."""
    address = place.target.address
    host = f"[{address}]" if ":" in address else address
    return URL(f"https://{host}:{place.target.port}{target}", encoded=True)


def parameters_of(place: TargetSpec) -> KubernetesParameters:
    """Return the connection settings of an API server. Raises ConnectorError."""
    if not isinstance(place.parameters, KubernetesParameters):
        raise ConnectorError(f"{place.target.name} has no Kubernetes parameters", permanent=True)
    return place.parameters


def tls_of(place: TargetSpec) -> dict[str, Any]:
    """Return the TLS arguments for a client session's requests to an API server. Raises ConnectorError."""
    parameters = parameters_of(place)
    try:
        context = _trusting(parameters.ca)
    except (ssl.SSLError, ValueError) as error:
        raise ConnectorError(
            f"the CA certificate of {place.target.name} can't be read", permanent=True
        ) from error
    return {"ssl": context, "server_hostname": parameters.server_name or place.target.address}
