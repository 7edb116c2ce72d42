"""A real `broker serve` without a stored key for its calls, in front of a simulated OpenAI."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from broker.adapters.keystore import SealedStore
from broker.simulator import Provider
from tests import plain
from tests.e2e.records import Since
from tests.e2e.upstreams import simulator_process
from tests.ephemeral_keys.network import ADMIN_KEY
from tests.running import RunningBroker
from tests.vault.serving import Sections, sdk, start_serving

PROJECT = "proj_chat"
STORED = "sk-stored-canary-0123456789abcdef"


@dataclass
class Site:
    """One machine, its folder, and the OpenAI it calls. `brokers` were started and may have ended."""

    directory: Path
    openai: str
    brokers: list[RunningBroker] = field(default_factory=list)

    def serve(self, sections: Sections) -> RunningBroker:
        """Starts a broker with these sections besides the usual ones."""
        broker = start_serving(self.directory, f"{self.openai}/v1", sections)
        self.brokers.append(broker)
        return broker

    def running(self, sections: Sections) -> RunningBroker:
        """The last one that was started; a new one where that has ended."""
        last = self.brokers[-1] if self.brokers else None
        return last if last is not None and last.process.poll() is None else self.serve(sections)

    def begun(self) -> float:
        """When the last one was configured, in seconds of the wall clock."""
        return (self.directory / "broker.toml").stat().st_mtime

    def organization(self) -> Any:
        """What OpenAI knows: accounts, events, requests."""
        return plain.get(f"{self.openai}/sim/organization").json()

    def live(self) -> list[str]:
        """Names of the accounts with a key that opens something now."""
        return [account["name"] for account in self.organization()["accounts"] if account["live"]]

    def written(self) -> str:
        """All that the broker has written down anywhere, its keystore and policies excepted."""
        files = [path for path in self.directory.rglob("*") if path.is_file() and "keys" not in path.parts]
        files.append(self.directory.with_name(f"{self.directory.name}.err"))
        return "".join(path.read_text(errors="replace") for path in files if path.suffix != ".jwt")


@contextmanager
def site(directory: Path, providers: Sequence[Provider] = ()) -> Iterator[Site]:
    """A folder with a keystore, and an OpenAI whose organization trusts `providers`; all ended at the end."""
    keystore(directory)
    owned = directory / "organization.owned"
    owned.write_bytes(
        msgspec.json.encode({"admin_keys": [ADMIN_KEY], "projects": [PROJECT], "providers": list(providers)})
    )
    accepted = directory / "accepted.owned"
    accepted.write_text(STORED)
    with simulator_process(accepted, "--organization", owned) as url:
        owned.unlink()
        accepted.unlink()
        with at(directory, url) as here:
            yield here


@contextmanager
def at(directory: Path, openai: str) -> Iterator[Site]:
    """A machine with this folder; its brokers are ended at the end."""
    here = Site(directory, openai)
    try:
        yield here
    finally:
        for broker in here.brokers:
            broker.stop()


def keystore(directory: Path) -> None:
    """Makes the folder, with the admin key and a key for a fallback in it."""
    directory.mkdir()
    store = SealedStore(directory / "keys")
    store.put("openai-admin", ADMIN_KEY)
    store.put("stored", STORED)


def say_hello(broker: RunningBroker, content: str = "hello", identity: str = "assistant") -> str:
    """One chat through the unmodified SDK over HTTPS."""
    with sdk(broker, identity) as client:
        reply = client.chat.completions.create(
            model="gpt-4o-mini", messages=[{"role": "user", "content": content}]
        )
    return reply.choices[0].message.content or ""


def key_refs(since: Since) -> set[tuple[str, int]]:
    """Which keys the log says were used."""
    used = (entry.record for entry in since.entries() if entry.record.key_ref is not None)
    return {(record.key_ref or "", record.key_version or 0) for record in used}
