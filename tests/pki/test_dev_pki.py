"""The development PKI against the verifiers that will meet it: Python's ssl, OpenSSL, curl and gRPC."""

from __future__ import annotations

import contextlib
import http.server
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from broker.adapters.pki import DevPki, IssuedIdentity
from broker.errors import BrokerError
from broker.identity.certificate import CertificateReader


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> DevPki:
    return DevPki.load_or_create(tmp_path_factory.mktemp("pki") / "new")


def _leaf(identity: IssuedIdentity) -> x509.Certificate:
    return x509.load_pem_x509_certificate(identity.cert.read_bytes())


def _context(pki: DevPki, identity: IssuedIdentity, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(pki.ca)
    context.load_cert_chain(identity.cert, identity.key)
    return context


class _Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base's name
        """Nothing on the test's output."""


@contextlib.contextmanager
def _https(pki: DevPki) -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Hello)
    server.socket = _context(pki, pki.server(), ssl.PROTOCOL_TLS_SERVER).wrap_socket(
        server.socket, server_side=True
    )
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_openssl_accepts_both_leaves_strictly(pki: DevPki, purpose: str) -> None:
    for identity in (pki.server(), pki.workload("assistant")):
        command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(pki.ca)]
        done = subprocess.run([*command, str(identity.cert)], capture_output=True, text=True, check=False)
        assert done.stdout == f"{identity.cert}: OK\n", done.stderr


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_curl_makes_a_mutual_tls_call(pki: DevPki, host: str) -> None:
    who = pki.workload("assistant")
    with _https(pki) as port:
        done = subprocess.run(
            [
                "curl",
                "-sS",
                "--cacert",
                pki.ca,
                "--cert",
                who.cert,
                "--key",
                who.key,
                f"https://{host}:{port}",
            ],
            capture_output=True,
            check=False,
        )
    assert (done.stdout, done.stderr) == (b"hello", b"")


def test_python_verifies_strictly_on_both_sides(pki: DevPki) -> None:
    client = _context(pki, pki.workload("batch"), ssl.PROTOCOL_TLS_CLIENT)
    server = _context(pki, pki.server(), ssl.PROTOCOL_TLS_SERVER)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(down, up, server_hostname="localhost")
    theirs = server.wrap_bio(up, down, server_side=True)
    for side in (ours, theirs, ours, theirs):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    subject = theirs.getpeercert()
    assert subject is not None
    assert subject["subjectAltName"] == (("URI", "spiffe://dev.broker/ns/demo/sa/batch"),)


async def test_grpc_sees_the_spiffe_id(pki: DevPki) -> None:
    seen: list[bytes] = []

    async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        seen.extend(context.auth_context()["peer_spiffe_id"])
        return request

    server = grpc.aio.server()
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"M": method}),))
    ours, who, ca = pki.server(), pki.workload("explorer"), pki.ca.read_bytes()
    port = server.add_secure_port(
        "127.0.0.1:0",
        grpc.ssl_server_credentials([(ours.key.read_bytes(), ours.cert.read_bytes())], ca, True),
    )
    await server.start()
    credentials = grpc.ssl_channel_credentials(ca, who.key.read_bytes(), who.cert.read_bytes())
    try:
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/t.T/M")
            assert await call(b"hello") == b"hello"
    finally:
        await server.stop(None)
    assert seen == [b"spiffe://dev.broker/ns/demo/sa/explorer"]


def test_the_broker_reads_its_own_workloads(pki: DevPki) -> None:
    der = _leaf(pki.workload("assistant")).public_bytes(serialization.Encoding.DER)
    peer = CertificateReader("dev.broker", 25 * 3600).read((der,))
    assert peer.spiffe_id == pki.workload("assistant").spiffe_id == "spiffe://dev.broker/ns/demo/sa/assistant"
    assert peer.not_after - peer.not_before <= 24 * 3600 + 60


def test_a_leaf_can_neither_sign_certificates_nor_decipher(pki: DevPki) -> None:
    extensions = _leaf(pki.workload("assistant")).extensions
    usage = extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert not any((usage.value.key_cert_sign, usage.value.crl_sign, usage.value.key_encipherment))
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_nobody_else_can_read_a_file_of_the_pki(pki: DevPki) -> None:
    pki.server()
    pki.workload("assistant")
    files = [path for path in pki.ca.parent.rglob("*") if path.is_file()]
    assert len(files) >= 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_what_is_there_is_kept(tmp_path: Path) -> None:
    first = DevPki.load_or_create(tmp_path)
    before = first.ca.read_bytes(), first.workload("batch").cert.read_bytes()
    again = DevPki.load_or_create(tmp_path)
    assert (again.ca.read_bytes(), again.workload("batch").cert.read_bytes()) == before


def test_a_leaf_near_its_end_is_renewed_and_the_ca_kept(tmp_path: Path) -> None:
    first = DevPki.load_or_create(tmp_path)
    ca, old = first.ca.read_bytes(), _leaf(first.workload("batch"))
    later = datetime.now(UTC) + timedelta(hours=23, minutes=1)
    new = _leaf(DevPki.load_or_create(tmp_path, now=later).workload("batch"))
    assert first.ca.read_bytes() == ca
    assert new.not_valid_after_utc > old.not_valid_after_utc
    assert new.serial_number != old.serial_number


def test_a_new_ca_replaces_the_leaves_of_the_old_one(tmp_path: Path) -> None:
    first = DevPki.load_or_create(tmp_path)
    ca, old = first.ca.read_bytes(), first.workload("batch").cert.read_bytes()
    renewed = DevPki.load_or_create(tmp_path, now=datetime.now(UTC) + timedelta(days=29))
    assert renewed.ca.read_bytes() != ca
    assert renewed.workload("batch").cert.read_bytes() != old


@pytest.mark.parametrize("text", ["", "not a certificate"])
def test_a_damaged_file_is_replaced(tmp_path: Path, text: str) -> None:
    pki = DevPki.load_or_create(tmp_path)
    pki.workload("batch").cert.write_text(text)
    assert _leaf(pki.workload("batch")).serial_number > 0


@pytest.mark.parametrize("name", ["../ca", "ca/../../x", "", "a b", "é", "a.pem"])
def test_path_traversal_in_a_workload_name_is_refused(pki: DevPki, name: str) -> None:
    with pytest.raises(BrokerError, match="name and tenant"):
        pki.workload(name)


def test_workloads_called_ca_or_server_do_not_replace_their_namesakes(pki: DevPki) -> None:
    before = pki.ca.read_bytes(), pki.server().cert.read_bytes()
    pki.workload("ca")
    pki.workload("server")
    assert (pki.ca.read_bytes(), pki.server().cert.read_bytes()) == before


def test_stolen_ca_key_cannot_name_another_trust_domain(pki: DevPki, tmp_path: Path) -> None:
    ca = x509.load_pem_x509_certificate(pki.ca.read_bytes())
    ca_key = serialization.load_pem_private_key((pki.ca.parent / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    genuine = _leaf(pki.workload("assistant"))
    builder = (
        x509.CertificateBuilder()
        .subject_name(genuine.subject)
        .issuer_name(ca.subject)
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(genuine.not_valid_before_utc)
        .not_valid_after(genuine.not_valid_after_utc)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("spiffe://prod.example/ns/a/sa/b")]),
            critical=True,
        )
    )
    forged = tmp_path / "forged.pem"
    forged.write_bytes(builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", pki.ca, forged], capture_output=True, text=True, check=False
    )
    assert "permitted subtree violation" in done.stderr
