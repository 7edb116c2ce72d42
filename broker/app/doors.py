"""The HTTPS door, given the core that both doors share.

Knows: what each door is given. Must not know: sockets.
"""

from __future__ import annotations

from ipaddress import ip_address

from broker.listeners.grpc.core import Core
from broker.listeners.https.app import Door
from broker.listeners.https.oauth import OAuth


def https_door(core: Core, jwks: dict[str, object], issuer: str, bound: str) -> Door:
    """`jwks` are the keys of the tokens of `issuer`, `bound` the URL at which the door is open."""
    oauth = OAuth(core.issuance, core.administration, jwks, issuer, published(bound, issuer))
    return Door(
        calls=core.calls,
        oauth=oauth,
        read_peer=core.read_peer,
        unready=core.unready,
        new_call_id=core.new_call_id,
        forwarded=core.forwarded,
    )


def published(bound: str, issuer: str) -> str:
    """Where others reach the HTTPS door: where it is bound, or the issuer where that is every interface."""
    host = bound.removeprefix("https://").rpartition(":")[0].strip("[]")
    return issuer.rstrip("/") if ip_address(host).is_unspecified else bound
