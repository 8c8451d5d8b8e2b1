"""Certificates of an authority of Stint's own."""

import datetime as dt
import ipaddress
import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from broker.kernel.x509 import Pair, fingerprint, issue, make_authority

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def read(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate)


def verify(authority: Pair, leaf: Pair, name: str, *, at: dt.datetime) -> None:
    store = Store([read(authority)])
    PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(name)).verify(read(leaf), [])


def test_an_authority_signs_certificates_of_servers_and_nothing_else():
    made = read(make_authority("Stint", now=NOW))
    assert made.extensions.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(
        ca=True, path_length=0
    )
    usage = made.extensions.get_extension_for_class(x509.KeyUsage)
    assert (usage.critical, usage.value.key_cert_sign) == (True, True)
    assert not usage.value.crl_sign
    assert not usage.value.digital_signature
    assert isinstance(made.public_key(), ec.EllipticCurvePublicKey)
    assert made.public_key().curve.name == "secp256r1"
    assert made.not_valid_after_utc - NOW == dt.timedelta(days=3650)


def test_a_server_has_its_names_for_seven_days_and_is_no_authority():
    authority = make_authority("Stint", now=NOW)
    leaf = issue(authority, ["a.example", "127.0.0.1", "::1", "a.example"], now=NOW)
    names = read(leaf).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["a.example"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]
    verify(authority, leaf, "a.example", at=NOW)
    verify(authority, leaf, "a.example", at=NOW + dt.timedelta(days=7, seconds=-1))
    for wrong in (
        lambda: verify(authority, leaf, "b.example", at=NOW),
        lambda: verify(authority, leaf, "a.example", at=NOW + dt.timedelta(days=7, seconds=1)),
        lambda: verify(make_authority("Stint", now=NOW), leaf, "a.example", at=NOW),
        lambda: verify(authority, issue(leaf, ["a.example"], now=NOW), "a.example", at=NOW),
    ):
        with pytest.raises(VerificationError):
            wrong()


def test_each_certificate_has_a_key_and_a_number_of_its_own():
    authority = make_authority("Stint", now=NOW)
    one, two = (issue(authority, ["a.example"], now=NOW) for _ in range(2))
    assert one.key != two.key
    assert read(one).serial_number != read(two).serial_number
    with pytest.raises(ValueError, match="needs a name"):
        issue(authority, [], now=NOW)


@pytest.mark.processes
def test_a_fingerprint_is_what_openssl_prints(tmp_path):
    made = make_authority("Stint", now=NOW)
    file = tmp_path / "ca.pem"
    file.write_bytes(made.certificate)
    done = subprocess.run(
        ["openssl", "x509", "-in", str(file), "-noout", "-fingerprint", "-sha256"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().partition("=")[2] == fingerprint(made.certificate)
    with pytest.raises(ValueError, match="PEM"):
        fingerprint(b"nothing")
