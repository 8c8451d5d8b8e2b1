"""`stint tunnel`, by the real command and the real server."""

import json
import signal

import psycopg
import pytest

from tests.broker.cli.test_credentials import given, shop_of
from tests.support.servers.postgres_server import majors


@pytest.fixture(scope="module")
def shop(laptops):
    """The system's server, which has a certificate."""
    with shop_of(laptops, majors()[0]) as made:
        yield made


@pytest.fixture
def on_shop(laptops, shop):
    return given(laptops, cluster="shop-db", command_set="read-orders", parameters={})


@pytest.mark.parametrize("place", ["shop-db", "db-1"])
def test_a_client_connects_without_a_password_until_the_tunnel_is_closed(laptops, on_shop, place):
    running = laptops["alice"].start("tunnel", "--json", place)
    line = running.stdout.readline()
    assert line, running.stderr.read()
    said = json.loads(line)
    assert (said["grant"], said["database"], said["password"]) == (on_shop.ref, "shop", "")
    with psycopg.connect(said["uri"]) as connection:
        assert connection.execute("SELECT count(*) FROM app.orders").fetchone() == (2,)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(said["uri"])


def test_the_tunnel_ends_with_the_grant(laptops, on_shop):
    running = laptops["alice"].start("tunnel", on_shop.ref)
    first = [running.stdout.readline() for _ in range(3)]
    assert first[2].startswith("Host"), first
    assert laptops["alice"]("end", on_shop.ref, "--no-wait").returncode == 0
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, f"{on_shop.ref} has ended (ended by the holder)" in errors) == (0, True), (
        errors
    )


def test_what_is_not_a_database_is_not_found(laptops):
    assert laptops["alice"].fails("tunnel", "web")[0] == 4
