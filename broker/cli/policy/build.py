"""`broker policy build`: a signed bundle of a folder of policies, for the broker and for OPA.

Knows: options and files. Must not know: what is in a bundle.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from broker.adapters.policyfiles.bundle import build as build_bundle
from broker.cli.options import Json, PolicyFolder


def build(
    directory: PolicyFolder,
    signing_key: Annotated[Path, typer.Option(help="PEM private key, P-256 or RSA; 0600.")],
    revision: Annotated[str, typer.Option(help="What people call this version, e.g. 2026-11-24.1.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The bundle.")] = Path("bundle.tar.gz"),
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Make the key first, and NAME.pub.pem beside it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Build a signed bundle. What it holds is not tested here: see `broker policy test`."""
    if new_key:
        _make_key(signing_key)
    raw, version = build_bundle(directory, signing_key.read_bytes(), revision)
    scratch = output.with_suffix(".new")
    scratch.write_bytes(raw)
    scratch.replace(output)
    if as_json:
        said = {"bundle": str(output), "revision": version.revision, "sha256": version.sha256}
        typer.echo(json.dumps({**said, "bytes": len(raw)}))
    else:
        typer.echo(f"{output}  {version.revision}  sha256:{version.sha256}  {len(raw)} bytes")


def _make_key(path: Path) -> None:
    """A new P-256 key, 0600, and its public half; an existing one is never overwritten."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    public = load_pem_private_key(private, None).public_key()
    path.with_suffix(".pub.pem").write_bytes(
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
