"""Rows that are read by keys with a statement composed once."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import APIToken, Identity
from broker.kernel.postgresql.rows import Rows, ask, is_kept, keep
from sessions_app.models import AccessRequest, Approval, CommandRun, Grant, Lease, Session
from tests.sessions_app.api.conftest import token_for

ALL = [
    (Grant, "holder__owner", "cluster", "command_set_version__command_set", "workflow__source", "ended_by"),
    (AccessRequest, "requester__owner", "policy", "extends", "parent"),
    (Approval, "approver__owner"),
    (APIToken, "identity__owner"),
    (Identity, "owner"),
    (CommandRun, "grant", "target"),
    (Session, "grant", "target"),
    (Lease, "target"),
]


def facts(row, related):
    """Return all columns of a row and of its related rows."""
    found = {name: value for name, value in vars(row).items() if not name.startswith("_")}
    for path in related:
        name, _, rest = path.partition("__")
        assert row._meta.get_field(name).is_cached(row)
        other = getattr(row, name)
        found[path] = None if other is None else facts(other, [rest] if rest else [])
    return found


@pytest.mark.parametrize(("model", "related"), [(model, related) for model, *related in ALL])
def test_rows_are_those_that_django_reads(live_world, model, related):
    live_world.grant()
    token_for(live_world.alice, live_world.now)
    table = model._meta.db_table
    rows = Rows(model, *related, tail=f"WHERE {table}.id > %s ORDER BY {table}.id")
    expected = model.objects.select_related(*related).order_by("pk")
    assert [facts(row, related) for row in rows(0)] == [facts(row, related) for row in expected]
    assert rows.first(10**9) is None


def test_a_value_is_never_part_of_the_statement(live_world):
    by_name = Rows(Identity, tail="WHERE accounts_identity.username = %s")
    with CaptureQueriesContext(connection), connection.execute_wrapper(noted := Noted()):
        assert by_name.first("alice") == live_world.alice
        assert by_name("' OR true --") == by_name("100%s") == []
    assert len(set(noted.statements)) == 1


class Noted:
    """Notes the text of each statement."""

    def __init__(self):
        self.statements = []

    def __call__(self, execute, sql, params, many, context):
        self.statements.append(sql)
        return execute(sql, params, many, context)


def test_each_call_reads_the_database_again(live_world):
    by_id = Rows(Identity, tail="WHERE accounts_identity.id = %s")
    assert by_id.first(live_world.alice.pk).is_active
    Identity.objects.filter(pk=live_world.alice.pk).update(is_active=False)
    assert not by_id.first(live_world.alice.pk).is_active
    assert by_id.first(live_world.bob.pk) == live_world.bob


def test_a_lock_is_held_until_the_transaction_ends(live_world):
    locked = Rows(Identity, tail="WHERE accounts_identity.id = %s FOR NO KEY UPDATE OF accounts_identity")
    with transaction.atomic():
        locked(live_world.alice.pk)
        held = ask("SELECT mode FROM pg_locks WHERE relation = 'accounts_identity'::regclass AND granted")
        assert ("RowShareLock",) in held


def test_kept_rows_are_not_read_again_and_filters_still_hold(live_world):
    first, second = live_world.grant(), live_world.grant()
    request = AccessRequest.objects.get(pk=first.request_id)
    assert not is_kept(request.approvals)
    own = list(request.approvals.all())
    keep(request.approvals, own)
    assert is_kept(request.approvals)
    with CaptureQueriesContext(connection) as statements:
        assert list(request.approvals.all()) == own
    assert len(statements) == 0
    assert not request.approvals.filter(request_id=second.request_id).exists()
