"""Targets pasted as lines."""

import pytest
from django.urls import reverse

from sessions_app.web.catalog.cluster_form import MOST_TARGETS
from sessions_app.web.catalog.pasted_targets import TargetRow, with_pasted
from tests.support.world.reading import says
from tests.support.world.world import HOST_KEY

KNOWN = TargetRow("web-1", "web-1.example.com")


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("web-1.example.com", TargetRow("web-1", "web-1.example.com")),
        ("web-1.example.com:2222 deploy", TargetRow("web-1", "web-1.example.com", "2222", "deploy")),
        ("deploy@web-1\t", TargetRow("web-1", "web-1", "", "deploy")),
        ("192.0.2.7, root", TargetRow("192-0-2-7", "192.0.2.7", "", "root")),
        ("[2001:db8::7]:22", TargetRow("2001-db8-7", "2001:db8::7", "22")),
        ("2001:db8::7", TargetRow("2001-db8-7", "2001:db8::7")),
        (f"[web-1]:2222 {HOST_KEY}", TargetRow("web-1", "web-1", "2222", "", HOST_KEY)),
        ("web-1:x", TargetRow("web-1", "web-1", "x")),
    ],
)
def test_a_line_is_a_target(line, row):
    assert with_pasted([TargetRow()], f"# my hosts\n\n{line}\n") == (row,)


def test_names_are_unique_and_a_known_host_only_gets_what_it_lacks():
    pasted = f"web-1.example.com root {HOST_KEY}\nweb-1.example.org\nweb-1.example.org:23"
    first, *others = with_pasted([KNOWN], pasted)
    assert first == TargetRow("web-1", "web-1.example.com", "", "root", HOST_KEY)
    assert [one.name for one in others] == ["web-1-2", "web-1-3"]


def test_pasted_lines_become_rows_of_the_form_without_script(as_admin):
    form = {"rows": "1", "t0.name": "a", "t0.address": "192.0.2.1", "pasted": "b\nc:23 root", "act": "add"}
    rows = as_admin.post(reverse("cluster_new"), form).context["form"].targets
    assert [(row.name, row.address, row.port) for row in rows] == [
        ("a", "192.0.2.1", ""),
        ("b", "b", ""),
        ("c", "c", "23"),
    ]


def test_too_many_pasted_lines_add_nothing_and_are_kept(as_admin):
    lines = "\n".join(f"host-{number}" for number in range(MOST_TARGETS + 1))
    answer = as_admin.post(reverse("cluster_new"), {"name": "x", "rows": "0", "pasted": lines, "act": "save"})
    says(answer.content.decode(), "at most 60 targets", "host-60</textarea>")
