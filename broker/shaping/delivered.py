"""What upstream has delivered of its answers, for an ending without its own count of tokens.

Knows: where a reply carries what a model wrote, and when an answer is over. Must not know: prices, records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

Count = Callable[[str], int]
FRAMING = 16
"""Tokens that an answer may have beside its text: a role, a stop, the frame of a tool call."""
_FOLD_CHARACTERS = 16 * 1024
_OF_CHARACTER = 4  # tokens at most: each of its bytes is one at worst
_LEAST_LOOK = 256
_UNWRITTEN = frozenset({"role", "id", "type", "object", "index"})
_COMPLEX = frozenset({"tool_calls", "function_call"})
_LATE = frozenset({"queued", "in_progress"})
_OVER = frozenset({"response.completed", "response.failed", "response.incomplete", "response.cancelled"})
_MOST_ANSWERS = 1024
_WHOLE = -1  # the one answer of /v1/responses has no index


class AnswerCount:
    """One answer: its text so far, counted in pieces so that no long one is kept, and whether it is over. It
    is `too_long` when it has more than `most` tokens; None: nobody knows how long it may be.
    """

    __slots__ = (
        "_count",
        "_length",
        "_most",
        "_next_look",
        "_texts",
        "_tokens",
        "frames",
        "over",
        "too_long",
    )

    def __init__(self, count: Count, most: int | None = None) -> None:
        self._count = count
        self._texts: list[str] = []
        self._length = 0
        self._tokens = 0
        self._most = most
        self._next_look = _FOLD_CHARACTERS if most is None else min(_FOLD_CHARACTERS, most // _OF_CHARACTER)
        self.frames = 1
        self.over = False
        self.too_long = False

    def add(self, text: str) -> None:
        self._texts.append(text)
        self._length += len(text)
        if self._length > self._next_look:
            self._fold()
            if self._most is not None:  # what fits into the rest whatever it is needs no look
                rest = self._most - self._tokens
                self.too_long = rest < 0
                self._next_look = min(_FOLD_CHARACTERS, max(_LEAST_LOOK, rest // _OF_CHARACTER))

    @property
    def tokens(self) -> int:
        """The tokens of its text, and of what frames it."""
        self._fold()
        return self._tokens + FRAMING * self.frames

    def _fold(self) -> None:
        if self._texts:
            self._tokens += self._count("".join(self._texts))
            self._texts.clear()
            self._length = 0


class Delivered:
    """Takes each event of a stream, or a whole reply. `count` gives the tokens of a text, `most` how many an
    answer may have, and all of them together, where that is known.
    """

    def __init__(self, count: Count, most: tuple[int, int] | None = None) -> None:
        self._count = count
        self._each = most[0] if most else None
        self._all = most[1] if most else None
        self._answers: dict[object, AnswerCount] = {}
        self.late = False
        """Whether upstream only said that it will answer (`background`)."""
        self.uses: list[str] = []
        """The types of finished items of `/v1/responses`: some are uses of a tool that costs."""

    def take(self, document: object) -> None:
        """Whatever it is; what carries no answer counts nothing."""
        if not isinstance(document, dict):
            return
        choices = document.get("choices")
        if isinstance(choices, list):
            for choice in choices:
                if isinstance(choice, dict):
                    self._choice(choice)
        elif isinstance(delta := document.get("delta"), str):
            self._answer(_WHOLE).add(delta)
        elif "output" in document or "response" in document or "item" in document:
            self._responses(document)

    def continued(self, document: object) -> AnswerCount | None:
        """The answer to which a chunk like this one adds its only text, and nothing else; None for others."""
        if not isinstance(document, dict):
            return None
        choices = document.get("choices")
        if not isinstance(choices, list):
            return self._answer(_WHOLE) if isinstance(document.get("delta"), str) else None
        choice = choices[0] if len(choices) == 1 and "delta" not in document else None
        if not isinstance(choice, dict) or choice.get("finish_reason") is not None or "message" in choice:
            return None
        written = choice.get("delta") if "text" not in choice else {"text": choice["text"]}
        if (
            not isinstance(written, dict)
            or not _COMPLEX.isdisjoint(written)
            or {"delta", "text"} <= choice.keys()
        ):
            return None
        return self._answer(choice.get("index")) if len(list(_texts(written))) == 1 else None

    @property
    def too_long(self) -> bool:
        """Whether upstream has written more of an answer than it may."""
        return any(answer.too_long for answer in self._answers.values())

    @property
    def begun(self) -> bool:
        """Whether any answer was seen."""
        return bool(self._answers)

    def tokens(self, at_least: int = 0) -> list[int]:
        """The tokens of each answer; of one that is not over, `at_least` so many."""
        return [
            answer.tokens if answer.over else max(answer.tokens, at_least)
            for answer in self._answers.values()
        ]

    def _answer(self, index: object) -> AnswerCount:
        key = index if isinstance(index, int) and len(self._answers) < _MOST_ANSWERS else _WHOLE
        answer = self._answers.get(key)
        if answer is None:
            most = self._all if key == _WHOLE else self._each
            answer = self._answers[key] = AnswerCount(self._count, most)
        return answer

    def _choice(self, choice: dict[str, object]) -> None:
        answer = self._answer(choice.get("index"))
        text = choice.get("text")
        if isinstance(text, str):
            answer.add(text)
        for name in ("delta", "message"):
            written = choice.get(name)
            if isinstance(written, dict):
                if not _COMPLEX.isdisjoint(written):
                    answer.frames += _new_calls(written)
                for piece in _texts(written):
                    answer.add(piece)
        if choice.get("finish_reason") is not None:
            answer.over = True

    def _responses(self, document: dict[str, object]) -> None:
        """An event that ends something, or a whole response. Deltas have told a stream's texts already."""
        item = document.get("item")
        if isinstance(item, dict):
            if str(document.get("type")).endswith(".done"):
                self._answer(_WHOLE).frames += 1
                self.uses.append(str(item.get("type")))
            return
        inner = document.get("response")
        whole = inner if isinstance(inner, dict) else document
        self.late = whole.get("status") in _LATE
        output = whole.get("output")
        if inner is None and isinstance(output, list):
            answer = self._answer(_WHOLE)
            answer.frames += len(output)
            answer.over = not self.late
            for piece in _texts({"output": output}):
                answer.add(piece)
            self.uses = [str(entry.get("type")) for entry in output if isinstance(entry, dict)]
        elif document.get("type") in _OVER:
            self._answer(_WHOLE).over = True


def _new_calls(written: dict[str, object]) -> int:
    """The tool calls that begin here; what has no id or name continues one."""
    calls = written.get("tool_calls")
    begun = (
        [call for call in calls if isinstance(call, dict) and "id" in call] if isinstance(calls, list) else []
    )
    function = written.get("function_call")
    return len(begun) + (isinstance(function, dict) and "name" in function)


def _texts(written: dict[str, object]) -> Iterable[str]:
    """Every string of it that a model may have written."""
    stack: list[object] = [value for name, value in written.items() if name not in _UNWRITTEN]
    while stack:
        value = stack.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            stack.extend(value for name, value in value.items() if name not in _UNWRITTEN)
        elif isinstance(value, list):
            stack.extend(value)
