"""A holder starts a transfer on the page of a grant."""

import pytest

from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import CommandOrder, FilePiece, OrderedFile
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.stop_grant import stop_grant
from sessions_app.operations.sessions.claim_order import claim_order
from sessions_app.operations.sessions.order_command import LineRefused
from sessions_app.operations.sessions.order_file import (
    LISTINGS,
    OF_GRANT,
    OF_HOLDER,
    FileTooLarge,
    TooManyFiles,
)
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from tests.support.world import acts
from tests.support.world.files import (
    GET,
    HELD,
    LIST,
    LOG,
    PUT,
    RUN,
    fetch,
    file_grant,
    listing,
    order,
)


@pytest.fixture
def grant(world):
    return file_grant(world)


def test_the_line_is_built_with_the_values_and_the_gateway_learns_of_the_file(grant, now):
    asked = order(grant, now, index=GET, values={"file": "access.log"})
    assert (asked.line, asked.target.name, asked.client_address) == (f"get {LOG}", "web-1", "192.0.2.9")
    assert acts.last("command.ordered", grant.ref).data["line"] == f"get {LOG}"
    node = renew_gateway(name="gateway-1", version="1", now=now).id
    claimed = claim_order(order_id=asked.pk, gateway_id=node, now=now)
    assert (claimed.file.id, claimed.file.direction) == (asked.file.pk, "get")


def test_a_listed_file_is_ordered_by_its_path(grant, now):
    asked = order(grant, now, direction="get", path=LOG)
    assert (asked.line, asked.file.direction, asked.file.path) == (f"get {LOG}", "get", LOG)


def test_an_upload_is_stored_encrypted_and_recorded_with_its_size_and_digest(grant, now):
    asked = order(grant, now, index=PUT, values={"file": "a1"}, data=b"Personal data")
    assert asked.line == "put /srv/app/releases/a1.bin"
    assert b"Personal" not in b"".join(bytes(piece.sealed) for piece in FilePiece.objects.all())
    entry = acts.last("command.ordered", grant.ref)
    assert (entry.data["bytes"], entry.data["sha256"]) == (13, asked.file.sha256)
    assert asked.file.complete_at == now


def test_only_the_holder_may(world, grant, now):
    for other in (world.bob, world.charlie, world.admin, world.robot):
        with pytest.raises(NotFound):
            order(grant, now, who=other, index=LIST)
    assert not CommandOrder.objects.exists()


def test_a_grant_that_is_over_transfers_nothing(world, grant, now):
    stop_grant(grant_id=grant.pk, actor=world.alice, now=now)
    with pytest.raises(GrantIsOver):
        order(grant, now, index=LIST)


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        ({"direction": "get", "path": "/etc/passwd"}, "get /etc/passwd"),
        ({"direction": "get", "path": "/var/log/app/../x"}, "get /var/log/app/../x"),
        ({"direction": "list", "path": "/"}, "list /"),
        ({"index": GET, "values": {"file": "a/b"}}, "get /var/log/app/a/b"),
    ],
)
def test_what_is_not_allowed_is_ordered_to_be_refused_and_keeps_no_file(grant, now, wanted, line):
    with pytest.raises(LineRefused):
        order(grant, now, **wanted)
    assert CommandOrder.objects.get().line == line
    assert not OrderedFile.objects.exists()


def test_a_refused_value_is_named(grant, now):
    with pytest.raises(LineRefused) as refused:
        order(grant, now, index=PUT, values={"file": "A"}, data=b"x")
    assert set(refused.value.fields) == {"file"}


def test_an_upload_larger_than_its_rule_is_refused_with_its_size_and_not_stored(grant, now):
    with pytest.raises(LineRefused, match="2000 bytes"):
        order(grant, now, index=PUT, values={"file": "a1"}, data=bytes(2000))
    assert "size=2000" in CommandOrder.objects.get().line
    assert not FilePiece.objects.exists()


def test_a_file_larger_than_pages_transfer_names_the_line_that_does(grant, now, settings):
    settings.PAGE_FILE_BYTES = 1000
    with pytest.raises(FileTooLarge) as refused:
        order(grant, now, index=HELD, values={"file": "a"}, data=bytes(1001))
    assert f"stint cp FILE {grant.ref}.web-1:/srv/app/held/a" in refused.value.hint
    assert not CommandOrder.objects.exists()


@pytest.mark.parametrize(
    "wanted",
    [
        {"index": RUN},
        {"index": 99},
        {"index": GET},
        {"direction": "rm", "path": LOG},
        {"index": PUT, "values": {"file": "a"}},
        {"index": LIST, "data": b"x"},
    ],
)
def test_what_is_no_transfer_is_not_ordered(grant, now, wanted):
    with pytest.raises(InvalidInput):
        order(grant, now, **wanted)
    assert not CommandOrder.objects.exists()


def test_a_grant_of_another_kind_of_command_has_no_files(world, now):
    with pytest.raises(InvalidInput):
        order(world.grant(), now, index=0)


def test_a_grant_and_a_person_have_a_bounded_number_of_files(world, grant, now):
    for number in range(OF_GRANT):
        order(grant, now, index=GET, values={"file": f"a{number}"})
    with pytest.raises(TooManyFiles):
        order(grant, now, index=GET, values={"file": "one-more"})
    order(grant, now, index=LIST)
    OrderedFile.objects.filter(direction="get").update(grant=world.grant())
    for number in range(OF_HOLDER - OF_GRANT):
        order(grant, acts.after(world, minutes=1), index=GET, values={"file": f"b{number}"})
    OrderedFile.objects.filter(direction="get").update(grant=world.grant())
    with pytest.raises(TooManyFiles):
        order(grant, acts.after(world, minutes=2), index=GET, values={"file": "one-more"})


def test_a_new_listing_replaces_the_oldest(grant, now):
    made = [fetch(order(grant, now, index=LIST), listing(), now) for _ in range(LISTINGS + 1)]
    kept = set(OrderedFile.objects.values_list("order", flat=True))
    assert kept == {one.pk for one in made[1:]}
