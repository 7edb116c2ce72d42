"""Certified keys: the statement's one byte form, and attacks on a log whose reader believes the certifier."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from broker.model.record import Record, RecordType
from broker.tlog import base64s
from broker.tlog.certification import (
    DOMAIN,
    Certification,
    KeyUse,
    Statement,
    parse_certification,
)
from broker.tlog.certified import Certified
from broker.tlog.certifier import TrustedCertifier, certifier_name, parse_certifier
from broker.tlog.malformed import MalformedError
from broker.tlog.note import NoteKey, with_signature
from broker.tlog.recordkey import SIGNATURE_BYTES, RecordSigner
from broker.tlog.report import Fault, Report, Verdict
from broker.tlog.verify import verify
from tests.tlog.samples import MemoryLog, calls, note_signer, numbers, signer, texts

ORIGIN = "log.example/test"
NOW = 1_700_000_000  # the time of every entry of MemoryLog
names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=20)
statements = st.builds(
    Statement,
    use=st.sampled_from(KeyUse),
    public_key=st.binary(min_size=32, max_size=32),
    origin=names,
    instance=texts,
    not_before=numbers,
)
certifications = st.builds(
    Certification, statements, st.integers(1, 10_000), st.binary(min_size=64, max_size=64)
)


class VaultKey:
    """The certifying key, as Transit would hold it; `rotated` is its next version."""

    def __init__(self, version: int = 1, seed: int = 200) -> None:
        self.version = version
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed + version]) * 32)

    @property
    def public_key(self) -> bytes:
        return self._key.public_key().public_bytes_raw()

    @property
    def pem(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def rotated(self) -> VaultKey:
        return VaultKey(self.version + 1)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)

    def certified(self, statement: Statement) -> str:
        return str(Certification(statement, self.version, self.sign(statement.message())))


VAULT = VaultKey()


def statement(
    key: RecordSigner | None = None,
    *,
    use: KeyUse = KeyUse.RECORD,
    raw: bytes = b"",
    origin: str = ORIGIN,
    instance: str = "i",
    not_before: int = NOW - 3600,
) -> Statement:
    public = raw or base64s.from_url((key or signer(1)).public_key)
    return Statement(use, public, origin, instance, not_before)


def checkpoint_statement() -> Statement:
    return statement(use=KeyUse.CHECKPOINT, raw=note_signer().key.public_key)


def key_record(*certified: str, key: RecordSigner | None = None) -> Record:
    public_key = (key or signer(1)).public_key
    return Record(RecordType.KEY, call_id="i", public_key=public_key, certifications=certified or None)


def certified_log(*more: Record, by: VaultKey = VAULT) -> MemoryLog:
    """An honest log whose keys are certified from its first entry on, and its last checkpoint, too."""
    log = MemoryLog()
    log.add(key_record(by.certified(statement()), by.certified(checkpoint_statement())))
    for record in (*calls(3), *more):
        log.add(record)
    log.publish()
    return log


def cosigned(log: MemoryLog, by: VaultKey = VAULT) -> bytes:
    note = log.files["checkpoint"]
    text = note.decode().partition("\n\n")[0] + "\n"
    return with_signature(note, NoteKey(certifier_name(ORIGIN), by.public_key), by.sign(text.encode()))


def believed(log: MemoryLog, *keys: VaultKey, note: bytes | None = None) -> Report:
    """What the verifier says to a reader who believes `keys`; the checkpoint is freshly certified."""
    certifier = TrustedCertifier(tuple(key.public_key for key in keys or (VAULT,)))
    note = cosigned(log, (keys or (VAULT,))[-1]) if note is None else note
    return verify(log, note_signer().key, certified=Certified(certifier, note or None))


def uncertified(report: Report) -> list[tuple[str, str]]:
    assert report.verdict is Verdict.BAD
    assert {problem.fault for problem in report.problems} == {Fault.UNCERTIFIED}
    return [(problem.where, problem.text) for problem in report.problems]


@given(statements)
def test_a_statement_parses_to_itself_and_back_to_the_same_bytes(made: Statement) -> None:
    read = parse_certification(str(Certification(made, 1, bytes(SIGNATURE_BYTES)))).statement
    assert read == made
    assert read.encode() == made.encode()
    assert made.message() == DOMAIN + made.encode()


@given(certifications)
def test_a_certification_parses_to_itself_and_back_to_the_same_text(made: Certification) -> None:
    assert parse_certification(str(made)) == made
    assert str(parse_certification(str(made))) == str(made)


@given(statements, statements)
def test_no_two_statements_share_their_bytes(one: Statement, other: Statement) -> None:
    assert (one == other) is (one.message() == other.message())


def test_a_statement_is_small_and_says_which_key_it_is() -> None:
    made = statement()
    assert json.loads(made.encode()) == {
        "v": 1,
        "use": "record",
        "public_key": signer(1).public_key,
        "key_id": signer(1).kid,
        "origin": ORIGIN,
        "instance": "i",
        "not_before": NOW - 3600,
    }
    assert checkpoint_statement().key_id == str(note_signer().key).split("+")[1]
    rfc_8037 = base64s.from_url(
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    )  # its example key, appendix A.3
    token_key = statement(use=KeyUse.TOKEN, raw=rfc_8037)
    assert token_key.key_id == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def _with(**fields: object) -> str:
    document = json.loads(VAULT.certified(statement()))
    document["statement"] |= fields
    return json.dumps(document, separators=(",", ":"), sort_keys=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        _with(v=2),
        _with(v=True),
        _with(use="session"),
        _with(key_id="0" * 16),
        _with(not_before=True),
        _with(more=1),
        _with(public_key=base64s.to_url(bytes(31))),
        VAULT.certified(statement()) + " ",
        VAULT.certified(statement()).replace('"key_version":1', '"key_version":0'),
        VAULT.certified(statement()).replace('"key_version":1', '"key_version":true'),
        VAULT.certified(statement()).replace('"signature":"', '"signature":"AAAA'),
        VAULT.certified(statement(instance="i" * 3000)),
    ],
)
def test_what_is_not_exactly_a_certification_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_certification(text)


def test_a_certified_log_is_good_and_one_without_certifications_is_not() -> None:
    report = believed(certified_log())
    assert (report.verdict, report.certified_size) == (Verdict.GOOD, 8)
    plain = MemoryLog.of(calls(3))
    assert verify(plain, note_signer().key).verdict is Verdict.GOOD
    assert uncertified(believed(plain)) == [
        ("entry 0", f"the record key {signer(1).kid} is not certified"),
        ("checkpoint", f"the checkpoint key {note_signer().key.key_id.hex()} is not certified in the log"),
    ]


def test_a_log_signed_anew_with_the_attackers_own_key_is_refused() -> None:
    mallory, attacker = signer(66), VaultKey(seed=9)
    log = MemoryLog(mallory)
    log.add(key_record(attacker.certified(statement(mallory)), key=mallory))
    for record in calls(3):
        log.add(record)
    log.publish()
    assert verify(log, note_signer().key).verdict is Verdict.GOOD  # only the certifier tells
    found = dict(uncertified(believed(log, note=b"")))
    assert found["entry 0"] == f"the record key {mallory.kid} is not certified"


def test_a_certification_moved_to_another_log_is_refused() -> None:
    log = MemoryLog()
    log.add(key_record(VAULT.certified(statement(origin="log.example/other"))))
    log.publish()
    (first, *_) = uncertified(believed(log))
    assert first == ("entry 0", f"a certification of another log or process, for the key {signer(1).kid}")


def test_a_certification_moved_to_another_process_is_refused() -> None:
    log = MemoryLog()
    log.add(key_record(VAULT.certified(statement(instance="another"))))
    log.publish()
    assert uncertified(believed(log))[0][1].startswith("a certification of another log or process")


def test_a_certification_moved_to_another_key_is_refused() -> None:
    mallory = signer(66)
    genuine = VAULT.certified(statement()), VAULT.certified(checkpoint_statement())
    moved = genuine[0].replace(signer(1).public_key, mallory.public_key).replace(signer(1).kid, mallory.kid)
    for stolen, said in ((genuine[0], "is not certified"), (moved, "is forged")):
        log = MemoryLog(mallory)
        log.add(key_record(stolen, genuine[1], key=mallory))
        log.publish()
        assert any(text.endswith(said) for _, text in uncertified(believed(log)))


def test_a_certification_for_another_use_does_not_count() -> None:
    log = MemoryLog()
    as_token_key = statement(use=KeyUse.TOKEN, raw=base64s.from_url(signer(1).public_key))
    log.add(key_record(VAULT.certified(as_token_key), VAULT.certified(checkpoint_statement())))
    log.publish()
    assert uncertified(believed(log)) == [("entry 0", f"the record key {signer(1).kid} is not certified")]


def test_a_key_slipped_in_behind_a_certified_one_is_named() -> None:
    log = certified_log()
    log.add(key_record(key=signer(66)), by=signer(66))
    log.add(Record(RecordType.CONFIG, call_id="x"), by=signer(66))
    log.publish()
    assert uncertified(believed(log)) == [("entry 8", f"the record key {signer(66).kid} is not certified")]


def test_entries_dated_before_their_keys_certification_are_found() -> None:
    log = MemoryLog()
    late = VAULT.certified(statement(not_before=NOW + 1))
    log.add(key_record(late, VAULT.certified(checkpoint_statement())))
    log.publish()
    assert [where for where, text in uncertified(believed(log)) if "is dated before" in text] == ["entry 0"]


def test_a_rotated_certifying_key_keeps_verifying_what_it_signed() -> None:
    rotated = VAULT.rotated()
    log = certified_log()
    log.add(key_record(rotated.certified(statement(signer(2))), key=signer(2)), by=signer(2))
    log.publish()
    assert believed(log, VAULT, rotated).verdict is Verdict.GOOD
    assert uncertified(believed(log, VAULT))[-1][1] == f"the record key {signer(2).kid} is not certified"


def test_a_key_that_comes_back_needs_no_second_certification() -> None:
    log = certified_log()
    log.add(key_record(VAULT.certified(statement(signer(2))), key=signer(2)), by=signer(2))
    log.add(key_record())
    log.publish()
    assert believed(log).verdict is Verdict.GOOD


def test_a_history_rewritten_behind_a_certified_checkpoint_is_found() -> None:
    """The attacker has all keys of the broker, but Vault no longer signs for him."""
    kept = cosigned(certified_log())
    rewritten = certified_log(Record(RecordType.CONFIG, call_id="more"))
    rewritten.entries[2] = certified_log(Record(RecordType.CONFIG, call_id="x")).entries[8]
    rewritten.publish()
    assert Fault.FORK in {problem.fault for problem in believed(rewritten, note=kept).problems}


def test_a_log_rolled_back_behind_a_certified_checkpoint_is_found() -> None:
    longer = certified_log(Record(RecordType.CONFIG, call_id="more"))
    report = believed(certified_log(), note=cosigned(longer))
    assert {problem.fault for problem in report.problems} == {Fault.ROLLBACK}


def test_a_checkpoint_certified_by_somebody_else_is_refused() -> None:
    log = certified_log()
    found = uncertified(believed(log, note=cosigned(log, VaultKey(seed=9))))
    assert found == [("certified/checkpoint", "a checkpoint that the certifier did not sign")]


def test_a_log_without_a_certified_checkpoint_is_incomplete() -> None:
    report = believed(certified_log(), note=b"")
    assert (report.verdict, report.certified_size) == (Verdict.INCOMPLETE, 0)


def test_the_certifier_is_read_from_pem_or_from_what_vault_prints() -> None:
    rotated = VAULT.rotated()
    both = (VAULT.public_key, rotated.public_key)
    assert parse_certifier(VAULT.pem + b"\n" + rotated.pem).public_keys == both
    versions = {
        str(key.version): {"public_key": base64.b64encode(key.public_key).decode()}
        for key in (VAULT, rotated)
    }
    assert parse_certifier(json.dumps({"data": {"keys": versions}}).encode()).public_keys == both


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"data": {"keys": {}}}',
        b'{"data": {"keys": {"1": {"public_key": "AAAA"}}}}',
        b'{"data": {"keys": {"1": 1700000000}}}',  # a symmetric key has no public half
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    ],
)
def test_a_file_that_holds_no_certifier_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_certifier(content)


def test_a_second_signature_must_verify() -> None:
    log = certified_log()
    with pytest.raises(MalformedError):
        with_signature(log.files["checkpoint"], NoteKey(certifier_name(ORIGIN), VAULT.public_key), bytes(64))
