"""Connection parameters of a MariaDB server."""

from __future__ import annotations

import ssl
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from sessions_app.connectors.base import ConnectionParameters, ConnectorError, TargetSpec

Encryption = Literal["verify-full", "require", "disable"]
MAX_ACCOUNT = 80


def _plain(name: str) -> str:
    if not name.isprintable() or any(mark in name for mark in "'\"`\\"):
        raise ValueError("must have no quotation marks, backslashes or control characters")
    return name


Name = Annotated[str, AfterValidator(_plain)]


class MariaDBParameters(ConnectionParameters):
    """Connection settings for a MariaDB server: Stint's own account, the holders' database, and TLS."""

    user: Name = Field(
        default="stint_broker",
        min_length=1,
        max_length=MAX_ACCOUNT,
        description="Account that Stint logs in as. `manage.py mariadb_target_setup` prints how to create it",
    )
    password: SecretStr = Field(description="The password of that account")
    database: Name = Field(
        default="", max_length=64, description="Database that holders' clients open first. Default: none"
    )
    tls: Encryption = Field(
        default="verify-full",
        description=(
            "verify-full checks the server's certificate and name. require only encrypts, and disable"
            " doesn't encrypt. Use require and disable only on a trusted network"
        ),
    )
    ca: str = Field(
        default="",
        max_length=65536,
        description="CA certificate of the server, PEM. Default: the system's",
    )
    connection_limit: int = Field(
        default=5, ge=1, le=1000, description="Maximum number of connections for each grant"
    )
    xa_by_others: bool = Field(
        default=False,
        description=(
            "Whether other applications use XA transactions. Stint then doesn't report prepared "
            "transactions that"
            " appeared during a grant, because the server doesn't record who prepared them"
        ),
    )

    @model_validator(mode="after")
    def _authority(self) -> Self:
        if self.ca and "-----BEGIN CERTIFICATE-----" not in self.ca:
            raise ValueError("ca must be a PEM certificate that begins with -----BEGIN CERTIFICATE-----")
        return self

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS settings; None without TLS. Raises ssl.SSLError for an invalid CA certificate."""
        if self.tls == "disable":
            return None
        context = ssl.create_default_context(cadata=self.ca or None)
        if self.tls == "require":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def parameters_of(place: TargetSpec) -> MariaDBParameters:
    """Return the place's parameters. Raises ConnectorError for another kind of cluster."""
    if not isinstance(place.parameters, MariaDBParameters):
        raise ConnectorError(f"{place.target.name} has no MariaDB login. Set up its cluster.", permanent=True)
    return place.parameters
