"""Request headers: those that pass without a rule, and those that no rule can let through. Fields that count as a method.

Sources: RFC 9110 §7.6.1 (connection-specific), RFC 7239 (Forwarded), RFC 9113 §8.2.2. For what changes a request: Rack
(MethodOverride), Symfony and Laravel (Request), Express (method-override), Spring (HiddenHttpMethodFilter), IIS.
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
_METHOD = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
# Frameworks let these change the method or the path after the decision.
OVERRIDES = (
    *_METHOD, "X-Original-Method", "X-Original-URL", "X-Original-URI", "X-Original-Path", "X-Rewrite-URL", "X-Rewrite-URI",
    "X-Override-URL",
)  # fmt: skip
# They say who seems to be asking, and for what.
_DESCRIBING = frozenset(("forwarded", "x-real-ip", "via", "x-envoy-original-path", "x-envoy-original-method"))
_REWRITES = _DESCRIBING.union(name.lower() for name in OVERRIDES)
_METHOD_FIELDS = frozenset(("-method", *(name.lower() for name in _METHOD)))
_PREFIXES = ("x-forwarded-", "stint", "sec-websocket-", "content-")
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


def one_spelling(name: str) -> str:
    """Return the name as the many applications read it that take `_` for `-` in any letter case (CGI, WSGI, Rack, PHP)."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def is_method_field(name: str) -> bool:
    """Whether frameworks take a field of a query or a body for the method of its request: `_method`, for example."""
    return one_spelling(name) in _METHOD_FIELDS


def why_never(name: str) -> str | None:
    """Return why no rule can limit a request header and let it through, as a clause; None if one can."""
    name = one_spelling(name)
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
