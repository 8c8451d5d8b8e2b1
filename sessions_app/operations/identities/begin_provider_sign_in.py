"""Begin a sign-in by the company's identity provider."""

from __future__ import annotations

import functools
import ipaddress

import structlog
from django.conf import settings

from broker.kernel.errors import NotFound, Unavailable
from sessions_app.issuers.fetch import CannotFetch
from sessions_app.issuers.provider import Asked, Client, Provider

# Where the provider sends browsers back to; it is registered there.
ANSWER_PATH = "/sign-in/provider/answer/"

logger = structlog.get_logger(__name__)


class ProviderDoesNotAnswer(Unavailable):
    """The identity provider can't be asked now."""

    code = "provider_does_not_answer"


def begin_provider_sign_in() -> tuple[str, Asked]:
    """Return where the browser goes, and what its answer has to fit; that is for the browser's session alone.

    Raises NotFound (there is no provider), ProviderDoesNotAnswer.
    """
    asked = Asked.anew()
    try:
        return provider().address(asked), asked
    except CannotFetch as error:
        raise no_answer(error) from error


def provider() -> Provider:
    """The provider that the settings name. Raises NotFound."""
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
    """What this process knows of it: its addresses and its keys."""
    return Provider(client, allowed=[ipaddress.ip_network(text) for text in networks])


def no_answer(error: CannotFetch) -> ProviderDoesNotAnswer:
    """Tell the log why, which the page does not: it is for those who set the provider up."""
    logger.warning("provider.no_answer", why=str(error))
    return ProviderDoesNotAnswer(
        f"{settings.OIDC_NAME} did not answer correctly.",
        hint="Try again in a minute. See the log of the web process for details.",
    )
