"""Whoever can write to the database copies a secret into another row, to have it sent or used there."""

import pytest
from allauth.mfa.models import Authenticator

from accounts.factors import put_secret, recovery_codes_of, secret_of
from broker.audit.actor import Actor
from broker.kernel.crypto import CannotDecrypt
from sessions_app.connectors.base import ConnectorError
from sessions_app.models import Cluster, Lease, SigningKey, WebhookEndpoint, WorkflowSource
from sessions_app.operations.notifications.webhook_endpoint import keep_previous, signing_keys
from sessions_app.operations.notifications.webhook_endpoint import put_secret as sign_with
from sessions_app.operations.targets.cluster_connection import readable_secrets, sealed_secrets
from sessions_app.operations.targets.connect import place_of_lease
from sessions_app.operations.targets.prepare_authority import make_key
from sessions_app.operations.workflows.workflow_sources import Secrets, sealed, secrets_of
from sessions_app.queries.gateways.keys import GATEWAY_CA, SSH_USER_CA, private_key_of
from tests.support.servers.receiver import SECRET


def test_that_of_a_webhook_signs_for_no_other_and_not_as_the_previous_one(db, now):
    one, other = (WebhookEndpoint(name=name, after=0) for name in ("one", "other"))
    for endpoint in (one, other):
        sign_with(endpoint, SECRET)
    keep_previous(one)
    one.previous_until = now.replace(year=now.year + 1)
    assert len(signing_keys(one, now)) == 2
    one.sealed_previous = one.sealed_secret
    other.sealed_secret = one.sealed_secret
    for endpoint in (one, other):
        with pytest.raises(CannotDecrypt, match="sessions_app_webhookendpoint"):
            signing_keys(endpoint, now)


def test_that_of_a_source_is_sent_by_no_other(db):
    one, other = WorkflowSource(name="one"), WorkflowSource(name="other")
    one.sealed = other.sealed = sealed(Secrets({"token": "hunter2"}), one)
    assert secrets_of(one).parameters == {"token": "hunter2"}
    with pytest.raises(CannotDecrypt):
        secrets_of(other)


def test_that_of_an_authority_signs_for_no_other(db, now):
    ssh, web = (
        make_key(purpose, actor=Actor.system("setup"), now=now, active=True)
        for purpose in (SSH_USER_CA, GATEWAY_CA)
    )
    SigningKey.objects.filter(pk=ssh.pk).update(sealed_private_key=web.sealed_private_key)
    ssh.refresh_from_db()
    with pytest.raises(CannotDecrypt):
        private_key_of(ssh)


def test_that_of_a_cluster_logs_in_nowhere_else_not_even_by_a_lease(world):
    grant = world.grant()
    other = Cluster(name="other")
    lease = Lease.objects.create(grant=grant, target=grant.targets.first(), address="192.0.2.66", port=22)
    for row in (grant.cluster, lease):
        row.sealed_connection = sealed_secrets({"password": "hunter2"}, other)
    assert readable_secrets(grant.cluster) == {}
    with pytest.raises(ConnectorError, match="can't be decrypted"):
        place_of_lease(lease, grant.cluster)


def test_that_of_an_authenticator_app_is_no_factor_of_anybody_else(world):
    theirs, own = (
        Authenticator(user=user, type=Authenticator.Type.TOTP, data={}) for user in (world.alice, world.bob)
    )
    put_secret(theirs, "secret", "of-alice")
    own.data = {"secret": theirs.data["secret"], "seed": theirs.data["secret"]}
    assert secret_of(theirs, "secret") == "of-alice"
    for opened in (lambda: secret_of(own, "secret"), lambda: recovery_codes_of(own)):
        with pytest.raises(CannotDecrypt):
            opened()
