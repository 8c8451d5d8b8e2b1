"""The history of the catalog, and who had which permissions."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from broker.kernel import clock
from broker.kernel.errors import NotFound
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import OfDifference, OfRights
from sessions_app.api.schema import described
from sessions_app.api.shapes.history import DifferenceShape, HistoryShape, PermissionsShape
from sessions_app.models import DocumentVersion
from sessions_app.queries.catalog.history import difference, versions_of
from sessions_app.queries.identities.all_permissions import permissions_seen_by


class History(Endpoint):
    """Every version of one catalog object."""

    @described(HistoryShape)
    def get(self, request: Request, kind: str, name: str) -> Response:
        """List every version of a policy, cluster, command set, group, webhook, workflow source or trust
        policy, newest first, with author and time, and with secrets masked. The history of a policy or
        cluster is visible to its approvers and administrators, other histories only to Stint administrators.
        """
        return self.answer(
            HistoryShape, {"versions": versions_of(kind.replace("-", " "), name, self.identity)}
        )


class Difference(Endpoint):
    """The difference between two versions."""

    @described(DifferenceShape, query=OfDifference)
    def get(self, request: Request, kind: str, name: str) -> Response:
        """Get a unified diff of the YAML of two versions. Version 0 is empty."""
        query = self.query(OfDifference)
        known = {one.number: one for one in versions_of(kind.replace("-", " "), name, self.identity)}
        to = query.get("to_version", max(known))
        before, after = _of(known, query.get("since_version", to - 1)), _of(known, to)
        if after is None:
            raise NotFound("Version 0 does not exist.", hint="Versions are numbered from 1.")
        return self.answer(DifferenceShape, {"lines": difference(before, after)})


def _of(known: dict[int, DocumentVersion], number: int) -> DocumentVersion | None:
    if number and number not in known:
        raise NotFound(f"Version {number} does not exist.", hint=f"The latest version is {len(known)}.")
    return known.get(number)


class Permissions(Endpoint):
    """Lists who had which permissions at a point in time."""

    @described(PermissionsShape, query=OfRights)
    def get(self, request: Request) -> Response:
        """List who can run, approve, view and administer what, and how, now or at a past time.

        The list covers you and your machines; for administrators, all identities.
        """
        moment = self.query(OfRights).get("at") or clock.now()
        return self.answer(PermissionsShape, {"permissions": permissions_seen_by(self.identity, moment)})
