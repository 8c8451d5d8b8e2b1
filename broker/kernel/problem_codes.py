"""The codes of problems without an error class: their status, their meaning, and what to do, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping

OTHER_CODES: Mapping[str, tuple[int, str]] = {
    "authentication_failed": (
        401,
        "The API token is not valid: it has expired, was revoked, or is misspelled. Create a new token.",
    ),
    "bad_request": (
        400,
        "The gateway can't read the request: it needs one `Host` header and a path. Fix the client.",
    ),
    "body_too_slow": (
        408,
        "The client sent the body too slowly. Send it again.",
    ),
    "failed": (
        500,
        (
            "The gateway failed to respond. The error has been logged. Give an administrator the time of"
            " the request."
        ),
    ),
    "grant_over": (
        403,
        "The grant ended before its request was sent to the target. Request access again.",
    ),
    "head_too_large": (
        431,
        "The request line and the headers are too large. Send fewer or shorter headers.",
    ),
    "hold_denied": (
        403,
        "An approver denied the held request. It was not sent to the target.",
    ),
    "hold_held": (
        403,
        (
            "The request needs a second person's approval, and the client did not wait for it. Send it again "
            "once it is approved."
        ),
    ),
    "hold_lapsed": (
        403,
        (
            "No one decided the held request in time. It was not sent to the target. Send it again to "
            "request another approval."
        ),
    ),
    "hold_over": (
        403,
        "The holder withdrew the held request, or the grant ended. It was not sent to the target.",
    ),
    "internal_error": (
        500,
        "An unexpected error occurred and was logged. Give an administrator the reference in the response.",
    ),
    "invalid_dpop_proof": (
        401,
        (
            "The token is bound to a key, and the DPoP proof (RFC 9449) is missing or wrong. `detail` gives"
            " the reason."
        ),
    ),
    "invalid_token": (
        401,
        "The grant's token has expired, was revoked, or is for another target. Get a new one from the grant.",
    ),
    "method_not_allowed": (
        405,
        "The endpoint does not have this method. See the [API reference](/api/docs/).",
    ),
    "no_token": (
        401,
        "The gateway needs a grant's token. Send it as `Authorization: Bearer …`.",
    ),
    "not_acceptable": (
        406,
        "The API responds only with JSON. Accept `application/json`.",
    ),
    "not_authenticated": (
        401,
        (
            "The request has no valid token and no session. Send an API token as `Authorization: Bearer "
            "stint_…`."
        ),
    ),
    "not_reached": (
        502,
        (
            "The gateway can't reach the target. Nothing was sent to it. Try again, or ask the target's "
            "administrator."
        ),
    ),
    "parse_error": (
        400,
        (
            "The request can't be read: the body is not valid JSON, or repeats a key. The message gives the"
            " location."
        ),
    ),
    "permission_denied": (
        403,
        (
            "The identity or its token does not permit this. Use a token with the required scope, or ask an "
            "administrator."
        ),
    ),
    "request_malformed": (
        400,
        "The gateway can't decide a request in this format. The message explains what to change.",
    ),
    "several_targets": (
        400,
        "The grant's token is for several targets. Use the address of one of them.",
    ),
    "throttled": (
        429,
        "Too many requests. Wait for the number of seconds in `Retry-After`.",
    ),
    "token_over": (
        403,
        (
            "The grant's token expired or was revoked before its request was sent to the target. Get a new"
            " one from the grant."
        ),
    ),
    "too_slow": (
        504,
        "The target's response took longer than the command set allows. The rest is not forwarded.",
    ),
    "unanswered": (
        502,
        (
            "The target received the request, but its response was cut off. Check what the target "
            "did before you send the request again."
        ),
    ),
    "unsupported_media_type": (
        415,
        "The body is not JSON. Send it as `application/json`.",
    ),
    "version_not_supported": (
        505,
        "The gateway supports only HTTP/1.1. Configure the client to use it.",
    ),
    "withheld": (
        502,
        "The command set does not allow the target's response. `detail` gives the reason.",
    ),
}
