"""How often the request of one call went upstream."""

from __future__ import annotations


class Sends:
    """Counted as they happen, so that it is known however a call ends: with an answer, an error, or a caller
    that left.
    """

    __slots__ = ("_unanswered", "begun")

    def __init__(self) -> None:
        self.begun = 0
        """How often a byte of the request may have reached upstream."""
        self._unanswered = 0

    @property
    def unanswered(self) -> bool:
        """Whether upstream may have carried the request out without our knowing: one was sent, and no answer
        to it came.
        """
        return self._unanswered > 0

    def begin(self) -> None:
        """From here on upstream may have the request."""
        self.begun += 1
        self._unanswered += 1

    def answer(self) -> None:
        """Upstream has answered the request that was sent last."""
        self._unanswered -= 1
