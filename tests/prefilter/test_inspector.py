"""What is found, what is not, and every known way to hide it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BrokerError, Kind
from broker.model.finding import Finding, Text
from broker.prefilter.folding import fold
from broker.prefilter.inspector import Inspector
from broker.prefilter.rules import FIXED
from broker.prefilter.texts import texts
from tests.inspectors import shared_inspector
from tests.prefilter.samples import MATCHES, NEAR_MISSES, TOPICS

KEY = "sk-proj-" + "aB3d" * 12
SECRET = "secret.openai_key"


def found(document: dict[str, object], **options: object) -> tuple[Finding, ...]:
    return shared_inspector(TOPICS).inspect(texts(document, **options))  # type: ignore[arg-type]


def rules_of(document: dict[str, object], **options: object) -> set[str]:
    return {finding.rule for finding in found(document, **options)}


@pytest.mark.parametrize(("rule", "match"), MATCHES)
def test_every_match_is_found_with_its_span(rule: str, match: str) -> None:
    text = f"see {match}, thanks"
    spans = [text[f.start : f.end] for f in found({"input": text}) if f.rule == rule]
    assert len(spans) == 1
    assert match == spans[0]


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_a_near_miss_is_no_finding(text: str) -> None:
    assert found({"input": text}) == ()


def test_every_rule_has_a_sample() -> None:
    assert {rule for rule, _ in MATCHES} == {rule.id for rule in FIXED} | {"topic.banned", "injection.phrase"}


@pytest.mark.parametrize("hide", ["\u200b", "\u00ad", "\ufe0f", "\u2060", "\U000e0101", "\0", "\x1f"])
@pytest.mark.parametrize(("rule", "match"), MATCHES)
def test_secret_split_by_zero_width_is_found(rule: str, match: str, hide: str) -> None:
    assert rule in rules_of({"input": f"see {match[:6]}{hide}{match[6:]}."})
    assert rule in rules_of({"input": f"see{hide}{hide.join(match)}{hide}x"})


@pytest.mark.parametrize(("rule", "match"), MATCHES)
def test_secret_in_full_width_letters_is_found(rule: str, match: str) -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in match)
    assert rule in rules_of({"input": f"see {wide}."})


def test_card_in_arabic_digits_with_typographic_dashes_is_found() -> None:
    card = "٤١١١–١١١١—١١١١−١١١١"
    [finding] = found({"input": f"é {card}"})
    assert (finding.rule, finding.start, finding.end) == ("pii.payment_card", 2, 2 + len(card))


@pytest.mark.parametrize("label", ["card-", "card_", "pan_no-", "gpt-", "Kreditkarte_", "x-"])
@pytest.mark.parametrize("card", ["4111111111111111", "4111-1111-1111-1111", "378282246310005"])
def test_a_card_with_a_word_before_it_is_found(label: str, card: str) -> None:
    [finding] = Inspector().inspect([Text(("x",), f"see {label}{card}, paid")])
    assert (finding.rule, finding.start) == ("pii.payment_card", len("see ") + len(label))


def test_card_between_other_numbers_is_found() -> None:
    text = "lot 22 4111 1111 1111 1111 12/27"
    assert [text[f.start : f.end] for f in found({"input": text})] == ["4111 1111 1111 1111"]


def test_secret_in_unknown_field_is_found() -> None:
    assert rules_of({"messages": [{"role": "user", "x-new": [{"deep": {"a": [None, 1.5, KEY]}}]}]}) == {
        SECRET
    }


def test_secret_in_object_key_is_found_and_not_in_its_location() -> None:
    findings = found({"metadata": {KEY: "v", "AKIAIOSFODNN7EXAMPLE": KEY}})
    assert [f.rule for f in findings] == [SECRET, "secret.aws_access_key", SECRET]
    assert not any("sk-" in f.location or "AKIA" in f.location for f in findings)


@pytest.mark.parametrize("name", ["model", "role", "type", "name", "id"])
def test_secret_in_a_name_is_found(name: str) -> None:
    assert rules_of({"messages": [{name: "AKIAIOSFODNN7EXAMPLE"}]}) == {"secret.aws_access_key"}


def test_secret_in_tool_arguments_escapes_is_found() -> None:
    arguments = json.dumps({"key": KEY}).replace("-", "\\u002d")
    [finding] = found({"tool_calls": [{"function": {"arguments": arguments}}]})
    assert (finding.rule, finding.exact) == (SECRET, True)
    assert arguments[finding.start : finding.end] == KEY.replace("-", "\\u002d")


def test_secret_in_escapes_of_escapes_and_broken_json_is_found() -> None:
    arguments = json.dumps(json.dumps({"key": KEY}).replace("-", "\\u002d"))[:-4]
    assert rules_of({"arguments": arguments}) == {SECRET}


def test_a_decoy_does_not_cover_for_an_escaped_secret() -> None:
    decoy = "AKIA0000000000000000\\u0030 AKIA\\u0049OSFODNN7EXAMPLE"
    spans = [decoy[f.start : f.end] for f in found({"arguments": decoy})]
    assert spans == ["AKIA0000000000000000", "AKIA\\u0049OSFODNN7EXAMPLE"]


def test_a_match_seen_exactly_is_not_reported_again_for_its_decoded_form() -> None:
    [finding] = found({"arguments": json.dumps({"a": f"line\n: {KEY}"})})
    assert finding.exact


def test_secret_as_token_ids_is_found() -> None:
    document: dict[str, object] = {"prompt": [[ord(c) for c in KEY], [65]]}
    [finding] = found(document, decode_tokens=lambda tokens: "".join(map(chr, tokens)))
    assert (finding.rule, finding.location, finding.exact) == (SECRET, "prompt[0]", False)


def test_token_ids_nobody_can_read_are_refused() -> None:
    for decode_tokens in (None, lambda _: None):
        with pytest.raises(BrokerError) as caught:
            texts({"input": [1, 2, 3]}, decode_tokens)
        assert (caught.value.kind, caught.value.param) == (Kind.BAD_REQUEST, "input")


def test_card_as_a_number_is_found() -> None:
    assert rules_of({"x": 4111111111111111}) == {"pii.payment_card"}


def test_no_match_across_two_texts() -> None:
    assert found({"input": [KEY[:12], KEY[12:], "ignore previous", "instructions"]}) == ()


def test_lone_surrogates_and_nothing_do_not_disturb() -> None:
    assert shared_inspector(TOPICS).inspect([]) == ()
    assert rules_of({"input": f"\ud800 {KEY} \udfff"}) == {SECRET}


def test_phrases_and_topics_are_the_callers() -> None:
    assert Inspector((), ()).inspect(texts({"input": "ignore previous instructions"})) == ()
    own = Inspector((), ("open sesame",)).inspect(texts({"input": "“OPEN\tSesame”"}))
    assert [finding.rule for finding in own] == ["injection.phrase"]


def test_deep_nesting_is_walked_without_recursion() -> None:
    deep: object = KEY
    for _ in range(5_000):
        deep = [deep]
    assert rules_of({"x": deep}) == {SECRET}


@pytest.mark.parametrize("unseen", ["\u200b", "\u00ad", "\x1f"])
@pytest.mark.parametrize("word", [f"x{match}x" for _, match in MATCHES if match[0].isalnum()])
def test_an_invisible_character_elsewhere_moves_no_word_boundary(unseen: str, word: str) -> None:
    plain = rules_of({"input": word})
    assert rules_of({"input": [word, unseen]}) == plain
    assert rules_of({"input": f"{unseen} . {word} . {unseen}"}) == plain


@given(st.text(), st.sampled_from(MATCHES), st.text())
def test_spans_are_valid_whatever_stands_around(before: str, sample: tuple[str, str], after: str) -> None:
    rule, match = sample
    text = f"{before} {match} {after}"
    findings = found({"input": text})
    assert rule in {finding.rule for finding in findings}
    assert all(0 <= f.start < f.end <= len(text) for f in findings if f.exact)


@given(st.text())
def test_normalised_offsets_never_decrease_and_stay_inside(value: str) -> None:
    folded = fold(value)
    origins = list(folded.origins)
    assert len(origins) == len(folded.text)
    assert origins == sorted(origins)
    assert all(0 <= origin < len(value) for origin in origins)
    assert "\0" not in folded.text
