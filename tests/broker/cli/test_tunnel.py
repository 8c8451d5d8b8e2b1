"""`stint tunnel`, by the real command and the real server."""

import json
import signal
import subprocess

import psycopg
import pytest

from broker.demo.ports import free_port
from tests.broker.cli.test_credentials import given, shop_of, web_gateway
from tests.support.servers.endpoints import policies
from tests.support.servers.http_place import COMMAND_SET as PRICES
from tests.support.servers.http_place import HEADER, cluster
from tests.support.servers.http_target import http_target
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


@pytest.fixture(scope="module")
def prices(laptops):
    """An HTTP API behind the gateway."""
    from broker.kernel import clock

    with http_target() as target:
        more = policies("prices", "price-work")
        files = {
            "clusters/prices.yaml": cluster(target, inject=HEADER),
            "command-sets/price-work.yaml": PRICES,
        }
        laptops.world.catalog.update({**files, **more})
        laptops.world.apply(now=clock.now())
        with web_gateway(laptops, "http"):
            yield target


def fetched(url: str, *options: str) -> tuple[int, dict]:
    """The status and the body of a response, by curl."""
    words = ["curl", "-sS", "-m", "60", "-w", "\n%{http_code}", *options, url]
    done = subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)
    body, _, status = done.stdout.rpartition("\n")
    assert done.returncode == 0, done.stderr
    return int(status), json.loads(body)


def test_curl_needs_no_token_until_the_grant_ends(laptops, prices):
    grant = given(
        laptops, cluster="prices", command_set="price-work", policy="prices-work", parameters={"sku": "S-42"}
    )
    alice = laptops["alice"]
    url = f"http://127.0.0.1:{(port := free_port())}/"
    running = alice.start("tunnel", "prices", "--port", str(port))
    line = running.stdout.readline()
    assert url in line, running.stderr.read()
    status, body = fetched(f"{url}prices/S-42")
    assert (status, body["sku"]) == (200, "S-42")
    assert fetched(f"{url}prices/S-7")[0] == 403
    assert alice("end", grant.ref, "--no-wait").returncode == 0
    _, errors = running.communicate(timeout=60)
    assert (running.returncode, f"{grant.ref} has ended (ended by the holder)" in errors) == (0, True), errors
    with pytest.raises(AssertionError, match="Failed to connect|Couldn't connect|Could not connect"):
        fetched(url)


def test_what_is_not_a_database_is_not_found(laptops):
    assert laptops["alice"].fails("tunnel", "web")[0] == 4
