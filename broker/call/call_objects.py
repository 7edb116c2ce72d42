"""The stored objects of one call: the one it is about, and those it has made so far.

Knows: what an answer says was made. Must not know: where owners are kept, whose another object is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from broker.model.call import Call
from broker.model.decision import CallDecision
from broker.model.stored import Keeping
from broker.shaping.made import CHATS, keeps, made, may_make
from broker.shaping.mentions import Mentions


class CallObjects:
    """Of a call that is allowed, all that it makes belongs to `owner`. `kept`: OpenAI keeps its reply;
    `may_make`: a reply can name something new.
    """

    __slots__ = ("_about", "_made", "_mentions", "_operation", "kept", "may_make", "owner")

    def __init__(self, call: Call, decision: CallDecision, mentions: Mentions, owner: str) -> None:
        self.owner = owner
        self.kept = keeps(call, decision)
        self.may_make = may_make(call, kept=self.kept)
        self._mentions = mentions
        self._operation = call.operation
        self._about = call.target if mentions.references or mentions.retold else None
        self._made: dict[str, Keeping] = {}

    @property
    def about(self) -> str | None:
        """The object that the call is about: the one its path names, or the one it made."""
        return self._about

    @property
    def made(self) -> Mapping[str, Keeping]:
        """What the reply says was made so far, in its order."""
        return self._made

    @property
    def keeping(self) -> Keeping:
        """How long OpenAI keeps what the call makes."""
        talks = any(each.kind == "conversation" for each in self._mentions.references)
        return Keeping.UNTIL_DELETED if talks or self._operation in CHATS else Keeping.USUAL

    def fresh(self, document: object) -> Sequence[str]:
        """What this document says was made, and none before it did."""
        return [each for each in made(self._operation, document, kept=self.kept) if each not in self._made]

    def begin(self, fresh: Sequence[str]) -> None:
        """These are made: where it is kept, the first is what the call is about."""
        if self._about is None and self.kept:
            self._about = fresh[0]

    def remembered(self, fresh: Sequence[str]) -> None:
        """These have an owner, durably."""
        self._made.update(dict.fromkeys(fresh, self.keeping))
