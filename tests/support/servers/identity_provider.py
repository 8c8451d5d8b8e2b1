"""An OpenID Connect provider on loopback: it signs a person in on its own page, and issues and redeems one-
time codes.
"""

import base64
import contextlib
import hashlib
import html
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

from tests.support.servers.issuer import Issuer, issuer_on_loopback
from tests.support.waits import happens

CLIENT_ID, CLIENT_SECRET = "stint at work", "canary-client:secret/7f3a"


@dataclass
class IdentityProvider(Issuer):
    """``person`` is the next person to sign in, as claims of the ID token; None removes a claim.

    ``says`` changes its metadata, ``answer`` what it sends back with the browser; ``token`` replaces its next
    ID token.
    """

    person: dict[str, Any] = field(
        default_factory=lambda: {"sub": "00u1", "email": "alice@example.com", "email_verified": True}
    )
    says: dict[str, Any] = field(default_factory=dict)
    answer: dict[str, str] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    key: Any = None
    token: str | None = None
    # When the person last authenticated there, in seconds since 1970; None: at each sign-in.
    remembers: float | None = None
    # Some providers ignore `max_age` and `prompt`, or omit `auth_time`.
    heeds: bool = True
    tells: bool = True
    codes: dict[str, dict[str, Any]] = field(default_factory=dict)
    # The secrets that it issued, which must appear nowhere.
    given: list[str] = field(default_factory=list)

    def published(self, path: str) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(path)
        if parts.path not in ("/.well-known/openid-configuration", "/authorize"):
            return super().published(path)
        self.asked.append(parts.path)
        happens(self.awake)
        if parts.path in self.answers:
            return self.answers[parts.path]
        if parts.path == "/authorize":
            return self._page(parts.query)
        found = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "authorization_response_iss_parameter_supported": True,
            **self.says,
        }
        return 200, {}, json.dumps(found).encode()

    def _page(self, query: str) -> tuple[int, dict[str, str], bytes]:
        there = html.escape(self.let_in(query))
        page = f"<!doctype html><title>Provider</title><a href='{there}'>I am {self.person['email']}</a>"
        return 200, {"Content-Type": "text/html"}, page.encode()

    def let_in(self, query: str) -> str:
        """Sign the person in, and return where the browser is redirected to."""
        asked = {name: values[0] for name, values in parse_qs(query, strict_parsing=True).items()}
        assert asked["response_type"] == "code"
        assert {"openid", "email"} <= set(asked["scope"].split())
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe(16)
        self.codes[code] = {**asked, "auth_time": self._authenticated(asked)}
        self.given.append(code)
        sent = {"code": code, "state": asked["state"], "iss": self.url, **self.answer}
        return f"{asked['redirect_uri']}?{urlencode({name: value for name, value in sent.items() if value})}"

    def _authenticated(self, asked: dict[str, str]) -> int:
        now = time.time()
        known, longest = self.remembers or now, float(asked.get("max_age", "inf"))
        again = self.heeds and (asked.get("prompt") == "login" or now - known > longest or longest == 0)
        return int(now if again else known)

    def posted(self, path: str, headers: Any, body: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(path)
        happens(self.awake)
        if path in self.answers:
            return self.answers[path]
        sent = {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}
        asked = self.codes.pop(sent.get("code", ""), None)
        if path != "/token" or asked is None or not self._is_theirs(asked, sent, headers):
            return 400, {}, b'{"error": "invalid_grant"}'
        told = {"auth_time": asked["auth_time"]} if self.tells and "max_age" in asked else {}
        token = self.token or self.id_token(asked["nonce"], **told)
        given = {"access_token": secrets.token_urlsafe(16), "id_token": token, "token_type": "Bearer"}
        self.given += [given["access_token"], token]
        return 200, {}, json.dumps(given).encode()

    def _is_theirs(self, asked: dict[str, Any], sent: dict[str, str], headers: Any) -> bool:
        if "client_secret_post" in self.says.get("token_endpoint_auth_methods_supported", []):
            pair = [sent.get("client_id"), sent.get("client_secret")]
        else:
            kind, _, text = headers.get("Authorization", "").partition(" ")
            assert kind == "Basic", "the secret comes another way than is published"
            pair = [unquote_plus(part) for part in base64.b64decode(text).decode().split(":")]
        digest = hashlib.sha256(sent.get("code_verifier", "").encode()).digest()
        return (
            pair == [CLIENT_ID, CLIENT_SECRET]
            and sent.get("redirect_uri") == asked["redirect_uri"]
            and base64.urlsafe_b64encode(digest).decode().rstrip("=") == asked["code_challenge"]
        )

    def id_token(self, nonce: str, **told: int) -> str:
        # Not the database's clock: a server thread that queried it would keep its connection.
        at = int(time.time())
        claims = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "nonce": nonce,
            "iat": at,
            "exp": at + 300,
            **told,
            **self.person,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return self.sign(claims, key=self.key, **self.header)


@contextlib.contextmanager
def provider_on_loopback() -> Iterator[IdentityProvider]:
    """Run a provider until the block ends."""
    with issuer_on_loopback(IdentityProvider()) as provider:
        yield provider


def settings_of(provider: IdentityProvider) -> dict[str, Any]:
    """Return the Django settings for signing in there."""
    return {
        "OIDC_ISSUER": provider.url,
        "OIDC_CLIENT_ID": CLIENT_ID,
        "OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "OIDC_NAME": "Okta",
        "ISSUER_NETWORKS": ["127.0.0.0/8"],
    }


def environment_of(provider: IdentityProvider) -> dict[str, str]:
    """Return the same as environment variables."""
    return {
        "STINT_OIDC_ISSUER": provider.url,
        "STINT_OIDC_CLIENT_ID": CLIENT_ID,
        "STINT_OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "STINT_OIDC_NAME": "Okta",
        "STINT_ISSUER_NETWORKS": "127.0.0.0/8",
    }
