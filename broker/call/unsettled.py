"""Responses whose cost is not known yet, because upstream still works on them: settled when they are read.

Knows: what each was charged, and against which limits. Must not know: calls, records.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from broker.call.charging import Cost
from broker.catalog.estimate import Estimate
from broker.model.charge import Taken, used

_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A response that was charged at most, and what it was estimated at. `charged` stands in the limits."""

    estimate: Estimate
    charged: tuple[Taken, ...]
    regional: bool


class Backlog:
    """Of the newest 10,000: an older one stays charged at most. Use it from one event loop."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Unsettled] = OrderedDict()

    def keep(self, response_id: str, unsettled: Unsettled) -> None:
        """Until its usage is read."""
        self._waiting[response_id] = unsettled
        if len(self._waiting) > _MOST:
            self._waiting.popitem(last=False)

    def take(self, response_id: str | None) -> Unsettled | None:
        """The response of this id, once."""
        return self._waiting.pop(response_id, None) if response_id is not None else None


def charged(taken: Iterable[Taken], cost: Cost) -> tuple[Taken, ...]:
    """What stays taken after it was settled at `cost`."""
    stays = used(cost.tokens, cost.micro_usd)
    return tuple(each._replace(amount=stays[each.unit]) for each in taken)
