"""The parts of a response that clients put together: the SDKs' `output_text` joins all of its texts.

Knows: where a response has its texts. Must not know: rules, events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from broker.model.finding import Finding, Text

_TEXTS = frozenset({"output_text", "refusal"})


def shown_together(document: Mapping[str, object]) -> list[Text]:
    """The texts that are read as one, in order; none where there are fewer than two."""
    inner = document.get("response")
    prefix, body = (("response",), inner) if isinstance(inner, dict) else ((), document)
    output = body.get("output")
    if not isinstance(output, list):
        return []
    found = [
        Text((*prefix, "output", at, "content", number, name), text)
        for at, item in enumerate(output)
        for number, name, text in _parts(item)
    ]
    return found if len(found) > 1 else []


def joined(parts: Sequence[Text]) -> Text:
    """All of them as one text."""
    return Text(parts[0].path, "".join(part.value for part in parts))


def spread(found: Sequence[Finding], parts: Sequence[Text]) -> Iterator[Finding]:
    """What was found in the joined text, at each part that it lies in; none that lies in one alone."""
    for finding in found:
        begin, shares = 0, list[Finding]()
        for part in parts:
            end = begin + len(part.value)
            start, stop = max(finding.start, begin), min(finding.end, end)
            if start < stop:
                shares.append(replace(finding, path=part.path, start=start - begin, end=stop - begin))
            begin = end
        if len(shares) > 1:
            yield from shares


def _parts(item: object) -> Iterator[tuple[int, str, str]]:
    content = item.get("content") if isinstance(item, dict) else None
    for number, part in enumerate(content if isinstance(content, list) else ()):
        if isinstance(part, dict) and part.get("type") in _TEXTS:
            name = "text" if part["type"] == "output_text" else "refusal"
            if isinstance(text := part.get(name), str) and text:
                yield number, name, text
