"""The database, the pages and the API, mail, outgoing requests and logs."""

from __future__ import annotations

from broker.env import Group

SERVERS = Group(
    "Database, queue and secret key",
    (
        "Every process reads these variables. Without `DATABASE_URL`, `manage.py up` starts its own"
        " PostgreSQL and Valkey."
    ),
)
DATABASE_URL = SERVERS.text(
    "DATABASE_URL",
    "",
    "The PostgreSQL database (15 or newer), with the role of the application. If unset, Stint uses the"
    " embedded database that `manage.py up` starts.",
    values="a libpq URL, such as `postgresql://stint_app@db.example.com/stint`",
    shown="the embedded database",
)
DATABASE_OWNER_URL = SERVERS.text(
    "DATABASE_OWNER_URL",
    "",
    "The same database, with the role that owns the schema. Only `manage.py migrate` uses it, so that the"
    " application can't rewrite the record.",
    values="a libpq URL",
    shown="the value of `DATABASE_URL`",
)
REDIS_URL = SERVERS.text(
    "REDIS_URL",
    "",
    "Valkey or Redis, for the worker's queue and for live views of commands. With Redis Sentinel:"
    " `sentinel://:PASSWORD@HOST:26379,HOST:26379/MASTER`, with `?sentinel_password=…` if the sentinels have"
    " a password of their own.",
    values="a URL with `redis://`, `rediss://` (TLS), `redis+socket://` or `sentinel://`",
    shown="the embedded Valkey",
)
SECRET_KEY = SERVERS.secret(
    "STINT_SECRET_KEY",
    "Encrypts the secrets in the database (authority keys, gateway host keys, checkpoint key, connections,"
    " second factors) and signs sessions. Generate it with `openssl rand -base64 48`, and back it up"
    " separately from the database. Without this key, those secrets are lost.",
    shown="none; the embedded database has a key of its own",
)
STATE_DIR = SERVERS.text(
    "STINT_STATE_DIR",
    "",
    "The folder for recordings, checkpoints and the embedded servers.",
    values="a path",
    shown=(
        "`.stint` in the installation; `/var/lib/stint` if the account of the embedded servers can't reach it"
    ),
)
POSTGRES_BIN = SERVERS.text(
    "STINT_POSTGRES_BIN",
    "",
    "The folder with `postgres` and `initdb` for the embedded database.",
    values="a path",
    shown="the newest version that is found",
)
VALKEY_BIN = SERVERS.text(
    "STINT_VALKEY_BIN",
    "",
    "The `valkey-server` or `redis-server` program for the embedded queue.",
    values="a path",
    shown="the first one on the `PATH`",
)

PAGES = Group(
    "Pages and API",
    "For the processes that serve pages, the API and live streams.",
)
PUBLIC_URL = PAGES.text(
    "STINT_PUBLIC_URL",
    "http://127.0.0.1:8000",
    "The URL at which people open the pages. Links in mail use it, and passkeys are bound to its host."
    " Passkeys need a host name and https.",
    values="a URL without a path",
)
ALLOWED_HOSTS = PAGES.items(
    "STINT_ALLOWED_HOSTS",
    ("127.0.0.1", "localhost", "[::1]"),
    "The host names for which the pages and the API respond. Include the host of `STINT_PUBLIC_URL`.",
    values="host names, separated by commas",
)
BEHIND_PROXY = PAGES.boolean(
    "STINT_BEHIND_PROXY",
    False,
    "Trust the client address, the protocol and the request ID that a proxy sets. Turn this on only if "
    "a proxy replaces these headers in each request.",
)
HTTP_HOST = PAGES.text(
    "STINT_HTTP_HOST",
    "127.0.0.1",
    "The address at which `manage.py up` serves pages, API and streams.",
    values="an IP address",
)
HTTP_PORT = PAGES.number(
    "STINT_HTTP_PORT", 8000, "The port at which `manage.py up` serves pages and the API."
)
STREAMS_PORT = PAGES.number(
    "STINT_STREAMS_PORT", 8001, "The port at which `manage.py up` serves live streams and MCP."
)
STREAMS_DIRECT_PORT = PAGES.number(
    "STINT_STREAMS_DIRECT_PORT",
    0,
    "The port at which browsers reach live streams without a proxy. With 0, pages use their own address,"
    " where a proxy must route `/streams/`.",
)
STREAMS_MOST = PAGES.number(
    "STINT_STREAMS_MOST",
    2000,
    "The maximum number of live streams that one streams process serves at the same time.",
)
WEB_WORKERS = PAGES.number(
    "STINT_WEB_WORKERS",
    0,
    "The number of web processes that `manage.py up` runs.",
    shown="1 with the embedded database, otherwise 2",
)
API_PER_MINUTE = PAGES.number(
    "STINT_API_PER_MINUTE",
    600,
    "The API requests that each web process accepts from one identity in a minute.",
)
API_STRANGERS_PER_MINUTE = PAGES.number(
    "STINT_API_STRANGERS_PER_MINUTE",
    60,
    "The API requests without a valid token that each web process accepts from one address in a minute.",
)
DEBUG = PAGES.boolean(
    "STINT_DEBUG",
    False,
    "Django's debug mode, for development only: error pages show source code and settings.",
)

