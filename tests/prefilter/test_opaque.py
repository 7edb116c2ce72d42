"""What is no text proves it with a declared type and its bytes, never with a name."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.prefilter.opaque import opaque_members, payloads, proves, sealed

BEGINNINGS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/gif": b"GIF89a",
    "image/webp": b"RIFF\x10\0\0\0WEBPVP8 ",
    "image/heic": b"\0\0\0\x18ftypheic",
    "audio/wav": b"RIFF\x10\0\0\0WAVEfmt ",
    "audio/mpeg": b"ID3\x04\0",
    "mp3": b"\xff\xfb\x90\x00",
    "audio/flac": b"fLaC",
    "audio/ogg": b"OggS\0",
    "application/pdf": b"%PDF-1.7\n",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": b"PK\x03\x04",
}
PNG = b64encode(BEGINNINGS["image/png"] + bytes(range(40))).decode()
KEY = "sk-proj-" + "aB3d" * 12


@given(st.sampled_from(sorted(BEGINNINGS)), st.binary(min_size=12, max_size=200))
def test_bytes_that_begin_as_their_type_prove_it(declared: str, rest: bytes) -> None:
    encoded = b64encode(BEGINNINGS[declared] + rest).decode()
    assert proves(encoded, declared)
    if "/" in declared:
        text = f"![x](data:{declared};base64,{encoded})"
        [payload] = payloads(text)
        assert (text[payload.start : payload.end], payload.declared) == (encoded, declared)


@pytest.mark.parametrize(
    "text",
    [
        f"data:image/png;base64,{KEY}",
        f"data:image/png;base64,{b64encode(KEY.encode()).decode()}",
        f"data:image/gif;base64,{PNG}",  # another type than declared
        f"data:text/plain;base64,{PNG}",  # no type with a beginning of its own
        f"data:image/svg+xml;base64,{b64encode(b'<svg>' + KEY.encode()).decode()}",
        f"data:image/png;base64,{PNG[:-1]}",  # does not decode
        f"data:image/png;base64,{PNG[:12]}",  # too short to prove anything
        f"data:image/png;base64,{PNG}-proj-{'aB3d' * 12}",  # goes on as something else
        f"image/png {PNG}",
    ],
)
def test_a_secret_cannot_be_smuggled_as_an_image(text: str) -> None:
    assert list(payloads(text)) == []


@pytest.mark.parametrize("key", ["AKIAIOSFODNN7EXAMPLE", "AIza" + "aB3d" * 8 + "aB3"])
def test_base64_that_spells_a_key_is_not_opaque(key: str) -> None:
    pad = "A" * (-(len(key) + 2) % 4)
    assert not proves(f"iVBORw0KGgoAAAAN/{key}/{pad}", "png")
    assert proves(f"iVBORw0KGgoAAAAN/{key[:-4]}/AAAA{pad}", "png")


def fernet(size: int) -> str:
    return urlsafe_b64encode(b"\x80\0\0\0\0" + bytes(range(100)) * (size // 100 + 1)).decode()[: size * 4]


def test_encrypted_content_is_opaque_only_as_a_fernet_token() -> None:
    assert sealed(fernet(60))
    assert not sealed(fernet(10))
    assert not sealed(KEY)
    assert not sealed("Z" + fernet(60)[1:])
    assert not sealed(fernet(60) + "sk-proj-")


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"data": b64encode(BEGINNINGS["audio/wav"] + bytes(20)).decode(), "format": "wav"}, {"data"}),
        ({"data": b64encode(BEGINNINGS["audio/wav"] + bytes(20)).decode(), "format": "mp3"}, set()),
        ({"data": b64encode(BEGINNINGS["audio/wav"] + bytes(20)).decode(), "transcript": "x"}, {"data"}),
        ({"type": "image_generation_call", "result": PNG}, {"result"}),
        ({"type": "image_generation_call", "result": PNG, "output_format": "jpeg"}, set()),
        ({"type": "image_generation_call", "result": KEY}, set()),
        ({"partial_image_b64": PNG, "output_format": "png"}, {"partial_image_b64"}),
        ({"type": "image", "data": PNG, "mimeType": "image/png"}, {"data"}),
        (
            {"file_data": b64encode(b"%PDF-1.4" + bytes(9)).decode(), "filename": "a.b.PDF"},
            {"file_data"},
        ),
        ({"file_data": b64encode(b"%PDF-1.4" + bytes(9)).decode()}, set()),
        ({"type": "reasoning", "encrypted_content": fernet(60)}, {"encrypted_content"}),
        ({"type": "reasoning", "encrypted_content": KEY}, set()),
        ({"type": "note", "text": PNG}, set()),
    ],
)
def test_a_name_alone_makes_nothing_opaque(members: dict[str, object], expected: set[str]) -> None:
    assert opaque_members(members) == expected
