"""Command sets, compiled for use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from sessions_app.models import CommandSetVersion
from sessions_app.policy.commands.document import CommandSetDocument, parse_document
from sessions_app.policy.commands.ssh import CompiledSet, compile_set

_MOST = 2048
# Keyed by the digest of the version, which names its content; a version that can't be read is never kept.
_documents: OrderedDict[str, CommandSetDocument] = OrderedDict()
_compiled: OrderedDict[tuple[str, tuple[tuple[str, str], ...], frozenset[int] | None], CompiledSet] = (
    OrderedDict()
)


def document_of(version: CommandSetVersion) -> CommandSetDocument:
    """Return the checked document of a stored version. Raises DocumentError when the row can't be read."""
    return _document(version.digest, version.document)


def compiled(
    version: CommandSetVersion, parameters: Mapping[str, str], keep: Iterable[int] | None = None
) -> CompiledSet:
    """Return a version with its parameters bound, reduced to the commands kept (None: all).

    Compiled once for each combination. Raises CompileError for bindings that do not fit, and DocumentError.
    """
    return compiled_by_digest(version.digest, version.document, parameters, keep)


def compiled_by_digest(
    digest: str, data: Mapping[str, Any], parameters: Mapping[str, str], keep: Iterable[int] | None
) -> CompiledSet:
    """As ``compiled``, for columns that were read without the model."""
    key = (digest, tuple(sorted(parameters.items())), None if keep is None else frozenset(keep))
    found = _compiled.get(key)
    if found is None:
        found = compile_set(_document(digest, data), parameters, key[2])
        _remember(_compiled, key, found)
    return found


def _document(digest: str, data: Mapping[str, Any]) -> CommandSetDocument:
    found = _documents.get(digest)
    if found is None:
        found = parse_document(dict(data))
        _remember(_documents, digest, found)
    return found


def _remember(cache: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    cache[key] = value
    while len(cache) > _MOST:
        cache.popitem(last=False)
