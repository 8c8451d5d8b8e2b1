"""The metrics that there are, the guide that lists them, and the dashboard that shows them."""

import json
import re

import yaml
from prometheus_client import REGISTRY
from prometheus_client.core import Metric

import sessions_app.gateways.core.metrics  # noqa: F401  # counts at import
from broker import state_metrics
from tests.environment import ROOT

GUIDE = ROOT / "templates" / "docs" / "monitoring.md"
RULES = ROOT / ".deploy" / "monitoring" / "alerts.yaml"
DASHBOARD = ROOT / ".deploy" / "monitoring" / "dashboard.json"
_ROW = re.compile(r"^\| `(?P<name>stint_\w+)`(?: \((?P<labels>[^)]*)\))? \| (?P<says>.*) \|$", re.MULTILINE)
_NAME = re.compile(r"\bstint_[a-z_0-9]+")


def families() -> dict[str, Metric]:
    """Each metric of Stint by the name that it has in Prometheus, without the suffixes of histograms."""
    found = [*state_metrics.State().describe()]
    collectors = REGISTRY._collector_to_names
    found += [family for one in collectors if hasattr(one, "_labelnames") for family in one.describe()]
    return {
        f"{one.name}_total" if one.type == "counter" else one.name: one
        for one in found
        if one.name.startswith("stint_")
    }


def labels() -> dict[str, tuple[str, ...]]:
    own = {
        collector._name: collector._labelnames
        for collector in REGISTRY._collector_to_names
        if hasattr(collector, "_labelnames")
    }
    return {
        name: tuple(getattr(one, "_labelnames", None) or own.get(one.name, ()))
        for name, one in families().items()
    }


KNOWN = families()


def names_in(expression: str) -> set[str]:
    """The metrics that an expression of PromQL asks for."""
    return {
        re.sub(r"_(bucket|count|sum)$", "", name) if name not in KNOWN else name
        for name in _NAME.findall(expression)
    }


# Prometheus adds the first two to each series, and histograms have the third.
_ADDED = {"instance", "job", "le"}


def labels_in(expression: str) -> set[str]:
    """The labels that an expression of PromQL selects or groups by."""
    grouped = re.findall(r"\b(?:by|without|on|ignoring) ?\(([^)]*)\)", expression)
    selected = re.findall(r"\{([^}]*)\}", expression)
    return {name for part in grouped for name in re.findall(r"\w+", part)} | {
        name for part in selected for name in re.findall(r"(\w+) ?[=!]", part)
    }


def legend_labels(legend: str) -> set[str]:
    return set(re.findall(r"\{\{ ?(\w+) ?\}\}", legend))


def test_the_dashboard_and_the_alerts_use_only_labels_that_their_metrics_have():
    targets = [
        target for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel.get("targets", ())
    ]
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    used = [(one["expr"], legend_labels(one.get("legendFormat", ""))) for one in targets + rules]
    assert len(used) > 40
    for expression, shown in used:
        known = {label for name in names_in(expression) for label in labels()[name]} | _ADDED
        assert labels_in(expression) | shown <= known, expression


def test_the_guide_lists_exactly_the_metrics_that_there_are_with_their_labels():
    listed = {
        row["name"]: tuple(re.findall(r"`(\w+)`", row["labels"] or ""))
        for row in _ROW.finditer(GUIDE.read_text())
    }
    assert listed == labels()


def test_metrics_are_named_by_the_conventions_of_prometheus_and_the_guide_says_what_they_say():
    rows = {row["name"]: row["says"].lower() for row in _ROW.finditer(GUIDE.read_text())}
    for name, family in KNOWN.items():
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mib|percent)(_|$)", name), "base units only"
        assert (family.type == "counter") == name.endswith("_total"), name
        assert name.endswith("_seconds") or not re.search(
            "[Tt]ime from|Age of|Seconds since|how long", family.documentation
        )
        assert family.documentation.lower() in rows[name], name


def test_the_dashboard_shows_metrics_that_are_there_and_every_one_of_the_promises():
    board = json.loads(DASHBOARD.read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel.get("targets", ())
        for name in names_in(target["expr"])
    }
    assert asked <= KNOWN.keys()
    assert {
        "stint_end_proven_seconds",
        "stint_gateway_cut_seconds",
        "stint_error_budget_left_ratio",
        "stint_overdue_ends",
        "stint_sweepers_silent_seconds",
        "stint_record_intact",
        "stint_queue_messages",
        "stint_http_request_seconds",
        "stint_database_connections",
    } <= asked
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
