"""The public keys of other brokers' tokens: files that an operator puts into a folder.

Knows: JWK sets (RFC 7517) as brokers publish them, PEM, certifications. Must not know: tokens, who signs one.
A file that cannot be read whole gives no key: better a token is refused than one believed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG

import structlog

from broker import strictjson
from broker.ports import Clock
from broker.tlog import base64s
from broker.tlog.certification import KeyUse, key_id, parse_certification
from broker.tlog.certifier import TrustedCertifier, parse_certifier
from broker.tlog.malformed import MalformedError
from broker.tlog.note import KEY_BYTES

POLL_SECONDS = 1.0
_MAX_BYTES = 64 * 1024
_SUFFIXES = {".json", ".pem"}
_FIXED = {"kty": "OKP", "crv": "Ed25519", "use": "sig"}


@dataclass(frozen=True, slots=True)
class TokenKeyFiles:
    """Of a folder: a `*.json` is what another broker answers at `/.well-known/jwks.json`, a `*.pem` holds
    public keys. With `certified_by`, the certifier's public keys (PEM), a key counts only with its
    certification, so that nobody can add one who can write here.
    """

    folder: Path
    certified_by: Path | None = None

    def stamp(self) -> object:
        """Changes whenever a file is written, replaced or removed. Raises OSError without a folder."""
        paths = [*self._paths(), *filter(None, [self.certified_by])]
        return tuple((path, _facts(path)) for path in paths)

    def read(self, refused: Callable[[Path, str], None]) -> frozenset[bytes]:
        """The keys, 32 bytes each; `refused` gets each file that is not used, and why. Blocking."""
        keys: set[bytes] = set()
        try:
            certifier = parse_certifier(_content(self.certified_by)) if self.certified_by else None
            paths = self._paths()
        except (OSError, MalformedError) as error:
            refused(self.certified_by or self.folder, str(error))
            return frozenset()
        for path in paths:
            try:
                keys |= set(_keys(path, certifier))
            except (OSError, MalformedError) as error:
                refused(path, str(error))
        return frozenset(keys)

    def _paths(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.suffix in _SUFFIXES)


class FollowedTokenKeys:
    """`trust` gets the keys at the start, and again within two seconds of a change. Use: `open`, `aclose`."""

    def __init__(self, files: TokenKeyFiles, clock: Clock, trust: Callable[[frozenset[bytes]], None]) -> None:
        self._files = files
        self._clock = clock
        self._trust = trust
        self._seen: object = None
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Takes what is there. Raises OSError where the folder cannot be read."""
        await self._look()
        self._following = asyncio.create_task(self._follow())

    async def aclose(self) -> None:
        """Follows no more."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})

    async def _follow(self) -> None:
        while True:
            await self._clock.sleep(POLL_SECONDS)
            try:
                await self._look()
            except OSError as error:  # the folder is gone: so is what was trusted because of it
                if self._seen is not None:
                    _tell(self._files.folder, str(error))
                    self._seen = None
                    self._trust(frozenset())

    async def _look(self) -> None:
        stamp = await asyncio.to_thread(self._files.stamp)
        if stamp != self._seen:
            self._trust(await asyncio.to_thread(self._files.read, _tell))
            self._seen = stamp


def _keys(path: Path, certifier: TrustedCertifier | None) -> Iterator[bytes]:
    if path.suffix == ".json":
        yield from _of_set(_content(path), certifier)
    elif certifier is None:
        yield from parse_certifier(_content(path)).public_keys
    else:
        raise MalformedError("a key without a certification; publish the broker's JWK set instead")


def _of_set(data: bytes, certifier: TrustedCertifier | None) -> Iterator[bytes]:
    try:
        document = strictjson.parse(data)
    except strictjson.StrictJsonError as error:
        raise MalformedError("it is not JSON") from error
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not keys:
        raise MalformedError("it is no JWK set (RFC 7517, 5)")
    for jwk in keys:
        yield _key(jwk, certifier)


def _key(jwk: object, certifier: TrustedCertifier | None) -> bytes:
    if not isinstance(jwk, Mapping) or {**jwk, **_FIXED} != jwk:
        raise MalformedError("it holds a key that is not Ed25519 for signatures")
    if "d" in jwk:
        raise MalformedError("it holds a private key: remove it from here, and replace that key")
    x = jwk.get("x")
    key = base64s.from_url(x) if isinstance(x, str) else b""
    if len(key) != KEY_BYTES or jwk.get("kid") != key_id(KeyUse.TOKEN, key, ""):
        raise MalformedError("it holds a key whose `kid` is not its thumbprint (RFC 7638)")
    if certifier is not None:
        _check(key, jwk.get("broker_certification"), certifier)
    return key


def _check(key: bytes, certification: object, certifier: TrustedCertifier) -> None:
    if not isinstance(certification, str):
        raise MalformedError("it holds a key without `broker_certification`")
    said = parse_certification(certification)
    statement = said.statement
    if (statement.use, statement.public_key) != (KeyUse.TOKEN, key):
        raise MalformedError("it holds the certification of another key, or of another use")
    if not certifier.signed(statement.message(), said.signature):
        raise MalformedError("it holds a certification that identity.certified_by has not signed")


def _facts(path: Path) -> tuple[int, ...]:
    """Nothing of a file that is just being replaced, or a link to nowhere: the others count all the same."""
    try:
        facts = path.stat()
    except OSError:
        return ()
    return facts.st_ctime_ns, facts.st_mtime_ns, facts.st_size, facts.st_ino


def _content(path: Path) -> bytes:
    with open(path, "rb", opener=_at_once) as file:
        if not S_ISREG(os.fstat(file.fileno()).st_mode):
            raise MalformedError("it is no file")
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise MalformedError(f"it is longer than {_MAX_BYTES} bytes")
    return data


def _at_once(path: str, flags: int) -> int:
    """Opens what may be a pipe, too: to wait for who writes it would keep a withdrawn key for ever."""
    return os.open(path, flags | os.O_NONBLOCK)


def _tell(path: Path, why: str) -> None:
    structlog.get_logger().warning(
        "token_keys_refused",
        file=str(path),
        why=why,
        remedy="Put there what the other broker answers at /.well-known/jwks.json.",
    )
