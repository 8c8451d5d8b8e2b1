"""Passkeys and security keys (WebAuthn level 2): requests to browsers, and verification of their
responses.
"""

from __future__ import annotations

import ipaddress
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from allauth.mfa.models import Authenticator
from cryptography.exceptions import UnsupportedAlgorithm
from django.conf import settings
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    AuthenticatorData,
    PublicKeyCredentialRpEntity,
    PublicKeyCredentialUserEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from accounts.models import Identity
from broker.kernel.errors import InvalidInput

_LONGEST = 20_000
# The label of the key parameter `alg`, which names the key's algorithm (RFC 9052 section 7.1).
_ALGORITHM = 3
# The exceptions that the library can raise for an invalid response: it parses untrusted bytes as if they were
# well-formed.
_BROKEN = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    RecursionError,
    struct.error,
    UnsupportedAlgorithm,
)
State = dict[str, Any]


class BadPasskey(InvalidInput):
    """The browser's response doesn't match the request, or the passkey is unknown. Try again."""

    code = "bad_passkey"

    def __init__(self) -> None:
        super().__init__(
            "The passkey was not accepted.", hint="Try again with a passkey that you registered here."
        )


def possible() -> bool:
    """Whether browsers allow passkeys at Stint's URL. Passkeys need a host name with HTTPS, or localhost."""
    here = urlsplit(settings.PUBLIC_URL)
    try:
        ipaddress.ip_address(here.hostname or "")
    except ValueError:
        return here.scheme == "https" or here.hostname == "localhost"
    return False


def ask_to_add(identity: Identity) -> tuple[dict[str, Any], State]:
    """Return the options with which a browser creates a passkey, and the state for verifying its response."""
    user = PublicKeyCredentialUserEntity(
        id=str(identity.pk).encode(), name=identity.username, display_name=str(identity)
    )
    asked, state = _server().register_begin(
        user,
        [_key(row) for row in passkeys_of(identity)],
        # Prefer a passkey that can sign in without a password. An older security key works as a second
        # factor.
        resident_key_requirement=ResidentKeyRequirement.PREFERRED,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return dict(asked), dict(state)


def ask_to_show(identity: Identity | None) -> tuple[dict[str, Any], State]:
    """Return the options with which a browser uses a passkey of this person, and the state for verifying its
    response. Without a person, any person's passkey is accepted, but only with user verification.
    """
    keys = [_key(row) for row in passkeys_of(identity)] if identity else None
    wanted = UserVerificationRequirement.PREFERRED if identity else UserVerificationRequirement.REQUIRED
    asked, state = _server().authenticate_begin(keys, user_verification=wanted)
    return dict(asked), dict(state)


def check_added(answer: str, state: State | None) -> dict[str, Any]:
    """Verify the browser's response, and return the new passkey in its stored form. Raises BadPasskey."""
    sent = _parsed(answer)
    try:
        auth = _server().register_complete(_asked(state), RegistrationResponse.from_dict(sent))
    except _BROKEN as error:
        raise BadPasskey from error
    key = auth.credential_data.public_key if auth.credential_data else {}
    if key.get(_ALGORITHM) not in CoseKey.supported_algorithms():
        raise BadPasskey
    # Store only what is needed to verify later responses.
    kept = {name: sent[name] for name in ("id", "rawId", "type")}
    kept["response"] = {name: sent["response"][name] for name in ("clientDataJSON", "attestationObject")}
    return {"credential": kept, "counter": auth.counter}


def whose(answer: str) -> int:
    """Return the primary key of the identity that a response names, without verifying the response. Raises
    BadPasskey.
    """
    try:
        handle = AuthenticationResponse.from_dict(_parsed(answer)).response.user_handle
        return int((handle or b"").decode("ascii"))
    except _BROKEN as error:
        raise BadPasskey from error


def check_shown(
    answer: str, state: State | None, rows: Sequence[Authenticator]
) -> tuple[Authenticator, AuthenticatorData]:
    """Verify the browser's response, and return the passkey that was used, with its authenticator data.
    Raises BadPasskey.
    """
    keys = {bytes(_key(row).credential_id): row for row in rows}
    try:
        sent = AuthenticationResponse.from_dict(_parsed(answer))
        found = _server().authenticate_complete(_asked(state), [_key(row) for row in rows], sent)
        return keys[bytes(found.credential_id)], sent.response.authenticator_data
    except _BROKEN as error:
        raise BadPasskey from error


def passkeys_of(identity: Identity) -> list[Authenticator]:
    """Return the passkeys of a person, as rows."""
    return list(Authenticator.objects.filter(user=identity, type=Authenticator.Type.WEBAUTHN).order_by("pk"))


def _server() -> Fido2Server:
    here = urlsplit(settings.PUBLIC_URL)
    party = PublicKeyCredentialRpEntity(id=here.hostname or "", name="Stint")
    origin = f"{here.scheme}://{here.netloc}"
    # Accept only the exact origin of the pages. By default, the library accepts any subdomain of the relying
    # party ID.
    return Fido2Server(party, verify_origin=lambda said: said == origin)


def _key(row: Authenticator) -> AttestedCredentialData:
    stored = RegistrationResponse.from_dict(row.data["credential"])
    # A stored passkey always has credential data, because others are not accepted.
    return cast(AttestedCredentialData, stored.response.attestation_object.auth_data.credential_data)


def _asked(state: State | None) -> State:
    if state is None:
        raise BadPasskey
    return state


def _parsed(answer: str) -> Mapping[str, Any]:
    try:
        sent = json.loads(answer[:_LONGEST])
    except _BROKEN as error:
        raise BadPasskey from error
    if not isinstance(sent, dict):
        raise BadPasskey
    return sent
