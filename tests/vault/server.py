"""A real Vault on loopback, for tests: TLS, its own storage, initialised and unsealed; ended by its pid."""

from __future__ import annotations

import json
import shutil
import signal
import ssl
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from broker.adapters.pki import DevPki
from tests.ports import free_port
from tests.processes import freeze

ROOT = Path(__file__).parents[2]
START_SECONDS = 60


def vault_binary() -> str:
    """`vault` or `bao` of PATH, or the one that `make servers` built."""
    for name in ("vault", "bao"):
        if found := shutil.which(name):
            return found
    built = ROOT / ".tools/bin/vault"
    assert built.exists(), "no Vault here: make servers"
    return str(built)


@dataclass(frozen=True)
class Wrapped:
    """What an operator hands to the broker."""

    role_id: str
    secret_id_file: Path


class RealVault:
    """One Vault process and what only its operator can do."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.pki = DevPki.load_or_create(directory / "pki")
        self.port = free_port()
        self.address = f"https://127.0.0.1:{self.port}"
        self._http = httpx.Client(
            base_url=f"{self.address}/v1/",
            verify=ssl.create_default_context(cafile=str(self.ca)),
            timeout=10,
            trust_env=False,
        )
        self._config().write_text(json.dumps(self._settings()))
        self.start()
        made = self.call("PUT", "sys/init", {"secret_shares": 1, "secret_threshold": 1})
        self._share = str(made["keys_base64"][0])
        self.root = str(made["root_token"])
        self._http.headers["X-Vault-Token"] = self.root
        self.unseal()

    @property
    def ca(self) -> Path:
        return self.pki.ca

    def start(self) -> None:
        with (self.directory / "vault.log").open("ab") as log:
            self.process = subprocess.Popen(
                [vault_binary(), "server", f"-config={self._config()}"], stdout=log, stderr=log
            )
        self._await("sys/seal-status")

    def stop(self) -> None:
        self._http.close()
        self.thaw()
        self.kill()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        freeze(self.process.pid)

    def thaw(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)

    def seal(self) -> None:
        self.call("PUT", "sys/seal")

    def unseal(self) -> None:
        """Returns once this Vault answers requests again."""
        self.call("PUT", "sys/unseal", {"key": self._share})
        self._await("sys/health")

    def call(self, method: str, path: str, body: object = None, **headers: str) -> dict[str, Any]:
        answer = self._http.request(method, path, json=body, headers=headers)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return dict(answer.json()) if answer.content else {}

    def alive(self, token: str) -> bool:
        """Whether Vault still knows the token."""
        return self._http.post("auth/token/lookup", json={"token": token}).is_success

    def put(self, credential: str, key: str) -> None:
        self.call("POST", f"secret/data/openai/{credential}", {"data": {"key": key}})

    def forget_keys(self) -> None:
        """Away with every key of the store, whoever put it there."""
        listed = self._http.request("LIST", "secret/metadata/openai")
        names = listed.json()["data"]["keys"] if listed.is_success else []
        assert listed.is_success or listed.status_code == httpx.codes.NOT_FOUND, listed.text
        for name in names:
            self.call("DELETE", f"secret/metadata/openai/{name}")

    def approle(
        self, role: str, *, policies: str = "broker", life: str = "1h", longest: str = "24h"
    ) -> Wrapped:
        """A role with a response-wrapped secret id in a file."""
        settings = {"token_policies": policies, "token_ttl": life, "token_max_ttl": longest}
        settings["token_no_default_policy"] = "true"
        self.call("POST", f"auth/approle/role/{role}", settings)
        role_id = self.call("GET", f"auth/approle/role/{role}/role-id")["data"]["role_id"]
        file = self.directory / f"{role}.wrapped"
        self.wrap(role, file)
        return Wrapped(role_id, file)

    def wrap(self, role: str, file: Path) -> None:
        made = self.call("POST", f"auth/approle/role/{role}/secret-id", {}, **{"X-Vault-Wrap-TTL": "300s"})
        file.write_text(made["wrap_info"]["token"] + "\n")

    def grant(self, name: str = "broker") -> None:
        """Writes deploy/vault/<name>.hcl as a policy."""
        text = (ROOT / "deploy/vault" / f"{name}.hcl").read_text()
        self.call("PUT", f"sys/policies/acl/{name}", {"policy": text})

    @property
    def keys_token(self) -> Path:
        """A 0600 file with an operator's token that may do what `broker keys` needs, and nothing else."""
        file = self.directory / "keys.token"
        if not file.exists():
            self.token_file(file, "broker-keys")
        return file

    def token_file(self, file: Path, *policies: str) -> None:
        """Writes a new token with these policies to a 0600 file."""
        asked = {"policies": list(policies), "no_default_policy": True, "ttl": "1h"}
        token = self.call("POST", "auth/token/create", asked)["auth"]["client_token"]
        file.touch(0o600)
        file.write_text(token + "\n")

    def audited(self) -> list[dict[str, Any]]:
        """The requests that Vault's audit device saw so far, without their answers."""
        lines = (self.directory / "audit.log").read_text().splitlines()
        return [entry["request"] for line in lines if (entry := json.loads(line))["type"] == "request"]

    def audit(self) -> None:
        options = {"file_path": str(self.directory / "audit.log")}
        self.call("PUT", "sys/audit/file", {"type": "file", "options": options})

    def _config(self) -> Path:
        return self.directory / "vault.json"

    def _settings(self) -> dict[str, object]:
        server = self.pki.server("/vault")
        storage = self.directory / "storage"
        storage.mkdir(exist_ok=True)
        listener = {
            "address": f"127.0.0.1:{self.port}",
            "tls_cert_file": str(server.cert),
            "tls_key_file": str(server.key),
            "tls_min_version": "tls13",
        }
        return {
            "storage": {"raft": {"path": str(storage), "node_id": "one", "performance_multiplier": "1"}},
            "listener": {"tcp": listener},
            "api_addr": self.address,
            "cluster_addr": f"https://127.0.0.1:{free_port()}",
            "disable_mlock": True,
        }

    def _await(self, path: str) -> None:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                if self._http.get(path).status_code == 200:
                    return
            except httpx.TransportError:
                assert self.process.poll() is None, (self.directory / "vault.log").read_text()
            time.sleep(0.05)
        raise AssertionError(f"Vault does not answer {path}")


def prepare(vault: RealVault) -> None:
    """The mounts and the policy that deploy/vault asks for."""
    vault.call("POST", "sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    for method in ("approle", "cert", "jwt"):
        vault.call("POST", f"sys/auth/{method}", {"type": method})
    vault.call(
        "POST", "sys/auth/kubernetes", {"type": "jwt"}
    )  # that plugin is not built; its login is the same
    vault.grant()
    vault.grant("broker-keys")
    vault.audit()
