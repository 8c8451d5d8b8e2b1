"""System checks that report each risky choice, with a hint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connection

_SHORTEST_SECRET = 32


@register(Tags.database, deploy=True)
def role_of_the_application(*_: Any, **__: Any) -> list[CheckMessage]:
    """Report a database role that could rewrite the record, because it owns the table or is a superuser."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(_ROLE)
            (risky,) = cursor.fetchone()
    except DatabaseError as error:
        return [
            Error(
                f"The database did not respond: {type(error).__name__}.",
                hint="Check DATABASE_URL.",
                id="stint.E005",
            )
        ]
    if not risky:
        return []
    return [
        Error(
            "The application's database role owns the record or is a superuser, so it could forge entries.",
            hint=(
                "Use DATABASE_OWNER_URL for migrations and a separate role in DATABASE_URL; the Deploying"
                " guide has the SQL."
            ),
            id="stint.E006",
        )
    ]


_ROLE = """
SELECT coalesce(bool_or(r.rolsuper OR pg_has_role(r.oid, c.relowner, 'USAGE')), false)
  FROM pg_roles r LEFT JOIN pg_class c ON c.oid = to_regclass('audit_entry')
 WHERE r.rolname = current_user
"""


@register(Tags.security)
def risky_settings(*_: Any, **__: Any) -> list[CheckMessage]:
    """Report risky settings of this process."""
    local = all(host in {"127.0.0.1", "localhost", "[::1]"} for host in settings.ALLOWED_HOSTS)
    found: list[CheckMessage] = []
    if len(settings.SECRET_KEY) < _SHORTEST_SECRET:
        found.append(
            Error(
                f"STINT_SECRET_KEY is shorter than {_SHORTEST_SECRET} characters.",
                hint=(
                    "It encrypts the SSH certificate authority. Generate a longer key with `openssl "
                    "rand -base64 48`."
                ),
                id="stint.E001",
            )
        )
    if settings.DEBUG and not local:
        found.append(
            Error(
                "STINT_DEBUG is on, and other hosts can connect.", hint="Unset STINT_DEBUG.", id="stint.E002"
            )
        )
    if not settings.SECURE and not local:
        found.append(
            Error(
                "Pages are served to other hosts without TLS.",
                hint="Put a TLS proxy in front of Stint, and set STINT_PUBLIC_URL to its https:// URL.",
                id="stint.E003",
            )
        )
    if "*" in settings.ALLOWED_HOSTS:
        found.append(
            Error("STINT_ALLOWED_HOSTS allows any host.", hint="List the allowed hosts.", id="stint.E004")
        )
    if settings.OIDC_ISSUER.startswith("http:") and not local:
        found.append(
            Error(
                "STINT_OIDC_ISSUER is not https, so identities could be forged.",
                hint="Set it to an https:// URL.",
                id="stint.E007",
            )
        )
    return [*found, *_unset()]


def _unset() -> Iterator[CheckMessage]:
    """Report recommended settings that are not set."""
    if not settings.SECURE:
        return
    if not settings.SSH_SOURCE_ADDRESS:
        yield Warning(
            "STINT_SSH_SOURCE_ADDRESS is not set.",
            hint=(
                "Set it to the addresses from which gateways connect, so that certificates are valid "
                "only from"
                " there."
            ),
            id="stint.W001",
        )
    if not settings.EMAIL_HOST:
        yield Warning(
            "STINT_SMTP_HOST is not set, so approvers and holders receive no email.",
            hint="Set it to a mail server. Without one, notifications appear only on pages.",
            id="stint.W003",
        )
    if settings.SECOND_FACTOR != "required":
        yield Warning(
            "People without a second factor sign in with only a password.",
            hint="Set STINT_SECOND_FACTOR=required, so that everyone sets one up at the next sign-in.",
            id="stint.W002",
        )


# Settings that could make Stint unpickle data from the database or the queue, with their only safe values.
_NO_PICKLE = {
    "SESSION_ENGINE": "accounts.sessions",
    "SESSION_SERIALIZER": "django.contrib.sessions.serializers.JSONSerializer",
    **{f"CELERY_{name}_SERIALIZER": "json" for name in ("TASK", "RESULT", "EVENT")},
    **{f"CELERY_{name}ACCEPT_CONTENT": ["json"] for name in ("", "RESULT_")},
}
_NO_CACHE = "django.core.cache.backends.dummy.DummyCache"


@register("pickle", Tags.security)
def unpickling_settings(*_: Any, **__: Any) -> list[CheckMessage]:
    """Report settings that would let anyone with write access to the database or the queue run code
    in Stint.
    """
    chosen = {name: getattr(settings, name, safe) or safe for name, safe in _NO_PICKLE.items()}
    wrong = [f"{name} = {value!r}" for name, value in chosen.items() if value != _NO_PICKLE[name]]
    caches = {name: cache.get("BACKEND") for name, cache in settings.CACHES.items()}
    wrong += [f"CACHES[{name!r}] = {value}" for name, value in caches.items() if value != _NO_CACHE]
    hint = "Remove this setting. Caches, and serializers other than JSON, unpickle the data that they read."
    return [Error(f"Unsafe setting: {one}.", hint=hint, id="stint.E008") for one in wrong]
