"""The tree is that of RFC 9162: by published vectors, and by a second tree that is written as the RFC defines
it.
"""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.audit.tree import Tree

# The leaves and roots by which certificate transparency's own implementations are tested.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

some_leaves = st.lists(st.binary(max_size=4), min_size=1, max_size=70, unique=True)


def plain_root(leaves: list[bytes]) -> bytes:
    """The definition of RFC 9162, 2.1.1, as it stands there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + plain_root(leaves[:split]) + plain_root(leaves[split:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_roots_are_the_published_ones(size):
    assert Tree.over(LEAVES[:size]).root().hex() == ROOTS[size]


@given(some_leaves, st.data())
def test_a_tree_that_goes_on_from_its_full_subtrees_is_the_whole_tree(leaves, data):
    cut = data.draw(st.integers(0, len(leaves)))
    begun = Tree.over(leaves[:cut])
    tree = Tree(begun.size, begun.peaks)
    for leaf in leaves[cut:]:
        tree.append(leaf)
    assert (tree.size, tree.root()) == (len(leaves), plain_root(leaves))


@pytest.mark.parametrize("before", [0, 1, 1023, 1024])
@pytest.mark.parametrize("more", [0, 1, 1023, 1024, 1025, 3000])
def test_leaves_that_are_added_at_once_make_the_same_tree(before, more):
    leaves = [str(number).encode() for number in range(before + more)]
    tree = Tree.over(leaves[:before])
    tree.extend(leaves[before:])
    assert (tree.size, tree.root()) == (before + more, plain_root(leaves))
