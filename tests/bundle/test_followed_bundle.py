"""A bundle file that is followed: what is good takes effect, what is bad is refused and the last good one
stays.

The same is asked of the engine that evaluates the bundle and of the broker that only serves it to OPA.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from broker.adapters.clock import SystemClock
from broker.adapters.policyfiles.bundle import read
from broker.adapters.rego.bundle_server import ServedBundle
from broker.adapters.rego.origin import SignedBundle
from broker.adapters.rego.reloading import ReloadingAuthorizer
from broker.errors import BrokerError, Kind
from broker.model.decision import PolicyVersion
from tests.bundle.signing import Author, new_key

Follower = ReloadingAuthorizer | ServedBundle


@pytest.fixture
def author(tmp_path: Path) -> Author:
    return Author.at(tmp_path / "author")


async def _agreed(_version: PolicyVersion) -> None:
    """Every version may rule."""


@pytest.fixture(params=["embedded", "served"])
async def follower(request: pytest.FixtureRequest, author: Author) -> AsyncIterator[Follower]:
    origin = SignedBundle(author.bundle, author.public_key)
    made: Follower
    if request.param == "embedded":
        made = ReloadingAuthorizer(origin, SystemClock())
        await made.start(_agreed)
    else:
        made = ServedBundle(origin, SystemClock())
        await made.start()
    yield made
    await made.aclose()


def followed(follower: Follower, author: Author) -> str:
    """The label of the bundle in use."""
    raw = follower.bundle()
    assert raw is not None
    version = read(raw, author.public_key.read_bytes()).version
    if isinstance(follower, ReloadingAuthorizer):
        assert version == follower.version
    return version.revision


def _unsigned(author: Author) -> None:
    author.put(gzip.compress(b"\0" * 10240))


def _stale_key(author: Author) -> None:
    new_key(author.home, "stale")
    author.publish("bad", key="stale")


def _rotated_key(author: Author) -> None:
    """The verifier's key is the new one; the bundle is still signed with the old."""
    new_key(author.home, "next")
    author.public_key.write_bytes((author.home / "next.pub").read_bytes())


def _broken_rego(author: Author) -> None:
    author.edit("calls.rego", lambda text: text + "\nbroken := [\n")
    author.publish("bad")


def _sample_evaluation(author: Author) -> None:
    author.edit(
        "ordinary.rego", lambda text: text.replace('"credential": role.credential', '"credential": 7')
    )
    for test in author.policies.glob("*_test.rego"):
        test.unlink()
    author.publish("bad")


def _rule_against_its_test(author: Author) -> None:
    author.edit("content.rego", lambda text: text.replace('else := "block"', 'else := "allow"'))
    author.publish("bad")


def _test_against_its_rule(author: Author) -> None:
    author.edit("admin_test.rego", lambda text: text.replace('"rule": "granted"', '"rule": "x"', 1))
    author.publish("bad")


def _no_table(author: Author) -> None:
    author.edit("admin_test.rego", lambda text: text.replace('"rule": "granted"', '"rul": "granted"', 1))
    author.publish("bad")


BAD: dict[Callable[[Author], None], str] = {
    _unsigned: "not signed",
    _stale_key: "not by the configured key",
    _rotated_key: "not by the configured key",
    _broken_rego: "calls.rego:",
    _sample_evaluation: "`broker.calls.credential`",
    _rule_against_its_test: "calls_test.rego:",
    _test_against_its_rule: "admin_test.rego:",
    _no_table: "admin_test.rego:",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__.strip("_"))
async def test_a_bad_bundle_is_refused_loudly_and_the_last_good_one_stays(
    follower: Follower, author: Author, spoil: Callable[[Author], None]
) -> None:
    before = follower.bundle()
    spoil(author)
    with capture_logs() as said:
        await follower.look()
        await follower.look()
    refusals = [line for line in said if line["event"] == "policy_refused"]
    assert [line["log_level"] for line in refusals] == ["error"]
    assert BAD[spoil] in refusals[0]["why"]
    assert refusals[0]["remedy"]
    assert follower.problem() == refusals[0]["why"]
    assert follower.bundle() == before


async def test_a_mended_bundle_is_taken_and_the_problem_is_over(follower: Follower, author: Author) -> None:
    assert followed(follower, author) == "first"
    _test_against_its_rule(author)
    await follower.look()
    assert follower.problem()
    author.edit("admin_test.rego", lambda text: text.replace('"rule": "x"', '"rule": "granted"', 1))
    author.publish("second")
    await follower.look()
    assert follower.problem() == ""
    assert followed(follower, author) == "second"


async def test_a_bundle_that_is_bad_from_the_start_is_never_served(author: Author) -> None:
    _test_against_its_rule(author)
    serving = ServedBundle(SignedBundle(author.bundle, author.public_key), SystemClock())
    await serving.start()
    try:
        assert serving.bundle() is None
        assert "admin_test.rego" in serving.problem()
    finally:
        await serving.aclose()


async def test_a_version_that_cannot_be_recorded_does_not_rule(author: Author) -> None:
    async def refusing(version: PolicyVersion) -> None:
        if version.revision == "second":
            raise BrokerError(Kind.AUDIT_UNAVAILABLE, "The log is full.")

    engine = ReloadingAuthorizer(SignedBundle(author.bundle, author.public_key), SystemClock())
    await engine.start(refusing)
    try:
        author.edit_data(lambda data: data["grants"].pop("spiffe://dev.broker/ns/demo/sa/kiosk"))
        for test in author.policies.glob("*_test.rego"):
            test.unlink()
        author.publish("second")
        await engine.look()
        assert engine.problem() == "The log is full."
        assert engine.version.revision == "first"
    finally:
        await engine.aclose()
