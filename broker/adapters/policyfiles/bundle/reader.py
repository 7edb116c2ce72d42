"""Reads a signed bundle, and trusts nothing in it that the signature does not cover.

Knows: what must hold before a file of it is used. Must not know: policies. Verified are: the signature by the
one key we were given, each file's digest, that no file is missing or beside them, and that the manifest's
SHA-256 is that of the contents.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from broker import strictjson
from broker.adapters.policyfiles.bundle.archive import ArchiveError, unpacked
from broker.adapters.policyfiles.bundle.builder import MANIFEST, SIGNATURES
from broker.adapters.policyfiles.bundle.digest import ALGORITHM, digest
from broker.adapters.policyfiles.source import contents_sha256, unusable
from broker.errors import BrokerError
from broker.model.decision import PolicyVersion

_REVISION = re.compile(r"(.{1,200}) sha256:([0-9a-f]{64})\Z")
_REMEDY = "Build it anew with `broker policy build` and the key whose public half is configured."


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """Contents that the holder of the signing key vouches for; paths are relative and plain."""

    version: PolicyVersion
    files: dict[str, bytes] = field(repr=False)

    def unpack(self, directory: Path) -> None:
        """Writes the files into an empty directory."""
        for name, content in self.files.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)


def read(raw: bytes, public_key: bytes) -> VerifiedBundle:
    """The bundle, verified with a PEM public key. Raises POLICY_ENGINE_UNAVAILABLE with what is wrong."""
    files = _unpacked(raw)
    signatures = files.pop(SIGNATURES, None)
    if signatures is None:
        raise _refused("It is not signed: it holds no .signatures.json.")
    _check_digests(files, _signed_digests(signatures, public_key))
    version = _version(files.get(MANIFEST, b"{}"))
    policies = [(name, raw) for name, raw in files.items() if name != MANIFEST]
    if contents_sha256(policies) != version.sha256:
        raise _refused("Its manifest names another SHA-256 than its contents have.")
    return VerifiedBundle(version, files)


def _unpacked(raw: bytes) -> dict[str, bytes]:
    try:
        return unpacked(raw)
    except ArchiveError as error:
        raise _refused(str(error)) from None


def _signed_digests(signatures: bytes, public_key: bytes) -> dict[str, str]:
    """Name to SHA-256 of every file that the signature covers."""
    try:
        said = strictjson.parse(signatures, bounds=None)
        (token,) = said["signatures"]  # type: ignore[index]
        payload = strictjson.parse(_verified(token, public_key), bounds=None)
        listed = {entry["name"]: entry for entry in payload["files"]}  # type: ignore[index]
        if any(entry["algorithm"] != ALGORITHM for entry in listed.values()):
            raise _refused(f"Its signature uses another hash than {ALGORITHM}.")
        return {str(name): str(entry["hash"]) for name, entry in listed.items()}
    except (strictjson.StrictJsonError, TypeError, KeyError, ValueError):
        raise _refused("Its .signatures.json is not what OPA documents.") from None


def _verified(token: str, public_key: bytes) -> bytes:
    try:
        loaded = load_pem_public_key(public_key)
    except ValueError:
        raise unusable("The verification key is not a PEM public key.", "Configure one.") from None
    elliptic = isinstance(loaded, EllipticCurvePublicKey)
    key = (ECKey if elliptic else RSAKey).import_key(public_key)
    try:
        return jws.deserialize_compact(token, key, algorithms=["ES256" if elliptic else "RS256"]).payload
    except (JoseError, ValueError):
        raise _refused("Its signature is not by the configured key.") from None


def _check_digests(files: dict[str, bytes], signed: dict[str, str]) -> None:
    if files.keys() != signed.keys():
        raise _refused("Its files are not those that the signature covers.")
    for name, content in files.items():
        try:
            found = digest(name, content)
        except (ValueError, RecursionError):
            found = ""
        if found != signed[name]:
            raise _refused(f"{name} is not as it was signed.")


def _version(manifest: bytes) -> PolicyVersion:
    try:
        revision = json.loads(manifest).get("revision")
    except (ValueError, AttributeError):
        revision = None
    named = _REVISION.match(revision) if isinstance(revision, str) else None
    if named is None:
        raise _refused("Its manifest names no revision `<label> sha256:<hex>`.")
    return PolicyVersion(named[1], named[2])


def _refused(why: str) -> BrokerError:
    return unusable(f"The policy bundle is refused. {why}", _REMEDY)
