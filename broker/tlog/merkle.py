"""Merkle trees of RFC 6962 (section 2.1) and RFC 9162 (section 2.1): hashes, growth, proofs.

Knows SHA-256 and tree shape. Must not know tiles, files or what a leaf says. A *node* (level, index) is the
root of the perfect subtree over leaves [index << level, (index + 1) << level).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from hashlib import sha256

from broker.tlog.malformed import MalformedError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

NodeHash = Callable[[int, int], bytes]
"""(level, index) → hash of that perfect subtree."""


def hash_leaf(entry: bytes) -> bytes:
    """SHA-256(0x00 ‖ entry)."""
    return sha256(b"\x00" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


class CompactRange:
    """All that growing a tree needs: the roots of its perfect subtrees, largest first (at most
    log2(size)).
    """

    __slots__ = ("_roots", "_size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        if len(roots) != size.bit_count():
            raise MalformedError("a compact range with a number of roots that its size does not have")
        self._size = size
        self._roots = list(roots)

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._size

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The perfect subtrees' roots, largest (leftmost) first."""
        return tuple(self._roots)

    def append(self, leaf: bytes) -> list[bytes]:
        """Adds a leaf hash. Returns the nodes it completed; item i is at level i, index (size - 1) >> i."""
        completed = [leaf]
        rest = self._size
        while rest & 1:
            leaf = hash_node(self._roots.pop(), leaf)
            completed.append(leaf)
            rest >>= 1
        self._roots.append(leaf)
        self._size += 1
        return completed

    def root(self) -> bytes:
        """The tree's root hash; EMPTY_ROOT without leaves."""
        if not self._roots:
            return EMPTY_ROOT
        return reduce(lambda right, left: hash_node(left, right), reversed(self._roots))


def range_hash(start: int, end: int, node: NodeHash) -> bytes:
    """MTH(D[start:end]) from perfect subtrees; `start` must be a multiple of the range's largest subtree."""
    size = end - start
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, start >> level)
    middle = start + split(size)
    return hash_node(range_hash(start, middle, node), range_hash(middle, end, node))


def inclusion_proof(index: int, size: int, node: NodeHash) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962, section 2.1.1, nearest sibling first."""
    if not 0 <= index < size:
        raise MalformedError("an inclusion proof for a leaf outside the tree")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split(end - start)
        if index < middle:
            proof.append(range_hash(middle, end, node))
            end = middle
        else:
            proof.append(range_hash(start, middle, node))
            start = middle
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """RFC 9162, section 2.1.3.2. Raises MalformedError unless `leaf` is leaf `index` of the tree `root`."""
    if not 0 <= index < size:
        raise MalformedError("an inclusion proof for a leaf outside the tree")
    position, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise MalformedError("an inclusion proof that is too long")
        if position & 1 or position == last:
            value = hash_node(sibling, value)
            while position & 1 == 0 and position != 0:
                position, last = position >> 1, last >> 1
        else:
            value = hash_node(value, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or value != root:
        raise MalformedError("an inclusion proof that does not reach the root")


def split(size: int) -> int:
    """The largest power of two smaller than `size` (size > 1)."""
    return 1 << ((size - 1).bit_length() - 1)
