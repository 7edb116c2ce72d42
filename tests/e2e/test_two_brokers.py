"""Two brokers of one deployment: a token of one is good at the other, as long as its key is there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from broker.adapters.pki import DevPki
from broker.cli.devfiles import TRUST_DOMAIN, DevPaths
from tests.e2e.upstreams import simulator_process
from tests.running import SMALL_POLICIES, RunningBroker
from tests.serving import KEY, served_broker

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}]}


class Deployment(NamedTuple):
    """Both brokers, and the folder in which the second one finds the first one's key."""

    one: RunningBroker
    other: RunningBroker
    keys: Path


@contextmanager
def _deployment(home: Path, *, workers: int) -> Iterator[Deployment]:
    """Each has a log and keys of its own; clients trust one CA, and it is theirs."""
    key, keys = home / "upstream.key", home / "token-keys"
    key.write_text(KEY)
    keys.mkdir()
    DevPki.load_or_create(DevPaths(home / "one").pki, TRUST_DOMAIN)
    shutil.copytree(DevPaths(home / "one").pki, DevPaths(home / "other").pki)
    policy = {"adapter": "embedded", "directory": SMALL_POLICIES[1]}
    identity = {
        "trust_domain": TRUST_DOMAIN,
        "issuer": f"https://{TRUST_DOMAIN}",
        "token_key": DevPaths(home / "other").keys / "token.pem",
        "token_keys": keys,
    }
    with ExitStack() as stack:
        upstream = f"{stack.enter_context(simulator_process(key))}/v1"
        one = stack.enter_context(served_broker(home / "one", upstream, policy, workers=workers))
        other = served_broker(home / "other", upstream, policy, workers=workers, identity=identity)
        known = replace(stack.enter_context(other), identities=one.identities)
        yield Deployment(one, known, keys)


def _chat(broker: RunningBroker, token: str) -> httpx.Response:
    with broker.http("assistant") as client:
        return client.post("/v1/chat/completions", json=CHAT, headers={"authorization": f"Bearer {token}"})


def _until(broker: RunningBroker, token: str, status: int) -> httpx.Response:
    """It is told of a change within two seconds, each of its processes for itself."""
    ends, in_a_row = time.monotonic() + 10, 0
    while in_a_row < 8:
        reply = _chat(broker, token)
        in_a_row = in_a_row + 1 if reply.status_code == status else 0
        assert time.monotonic() < ends, reply.text
        time.sleep(0.1)
    return reply


@pytest.mark.parametrize("workers", [1, 2])
def test_a_token_of_one_is_good_at_the_other_while_its_key_is_there(tmp_path: Path, workers: int) -> None:
    with _deployment(tmp_path, workers=workers) as (one, other, keys):
        token = one.token("assistant")
        assert _chat(one, token).status_code == 200
        refused = _chat(other, token)
        assert (refused.status_code, refused.json()["error"]["reason"]) == (401, "TOKEN_INVALID")
        with one.http("assistant") as client:
            published = client.get("/.well-known/jwks.json").content
        (keys / "one.json").write_bytes(published)
        _until(other, token, 200)
        stolen = replace(other, identities={"assistant": other.identities["intruder"]})
        assert _chat(stolen, token).json()["error"]["reason"] == "TOKEN_NOT_YOURS"
        assert _chat(one, other.token("assistant")).status_code == 401, "trust is not mutual by itself"
        (keys / "one.json").unlink()
        assert _until(other, token, 401).json()["error"]["reason"] == "TOKEN_INVALID"
