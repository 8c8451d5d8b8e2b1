"""Settings, from the environment only. A missing or invalid value stops the start with a message."""

from __future__ import annotations

import ipaddress
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from broker.databases import database, queue, urls
from broker.embedded.state import state_dir
from broker.env import Variable
from broker.kernel.origins import at_port
from broker.logs import logging_by
from broker.variables import gateways, people, record, service

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = "0.1.0"

# --- Addresses and paths

PUBLIC_URL = service.PUBLIC_URL.read().rstrip("/")
SECURE = PUBLIC_URL.startswith("https://")
BEHIND_PROXY = service.BEHIND_PROXY.read()
ALLOWED_HOSTS = service.ALLOWED_HOSTS.read()
DEBUG = service.DEBUG.read()
STATE_DIR = state_dir()
RECORDINGS_DIR = Path(record.RECORDINGS_DIR.read(str(STATE_DIR / "recordings")))
RECORDINGS_STORE = record.RECORDINGS_STORE.read()
RECORD_STORE = record.RECORD_STORE.read()
RECORDING_BYTES = record.RECORDING_MIB.read() * 2**20
RECORDINGS_BYTES_PER_GRANT = record.RECORDINGS_MIB_PER_GRANT.read() * 2**20
RECORDINGS_BYTES = record.RECORDINGS_MIB.read() * 2**20
RECORDINGS_DAYS = record.RECORDINGS_DAYS.read()
GRANTS_DAYS = record.GRANTS_DAYS.read()
if 0 < GRANTS_DAYS < 90:
    raise ImproperlyConfigured("STINT_GRANTS_DAYS must be 90 or more, or 0 to keep grants forever.")
NOTICES_DAYS = record.NOTICES_DAYS.read()
OPEN_REQUESTS_PER_PERSON = people.OPEN_REQUESTS_PER_PERSON.read()
WAITING_COMMANDS_PER_GRANT = people.WAITING_COMMANDS_PER_GRANT.read()
WAITING_COMMANDS_PER_PERSON = people.WAITING_COMMANDS_PER_PERSON.read()

# The name of the log (the origin) in checkpoints of the record.
RECORD_ORIGIN = f"{urlsplit(PUBLIC_URL).netloc}/record"
CHECKPOINTS_FILE = Path(record.CHECKPOINTS_FILE.read(str(STATE_DIR / "checkpoints.txt")))
CHECKPOINT_KEY = record.CHECKPOINT_KEY.read()

STREAMS_DIRECT_PORT = service.STREAMS_DIRECT_PORT.read()
STREAMS_MOST = service.STREAMS_MOST.read()
# Patterns of hosts are not origins, and a Content Security Policy can't contain an IPv6 address.
_page_hosts = [host for host in ALLOWED_HOSTS if host[:1] not in (".", "*", "[")]
_scheme, _page_port = PUBLIC_URL.partition("://")[0], urlsplit(PUBLIC_URL).port
STREAMS_ORIGINS = (
    frozenset({PUBLIC_URL, *(f"{_scheme}://{host}:{_page_port}" for host in _page_hosts)})
    if STREAMS_DIRECT_PORT
    else frozenset()
)
# The URL for MCP clients. It leads to the streams process, through the proxy or at its own port.
MCP_URL = at_port(PUBLIC_URL, STREAMS_DIRECT_PORT) if STREAMS_DIRECT_PORT else PUBLIC_URL

SSH_GATEWAY_HOST = gateways.SSH_HOST.read()
SSH_GATEWAY_PORT = gateways.SSH_PORT.read()
SSH_PUBLIC_HOST = gateways.SSH_PUBLIC_HOST.read()
SSH_SOURCE_ADDRESS = gateways.SSH_SOURCE_ADDRESS.read()
PAGE_FILE_BYTES = gateways.PAGE_FILE_MIB.read() * 2**20

GATEWAY_HOST = gateways.GATEWAY_HOST.read()
GATEWAY_PORT = gateways.GATEWAY_PORT.read()
GATEWAY_PUBLIC_URL = gateways.GATEWAY_PUBLIC_URL.read(f"https://localhost:{GATEWAY_PORT}").rstrip("/")
if not re.fullmatch(r"https://[^/?#@\s]+", GATEWAY_PUBLIC_URL):
    raise ImproperlyConfigured("STINT_GATEWAY_PUBLIC_URL must be an https:// URL without a path.")
GATEWAY_CERTIFICATE = gateways.GATEWAY_CERTIFICATE.read()
GATEWAY_KEY = gateways.GATEWAY_KEY.read()
if bool(GATEWAY_CERTIFICATE) != bool(GATEWAY_KEY):
    raise ImproperlyConfigured("Set both STINT_GATEWAY_CERTIFICATE and STINT_GATEWAY_KEY, or neither.")
