"""A real nginx that asks the real entry point, in front of a real application. The entry point knows no
token, so that it asks no database.
"""

import contextlib
import datetime as dt
import ipaddress
import socket
import threading
from collections.abc import Iterator
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.http.connector import HTTPConnector
from sessions_app.connectors.http.parameters import HTTPParameters
from sessions_app.connectors.http.snippets import Site, snippet
from sessions_app.policy.scope import TargetFacts
from tests.support.servers.nginx import application, nginx

KEY = "a-proxy-key-of-the-tests-0123456789-0123"


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


class Nobody:
    """Knows no token."""

    def decide(self, asked):
        from sessions_app.gateways.http.deciding import NoToken

        return NoToken("invalid_token", "it opens nothing here")


@contextlib.contextmanager
def stint() -> Iterator[str]:
    """The entry point, on a port of its own."""
    from sessions_app.gateways.http.application import HTTPGateway

    server = make_server("127.0.0.1", 0, HTTPGateway(None, Nobody()), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def place_at(port: int, *, name: str = "api", address: str = "127.0.0.1", **parameters) -> TargetSpec:
    known = {"proxy": "nginx", "proxy_key": KEY, "host": "api.example.com", "tls": False}
    return TargetSpec(
        cluster="tickets",
        target=TargetFacts(id=1, name=name, address=address, port=port, account="", host_key=""),
        parameters=HTTPParameters(**{**known, **parameters}),
    )


@pytest.fixture(scope="session")
def site():
    """What the snippet is made of; entry point and application are running."""
    with stint() as url, application() as upstream:
        yield Site(
            target="api", origin="https://api.example.com", upstream=upstream.url, stint=url, proxy_key=KEY
        )


@pytest.fixture(scope="session")
def proxy(processes, site):
    with nginx(snippet("nginx", site)) as running:
        yield running


@pytest.fixture
def connector():
    return HTTPConnector()


@pytest.fixture(scope="session")
def hung():
    """A port that takes connections and says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        yield silent.getsockname()[1]


def certificate(name: str) -> tuple[str, str]:
    """A certificate for a name that signs itself, and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), pem.decode()
