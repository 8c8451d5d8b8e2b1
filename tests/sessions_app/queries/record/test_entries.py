"""Which entries somebody sees, and that each way of reading them agrees with the plain rule."""

import pytest
from django.db.models import Q

from accounts.models import Identity
from broker.audit.models import AuditEntry
from broker.audit.queries import entries
from sessions_app.models import AccessPolicy, AccessRequest, Cluster, CommandSet, Grant
from sessions_app.queries.record import entries as queries
from sessions_app.queries.record.entries import newest_visible, visible_entries
from tests.support.world import acts
from tests.support.world.acts import policy
from tests.support.world.replay import world_again

# Under which the ways of reading are chosen: everybody sees few things, everybody sees many, and windows that
# end early.
WAYS = [(2_000, 1_000, 20_000), (0, 1_000, 20_000), (0, 4, 20_000), (0, 7, 7), (2, 5, 11)]


@pytest.fixture
def world(db, now):
    """A world whose making is recorded, in which some things are seen by some."""
    world = world_again(now)
    world.apply({**policy(world, viewers={"identities": ["charlie"]})})
    grant = world.grant()
    used, session = acts.enter(grant, now=now)
    for line in ("echo restart nginx", "echo restart sshd"):
        acts.run(used, session, line, now=now)
    world.decide(world.request(world.robot))
    world.decide(world.request(), verdict="deny", comment="no")
    world.request(world.deployer)
    return world


def plain(identity: Identity) -> list[int]:
    """The numbers of all entries that the identity sees, by the rule as it is said."""
    if identity.is_superuser:
        return list(AuditEntry.objects.order_by("-seq").values_list("seq", flat=True))
    named = {
        "request": [one.ref for one in AccessRequest.objects.visible_to(identity)],
        "grant": [one.ref for one in Grant.objects.visible_to(identity)],
        "cluster": [one.name for one in Cluster.objects.visible_to(identity)],
        "policy": [one.name for one in AccessPolicy.objects.visible_to(identity)],
        "command_set": [one.name for one in CommandSet.objects.visible_to(identity)],
        "identity": [one.username for one in Identity.objects.filter(Q(pk=identity.pk) | Q(owner=identity))],
    }
    return [
        entry.seq
        for entry in AuditEntry.objects.order_by("-seq")
        if entry.actor_id == identity.pk
        or entry.object_type == "log"
        or entry.object_ref in named.get(entry.object_type, ())
    ]


def walked(identity: Identity, size: int) -> list[int]:
    """The numbers that the pages give, one page after the other."""
    found: list[int] = []
    before = None
    while True:
        page = newest_visible(entries(), identity, before=before, size=size)
        found += [entry.seq for entry in page.rows]
        if page.before is None:
            return found
        assert before is None or page.before < before
        before = page.before


@pytest.mark.parametrize(("few", "first", "window"), WAYS)
@pytest.mark.parametrize("name", ["alice", "bob", "charlie", "dora", "admin", "robot"])
def test_pages_hold_exactly_what_is_seen_whichever_way_they_are_read(
    world, monkeypatch, few, first, window, name
):
    monkeypatch.setattr(queries, "FEW", few)
    monkeypatch.setattr(queries, "FIRST_WINDOW", first)
    monkeypatch.setattr(queries, "WINDOW", window)
    identity = getattr(world, name)
    assert plain(identity)
    assert walked(identity, size=3) == plain(identity)
    assert [entry.seq for entry in visible_entries(entries(), identity)] == plain(identity)


@pytest.mark.parametrize(("few", "first", "window"), WAYS)
def test_text_is_found_in_small_and_capital_letters_as_json_writes_it(world, monkeypatch, few, first, window):
    monkeypatch.setattr(queries, "FEW", few)
    monkeypatch.setattr(queries, "FIRST_WINDOW", first)
    monkeypatch.setattr(queries, "WINDOW", window)
    request = world.request(reason='Say "Grüße" \\ twice')
    for identity in (world.admin, world.bob, world.alice):
        found = newest_visible(entries(), identity, text='say "GRÜSSE'.replace("SS", "ß") + '" \\ TWICE')
        assert [entry.object_ref for entry in found.rows][:1] == [request.ref]
        assert newest_visible(entries(), identity, text="no such text").rows == []


def test_a_page_that_was_given_up_says_how_far_it_looked(world, monkeypatch):
    monkeypatch.setattr(queries, "FEW", 0)
    monkeypatch.setattr(queries, "FIRST_WINDOW", 3)
    monkeypatch.setattr(queries, "WINDOW", 5)
    head = AuditEntry.objects.order_by("-seq").values_list("seq", flat=True)[0]
    page = newest_visible(entries(), world.admin, text="no such text")
    assert (page.rows, page.looked_to, page.before) == ([], head - 4, head - 4)


def test_a_token_for_one_workflow_sees_the_entries_of_that_workflow(world):
    mine, other = world.incident(), world.incident()
    alice = Identity.objects.get(pk=world.alice.pk)

    def workflows() -> set[str]:
        rows = newest_visible(entries(), alice).rows
        return {entry.object_ref for entry in rows if entry.object_type == "workflow"}

    assert workflows() == {mine.ref, other.ref}
    alice.bound_to = mine.ref
    assert workflows() == {mine.ref}
