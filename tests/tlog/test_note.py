"""Notes and checkpoints: the specification's own example, strictness, and forgeries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.tlog import base64s
from broker.tlog.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint, sign_checkpoint
from broker.tlog.malformed import MalformedError
from broker.tlog.note import NoteKey, open_note
from tests.tlog.samples import note_signer

SPEC_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
SPEC_NOTE = "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"  # noqa: E501 - as the specification has it
HEAD = Checkpoint("log.example/test", 5, bytes(range(32)))
NOTE = sign_checkpoint(HEAD, note_signer())
KEY = note_signer().key
texts = st.text(st.characters(codec="utf-8", min_codepoint=0x20)).map(
    lambda text: text.replace("\x85", "") + "\n"
)


def test_the_example_of_the_specification_verifies() -> None:
    key = NoteKey.parse(SPEC_KEY)
    assert str(key) == SPEC_KEY
    assert open_note(SPEC_NOTE.encode(), key) == "This is an example message.\n"


@given(st.lists(texts, min_size=1).map("".join))
def test_what_was_signed_is_what_is_opened(text: str) -> None:
    assert open_note(note_signer().sign(text), KEY) == text


@given(st.integers(0, len(NOTE) - 1), st.integers(1, 255))
def test_a_note_changed_in_any_byte_is_refused(place: int, change: int) -> None:
    forged = bytearray(NOTE)
    forged[place] ^= change
    with pytest.raises(MalformedError):
        open_checkpoint(bytes(forged), KEY)


def test_a_note_signed_by_another_key_of_the_same_name_is_refused() -> None:
    with pytest.raises(MalformedError, match="did not sign"):
        open_checkpoint(sign_checkpoint(HEAD, note_signer(101)), KEY)


def test_signatures_of_others_are_ignored_and_a_forged_one_of_ours_is_not() -> None:
    other = sign_checkpoint(HEAD, note_signer(101)).split(b"\n\n")[1]
    assert open_checkpoint(NOTE + other, KEY) == HEAD
    ours = NOTE.split(b"\n\n")[1].decode().split()[2]
    forged = f"— {KEY.name} {base64s.to_std(base64s.from_std(ours)[:4] + bytes(64))}\n".encode()
    with pytest.raises(MalformedError, match="forged"):
        open_checkpoint(NOTE + forged, KEY)


@pytest.mark.parametrize(
    "note",
    [
        *(b"", b"\n\n", NOTE[:-1], NOTE + b"\n", NOTE + b"x\n", NOTE.replace("— ".encode(), b"- ")),
        *(
            NOTE.replace(b"\n", b"\r\n"),
            b"\x00" + NOTE,
            NOTE.replace(b"test ", b"te st "),
            NOTE + b"\xff",
            NOTE * 9000,
        ),
        *(NOTE.split(b"\n\n")[0] + b"\n\n", NOTE + NOTE.split(b"\n\n")[1] * 100),
    ],
    ids=lambda note: repr(note[:20]),
)
def test_a_malformed_note_is_refused(note: bytes) -> None:
    with pytest.raises(MalformedError):
        open_note(note, KEY)


@pytest.mark.parametrize(
    "vkey",
    [
        *(
            "",
            "a+b",
            SPEC_KEY + "=",
            SPEC_KEY.replace("530d903a", "530d903b"),
            SPEC_KEY.replace("530d903a", "530D903A"),
        ),
        *(
            SPEC_KEY.replace("foo", "bar"),
            SPEC_KEY.replace("+Ae", "+Be"),
            SPEC_KEY + "\n",
            "a b" + SPEC_KEY[11:],
        ),
    ],
)
def test_a_malformed_vkey_is_refused(vkey: str) -> None:
    with pytest.raises(MalformedError):
        NoteKey.parse(vkey)


@given(st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_parses_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint("log.example/test", size, root)
    assert parse_checkpoint(str(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        str(HEAD) + "extension\n",
        str(HEAD)[:-1],
        str(HEAD).replace("\n5\n", "\n05\n"),
        str(HEAD).replace("\n5\n", "\n+5\n"),
        str(HEAD).replace("\n5\n", "\n-5\n"),
        str(HEAD).replace("\n5\n", "\n5 \n"),
        str(HEAD).replace("\n5\n", "\n٥\n"),
        str(HEAD).replace("\n5\n", f"\n{2**63}\n"),
        str(HEAD).replace("\n5\n", "\n" + "9" * 9999 + "\n"),
        str(HEAD).replace("AAEC", "AAEC AAEC"),
        "\n5\n" + str(HEAD).split("\n")[2] + "\n",
        "log.example/test\n5\nAAAA\n",
    ],
    ids=lambda text: repr(text[:40]),
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_checkpoint(text)


def test_a_checkpoint_of_another_origin_is_refused() -> None:
    with pytest.raises(MalformedError, match="another log"):
        open_checkpoint(sign_checkpoint(Checkpoint("elsewhere", 5, bytes(32)), note_signer()), KEY)
