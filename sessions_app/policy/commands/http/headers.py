"""Request headers: those that pass without a rule, and those that no rule can let through.

Sources: RFC 9110 §7.6.1 (connection-specific), RFC 7239 (Forwarded), RFC 9113 §8.2.2.
"""

import re

# They choose a representation, make a request conditional or trace it. None says who the client is.
HARMLESS = frozenset((
    "accept", "accept-language", "accept-encoding", "content-type", "content-length", "if-match", "if-none-match",
    "if-modified-since", "if-unmodified-since", "range", "if-range", "user-agent", "traceparent", "tracestate",
    "idempotency-key", "prefer", "x-request-id",
))  # fmt: skip
HOP_BY_HOP = frozenset((
    "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "proxy-authentication-info",
    "te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "expect",
))  # fmt: skip
# Frameworks let these change the method or the path after the decision, or who seems to be asking.
_REWRITES = frozenset((
    "x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-original-uri", "x-rewrite-url",
    "x-rewrite-uri", "forwarded", "x-real-ip", "via",
))  # fmt: skip
_PREFIXES = ("x-forwarded-", "stint", "sec-websocket-", "content-")
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


def why_never(name: str) -> str | None:
    """Return why no rule can limit a request header and let it through, as a clause; None if one can."""
    if name in ("authorization", "cookie", "dpop"):
        return "carries a credential: the gateway adds the target's own, under inject of the cluster's connection"
    if name == "host" or name in HOP_BY_HOP:
        return "is set by the gateway itself: remove it"
    if name in _REWRITES or name.startswith(_PREFIXES):
        return "describes or changes the request that was decided: remove it"
    return None


def why_not_injected(name: str) -> str | None:
    """Return why the gateway can't add a credential in a request header, as a clause; None if it can."""
    if TOKEN.fullmatch(name) is None:
        return "is not the name of a header: letters, digits and -, at most 64"
    if name.lower() in ("authorization", "cookie"):
        return None
    if why_never(name.lower()) or name.lower() in HARMLESS:
        return "can't carry a credential: use Authorization or a header of the target's own"
    return None
