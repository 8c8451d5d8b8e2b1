"""Completions of the YAML editors: a document's schema, and the existing names that the document can refer
to.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

from django.contrib.auth.models import Group
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse

from accounts.models import Identity
from accounts.queries import administers
from sessions_app.connectors import registry as connectors
from sessions_app.models import Cluster, CommandSet
from sessions_app.policy.catalog import schemas
from sessions_app.web.layout.views import page, who
from sessions_app.workflows import registry as workflows

_schemas = functools.cache(schemas)

# The maximum number of names of each kind of object.
MOST = 500


@page()
def completions(request: HttpRequest, kind: str) -> HttpResponse:
    """Return a kind's JSON Schema, and the names that each key's values can have."""
    me, found = who(request), _schemas()
    if kind not in found or not administers(me):
        raise Http404
    return JsonResponse({"schema": found[kind], "names": names_for(kind, me)})


def names_for(kind: str, reader: Identity) -> Mapping[str, Sequence[str]]:
    """Return the names that the reader may see, by the key that accepts them."""
    if kind == "command-sets":
        return {"from": ["workflow.id"]}
    groups = list(Group.objects.order_by("name").values_list("name", flat=True)[:MOST])
    clusters = Cluster.objects.live().visible_to(reader).order_by("name").distinct()
    sets = CommandSet.objects.live().visible_to(reader).order_by("name").distinct()
    return {
        "kind": sorted(connectors.types()),
        "provider": sorted(workflows.types()),
        "clusters": list(clusters.values_list("name", flat=True)[:MOST]),
        "command_sets": list(sets.values_list("name", flat=True)[:MOST]),
        **dict.fromkeys(("groups", "from", "on_call", "first"), groups),
    }
