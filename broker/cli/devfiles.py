"""The files of a development broker: PKI, keystore, log, generated configuration, and dev.json.

Knows: where each lies below the directory. Must not know: how a broker runs.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from broker.adapters.keystore import SealedStore
from broker.adapters.pki import DevPki
from broker.adapters.policyfiles.source import shipped_policies
from broker.cli.announced import Announced
from broker.config import Settings, parse_to_serve
from broker.errors import ConfigError

TRUST_DOMAIN = "dev.broker"
CREDENTIAL = "openai"
_OTHERS, _OTHERS_WRITE = 0o077, 0o022
IDENTITIES = ("assistant", "batch", "explorer", "intruder", "operator", "auditor")


@dataclass(frozen=True, slots=True)
class Serving:
    """host:port of each listener; port 0 picks a free one. `workers` is how many processes serve calls."""

    https: str
    grpc: str
    console: str
    workers: int


@dataclass(frozen=True, slots=True)
class DevPaths:
    """The files of one development broker, below its directory."""

    root: Path

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def announcement(self) -> Path:
        return self.root / "dev.json"

    def prepare(self) -> None:
        """Makes the directory, for its owner alone; an old dev.json would name a broker that is gone. Raises
        ConfigError where others could put their keys, policies or log in the place of ours.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        _refuse_shared(self.root)
        reached = self.root.stat().st_mode & _OTHERS
        for folder in (self.pki, self.keys, self.keys / "log", self.log):
            if not reached:  # what a generous umask has given nobody could use
                _tighten(folder)
            _refuse_shared(folder)
        self.announcement.unlink(missing_ok=True)


def configuration(places: DevPaths, serving: Serving, upstream: str, policies: Path | None) -> Settings:
    """What `broker serve` would be given. The environment still overrides it. Raises ConfigError."""
    pki = DevPki.load_or_create(places.pki, TRUST_DOMAIN)
    server = pki.server()
    values: dict[str, object] = {
        "server": {
            "https": serving.https,
            "grpc": serving.grpc,
            "console": serving.console,
            "workers": serving.workers,
            "reflection": True,
            "forward_headers": ("x-sim-",),
        },
        "tls": {"certificate": server.cert, "key": server.key, "client_ca": pki.ca},
        "identity": {
            "trust_domain": TRUST_DOMAIN,
            "issuer": f"https://{TRUST_DOMAIN}",
            "token_key": places.keys / "token.pem",
        },
        "policy": {"directory": (policies or shipped_policies()).resolve()},
        "keys": {"directory": places.keys},
        "upstream": {"base_url": upstream},
        "audit": {
            "directory": places.log,
            "origin": f"{TRUST_DOMAIN}/log/{_log_name(places)}",
            "keys": places.keys / "log",
        },
    }
    return parse_to_serve(values, "broker dev")


def import_upstream_key(places: DevPaths, source: str | Path | None) -> None:
    """Puts the upstream's key into the sealed keystore: a key, a file with one, or, where neither is
    given and none is there yet, a made-up one that no real upstream accepts.
    """
    store = SealedStore(places.keys)
    if source is None:
        if CREDENTIAL not in store.names():
            store.put(CREDENTIAL, f"sk-dev-{secrets.token_hex(24)}")
        return
    key = source.read_text().strip() if isinstance(source, Path) else source
    if not key:
        raise ConfigError(f"{source}: no key in it. Try: a file that holds the upstream's key on one line")
    store.put(CREDENTIAL, key)


def announce(broker: Announced, places: DevPaths, settings: Settings) -> None:
    """Writes dev.json, whole or not at all."""
    pki = DevPki.load_or_create(places.pki, TRUST_DOMAIN)
    identities = {name: pki.workload(name) for name in IDENTITIES}
    said = {
        "https": broker.https_url,
        "grpc": broker.grpc_address,
        "console": broker.console_url,
        "ca": str(pki.ca),
        "identities": {
            name: {"spiffe_id": who.spiffe_id, "cert": str(who.cert), "key": str(who.key)}
            for name, who in identities.items()
        },
        "logs": [{"origin": settings.audit.origin, "path": str(places.log), "vkey": broker.log_vkey}],
        "policies": str(settings.policy.directory),
        "upstream": settings.upstream.base_url,
        "pid": os.getpid(),
    }
    scratch = places.announcement.with_suffix(".tmp")
    scratch.write_text(json.dumps(said, indent=2) + "\n")
    scratch.replace(places.announcement)


def _refuse_shared(folder: Path) -> None:
    try:
        facts = folder.stat()
    except FileNotFoundError:
        return
    if facts.st_uid != os.geteuid():
        raise ConfigError(f"{folder}: it belongs to another user. Try: --dir with a folder of your own")
    if facts.st_mode & _OTHERS_WRITE:
        raise ConfigError(f"{folder}: others than you may write there. Try: chmod 700 {folder}")


def _tighten(folder: Path) -> None:
    with suppress(FileNotFoundError):
        if (mode := folder.stat().st_mode) & _OTHERS_WRITE:
            folder.chmod(mode & ~_OTHERS_WRITE)


def _log_name(places: DevPaths) -> str:
    """A name for this directory's log that no other has, kept beside its keys."""
    path = places.keys / "log.name"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_text(secrets.token_hex(6))
    return path.read_text()
