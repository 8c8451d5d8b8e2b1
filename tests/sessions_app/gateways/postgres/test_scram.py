"""SCRAM-SHA-256 as in RFC 7677, and nothing that deviates from it."""

import base64

import pytest

from sessions_app.gateways.postgres.scram import PLAIN, PLUS, Client, ScramError, Server, verifier

# RFC 7677 §3.
SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
THEIRS, OURS = "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
KNOWN = verifier("pencil", SALT)
BINDING = b"\x17" * 32


def test_both_sides_say_what_the_rfc_says():
    client, server = Client("pencil", name="user", nonce=THEIRS), Server(PLAIN, binding=None, nonce=OURS)
    first = server.first(client.first(), KNOWN)
    assert first == f"r={THEIRS}{OURS},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode()
    proof = client.final(first)
    assert proof.endswith(b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    last = server.final(proof)
    assert last == b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    client.check(last)


def logged_in(password: str, **changes: bytes) -> Server:
    """Log in with a password, and with changed messages."""
    client, server = Client(password), Server(PLAIN, binding=changes.pop("binding", None))  # type: ignore[arg-type]
    first = server.first(changes.get("first", client.first()), KNOWN)
    server.final(changes.get("final", client.final(first)))
    return server


@pytest.mark.parametrize("password", ["", "pencils", "Pencil"])
def test_another_password_has_no_proof(password):
    with pytest.raises(ScramError, match="proof is wrong"):
        logged_in(password)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n,,",
        b"n,,n=,r=",
        b"n,a=other,n=,r=abc",
        b"x,,n=,r=abc",
        b"n,,r=abc",
        b"\xff,,n=,r=abc",
        b"p=tls-unique,,n=,r=abc",
        b"p=tls-server-end-point,,n=,r=abc",
    ],
)
def test_a_first_message_that_deviates_is_refused(first):
    with pytest.raises(ScramError):
        logged_in("pencil", first=first)


@pytest.mark.parametrize("final", [b"", b"c=biws", b"c=biws,r=x", b"c=biws,r=x,p=!", b"c=biws,r=x,p=eA=="])
def test_a_last_message_that_deviates_is_refused(final):
    with pytest.raises(ScramError):
        logged_in("pencil", final=final)


def test_a_client_that_saw_no_channel_binding_although_it_was_offered_is_refused():
    with pytest.raises(ScramError, match="removed on the way"):
        logged_in("pencil", binding=BINDING, first=b"y,,n=,r=abc")


@pytest.mark.parametrize("seen", [BINDING, b"\x18" * 32])
def test_with_channel_binding_the_proof_is_only_for_the_certificate_that_the_client_saw(seen):
    server = Server(PLUS, binding=BINDING)
    client = Client("pencil", nonce=THEIRS)
    header = b"p=tls-server-end-point,,"
    first = server.first(header + client.first()[3:], KNOWN)
    final = _bound(client, first, header + seen)
    if seen == BINDING:
        assert server.final(final).startswith(b"v=")
    else:
        with pytest.raises(ScramError):
            server.final(final)


def _bound(client: Client, first: bytes, bound: bytes) -> bytes:
    """Return the client's proof over this channel, as RFC 5802 §3 computes it."""
    import hashlib

    from sessions_app.connectors.postgres.scram import keyed, keys

    nonce = first.split(b",")[0].decode()
    without = f"c={base64.b64encode(bound).decode()},{nonce}"
    own, stored, _ = keys("pencil", SALT, 4096)
    signed = keyed(stored, b",".join([client.first()[3:], first, without.encode()]))
    assert hashlib.sha256(own).digest() == stored
    proof = bytes(a ^ b for a, b in zip(own, signed, strict=True))
    return f"{without},p={base64.b64encode(proof).decode()}".encode()


@pytest.mark.parametrize(
    "first",
    [b"", b"r=other,s=AAAA,i=4096", b"s=AAAA,i=1", b"\xff", b"r=%s,s=AAAA,i=9999999", b"r=%s,s=!,i=1"],
)
def test_a_server_that_deviates_learns_nothing(first):
    client = Client("pencil", nonce=THEIRS)
    with pytest.raises(ScramError):
        client.final(first.replace(b"%s", THEIRS.encode() + b"more"))


def test_a_server_that_does_not_know_the_password_is_found_out():
    client, server = Client("pencil"), Server(PLAIN, binding=None)
    client.final(server.first(client.first(), KNOWN))
    for said in (b"", b"v=", b"v=AAAA", b"e=other-error"):
        with pytest.raises(ScramError):
            client.check(said)
