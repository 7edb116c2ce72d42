"""What a call names besides its own text: objects that OpenAI keeps, and what it reaches beyond its model.

Knows: which fields of OpenAI's request bodies take an id, and which tools act outside of the answer. Must not
know: whose an object is, or what policy allows. A field is a reference unless it is known to be none: one
that OpenAI adds tomorrow is refused where its object is not the caller's, not overlooked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from broker.model.call import Call
from broker.model.operation import TRAITS, Operation
from broker.shaping.reference_fields import (
    AT_THE_CALLER,
    BY_ID_ALONE,
    FILLED_IN,
    FRAME,
    HOLDS_ITEMS,
    INLINE,
    KINDS,
    NAMELESS,
    NO_OBJECT,
    OF_THE_CALLER,
    RETOLD,
)

Path = tuple[str | int, ...]
_Node = tuple["_Node", str | int] | None  # a place, as a chain to its parents: most places are never told

_NAMING = frozenset(operation for operation in Operation if TRAITS[operation].mentions)
"""The operations whose bodies can name anything; no field of the others takes an id or a tool."""
_OF_TEXT = frozenset(
    {"model", "max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "seed", "stream", "user"}
)
_OF_A_MESSAGE = frozenset({"role", "content", "name"})
_WORD = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_NAME = re.compile(r"[A-Za-z0-9._:/@-]{1,128}\Z")
_PLAIN_KEY = re.compile(r"[A-Za-z_]{1,40}\Z")
_SERVER = re.compile(r"https://([A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?)(?:[/?#][^\\\s@]*)?\Z")
_CURSORS = frozenset({"after", "before"})
_WITHIN_AN_OBJECT = frozenset({Operation.CHAT_MESSAGES, Operation.RESPONSES_INPUT_ITEMS})


@dataclass(frozen=True, slots=True)
class Reference:
    """An object that the call names: it must be the caller's. `where` is its place, fit to be shown."""

    id: str = field(repr=False)
    kind: str
    where: str


@dataclass(frozen=True, slots=True)
class Retold:
    """An id that stands beside all that it means. Where it is another's, what is at `path` is left out."""

    id: str = field(repr=False)
    path: Path


@dataclass(frozen=True, slots=True)
class Mentions:
    """All that a call names. `reaches` are words for policy, sorted: `store`, `background`, `tool:<type>`,
    `server:<host>`, `connector:<name>`, `tunnel:<id>`, `model:<name>`, `network:<host>`; `?`: no plain name.
    """

    references: tuple[Reference, ...] = ()
    retold: tuple[Retold, ...] = ()
    reaches: tuple[str, ...] = ()

    @property
    def kinds(self) -> list[str]:
        """What kinds of objects the call names, for policy."""
        return sorted({reference.kind for reference in self.references}) if self.references else []


NOTHING = Mentions()


def mentions(call: Call) -> Mentions:
    """What the call names, in its path, its query string and its body."""
    beside = [*_in_path(call), *_in_query(call)]
    if call.document is None or call.operation not in _NAMING or _is_text_alone(call.document):
        return Mentions(tuple(beside)) if beside else NOTHING
    walk = _Walk()
    walk.over(call.document)
    shown = {each.id for each in walk.retold}
    named = [
        each
        for each in walk.references
        if each.kind != "approval_request_id" or each.id not in shown  # it approves what is sent along
    ]
    if not (beside or named or walk.retold or walk.reaches):
        return NOTHING
    return Mentions((*beside, *named), tuple(walk.retold), tuple(sorted(walk.reaches)))


def _is_text_alone(document: Mapping[str, object]) -> bool:
    """Whether nothing of it can name anything: messages of nothing but text, beside numbers and words of
    fields that no object is named in. Most calls are such.
    """
    for name, value in document.items():
        if name == "messages" and type(value) is list:
            if not all(type(message) is dict and _is_plain(message) for message in value):
                return False
        elif name not in _OF_TEXT or isinstance(value, (dict, list)):
            return False
    return True


def _is_plain(message: dict[str, object]) -> bool:
    if not _OF_A_MESSAGE.issuperset(message):
        return False
    return all(type(value) is str for value in message.values())


def _in_path(call: Call) -> Iterator[Reference]:
    if call.target is not None:
        yield Reference(call.target, "id", "id")


def _in_query(call: Call) -> Iterator[Reference]:
    """A cursor inside a list that belongs to one object is no object: the object itself is checked."""
    query = call.path.partition("?")[2]
    for name, value in parse_qsl(query) if query else ():
        if not any(character.isalnum() for character in value):
            continue  # no id
        if name in _CURSORS and call.operation not in _WITHIN_AN_OBJECT:
            yield Reference(value, "after", f"?{name}")
        elif name.endswith(("_id", "_ids")):
            yield Reference(value, _kind(name), f"?{name if _PLAIN_KEY.match(name) else '…'}")


