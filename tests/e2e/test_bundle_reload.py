"""A signed bundle is replaced while calls go on: none is dropped, and each record names who decided it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from broker.model.record import RecordType
from tests import plain
from tests.bundle.signing import Author
from tests.e2e.raw import bearer
from tests.e2e.records import entries
from tests.e2e.upstreams import scripted_upstream
from tests.running import RunningBroker
from tests.serving import served_broker
from tests.sizes import sized

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say."}]}
REPLY = (
    b'{"id":"c","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
)
CALLERS = 4
RELOADS = sized(2, 20)
PAUSE_SECONDS = sized(20, 0) / 1000


@dataclass
class Load:
    """Callers that hardly pause; what they were answered."""

    broker: RunningBroker
    done: threading.Event = field(default_factory=threading.Event)
    statuses: Counter[int] = field(default_factory=Counter)

    def count(self) -> int:
        return sum(self.statuses.values())

    def run(self) -> None:
        with self.broker.http("explorer") as client:
            headers = bearer(self.broker, "explorer")
            while not self.done.is_set():
                reply = client.post("/v1/chat/completions", json=CHAT, headers=headers)
                self.statuses[reply.status_code] += 1
                self.done.wait(PAUSE_SECONDS)


def _shows(broker: RunningBroker, label: str) -> bool:
    return label in plain.get(broker.console).text


def _more_than(load: Load, count: int) -> bool:
    return load.count() > count


def _cap_kiosk(cap: int, data: dict[str, Any]) -> None:
    data["roles"]["kiosk"]["max_output_tokens"] = cap


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def test_reloading_under_load_drops_no_call(tmp_path: Path) -> None:
    author = Author.at(tmp_path / "author")
    published = {author.publish("first"): "first"}
    policy = {"bundle": str(author.bundle), "verification_key": str(author.public_key)}
    with ExitStack() as stack:
        upstream = stack.enter_context(scripted_upstream())
        upstream.answer(lambda exchange: exchange.whole(200, REPLY))
        broker = stack.enter_context(served_broker(tmp_path / "b", upstream.url, policy))
        load = Load(broker)
        threads = [threading.Thread(target=load.run) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            for number in range(RELOADS):
                author.edit_data(partial(_cap_kiosk, number))
                for test in author.policies.glob("*_test.rego"):
                    test.unlink()  # the tables say what the demo's data are
                label = f"reload-{number}"
                published[author.publish(label)] = label
                until(partial(_shows, broker, label))
                begun = load.count()
                until(partial(_more_than, load, begun + 20))
        finally:
            load.done.set()
            for thread in threads:
                thread.join()
        assert load.statuses.keys() == {200}, load.statuses
        log = [entry.record for entry in entries(broker.log)]
    intents = [record for record in log if record.type is RecordType.INTENT]
    assert len(intents) == load.statuses[200]
    deciders = [(record.policy_sha256, record.policy_revision) for record in intents]
    assert set(deciders) == set(published.items())
    assert deciders == sorted(deciders, key=lambda each: list(published).index(each[0] or ""))
