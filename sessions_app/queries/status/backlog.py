"""The longest delays of background jobs: mailing notifications, and reconciling targets."""

from __future__ import annotations

import datetime as dt

from django.db.models import Count, F, Min, Q
from django.db.models.functions import Coalesce

from accounts.models import Identity
from sessions_app.models import Cluster, Notice


def oldest_unmailed() -> dt.datetime | None:
    """Return the creation time of the notification that has waited longest to be mailed; None if none is
    waiting.
    """
    waiting = Notice.objects.to_mail().order_by("created_at")
    return waiting.values_list("created_at", flat=True).first()


def given_up_mail(since: dt.datetime) -> int:
    """Return the number of notifications since then that could not be mailed after the final attempt."""
    return Notice.objects.filter(given_up_at__gte=since).count()


def last_given_up(identity: Identity) -> Notice | None:
    """Return the last notification of an identity that could not be mailed, if none was mailed after it."""
    about = Notice.objects.filter(identity=identity)
    last = about.filter(given_up_at__isnull=False).order_by("-given_up_at").first()
    return None if last is None or about.filter(mailed_at__gt=last.given_up_at).exists() else last


def longest_unreconciled() -> dt.datetime | None:
    """Return the oldest time at which a target was last reconciled; None if there is no target.

    For a target that was never reconciled, the creation time of its cluster counts: a new target is
    reconciled within a minute.
    """
    live = Q(targets__removed_at__isnull=True)
    seen = Coalesce("targets__observation__seen_at", "created_at")
    tried = live & Q(targets__observation__isnull=False)
    found = Cluster.objects.live().annotate(
        places=Count("targets", filter=live), since=Coalesce(Min(seen, filter=tried), F("created_at"))
    )
    return found.filter(places__gt=0).order_by("since").values_list("since", flat=True).first()
