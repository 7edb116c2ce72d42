"""The routes under `/limits`: a caller's own, everybody's, and having one begin anew.

Knows: queries, forms and JSON. Must not know: how limits are counted, or who may know.
"""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from broker.listeners.fields import refuse
from broker.listeners.https.forms import form_of, query_of
from broker.listeners.https.request import MAX_FORM_BYTES, Receive, bearer_of, read_body
from broker.listeners.interfaces import LimitInterface, OwnLimitInterface
from broker.model.call import Reply
from broker.model.charge import LimitUse, Taken
from broker.model.limit import OwnLimit
from broker.model.request_context import RequestContext

_JSON = (("content-type", "application/json"), ("cache-control", "no-store"))
_MOST = "100"


class LimitRoutes:
    """Serves them."""

    def __init__(self, own: OwnLimitInterface, administrator: LimitInterface) -> None:
        self._own = own
        self._administrator = administrator

    async def serve(
        self, path: str, query: str, context: RequestContext, headers: dict[str, str], receive: Receive
    ) -> Reply:
        """Answers one. Raises BrokerError."""
        if path == "/limits/reset":
            form = form_of(headers, await read_body(headers, receive, most=MAX_FORM_BYTES))
            return _reply(_taken(await self._administrator.reset(context, form.get("limit", ""))))
        if path == "/limits/mine":
            asked = query_of(query, "operation", "model")
            kind = asked.get("operation"), asked.get("model")
            return _reply(_own(await self._own.own(context, bearer_of(headers), *kind)))
        asked = query_of(query, "named", "most")
        most = asked.get("most", _MOST)
        if not (most.isascii() and most.isdigit() and len(most) <= len("1000")):
            raise refuse("most", "expected a number from 1 to 1000")
        return _reply(_uses(await self._administrator.most_used(context, asked.get("named", ""), int(most))))


def _own(limits: Iterable[OwnLimit]) -> list[dict[str, object]]:
    return [
        {
            "limit": name,
            "unit": left.unit.value,
            "cap": left.cap,
            "remaining": left.remaining,
            "reset_seconds": left.reset_seconds,
        }
        for name, left in limits
    ]


def _uses(uses: Iterable[LimitUse]) -> list[dict[str, object]]:
    return [{**each, "cap": use.cap} for use in uses for each in _taken([use.taken])]


def _taken(taken: Iterable[Taken]) -> list[dict[str, object]]:
    return [
        {
            "limit": each.limit,
            "unit": each.unit.value,
            "seconds": each.seconds,
            "start": each.start,
            "taken": each.amount,
        }
        for each in taken
    ]


def _reply(limits: list[dict[str, object]]) -> Reply:
    return Reply(200, _JSON, orjson.dumps({"limits": limits}))
