"""What a hold shows of the rows of a statement, within its limits."""

import json

import pytest

from sessions_app.gateways.postgres.changes import CASCADES, HIDES, MAX_BYTES, UNPAIRED, Change, content_of
from sessions_app.gateways.postgres.own import TableFacts
from sessions_app.policy.commands.postgres.sql.expressions import Table
from sessions_app.policy.commands.postgres.sql.showing import MAX_ROWS, Shown


def change(
    *, verb="UPDATE", keys=("id",), written=("note",), before=(), after=(), secret=False, **facts
) -> Change:
    shown = Shown(
        verb, Table("app", "orders"), ("id", "note"), frozenset(written), "", "", False, secret, False
    )
    made = Change("UPDATE …", shown, TableFacts(tuple(keys), **facts), list(before), rows=len(after))
    for row in after:
        made.take(row)
    return made


def rows(made: Change) -> list:
    return content_of([made])["statements"][0]["rows"]


def test_rows_are_matched_by_the_key_whatever_their_order():
    made = change(before=[("1", "a"), ("2", None)], after=[("2", "x"), ("1", "x"), ("3", "x")])
    assert rows(made) == [
        [["1", "a"], ["1", "x"]],
        [["2", None], ["2", "x"]],
        [None, ["3", "x"]],
    ]
    assert made.notes() == []


@pytest.mark.parametrize(
    "about",
    [
        {"keys": ("id",), "written": ("id",)},
        {"keys": (), "written": ("id", "note")},
        {"keys": (), "before": [("1", "a"), ("1", "b")]},
    ],
)
def test_rows_that_can_not_be_matched_are_shown_apart_and_it_is_said(about):
    made = change(**{"before": [("1", "a")], "after": [("1", "x")], **about})
    assert UNPAIRED in made.notes()
    assert [None, ["1", "x"]] in rows(made)


def test_what_may_change_besides_is_said():
    assert CASCADES in change(cascades=True).notes()


def test_secret_values_hide_all_rows():
    made = change(secret=True, after=[("1", "geheim")])
    assert made.notes() == [HIDES]
    assert rows(made) == []


def test_values_are_short_and_every_character_is_visible():
    made = change(before=[("1", "a\nb\x1b[0m\u202e")], after=[("1", "é" * 500)])
    ((_, old), (_, new)) = rows(made)[0]
    assert old == "a␊b␛[0m\\u202e"
    assert len(new) == 200


def test_only_the_first_rows_are_kept_and_those_that_were_read_before():
    many = [(str(at), "a") for at in range(100)]
    made = change(before=many[:MAX_ROWS], after=list(reversed(many)))
    assert [one[1][0] for one in rows(made)] == [str(at) for at in range(MAX_ROWS)]


def test_everything_together_stays_within_its_limit():
    wide = [(str(at), "é" * 200) for at in range(MAX_ROWS)]
    made = [change(verb="INSERT", after=wide) for _ in range(20)]
    for one in made:
        one.plan = "Seq Scan\n" * 1000
    assert len(json.dumps(content_of(made)).encode()) < MAX_BYTES + 8000
