"""Which request this is, who sent it and which way: the terms that every step and every record repeats.

Knows: what is the same for a call, a request for a token and a question to the log. Must not know: a
transport.
"""

from __future__ import annotations

from typing import NamedTuple

from broker.model.subject import Peer


class RequestContext(NamedTuple):
    """One request at a listener. `call_id` is the broker's own name for it, and `transport` the listener's
    (`https` or `grpc`), as records have them. A tuple, because one is made for each call.
    """

    call_id: str
    peer: Peer
    transport: str
