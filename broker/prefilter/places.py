"""Every string of a stream's events, and which earlier string it goes on with.

Knows: that any string may be text, whatever its field is called, and that a client joins what comes at one
place of one event after another. Must not know: wire formats, what holds events back, who reads them.

A place is a path in the documents. An object that says which one it is (`index`, `output_index`, `item_id` …)
is another place for each one it says, and so is each `type` of event. What comes at a place is one text, in
pieces: a match is a match however it was cut. Two kinds of string are judged by themselves, because nobody
joins them, and because most end like the beginning of some word: names, identifiers and enumerations (NAMES),
and all of an event that shows something as it now stands (SHOWING). Those are joined, too, where one ends
like the beginning of a secret. What is not listed here is joined: the lists let nothing pass.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from broker.model.finding import Path, Text, location
from broker.prefilter.escapes import Unescaping, unescaped
from broker.prefilter.inspector import Finder
from broker.prefilter.opaque import opaque_members
from broker.prefilter.stream import CutError, StreamFilter
from broker.prefilter.texts import KEY, LONG_NUMBER, plain_step, texts

NAMES = frozenset(
    """
    id object type role model status finish_reason stop_reason service_tier system_fingerprint obfuscation
    item_id response_id call_id tool_call_id approval_request_id previous_response_id prompt_cache_key
    """.split()  # noqa: SIM905 - read as a list of words, not as quoted ones
)
SHOWING = (
    ".created", ".queued", ".in_progress", ".searching", ".generating", ".interpreting", ".compacting",
    ".added", ".partial_image", ".done", ".completed", ".failed", ".incomplete", ".cancelled",
)  # fmt: skip
_BEGUN = 4
"""Characters of a secret's beginning at the end of a finished string from which it waits for the next."""

_LONG = 512  # characters: what is shorter is read whether or not it is opaque
_MAX_PLACES = 4096
_MAX_NEW_PLACES = 65_536


class TooManyPlacesError(Exception):
    """One event, or all that is held, names more places than a reply has."""


@dataclass(eq=False, slots=True)
class Place:
    """Where strings come. Of all that came, `fed` characters, the first `free` may leave."""

    owner: Place | None
    step: str | int | None
    named: bool = False
    fed: int = 0
    free: int = 0
    last: str | None = None  # the string that came last, where another like it says nothing new
    inside: dict[str | int, Place] = field(default_factory=dict)
    names: Place | None = None  # where its members' names come, once one ended like the beginning of a secret
    telling: tuple[str, ...] = ()  # the members that say which one it is, and the places of each
    each: dict[tuple[object, ...], Place] = field(default_factory=dict)
    plain: Place | None = None  # the same text without its escapes, once there were some
    escapes: Unescaping | None = None

    @property
    def path(self) -> Path:
        """Where it is, from the outside in."""
        steps = () if self.step is None else (self.step,)
        return (*self.owner.path, *steps) if self.owner is not None else steps

    @property
    def end(self) -> int:
        """How much must be free before all that has come may leave: an escape that has begun is one more."""
        return self.fed + (self.escapes is not None and self.escapes.pending)


Needs = list[tuple[Place, int]]
"""What an event waits for: at each place, how much must be free."""


