"""Posting a signed message to an address that somebody else chose."""

import datetime as dt
import ipaddress
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from broker.kernel.networks import why_not
from sessions_app.notifications.webhook import Forbidden, NotTaken, Post, Webhook, check_url, sign
from sessions_app.policy.webhooks import key_of_secret
from tests.support.servers.receiver import SECRET, answered, receiver
from tests.support.waits import drip, happens

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
KEY = key_of_secret(SECRET)


def post(url: str, body: bytes = b'{"test": 2432232314}') -> Post:
    return Post(url=url, key="msg_1", timestamp=1614265330, body=body, secrets=[KEY])


def inside(**more) -> Webhook:
    return Webhook(agent="Stint/test", allowed=LOOPBACK, **more)


@pytest.fixture
def hook():
    with receiver() as server:
        yield server


def test_the_published_vector_of_the_signature_comes_out():
    signed = sign(
        key="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=b'{"test": 2432232314}', secrets=[KEY]
    )
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_is_posted_with_its_three_headers_and_its_body_as_it_is(hook):
    assert inside().send(post(f"{hook.url}?a=1", b'{"a":"\xc3\xa9"}')).status == 200
    (came,) = hook.came
    assert (came.line, came.headers["host"]) == ("POST /stint?a=1 HTTP/1.1", f"127.0.0.1:{hook.port}")
    assert came.headers["content-type"] == "application/json"
    assert (came.headers["webhook-id"], came.headers["webhook-timestamp"]) == ("msg_1", "1614265330")
    assert came.body == b'{"a":"\xc3\xa9"}'
    assert came.is_signed_by(SECRET)


REFUSED = [
    "127.0.0.1",
    "127.8.8.8",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.100.100.200",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.170.2",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "168.63.129.16",
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:10.0.0.1",
    "::ffff:8.8.8.8",
    "::7f00:1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2001:0:7f00:1::1",
]


@pytest.mark.parametrize("text", REFUSED)
def test_an_address_that_leads_inside_is_refused(text):
    assert why_not(ipaddress.ip_address(text))
    with pytest.raises(Forbidden):
        Webhook(agent="x", resolve=lambda _host, _port: [text]).send(post("https://hooks.example.com/"))


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "localhost"])
def test_other_spellings_of_loopback_are_refused(host):
    with pytest.raises(NotTaken):
        Webhook(agent="x").send(post(f"https://{host}/"))


def test_a_name_is_resolved_once_so_that_another_answer_later_leads_nowhere(hook):
    asked = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.255.255.1"]

    inside(resolve=resolve).send(post(f"http://rebind.example:{hook.port}/"))
    assert asked == ["rebind.example"]
    assert hook.came[0].headers["host"] == f"rebind.example:{hook.port}"


def test_what_clouds_keep_on_link_local_addresses_is_refused_even_where_the_settings_allow_it():
    everything = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    for text in ("169.254.169.254", "224.0.0.1", "0.0.0.0", "fe80::1"):
        assert why_not(ipaddress.ip_address(text), everything)


def test_without_a_setting_only_https_is_sent_to():
    with pytest.raises(Forbidden, match="HTTPS"):
        Webhook(agent="x", resolve=lambda _host, _port: ["8.8.8.8"]).send(post("http://hooks.example.com/"))
    with pytest.raises(Forbidden, match="HTTPS"):
        inside(resolve=lambda _host, _port: ["8.8.8.8"]).send(post("http://hooks.example.com/"))
    with pytest.raises(Forbidden, match="HTTPS"):
        check_url("http://hooks.example.com/")
    with pytest.raises(Forbidden, match="not a public address"):
        check_url("https://[::1]/")
    check_url("https://hooks.example.com/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(hook, status):
    with receiver() as other:
        hook.answer = answered(status, f"Location: {other.url}")
        with pytest.raises(NotTaken, match="Redirects are not followed"):
            inside().send(post(hook.url))
        assert other.came == []


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_everything_but_yes_is_no(hook, status):
    hook.answer = answered(status, "Retry-After: 120")
    with pytest.raises(NotTaken) as refusal:
        inside().send(post(hook.url))
    assert (refusal.value.status, refusal.value.wait, refusal.value.gone) == (status, 120, False)


def test_a_receiver_that_is_gone_says_so(hook):
    hook.answer = answered(410)
    with pytest.raises(NotTaken) as refusal:
        inside().send(post(hook.url))
    assert refusal.value.gone


def test_a_receiver_that_says_nothing_is_cut(hook):
    over = threading.Event()
    hook.answer = lambda _wire: happens(over)
    with pytest.raises(NotTaken, match="too long"):
        inside(total=0.5).send(post(hook.url))
    over.set()


def test_one_that_sends_a_byte_now_and_then_is_cut_as_well(hook):
    over = threading.Event()

    def answer(wire) -> None:
        wire.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        drip(wire.write, b"y", over)

    hook.answer = answer
    with pytest.raises(NotTaken):
        inside(total=0.5).send(post(hook.url))
    over.set()


def test_an_endless_answer_is_not_read(hook):
    sent = []

    def flood(wire) -> None:
        wire.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(2000):
            wire.write(b"x" * 65536)
            sent.append(65536)

    hook.answer = flood
    assert inside().send(post(hook.url)).status == 200
    assert sum(sent) < 64 * 1024 * 1024


@pytest.mark.parametrize("answer", [b"", b"\x00\xff not http\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_no_answer_is_none_and_is_not_repeated(hook, answer):
    hook.answer = answer
    with pytest.raises(NotTaken) as refusal:
        inside().send(post(hook.url))
    assert "not http" not in str(refusal.value)


def certificate(name: str) -> tuple[bytes, bytes]:
    """A certificate for a name, which signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return built.public_bytes(serialization.Encoding.PEM), private


@pytest.fixture
def tls(tmp_path):
    """A receiver by TLS for hooks.example.com, and a context that trusts it."""
    chain, key = certificate("hooks.example.com")
    file = tmp_path / "hooks.pem"
    file.write_bytes(chain + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    names = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with receiver(context) as server:
        yield server, ssl.create_default_context(cadata=chain.decode()), names


def test_the_name_is_shown_and_verified_though_the_address_was_resolved_before(tls):
    server, trusting, names = tls
    sender = inside(context=trusting, resolve=lambda _host, _port: ["127.0.0.1"])
    assert sender.send(post(f"https://hooks.example.com:{server.port}/x")).status == 200
    assert names == ["hooks.example.com"]
    assert server.came[0].headers["host"] == f"hooks.example.com:{server.port}"


def test_another_name_or_a_certificate_that_nobody_vouches_for_is_refused(tls):
    server, trusting, _ = tls
    for sender, host in (
        (inside(context=trusting, resolve=lambda _host, _port: ["127.0.0.1"]), "other.example.com"),
        (inside(resolve=lambda _host, _port: ["127.0.0.1"]), "hooks.example.com"),
    ):
        with pytest.raises(NotTaken, match="certificate is not valid"):
            sender.send(post(f"https://{host}:{server.port}/x"))
    assert server.came == []
