"""Text output of the CLI."""

from broker.cli.wording import held_commit


def cell(column: str, before: str | None, after: str | None, state: str) -> dict[str, str | None]:
    return {"column": column, "before": before, "after": after, "state": state}


def test_a_held_transaction_shows_each_row_before_and_after_and_draws_nothing_on_the_terminal():
    row = {
        "statements": [
            {
                "line": "UPDATE app.orders SET note = 'late'",
                "touched": 3,
                "rows": [
                    [cell("id", "2", "2", "same"), cell("note", None, "\x1b[2Jlate", "changed")],
                    [cell("id", None, "3", "added"), cell("note", None, None, "added")],
                ],
                "notes": ["The table has triggers."],
                "plan": "Seq Scan",
            }
        ]
    }
    assert held_commit(row).splitlines() == [
        "UPDATE app.orders SET note = 'late'",
        "3 rows changed, not committed yet. The rows stay locked until the decision.",
        "  id: 2, note: NULL → \ufffd[2Jlate",
        "  id: + 3, note: + NULL",
        "  1 more, not shown.",
        "The table has triggers.",
        "  Seq Scan",
    ]
