"""Connection parameters of a Kubernetes cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from sessions_app.connectors.base import ConnectionParameters
from sessions_app.connectors.keys import strong_key
from sessions_app.policy.commands.kubernetes.off_limits import ACCOUNTS
from sessions_app.policy.commands.kubernetes.texts import is_namespace


class KubernetesParameters(ConnectionParameters):
    """Connection settings for a Kubernetes cluster that `manage.py kubernetes_target_setup` has set up."""

    ca: str = Field(description="CA certificate of the API server, PEM (certificate-authority-data, decoded)")
    token: SecretStr = Field(description="Token of Stint's own service account")
    accounts: str = Field(default=ACCOUNTS, description="Namespace for the service accounts of grants")
    namespaces: tuple[str, ...] | None = Field(
        default=None,
        description="Namespaces that grants may reach. Default: all that the cluster allows Stint to grant",
    )
    server_name: str = Field(
        default="", description="Name in the API server's certificate, if different from the address"
    )
    audience: str = Field(default="", description="Audience of the tokens. Default: the API server's")

    direct: bool = Field(
        default=False,
        description=(
            "Give holders a credential for the cluster itself. Default: every request goes through Stint's "
            "gateway"
        ),
    )
    webhook_key: SecretStr | None = Field(
        default=None,
        description=(
            "Key with which API servers authenticate to Stint's authorization webhook, for clusters with "
            "`direct`; at least 32 random characters"
        ),
    )

    @classmethod
    def unused_secrets(cls, given: Mapping[str, Any]) -> frozenset[str]:
        """Return the unused secrets: behind Stint's gateway, no webhook decides the requests of grants."""
        return frozenset() if given.get("direct") else frozenset({"webhook_key"})

    _strong = field_validator("webhook_key")(strong_key)

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
            raise ValueError("must be a valid namespace name")
        return accounts

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.webhook_key is not None and not self.direct:
            raise ValueError("webhook_key is only used with direct: true. Remove it, or set direct: true")
        return self
