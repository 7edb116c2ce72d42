"""Which of a caller's headers may go upstream, beside those that each listener names.

Knows: header names. Must not know: HTTP, gRPC.
"""

from __future__ import annotations

BROKERS_OWN = frozenset(
    {
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "cookie",
        "host",
        "openai-organization",
        "openai-project",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""What the broker says itself, or nobody: the caller's token, whom OpenAI bills, where a message ends. The
setting server.forward_headers cannot let them through. A caller that named another organization would be
answered 401, which takes a key out of service.
"""


def is_forwarded(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether a header goes on because of its prefix. `name` is in lower case.

    >>> is_forwarded("x-stainless-os", ("x-stainless-",)), is_forwarded("openai-project", ("openai-",))
    (True, False)
    """
    return name.startswith(prefixes) and name not in BROKERS_OWN
