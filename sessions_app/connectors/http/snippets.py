"""Configuration snippets that make a proxy consult Stint about every request to a cluster.

All four configurations do the same. They send Stint the method and the request target unchanged, and
authenticate with the proxy key. They overwrite or drop client headers with the same names as
Stint's. They remove the token from the request to the application, and add the holder. They refuse every
request when Stint does not respond.

Sources: nginx.org, ngx_http_auth_request_module; doc.traefik.io, ForwardAuth; caddyserver.com, forward_auth;
envoyproxy.io, ext_authz and header_mutation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from urllib.parse import urlsplit

from sessions_app.policy.commands.http.headers import OVERRIDES

PROXIES = ("nginx", "traefik", "caddy", "envoy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One target of a cluster, as its proxy serves it.

    ``origin`` is its public address (``https://api.example.com``). ``upstream`` is the application's address
    (``http://127.0.0.1:9000``). ``stint`` is Stint's address, as the proxy reaches it.
    """

    target: str
    origin: str
    upstream: str
    stint: str
    base_path: str = "/"
    proxy_key: str = field(repr=False)

    @property
    def host(self) -> str:
        """The host name that the application receives, regardless of what the client sent."""
        return urlsplit(self.origin).netloc

    @property
    def scheme(self) -> str:
        """The scheme that clients use: ``https`` or ``http``."""
        return urlsplit(self.origin).scheme

    @property
    def mark(self) -> str:
        """The target's name as an identifier: underscores instead of hyphens."""
        return self.target.replace("-", "_")


def snippet(proxy: str, site: Site) -> str:
    """Return the configuration for one kind of proxy. Raises ValueError for an unknown kind."""
    try:
        write = _WRITERS[proxy]
    except KeyError:
        raise ValueError(f"Unknown proxy {proxy}. Known: {', '.join(PROXIES)}.") from None
    return write(site)


# Headers in which a client could claim another host, path or client address. Each proxy sets the others
# itself.
_FORWARDED = (
    "X-Forwarded-Method",
    "X-Forwarded-Uri",
    "X-Forwarded-Path",
    "X-Forwarded-Prefix",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Server",
    "Forwarded",
    "X-Real-IP",
    "X-Envoy-Original-Path",
    "X-Envoy-Original-Method",
)
_STRIPPED = (*OVERRIDES, *_FORWARDED, "DPoP", "Upgrade")
# Headers set by Stint (the token's holder, and the grant), and by the proxy (the client, and the
# connection).
_SAID = ("Stint-Holder", "Stint-Grant", "X-Forwarded-For", "X-Forwarded-Proto")


def _spellings(name: str) -> list[str]:
    """Return the name, then its spellings with `_` in place of `-`. Many applications treat all of them as
    equal (CGI, WSGI, Rack, PHP).
    """
    first, *rest = name.split("-")
    return ["".join((first, *parts)) for parts in product(*(("-" + word, "_" + word) for word in rest))]


def _spelled() -> list[str]:
    """Return every header spelling that the application must not receive.

    Of the headers from Stint and from the proxy, only the canonical spelling may pass.
    """
    others = [_spellings(name)[1:] for name in _SAID]
    return [spelled for names in (*map(_spellings, _STRIPPED), *others) for spelled in names]


