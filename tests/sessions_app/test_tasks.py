"""Tasks are hints; each makes one domain call and is known to the worker under its name."""

from broker.audit.models import AuditVerification
from broker.celery import QUEUES, app
from broker.processes.argv import worker_argv
from sessions_app import tasks
from sessions_app.models import EndReason, GrantState, Observation
from sessions_app.operations.grants.end_grant import end_grant
from tests.support.servers.receiver import receiver, webhook_file
from tests.support.waits import eventually
from tests.support.world.acts import fresh


def test_every_scheduled_task_is_one_that_the_worker_knows():
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert scheduled <= set(app.tasks)


def test_a_task_takes_the_message_of_a_newer_sender(world):
    grant = world.grant(start=False)
    tasks.provision(grant_id=grant.pk, something_new=1)
    assert fresh(grant).state == GrantState.ACTIVE


def test_the_worker_undoes_in_threads_of_its_own(live_world, owner_connection):
    """A message costs none of the few threads that messages have, however long it takes."""
    grant = live_world.grant()
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=live_world.now)
    with owner_connection.transaction(force_rollback=True):
        owner_connection.execute("SELECT FROM sessions_app_grant FOR UPDATE")
        tasks.deprovision(grant_id=grant.pk)
        assert fresh(grant).state == GrantState.REVOKING
    eventually(lambda: not tasks._revokers._works)
    # Whoever found the row locked left it to the next message or sweep.
    tasks.deprovision(grant_id=grant.pk)
    eventually(lambda: fresh(grant).state == GrantState.ENDED)


def test_the_record_is_read_again_on_schedule_in_a_thread_of_its_own(live_world):
    tasks.verify_record()
    eventually(lambda: AuditVerification.objects.filter(log="main", ok=True).exists())
    eventually(lambda: not tasks._keepers._busy)


def test_each_task_that_is_scheduled_has_a_queue_and_what_is_bound_to_time_shares_none_with_mail():
    scheduled = {entry["task"] for entry in app.conf.beat_schedule.values()}
    queues = {task: route["queue"] for task, route in app.conf.task_routes.items()}
    assert scheduled <= set(queues)
    beside_mail = {task for task, queue in queues.items() if queue == queues["notices.send"]}
    bound_to_time = {
        "sweep.tick",
        "sweep.baseless",
        "record.checkpoint",
        "record.verify",
        "clusters.reconcile_all",
        "deliveries.handle_lost",
        "workflows.read_all",
    }
    assert not bound_to_time & beside_mail
    assert "webhooks.send" in beside_mail


def test_the_worker_takes_from_every_queue():
    assert worker_argv()[-1].split(",") == list(QUEUES)


def test_the_worker_queues_and_sends_webhooks_in_threads_of_its_own(live_world, settings):
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    with receiver() as hook:
        live_world.apply(webhook_file(hook))
        request = live_world.request()
        tasks.send_webhooks()
        (came,) = hook.wait_for(1)
        eventually(lambda: not tasks._couriers._busy)
    assert came.json["data"]["request"] == request.ref


def test_the_worker_tells_the_next_ones_and_forgets_what_is_old(world):
    tasks.escalate_due()
    tasks.purge_old_webhooks()
    tasks.purge_signed_out()


def test_the_worker_looks_at_targets_in_a_thread_of_its_own(live_world, fake_targets):
    tasks.reconcile()
    eventually(lambda: Observation.objects.filter(seen_at__isnull=False).count() == 2)
    eventually(lambda: not tasks._lookers._busy)
