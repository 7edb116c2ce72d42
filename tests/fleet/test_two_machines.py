"""Two brokers are one service: whatever becomes of one machine, callers of the load balancer are served."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import openai
import pytest

from broker.model.record import RecordType
from tests.e2e.limiting import MONTH, limit
from tests.e2e.records import entries, verify
from tests.e2e.upstreams import received
from tests.fleet.machines import Fleet, Machine, fleet
from tests.sizes import sized
from tests.state.server import RealStore
from tests.vault.server import RealVault

pytestmark = pytest.mark.servers

CALLERS = 6
PAUSE_SECONDS = 0.05


class Callers:
    """They call through the balancer until they are told to end, each in turn whole and streamed."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._ending = threading.Event()
        self.failed: list[str] = []
        self.ended = 0
        self._counting = threading.Lock()

    @contextmanager
    def calling(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._call, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._ending.set()
            for thread in threads:
                thread.join()

    def went_on(self, more: int = 30) -> bool:
        """Whether so many calls end from now on, within some seconds."""
        before, ends = self.ended, time.monotonic() + 60
        while self.ended < before + more and time.monotonic() < ends:
            time.sleep(0.05)
        return self.ended >= before + more

    def _call(self, number: int) -> None:
        with self._fleet.sdk(self._fleet.token(f"caller-{number}")) as client:
            streamed = False
            while not self._ending.wait(PAUSE_SECONDS):
                streamed = not streamed
                try:
                    _whole(client, streamed=streamed)
                except openai.APIError as error:
                    self.failed.append(f"{type(error).__name__}: {error}")
                with self._counting:
                    self.ended += 1


def _whole(client: openai.OpenAI, *, streamed: bool) -> None:
    messages = [{"role": "user", "content": "hello"}]
    asked = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=messages,  # type: ignore[arg-type]
        max_tokens=5,
        stream=streamed,
    )
    if isinstance(asked, openai.Stream):
        assert list(asked)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, vault: RealVault, store: RealStore) -> Iterator[Fleet]:
    """For all tests of this file, which leave both machines running."""
    with fleet(tmp_path_factory.mktemp("fleet"), vault, store) as made:
        yield made


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)


def _intents(machine: Machine) -> int:
    found = [entry.record.type for entry in entries(machine.running.log)]
    assert found.count(RecordType.INTENT) == found.count(RecordType.OUTCOME) + found.count(
        RecordType.RECOVERED
    )
    return found.count(RecordType.INTENT)


def test_both_machines_are_replaced_one_after_the_other_and_no_call_fails(running: Fleet) -> None:
    callers = Callers(running)
    with callers.calling():
        assert callers.went_on()
        for _ in range(sized(1, 5)):
            for machine in running.machines:
                machine.running.stop()
                assert callers.went_on(), "the other one serves"
                machine.start()
                assert callers.went_on()
    assert callers.failed == []
    for machine in running.machines:
        machine.running.stop()
        assert verify(machine.running.log).returncode == 0
    told = sum(_intents(machine) for machine in running.machines)
    assert told == received(running.upstream)["count"]
    for machine in running.machines:
        machine.start()


def test_a_machine_that_is_killed_takes_no_token_and_no_share_of_a_limit_with_it(running: Fleet) -> None:
    one, two = running.machines
    _limit_both(running, 20)
    token = running.token("killed", one)
    spent = [running.chat(one, token).status_code for _ in range(8)]
    assert spent == [200] * 8
    one.running.kill_all()
    codes = [running.chat(two, token).status_code for _ in range(25)]
    assert 200 in codes, "the token of the one that is gone is good"
    assert codes[-1] == 429
    assert codes.count(200) == 20 - len(spent)
    one.start()
    assert running.chat(one, token).status_code == 429, "it knows what is spent"


def _limit_both(running: Fleet, cap: int) -> None:
    """Each user may make so many calls, as all workers of both machines know when this returns."""
    few = {"unit": "requests", "cap": cap, "window_seconds": MONTH}
    for machine in running.machines:
        limit(machine.directory / "policies", "assistant", {"few": few})
    token, in_a_row = running.token("asking"), 0
    deadline = time.monotonic() + 30
    while in_a_row < 16:
        told = [_limited(running, machine, token) for machine in running.machines]
        in_a_row = in_a_row + 1 if all(told) else 0
        assert time.monotonic() < deadline, "the policies do not rule"


def test_a_machine_that_is_cut_off_from_the_store_refuses_and_the_other_serves(running: Fleet) -> None:
    one, two = running.machines
    _limit_both(running, 10**6)
    token = running.token("cut-off")
    one.link.freeze()
    began = time.monotonic()
    refused = running.chat(one, token)
    assert (refused.status_code, refused.json()["error"]["reason"]) == (503, "STATE_UNAVAILABLE")
    assert time.monotonic() - began < 10
    assert running.chat(two, token).status_code == 200
    one.link.thaw()
    _until(lambda: running.chat(one, token).status_code == 200)


def _limited(running: Fleet, machine: Machine, token: str) -> bool:
    return "x-broker-ratelimit-limit-requests" in running.chat(machine, token).headers