def _nginx(site: Site) -> str:
    stripped = "\n".join(f'    proxy_set_header {name} "";' for name in _STRIPPED)
    return f"""\
# Inside the server block of {site.host}. nginx must be built with the auth_request module (Debian's is).
location = /_stint_{site.mark} {{
    internal;
    proxy_pass {site.stint}/authz/nginx;
    proxy_pass_request_body off;
    proxy_set_header Content-Length "";
    proxy_set_header Stintproxy "{site.proxy_key}";
    proxy_set_header Stinttarget "{site.target}";
    proxy_set_header Stintorigin "{site.origin}";
    proxy_set_header Stintmethod $request_method;
    proxy_set_header Stinturi $request_uri;
    proxy_set_header Stintclient $remote_addr;
    proxy_connect_timeout 2s;
    proxy_read_timeout 5s;
}}
location @stint_denied_{site.mark} {{
    internal;
    default_type application/problem+json;
    add_header Cache-Control no-store always;
    return 403 $stint_denial_{site.mark};
}}
location {site.base_path} {{
    auth_request /_stint_{site.mark};
    auth_request_set $stint_denial_{site.mark} $upstream_http_stintdenial;
    auth_request_set $stint_holder_{site.mark} $upstream_http_stint_holder;
    auth_request_set $stint_grant_{site.mark} $upstream_http_stint_grant;
    error_page 403 = @stint_denied_{site.mark};
    # Add no path or variable to this address: the application must get the exact bytes that Stint checked.
    proxy_pass {site.upstream};
    # nginx can't limit the total time of a response. One that has begun continues after its grant ends, for
    # as long as the application sends data: limit it there. A response that stalls, or whose client stalls,
    # is cut.
    proxy_read_timeout 60s;
    send_timeout 60s;
    proxy_http_version 1.1;
    proxy_set_header Host "{site.host}";
    proxy_set_header Authorization "";
    proxy_set_header Stint-Holder $stint_holder_{site.mark};
    proxy_set_header Stint-Grant $stint_grant_{site.mark};
    proxy_set_header Connection "";
    # If nginx is behind another proxy, ngx_http_realip_module makes $remote_addr the client's address.
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto {site.scheme};
{stripped}
}}
"""


def _traefik(site: Site) -> str:
    names = (*_spelled(), "Authorization", *_TRAEFIK_OWN)
    stripped = "\n".join(f'          {name}: ""' for name in names)
    return f"""\
# Dynamic configuration (file provider). Leave trustForwardHeader off, and forwardedHeaders.insecure of the
# entry point; otherwise a client could claim another method, path or address. A response that has begun
# continues after its grant ends: limit it with respondingTimeouts.writeTimeout of the entry point.
http:
  routers:
    {site.target}:
      rule: "Host(`{urlsplit(site.origin).hostname}`) && PathPrefix(`{site.base_path}`)"
      middlewares: [{site.target}-say, {site.target}-stint, {site.target}-take]
      service: {site.target}
  middlewares:
    {site.target}-say:
      headers:
        customRequestHeaders:
          Stintproxy: "{site.proxy_key}"
          Stinttarget: "{site.target}"
          Stintorigin: "{site.origin}"
    {site.target}-stint:
      forwardAuth:
        address: "{site.stint}/authz/forward"
        trustForwardHeader: false
        # Forward only these to Stint, so that no other spelling of a header name reaches it.
        authRequestHeaders: [Authorization, DPoP, Accept, Stintproxy, Stinttarget, Stintorigin, Stintprobe]
        authResponseHeaders: [Stint-Holder, Stint-Grant]
    {site.target}-take:
      headers:
        customRequestHeaders:
          Host: "{site.host}"
{stripped}
  services:
    {site.target}:
      loadBalancer:
        passHostHeader: true
        servers:
          - url: "{site.upstream}"
"""


_TRAEFIK_OWN = ("Stintproxy", "Stinttarget", "Stintorigin", "Stintprobe")