POSTGRES_GATEWAY_HOST = gateways.POSTGRES_GATEWAY_HOST.read()
POSTGRES_GATEWAY_PORT = gateways.POSTGRES_GATEWAY_PORT.read()
COMMIT_HOLD_SECONDS = gateways.COMMIT_HOLD_SECONDS.read()
GATEWAY_DRAIN_MINUTES = gateways.GATEWAY_DRAIN_MINUTES.read()
METRICS_HOST = service.METRICS_HOST.read()
GATEWAY_METRICS_PORT = service.GATEWAY_METRICS_PORT.read()
WORKER_METRICS_PORT = service.WORKER_METRICS_PORT.read()

# --- Database, queue, secret

_database_url, _owner_url, _queue_url, SECRET_KEY = urls()
# Migrations and the archiving of the record run as the owner of the schema; all other code runs as a role
# that can't rewrite the record.
_by_owner = sys.argv[1:2] in (["migrate"], ["audit_archive"])
DATABASES = {"default": database(_owner_url if _by_owner else _database_url)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# There is no cache, because a cache unpickles what it reads: anyone who can write to it could run code here
# (stint.E008).
CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}

CELERY_BROKER_URL, _of_queue = queue(_queue_url)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# A message is only a hint: the row is also found without it. So don't wait for a queue that does not respond.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "max_retries": 0,
    "socket_connect_timeout": 1,
    "socket_timeout": 2,
    "visibility_timeout": 300,
    **_of_queue,
}
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Workers accept no remote control: otherwise, anyone who can write to the queue could stop them.
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
CELERY_TIMEZONE = "UTC"

# --- Applications

INSTALLED_APPS = [
    # Before Django's own apps, so that `changepassword` is Stint's command, which writes to the record.
    "accounts",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "django_htmx",
    "drf_spectacular",
    "guardian",
    "rest_framework",
    "broker",
    "broker.audit",
    "sessions_app",
]
ROOT_URLCONF = "broker.urls"
# Silenced checks: API paths have no trailing slash, so included paths begin with a slash. The proxy redirects
# to https, and Stint can't know whether a whole domain uses https. stint.E001 and stint.E003 already report
# the rest.
SILENCED_SYSTEM_CHECKS = [
    "urls.W002",
    *(f"security.W{number}" for number in ("004", "005", "008", "009", "012", "016", "021")),
]
WSGI_APPLICATION = "broker.wsgi.application"
MIDDLEWARE = [
    "broker.edge.RouteMiddleware",
    # Outside all other middleware, because error pages also show times.
    "sessions_app.web.moment.PageMomentMiddleware",
    # Compression shrinks the response to a first visit to a fifth. It reveals nothing about tokens in pages
    # (BREACH), because they are masked differently each time, and responses get a random length.
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "broker.health.HealthMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.SignInMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.TimeZoneMiddleware",
]
# Files are encrypted before they are written to disk.
FILE_UPLOAD_HANDLERS = ["sessions_app.web.layout.uploads.SealedUploads"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "sessions_app.web.layout.frame.shell",
            ],
            "builtins": [
                f"sessions_app.web.templatetags.{name}"
                for name in ("stint", "times", "live", "work", "faults", "effects")
            ],
        },
    }
]

# --- People

AUTH_USER_MODEL = "accounts.Identity"
AUTHENTICATION_BACKENDS = [
    "accounts.backends.PasswordBackend",
    "guardian.backends.ObjectPermissionBackend",
]
# Permissions of an anonymous user would be permanent access for everyone.
ANONYMOUS_USER_NAME = None
GUARDIAN_RAISE_403 = False
PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {"login": "accounts.forms.SignInForm"}
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "/sign-in/"
ACCOUNT_SESSION_REMEMBER = False
# Behind a proxy, the client's address is the last one that the proxy added. Without a proxy, headers from the
# client are ignored. If the proxy's own address were used, one stranger's failures would delay everyone.
ALLAUTH_TRUSTED_PROXY_COUNT = int(BEHIND_PROXY)
# Disable allauth's limits: Stint's own are shared by all processes, and their errors include how long to wait
# (`accounts.attempts`).
ACCOUNT_RATE_LIMITS = False
SECOND_FACTOR = people.SECOND_FACTOR.read()

# --- The company's identity provider, by OpenID Connect


def _provider() -> tuple[str, str, str, str]:
    """Return the issuer, client ID, client secret and name of the provider; all are empty if there is no
    provider.
    """
    issuer, client = people.OIDC_ISSUER.read(), people.OIDC_CLIENT_ID.read()
    secret, name = people.OIDC_CLIENT_SECRET.read(), people.OIDC_NAME.read()
    given = {
        "STINT_OIDC_ISSUER": issuer,
        "STINT_OIDC_CLIENT_ID": client,
        "STINT_OIDC_CLIENT_SECRET": secret,
    }
    missing = [one for one, value in given.items() if not value]
    if missing and (name or len(missing) < len(given)):
        raise ImproperlyConfigured(
            f"The identity provider is only partly configured: {', '.join(missing)} is not set. Set "
            "it, or unset all STINT_OIDC_… variables."
        )
    parts = urlsplit(issuer)
    if issuer and (
        parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment
    ):
        raise ImproperlyConfigured(
            "STINT_OIDC_ISSUER is not a URL. Set it to the exact `issuer` in the provider's "
            "/.well-known/openid-configuration, such as https://company.okta.com."
        )
    return issuer, client, secret, name or str(parts.hostname or "")


OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, OIDC_NAME = _provider()
OIDC_GROUPS_CLAIM = people.OIDC_GROUPS_CLAIM.read()
OIDC_GROUPS = people.OIDC_GROUPS.read()
if bool(OIDC_GROUPS_CLAIM) != bool(OIDC_GROUPS) or (OIDC_GROUPS and not OIDC_ISSUER):
    raise ImproperlyConfigured(
        "Groups from the identity provider need STINT_OIDC_GROUPS_CLAIM, STINT_OIDC_GROUPS and"
        " STINT_OIDC_ISSUER. Set all three, or unset the first two."
    )
if wrong := [name for name in OIDC_GROUPS if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", name)]:
    raise ImproperlyConfigured(
        f"STINT_OIDC_GROUPS contains {wrong[0]}, which is not a valid group name. Use lowercase letters,"
        " digits, - and _."
    )
PASSWORD_SIGN_IN = people.PASSWORD_SIGN_IN.read()
if not PASSWORD_SIGN_IN and not OIDC_ISSUER:
    raise ImproperlyConfigured(
        "STINT_PASSWORD_SIGN_IN is off, and there is no other way to sign in. Set STINT_OIDC_ISSUER, or"
        " turn STINT_PASSWORD_SIGN_IN on."
    )

# --- Browsers
# ---------------------------------------------------------------------------------------------------

SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_NAME = "stint_session"
SESSION_COOKIE_AGE = people.SIGN_IN_HOURS.read() * 3600
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
CSRF_COOKIE_NAME = "stint_csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]
CSRF_FAILURE_VIEW = "sessions_app.web.layout.errors.csrf_failed"
SECURE_HSTS_SECONDS = 31536000 if SECURE else 0
SECURE_SSL_REDIRECT = False
SECURE_REFERRER_POLICY = "same-origin"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "style-src": [SELF],
        "script-src": [SELF],
        "img-src": [SELF],
        "font-src": [SELF],
        "connect-src": [
            SELF,
            *(f"{_scheme}://{host}:{STREAMS_DIRECT_PORT}" for host in _page_hosts if STREAMS_DIRECT_PORT),
        ],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
    }
}

# --- Static files, languages, time
# ------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "broker" / "static"]
WHITENOISE_USE_FINDERS = True
USE_I18N = False
LANGUAGE_CODE = "en"
USE_TZ = True
TIME_ZONE = "UTC"

# --- API
# --------------------------------------------------------------------------------------------------------

API_PER_MINUTE = service.API_PER_MINUTE.read()
API_STRANGERS_PER_MINUTE = service.API_STRANGERS_PER_MINUTE.read()
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "sessions_app.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["sessions_app.api.permissions.ScopedAccess"],
    "DEFAULT_THROTTLE_CLASSES": ["sessions_app.api.throttling.PerCaller"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["sessions_app.api.parsers.StrictJSON"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "sessions_app.api.negotiation.OnlyJSON",
    "DEFAULT_SCHEMA_CLASS": "sessions_app.api.schema.Description",
    "EXCEPTION_HANDLER": "sessions_app.api.problems.handle",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Stint",
    "DESCRIPTION": "Just-in-time privileged access: request, approve, use, end.",
    "VERSION": "v1",
    "OAS_VERSION": "3.1.0",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    # Requests and responses already have different serializer classes.
    "COMPONENT_SPLIT_REQUEST": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": ["sessions_app.api.schema.tidy"],
}

# --- Mail
# -------------------------------------------------------------------------------------------------------

EMAIL_HOST = service.SMTP_HOST.read()
EMAIL_PORT = service.SMTP_PORT.read()
EMAIL_HOST_USER = service.SMTP_USER.read()
EMAIL_HOST_PASSWORD = service.SMTP_PASSWORD.read()
EMAIL_USE_TLS = service.SMTP_TLS.read()
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = service.MAIL_FROM.read()
if not EMAIL_HOST:
    # Without a mail server, `send_notices` drops mail.
    EMAIL_BACKEND = (
        f"django.core.mail.backends.{'console' if service.MAIL_TO_LOG.read() else 'dummy'}.EmailBackend"
    )

# --- Outgoing webhooks, and issuers of machines' tokens
# ------------------------------------------------------------


def _networks(variable: Variable[list[str]]) -> list[str]:
    """Return the networks that a variable lists, such as `10.20.0.0/16`. Raises ImproperlyConfigured."""
    found = variable.read()
    for network in found:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ImproperlyConfigured(
                f"{variable.name} contains {network}, which is not a network. Use one like 10.20.0.0/16, or"
                " remove it."
            ) from error
    return found


WEBHOOK_NETWORKS = _networks(service.WEBHOOK_NETWORKS)
ISSUER_NETWORKS = _networks(service.ISSUER_NETWORKS)

# --- Logs
# -------------------------------------------------------------------------------------------------------

TRACES = service.TRACES.read()
LOG_JSON = service.LOG_JSON.read(SECURE)
LOGGING = logging_by(json=LOG_JSON, level=service.LOG_LEVEL.read())
