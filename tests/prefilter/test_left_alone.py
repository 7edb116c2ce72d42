"""What redaction must not change: numbers, identifiers, images and ciphertext that only look like a finding,
the JSON type of what it covers, and JSON within strings.
"""

from __future__ import annotations

import json
import string
import uuid
from base64 import b64encode, urlsafe_b64encode
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.prefilter import checks
from broker.prefilter.redact import Vocabulary, redact
from broker.prefilter.texts import texts
from tests.inspectors import shared_inspector
from tests.prefilter.samples import MATCHES
from tests.prefilter.test_opaque import BEGINNINGS, fernet

CARD, IBAN, EMAIL = 4111111111111111, "DE89370400440532013000", "ann@example.org"
MARK = "[REDACTED:pii.payment_card]"
LETTERS = Vocabulary(lambda ids: "".join(map(chr, ids)), lambda text: list(map(ord, text)))


def redacted(document: dict[str, object]) -> dict[str, object]:
    return redact(document, shared_inspector().inspect(texts(document, LETTERS.decode)), LETTERS)


def in_text(value: str) -> str:
    result = redacted({"input": value})["input"]
    assert isinstance(result, str)
    return result


_words = st.text(string.ascii_lowercase, min_size=2, max_size=9)
_group = st.one_of(
    st.integers(0, 99_999_999).map(str), _words, st.text("0123456789abcdef", min_size=2, max_size=12)
)
_identifier = st.builds(str.join, st.sampled_from("-_./"), st.lists(_group, min_size=2, max_size=9))
_prefix = st.sampled_from(["", "sk-", "sk-proj-", "sess-", "xapp-", "github_pat_", "ord-", "task_", "ghp_"])
_name = st.builds(
    lambda prefix, joint, parts: prefix + joint.join(parts),
    _prefix,
    st.sampled_from("-_"),
    st.lists(_words, min_size=2, max_size=7),
)
_base64 = st.binary(min_size=16, max_size=400)
_media = st.builds(
    lambda kind, rest: f"data:{kind};base64,{b64encode(BEGINNINGS[kind] + rest).decode()}",
    st.sampled_from([kind for kind in BEGINNINGS if "/" in kind]),
    _base64,
)


@given(st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not value.is_integer()))
@example(0.5855618635076387)
@example(-58556186350763.87)
def test_a_floats_fraction_is_no_payment_card(value: float) -> None:
    for text in (f"value {value} end", f"[{value}, {value!r}]", f"{value:f}", f"{value}."):
        assert in_text(text) == text
    comma = f"{value}".replace(".", ",")
    sentences = (f"Wert {comma}", f"Es sind {comma}\n", f"x = {comma}\n")
    for text in (f"Wert {comma} von", f"Es sind {comma}.", f"um {comma} % mehr", f"{comma}%", *sentences):
        assert in_text(text) == text
    assert redacted({"x": value}) == {"x": value}


@given(st.uuids())
@example(uuid.UUID("ae97ba94-d0ed-482f-8f6d-05584ef8aa38"))
@example(uuid.UUID("be971234-1234-4321-8123-412341234123"))
def test_a_uuid_is_left_alone(value: uuid.UUID) -> None:
    for text in (
        f"order {value} is late",
        str(value).upper(),
        f"/v1/{value}",
        value.hex,
        f"urn:uuid:{value}",
    ):
        assert in_text(text) == text


@given(st.binary(min_size=8, max_size=64), st.sampled_from([8, 12, 16, 20, 28, 32, 48, 64]))
def test_a_digest_is_left_alone(seed: bytes, size: int) -> None:
    digest = (seed * 8)[:size].hex()
    for text in (digest, f"sha {digest.upper()}.", f"etag-{digest}", ":".join([digest[:2]] * size)):
        assert in_text(text) == text


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2035, 1, 1)))
@example(datetime(1990, 6, 18, 8, 1, 1, 1))  # 645696061000000896: by its check digit, a card of 18 digits
@example(datetime(2024, 11, 30, 17, 45, 7))  # 30112024174507: a Diners card
def test_a_time_is_left_alone(value: datetime) -> None:
    stamp = value.timestamp()
    for text in (
        value.isoformat(),
        f"{value:%Y%m%d%H%M%S%f}",
        f"{value:%d%m%Y%H%M%S}",
        f"{value:%d%m%Y%H%M%S%f}",
        f"{value:%Y%m%d%H%M%S}",
        f"{value:%Y%m%d%H%M%S%f}"[:17],
        f"{value:%Y-%m-%d %H:%M:%S.%f}",
        f"{int(stamp * 1e6)}",
        f"{int(stamp * 1e9)}",
        f"at {stamp}",
        f"{value:%d.%m.%Y %H:%M}",
    ):
        assert in_text(text) == text


