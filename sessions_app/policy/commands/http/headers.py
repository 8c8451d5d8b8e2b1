"""Request headers that pass without a rule, headers that no rule can pass, and fields that act as
the method.
"""

import re

# Headers that choose a representation, make a request conditional or trace it. None of them identifies the
# client.
HARMLESS = frozenset(
    (
        "accept",
        "accept-language",
        "accept-encoding",
        "content-type",
        "content-length",
        "if-match",
        "if-none-match",
        "if-modified-since",
        "if-unmodified-since",
        "range",
        "if-range",
        "user-agent",
        "traceparent",
        "tracestate",
        "idempotency-key",
        "prefer",
        "x-request-id",
    )
)
HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-authentication-info",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "expect",
    )
)
_METHOD = ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
# Headers with which some frameworks change the method or the path after the decision.
OVERRIDES = (
    *_METHOD,
    "X-Original-Method",
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Path",
    "X-Rewrite-URL",
    "X-Rewrite-URI",
    "X-Override-URL",
)
# Headers that describe the apparent client and the apparent target.
_DESCRIBING = frozenset(("forwarded", "x-real-ip", "via", "x-envoy-original-path", "x-envoy-original-method"))
_REWRITES = _DESCRIBING.union(name.lower() for name in OVERRIDES)
_METHOD_FIELDS = frozenset(("-method", *(name.lower() for name in _METHOD)))
_PREFIXES = ("x-forwarded-", "stint", "sec-websocket-", "content-")
TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


def one_spelling(name: str) -> str:
    """Return a name as applications read it that treat `_` and `-` as equal and ignore letter case (CGI,
    WSGI, Rack, PHP).
    """
    return re.sub(r"[^a-z0-9]+", "-", name.lower())


def is_method_field(name: str) -> bool:
    """Whether frameworks treat a field of a query or a body as the request's method, such as `_method`."""
    return one_spelling(name) in _METHOD_FIELDS


def why_never(name: str) -> str | None:
    """Return, as a clause, why no rule can allow a request header; None if a rule can."""
    name = one_spelling(name)
    if name in ("authorization", "cookie", "dpop"):
        return (
            "carries a credential: the gateway adds the target's own, under inject of the cluster's"
            " connection"
        )
    if name == "host" or name in HOP_BY_HOP:
        return "is set by the gateway itself: remove it"
    if name in _REWRITES or name.startswith(_PREFIXES):
        return "would describe or change the request after the decision: remove it"
    return None


def why_not_injected(name: str) -> str | None:
    """Return, as a clause, why the gateway can't put a credential in a request header; None if it can."""
    if TOKEN.fullmatch(name) is None:
        return "is not a header name: use letters, digits and -, at most 64"
    if name.lower() in ("authorization", "cookie"):
        return None
    if why_never(name.lower()) or name.lower() in HARMLESS:
        return "can't carry a credential: use Authorization or a header of the target's own"
    return None
