"""The retired `/v1/edits` (OpenAI, shut down 2024-01-04) served as a chat completion.

Knows: the documented request and reply of edits, and of chat. Must not know: anything else.
"""

from __future__ import annotations

from collections.abc import Mapping

CHAT_PATH = "/v1/chat/completions"
_CARRIED = ("n", "temperature", "top_p", "user", "max_completion_tokens")
_FRAME = (
    "Edit the text that the user sends according to the instruction. "
    "Answer with the edited text alone.\n\nInstruction: "
)


def to_chat(document: Mapping[str, object], model: str) -> dict[str, object]:
    """The chat request that performs an edits request with the model that policy names.

    >>> to_chat({"input": "helo", "instruction": "Fix it", "temperature": 0}, "gpt-4o-mini")["temperature"]
    0
    """
    chat: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": f"{_FRAME}{document['instruction']}"},
            {"role": "user", "content": document.get("input") or ""},
        ],
    }
    chat.update({name: document[name] for name in _CARRIED if document.get(name) is not None})
    return chat


def from_chat(reply: Mapping[str, object]) -> dict[str, object]:
    """The documented edits reply: object, created, choices of {text, index}, usage."""
    choices = reply.get("choices")
    return {
        "object": "edit",
        "created": reply.get("created"),
        "choices": [_choice(entry) for entry in choices] if isinstance(choices, list) else [],
        "usage": reply.get("usage"),
    }


def _choice(choice: Mapping[str, object]) -> dict[str, object]:
    message = choice.get("message")
    text = message.get("content") if isinstance(message, dict) else None
    return {"text": text or "", "index": choice.get("index")}
