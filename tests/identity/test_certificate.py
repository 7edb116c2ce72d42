"""Which client certificates name a workload, and which only pretend to."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

import pytest

from broker.errors import BrokerError, Kind
from broker.identity.certificate import CertificateReader, check_time, subject_of
from tests.identity.certificates import BORN, leaf

GOOD = "spiffe://dev.broker/ns/demo/sa/assistant"


@pytest.fixture
def reader() -> CertificateReader:
    return CertificateReader("dev.broker", 90_000)


def test_svid_names_its_subject(reader: CertificateReader) -> None:
    der = leaf(GOOD)
    peer = reader.read((der,))
    assert peer.spiffe_id == GOOD
    assert peer.cert_sha256 == sha256(der).hexdigest()
    assert subject_of(peer).tenant == "demo"
    assert reader.read((der,)) is peer


@pytest.mark.parametrize(
    "der",
    [
        pytest.param(leaf(), id="no_uri"),
        pytest.param(leaf(GOOD, "spiffe://dev.broker/ns/demo/sa/operator"), id="two_identities"),
        pytest.param(leaf(GOOD, ca=True), id="ca_certificate"),
        pytest.param(leaf(GOOD, signs=True), id="signing_certificate"),
        pytest.param(leaf("spiffe://evil.example/ns/demo/sa/assistant"), id="other_trust_domain"),
        pytest.param(leaf("spiffe://dev.broker.evil.example/ns/a"), id="trust_domain_suffix"),
        pytest.param(leaf("https://dev.broker/ns/demo/sa/assistant"), id="not_spiffe"),
        pytest.param(leaf("spiffe://dev.broker"), id="trust_domain_alone"),
        pytest.param(leaf("spiffe://dev.broker/ns/../sa/operator"), id="dot_segments"),
        pytest.param(leaf("spiffe://dev.broker/ns//sa"), id="empty_segment"),
        pytest.param(leaf("spiffe://dev.broker/ns/a%2fb"), id="percent_encoding"),
        pytest.param(leaf("spiffe://dev.broker/a?b=c"), id="query"),
        pytest.param(leaf(f"spiffe://dev.broker/{'a' * 2100}"), id="too_long"),
        pytest.param(leaf(GOOD, life=timedelta(days=365)), id="lives_a_year"),
        pytest.param(leaf(cn=GOOD), id="identity_only_in_the_cn"),
        pytest.param(b"\x30\x03\x02\x01\x01", id="not_a_certificate"),
    ],
)
def test_impostor_certificate_is_refused(reader: CertificateReader, der: bytes) -> None:
    with pytest.raises(BrokerError) as refused:
        reader.read((der,))
    assert refused.value.kind is Kind.CERTIFICATE_INVALID


def test_certificate_is_checked_against_the_clock_on_every_call(reader: CertificateReader) -> None:
    peer = reader.read((leaf(GOOD),))
    born = int(BORN.timestamp())
    check_time(peer, born)
    for moment in (born - 1, born + 86_400):
        with pytest.raises(BrokerError):
            check_time(peer, moment)
