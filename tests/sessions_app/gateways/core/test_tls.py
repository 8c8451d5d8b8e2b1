"""TLS of the web gateways: which authority clients trust, which certificate they get, and how it is
renewed.
"""

import asyncio
import dataclasses
import datetime as dt
import os
import ssl
import tempfile

import pytest
from cryptography import x509

from broker.kernel.x509 import Pair, fingerprint, issue, make_authority
from sessions_app.gateways.core.options import WebOptions
from sessions_app.gateways.core.tls import LOOK_EVERY, GatewaySettings, Own, names_of
from sessions_app.models import GatewayNode, SigningKey
from sessions_app.operations.targets.prepare_authority import prepare_authority
from sessions_app.operations.targets.rotate_authority import rotate_authority
from sessions_app.queries.gateways.keys import GATEWAY_CA
from tests.support.servers.web_sites import Echo, listening
from tests.support.waits import comes_true
from tests.support.world.holders import passes
from tests.support.world.world import SETUP

pytestmark = pytest.mark.usefixtures("world")


LONG_AGO = dt.datetime.now(dt.UTC) - dt.timedelta(days=8)


@pytest.fixture
def authority():
    return make_authority("Somebody's", now=dt.datetime.now(dt.UTC))


@pytest.fixture
def files(tmp_path, authority):
    """Files with a certificate and a key, and a function that rewrites them."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"

    def write(pair: Pair) -> dict[str, str]:
        for path, content in ((certificate, pair.certificate), (key, pair.key)):
            fresh = path.with_suffix(".fresh")
            fresh.write_bytes(content)
            fresh.replace(path)
        return {"certificate": str(certificate), "key": str(key)}

    return write


def leaf(authority: Pair, *names: str, now: dt.datetime | None = None) -> Pair:
    return issue(authority, names or ("localhost",), now=now or dt.datetime.now(dt.UTC))


async def shown(place, host: str | None = "localhost", *, accepted: bool = True) -> x509.Certificate:
    """Return the certificate that a client gets and accepts."""
    context = place.context()
    context.check_hostname = accepted and host is not None
    if not accepted:
        context.verify_mode = ssl.CERT_NONE
    _, writer = await place.connect(host, context)
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return x509.load_der_x509_certificate(found)


async def test_clients_that_trust_the_authority_accept_every_name_of_the_gateway_and_no_other():
    async with listening({"echo": Echo()}) as place:
        for host in ("gateway.test", "localhost", "127.0.0.1", "::1", None):
            assert (await shown(place, host)).issuer != (await shown(place, host)).subject
        with pytest.raises(ssl.SSLCertVerificationError):
            await shown(place, "other.test")
        with pytest.raises(ssl.SSLCertVerificationError):
            await place.connect("localhost", ssl.create_default_context())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_http_1_over_tls_1_2_or_later_is_all_that_is_spoken():
    async with listening({"echo": Echo()}) as place:
        _, writer = await place.connect()
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        writer.close()
        old = place.context()
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await place.connect("localhost", old)
        reader, writer = await asyncio.open_connection("127.0.0.1", place.options.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"HTTP/" not in await reader.read()
        writer.close()


async def test_a_public_host_name_of_a_site_has_a_certificate_of_its_own():
    site = Echo(frozenset({"shop.test"}))
    async with listening({"echo": site}) as place:
        names = (await shown(place, "shop.test")).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        assert names.value.get_values_for_type(x509.DNSName) == ["shop.test"]
        again = (await shown(place, "shop.test")).serial_number
        assert again == (await shown(place, "SHOP.test")).serial_number
        site.hosts = frozenset()
        with pytest.raises(ssl.SSLCertVerificationError):
            await shown(place, "shop.test")


def test_a_host_whose_certificate_could_not_be_made_gets_one_later(authority, tmp_path, monkeypatch):
    async def active() -> Pair:
        return authority

    own = Own(active, ["localhost"], lambda: dt.datetime.now(dt.UTC))
    asyncio.run(own.look())
    with monkeypatch.context() as full:
        full.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        with pytest.raises(OSError, match="missing"):
            own.for_host("prices.example.com")
    context = own.for_host("prices.example.com")
    assert context is not None
    assert own.for_host("prices.example.com") is context


async def test_another_authority_that_signs_is_used_within_seconds_and_the_old_one_no_more(live_world):
    def rotated() -> SigningKey:
        prepare_authority(GATEWAY_CA, actor=SETUP, now=live_world.now)
        return rotate_authority(GATEWAY_CA, actor=SETUP, now=live_world.now)

    async with listening({"echo": Echo(frozenset({"shop.test"}))}) as place:
        await shown(place), await shown(place, "shop.test")
        fresh = await place.shared.database.run(rotated)
        digest = fingerprint(fresh.public_key.encode())
        await passes(LOOK_EVERY)
        await comes_true(lambda: place.shared.node.lease.known.tls_fingerprint == digest)
        for host in ("localhost", "shop.test"):
            with pytest.raises(ssl.SSLCertVerificationError):
                await shown(place, host)
        after = dataclasses.replace(place, ca=fresh.public_key)
        assert (await shown(after)).issuer == (await shown(after, "shop.test")).issuer


async def is_replaced(place, serial_number: int) -> bool:
    return (await shown(place, accepted=False)).serial_number != serial_number


async def test_a_certificate_is_replaced_each_day_and_open_connections_stay():
    async with listening({"echo": Echo(frozenset({"shop.test"}))}) as place:
        public = (await shown(place, "shop.test")).serial_number
        reader, writer = await place.connect()
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"ok\n")
        first = (await shown(place)).serial_number
        await passes(LOOK_EVERY)
        assert (await shown(place)).serial_number == first
        clock = place.shared.node.clock
        clock.set(clock._database + dt.timedelta(days=1), clock._monotonic)
        await passes(LOOK_EVERY)
        # The client's clock is not a day ahead. Meanwhile, a thread queries which authority signs.
        await comes_true(lambda: is_replaced(place, first))
        assert (await shown(place, "shop.test", accepted=False)).serial_number != public
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"ok\n")
        writer.close()


async def test_files_that_can_not_be_used_leave_the_certificate_that_is_in_use(authority, files):
    one = leaf(authority)
    async with listening({"echo": Echo()}, **(paths := files(one))) as place:
        place.ca = authority.certificate.decode()
        first = (await shown(place)).serial_number
        for broken in (
            Pair(leaf(authority).certificate, one.key),
            Pair(b"", b""),
            leaf(authority, now=LONG_AGO),
        ):
            files(broken)
            await passes(LOOK_EVERY)
            assert (await shown(place)).serial_number == first
        os.remove(paths["key"])  # noqa: PTH107  # a path as text
        await passes(LOOK_EVERY)
        assert (await shown(place)).serial_number == first
        files(leaf(authority))
        await passes(LOOK_EVERY)
        assert (await shown(place)).serial_number != first


async def published(place) -> str:
    return await place.shared.database.run(lambda: GatewayNode.objects.get(name="web-1").tls_fingerprint)


async def test_what_clients_trust_is_published_and_again_when_it_changes(authority, files):
    async with listening({"echo": Echo()}) as place:
        assert await published(place) == fingerprint(place.ca.encode())
    one, two = leaf(authority), leaf(authority)
    async with listening({"echo": Echo()}, **files(one)) as place:
        assert await published(place) == fingerprint(one.certificate)
        files(Pair(two.certificate, one.key))
        await passes(LOOK_EVERY)
        await place.shared.node.lease.renew()
        assert await published(place) == fingerprint(one.certificate)
        files(two)
        await passes(LOOK_EVERY)
        await place.shared.node.lease.renew()
        assert await published(place) == fingerprint(two.certificate)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda pair, other: Pair(pair.certificate, other.key), "don't match"),
        (lambda pair, other: Pair(b"nothing", pair.key), "not PEM"),
        (lambda pair, other: Pair(pair.certificate, b"nothing"), "not PEM"),
        (lambda pair, other: leaf(make_authority("Old", now=LONG_AGO), now=LONG_AGO), "not now"),
    ],
)
async def test_files_that_can_not_be_used_stop_the_start(authority, files, change, said):
    paths = files(change(leaf(authority), leaf(authority)))
    with pytest.raises(GatewaySettings, match=said):
        await listening({"echo": Echo()}, **paths).__aenter__()
    with pytest.raises(GatewaySettings, match="/nowhere/key.pem: No such file"):
        await listening({"echo": Echo()}, **{**paths, "key": "/nowhere/key.pem"}).__aenter__()


@pytest.mark.parametrize(
    ("host", "names"),
    [
        *(
            (host, ["gw.example", "localhost", "127.0.0.1", "::1"])
            for host in ("127.0.0.1", "::1", "localhost")
        ),
        *((host, ["gw.example"]) for host in ("0.0.0.0", "10.0.0.7")),
    ],
)
def test_names_of_this_machine_are_certified_only_if_only_it_can_connect(host, names):
    assert names_of(WebOptions(host=host, port=8443, url="https://gw.example:8443")) == names
