"""A look at a target, by whomever, is in the record with each step's answer."""

from broker.audit.actor import Actor
from sessions_app.connectors.base import CheckStep
from sessions_app.models import Target
from sessions_app.operations.targets.look_at_target import LONGEST, kept, look_at_target
from tests.support.world.acts import last

BY = Actor.system("ssh_check")


def look(world):
    target = Target.objects.select_related("cluster").get(name="web-1")
    return look_at_target(target=target, actor=BY, now=lambda: world.now)


def test_each_step_is_recorded_with_its_answer(world):
    steps = look(world)
    entry = last("cluster.checked", "web")
    assert (entry.actor, entry.data["target"]) == ("system:ssh_check", "web-1")
    assert entry.data["steps"] == kept(steps)
    assert entry.data["ok"] is False


def test_a_target_that_was_removed_is_not_asked(world):
    Target.objects.update(removed_at=world.now)
    (step,) = look(world)
    assert (step.name, step.ok) == ("in the catalog", False)


def test_a_long_answer_is_kept_cut():
    (step,) = kept([CheckStep("x", True, "é" * 5000)])
    assert len(step["detail"]) == LONGEST
