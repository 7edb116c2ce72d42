"""What the HTTPS listener is given, of the core that both listeners share.

Knows: what each listener is given. Must not know: sockets.
"""

from __future__ import annotations

from ipaddress import ip_address

from broker.listeners.grpc.dependencies import ListenerDependencies
from broker.listeners.https.app import HttpsDependencies
from broker.listeners.https.oauth import OAuth


def https_dependencies(
    dependencies: ListenerDependencies, jwks: dict[str, object], issuer: str, bound: str
) -> HttpsDependencies:
    """`jwks` are the keys of the tokens of `issuer`, `bound` the URL at which the listener is open."""
    oauth = OAuth(
        dependencies.token_issuer, dependencies.administrator, jwks, issuer, published(bound, issuer)
    )
    return HttpsDependencies(
        calls=dependencies.calls,
        oauth=oauth,
        read_peer=dependencies.read_peer,
        unready=dependencies.unready,
        new_call_id=dependencies.new_call_id,
        forwarded=dependencies.forwarded,
    )


def published(bound: str, issuer: str) -> str:
    """Where others reach the HTTPS listener: where it is bound, or the issuer where that is every
    interface.
    """
    host = bound.removeprefix("https://").rpartition(":")[0].strip("[]")
    return issuer.rstrip("/") if ip_address(host).is_unspecified else bound
