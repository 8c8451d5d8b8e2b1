"""Command sets, compiled for use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from broker.kernel.postgresql.rows import Rows
from sessions_app.models import AccessRequest, Cluster, CommandSet, CommandSetVersion
from sessions_app.policy.commands.answers import CompiledSet
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.kinds import compile_open, compile_set, parse_document
from sessions_app.policy.documents import DocumentError

_MOST = 2048
# Keyed by the digest of the version, which identifies its content. A version that can't be read is never
# cached.
_documents: OrderedDict[str, CommandSetDocument] = OrderedDict()
_open: OrderedDict[str, CompiledSet] = OrderedDict()
_compiled: OrderedDict[tuple[str, tuple[tuple[str, str], ...], frozenset[int] | None], CompiledSet] = (
    OrderedDict()
)


def document_of(version: CommandSetVersion) -> CommandSetDocument:
    """Return the validated document of a stored version. Raises DocumentError if the row can't be read."""
    return _document(version.pk, version.digest)


def compiled_open(version: CommandSetVersion) -> CompiledSet:
    """Return a version compiled with open parameters, which allows everything that any grant of the
    version could allow.

    Raises DocumentError.
    """
    found = _open.get(version.digest)
    if found is None:
        found = compile_open(document_of(version))
        _remember(_open, version.digest, found)
    return found


_PUBLISHED = Rows(
    CommandSetVersion,
    "command_set",
    tail="""
WHERE sessions_app_commandset.name = %s AND sessions_app_commandset.removed_at IS NULL
  AND sessions_app_commandsetversion.published_at IS NOT NULL
ORDER BY sessions_app_commandsetversion.number DESC LIMIT 1
""",
)


def published_version(name: str) -> CommandSetVersion | None:
    """Return the newest published version of the command set of this name, if there is one."""
    return _PUBLISHED.first(name)


def published_sets(cluster: Cluster) -> list[CompiledSet]:
    """Return the published command sets that the cluster's policies name. Unreadable command sets are left
    out.
    """
    found = CommandSet.objects.live().filter(
        kind=cluster.kind, policies__clusters=cluster, policies__removed_at=None
    )
    sets = []
    for one in found.distinct().prefetch_related("versions"):
        if version := one.published:
            try:
                sets.append(compiled_open(version))
            except DocumentError:
                continue
    return sets


def compiled(
    version: CommandSetVersion, parameters: Mapping[str, str], keep: Iterable[int] | None = None
) -> CompiledSet:
    """Return a version compiled with the given parameter values, reduced to the commands in ``keep`` (None:
    all commands).

    Each combination is compiled only once. Raises CompileError for invalid values, and DocumentError.
    """
    return compiled_by_digest(version.pk, version.digest, parameters, keep)


def asked(request: AccessRequest) -> CompiledSet:
    """Return the commands that a request asks for.

    For an extension, these are only the commands that approvers left of the extended grant.
    """
    keep = request.extends.commands if request.extends else None
    return compiled(request.command_set_version, request.parameters, keep)


def compiled_by_digest(
    version_id: int, digest: str, parameters: Mapping[str, str], keep: Iterable[int] | None
) -> CompiledSet:
    """Return the same as ``compiled``, for a version of which only the id and the digest were read.

    The rest of the version is read only once.
    """
    key = (digest, tuple(sorted(parameters.items())), None if keep is None else frozenset(keep))
    found = _compiled.get(key)
    if found is None:
        found = compile_set(_document(version_id, digest), parameters, key[2])
        _remember(_compiled, key, found)
    return found


def _document(version_id: int, digest: str) -> CommandSetDocument:
    found = _documents.get(digest)
    if found is None:
        found = parse_document(
            CommandSetVersion.objects.values_list("document", flat=True).get(pk=version_id)
        )
        _remember(_documents, digest, found)
    return found


def _remember(cache: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    cache[key] = value
    while len(cache) > _MOST:
        cache.popitem(last=False)
