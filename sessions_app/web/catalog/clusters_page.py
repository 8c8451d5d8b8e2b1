"""Data for the cluster pages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from django.conf import settings
from django.db.models import Count, F, Max, OuterRef, Q, QuerySet, Subquery
from django.utils.text import capfirst

from accounts.models import Identity
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.registry import ConnectorType, find
from sessions_app.connectors.ssh.setup import NoSetup, Setup
from sessions_app.models import AccessPolicy, Cluster, Drift, Grant, Observation, Target, TargetCheck
from sessions_app.operations.catalog.catalog_rows import cluster_document, cluster_row
from sessions_app.operations.targets.cluster_connection import shown_connection
from sessions_app.operations.targets.target_setup import SetupText, setup_texts, ssh_setup
from sessions_app.policy.catalog import ClusterDocument
from sessions_app.queries.gateways.keys import SSH_USER_CA, trusted_authorities
from sessions_app.queries.grants.counts import LIVE, how_many_live
from sessions_app.queries.statements.related_names import with_names
from sessions_app.web.display.states import Look, health_look, in_order, plural

# The slowest check takes 30 seconds. A check that takes longer is waiting for a worker.
LATE = dt.timedelta(seconds=40)
# After this long, the page stops waiting for a check.
PATIENCE = dt.timedelta(minutes=2)


def clusters(identity: Identity) -> QuerySet[Cluster]:
    """Return the live clusters that the identity can see, each with the number of its targets and of the
    grants in use.
    """
    return (
        Cluster.objects.live()
        .visible_to(identity)
        .annotate(
            target_count=Count("targets", filter=Q(targets__removed_at__isnull=True)),
            live_count=how_many_live("cluster"),
        )
        .order_by("name")
    )


@dataclass(frozen=True, slots=True)
class Health:
    """The results of the latest checks of a cluster's targets."""

    targets: int = 0
    failing: int = 0
    unchecked: int = 0
    at: dt.datetime | None = None


def look_of(health: Health) -> Look:
    """Return the display style of a cluster's connection status."""
    return health_look(health.targets, health.failing, health.unchecked)


def health_of(cluster_ids: Iterable[int]) -> dict[int, Health]:
    """Return the health of clusters by cluster id, in one query."""
    latest = TargetCheck.objects.filter(target=OuterRef("pk"), finished_at__isnull=False).order_by("-pk")
    rows = (
        Target.objects.live()
        .filter(cluster__in=list(cluster_ids))
        .annotate(
            right=Subquery(latest.values("ok")[:1]), looked_at=Subquery(latest.values("finished_at")[:1])
        )
        .values("cluster_id")
        .annotate(
            targets=Count("pk"),
            failing=Count("pk", filter=Q(right=False)),
            unchecked=Count("pk", filter=Q(right__isnull=True)),
            at=Max("looked_at"),
        )
        .order_by()
    )
    return {
        row["cluster_id"]: Health(row["targets"], row["failing"], row["unchecked"], row["at"]) for row in rows
    }


@dataclass(frozen=True, slots=True)
class ListedCluster:
    """One row of the cluster list."""

    cluster: Cluster
    look: Look


def listed(identity: Identity) -> list[ListedCluster]:
    """Return the clusters that the identity can see, each with its health."""
    found = list(clusters(identity))
    health = health_of(cluster.pk for cluster in found)
    return [ListedCluster(one, look_of(health.get(one.pk, Health()))) for one in found]


@dataclass(frozen=True, slots=True)
class CheckedTarget:
    """A target with its latest finished check and any check in progress. ``is_late`` means that no worker
    has started the requested check in time.
    """

    target: Target
    check: TargetCheck | None
    running: TargetCheck | None
    is_late: bool = False

    @property
    def wrong(self) -> int:
        """The number of check steps that need fixing."""
        return sum(1 for step in self.check.steps if not step["ok"]) if self.check else 0


