"""That a tree goes on from an older one, as RFC 6962 and RFC 9162 prove it; our verifier hashes all."""

from __future__ import annotations

from collections.abc import Sequence

from broker.tlog.malformed import MalformedError
from broker.tlog.merkle import EMPTY_ROOT, NodeHash, hash_node, range_hash, split


def consistency_proof(old: int, new: int, node: NodeHash) -> list[bytes]:
    """PROOF(old, D[new]) of RFC 6962, section 2.1.2; empty when `old` is 0 or equals `new`."""
    if not 0 <= old <= new:
        raise MalformedError("a consistency proof from a tree that is larger")
    if old in {0, new}:
        return []
    proof: list[bytes] = []
    start, end = 0, new
    while old != end:
        middle = start + split(end - start)
        if old <= middle:
            proof.append(range_hash(middle, end, node))
            end = middle
        else:
            proof.append(range_hash(start, middle, node))
            start = middle
    if start > 0:
        proof.append(range_hash(start, end, node))
    return proof[::-1]


def verify_consistency(old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162, section 2.1.4.2. Raises MalformedError unless the new tree begins with the old one."""
    if not 0 <= old <= new:
        raise MalformedError("a consistency proof from a tree that is larger")
    if old in {0, new}:
        if proof or (old == 0 and old_root != EMPTY_ROOT) or (old == new and old_root != new_root):
            raise MalformedError("trees that are not consistent")
        return
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    path = list(proof) if position else [old_root, *proof]
    if not path:
        raise MalformedError("a consistency proof that is too short")
    old_value = new_value = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise MalformedError("a consistency proof that is too long")
        if position & 1 or position == last:
            old_value, new_value = hash_node(sibling, old_value), hash_node(sibling, new_value)
            while position & 1 == 0 and position != 0:
                position, last = position >> 1, last >> 1
        else:
            new_value = hash_node(new_value, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or old_value != old_root or new_value != new_root:
        raise MalformedError("trees that are not consistent")
