"""The dashboard has what Grafana requires of one, and its expressions are valid PromQL.

Source: Grafana's documentation, "JSON model of a dashboard", and the schema of version 39 of that model.
"""

import itertools
import json
import re
import subprocess

import pytest
import yaml

from tests.broker.monitoring.test_metrics import DASHBOARD

BOARD = json.loads(DASHBOARD.read_text())
PANELS = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
TARGETS = [(panel, target) for panel in PANELS for target in panel["targets"]]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24


def cells(panel: dict) -> set[tuple[int, int]]:
    place = panel["gridPos"]
    return {
        (x, y)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    }


def test_the_board_has_the_fields_that_grafana_requires():
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,40}", BOARD["uid"])
    assert BOARD["title"]
    assert BOARD["schemaVersion"] == 39
    assert "id" not in BOARD, "the number belongs to the server that imports it"
    assert BOARD["time"].keys() == {"from", "to"}
    (variable,) = BOARD["templating"]["list"]
    assert (variable["name"], variable["type"], variable["query"]) == (
        "datasource",
        "datasource",
        "prometheus",
    )


def test_no_two_panels_overlap_and_none_is_wider_than_the_board():
    taken = list(itertools.chain.from_iterable(cells(panel) for panel in BOARD["panels"]))
    assert len(taken) == len(set(taken))
    assert all(0 <= x < COLUMNS for x, _ in taken)


def test_every_panel_asks_the_chosen_data_source_and_every_row_is_open():
    rows = [panel for panel in BOARD["panels"] if panel["type"] == "row"]
    assert all(row["collapsed"] is False and row["panels"] == [] for row in rows)
    assert {panel["type"] for panel in PANELS} == {"stat", "timeseries"}
    for panel in PANELS:
        assert panel["datasource"] == SOURCE
        assert panel["fieldConfig"].keys() == {"defaults", "overrides"}
        names = [target["refId"] for target in panel["targets"]]
        assert len(names) == len(set(names)), panel["title"]
    assert all(target["datasource"] == SOURCE and target["expr"] for _, target in TARGETS)


@pytest.mark.processes
def test_every_expression_is_valid_promql(tmp_path):
    rules = [
        {
            "record": f"panel:{panel['id']}:{target['refId']}",
            "expr": target["expr"].replace("$__rate_interval", "5m"),
        }
        for panel, target in TARGETS
    ]
    (path := tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(TARGETS)} rules found" in done.stdout
