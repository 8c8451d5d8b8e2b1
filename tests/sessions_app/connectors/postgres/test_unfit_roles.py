"""A command set is not published, and no policy brings one to a cluster, where a role that it names could be
handed on.
"""

import pytest

from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.models import Cluster, CommandSetVersion, Drift, Observation
from sessions_app.operations.catalog.apply_catalog import apply_catalog
from sessions_app.operations.catalog.publish_command_set import NotFitToPublish, publish_command_set
from sessions_app.operations.catalog.save_document import save_document
from sessions_app.operations.catalog.save_draft import CannotBeRead, save_draft
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.targets.reconcile_all import reconcile_all
from sessions_app.policy.documents import DocumentError
from tests.sessions_app.api.conftest import api  # noqa: F401 - a fixture
from tests.sessions_app.connectors.postgres.test_whole_grant import catalog
from tests.support.servers.postgres_server import each_version
from tests.support.world.acts import awake
from tests.support.world.world import SETUP

pytestmark = each_version

SET = """
name: read-orders
kind: postgres
summary: Have what the worker has
risk: medium
commands:
  - {grant: ROLE worker, effect: change}
examples: {allow: [ROLE worker], refuse: [ROLE postgres]}
"""
FAULT = "GRANT SELECT ON app.orders TO worker WITH GRANT OPTION"
MENDED = 'REVOKE GRANT OPTION FOR ALL ON TABLE app.orders FROM "worker" CASCADE;'


@pytest.fixture
def files(world, shop):
    """A catalog whose set names a template role, not yet applied."""
    shop.admin("CREATE ROLE worker; GRANT worker TO stint_broker WITH ADMIN OPTION")
    yield {**catalog(world, shop), "command-sets/read-orders.yaml": SET}
    shop.admin("DROP OWNED BY worker CASCADE; DROP ROLE worker")


@pytest.fixture
def applied(world, files):
    apply_catalog(files=files, actor=SETUP, now=awake(clock.now()))
    return files


def look() -> Observation:
    cluster = Cluster.objects.get(name="shop")
    reconcile_all(now=clock.now)
    return Observation.objects.get(target__cluster=cluster)


def test_a_look_at_a_server_keeps_which_roles_no_grant_may_have_and_forgets_it_when_that_is_mended(
    shop, applied
):
    assert look().unfit == {}
    shop.admin(FAULT)
    assert MENDED in look().unfit["worker"]
    shop.admin(MENDED)
    assert look().unfit == {}


def test_no_door_publishes_a_set_whose_role_could_be_handed_on_where_it_is_used(world, shop, applied, api):  # noqa: F811 - the fixture
    shop.admin(FAULT)
    look()
    changed = SET.replace("Have what", "Again have what")
    now = clock.now()
    draft = save_draft(source=changed, actor=world.admin, now=now)
    with pytest.raises(NotFitToPublish) as caught:
        publish_command_set(version_id=draft.pk, actor=world.admin, now=now)
    assert MENDED in str(caught.value.fields)
    answer = api("admin").post(f"/command-sets/read-orders/versions/{draft.number}/publish", {})
    assert answer.status_code == 422, answer.body
    assert MENDED in str(answer.body)
    with pytest.raises(InvalidInput, match="can't be published") as kept:
        save_document(kind="command-sets", source=changed, actor=world.admin, now=now)
    assert MENDED in f"{kept.value.fields} {kept.value.hint}"
    with pytest.raises(InvalidInput, match="can't be published") as whole:
        apply_catalog(files={**applied, "command-sets/read-orders.yaml": changed}, actor=SETUP, now=now)
    assert MENDED in f"{whole.value.fields} {whole.value.hint}"
    assert (
        CommandSetVersion.objects.filter(command_set__name="read-orders", published_at__isnull=False).count()
        == 1
    )
    shop.admin(MENDED)
    look()
    assert publish_command_set(version_id=draft.pk, actor=world.admin, now=now).published_at == now


def test_no_policy_brings_a_set_to_a_cluster_where_its_role_could_be_handed_on(world, shop, files):
    now = awake(clock.now())
    without = {**files, "policies/web-work.yaml": world.catalog["policies/web-work.yaml"]}
    apply_catalog(files=without, actor=SETUP, now=now)
    shop.admin(FAULT)
    look()
    with pytest.raises((CannotBeRead, DocumentError)) as caught:
        save_document(kind="policies", source=files["policies/web-work.yaml"], actor=world.admin, now=now)
    assert MENDED in str(getattr(caught.value, "fields", caught.value))


def test_a_right_that_comes_while_a_grant_is_in_use_is_seen_within_a_minute(world, shop, applied):
    now = awake(clock.now())
    made = world.grant(cluster="shop", command_set="read-orders", parameters={}, now=now)
    grant = prepare_grant(grant_id=made.pk, now=clock.now)
    assert grant.leases.get().before["templates"] == ["worker"]
    look()
    assert not Drift.objects.filter(gone_at=None).exists()
    shop.admin(FAULT)
    look()
    assert "has privileges on table app.orders WITH GRANT OPTION" in Drift.objects.get(gone_at=None).detail
    again = prepare_grant(grant_id=made.pk, now=clock.now)
    assert MENDED in again.last_error
    shop.admin(MENDED)
