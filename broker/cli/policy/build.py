"""`broker policy build`: a signed bundle of a folder of policies, for the broker and for OPA.

Knows: options and files. Must not know: what is in a bundle.
"""

from __future__ import annotations

import asyncio
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
from broker.adapters.rego.preflight import proof_of
from broker.adapters.rego.proof import SlicingProof
from broker.cli.options import Json, PolicyFolder
from broker.cli.policy.diff_report import open_console
from broker.cli.policy.output import print_proof, proof_document
from broker.errors import BrokerError


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
    """Build a signed bundle. What it holds is not tested here, see `broker policy test`; but the form in
    which the embedded engine may evaluate it is proven, and written into the manifest.
    """
    if new_key:
        _make_key(signing_key)
    proof = _proven(directory)
    raw, version = build_bundle(directory, signing_key.read_bytes(), revision, proof)
    scratch = output.with_suffix(".new")
    scratch.write_bytes(raw)
    scratch.replace(output)
    if as_json:
        said = {"bundle": str(output), "revision": version.revision, "sha256": version.sha256}
        typer.echo(json.dumps({**said, "bytes": len(raw), "slicing": proof_document(proof)}))
    else:
        typer.echo(f"{output}  {version.revision}  sha256:{version.sha256}  {len(raw)} bytes")
        print_proof(open_console(), proof)


def _proven(directory: Path) -> SlicingProof | None:
    """None where the embedded engine cannot use them: a bundle may be for OPA alone."""
    try:
        return asyncio.run(proof_of(directory))
    except BrokerError:
        return None


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