@dataclass(frozen=True, slots=True)
class Checks:
    """The connection checks of one cluster."""

    cluster: Cluster
    rows: Sequence[CheckedTarget]
    has_authority: bool

    @property
    def running(self) -> bool:
        """Whether a check is in progress."""
        return any(row.running for row in self.rows)


def _targets_of(cluster: Cluster) -> list[Target]:
    return sorted(cluster.targets.filter(removed_at__isnull=True), key=lambda one: in_order(one.name))


def checks_of(cluster: Cluster, now: dt.datetime) -> Checks:
    """Return each target of a cluster with its latest check."""
    targets = _targets_of(cluster)
    ids = [target.pk for target in targets]
    own = TargetCheck.objects.filter(target__in=ids)
    newest = own.filter(finished_at__isnull=False).order_by("target_id", "-pk").distinct("target_id")
    waiting = own.filter(finished_at__isnull=True, asked_at__gt=now - PATIENCE)
    done = {check.target_id: check for check in newest}
    under_way = {check.target_id: check for check in waiting}
    return Checks(
        cluster,
        [
            CheckedTarget(
                target,
                done.get(target.pk),
                waits := under_way.get(target.pk),
                bool(waits and waits.asked_at < now - LATE),
            )
            for target in targets
        ],
        not _is_ssh(cluster) or bool(trusted_authorities(SSH_USER_CA)),
    )


def _is_ssh(cluster: Cluster) -> bool:
    kind = find(cluster.kind)
    return kind is not None and kind.runs


@dataclass(frozen=True, slots=True)
class SetupLines:
    """Setup commands to paste on a target. ``missing`` is the reason why there are no commands yet."""

    lines: Setup | None
    missing: str = ""


def setup_lines(cluster: Cluster) -> SetupLines | None:
    """Return the setup commands for an SSH cluster's targets; None if the cluster has no targets."""
    try:
        lines = ssh_setup(cluster, gateways=settings.SSH_SOURCE_ADDRESS)
        return SetupLines(lines) if lines else None
    except NoSetup as error:
        return SetupLines(None, str(error))


@dataclass(frozen=True, slots=True)
class ListedTarget:
    """One target on a cluster's page, with how Stint verifies the target's identity."""

    target: Target
    known: Look


@dataclass(frozen=True, slots=True)
class SeenTarget:
    """What reconciliation found on one target."""

    name: str
    grants: str
    notes: Sequence[str]
    at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class DriftNote:
    """One difference found on a target, with its display style."""

    drift: Drift
    look: Look

    @property
    def title(self) -> str:
        """The place and the kind of the difference."""
        ref = f" ({self.drift.grant_ref})" if self.drift.grant_ref else ""
        return f"{self.drift.target.name}: {self.drift.get_kind_display()}{ref}."

    @property
    def detail(self) -> str:
        """The detail of the difference, as a sentence."""
        return f"{capfirst(self.drift.detail)}." if self.drift.detail else ""


@dataclass(frozen=True, slots=True)
class ClusterPage:
    """One cluster for one reader. ``checks`` and ``setup`` are set only for its administrators."""

    cluster: Cluster
    targets: Sequence[ListedTarget]
    policies: Sequence[AccessPolicy]
    live: Sequence[Grant]
    may_ask: bool
    health: Health
    checks: Checks | None
    setup: SetupLines | None
    texts: Sequence[SetupText]
    seen: Sequence[SeenTarget]
    unseen: int
    drift: Sequence[DriftNote]

    @property
    def look(self) -> Look:
        """The display style of the connection status."""
        return look_of(self.health)

    @property
    def kind_says(self) -> str:
        """The title of the cluster's connector, and the number of targets."""
        title = self.kind.title if self.kind else f"{self.cluster.kind}: no connector available"
        return f"{title}, {plural(len(self.targets), 'target')}"

    @property
    def live_says(self) -> str:
        """The number of grants in use."""
        return plural(len(self.live), "grant")

    @property
    def unseen_says(self) -> str:
        """The number of targets that did not respond; empty if all responded."""
        return f"{plural(self.unseen, 'target')} not responding" if self.unseen else ""

    @property
    def kind(self) -> ConnectorType | None:
        """The cluster's connector type; None if no connector supports the cluster's kind anymore."""
        return find(self.cluster.kind)

    @property
    def connection(self) -> dict[str, Any]:
        """The connection parameters, without secrets."""
        return shown_connection(self.cluster)


