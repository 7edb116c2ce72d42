"""POST /v1/moderations: a few words stand for what a classifier would flag.

Knows: the shapes of OpenAI's "Moderations" reference. Must not know: delivery.
"""

from __future__ import annotations

from broker.simulator import schemas
from broker.simulator.models import check
from broker.simulator.reply import Reply, ok
from broker.simulator.request import Request
from broker.simulator.store import Store

_FLAGGING = {
    "harassment": ("idiot",),
    "harassment/threatening": ("i will hurt you",),
    "hate": ("hate them all",),
    "hate/threatening": (),
    "illicit": ("launder money",),
    "illicit/violent": ("build a bomb",),
    "self-harm": ("hurt myself",),
    "self-harm/intent": ("hurt myself",),
    "self-harm/instructions": (),
    "sexual": (),
    "sexual/minors": (),
    "violence": ("kill", "murder"),
    "violence/graphic": (),
}
"""Category → words that flag it."""
_SEEN_IN_IMAGES = frozenset(
    ("self-harm", "self-harm/intent", "self-harm/instructions", "sexual", "violence", "violence/graphic")
)
_DEFAULT_MODEL = "omni-moderation-latest"


def create(request: Request, store: Store) -> Reply:
    """POST /v1/moderations. A multi-part input is one item; an array of strings is one item each."""
    schemas.moderation(request.document, "")
    named = request.document.get("model") is not None
    model = check(request.document, embeds=False, store=store) if named else _DEFAULT_MODEL
    results = [_result(text, kinds) for text, kinds in _items(request.document["input"])]
    return ok({"id": "modr-" + request.digest[:28], "model": model, "results": results})


def _items(value: object) -> list[tuple[str, frozenset[str]]]:
    if not isinstance(value, list):
        return [(str(value), frozenset(("text",)))]
    if all(isinstance(item, str) for item in value):
        return [(item, frozenset(("text",))) for item in value]
    parts = [{"type": "text", "text": item} if isinstance(item, str) else item for item in value]
    text = " ".join(part.get("text") or "" for part in parts)
    return [(text, frozenset("image" if part["type"] == "image_url" else "text" for part in parts))]


def _result(text: str, kinds: frozenset[str]) -> dict[str, object]:
    lowered = text.lower()
    flagged = {name: any(word in lowered for word in words) for name, words in _FLAGGING.items()}
    applied = {name: sorted(kinds if name in _SEEN_IN_IMAGES else kinds & {"text"}) for name in _FLAGGING}
    return {
        "flagged": any(flagged.values()),
        "categories": flagged,
        "category_scores": {name: 0.97 if hit else 0.0001 for name, hit in flagged.items()},
        "category_applied_input_types": applied,
    }
