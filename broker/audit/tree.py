"""The Merkle tree of a log (RFC 9162, RFC 6962).

The leaf of an entry is its 32-byte hash, which covers its text, its number and all entries before it::

    leaf  SHA-256( 0x00 || hash of the entry )
    node  SHA-256( 0x01 || left || right ), where a tree of n is split at the largest power of two below n
    empty SHA-256( "" )
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
# The number of leaves that are added in one step, a power of two.
BLOCK = 1024


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the parent of two nodes."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """An append-only tree, stored as the roots of its full subtrees, at most one for each bit of its size."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """Continue from a tree of ``size`` leaves with these full subtrees, the largest first.

        Raises ValueError if their number does not match the size.
        """
        if len(peaks) != size.bit_count():
            raise ValueError(
                f"A tree of {size} leaves has {size.bit_count()} full subtrees, not {len(peaks)}."
            )
        self.size = size
        self.peaks = list(peaks)

    @classmethod
    def over(cls, leaves: Iterable[bytes]) -> Tree:
        """Return the tree over these leaves."""
        tree = cls()
        for data in leaves:
            tree.append(data)
        return tree

    def append(self, data: bytes) -> None:
        """Add a leaf."""
        self._join(leaf_hash(data), 1)

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Add leaves. Full blocks are added level by level, which is more than twice as fast."""
        at = 0
        while at < len(leaves):
            if self.size % BLOCK == 0 and len(leaves) - at >= BLOCK:
                self._join(_full_root(leaves[at : at + BLOCK]), BLOCK)
                at += BLOCK
            else:
                self.append(leaves[at])
                at += 1

    def _join(self, node: bytes, width: int) -> None:
        """Add a full subtree of ``width`` leaves. Every subtree before it has at least that width."""
        full = self.size // width
        while full & 1:
            node = node_hash(self.peaks.pop(), node)
            full >>= 1
        self.peaks.append(node)
        self.size += width

    def root(self) -> bytes:
        """Return the root hash."""
        if not self.peaks:
            return hashlib.sha256().digest()
        *rest, root = self.peaks
        for peak in reversed(rest):
            root = node_hash(peak, root)
        return root


def _full_root(leaves: Sequence[bytes]) -> bytes:
    sha256 = hashlib.sha256
    nodes = [sha256(b"\0" + data).digest() for data in leaves]
    while len(nodes) > 1:
        nodes = [
            sha256(b"\1" + left + right).digest() for left, right in zip(nodes[::2], nodes[1::2], strict=True)
        ]
    return nodes[0]
