"""Which entries of the record somebody may see: those about what they may see, and what they did themselves."""

from __future__ import annotations

from django.db.models import Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Concat

from accounts.models import Identity
from broker.audit.models import AuditEntry
from sessions_app.models import AccessPolicy, AccessRequest, Cluster, CommandSet, Grant, Workflow


def visible_entries(entries: QuerySet[AuditEntry], identity: Identity) -> QuerySet[AuditEntry]:
    """Return those of the entries that the identity may see: all for administrators, verifications for everybody."""
    if identity.is_superuser:
        return entries
    requests = AccessRequest.objects.visible_to(identity).annotate(
        label=Concat(Value("REQ-"), Cast("number", TextField()), output_field=TextField())
    )
    own = Identity.objects.filter(Q(pk=identity.pk) | Q(owner=identity))
    named = {
        "request": requests.values("label"),
        "grant": Grant.objects.visible_to(identity).values("ref"),
        "workflow": Workflow.objects.visible_to(identity).values("ref"),
        "cluster": Cluster.objects.visible_to(identity).values("name"),
        "policy": AccessPolicy.objects.visible_to(identity).values("name"),
        "command_set": CommandSet.objects.visible_to(identity).values("name"),
        "identity": own.values("username"),
    }
    condition = Q(actor_id=identity.pk) | Q(object_type="log")
    for object_type, names in named.items():
        condition |= Q(object_type=object_type, object_ref__in=names)
    return entries.filter(condition)
