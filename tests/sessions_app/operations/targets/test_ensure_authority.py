"""There is one certificate authority that signs for each purpose."""

import ssl

import pytest

from broker.audit.models import AuditEntry
from sessions_app.models import SigningKey
from sessions_app.operations.targets.ensure_authority import ensure_authority
from sessions_app.queries.gateways.keys import (
    GATEWAY_CA,
    SSH_USER_CA,
    active_authority,
    gateway_ca_pair,
    private_key_of,
    trusted_authorities,
)
from tests.support.world.acts import at_once, last


@pytest.mark.parametrize(
    ("purpose", "head"),
    [(SSH_USER_CA, b"-----BEGIN OPENSSH PRIVATE KEY-----"), (GATEWAY_CA, b"-----BEGIN PRIVATE KEY-----")],
)
def test_the_first_authority_is_made_once_and_sealed(db, now, purpose, head):
    made = ensure_authority(purpose, now=now)
    assert ensure_authority(purpose, now=now) == made == active_authority(purpose)
    private = private_key_of(made)
    assert private.startswith(head)
    assert private.splitlines()[1] not in bytes(SigningKey.objects.get().sealed_private_key)
    assert last("ca.created", made.fingerprint).data == {"purpose": purpose, "signs": True}
    assert not AuditEntry.objects.filter(body__contains="PRIVATE").exists()


def test_that_of_the_web_gateways_is_a_certificate(db, now):
    made = ensure_authority(GATEWAY_CA, now=now)
    assert gateway_ca_pair(made).certificate.decode() == made.public_key
    assert ssl.PEM_cert_to_DER_cert(made.public_key)


def test_targets_do_not_trust_that_of_the_web_gateways(db, now):
    ensure_authority(GATEWAY_CA, now=now)
    assert trusted_authorities(SSH_USER_CA) == []
    assert [ensure_authority(SSH_USER_CA, now=now)] == trusted_authorities(SSH_USER_CA)


def test_made_by_many_at_once_there_is_one(stint_db, now, purpose):
    results = at_once(*[lambda: ensure_authority(purpose, now=now)] * 4)
    assert {result.pk for result in results} == {SigningKey.objects.get().pk}
    assert AuditEntry.objects.filter(event="ca.created").count() == 1
