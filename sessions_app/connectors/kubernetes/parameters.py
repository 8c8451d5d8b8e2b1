"""How Stint logs in to a cluster of Kubernetes."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator

from sessions_app.connectors.base import ConnectionParameters
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS
from sessions_app.policy.commands.kubernetes.texts import is_namespace


class KubernetesParameters(ConnectionParameters):
    """What `manage.py kubernetes_target_setup` makes on the cluster, and where its API server is known from."""

    ca: str = Field(description="CA certificate of the API server, PEM (certificate-authority-data, decoded)")
    token: SecretStr = Field(description="Token of Stint's own service account")
    accounts: str = Field(default=ACCOUNTS, description="Namespace for the service accounts of grants")
    namespaces: tuple[str, ...] | None = Field(
        default=None,
        description="Namespaces that grants may reach. Default: all that the cluster lets Stint grant",
    )
    server_name: str = Field(
        default="", description="Name in the API server's certificate, if not the address"
    )
    audience: str = Field(default="", description="Audience of the tokens, if not the API server's default")

    @field_validator("ca")
    @classmethod
    def _pem(cls, ca: str) -> str:
        if "-----BEGIN CERTIFICATE-----" not in ca:
            raise ValueError("must be a certificate that begins with -----BEGIN CERTIFICATE-----")
        return ca.strip() + "\n"

    @field_validator("accounts")
    @classmethod
    def _namespace(cls, accounts: str) -> str:
        if not is_namespace(accounts):
            raise ValueError("must be the name of a namespace")
        return accounts
