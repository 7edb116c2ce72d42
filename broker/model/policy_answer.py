"""One object of a policy engine's answer, read field by field, strictly.

Knows: JSON types. Must not know: what any field means. Every defect is POLICY_ENGINE_UNAVAILABLE and names
the field; the content of the answer is never quoted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn, TypeVar

from broker.errors import BrokerError, Kind

_T = TypeVar("_T")
_RULE = re.compile(r"[A-Za-z0-9_.:/-]{1,128}\Z")
_MAX_REASON = 1000
_MAX_INTEGER = 2**53  # beyond it, engines disagree about integers


class PolicyAnswer:
    """One object of a result, read field by field. `end` refuses what nobody read."""

    __slots__ = ("_left", "_where")

    def __init__(self, where: str, value: object) -> None:
        self._where = where
        if type(value) is not dict:
            self.refuse("", "is undefined or not an object")
        self._left: dict[str, object] = value.copy()

    def refuse(self, name: str, what: str) -> NoReturn:
        place = f"{self._where}.{name}" if name else self._where
        raise BrokerError(
            Kind.POLICY_ENGINE_UNAVAILABLE,
            f"The policy engine's answer is not a decision: `{place}` {what}.",
            remedy="Correct the policy: run its tests and compare it with policies/schema.",
        )

    def take(self, name: str, kind: type[_T]) -> _T:
        """The field, of exactly this type: no bool for an int, no subclass."""
        value = self._left.pop(name, self)
        if type(value) is not kind:
            self.refuse(name, "is missing" if value is self else f"is not of type {kind.__name__}")
        return value

    def anything(self, name: str) -> object:
        """The field, whatever it is; it must be there."""
        if name not in self._left:
            self.refuse(name, "is missing")
        return self._left.pop(name)

    def has(self, name: str) -> bool:
        return name in self._left

    def null(self, name: str) -> bool:
        """Whether the field is there and null; it is then read."""
        if name in self._left and self._left[name] is None:
            del self._left[name]
            return True
        return False

    def verdict(self) -> tuple[bool, str, str]:
        allow, rule = self.take("allow", bool), self.take("rule", str)
        if not _RULE.match(rule):
            self.refuse("rule", "is not a name of 1 to 128 letters, digits and _ . : / -")
        reason = self.take("reason", str)
        if len(reason) > _MAX_REASON:
            self.refuse("reason", f"is longer than {_MAX_REASON} characters")
        return allow, rule, reason

    def text(self, name: str) -> str:
        value = self.take(name, str)
        return value or self.refuse(name, "is empty")

    def whole(self, name: str, least: int, most: int = _MAX_INTEGER) -> int:
        value = self.take(name, int)
        if not least <= value <= most:
            self.refuse(name, f"is not between {least} and {'2^53' if most == _MAX_INTEGER else most}")
        return value

    def strings(self, name: str) -> tuple[str, ...]:
        values: list[object] = self.take(name, list)
        if not values:
            return ()
        if not all(type(value) is str and value for value in values):
            self.refuse(name, "holds something else than non-empty strings")
        return tuple(values)  # type: ignore[arg-type]

    def inner(self, name: str) -> PolicyAnswer:
        return PolicyAnswer(f"{self._where}.{name}", self.take(name, dict))

    def each(self, name: str, read: Callable[[str, PolicyAnswer], _T]) -> tuple[_T, ...]:
        """Reads every named object inside the object `name`."""
        children: dict[str, object] = self.take(name, dict)
        return tuple(
            read(key, PolicyAnswer(f"{self._where}.{name}[…]", child)) for key, child in children.items()
        )

    def end(self) -> None:
        if self._left:
            self.refuse("*", f"has {len(self._left)} unknown fields")
