"""What the log keeps of a question to policy."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from broker.shaping.recorded_input import recorded_call

_names = st.sampled_from(["n", "top_p", "My secret!", "seed", "model"])
_numbers = st.integers(-(10**13), 10**13) | st.floats(allow_nan=False) | st.booleans()
_words = st.sampled_from([None, "m", "commitment", "x" * 7000])


@given(
    st.dictionaries(_names, _numbers),
    st.lists(_names),
    _words,
    st.dictionaries(st.just("model"), _words),
    _names,
)
def test_a_question_that_is_kept_as_it_is_reads_as_one_that_is_written_anew(
    parameters: dict[str, object], fields: list[str], model: object, own: dict[str, object], found: str
) -> None:
    call = {"model": model, "fields": fields, "parameters": parameters}
    document = {"v": 1, "call": call, "transport": "https"}
    as_bytes = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    assert recorded_call(document, own, {found}, as_bytes) == recorded_call(document, own, {found})
