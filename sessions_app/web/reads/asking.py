"""What a person may ask for, with its price, and the fields that a choice needs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.db.models import Prefetch

from accounts.models import Identity
from accounts.queries import group_names
from sessions_app.models import AccessPolicy, Cluster, CommandSet, CommandSetVersion, RequestKind, Target
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.parameters import Choice, Duration, Int, ParameterType
from sessions_app.policy.durations import say_duration
from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.windows import upcoming
from sessions_app.queries import commands, facts
from sessions_app.web.forms import Draft

DURATIONS = (900, 1800, 3600, 7200, 14400, 28800, 86400)
USUAL = 3600
QUICK = 1800


@dataclass(frozen=True, slots=True)
class SetOption:
    """One command set that may be asked for, with what it costs under the policy that asks least of others."""

    name: str
    summary: str
    size: int
    destructive: int
    approvals: int
    longest: int
    policies: tuple[str, ...]

    @property
    def price(self) -> str:
        """`2 approvals, up to 4 h`."""
        many = (
            f"{self.approvals} approval{'s' if self.approvals != 1 else ''}"
            if self.approvals
            else "no approval"
        )
        return f"{many}, up to {say_duration(self.longest)}"


@dataclass(frozen=True, slots=True)
class ParameterField:
    """One parameter as a field of the form."""

    name: str
    kind: str
    limits: str
    choices: tuple[str, ...]
    low: str
    high: str
    value: str

    @property
    def is_short(self) -> bool:
        """Whether few, short choices fit beside each other."""
        return 0 < len(self.choices) <= 4 and sum(map(len, self.choices)) <= 40


@dataclass(frozen=True, slots=True)
class AskPage:
    """What the form shows for one draft. Windows are pairs of moments; None: any time is allowed."""

    draft: Draft
    clusters: Sequence[Cluster]
    sets: Sequence[SetOption]
    targets: Sequence[Target]
    parameters: Sequence[ParameterField]
    durations: Sequence[int]
    windows: Sequence[tuple[dt.datetime, dt.datetime]] | None
    ticket_pattern: str
    reason_required: bool
    may_break_glass: bool

    @property
    def target_choices(self) -> list[tuple[Target, bool]]:
        """Each target of the cluster, and whether it is in the draft."""
        chosen = self.draft.targets
        return [(target, chosen is None or target.name in chosen) for target in self.targets]


def ask_page(identity: Identity, draft: Draft, now: dt.datetime) -> AskPage:
    """Return the form for a draft; what the draft leaves open is filled with the first possible choice."""
    every = _policies(identity)
    glass = _breakable(every, group_names(identity))
    usable = glass if draft.kind == RequestKind.BREAK_GLASS else every
    clusters = sorted(
        {cluster.pk: cluster for policy, _ in usable for cluster in policy.live_clusters}.values(),
        key=lambda cluster: cluster.name,
    )
    cluster = next(
        (cluster for cluster in clusters if cluster.name == draft.cluster), clusters[0] if clusters else None
    )
    sets = _sets(usable, cluster, draft.kind) if cluster else []
    chosen = next((option for option in sets if option.name == draft.command_set), sets[0] if sets else None)
    document, terms = _documents(usable, chosen)
    targets = cluster.live_targets if cluster else []
    longest = chosen.longest if chosen else 0
    draft = replace(
        draft,
        cluster=draft.cluster or (cluster.name if cluster else ""),
        command_set=draft.command_set
        if any(o.name == draft.command_set for o in sets)
        else chosen.name
        if chosen
        else "",
        duration=draft.duration
        or str(min(longest, QUICK if draft.kind == RequestKind.QUICK else USUAL) or ""),
    )
    return AskPage(
        draft=draft,
        clusters=clusters,
        sets=sets,
        targets=targets,
        parameters=[_field(name, type_, draft) for name, type_ in document.parameters.items()]
        if document
        else [],
        durations=_durations(longest, draft.seconds),
        windows=upcoming(terms.windows, now, 3) if terms and terms.windows is not None else None,
        ticket_pattern=terms.ticket or "" if terms else "",
        reason_required=terms is None or terms.reason == "required",
        may_break_glass=bool(glass),
    )


def _policies(identity: Identity) -> list[tuple[AccessPolicy, PolicyDocument]]:
    published = CommandSetVersion.objects.filter(published_at__isnull=False).order_by("-number")
    found = (
        AccessPolicy.objects.requestable_by(identity)
        .distinct()
        .order_by("name")
        .prefetch_related(
            Prefetch(
                "clusters",
                Cluster.objects.live().prefetch_related(
                    Prefetch("targets", Target.objects.live().order_by("name"), to_attr="live_targets")
                ),
                to_attr="live_clusters",
            ),
            Prefetch(
                "command_sets",
                CommandSet.objects.live().prefetch_related(
                    Prefetch("versions", published, to_attr="published_versions")
                ),
                to_attr="live_sets",
            ),
        )
    )
    return [(policy, facts.policy_document(policy)) for policy in found]


def _breakable(
    policies: list[tuple[AccessPolicy, PolicyDocument]], groups: frozenset[str]
) -> list[tuple[AccessPolicy, PolicyDocument]]:
    return [
        (policy, document)
        for policy, document in policies
        if document.break_glass and groups.intersection(document.break_glass.groups)
    ]


def _sets(
    policies: list[tuple[AccessPolicy, PolicyDocument]], cluster: Cluster, kind: str
) -> list[SetOption]:
    found: dict[str, SetOption] = {}
    for policy, document in policies:
        if cluster not in policy.live_clusters:
            continue
        for command_set in policy.live_sets:
            if not command_set.published_versions:
                continue
            option = _option(command_set.published_versions[0], policy, document, kind)
            earlier = found.get(option.name)
            cheaper = earlier is None or option.approvals < earlier.approvals
            names = (*(earlier.policies if earlier else ()), policy.name)
            found[option.name] = replace(option if cheaper or earlier is None else earlier, policies=names)
    return sorted(found.values(), key=lambda option: (option.approvals, option.name))


def _option(
    version: CommandSetVersion, policy: AccessPolicy, document: PolicyDocument, kind: str
) -> SetOption:
    terms = document.break_glass if kind == RequestKind.BREAK_GLASS else None
    listed = version.document.get("commands", [])
    return SetOption(
        name=version.document["name"],
        summary=version.document["summary"],
        size=len(listed),
        destructive=sum(1 for command in listed if command["effect"] == "destructive"),
        approvals=0 if terms else sum(clause.count for clause in document.clauses),
        longest=terms.max_duration if terms else document.max_duration,
        policies=(policy.name,),
    )


def _documents(
    policies: list[tuple[AccessPolicy, PolicyDocument]], option: SetOption | None
) -> tuple[CommandSetDocument | None, PolicyDocument | None]:
    """Return the chosen set's document and the terms of the first policy that covers it."""
    for policy, terms in policies:
        for command_set in policy.live_sets:
            if option and command_set.name == option.name and policy.name in option.policies:
                return commands.document_of(command_set.published_versions[0]), terms
    return None, None


def _field(name: str, type_: ParameterType, draft: Draft) -> ParameterField:
    choices = type_.choices if isinstance(type_, Choice) else ()
    low, high = map(str, type_.bounds) if isinstance(type_, Int | Duration) else ("", "")
    return ParameterField(
        name=name, kind=type_.kind, limits=type_.limits, choices=choices, low=low, high=high,
        value=draft.parameters.get(name, ""),
    )  # fmt: skip


def _durations(longest: int, chosen: int) -> list[int]:
    fitting = [seconds for seconds in DURATIONS if seconds < longest][-3:]
    return sorted({*fitting, *([longest] if longest else []), *([chosen] if chosen else [])})
