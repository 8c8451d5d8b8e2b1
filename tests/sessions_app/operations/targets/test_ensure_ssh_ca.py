"""There is one certificate authority that signs."""

from __future__ import annotations

from broker.audit.models import AuditEntry
from sessions_app.models import SigningKey
from sessions_app.operations.targets.ensure_ssh_ca import ensure_ssh_ca
from sessions_app.queries.authority import active_ssh_ca, ssh_ca_private_key
from tests.support.acts import at_once, last


def test_the_first_authority_is_made_once_and_sealed(db, now):
    made = ensure_ssh_ca(now=now)
    assert ensure_ssh_ca(now=now) == made == active_ssh_ca()
    private = ssh_ca_private_key(made)
    assert private.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert private.splitlines()[1] not in bytes(SigningKey.objects.get().sealed_private_key)
    assert last("ca.created", made.fingerprint).data == {"purpose": "ssh-user-ca", "signs": True}
    assert not AuditEntry.objects.filter(body__contains="PRIVATE").exists()


def test_made_by_many_at_once_there_is_one(stint_db, now):
    results = at_once(*[lambda: ensure_ssh_ca(now=now)] * 4)
    assert {result.pk for result in results} == {SigningKey.objects.get().pk}
    assert AuditEntry.objects.filter(event="ca.created").count() == 1
