"""Transit and PKI of a real Vault, as `broker vault init` sets them up; what only an operator can do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from broker.adapters.vault.operator import TokenFile, operator
from broker.adapters.vault.provision.grants import VaultNames
from broker.adapters.vault.provision.plan import plan
from broker.adapters.vault.provision.setup import carry_out, survey
from tests.vault.server import RealVault
from tests.vault.setups import cluster

TRUST_DOMAIN = "dev.broker"
BROKER_ID = f"spiffe://{TRUST_DOMAIN}/broker"
SERVER_NAMES = ("localhost", "127.0.0.1")


def set_up(server: RealVault) -> None:
    """All mounts, keys and roles; what is there as it should be stays."""
    token = server.directory / "operator.token"
    server.token_file(token, "root")
    with operator(cluster(server), TokenFile(token)) as one:
        carry_out(one, survey(one, plan(VaultNames(), TRUST_DOMAIN, SERVER_NAMES)))


def rotate(server: RealVault) -> None:
    """The next version of the certifying key."""
    server.call("POST", "transit/keys/broker/rotate")


def certifier(server: RealVault, file: Path) -> Path:
    """The public halves as `vault read -format=json transit/keys/broker` prints them."""
    file.write_text(json.dumps(server.call("GET", "transit/keys/broker")))
    return file


def authority(server: RealVault, file: Path) -> Path:
    """The CA of the PKI."""
    file.write_text(str(server.call("GET", "pki/cert/ca")["data"]["certificate"]))
    return file


def shorten(server: RealVault, life: str) -> None:
    """A broker's certificate lives so long from now on; Vault also backdates it by 30 s."""
    patch = {"Content-Type": "application/merge-patch+json"}
    server.call("PATCH", "pki/roles/broker", {"ttl": life, "max_ttl": life}, **patch)


def issue(server: RealVault, mount: str, role: str, **fields: object) -> dict[str, Any]:
    """What Vault issues for a workload, key included."""
    return dict(server.call("POST", f"{mount}/issue/{role}", fields)["data"])


def careless_authority(server: RealVault) -> str:
    """The CA (PEM) of a second PKI, `careless`, whose role `any` allows whatever is asked for."""
    if "careless/" not in server.call("GET", "sys/mounts")["data"]:
        server.call("POST", "sys/mounts/careless", {"type": "pki"})
        server.call("POST", "careless/root/generate/internal", {"common_name": "careless", "key_type": "ec"})
        role = {"allow_any_name": True, "enforce_hostnames": False, "require_cn": False}
        server.call("POST", "careless/roles/any", {**role, "allowed_uri_sans": "*", "key_type": "ec"})
    return str(server.call("GET", "careless/cert/ca")["data"]["certificate"])
