"""Second factors of people in tests: an authenticator app in a few lines of RFC 6238, independent of Stint's
own.
"""

import base64
import datetime as dt
import hashlib
import hmac
import re
import struct
import time
from typing import Any

from django.test import Client

from tests.support.world.world import PASSWORD

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
STEP = dt.timedelta(seconds=30)


def code_of(secret: str, at: dt.datetime) -> str:
    """Return the code that the app shows at that time."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", int(at.timestamp()) // 30), hashlib.sha1)
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def wrong_code(secret: str, at: dt.datetime) -> str:
    """Return six digits that the app does not show around that time."""
    shown = {code_of(secret, at + step * STEP) for step in range(-3, 4)}
    return next(code for code in (f"{number:06}" for number in range(10)) if code not in shown)


def give_app(identity: Any, now: dt.datetime, secret: str = SECRET) -> list[str]:
    """Set up an authenticator app some time ago; return the recovery codes."""
    from sessions_app.operations.identities.add_totp import add_totp

    codes = add_totp(secret=secret, code=code_of(secret, now - 9 * STEP), actor=identity, now=now - 9 * STEP)
    identity.refresh_from_db()
    return codes


def sign_in(client: Client, name: str = "alice", password: str = PASSWORD, **more: str) -> Any:
    """Do the first step of a sign-in."""
    return client.post("/sign-in/", {"login": name, "password": password, **more})


def just_signed_in(client: Client, identity: Any, ago: dt.timedelta = dt.timedelta()) -> Client:
    """Return a browser whose person signed in that long ago, without hashing a password."""
    client.force_login(identity, backend="accounts.backends.PasswordBackend")
    session = client.session
    session["account_authentication_methods"] = [
        {"method": "password", "at": time.time() - ago.total_seconds()}
    ]
    session["account_authentication_methods_user"] = str(identity.pk)
    session.save()
    return client


def second_step(client: Client, code: str) -> Any:
    """Do the second step of a sign-in."""
    return client.post("/sign-in/second-step/", {"code": code})


def secret_on(page: str) -> str:
    """Return the key on the page that sets an app up."""
    found = re.search(r'<code class="secret" tabindex="0">([A-Z2-7]{32})</code>', page)
    assert found is not None
    return found[1]


def codes_on(page: str) -> list[str]:
    """Return the recovery codes on a page."""
    return re.findall(r'<code class="secret">(\d{8})</code>', page)
