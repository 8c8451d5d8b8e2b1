"""Connection parameters of a PostgreSQL server."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from sessions_app.connectors.base import ConnectionParameters, ConnectorError, TargetSpec

Encryption = Literal["verify-full", "verify-ca", "require", "prefer", "disable"]
# The role that takes over holders' objects. It has no privileges, so holders' functions then have none
# either.
KEEPER = "stint_kept"
MAX_NAME_BYTES = 63


def _role_name(name: str) -> str:
    if len(name.encode()) > MAX_NAME_BYTES or not name.isprintable():
        raise ValueError(f"must be a name of at most {MAX_NAME_BYTES} bytes")
    return name


Name = Annotated[str, AfterValidator(_role_name)]


class PostgresParameters(ConnectionParameters):
    """Connection settings for a PostgreSQL server: Stint's own role, the database of the cluster, and TLS."""

    user: Name = Field(
        default="stint_broker",
        min_length=1,
        description="Role that Stint logs in as. `manage.py postgres_target_setup` prints how to create it",
    )
    password: SecretStr = Field(description="The password of that role")
    database: Name = Field(
        default="postgres",
        min_length=1,
        description=(
            "Database that holders use and in which privileges are granted. Holders' objects are removed from"
            " all databases"
        ),
    )
    sslmode: Encryption = Field(
        default="verify-full",
        description=(
            "verify-full checks the server's certificate and name. require only encrypts; prefer also "
            "connects without encryption. Use require and prefer only on a trusted network"
        ),
    )
    sslrootcert: str = Field(
        default="",
        max_length=65536,
        description="CA certificate of the server, PEM. Default: the system's",
    )
    connection_limit: int = Field(
        default=5, ge=1, le=1000, description="Maximum number of connections for each grant"
    )
    reassign_to: Name = Field(
        default=KEEPER,
        min_length=1,
        description=(
            "Role that takes ownership of holders' objects. It should have no login and no privileges; "
            f"{KEEPER} is created when needed"
        ),
    )
    read_statements: bool = Field(
        default=False,
        description=(
            "Show the statements that holders run, if the server allows it. They can contain personal data"
        ),
    )

    @model_validator(mode="after")
    def _authority(self) -> Self:
        if self.sslrootcert and "-----BEGIN CERTIFICATE-----" not in self.sslrootcert:
            raise ValueError(
                "sslrootcert must be a PEM certificate that begins with -----BEGIN CERTIFICATE-----"
            )
        if self.sslmode == "verify-ca" and not self.sslrootcert:
            raise ValueError(
                "sslmode verify-ca requires sslrootcert: otherwise any system CA would be accepted"
            )
        return self


def parameters_of(place: TargetSpec) -> PostgresParameters:
    """Return the place's parameters. Raises ConnectorError for another kind of cluster."""
    if not isinstance(place.parameters, PostgresParameters):
        raise ConnectorError(
            f"{place.target.name} has no PostgreSQL login. Set up its cluster.",
            permanent=True,
        )
    return place.parameters
