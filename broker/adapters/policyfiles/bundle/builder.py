"""Builds a signed bundle: the policies of a folder, their tests, and who vouches for them.

Knows: what belongs in a bundle, and how it is signed. Must not know: who will read it.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from dataclasses import asdict
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from broker.adapters.policyfiles.bundle.digest import ALGORITHM, digest
from broker.adapters.policyfiles.datacheck import refuse_mistaken
from broker.adapters.policyfiles.source import DATA_SCHEMA, read_policies
from broker.adapters.rego.proof import SlicingProof
from broker.errors import bad_request
from broker.model.decision import PolicyVersion

KEY_ID = "broker"
MANIFEST, SIGNATURES = ".manifest", ".signatures.json"


def build(
    policies: Path, signing_key: bytes, label: str, proof: SlicingProof | None = None
) -> tuple[bytes, PolicyVersion]:
    """The bundle's bytes and its version; equal for equal contents and label, but for the signature and what
    was proven.

    `signing_key` is a PEM private key, P-256 or RSA; `label` what people call this version; `proof` stands in
    the manifest where it is of these policies. Raises POLICY_ENGINE_UNAVAILABLE where the policies cannot be
    read or their data is mistaken, BAD_REQUEST for another key or label.
    """
    if not label or len(label) > 200 or not label.isprintable():  # noqa: PLR2004 - OpaAuthorizer reads as many
        raise bad_request("The label is not 1 to 200 printable characters.", "Give --revision a short name.")
    source = read_policies(policies)
    refuse_mistaken(source)
    sha256 = source.version.sha256
    files = {
        path.relative_to(policies).as_posix(): path.read_bytes()
        for path in sorted(policies.rglob("*"))
        if path.suffix == ".rego" or path.name == "data.json"
    }
    files |= {f"schema/{table}{DATA_SCHEMA}": raw for table, raw in source.schemas}
    manifest: dict[str, object] = {"revision": f"{label} sha256:{sha256}", "roots": [""]}
    if proof is not None and proof.sha256 == sha256:
        manifest["metadata"] = {"slicing": asdict(proof) | {"form": proof.form.value}}
    files[MANIFEST] = json.dumps(manifest).encode()
    files[SIGNATURES] = json.dumps({"signatures": [_signed(files, signing_key)]}).encode()
    return _packed(files), PolicyVersion(label, sha256)


def _signed(files: dict[str, bytes], signing_key: bytes) -> str:
    """The JWT over the digest of every file."""
    listed = [
        {"name": name, "hash": digest(name, content), "algorithm": ALGORITHM}
        for name, content in sorted(files.items())
    ]
    try:
        key = load_pem_private_key(signing_key, None)
    except (ValueError, TypeError):
        raise bad_request("The signing key is not a PEM private key without a password.", _NEW_KEY) from None
    header = {"typ": "JWT", "kid": KEY_ID}
    payload = json.dumps({"files": listed, "keyid": KEY_ID}).encode()
    if isinstance(key, EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        return jws.serialize_compact({**header, "alg": "ES256"}, payload, ECKey.import_key(signing_key))
    if isinstance(key, RSAPrivateKey):
        return jws.serialize_compact({**header, "alg": "RS256"}, payload, RSAKey.import_key(signing_key))
    raise bad_request("The signing key is neither P-256 nor RSA, which OPA verifies.", _NEW_KEY)


_NEW_KEY = "Make one: openssl ecparam -name prime256v1 -genkey -noout -out bundle.key.pem"


def _packed(files: dict[str, bytes]) -> bytes:
    """tar.gz without times, owners or anything else that would differ from one build to the next."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0)