_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_YEAR = 31_556_952
# before and after these years, a time in one piece may be the number of a card that is issued
_YEARS = {"s": (1970, 2101), "ms": (1970, 2096), "us": (1983, 2040), "ns": (1971, 2065)}


@pytest.mark.parametrize("unit", _UNITS)
def test_no_time_of_these_years_can_be_a_card(unit: str) -> None:
    """All numbers of each issuer, read as times: a row that makes a sibling of that fault is found."""
    since, until = _YEARS[unit]
    for (first, last), lengths, _ in checks.ISSUERS:
        for length in lengths:
            second = 10 ** (length - len(first)) / _UNITS[unit]
            begins, ends = (each * second / _YEAR + 1970 for each in (int(first), int(last) + 1))
            assert ends <= since or begins >= until, f"{first}-{last}: {begins:.2f} to {ends:.2f}"


@st.composite
def _stamps(draw: st.DrawFn) -> int:
    unit = draw(st.sampled_from(sorted(_UNITS)))
    since, until = ((year - 1970) * _YEAR * _UNITS[unit] for year in _YEARS[unit])
    return draw(st.integers(since, until - 1))


@given(_stamps())
@example(645696061000000896)
def test_a_time_of_any_unit_is_left_alone(stamp: int) -> None:
    for text in (f"{stamp}", f"at {stamp}, then", f'{{"time": {stamp}}}', f"{float(stamp)}", f"[{stamp}] up"):
        assert in_text(text) == text
    document: dict[str, object] = {"created": stamp, "at": str(stamp), "exact": float(stamp)}
    assert redacted(document) == document


_EPOCHS = {"Twitter": 1_288_834_974_657, "Discord": 1_420_070_400_000}


@given(
    st.sampled_from(sorted(_EPOCHS)),
    st.datetimes(datetime(2015, 6, 1), datetime(2034, 1, 1)),
    st.integers(0, 2**22 - 1),
)
@example("Discord", datetime(2019, 12, 26), 5)
def test_an_identifier_that_counts_up_is_left_alone(epoch: str, made: datetime, rest: int) -> None:
    """Snowflakes: milliseconds, then 22 bits of machine and sequence."""
    value = (int(made.timestamp() * 1000) - _EPOCHS[epoch] << 22) + rest
    for text in (f"{value}", f"<@{value}> said", f"user {value}: hello"):
        assert in_text(text) == text
    assert redacted({"id": value}) == {"id": value}


@given(st.integers(200_000_000_000, 699_999_999_999).map(str))
@example("400638133393")
def test_the_code_of_a_product_is_left_alone(code: str) -> None:
    digit = -sum(int(each) * (3 if place % 2 else 1) for place, each in enumerate(code)) % 10
    for text in (f"{code}{digit}", f"EAN {code}{digit}, 2 pieces"):
        assert in_text(text) == text


@given(_identifier | _name)
@example("sk-2041-rewrite_invoice_totals_page")
@example("sk-proj-rewrite_invoice_totals_page")
@example("github_pat_rotation_checklist_for_teams")
@example("xapp-installation-guide")
@example("2041-4111111111111111-7")
def test_an_identifier_is_left_alone(value: str) -> None:
    for text in (value, f"see {value}, please"):
        assert in_text(text) == text


@given(_media)
@example(
    "data:image/png;base64,iVBORw0KGgoAAAAN+Be36q7Rt2ZkLw9XdYc4/AAAASUVORK5CYII=",
)
def test_base64_of_an_image_or_a_sound_is_left_alone(url: str) -> None:
    kind, _, payload = url.removeprefix("data:").partition(";base64,")
    document: dict[str, object] = {
        "messages": [
            {"content": f"![]({url}) of {EMAIL}"},
            {"content": [{"type": "image_url", "image_url": {"url": url}}]},
            {"content": [{"type": "input_audio", "input_audio": {"data": payload, "format": kind}}]},
        ]
    }
    result = redacted(document)
    assert json.dumps(result) == json.dumps(document).replace(EMAIL, "[REDACTED:pii.email]")


def test_an_image_that_would_match_is_left_alone() -> None:
    url = f"data:image/png;base64,iVBORw0KGgoAAAAN/{IBAN}/{CARD}/+AA"
    assert in_text(url) == url
    assert in_text(url.replace("png", "gif")) != url  # it does not prove what it says


@given(st.binary(min_size=80, max_size=300), st.booleans())
def test_encrypted_content_is_left_alone(noise: bytes, token: bool) -> None:
    value = fernet(60) if token else urlsafe_b64encode(noise).decode()
    document: dict[str, object] = {
        "input": [{"type": "reasoning", "encrypted_content": value, "summary": []}]
    }
    assert redacted(document) == document


def test_a_secret_named_encrypted_content_is_found() -> None:
    document: dict[str, object] = {"input": [{"encrypted_content": "sk-proj-" + "aB3d" * 12}]}
    assert redacted(document) != document


