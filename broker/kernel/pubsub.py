"""Uses the queue's server to carry messages that are not stored (Redis pub/sub).

Published messages must not depend on secrecy or delivery: encrypt them (`broker.kernel.sealed_channel`), and
expect gaps.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from django.conf import settings
from redis.asyncio import Redis, from_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

# The exceptions that a call can raise while the server is unavailable.
UNREACHABLE = (RedisError, OSError, TimeoutError)


def pubsub_client() -> Redis:
    """Return a client of the server at REDIS_URL. The client connects at its first call, and times out after
    a few seconds.
    """
    url, options = settings.CELERY_BROKER_URL, settings.CELERY_BROKER_TRANSPORT_OPTIONS
    waits = {name: options[name] for name in ("socket_connect_timeout", "socket_timeout")}
    # If a connection was lost before anything was sent, it is opened once more.
    waits["retry"] = Retry(NoBackoff(), 1)
    if "master_name" in options:
        return _of_sentinels(url.split(";"), options, waits)
    client: Redis = from_url(redis_url(url), **waits)
    return client


def redis_url(url: str) -> str:
    """Convert a URL in kombu's format to redis-py's, which specifies sockets and certificates differently."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "redis+socket":
        query["db"] = query.pop("virtual_host", "0").strip("/")
        return urlunsplit(("unix", parts.netloc, parts.path, urlencode(query), ""))
    if "ssl_cert_reqs" in query:
        query["ssl_cert_reqs"] = query["ssl_cert_reqs"].removeprefix("CERT_").lower()
    return urlunsplit(parts._replace(query=urlencode(query)))


def _of_sentinels(urls: list[str], options: dict[str, Any], waits: dict[str, Any]) -> Redis:
    parts = [urlsplit(url) for url in urls]
    one = parts[0]
    login = {name: unquote(value) for name in ("username", "password") if (value := getattr(one, name))}
    hosts = [(part.hostname or "", part.port or 26379) for part in parts]
    about: dict[str, Any] = {**login, **waits, "db": int(one.path.strip("/") or 0)}
    sentinels: Any = Sentinel(hosts, sentinel_kwargs=options["sentinel_kwargs"])  # type: ignore[no-untyped-call]
    master: Redis = sentinels.master_for(options["master_name"], **about)
    return master
