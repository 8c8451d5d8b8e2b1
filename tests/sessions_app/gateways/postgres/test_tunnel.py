"""`stint tunnel`, by libpq without a password, through the real gateway."""

import contextlib
import os
import subprocess

import psycopg
import pytest

from broker.cli import peers
from broker.cli.tunneling import Login, Tunnel
from sessions_app.gateways.postgres import wire
from tests.support.servers.local_ports import served


def tunnel(
    login: Login, renewed: Login | None = None, **options: str
) -> contextlib.AbstractContextManager[int]:
    """A tunnel until the block ends, as its port."""

    async def renew() -> Login:
        return renewed or login

    return served(Tunnel(login, renew, **options))


def login_of(place, grant, **changes: object) -> Login:
    values = place.values(grant)
    said = {
        "host": "localhost",
        "port": place.port,
        "user": values["Username"],
        "password": values["Password"],
        "database": values["Database"],
        "ca": place.authority.read_text(),
    }
    return Login(**{**said, **changes})


def connect(port: int, **changes: object) -> psycopg.Connection:
    said = {"host": "127.0.0.1", "port": port, "user": "anyone", "connect_timeout": 30, "autocommit": True}
    return psycopg.connect(**{**said, **changes})


@pytest.fixture
def grant(place):
    return place.grant()


def test_a_client_without_a_password_uses_the_grant(place, grant):
    with tunnel(login_of(place, grant)) as port, connect(port) as connection:
        changed = connection.execute("UPDATE app.orders SET status = 'paid' WHERE id = 1")
        assert changed.rowcount == 1
        with pytest.raises(psycopg.Error, match="Stint refused this statement"):
            connection.execute("DELETE FROM app.bills")
        connection.cancel_safe()


def test_the_gateway_must_have_the_certificate_and_the_token_must_be_right(place, grant):
    with (
        tunnel(login_of(place, grant, host="127.0.0.2")) as port,
        pytest.raises(psycopg.OperationalError, match="can't be reached"),
    ):
        connect(port)
    wrong = login_of(place, grant, password="wrong")  # it is wrong
    with tunnel(wrong) as port, pytest.raises(psycopg.OperationalError, match="password authentication"):
        connect(port)
    with tunnel(wrong, login_of(place, grant)) as port, connect(port) as connection:
        assert connection.execute("SELECT id FROM app.orders WHERE id = 1").fetchone() == (1,)


def test_with_a_password_only_those_who_know_it_can_connect(place, grant):
    with tunnel(login_of(place, grant), password="local") as port:  # a test's own
        with connect(port, password="local") as connection:
            assert connection.execute("SELECT id FROM app.orders WHERE id = 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="not the one"):
            connect(port, password="other")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run programs of another account")
@pytest.mark.parametrize("closes", [False, True])
def test_a_program_of_another_account_gets_nothing_and_has_nothing_run(place, grant, closes):
    change = "UPDATE app.orders SET status = 'closed' WHERE id = 1"
    place.shop.admin("UPDATE app.orders SET status = 'open' WHERE id = 1")
    said = wire.startup({"user": "anyone"}) + wire.message(b"Q", wire.string(change))
    written = "".join(f"\\{byte:03o}" for byte in said)
    # A connection that its program has closed no longer shows its owner.
    act = "" if closes else "cat <&3"
    with tunnel(login_of(place, grant)) as port:
        answer = subprocess.run(
            ["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{written}' >&3; {act}"],
            user=65534,
            cwd="/",
            capture_output=True,
            timeout=60,
            check=True,
        )
        # Anything that the tunnel passed on would have run before this.
        with connect(port) as connection:
            connection.execute("SELECT id FROM app.orders WHERE id = 1")
    assert closes or b"Only the account that started the tunnel" in answer.stdout
    assert place.shop.one("SELECT status FROM app.orders WHERE id = 1") == "open"
    assert not grant.runs.filter(line__startswith="UPDATE").exists()


def test_programs_of_other_accounts_cannot_connect(place, grant, monkeypatch):
    monkeypatch.setattr(peers, "uid_of", lambda *_: os.getuid() + 1)
    with (
        tunnel(login_of(place, grant)) as port,
        pytest.raises(psycopg.OperationalError, match="Only the account that started the tunnel"),
    ):
        connect(port)