@given(st.integers(-(2**63), 2**63 - 1))
@example(CARD)
def test_a_seed_stays_the_number_it_is(seed: int) -> None:
    assert redacted({"seed": seed, "input": "x"}) == {"seed": seed, "input": "x"}


def test_a_number_that_is_a_card_becomes_a_number() -> None:
    result = redacted({"x": CARD, "y": float(CARD), "z": [CARD], "t": True})
    assert json.dumps(result) == '{"x": 0, "y": 0.0, "z": [0], "t": true}'


def test_token_ids_stay_token_ids() -> None:
    ids = list(map(ord, f"pay {CARD} now"))
    result = redacted({"prompt": [ids, [65]]})
    assert result == {"prompt": [list(map(ord, f"pay {MARK} now")), [65]]}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('{"card": 4111111111111111, "n": 1}', '{"card": 0, "n": 1}'),
        ('{"card":"4111111111111111"}', f'{{"card":"{MARK}"}}'),
        (r'{"note":"\nann@example.org\tand"}', r'{"note":"\n[REDACTED:pii.email]\tand"}'),
        (r'{"note":"\u0061nn@example.org \u00e9"}', r'{"note":"[REDACTED:pii.email] \u00e9"}'),
        ('{"4111111111111111": 1, "4111 1111 1111 1111" : 2}', f'{{"{MARK}": 1, "{MARK}#2" : 2}}'),
        ('["a", 41111111111111110, 4.111111111111111e15]', '["a", 41111111111111110, 4.111111111111111e15]'),
    ],
)
def test_tool_arguments_stay_json(arguments: str, expected: str) -> None:
    result = in_text(arguments)
    assert result == expected
    assert type(json.loads(result)) is type(json.loads(arguments))


def test_json_within_json_within_json_stays_json() -> None:
    innermost = json.dumps({"card": CARD, "mail": f"é\n{EMAIL}"})
    arguments = json.dumps({"body": json.dumps({"inner": innermost}), "n": 1})
    result = json.loads(json.loads(json.loads(in_text(arguments))["body"])["inner"])
    assert result == {"card": 0, "mail": "é\n[REDACTED:pii.email]"}


def _shape(value: object) -> object:
    """The types and, of containers, their sizes."""
    if isinstance(value, dict):
        return [_shape(child) for child in value.values()]
    if isinstance(value, list):
        return [_shape(child) for child in value]
    return type(value)


_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(CARD),
    st.text(max_size=9),
    st.builds(
        "{} {}\n{}".format, st.text(max_size=9), st.sampled_from([m for _, m in MATCHES]), st.text(max_size=9)
    ),
)
_json = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=9) | st.sampled_from([EMAIL, IBAN, str(CARD)]), inner, max_size=3)
    ),
    max_leaves=9,
)


@given(_json, st.booleans())
def test_redaction_keeps_the_shape_and_json_within_strings(value: object, ascii_only: bool) -> None:
    document: dict[str, object] = {"arguments": json.dumps([value], ensure_ascii=ascii_only), "x": value}
    result = redacted(document)
    assert _shape(result["x"]) == _shape(value)
    assert _shape(json.loads(str(result["arguments"]))) == _shape([value])
    assert shared_inspector().inspect(texts(result, LETTERS.decode)) == ()


@pytest.mark.parametrize(
    "card",
    [
        "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005",
        "378282246310005", "5555555555554444", "3056 930902 5904", "6011 1111 1111 1117", "4222222222222",
        "3566 0020 2036 0505", "6304 0000 0000 0000 000", "4111 1111 1111 1111 03",
        "6456 9606 1000 0008 96", "6304000000000000000", "6759 6498 2643 8453 12", "2223003122003222",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "around",
    ["{}", "card: {}.", "no.{}", "(${}$)", "x {} 12/27", '"{}"', "1,{},07", "<{}>", "1,{}\n", "1,{};"],
)
def test_cards_in_usual_groupings_are_found(card: str, around: str) -> None:
    assert "[REDACTED:pii.payment_card]" in in_text(around.format(card))


@pytest.mark.parametrize(
    "account",
    [
        "GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "de89 3704 0044 0532 0130 00",
        "NO93 8601 1117 947", "FR1420041010050500013M02606", "MT84MALT011000012345MTLCAST001S",
        "BE68 5390 0754 7034", "NL91-ABNA-0417-1643-00", "CH9300762011623852957", "AD1200012030200359100100",
        "LC55HEMM000100010012001200023015", "SC18SSCB11010000000000001497USD", "LY83002048000020100120361",
    ],
)  # fmt: skip
@pytest.mark.parametrize("around", ["{}", "IBAN: {}.", "iban-{}", "({})", "x_{}", '"{}",'])
def test_accounts_of_many_countries_are_found(account: str, around: str) -> None:
    assert "[REDACTED:pii.iban]" in in_text(around.format(account)) or around == "x_{}"
