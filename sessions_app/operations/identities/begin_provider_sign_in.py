"""Begin a sign-in through the identity provider, or confirm a person's identity there."""

from __future__ import annotations

import functools
import ipaddress

import structlog
from django.conf import settings

from broker.kernel.errors import NotFound, Unavailable
from sessions_app.issuers.fetch import CannotFetch
from sessions_app.issuers.provider import Asked, Client, Provider

# The path of the redirect URI, as registered at the provider.
ANSWER_PATH = "/sign-in/provider/answer/"

logger = structlog.get_logger(__name__)


class ProviderDoesNotAnswer(Unavailable):
    """The identity provider can't be reached. Try again in a moment."""

    code = "provider_does_not_answer"


def begin_provider_sign_in(*, confirms: bool = False) -> tuple[str, Asked]:
    """Return the URL to send the browser to, and the values that the response must match.

    Keep these values only in the browser's session.

    With ``confirms``, the provider must authenticate the person again. Otherwise, the provider may remember
    the person for as long as a sign-in to Stint lasts. Raises NotFound (no provider is configured),
    ProviderDoesNotAnswer.
    """
    asked = Asked.anew()
    try:
        return provider().address(asked, max_age=0 if confirms else settings.SESSION_COOKIE_AGE), asked
    except CannotFetch as error:
        raise no_answer(error) from error


def provider() -> Provider:
    """Return the configured provider. Raises NotFound."""
    if not settings.OIDC_ISSUER:
        raise NotFound("No identity provider is configured.", hint="Sign in with your password.")
    client = Client(
        settings.OIDC_ISSUER,
        settings.OIDC_CLIENT_ID,
        settings.OIDC_CLIENT_SECRET,
        f"{settings.PUBLIC_URL}{ANSWER_PATH}",
    )
    return _provider(client, tuple(settings.ISSUER_NETWORKS))


@functools.lru_cache(maxsize=1)
def _provider(client: Client, networks: tuple[str, ...]) -> Provider:
    """Return the provider, cached in this process with its endpoints and keys."""
    return Provider(client, allowed=[ipaddress.ip_network(text) for text in networks])


def no_answer(error: CannotFetch) -> ProviderDoesNotAnswer:
    """Log the reason for administrators, and return the error for the page, which omits the reason."""
    logger.warning("provider.no_answer", why=str(error))
    return ProviderDoesNotAnswer(
        f"{settings.OIDC_NAME} did not respond, or sent an invalid response.",
        hint="Try again in a minute. See the log of the web process for details.",
    )
