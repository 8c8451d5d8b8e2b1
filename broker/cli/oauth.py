"""Sign-in with a device code that the user enters in a browser (RFC 8628), and token revocation
(RFC 7009).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from .errors import CliError, Exit, NotSignedIn, Unreachable
from .wire import OAuthRefused, Wire

CLIENT = "stint-cli"
SCOPES = ("read", "request", "decide", "end")
_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_USUAL, _SLOWER = 5, 5


def device_codes(wire: Wire) -> Mapping[str, Any]:
    """Request a device code and a user code. Raises CliError."""
    codes = wire.form("/oauth/device_authorization", client_id=CLIENT, scope=" ".join(SCOPES))
    if not all(isinstance(codes.get(name), str) for name in ("device_code", "user_code", "verification_uri")):
        raise Unreachable(f"{wire.url} is not a Stint server, or runs an older version.")
    return dict(codes)


def device_token(
    wire: Wire, codes: Mapping[str, Any], *, sleep: Callable[[float], None] = time.sleep
) -> Mapping[str, Any]:
    """Poll until the code is authorized, and return the response with the token.

    Polls more slowly after `slow_down` (RFC 8628 section 3.5). Raises CliError if the code was denied or has
    expired.
    """
    wait = float(codes.get("interval") or _USUAL)
    ends = time.monotonic() + float(codes.get("expires_in") or 600)
    while time.monotonic() < ends:
        sleep(wait)
        try:
            answer: Mapping[str, Any] = wire.form(
                "/oauth/token", grant_type=_GRANT, device_code=str(codes["device_code"]), client_id=CLIENT
            )
        except OAuthRefused as error:
            if error.code == "slow_down":
                wait += _SLOWER
            elif error.code != "authorization_pending":
                raise _refused(error) from None
        except Unreachable:
            # A failed poll is harmless, because the codes stay valid until they expire.
            continue
        else:
            return answer
    raise NotSignedIn("The code was not entered in time.", "Run `stint login` again.")


def _refused(error: OAuthRefused) -> CliError:
    if error.code == "access_denied":
        return CliError("Access was denied in the browser.", code=error.code)
    if error.code == "expired_token":
        return NotSignedIn("The code has expired.", "Run `stint login` again.")
    return CliError(f"Stint did not issue a token: {error.message}", status=Exit.UNREACHABLE, code=error.code)


def revoke(wire: Wire, token: str) -> None:
    """Revoke a token. Raises CliError."""
    wire.form("/oauth/revoke", token=token, client_id=CLIENT)
