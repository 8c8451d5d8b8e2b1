"""TLS certificates: a certificate authority, and server certificates that it signs. Keys are ECDSA P-256.

Sources: RFC 5280 (profile), RFC 5480 (keys), RFC 6125 (names).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE = dt.timedelta(days=3650)
SERVER_LIFE = dt.timedelta(days=7)
# Certificates are backdated by this much, because clients' clocks may be behind.
_BEHIND = dt.timedelta(minutes=5)
_MOST_COMMON_NAME = 64

Key: TypeAlias = ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, both PEM. The key is not encrypted."""

    certificate: bytes
    key: bytes


def make_authority(name: str, *, now: dt.datetime) -> Pair:
    """Return a new CA for server certificates, which is valid for ten years and can't sign other CAs."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    built = (
        _builder(subject, key, now, AUTHORITY_LIFE)
        .issuer_name(subject)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _pair(built.sign(key, SHA256()), key)


def issue(authority: Pair, names: Iterable[str], *, now: dt.datetime) -> Pair:
    """Return a server certificate for host names and IP addresses, valid for seven days, with a new key.

    Raises ValueError without a name, and for invalid names.
    """
    alternatives = [_alternative(name) for name in dict.fromkeys(names)]
    if not alternatives:
        raise ValueError("A server certificate needs a name.")
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    signer = load_pem_private_key(authority.key, password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError("The authority's key must be an EC key.")
    key = ec.generate_private_key(ec.SECP256R1())
    built = (
        _builder(_name("Stint gateway"), key, now, SERVER_LIFE)
        .issuer_name(issuer.subject)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    return _pair(built.sign(signer, SHA256()), key)


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 fingerprint of the first certificate in a PEM text, in the format of `openssl x509
    -fingerprint`.

    Raises ValueError if there is none.
    """
    return x509.load_pem_x509_certificate(certificate).fingerprint(SHA256()).hex(":").upper()


def _builder(subject: x509.Name, key: Key, now: dt.datetime, life: dt.timedelta) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEHIND)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:_MOST_COMMON_NAME])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pair(certificate: x509.Certificate, key: Key) -> Pair:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM), private)
