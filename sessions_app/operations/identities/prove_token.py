"""Verify an issuer's token against a trust policy."""

from __future__ import annotations

import datetime as dt
import functools
import ipaddress

from django.conf import settings

from sessions_app.issuers.keys import Keyring
from sessions_app.issuers.tokens import read_unproven, signature
from sessions_app.policy.trust import Condition, TrustPolicyDocument, conditions


@functools.cache
def keyring() -> Keyring:
    """Return the cached keys of the issuers that this process has queried."""
    return Keyring(allowed=[ipaddress.ip_network(text) for text in settings.ISSUER_NETWORKS])


def prove_token(
    *, document: TrustPolicyDocument, token: str, now: dt.datetime, all_of_them: bool = False
) -> list[Condition]:
    """Return every condition on the token, and whether it is met.

    Changes nothing, and does not consume the token.

    The claims are checked first. Keys are fetched from the issuer only if the claims match or ``all_of_them``
    is set, so that strangers can't make Stint send requests. Raises NoToken.
    """
    found = conditions(document, read_unproven(token).claims, now)
    if all_of_them or all(condition.met for condition in found):
        found += signature(token, document, keyring())
    return found
