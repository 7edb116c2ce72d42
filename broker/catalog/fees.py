"""What OpenAI's own tools cost beside the tokens they take.

Knows: the tools of a request, and the items that tell of their use. Must not know: tokens, limits. Source:
OpenAI's pricing page, read November 2026; of a range of prices the dearest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_FEES = {  # micro-dollars for each use
    "web_search": 10_000,
    "web_search_preview": 25_000,
    "file_search": 2_500,
    "image_generation": 250_000,
}
_CONTAINER = "code_interpreter"
_SESSION = {"1g": 30_000, "4g": 120_000, "16g": 480_000, "64g": 1_920_000}  # micro-dollars, by its memory
_USES = 10  # of a tool in one answer, where the call names no `max_tool_calls`

Fees = tuple[tuple[str, int], ...]
"""The tools of a call that cost, each with its fee in micro-dollars: for a use, or for a container."""


def fees_of(document: Mapping[str, object]) -> Fees:
    """The tools of a call that cost something.

    >>> fees_of({"tools": [{"type": "web_search_preview_2025_03_11"}, {"type": "function", "name": "f"}]})
    (('web_search_preview_2025_03_11', 25000),)
    """
    tools = document.get("tools")
    if not isinstance(tools, list):
        return ()
    found = [
        (str(tool.get("type")), _fee(tool)) for tool in tools if isinstance(tool, dict) and tool.get("type")
    ]
    return tuple((kind, fee) for kind, fee in found if fee)


def fees_at_most(fees: Fees, document: Mapping[str, object]) -> int:
    """Micro-dollars that a call with these tools can cost beside its tokens."""
    uses = document.get("max_tool_calls")
    times = uses if type(uses) is int and uses >= 0 else _USES
    dearest = max((fee for kind, fee in fees if not kind.startswith(_CONTAINER)), default=0)
    return dearest * times + sum(fee for kind, fee in fees if kind.startswith(_CONTAINER))


def fees_used(fees: Fees, items: Iterable[str]) -> int:
    """Micro-dollars for the uses that these items of an answer tell of. A container is one for all its uses.

    >>> fees_used((("web_search", 10_000),), ["message", "web_search_call", "web_search_call"])
    20000
    """
    if not fees:
        return 0
    used = [item.removesuffix("_call") for item in items]
    each = [item for item in used if item != _CONTAINER]
    opened = [_CONTAINER] if _CONTAINER in used else []
    return sum(
        max((fee for kind, fee in fees if kind.startswith(item)), default=0) for item in (*each, *opened)
    )


def _fee(tool: Mapping[str, object]) -> int:
    kind = str(tool["type"])
    if kind.startswith(_CONTAINER):
        container = tool.get("container")
        memory = container.get("memory_limit", "1g") if isinstance(container, dict) else None
        return _SESSION.get(str(memory), max(_SESSION.values()))
    longest_first = sorted(_FEES.items(), reverse=True)
    return next((fee for name, fee in longest_first if kind.startswith(name)), 0)
