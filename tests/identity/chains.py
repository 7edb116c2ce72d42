"""Client certificate chains as good, careless and hostile authorities make them, each by name.

One trust bundle verifies them all; what differs is one property at a time.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha1
from ipaddress import ip_address
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

Key: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
Extension: TypeAlias = tuple[x509.ExtensionType, bool]
HOUR = timedelta(hours=1)
NAMES = "test.broker"
ID = f"spiffe://{NAMES}/ns/demo/sa/assistant"
_HASHES: dict[str, hashes.SHA256 | hashes.SHA384] = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384()}
_PRIVATE = ObjectIdentifier("1.3.6.1.4.1.99999.1")


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What one certificate says. `extensions` replace those of the same kind that it has by itself; `without`
    names those that it lacks.
    """

    name: str
    key: str = "p256"
    ca: bool = False
    hash: str = "sha256"
    begins: timedelta = -HOUR
    lives: timedelta = 12 * HOUR
    unnamed: bool = False
    extensions: tuple[Extension, ...] = ()
    without: tuple[type[x509.ExtensionType], ...] = ()


@dataclass(frozen=True)
class Chain:
    """A case: the certificates from leaf to root, those of them that the client sends, and the verdict."""

    name: str
    good: bool
    path: tuple[Certificate, ...]
    sent: tuple[int, ...] = (0,)
    altered: Callable[[x509.Certificate, Key], bytes] | None = None
    trusted: int = -1

    def pem(self) -> bytes:
        """What the client sends, leaf first."""
        built = _built(self.path)
        leaf, *rest = (built[place].public_bytes(Encoding.PEM) for place in self.sent)
        if self.altered is not None:
            leaf = self.altered(built[0], _key(self.path[1].key, self.path[1].name))
        return b"".join([leaf, *rest])

    def key(self) -> bytes:
        return _key(self.path[0].key, self.path[0].name).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )

    def root(self) -> bytes:
        """What is trusted: the last certificate of the path, or another one; nothing for a leaf alone."""
        return _built(self.path)[self.trusted].public_bytes(Encoding.PEM) if len(self.path) > 1 else b""


def usage(*, signature: bool = False, signs: bool = False, encipherment: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def uris(*named: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri) for uri in named])


@cache
def _key(kind: str, _of: str) -> Key:
    match kind:
        case "p256":
            return ec.generate_private_key(ec.SECP256R1())
        case "p384":
            return ec.generate_private_key(ec.SECP384R1())
        case "p521":
            return ec.generate_private_key(ec.SECP521R1())
        case "k256":
            return ec.generate_private_key(ec.SECP256K1())
        case "ed25519":
            return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))


def _extensions(own: Certificate, key: Key, issuer: x509.Certificate | None) -> list[Extension]:
    found: list[Extension] = [
        (x509.BasicConstraints(ca=own.ca, path_length=None), True),
        (usage(signature=not own.ca, signs=own.ca), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
    ]
    if issuer is not None:
        aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())  # type: ignore[arg-type]
        found.append((aki, False))
    if not own.ca:
        found.append((uris(ID), False))
    replaced = (*own.without, *(type(extension) for extension, _ in own.extensions))
    return [pair for pair in found if type(pair[0]) not in replaced] + list(own.extensions)


@cache
def _one(own: Certificate, above: tuple[Certificate, ...]) -> x509.Certificate:
    issuer = _one(above[0], above[1:]) if above else None
    key = _key(own.key, own.name)
    signer = _key(above[0].key, above[0].name) if above else key
    common = [] if own.unnamed else [x509.NameAttribute(NameOID.COMMON_NAME, own.name)]
    now = datetime.now(UTC).replace(microsecond=0)
    builder = x509.CertificateBuilder(
        subject_name=x509.Name(common),
        issuer_name=issuer.subject if issuer is not None else x509.Name(common),
    )
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now + own.begins).not_valid_after(now + own.begins + own.lives)
    for extension, critical in _extensions(own, key, issuer):
        builder = builder.add_extension(extension, critical=critical)
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else _HASHES[own.hash]
    return builder.sign(signer, algorithm)


