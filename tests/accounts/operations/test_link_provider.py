"""Who somebody of the identity provider is."""

import pytest

from accounts.models import Identity, ProviderLink
from accounts.operations.link_provider import NotLinked, link_provider
from tests.support.world.acts import at_once, events, last

ISSUER = "https://id.example.com"


def link(world, subject="u1", email="alice@example.com", issuer=ISSUER) -> Identity:
    return link_provider(issuer=issuer, subject=subject, email=email, now=world.now)


def test_the_first_time_the_address_says_who_it_is_and_later_the_subject_alone(world):
    assert link(world) == world.alice
    assert link(world, email="bob@example.com") == world.alice
    assert link(world, email=None) == world.alice
    entry = last("identity.linked", "alice")
    assert (entry.actor, entry.data) == (
        "alice",
        {"issuer": ISSUER, "subject": "u1", "email": "alice@example.com"},
    )
    assert events("alice").count("identity.linked") == 1


def test_the_same_subject_of_another_issuer_is_somebody_else(world):
    link(world)
    assert link(world, email="bob@example.com", issuer="https://other.example.com") == world.bob


@pytest.mark.parametrize("email", [None, "", "zoe@example.com", "robot@example.com", "alice@example.com "])
def test_without_one_person_of_the_address_there_is_nobody(world, email):
    Identity.objects.filter(pk=world.robot.pk).update(email="robot@example.com")
    with pytest.raises(NotLinked):
        link(world, email=email)
    assert not ProviderLink.objects.exists()


def test_a_person_is_linked_to_one_subject_of_an_issuer(world):
    link(world)
    with pytest.raises(NotLinked, match="another account"):
        link(world, subject="u2")


def test_of_the_enabled_and_the_disabled_with_one_address_the_enabled_is_linked(world):
    Identity.objects.filter(pk=world.bob.pk).update(email="alice@example.com", is_active=False)
    assert link(world) == world.alice


def test_who_is_disabled_is_found_and_not_linked(world):
    Identity.objects.filter(pk=world.alice.pk).update(is_active=False)
    assert link(world) == world.alice
    assert not ProviderLink.objects.exists()


def test_two_first_sign_ins_at_the_same_moment_make_one_link(live_world):
    found = at_once(*[lambda: link(live_world)] * 4)
    assert found == [live_world.alice] * 4
    assert ProviderLink.objects.count() == 1
    assert events("alice").count("identity.linked") == 1
