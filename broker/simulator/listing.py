"""OpenAI's cursor pagination: `limit`, `after`, `order`.

Knows: lists of objects with an `id`. Must not know: what the objects are.
"""

from __future__ import annotations

from collections.abc import Sequence

from broker.simulator.api_error import ApiError
from broker.simulator.request import Request

_LARGEST = 100


def page(items: Sequence[dict[str, object]], request: Request, *, order: str) -> dict[str, object]:
    """The page the query asks for; `order` is the default of `order`, and `items` are oldest first."""
    wanted = request.parameter("order", order)
    if wanted not in ("asc", "desc"):
        raise ApiError(
            400, f"Invalid value: '{wanted}'. Supported values are: 'asc', and 'desc'.", param="order"
        )
    limit = request.parameter("limit", "20")
    if not limit.isdecimal() or not 1 <= int(limit) <= _LARGEST:
        raise ApiError(400, f"Invalid 'limit': expected an integer from 1 to {_LARGEST}.", param="limit")
    ordered = list(items) if wanted == "asc" else list(reversed(items))
    after = request.parameter("after")
    if after:
        places = [place for place, item in enumerate(ordered) if item["id"] == after]
        ordered = ordered[places[0] + 1 :] if places else []
    shown = ordered[: int(limit)]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(ordered) > len(shown),
    }
