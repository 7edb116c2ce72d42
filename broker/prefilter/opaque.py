"""Strings that are no text: images, audio, files and ciphertext, in base64, that prove what they are.

Knows: what proves it: a type that is declared, bytes that decode, and the first bytes that this type always
has. Never a name alone, so nothing is hidden by calling it an image. Must not know: rules, documents' order.

What is opaque is not searched for text, never changed, and counted as what it is.
"""

from __future__ import annotations

import re
from binascii import Error, a2b_base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Signature = re.Pattern[bytes]


def _starts(pattern: bytes) -> Signature:
    return re.compile(pattern, re.DOTALL)


_ISO_MEDIA = _starts(rb"\0\0\0.ftyp")  # ISO/IEC 14496-12: mp4, m4a, mov, heic, avif
_OGG, _EBML, _ZIP = _starts(rb"OggS\0"), _starts(rb"\x1aE\xdf\xa3"), _starts(rb"PK\x03\x04")
_OLE = _starts(rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_WAV = _starts(rb"(?:RIFF|RF64)....WAVE")
_MP3 = _starts(rb"ID3[\x02-\x04]|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][^\xf0-\xff]")  # ISO/IEC 11172-3
_AAC = _starts(rb"\xff[\xf0\xf1\xf8\xf9]|ADIF")  # ISO/IEC 13818-7
_JPEG, _TIFF = _starts(rb"\xff\xd8\xff"), _starts(rb"II\*\0|MM\0\*")
_SIGNATURES: Mapping[str, Signature] = {
    "png": _starts(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": _JPEG, "jpg": _JPEG, "pjpeg": _JPEG,
    "gif": _starts(rb"GIF8[79]a"),
    "webp": _starts(rb"RIFF....WEBP"),
    "bmp": _starts(rb"BM....\0\0\0\0"),
    "tiff": _TIFF, "tif": _TIFF,
    "avif": _ISO_MEDIA, "heic": _ISO_MEDIA, "heif": _ISO_MEDIA,
    "wav": _WAV, "wave": _WAV, "vnd.wave": _WAV,
    "mp3": _MP3, "mpeg": _MP3, "mpga": _MP3,
    "aac": _AAC, "flac": _starts(b"fLaC"), "ogg": _OGG, "oga": _OGG, "opus": _OGG,
    "mp4": _ISO_MEDIA, "m4a": _ISO_MEDIA, "quicktime": _ISO_MEDIA, "mov": _ISO_MEDIA,
    "webm": _EBML, "matroska": _EBML,
    "pdf": _starts(rb"%PDF-[0-9]\.[0-9]"),
    "zip": _ZIP, "docx": _ZIP, "xlsx": _ZIP, "pptx": _ZIP,
    "doc": _OLE, "xls": _OLE, "ppt": _OLE, "msword": _OLE, "vnd.ms-excel": _OLE, "vnd.ms-powerpoint": _OLE,
}  # fmt: skip
_OFFICE = "vnd.openxmlformats-officedocument."
_HEAD = 32  # characters of base64 that hold every signature
_SHORTEST = 16  # characters: what is shorter proves nothing

_DATA_URL = re.compile(
    r"data:([a-z]{1,20}/[A-Za-z0-9.+-]{1,80})(?:;[A-Za-z0-9=._-]{1,80}){0,4};base64,([A-Za-z0-9+/]++={0,2}+)"
    r"(?![A-Za-z0-9+/=_.%-])"
)
# The keys that standard base64 can spell: bytes do so once in 10^11 characters, people who hide them at once.
_SPELT = re.compile(r"(?:A[KSB]IA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])|AIza[A-Za-z0-9]{35}(?![A-Za-z0-9])")
_SPELT_PREFIXES = ("AKIA", "ASIA", "ABIA", "ACCA", "AIza")
_SEALED_KEYS = re.compile(r"sk-(?:proj|svcacct|service|admin)-|github_pat_|xox[abp]-[0-9]")
_IMAGE_FORMATS = ("png", "jpeg", "webp")  # what OpenAI's image tool makes
_AUDIO_FORMATS = ("wav", "aac", "mp3", "flac", "opus")
_FERNET_BYTES = 73  # version, time, vector, one block, tag (Fernet specification)
_TO_STANDARD = str.maketrans("-_", "+/")


@dataclass(frozen=True, slots=True)
class Payload:
    """`text[start:end]` is base64 that proves to be of the media type `declared`."""

    start: int
    end: int
    declared: str


def payloads(text: str) -> Iterator[Payload]:
    """The payloads of the data URLs (RFC 2397) in `text` that prove their type, in order.

    >>> [one.declared for one in payloads("see data:image/gif;base64,R0lGODlhAQABAAAAACw= there")]
    ['image/gif']
    >>> list(payloads("data:image/gif;base64,QUtJQUlPU0ZPRE5ON0VYQU1QTEU="))
    []
    """
    if ";base64," not in text:
        return
    for found in _DATA_URL.finditer(text):
        if proves(found[2], found[1]):
            yield Payload(found.start(2), found.end(2), found[1])


def proves(encoded: str, declared: str) -> bool:
    """Whether `encoded` is base64 (RFC 4648 section 4) of bytes that begin as the type `declared` always
    does: a media type, a format (`wav`) or the end of a file's name. A type without such bytes (text, JSON,
    SVG, raw PCM) proves nothing.

    >>> proves("iVBORw0KGgoAAAANSUhEUgAA", "image/png"), proves("iVBORw0KGgoAAAANSUhEUgAA", "gif")
    (True, False)
    """
    signature = _signature(declared)
    if signature is None or len(encoded) < _SHORTEST:
        return False
    try:
        if signature.match(a2b_base64(encoded[:_HEAD], strict_mode=True)) is None:
            return False
        a2b_base64(encoded, strict_mode=True)
    except (Error, ValueError):
        return False
    return not _spells_a_key(encoded)


def sealed(value: str) -> bool:
    """Whether `value` is a Fernet token, as OpenAI's `encrypted_content` is: base64url of version 0x80, a
    time, a vector, ciphertext and a tag.
    """
    try:
        token = a2b_base64(value.translate(_TO_STANDARD), strict_mode=True)
    except (Error, ValueError):
        return False
    fernet = len(token) >= _FERNET_BYTES and token[:4] == b"\x80\0\0\0" and token[4] <= 1
    return fernet and not _spells_a_key(value) and _SEALED_KEYS.search(value) is None


def opaque_members(members: Mapping[str, object]) -> frozenset[str]:
    """The names of those strings of a JSON object that are opaque by themselves, their type declared beside
    them: `input_audio.data`, a finished image, `encrypted_content` …

    >>> sorted(opaque_members({"format": "mp3", "data": "SUQzBAAAAAAAI1RTU0UA", "note": "SUQzBAAAAAAAI1RT"}))
    ['data']
    """
    if HOLDERS.isdisjoint(members):
        return frozenset()
    return frozenset(
        name
        for name in HOLDERS
        if isinstance(value := members.get(name), str) and value and _is_opaque(name, value, members)
    )


HOLDERS = frozenset({"data", "file_data", "result", "b64_json", "partial_image_b64", "encrypted_content"})
"""The members that can be opaque by themselves."""

_DECLARING = ("format", "media_type", "mime_type", "mimeType")


def _is_opaque(name: str, value: str, members: Mapping[str, object]) -> bool:
    if name == "encrypted_content":
        return sealed(value)
    if name == "data":
        spoken = _AUDIO_FORMATS if "transcript" in members else ()  # a chat's reply: its request named one
        declared = [*(members.get(key) for key in _DECLARING), *spoken]
    elif name == "file_data":
        declared = [str(members.get("filename")).rpartition(".")[2]]
    else:
        declared = [members.get("output_format")] if members.get("output_format") else [*_IMAGE_FORMATS]
    return any(isinstance(one, str) and proves(value, one) for one in declared)


def _signature(declared: str) -> Signature | None:
    word = declared.rpartition("/")[2].lower().removeprefix("x-")
    return _ZIP if word.startswith(_OFFICE) else _SIGNATURES.get(word)


def _spells_a_key(encoded: str) -> bool:
    if not any(prefix in encoded for prefix in _SPELT_PREFIXES):
        return False
    return any(not encoded[found.start() - 1 : found.start()].isalnum() for found in _SPELT.finditer(encoded))
