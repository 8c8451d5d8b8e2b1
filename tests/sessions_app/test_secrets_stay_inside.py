"""A canary in every secret: it is in no log, no entry of the record, no message to a worker, no error and no
repr.
"""

import datetime as dt
import inspect
import logging
import sys

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.views.debug import ExceptionReporter

from accounts.operations.add_ssh_key import add_ssh_key
from accounts.operations.create_identity import create_identity
from accounts.operations.create_token import create_token
from broker.kernel.crypto import token_digest
from broker.kernel.errors import StintError
from sessions_app import tasks
from sessions_app.models import Grant
from sessions_app.operations.targets.connect import connector_for
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.queries.gateways.keys import SSH_USER_CA, private_key_of
from sessions_app.queries.grants.receipts import receipt
from tests.environment import CANARY
from tests.sessions_app.api.test_everywhere import addresses, fill
from tests.sessions_app.web.pages import READABLE
from tests.sessions_app.web.test_access import things
from tests.support.servers.receiver import SECRET
from tests.support.world.acts import run, session, use
from tests.support.world.factors import SECRET as SECRET_OF_APP
from tests.support.world.factors import give_app
from tests.support.world.world import PASSWORD as PASSWORD_OF_ALL
from tests.support.world.world import SETUP

__all__ = ["things"]

PASSWORD = "canary-pa55word-of-erin"


def test_no_secret_is_seen_anywhere(world, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    erin = create_identity(
        username="erin", email="erin@example.com", password=PASSWORD, actor=SETUP, now=world.now
    )
    token, text = create_token(
        identity_id=world.alice.pk,
        label="ci",
        scopes=["read"],
        lifetime=dt.timedelta(days=1),
        actor=world.alice,
        now=world.now,
    )
    authority = ensure_authority(SSH_USER_CA, now=world.now)
    private = private_key_of(authority).decode()
    secrets = [CANARY, PASSWORD, text[6:], token_digest(text), *private.splitlines()[2:-1]]
    errors = []
    for wrong in (private, f"ssh-ed25519 {text}"):
        with pytest.raises(StintError) as refusal:
            add_ssh_key(identity_id=erin.pk, public_key=wrong, label="", actor=erin, now=world.now)
        errors.append(f"{refusal.value!r} {refusal.value} {refusal.value.fields}")

    grant = world.grant()
    used = use(grant, now=world.now)
    tried = run(used, session(used, now=world.now), now=world.now)
    shown = [
        *errors,
        repr(erin),
        repr(token),
        repr(authority),
        repr(grant),
        repr(used),
        repr(tried),
        repr(connector_for("ssh")),
        str(receipt(grant, world.now)),
        caplog.text,
        *capsys.readouterr(),
    ]
    with connection.cursor() as cursor:
        cursor.execute("SELECT body FROM audit_entry")
        shown += [body for (body,) in cursor.fetchall()]
        cursor.execute("SELECT subject || body || path FROM sessions_app_notice")
        shown += [text_ for (text_,) in cursor.fetchall()]
    for secret in secrets:
        assert len(secret) > 8
        assert not [place for place in shown if secret in place], f"{secret[:6]}… is seen"


SMTP_PASSWORD, DATABASE_PASSWORD = "canary-of-the-mail-server", "canary-of-the-database"


@pytest.fixture
def configured(settings, monkeypatch):
    """Passwords of the mail server and of the database, as their settings hold them; the connection stays as
    it is.
    """
    settings.EMAIL_HOST_PASSWORD = SMTP_PASSWORD
    monkeypatch.setitem(settings.DATABASES["default"], "PASSWORD", DATABASE_PASSWORD)
    return (CANARY, SMTP_PASSWORD, DATABASE_PASSWORD)


def test_no_page_and_no_answer_of_the_api_shows_a_secret(world, configured, caplog, things):
    used = use(world.grant(), now=world.now)
    tried = run(used, session(used, now=world.now), "echo stop nginx", now=world.now)
    private = private_key_of(ensure_authority(SSH_USER_CA, now=world.now)).decode()
    token, text = create_token(
        identity_id=world.admin.pk,
        label="ci",
        scopes=["read"],
        lifetime=dt.timedelta(days=1),
        actor=world.admin,
        now=world.now,
    )
    codes = give_app(world.admin, world.now)
    admin = Client(raise_request_exception=False)
    admin.force_login(world.admin, backend="accounts.backends.PasswordBackend")
    shown = {name: admin.get(things.address(name)) for name in READABLE}
    values = {
        "NAMES": "",
        "<api_request:ref>": things.request.ref,
        "<api_workflow:ref>": things.incident.ref,
        "<api_grant:ref>": used.grant_ref,
        "<api_id:run_id>": str(tried.run_id),
        "<api_id:key_id>": "1",
        "<api_id:token_id>": str(token.pk),
        "<api_id:notice_id>": "1",
        "<api_id:proposal_id>": "1",
        "<api_id:number>": "1",
        "<api_user:username>": "alice",
        "<api_name:kind>": "policy",
        "<api_user:name>": "web-work",
    }
    for route, view in addresses():
        if hasattr(view, "get"):
            shown[route] = admin.get(f"/api/v1{fill(route, values)}")
    for path in (
        "/docs/",
        "/api/schema/",
        "/api/docs/",
        "/readyz",
        "/metrics",
        "/nowhere",
        "/sign-in/",
        "/schemas/",
    ):
        shown[path] = admin.get(path)
    answered = {
        name: answer.getvalue().decode() for name, answer in shown.items() if answer.status_code < 500
    }
    assert len(answered) == len(shown) > 50
    secrets = [
        *configured,
        text[10:],
        token_digest(text),
        world.admin.password,
        PASSWORD_OF_ALL,
        SECRET_OF_APP,
        *codes,
        Grant.objects.get(ref=used.grant_ref).mark,
        SECRET,
        *private.splitlines()[2:-1],
    ]
    for secret in secrets:
        assert not [name for name, content in answered.items() if secret in content], (
            f"{secret[:6]}… is shown"
        )
        assert secret not in caplog.text


def test_a_page_of_an_error_shows_no_secret(world, configured):
    """Django's own page for errors, which developers see, with all settings and the frames' variables."""
    try:
        frame = {"database": django_settings.DATABASES, "mail": django_settings.EMAIL_HOST_PASSWORD}
        raise RuntimeError(f"{len(frame)} things were at hand")
    except RuntimeError:
        settings_of_page = ExceptionReporter(None, *sys.exc_info()).get_traceback_data()["settings"]
    for secret in configured:
        assert secret not in str(settings_of_page)


def test_nothing_secret_is_stored_in_the_clear(world):
    text = create_token(
        identity_id=world.alice.pk,
        label="ci",
        scopes=["read"],
        lifetime=dt.timedelta(days=1),
        actor=world.alice,
        now=world.now,
    )[1]
    create_identity(username="erin", email="erin@example.com", password=PASSWORD, actor=SETUP, now=world.now)
    codes = give_app(world.alice, world.now)
    private = private_key_of(ensure_authority(SSH_USER_CA, now=world.now)).decode().splitlines()[2]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT t::text FROM {table} t")
            rows = " ".join(row for (row,) in cursor.fetchall())
            for secret in (CANARY, PASSWORD, text, private, private.encode().hex(), SECRET_OF_APP, *codes):
                assert secret not in rows, table


def test_messages_to_workers_hold_ids_and_nothing_else():
    for name, task in vars(tasks).items():
        if hasattr(task, "delay"):
            parameters = inspect.signature(task.run).parameters.values()
            named = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD]
            assert all(parameter.endswith("_id") for parameter in named), name