def _built(path: tuple[Certificate, ...]) -> list[x509.Certificate]:
    return [_one(own, path[place + 1 :]) for place, own in enumerate(path)]


def _altered(leaf: x509.Certificate, _signer: Key) -> bytes:
    """The same certificate with one bit of its signature turned."""
    der = bytearray(leaf.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_certificate(bytes(der)).public_bytes(Encoding.PEM)


def _sha1(leaf: x509.Certificate, signer: Key) -> bytes:
    """The same certificate, signed with RSA and SHA-1: the library would not make one. Both algorithm
    identifiers, of equal length, are exchanged, and the signature (256 bytes, the last ones) is made anew.
    """
    sha256_with_rsa, sha1_with_rsa = (bytes.fromhex(f"06092a864886f70d0101{last}") for last in ("0b", "05"))
    assert isinstance(signer, rsa.RSAPrivateKey)
    tbs = leaf.tbs_certificate_bytes.replace(sha256_with_rsa, sha1_with_rsa)
    whole = leaf.public_bytes(Encoding.DER).replace(leaf.tbs_certificate_bytes, tbs)
    whole = whole.replace(sha256_with_rsa, sha1_with_rsa)
    numbers = signer.private_numbers()
    digest_info = bytes.fromhex("3021300906052b0e03021a05000414") + sha1(tbs, usedforsecurity=False).digest()
    padded = b"\x00\x01" + b"\xff" * (256 - 3 - len(digest_info)) + b"\x00" + digest_info
    signature = pow(int.from_bytes(padded), numbers.d, numbers.public_numbers.n).to_bytes(256)
    return ssl.DER_cert_to_PEM_cert(whole[:-256] + signature).encode()


LEAF = Certificate(name="leaf")
ROOT = Certificate(name="root", ca=True, lives=240 * HOUR)
MIDDLE = Certificate(name="middle", ca=True, lives=120 * HOUR)


def _leaf(name: str, good: bool, **said: object) -> Chain:
    return Chain(name, good, (replace(LEAF, name=name, **said), ROOT))  # type: ignore[arg-type]


def _middle(name: str, good: bool, *middles: Certificate, **said: object) -> Chain:
    made = middles or (replace(MIDDLE, name=f"middle {name}", **said),)  # type: ignore[arg-type]
    return Chain(name, good, (replace(LEAF, name=name), *made, ROOT), tuple(range(len(made) + 1)))


def _root(name: str, good: bool, **said: object) -> Chain:
    return Chain(name, good, (replace(LEAF, name=name), replace(ROOT, name=f"root {name}", **said)))  # type: ignore[arg-type]


def _has(*extensions: Extension) -> dict[str, object]:
    return {"extensions": extensions}


def _limited(length: int | None) -> dict[str, object]:
    return _has((x509.BasicConstraints(ca=True, path_length=length), True))


def _purposes(*oids: ObjectIdentifier) -> Extension:
    return (x509.ExtendedKeyUsage(oids), False)


def _names(*, permitted: Sequence[str] | None = None, excluded: Sequence[str] | None = None) -> Extension:
    def made(hosts: Sequence[str] | None) -> list[x509.GeneralName] | None:
        return None if hosts is None else [x509.UniformResourceIdentifier(host) for host in hosts]

    return (x509.NameConstraints(made(permitted), made(excluded)), True)


_CLIENT, _SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
_NO_CA: Extension = (x509.BasicConstraints(ca=False, path_length=None), True)
_LEAVES = (
    _leaf("an ordinary leaf", True),
    _leaf("P-384", True, key="p384"),
    _leaf("P-521", False, key="p521"),
    _leaf("secp256k1", False, key="k256"),
    _leaf("Ed25519", False, key="ed25519"),
    _leaf("RSA-1024", False, key="rsa1024"),
    _leaf("RSA-2048", True, key="rsa2048"),
    _leaf("RSA-3072", True, key="rsa3072"),
    _leaf("signed with SHA-384", True, hash="sha384"),
    _leaf("no key usage", True, without=(x509.KeyUsage,)),
    _leaf("no digitalSignature", False, **_has((usage(encipherment=True), True))),
    _leaf(
        "digitalSignature and keyEncipherment", True, **_has((usage(signature=True, encipherment=True), True))
    ),
    _leaf("key usage not critical", True, **_has((usage(signature=True), False))),
    _leaf("keyCertSign", False, **_has((usage(signature=True, signs=True), True))),
    _leaf("for clients", True, **_has(_purposes(_CLIENT))),
    _leaf("for clients and servers", True, **_has(_purposes(_CLIENT, _SERVER))),
    _leaf("for servers only", False, **_has(_purposes(_SERVER))),
    _leaf("for code signing only", False, **_has(_purposes(ExtendedKeyUsageOID.CODE_SIGNING))),
    _leaf("for any purpose", False, **_has(_purposes(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE))),
    _leaf("no basic constraints", True, without=(x509.BasicConstraints,)),
    _leaf("a CA", False, **_limited(None)),
    _leaf("two URIs", False, **_has((uris(ID, ID + "2"), False))),
    _leaf("no URI", False, **_has((x509.SubjectAlternativeName([x509.DNSName("a.test")]), False))),
    _leaf("no names", False, without=(x509.SubjectAlternativeName,)),
    _leaf(
        "URI and DNS name",
        True,
        **_has((x509.SubjectAlternativeName([x509.DNSName("a.test"), *uris(ID)]), False)),
    ),
    _leaf(
        "URI and address",
        True,
        **_has((x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), *uris(ID)]), False)),
    ),
    _leaf("critical names", True, **_has((uris(ID), True))),
    _leaf("no subject, critical names", True, unnamed=True, **_has((uris(ID), True))),
    _leaf("no subject, names not critical", False, unnamed=True, **_has((uris(ID), False))),
    _leaf("another trust domain", False, **_has((uris(ID.replace(NAMES, "other.broker")), False))),
    _leaf("a URI of http", False, **_has((uris("http://test.broker/ns/demo/sa/x"), False))),
    _leaf("expired", False, begins=-9 * HOUR, lives=8 * HOUR),
    _leaf("not yet valid", False, begins=HOUR),
    _leaf("lives too long", False, lives=48 * HOUR),
    _leaf(
        "unknown critical extension", False, **_has((x509.UnrecognizedExtension(_PRIVATE, b"\x05\x00"), True))
    ),
    _leaf("unknown extension", True, **_has((x509.UnrecognizedExtension(_PRIVATE, b"\x05\x00"), False))),
    _leaf("no authority key identifier", False, without=(x509.AuthorityKeyIdentifier,)),
    _leaf("no subject key identifier", True, without=(x509.SubjectKeyIdentifier,)),
    _leaf(
        "another authority key identifier",
        False,
        **_has((x509.AuthorityKeyIdentifier(b"x" * 20, None, None), False)),
    ),
    Chain("altered signature", False, (LEAF, ROOT), altered=_altered),
    Chain(
        "signed with SHA-1", False, (LEAF, replace(ROOT, name="root of RSA", key="rsa2048")), altered=_sha1
    ),
    Chain("self-signed", False, (replace(LEAF, name="self-signed"),)),
)
_MIDDLES = (
    _middle("an ordinary intermediate", True),
    _middle("two intermediates", True, replace(MIDDLE, name="lower"), replace(MIDDLE, name="upper")),
    _middle("pathlen 0", True, **_limited(0)),
    _middle(
        "an intermediate under pathlen 0",
        False,
        replace(MIDDLE, name="under"),
        replace(MIDDLE, name="over", **_limited(0)),  # type: ignore[arg-type]
    ),
    _middle("intermediate without key usage", False, without=(x509.KeyUsage,)),
    _middle("intermediate without keyCertSign", False, **_has((usage(signature=True), True))),
    _middle("intermediate without basic constraints", False, without=(x509.BasicConstraints,)),
    _middle("intermediate that is no CA", False, **_has(_NO_CA)),
    _middle(
        "intermediate, constraints not critical",
        False,
        **_has((x509.BasicConstraints(ca=True, path_length=None), False)),
    ),
    _middle("expired intermediate", False, begins=-9 * HOUR, lives=8 * HOUR),
    _middle("intermediate for clients", True, **_has(_purposes(_CLIENT))),
    _middle("intermediate for servers only", False, **_has(_purposes(_SERVER))),
    _middle("intermediate of RSA-1024", False, key="rsa1024"),
    _middle("intermediate of RSA-2048", True, key="rsa2048"),
    _middle("intermediate of P-384", True, key="p384"),
    _middle("intermediate of P-521", True, key="p521"),
    _middle("intermediate of Ed25519", True, key="ed25519"),
    _middle("intermediate without subject key identifier", False, without=(x509.SubjectKeyIdentifier,)),
    _middle("intermediate for this domain", True, **_has(_names(permitted=[NAMES]))),
    _middle("intermediate for another domain", False, **_has(_names(permitted=["other.broker"]))),
    _middle("intermediate not for this domain", False, **_has(_names(excluded=[NAMES]))),
    Chain("intermediate not sent", False, (replace(LEAF, name="alone"), MIDDLE, ROOT), (0,)),
    Chain("root sent, too", True, (replace(LEAF, name="with root"), MIDDLE, ROOT), (0, 1, 2)),
    Chain("intermediates in another order", True, (
        replace(LEAF, name="disordered"), replace(MIDDLE, name="lower"), replace(MIDDLE, name="upper"), ROOT,
    ), (0, 2, 1)),
)  # fmt: skip
_ROOTS = (
    _root("root without key usage", False, without=(x509.KeyUsage,)),
    _root("root without basic constraints", False, without=(x509.BasicConstraints,)),
    _root(
        "root, constraints not critical",
        False,
        **_has((x509.BasicConstraints(ca=True, path_length=None), False)),
    ),
    _root("root without subject key identifier", False, without=(x509.SubjectKeyIdentifier,)),
    _root("root without keyCertSign", False, **_has((usage(signature=True), True))),
    _root("expired root", False, begins=-20 * HOUR, lives=8 * HOUR),
    _root("root of RSA-1024", False, key="rsa1024"),
    _root("root of RSA-2048", True, key="rsa2048"),
    _root("root of P-384", True, key="p384"),
    _root("root of P-521", True, key="p521"),
    _root("root of Ed25519", True, key="ed25519"),
    _root("root with pathlen 0", True, **_limited(0)),
)
_TRUSTED = replace(MIDDLE, name="trusted middle")
_UNTRUSTED = replace(ROOT, name="a root not trusted")
_ANCHORS = (
    Chain(
        "a trusted intermediate", True, (replace(LEAF, name="under trusted"), _TRUSTED, _UNTRUSTED), trusted=1
    ),
    Chain(
        "a trusted intermediate without key usage",
        False,
        (
            replace(LEAF, name="under bad"),
            replace(_TRUSTED, name="bad middle", without=(x509.KeyUsage,)),
            _UNTRUSTED,
        ),
        trusted=1,
    ),
)
CHAINS: tuple[Chain, ...] = (*_LEAVES, *_MIDDLES, *_ROOTS, *_ANCHORS)


def trusted() -> bytes:
    """The roots of all cases, as one bundle."""
    return b"".join(dict.fromkeys(chain.root() for chain in CHAINS))
