"""Transit and PKI of a real Vault, set up as deploy/vault/README.md says: what only its operator can do."""

from __future__ import annotations

import json
from pathlib import Path

from tests.vault.server import RealVault

TRUST_DOMAIN = "dev.broker"


def enable_transit(server: RealVault) -> None:
    """The mount and the key; what is there stays."""
    _mount(server, "transit")
    server.call("POST", "transit/keys/broker", {"type": "ed25519"})


def rotate(server: RealVault) -> None:
    server.call("POST", "transit/keys/broker/rotate")


def certifier(server: RealVault, file: Path) -> Path:
    """The public halves as `vault read -format=json transit/keys/broker` prints them."""
    file.write_text(json.dumps(server.call("GET", "transit/keys/broker")))
    return file


def _mount(server: RealVault, kind: str) -> None:
    if f"{kind}/" not in server.call("GET", "sys/mounts")["data"]:
        server.call("POST", f"sys/mounts/{kind}", {"type": kind})
