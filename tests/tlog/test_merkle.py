"""Trees and proofs, compared with the definitions of RFC 6962 written out naively, and with its known
answers.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.tlog import merkle
from broker.tlog.malformed import MalformedError
from tests.tlog.consistency import consistency_proof, verify_consistency

KNOWN_LEAVES = (
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)
KNOWN_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
LEAVES = [merkle.hash_leaf(str(number).encode()) for number in range(300)]
sizes = st.integers(1, len(LEAVES))


def naive_root(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, section 2.1, word for word."""
    if not leaves:
        return merkle.EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.hash_node(naive_root(leaves[:split]), naive_root(leaves[split:]))


def _node(level: int, index: int) -> bytes:
    return naive_root(LEAVES[index << level : (index + 1) << level])


def test_known_answers_of_the_reference_implementation() -> None:
    tree = merkle.CompactRange()
    for leaf, root in zip(KNOWN_LEAVES, KNOWN_ROOTS, strict=True):
        tree.append(merkle.hash_leaf(bytes.fromhex(leaf)))
        assert tree.root().hex() == root


@given(st.integers(0, len(LEAVES)), st.integers(0, 40))
def test_growing_and_resuming_gives_the_naive_root(size: int, more: int) -> None:
    tree = merkle.CompactRange()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    resumed = merkle.CompactRange(tree.size, tree.roots)
    for leaf in LEAVES[size : size + more]:
        completed = resumed.append(leaf)
        for level, value in enumerate(completed):
            assert value == _node(level, (resumed.size - 1) >> level)
    assert resumed.root() == naive_root(LEAVES[: resumed.size])


@given(sizes, st.data())
def test_an_inclusion_proof_verifies_only_what_it_proves(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof, root = merkle.inclusion_proof(index, size, _node), naive_root(LEAVES[:size])
    merkle.verify_inclusion(LEAVES[index], index, size, proof, root)
    other = data.draw(st.integers(0, size))
    forgeries = [
        (merkle.hash_leaf(b"forged"), index, size, proof, root),
        (LEAVES[index], index, size, [*proof, bytes(32)], root),
        (LEAVES[index], index, size, proof, bytes(32)),
        (LEAVES[index], size, size, proof, root),
    ]
    forgeries += [(LEAVES[index], index, size, proof[:-1], root)] if proof else []
    forgeries += [(LEAVES[index], other, size, proof, root)] if other != index else []
    for forgery in forgeries:
        with pytest.raises(MalformedError):
            merkle.verify_inclusion(*forgery)


@given(sizes, sizes, st.data())
def test_a_consistency_proof_verifies_only_what_it_proves(one: int, two: int, data: st.DataObject) -> None:
    old, new = sorted((one, two))
    proof = consistency_proof(old, new, _node)
    old_root, new_root = naive_root(LEAVES[:old]), naive_root(LEAVES[:new])
    verify_consistency(old, old_root, new, new_root, proof)
    forgeries = [
        (old, bytes(32), new, new_root, proof),
        (old, old_root, new, bytes(32), proof),
        (old, old_root, new, new_root, [*proof, bytes(32)]),
        (new + 1, old_root, new, new_root, proof),
    ]
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        forgeries.append((old, old_root, new, new_root, [*proof[:place], bytes(32), *proof[place + 1 :]]))
        forgeries.append((old, old_root, new, new_root, proof[:place]))
    for forgery in forgeries:
        with pytest.raises(MalformedError):
            verify_consistency(*forgery)


def test_a_proof_about_an_empty_tree_says_nothing_but_its_root() -> None:
    verify_consistency(0, merkle.EMPTY_ROOT, 3, naive_root(LEAVES[:3]), [])
    with pytest.raises(MalformedError):
        verify_consistency(0, bytes(32), 3, naive_root(LEAVES[:3]), [])
    with pytest.raises(MalformedError):
        merkle.inclusion_proof(0, 0, _node)
    with pytest.raises(MalformedError):
        consistency_proof(4, 3, _node)
    with pytest.raises(MalformedError):
        merkle.CompactRange(3, [bytes(32)])
