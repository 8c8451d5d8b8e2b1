"""The addresses of the database and the queue, and the settings of database connections."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import conninfo_to_dict

from broker.embedded.state import running_urls
from broker.variables import service


def urls() -> tuple[str, str, str, str]:
    """Return the URLs of the database, of the database as its owner, and of the queue, and the secret key.
    They come from the environment, or from the running embedded servers.
    """
    owner = service.DATABASE_OWNER_URL.read()
    database, queue = service.DATABASE_URL.read(), service.REDIS_URL.read()
    secret = service.SECRET_KEY.read()
    embedded = None if database else running_urls()
    if not database and embedded is None:
        raise ImproperlyConfigured(
            "No database is configured. Set DATABASE_URL, or start the embedded one with `manage.py up`."
        )
    if embedded is not None:
        return (
            embedded.database,
            owner or embedded.owner,
            queue or embedded.queue,
            secret or embedded.secret_key,
        )
    if not secret:
        raise ImproperlyConfigured(
            "STINT_SECRET_KEY is not set. Generate one with `openssl rand -base64 48`, and set"
            " STINT_SECRET_KEY to it or, better, STINT_SECRET_KEY_FILE to a file that contains it."
        )
    return database, owner or database, queue, secret


# In seconds. Within a transaction, a process waits only for the database. A transaction that is idle for this
# long therefore belongs to a process that was stopped or lost its network. Its locks would prevent other
# processes from ending access.
_LONGEST_IDLE = 15


# Detects an unresponsive server well before the gateways' lease of ten seconds expires, so that there is time
# to connect to the next server.
_TCP = {
    "connect_timeout": 3,
    "keepalives_idle": 3,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 7000,
}


def database(url: str) -> dict[str, Any]:
    """Return the entry for a URL in Django's `DATABASES`."""
    parts = dict(conninfo_to_dict(url))
    return {
        "ENGINE": "broker.kernel.postgresql",
        "NAME": parts.pop("dbname", "stint"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        # Prepared statements keep one generic plan, because planning a decision takes ten times as long as
        # executing it.
        "OPTIONS": {
            **_TCP,
            "application_name": "stint",
            # Queries of pages list their joins in the best order. Trying every order of eight joins would
            # take longer than the query.
            "options": (
                "-c plan_cache_mode=force_generic_plan -c join_collapse_limit=5 "
                f"-c idle_in_transaction_session_timeout={_LONGEST_IDLE}s"
            ),
            "prepare_threshold": 5,
            **parts,
        },
    }


_QUEUES = ("redis", "rediss", "redis+socket", "sentinel")
_SENTINEL = "sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/MASTER[/DB][?sentinel_password=…]"


def queue(url: str) -> tuple[str, dict[str, Any]]:
    """Return Celery's broker URL and transport options for a REDIS_URL.

    Raises ImproperlyConfigured if the scheme is not one of Redis, or a Sentinel URL has no host or master.
    """
    scheme = url.partition("://")[0]
    if url and scheme not in _QUEUES:
        raise ImproperlyConfigured(f"REDIS_URL begins with {scheme}://. Use one of {', '.join(_QUEUES)}.")
    return _sentinels(url) if scheme == "sentinel" else (url, {})


def _sentinels(url: str) -> tuple[str, dict[str, Any]]:
    """Return the URLs and options for kombu: one URL per sentinel, with the credentials of the monitored
    servers.
    """
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    master, _, number = parts.path.strip("/").partition("/")
    given = parse_qs(parts.query)
    if (
        not master
        or not all(hosts.split(","))
        or given.keys() - {"sentinel_password"}
        or not (number or "0").isdecimal()
    ):
        raise ImproperlyConfigured(f"REDIS_URL is not a valid Sentinel URL. Write it as {_SENTINEL}.")
    urls = ";".join(f"sentinel://{login}{at}{host}/{number or 0}" for host in hosts.split(","))
    # Sentinels get the same timeouts as the server, and their own password if they have one.
    asked = {"socket_connect_timeout": 1, "socket_timeout": 2}
    secret = {"password": given["sentinel_password"][0]} if given else {}
    return urls, {"master_name": unquote(master), "sentinel_kwargs": asked | secret}
