"""All that an exception brings along: its chain, and every frame's locals, as a debugger would show them."""

from __future__ import annotations

import traceback
from collections.abc import Iterator


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and all that it was raised from or during, hidden (`from None`) or not."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [other for other in (one.__cause__, one.__context__) if other is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions


def shown(error: BaseException) -> str:
    """Texts, attributes and locals of the whole chain."""
    parts = []
    for one in chain(error):
        parts += [repr(one), str(one), repr(vars(one))]
        for frame, _ in traceback.walk_tb(one.__traceback__):
            parts += [
                f"{frame.f_code.co_qualname} {name} = {value!r}" for name, value in frame.f_locals.items()
            ]
    return "\n".join(parts)
