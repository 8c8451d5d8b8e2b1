"""Held commands that can be decided in one act, and the digest of what a person reads about each."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from sessions_app.models import CommandRun
from sessions_app.policy.digests import digest_of
from sessions_app.queries.grants.held_files import upload_of


def read_digest(run: CommandRun) -> str:
    """Return the SHA-256 of what people read about a held command before they decide it, in hex."""
    return digest_of(
        {
            "run": run.pk,
            "grant": run.grant.ref,
            "holder": run.grant.holder.username,
            "target": run.target.name,
            "line": run.line,
            "argv": run.argv,
            "effect": run.effect,
            "notes": run.notes,
        }
    )


def together(holds: Sequence[CommandRun]) -> list[list[CommandRun]]:
    """Group held commands that wait alike, in the order of the first of each group.

    Commands wait alike if they match the same rule of the same grant, with any values and on any targets.
    Of the rest, those wait alike that are the same command under several grants of one workflow or, without
    a workflow, of one cluster. A transaction that is held at its COMMIT and an upload stay alone: each has
    rows or content of its own to read.
    """
    groups = _grouped(holds, _rule)
    alone = [group[0] for group in groups if len(group) == 1]
    groups = [group for group in groups if len(group) > 1] + _grouped(alone, _command)
    places = {run.pk: place for place, run in enumerate(holds)}
    return sorted(groups, key=lambda group: places[group[0].pk])


def _grouped(holds: Sequence[CommandRun], key: Callable[[CommandRun], Hashable]) -> list[list[CommandRun]]:
    groups: dict[Hashable, list[CommandRun]] = {}
    for run in holds:
        own = hasattr(run, "held_commit") or upload_of(run) is not None
        groups.setdefault(run.pk if own else key(run), []).append(run)
    return list(groups.values())


def _rule(run: CommandRun) -> Hashable:
    return run.grant_id, run.command_index


def _command(run: CommandRun) -> Hashable:
    grant = run.grant
    shared = ("workflow", grant.workflow_id) if grant.workflow_id else ("cluster", grant.cluster_id)
    return *shared, run.line
