"""Passkeys and security keys (WebAuthn level 2): what a browser is asked, and whether its answer is right."""

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
# Where a key says what it is for (RFC 9052 section 7.1).
_ALGORITHM = 3
# What the library raises over an answer that is none: it reads bytes from a stranger as if they were in order.
_BROKEN = (
    ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError, struct.error, UnsupportedAlgorithm,
)  # fmt: skip
State = dict[str, Any]


class BadPasskey(InvalidInput):
    """The browser's answer is not one to what it was asked, or not of a passkey that is known."""

    code = "bad_passkey"

    def __init__(self) -> None:
        super().__init__(
            "The passkey was not accepted.", hint="Try again with a passkey that you registered here."
        )


def possible() -> bool:
    """Whether browsers let passkeys be used where Stint is: at a name, by https, or on this machine."""
    here = urlsplit(settings.PUBLIC_URL)
    try:
        ipaddress.ip_address(here.hostname or "")
    except ValueError:
        return here.scheme == "https" or here.hostname == "localhost"
    return False


def ask_to_add(identity: Identity) -> tuple[dict[str, Any], State]:
    """Return what a browser is asked to make a passkey, and what its answer is held against."""
    user = PublicKeyCredentialUserEntity(
        id=str(identity.pk).encode(), name=identity.username, display_name=str(identity)
    )
    asked, state = _server().register_begin(
        user, [_key(row) for row in passkeys_of(identity)],
        # One that can sign in alone where the device is able to make it; an older security key does as a second step.
        resident_key_requirement=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED,
    )  # fmt: skip
    return dict(asked), dict(state)


def ask_to_show(identity: Identity | None) -> tuple[dict[str, Any], State]:
    """Return what a browser is asked to show a passkey of somebody; None: of whoever it is, who is verified then."""
    keys = [_key(row) for row in passkeys_of(identity)] if identity else None
    wanted = UserVerificationRequirement.PREFERRED if identity else UserVerificationRequirement.REQUIRED
    asked, state = _server().authenticate_begin(keys, user_verification=wanted)
    return dict(asked), dict(state)


def check_added(answer: str, state: State | None) -> dict[str, Any]:
    """Return the new passkey as it is stored. Raises BadPasskey."""
    sent = _parsed(answer)
    try:
        auth = _server().register_complete(_asked(state), RegistrationResponse.from_dict(sent))
    except _BROKEN as error:
        raise BadPasskey from error
    key = auth.credential_data.public_key if auth.credential_data else {}
    if key.get(_ALGORITHM) not in CoseKey.supported_algorithms():
        raise BadPasskey
    # Of all that was sent, what a later answer is checked by.
    kept = {name: sent[name] for name in ("id", "rawId", "type")}
    kept["response"] = {name: sent["response"][name] for name in ("clientDataJSON", "attestationObject")}
    return {"credential": kept, "counter": auth.counter}


def whose(answer: str) -> int:
    """Return the key of the identity that a passkey says it is of; to be proven. Raises BadPasskey."""
    try:
        handle = AuthenticationResponse.from_dict(_parsed(answer)).response.user_handle
        return int((handle or b"").decode("ascii"))
    except _BROKEN as error:
        raise BadPasskey from error


def check_shown(
    answer: str, state: State | None, rows: Sequence[Authenticator]
) -> tuple[Authenticator, AuthenticatorData]:
    """Return which of the passkeys it is, and what it says of this use. Raises BadPasskey."""
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
    # The very origin of the pages, where the library takes any below the party's name.
    return Fido2Server(party, verify_origin=lambda said: said == origin)


def _key(row: Authenticator) -> AttestedCredentialData:
    stored = RegistrationResponse.from_dict(row.data["credential"])
    # What was taken had one, or it would not be stored.
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
