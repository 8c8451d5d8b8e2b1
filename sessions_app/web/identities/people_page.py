"""People and machines: their grants, permissions, approvals and activity, limited to what the reader can
see.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Case, CharField, Count, Exists, OuterRef, Q, QuerySet, Subquery, Value, When

from accounts.factors import Factors, factors_of, password_only
from accounts.models import APIToken, Identity, Kind, ProviderLink, SSHPublicKey, answers_for
from accounts.queries import may_give_credentials
from broker.audit.models import AuditEntry
from broker.audit.queries import entries
from sessions_app.models import (
    AccessPolicy,
    CommandRun,
    Grant,
    GrantState,
    Notice,
    RunState,
    TrustPolicy,
)
from sessions_app.queries.grants.counts import LIVE
from sessions_app.queries.identities.api_tokens import live_tokens
from sessions_app.queries.identities.people import known_people
from sessions_app.queries.identities.permissions import Way, ways_of
from sessions_app.queries.record.entries import newest_visible
from sessions_app.queries.statements.related_names import with_names
from sessions_app.queries.status.backlog import last_given_up
from sessions_app.web.display.states import Look, plural
from sessions_app.web.layout.pagination import Page, page_of
from sessions_app.web.templatetags.times import say_rough

MOST = 50
RECENT = 10
STATES = (
    ("enabled", "Enabled"),
    ("disabled", "Disabled"),
    ("holding", "Has access now"),
    ("unused", "Unused machines"),
)
# Only administrators see the second factors of other people.
PASSWORD_ALONE = ("password", "Password only")
# A machine that was idle for this long probably has stale credentials.
UNUSED_AFTER = dt.timedelta(days=30)


def states(reader: Identity) -> Sequence[tuple[str, str]]:
    """Return the states to filter by, each with its label."""
    return (*STATES, PASSWORD_ALONE) if reader.is_superuser else STATES


def people(
    reader: Identity, *, now: dt.datetime, text: str = "", kind: str = "", state: str = "", before: str = ""
) -> Page[Identity]:
    """Return the visible identities that match, with their live grants and last activity.

    ``live`` counts the grants, ``seen_at`` is the time of the newest record entry. ``idle`` is the reason why
    a machine may be unneeded; it is empty for people and for machines in use.
    """
    seen = Grant.objects.visible_to(reader).filter(holder=OuterRef("pk"), state__in=LIVE)
    held = seen.order_by().values("holder").annotate(count=Count("pk")).values("count")
    # Don't filter by log: PostgreSQL would then scan the log backwards until it finds the actor.
    latest = AuditEntry.objects.filter(actor=OuterRef("username")).order_by("-seq").values("at")
    found = known_people(reader).select_related("owner").prefetch_related("groups")
    if text:
        found = found.filter(
            Q(name__icontains=text)
            | Q(username__icontains=text)
            | Q(pk__in=Identity.groups.through.objects.filter(group__name__icontains=text).values("identity"))
        )
    if kind in Kind.values:
        found = found.filter(kind=kind)
    if state in ("enabled", "disabled"):
        found = found.filter(is_active=state == "enabled")
    elif state == "holding":
        found = found.filter(Exists(seen))
    elif state == PASSWORD_ALONE[0] and reader.is_superuser:
        found = found.filter(password_only())
    found = found.annotate(live=Subquery(held), seen_at=Subquery(latest[:1]), idle=_idle(now))
    if state == "unused":
        found = found.exclude(idle="")
    return page_of(found, key="pk", before=before)


def _idle(now: dt.datetime) -> Case:
    """Return why an enabled machine may be unneeded: it can't sign in, or has been idle for 30 days."""
    own, lately = {"identity": OuterRef("pk")}, {"last_used_at__gte": now - UNUSED_AFTER}
    tokens = APIToken.objects.filter(revoked_at__isnull=True, expires_at__gt=now, **own)
    keys = SSHPublicKey.objects.filter(removed_at__isnull=True, **own)
    trust = TrustPolicy.objects.live().filter(**own)
    used = (
        Exists(APIToken.objects.filter(**own, **lately))
        | Exists(SSHPublicKey.objects.filter(**own, **lately))
        | Exists(trust.filter(used_at__gte=now - UNUSED_AFTER))
    )
    return Case(
        When(Q(kind=Kind.PERSON) | Q(is_active=False), then=Value("")),
        When(~Exists(tokens) & ~Exists(keys) & ~Exists(trust), then=Value("Can't sign in")),
        When(Q(created_at__lt=now - UNUSED_AFTER) & ~used, then=Value("Not used for 30 days")),
        default=Value(""),
        output_field=CharField(),
    )


def owners() -> Sequence[Identity]:
    """Return the first people by username, as suggested owners for a machine."""
    return list(Identity.objects.active().filter(kind=Kind.PERSON).order_by("username")[:200])


@dataclass(frozen=True, slots=True)
class Covered:
    """A policy that gives an identity a permission, and the path to that permission."""

    policy: AccessPolicy
    ways: Sequence[Way]


@dataclass(frozen=True, slots=True)
class PersonRow:
    """One identity in the list."""

    person: Identity
    kind: str
    groups: str
    holds: str
    look: Look
    idle: str


def person_row(person: Identity, now: dt.datetime) -> PersonRow:
    """Convert an identity to a row of the list. Requires the annotations that ``people`` adds."""
    owner = f" of {person.owner}" if person.owner else ""
    role = ", administrator" if person.is_superuser else ""
    return PersonRow(
        person=person,
        kind=f"{person.get_kind_display()}{owner}{role}",
        groups=", ".join(group.name for group in person.groups.all()),
        holds=plural(person.live, "grant") if person.live else "",  # type: ignore[attr-defined]  # annotated
        look=state_look(person, now),
        idle=person.idle,  # type: ignore[attr-defined]  # annotated
    )


