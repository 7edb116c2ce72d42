"""Keys and bundles of a test's own."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.adapters.policyfiles.bundle import build
from tests.policy.engines import POLICIES


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


def new_key(folder: Path, name: str) -> Path:
    """A P-256 key `<name>.pem`, and `<name>.pub` beside it."""
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(private))
    openssl("pkey", "-in", str(private), "-pubout", "-out", str(public))
    return private


@dataclass(frozen=True)
class Author:
    """Somebody with a copy of the policies, a key, and a bundle file that others follow."""

    home: Path

    @classmethod
    def at(cls, home: Path) -> Author:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copytree(POLICIES, home / "policies")
        new_key(home, "key")
        author = cls(home)
        author.publish("first")
        return author

    @property
    def policies(self) -> Path:
        return self.home / "policies"

    @property
    def bundle(self) -> Path:
        return self.home / "bundle.tar.gz"

    @property
    def public_key(self) -> Path:
        return self.home / "key.pub"

    def publish(self, label: str, key: str = "key") -> str:
        """Signs what the folder holds, and puts it where others look, whole. Returns its SHA-256."""
        raw, version = build(self.policies, (self.home / f"{key}.pem").read_bytes(), label)
        self.put(raw)
        return version.sha256

    def put(self, raw: bytes) -> None:
        scratch = self.bundle.with_suffix(".new")
        scratch.write_bytes(raw)
        scratch.replace(self.bundle)

    def edit(self, name: str, how: Callable[[str], str]) -> None:
        path = self.policies / name
        changed = how(path.read_text())
        assert changed != path.read_text(), "the edit changes nothing"
        path.write_text(changed)

    def edit_data(self, how: Callable[[dict[str, Any]], object]) -> None:
        path = self.policies / "data.json"
        data = json.loads(path.read_text())
        how(data)
        path.write_text(json.dumps(data))
