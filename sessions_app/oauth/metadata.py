"""The metadata of the authorization server (RFC 8414)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse

from accounts.clients import CLIENTS

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105
# The only type of authorization details that is supported (RFC 9396).
GRANT_DETAILS = "stint_grant"


def issuer() -> str:
    """Return the issuer identifier of this authorization server. The identifier has a path, so that no client
    appends a slash.
    """
    return f"{settings.PUBLIC_URL}/oauth"


def server_metadata() -> dict[str, Any]:
    """Return the members that RFC 8414 section 2 and RFC 8628 section 4 define, with absolute URLs."""

    def at(name: str) -> str:
        return f"{settings.PUBLIC_URL}{reverse(name)}"

    return {
        "issuer": issuer(),
        "token_endpoint": at("oauth_token"),
        "device_authorization_endpoint": at("oauth_device_authorization"),
        "introspection_endpoint": at("oauth_introspect"),
        "revocation_endpoint": at("oauth_revoke"),
        # There is no authorization endpoint, because no flow redirects through a browser.
        "response_types_supported": [],
        "grant_types_supported": [DEVICE_CODE, TOKEN_EXCHANGE],
        "authorization_details_types_supported": [GRANT_DETAILS],
        "token_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint_auth_methods_supported": ["Bearer"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "scopes_supported": sorted({scope for client in CLIENTS.values() for scope in client.scopes}),
        "service_documentation": at("api_docs"),
    }
