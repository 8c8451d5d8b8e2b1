"""What may be asked for."""

from sessions_app.models import CommandSetVersion
from sessions_app.queries.requests.offers import offers
from tests.support.world.acts import policy

LOOK = """
name: look-at-web
kind: ssh
summary: Look at a web server
risk: low
commands:
  - {run: uptime, effect: read}
examples: {allow: [uptime], refuse: [id]}
"""


def sets(found) -> list[tuple[str, str]]:
    return [(one.cluster, one.command_set) for one in found]


def test_what_one_may_ask_for_is_offered_with_what_it_costs(world):
    (offer,) = offers(identity=world.alice)
    assert (offer.cluster, offer.command_set, offer.policy, offer.kind) == (
        "web",
        "restart-web",
        "web-work",
        "ssh",
    )
    assert (offer.approvals, offer.longest, offer.targets) == (1, 4 * 3600, ("web-1", "web-2"))
    assert [(one.name, one.choices) for one in offer.missing] == [("unit", ("nginx", "haproxy"))]


def test_a_command_says_itself_which_parameters_it_needs(world):
    (offer,) = offers(identity=world.alice, target="web-1", line="echo restart nginx")
    assert (offer.targets, offer.parameters, offer.missing) == (("web-1",), {"unit": "nginx"}, ())
    assert offer.effect == "change"


def test_what_no_command_set_allows_is_not_offered(world):
    assert offers(identity=world.alice, target="web-1", line="rm -rf /") == []
    assert offers(identity=world.alice, target="db-1") == []
    assert offers(identity=world.alice, cluster="shop") == []


def test_nobody_is_offered_what_they_may_not_ask_for(world):
    assert offers(identity=world.charlie) == []
    assert offers(identity=world.bob, line="echo restart nginx") == []


def test_what_needs_nobody_comes_first_and_the_cheapest_policy_counts(world):
    more = {"command-sets/look-at-web.yaml": LOOK}
    free = policy(world, name="look", command_sets=["look-at-web", "restart-web"], approvals="none")
    world.apply({**more, **free})
    found = offers(identity=world.alice)
    assert sets(found) == [("web", "look-at-web"), ("web", "restart-web")]
    assert [(one.approvals, one.policy) for one in found] == [(0, "look"), (0, "look")]


def test_a_command_set_that_cannot_be_read_offers_nothing(world):
    good = CommandSetVersion.objects.get()
    CommandSetVersion.objects.create(
        command_set=good.command_set,
        number=2,
        document={**good.document, "commands": 7},
        source="",
        digest="0" * 64,
        published_at=world.now,
    )
    assert offers(identity=world.alice) == []
