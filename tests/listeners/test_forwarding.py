"""Headers of a caller that go upstream because a setting names how they begin."""

from __future__ import annotations

import string

import pytest

from broker.listeners.grpc.metadata import forwarded_headers as over_grpc
from broker.listeners.https.request import forwarded_headers as over_https

EVERY_LETTER = tuple(string.ascii_lowercase)
ONE_CONNECTIONS = (
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
)
CREDENTIALS = ("authorization", "proxy-authorization", "cookie", "cookie2")
THE_BROKERS = ("x-broker-purpose", "x-broker-call-id", "host", "content-length", "expect", "accept-encoding")


@pytest.mark.parametrize(
    "name", [*ONE_CONNECTIONS, *CREDENTIALS, *THE_BROKERS, "grpc-timeout", "http2-settings"]
)
def test_what_never_goes_upstream_does_not_go_whatever_prefixes_are_set(name: str) -> None:
    sent = {name: "private", "x-team": "claims"}
    assert over_https(sent, EVERY_LETTER) == (("x-team", "claims"),)
    assert over_grpc(sent.items(), EVERY_LETTER) == (("x-team", "claims"),)
    assert over_https(sent, (name, "x-team")) == (("x-team", "claims"),)


def test_a_header_that_connection_names_stays_here() -> None:
    """RFC 9110, 7.6.1: it was meant for the broker alone."""
    sent = {
        "connection": "keep-alive, X-Hop , idempotency-key",
        "x-hop": "1",
        "x-hops": "2",
        "idempotency-key": "3",
    }
    assert over_https(sent, ("x-",)) == (("x-hops", "2"),)
