"""The strings that come at places, judged: joined to what came there before, or each by itself.

Knows: what of a place's text is held, and what an event waits for. Must not know: documents, wire formats.
"""

from __future__ import annotations

from broker.model.finding import Text, location
from broker.prefilter.escapes import Unescaping, unescaped
from broker.prefilter.inspector import Finder
from broker.prefilter.place import Needs, Place
from broker.prefilter.stream import CutError, StreamFilter

_BEGUN = 4
"""Characters of a secret's beginning at the end of a finished string from which it waits for the next."""


_DELTA = "delta"
_TAIL = 256


class Joining:
    """Takes strings with their places, then `judged` says what they wait for. All of these raise CutError
    where a rule has matched; `where` then names the place. See `places.Places`.
    """

    def __init__(self, joined: StreamFilter, secrets: StreamFilter, whole: Finder) -> None:
        self._joined = joined
        self._secrets = secrets
        self._whole = whole
        self.held: dict[Place, None] = {}
        self._needs: Needs = []
        self._texts: list[Text] = []
        self.where = ""

    def add(self, text: Text) -> None:
        """A finished string, which is judged by itself."""
        self._texts.append(text)

    def opens(self, text: str) -> bool:
        """Whether a secret may begin at the end of this string."""
        return self._secrets.opens(text)

    def judged(self) -> Needs:
        """Judges the finished strings, all at once; what all that came since the last time waits for."""
        if self._texts:
            said, self._texts = self._texts, []
            for finding in self._whole.inspect(said):
                self.where = finding.location
                raise CutError(finding.rule)
        needs, self._needs = self._needs, []
        return needs

    def finish(self) -> None:
        """Upstream has said all: what could have begun a match did not. Raises CutError where it did."""
        for place in self.held:
            self._end(place)
        self.held.clear()

    def read(self, place: Place, text: str) -> None:
        """The next string of this place."""
        if not place.named:
            if place.fed == 0 and self.held:
                self._follow(place)
            self._join(place, text)
            return
        if place.tail and _DELTA in place.path:
            self._texts.append(Text(place.path, place.tail + text))
        place.tail = (place.tail + text)[-_TAIL:]
        if (len(text) >= self._whole.shortest or not text.isascii()) and not self._is_clear(text):
            self._texts.append(Text(place.path, text))
            if "\\" in text:
                self._texts.append(Text(place.path, unescaped(text)))
        if place in self.held or (len(text) >= _BEGUN and self._secrets.opens(text)):
            self.join_named(place, text)
        else:
            place.last = text

    def _is_clear(self, text: str) -> bool:
        return "\\" not in text and self._whole.clear(text)

    def join_named(self, place: Place, text: str) -> None:
        """A finished string that a secret may begin in."""
        place.last = None
        self._feed(self._secrets, place, text)
        self._finish(self._secrets, place)  # each string ends where it ends, whatever comes next
        if place.fed - place.free >= _BEGUN:
            self._wait(place)
        else:
            self._secrets.forget(place)
            place.free = place.fed
            self.held.pop(place, None)

    def _follow(self, place: Place) -> None:
        """What comes at a new place goes on, for who prints each delta as it comes, where the last of that
        name ended: in the part before, or in the item before.
        """
        for earlier in reversed(self.held):
            if earlier.step == place.step and not earlier.named and earlier.escapes is None:
                longer = earlier.after if earlier.after in self.held else earlier
                place.after = Place(place.owner, place.step)
                self._joined.fork(longer, place.after)
                return

    def _join_after(self, place: Place, after: Place, text: str) -> None:
        self._feed(self._joined, after, text)
        if after.free < after.end:
            self._wait(after)
        else:
            self._joined.forget(after)
            self.held.pop(after, None)
            place.after = None

    def _join(self, place: Place, text: str) -> None:
        if place.after is not None:
            self._join_after(place, place.after, text)
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
            elif plain in self.held:
                del self.held[plain]
        if place.free < place.fed:
            self._wait(place)
        elif place in self.held:
            del self.held[place]

    def _wait(self, place: Place) -> None:
        self.held[place] = None
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
