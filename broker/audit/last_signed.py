"""Compare a log with its last signed checkpoints without reading the whole log.

The hash of an entry covers all entries before it. It is therefore sufficient to compare the last entry
that a checkpoint covers, which is at the end of the tree's last full subtree. That subtree is usually small.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.audit.models import AuditCheckpoint, AuditEntry, AuditTree
from broker.audit.signed import Signed, contradicted
from broker.audit.tree import Tree

# The maximum number of entries to read while someone waits.
MOST = 100_000


def compare_with_signed(signed: Iterable[Signed], *, log: str, using: str) -> int | None:
    """Compare the last entries that each checkpoint covers with its root. Return the size of the largest
    checkpoint.

    Older checkpoints are compared with those of the same size in the database. Returns None if nothing was
    signed, or if all entries would have to be read because the subtree is too large or the tree is lost.
    Raises Broken.
    """
    compared: list[int] = []
    for one in signed:
        found = _compare_newest(one, log, using) if not compared else _compare_older(one, log, using)
        if not found:
            return None
        compared.append(one.size)
    return compared[0] if compared else None


def compare_with_known(signed: Iterable[Signed], *, log: str, using: str) -> None:
    """Compare checkpoints with those of the same size in the database. Raises Broken."""
    for one in signed:
        _compare_older(one, log, using)


def _compare_newest(signed: Signed, log: str, using: str) -> bool:
    kept = AuditTree.objects.using(using).filter(log=log, size=signed.size).first()
    width = signed.size & -signed.size
    if kept is None or width > MOST:
        return False
    tree = kept.under(signed.root)
    if tree is None:
        return False
    last = AuditEntry.objects.using(using).filter(log=log, seq__gt=signed.size - width, seq__lte=signed.size)
    hashes = last.order_by("seq").values_list("hash", flat=True)
    if Tree.over(bytes(one) for one in hashes).root() != tree.peaks[-1]:
        raise contradicted(signed)
    return True


def _compare_older(signed: Signed, log: str, using: str) -> bool:
    known = AuditCheckpoint.objects.using(using).filter(log=log, size=signed.size).first()
    if known is not None and bytes(known.root) != signed.root:
        raise contradicted(signed)
    return known is not None
