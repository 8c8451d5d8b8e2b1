"""Where keys are fetched from, and from where they never are."""

import ipaddress
import socket
import threading

import pytest

from broker.kernel.networks import why_not
from sessions_app.issuers.fetch import MOST, CannotFetch, fetch_json
from tests.sessions_app.issuers.conftest import LOOPBACK
from tests.support.waits import drip, ends


def test_a_json_object_is_fetched(issuer):
    assert fetch_json(f"{issuer.url}/keys", allowed=LOOPBACK)["keys"][0]["kid"] == "key-1"


@pytest.mark.parametrize(
    "answer",
    [
        (302, {"Location": "/keys"}, b""),
        (200, {}, b"[]"),
        (200, {}, b"not json"),
        (200, {}, b"[" * 100_000),
        (200, {}, b'{"a": "' + b"x" * MOST + b'"}'),
        (500, {}, b"{}"),
        (204, {}, b""),
    ],
    ids=["redirect", "a list", "no json", "deep", "large", "error", "empty"],
)
def test_nothing_but_a_small_object_in_an_answer_of_200_is_taken(issuer, answer):
    issuer.answers["/odd"] = answer
    with pytest.raises(CannotFetch):
        fetch_json(f"{issuer.url}/odd", allowed=LOOPBACK)
    assert issuer.asked == ["/odd"]


def test_an_inner_address_is_never_asked_unless_a_setting_names_its_network(issuer):
    for url in (issuer.url, issuer.url.replace("http:", "https:"), "https://localhost/", "https://[::1]/"):
        with pytest.raises(CannotFetch):
            fetch_json(f"{url}/keys")
    with pytest.raises(CannotFetch):
        fetch_json(f"{issuer.url}/keys", allowed=[ipaddress.ip_network("10.0.0.0/8")])
    assert issuer.asked == []


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "192.0.2.1",
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "ff02::1",
    ],
)
def test_addresses_that_lead_inside_in_any_spelling_are_known(address):
    assert why_not(ipaddress.ip_address(address))


def test_public_addresses_may_be_asked_and_clouds_own_metadata_never():
    assert why_not(ipaddress.ip_address("140.82.112.3")) == ""
    assert why_not(ipaddress.ip_address("2606:50c0:8000::153")) == ""
    assert why_not(ipaddress.ip_address("169.254.169.254"), [ipaddress.ip_network("169.254.0.0/16")])


def test_a_server_that_takes_the_connection_and_says_nothing_is_given_up_on(monkeypatch):
    monkeypatch.setattr("sessions_app.issuers.fetch.TOTAL_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(CannotFetch):
            fetch_json(f"http://127.0.0.1:{silent.getsockname()[1]}/", allowed=LOOPBACK)


def test_a_server_that_drips_is_given_up_on(monkeypatch):
    monkeypatch.setattr("sessions_app.issuers.fetch.TOTAL_SECONDS", 0.5)
    stop = threading.Event()

    def answer(server: socket.socket) -> None:
        taken, _ = server.accept()
        with taken:
            taken.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            drip(taken.sendall, b" ", stop)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,), daemon=True)
        thread.start()
        with pytest.raises(CannotFetch):
            fetch_json(f"http://127.0.0.1:{server.getsockname()[1]}/", allowed=LOOPBACK)
        stop.set()
        ends(thread)
