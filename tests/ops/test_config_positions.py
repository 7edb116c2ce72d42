"""The line of each key of a TOML text, whatever way TOML has to write it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config.positions import positions
from broker.config.problem import Steps
from tests.docs.test_tables import example_configuration

EVERY_WAY = '''\
# a comment [no.table]
top = 1 # top2 = 2
dotted.inner.key = 2
"a.quoted \\"key\\"".'and # another' = 3

[tls] # a header
text = """
no = "key"
[no.table]
""""
after = \'\'\'
also = "none"\'\'\'
list = [
  "]", # [
  { inline = 1, more.of = [1,
    2] },
  1979-05-27 07:32:00,
]
inline = { a = { b = "}" }, "c d" = [] }
[ spaced . "out" ]
key=true
[[pools.openai.members]]
key = "a"
[pools.openai.members.sub]
x = 1
[[pools.openai.members]]
[[pools.openai.members.inner]]
y = 1
[[pools.openai.members.inner]]
y = 2
[later.deep]
z = 1
[later]
own = 0
'''
LINES: dict[Steps, int] = {
    ("top",): 2,
    ("dotted",): 3,
    ("dotted", "inner", "key"): 3,
    ('a.quoted "key"', "and # another"): 4,
    ("tls",): 6,
    ("tls", "text"): 7,
    ("tls", "after"): 11,
    ("tls", "list"): 13,
    ("tls", "list", 0): 14,
    ("tls", "list", 1, "inline"): 15,
    ("tls", "list", 1, "more", "of"): 15,
    ("tls", "list", 1, "more", "of", 1): 16,
    ("tls", "list", 2): 17,
    ("tls", "inline", "a", "b"): 19,
    ("tls", "inline", "c d"): 19,
    ("spaced", "out"): 20,
    ("spaced", "out", "key"): 21,
    ("pools",): 22,
    ("pools", "openai", "members", 0): 22,
    ("pools", "openai", "members", 0, "key"): 23,
    ("pools", "openai", "members", 0, "sub", "x"): 25,
    ("pools", "openai", "members", 1): 26,
    ("pools", "openai", "members", 1, "inner", 0): 27,
    ("pools", "openai", "members", 1, "inner", 0, "y"): 28,
    ("pools", "openai", "members", 1, "inner", 1, "y"): 30,
    ("later", "deep", "z"): 32,
    ("later",): 33,
    ("later", "own"): 34,
}


def places(value: Any, at: Steps = ()) -> Iterator[Steps]:
    """Each key and element of what tomllib reads."""
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from places(each, (*at, key))


@pytest.mark.parametrize("place", LINES)
def test_each_way_to_write_a_key_has_its_line(place: Steps) -> None:
    assert positions(EVERY_WAY)[place] == LINES[place]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("text", [EVERY_WAY, example_configuration()])
def test_every_key_is_found_and_no_other(text: str, ending: str) -> None:
    text = text.replace("\n", ending)
    assert set(positions(text)) == set(places(tomllib.loads(text)))


def test_a_text_without_a_last_newline_is_read_to_its_end() -> None:
    assert positions("a = 1\nb = 2") == {("a",): 1, ("b",): 2}


_TEXTS = st.text(alphabet="a\"'#[]{}=,. \\\n\té", max_size=12)


def _written(text: str, way: str) -> str:
    """The text as a TOML string of that way, where it can be one."""
    basic = "".join(f"\\u{ord(c):04x}" if c in '"\\\n\t' else c for c in text)
    if way == "basic" or "'" in text or "\n" in text:
        return f'"{basic}"'
    if way == "multi":
        return '"""\n' + text.replace("\\", "\\\\").replace('"', '\\"') + '"""'
    return f"'{text}'"


@given(
    st.lists(
        st.tuples(_TEXTS, _TEXTS, st.sampled_from(["basic", "literal", "multi"])), unique_by=lambda x: x[0]
    )
)
def test_whatever_keys_and_texts_hold_the_lines_are_right(pairs: list[tuple[str, str, str]]) -> None:
    lines, text = {}, ""
    for key, value, way in pairs:
        lines[key] = text.count("\n") + 1
        one = _written(value, way)
        text += f"{_written(key, 'basic')} = [ {one},\n {{ in = {one} }} ] # x\n"
    found = positions(text)
    assert set(found) == set(places(tomllib.loads(text)))
    assert {at[0]: line for at, line in found.items() if len(at) == 1} == lines
