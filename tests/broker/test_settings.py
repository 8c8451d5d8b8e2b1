"""Settings fail closed, with a sentence that says what to do."""

import functools
import os
import subprocess
import sys

import pytest

from tests.environment import ROOT

pytestmark = pytest.mark.processes


@functools.cache
def start(**changes: str | None) -> subprocess.CompletedProcess[str]:
    """Start a command with a changed environment."""
    env = {**os.environ, **{name: value for name, value in changes.items() if value is not None}}
    for name, value in changes.items():
        if value is None:
            env.pop(name, None)
    command = [sys.executable, str(ROOT / "manage.py"), "check", "--deploy", "--database", "default"]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60)


def test_without_a_secret_nothing_starts():
    done = start(STINT_SECRET_KEY=None)
    assert done.returncode == 1
    assert "STINT_SECRET_KEY is not set" in done.stderr
    assert "openssl rand" in done.stderr


def test_without_a_database_one_is_told_how_to_get_one(tmp_path):
    done = start(DATABASE_URL=None, STINT_STATE_DIR=str(tmp_path))
    assert done.returncode == 1
    assert "DATABASE_URL" in done.stderr
    assert "manage.py up" in done.stderr


def test_a_secret_given_twice_is_refused(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x" * 50)
    done = start(STINT_SECRET_KEY_FILE=str(secret))
    assert done.returncode == 1
    assert "STINT_SECRET_KEY_FILE" in done.stderr


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"STINT_SECRET_KEY": "short"}, "stint.E001"),
        ({"STINT_DEBUG": "1", "STINT_ALLOWED_HOSTS": "stint.example.com"}, "stint.E002"),
        ({"STINT_ALLOWED_HOSTS": "stint.example.com"}, "stint.E003"),
        ({"STINT_ALLOWED_HOSTS": "*"}, "stint.E004"),
        ({"STINT_PUBLIC_URL": "https://stint.example.com"}, "stint.W001"),
        ({"STINT_PUBLIC_URL": "https://stint.example.com"}, "stint.W002"),
        ({"STINT_PUBLIC_URL": "https://stint.example.com"}, "stint.W003"),
    ],
)
def test_a_risky_choice_is_named_with_a_hint(changes, finding):
    done = start(**changes)
    assert finding in done.stderr
    assert "HINT" in done.stderr


def test_the_secret_is_in_no_output():
    done = start(STINT_SECRET_KEY="short")
    assert os.environ["STINT_SECRET_KEY"] not in done.stdout + done.stderr


def test_an_application_that_owns_the_record_is_named():
    assert "stint.E006" in start(DATABASE_URL=os.environ["DATABASE_OWNER_URL"]).stderr
    assert "stint.E006" not in start().stderr


def test_a_database_that_is_not_there_is_named():
    assert "stint.E005" in start(DATABASE_URL="postgresql://nobody@127.0.0.1:1/none").stderr


