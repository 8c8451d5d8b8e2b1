"""Sign-in with a password, for people only. An unknown name takes as long to refuse as a wrong
password.
"""

from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.conf import settings
from django.http import HttpRequest

from accounts.models import Identity
from accounts.names import canonical_username
from broker.kernel.postgresql.rows import Rows

_IDENTITY = Rows(Identity, tail="WHERE accounts_identity.id = %s")


class PasswordBackend(AuthenticationBackend):  # type: ignore[misc]  # allauth ships no types
    """allauth's backend with canonical names. The password is also hashed for unknown names, so that
    both cases take the same time.
    """

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Identity | None:
        """Return the person, or None. Machines are refused even if they have a password.

        If people sign in only through the identity provider, only administrators are accepted.
        """
        if username := credentials.get("username"):
            credentials["username"] = canonical_username(username)
        identity: Identity | None = super().authenticate(request, **credentials)
        if identity is None or not identity.is_person:
            return None
        return identity if settings.PASSWORD_SIGN_IN or identity.is_superuser else None

    def get_user(self, user_id: int) -> Identity | None:
        """Return the enabled identity of a session, read anew for each request."""
        found = _IDENTITY.first(user_id)
        return found if found is not None and self.user_can_authenticate(found) else None
