"""Which of a caller's headers may go upstream, beside those that each listener names.

Knows: header names. Must not know: HTTP, gRPC.
"""

from __future__ import annotations

BROKERS_OWN = frozenset(
    {
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "cookie",
        "cookie2",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "openai-organization",
        "openai-project",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""What the broker says itself, or nobody: the caller's token, whom OpenAI bills, where a message ends, what
belongs to one connection (RFC 9110, 7.6.1). The setting server.forward_headers cannot let them through. A
caller that named another organization would be answered 401, which takes a key out of service.
"""

_BROKERS_OWN_PREFIXES = ("x-broker-", "grpc-")
"""What callers tell the broker, and what gRPC tells its other end of a connection."""


def is_forwarded(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a header goes on because of its prefix. `name` is in lower case.

    >>> is_forwarded("x-stainless-os", ("x-stainless-",)), is_forwarded("openai-project", ("openai-",))
    (True, False)
    """
    return (
        name.startswith(prefixes) and name not in BROKERS_OWN and not name.startswith(_BROKERS_OWN_PREFIXES)
    )


def of_one_connection(connection: str | None) -> frozenset[str]:
    """The headers that `Connection` names: they are for the broker, whatever they are (RFC 9110, 7.6.1).

    >>> sorted(of_one_connection("keep-alive, X-Trace"))
    ['keep-alive', 'x-trace']
    """
    if connection is None:
        return frozenset()
    return frozenset(name.strip().lower() for name in connection.split(","))
