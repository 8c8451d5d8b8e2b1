"""What was seen on targets is compared for many of them at once. What follows from it:
`test_reconcile_all.py`.
"""

from django.db import connection
from django.test.utils import CaptureQueriesContext

from sessions_app.connectors.base import Observed
from sessions_app.models import Observation, Target
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.targets.compare_targets import Seen, compare_targets, note_unseen


def targets(world, count: int) -> list[Target]:
    found = Target.objects.get(name="web-1")
    made = [
        Target(
            cluster=found.cluster,
            name=f"t-{number}",
            address="127.0.0.1",
            port=number,
            account="root",
            host_key=found.host_key,
        )
        for number in range(1, count + 1)
    ]
    return Target.objects.bulk_create(made)


def queries(world, some: list[Target], mark: str) -> int:
    seen = [(one, Seen([Observed(mark=mark, intact=True, detail="")], {})) for one in some]
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert compare_targets(seen=seen, now=world.now) == []
    return len(asked)


def test_a_hundred_targets_take_as_many_questions_as_one(world, making):
    grant = prepare_grant(grant_id=world.grant().pk, now=lambda: world.now)
    few, *many = targets(world, 101)
    assert queries(world, many, grant.mark) == queries(world, [few], grant.mark) < 10
    assert Observation.objects.filter(grants=1, error="", seen_at=world.now).count() == 101


def test_a_target_that_is_silent_keeps_what_was_seen_before(world):
    (target,) = targets(world, 1)
    compare_targets(seen=[(target, Seen([], {"app": "owner of a table"}))], now=world.now)
    note_unseen({target: "t-1 does not answer."}, world.now)
    row = Observation.objects.get(target=target)
    assert (row.error, row.seen_at, row.unfit) == (
        "t-1 does not answer.",
        world.now,
        {"app": "owner of a table"},
    )
