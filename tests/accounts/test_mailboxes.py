"""An address in any spelling is one address, and accounts with one address are one person."""

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from accounts.mailboxes import canonical, folded
from accounts.models import Identity
from accounts.operations.create_identity import create_identity
from accounts.queries import are_same_person
from broker.audit.actor import Actor
from broker.kernel.errors import InvalidInput, StintError
from sessions_app.operations.identities.change_identity import change_identity
from sessions_app.operations.requests.decide_request import decide_request
from sessions_app.queries.requests import deciders

# Unicode, composed and not, in capitals, fullwidth, with an ideographic full stop; and the A-label.
SPELLINGS = (
    "hal@bücher.example",
    "hal@bu\u0308cher.example",
    "hal@BÜCHER.Example",
    "hal@ｂücher.example",
    "hal＠bücher。example",
    "hal@xn--bcher-kva.example",
    "hal@XN--BCHER-KVA.EXAMPLE",
)


def person(world, username: str, email: str, *groups: str) -> Identity:
    return create_identity(
        username=username, email=email, groups=groups, actor=Actor.system("test"), now=world.now
    )


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_of_an_address_is_stored_as_one(world, spelling):
    one, other = person(world, "hal", SPELLINGS[0]), person(world, "hal2", spelling)
    assert one.email == other.email == "hal@xn--bcher-kva.example"
    assert are_same_person(one, other)
    assert Identity.objects.filter(person=Identity.objects.get(pk=one.pk).person).count() == 2


@pytest.mark.parametrize("spelling", SPELLINGS[1:])
def test_nobody_decides_their_own_request_by_another_spelling(world, spelling):
    person(world, "hal", SPELLINGS[0], "operators")
    person(world, "hal2", spelling, "approvers")
    hal, hal2 = Identity.objects.get(username="hal"), Identity.objects.get(username="hal2")
    request = world.request(who=hal)
    assert "the same person" in deciders.may_not_decide(request, hal2)
    assert request not in deciders.requests_for(hal2, world.now)
    with pytest.raises(StintError, match="the same person"):
        decide_request(
            request_id=request.pk, approver=hal2, verdict="approve", digest=request.digest, now=world.now
        )


@pytest.mark.parametrize(
    "address",
    [
        "hal@bu\u0308cher.example",
        "ｈal@example.com",
        "hal@bücher.example",
        '"hal"@example.com',
        'hal"@example.com',
    ],
)
def test_the_database_takes_no_second_spelling_and_no_quotes(world, address):
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_identity SET email = %s WHERE id = %s", [address, world.bob.pk])


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("hal@-bücher-.example", "."),
        ("hal@bü\u200dcher.example", "."),
        ("hal@" + "ü" * 80 + ".example", "."),
        ('"hal"@example.com', "quoted"),
        ('"h\\al"@example.com', "quoted"),
        ("＂hal＂@example.com", "quoted"),
    ],
)
def test_an_address_that_can_not_be_or_is_a_second_spelling_of_a_mailbox_is_refused(world, address, why):
    with pytest.raises(ValueError, match=why):
        canonical(address)
    with pytest.raises(InvalidInput):
        change_identity(identity_id=world.bob.pk, name="Bob", email=address, actor=world.admin, now=world.now)
    with pytest.raises((ValidationError, InvalidInput)):
        person(world, "hal", address)


def test_the_local_part_keeps_its_case_and_what_is_no_address_is_folded():
    assert canonical("Hal.Nine@Example.COM") == "Hal.Nine@example.com"
    assert folded("Hal.Nine@Example.COM") == "hal.nine@example.com"
    assert folded("HAL") == "hal"
    assert canonical("hal@[192.0.2.1]") == "hal@[192.0.2.1]"
