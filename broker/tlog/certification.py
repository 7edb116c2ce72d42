"""What is certified of a key: a small statement, the bytes that are signed for it, and the text that keeps
both.

Knows: the statement's fields (version 1), their one byte form (RFC 8785), key IDs. Must not know: who signs,
or where a certification lies.

Signed are the line `broker-key-certification/v1`, a newline and the statement's canonical JSON. That first
line is the domain: no other thing the same key signs begins with it (a checkpoint begins with the log's
origin, and goes on with a number).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from broker.tlog import base64s, canonical
from broker.tlog.malformed import MalformedError
from broker.tlog.note import KEY_BYTES, NoteKey
from broker.tlog.recordkey import SIGNATURE_BYTES, RecordVerifier

DOMAIN = b"broker-key-certification/v1\n"
VERSION = 1
MAX_CERTIFICATION_CHARACTERS = 2048


class KeyUse(StrEnum):
    """What a certified key signs."""

    RECORD = "record"
    CHECKPOINT = "checkpoint"
    TOKEN = "token"  # noqa: S105 - the name of a use, not a password


@dataclass(frozen=True, slots=True)
class Statement:
    """`public_key` (Ed25519, 32 bytes) signs what `use` says, for the log `origin`, from `not_before` (unix
    seconds) on. `instance` is the process that had it certified.
    """

    use: KeyUse
    public_key: bytes
    origin: str
    instance: str
    not_before: int

    def __post_init__(self) -> None:
        if len(self.public_key) != KEY_BYTES:
            raise MalformedError("a public key that does not have 32 bytes")

    @property
    def key_id(self) -> str:
        """The name the key has where it is used: an entry's `kid`, a vkey's key ID, a token's `kid`."""
        return key_id(self.use, self.public_key, self.origin)

    def document(self) -> dict[str, object]:
        """The statement as a JSON object."""
        return {
            "v": VERSION,
            "use": self.use.value,
            "public_key": base64s.to_url(self.public_key),
            "key_id": self.key_id,
            "origin": self.origin,
            "instance": self.instance,
            "not_before": self.not_before,
        }

    def encode(self) -> bytes:
        """The statement's one byte form. Raises MalformedError for what JSON cannot say."""
        return canonical.encode(self.document())

    def message(self) -> bytes:
        """The bytes that are signed."""
        return DOMAIN + self.encode()


@dataclass(frozen=True, slots=True)
class Certification:
    """A statement and the signature under it. `key_version` says which version of the certifying key it was,
    for people: any key that the reader trusts may verify. `parse_certification(str(c)) == c`.
    """

    statement: Statement
    key_version: int
    signature: bytes

    def __str__(self) -> str:
        document = {
            "statement": self.statement.document(),
            "key_version": self.key_version,
            "signature": base64s.to_url(self.signature),
        }
        return canonical.encode(document).decode()


def key_id(use: KeyUse, public_key: bytes, origin: str) -> str:
    """See Statement.key_id. A token key's is its JWK thumbprint (RFC 7638)."""
    if use is KeyUse.RECORD:
        return RecordVerifier(public_key).kid
    if use is KeyUse.CHECKPOINT:
        return NoteKey(origin, public_key).key_id.hex()
    jwk = canonical.encode({"crv": "Ed25519", "kty": "OKP", "x": base64s.to_url(public_key)})
    return base64s.to_url(hashlib.sha256(jwk).digest())


def parse_certification(text: str) -> Certification:
    """The certification whose text is exactly `text`. Raises MalformedError. Verifies nothing."""
    if len(text) > MAX_CERTIFICATION_CHARACTERS:
        raise MalformedError(f"a certification of more than {MAX_CERTIFICATION_CHARACTERS} characters")
    match canonical.decode(text.encode("utf-8", "surrogatepass")):
        case {"statement": statement, "key_version": int() as version, "signature": str() as encoded, **more}:
            signature = base64s.from_url(encoded)
            if more or version < 1 or isinstance(version, bool) or len(signature) != SIGNATURE_BYTES:
                raise MalformedError("a certification with a field that does not belong there")
            return Certification(_statement(statement), version, signature)
    raise MalformedError("a certification without its fields")


def _statement(document: object) -> Statement:
    match document:
        case {
            "use": str() as use,
            "public_key": str() as public_key,
            "origin": str() as origin,
            "instance": str() as instance,
            "not_before": int() as not_before,
        } if use in set(KeyUse) and not isinstance(not_before, bool):
            statement = Statement(KeyUse(use), base64s.from_url(public_key), origin, instance, not_before)
            if statement.document() == document and type(document["v"]) is int:
                return statement
    raise MalformedError("a statement of another version, with other fields, or of another key ID")
