"""Inputs made to be slow, of any size: what a caller could send to keep everybody else waiting."""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable

Make = Callable[[int], bytes]
_CHAT = b'{"model":"m","messages":[{"role":"user","content":"a"}],'
_KEYS = ["".join(letters) for letters in itertools.product(string.ascii_uppercase + string.digits, repeat=3)]
PIECES = (
    "eyJhbGciOiJ.", "eyJ", "eyJ" * 600 + ".aa ", "ewk" + "A" * 500 + ".", "sk-", "sk-aa-", "sk-proj-a",
    "sess-",
    "a.", "a@a.", "a" * 63 + "@", "a@b.cc ", "1", "1 ", "2 ", "2-", "22 ", "41", "4111111111111111 ",
    "2" * 19 + "A", "DE8", "DE89 ", "DE89", "AB12", "DE89 AB12 ", "123-45-", "123-45-6789-", "+1 ", "+1 2 3",
    "(2", "212 212 212 ", "AKIA", "AKIA0000000000000000 ", "secret key", " secret_key= ", "ghp_", "ya29.",
    "xoxb-", "hooks.slack.com/", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "ignore ",
    "ignore all previous ",
    "do anything ", "\n", "\\", "\\\\u0065", '"', "é", "ｓ", "\u200b", "a\u200b", "2\u200b", "eyJ\u200b",
    "e\u0301",
    "data:image/png;base64,AAAA", "{\"a\":[", "[[", "%41", "&a=", "*", "a*",
)  # fmt: skip


def text(piece: str) -> Make:
    """A chat whose one text repeats `piece`."""
    head, tail = b'{"model":"m","messages":[{"role":"user","content":"', b'"}]}'
    spelled = piece.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").encode()
    return lambda size: head + spelled * ((size - len(head) - len(tail)) // len(spelled)) + tail


def _array(item: bytes) -> Make:
    head, tail = _CHAT + b'"x":[', b"1]}"
    return lambda size: head + (item + b",") * ((size - len(head) - len(tail)) // (len(item) + 1)) + tail


def _keys(head: bytes, tail: bytes, value: bytes) -> Make:
    members = [b'"%s":%b' % (key.encode(), value) for key in _KEYS]
    return lambda size: head + b",".join(members[: (size - len(head) - len(tail)) // (7 + len(value))]) + tail


def _input(item: bytes) -> Make:
    head = b'{"model":"m","input":['
    return lambda size: head + (item + b",") * ((size - len(head) - 8) // (len(item) + 1)) + item + b"]}"


def makes() -> dict[str, Make]:
    """What makes bodies of at most so many bytes, by name."""
    made: dict[str, Make] = {repr(piece[:20]): text(piece) for piece in PIECES}
    items = (
        b"[]",
        b"{}",
        b'""',
        b"1",
        b"1e9",
        b"null",
        b"999999999999",
        b'"a\\\\u0062"',
        b"[" * 60 + b"]" * 60,
    )
    made.update({f"array of {item[:12]!r}": _array(item) for item in items})
    made["keys"] = _keys(_CHAT, b"}", b"1")
    made["keys that are addresses"] = lambda size: _keys(_CHAT, b"}", b"1")(size * 2 // 3).replace(
        b'":1', b'@a.cc":1'
    )
    made["keys within"] = _keys(_CHAT + b'"x":{', b"}}", b"1")
    made.update({f"input of {item!r}": _input(item) for item in (b"1", b"[1]", b'"a"', b"100000")})
    made["messages"] = lambda size: (
        b'{"model":"m","messages":[' + b'{"role":"user"},' * ((size - 60) // 16) + b'{"role":"user"}]}'
    )
    made["huge number"] = lambda size: _CHAT + b'"x":' + b"9" * (size - 80) + b"}"
    made["unclosed"] = lambda size: b'{"a":"' + b'\\"' * ((size - 8) // 2)
    return made
