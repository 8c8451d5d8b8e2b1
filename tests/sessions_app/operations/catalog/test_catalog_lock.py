"""Grants start only while the catalog stands still."""

from django.db import transaction

from broker.kernel import clock
from sessions_app.models import GrantState
from sessions_app.operations.catalog.catalog_lock import lock_catalog
from sessions_app.operations.grants.provision_grant import provision_grant
from tests.support.threads import in_thread


def test_a_grant_does_not_start_while_the_catalog_is_changed(live_world):
    grant = live_world.grant(now=clock.now(), start=False)
    with transaction.atomic():
        lock_catalog()
        seen = in_thread(lambda: provision_grant(grant_id=grant.pk, now=clock.now()).state)
    assert seen == GrantState.SCHEDULED
    assert provision_grant(grant_id=grant.pk, now=clock.now()).state == GrantState.ACTIVE
