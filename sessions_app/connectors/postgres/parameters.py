"""How Stint logs in to a PostgreSQL server."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from sessions_app.connectors.base import ConnectionParameters, ConnectorError, Place

Encryption = Literal["verify-full", "verify-ca", "require", "prefer", "disable"]
# What owns afterwards what holders made: a role that can do nothing, so that functions of theirs can do nothing either.
KEEPER = "stint_kept"
MAX_NAME_BYTES = 63


def _role_name(name: str) -> str:
    if len(name.encode()) > MAX_NAME_BYTES or not name.isprintable():
        raise ValueError(f"needs a name of at most {MAX_NAME_BYTES} bytes")
    return name


Name = Annotated[str, AfterValidator(_role_name)]


class PostgresParameters(ConnectionParameters):
    """The broker's own role on the server, the database that the cluster stands for, and how it is reached."""

    user: Name = Field(
        default="stint_broker", min_length=1,
        description="The role that Stint logs in as. `manage.py postgres_target_setup` prints how to make it",
    )  # fmt: skip
    password: SecretStr = Field(description="The password of that role")
    database: Name = Field(
        default="postgres", min_length=1,
        description="The database in which privileges are granted and holders work. What holders own is removed from all",
    )  # fmt: skip
    sslmode: Encryption = Field(
        default="verify-full",
        description="verify-full checks the server's certificate and name. require encrypts, but to whoever answers; "
        "prefer also goes on without encryption: both only where nobody else reaches the network",
    )
    sslrootcert: str = Field(
        default="", max_length=65536,
        description="The certificate of the authority that signed the server's, as PEM. Empty: the system's authorities",
    )  # fmt: skip
    connection_limit: int = Field(
        default=5, ge=1, le=1000, description="How many connections the holder of one grant may have at once"
    )
    reassign_to: Name = Field(
        default=KEEPER, min_length=1,
        description="The role that owns afterwards what holders made. It should have no login and no privileges; "
        f"{KEEPER} is made when it is needed",
    )  # fmt: skip
    read_statements: bool = Field(
        default=False,
        description="Show what holders run, as far as the server lets Stint see it. Statements may hold personal data",
    )

    @model_validator(mode="after")
    def _authority(self) -> Self:
        if self.sslrootcert and "-----BEGIN CERTIFICATE-----" not in self.sslrootcert:
            raise ValueError(
                "sslrootcert needs a certificate as PEM: it begins with -----BEGIN CERTIFICATE-----"
            )
        if self.sslmode == "verify-ca" and not self.sslrootcert:
            raise ValueError(
                "sslmode verify-ca needs sslrootcert: any authority of the system would do otherwise"
            )
        return self


def parameters_of(place: Place) -> PostgresParameters:
    """The place's parameters. Raises ConnectorError for those of another kind."""
    if not isinstance(place.parameters, PostgresParameters):
        raise ConnectorError(
            f"{place.target.name} has no login for PostgreSQL: open its cluster and set it up.",
            permanent=True,
        )
    return place.parameters