MAIL = Group(
    "Mail", "For the worker, which sends mail. Without a mail server, notifications appear only on the pages."
)
SMTP_HOST = MAIL.text(
    "STINT_SMTP_HOST",
    "",
    "The mail server. Without one, mail is dropped with a line in the log.",
    values="a host name",
)
SMTP_PORT = MAIL.number("STINT_SMTP_PORT", 587, "The port of the mail server.")
SMTP_USER = MAIL.text("STINT_SMTP_USER", "", "The user name at the mail server, if it requires one.")
SMTP_PASSWORD = MAIL.secret("STINT_SMTP_PASSWORD", "The password at the mail server.")
SMTP_TLS = MAIL.boolean("STINT_SMTP_TLS", True, "Use STARTTLS.")
MAIL_FROM = MAIL.text("STINT_MAIL_FROM", "stint@localhost", "The sender of mail.", values="an email address")
MAIL_TO_LOG = MAIL.boolean(
    "STINT_MAIL_TO_LOG",
    False,
    "Without a mail server, write mail to the log, with its names and links. For development only.",
)

NETWORKS = Group(
    "Outgoing requests",
    "For administrators: by default, Stint connects to webhooks and issuers only at public addresses, and"
    " only over https.",
)
WEBHOOK_NETWORKS = NETWORKS.items(
    "STINT_WEBHOOK_NETWORKS",
    (),
    "Private networks to which webhooks can be sent, over http as well.",
    values="networks such as `10.20.0.0/16`, separated by commas",
)
ISSUER_NETWORKS = NETWORKS.items(
    "STINT_ISSUER_NETWORKS",
    (),
    "Private networks in which Stint can reach token issuers and the identity provider, over http as well.",
    values="networks such as `10.20.0.0/16`, separated by commas",
)

LOGS = Group("Logs, metrics and traces", "For those who monitor Stint. See [Monitoring](/docs/monitoring/).")
LOG_LEVEL = LOGS.text(
    "STINT_LOG_LEVEL",
    "INFO",
    "The minimum severity of messages that are logged.",
    values="`DEBUG`, `INFO`, `WARNING` or `ERROR`",
)
LOG_JSON = LOGS.boolean(
    "STINT_LOG_JSON", False, "Log one JSON object per line.", shown="on if `STINT_PUBLIC_URL` is https"
)
TRACES = LOGS.boolean(
    "STINT_TRACES",
    False,
    "Send [traces](/docs/monitoring/#traces). OpenTelemetry's own variables (`OTEL_…`) set the destination.",
)
METRICS_HOST = LOGS.text(
    "STINT_METRICS_HOST",
    "127.0.0.1",
    "The address at which gateways and workers serve their metrics.",
    values="an IP address",
)
GATEWAY_METRICS_PORT = LOGS.number(
    "STINT_GATEWAY_METRICS_PORT",
    0,
    "The port at which a gateway process serves its Prometheus metrics; 0 serves none.",
)
WORKER_METRICS_PORT = LOGS.number(
    "STINT_WORKER_METRICS_PORT", 0, "The port at which a worker serves its Prometheus metrics; 0 serves none."
)
