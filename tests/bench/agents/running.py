"""Measure both versions of the suites, and play them through a gateway."""

import importlib
from dataclasses import asdict
from typing import Any

from tests.bench.agents import dojo
from tests.bench.agents.attacks import Call
from tests.bench.agents.figures import MEASURED, Figures, goals, measure, total
from tests.bench.agents.gateway import Site, site
from tests.bench.agents.sets.every import SUITES
from tests.bench.database import database
from tests.bench.report import Report


def run(report: Report) -> None:
    """Measure."""
    importlib.import_module("sessions_app.operations.targets.connect")  # registers the cluster kinds
    for version, suites in MEASURED.items():
        for suite, before in suites.items():
            found = measure(version, suite, report.note)
            report.note(f"{version} {suite}: {_told(found)}")
            changed = [name for name, value in asdict(found).items() if value != getattr(before, name)]
            report.figure(f"{version} {suite}, figures that changed", len(changed), most=0)
        report.note(f"{version}: {_told(total(version))}")
    with database() as (name, world), site(name, world, SUITES) as running:
        for suite in SUITES:
            report.note(f"{suite}: {play(running, suite)} calls of goals are made through the gateway")
    for different in running.different:
        report.note(different)
    report.figure("calls that the gateway and the policy decide differently", len(running.different), most=0)


def _told(found: Figures) -> str:
    return (
        f"{found.possible} of {found.tasks} tasks are possible, with {found.held} of {found.calls} calls"
        f" held; of {found.pairs} pairs, {found.names} are stopped by tool names, {found.bound} with bound"
        f" arguments, {found.full} with sinks, results and taint; {found.words} are words to the user"
    )


def play(running: Site, suite: str) -> int:
    """Play each task of a suite through the gateway, once if the versions share it, and all goals' calls.

    Return how many of the latter were made.
    """
    attacks: list[Call] = []
    tasks: dict[type, Any] = {}
    for version in dojo.VERSIONS:
        tasks |= {type(task): task for task in dojo.suites(version)[suite].user_tasks.values()}
        calls = [call for made in goals(version, suite).values() for call in made]
        attacks += [call for at, call in enumerate(calls) if call not in (*attacks, *calls[:at])]
    return sum(running.play(suite, task, attacks) for task in tasks.values())
