"""Public host names of clusters behind Stint's own HTTP gateway."""

from __future__ import annotations

from sessions_app.models import Cluster


def public_hosts() -> dict[str, str]:
    """Return the name of each cluster with a public host name, keyed by that host name in lowercase."""
    rows = Cluster.objects.filter(kind="http", removed_at__isnull=True, connection__proxy="stint")
    return {
        connection["public_host"].lower(): name
        for name, connection in rows.values_list("name", "connection")
        if connection.get("public_host")
    }
