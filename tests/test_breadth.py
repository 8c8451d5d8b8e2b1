"""What is tried at a desk of what could be tried."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.support.breadth import spread


def test_of_two_parameters_each_value_is_tried_with_some_value_of_the_other():
    cases = [
        (pair, pair) for pair in itertools.product(("group", "pidns"), ("sleep", "nohup", "setsid", "fork"))
    ]
    assert spread(cases) == [
        ("group", "sleep"), ("group", "setsid"), ("pidns", "nohup"), ("pidns", "fork"),
    ]  # fmt: skip


def test_a_table_whose_rows_share_values_is_tried_row_by_row():
    rows = ["get-200", "get-404", "post-200", "post-404"]
    assert spread([(row, [row]) for row in rows]) == rows


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_every_value_is_tried_and_nothing_is_tried_twice(sizes):
    values = [[f"{number} {value}" for value in range(size)] for number, size in enumerate(sizes)]
    cases = [(case, case) for case in itertools.product(*values)]
    kept = spread(cases)
    assert len(set(kept)) == len(kept)
    assert len(kept) <= sum(sizes)
    assert set(itertools.chain(*kept)) == set(itertools.chain(*values))