def test_pages_may_ask_the_streams_own_port_only_where_no_proxy_stands_before_them():
    show = (
        "from django.conf import settings as s; print(s.CONTENT_SECURITY_POLICY['DIRECTIVES']['connect-src'],"
        " sorted(s.STREAMS_ORIGINS))"
    )
    for port, expected in (
        ("0", "[\"'self'\"] []"),
        (
            "8001",
            (
                "[\"'self'\", 'http://127.0.0.1:8001', 'http://localhost:8001'] ['http://127.0.0.1:8000',"
                " 'http://localhost:8000']"
            ),
        ),
    ):
        env = {**os.environ, "STINT_STREAMS_DIRECT_PORT": port, "DJANGO_SETTINGS_MODULE": "broker.settings"}
        env.pop("STINT_PUBLIC_URL", None)
        done = subprocess.run(
            [sys.executable, "-c", show], cwd=ROOT, env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected


def test_agents_connect_to_the_streams_own_port_also_at_a_host_that_is_an_ipv6_address():
    show = "from django.conf import settings as s; print(s.MCP_URL)"
    for url, port, expected in (
        ("http://[2001:db8::7]:8000", "8001", "http://[2001:db8::7]:8001"),
        ("http://[2001:db8::7]:8000", "0", "http://[2001:db8::7]:8000"),
        ("https://stint.example.com", "8001", "https://stint.example.com:8001"),
    ):
        changes = {"STINT_PUBLIC_URL": url, "STINT_STREAMS_DIRECT_PORT": port}
        env = {**os.environ, **changes, "DJANGO_SETTINGS_MODULE": "broker.settings"}
        done = subprocess.run(
            [sys.executable, "-c", show], cwd=ROOT, env=env, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected


def test_a_second_factor_is_optional_or_required_and_nothing_else():
    for value in ("", "optional", "required"):
        assert "STINT_SECOND_FACTOR is" not in start(STINT_SECOND_FACTOR=value).stderr
    done = start(STINT_SECOND_FACTOR="sometimes")
    assert done.returncode != 0
    assert "STINT_SECOND_FACTOR is 'sometimes'" in done.stderr


def test_a_network_for_webhooks_that_is_none_is_refused():
    done = start(STINT_WEBHOOK_NETWORKS="10.20.0.0/16,inside")
    assert done.returncode == 1
    assert "STINT_WEBHOOK_NETWORKS contains inside" in done.stderr


OIDC = {
    "STINT_OIDC_ISSUER": "https://id.example.com",
    "STINT_OIDC_CLIENT_ID": "stint",
    "STINT_OIDC_CLIENT_SECRET": "canary-client-secret",
}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"STINT_OIDC_NAME": "Okta"},
            "STINT_OIDC_ISSUER, STINT_OIDC_CLIENT_ID, STINT_OIDC_CLIENT_SECRET is not set",
        ),
        *(({**OIDC, missing: None}, f"partly configured: {missing} is not set") for missing in OIDC),
        ({**OIDC, "STINT_OIDC_ISSUER": "id.example.com"}, "STINT_OIDC_ISSUER is not a URL"),
        ({**OIDC, "STINT_OIDC_ISSUER": "https://id.example.com/?a=b"}, "STINT_OIDC_ISSUER is not a URL"),
        (
            {**OIDC, "STINT_OIDC_GROUPS_CLAIM": "groups"},
            "STINT_OIDC_GROUPS_CLAIM, STINT_OIDC_GROUPS and STINT_OIDC_ISSUER",
        ),
        (
            {"STINT_OIDC_GROUPS_CLAIM": "groups", "STINT_OIDC_GROUPS": "on-call"},
            "and STINT_OIDC_ISSUER. Set all",
        ),
        ({**OIDC, "STINT_OIDC_GROUPS_CLAIM": "groups", "STINT_OIDC_GROUPS": "/On Call"}, "contains /On Call"),
        ({"STINT_PASSWORD_SIGN_IN": "off"}, "there is no other way to sign in"),
    ],
)
def test_an_identity_provider_is_set_up_whole_or_not_at_all(changes, sentence):
    done = start(**changes)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "canary-client-secret" not in done.stderr


def test_an_identity_provider_that_is_set_up_starts_and_its_secret_may_be_in_a_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("canary-client-secret\n")
    done = start(
        **{**OIDC, "STINT_OIDC_CLIENT_SECRET": None},
        STINT_OIDC_CLIENT_SECRET_FILE=str(secret),
        STINT_PASSWORD_SIGN_IN="off",
    )
    # What else is risky here is said; nothing of this.
    assert "System check identified" in done.stderr
    assert "STINT_OIDC" not in done.stderr


def test_an_identity_provider_without_tls_is_named_where_others_are_served():
    changes = {**OIDC, "STINT_OIDC_ISSUER": "http://id.example.com"}
    assert "stint.E007" in start(**changes, STINT_ALLOWED_HOSTS="stint.example.com").stderr
    assert "stint.E007" not in start(**changes).stderr


@pytest.mark.parametrize(
    "url", ["http://gw.example", "https://", "https://gw.example/path", "https://a@gw.example"]
)
def test_the_web_gateways_have_an_https_url_without_a_path(url):
    done = start(STINT_GATEWAY_PUBLIC_URL=url)
    assert done.returncode == 1
    assert "STINT_GATEWAY_PUBLIC_URL must be an https:// URL without a path" in done.stderr


def test_a_certificate_of_the_web_gateways_needs_its_key():
    done = start(STINT_GATEWAY_CERTIFICATE="/etc/stint/gateway.pem")
    assert done.returncode == 1
    assert "Set both STINT_GATEWAY_CERTIFICATE and STINT_GATEWAY_KEY" in done.stderr