class Places:
    """One stream's texts. `read` takes the next document, `read_line` what stands beside one; both say what
    the event waits for, usually nothing, and raise CutError where a rule has matched, or TooManyPlacesError;
    `where` then names the place. `Place.free` grows with later calls; `finish` frees all.

    `joined` watches for all rules that cut, `secrets` for those of secrets among them, `whole` finds all of
    them in finished strings.
    """

    def __init__(self, joined: StreamFilter, secrets: StreamFilter, whole: Finder) -> None:
        self._joined = joined
        self._secrets = secrets
        self._whole = whole
        self._roots: dict[object, Place] = {}
        self._lines: dict[bytes, Place] = {}
        self._shown: dict[Hashable, Place] = {}
        self._held: dict[Place, None] = {}
        self._needs: Needs = []
        self._texts: list[Text] = []
        self._count = 0
        self._bound = _MAX_PLACES
        self.where = ""

    def read(self, document: object) -> Needs:
        """The next event's document."""
        self._needs = []
        kind = document.get("type") if type(document) is dict else None
        if type(kind) is not str:
            kind = None
        root = self._roots.get(kind)
        if root is not None:
            self._walk(root, document)
        elif kind is not None and _shows(kind) and isinstance(document, dict):
            self._show(kind, document)
        else:
            self._walk(self._root(kind), document)
        return self._judged()

    def read_line(self, name: bytes, value: bytes, *, known: bool) -> Needs:
        """A line of an event that is no data: what it is called, what it says. Nobody joins a `known` one."""
        place = self._lines.get(name)
        if place is None:
            called = name.decode("utf-8", "replace")
            self._show("", {"name": called})
            place = self._lines[name] = self._new(None, called if known else 0, named=known)
        text = value.decode("utf-8", "replace")
        if text == place.last:
            return []
        self._needs = []
        self._read(place, text)
        return self._judged()

    def finish(self) -> None:
        """Upstream has said all: what could have begun a match did not. Raises CutError where it did."""
        for place in self._held:
            self._end(place)
        self._held.clear()

    def _root(self, kind: str | None) -> Place:
        if kind is not None:
            self._show("", {"kind": kind})
        root = self._roots[kind] = self._new(None, None, named=False)
        return root

    def _walk(self, place: Place, value: object) -> None:
        kind = type(value)
        if kind is dict:
            self._walk_object(place, value)  # type: ignore[arg-type]
        elif kind is list:
            self._walk_array(place, value)  # type: ignore[arg-type]
        elif kind is str:
            self._read(place, value)  # type: ignore[arg-type]
        elif (kind is int or kind is float) and abs(value) >= LONG_NUMBER:  # type: ignore[arg-type]
            self._texts.append(Text(place.path, str(value)))

    def _walk_object(self, place: Place, members: dict[str, object]) -> None:
        if not members.keys() <= place.inside.keys():
            self._learn(place, members)
        inside = self._said(place, members).inside if place.telling else place.inside
        for name, value in members.items():
            kind = type(value)
            if kind is str:
                here = inside[name]
                if value != here.last and not (len(value) > _LONG and name in opaque_members(members)):  # type: ignore[arg-type]
                    self._read(here, value)  # type: ignore[arg-type]
            elif kind is dict:
                self._walk_object(inside[name], value)  # type: ignore[arg-type]
            elif kind is list:
                self._walk_array(inside[name], value)  # type: ignore[arg-type]
            elif (kind is int or kind is float) and abs(value) >= LONG_NUMBER:  # type: ignore[arg-type]
                self._texts.append(Text(inside[name].path, str(value)))

    def _walk_array(self, place: Place, items: list[object]) -> None:
        for position, item in enumerate(items):
            said = item.get("index") if type(item) is dict else None
            step = said if type(said) is int else position
            inside = place.inside.get(step)
            if inside is None:
                inside = place.inside[step] = self._new(place, step, named=place.named)
            self._walk(inside, item)

    def _learn(self, place: Place, members: Mapping[str, object]) -> None:
        """New members of an object: their names are strings, too."""
        for position, name in enumerate(members):
            if name in place.inside:
                continue
            here = place.inside[name] = self._new(place, plain_step(name, position), named=name in NAMES)
            self._texts.append(Text((*here.path, KEY), name))
            if place.names is not None or self._secrets.opens(name):
                place.names = place.names or self._new(place, KEY, named=True)
                self._join_named(place.names, name)
            if _tells(name) or (name == "index" and type(place.step) is not int):
                place.telling = (*place.telling, name)
                place.each.clear()
            for one in place.each.values():
                if name not in one.inside:
                    one.inside[name] = self._new(one, here.step, named=here.named)

    def _said(self, place: Place, members: Mapping[str, object]) -> Place:
        """The one of this place that the object says it is."""
        said = tuple([members.get(name) for name in place.telling])
        try:
            one = place.each.get(said)
        except TypeError:  # no scalar: it says nothing
            said, one = (), place.each.get(())
        if one is None:
            one = place.each[said] = self._new(place, None, named=False)
            for name, here in place.inside.items():
                shared = name in place.telling
                one.inside[name] = here if shared else self._new(one, here.step, named=here.named)
        return one

    def _new(self, owner: Place | None, step: str | int | None, *, named: bool) -> Place:
        self._count += 1
        if self._count > self._bound + _MAX_NEW_PLACES:
            raise TooManyPlacesError
        return Place(owner, step, named)

    def _show(self, kind: str, document: dict[str, object]) -> None:
        """An event of finished strings: only those places are remembered where a secret may have begun."""
        telling = [name for name in document if _tells(name)]
        said = tuple(str(document[name]) for name in telling)
        for text in texts(document, lambda _: ""):
            self._texts.append(text)
            key = (kind, () if text.path[0] in telling else said, text.path)
            if key in self._shown or self._secrets.opens(text.value):
                place = self._shown.get(key)
                if place is None:
                    place = self._shown[key] = self._new(None, location(text.path), named=True)
                self._join_named(place, text.value)

    def _read(self, place: Place, text: str) -> None:
        if not place.named:
            self._join(place, text)
            return
        if len(text) >= self._whole.shortest or not text.isascii():
            self._texts.append(Text(place.path, text))
            if "\\" in text:
                self._texts.append(Text(place.path, unescaped(text)))
        if place in self._held or (len(text) >= _BEGUN and self._secrets.opens(text)):
            self._join_named(place, text)
        else:
            place.last = text

    def _join_named(self, place: Place, text: str) -> None:
        place.last = None
        self._feed(self._secrets, place, text)
        self._finish(self._secrets, place)  # each string ends where it ends, whatever comes next
        if place.fed - place.free >= _BEGUN:
            self._wait(place)
        else:
            self._secrets.forget(place)
            place.free = place.fed
            self._held.pop(place, None)

    def _join(self, place: Place, text: str) -> None:
        if place.plain is None and "\\" in text:
            place.plain = Place(place.owner, place.step)
            place.plain.escapes = Unescaping()
            self._joined.fork(place, place.plain)
        self._feed(self._joined, place, text)
        plain = place.plain
        if plain is not None and plain.escapes is not None:
            self._feed(self._joined, plain, plain.escapes.feed(text))
            if plain.free < plain.end:
                self._wait(plain)
            elif plain in self._held:
                del self._held[plain]
        if place.free < place.fed:
            self._wait(place)
        elif place in self._held:
            del self._held[place]

    def _wait(self, place: Place) -> None:
        self._held[place] = None
        self._needs.append((place, place.end))

    def _feed(self, scanner: StreamFilter, place: Place, text: str) -> None:
        place.fed += len(text)
        try:
            place.free = place.fed - scanner.hold(place, text)
        except CutError:
            self.where = location(place.path)
            raise

    def _end(self, place: Place) -> None:
        scanner = self._secrets if place.named else self._joined
        if place.escapes is not None:
            self._feed(scanner, place, place.escapes.end())
        self._finish(scanner, place)
        place.free = place.fed

    def _finish(self, scanner: StreamFilter, place: Place) -> None:
        try:
            scanner.finish(place)
        except CutError:
            self.where = location(place.path)
            raise

    def _judged(self) -> Needs:
        """Judges the finished strings, all at once; what the event waits for."""
        if self._texts:
            said, self._texts = self._texts, []
            for finding in self._whole.inspect(said):
                self.where = finding.location
                raise CutError(finding.rule)
        if self._count > self._bound:
            self._forget()
        return self._needs

    def _forget(self) -> None:
        """All places but those where something is held, and what leads there."""
        kept = {leading for place in self._held for leading in _leading(place)}
        self._roots = {kind: root for kind, root in self._roots.items() if root in kept}
        self._lines = {name: place for name, place in self._lines.items() if place in kept}
        self._shown = {key: place for key, place in self._shown.items() if place in kept}
        for place in kept:
            telling = place.telling
            place.each = {said: one for said, one in place.each.items() if one in kept}
            if not place.each:
                place.telling = ()
            place.inside = {s: one for s, one in place.inside.items() if one in kept or s in telling}
        self._count = len(kept)
        if self._count > _MAX_PLACES:
            raise TooManyPlacesError


def _leading(place: Place | None) -> list[Place]:
    found = []
    while place is not None:
        found.append(place)
        place = place.owner
    return found


def _tells(name: str) -> bool:
    """Whether an object says by this member which one of many it is about."""
    return name == "item_id" or name.endswith("_index")


def _shows(kind: str) -> bool:
    return kind == "error" or (kind.startswith("response.") and kind.endswith(SHOWING))
