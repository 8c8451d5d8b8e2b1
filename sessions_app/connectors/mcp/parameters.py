"""Connection parameters of an MCP server."""

from __future__ import annotations

import re

from pydantic import Field, SecretStr, field_validator

from sessions_app.connectors.base import ConnectionParameters, ConnectorError, TargetSpec


class MCPParameters(ConnectionParameters):
    """Connection settings for an MCP server. The caller's token is never sent to the server."""

    path: str = Field(
        default="/mcp", max_length=200, pattern=r"^/[A-Za-z0-9_./-]*$", description="Path of the MCP endpoint"
    )
    token: SecretStr | None = Field(
        default=None, description="Stint's bearer token, if the server requires one"
    )
    host: str = Field(
        default="",
        max_length=253,
        description="Host name for TLS and the Host header, if different from the address",
    )
    tls: bool = Field(default=True, description="Whether the server uses TLS")
    ca: str = Field(
        default="",
        max_length=20_000,
        description="CA certificates (PEM) of the server. Default: the system's",
    )

    @field_validator("token")
    @classmethod
    def _sendable(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not re.fullmatch(r"[\x21-\x7e]{1,4096}", token.get_secret_value()):
            raise ValueError("must be 1 to 4096 visible ASCII characters")
        return token


def parameters_of(place: TargetSpec) -> MCPParameters:
    """Return the connection parameters of a server. Raises ConnectorError for a target of another kind."""
    if not isinstance(place.parameters, MCPParameters):
        raise ConnectorError(
            f"The connection to {place.target.name} is not configured. Save the cluster's connection again.",
            permanent=True,
        )
    return place.parameters