def cluster_page(cluster: Cluster, reader: Identity, now: dt.datetime) -> ClusterPage:
    """Return a cluster with its targets, the policies that cover it, and the grants in use on it."""
    policies = AccessPolicy.objects.live().visible_to(reader).filter(clusters=cluster)
    targets = _targets_of(cluster)
    may_set_up = Cluster.objects.administered_by(reader).filter(pk=cluster.pk).exists()
    observed = Observation.objects.filter(target__in=targets).select_related("target")
    seen = sorted(observed, key=lambda one: in_order(one.target.name))
    return ClusterPage(
        cluster=cluster,
        targets=[ListedTarget(one, _known(one, cluster)) for one in targets],
        policies=list(policies.distinct().prefetch_related("command_sets").order_by("name")),
        live=list(
            with_names(Grant.objects.visible_to(reader))
            .filter(cluster=cluster, state__in=LIVE)
            .order_by("expires_at")[:50]
        ),
        may_ask=AccessPolicy.objects.requestable_by(reader, cluster.pk).exists(),
        health=health_of([cluster.pk]).get(cluster.pk, Health()),
        checks=checks_of(cluster, now) if may_set_up else None,
        setup=setup_lines(cluster) if may_set_up and _is_ssh(cluster) else None,
        texts=_texts(cluster) if may_set_up else [],
        seen=[_seen(one) for one in seen],
        unseen=sum(1 for one in seen if one.error),
        drift=[DriftNote(one, _drift_look(one)) for one in drift_of(cluster, now)],
    )


def _known(target: Target, cluster: Cluster) -> Look:
    """Return how Stint verifies a target's identity. Stint refuses to connect to a target that it can't
    verify.
    """
    if target.host_key or cluster.host_ca:
        return Look("ok", "key", "host key" if target.host_key else "host CA")
    return Look("bad", "alert", "refused: no host key")


def _seen(found: Observation) -> SeenTarget:
    notes = [found.error] if found.error else []
    notes += [capfirst(why) for why in found.unfit.values()]
    return SeenTarget(found.target.name, plural(found.grants, "grant"), notes, found.seen_at)


def _drift_look(drift: Drift) -> Look:
    if drift.gone_at:
        return Look("ok", "check", "fixed")
    return Look("bad" if drift.error else "warn", "alert", "being fixed")


def _texts(cluster: Cluster) -> list[SetupText]:
    """Return the setup instructions. A cluster with an unreadable configuration has none; its page shows how
    to fix it.
    """
    try:
        return setup_texts(cluster)
    except ConnectorError:
        return []


def drift_of(cluster: Cluster, now: dt.datetime) -> list[Drift]:
    """Return the drift on a cluster's targets that is open or was fixed in the last day, open drift first."""
    since = now - dt.timedelta(days=1)
    found = Drift.objects.filter(Q(gone_at__isnull=True) | Q(gone_at__gt=since), target__cluster=cluster)
    return list(found.select_related("target").order_by(F("gone_at").desc(nulls_first=True), "-pk")[:20])


def document_of(cluster: Cluster) -> ClusterDocument:
    """Return a stored cluster as a catalog document. Raises Unreadable."""
    return cluster_document(cluster)


def text_of_row(cluster: Cluster) -> str:
    """Return a cluster's stored values as YAML, so that an unreadable configuration can be fixed."""
    data = {name: value for name, value in cluster_row(cluster).items() if value}
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=200)


def text_of(document: ClusterDocument) -> str:
    """Return a cluster as YAML, in the style of a handwritten file."""
    data = document.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=200)
