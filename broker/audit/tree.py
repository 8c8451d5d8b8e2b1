"""The Merkle tree of RFC 9162 (and RFC 6962) over a log: its root, and proofs for those who have only a root.

The leaf of an entry is the entry's hash, 32 bytes, which covers its text, its number and all entries before it::

    leaf  SHA-256( 0x00 || hash of the entry )
    node  SHA-256( 0x01 || left || right ), where a tree of n is split at the largest power of two below n
    empty SHA-256( "" )
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
# Leaves that are added at once; a power of two.
BLOCK = 1024


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two others."""
    return hashlib.sha256(b"\1" + left + right).digest()


class Tree:
    """A tree that grows at its end. It keeps the roots of its full subtrees alone, at most one for each bit of its size."""

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        """Go on from a tree of ``size`` leaves with these full subtrees, the largest first.

        Raises ValueError when so many leaves have another number of them.
        """
        if len(peaks) != size.bit_count():
            raise ValueError(f"A tree of {size} has {size.bit_count()} full subtrees, not {len(peaks)}.")
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
        """Add leaves. Where a block of them is a full subtree, level by level, which takes less than half the time."""
        at = 0
        while at < len(leaves):
            if self.size % BLOCK == 0 and len(leaves) - at >= BLOCK:
                self._join(_full_root(leaves[at : at + BLOCK]), BLOCK)
                at += BLOCK
            else:
                self.append(leaves[at])
                at += 1

    def _join(self, node: bytes, width: int) -> None:
        """Add a full subtree of ``width`` leaves behind as many full ones of that width, or more."""
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


def inclusion_proof(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return what proves to the holder of the root that leaf ``index``, from 0, is in the tree. Raises ValueError."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"There is no leaf {index} in a tree of {len(leaves)}.")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(index, leaves[:split]), _root(leaves[split:])]
    return [*inclusion_proof(index - split, leaves[split:]), _root(leaves[:split])]


def consistency_proof(first: int, leaves: Sequence[bytes]) -> list[bytes]:
    """Return what proves that the tree over the first leaves is the beginning of this one. Raises ValueError."""
    if not 0 < first <= len(leaves):
        raise ValueError(f"A tree of {first} is not the beginning of one of {len(leaves)}.")
    return _subproof(first, leaves, whole=True)


def _subproof(first: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if first == len(leaves):
        return [] if whole else [_root(leaves)]
    split = _split(len(leaves))
    if first <= split:
        return [*_subproof(first, leaves[:split], whole=whole), _root(leaves[split:])]
    return [*_subproof(first - split, leaves[split:], whole=False), _root(leaves[:split])]


def proves_inclusion(proof: Sequence[bytes], *, data: bytes, index: int, size: int, root: bytes) -> bool:
    """Whether the leaf with this data stands at ``index`` in the tree of ``size`` with this root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf_hash(data)
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def proves_consistency(
    proof: Sequence[bytes], *, first: int, first_root: bytes, second: int, second_root: bytes
) -> bool:
    """Whether the tree of ``first`` leaves is the beginning of that of ``second`` (RFC 9162, 2.1.4.2)."""
    if first == second:
        return not proof and first_root == second_root
    if not 0 < first < second or not proof:
        return False
    path = [first_root, *proof] if first.bit_count() == 1 else list(proof)
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, node)
        at, last = at >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _full_root(leaves: Sequence[bytes]) -> bytes:
    sha256 = hashlib.sha256
    nodes = [sha256(b"\0" + data).digest() for data in leaves]
    while len(nodes) > 1:
        nodes = [
            sha256(b"\1" + left + right).digest() for left, right in zip(nodes[::2], nodes[1::2], strict=True)
        ]
    return nodes[0]


def _split(size: int) -> int:
    return 1 << (size - 1).bit_length() - 1


def _root(leaves: Sequence[bytes]) -> bytes:
    return Tree.over(leaves).root()
