"""A listing of stored chats shows the caller's own and nobody else's, page by page, exactly.

Knows: OpenAI's cursors. Must not know: whose an object is, how a request is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

import orjson

from broker.call.audited_call import AuditedCall
from broker.call.dispatch import UpstreamDispatcher
from broker.call.ownership import Ownership
from broker.errors import BrokerError, Kind
from broker.model.call import Reply, StreamReply, UpstreamRequest
from broker.shaping.reply import parse_reply

MOST_PAGES = 20
"""Pages of 100 that are looked through for one listing."""
_LARGEST = 100
_DEFAULT = 20
_SUCCESS = 200


class Listing:
    """One instance serves all calls of a process."""

    def __init__(self, dispatcher: UpstreamDispatcher, ownership: Ownership) -> None:
        self._dispatcher = dispatcher
        self._ownership = ownership

    async def own(
        self, audited: AuditedCall, request: UpstreamRequest, first: Reply | StreamReply
    ) -> Reply | StreamReply:
        """The page the caller asked for, of its own objects alone; another answer of upstream as it is.
        Raises BAD_REQUEST where they are too far apart to be found: then none is shown.
        """
        asked, entries, answer = _limit(request.path), list[object](), first
        for _ in range(MOST_PAGES):
            page = _page(answer)
            if page is None or not isinstance(answer, Reply):
                return answer
            listed = [each for each in page["data"] if isinstance(each, dict)]  # type: ignore[attr-defined]
            ids = [str(each.get("id")) for each in listed]
            mine = await self._ownership.own(audited.call, ids)
            entries += [each for each in listed if each.get("id") in mine]
            if len(entries) > asked or not page.get("has_more") or not ids:
                return replace(answer, body=_shown(page, entries, asked))
            answer = await self._dispatcher.dispatch(audited, _next(request, ids[-1]))
        raise BrokerError(
            Kind.BAD_REQUEST,
            f"Your stored chats are not among the newest {MOST_PAGES * _LARGEST} that match.",
            param="?metadata",
            remedy="Narrow the listing by `model` or `metadata`.",
        )


def _page(answer: Reply | StreamReply) -> Mapping[str, object] | None:
    if not isinstance(answer, Reply) or answer.status != _SUCCESS:
        return None
    page = parse_reply(answer.body)
    if isinstance(page, dict) and isinstance(page.get("data", []), list):
        return page if "data" in page else None  # without it nothing is listed
    raise BrokerError(
        Kind.UPSTREAM_UNAVAILABLE,
        "The upstream answered a listing with something else.",  # it may hold what is not the caller's
        remedy="Try again; the broker recorded the attempt.",
        retry_after=1,
    )


def _shown(page: Mapping[str, object], entries: list[object], asked: int) -> bytes:
    shown = [each for each in entries[:asked] if isinstance(each, dict)]
    ends = {"first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None}
    return orjson.dumps({**page, "data": shown, **ends, "has_more": len(entries) > asked})


def _limit(path: str) -> int:
    said = dict(parse_qsl(path.partition("?")[2])).get("limit", "")
    return int(said) if said.isdecimal() and said.isascii() and len(said) < len("1000") else _DEFAULT


def _next(request: UpstreamRequest, after: str) -> UpstreamRequest:
    """The request for what comes after; larger pages than the caller's mean fewer of them."""
    path, _, query = request.path.partition("?")
    kept = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] not in ("after", "limit")]
    return replace(request, path=f"{path}?{urlencode([*kept, ('limit', _LARGEST), ('after', after)])}")
