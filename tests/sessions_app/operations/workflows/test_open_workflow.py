"""Opening a piece of work."""

import datetime as dt

import pytest
from django.db import IntegrityError, InternalError, transaction

from broker.kernel.errors import InvalidInput
from sessions_app.models import Workflow
from tests.support.world.acts import events, last


def test_an_incident_gets_the_next_reference_and_is_recorded(world):
    first, second = world.incident(), world.incident(world.alice, severity="P1")
    assert (first.kind, first.state, first.severity) == ("incident", "open", "P2")
    assert first.ref.startswith("INC-")
    assert int(second.ref.removeprefix("INC-")) > int(first.ref.removeprefix("INC-"))
    entry = last("workflow.opened", second.ref)
    assert (entry.actor, entry.object_type) == ("alice", "workflow")
    assert entry.data == {
        "kind": "incident",
        "title": "Checkout is slow",
        "severity": "P1",
        "clusters": ["web"],
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"title": " \n"}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "a\x00b"}, "title"),
        ({"severity": "P5"}, "severity"),
        ({"severity": ""}, "severity"),
        ({"kind": "party"}, "kind"),
        ({"clusters": []}, "clusters"),
        ({"clusters": ["web", "nowhere"]}, "clusters"),
    ],
)
def test_what_does_not_fit_is_refused_by_field_and_leaves_nothing(world, changes, field):
    with pytest.raises(InvalidInput) as refusal:
        world.incident(**changes)
    assert field in refusal.value.fields
    assert not Workflow.objects.exists()
    assert "workflow.opened" not in events()


def test_a_cluster_that_one_may_not_see_is_one_that_is_not_there(world):
    said = set()
    for who, cluster in ((world.charlie, "web"), (world.bob, "nowhere")):
        with pytest.raises(InvalidInput) as refusal:
            world.incident(who, clusters=[cluster])
        said.add(refusal.value.message.replace(cluster, "?"))
    assert len(said) == 1


def test_what_an_incident_is_never_changes_and_it_is_never_deleted(world):
    incident = world.incident()
    for act in (
        lambda: Workflow.objects.filter(pk=incident.pk).update(ref="INC-1"),
        lambda: Workflow.objects.filter(pk=incident.pk).delete(),
    ):
        with pytest.raises((InternalError, IntegrityError)), transaction.atomic():
            act()


def test_nothing_is_planned_for_a_time_that_no_clock_can_show(world):
    end_of_time = dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-5)))
    with pytest.raises(InvalidInput) as refusal:
        world.workflow("change", starts_at=end_of_time - dt.timedelta(hours=1), ends_at=end_of_time)
    assert set(refusal.value.fields) == {"ends_at"}
    assert not Workflow.objects.exists()