def _caddy(site: Site) -> str:
    aliases = "\n".join(
        f"            header_up -{spelled}"
        for name in ("X-Forwarded-Method", "X-Forwarded-Uri")
        for spelled in _spellings(name)[1:]
    )
    stripped = "\n".join(f"            header_up -{name}" for name in (*_spelled(), "Authorization"))
    matcher = f"{site.base_path.rstrip('/')}*" if site.base_path != "/" else "/*"
    return f"""\
# Caddyfile, 2.11.2 or newer. Older versions kept a client's copy of the headers that Stint sets
# (CVE-2026-30851). A response that has begun continues after its grant ends: limit it with the global option
# servers {{ timeouts {{ write 60s }} }}
{site.origin} {{
    route {matcher} {{
        # Caddy drops every header that a client names in Connection, even Stint-Holder and Stint-Grant.
        request_header -Connection
        forward_auth {site.stint} {{
            uri /authz/forward
            header_up Stintproxy "{site.proxy_key}"
            header_up Stinttarget "{site.target}"
            header_up Stintorigin "{site.origin}"
            header_up Stintclient {{http.request.remote.host}}
{aliases}
            copy_headers Stint-Holder Stint-Grant
        }}
        reverse_proxy {site.upstream} {{
            header_up Host "{site.host}"
{stripped}
        }}
    }}
}}
"""


def _envoy(site: Site) -> str:
    removed = "\n".join(
        f"          - remove: {name.lower()}"
        for name in (*_STRIPPED, "Authorization", "Stinturi", "Stintclient", "Stintprobe")
    )
    return f"""\
# http_filters of the HTTP connection manager, in this order, and two clusters. In the manager, set
# normalize_path: false, merge_slashes: false, path_with_escaped_slashes_action: REJECT_REQUEST, and
# common_http_protocol_options: {{headers_with_underscores_action: REJECT_REQUEST}}.
http_filters:
  - name: stint.say
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
      mutations:
        request_mutations:
          - append:
              header: {{key: stinturi, value: "%REQ(:PATH)%"}}
              append_action: OVERWRITE_IF_EXISTS_OR_ADD
          - append:
              header: {{key: stintclient, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}
              append_action: OVERWRITE_IF_EXISTS_OR_ADD
          - remove: stint-holder
          - remove: stint-grant
  - name: stint.ask
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
      failure_mode_allow: false
      clear_route_cache: false
      http_service:
        server_uri: {{uri: "{site.stint}", cluster: stint, timeout: 2s}}
        path_prefix: /authz/envoy
        authorization_request:
          headers_to_add:
            - {{key: stintproxy, value: "{site.proxy_key}"}}
            - {{key: stinttarget, value: "{site.target}"}}
            - {{key: stintorigin, value: "{site.origin}"}}
        authorization_response:
          allowed_upstream_headers: {{patterns: [{{exact: stint-holder}}, {{exact: stint-grant}}]}}
          allowed_client_headers: {{patterns: [{{exact: www-authenticate}}, {{exact: content-type}}]}}
      # Method, path and Authorization are forwarded automatically.
      allowed_headers:
        patterns: [{{exact: stinturi}}, {{exact: stintclient}}, {{exact: stintprobe}},
                   {{exact: dpop}}, {{exact: accept}}]
  - name: stint.take
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation
      mutations:
        request_mutations:
          - append:
              header: {{key: x-forwarded-for, value: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}}
              append_action: OVERWRITE_IF_EXISTS_OR_ADD
          - append:
              header: {{key: x-forwarded-proto, value: {site.scheme}}}
              append_action: OVERWRITE_IF_EXISTS_OR_ADD
{removed}
  - name: envoy.filters.http.router
    typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
{_envoy_clusters(site)}"""


def _envoy_clusters(site: Site) -> str:
    stint, upstream = urlsplit(site.stint), urlsplit(site.upstream)
    return f"""\
# The route: prefix "{site.base_path}", host_rewrite_literal: "{site.host}", cluster: {site.target},
# timeout: 60s. The timeout limits a response that has begun, which otherwise continues after its grant ends.
clusters:
  - name: stint          # {stint.hostname}:{stint.port or (443 if stint.scheme == "https" else 80)}
  - name: {site.target}  # {upstream.hostname}:{upstream.port or (443 if upstream.scheme == "https" else 80)}
"""


_WRITERS: Mapping[str, Callable[[Site], str]] = {
    "nginx": _nginx,
    "traefik": _traefik,
    "caddy": _caddy,
    "envoy": _envoy,
}
