"""Apply files to the catalog in one transaction, or plan the changes without making them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from django.contrib.auth.models import Group

from broker.audit.actor import Actor
from broker.kernel.errors import InvalidInput
from sessions_app.models import CommandSet
from sessions_app.operations.catalog.catalog_names import check_names
from sessions_app.operations.catalog.catalog_plan import Change, Plan, one_change
from sessions_app.operations.catalog.remove_row import live_rows, remove_row
from sessions_app.operations.catalog.write_cluster import write_cluster
from sessions_app.operations.catalog.write_command_set import is_published, write_command_set
from sessions_app.operations.catalog.write_group import remove_group, write_group
from sessions_app.operations.catalog.write_policy import write_policy
from sessions_app.operations.catalog.write_source import write_source
from sessions_app.operations.catalog.write_trust_policy import write_trust_policy
from sessions_app.operations.catalog.write_webhook import write_webhook
from sessions_app.policy.catalog import Catalog, bodies_unseen, holds_for_nobody, read_catalog
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.kinds import lint
from sessions_app.policy.documents import DocumentError

__all__ = ["Change", "Plan", "apply_catalog"]


def apply_catalog(
    *,
    files: Mapping[str, str],
    actor: Actor,
    now: dt.datetime,
    plan_only: bool = False,
    prune: bool = False,
    on_server: bool = False,
) -> Plan:
    """Make groups, clusters, command sets, webhooks, sources, policies and trust policies match the files,
    and return the changes.

    ``files`` maps relative paths to contents. Either all files are applied or none. ``plan_only`` changes
    nothing. Rows that no file defines are kept, unless ``prune`` is set. With ``on_server``, files may refer
    to secrets on the server, as for `manage.py apply`. Grants whose basis is gone end. Raises
    InvalidInput, which lists every problem.
    """
    try:
        catalog = read_catalog(files)
    except DocumentError as error:
        raise InvalidInput(
            "The catalog files can't be read. Nothing was changed.",
            hint="\n".join(problem.said for problem in error.problems),
            fields={problem.path: [problem.message] for problem in error.problems},
        ) from error
    findings = _lint(catalog)
    with one_change(actor=actor, now=now, plan_only=plan_only) as plan:
        plan.warnings += [*holds_for_nobody(catalog), *bodies_unseen(catalog)]
        _apply(catalog, findings, plan, actor, now, prune=prune, on_server=on_server)
    return plan


def _lint(catalog: Catalog) -> dict[str, list[Finding]]:
    """Return the linter's findings for each command set that differs from its published version.

    Linting is slow, so it runs before the lock is taken.
    """
    return {
        name: lint(file.document)
        for name, file in catalog.command_sets.items()
        if not is_published(CommandSet.objects.filter(name=name).prefetch_related("versions").first(), file)
    }


def _apply(
    catalog: Catalog,
    findings: Mapping[str, list[Finding]],
    plan: Plan,
    actor: Actor,
    now: dt.datetime,
    *,
    prune: bool,
    on_server: bool,
) -> None:
    check_names(catalog, alone=prune)
    # Apply the removals before the policies that name the rows, so that grants get the right end reason.
    _remove(catalog, plan, actor, now, prune=prune)
    for group in catalog.groups.values():
        write_group(group, plan, actor, now)
    _write_places(catalog, plan, actor, now, on_server=on_server)
    for command_set in catalog.command_sets.values():
        write_command_set(command_set, plan, actor, now, findings=findings.get(command_set.name))
    _write_policies(catalog, plan, actor, now)
    _remove_groups(catalog, plan, actor, now, prune=prune)


def _write_policies(catalog: Catalog, plan: Plan, actor: Actor, now: dt.datetime) -> None:
    fields: dict[str, list[str]] = {}
    for policy, source in catalog.policies.values():
        try:
            write_policy(policy, source, plan, actor, now)
        except DocumentError as error:
            fields |= {f"policies/{policy.name}: {one.path}": [one.message] for one in error.problems}
    for trust, source in catalog.trust_policies.values():
        try:
            write_trust_policy(document=trust, source=source, plan=plan, actor=actor, now=now)
        except DocumentError as error:
            fields |= {f"trust-policies/{trust.name}: {one.path}": [one.message] for one in error.problems}
    _refuse(fields)


def _refuse(fields: Mapping[str, list[str]]) -> None:
    """Raise InvalidInput with the problems by path, if there are any."""
    if fields:
        told = "\n".join(f"{path}: {texts[0]}" for path, texts in fields.items())
        raise InvalidInput(
            "The catalog files can't be read. Nothing was changed.", hint=told, fields=dict(fields)
        )


def _write_places(catalog: Catalog, plan: Plan, actor: Actor, now: dt.datetime, *, on_server: bool) -> None:
    fields: dict[str, list[str]] = {}
    for cluster in catalog.clusters.values():
        try:
            write_cluster(cluster, plan, actor, now, on_server=on_server)
        except DocumentError as error:
            fields |= {f"clusters/{cluster.name}: {one.path}": [one.message] for one in error.problems}
    for webhook in catalog.webhooks.values():
        try:
            write_webhook(webhook, plan, actor, now, on_server=on_server)
        except DocumentError as error:
            fields |= {f"webhooks/{webhook.name}: {one.path}": [one.message] for one in error.problems}
    for source in catalog.sources.values():
        try:
            write_source(source, plan, actor, now, on_server=on_server)
        except DocumentError as error:
            fields |= {f"workflow-sources/{source.name}: {one.path}": [one.message] for one in error.problems}
    _refuse(fields)


def _remove(catalog: Catalog, plan: Plan, actor: Actor, now: dt.datetime, *, prune: bool) -> None:
    named = {
        "policy": catalog.policies,
        "cluster": catalog.clusters,
        "command set": catalog.command_sets,
        "webhook": catalog.webhooks,
        "workflow source": catalog.sources,
        "trust policy": catalog.trust_policies,
    }
    for type_, kept in named.items():
        for row in live_rows(type_).exclude(name__in=list(kept)):
            if prune:
                remove_row(type_, row, plan, actor, now)
            else:
                plan.unused.append(f"{type_} {row.name}")


def _remove_groups(catalog: Catalog, plan: Plan, actor: Actor, now: dt.datetime, *, prune: bool) -> None:
    """Remove unused groups, or list them.

    Groups are removed last, because only after the other changes is it clear who can still request access.
    """
    for group in Group.objects.exclude(name__in=list(catalog.groups)).order_by("name"):
        if prune:
            remove_group(group, plan, actor, now)
        else:
            plan.unused.append(f"group {group.name}")
