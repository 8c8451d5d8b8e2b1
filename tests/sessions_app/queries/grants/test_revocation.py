"""What a target must know of other grants when one ends there."""

from sessions_app.models import Lease
from sessions_app.queries.grants.revocation import how_commands_ran, neighbors_of
from tests.support.world.acts import change, run, session, use


def test_other_grants_at_the_same_host_are_named_until_they_are_proven_gone(world):
    mine, theirs, elsewhere = (world.grant() for _ in range(3))
    for grant, target in ((mine, "web-1"), (theirs, "web-1"), (elsewhere, "web-2")):
        at = use(grant, target, now=world.now)
        run(at, session(at, now=world.now), now=world.now)
    leases = list(mine.leases.all())
    assert neighbors_of(mine, leases) == {("127.0.0.1", 2201): [theirs.mark]}
    Lease.objects.filter(grant=theirs).update(gone_at=world.now)
    assert neighbors_of(mine, leases) == {("127.0.0.1", 2201): []}


def test_how_a_grant_ran_follows_from_its_commands(world):
    assert how_commands_ran(world.grant()) == {"contained": True, "as_root": False}
    grouped = (
        world.catalog["command-sets/restart-web.yaml"]
        .replace("    hold: true\n", "    hold: true\n    contain: group\n")
        .replace("{unit}\n    effect: change\n", "{unit}\n    effect: change\n    as: root\n")
    )
    accepted = "accept: {'uncontained commands[2].contain': for a test}\n"
    change(world, {"command-sets/restart-web.yaml": grouped + accepted})
    assert how_commands_ran(world.grant()) == {"contained": False, "as_root": True}
