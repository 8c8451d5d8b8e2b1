"""Making identities."""

import pytest

from accounts.models import Identity
from accounts.operations.create_identity import NameTaken, create_identity
from broker.kernel.errors import InvalidInput
from tests.support.world.acts import at_once, last
from tests.support.world.world import PASSWORD, SETUP


def make(now, **fields) -> Identity:
    return create_identity(
        **{"username": "erin", "email": "erin@example.com", "actor": SETUP, "now": now, **fields}
    )


def test_a_person_is_made_with_groups_and_the_record_says_so(db, now):
    erin = make(now, name="Erin", groups=iter(["ops", "dba"]), password=PASSWORD)
    assert erin.is_person
    assert erin.check_password(PASSWORD)
    assert set(erin.groups.values_list("name", flat=True)) == {"ops", "dba"}
    entry = last("identity.created", "erin")
    assert entry.data == {"kind": "person", "owner": None, "groups": ["dba", "ops"], "administrator": False}


SPELLINGS = ["erin", "ERIN", " Erin ", "ｅｒｉｎ", "Eriń".replace("ń", "n")]


def test_all_spellings_of_a_name_are_one_identity(db, now):
    make(now)
    for spelling in SPELLINGS:
        with pytest.raises(NameTaken):
            make(now, username=spelling)
        assert Identity.objects.count() == 1


NO_NAMES = ["", " ", "-erin", "er in", "er\nin", "erin\0", "erıń", "system:sweep", "a" * 101, "ег"]


def test_a_name_that_can_be_mistaken_is_refused(db, now):
    for name in NO_NAMES:
        with pytest.raises(InvalidInput):
            make(now, username=name)


UNFIT = [
    {"kind": "agent"},
    {"kind": "service"},
    {"kind": "root"},
    {"kind": ""},
    {"email": "not an address"},
    {"time_zone": "Mars/Olympus"},
    {"time_zone": "../UTC"},
]


def test_an_identity_that_does_not_fit_together_is_refused_whole(db, now):
    for fields in UNFIT:
        with pytest.raises(InvalidInput) as refusal:
            make(now, **fields)
        assert refusal.value.fields
        assert not Identity.objects.exists()


def test_two_who_make_the_same_name_at_once_make_one(stint_db, now):
    results = at_once(*[lambda: make(now)] * 4)
    assert sum(isinstance(result, Identity) for result in results) == 1
    assert sum(isinstance(result, NameTaken) for result in results) == 3


@pytest.mark.parametrize("kind", ["agent", "service"])
def test_a_machine_belongs_to_a_person_and_administers_nothing_and_a_person_belongs_to_nobody(world, kind):
    for fields in (
        {"kind": kind, "owner": world.robot},
        {"kind": kind, "owner": world.alice, "is_superuser": True},
        {"owner": world.alice},
    ):
        with pytest.raises(InvalidInput):
            make(world.now, **fields)
