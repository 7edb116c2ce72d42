"""A real `broker serve` with small policies whose keys are in a real Vault, in front of a simulated OpenAI of
its own process.

The identity `batch` calls with the credential `other`, everybody else with `openai`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import openai

from broker.adapters.pki import DevPki
from broker.client import Credentials
from tests.e2e.upstreams import simulator_process
from tests.ports import free_port
from tests.running import SMALL_POLICIES, Identity, RunningBroker, start
from tests.sizes import sized
from tests.vault.server import RealVault, Wrapped

ROOT = Path(__file__).parents[2]
IDENTITIES = ("assistant", "batch", "explorer", "operator")
PAUSE_SECONDS = sized(100, 0) / 1000
"""Between the calls of a caller that calls again and again."""
Sections = Mapping[str, Mapping[str, object]]
_MEMBERS = """
[[pools.openai.members]]
key = "openai"
[[pools.openai.members]]
key = "openai"
region = "eu"
[[pools.openai.members]]
key = "openai"
region = "eu"
team = "claims"
[[pools.openai.members]]
key = "openai"
region = "us"
team = "consulate"
[[pools.other.members]]
key = "openai"
"""


def start_serving(
    directory: Path, upstream: str, sections: Sections, program: tuple[str, ...] | None = None
) -> RunningBroker:
    """Starts `broker serve` on free ports; returns once it accepts calls. `sections` are added to a
    configuration that is complete but for keys and vault. `program` as for `start_broker`.
    """
    pki = DevPki.load_or_create(directory / "pki")
    console = f"127.0.0.1:{free_port()}"
    if not (directory / "policies").exists():
        shutil.copytree(SMALL_POLICIES[1], directory / "policies")
    config = configuration(directory, upstream, sections, console)
    errors = directory.with_name(f"{directory.name}.err")
    with errors.open("a") as stderr:
        process = start(("serve", "--config", str(config)), stderr, program)
    assert process.stdout is not None
    said = [process.stdout.readline().strip() for _ in range(3)]
    if said[2] != "ready" and not said[2].startswith("waiting: "):
        process.kill()
        process.stdout.close()
        raise RuntimeError(f"broker serve ended with {process.wait()}:\n{errors.read_text()[-2000:]}")
    return RunningBroker(
        process=process,
        directory=directory,
        https=said[0].removeprefix("https "),
        grpc=said[1].removeprefix("grpc "),
        console=f"http://{console}",
        ca=pki.ca,
        identities={name: _identity(pki, name) for name in IDENTITIES},
        log=directory / "log",
        policies=directory / "policies",
        upstream=upstream,
    )


def configuration(
    directory: Path, upstream: str, sections: Sections, console: str = "127.0.0.1:8445"
) -> Path:
    """Writes `broker.toml` there, with certificates and policies to go with it."""
    pki = DevPki.load_or_create(directory / "pki")
    config = directory / "broker.toml"
    config.write_text(_toml({**_configuration(directory, pki, upstream, console), **sections}))
    return config


def placed(config: Path) -> Path:
    """The configuration, with a key for each placement and each credential that the policies name."""
    with config.open("a") as file:
        file.write(_MEMBERS)
    return config


@contextmanager
def serving(
    directory: Path, server: RealVault, keys: tuple[str, ...], hold_seconds: float = 60.0
) -> Iterator[RunningBroker]:
    """A broker that leases from `server`, and an upstream that accepts `keys`; both ended at the end."""
    directory.mkdir(exist_ok=True)
    accepted = directory / "accepted.keys"
    accepted.write_text("\n".join(keys))
    with simulator_process(accepted) as url:
        role = server.approle(f"serving-{directory.name}-{os.urandom(4).hex()}")
        broker = start_serving(directory, f"{url}/v1", vault_sections(server, role, hold_seconds))
        try:
            yield broker
        finally:
            broker.stop()


def vault_sections(server: RealVault, role: Wrapped, hold_seconds: float = 60.0) -> Sections:
    """[keys] and [vault] for an AppRole of `server`."""
    return {
        "keys": {"adapter": "vault", "hold_seconds": hold_seconds},
        "vault": {
            "addresses": [server.address],
            "ca": str(server.ca),
            "role_id": role.role_id,
            "wrapped_secret_id": str(role.secret_id_file),
        },
    }


def credentials(broker: RunningBroker, identity: str) -> Credentials:
    """For the client library."""
    who = broker.identities[identity]
    return Credentials(who.cert, who.key, broker.ca)


def sdk(broker: RunningBroker, identity: str) -> openai.OpenAI:
    """The unmodified OpenAI SDK, as this identity; it repeats nothing."""
    return openai.OpenAI(
        base_url=f"{broker.https}/v1",
        api_key=broker.token(identity),
        http_client=broker.http(identity),  # type: ignore[arg-type]
        max_retries=0,
    )


def _configuration(
    directory: Path, pki: DevPki, upstream: str, console: str
) -> dict[str, Mapping[str, object]]:
    server = pki.server()
    policies = directory / "policies"
    if not policies.exists():
        shutil.copytree(ROOT / "policies", policies)
        grants = json.loads((policies / "data.json").read_text())
        grants["roles"]["batch"]["credential"] = "other"
        (policies / "data.json").write_text(json.dumps(grants))
    return {
        "server": {
            "https": "127.0.0.1:0",
            "grpc": "127.0.0.1:0",
            "console": console,
            "forward_headers": ["x-sim-"],
        },
        "tls": {"certificate": str(server.cert), "key": str(server.key), "client_ca": str(pki.ca)},
        "identity": {
            "trust_domain": "dev.broker",
            "issuer": "https://dev.broker",
            "token_key": str(directory / "token.pem"),
        },
        "policy": {"directory": str(policies)},
        "upstream": {"base_url": upstream},
        "audit": {
            "directory": str(directory / "log"),
            "origin": f"dev.broker/{directory.name}",
            "keys": str(directory / "log-keys"),
        },
    }


def _toml(sections: Sections) -> str:
    """TOML's basic strings, arrays and numbers are written as JSON's."""
    lines = []
    for name, settings in sections.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    return "\n".join(lines) + "\n"


def _identity(pki: DevPki, name: str) -> Identity:
    made = pki.workload(name)
    return Identity(made.spiffe_id, made.cert, made.key)
