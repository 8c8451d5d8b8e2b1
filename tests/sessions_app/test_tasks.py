"""Tasks are hints; each makes one domain call and is known to the worker under its name."""

from __future__ import annotations

from celery import current_app

from broker.audit.models import AuditVerification
from sessions_app import tasks
from sessions_app.models import GrantState


def test_every_scheduled_task_is_one_that_the_worker_knows():
    scheduled = {entry["task"] for entry in current_app.conf.beat_schedule.values()}
    assert scheduled <= set(current_app.tasks)


def test_a_task_takes_the_message_of_a_newer_sender(world):
    grant = world.grant(start=False)
    tasks.provision(grant_id=grant.pk, something_new=1)
    grant.refresh_from_db()
    assert grant.state == GrantState.ACTIVE


def test_a_message_for_a_grant_that_is_over_does_nothing(world):
    grant = world.grant()
    tasks.deprovision(grant_id=grant.pk)
    grant.refresh_from_db()
    assert grant.state == GrantState.ACTIVE


def test_the_record_is_read_again_on_schedule(world):
    tasks.verify_record()
    assert AuditVerification.objects.get(log="main").ok
