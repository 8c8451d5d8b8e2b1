"""Compare a log with what was signed of it last, without reading all of it.

The hash of an entry covers all entries before it. So it is enough that the last entry under a checkpoint is the one that
was signed; it stands at the end of the tree's last full subtree, which most often is small.
"""

from __future__ import annotations

from collections.abc import Iterable

from broker.audit.models import AuditCheckpoint, AuditEntry, AuditTree
from broker.audit.signed import Signed, contradicted
from broker.audit.tree import Tree

# Entries that are read for it while somebody waits.
MOST = 100_000


def compare_with_signed(signed: Iterable[Signed], *, log: str, using: str) -> int | None:
    """Compare the last entries under each checkpoint with its root; return how many entries the largest is of.

    One that is older than the newest is compared with the one of its size in the database. None when nothing was signed, or
    only all entries can tell: they are too many, or the tree is lost. Raises Broken.
    """
    compared: list[int] = []
    for one in signed:
        found = _compare_newest(one, log, using) if not compared else _compare_older(one, log, using)
        if not found:
            return None
        compared.append(one.size)
    return compared[0] if compared else None


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
