"""Transit and PKI of a real Vault, set up as deploy/vault/README.md says: what only its operator can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.vault.server import RealVault

TRUST_DOMAIN = "dev.broker"
BROKER_ID = f"spiffe://{TRUST_DOMAIN}/broker"


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


def enable_pki(server: RealVault, ca: Path, life: str = "24h") -> None:
    """The mount, its CA (in the file `ca`) and the two roles; a broker's certificate lives for `life`."""
    if not _mount(server, "pki"):
        root = {"common_name": f"{TRUST_DOMAIN} CA", "key_type": "ec", "key_bits": 256, "ttl": "720h"}
        server.call("POST", "pki/root/generate/internal", root)
    ca.write_text(str(server.call("GET", "pki/cert/ca")["data"]["certificate"]))
    both = {
        "key_type": "ec",
        "key_bits": 256,
        "require_cn": False,
        "allow_localhost": False,
        "allow_wildcard_certificates": False,
        "key_usage": "DigitalSignature",
    }
    broker = {
        "allowed_uri_sans": BROKER_ID,
        "allowed_domains": "localhost",
        "allow_bare_domains": True,
        "allow_ip_sans": True,
        "client_flag": False,
        "ttl": life,
        "max_ttl": life,
    }
    workload = {
        "allowed_uri_sans": f"spiffe://{TRUST_DOMAIN}/*",
        "allow_ip_sans": False,
        "server_flag": False,
        "ttl": "24h",
        "max_ttl": "24h",
    }
    server.call("POST", "pki/roles/broker", both | broker)
    server.call("POST", "pki/roles/workload", both | workload)


def issue(server: RealVault, role: str, **fields: object) -> dict[str, Any]:
    """What Vault issues for a workload, key included."""
    return dict(server.call("POST", f"pki/issue/{role}", fields)["data"])


def _mount(server: RealVault, kind: str) -> bool:
    """Whether it was there."""
    if f"{kind}/" in server.call("GET", "sys/mounts")["data"]:
        return True
    server.call("POST", f"sys/mounts/{kind}", {"type": kind})
    return False
