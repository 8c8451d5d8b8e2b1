"""The SQL of queries is Django's, with fewer steps to compose it."""

import pytest
from django.db import connection
from django.db.backends.postgresql.compiler import SQLCompiler
from django.db.models import Count, Exists, F, OuterRef
from django.db.models.functions import Lower

from accounts.models import Identity
from sessions_app.models import AccessRequest, CommandRun, Grant

QUERIES = {
    "ordered by a column": lambda: Grant.objects.order_by("-pk"),
    "ordered by related columns": lambda: Grant.objects.select_related("holder__owner", "cluster").order_by(
        "cluster__name", "-holder__owner__username"
    ),
    "ordered by expressions": lambda: Identity.objects.order_by(Lower("name"), F("owner__name").desc()),
    "ordered by a selected column": lambda: CommandRun.objects.values("line", "grant__ref").order_by("line"),
    "ordered by an alias": lambda: Grant.objects.values(who=F("holder__name")).order_by("-who"),
    "ordered by an annotation": lambda: Grant.objects.annotate(many=Count("runs")).order_by("many", "ref"),
    "without an order": lambda: AccessRequest.objects.select_related("requester").order_by(),
    "reversed": lambda: AccessRequest.objects.order_by("number").reverse(),
    "without duplicates": lambda: Identity.objects.distinct().order_by("owner__name", "pk")[:3],
    "one of each": lambda: Grant.objects.order_by("state", "pk").distinct("state"),
    "a union": lambda: Grant.objects.values("pk").union(Grant.objects.values("pk")).order_by("pk"),
    "with a subquery": lambda: Grant.objects.filter(
        Exists(CommandRun.objects.filter(grant=OuterRef("pk")).order_by("-pk"))
    ).order_by("pk"),
    "an alias of a table": lambda: Grant.objects.filter(holder__owner__in=Identity.objects.filter(name="a")),
}


@pytest.mark.parametrize("rows", QUERIES.values(), ids=QUERIES)
def test_the_sql_is_the_one_that_django_composes(db, rows):
    ours = rows().query.get_compiler("default")
    assert type(ours) is not SQLCompiler
    assert ours.as_sql() == SQLCompiler(rows().query, connection, "default").as_sql()


def test_selected_columns_are_not_hashed_for_an_order_that_cannot_name_them(db):
    compiler = Grant.objects.select_related("holder__owner").order_by("-pk").query.get_compiler("default")
    compiler.as_sql()
    # Django shares the other columns between queries.
    own = [column for column, _, _ in compiler.select if column is not column.target.cached_col]
    assert own
    assert not any("identity" in vars(column) for column in own)
