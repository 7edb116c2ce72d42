"""Signed bundles: what `broker policy build` makes, OPA takes; what was changed since, nobody does."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.adapters.policyfiles.bundle import build, read
from broker.adapters.policyfiles.bundle.archive import LONGEST_BYTES
from broker.adapters.policyfiles.source import read_policies
from broker.errors import BrokerError
from tests.nursery import the_nursery
from tests.opa.sidecar import POLICIES, opa_binary

Files = dict[str, bytes]


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ec, rsa and other: private keys and their public halves."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ec", "other"):
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(folder / f"{name}.pem"))
    openssl("genrsa", "-out", str(folder / "rsa.pem"), "2048")
    for name in ("ec", "other", "rsa"):
        openssl("pkey", "-in", str(folder / f"{name}.pem"), "-pubout", "-out", str(folder / f"{name}.pub"))
    return folder


def made(keys: Path, name: str = "ec") -> bytes:
    return build(POLICIES, (keys / f"{name}.pem").read_bytes(), "2026-11-24.1")[0]


def repacked(bundle: bytes, change: Callable[[Files], None]) -> bytes:
    """The same archive with other contents."""
    files: Files = {}
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle))) as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            assert content is not None
            files[entry.name] = content.read()
    change(files)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, raw in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))
    return gzip.compress(out.getvalue())


@pytest.mark.parametrize("name", ["ec", "rsa"])
def test_what_is_built_is_read(keys: Path, name: str) -> None:
    bundle = read(made(keys, name), (keys / f"{name}.pub").read_bytes())
    folder = read_policies(POLICIES).version
    assert (bundle.version.revision, bundle.version.sha256) == ("2026-11-24.1", folder.sha256)


def test_an_unpacked_bundle_keeps_its_label(keys: Path, tmp_path: Path) -> None:
    bundle = read(made(keys), (keys / "ec.pub").read_bytes())
    bundle.unpack(tmp_path)
    assert read_policies(tmp_path).version == bundle.version


def _drop_signature(files: Files) -> None:
    del files[".signatures.json"]


def _empty_signatures(files: Files) -> None:
    files[".signatures.json"] = b'{"signatures": []}'


def _unsigned_algorithm(files: Files) -> None:
    files[".signatures.json"] = json.dumps({"signatures": ["eyJhbGciOiJub25lIn0.e30."]}).encode()


def _edit_rule(files: Files) -> None:
    files["calls.rego"] += b"\n# edited"


def _edit_data(files: Files) -> None:
    files["data.json"] = files["data.json"].replace(b'"auditor"', b'"operator"', 1)


def _edit_manifest(files: Files) -> None:
    files[".manifest"] = files[".manifest"].replace(b"2026", b"2027")


def _add_rule(files: Files) -> None:
    files["more.rego"] = b"package broker.more\n"


def _take_rule(files: Files) -> None:
    del files["admin.rego"]


def _climb(files: Files) -> None:
    files["../outside.rego"] = b"package x\n"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_drop_signature, "not signed"),
        (_empty_signatures, "not what OPA documents"),
        (_unsigned_algorithm, "not by the configured key"),
        (_edit_rule, "calls.rego is not as it was signed"),
        (_edit_data, "data.json is not as it was signed"),
        (_edit_manifest, ".manifest is not as it was signed"),
        (_add_rule, "not those that the signature covers"),
        (_take_rule, "not those that the signature covers"),
        (_climb, "leads outside"),
    ],
)
def test_a_tampered_bundle_is_refused(keys: Path, change: Callable[[Files], None], why: str) -> None:
    with pytest.raises(BrokerError, match=why):
        read(repacked(made(keys), change), (keys / "ec.pub").read_bytes())


def test_a_bundle_signed_with_a_stale_key_is_refused(keys: Path) -> None:
    for other in ("other", "rsa"):
        with pytest.raises(BrokerError, match="not by the configured key"):
            read(made(keys), (keys / f"{other}.pub").read_bytes())


def test_a_bundle_that_unpacks_to_too_much_is_refused(keys: Path) -> None:
    bomb = gzip.compress(bytes(LONGEST_BYTES + 1))
    with pytest.raises(BrokerError, match="unpacks to more than"):
        read(bomb, (keys / "ec.pub").read_bytes())


@pytest.mark.parametrize("raw", [b"", b"garbage", gzip.compress(b"garbage")], ids=["empty", "text", "gzip"])
def test_what_is_no_archive_is_refused(keys: Path, raw: bytes) -> None:
    with pytest.raises(BrokerError, match=r"not a tar\.gz archive|not signed"):
        read(raw, (keys / "ec.pub").read_bytes())


def _opa_takes(bundle: Path, public: Path, algorithm: str) -> bool:
    """Whether OPA loads the bundle: it verifies before it opens its prompt, which ends at once here."""
    command = [opa_binary(), "run", "--bundle", str(bundle), "--verification-key", str(public)]
    command += ["--signing-alg", algorithm, "--verification-key-id", "broker", "--log-level", "error"]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=60, check=False)
    return done.returncode == 0


@pytest.mark.servers
@pytest.mark.parametrize(("name", "algorithm"), [("ec", "ES256"), ("rsa", "RS256")])
def test_opa_verifies_what_is_built(keys: Path, tmp_path: Path, name: str, algorithm: str) -> None:
    bundle = tmp_path / "bundle.tar.gz"
    bundle.write_bytes(made(keys, name))
    assert _opa_takes(bundle, keys / f"{name}.pub", algorithm)
    bundle.write_bytes(repacked(made(keys, name), _edit_data))
    assert not _opa_takes(bundle, keys / f"{name}.pub", algorithm)
    bundle.write_bytes(repacked(made(keys, name), _edit_rule))
    assert not _opa_takes(bundle, keys / f"{name}.pub", algorithm)


@pytest.mark.servers
def test_a_signature_that_opa_made_is_verified(keys: Path, tmp_path: Path) -> None:
    public = (keys / "ec.pub").read_bytes()
    read(made(keys), public).unpack(tmp_path / "unpacked")
    command = [opa_binary(), "sign", "--bundle", ".", "--output-file-path", str(tmp_path)]
    command += ["--signing-key", str(keys / "ec.pem"), "--signing-alg", "ES256"]
    done = subprocess.run(command, cwd=tmp_path / "unpacked", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    theirs = (tmp_path / ".signatures.json").read_bytes()

    def resigned(files: Files) -> None:
        files[".signatures.json"] = theirs

    assert read(repacked(made(keys), resigned), public).version.revision == "2026-11-24.1"


def test_the_command_builds_and_makes_a_key(tmp_path: Path) -> None:
    key, target = tmp_path / "bundle.key", tmp_path / "bundle.tar.gz"
    words = ["policy", "build", str(POLICIES), "--signing-key", str(key), "--revision", "first"]
    words += ["-o", str(target), "--json", "--new-key"]
    done = the_nursery().spawn(*words).done()
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    bundle = read(target.read_bytes(), key.with_suffix(".pub.pem").read_bytes())
    assert (said["revision"], said["sha256"]) == ("first", bundle.version.sha256)
    assert key.stat().st_mode & 0o777 == 0o600
    again = the_nursery().spawn(*words).done()
    assert again.returncode == 3