class _Walk:
    """One walk over a body, with a stack of its own: a body may be 64 deep and hold 100,000 parts."""

    def __init__(self) -> None:
        self.references: list[Reference] = []
        self.retold: list[Retold] = []
        self.reaches: set[str] = set()
        self._stack: list[tuple[object, str, _Node, _Node]] = []

    def over(self, document: Mapping[str, object]) -> None:
        """Fills the three lists."""
        stack = self._stack
        self._wishes(document)
        stack.append((document, "", None, None))
        while stack:
            value, name, at, retold = stack.pop()
            if type(value) is dict:
                self._part(value, name, at, retold)
            elif type(value) is list:
                for index, child in enumerate(value):
                    if type(child) is dict or type(child) is list:
                        place = (at, index)
                        stack.append((child, name, place, place if name in RETOLD else retold))

    def _wishes(self, document: Mapping[str, object]) -> None:
        if document.get("store") is True:
            self.reaches.add("store")
        if document.get("background") not in (None, False):
            self.reaches.add("background")
        if document.get("web_search_options") is not None:
            self.reaches.add("tool:web_search")

    def _part(self, part: dict[str, object], name: str, at: _Node, retold: _Node) -> None:
        if name == "tools":
            self._tool(part)
        elif name == "network_policy":
            self._network(part)
        for key, child in part.items():
            kind = type(child)
            if kind is str and name != FILLED_IN:
                if key == "id" or key[-3:] == "_id" or key in _NAMED_WHOLE:
                    self._text(str(child), key, part, name, at, retold)
                elif key in _FACTS and not _is_retold(key, at):
                    self.reaches.add(_FACTS[key](str(child)))
            elif kind is dict or kind is list:
                if key[-4:] == "_ids" and isinstance(child, list):
                    for index, each in enumerate(child):
                        if isinstance(each, str):
                            self._refer(each, key, ((at, key), index), retold)
                if key not in OF_THE_CALLER:
                    self._stack.append((child, key, (at, key), retold))

    def _text(
        self, value: str, key: str, part: dict[str, object], name: str, at: _Node, retold: _Node
    ) -> None:
        if key in NO_OBJECT:
            if key in _FACTS:
                self.reaches.add(_FACTS[key](value))
        elif key != "id":
            self._refer(value, key, (at, key), retold)
        elif name in HOLDS_ITEMS:
            if retold is None and _means_its_id(part):
                self._refer(value, "item", (at, key), None)
            else:
                self.retold.append(Retold(value, _path((at, key))))
        elif name not in NAMELESS and at is not None:
            self._refer(value, name, (at, key), retold)

    def _refer(self, value: str, key: str, at: _Node, retold: _Node) -> None:
        if retold is not None:
            self.retold.append(Retold(value, _path(retold)))
        else:
            self.references.append(Reference(value, _kind(key), _shown(_path(at))))

    def _tool(self, tool: dict[str, object]) -> None:
        kind = tool.get("type")
        word = kind if isinstance(kind, str) and _WORD.match(kind) else "?"
        if kind is not None and word not in AT_THE_CALLER:
            self.reaches.add(f"tool:{word}")

    def _network(self, policy: dict[str, object]) -> None:
        hosts = policy.get("allowed_domains")
        for host in hosts if isinstance(hosts, list) else ():
            self.reaches.add(f"network:{_named(str(host))}")


_NAMED_WHOLE = frozenset({"container", "conversation"})  # an id, or an object that holds one
_FACTS: Mapping[str, Callable[[str], str]] = {
    "connector_id": lambda value: f"connector:{_named(value)}",
    "model": lambda value: f"model:{_named(value)}",
    "server_url": lambda value: f"server:{_host(value)}",
    "tunnel_id": lambda value: f"tunnel:{_named(value)}",
}


def _is_retold(key: str, at: _Node) -> bool:
    """The call's own model is no fact besides, nor is one that an item of the conversation names."""
    if key != "model":
        return False
    path = _path(at)
    return not path or (path[0] in ("input", "messages") and "tools" not in path)


def _means_its_id(item: Mapping[str, object]) -> bool:
    """Whether OpenAI would fetch what it keeps under the id of this item: unless the item says all itself."""
    kind = item.get("type")
    if kind is not None and not isinstance(kind, str):
        return True
    if (not item.keys() - FRAME and kind != "compaction_trigger") or (kind is None and "role" not in item):
        return True
    carried = BY_ID_ALONE.get(kind) if kind is not None else None
    if carried is not None:
        return not item.get(carried)
    return kind is not None and kind not in INLINE


def _host(url: str) -> str:
    """The host, and the port where one is written, of an https URL that all parsers read alike."""
    found = _SERVER.match(url)
    return found[1].lower() if found else "?"


def _named(value: str) -> str:
    return value if _NAME.match(value) else "?"


def _kind(key: str) -> str:
    return key if key in KINDS else "other"


def _path(at: _Node) -> Path:
    steps: list[str | int] = []
    while at is not None:
        at, step = at
        steps.append(step)
    return tuple(reversed(steps))


def _shown(path: Path) -> str:
    """A place as errors and records show it; a key that is no plain word is not repeated.

    >>> _shown(("input", 0, "my card number is 4", "file_id"))
    'input[0].….file_id'
    """
    shown = ""
    for step in path:
        if isinstance(step, int):
            shown += f"[{step}]"
        else:
            shown += f".{step}" if _PLAIN_KEY.match(step) else ".…"
    return shown.removeprefix(".")
