"""Find what an identity could request so that a refused HTTP request would be allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from accounts.models import Identity
from sessions_app.models import AccessPolicy, Cluster, CommandSetVersion
from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.http.compiling import CompiledSet
from sessions_app.policy.commands.http.contents import UNSEEN, Content
from sessions_app.policy.commands.http.decide import decide_request
from sessions_app.policy.documents import DocumentError
from sessions_app.queries.catalog.command_sets import compiled_open, document_of


@dataclass(frozen=True, slots=True)
class Requestable:
    """The names to use in the access request, and the parameters that the refused request itself
    determines.
    """

    policy: str
    command_set: str
    parameters: dict[str, str]
    missing: tuple[str, ...]


def requestable(
    *,
    identity: Identity,
    cluster: str,
    method: str,
    target: str,
    body: Content = UNSEEN,
    headers: Mapping[str, str] | None = None,
) -> Requestable | None:
    """Return the first command set that would allow the request, among the policies under which the identity
    can request access.

    ``body`` and ``headers`` have the same format as for `decide_request`.
    """
    for policy, version in _versions(identity, cluster):
        try:
            compiled, document = compiled_open(version), document_of(version)
        except DocumentError:
            continue
        if not isinstance(compiled, CompiledSet):
            continue
        found = decide_request(compiled, method, target, body, headers=headers)
        if isinstance(found, Allowed):
            given = {name: value for name, value in found.matched.items() if name in document.parameters}
            missing = tuple(name for name in document.parameters if name not in given)
            return Requestable(policy.name, document.name, given, missing)
    return None


def _versions(identity: Identity, cluster: str) -> Iterator[tuple[AccessPolicy, CommandSetVersion]]:
    found = Cluster.objects.live().filter(name=cluster).first()
    policies = (
        AccessPolicy.objects.requestable_by(identity, found.pk) if found else AccessPolicy.objects.none()
    )
    for policy in policies.order_by("name").prefetch_related("command_sets__versions"):
        for command_set in sorted(policy.command_sets.all(), key=lambda one: one.name):
            version = command_set.published
            if version is not None and command_set.kind == "http" and command_set.removed_at is None:
                yield policy, version
