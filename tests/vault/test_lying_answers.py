"""A Vault, or something in its place, that signs and issues what nobody asked for: nothing of it is used."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from structlog.testing import capture_logs

from broker.adapters.clock import SystemClock
from broker.adapters.pki import DevPki
from broker.adapters.vault import (
    Cluster,
    Jwt,
    PkiRole,
    ServerCertificate,
    ServerCertificateFiles,
    Session,
    TransitCertifier,
    certificate_names,
)
from broker.errors import BrokerError, Kind
from broker.ports import Signed
from tests.vault.fake import FakeVault, Scripted, Seen, as_json
from tests.vault.setups import REFUSED_SECONDS
from tests.vault.test_bad_answers import FAULTS, JWT

KEY = Ed25519PrivateKey.generate()
MALLORY = Ed25519PrivateKey.generate()
NAMES = certificate_names("spiffe://dev.broker/broker", ("localhost", "127.0.0.1", "::1"))  # as DevPki issues


@dataclass
class LyingVault:
    node: FakeVault
    session: Session
    pki: DevPki
    directory: Path

    def answers(self, part: str, answer: Callable[[Seen], Scripted]) -> None:
        """To requests whose path has `part`; to the rest as Vault does."""

        def script(seen: Seen) -> Scripted | None:
            if part in seen.path:
                return answer(seen)
            return _keys() if "/keys/" in seen.path else None

        self.node.script = script

    async def sign(self) -> Signed:
        return await TransitCertifier(self.session).sign(b"message")

    async def issue(self) -> None:
        files = ServerCertificateFiles(self.directory / "tls/server.pem", self.directory / "tls/server.key")
        role = PkiRole(self.session, mount="pki", role="broker")
        await ServerCertificate(role, files, NAMES, SystemClock()).ensure()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[FakeVault]:
    node = FakeVault(DevPki.load_or_create(tmp_path / "pki"))
    yield node
    node.close()


@pytest.fixture
async def scene(node: FakeVault, tmp_path: Path) -> AsyncIterator[LyingVault]:
    (tmp_path / "jwt").write_text(JWT)
    session = Session(Cluster((node.address,), ca=node.ca), Jwt("broker", tmp_path / "jwt"), SystemClock())
    yield LyingVault(node, session, DevPki.load_or_create(tmp_path / "pki"), tmp_path)
    await session.aclose()


def _keys(**changes: object) -> Scripted:
    public = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
    facts = {"exportable": False, "allow_plaintext_backup": False, "derived": False, "type": "ed25519"}
    return as_json({"data": {**facts, "keys": {"1": {"public_key": public}}, **changes}})


def _signed(seen: Seen, key: Ed25519PrivateKey = KEY, form: str = "vault:v1:{}") -> Scripted:
    message = base64.b64decode(json.loads(seen.body)["input"])
    encoded = base64.b64encode(key.sign(message)).decode()
    return as_json({"data": {"signature": form.format(encoded)}})


async def _refused(scene: LyingVault, asking: str) -> BrokerError:
    began = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        await getattr(scene, asking)()
    assert time.monotonic() - began < REFUSED_SECONDS
    assert caught.value.kind is Kind.CREDENTIAL_STORE_UNAVAILABLE
    assert caught.value.remedy
    assert not list(scene.directory.glob("tls/*"))
    return caught.value


async def test_an_honest_answer_is_taken(scene: LyingVault) -> None:
    scene.answers("/sign/", _signed)
    signed = await scene.sign()
    assert (signed.public_key, signed.key_version) == (KEY.public_key().public_bytes_raw(), 1)


async def test_a_signature_by_another_key_is_refused(scene: LyingVault) -> None:
    scene.answers("/sign/", lambda seen: _signed(seen, MALLORY))
    assert "to a signing request" in (await _refused(scene, "sign")).message


@pytest.mark.parametrize(
    "form", ["{}", "vault:v1:", "vault:v0:{}", "vault:v2:{}", "vault:v1:{}\n", "vault:v1:{0}{0}", "v1:{}"]
)
async def test_a_signature_of_another_form_or_version_is_refused(scene: LyingVault, form: str) -> None:
    scene.answers("/sign/", lambda seen: _signed(seen, form=form))
    await _refused(scene, "sign")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("asking", "part"), [("sign", "/sign/"), ("sign", "/keys/"), ("issue", "/sign/")])
async def test_a_broken_answer_is_refused_in_time(
    scene: LyingVault, fault: str, asking: str, part: str
) -> None:
    scene.answers(part, lambda _seen: FAULTS[fault])
    error = await _refused(scene, asking)
    assert "canary" not in str(error)


@pytest.mark.parametrize(
    "changes",
    [
        {"keys": {"1": {"public_key": "AAAA"}}},
        {"keys": {"one": {"public_key": ""}}},
        {"keys": []},
        {"type": 7},
    ],
    ids=str,
)
async def test_public_keys_of_another_form_are_refused(scene: LyingVault, changes: dict[str, object]) -> None:
    scene.node.script = lambda seen: (
        _signed(seen) if "/sign/" in seen.path else _keys(**changes) if "/keys/" in seen.path else None
    )
    await _refused(scene, "sign")


async def test_a_certificate_for_another_key_is_refused(scene: LyingVault) -> None:
    """With the names that were asked for: whoever holds that other key could stand in for the broker."""
    leaf = scene.pki.server().cert.read_text()
    scene.answers("/sign/", lambda _seen: as_json({"data": {"certificate": leaf, "issuing_ca": leaf}}))
    assert "for another key" in (await _refused(scene, "issue")).message


def _issued(scene: LyingVault, seen: Seen, names: tuple[x509.GeneralName, ...]) -> Scripted:
    """For the key of the request."""
    request = x509.load_pem_x509_csr(json.loads(seen.body)["csr"].encode())
    public = request.public_key()
    leaf = scene.pki._issue(public, names)  # type: ignore[arg-type]  # an EC key, as the broker makes
    pem = leaf.public_bytes(Encoding.PEM).decode()
    ca = scene.pki.ca.read_text()
    return as_json({"data": {"certificate": pem, "issuing_ca": ca, "ca_chain": [ca]}})


async def test_a_certificate_with_other_names_is_refused(scene: LyingVault) -> None:
    scene.answers("/sign/", lambda seen: _issued(scene, seen, NAMES[:2]))
    assert "with other names" in (await _refused(scene, "issue")).message


async def test_a_certificate_as_asked_for_is_taken_without_the_root(scene: LyingVault) -> None:
    scene.answers("/sign/", lambda seen: _issued(scene, seen, NAMES))
    with capture_logs() as said:
        await scene.issue()
    chain = x509.load_pem_x509_certificates((scene.directory / "tls/server.pem").read_bytes())
    assert len(chain) == 1
    assert [line["event"] for line in said] == ["certificate_issued"]
    sent = [seen for seen in scene.node.seen if "/sign/" in seen.path]
    assert all("PRIVATE KEY" not in seen.body for seen in sent)