def state_look(person: Identity, now: dt.datetime) -> Look:
    """Return the display style of an identity's state: enabled, or disabled and since when."""
    if person.is_active:
        return Look("ok", "check", "Enabled")
    since = f" {say_rough(int((now - person.disabled_at).total_seconds()))} ago" if person.disabled_at else ""
    return Look("bad", "lock", f"Disabled{since}")


# The labels beside a grant that started without approval.
BREAK_GLASS, UNAPPROVED = Look("glass", "flame", "Break-glass"), Look("glass", "flame", "No approval")


def urgency(grant: Grant) -> Look | None:
    """Return the display style for a grant that started without approval; None for any other grant."""
    if grant.break_glass:
        return BREAK_GLASS
    return UNAPPROVED if grant.is_own_incident else None


@dataclass(frozen=True, slots=True)
class PersonPage:
    """One identity as one reader sees it. Keys, tokens and second factors are None if the reader can't see
    them.
    """

    person: Identity
    own: bool
    holds: Sequence[tuple[Grant, Look | None]]
    endable: int
    asks: Sequence[Covered]
    approves: Sequence[Covered]
    machines: Sequence[Identity]
    keys: Sequence[SSHPublicKey] | None
    tokens: Sequence[APIToken] | None
    links: Sequence[ProviderLink]
    factors: Factors | None
    grants: Sequence[Grant]
    refused: Sequence[CommandRun]
    not_mailed: Notice | None
    entries: Sequence[AuditEntry]
    state: Look

    @property
    def role(self) -> str:
        """The machine's owner, or whether the person is an administrator."""
        if self.person.owner:
            return f"owned by {self.person.owner}"
        return "administrator" if self.person.is_superuser else ""

    @property
    def holds_says(self) -> str:
        """The number of grants that the identity holds."""
        return plural(len(self.holds), "grant")

    @property
    def groups(self) -> Sequence[str]:
        """The groups that the identity belongs to."""
        return [group.name for group in self.person.groups.all()]

    @property
    def groups_says(self) -> str:
        """The number of groups that the identity belongs to."""
        return plural(len(self.groups), "group")

    @property
    def ends(self) -> str:
        """A sentence about the effect of ending all the identity's access."""
        verb = "ends" if self.endable == 1 else "end"
        return f"{plural(self.endable, 'grant')} {verb} immediately, and running commands are terminated."

    @property
    def rows_of(self) -> str:
        """The kind of timeline row that shows the identity."""
        return "person" if self.person.is_person else "machine"

    @property
    def change_title(self) -> str:
        """The heading of the form that changes the identity."""
        return "Name and email" if self.person.is_person else "Name"

    @property
    def sign_in(self) -> str:
        """A sentence about how a person signs in: `Password and an authenticator app; 8 recovery codes
        left.`.
        """
        factors = self.factors
        if factors is None or not factors.any:
            return "Password only."
        found = ["an authenticator app"] if factors.app else []
        found += [plural(len(factors.passkeys), "passkey")] if factors.passkeys else []
        return f"Password and {', '.join(found)}; {plural(factors.codes_left, 'recovery code')} left."

    @property
    def may_reset(self) -> bool:
        """Whether the reader can reset the person's second factors. No one can reset their own."""
        return bool(self.factors and self.factors.any and not self.own)


def person_page(person: Identity, reader: Identity, now: dt.datetime) -> PersonPage:
    """Return a visible identity, with the details that the reader can see."""
    visible = with_names(Grant.objects.visible_to(reader).filter(holder=person))
    policies = list(
        AccessPolicy.objects.live()
        .visible_to(reader)
        .distinct()
        .order_by("name")
        .prefetch_related("clusters", "command_sets")
    )
    close = reader.is_superuser or may_give_credentials(reader, person)
    keys = SSHPublicKey.objects.filter(identity=person, removed_at__isnull=True).order_by("pk")
    tokens = live_tokens(now).filter(identity=person)
    refused = CommandRun.objects.filter(grant__in=visible.values("pk"), state=RunState.REFUSED)
    return PersonPage(
        person=person,
        own=answers_for(reader, person),
        holds=[
            (grant, urgency(grant))
            for grant in visible.exclude(state=GrantState.ENDED).order_by("expires_at")[:MOST]
        ],
        endable=live_that_may_be_ended(person, reader).count(),
        asks=_covered(person, "request", policies),
        approves=_covered(person, "approve", policies) if person.is_person else [],
        machines=list(known_people(reader).filter(owner=person).order_by("username")[:MOST]),
        keys=list(keys) if close else None,
        tokens=list(tokens.order_by("pk")) if close else None,
        links=list(person.provider_links.order_by("pk")) if reader.is_superuser else [],
        factors=factors_of(person) if close and person.is_person else None,
        grants=list(visible.filter(state=GrantState.ENDED).order_by("-created_at")[:RECENT]),
        refused=list(refused.select_related("grant", "target").order_by("-pk")[:RECENT]),
        not_mailed=last_given_up(person) if reader.is_superuser else None,
        entries=newest_visible(entries(actor=person.username), reader, size=RECENT).rows,
        state=state_look(person, now),
    )


def live_that_may_be_ended(person: Identity, reader: Identity) -> QuerySet[Grant]:
    """Return an identity's grants that are not ending or ended, and that the reader is allowed to end."""
    return Grant.objects.endable_by(reader).before_end().filter(holder=person)


def _covered(person: Identity, permission: str, policies: Sequence[AccessPolicy]) -> list[Covered]:
    ways = ways_of(person, permission, policies)
    return [Covered(policy, ways[policy.pk]) for policy in policies if policy.pk in ways]
