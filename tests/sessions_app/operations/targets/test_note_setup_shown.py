"""The set-up of targets is printed on the server."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import DatabaseError

from tests.support.world.acts import last
from tests.support.world.api_site import PROXY_KEY, add_site

POSTGRES = (
    "name: shop\nkind: postgres\nsummary: x\nenvironment: staging\nrisk: low\nconnection: {user: broker,"
    " password: x, sslmode: require}\ntargets:\n  - {name: db-1, address: 192.0.2.1}\n"
)


@pytest.mark.parametrize(
    ("command", "words", "has_secret"),
    [
        ("ssh_target_setup", ["web", "--gateway", "192.0.2.5"], False),
        ("postgres_target_setup", ["shop"], False),
        ("http_target_setup", ["tickets"], True),
    ],
)
def test_who_prints_it_is_in_the_record_and_whether_a_key_was_shown(world, command, words, has_secret):
    add_site(world, {"clusters/shop.yaml": POSTGRES})
    printed = StringIO()
    call_command(command, *words, stdout=printed)
    entry = last("cluster.setup_shown", words[0])
    assert (entry.actor, entry.data) == (f"system:{command}", {"has_secret": has_secret})
    assert (PROXY_KEY in printed.getvalue()) is has_secret


def test_nothing_is_printed_when_the_record_refuses(live_world, owner_connection):
    owner_connection.execute("REVOKE EXECUTE ON FUNCTION audit_append_at_commit FROM stint_app")
    printed = StringIO()
    with pytest.raises(DatabaseError):
        call_command("ssh_target_setup", "web", "--gateway", "192.0.2.5", stdout=printed)
    assert printed.getvalue() == ""
