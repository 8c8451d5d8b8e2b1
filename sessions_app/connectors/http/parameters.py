"""Connection parameters of an HTTP cluster, which is reached through a proxy that consults Stint, or through
Stint's own gateway.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from sessions_app.connectors.base import ConnectionParameters, ConnectorError, TargetSpec
from sessions_app.connectors.keys import strong_key
from sessions_app.policy.commands.http.headers import why_not_injected

OWN = "stint"
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_SENDABLE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,8190}[\x21-\x7e])?")


def _sendable(secret: SecretStr) -> SecretStr:
    if _SENDABLE.fullmatch(secret.get_secret_value()) is None:
        raise ValueError("must be visible ASCII characters on one line, at most 8192")
    return secret


class Basic(BaseModel):
    """A user name and a password (RFC 7617)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    user: str = Field(
        min_length=1, max_length=255, pattern=r"^[^:\x00-\x1f\x7f]+$", description="User name at the target"
    )
    password: SecretStr = Field(description="Password at the target")

    _password = field_validator("password")(_sendable)


class OAuth(BaseModel):
    """OAuth 2.0 client credentials (RFC 6749 §4.4), with which the gateway obtains tokens for the target."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    token_url: str = Field(max_length=2000, description="Token endpoint; must be https")
    client_id: str = Field(
        min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$", description="Client ID at the token endpoint"
    )
    client_secret: SecretStr = Field(description="Client secret")
    scope: str = Field(
        default="", max_length=1000, pattern=r"^[\x20-\x7e]*$", description="Requested scope, if any"
    )

    _secret = field_validator("client_secret")(_sendable)

    @field_validator("token_url")
    @classmethod
    def _https(cls, url: str) -> str:
        parts = urlsplit(url)
        plain = re.fullmatch(r"https://[\x21-\x7e]+", url) and parts.hostname
        if not plain or parts.username is not None or parts.fragment:
            raise ValueError("must be an https URL without a user name or a fragment")
        return url


class Injection(BaseModel):
    """The target's credential, which the gateway adds to each request and no holder sees.

    Exactly one of these is set: header or query, with its value; basic; or oauth.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    header: str | None = Field(
        default=None, max_length=64, description="Request header that carries the credential"
    )
    query: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.~-]{1,64}$",
        description="Query parameter that carries the credential",
    )
    value: SecretStr | None = Field(default=None, description="Value of the header or the query parameter")
    basic: Basic | None = Field(default=None, description="User name and password")
    oauth: OAuth | None = Field(default=None, description="OAuth client credentials")

    @field_validator("header")
    @classmethod
    def _free(cls, name: str | None) -> str | None:
        if name is not None and (why := why_not_injected(name)):
            raise ValueError(why)
        return name

    @field_validator("value")
    @classmethod
    def _one_line(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else _sendable(value)

    @model_validator(mode="after")
    def _one(self) -> Self:
        ways = [name for name in ("header", "query", "basic", "oauth") if getattr(self, name) is not None]
        if len(ways) != 1:
            raise ValueError("needs exactly one of header, query, basic and oauth")
        if (ways[0] in ("header", "query")) != (self.value is not None):
            raise ValueError("needs a value with header or query, and no value with basic or oauth")
        return self


class HTTPParameters(ConnectionParameters):
    """Connection settings for an application, or for the proxy in front of it."""

    proxy: Literal["stint", "nginx", "traefik", "caddy", "envoy"] = Field(
        description=(
            "The proxy in front of the application, or `stint` if requests go through Stint's own gateway"
        )
    )
    proxy_key: SecretStr | None = Field(
        default=None,
        description="Key that authenticates the proxy of this cluster; at least 32 random characters",
    )
    public_host: str = Field(
        default="",
        max_length=253,
        pattern=rf"^({_LABEL}(\.{_LABEL})+)?$",
        description="A separate host name at Stint's gateway, in lowercase. Default: a path on the gateway",
    )
    inject: Injection | None = Field(
        default=None, description="Credential for the target, which Stint's gateway adds and no holder sees"
    )
    host: str = Field(
        default="",
        max_length=253,
        description="Host name for TLS and the Host header, if different from the address",
    )
    base_path: str = Field(
        default="/",
        max_length=200,
        pattern=r"^/[A-Za-z0-9_./-]*$",
        description="Path prefix of protected requests; Stint's own gateway adds it",
    )
    tls: bool = Field(default=True, description="Whether the proxy or the target uses TLS")
    ca: str = Field(
        default="",
        max_length=20_000,
        description="CA certificates (PEM) of the proxy or the target. Default: the system's",
    )

    @classmethod
    def unused_secrets(cls, given: Mapping[str, Any]) -> frozenset[str]:
        """Return the unused secrets: with Stint's own gateway, there is no proxy to authenticate."""
        return frozenset({"proxy_key"}) if given.get("proxy") == OWN else frozenset()

    @property
    def own(self) -> bool:
        """Whether requests go through Stint's own gateway."""
        return self.proxy == OWN

    _strong = field_validator("proxy_key")(strong_key)

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.own:
            unused = {"proxy_key": self.proxy_key is not None}
        else:
            unused = {"public_host": bool(self.public_host), "inject": self.inject is not None}
        for name, given in unused.items():
            if given:
                raise ValueError(f"{name} is not used with proxy: {self.proxy}: remove it")
        if not self.own and self.proxy_key is None:
            raise ValueError(f"proxy_key is missing: add the key with which {self.proxy} authenticates")
        return self


def parameters_of(place: TargetSpec) -> HTTPParameters:
    """Return the connection parameters of a target. Raises ConnectorError for a target of another kind."""
    if not isinstance(place.parameters, HTTPParameters):
        raise ConnectorError(
            f"The connection to {place.target.name} is not configured. Save the cluster's connection again.",
            permanent=True,
        )
    return place.parameters
