"""Whether there is overload: told from a burst, and from callers who each wait for their answer.

Knows: how many come, are begun and wait. Must not know: who, time.
"""

from __future__ import annotations

MOST_IN_OVERLOAD = 256
"""While overload lasts, so many requests wait at most; the newest are begun first, the oldest are refused."""
_WINDOW = 64
_CALM_WINDOWS = 16


class Surge:
    """Tells overload from a burst. Many may wait after a burst, but then fewer come than are begun. Overload
    is where more than MOST_IN_OVERLOAD wait and nearly as many come as are begun, in two windows one after
    the other. A window is so many begun, not a time: it is as long on a slow machine as it must be.
    """

    def __init__(self) -> None:
        self.lasts = False
        """Whether there is overload: until nobody was pushed out for a while, or nobody waits."""
        self._stands = False
        self._arrived = self._begun = self._calm = 0

    def arrived(self) -> None:
        """One more."""
        self._arrived += 1

    def pushed_out(self) -> None:
        """One was refused, because overload lasts."""
        self._calm = 0

    def begun(self, waiting: int) -> None:
        """One of them; so many wait now."""
        self._begun += 1
        if self._begun == _WINDOW:
            self._judge(waiting)
        if not waiting:
            self.lasts = False

    def _judge(self, waiting: int) -> None:
        """A window is over."""
        stands = waiting > MOST_IN_OVERLOAD and self._arrived >= _WINDOW * 3 // 4
        if stands and self._stands:
            self.lasts, self._calm = True, 0
        self._calm += 1
        self.lasts = self.lasts and self._calm <= _CALM_WINDOWS
        self._stands = stands
        self._arrived = self._begun = 0
