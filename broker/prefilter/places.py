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

from collections.abc import Hashable, Iterable, Iterator, Mapping

from broker.model.finding import Text, location
from broker.prefilter.inspector import Finder
from broker.prefilter.joining import Joining
from broker.prefilter.opaque import opaque_members
from broker.prefilter.place import NAMES, Needs, Place, TooManyPlacesError, leading, shows, tells
from broker.prefilter.stream import StreamFilter
from broker.prefilter.texts import KEY, LONG_NUMBER, plain_step, texts
from broker.prefilter.together import joined, shown_together

_LONG = 512  # characters: what is shorter is read whether or not it is opaque
_MAX_PLACES = 4096
_MAX_NEW_PLACES = 65_536


class Places:
    """One stream's texts. `read` takes the next document, `read_line` what stands beside one; both say what
    the event waits for, usually nothing, and raise CutError where a rule has matched, or TooManyPlacesError;
    `where` then names the place. `Place.free` grows with later calls; `finish` frees all.

    `joined` watches for all rules that cut, `secrets` for those of secrets among them, `whole` finds all of
    them in finished strings.
    """

    def __init__(self, joined: StreamFilter, secrets: StreamFilter, whole: Finder) -> None:
        self._strings = Joining(joined, secrets, whole)
        self._roots: dict[object, Place] = {}
        self._lines: dict[bytes, Place] = {}
        self._shown: dict[Hashable, Place] = {}
        self._count = 0
        self._bound = _MAX_PLACES

    def read(self, document: object) -> Needs:
        """The next event's document."""
        kind = document.get("type") if type(document) is dict else None
        if type(kind) is not str:
            kind = None
        root = self._roots.get(kind)
        if root is not None:
            self._walk(root, document)
        elif kind is not None and shows(kind) and isinstance(document, dict):
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
        self._strings.read(place, text)
        return self._judged()

    def again(self, strings: Iterable[tuple[Place, str]]) -> Needs:
        """`read` of a document that differs from the last one in these short strings only; `steady` has told
        their places, and that nothing is new in the others.
        """
        for place, text in strings:
            if text != place.last:
                self._strings.read(place, text)
        return self._judged()

    def steady(
        self, document: object, beside: Iterable[tuple[bytes, bytes]]
    ) -> list[tuple[Place, bool]] | None:
        """Of the event that was just read: the place of each string that is no member's name, in order, and
        whether the same string again is nothing new there. None where a line beside it is.
        """
        for name, value in beside:
            line = self._lines.get(name)
            if line is None or line.last != value.decode("utf-8", "replace"):
                return None
        kind = document.get("type") if isinstance(document, dict) else None
        root = self._roots.get(kind if isinstance(kind, str) else None)
        return None if root is None else list(_places(root, document))

    def finish(self) -> None:
        """Upstream has said all: what could have begun a match did not. Raises CutError where it did."""
        self._strings.finish()

    @property
    def where(self) -> str:
        """The place of the match that cut."""
        return self._strings.where

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
            self._strings.read(place, value)  # type: ignore[arg-type]
        elif (kind is int or kind is float) and abs(value) >= LONG_NUMBER:  # type: ignore[arg-type]
            self._strings.add(Text(place.path, str(value)))

    def _walk_object(self, place: Place, members: dict[str, object]) -> None:
        if not members.keys() <= place.inside.keys():
            self._learn(place, members)
        inside = self._said(place, members).inside if place.telling else place.inside
        for name, value in members.items():
            kind = type(value)
            if kind is str:
                here = inside[name]
                if value != here.last and not (len(value) > _LONG and name in opaque_members(members)):  # type: ignore[arg-type]
                    self._strings.read(here, value)  # type: ignore[arg-type]
            elif kind is dict:
                self._walk_object(inside[name], value)  # type: ignore[arg-type]
            elif kind is list:
                self._walk_array(inside[name], value)  # type: ignore[arg-type]
            elif (kind is int or kind is float) and abs(value) >= LONG_NUMBER:  # type: ignore[arg-type]
                self._strings.add(Text(inside[name].path, str(value)))

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
            self._strings.add(Text((*here.path, KEY), name))
            if place.names is not None or self._strings.opens(name):
                place.names = place.names or self._new(place, KEY, named=True)
                self._strings.join_named(place.names, name)
            if tells(name) or (name == "index" and type(place.step) is not int):
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
        telling = [name for name in document if tells(name)]
        said = tuple(str(document[name]) for name in telling)
        for text in texts(document, lambda _: ""):
            self._strings.add(text)
            key = (kind, () if text.path[0] in telling else said, text.path)
            if key in self._shown or self._strings.opens(text.value):
                place = self._shown.get(key)
                if place is None:
                    place = self._shown[key] = self._new(None, location(text.path), named=True)
                self._strings.join_named(place, text.value)
        if parts := shown_together(document):
            self._strings.add(joined(parts))

    def _judged(self) -> Needs:
        needs = self._strings.judged()
        if self._count > self._bound:
            self._forget()
        return needs

    def _forget(self) -> None:
        """All places but those where something is held, and what leads there."""
        kept = {leading for place in self._strings.held for leading in leading(place)}
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


def _places(place: Place, value: object) -> Iterator[tuple[Place, bool]]:
    """Where the strings of a document that was read have come."""
    if isinstance(value, str):
        yield place, value == place.last
    elif isinstance(value, dict):
        said = tuple([value.get(name) for name in place.telling])
        inside = (place.each[said] if place.telling else place).inside
        for name, member in value.items():
            yield from _places(inside[name], member)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            index = item.get("index") if isinstance(item, dict) else None
            yield from _places(place.inside[index if type(index) is int else position], item)
