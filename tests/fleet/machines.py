"""Two machines of one deployment: two brokers of two workers, one store, one Vault, one load balancer."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import openai

from broker.adapters.pki import DevPki
from tests.e2e.limiting import by_user, limiting
from tests.e2e.upstreams import simulator_process
from tests.fleet.balancer import Balancer, balancer
from tests.ports import free_port
from tests.running import RunningBroker
from tests.state.server import RealStore
from tests.vault.authority import certifier
from tests.vault.server import RealVault
from tests.vault.serving import Sections, start_serving, vault_sections

KEY = "sk-fleet-openai-00000000000001"
NAMES = ("one", "two")
SECRET = b"0123456789abcdef0123456789abcdef"


@dataclass
class Machine:
    """A broker that can be ended and started again at its addresses, and its link to the store."""

    directory: Path
    upstream: str
    sections: Sections
    link: Balancer
    running: RunningBroker = field(init=False)

    def start(self) -> None:
        """On the same log and the same addresses."""
        self.running = start_serving(self.directory, self.upstream, self.sections)

    def publish(self, folder: Path) -> None:
        """Its token key, as an operator hands it to the others."""
        with self.running.http("assistant") as client:
            published = client.get("/.well-known/jwks.json").content
        made = folder / f"{self.directory.name}.new"
        made.write_bytes(published)
        made.rename(made.with_suffix(".json"))


@dataclass(frozen=True)
class Fleet:
    """All of it. `url` is the balancer's; the identities are known to both machines."""

    machines: tuple[Machine, Machine]
    url: str
    upstream: str
    known: RunningBroker

    def token(self, user: str, issuer: Machine | None = None) -> str:
        """Of this machine, or of whichever the balancer chooses."""
        asked = self.seen(issuer).ask_token("assistant", user=user, ttl="600")
        return str(asked.raise_for_status().json()["access_token"])

    def await_trust(self) -> None:
        """Until each machine believes the other's tokens, in both of its workers."""
        deadline = time.monotonic() + 20
        for issuer, other in (self.machines, self.machines[::-1]):
            token = self.token("first", issuer)
            in_a_row = 0
            while in_a_row < 8:
                in_a_row = in_a_row + 1 if self.chat(other, token).is_success else 0
                assert time.monotonic() < deadline, "no trust"

    def seen(self, machine: Machine | None = None) -> RunningBroker:
        """A machine, or the deployment, as a client sees it that both know."""
        return replace(self.known, https=machine.running.https if machine else self.url)

    def sdk(self, token: str) -> openai.OpenAI:
        """The unmodified SDK as it comes: it repeats a call that failed twice."""
        return openai.OpenAI(
            base_url=f"{self.url}/v1",
            api_key=token,
            http_client=self.seen().http("assistant"),  # type: ignore[arg-type]
        )

    def chat(self, machine: Machine, token: str) -> httpx.Response:
        """One call to one machine, past the balancer."""
        body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
        with self.seen(machine).http("assistant") as client:
            return client.post(
                "/v1/chat/completions", json=body, headers={"authorization": f"Bearer {token}"}
            )


@contextmanager
def fleet(home: Path, vault: RealVault, store: RealStore) -> Iterator[Fleet]:
    """Running, and ended."""
    vault.put("openai", KEY)
    accepted, keys = home / "accepted.keys", home / "token-keys"
    accepted.write_text(KEY)
    keys.mkdir()
    policies, deployment = by_user(limiting(home)), f"fleet-{os.urandom(4).hex()}"
    DevPki.load_or_create(home / "pki")
    with ExitStack() as ends:
        upstream = f"{ends.enter_context(simulator_process(accepted))}/v1"
        machines: list[Machine] = []
        for name in NAMES:
            directory = home / name
            directory.mkdir()
            shutil.copytree(home / "pki", directory / "pki")
            shutil.copytree(policies, directory / "policies")
            link = balancer(home / f"{name}-store", {"store": f"127.0.0.1:{store.port}"}, ready=False)
            machine = Machine(directory, upstream, {}, ends.enter_context(link))
            machine.sections = _sections(machine, vault, store, home, deployment)
            machine.start()
            ends.callback(lambda machine=machine: machine.running.stop())  # type: ignore[misc]
            machine.publish(keys)
            machines.append(machine)
        one, two = machines
        backends = {each.directory.name: each.running.https.removeprefix("https://") for each in machines}
        front = ends.enter_context(balancer(home / "balancer", backends))
        made = Fleet((one, two), f"https://127.0.0.1:{front.port}", upstream, one.running)
        made.await_trust()
        yield made


def _sections(machine: Machine, vault: RealVault, store: RealStore, home: Path, deployment: str) -> Sections:
    directory = machine.directory
    log_keys = directory / "log-keys"
    log_keys.mkdir(mode=0o700)
    secret = log_keys / "commitment.key"
    secret.touch(0o600)
    secret.write_bytes(SECRET)
    keys = dict(vault_sections(vault, vault.approle(f"{directory.name}-{os.urandom(4).hex()}")))
    own: dict[str, Mapping[str, object]] = {
        "server": {
            "https": f"127.0.0.1:{free_port()}",
            "grpc": f"127.0.0.1:{free_port()}",
            "console": f"127.0.0.1:{free_port()}",
            "workers": 2,
            "forward_headers": ["x-sim-"],
        },
        "identity": {
            "trust_domain": "dev.broker",
            "issuer": "https://dev.broker",
            "token_key": str(directory / "token.pem"),
            "token_keys": str(home / "token-keys"),
            "certified_by": str(certifier(vault, home / "certifier.json")),
        },
        "audit": {
            "directory": str(directory / "log"),
            "origin": f"dev.broker/{directory.name}",
            "keys": str(log_keys),
        },
        "state": {
            "adapter": "valkey",
            "url": f"valkeys://broker@127.0.0.1:{machine.link.port}/0",
            "ca": str(store.ca),
            "password_file": str(store.password_file),
            "deployment": deployment,
            "wait_seconds": 1.0,
        },
    }
    kept = {"certify": True, "kept_secret_id": str(directory / "secret-id")}
    return {**own, **keys, "vault": {**keys["vault"], **kept}}
